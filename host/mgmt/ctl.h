/* SPDX-License-Identifier: MIT */
/*
 * The control socket: a Unix stream socket that takes one JSON object per line
 * and answers one JSON object per line: {"ok": true, ...} or
 * {"ok": false, "error": TEXT}. Only the owner's processes may connect (mode
 * 0600 and a check of the peer's uid), and a client refuses a server that is neither
 * its own user's nor root's, before it sends anything.
 *
 * A request may be answered many turns of the loop later: it is an object of its
 * own and outlives a client that disconnects. A client has one request at a time;
 * further lines wait in its buffer.
 *
 * A client that stops reading or never finishes its line costs only its slot;
 * when all slots are in use, a new client takes that of the least recently active
 * whose request is not being carried out; if there is none, it is turned away.
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
#define CTL_RETRY_MS    100u      /* after accept() failed */
#define CTL_TIMEOUT_MS  10000u    /* for an answer that comes at once */
#define CTL_WAIT_MS     90000u    /* for an answer that waits for a disk or the guest */
#define CTL_COPY_MS     86400000u /* for a whole file */

struct ctl;
struct ctl_client;

/* A request that has not been answered yet. */
struct ctl_request {
	struct ctl_client *client; /* NULL: it disconnected */
};

/* Runs a request: exactly one ctl_answer() or ctl_refuse(), now or later. `json`, an object, is
 * valid during the call. */
typedef void ctl_handle_fn(void *ctx, struct ctl_request *request, const json_t *json);

/*   RECEIVING --a line--> ASKING --answered--> SENDING --sent--> RECEIVING or ASKING
 *
 * In RECEIVING and SENDING an operation is in the ring, and its end closes a client that has
 * disconnected; in ASKING there is none, so a disconnect is found when the answer is sent. */
struct ctl_client {
	struct ctl *ctl;
	int fd;                     /* -1: free */
	uint64_t active;            /* ctl->clock at its last request, or at accept */
	struct ctl_request *asking; /* NULL: not in this state */
	bool evicted;               /* its operation in the ring ends, then it is closed */
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
	int waiting_fd; /* accepted, waits for the eviction of a client; -1: none */
	uint64_t clock;
	struct ctl_client client[CTL_CLIENTS_MAX];
};

/* 0, or -EINVAL when `name` cannot name a VM. */
int ctl_check_name(const char *name, struct err *e);

/* Path of the socket of VM `name`. */
int ctl_path(char path[CTL_PATH_MAX], const char *name, struct err *e);

/* Any thread that may sleep. The socket of VM `name`: its path and a descriptor that listens.
 * -EADDRINUSE when a live process has the name; a stale socket is replaced. */
int ctl_listen(char path[CTL_PATH_MAX], const char *name, struct err *e);

/* The same, and answers requests. With a broker (base/broker.h) that listens. */
int ctl_open(struct ctl *ctl, struct loop *loop, const char *name, ctl_handle_fn *handle, void *ctx,
	struct err *e);
/* Any thread, also while the control thread is stuck: the process is about to end. */
void ctl_unlink(const struct ctl *ctl);
/* The loop no longer runs. Removes the socket. Requests may still be answered after it; the answers
 * are dropped. */
void ctl_close(struct ctl *ctl);

/* Ends a request. reply: a new object with the command's results, owned from here on; NULL: out of
 * memory, closes the client. */
void ctl_answer(struct ctl_request *request, json_t *reply);
void ctl_refuse(struct ctl_request *request, const struct err *e);

/* Client side: one request, one reply (the caller's reference). */
int ctl_call(const char *name, const json_t *request, unsigned timeout_ms, json_t **reply,
	struct err *e);

#endif
