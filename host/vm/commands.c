/* SPDX-License-Identifier: MIT */
#include "vm/commands.h"

#include <assert.h>
#include <errno.h>

#include "mgmt/inspect_json.h"
#include "vm/inspect.h"
#include "vm/stats.h"
#include "vm/vm.h"

#define ANY     UINT32_MAX
#define RUNNING (1u << VM_RUNNING)
#define PAUSED  (1u << VM_PAUSED)

static int command_stats(
	struct vm *vm, struct ctl_request *request, const json_t *json, struct err *e)
{
	json_t *inspection = vm_inspect_json(vm);
	json_t *stats = inspection ? stats_view(inspection, stats_keys) : NULL;

	json_decref(inspection);
	ctl_answer(request, stats);
	return 0;
}

static int answer_node(json_t *root, const char *path, struct ctl_request *request, struct err *e)
{
	json_t *node = inspect_json_at(root, path, e);

	if (!node)
		return -ENOENT;
	ctl_answer(request, json_pack("{s:O}", "inspect", node));
	return 0;
}

static int command_inspect(
	struct vm *vm, struct ctl_request *request, const json_t *json, struct err *e)
{
	json_t *root = vm_inspect_json(vm);
	const char *path = "";
	int ret;

	if (!root)
		return err_set(e, -ENOMEM, "inspect: out of memory");
	json_unpack((json_t *)json, "{s?s}", "path", &path);
	ret = answer_node(root, path, request, e);
	json_decref(root);
	return ret;
}

static int command_power_button(
	struct vm *vm, struct ctl_request *request, const json_t *json, struct err *e)
{
	partition_power_button(vm->partition);
	ctl_answer(request, json_object());
	return 0;
}

static int command_stop(
	struct vm *vm, struct ctl_request *request, const json_t *json, struct err *e)
{
	vm_stop(vm, EXIT_POWER_OFF);
	ctl_answer(request, json_object());
	return 0;
}

static void pause_done(void *ctx, const struct err *e)
{
	struct ctl_request *request = ctx;

	if (e)
		ctl_refuse(request, e);
	else
		ctl_answer(request, json_object());
}

static int command_pause(
	struct vm *vm, struct ctl_request *request, const json_t *json, struct err *e)
{
	vm_pause(vm, pause_done, request);
	return 0;
}

static int command_resume(
	struct vm *vm, struct ctl_request *request, const json_t *json, struct err *e)
{
	int ret = vm_resume(vm, e);

	if (!ret)
		ctl_answer(request, json_object());
	return ret;
}

/* In the order of `enlite ctl --help` and of the man page, which has the same rows. */
const struct command vm_commands[] = {
	{
		.words = "stats",
		.help = "print counters and latencies",
		.states = ANY,
		.timeout_ms = CTL_TIMEOUT_MS,
		.run = command_stats,
	},
	{
		.words = "inspect",
		.args = {{.key = "path", .usage = "PATH", .optional = true}},
		.help = "print the state of everything, or of the part at PATH",
		.states = ANY,
		.timeout_ms = CTL_TIMEOUT_MS,
		.run = command_inspect,
	},
	{
		.words = "pause",
		.help = "stop the guest and its clocks; it uses no CPU",
		.states = RUNNING,
		.timeout_ms = CTL_WAIT_MS,
		.run = command_pause,
	},
	{
		.words = "resume",
		.help = "resume a paused guest",
		.states = PAUSED | 1u << VM_PAUSING,
		.timeout_ms = CTL_TIMEOUT_MS,
		.run = command_resume,
	},
	{
		.words = "power-button",
		.help = "press the ACPI power button; a paused guest sees it later",
		.states = RUNNING | PAUSED,
		.timeout_ms = CTL_TIMEOUT_MS,
		.run = command_power_button,
	},
	{
		.words = "stop",
		.help = "end the VM without asking the guest",
		.states = ANY,
		.timeout_ms = CTL_TIMEOUT_MS,
		.run = command_stop,
	},
	{
		.words = "disk list",
		.help = "list disks and controllers",
		.states = ANY,
		.timeout_ms = CTL_TIMEOUT_MS,
		.run = command_disk_list,
	},
	{
		.words = "disk add",
		.args = {{.key = "spec", .usage = "SPEC", .kind = COMMAND_SPEC}},
		.files = true,
		.help = "add a disk, SPEC as for --disk; prints its ID",
		.states = RUNNING,
		.timeout_ms = CTL_WAIT_MS,
		.run = command_disk_add,
	},
	{
		.words = "disk remove",
		.args = {{.key = "id", .usage = "ID"}},
		.help = "remove a disk and close its file",
		.states = RUNNING,
		.timeout_ms = CTL_WAIT_MS,
		.run = command_disk_remove,
	},
	{
		.words = "disk resize",
		.args = {{.key = "id", .usage = "ID"}},
		.help = "read the size of a disk's file again",
		.states = RUNNING,
		.timeout_ms = CTL_TIMEOUT_MS,
		.run = command_disk_resize,
	},
	{
		.words = "controller remove",
		.args = {{.key = "controller",
			.usage = "N",
			.kind = COMMAND_NUMBER,
			.max = VM_CONTROLLERS_MAX - 1}},
		.help = "remove a SCSI controller with all its disks",
		.states = RUNNING,
		.timeout_ms = CTL_WAIT_MS,
		.run = command_controller_remove,
	},
	{.words = NULL},
};

void vm_handle_request(void *ctx, struct ctl_request *request, const json_t *json)
{
	struct vm *vm = ctx;
	const struct command_target target = {
		.vm = vm,
		.state = vm->state,
		.state_name = vm_state_name(vm->state),
	};

	struct err e;

	ON_LOOP(&vm->control);
	if (command_start(vm_commands, &target, request, json, &e))
		ctl_refuse(request, &e);
}
