/* SPDX-License-Identifier: MIT */
/*
 * Native ring figures: nanoseconds for one packet to go write, commit, next,
 * commit, in one thread and between two spinning threads. 88 bytes of ring is a
 * storvsc completion, 112 a 4 KiB storvsc request (GPA-direct, one PFN).
 *
 * One JSON object per line on stdout; each figure is over ROUNDS rounds.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "ring/vmbus_ring.h"

#define ROUNDS     11
#define PACKETS    500000u
#define DATA_PAGES 31u /* storvsc's default ring */
#define RING_BYTES ((DATA_PAGES + 1) * HV_PAGE_SIZE)
#define PAYLOAD    64u /* struct vstor_packet */
#define SPIN_MAX   1000u

struct shape {
	uint16_t type;
	uint32_t extra_len;
	uint32_t batch; /* packets per commit */
};

static const struct shape shapes[] = {
	{VMBUS_PKT_COMPLETION, 0, 1},
	{VMBUS_PKT_COMPLETION, 0, 16},
	{VMBUS_PKT_GPA_DIRECT, 24, 1},
	{VMBUS_PKT_GPA_DIRECT, 24, 16},
};

struct pair {
	const struct shape *shape;
	struct vmbus_tx tx;
	/* The ends belong to different threads: keep them apart. */
	struct vmbus_rx rx __attribute__((aligned(128)));
};

static void must(int rc, const char *what)
{
	if (!rc)
		return;
	fprintf(stderr, "bench ring: %s: error %d\n", what, -rc);
	exit(1);
}

static double now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* Gives the other thread the CPU when there is only one, or when it was taken away. */
static void relax(uint32_t *spins)
{
	if (++*spins % SPIN_MAX == 0)
		sched_yield();
}

static void send_batch(struct pair *p, uint32_t first)
{
	static const uint8_t bytes[PAYLOAD];
	struct vmbus_vec extra = {bytes, p->shape->extra_len};
	struct vmbus_vec payload = {bytes, PAYLOAD};
	uint32_t i;

	for (i = 0; i < p->shape->batch; i++)
		must(vmbus_tx_write(&p->tx, p->shape->type, 1, first + i, &extra, &payload, 1),
			"write");
	vmbus_tx_commit(&p->tx);
}

static void take_batch(struct pair *p, uint32_t first)
{
	uint8_t buf[256];
	struct vmbus_pkt pkt;
	uint32_t i;

	for (i = 0; i < p->shape->batch; i++) {
		must(vmbus_rx_next(&p->rx, &pkt, buf, sizeof(buf)), "next");
		must(pkt.desc.trans_id != first + i, "order");
	}
	vmbus_rx_commit(&p->rx);
}

static double one_thread(struct pair *p)
{
	double start = now_ns();
	uint32_t sent;

	for (sent = 0; sent < PACKETS; sent += p->shape->batch) {
		send_batch(p, sent);
		take_batch(p, sent);
	}
	return (now_ns() - start) / PACKETS;
}

static void *produce(void *arg)
{
	struct pair *p = arg;
	uint32_t batch_bytes = p->shape->batch * vmbus_pkt_ring_size(p->shape->extra_len, PAYLOAD);
	uint32_t sent, spins = 0;

	for (sent = 0; sent < PACKETS; sent += p->shape->batch) {
		/* Spinning, so it does not ask the consumer for a signal. */
		while (vmbus_tx_room(&p->tx) < batch_bytes)
			relax(&spins);
		send_batch(p, sent);
	}
	return NULL;
}

static void consume(struct pair *p)
{
	uint32_t got = 0, spins = 0;

	while (got < PACKETS) {
		if (!vmbus_rx_pending(&p->rx)) {
			relax(&spins);
			continue;
		}
		take_batch(p, got);
		got += p->shape->batch;
	}
}

static double two_threads(struct pair *p)
{
	double start = now_ns();
	pthread_t thread;

	vmbus_rx_mask(&p->rx);
	must(pthread_create(&thread, NULL, produce, p), "thread");
	consume(p);
	must(pthread_join(thread, NULL), "join");
	return (now_ns() - start) / PACKETS;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void measure(const char *name, const struct shape *shape, double (*run)(struct pair *p))
{
	struct vmbus_ring_ctl *ring = aligned_alloc(HV_PAGE_SIZE, RING_BYTES);
	struct pair p = {.shape = shape};
	double ns[ROUNDS];
	int i;

	must(ring ? 0 : -ENOMEM, "ring");
	memset(ring, 0, RING_BYTES);
	must(vmbus_tx_init(&p.tx, ring, RING_BYTES), "tx");
	must(vmbus_rx_init(&p.rx, ring, RING_BYTES), "rx");
	run(&p); /* warm up */
	for (i = 0; i < ROUNDS; i++)
		ns[i] = run(&p);
	qsort(ns, ROUNDS, sizeof(ns[0]), compare);
	printf("{\"bench\": \"ring\", \"case\": \"%s\", \"packet_bytes\": %u, \"batch\": %u, "
	       "\"rounds\": %d, \"packets_per_round\": %u, \"ns_min\": %.1f, \"ns_median\": %.1f, \"ns_max\": %.1f}\n",
		name, vmbus_pkt_ring_size(shape->extra_len, PAYLOAD), shape->batch, ROUNDS, PACKETS,
		ns[0], ns[ROUNDS / 2], ns[ROUNDS - 1]);
	fflush(stdout);
	free(ring);
}

int main(void)
{
	size_t i;

	for (i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		measure("one_thread", &shapes[i], one_thread);
		measure("two_threads", &shapes[i], two_threads);
	}
	return 0;
}
