/* SPDX-License-Identifier: MIT */
/*
 * A hostile host against the guest's storvsc protocol code. Input: packets, each a length byte and
 * so many bytes, as payloads of completions: first of the initialization, then of commands and of
 * events.
 *
 * Whatever comes, negotiated values and completions stay within the limits that the rest of the
 * driver relies on, and the initialization ends.
 */
#include <stdlib.h>
#include <string.h>

#include "guest/storvsc/proto.h"
#include "tests/fuzz/input.h"

#define SUB_CHANNELS 7u
/* BEGIN, one for each version, PROPERTIES, END, SUB_CHANNELS. */
#define STEPS_MAX 9u

static void check_request(const struct storvsc_conn *conn)
{
	struct vstor_packet packet;

	storvsc_init_request(conn, &packet);
	require(packet.flags == VSTOR_FLAG_REQUEST_COMPLETION, "a request wants an answer");
	require(storvsc_packet_size(conn) <= sizeof(packet), "packets have the size of a packet");
}

static void check_conn(const struct storvsc_conn *conn)
{
	require(conn->sub_channels <= SUB_CHANNELS, "no more sub-channels than asked for");
	if (conn->state < STORVSC_INIT_END)
		return;
	require(conn->transfer_max && conn->transfer_max <= STORVSC_TRANSFER_MAX,
		"transfer_max is bounded");
	require(conn->transfer_max % HV_PAGE_SIZE == 0, "transfer_max is whole pages");
}

static void negotiate(struct storvsc_conn *conn, struct input *in)
{
	uint32_t len, steps = 0;
	uint8_t *packet;

	require(!storvsc_conn_init(conn, VSTOR_VERSION_WIN10, SUB_CHANNELS), "a version we have");
	while (conn->state != STORVSC_INIT_DONE && (packet = take_sized(in, 1, 0xFF, &len))) {
		int err;

		check_request(conn);
		err = storvsc_init_reply(conn, packet, len);
		free(packet);
		check_conn(conn);
		if (err)
			return;
		require(++steps <= STEPS_MAX, "the initialization ends");
	}
}

static void check_completion(
	const struct storvsc_command *command, const struct storvsc_completion *c)
{
	enum storvsc_verdict verdict = storvsc_judge(c);

	require(c->transferred <= command->length, "no more bytes than the command has");
	require(c->sense_length <= VSTOR_SENSE_SIZE, "sense data fit");
	require(verdict <= STORVSC_FAILED, "a verdict");
	require(storvsc_sense_change(c) <= STORVSC_CHANGE_LUNS, "a change");
	require(verdict != STORVSC_DONE || c->scsi_status || c->srb_status == VSTOR_SRB_SUCCESS ||
			c->srb_status == VSTOR_SRB_DATA_OVERRUN,
		"only success is success");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	struct storvsc_command command = {.length = 4096, .cdb_length = 10};
	struct storvsc_completion completion;
	struct storvsc_conn conn;
	uint8_t *packet;
	uint32_t len;

	negotiate(&conn, &in);
	while ((packet = take_sized(&in, 1, 0xFF, &len))) {
		command.length = command.length * 5u % (STORVSC_TRANSFER_MAX + 1);
		if (!storvsc_completion_parse(&conn, &command, packet, len, &completion))
			check_completion(&command, &completion);
		storvsc_event_parse(packet, len);
		free(packet);
	}
	return 0;
}
