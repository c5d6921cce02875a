/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * The guest's half of the netvsp protocol, without any operating system: what to
 * send, and what the host may say. Used by the loop tests that play a guest
 * against the real host code.
 *
 * The host is not trusted: what it says is parsed from a private copy, and every
 * number that comes out is inside the limits of the buffers it speaks about.
 * No allocation, lock, log or sleep; 0 or -errno.
 */
#ifndef NETVSC_PROTO_H
#define NETVSC_PROTO_H

#include "hv/nvsp_reg.h"
#include "hv/rndis_reg.h"
#include "ring/ring_port.h"

/* ---- start of a connection ----------------------------------------------- */
/*
 *   VERSION (newest first, again when it is refused) -> CONFIG (version 2 on) -> NDIS
 *     -> RECV_BUF -> SEND_BUF -> RNDIS -> MTU -> MAC -> CAPS -> OFFLOAD -> LINK
 *     -> RSS_CAPS -> SUB_CHANNELS (version 5 on, when both sides want some) -> DONE
 *
 * The owner sends what netvsc_step() builds, and gives the answer to
 * netvsc_answer(), until DONE.
 */
enum netvsc_state {
	NETVSC_VERSION,
	NETVSC_CONFIG,
	NETVSC_NDIS,
	NETVSC_RECV_BUF,
	NETVSC_SEND_BUF,
	NETVSC_RNDIS,
	NETVSC_MTU,
	NETVSC_MAC,
	NETVSC_CAPS,
	NETVSC_OFFLOAD,
	NETVSC_LINK,
	NETVSC_RSS_CAPS,
	NETVSC_SUB_CHANNELS,
	NETVSC_DONE,
};

struct netvsc_conn {
	enum netvsc_state state;
	/* wanted */
	uint32_t mtu;
	uint32_t sub_channels;
	bool rsc;
	uint32_t recv_gpadl, send_gpadl;
	uint32_t recv_bytes, send_bytes; /* of the buffers */
	/* negotiated */
	uint32_t version_index;
	uint32_t version;
	uint32_t section_size, sections; /* of the receive buffer */
	uint32_t send_section_size, send_sections;
	uint32_t packets_max, alignment; /* messages in one packet */
	uint8_t mac[6];
	bool connected;
	bool host_rsc;
	uint32_t queues_max;
	uint32_t request_id;
};

#define NETVSC_MESSAGE_MAX 256u

/* One message to send. */
struct netvsc_step {
	struct nvsp_message nvsp;
	bool answer; /* one comes: an NVSP completion; or an RNDIS message when rndis_length */
	uint32_t rndis_length; /* not 0: with these bytes, on the control channel */
	uint8_t rndis[NETVSC_MESSAGE_MAX];
};

#define NETVSC_VERSIONS 6u
extern const uint32_t netvsc_versions[NETVSC_VERSIONS]; /* newest first */

/* newest: NVSP_VERSION_* to begin with. -EINVAL: no such version. */
int netvsc_conn_init(struct netvsc_conn *conn, uint32_t newest);
uint32_t netvsc_nvsp_size(const struct netvsc_conn *conn);

/* The message for the present state. One without an answer: the state moves on at once. */
void netvsc_step(struct netvsc_conn *conn, struct netvsc_step *step);
/* Moves on. -EPROTO: not a valid answer. -EIO: refused. -EPROTONOSUPPORT: no common version. */
int netvsc_answer(struct netvsc_conn *conn, const void *payload, uint32_t len);

/* ---- RNDIS control messages ---------------------------------------------- */

/* Bytes of the message in `to` (room: 28 + info_len). */
uint32_t netvsc_query(
	uint8_t *to, uint32_t request_id, uint32_t oid, const void *info, uint32_t info_len);
uint32_t netvsc_set(
	uint8_t *to, uint32_t request_id, uint32_t oid, const void *info, uint32_t info_len);

struct netvsc_control {
	uint32_t type; /* enum rndis_type, with RNDIS_COMPLETE */
	uint32_t request_id;
	uint32_t status;
	const uint8_t *info; /* info_len bytes of QUERY's answer */
	uint32_t info_len;
};
/* A control message from the host. -EPROTO: it lies. */
int netvsc_control_parse(const void *bytes, uint32_t len, struct netvsc_control *out);

/* ---- frames -------------------------------------------------------------- */

struct netvsc_tx {
	uint32_t length;
	bool csum, lso, vlan;
	uint32_t csum_value, lso_value, vlan_value; /* of the PPIs */
};
#define NETVSC_HEADER_MAX (44u + 3u * 16u)
/* Header and PPIs of a frame; its data follows. Returns their bytes. pad: of the whole message. */
uint32_t netvsc_frame_header(uint8_t *to, const struct netvsc_tx *tx, uint32_t pad);

struct netvsc_rx {
	uint32_t data_offset, data_length; /* in the range */
	bool csum, vlan, hash, rsc;
	uint32_t csum_value, vlan_value, hash_value;
	struct rndis_rsc_id rsc_id;
};
/* One range of a transfer packet, from a private copy. -EPROTO: it lies. */
int netvsc_frame_parse(const void *bytes, uint32_t len, struct netvsc_rx *rx);

#endif
