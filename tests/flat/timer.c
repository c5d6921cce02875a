/* SPDX-License-Identifier: MIT */
/* Synthetic timers in both modes. Spec sheet "hypervisor", section 6. */
#include "hyperv.h"

#define SINT     8u
#define VECTOR   0x60u    /* of SINT */
#define DIRECT   0x70u    /* of direct timers */
#define MS       10000ull /* in 100 ns units */
#define SOON_US  20000000ull
#define NEVER_US 5000ull
#define LATE     (20000 * MS) /* generous: the host may be busy, or emulated */

#define MESSAGE_MODE ((uint64_t)SINT << HV_STIMER_SINT_SHIFT)
#define DIRECT_MODE  (HV_STIMER_DIRECT | (uint64_t)DIRECT << HV_STIMER_VECTOR_SHIFT)

static uint64_t fired_at; /* reference time of the last direct interrupt */

static uint64_t now(void)
{
	return rdmsr(HV_MSR_TIME_REF_COUNT);
}

static uint32_t config_msr(unsigned timer)
{
	return HV_MSR_STIMER0_CONFIG + 2 * timer;
}

static uint32_t count_msr(unsigned timer)
{
	return HV_MSR_STIMER0_COUNT + 2 * timer;
}

static void set_timer(unsigned timer, uint64_t config, uint64_t count)
{
	wrmsr(count_msr(timer), 0);
	wrmsr(config_msr(timer), config);
	wrmsr(count_msr(timer), count);
}

static void stop_timer(unsigned timer)
{
	wrmsr(count_msr(timer), 0);
	wrmsr(config_msr(timer), 0);
}

static volatile uint32_t *irqs(uint8_t vector)
{
	return &vp_this()->irqs[vector];
}

static bool interrupted(uint8_t vector, uint32_t count)
{
	return wait_for(irqs(vector), count, SOON_US);
}

static bool quiet(uint8_t vector, uint32_t count)
{
	delay_us(NEVER_US);
	return *irqs(vector) == count;
}

static void on_direct(void)
{
	fired_at = now();
}

static volatile struct hv_message *slot(void)
{
	return synic_slot(vp_this()->index, SINT);
}

static struct hv_timer_message_payload payload(void)
{
	return *(volatile struct hv_timer_message_payload *)slot()->payload;
}

static void take(void)
{
	synic_take(vp_this()->index, SINT);
}

static bool enabled(unsigned timer)
{
	return rdmsr(config_msr(timer)) & HV_STIMER_ENABLE;
}

/* ---- direct mode --------------------------------------------------------- */

static void test_one_shot(unsigned timer)
{
	const uint32_t count = *irqs(DIRECT);
	uint64_t due;

	set_timer(timer, DIRECT_MODE | HV_STIMER_AUTO_ENABLE, now() + 60000 * MS);
	report(enabled(timer), "timer %u: a count enables it", timer);
	due = now() + 10 * MS;
	wrmsr(count_msr(timer), due);
	report(interrupted(DIRECT, count + 1), "timer %u: one shot interrupts", timer);
	report(fired_at >= due, "timer %u: not early", timer);
	report(fired_at < due + LATE, "timer %u: not late", timer);
	report_eq(rdmsr(config_msr(timer)), DIRECT_MODE | HV_STIMER_AUTO_ENABLE,
		"timer %u: expiry clears enable, keeps auto-enable", timer);
	report(quiet(DIRECT, count + 1), "timer %u: only once", timer);
	wrmsr(count_msr(timer), now() + MS);
	report(interrupted(DIRECT, count + 2), "timer %u: armed again by its count", timer);
	stop_timer(timer);
}

static void test_past(void)
{
	const uint32_t count = *irqs(DIRECT);

	set_timer(0, DIRECT_MODE | HV_STIMER_AUTO_ENABLE, 1);
	report(interrupted(DIRECT, count + 1), "a time in the past expires at once");
	report(!enabled(0), "and clears enable");
	stop_timer(0);
}

static void test_explicit_enable(void)
{
	const uint32_t count = *irqs(DIRECT);

	set_timer(0, DIRECT_MODE, now() + MS);
	report(!enabled(0) && quiet(DIRECT, count), "without auto-enable a count does nothing");
	wrmsr(config_msr(0), DIRECT_MODE | HV_STIMER_ENABLE);
	report(interrupted(DIRECT, count + 1), "until it is enabled");
	stop_timer(0);
}

static void test_count_zero(void)
{
	const uint32_t count = *irqs(DIRECT);

	/* the first thing Linux does */
	wrmsr(count_msr(0), 0);
	wrmsr(config_msr(0), DIRECT_MODE | HV_STIMER_AUTO_ENABLE | HV_STIMER_ENABLE);
	report(quiet(DIRECT, count), "enabled with count 0: silent");
	wrmsr(count_msr(0), now() + 100 * MS);
	wrmsr(count_msr(0), 0);
	report(!enabled(0), "count 0 clears enable");
	delay_us(100000);
	report(quiet(DIRECT, count), "and stops the timer");
	stop_timer(0);
}

static void test_periodic(void)
{
	const uint32_t count = *irqs(DIRECT);
	const uint64_t start = now();
	uint32_t after;

	set_timer(1, DIRECT_MODE | HV_STIMER_AUTO_ENABLE | HV_STIMER_PERIODIC, 5 * MS);
	report(wait_for_at_least(irqs(DIRECT), count + 3, SOON_US), "periodic: three interrupts");
	report(now() - start >= 15 * MS, "periodic: three periods took their time");
	report(enabled(1), "periodic: stays enabled");
	stop_timer(1);
	after = *irqs(DIRECT);
	delay_us(10000);
	/* one may have been under way */
	report(*irqs(DIRECT) <= after + 1, "periodic: stops");
}

static void test_extreme_counts(void)
{
	const uint32_t count = *irqs(DIRECT);

	set_timer(0, DIRECT_MODE | HV_STIMER_AUTO_ENABLE, ~0ull);
	set_timer(1, DIRECT_MODE | HV_STIMER_AUTO_ENABLE | HV_STIMER_PERIODIC, ~0ull);
	report(quiet(DIRECT, count), "counts of 2^64 - 1: silent");
	stop_timer(0);
	stop_timer(1);
	set_timer(2, DIRECT_MODE | HV_STIMER_AUTO_ENABLE | HV_STIMER_PERIODIC, 1);
	report(wait_for_at_least(irqs(DIRECT), count + 1, SOON_US),
		"a period of 100 ns: interrupts");
	stop_timer(2);
	delay_us(NEVER_US);
	report(true, "and leaves the machine alive");
}

/* ---- message mode -------------------------------------------------------- */

static void test_message(unsigned timer)
{
	const uint32_t count = *irqs(VECTOR);
	const uint64_t due = now() + 5 * MS;
	struct hv_timer_message_payload got;

	set_timer(timer, MESSAGE_MODE | HV_STIMER_AUTO_ENABLE, due);
	report(interrupted(VECTOR, count + 1), "message: timer %u interrupts", timer);
	got = payload();
	report_eq(slot()->type, HV_MESSAGE_TYPE_TIMER, "message: type");
	report_eq(slot()->payload_size, sizeof(got), "message: size");
	report_eq(slot()->sender, 0, "message: sender");
	report_eq(got.timer_index, timer, "message: timer index");
	report_eq(got.expiration_time, due, "message: expiration time");
	report(got.delivery_time >= due && got.delivery_time < due + LATE,
		"message: delivery time");
	take();
	stop_timer(timer);
}

static bool pending_soon(void)
{
	const uint64_t end = now() + SOON_US * 10;

	while (!(slot()->flags & HV_MESSAGE_FLAG_PENDING) && now() < end)
		cpu_pause();
	return slot()->flags & HV_MESSAGE_FLAG_PENDING;
}

static void test_busy_slot(void)
{
	const uint32_t count = *irqs(VECTOR);
	const uint64_t due = now() + 2 * MS;

	set_timer(0, MESSAGE_MODE | HV_STIMER_AUTO_ENABLE, 1);
	report(interrupted(VECTOR, count + 1), "busy slot: first message");
	set_timer(3, MESSAGE_MODE | HV_STIMER_AUTO_ENABLE, due);
	report(pending_soon(), "busy slot: pending bit");
	report(quiet(VECTOR, count + 1), "busy slot: the second waits");
	report_eq(payload().timer_index, 0, "busy slot: the first stays");
	take();
	report(interrupted(VECTOR, count + 2), "busy slot: EOM resumes");
	report_eq(payload().timer_index, 3, "busy slot: with the second");
	report(payload().delivery_time > payload().expiration_time,
		"busy slot: delivered after it was due");
	take();
	stop_timer(0);
	stop_timer(3);
}

static void test_sint_zero(void)
{
	wrmsr(config_msr(0), HV_STIMER_ENABLE | HV_STIMER_AUTO_ENABLE);
	report(!enabled(0), "message mode with SINT 0: cannot be enabled");
	stop_timer(0);
}

static void test_vp(void)
{
	synic_start();
	synic_set_sint(SINT, VECTOR);
	irq_enable();
	test_one_shot(0);
	test_one_shot(3);
	test_past();
	test_explicit_enable();
	test_count_zero();
	test_periodic();
	test_extreme_counts();
	test_message(0);
	test_message(2);
	test_busy_slot();
	test_sint_zero();
	synic_stop();
	irq_disable();
}

void flat_main(void)
{
	if (!(cpuid(HV_CPUID_FEATURES).eax & HV_FEAT_STIMER)) {
		report_skip("synthetic timers are not offered (--stimer)");
		flat_exit(EXIT_SKIP);
	}
	irq_set_handler(DIRECT, on_direct);
	test_vp();
	if (vp_count < 2)
		return;
	if (report(vp_start(1), "VP 1: comes up")) {
		print("on VP 1:\n");
		vp_run(1, test_vp);
	}
}
