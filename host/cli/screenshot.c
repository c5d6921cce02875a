/* SPDX-License-Identifier: MIT */
#include "cli/screenshot.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/base64.h"

int screenshot_file(const char *path, const uint8_t *bytes, size_t size, struct err *e)
{
	FILE *f = fopen(path, "wbe");
	int ret = 0;

	if (!f)
		return err_set(e, -errno, "screenshot: %s: %s", path, strerror(errno));
	if (fwrite(bytes, 1, size, f) != size)
		ret = -errno;
	if (fclose(f) && !ret)
		ret = -errno;
	if (!ret)
		return 0;
	unlink(path);
	return err_set(e, ret, "screenshot: %s: %s", path, strerror(-ret));
}

int screenshot_write(const json_t *request, const json_t *reply, struct err *e)
{
	const char *path = json_string_value(json_object_get(request, "file"));
	const char *data = json_string_value(json_object_get(reply, "data"));
	uint8_t *bytes;
	size_t size;
	int ret;

	if (!data || !*data)
		return err_set(e, -EPROTO, "screenshot: the VM has sent no picture");
	bytes = malloc(strlen(data));
	if (!bytes)
		return err_set(e, -ENOMEM, "out of memory");
	size = base64_decode(data, bytes);
	ret = screenshot_file(path, bytes, size, e);
	free(bytes);
	return ret;
}
