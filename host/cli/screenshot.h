/* SPDX-License-Identifier: MIT */
/* The answer of `screenshot`, as a file. Thread: the main thread. */
#ifndef CLI_SCREENSHOT_H
#define CLI_SCREENSHOT_H

#include <jansson.h>
#include <stdint.h>

#include "base/err.h"

/* To the file that the request names: what the VM says of names does not matter. 0, or -errno with
 * one line in e, and no file. */
int screenshot_write(const json_t *request, const json_t *reply, struct err *e);
/* The picture is here already. The same. */
int screenshot_file(const char *path, const uint8_t *bytes, size_t size, struct err *e);

#endif
