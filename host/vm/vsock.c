/* SPDX-License-Identifier: MIT */
/*
 * Connections. A client of the host begins in READING, a guest's in DIALING:
 *
 *   READING --line--+--> WAITING --resume--> OFFERED --guest opens--> OPEN
 *   DIALING --done--+     (paused)              |                      |
 *      |            '-----(not paused)--------->| late                 | ended
 *      | refused (not paused)                   v                      v
 *      +-----> freed <---released by guest-- REMOVING <----------------+
 *
 * A refusal is a message to the guest, and waits for the end of a pause, too. The end of the guest
 * frees all but those that are READING.
 */
#include "vm/vsock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/files.h"
#include "base/log.h"
#include "vm/vsock_impl.h"
#include "vsp/hvsock/hvsock.h"

_Static_assert(
	VSOCK_GUEST_MAX + VSOCK_HOST_MAX + 64 <= BUS_RELIDS_PRIMARY, "relids for other devices");

static struct vsock_connection *connection_of(struct list *item)
{
	return container_of(item, struct vsock_connection, link);
}

static uint32_t *count_of(struct vsock *v, bool host_connects)
{
	return host_connects ? &v->from_host : &v->from_guest;
}

void vsock_check_closed(struct vsock *v)
{
	void (*closed)(void *ctx) = v->closed;

	if (!closed || v->accepting || !list_empty(&v->connections))
		return;
	close(v->listen_fd);
	v->path = NULL;
	v->closed = NULL;
	closed(v->closed_ctx);
}

struct vsock_connection *vsock_connection_new(struct vsock *v, bool host_connects)
{
	struct vsock_connection *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->vsock = v;
	c->host_connects = host_connects;
	c->fd = -1;
	list_add_tail(&v->connections, &c->link);
	++*count_of(v, host_connects);
	return c;
}

void vsock_connection_free(struct vsock_connection *c)
{
	struct vsock *v = c->vsock;

	loop_timer_cancel(&c->timer);
	if (c->fd >= 0)
		close(c->fd);
	list_del(&c->link);
	--*count_of(v, c->host_connects);
	if (c->host_connects)
		vsock_accept(v);
	free(c);
	vsock_check_closed(v);
}

/* ---- offers -------------------------------------------------------------- */

static void removed(void *ctx)
{
	struct vsock_connection *c = ctx;

	vm_device_destroy(&c->device);
	vsock_connection_free(c);
}

static void remove_offer(struct vsock_connection *c)
{
	if (c->state == VSOCK_REMOVING)
		return;
	loop_timer_cancel(&c->timer);
	c->state = VSOCK_REMOVING;
	vsp_device_remove(c->device.vsp, removed, c);
}

static void opened(void *ctx)
{
	struct vsock_connection *c = ctx;

	if (c->state != VSOCK_OFFERED)
		return;
	c->state = VSOCK_OPEN;
	c->vsock->opened++;
	loop_timer_cancel(&c->timer);
}

static void ended(void *ctx)
{
	remove_offer(ctx);
}

static void unanswered(struct loop_timer *timer)
{
	struct vsock_connection *c = container_of(timer, struct vsock_connection, timer);

	if (c->vsock->paused) { /* the guest cannot answer */
		loop_timer_start(c->vsock->control, timer, c->vsock->open_ns, unanswered);
		return;
	}
	c->vsock->unanswered++;
	shutdown(c->fd, SHUT_RDWR); /* the program need not wait until the guest has released it */
	remove_offer(c);
}

/* A port number for programs: the guest sees it as its peer's. */
static uint32_t endpoint_port(const struct hv_guid *endpoint)
{
	uint32_t port;

	memcpy(&port, endpoint->b, sizeof(port));
	return port;
}

static int create_device(struct vsock_connection *c, struct err *e)
{
	struct hvsock_config config = {
		.fd = c->fd,
		.host_connects = c->host_connects,
		.service = c->service,
		.greeting = c->host_connects ? c->greeting : NULL,
		.opened = opened,
		.ended = ended,
		.ctx = c,
	};

	snprintf(c->greeting, sizeof(c->greeting), "OK %u\n", endpoint_port(&c->endpoint));
	return vm_device_create(&c->device, &c->vsock->devices, c->vsock->host, &hvsock_ops,
		&c->endpoint, &config, e);
}

void vsock_connection_refuse(struct vsock_connection *c)
{
	struct vsock *v = c->vsock;

	v->refused++;
	if (!c->host_connects && v->host)
		bus_refuse_connect(v->host->bus, &c->endpoint, &c->service);
	vsock_connection_free(c);
}

void vsock_connection_offer(struct vsock_connection *c)
{
	struct vsock *v = c->vsock;
	struct err e;

	if (!v->host) {
		vsock_connection_refuse(c);
	} else if (v->paused) {
		c->state = VSOCK_WAITING;
	} else if (c->fd < 0) {
		vsock_connection_refuse(c);
	} else if (create_device(c, &e)) {
		log_guest("vsock: %s", e.text);
		vsock_connection_refuse(c);
	} else {
		c->state = VSOCK_OFFERED;
		loop_timer_start(v->control, &c->timer, c->vsock->open_ns, unanswered);
	}
}

/* ---- the guest connects -------------------------------------------------- */

static bool dial(struct vsock *v, const struct hv_guid *endpoint, const struct hv_guid *service,
	uint32_t port)
{
	struct vsock_connection *c = vsock_connection_new(v, false);

	if (!c)
		return false;
	c->endpoint = *endpoint;
	c->service = *service;
	if (!vsock_dial(c, port))
		return true;
	vsock_connection_free(c);
	return false;
}

static bool guest_connects(void *ctx, const struct hv_guid *endpoint, const struct hv_guid *service)
{
	struct vsock *v = ctx;
	uint32_t own_port, port;

	/* The endpoint becomes an instance id, and must not be that of another device. */
	if (v->from_guest < VSOCK_GUEST_MAX && hvsock_guid_port(endpoint, &own_port) &&
		hvsock_guid_port(service, &port) && dial(v, endpoint, service, port))
		return true;
	v->refused++;
	return false;
}

/* ---- guests -------------------------------------------------------------- */

void vsock_attach(struct vsock *v, struct vsp_host *host)
{
	if (!v->path)
		return;
	v->host = host;
	v->paused = false;
	bus_set_connect(host->bus, guest_connects, v);
}

static void forget_guest(struct vsock_connection *c)
{
	switch (c->state) {
	case VSOCK_READING:
	case VSOCK_CLOSING:
		return;
	case VSOCK_DIALING:
		vsock_dial_abandon(c);
		break;
	case VSOCK_WAITING:
	case VSOCK_OFFERED:
	case VSOCK_OPEN:
	case VSOCK_REMOVING:
		break;
	}
	vsock_connection_free(c);
}

void vsock_detach(struct vsock *v)
{
	if (!v->host)
		return;
	bus_set_connect(v->host->bus, NULL, NULL);
	device_group_destroy_all(&v->devices);
	v->host = NULL;
	list_for_each_safe (item, &v->connections)
		forget_guest(connection_of(item));
}

/* ---- pause --------------------------------------------------------------- */

void vsock_pause(struct vsock *v, void (*paused)(void *ctx), void *ctx)
{
	v->paused = true;
	device_group_pause(&v->devices, paused, ctx);
}

static struct vsock_connection *first_waiting(struct vsock *v)
{
	list_for_each (item, &v->connections)
		if (connection_of(item)->state == VSOCK_WAITING)
			return connection_of(item);
	return NULL;
}

/* An offer may free other connections: one that fills the message queue ends the guest's. */
void vsock_resume(struct vsock *v)
{
	struct vsock_connection *c;

	v->paused = false;
	device_group_resume(&v->devices);
	while ((c = first_waiting(v)))
		vsock_connection_offer(c);
}

void vsock_name_busy(const struct vsock *v, struct err *e)
{
	err_set(e, -EBUSY, "%u socket connections are not at rest", v->devices.pausing);
}

/* ---- life ---------------------------------------------------------------- */

static int path_error(const char *path, int ret, struct err *e)
{
	if (ret == -EADDRINUSE)
		return err_set(
			e, ret, "vsock: %s: in use, by another VM perhaps; choose another", path);
	return err_set(e, ret, "vsock: %s: %s", path, strerror(-ret));
}

int vsock_open(struct vsock *v, struct loop *control, const char *path, struct err *e)
{
	list_init(&v->connections);
	device_group_init(&v->devices);
	v->control = control;
	v->open_ns = VSOCK_OPEN_NS;
	if (!path)
		return 0;
	v->listen_fd = unix_socket_listen(path, SOCK_STREAM, 64);
	if (v->listen_fd < 0)
		return path_error(path, v->listen_fd, e);
	v->path = path;
	vsock_accept(v);
	return 0;
}

/* Operations in the ring end at once, with an error. */
void vsock_close(struct vsock *v, void (*closed)(void *ctx), void *ctx)
{
	if (!v->path) {
		closed(ctx);
		return;
	}
	files_unlink(v->path);
	loop_timer_cancel(&v->retry_timer);
	v->closed = closed;
	v->closed_ctx = ctx;
	shutdown(v->listen_fd, SHUT_RDWR);
	list_for_each (item, &v->connections)
		if (connection_of(item)->state == VSOCK_READING)
			vsock_client_close(connection_of(item));
	vsock_check_closed(v);
}

/* ---- inspect ------------------------------------------------------------- */

static const char *const state_names[] = {
	[VSOCK_READING] = "reading",
	[VSOCK_DIALING] = "dialing",
	[VSOCK_WAITING] = "waiting",
	[VSOCK_OFFERED] = "offered",
	[VSOCK_OPEN] = "open",
	[VSOCK_REMOVING] = "removing",
	[VSOCK_CLOSING] = "closing",
};

static void connection_inspect(const struct vsock_connection *c, struct inspect *i)
{
	uint32_t port;

	inspect_begin(i, NULL);
	inspect_text(i, "state", state_names[c->state]);
	inspect_text(i, "from", c->host_connects ? "host" : "guest");
	if (hvsock_guid_port(&c->service, &port))
		inspect_u64(i, "port", port);
	if (c->device.vsp)
		vsp_device_inspect(c->device.vsp, i);
	inspect_end(i);
}

void vsock_inspect(const struct vsock *v, struct inspect *i)
{
	if (!v->path)
		return;
	inspect_begin(i, "vsock");
	inspect_text(i, "path", v->path);
	inspect_u64(i, "from_guest", v->from_guest);
	inspect_u64(i, "from_host", v->from_host);
	inspect_u64(i, "opened", v->opened);
	inspect_u64(i, "refused", v->refused);
	inspect_u64(i, "unanswered", v->unanswered);
	inspect_begin_array(i, "connections");
	list_for_each (item, &v->connections)
		connection_inspect(connection_of(item), i);
	inspect_end(i);
	inspect_end(i);
}
