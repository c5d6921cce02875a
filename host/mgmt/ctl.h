/* SPDX-License-Identifier: MIT */
/*
 * The control socket: a Unix stream socket that takes one JSON object per line
 * and answers one JSON object per line: {"ok": true, ...} or
 * {"ok": false, "error": TEXT}. Only the owner's processes may connect (mode
 * 0600 and a check of the peer's uid).
 *
 * A client that stops reading or never finishes its line costs its slot only;
 * when all are taken, the next client gets that of the one which has had no
 * answer for the longest time.
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
#define CTL_NAME_MAX    64u
#define CTL_RETRY_MS    100u   /* after accept() failed */
#define CTL_TIMEOUT_MS  10000u /* of ctl_call() */

struct ctl;

struct ctl_client {
	struct ctl *ctl;
	int fd;                          /* -1: free */
	uint64_t active;                 /* ctl->clock at its last answer, or when it came */
	struct loop_op recv_op, send_op; /* one of them is in the ring */
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
	struct loop_op accept_op; /* not in the ring while a client waits, or retry is armed */
	struct loop_timer retry_timer;
	int waiting_fd; /* accepted, but its slot is still being given up; -1: none */
	uint64_t clock;
	struct ctl_client client[CTL_CLIENTS_MAX];
};

/* 0, or -EINVAL when `name` cannot name a partition. */
int ctl_check_name(const char *name, struct err *e);

/* Path of the socket of partition `name`; makes the directory when create. */
int ctl_path(char path[CTL_PATH_MAX], const char *name, bool create, struct err *e);

/* -EADDRINUSE when a live partition has the name; a dead one's socket is replaced. */
int ctl_open(struct ctl *ctl, struct loop *loop, const char *name,
	json_t *(*handle)(void *ctx, const json_t *request, struct err *e), void *ctx,
	struct err *e);
/* The loop no longer runs. Removes the socket. */
void ctl_close(struct ctl *ctl);

/* Client side: one request, one reply (the caller's reference). */
int ctl_call(const char *name, const json_t *request, json_t **reply, struct err *e);

#endif
