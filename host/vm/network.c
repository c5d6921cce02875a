/* SPDX-License-Identifier: MIT */
#include "vm/network.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "vsp/netvsp/netvsp.h"

/* Instance ids: stable, so that guests name the interfaces the same each time. */
#define INSTANCE(number)                                                                           \
	HV_GUID(0xe417e002, 0x5c51, 0x4e17, 0x9a, 0x02, 0x65, 0x6e, 0x6c, 0x69, 0x74,              \
		0x65 + (number))

static const struct hv_guid instances[VM_NICS_MAX] = {INSTANCE(0), INSTANCE(1), INSTANCE(2),
	INSTANCE(3), INSTANCE(4), INSTANCE(5), INSTANCE(6), INSTANCE(7)};

/* ---- addresses ----------------------------------------------------------- */

/* FNV-1a. */
static uint64_t hash(uint64_t h, const char *text)
{
	for (; *text; text++)
		h = (h ^ (uint8_t)*text) * 0x100000001b3ull;
	return h;
}

/* Locally administered. The same for a name and a number each time; without a name a new one, since
 * two VMs without names may share a network. */
static void choose_mac(uint8_t mac[6], const char *name, uint32_t number)
{
	uint64_t h = 0xcbf29ce484222325ull;

	if (name)
		h = hash(h, name);
	else if (getrandom(&h, sizeof(h), 0) != sizeof(h))
		h ^= loop_now_ns();
	h = (h ^ number) * 0x100000001b3ull;
	h ^= h >> 32;
	mac[0] = 0x02;
	for (uint32_t i = 1; i < 6; i++, h >>= 8)
		mac[i] = (uint8_t)h;
}

static bool mac_is_used(const struct network *n, const uint8_t mac[6])
{
	for (uint32_t i = 0; i < n->count; i++)
		if (n->nics[i].nic && !memcmp(n->nics[i].mac, mac, 6))
			return true;
	return false;
}

/* ---- opening and closing ------------------------------------------------- */

static int fail(const struct nic_config *config, int ret, const struct err *why, struct err *e)
{
	return err_set(e, ret, "%s: %s", config->device.origin ? config->device.origin : "--net",
		why->text);
}

static int nic_open(struct network *n, struct network_nic *nic, uint32_t cpus, struct err *e)
{
	const struct nic_config *c = nic->config;
	struct nic_env env = {.control = n->control, .queues = c->queues ? c->queues : cpus};
	struct nic_config_stack s;
	struct err why;
	int ret = nic_config_stack(&s, c, &why);

	if (!ret) {
		ret = nic_stack_open(&nic->nic, &s.stack, &env, &why);
		nic_config_stack_free(&s);
	}
	if (ret)
		return fail(c, ret, &why, e);
	n->open++;
	return 0;
}

static int check_mac(struct network *n, struct network_nic *nic, struct err *e)
{
	struct err why;

	if (!mac_is_used(n, nic->mac))
		return 0;
	err_set(&why, -EINVAL, "mac: another NIC of this VM has this address; choose another");
	return fail(nic->config, -EINVAL, &why, e);
}

int network_open(struct network *n, struct loop *control, const struct vm_config *o, struct err *e)
{
	uint32_t cpus = o->cpus < NIC_QUEUES_MAX ? o->cpus : NIC_QUEUES_MAX;
	int ret = 0;

	n->control = control;
	device_group_init(&n->devices);
	for (uint32_t i = 0; !ret && i < o->nic_count; i++) {
		struct network_nic *nic = &n->nics[i];

		nic->network = n;
		nic->number = i;
		nic->config = &o->nics[i];
		if (!nic->config->mac || !nic_config_mac(nic->config->mac, nic->mac))
			choose_mac(nic->mac, o->name, i);
		ret = check_mac(n, nic, e);
		if (!ret)
			ret = nic_open(n, nic, cpus, e);
		n->count++;
	}
	return ret;
}

static void closed(void *ctx)
{
	struct network *n = ctx;

	if (!--n->open)
		loop_stop(n->control);
}

/* The loop runs once more: what a NIC has in flight there ends first. */
void network_close(struct network *n)
{
	if (!n->open)
		return;
	for (uint32_t i = 0; i < n->count; i++)
		if (n->nics[i].nic)
			nic_close(n->nics[i].nic, closed, n);
	loop_run(n->control);
}

/* ---- guests -------------------------------------------------------------- */

static int nic_attach(struct network_nic *nic, struct vsp_host *host, struct err *e)
{
	const struct nic_config *c = nic->config;
	struct netvsp_config config = {
		.nic = nic->nic,
		.mtu_max = c->mtu,
		.queues = c->queues,
		.vlan = (uint16_t)c->vlan,
		.mac_lock = c->mac_lock,
		.name = "Network Adapter",
	};

	memcpy(config.mac, nic->mac, sizeof(config.mac));
	return vm_device_create(&nic->device, &nic->network->devices, host, &netvsp_ops,
		&instances[nic->number], &config, e);
}

int network_attach(struct network *n, struct vsp_host *host, struct err *e)
{
	int ret = 0;

	for (uint32_t i = 0; !ret && i < n->count; i++)
		ret = nic_attach(&n->nics[i], host, e);
	return ret;
}

void network_detach(struct network *n)
{
	device_group_destroy_all(&n->devices);
}

/* ---- pausing ------------------------------------------------------------- */

void network_pause(struct network *n, void (*paused)(void *ctx), void *ctx)
{
	device_group_pause(&n->devices, paused, ctx);
}

void network_resume(struct network *n)
{
	device_group_resume(&n->devices);
}

void network_name_busy(const struct network *n, struct err *e)
{
	for (uint32_t i = 0; i < n->count; i++)
		if (n->nics[i].device.pausing)
			err_set(e, -EBUSY, "NIC %u has frames that its back end does not send", i);
}

/* ---- inspect ------------------------------------------------------------- */

static void layer_inspect(const struct nic *nic, struct inspect *i)
{
	struct nic_stats s;

	nic_stats(nic, &s);
	inspect_begin(i, NULL);
	inspect_text(i, "kind", nic->ops->name);
	inspect_u64(i, "tx_frames", s.tx.frames);
	inspect_u64(i, "tx_bytes", s.tx.bytes);
	inspect_u64(i, "tx_gso_frames", s.tx.gso_frames);
	inspect_u64(i, "rx_frames", s.rx.frames);
	inspect_u64(i, "rx_bytes", s.rx.bytes);
	inspect_u64(i, "rx_gso_frames", s.rx.gso_frames);
	for (uint32_t d = 0; d < NIC_DROP_COUNT; d++) {
		char name[48];

		snprintf(name, sizeof(name), "tx_dropped_%s", nic_drop_names[d]);
		if (s.tx.dropped[d])
			inspect_u64(i, name, s.tx.dropped[d]);
		snprintf(name, sizeof(name), "rx_dropped_%s", nic_drop_names[d]);
		if (s.rx.dropped[d])
			inspect_u64(i, name, s.rx.dropped[d]);
	}
	inspect_end(i);
}

static void nic_inspect(const struct network_nic *nic, struct inspect *i)
{
	inspect_begin(i, NULL);
	inspect_textf(i, "id", "nic%u", nic->number);
	vsp_device_inspect(nic->device.vsp, i);
	inspect_begin_array(i, "layers");
	for (const struct nic *layer = nic->nic; layer; layer = layer->lower)
		layer_inspect(layer, i);
	inspect_end(i);
	inspect_end(i);
}

void network_inspect(const struct network *n, struct inspect *i)
{
	for (uint32_t k = 0; k < n->count; k++)
		if (n->nics[k].device.vsp)
			nic_inspect(&n->nics[k], i);
}
