/* SPDX-License-Identifier: MIT */
/* `enlite run`: this process becomes the worker process of one VM. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/log.h"
#include "cli/cmd.h"
#include "config/config.h"
#include "confine/confine.h"
#include "confine/viewer.h"
#include "display/png.h"
#include "display/server.h"
#include "vm/placement.h"
#include "vm/vm.h"

/* A VM with 64 VPs may need more than a thousand: one per VP and SINT in use, one per channel. */
static void raise_fd_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static void print_notes(const struct vm_config *config)
{
	for (uint32_t i = 0; i < config->disk_count; i++)
		if (config->disks[i].device.note)
			log_warn("%s: %s", config->disks[i].device.origin,
				config->disks[i].device.note);
}

/* Before this process is confined: it could not listen, or load libraries, afterwards. */
static int start_display(const struct vm_config *config, struct err *e)
{
	bool confined = config->sandbox != VM_SANDBOX_OFF;
	int ret = strcmp(config->display, "none") ? display_png_load(e) : 0;

	if (ret || strncmp(config->display, "vnc=", 4))
		return ret;
	return display_server_start(config->display + 4, confined ? confine_viewer : NULL, e);
}

static int run_vm(struct vm_config *config)
{
	static struct vm vm;
	struct err e = {""};
	int status;

	if (config->verbose)
		log_set_level(LOG_DEBUG);
	print_notes(config);
	raise_fd_limit();
	placement_choose(config, "/sys");
	if (start_display(config, &e) || confine(config, &e))
		status = EXIT_ERROR;
	else
		status = vm_run(&vm, config, &e);
	display_server_stop();
	confine_end();
	return e.text[0] ? cmd_fail(&e, status) : status;
}

/* For the manager, which may be another process than our parent by now. */
static int report_status(int status)
{
	int fd = confine_status_fd();

	if (fd >= 0 && dprintf(fd, "exit %d\n", status) < 0)
		log_error("the exit status cannot be written");
	return status;
}

int cmd_run(int argc, char **argv)
{
	struct vm_config config;
	struct err e = {""};
	int status = EXIT_SUCCESS, ret = cmd_configure(&config, argc, argv, &e);

	if (!ret)
		ret = vm_config_check(&config, &e);
	config.directory = getcwd(NULL, 0);
	config.status_fd = confine_status_fd();
	if (ret < 0)
		status = cmd_fail(&e, EXIT_USAGE);
	else if (!ret)
		status = run_vm(&config);
	vm_config_free(&config);
	return report_status(status);
}
