/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A connection to the host: its channels, its buffers and what was negotiated. It is made when the
 * device is probed, and again for each change of what can only be changed by that.
 *
 * The end: no frame is sent any more; the host is asked to stop, as far as it answers; channels are
 * closed; then the host uses neither buffers nor frames, and they are freed.
 */
#include <linux/delay.h>
#include <linux/vmalloc.h>

#include "guest/netvsc/netvsc.h"

#define SUB_CHANNEL_SECONDS 10u
#define DRAIN_MS            5000u

/* ---- buffers ------------------------------------------------------------- */

static int share(struct netvsc *n, struct vsc_gpadl *gpadl, u32 bytes)
{
	int err;

	gpadl->bytes = bytes;
	gpadl->buffer = vzalloc(bytes);
	if (!gpadl->buffer)
		return -ENOMEM;
	err = vsc_create_gpadl(n->device->primary, gpadl);
	if (err) {
		vfree(gpadl->buffer);
		*gpadl = (struct vsc_gpadl){0};
	}
	return err;
}

static void unshare(struct netvsc *n, struct vsc_gpadl *gpadl)
{
	if (gpadl->id)
		vsc_destroy_gpadl(n->device->primary, gpadl);
	vfree(gpadl->buffer);
	*gpadl = (struct vsc_gpadl){0};
}

static int share_buffers(struct netvsc *n)
{
	struct netvsc_conn *conn = &n->conn;
	int err = share(n, &n->recv, netvsc_recv_bytes(conn, n->setup.recv_bytes));

	if (!err)
		err = share(n, &n->send, n->setup.send_bytes);
	conn->recv_gpadl = n->recv.id;
	conn->recv_bytes = n->recv.bytes;
	conn->send_gpadl = n->send.id;
	conn->send_bytes = n->send.bytes;
	return err;
}

/* ---- channels ------------------------------------------------------------ */

/* In the order in which they come; the host knows them by these numbers. */
void netvsc_sub_channel(struct vsc_device *device, struct vsc_channel *vsc)
{
	struct netvsc *n = device->data;
	struct netvsc_chan *chan = NULL;
	int err;

	mutex_lock(&n->chans_lock);
	if (vsc->index && vsc->index < n->chans_wanted)
		chan = n->chans[vsc->index];
	if (chan && !chan->vsc) {
		err = netvsc_chan_open(chan, vsc);
		if (err)
			dev_warn(device->dev, "sub-channel %u cannot be opened: %d\n", vsc->index,
				err);
		else if (++n->chans_open == n->chans_wanted)
			complete(&n->chans_there);
	}
	mutex_unlock(&n->chans_lock);
}

/* Channels are used as far as their numbers have no gap; one is enough to live. */
static void await_sub_channels(struct netvsc *n)
{
	unsigned int wanted = 1 + n->conn.sub_channels, count = 0;

	mutex_lock(&n->chans_lock);
	n->chans_wanted = wanted; /* the host may have granted fewer than were asked for */
	if (n->chans_open < wanted) {
		mutex_unlock(&n->chans_lock);
		wait_for_completion_timeout(&n->chans_there, SUB_CHANNEL_SECONDS * HZ);
		mutex_lock(&n->chans_lock);
	}
	n->chans_wanted = 0;
	while (count < wanted && n->chans[count]->vsc)
		count++;
	mutex_unlock(&n->chans_lock);
	if (count < wanted)
		dev_warn(n->device->dev, "%u of %u channels\n", count, wanted);
	WRITE_ONCE(n->chan_count, count);
}

/* Each channel has its share of the send buffer. */
static void share_sections(struct netvsc *n)
{
	u32 share = min(n->conn.send_sections / n->chan_count, NETVSC_SECTIONS_MAX), i;

	for (i = 0; i < n->chan_count; i++) {
		struct netvsc_chan *chan = n->chans[i];

		spin_lock_bh(&chan->lock);
		chan->first_section = i * share;
		chan->section_count = share;
		spin_unlock_bh(&chan->lock);
	}
}

/* A flow's frames are sent by the channel whose interrupts this CPU gets. */
static int set_queues(struct netvsc *n)
{
	int err = netif_set_real_num_tx_queues(n->ndev, n->chan_count);
	u32 i;

	if (!err)
		err = netif_set_real_num_rx_queues(n->ndev, n->chan_count);
	for (i = 0; !err && n->chan_count > 1 && i < n->chan_count; i++)
		netif_set_xps_queue(n->ndev, cpumask_of(n->chans[i]->cpu), (u16)i);
	return err;
}

/* ---- RSS ----------------------------------------------------------------- */

/* The user's table, unless it names channels that there are not. */
static void choose_table(struct netvsc *n)
{
	struct netvsc_rss *rss = &n->rss;
	u32 i;

	if (rss->entries != n->conn.rss_entries)
		n->rss_chosen = false;
	rss->entries = n->conn.rss_entries;
	for (i = 0; i < rss->entries; i++)
		n->rss_chosen &= rss->table[i] < n->chan_count;
	for (i = 0; i < rss->entries && !n->rss_chosen; i++)
		rss->table[i] = i % n->chan_count;
}

/* Off first, as other guests do: hosts rely on it. */
static int start_rss(struct netvsc *n)
{
	int err;

	choose_table(n);
	n->rss.on = false;
	if (n->chan_count < 2 || !n->rss.entries)
		return 0;
	err = netvsc_set_rss(n, &n->rss);
	n->rss.on = true;
	if (!err)
		err = netvsc_set_rss(n, &n->rss);
	if (err)
		dev_warn(n->device->dev, "no RSS: %d; the primary channel gets all frames\n", err);
	return 0;
}

/* ---- negotiation --------------------------------------------------------- */

static int step(struct netvsc *n)
{
	struct netvsc_requests *r = &n->requests;
	struct netvsc_step s;
	int err = 0;

	if (n->conn.state == NETVSC_RECV_BUF)
		err = share_buffers(n);
	if (err)
		return err;
	mutex_lock(&r->lock);
	netvsc_step(&n->conn, &s);
	err = netvsc_request_step(n, &s);
	if (!err && s.answer)
		err = netvsc_answer(&n->conn, r->reply, r->reply_length);
	mutex_unlock(&r->lock);
	return err;
}

static int check(struct netvsc *n)
{
	const struct netvsc_conn *conn = &n->conn;

	if (conn->mtu < ETH_MIN_MTU || !is_valid_ether_addr(conn->mac))
		return -EPROTO;
	return conn->mtu < n->setup.mtu && n->ndev->reg_state == NETREG_REGISTERED ? -EINVAL : 0;
}

static int negotiate(struct netvsc *n)
{
	int err = 0;

	while (!err && n->conn.state != NETVSC_DONE)
		err = step(n);
	return err ? err : check(n);
}

static void query_speed(struct netvsc *n)
{
	u32 units; /* of 100 bit/s */

	n->speed = netvsc_query_u32(n, OID_GEN_LINK_SPEED, &units) ? 0 : units / 10000;
}

static int open_channels(struct netvsc *n)
{
	int err;

	reinit_completion(&n->chans_there);
	mutex_lock(&n->chans_lock);
	n->chans_wanted = n->setup.channels;
	err = netvsc_chan_open(n->chans[0], n->device->primary);
	n->chans_open = !err;
	mutex_unlock(&n->chans_lock);
	if (err)
		return err;
	netvsc_control_connect(n, true);
	err = negotiate(n);
	if (err)
		return err;
	if (n->conn.version < NVSP_VERSION_5 || n->conn.queues_max < 2)
		n->conn.sub_channels = 0;
	await_sub_channels(n);
	return 0;
}

/* Work items may read it at any time. */
static int init_conn(struct netvsc *n)
{
	int err;

	mutex_lock(&n->requests.lock);
	err = netvsc_conn_init(&n->conn, NVSP_VERSION_6_1);
	n->conn.mtu = n->setup.mtu;
	n->conn.sub_channels = n->setup.channels - 1;
	n->conn.rsc = n->ndev->reg_state != NETREG_REGISTERED || n->ndev->features & NETIF_F_LRO;
	mutex_unlock(&n->requests.lock);
	return err;
}

static int connect(struct netvsc *n)
{
	int err = init_conn(n);

	if (err)
		return err;
	WRITE_ONCE(n->dead, false);
	WRITE_ONCE(n->link_up, -1);
	err = open_channels(n);
	if (err)
		return err;
	cmpxchg(&n->link_up, -1, n->conn.connected); /* an event is newer than the answer */
	share_sections(n);
	err = set_queues(n);
	if (!err)
		err = start_rss(n);
	query_speed(n);
	return err;
}

int netvsc_connect(struct netvsc *n)
{
	int err = connect(n);

	if (err)
		netvsc_disconnect(n);
	return err;
}

/* ---- the end ------------------------------------------------------------- */

static bool sent_all(const struct netvsc *n)
{
	unsigned int i;

	for (i = 0; i < n->chan_max; i++)
		if (READ_ONCE(n->chans[i]->sent) != READ_ONCE(n->chans[i]->completed))
			return false;
	return true;
}

static void drain(struct netvsc *n)
{
	unsigned int ms;

	for (ms = 0; ms < DRAIN_MS && !sent_all(n) && !READ_ONCE(n->dead) &&
		     !vsc_rescinded(n->device->primary);
		ms += 2)
		usleep_range(1000, 2000);
}

/* What a host may not do any more: send frames; use the buffers. */
static void quiesce(struct netvsc *n)
{
	struct nvsp_message m = {.type = NVSP_REVOKE_RECV_BUF, .revoke_buf.id = NETVSC_RECV_ID};
	bool rndis = n->conn.state > NETVSC_RNDIS;

	if (rndis && !netvsc_set_filter(n, 0))
		netvsc_halt(n);
	drain(n);
	if (n->conn.state > NETVSC_RECV_BUF)
		netvsc_say(n, &m);
	m = (struct nvsp_message){.type = NVSP_REVOKE_SEND_BUF};
	if (n->conn.state > NETVSC_SEND_BUF)
		netvsc_say(n, &m);
}

static void stop_channels(struct netvsc *n)
{
	unsigned int i;

	mutex_lock(&n->chans_lock);
	n->chans_wanted = 0;
	for (i = 0; i < n->chan_max; i++)
		if (n->chans[i]->vsc)
			netvsc_chan_stop(n->chans[i]);
	mutex_unlock(&n->chans_lock);
}

void netvsc_disconnect(struct netvsc *n)
{
	unsigned int i;

	WRITE_ONCE(n->up, false);
	WRITE_ONCE(n->chan_count, 0);
	if (!n->chans[0]->vsc)
		return;
	quiesce(n);
	netvsc_control_connect(n, false);
	stop_channels(n);
	vsc_close(n->device);
	unshare(n, &n->recv);
	unshare(n, &n->send);
	for (i = 0; i < n->chan_max; i++)
		if (n->chans[i]->vsc)
			netvsc_chan_release(n->chans[i]);
}

/* ---- changes ------------------------------------------------------------- */

static int connect_again(struct netvsc *n)
{
	int err = netvsc_connect(n);

	if (err)
		return err;
	if (!ether_addr_equal(n->ndev->dev_addr, n->conn.mac))
		err = netvsc_set_mac(n, n->ndev->dev_addr);
	if (!err && netif_running(n->ndev))
		err = netvsc_link_begin(n);
	if (err)
		netvsc_disconnect(n);
	else
		netif_device_attach(n->ndev);
	return err;
}

int netvsc_reconnect(struct netvsc *n, const struct netvsc_setup *setup)
{
	struct netvsc_setup old = n->setup;
	int err;

	ASSERT_RTNL();
	if (vsc_rescinded(n->device->primary))
		return -ENODEV;
	WRITE_ONCE(n->up, false);
	netif_device_detach(n->ndev);
	netif_tx_disable(n->ndev);
	netvsc_disconnect(n);
	n->setup = *setup;
	err = connect_again(n);
	if (!err)
		return 0;
	n->setup = old;
	if (connect_again(n)) {
		netvsc_die(n, "it cannot be connected again");
		netif_device_attach(n->ndev);
	}
	return err;
}
