/* SPDX-License-Identifier: MIT */
#include "confine/confine.h"

#include <cap-ng.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/blocking.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/parse.h"
#include "base/proc_self.h"
#include "base/thread.h"
#include "confine/broker.h"
#include "confine/filter.h"
#include "confine/layers.h"
#include "disk/nbd/nbd_lib.h"
#include "display/server.h"

/* In the order in which they work: limits may be raised while we have the right to; name spaces
 * take capabilities; landlock takes no_new_privs. */
static const struct {
	const char *name;
	int (*enter)(const struct vm_config *config);
} layers[] = {
	{"limits", layer_limits},
	{"name spaces", layer_namespaces},
	{"no capabilities", layer_capabilities},
	{"no new privileges", layer_no_new_privileges},
	{"not dumpable", layer_not_dumpable},
	{"landlock", layer_landlock},
};

/* ---- what is needed later, and could not be had then --------------------- */

static bool uses_nbd(const struct vm_config *config)
{
	for (uint32_t i = 0; i < config->disk_count; i++)
		if (!strcmp(config->disks[i].device.source.schema->name, "nbd"))
			return true;
	return config->name; /* a disk may be added */
}

/* Libraries that are loaded on demand are files, and become code. */
static void load_libraries(const struct vm_config *config)
{
	struct err e;

	if (uses_nbd(config))
		nbd_lib_load(NBD_LIB_SONAME, &e); /* without it an NBD disk says so */
	json_object_seed(0);                      /* reads /dev/urandom */
}

/* ---- inherited descriptors ----------------------------------------------- */

/* "fd:3:4" names descriptors; every other back end has none. */
static bool names_fd(const struct nic_config *nic, int fd)
{
	const struct nic_backend_options *o = nic->device.source.object;
	const char *text = o->backend;

	if (strncmp(text, "fd:", 3))
		return false;
	for (text += 3; *text; text += *text == ':') {
		char *end;

		if (strtol(text, &end, 10) == fd)
			return true;
		text = end == text ? end + strlen(end) : end;
	}
	return false;
}

int confine_status_fd(void)
{
	const char *text = getenv("ENLITE_STATUS_FD");
	uint64_t fd;

	return text && !parse_number(text, STDERR_FILENO + 1, INT_MAX, &fd) ? (int)fd : -1;
}

static bool is_needed(const struct vm_config *config, int fd)
{
	if (fd == display_server_socket() || fd == confine_status_fd())
		return true;
	for (uint32_t i = 0; i < config->nic_count; i++)
		if (names_fd(&config->nics[i], fd))
			return true;
	return false;
}

/* What a shell or a service manager left open is not for the guest. */
static void close_inherited(const struct vm_config *config)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		int fd = atoi(entry->d_name);

		if (fd > STDERR_FILENO && fd != dirfd(dir) && !is_needed(config, fd))
			close(fd);
	}
	if (dir)
		closedir(dir);
}

/* ---- /proc --------------------------------------------------------------- */

/* Who opens pagemap as an administrator may read physical addresses there, for ever. */
static void hold_proc_self(void)
{
	bool admin;

	capng_get_caps_process();
	admin = capng_have_capability(CAPNG_EFFECTIVE, CAP_SYS_ADMIN);
	if (admin) {
		capng_update(CAPNG_DROP, CAPNG_EFFECTIVE, CAP_SYS_ADMIN);
		capng_apply(CAPNG_SELECT_CAPS);
	}
	proc_self_hold();
	if (admin) {
		capng_update(CAPNG_ADD, CAPNG_EFFECTIVE, CAP_SYS_ADMIN);
		capng_apply(CAPNG_SELECT_CAPS);
	}
}

/* ---- all of it ----------------------------------------------------------- */

/* Names what the machine lacks, with the reason. */
static void add_lack(struct err *lacks, const char *name, int error)
{
	size_t used = strlen(lacks->text);

	snprintf(lacks->text + used, sizeof(lacks->text) - used, "%s%s (%s)", used ? ", " : "",
		name, strerror(-error));
}

static void enter_layers(const struct vm_config *config, struct err *lacks)
{
	for (size_t i = 0; i < sizeof(layers) / sizeof(layers[0]); i++) {
		int ret = layers[i].enter(config);

		if (ret)
			add_lack(lacks, layers[i].name, ret);
	}
}

static int enter_filters(struct err *lacks)
{
	int ret = filter_process();

	if (ret) {
		add_lack(lacks, "seccomp", ret);
		return 0;
	}
	thread_set_narrow(filter_thread);
	return blocking_use_starter();
}

static int judge(const struct vm_config *config, const struct err *lacks, struct err *e)
{
	if (!lacks->text[0])
		return 0;
	if (config->sandbox == VM_SANDBOX_REQUIRE)
		return err_set(
			e, -ENOTSUP, "sandbox: require: not on this machine: %s", lacks->text);
	log_warn("sandbox: without what this machine does not allow: %s", lacks->text);
	return 0;
}

int confine(const struct vm_config *config, struct err *e)
{
	struct err lacks = {""};
	int ret;

	if (config->sandbox == VM_SANDBOX_OFF)
		return 0;
	close_inherited(config);
	ret = filters_make(e);
	if (!ret)
		ret = broker_start(config, e);
	if (ret)
		return ret;
	hold_proc_self();
	load_libraries(config);
	loop_restrict_rings();
	enter_layers(config, &lacks);
	ret = enter_filters(&lacks);
	if (ret)
		return err_set(e, ret, "sandbox: cannot start a thread: %s", strerror(-ret));
	return judge(config, &lacks, e);
}

void confine_end(void)
{
	broker_stop();
}
