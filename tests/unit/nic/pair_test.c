/* SPDX-License-Identifier: MIT */
/* `pair`: two of them on one loop, and one with a peer that a test plays. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "nic/pair/pair_impl.h"
#include "tests/support/nic_frames.h"
#include "tests/support/nic_rig.h"

static struct loop loop;
static struct nic_rig a, b;
static char path[64], text[80];

static int setup(void **state)
{
	static int n;

	memset(&a, 0, sizeof(a));
	memset(&b, 0, sizeof(b));
	snprintf(path, sizeof(path), "/tmp/enlite-pair-test-%d-%d", (int)getpid(), n++);
	snprintf(text, sizeof(text), "pair:%s", path);
	assert_int_equal(loop_init(&loop, "control", NULL), 0);
	return 0;
}

static int teardown(void **state)
{
	char lock[80];

	loop_fini(&loop);
	assert_int_equal(access(path, F_OK), -1); /* removed by whoever listened */
	snprintf(lock, sizeof(lock), "%s.lock", path);
	unlink(lock);
	return 0;
}

static void open_both(void)
{
	nic_rig_open(&a, &loop, text, 1);
	nic_rig_open(&b, &loop, text, 1);
	nic_rig_wait_link(&a, true);
	nic_rig_wait_link(&b, true);
}

/* ---- frames -------------------------------------------------------------- */

static struct {
	uint8_t bytes[NIC_FRAME_MAX];
	uint32_t length;
	struct nic_offload offload;
	uint32_t arrived;
} wanted;

static void same_frame(struct nic_rig *rig, const uint8_t *bytes, const struct nic_frame *frame)
{
	const struct nic_offload *got = &frame->offload, *want = &wanted.offload;

	assert_int_equal(frame->length, wanted.length);
	assert_memory_equal(bytes, wanted.bytes, wanted.length);
	assert_int_equal(got->flags, want->flags);
	assert_int_equal(got->gso, want->gso);
	assert_int_equal(got->gso_size, want->gso_size);
	assert_int_equal(got->header_len, want->header_len);
	assert_int_equal(got->csum_start, want->csum_start);
	assert_int_equal(got->csum_offset, want->csum_offset);
	assert_int_equal(got->vlan_tci, want->vlan_tci);
	wanted.arrived++;
}

static void send_wanted(struct nic_random *r, struct nic_rig *from, enum nic_frame_kind kind)
{
	uint32_t headers;
	struct nic_rig_frame *f;

	nic_frame_make(r, kind, wanted.bytes, &wanted.length, &headers, &wanted.offload);
	if (nic_random(r, 2)) {
		wanted.offload.flags |= NIC_VLAN;
		wanted.offload.vlan_tci = (uint16_t)nic_random(r, 65536);
	}
	f = nic_rig_frame(from, wanted.length, headers, 1 + nic_random(r, 40));
	assert_non_null(f);
	memcpy(f->bytes, wanted.bytes, wanted.length);
	f->frame.offload = wanted.offload;
	nic_rig_send(from, f);
}

/* With all offloads on, whatever is sent arrives as it was, both ways, around the ring's end. */
static void carries_frames_and_metadata(void **state)
{
	struct nic_random r = {.state = 42};

	open_both();
	assert_int_equal(nic_set_rx_offloads(a.nic, NIC_CAN_ALL), 0);
	assert_int_equal(nic_set_rx_offloads(b.nic, NIC_CAN_ALL), 0);
	a.rx = b.rx = same_frame;
	for (uint32_t i = 0; i < 2000; i++) {
		struct nic_rig *from = nic_random(&r, 2) ? &a : &b, *to = from == &a ? &b : &a;

		send_wanted(&r, from, nic_random(&r, NIC_FRAME_KINDS));
		nic_rig_wait_received(to, to->received + 1 - (wanted.arrived > i));
	}
	assert_int_equal(wanted.arrived, 2000);
	nic_rig_close(&a);
	nic_rig_close(&b);
}

/* Without offloads the receiver gets what the segmenter makes of it. */
static struct nic_seg segments;

static void next_segment(struct nic_rig *rig, const uint8_t *bytes, const struct nic_frame *frame)
{
	struct iovec iov[NIC_IOV_MAX];
	uint32_t count;
	uint32_t length = nic_seg_next(&segments, iov, &count);

	assert_int_equal(frame->length, length);
	for (uint32_t i = 0; i < count; i++) {
		assert_memory_equal(bytes, iov[i].iov_base, iov[i].iov_len);
		bytes += iov[i].iov_len;
	}
	assert_int_equal(frame->offload.flags & ~NIC_VLAN, NIC_CSUM_VALID);
	assert_int_equal(frame->offload.gso, NIC_GSO_NONE);
}

/* Few buffers: the delivery stops and goes on in the middle of a frame. */
static void segments_for_a_receiver_without_offloads(void **state)
{
	struct nic_random r = {.state = 43};

	b.buffers_max = 1;
	open_both();
	b.rx = next_segment;
	for (uint32_t i = 0; i < 500; i++) {
		struct iovec iov[2];
		struct nic_frame whole = {.iov = iov, .iov_count = 2};

		send_wanted(&r, &a, i & 1 ? NIC_FRAME_TSO : NIC_FRAME_USO);
		whole.length = wanted.length;
		whole.offload = wanted.offload;
		iov[1] = (struct iovec){wanted.bytes, wanted.length};
		assert_int_equal(nic_seg_init(&segments, &whole), 0);
		nic_rig_wait_received(&b, b.received + segments.count);
		assert_int_equal(segments.index, segments.count);
	}
	nic_rig_close(&a);
	nic_rig_close(&b);
}

/* ---- back-pressure ------------------------------------------------------- */

static bool b_full(void *ctx)
{
	return a.frames_out > 0;
}

static void a_full_ring_holds_frames_back(void **state)
{
	static uint8_t bytes[60000];

	memset(bytes, 0xff, sizeof(bytes));
	b.buffers_max = 0;
	open_both();
	b.buffers_max = RIG_BUFFERS; /* but b is paused only once it asks: pause it */
	b.buffers_out = RIG_BUFFERS;
	for (uint32_t i = 0; i < 40; i++)
		nic_rig_send_bytes(&a, bytes, sizeof(bytes));
	nic_rig_run(&loop, b_full, NULL);
	assert_true(a.sent >= 16 && a.sent < 20); /* a ring of a MiB */
	b.buffers_out = 0;
	nic_rx_resume(b.queue);
	nic_rig_wait_received(&b, 40);
	nic_rig_wait_sent(&a);
	assert_int_equal(a.sent, 40);
	nic_rig_close(&a);
	nic_rig_close(&b);
}

/* A receiver that is stuck: after a second its sender goes on without it. */
static void a_stuck_receiver_does_not_block_its_sender(void **state)
{
	static uint8_t bytes[60000];
	struct nic_stats stats;

	open_both();
	b.buffers_out = RIG_BUFFERS;
	for (uint32_t i = 0; i < 40; i++)
		nic_rig_send_bytes(&a, bytes, sizeof(bytes));
	nic_rig_wait_sent(&a);
	assert_true(a.failed >= 20);
	assert_int_equal(a.last_error, -ENOBUFS);
	nic_stats(a.nic, &stats);
	assert_int_equal(stats.tx.dropped[NIC_DROP_FULL], a.failed);
	b.buffers_out = 0;
	nic_rx_resume(b.queue);
	nic_rig_wait_received(&b, a.sent);
	nic_rig_send_bytes(&a, bytes, sizeof(bytes));
	nic_rig_wait_received(&b, a.sent);
	nic_rig_close(&a);
	nic_rig_close(&b);
}

/* ---- the peer ends ------------------------------------------------------- */

static void either_side_may_end_and_come_back(void **state)
{
	uint8_t bytes[64] = {0};

	nic_rig_open(&a, &loop, text, 1);
	for (int i = 0; i < 10; i++) {
		struct nic_rig *stays = i & 1 ? &b : &a, *comes = i & 1 ? &a : &b;

		nic_rig_open(comes, &loop, text, 1);
		nic_rig_wait_link(stays, true);
		nic_rig_wait_link(comes, true);
		nic_rig_send_bytes(stays, bytes, sizeof(bytes));
		nic_rig_wait_received(comes, 1);
		nic_rig_send_bytes(comes, bytes, sizeof(bytes));
		nic_rig_wait_received(stays, 1);
		nic_rig_close(stays);
		memset(stays, 0, sizeof(*stays));
		nic_rig_wait_link(comes, false);
		nic_rig_send_bytes(comes, bytes, sizeof(bytes));
		nic_rig_wait_sent(comes);
		assert_int_equal(comes->last_error, -ENETDOWN);
		comes->received = 0;
	}
	nic_rig_close(&a);
}

static void a_queue_may_be_opened_again(void **state)
{
	uint8_t bytes[64] = {0};

	open_both();
	for (uint64_t i = 1; i <= 20; i++) {
		nic_rig_send_bytes(&a, bytes, sizeof(bytes));
		nic_rig_wait_received(&b, i);
		nic_rig_detach(&b);
		nic_rig_attach(&b, &loop, b.nic, 0);
	}
	nic_rig_close(&a);
	nic_rig_close(&b);
}

static void a_third_one_stays_out(void **state)
{
	static struct nic_rig c;
	uint8_t bytes[64] = {0};

	open_both();
	nic_rig_open(&c, &loop, text, 1);
	for (uint64_t i = 1; i <= 100; i++) {
		nic_rig_send_bytes(&a, bytes, sizeof(bytes));
		nic_rig_wait_received(&b, i);
	}
	assert_false(nic_link_up(c.nic));
	nic_rig_close(&b);
	nic_rig_wait_link(&c, true);
	nic_rig_close(&c);
	nic_rig_close(&a);
}

/* ---- a hostile peer ------------------------------------------------------ */

static struct {
	int socket;
	struct pair_join *join;
} evil;

static uint32_t evil_hello(struct pair_hello *hello, int *fds)
{
	_Alignas(8) uint8_t ancillary[CMSG_SPACE(8 * sizeof(int))];
	struct iovec iov = {hello, sizeof(*hello)};
	struct msghdr m = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = ancillary,
		.msg_controllen = sizeof(ancillary)};

	assert_int_equal(recvmsg(evil.socket, &m, 0), sizeof(*hello));
	memcpy(fds, CMSG_DATA(CMSG_FIRSTHDR(&m)), 2 * sizeof(int));
	return 2;
}

/* Plays the connector, with a block that it may write. */
static void evil_connect(void)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	struct pair_hello hello;
	int error, fds[2];

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	evil.socket = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(evil.socket, (struct sockaddr *)&addr, sizeof(addr)), 0);
	evil.join = pair_join_greet(evil.socket, 1, &error);
	assert_non_null(evil.join);
	nic_rig_wait_link(&a, true);
	assert_int_equal(evil_hello(&hello, fds), 2);
	assert_int_equal(pair_join_accept(evil.join, &hello, fds, 2), 0);
}

static void evil_gone(void)
{
	nic_rig_wait_link(&a, false);
	close(evil.socket);
	pair_join_put(evil.join);
}

static void evil_put(uint64_t at, const struct pair_record *r, uint64_t head)
{
	memcpy(evil.join->own.block->rings + at, r, sizeof(*r));
	atomic_store(&evil.join->own.block->producer[0].head, head);
	assert_int_equal(send(evil.join->peer.doorbells[0], "x", 1, 0), 1);
}

static void impossible_indices_end_the_connection(void **state)
{
	static const struct {
		uint32_t length;
		uint64_t head;
	} cases[] = {
		{64, PAIR_RING_SIZE + 1},
		{64, UINT64_MAX},
		{64, 1},
		{64, 31},
		{64, 64},
		{0, 4096},
		{13, 4096},
		{NIC_FRAME_MAX + 1, PAIR_RING_SIZE},
		{UINT32_MAX, PAIR_RING_SIZE},
		{5000, 4096},
	};

	nic_rig_open(&a, &loop, text, 1);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct pair_record r = {.length = cases[i].length};

		evil_connect();
		evil_put(0, &r, cases[i].head);
		evil_gone();
	}
	assert_int_equal(a.received, 0);
	nic_rig_close(&a);
}

/* Metadata that contradict the frame: dropped, and the connection goes on. */
static void impossible_metadata_are_dropped(void **state)
{
	static const struct pair_record cases[] = {
		{.length = 64, .flags = NIC_CSUM_PARTIAL, .csum_start = 60, .csum_offset = 16},
		{.length = 64,
			.flags = NIC_CSUM_PARTIAL,
			.csum_start = 0xffff,
			.csum_offset = 0xffff},
		{.length = 64, .gso = NIC_GSO_TCP4, .gso_size = 1},
		{.length = 64, .gso = 200, .gso_size = 1000, .flags = NIC_CSUM_PARTIAL},
		{.length = 64,
			.flags = NIC_CSUM_PARTIAL,
			.gso = NIC_GSO_TCP4,
			.gso_size = 8,
			.csum_start = 34,
			.csum_offset = 16,
			.header_len = 54}, /* no TCP in it */
		{.length = 64,
			.flags = NIC_CSUM_PARTIAL,
			.gso = NIC_GSO_UDP,
			.gso_size = 0,
			.csum_start = 34,
			.csum_offset = 6,
			.header_len = 42},
	};
	struct pair_record good = {.length = 64};
	const uint64_t size = 96, count = sizeof(cases) / sizeof(cases[0]);
	struct nic_stats stats;

	nic_rig_open(&a, &loop, text, 1);
	evil_connect();
	for (uint64_t i = 0; i < count; i++)
		evil_put(i * size, &cases[i], (i + 1) * size);
	evil_put(count * size, &good, (count + 1) * size);
	nic_rig_wait_received(&a, 1);
	nic_stats(a.nic, &stats);
	assert_int_equal(stats.rx.dropped[NIC_DROP_INVALID], count);
	assert_true(nic_link_up(a.nic));
	close(evil.socket);
	pair_join_put(evil.join);
	nic_rig_close(&a);
}

/* A tail beyond what was ever sent. */
static void an_impossible_tail_ends_the_connection(void **state)
{
	uint8_t bytes[64] = {0};

	nic_rig_open(&a, &loop, text, 1);
	evil_connect();
	atomic_store(&evil.join->own.block->consumer[0].tail, 1u << 30);
	nic_rig_send_bytes(&a, bytes, sizeof(bytes));
	nic_rig_wait_sent(&a);
	assert_int_equal(a.last_error, -ENETDOWN);
	evil_gone();
	nic_rig_close(&a);
}

static int plain_socket(void)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}

static void send_fds(int fd, const struct pair_hello *hello, const int *fds, uint32_t count)
{
	_Alignas(8) uint8_t ancillary[CMSG_SPACE(8 * sizeof(int))] = {0};
	struct iovec iov = {(void *)hello, sizeof(*hello)};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
	struct cmsghdr *c;

	if (count) {
		m.msg_control = ancillary;
		m.msg_controllen = CMSG_SPACE(count * sizeof(int));
		c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(count * sizeof(int));
		memcpy(CMSG_DATA(c), fds, count * sizeof(int));
	}
	assert_int_equal(sendmsg(fd, &m, 0), sizeof(*hello));
}

static uint32_t eof_seen;
static int eof_fd;

/* The NIC's own hello, then the end. */
static bool at_end(void *ctx)
{
	uint8_t bytes[64];
	ssize_t n = recv(eof_fd, bytes, sizeof(bytes), MSG_DONTWAIT);

	eof_seen += n == 0;
	return n == 0;
}

static void refused(const struct pair_hello *hello, const int *fds, uint32_t count)
{
	eof_fd = plain_socket();
	send_fds(eof_fd, hello, fds, count);
	nic_rig_run(&loop, at_end, NULL);
	assert_false(nic_link_up(a.nic));
	close(eof_fd);
}

static void a_bad_hello_is_refused(void **state)
{
	struct pair_hello good = {PAIR_MAGIC, PAIR_VERSION, 1, PAIR_RING_SIZE}, bad;
	size_t size = pair_block_size(1);
	int sealed = memfd_create("sealed", MFD_ALLOW_SEALING), open_ = memfd_create("open", 0);
	int small = memfd_create("small", MFD_ALLOW_SEALING), pipes[2], stream[2];

	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, stream), 0);
	assert_int_equal(ftruncate(sealed, (off_t)size), 0);
	assert_int_equal(ftruncate(open_, (off_t)size), 0);
	assert_int_equal(ftruncate(small, (off_t)size - 4096), 0);
	assert_int_equal(fcntl(sealed, F_ADD_SEALS, F_SEAL_SHRINK), 0);
	assert_int_equal(fcntl(small, F_ADD_SEALS, F_SEAL_SHRINK), 0);
	nic_rig_open(&a, &loop, text, 1);
	refused(&good, NULL, 0);
	refused(&good, (int[]){sealed}, 1);
	refused(&good, (int[]){sealed, pipes[1]}, 2);
	refused(&good, (int[]){sealed, sealed}, 2);
	refused(&good, (int[]){open_, stream[0]}, 2);
	refused(&good, (int[]){small, stream[0]}, 2);
	refused(&good, (int[]){pipes[0], stream[0]}, 2);
	refused(&good, (int[]){sealed, stream[0], stream[1]}, 3);
	bad = good;
	bad.magic++;
	refused(&bad, (int[]){sealed, stream[0]}, 2);
	bad = good;
	bad.queues = 0;
	refused(&bad, (int[]){sealed}, 1);
	bad.queues = UINT32_MAX;
	refused(&bad, (int[]){sealed, stream[0]}, 2);
	bad = good;
	bad.ring_size *= 2;
	refused(&bad, (int[]){sealed, stream[0]}, 2);
	assert_int_equal(eof_seen, 12);
	nic_rig_close(&a);
	close(sealed);
	close(open_);
	close(small);
	close(pipes[0]);
	close(pipes[1]);
	close(stream[0]);
	close(stream[1]);
}

static bool has_hello(void *ctx)
{
	uint8_t bytes[64];

	return recv(*(int *)ctx, bytes, sizeof(bytes), MSG_DONTWAIT) > 0;
}

/* One that connects and says nothing: a process that was stopped just then. */
static void a_silent_one_keeps_nobody_out(void **state)
{
	int fd;

	nic_rig_open(&a, &loop, text, 1);
	fd = plain_socket();
	nic_rig_run(&loop, has_hello, &fd); /* it is the peer */
	nic_rig_open(&b, &loop, text, 1);
	nic_rig_wait_link(&a, true);
	nic_rig_wait_link(&b, true);
	close(fd);
	nic_rig_close(&b);
	nic_rig_close(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(carries_frames_and_metadata, setup, teardown),
		cmocka_unit_test_setup_teardown(
			segments_for_a_receiver_without_offloads, setup, teardown),
		cmocka_unit_test_setup_teardown(a_full_ring_holds_frames_back, setup, teardown),
		cmocka_unit_test_setup_teardown(
			a_stuck_receiver_does_not_block_its_sender, setup, teardown),
		cmocka_unit_test_setup_teardown(either_side_may_end_and_come_back, setup, teardown),
		cmocka_unit_test_setup_teardown(a_queue_may_be_opened_again, setup, teardown),
		cmocka_unit_test_setup_teardown(a_third_one_stays_out, setup, teardown),
		cmocka_unit_test_setup_teardown(
			impossible_indices_end_the_connection, setup, teardown),
		cmocka_unit_test_setup_teardown(impossible_metadata_are_dropped, setup, teardown),
		cmocka_unit_test_setup_teardown(
			an_impossible_tail_ends_the_connection, setup, teardown),
		cmocka_unit_test_setup_teardown(a_bad_hello_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(a_silent_one_keeps_nobody_out, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
