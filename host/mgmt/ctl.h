/* SPDX-License-Identifier: MIT */
/*
 * The control socket: a Unix stream socket that takes one JSON object per line
 * and answers one JSON object per line: {"ok": true, ...} or
 * {"ok": false, "error": TEXT}. Only the owner's processes may connect (mode
 * 0600 and a check of the peer's uid).
 *
 * Thread: control. Bounds: CTL_CLIENTS_MAX clients, CTL_REQUEST_MAX bytes.
 */
#ifndef MGMT_CTL_H
#define MGMT_CTL_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/loop.h"

#define CTL_CLIENTS_MAX 16u
#define CTL_REQUEST_MAX 4096u
#define CTL_PATH_MAX    108u /* sockaddr_un */

struct ctl;

struct ctl_client {
	struct ctl *ctl;
	int fd; /* -1: free */
	struct loop_op recv_op, send_op;
	char request[CTL_REQUEST_MAX];
	size_t used;
	char *reply;
	size_t reply_len, reply_sent;
};

struct ctl {
	struct loop *loop;
	/* Answers a request: a new object with whatever the command returns, or NULL with e. */
	json_t *(*handle)(void *ctx, const json_t *request, struct err *e);
	void *ctx;
	int listen_fd;
	char path[CTL_PATH_MAX];
	struct loop_op accept_op;
	struct ctl_client client[CTL_CLIENTS_MAX];
};

/* Path of the socket of partition `name`; makes the directory when create. */
int ctl_path(char path[CTL_PATH_MAX], const char *name, bool create, struct err *e);

/* -EADDRINUSE when a live partition has the name; a dead one's socket is replaced. */
int ctl_open(struct ctl *ctl, struct loop *loop, const char *name,
	json_t *(*handle)(void *ctx, const json_t *request, struct err *e), void *ctx, struct err *e);
/* The loop no longer runs. Removes the socket. */
void ctl_close(struct ctl *ctl);

/* Client side: one request, one reply (the caller's reference). */
int ctl_call(const char *name, const json_t *request, json_t **reply, struct err *e);

#endif
