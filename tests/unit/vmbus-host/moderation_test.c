/* SPDX-License-Identifier: MIT */
/* When a sending guest is interrupted: model guests with bursts of a size, a gap of 100. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "vmbus-host/moderation.h"

#define GAP 100u

/* A guest that sends a burst, one packet every `spacing`, and then waits; a disk that answers each
 * after `latency`, as many at a time as there are. */
struct model {
	struct moderation m;
	struct moderation_view view;
	uint64_t now;
	unsigned raises; /* interrupts */
	uint64_t waited; /* from the last answer of a burst to its interrupt */
};

static void ask(struct model *m)
{
	if (m->view.answers == m->m.signalled || moderation_defer(&m->m, &m->view, m->now, GAP))
		return;
	moderation_interrupted(&m->m, m->view.answers);
	m->raises++;
}

static void slow_burst(struct model *m, unsigned size, uint64_t spacing, uint64_t latency)
{
	uint64_t begin = m->now, last = begin + (size - 1) * spacing + latency;
	uint64_t sent = 0, answered = 0;

	while (m->m.signalled != m->view.answers || answered < size) {
		if (sent < size && m->now == begin + sent * spacing) {
			m->view.packets++;
			sent++;
		}
		if (answered < sent && m->now == begin + answered * spacing + latency) {
			m->view.answers++;
			answered++;
		}
		m->view.in_flight = sent - answered;
		ask(m);
		m->now++;
	}
	m->waited = m->now - 1 - last;
	m->now += 1000;
}

static void burst(struct model *m, unsigned size, uint64_t spacing)
{
	slow_burst(m, size, spacing, 0);
}

static void a_burst_is_one_interrupt(void **state)
{
	struct model m = {.now = 1};

	for (unsigned i = 1; i <= 500; i++) {
		burst(&m, 32, 20);
		assert_int_equal(m.raises, i);
	}
}

static void a_known_burst_does_not_wait(void **state)
{
	struct model m = {.now = 1};
	unsigned waits = 0;

	for (unsigned i = 0; i < 1000; i++) {
		burst(&m, 32, 20);
		waits += m.waited > 0;
		assert_true(m.waited <= GAP);
	}
	assert_true(waits > 0);
	assert_true(waits < 12);
}

static void one_at_a_time_does_not_wait(void **state)
{
	struct model m = {.now = 1};
	unsigned waits = 0;

	for (unsigned i = 0; i < 1000; i++) {
		burst(&m, 1, 1);
		waits += m.waited > 0;
	}
	assert_int_equal(m.raises, 1000);
	assert_true(waits < 12);
}

static void a_burst_that_grew_is_estimated(void **state)
{
	struct model m = {.now = 1};
	unsigned before;

	for (unsigned i = 0; i < 2000; i++)
		burst(&m, 1, 1);
	for (unsigned i = 0; i < 64; i++)
		burst(&m, 32, 20);
	before = m.raises;
	for (unsigned i = 0; i < 8; i++)
		burst(&m, 32, 20);
	assert_in_range(m.raises - before, 8, 16);
}

static void a_burst_that_shrank_waits_a_few_times(void **state)
{
	struct model m = {.now = 1};

	for (unsigned i = 0; i < 100; i++)
		burst(&m, 32, 20);
	for (unsigned i = 0; i < 4; i++) {
		burst(&m, 4, 20);
		assert_true(m.waited > 0);
	}
	burst(&m, 4, 20);
	assert_int_equal(m.waited, 0);
}

/* A guest that handles answers for longer than a gap before it sends the rest. */
static void a_pause_does_not_make_bursts_shorter(void **state)
{
	struct model m = {.now = 1};
	unsigned before;

	for (unsigned i = 0; i < 100; i++)
		burst(&m, 32, 20);
	before = m.raises;
	for (unsigned i = 0; i < 100; i++) {
		burst(&m, i % 10 ? 32 : 10, 20);
		if (i % 10 == 0)
			burst(&m, 22, 20);
	}
	/* Two for a burst with a pause, one for the others, which do not wait more often for it. */
	assert_in_range(m.raises - before, 100, 112);
	assert_int_equal(m.m.depth, 32);
}

/* All is sent at once and answered bit by bit: the first half is signalled meanwhile. */
static void half_of_the_answers_need_not_wait_for_the_others(void **state)
{
	struct model m = {.now = 1};
	unsigned before;

	for (unsigned i = 0; i < 100; i++)
		slow_burst(&m, 32, 10, 400);
	before = m.raises;
	slow_burst(&m, 32, 10, 400);
	assert_true(m.raises > before + 1); /* in parts */
	assert_true(m.raises < before + 16);
}

static void answers_that_come_slowly_do_not_wait_for_each_other(void **state)
{
	struct model m = {.now = 1};

	burst(&m, 5, 10 * GAP);
	assert_int_equal(m.raises, 5);
}

/* Frames: the guest does not wait until one is sent, but until there is room for more. */
static void few_answers_of_a_patient_guest_wait(void **state)
{
	struct model m = {.now = 1, .view.patience = 8};

	for (unsigned i = 1; i <= 100; i++) {
		burst(&m, 1 + i % 7, 20);
		assert_int_equal(m.raises, i);
		assert_in_range(m.waited, GAP - 1, GAP + 1);
	}
}

static void many_answers_of_a_patient_guest_do_not_wait(void **state)
{
	struct model m = {.now = 1, .view.patience = 8};
	unsigned waits = 0;

	for (unsigned i = 0; i < 1000; i++) {
		burst(&m, 32, 20);
		waits += m.waited > 0;
	}
	assert_in_range(waits, 1, 40);
}

static void an_endless_burst_is_interrupted(void **state)
{
	struct moderation m = {0};
	struct moderation_view view = {.packets = 1, .answers = 1};
	uint64_t now = 1;

	while (moderation_defer(&m, &view, now, GAP)) {
		now++;
		view.packets++;
		view.answers++;
	}
	assert_true(now <= 1 + 16 * GAP);
	assert_true(now > GAP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_burst_is_one_interrupt),
		cmocka_unit_test(a_known_burst_does_not_wait),
		cmocka_unit_test(one_at_a_time_does_not_wait),
		cmocka_unit_test(a_burst_that_grew_is_estimated),
		cmocka_unit_test(a_burst_that_shrank_waits_a_few_times),
		cmocka_unit_test(a_pause_does_not_make_bursts_shorter),
		cmocka_unit_test(half_of_the_answers_need_not_wait_for_the_others),
		cmocka_unit_test(answers_that_come_slowly_do_not_wait_for_each_other),
		cmocka_unit_test(few_answers_of_a_patient_guest_wait),
		cmocka_unit_test(many_answers_of_a_patient_guest_do_not_wait),
		cmocka_unit_test(an_endless_burst_is_interrupted),
	};

	return cmocka_run_group_tests_name("moderation", tests, NULL, NULL);
}
