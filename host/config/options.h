/* SPDX-License-Identifier: MIT */
/* What `enlite run` was asked for. Filled by options_parse(), checked there. */
#ifndef HOST_OPTIONS_H
#define HOST_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "disk/spec.h"

#define OPTIONS_DISKS_MAX       64u
#define OPTIONS_CONTROLLERS_MAX 4u
#define OPTIONS_SERIAL_MAX      32u

struct disk_option {
	const char *source; /* the spec's first part, as it was written */
	struct disk_spec spec;
	bool read_only;
	bool direct;
	bool cdrom;
	uint32_t controller;
	int lun; /* 0..63; -1 until assigned */
	char serial[OPTIONS_SERIAL_MAX + 1];
};

struct run_options {
	const char *kernel;
	const char *initrd; /* NULL: none */
	const char *append;
	uint32_t cpus;
	uint64_t memory; /* bytes */
	struct disk_option disk[OPTIONS_DISKS_MAX];
	uint32_t disk_count;
	const char *console; /* "stdio", "none" or a path */
	const char *name;    /* NULL: no control socket */
	uint32_t io_threads; /* 0: choose */
	int64_t poll_us;     /* longest busy window of an I/O thread; -1: choose */
	bool pin_memory;
	bool test_device;
	bool stimer;
	bool reboot;            /* a guest reset restarts the partition */
	bool continue_on_crash; /* after a reported guest crash (kdump) */
	bool verbose;
};

/* argv[0] is the subcommand's name. 0; 1 when --help was printed; -EINVAL with one line in e.
 * Strings point into argv, which the parser may modify. */
int options_parse(struct run_options *o, int argc, char **argv, struct err *e);

/* One disk as --disk has it. option: its name in e. The LUN may be left to the caller. Strings
 * point into text, which is modified. */
int options_parse_disk(struct disk_option *d, const char *option, char *text, struct err *e);

extern const char options_help[];

#endif
