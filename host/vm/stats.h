/* SPDX-License-Identifier: MIT */
/*
 * `stats`: the part of a VM's inspection that programs may rely on. A key in
 * here is never renamed, and means the same in later versions; new ones may come.
 * The man page lists them.
 */
#ifndef VM_STATS_H
#define VM_STATS_H

#include <jansson.h>

struct stats_key {
	const char *key;              /* NULL: the end */
	const struct stats_key *keys; /* of the object, or of each object of the array; NULL: all */
};

extern const struct stats_key stats_keys[];

/* From what vm_inspect_json() made; a new object that shares values with it. Keys that are not
 * there are left out. NULL: out of memory. */
json_t *stats_view(json_t *inspection, const struct stats_key *keys);

#endif
