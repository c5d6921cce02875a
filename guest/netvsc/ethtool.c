/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * ethtool: statistics (-S), channels (-l, -L), buffers (-g, -G), RSS (-x, -X, -n, -N), speed.
 *
 * "Rings" are the sections of the receive and send buffers, as in the kernel's own driver.
 */
#include <linux/ethtool.h>

#include "guest/netvsc/netvsc.h"

#define SECTIONS_MIN 64u
#define SECTIONS_MAX 16384u

/* ---- statistics ---------------------------------------------------------- */

static const struct {
	const char *name;
	size_t offset; /* in struct netvsc_counts */
} counters[] = {
#define COUNTER(name)                                                                              \
	{                                                                                          \
#name, offsetof(struct netvsc_counts, name)                                        \
	}
	COUNTER(tx_packets),
	COUNTER(tx_bytes),
	COUNTER(tx_dropped),
	COUNTER(tx_sections),
	COUNTER(tx_direct),
	COUNTER(tx_doorbells),
	COUNTER(tx_ring_full),
	COUNTER(tx_stopped),
	COUNTER(tx_woken),
	COUNTER(tx_refused),
	COUNTER(tx_stray),
	COUNTER(rx_packets),
	COUNTER(rx_bytes),
	COUNTER(rx_dropped),
	COUNTER(rx_no_memory),
	COUNTER(rx_invalid),
	COUNTER(rx_transfers),
	COUNTER(rx_rsc),
	COUNTER(xdp_pass),
	COUNTER(xdp_drop),
	COUNTER(xdp_tx),
	COUNTER(xdp_redirect),
	COUNTER(xdp_xmit),
	COUNTER(xdp_tx_dropped),
	COUNTER(interrupts),
	COUNTER(polls),
#undef COUNTER
};

#define COUNTERS ARRAY_SIZE(counters)

static int get_sset_count(struct net_device *ndev, int set)
{
	const struct netvsc *n = netdev_priv(ndev);

	return set == ETH_SS_STATS ? (int)(COUNTERS * (1 + n->chan_max)) : -EOPNOTSUPP;
}

/* The sums, then those of each channel. */
static void get_strings(struct net_device *ndev, u32 set, u8 *to)
{
	const struct netvsc *n = netdev_priv(ndev);
	unsigned int chan, i;

	if (set != ETH_SS_STATS)
		return;
	for (i = 0; i < COUNTERS; i++, to += ETH_GSTRING_LEN)
		snprintf(to, ETH_GSTRING_LEN, "%s", counters[i].name);
	for (chan = 0; chan < n->chan_max; chan++)
		for (i = 0; i < COUNTERS; i++, to += ETH_GSTRING_LEN)
			snprintf(to, ETH_GSTRING_LEN, "chan%u_%s", chan, counters[i].name);
}

static u64 counter(const struct netvsc_chan *chan, unsigned int i)
{
	return READ_ONCE(*(const u64 *)((const u8 *)&chan->counts + counters[i].offset));
}

static void get_stats(struct net_device *ndev, struct ethtool_stats *unused, u64 *to)
{
	const struct netvsc *n = netdev_priv(ndev);
	unsigned int chan, i;

	memset(to, 0, COUNTERS * sizeof(*to));
	for (chan = 0; chan < n->chan_max; chan++)
		for (i = 0; i < COUNTERS; i++) {
			u64 value = counter(n->chans[chan], i);

			to[i] += value;
			to[COUNTERS * (1 + chan) + i] = value;
		}
}

/* ---- the device ---------------------------------------------------------- */

static void get_drvinfo(struct net_device *ndev, struct ethtool_drvinfo *info)
{
	const struct netvsc *n = netdev_priv(ndev);

	strscpy(info->driver, KBUILD_MODNAME, sizeof(info->driver));
	snprintf(info->fw_version, sizeof(info->fw_version), "NVSP %u.%u", n->conn.version >> 16,
		n->conn.version & 0xFFFF);
	strscpy(info->bus_info, dev_name(n->device->dev), sizeof(info->bus_info));
}

static int get_link_ksettings(struct net_device *ndev, struct ethtool_link_ksettings *settings)
{
	const struct netvsc *n = netdev_priv(ndev);
	u32 speed = READ_ONCE(n->speed);

	settings->base.speed = speed ? speed : (u32)SPEED_UNKNOWN;
	settings->base.duplex = DUPLEX_FULL;
	settings->base.port = PORT_OTHER;
	settings->base.autoneg = AUTONEG_DISABLE;
	return 0;
}

/* ---- channels and buffers ------------------------------------------------ */

static unsigned int channels_max(const struct netvsc *n)
{
	return clamp(n->conn.queues_max, 1u, n->chan_max);
}

static void get_channels(struct net_device *ndev, struct ethtool_channels *channels)
{
	const struct netvsc *n = netdev_priv(ndev);

	channels->max_combined = channels_max(n);
	channels->combined_count = n->chan_count;
}

static int set_channels(struct net_device *ndev, struct ethtool_channels *channels)
{
	struct netvsc *n = netdev_priv(ndev);
	struct netvsc_setup setup = n->setup;

	if (!channels->combined_count || channels->combined_count > channels_max(n))
		return -EINVAL;
	setup.channels = channels->combined_count;
	return netvsc_reconnect(n, &setup);
}

static void get_ringparam(struct net_device *ndev, struct ethtool_ringparam *ring,
	struct kernel_ethtool_ringparam *unused, struct netlink_ext_ack *ack)
{
	const struct netvsc *n = netdev_priv(ndev);

	ring->rx_max_pending = ring->tx_max_pending = SECTIONS_MAX;
	ring->rx_pending = n->conn.sections;
	ring->tx_pending = n->conn.send_sections;
}

static u32 buffer_bytes(u32 sections, u32 section)
{
	return PAGE_ALIGN(clamp(sections, SECTIONS_MIN, SECTIONS_MAX) * section);
}

static int set_ringparam(struct net_device *ndev, struct ethtool_ringparam *ring,
	struct kernel_ethtool_ringparam *unused, struct netlink_ext_ack *ack)
{
	struct netvsc *n = netdev_priv(ndev);
	struct netvsc_setup setup = n->setup;

	if (!n->conn.section_size || !n->conn.send_section_size)
		return -ENODEV;
	if (ring->rx_pending != n->conn.sections)
		setup.recv_bytes = min(
			buffer_bytes(ring->rx_pending, n->conn.section_size), NETVSC_BUFFER_MAX);
	if (ring->tx_pending != n->conn.send_sections)
		setup.send_bytes = min(buffer_bytes(ring->tx_pending, n->conn.send_section_size),
			NETVSC_BUFFER_MAX);
	return netvsc_reconnect(n, &setup);
}

/* ---- RSS ----------------------------------------------------------------- */

static u32 get_rxfh_key_size(struct net_device *ndev)
{
	return NETVSC_RSS_KEY;
}

static u32 get_rxfh_indir_size(struct net_device *ndev)
{
	const struct netvsc *n = netdev_priv(ndev);

	return n->rss.on ? n->rss.entries : 0;
}

static int get_rxfh(struct net_device *ndev, COMPAT_GET_RXFH_ARGS)
{
	const struct netvsc *n = netdev_priv(ndev);

	COMPAT_RXFH_REPORT(ETH_RSS_HASH_TOP);
	if (COMPAT_RXFH_INDIR)
		memcpy(COMPAT_RXFH_INDIR, n->rss.table, n->rss.entries * sizeof(n->rss.table[0]));
	if (COMPAT_RXFH_KEY)
		memcpy(COMPAT_RXFH_KEY, n->rss.key, NETVSC_RSS_KEY);
	return 0;
}

/* Kept over reconnections as long as there are the channels. */
static int apply_rss(struct netvsc *n, const struct netvsc_rss *rss)
{
	int err = n->rss.on ? netvsc_set_rss(n, rss) : 0;

	if (!err)
		n->rss = *rss;
	return err;
}

static int set_rxfh(struct net_device *ndev, COMPAT_SET_RXFH_ARGS)
{
	struct netvsc *n = netdev_priv(ndev);
	struct netvsc_rss rss = n->rss;
	u32 i;
	int err;

	if (COMPAT_RXFH_HFUNC != ETH_RSS_HASH_NO_CHANGE && COMPAT_RXFH_HFUNC != ETH_RSS_HASH_TOP)
		return -EOPNOTSUPP;
	for (i = 0; COMPAT_RXFH_INDIR && i < rss.entries; i++) {
		if (COMPAT_RXFH_INDIR[i] >= n->chan_count)
			return -EINVAL;
		rss.table[i] = COMPAT_RXFH_INDIR[i];
	}
	if (COMPAT_RXFH_KEY)
		memcpy(rss.key, COMPAT_RXFH_KEY, NETVSC_RSS_KEY);
	err = apply_rss(n, &rss);
	if (!err && COMPAT_RXFH_INDIR)
		n->rss_chosen = true;
	return err;
}

/* Addresses always; ports of TCP always, of UDP by choice. */
static int get_hash_fields(const struct netvsc *n, u32 flow, u64 *fields)
{
	const u64 l3 = RXH_IP_SRC | RXH_IP_DST, l4 = RXH_L4_B_0_1 | RXH_L4_B_2_3;

	switch (flow) {
	case TCP_V4_FLOW:
	case TCP_V6_FLOW:
		*fields = l3 | l4;
		return 0;
	case UDP_V4_FLOW:
		*fields = l3 | (n->rss.udp4 ? l4 : 0);
		return 0;
	case UDP_V6_FLOW:
		*fields = l3 | (n->rss.udp6 ? l4 : 0);
		return 0;
	case IPV4_FLOW:
	case IPV6_FLOW:
		*fields = l3;
		return 0;
	}
	return -EINVAL;
}

static int set_hash_fields(struct netvsc *n, u32 flow, u64 fields)
{
	const u64 l3 = RXH_IP_SRC | RXH_IP_DST, all = l3 | RXH_L4_B_0_1 | RXH_L4_B_2_3;
	struct netvsc_rss rss = n->rss;
	u64 now;
	int err = get_hash_fields(n, flow, &now);

	if (err || fields == now)
		return err;
	if (fields != l3 && fields != all)
		return -EOPNOTSUPP;
	if (flow == UDP_V4_FLOW)
		rss.udp4 = fields == all;
	else if (flow == UDP_V6_FLOW)
		rss.udp6 = fields == all;
	else
		return -EOPNOTSUPP;
	return apply_rss(n, &rss);
}

#if COMPAT_RXFH_FIELDS

static int get_rxfh_fields(struct net_device *ndev, struct ethtool_rxfh_fields *fields)
{
	u64 data = 0;
	int err = get_hash_fields(netdev_priv(ndev), fields->flow_type, &data);

	fields->data = (u32)data;
	return err;
}

static int set_rxfh_fields(struct net_device *ndev, const struct ethtool_rxfh_fields *fields,
	struct netlink_ext_ack *ack)
{
	return set_hash_fields(netdev_priv(ndev), fields->flow_type, fields->data);
}

static u32 get_rx_ring_count(struct net_device *ndev)
{
	const struct netvsc *n = netdev_priv(ndev);

	return n->chan_count;
}

#else

static int get_rxnfc(struct net_device *ndev, struct ethtool_rxnfc *c, u32 *unused)
{
	const struct netvsc *n = netdev_priv(ndev);

	if (c->cmd == ETHTOOL_GRXFH)
		return get_hash_fields(n, c->flow_type, &c->data);
	if (c->cmd != ETHTOOL_GRXRINGS)
		return -EOPNOTSUPP;
	c->data = n->chan_count;
	return 0;
}

static int set_rxnfc(struct net_device *ndev, struct ethtool_rxnfc *c)
{
	if (c->cmd != ETHTOOL_SRXFH)
		return -EOPNOTSUPP;
	return set_hash_fields(netdev_priv(ndev), c->flow_type, c->data);
}

#endif

const struct ethtool_ops netvsc_ethtool_ops = {
	.get_drvinfo = get_drvinfo,
	.get_link = ethtool_op_get_link,
	.get_link_ksettings = get_link_ksettings,
	.get_sset_count = get_sset_count,
	.get_strings = get_strings,
	.get_ethtool_stats = get_stats,
	.get_channels = get_channels,
	.set_channels = set_channels,
	.get_ringparam = get_ringparam,
	.set_ringparam = set_ringparam,
	.get_rxfh_key_size = get_rxfh_key_size,
	.get_rxfh_indir_size = get_rxfh_indir_size,
	.get_rxfh = get_rxfh,
	.set_rxfh = set_rxfh,
#if COMPAT_RXFH_FIELDS
	.get_rxfh_fields = get_rxfh_fields,
	.set_rxfh_fields = set_rxfh_fields,
	.get_rx_ring_count = get_rx_ring_count,
#else
	.get_rxnfc = get_rxnfc,
	.set_rxnfc = set_rxnfc,
#endif
};
