/* SPDX-License-Identifier: MIT */
/* Delays, by the TSC. */
#include "flat.h"
#include "hv/hv_reg.h"

uint64_t tsc_hz(void)
{
	static uint64_t hz;

	if (!hz)
		hz = rdmsr(HV_MSR_TSC_FREQUENCY);
	return hz;
}

static uint64_t tsc_after(uint64_t us)
{
	return rdtsc() + us * (tsc_hz() / 1000000);
}

void delay_us(uint64_t us)
{
	const uint64_t end = tsc_after(us);

	while (rdtsc() < end)
		cpu_pause();
}

bool wait_for(const volatile uint32_t *value, uint32_t want, uint64_t us)
{
	const uint64_t end = tsc_after(us);

	while (*value != want && rdtsc() < end)
		cpu_pause();
	return *value == want;
}

bool wait_for_at_least(const volatile uint32_t *value, uint32_t want, uint64_t us)
{
	const uint64_t end = tsc_after(us);

	while (*value < want && rdtsc() < end)
		cpu_pause();
	return *value >= want;
}
