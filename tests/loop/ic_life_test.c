/* SPDX-License-Identifier: MIT */
/* In the middle of each service, while a message is with the guest: its driver goes and comes, the
 * guest ends, another kernel takes over, the VM is paused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>

#include "tests/support/guest_ic.h"
#include "tests/support/guest_pauser.h"
#include "vsp/ic/ic_impl.h"

#define TICK_NS 5000000ull

static bool ref_time(void *ctx, uint64_t *time)
{
	*time = 1;
	return true;
}

static const struct ic_timesync_settings time_settings = {.ref_time = ref_time};
static const struct ic_kvp_settings no_facts;

/* body: of a request; 0: the service sends by itself. */
static const struct service {
	struct ic_config config;
	enum ic_type type;
	uint32_t body;
} services[] = {
	{{.service = &ic_heartbeat, .tick_ns = TICK_NS}, IC_HEARTBEAT, 0},
	{{.service = &ic_timesync, .settings = &time_settings, .tick_ns = TICK_NS}, IC_TIMESYNC, 0},
	{{.service = &ic_shutdown}, IC_SHUTDOWN, sizeof(struct ic_shutdown)},
	{{.service = &ic_kvp, .settings = &no_facts}, IC_KVP, sizeof(struct ic_kvp)},
	{{.service = &ic_vss}, IC_VSS, 20},
	{{.service = &ic_copy}, IC_COPY, 36},
};

/* In the middle: a message is with the guest. */
static void begin_message(struct guest_ic *s, const struct service *v, struct guest_ic_request *q)
{
	if (v->body)
		guest_ic_start(s, q, v->body, 0);
	guest_ic_expect(s, v->type);
}

static void end_message(
	struct guest_ic *s, const struct service *v, struct guest_ic_request *q, int error)
{
	if (!v->body)
		return;
	guest_ic_wait(s, q);
	assert_int_equal(q->r.error, error);
}

/* Several, so that what one event has left would show. */
static void check_works(struct guest_ic *s, const struct service *v)
{
	static struct guest_ic_request q;

	for (uint32_t i = 0; i < 3; i++) {
		begin_message(s, v, &q);
		guest_ic_answer(s, 0);
		end_message(s, v, &q, 0);
	}
}

static void in_each_service(
	void (*event)(struct guest_ic *s, const struct service *v, struct guest_ic_request *q))
{
	static struct guest_ic_request q;

	for (size_t i = 0; i < sizeof(services) / sizeof(services[0]); i++) {
		const struct service *v = &services[i];
		struct guest_ic *s = guest_ic_create(&v->config, 1);

		guest_ic_open_ready(s);
		check_works(s, v);
		begin_message(s, v, &q);
		event(s, v, &q);
		guest_ic_destroy(s);
	}
}

static void reload(struct guest_ic *s, const struct service *v, struct guest_ic_request *q)
{
	for (uint32_t i = 0; i < 3; i++) {
		guest_chan_close(&s->chan);
		end_message(s, v, q, -ESHUTDOWN);
		guest_ic_open_ready(s);
		check_works(s, v);
		begin_message(s, v, q);
	}
	guest_ic_answer(s, 0);
	end_message(s, v, q, 0);
}

static void end_guest(struct guest_ic *s, const struct service *v, struct guest_ic_request *q)
{
	guest_shut_down(&s->g);
	end_message(s, v, q, -ESHUTDOWN);
}

/* Without UNLOAD, as after a crash. */
static void other_kernel(struct guest_ic *s, const struct service *v, struct guest_ic_request *q)
{
	guest_chan_forget(&s->chan);
	guest_connect(&s->g, VMBUS_VERSION_WIN10_V5_3);
	end_message(s, v, q, -ESHUTDOWN);
	guest_ic_open_ready(s);
	check_works(s, v);
}

/* The answer comes in a pause, or after it. */
static void pauses(struct guest_ic *s, const struct service *v, struct guest_ic_request *q)
{
	guest_pause(&s->g, s->dev);
	guest_ic_answer(s, 0);
	assert_true(guest_ic_is_silent(s));
	guest_resume(&s->g, s->dev);
	end_message(s, v, q, 0);
	check_works(s, v);
	begin_message(s, v, q);
	guest_pause(&s->g, s->dev);
	guest_resume(&s->g, s->dev);
	guest_ic_answer(s, 0);
	end_message(s, v, q, 0);
	check_works(s, v);
}

static void drivers_are_reloaded_in_the_middle(void **state)
{
	in_each_service(reload);
}

static void guests_end_in_the_middle(void **state)
{
	in_each_service(end_guest);
}

static void kernels_follow_each_other_in_the_middle(void **state)
{
	in_each_service(other_kernel);
}

static void pauses_in_the_middle(void **state)
{
	in_each_service(pauses);
}

/* ---- what a pause must not change ---------------------------------------- */

static struct ic_channel *channel_of(struct guest_ic *s)
{
	return vsp_channel_priv(vsp_device_primary(s->dev));
}

/* What is with the guest was sent long ago. */
static void make_old(void *arg)
{
	counter_set(&channel_of(arg)->asked_ns, loop_now_ns() - 20 * IC_SILENT_NS);
}

struct query {
	struct guest_ic *s;
	bool paused;
};

static void query_paused(void *arg)
{
	struct query *q = arg;

	q->paused = counter_get(&channel_of(q->s)->paused);
}

static void resume_and_wait(struct guest_ic *s)
{
	uint64_t until = loop_now_ns() + GUEST_TIMEOUT_MS * 1000000ull;
	struct query q = {.s = s};

	guest_resume(&s->g, s->dev);
	do {
		assert_true(loop_now_ns() < until);
		guest_run_host(&s->g);
		guest_control(&s->g, query_paused, &q);
	} while (q.paused);
}

static bool is_silent(struct guest_ic *s)
{
	return strcmp(guest_ic_state(s), "ready (no answer)") == 0;
}

static void a_paused_guest_owes_no_answer(void **state)
{
	static struct guest_ic_request q;

	for (size_t i = 0; i < sizeof(services) / sizeof(services[0]); i++) {
		struct guest_ic *s = guest_ic_create(&services[i].config, 1);

		guest_ic_open_ready(s);
		check_works(s, &services[i]);
		begin_message(s, &services[i], &q);
		guest_control(&s->g, make_old, s);
		assert_true(is_silent(s));
		guest_pause(&s->g, s->dev);
		assert_string_equal(guest_ic_state(s), "ready");
		resume_and_wait(s);
		assert_string_equal(guest_ic_state(s), "ready");
		guest_control(&s->g, make_old, s);
		assert_true(is_silent(s));
		guest_ic_answer(s, 0);
		end_message(s, &services[i], &q, 0);
		guest_ic_destroy(s);
	}
}

/* The sync after a pause waits for an answer that is owed, and not for a tick as well. */
static void a_sync_after_a_pause_waits_for_no_tick(void **state)
{
	const struct ic_config config = {
		.service = &ic_timesync, .settings = &time_settings, .tick_ns = 1ull << 62};
	struct guest_ic *s = guest_ic_create(&config, 1);

	guest_ic_open_ready(s);
	guest_ic_expect(s, IC_TIMESYNC);
	guest_ic_answer(s, 0); /* it is lazy now */
	for (uint32_t i = 0; i < 3; i++) {
		guest_pause(&s->g, s->dev);
		resume_and_wait(s);
		guest_ic_expect(s, IC_TIMESYNC);
		guest_pause(&s->g, s->dev);
		resume_and_wait(s);
		assert_true(guest_ic_is_silent(s)); /* one at a time; the channel has looked */
		guest_ic_answer(s, 0);
		guest_ic_expect(s, IC_TIMESYNC);
		guest_ic_answer(s, 0);
	}
	guest_ic_destroy(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(drivers_are_reloaded_in_the_middle),
		cmocka_unit_test(guests_end_in_the_middle),
		cmocka_unit_test(kernels_follow_each_other_in_the_middle),
		cmocka_unit_test(pauses_in_the_middle),
		cmocka_unit_test(a_paused_guest_owes_no_answer),
		cmocka_unit_test(a_sync_after_a_pause_waits_for_no_tick),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
