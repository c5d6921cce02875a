/* SPDX-License-Identifier: MIT */
/*
 * The states of a VM, written down as a table, and the walks over its units.
 *
 * The order of a start: units are attached forwards, then started backwards: the partition is the
 * first unit, so VPs run when everything else is ready. The order of a stop: units stop forwards,
 * so VPs end first; then all that they posted runs; then the channels drain; then units are
 * detached backwards. A guest reset is a stop that is followed by a start. A pause walks as a stop
 * does, a resume as a start.
 */
#include "vm/vm.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/file_replace.h"
#include "base/log.h"
#include "base/time.h"
#include "vm/commands.h"
#include "vm/memory.h"
#include "vm/save.h"
#include "vm/vm_impl.h"

static const struct vm_unit_ops *const vm_units[] = {
	&partition_unit,
	&storage_unit,
	&ic_unit, /* closed when the loop has run for the last time, which NICs let it do */
	&network_unit,
	&dynmem_unit,
	&screen_unit,
	&devices_unit,
	&vsock_unit,
	&io_threads_unit, /* they end before the disks and NICs they use are closed */
	&console_unit,
	NULL,
};

static uint32_t unit_count(const struct vm *vm)
{
	uint32_t count = 0;

	while (vm->units[count])
		count++;
	return count;
}

/* ---- the end of a VM ----------------------------------------------------- */

static void end_loop(void *ctx)
{
	struct vm *vm = ctx;

	loop_stop(&vm->control);
}

/* What the guest printed is written out first. */
static void end_vm(struct vm *vm, int exit_status)
{
	vm->exit_status = exit_status;
	if (vm->console_open)
		console_drain(&vm->console, end_loop);
	else
		end_loop(vm);
}

static void restart_due(struct loop_timer *t)
{
	struct vm *vm = container_of(t, struct vm, restart_timer);

	ON_CONTROL(vm);
	vm_handle(vm, VM_START);
}

static void restart(struct vm *vm)
{
	uint64_t delay = restart_delay(&vm->restart, loop_now_ns());

	if (!delay) {
		log_event(LOG_INFO, "the guest reset: restarting");
		vm_handle(vm, VM_START);
		return;
	}
	vm_handle(vm, VM_WAIT);
	loop_timer_start(&vm->control, &vm->restart_timer, delay, restart_due);
}

static void stop_waiting(struct vm *vm)
{
	loop_timer_cancel(&vm->restart_timer);
	end_vm(vm, vm->stop_status);
}

/* The guest ended by itself: restarts it, or ends the VM with the matching exit status. */
static void after_guest_end(struct vm *vm)
{
	switch (vm->end_reason) {
	case PARTITION_POWER_OFF:
		end_vm(vm, EXIT_POWER_OFF);
		return;
	case PARTITION_RESET:
		if (!vm->options->reboot) {
			end_vm(vm, EXIT_RESET);
			return;
		}
		restart(vm);
		return;
	case PARTITION_TRIPLE_FAULT:
		log_error("the guest ended in a triple fault %s", vm->end_text);
		end_vm(vm, EXIT_TRIPLE_FAULT);
		return;
	case PARTITION_VP_ERROR:
		log_error("%s", vm->end_text);
		end_vm(vm, EXIT_VP_ERROR);
		return;
	case PARTITION_DEBUG_EXIT:
		end_vm(vm, vm->end_status);
		return;
	}
}

/* ---- start --------------------------------------------------------------- */

static int attach_units(struct vm *vm, struct err *e)
{
	int ret = 0;

	for (uint32_t i = 0; i < unit_count(vm) && !ret; i++)
		if (vm->units[i]->attach)
			ret = vm->units[i]->attach(vm, e);
	return ret;
}

static int start_units(struct vm *vm, struct err *e)
{
	int ret = 0;

	for (uint32_t i = unit_count(vm); i > 0 && !ret; i--)
		if (vm->units[i - 1]->start)
			ret = vm->units[i - 1]->start(vm, e);
	return ret;
}

static void detach_units(struct vm *vm)
{
	for (uint32_t i = unit_count(vm); i > 0; i--)
		if (vm->units[i - 1]->detach)
			vm->units[i - 1]->detach(vm);
}

/* With all units attached a failure needs an orderly stop: channels may be about to open. */
static void restore(struct vm *vm)
{
	int ret = vm_restore_state(vm, &vm->error);

	if (!ret)
		ret = start_units(vm, &vm->error);
	vm_handle(vm, ret ? VM_RESTORE_FAILED : VM_RESTORED);
}

static void start(struct vm *vm)
{
	int ret = attach_units(vm, &vm->error);

	if (!ret && vm->restoring) {
		restore(vm);
		return;
	}
	if (!ret)
		ret = start_units(vm, &vm->error);
	if (ret && !vm->error.text[0])
		err_set(&vm->error, ret, "cannot start the partition: %s", strerror(-ret));
	vm_handle(vm, ret ? VM_START_FAILED : VM_STARTED);
}

static void started(struct vm *vm)
{
	vm->boots++;
	restart_began(&vm->restart, loop_now_ns());
}

static void start_failed(struct vm *vm)
{
	detach_units(vm);
	end_vm(vm, EXIT_ERROR);
}

/* ---- pause and resume ---------------------------------------------------- */

/* Answers vm_pause(). */
static void end_pause(struct vm *vm, const struct err *e)
{
	struct vm_pause pause = vm->pause;

	loop_timer_cancel(&vm->pause.timer);
	vm->pause.done = NULL;
	if (pause.done)
		pause.done(pause.ctx, e);
}

static void pause_late(struct loop_timer *t)
{
	struct vm *vm = container_of(t, struct vm, pause.timer);

	ON_CONTROL(vm);
	vm_handle(vm, VM_PAUSE_LATE);
}

/* Pauses the units from vm->unit on; goes on in vm_unit_paused(). */
static void pause_next_unit(struct vm *vm)
{
	while (vm->units[vm->unit] && !vm->units[vm->unit]->pause)
		vm->unit++;
	if (vm->units[vm->unit])
		vm->units[vm->unit]->pause(vm);
	else
		vm_handle(vm, VM_UNITS_PAUSED);
}

void vm_unit_paused(void *ctx)
{
	struct vm *vm = ctx;

	ON_CONTROL(vm);
	if (vm->state != VM_PAUSING && vm->state != VM_RESTORING)
		return; /* stopped meanwhile */
	vm->unit++;
	pause_next_unit(vm);
}

static void pause_units(struct vm *vm)
{
	loop_timer_start(&vm->control, &vm->pause.timer, VM_PAUSE_NS, pause_late);
	vm->unit = 0;
	pause_next_unit(vm);
}

static void paused(struct vm *vm)
{
	end_pause(vm, NULL);
}

/* From the unit that pauses, or all of them, back to the VPs. */
static void resume(struct vm *vm)
{
	uint32_t last = vm->units[vm->unit] ? vm->unit + 1 : vm->unit;

	for (uint32_t i = last; i > 0; i--)
		if (vm->units[i - 1]->resume)
			vm->units[i - 1]->resume(vm);
	vm_handle(vm, VM_RESUMED);
}

static void refuse_pause(struct vm *vm)
{
	const struct vm_unit_ops *unit = vm->units[vm->unit];
	struct err e;

	err_set(&e, -ETIMEDOUT, "pause: %s: not at rest within 10 s", unit->name);
	if (unit->pause_late)
		unit->pause_late(vm, &e);
	resume(vm);
	end_pause(vm, &e);
}

static void cancel_pause(struct vm *vm)
{
	struct err e;

	resume(vm);
	err_set(&e, -ECANCELED, "pause: the VM was resumed meanwhile");
	end_pause(vm, &e);
}

/* No image of a guest that has ended. It is stopped when the save has. */
static void end_saving(struct vm *vm)
{
	vm->ended_saving = true;
	vm_save_cancel(vm);
}

/* ---- the end of a restore ------------------------------------------------ */

/* The image must not be used again: the guest and its disks are about to change. */
static int say_ran(struct vm *vm, struct err *e)
{
	static const char line[] = "ran\n";
	const ssize_t length = sizeof(line) - 1;
	int fd = vm->options->status_fd;

	if (fd <= 0 || write(fd, line, (size_t)length) == length)
		return 0;
	return err_set(
		e, -EIO, "restore: ENLITE_STATUS_FD: cannot be written: %s", strerror(errno));
}

static void restored(struct vm *vm)
{
	loop_timer_cancel(&vm->pause.timer);
	if (vm_restore_check(vm, &vm->error) || say_ran(vm, &vm->error)) {
		vm_stop(vm, EXIT_ERROR);
		return;
	}
	vm_restore_close(vm);
	vm->restoring = false;
	started(vm);
	log_event(LOG_INFO, "restored from %s", vm->options->restore);
	vm_handle(vm, VM_RESUME);
}

static void stop(struct vm *vm);

static void restore_failed(struct vm *vm)
{
	vm->stop_status = EXIT_ERROR;
	stop(vm);
}

static void restore_late(struct vm *vm)
{
	err_set(&vm->error, -ETIMEDOUT, "restore: %s: not at rest within 10 s",
		vm->units[vm->unit]->name);
	restore_failed(vm);
}

/* ---- stop ---------------------------------------------------------------- */

static void stop_late(struct loop_timer *t)
{
	struct vm *vm = container_of(t, struct vm, stop_timer);

	ON_CONTROL(vm);
	vm_handle(vm, VM_STOP_LATE);
}

/* Stops the units from vm->unit on; goes on in vm_unit_stopped(). */
static void stop_next_unit(struct vm *vm)
{
	while (vm->units[vm->unit] && !vm->units[vm->unit]->stop)
		vm->unit++;
	if (vm->units[vm->unit])
		vm->units[vm->unit]->stop(vm);
	else
		vm_handle(vm, VM_STOPPED);
}

void vm_unit_stopped(void *ctx)
{
	struct vm *vm = ctx;

	ON_CONTROL(vm);
	if (vm->state == VM_CRITICAL)
		return; /* the loop runs what is posted before it ends */
	assert(vm->state == VM_STOPPING);
	vm->unit++;
	stop_next_unit(vm);
}

static void stop(struct vm *vm)
{
	vm->hurried = false;
	loop_timer_start(&vm->control, &vm->stop_timer, STOP_NS, stop_late);
	vm->unit = 0;
	stop_next_unit(vm);
}

static void stop_pausing(struct vm *vm)
{
	struct err e;

	stop(vm);
	err_set(&e, -ESHUTDOWN, "pause: the VM ended or was stopped meanwhile");
	end_pause(vm, &e);
}

/* Only the second of our requests shortens the time limit, and not to zero: two signals in a row
 * are no reason to leave an orderly stop unfinished. */
static void hurry(struct vm *vm)
{
	if (vm->stop_status < 0 || vm->hurried)
		return;
	vm->hurried = true;
	loop_timer_start(&vm->control, &vm->stop_timer, STOP_AGAIN_NS, stop_late);
}

static void stopped(struct vm *vm)
{
	loop_timer_cancel(&vm->stop_timer);
	detach_units(vm);
	if (vm->stop_status >= 0)
		end_vm(vm, vm->stop_status);
	else
		after_guest_end(vm);
}

/* Some channel is not closed. */
static void abandon(struct vm *vm)
{
	err_set(&vm->error, -ETIMEDOUT,
		"a disk did not complete its requests within 10 s; exiting");
	vm->exit_status = vm->stop_status >= 0 ? vm->stop_status : EXIT_ERROR;
	end_loop(vm);
}

/* ---- the table ----------------------------------------------------------- */

static const struct {
	enum vm_state state;
	enum vm_event event;
	void (*action)(struct vm *vm); /* NULL: none */
	enum vm_state next;            /* set before the action runs */
} transitions[] = {
	{VM_OFF, VM_START, start, VM_STARTING},
	{VM_OFF, VM_WAIT, NULL, VM_WAITING},
	{VM_WAITING, VM_START, start, VM_STARTING},
	{VM_WAITING, VM_STOP, stop_waiting, VM_OFF},
	{VM_STARTING, VM_STARTED, started, VM_RUNNING},
	{VM_STARTING, VM_START_FAILED, start_failed, VM_OFF},
	{VM_RUNNING, VM_GUEST_ENDED, stop, VM_STOPPING},
	{VM_RUNNING, VM_STOP, stop, VM_STOPPING},
	{VM_RUNNING, VM_PAUSE, pause_units, VM_PAUSING},
	{VM_PAUSING, VM_UNITS_PAUSED, paused, VM_PAUSED},
	{VM_PAUSING, VM_PAUSE_LATE, refuse_pause, VM_RESUMING},
	{VM_PAUSING, VM_RESUME, cancel_pause, VM_RESUMING},
	{VM_PAUSING, VM_GUEST_ENDED, stop_pausing, VM_STOPPING}, /* by the exit it completed */
	{VM_PAUSING, VM_STOP, stop_pausing, VM_STOPPING},
	{VM_PAUSED, VM_RESUME, resume, VM_RESUMING},
	{VM_PAUSED, VM_GUEST_ENDED, stop, VM_STOPPING}, /* its report was late */
	{VM_PAUSED, VM_STOP, stop, VM_STOPPING},
	{VM_RESUMING, VM_RESUMED, NULL, VM_RUNNING},
	{VM_STARTING, VM_RESTORED, pause_units, VM_RESTORING},
	{VM_STARTING, VM_RESTORE_FAILED, restore_failed, VM_STOPPING},
	{VM_RESTORING, VM_UNITS_PAUSED, restored, VM_PAUSED},
	{VM_RESTORING, VM_PAUSE_LATE, restore_late, VM_STOPPING},
	{VM_RESTORING, VM_STOP, stop, VM_STOPPING},
	{VM_PAUSED, VM_SAVE, NULL, VM_SAVING},
	{VM_SAVING, VM_SAVE_ENDED, NULL, VM_PAUSED}, /* another event follows at once */
	{VM_SAVING, VM_STOP, vm_save_cancel, VM_SAVING},
	{VM_SAVING, VM_GUEST_ENDED, end_saving, VM_SAVING}, /* its report was late */
	{VM_STOPPING, VM_HURRY, hurry, VM_STOPPING},
	{VM_STOPPING, VM_STOPPED, stopped, VM_OFF}, /* or VM_START, VM_WAIT follow at once */
	{VM_STOPPING, VM_STOP_LATE, abandon, VM_CRITICAL},
};

static const char *const state_names[VM_STATES] = {
	[VM_OFF] = "off",
	[VM_WAITING] = "waiting to restart",
	[VM_STARTING] = "starting",
	[VM_RUNNING] = "running",
	[VM_PAUSING] = "pausing",
	[VM_PAUSED] = "paused",
	[VM_RESUMING] = "resuming",
	[VM_RESTORING] = "restoring",
	[VM_SAVING] = "saving",
	[VM_STOPPING] = "stopping",
	[VM_CRITICAL] = "critical",
};

static void set_state(struct vm *vm, enum vm_state state)
{
	if (vm->state != state)
		log_debug("VM: %s -> %s", state_names[vm->state], state_names[state]);
	vm->state = state;
}

bool vm_handle(struct vm *vm, enum vm_event event)
{
	ON_CONTROL(vm);
	for (size_t i = 0; i < sizeof(transitions) / sizeof(transitions[0]); i++) {
		if (transitions[i].state != vm->state || transitions[i].event != event)
			continue;
		set_state(vm, transitions[i].next);
		if (transitions[i].action)
			transitions[i].action(vm);
		return true;
	}
	return false;
}

/* ---- requests of users --------------------------------------------------- */

enum vm_state vm_state(const struct vm *vm)
{
	ON_CONTROL(vm);
	return vm->state;
}

const char *vm_state_name(enum vm_state state)
{
	return state_names[state];
}

void vm_stop(struct vm *vm, int exit_status)
{
	ON_CONTROL(vm);
	if (vm->stop_status < 0)
		vm->stop_status = exit_status;
	vm_handle(vm, VM_STOP);
}

void vm_pause(struct vm *vm, void (*done)(void *ctx, const struct err *e), void *ctx)
{
	struct err e;

	ON_CONTROL(vm);
	if (vm->state == VM_RUNNING) {
		vm->pause.done = done;
		vm->pause.ctx = ctx;
		vm_handle(vm, VM_PAUSE);
		return;
	}
	err_set(&e, -EBUSY, "pause: the VM is %s, not running", state_names[vm->state]);
	done(ctx, &e);
}

int vm_resume(struct vm *vm, struct err *e)
{
	ON_CONTROL(vm);
	if (vm_handle(vm, VM_RESUME))
		return 0;
	return err_set(e, -EBUSY, "resume: the VM is %s, not paused", state_names[vm->state]);
}

static void on_signal(void *ctx, int signal)
{
	struct vm *vm = ctx;

	ON_CONTROL(vm);
	if (signal == SIGCONT) {
		if (vm->console_open)
			console_continue(&vm->console);
		return;
	}
	log_info("signal %d: ending the partition", signal);
	vm_handle(vm, VM_HURRY);
	vm_stop(vm, 128 + signal);
}

/* On a helper thread. What may hang is last. */
static void on_overdue(void *ctx)
{
	struct vm *vm = ctx;

	if (vm->console_open)
		console_restore(&vm->console);
	log_error("the VM does not end after the signal; exiting");
	if (vm->ctl_open)
		ctl_unlink(&vm->ctl);
	file_replace_abandon_all(); /* an image that was being written */
}

static const struct signals_ops signals_ops = {.caught = on_signal, .overdue = on_overdue};

/* ---- from the beginning to the end --------------------------------------- */

static int open_units(struct vm *vm, struct err *e)
{
	int ret = 0;

	for (uint32_t i = 0; i < unit_count(vm) && !ret; i++)
		if (vm->units[i]->open)
			ret = vm->units[i]->open(vm, e);
	return ret;
}

/* Nobody reads our signals yet, and a disk, or a VM of our name that does not answer, may take
 * long: until the last step they end the process, which leaves no more than a stale socket. */
static int open_all(struct vm *vm, struct err *e)
{
	int ret;

	signals_ignore();
	ret = open_units(vm, e);
	if (!ret && vm->options->name) {
		ret = ctl_open(&vm->ctl, &vm->control, vm->options->name, vm_handle_request, vm, e);
		vm->ctl_open = !ret;
	}
	if (!ret)
		ret = signals_open(
			&vm->signals, &vm->control, &signals_ops, vm, SIGNALS_LIMIT_NS, e);
	return ret;
}

static void close_ctl(struct vm *vm)
{
	if (vm->ctl_open)
		ctl_close(&vm->ctl);
	vm->ctl_open = false;
}

static void close_all(struct vm *vm)
{
	close_ctl(vm);
	memory_close(vm);
	vm_save_close(vm);
	vm_restore_close(vm);
	for (uint32_t i = unit_count(vm); i > 0; i--)
		if (vm->units[i - 1]->close)
			vm->units[i - 1]->close(vm);
	signals_close(&vm->signals);
	loop_fini(&vm->control);
}

/* The terminal is restored and the socket removed; all else stays, a request still uses it. */
static void close_critical(struct vm *vm)
{
	close_ctl(vm);
	console_unit.close(vm);
}

void vm_init(struct vm *vm, const struct vm_config *options, const struct vm_unit_ops *const *units)
{
	memset(vm, 0, sizeof(*vm));
	vm->options = options;
	vm->units = units;
	vm->stop_status = -1;
	vm->restoring = options && options->restore;
	list_init(&vm->measurements);
}

int vm_run(struct vm *vm, const struct vm_config *options, struct err *e)
{
	vm_init(vm, options, vm_units);
	if (loop_init(&vm->control, "control", e))
		return EXIT_ERROR;
	if (open_all(vm, e)) {
		vm->exit_status = EXIT_ERROR;
	} else {
		vm_handle(vm, VM_START);
		loop_run(&vm->control);
		*e = vm->error;
	}
	if (vm->state == VM_CRITICAL)
		close_critical(vm);
	else
		close_all(vm);
	return vm->exit_status;
}
