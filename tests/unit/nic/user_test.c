/* SPDX-License-Identifier: MIT */
/* `user`: the stream's parser, the command line, the real passt in a network of the test's own, and
 * programs that behave badly in its place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "nic/user/user_impl.h"
#include "tests/support/nic_frames.h"
#include "tests/support/nic_rig.h"

static struct loop loop;
static struct nic_rig rig;
static bool have_network;
static char script[64];

static int setup(void **state)
{
	memset(&rig, 0, sizeof(rig));
	assert_int_equal(loop_init(&loop, "control", NULL), 0);
	return 0;
}

static int teardown(void **state)
{
	loop_fini(&loop);
	if (script[0])
		unlink(script);
	return 0;
}

/* ---- parser -------------------------------------------------------------- */

static struct stream stream;

static void feed(const void *bytes, uint32_t length)
{
	uint32_t room;

	memcpy(stream_room(&stream, &room), bytes, length);
	assert_true(room >= length);
	stream_received(&stream, length);
}

/* Frames of random lengths, cut at random, come out whole and in order. */
static void frames_survive_any_cut(void **state)
{
	static uint8_t out[64 * (NIC_FRAME_MAX + STREAM_PREFIX)];
	struct nic_random r = {.state = 7};
	uint32_t lengths[64], end = 0, at = 0, next = 0;

	stream_reset(&stream);
	for (uint32_t i = 0; i < 64; i++) {
		uint32_t length = nic_random(&r, 3) ? 14 + nic_random(&r, 1500)
						    : 14 + nic_random(&r, NIC_FRAME_MAX - 13);
		uint32_t prefix = htonl(length);

		lengths[i] = length;
		memcpy(out + end, &prefix, sizeof(prefix));
		memset(out + end + STREAM_PREFIX, (int)i, length);
		end += STREAM_PREFIX + length;
	}
	while (next < 64) {
		const uint8_t *frame;
		uint32_t n = 1 + nic_random(&r, nic_random(&r, 2) ? 4 : 100000);
		int length;

		while ((length = stream_next(&stream, &frame)) > 0) {
			assert_int_equal(length, lengths[next]);
			assert_int_equal(frame[0], next);
			assert_int_equal(frame[length - 1], next);
			stream_skip(&stream, length);
			next++;
		}
		assert_int_equal(length, 0);
		n = n > end - at ? end - at : n;
		feed(out + at, n);
		at += n;
	}
	assert_int_equal(at, end);
}

static void bad_lengths_end_the_stream(void **state)
{
	const uint8_t *frame;

	stream_reset(&stream);
	feed("\0\0\0\5hello\0\0\0\0\0\0\0\16abcdefghijklmn", 31);
	assert_int_equal(stream_next(&stream, &frame), 14);
	assert_int_equal(stream.skipped, 2);
	assert_memory_equal(frame, "abcdefghijklmn", 14);
	stream_skip(&stream, 14);
	feed("\0\1\0\16", 4);
	assert_int_equal(stream_next(&stream, &frame), -EPROTO); /* 65550: one too many */
	stream_reset(&stream);
	feed("\377\377\377\377", 4);
	assert_int_equal(stream_next(&stream, &frame), -EPROTO);
}

/* ---- command line -------------------------------------------------------- */

static void forwards_become_arguments(void **state)
{
	static const struct {
		const char *value, *flag, *spec;
	} good[] = {
		{"tcp:8080-:80", "-t", "8080:80"},
		{"udp:5353-:53", "-u", "5353:53"},
		{"tcp:127.0.0.1:8080-:80", "-t", "127.0.0.1/8080:80"},
		{"tcp:::1:8080-:80", "-t", "::1/8080:80"},
	};
	static const char *const bad[] = {"tcp:8080", "8080-:80", "tcp:8080-80", "tcp:0-:80",
		"tcp:8080-:65536", "tcp:8080-:", "tcp:-:80", "tcp:a b:1-:2", "tcp:;rm:1-:2",
		"sctp:1-:2", "tcp::1-:2", "tcp:08080808-:1"};
	struct nic_env env = {.queues = 1};

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct nic_setting s = {"forward", good[i].value};
		struct nic_open o = {.env = &env, .settings = &s, .setting_count = 1};
		struct user_command c = {0};

		assert_int_equal(user_command_make(&c, &o, NULL), 0);
		assert_string_equal(c.argv[c.argc - 2], good[i].flag);
		assert_string_equal(c.argv[c.argc - 1], good[i].spec);
		assert_null(c.argv[c.argc]);
		user_command_free(&c);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct nic_setting s = {"forward", bad[i]};
		struct nic_open o = {.env = &env, .settings = &s, .setting_count = 1};
		struct user_command c = {0};
		struct err e = {""};

		assert_int_equal(user_command_make(&c, &o, &e), -EINVAL);
		assert_non_null(strstr(e.text, "forward="));
	}
}

static void a_missing_passt_is_said(void **state)
{
	struct nic *nic;
	struct err e;

	assert_int_equal(nic_rig_stack(&nic, &loop, "user,program=/nowhere/passt", 1, &e), -ENOENT);
	assert_non_null(strstr(e.text, "install"));
}

/* ---- the real one -------------------------------------------------------- */

static bool need_network(void)
{
	if (!have_network)
		skip();
	return have_network;
}

static uint8_t reply[2048];
static uint32_t reply_length;

static bool is_udp_to(const uint8_t *bytes, uint32_t length, uint16_t port)
{
	struct nic_headers h;

	return nic_parse(bytes, length, &h) && h.protocol == NIC_PROTO_UDP &&
	       (bytes[h.l4 + 2] << 8 | bytes[h.l4 + 3]) == port;
}

static void keep_dhcp(struct nic_rig *r, const uint8_t *bytes, const struct nic_frame *frame)
{
	if (!is_udp_to(bytes, frame->length, 68) || frame->length > sizeof(reply))
		return;
	memcpy(reply, bytes, frame->length);
	reply_length = frame->length;
}

static bool have_reply(void *ctx)
{
	return reply_length;
}

/* A DISCOVER, with the checksum left to the back end. */
static void send_discover(void)
{
	static const uint8_t options[] = {0x63, 0x82, 0x53, 0x63, 53, 1, 1, 255};
	struct nic_rig_frame *f = nic_rig_frame(&rig, 300, 42, 3);
	struct nic_headers h;
	uint8_t *b = f->bytes;

	memset(b, 0, 300);
	memset(b, 0xff, 6);
	memcpy(b + 6, "\2\0\0\0\0\1", 6);
	b[12] = 8;
	b[14] = 0x45;
	b[16] = (300 - 14) >> 8;
	b[17] = (300 - 14) & 255;
	b[22] = 64;
	b[23] = 17;
	memset(b + 30, 0xff, 4);
	b[35] = 68;
	b[37] = 67;
	b[38] = (300 - 34) >> 8;
	b[39] = (300 - 34) & 255;
	b[42] = b[43] = 1; /* BOOTREQUEST, Ethernet */
	b[44] = 6;
	memcpy(b + 42 + 28, b + 6, 6);
	memcpy(b + 42 + 236, options, sizeof(options));
	assert_true(nic_parse(b, 300, &h));
	nic_ip_checksum(b, &h);
	nic_csum_prepare(b, &h, 300 - h.l4, &f->frame.offload);
	nic_rig_send(&rig, f);
}

static void expect_offer(void)
{
	reply_length = 0;
	rig.rx = keep_dhcp;
	send_discover();
	nic_rig_run(&loop, have_reply, NULL);
	assert_int_equal(reply[42], 2);                        /* BOOTREPLY */
	assert_memory_equal(reply + 42 + 16, "\xc0\0\2\2", 4); /* the host's own address */
}

static void passt_answers_dhcp(void **state)
{
	if (!need_network())
		return;
	nic_rig_open(&rig, &loop, "user", 4);
	assert_int_equal(rig.nic->info.queues_max, 1);
	assert_true(nic_link_up(rig.nic));
	expect_offer();
	nic_rig_detach(&rig); /* the stream survives */
	nic_rig_attach(&rig, &loop, rig.nic, 0);
	expect_offer();
	nic_rig_close(&rig);
}

static uint32_t syns;

static void keep_syn(struct nic_rig *r, const uint8_t *bytes, const struct nic_frame *frame)
{
	struct nic_headers h;

	if (nic_parse(bytes, frame->length, &h) && h.protocol == NIC_PROTO_TCP &&
		bytes[h.l4 + 3] == 80 && bytes[h.l4 + 2] == 0 && bytes[h.l4 + 13] == 2)
		syns++;
}

static bool have_syn(void *ctx)
{
	return syns;
}

static void passt_forwards_ports(void **state)
{
	struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons(8080)};
	int fd;

	if (!need_network())
		return;
	nic_rig_open(&rig, &loop, "user,forward=tcp:8080-:80", 1);
	expect_offer(); /* so it runs, and knows our address */
	rig.rx = keep_syn;
	fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), -1);
	assert_int_equal(errno, EINPROGRESS);
	nic_rig_run(&loop, have_syn, NULL);
	close(fd);
	nic_rig_close(&rig);
}

static void a_killed_passt_is_started_again(void **state)
{
	if (!need_network())
		return;
	nic_rig_open(&rig, &loop, "user", 1);
	for (int i = 0; i < 3; i++) {
		expect_offer();
		assert_int_equal(kill(((struct user_nic *)rig.nic)->pid, SIGKILL), 0);
		nic_rig_wait_link(&rig, false);
		nic_rig_wait_link(&rig, true);
	}
	expect_offer();
	assert_int_equal(rig.changes, 6);
	nic_rig_close(&rig);
}

/* ---- bad ones ------------------------------------------------------------ */

static void write_script(const char *body, char *text, size_t size)
{
	static int n;
	FILE *f;

	snprintf(script, sizeof(script), "/tmp/enlite-user-test-%d-%d", (int)getpid(), n++);
	f = fopen(script, "w");
	assert_non_null(f);
	fprintf(f, "#!/bin/sh\n%s\n", body);
	assert_int_equal(fchmod(fileno(f), 0700), 0);
	fclose(f);
	snprintf(text, size, "user,program=%s", script);
}

static bool twice_down(void *ctx)
{
	return rig.changes >= 4;
}

static void one_that_ends_is_started_with_back_off(void **state)
{
	uint64_t start = loop_now_ns();
	char text[128];

	write_script("exit 3", text, sizeof(text));
	nic_rig_open(&rig, &loop, text, 1);
	nic_rig_run(&loop, twice_down, NULL);
	assert_true(loop_now_ns() - start >= USER_RETRY_NS);
	nic_rig_close(&rig);
}

static bool backed_off(void *ctx)
{
	return ((struct user_nic *)rig.nic)->retry_ns >= 8 * USER_RETRY_NS;
}

/* Removed while it ran, as by an upgrade of its package. */
static void one_that_is_not_there_any_more_is_tried_with_back_off(void **state)
{
	struct user_nic *user;
	char text[128];

	write_script("exec tail -f /dev/null", text, sizeof(text));
	nic_rig_open(&rig, &loop, text, 1);
	user = (struct user_nic *)rig.nic;
	user->started_ns -= USER_STABLE_NS; /* it has run so long */
	assert_int_equal(unlink(script), 0);
	assert_int_equal(kill(user->pid, SIGKILL), 0);
	nic_rig_run(&loop, backed_off, NULL);
	assert_false(nic_link_up(rig.nic));
	nic_rig_close(&rig);
}

static void garbage_ends_it(void **state)
{
	char text[128];

	write_script(
		"printf '\\0\\0\\0\\024aaaaaaaaaaaaaaaaaaaa\\377\\377\\377\\377' >&3; exec tail -f /dev/null",
		text, sizeof(text));
	nic_rig_open(&rig, &loop, text, 1);
	nic_rig_run(&loop, twice_down, NULL);
	assert_true(rig.received >= 1);
	nic_rig_close(&rig);
}

/* It does not read: back-pressure, then drops, never a wedge; and a close in the middle. */
static void a_deaf_one_costs_frames_only(void **state)
{
	static uint8_t bytes[60000];
	char text[128];

	write_script("exec tail -f /dev/null", text, sizeof(text));
	nic_rig_open(&rig, &loop, text, 1);
	for (uint32_t i = 0; i < 50; i++)
		nic_rig_send_bytes(&rig, bytes, sizeof(bytes));
	assert_true(rig.frames_out > 30);
	nic_rig_wait_sent(&rig);
	assert_int_equal(rig.last_error, -ENOBUFS);
	nic_rig_close(&rig);
}

/* It reads slowly, in odd pieces: what it gets is what was sent. */
static void short_writes_keep_the_stream(void **state)
{
	struct nic_random r = {.state = 11};
	char text[256], out[64], body[160];
	FILE *f;
	uint8_t prefix[4];
	static uint8_t got[NIC_FRAME_MAX];

	snprintf(out, sizeof(out), "/tmp/enlite-user-out-%d", (int)getpid());
	snprintf(body, sizeof(body), "exec dd bs=777 iflag=fullblock of=%s <&3 2>/dev/null", out);
	write_script(body, text, sizeof(text));
	nic_rig_open(&rig, &loop, text, 1);
	for (uint32_t i = 0; i < 300; i++) {
		uint32_t length, headers;
		struct nic_offload o;
		struct nic_rig_frame *fr = nic_rig_frame(&rig, NIC_FRAME_MAX, 64, 1);

		nic_frame_make(&r, NIC_FRAME_TSO, fr->bytes, &length, &headers, &o);
		fr = nic_rig_frame(&rig, length, headers, 5);
		fr->frame.offload = o;
		nic_rig_send(&rig, fr);
		if (rig.frames_out > 20)
			nic_rig_wait_sent(&rig);
	}
	nic_rig_wait_sent(&rig);
	assert_int_equal(rig.failed, 0);
	nic_rig_close(&rig);
	f = fopen(out, "r"); /* what dd wrote of whole blocks before it was killed */
	assert_non_null(f);
	for (uint32_t n = 0; fread(prefix, 1, 4, f) == 4; n++) {
		uint32_t length =
			(uint32_t)prefix[0] << 24 | prefix[1] << 16 | prefix[2] << 8 | prefix[3];
		struct nic_headers h;

		assert_true(length >= 14 && length <= 1600);
		if (fread(got, 1, length, f) < length)
			break;
		assert_true(nic_parse(got, length, &h));
	}
	fclose(f);
	unlink(out);
}

static void make_network(void)
{
	have_network = !access("/usr/bin/passt", X_OK) && nic_rig_unshare();
	if (!have_network) {
		printf("# passt itself: skipped, the package passt is not there\n");
		return;
	}
	nic_rig_shell("ip link set lo up && ip link add v0 type veth peer name v1 && "
		      "ip addr add 192.0.2.2/24 dev v0 && ip link set v0 up && ip link set v1 up");
	nic_rig_shell("ip route add default via 192.0.2.1");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_survive_any_cut),
		cmocka_unit_test(bad_lengths_end_the_stream),
		cmocka_unit_test(forwards_become_arguments),
		cmocka_unit_test_setup_teardown(a_missing_passt_is_said, setup, teardown),
		cmocka_unit_test_setup_teardown(passt_answers_dhcp, setup, teardown),
		cmocka_unit_test_setup_teardown(passt_forwards_ports, setup, teardown),
		cmocka_unit_test_setup_teardown(a_killed_passt_is_started_again, setup, teardown),
		cmocka_unit_test_setup_teardown(
			one_that_ends_is_started_with_back_off, setup, teardown),
		cmocka_unit_test_setup_teardown(
			one_that_is_not_there_any_more_is_tried_with_back_off, setup, teardown),
		cmocka_unit_test_setup_teardown(garbage_ends_it, setup, teardown),
		cmocka_unit_test_setup_teardown(a_deaf_one_costs_frames_only, setup, teardown),
		cmocka_unit_test_setup_teardown(short_writes_keep_the_stream, setup, teardown),
	};

	make_network();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
