/* SPDX-License-Identifier: MIT */
/* What the broker allows, for configurations and requests. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "confine/grants.h"

static struct broker_request q;
static uint64_t number; /* of the last request */

static bool allows2(enum broker_op op, int32_t a, const char *text, const char *text2)
{
	broker_request_init(&q, op, a, 0);
	assert_int_equal(broker_request_add(&q, text), 0);
	if (text2)
		assert_int_equal(broker_request_add(&q, text2), 0);
	return grants_allow(&q);
}

static bool allows(enum broker_op op, int32_t a, const char *text)
{
	return allows2(op, a, text, NULL);
}

static void request(const char *text)
{
	json_t *json = json_loads(text, 0, NULL);

	assert_non_null(json);
	grants_add_request(json, ++number);
	json_decref(json);
}

static void nothing_is_allowed_at_first(void **state)
{
	for (uint32_t op = 0; op <= BROKER_OPS; op++) {
		if (op == BROKER_CTL || op == BROKER_KILL || op == BROKER_WAIT ||
			op == BROKER_TAP_WATCH)
			continue; /* checked where they are done */
		assert_false(allows((enum broker_op)op, O_RDONLY, "/etc/passwd"));
	}
}

static void a_disk_is_opened_once(void **state)
{
	request("{\"command\": \"disk add\", \"spec\": \"/img/a\"}");
	assert_true(allows(BROKER_STAT, 0, "/img/a"));
	assert_false(allows(BROKER_OPEN, O_RDWR | O_CREAT, "/img/a"));
	assert_false(allows(BROKER_UNLINK, 0, "/img/a"));
	assert_false(allows(BROKER_OPEN, O_RDWR | O_PATH, "/img/a"));
	assert_true(allows(BROKER_OPEN, O_RDWR | O_CLOEXEC, "/img/a"));
	grants_use(&q);
	assert_false(allows(BROKER_OPEN, O_RDWR, "/img/a"));
	assert_false(allows(BROKER_OPEN, O_RDONLY, "/img/a"));
	assert_true(allows(BROKER_REALPATH, 0, "/img/a")); /* for its reservation */
	grants_use(&q);
	assert_false(allows(BROKER_REALPATH, 0, "/img/a"));
}

static void a_read_only_disk_is_not_written(void **state)
{
	request("{\"command\": \"disk add\", \"spec\": \"/img/r,ro\"}");
	assert_false(allows(BROKER_OPEN, O_RDWR, "/img/r"));
	assert_false(allows(BROKER_OPEN, O_WRONLY, "/img/r"));
	assert_true(allows(BROKER_OPEN, O_RDONLY, "/img/r"));
}

static void names_are_relative_to_the_client(void **state)
{
	request("{\"command\": \"disk add\", \"spec\": \"rel,log=l.txt\", \"directory\": \"/d\"}");
	assert_true(allows(BROKER_OPEN, O_RDWR, "/d/rel"));
	assert_true(allows(BROKER_OPEN, O_WRONLY | O_CREAT | O_APPEND, "/d/l.txt"));
	assert_false(allows(BROKER_OPEN, O_RDWR, "rel"));
	request("{\"command\": \"copy\", \"file\": \"f\", \"directory\": \"/d\", \"path\": \"/x\"}");
	assert_true(allows(BROKER_OPEN, O_RDONLY | O_NONBLOCK, "/d/f"));
	assert_false(allows(BROKER_OPEN, O_WRONLY, "/d/f"));
}

static void what_is_no_command_for_files_grants_nothing(void **state)
{
	request("{\"command\": \"stats\", \"spec\": \"/img/s\"}");
	request("{\"command\": 1, \"spec\": \"/img/s\"}");
	request("{\"spec\": \"/img/s\"}");
	request("{\"command\": \"disk add\", \"spec\": 7}");
	request("{\"command\": \"disk add\", \"spec\": \"/img/s,nosuchkey=1\"}");
	assert_false(allows(BROKER_OPEN, O_RDONLY, "/img/s"));
}

static void reservations_are_beside_their_disk(void **state)
{
	assert_int_equal(grants_add_reservation("/img/p"), 0);
	assert_true(allows(BROKER_OPEN, O_WRONLY | O_CREAT | O_TRUNC, "/img/p.pr.tmp"));
	grants_use(&q);
	assert_true(allows(BROKER_OPEN, O_WRONLY | O_CREAT | O_TRUNC, "/img/p.pr.tmp"));
	assert_true(allows2(BROKER_RENAME, 0, "/img/p.pr.tmp", "/img/p.pr"));
	assert_false(allows2(BROKER_RENAME, 0, "/img/p.pr.tmp", "/img/p"));
	assert_false(allows2(BROKER_RENAME, 0, "/img/p", "/img/p.pr"));
	assert_false(allows(BROKER_RENAME, 0, "/img/p.pr.tmp"));
	assert_true(allows(BROKER_UNLINK, 0, "/img/p.pr"));
	assert_true(allows(BROKER_SYNC, 0, "/img/"));
	grants_use(&q);
	assert_true(allows(BROKER_SYNC, 0, "/img/"));
	assert_false(allows(BROKER_SYNC, 0, "/img/p.pr"));
	assert_false(allows(BROKER_OPEN, O_RDONLY, "/img/"));
	assert_false(allows(BROKER_OPEN, O_RDONLY | O_DIRECTORY, "/img/"));
}

static void back_ends_of_nics(void **state)
{
	request("{\"command\": \"nic add\", \"spec\": \"tap:net7,pcap=/cap/t\"}");
	assert_true(allows(BROKER_TAP, 1, "net7"));
	assert_true(allows(BROKER_TAP_ATTACH, 1, "net7"));
	assert_false(allows(BROKER_TAP, 1, "net8"));
	assert_true(allows(BROKER_OPEN, O_WRONLY | O_CREAT | O_TRUNC, "/cap/t"));
	request("{\"command\": \"nic add\", \"spec\": \"pair:/run/p\"}");
	assert_true(allows(BROKER_LISTEN, SOCK_SEQPACKET, "/run/p"));
	assert_true(allows(BROKER_CONNECT, SOCK_SEQPACKET, "/run/p"));
	assert_true(allows(BROKER_OPEN, O_RDWR | O_CREAT, "/run/p.lock"));
	assert_false(allows(BROKER_LISTEN, SOCK_SEQPACKET, "/run/q"));
}

static void passt_is_started_with_its_arguments_only(void **state)
{
	static const char *const wanted[] = {
		"passt", "--foreground", "--quiet", "--fd", "3", "-m", "1500", "-t", "80:80"};

	request("{\"command\": \"nic add\", \"spec\": \"user,forward=tcp:80-:80\"}");
	broker_request_init(&q, BROKER_SPAWN, 0, 0);
	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
		assert_int_equal(broker_request_add(&q, wanted[i]), 0);
	assert_true(grants_allow(&q));
	assert_int_equal(broker_request_add(&q, "-d"), 0);
	assert_false(grants_allow(&q));
	assert_false(allows(BROKER_SPAWN, 0, "passt"));
}

static void nbd_servers(void **state)
{
	request("{\"command\": \"disk add\", \"spec\": \"nbd://host/a\"}");
	assert_true(allows(BROKER_NBD, 0, "nbd://host/a"));
	grants_use(&q);
	assert_true(allows(BROKER_NBD, 0, "nbd://host/a")); /* it connects again */
	assert_false(allows(BROKER_NBD, 0, "nbd://host/b"));
}

static void services_of_vsock(void **state)
{
	const struct grant_to to = {&grants, 0};

	assert_int_equal(grants_add_text(&to, GRANT_SERVICES, MAY_CONNECT, "/run/v"), 0);
	assert_true(allows(BROKER_CONNECT, SOCK_STREAM, "/run/v_1024"));
	assert_false(allows(BROKER_CONNECT, SOCK_STREAM, "/run/v_"));
	assert_false(allows(BROKER_CONNECT, SOCK_STREAM, "/run/v_1/../x"));
	assert_false(allows(BROKER_CONNECT, SOCK_STREAM, "/run/v"));
	assert_false(allows(BROKER_CONNECT, SOCK_STREAM, "/run/w_1"));
}

static void attributes_of_block_devices(void **state)
{
	assert_true(allows(BROKER_OPEN, O_RDONLY, "/sys/dev/block/8:1/../wwid"));
	assert_true(
		allows(BROKER_OPEN, O_RDONLY, "/sys/dev/block/8:1/queue/write_zeroes_max_bytes"));
	assert_false(allows(BROKER_OPEN, O_RDWR, "/sys/dev/block/8:1/wwid"));
	assert_false(allows(BROKER_OPEN, O_RDONLY, "/sys/dev/block/8:1/../../wwid"));
	assert_false(allows(BROKER_OPEN, O_RDONLY, "/sys/dev/block/8:1/wwid/../../x"));
	assert_false(allows(BROKER_OPEN, O_RDONLY, "/sys/dev/block/"));
	assert_false(allows(BROKER_OPEN, O_RDONLY, "/sys/dev/block/8:1"));
}

/* What a request named and did not use goes with its answer. */
static void answered_requests_leave_nothing(void **state)
{
	request("{\"command\": \"save\", \"file\": \"/s/vm\"}");
	assert_true(allows2(BROKER_RENAME, 0, "/s/vm.tmp", "/s/vm"));
	assert_false(grants_may_replace(&q));
	assert_true(allows(BROKER_OPEN, O_RDWR | O_CREAT | O_EXCL, "/s/vm.tmp"));
	assert_true(allows(BROKER_SYNC, 0, "/s/"));
	assert_false(allows(BROKER_OPEN, O_RDONLY | O_DIRECTORY, "/s/"));
	grants_answered(number - 1, true);
	assert_true(allows(BROKER_OPEN, O_RDWR | O_CREAT | O_EXCL, "/s/vm.tmp"));
	grants_answered(number, true);
	assert_false(allows(BROKER_OPEN, O_RDWR | O_CREAT | O_EXCL, "/s/vm.tmp"));
	assert_false(allows(BROKER_OPEN, O_RDONLY, "/s/vm"));
	assert_false(allows2(BROKER_RENAME, 0, "/s/vm.tmp", "/s/vm"));
	assert_false(allows(BROKER_SYNC, 0, "/s/"));
	request("{\"command\": \"disk add\", \"spec\": \"/img/refused\"}");
	grants_answered(number, true);
	assert_false(allows(BROKER_OPEN, O_RDWR, "/img/refused"));
}

static void devices_go_on_connecting(void **state)
{
	request("{\"command\": \"nic add\", \"spec\": \"pair:/run/stays,pcap=/cap/stays\"}");
	grants_answered(number, false);
	assert_true(allows(BROKER_CONNECT, SOCK_SEQPACKET, "/run/stays"));
	assert_false(allows(BROKER_OPEN, O_WRONLY | O_CREAT | O_TRUNC, "/cap/stays"));
	request("{\"command\": \"nic add\", \"spec\": \"pair:/run/goes\"}");
	grants_answered(number, true);
	assert_false(allows(BROKER_CONNECT, SOCK_SEQPACKET, "/run/goes"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_allowed_at_first),
		cmocka_unit_test(a_disk_is_opened_once),
		cmocka_unit_test(a_read_only_disk_is_not_written),
		cmocka_unit_test(names_are_relative_to_the_client),
		cmocka_unit_test(what_is_no_command_for_files_grants_nothing),
		cmocka_unit_test(reservations_are_beside_their_disk),
		cmocka_unit_test(back_ends_of_nics),
		cmocka_unit_test(passt_is_started_with_its_arguments_only),
		cmocka_unit_test(nbd_servers),
		cmocka_unit_test(services_of_vsock),
		cmocka_unit_test(attributes_of_block_devices),
		cmocka_unit_test(answered_requests_leave_nothing),
		cmocka_unit_test(devices_go_on_connecting),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
