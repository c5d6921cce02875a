/* SPDX-License-Identifier: MIT */
/*
 * Snapshots: what a VM was at one instant. Its configuration, what was on its disks and, if it ran
 * or was saved, an image of its state.
 *
 *   STATE/snapshots/GUID.json    the record
 *   STATE/snapshots/GUID.image   state and memory
 *   FILE.snapshot-GUID           beside each disk file that the VM can write to
 *
 *   TAKING --all is on disk--> COMPLETE --it is removed--> REMOVING --> gone
 *      `--it failed, or the manager died--------------------^
 *
 * The record is there before the first of its files and goes after the last one, so a manager that
 * dies leaves nothing that the next one does not know.
 *
 * Thread: the manager's.
 */
#ifndef MANAGER_SNAPSHOT_H
#define MANAGER_SNAPSHOT_H

#include <limits.h>

#include "base/list.h"
#include "mgmt/manager/definition.h"
#include "mgmt/manager/disk_copy.h"
#include "mgmt/manager/store.h"

#define SNAPSHOT_FORMAT 1
#define SNAPSHOTS_MAX   128u /* of one VM */

struct manager;

enum snapshot_state { SNAPSHOT_TAKING, SNAPSHOT_COMPLETE, SNAPSHOT_REMOVING };

struct snapshot {
	struct list link; /* manager.snapshots */
	char id[GUID_TEXT], vm[GUID_TEXT];
	char name[CTL_NAME_MAX + 1];
	enum snapshot_state state;
	int64_t created;    /* seconds since 1970 */
	bool full;          /* its disks may be copied in full */
	bool memory;        /* it has an image */
	json_t *definition; /* of the VM, as in its file */
	json_t *disks;      /* [{"disk": "0:0", "file": PATH, "size": N, "changed_ns": N}] */
	uint32_t users;     /* operations that need its files */
};

/* ---- the list ------------------------------------------------------------ */

/* Reads all records; finishes what an earlier manager began to remove. */
void snapshots_load(struct manager *m);
void snapshots_free(struct manager *m);
/* By name or ID; vm: an ID. */
struct snapshot *snapshot_find(struct manager *m, const char *vm, const char *name);
uint32_t snapshots_of(struct manager *m, const char *vm);
json_t *snapshot_json(const struct snapshot *s);

/* ---- one snapshot -------------------------------------------------------- */

/* TAKING, in the list, with its record; no file yet. -EINVAL: one of the disks cannot be in a
 * snapshot, -EEXIST, -ENOSPC, -errno with one line. */
int snapshot_add(struct manager *m, const struct definition *d, const char *name, bool memory,
	bool full, struct snapshot **s, struct err *e);
/* image: bytes that its image may have. -ENOSPC: that, or full copies of disks, have no room. */
int snapshot_check_space(
	const struct manager *m, const struct snapshot *s, uint64_t image, struct err *e);
/* It is COMPLETE when 0 is returned. */
int snapshot_complete(struct manager *m, struct snapshot *s, struct err *e);
/* -EBUSY: it is used. Else it is gone; what cannot be removed now is by the next manager. */
int snapshot_remove(struct manager *m, struct snapshot *s, struct err *e);
/* TAKING, and not taken any more: those of this VM, or of VMs that there are not (NULL). */
void snapshots_discard(struct manager *m, const char *vm);

/* ---- its files ----------------------------------------------------------- */

void snapshot_image_path(const struct manager *m, const struct snapshot *s, char path[PATH_MAX]);
/* A second name for an image: of a snapshot, in `from`, and of a VM. Both are in stores. */
int snapshot_link(const struct store *from, const char *old, const struct store *to,
	const char *name, struct err *e);
/* From the VM's disks into the snapshot; back; and into files that `names` has in the same order
 * as s->disks. -ENOMEM. */
int snapshot_copies_take(struct disk_copies *c, const struct snapshot *s);
int snapshot_copies_restore(struct disk_copies *c, const struct snapshot *s);
int snapshot_copies_clone(struct disk_copies *c, const struct snapshot *s, const json_t *names);
/* What was copied, into the record. */
void snapshot_note_disks(struct snapshot *s, const struct disk_copies *c);

#endif
