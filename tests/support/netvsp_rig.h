/* SPDX-License-Identifier: MIT */
/* A guest with one NIC: the VSP in front of any stack of back ends. For the loop tests. */
#ifndef SUPPORT_NETVSP_RIG_H
#define SUPPORT_NETVSP_RIG_H

#include "nic/stack.h"
#include "tests/support/guest_nic.h"
#include "vsp/netvsp/netvsp.h"

#define NETVSP_RIG_RAM      (64u << 20)
#define NETVSP_RIG_INSTANCE 0x31
#define NETVSP_RIG_QUEUES   8u

struct netvsp_rig {
	struct guest g;
	struct guest_nic n;
	struct nic *nic;
	struct vsp_device *dev;
	struct netvsp_config config;
	const char *stack;
	bool nic_closed;
};

/* stack: "loop", "tap:x,pcap=y". config->nic is not used. NULL: all zero, with a MAC. The guest is
 * connected; the channel is not open. */
struct netvsp_rig *netvsp_rig_create(
	const char *stack, uint32_t vps, uint32_t io_threads, const struct netvsp_config *config);
void netvsp_rig_destroy(struct netvsp_rig *rig);
struct netvsp_counters netvsp_rig_counters(struct netvsp_rig *rig);

/* The guest chooses its own address. */
void netvsp_rig_set_mac(struct netvsp_rig *rig, const uint8_t mac[6]);
/* Whether a frame to the address, which the back end sends back, comes in. */
bool netvsp_rig_receives(struct netvsp_rig *rig, const uint8_t mac[6]);

#endif
