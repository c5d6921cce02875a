/* SPDX-License-Identifier: MIT */
/*
 * The manager: the list of VMs, their configurations, states and worker processes. It owns three
 * directories, and can be killed at any instant: all it needs is in them.
 *
 *   STATE/vms/GUID.json         the definition of a VM (definition.h)
 *   STATE/images/GUID.image     it is saved; .resuming: a worker goes on from it;
 *                               .interrupted: it is not known whether one has
 *   STATE/images/GUID.trusted   its image is of other disks, a clone's (mvm_trust.c)
 *   STATE/snapshots/...         snapshots (snapshot.h); GUID.restore, GUID.clone: of a VM, what is
 *                               being restored or made (mvm_restore.c, clone.c)
 *   STATE/log/GUID.log .console what its workers said, and its guest
 *   RUN/enlite/GUID.run         it has a worker: which, and what was asked of it (struct run)
 *   RUN/enlite/GUID.boot        in which boot of the host its image became .resuming
 *   RUN/enlite/GUID.end .in .sock   exit status of the worker, console input, control socket
 *
 * Thread: the manager's, the only one.
 */
#ifndef MANAGER_MANAGER_H
#define MANAGER_MANAGER_H

#include <limits.h>

#include "base/list.h"
#include "base/loop.h"
#include "mgmt/manager/definition.h"
#include "mgmt/manager/events.h"
#include "mgmt/manager/identity.h"
#include "mgmt/manager/jobs.h"
#include "mgmt/manager/store.h"

#define MANAGER_VMS_MAX  1024u
#define MANAGER_TEXT_MAX (1u << 20) /* of a log or console, before its older part is dropped */

struct ask;
struct operation;
struct snapshot;

/* A worker, as it is recorded. */
struct run {
	struct identity id;
	bool wanted;    /* the user asked for its end */
	bool stopping;  /* ... at once */
	bool saving;    /* ... by saving it */
	bool restoring; /* it began from an image */
	bool ran;       /* it was seen running */
	bool paused;    /* a snapshot has paused it, or is about to */
	bool resume;    /* ... and it ran before */
	bool old_nics;  /* a clone's, until it has its own: mvm_nics.c */
};

struct mvm {
	struct manager *m;
	struct list link;
	struct definition def;
	enum vmms_state state;
	struct err reason; /* why it is CRITICAL, or did not start; "" */
	struct restarts restarts;
	struct loop_timer restart_timer; /* CRITICAL: a start is due by policy */
	struct loop_timer hold_timer;
	bool held; /* STARTING: it is not known whether it has a worker; no requests */
	/* live states only */
	struct run run;
	uint64_t run_number; /* of this manager; answers for an earlier worker are dropped */
	int pidfd;           /* -1: no worker */
	uint64_t since_ns;   /* when this manager began or found it */
	struct loop_op exit_op;
	bool watched; /* exit_op is in the ring */
	struct loop_timer poll_timer, kill_timer;
	bool autostart; /* it has yet to be started by itself */
	bool polling;   /* an answer is waited for: status */
	/* ... answers: pause, resume, save; of these, saves; shutdowns */
	unsigned asked, saves, shutdowns;
	unsigned changes;     /* requests that change its devices; no snapshot meanwhile */
	bool cancelling;      /* the save, or that of a snapshot */
	bool replacing;       /* its NICs */
	size_t nic;           /* the one that is being replaced */
	bool nic_failed;      /* ... and was said not to be possible */
	unsigned quick;       /* questions for the state since it passes */
	bool undecided;       /* a save had no answer */
	json_t *status;       /* the last one; NULL: none yet */
	struct operation *op; /* on its files: a snapshot is taken or restored; no other requests */
	bool trusted;         /* it starts from an image of other disks */
	bool half_restored;   /* a restore has failed half-way; see mvm_restore.c */
};

struct manager {
	struct loop *loop;
	char program[PATH_MAX], state_path[PATH_MAX], run_path[PATH_MAX];
	struct store vms, images, snapshot_store, log, run;
	struct list list; /* of struct mvm */
	uint32_t count;
	struct list snapshots;  /* of struct snapshot */
	struct list operations; /* of struct operation: those that run */
	struct events events;
	struct jobs jobs;
	json_t *problems; /* files that are not used: a list of texts */
	struct loop_task autostart_task;
	struct loop_task watch_task;
	bool watch_posted;
	bool ending; /* no new operations */
	struct loop_timer autostart_timer;
	bool autostart_posted;
	uint64_t run_number, starts, deaths, adoptions;
};

/* Reads all, adopts workers that live, starts what is to be started. state_dir: "/var/lib/enlite",
 * run_dir: "/run". program: enlite. 0 or -errno with one line. */
int manager_open(struct manager *m, struct loop *loop, const char *state_dir, const char *run_dir,
	const char *program, struct err *e);
/* The loop no longer runs. Workers go on. */
void manager_close(struct manager *m);

/* By ID or name. */
struct mvm *manager_find(struct manager *m, const char *name);
/* It is defined, or has a file that may be repaired. */
bool manager_knows(struct manager *m, const char *id);
/* Owns *d after 0. -EEXIST, -ENOSPC, -errno with one line. */
int manager_define(struct manager *m, struct definition *d, struct mvm **vm, struct err *e);
/* The same for an ID that is new; its image, if it has one, stays. */
int manager_add(struct manager *m, struct definition *d, struct mvm **vm, struct err *e);
int manager_redefine(struct mvm *v, struct definition *d, struct err *e);
/* By the definition as JSON. Takes json over; NULL: there was no memory for it. */
int manager_redefine_json(struct mvm *v, json_t *json, struct err *e);
int manager_remove(struct mvm *v, struct err *e);
/* A file that cannot be used: GET / shows it. */
void manager_problem(struct manager *m, const struct err *e);
/* Waits for the ends of workers that were adopted, once the loop runs. */
void manager_watch(struct manager *m);
/* The next VM that is to be started by itself, if none of them is starting. */
void manager_autostart(struct manager *m);

/* ---- one VM: mvm.c ------------------------------------------------------- */

struct mvm *mvm_new(struct manager *m, const struct definition *d);
void mvm_free(struct mvm *v);
/* Its state from what is in the directories; adopts its worker. */
void mvm_find_state(struct mvm *v);
/* -EBUSY: its state, or what is done with its files, does not allow the request. */
int mvm_check(const struct mvm *v, enum vmms_request request, struct err *e);
/* 0 with *job; -EBUSY: its state does not allow that; -errno with one line. timeout_s: of a
 * shutdown. */
int mvm_request(struct mvm *v, enum vmms_request request, unsigned timeout_s, struct job **job,
	struct err *e);
/* The path of its control socket, or "file"-s beside it. */
void mvm_path(const struct mvm *v, const char *suffix, char path[PATH_MAX]);
json_t *mvm_json(const struct mvm *v, bool all);

/* ---- shared by mvm*.c ---------------------------------------------------- */

void mvm_set_state(struct mvm *v, enum vmms_state state, const struct err *reason);
void mvm_record(struct mvm *v);
int mvm_write_record(struct mvm *v, struct err *e);
void mvm_forget_record(struct mvm *v);
int mvm_remove_record(const struct mvm *v, struct err *e);
/* reply: NULL: e says why. error: -EBUSY: the worker refused; else no answer came, and it is not
 * known whether the request was carried out. */
typedef void mvm_answered_fn(
	struct mvm *v, struct job *job, json_t *reply, int error, const struct err *e);
/* Asks its worker; owns request. The answer of an earlier worker, or VM, is dropped. 0 or -ENOMEM.
 */
int mvm_ask(struct mvm *v, json_t *request, unsigned timeout_ms, const struct job *job,
	mvm_answered_fn *answered);
/* The save that runs, or is about to. */
void mvm_cancel_save(struct mvm *v);
/* Its worker was seen running. */
void mvm_ran(struct mvm *v);
int mvm_start(struct mvm *v, struct err *e);
/* CRITICAL: it starts after this time. */
void mvm_restart_later(struct mvm *v, uint64_t delay_ns);
void mvm_watch(struct mvm *v, int pidfd);
void mvm_poll_soon(struct mvm *v);
/* SIGTERM, and SIGKILL if it does not end. */
void mvm_stop_worker(struct mvm *v);
/* The NICs of a clone: mvm_nics.c. */
bool mvm_has_nics(const struct mvm *v);
int mvm_disconnect_nics(json_t *config);
/* It runs with the NICs of its original: again and again, until run.old_nics is not set. */
void mvm_replace_nics(struct mvm *v);
int mvm_open_text(const struct mvm *v, const char *suffix, int flags);
void mvm_trim_text(const struct mvm *v, const char *suffix);
/* The file for the exit status: a worker that was taken over must not fill the host's memory. */
void mvm_trim_status(const struct mvm *v);
bool mvm_has_image(const struct mvm *v, const char *suffix);
int mvm_rename_image(const struct mvm *v, const char *from, const char *to, struct err *e);
int mvm_take_image(const struct mvm *v, struct err *e); /* image becomes resuming */
int mvm_remove_image(const struct mvm *v, const char *suffix, struct err *e);
void mvm_image_path(const struct mvm *v, const char *suffix, char path[PATH_MAX]);

/* "GUID.suffix" */
const char *mvm_file(const struct mvm *v, const char *suffix, char name[STORE_NAME_MAX]);

#endif
