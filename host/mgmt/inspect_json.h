/* SPDX-License-Identifier: MIT */
/* The visitor of base/inspect.h that makes JSON, and paths into what it made. Thread: any. */
#ifndef MGMT_INSPECT_JSON_H
#define MGMT_INSPECT_JSON_H

#include <jansson.h>

#include "base/err.h"
#include "base/inspect.h"

#define INSPECT_JSON_DEPTH 16u

struct inspect_json {
	struct inspect inspect; /* give this to the objects */
	json_t *node[INSPECT_JSON_DEPTH];
	unsigned depth; /* open nodes, the root included */
	bool failed;    /* out of memory */
};

void inspect_json_init(struct inspect_json *w);
/* All nodes but the root are closed. The root, a new object; NULL: out of memory. */
json_t *inspect_json_finish(struct inspect_json *w);

/* The node at a path: keys and array indices between slashes, "devices/0/channels/1"; "" is the
 * root. Borrowed. NULL: there is none; e lists what is there. */
json_t *inspect_json_at(json_t *root, const char *path, struct err *e);

#endif
