/* SPDX-License-Identifier: MIT */
/* What is asked of the guest, one request at a time. */
#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "vsp/dynmem/dynmem_impl.h"

static uint64_t pages_of(uint64_t bytes)
{
	return bytes >> DM_PAGE_SHIFT;
}

/* ---- requests ------------------------------------------------------------ */

static void request_sent(struct vsp_channel *ch, struct vsp_out *out)
{
	container_of(out, struct dynmem_channel, request_out)->request_sending = false;
}

void dynmem_ask(struct dynmem_channel *c, enum dynmem_state next, uint16_t type, uint32_t size)
{
	struct dm_header *h = (struct dm_header *)c->request;

	assert(!c->request_sending && size <= sizeof(c->request));
	*h = (struct dm_header){
		.type = type, .size = (uint16_t)size, .transaction = ++c->transaction};
	counter_set(&c->state, next);
	c->request_sending = true;
	c->request_out = (struct vsp_out){
		.packet = {.type = VMBUS_PKT_INBAND, .payload = {c->request, size}},
		.sent = request_sent,
	};
	vsp_send(c->ch, &c->request_out);
}

static void take(struct dynmem_channel *c, uint64_t bytes)
{
	struct dm_balloon_request *m = (void *)c->request;

	c->asked = pages_of(bytes);
	c->answered = 0;
	c->last = false;
	*m = (struct dm_balloon_request){.pages = (uint32_t)c->asked};
	dynmem_ask(c, DYNMEM_TAKING, DM_BALLOON_REQUEST, sizeof(*m));
}

/* The guest owns the pages before it knows. */
static void give(struct dynmem_channel *c, uint64_t bytes)
{
	const struct gmem *g = vsp_device_gmem(vsp_channel_device(c->ch));
	struct dm_unballoon_request *m = (void *)c->request;
	uint64_t *ranges = (uint64_t *)(m + 1), left = pages_of(bytes), at = 0;
	struct gmem_run run;

	*m = (struct dm_unballoon_request){.count = 0};
	while (left && m->count < DM_RANGES_MAX &&
		gmem_pages_next(
			g, &at, left < DM_RANGE_COUNT_MAX ? left : DM_RANGE_COUNT_MAX, &run)) {
		gmem_pages_give(g, &run);
		ranges[m->count++] = run.gpa >> DM_PAGE_SHIFT | run.pages << DM_RANGE_COUNT_SHIFT;
		left -= run.pages;
		counter_add(&c->given, run.pages);
	}
	dynmem_ask(c, DYNMEM_GIVING, DM_UNBALLOON_REQUEST,
		(uint32_t)(sizeof(*m) + m->count * sizeof(*ranges)));
}

/* ---- adding -------------------------------------------------------------- */

static void add(struct dynmem_channel *c, uint64_t bytes)
{
	counter_set(&c->state, DYNMEM_MAPPING);
	dynmem_map(c, bytes);
}

uint64_t dynmem_retry_ns(const struct dynmem_channel *c)
{
	const struct dynmem_config *config = &dynmem_device_of(c)->config;

	return config->retry_ns ? config->retry_ns : DYNMEM_RETRY_NS;
}

static void add_later(struct dynmem_channel *c)
{
	c->add_after_ns = loop_now_ns() + dynmem_retry_ns(c);
	dynmem_done(c);
}

/* The channel may have been paused or closed meanwhile. */
void dynmem_add_request(struct dynmem_channel *c, int error, uint64_t bytes)
{
	const struct gmem *g = vsp_device_gmem(vsp_channel_device(c->ch));
	struct dm_hot_add_request *m = (void *)c->request;
	uint64_t start = g->added_start + dynmem_device_of(c)->accepted;

	if (error)
		log_event(
			LOG_WARN, "dynamic memory: no memory could be added: %s", strerror(-error));
	if (error) {
		add_later(c);
		return;
	}
	if (c->paused || c->stopping) {
		dynmem_done(c);
		return;
	}
	c->asked = bytes;
	c->asked_ns = loop_now_ns();
	*m = (struct dm_hot_add_request){
		.range = pages_of(start) | pages_of(bytes) << DM_RANGE_COUNT_SHIFT};
	dynmem_ask(c, DYNMEM_ADDING, DM_HOT_ADD_REQUEST, sizeof(*m));
}

static void added(struct dynmem_channel *c, uint64_t bytes)
{
	dynmem_device_of(c)->accepted += bytes;
	c->checked = (struct dynmem_added){
		.bytes = c->reported ? bytes : 0,
		.took_ns = loop_now_ns() - c->asked_ns,
		.available = c->available,
		.committed = c->committed,
	};
	if (bytes < c->asked)
		add_later(c);
	else
		dynmem_done(c);
}

/* A part is one from the begin, of whole blocks: then the next one has its alignment. */
int dynmem_add_answered(struct dynmem_channel *c, const struct dm_hot_add_response *r)
{
	uint64_t bytes = (uint64_t)r->pages << DM_PAGE_SHIFT;

	if (bytes > c->asked || bytes % c->alignment)
		return -EPROTO;
	if (r->result != DM_HOT_ADD_LATER && !bytes) {
		log_event(LOG_WARN, "dynamic memory: the guest takes no more memory");
		counter_set(&c->adding, DYNMEM_ADD_REFUSED);
		dynmem_done(c);
	} else if (bytes) {
		added(c, bytes);
	} else {
		add_later(c);
	}
	return 0;
}

/* ---- the next step ------------------------------------------------------- */

static void timer_due(struct loop_timer *timer)
{
	dynmem_step(container_of(timer, struct dynmem_channel, timer));
}

/* Runs again when the guest may be asked. */
static void wait(struct dynmem_channel *c, uint64_t ns)
{
	loop_timer_start(vsp_channel_loop(c->ch), &c->timer, ns, timer_due);
}

static void perform(struct dynmem_channel *c, enum dynmem_action action, uint64_t bytes)
{
	uint64_t now = loop_now_ns();
	uint64_t after = action == DYNMEM_ADD ? c->add_after_ns : c->take_after_ns;

	if (action != DYNMEM_GIVE && after > now)
		wait(c, after - now);
	else if (action == DYNMEM_TAKE)
		take(c, bytes);
	else if (action == DYNMEM_GIVE)
		give(c, bytes);
	else
		add(c, bytes);
}

void dynmem_step(struct dynmem_channel *c)
{
	enum dynmem_action action;
	struct dynmem_view v;
	uint64_t bytes;

	if (c->state != DYNMEM_IDLE || c->paused || c->stopping || c->request_sending)
		return;
	loop_timer_cancel(&c->timer);
	dynmem_tidy(c);
	dynmem_channel_view(c, &v);
	action = dynmem_next(&v, &bytes);
	if (action != DYNMEM_NOTHING)
		perform(c, action, bytes);
}

void dynmem_done(struct dynmem_channel *c)
{
	if (c->stopping)
		return;
	counter_set(&c->state, DYNMEM_IDLE);
	dynmem_step(c);
}
