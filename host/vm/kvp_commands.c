/* SPDX-License-Identifier: MIT */
/* Commands on the guest's key-value pairs and addresses. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vm/commands.h"
#include "vm/vm_impl.h"
#include "vsp/ic/kvp_walk.h"

/* The guest's daemon runs programs, and has 30 s for them. */
#define IP_REQUEST_NS 40000000000ull

const char *const kvp_pool_names[] = {
	[IC_KVP_EXTERNAL] = "external",
	[IC_KVP_GUEST] = "guest",
	[IC_KVP_AUTO] = "auto",
	[IC_KVP_AUTO_EXTERNAL] = "auto-external",
	[IC_KVP_AUTO_INTERNAL] = "auto-internal",
	NULL,
};

/* IC_KVP_POOLS: not given. */
static uint32_t pool_of(const json_t *json)
{
	const char *name = json_string_value(json_object_get(json, "pool"));
	uint32_t pool = 0;

	while (pool < IC_KVP_POOLS && (!name || strcmp(kvp_pool_names[pool], name)))
		pool++;
	return pool;
}

/* ---- one request --------------------------------------------------------- */

/* A command in progress. */
struct kvp_command {
	struct vm *vm;
	struct ctl_request *request;
	struct ic_kvp_request ask;
	const char *what; /* for errors */
};

static struct kvp_command *command_new(
	struct vm *vm, struct ctl_request *request, const char *what, struct err *e)
{
	struct kvp_command *c = calloc(1, sizeof(*c));

	if (!c) {
		err_set(e, -ENOMEM, "%s: out of memory", what);
		return NULL;
	}
	c->vm = vm;
	c->request = request;
	c->what = what;
	c->ask.request.timeout_ns = IC_KVP_REQUEST_NS;
	return c;
}

static void start(struct kvp_command *c, void (*done)(struct ic_request *r))
{
	c->ask.request.done = done;
	ic_request_start(ic_device(&c->vm->ic, VM_IC_KVP), &c->ask.request);
}

static struct kvp_command *command_of(struct ic_request *r)
{
	return container_of(r, struct kvp_command, ask.request);
}

static void refuse(struct kvp_command *c, const struct err *e)
{
	ctl_refuse(c->request, e);
	free(c);
}

static void finish(struct kvp_command *c, json_t *reply)
{
	ctl_answer(c->request, reply);
	free(c);
}

static void changed(struct ic_request *r)
{
	struct kvp_command *c = command_of(r);
	struct err e;

	if (ic_request_error(&ic_kvp, r, c->what, &e))
		refuse(c, &e);
	else
		finish(c, json_object());
}

/* With `filled` from the functions that fill a body, whose error text lacks the command. */
static int start_change(struct kvp_command *c, int filled, const struct err *why, struct err *e)
{
	if (filled) {
		err_set(e, filled, "%s: %s", c->what, why->text);
		free(c);
		return filled;
	}
	start(c, changed);
	return 0;
}

/* ---- set, remove --------------------------------------------------------- */

int command_kvp_set(struct vm *vm, struct ctl_request *request, const json_t *json, struct err *e)
{
	struct kvp_command *c = command_new(vm, request, "kvp set", e);
	uint32_t pool = pool_of(json);
	struct err why;
	int ret;

	if (!c)
		return -ENOMEM;
	ret = ic_kvp_fill_set(&c->ask, pool == IC_KVP_POOLS ? IC_KVP_EXTERNAL : pool,
		json_string_value(json_object_get(json, "key")),
		json_string_value(json_object_get(json, "value")), &why);
	return start_change(c, ret, &why, e);
}

int command_kvp_remove(
	struct vm *vm, struct ctl_request *request, const json_t *json, struct err *e)
{
	struct kvp_command *c = command_new(vm, request, "kvp remove", e);
	uint32_t pool = pool_of(json);
	struct err why;
	int ret;

	if (!c)
		return -ENOMEM;
	ret = ic_kvp_fill_delete(&c->ask, pool == IC_KVP_POOLS ? IC_KVP_EXTERNAL : pool,
		json_string_value(json_object_get(json, "key")), &why);
	return start_change(c, ret, &why, e);
}

/* ---- list, get ----------------------------------------------------------- */

struct walk_command {
	struct ctl_request *request;
	struct ic_kvp_walk walk;
	json_t *found; /* list: an array; get: a pair, or NULL */
	char key[];    /* get: the one that is wanted */
};

static struct walk_command *walk_command_of(struct ic_kvp_walk *w)
{
	return container_of(w, struct walk_command, walk);
}

static json_t *pair(const struct ic_kvp_walk *w, const struct ic_kvp_item *item)
{
	return json_pack("{s:s, s:s, s:s}", "pool", kvp_pool_names[w->pool], "key", item->key,
		"value", item->value);
}

static void walk_end(struct walk_command *c, const struct err *e, json_t *reply)
{
	if (e)
		ctl_refuse(c->request, e);
	else
		ctl_answer(c->request, reply);
	free(c);
}

/* pool of the command: of the first pair, and of the last; all when it is not given. */
static int start_walk(struct vm *vm, struct ctl_request *request, const json_t *json,
	const struct ic_kvp_walk *walk, struct err *e)
{
	const char *key = json_string_value(json_object_get(json, "key"));
	size_t size = key ? strlen(key) + 1 : 1;
	struct walk_command *c = calloc(1, sizeof(*c) + size);
	uint32_t pool = pool_of(json);

	if (!c)
		return err_set(e, -ENOMEM, "%s: out of memory", walk->what);
	memcpy(c->key, key ? key : "", size);
	c->request = request;
	c->walk = *walk;
	c->walk.dev = &vm->ic.services[VM_IC_KVP].device.vsp;
	c->walk.pool = pool == IC_KVP_POOLS ? 0 : pool;
	c->walk.last = pool == IC_KVP_POOLS ? IC_KVP_POOLS - 1 : pool;
	ic_kvp_walk_start(&c->walk);
	return 0;
}

static bool list_take(struct ic_kvp_walk *w, const struct ic_kvp_item *item)
{
	struct walk_command *c = walk_command_of(w);

	if (!c->found)
		c->found = json_array();
	json_array_append_new(c->found, pair(w, item));
	return true;
}

static void list_done(struct ic_kvp_walk *w, const struct err *e)
{
	struct walk_command *c = walk_command_of(w);
	json_t *pairs = c->found ? c->found : json_array();

	if (!e) {
		walk_end(c, NULL, json_pack("{s:o}", "pairs", pairs));
		return;
	}
	json_decref(pairs);
	walk_end(c, e, NULL);
}

int command_kvp_list(struct vm *vm, struct ctl_request *request, const json_t *json, struct err *e)
{
	const struct ic_kvp_walk walk = {.what = "kvp list", .take = list_take, .done = list_done};

	return start_walk(vm, request, json, &walk, e);
}

static bool get_take(struct ic_kvp_walk *w, const struct ic_kvp_item *item)
{
	struct walk_command *c = walk_command_of(w);

	if (strcmp(c->key, item->key))
		return true;
	c->found = pair(w, item);
	return false;
}

static void get_done(struct ic_kvp_walk *w, const struct err *e)
{
	struct walk_command *c = walk_command_of(w);
	struct err none;

	if (!e && !c->found) {
		err_set(&none, -ENOENT, "kvp get: the guest has no key '%.100s' there", c->key);
		e = &none;
	}
	walk_end(c, e, c->found);
}

int command_kvp_get(struct vm *vm, struct ctl_request *request, const json_t *json, struct err *e)
{
	const struct ic_kvp_walk walk = {.what = "kvp get", .take = get_take, .done = get_done};

	return start_walk(vm, request, json, &walk, e);
}

/* ---- addresses ----------------------------------------------------------- */

static const struct network_nic *nic_of(struct vm *vm, const json_t *json, struct err *e)
{
	json_int_t n = json_integer_value(json_object_get(json, "nic"));

	if (n < VM_NICS_MAX && vm->network.nics[n].device.vsp)
		return &vm->network.nics[n];
	err_set(e, -ENOENT, "no NIC %d; see `inspect`", (int)n);
	return NULL;
}

static void ip_shown(struct ic_request *r)
{
	struct kvp_command *c = command_of(r);
	struct ic_kvp_addresses a;
	struct err e;

	if (ic_request_error(&ic_kvp, r, c->what, &e)) {
		refuse(c, &e);
		return;
	}
	ic_kvp_addresses(&c->ask, &a);
	finish(c, json_pack("{s:b, s:s, s:s, s:s, s:s}", "dhcp", a.dhcp, "address", a.addresses,
			  "subnet", a.subnets, "gateway", a.gateways, "dns", a.dns));
}

int command_ip_show(struct vm *vm, struct ctl_request *request, const json_t *json, struct err *e)
{
	const struct network_nic *nic = nic_of(vm, json, e);
	struct kvp_command *c = nic ? command_new(vm, request, "ip show", e) : NULL;

	if (!c)
		return -ENOENT;
	c->ask.request.timeout_ns = IP_REQUEST_NS;
	ic_kvp_fill_get_ip(&c->ask, nic->mac);
	start(c, ip_shown);
	return 0;
}

static void take_list(char *to, size_t room, const json_t *json, const char *key)
{
	const char *text = json_string_value(json_object_get(json, key));

	snprintf(to, room, "%s", text ? text : "");
}

int command_ip_set(struct vm *vm, struct ctl_request *request, const json_t *json, struct err *e)
{
	const struct network_nic *nic = nic_of(vm, json, e);
	struct kvp_command *c = nic ? command_new(vm, request, "ip set", e) : NULL;
	struct ic_kvp_addresses a = {.dhcp = json_is_true(json_object_get(json, "dhcp"))};
	struct err why;
	int ret;

	if (!c)
		return -ENOENT;
	c->ask.request.timeout_ns = IP_REQUEST_NS;
	take_list(a.addresses, sizeof(a.addresses), json, "address");
	take_list(a.subnets, sizeof(a.subnets), json, "subnet");
	take_list(a.gateways, sizeof(a.gateways), json, "gateway");
	take_list(a.dns, sizeof(a.dns), json, "dns");
	ret = ic_kvp_fill_set_ip(&c->ask, vsp_device_instance(nic->device.vsp), &a, &why);
	return start_change(c, ret, &why, e);
}
