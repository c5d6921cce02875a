/* SPDX-License-Identifier: MIT */
/*
 * Requests, and the packets that answer them. Two counts: `in_use`, which a
 * close waits for, and `working`, which a pause waits for. A request counts as
 * working until it is put or its answer is handed to vsp_send(): an answer that
 * waits for room in the ring needs the guest, not the host.
 */
#include "base/counter.h"
#include "vsp/vsp_impl.h"

/* ---- pools --------------------------------------------------------------- */

void vsp_pools_fini(struct vsp_channel *ch)
{
	for (uint32_t i = 0; i < ch->dev->ops->request_classes; i++)
		pool_fini(&ch->pools[i].pool);
}

int vsp_pools_init(struct vsp_channel *ch)
{
	const struct vsp_ops *ops = ch->dev->ops;

	assert(ops->request_classes <= VSP_REQUEST_CLASSES_MAX);
	for (uint32_t i = 0; i < ops->request_classes; i++) {
		struct vsp_request_class class = {0};
		int rc;

		ops->request_class(ch->dev, i, &class);
		rc = pool_init(&ch->pools[i].pool, class.size, class.count, ch->dev->host->budget);
		if (rc) {
			vsp_pools_fini(ch);
			return rc;
		}
		ch->pools[i].with_guest = class.with_guest;
	}
	return 0;
}

static struct vsp_pool *pool_of(struct vsp_channel *ch, const void *request)
{
	struct vsp_pool *p = ch->pools;

	while (!pool_owns(&p->pool, request)) {
		p++;
		assert(p < ch->pools + VSP_REQUEST_CLASSES_MAX);
	}
	return p;
}

/* ---- requests ------------------------------------------------------------ */

void *vsp_request_get(struct vsp_channel *ch, uint32_t class)
{
	struct vsp_pool *p = &ch->pools[class];
	void *request;

	ON_IO_THREAD(ch);
	assert(class < ch->dev->ops->request_classes && !ch->chan.frozen);
	request = pool_get(&p->pool);
	if (!request)
		return NULL;
	counter_add(&ch->in_use, 1);
	ch->working += !p->with_guest;
	return request;
}

static void stop_working(struct vsp_channel *ch, const struct vsp_pool *p)
{
	if (!p->with_guest)
		ch->working--;
}

static void put(struct vsp_channel *ch, struct vsp_pool *p, void *request)
{
	pool_put(&p->pool, request);
	counter_add(&ch->in_use, -1);
	chan_retry(&ch->chan);
	vsp_channel_check_drained(ch);
}

void vsp_request_put(struct vsp_channel *ch, void *request)
{
	struct vsp_pool *p = pool_of(ch, request);

	ON_IO_THREAD(ch);
	stop_working(ch, p);
	put(ch, p, request);
	vsp_channel_check_quiescent(ch);
}

uint32_t vsp_requests_in_use(const struct vsp_channel *ch, uint32_t class)
{
	ON_IO_THREAD(ch);
	return ch->pools[class].pool.used;
}

bool vsp_channel_is_idle(const struct vsp_channel *ch)
{
	struct chan_rings rings;

	ON_CONTROL(ch->dev);
	chan_rings(&ch->chan, &rings);
	if (rings.rx_used || rings.tx_used)
		return false;
	for (uint32_t class = 0; class < ch->dev->ops->request_classes; class ++)
		if (!ch->pools[class].with_guest && counter_get(&ch->pools[class].pool.used))
			return false;
	return true;
}

/* ---- packets ------------------------------------------------------------- */

void vsp_packet_sent(struct chan *chan, struct chan_out *packet)
{
	struct vsp_channel *ch = container_of(chan, struct vsp_channel, chan);
	struct vsp_out *out = container_of(packet, struct vsp_out, packet);
	void *request = out->request;

	if (out->sent)
		out->sent(ch, out);
	if (request)
		put(ch, pool_of(ch, request), request);
}

void vsp_send(struct vsp_channel *ch, struct vsp_out *out)
{
	if (out->request)
		stop_working(ch, pool_of(ch, out->request));
	chan_send(&ch->chan, &out->packet);
	vsp_channel_check_quiescent(ch);
}
