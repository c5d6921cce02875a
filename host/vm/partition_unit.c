/* SPDX-License-Identifier: MIT */
/* The unit of partition and bus: VPs, guest memory, the guest's end and crash reports. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "vm/save.h"
#include "vm/vm_impl.h"

#define MIB             (1ull << 20)
#define CRASH_LINES_MAX 200u

/* ---- events, on VP threads ----------------------------------------------- */

static void on_end(void *ctx, enum partition_end reason, int status, const char *text)
{
	struct vm *vm = ctx;

	vm->end_reason = reason;
	vm->end_status = status;
	snprintf(vm->end_text, sizeof(vm->end_text), "%s", text);
	loop_post(&vm->control, &vm->end_task);
}

static void on_crash(void *ctx, const struct hv_crash *crash)
{
	struct vm *vm = ctx;
	struct hv_crash *copy;

	if (atomic_exchange(&vm->crash_posted, true))
		return; /* only the first report of a boot counts */
	copy = malloc(sizeof(*copy));
	if (copy)
		*copy = *crash;
	vm->crash = copy;
	loop_post(&vm->control, &vm->crash_task);
}

static void on_console(void *ctx, uint8_t byte)
{
	struct vm *vm = ctx;

	console_put(&vm->console, byte);
}

/* ---- the same events, on the control thread ------------------------------ */

static void handle_end(struct loop_task *task)
{
	struct vm *vm = container_of(task, struct vm, end_task);

	ON_CONTROL(vm);
	vm_handle(vm, VM_GUEST_ENDED);
}

/* The guest's last kernel messages, line by line; the log sanitises them. */
static void print_crash(const struct hv_crash *crash)
{
	const char *line = crash->message;

	log_event(LOG_ERROR, "the guest crashed: parameters %#llx %#llx %#llx %#llx %#llx",
		(unsigned long long)crash->param[0], (unsigned long long)crash->param[1],
		(unsigned long long)crash->param[2], (unsigned long long)crash->param[3],
		(unsigned long long)crash->param[4]);
	for (unsigned lines = 0; *line && lines < CRASH_LINES_MAX; lines++) {
		size_t len = strcspn(line, "\n");

		log_event(LOG_ERROR, "guest: %.*s", (int)len, line);
		line += len + strspn(line + len, "\n");
	}
}

static void handle_crash(struct loop_task *task)
{
	struct vm *vm = container_of(task, struct vm, crash_task);

	ON_CONTROL(vm);
	if (vm->crash)
		print_crash(vm->crash);
	if (vm->screen.offered)
		display_keep(&vm->screen.display);
	if (vm->options->on_crash == VM_ON_CRASH_EXIT)
		vm_stop(vm, EXIT_GUEST_CRASH);
}

/* ---- attach, start ------------------------------------------------------- */

/* Guest memory is allocated when the guest touches it, so too much of it would fail late and
 * hard. */
static int check_memory(const struct vm *vm, struct err *e)
{
	uint64_t host = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);

	if (vm->options->memory.max <= host)
		return 0;
	return err_set(e, -ENOMEM,
		"memory: %llu MiB is more than this machine has (%llu MiB): use less",
		(unsigned long long)(vm->options->memory.max / MIB),
		(unsigned long long)(host / MIB));
}

/* At the first boot: a mistake in what the user gave is found without KVM. */
static int open_kvm(struct vm *vm, struct err *e)
{
	int fd = vm->held.kvm ? vm->held.kvm : partition_open_kvm(e);

	vm->held.kvm = fd < 0 ? 0 : fd;
	return fd < 0 ? fd : 0;
}

static int open_unit(struct vm *vm, struct err *e)
{
	int ret;

	ON_CONTROL(vm);
	budget_init(&vm->budget, vm->options->host_memory);
	ret = check_memory(vm, e);
	return ret ? ret : images_open(&vm->held, vm->options, e);
}

static void interrupt(void *ctx, uint32_t vp, uint32_t flag)
{
	struct vm *vm = ctx;

	bus_hyper_interrupt(vm->bus, vp, flag);
}

static int doorbell_add(void *ctx, uint32_t connection_id, int eventfd)
{
	struct vm *vm = ctx;

	return partition_doorbell_add(vm->partition, connection_id, eventfd);
}

static void doorbell_del(void *ctx, uint32_t connection_id, int eventfd)
{
	struct vm *vm = ctx;

	partition_doorbell_del(vm->partition, connection_id, eventfd);
}

static const struct vsp_host_ops vsp_host_ops = {
	.interrupt = interrupt,
	.doorbell_add = doorbell_add,
	.doorbell_del = doorbell_del,
};

static void fill_vsp_host(struct vm *vm)
{
	vm->vsp_host = (struct vsp_host){
		.ops = &vsp_host_ops,
		.ctx = vm,
		.gmem = partition_gmem(vm->partition),
		.budget = &vm->budget,
		.bus = vm->bus->bus,
		.control = &vm->control,
		.io_threads = vm->io_thread_ptr,
		.io_thread_count = vm->io_threads,
		.vp_count = vm->options->cpus,
	};
}

static void reset_events(struct vm *vm)
{
	vm->end_task.fn = handle_end;
	vm->crash_task.fn = handle_crash;
	free(vm->crash);
	vm->crash = NULL;
	atomic_store(&vm->crash_posted, false);
}

/* Guests draw on it from their first moment. */
static int attach_screen(struct vm *vm, struct err *e)
{
	int ret = screen_attach_memory(&vm->screen, e);

	if (ret || !vm->screen.offered)
		return ret;
	ret = partition_map_video(
		vm->partition, SCREEN_GPA, vm->screen.display.memory, vm->screen.display.bytes);
	return ret ? err_set(e, ret, "display: KVM refuses its memory: %s", strerror(-ret)) : 0;
}

static int attach(struct vm *vm, struct err *e)
{
	const struct vm_config *o = vm->options;
	struct partition_config config = {
		.vp_count = o->cpus,
		.memory_size = o->memory.size,
		.memory_dynamic = o->memory.dynamic,
		.memory_more = o->memory.max - o->memory.size,
		.memory_shared = o->memory_kind == VM_MEMORY_SHARED,
		.budget = &vm->budget,
		.stimer = o->stimer,
		.nested = o->nested,
		.pmu = o->pmu,
		.test_device = o->test_device,
		.events = {.end = on_end, .crash = on_crash, .console = on_console, .ctx = vm},
	};
	struct gmem memory;
	int ret;

	ON_CONTROL(vm);
	reset_events(vm);
	ret = open_kvm(vm, e);
	config.kvm_fd = vm->held.kvm;
	if (!ret && vm->restoring) {
		ret = vm_restore_open(vm, &memory, e);
		config.memory = &memory;
		config.restore = &vm->restore;
	}
	if (!ret)
		ret = partition_create(&vm->partition, &config, e);
	if (!ret)
		ret = bus_hyper_create(
			&vm->bus, vm->partition, &vm->control, o->cpus, &vm->budget, e);
	if (!ret)
		ret = attach_screen(vm, e);
	if (ret)
		return ret;
	fill_vsp_host(vm);
	return vm->restoring ? 0 : images_load(vm, e);
}

static int start(struct vm *vm, struct err *e)
{
	ON_CONTROL(vm);
	return partition_start(vm->partition, e);
}

/* ---- pause, resume ------------------------------------------------------- */

/* On the last VP's thread, or on ours. A report that is on its way already serves a new pause, too.
 */
static void on_paused(void *ctx)
{
	struct vm *vm = ctx;

	if (!atomic_exchange(&vm->paused_posted, true))
		loop_post(&vm->control, &vm->paused_task);
}

/* What VPs posted (messages, an end, a crash) came before this. The rest of the messages waits in
 * the bus's queue. */
static void handle_paused(struct loop_task *task)
{
	struct vm *vm = container_of(task, struct vm, paused_task);

	ON_CONTROL(vm);
	atomic_store(&vm->paused_posted, false);
	if (!vm->partition_pausing || !partition_is_paused(vm->partition))
		return; /* it was resumed or stopped since */
	vm->partition_pausing = false;
	partition_freeze(vm->partition);
	bus_hyper_drain(vm->bus);
	vm_unit_paused(vm);
}

static void pause_unit(struct vm *vm)
{
	ON_CONTROL(vm);
	if (partition_is_frozen(vm->partition)) { /* restored */
		vm_unit_paused(vm);
		return;
	}
	vm->partition_pausing = true;
	vm->paused_task.fn = handle_paused;
	partition_pause(vm->partition, on_paused, vm);
}

static void pause_late(struct vm *vm, struct err *e)
{
	err_set(e, -ETIMEDOUT, "pause: a VP did not leave the guest within 10 s");
}

static void resume(struct vm *vm)
{
	ON_CONTROL(vm);
	vm->partition_pausing = false;
	partition_resume(vm->partition);
}

/* ---- stop, detach -------------------------------------------------------- */

static void close_bus(struct loop_task *task)
{
	struct vm *vm = container_of(task, struct vm, quiet_task);

	ON_CONTROL(vm);
	bus_shutdown(vm->bus->bus, vm_unit_stopped, vm);
}

/* First the VPs: nothing new comes from the guest. Then what they posted (messages, a crash report)
 * runs, because tasks keep their order. Then all channels close. */
static void stop(struct vm *vm)
{
	ON_CONTROL(vm);
	vm->partition_pausing = false;
	vm->quiet_task.fn = close_bus;
	partition_stop(vm->partition);
	loop_post(&vm->control, &vm->quiet_task);
}

static int archive(struct vm *vm, struct archive *a, struct err *e)
{
	ON_CONTROL(vm);
	return a->reading ? partition_restore(vm->partition, a, e)
			  : partition_save(vm->partition, a, e);
}

static void detach(struct vm *vm)
{
	ON_CONTROL(vm);
	if (vm->bus)
		bus_hyper_destroy(vm->bus);
	if (vm->partition)
		partition_destroy(vm->partition);
	vm->bus = NULL;
	vm->partition = NULL;
}

static void close_unit(struct vm *vm)
{
	ON_CONTROL(vm);
	free(vm->crash);
	vm->crash = NULL;
	images_close(&vm->held);
	if (vm->held.kvm)
		close(vm->held.kvm);
	vm->held.kvm = 0;
}

const struct vm_unit_ops partition_unit = {
	.name = "partition",
	.open = open_unit,
	.attach = attach,
	.start = start,
	.pause = pause_unit,
	.pause_late = pause_late,
	.resume = resume,
	.stop = stop,
	.archive = archive,
	.detach = detach,
	.close = close_unit,
};
