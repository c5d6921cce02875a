/* SPDX-License-Identifier: MIT */
/*
 * The second half of a command: moving data between the initiator's buffer and
 * the disk. One command is a sequence of disk requests ("steps"), one at a time:
 *
 *   READ, WRITE, FLUSH, WRITE_ZEROES   one step
 *   UNMAP                              one step a descriptor that is not empty
 *   WRITE_PATTERN                      steps of up to iov_max copies of the block
 *   COMPARE                            steps of a scratch full, compared before the next
 *   COMPARE_WRITE                      the same, then one step that writes
 *   WRITE_VERIFY                       steps that write (nearly always one), then as COMPARE
 *   OR_WRITE                           pairs of steps: read half a scratch, write it back
 *
 * Writing commands are inside the unit's fence (fence.h) from their first step to
 * their last; COMPARE_WRITE, OR_WRITE, and the FLUSH of a MODE SELECT that ends
 * caching or writing are alone there.
 *
 * A disk may complete a request inside submit, so the steps run in a loop instead
 * of calling each other.
 */
#include <assert.h>

#include "base/iov.h"
#include "scsi/reserve.h"
#include "scsi/scsi_impl.h"

#define PIECES_MAX (SCSI_SCRATCH_SIZE / sizeof(struct iovec)) /* of a buffer, in scratch */

static void leave_fence(struct scsi_task *task)
{
	if (task->fenced)
		scsi_fence_leave(task->unit->fence, &task->ticket);
	task->fenced = false;
}

void scsi_finish(struct scsi_task *task, enum scsi_error error, uint32_t transferred)
{
	leave_fence(task);
	task->error = error;
	task->transferred = error ? 0 : transferred;
	if (scsi_error_has_sense(error)) {
		scsi_sense_build_at(task->sense, error, task->verdict_at);
		scsi_sense_point(task->sense, error, task->cmd.field);
	}
	task->done(task);
}

static void finish_disk_error(struct scsi_task *task, int disk_error)
{
	leave_fence(task);
	task->error = scsi_error_of_disk(task->req->op, disk_error);
	task->transferred = 0;
	scsi_sense_build_at(
		task->sense, task->error, task->req->offset / task->unit->info.block_size);
	task->done(task);
}

/* ---- the initiator's buffer ---------------------------------------------- */

static void buffer_fill(struct scsi_task *task, const uint8_t *from, uint32_t length)
{
	task->copied += length;
	iov_copy_to(task->iov, task->iov_count, 0, from, length);
}

static void buffer_take(struct scsi_task *task, uint8_t *to, uint32_t length)
{
	task->copied += length;
	iov_copy_from(task->iov, task->iov_count, 0, to, length);
}

/* The buffer may be longer than the command's transfer. */
static void buffer_trim(struct scsi_task *task, uint64_t length)
{
	task->iov_count = iov_trim(task->iov, task->iov_count, length);
}

/* Lists the pieces from byte `at` on in `to`. *length becomes less when they are too many, but
 * stays whole blocks. Returns their number. */
static uint32_t buffer_pieces(const struct scsi_task *task, uint64_t at, uint64_t *length,
	struct iovec *to, uint32_t room)
{
	uint64_t wanted = *length;
	uint32_t n = iov_slice(task->iov, task->iov_count, at, length, to, room);

	if (*length < wanted)
		*length -= *length % task->unit->info.block_size;
	assert(*length);
	return iov_trim(to, n, *length);
}

/* Drops the beginning; the write data of COMPARE AND WRITE are behind it. */
static void buffer_skip(struct scsi_task *task, uint64_t length)
{
	uint32_t count = task->iov_count;

	iov_advance(&task->iov, &task->iov_count, length);
	task->iov_max -= count - task->iov_count;
}

/* ---- steps: prepare the next disk request, or say that there is none ----- */

static void request_range(struct scsi_task *task, enum disk_op op, uint64_t lba, uint64_t blocks)
{
	struct disk_req *req = task->req;
	uint32_t block_size = task->unit->info.block_size;

	req->op = op;
	req->flags = task->cmd.fua && op != DISK_READ && op != DISK_FLUSH ? DISK_FLAG_FUA : 0;
	req->offset = lba * block_size;
	req->length = blocks * block_size;
	req->iov = NULL;
	req->iov_count = 0;
}

static bool whole_extent_step(struct scsi_task *task, enum disk_op op, uint32_t flags)
{
	const struct scsi_cmd *cmd = &task->cmd;

	if (task->steps)
		return false;
	request_range(task, op, cmd->lba, cmd->blocks);
	task->req->flags |= flags;
	return true;
}

static bool transfer_step(struct scsi_task *task)
{
	const struct scsi_cmd *cmd = &task->cmd;
	bool write = cmd->action == SCSI_ACTION_WRITE;

	if (!whole_extent_step(task, write ? DISK_WRITE : DISK_READ, 0))
		return false;
	buffer_trim(task, task->req->length);
	task->req->iov = task->iov;
	task->req->iov_count = task->iov_count;
	return true;
}

static bool flush_step(struct scsi_task *task)
{
	if (task->steps)
		return false;
	request_range(task, DISK_FLUSH, 0, 0);
	return true;
}

static bool zeroes_step(struct scsi_task *task)
{
	return whole_extent_step(
		task, DISK_WRITE_ZEROES, task->cmd.may_unmap ? DISK_FLAG_UNMAP : 0);
}

/* The list of pieces is not needed any more: all its pieces now are the block in scratch. */
static bool pattern_step(struct scsi_task *task)
{
	uint64_t left = task->cmd.lba + task->cmd.blocks - task->next_lba;
	uint32_t blocks = left < task->iov_max ? (uint32_t)left : task->iov_max;

	if (blocks == 0)
		return false;
	request_range(task, DISK_WRITE, task->next_lba, blocks);
	for (uint32_t i = 0; i < blocks; i++) {
		task->iov[i].iov_base = task->scratch;
		task->iov[i].iov_len = task->unit->info.block_size;
	}
	task->req->iov = task->iov;
	task->req->iov_count = blocks;
	task->next_lba += blocks;
	return true;
}

static bool unmap_step(struct scsi_task *task)
{
	uint32_t blocks = 0;
	uint64_t lba;

	while (blocks == 0) {
		if (task->next_unmap == task->cmd.descriptors)
			return false;
		scsi_unmap_descriptor(task->scratch, task->next_unmap++, &lba, &blocks);
	}
	request_range(task, DISK_DISCARD, lba, blocks);
	return true;
}

static bool last_step_compares(struct scsi_task *task)
{
	const struct disk_req *req = task->req;

	return iov_equal(task->iov, task->iov_count,
		req->offset - task->cmd.lba * task->unit->info.block_size, task->scratch,
		req->length, &task->verdict_at);
}

static bool compare_step(struct scsi_task *task)
{
	uint64_t left = task->cmd.lba + task->cmd.blocks - task->next_lba;
	uint32_t most = SCSI_SCRATCH_SIZE / task->unit->info.block_size;
	uint32_t blocks = left < most ? (uint32_t)left : most;

	if (task->next_lba != task->cmd.lba && !last_step_compares(task)) {
		task->verdict = SCSI_ERR_MISCOMPARE;
		return false;
	}
	if (blocks == 0)
		return false;
	request_range(task, DISK_READ, task->next_lba, blocks);
	task->scratch_iov = (struct iovec){task->scratch, task->req->length};
	task->req->iov = &task->scratch_iov;
	task->req->iov_count = 1;
	task->next_lba += blocks;
	return true;
}

static bool compare_write_step(struct scsi_task *task)
{
	if (task->second)
		return false;
	if (compare_step(task))
		return true;
	if (task->verdict)
		return false;
	task->second = true;
	request_range(task, DISK_WRITE, task->cmd.lba, task->cmd.blocks);
	buffer_skip(task, task->req->length);
	buffer_trim(task, task->req->length);
	task->req->iov = task->iov;
	task->req->iov_count = task->iov_count;
	return true;
}

/* Writes from a copy of the list of pieces: a disk may modify a list, and this one is still needed
 * for the comparison. */
static bool write_verify_step(struct scsi_task *task)
{
	uint32_t block_size = task->unit->info.block_size;
	uint64_t written = task->next_lba - task->cmd.lba;
	uint64_t length = (task->cmd.blocks - written) * block_size;
	struct iovec *pieces = (struct iovec *)task->scratch;
	uint32_t count;

	if (!task->second && !length) {
		task->second = true;
		task->next_lba = task->cmd.lba;
	}
	if (task->second)
		return compare_step(task);
	count = buffer_pieces(task, written * block_size, &length, pieces, PIECES_MAX);
	request_range(task, DISK_WRITE, task->next_lba, length / block_size);
	task->req->iov = pieces;
	task->req->iov_count = count;
	task->next_lba += length / block_size;
	return true;
}

static void or_with_buffer(struct scsi_task *task, uint64_t at, uint32_t length)
{
	uint8_t *own = task->scratch + SCSI_SCRATCH_SIZE / 2;

	iov_copy_from(task->iov, task->iov_count, at, own, length);
	for (uint32_t i = 0; i < length; i++)
		task->scratch[i] |= own[i];
}

/* Reads a piece to the first half of scratch; ORs it with the initiator's piece, of which the
 * second half gets a copy; writes it. */
static bool or_write_step(struct scsi_task *task)
{
	uint32_t block_size = task->unit->info.block_size;
	uint32_t most = SCSI_SCRATCH_SIZE / 2 / block_size;
	uint64_t done = task->next_lba - task->cmd.lba;
	uint64_t left = task->cmd.blocks - done;
	uint32_t blocks = left < most ? (uint32_t)left : most;

	if (blocks == 0)
		return false;
	request_range(task, task->second ? DISK_WRITE : DISK_READ, task->next_lba, blocks);
	task->scratch_iov = (struct iovec){task->scratch, task->req->length};
	task->req->iov = &task->scratch_iov;
	task->req->iov_count = 1;
	if (task->second) {
		or_with_buffer(task, done * block_size, blocks * block_size);
		task->next_lba += blocks;
	}
	task->second = !task->second;
	return true;
}

static bool (*const step_of[SCSI_ACTION_TRAY + 1])(struct scsi_task *task) = {
	[SCSI_ACTION_READ] = transfer_step,
	[SCSI_ACTION_WRITE] = transfer_step,
	[SCSI_ACTION_FLUSH] = flush_step,
	[SCSI_ACTION_UNMAP] = unmap_step,
	[SCSI_ACTION_WRITE_ZEROES] = zeroes_step,
	[SCSI_ACTION_WRITE_PATTERN] = pattern_step,
	[SCSI_ACTION_COMPARE] = compare_step,
	[SCSI_ACTION_COMPARE_WRITE] = compare_write_step,
	[SCSI_ACTION_WRITE_VERIFY] = write_verify_step,
	[SCSI_ACTION_OR_WRITE] = or_write_step,
};

/* Bytes of the data buffer that a successful command has used. */
static uint32_t bytes_used(const struct scsi_task *task)
{
	const struct scsi_cmd *cmd = &task->cmd;

	if (cmd->action == SCSI_ACTION_COMPARE_WRITE)
		return (uint32_t)(2 * cmd->blocks * task->unit->info.block_size);
	if (cmd->action == SCSI_ACTION_READ || cmd->action == SCSI_ACTION_WRITE ||
		cmd->action == SCSI_ACTION_COMPARE || cmd->action == SCSI_ACTION_WRITE_VERIFY ||
		cmd->action == SCSI_ACTION_OR_WRITE)
		return (uint32_t)(cmd->blocks * task->unit->info.block_size);
	return cmd->list_length;
}

static void run_steps(struct scsi_task *task)
{
	for (;;) {
		if (task->step_error) {
			finish_disk_error(task, task->step_error);
			return;
		}
		if (!step_of[task->cmd.action](task)) {
			scsi_finish(task, task->verdict, bytes_used(task));
			return;
		}
		if (task->cancelled) {
			scsi_finish(task, SCSI_ERR_ABORTED, 0);
			return;
		}
		task->steps++;
		task->step_done = false;
		task->submitting = true;
		disk_submit(task->queue, task->req);
		task->submitting = false;
		if (!task->step_done)
			return;
	}
}

/* While submitting, it only records the result: the task must not end inside disk_submit(). */
static void step_finished(struct disk_req *req, int error)
{
	struct scsi_task *task = req->owner;

	task->step_error = error;
	task->step_done = true;
	if (!task->submitting)
		run_steps(task);
}

static void left_waiting(struct scsi_fence_ticket *ticket)
{
	scsi_finish(container_of(ticket, struct scsi_task, ticket), SCSI_ERR_ABORTED, 0);
}

/* Without a step at the disk it waits at the fence, or its resume() is posted and will see the
 * flag. */
void scsi_cancel(struct scsi_task *task)
{
	task->cancelled = true;
	if (task->cmd.action == SCSI_ACTION_RESERVE)
		scsi_reserve_cancel(&task->reserve_op);
	else if (task->cmd.action == SCSI_ACTION_LBA_STATUS)
		scsi_cancel_lba_status(task);
	else if (!task->step_done)
		disk_cancel(task->queue, task->req);
	else
		scsi_fence_withdraw(task->unit->fence, &task->ticket, left_waiting);
}

/* ---- performing ---------------------------------------------------------- */

/* The reply is in scratch. */
void scsi_reply(struct scsi_task *task, uint32_t length)
{
	assert(length <= sizeof(task->scratch));
	if (length > task->cmd.reply_max)
		length = task->cmd.reply_max;
	buffer_fill(task, task->scratch, length);
	scsi_finish(task, SCSI_OK, length);
}

static void perform_reply(struct scsi_task *task)
{
	uint32_t length;

	if (task->cmd.op->flags & SCSI_OP_REPORTS_UA)
		task->cmd.sense = scsi_attention_take(task->unit);
	if (task->cmd.op->flags & SCSI_OP_CLEARS_LUNS_UA)
		scsi_attention_forget(task->unit, SCSI_ATTENTION_LUNS);
	if (task->cmd.op->flags & SCSI_OP_TRAY_EVENT)
		task->cmd.event = scsi_tray_event(task->unit, &task->cmd);
	memset(task->scratch, 0, sizeof(task->scratch));
	length = task->cmd.build(task->unit, &task->cmd, task->scratch);
	scsi_reply(task, length);
}

static void switch_modes(struct scsi_task *task)
{
	const struct scsi_cmd *cmd = &task->cmd;

	if (cmd->cache != SCSI_SWITCH_KEEP)
		atomic_store_explicit(&task->unit->cache,
			cmd->cache == SCSI_SWITCH_OFF ? SCSI_CACHE_OFF : SCSI_CACHE_ON,
			memory_order_relaxed);
	if (cmd->protect != SCSI_SWITCH_KEEP)
		atomic_store_explicit(&task->unit->write_protect, cmd->protect == SCSI_SWITCH_ON,
			memory_order_relaxed);
}

static bool changes_medium(enum scsi_action action)
{
	return action == SCSI_ACTION_WRITE || action == SCSI_ACTION_WRITE_ZEROES ||
	       action == SCSI_ACTION_WRITE_PATTERN || action == SCSI_ACTION_UNMAP ||
	       action == SCSI_ACTION_COMPARE_WRITE || action == SCSI_ACTION_WRITE_VERIFY ||
	       action == SCSI_ACTION_OR_WRITE;
}

/* Reads and writes the same blocks: no other write may come in between. */
static bool reads_and_writes(enum scsi_action action)
{
	return action == SCSI_ACTION_COMPARE_WRITE || action == SCSI_ACTION_OR_WRITE;
}

/* MODE SELECT that switches the cache off, or makes the unit read only: its flush is for the writes
 * that run, too. */
static bool ends_writing(const struct scsi_cmd *cmd)
{
	return cmd->cache == SCSI_SWITCH_OFF || cmd->protect == SCSI_SWITCH_ON;
}

/* The cache may have been switched off since the command was decoded, or while it waited. */
static void start_steps(struct scsi_fence_ticket *ticket)
{
	struct scsi_task *task = container_of(ticket, struct scsi_task, ticket);

	if (changes_medium(task->cmd.action) &&
		atomic_load_explicit(&task->unit->cache, memory_order_relaxed) != SCSI_CACHE_ON)
		task->cmd.fua = true;
	task->fenced = true;
	run_steps(task);
}

/* At once, or when the fence admits it. */
static void perform_steps(struct scsi_task *task)
{
	struct scsi_fence *fence = task->unit->fence;

	task->req->done = step_finished;
	task->req->owner = task;
	if (!fence || !(changes_medium(task->cmd.action) || ends_writing(&task->cmd))) {
		run_steps(task);
		return;
	}
	task->ticket.resume = start_steps;
	task->ticket.loop = task->queue->loop;
	task->ticket.exclusive = reads_and_writes(task->cmd.action) || ends_writing(&task->cmd);
	if (scsi_fence_enter(fence, &task->ticket))
		start_steps(&task->ticket);
}

static void reserve_done(struct scsi_reserve_op *op, enum scsi_error error)
{
	struct scsi_task *task = container_of(op, struct scsi_task, reserve_op);

	scsi_finish(task, error, bytes_used(task));
}

static void perform_reserve(struct scsi_task *task)
{
	enum scsi_error error;

	task->reserve_op.done = reserve_done;
	task->reserve_op.loop = task->queue->loop;
	if (scsi_reserve(task->unit->reservation, &task->cmd, &task->reserve_op, &error))
		scsi_finish(task, error, bytes_used(task));
}

static void perform(struct scsi_task *task)
{
	switch_modes(task);
	switch (task->cmd.action) {
	case SCSI_ACTION_NONE:
		scsi_finish(task, SCSI_OK, bytes_used(task));
		break;
	case SCSI_ACTION_REPLY:
		perform_reply(task);
		break;
	case SCSI_ACTION_TRAY:
		scsi_finish(task, scsi_tray_perform(task->unit, &task->cmd), bytes_used(task));
		break;
	case SCSI_ACTION_RESERVE:
		perform_reserve(task);
		break;
	case SCSI_ACTION_LBA_STATUS:
		scsi_perform_lba_status(task);
		break;
	default:
		perform_steps(task);
	}
}

/* A unit attention takes precedence over all errors of the command, except a missing unit. An
 * unknown command is not exempt from it. */
static enum scsi_error attention(struct scsi_task *task)
{
	const struct scsi_op *op;
	bool opcode_known;

	if (!task->unit->present || !scsi_attention_pending(task->unit))
		return SCSI_OK;
	op = scsi_op_find(scsi_ops_of(task->unit), task->unit, task->in.cdb, &opcode_known);
	return op && (op->flags & SCSI_OP_UA_EXEMPT) ? SCSI_OK : scsi_attention_take(task->unit);
}

/* Attentions are taken before decoding: after the one for a new capacity, every command sees the
 * new capacity. */
static enum scsi_error check(struct scsi_task *task)
{
	enum scsi_error error = attention(task);

	if (error)
		return error;
	error = scsi_decode(&task->cmd, task->unit, &task->in);
	if (error)
		return error;
	buffer_take(task, task->scratch, task->cmd.list_length);
	error = scsi_decode_list(&task->cmd, task->unit, task->scratch);
	return !error && task->full && step_of[task->cmd.action] ? SCSI_ERR_FULL : error;
}

void scsi_execute(struct scsi_task *task)
{
	enum scsi_error error;

	task->steps = 0;
	task->copied = 0;
	task->step_error = 0;
	task->cancelled = false;
	task->step_done = true;
	task->verdict = SCSI_OK;
	task->verdict_at = 0;
	task->fenced = false;
	task->second = false;
	task->next_unmap = 0;
	error = check(task);
	task->next_lba = task->cmd.lba;
	if (error)
		scsi_finish(task, error, 0);
	else
		perform(task);
}
