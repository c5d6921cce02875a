/* SPDX-License-Identifier: MIT */
#include "tests/support/netvsp_rig.h"

#include <stdlib.h>
#include <string.h>

#include "tests/support/check.h"
#include "tests/support/nic_rig.h"

static void open_nic(void *arg)
{
	struct netvsp_rig *rig = arg;
	struct hv_guid instance = {{0}};
	struct err e;

	if (nic_rig_stack(&rig->nic, &rig->g.control, rig->stack, NETVSP_RIG_QUEUES, &e)) {
		fprintf(stderr, "%s\n", e.text);
		abort();
	}
	rig->config.nic = rig->nic;
	instance.b[15] = NETVSP_RIG_INSTANCE;
	if (vsp_device_create(&rig->dev, &rig->g.host, &netvsp_ops, &instance, &rig->config, &e)) {
		fprintf(stderr, "%s\n", e.text);
		abort();
	}
}

struct netvsp_rig *netvsp_rig_create(
	const char *stack, uint32_t vps, uint32_t io_threads, const struct netvsp_config *config)
{
	static const uint8_t mac[6] = {2, 0, 0, 0, 0, 0xbb};
	struct netvsp_rig *rig = calloc(1, sizeof(*rig));
	struct guest_config gc = {.ram = NETVSP_RIG_RAM, .vps = vps, .io_threads = io_threads};

	check(rig);
	rig->stack = stack;
	if (config)
		rig->config = *config;
	if (!rig->config.mac[0])
		memcpy(rig->config.mac, mac, sizeof(mac));
	guest_start(&rig->g, &gc);
	guest_control(&rig->g, open_nic, rig);
	guest_nic_init(&rig->n, &rig->g, NETVSP_RIG_INSTANCE);
	guest_connect(&rig->g, VMBUS_VERSION_WIN10_V5_3);
	return rig;
}

static void closed(void *ctx)
{
	struct netvsp_rig *rig = ctx;

	__atomic_store_n(&rig->nic_closed, true, __ATOMIC_RELEASE);
}

static void close_nic(void *arg)
{
	struct netvsp_rig *rig = arg;

	vsp_device_destroy(rig->dev);
	nic_close(rig->nic, closed, rig);
}

static void nothing(void *arg)
{
}

void netvsp_rig_destroy(struct netvsp_rig *rig)
{
	guest_shut_down(&rig->g);
	guest_control(&rig->g, close_nic, rig);
	while (!__atomic_load_n(&rig->nic_closed, __ATOMIC_ACQUIRE)) {
		if (rig->g.single)
			guest_turn(&rig->g);
		else
			guest_control(&rig->g, nothing, rig);
	}
	guest_stop(&rig->g);
	free(rig);
}

struct netvsp_counters netvsp_rig_counters(struct netvsp_rig *rig)
{
	struct netvsp_counters sum;

	netvsp_counters(rig->dev, &sum);
	return sum;
}

void netvsp_rig_set_mac(struct netvsp_rig *rig, const uint8_t mac[6])
{
	struct guest_nic *n = &rig->n;
	uint8_t bytes[NETVSC_MESSAGE_MAX];

	guest_nic_control(n, bytes, netvsc_mac_message(bytes, ++n->conn.request_id, mac));
	check(guest_nic_reply(n).status == RNDIS_STATUS_SUCCESS);
}

bool netvsp_rig_receives(struct netvsp_rig *rig, const uint8_t mac[6])
{
	struct guest_nic *n = &rig->n;
	struct netvsc_tx tx = {.length = 60};
	uint8_t bytes[60] = {0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0xaa, 0x88, 0xb5};
	uint64_t frames = n->frames, filtered = netvsp_rig_counters(rig).rx_filtered;

	memcpy(bytes, mac, 6);
	check(guest_nic_send(n, 0, NIC_LAYOUT_RANGES, &tx, bytes));
	guest_nic_wait_sent(n);
	if (netvsp_rig_counters(rig).rx_filtered != filtered)
		return false;
	guest_nic_wait_frames(n, frames + 1);
	return true;
}
