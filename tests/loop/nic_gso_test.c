/* SPDX-License-Identifier: MIT */
/*
 * The oracle of offloads: the kernel. Frames go into one TAP with their offload
 * metadata, over a bridge, and out of another TAP that takes no offloads: so the
 * kernel segments them and adds up. nic_seg must make the same bytes of them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/nic_frames.h"
#include "tests/support/nic_rig.h"

#define FRAMES      100000u
#define BATCH       16u
#define EXPECTED    8192u /* segments of a batch, at most */
#define SEGMENT_MAX 2048u

static struct loop loop;
static struct nic_rig a, b;
static struct {
	uint8_t bytes[SEGMENT_MAX];
	uint32_t length;
} expected[EXPECTED];
static uint32_t expected_count, arrived;
static uint64_t segments;

static void expect(const struct iovec *iov, uint32_t count, uint32_t length)
{
	uint8_t *to = expected[expected_count].bytes;

	assert_true(expected_count < EXPECTED && length <= SEGMENT_MAX);
	for (uint32_t i = 0; i < count; i++) {
		memcpy(to, iov[i].iov_base, iov[i].iov_len);
		to += iov[i].iov_len;
	}
	assert_int_equal(to - expected[expected_count].bytes, length);
	expected[expected_count++].length = length;
}

static void expect_segments(const struct nic_frame *frame)
{
	struct iovec iov[NIC_IOV_MAX];
	struct nic_seg seg;
	uint32_t count, length;

	assert_int_equal(nic_seg_init(&seg, frame), 0);
	while ((length = nic_seg_next(&seg, iov, &count)))
		expect(iov, count, length);
}

static void show(const char *name, const uint8_t *bytes, uint32_t length)
{
	printf("# %s %u:", name, length);
	for (uint32_t i = 0; i < length && i < 120; i++)
		printf(" %02x", bytes[i]);
	printf("\n");
}

static void compare(struct nic_rig *rig, const uint8_t *bytes, const struct nic_frame *frame)
{
	uint32_t i = arrived++;

	assert_true(i < expected_count);
	if (frame->length != expected[i].length ||
		memcmp(bytes, expected[i].bytes, frame->length)) {
		show("kernel", bytes, frame->length);
		show("ours", expected[i].bytes, expected[i].length);
		fail();
	}
	assert_int_equal(frame->offload.gso, NIC_GSO_NONE);
	assert_false(frame->offload.flags & NIC_CSUM_PARTIAL);
}

static void send_random(struct nic_random *r, enum nic_frame_kind kind)
{
	uint32_t length, headers, first;
	struct nic_rig_frame *f = nic_rig_frame(&a, NIC_FRAME_MAX, 64, 1);
	struct nic_offload offload;

	assert_non_null(f);
	nic_frame_make(r, kind, f->bytes, &length, &headers, &offload);
	first = headers + nic_random(r, length - headers + 1);
	f = nic_rig_frame(&a, length, first, 1 + nic_random(r, 40));
	f->frame.offload = offload;
	expect_segments(&f->frame);
	nic_rig_send(&a, f);
}

static void segments_equal_the_kernels(void **state)
{
	struct nic_random r = {.state = 88172645463325252ull};

	nic_rig_open(&a, &loop, "tap:nga", 1);
	nic_rig_open(&b, &loop, "tap:ngb", 1);
	nic_rig_shell("ip link add ngbr type bridge stp_state 0 forward_delay 0 mcast_snooping 0");
	nic_rig_shell("ip link set nga master ngbr && ip link set ngb master ngbr");
	nic_rig_shell("ip link set ngbr up");
	nic_rig_wait_path(&a, &b);
	b.rx = compare;
	for (uint32_t i = 0; i < FRAMES; i += BATCH) {
		uint64_t before = b.received;

		expected_count = arrived = 0;
		for (uint32_t k = 0; k < BATCH; k++)
			send_random(&r, nic_random(&r, NIC_FRAME_KINDS));
		nic_rig_wait_sent(&a);
		assert_int_equal(a.failed, 0);
		nic_rig_wait_received(&b, before + expected_count);
		segments += expected_count;
	}
	printf("# %u frames, %llu segments\n", FRAMES, (unsigned long long)segments);
	nic_rig_close(&a);
	nic_rig_close(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(segments_equal_the_kernels),
	};
	int failed;

	if (!nic_rig_unshare())
		return 0;
	assert_int_equal(loop_init(&loop, "control", NULL), 0);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	loop_fini(&loop);
	return failed;
}
