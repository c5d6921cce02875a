/* SPDX-License-Identifier: MIT */
/*
 * The VSP core between a real bus and real I/O threads. The test is the guest and
 * the VM: it runs the control loop on its own thread until a condition holds.
 */
#ifndef VSP_RIG_H
#define VSP_RIG_H

#include "vsp/vsp_device.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hv/vmbus_msgs.h"
#include "vsp/null/null.h"

#define IO_THREADS   2
#define VPS          4
#define RING_PAGES   4 /* each way */
#define MESSAGES_MAX 256
#define WAIT_NS      120000000000ull
#define MEMORY       0x100000

struct message {
	uint32_t len;
	bool taken;
	_Alignas(8) uint8_t data[VMBUS_MESSAGE_SIZE_MAX];
};

/* A channel as the guest has it. */
struct guest_channel {
	uint32_t relid, connection_id;
	uint16_t index;
	uint32_t gpadl;
	uint64_t pfns[2 * RING_PAGES];
	struct vmbus_run runs[2 * RING_PAGES]; /* of each page; those of control pages are unused */
	struct vmbus_tx tx;
	struct vmbus_rx rx;
};

struct fixture {
	struct loop control;
	struct loop io_thread[IO_THREADS];
	struct loop *io_threads[IO_THREADS];
	struct gmem gmem;
	struct bus *bus;
	struct vsp_host host;
	struct vsp_device *dev;
	struct message messages[MESSAGES_MAX];
	unsigned int message_count;
	struct guest_channel chan[4];
	uint64_t next_pfn;
	int doorbells[VMBUS_RELID_MAX + 1]; /* by relid; -1 none */
	unsigned int doorbell_count;
	int doorbell_error;
	bool shut, removed;
	void (*detach)(void); /* at the shutdown; NULL: f->dev is all there is */

	/* from I/O threads */
	_Atomic unsigned int irqs;
	_Atomic uint32_t irq_vp, irq_flag;
	_Atomic bool irq_before_open_result;
	_Atomic bool open_result_seen;

	/* running the control loop */
	struct loop_hook watch;
	struct loop_task awake_task;
	bool awake;
	uint64_t deadline;
	bool (*until)(void);
};

static struct fixture *f;

/* ---- the test VSP -------------------------------------------------------- */

struct test_config {
	int create_error;
	int open_error;
	bool send_in_open;
	uint32_t greeting_length;
	bool hold; /* keeps requests until complete_held() */
	bool hold_in_close;
	uint16_t subs;     /* offered at the first packet */
	uint32_t requests; /* per channel */
};

struct test_device {
	struct test_config config;
	_Atomic unsigned int opens, stops, closes, packets, stalls, pauses, resumes;
	_Atomic unsigned int io_thread_opens[IO_THREADS];
};

struct test_request {
	struct vsp_out out;
	struct vsp_channel *ch;
	uint64_t marker;
};

struct test_channel {
	struct test_request *held[64];
	unsigned int held_count;
	bool subs_offered;
	struct vsp_out greeting;
};

static inline int test_create(struct vsp_device *dev, const void *config, struct err *e)
{
	struct test_device *d = vsp_device_priv(dev);

	d->config = *(const struct test_config *)config;
	return d->config.create_error ? err_set(e, d->config.create_error, "test: no") : 0;
}

static inline void test_destroy(struct vsp_device *dev)
{
}

static inline void test_request_class(
	struct vsp_device *dev, uint32_t number, struct vsp_request_class *class)
{
	struct test_device *d = vsp_device_priv(dev);

	assert_int_equal(number, 0);
	class->count = d->config.requests;
	class->size = sizeof(struct test_request) - 3; /* must be rounded up */
}

static inline int test_open(struct vsp_channel *ch)
{
	struct test_device *d = vsp_device_priv(vsp_channel_device(ch));
	struct test_channel *c = vsp_channel_priv(ch);
	static const uint8_t greeting[20000];

	assert_int_equal(c->held_count, 0); /* zeroed */
	assert_true((uintptr_t)c % 16 == 0);
	for (unsigned int i = 0; i < IO_THREADS; i++)
		d->io_thread_opens[i] += loop_is_current(&f->io_thread[i]);
	d->opens++;
	if (d->config.send_in_open) {
		c->greeting.packet = (struct chan_out){
			.type = VMBUS_PKT_INBAND,
			.trans_id = 99,
			.payload = {greeting, d->config.greeting_length},
		};
		vsp_send(ch, &c->greeting);
	}
	return d->config.open_error;
}

static inline void test_stop(struct vsp_channel *ch)
{
	struct test_device *d = vsp_device_priv(vsp_channel_device(ch));

	d->stops++;
}

static inline void test_close(struct vsp_channel *ch)
{
	struct test_device *d = vsp_device_priv(vsp_channel_device(ch));

	assert_int_equal(vsp_requests_in_use(ch, 0), 0);
	if (d->config.hold_in_close)
		vsp_channel_hold(ch);
	d->closes++;
}

static inline void test_pause(struct vsp_channel *ch)
{
	struct test_device *d = vsp_device_priv(vsp_channel_device(ch));

	d->pauses++;
}

static inline void test_resume(struct vsp_channel *ch)
{
	struct test_device *d = vsp_device_priv(vsp_channel_device(ch));

	d->resumes++;
}

static inline int test_packet(struct vsp_channel *ch, const struct vmbus_pkt *pkt)
{
	struct test_device *d = vsp_device_priv(vsp_channel_device(ch));
	struct test_channel *c = vsp_channel_priv(ch);
	struct test_request *r;

	if (pkt->desc.type != VMBUS_PKT_INBAND)
		return -EPROTO;
	if (d->config.subs && !c->subs_offered && !vsp_channel_index(ch)) {
		c->subs_offered = true;
		vsp_offer_subchannels(ch, d->config.subs);
	}
	r = vsp_request_get(ch, 0);
	if (!r) {
		d->stalls++;
		return -EAGAIN;
	}
	assert_true((uintptr_t)r % 16 == 0);
	d->packets++;
	r->ch = ch;
	r->out = (struct vsp_out){
		.packet = {.type = VMBUS_PKT_COMPLETION,
			.trans_id = pkt->desc.trans_id,
			.payload = {&r->marker, 8}},
		.request = r,
	};
	if (d->config.hold)
		c->held[c->held_count++] = r;
	else
		vsp_send(ch, &r->out);
	return 0;
}

static const struct vsp_ops test_ops = {
	.name = "test",
	.class_id = HV_GUID(0x11111111, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11),
	.device_size = sizeof(struct test_device),
	.channel_size = sizeof(struct test_channel),
	.packet_max = 256,
	.request_classes = 1,
	.create = test_create,
	.destroy = test_destroy,
	.request_class = test_request_class,
	.open = test_open,
	.packet = test_packet,
	.stop = test_stop,
	.close = test_close,
	.pause = test_pause,
	.resume = test_resume,
};

static inline struct test_device *test_device(void)
{
	return vsp_device_priv(f->dev);
}

static inline bool has_stopped_once(void)
{
	return test_device()->stops == 1;
}

/* On the I/O thread: completes what the test VSP holds. */
static inline void complete_held(void *arg)
{
	struct vsp_channel *ch = arg;
	struct test_channel *c = vsp_channel_priv(ch);
	unsigned int count = c->held_count;

	c->held_count = 0;
	for (unsigned int i = 0; i < count; i++)
		vsp_send(ch, &c->held[i]->out);
}

/* ---- the VM -------------------------------------------------------------- */

static inline int port_send(void *ctx, uint32_t vp, uint32_t sint, const void *msg, uint32_t len)
{
	const struct vmbus_msg_header *h = msg;
	struct message *m = &f->messages[f->message_count++];

	assert_true(f->message_count <= MESSAGES_MAX);
	memcpy(m->data, msg, len);
	m->len = len;
	m->taken = false;
	if (h->type == VMBUS_MSG_OPEN_RESULT)
		f->open_result_seen = true;
	return 0;
}

static inline void port_flush(void *ctx)
{
}

static const struct bus_port_ops port = {.send = port_send, .flush = port_flush};

static inline void interrupt(void *ctx, uint32_t vp, uint32_t flag)
{
	if (!f->open_result_seen)
		f->irq_before_open_result = true;
	f->irq_vp = vp;
	f->irq_flag = flag;
	f->irqs++;
}

static uint32_t connection_relid(uint32_t connection_id)
{
	return connection_id & 0xFFF;
}

static inline int doorbell_add(void *ctx, uint32_t connection_id, int fd)
{
	uint32_t relid = connection_relid(connection_id);

	if (f->doorbell_error)
		return f->doorbell_error;
	assert_int_equal(f->doorbells[relid], -1);
	f->doorbells[relid] = fd;
	f->doorbell_count++;
	return 0;
}

static inline void doorbell_del(void *ctx, uint32_t connection_id, int fd)
{
	uint32_t relid = connection_relid(connection_id);

	assert_int_equal(f->doorbells[relid], fd);
	f->doorbells[relid] = -1;
	f->doorbell_count--;
}

static const struct vsp_host_ops host_ops = {
	.interrupt = interrupt,
	.doorbell_add = doorbell_add,
	.doorbell_del = doorbell_del,
};

/* ---- running the control loop -------------------------------------------- */

static inline void stay_awake(struct loop_task *task)
{
	f->awake = false;
}

static inline void watch(struct loop_hook *hook)
{
	if (f->until() || loop_now_ns() > f->deadline) {
		loop_stop(&f->control);
	} else if (!f->awake) {
		f->awake = true;
		loop_post(&f->control, &f->awake_task);
	}
}

static inline void run_until(bool (*until)(void))
{
	f->until = until;
	f->deadline = loop_now_ns() + WAIT_NS;
	loop_run(&f->control);
	assert_true(until());
}

static inline bool never(void)
{
	return false;
}

/* Long enough for what must not happen to happen. */
static inline void run_a_while(void)
{
	f->until = never;
	f->deadline = loop_now_ns() + 20000000;
	loop_run(&f->control);
}

/* ---- the guest: messages ------------------------------------------------- */

static uint32_t wanted_type;

static inline struct message *find(uint32_t type)
{
	for (unsigned int i = 0; i < f->message_count; i++) {
		struct message *m = &f->messages[i];

		if (!m->taken && ((struct vmbus_msg_header *)m->data)->type == type)
			return m;
	}
	return NULL;
}

static inline bool have_wanted(void)
{
	return find(wanted_type) != NULL;
}

/* Takes the oldest message of this type, waiting for it. */
static const void *expect(uint32_t type)
{
	struct message *m;

	wanted_type = type;
	run_until(have_wanted);
	m = find(type);
	m->taken = true;
	return m->data;
}

static inline void send_relid(uint32_t type, uint32_t relid)
{
	struct vmbus_relid_msg msg = {.h.type = type, .relid = relid};

	bus_message(f->bus, &msg, sizeof(msg));
}

static inline void connect_bus(void)
{
	struct vmbus_initiate_contact contact = {.h.type = VMBUS_MSG_INITIATE_CONTACT,
		.version = VMBUS_VERSION_WIN10_V5_3,
		.sint = VMBUS_SINT};
	struct vmbus_msg_header request = {.type = VMBUS_MSG_REQUEST_OFFERS};
	const struct vmbus_version_response *response;

	bus_message(f->bus, &contact, sizeof(contact));
	response = expect(VMBUS_MSG_VERSION_RESPONSE);
	assert_int_equal(response->version_supported, 1);
	bus_message(f->bus, &request, sizeof(request));
	expect(VMBUS_MSG_ALL_OFFERS_DELIVERED);
}

static inline void take_offer(struct guest_channel *c)
{
	const struct vmbus_offer *offer = expect(VMBUS_MSG_OFFER);

	c->relid = offer->relid;
	c->connection_id = offer->connection_id;
	c->index = offer->sub_channel_index;
}

static inline bool no_more(uint32_t type)
{
	return find(type) == NULL;
}

/* ---- the guest: channels ------------------------------------------------- */

static inline void *ring_page(const struct guest_channel *c, uint32_t page)
{
	return gmem_at(&f->gmem, c->pfns[page] << HV_PAGE_SHIFT, HV_PAGE_SIZE);
}

/* Fresh zeroed pages in descending order, so that no two are neighbours for the host. */
static inline void make_ring(struct guest_channel *c)
{
	const struct vmbus_gpa_range range = {.byte_count = 2 * RING_PAGES * HV_PAGE_SIZE};
	const struct vmbus_gpadl_header header = {
		.h.type = VMBUS_MSG_GPADL_HEADER,
		.relid = c->relid,
		.gpadl = 0xE1E10 + (uint32_t)f->next_pfn,
		.range_buflen = sizeof(range) + sizeof(c->pfns),
		.range_count = 1,
	};
	uint8_t msg[sizeof(header) + sizeof(range) + sizeof(c->pfns)];
	const struct vmbus_gpadl_created *created;

	f->next_pfn += 2 * RING_PAGES;
	for (uint32_t i = 0; i < 2 * RING_PAGES; i++)
		c->pfns[i] = f->next_pfn - 1 - i;
	c->gpadl = header.gpadl;
	memcpy(msg, &header, sizeof(header));
	memcpy(msg + sizeof(header), &range, sizeof(range));
	memcpy(msg + sizeof(header) + sizeof(range), c->pfns, sizeof(c->pfns));
	bus_message(f->bus, msg, sizeof(msg));
	created = expect(VMBUS_MSG_GPADL_CREATED);
	assert_int_equal(created->status, 0);
	for (uint32_t i = 0; i < 2 * RING_PAGES; i++)
		c->runs[i] = (struct vmbus_run){ring_page(c, i), HV_PAGE_SIZE};
	vmbus_tx_init_runs(&c->tx, ring_page(c, 0), &c->runs[1], RING_PAGES - 1);
	vmbus_rx_init_runs(
		&c->rx, ring_page(c, RING_PAGES), &c->runs[RING_PAGES + 1], RING_PAGES - 1);
}

static inline void send_open(struct guest_channel *c, uint32_t target_vp)
{
	struct vmbus_open msg = {.h.type = VMBUS_MSG_OPEN,
		.relid = c->relid,
		.open_id = c->relid,
		.ring_gpadl = c->gpadl,
		.target_vp = target_vp,
		.downstream_offset = RING_PAGES};

	f->open_result_seen = false;
	bus_message(f->bus, &msg, sizeof(msg));
}

static uint32_t open_status(void)
{
	const struct vmbus_open_result *result = expect(VMBUS_MSG_OPEN_RESULT);

	return result->status;
}

static inline void open_channel(struct guest_channel *c, uint32_t target_vp)
{
	make_ring(c);
	send_open(c, target_vp);
	assert_int_equal(open_status(), VMBUS_STATUS_SUCCESS);
}

static inline void send_teardown(struct guest_channel *c)
{
	struct vmbus_gpadl_teardown msg = {
		.h.type = VMBUS_MSG_GPADL_TEARDOWN, .relid = c->relid, .gpadl = c->gpadl};

	bus_message(f->bus, &msg, sizeof(msg));
}

/* As Linux does: CLOSE and TEARDOWN back to back. */
static inline void close_channel(struct guest_channel *c)
{
	send_relid(VMBUS_MSG_CLOSE, c->relid);
	send_teardown(c);
	expect(VMBUS_MSG_GPADL_TORNDOWN);
	assert_int_equal(f->doorbells[c->relid], -1);
}

static inline void guest_signal(struct guest_channel *c)
{
	if (f->doorbells[c->relid] >= 0)
		loop_event_signal(f->doorbells[c->relid]);
}

static inline int guest_send_bytes(
	struct guest_channel *c, uint64_t id, const void *bytes, uint32_t len)
{
	struct vmbus_vec vec = {bytes, len};
	int rc = vmbus_tx_write(
		&c->tx, VMBUS_PKT_INBAND, VMBUS_PKT_FLAG_COMPLETION_REQUESTED, id, NULL, &vec, 1);

	if (vmbus_tx_commit(&c->tx))
		guest_signal(c);
	return rc;
}

static inline int guest_send(struct guest_channel *c, uint64_t id)
{
	return guest_send_bytes(c, id, "12345678", 8);
}

static struct guest_channel *receiver;

static inline bool have_packet(void)
{
	return vmbus_rx_pending(&receiver->rx);
}

/* Takes one packet, waiting for it. */
static inline void guest_receive(struct guest_channel *c, struct vmbus_pkt *pkt)
{
	static uint8_t buf[4096];

	receiver = c;
	run_until(have_packet);
	assert_int_equal(vmbus_rx_next(&c->rx, pkt, buf, sizeof(buf)), 0);
	if (vmbus_rx_commit(&c->rx))
		guest_signal(c);
}

static inline void guest_expect_completion(struct guest_channel *c, uint64_t id)
{
	struct vmbus_pkt pkt;

	guest_receive(c, &pkt);
	assert_int_equal(pkt.desc.type, VMBUS_PKT_COMPLETION);
	assert_int_equal(pkt.desc.trans_id, id);
}

/* ---- fixture ------------------------------------------------------------- */

static const struct hv_guid instance = HV_GUID(0xabcd, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10);

static inline int setup(void **state)
{
	struct bus_config config;

	f = calloc(1, sizeof(*f));
	assert_int_equal(gmem_create(&f->gmem, MEMORY, NULL), 0);
	config = (struct bus_config){.gmem = &f->gmem,
		.vp_count = VPS,
		.max_version = VMBUS_VERSION_WIN10_V5_3,
		.gpadl_pages_max = 4096,
		.port = &port};
	assert_int_equal(bus_create(&f->bus, &config), 0);
	assert_int_equal(loop_init(&f->control, "control", NULL), 0);
	f->watch.fn = watch;
	f->awake_task.fn = stay_awake;
	loop_hook_add(&f->control, &f->watch);
	for (int i = 0; i < IO_THREADS; i++) {
		assert_int_equal(loop_init(&f->io_thread[i], "io", NULL), 0);
		assert_int_equal(loop_start(&f->io_thread[i]), 0);
		f->io_threads[i] = &f->io_thread[i];
	}
	memset(f->doorbells, -1, sizeof(f->doorbells));
	f->host = (struct vsp_host){.gmem = &f->gmem,
		.bus = f->bus,
		.control = &f->control,
		.io_threads = f->io_threads,
		.io_thread_count = IO_THREADS,
		.vp_count = VPS,
		.ops = &host_ops};
	return 0;
}

/* As a VM does: all is freed inside the callback. */
static inline void on_shut(void *ctx)
{
	f->shut = true;
	if (f->dev)
		vsp_device_destroy(f->dev);
	f->dev = NULL;
	if (f->detach)
		f->detach();
	bus_destroy(f->bus);
}

static inline bool is_shut(void)
{
	return f->shut;
}

static inline int teardown(void **state)
{
	bus_shutdown(f->bus, on_shut, NULL);
	run_until(is_shut);
	assert_int_equal(f->doorbell_count, 0);
	for (int i = 0; i < IO_THREADS; i++) {
		loop_stop(&f->io_thread[i]);
		loop_join(&f->io_thread[i]);
		loop_fini(&f->io_thread[i]);
	}
	loop_fini(&f->control);
	gmem_destroy(&f->gmem);
	free(f);
	return 0;
}

/* As a VM does: of vsp_device_remove(). */
static inline void on_removed(void *ctx)
{
	f->removed = true;
	vsp_device_destroy(f->dev);
	f->dev = NULL;
}

static inline bool is_removed(void)
{
	return f->removed;
}

static inline void create_test_device(struct test_config config)
{
	if (!config.requests)
		config.requests = 8;
	assert_int_equal(
		vsp_device_create(&f->dev, &f->host, &test_ops, &instance, &config, NULL), 0);
	connect_bus();
	take_offer(&f->chan[0]);
}

static inline void create_null_device(const struct null_config *config)
{
	assert_int_equal(
		vsp_device_create(&f->dev, &f->host, &null_ops, &instance, config, NULL), 0);
	connect_bus();
	take_offer(&f->chan[0]);
}

#endif
