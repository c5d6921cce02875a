/* SPDX-License-Identifier: MIT */
/* The guest's protocol half against hostile hosts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "guest/storvsc/proto.h"

static struct vstor_packet completion(uint32_t status)
{
	struct vstor_packet packet;

	memset(&packet, 0, sizeof(packet));
	packet.operation = VSTOR_OP_COMPLETE_IO;
	packet.status = status;
	return packet;
}

static int answer(struct storvsc_conn *conn, uint32_t status)
{
	struct vstor_packet packet = completion(status);

	return storvsc_init_reply(conn, &packet, sizeof(packet));
}

static int answer_properties(
	struct storvsc_conn *conn, uint16_t max, uint32_t flags, uint32_t bytes)
{
	struct vstor_packet packet = completion(0);

	packet.properties.max_channel_count = max;
	packet.properties.flags = flags;
	packet.properties.max_transfer_bytes = bytes;
	return storvsc_init_reply(conn, &packet, sizeof(packet));
}

/* A connection whose next packet asks for the properties. */
static struct storvsc_conn at_properties(uint16_t wanted)
{
	struct storvsc_conn conn;

	assert_int_equal(storvsc_conn_init(&conn, VSTOR_VERSION_WIN10, wanted), 0);
	assert_int_equal(answer(&conn, 0), 0);
	assert_int_equal(answer(&conn, 0), 0);
	assert_int_equal(conn.state, STORVSC_INIT_PROPERTIES);
	return conn;
}

static void tries_all_versions(void **state)
{
	static const uint16_t versions[] = {0x0602, 0x0600, 0x0501, 0x0402, 0x0200};
	struct vstor_packet packet;
	struct storvsc_conn conn;

	assert_int_equal(storvsc_conn_init(&conn, 0x0601, 0), -EINVAL);
	assert_int_equal(storvsc_conn_init(&conn, VSTOR_VERSION_WIN10, 0), 0);
	assert_int_equal(answer(&conn, 0), 0);
	for (uint32_t i = 0; i < 5; i++) {
		storvsc_init_request(&conn, &packet);
		assert_int_equal(packet.operation, VSTOR_OP_QUERY_PROTOCOL_VERSION);
		assert_int_equal(packet.version.major_minor, versions[i]);
		assert_int_equal(storvsc_packet_size(&conn), 64);
		assert_int_equal(answer(&conn, VSTOR_STATUS_REVISION_MISMATCH),
			i < 4 ? 0 : -EPROTONOSUPPORT);
	}
}

static void shrinks_for_old_versions(void **state)
{
	struct storvsc_conn conn;

	assert_int_equal(storvsc_conn_init(&conn, VSTOR_VERSION_WIN7, 0), 0);
	assert_int_equal(answer(&conn, 0), 0);
	assert_int_equal(storvsc_packet_size(&conn), 64);
	assert_int_equal(answer(&conn, 0), 0);
	assert_int_equal(storvsc_packet_size(&conn), 48);
}

static void init_replies_are_checked(void **state)
{
	struct vstor_packet packet = completion(0);
	struct storvsc_conn conn;

	assert_int_equal(storvsc_conn_init(&conn, VSTOR_VERSION_WIN10, 0), 0);
	assert_int_equal(storvsc_init_reply(&conn, &packet, 63), -EPROTO);
	assert_int_equal(storvsc_init_reply(&conn, &packet, 0), -EPROTO);
	packet.operation = VSTOR_OP_ENUMERATE_BUS;
	assert_int_equal(storvsc_init_reply(&conn, &packet, 64), -EPROTO);
	assert_int_equal(answer(&conn, VSTOR_STATUS_UNSUCCESSFUL), -EIO);
	assert_int_equal(conn.state, STORVSC_INIT_BEGIN);
	assert_int_equal(answer(&conn, 0), 0);
	assert_int_equal(answer(&conn, VSTOR_STATUS_UNSUCCESSFUL), -EIO);
	conn.state = STORVSC_INIT_DONE;
	assert_int_equal(answer(&conn, 0), -EPROTO);
}

static void properties_are_bounded(void **state)
{
	struct storvsc_conn conn = at_properties(4);

	assert_int_equal(answer_properties(&conn, 2, 1, 4095), -EPROTO);
	assert_int_equal(answer_properties(&conn, 2, 1, 0x12345), 0);
	assert_int_equal(conn.transfer_max, 0x12000);
	assert_int_equal(conn.sub_channels, 2);
	conn = at_properties(4);
	assert_int_equal(answer_properties(&conn, 0xFFFF, 1, UINT32_MAX), 0);
	assert_int_equal(conn.transfer_max, STORVSC_TRANSFER_MAX);
	assert_int_equal(conn.sub_channels, 4);
	conn = at_properties(4);
	assert_int_equal(answer_properties(&conn, 9, 0, 65536), 0); /* no multi-channel flag */
	assert_int_equal(conn.sub_channels, 0);
	assert_int_equal(answer(&conn, 0), 0);
	assert_int_equal(conn.state, STORVSC_INIT_DONE);
}

static void lives_without_sub_channels(void **state)
{
	struct storvsc_conn conn = at_properties(3);
	struct vstor_packet packet;

	assert_int_equal(answer_properties(&conn, 2, 1, 65536), 0);
	assert_int_equal(answer(&conn, 0), 0);
	storvsc_init_request(&conn, &packet);
	assert_int_equal(packet.operation, VSTOR_OP_CREATE_SUB_CHANNELS);
	assert_int_equal(packet.sub_channel_count, 2);
	assert_int_equal(answer(&conn, VSTOR_STATUS_INVALID_PARAMETER), 0);
	assert_int_equal(conn.state, STORVSC_INIT_DONE);
	assert_int_equal(conn.sub_channels, 0);
}

static void commands_are_complete(void **state)
{
	struct storvsc_command cmd = {.path = 1,
		.target = 2,
		.lun = 3,
		.cdb_length = 10,
		.data = VSTOR_DATA_OUT,
		.length = 4096,
		.cdb = {0x2A, [8] = 8}};
	struct vstor_packet packet;
	struct vstor_srb srb;

	memset(&packet, 0xFF, sizeof(packet));
	storvsc_command_build(&cmd, &packet);
	srb = packet.srb;
	assert_int_equal(packet.operation, VSTOR_OP_EXECUTE_SRB);
	assert_int_equal(packet.flags, VSTOR_FLAG_REQUEST_COMPLETION);
	assert_int_equal(srb.length, 0x34);
	assert_int_equal(srb.path_id, 1);
	assert_int_equal(srb.target_id, 2);
	assert_int_equal(srb.lun, 3);
	assert_int_equal(srb.sense_info_length, 20);
	assert_int_equal(srb.data_transfer_length, 4096);
	assert_memory_equal(srb.cdb, cmd.cdb, 16);
	assert_int_equal(srb.srb_flags, 0x8 | 0x102 | 0x80);
	assert_int_equal(srb.reserved, 0);
}

static void ranges_count_their_pages(void **state)
{
	union {
		struct storvsc_range range;
		uint64_t room[300];
	} r;

	assert_int_equal(storvsc_range_build(&r.range, 0, 4096), 16 + 8);
	assert_int_equal(storvsc_range_build(&r.range, 1, 4096), 16 + 16);
	assert_int_equal(storvsc_range_build(&r.range, 4095, 2), 16 + 16);
	assert_int_equal(storvsc_range_build(&r.range, 512, 1 << 20), 16 + 257 * 8);
	assert_int_equal(r.range.direct.range_count, 1);
	assert_int_equal(r.range.range.byte_count, 1 << 20);
	assert_int_equal(r.range.range.byte_offset, 512);
	assert_int_equal(storvsc_range_build(&r.range, 0, 0), 0);
	assert_int_equal(storvsc_range_build(&r.range, 4096, 1), 0);
	assert_int_equal(storvsc_range_pfns(4095, UINT32_MAX), (1u << 20) + 1);
}

static int parse(struct vstor_srb srb, struct storvsc_completion *out)
{
	struct storvsc_conn conn = at_properties(0);
	struct storvsc_command cmd = {.length = 1000};
	struct vstor_packet packet = completion(0);

	packet.srb = srb;
	return storvsc_completion_parse(&conn, &cmd, &packet, sizeof(packet), out);
}

static void completions_are_bounded(void **state)
{
	struct storvsc_completion out;

	assert_int_equal(
		parse((struct vstor_srb){.srb_status = 1, .data_transfer_length = 1000}, &out), 0);
	assert_int_equal(out.transferred, 1000);
	assert_int_equal(
		parse((struct vstor_srb){.srb_status = 1, .data_transfer_length = 1001}, &out),
		-EPROTO);
	/* a count that only repeats the request */
	assert_int_equal(parse((struct vstor_srb){.srb_status = 0x84,
				       .scsi_status = 2,
				       .data_transfer_length = 1000,
				       .sense_info_length = 255,
				       .sense = {0x70}},
				 &out),
		0);
	assert_int_equal(out.transferred, 0);
	assert_int_equal(out.srb_status, VSTOR_SRB_ERROR);
	assert_int_equal(out.sense_length, VSTOR_SENSE_SIZE);
	assert_int_equal(out.sense[0], 0x70);
	/* sense without the "valid" flag is none */
	assert_int_equal(parse((struct vstor_srb){.srb_status = 0x04,
				       .scsi_status = 2,
				       .sense_info_length = 18,
				       .sense = {0x70}},
				 &out),
		0);
	assert_int_equal(out.sense_length, 0);
	assert_int_equal(
		parse((struct vstor_srb){.srb_status = 0x84, .sense_info_length = 18}, &out), 0);
	assert_int_equal(out.sense_length, 0);
	assert_int_equal(
		parse((struct vstor_srb){.srb_status = 0x12, .data_transfer_length = 9}, &out), 0);
	assert_int_equal(out.transferred, 9);
}

static void short_completions_are_refused(void **state)
{
	struct storvsc_conn conn = at_properties(0);
	struct storvsc_command cmd = {.length = 0};
	struct vstor_packet packet = completion(0);
	struct storvsc_completion out;

	for (uint32_t len = 0; len < 64; len++)
		assert_int_equal(
			storvsc_completion_parse(&conn, &cmd, &packet, len, &out), -EPROTO);
	assert_int_equal(storvsc_completion_parse(&conn, &cmd, &packet, 64, &out), 0);
	packet.operation = VSTOR_OP_EXECUTE_SRB;
	assert_int_equal(storvsc_completion_parse(&conn, &cmd, &packet, 64, &out), -EPROTO);
}

static void events(void **state)
{
	struct vstor_packet packet = {.operation = VSTOR_OP_ENUMERATE_BUS};

	assert_int_equal(storvsc_event_parse(&packet, 64), 0);
	assert_int_equal(storvsc_event_parse(&packet, 11), -EPROTO);
	packet.operation = VSTOR_OP_REMOVE_DEVICE;
	assert_int_equal(storvsc_event_parse(&packet, 12), 0);
	packet.operation = VSTOR_OP_COMPLETE_IO; /* forged: no command has no id */
	assert_int_equal(storvsc_event_parse(&packet, 64), -EPROTO);
	packet.operation = VSTOR_OP_FCHBA_DATA;
	assert_int_equal(storvsc_event_parse(&packet, 64), -EPROTO);
}

/* ---- judgements ---------------------------------------------------------- */

static enum storvsc_verdict judge(uint8_t srb, uint8_t scsi, uint8_t sense_length)
{
	const struct storvsc_completion c = {
		.srb_status = srb, .scsi_status = scsi, .sense_length = sense_length};

	return storvsc_judge(&c);
}

static void verdicts(void **state)
{
	assert_int_equal(judge(VSTOR_SRB_SUCCESS, 0, 0), STORVSC_DONE);
	assert_int_equal(judge(VSTOR_SRB_DATA_OVERRUN, 0, 0), STORVSC_DONE);
	assert_int_equal(judge(VSTOR_SRB_ERROR, 2, 18), STORVSC_DONE);
	assert_int_equal(judge(VSTOR_SRB_ERROR, 2, 0), STORVSC_FAILED); /* of what? */
	assert_int_equal(judge(VSTOR_SRB_ERROR, 0x18, 0), STORVSC_DONE);
	assert_int_equal(judge(VSTOR_SRB_ERROR, 0, 0), STORVSC_FAILED);
	assert_int_equal(judge(VSTOR_SRB_BUS_RESET, 2, 18), STORVSC_DONE);
	assert_int_equal(judge(VSTOR_SRB_BUS_RESET, 0, 0), STORVSC_RETRY);
	assert_int_equal(judge(VSTOR_SRB_ABORTED, 0, 0), STORVSC_RETRY);
	assert_int_equal(judge(VSTOR_SRB_BUSY, 0, 0), STORVSC_BUSY);
	assert_int_equal(judge(VSTOR_SRB_INVALID_LUN, 0, 0), STORVSC_LUN_GONE);
	assert_int_equal(judge(VSTOR_SRB_INVALID_LUN, 2, 18), STORVSC_LUN_GONE);
	/* a status without a meaning is no success, whatever the SCSI status says */
	assert_int_equal(judge(0, 0, 0), STORVSC_FAILED);
	assert_int_equal(judge(0x3F, 0, 0), STORVSC_FAILED);
}

static enum storvsc_change change(
	uint8_t format, uint8_t key, uint8_t asc, uint8_t ascq, uint8_t length)
{
	const struct storvsc_completion c = {.sense_length = length,
		.sense = {[0] = format, [2] = key, [12] = asc, [13] = ascq}};

	return storvsc_sense_change(&c);
}

static void changes(void **state)
{
	assert_int_equal(change(0x70, 6, 0x2A, 0x09, 18), STORVSC_CHANGE_LUN);
	assert_int_equal(change(0x71, 6, 0x2A, 0x09, 18), STORVSC_CHANGE_LUN);
	assert_int_equal(change(0x70, 6, 0x3F, 0x02, 14), STORVSC_CHANGE_LUN);
	assert_int_equal(change(0x70, 6, 0x3F, 0x0E, 18), STORVSC_CHANGE_LUNS);
	assert_int_equal(change(0x70, 6, 0x2A, 0x01, 18), STORVSC_CHANGE_NONE);
	assert_int_equal(change(0x70, 5, 0x2A, 0x09, 18), STORVSC_CHANGE_NONE);
	assert_int_equal(change(0x72, 6, 0x2A, 0x09, 18), STORVSC_CHANGE_NONE);
	assert_int_equal(change(0x70, 6, 0x2A, 0x09, 13), STORVSC_CHANGE_NONE);
}

static void ids(void **state)
{
	uint64_t id = storvsc_id(0xFFFFFFFF, STORVSC_TABLE_POLLED, 0xFFFF);

	assert_int_equal(storvsc_id_generation(id), 0xFFFFFFFF);
	assert_int_equal(storvsc_id_generation(0xFFFFFFFF), 0);
	assert_int_equal(storvsc_id_table(id), STORVSC_TABLE_POLLED);
	assert_int_equal(storvsc_id_tag(id), 0xFFFF);
	assert_true(id != storvsc_id(1, STORVSC_TABLE_POLLED, 0xFFFF));
	assert_int_equal(storvsc_next_generation(1), 2);
	assert_int_equal(storvsc_next_generation(0xFFFFFFFF), 1); /* an id is never 0 */
	assert_true(storvsc_id_table(0xFFFFFFFF) >= STORVSC_TABLES);
}

static void resets(void **state)
{
	struct vstor_packet packet;

	memset(&packet, 0xFF, sizeof(packet));
	storvsc_reset_lun_build(1, 2, 3, &packet);
	assert_int_equal(packet.operation, VSTOR_OP_RESET_LUN);
	assert_int_equal(packet.flags, VSTOR_FLAG_REQUEST_COMPLETION);
	assert_int_equal(packet.srb.path_id, 1);
	assert_int_equal(packet.srb.target_id, 2);
	assert_int_equal(packet.srb.lun, 3);
	assert_int_equal(packet.srb.data_transfer_length, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tries_all_versions),
		cmocka_unit_test(shrinks_for_old_versions),
		cmocka_unit_test(init_replies_are_checked),
		cmocka_unit_test(properties_are_bounded),
		cmocka_unit_test(lives_without_sub_channels),
		cmocka_unit_test(commands_are_complete),
		cmocka_unit_test(ranges_count_their_pages),
		cmocka_unit_test(completions_are_bounded),
		cmocka_unit_test(short_completions_are_refused),
		cmocka_unit_test(events),
		cmocka_unit_test(verdicts),
		cmocka_unit_test(changes),
		cmocka_unit_test(ids),
		cmocka_unit_test(resets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
