/* SPDX-License-Identifier: MIT */
/*
 * The states of a managed VM, one to one those of Hyper-V's VMMS, and which requests each of them
 * allows. Pure: tables, no side effects. Thread: any.
 *
 *   off --start--> starting --> running <--resume-- paused
 *    ^                |          |  `---pause----> pausing --^
 *    |                v          v save
 *    +-- stopping <---+        saving --> saved --start--> starting
 *
 * critical: its worker process died or failed. From there it starts anew, by policy or by request.
 */
#ifndef MANAGER_STATE_H
#define MANAGER_STATE_H

#include <stdbool.h>
#include <stdint.h>

enum vmms_state {
	VMMS_OFF,
	VMMS_STARTING,
	VMMS_RUNNING,
	VMMS_PAUSING,
	VMMS_PAUSED,
	VMMS_RESUMING,
	VMMS_SAVING,
	VMMS_SAVED,
	VMMS_STOPPING,
	VMMS_CRITICAL,
};
#define VMMS_STATES (VMMS_CRITICAL + 1u)

enum vmms_request {
	VMMS_START,    /* also: restores a saved VM */
	VMMS_SHUTDOWN, /* asks the guest */
	VMMS_STOP,     /* at once; of a critical VM: it is off, and not restarted */
	VMMS_PAUSE,
	VMMS_RESUME,
	VMMS_SAVE,
	VMMS_DISCARD, /* removes the saved state */
	VMMS_DEFINE,  /* replaces the configuration */
	VMMS_DEVICES, /* adds and removes disks and NICs */
	VMMS_REMOVE,
	VMMS_SNAPSHOT, /* takes one */
	VMMS_APPLY,    /* becomes what it was in a snapshot */
	VMMS_CLONE,    /* of a snapshot: in every state */
	VMMS_ASK,      /* asks the worker process: statistics, key-value pairs, memory */
	VMMS_GUEST,    /* what needs a guest that runs */
};
#define VMMS_REQUESTS (VMMS_GUEST + 1u)

const char *vmms_state_name(enum vmms_state state);
const char *vmms_request_name(enum vmms_request request);
/* -1: there is none of this name that users may give as one. */
int vmms_request_of(const char *name);

bool vmms_allows(enum vmms_state state, enum vmms_request request);

/* True: a worker process runs the VM, or should. */
bool vmms_is_live(enum vmms_state state);
/* True: the state ends by itself. */
bool vmms_is_passing(enum vmms_state state);

/* What a worker process calls its state (vm_state_name()) as one of ours. false: it is unknown. */
bool vmms_state_of_worker(const char *name, enum vmms_state *state);

#endif
