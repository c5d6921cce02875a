/* SPDX-License-Identifier: MIT */
/*
 * Fails some requests, which never reach the lower disk: a failed write changes
 * nothing, a failed flush flushes nothing (the next one does).
 */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/parse.h"
#include "disk/filter/filter.h"
#include "disk/filter/filters.h"

#define MILLION      1000000u
#define PPM_PER_CENT 10000u

struct error_disk {
	struct disk disk;
	struct disk_error_options o;
	_Atomic uint64_t seen;
	_Atomic uint64_t injected;
};

static bool unlucky(struct error_disk *d, struct disk_queue *queue)
{
	if (d->o.ppm)
		return filter_queue_random(queue) % MILLION < d->o.ppm;
	return (atomic_fetch_add_explicit(&d->seen, 1, memory_order_relaxed) + 1) % d->o.every == 0;
}

static void error_submit(struct disk_queue *queue, struct disk_req *req)
{
	struct error_disk *d = (struct error_disk *)queue->disk;

	if ((d->o.ops >> req->op & 1) && unlucky(d, queue)) {
		atomic_fetch_add_explicit(&d->injected, 1, memory_order_relaxed);
		req->done(req, d->o.error);
		return;
	}
	filter_pass(queue, req);
}

static void error_inspect(const struct disk *disk, struct inspect *i)
{
	const struct error_disk *d = (const struct error_disk *)disk;

	inspect_u64(i, "ppm", d->o.ppm);
	inspect_u64(i, "every", d->o.every);
	inspect_u64(i, "injected", atomic_load_explicit(&d->injected, memory_order_relaxed));
	filter_ops_inspect(d->o.ops, i);
}

static const struct disk_ops error_ops = {
	.name = "error",
	FILTER_OPS,
	.submit = error_submit,
	.inspect = error_inspect,
};

uint64_t disk_error_injected(struct disk *disk)
{
	assert(disk->ops == &error_ops);
	return atomic_load(&((struct error_disk *)disk)->injected);
}

int disk_error_open(
	struct disk **disk, struct disk *lower, const struct disk_error_options *o, struct err *e)
{
	struct error_disk *d = filter_create(sizeof(*d), &error_ops, lower, e);

	assert(o->error < 0 && o->ppm <= MILLION && (o->ppm || o->every));
	if (!d)
		return -ENOMEM;
	d->o = *o;
	*disk = &d->disk;
	return 0;
}

/* ---- configuration: error=RATE[:OP][:ERROR] ------------------------------ */

/* "1", "0.5", "12.25": per cent in millionths. */
static int parse_per_cent(const char *text, size_t len, uint32_t *ppm)
{
	const char *point = memchr(text, '.', len);
	size_t whole_len = point ? (size_t)(point - text) : len;
	size_t digits = point ? len - whole_len - 1 : 0;
	char whole[4] = "", fraction[] = "0000";
	uint64_t per_cent, part;

	if (whole_len >= sizeof(whole) || (point && digits == 0) || digits >= sizeof(fraction))
		return -EINVAL;
	memcpy(whole, text, whole_len);
	if (digits)
		memcpy(fraction, point + 1, digits);
	if (parse_number(whole, 0, 100, &per_cent) || parse_number(fraction, 0, 9999, &part))
		return -EINVAL;
	if (per_cent * PPM_PER_CENT + part > MILLION || per_cent + part == 0)
		return -EINVAL;
	*ppm = (uint32_t)(per_cent * PPM_PER_CENT + part);
	return 0;
}

static int rate_parse(const struct schema_key *key, const char *text, void *field)
{
	struct disk_error_options *o = field;
	size_t len = strlen(text);
	uint64_t every = 0;
	uint32_t ppm = 0;
	int ret;

	if (!strncmp(text, "1/", 2))
		ret = parse_number(text + 2, 1, UINT32_MAX, &every);
	else if (len > 1 && text[len - 1] == '%')
		ret = parse_per_cent(text, len - 1, &ppm);
	else
		ret = -EINVAL;
	if (ret)
		return ret;
	o->every = every;
	o->ppm = ppm;
	return 0;
}

static int rate_format(const struct schema_key *key, const void *field, char **text)
{
	const struct disk_error_options *o = field;
	char rate[32];

	*text = NULL;
	if (!o->every && !o->ppm)
		return 0;
	if (o->every)
		snprintf(rate, sizeof(rate), "1/%" PRIu64, o->every);
	else if (o->ppm % PPM_PER_CENT)
		snprintf(rate, sizeof(rate), "%u.%04u%%", o->ppm / PPM_PER_CENT,
			o->ppm % PPM_PER_CENT);
	else
		snprintf(rate, sizeof(rate), "%u%%", o->ppm / PPM_PER_CENT);
	*text = strdup(rate);
	return *text ? 0 : -ENOMEM;
}

static const struct schema_type rate_type = {
	.json = SCHEMA_JSON_STRING,
	.parse = rate_parse,
	.format = rate_format,
};

static const struct {
	const char *name;
	int error;
} errors[] = {{"EIO", -EIO}, {"ENOSPC", -ENOSPC}};

#define ERROR_COUNT (sizeof(errors) / sizeof(errors[0]))

static int error_parse(const struct schema_key *key, const char *text, void *field)
{
	for (size_t i = 0; i < ERROR_COUNT; i++) {
		if (!strcmp(text, errors[i].name)) {
			*(int *)field = errors[i].error;
			return 0;
		}
	}
	return -EINVAL;
}

static int error_format(const struct schema_key *key, const void *field, char **text)
{
	size_t i = 0;

	while (errors[i].error != *(const int *)field)
		i++;
	*text = strdup(errors[i].name);
	return *text ? 0 : -ENOMEM;
}

static const struct schema_type error_type = {
	.json = SCHEMA_JSON_STRING,
	.parse = error_parse,
	.format = error_format,
};

static const struct schema_key keys[] = {
	{
		.name = "rate",
		.type = &rate_type,
		.must_be = "a share such as 1%, 0.5% (up to 100%) or 1/100 (every 100th)",
		.required = true,
		.arg = "N%|1/N",
		.help = "share of the requests that fail at random, or every Nth",
	},
	FILTER_OPS_KEY(struct disk_error_options, ops),
	{
		.name = "error",
		.type = &error_type,
		SCHEMA_FIELD(struct disk_error_options, error),
		.must_be = "EIO or ENOSPC",
		.preset = "EIO",
		.arg = "EIO|ENOSPC",
		.help = "the error",
	},
	{0},
};

static int filter_open(struct disk **disk, struct disk *lower, const void *options, struct err *e)
{
	return disk_error_open(disk, lower, options, e);
}

const struct disk_filter_ops disk_error_filter = {
	.schema =
		{
			.name = "error",
			.help = "fails requests",
			.keys = keys,
			.size = sizeof(struct disk_error_options),
		},
	.open = filter_open,
};
