/* SPDX-License-Identifier: MIT */
/* Synthetic timers, spec sheet section 6, and hostile counts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/unit/hv/fake_partition.h"

#define CONFIG(n) (HV_MSR_STIMER0_CONFIG + 2 * (n))
#define COUNT(n)  (HV_MSR_STIMER0_COUNT + 2 * (n))

#define ENABLE   1ull
#define PERIODIC 2ull
#define AUTO     8ull
#define DIRECT   (1ull << 12 | 0xEDull << 4)
#define SINT2    (2ull << 16)

static struct fake_partition m;

static int setup(void **state)
{
	fake_init(&m);
	fake_synic_on(&m, 0);
	fake_advance(&m, 5000);
	return 0;
}

static int teardown(void **state)
{
	fake_fini(&m);
	return 0;
}

static void config(uint32_t timer, uint64_t value)
{
	assert_int_equal(fake_wrmsr(&m, 0, CONFIG(timer), value), 0);
}

static void count(uint32_t timer, uint64_t value)
{
	assert_int_equal(fake_wrmsr(&m, 0, COUNT(timer), value), 0);
}

/* The host timer: expires once, when armed for now or earlier. */
static void advance(uint64_t ticks)
{
	fake_advance(&m, ticks);
	if (m.armed[0] > hv_ref_time(&m.hv))
		return;
	m.armed[0] = HV_STIMER_NEVER;
	hv_stimer_expire(&m.hv, 0);
}

static struct hv_timer_message_payload slot_payload(void)
{
	struct hv_timer_message_payload payload;
	struct hv_message *slot = fake_slot(&m, 0, 2);

	assert_int_equal(slot->type, HV_MESSAGE_TYPE_TIMER);
	assert_int_equal(slot->payload_size, 24);
	assert_int_equal(slot->sender, 0);
	memcpy(&payload, slot->payload, sizeof(payload));
	return payload;
}

/* ---- the rules ----------------------------------------------------------- */

/* Linux: COUNT 0, CONFIG 0, CONFIG enabled with count 0 (must not fire), then one event. */
static void linux_direct_mode(void **state)
{
	count(0, 0);
	config(0, 0);
	config(0, 0x1ED9);
	assert_int_equal(m.armed[0], HV_STIMER_NEVER);
	hv_stimer_expire(&m.hv, 0);
	assert_int_equal(m.direct, 0);
	count(0, 6000);
	assert_int_equal(m.armed[0], 6000);
	advance(999);
	assert_int_equal(m.direct, 0);
	advance(1);
	assert_int_equal(m.direct, 1);
	assert_int_equal(m.last_direct, 0xED);
	assert_int_equal(fake_rdmsr(&m, 0, CONFIG(0)), 0x1ED8); /* enable cleared, auto kept */
	assert_int_equal(m.armed[0], HV_STIMER_NEVER);
	count(0, 7000);
	assert_int_equal(fake_rdmsr(&m, 0, CONFIG(0)), 0x1ED9);
	assert_int_equal(m.armed[0], 7000);
}

static void message_mode(void **state)
{
	struct hv_timer_message_payload payload;

	config(1, ENABLE | AUTO | SINT2);
	count(1, 6000);
	advance(1234);
	payload = slot_payload();
	assert_int_equal(payload.timer_index, 1);
	assert_int_equal(payload.reserved, 0);
	assert_int_equal(payload.expiration_time, 6000);
	assert_int_equal(payload.delivery_time, 6234);
	assert_int_equal(m.injected, 1);
	assert_int_equal(m.last_irq.vector, FAKE_VECTOR);
}

static void never_early(void **state)
{
	config(0, ENABLE | AUTO | SINT2);
	count(0, 6000);
	fake_advance(&m, 999);
	m.armed[0] = HV_STIMER_NEVER; /* spent */
	hv_stimer_expire(&m.hv, 0);
	assert_int_equal(m.injected, 0);
	assert_int_equal(m.armed[0], 6000); /* and armed again */
	advance(1);
	assert_int_equal(m.injected, 1);
}

static void one_shot_in_the_past_fires_at_once(void **state)
{
	config(0, AUTO | SINT2);
	count(0, 1);
	assert_int_equal(m.injected, 1);
	assert_int_equal(fake_rdmsr(&m, 0, CONFIG(0)), AUTO | SINT2);
	assert_int_equal(fake_rdmsr(&m, 0, COUNT(0)), 1);
}

static void without_auto_enable_the_count_waits(void **state)
{
	config(0, SINT2);
	count(0, 6000);
	assert_int_equal(m.armed[0], HV_STIMER_NEVER);
	config(0, ENABLE | SINT2);
	assert_int_equal(m.armed[0], 6000);
}

static void count_zero_stops(void **state)
{
	config(0, ENABLE | AUTO | SINT2);
	count(0, 6000);
	count(0, 0);
	assert_int_equal(fake_rdmsr(&m, 0, CONFIG(0)), AUTO | SINT2);
	assert_int_equal(m.armed[0], HV_STIMER_NEVER);
	advance(10000);
	assert_int_equal(m.injected, 0);
}

static void disabling_stops(void **state)
{
	config(0, ENABLE | AUTO | DIRECT);
	count(0, 6000);
	config(0, AUTO | DIRECT);
	assert_int_equal(m.armed[0], HV_STIMER_NEVER);
	fake_advance(&m, 10000);
	hv_stimer_expire(&m.hv, 0); /* the host timer had already expired */
	assert_int_equal(m.direct, 0);
}

static void invalid_targets_cannot_be_enabled(void **state)
{
	static const uint64_t targets[] = {0, 1ull << 12, 1ull << 12 | 15ull << 4};

	for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
		config(0, ENABLE | AUTO | targets[i]);
		assert_int_equal(fake_rdmsr(&m, 0, CONFIG(0)), AUTO | targets[i]);
		count(0, 1);
		assert_int_equal(fake_rdmsr(&m, 0, CONFIG(0)), AUTO | targets[i]);
	}
	assert_int_equal(m.injected + m.direct, 0);
}

static void reserved_config_bits_are_zero(void **state)
{
	config(3, ~0ull);
	assert_int_equal(fake_rdmsr(&m, 0, CONFIG(3)), HV_STIMER_CONFIG_VALID);
}

static void periodic_keeps_its_phase(void **state)
{
	config(0, ENABLE | PERIODIC | DIRECT);
	count(0, 0);
	config(0, ENABLE | PERIODIC | DIRECT);
	count(0, 10000); /* at 5000: due 15000, 25000, ... */
	assert_int_equal(m.armed[0], 15000);
	advance(10123);
	assert_int_equal(m.direct, 1);
	assert_int_equal(m.armed[0], 25000);
	advance(10000);
	assert_int_equal(m.direct, 2);
	assert_int_equal(m.armed[0], 35000);
	assert_true(fake_rdmsr(&m, 0, CONFIG(0)) & ENABLE);
}

static void missed_periods_expire_once(void **state)
{
	config(0, ENABLE | PERIODIC | DIRECT);
	count(0, 10000);
	advance(1000000000007);
	assert_int_equal(m.direct, 1);
	assert_int_equal(m.armed[0], 5000 + 1000000000000 + 10000);
}

/* ---- busy slots ---------------------------------------------------------- */

static void busy_slot_delays_the_message(void **state)
{
	struct hv_message *slot = fake_slot(&m, 0, 2);

	slot->type = 1;
	config(0, ENABLE | AUTO | SINT2);
	count(0, 6000);
	advance(1000);
	assert_int_equal(slot->type, 1);
	assert_int_equal(slot->flags, HV_MESSAGE_FLAG_PENDING);
	assert_int_equal(m.injected, 0);
	fake_advance(&m, 50);
	slot->type = 0;
	fake_wrmsr(&m, 0, HV_MSR_EOM, 0);
	assert_int_equal(slot_payload().expiration_time, 6000);
	assert_int_equal(slot_payload().delivery_time, 6050);
	assert_int_equal(m.injected, 1);
}

static void periodic_messages_do_not_pile_up(void **state)
{
	struct hv_message msg;

	config(0, ENABLE | PERIODIC | AUTO | SINT2);
	count(0, 1000);
	for (int i = 0; i < 10; i++)
		advance(1000);
	assert_true(fake_take(&m, 0, 2, &msg));
	assert_int_equal(slot_payload().expiration_time, 7000); /* the later ones were dropped */
	assert_true(fake_take(&m, 0, 2, &msg));
	assert_false(fake_take(&m, 0, 2, &msg));
}

static void reprogramming_forgets_the_old_message(void **state)
{
	struct hv_message *slot = fake_slot(&m, 0, 2);

	slot->type = 1;
	config(0, AUTO | SINT2);
	count(0, 1);
	count(0, 0);
	slot->type = 0;
	fake_wrmsr(&m, 0, HV_MSR_EOM, 0);
	assert_int_equal(slot->type, 0);
}

static void timers_share_a_slot_with_messages(void **state)
{
	struct hv_message msg;
	uint32_t timers = 0, messages = 0;

	for (uint32_t i = 0; i < HV_STIMER_COUNT; i++) {
		synic_post(&m.hv, 0, 2, HV_MESSAGE_TYPE_VMBUS, 0, NULL, 0);
		config(i, AUTO | SINT2);
		count(i, 1);
	}
	while (fake_take(&m, 0, 2, &msg)) {
		timers += msg.type == HV_MESSAGE_TYPE_TIMER;
		messages += msg.type == HV_MESSAGE_TYPE_VMBUS;
	}
	assert_int_equal(timers, HV_STIMER_COUNT);
	assert_int_equal(messages, HV_STIMER_COUNT);
}

/* ---- hostile counts ------------------------------------------------------ */

static void huge_counts_never_expire(void **state)
{
	static const uint64_t counts[] = {
		UINT64_MAX, UINT64_MAX - 1, UINT64_MAX - 4999, 1ull << 63};

	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		for (uint64_t mode = 0; mode <= PERIODIC; mode += PERIODIC) {
			config(0, ENABLE | AUTO | DIRECT | mode);
			count(0, counts[i]);
			m.arms = 0;
			for (int turn = 0; turn < 100; turn++)
				advance(1000000);
			assert_int_equal(m.direct, 0);
			assert_int_equal(m.arms, 0);
			assert_true(m.armed[0] >= counts[i]);
		}
	}
}

static void tiny_periods_are_clamped(void **state)
{
	config(0, ENABLE | PERIODIC | AUTO | DIRECT);
	count(0, 1);
	assert_int_equal(fake_rdmsr(&m, 0, COUNT(0)), 1);
	assert_int_equal(m.armed[0], 5000 + HV_STIMER_PERIOD_MIN);
	advance(HV_STIMER_PERIOD_MIN);
	assert_int_equal(m.direct, 1);
	assert_int_equal(m.armed[0], 5000 + 2 * HV_STIMER_PERIOD_MIN);
}

/* Four timers out of phase wake the host no more often than one. */
static void wakeups_per_vp_are_bounded(void **state)
{
	uint64_t start = hv_ref_time(&m.hv), now;
	unsigned wakes = 0;

	for (uint32_t i = 0; i < HV_STIMER_COUNT; i++) {
		config(i, ENABLE | PERIODIC | AUTO | DIRECT);
		count(i, 1);
		fake_advance(&m, 100);
	}
	do {
		now = hv_ref_time(&m.hv);
		advance(m.armed[0] > now ? m.armed[0] - now : 0);
		wakes++;
	} while (now < start + 100 * HV_STIMER_PERIOD_MIN);
	assert_in_range(wakes, 50, 105);
	assert_true(m.direct > 2 * wakes); /* all four still fire */
}

static void expiry_of_an_unknown_vp_is_ignored(void **state)
{
	hv_stimer_expire(&m.hv, 3);
	hv_stimer_expire(&m.hv, ~0u);
}

static void timers_belong_to_their_vp(void **state)
{
	assert_int_equal(fake_wrmsr(&m, 2, CONFIG(0), AUTO | DIRECT), 0);
	assert_int_equal(fake_wrmsr(&m, 2, COUNT(0), 6000), 0);
	assert_int_equal(m.armed[2], 6000);
	assert_int_equal(m.armed[0], HV_STIMER_NEVER);
	assert_int_equal(fake_rdmsr(&m, 0, COUNT(0)), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(linux_direct_mode),
		TEST(message_mode),
		TEST(never_early),
		TEST(one_shot_in_the_past_fires_at_once),
		TEST(without_auto_enable_the_count_waits),
		TEST(count_zero_stops),
		TEST(disabling_stops),
		TEST(invalid_targets_cannot_be_enabled),
		TEST(reserved_config_bits_are_zero),
		TEST(periodic_keeps_its_phase),
		TEST(missed_periods_expire_once),
		TEST(busy_slot_delays_the_message),
		TEST(periodic_messages_do_not_pile_up),
		TEST(reprogramming_forgets_the_old_message),
		TEST(timers_share_a_slot_with_messages),
		TEST(huge_counts_never_expire),
		TEST(tiny_periods_are_clamped),
		TEST(wakeups_per_vp_are_bounded),
		TEST(expiry_of_an_unknown_vp_is_ignored),
		TEST(timers_belong_to_their_vp),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
