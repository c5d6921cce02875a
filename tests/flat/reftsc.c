/* SPDX-License-Identifier: MIT */
/* Reference time: MSR and TSC page, on all VPs at once. Spec sheet "hypervisor", section 7. */
#include "hyperv.h"

#define RUN_US       200000ull
#define TICKS_PER_US 10ull
#define TICKS_PER_S  10000000ull

static volatile struct hv_reference_tsc_page page __attribute__((aligned(HV_PAGE_SIZE)));
static volatile uint32_t go, ready;
static volatile uint64_t latest; /* largest time any VP has seen */

static struct result {
	uint64_t reads, page_back, msr_back, cross_back;
} results[VPS_MAX];

static uint64_t page_time(void)
{
	uint64_t scale, tsc;
	uint32_t sequence;
	int64_t offset;

	do {
		sequence = page.sequence;
		scale = page.scale;
		offset = page.offset;
		tsc = rdtsc();
	} while (page.sequence != sequence);
	return (uint64_t)(((unsigned __int128)tsc * scale) >> 64) + (uint64_t)offset;
}

/* True when `time` is not before what another VP saw earlier. */
static bool publish(uint64_t time, uint64_t seen_before)
{
	uint64_t old = latest;

	while (old < time && !__atomic_compare_exchange_n(&latest, &old, time, false,
				     __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		;
	return time >= seen_before;
}

/* Page and MSR in turn: each reading must be at or after the one before. */
static void watch(void)
{
	struct result *r = &results[vp_this()->index];
	uint64_t end, msr = 0;

	__atomic_add_fetch(&ready, 1, __ATOMIC_SEQ_CST);
	while (!go)
		cpu_pause();
	end = rdtsc() + RUN_US * (tsc_hz() / 1000000);
	while (rdtsc() < end) {
		const uint64_t seen = latest;
		const uint64_t now = page_time();

		r->page_back += now < msr;
		r->cross_back += !publish(now, seen);
		msr = rdmsr(HV_MSR_TIME_REF_COUNT);
		r->msr_back += msr < now;
		r->reads++;
	}
}

static void test_page(void)
{
	wrmsr(HV_MSR_REFERENCE_TSC, (uintptr_t)&page | HV_MSR_PAGE_ENABLE);
	report(page.sequence != 0 && page.sequence != ~0u, "the page is valid");
	report(page.scale != 0, "it has a scale");
	report_eq(rdmsr(HV_MSR_REFERENCE_TSC), (uintptr_t)&page | HV_MSR_PAGE_ENABLE,
		"the MSR reads back");
}

static void test_scale(void)
{
	const uint64_t hz = rdmsr(HV_MSR_TSC_FREQUENCY);
	/* one second of TSC ticks, scaled, is one second of reference time */
	const uint64_t second = (uint64_t)(((unsigned __int128)hz * page.scale) >> 64);

	report(hz > 100000000 && hz < 10000000000, "TSC frequency is plausible");
	report(second <= TICKS_PER_S && second >= TICKS_PER_S - 2,
		"scale agrees with the TSC frequency");
}

static uint64_t tsc_us(uint64_t ticks)
{
	return ticks / (tsc_hz() / 1000000);
}

/* Each reading of the MSR lies between two of the TSC, however long the exit took. */
static void test_rate(void)
{
	const uint64_t before1 = rdtsc(), time1 = rdmsr(HV_MSR_TIME_REF_COUNT), after1 = rdtsc();
	uint64_t before2, time2, after2, least, most;

	delay_us(20000);
	before2 = rdtsc();
	time2 = rdmsr(HV_MSR_TIME_REF_COUNT);
	after2 = rdtsc();
	least = tsc_us(before2 - after1) * TICKS_PER_US * 99 / 100;
	most = tsc_us(after2 - before1) * TICKS_PER_US * 101 / 100;
	report(time2 - time1 >= least && time2 - time1 <= most, "the MSR counts 100 ns units");
}

static void test_all_vps(void)
{
	for (unsigned vp = 1; vp < vp_count; vp++) {
		if (!report(vp_start(vp), "VP %u: comes up", vp))
			return;
		vp_run_async(vp, watch);
	}
	while (ready != vp_count - 1)
		cpu_pause();
	go = 1;
	watch();
	for (unsigned vp = 0; vp < vp_count; vp++) {
		const struct result *r = &results[vp];

		if (vp)
			vp_wait(vp);
		report(r->reads > 10, "VP %u: page and MSR were read", vp);
		report_eq(r->msr_back, 0, "VP %u: MSR never behind the page", vp);
		report_eq(r->page_back, 0, "VP %u: page never behind the MSR", vp);
		report_eq(r->cross_back, 0, "VP %u: page never behind another VP", vp);
	}
}

static void test_disable(void)
{
	wrmsr(HV_MSR_REFERENCE_TSC, 0);
	page.sequence = 0;
	delay_us(1000);
	report_eq(page.sequence, 0, "a disabled page is left alone");
}

void flat_main(void)
{
	test_page();
	test_scale();
	test_rate();
	test_all_vps();
	test_disable();
}
