/* SPDX-License-Identifier: MIT */
/* How an NBD disk is configured: nbd://HOST[:PORT][/EXPORT], nbd+unix:///[EXPORT]?socket=PATH. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "disk/stack.h"

struct nbd_options {
	char *uri;
};

static bool starts(const char *text, const char *with)
{
	return !strncmp(text, with, strlen(with));
}

static bool is_uri(const char *text)
{
	return starts(text, "nbd://") || starts(text, "nbd+unix://");
}

static const char *const schemes[] = {"nbd+unix:", "nbds:", "nbds+unix:", NULL};

static const struct schema_key keys[] = {
	{
		.name = "nbd",
		.type = &schema_text,
		SCHEMA_FIELD(struct nbd_options, uri),
		.max = 4096,
		.valid = is_uri,
		.must_be =
			"an NBD URI without TLS, such as nbd://host/export or nbd+unix:///?socket=/path",
		.required = true,
		.arg = "URI",
		.help = "nbd://HOST[:PORT][/EXPORT] or nbd+unix:///[EXPORT]?socket=PATH",
	},
	{0},
};

static int source_open(struct disk **disk, const void *options, bool read_only, struct err *e)
{
	const struct nbd_options *o = options;

	return disk_nbd_open(disk, o->uri, &(struct disk_nbd_options){.read_only = read_only}, e);
}

const struct disk_source_ops disk_nbd_source = {
	.schema =
		{
			.name = "nbd",
			.help = "an export of an NBD server",
			.keys = keys,
			.size = sizeof(struct nbd_options),
			.schemes = schemes,
		},
	.can_read_only = true,
	.open = source_open,
};
