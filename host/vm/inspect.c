/* SPDX-License-Identifier: MIT */
#include "vm/inspect.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/proc_self.h"
#include "mgmt/inspect_json.h"
#include "vm/commands.h"
#include "vm/save.h"

#define KIB 1024

/* ---- memory -------------------------------------------------------------- */

/* A "Name:   123 kB" line of /proc/self/status, in bytes; 0 when there is none. */
static uint64_t status_bytes(const char *name)
{
	FILE *f = proc_self_read(PROC_SELF_STATUS);
	size_t len = strlen(name);
	unsigned long long kib = 0;
	char line[256];

	if (!f)
		return 0;
	while (fgets(line, sizeof(line), f))
		if (!strncmp(line, name, len) && line[len] == ':' &&
			sscanf(line + len + 1, "%llu", &kib) == 1)
			break;
	fclose(f);
	return kib * KIB;
}

/* The process was measured a moment after the guest's memory. */
static uint64_t without(uint64_t all, uint64_t part)
{
	return all > part ? all - part : 0;
}

static void memory_inspect(const struct vm *vm, const struct gmem_use *use, struct inspect *i)
{
	inspect_begin(i, "memory");
	inspect_u64(i, "guest_ram", vm->options->memory.size);
	inspect_text(i, "guest_ram_kind", vm_memory_kinds[vm->options->memory_kind]);
	inspect_u64(i, "guest_ram_resident", use->resident);
	inspect_u64(i, "guest_ram_huge", use->huge);
	inspect_u64(i, "worker_anonymous", without(status_bytes("RssAnon"), use->private));
	inspect_u64(i, "worker_file", status_bytes("RssFile"));
	dynmem_inspect(&vm->dynmem, i);
	inspect_end(i);
}

/* ---- devices ------------------------------------------------------------- */

static void controller_inspect(const struct storage_controller *c, struct inspect *i)
{
	inspect_begin(i, NULL);
	inspect_textf(i, "id", "scsi%u", c->number);
	inspect_u64(i, "controller", c->number);
	vsp_device_inspect(c->device.vsp, i);
	inspect_end(i);
}

/* Members of the array "devices". */
static void storage_inspect(const struct storage *s, struct inspect *i)
{
	for (uint32_t n = 0; n < VM_CONTROLLERS_MAX; n++)
		if (s->controllers[n].device.vsp)
			controller_inspect(&s->controllers[n], i);
}

/* ---- the VM -------------------------------------------------------------- */

static void io_threads_inspect(const struct vm *vm, struct inspect *i)
{
	inspect_begin_array(i, "io_threads");
	for (uint32_t n = 0; n < vm->io_threads; n++) {
		inspect_begin(i, NULL);
		loop_inspect(&vm->io_thread[n], i);
		inspect_end(i);
	}
	inspect_end(i);
	if (vm->wakeup)
		inspect_u64(i, "wakeup_ns", wakeup_meter_ns(vm->wakeup));
	if (vm->options->io_placed)
		inspect_u64(i, "io_node", vm->options->io_node);
}

static void console_inspect(const struct console *c, struct inspect *i)
{
	inspect_begin(i, "console");
	inspect_bool(i, "muted", atomic_load(&c->muted));
	inspect_u64(i, "dropped", atomic_load(&c->dropped));
	inspect_end(i);
}

/* Partition and bus exist from the start of a boot until its stop is complete, so a disk that
 * delays the stop is shown. */
static void boot_inspect(const struct vm *vm, struct inspect *i)
{
	if (vm->partition)
		partition_inspect(vm->partition, i);
	if (!vm->bus)
		return;
	inspect_begin(i, "bus");
	bus_inspect(vm->bus->bus, i);
	inspect_end(i);
}

void vm_inspect(const struct vm *vm, const struct gmem_use *use, struct inspect *i)
{
	ON_LOOP(&vm->control);
	inspect_text(i, "state", vm_state_name(vm->state));
	if (vm->options->directory) /* where relative names begin */
		inspect_text(i, "directory", vm->options->directory);
	inspect_u64(i, "boots", vm->boots);
	inspect_u64(i, "cpus", vm->options->cpus);
	memory_inspect(vm, use, i);
	inspect_begin(i, "budget");
	budget_inspect(&vm->budget, i);
	inspect_end(i);
	io_threads_inspect(vm, i);
	console_inspect(&vm->console, i);
	vm_save_inspect(vm, i);
	vsock_inspect(&vm->vsock, i);
	screen_inspect((struct screen *)&vm->screen, i);
	boot_inspect(vm, i);
	inspect_begin_array(i, "devices");
	storage_inspect(&vm->storage, i);
	network_inspect(&vm->network, i);
	ic_inspect(&vm->ic, i);
	dynmem_inspect_device(&vm->dynmem, i);
	screen_inspect_devices(&vm->screen, i);
	devices_inspect(&vm->devices, i);
	inspect_end(i);
}

json_t *vm_inspect_json(const struct vm *vm, const struct gmem_use *use)
{
	struct inspect_json w;

	inspect_json_init(&w);
	vm_inspect(vm, use, &w.inspect);
	return inspect_json_finish(&w);
}
