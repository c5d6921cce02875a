/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * XDP. A program sees each frame in a page of its own, with headroom. Frames that it sends, here or
 * from another device, are copied into sections of the send buffer, in which many travel at once.
 */
#include COMPAT_PAGE_POOL_H
#include <linux/bpf_trace.h>
#include <linux/filter.h>

#include "guest/netvsc/netvsc.h"

/* ---- frames that are received -------------------------------------------- */

static bool transmit(struct netvsc_chan *chan, const struct xdp_buff *xdp)
{
	int err;

	spin_lock(&chan->lock);
	err = netvsc_tx_copy(chan, xdp->data, (u32)(xdp->data_end - xdp->data));
	if (err)
		chan->counts.xdp_tx_dropped++;
	else
		chan->counts.xdp_tx++;
	spin_unlock(&chan->lock);
	chan->xdp_sent |= !err;
	return !err;
}

static bool redirect(struct netvsc_chan *chan, struct xdp_buff *xdp, struct bpf_prog *prog)
{
	if (xdp_do_redirect(chan->nic->ndev, xdp, prog))
		return false;
	chan->xdp_redirected = true;
	chan->counts.xdp_redirect++;
	return true;
}

static void keep(struct netvsc_frame *f, const struct xdp_buff *xdp, u32 *metadata)
{
	f->headroom = (u32)(xdp->data - xdp->data_hard_start);
	f->head_length = f->length = (u32)(xdp->data_end - xdp->data);
	*metadata = (u32)(xdp->data - xdp->data_meta);
}

/* True: the frame is not the stack's. Whose memory it still is, is dropped. */
static bool act(struct netvsc_chan *chan, struct netvsc_frame *f, struct bpf_prog *prog,
	struct xdp_buff *xdp, u32 *metadata)
{
	u32 verdict = bpf_prog_run_xdp(prog, xdp);

	switch (verdict) {
	case XDP_PASS:
		chan->counts.xdp_pass++;
		keep(f, xdp, metadata);
		return false;
	case XDP_REDIRECT:
		if (!redirect(chan, xdp, prog))
			break;
		f->page = NULL;
		return true;
	case XDP_TX:
		if (transmit(chan, xdp))
			goto drop;
		break;
	case XDP_DROP:
		chan->counts.xdp_drop++;
		goto drop;
	default:
		bpf_warn_invalid_xdp_action(chan->nic->ndev, prog, verdict);
		break;
	}
	trace_xdp_exception(chan->nic->ndev, prog, verdict);
drop:
	page_pool_recycle_direct(chan->pool, f->page);
	f->page = NULL;
	return true;
}

/* A frame that was received before the program came may have no headroom, or no page of its own: it
 * passes. */
bool netvsc_xdp_run(struct netvsc_chan *chan, struct netvsc_frame *f, u32 *metadata)
{
	struct bpf_prog *prog;
	struct xdp_buff xdp;
	bool taken = false;

	if (f->frag_count || f->size != PAGE_SIZE || f->headroom != XDP_PACKET_HEADROOM)
		return false;
	rcu_read_lock();
	prog = rcu_dereference(chan->nic->xdp);
	if (prog) {
		xdp_init_buff(&xdp, PAGE_SIZE, &chan->xdp_rxq);
		xdp_prepare_buff(&xdp, page_address(f->page) + f->offset, XDP_PACKET_HEADROOM,
			(int)f->head_length, true);
		taken = act(chan, f, prog, &xdp, metadata);
	}
	rcu_read_unlock();
	return taken;
}

void netvsc_xdp_flush(struct netvsc_chan *chan)
{
	if (!chan->xdp_redirected)
		return;
	chan->xdp_redirected = false;
	xdp_do_flush();
}

/* ---- frames of other devices --------------------------------------------- */

static int send_frames(struct netvsc_chan *chan, int count, struct xdp_frame **frames, bool push)
{
	int sent;

	spin_lock(&chan->lock);
	for (sent = 0; sent < count; sent++) {
		struct xdp_frame *frame = frames[sent];

		if (xdp_frame_has_frags(frame) || netvsc_tx_copy(chan, frame->data, frame->len))
			break;
		xdp_return_frame_rx_napi(frame);
	}
	chan->counts.xdp_xmit += (u64)sent;
	chan->counts.xdp_tx_dropped += (u64)(count - sent);
	if (push && chan->open)
		netvsc_tx_push(chan);
	spin_unlock(&chan->lock);
	return sent;
}

int netvsc_xdp_xmit(struct net_device *ndev, int count, struct xdp_frame **frames, u32 flags)
{
	struct netvsc *n = netdev_priv(ndev);
	unsigned int chans = READ_ONCE(n->chan_count);

	if (!READ_ONCE(n->up) || READ_ONCE(n->dead) || !chans)
		return -ENETDOWN;
	if (flags & ~XDP_XMIT_FLAGS_MASK)
		return -EINVAL;
	return send_frames(
		n->chans[smp_processor_id() % chans], count, frames, flags & XDP_XMIT_FLUSH);
}

/* ---- programs ------------------------------------------------------------ */

/* NAPI may run the old program until it is freed, after a grace period. RSC makes frames of more
 * than a page: the features are reconsidered. */
static int set_program(struct netvsc *n, struct bpf_prog *prog, struct netlink_ext_ack *ack)
{
	struct bpf_prog *old;

	if (prog && n->setup.mtu > NETVSC_XDP_MTU_MAX) {
		NL_SET_ERR_MSG_MOD(ack, "the MTU is too large for XDP");
		return -EOPNOTSUPP;
	}
	old = rtnl_dereference(n->xdp);
	rcu_assign_pointer(n->xdp, prog);
	if (old)
		bpf_prog_put(old);
	netdev_update_features(n->ndev);
	return 0;
}

int netvsc_bpf(struct net_device *ndev, struct netdev_bpf *bpf)
{
	if (bpf->command != XDP_SETUP_PROG)
		return -EINVAL;
	return set_program(netdev_priv(ndev), bpf->prog, bpf->extack);
}
