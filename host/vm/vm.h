/* SPDX-License-Identifier: MIT */
/*
 * One VM: a list of units (unit.h) and the state machine that walks it (vm.c).
 * What outlives a guest reset (disks, I/O threads, console, control socket) is
 * opened once; partition, bus and devices are attached anew at each boot.
 *
 * A paused VM uses no CPU: VPs are out of the guest, its clocks stand still, nothing is in flight.
 * A pause that is not complete within VM_PAUSE_NS is refused, and the VM runs on.
 *
 * A stop takes STOP_NS at most, and STOP_AGAIN_NS after a second signal, since a disk that never
 * completes a request would hold it up for ever. Then the VM is CRITICAL: nothing of it is freed
 * any more, because the request may still use it, and the process must end.
 *
 * Thread: control, all of it; events of the partition are posted to it.
 */
#ifndef VM_VM_H
#define VM_VM_H

#include "base/archive.h"
#include "base/budget.h"
#include "base/loop.h"
#include "base/wakeup.h"
#include "config/config.h"
#include "hyper/kvm/partition.h"
#include "mgmt/ctl.h"
#include "vm/console.h"
#include "vm/devices.h"
#include "vm/dynmem.h"
#include "vm/ic.h"
#include "vm/network.h"
#include "vm/restart.h"
#include "vm/screen.h"
#include "vm/signals.h"
#include "vm/storage.h"
#include "vm/unit.h"
#include "vm/vsock.h"
#include "vmbus-host/bus_hyper.h"
#include "vsp/vsp_device.h"

/* Process exit statuses of `enlite run`; README and man page list them. */
enum {
	EXIT_POWER_OFF = 0,
	EXIT_ERROR = 1,
	EXIT_USAGE = 2,
	EXIT_RESET = 32,
	EXIT_TRIPLE_FAULT = 33,
	EXIT_GUEST_CRASH = 34,
	EXIT_VP_ERROR = 35,
};

#define STOP_NS       10000000000ull
#define STOP_AGAIN_NS 1000000000ull
#define VM_PAUSE_NS   10000000000ull

enum vm_state {
	VM_OFF,      /* not started, or ended: the process is about to end */
	VM_WAITING,  /* the guest reset, and is restarted a little later: restart.h */
	VM_STARTING, /* units are attached and started */
	VM_RUNNING,
	VM_PAUSING, /* units are paused, one after the other */
	VM_PAUSED,
	VM_RESUMING,  /* units are resumed */
	VM_RESTORING, /* as PAUSING: the units of an image come to rest */
	VM_SAVING,    /* as PAUSED: an image is written */
	VM_STOPPING,  /* units are stopped, one after the other */
	VM_CRITICAL,  /* a unit did not stop in time */
};
#define VM_STATES (VM_CRITICAL + 1)

struct vm {
	const struct vm_config *options;
	const struct vm_unit_ops *const *units; /* NULL-terminated */
	enum vm_state state;
	uint32_t unit; /* PAUSING, STOPPING: the unit that is waited for */
	int exit_status;
	int stop_status;              /* -1, or the exit status of the first request to stop */
	struct err error;             /* why exit_status is EXIT_ERROR, or the VM is CRITICAL */
	struct loop_timer stop_timer; /* STOPPING */
	struct restart restart;
	struct loop_timer restart_timer; /* WAITING */
	bool hurried;                    /* STOPPING: a second signal came */
	struct vm_pause {                /* PAUSING */
		void (*done)(void *ctx, const struct err *e);
		void *ctx;
		struct loop_timer timer;
	} pause;
	struct vm_save *save;   /* SAVING, or about to; see save.h */
	bool ended_saving;      /* SAVING: the guest's end was reported late */
	bool restoring;         /* from an image, until it is RUNNING or has failed */
	struct image *image;    /* restoring */
	struct archive restore; /* of it */
	uint32_t boots;
	struct budget budget; /* what the guest can make us use beyond its RAM */

	struct loop control;
	struct signals signals;
	struct ctl ctl;
	bool ctl_open;
	struct list measurements; /* memory.c */

	/* I/O threads */
	struct loop io_thread[VM_IO_THREADS_MAX];
	struct loop *io_thread_ptr[VM_IO_THREADS_MAX];
	uint32_t io_threads;         /* started */
	struct wakeup_meter *wakeup; /* NULL: the polling window is not automatic */
	struct vm_poll_tuner {       /* sets the window of one I/O thread, on that thread */
		struct loop_hook hook;
		struct loop *loop;
		struct wakeup_meter *meter;
		uint64_t next_ns, turns; /* of the next check; the loop's at the last one */
	} poll_tuner[VM_IO_THREADS_MAX];

	struct storage storage; /* disks, and their controllers, which are offered to the guest */
	struct network network; /* NICs */
	struct ic ic;           /* integration services */
	struct loop_task ic_stop_task;
	struct dynmem dynmem;
	struct screen screen;
	struct devices devices; /* those that need no back end */
	struct vsock vsock;
	struct console console;
	bool console_open;

	struct vm_held {                 /* open from the beginning: a guest reset opens nothing */
		int kvm, kernel, initrd; /* 0: not open */
	} held;

	/* partition and bus, per boot */
	struct partition *partition;
	struct bus_hyper *bus;
	struct vsp_host vsp_host;
	bool partition_pausing;
	struct loop_task paused_task;
	_Atomic bool paused_posted;
	struct loop_task quiet_task; /* VPs are joined; all they posted has run before it */
	struct loop_task end_task;
	enum partition_end end_reason;
	int end_status;
	char end_text[256];
	struct loop_task crash_task;
	struct hv_crash *crash; /* NULL: none reported */
	_Atomic bool crash_posted;
};

/* Builds and runs a VM until it is done; returns the process exit status, with which the process
 * must end: a CRITICAL VM still uses *vm. One line in e when the status is EXIT_ERROR, or the VM is
 * CRITICAL. */
int vm_run(struct vm *vm, const struct vm_config *options, struct err *e);

enum vm_state vm_state(const struct vm *vm);
const char *vm_state_name(enum vm_state state);

/* Stops the VM for a reason of ours (signal, console, control socket), in any state. The first
 * request sets the exit status, and outranks what the guest asked for, so that a guest which
 * resets all the time can be stopped. */
void vm_stop(struct vm *vm, int exit_status);
/* Pauses a VM that runs. done(ctx, e), possibly before this returns: e NULL: it is paused; else one
 * line says why it is not: it does not run, a unit did not come to rest within VM_PAUSE_NS, or it
 * was resumed or stopped meanwhile. */
void vm_pause(struct vm *vm, void (*done)(void *ctx, const struct err *e), void *ctx);
/* Resumes a VM that is paused or pauses. 0, or -EBUSY with one line in e: it does neither. */
int vm_resume(struct vm *vm, struct err *e);

#endif
