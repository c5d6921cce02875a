/* SPDX-License-Identifier: MIT */
/* The one table of what can be configured. A new key is one entry here and a field in config.h. */
#include <errno.h>
#include <string.h>

#include "base/budget.h"
#include "config/config_impl.h"
#include "display/server.h"
#include "hyper/hv/hv.h"
#include "mgmt/ctl.h"
#include "scsi/scsi.h"

#define TEXT_MAX    (64u << 10)
#define POLL_MAX_US 10000u
#define MIB         (1ull << 20)
/* Of a socket, with room for "_4294967295". */
#define VSOCK_PATH_LENGTH_MAX 96u
#define MEMORY_MAX            (512ull << 30)

static const char *const auto_word[] = {"auto", NULL};
static const char *const poll_words[] = {"auto", "off", NULL};
const char *const vm_memory_kinds[] = {
	[VM_MEMORY_ANONYMOUS] = "anonymous", [VM_MEMORY_SHARED] = "shared", NULL};
static const char *const sandbox_choices[] = {[VM_SANDBOX_OFF] = "off",
	[VM_SANDBOX_AUTO] = "auto",
	[VM_SANDBOX_REQUIRE] = "require",
	NULL};
static const char *const on_crash_choices[] = {
	[VM_ON_CRASH_EXIT] = "exit", [VM_ON_CRASH_CONTINUE] = "continue", NULL};
static const char *const restore_disks_choices[] = {
	[VM_RESTORE_DISKS_CHECK] = "check", [VM_RESTORE_DISKS_TRUST] = "trust", NULL};
static const char *const ic_choices[VM_IC_SERVICES + 1] = {
	[VM_IC_HEARTBEAT] = "heartbeat",
	[VM_IC_SHUTDOWN] = "shutdown",
	[VM_IC_TIMESYNC] = "timesync",
	[VM_IC_KVP] = "kvp",
	[VM_IC_VSS] = "vss",
	[VM_IC_COPY] = "copy",
};

/* ---- the VM -------------------------------------------------------------- */

static bool is_name(const char *text)
{
	return !ctl_check_name(text, NULL);
}

static bool is_display(const char *text)
{
	struct err e;

	return !strcmp(text, "none") || !strcmp(text, "headless") ||
	       (!strncmp(text, "vnc=", 4) && !display_server_check(text + 4, &e));
}

const struct schema_key vm_keys[] = {
	{
		.name = "kernel",
		.type = &schema_file,
		SCHEMA_FIELD(struct vm_config, kernel),
		.required = true,
		.arg = "FILE",
		.help = "Linux bzImage or ELF vmlinux, or a multiboot-v1 ELF32 image",
	},
	{
		.name = "initrd",
		.type = &schema_file,
		SCHEMA_FIELD(struct vm_config, initrd),
		.arg = "FILE",
		.help = "initial RAM disk",
	},
	{
		.name = "append",
		.type = &schema_text,
		SCHEMA_FIELD(struct vm_config, append),
		.max = TEXT_MAX,
		.preset = "",
		.arg = "STRING",
		.help = "kernel command line",
	},
	{
		.name = "cpus",
		.type = &schema_number,
		SCHEMA_FIELD(struct vm_config, cpus),
		.min = 1,
		.max = HV_VPS_MAX,
		.preset = "1",
		.arg = "N",
		.help = "virtual processors",
	},
	{
		.name = "memory",
		.type = &vm_memory_type,
		SCHEMA_FIELD(struct vm_config, memory),
		.min = MIB,
		.max = MEMORY_MAX,
		.step = MIB,
		.preset = "512M",
		.arg = "SIZE[,KEY=VALUE]...",
		.help = "guest memory in bytes, or with suffix K, M or G; no more than the host has. Dynamic "
			"memory, which follows what the guest needs: with max=SIZE, min=SIZE (each SIZE if not "
			"given) and buffer=PERCENT% (20%), what it gets beyond its need",
	},
	{
		.name = "memory_kind",
		.type = &schema_choice,
		SCHEMA_FIELD(struct vm_config, memory_kind),
		.choices = vm_memory_kinds,
		.preset = "anonymous",
		.arg = "anonymous|shared",
		.help = "anonymous: in huge pages where the host has them; shared: a memfd, which other processes can map",
	},
	{
		.name = "host_memory",
		.type = &schema_size,
		SCHEMA_FIELD(struct vm_config, host_memory),
		.min = BUDGET_MIN,
		.max = MEMORY_MAX,
		.step = MIB,
		.preset = "64M",
		.arg = "SIZE",
		.help = "memory beyond its own that the guest can make the VM use",
	},
	{
		.name = "console",
		.type = &schema_file,
		SCHEMA_FIELD(struct vm_config, console),
		.must_be = "stdio, none or a file to write to",
		.preset = "stdio",
		.arg = "WHERE",
		.help = "COM1: stdio, none, or a file to write to",
	},
	{
		.name = "name",
		.type = &schema_text,
		SCHEMA_FIELD(struct vm_config, name),
		.max = TEXT_MAX,
		.valid = is_name,
		.must_be = "1 to 64 letters, digits, '-', '_' and '.', not starting with '.'",
		.arg = "NAME",
		.help = "name of the VM, one running VM per name; opens a control socket for `enlite ctl`",
	},
	{
		.name = "display",
		.type = &schema_text,
		SCHEMA_FIELD(struct vm_config, display),
		.max = TEXT_MAX,
		.valid = is_display,
		.must_be = "none, headless, vnc=unix:PATH or vnc=127.0.0.1:N (N from 0 to 99)",
		.preset = "none",
		.arg = "none|headless|vnc=WHERE",
		.help = "give the guest a screen, a keyboard and a mouse: headless, for `enlite ctl NAME "
			"screenshot`, type and key; vnc=unix:PATH or vnc=127.0.0.1:N (port 5900 + N) for VNC clients, too",
	},
	{
		.name = "vsock",
		.type = &schema_file,
		SCHEMA_FIELD(struct vm_config, vsock),
		.max = VSOCK_PATH_LENGTH_MAX,
		.must_be = "the name of a socket, of at most 96 bytes",
		.arg = "PATH",
		.help = "Unix socket through which programs reach the guest's AF_VSOCK ports; the "
			"guest reaches those that listen on PATH_PORT",
	},
	{
		.name = "io_threads",
		.type = &schema_number_or_word,
		SCHEMA_FIELD(struct vm_config, io_threads),
		.min = 1,
		.max = VM_IO_THREADS_MAX,
		.choices = auto_word,
		.preset = "auto",
		.arg = "N|auto",
		.help = "threads that run channels; auto: one, or two from 4 host CPUs and 2 VPs on",
	},
	{
		.name = "poll",
		.type = &schema_number_or_word,
		SCHEMA_FIELD(struct vm_config, poll_us),
		.min = 1,
		.max = POLL_MAX_US,
		.choices = poll_words,
		.preset = "auto",
		.arg = "USEC|auto|off",
		.help = "microseconds an I/O thread polls its rings before it sleeps; auto adapts, "
			"and is off without a spare host CPU",
	},
	{
		.name = "reboot",
		.type = &schema_flag,
		SCHEMA_FIELD(struct vm_config, reboot),
		.preset = "true",
		.help = "a guest reset restarts the VM; with --no-reboot it ends the VM",
	},
	{
		.name = "on_crash",
		.type = &schema_choice,
		SCHEMA_FIELD(struct vm_config, on_crash),
		.choices = on_crash_choices,
		.preset = "exit",
		.arg = "exit|continue",
		.help = "what to do after the guest reported its crash; continue lets kdump run",
	},
	{
		.name = "ic",
		.type = &schema_words,
		SCHEMA_FIELD(struct vm_config, ic),
		.choices = ic_choices,
		.preset = "heartbeat,shutdown,timesync,kvp,vss",
		.arg = "all|none|LIST",
		.help = "integration services to offer; LIST: some of heartbeat, shutdown, "
			"timesync, kvp, vss and copy with commas between them",
	},
	{
		.name = "restore",
		.type = &schema_file,
		SCHEMA_FIELD(struct vm_config, restore),
		.arg = "FILE",
		.help = "go on with the VM that `enlite ctl NAME save` saved to this file; its "
			"configuration is there, options come on top",
	},
	{
		.name = "restore_disks",
		.type = &schema_choice,
		SCHEMA_FIELD(struct vm_config, restore_disks),
		.choices = restore_disks_choices,
		.preset = "check",
		.arg = "check|trust",
		.help = "check refuses disks that were changed since the VM was saved; trust takes "
			"them, for copies made in the same pause",
	},
	{
		.name = "pin_memory",
		.type = &schema_flag,
		SCHEMA_FIELD(struct vm_config, pin_memory),
		.help = "keep all guest memory resident and registered for disk I/O",
	},
	{
		.name = "stimer",
		.type = &schema_flag,
		SCHEMA_FIELD(struct vm_config, stimer),
		.help = "offer synthetic timers",
	},
	{
		.name = "nested",
		.type = &schema_flag,
		SCHEMA_FIELD(struct vm_config, nested),
		.help = "let the guest run virtual machines of its own: VMX or SVM",
	},
	{
		.name = "pmu",
		.type = &schema_flag,
		SCHEMA_FIELD(struct vm_config, pmu),
		.help = "let the guest use performance counters",
	},
	{
		.name = "sandbox",
		.type = &schema_choice,
		SCHEMA_FIELD(struct vm_config, sandbox),
		.choices = sandbox_choices,
		.preset = "auto",
		.arg = "off|auto|require",
		.help = "confines this process, so that a guest that takes it over does no harm; auto: "
			"as far as the host can, and says what it cannot; require: all of it, or an error",
	},
	{
		.name = "test_device",
		.type = &schema_flag,
		SCHEMA_FIELD(struct vm_config, test_device),
		.help = "offer the debug-exit port 0xF4 and the SynIC test device at port 0x3000",
	},
	{
		.name = "verbose",
		.type = &schema_flag,
		SCHEMA_FIELD(struct vm_config, verbose),
		.help = "log more",
	},
	{0},
};
_Static_assert(sizeof(vm_keys) / sizeof(vm_keys[0]) == VM_CONFIG_KEYS + 1, "origins of all keys");

/* ---- disks --------------------------------------------------------------- */

static const struct schema_key disk_keys[] = {
	{
		.name = "read_only",
		.option = "ro",
		.type = &schema_flag,
		SCHEMA_FIELD(struct disk_config, read_only),
		.help = "the guest cannot write to it; files and NBD",
	},
	{
		.name = "cdrom",
		.type = &schema_flag,
		SCHEMA_FIELD(struct disk_config, cdrom),
		.help = "a DVD-ROM drive with this image in it, never written; files and NBD",
	},
	{
		.name = "controller",
		.type = &schema_number,
		SCHEMA_FIELD(struct disk_config, controller),
		.max = VM_CONTROLLERS_MAX - 1,
		.preset = "0",
		.arg = "N",
		.help = "SCSI controller",
	},
	{
		.name = "lun",
		.type = &schema_number_or_word,
		SCHEMA_FIELD(struct disk_config, lun),
		.max = SCSI_LUNS_MAX - 1,
		.choices = auto_word,
		.preset = "auto",
		.arg = "N|auto",
		.help = "logical unit number; auto: the lowest free one",
	},
	{
		.name = "serial",
		.type = &schema_text,
		SCHEMA_FIELD(struct disk_config, serial),
		.min = 1,
		.max = SCSI_SERIAL_MAX,
		.valid = scsi_serial_valid,
		.must_be = SCSI_SERIAL_RULE,
		.arg = "S",
		.help = "serial number, by which the guest can find the disk",
	},
	{0},
};

static const char *disk_check(void *device, struct err *e)
{
	struct disk_config *d = device;
	const struct disk_source_ops *source = disk_source_ops(&d->device.source);

	if (d->cdrom && !source->can_read_only) {
		err_set(e, -EINVAL, "a DVD-ROM drive needs a file or an NBD export");
		return "cdrom";
	}
	if (d->read_only && !source->can_read_only) {
		err_set(e, -EINVAL, "%s cannot be read-only; leave this out", source->schema.name);
		return "read_only";
	}
	d->read_only |= d->cdrom;
	return NULL;
}

const struct device_class disk_class = {
	.noun = "disk",
	.size = sizeof(struct disk_config),
	.keys = disk_keys,
	.sources = disk_source_schemas,
	.filters = disk_filter_schemas,
	.check = disk_check,
};

const struct config_list config_lists[] = {
	{
		.name = "disks",
		.option = "disk",
		.flag_option = "cdrom",
		.flag = "cdrom",
		.help = "a disk on a SCSI controller; may be repeated",
		.flag_help = "the same as --disk SPEC,cdrom: a DVD-ROM drive with this image in it",
		.class = &disk_class,
		.items = offsetof(struct vm_config, disks),
		.count = offsetof(struct vm_config, disk_count),
		.max = VM_DISKS_MAX,
	},
	{
		.name = "nics",
		.option = "net",
		.help = "a NIC; may be repeated",
		.class = &nic_class,
		.items = offsetof(struct vm_config, nics),
		.count = offsetof(struct vm_config, nic_count),
		.max = VM_NICS_MAX,
	},
	{0},
};
