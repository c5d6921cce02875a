/* SPDX-License-Identifier: GPL-2.0-only */
/* The net_device: up and down, MTU, features, link, filter, statistics. */
#include "guest/netvsc/netvsc.h"

#define EVENT_INTERVAL (HZ / 4) /* of link events that are acted on */
#define FILTER                                                                                     \
	(NDIS_FILTER_DIRECTED | NDIS_FILTER_MULTICAST | NDIS_FILTER_ALL_MULTICAST |                \
		NDIS_FILTER_BROADCAST)

/* ---- link ---------------------------------------------------------------- */

/* With RTNL, of a registered device. */
static void set_carrier(struct netvsc *n)
{
	if (READ_ONCE(n->link_up) > 0 && !READ_ONCE(n->dead))
		netif_carrier_on(n->ndev);
	else
		netif_carrier_off(n->ndev);
}

static bool take_event(struct netvsc *n, unsigned int event)
{
	return test_and_clear_bit(event, &n->events);
}

static void follow_link(struct netvsc *n, bool flap)
{
	if (flap)
		netif_carrier_off(n->ndev);
	set_carrier(n);
	if (netif_carrier_ok(n->ndev))
		__netdev_notify_peers(n->ndev);
}

/* The kernel keeps a device whose carrier has changed in a list, until a later moment; the end of
 * its registration is the last time that it is taken out. */
static void on_link_work(struct work_struct *work)
{
	struct netvsc *n = container_of(to_delayed_work(work), struct netvsc, link_work);
	bool link = take_event(n, NETVSC_EVENT_LINK), flap = take_event(n, NETVSC_EVENT_FLAP);
	u32 units;

	WRITE_ONCE(n->link_next, jiffies + EVENT_INTERVAL);
	if (take_event(n, NETVSC_EVENT_SPEED) && !netvsc_query_u32(n, OID_GEN_LINK_SPEED, &units))
		WRITE_ONCE(n->speed, units / 10000);
	if (!link && !flap)
		return;
	rtnl_lock();
	if (n->ndev->reg_state == NETREG_REGISTERED)
		follow_link(n, flap);
	rtnl_unlock();
}

/* What comes before the device is registered is covered by what open() finds. */
void netvsc_link_event(struct netvsc *n, unsigned int event)
{
	unsigned long now = jiffies, next = READ_ONCE(n->link_next);

	set_bit(event, &n->events);
	if (READ_ONCE(n->ndev->reg_state) == NETREG_REGISTERED)
		schedule_delayed_work(&n->link_work, time_before(now, next) ? next - now : 0);
}

/* The first frame that comes is wanted: one of RSC would else lack its beginning. */
int netvsc_link_begin(struct netvsc *n)
{
	int err;

	WRITE_ONCE(n->up, true);
	err = netvsc_set_filter(n, netvsc_wanted_filter(n));
	if (err)
		WRITE_ONCE(n->up, false);
	else
		set_carrier(n);
	return err;
}

/* ---- filter -------------------------------------------------------------- */

u32 netvsc_wanted_filter(const struct netvsc *n)
{
	return n->ndev->flags & IFF_PROMISC ? NDIS_FILTER_PROMISCUOUS : FILTER;
}

/* Where a failure cannot be returned. */
static void set_filter(struct netvsc *n, u32 filter)
{
	int err = netvsc_set_filter(n, filter);

	if (err && err != -ENODEV && net_ratelimit())
		netdev_warn(n->ndev, "the host does not change the filter: error %d\n", err);
}

static void on_filter_work(struct work_struct *work)
{
	struct netvsc *n = container_of(work, struct netvsc, filter_work);

	if (READ_ONCE(n->up))
		set_filter(n, netvsc_wanted_filter(n));
}

/* The host takes no list of addresses: all multicast frames come. */
static void set_rx_mode(struct net_device *ndev)
{
	struct netvsc *n = netdev_priv(ndev);

	if (READ_ONCE(n->up) && READ_ONCE(n->filter) != netvsc_wanted_filter(n))
		schedule_work(&n->filter_work);
}

void netvsc_link_init(struct netvsc *n)
{
	n->link_next = jiffies;
	INIT_DELAYED_WORK(&n->link_work, on_link_work);
	INIT_WORK(&n->filter_work, on_filter_work);
}

/* Not with RTNL, which the link work takes. */
void netvsc_link_end(struct netvsc *n)
{
	cancel_delayed_work_sync(&n->link_work);
	cancel_work_sync(&n->filter_work);
}

/* ---- up and down --------------------------------------------------------- */

static int open(struct net_device *ndev)
{
	struct netvsc *n = netdev_priv(ndev);
	int err = -ENODEV;

	if (!READ_ONCE(n->dead) && READ_ONCE(n->chan_count))
		err = netvsc_link_begin(n);
	if (err)
		return err;
	netif_tx_start_all_queues(ndev);
	return 0;
}

/* Frames that the host has still in its hands are dropped when they come. */
static int stop(struct net_device *ndev)
{
	struct netvsc *n = netdev_priv(ndev);

	WRITE_ONCE(n->up, false);
	netif_tx_disable(ndev);
	cancel_work_sync(&n->filter_work);
	set_filter(n, 0);
	return 0;
}

static int change_mtu(struct net_device *ndev, int mtu)
{
	struct netvsc *n = netdev_priv(ndev);
	struct netvsc_setup setup = n->setup;
	int err;

	if (rtnl_dereference(n->xdp) && (u32)mtu > NETVSC_XDP_MTU_MAX)
		return -EINVAL;
	setup.mtu = (u32)mtu;
	err = netvsc_reconnect(n, &setup);
	if (!err)
		WRITE_ONCE(ndev->mtu, (unsigned int)mtu);
	return err;
}

static int set_mac(struct net_device *ndev, void *address)
{
	struct netvsc *n = netdev_priv(ndev);
	const struct sockaddr *sa = address;
	int err = eth_prepare_mac_addr_change(ndev, address);

	if (!err)
		err = netvsc_set_mac(n, (const u8 *)sa->sa_data);
	if (!err)
		eth_commit_mac_addr_change(ndev, address);
	return err;
}

/* ---- features ------------------------------------------------------------ */

static netdev_features_t fix_features(struct net_device *ndev, netdev_features_t features)
{
	struct netvsc *n = netdev_priv(ndev);

	if (rcu_access_pointer(n->xdp))
		features &= ~NETIF_F_LRO;
	return features;
}

/* Only RSC is the host's business: checksums and segments are asked for frame by frame. */
static int set_features(struct net_device *ndev, netdev_features_t features)
{
	struct netvsc *n = netdev_priv(ndev);

	if (!((features ^ ndev->features) & NETIF_F_LRO))
		return 0;
	return netvsc_set_rsc(n, features & NETIF_F_LRO);
}

/* Before registration. */
void netvsc_set_features(struct netvsc *n)
{
	const struct netvsc_offloads *host = &n->conn.offloads;
	struct net_device *ndev = n->ndev;
	netdev_features_t f = NETIF_F_SG | NETIF_F_RXCSUM | NETIF_F_RXHASH;
	u32 lso_max = max(host->lso4_max, host->lso6_max);

	if (host->tcp4)
		f |= NETIF_F_IP_CSUM;
	if (host->tcp6)
		f |= NETIF_F_IPV6_CSUM;
	if (host->lso4_max)
		f |= NETIF_F_TSO;
	if (host->lso6_max)
		f |= NETIF_F_TSO6;
	ndev->vlan_features = f;
	if (n->conn.host_rsc)
		f |= NETIF_F_LRO;
	ndev->hw_features = f;
	ndev->features = f | NETIF_F_HIGHDMA | NETIF_F_HW_VLAN_CTAG_TX | NETIF_F_HW_VLAN_CTAG_RX;
	if (host->lso4_max && host->lso6_max)
		lso_max = min(host->lso4_max, host->lso6_max);
	if (lso_max)
		netif_set_tso_max_size(ndev, lso_max);
	compat_set_xdp_features(ndev);
}

/* ---- statistics ---------------------------------------------------------- */

static void get_stats(struct net_device *ndev, struct rtnl_link_stats64 *s)
{
	struct netvsc *n = netdev_priv(ndev);
	unsigned int i;

	for (i = 0; i < n->chan_max; i++) {
		const struct netvsc_counts *c = &n->chans[i]->counts;

		s->tx_packets += READ_ONCE(c->tx_packets);
		s->tx_bytes += READ_ONCE(c->tx_bytes);
		s->tx_dropped += READ_ONCE(c->tx_dropped);
		s->tx_errors += READ_ONCE(c->tx_refused);
		s->rx_packets += READ_ONCE(c->rx_packets);
		s->rx_bytes += READ_ONCE(c->rx_bytes);
		s->rx_dropped += READ_ONCE(c->rx_dropped) + READ_ONCE(c->rx_no_memory);
		s->rx_errors += READ_ONCE(c->rx_invalid);
	}
}

const struct net_device_ops netvsc_netdev_ops = {
	.ndo_open = open,
	.ndo_stop = stop,
	.ndo_start_xmit = netvsc_start_xmit,
	.ndo_change_mtu = change_mtu,
	.ndo_set_rx_mode = set_rx_mode,
	.ndo_set_mac_address = set_mac,
	.ndo_validate_addr = eth_validate_addr,
	.ndo_fix_features = fix_features,
	.ndo_set_features = set_features,
	.ndo_get_stats64 = get_stats,
	.ndo_bpf = netvsc_bpf,
	.ndo_xdp_xmit = netvsc_xdp_xmit,
};
