/* SPDX-License-Identifier: MIT */
/*
 * Reference time: 100 ns units since hv_init(), one formula over the guest's
 * TSC for the MSR, the timers and the reference TSC page, so that a guest that
 * uses all of them sees monotonic time.
 *
 * A pause of the VM (hv_time_pause) moves the offset by what the TSC counted meanwhile, nothing
 * where the TSC can be stopped.
 *
 * Without a usable TSC frequency (it must exceed the 10 MHz of reference time)
 * the scale is 0: time stands still and the page is invalid.
 *
 * Source: TLFS, chapter timers.
 */
#include <errno.h>

#include "hyper/hv/hv_impl.h"

#define REF_TIME_HZ 10000000ull

#define SEQUENCE_INVALID  0u
#define SEQUENCE_RESERVED 0xFFFFFFFFu /* invalid for old guests, too */

static uint64_t tsc_scale(uint64_t tsc_hz)
{
	if (tsc_hz <= REF_TIME_HZ)
		return 0;
	return (uint64_t)(((unsigned __int128)REF_TIME_HZ << 64) / tsc_hz);
}

static uint64_t tsc_scaled(const struct hv *hv)
{
	uint64_t tsc = hv->config.port->guest_tsc(hv->config.ctx);

	return (uint64_t)(((unsigned __int128)tsc * hv->tsc_scale) >> 64);
}

void reftime_init(struct hv *hv)
{
	hv->tsc_scale = tsc_scale(hv->config.tsc_hz);
	hv->tsc_offset = (int64_t)(0 - tsc_scaled(hv));
}

/* A TSC below that of hv_init() would give a negative time, which wraps: 0 instead. */
uint64_t hv_ref_time(struct hv *hv)
{
	uint64_t tsc = atomic_load(&hv->time_paused) ? hv->paused_tsc : tsc_scaled(hv);
	int64_t time = (int64_t)(tsc + (uint64_t)hv->tsc_offset);

	return time < 0 ? 0 : (uint64_t)time;
}

/* Under hv.lock. */
static uint32_t next_sequence(struct hv *hv)
{
	if (hv->tsc_scale == 0)
		return SEQUENCE_INVALID;
	do
		hv->tsc_sequence++;
	while (hv->tsc_sequence == SEQUENCE_INVALID || hv->tsc_sequence == SEQUENCE_RESERVED);
	return hv->tsc_sequence;
}

/* Readers read scale and offset between two reads of an equal, valid sequence. */
static void page_update(struct hv *hv, struct hv_reference_tsc_page GUEST_SHARED *page)
{
	__atomic_store_n(&page->sequence, SEQUENCE_INVALID, __ATOMIC_SEQ_CST);
	__atomic_store_n(&page->scale, hv->tsc_scale, __ATOMIC_SEQ_CST);
	__atomic_store_n(&page->offset, hv->tsc_offset, __ATOMIC_SEQ_CST);
	__atomic_store_n(&page->sequence, next_sequence(hv), __ATOMIC_RELEASE);
}

int reftime_msr_read(struct hv *hv, struct hv_vp *vp, uint32_t msr, uint64_t *value)
{
	if (msr == HV_MSR_TIME_REF_COUNT) {
		*value = hv_ref_time(hv);
		return 0;
	}
	pthread_mutex_lock(&hv->lock);
	*value = hv->reference_tsc;
	pthread_mutex_unlock(&hv->lock);
	return 0;
}

/* A page outside RAM is accepted, and not written. */
int reftime_msr_write(struct hv *hv, struct hv_vp *vp, uint32_t msr, uint64_t value)
{
	void GUEST_SHARED *page;

	pthread_mutex_lock(&hv->lock);
	hv->reference_tsc = value;
	page = hv_msr_page(hv, value);
	if (page)
		page_update(hv, page);
	pthread_mutex_unlock(&hv->lock);
	return 0;
}

/* ---- pause --------------------------------------------------------------- */

void hv_time_pause(struct hv *hv)
{
	hv->paused_tsc = tsc_scaled(hv);
	atomic_store(&hv->time_paused, true);
}

/* A VP may have been paused between its two reads of the sequence: with a new offset under the old
 * sequence it would mix old and new. */
void hv_time_resume(struct hv *hv)
{
	int64_t ran_on = (int64_t)(tsc_scaled(hv) - hv->paused_tsc);
	void GUEST_SHARED *page;

	pthread_mutex_lock(&hv->lock);
	hv->tsc_offset -= ran_on;
	page = hv_msr_page(hv, hv->reference_tsc);
	if (page && (ran_on || hv->tsc_page_stale))
		page_update(hv, page);
	hv->tsc_page_stale = false;
	pthread_mutex_unlock(&hv->lock);
	atomic_store(&hv->time_paused, false);
}

bool hv_time_is_paused(struct hv *hv)
{
	return atomic_load(&hv->time_paused);
}

/* ---- saving -------------------------------------------------------------- */

/* Goes on from the reference time of the image, whatever the TSC is here. */
static void set_paused_time(struct hv *hv, uint64_t time, uint64_t page_scale, uint64_t page_offset)
{
	hv->paused_tsc = tsc_scaled(hv);
	hv->tsc_offset = (int64_t)(time - hv->paused_tsc);
	hv->tsc_page_stale = hv->tsc_scale != page_scale || (uint64_t)hv->tsc_offset != page_offset;
	atomic_store(&hv->time_paused, true);
}

void reftime_archive(struct hv *hv, struct archive *a)
{
	uint64_t time = hv_ref_time(hv), scale = hv->tsc_scale, offset = (uint64_t)hv->tsc_offset;

	archive_u64(a, "reference_time", &time);
	archive_u64(a, "tsc_scale", &scale);
	archive_u64(a, "tsc_offset", &offset);
	archive_u64(a, "reference_tsc", &hv->reference_tsc);
	archive_u32(a, "tsc_sequence", &hv->tsc_sequence);
	if (a->reading)
		set_paused_time(hv, time, scale, offset);
}
