/* SPDX-License-Identifier: MIT */
#include "base/gmem.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/log.h"

/* More than any host has, and too little to overflow the arithmetic below. */
#define GMEM_SIZE_MAX (1ull << 46)
#define PFN_MAX       (UINT64_MAX / GMEM_PAGE_SIZE)

static size_t window_size(const struct gmem *g)
{
	return g->high_size ? GMEM_HIGH_START + g->high_size : g->low_size;
}

/* Address space in which nothing is mapped yet. */
static uint8_t *reserve(size_t size)
{
	void *at = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return at == MAP_FAILED ? NULL : at;
}

/* Maps [offset, offset + size) of guest memory at `at`, inside a reservation. Guest pages are left
 * out of core dumps: they are large and private. */
static int map_fixed(const struct gmem *g, uint8_t *at, uint64_t offset, size_t size)
{
	if (mmap(at, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED | MAP_NORESERVE, g->memfd,
		    (off_t)offset) == MAP_FAILED)
		return -errno;
	madvise(at, size, MADV_DONTDUMP);
	return 0;
}

/* Sealed: no other holder of the descriptor can shrink it and cause SIGBUS here. */
static int memfd_of_size(uint64_t size)
{
	int fd = memfd_create("enlite-guest-ram", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int rc;

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)size) < 0 ||
		fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) {
		rc = -errno;
		close(fd);
		return rc;
	}
	return fd;
}

int gmem_create(struct gmem *g, uint64_t size, struct err *e)
{
	int rc;

	memset(g, 0, sizeof(*g));
	g->memfd = -1;
	if (!size || size % GMEM_PAGE_SIZE || size > GMEM_SIZE_MAX)
		return err_set(e, -EINVAL,
			"guest memory: %llu bytes is not a size above 0 in pages of %u bytes",
			(unsigned long long)size, GMEM_PAGE_SIZE);
	g->low_size = size < GMEM_LOW_MAX ? size : GMEM_LOW_MAX;
	g->high_size = size - g->low_size;

	g->memfd = memfd_of_size(size);
	if (g->memfd < 0)
		return err_set(e, g->memfd, "guest memory: cannot create %llu bytes: %s",
			(unsigned long long)size, strerror(-g->memfd));
	g->base = reserve(window_size(g));
	if (!g->base) {
		rc = err_set(e, -errno, "guest memory: no address space for %llu bytes: %s",
			(unsigned long long)size, strerror(errno));
		goto close_memfd;
	}
	rc = map_fixed(g, g->base, 0, g->low_size);
	if (!rc && g->high_size)
		rc = map_fixed(g, g->base + GMEM_HIGH_START, g->low_size, g->high_size);
	if (rc) {
		err_set(e, rc, "guest memory: cannot map %llu bytes: %s", (unsigned long long)size,
			strerror(-rc));
		goto unmap_window;
	}
	return 0;

unmap_window:
	munmap(g->base, window_size(g));
close_memfd:
	close(g->memfd);
	memset(g, 0, sizeof(*g));
	g->memfd = -1;
	return rc;
}

void gmem_destroy(struct gmem *g)
{
	if (!g->base)
		return;
	munmap(g->base, window_size(g));
	close(g->memfd);
	memset(g, 0, sizeof(*g));
	g->memfd = -1;
}

/* True when pfn names a page of RAM. */
static bool pfn_is_ram(const struct gmem *g, uint64_t pfn)
{
	return pfn <= PFN_MAX && gmem_contains(g, pfn * GMEM_PAGE_SIZE, GMEM_PAGE_SIZE);
}

/* Length of the run of consecutive RAM pages that begins with pfns[0]; 0: that is not RAM. A run
 * never crosses the hole below 4 GiB. */
static size_t run_length(const struct gmem *g, const uint64_t *pfns, size_t count)
{
	size_t n = 0;

	while (n < count && pfns[n] == pfns[0] + n && pfn_is_ram(g, pfns[n]))
		n++;
	return n;
}

static int map_runs(const struct gmem *g, uint8_t *view, const uint64_t *pfns, size_t count)
{
	for (size_t i = 0; i < count;) {
		size_t run = run_length(g, pfns + i, count - i);
		int rc;

		if (!run)
			return -EFAULT;
		rc = map_fixed(g, view + i * GMEM_PAGE_SIZE,
			gmem_file_offset(g, pfns[i] * GMEM_PAGE_SIZE), run * GMEM_PAGE_SIZE);
		if (rc)
			return rc;
		i += run;
	}
	return 0;
}

void GUEST_SHARED *gmem_map_pages(
	const struct gmem *g, const uint64_t *pfns, size_t count, bool *mapped)
{
	uint8_t *view;

	*mapped = false;
	if (!count || count > GMEM_SIZE_MAX / GMEM_PAGE_SIZE)
		return NULL;
	if (run_length(g, pfns, count) == count)
		return gmem_at(g, pfns[0] * GMEM_PAGE_SIZE, count * GMEM_PAGE_SIZE);

	view = reserve(count * GMEM_PAGE_SIZE);
	if (!view)
		return NULL;
	if (map_runs(g, view, pfns, count)) {
		munmap(view, count * GMEM_PAGE_SIZE);
		return NULL;
	}
	*mapped = true;
	return (void GUEST_SHARED *)view;
}

void gmem_unmap_pages(void GUEST_SHARED *view, size_t count, bool mapped)
{
	/* If the kernel merged the view with a neighbour, unmapping splits the mapping, which can
	 * fail at the limit of mappings. The view then leaks. */
	if (mapped && munmap((GUEST_FORCE void *)view, count * GMEM_PAGE_SIZE))
		log_event(LOG_ERROR, "guest memory: cannot unmap %zu pages: %s", count,
			strerror(errno));
}

int gmem_read(const struct gmem *g, uint64_t gpa, void *to, size_t len)
{
	const void GUEST_SHARED *from = gmem_at(g, gpa, len);

	if (!from)
		return -EFAULT;
	memcpy(to, (GUEST_FORCE const void *)from, len);
	return 0;
}

int gmem_write(const struct gmem *g, uint64_t gpa, const void *from, size_t len)
{
	void GUEST_SHARED *to = gmem_at(g, gpa, len);

	if (!to)
		return -EFAULT;
	memcpy((GUEST_FORCE void *)to, from, len);
	return 0;
}
