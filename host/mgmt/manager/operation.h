/* SPDX-License-Identifier: MIT */
/*
 * Operations on snapshots: each has a job, copies disks on a helper thread, and ends on the
 * manager's. While one takes or restores a snapshot of a VM, the VM takes no other requests but
 * stop; a clone is made beside everything else.
 *
 * Thread: the manager's.
 */
#ifndef MANAGER_OPERATION_H
#define MANAGER_OPERATION_H

#include "base/blocking.h"
#include "mgmt/manager/manager.h"
#include "mgmt/manager/snapshot.h"

/* Of a job: what is done when memory is in the image. */
#define SNAPSHOT_MEMORY_PERCENT 80u

struct operation {
	struct list link; /* manager.operations */
	struct manager *m;
	struct mvm *v;      /* NULL: a clone is made */
	struct snapshot *s; /* used; NULL: removed */
	enum vmms_request request;
	uint64_t job;
	struct blocking_call call;
	struct disk_copies copies;
	bool copying; /* on the helper thread */
	int result;   /* of copying */
	struct err why;
	void (*copied)(struct operation *op);
	/* taking; see mvm_snapshot.c */
	bool live;   /* the VM has a worker */
	bool saving; /* it writes the image */
	bool gone;   /* it has ended meanwhile */
	/* restoring; see mvm_restore.c */
	bool restart; /* a start was due by policy */
	/* cloning; see clone.c */
	json_t *plan;
	char id[GUID_TEXT]; /* of the clone */
};

/* ---- all kinds: operation.c ---------------------------------------------- */

/* A new job and its operation. NULL: e says why. */
struct operation *operation_new(struct manager *m, struct mvm *v, struct snapshot *s,
	enum vmms_request request, struct job **job, struct err *e);
/* op->copies is filled in; copied() comes later, with the result in op. */
void operation_copy(struct operation *op, void (*copied)(struct operation *op));
/* Ends the job, and frees it. e: NULL: done. */
void operation_end(struct operation *op, const struct err *e);
/* How far they are, into their jobs. */
void operations_progress(struct manager *m);
/* Ends a job that can be cancelled, a bit later. -EBUSY: it cannot, or has ended. */
int job_cancel(struct manager *m, struct job *job, struct err *e);

/* The manager ends: no new ones; those that can be cancelled are, and VMs are resumed. */
void operations_end(struct manager *m);
/* Only restores are left, which the next manager begins anew. */
bool operations_have_ended(const struct manager *m);

/* ---- taking: mvm_snapshot.c ---------------------------------------------- */

int mvm_snapshot(struct mvm *v, const char *name, bool full, struct job **job, struct err *e);
/* Its worker has ended. */
void mvm_snapshot_lost(struct mvm *v);
/* run.paused, and no operation: what an earlier manager began, or what failed, is undone. */
void mvm_snapshot_recover(struct mvm *v, enum vmms_state state);

/* ---- restoring: mvm_restore.c -------------------------------------------- */

int mvm_restore(struct mvm *v, struct snapshot *s, struct job **job, struct err *e);
/* Those that an earlier manager began: their VMs must not start before they are complete. */
void restores_find(struct manager *m);
/* They are completed. */
void restores_resume(struct manager *m);
/* The same for one VM, when it is known at last that it has no worker. */
void mvm_restore_resume(struct mvm *v);

/* ---- cloning: clone.c ---------------------------------------------------- */

struct clone_options {
	const char *name;
	bool disconnect; /* what only one VM can have of the host becomes nothing */
};

int clone_start(struct mvm *v, struct snapshot *s, const struct clone_options *o, struct job **job,
	struct err *e);
/* Those that an earlier manager began are removed, or were complete. */
void clones_resume(struct manager *m);

/* ---- the disks of a clone's image: clone.c ------------------------------- */

/* The image is of other files with the same contents. True: so it is, and the disks have
 * not changed since. False, with *refused: e says which was. */
bool mvm_is_trusted(const struct mvm *v, bool *refused, struct err *e);
void mvm_forget_trust(const struct mvm *v);

#endif
