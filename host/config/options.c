/* SPDX-License-Identifier: MIT */
#include "config/options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/parse.h"
#include "hyper/hv/hv.h"
#include "mgmt/ctl.h"

#define MIB            (1ull << 20)
#define MEMORY_DEFAULT (512 * MIB)
#define MEMORY_MAX     (512ull << 30)
#define LUN_MAX        63
#define CONTROLLER_MAX (OPTIONS_CONTROLLERS_MAX - 1)
#define POLL_MAX_US    10000u

const char options_help[] =
	"usage: enlite run --kernel FILE [options]\n"
	"\n"
	"Boots a kernel in a partition that speaks the Hyper-V guest interface and VMBus.\n"
	"\n"
	"  --kernel FILE        Linux bzImage or ELF vmlinux, or a multiboot-v1 ELF32 image\n"
	"  --initrd FILE        initial RAM disk\n"
	"  --append STRING      kernel command line\n"
	"  --cpus N             virtual processors, 1 to 64 (default 1)\n"
	"  --memory SIZE        guest memory with suffix K, M or G (default 512M)\n"
	"  --disk SPEC          a disk on a SCSI controller; may be repeated. SPEC is SOURCE[,ro]\n"
	"                       [,direct][,controller=N][,lun=N][,serial=S][,cdrom][,FILTER]...;\n"
	"                       controllers are 0 (default) to 3. SOURCE:\n"
	"                       FILE, memory:SIZE, null:SIZE, nbd://HOST[:PORT][/EXPORT],\n"
	"                       nbd+unix:///[EXPORT]?socket=PATH. FILTER, for tests:\n"
	"                       delay=5ms|1-20ms[:OP], error=1%|1/N[:OP][:EIO|ENOSPC],\n"
	"                       iops=N[:BURST], bps=SIZE[:BURST], log=FILE, volatile[=SEED];\n"
	"                       OP is read, write or flush\n"
	"  --cdrom SPEC         the same as --disk SPEC,cdrom: a DVD-ROM drive with this image in it\n"
	"  --console WHERE      COM1: stdio (default), none, or a file to write to\n"
	"  --name NAME          name of the partition; opens a control socket for `enlite ctl`\n"
	"  --io-threads N       I/O threads for channels (default: one, two from 4 host CPUs)\n"
	"  --poll WHEN          how long an I/O thread looks for work before it sleeps: auto (default;\n"
	"                       adapts, off without a spare host CPU), off, or microseconds\n"
	"  --no-reboot          a guest reset ends the partition instead of restarting it\n"
	"  --on-crash WHAT      exit (default) or continue (lets kdump run) after a guest\n"
	"                       reported its crash\n"
	"  --pin-memory         keep all guest memory resident and registered for disk I/O\n"
	"  --stimer             offer synthetic timers\n"
	"  --test-device        offer the debug-exit port and the SynIC test device\n"
	"  --verbose            say more\n"
	"  --help\n"
	"\n"
	"Of an option given twice the last one counts, except for --disk and --cdrom.\n"
	"On a stdio console Ctrl-A x ends the partition and Ctrl-A Ctrl-A sends one Ctrl-A.\n"
	"Exit status: 0 power off, 1 error, 2 bad usage, 32 reset (--no-reboot), 33 triple\n"
	"fault, 34 guest crash, 35 a VP could not run, 129/130/143 SIGHUP/SIGINT/SIGTERM; the\n"
	"debug-exit port gives its own.\n";

enum {
	OPT_KERNEL = 256,
	OPT_INITRD,
	OPT_APPEND,
	OPT_CPUS,
	OPT_MEMORY,
	OPT_DISK,
	OPT_CDROM,
	OPT_CONSOLE,
	OPT_NAME,
	OPT_IO_THREADS,
	OPT_POLL,
	OPT_NO_REBOOT,
	OPT_ON_CRASH,
	OPT_PIN_MEMORY,
	OPT_STIMER,
	OPT_TEST_DEVICE,
	OPT_VERBOSE,
	OPT_HELP,
};

static const struct option long_options[] = {
	{"kernel", required_argument, NULL, OPT_KERNEL},
	{"initrd", required_argument, NULL, OPT_INITRD},
	{"append", required_argument, NULL, OPT_APPEND},
	{"cpus", required_argument, NULL, OPT_CPUS},
	{"memory", required_argument, NULL, OPT_MEMORY},
	{"disk", required_argument, NULL, OPT_DISK},
	{"cdrom", required_argument, NULL, OPT_CDROM},
	{"console", required_argument, NULL, OPT_CONSOLE},
	{"name", required_argument, NULL, OPT_NAME},
	{"io-threads", required_argument, NULL, OPT_IO_THREADS},
	{"poll", required_argument, NULL, OPT_POLL},
	{"no-reboot", no_argument, NULL, OPT_NO_REBOOT},
	{"on-crash", required_argument, NULL, OPT_ON_CRASH},
	{"pin-memory", no_argument, NULL, OPT_PIN_MEMORY},
	{"stimer", no_argument, NULL, OPT_STIMER},
	{"test-device", no_argument, NULL, OPT_TEST_DEVICE},
	{"verbose", no_argument, NULL, OPT_VERBOSE},
	{"help", no_argument, NULL, OPT_HELP},
	{0},
};

/* ---- values -------------------------------------------------------------- */

static int parse_count(const char *text, uint32_t min, uint32_t max, uint32_t *value)
{
	uint64_t number;

	if (parse_number(text, min, max, &number))
		return -EINVAL;
	*value = (uint32_t)number;
	return 0;
}

static int parse_memory(struct run_options *o, const char *text, struct err *e)
{
	if (parse_size(text, &o->memory))
		return err_set(e, -EINVAL, "--memory %s: not a size; write for example 512M", text);
	if (o->memory == 0 || o->memory % MIB)
		return err_set(e, -EINVAL, "--memory %s: must be a positive number of MiB", text);
	if (o->memory > MEMORY_MAX)
		return err_set(e, -EINVAL, "--memory %s: at most 512G", text);
	return 0;
}

/* ---- disks --------------------------------------------------------------- */

static int parse_serial(struct disk_option *d, const char *text, struct err *e)
{
	size_t len = strlen(text);

	if (len == 0 || len > OPTIONS_SERIAL_MAX)
		return err_set(e, -EINVAL, "--disk: serial=%s: 1 to %u characters", text,
			OPTIONS_SERIAL_MAX);
	for (size_t i = 0; i < len; i++)
		if (text[i] < 0x21 || text[i] > 0x7E)
			return err_set(e, -EINVAL, "--disk: serial must be printable ASCII");
	memcpy(d->serial, text, len + 1);
	return 0;
}

static int parse_disk_flag(struct disk_option *d, char *flag, struct err *e)
{
	uint32_t lun;

	if (!strcmp(flag, "ro")) {
		d->read_only = true;
	} else if (!strcmp(flag, "direct")) {
		d->direct = true;
	} else if (!strcmp(flag, "cdrom")) {
		d->cdrom = true;
	} else if (!strncmp(flag, "controller=", 11)) {
		if (parse_count(flag + 11, 0, CONTROLLER_MAX, &d->controller))
			return err_set(e, -EINVAL, "--disk: %s: controllers go from 0 to %u", flag,
				CONTROLLER_MAX);
	} else if (!strncmp(flag, "lun=", 4)) {
		if (parse_count(flag + 4, 0, LUN_MAX, &lun))
			return err_set(
				e, -EINVAL, "--disk: %s: LUNs go from 0 to %d", flag, LUN_MAX);
		d->lun = (int)lun;
	} else if (!strncmp(flag, "serial=", 7)) {
		return parse_serial(d, flag + 7, e);
	} else {
		int ret = disk_spec_filter(&d->spec, flag, e);

		if (ret > 0)
			return err_set(e, -EINVAL,
				"--disk: unknown flag '%s'; known are ro, direct, controller=N, lun=N, serial=S, cdrom, %s",
				flag, disk_spec_filters_help);
		return ret;
	}
	return 0;
}

/* Flags that their source cannot follow. */
static int check_disk(const struct disk_option *d, const char *source, struct err *e)
{
	bool stored = d->spec.kind == DISK_SPEC_FILE || d->spec.kind == DISK_SPEC_NBD;

	if (d->cdrom && !stored)
		return err_set(e, -EINVAL,
			"--disk %s: a DVD-ROM drive needs a file or an NBD export", source);
	if (d->read_only && !stored)
		return err_set(
			e, -EINVAL, "--disk %s: cannot be read-only; leave \"ro\" out", source);
	if (d->direct && d->spec.kind != DISK_SPEC_FILE)
		return err_set(e, -EINVAL,
			"--disk %s: cannot be direct, as files can; leave \"direct\" out", source);
	return 0;
}

/* The parsers below all call it --disk. */
static void rename_option(struct err *e, const char *option)
{
	static const char known[] = "--disk";
	struct err said = *e;

	if (!strncmp(said.text, known, strlen(known)))
		snprintf(e->text, sizeof(e->text), "%s%s", option, said.text + strlen(known));
}

int options_parse_disk(struct disk_option *d, const char *option, char *text, struct err *e)
{
	char *flags = text, *flag;
	int ret;

	*d = (struct disk_option){.source = text, .lun = -1};
	ret = disk_spec_source(&d->spec, strsep(&flags, ","), e);
	while (!ret && (flag = strsep(&flags, ",")))
		ret = parse_disk_flag(d, flag, e);
	if (!ret)
		ret = check_disk(d, text, e);
	if (ret)
		rename_option(e, option);
	return ret;
}

/* The next one, or NULL when there are too many. */
static struct disk_option *next_disk(struct run_options *o, const char *option, struct err *e)
{
	if (o->disk_count < OPTIONS_DISKS_MAX)
		return &o->disk[o->disk_count++];
	err_set(e, -EINVAL, "%s: at most %u disks", option, OPTIONS_DISKS_MAX);
	return NULL;
}

static int parse_disk(struct run_options *o, char *text, struct err *e)
{
	struct disk_option *d = next_disk(o, "--disk", e);

	return d ? options_parse_disk(d, "--disk", text, e) : -EINVAL;
}

static bool is_address(const char *flag)
{
	return !strncmp(flag, "controller=", 11) || !strncmp(flag, "lun=", 4);
}

/* A file name in which commas mean nothing, but for an address at its end. */
static int parse_cdrom(struct run_options *o, char *path, struct err *e)
{
	struct disk_option *d = next_disk(o, "--cdrom", e);
	char *comma;

	if (!d)
		return -EINVAL;
	*d = (struct disk_option){
		.source = path,
		.spec = {.kind = DISK_SPEC_FILE, .name = path},
		.read_only = true,
		.cdrom = true,
		.lun = -1,
	};
	while ((comma = strrchr(path, ',')) && is_address(comma + 1)) {
		if (parse_disk_flag(d, comma + 1, e)) {
			rename_option(e, "--cdrom");
			return -EINVAL;
		}
		*comma = '\0';
	}
	if (!*path)
		return err_set(e, -EINVAL, "--cdrom needs a file name");
	return 0;
}

/* Explicit LUNs first, then the lowest free ones in order. */
static int assign_luns(struct run_options *o, struct err *e)
{
	uint64_t used[OPTIONS_CONTROLLERS_MAX] = {0};

	for (uint32_t i = 0; i < o->disk_count; i++) {
		uint64_t *taken = &used[o->disk[i].controller];
		int lun = o->disk[i].lun;

		if (lun >= 0 && *taken >> lun & 1)
			return err_set(e, -EINVAL,
				"--disk: two disks on LUN %d; give each its own lun=", lun);
		if (lun >= 0)
			*taken |= 1ull << lun;
	}
	for (uint32_t i = 0; i < o->disk_count; i++) {
		uint64_t *taken = &used[o->disk[i].controller];

		if (o->disk[i].lun >= 0)
			continue;
		o->disk[i].lun = __builtin_ctzll(~*taken); /* there are as many as disks */
		*taken |= 1ull << o->disk[i].lun;
	}
	return 0;
}

/* ---- options ------------------------------------------------------------- */

static int parse_poll(struct run_options *o, const char *text, struct err *e)
{
	uint32_t us = 0;

	if (!strcmp(text, "auto")) {
		o->poll_us = -1;
		return 0;
	}
	if (strcmp(text, "off") && parse_count(text, 1, POLL_MAX_US, &us))
		return err_set(e, -EINVAL, "--poll %s: auto, off, or 1 to %u microseconds", text,
			POLL_MAX_US);
	o->poll_us = us;
	return 0;
}

static int parse_on_crash(struct run_options *o, const char *text, struct err *e)
{
	if (strcmp(text, "exit") && strcmp(text, "continue"))
		return err_set(e, -EINVAL, "--on-crash %s: exit or continue", text);
	o->continue_on_crash = !strcmp(text, "continue");
	return 0;
}

static int parse_name(struct run_options *o, const char *text, struct err *e)
{
	o->name = text;
	return ctl_check_name(text, e);
}

static int parse_file(const char **path, const char *option, const char *text, struct err *e)
{
	if (!*text)
		return err_set(e, -EINVAL, "%s: the file name is empty", option);
	*path = text;
	return 0;
}

static int apply(struct run_options *o, int option, char *value, struct err *e)
{
	switch (option) {
	case OPT_KERNEL:
		return parse_file(&o->kernel, "--kernel", value, e);
	case OPT_INITRD:
		return parse_file(&o->initrd, "--initrd", value, e);
	case OPT_APPEND:
		o->append = value;
		return 0;
	case OPT_CPUS:
		if (parse_count(value, 1, HV_VPS_MAX, &o->cpus))
			return err_set(e, -EINVAL, "--cpus %s: from 1 to %u", value, HV_VPS_MAX);
		return 0;
	case OPT_MEMORY:
		return parse_memory(o, value, e);
	case OPT_DISK:
		return parse_disk(o, value, e);
	case OPT_CDROM:
		return parse_cdrom(o, value, e);
	case OPT_CONSOLE:
		return parse_file(&o->console, "--console", value, e);
	case OPT_NAME:
		return parse_name(o, value, e);
	case OPT_IO_THREADS:
		if (parse_count(value, 1, 64, &o->io_threads))
			return err_set(e, -EINVAL, "--io-threads %s: from 1 to 64", value);
		return 0;
	case OPT_POLL:
		return parse_poll(o, value, e);
	case OPT_NO_REBOOT:
		o->reboot = false;
		return 0;
	case OPT_ON_CRASH:
		return parse_on_crash(o, value, e);
	case OPT_PIN_MEMORY:
		o->pin_memory = true;
		return 0;
	case OPT_STIMER:
		o->stimer = true;
		return 0;
	case OPT_TEST_DEVICE:
		o->test_device = true;
		return 0;
	default: /* OPT_VERBOSE */
		o->verbose = true;
		return 0;
	}
}

/* getopt tells what is wrong through `code` and optopt, and not always where: it stays on a group
 * of short options until all are taken. */
static int bad_option(int code, char **argv, struct err *e)
{
	const char *option = argv[optind - 1];

	if (code == ':')
		return err_set(
			e, -EINVAL, "option %s needs a value; see `enlite run --help`", option);
	if (optopt >= OPT_KERNEL)
		return err_set(
			e, -EINVAL, "option %s takes no value; see `enlite run --help`", option);
	if (optopt)
		return err_set(e, -EINVAL, "unknown option -%c; see `enlite run --help`", optopt);
	return err_set(e, -EINVAL, "unknown option %s; see `enlite run --help`", option);
}

int options_parse(struct run_options *o, int argc, char **argv, struct err *e)
{
	int option, ret;

	*o = (struct run_options){
		.append = "",
		.cpus = 1,
		.memory = MEMORY_DEFAULT,
		.console = "stdio",
		.reboot = true,
		.poll_us = -1,
	};
	optind = 0; /* glibc: start anew, also within a group of short options */
	while ((option = getopt_long(argc, argv, ":", long_options, NULL)) != -1) {
		if (option == OPT_HELP) {
			fputs(options_help, stdout);
			return 1;
		}
		if (option == '?' || option == ':')
			return bad_option(option, argv, e);
		ret = apply(o, option, optarg, e);
		if (ret)
			return ret;
	}
	if (optind < argc)
		return err_set(e, -EINVAL, "unexpected argument '%s'; see `enlite run --help`",
			argv[optind]);
	if (!o->kernel)
		return err_set(e, -EINVAL, "no --kernel given; see `enlite run --help`");
	return assign_luns(o, e);
}
