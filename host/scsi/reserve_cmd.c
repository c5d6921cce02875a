/* SPDX-License-Identifier: MIT */
/* PERSISTENT RESERVE IN and OUT: decoding and replies. */
#include "scsi/reserve.h"
#include "scsi/scsi_impl.h"

#define LIST_SIZE          24u
#define LIST_FLAGS         20
#define LIST_SPECIFY_PORTS 0x08u
#define LIST_ALL_PORTS     0x04u
#define LIST_KEEP          0x01u
#define SCOPE              0xF0u /* only 0, the whole unit, is supported */

#define IN_HEADER             8u
#define FULL_STATUS_SIZE      48u
#define FULL_STATUS_HOLDER    0x01u
#define FULL_STATUS_PORT      1u
#define TRANSPORT_ID_SIZE     24u
#define TRANSPORT_ID_PARALLEL 0x01u /* format 0 */
#define MOVE_LIST_MAX         512u
#define CAPABILITIES_SIZE     8u
#define CAN_RESERVE_6         0x10u /* the holder may send RESERVE(6) */
#define CAN_KEEP              0x01u
#define KEEPS                 0x01u
#define TYPES_ARE_TOLD        0x80u

struct view {
	struct scsi_reserve_state state;
	uint32_t generation;
};

static struct view look(const struct scsi_unit *unit)
{
	struct scsi_reservation *r = unit->reservation;
	struct view v;

	pthread_mutex_lock(&r->lock);
	v.state = r->state;
	v.generation = r->generation;
	pthread_mutex_unlock(&r->lock);
	return v;
}

static uint32_t in_header(const struct view *v, uint8_t *reply, uint32_t length)
{
	put_be32(reply, v->generation);
	put_be32(reply + 4, length);
	return IN_HEADER + length;
}

static uint32_t build_keys(const struct scsi_unit *unit, const struct scsi_cmd *cmd, uint8_t *reply)
{
	struct view v = look(unit);

	put_be64(reply + IN_HEADER, v.state.key);
	return in_header(&v, reply, v.state.key ? 8 : 0);
}

static uint32_t build_reservation(
	const struct scsi_unit *unit, const struct scsi_cmd *cmd, uint8_t *reply)
{
	struct view v = look(unit);

	if (!v.state.type)
		return in_header(&v, reply, 0);
	put_be64(reply + IN_HEADER, scsi_reserve_type_all(v.state.type) ? 0 : v.state.key);
	reply[IN_HEADER + 13] = v.state.type;
	return in_header(&v, reply, 16);
}

static uint32_t build_capabilities(
	const struct scsi_unit *unit, const struct scsi_cmd *cmd, uint8_t *reply)
{
	uint16_t types = 0;

	for (uint8_t type = 0; type < 16; type++)
		if (scsi_reserve_type_valid(type))
			types |= (uint16_t)(1u << type);
	put_be16(reply, CAPABILITIES_SIZE);
	reply[2] = (uint8_t)(CAN_RESERVE_6 | (unit->reservation->path ? CAN_KEEP : 0));
	reply[3] = (uint8_t)(TYPES_ARE_TOLD | (look(unit).state.keep ? KEEPS : 0));
	/* low byte first, unlike all other fields */
	reply[4] = (uint8_t)types;
	reply[5] = (uint8_t)(types >> 8);
	return CAPABILITIES_SIZE;
}

/* The initiator has the transport ID of a parallel bus, address 0: this transport has none. */
static uint32_t build_full_status(
	const struct scsi_unit *unit, const struct scsi_cmd *cmd, uint8_t *reply)
{
	struct view v = look(unit);
	uint8_t *d = reply + IN_HEADER;

	if (!v.state.key)
		return in_header(&v, reply, 0);
	put_be64(d, v.state.key);
	if (v.state.type) {
		d[12] = FULL_STATUS_HOLDER;
		d[13] = v.state.type;
	}
	put_be16(d + 18, FULL_STATUS_PORT);
	put_be32(d + 20, TRANSPORT_ID_SIZE);
	put_be16(d + 24 + 6, FULL_STATUS_PORT);
	return in_header(&v, reply, FULL_STATUS_SIZE);
}

enum scsi_error scsi_decode_reserve_in(
	struct scsi_cmd *cmd, const struct scsi_unit *unit, const struct scsi_input *in)
{
	static scsi_build_fn *const builders[] = {
		build_keys, build_reservation, build_capabilities, build_full_status};

	return scsi_decode_reply(
		cmd, in, builders[cmd->op->service_action], get_be16(cmd->cdb + 7));
}

static bool registers(const struct scsi_cmd *cmd)
{
	return cmd->op->service_action == RESERVE_REGISTER ||
	       cmd->op->service_action == RESERVE_REGISTER_AND_IGNORE;
}

static enum scsi_error reserve_list(
	struct scsi_cmd *cmd, const struct scsi_unit *unit, const uint8_t *list)
{
	uint8_t flags = list[LIST_FLAGS];

	cmd->key = get_be64(list);
	cmd->action_key = get_be64(list + 8);
	if (flags & (LIST_SPECIFY_PORTS | LIST_ALL_PORTS))
		return SCSI_ERR_PARAM_FIELD;
	cmd->keep_reservation = registers(cmd) && (flags & LIST_KEEP);
	if (cmd->keep_reservation && !unit->reservation->path)
		return SCSI_ERR_PARAM_FIELD;
	cmd->action = SCSI_ACTION_RESERVE;
	return SCSI_OK;
}

/* Registering and clearing ignore scope and type. */
enum scsi_error scsi_decode_reserve_out(
	struct scsi_cmd *cmd, const struct scsi_unit *unit, const struct scsi_input *in)
{
	bool scoped = !registers(cmd) && cmd->op->service_action != RESERVE_CLEAR;

	if (scoped && (cmd->cdb[2] & SCOPE))
		return SCSI_ERR_CDB_FIELD;
	if (get_be32(cmd->cdb + 5) != LIST_SIZE)
		return SCSI_ERR_PARAM_LENGTH;
	return scsi_decode_with_list(cmd, in, reserve_list, LIST_SIZE);
}

/* The only possible nexus is the one that sent the command. */
static enum scsi_error move_list(
	struct scsi_cmd *cmd, const struct scsi_unit *unit, const uint8_t *list)
{
	static const uint8_t self[TRANSPORT_ID_SIZE] = {
		TRANSPORT_ID_PARALLEL, [7] = FULL_STATUS_PORT};
	uint32_t id_length = get_be32(list + LIST_SIZE - 4);

	if (id_length != cmd->list_length - LIST_SIZE || id_length % 4)
		return SCSI_ERR_PARAM_LENGTH;
	cmd->key = get_be64(list);
	cmd->action_key = get_be64(list + 8);
	if (!cmd->action_key || get_be16(list + 18) != FULL_STATUS_PORT ||
		!memcmp(list + LIST_SIZE, self, TRANSPORT_ID_SIZE))
		cmd->move = SCSI_ERR_PARAM_FIELD;
	else
		cmd->move = SCSI_ERR_NO_REGISTRATION;
	cmd->action = SCSI_ACTION_RESERVE;
	return SCSI_OK;
}

enum scsi_error scsi_decode_reserve_move(
	struct scsi_cmd *cmd, const struct scsi_unit *unit, const struct scsi_input *in)
{
	uint32_t length = get_be32(cmd->cdb + 5);

	if (length < LIST_SIZE + TRANSPORT_ID_SIZE || length > MOVE_LIST_MAX)
		return SCSI_ERR_PARAM_LENGTH;
	return scsi_decode_with_list(cmd, in, move_list, length);
}
