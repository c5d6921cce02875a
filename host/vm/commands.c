/* SPDX-License-Identifier: MIT */
#include "vm/commands.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "mgmt/inspect_json.h"
#include "vm/inspect.h"
#include "vm/save.h"
#include "vm/stats.h"
#include "vm/vm.h"

#define ANY     UINT32_MAX
#define RUNNING (1u << VM_RUNNING)
#define PAUSED  (1u << VM_PAUSED)

/* ---- stats, inspect: answered when guest memory is measured -------------- */

struct query {
	struct vm *vm;
	struct ctl_request *request;
	char *path; /* of what to show; NULL: stats */
};

static void answer_node(json_t *root, const char *path, struct ctl_request *request)
{
	struct err e;
	json_t *node = inspect_json_at(root, path, &e);

	if (node)
		ctl_answer(request, json_pack("{s:O}", "inspect", node));
	else
		ctl_refuse(request, &e);
}

static void query_answer(const struct query *q, const struct gmem_use *use)
{
	json_t *root = vm_inspect_json(q->vm, use);

	if (!root)
		ctl_answer(q->request, NULL);
	else if (q->path)
		answer_node(root, q->path, q->request);
	else
		ctl_answer(q->request, stats_view(root, stats_keys));
	json_decref(root);
}

static void query_free(struct query *q)
{
	free(q->path);
	free(q);
}

static void query_done(void *ctx, const struct gmem_use *use)
{
	struct query *q = ctx;
	struct err e;

	if (use) {
		query_answer(q, use);
	} else {
		err_set(&e, -ESHUTDOWN, "the VM ends");
		ctl_refuse(q->request, &e);
	}
	query_free(q);
}

/* path: NULL for stats. */
static int query_start(struct vm *vm, struct ctl_request *request, const char *path, struct err *e)
{
	struct query *q = calloc(1, sizeof(*q));
	int ret = -ENOMEM;

	if (!q)
		return err_set(e, -ENOMEM, "out of memory");
	q->vm = vm;
	q->request = request;
	if (path)
		q->path = strdup(path);
	if (!path || q->path)
		ret = memory_measure(vm, query_done, q);
	if (!ret)
		return 0;
	query_free(q);
	return err_set(e, ret, "guest memory cannot be measured: %s", strerror(-ret));
}

static int command_stats(
	struct vm *vm, struct ctl_request *request, const json_t *json, struct err *e)
{
	return query_start(vm, request, NULL, e);
}

static int command_inspect(
	struct vm *vm, struct ctl_request *request, const json_t *json, struct err *e)
{
	const char *path = "";

	json_unpack((json_t *)json, "{s?s}", "path", &path);
	return query_start(vm, request, path, e);
}

/* ---- the other commands -------------------------------------------------- */

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

static int command_save(
	struct vm *vm, struct ctl_request *request, const json_t *json, struct err *e)
{
	const char *file = "", *directory = NULL;
	struct save_options options = {false};
	int keep = 0, raw = 0;
	char *path;

	json_unpack((json_t *)json, "{s:s, s?s, s?b, s?b}", "file", &file, "directory", &directory,
		"keep", &keep, "raw", &raw);
	options.keep = keep;
	options.raw = raw;
	if (asprintf(&path, "%s%s%s", *file == '/' || !directory ? "" : directory,
		    *file == '/' || !directory ? "" : "/", file) < 0)
		return err_set(e, -ENOMEM, "out of memory");
	vm_save(vm, path, &options, pause_done, request);
	free(path);
	return 0;
}

/* The save itself is answered when it has ended. */
static int command_cancel_save(
	struct vm *vm, struct ctl_request *request, const json_t *json, struct err *e)
{
	if (!vm->save)
		return err_set(e, -EBUSY, "cancel-save: the VM is not being saved");
	vm_save_cancel(vm);
	ctl_answer(request, json_object());
	return 0;
}

static const char *const then_words[] = {"stop", "nothing", NULL};

/* clang-format off */
#define TIMEOUT                                                                                    \
	{.key = "timeout", .usage = "S", .kind = COMMAND_NUMBER, .max = 3600}
#define POOL                                                                                       \
	{.key = "pool", .usage = "POOL", .kind = COMMAND_CHOICE, .choices = kvp_pool_names}
#define NIC                                                                                        \
	{.key = "nic", .usage = "N", .kind = COMMAND_NUMBER, .max = VM_NICS_MAX - 1}
/* clang-format on */

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
		.words = "status",
		.help = "print what the VM and its guest do",
		.states = ANY,
		.timeout_ms = CTL_TIMEOUT_MS,
		.run = command_status,
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
		.words = "save",
		.args = {{.key = "file", .usage = "FILE"}},
		.options = {{.key = "keep", .kind = COMMAND_FLAG},
			{.key = "raw", .kind = COMMAND_FLAG}},
		.files = true,
		.help = "save the VM to an image and end it; with --keep it goes on",
		.states = RUNNING | PAUSED,
		.timeout_ms = CTL_COPY_MS,
		.run = command_save,
	},
	{
		.words = "cancel-save",
		.help = "end a save that runs; the VM goes on, and no image is left",
		.states = ANY,
		.timeout_ms = CTL_TIMEOUT_MS,
		.run = command_cancel_save,
	},
	{
		.words = "shutdown",
		.options = {{.key = "reboot", .kind = COMMAND_FLAG}, TIMEOUT,
			{.key = "then",
				.usage = "stop|nothing",
				.kind = COMMAND_CHOICE,
				.choices = then_words}},
		.help = "ask the guest to power off or to reboot, and wait for it",
		.states = RUNNING,
		.timeout_ms = CTL_WAIT_MS,
		.run = command_shutdown,
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
	{
		.words = "nic list",
		.help = "list NICs",
		.states = ANY,
		.timeout_ms = CTL_TIMEOUT_MS,
		.run = command_nic_list,
	},
	{
		.words = "nic add",
		.args = {{.key = "spec", .usage = "SPEC", .kind = COMMAND_SPEC}},
		.files = true,
		.help = "add a NIC, SPEC as for --net; prints its ID",
		.states = RUNNING,
		.timeout_ms = CTL_TIMEOUT_MS,
		.run = command_nic_add,
	},
	{
		.words = "nic remove",
		.args = {{.key = "id", .usage = "ID"}},
		.help = "remove a NIC and close its back end",
		.states = RUNNING,
		.timeout_ms = CTL_WAIT_MS,
		.run = command_nic_remove,
	},
	{
		.words = "nic link",
		.args = {{.key = "id", .usage = "ID"}, {.key = "state", .usage = "up|down"}},
		.help = "put the cable in, or take it out",
		.states = RUNNING | PAUSED,
		.timeout_ms = CTL_TIMEOUT_MS,
		.run = command_nic_link,
	},
	{
		.words = "nic speed",
		.args = {{.key = "id", .usage = "ID"}, {.key = "speed", .usage = "BITS"}},
		.help = "the link's speed as the guest sees it; limits nothing",
		.states = RUNNING | PAUSED,
		.timeout_ms = CTL_TIMEOUT_MS,
		.run = command_nic_speed,
	},
	{
		.words = "nic mtu",
		.args = {{.key = "id", .usage = "ID"}, {.key = "mtu",
							       .usage = "BYTES",
							       .kind = COMMAND_NUMBER,
							       .max = NIC_CONFIG_MTU_MAX}},
		.help = "largest MTU; the guest sees it when its driver connects again",
		.states = RUNNING | PAUSED,
		.timeout_ms = CTL_TIMEOUT_MS,
		.run = command_nic_mtu,
	},
	{
		.words = "memory target",
		.args = {{.key = "size", .usage = "SIZE|auto"}},
		.help = "how much memory the guest is to have; auto: what it needs",
		.states = RUNNING | PAUSED,
		.timeout_ms = CTL_TIMEOUT_MS,
		.run = command_memory_target,
	},
	{
		.words = "screenshot",
		.args = {{.key = "file", .usage = "FILE"}},
		.options = {{.key = "format",
				    .usage = "png|ppm",
				    .kind = COMMAND_CHOICE,
				    .choices = screenshot_formats},
			{.key = "last", .kind = COMMAND_FLAG}},
		.help = "write what the guest shows to a file; --last: what one showed when it crashed or ended",
		.states = ANY,
		.timeout_ms = CTL_WAIT_MS,
		.run = command_screenshot,
	},
	{
		.words = "type",
		.args = {{.key = "text", .usage = "TEXT"}},
		.help = "type a text on the guest's keyboard, as on a US one",
		.states = RUNNING,
		.timeout_ms = CTL_WAIT_MS,
		.run = command_type,
	},
	{
		.words = "key",
		.args = {{.key = "keys", .usage = "KEYS"}},
		.help = "press keys of the guest's keyboard together, such as ctrl-alt-del",
		.states = RUNNING,
		.timeout_ms = CTL_WAIT_MS,
		.run = command_key,
	},
	{
		.words = "kvp list",
		.options = {POOL},
		.help = "list the guest's key-value pairs",
		.states = RUNNING,
		.timeout_ms = CTL_WAIT_MS,
		.run = command_kvp_list,
	},
	{
		.words = "kvp get",
		.args = {{.key = "key", .usage = "KEY"}},
		.options = {POOL},
		.help = "print the value of a key, of the first pool that has it",
		.states = RUNNING,
		.timeout_ms = CTL_WAIT_MS,
		.run = command_kvp_get,
	},
	{
		.words = "kvp set",
		.args = {{.key = "key", .usage = "KEY"}, {.key = "value", .usage = "VALUE"}},
		.options = {POOL},
		.help = "set a key in the guest",
		.states = RUNNING,
		.timeout_ms = CTL_WAIT_MS,
		.run = command_kvp_set,
	},
	{
		.words = "kvp remove",
		.args = {{.key = "key", .usage = "KEY"}},
		.options = {POOL},
		.help = "remove a key from the guest",
		.states = RUNNING,
		.timeout_ms = CTL_WAIT_MS,
		.run = command_kvp_remove,
	},
	{
		.words = "ip show",
		.args = {NIC},
		.help = "print the addresses that the guest has on a NIC",
		.states = RUNNING,
		.timeout_ms = CTL_WAIT_MS,
		.run = command_ip_show,
	},
	{
		.words = "ip set",
		.args = {NIC},
		.options = {{.key = "dhcp", .kind = COMMAND_FLAG},
			{.key = "address", .usage = "LIST"}, {.key = "subnet", .usage = "LIST"},
			{.key = "gateway", .usage = "LIST"}, {.key = "dns", .usage = "LIST"}},
		.help = "change the addresses that the guest has on a NIC",
		.states = RUNNING,
		.timeout_ms = CTL_WAIT_MS,
		.run = command_ip_set,
	},
	{
		.words = "freeze",
		.options = {TIMEOUT},
		.help = "freeze the guest's file systems",
		.states = RUNNING,
		.timeout_ms = CTL_WAIT_MS,
		.run = command_freeze,
	},
	{
		.words = "thaw",
		.help = "thaw them again",
		.states = RUNNING,
		.timeout_ms = CTL_WAIT_MS,
		.run = command_thaw,
	},
	{
		.words = "copy",
		.args = {{.key = "file", .usage = "FILE"}, {.key = "path", .usage = "PATH"}},
		.options = {{.key = "force", .kind = COMMAND_FLAG},
			{.key = "parents", .kind = COMMAND_FLAG}},
		.files = true,
		.help = "copy a file into the guest",
		.states = RUNNING,
		.timeout_ms = CTL_COPY_MS,
		.run = command_copy,
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
