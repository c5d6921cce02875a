/* SPDX-License-Identifier: MIT */
/* Channels of the guest in this process: GPADLs, open, close, packets. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/guest.h"

#define die(...)                                                                                   \
	do {                                                                                       \
		fprintf(stderr, "guest: " __VA_ARGS__);                                            \
		fputc('\n', stderr);                                                               \
		abort();                                                                           \
	} while (0)

#define GPADL_WORDS_MAX (VMBUS_GPADL_HEADER_PFNS_MAX + 1)

/* One range: its header is one u64, as the PFNs are. Cut into a header message and bodies. */
static void post_gpadl(struct guest_chan *c, uint64_t *words, uint32_t count)
{
	union {
		struct vmbus_gpadl_header header;
		struct vmbus_gpadl_body body;
		uint8_t bytes[VMBUS_MESSAGE_SIZE_MAX];
	} msg;
	uint32_t piece = count < GPADL_WORDS_MAX ? count : GPADL_WORDS_MAX;

	memset(&msg, 0, sizeof(msg));
	msg.header.relid = c->offer.relid;
	msg.header.gpadl = c->gpadl;
	msg.header.range_buflen = (uint16_t)(count * sizeof(*words));
	msg.header.range_count = 1;
	memcpy(msg.header.ranges, words, piece * sizeof(*words));
	guest_post(c->g, VMBUS_MSG_GPADL_HEADER, &msg,
		sizeof(msg.header) + piece * (uint32_t)sizeof(*words));
	for (words += piece, count -= piece; count; words += piece, count -= piece) {
		piece = count < VMBUS_GPADL_BODY_PFNS_MAX ? count : VMBUS_GPADL_BODY_PFNS_MAX;
		memset(&msg, 0, sizeof(msg));
		msg.body.gpadl = c->gpadl;
		memcpy(msg.body.ranges, words, piece * sizeof(*words));
		guest_post(c->g, VMBUS_MSG_GPADL_BODY, &msg,
			sizeof(msg.body) + piece * (uint32_t)sizeof(*words));
	}
}

/* Scattered: in reverse order. */
static uint64_t ring_page(const struct guest_chan *c, uint32_t page)
{
	uint32_t pages = 2 * c->ring_pages;

	return c->gpa / HV_PAGE_SIZE + (c->g->scattered ? pages - 1 - page : page);
}

static void create_gpadl(struct guest_chan *c)
{
	uint32_t pages = 2 * c->ring_pages;
	struct vmbus_gpadl_created created;
	uint64_t *words = calloc(pages + 1, sizeof(*words));

	if (!words)
		die("memory");
	c->gpadl = c->g->next_gpadl++;
	words[0] = (uint64_t)pages * HV_PAGE_SIZE;
	for (uint32_t i = 0; i < pages; i++)
		words[1 + i] = ring_page(c, i);
	post_gpadl(c, words, pages + 1);
	free(words);
	guest_expect(c->g, VMBUS_MSG_GPADL_CREATED, &created, sizeof(created));
	if (created.gpadl != c->gpadl || created.status)
		die("GPADL %u: status %#x", created.gpadl, created.status);
}

static void tear_down_gpadl(struct guest_chan *c)
{
	struct vmbus_gpadl_teardown msg = {.relid = c->offer.relid, .gpadl = c->gpadl};
	struct vmbus_gpadl_torndown torndown;

	guest_post(c->g, VMBUS_MSG_GPADL_TEARDOWN, &msg, sizeof(msg));
	guest_expect(c->g, VMBUS_MSG_GPADL_TORNDOWN, &torndown, sizeof(torndown));
	if (torndown.gpadl != c->gpadl)
		die("GPADL %u torn down instead of %u", torndown.gpadl, c->gpadl);
}

static int init_scattered(struct guest_chan *c)
{
	struct vmbus_run *g2h = c->runs, *h2g = c->runs + c->ring_pages;

	if (c->ring_pages > GUEST_SCATTERED_MAX)
		die("rings of %u pages", c->ring_pages);
	for (uint32_t i = 0; i < 2 * c->ring_pages; i++)
		c->runs[i] = (struct vmbus_run){
			guest_at(c->g, ring_page(c, i) * HV_PAGE_SIZE), HV_PAGE_SIZE};
	if (vmbus_tx_init_runs(&c->tx, g2h[0].at, g2h + 1, c->ring_pages - 1))
		return -1;
	return vmbus_rx_init_runs(&c->rx, h2g[0].at, h2g + 1, c->ring_pages - 1);
}

static int init_whole(struct guest_chan *c, uint8_t *rings, uint32_t bytes)
{
	if (vmbus_tx_init(&c->tx, rings, bytes))
		return -1;
	return vmbus_rx_init(&c->rx, rings + bytes, bytes);
}

static void init_rings(struct guest_chan *c)
{
	uint32_t bytes = c->ring_pages * HV_PAGE_SIZE;
	uint8_t *rings = guest_at(c->g, c->gpa);

	memset(rings, 0, 2 * bytes);
	if (c->g->scattered ? init_scattered(c) : init_whole(c, rings, bytes))
		die("rings");
}

bool guest_chan_open(struct guest_chan *c, struct guest *g, const struct vmbus_offer *offer,
	uint32_t ring_pages, uint32_t target_vp)
{
	struct vmbus_open_result result;
	struct vmbus_open msg = {
		.relid = offer->relid,
		.open_id = offer->relid,
		.target_vp = target_vp,
		.downstream_offset = ring_pages,
	};

	if (!c->gpa)
		c->gpa = guest_ram(g, 2ull * ring_pages * HV_PAGE_SIZE);
	c->g = g;
	c->offer = *offer;
	c->ring_pages = ring_pages;
	init_rings(c);
	create_gpadl(c);
	msg.ring_gpadl = c->gpadl;
	guest_post(g, VMBUS_MSG_OPEN, &msg, sizeof(msg));
	guest_expect(g, VMBUS_MSG_OPEN_RESULT, &result, sizeof(result));
	if (result.relid != offer->relid)
		die("open of %u instead of %u", result.relid, offer->relid);
	c->open = result.status == VMBUS_STATUS_SUCCESS;
	if (!c->open)
		tear_down_gpadl(c);
	return c->open;
}

void guest_chan_close(struct guest_chan *c)
{
	struct vmbus_relid_msg msg = {.relid = c->offer.relid};

	if (!c->open)
		return;
	guest_post(c->g, VMBUS_MSG_CLOSE, &msg, sizeof(msg));
	tear_down_gpadl(c);
	c->open = false;
}

void guest_chan_forget(struct guest_chan *c)
{
	c->open = false;
}

bool guest_chan_send(struct guest_chan *c, uint16_t type, uint16_t flags, uint64_t trans_id,
	const struct vmbus_vec *extra, const void *payload, uint32_t payload_len)
{
	struct vmbus_vec vec = {.base = payload, .len = payload_len};
	int ret = vmbus_tx_write(&c->tx, type, flags, trans_id, extra, &vec, 1);

	if (ret && ret != -EAGAIN)
		die("sending: %d", ret);
	if (vmbus_tx_commit(&c->tx))
		guest_chan_signal(c);
	return !ret;
}

/* With a monitor id a guest sets a bit in a page of its own, and makes no hypercall. */
void guest_chan_signal(struct guest_chan *c)
{
	if (!c->offer.monitor_allocated)
		guest_ring_doorbell(c->g, c->offer.connection_id);
}

void guest_chan_publish(struct guest_chan *c)
{
	if (vmbus_rx_commit(&c->rx))
		guest_chan_signal(c);
}

/* Checks once more. */
static bool really_empty(struct guest_chan *c)
{
	guest_chan_publish(c);
	return !vmbus_rx_unmask(&c->rx);
}

bool guest_chan_receive_into(
	struct guest_chan *c, struct vmbus_pkt *pkt, uint8_t *packet, uint32_t size)
{
	int ret;

	do
		ret = vmbus_rx_next(&c->rx, pkt, packet, size);
	while (ret == -EAGAIN && !really_empty(c));
	if (ret && ret != -EAGAIN)
		die("receiving: %d", ret);
	return !ret;
}

bool guest_chan_receive(struct guest_chan *c, struct vmbus_pkt *pkt)
{
	return guest_chan_receive_into(c, pkt, c->packet, sizeof(c->packet));
}
