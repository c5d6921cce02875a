/* SPDX-License-Identifier: MIT */
/* Devices from a table, over a real bus: offers, pauses of the whole group, inspection. */
#include "tests/unit/vsp/vsp_rig.h"

#include "mgmt/inspect_json.h"
#include "vm/devices.h"

static struct test_config busy = {.hold = true, .requests = 8};

static const struct device_row rows[] = {
	{.ops = &test_ops,
		.id = "test0",
		.instance = HV_GUID(1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 1),
		.config = &busy},
	{.ops = &null_ops, .id = "null1", .instance = HV_GUID(1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2)},
	{0},
};

static struct devices devices;
static struct err e;
static unsigned int rests;

static void detach(void)
{
	devices_detach(&devices);
}

static void attach(const struct device_row *table)
{
	rests = 0;
	f->detach = detach;
	assert_int_equal(devices_attach(&devices, table, &f->host, &e), 0);
	connect_bus();
}

static void attach_both(void)
{
	attach(rows);
	take_offer(&f->chan[0]);
	take_offer(&f->chan[1]);
}

static void on_rest(void *ctx)
{
	rests++;
}

static bool has_rested(void)
{
	return rests > 0;
}

static void do_pause(void)
{
	device_group_pause(&devices.group, on_rest, NULL);
}

/* ---- offers -------------------------------------------------------------- */

static void each_row_is_offered(void **state)
{
	attach_both();
	assert_true(no_more(VMBUS_MSG_OFFER));
	open_channel(&f->chan[1], 0);
	guest_send(&f->chan[1], 5);
	guest_expect_completion(&f->chan[1], 5);
	close_channel(&f->chan[1]);
}

static void an_empty_table_is_at_rest(void **state)
{
	attach(&rows[2]);
	assert_true(no_more(VMBUS_MSG_OFFER));
	do_pause();
	assert_int_equal(rests, 1);
	device_group_resume(&devices.group);
}

/* The devices before it exist; detaching destroys them. */
static void a_device_that_fails_fails_the_boot(void **state)
{
	static struct test_config refuses = {.create_error = -EIO};
	const struct device_row table[] = {
		rows[1], {.ops = &test_ops, .id = "bad", .config = &refuses}, {0}};

	f->detach = detach;
	assert_int_equal(devices_attach(&devices, table, &f->host, &e), -EIO);
	assert_string_equal(e.text, "test: no");
	assert_non_null(devices.devices[0].vsp);
	assert_null(devices.devices[1].vsp);
}

/* ---- pauses -------------------------------------------------------------- */

static bool has_held(void)
{
	return ((struct test_device *)vsp_device_priv(devices.devices[0].vsp))->packets > 0;
}

/* The first device has a request that does not complete. */
static struct vsp_channel *make_busy(void)
{
	attach_both();
	open_channel(&f->chan[0], 0);
	guest_send(&f->chan[0], 1);
	run_until(has_held);
	return vsp_device_primary(devices.devices[0].vsp);
}

static void release(struct vsp_channel *ch)
{
	loop_call(vsp_channel_loop(ch), complete_held, ch);
	guest_expect_completion(&f->chan[0], 1);
}

static void a_pause_waits_for_the_last_device(void **state)
{
	struct vsp_channel *ch = make_busy();

	do_pause();
	run_a_while();
	assert_int_equal(rests, 0);
	devices_name_busy(&devices, &e);
	assert_non_null(strstr(e.text, "test0"));
	loop_call(vsp_channel_loop(ch), complete_held, ch);
	run_until(has_rested);
	guest_expect_completion(&f->chan[0], 1);
	assert_int_equal(rests, 1);
	device_group_resume(&devices.group);
	rests = 0;
	do_pause();
	run_until(has_rested);
	device_group_resume(&devices.group);
}

static void a_resume_cancels_a_pause(void **state)
{
	struct vsp_channel *ch = make_busy();

	do_pause();
	device_group_resume(&devices.group);
	release(ch);
	run_a_while();
	assert_int_equal(rests, 0);
}

/* ---- inspect ------------------------------------------------------------- */

static void inspect_lists_the_rows(void **state)
{
	struct inspect_json w;
	json_t *json, *list;

	attach_both();
	inspect_json_init(&w);
	inspect_begin_array(&w.inspect, "devices");
	devices_inspect(&devices, &w.inspect);
	inspect_end(&w.inspect);
	json = inspect_json_finish(&w);
	list = json_object_get(json, "devices");
	assert_int_equal(json_array_size(list), 2);
	for (size_t i = 0; i < 2; i++) {
		json_t *row = json_array_get(list, i);
		const char *class = json_string_value(json_object_get(row, "class"));

		assert_string_equal(json_string_value(json_object_get(row, "id")), rows[i].id);
		assert_string_equal(class, rows[i].ops->name);
	}
	json_decref(json);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(each_row_is_offered),
		T(an_empty_table_is_at_rest),
		T(a_device_that_fails_fails_the_boot),
		T(a_pause_waits_for_the_last_device),
		T(a_resume_cancels_a_pause),
		T(inspect_lists_the_rows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
