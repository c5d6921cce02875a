/* SPDX-License-Identifier: MIT */
/*
 * Synthetic timers: four per VP, over one host timer.
 *
 *   STOPPED  due = HV_STIMER_NEVER: not enabled, or count 0
 *   RUNNING  due = reference time of the next expiry
 *   STOPPED -> RUNNING  CONFIG or COUNT write that leaves the timer enabled with a count
 *   RUNNING -> RUNNING  expiry, periodic; missed periods give one expiry together
 *   RUNNING -> STOPPED  expiry, one-shot (clears the enable bit); CONFIG or COUNT write
 *
 * Expiry in direct mode interrupts; else it leaves a message (message_pending)
 * that synic.c puts into the SINT's slot when that is free. A periodic expiry is
 * dropped while the last message still waits.
 *
 * The guest chooses count, so there is no loop over it and no unchecked sum: sums
 * saturate at HV_STIMER_NEVER, missed periods are divided out, and the host timer
 * is armed for periodic timers at most once per HV_STIMER_PERIOD_MIN.
 *
 * Source: TLFS, chapter timers.
 */
#include <string.h>

#include "hyper/hv/hv_impl.h"

static uint64_t time_add(uint64_t time, uint64_t delta)
{
	return delta > HV_STIMER_NEVER - time ? HV_STIMER_NEVER : time + delta;
}

static uint64_t period(const struct hv_stimer *t)
{
	return t->count < HV_STIMER_PERIOD_MIN ? HV_STIMER_PERIOD_MIN : t->count;
}

static uint8_t direct_vector(const struct hv_stimer *t)
{
	return (uint8_t)((t->config & HV_STIMER_VECTOR_MASK) >> HV_STIMER_VECTOR_SHIFT);
}

static uint32_t timer_sint(const struct hv_stimer *t)
{
	return (uint32_t)((t->config & HV_STIMER_SINT_MASK) >> HV_STIMER_SINT_SHIFT);
}

/* ---- messages ------------------------------------------------------------ */

static bool waiting_for(const struct hv_stimer *t, uint32_t sint)
{
	return t->message_pending && timer_sint(t) == sint;
}

bool stimer_message_waiting(const struct hv_vp *vp, uint32_t sint)
{
	for (uint32_t i = 0; i < HV_STIMER_COUNT; i++)
		if (waiting_for(&vp->stimer[i], sint))
			return true;
	return false;
}

void stimer_message_take(struct hv *hv, struct hv_vp *vp, uint32_t sint, struct hv_message *msg)
{
	struct hv_timer_message_payload payload = {0};
	uint32_t i = 0;

	while (!waiting_for(&vp->stimer[i], sint))
		i++;
	vp->stimer[i].message_pending = false;
	payload.timer_index = i;
	payload.expiration_time = vp->stimer[i].message_due;
	payload.delivery_time = hv_ref_time(hv);
	memset(msg, 0, sizeof(*msg));
	msg->type = HV_MESSAGE_TYPE_TIMER;
	msg->payload_size = sizeof(payload);
	memcpy(msg->payload, &payload, sizeof(payload));
}

/* ---- expiry -------------------------------------------------------------- */

/* The first multiple of the period after now. */
static uint64_t next_due(const struct hv_stimer *t, uint64_t now)
{
	uint64_t late = now - t->due;

	return time_add(now - late % period(t), period(t));
}

static void notify(struct hv *hv, struct hv_vp *vp, struct hv_stimer *t, uint64_t due)
{
	if (t->config & HV_STIMER_DIRECT) {
		hv_count(&hv->counters.interrupts);
		hv->config.port->inject_direct(hv->config.ctx, vp->index, direct_vector(t));
	} else if (!t->message_pending) {
		t->message_pending = true;
		t->message_due = due;
		synic_deliver(hv, vp, timer_sint(t));
	}
}

static void expire(struct hv *hv, struct hv_vp *vp, struct hv_stimer *t, uint64_t now)
{
	uint64_t due = t->due;

	if (t->config & HV_STIMER_PERIODIC) {
		t->due = next_due(t, now);
	} else {
		t->due = HV_STIMER_NEVER;
		t->config &= ~HV_STIMER_ENABLE;
	}
	hv_count(&hv->counters.timer_expiries);
	notify(hv, vp, t, due);
}

/* When the host timer must expire for this timer. Several periodic timers together must not wake
 * the host more often than one alone may. */
static uint64_t wake_time(const struct hv_vp *vp, const struct hv_stimer *t)
{
	uint64_t earliest = time_add(vp->timer_ran, HV_STIMER_PERIOD_MIN);

	if (t->due != HV_STIMER_NEVER && (t->config & HV_STIMER_PERIODIC) && t->due < earliest)
		return earliest;
	return t->due;
}

static void arm(struct hv *hv, struct hv_vp *vp)
{
	uint64_t wake = HV_STIMER_NEVER;

	for (uint32_t i = 0; i < HV_STIMER_COUNT; i++)
		if (wake_time(vp, &vp->stimer[i]) < wake)
			wake = wake_time(vp, &vp->stimer[i]);
	if (wake == vp->timer_armed)
		return;
	vp->timer_armed = wake;
	hv->config.port->timer_arm(hv->config.ctx, vp->index, wake);
}

/* Under hv_vp.lock. */
static void run(struct hv *hv, struct hv_vp *vp, uint64_t now)
{
	for (uint32_t i = 0; i < HV_STIMER_COUNT; i++)
		if (vp->stimer[i].due <= now)
			expire(hv, vp, &vp->stimer[i], now);
	arm(hv, vp);
}

void hv_stimer_expire(struct hv *hv, uint32_t vp_index)
{
	struct hv_vp *vp;

	if (vp_index >= hv->config.vp_count)
		return;
	vp = &hv->vp[vp_index];
	pthread_mutex_lock(&vp->lock);
	vp->timer_ran = hv_ref_time(hv);
	vp->timer_armed = HV_STIMER_NEVER; /* the host timer has expired */
	run(hv, vp, vp->timer_ran);
	pthread_mutex_unlock(&vp->lock);
}

void stimer_vp_init(struct hv_vp *vp)
{
	vp->timer_armed = HV_STIMER_NEVER;
	for (uint32_t i = 0; i < HV_STIMER_COUNT; i++)
		vp->stimer[i].due = HV_STIMER_NEVER;
}

/* ---- registers ----------------------------------------------------------- */

static bool is_count(uint32_t msr)
{
	return (msr - HV_MSR_STIMER0_CONFIG) % 2;
}

static struct hv_stimer *timer_of(struct hv_vp *vp, uint32_t msr)
{
	return &vp->stimer[(msr - HV_MSR_STIMER0_CONFIG) / 2];
}

/* Messages cannot go to SINT 0, nor direct interrupts to the exception vectors. */
static bool target_valid(const struct hv_stimer *t)
{
	if (t->config & HV_STIMER_DIRECT)
		return direct_vector(t) >= HV_SINT_FIRST_VECTOR;
	return timer_sint(t) != 0;
}

static void config_set(struct hv_stimer *t, uint64_t value)
{
	t->config = value & HV_STIMER_CONFIG_VALID;
	if (!target_valid(t))
		t->config &= ~HV_STIMER_ENABLE;
}

static void count_set(struct hv_stimer *t, uint64_t value)
{
	t->count = value;
	if (value == 0)
		t->config &= ~HV_STIMER_ENABLE;
	else if ((t->config & HV_STIMER_AUTO_ENABLE) && target_valid(t))
		t->config |= HV_STIMER_ENABLE;
}

/* Enabled with count 0: stopped until a count is written. */
static uint64_t first_due(const struct hv_stimer *t, uint64_t now)
{
	if (!(t->config & HV_STIMER_ENABLE) || t->count == 0)
		return HV_STIMER_NEVER;
	return t->config & HV_STIMER_PERIODIC ? time_add(now, period(t)) : t->count;
}

int stimer_msr_read(struct hv *hv, struct hv_vp *vp, uint32_t msr, uint64_t *value)
{
	const struct hv_stimer *t = timer_of(vp, msr);

	pthread_mutex_lock(&vp->lock);
	*value = is_count(msr) ? t->count : t->config;
	pthread_mutex_unlock(&vp->lock);
	return 0;
}

int stimer_msr_write(struct hv *hv, struct hv_vp *vp, uint32_t msr, uint64_t value)
{
	struct hv_stimer *t = timer_of(vp, msr);
	uint64_t now;

	pthread_mutex_lock(&vp->lock);
	t->message_pending = false; /* of the previous timer */
	if (is_count(msr))
		count_set(t, value);
	else
		config_set(t, value);
	now = hv_ref_time(hv);
	t->due = first_due(t, now);
	run(hv, vp, now);
	pthread_mutex_unlock(&vp->lock);
	return 0;
}

/* ---- saving -------------------------------------------------------------- */

static void one_archive(struct hv_stimer *t, struct archive *a)
{
	archive_begin(a, NULL, 1);
	archive_u64(a, "config", &t->config);
	archive_u64(a, "count", &t->count);
	archive_u64(a, "due", &t->due);
	archive_bool(a, "message_pending", &t->message_pending);
	archive_u64(a, "message_due", &t->message_due);
	archive_end(a);
	if (a->error)
		t->due = HV_STIMER_NEVER;
}

/* Due times are reference times, which goes on where it stood. */
void stimer_archive(struct hv_vp *vp, struct archive *a)
{
	uint32_t count = archive_list(a, "stimers", HV_STIMER_COUNT, HV_STIMER_COUNT);

	for (uint32_t i = 0; i < count; i++)
		one_archive(&vp->stimer[i], a);
	if (count != HV_STIMER_COUNT)
		archive_fail(a, "some are missing");
	archive_end(a);
	archive_u64(a, "timer_ran", &vp->timer_ran);
}

void stimer_restored(struct hv *hv, struct hv_vp *vp)
{
	pthread_mutex_lock(&vp->lock);
	vp->timer_armed = HV_STIMER_NEVER;
	arm(hv, vp);
	pthread_mutex_unlock(&vp->lock);
}
