/* SPDX-License-Identifier: MIT */
/*
 * The VSP core between a real bus and real worker threads. The test is the
 * guest and the machine: it runs the control loop on its own thread until
 * something it waits for has happened.
 */
#include "vsp/vsp.h"

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

#define WORKERS      2
#define VPS          4
#define RING_PAGES   4 /* each way */
#define MESSAGES_MAX 256
#define WAIT_NS      4000000000ull
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
	uint8_t *view;
	bool mapped;
	uint64_t pfns[2 * RING_PAGES];
	struct vmbus_tx tx;
	struct vmbus_rx rx;
};

struct fixture {
	struct loop control;
	struct loop worker[WORKERS];
	struct loop *workers[WORKERS];
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

	/* from workers */
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

/* ---- the test VSP ---------------------------------------------------------------- */

struct test_config {
	int create_error;
	int open_error;
	bool send_in_open;
	bool hold;         /* keeps requests until test_let_go() */
	uint16_t subs;     /* offered at the first packet */
	uint32_t requests; /* per channel */
};

struct test_device {
	struct test_config config;
	_Atomic unsigned int opens, closes, packets, stalls;
	_Atomic unsigned int worker_opens[WORKERS];
};

struct test_request {
	struct chan_out out;
	struct vsp_channel *ch;
	uint64_t marker;
};

struct test_channel {
	struct test_request *held[64];
	unsigned int held_count;
	bool closing, subs_offered;
	struct chan_out greeting;
};

static int test_create(struct vsp_device *dev, const void *config, struct err *e)
{
	struct test_device *d = vsp_device_priv(dev);

	d->config = *(const struct test_config *)config;
	return d->config.create_error ? err_set(e, d->config.create_error, "test: no") : 0;
}

static void test_destroy(struct vsp_device *dev)
{
}

static size_t test_request_size(struct vsp_device *dev, uint32_t *count)
{
	struct test_device *d = vsp_device_priv(dev);

	*count = d->config.requests;
	return sizeof(struct test_request) - 3; /* must be rounded up */
}

static int test_open(struct vsp_channel *ch)
{
	struct test_device *d = vsp_device_priv(vsp_channel_device(ch));
	struct test_channel *c = vsp_channel_priv(ch);

	assert_int_equal(c->held_count, 0); /* zeroed */
	assert_true((uintptr_t)c % 16 == 0);
	for (unsigned int i = 0; i < WORKERS; i++)
		d->worker_opens[i] += loop_is_current(&f->worker[i]);
	d->opens++;
	if (d->config.send_in_open) {
		c->greeting = (struct chan_out){.type = VMBUS_PKT_INBAND,
			.trans_id = 99,
			.payload = "hi",
			.payload_len = 2};
		chan_send(vsp_channel_chan(ch), &c->greeting);
	}
	return d->config.open_error;
}

static void test_close(struct vsp_channel *ch)
{
	struct test_device *d = vsp_device_priv(vsp_channel_device(ch));
	struct test_channel *c = vsp_channel_priv(ch);

	d->closes++;
	c->closing = true;
	if (!vsp_requests_in_use(ch))
		vsp_channel_closed(ch);
}

static void test_sent(struct chan *chan, struct chan_out *out)
{
	struct test_request *r = container_of(out, struct test_request, out);
	struct vsp_channel *ch = r->ch;
	struct test_channel *c = vsp_channel_priv(ch);

	vsp_request_put(ch, r);
	if (c->closing && !vsp_requests_in_use(ch))
		vsp_channel_closed(ch);
}

static int test_packet(struct vsp_channel *ch, const struct vmbus_pkt *pkt)
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
	r = vsp_request_get(ch);
	if (!r) {
		d->stalls++;
		return -EAGAIN;
	}
	assert_true((uintptr_t)r % 16 == 0);
	d->packets++;
	r->ch = ch;
	r->out = (struct chan_out){.type = VMBUS_PKT_COMPLETION,
		.trans_id = pkt->desc.trans_id,
		.payload = &r->marker,
		.payload_len = 8,
		.sent = test_sent};
	if (d->config.hold)
		c->held[c->held_count++] = r;
	else
		chan_send(vsp_channel_chan(ch), &r->out);
	return 0;
}

static const struct vsp_ops test_ops = {
	.name = "test",
	.class_id = HV_GUID(0x11111111, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11),
	.device_size = sizeof(struct test_device),
	.channel_size = sizeof(struct test_channel),
	.packet_max = 256,
	.create = test_create,
	.destroy = test_destroy,
	.request_size = test_request_size,
	.open = test_open,
	.close = test_close,
	.packet = test_packet,
};

static struct test_device *test_device(void)
{
	return vsp_device_priv(f->dev);
}

/* On the worker: completes what the test VSP holds. */
static void let_go(void *arg)
{
	struct vsp_channel *ch = arg;
	struct test_channel *c = vsp_channel_priv(ch);
	struct chan *chan = vsp_channel_chan(ch);
	unsigned int count = c->held_count;

	c->held_count = 0;
	for (unsigned int i = 0; i < count; i++)
		chan_send(chan, &c->held[i]->out);
}

/* ---- the machine ----------------------------------------------------------------- */

static int port_send(void *ctx, uint32_t vp, uint32_t sint, const void *msg, uint32_t len)
{
	const struct vmbus_msg_header *h = msg;
	struct message *m = &f->messages[f->message_count++];

	assert_true(f->message_count <= MESSAGES_MAX);
	memcpy(m->data, msg, len);
	m->len = len;
	if (h->type == VMBUS_MSG_OPEN_RESULT)
		f->open_result_seen = true;
	return 0;
}

static void port_flush(void *ctx)
{
}

static const struct bus_port_ops port = {.send = port_send, .flush = port_flush};

static void raise_irq(void *ctx, uint32_t vp, uint32_t flag)
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

static int doorbell_add(void *ctx, uint32_t connection_id, int fd)
{
	uint32_t relid = connection_relid(connection_id);

	if (f->doorbell_error)
		return f->doorbell_error;
	assert_int_equal(f->doorbells[relid], -1);
	f->doorbells[relid] = fd;
	f->doorbell_count++;
	return 0;
}

static void doorbell_del(void *ctx, uint32_t connection_id, int fd)
{
	uint32_t relid = connection_relid(connection_id);

	assert_int_equal(f->doorbells[relid], fd);
	f->doorbells[relid] = -1;
	f->doorbell_count--;
}

/* ---- running the control loop ---------------------------------------------------- */

static void stay_awake(struct loop_task *task)
{
	f->awake = false;
}

static void watch(struct loop_hook *hook)
{
	if (f->until() || loop_now_ns() > f->deadline) {
		loop_stop(&f->control);
	} else if (!f->awake) {
		f->awake = true;
		loop_post(&f->control, &f->awake_task);
	}
}

static void run_until(bool (*until)(void))
{
	f->until = until;
	f->deadline = loop_now_ns() + WAIT_NS;
	loop_run(&f->control);
	assert_true(until());
}

static bool never(void)
{
	return false;
}

/* Long enough for what must not happen to happen. */
static void run_a_while(void)
{
	f->until = never;
	f->deadline = loop_now_ns() + 20000000;
	loop_run(&f->control);
}

/* ---- the guest: messages --------------------------------------------------------- */

static uint32_t wanted_type;

static struct message *find(uint32_t type)
{
	for (unsigned int i = 0; i < f->message_count; i++) {
		struct message *m = &f->messages[i];

		if (!m->taken && ((struct vmbus_msg_header *)m->data)->type == type)
			return m;
	}
	return NULL;
}

static bool have_wanted(void)
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

static void send_relid(uint32_t type, uint32_t relid)
{
	struct vmbus_relid_msg msg = {.h.type = type, .relid = relid};

	bus_message(f->bus, &msg, sizeof(msg));
}

static void connect_bus(void)
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

static void take_offer(struct guest_channel *c)
{
	const struct vmbus_offer *offer = expect(VMBUS_MSG_OFFER);

	c->relid = offer->relid;
	c->connection_id = offer->connection_id;
	c->index = offer->sub_channel_index;
}

static bool no_more(uint32_t type)
{
	return find(type) == NULL;
}

/* ---- the guest: channels --------------------------------------------------------- */

/* Fresh zeroed pages in descending order, so that the host has to map them one by one. */
static void make_ring(struct guest_channel *c)
{
	struct {
		struct vmbus_gpadl_header h;
		struct vmbus_gpa_range range;
		uint64_t pfns[2 * RING_PAGES];
	} HV_PACKED msg = {
		.h = {.h.type = VMBUS_MSG_GPADL_HEADER,
			.relid = c->relid,
			.gpadl = 0xE1E10 + (uint32_t)f->next_pfn,
			.range_buflen = sizeof(msg.range) + sizeof(msg.pfns),
			.range_count = 1},
		.range = {.byte_count = 2 * RING_PAGES * HV_PAGE_SIZE},
	};
	const struct vmbus_gpadl_created *created;

	f->next_pfn += 2 * RING_PAGES;
	for (uint32_t i = 0; i < 2 * RING_PAGES; i++)
		msg.pfns[i] = c->pfns[i] = f->next_pfn - 1 - i;
	c->gpadl = msg.h.gpadl;
	bus_message(f->bus, &msg, sizeof(msg));
	created = expect(VMBUS_MSG_GPADL_CREATED);
	assert_int_equal(created->status, 0);
	c->view = gmem_map_pages(&f->gmem, c->pfns, 2 * RING_PAGES, &c->mapped);
	assert_non_null(c->view);
	vmbus_tx_init(&c->tx, c->view, RING_PAGES * HV_PAGE_SIZE);
	vmbus_rx_init(&c->rx, c->view + RING_PAGES * HV_PAGE_SIZE, RING_PAGES * HV_PAGE_SIZE);
}

static void send_open(struct guest_channel *c, uint32_t target_vp)
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

static void open_channel(struct guest_channel *c, uint32_t target_vp)
{
	make_ring(c);
	send_open(c, target_vp);
	assert_int_equal(open_status(), VMBUS_STATUS_SUCCESS);
}

static void unmap_ring(struct guest_channel *c)
{
	if (c->view)
		gmem_unmap_pages(c->view, 2 * RING_PAGES, c->mapped);
	c->view = NULL;
}

static void send_teardown(struct guest_channel *c)
{
	struct vmbus_gpadl_teardown msg = {
		.h.type = VMBUS_MSG_GPADL_TEARDOWN, .relid = c->relid, .gpadl = c->gpadl};

	bus_message(f->bus, &msg, sizeof(msg));
}

/* As Linux does: CLOSE and TEARDOWN back to back. */
static void close_channel(struct guest_channel *c)
{
	send_relid(VMBUS_MSG_CLOSE, c->relid);
	send_teardown(c);
	expect(VMBUS_MSG_GPADL_TORNDOWN);
	assert_int_equal(f->doorbells[c->relid], -1);
	unmap_ring(c);
}

static void guest_signal(struct guest_channel *c)
{
	if (f->doorbells[c->relid] >= 0)
		loop_event_signal(f->doorbells[c->relid]);
}

static int guest_send_bytes(struct guest_channel *c, uint64_t id, const void *bytes, uint32_t len)
{
	struct vmbus_vec vec = {bytes, len};
	int rc = vmbus_tx_write(
		&c->tx, VMBUS_PKT_INBAND, VMBUS_PKT_FLAG_COMPLETION_REQUESTED, id, NULL, &vec, 1);

	if (vmbus_tx_commit(&c->tx))
		guest_signal(c);
	return rc;
}

static int guest_send(struct guest_channel *c, uint64_t id)
{
	return guest_send_bytes(c, id, "12345678", 8);
}

static struct guest_channel *receiver;

static bool have_packet(void)
{
	return vmbus_rx_pending(&receiver->rx);
}

/* Takes one packet, waiting for it. */
static void guest_receive(struct guest_channel *c, struct vmbus_pkt *pkt)
{
	static uint8_t buf[4096];

	receiver = c;
	run_until(have_packet);
	assert_int_equal(vmbus_rx_next(&c->rx, pkt, buf, sizeof(buf)), 0);
	if (vmbus_rx_commit(&c->rx))
		guest_signal(c);
}

static void guest_expect_completion(struct guest_channel *c, uint64_t id)
{
	struct vmbus_pkt pkt;

	guest_receive(c, &pkt);
	assert_int_equal(pkt.desc.type, VMBUS_PKT_COMPLETION);
	assert_int_equal(pkt.desc.trans_id, id);
}

/* ---- fixture --------------------------------------------------------------------- */

static const struct hv_guid instance = HV_GUID(0xabcd, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10);

static int setup(void **state)
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
	for (int i = 0; i < WORKERS; i++) {
		assert_int_equal(loop_init(&f->worker[i], "worker", NULL), 0);
		assert_int_equal(loop_start(&f->worker[i]), 0);
		f->workers[i] = &f->worker[i];
	}
	memset(f->doorbells, -1, sizeof(f->doorbells));
	f->host = (struct vsp_host){.gmem = &f->gmem,
		.bus = f->bus,
		.control = &f->control,
		.workers = f->workers,
		.worker_count = WORKERS,
		.vp_count = VPS,
		.irq = {raise_irq, NULL},
		.doorbell_add = doorbell_add,
		.doorbell_del = doorbell_del};
	return 0;
}

/* As a machine does: all is freed inside the callback. */
static void on_shut(void *ctx)
{
	f->shut = true;
	if (f->dev)
		vsp_device_destroy(f->dev);
	f->dev = NULL;
	bus_destroy(f->bus);
}

static bool is_shut(void)
{
	return f->shut;
}

static int teardown(void **state)
{
	bus_shutdown(f->bus, on_shut, NULL);
	run_until(is_shut);
	assert_int_equal(f->doorbell_count, 0);
	for (int i = 0; i < WORKERS; i++) {
		loop_stop(&f->worker[i]);
		loop_join(&f->worker[i]);
		loop_fini(&f->worker[i]);
	}
	for (size_t i = 0; i < sizeof(f->chan) / sizeof(*f->chan); i++)
		unmap_ring(&f->chan[i]);
	loop_fini(&f->control);
	gmem_destroy(&f->gmem);
	free(f);
	return 0;
}

static void create_test_device(struct test_config config)
{
	if (!config.requests)
		config.requests = 8;
	assert_int_equal(
		vsp_device_create(&f->dev, &f->host, &test_ops, &instance, &config, NULL), 0);
	connect_bus();
	take_offer(&f->chan[0]);
}

static void create_null_device(void)
{
	assert_int_equal(vsp_device_create(&f->dev, &f->host, &null_ops, &instance, NULL, NULL), 0);
	connect_bus();
	take_offer(&f->chan[0]);
}

/* ---- devices --------------------------------------------------------------------- */

static void an_instance_is_offered_once(void **state)
{
	struct vsp_device *dev = NULL;
	struct err e = {""};

	create_null_device();
	assert_int_equal(
		vsp_device_create(&dev, &f->host, &null_ops, &instance, NULL, &e), -EEXIST);
	assert_null(dev);
	assert_true(strlen(e.text) > 0);
	assert_memory_equal(vsp_device_instance(f->dev), &instance, sizeof(instance));
	assert_null(vsp_device_primary(f->dev));
}

static void a_device_that_cannot_be_created_is_not_offered(void **state)
{
	const struct test_config config = {.create_error = -ENODEV};
	struct vsp_device *dev;
	struct err e;

	assert_int_equal(
		vsp_device_create(&dev, &f->host, &test_ops, &instance, &config, &e), -ENODEV);
	assert_string_equal(e.text, "test: no");
	connect_bus();
	assert_true(no_more(VMBUS_MSG_OFFER));
}

/* ---- the null VSP ---------------------------------------------------------------- */

static void null_echoes(void **state)
{
	struct guest_channel *c = &f->chan[0];
	struct vmbus_pkt pkt;
	uint8_t bytes[NULL_PAYLOAD_MAX];

	create_null_device();
	open_channel(c, 1);
	for (unsigned int i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 7);
	assert_int_equal(guest_send_bytes(c, 0x1234567890abcdef, bytes, sizeof(bytes)), 0);
	guest_receive(c, &pkt);
	assert_int_equal(pkt.desc.type, VMBUS_PKT_COMPLETION);
	assert_int_equal(pkt.desc.trans_id, 0x1234567890abcdef);
	assert_int_equal(pkt.payload_len, sizeof(bytes));
	assert_memory_equal(pkt.payload, bytes, sizeof(bytes));
	assert_int_equal(f->irq_vp, 1);
	assert_int_equal(f->irq_flag, c->relid);
	close_channel(c);
}

static void null_answers_only_when_asked(void **state)
{
	struct guest_channel *c = &f->chan[0];

	create_null_device();
	open_channel(c, 0);
	assert_int_equal(vmbus_tx_write(&c->tx, VMBUS_PKT_INBAND, 0, 5, NULL, NULL, 0), 0);
	assert_int_equal(guest_send(c, 6), 0);
	guest_expect_completion(c, 6);
}

/* The guest sends without reading: requests run out, then both rings fill. Nothing is lost. */
static void null_survives_a_guest_that_does_not_read(void **state)
{
	struct guest_channel *c = &f->chan[0];
	uint8_t bytes[NULL_PAYLOAD_MAX] = {0};
	uint64_t sent = 0, received = 0;

	create_null_device();
	open_channel(c, 0);
	while (!guest_send_bytes(c, sent, bytes, sizeof(bytes)))
		sent++;
	run_a_while();
	while (!guest_send_bytes(c, sent, bytes, sizeof(bytes)))
		sent++;
	assert_true(sent > 80);
	while (received < sent)
		guest_expect_completion(c, received++);
	assert_int_equal(guest_send(c, received), 0);
	guest_expect_completion(c, received);
}

/* Full rings and waiting packets do not keep a channel from closing. */
static void a_full_channel_closes(void **state)
{
	struct guest_channel *c = &f->chan[0];
	uint8_t bytes[NULL_PAYLOAD_MAX] = {0};
	uint64_t sent = 0;

	create_null_device();
	open_channel(c, 0);
	for (int i = 0; i < 3; i++) {
		while (!guest_send_bytes(c, sent, bytes, sizeof(bytes)))
			sent++;
		run_a_while();
	}
	close_channel(c);
	open_channel(c, 0);
	assert_int_equal(guest_send(c, 1), 0);
	guest_expect_completion(c, 1);
}

/* ---- opening and closing --------------------------------------------------------- */

static void reopens_many_times(void **state)
{
	struct guest_channel *c = &f->chan[0];

	create_test_device((struct test_config){0});
	for (unsigned int i = 0; i < 20; i++) {
		f->next_pfn = 0;
		memset(f->gmem.base, 0, MEMORY);
		open_channel(c, i % VPS);
		assert_non_null(vsp_device_primary(f->dev));
		assert_int_equal(vsp_channel_index(vsp_device_primary(f->dev)), 0);
		assert_int_equal(guest_send(c, i), 0);
		guest_expect_completion(c, i);
		close_channel(c);
		assert_null(vsp_device_primary(f->dev));
	}
	assert_int_equal(test_device()->opens, 20);
	assert_int_equal(test_device()->closes, 20);
	assert_int_equal(test_device()->worker_opens[0], 10);
	assert_int_equal(test_device()->worker_opens[1], 10);
}

static void no_interrupt_before_the_open_result(void **state)
{
	struct guest_channel *c = &f->chan[0];
	struct vmbus_pkt pkt;

	create_test_device((struct test_config){.send_in_open = true});
	for (int i = 0; i < 20; i++) {
		f->next_pfn = 0;
		memset(f->gmem.base, 0, MEMORY);
		open_channel(c, 2);
		guest_receive(c, &pkt);
		assert_int_equal(pkt.desc.trans_id, 99);
		close_channel(c);
	}
	assert_false(f->irq_before_open_result);
	assert_int_equal(f->irqs, 20);
}

static void a_vsp_may_refuse_to_open(void **state)
{
	struct guest_channel *c = &f->chan[0];

	create_test_device((struct test_config){.open_error = -EBUSY, .send_in_open = true});
	make_ring(c);
	send_open(c, 0);
	assert_int_not_equal(open_status(), VMBUS_STATUS_SUCCESS);
	assert_int_equal(f->doorbell_count, 0);
	send_teardown(c);
	expect(VMBUS_MSG_GPADL_TORNDOWN); /* no reference is left */
	assert_int_equal(test_device()->closes, 0);
	assert_int_equal(f->irqs, 0);
}

static void no_doorbell_no_open(void **state)
{
	struct guest_channel *c = &f->chan[0];

	create_test_device((struct test_config){0});
	f->doorbell_error = -ENOSPC;
	make_ring(c);
	send_open(c, 0);
	assert_int_not_equal(open_status(), VMBUS_STATUS_SUCCESS);
	f->doorbell_error = 0;
	send_open(c, 0);
	assert_int_equal(open_status(), VMBUS_STATUS_SUCCESS);
	assert_int_equal(test_device()->opens, 1);
	close_channel(c);
}

static void a_bad_ring_is_not_opened(void **state)
{
	struct guest_channel *c = &f->chan[0];

	create_test_device((struct test_config){0});
	make_ring(c);
	((struct vmbus_ring_ctl *)c->view)->write_index = RING_PAGES * HV_PAGE_SIZE;
	send_open(c, 0);
	assert_int_not_equal(open_status(), VMBUS_STATUS_SUCCESS);
	assert_int_equal(test_device()->opens, 0);
	send_teardown(c);
	expect(VMBUS_MSG_GPADL_TORNDOWN);
}

static bool holds_2(void)
{
	return test_device()->packets == 2;
}

static bool has_closed_once(void)
{
	return test_device()->closes == 1;
}

/* The guest's memory is in use until the VSP has let go. */
static void closing_waits_for_requests(void **state)
{
	struct guest_channel *c = &f->chan[0];
	struct vsp_channel *ch;

	create_test_device((struct test_config){.hold = true});
	open_channel(c, 1);
	ch = vsp_device_primary(f->dev);
	guest_send(c, 1);
	guest_send(c, 2);
	run_until(holds_2);
	send_relid(VMBUS_MSG_CLOSE, c->relid);
	send_teardown(c);
	run_until(has_closed_once);
	guest_send(c, 3);
	run_a_while();
	assert_true(no_more(VMBUS_MSG_GPADL_TORNDOWN));
	assert_int_equal(test_device()->packets, 2);
	loop_call(&f->worker[1], let_go, ch);
	expect(VMBUS_MSG_GPADL_TORNDOWN);
	guest_expect_completion(c, 1);
	guest_expect_completion(c, 2);
}

static void close_right_after_open(void **state)
{
	struct guest_channel *c = &f->chan[0];

	create_test_device((struct test_config){.send_in_open = true});
	for (int i = 0; i < 20; i++) {
		f->next_pfn = 0;
		memset(f->gmem.base, 0, MEMORY);
		make_ring(c);
		send_open(c, 0);
		send_relid(VMBUS_MSG_CLOSE, c->relid);
		send_teardown(c);
		open_status();
		expect(VMBUS_MSG_GPADL_TORNDOWN);
		unmap_ring(c);
	}
	assert_int_equal(test_device()->opens, test_device()->closes);
}

static bool has_stalled(void)
{
	return test_device()->stalls > 0;
}

static void requests_run_out_and_come_back(void **state)
{
	struct guest_channel *c = &f->chan[0];
	struct vsp_channel *ch;

	create_test_device((struct test_config){.hold = true, .requests = 2});
	open_channel(c, 0);
	ch = vsp_device_primary(f->dev);
	for (uint64_t id = 0; id < 6; id++)
		guest_send(c, id);
	run_until(has_stalled);
	for (uint64_t id = 0; id < 6; id += 2) {
		run_a_while();
		assert_int_equal(test_device()->packets, id + 2);
		loop_call(&f->worker[0], let_go, ch);
		guest_expect_completion(c, id);
		guest_expect_completion(c, id + 1);
	}
	close_channel(c);
}

static bool moved(void)
{
	return f->irq_vp == 3;
}

static void interrupts_move_to_another_vp(void **state)
{
	struct guest_channel *c = &f->chan[0];
	struct vmbus_modify_channel msg = {.h.type = VMBUS_MSG_MODIFY_CHANNEL, .target_vp = 3};
	const struct vmbus_modify_channel_response *response;

	create_test_device((struct test_config){0});
	open_channel(c, 1);
	guest_send(c, 1);
	guest_expect_completion(c, 1);
	assert_int_equal(f->irq_vp, 1);
	msg.relid = c->relid;
	bus_message(f->bus, &msg, sizeof(msg));
	response = expect(VMBUS_MSG_MODIFY_CHANNEL_RESPONSE);
	assert_int_equal(response->status, 0);
	guest_send(c, 2);
	guest_expect_completion(c, 2);
	run_until(moved);
	/* And with CLOSE right behind. */
	msg.target_vp = 0;
	bus_message(f->bus, &msg, sizeof(msg));
	close_channel(c);
}

/* ---- sub-channels
 * ------------------------------------------------------------------------------------------------
 */

static void open_with_two_subs(struct test_config config)
{
	config.subs = 2;
	create_test_device(config);
	open_channel(&f->chan[0], 0);
	guest_send(&f->chan[0], 1);
	guest_expect_completion(&f->chan[0], 1);
	take_offer(&f->chan[1]);
	take_offer(&f->chan[2]);
	assert_int_equal(f->chan[1].index, 1);
	assert_int_equal(f->chan[2].index, 2);
	open_channel(&f->chan[1], 1);
	open_channel(&f->chan[2], 2);
}

static void expect_rescind_and_release(uint32_t relid)
{
	const struct vmbus_relid_msg *rescind = expect(VMBUS_MSG_RESCIND);

	assert_int_equal(rescind->relid, relid);
	send_relid(VMBUS_MSG_RELID_RELEASED, relid);
}

static void sub_channels_come_and_go_with_the_primary(void **state)
{
	open_with_two_subs((struct test_config){0});
	for (uint64_t i = 0; i < 3; i++) {
		guest_send(&f->chan[i], 50 + i);
		guest_expect_completion(&f->chan[i], 50 + i);
		run_a_while();
		assert_int_equal(f->irq_flag, f->chan[i].relid);
	}
	assert_int_equal(test_device()->worker_opens[0], 2);
	assert_int_equal(test_device()->worker_opens[1], 1);
	assert_true(no_more(VMBUS_MSG_OFFER));

	send_relid(VMBUS_MSG_CLOSE, f->chan[0].relid);
	expect_rescind_and_release(f->chan[1].relid);
	expect_rescind_and_release(f->chan[2].relid);
	assert_true(no_more(VMBUS_MSG_RESCIND));
	send_teardown(&f->chan[0]);
	expect(VMBUS_MSG_GPADL_TORNDOWN);
	for (int i = 0; i < 3; i++)
		unmap_ring(&f->chan[i]);
	assert_int_equal(f->doorbell_count, 0);

	/* Opened again, the primary has new ones. */
	open_channel(&f->chan[0], 0);
	guest_send(&f->chan[0], 1);
	guest_expect_completion(&f->chan[0], 1);
	take_offer(&f->chan[1]);
	assert_int_equal(f->chan[1].index, 1);
}

/* The offers are on their way to the control thread when the primary closes. */
static void sub_channels_lose_the_race_against_close(void **state)
{
	struct guest_channel *c = &f->chan[0];

	create_test_device((struct test_config){.subs = 3});
	for (int i = 0; i < 10; i++) {
		f->next_pfn = 0;
		memset(f->gmem.base, 0, MEMORY);
		open_channel(c, 0);
		guest_send(c, 1);
		send_relid(VMBUS_MSG_CLOSE, c->relid);
		send_teardown(c);
		expect(VMBUS_MSG_GPADL_TORNDOWN);
		unmap_ring(c);
	}
	assert_true(no_more(VMBUS_MSG_OFFER));
}

/* ---- faults
 * --------------------------------------------------------------------------------------------------------
 */

static void break_ring(struct guest_channel *c)
{
	__atomic_store_n(&((struct vmbus_ring_ctl *)c->view)->write_index, 4, __ATOMIC_RELAXED);
	guest_signal(c);
}

static void a_fault_rescinds_and_offers_again(void **state)
{
	struct guest_channel *c = &f->chan[0];
	uint64_t start = loop_now_ns();

	create_test_device((struct test_config){0});
	open_channel(c, 0);
	break_ring(c);
	expect_rescind_and_release(c->relid);
	assert_int_equal(test_device()->closes, 1);
	assert_int_equal(f->doorbell_count, 0);
	assert_int_equal(vsp_device_faults(f->dev), 1);
	unmap_ring(c);
	take_offer(c);
	assert_true(loop_now_ns() - start >= VSP_REOFFER_NS);
	open_channel(c, 0);
	guest_send(c, 3);
	guest_expect_completion(c, 3);
}

static void a_sub_channels_fault_takes_the_device(void **state)
{
	open_with_two_subs((struct test_config){0});
	break_ring(&f->chan[2]);
	expect_rescind_and_release(f->chan[1].relid);
	expect_rescind_and_release(f->chan[2].relid);
	expect_rescind_and_release(f->chan[0].relid);
	assert_int_equal(test_device()->closes, 3);
	assert_int_equal(vsp_device_faults(f->dev), 1);
}

/* The packet that faults and the CLOSE arrive together, in both orders. */
static void a_fault_while_closing(void **state)
{
	struct guest_channel *c = &f->chan[0];

	create_test_device((struct test_config){0});
	open_channel(c, 0);
	break_ring(c);
	send_relid(VMBUS_MSG_CLOSE, c->relid);
	send_teardown(c);
	expect(VMBUS_MSG_GPADL_TORNDOWN);
	unmap_ring(c);
	assert_int_equal(test_device()->closes, 1);
}

static void a_fault_in_open(void **state)
{
	struct guest_channel *c = &f->chan[0];
	struct vmbus_ring_ctl *h2g;

	create_test_device((struct test_config){.hold = true});
	open_channel(c, 0);
	h2g = (void *)(c->view + RING_PAGES * HV_PAGE_SIZE);
	__atomic_store_n(&h2g->read_index, 4, __ATOMIC_RELAXED);
	guest_send(c, 1);
	guest_send(c, 2);
	run_until(holds_2);
	/* Completing many packets reads the index again when the ring looks full; here it never
	 * does, so the lie is not noticed and the channel closes as usual. */
	loop_call(&f->worker[0], let_go, vsp_device_primary(f->dev));
	close_channel(c);
}

/* ---- the end
 * ---------------------------------------------------------------------------------------------------------
 */

static void on_removed(void *ctx)
{
	f->removed = true;
	vsp_device_destroy(f->dev);
	f->dev = NULL;
}

static bool is_removed(void)
{
	return f->removed;
}

static void hot_remove_of_an_open_device(void **state)
{
	create_null_device();
	open_channel(&f->chan[0], 0);
	vsp_device_remove(f->dev, on_removed, NULL);
	expect(VMBUS_MSG_RESCIND);
	assert_false(f->removed);
	assert_int_equal(f->doorbell_count, 0);
	send_relid(VMBUS_MSG_RELID_RELEASED, f->chan[0].relid);
	run_until(is_removed);
}

static void hot_remove_of_an_unknown_device(void **state)
{
	assert_int_equal(vsp_device_create(&f->dev, &f->host, &null_ops, &instance, NULL, NULL), 0);
	vsp_device_remove(f->dev, on_removed, NULL);
	assert_true(f->removed);
}

static void hot_remove_while_waiting_to_be_offered_again(void **state)
{
	create_null_device();
	open_channel(&f->chan[0], 0);
	break_ring(&f->chan[0]);
	expect_rescind_and_release(f->chan[0].relid);
	vsp_device_remove(f->dev, on_removed, NULL);
	assert_true(f->removed);
}

/* teardown() shuts the bus down with everything in flight. */
static void shutdown_with_open_channels(void **state)
{
	open_with_two_subs((struct test_config){0});
	for (int i = 0; i < 3; i++) {
		for (uint64_t id = 0; id < 20; id++)
			guest_send(&f->chan[i], id);
	}
}

static void shutdown_while_opening(void **state)
{
	create_test_device((struct test_config){.send_in_open = true});
	make_ring(&f->chan[0]);
	send_open(&f->chan[0], 0);
}

static void shutdown_after_a_fault(void **state)
{
	create_test_device((struct test_config){0});
	open_channel(&f->chan[0], 0);
	break_ring(&f->chan[0]);
	expect(VMBUS_MSG_RESCIND);
}

/* A crashed guest's new kernel on a live connection. */
static void a_new_kernel_takes_over(void **state)
{
	open_with_two_subs((struct test_config){0});
	connect_bus();
	take_offer(&f->chan[3]);
	assert_true(no_more(VMBUS_MSG_OFFER));
	assert_int_equal(f->doorbell_count, 0);
	open_channel(&f->chan[3], 0);
	guest_send(&f->chan[3], 1);
	guest_expect_completion(&f->chan[3], 1);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(an_instance_is_offered_once),
		T(a_device_that_cannot_be_created_is_not_offered),
		T(null_echoes),
		T(null_answers_only_when_asked),
		T(null_survives_a_guest_that_does_not_read),
		T(a_full_channel_closes),
		T(reopens_many_times),
		T(no_interrupt_before_the_open_result),
		T(a_vsp_may_refuse_to_open),
		T(no_doorbell_no_open),
		T(a_bad_ring_is_not_opened),
		T(closing_waits_for_requests),
		T(close_right_after_open),
		T(requests_run_out_and_come_back),
		T(interrupts_move_to_another_vp),
		T(sub_channels_come_and_go_with_the_primary),
		T(sub_channels_lose_the_race_against_close),
		T(a_fault_rescinds_and_offers_again),
		T(a_sub_channels_fault_takes_the_device),
		T(a_fault_while_closing),
		T(a_fault_in_open),
		T(hot_remove_of_an_open_device),
		T(hot_remove_of_an_unknown_device),
		T(hot_remove_while_waiting_to_be_offered_again),
		T(shutdown_with_open_channels),
		T(shutdown_while_opening),
		T(shutdown_after_a_fault),
		T(a_new_kernel_takes_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
