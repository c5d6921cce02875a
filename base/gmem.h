/* SPDX-License-Identifier: MIT */
/*
 * Guest memory, seen by the guest as RAM at [0, low_size) and
 * [4 GiB, 4 GiB + high_size), and what was added while it ran at
 * [added_start, added_start + added_size). The host reserves one window of address
 * space in which host address = base + GPA, so a translation is a range check and an
 * addition, and GPA-contiguous memory is contiguous for the host too. base is a
 * multiple of 2 MiB: what is a huge page here can be one for the guest.
 *
 * Three kinds, chosen at creation (docs/adr/0008):
 *
 *   anonymous  the kernel gives huge pages where its settings allow them on request
 *              (madvise), which they do by default
 *   shared     a memfd, for other processes that map it; no huge pages by default
 *   image      a file, page for page, until the guest writes to a page: then that
 *              page is a private copy. Any number of VMs share what they do not
 *              write. The file must not change meanwhile
 *
 * There is one mapping of each page, and none may be added: a second one of
 * anonymous or image memory would have other contents.
 *
 * Dynamic memory can grow, and its pages can be given back to the host; which of them are, and
 * which may not, is in base/gmem_pages.h.
 *
 * No KVM here: hyper/kvm registers the memory with KVM; tests and fuzzers use it
 * alone. Thread: any, except for create, add and destroy. A process that forks does not
 * pass it on.
 */
#ifndef BASE_GMEM_H
#define BASE_GMEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define GMEM_PAGE_SIZE  4096u
#define GMEM_HUGE_SIZE  (2ull << 20)
#define GMEM_LOW_MAX    (3ull << 30) /* highest end of RAM below 4 GiB */
#define GMEM_HIGH_START (4ull << 30)
/* Guests add memory in blocks that are multiples of their size away from 0: 2 GiB is the largest.
 */
#define GMEM_ADDED_ALIGN (2ull << 30)

/* Memory shared with the guest: may change at any time under the reader.
 * Only ring and guest-memory code dereferences such pointers. */
#if defined(__CHECKER__)
#define GUEST_SHARED __attribute__((noderef, address_space(5)))
#define GUEST_FORCE  __attribute__((force)) /* a cast to or from it is meant */
#else
#define GUEST_SHARED
#define GUEST_FORCE
#endif

enum gmem_kind { GMEM_ANONYMOUS, GMEM_SHARED, GMEM_IMAGE };

struct gmem_pages;

struct gmem {
	enum gmem_kind kind;
	int memfd;            /* shared: owned; else -1 */
	uint8_t *base;        /* host address of GPA 0 */
	uint64_t low_size;    /* bytes of RAM at GPA 0 */
	uint64_t high_size;   /* bytes of RAM at GMEM_HIGH_START */
	uint64_t added_start; /* a multiple of GMEM_ADDED_ALIGN, not next to other RAM */
	uint64_t added_size;  /* counter: it only grows */
	uint64_t added_max;
	struct gmem_pages *pages; /* owned; NULL: the memory is not dynamic */
};

/* size: bytes, a page multiple, > 0. Memory is zero and not populated. */
int gmem_create(struct gmem *g, uint64_t size, struct err *e); /* anonymous */
int gmem_create_shared(struct gmem *g, uint64_t size, struct err *e);
/* Contents: `size` bytes of the file from `offset` on, a page multiple, in the order of GPAs
 * without the hole; -EINVAL: it is shorter. fd is readable, and the caller's: it may be closed
 * after the call. */
int gmem_create_image(struct gmem *g, int fd, uint64_t offset, uint64_t size, struct err *e);
/* Dynamic memory, anonymous or shared, to which `more` bytes can be added, a page multiple. */
int gmem_create_dynamic(
	struct gmem *g, enum gmem_kind kind, uint64_t size, uint64_t more, struct err *e);
void gmem_destroy(struct gmem *g);
/* Where RAM would end if everything were added. */
uint64_t gmem_end_max(const struct gmem *g);
/* Makes memory usable until added_size is `size`, a page multiple of at most added_max: zero, and
 * not populated. Any thread that may sleep, one at a time; others see all of it when it is
 * published. After an error added_size is as before, and it can be tried again. */
int gmem_map_added(struct gmem *g, uint64_t size);
/* Memory is added in few pieces, whatever the guest asks for: the size to add for `size`, at most
 * added_max. */
#define GMEM_ADDED_PIECES 32u
uint64_t gmem_added_piece(const struct gmem *g, uint64_t size);
/* A copy for gmem_measure(), which outlives the memory, while another thread may add some. */
struct gmem gmem_addresses(const struct gmem *g);
/* After gmem_map_added(), when KVM has the memory: it is RAM from now on.
 */
void gmem_publish_added(struct gmem *g, uint64_t size);

/* Gives RAM of anonymous or shared memory back to the host; it reads as zeroes, and is there again
 * when it is used. A page multiple. Any thread that may sleep. 0 or -errno. */
int gmem_release(const struct gmem *g, uint64_t gpa, uint64_t len);

/* Offset of a RAM GPA inside memfd, or behind the beginning of the image's memory. Only for GPAs
 * gmem_at() accepts. */
static inline uint64_t gmem_file_offset(const struct gmem *g, uint64_t gpa)
{
	if (gpa < GMEM_HIGH_START)
		return gpa;
	gpa -= GMEM_HIGH_START;
	return gpa < g->high_size
		       ? gpa + g->low_size
		       : gpa + GMEM_HIGH_START - g->added_start + g->low_size + g->high_size;
}

/* True when [gpa, gpa + len) lies wholly in one range of RAM; no overflow for any input. */
static inline bool gmem_contains(const struct gmem *g, uint64_t gpa, uint64_t len)
{
	uint64_t added;

	if (gpa < g->low_size)
		return len <= g->low_size - gpa;
	if (gpa < GMEM_HIGH_START)
		return false;
	if (gpa - GMEM_HIGH_START < g->high_size)
		return len <= g->high_size - (gpa - GMEM_HIGH_START);
	added = __atomic_load_n(&g->added_size, __ATOMIC_ACQUIRE);
	gpa -= g->added_start;
	return gpa < added && len <= added - gpa;
}

/* Host pointer to [gpa, gpa + len), or NULL when any byte of it is not RAM. */
static inline void GUEST_SHARED *gmem_at(const struct gmem *g, uint64_t gpa, uint64_t len)
{
	return gmem_contains(g, gpa, len) ? (void GUEST_SHARED *)(g->base + gpa) : NULL;
}

/* Copies between private memory and the guest. 0, or -EFAULT when not RAM (nothing copied). */
int gmem_read(const struct gmem *g, uint64_t gpa, void *to, size_t len);
int gmem_write(const struct gmem *g, uint64_t gpa, const void *from, size_t len);

/* What guest memory takes of the host's, in bytes. */
struct gmem_use {
	uint64_t resident;
	uint64_t private; /* of these, in no file: anonymous, and copied pages of an image */
	uint64_t huge;    /* of these, in huge pages */
};

/* Any thread that may sleep: the kernel visits all page tables, milliseconds for each GiB that is
 * not in huge pages. Uses only the addresses in g, so a copy of it will do. 0 or -errno. */
int gmem_measure(const struct gmem *g, struct gmem_use *use);

#endif
