/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * NVSP and RNDIS requests: one at a time, on the primary channel, from process context; and what
 * the host sends unasked.
 *
 * A request waits until it is completed, answered, or both, and a bounded time. The host reads an
 * RNDIS message from a page of ours until it has completed the packet. So after a request that was
 * not completed there is no other one before the channel has been closed and opened again.
 */
#include "guest/netvsc/netvsc.h"
#include "guest/netvsc/trace.h"

#define ANSWER_SECONDS 30u
#define ID_CONTROL     0x80000000u /* ids of data packets are below */

bool netvsc_control_id(u64 id)
{
	return id >> 32 && (u32)id == ID_CONTROL;
}

/* ---- what comes ---------------------------------------------------------- */

static void arrived(struct netvsc_requests *r)
{
	if (atomic_dec_and_test(&r->awaited))
		complete(&r->done);
}

static void keep_reply(struct netvsc_requests *r, const void *bytes, u32 length)
{
	memcpy(r->reply, bytes, length);
	barrier();
	r->reply_length = length;
}

void netvsc_control_complete(struct netvsc *n, const struct vmbus_pkt *pkt)
{
	struct netvsc_requests *r = &n->requests;

	if (READ_ONCE(r->awaited_id) != pkt->desc.trans_id) {
		n->chans[0]->counts.tx_stray++;
		return;
	}
	WRITE_ONCE(r->awaited_id, 0);
	if (r->nvsp)
		keep_reply(r, pkt->payload, min_t(u32, pkt->payload_len, NETVSC_REPLY_MAX));
	arrived(r);
}

static void on_indication(struct netvsc *n, u32 status)
{
	switch (status) {
	case RNDIS_STATUS_MEDIA_CONNECT:
	case RNDIS_STATUS_MEDIA_DISCONNECT:
		WRITE_ONCE(n->link_up, status == RNDIS_STATUS_MEDIA_CONNECT);
		netvsc_link_event(n, NETVSC_EVENT_LINK);
		break;
	case RNDIS_STATUS_NETWORK_CHANGE:
		netvsc_link_event(n, NETVSC_EVENT_FLAP);
		break;
	case RNDIS_STATUS_LINK_SPEED_CHANGE:
		netvsc_link_event(n, NETVSC_EVENT_SPEED);
		break;
	}
}

/* The first words say where the message goes; an answer is then copied as a whole, and only the
 * copy is parsed. */
void netvsc_control_receive(struct netvsc *n, const void *message, u32 length)
{
	struct netvsc_requests *r = &n->requests;
	struct rndis_status_complete head;

	if (length < sizeof(head) || length > NETVSC_REPLY_MAX) {
		n->chans[0]->counts.rx_invalid++;
		return;
	}
	memcpy(&head, message, sizeof(head));
	barrier();
	if (head.header.type == RNDIS_INDICATE) {
		on_indication(n, head.request_id); /* the status is there */
	} else if (head.header.type & RNDIS_COMPLETE && head.request_id &&
		   READ_ONCE(r->awaited_reply) == head.request_id) {
		WRITE_ONCE(r->awaited_reply, 0);
		keep_reply(r, message, length);
		arrived(r);
	} else {
		n->chans[0]->counts.rx_invalid++;
	}
}

/* ---- what is sent -------------------------------------------------------- */

struct packet {
	const struct nvsp_message *nvsp;
	u64 id;
	u32 rndis_length; /* not 0: the message is in requests.page */
};

static int write_packet(struct netvsc *n, const struct packet *p)
{
	struct netvsc_chan *chan = n->chans[0];
	const struct {
		struct vmbus_gpa_direct head;
		struct vmbus_gpa_range range;
		u64 pfn;
	} pages = {{0, 1}, {p->rndis_length, 0}, virt_to_phys(n->requests.page) / HV_PAGE_SIZE};
	const struct vmbus_vec extra = {&pages, sizeof(pages)};
	const struct vmbus_vec payload = {p->nvsp, netvsc_nvsp_size(&n->conn)};
	int err = -ENODEV;

	spin_lock_bh(&chan->lock);
	if (chan->open)
		err = vmbus_tx_write(&chan->vsc->tx,
			p->rndis_length ? VMBUS_PKT_GPA_DIRECT : VMBUS_PKT_INBAND,
			p->id ? VMBUS_PKT_FLAG_COMPLETION_REQUESTED : 0, p->id,
			p->rndis_length ? &extra : NULL, &payload, 1);
	if (chan->open)
		netvsc_tx_push(chan);
	spin_unlock_bh(&chan->lock);
	return err;
}

static bool gone(const struct netvsc *n)
{
	return READ_ONCE(n->dead) || vsc_rescinded(n->device->primary);
}

/* A ring that is full of frames has room soon. */
static int send(struct netvsc *n, const struct packet *p)
{
	unsigned long end = jiffies + ANSWER_SECONDS * HZ;
	int err;

	do {
		err = gone(n) ? -ENODEV : write_packet(n, p);
		if (err != -EAGAIN)
			return err;
		schedule_timeout_uninterruptible(1);
	} while (time_before(jiffies, end));
	return -ETIMEDOUT;
}

static int await(struct netvsc *n)
{
	unsigned long end = jiffies + ANSWER_SECONDS * HZ;

	while (time_before(jiffies, end)) {
		if (wait_for_completion_timeout(&n->requests.done, HZ / 10))
			return 0;
		if (gone(n))
			return -ENODEV;
	}
	return -ETIMEDOUT;
}

/* reply_id: of the RNDIS message that answers; 0: the completion does. */
static int exchange(struct netvsc *n, struct packet *p, u32 reply_id)
{
	struct netvsc_requests *r = &n->requests;
	int err;

	lockdep_assert_held(&r->lock);
	if (!r->connected || r->broken)
		return -ENODEV;
	r->generation = r->generation % 0x7FFFFFFFu + 1;
	p->id = (u64)r->generation << 32 | ID_CONTROL;
	r->nvsp = !p->rndis_length;
	reinit_completion(&r->done);
	atomic_set(&r->awaited, reply_id ? 2 : 1);
	WRITE_ONCE(r->awaited_id, p->id);
	WRITE_ONCE(r->awaited_reply, reply_id);
	err = send(n, p);
	if (!err)
		err = await(n);
	if (err) {
		r->broken = true;
		WRITE_ONCE(r->awaited_id, 0);
		WRITE_ONCE(r->awaited_reply, 0);
	}
	trace_netvsc_control(p->nvsp->type, reply_id, err);
	return err;
}

int netvsc_say(struct netvsc *n, const struct nvsp_message *message)
{
	const struct packet p = {.nvsp = message};

	return send(n, &p);
}

static int exchange_rndis(struct netvsc *n, const void *message, u32 length, u32 reply_id)
{
	const struct nvsp_message nvsp = {
		.type = NVSP_SEND_RNDIS_PKT,
		.rndis_pkt = {NVSP_CHANNEL_CONTROL, NVSP_SECTION_NONE, 0},
	};
	struct packet p = {.nvsp = &nvsp, .rndis_length = length};

	if (n->requests.broken)
		return -ENODEV;
	memcpy(n->requests.page, message, length);
	return exchange(n, &p, reply_id);
}

int netvsc_request_step(struct netvsc *n, const struct netvsc_step *step)
{
	struct packet p = {.nvsp = &step->nvsp};

	if (step->rndis_length)
		return exchange_rndis(n, step->rndis, step->rndis_length, n->conn.request_id);
	return step->answer ? exchange(n, &p, 0) : netvsc_say(n, &step->nvsp);
}

/* ---- OIDs ---------------------------------------------------------------- */

static u32 next_id(struct netvsc *n)
{
	return ++n->conn.request_id ? n->conn.request_id : ++n->conn.request_id;
}

/* The answer to a message with the last id. What the host or a user causes while a connection is
 * being made fails: before RNDIS is initialized the host would not answer. */
static int ask(struct netvsc *n, const void *message, u32 length, struct netvsc_control *answer)
{
	const struct rndis_header *header = message;
	struct netvsc_requests *r = &n->requests;
	int err = -ENODEV;

	if (n->conn.state > NETVSC_RNDIS)
		err = exchange_rndis(n, message, length, n->conn.request_id);
	if (!err)
		err = netvsc_control_parse(r->reply, r->reply_length, answer);
	if (!err && (answer->request_id != n->conn.request_id ||
			    answer->type != (header->type | RNDIS_COMPLETE)))
		err = -EPROTO;
	if (!err && answer->status != RNDIS_STATUS_SUCCESS)
		err = -EIO;
	return err;
}

int netvsc_set_filter(struct netvsc *n, u32 filter)
{
	struct netvsc_control answer;
	u8 message[64];
	int err;

	mutex_lock(&n->requests.lock);
	err = ask(n, message,
		netvsc_set(message, next_id(n), OID_GEN_CURRENT_PACKET_FILTER, &filter,
			sizeof(filter)),
		&answer);
	if (!err)
		n->filter = filter;
	mutex_unlock(&n->requests.lock);
	return err;
}

int netvsc_set_rss(struct netvsc *n, const struct netvsc_rss *rss)
{
	struct netvsc_control answer;
	u8 message[NETVSC_RSS_MESSAGE_MAX];
	int err;

	mutex_lock(&n->requests.lock);
	err = ask(n, message, netvsc_rss_message(message, next_id(n), rss), &answer);
	mutex_unlock(&n->requests.lock);
	return err;
}

int netvsc_set_rsc(struct netvsc *n, bool on)
{
	struct netvsc_control answer;
	u8 message[NETVSC_MESSAGE_MAX];
	int err;

	mutex_lock(&n->requests.lock);
	n->conn.rsc = on;
	next_id(n);
	err = ask(n, message, netvsc_offload_message(&n->conn, message), &answer);
	mutex_unlock(&n->requests.lock);
	return err;
}

int netvsc_set_mac(struct netvsc *n, const u8 *mac)
{
	struct netvsc_control answer;
	u8 message[NETVSC_MAC_MESSAGE];
	int err;

	mutex_lock(&n->requests.lock);
	err = ask(n, message, netvsc_mac_message(message, next_id(n), mac), &answer);
	mutex_unlock(&n->requests.lock);
	return err;
}

int netvsc_query_u32(struct netvsc *n, u32 oid, u32 *value)
{
	struct netvsc_control answer;
	u8 message[64];
	int err;

	mutex_lock(&n->requests.lock);
	err = ask(n, message, netvsc_query(message, next_id(n), oid, NULL, 0), &answer);
	if (!err && answer.info_len != sizeof(*value))
		err = -EPROTO;
	if (!err)
		memcpy(value, answer.info, sizeof(*value));
	mutex_unlock(&n->requests.lock);
	return err;
}

/* It is completed, but has no answer. */
int netvsc_halt(struct netvsc *n)
{
	struct rndis_request halt = {.header = {RNDIS_HALT, sizeof(halt)}};
	int err;

	mutex_lock(&n->requests.lock);
	halt.request_id = next_id(n);
	err = exchange_rndis(n, &halt, sizeof(halt), 0);
	mutex_unlock(&n->requests.lock);
	return err;
}

/* ---- life ---------------------------------------------------------------- */

void netvsc_control_connect(struct netvsc *n, bool connected)
{
	mutex_lock(&n->requests.lock);
	n->requests.connected = connected;
	n->requests.broken = false;
	mutex_unlock(&n->requests.lock);
}

int netvsc_control_init(struct netvsc *n)
{
	mutex_init(&n->requests.lock);
	init_completion(&n->requests.done);
	n->requests.page = (void *)get_zeroed_page(GFP_KERNEL);
	return n->requests.page ? 0 : -ENOMEM;
}

void netvsc_control_end(struct netvsc *n)
{
	free_page((unsigned long)n->requests.page);
}
