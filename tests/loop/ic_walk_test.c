/* SPDX-License-Identifier: MIT */
/* Listing the pairs of guests that have too many, take too long, lie, or end meanwhile. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/guest_ic.h"
#include "tests/support/guest_pauser.h"
#include "tests/support/log_lines.h"
#include "vsp/ic/kvp_walk.h"

static const struct ic_kvp_settings no_facts;
static const struct ic_config config = {.service = &ic_kvp, .settings = &no_facts};

struct rig {
	struct guest_ic *s;
	struct vsp_device *dev;
	struct ic_kvp_walk walk;
	uint32_t taken, wanted; /* pairs */
	bool done, failed;
	struct err error;
};

static struct rig rig;

static bool take(struct ic_kvp_walk *w, const struct ic_kvp_item *item)
{
	struct rig *r = container_of(w, struct rig, walk);

	return ++r->taken < r->wanted;
}

static void done(struct ic_kvp_walk *w, const struct err *e)
{
	struct rig *r = container_of(w, struct rig, walk);

	r->failed = e;
	if (e)
		r->error = *e;
	__atomic_store_n(&r->done, true, __ATOMIC_RELEASE);
}

static void start_on_control(void *arg)
{
	ic_kvp_walk_start(arg);
}

static void begin(enum ic_kvp_pool first, enum ic_kvp_pool last, uint64_t limit_ns)
{
	struct rig *r = &rig;

	*r = (struct rig){.s = guest_ic_create(&config, 1), .wanted = UINT32_MAX};
	r->dev = r->s->dev;
	r->walk = (struct ic_kvp_walk){.dev = &r->dev,
		.what = "walk",
		.pool = first,
		.last = last,
		.limit_ns = limit_ns,
		.take = take,
		.done = done};
	guest_ic_open_ready(r->s);
}

static void start(void)
{
	guest_control(&rig.s->g, start_on_control, &rig.walk);
}

/* The next request; its answer has these lengths. */
static void answer(enum ic_kvp_pool pool, uint32_t index, uint32_t key_size, uint32_t status)
{
	struct ic_kvp *k = guest_ic_expect(rig.s, IC_KVP);

	assert_int_equal(k->operation, IC_KVP_ENUMERATE);
	assert_int_equal(k->pool, pool);
	assert_int_equal(k->item.index, index);
	k->item.value.key_size = key_size;
	k->item.value.value_size = 2;
	k->item.value.key[0] = 'k';
	guest_ic_answer(rig.s, status);
}

/* text: of the error; "": there is none. */
static void end(uint32_t taken, const char *text)
{
	guest_ic_wait_flag(rig.s, &rig.done);
	assert_int_equal(rig.failed, *text != '\0');
	assert_int_equal(rig.taken, taken);
	if (*text && !strstr(rig.error.text, text))
		fail_msg("'%s' instead of '%s'", rig.error.text, text);
	guest_ic_destroy(rig.s);
}

static void every_pool_to_its_end(void **state)
{
	begin(IC_KVP_EXTERNAL, IC_KVP_AUTO, 0);
	start();
	answer(IC_KVP_EXTERNAL, 0, 4, 0);
	answer(IC_KVP_EXTERNAL, 1, 4, 0);
	answer(IC_KVP_EXTERNAL, 2, 4, IC_STATUS_NO_MORE_ITEMS);
	answer(IC_KVP_GUEST, 0, 4, IC_STATUS_NO_MORE_ITEMS);
	answer(IC_KVP_AUTO, 0, 4, 0);
	answer(IC_KVP_AUTO, 1, 4, IC_STATUS_NO_MORE_ITEMS);
	end(3, "");
}

static void it_ends_at_the_one_that_was_looked_for(void **state)
{
	begin(IC_KVP_EXTERNAL, IC_KVP_AUTO_INTERNAL, 0);
	rig.wanted = 2;
	start();
	answer(IC_KVP_EXTERNAL, 0, 4, 0);
	answer(IC_KVP_EXTERNAL, 1, 4, 0);
	end(2, "");
}

static void kvp_endless_enumerate_is_capped(void **state)
{
	begin(IC_KVP_GUEST, IC_KVP_AUTO, 0);
	start();
	log_lines_begin();
	for (uint32_t i = 0; i < 2 * IC_KVP_ITEMS_MAX; i++)
		answer(i < IC_KVP_ITEMS_MAX ? IC_KVP_GUEST : IC_KVP_AUTO, i % IC_KVP_ITEMS_MAX, 4,
			0);
	guest_ic_wait_flag(rig.s, &rig.done);
	assert_int_equal(log_lines_end(), 0);
	assert_true(guest_ic_is_silent(rig.s));
	end(2 * IC_KVP_ITEMS_MAX, "");
}

static void kvp_enumerate_has_a_time_limit(void **state)
{
	begin(IC_KVP_EXTERNAL, IC_KVP_EXTERNAL, 1);
	start();
	answer(IC_KVP_EXTERNAL, 0, 4, 0);
	end(0, "walk: the guest takes too long");
}

static void kvp_items_that_lie_are_left_out(void **state)
{
	begin(IC_KVP_EXTERNAL, IC_KVP_EXTERNAL, 0);
	start();
	answer(IC_KVP_EXTERNAL, 0, 513, 0);
	answer(IC_KVP_EXTERNAL, 1, UINT32_MAX, 0);
	answer(IC_KVP_EXTERNAL, 2, 4, 0);
	answer(IC_KVP_EXTERNAL, 3, 4, IC_STATUS_NO_MORE_ITEMS);
	end(1, "");
}

static void a_guest_that_cannot(void **state)
{
	begin(IC_KVP_EXTERNAL, IC_KVP_GUEST, 0);
	start();
	answer(IC_KVP_EXTERNAL, 0, 4, IC_STATUS_FAIL);
	end(0, "walk: the guest could not do it");
}

static void a_driver_that_is_unloaded_meanwhile(void **state)
{
	begin(IC_KVP_EXTERNAL, IC_KVP_GUEST, 0);
	start();
	answer(IC_KVP_EXTERNAL, 0, 4, 0);
	guest_ic_expect(rig.s, IC_KVP);
	guest_chan_close(&rig.s->chan);
	end(1, "walk: the guest ended or closed the service");
}

static void a_guest_that_ends_meanwhile(void **state)
{
	begin(IC_KVP_EXTERNAL, IC_KVP_GUEST, 0);
	start();
	answer(IC_KVP_EXTERNAL, 0, 4, 0);
	guest_ic_expect(rig.s, IC_KVP);
	guest_shut_down(&rig.s->g);
	end(1, "walk: the guest ended or closed the service");
}

static void a_pause_meanwhile(void **state)
{
	begin(IC_KVP_EXTERNAL, IC_KVP_EXTERNAL, 0);
	start();
	guest_ic_expect(rig.s, IC_KVP);
	guest_pause(&rig.s->g, rig.dev);
	guest_ic_answer(rig.s, IC_STATUS_NO_MORE_ITEMS);
	assert_true(guest_ic_is_silent(rig.s));
	assert_false(__atomic_load_n(&rig.done, __ATOMIC_ACQUIRE));
	guest_resume(&rig.s->g, rig.dev);
	end(0, "");
}

static void no_guest(void **state)
{
	begin(IC_KVP_EXTERNAL, IC_KVP_EXTERNAL, 0);
	rig.dev = NULL;
	start();
	end(0, "walk: the VM does not offer kvp");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_pool_to_its_end),
		cmocka_unit_test(it_ends_at_the_one_that_was_looked_for),
		cmocka_unit_test(kvp_endless_enumerate_is_capped),
		cmocka_unit_test(kvp_enumerate_has_a_time_limit),
		cmocka_unit_test(kvp_items_that_lie_are_left_out),
		cmocka_unit_test(a_guest_that_cannot),
		cmocka_unit_test(a_driver_that_is_unloaded_meanwhile),
		cmocka_unit_test(a_guest_that_ends_meanwhile),
		cmocka_unit_test(a_pause_meanwhile),
		cmocka_unit_test(no_guest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
