/* SPDX-License-Identifier: MIT */
/*
 * Key-value pairs and the addresses of NICs: bodies of requests, and what is in
 * their answers. A request is filled here and started with ic_request_start().
 *
 * A guest's answer is copied and checked; its texts are UTF-8, but of any content: they may hold
 * control characters. GET is not here: Linux answers it with an empty value.
 *
 * Thread: control.
 */
#ifndef IC_KVP_H
#define IC_KVP_H

#include "vsp/ic/ic.h"
#include "vsp/ic/utf16.h"

/* A guest can have any number of pairs in a pool. */
#define IC_KVP_ITEMS_MAX 1024u

#define IC_KVP_REQUEST_NS 10000000000ull /* for an answer of the daemon */

struct ic_kvp_request {
	struct ic_request request;
	union {
		struct ic_kvp kvp;
		struct ic_kvp_ip ip;
	} body;
};

/* 0; or -EINVAL with one line in e: key or value is no UTF-8, empty or too long. */
int ic_kvp_fill_set(struct ic_kvp_request *r, enum ic_kvp_pool pool, const char *key,
	const char *value, struct err *e);
int ic_kvp_fill_delete(
	struct ic_kvp_request *r, enum ic_kvp_pool pool, const char *key, struct err *e);
/* index: from 0; past the last pair the status is IC_STATUS_NO_MORE_ITEMS. */
void ic_kvp_fill_enumerate(struct ic_kvp_request *r, enum ic_kvp_pool pool, uint32_t index);

struct ic_kvp_item {
	char key[UTF8_ROOM(IC_KVP_KEY_MAX)];
	char value[UTF8_ROOM(IC_KVP_VALUE_MAX)];
};

/* The answer to ENUMERATE. False: its lengths are wrong. */
bool ic_kvp_item(const struct ic_kvp_request *r, struct ic_kvp_item *item);

/* ---- addresses ----------------------------------------------------------- */

/* Each a list with ';'. */
struct ic_kvp_addresses {
	bool dhcp;
	char addresses[UTF8_ROOM(2048)], subnets[UTF8_ROOM(2048)];
	char gateways[UTF8_ROOM(1024)], dns[UTF8_ROOM(2048)];
};

void ic_kvp_fill_get_ip(struct ic_kvp_request *r, const uint8_t mac[6]);
void ic_kvp_addresses(const struct ic_kvp_request *r, struct ic_kvp_addresses *a);
/* nic: its instance. 0; or -EINVAL with one line in e. */
int ic_kvp_fill_set_ip(struct ic_kvp_request *r, const struct hv_guid *nic,
	const struct ic_kvp_addresses *a, struct err *e);

#endif
