/* SPDX-License-Identifier: MIT */
/*
 * What the manager keeps of a VM, in one JSON object: of a file of the state directory, and of a
 * request that defines a VM.
 *
 *   {"format": 1, "id": GUID,              in files
 *    "config": {...},                      as a file of `enlite run --config`
 *    "restart": "never|on-failure|always", "autostart": N}
 *
 * Pure. Thread: any.
 */
#ifndef MANAGER_DEFINITION_H
#define MANAGER_DEFINITION_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "mgmt/ctl.h"
#include "mgmt/manager/policy.h"

#define DEFINITION_FORMAT    1
#define DEFINITION_AUTOSTART 1000000

#define GUID_TEXT 37u /* with terminator */

struct definition {
	char id[GUID_TEXT]; /* "": none is given */
	char name[CTL_NAME_MAX + 1];
	json_t *config; /* complete: LUNs are chosen */
	enum policy restart;
	int64_t autostart; /* the lower the earlier; -1: not by itself */
};

/* True: a GUID in lower case, as we write them. */
bool guid_is_valid(const char *text);
void guid_make(char text[GUID_TEXT]);

/* Checks all of it but that files exist. 0; -EINVAL, -ENOMEM with one line, nothing is left in *d.
 */
int definition_read(struct definition *d, const json_t *json, struct err *e);
void definition_free(struct definition *d);
/* 0 or -ENOMEM. */
int definition_copy(struct definition *to, const struct definition *from);

/* For a file. A new object; NULL: no memory. */
json_t *definition_json(const struct definition *d);

/* What the worker of a VM reads: named by its GUID; restore: the image of a saved VM, or NULL. */
json_t *definition_worker_config(const struct definition *d, const char *restore);

#endif
