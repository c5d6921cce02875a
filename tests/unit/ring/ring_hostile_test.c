/* SPDX-License-Identifier: MIT */
/*
 * The ring against a hostile peer: invalid indices and descriptors, bytes that change. All tests
 * run over a ring in one piece, and over one of three pages that are apart.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <time.h>

#include "ring_mem.h"

static uint32_t data_pages(void)
{
	return ring_mem_breaks ? 3 : 1;
}

#define BAD_INDICES 12u

static uint32_t bad_index(size_t i, uint32_t size)
{
	const uint32_t indices[BAD_INDICES] = {size, size + 8, 2 * size, 1, 4, 7, size - 1,
		size - 4, 0x7FFFFFF8, 0x80000000, 0xFFFFFFF8, 0xFFFFFFFF};

	return indices[i];
}

/* A descriptor with `used` bytes published from 0. */
static void put_desc(
	struct ring_mem *mem, uint32_t at, const struct vmbus_pkt_desc *d, uint32_t used)
{
	ring_mem_put(mem, at, d, sizeof(*d));
	mem->ctl->write_index = (at + used) % mem->size;
}

static void test_init_bad_indices(void **state)
{
	struct ring_mem mem;
	struct vmbus_tx tx;
	struct vmbus_rx rx;
	size_t i;

	ring_mem_init(&mem, data_pages());
	for (i = 0; i < BAD_INDICES; i++) {
		mem.ctl->write_index = bad_index(i, mem.size);
		mem.ctl->read_index = 0;
		assert_int_equal(ring_mem_tx(&mem, &tx), -EPROTO);
		assert_int_equal(ring_mem_rx(&mem, &rx), -EPROTO);
		mem.ctl->write_index = 0;
		mem.ctl->read_index = bad_index(i, mem.size);
		assert_int_equal(ring_mem_tx(&mem, &tx), -EPROTO);
		assert_int_equal(ring_mem_rx(&mem, &rx), -EPROTO);
	}
	ring_mem_fini(&mem);
}

static void test_rx_bad_write_index(void **state)
{
	struct ring_mem mem;
	struct vmbus_rx rx;
	struct vmbus_pkt pkt;
	uint8_t buf[4096];
	size_t i;

	ring_mem_init(&mem, data_pages());
	assert_int_equal(ring_mem_rx(&mem, &rx), 0);
	for (i = 0; i < BAD_INDICES; i++) {
		mem.ctl->write_index = bad_index(i, mem.size);
		assert_true(vmbus_rx_pending(&rx));
		assert_int_equal(vmbus_rx_used(&rx), -EPROTO);
		assert_true(vmbus_rx_unmask(&rx));
		assert_int_equal(vmbus_rx_next(&rx, &pkt, buf, sizeof(buf)), -EPROTO);
		assert_false(vmbus_rx_commit(&rx));
	}
	ring_mem_fini(&mem);
}

/* The index becomes invalid between the packet and its commit: no signal, no arithmetic on it. */
static void test_rx_commit_bad_write_index(void **state)
{
	static const struct vmbus_pkt_desc desc = {VMBUS_PKT_INBAND, 2, 2, 0, 0};
	struct ring_mem mem;
	struct vmbus_rx rx;
	struct vmbus_pkt pkt;
	uint8_t buf[4096];
	size_t i;

	for (i = 0; i < BAD_INDICES; i++) {
		ring_mem_init(&mem, data_pages());
		put_desc(&mem, 0, &desc, 24);
		assert_int_equal(ring_mem_rx(&mem, &rx), 0);
		assert_int_equal(vmbus_rx_next(&rx, &pkt, buf, sizeof(buf)), 0);
		mem.ctl->write_index = bad_index(i, mem.size);
		mem.ctl->feature_bits = 1;
		mem.ctl->pending_send_size = 8;
		assert_false(vmbus_rx_commit(&rx));
		assert_int_equal(mem.ctl->read_index, 24);
		ring_mem_fini(&mem);
	}
}

static void test_tx_bad_read_index(void **state)
{
	static const uint8_t zeroes[3 * 4096];
	struct vmbus_vec vec = {zeroes, data_pages() * 3000};
	struct ring_mem mem;
	struct vmbus_tx tx;
	size_t i;

	for (i = 0; i < BAD_INDICES; i++) {
		ring_mem_init(&mem, data_pages());
		assert_int_equal(ring_mem_tx(&mem, &tx), 0);
		assert_int_equal(vmbus_tx_write(&tx, 6, 0, 0, NULL, &vec, 1), 0);
		mem.ctl->read_index = bad_index(i, mem.size);
		assert_int_equal(vmbus_tx_room(&tx), -EPROTO);
		assert_int_equal(vmbus_tx_used(&tx), -EPROTO);
		assert_int_equal(vmbus_tx_write(&tx, 6, 0, 0, NULL, &vec, 1), -EPROTO);
		assert_false(vmbus_tx_commit(&tx));
		assert_int_equal(mem.ctl->write_index, vec.len + 24);
		ring_mem_fini(&mem);
	}
}

/* The own index in shared memory is write-only. */
static void test_own_index_not_reread(void **state)
{
	static const uint8_t zeroes[4096];
	struct vmbus_vec vec = {zeroes, 16};
	struct ring_mem mem;
	struct vmbus_tx tx;
	struct vmbus_rx rx;
	struct vmbus_pkt pkt;
	uint8_t buf[64];
	uint32_t i;

	ring_mem_init(&mem, data_pages());
	ring_mem_tx(&mem, &tx);
	ring_mem_rx(&mem, &rx);
	for (i = 0; i < 1000; i++) {
		mem.ctl->write_index = 0xDEADBEEF;
		assert_int_equal(vmbus_tx_write(&tx, 6, 0, i, NULL, &vec, 1), 0);
		vmbus_tx_commit(&tx);
		assert_int_equal(mem.ctl->write_index, (i + 1) * 40 % mem.size);
		mem.ctl->read_index = 0xDEADBEEF;
		assert_int_equal(vmbus_rx_next(&rx, &pkt, buf, sizeof(buf)), 0);
		assert_true(pkt.desc.trans_id == i);
		vmbus_rx_commit(&rx);
		assert_int_equal(mem.ctl->read_index, mem.ctl->write_index);
	}
	ring_mem_fini(&mem);
}

static bool desc_legal(uint32_t offset8, uint32_t len8, uint32_t flags, uint32_t used)
{
	return offset8 >= 2 && len8 >= offset8 && len8 * 8 + 8 <= used && !(flags & ~1u);
}

static void check_desc(struct ring_mem *mem, struct vmbus_pkt_desc d, uint32_t at, uint32_t used)
{
	uint8_t *buf = malloc(256);
	struct vmbus_pkt pkt;
	struct vmbus_rx rx;
	int rc;

	mem->ctl->read_index = at;
	put_desc(mem, at, &d, used);
	assert_int_equal(ring_mem_rx(mem, &rx), 0);
	rc = vmbus_rx_next(&rx, &pkt, buf, 256);
	if (!desc_legal(d.offset8, d.len8, d.flags, used)) {
		assert_int_equal(rc, -EPROTO);
		assert_int_equal(rx.read, at);
	} else if (d.len8 * 8u > 256) {
		assert_int_equal(rc, -EMSGSIZE);
		assert_int_equal(rx.read, at);
	} else {
		assert_int_equal(rc, 0);
		assert_ptr_equal(pkt.extra, buf + 16);
		assert_int_equal(pkt.extra_len, d.offset8 * 8 - 16);
		assert_ptr_equal(pkt.payload, pkt.extra + pkt.extra_len);
		assert_int_equal(pkt.payload_len, (d.len8 - d.offset8) * 8);
		assert_int_equal(rx.read, (at + d.len8 * 8 + 8) % mem->size);
	}
	free(buf);
}

/* All small combinations of offset8, len8 and published bytes, from both sides of each end. */
static void test_descriptor_small_all(void **state)
{
	struct ring_mem mem;
	struct vmbus_pkt_desc d = {.type = VMBUS_PKT_INBAND};
	uint32_t used, i;

	ring_mem_init(&mem, data_pages());
	const uint32_t starts[] = {0, HV_PAGE_SIZE - 16, HV_PAGE_SIZE - 8, mem.size - 8};
	for (i = 0; i < sizeof(starts) / sizeof(starts[0]); i++)
		for (used = 8; used <= 64; used += 8)
			for (d.offset8 = 0; d.offset8 < 10; d.offset8++)
				for (d.len8 = 0; d.len8 < 10; d.len8++)
					check_desc(&mem, d, starts[i], used);
	ring_mem_fini(&mem);
}

static void test_descriptor_extremes(void **state)
{
	static const uint16_t values[] = {0, 1, 2, 3, 32, 33, 510, 511, 512, 513, 0x1FFF, 0x2000,
		0x7FFF, 0x8000, 0xFFFE, 0xFFFF};
	const size_t count = sizeof(values) / sizeof(values[0]);
	struct vmbus_pkt_desc d = {.type = VMBUS_PKT_INBAND};
	struct ring_mem mem;
	size_t i, j;
	uint32_t bit;

	ring_mem_init(&mem, data_pages());
	for (i = 0; i < count; i++)
		for (j = 0; j < count; j++) {
			d.offset8 = values[i];
			d.len8 = values[j];
			check_desc(&mem, d, 2048, 4088);
			check_desc(&mem, d, 4088, 4088);
		}
	d.offset8 = 2;
	d.len8 = 3;
	for (bit = 0; bit < 16; bit++) {
		d.flags = (uint16_t)(1u << bit);
		check_desc(&mem, d, 0, 32);
	}
	ring_mem_fini(&mem);
}

/* A producer that overwrites unreleased bytes: at most one ring per batch. */
static void test_rx_overrun(void **state)
{
	struct vmbus_pkt_desc desc = {VMBUS_PKT_INBAND, 2, 0, 0, 0};
	struct ring_mem mem;
	struct vmbus_rx rx;
	struct vmbus_pkt pkt;
	uint8_t buf[4096];
	uint32_t quarter, i;

	ring_mem_init(&mem, data_pages());
	quarter = mem.size / 4;
	desc.len8 = (uint16_t)(quarter / 8 - 1);
	for (i = 0; i < 4; i++)
		ring_mem_put(&mem, i * quarter, &desc, sizeof(desc));
	assert_int_equal(ring_mem_rx(&mem, &rx), 0);
	for (i = 1; i <= 3; i++) {
		mem.ctl->write_index = i * quarter;
		assert_int_equal(vmbus_rx_next(&rx, &pkt, buf, sizeof(buf)), 0);
	}
	mem.ctl->write_index = 0; /* would be the whole ring */
	assert_int_equal(vmbus_rx_next(&rx, &pkt, buf, sizeof(buf)), -EPROTO);
	vmbus_rx_commit(&rx);
	assert_int_equal(vmbus_rx_next(&rx, &pkt, buf, sizeof(buf)), 0);
	ring_mem_fini(&mem);
}

/* pending_send_size, mask and feature bits are hints: any value is safe, nothing is an error. */
static void test_hints(void **state)
{
	static const uint32_t values[] = {
		0, 1, 7, 8, 4095, 4096, 0x80000000, 0xFFFFFFF8, 0xFFFFFFFF};
	static const uint8_t zeroes[64];
	struct vmbus_vec vec = {zeroes, sizeof(zeroes)};
	const size_t count = sizeof(values) / sizeof(values[0]);
	struct ring_mem mem;
	struct vmbus_tx tx;
	struct vmbus_rx rx;
	struct vmbus_pkt pkt;
	uint8_t buf[128];
	size_t i, j, k;

	ring_mem_init(&mem, data_pages());
	ring_mem_tx(&mem, &tx);
	ring_mem_rx(&mem, &rx);
	for (i = 0; i < count; i++)
		for (j = 0; j < count; j++)
			for (k = 0; k < count; k++) {
				mem.ctl->pending_send_size = values[i];
				mem.ctl->interrupt_mask = values[j];
				mem.ctl->feature_bits = values[k];
				assert_int_equal(vmbus_tx_write(&tx, 6, 0, 0, NULL, &vec, 1), 0);
				vmbus_tx_commit(&tx);
				assert_int_equal(vmbus_rx_next(&rx, &pkt, buf, sizeof(buf)), 0);
				vmbus_rx_commit(&rx);
			}
	ring_mem_fini(&mem);
}

struct flipper {
	volatile struct vmbus_pkt_desc *desc;
	_Atomic bool stop;
};

/* Another VP rewrites descriptor and index all the time. */
static void *flip(void *arg)
{
	static const uint16_t lens[] = {0, 1, 2, 8, 17, 0x1FF, 0x7FFF, 0xFFFF};
	struct flipper *f = arg;
	volatile struct vmbus_pkt_desc *desc = f->desc;
	uint32_t i = 0;

	while (!f->stop) {
		desc->len8 = lens[i++ % 8];
		desc->offset8 = lens[(i * 5) % 8];
		desc->flags = (uint16_t)(i % 3);
	}
	return NULL;
}

/* Decisions depend on the private copy only: the result is consistent in itself. The descriptor
 * begins in the last unit of the ring, so that its second half is elsewhere. */
static void test_changing_descriptor(void **state)
{
	struct ring_mem mem;
	struct flipper f = {0};
	uint32_t taken = 0, refused = 0, start, tries;
	struct vmbus_pkt pkt;
	struct vmbus_rx rx;
	uint8_t *buf = malloc(4096);
	pthread_t thread;

	ring_mem_init(&mem, data_pages());
	start = mem.size - 8;
	mem.ctl->read_index = start;
	mem.ctl->write_index = (start + 4088) % mem.size;
	f.desc = (void *)ring_mem_at(&mem, start);
	assert_int_equal(ring_mem_rx(&mem, &rx), 0);
	assert_int_equal(pthread_create(&thread, NULL, flip, &f), 0);
	for (tries = 0; tries < 10000000 && (taken < 20000 || refused < 20000); tries++) {
		int rc = vmbus_rx_next(&rx, &pkt, buf, 4096);

		if (rc) {
			assert_int_equal(rc, -EPROTO);
			refused++;
			continue;
		}
		taken++;
		assert_true(desc_legal(pkt.desc.offset8, pkt.desc.len8, pkt.desc.flags, 4088));
		assert_int_equal(pkt.extra_len, pkt.desc.offset8 * 8 - 16);
		assert_int_equal(pkt.payload_len, (pkt.desc.len8 - pkt.desc.offset8) * 8);
		assert_ptr_equal(pkt.payload, buf + pkt.desc.offset8 * 8);
		assert_memory_equal(buf, &pkt.desc, sizeof(pkt.desc));
		vmbus_rx_untake(&rx, &pkt);
		assert_int_equal(rx.read, start);
	}
	f.stop = true;
	pthread_join(thread, NULL);
	assert_true(taken > 0 && refused > 0);
	free(buf);
	ring_mem_fini(&mem);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_init_bad_indices),
		cmocka_unit_test(test_rx_bad_write_index),
		cmocka_unit_test(test_rx_commit_bad_write_index),
		cmocka_unit_test(test_tx_bad_read_index),
		cmocka_unit_test(test_own_index_not_reread),
		cmocka_unit_test(test_descriptor_small_all),
		cmocka_unit_test(test_descriptor_extremes),
		cmocka_unit_test(test_rx_overrun),
		cmocka_unit_test(test_hints),
		cmocka_unit_test(test_changing_descriptor),
	};
	int failed = cmocka_run_group_tests_name("one piece", tests, NULL, NULL);

	ring_mem_breaks = UINT64_MAX;
	return failed + cmocka_run_group_tests_name("scattered", tests, NULL, NULL);
}
