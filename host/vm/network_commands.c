/* SPDX-License-Identifier: MIT */
/* Commands on NICs: from JSON to network.h and back. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/parse.h"
#include "nic/types.h"
#include "vm/commands.h"
#include "vm/vm.h"

static const char id_prefix[] = "nic";

static int get_id(const json_t *json, uint32_t *number, struct err *e)
{
	const char *id = json_string_value(json_object_get(json, "id"));
	const char *digits = id + sizeof(id_prefix) - 1;
	uint64_t value;

	if (!strncmp(id, id_prefix, sizeof(id_prefix) - 1) &&
		!parse_number(digits, 0, VM_NICS_MAX - 1, &value)) {
		*number = (uint32_t)value;
		return 0;
	}
	return err_set(e, -EINVAL, "NIC ID '%s': nic0 to nic%u is needed; see `nic list`", id,
		VM_NICS_MAX - 1);
}

static json_t *id_reply(uint32_t number)
{
	char id[16];

	snprintf(id, sizeof(id), "%s%u", id_prefix, number);
	return json_pack("{s:s}", "id", id);
}

/* ---- add ----------------------------------------------------------------- */

/* A descriptor of the caller is none of ours: another may have its number here. */
static int refuse_descriptors(const struct nic_config *nic, struct err *e)
{
	const struct nic_backend_options *o = nic->device.source.object;

	if (strncmp(o->backend, "fd:", 3))
		return 0;
	return err_set(e, -EINVAL,
		"backend: descriptors are inherited when the VM starts; use tap: instead");
}

/* "spec" is a text as --net has it, or an object as in a configuration file. */
static int read_nic(struct nic_config *nic, const json_t *json, struct err *e)
{
	const char *directory = json_string_value(json_object_get(json, "directory"));
	const json_t *spec = json_object_get(json, "spec");
	struct err why;
	int ret;

	if (json_is_string(spec))
		ret = nic_config_parse(nic, json_string_value(spec), directory, &why);
	else
		ret = nic_config_from_json(nic, spec, directory, &why);
	if (!ret) {
		ret = refuse_descriptors(nic, &why);
		if (ret)
			nic_config_free(nic);
	}
	return ret ? err_set(e, ret, "nic add: %s", why.text) : 0;
}

int command_nic_add(struct vm *vm, struct ctl_request *request, const json_t *json, struct err *e)
{
	struct nic_config nic;
	uint32_t number;
	int ret = read_nic(&nic, json, e);

	if (!ret)
		ret = network_add(&vm->network, &nic, &number, e);
	if (!ret)
		ctl_answer(request, id_reply(number));
	return ret;
}

/* ---- remove -------------------------------------------------------------- */

static void removed(void *ctx, const struct err *e)
{
	struct ctl_request *request = ctx;

	if (e)
		ctl_refuse(request, e);
	else
		ctl_answer(request, json_object());
}

int command_nic_remove(
	struct vm *vm, struct ctl_request *request, const json_t *json, struct err *e)
{
	uint32_t number;
	int ret = get_id(json, &number, e);

	if (ret)
		return ret;
	return network_remove(
		&vm->network, number, &(struct network_change){.done = removed, .ctx = request}, e);
}

/* ---- link and MTU -------------------------------------------------------- */

int command_nic_link(struct vm *vm, struct ctl_request *request, const json_t *json, struct err *e)
{
	const char *state = json_string_value(json_object_get(json, "state"));
	uint32_t number;
	int ret = get_id(json, &number, e);

	if (!ret && strcmp(state, "up") && strcmp(state, "down"))
		ret = err_set(e, -EINVAL, "nic link: '%s': up or down is needed", state);
	if (!ret)
		ret = network_set_link(&vm->network, number, !strcmp(state, "up"), e);
	if (!ret)
		ctl_answer(request, json_object());
	return ret;
}

int command_nic_speed(struct vm *vm, struct ctl_request *request, const json_t *json, struct err *e)
{
	const char *text = json_string_value(json_object_get(json, "speed"));
	uint64_t bps = nic_limit_rate(text);
	uint32_t number;
	int ret = get_id(json, &number, e);

	if (!ret && !bps)
		ret = err_set(e, -EINVAL, "nic speed: '%s': must be %s", text, NIC_LIMIT_RULE);
	if (!ret)
		ret = network_set_speed(&vm->network, number, bps, e);
	if (!ret)
		ctl_answer(request, json_object());
	return ret;
}

int command_nic_mtu(struct vm *vm, struct ctl_request *request, const json_t *json, struct err *e)
{
	json_int_t mtu = json_integer_value(json_object_get(json, "mtu"));
	uint32_t number;
	int ret = get_id(json, &number, e);

	if (!ret)
		ret = network_set_mtu(&vm->network, number, (uint32_t)mtu, e);
	if (!ret)
		ctl_answer(request, json_object());
	return ret;
}

/* ---- list ---------------------------------------------------------------- */

const char *const network_state_names[] = {
	[NETWORK_NONE] = "none",
	[NETWORK_PRESENT] = "present",
	[NETWORK_QUIESCING] = "quiescing",
	[NETWORK_RESCINDED] = "rescinded",
	[NETWORK_CLOSING] = "closing",
};

/* File names need not be UTF-8. */
static json_t *backend_name(const struct network_nic *nic)
{
	const struct nic_backend_options *o = nic->config.device.source.object;
	json_t *name = json_string(o->backend);

	return name ? name : json_string("(not UTF-8)");
}

static json_t *nic_entry(const struct network_nic *nic)
{
	json_t *entry = id_reply(nic->number);
	char mac[18];

	snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x", nic->mac[0], nic->mac[1],
		nic->mac[2], nic->mac[3], nic->mac[4], nic->mac[5]);
	json_object_set_new(entry, "backend", backend_name(nic));
	json_object_set_new(entry, "mac", json_string(mac));
	json_object_set_new(entry, "link", json_string(nic->link ? "up" : "down"));
	json_object_set_new(entry, "backend_link", json_boolean(nic->nic && nic_link_up(nic->nic)));
	json_object_set_new(entry, "state", json_string(network_state_names[nic->state]));
	return entry;
}

int command_nic_list(struct vm *vm, struct ctl_request *request, const json_t *json, struct err *e)
{
	json_t *nics = json_array();

	for (uint32_t i = 0; i < VM_NICS_MAX; i++)
		if (vm->network.nics[i].state != NETWORK_NONE)
			json_array_append_new(nics, nic_entry(&vm->network.nics[i]));
	ctl_answer(request, json_pack("{s:o}", "nics", nics));
	return 0;
}
