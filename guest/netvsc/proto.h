/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * The guest's half of the netvsp protocol, without any operating system: what to
 * send, and what the host may say. Used by netvsc.ko, and by the loop tests that
 * play a guest against the real host code.
 *
 * The host is not trusted: what it says is parsed from a private copy, and every
 * number that comes out is inside the limits of the buffers it speaks about.
 * No allocation, lock, log or sleep; 0 or -errno.
 */
#ifndef NETVSC_PROTO_H
#define NETVSC_PROTO_H

#include "hv/nvsp_reg.h"
#include "hv/rndis_reg.h"
#include "hv/vmbus_ring_reg.h"
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

/* What the host does for frames that are sent. */
struct netvsc_offloads {
	bool tcp4, udp4, tcp6, udp6; /* checksums */
	uint32_t lso4_max, lso6_max; /* bytes of a frame to be cut into segments; 0: it does not */
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
	struct netvsc_offloads offloads; /* of the host */
	bool host_rsc;
	uint32_t queues_max;
	uint32_t rss_entries; /* of the indirection table; 0: the host has none */
	uint32_t request_id;
};

#define NETVSC_RECV_ID     0xCAFEu /* what messages call the receive buffer */
#define NETVSC_MESSAGE_MAX 256u

/* One message to send. */
struct netvsc_step {
	struct nvsp_message nvsp;
	bool answer; /* one comes: an NVSP completion; or an RNDIS message when rndis_length */
	uint32_t rndis_length; /* not 0: with these bytes, on the control channel */
	uint8_t rndis[NETVSC_MESSAGE_MAX];
};

/* A section is at least this large, so a buffer has at most so many. */
#define NETVSC_SECTION_MIN 68u

/* The size of a receive buffer that hosts of this version accept. */
uint32_t netvsc_recv_bytes(const struct netvsc_conn *conn, uint32_t wanted);

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

/* The message that turns RSC on or off; as netvsc_step() sends it. */
uint32_t netvsc_offload_message(struct netvsc_conn *conn, uint8_t *to);

/* Which channel gets which frames. table: entries of channel numbers, at most
 * NETVSC_RSS_ENTRIES_MAX. Off: all go to the primary channel. */
#define NETVSC_RSS_ENTRIES_MAX 128u
#define NETVSC_RSS_KEY         40u
struct netvsc_rss {
	bool on;
	bool udp4, udp6; /* by ports as well; TCP always is */
	uint32_t entries;
	uint32_t table[NETVSC_RSS_ENTRIES_MAX];
	uint8_t key[NETVSC_RSS_KEY];
};
/* Room: NETVSC_RSS_MESSAGE_MAX. */
#define NETVSC_RSS_MESSAGE_MAX (28u + 40u + NETVSC_RSS_KEY + 4u * NETVSC_RSS_ENTRIES_MAX)
uint32_t netvsc_rss_message(uint8_t *to, uint32_t request_id, const struct netvsc_rss *rss);

/* Room: NETVSC_MAC_MESSAGE. */
#define NETVSC_MAC_MESSAGE (28u + 20u + 28u + 24u)
uint32_t netvsc_mac_message(uint8_t *to, uint32_t request_id, const uint8_t mac[6]);

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

/* Bytes of that header. */
uint32_t netvsc_frame_header_size(const struct netvsc_tx *tx);

/* VLAN numbers as in RNDIS_PPI_8021Q, and as in a frame. */
uint32_t netvsc_vlan_from_tci(uint16_t tci);
uint16_t netvsc_vlan_to_tci(uint32_t value);

struct netvsc_rx {
	uint32_t data_offset, data_length; /* in the range */
	uint32_t ppi_offset, ppi_length;
	bool csum, vlan, hash, rsc;
	uint32_t csum_value, vlan_value, hash_value;
	struct rndis_rsc_id rsc_id;
};
/* One range of a transfer packet, from a private copy. -EPROTO: it lies. */
int netvsc_frame_parse(const void *bytes, uint32_t len, struct netvsc_rx *rx);

/* The same in two steps, for a range of which only these are copied: its first
 * sizeof(struct rndis_packet) bytes, then ppi_length (at most NETVSC_PPI_MAX) from ppi_offset on.
 * len: of the range. */
#define NETVSC_PPI_MAX 256u
int netvsc_frame_begin(const void *packet, uint32_t len, struct netvsc_rx *rx);
int netvsc_frame_ppis(const void *ppis, struct netvsc_rx *rx);

/* ---- packets from the host ----------------------------------------------- */

/* A transfer packet: ranges of the receive buffer, and what is in them. */
struct netvsc_transfer {
	const uint8_t *ranges; /* struct vmbus_xfer_range */
	uint32_t count;
};
#define NETVSC_RANGES_MAX 562u
/* extra, payload: of the ring's packet. -EPROTO: it lies, or is none. */
int netvsc_transfer_parse(const void *extra, uint32_t extra_len, const void *payload,
	uint32_t payload_len, struct netvsc_transfer *transfer);
/* Range n < count. -EPROTO: not inside the receive buffer. */
int netvsc_transfer_range(const struct netvsc_conn *conn, const struct netvsc_transfer *transfer,
	uint32_t n, struct vmbus_xfer_range *range);

/* The completion of a packet that was sent. -EPROTO: it is none; -EIO: the host did not send it. */
int netvsc_sent_parse(const void *payload, uint32_t len);

#endif
