/* SPDX-License-Identifier: MIT */
/* Commands on the guest as a whole: its state, shutdown, freezing, files. */
#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vm/commands.h"
#include "vm/save.h"
#include "vm/vm_impl.h"
#include "vsp/ic/shutdown.h"

#define SECOND_NS 1000000000ull

/* ---- status -------------------------------------------------------------- */

static json_t *detail(struct vm *vm, enum vm_ic service)
{
	uint64_t bytes, size;

	switch (service) {
	case VM_IC_HEARTBEAT:
		return json_string(
			ic_heartbeat_state_name(ic_heartbeat_state(ic_device(&vm->ic, service))));
	case VM_IC_VSS:
		return json_string(ic_freeze_state_name(&vm->ic.freeze));
	case VM_IC_COPY:
		if (!vm->ic.copy)
			return json_string("idle");
		ic_copy_progress(vm->ic.copy, &bytes, &size);
		return json_sprintf(
			"%llu of %llu bytes", (unsigned long long)bytes, (unsigned long long)size);
	default:
		return json_string("");
	}
}

static json_t *services(struct vm *vm)
{
	json_t *list = json_array();

	for (uint32_t n = 0; n < VM_IC_SERVICES; n++) {
		struct vsp_device *dev = ic_device(&vm->ic, n);

		if (dev)
			json_array_append_new(list,
				json_pack("{s:s, s:s, s:o}", "service", ic_service_name(n), "state",
					ic_state_text(dev), "detail", detail(vm, n)));
	}
	return list;
}

int command_status(struct vm *vm, struct ctl_request *request, const json_t *json, struct err *e)
{
	struct vsp_device *heartbeat = ic_device(&vm->ic, VM_IC_HEARTBEAT);
	json_t *status = json_pack("{s:s, s:i, s:s, s:o, s:o}", "state", vm_state_name(vm->state),
		"boots", (int)vm->boots, "heartbeat",
		ic_heartbeat_state_name(ic_heartbeat_state(heartbeat)), "memory", memory_status(vm),
		"services", services(vm));
	uint64_t done, size;

	if (status && vm_save_progress(vm, &done, &size))
		json_object_set_new(status, "save_percent",
			json_integer(size ? (json_int_t)(done * 100 / size) : 0));
	ctl_answer(request, status);
	return 0;
}

/* ---- shutdown ------------------------------------------------------------ */

/*
 *   asked --guest accepts--> accepted --guest ends--> answered
 *      |                         |
 *      `-- refuses, time is up --`--> answered; `stop`: the VM is stopped
 */
struct ic_shutdown_wait {
	struct vm *vm;
	struct ctl_request *request; /* NULL: answered */
	struct ic_shutdown_request ask;
	struct loop_timer timer; /* accepted */
	uint64_t end_ns;
	unsigned limit_s;
	bool asking, stop;
};

static void shutdown_free(struct ic_shutdown_wait *w)
{
	if (w->request || w->asking)
		return;
	loop_timer_cancel(&w->timer);
	w->vm->ic.shutdown = NULL;
	free(w);
}

static void shutdown_failed(struct ic_shutdown_wait *w, const struct err *why)
{
	struct ctl_request *request = w->request;
	struct vm *vm = w->vm;
	bool stop = w->stop;

	w->request = NULL;
	shutdown_free(w);
	if (!stop) {
		ctl_refuse(request, why);
		return;
	}
	ctl_answer(request, json_pack("{s:s, s:s}", "guest", "stopped", "reason", why->text));
	vm_stop(vm, EXIT_POWER_OFF);
}

static void shutdown_late(struct loop_timer *timer)
{
	struct ic_shutdown_wait *w = container_of(timer, struct ic_shutdown_wait, timer);
	struct err e;

	err_set(&e, -ETIMEDOUT, "shutdown: the guest has not ended after %u s; the VM runs on",
		w->limit_s);
	if (w->stop)
		err_set(&e, -ETIMEDOUT, "the guest had not ended after %u s", w->limit_s);
	shutdown_failed(w, &e);
}

/* The guest may end before its answer is read. */
static void shutdown_asked(struct ic_request *r)
{
	struct ic_shutdown_wait *w = container_of(r, struct ic_shutdown_wait, ask.request);
	uint64_t now = loop_now_ns();
	struct err e;

	w->asking = false;
	if (!w->request) {
		shutdown_free(w);
	} else if (!ic_request_error(&ic_shutdown, r, "shutdown", &e)) {
		loop_timer_start(&w->vm->control, &w->timer, w->end_ns > now ? w->end_ns - now : 1,
			shutdown_late);
	} else if (r->error != -ESHUTDOWN || w->vm->state != VM_STOPPING) {
		shutdown_failed(w, &e);
	}
}

void ic_shutdown_guest_ended(struct vm *vm)
{
	struct ic_shutdown_wait *w = vm->ic.shutdown;
	const char *how = vm->stop_status >= 0                ? "stopped"
			  : vm->end_reason == PARTITION_RESET ? "reset"
							      : "power off";

	if (!w || !w->request)
		return;
	ctl_answer(w->request, json_pack("{s:s}", "guest", how));
	w->request = NULL;
	shutdown_free(w);
}

static bool option_is(const json_t *json, const char *key, const char *text)
{
	const char *value = json_string_value(json_object_get(json, key));

	return value && !strcmp(value, text);
}

/* 0 is the preset, too: every wait has a limit. */
static unsigned option_seconds(const json_t *json, unsigned preset)
{
	json_int_t value = json_integer_value(json_object_get(json, "timeout"));

	return value ? (unsigned)value : preset;
}

int command_shutdown(struct vm *vm, struct ctl_request *request, const json_t *json, struct err *e)
{
	struct ic_shutdown_wait *w;

	if (vm->ic.shutdown)
		return err_set(e, -EBUSY, "shutdown: the guest was asked already");
	w = calloc(1, sizeof(*w));
	if (!w)
		return err_set(e, -ENOMEM, "shutdown: out of memory");
	w->vm = vm;
	w->request = request;
	w->stop = option_is(json, "then", "stop");
	w->limit_s = option_seconds(json, IC_SHUTDOWN_S);
	w->end_ns = loop_now_ns() + w->limit_s * SECOND_NS;
	w->asking = true;
	w->ask.request.timeout_ns = w->limit_s * SECOND_NS;
	w->ask.request.done = shutdown_asked;
	vm->ic.shutdown = w;
	ic_shutdown_start(ic_device(&vm->ic, VM_IC_SHUTDOWN), &w->ask,
		json_is_true(json_object_get(json, "reboot")));
	return 0;
}

/* ---- freeze and thaw ----------------------------------------------------- */

static void answer_done(void *ctx, const struct err *e)
{
	struct ctl_request *request = ctx;

	if (e)
		ctl_refuse(request, e);
	else
		ctl_answer(request, json_object());
}

int command_freeze(struct vm *vm, struct ctl_request *request, const json_t *json, struct err *e)
{
	ic_freeze(&vm->ic.freeze, option_seconds(json, IC_FREEZE_S) * SECOND_NS, answer_done,
		request);
	return 0;
}

int command_thaw(struct vm *vm, struct ctl_request *request, const json_t *json, struct err *e)
{
	ic_thaw(&vm->ic.freeze, answer_done, request);
	return 0;
}

/* ---- files --------------------------------------------------------------- */

struct copy_wait {
	struct vm *vm;
	struct ctl_request *request;
};

static void copied(void *ctx, const struct err *e)
{
	struct copy_wait *w = ctx;

	w->vm->ic.copy = NULL;
	answer_done(w->request, e);
	free(w);
}

/* "DIR/" keeps the file's own name, "DIR/NAME" gives it another. The guest's paths have '/'. */
static int split(const char *path, char *directory, char *name, const char *file, struct err *e)
{
	const char *slash = strrchr(path, '/');
	char copy[PATH_MAX];

	if (!slash || strlen(path) >= PATH_MAX || strlen(file) >= PATH_MAX)
		return err_set(e, -EINVAL,
			"copy: PATH '%.100s': must be absolute, /DIR/ or /DIR/NAME", path);
	snprintf(directory, PATH_MAX, "%.*s", (int)(slash - path) + 1, path);
	snprintf(copy, sizeof(copy), "%s", file);
	snprintf(name, PATH_MAX, "%s", slash[1] ? slash + 1 : basename(copy));
	return 0;
}

static int absolute_path(char *path, const json_t *json, struct err *e)
{
	const char *directory = json_string_value(json_object_get(json, "directory"));
	const char *file = json_string_value(json_object_get(json, "file"));
	int len = *file == '/' ? snprintf(path, PATH_MAX, "%s", file)
			       : snprintf(path, PATH_MAX, "%s/%s", directory, file);

	return len < PATH_MAX ? 0 : err_set(e, -ENAMETOOLONG, "copy: %.100s...: too long", file);
}

static int start_copy(struct vm *vm, const json_t *json, struct copy_wait *w, struct err *e)
{
	const char *path = json_string_value(json_object_get(json, "path"));
	char file[PATH_MAX], directory[PATH_MAX], name[PATH_MAX];
	const struct ic_copy_params params = {
		.file = file,
		.directory = directory,
		.name = name,
		.overwrite = json_is_true(json_object_get(json, "force")),
		.create_directory = json_is_true(json_object_get(json, "parents")),
	};
	int ret = absolute_path(file, json, e);

	if (!ret)
		ret = split(path, directory, name, file, e);
	if (ret)
		return ret;
	return ic_copy_start(&vm->ic.copy, &vm->control, &vm->ic.services[VM_IC_COPY].device.vsp,
		&params, copied, w, e);
}

int command_copy(struct vm *vm, struct ctl_request *request, const json_t *json, struct err *e)
{
	struct copy_wait *w;
	int ret;

	if (vm->ic.copy)
		return err_set(e, -EBUSY, "copy: another file is being copied");
	w = malloc(sizeof(*w));
	if (!w)
		return err_set(e, -ENOMEM, "copy: out of memory");
	*w = (struct copy_wait){vm, request};
	ret = start_copy(vm, json, w, e);
	if (ret)
		free(w);
	return ret;
}
