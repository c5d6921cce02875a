/* SPDX-License-Identifier: MIT */
/*
 * One VM: the composition of everything `enlite run` needs. What outlives
 * a guest reset (loops, disks, console, control socket) is here; what is built
 * anew at each boot (partition, bus, devices) is the `boot` part.
 *
 *   NEW -> BOOTED -> (guest ends, or we stop it) -> STOPPING -> rebuilt: BOOTED
 *                                                           \-> DONE: loop ends
 *
 * Whoever wants the VM to stop sets stop_status, in any state; it outranks
 * what the guest wanted, so that a guest which resets all the time can be stopped.
 *
 * A stop takes STOP_NS at most, and STOP_AGAIN_NS after a second signal: a disk that never gives a
 * request back would hold it up for ever. Then the VM is abandoned: nothing of it is freed
 * any more, since the request may still use it, and the process must end.
 *
 * Thread: control, all of it; the partition's events are posted here.
 */
#ifndef HOST_MACHINE_H
#define HOST_MACHINE_H

#include "base/loop.h"
#include "config/config.h"
#include "hyper/kvm/partition.h"
#include "mgmt/ctl.h"
#include "vm/console.h"
#include "vm/storage.h"
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

enum vm_state { VM_NEW, VM_BOOTED, VM_STOPPING, VM_DONE };

struct vm {
	const struct vm_config *options;
	enum vm_state state;
	int exit_status;
	int stop_status;  /* -1, or the exit status of who asked first to stop */
	struct err error; /* a rebuild after a guest reset failed; or why it is abandoned */
	struct loop_timer stop_timer; /* STOPPING */
	bool hurried;                 /* asked a second time */
	bool abandoned;

	struct loop control;
	struct loop io_thread[VM_IO_THREADS_MAX];
	struct loop *io_thread_ptr[VM_IO_THREADS_MAX];
	uint32_t io_threads;    /* started */
	struct storage storage; /* disks; and their controllers, which the guest is offered */
	struct console console;
	bool console_open;
	struct ctl ctl;
	bool ctl_open;
	int signal_fd;
	struct loop_op signal_op;
	uint8_t signal_buf[128];

	/* per boot */
	struct partition *partition;
	struct bus_hyper *bus;
	struct vsp_host vsp_host;
	uint32_t boots;

	/* from VP threads */
	struct loop_task quiet_task; /* VPs are joined; all they posted has run before it */
	struct loop_task end_task;
	enum partition_end end_reason;
	int end_status;
	char end_text[256];
	struct loop_task crash_task;
	struct hv_crash *crash; /* NULL: none reported */
	_Atomic bool crash_posted;
};

/* Builds and runs a VM until it is done; returns the process exit status, which the process
 * then ends with: an abandoned VM must stay where it is. One line in e when it is EXIT_ERROR,
 * or abandoned. */
int vm_run(struct vm *m, const struct vm_config *options, struct err *e);

/* Ends the VM for a reason outside the guest (signal, console, control socket), in any state; the
 * first exit status counts. After a boot that is stopping already no other follows. */
void vm_stop(struct vm *m, int exit_status);

#endif
