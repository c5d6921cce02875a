/* SPDX-License-Identifier: MIT */
/*
 * The control socket: a Unix stream socket that takes one JSON object per line
 * and answers one JSON object per line: {"ok": true, ...} or
 * {"ok": false, "error": TEXT}. Only the owner's processes may connect (mode
 * 0600 and a check of the peer's uid).
 *
 * A request is answered when it is done, which may take many turns of the loop:
 * it is an object of its own, and outlives the client that does not wait for it.
 * A client has one request at a time; what it sends meanwhile waits.
 *
 * A client that stops reading or never finishes its line costs its slot only;
 * when all are taken, the next client gets that of the one which has not asked
 * for the longest time.
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
#define CTL_REQUEST_MAX 16384u /* two paths, with room for escapes */
#define CTL_PATH_MAX    108u   /* sockaddr_un */
#define CTL_NAME_MAX    64u
#define CTL_RETRY_MS    100u   /* after accept() failed */
#define CTL_TIMEOUT_MS  10000u /* of ctl_call() */
#define CTL_WAIT_MS     90000u /* the same, when disks or the guest are waited for */

struct ctl;
struct ctl_client;

/* A request that has not been answered yet. */
struct ctl_request {
	struct ctl_client *client; /* NULL: nobody waits any more */
};

/* Does what is asked. Owes exactly one ctl_answer() or ctl_refuse(), now or later; `json` is valid
 * during the call. */
typedef void ctl_handle_fn(void *ctx, struct ctl_request *request, const json_t *json);

/*   RECEIVING --a line--> ASKING --answered--> SENDING --sent--> RECEIVING or ASKING
 *
 * In RECEIVING and SENDING an operation is in the ring, and its end closes a client that is gone;
 * in ASKING there is none, and a client that is gone is found when the answer is sent. */
struct ctl_client {
	struct ctl *ctl;
	int fd;                     /* -1: free */
	uint64_t active;            /* ctl->clock when it last asked, or when it came */
	struct ctl_request *asking; /* NULL: not in this state */
	struct loop_op recv_op, send_op;
	char request[CTL_REQUEST_MAX];
	size_t used;
	char *reply;
	size_t reply_len, reply_sent;
};

struct ctl {
	struct loop *loop;
	ctl_handle_fn *handle;
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
int ctl_open(struct ctl *ctl, struct loop *loop, const char *name, ctl_handle_fn *handle, void *ctx,
	struct err *e);
/* The loop no longer runs. Removes the socket. Requests may still be answered after it; nobody
 * hears that. */
void ctl_close(struct ctl *ctl);

/* The end of a request. reply: a new object with whatever the command returns, taken over; NULL:
 * there was no memory for it. */
void ctl_answer(struct ctl_request *request, json_t *reply);
void ctl_refuse(struct ctl_request *request, const struct err *e);

/* Client side: one request, one reply (the caller's reference). */
int ctl_call(const char *name, const json_t *request, json_t **reply, struct err *e);
/* The same for what may take longer. */
int ctl_call_for(const char *name, const json_t *request, unsigned timeout_ms, json_t **reply,
	struct err *e);

#endif
