/* SPDX-License-Identifier: MIT */
/*
 * The synthetic interrupt controller of each VP: 16 SINTs, each with one
 * message slot and 2048 event flags in pages of the guest.
 *
 * A message:
 *   posted -> QUEUED -> SLOT -> gone
 *   QUEUED  in hv_vp.queue[sint] (or hv_stimer.message_pending), without time limit
 *   SLOT    in the guest's page with type != 0, until the guest clears type
 * QUEUED -> SLOT needs an open SINT and an empty slot, and is tried whenever
 * either may have become true: post, timer expiry, EOM of any VP (Linux empties
 * the slots of dead VPs from one VP when it panics), SynIC register write. A
 * message behind a busy slot requests the EOM with the slot's pending flag.
 *
 * An event:
 *   signalled -> REMEMBERED (closed SINT) -> FLAG in the guest's page
 * A flag set while the SINT is closed would never interrupt, since the next
 * signal would find it set; so it is remembered outside the page.
 *
 * "Open": SCONTROL enabled, page enabled and in RAM, SINT not masked. All of it
 * is under hv_vp.lock, so the page is not written after a disabling MSR write.
 *
 * Source: TLFS, chapter inter-partition-communication.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "hyper/hv/hv_impl.h"

#define FLAG_BITS 32u

#define SLOT_PAYLOAD_WORD (offsetof(struct hv_message, payload) / sizeof(uint64_t))

/* ---- interrupts ---------------------------------------------------------- */

static bool sint_open(const struct hv_vp *vp, uint32_t sint)
{
	return (vp->scontrol & HV_SCONTROL_ENABLE) && !(vp->sint[sint] & HV_SINT_MASKED);
}

/* The vector of a SINT, 0 = none. */
static uint8_t sint_vector(uint64_t sint)
{
	return sint & (HV_SINT_MASKED | HV_SINT_POLLING) ? 0
							 : (uint8_t)(sint & HV_SINT_VECTOR_MASK);
}

/* The vector of a SINT that the port has a route for, 0 = none. */
static uint8_t routed_vector(uint64_t sint)
{
	return sint & HV_SINT_AUTO_EOI ? 0 : sint_vector(sint);
}

static void interrupt(struct hv *hv, struct hv_vp *vp, uint32_t sint)
{
	uint8_t vector = sint_vector(vp->sint[sint]);

	if (!vector)
		return;
	hv_count(&hv->counters.interrupts);
	if (vp->sint[sint] & HV_SINT_AUTO_EOI)
		hv->config.port->inject_auto_eoi(hv->config.ctx, vp->index, vector);
	else
		hv->config.port->inject(hv->config.ctx, vp->index, sint, vector);
}

/* ---- messages ------------------------------------------------------------ */

static bool slot_free(struct hv_message GUEST_SHARED *slot)
{
	/* Acquire: the guest has read the slot before we write to it again. */
	return __atomic_load_n(&slot->type, __ATOMIC_ACQUIRE) == HV_MESSAGE_TYPE_NONE;
}

/* Requests an EOM when the guest empties the slot. A byte operation: a larger one could restore a
 * type that the guest has just cleared. True when the slot is free after all:
 * the guest clears type and then reads flags, we set flags and then read type, both with a full
 * barrier between, so at least one side sees the other. */
static bool slot_ask_eom(struct hv_message GUEST_SHARED *slot)
{
	__atomic_fetch_or(&slot->flags, HV_MESSAGE_FLAG_PENDING, __ATOMIC_SEQ_CST);
	return __atomic_load_n(&slot->type, __ATOMIC_SEQ_CST) == HV_MESSAGE_TYPE_NONE;
}

/* The slot first, then the type: from then on it is the guest's. */
static void slot_write(struct hv_message GUEST_SHARED *slot, const struct hv_message *msg)
{
	uint64_t GUEST_SHARED *to = (uint64_t GUEST_SHARED *)slot;
	uint64_t from[sizeof(*msg) / sizeof(uint64_t)];

	memcpy(from, msg, sizeof(*msg));
	for (size_t i = SLOT_PAYLOAD_WORD; i < sizeof(*msg) / sizeof(uint64_t); i++)
		__atomic_store_n(&to[i], from[i], __ATOMIC_RELAXED);
	__atomic_store_n(&slot->sender, msg->sender, __ATOMIC_RELAXED);
	__atomic_store_n(&slot->reserved, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&slot->payload_size, msg->payload_size, __ATOMIC_RELAXED);
	__atomic_store_n(&slot->flags, msg->flags, __ATOMIC_RELAXED);
	__atomic_store_n(&slot->type, msg->type, __ATOMIC_RELEASE);
}

static bool message_waiting(const struct hv_vp *vp, uint32_t sint)
{
	return !list_empty(&vp->queue[sint]) || stimer_message_waiting(vp, sint);
}

static void message_free(struct hv *hv, struct hv_synic_message *m)
{
	budget_give(hv->config.budget, BUDGET_MESSAGES, sizeof(*m));
	free(m);
}

static void queue_take(struct hv *hv, struct hv_vp *vp, uint32_t sint, struct hv_message *msg)
{
	struct hv_synic_message *m =
		container_of(vp->queue[sint].next, struct hv_synic_message, link);

	*msg = m->msg;
	list_del(&m->link);
	vp->queued--;
	message_free(hv, m);
}

void synic_deliver(struct hv *hv, struct hv_vp *vp, uint32_t sint)
{
	struct hv_message GUEST_SHARED *slot;
	struct hv_message msg;

	if (!message_waiting(vp, sint) || !sint_open(vp, sint) || !vp->message_page)
		return;
	slot = &vp->message_page->sint[sint];
	if (!slot_free(slot) && !slot_ask_eom(slot))
		return;
	/* Timers first: at most four, and late ones are useless. */
	if (stimer_message_waiting(vp, sint))
		stimer_message_take(hv, vp, sint, &msg);
	else
		queue_take(hv, vp, sint, &msg);
	msg.flags = message_waiting(vp, sint) ? HV_MESSAGE_FLAG_PENDING : 0;
	slot_write(slot, &msg);
	hv_count(&hv->counters.messages_delivered);
	interrupt(hv, vp, sint);
}

static int queue_add(struct hv_vp *vp, uint32_t sint, struct hv_synic_message *m)
{
	if (vp->queued >= HV_SYNIC_QUEUE_MAX)
		return -ENOBUFS;
	list_add_tail(&vp->queue[sint], &m->link);
	vp->queued++;
	return 0;
}

/* Zeroed: the tail reaches the guest. */
static struct hv_synic_message *message_alloc(struct hv *hv)
{
	struct hv_synic_message *m;

	if (!budget_take(hv->config.budget, BUDGET_MESSAGES, sizeof(*m)))
		return NULL;
	m = calloc(1, sizeof(*m));
	if (!m)
		budget_give(hv->config.budget, BUDGET_MESSAGES, sizeof(*m));
	return m;
}

static struct hv_synic_message *message_create(
	struct hv *hv, uint32_t type, uint64_t sender, const void *payload, uint32_t size)
{
	struct hv_synic_message *m = message_alloc(hv);

	if (!m)
		return NULL;
	m->msg.type = type;
	m->msg.payload_size = (uint8_t)size;
	m->msg.sender = sender;
	if (size)
		memcpy(m->msg.payload, payload, size);
	return m;
}

int synic_post(struct hv *hv, uint32_t vp_index, uint32_t sint, uint32_t type, uint64_t sender,
	const void *payload, uint32_t size)
{
	struct hv_synic_message *m;
	struct hv_vp *vp;
	int ret;

	if (vp_index >= hv->config.vp_count || sint >= HV_SINT_COUNT ||
		type == HV_MESSAGE_TYPE_NONE || (type & HV_MESSAGE_TYPE_RESERVED) ||
		size > HV_MESSAGE_PAYLOAD_MAX)
		return -EINVAL;
	m = message_create(hv, type, sender, payload, size);
	if (!m) {
		hv_count(&hv->counters.messages_refused);
		return -ENOMEM;
	}
	vp = &hv->vp[vp_index];
	pthread_mutex_lock(&vp->lock);
	ret = queue_add(vp, sint, m);
	if (!ret)
		synic_deliver(hv, vp, sint);
	pthread_mutex_unlock(&vp->lock);
	if (ret) {
		message_free(hv, m);
		hv_count(&hv->counters.messages_refused);
	}
	return ret;
}

static void queue_drop(struct hv *hv, struct hv_vp *vp, uint32_t sint)
{
	struct hv_message dropped;

	while (!list_empty(&vp->queue[sint]))
		queue_take(hv, vp, sint, &dropped);
}

/* ---- events -------------------------------------------------------------- */

/* Raises flags of one word; true when one of them was clear. */
static bool flags_raise(
	struct hv *hv, struct hv_vp *vp, uint32_t sint, uint32_t word, uint32_t bits)
{
	uint32_t old = __atomic_fetch_or(&vp->event_page->sint[sint][word], bits, __ATOMIC_SEQ_CST);
	uint32_t raised = bits & ~old;

	atomic_fetch_add_explicit(&hv->counters.events_raised, (uint64_t)__builtin_popcount(raised),
		memory_order_relaxed);
	return raised != 0;
}

static void event_remember(struct hv_vp *vp, uint32_t sint, uint32_t flag)
{
	vp->pending_events[sint][flag / FLAG_BITS] |= 1u << flag % FLAG_BITS;
	vp->pending_sints |= 1u << sint;
}

void synic_signal(struct hv *hv, uint32_t vp_index, uint32_t sint, uint32_t flag)
{
	struct hv_vp *vp;

	if (vp_index >= hv->config.vp_count || sint >= HV_SINT_COUNT ||
		flag >= HV_EVENT_FLAGS_COUNT)
		return;
	vp = &hv->vp[vp_index];
	pthread_mutex_lock(&vp->lock);
	if (!sint_open(vp, sint) || !vp->event_page)
		event_remember(vp, sint, flag);
	else if (flags_raise(hv, vp, sint, flag / FLAG_BITS, 1u << flag % FLAG_BITS))
		interrupt(hv, vp, sint);
	pthread_mutex_unlock(&vp->lock);
}

static void events_forget(struct hv_vp *vp, uint32_t sint)
{
	memset(vp->pending_events[sint], 0, sizeof(vp->pending_events[sint]));
	vp->pending_sints &= ~(1u << sint);
}

static void events_replay(struct hv *hv, struct hv_vp *vp, uint32_t sint)
{
	bool raised = false;

	if (!(vp->pending_sints & 1u << sint) || !sint_open(vp, sint) || !vp->event_page)
		return;
	for (uint32_t word = 0; word < HV_EVENT_FLAG_WORDS; word++) {
		uint32_t bits = vp->pending_events[sint][word];

		if (bits && flags_raise(hv, vp, sint, word, bits))
			raised = true;
	}
	events_forget(vp, sint);
	if (raised)
		interrupt(hv, vp, sint);
}

/* ---- both ---------------------------------------------------------------- */

/* Under the lock: delivers messages and events after a change of the SynIC's state. */
static void rescan(struct hv *hv, struct hv_vp *vp)
{
	for (uint32_t sint = 0; sint < HV_SINT_COUNT; sint++) {
		events_replay(hv, vp, sint);
		synic_deliver(hv, vp, sint);
	}
}

void synic_flush(struct hv *hv, uint32_t sint)
{
	if (sint >= HV_SINT_COUNT)
		return;
	for (uint32_t i = 0; i < hv->config.vp_count; i++) {
		struct hv_vp *vp = &hv->vp[i];

		pthread_mutex_lock(&vp->lock);
		queue_drop(hv, vp, sint);
		events_forget(vp, sint);
		pthread_mutex_unlock(&vp->lock);
	}
}

void synic_interrupt_sint(struct hv *hv, uint32_t vp_index, uint32_t sint)
{
	struct hv_vp *vp = &hv->vp[vp_index];

	pthread_mutex_lock(&vp->lock);
	if (sint_open(vp, sint))
		interrupt(hv, vp, sint);
	pthread_mutex_unlock(&vp->lock);
}

void synic_interrupt(struct hv *hv, uint32_t vp_index)
{
	for (uint32_t sint = 0; sint < HV_SINT_COUNT; sint++)
		synic_interrupt_sint(hv, vp_index, sint);
}

void synic_vp_init(struct hv_vp *vp)
{
	for (uint32_t sint = 0; sint < HV_SINT_COUNT; sint++) {
		vp->sint[sint] = HV_SINT_RESET_VALUE;
		list_init(&vp->queue[sint]);
	}
}

void synic_vp_fini(struct hv *hv, struct hv_vp *vp)
{
	for (uint32_t sint = 0; sint < HV_SINT_COUNT; sint++)
		queue_drop(hv, vp, sint);
}

/* ---- registers ----------------------------------------------------------- */

/* A new value of SIMP or SIEFP; returns the new page. The page is zeroed when it is enabled or
 * moved, like a new overlay page of Hyper-V. */
static void GUEST_SHARED *page_switch(struct hv *hv, uint64_t *reg, uint64_t value)
{
	uint64_t GUEST_SHARED *page = hv_msr_page(hv, value);

	if (page && hv_msr_page_moved(*reg, value))
		for (size_t i = 0; i < HV_PAGE_WORDS; i++)
			__atomic_store_n(&page[i], 0, __ATOMIC_RELAXED);
	*reg = value;
	return page;
}

static void control_write(struct hv *hv, struct hv_vp *vp, uint32_t msr, uint64_t value)
{
	pthread_mutex_lock(&vp->lock);
	if (msr == HV_MSR_SCONTROL)
		vp->scontrol = value;
	else if (msr == HV_MSR_SIMP)
		vp->message_page = page_switch(hv, &vp->simp, value);
	else
		vp->event_page = page_switch(hv, &vp->siefp, value);
	rescan(hv, vp);
	pthread_mutex_unlock(&vp->lock);
}

/* The port changes its route between two states of the register. The SINT is masked meanwhile, so
 * that no injection uses a half-changed route. Only this thread writes the register. */
static int sint_write(struct hv *hv, struct hv_vp *vp, uint32_t sint, uint64_t value)
{
	uint8_t old_vector, vector = routed_vector(value);

	if (!(value & HV_SINT_MASKED) && (value & HV_SINT_VECTOR_MASK) < HV_SINT_FIRST_VECTOR)
		return -EPERM;
	pthread_mutex_lock(&vp->lock);
	old_vector = routed_vector(vp->sint[sint]);
	vp->sint[sint] |= HV_SINT_MASKED;
	pthread_mutex_unlock(&vp->lock);
	if (vector != old_vector)
		hv->config.port->sint_changed(hv->config.ctx, vp->index, sint, vector);
	pthread_mutex_lock(&vp->lock);
	vp->sint[sint] = value;
	rescan(hv, vp);
	pthread_mutex_unlock(&vp->lock);
	return 0;
}

/* The empty slot may belong to another VP. */
static void eom_write(struct hv *hv)
{
	for (uint32_t i = 0; i < hv->config.vp_count; i++) {
		pthread_mutex_lock(&hv->vp[i].lock);
		rescan(hv, &hv->vp[i]);
		pthread_mutex_unlock(&hv->vp[i].lock);
	}
}

/* The registers are only written by this thread: reading them needs no lock. */
int synic_msr_read(struct hv *hv, struct hv_vp *vp, uint32_t msr, uint64_t *value)
{
	switch (msr) {
	case HV_MSR_SCONTROL:
		*value = vp->scontrol;
		return 0;
	case HV_MSR_SVERSION:
		*value = HV_SYNIC_VERSION;
		return 0;
	case HV_MSR_SIEFP:
		*value = vp->siefp;
		return 0;
	case HV_MSR_SIMP:
		*value = vp->simp;
		return 0;
	case HV_MSR_EOM:
		*value = 0;
		return 0;
	default:
		*value = vp->sint[msr - HV_MSR_SINT0];
		return 0;
	}
}

int synic_msr_write(struct hv *hv, struct hv_vp *vp, uint32_t msr, uint64_t value)
{
	switch (msr) {
	case HV_MSR_SCONTROL:
	case HV_MSR_SIMP:
	case HV_MSR_SIEFP:
		control_write(hv, vp, msr, value);
		return 0;
	case HV_MSR_SVERSION:
		return -EPERM;
	case HV_MSR_EOM:
		eom_write(hv);
		return 0;
	default:
		return sint_write(hv, vp, msr - HV_MSR_SINT0, value);
	}
}

/* ---- saving -------------------------------------------------------------- */

static void message_archive(struct archive *a, struct hv_message *msg)
{
	archive_begin(a, NULL, 1);
	archive_bytes(a, "message", msg, sizeof(*msg));
	archive_end(a);
	if (a->reading &&
		(msg->type == HV_MESSAGE_TYPE_NONE || (msg->type & HV_MESSAGE_TYPE_RESERVED) ||
			msg->payload_size > HV_MESSAGE_PAYLOAD_MAX))
		archive_fail(a, "no message");
}

static void message_read(struct hv *hv, struct hv_vp *vp, uint32_t sint, struct archive *a)
{
	struct hv_synic_message *m = message_alloc(hv);

	if (!m) {
		archive_fail(a, "out of memory");
		return;
	}
	message_archive(a, &m->msg);
	if (!a->error && !queue_add(vp, sint, m))
		return;
	archive_fail(a, "more messages than a VP can have");
	message_free(hv, m);
}

static void queue_archive(struct hv *hv, struct hv_vp *vp, uint32_t sint, struct archive *a)
{
	uint32_t count = 0;

	list_for_each (pos, &vp->queue[sint])
		count++;
	count = archive_list(a, "queue", count, HV_SYNIC_QUEUE_MAX);
	if (a->reading)
		for (uint32_t i = 0; i < count && !a->error; i++)
			message_read(hv, vp, sint, a);
	else
		list_for_each (pos, &vp->queue[sint])
			message_archive(a, &container_of(pos, struct hv_synic_message, link)->msg);
	archive_end(a);
}

static void events_archive(struct hv_vp *vp, uint32_t sint, struct archive *a)
{
	bool pending = vp->pending_sints >> sint & 1;

	archive_bool(a, "events_pending", &pending);
	if (!pending)
		return;
	archive_bytes(a, "events", vp->pending_events[sint], sizeof(vp->pending_events[sint]));
	vp->pending_sints |= 1u << sint;
}

static void sint_archive(struct hv *hv, struct hv_vp *vp, uint32_t sint, struct archive *a)
{
	uint64_t value = vp->sint[sint];

	archive_begin(a, NULL, 1);
	archive_u64(a, "sint", &value);
	if (!(value & HV_SINT_MASKED) && (value & HV_SINT_VECTOR_MASK) < HV_SINT_FIRST_VECTOR)
		archive_fail(a, "vector %u", (unsigned)(value & HV_SINT_VECTOR_MASK));
	queue_archive(hv, vp, sint, a);
	events_archive(vp, sint, a);
	archive_end(a);
	if (!a->error)
		vp->sint[sint] = value;
}

/* The pages are in guest memory, with what they hold: only their places are set. */
static void pages_find(struct hv *hv, struct hv_vp *vp)
{
	vp->message_page = hv_msr_page(hv, vp->simp);
	vp->event_page = hv_msr_page(hv, vp->siefp);
}

void synic_archive(struct hv *hv, struct hv_vp *vp, struct archive *a)
{
	uint32_t count = archive_list(a, "sints", HV_SINT_COUNT, HV_SINT_COUNT);

	for (uint32_t sint = 0; sint < count; sint++)
		sint_archive(hv, vp, sint, a);
	if (count != HV_SINT_COUNT)
		archive_fail(a, "some are missing");
	archive_end(a);
	archive_u64(a, "scontrol", &vp->scontrol);
	archive_u64(a, "siefp", &vp->siefp);
	archive_u64(a, "simp", &vp->simp);
	if (a->reading)
		pages_find(hv, vp);
}

void synic_restored(struct hv *hv, struct hv_vp *vp)
{
	for (uint32_t sint = 0; sint < HV_SINT_COUNT; sint++) {
		uint8_t vector = routed_vector(vp->sint[sint]);

		if (vector)
			hv->config.port->sint_changed(hv->config.ctx, vp->index, sint, vector);
	}
	pthread_mutex_lock(&vp->lock);
	rescan(hv, vp);
	pthread_mutex_unlock(&vp->lock);
	synic_interrupt(hv, vp->index);
}
