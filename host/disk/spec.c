/* SPDX-License-Identifier: MIT */
#include "disk/spec.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/parse.h"

#define SECTOR_SIZE  512u
#define PPM_PER_CENT 10000u
#define DELAY_MAX_NS (3600 * NS_PER_S)
#define SCRATCH_MAX  256u /* disk_ops.req_size of any disk, checked when it is opened */

const char disk_spec_filters_help[] = "delay=, error=, iops=, bps=, log=, volatile";

/* ---- source -------------------------------------------------------------- */

static int parse_sized(struct disk_spec *s, const char *text, const char *size, struct err *e)
{
	if (parse_size(size, &s->size) || !s->size || s->size % SECTOR_SIZE)
		return err_set(
			e, -EINVAL, "--disk %s: the size must be a positive multiple of 512", text);
	return 0;
}

static bool starts(const char *text, const char *with)
{
	return !strncmp(text, with, strlen(with));
}

/* "nbd:" before a URI, or a URI of one of the two schemes as it is. */
static bool is_nbd(const char *text)
{
	return starts(text, "nbd:") || starts(text, "nbd+unix:") || starts(text, "nbds:") ||
	       starts(text, "nbds+unix:");
}

static int parse_nbd(struct disk_spec *s, const char *text, struct err *e)
{
	const char *uri = text;

	if (starts(text, "nbd:") && !starts(text, "nbd://"))
		uri += strlen("nbd:");
	if (starts(uri, "nbds"))
		return err_set(e, -EINVAL,
			"--disk %s: NBD over TLS is not supported; use nbd:// or a tunnel", text);
	if (!starts(uri, "nbd://") && !starts(uri, "nbd+unix://"))
		return err_set(e, -EINVAL,
			"--disk %s: not an NBD URI; write for example nbd://host/export or nbd+unix:///?socket=/path",
			text);
	s->name = uri;
	return 0;
}

int disk_spec_source(struct disk_spec *s, const char *text, struct err *e)
{
	*s = (struct disk_spec){.kind = DISK_SPEC_FILE, .name = text};
	if (!*text)
		return err_set(e, -EINVAL,
			"--disk needs a file name, memory:SIZE, null:SIZE or an NBD URI");
	if (starts(text, "memory:")) {
		s->kind = DISK_SPEC_MEMORY;
		return parse_sized(s, text, text + strlen("memory:"), e);
	}
	if (starts(text, "null:")) {
		s->kind = DISK_SPEC_NULL;
		return parse_sized(s, text, text + strlen("null:"), e);
	}
	if (is_nbd(text)) {
		s->kind = DISK_SPEC_NBD;
		return parse_nbd(s, text, e);
	}
	return 0;
}

/* ---- filters ------------------------------------------------------------- */

static int parse_op(const char *text, uint32_t *ops)
{
	static const struct {
		const char *name;
		uint32_t ops;
	} names[] = {
		{"read", 1u << DISK_READ},
		{"write", 1u << DISK_WRITE | 1u << DISK_WRITE_ZEROES | 1u << DISK_DISCARD},
		{"flush", 1u << DISK_FLUSH},
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (!strcmp(text, names[i].name)) {
			*ops = names[i].ops;
			return 0;
		}
	}
	return -EINVAL;
}

static int parse_errno(const char *text, int *error)
{
	static const struct {
		const char *name;
		int error;
	} names[] = {{"EIO", -EIO}, {"ENOSPC", -ENOSPC}};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (!strcmp(text, names[i].name)) {
			*error = names[i].error;
			return 0;
		}
	}
	return -EINVAL;
}

/* A number with its unit; without one it takes that of the other end of the range. */
static int parse_time(const char *text, size_t len, uint64_t *value, uint64_t *unit)
{
	static const struct {
		const char *name;
		uint64_t ns;
	} units[] = {{"ns", 1}, {"us", NS_PER_US}, {"ms", NS_PER_MS}, {"s", NS_PER_S}};
	size_t digits = strspn(text, "0123456789");
	char number[16];

	if (digits > len)
		digits = len;
	if (digits == 0 || digits >= sizeof(number))
		return -EINVAL;
	memcpy(number, text, digits);
	number[digits] = '\0';
	*value = strtoull(number, NULL, 10);
	*unit = 0;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (strlen(units[i].name) == len - digits &&
			!strncmp(text + digits, units[i].name, len - digits))
			*unit = units[i].ns;
	return *unit || digits == len ? 0 : -EINVAL;
}

static bool scale(uint64_t value, uint64_t unit, uint64_t *ns)
{
	if (value > DELAY_MAX_NS / unit)
		return false;
	*ns = value * unit;
	return true;
}

static int parse_range(const char *text, struct disk_delay_options *o)
{
	const char *dash = strchr(text, '-');
	const char *last = dash ? dash + 1 : text;
	uint64_t min, min_unit, max, max_unit;

	if (parse_time(last, strlen(last), &max, &max_unit) || !max_unit)
		return -EINVAL;
	if (parse_time(text, dash ? (size_t)(dash - text) : strlen(text), &min, &min_unit))
		return -EINVAL;
	if (!scale(max, max_unit, &o->max_ns) ||
		!scale(min, min_unit ? min_unit : max_unit, &o->min_ns))
		return -EINVAL;
	return o->min_ns <= o->max_ns ? 0 : -EINVAL;
}

static int parse_delay(struct disk_spec_filter *f, char *value, struct err *e)
{
	char *rest = value, *range = strsep(&rest, ":");

	f->delay = (struct disk_delay_options){.ops = DISK_OPS_ALL};
	if (parse_range(range, &f->delay) || (rest && parse_op(rest, &f->delay.ops)))
		return err_set(e, -EINVAL,
			"--disk: delay=%s: write 5ms, 1-20ms or 1-20ms:read|write|flush, at most 3600s",
			value);
	return 0;
}

/* "1", "0.5", "12.25": per cent to millionths. */
static int parse_per_cent(char *text, uint32_t *ppm)
{
	char *fraction = strchr(text, '.');
	uint64_t whole, part = 0;

	if (fraction) {
		size_t digits = strlen(fraction + 1);
		char padded[] = "0000";

		*fraction = '\0';
		if (digits == 0 || digits > 4)
			return -EINVAL;
		memcpy(padded, fraction + 1, digits);
		if (parse_number(padded, 0, 9999, &part))
			return -EINVAL;
	}
	if (parse_number(text, 0, 100, &whole) || whole * PPM_PER_CENT + part > 1000000)
		return -EINVAL;
	*ppm = (uint32_t)(whole * PPM_PER_CENT + part);
	return *ppm ? 0 : -EINVAL;
}

static int parse_chance(char *text, struct disk_error_options *o)
{
	size_t len = strlen(text);

	if (starts(text, "1/"))
		return parse_number(text + 2, 1, UINT32_MAX, &o->every);
	if (len < 2 || text[len - 1] != '%')
		return -EINVAL;
	text[len - 1] = '\0';
	return parse_per_cent(text, &o->ppm);
}

static int parse_error(struct disk_spec_filter *f, char *value, struct err *e)
{
	char *rest = value, *chance = strsep(&rest, ":"), *word;
	int ret;

	f->error = (struct disk_error_options){.ops = DISK_OPS_ALL, .error = -EIO};
	ret = parse_chance(chance, &f->error);
	if (!ret && rest) {
		word = strsep(&rest, ":");
		if (parse_op(word, &f->error.ops))
			ret = rest ? -EINVAL : parse_errno(word, &f->error.error);
	}
	if (!ret && rest)
		ret = parse_errno(rest, &f->error.error);
	if (ret)
		return err_set(e, -EINVAL,
			"--disk: error=: write 1%% or 1/100, then :read|write|flush, then :EIO|ENOSPC");
	return 0;
}

static int parse_iops(struct disk_spec_filter *f, char *value, struct err *e)
{
	char *burst = value, *number = strsep(&burst, ":");

	f->limit = (struct disk_limit_options){0};
	if (parse_number(number, 1, DISK_LIMIT_IOPS_MAX, &f->limit.iops) ||
		(burst && parse_number(burst, 1, DISK_LIMIT_IOPS_MAX, &f->limit.iops_burst)))
		return err_set(e, -EINVAL, "--disk: iops=%s: iops=N or iops=N:BURST, 1 to %llu",
			number, DISK_LIMIT_IOPS_MAX);
	return 0;
}

static int parse_bps(struct disk_spec_filter *f, char *value, struct err *e)
{
	char *burst = value, *number = strsep(&burst, ":");
	struct disk_limit_options *o = &f->limit;

	*o = (struct disk_limit_options){0};
	if (parse_size(number, &o->bps) || o->bps < DISK_LIMIT_BPS_MIN ||
		o->bps > DISK_LIMIT_BPS_MAX)
		return err_set(
			e, -EINVAL, "--disk: bps=%s: a size from 64K to 1024G per second", number);
	if (burst && (parse_size(burst, &o->bps_burst) || !o->bps_burst ||
			     o->bps_burst > DISK_LIMIT_BURST_MAX))
		return err_set(
			e, -EINVAL, "--disk: bps=: the burst %s is not a size up to 1G", burst);
	return 0;
}

static int parse_log(struct disk_spec_filter *f, char *value, struct err *e)
{
	if (!*value)
		return err_set(e, -EINVAL, "--disk: log= needs a file name");
	f->log = value;
	return 0;
}

static int parse_volatile(struct disk_spec_filter *f, char *value, struct err *e)
{
	f->seed = 1;
	if (value && parse_number(value, 0, UINT64_MAX, &f->seed))
		return err_set(e, -EINVAL, "--disk: volatile=%s: the seed is a number", value);
	return 0;
}

static const struct {
	const char *name;
	enum disk_spec_filter_kind kind;
	bool value_optional;
	int (*parse)(struct disk_spec_filter *f, char *value, struct err *e);
} filter_kinds[] = {
	{"delay", DISK_SPEC_DELAY, false, parse_delay},
	{"error", DISK_SPEC_ERROR, false, parse_error},
	{"iops", DISK_SPEC_LIMIT, false, parse_iops},
	{"bps", DISK_SPEC_LIMIT, false, parse_bps},
	{"log", DISK_SPEC_LOG, false, parse_log},
	{"volatile", DISK_SPEC_VOLATILE, true, parse_volatile},
};

static int add_filter(struct disk_spec *s, size_t kind, char *value, struct err *e)
{
	struct disk_spec_filter *f = &s->filter[s->filters];

	if (!value && !filter_kinds[kind].value_optional)
		return err_set(e, -EINVAL, "--disk: %s needs a value", filter_kinds[kind].name);
	if (s->filters == DISK_SPEC_FILTERS_MAX)
		return err_set(
			e, -EINVAL, "--disk: at most %u filters on a disk", DISK_SPEC_FILTERS_MAX);
	f->kind = filter_kinds[kind].kind;
	s->filters++;
	return filter_kinds[kind].parse(f, value, e);
}

int disk_spec_filter(struct disk_spec *s, char *text, struct err *e)
{
	size_t len = strcspn(text, "=");

	for (size_t i = 0; i < sizeof(filter_kinds) / sizeof(filter_kinds[0]); i++)
		if (strlen(filter_kinds[i].name) == len &&
			!strncmp(text, filter_kinds[i].name, len))
			return add_filter(s, i, text[len] ? text + len + 1 : NULL, e);
	return 1;
}

/* ---- opening ------------------------------------------------------------- */

static int open_source(struct disk **disk, const struct disk_spec *s,
	const struct disk_file_options *o, struct err *e)
{
	switch (s->kind) {
	case DISK_SPEC_FILE:
		return disk_file_open(disk, s->name, o, e);
	case DISK_SPEC_MEMORY:
		return disk_memory_open(disk, s->size, e);
	case DISK_SPEC_NULL:
		return disk_null_open(disk, s->size, e);
	case DISK_SPEC_NBD:
		return disk_nbd_open(
			disk, s->name, &(struct disk_nbd_options){.read_only = o->read_only}, e);
	}
	assert(!"kind");
	return -EINVAL;
}

static int open_filter(
	struct disk **disk, struct disk *lower, const struct disk_spec_filter *f, struct err *e)
{
	switch (f->kind) {
	case DISK_SPEC_DELAY:
		return disk_delay_open(disk, lower, &f->delay, e);
	case DISK_SPEC_ERROR:
		return disk_error_open(disk, lower, &f->error, e);
	case DISK_SPEC_LIMIT:
		return disk_limit_open(disk, lower, &f->limit, e);
	case DISK_SPEC_LOG:
		return disk_log_open(disk, lower, f->log, e);
	case DISK_SPEC_VOLATILE:
		return disk_volatile_open(disk, lower, f->seed, e);
	}
	assert(!"kind");
	return -EINVAL;
}

size_t disk_spec_req_size_max(void)
{
	return (1 + DISK_SPEC_FILTERS_MAX) * (sizeof(struct disk_req) + SCRATCH_MAX);
}

int disk_spec_open(struct disk **disk, const struct disk_spec *s, const struct disk_file_options *o,
	struct err *e)
{
	struct disk *top;
	int ret = open_source(&top, s, o, e);

	if (ret)
		return ret;
	for (uint32_t i = 0; i < s->filters; i++) {
		ret = open_filter(&top, top, &s->filter[i], e);
		if (ret) {
			disk_close(top);
			return ret;
		}
	}
	assert(disk_req_size(top) <= disk_spec_req_size_max());
	*disk = top;
	return 0;
}
