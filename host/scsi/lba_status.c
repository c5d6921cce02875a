/* SPDX-License-Identifier: MIT */
/*
 * GET LBA STATUS: whether blocks are allocated. The file system may read its
 * metadata for that, or wait for a server, so a helper thread asks. One command of a
 * unit at a time, so that a file system that never answers holds one thread per unit;
 * further ones end with TASK SET FULL.
 *
 * A command that is cancelled before its helper thread begins is aborted. Later it
 * lasts as long as the file system: the disk is in use.
 */
#include <string.h>

#include "scsi/scsi_impl.h"

#define HEADER      8u
#define DESCRIPTOR  16u
#define MAPPED      0u
#define DEALLOCATED 1u

/* One descriptor: the requested block and all following blocks of the same state. */
static void reply_status(struct scsi_task *task)
{
	uint64_t blocks = task->map.length / task->unit->info.block_size;
	uint8_t *at = task->scratch + HEADER;

	memset(task->scratch, 0, HEADER + DESCRIPTOR);
	put_be32(task->scratch, HEADER - 4 + DESCRIPTOR);
	put_be64(at, task->cmd.lba);
	put_be32(at + 8, blocks < UINT32_MAX ? (uint32_t)blocks : UINT32_MAX);
	at[12] = task->map.mapped ? MAPPED : DEALLOCATED;
	scsi_reply(task, HEADER + DESCRIPTOR);
}

static struct scsi_task *task_of(struct blocking_call *call)
{
	return container_of(call, struct scsi_task, map.call);
}

static void ask(struct blocking_call *call)
{
	struct scsi_task *task = task_of(call);

	task->map.error = disk_map(task->queue->disk, task->cmd.lba * task->unit->info.block_size,
		&task->map.length, &task->map.mapped);
}

static void asked(struct blocking_call *call)
{
	struct scsi_task *task = task_of(call);

	atomic_store(&task->unit->mapping, false);
	task->verdict_at = task->cmd.lba;
	if (task->cancelled)
		scsi_finish(task, SCSI_ERR_ABORTED, 0);
	else if (task->map.error)
		scsi_finish(task, SCSI_ERR_MEDIUM_READ, 0);
	else
		reply_status(task);
}

static void not_asked(struct loop_task *posted)
{
	asked(container_of(posted, struct blocking_call, task));
}

void scsi_perform_lba_status(struct scsi_task *task)
{
	struct scsi_map *map = &task->map;

	if (atomic_exchange(&task->unit->mapping, true)) {
		scsi_finish(task, SCSI_ERR_FULL, 0);
		return;
	}
	*map = (struct scsi_map){.call = {.run = ask, .done = asked}};
	map->length = (task->cmd.capacity - task->cmd.lba) * task->unit->info.block_size;
	if (!disk_maps(task->queue->disk)) { /* all of it is mapped: does not sleep */
		ask(&map->call);
		asked(&map->call);
	} else if (blocking_start(&map->call, task->queue->loop)) {
		atomic_store(&task->unit->mapping, false);
		scsi_finish(task, SCSI_ERR_FULL, 0);
	}
}

void scsi_cancel_lba_status(struct scsi_task *task)
{
	struct blocking_call *call = &task->map.call;

	if (!blocking_cancel(call))
		return;
	call->task.fn = not_asked;
	loop_post(task->queue->loop, &call->task);
}
