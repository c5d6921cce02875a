/* SPDX-License-Identifier: MIT */
/* The NICs of a VM that is saved: those there are now, with what was changed while it ran. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "vm/network.h"

/* ---- configuration ------------------------------------------------------- */

/* A restored NIC has the number and the address that the guest knows. */
static void fill(const struct network_nic *nic, struct nic_config *config, char mac[NIC_MAC_TEXT])
{
	*config = nic->config;
	config->number = nic->number;
	snprintf(mac, NIC_MAC_TEXT, "%02x:%02x:%02x:%02x:%02x:%02x", nic->mac[0], nic->mac[1],
		nic->mac[2], nic->mac[3], nic->mac[4], nic->mac[5]);
	config->mac = mac;
}

uint32_t network_configs(
	const struct network *n, struct nic_config *configs, char (*macs)[NIC_MAC_TEXT])
{
	uint32_t count = 0;

	ON_LOOP(n->control);
	for (uint32_t i = 0; i < VM_NICS_MAX; i++)
		if (n->nics[i].state == NETWORK_PRESENT) {
			fill(&n->nics[i], &configs[count], macs[count]);
			count++;
		}
	return count;
}

/* ---- state --------------------------------------------------------------- */

static void nic_archive(struct network *n, uint32_t number, struct archive *a)
{
	struct network_nic *nic = &n->nics[number];
	bool link = nic->link;
	uint64_t speed = nic->speed_bps;

	archive_bool(a, "link", &link);
	archive_u64(a, "speed_bps", &speed);
	if (!a->reading || a->error)
		return;
	if (nic->state != NETWORK_PRESENT) {
		archive_fail(a, "nic%u is missing", number);
		return;
	}
	nic->link = link;
	nic->speed_bps = speed;
}

static uint32_t count_nics(const struct network *n, struct archive *a)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < VM_NICS_MAX; i++) {
		if (n->nics[i].state == NETWORK_NONE)
			continue;
		count++;
		if (n->nics[i].state != NETWORK_PRESENT)
			archive_fail(a, "nic%u is being removed", i);
	}
	return count;
}

/* The next NIC that is there. */
static uint8_t next_number(const struct network *n, uint8_t number)
{
	while (number < VM_NICS_MAX && n->nics[number].state != NETWORK_PRESENT)
		number++;
	return number;
}

void network_archive(struct network *n, struct archive *a)
{
	uint32_t have = count_nics(n, a), count = archive_list(a, "nics", have, VM_NICS_MAX);
	uint8_t number = 0;

	ON_LOOP(n->control);
	for (uint32_t i = 0; i < count && !a->error; i++, number++) {
		number = a->reading ? 0 : next_number(n, number);
		archive_begin(a, NULL, 1);
		archive_u8(a, "number", &number);
		if (number >= VM_NICS_MAX)
			archive_fail(a, "number %u", number);
		else
			nic_archive(n, number, a);
		archive_end(a);
	}
	if (a->reading && count != have)
		archive_fail(a, "the VM had %u when it was saved, not %u", count, have);
	archive_end(a);
}
