/* SPDX-License-Identifier: MIT */
#include "save/resident.h"

#include <assert.h>
#include <errno.h>
#include <unistd.h>

#include "base/proc_self.h"

#define PAGES_MAX 64u
#define PRESENT   (1ull << 63)
#define SWAPPED   (1ull << 62)

void resident_open(struct resident *r, const struct gmem *gmem)
{
	r->gmem = gmem;
	r->fd = -1;
	if (gmem->kind == GMEM_ANONYMOUS)
		r->fd = proc_self_open(PROC_SELF_PAGEMAP);
}

void resident_close(struct resident *r)
{
	if (r->fd >= 0)
		close(r->fd);
}

/* In one range of RAM. */
static bool range_any(const struct resident *r, uint64_t gpa, size_t size)
{
	uint64_t entries[PAGES_MAX];
	size_t pages = size / GMEM_PAGE_SIZE;
	uint64_t first = (uint64_t)(uintptr_t)(r->gmem->base + gpa) / GMEM_PAGE_SIZE;

	assert(pages <= PAGES_MAX);
	if (pread(r->fd, entries, pages * sizeof(entries[0]),
		    (off_t)(first * sizeof(entries[0]))) != (ssize_t)(pages * sizeof(entries[0])))
		return true;
	for (size_t i = 0; i < pages; i++)
		if (entries[i] & (PRESENT | SWAPPED))
			return true;
	return false;
}

/* The file has the same order. Where it ends in a hole the answer is ENXIO. */
static bool file_any(int memfd, uint64_t offset, size_t size)
{
	off_t data = lseek(memfd, (off_t)offset, SEEK_DATA);

	return data < 0 ? errno != ENXIO : (uint64_t)data < offset + size;
}

bool resident_any(const struct resident *r, uint64_t offset, size_t size)
{
	const struct gmem *g = r->gmem;
	size_t low = offset < g->low_size ? (size_t)(g->low_size - offset) : 0;

	if (g->kind == GMEM_SHARED)
		return file_any(g->memfd, offset, size);
	if (r->fd < 0)
		return true;
	if (low > size)
		low = size;
	if (low && range_any(r, offset, low))
		return true;
	return low < size && range_any(r, GMEM_HIGH_START + offset + low - g->low_size, size - low);
}
