/* SPDX-License-Identifier: MIT */
/* What PERSISTENT RESERVE OUT does to the state of a unit. See reserve.h. */
#include "scsi/reserve.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/blocking.h"
#include "base/files.h"
#include "base/log.h"
#include "scsi/scsi_impl.h"

/* ---- life ---------------------------------------------------------------- */

static void release(struct scsi_reservation *r)
{
	bool last;

	pthread_mutex_lock(&r->lock);
	last = --r->users == 0;
	pthread_mutex_unlock(&r->lock);
	if (!last)
		return;
	pthread_mutex_destroy(&r->lock);
	free(r->path);
	free(r);
}

/* Two names of a file are one disk. */
static int make_path(struct scsi_reservation *r, const char *disk_path, struct err *e)
{
	char *real = files_realpath(disk_path);
	int ret = 0;

	if (!real)
		return err_set(e, -errno, "reservation of %s: %s", disk_path, strerror(errno));
	if (asprintf(&r->path, "%s.pr", real) < 0) {
		r->path = NULL;
		ret = err_set(e, -ENOMEM, "reservation of %s: out of memory", disk_path);
	}
	free(real);
	return ret;
}

int scsi_reservation_open(
	struct scsi_reservation **reservation, const char *disk_path, struct err *e)
{
	struct scsi_reservation *r = calloc(1, sizeof(*r));
	int ret = 0;

	if (!r)
		return err_set(e, -ENOMEM, "reservation: out of memory");
	pthread_mutex_init(&r->lock, NULL);
	r->users = 1;
	if (disk_path)
		ret = make_path(r, disk_path, e);
	if (!ret && r->path)
		ret = scsi_reserve_load(r->path, &r->state, e);
	if (ret)
		release(r);
	else
		*reservation = r;
	return ret;
}

void scsi_reservation_restart(struct scsi_reservation *r)
{
	pthread_mutex_lock(&r->lock);
	r->users++;
	r->generation = 0;
	if (!r->state.keep)
		r->state = (struct scsi_reserve_state){0};
	pthread_mutex_unlock(&r->lock);
}

void scsi_reservation_close(struct scsi_reservation *r)
{
	release(r);
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

/* The state after a command, or why it stays. */
static enum scsi_error next_state(const struct scsi_reservation *r, const struct scsi_cmd *cmd,
	struct scsi_reserve_state *next)
{
	enum scsi_reserve_action action = cmd->op->service_action;

	assert(action <= RESERVE_REGISTER_AND_MOVE);
	*next = r->state;
	if (!actions[action].stranger && !r->state.key)
		return SCSI_ERR_CONFLICT;
	if (!actions[action].any_key && cmd->key != r->state.key)
		return SCSI_ERR_CONFLICT;
	return actions[action].perform(next, cmd);
}

/* ---- saving -------------------------------------------------------------- */

/* On its own: it may go on when the command, the channel and the unit are gone. */
struct scsi_reserve_save {
	struct blocking_call call;
	struct scsi_reservation *r; /* a user of it */
	struct scsi_reserve_op *op;
	struct scsi_reserve_state old, next;
	bool generates;
	int error;
};

static void save_run(struct blocking_call *call)
{
	struct scsi_reserve_save *s = container_of(call, struct scsi_reserve_save, call);

	s->error = scsi_reserve_save(s->r->path, &s->old, &s->next);
}

static void apply(struct scsi_reservation *r, const struct scsi_reserve_state *next, bool generates)
{
	r->state = *next;
	r->generation += generates;
}

/* What the initiator is promised to be kept is kept before. */
static enum scsi_error save_end(struct scsi_reserve_save *s)
{
	struct scsi_reservation *r = s->r;
	int error = s->error;

	pthread_mutex_lock(&r->lock);
	if (!error)
		apply(r, &s->next, s->generates);
	r->saving = false;
	pthread_mutex_unlock(&r->lock);
	if (error && error != -ECANCELED)
		log_guest("reservation %s: cannot be written: %s", r->path, strerror(-error));
	release(r);
	free(s);
	return error ? SCSI_ERR_TARGET_FAILURE : SCSI_OK;
}

static void save_done(struct blocking_call *call)
{
	struct scsi_reserve_save *s = container_of(call, struct scsi_reserve_save, call);
	struct scsi_reserve_op *op = s->op;

	op->save = NULL;
	op->done(op, save_end(s));
}

static void save_release(struct blocking_call *call)
{
	save_end(container_of(call, struct scsi_reserve_save, call));
}

/* Under the lock. */
static enum scsi_error save_start(struct scsi_reservation *r, struct scsi_reserve_op *op,
	const struct scsi_reserve_state *next, bool generates)
{
	struct scsi_reserve_save *s = calloc(1, sizeof(*s));

	if (!s)
		return SCSI_ERR_TARGET_FAILURE;
	s->call.run = save_run;
	s->call.done = save_done;
	s->call.release = save_release;
	s->r = r;
	s->op = op;
	s->old = r->state;
	s->next = *next;
	s->generates = generates;
	s->error = -ECANCELED; /* until it has run */
	if (blocking_start(&s->call, op->loop)) {
		free(s);
		return SCSI_ERR_TARGET_FAILURE;
	}
	r->saving = true;
	r->users++;
	op->save = s;
	return SCSI_OK;
}

/* ---- commands ------------------------------------------------------------ */

static enum scsi_error reserve_locked(
	struct scsi_reservation *r, const struct scsi_cmd *cmd, struct scsi_reserve_op *op)
{
	bool generates = actions[cmd->op->service_action].generates;
	struct scsi_reserve_state next;
	enum scsi_error error;

	if (r->saving)
		return SCSI_ERR_FULL;
	error = next_state(r, cmd, &next);
	if (error)
		return error;
	if (r->path && (next.keep || r->state.keep) && !state_equal(&next, &r->state))
		return save_start(r, op, &next, generates);
	apply(r, &next, generates);
	return SCSI_OK;
}

bool scsi_reserve(struct scsi_reservation *r, const struct scsi_cmd *cmd,
	struct scsi_reserve_op *op, enum scsi_error *error)
{
	op->save = NULL;
	pthread_mutex_lock(&r->lock);
	*error = reserve_locked(r, cmd, op);
	pthread_mutex_unlock(&r->lock);
	return !op->save; /* its done() runs on this thread, later */
}

static void aborted(struct loop_task *task)
{
	struct scsi_reserve_op *op = container_of(task, struct scsi_reserve_op, task);

	op->done(op, SCSI_ERR_ABORTED);
}

void scsi_reserve_cancel(struct scsi_reserve_op *op)
{
	struct scsi_reserve_save *s = op->save;

	if (!s || !blocking_abandon(&s->call))
		return;
	op->save = NULL;
	op->task.fn = aborted;
	loop_post(op->loop, &op->task);
}
