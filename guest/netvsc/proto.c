/* SPDX-License-Identifier: GPL-2.0 OR MIT */
#include "proto.h"

#define RECV_ID         NETVSC_RECV_ID
#define SEND_ID         0u
#define NDIS_MAJOR      0x0006u
#define NDIS_MINOR_OLD  0x0001u
#define NDIS_MINOR      0x001Eu
#define ETH_HEADER      14u
#define TRANSFER_MAX    0x4000u
#define INFO_OFFSET     (sizeof(struct rndis_oid_request) - RNDIS_OFFSET_BASE)
#define PACKETS_MAX_MAX 64u
#define RECV_MAX_OLD    (15u << 20)
#define RECV_MAX        (31u << 20)
#define LSO_MAX         65535u /* what fits into a frame's own length */

const uint32_t netvsc_versions[NETVSC_VERSIONS] = {NVSP_VERSION_6_1, NVSP_VERSION_6, NVSP_VERSION_5,
	NVSP_VERSION_4, NVSP_VERSION_2, NVSP_VERSION_1};

int netvsc_conn_init(struct netvsc_conn *conn, uint32_t newest)
{
	uint32_t i = 0;

	while (i < NETVSC_VERSIONS && netvsc_versions[i] != newest)
		i++;
	if (i == NETVSC_VERSIONS)
		return -EINVAL;
	memset(conn, 0, sizeof(*conn));
	conn->version_index = i;
	conn->version = newest;
	conn->mtu = 1500;
	return 0;
}

uint32_t netvsc_nvsp_size(const struct netvsc_conn *conn)
{
	return conn->version >= NVSP_VERSION_6_1 ? NVSP_SIZE : NVSP_SIZE_OLD;
}

uint32_t netvsc_recv_bytes(const struct netvsc_conn *conn, uint32_t wanted)
{
	uint32_t most = conn->version > NVSP_VERSION_2 ? RECV_MAX : RECV_MAX_OLD;

	return wanted < most ? wanted : most;
}

/* ---- control messages ---------------------------------------------------- */

static uint32_t oid_message(uint8_t *to, uint32_t type, uint32_t request_id, uint32_t oid,
	const void *info, uint32_t info_len)
{
	const struct rndis_oid_request r = {
		.header = {type, (uint32_t)sizeof(r) + info_len},
		.request_id = request_id,
		.oid = oid,
		.info_length = info_len,
		.info_offset = INFO_OFFSET,
	};

	memcpy(to, &r, sizeof(r));
	if (info_len)
		memcpy(to + sizeof(r), info, info_len);
	return r.header.length;
}

uint32_t netvsc_query(
	uint8_t *to, uint32_t request_id, uint32_t oid, const void *info, uint32_t info_len)
{
	return oid_message(to, RNDIS_QUERY, request_id, oid, info, info_len);
}

uint32_t netvsc_set(
	uint8_t *to, uint32_t request_id, uint32_t oid, const void *info, uint32_t info_len)
{
	return oid_message(to, RNDIS_SET, request_id, oid, info, info_len);
}

/* The hash is of addresses and ports of TCP; of UDP, whose datagrams may be fragments, by choice.
 */
uint32_t netvsc_rss_message(uint8_t *to, uint32_t request_id, const struct netvsc_rss *rss)
{
	uint8_t info[NETVSC_RSS_MESSAGE_MAX - sizeof(struct rndis_oid_request)] = {0};
	uint16_t table = (uint16_t)(rss->entries * sizeof(rss->table[0]));
	const struct ndis_rss_parameters p = {
		.header = {NDIS_OBJECT_RSS_PARAMETERS, 2, sizeof(p)},
		.flags = rss->on ? 0 : NDIS_RSS_DISABLE,
		.hash_information = NDIS_HASH_TOEPLITZ | NDIS_HASH_IPV4 | NDIS_HASH_IPV6 |
				    NDIS_HASH_TCP4 | NDIS_HASH_TCP6 |
				    (rss->udp4 ? NDIS_HASH_UDP4 : 0) |
				    (rss->udp6 ? NDIS_HASH_UDP6 : 0),
		.table_size = table,
		.table_offset = sizeof(p),
		.key_size = NETVSC_RSS_KEY,
		.key_offset = (uint32_t)sizeof(p) + table,
	};

	memcpy(info, &p, sizeof(p));
	memcpy(info + p.table_offset, rss->table, table);
	memcpy(info + p.key_offset, rss->key, NETVSC_RSS_KEY);
	return netvsc_set(
		to, request_id, OID_GEN_RSS_PARAMETERS, info, p.key_offset + NETVSC_RSS_KEY);
}

static void put_utf16(uint8_t *to, const char *text, uint32_t count)
{
	uint32_t i;

	for (i = 0; i < count; i++) {
		to[2 * i] = (uint8_t)text[i];
		to[2 * i + 1] = 0;
	}
}

uint32_t netvsc_mac_message(uint8_t *to, uint32_t request_id, const uint8_t mac[6])
{
	static const char name[] = "NetworkAddress", digits[] = "0123456789ABCDEF";
	const struct ndis_config_parameter p = {
		.name_offset = sizeof(p),
		.name_length = 2 * (sizeof(name) - 1),
		.type = 2,
		.value_offset = sizeof(p) + 2 * (sizeof(name) - 1),
		.value_length = 24,
	};
	uint8_t info[NETVSC_MAC_MESSAGE - sizeof(struct rndis_oid_request)];
	char value[12];
	uint32_t i;

	for (i = 0; i < sizeof(value); i++)
		value[i] = digits[i % 2 ? mac[i / 2] & 15 : mac[i / 2] >> 4];
	memcpy(info, &p, sizeof(p));
	put_utf16(info + p.name_offset, name, sizeof(name) - 1);
	put_utf16(info + p.value_offset, value, sizeof(value));
	return netvsc_set(to, request_id, OID_GEN_CONFIG_PARAMETER, info, sizeof(info));
}

static int parse_query(const uint8_t *bytes, uint32_t len, struct netvsc_control *out)
{
	struct rndis_query_complete q;

	if (len < sizeof(q))
		return -EPROTO;
	memcpy(&q, bytes, sizeof(q));
	out->status = q.status;
	out->info_len = q.info_length;
	if (q.info_offset != sizeof(q) - RNDIS_OFFSET_BASE || q.info_length > len - sizeof(q))
		return -EPROTO;
	out->info = bytes + sizeof(q);
	return 0;
}

int netvsc_control_parse(const void *bytes, uint32_t len, struct netvsc_control *out)
{
	struct rndis_status_complete s;
	struct rndis_header header;

	memset(out, 0, sizeof(*out));
	if (len < sizeof(s))
		return -EPROTO;
	memcpy(&s, bytes, sizeof(s));
	header = s.header;
	if (header.length != len) /* some guests copy that much, whatever came */
		return -EPROTO;
	out->type = header.type;
	out->request_id = s.request_id;
	out->status = s.status;
	if (header.type == (RNDIS_QUERY | RNDIS_COMPLETE))
		return parse_query(bytes, len, out);
	if (header.type == RNDIS_INDICATE) {
		out->status = s.request_id;
		return len < sizeof(struct rndis_indicate) ? -EPROTO : 0;
	}
	out->info = bytes;
	out->info_len = len;
	return header.type & RNDIS_COMPLETE ? 0 : -EPROTO;
}

/* ---- steps --------------------------------------------------------------- */

static bool wants_sub_channels(const struct netvsc_conn *conn)
{
	return conn->version >= NVSP_VERSION_5 && conn->sub_channels && conn->queues_max > 1;
}

static void move_on(struct netvsc_conn *conn)
{
	conn->state++;
	if (conn->state == NETVSC_CONFIG && conn->version < NVSP_VERSION_2)
		conn->state++;
	if (conn->state == NETVSC_RSS_CAPS && conn->version < NVSP_VERSION_5)
		conn->state = NETVSC_DONE;
	if (conn->state == NETVSC_SUB_CHANNELS && !wants_sub_channels(conn))
		conn->state++;
}

static uint64_t capabilities(const struct netvsc_conn *conn)
{
	uint64_t caps = NVSP_CAP_8021Q;

	if (conn->version >= NVSP_VERSION_5)
		caps |= NVSP_CAP_SRIOV | NVSP_CAP_TEAMING;
	if (conn->version >= NVSP_VERSION_6_1)
		caps |= NVSP_CAP_RSC;
	return caps;
}

static void nvsp_step(struct netvsc_conn *conn, struct netvsc_step *step)
{
	struct nvsp_message *m = &step->nvsp;

	switch (conn->state) {
	case NETVSC_VERSION:
		m->type = NVSP_INIT;
		m->init = (struct nvsp_init){conn->version, conn->version};
		break;
	case NETVSC_CONFIG:
		m->type = NVSP_SEND_NDIS_CONFIG;
		m->ndis_config.mtu = conn->mtu + ETH_HEADER;
		m->ndis_config.capabilities = capabilities(conn);
		break;
	case NETVSC_NDIS:
		m->type = NVSP_SEND_NDIS_VERSION;
		m->ndis_version = (struct nvsp_ndis_version){
			NDIS_MAJOR, conn->version < NVSP_VERSION_5 ? NDIS_MINOR_OLD : NDIS_MINOR};
		break;
	case NETVSC_RECV_BUF:
		m->type = NVSP_SEND_RECV_BUF;
		m->send_buf = (struct nvsp_send_buf){conn->recv_gpadl, RECV_ID, 0};
		break;
	case NETVSC_SEND_BUF:
		m->type = NVSP_SEND_SEND_BUF;
		m->send_buf = (struct nvsp_send_buf){conn->send_gpadl, SEND_ID, 0};
		break;
	default:
		m->type = NVSP_SUBCHANNEL;
		m->subchannel =
			(struct nvsp_subchannel){NVSP_SUBCHANNEL_ALLOCATE, conn->sub_channels};
		break;
	}
	step->answer = conn->state != NETVSC_CONFIG && conn->state != NETVSC_NDIS;
}

uint32_t netvsc_offload_message(struct netvsc_conn *conn, uint8_t *to)
{
	bool rsc = conn->rsc && conn->host_rsc;
	uint8_t value = rsc ? NDIS_PARAMETER_RSC_ON : NDIS_PARAMETER_OFF;
	const struct ndis_offload_parameters p = {
		.header = {NDIS_OBJECT_DEFAULT, 3,
			conn->version >= NVSP_VERSION_5 ? sizeof(p) : 22},
		.ip4_csum = 1,
		.tcp4_csum = 4,
		.udp4_csum = 4,
		.tcp6_csum = 4,
		.udp6_csum = 4,
		.lso2_4 = 2,
		.lso2_6 = 2,
		.rsc4 = value,
		.rsc6 = value,
	};

	return netvsc_set(to, conn->request_id, OID_TCP_OFFLOAD_PARAMETERS, &p, p.header.size);
}

static uint32_t sized_query(struct netvsc_conn *conn, uint8_t *to, uint32_t oid, uint8_t type,
	uint8_t revision, uint16_t size)
{
	uint8_t info[NDIS_OFFLOAD_SIZE_3] = {0};
	const struct ndis_object_header header = {type, revision, size};

	memcpy(info, &header, sizeof(header));
	return netvsc_query(to, conn->request_id, oid, info, size);
}

static uint32_t rndis_message(struct netvsc_conn *conn, uint8_t *to)
{
	const struct rndis_init init = {
		.header = {RNDIS_INIT, sizeof(init)},
		.request_id = conn->request_id,
		.major = RNDIS_VERSION_MAJOR,
		.transfer_max = TRANSFER_MAX,
	};

	switch (conn->state) {
	case NETVSC_RNDIS:
		memcpy(to, &init, sizeof(init));
		return sizeof(init);
	case NETVSC_MTU:
		return netvsc_query(to, conn->request_id, OID_GEN_MAXIMUM_FRAME_SIZE, NULL, 0);
	case NETVSC_MAC:
		return netvsc_query(to, conn->request_id, OID_802_3_PERMANENT_ADDRESS, NULL, 0);
	case NETVSC_CAPS:
		return sized_query(conn, to, OID_TCP_OFFLOAD_HARDWARE_CAPS, NDIS_OBJECT_OFFLOAD, 3,
			NDIS_OFFLOAD_SIZE_3);
	case NETVSC_OFFLOAD:
		return netvsc_offload_message(conn, to);
	case NETVSC_LINK:
		return netvsc_query(to, conn->request_id, OID_GEN_MEDIA_CONNECT_STATUS, NULL, 0);
	default:
		return sized_query(conn, to, OID_GEN_RSS_CAPABILITIES, NDIS_OBJECT_RSS_CAPABILITIES,
			2, sizeof(struct ndis_rss_capabilities));
	}
}

void netvsc_step(struct netvsc_conn *conn, struct netvsc_step *step)
{
	memset(step, 0, sizeof(*step));
	if (conn->state <= NETVSC_SEND_BUF || conn->state == NETVSC_SUB_CHANNELS) {
		nvsp_step(conn, step);
		if (!step->answer)
			move_on(conn);
		return;
	}
	conn->request_id++;
	step->answer = true;
	step->nvsp.type = NVSP_SEND_RNDIS_PKT;
	step->nvsp.rndis_pkt = (struct nvsp_rndis_pkt){NVSP_CHANNEL_CONTROL, NVSP_SECTION_NONE, 0};
	step->rndis_length = rndis_message(conn, step->rndis);
}

/* ---- answers ------------------------------------------------------------- */

static int version_answer(struct netvsc_conn *conn, const struct nvsp_message *m)
{
	if (m->type != NVSP_INIT_COMPLETE)
		return -EPROTO;
	if (m->init_complete.status == NVSP_STATUS_SUCCESS)
		return 0;
	if (++conn->version_index == NETVSC_VERSIONS)
		return -EPROTONOSUPPORT;
	conn->version = netvsc_versions[conn->version_index];
	return -EAGAIN;
}

static int recv_answer(struct netvsc_conn *conn, const struct nvsp_message *m)
{
	const struct nvsp_recv_buf_complete *r = &m->recv_buf_complete;

	if (m->type != NVSP_SEND_RECV_BUF_COMPLETE)
		return -EPROTO;
	if (r->status != NVSP_STATUS_SUCCESS)
		return -EIO;
	if (r->section_count != 1 || r->offset || r->sub_alloc_size < NETVSC_SECTION_MIN ||
		(uint64_t)r->sub_alloc_size * r->sub_alloc_count > conn->recv_bytes)
		return -EPROTO;
	conn->section_size = r->sub_alloc_size;
	conn->sections = r->sub_alloc_count;
	return 0;
}

static int send_answer(struct netvsc_conn *conn, const struct nvsp_message *m)
{
	if (m->type != NVSP_SEND_SEND_BUF_COMPLETE)
		return -EPROTO;
	if (m->send_buf_complete.status != NVSP_STATUS_SUCCESS)
		return -EIO;
	if (m->send_buf_complete.section_size < NETVSC_SECTION_MIN)
		return -EPROTO;
	conn->send_section_size = m->send_buf_complete.section_size;
	conn->send_sections = conn->send_bytes / conn->send_section_size;
	return 0;
}

static int sub_channel_answer(struct netvsc_conn *conn, const struct nvsp_message *m)
{
	if (m->type != NVSP_SUBCHANNEL || m->subchannel.count > conn->sub_channels)
		return -EPROTO;
	if (m->subchannel.op != NVSP_STATUS_SUCCESS)
		return -EIO;
	conn->sub_channels = m->subchannel.count;
	return 0;
}

static int nvsp_answer(struct netvsc_conn *conn, const void *payload, uint32_t len)
{
	struct nvsp_message m = {0};

	/* 6.1 of Linux drops what is shorter than this, whatever the type. */
	if (len < 28)
		return -EPROTO;
	memcpy(&m, payload, len < sizeof(m) ? len : sizeof(m));
	switch (conn->state) {
	case NETVSC_VERSION:
		return version_answer(conn, &m);
	case NETVSC_RECV_BUF:
		return recv_answer(conn, &m);
	case NETVSC_SEND_BUF:
		return send_answer(conn, &m);
	default:
		return sub_channel_answer(conn, &m);
	}
}

static int init_answer(struct netvsc_conn *conn, const struct netvsc_control *a)
{
	struct rndis_init_complete r;

	if (a->info_len != sizeof(r))
		return -EPROTO;
	memcpy(&r, a->info, sizeof(r));
	if (!r.packets_max || r.packets_max > PACKETS_MAX_MAX || r.alignment_shift > 12)
		return -EPROTO;
	conn->packets_max = r.packets_max;
	conn->alignment = 1u << r.alignment_shift;
	return 0;
}

static int take_u32(const struct netvsc_control *a, uint32_t *value)
{
	if (a->info_len != sizeof(*value))
		return -EPROTO;
	memcpy(value, a->info, sizeof(*value));
	return 0;
}

static int mtu_answer(struct netvsc_conn *conn, const struct netvsc_control *a)
{
	uint32_t mtu = 0;
	int ret = take_u32(a, &mtu);

	if (!ret && mtu < conn->mtu)
		conn->mtu = mtu;
	return ret;
}

static bool has(uint32_t encapsulation, uint32_t flags, uint32_t wanted)
{
	return encapsulation & NDIS_ENCAPSULATION_802_3 && (flags & wanted) == wanted;
}

static uint32_t lso_max(uint32_t encapsulation, uint32_t size_max)
{
	if (!(encapsulation & NDIS_ENCAPSULATION_802_3))
		return 0;
	return size_max < LSO_MAX ? size_max : LSO_MAX;
}

/* Segmentation makes checksums, too. */
static void take_offloads(const struct ndis_offload *o, struct netvsc_offloads *to)
{
	const struct ndis_csum_offload *c = &o->csum;
	const struct ndis_lso_offload *l = &o->lso2;

	to->tcp4 = has(c->tx4_encapsulation, c->tx4, NDIS_CSUM_TCP | NDIS_CSUM_TCP_OPTIONS);
	to->udp4 = has(c->tx4_encapsulation, c->tx4, NDIS_CSUM_UDP);
	to->tcp6 = has(c->tx6_encapsulation, c->tx6, NDIS_CSUM_TCP | NDIS_CSUM_TCP_OPTIONS);
	to->udp6 = has(c->tx6_encapsulation, c->tx6, NDIS_CSUM_UDP);
	if (to->tcp4)
		to->lso4_max = lso_max(l->encapsulation4, l->size_max4);
	if (to->tcp6 && (l->options6 & NDIS_LSO6_TCP_OPTIONS))
		to->lso6_max = lso_max(l->encapsulation6, l->size_max6);
}

static int caps_answer(struct netvsc_conn *conn, const struct netvsc_control *a)
{
	struct ndis_offload o;

	if (a->info_len != sizeof(o))
		return -EPROTO;
	memcpy(&o, a->info, sizeof(o));
	if (o.header.type != NDIS_OBJECT_OFFLOAD || o.header.size != sizeof(o))
		return -EPROTO;
	take_offloads(&o, &conn->offloads);
	conn->host_rsc = conn->version >= NVSP_VERSION_6_1 && o.rsc4 && o.rsc6;
	return 0;
}

static int rss_answer(struct netvsc_conn *conn, const struct netvsc_control *a)
{
	struct ndis_rss_capabilities caps;

	if (a->info_len != sizeof(caps))
		return -EPROTO;
	memcpy(&caps, a->info, sizeof(caps));
	conn->queues_max = caps.queues;
	conn->rss_entries = caps.table_entries < NETVSC_RSS_ENTRIES_MAX ? caps.table_entries
									: NETVSC_RSS_ENTRIES_MAX;
	if (conn->sub_channels >= caps.queues)
		conn->sub_channels = caps.queues ? caps.queues - 1 : 0;
	return 0;
}

static int rndis_answer(struct netvsc_conn *conn, const struct netvsc_control *a)
{
	uint32_t disconnected = 0;
	int ret;

	switch (conn->state) {
	case NETVSC_RNDIS:
		return init_answer(conn, a);
	case NETVSC_MTU:
		return mtu_answer(conn, a);
	case NETVSC_MAC:
		if (a->info_len != sizeof(conn->mac))
			return -EPROTO;
		memcpy(conn->mac, a->info, sizeof(conn->mac));
		return 0;
	case NETVSC_CAPS:
		return caps_answer(conn, a);
	case NETVSC_OFFLOAD:
		return 0;
	case NETVSC_LINK:
		ret = take_u32(a, &disconnected);
		conn->connected = !disconnected;
		return ret;
	default:
		return rss_answer(conn, a);
	}
}

static uint32_t answer_type(const struct netvsc_conn *conn)
{
	switch (conn->state) {
	case NETVSC_RNDIS:
		return RNDIS_INIT | RNDIS_COMPLETE;
	case NETVSC_OFFLOAD:
		return RNDIS_SET | RNDIS_COMPLETE;
	default:
		return RNDIS_QUERY | RNDIS_COMPLETE;
	}
}

int netvsc_answer(struct netvsc_conn *conn, const void *payload, uint32_t len)
{
	struct netvsc_control a;
	int ret;

	if (conn->state <= NETVSC_SEND_BUF || conn->state == NETVSC_SUB_CHANNELS) {
		ret = nvsp_answer(conn, payload, len);
	} else {
		ret = netvsc_control_parse(payload, len, &a);
		if (!ret && (a.request_id != conn->request_id || a.type != answer_type(conn)))
			ret = -EPROTO;
		if (!ret && a.status != RNDIS_STATUS_SUCCESS)
			ret = -EIO;
		if (!ret)
			ret = rndis_answer(conn, &a);
	}
	if (!ret)
		move_on(conn);
	return ret == -EAGAIN ? 0 : ret;
}
