/* SPDX-License-Identifier: MIT */
/* Inside vsock: shared by vsock.c, vsock_client.c and vsock_dial.c. */
#ifndef VM_VSOCK_IMPL_H
#define VM_VSOCK_IMPL_H

#include "base/blocking.h"
#include "vm/vsock.h"

enum vsock_state {
	VSOCK_READING, /* a client: its line */
	VSOCK_DIALING, /* a guest: connects to the program's socket */
	VSOCK_WAITING, /* for the end of a pause */
	VSOCK_OFFERED, /* the guest has not opened the channel */
	VSOCK_OPEN,
	VSOCK_REMOVING, /* rescinded, and not released by the guest */
	VSOCK_CLOSING,  /* a client, whose operation ends; then it is freed */
};

/* "CONNECT ", a port or a GUID, and the newline. */
#define VSOCK_LINE_MAX 48u

struct vsock_dial;

struct vsock_connection {
	struct list link; /* vsock.connections */
	struct vsock *vsock;
	enum vsock_state state;
	bool host_connects;
	int fd; /* below 0: none yet, or there is no program */
	struct hv_guid service, endpoint;
	char greeting[32];
	struct vm_device device;
	struct loop_timer timer;

	/* READING */
	struct loop_op line_op;
	char line[VSOCK_LINE_MAX];
	uint32_t line_length;

	/* DIALING */
	struct vsock_dial *dial;
};

/* ---- vsock.c ------------------------------------------------------------- */

/* NULL: no memory. Counted, and in the list. */
struct vsock_connection *vsock_connection_new(struct vsock *v, bool host_connects);
/* Closes fd. Not while it is offered, nor while something is in flight. */
void vsock_connection_free(struct vsock_connection *c);
/* Closes v if it waits for what has just ended. The last use of v. */
void vsock_check_closed(struct vsock *v);
/* Answers the guest, if it wants the connection, and frees it. */
void vsock_connection_refuse(struct vsock_connection *c);
/* service, endpoint and fd are set: offers it to the guest, or refuses it; after a pause. */
void vsock_connection_offer(struct vsock_connection *c);

/* ---- vsock_client.c ------------------------------------------------------ */

/* Goes on accepting, if there is room for a client. */
void vsock_accept(struct vsock *v);
/* READING: it is freed soon. */
void vsock_client_close(struct vsock_connection *c);

/* ---- vsock_dial.c -------------------------------------------------------- */

/* Connects to the socket of the port the guest wants; then offers, or refuses and frees. 0; -errno:
 * it could not begin, and c is the caller's. */
int vsock_dial(struct vsock_connection *c, uint32_t port);
/* DIALING: ends it without an answer to the guest; c is the caller's. */
void vsock_dial_abandon(struct vsock_connection *c);

#endif
