/* SPDX-License-Identifier: MIT */
#include "bench/io/client.h"
#include "bench/io/die.h"

#include <endian.h>
#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "vsp/storvsp/storvsp.h"

#define RAM           (112u << 20)
#define INSTANCE      0x42
#define TIME_CHECK    64u /* commands between readings of the clock */
#define STUCK_SECONDS 20u
#define PAGES_MAX     (BENCH_BLOCK_MAX / HV_PAGE_SIZE)

struct bench_request {
	struct vstor_packet packet;
	union {
		struct storvsc_range range;
		uint8_t bytes[sizeof(struct storvsc_range) + PAGES_MAX * sizeof(uint64_t)];
	} data;
	uint32_t data_size;
	uint64_t gpa; /* of BENCH_BLOCK_MAX bytes */
};

struct bench_client {
	struct guest g;
	struct guest_disk d;
	struct vmbus_tx *tx;
	struct vmbus_rx *rx;
	uint32_t packet_size;
	uint64_t disk_bytes;
	uint32_t block, blocks; /* of the load */
	uint64_t random;
	struct vsp_host host; /* guest.h's, whose waits need its interrupts */
	_Atomic bool open;    /* set up: interrupts are ours */
	int doorbell;
	int interrupt;
	_Atomic bool interrupted; /* the event flag: set until the guest has looked */
	uint32_t in_flight;
	uint64_t done, doorbells, interrupts;
	struct bench_request requests[BENCH_DEPTH_MAX];
};

/* ---- signals ------------------------------------------------------------- */

/* On the I/O thread. A flag that is set needs no second interrupt, as in the SynIC. */
static void raise_interrupt(void *ctx, uint32_t vp, uint32_t flag)
{
	struct bench_client *c = ctx;

	if (!atomic_load_explicit(&c->open, memory_order_acquire))
		c->host.ops->interrupt(c->host.ctx, vp, flag);
	else if (!atomic_exchange(&c->interrupted, true))
		loop_event_signal(c->interrupt);
}

static int add_doorbell(void *ctx, uint32_t connection_id, int eventfd)
{
	struct bench_client *c = ctx;

	return c->host.ops->doorbell_add(c->host.ctx, connection_id, eventfd);
}

static void del_doorbell(void *ctx, uint32_t connection_id, int eventfd)
{
	struct bench_client *c = ctx;

	c->host.ops->doorbell_del(c->host.ctx, connection_id, eventfd);
}

static const struct vsp_host_ops host_ops = {
	.interrupt = raise_interrupt,
	.doorbell_add = add_doorbell,
	.doorbell_del = del_doorbell,
};

static void wait_interrupt(struct bench_client *c)
{
	uint64_t count;

	if (read(c->interrupt, &count, sizeof(count)) != sizeof(count))
		die("reading an eventfd: %s", strerror(errno));
	atomic_store(&c->interrupted, false);
	c->interrupts++;
}

static void ring_doorbell(struct bench_client *c)
{
	c->doorbells++;
	loop_event_signal(c->doorbell);
}

static int find_doorbell(const struct bench_client *c)
{
	uint32_t id = c->d.channels[0].offer.connection_id;

	for (uint32_t i = 0; i < GUEST_DOORBELLS; i++)
		if (c->g.doorbells[i].connection_id == id)
			return c->g.doorbells[i].fd;
	die("no doorbell");
}

/* ---- commands ------------------------------------------------------------ */

static uint32_t random_block(struct bench_client *c)
{
	c->random ^= c->random << 13;
	c->random ^= c->random >> 7;
	c->random ^= c->random << 17;
	return (uint32_t)(((c->random >> 32) * c->blocks) >> 32);
}

static void prepare(struct bench_client *c, uint32_t i, bool write)
{
	struct bench_request *r = &c->requests[i];
	struct storvsc_command cmd = {
		.data = write ? VSTOR_DATA_OUT : VSTOR_DATA_IN,
		.length = c->block,
		.cdb_length = 10,
		.cdb = {write ? 0x2A : 0x28, [7] = (uint8_t)(c->block / 512 >> 8),
			[8] = (uint8_t)(c->block / 512)},
	};

	storvsc_command_build(&cmd, &r->packet);
	r->data_size = storvsc_range_build(&r->data.range, 0, c->block);
	for (uint32_t page = 0; page < c->block / HV_PAGE_SIZE; page++)
		r->data.range.pfns[page] = r->gpa / HV_PAGE_SIZE + page;
}

static void publish(struct bench_client *c)
{
	if (vmbus_tx_commit(c->tx))
		ring_doorbell(c);
}

static void submit(struct bench_client *c, uint32_t i)
{
	struct bench_request *r = &c->requests[i];
	uint32_t sector = htobe32(random_block(c) * (c->block / 512));
	struct vmbus_vec extra = {.base = &r->data, .len = r->data_size};
	struct vmbus_vec payload = {.base = &r->packet, .len = c->packet_size};
	int ret;

	memcpy(r->packet.srb.cdb + 2, &sector, sizeof(sector));
	ret = vmbus_tx_write(c->tx, VMBUS_PKT_GPA_DIRECT, VMBUS_PKT_FLAG_COMPLETION_REQUESTED,
		i + 1, &extra, &payload, 1);
	if (ret)
		die("sending: %s", strerror(-ret));
	c->in_flight++;
	publish(c);
}

/* The number of the request that is done. */
static uint32_t completed(struct bench_client *c, const struct vmbus_pkt *pkt)
{
	const struct vstor_packet *reply = (const void *)pkt->payload;
	uint64_t id = pkt->desc.trans_id;

	if (pkt->desc.type != VMBUS_PKT_COMPLETION || id < 1 || id > BENCH_DEPTH_MAX ||
		pkt->payload_len < c->packet_size || reply->srb.srb_status != VSTOR_SRB_SUCCESS ||
		reply->srb.data_transfer_length != c->block)
		die("a command failed");
	c->in_flight--;
	c->done++;
	return (uint32_t)id - 1;
}

/* Takes what is there, starts as many anew unless it is the end. True: there was something. */
static bool drain(struct bench_client *c, bool more)
{
	uint64_t bytes[64];
	struct vmbus_pkt pkt;
	uint64_t before = c->done;
	int ret;

	while (!(ret = vmbus_rx_next(c->rx, &pkt, bytes, sizeof(bytes)))) {
		uint32_t i = completed(c, &pkt);

		if (more)
			submit(c, i);
	}
	if (ret != -EAGAIN)
		die("receiving: %s", strerror(-ret));
	if (vmbus_rx_commit(c->rx))
		ring_doorbell(c);
	return c->done != before;
}

static void wait_for_answers(struct bench_client *c, bool polled)
{
	if (polled) {
		sched_yield();
		return;
	}
	if (!vmbus_rx_unmask(c->rx))
		wait_interrupt(c);
	vmbus_rx_mask(c->rx);
}

static void keep_busy(struct bench_client *c, const struct bench_load *load)
{
	uint64_t end = loop_now_ns() + load->ns;
	uint64_t next_check = 0;
	bool more = true;

	for (uint32_t i = 0; i < load->depth; i++) {
		prepare(c, i, load->write);
		submit(c, i);
	}
	while (c->in_flight) {
		if (more && c->done >= next_check) {
			more = loop_now_ns() < end;
			next_check = c->done + TIME_CHECK;
		}
		if (!drain(c, more))
			wait_for_answers(c, load->polled);
	}
}

static double cpu_seconds(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

void bench_client_run(struct bench_client *c, const struct bench_load *load, struct bench_result *r)
{
	double all = cpu_seconds(CLOCK_PROCESS_CPUTIME_ID);
	double guest = cpu_seconds(CLOCK_THREAD_CPUTIME_ID);
	uint64_t start = loop_now_ns();

	c->block = load->block;
	c->blocks = (uint32_t)(c->disk_bytes / load->block);
	c->done = c->doorbells = c->interrupts = 0;
	alarm((unsigned int)(load->ns / 1000000000u) + STUCK_SECONDS); /* a lost wake-up kills us */
	keep_busy(c, load);
	alarm(0);
	r->iops = (double)c->done * 1e9 / (double)(loop_now_ns() - start);
	all = cpu_seconds(CLOCK_PROCESS_CPUTIME_ID) - all;
	guest = cpu_seconds(CLOCK_THREAD_CPUTIME_ID) - guest;
	r->cpu_us = all * 1e6 / (double)c->done;
	r->host_cpu_us = (all - guest) * 1e6 / (double)c->done;
	r->per_doorbell = (double)c->done / (double)(c->doorbells ? c->doorbells : 1);
	r->per_interrupt = (double)c->done / (double)(c->interrupts ? c->interrupts : 1);
}

/* ---- life ---------------------------------------------------------------- */

struct polling {
	struct loop *loop;
	uint64_t ns;
};

static void set_polling(void *arg)
{
	struct polling *p = arg;

	loop_set_polling(p->loop, p->ns);
}

static void start_host(struct bench_client *c, struct disk *disk, uint64_t poll_ns)
{
	struct guest_config config = {.ram = RAM, .vps = 1, .io_threads = 1};
	struct storvsp_lun_config lun = {.disk = disk};
	struct storvsp_config controller = {.luns = &lun, .lun_count = 1};
	struct polling polling = {.loop = &c->g.io_threads[0], .ns = poll_ns};

	guest_start(&c->g, &config);
	loop_call(polling.loop, set_polling, &polling);
	c->host = c->g.host;
	c->g.host.ops = &host_ops;
	c->g.host.ctx = c;
	guest_add_device(&c->g, &storvsp_ops, INSTANCE, &controller);
}

struct bench_client *bench_client_create(struct disk *disk, uint64_t poll_ns)
{
	struct bench_client *c = calloc(1, sizeof(*c));

	if (!c)
		die("out of memory");
	c->random = 0x9E3779B97F4A7C15u;
	c->disk_bytes = disk_size(disk);
	c->interrupt = eventfd(0, EFD_CLOEXEC);
	if (c->interrupt < 0)
		die("an eventfd: %s", strerror(errno));
	start_host(c, disk, poll_ns);
	guest_connect(&c->g, VMBUS_VERSION_WIN10_V5_3);
	guest_disk_init(&c->d, &c->g, INSTANCE);
	guest_disk_open(&c->d, VSTOR_VERSION_WIN10, 0);
	c->tx = &c->d.channels[0].tx;
	c->rx = &c->d.channels[0].rx;
	for (uint32_t i = 0; i < BENCH_DEPTH_MAX; i++)
		c->requests[i].gpa = guest_ram(&c->g, BENCH_BLOCK_MAX);
	c->doorbell = find_doorbell(c);
	c->packet_size = storvsc_packet_size(&c->d.conn);
	vmbus_rx_mask(c->rx);
	atomic_store(&c->open, true);
	return c;
}

void bench_client_destroy(struct bench_client *c)
{
	atomic_store(&c->open, false);
	guest_disk_close(&c->d);
	guest_stop(&c->g);
	close(c->interrupt);
	free(c);
}
