/* SPDX-License-Identifier: MIT */
/*
 * Stream sockets between host programs and the guest's AF_VSOCK sockets, with no network. On the
 * host's side they are Unix sockets, by the convention of Firecracker, cloud-hypervisor and
 * systemd:
 *
 *   to the guest      connect to PATH, write "CONNECT <port>\n", read "OK <peer port>\n"
 *   from the guest    listen on PATH_<port>
 *
 * A connection that cannot be made is closed. A guest does not say whether it has no listener
 * or a slow one: a client that gets no OK within VSOCK_OPEN_NS is closed.
 *
 * Connections live as long as the guest's: a guest reset, kexec or power off ends them.
 *
 * What a guest can occupy: VSOCK_GUEST_MAX connections, those it does not release included. Clients
 * of PATH have as many of their own, and wait for one when all are taken.
 *
 * Thread: control.
 */
#ifndef VM_VSOCK_H
#define VM_VSOCK_H

#include "base/inspect.h"
#include "base/unix_socket.h"
#include "vm/device_group.h"

#define VSOCK_GUEST_MAX 256u
#define VSOCK_HOST_MAX  256u
#define VSOCK_OPEN_NS   (20 * NS_PER_S) /* for the guest to open what it is offered */
#define VSOCK_LINE_NS   (5 * NS_PER_S)  /* for a client to say what it wants */

struct vsock {
	const char *path; /* NULL: not open */
	struct loop *control;
	struct vsp_host *host; /* NULL: no guest */
	struct device_group devices;
	bool paused;

	int listen_fd;
	struct loop_op accept_op;
	bool accepting; /* accept_op is in the ring */
	struct loop_timer retry_timer;
	void (*closed)(void *ctx); /* not NULL: it closes */
	void *closed_ctx;

	struct list connections;
	uint32_t from_guest, from_host; /* of these */

	uint64_t open_ns; /* VSOCK_OPEN_NS, but in tests */
	uint64_t opened, refused, unanswered;
};

/* Listens on path, which stays the caller's. path NULL: guests find no sockets. vsock_close() also
 * after a failure. One line in e. */
int vsock_open(struct vsock *v, struct loop *control, const char *path, struct err *e);
/* Without a guest. closed(ctx) when nothing is in flight, possibly before this returns. */
void vsock_close(struct vsock *v, void (*closed)(void *ctx), void *ctx);

/* A new guest. */
void vsock_attach(struct vsock *v, struct vsp_host *host);
/* The guest's bus is shut down. Harmless without a guest. */
void vsock_detach(struct vsock *v);

/* paused(ctx) when no connection touches guest memory any more, possibly before this returns. New
 * ones wait for the end of the pause. */
void vsock_pause(struct vsock *v, void (*paused)(void *ctx), void *ctx);
/* Also before paused() came: then it is not called any more. */
void vsock_resume(struct vsock *v);
/* One line in e: connections that are not at rest. */
void vsock_name_busy(const struct vsock *v, struct err *e);

void vsock_inspect(const struct vsock *v, struct inspect *i);

#endif
