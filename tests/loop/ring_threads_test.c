/* SPDX-License-Identifier: MIT */
/*
 * Two threads over one ring, with real signals: a side that has nothing to do
 * sleeps in poll() on its eventfd, so a lost wake-up is a hang, and a hang fails
 * after STALL_MS. Tiny rings keep both "empty" and "full" happening all the time.
 *
 * The thread sanitizer runs this without suppressions: packet bytes are plain
 * memory, ordered by the indices alone.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "ring/vmbus_ring.h"

#define STALL_MS 120000

#if defined(__SANITIZE_THREAD__)
#define PACKETS 60000u
#elif defined(__SANITIZE_ADDRESS__)
#define PACKETS 250000u
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define PACKETS 60000u
#elif __has_feature(address_sanitizer)
#define PACKETS 250000u
#endif
#endif
#ifndef PACKETS
#define PACKETS 1000000u
#endif

struct params {
	uint32_t data_pages;
	uint32_t batch_max;  /* packets per commit, at random */
	bool mask;           /* the consumer masks while it drains */
	uint32_t big_one_in; /* how often a packet may be as long as the ring */
};

struct run {
	struct params params;
	struct vmbus_tx tx;
	struct vmbus_rx rx;
	int data_fd; /* for the consumer: there is data */
	int room_fd; /* for the producer: there is room */
	uint32_t payload_max;
	_Atomic(const char *) error;         /* the first one; both sides stop */
	uint64_t data_signals, room_signals; /* each counted by its sender */
};

static uint32_t random_next(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(*seed >> 33);
}

static void signal_fd(int fd)
{
	const uint64_t one = 1;

	if (write(fd, &one, sizeof(one)) != sizeof(one))
		abort(); /* never full: the reader takes the whole counter */
}

static void run_fail(struct run *run, const char *what)
{
	const char *none = NULL;

	atomic_compare_exchange_strong(&run->error, &none, what);
	signal_fd(run->data_fd);
	signal_fd(run->room_fd);
}

static void wait_fd(struct run *run, int fd, const char *who)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	uint64_t count;

	if (poll(&p, 1, STALL_MS) == 1 && read(fd, &count, sizeof(count)) == sizeof(count))
		return;
	run_fail(run, who);
}

/* Length and bytes of packet `number`, the same on both sides. */
static uint32_t packet_len(const struct run *run, uint32_t number)
{
	uint64_t seed = number * 0x9E3779B97F4A7C15u;
	uint32_t r = random_next(&seed);

	if (random_next(&seed) % run->params.big_one_in == 0)
		return r % (run->payload_max + 1);
	return r % 200;
}

static void packet_fill(uint8_t *bytes, uint32_t len, uint32_t number)
{
	uint32_t i;

	for (i = 0; i < len; i++)
		bytes[i] = (uint8_t)(number * 31 + i * 7);
}

static void tx_flush(struct run *run)
{
	if (!vmbus_tx_commit(&run->tx))
		return;
	run->data_signals++;
	signal_fd(run->data_fd);
}

static void tx_send(struct run *run, uint8_t *bytes, uint32_t number)
{
	struct vmbus_vec vec[2];
	uint32_t len = packet_len(run, number);
	uint32_t half = len / 3;
	int rc;

	packet_fill(bytes, len, number);
	vec[0] = (struct vmbus_vec){bytes, half};
	vec[1] = (struct vmbus_vec){bytes + half, len - half};
	for (;;) {
		rc = vmbus_tx_write(&run->tx, VMBUS_PKT_INBAND, number & 1, number, NULL, vec, 2);
		if (rc != -EAGAIN || run->error)
			break;
		tx_flush(run);
		wait_fd(run, run->room_fd, "producer stalled");
	}
	if (rc && !run->error)
		run_fail(run, "write failed");
}

static void *producer(void *arg)
{
	struct run *run = arg;
	uint8_t *bytes = malloc(run->payload_max + 1);
	uint32_t number, staged = 0;
	uint64_t seed = 1;

	for (number = 0; number < PACKETS && !run->error; number++) {
		tx_send(run, bytes, number);
		if (++staged <= random_next(&seed) % run->params.batch_max)
			continue;
		tx_flush(run);
		staged = 0;
		if (random_next(&seed) % 64 == 0)
			sched_yield();
	}
	tx_flush(run);
	free(bytes);
	return NULL;
}

static const char *packet_check(
	const struct run *run, const struct vmbus_pkt *pkt, uint8_t *expect, uint32_t number)
{
	uint32_t len = packet_len(run, number);

	if (pkt->desc.trans_id != number || pkt->desc.flags != (number & 1))
		return "packet out of order";
	if (pkt->payload_len != ((len + 7) & ~7u))
		return "wrong length";
	packet_fill(expect, len, number);
	memset(expect + len, 0, pkt->payload_len - len);
	return memcmp(pkt->payload, expect, pkt->payload_len) ? "wrong bytes" : NULL;
}

static void rx_flush(struct run *run)
{
	if (!vmbus_rx_commit(&run->rx))
		return;
	run->room_signals++;
	signal_fd(run->room_fd);
}

static uint32_t rx_drain(struct run *run, uint8_t *buf, uint8_t *expect, uint32_t number)
{
	uint64_t seed = number;
	struct vmbus_pkt pkt;
	const char *error;
	int rc;

	while (!(rc = vmbus_rx_next(&run->rx, &pkt, buf, run->payload_max + 24))) {
		error = packet_check(run, &pkt, expect, number++);
		if (error)
			run_fail(run, error);
		if (random_next(&seed) % run->params.batch_max == 0)
			rx_flush(run);
		if (random_next(&seed) % 64 == 0)
			sched_yield();
	}
	if (rc != -EAGAIN)
		run_fail(run, "next failed");
	rx_flush(run);
	return number;
}

static void *consumer(void *arg)
{
	struct run *run = arg;
	uint8_t *buf = malloc(run->payload_max + 24);
	uint8_t *expect = malloc(run->payload_max + 24);
	uint32_t number = 0;

	while (!run->error) {
		if (run->params.mask)
			vmbus_rx_mask(&run->rx);
		number = rx_drain(run, buf, expect, number);
		if (number == PACKETS)
			break;
		if (!vmbus_rx_unmask(&run->rx))
			wait_fd(run, run->data_fd, "consumer stalled");
	}
	free(buf);
	free(expect);
	return NULL;
}

static void run_pair(const struct params *params)
{
	const uint32_t bytes = (params->data_pages + 1) * HV_PAGE_SIZE;
	void *ring = aligned_alloc(HV_PAGE_SIZE, bytes);
	struct run run = {.params = *params};
	pthread_t threads[2];

	assert_non_null(ring);
	memset(ring, 0, bytes);
	assert_int_equal(vmbus_tx_init(&run.tx, ring, bytes), 0);
	assert_int_equal(vmbus_rx_init(&run.rx, ring, bytes), 0);
	run.payload_max = params->data_pages * HV_PAGE_SIZE - 8 - vmbus_pkt_ring_size(0, 0);
	run.data_fd = eventfd(0, EFD_CLOEXEC);
	run.room_fd = eventfd(0, EFD_CLOEXEC);
	assert_true(run.data_fd >= 0 && run.room_fd >= 0);
	assert_int_equal(pthread_create(&threads[0], NULL, producer, &run), 0);
	assert_int_equal(pthread_create(&threads[1], NULL, consumer, &run), 0);
	pthread_join(threads[0], NULL);
	pthread_join(threads[1], NULL);
	if (run.error)
		fail_msg("%s", run.error);
	print_message("# %u packets, %llu data signals, %llu room signals\n", PACKETS,
		(unsigned long long)run.data_signals, (unsigned long long)run.room_signals);
	/* Both kinds of waiting must have happened, or nothing was tested. */
	assert_true(run.data_signals > 100 && run.room_signals > 100);
	close(run.data_fd);
	close(run.room_fd);
	free(ring);
}

static void test_one_page(void **state)
{
	run_pair(&(struct params){.data_pages = 1, .batch_max = 1, .mask = true, .big_one_in = 8});
}

static void test_one_page_unmasked(void **state)
{
	run_pair(&(struct params){.data_pages = 1, .batch_max = 4, .big_one_in = 4});
}

static void test_three_pages(void **state)
{
	run_pair(&(struct params){.data_pages = 3, .batch_max = 1, .mask = true, .big_one_in = 8});
}

static void test_three_pages_batches(void **state)
{
	run_pair(
		&(struct params){.data_pages = 3, .batch_max = 16, .mask = true, .big_one_in = 16});
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_page),
		cmocka_unit_test(test_one_page_unmasked),
		cmocka_unit_test(test_three_pages),
		cmocka_unit_test(test_three_pages_batches),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
