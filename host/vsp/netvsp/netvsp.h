/* SPDX-License-Identifier: MIT */
/*
 * The synthetic NIC: NVSP and RNDIS over a VMBus channel, in front of a struct nic.
 * Source: spec sheet "netvsp"; wire in hv/nvsp_reg.h, hv/rndis_reg.h.
 */
#ifndef NETVSP_H
#define NETVSP_H

#include "nic/nic.h"
#include "vsp/vsp.h"

#define NETVSP_MTU_MIN     68u
#define NETVSP_MTU_DEFAULT 1500u
#define NETVSP_MTU_MAX     9216u

/* The config of vsp_device_create(); copied. */
struct netvsp_config {
	struct nic *nic; /* stays the caller's; outlives the device, which is its only user */
	uint8_t mac[6];
	uint32_t mtu_max;   /* payload of Ethernet; 0: NETVSP_MTU_MAX */
	uint32_t queues;    /* at most so many channels; 0: one per VP */
	uint64_t speed_bps; /* shown to the guest; 0: the NIC's */
	uint16_t vlan;      /* access VLAN, which the guest does not see; 0: none */
	bool mac_lock;      /* the guest sends from its MAC only, and cannot change it */
	bool monitored;     /* see vsp_ops.monitored */
	bool unplugged;     /* the cable is out at first: see netvsp_set_link() */
	const char *name;   /* shown to the guest as the name of the interface; NULL: none */
};

struct netvsp_counters {
	uint64_t tx_frames, tx_bytes; /* taken by the NIC; a GSO frame is one */
	uint64_t tx_multicast, tx_broadcast;
	uint64_t tx_multicast_bytes, tx_broadcast_bytes;
	uint64_t tx_invalid; /* refused: bytes that are no frame, or break a rule */
	uint64_t tx_spoofed; /* refused by mac_lock or vlan; in tx_invalid, too */
	uint64_t tx_dropped; /* by the NIC, or the cable was out */
	uint64_t rx_frames, rx_bytes;
	uint64_t rx_multicast, rx_broadcast;
	uint64_t rx_multicast_bytes, rx_broadcast_bytes;
	uint64_t rx_filtered; /* not for this guest */
	uint64_t rx_dropped;  /* no room */
	uint64_t rx_packets;  /* transfer packets that carried them */
	uint64_t rx_starved;  /* times there was no free section */
};

extern const struct vsp_ops netvsp_ops;

/* Any thread. Sums over all channels since the device was created. */
void netvsp_counters(struct vsp_device *dev, struct netvsp_counters *sum);

/* ON_CONTROL. The cable: false: the guest sees no link, whatever the NIC says, and no frame passes.
 */
void netvsp_set_link(struct vsp_device *dev, bool up);

/* ON_CONTROL. The speed that the guest sees; nothing becomes faster or slower. */
void netvsp_set_speed(struct vsp_device *dev, uint64_t bits_per_second);

/* ON_CONTROL. As netvsp_config.mtu_max, for guest drivers that connect after this: one that runs
 * reads it only then. */
void netvsp_set_mtu_max(struct vsp_device *dev, uint32_t mtu_max);

/* ON_CONTROL. Before vsp_device_remove_while_open(): takes the cable out, and waits until the guest
 * sends nothing any more, 90 ticks at most. Once. quiet(ctx), possibly before this returns; not
 * after the device was destroyed. tick_ns: NETVSP_QUIESCE_TICK_NS, but for tests. */
#define NETVSP_QUIESCE_TICK_NS 50000000ull
void netvsp_quiesce(struct vsp_device *dev, uint64_t tick_ns, void (*quiet)(void *ctx), void *ctx);

/* ON_CONTROL. What the guest has negotiated. */
struct netvsp_info {
	uint32_t version; /* NVSP_VERSION_*; 0: no guest driver */
	uint32_t mtu;
	uint32_t channels;
	uint32_t filter; /* NDIS_FILTER_* */
	uint8_t mac[6];
	bool link;
	bool rsc4, rsc6;
	bool rss;
	uint32_t sections, section_size; /* of the receive buffer; 0: none */
};
void netvsp_info(struct vsp_device *dev, struct netvsp_info *info);

#endif
