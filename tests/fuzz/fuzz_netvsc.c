/* SPDX-License-Identifier: MIT */
/*
 * A hostile host against the guest's netvsp protocol code. Input: packets, each two length bytes
 * and so many bytes: first answers of the start of a connection, then payloads that are parsed as
 * all that can come.
 *
 * Whatever comes, negotiated values, ranges and frames stay within the limits that the rest of the
 * driver relies on, and the start of a connection ends.
 */
#include <stdlib.h>
#include <string.h>

#include "guest/netvsc/proto.h"
#include "tests/fuzz/input.h"

#define SUB_CHANNELS 7u
#define RECV_BYTES   (1u << 20)
#define SEND_BYTES   (1u << 18)
/* Each version, and the other states. */
#define STEPS_MAX (NETVSC_VERSIONS + NETVSC_DONE)

/* ---- the start of a connection ------------------------------------------- */

static void check_conn(const struct netvsc_conn *conn)
{
	require(conn->sub_channels <= SUB_CHANNELS, "no more sub-channels than asked for");
	require(conn->mtu <= 9000, "no larger MTU than asked for");
	require((uint64_t)conn->section_size * conn->sections <= RECV_BYTES,
		"sections are inside the receive buffer");
	require((uint64_t)conn->send_section_size * conn->send_sections <= SEND_BYTES,
		"sections are inside the send buffer");
	require(conn->rss_entries <= NETVSC_RSS_ENTRIES_MAX, "the table is bounded");
	require(conn->offloads.lso4_max <= 65535 && conn->offloads.lso6_max <= 65535,
		"segmented frames are bounded");
	if (conn->state > NETVSC_RNDIS)
		require(conn->packets_max && conn->alignment && conn->alignment <= 4096,
			"messages of a packet are bounded");
}

/* Fuzzers find a request's id seldom: what is sent as 0xFFFFFFFF is made the right one. */
static void fix_id(const struct netvsc_conn *conn, uint8_t *packet, uint32_t len)
{
	uint32_t id;

	if (len < 12)
		return;
	memcpy(&id, packet + 8, sizeof(id));
	if (id == 0xFFFFFFFFu)
		memcpy(packet + 8, &conn->request_id, sizeof(conn->request_id));
}

static void connect(struct netvsc_conn *conn, struct input *in)
{
	struct netvsc_step step;
	uint32_t len, steps = 0;
	uint8_t *packet;

	while (conn->state != NETVSC_DONE) {
		int err = 0;

		require(++steps <= STEPS_MAX, "the start ends");
		netvsc_step(conn, &step);
		require(step.rndis_length <= NETVSC_MESSAGE_MAX, "a message fits");
		if (!step.answer)
			continue;
		packet = take_sized(in, 2, 0x7FF, &len);
		if (!packet)
			return;
		if (step.rndis_length)
			fix_id(conn, packet, len);
		err = netvsc_answer(conn, packet, len);
		free(packet);
		check_conn(conn);
		if (err)
			return;
	}
}

/* ---- later --------------------------------------------------------------- */

static void check_frame(const uint8_t *packet, uint32_t len)
{
	struct netvsc_rx whole, parts;
	int err = netvsc_frame_parse(packet, len, &whole);

	if (!err) {
		require(whole.data_offset >= sizeof(struct rndis_packet), "data is no header");
		require(whole.data_length && whole.data_offset <= len &&
				whole.data_length <= len - whole.data_offset,
			"data are inside the range");
		require(whole.ppi_length <= NETVSC_PPI_MAX && whole.ppi_offset <= len &&
				whole.ppi_length <= len - whole.ppi_offset,
			"information is inside the range");
	}
	if (len < sizeof(struct rndis_packet) || netvsc_frame_begin(packet, len, &parts))
		return;
	require(netvsc_frame_ppis(packet + parts.ppi_offset, &parts) == err,
		"two steps say what one says");
}

static void check_transfer(const struct netvsc_conn *conn, const uint8_t *packet, uint32_t len)
{
	uint32_t extra = len < 4 ? 0 : len - 4;
	struct netvsc_transfer t;
	struct vmbus_xfer_range range;

	if (netvsc_transfer_parse(packet, extra, packet + extra, len - extra, &t))
		return;
	require(t.count && t.count <= NETVSC_RANGES_MAX, "ranges are bounded");
	for (uint32_t i = 0; i < t.count; i++) {
		if (netvsc_transfer_range(conn, &t, i, &range))
			continue;
		require(range.byte_count <= conn->section_size, "a range is in one section");
		require((uint64_t)range.byte_offset + range.byte_count <= RECV_BYTES,
			"a range is inside the receive buffer");
	}
}

static void check_control(const uint8_t *packet, uint32_t len)
{
	struct netvsc_control c;

	if (netvsc_control_parse(packet, len, &c) || !c.info_len)
		return;
	require(c.info && c.info_len <= len && c.info >= packet &&
			c.info + c.info_len <= packet + len,
		"information is inside the message");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	struct netvsc_conn conn;
	uint8_t *packet;
	uint32_t len;

	require(!netvsc_conn_init(&conn, NVSP_VERSION_6_1), "a version we have");
	conn.mtu = 9000;
	conn.sub_channels = SUB_CHANNELS;
	conn.rsc = true;
	conn.recv_bytes = RECV_BYTES;
	conn.send_bytes = SEND_BYTES;
	connect(&conn, &in);
	while ((packet = take_sized(&in, 2, 0x7FF, &len))) {
		check_frame(packet, len);
		check_transfer(&conn, packet, len);
		check_control(packet, len);
		netvsc_sent_parse(packet, len);
		free(packet);
	}
	return 0;
}
