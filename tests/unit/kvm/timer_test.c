/* SPDX-License-Identifier: MIT */
/* The thread behind synthetic timers, with a clock set by hand and without KVM. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <semaphore.h>

#include "hyper/kvm/partition_impl.h"

#define TICK         4u /* of the TSC: 100 ns */
#define DIRECT       (HV_STIMER_DIRECT | 0xEDull << HV_STIMER_VECTOR_SHIFT)
#define EXPIRIES_MAX 1000u

static struct partition *p;
static _Atomic uint64_t tsc;
static unsigned busy, busy_before; /* expiries of VP 0, and how many came before that of VP 1 */
static sem_t fired;

/* One expiry of VP 0 takes longer than its period, as long as the test has patience. */
static void inject_direct(void *ctx, uint32_t vp, uint8_t vector)
{
	if (vp == 0) {
		if (++busy < EXPIRIES_MAX)
			tsc += 2 * HV_STIMER_PERIOD_MIN * TICK;
		return;
	}
	busy_before = busy;
	sem_post(&fired);
}

static uint64_t guest_tsc(void *ctx)
{
	return tsc;
}

static void timer_arm(void *ctx, uint32_t vp, uint64_t ref_time)
{
	stimer_thread_arm(ctx, vp, ref_time);
}

static const struct hv_port_ops port = {
	.inject_direct = inject_direct,
	.guest_tsc = guest_tsc,
	.timer_arm = timer_arm,
};

static void set_timer(uint32_t vp, uint64_t config, uint64_t count)
{
	assert_int_equal(
		hv_msr_write(&p->hv, vp, HV_MSR_STIMER0_CONFIG, config | HV_STIMER_ENABLE), 0);
	assert_int_equal(hv_msr_write(&p->hv, vp, HV_MSR_STIMER0_COUNT, count), 0);
}

static int setup(void **state)
{
	struct hv_config config = {
		.vp_count = 2,
		.tsc_hz = TICK * 10000000ull,
		.stimer = true,
		.port = &port,
	};

	p = calloc(1, sizeof(*p));
	p->config.vp_count = config.vp_count;
	config.ctx = p;
	config.gmem = &p->gmem;
	sem_init(&fired, 0, 0);
	return hv_init(&p->hv, &config) || stimer_thread_start(p);
}

static int teardown(void **state)
{
	stimer_thread_stop(p);
	hv_fini(&p->hv);
	free(p);
	return 0;
}

static void a_busy_vp_does_not_starve_another(void **state)
{
	stimer_thread_pause(p);
	set_timer(0, DIRECT | HV_STIMER_PERIODIC, 1);
	set_timer(1, DIRECT, HV_STIMER_PERIOD_MIN);
	tsc += 2 * HV_STIMER_PERIOD_MIN * TICK;
	stimer_thread_resume(p);
	while (sem_wait(&fired))
		;
	assert_true(busy_before < 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_busy_vp_does_not_starve_another, setup, teardown),
	};

	return cmocka_run_group_tests_name("timer", tests, NULL, NULL);
}
