/* SPDX-License-Identifier: MIT */
#include "vsp/ic/kvp.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "vsp/ic/ic_impl.h"

/* ---- bodies -------------------------------------------------------------- */

static struct ic_kvp *begin(
	struct ic_kvp_request *r, enum ic_kvp_operation operation, enum ic_kvp_pool pool)
{
	assert(pool < IC_KVP_POOLS);
	memset(&r->body, 0, sizeof(r->body));
	r->request.body = &r->body;
	r->request.size = sizeof(r->body.kvp);
	r->body.kvp.operation = (uint8_t)operation;
	r->body.kvp.pool = (uint8_t)pool;
	return &r->body.kvp;
}

static int put_text(void *to, size_t room, const char *text, const char *what, struct err *e)
{
	int used = utf16_from_utf8(to, room, text);

	if (used == -E2BIG)
		return err_set(e, -EINVAL, "%s: longer than %zu UTF-16 units", what, room / 2 - 1);
	return used < 0 ? err_set(e, -EINVAL, "%s: is not UTF-8 text", what) : used;
}

static int put_key(uint8_t to[IC_KVP_KEY_MAX], const char *key, struct err *e)
{
	if (!*key)
		return err_set(e, -EINVAL, "key: is empty");
	return put_text(to, IC_KVP_KEY_MAX, key, "key", e);
}

static int put_pair(struct ic_kvp_value *to, const char *key, const char *value, struct err *e)
{
	int key_size = put_key(to->key, key, e);
	int value_size =
		key_size < 0 ? key_size : put_text(to->value, sizeof(to->value), value, "value", e);

	if (value_size < 0)
		return value_size;
	to->type = IC_KVP_TEXT;
	to->key_size = (uint32_t)key_size;
	to->value_size = (uint32_t)value_size;
	return 0;
}

int ic_kvp_fill_set(struct ic_kvp_request *r, enum ic_kvp_pool pool, const char *key,
	const char *value, struct err *e)
{
	return put_pair(&begin(r, IC_KVP_SET, pool)->value, key, value, e);
}

int ic_kvp_fill_delete(
	struct ic_kvp_request *r, enum ic_kvp_pool pool, const char *key, struct err *e)
{
	struct ic_kvp *kvp = begin(r, IC_KVP_DELETE, pool);
	int size = put_key(kvp->removal.key, key, e);

	if (size < 0)
		return size;
	kvp->removal.key_size = (uint32_t)size;
	return 0;
}

void ic_kvp_fill_enumerate(struct ic_kvp_request *r, enum ic_kvp_pool pool, uint32_t index)
{
	begin(r, IC_KVP_ENUMERATE, pool)->item.index = index;
}

bool ic_kvp_item(const struct ic_kvp_request *r, struct ic_kvp_item *item)
{
	const struct ic_kvp_value *v = &r->body.kvp.item.value;

	if (r->request.answer_size < sizeof(r->body.kvp) || v->key_size > IC_KVP_KEY_MAX ||
		v->value_size > IC_KVP_VALUE_MAX)
		return false;
	utf16_to_utf8(v->key, v->key_size, item->key, sizeof(item->key));
	utf16_to_utf8(v->value, v->value_size, item->value, sizeof(item->value));
	return true;
}

/* ---- addresses ----------------------------------------------------------- */

static struct ic_kvp_ip *begin_ip(struct ic_kvp_request *r, enum ic_kvp_operation operation)
{
	memset(&r->body, 0, sizeof(r->body));
	r->request.body = &r->body;
	r->request.size = sizeof(r->body.ip);
	r->body.ip.operation = (uint8_t)operation;
	r->body.ip.family = IC_KVP_IPV4 | IC_KVP_IPV6;
	return &r->body.ip;
}

/* Linux compares it with what it prints itself: upper case. */
void ic_kvp_fill_get_ip(struct ic_kvp_request *r, const uint8_t mac[6])
{
	struct ic_kvp_ip *ip = begin_ip(r, IC_KVP_GET_IP);
	char text[18];

	snprintf(text, sizeof(text), "%02X:%02X:%02X:%02X:%02X:%02X", mac[0], mac[1], mac[2],
		mac[3], mac[4], mac[5]);
	utf16_from_utf8(
		(uint8_t *)ip + offsetof(struct ic_kvp_ip, adapter), sizeof(ip->adapter), text);
}

#define LIST(member)                                                                               \
	{                                                                                          \
		offsetof(struct ic_kvp_addresses, member),                                         \
			sizeof(((struct ic_kvp_addresses *)NULL)->member),                         \
			offsetof(struct ic_kvp_ip, member),                                        \
			sizeof(((struct ic_kvp_ip *)NULL)->member), #member                        \
	}

static const struct {
	size_t text, text_size, wire, wire_size;
	const char *name;
} lists[] = {LIST(addresses), LIST(subnets), LIST(gateways), LIST(dns)};

#define LISTS (sizeof(lists) / sizeof(lists[0]))

void ic_kvp_addresses(const struct ic_kvp_request *r, struct ic_kvp_addresses *a)
{
	a->dhcp = r->body.ip.dhcp;
	for (size_t i = 0; i < LISTS; i++)
		utf16_to_utf8((const uint8_t *)&r->body.ip + lists[i].wire, lists[i].wire_size,
			(char *)a + lists[i].text, lists[i].text_size);
}

/* "{...}", in lower case: the guest compares it with a name in sysfs. */
static void format_guid(char text[39], const struct hv_guid *guid)
{
	const uint8_t *b = guid->b;

	snprintf(text, 39, "{%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x}",
		b[3], b[2], b[1], b[0], b[5], b[4], b[7], b[6], b[8], b[9], b[10], b[11], b[12],
		b[13], b[14], b[15]);
}

int ic_kvp_fill_set_ip(struct ic_kvp_request *r, const struct hv_guid *nic,
	const struct ic_kvp_addresses *a, struct err *e)
{
	struct ic_kvp_ip *ip = begin_ip(r, IC_KVP_SET_IP);
	int used = 0;
	char guid[39];

	format_guid(guid, nic);
	utf16_from_utf8(
		(uint8_t *)ip + offsetof(struct ic_kvp_ip, adapter), sizeof(ip->adapter), guid);
	ip->dhcp = a->dhcp;
	for (size_t i = 0; used >= 0 && i < LISTS; i++)
		used = put_text((uint8_t *)ip + lists[i].wire, lists[i].wire_size,
			(const char *)a + lists[i].text, lists[i].name, e);
	return used < 0 ? used : 0;
}

/* ---- the channel: what the host says of itself --------------------------- */

struct kvp_channel {
	struct ic_channel ic;
	uint32_t fact; /* the next one to send */
	_Alignas(8) uint8_t message[IC_MESSAGE(sizeof(struct ic_kvp_ip))];
};

static struct kvp_channel *kvp_of(struct ic_channel *c)
{
	return container_of(c, struct kvp_channel, ic);
}

/* A text that is too long or no UTF-8 is left out. */
static uint32_t produce(struct ic_channel *c, void *body)
{
	const struct ic_kvp_settings *settings = ic_settings(c);
	struct kvp_channel *k = kvp_of(c);
	struct ic_kvp *kvp = body;

	kvp->operation = IC_KVP_SET;
	kvp->pool = IC_KVP_AUTO_EXTERNAL;
	while (settings->facts[k->fact].key) {
		uint32_t n = k->fact;

		k->fact++;
		if (!put_pair(&kvp->value, settings->facts[n].key, settings->facts[n].value, NULL))
			return sizeof(*kvp);
	}
	memset(body, 0, sizeof(*kvp));
	return 0;
}

const struct ic_service ic_kvp = {
	.vsp = IC_VSP("kvp", IC_KVP_CLASS, struct kvp_channel),
	.name = "kvp",
	.needs = "hv_kvp_daemon",
	.instance = IC_KVP_INSTANCE,
	.type = IC_KVP,
	.version_count = 2,
	.versions = {{3, 0}, {4, 0}},
	.body_max = sizeof(struct ic_kvp_ip),
	.message = offsetof(struct kvp_channel, message),
	.produce = produce,
};
