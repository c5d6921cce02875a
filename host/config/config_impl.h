/* SPDX-License-Identifier: MIT */
/* Shared by the files of this folder only. */
#ifndef CONFIG_CONFIG_IMPL_H
#define CONFIG_CONFIG_IMPL_H

#include "config/config.h"

/* ---- the table: schema.c ------------------------------------------------- */

/* Objects of one kind. Their structs begin with struct device_config. */
struct device_class {
	const char *noun; /* "disk" */
	size_t size;
	const struct schema_key *keys;       /* those of all its sources */
	const struct schema *const *sources; /* up to NULL; a spec without a name means the first */
	const struct schema *const *filters; /* up to NULL */
	/* Rules between keys, and what follows from them. NULL, or the key that is wrong. */
	const char *(*check)(void *device, struct err *e);
	/* Relative file names inside of texts become names in the directory. 0 or -ENOMEM. NULL:
	 * there are none. */
	int (*make_absolute)(void *device, const char *directory);
};

/* A list of such objects in struct vm_config. */
struct config_list {
	const char *name;               /* in JSON */
	const char *option;             /* adds one */
	const char *flag_option, *flag; /* adds one with this flag set; NULL: there is none */
	const char *help, *flag_help;
	const struct device_class *class;
	size_t items, count; /* offsets of the array and of its length */
	uint32_t max;
};

extern const struct schema_key vm_keys[];       /* VM_CONFIG_KEYS, and one without a name */
extern const struct schema_type vm_memory_type; /* memory.c: struct vm_memory */
extern const struct device_class disk_class;
extern const struct device_class nic_class;     /* nic.c */
extern const struct config_list config_lists[]; /* up to one without a name */

/* ---- devices: device.c --------------------------------------------------- */

/* On zeroed memory. 0 or -ENOMEM; device_free() also after a failure. */
int device_init(const struct device_class *class, void *device);
void device_free(const struct device_class *class, void *device);
/* 0 or -ENOMEM; then `to` holds nothing. */
int device_copy(const struct device_class *class, void *to, const void *from);
/* The key of the device or of its source; *object: the struct it is in. NULL: unknown. */
const struct schema_key *device_key(const struct device_class *class, void *device,
	const char *name, bool option, void **object);
/* A new filter around the others. NULL: the name is unknown; or, with e set, there is no room. */
struct schema_value *device_add_filter(
	const struct device_class *class, void *device, const char *name, struct err *e);
/* -EINVAL: the name is no key, no source and no filter; e says which are. */
int device_unknown(const struct device_class *class, void *device, const char *name, bool option,
	struct err *e);
/* Relative file names become names in the directory. 0 or -ENOMEM. */
int device_make_absolute(const struct device_class *class, void *device, const char *directory);

/* One more in a list, initialised. NULL: there are too many, or no memory; e says so. */
void *config_list_add(const struct config_list *list, struct vm_config *c, struct err *e);
void *config_list_at(const struct config_list *list, const struct vm_config *c, uint32_t i);
void config_list_free(const struct config_list *list, struct vm_config *c);
uint32_t config_list_count(const struct config_list *list, const struct vm_config *c);

/* ---- texts: spec.c ------------------------------------------------------- */

/* Fills an initialised device. flag: one that is set with it, or NULL. */
int device_parse(const struct device_class *class, void *device, const char *spec, const char *flag,
	const char *directory, struct err *e);
/* The same from nothing. After an error nothing is left in it. */
int device_parse_new(const struct device_class *class, void *device, const char *spec,
	const char *directory, struct err *e);
/* json.c: the same from a JSON object. */
int device_from_json(const struct device_class *class, void *device, const json_t *json,
	const char *directory, struct err *e);
/* A key's name on the command line. */
const char *option_name(const struct schema_key *key, char name[32]);

/* help.c: how a filter is written: delay=TIME[:OP]. */
void filter_usage(const struct schema *filter, char *text, size_t size);

#define OPTION_NAME_MAX 36u

/* A flag that is set by default has an option that clears it: --no-reboot. */
bool option_clears(const struct schema_key *key);
/* The option of a key of the VM, without "--". */
void option_of_key(const struct schema_key *key, char name[OPTION_NAME_MAX]);

/* ---- words: nearest.c ---------------------------------------------------- */

#define NAMES_MAX 64u

struct names {
	const char *name[NAMES_MAX];
	uint32_t count;
};

void names_add(struct names *names, const char *name);
/* The name that was probably meant; NULL: none is near. */
const char *names_nearest(const struct names *names, const char *name);
/* "a, b, c" */
void names_join(const struct names *names, char *text, size_t size);
/* "unknown key 'x'; did you mean 'y'?" or "...; known are a, b, c". -EINVAL. */
int names_refuse(const struct names *names, const char *name, struct err *e);

/* ---- places -------------------------------------------------------------- */

/* Puts a place before an error of lower code: e becomes "PLACE: WHY". Returns ret. */
int config_fail(struct err *e, int ret, const char *place, const struct err *why);

#endif
