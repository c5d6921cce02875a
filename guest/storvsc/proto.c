/* SPDX-License-Identifier: GPL-2.0 OR MIT */
#include "proto.h"

#define SRB_LENGTH 0x34u

#define SRB_FLAG_QUEUE_ACTION          0x00000002u
#define SRB_FLAG_DISABLE_SYNC_TRANSFER 0x00000008u
#define SRB_FLAG_DATA_IN               0x00000040u
#define SRB_FLAG_DATA_OUT              0x00000080u
#define SRB_FLAG_NO_QUEUE_FREEZE       0x00000100u
#define SRB_SIMPLE_TAG                 0x20u
#define SRB_NO_TAG                     0xFFu
#define SRB_TIMEOUT_SECONDS            60u

#define SRB_STATUS_MASK      0x3Fu
#define SCSI_GOOD            0x00u
#define SCSI_CHECK_CONDITION 0x02u

#define SENSE_FIXED            0x70u /* 0x70 current, 0x71 deferred */
#define SENSE_UNIT_ATTENTION   0x06u
#define ASC_PARAMETERS_CHANGED 0x2Au
#define ASCQ_CAPACITY_CHANGED  0x09u
#define ASC_TARGET_CHANGED     0x3Fu /* operating definition, INQUIRY data, LUNs */
#define ASCQ_LUNS_CHANGED      0x0Eu

/* Newest first. */
static const uint16_t versions[] = {
	VSTOR_VERSION_WIN10,
	VSTOR_VERSION_WIN8_1,
	VSTOR_VERSION_WIN8,
	VSTOR_VERSION_WIN7,
	VSTOR_VERSION_WIN6,
};
#define VERSION_COUNT (sizeof(versions) / sizeof(versions[0]))

/* ---- initialization ------------------------------------------------------ */

int storvsc_conn_init(struct storvsc_conn *conn, uint16_t newest, uint16_t sub_channels_wanted)
{
	uint32_t i = 0;

	while (i < VERSION_COUNT && versions[i] != newest)
		i++;
	if (i == VERSION_COUNT)
		return -EINVAL;
	memset(conn, 0, sizeof(*conn));
	conn->version_index = i;
	conn->version = newest;
	conn->sub_channels_wanted = sub_channels_wanted;
	return 0;
}

/* Before a version is agreed, packets have the size of the newest. */
uint32_t storvsc_packet_size(const struct storvsc_conn *conn)
{
	if (conn->state > STORVSC_INIT_VERSION && conn->version < VSTOR_VERSION_WIN8)
		return VSTOR_PACKET_SIZE_WIN7;
	return VSTOR_PACKET_SIZE;
}

void storvsc_init_request(const struct storvsc_conn *conn, struct vstor_packet *packet)
{
	static const uint32_t operation_of[] = {
		[STORVSC_INIT_BEGIN] = VSTOR_OP_BEGIN_INITIALIZATION,
		[STORVSC_INIT_VERSION] = VSTOR_OP_QUERY_PROTOCOL_VERSION,
		[STORVSC_INIT_PROPERTIES] = VSTOR_OP_QUERY_PROPERTIES,
		[STORVSC_INIT_END] = VSTOR_OP_END_INITIALIZATION,
		[STORVSC_INIT_SUB_CHANNELS] = VSTOR_OP_CREATE_SUB_CHANNELS,
		[STORVSC_INIT_DONE] = 0,
	};

	memset(packet, 0, sizeof(*packet));
	packet->operation = operation_of[conn->state];
	packet->flags = VSTOR_FLAG_REQUEST_COMPLETION;
	if (conn->state == STORVSC_INIT_VERSION)
		packet->version.major_minor = conn->version;
	if (conn->state == STORVSC_INIT_SUB_CHANNELS)
		packet->sub_channel_count = conn->sub_channels;
}

static int version_reply(struct storvsc_conn *conn, const struct vstor_packet *packet)
{
	if (packet->status == VSTOR_STATUS_SUCCESS) {
		conn->state = STORVSC_INIT_PROPERTIES;
		return 0;
	}
	if (packet->status != VSTOR_STATUS_REVISION_MISMATCH)
		return -EIO;
	if (++conn->version_index == VERSION_COUNT)
		return -EPROTONOSUPPORT;
	conn->version = versions[conn->version_index];
	return 0;
}

static int properties_reply(struct storvsc_conn *conn, const struct vstor_properties *properties)
{
	uint32_t transfer_max = properties->max_transfer_bytes & ~(HV_PAGE_SIZE - 1);
	uint16_t sub_channels = properties->max_channel_count;

	if (transfer_max == 0)
		return -EPROTO;
	conn->transfer_max =
		transfer_max < STORVSC_TRANSFER_MAX ? transfer_max : STORVSC_TRANSFER_MAX;
	if (!(properties->flags & VSTOR_PROPERTIES_MULTI_CHANNEL))
		sub_channels = 0;
	if (sub_channels > conn->sub_channels_wanted)
		sub_channels = conn->sub_channels_wanted;
	conn->sub_channels = sub_channels;
	conn->state = STORVSC_INIT_END;
	return 0;
}

/* Copies what is there; false when that is no completion of the agreed size. */
static bool take_completion(const struct storvsc_conn *conn, const void *payload, uint32_t len,
	struct vstor_packet *packet)
{
	uint32_t size = storvsc_packet_size(conn);

	if (len < size)
		return false;
	memset(packet, 0, sizeof(*packet));
	memcpy(packet, payload, size);
	return packet->operation == VSTOR_OP_COMPLETE_IO;
}

int storvsc_init_reply(struct storvsc_conn *conn, const void *payload, uint32_t len)
{
	struct vstor_packet packet;

	if (conn->state == STORVSC_INIT_DONE || !take_completion(conn, payload, len, &packet))
		return -EPROTO;
	if (conn->state == STORVSC_INIT_VERSION)
		return version_reply(conn, &packet);
	if (conn->state == STORVSC_INIT_SUB_CHANNELS) {
		/* One channel is enough to live. */
		if (packet.status != VSTOR_STATUS_SUCCESS)
			conn->sub_channels = 0;
		conn->state = STORVSC_INIT_DONE;
		return 0;
	}
	if (packet.status != VSTOR_STATUS_SUCCESS)
		return -EIO;
	if (conn->state == STORVSC_INIT_PROPERTIES)
		return properties_reply(conn, &packet.properties);
	if (conn->state == STORVSC_INIT_BEGIN)
		conn->state = STORVSC_INIT_VERSION;
	else
		conn->state = conn->sub_channels ? STORVSC_INIT_SUB_CHANNELS : STORVSC_INIT_DONE;
	return 0;
}

/* ---- commands ------------------------------------------------------------ */

/* One layout for all versions: the fields beyond the old packet are not sent there. */
void storvsc_command_build(const struct storvsc_command *cmd, struct vstor_packet *packet)
{
	struct vstor_srb srb = {
		.length = SRB_LENGTH,
		.path_id = cmd->path,
		.target_id = cmd->target,
		.lun = cmd->lun,
		.cdb_length = cmd->cdb_length,
		.sense_info_length = VSTOR_SENSE_SIZE,
		.data_in = cmd->data,
		.data_transfer_length = cmd->length,
		.queue_tag = SRB_NO_TAG,
		.queue_action = SRB_SIMPLE_TAG,
		.srb_flags = SRB_FLAG_DISABLE_SYNC_TRANSFER | SRB_FLAG_QUEUE_ACTION |
			     SRB_FLAG_NO_QUEUE_FREEZE,
		.timeout_seconds = SRB_TIMEOUT_SECONDS,
	};

	memcpy(srb.cdb, cmd->cdb, sizeof(srb.cdb));
	if (cmd->data == VSTOR_DATA_IN)
		srb.srb_flags |= SRB_FLAG_DATA_IN;
	else if (cmd->data == VSTOR_DATA_OUT)
		srb.srb_flags |= SRB_FLAG_DATA_OUT;
	memset(packet, 0, sizeof(*packet));
	packet->operation = VSTOR_OP_EXECUTE_SRB;
	packet->flags = VSTOR_FLAG_REQUEST_COMPLETION;
	packet->srb = srb;
}

void storvsc_reset_build(struct vstor_packet *packet)
{
	memset(packet, 0, sizeof(*packet));
	packet->operation = VSTOR_OP_RESET_BUS;
	packet->flags = VSTOR_FLAG_REQUEST_COMPLETION;
}

void storvsc_reset_lun_build(uint8_t path, uint8_t target, uint8_t lun, struct vstor_packet *packet)
{
	storvsc_reset_build(packet);
	packet->operation = VSTOR_OP_RESET_LUN;
	packet->srb.length = SRB_LENGTH;
	packet->srb.path_id = path;
	packet->srb.target_id = target;
	packet->srb.lun = lun;
}

uint32_t storvsc_range_build(struct storvsc_range *range, uint32_t byte_offset, uint32_t byte_count)
{
	if (byte_offset >= HV_PAGE_SIZE || byte_count == 0)
		return 0;
	range->direct.reserved = 0;
	range->direct.range_count = 1;
	range->range.byte_count = byte_count;
	range->range.byte_offset = byte_offset;
	return (uint32_t)sizeof(*range) +
	       storvsc_range_pfns(byte_offset, byte_count) * (uint32_t)sizeof(range->pfns[0]);
}

/* ---- answers of the host ------------------------------------------------- */

static void take_sense(const struct vstor_srb *srb, struct storvsc_completion *out)
{
	uint8_t length = srb->sense_info_length;

	if (srb->scsi_status != SCSI_CHECK_CONDITION ||
		!(srb->srb_status & VSTOR_SRB_AUTOSENSE_VALID))
		return;
	out->sense_length = length < VSTOR_SENSE_SIZE ? length : VSTOR_SENSE_SIZE;
	memcpy(out->sense, srb->sense, out->sense_length);
}

int storvsc_completion_parse(const struct storvsc_conn *conn, const struct storvsc_command *cmd,
	const void *payload, uint32_t len, struct storvsc_completion *out)
{
	struct vstor_packet packet;
	struct vstor_srb srb;

	memset(out, 0, sizeof(*out));
	if (!take_completion(conn, payload, len, &packet))
		return -EPROTO;
	srb = packet.srb;
	if (srb.data_transfer_length > cmd->length)
		return -EPROTO;
	out->status = packet.status;
	out->srb_status = srb.srb_status & SRB_STATUS_MASK;
	out->scsi_status = srb.scsi_status;
	/* Hosts leave the count as it was when nothing has been moved. */
	if (out->srb_status == VSTOR_SRB_SUCCESS || out->srb_status == VSTOR_SRB_DATA_OVERRUN)
		out->transferred = srb.data_transfer_length;
	take_sense(&srb, out);
	return 0;
}

/* A SCSI status other than GOOD is the device's own word, whatever the SRB status says; but CHECK
 * CONDITION means nothing without sense data. */
enum storvsc_verdict storvsc_judge(const struct storvsc_completion *c)
{
	if (c->srb_status == VSTOR_SRB_INVALID_LUN)
		return STORVSC_LUN_GONE;
	if (c->scsi_status == SCSI_CHECK_CONDITION)
		return c->sense_length ? STORVSC_DONE : STORVSC_FAILED;
	if (c->scsi_status != SCSI_GOOD)
		return STORVSC_DONE;
	switch (c->srb_status) {
	case VSTOR_SRB_SUCCESS:
	case VSTOR_SRB_DATA_OVERRUN:
		return STORVSC_DONE;
	case VSTOR_SRB_ABORTED:
	case VSTOR_SRB_BUS_RESET:
		return STORVSC_RETRY;
	case VSTOR_SRB_BUSY:
		return STORVSC_BUSY;
	default:
		return STORVSC_FAILED;
	}
}

/* Fixed-format sense data (SPC): key in byte 2, ASC and ASCQ in bytes 12 and 13. */
enum storvsc_change storvsc_sense_change(const struct storvsc_completion *c)
{
	const uint8_t *sense = c->sense;

	if (c->sense_length < 14 || (sense[0] & 0x7E) != SENSE_FIXED ||
		(sense[2] & 0x0F) != SENSE_UNIT_ATTENTION)
		return STORVSC_CHANGE_NONE;
	if (sense[12] == ASC_TARGET_CHANGED && sense[13] == ASCQ_LUNS_CHANGED)
		return STORVSC_CHANGE_LUNS;
	if (sense[12] == ASC_TARGET_CHANGED ||
		(sense[12] == ASC_PARAMETERS_CHANGED && sense[13] == ASCQ_CAPACITY_CHANGED))
		return STORVSC_CHANGE_LUN;
	return STORVSC_CHANGE_NONE;
}

int storvsc_event_parse(const void *payload, uint32_t len)
{
	uint32_t operation;

	if (len < VSTOR_PACKET_HEADER_SIZE)
		return -EPROTO;
	memcpy(&operation, payload, sizeof(operation));
	if (operation != VSTOR_OP_ENUMERATE_BUS && operation != VSTOR_OP_REMOVE_DEVICE)
		return -EPROTO;
	return 0;
}
