/* SPDX-License-Identifier: MIT */
/*
 * Connecting by URI when the worker may not (base/broker.h): the broker connects a socket, and the
 * worker gives it to libnbd. Without a broker libnbd does all of it.
 */
#ifndef DISK_NBD_ADDRESS_H
#define DISK_NBD_ADDRESS_H

#include "disk/nbd/nbd_lib.h"

/* nbd://HOST[:PORT][/EXPORT] or nbd+unix:///[EXPORT]?socket=PATH, without escapes. */
#define NBD_ADDRESS_MAX 4097u
struct nbd_address {
	char host[NBD_ADDRESS_MAX]; /* "": a Unix socket */
	char port[8];
	char socket[NBD_ADDRESS_MAX];
	char export[NBD_ADDRESS_MAX];
};

/* 0 or -EINVAL. */
int nbd_address_parse(struct nbd_address *a, const char *uri);

/* A connected socket, or -errno. May sleep as long as name servers and the server do. */
int nbd_address_connect(const char *uri);

/* Starts to connect h. 0; -errno; or 1: libnbd.get_error() says why not. May sleep. */
int nbd_address_use(struct nbd_handle *h, const char *uri);

#endif
