/* SPDX-License-Identifier: MIT */
/* Headers and checksums against slow and simple versions of the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/nic_frames.h"

static uint8_t bytes[NIC_FRAME_MAX];

/* RFC 1071, a byte at a time, big endian. */
static uint16_t slow_sum(const uint8_t *at, uint32_t length)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < length; i++)
		sum += i & 1 ? at[i] : (uint32_t)at[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

static void sums_equal_the_slow_ones(void **state)
{
	struct nic_random r = {.state = 3};

	for (uint32_t i = 0; i < 20000; i++) {
		uint32_t length = nic_random(&r, i & 15 ? 200 : 65536), at = nic_random(&r, 8);
		uint16_t want, got;

		for (uint32_t k = 0; k < 8; k++)
			bytes[nic_random(&r, 65536)] = (uint8_t)nic_random(&r, 256);
		if (!(i % 7))
			memset(bytes + at, 0xff, length);
		want = slow_sum(bytes + at, length);
		got = nic_fold(nic_sum(0, bytes + at, length));
		assert_int_equal((uint16_t)(got << 8 | got >> 8), want);
	}
}

/* A finished frame sums up to ~0 with its pseudo header, cut in any pieces. */
static void finished_frames_add_up(void **state)
{
	struct nic_random r = {.state = 4};

	for (uint32_t i = 0; i < 5000; i++) {
		uint32_t length, headers, pieces = 0, at = 0;
		struct iovec iov[16];
		struct nic_offload o;
		struct nic_headers h;
		uint16_t pseudo;

		nic_frame_make(&r, NIC_FRAME_PARTIAL, bytes, &length, &headers, &o);
		assert_true(nic_parse(bytes, length, &h));
		memcpy(&pseudo, bytes + o.csum_start + o.csum_offset, sizeof(pseudo));
		while (at < length) {
			uint32_t n = pieces == 15 ? length - at : 1 + nic_random(&r, length - at);

			iov[pieces++] = (struct iovec){bytes + at, n};
			at += n;
		}
		nic_csum_finish(iov, pieces, 0, length, &o);
		assert_false(o.flags & NIC_CSUM_PARTIAL);
		assert_int_equal(nic_fold(nic_sum(pseudo, bytes + h.l4, length - h.l4)), 0xffff);
	}
}

static void udp_never_has_checksum_zero(void **state)
{
	uint8_t frame[44] = {0};
	struct iovec iov = {frame, sizeof(frame)};
	struct nic_offload o = {.flags = NIC_CSUM_PARTIAL, .csum_start = 34, .csum_offset = 6};

	memset(frame + 34, 0xff, 2);
	nic_csum_finish(&iov, 1, 0, sizeof(frame), &o);
	assert_int_equal(frame[40] << 8 | frame[41], 0xffff);
	o = (struct nic_offload){.flags = NIC_CSUM_PARTIAL, .csum_start = 20, .csum_offset = 16};
	memset(frame, 0, sizeof(frame));
	memset(frame + 34, 0xff, 2);
	nic_csum_finish(&iov, 1, 0, sizeof(frame), &o);
	assert_int_equal(frame[36] << 8 | frame[37], 0);
}

/* Whatever is cut off, nothing is read beyond it, and a header is never invented. */
static void cut_headers_are_not_parsed(void **state)
{
	struct nic_random r = {.state = 5};

	for (uint32_t i = 0; i < 2000; i++) {
		uint32_t length, headers;
		struct nic_offload o;
		struct nic_headers h;

		nic_frame_make(&r, i % NIC_FRAME_KINDS, bytes, &length, &headers, &o);
		for (uint32_t n = 0; n < headers; n++) {
			uint8_t *exact = malloc(n ? n : 1);

			assert_non_null(exact);
			memcpy(exact, bytes, n);
			assert_false(nic_parse(exact, n, &h));
			assert_int_equal(h.l4, 0);
			free(exact);
		}
		assert_true(nic_parse(bytes, headers, &h));
		assert_int_equal(h.payload, headers);
	}
}

static void special_frames_have_no_transport_header(void **state)
{
	uint8_t frame[64] = {[12] = 8, [14] = 0x45, [23] = 6, [46] = 0x50};
	uint8_t arp[64] = {[12] = 8, [13] = 6};
	struct nic_headers h;

	assert_true(nic_parse(frame, sizeof(frame), &h));
	frame[20] = 0x20; /* more fragments */
	assert_false(nic_parse(frame, sizeof(frame), &h));
	frame[20] = 0;
	frame[21] = 1; /* a later fragment */
	assert_false(nic_parse(frame, sizeof(frame), &h));
	frame[21] = 0;
	frame[14] = 0x44; /* a header of 16 bytes */
	assert_false(nic_parse(frame, sizeof(frame), &h));
	frame[14] = 0x45;
	frame[46] = 0x40; /* TCP of 16 bytes */
	assert_false(nic_parse(frame, sizeof(frame), &h));
	frame[23] = 1; /* ICMP */
	assert_false(nic_parse(frame, sizeof(frame), &h));
	assert_int_equal(h.version, 4);
	assert_false(nic_parse(arp, sizeof(arp), &h));
	assert_int_equal(h.version, 0);
}

static void tags_among_the_bytes_are_skipped(void **state)
{
	uint8_t frame[80] = {
		[12] = 0x88, [13] = 0xa8, [16] = 0x81, [20] = 8, [22] = 0x45, [31] = 17};
	struct nic_headers h;

	assert_true(nic_parse(frame, sizeof(frame), &h));
	assert_int_equal(h.l3, 22);
	assert_int_equal(h.l4, 42);
	assert_int_equal(h.payload, 50);
}

static void super_frames_need_sense(void **state)
{
	struct nic_random r = {.state = 6};
	uint32_t length, headers;
	struct nic_offload o;

	nic_frame_make(&r, NIC_FRAME_TSO, bytes, &length, &headers, &o);
	o = (struct nic_offload){0};
	assert_int_equal(nic_tso_prepare(bytes, headers, length, 7, &o), -EINVAL);
	assert_int_equal(nic_tso_prepare(bytes, headers, length, 65536, &o), -EINVAL);
	assert_int_equal(nic_tso_prepare(bytes, headers - 1, length, 100, &o), -EINVAL);
	assert_int_equal(nic_tso_prepare(bytes, headers, 80000, 1000, &o), -EINVAL);
	assert_int_equal(nic_tso_prepare(bytes, headers, headers - 1, 1000, &o), -EINVAL);
	assert_int_equal(o.gso, NIC_GSO_NONE);
	/* As long as one segment: a checksum, and no segmentation. */
	assert_int_equal(nic_tso_prepare(bytes, headers, headers + 100, 100, &o), 0);
	assert_int_equal(o.gso, NIC_GSO_NONE);
	assert_true(o.flags & NIC_CSUM_PARTIAL);
	assert_int_equal(nic_tso_prepare(bytes, headers, headers + 101, 100, &o), 0);
	assert_true(o.gso != NIC_GSO_NONE);
	nic_frame_make(&r, NIC_FRAME_USO, bytes, &length, &headers, &o);
	o = (struct nic_offload){0};
	assert_int_equal(nic_tso_prepare(bytes, headers, length, 1000, &o), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sums_equal_the_slow_ones),
		cmocka_unit_test(finished_frames_add_up),
		cmocka_unit_test(udp_never_has_checksum_zero),
		cmocka_unit_test(cut_headers_are_not_parsed),
		cmocka_unit_test(special_frames_have_no_transport_header),
		cmocka_unit_test(tags_among_the_bytes_are_skipped),
		cmocka_unit_test(super_frames_need_sense),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
