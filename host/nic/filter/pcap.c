/* SPDX-License-Identifier: MIT */
/*
 * Records what passes, in pcapng: outbound is what the guest sends, inbound what
 * it receives. Queues append to a buffer under a lock; a thread of this NIC takes
 * the whole buffer and writes it, so that no I/O thread waits for the file. What
 * does not fit into the buffer is not recorded, but counted (statistics block).
 */
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/file_output.h"
#include "base/log.h"
#include "base/thread.h"
#include "base/time.h"
#include "nic/filter/filter.h"
#include "nic/filter/pcapng.h"

#define BUFFER_SIZE (8u << 20)

struct pcap_nic {
	struct nic nic;
	int fd;
	pthread_t thread;
	uint8_t *writing; /* the thread's */
	bool failed;      /* the thread's: it was logged */
	/* under lock */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	uint8_t *filling; /* BUFFER_SIZE each */
	size_t used;
	uint64_t packets, dropped;
	_Atomic bool closing;
};

static uint64_t wall_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return timespec_ns(ts);
}

static void record(
	struct nic_queue *queue, const struct nic_frame *frame, enum pcapng_direction direction)
{
	struct pcap_nic *p = (struct pcap_nic *)queue->nic;
	uint64_t ns = wall_ns();

	pthread_mutex_lock(&p->lock);
	if (pcapng_packet_size(frame) > BUFFER_SIZE - p->used) {
		p->dropped++;
	} else {
		p->used += pcapng_packet(p->filling + p->used, frame, direction, queue->index, ns);
		p->packets++;
		pthread_cond_signal(&p->changed);
	}
	pthread_mutex_unlock(&p->lock);
}

/* ---- the writing thread -------------------------------------------------- */

static int write_all(struct pcap_nic *p, const uint8_t *bytes, size_t length)
{
	return file_output_write(p->fd, bytes, length, &p->closing);
}

/* Waits for packets; takes them all. 0: there are none and will be none. */
static size_t take(struct pcap_nic *p)
{
	uint8_t *full;
	size_t length;

	pthread_mutex_lock(&p->lock);
	while (!p->used && !p->closing)
		pthread_cond_wait(&p->changed, &p->lock);
	full = p->filling;
	p->filling = p->writing;
	p->writing = full;
	length = p->used;
	p->used = 0;
	pthread_mutex_unlock(&p->lock);
	return length;
}

static void *writer_main(void *arg)
{
	struct pcap_nic *p = arg;
	size_t length;

	thread_enter(THREAD_WRITER, "pcap");
	while ((length = take(p))) {
		int ret = p->failed ? 0 : write_all(p, p->writing, length);

		if (ret)
			log_error("net pcap: %s; nothing more is recorded", strerror(-ret));
		p->failed |= ret != 0;
	}
	return NULL;
}

/* ---- data path ----------------------------------------------------------- */

static void pcap_tx(struct nic_queue *queue, struct nic_frame *frames[], uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		record(queue, frames[i], PCAPNG_OUTBOUND);
	nic_tx(((struct nic_filter_queue *)queue)->lower, frames, count);
}

static void pcap_rx(struct nic_client *client, struct nic_frame *frames[], uint32_t count)
{
	struct nic_filter_queue *q = nic_filter_queue_of(client);

	for (uint32_t i = 0; i < count; i++) {
		record(&q->queue, frames[i], PCAPNG_INBOUND);
		nic_filter_pass_rx(q, frames[i]);
	}
}

static const struct nic_client_ops client_ops = {
	.tx_done = nic_filter_tx_done,
	.rx_get = nic_filter_rx_get,
	.rx = pcap_rx,
	.rx_put = nic_filter_rx_put,
	.stopped = nic_filter_stopped,
};

static int pcap_queue_open(struct nic *nic, uint32_t index, struct loop *loop,
	struct nic_client *client, struct nic_queue **queue)
{
	return nic_filter_queue_open_with(nic, index, loop, client, &client_ops, queue);
}

/* ---- life ---------------------------------------------------------------- */

static void release(struct nic *nic)
{
	struct pcap_nic *p = (struct pcap_nic *)nic;

	if (p->fd >= 0)
		close(p->fd);
	free(p->filling);
	free(p->writing);
	pthread_cond_destroy(&p->changed);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

/* Waits for the file: what was recorded is in it when the NIC is closed. */
static void pcap_close(struct nic *nic)
{
	struct pcap_nic *p = (struct pcap_nic *)nic;
	uint8_t block[PCAPNG_OVERHEAD];

	pthread_mutex_lock(&p->lock);
	p->closing = true;
	pthread_cond_signal(&p->changed);
	pthread_mutex_unlock(&p->lock);
	pthread_join(p->thread, NULL);
	if (!p->failed)
		write_all(p, block, pcapng_end(block, p->packets, p->dropped, wall_ns()));
	nic_closed(nic, release);
}

static const struct nic_ops pcap_ops = {
	.name = "pcap",
	.close = pcap_close,
	.queue_open = pcap_queue_open,
	.queue_stop = nic_filter_queue_stop,
	.queue_close = nic_filter_queue_close,
	.tx = pcap_tx,
	.rx_resume = nic_filter_rx_resume,
};

static struct pcap_nic *create(void)
{
	struct pcap_nic *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->fd = -1;
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->changed, NULL);
	p->filling = malloc(BUFFER_SIZE);
	p->writing = malloc(BUFFER_SIZE);
	if (p->filling && p->writing)
		return p;
	release(&p->nic);
	return NULL;
}

static int begin_file(struct pcap_nic *p, const char *path)
{
	uint8_t block[PCAPNG_OVERHEAD];

	p->fd = file_output_open(path, 0, 0600);
	if (p->fd < 0)
		return p->fd;
	if (ftruncate(p->fd, 0) && errno != EINVAL) /* EINVAL: a pipe or a device */
		return -errno;
	return write_all(p, block, pcapng_begin(block, sizeof(block), "guest"));
}

static int start(struct pcap_nic *p, const struct nic_open *o)
{
	int ret = begin_file(p, o->argument);

	if (!ret)
		ret = nic_filter_init(&p->nic, &pcap_ops, o);
	if (ret)
		return ret;
	ret = thread_create(&p->thread, NULL, writer_main, p);
	if (ret) {
		o->lower->upper = NULL;
		nic_fini(&p->nic);
	}
	return ret;
}

static int pcap_open(struct nic **nic, const struct nic_open *o, struct err *e)
{
	struct pcap_nic *p = create();
	int ret = p ? start(p, o) : -ENOMEM;

	if (ret) {
		if (p)
			release(&p->nic);
		return err_set(e, ret, "net: pcap=%s: %s", o->argument, strerror(-ret));
	}
	*nic = &p->nic;
	return 0;
}

const struct nic_type nic_type_pcap = {
	.name = "pcap",
	.argument = "FILE",
	.help = "records all frames, with offload metadata, in a pcapng file",
	.filter = true,
	.open = pcap_open,
};
