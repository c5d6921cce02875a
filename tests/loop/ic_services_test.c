/* SPDX-License-Identifier: MIT */
/* Heartbeat, time and key-value pairs against a scripted guest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>

#include "tests/support/guest_ic.h"
#include "tests/support/guest_pauser.h"
#include "vsp/ic/kvp.h"
#include "vsp/ic/shutdown.h"

#define MS     1000000ull
#define SECOND 1000000000ull

/* ---- heartbeat ----------------------------------------------------------- */

static const struct ic_config heartbeat_config = {.service = &ic_heartbeat, .tick_ns = 5 * MS};

struct heartbeat_query {
	struct guest_ic *s;
	enum ic_heartbeat_state state;
};

static void query(void *arg)
{
	struct heartbeat_query *q = arg;

	q->state = ic_heartbeat_state(q->s->dev);
}

static enum ic_heartbeat_state heartbeat(struct guest_ic *s)
{
	struct heartbeat_query q = {.s = s};

	guest_control(&s->g, query, &q);
	return q.state;
}

static void wait_heartbeat(struct guest_ic *s, enum ic_heartbeat_state state)
{
	uint64_t until = loop_now_ns() + GUEST_TIMEOUT_MS * MS;

	while (heartbeat(s) != state)
		assert_true(loop_now_ns() < until);
}

/* The guest goes on: after three ticks without an answer it would be lost again. */
static void wait_beating(struct guest_ic *s)
{
	uint64_t until = loop_now_ns() + GUEST_TIMEOUT_MS * MS;

	while (heartbeat(s) != IC_HEARTBEAT_OK) {
		assert_true(loop_now_ns() < until);
		if (guest_ic_take(s))
			guest_ic_answer(s, 0);
	}
}

static void beat(struct guest_ic *s)
{
	struct ic_heartbeat *b = guest_ic_expect(s, IC_HEARTBEAT);

	assert_int_equal(s->len, 28 + sizeof(*b));
	b->sequence++;
	b->application = 0xFFFFFFFF;
	guest_ic_answer(s, 0);
}

static void heartbeat_states(void **state)
{
	struct guest_ic *s = guest_ic_create(&heartbeat_config, 1);

	assert_int_equal(heartbeat(s), IC_HEARTBEAT_NO_CONTACT);
	guest_ic_open_ready(s);
	for (uint32_t i = 0; i < 10; i++)
		beat(s);
	wait_beating(s);
	guest_ic_expect(s, IC_HEARTBEAT); /* and no answer */
	wait_heartbeat(s, IC_HEARTBEAT_LOST);
	assert_true(guest_ic_is_silent(s)); /* nothing new is sent */
	guest_ic_answer(s, 0);
	wait_beating(s);
	guest_pause(&s->g, s->dev);
	assert_int_equal(heartbeat(s), IC_HEARTBEAT_PAUSED);
	guest_resume(&s->g, s->dev);
	beat(s);
	wait_beating(s);
	guest_chan_close(&s->chan);
	wait_heartbeat(s, IC_HEARTBEAT_NO_CONTACT);
	guest_ic_open_ready(s);
	beat(s);
	wait_beating(s);
	guest_ic_destroy(s);
}

static void a_guest_that_never_answered_is_no_contact(void **state)
{
	struct guest_ic *s = guest_ic_create(&heartbeat_config, 1);

	guest_ic_open_ready(s);
	guest_ic_expect(s, IC_HEARTBEAT);
	while (guest_ic_count(s, "missed") < 10)
		assert_int_equal(heartbeat(s), IC_HEARTBEAT_NO_CONTACT);
	guest_ic_destroy(s);
}

/* ---- time ---------------------------------------------------------------- */

/* Clocks of the test; any thread. */
static _Atomic uint64_t fake_ref, fake_wall;
static _Atomic bool fake_stands;
static _Atomic uint32_t fake_stalls; /* reads of the wall clock after which the thread is held up */

static bool ref_time(void *ctx, uint64_t *time)
{
	*time = fake_ref;
	return !fake_stands;
}

/* With a fixed distance to the clock that the VSP compares it with. */
static uint64_t wall_now(void)
{
	return fake_wall + loop_now_ns();
}

static uint64_t wall_clock(void *ctx)
{
	uint64_t now = wall_now(), until = loop_now_ns() + 150 * MS;

	if (!fake_stalls)
		return now;
	fake_stalls--;
	while (loop_now_ns() < until)
		;
	return now;
}

static const struct ic_timesync_settings time_settings = {
	.ref_time = ref_time, .wall_clock = wall_clock};
static const struct ic_config time_config = {
	.service = &ic_timesync, .settings = &time_settings, .tick_ns = 5 * MS};

static void begin_time(void)
{
	fake_ref = 777;
	fake_wall = 1000000 * SECOND;
	fake_stands = false;
	fake_stalls = 0;
}

static uint8_t next_flags(struct guest_ic *s)
{
	const struct ic_timesync *t = guest_ic_expect(s, IC_TIMESYNC);
	uint64_t now = wall_now() / 100 + IC_TIME_UNIX_EPOCH;

	assert_int_equal(s->len, 28 + sizeof(*t));
	assert_int_equal(t->ref_time, fake_ref);
	assert_true(t->host_time <= now && now - t->host_time < 200000000); /* 20 s */
	guest_ic_answer(s, 0);
	return t->flags;
}

static void one_sync_then_samples(void **state)
{
	struct guest_ic *s = guest_ic_create(&time_config, 1);

	begin_time();
	guest_ic_open_ready(s);
	assert_int_equal(next_flags(s), IC_TIMESYNC_SYNC);
	for (uint32_t i = 0; i < 10; i++)
		assert_int_equal(next_flags(s), IC_TIMESYNC_SAMPLE);
	guest_ic_destroy(s);
}

/* A sample that was on its way may come before it. */
static void expect_sync(struct guest_ic *s)
{
	uint32_t samples = 0;

	while (next_flags(s) != IC_TIMESYNC_SYNC)
		assert_true(samples++ < 2);
	assert_int_equal(next_flags(s), IC_TIMESYNC_SAMPLE);
}

static void a_step_of_the_host_clock_is_a_sync(void **state)
{
	struct guest_ic *s = guest_ic_create(&time_config, 1);

	begin_time();
	guest_ic_open_ready(s);
	assert_int_equal(next_flags(s), IC_TIMESYNC_SYNC);
	assert_int_equal(next_flags(s), IC_TIMESYNC_SAMPLE);
	fake_wall += 86400 * SECOND;
	expect_sync(s);
	fake_wall -= 2 * 86400 * SECOND;
	expect_sync(s);
	fake_wall += 50 * MS; /* as NTP slews it */
	for (uint32_t i = 0; i < 5; i++)
		assert_int_equal(next_flags(s), IC_TIMESYNC_SAMPLE);
	guest_ic_destroy(s);
}

/* Between its reads of two clocks the host's thread may be preempted; here once when it makes a
 * message and once when it checks for a step, or twice then. */
static void a_preempted_host_sees_no_step(void **state)
{
	struct guest_ic *s = guest_ic_create(&time_config, 1);

	begin_time();
	guest_ic_open_ready(s);
	assert_int_equal(next_flags(s), IC_TIMESYNC_SYNC);
	fake_stalls = 2;
	for (uint32_t i = 0; i < 5; i++)
		assert_int_equal(next_flags(s), IC_TIMESYNC_SAMPLE);
	assert_int_equal(fake_stalls, 0);
	assert_int_equal(guest_ic_count(s, "host_clock_steps"), 0);
	guest_ic_destroy(s);
}

/* Devices are resumed before the guest's clock runs. */
static void a_resume_is_a_sync_when_the_clock_runs(void **state)
{
	struct guest_ic *s = guest_ic_create(&time_config, 1);

	begin_time();
	guest_ic_open_ready(s);
	assert_int_equal(next_flags(s), IC_TIMESYNC_SYNC);
	guest_pause(&s->g, s->dev);
	fake_stands = true;
	guest_resume(&s->g, s->dev);
	while (guest_ic_take(s))
		guest_ic_answer(s, 0); /* a sample from before the pause */
	assert_true(guest_ic_is_silent(s));
	fake_ref = 778;
	fake_stands = false;
	expect_sync(s);
	guest_ic_destroy(s);
}

static void version_3_has_another_layout(void **state)
{
	struct guest_ic *s = guest_ic_create(&time_config, 1);
	const struct ic_timesync_3 *t;

	begin_time();
	guest_ic_open(s);
	guest_ic_answer_versions(s, (struct ic_version){3, 0}, (struct ic_version){3, 0});
	t = guest_ic_expect(s, IC_TIMESYNC);
	assert_int_equal(s->len, 28 + sizeof(*t));
	assert_int_equal(t->guest_time, 0);
	assert_int_equal(t->flags, IC_TIMESYNC_SYNC);
	guest_ic_destroy(s);
}

/* The answer is the message sent back: whatever it says, the next message is the host's own. */
static void the_guest_has_no_say_in_the_time(void **state)
{
	struct guest_ic *s = guest_ic_create(&time_config, 1);
	struct ic_timesync *t;

	begin_time();
	guest_ic_open_ready(s);
	assert_int_equal(next_flags(s), IC_TIMESYNC_SYNC);
	for (uint32_t i = 0; i < 10; i++) {
		t = guest_ic_expect(s, IC_TIMESYNC);
		assert_int_equal(t->flags, IC_TIMESYNC_SAMPLE);
		assert_int_equal(t->ref_time, fake_ref);
		memset(t, i & 1 ? 0xFF : 0, sizeof(*t));
		s->len = sizeof(struct ic_header) + (i < 5 ? (uint32_t)sizeof(*t) : 0);
		guest_ic_answer(s, i & 2 ? IC_STATUS_FAIL : 0);
	}
	assert_int_equal(next_flags(s), IC_TIMESYNC_SAMPLE);
	assert_int_equal(guest_ic_count(s, "syncs"), 1);
	assert_int_equal(guest_ic_count(s, "host_clock_steps"), 0);
	guest_ic_destroy(s);
}

/* ---- what they cost ------------------------------------------------------ */

/* From the second on, answers wait for the tick, which sends the next message. */
static void answers_wake_nobody(const struct ic_config *config, enum ic_type type)
{
	struct guest_ic *s = guest_ic_create(config, 1);
	uint64_t doorbells, polls;

	guest_ic_open_ready(s);
	guest_ic_expect(s, type);
	guest_ic_answer(s, 0);
	guest_ic_expect(s, type);
	doorbells = guest_ic_count(s, "doorbells");
	polls = guest_ic_count(s, "polls");
	for (uint32_t i = 0; i < 20; i++) {
		guest_ic_answer(s, 0);
		guest_ic_expect(s, type);
	}
	assert_int_equal(guest_ic_count(s, "doorbells"), doorbells);
	assert_int_equal(guest_ic_count(s, "polls"), polls + 20);
	assert_string_equal(guest_ic_state(s), "ready");
	guest_ic_destroy(s);
}

static void an_idle_guest_costs_ticks_only(void **state)
{
	begin_time();
	answers_wake_nobody(&heartbeat_config, IC_HEARTBEAT);
	answers_wake_nobody(&time_config, IC_TIMESYNC);
}

/* ---- key-value pairs ----------------------------------------------------- */

static const struct ic_kvp_settings facts = {
	.facts = {{"HostName", "h\xc3\xb6st"}, {"Bad", "\xff"}, {"Name", "vm"}}};
static const struct ic_kvp_settings no_facts;
static const struct ic_config facts_config = {.service = &ic_kvp, .settings = &facts};
static const struct ic_config kvp_config = {.service = &ic_kvp, .settings = &no_facts};

static void expect_fact(struct guest_ic *s, const char *key, const char *value)
{
	const struct ic_kvp *k = guest_ic_expect(s, IC_KVP);
	char text[UTF8_ROOM(IC_KVP_VALUE_MAX)];

	assert_int_equal(s->len, 2608);
	assert_int_equal(k->operation, IC_KVP_SET);
	assert_int_equal(k->pool, IC_KVP_AUTO_EXTERNAL);
	assert_int_equal(k->value.type, IC_KVP_TEXT);
	utf16_to_utf8(k->value.key, k->value.key_size, text, sizeof(text));
	assert_string_equal(text, key);
	utf16_to_utf8(k->value.value, k->value.value_size, text, sizeof(text));
	assert_string_equal(text, value);
	guest_ic_answer(s, IC_STATUS_FAIL); /* does not keep it from the next */
}

static void the_host_says_what_it_is(void **state)
{
	struct guest_ic *s = guest_ic_create(&facts_config, 1);

	for (uint32_t i = 0; i < 2; i++) {
		guest_ic_open_ready(s);
		expect_fact(s, "HostName", "h\xc3\xb6st");
		expect_fact(s, "Name", "vm");
		assert_true(guest_ic_is_silent(s));
		guest_chan_close(&s->chan);
	}
	guest_ic_destroy(s);
}

struct kvp_wait {
	struct guest_ic *s;
	struct ic_kvp_request q;
	bool done;
};

static void kvp_done(struct ic_request *r)
{
	struct kvp_wait *w = container_of(r, struct kvp_wait, q.request);

	__atomic_store_n(&w->done, true, __ATOMIC_RELEASE);
}

static void kvp_start(void *arg)
{
	struct kvp_wait *w = arg;

	w->q.request.done = kvp_done;
	ic_request_start(w->s->dev, &w->q.request);
}

/* One ENUMERATE, answered with these lengths and with bytes of the test's. */
static bool enumerate(uint32_t key_size, uint32_t value_size, uint8_t fill, uint32_t cut,
	struct ic_kvp_item *item)
{
	static struct kvp_wait w;
	struct guest_ic *s = guest_ic_create(&kvp_config, 1);
	struct ic_kvp *k;
	bool good;

	w = (struct kvp_wait){.s = s};
	guest_ic_open_ready(s);
	ic_kvp_fill_enumerate(&w.q, IC_KVP_GUEST, 3);
	guest_control(&s->g, kvp_start, &w);
	k = guest_ic_expect(s, IC_KVP);
	assert_int_equal(k->operation, IC_KVP_ENUMERATE);
	assert_int_equal(k->pool, IC_KVP_GUEST);
	assert_int_equal(k->item.index, 3);
	k->item.value.key_size = key_size;
	k->item.value.value_size = value_size;
	memset(k->item.value.key, fill, sizeof(k->item.value.key));
	memset(k->item.value.value, fill, sizeof(k->item.value.value));
	s->len -= cut;
	guest_ic_answer(s, 0);
	guest_ic_wait_flag(s, &w.done);
	good = ic_kvp_item(&w.q, item);
	guest_ic_destroy(s);
	return good;
}

static void kvp_lengths_are_in_their_limits(void **state)
{
	static struct ic_kvp_item item;

	assert_true(enumerate(512, 2048, 'a', 0, &item));
	assert_false(enumerate(513, 2048, 'a', 0, &item));
	assert_false(enumerate(512, 2049, 'a', 0, &item));
	assert_false(enumerate(0xFFFFFFFF, 2, 'a', 0, &item));
	assert_false(enumerate(2, 0x80000000, 'a', 0, &item));
}

static void kvp_texts_without_nul(void **state)
{
	static struct ic_kvp_item item;

	assert_true(enumerate(512, 2048, 'a', 0, &item)); /* U+6161, 256 times */
	assert_int_equal(strlen(item.key), 256 * 3);
	assert_int_equal(strlen(item.value), 1024 * 3);
}

static void kvp_odd_lengths(void **state)
{
	static struct ic_kvp_item item;

	assert_true(enumerate(3, 1, 'a', 0, &item));
	assert_int_equal(strlen(item.key), 3);
	assert_int_equal(strlen(item.value), 0);
}

static void kvp_invalid_utf16_is_replaced(void **state)
{
	static struct ic_kvp_item item;

	assert_true(enumerate(4, 4, 0xDC, 0, &item)); /* low surrogates */
	assert_string_equal(item.key, "\xef\xbf\xbd\xef\xbf\xbd");
}

static void kvp_short_answer(void **state)
{
	static struct ic_kvp_item item;

	assert_false(enumerate(4, 4, 'a', 8, &item));
	assert_false(enumerate(4, 4, 'a', 2580, &item));
}

/* ---- shutdown ------------------------------------------------------------ */

static const struct ic_config shutdown_config = {.service = &ic_shutdown};
static struct ic_shutdown_request asked_shutdown;
static bool shutdown_done, shutdown_reboot;

static void shutdown_answered(struct ic_request *r)
{
	__atomic_store_n(&shutdown_done, true, __ATOMIC_RELEASE);
}

static void start_shutdown(void *arg)
{
	struct guest_ic *s = arg;

	asked_shutdown.request.done = shutdown_answered;
	ic_shutdown_start(s->dev, &asked_shutdown, shutdown_reboot);
}

static void shutdown_never_asks_for_hibernation(void **state)
{
	struct guest_ic *s = guest_ic_create(&shutdown_config, 1);

	guest_ic_open_ready(s);
	for (uint32_t reboot = 0; reboot < 2; reboot++) {
		const struct ic_shutdown *m;

		shutdown_reboot = reboot;
		shutdown_done = false;
		guest_control(&s->g, start_shutdown, s);
		m = guest_ic_expect(s, IC_SHUTDOWN);
		assert_int_equal(s->len, 2088);
		assert_int_equal(m->flags, IC_SHUTDOWN_FORCE | (reboot ? IC_SHUTDOWN_RESTART : 0));
		guest_ic_answer(s, 0);
		guest_ic_wait_flag(s, &shutdown_done);
		assert_int_equal(asked_shutdown.request.status, 0);
	}
	guest_ic_destroy(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(heartbeat_states),
		cmocka_unit_test(a_guest_that_never_answered_is_no_contact),
		cmocka_unit_test(one_sync_then_samples),
		cmocka_unit_test(a_step_of_the_host_clock_is_a_sync),
		cmocka_unit_test(a_preempted_host_sees_no_step),
		cmocka_unit_test(a_resume_is_a_sync_when_the_clock_runs),
		cmocka_unit_test(version_3_has_another_layout),
		cmocka_unit_test(the_guest_has_no_say_in_the_time),
		cmocka_unit_test(an_idle_guest_costs_ticks_only),
		cmocka_unit_test(the_host_says_what_it_is),
		cmocka_unit_test(kvp_lengths_are_in_their_limits),
		cmocka_unit_test(kvp_texts_without_nul),
		cmocka_unit_test(kvp_odd_lengths),
		cmocka_unit_test(kvp_invalid_utf16_is_replaced),
		cmocka_unit_test(kvp_short_answer),
		cmocka_unit_test(shutdown_never_asks_for_hibernation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
