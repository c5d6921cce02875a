/* SPDX-License-Identifier: MIT */
#include "vm/save.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/archive.h"
#include "base/blocking.h"
#include "base/log.h"
#include "save/image.h"
#include "vm/vm_impl.h"

/* A device that completes a call of the bus needs a turn or two of its thread. */
#define SETTLE_NS    1000000ull
#define SETTLE_TURNS 10000u

struct vm_save {
	struct vm *vm;
	char *path;
	struct save_options options;
	bool ran; /* before it was paused for this */
	void (*done)(void *ctx, const struct err *e);
	void *ctx;
	struct loop_timer settle;
	uint32_t turns;
	char *config;
	struct archive state;
	struct image_content content;
	struct blocking_call write;
	int result;
	struct err why;
};

/* ---- the end ------------------------------------------------------------- */

static void save_free(struct vm_save *s)
{
	loop_timer_cancel(&s->settle);
	archive_fini(&s->state);
	free(s->config);
	free(s->path);
	free(s);
}

/* The answer is on its way before the VM can end. */
static void finish(struct vm_save *s)
{
	struct vm *vm = s->vm;
	struct vm_save was = *s;
	bool go_on = was.ran && (was.result || was.options.keep);

	vm->save = NULL;
	if (!was.result)
		log_event(LOG_INFO, "saved to %s", was.path);
	was.done(was.ctx, was.result ? &was.why : NULL);
	save_free(s);
	vm_handle(vm, VM_SAVE_ENDED);
	if (vm->stop_status >= 0)
		vm_handle(vm, VM_STOP);
	else if (vm->ended_saving)
		vm_handle(vm, VM_GUEST_ENDED);
	else if (!was.result && !was.options.keep)
		vm_stop(vm, EXIT_POWER_OFF);
	else if (go_on)
		vm_handle(vm, VM_RESUME);
}

static void fail(struct vm_save *s, int error, const char *text)
{
	s->result = err_set(&s->why, error, "save: %s", text);
	finish(s);
}

/* ---- the image ----------------------------------------------------------- */

static void write_run(struct blocking_call *call)
{
	struct vm_save *s = container_of(call, struct vm_save, write);

	s->result = image_write(s->path, &s->content, &s->why);
}

static void write_done(struct blocking_call *call)
{
	finish(container_of(call, struct vm_save, write));
}

static void write_image(struct vm_save *s)
{
	static struct image_section sections[2];
	int ret;

	sections[0] = (struct image_section){"config", s->config, strlen(s->config)};
	sections[1] = (struct image_section){"state", s->state.bytes, s->state.size};
	s->content.sections = sections;
	s->content.section_count = 2;
	s->content.gmem = partition_gmem(s->vm->partition);
	s->content.raw = s->options.raw;
	s->write.run = write_run;
	s->write.done = write_done;
	ret = blocking_start(&s->write, &s->vm->control);
	if (ret)
		fail(s, ret, "no thread can be created");
}

static void flushed(void *ctx, const struct err *e)
{
	struct vm_save *s = ctx;

	if (atomic_load(&s->content.cancelled))
		fail(s, -ECANCELED, "the VM ended or was stopped meanwhile");
	else if (e)
		fail(s, -EIO, e->text);
	else
		write_image(s);
}

/* ---- the state ----------------------------------------------------------- */

static int archive_units(struct vm *vm, struct archive *a, struct err *e)
{
	int ret = 0;

	for (uint32_t i = 0; vm->units[i] && !ret; i++)
		if (vm->units[i]->archive)
			ret = vm->units[i]->archive(vm, a, e);
	if (ret)
		return ret;
	bus_archive(vm->bus->bus, a);
	return archive_error(a, e);
}

static char *config_text(struct vm *vm, struct err *e)
{
	struct vm_config now = *vm->options;
	struct disk_config disks[VM_DISKS_MAX];
	struct nic_config nics[VM_NICS_MAX];
	char macs[VM_NICS_MAX][NIC_MAC_TEXT];
	json_t *json;
	char *text;

	if (storage_configs(&vm->storage, disks, VM_DISKS_MAX, &now.disk_count)) {
		err_set(e, -E2BIG, "save: more than %u disks", VM_DISKS_MAX);
		return NULL;
	}
	now.disks = disks;
	now.nics = nics;
	now.nic_count = network_configs(&vm->network, nics, macs);
	json = vm_config_image_json(&now, e);
	if (!json)
		return NULL;
	text = json_dumps(json, JSON_INDENT(1));
	json_decref(json);
	if (!text)
		err_set(e, -ENOMEM, "save: out of memory");
	return text;
}

static void collect(struct vm_save *s)
{
	struct err e;

	archive_write(&s->state);
	if (archive_units(s->vm, &s->state, &e)) {
		fail(s, -EINVAL, e.text);
		return;
	}
	s->config = config_text(s->vm, &e);
	if (!s->config) {
		s->result = -EINVAL;
		s->why = e;
		finish(s);
		return;
	}
	storage_flush(&s->vm->storage, flushed, s);
}

static void settle(struct loop_timer *timer)
{
	struct vm_save *s = container_of(timer, struct vm_save, settle);

	if (atomic_load(&s->content.cancelled))
		fail(s, -ECANCELED, "the VM ended or was stopped meanwhile");
	else if (bus_is_at_rest(s->vm->bus->bus))
		collect(s);
	else if (s->turns++ == SETTLE_TURNS)
		fail(s, -ETIMEDOUT, "a device does not complete a request of the guest");
	else
		loop_timer_start(&s->vm->control, &s->settle, SETTLE_NS, settle);
}

/* ---- the beginning ------------------------------------------------------- */

static void begin(struct vm_save *s)
{
	s->vm->ended_saving = false;
	vm_handle(s->vm, VM_SAVE);
	settle(&s->settle);
}

static void paused(void *ctx, const struct err *e)
{
	struct vm_save *s = ctx;

	if (!e) {
		begin(s);
		return;
	}
	s->vm->save = NULL;
	s->done(s->ctx, e);
	save_free(s);
}

static struct vm_save *save_new(struct vm *vm, const char *path, struct err *e)
{
	struct vm_save *s;

	err_set(e, -EBUSY, "save: the VM is being saved");
	if (vm->save)
		return NULL;
	err_set(e, -EOPNOTSUPP, "save: a VM with dynamic memory cannot be saved");
	if (vm->options->memory.dynamic)
		return NULL;
	err_set(e, -ENOMEM, "save: out of memory");
	s = calloc(1, sizeof(*s));
	if (s)
		s->path = strdup(path);
	if (s && s->path)
		return s;
	free(s);
	return NULL;
}

void vm_save(struct vm *vm, const char *path, const struct save_options *options,
	void (*done)(void *ctx, const struct err *e), void *ctx)
{
	struct vm_save *s;
	struct err e;

	ON_CONTROL(vm);
	s = save_new(vm, path, &e);
	if (!s) {
		done(ctx, &e);
		return;
	}
	s->vm = vm;
	s->options = *options;
	s->done = done;
	s->ctx = ctx;
	s->ran = vm->state == VM_RUNNING;
	vm->save = s;
	if (s->ran)
		vm_pause(vm, paused, s);
	else
		begin(s);
}

void vm_save_cancel(struct vm *vm)
{
	ON_CONTROL(vm);
	if (vm->save)
		atomic_store(&vm->save->content.cancelled, true);
}

void vm_save_close(struct vm *vm)
{
	if (vm->save && vm->save->write.state == BLOCKING_IDLE)
		save_free(vm->save);
	vm->save = NULL;
}

bool vm_save_progress(const struct vm *vm, uint64_t *done, uint64_t *size)
{
	const struct gmem *g;

	if (!vm->save || !vm->partition)
		return false;
	g = partition_gmem(vm->partition);
	*done = atomic_load(&vm->save->content.done);
	*size = g->low_size + g->high_size;
	return true;
}

void vm_save_inspect(const struct vm *vm, struct inspect *i)
{
	uint64_t done, size;

	if (!vm_save_progress(vm, &done, &size))
		return;
	inspect_begin(i, "save");
	inspect_text(i, "file", vm->save->path);
	inspect_u64(i, "memory_done", done);
	inspect_u64(i, "memory_size", size);
	inspect_end(i);
}

/* ---- restoring ----------------------------------------------------------- */

static int make_memory(struct vm *vm, struct gmem *memory, struct err *e)
{
	const struct vm_config *o = vm->options;
	int ret;

	if (image_is_raw(vm->image) && o->memory_kind == VM_MEMORY_ANONYMOUS &&
		!o->pin_memory) /* pinning would copy all of it */
		return image_map(vm->image, memory, e);
	ret = o->memory_kind == VM_MEMORY_SHARED ? gmem_create_shared(memory, o->memory.size, e)
						 : gmem_create(memory, o->memory.size, e);
	if (ret)
		return ret;
	ret = image_load(vm->image, memory, e);
	if (ret)
		gmem_destroy(memory);
	return ret;
}

int vm_restore_open(struct vm *vm, struct gmem *memory, struct err *e)
{
	const char *path = vm->options->restore;
	const void *state;
	size_t size;
	struct err why;

	ON_CONTROL(vm);
	if (image_open(&vm->image, path, &why))
		return err_set(e, -EINVAL, "restore: %.480s", why.text);
	state = image_section(vm->image, "state", &size);
	if (!state)
		return err_set(e, -EINVAL, "restore: %s: the image has no state", path);
	if (vm->options->memory.dynamic)
		return err_set(e, -EINVAL,
			"restore: %s: a saved VM has no dynamic memory; leave max, min and buffer out",
			path);
	if (image_memory_size(vm->image) != vm->options->memory.size)
		return err_set(e, -EINVAL, "restore: %s: the image is of a VM with %llu MiB", path,
			(unsigned long long)(image_memory_size(vm->image) >> 20));
	if (make_memory(vm, memory, &why))
		return err_set(e, -EINVAL, "restore: %.480s", why.text);
	archive_read(&vm->restore, state, size);
	return 0;
}

int vm_restore_state(struct vm *vm, struct err *e)
{
	struct err why;

	ON_CONTROL(vm);
	if (!archive_units(vm, &vm->restore, &why)) {
		archive_finish(&vm->restore);
		if (!archive_error(&vm->restore, &why))
			return 0;
	}
	return err_set(e, -EINVAL, "restore: %s: %.400s", vm->options->restore, why.text);
}

int vm_restore_check(struct vm *vm, struct err *e)
{
	ON_CONTROL(vm);
	if (!vm->vsp_host.restore_failed)
		return 0;
	return err_set(e, -EINVAL, "restore: %s: a channel of the guest cannot be opened again",
		vm->options->restore);
}

void vm_restore_close(struct vm *vm)
{
	if (vm->image)
		image_close(vm->image);
	vm->image = NULL;
}
