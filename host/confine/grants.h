/* SPDX-License-Identifier: MIT */
/*
 * What a person has named, and so what the broker may open for the worker. The list is filled by
 * the configuration, and by requests on the control socket, which the broker reads before the
 * worker does. A name is compared as it was written.
 *
 * Most names are used up by the first successful opening: after `disk remove` the worker cannot
 * open the file again. Reservation files and what connects again (NBD, passt, TAPs, `pair`) stay.
 * What a request named and did not use goes when it is answered, or can be no more (clients.c).
 *
 * Process: the broker. Thread: any.
 */
#ifndef CONFINE_GRANTS_H
#define CONFINE_GRANTS_H

#include <jansson.h>

#include "base/broker.h"
#include "base/list.h"
#include "config/config.h"

enum grant_kind {
	GRANT_FILE,
	GRANT_SOCKET,   /* of a path */
	GRANT_SERVICES, /* sockets PATH_0 to PATH_4294967295 */
	GRANT_TAP,
	GRANT_TAP_WATCH, /* sockets that say what becomes of TAP interfaces */
	GRANT_NBD,
	GRANT_SPAWN, /* arguments, each with its end */
	GRANT_FD,    /* numbers of inherited descriptors; nothing is asked of the broker */
};

/* What may be done with it. */
enum {
	MAY_READ = 0x1,
	MAY_WRITE = 0x2,
	MAY_CREATE = 0x4,
	MAY_LOOK = 0x8, /* stat, access */
	MAY_RESOLVE = 0x10,
	MAY_REMOVE = 0x20, /* unlink, rename */
	MAY_CONNECT = 0x40,
	MAY_LISTEN = 0x80,
	MAY_OPEN_AGAIN = 0x100,
	MAY_SYNC = 0x200,    /* a directory */
	MAY_REPLACE = 0x400, /* a rename to it needs no check of the file: a reservation */
};

/* Lists under one lock. */
extern struct list grants;       /* what may be opened */
extern struct list grants_named; /* devices that requests have added: an image may name them */

struct grant_to {
	struct list *list;
	uint64_t request; /* 0: none, as for the configuration */
};

/* 0 or -ENOMEM. */
int grants_add(const struct grant_to *to, enum grant_kind kind, unsigned may, const char *bytes,
	size_t length);
int grants_add_text(
	const struct grant_to *to, enum grant_kind kind, unsigned may, const char *text);
int grants_add_config(const struct grant_to *to, const struct vm_config *c);
/* A request of a client, as it is about to be passed on, with a number of its own. One that is
 * wrong adds nothing; the worker answers it. */
void grants_add_request(const json_t *request, uint64_t number);
/* The worker has answered it. After a refusal nothing of it is left; else what a device opens again
 * by itself (sockets, TAPs, passt) stays. */
void grants_answered(uint64_t request, bool refused);
/* The files beside a disk that keep its reservation; real: of the disk, without links. */
int grants_add_reservation(const char *real);
/* False: `list` has what neither `known` nor grants_named has; *name: what that names. */
bool grants_are_known(const struct list *list, const struct list *known, const char **name);
/* No name like this may be opened any more. */
void grants_forget_file(const char *name);
void grants_free(struct list *list);

/* True: this is allowed. */
bool grants_allow(const struct broker_request *q);
/* A rename of a file that vouch.h need not check. Of an image this is never true, whatever else
 * happens meanwhile. */
bool grants_may_replace(const struct broker_request *q);
/* It was done. */
void grants_use(const struct broker_request *q);

#endif
