/* SPDX-License-Identifier: MIT */
/*
 * Requests of the control thread (C) on the channel's I/O thread (W):
 *
 *   C ic_request_start --> W queue --> with the guest --> C done()
 *                            `---- time is up, closed ----^
 *
 * A request whose time is up while it is with the guest leaves its message behind: the channel goes
 * on waiting for the answer, and drops it.
 */
#include <string.h>

#include "vsp/ic/ic_impl.h"

/* ---- on the I/O thread --------------------------------------------------- */

static struct ic_request *request_of(struct vsp_call *call)
{
	return container_of(call, struct ic_request, call);
}

static void finish(struct ic_request *r, int error)
{
	loop_timer_cancel(&r->deadline);
	r->error = error;
	vsp_call_done(&r->call);
}

static void time_is_up(struct loop_timer *timer)
{
	struct ic_request *r = container_of(timer, struct ic_request, deadline);
	struct ic_channel *c = vsp_channel_priv(r->call.ch);

	if (c->current == r) {
		c->current = NULL;
	} else {
		list_del(&r->link);
		c->queued--;
	}
	finish(r, -ETIMEDOUT);
}

/* 0: it may wait in the queue. */
static int check_open(const struct ic_channel *c)
{
	switch (c->state) {
	case IC_CLOSED:
		return -ESHUTDOWN;
	case IC_REFUSED:
		return -EOPNOTSUPP;
	case IC_NEGOTIATING:
	case IC_READY:
		break;
	}
	return c->queued < IC_QUEUE_MAX ? 0 : -EBUSY;
}

static void start(struct vsp_call *call)
{
	struct ic_request *r = request_of(call);
	struct ic_channel *c = vsp_channel_priv(call->ch);
	int error = check_open(c);

	if (error) {
		finish(r, error);
		return;
	}
	assert(r->size <= c->service->body_max);
	list_add_tail(&c->queue, &r->link);
	c->queued++;
	if (r->timeout_ns)
		loop_timer_start(vsp_channel_loop(c->ch), &r->deadline, r->timeout_ns, time_is_up);
	ic_send_next(c);
}

static struct ic_request *first(struct ic_channel *c)
{
	struct ic_request *r;

	if (list_empty(&c->queue))
		return NULL;
	r = container_of(c->queue.next, struct ic_request, link);
	list_del(&r->link);
	c->queued--;
	return r;
}

uint32_t ic_request_take(struct ic_channel *c, void *body)
{
	struct ic_request *r = first(c);

	c->current = r;
	if (!r)
		return 0;
	memcpy(body, r->body, r->size);
	return r->size;
}

/* The rest of the body is cleared: it is the request, not the answer. */
void ic_request_answered(struct ic_channel *c, uint32_t status, const void *body, uint32_t size)
{
	struct ic_request *r = c->current;

	if (!r)
		return;
	c->current = NULL;
	r->status = status;
	r->answer_size = size < r->size ? size : r->size;
	memcpy(r->body, body, r->answer_size);
	memset((uint8_t *)r->body + r->answer_size, 0, r->size - r->answer_size);
	finish(r, 0);
}

void ic_requests_fail(struct ic_channel *c, int error)
{
	struct ic_request *r = c->current ? c->current : first(c);

	for (; r; r = first(c))
		finish(r, error);
	c->current = NULL;
}

/* ---- on the control thread ----------------------------------------------- */

static void done(struct vsp_call *call)
{
	request_of(call)->done(request_of(call));
}

void ic_request_start(struct vsp_device *dev, struct ic_request *r)
{
	struct vsp_channel *ch = dev ? vsp_device_primary(dev) : NULL;

	r->deadline = (struct loop_timer){0};
	r->status = 0;
	r->answer_size = 0;
	if (ch) {
		vsp_channel_call(ch, &r->call, start, done);
		return;
	}
	r->error = dev ? -ENOTCONN : -ENODEV;
	r->done(r);
}

/* ---- errors -------------------------------------------------------------- */

static const char *status_text(uint32_t status)
{
	static const struct {
		uint32_t status;
		const char *text;
	} texts[] = {
		{IC_STATUS_GUID_NOT_FOUND, "the guest knows no such adapter"},
		{IC_STATUS_NOT_SUPPORTED, "the guest does not support it"},
		{IC_STATUS_ALREADY_EXISTS, "the file exists already in the guest"},
		{IC_STATUS_INVALID, "the guest calls it invalid"},
		{IC_STATUS_DISK_FULL, "the guest's disk is full"},
		{IC_STATUS_NO_MORE_ITEMS, "there is no such key"},
		{IC_STATUS_LOCKED, "the guest is locked"},
		{IC_STATUS_NOT_CONNECTED, "the guest is not ready for it"},
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (texts[i].status == status)
			return texts[i].text;
	return NULL;
}

static int status_error(
	const struct ic_service *s, uint32_t status, const char *what, struct err *e)
{
	const char *text = status_text(status);

	if (text)
		return err_set(e, -EIO, "%s: %s", what, text);
	return err_set(e, -EIO, "%s: the guest could not do it (status %#x); does it run %s?", what,
		status, s->needs);
}

int ic_request_error(
	const struct ic_service *s, const struct ic_request *r, const char *what, struct err *e)
{
	switch (r->error) {
	case 0:
		return r->status ? status_error(s, r->status, what, e) : 0;
	case -ENODEV:
		return err_set(
			e, r->error, "%s: the VM does not offer %s; see --ic", what, s->name);
	case -ENOTCONN:
		return err_set(e, r->error, "%s: the guest has not opened it yet; it needs %s",
			what, s->needs);
	case -EOPNOTSUPP:
		return err_set(
			e, r->error, "%s: the guest knows no version of it that we do", what);
	case -EBUSY:
		return err_set(e, r->error, "%s: too many requests wait for the guest", what);
	case -ETIMEDOUT:
		return err_set(e, r->error, "%s: the guest did not answer in time; does it run %s?",
			what, s->needs);
	default:
		return err_set(e, r->error, "%s: the guest ended or closed the service", what);
	}
}
