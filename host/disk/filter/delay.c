/* SPDX-License-Identifier: MIT */
/* Delays requests. Each has its own timer, so a later request may overtake an earlier one. */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/parse.h"
#include "base/time.h"
#include "disk/filter/filter.h"
#include "disk/filter/filters.h"

#define DELAY_MAX_NS (3600 * NS_PER_S)

struct delay_disk {
	struct disk disk;
	struct disk_delay_options o;
};

static uint64_t choose(struct disk_queue *queue, const struct disk_delay_options *o)
{
	uint64_t span = o->max_ns - o->min_ns;

	return o->min_ns + (span ? filter_queue_random(queue) % (span + 1) : 0);
}

static void delay_submit(struct disk_queue *queue, struct disk_req *req)
{
	struct delay_disk *d = (struct delay_disk *)queue->disk;

	if (d->o.ops >> req->op & 1)
		filter_pass_later(queue, req, choose(queue, &d->o));
	else
		filter_pass_now(queue, req);
}

static void delay_inspect(const struct disk *disk, struct inspect *i)
{
	const struct disk_delay_options *o = &((const struct delay_disk *)disk)->o;

	inspect_u64(i, "min_ns", o->min_ns);
	inspect_u64(i, "max_ns", o->max_ns);
	filter_ops_inspect(o->ops, i);
}

static const struct disk_ops delay_ops = {
	.name = "delay",
	.req_size = sizeof(struct filter_wait),
	.close = filter_close,
	.queue_open = filter_queue_open,
	.queue_close = filter_queue_close,
	.submit = delay_submit,
	.cancel = filter_wait_cancel,
	.inspect = delay_inspect,
};

int disk_delay_open(
	struct disk **disk, struct disk *lower, const struct disk_delay_options *o, struct err *e)
{
	struct delay_disk *d = filter_create(sizeof(*d), &delay_ops, lower, e);

	assert(o->min_ns <= o->max_ns && o->max_ns < UINT64_MAX);
	if (!d)
		return -ENOMEM;
	d->o = *o;
	*disk = &d->disk;
	return 0;
}

/* ---- configuration: delay=TIME[-TIME][:OP] ------------------------------- */

static const struct {
	const char *name;
	uint64_t ns;
} units[] = {{"s", NS_PER_S}, {"ms", NS_PER_MS}, {"us", NS_PER_US}, {"ns", 1}};

#define UNIT_COUNT (sizeof(units) / sizeof(units[0]))

/* A number with its unit, 0 if there is none. */
static int parse_time(const char *text, size_t len, uint64_t *value, uint64_t *unit)
{
	size_t digits = strspn(text, "0123456789");
	char number[16];

	if (digits > len)
		digits = len;
	if (digits == 0 || digits >= sizeof(number))
		return -EINVAL;
	memcpy(number, text, digits);
	number[digits] = '\0';
	*unit = 0;
	for (size_t i = 0; i < UNIT_COUNT; i++)
		if (strlen(units[i].name) == len - digits &&
			!strncmp(text + digits, units[i].name, len - digits))
			*unit = units[i].ns;
	if (!*unit && digits != len)
		return -EINVAL;
	return parse_number(number, 0, DELAY_MAX_NS, value);
}

static bool scale(uint64_t value, uint64_t unit, uint64_t *ns)
{
	if (value > DELAY_MAX_NS / unit)
		return false;
	*ns = value * unit;
	return true;
}

/* The first of two times may leave out its unit: 1-20ms. */
static int range_parse(const struct schema_key *key, const char *text, void *field)
{
	const char *dash = strchr(text, '-');
	const char *last = dash ? dash + 1 : text;
	struct disk_delay_options *o = field;
	uint64_t min, min_unit, max, max_unit;

	if (parse_time(last, strlen(last), &max, &max_unit) || !max_unit)
		return -EINVAL;
	if (parse_time(text, dash ? (size_t)(dash - text) : strlen(text), &min, &min_unit))
		return -EINVAL;
	if (!scale(max, max_unit, &max) || !scale(min, min_unit ? min_unit : max_unit, &min))
		return -EINVAL;
	if (min > max || !max)
		return -EINVAL;
	o->min_ns = min;
	o->max_ns = max;
	return 0;
}

static int print_time(char *text, size_t size, uint64_t ns)
{
	size_t i = 0;

	while (ns % units[i].ns)
		i++;
	return snprintf(text, size, "%" PRIu64 "%s", ns / units[i].ns, units[i].name);
}

static int range_format(const struct schema_key *key, const void *field, char **text)
{
	const struct disk_delay_options *o = field;
	char range[64];
	int len;

	*text = NULL;
	if (!o->max_ns)
		return 0;
	len = print_time(range, sizeof(range), o->min_ns);
	if (o->min_ns != o->max_ns) {
		range[len++] = '-';
		print_time(range + len, sizeof(range) - (size_t)len, o->max_ns);
	}
	*text = strdup(range);
	return *text ? 0 : -ENOMEM;
}

static const struct schema_type range_type = {
	.json = SCHEMA_JSON_STRING,
	.parse = range_parse,
	.format = range_format,
};

static const struct schema_key keys[] = {
	{
		.name = "time",
		.type = &range_type,
		.must_be = "a time such as 5ms or 1-20ms (ns, us, ms, s), above 0, at most 3600s",
		.required = true,
		.arg = "TIME[-TIME]",
		.help = "fixed, or random in a range",
	},
	FILTER_OPS_KEY(struct disk_delay_options, ops),
	{0},
};

static int filter_open(struct disk **disk, struct disk *lower, const void *options, struct err *e)
{
	return disk_delay_open(disk, lower, options, e);
}

const struct disk_filter_ops disk_delay_filter = {
	.schema =
		{
			.name = "delay",
			.help = "delays requests before they reach the disk",
			.keys = keys,
			.size = sizeof(struct disk_delay_options),
		},
	.open = filter_open,
};
