/* SPDX-License-Identifier: MIT */
/* What an inspection shows at a path, as compact JSON. */
#ifndef SUPPORT_INSPECT_SHOWS_H
#define SUPPORT_INSPECT_SHOWS_H

#include <jansson.h>

/* Ends the program unless root, which it frees, has this value there. */
void inspect_shows(json_t *root, const char *path, const char *value);

#endif
