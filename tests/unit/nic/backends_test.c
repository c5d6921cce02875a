/* SPDX-License-Identifier: MIT */
/* loop, null, none, the filters over them, and how stacks are written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file_lock.h"
#include "tests/support/nic_frames.h"
#include "tests/support/nic_rig.h"

static struct loop loop;
static struct nic_rig rig;

static int setup(void **state)
{
	memset(&rig, 0, sizeof(rig));
	assert_int_equal(loop_init(&loop, "control", NULL), 0);
	return 0;
}

static int teardown(void **state)
{
	loop_fini(&loop);
	return 0;
}

static void send_numbered(uint32_t n)
{
	uint8_t bytes[64] = {0};

	memcpy(bytes + 14, &n, sizeof(n));
	nic_rig_send_bytes(&rig, bytes, sizeof(bytes));
}

static uint32_t last_number;
static bool reordered;

static void in_order(struct nic_rig *r, const uint8_t *bytes, const struct nic_frame *frame)
{
	uint32_t n;

	memcpy(&n, bytes + 14, sizeof(n));
	reordered |= n <= last_number;
	last_number = n;
}

/* ---- back ends ----------------------------------------------------------- */

static void null_takes_everything(void **state)
{
	struct nic_stats stats;

	nic_rig_open(&rig, &loop, "null", 4);
	assert_true(nic_link_up(rig.nic));
	for (uint32_t i = 0; i < 100; i++)
		send_numbered(i);
	assert_int_equal(rig.sent, 100);
	assert_int_equal(rig.received, 0);
	nic_stats(rig.nic, &stats);
	assert_int_equal(stats.tx.frames, 100);
	assert_int_equal(stats.tx.bytes, 6400);
	nic_rig_close(&rig);
}

static void none_has_no_link(void **state)
{
	struct nic_stats stats;

	nic_rig_open(&rig, &loop, "none", 1);
	assert_false(nic_link_up(rig.nic));
	send_numbered(1);
	assert_int_equal(rig.failed, 1);
	assert_int_equal(rig.last_error, -ENETDOWN);
	nic_queue_stats(rig.nic, 0, &stats);
	assert_int_equal(stats.tx.dropped[NIC_DROP_LINK_DOWN], 1);
	nic_rig_close(&rig);
}

static void loop_brings_everything_back_in_order(void **state)
{
	nic_rig_open(&rig, &loop, "loop", 1);
	last_number = reordered = 0;
	rig.rx = in_order;
	for (uint32_t i = 1; i <= 1000; i++) {
		if (rig.frames_out == RIG_FRAMES)
			nic_rig_wait_sent(&rig);
		send_numbered(i);
	}
	nic_rig_wait_received(&rig, 1000);
	assert_false(reordered);
	nic_rig_close(&rig);
}

/* Each frame that arrives is answered with another one: the loop's thread is not kept. Not for
 * ever, since a loop does not end as long as tasks are posted. */
static void echo(struct nic_rig *r, const uint8_t *bytes, const struct nic_frame *frame)
{
	if (r->received < 10 * NIC_BATCH)
		nic_rig_send_bytes(r, bytes, frame->length);
}

static void an_echo_does_not_keep_the_thread(void **state)
{
	uint64_t turns;

	nic_rig_open(&rig, &loop, "loop", 1);
	rig.rx = echo;
	send_numbered(1);
	turns = loop.turns;
	nic_rig_wait_received(&rig, 10 * NIC_BATCH);
	assert_true(loop.turns - turns >= 9);
	nic_rig_close(&rig);
}

static void without_buffers_frames_wait_then_drop(void **state)
{
	struct nic_stats stats;

	nic_rig_open(&rig, &loop, "loop", 1);
	rig.buffers_out = RIG_BUFFERS;
	for (uint32_t i = 0; i < 10; i++)
		send_numbered(i);
	assert_int_equal(rig.frames_out, 10);
	rig.buffers_out = 0;
	nic_rx_resume(rig.queue);
	assert_int_equal(rig.received, 10);
	rig.buffers_out = RIG_BUFFERS;
	send_numbered(11);
	nic_rig_wait_sent(&rig);
	assert_int_equal(rig.last_error, -ENOBUFS);
	nic_stats(rig.nic, &stats);
	assert_int_equal(stats.tx.dropped[NIC_DROP_FULL], 1);
	rig.buffers_out = 0;
	nic_rig_close(&rig);
}

static void block(struct nic_rig *r, const uint8_t *bytes, const struct nic_frame *frame)
{
	r->buffers_out = r->buffers_max;
}

/* The stall in the middle of a segmented frame, whose memory goes back to the client then. */
static void a_stall_in_the_middle_of_a_frame(void **state)
{
	struct nic_random r = {.state = 5};

	nic_rig_open(&rig, &loop, "loop", 1);
	rig.rx = block;
	for (int i = 0; i < 2; i++) {
		uint32_t length, headers;
		struct nic_offload o;
		struct nic_rig_frame *f = nic_rig_frame(&rig, NIC_FRAME_MAX, 64, 1);

		nic_frame_make(&r, NIC_FRAME_TSO, f->bytes, &length, &headers, &o);
		f = nic_rig_frame(&rig, length, headers, 3);
		f->frame.offload = o;
		nic_rig_send(&rig, f);
		assert_int_equal(rig.received, i + 1);
		nic_rig_wait_sent(&rig);
		rig.buffers_out = 0;
		memset(f->bytes, 0xee, length);
		nic_rx_resume(rig.queue);
	}
	assert_int_equal(rig.failed, 2);
	send_numbered(1);
	assert_int_equal(rig.received, 3);
	rig.buffers_out = 0;
	nic_rig_close(&rig);
}

static void stop_in_rx(struct nic_rig *r, const uint8_t *bytes, const struct nic_frame *frame)
{
	if (!r->queue->stopping)
		nic_queue_stop(r->queue);
}

static void a_client_may_stop_in_the_middle(void **state)
{
	static const char *const texts[] = {"loop", "loop,delay=1us", "loop,limit=1G",
		"loop,loss=0%", "loop,loss=0%:rx,delay=1ms:tx"};
	struct nic_random r = {.state = 6};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		memset(&rig, 0, sizeof(rig));
		nic_rig_open(&rig, &loop, texts[i], 1);
		rig.rx = stop_in_rx;
		for (uint32_t k = 0; k < 4 && !rig.queue->stopping; k++) {
			uint32_t length, headers;
			struct nic_offload o;
			struct nic_rig_frame *f = nic_rig_frame(&rig, NIC_FRAME_MAX, 64, 1);

			nic_frame_make(&r, NIC_FRAME_TSO, f->bytes, &length, &headers, &o);
			f = nic_rig_frame(&rig, length, headers, 3);
			f->frame.offload = o;
			nic_rig_send(&rig, f);
		}
		nic_rig_wait_received(&rig, 1);
		nic_rig_close(&rig);
	}
}

static void invalid_metadata_never_reach_a_back_end(void **state)
{
	static const struct nic_offload cases[] = {
		{.flags = NIC_CSUM_PARTIAL, .csum_start = 13, .csum_offset = 6},
		{.flags = NIC_CSUM_PARTIAL, .csum_start = 34, .csum_offset = 1000},
		{.flags = NIC_CSUM_PARTIAL, .csum_start = 65535, .csum_offset = 65535},
		{.gso = NIC_GSO_TCP4, .gso_size = 100, .header_len = 54},
		{.gso = 9,
			.flags = NIC_CSUM_PARTIAL,
			.csum_start = 34,
			.csum_offset = 16,
			.gso_size = 100,
			.header_len = 54},
		{.gso = NIC_GSO_TCP4,
			.flags = NIC_CSUM_PARTIAL,
			.csum_start = 34,
			.csum_offset = 16,
			.gso_size = 7,
			.header_len = 54},
		{.gso = NIC_GSO_TCP4,
			.flags = NIC_CSUM_PARTIAL,
			.csum_start = 34,
			.csum_offset = 16,
			.gso_size = 65535,
			.header_len = 54},
		{.gso = NIC_GSO_TCP4,
			.flags = NIC_CSUM_PARTIAL,
			.csum_start = 34,
			.csum_offset = 6,
			.gso_size = 100,
			.header_len = 54},
		{.gso = NIC_GSO_TCP4,
			.flags = NIC_CSUM_PARTIAL,
			.csum_start = 34,
			.csum_offset = 16,
			.gso_size = 100,
			.header_len = 53},
		{.gso = NIC_GSO_TCP4,
			.flags = NIC_CSUM_PARTIAL,
			.csum_start = 34,
			.csum_offset = 16,
			.gso_size = 100,
			.header_len = 5000},
	};
	const uint32_t count = sizeof(cases) / sizeof(cases[0]);
	struct nic_stats stats;

	nic_rig_open(&rig, &loop, "null", 1);
	for (uint32_t i = 0; i < count; i++) {
		struct nic_rig_frame *f = nic_rig_frame(&rig, 600, 100, 2);

		f->frame.offload = cases[i];
		nic_rig_send(&rig, f);
		assert_int_equal(rig.failed, i + 1);
		assert_int_equal(rig.last_error, -EINVAL);
	}
	nic_stats(rig.nic, &stats);
	assert_int_equal(stats.tx.dropped[NIC_DROP_INVALID], count);
	nic_rig_close(&rig);
}

/* ---- calls from other threads -------------------------------------------- */

static bool call_back;
static int call_error;

static void called(struct nic_call *call, int error)
{
	call_error = error;
	call_back = true;
}

static bool is_called(void *ctx)
{
	return call_back;
}

static int call(enum nic_call_op op, uint32_t value)
{
	struct nic_call c = {
		.nic = rig.nic, .op = op, .value = value, .loop = &loop, .done = called};

	call_back = false;
	nic_call(&c);
	nic_rig_run(&loop, is_called, NULL);
	return call_error;
}

static void calls_are_answered(void **state)
{
	nic_rig_open(&rig, &loop, "loop,loss=0%", 4);
	assert_int_equal(call(NIC_CALL_QUEUES, 4), 0);
	assert_int_equal(rig.nic->queues, 4);
	assert_int_equal(call(NIC_CALL_QUEUES, 5), -EINVAL);
	assert_int_equal(call(NIC_CALL_QUEUES, 0), -EINVAL);
	assert_int_equal(call(NIC_CALL_RX_OFFLOADS, NIC_CAN_ALL), 0);
	assert_int_equal(rig.nic->rx_offloads, NIC_CAN_ALL);
	assert_int_equal(rig.nic->lower->rx_offloads, NIC_CAN_ALL);
	assert_int_equal(call(NIC_CALL_RX_OFFLOADS, NIC_CAN_TSO4), 0);
	assert_int_equal(rig.nic->rx_offloads, 0); /* nothing without checksums */
	assert_int_equal(call(NIC_CALL_CARRIER, 0), 0);
	nic_rig_close(&rig);
}

/* ---- filters ------------------------------------------------------------- */

static void delay_holds_and_keeps_the_order(void **state)
{
	uint64_t start = loop_now_ns();

	nic_rig_open(&rig, &loop, "loop,delay=10ms-30ms", 1);
	last_number = reordered = 0;
	rig.rx = in_order;
	for (uint32_t i = 1; i <= 100; i++)
		send_numbered(i);
	assert_int_equal(rig.received, 0);
	nic_rig_wait_received(&rig, 100);
	assert_true(loop_now_ns() - start >= 20 * NS_PER_MS); /* both ways */
	assert_false(reordered);
	nic_rig_close(&rig);
}

static void delay_of_one_way(void **state)
{
	nic_rig_open(&rig, &loop, "loop,delay=3600s:tx", 1);
	send_numbered(1);
	assert_int_equal(rig.frames_out, 1);
	nic_rig_close(&rig); /* the frame comes back */
	assert_int_equal(rig.last_error, -ECANCELED);
	memset(&rig, 0, sizeof(rig));
	nic_rig_open(&rig, &loop, "loop,delay=3600s:rx", 1);
	send_numbered(1);
	assert_int_equal(rig.sent, 1);
	assert_int_equal(rig.buffers_out, 1);
	nic_rig_close(&rig); /* the buffer, too */
}

static void loss_loses_its_share(void **state)
{
	struct nic_stats stats;

	nic_rig_open(&rig, &loop, "loop,loss=25%", 1);
	for (uint32_t i = 0; i < 4000; i++)
		send_numbered(i);
	nic_rig_wait_sent(&rig);
	assert_int_equal(rig.failed, 0); /* whoever sent it does not hear of it */
	nic_stats(rig.nic, &stats);
	assert_in_range(stats.tx.dropped[NIC_DROP_FILTER], 900, 1100);
	assert_in_range(stats.rx.dropped[NIC_DROP_FILTER], 650, 850);
	assert_int_equal(rig.received + stats.tx.dropped[NIC_DROP_FILTER] +
				 stats.rx.dropped[NIC_DROP_FILTER],
		4000);
	nic_rig_close(&rig);
	memset(&rig, 0, sizeof(rig));
	nic_rig_open(&rig, &loop, "loop,loss=100%:rx", 1);
	send_numbered(1);
	assert_int_equal(rig.sent, 1);
	assert_int_equal(rig.received, 0);
	nic_rig_close(&rig);
}

/* 200 frames of 1000 bytes at 8 Mbit/s are 200 ms, less the burst. */
static void limit_keeps_its_rate(void **state)
{
	static uint8_t bytes[1000];
	uint64_t start, took;

	nic_rig_open(&rig, &loop, "loop,limit=8M:tx", 1);
	start = loop_now_ns();
	for (uint32_t i = 0; i < 200; i++)
		nic_rig_send_bytes(&rig, bytes, sizeof(bytes));
	nic_rig_wait_received(&rig, 200);
	took = loop_now_ns() - start;
	assert_true(took >= 185 * NS_PER_MS);
	nic_rig_close(&rig);
}

/* A driver that connects anew while minutes of frames wait: they are gone, and so is their time. */
static void limit_forgets_what_never_left(void **state)
{
	static const char *const texts[] = {"loop,limit=8K:tx", "loop,limit=8K:rx"};
	static uint8_t bytes[60000];

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		uint64_t received = rig.received;

		nic_rig_open(&rig, &loop, texts[i], 1);
		nic_rig_send_bytes(&rig, bytes, 600); /* 600 ms: the next ones are held */
		nic_rig_wait_received(&rig, received + 1);
		for (uint32_t n = 0; n < 3; n++)
			nic_rig_send_bytes(&rig, bytes, sizeof(bytes));
		nic_rig_detach(&rig);
		nic_rig_attach(&rig, &loop, rig.nic, 0);
		nic_rig_send_bytes(&rig, bytes, 60);
		nic_rig_wait_received(&rig, received + 2);
		nic_rig_close(&rig);
	}
}

static void stop_queue(struct nic_rig *r, int error)
{
	if (!r->queue->stopping)
		nic_queue_stop(r->queue);
}

/* The client stops the queue when it hears of the first frame: the rest takes no time. */
static void limit_stops_in_a_batch(void **state)
{
	struct nic_frame *batch[4];
	struct nic_stats stats;

	nic_rig_open(&rig, &loop, "loop,limit=8K:tx", 1);
	for (uint32_t i = 0; i < 4; i++) {
		uint32_t length = i ? 60000 : 60;
		struct nic_rig_frame *f = nic_rig_frame(&rig, length, length, 1);

		f->busy = true;
		batch[i] = &f->frame;
	}
	rig.frames_out = 4;
	rig.tx_done = stop_queue;
	nic_tx(rig.queue, batch, 4);
	rig.tx_done = NULL;
	assert_int_equal(rig.received, 1);
	nic_stats(rig.nic, &stats);
	assert_int_equal(stats.tx.dropped[NIC_DROP_LINK_DOWN], 3);
	nic_rig_detach(&rig);
	nic_rig_attach(&rig, &loop, rig.nic, 0);
	send_numbered(1);
	nic_rig_wait_received(&rig, 2); /* else it waited for three minutes */
	nic_rig_close(&rig);
}

/* ---- pcap ---------------------------------------------------------------- */

struct block {
	uint32_t type, length;
};

/* Walks the blocks; counts packets by direction; checks what a reader relies on. */
static void check_file(const char *path, uint32_t packets[3], char *comments, size_t size)
{
	FILE *f = fopen(path, "r");
	static uint8_t body[300000];
	struct block b;

	assert_non_null(f);
	comments[0] = '\0';
	for (uint32_t n = 0; fread(&b, sizeof(b), 1, f) == 1; n++) {
		uint32_t captured, again, at;

		assert_true(b.length % 4 == 0 && b.length >= 12 && b.length <= sizeof(body));
		assert_int_equal(fread(body, 1, b.length - 8, f), b.length - 8);
		memcpy(&again, body + b.length - 12, 4);
		assert_int_equal(again, b.length);
		assert_true(n != 0 || b.type == 0x0a0d0d0a);
		assert_true(n != 1 || b.type == 1);
		if (b.type != 6)
			continue;
		memcpy(&captured, body + 12, 4);
		for (at = 20 + (captured + 3) / 4 * 4; at < b.length - 12;) {
			uint16_t code, length;

			memcpy(&code, body + at, 2);
			memcpy(&length, body + at + 2, 2);
			if (code == 2)
				packets[body[at + 4] & 3]++;
			if (code == 1 && strlen(comments) + length + 2 < size)
				snprintf(comments + strlen(comments), length + 2u, "%.*s\n", length,
					body + at + 4);
			at += 4u + (length + 3u) / 4 * 4;
		}
	}
	fclose(f);
}

static void pcap_records_both_ways_with_metadata(void **state)
{
	struct nic_random r = {.state = 9};
	uint32_t packets[3] = {0};
	char path[64], text[96], comments[8192];

	snprintf(path, sizeof(path), "/tmp/enlite-pcap-test-%d.pcapng", (int)getpid());
	snprintf(text, sizeof(text), "loop,pcap=%s", path);
	nic_rig_open(&rig, &loop, text, 1);
	assert_int_equal(nic_set_rx_offloads(rig.nic, NIC_CAN_ALL), 0);
	for (uint32_t i = 0; i < 20; i++) {
		uint32_t length, headers;
		struct nic_offload o;
		struct nic_rig_frame *f = nic_rig_frame(&rig, NIC_FRAME_MAX, 64, 1);

		nic_frame_make(&r, i % NIC_FRAME_KINDS, f->bytes, &length, &headers, &o);
		f = nic_rig_frame(&rig, length, headers, 3);
		f->frame.offload = o;
		f->frame.offload.flags |= NIC_VLAN;
		f->frame.offload.vlan_tci = 7;
		nic_rig_send(&rig, f);
	}
	nic_rig_wait_received(&rig, 20);
	nic_rig_close(&rig);
	check_file(path, packets, comments, sizeof(comments));
	assert_int_equal(packets[1], 20);
	assert_int_equal(packets[2], 20);
	assert_non_null(strstr(comments, "gso=tcp"));
	assert_non_null(strstr(comments, "gso=udp/"));
	assert_non_null(strstr(comments, "csum="));
	assert_non_null(strstr(comments, "vlan=7"));
	/* A foreign reader agrees, where there is one. */
	if (!access("/usr/bin/tcpdump", X_OK)) {
		nic_rig_shell("test $(tcpdump -r %s 2>/dev/null | wc -l) -ge 40", path);
	}
	unlink(path);
}

static void a_full_disk_does_not_stop_frames(void **state)
{
	struct rlimit old, small = {4096, RLIM_INFINITY};
	char path[64], text[96];

	snprintf(path, sizeof(path), "/tmp/enlite-pcap-full-%d.pcapng", (int)getpid());
	snprintf(text, sizeof(text), "loop,pcap=%s", path);
	getrlimit(RLIMIT_FSIZE, &old);
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	nic_rig_open(&rig, &loop, text, 1);
	for (uint32_t i = 0; i < 200; i++)
		send_numbered(i);
	nic_rig_wait_received(&rig, 200);
	nic_rig_close(&rig);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	unlink(path);
}

static void refuse_pcap(const char *path, const char *says)
{
	struct err e = {""};
	struct nic *nic;
	char text[96];

	snprintf(text, sizeof(text), "loop,pcap=%s", path);
	assert_true(nic_rig_stack(&nic, &loop, text, 1, &e) < 0);
	if (!strstr(e.text, says))
		fail_msg("%s: %s", text, e.text);
}

/* The file may be the image of a disk. */
static void pcap_changes_no_locked_file_and_waits_for_no_reader(void **state)
{
	char path[] = "/tmp/enlite-pcap-XXXXXX", byte = 'x';
	int fd = mkstemp(path);

	assert_int_equal(file_lock_take(fd, false), 0);
	assert_int_equal(write(fd, &byte, 1), 1);
	refuse_pcap(path, "busy");
	assert_int_equal(lseek(fd, 0, SEEK_END), 1);
	close(fd);
	unlink(path);
	assert_int_equal(mkfifo(path, 0600), 0);
	refuse_pcap(path, "No such device");
	unlink(path);
}

/* ---- stacks -------------------------------------------------------------- */

static void wrong_stacks_are_refused_by_name(void **state)
{
	static const struct {
		const char *text, *says;
	} cases[] = {
		{"ether", "tap:IF"},
		{"", "tap:IF"},
		{"tap", "tap:IF"},
		{"tap:", "tap:IF"},
		{"tap:an-interface-name-too-long", "15"},
		{"fd:x", "fd:N"},
		{"fd:", "fd:N"},
		{"fd:1:", "fd:N"},
		{"fd:0", "TAP"},
		{"null:1", "no argument"},
		{"loop,delay", "delay="},
		{"loop,delay=5", "5ms"},
		{"loop,delay=5ms-1ms", "5ms"},
		{"loop,delay=4000s", "3600s"},
		{"loop,delay=5ms:up", "5ms"},
		{"loop,loss=1", "1%"},
		{"loop,loss=101%", "1%"},
		{"loop,loss=1.23456%", "1%"},
		{"loop,limit=0", "8K"},
		{"loop,limit=7K", "8K"},
		{"loop,limit=1001G", "8K"},
		{"loop,pcap=/nowhere/x", "/nowhere/x"},
		{"loop,pcap=/dev/full", "/dev/full"},
		{"pair:/nowhere/x", "/nowhere/x"},
		{"user,forward=tcp:1", "forward="},
		{"user,forward", "forward"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct err e = {""};
		struct nic *nic;

		assert_true(nic_rig_stack(&nic, &loop, cases[i].text, 1, &e) < 0);
		if (!strstr(e.text, cases[i].says))
			fail_msg("%s: %s", cases[i].text, e.text);
	}
}

static void unknown_options_are_left_to_others(void **state)
{
	struct nic_stack s;
	struct err e;

	assert_int_equal(nic_stack_backend(&s, "loop", &e), 0);
	assert_int_equal(nic_stack_option(&s, "mac=02:00:00:00:00:01", &e), 1);
	assert_int_equal(nic_stack_option(&s, "forward=tcp:1-:2", &e), 1); /* a key of user */
	for (uint32_t i = 0; i < NIC_STACK_FILTERS_MAX; i++)
		assert_int_equal(nic_stack_option(&s, "loss=1%", &e), 0);
	assert_int_equal(nic_stack_option(&s, "loss=1%", &e), -EINVAL);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(null_takes_everything),
		TEST(none_has_no_link),
		TEST(loop_brings_everything_back_in_order),
		TEST(an_echo_does_not_keep_the_thread),
		TEST(without_buffers_frames_wait_then_drop),
		TEST(a_stall_in_the_middle_of_a_frame),
		TEST(a_client_may_stop_in_the_middle),
		TEST(invalid_metadata_never_reach_a_back_end),
		TEST(calls_are_answered),
		TEST(delay_holds_and_keeps_the_order),
		TEST(delay_of_one_way),
		TEST(loss_loses_its_share),
		TEST(limit_keeps_its_rate),
		TEST(limit_forgets_what_never_left),
		TEST(limit_stops_in_a_batch),
		TEST(pcap_records_both_ways_with_metadata),
		TEST(pcap_changes_no_locked_file_and_waits_for_no_reader),
		TEST(a_full_disk_does_not_stop_frames),
		TEST(wrong_stacks_are_refused_by_name),
		TEST(unknown_options_are_left_to_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
