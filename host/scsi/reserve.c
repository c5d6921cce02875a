/* SPDX-License-Identifier: MIT */
/* PERSISTENT RESERVE OUT: the next state of a unit's reservation. See reserve.h. */
#include "scsi/reserve.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "scsi/scsi_impl.h"

int scsi_reservation_init(struct scsi_reservation *r, const char *disk_path, struct err *e)
{
	int ret = 0;

	memset(r, 0, sizeof(*r));
	if (disk_path) {
		if (asprintf(&r->path, "%s.pr", disk_path) < 0) {
			r->path = NULL;
			return err_set(e, -ENOMEM, "reservation: out of memory");
		}
		ret = scsi_reserve_load(r->path, &r->state, e);
	}
	if (ret) {
		free(r->path);
		return ret;
	}
	pthread_mutex_init(&r->lock, NULL);
	return 0;
}

void scsi_reservation_fini(struct scsi_reservation *r)
{
	pthread_mutex_destroy(&r->lock);
	free(r->path);
}

/* ---- one function an action: the new state, or why not ------------------- */

/* The reservation ends with its last registrant. */
static void unregister(struct scsi_reserve_state *s)
{
	*s = (struct scsi_reserve_state){0};
}

static enum scsi_error do_register(struct scsi_reserve_state *s, const struct scsi_cmd *cmd)
{
	if (cmd->action_key == 0) {
		unregister(s);
		return SCSI_OK;
	}
	s->key = cmd->action_key;
	s->keep = cmd->keep_reservation;
	return SCSI_OK;
}

static enum scsi_error do_reserve(struct scsi_reserve_state *s, const struct scsi_cmd *cmd)
{
	uint8_t type = cmd->cdb[2] & 0x0F;

	if (!scsi_reserve_type_valid(type))
		return SCSI_ERR_CDB_FIELD;
	if (s->type && s->type != type)
		return SCSI_ERR_CONFLICT;
	s->type = type;
	return SCSI_OK;
}

static enum scsi_error do_release(struct scsi_reserve_state *s, const struct scsi_cmd *cmd)
{
	if (s->type && s->type != (cmd->cdb[2] & 0x0F))
		return SCSI_ERR_RELEASE;
	s->type = 0;
	return SCSI_OK;
}

static enum scsi_error do_clear(struct scsi_reserve_state *s, const struct scsi_cmd *cmd)
{
	unregister(s);
	return SCSI_OK;
}

/* Only the initiator itself can be preempted. If the key names the holder (0 for an all-registrants
 * reservation), it gets a new reservation of the requested type; if the key names a registrant
 * only, its registration is removed. */
static enum scsi_error do_preempt(struct scsi_reserve_state *s, const struct scsi_cmd *cmd)
{
	bool all = scsi_reserve_type_all(s->type);
	uint8_t type = cmd->cdb[2] & 0x0F;

	if (cmd->action_key == 0 && !all)
		return SCSI_ERR_PARAM_FIELD;
	if (cmd->action_key && cmd->action_key != s->key)
		return SCSI_ERR_CONFLICT;
	if (cmd->action_key && (all || !s->type)) {
		unregister(s);
		return SCSI_OK;
	}
	if (!scsi_reserve_type_valid(type))
		return SCSI_ERR_CDB_FIELD;
	s->type = type;
	return SCSI_OK;
}

/* There is no other initiator to move it to: always an error. */
static enum scsi_error do_move(struct scsi_reserve_state *s, const struct scsi_cmd *cmd)
{
	if (!s->type)
		return SCSI_ERR_CDB_FIELD;
	return scsi_reserve_type_all(s->type) ? SCSI_ERR_CONFLICT : cmd->move;
}

static const struct {
	enum scsi_error (*perform)(struct scsi_reserve_state *s, const struct scsi_cmd *cmd);
	bool stranger;  /* allowed without registration */
	bool any_key;   /* ignores the key */
	bool generates; /* increments the generation */
} actions[] = {
	[RESERVE_REGISTER] = {do_register, true, false, true},
	[RESERVE_RESERVE] = {do_reserve, false, false, false},
	[RESERVE_RELEASE] = {do_release, false, false, false},
	[RESERVE_CLEAR] = {do_clear, false, false, true},
	[RESERVE_PREEMPT] = {do_preempt, false, false, true},
	[RESERVE_PREEMPT_AND_ABORT] = {do_preempt, false, false, true},
	[RESERVE_REGISTER_AND_IGNORE] = {do_register, true, true, true},
	[RESERVE_REGISTER_AND_MOVE] = {do_move, false, false, false},
};

static bool state_equal(const struct scsi_reserve_state *a, const struct scsi_reserve_state *b)
{
	return a->key == b->key && a->type == b->type && a->keep == b->keep;
}

/* The file is durable before the initiator gets GOOD. */
static enum scsi_error commit(struct scsi_reservation *r, const struct scsi_reserve_state *next)
{
	int ret;

	if (r->path && (next->keep || r->state.keep) && !state_equal(next, &r->state)) {
		ret = scsi_reserve_save(r->path, next);
		if (ret) {
			log_error("reservation %s: cannot be written: %s", r->path, strerror(-ret));
			return SCSI_ERR_TARGET_FAILURE;
		}
	}
	r->state = *next;
	return SCSI_OK;
}

static enum scsi_error reserve_locked(struct scsi_reservation *r, const struct scsi_cmd *cmd)
{
	enum scsi_reserve_action action = cmd->op->service_action;
	struct scsi_reserve_state next = r->state;
	enum scsi_error error;

	assert(action <= RESERVE_REGISTER_AND_MOVE);
	if (!actions[action].stranger && !r->state.key)
		return SCSI_ERR_CONFLICT;
	if (!actions[action].any_key && cmd->key != r->state.key)
		return SCSI_ERR_CONFLICT;
	error = actions[action].perform(&next, cmd);
	if (!error)
		error = commit(r, &next);
	if (!error && actions[action].generates)
		r->generation++;
	return error;
}

enum scsi_error scsi_reserve(struct scsi_reservation *r, const struct scsi_cmd *cmd)
{
	enum scsi_error error;

	pthread_mutex_lock(&r->lock);
	error = reserve_locked(r, cmd);
	pthread_mutex_unlock(&r->lock);
	return error;
}
