/* SPDX-License-Identifier: MIT */
/*
 * Crash reports: five parameters, and a text when P3 and P4 give its address and
 * size. Nothing is trusted: the text is bounded, copied and may have any byte.
 *
 * Source: Linux drivers/hv, HV_MSR_CRASH_*.
 */
#include <string.h>

#include "base/log.h"
#include "hyper/hv/hv_impl.h"

#define CRASH_CAPABILITIES (HV_CRASH_CTL_NOTIFY | HV_CRASH_CTL_MESSAGE)

/* crash is zeroed: the text ends with the copy. */
static void read_text(const struct hv *hv, struct hv_crash *crash)
{
	uint64_t gpa = crash->param[HV_CRASH_PARAM_TEXT_GPA];
	uint64_t size = crash->param[HV_CRASH_PARAM_TEXT_SIZE];

	if (size > HV_PAGE_SIZE)
		size = HV_PAGE_SIZE;
	if (gmem_read(hv->config.gmem, gpa, crash->message, size))
		log_guest("the text of a crash report is not in RAM");
}

static void report(struct hv *hv, uint64_t control)
{
	struct hv_crash crash;

	memset(&crash, 0, sizeof(crash));
	pthread_mutex_lock(&hv->lock);
	memcpy(crash.param, hv->crash_param, sizeof(crash.param));
	pthread_mutex_unlock(&hv->lock);
	if (control & HV_CRASH_CTL_MESSAGE)
		read_text(hv, &crash);
	hv_count(&hv->counters.crashes);
	hv->config.port->crash(hv->config.ctx, &crash);
}

int crash_msr_read(struct hv *hv, struct hv_vp *vp, uint32_t msr, uint64_t *value)
{
	if (msr == HV_MSR_CRASH_CTL) {
		*value = CRASH_CAPABILITIES;
		return 0;
	}
	pthread_mutex_lock(&hv->lock);
	*value = hv->crash_param[msr - HV_MSR_CRASH_P0];
	pthread_mutex_unlock(&hv->lock);
	return 0;
}

int crash_msr_write(struct hv *hv, struct hv_vp *vp, uint32_t msr, uint64_t value)
{
	if (msr == HV_MSR_CRASH_CTL) {
		if (value & HV_CRASH_CTL_NOTIFY)
			report(hv, value);
		return 0;
	}
	pthread_mutex_lock(&hv->lock);
	hv->crash_param[msr - HV_MSR_CRASH_P0] = value;
	pthread_mutex_unlock(&hv->lock);
	return 0;
}
