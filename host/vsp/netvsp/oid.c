/* SPDX-License-Identifier: MIT */
/*
 * The OIDs: one table. A query writes its value into struct oid_value, a set gets
 * the information buffer. The length of the answer is that of the value; it never
 * exceeds what guests of any version ask for.
 *
 * Thread: the primary's I/O thread.
 */
#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "vsp/netvsp/netvsp_impl.h"

#define VENDOR_ID         0x0000155Du
#define BUFFER_SPACE      262144u
#define DRIVER_VERSION    0x0100u
#define MAC_OPTIONS       0x0000024Du
#define SPEED_UNIT        100u
#define SPEED_MAX         0xFFFFFFFEull
#define LINK_CONNECTED    1u
#define LINK_DISCONNECTED 2u
#define DUPLEX_FULL       2u
#define NAME_BYTES_MAX    512u
#define CONFIG_TEXT_MAX   255u
#define CONFIG_TYPE_TEXT  2u
#define RSS_TABLE_ENTRIES 128u

struct oid_value {
	uint8_t *to;
	uint32_t max;
	uint32_t len;
};

static void put(struct oid_value *v, const void *bytes, uint32_t len)
{
	assert(len <= v->max);
	memcpy(v->to, bytes, len);
	v->len = len;
}

static void put32(struct oid_value *v, uint64_t value)
{
	uint32_t v32 = value > UINT32_MAX ? UINT32_MAX : (uint32_t)value;

	put(v, &v32, sizeof(v32));
}

static void put64(struct oid_value *v, uint64_t value)
{
	put(v, &value, sizeof(value));
}

static const struct netvsp_settings *settings(const struct netvsp_channel *c)
{
	return &c->device->next;
}

/* ---- constants and simple state ------------------------------------------ */

static void query_zero(struct netvsp_channel *c, struct oid_value *v)
{
	put32(v, 0);
}

static void query_mtu(struct netvsp_channel *c, struct oid_value *v)
{
	put32(v, settings(c)->mtu);
}

static void query_total(struct netvsp_channel *c, struct oid_value *v)
{
	put32(v, settings(c)->mtu + NIC_ETH_HEADER);
}

static void query_space(struct netvsp_channel *c, struct oid_value *v)
{
	put32(v, BUFFER_SPACE);
}

static void query_vendor(struct netvsp_channel *c, struct oid_value *v)
{
	put32(v, VENDOR_ID);
}

static void query_description(struct netvsp_channel *c, struct oid_value *v)
{
	static const char text[] = "Enlite network adapter";

	put(v, text, sizeof(text));
}

static void query_version(struct netvsp_channel *c, struct oid_value *v)
{
	const uint16_t version = DRIVER_VERSION;

	put(v, &version, sizeof(version));
}

static void query_vendor_version(struct netvsp_channel *c, struct oid_value *v)
{
	put32(v, DRIVER_VERSION);
}

static void query_mac_options(struct netvsp_channel *c, struct oid_value *v)
{
	put32(v, MAC_OPTIONS);
}

static void query_max(struct netvsp_channel *c, struct oid_value *v)
{
	put32(v, UINT32_MAX);
}

static void query_filter(struct netvsp_channel *c, struct oid_value *v)
{
	put32(v, settings(c)->filter);
}

static void query_permanent(struct netvsp_channel *c, struct oid_value *v)
{
	put(v, c->device->config.mac, 6);
}

static void query_current(struct netvsp_channel *c, struct oid_value *v)
{
	put(v, settings(c)->mac, 6);
}

static void query_multicast(struct netvsp_channel *c, struct oid_value *v)
{
	put(v, settings(c)->multicast, settings(c)->multicast_count * 6);
}

static void query_multicast_max(struct netvsp_channel *c, struct oid_value *v)
{
	put32(v, NETVSP_MULTICAST_MAX);
}

/* ASCII as UTF-16, with a NUL. */
static void query_name(struct netvsp_channel *c, struct oid_value *v)
{
	const char *name = c->device->name;
	uint16_t text[NAME_BYTES_MAX / 2];
	uint32_t n = 0;

	for (; name[n] && n < sizeof(c->device->name); n++)
		text[n] = (uint8_t)name[n];
	text[n++] = 0;
	put(v, text, n * (uint32_t)sizeof(text[0]));
}

/* ---- link ---------------------------------------------------------------- */

static uint64_t speed(struct netvsp_channel *c)
{
	return atomic_load(&c->device->speed_bps);
}

uint32_t oid_speed(struct netvsp *d)
{
	uint64_t units = atomic_load(&d->speed_bps) / SPEED_UNIT;

	return units > SPEED_MAX ? SPEED_MAX : (uint32_t)units;
}

static void query_speed(struct netvsp_channel *c, struct oid_value *v)
{
	put32(v, oid_speed(c->device));
}

static void query_max_speed(struct netvsp_channel *c, struct oid_value *v)
{
	const uint64_t both[2] = {speed(c), speed(c)};

	put(v, both, sizeof(both));
}

static void query_connected(struct netvsp_channel *c, struct oid_value *v)
{
	indicate_known(c);
	put32(v, !c->indicated.link);
}

static void query_link_state(struct netvsp_channel *c, struct oid_value *v)
{
	const struct ndis_link_state state = {
		.header = {NDIS_OBJECT_DEFAULT, 1, sizeof(state)},
		.state = netvsp_link_up(c->device) ? LINK_CONNECTED : LINK_DISCONNECTED,
		.duplex = DUPLEX_FULL,
		.tx_bps = speed(c),
		.rx_bps = speed(c),
	};

	put(v, &state, sizeof(state));
}

/* ---- RSS and offloads ---------------------------------------------------- */

static void query_rss(struct netvsp_channel *c, struct oid_value *v)
{
	const struct ndis_rss_capabilities caps = {
		.header = {NDIS_OBJECT_RSS_CAPABILITIES, 2, sizeof(caps)},
		.flags = NDIS_RSS_CAP_TOEPLITZ | NDIS_RSS_CAP_TCP4 | NDIS_RSS_CAP_TCP6 |
			 NDIS_RSS_CAP_UDP4 | NDIS_RSS_CAP_UDP6,
		.interrupt_messages = 1,
		.queues = c->device->channels_max,
		.table_entries = RSS_TABLE_ENTRIES,
	};

	put(v, &caps, sizeof(caps));
}

static bool rsc_possible(const struct netvsp_channel *c)
{
	const struct netvsp_settings *s = settings(c);

	return s->version >= NVSP_VERSION_6_1 && s->capabilities & NVSP_CAP_RSC &&
	       rx_rsc_fits(s->recv, s->parts) &&
	       (c->device->nic->info.rx_native & (NIC_CAN_TSO4 | NIC_CAN_TSO6)) ==
		       (NIC_CAN_TSO4 | NIC_CAN_TSO6);
}

static void fill_offload(struct ndis_offload *o, bool rsc)
{
	const uint32_t csum4 = NDIS_CSUM_IP_OPTIONS | NDIS_CSUM_TCP_OPTIONS | NDIS_CSUM_TCP |
			       NDIS_CSUM_UDP | NDIS_CSUM_IP;
	const uint32_t csum6 =
		NDIS_CSUM_IP_OPTIONS | NDIS_CSUM_TCP_OPTIONS | NDIS_CSUM_TCP | NDIS_CSUM_UDP;
	const uint32_t e = NDIS_ENCAPSULATION_802_3;

	*o = (struct ndis_offload){
		.csum = {e, csum4, e, csum4, e, csum6, e, csum6},
		.lso2 = {e, NETVSP_LSO_MAX, 2, e, NETVSP_LSO_MAX, 2,
			NDIS_LSO6_EXTENSIONS | NDIS_LSO6_TCP_OPTIONS},
		.rsc4 = rsc,
		.rsc6 = rsc,
	};
}

void oid_offloads_in_use(struct netvsp *d, struct ndis_offload *o)
{
	fill_offload(o, false);
	o->rsc4 = d->next.rsc4;
	o->rsc6 = d->next.rsc6;
	o->header = (struct ndis_object_header){NDIS_OBJECT_OFFLOAD, 3, NDIS_OFFLOAD_SIZE_3};
}

/* Guests of NDIS 6.0 and 6.1 ask for a shorter one. */
static void query_offload(struct netvsp_channel *c, struct oid_value *v)
{
	struct ndis_offload o;
	uint32_t size = NDIS_OFFLOAD_SIZE_3;
	uint8_t revision = 3;

	if (v->max < NDIS_OFFLOAD_SIZE_3) {
		size = v->max < NDIS_OFFLOAD_SIZE_2 ? NDIS_OFFLOAD_SIZE_1 : NDIS_OFFLOAD_SIZE_2;
		revision = size == NDIS_OFFLOAD_SIZE_1 ? 1 : 2;
	}
	fill_offload(&o, rsc_possible(c));
	o.header = (struct ndis_object_header){NDIS_OBJECT_OFFLOAD, revision, (uint16_t)size};
	put(v, &o, size);
}

static void query_encapsulation(struct netvsp_channel *c, struct oid_value *v)
{
	const struct ndis_encapsulation e = {
		.header = {NDIS_OBJECT_ENCAPSULATION, 1, sizeof(e)},
		.ip4 = {1, NDIS_ENCAPSULATION_802_3, NIC_ETH_HEADER},
		.ip6 = {1, NDIS_ENCAPSULATION_802_3, NIC_ETH_HEADER},
	};

	put(v, &e, sizeof(e));
}

/* ---- statistics ---------------------------------------------------------- */

#define STATISTIC(name, expression)                                                                \
	static void name(struct netvsp_channel *c, struct oid_value *v)                            \
	{                                                                                          \
		struct netvsp_counters n;                                                          \
                                                                                                   \
		netvsp_counters(c->device->dev, &n);                                               \
		put64(v, expression);                                                              \
	}
STATISTIC(query_tx_ok, n.tx_frames)
STATISTIC(query_rx_ok, n.rx_frames)
STATISTIC(query_tx_error, n.tx_invalid)
STATISTIC(query_rx_dropped, n.rx_dropped)
STATISTIC(query_tx_dropped, n.tx_dropped)
STATISTIC(query_tx_bytes, n.tx_bytes)
STATISTIC(query_rx_bytes, n.rx_bytes)
STATISTIC(query_tx_directed, n.tx_frames - n.tx_multicast - n.tx_broadcast)
STATISTIC(query_tx_directed_bytes, n.tx_bytes - n.tx_multicast_bytes - n.tx_broadcast_bytes)
STATISTIC(query_tx_multicast, n.tx_multicast)
STATISTIC(query_tx_multicast_bytes, n.tx_multicast_bytes)
STATISTIC(query_tx_broadcast, n.tx_broadcast)
STATISTIC(query_tx_broadcast_bytes, n.tx_broadcast_bytes)
STATISTIC(query_rx_directed, n.rx_frames - n.rx_multicast - n.rx_broadcast)
STATISTIC(query_rx_directed_bytes, n.rx_bytes - n.rx_multicast_bytes - n.rx_broadcast_bytes)
STATISTIC(query_rx_multicast, n.rx_multicast)
STATISTIC(query_rx_multicast_bytes, n.rx_multicast_bytes)
STATISTIC(query_rx_broadcast, n.rx_broadcast)
STATISTIC(query_rx_broadcast_bytes, n.rx_broadcast_bytes)

/* ---- sets ---------------------------------------------------------------- */

struct oid_set_args {
	struct netvsp_channel *c;
	struct netvsp_settings *next;
	const uint8_t *info;
	uint32_t len;
	struct nic_call *nic_call;
	bool needs_nic_call;
};

static void want_nic_call(struct oid_set_args *a, enum nic_call_op op, uint32_t value)
{
	a->nic_call->op = op;
	a->nic_call->value = value;
	a->needs_nic_call = true;
}

static uint32_t set_ignored(struct oid_set_args *a)
{
	return RNDIS_STATUS_SUCCESS;
}

/* A guest that wants no frames has no link, for the other side of the NIC. */
static uint32_t set_filter(struct oid_set_args *a)
{
	uint32_t filter;

	memcpy(&filter, a->info, sizeof(filter));
	if (!filter != !a->next->filter)
		want_nic_call(a, NIC_CALL_CARRIER, filter && atomic_load(&a->c->device->cable));
	a->next->filter = filter;
	return RNDIS_STATUS_SUCCESS;
}

static uint32_t set_multicast(struct oid_set_args *a)
{
	if (a->len % 6)
		return RNDIS_STATUS_INVALID_LENGTH;
	if (a->len > sizeof(a->next->multicast))
		return RNDIS_STATUS_RESOURCES;
	if (a->len)
		memcpy(a->next->multicast, a->info, a->len);
	a->next->multicast_count = a->len / 6;
	return RNDIS_STATUS_SUCCESS;
}

/* The first one that is not "disable" comes when all channels of the guest are open. */
static uint32_t set_rss(struct oid_set_args *a)
{
	uint32_t status = rss_set(&a->next->rss, a->info, a->len, a->c->device->channels_max);

	if (!status && a->next->rss.enabled)
		a->next->sub_channels_ready = true;
	return status;
}

uint32_t oid_rx_offloads(const struct netvsp_settings *s)
{
	uint32_t offloads = 0;

	if (s->rsc4)
		offloads |= NIC_CAN_CSUM | NIC_CAN_TSO4 | NIC_CAN_ECN;
	if (s->rsc6)
		offloads |= NIC_CAN_CSUM | NIC_CAN_TSO6 | NIC_CAN_ECN;
	return offloads;
}

static bool rsc_value(uint8_t parameter, bool was, bool possible)
{
	return parameter == NDIS_PARAMETER_NO_CHANGE
		       ? was
		       : parameter == NDIS_PARAMETER_RSC_ON && possible;
}

/* Never fails: a guest takes that for a broken device. Its own offloads are taken packet by packet,
 * as it sends them. */
static uint32_t set_offload(struct oid_set_args *a)
{
	struct ndis_offload_parameters p = {0};
	bool possible = rsc_possible(a->c);
	bool rsc4 = a->next->rsc4, rsc6 = a->next->rsc6;

	memcpy(&p, a->info, a->len < sizeof(p) ? a->len : sizeof(p));
	a->next->rsc4 = rsc_value(p.rsc4, rsc4, possible);
	a->next->rsc6 = rsc_value(p.rsc6, rsc6, possible);
	if (rsc4 != a->next->rsc4 || rsc6 != a->next->rsc6)
		want_nic_call(a, NIC_CALL_RX_OFFLOADS, oid_rx_offloads(a->next));
	return RNDIS_STATUS_SUCCESS;
}

static bool text_is(const uint8_t *utf16, uint32_t bytes, const char *ascii)
{
	if (bytes != strlen(ascii) * 2)
		return false;
	for (uint32_t i = 0; i < bytes; i += 2)
		if (utf16[i] != (uint8_t)ascii[i / 2] || utf16[i + 1])
			return false;
	return true;
}

static int hex_digit(const uint8_t *utf16)
{
	uint8_t c = utf16[0];

	if (utf16[1])
		return -1;
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* 12 digits. */
static uint32_t set_address(struct oid_set_args *a, const uint8_t *utf16, uint32_t bytes)
{
	uint8_t mac[6];

	if (bytes != 24)
		return RNDIS_STATUS_INVALID_DATA;
	for (uint32_t i = 0; i < 6; i++) {
		int high = hex_digit(utf16 + 4 * i), low = hex_digit(utf16 + 4 * i + 2);

		if (high < 0 || low < 0)
			return RNDIS_STATUS_INVALID_DATA;
		mac[i] = (uint8_t)(high << 4 | low);
	}
	if (mac[0] & 1)
		return RNDIS_STATUS_INVALID_DATA;
	if (a->c->device->config.mac_lock && memcmp(mac, a->c->device->config.mac, 6))
		return RNDIS_STATUS_NOT_SUPPORTED;
	memcpy(a->next->mac, mac, 6);
	return RNDIS_STATUS_SUCCESS;
}

static bool text_inside(uint32_t offset, uint32_t bytes, uint32_t len)
{
	return bytes <= CONFIG_TEXT_MAX && offset <= len && bytes <= len - offset;
}

static uint32_t set_parameter(struct oid_set_args *a)
{
	struct ndis_config_parameter p;

	memcpy(&p, a->info, sizeof(p));
	if (!text_inside(p.name_offset, p.name_length, a->len) ||
		!text_inside(p.value_offset, p.value_length, a->len))
		return RNDIS_STATUS_INVALID_DATA;
	if (p.type == CONFIG_TYPE_TEXT &&
		text_is(a->info + p.name_offset, p.name_length, "NetworkAddress"))
		return set_address(a, a->info + p.value_offset, p.value_length);
	return RNDIS_STATUS_SUCCESS;
}

/* ---- the table ----------------------------------------------------------- */

static void query_supported(struct netvsp_channel *c, struct oid_value *v);

static const struct oid {
	uint32_t number;
	void (*query)(struct netvsp_channel *c, struct oid_value *v);
	uint32_t (*set)(struct oid_set_args *a);
	uint32_t set_min; /* bytes */
} oids[] = {
	{OID_GEN_SUPPORTED_LIST, query_supported, NULL, 0},
	{OID_GEN_HARDWARE_STATUS, query_zero, NULL, 0},
	{OID_GEN_MEDIA_SUPPORTED, query_zero, NULL, 0},
	{OID_GEN_MEDIA_IN_USE, query_zero, NULL, 0},
	{OID_GEN_MAXIMUM_LOOKAHEAD, query_mtu, NULL, 0},
	{OID_GEN_MAXIMUM_FRAME_SIZE, query_mtu, NULL, 0},
	{OID_GEN_LINK_SPEED, query_speed, NULL, 0},
	{OID_GEN_TRANSMIT_BUFFER_SPACE, query_space, NULL, 0},
	{OID_GEN_RECEIVE_BUFFER_SPACE, query_space, NULL, 0},
	{OID_GEN_TRANSMIT_BLOCK_SIZE, query_total, NULL, 0},
	{OID_GEN_RECEIVE_BLOCK_SIZE, query_total, NULL, 0},
	{OID_GEN_VENDOR_ID, query_vendor, NULL, 0},
	{OID_GEN_VENDOR_DESCRIPTION, query_description, NULL, 0},
	{OID_GEN_CURRENT_PACKET_FILTER, query_filter, set_filter, 4},
	{OID_GEN_CURRENT_LOOKAHEAD, query_mtu, set_ignored, 0},
	{OID_GEN_DRIVER_VERSION, query_version, NULL, 0},
	{OID_GEN_MAXIMUM_TOTAL_SIZE, query_total, NULL, 0},
	{OID_GEN_MAC_OPTIONS, query_mac_options, NULL, 0},
	{OID_GEN_MEDIA_CONNECT_STATUS, query_connected, NULL, 0},
	{OID_GEN_MAXIMUM_SEND_PACKETS, query_max, NULL, 0},
	{OID_GEN_VENDOR_DRIVER_VERSION, query_vendor_version, NULL, 0},
	{OID_GEN_NETWORK_LAYER_ADDRESSES, NULL, set_ignored, 0},
	{OID_GEN_RSS_CAPABILITIES, query_rss, NULL, 0},
	{OID_GEN_RSS_PARAMETERS, NULL, set_rss, sizeof(struct ndis_rss_parameters)},
	{OID_GEN_MAX_LINK_SPEED, query_max_speed, NULL, 0},
	{OID_GEN_LINK_STATE, query_link_state, NULL, 0},
	{OID_GEN_MACHINE_NAME, NULL, set_ignored, 0},
	{OID_GEN_CONFIG_PARAMETER, NULL, set_parameter, sizeof(struct ndis_config_parameter)},
	{OID_GEN_XMIT_OK, query_tx_ok, NULL, 0},
	{OID_GEN_RCV_OK, query_rx_ok, NULL, 0},
	{OID_GEN_XMIT_ERROR, query_tx_error, NULL, 0},
	{OID_GEN_RCV_ERROR, query_zero, NULL, 0},
	{OID_GEN_RCV_NO_BUFFER, query_rx_dropped, NULL, 0},
	{OID_GEN_DIRECTED_BYTES_XMIT, query_tx_directed_bytes, NULL, 0},
	{OID_GEN_DIRECTED_FRAMES_XMIT, query_tx_directed, NULL, 0},
	{OID_GEN_MULTICAST_BYTES_XMIT, query_tx_multicast_bytes, NULL, 0},
	{OID_GEN_MULTICAST_FRAMES_XMIT, query_tx_multicast, NULL, 0},
	{OID_GEN_BROADCAST_BYTES_XMIT, query_tx_broadcast_bytes, NULL, 0},
	{OID_GEN_BROADCAST_FRAMES_XMIT, query_tx_broadcast, NULL, 0},
	{OID_GEN_DIRECTED_BYTES_RCV, query_rx_directed_bytes, NULL, 0},
	{OID_GEN_DIRECTED_FRAMES_RCV, query_rx_directed, NULL, 0},
	{OID_GEN_MULTICAST_BYTES_RCV, query_rx_multicast_bytes, NULL, 0},
	{OID_GEN_MULTICAST_FRAMES_RCV, query_rx_multicast, NULL, 0},
	{OID_GEN_BROADCAST_BYTES_RCV, query_rx_broadcast_bytes, NULL, 0},
	{OID_GEN_BROADCAST_FRAMES_RCV, query_rx_broadcast, NULL, 0},
	{OID_GEN_FRIENDLY_NAME, query_name, NULL, 0},
	{OID_GEN_BYTES_RCV, query_rx_bytes, NULL, 0},
	{OID_GEN_BYTES_XMIT, query_tx_bytes, NULL, 0},
	{OID_GEN_RCV_DISCARDS, query_rx_dropped, NULL, 0},
	{OID_GEN_XMIT_DISCARDS, query_tx_dropped, NULL, 0},
	{OID_802_3_PERMANENT_ADDRESS, query_permanent, NULL, 0},
	{OID_802_3_CURRENT_ADDRESS, query_current, NULL, 0},
	{OID_802_3_MULTICAST_LIST, query_multicast, set_multicast, 0},
	{OID_802_3_MAXIMUM_LIST_SIZE, query_multicast_max, NULL, 0},
	{OID_802_3_RCV_ERROR_ALIGNMENT, query_zero, NULL, 0},
	{OID_802_3_XMIT_ONE_COLLISION, query_zero, NULL, 0},
	{OID_802_3_XMIT_MORE_COLLISIONS, query_zero, NULL, 0},
	{OID_OFFLOAD_ENCAPSULATION, query_encapsulation, set_ignored, 0},
	{OID_TCP_OFFLOAD_CURRENT_CONFIG, query_offload, NULL, 0},
	{OID_TCP_OFFLOAD_PARAMETERS, NULL, set_offload, sizeof(struct ndis_object_header)},
	{OID_TCP_OFFLOAD_HARDWARE_CAPS, query_offload, NULL, 0},
};
#define OIDS (sizeof(oids) / sizeof(oids[0]))
_Static_assert(OIDS * sizeof(uint32_t) <= NETVSP_INFO_MAX, "the list of OIDs fits");
_Static_assert(NAME_BYTES_MAX <= NETVSP_INFO_MAX, "the name fits");

static void query_supported(struct netvsp_channel *c, struct oid_value *v)
{
	uint32_t list[OIDS];

	for (uint32_t i = 0; i < OIDS; i++)
		list[i] = oids[i].number;
	put(v, list, sizeof(list));
}

static const struct oid *find(uint32_t number)
{
	for (uint32_t i = 0; i < OIDS; i++)
		if (oids[i].number == number)
			return &oids[i];
	return NULL;
}

/* `max` is how much the guest has room for; 0: it does not say. Statistics of 8 bytes become 4 when
 * it has no more room. */
uint32_t oid_query(struct netvsp_channel *c, uint32_t oid, uint8_t *to, uint32_t max, uint32_t *len)
{
	const struct oid *o = find(oid);
	uint8_t bytes[NETVSP_INFO_MAX];
	struct oid_value v = {.to = bytes, .max = sizeof(bytes)};

	*len = 0;
	if (!o || !o->query)
		return RNDIS_STATUS_NOT_SUPPORTED;
	if (o->query == query_offload && max >= NDIS_OFFLOAD_SIZE_1)
		v.max = max;
	o->query(c, &v);
	if (max && v.len == 8 && max < 8)
		v.len = 4;
	if (max && v.len > max)
		return RNDIS_STATUS_BUFFER_TOO_SHORT;
	memcpy(to, bytes, v.len);
	*len = v.len;
	return RNDIS_STATUS_SUCCESS;
}

uint32_t oid_set(struct netvsp_channel *c, uint32_t oid, const uint8_t *info, uint32_t len,
	struct nic_call *nic_call, bool *needs_nic_call)
{
	const struct oid *o = find(oid);
	struct oid_set_args a = {
		.c = c, .next = &c->device->next, .info = info, .len = len, .nic_call = nic_call};
	uint32_t status;

	*needs_nic_call = false;
	if (!o || !o->set)
		return RNDIS_STATUS_NOT_SUPPORTED;
	if (len < o->set_min)
		return RNDIS_STATUS_INVALID_LENGTH;
	status = o->set(&a);
	*needs_nic_call = !status && a.needs_nic_call;
	return status;
}
