/* SPDX-License-Identifier: MIT */
/* From configuration and requests to the names in them. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file_replace.h"
#include "confine/grants.h"
#include "hyper/kvm/partition.h"
#include "nic/user/user_impl.h"

#define MAY_OUTPUT (MAY_WRITE | MAY_CREATE | MAY_LOOK)

/* ---- devices ------------------------------------------------------------- */

/* All file names of a source or filter. */
static int add_files(const struct grant_to *to, const struct schema_value *value, unsigned may)
{
	int ret = 0;

	for (const struct schema_key *key = schema_keys(value->schema); !ret && key->name; key++) {
		const char *const *name = schema_field_const(key, value->object);

		if (key->type == &schema_file && *name)
			ret = grants_add_text(to, GRANT_FILE, may, *name);
	}
	return ret;
}

static int add_filters(const struct grant_to *to, const struct device_config *d)
{
	int ret = 0;

	for (uint32_t i = 0; !ret && i < d->filter_count; i++)
		ret = add_files(to, &d->filters[i], MAY_OUTPUT);
	return ret;
}

static int add_nbd(const struct grant_to *to, const struct schema_value *source)
{
	char *uri;
	int ret = schema_get(&source->schema->keys[0], source->object, &uri);

	if (!ret && uri)
		ret = grants_add_text(to, GRANT_NBD, 0, uri);
	free(uri);
	return ret;
}

static int add_disk(const struct grant_to *to, const struct disk_config *d)
{
	const struct schema_value *source = &d->device.source;
	int ret;

	if (!strcmp(source->schema->name, "nbd"))
		ret = add_nbd(to, source);
	else
		ret = add_files(to, source,
			MAY_READ | MAY_LOOK | MAY_RESOLVE | (d->read_only ? 0 : MAY_WRITE));
	return ret ? ret : add_filters(to, &d->device);
}

/* passt's arguments, as the worker will ask for them. */
static int add_user(const struct grant_to *to, const struct nic_stack *s)
{
	const struct nic_env env = {0};
	const struct nic_open o = {
		.env = &env, .settings = s->settings, .setting_count = s->setting_count};
	struct user_command command = {.argc = 0};
	struct broker_request *q = malloc(sizeof(*q));
	struct err e;
	int ret = q ? user_command_make(&command, &o, &e) : -ENOMEM;

	if (!ret) {
		broker_request_init(q, BROKER_SPAWN, 0, 0);
		for (uint32_t i = 0; !ret && i < command.argc; i++)
			ret = broker_request_add(q, command.argv[i]);
		if (!ret)
			ret = grants_add(to, GRANT_SPAWN, 0, q->text, q->length);
		if (!ret)
			ret = grants_add_text(to, GRANT_FILE, MAY_LOOK, command.argv[0]);
		user_command_free(&command);
	}
	free(q);
	return ret;
}

static int add_pair(const struct grant_to *to, const char *path)
{
	char *name;
	int ret = grants_add_text(
		to, GRANT_SOCKET, MAY_CONNECT | MAY_LISTEN | MAY_REMOVE | MAY_OPEN_AGAIN, path);

	if (ret || asprintf(&name, "%s.lock", path) < 0)
		return -ENOMEM;
	ret = grants_add_text(to, GRANT_FILE, MAY_READ | MAY_WRITE | MAY_CREATE, name);
	free(name);
	return ret;
}

static int add_tap(const struct grant_to *to, const char *name)
{
	int ret = grants_add_text(to, GRANT_TAP, 0, name);

	return ret ? ret : grants_add_text(to, GRANT_TAP_WATCH, 0, "");
}

/* Descriptors are there; the name is only compared. */
static int add_fd(const struct grant_to *to, const char *numbers)
{
	int ret = grants_add_text(to, GRANT_FD, 0, numbers);

	return ret ? ret : grants_add_text(to, GRANT_TAP_WATCH, 0, "");
}

static int add_back_end(const struct grant_to *to, const struct nic_stack *s)
{
	if (!strcmp(s->type->name, "tap"))
		return add_tap(to, s->argument);
	if (!strcmp(s->type->name, "fd"))
		return add_fd(to, s->argument);
	if (!strcmp(s->type->name, "user"))
		return add_user(to, s);
	return strcmp(s->type->name, "pair") ? 0 : add_pair(to, s->argument);
}

static int add_nic(const struct grant_to *to, const struct nic_config *n)
{
	struct nic_config_stack s;
	struct err e;
	int ret = nic_config_stack(&s, n, &e);

	if (ret)
		return ret == -ENOMEM ? ret : 0; /* the worker says what is wrong */
	ret = add_back_end(to, &s.stack);
	nic_config_stack_free(&s);
	return ret ? ret : add_filters(to, &n->device);
}

/* ---- the VM -------------------------------------------------------------- */

static int add_vsock(const struct grant_to *to, const char *path)
{
	int ret = grants_add_text(to, GRANT_SOCKET, MAY_LISTEN | MAY_REMOVE, path);

	return ret ? ret : grants_add_text(to, GRANT_SERVICES, MAY_CONNECT, path);
}

static int add_vm(const struct grant_to *to, const struct vm_config *c)
{
	int ret = grants_add_text(
		to, GRANT_FILE, MAY_READ | MAY_WRITE | MAY_OPEN_AGAIN, PARTITION_KVM_PATH);

	if (!ret)
		ret = grants_add_text(to, GRANT_FILE, MAY_READ, c->kernel);
	if (!ret && c->initrd)
		ret = grants_add_text(to, GRANT_FILE, MAY_READ, c->initrd);
	if (!ret && strcmp(c->console, "stdio") && strcmp(c->console, "none"))
		ret = grants_add_text(to, GRANT_FILE, MAY_OUTPUT, c->console);
	if (!ret && c->restore)
		ret = grants_add_text(to, GRANT_FILE, MAY_READ, c->restore);
	if (!ret && c->vsock)
		ret = add_vsock(to, c->vsock);
	return ret;
}

int grants_add_config(const struct grant_to *to, const struct vm_config *c)
{
	int ret = add_vm(to, c);

	for (uint32_t i = 0; !ret && i < c->disk_count; i++)
		ret = add_disk(to, &c->disks[i]);
	for (uint32_t i = 0; !ret && i < c->nic_count; i++)
		ret = add_nic(to, &c->nics[i]);
	return ret;
}

/* ---- requests ------------------------------------------------------------ */

static const char *text_of(const json_t *request, const char *key)
{
	return json_string_value(json_object_get(request, key));
}

/* NAME, and DIRECTORY/NAME: as a text is understood depends on which of them is there. */
static void add_both(
	const struct grant_to *to, const char *directory, const char *name, unsigned may)
{
	char path[PATH_MAX];

	grants_add_text(to, GRANT_FILE, may, name);
	if (directory && snprintf(path, sizeof(path), "%s/%s", directory, name) < PATH_MAX)
		grants_add_text(to, GRANT_FILE, may, path);
}

static void add_disk_request(const struct grant_to *to, const json_t *request)
{
	const char *directory = text_of(request, "directory"), *text = text_of(request, "spec");
	const json_t *spec = json_object_get(request, "spec");
	struct disk_config d;
	struct err e;

	if (text)
		add_both(to, directory, text, MAY_LOOK);
	if (text ? disk_config_parse(&d, text, directory, &e)
		 : disk_config_from_json(&d, spec, directory, &e))
		return;
	add_disk(to, &d);
	add_disk(&(struct grant_to){&grants_named, to->request}, &d);
	disk_config_free(&d);
}

static void add_nic_request(const struct grant_to *to, const json_t *request)
{
	const char *directory = text_of(request, "directory"), *text = text_of(request, "spec");
	const json_t *spec = json_object_get(request, "spec");
	struct nic_config n;
	struct err e;

	if (text)
		add_both(to, directory, text, MAY_LOOK);
	if (text ? nic_config_parse(&n, text, directory, &e)
		 : nic_config_from_json(&n, spec, directory, &e))
		return;
	add_nic(to, &n);
	add_nic(&(struct grant_to){&grants_named, to->request}, &n);
	nic_config_free(&n);
}

/* The file of a request, as the worker will name it. False: none, or the name is too long. */
static bool file_of(const json_t *request, char path[PATH_MAX])
{
	const char *directory = text_of(request, "directory"), *file = text_of(request, "file");
	int length = -1;

	if (file && *file == '/')
		length = snprintf(path, PATH_MAX, "%s", file);
	else if (file && directory)
		length = snprintf(path, PATH_MAX, "%s/%s", directory, file);
	return length >= 0 && length < PATH_MAX;
}

static void add_copy_request(const struct grant_to *to, const json_t *request)
{
	char path[PATH_MAX];

	if (file_of(request, path))
		grants_add_text(to, GRANT_FILE, MAY_READ, path);
}

/* An image: written under another name, then renamed; the directory is synchronised. */
static void add_save_request(const struct grant_to *to, const json_t *request)
{
	char path[PATH_MAX], name[PATH_MAX + sizeof(FILE_REPLACE_SUFFIX)];

	if (!file_of(request, path))
		return;
	snprintf(name, sizeof(name), "%s" FILE_REPLACE_SUFFIX, path);
	grants_add_text(to, GRANT_FILE, MAY_READ, path); /* what is there */
	grants_add_text(to, GRANT_FILE, MAY_READ, name);
	grants_add_text(to, GRANT_FILE, MAY_LOOK, name); /* whether it has its name still */
	grants_add_text(to, GRANT_FILE, MAY_REMOVE, path);
	grants_add_text(to, GRANT_FILE, MAY_READ | MAY_WRITE | MAY_CREATE | MAY_REMOVE, name);
	strrchr(path, '/')[1] = '\0';
	grants_add_text(to, GRANT_FILE, MAY_SYNC, path);
}

void grants_add_request(const json_t *request, uint64_t number)
{
	static const struct {
		const char *command;
		void (*add)(const struct grant_to *to, const json_t *request);
	} commands[] = {
		{"disk add", add_disk_request},
		{"nic add", add_nic_request},
		{"copy", add_copy_request},
		{"save", add_save_request},
	};
	const char *command = text_of(request, "command");
	const struct grant_to to = {.list = &grants, .request = number};

	for (size_t i = 0; command && i < sizeof(commands) / sizeof(commands[0]); i++)
		if (!strcmp(command, commands[i].command))
			commands[i].add(&to, request);
}
