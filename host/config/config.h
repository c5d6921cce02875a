/* SPDX-License-Identifier: MIT */
/*
 * The configuration of a VM: an owned value, checked against one table (schema.c), filled by the
 * command line (args.c) and by JSON (json.c). Both may be used: options come on top of files.
 *
 *   vm_config_init -> vm_config_args, config_read_file ... -> vm_config_complete -> vm_config_check
 *
 * Errors are one line: the position (option, or file:line), the key, what it must be. Code below
 * this folder does not know where a value came from.
 *
 * Owner: the main thread until the VM starts; then the value is constant. A struct disk_config of
 * its own belongs to whoever parsed or copied it.
 */
#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H

#include <jansson.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/err.h"
#include "base/schema.h"
#include "disk/stack.h"
#include "nic/stack.h"

#define VM_IO_THREADS_MAX  64u
#define VM_CONTROLLERS_MAX 4u  /* SCSI controllers */
#define VM_DISKS_MAX       64u /* given at the start; more can be added later */

#define VM_NICS_MAX 8u

#define VM_AUTO (-1)

#define DEVICE_FILTERS_MAX DISK_FILTERS_MAX

/* Common to all devices: a source, and filters around it. The first member of their structs. */
struct device_config {
	char *origin;      /* where it was configured: "vm.json:7: disks[1]", "--disk a.img,ro" */
	const char *joint; /* between origin and a key: "." or ": " */
	char *note;        /* how a text was understood that can mean two things; NULL: clear */
	struct schema_value source;
	struct schema_value filters[DEVICE_FILTERS_MAX];
	uint32_t filter_count;
};

struct disk_config {
	struct device_config device;
	bool read_only; /* a DVD-ROM drive always */
	bool cdrom;
	uint32_t controller;
	int64_t lun; /* VM_AUTO: the lowest free one, until vm_config_complete() */
	char *serial;
};

#define NIC_CONFIG_MTU_MAX   9216u
#define NIC_CONFIG_TEXTS_MAX (NIC_STACK_SETTINGS_MAX + NIC_STACK_FILTERS_MAX)

struct nic_config {
	struct device_config device;
	char *mac;                  /* NULL: choose */
	int64_t number;             /* VM_AUTO: the lowest free one, until vm_config_complete() */
	uint32_t queues, mtu, vlan; /* 0: not set */
	bool mac_lock;
	bool monitor;
};

/* Objects of device.source and device.filters of a NIC; see nic.c. */
struct nic_backend_options {
	char *backend, *forward, *program;
};
struct nic_filter_options {
	char *value;
	int direction; /* enum nic_config_direction; pcap: both */
};

enum nic_config_direction { NIC_CONFIG_BOTH, NIC_CONFIG_TX, NIC_CONFIG_RX };

/* Bytes. */
struct vm_memory {
	uint64_t size;     /* at the start */
	uint64_t max, min; /* dynamic: what it becomes while the guest runs; else size */
	uint32_t buffer;   /* dynamic: percent of what the guest needs that it gets beyond that */
	bool dynamic;
};

enum vm_memory_kind { VM_MEMORY_ANONYMOUS, VM_MEMORY_SHARED };
extern const char *const vm_memory_kinds[]; /* their names */

/* Integration services: bits of vm_config.ic. */
enum vm_ic {
	VM_IC_HEARTBEAT,
	VM_IC_SHUTDOWN,
	VM_IC_TIMESYNC,
	VM_IC_KVP,
	VM_IC_VSS,
	VM_IC_COPY,
	VM_IC_SERVICES,
};

enum vm_sandbox { VM_SANDBOX_OFF, VM_SANDBOX_AUTO, VM_SANDBOX_REQUIRE };

enum vm_restore_disks { VM_RESTORE_DISKS_CHECK, VM_RESTORE_DISKS_TRUST };

enum vm_on_crash { VM_ON_CRASH_EXIT, VM_ON_CRASH_CONTINUE };

/* The keys outside of lists; see schema.c. */
#define VM_CONFIG_KEYS 25u

struct vm_config {
	char *kernel;
	char *initrd; /* NULL: none */
	char *append;
	uint32_t cpus;
	struct vm_memory memory;
	int memory_kind;      /* enum vm_memory_kind */
	uint64_t host_memory; /* bytes; see base/budget.h */
	char *console;        /* "stdio", "none" or a path */
	char *display;        /* "none", "headless" or "vnc=" and where: see display/server.h */
	char *name;           /* NULL: no control socket */
	char *vsock;          /* path of the Unix socket; NULL: none */
	int64_t io_threads;   /* VM_AUTO: choose */
	int64_t poll_us;      /* longest busy window of an I/O thread; VM_AUTO: choose */
	bool pin_memory;
	bool test_device;
	bool stimer;
	bool nested, pmu;  /* CPU features for the guest */
	bool reboot;       /* a guest reset restarts the VM */
	int on_crash;      /* enum vm_on_crash */
	uint32_t ic;       /* bit n: service n of enum vm_ic */
	int sandbox;       /* enum vm_sandbox */
	char *restore;     /* the image of a saved VM; NULL: none */
	int restore_disks; /* enum vm_restore_disks */
	bool verbose;
	struct disk_config *disks;
	uint32_t disk_count;
	struct nic_config *nics;
	uint32_t nic_count;
	char *origins[VM_CONFIG_KEYS]; /* "vm.json:3: cpus", "--cpus"; NULL: not set by the user */
	char *file;                    /* the last one that was read, or NULL */
	int status_fd;                 /* ENLITE_STATUS_FD, see confine.h; 0 or less: none */
	char *directory; /* where relative names begin, for images; NULL: as they are */
	bool io_placed;  /* I/O threads run on these CPUs, of this NUMA node: vm/placement.h */
	unsigned io_node;
	cpu_set_t io_cpus;
};

/* ---- the value ----------------------------------------------------------- */

/* 0 or -ENOMEM; vm_config_free() also after a failure. */
int vm_config_init(struct vm_config *c, struct err *e);
void vm_config_free(struct vm_config *c);

/* Options in any order; --config FILE is read before all others are applied. argv[0] is the
 * command's name, argv may be reordered. 0; 1: --help was given; -EINVAL, -ENOMEM. */
int vm_config_args(struct vm_config *c, int argc, char **argv, struct err *e);

/* Adds what the file says. 0; -EINVAL or -errno of the file. */
int vm_config_read_file(struct vm_config *c, const char *path, struct err *e);
/* The same from memory. name: of the file, in errors. */
int vm_config_read(
	struct vm_config *c, const char *name, const char *text, size_t len, struct err *e);

/* Adds the configuration of the saved VM whose image this is. */
int vm_config_read_image(struct vm_config *c, const char *path, struct err *e);

/* All sources are read: what is required is there, nothing excludes another, LUNs and
 * numbers of NICs are chosen. */
int vm_config_complete(struct vm_config *c, struct err *e);

/* Checks that named files exist and can be used, without opening or changing any. */
int vm_config_check(const struct vm_config *c, struct err *e);

/* A new reference; reading it gives the same value. NULL: e says which name is not UTF-8. */
json_t *vm_config_json(const struct vm_config *c, struct err *e);

/* The same for an image: without `restore`, file names absolute. */
json_t *vm_config_image_json(const struct vm_config *c, struct err *e);

/* Help text of the options, and the same for the man page (roff). */
void vm_config_help(FILE *out);
void vm_config_man(FILE *out);

/* For the completion of shells, see mgmt/complete.h: options, or values of the option `previous`.
 */
void vm_config_candidates(FILE *out, const char *previous, const char *word);

/* ---- one disk ------------------------------------------------------------ */

/* Both fill *d from nothing: SOURCE[,KEY[=VALUE]]... (see spec.c), or a JSON object. File names are
 * relative to `directory`; NULL: to that of the process. After an error nothing is left in *d.
 * Errors name the key. */
int disk_config_parse(
	struct disk_config *d, const char *spec, const char *directory, struct err *e);
int disk_config_from_json(
	struct disk_config *d, const json_t *json, const char *directory, struct err *e);

void disk_config_free(struct disk_config *d);
/* 0 or -ENOMEM; then `to` holds nothing. */
int disk_config_copy(struct disk_config *to, const struct disk_config *from);

/* As the source would be written in a spec, without quotes: "a.img", "memory:1M". To be freed;
 * NULL: no memory. */
char *disk_config_source(const struct disk_config *d);

/* ---- one NIC ------------------------------------------------------------- */

/* As for disks: disk_config_parse() and those behind it. */
int nic_config_parse(struct nic_config *n, const char *spec, const char *directory, struct err *e);
int nic_config_from_json(
	struct nic_config *n, const json_t *json, const char *directory, struct err *e);
void nic_config_free(struct nic_config *n);
int nic_config_copy(struct nic_config *to, const struct nic_config *from);

/* A NIC as host/nic wants it, with the texts it refers to. */
struct nic_config_stack {
	struct nic_stack stack;
	char *texts[NIC_CONFIG_TEXTS_MAX];
	uint32_t text_count;
	const char *wrong; /* after an error: the key */
};
/* 0, -EINVAL, -ENOMEM; nic_config_stack_free() after 0. The config stays as long as the stack. */
int nic_config_stack(struct nic_config_stack *s, const struct nic_config *c, struct err *e);
void nic_config_stack_free(struct nic_config_stack *s);

/* Checks for mistakes on the host without opening anything. NULL, or the key that is wrong. */
const char *nic_config_check_host(const struct nic_config *c, struct err *e);
/* The same for what two NICs of a VM cannot both have. */
const char *nic_config_check_two(
	const struct nic_config *c, const struct nic_config *other, struct err *e);

/* False: no unicast MAC address. */
bool nic_config_mac(const char *text, uint8_t mac[6]);

/* The filters of the disk included. */
int disk_config_open(struct disk **disk, const struct disk_config *d, struct err *e);

#endif
