/* SPDX-License-Identifier: MIT */
#include "vm/network.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "base/time.h"
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
	for (uint32_t i = 0; i < VM_NICS_MAX; i++)
		if (n->nics[i].nic && !memcmp(n->nics[i].mac, mac, 6))
			return true;
	return false;
}

/* ---- opening and closing ------------------------------------------------- */

static int fail(const struct nic_config *config, int ret, const struct err *why, struct err *e)
{
	return err_set(e, ret, "%s: %s", config->device.origin ? config->device.origin : "nic add",
		why->text);
}

static int back_end_open(struct network_nic *nic, struct err *e)
{
	const struct network *n = nic->network;
	const struct nic_config *c = &nic->config;
	struct nic_env env = {.control = n->control, .queues = c->queues ? c->queues : n->queues};
	struct nic_config_stack s;
	int ret = nic_config_stack(&s, c, e);

	if (ret)
		return ret;
	ret = nic_stack_open(&nic->nic, &s.stack, &env, e);
	nic_config_stack_free(&s);
	return ret;
}

static int check_mac(const struct network *n, const uint8_t mac[6], struct err *e)
{
	if (!mac_is_used(n, mac))
		return 0;
	return err_set(e, -EEXIST, "mac: another NIC of this VM has this address; choose another");
}

static void nic_forget(struct network_nic *nic)
{
	nic_config_free(&nic->config);
	*nic = (struct network_nic){.network = nic->network, .number = nic->number};
}

/* Takes config over, also after an error. */
static int nic_open(struct network *n, uint32_t number, struct nic_config *config, struct err *e)
{
	struct network_nic *nic = &n->nics[number];
	struct err why;
	int ret;

	nic->config = *config;
	nic->link = true;
	if (!config->mac || !nic_config_mac(config->mac, nic->mac))
		choose_mac(nic->mac, n->name, number);
	ret = check_mac(n, nic->mac, &why);
	if (!ret)
		ret = back_end_open(nic, &why);
	if (ret) {
		fail(config, ret, &why, e);
		nic_forget(nic);
		return ret;
	}
	nic->state = NETWORK_PRESENT;
	n->monitored |= config->monitor;
	n->open++;
	return 0;
}

int network_open(struct network *n, struct loop *control, const struct vm_config *o, struct err *e)
{
	int ret = 0;

	n->control = control;
	n->name = o->name;
	n->tick_ns = NETVSP_QUIESCE_TICK_NS;
	n->release_s = NETWORK_RELEASE_S;
	n->queues = o->cpus < NIC_QUEUES_MAX ? o->cpus : NIC_QUEUES_MAX;
	device_group_init(&n->devices);
	for (uint32_t i = 0; i < VM_NICS_MAX; i++)
		n->nics[i] = (struct network_nic){.network = n, .number = i};
	for (uint32_t i = 0; !ret && i < o->nic_count; i++) {
		struct nic_config config;
		uint32_t number;

		ret = nic_config_copy(&config, &o->nics[i]);
		if (ret)
			return err_set(e, ret, "--net: out of memory");
		ret = network_add(n, &config, &number, e);
	}
	return ret;
}

/* The change has ended: e NULL, or why it was not made. */
static void finish_change(struct network_nic *nic, const struct err *e)
{
	struct network_change change = nic->change;

	nic->change = (struct network_change){0};
	if (change.done)
		change.done(change.ctx, e);
}

static void closed(void *ctx)
{
	struct network_nic *nic = ctx;
	struct network *n = nic->network;

	n->open--;
	finish_change(nic, NULL);
	nic_forget(nic);
	if (n->closing && !n->open)
		loop_stop(n->control);
}

static void back_end_close(struct network_nic *nic)
{
	struct nic *back_end = nic->nic;

	loop_timer_cancel(&nic->timer);
	nic->state = NETWORK_CLOSING;
	nic->nic = NULL;
	nic_close(back_end, closed, nic);
}

/* The loop runs once more: what a NIC has in flight there ends first. */
void network_close(struct network *n)
{
	if (!n->open)
		return;
	n->closing = true;
	for (uint32_t i = 0; i < VM_NICS_MAX; i++)
		if (n->nics[i].nic)
			back_end_close(&n->nics[i]);
	if (n->open)
		loop_run(n->control);
}

/* ---- guests -------------------------------------------------------------- */

static int nic_attach(struct network_nic *nic, struct vsp_host *host, struct err *e)
{
	const struct nic_config *c = &nic->config;
	struct netvsp_config config = {
		.nic = nic->nic,
		.mtu_max = c->mtu,
		.unplugged = !nic->link,
		.monitored = nic->network->monitored,
		.speed_bps = nic->speed_bps,
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

	n->host = host;
	for (uint32_t i = 0; !ret && i < VM_NICS_MAX; i++)
		if (n->nics[i].state == NETWORK_PRESENT)
			ret = nic_attach(&n->nics[i], host, e);
	return ret;
}

/* A NIC that was to be removed, and that the guest has not been asked for yet, goes now. */
void network_detach(struct network *n)
{
	device_group_destroy_all(&n->devices);
	n->host = NULL;
	n->paused = false;
	for (uint32_t i = 0; i < VM_NICS_MAX; i++)
		if (n->nics[i].state == NETWORK_QUIESCING)
			back_end_close(&n->nics[i]);
}

/* ---- adding -------------------------------------------------------------- */

static int choose_number(
	const struct network *n, const struct nic_config *config, uint32_t *number, struct err *e)
{
	if (config->number != VM_AUTO) {
		*number = (uint32_t)config->number;
		if (n->nics[*number].state == NETWORK_NONE)
			return 0;
		return err_set(
			e, -EEXIST, "nic add: number: nic%u is there; choose another", *number);
	}
	for (*number = 0; *number < VM_NICS_MAX; (*number)++)
		if (n->nics[*number].state == NETWORK_NONE)
			return 0;
	return err_set(e, -ENOSPC, "nic add: a VM has at most %u NICs", VM_NICS_MAX);
}

int network_add(struct network *n, struct nic_config *config, uint32_t *number, struct err *e)
{
	struct network_nic *nic;
	int ret = choose_number(n, config, number, e);

	ON_LOOP(n->control);
	if (ret) {
		nic_config_free(config);
		return ret;
	}
	nic = &n->nics[*number];
	ret = nic_open(n, *number, config, e);
	if (!ret && n->host)
		ret = nic_attach(nic, n->host, e);
	if (ret && nic->nic)
		back_end_close(nic);
	return ret;
}

/* ---- removing ------------------------------------------------------------ */

static int find(struct network *n, uint32_t number, struct network_nic **nic, struct err *e)
{
	ON_LOOP(n->control);
	*nic = &n->nics[number];
	switch ((*nic)->state) {
	case NETWORK_NONE:
		return err_set(e, -ENOENT, "there is no NIC nic%u; see `nic list`", number);
	case NETWORK_PRESENT:
		return 0;
	default:
		return err_set(e, -EALREADY, "NIC nic%u is being removed already", number);
	}
}

static void removed(void *ctx)
{
	struct network_nic *nic = ctx;

	vm_device_destroy(&nic->device);
	back_end_close(nic);
}

static void tick(struct loop_timer *timer);

static void arm(struct network_nic *nic)
{
	loop_timer_start(nic->network->control, &nic->timer, NS_PER_S, tick);
}

/* The guest has the rest of its life to release the NIC; it gets nothing more from it. */
static void give_up_waiting(struct network_nic *nic)
{
	struct err e;

	vsp_device_remove_now(nic->device.vsp);
	err_set(&e, -ETIMEDOUT,
		"nic remove: the guest did not release nic%u within %u s; its channels are closed, and it is removed when the guest does",
		nic->number, nic->waited_s);
	finish_change(nic, &e);
}

/* A guest that is paused cannot release anything. */
static void tick(struct loop_timer *timer)
{
	struct network_nic *nic = container_of(timer, struct network_nic, timer);

	nic->waited_s += !nic->network->paused;
	if (nic->waited_s < nic->network->release_s)
		arm(nic);
	else
		give_up_waiting(nic);
}

static void quiet(void *ctx)
{
	struct network_nic *nic = ctx;

	nic->state = NETWORK_RESCINDED;
	nic->waited_s = 0;
	arm(nic);
	vsp_device_remove_while_open(nic->device.vsp, removed, nic);
}

int network_remove(
	struct network *n, uint32_t number, const struct network_change *change, struct err *e)
{
	struct network_nic *nic;
	int ret = find(n, number, &nic, e);

	if (ret)
		return ret;
	assert(n->host);
	nic->change = *change;
	nic->state = NETWORK_QUIESCING;
	netvsp_quiesce(nic->device.vsp, n->tick_ns, quiet, nic);
	return 0;
}

/* ---- link, speed, MTU ---------------------------------------------------- */

int network_set_link(struct network *n, uint32_t number, bool up, struct err *e)
{
	struct network_nic *nic;
	int ret = find(n, number, &nic, e);

	if (ret)
		return ret;
	nic->link = up;
	if (nic->device.vsp)
		netvsp_set_link(nic->device.vsp, up);
	return 0;
}

int network_set_speed(struct network *n, uint32_t number, uint64_t bps, struct err *e)
{
	struct network_nic *nic;
	int ret = find(n, number, &nic, e);

	if (ret)
		return ret;
	nic->speed_bps = bps;
	if (nic->device.vsp)
		netvsp_set_speed(nic->device.vsp, bps);
	return 0;
}

int network_set_mtu(struct network *n, uint32_t number, uint32_t mtu, struct err *e)
{
	struct network_nic *nic;
	int ret = find(n, number, &nic, e);

	if (ret)
		return ret;
	if (mtu < NETVSP_MTU_MIN || mtu > NETVSP_MTU_MAX)
		return err_set(e, -EINVAL, "nic mtu: must be %u to %u, not %u", NETVSP_MTU_MIN,
			NETVSP_MTU_MAX, mtu);
	nic->config.mtu = mtu;
	if (nic->device.vsp)
		netvsp_set_mtu_max(nic->device.vsp, mtu);
	return 0;
}

/* ---- pausing ------------------------------------------------------------- */

void network_pause(struct network *n, void (*paused)(void *ctx), void *ctx)
{
	n->paused = true;
	device_group_pause(&n->devices, paused, ctx);
}

void network_resume(struct network *n)
{
	n->paused = false;
	device_group_resume(&n->devices);
}

void network_name_busy(const struct network *n, struct err *e)
{
	for (uint32_t i = 0; i < VM_NICS_MAX; i++)
		if (n->nics[i].device.pausing)
			err_set(e, -EBUSY, "nic%u has frames that its back end does not send", i);
}
