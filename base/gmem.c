/* SPDX-License-Identifier: MIT */
#include "base/gmem.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/gmem_pages.h"

/* More than any host has, and too little to overflow the arithmetic below. */
#define GMEM_SIZE_MAX (1ull << 46)

uint64_t gmem_end_max(const struct gmem *g)
{
	if (g->added_max)
		return g->added_start + g->added_max;
	return g->high_size ? GMEM_HIGH_START + g->high_size : g->low_size;
}

/* ---- address space ------------------------------------------------------- */

/* Address space that no other mapping gets, and that is not usable yet, from a multiple of 2 MiB
 * on. What is reserved too much, in front and behind, is given back. */
static uint8_t *reserve(size_t size)
{
	uint8_t *start = mmap(NULL, size + GMEM_HUGE_SIZE, PROT_NONE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	size_t before;

	if (start == MAP_FAILED)
		return NULL;
	before = -(uintptr_t)start % GMEM_HUGE_SIZE;
	if (before)
		munmap(start, before);
	munmap(start + before + size, GMEM_HUGE_SIZE - before);
	return start + before;
}

static const int map_flags[] = {
	[GMEM_SHARED] = MAP_SHARED,
	[GMEM_IMAGE] = MAP_PRIVATE,
};

/* Anonymous memory is the reservation itself: no call here can leave a hole in it. */
static int map_at(const struct gmem *g, int fd, uint64_t start, uint64_t gpa, size_t size, int prot)
{
	uint8_t *at = g->base + gpa;
	void *done = at;

	if (g->kind == GMEM_ANONYMOUS)
		return mprotect(at, size, prot) ? -errno : 0;
	done = mmap(at, size, prot, map_flags[g->kind] | MAP_FIXED | MAP_NORESERVE, fd,
		(off_t)(start + gmem_file_offset(g, gpa)));
	return done == MAP_FAILED ? -errno : 0;
}

/*
 * Maps one range of RAM inside the window. Guest pages are left out of core dumps: they are large
 * and private. A child process does not get them: while it lives, a page would be copied when it is
 * written to, away from where the guest and requests in flight use it.
 */
static int map_range(
	const struct gmem *g, int fd, uint64_t start, uint64_t gpa, size_t size, int prot)
{
	uint8_t *at = g->base + gpa;
	int rc = map_at(g, fd, start, gpa, size, prot);

	if (rc)
		return rc;
	madvise(at, size, MADV_DONTDUMP);
	madvise(at, size, MADV_DONTFORK);
	if (g->kind == GMEM_ANONYMOUS)
		madvise(at, size, MADV_HUGEPAGE); /* fails on a kernel without them */
	return 0;
}

/* start: of RAM in the file. What may be added later is there, but cannot be used. */
static int map_ranges(const struct gmem *g, int fd, uint64_t start)
{
	const int usable = PROT_READ | PROT_WRITE;
	int rc = map_range(g, fd, start, 0, g->low_size, usable);

	if (!rc && g->high_size)
		rc = map_range(g, fd, start, GMEM_HIGH_START, g->high_size, usable);
	if (!rc && g->added_max)
		rc = map_range(g, fd, start, g->added_start, g->added_max, PROT_NONE);
	return rc;
}

/* ---- create, destroy ----------------------------------------------------- */

/* Memory that has its sizes, and is not mapped yet. */
static int prepare(struct gmem *g, enum gmem_kind kind, uint64_t size, struct err *e)
{
	*g = (struct gmem){.kind = kind, .memfd = -1};
	if (!size || size % GMEM_PAGE_SIZE || size > GMEM_SIZE_MAX)
		return err_set(e, -EINVAL,
			"guest memory: %llu bytes is not a size above 0 in pages of %u bytes",
			(unsigned long long)size, GMEM_PAGE_SIZE);
	g->low_size = size < GMEM_LOW_MAX ? size : GMEM_LOW_MAX;
	g->high_size = size - g->low_size;
	return 0;
}

static int map(struct gmem *g, int fd, uint64_t start, struct err *e)
{
	uint64_t size = g->low_size + g->high_size;
	int rc;

	g->base = reserve(gmem_end_max(g));
	if (!g->base)
		return err_set(e, -errno, "guest memory: no address space for %llu bytes: %s",
			(unsigned long long)size, strerror(errno));
	rc = map_ranges(g, fd, start);
	if (!rc)
		return 0;
	gmem_destroy(g);
	return err_set(e, rc, "guest memory: cannot map %llu bytes: %s", (unsigned long long)size,
		strerror(-rc));
}

int gmem_create(struct gmem *g, uint64_t size, struct err *e)
{
	int rc = prepare(g, GMEM_ANONYMOUS, size, e);

	return rc ? rc : map(g, -1, 0, e);
}

/* Not next to other RAM, so that no run of pages crosses from one range into another. */
static uint64_t added_start(const struct gmem *g)
{
	if (!g->high_size)
		return GMEM_HIGH_START;
	return (GMEM_HIGH_START + g->high_size) / GMEM_ADDED_ALIGN * GMEM_ADDED_ALIGN +
	       GMEM_ADDED_ALIGN;
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

/* The file has room for what may be added: it cannot grow later. */
static int map_shared(struct gmem *g, struct err *e)
{
	uint64_t size = g->low_size + g->high_size + g->added_max;
	int fd = memfd_of_size(size), rc;

	if (fd < 0)
		return err_set(e, fd, "guest memory: cannot create %llu bytes: %s",
			(unsigned long long)size, strerror(-fd));
	rc = map(g, fd, 0, e);
	if (rc)
		close(fd);
	else
		g->memfd = fd;
	return rc;
}

int gmem_create_shared(struct gmem *g, uint64_t size, struct err *e)
{
	int rc = prepare(g, GMEM_SHARED, size, e);

	return rc ? rc : map_shared(g, e);
}

int gmem_create_dynamic(
	struct gmem *g, enum gmem_kind kind, uint64_t size, uint64_t more, struct err *e)
{
	int rc = prepare(g, kind, size, e);

	assert(kind != GMEM_IMAGE && more % GMEM_PAGE_SIZE == 0);
	if (rc)
		return rc;
	if (more > GMEM_SIZE_MAX)
		return err_set(e, -EINVAL, "guest memory: %llu bytes more are too much",
			(unsigned long long)more);
	g->added_start = added_start(g);
	g->added_max = more;
	rc = kind == GMEM_SHARED ? map_shared(g, e) : map(g, -1, 0, e);
	if (rc)
		return rc;
	rc = gmem_pages_create(g);
	if (rc) {
		gmem_destroy(g);
		return err_set(e, rc, "guest memory: no memory for its page table");
	}
	return 0;
}

int gmem_create_image(struct gmem *g, int fd, uint64_t offset, uint64_t size, struct err *e)
{
	int rc = prepare(g, GMEM_IMAGE, size, e);
	struct stat st;

	if (rc)
		return rc;
	if (fstat(fd, &st))
		return err_set(e, -errno, "guest memory: image: %s", strerror(errno));
	if ((uint64_t)st.st_size < offset || (uint64_t)st.st_size - offset < size)
		return err_set(e, -EINVAL, "guest memory: image: has %llu bytes, want %llu",
			(unsigned long long)st.st_size, (unsigned long long)(offset + size));
	return map(g, fd, offset, e);
}

void gmem_destroy(struct gmem *g)
{
	if (!g->base)
		return;
	gmem_pages_destroy(g);
	munmap(g->base, gmem_end_max(g));
	if (g->memfd >= 0)
		close(g->memfd);
	*g = (struct gmem){.memfd = -1};
}

/* ---- more, and less ------------------------------------------------------ */

int gmem_map_added(struct gmem *g, uint64_t size)
{
	assert(size <= g->added_max && size % GMEM_PAGE_SIZE == 0);
	if (size <= g->added_size)
		return 0;
	return mprotect(g->base + g->added_start + g->added_size, size - g->added_size,
		       PROT_READ | PROT_WRITE)
		       ? -errno
		       : 0;
}

uint64_t gmem_added_piece(const struct gmem *g, uint64_t size)
{
	uint64_t piece = (g->added_max / GMEM_ADDED_PIECES + GMEM_HUGE_SIZE) / GMEM_HUGE_SIZE *
			 GMEM_HUGE_SIZE;

	assert(size <= g->added_max);
	size = (size + piece - 1) / piece * piece;
	return size < g->added_max ? size : g->added_max;
}

/* Only added_size changes while the memory is used. */
struct gmem gmem_addresses(const struct gmem *g)
{
	return (struct gmem){
		.kind = g->kind,
		.memfd = -1,
		.base = g->base,
		.low_size = g->low_size,
		.high_size = g->high_size,
		.added_start = g->added_start,
		.added_size = __atomic_load_n(&g->added_size, __ATOMIC_ACQUIRE),
		.added_max = g->added_max,
	};
}

void gmem_publish_added(struct gmem *g, uint64_t size)
{
	if (size > g->added_size)
		__atomic_store_n(&g->added_size, size, __ATOMIC_RELEASE);
}

/* Of shared memory the file is punched: without that the pages stay in it. */
int gmem_release(const struct gmem *g, uint64_t gpa, uint64_t len)
{
	int advice = g->kind == GMEM_SHARED ? MADV_REMOVE : MADV_DONTNEED;

	assert(gmem_contains(g, gpa, len) && (gpa | len) % GMEM_PAGE_SIZE == 0);
	if (g->kind == GMEM_IMAGE)
		return -EOPNOTSUPP; /* it would read its file's bytes again */
	return madvise(g->base + gpa, len, advice) ? -errno : 0;
}

/* ---- copies -------------------------------------------------------------- */

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
