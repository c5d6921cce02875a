/* SPDX-License-Identifier: MIT */
#include "disk/stack.h"

#include <assert.h>
#include <errno.h>

#include "base/list.h"
#include "disk/filter/filter.h"

#define SCRATCH_MAX 256u /* disk_ops.req_size of any disk, checked when it is opened */

#define SOURCE_SCHEMA(name) &disk_##name##_source.schema,
#define FILTER_SCHEMA(name) &disk_##name##_filter.schema,

/* clang-format off */
const struct schema *const disk_source_schemas[] = {DISK_SOURCES(SOURCE_SCHEMA) NULL};
const struct schema *const disk_filter_schemas[] = {DISK_FILTERS(FILTER_SCHEMA) NULL};
/* clang-format on */

const struct disk_source_ops *disk_source_ops(const struct schema_value *source)
{
	return container_of(source->schema, const struct disk_source_ops, schema);
}

size_t disk_stack_req_size_max(void)
{
	return (1 + DISK_FILTERS_MAX) * (sizeof(struct disk_req) + SCRATCH_MAX);
}

static int open_filter(
	struct disk **disk, struct disk *lower, const struct schema_value *filter, struct err *e)
{
	const struct disk_filter_ops *ops =
		container_of(filter->schema, const struct disk_filter_ops, schema);
	struct disk *plain;

	if (ops->open)
		return ops->open(disk, lower, filter->object, e);
	plain = filter_create(ops->disk_size, &ops->disk, lower, e);
	if (!plain)
		return -ENOMEM;
	*disk = plain;
	return 0;
}

int disk_stack_open(struct disk **disk, const struct schema_value *source, bool read_only,
	const struct schema_value *filters, uint32_t filter_count, struct err *e)
{
	struct disk *top;
	int ret = disk_source_ops(source)->open(&top, source->object, read_only, e);

	if (ret)
		return ret;
	for (uint32_t i = 0; i < filter_count; i++) {
		ret = open_filter(&top, top, &filters[i], e);
		if (ret) {
			disk_close(top);
			return ret;
		}
	}
	assert(disk_req_size(top) <= disk_stack_req_size_max());
	*disk = top;
	return 0;
}
