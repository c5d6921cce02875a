/* SPDX-License-Identifier: MIT */
/* The loadable segments of an ELF image: checked one by one, then copied. */
#include <errno.h>

#include "hyper/boot/boot_impl.h"

int boot_segments_add(struct boot_segments *list, const struct gmem *g,
	const struct boot_image *kernel, const struct boot_segment *segment, struct err *e)
{
	const struct boot_segment *s = segment;

	if (s->mem_size == 0)
		return 0;
	if (list->count == BOOT_SEGMENTS_MAX)
		return err_set(e, -ENOEXEC, "%s: more than %u segments: not a kernel", kernel->path,
			BOOT_SEGMENTS_MAX);
	if (s->file_size > s->mem_size)
		return err_set(e, -ENOEXEC,
			"%s: damaged: segment %u is larger in the file than in memory",
			kernel->path, list->count);
	if (s->offset > kernel->size || s->file_size > kernel->size - s->offset)
		return err_set(e, -ENOEXEC,
			"%s: truncated: segment %u ends past the end of the file; copy the kernel again",
			kernel->path, list->count);
	if (s->gpa < BOOT_KERNEL_MIN || s->mem_size > UINT64_MAX - s->gpa)
		return err_set(e, -ENOEXEC,
			"%s: segment %u has address 0x%llx; kernels load at 1 MiB or higher",
			kernel->path, list->count, (unsigned long long)s->gpa);
	if (s->gpa + s->mem_size > g->low_size)
		return boot_too_small(g, kernel, s->gpa + s->mem_size, e);
	if (list->end < s->gpa + s->mem_size)
		list->end = s->gpa + s->mem_size;
	list->at[list->count++] = *s;
	return 0;
}

bool boot_segments_contain(const struct boot_segments *list, uint64_t gpa)
{
	for (unsigned i = 0; i < list->count; i++)
		if (gpa >= list->at[i].gpa && gpa - list->at[i].gpa < list->at[i].mem_size)
			return true;
	return false;
}

/* New guest memory is zero: BSS is not written and stays unpopulated. */
void boot_segments_put(
	const struct boot_segments *list, const struct gmem *g, const struct boot_image *kernel)
{
	for (unsigned i = 0; i < list->count; i++)
		boot_put(g, list->at[i].gpa, kernel->data + list->at[i].offset,
			list->at[i].file_size);
}
