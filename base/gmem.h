/* SPDX-License-Identifier: MIT */
/*
 * Guest memory: one memfd, seen by the guest as RAM at [0, low_size) and
 * [4 GiB, 4 GiB + high_size). The host reserves one window of address space in
 * which host address = base + GPA, so a translation is a range check and an
 * addition, and GPA-contiguous memory is contiguous for the host too.
 *
 * No KVM here: hyper/kvm registers the memory with KVM; tests and fuzzers use it
 * alone. Thread: any, except for create and destroy.
 */
#ifndef BASE_GMEM_H
#define BASE_GMEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define GMEM_PAGE_SIZE  4096u
#define GMEM_LOW_MAX    (3ull << 30) /* highest end of RAM below 4 GiB */
#define GMEM_HIGH_START (4ull << 30)

/* Memory shared with the guest: may change at any time under the reader.
 * Only ring and guest-memory code dereferences such pointers. */
#if defined(__CHECKER__)
#define GUEST_SHARED __attribute__((noderef, address_space(5)))
#define GUEST_FORCE  __attribute__((force)) /* a cast to or from it is meant */
#else
#define GUEST_SHARED
#define GUEST_FORCE
#endif

struct gmem {
	int memfd;
	uint8_t *base;      /* host address of GPA 0 */
	uint64_t low_size;  /* bytes of RAM at GPA 0 */
	uint64_t high_size; /* bytes of RAM at GMEM_HIGH_START */
};

/* size: bytes, a page multiple, > 0. Memory is zero and not populated. */
int gmem_create(struct gmem *g, uint64_t size, struct err *e);
void gmem_destroy(struct gmem *g);

/* Offset of a RAM GPA inside the memfd. Only for GPAs gmem_at() accepts. */
static inline uint64_t gmem_file_offset(const struct gmem *g, uint64_t gpa)
{
	return gpa < GMEM_HIGH_START ? gpa : gpa - GMEM_HIGH_START + g->low_size;
}

/* True when [gpa, gpa + len) lies wholly in one range of RAM; no overflow for any input. */
static inline bool gmem_contains(const struct gmem *g, uint64_t gpa, uint64_t len)
{
	if (gpa < g->low_size)
		return len <= g->low_size - gpa;
	if (gpa < GMEM_HIGH_START)
		return false;
	gpa -= GMEM_HIGH_START;
	return gpa < g->high_size && len <= g->high_size - gpa;
}

/* Host pointer to [gpa, gpa + len), or NULL when any byte of it is not RAM. */
static inline void GUEST_SHARED *gmem_at(const struct gmem *g, uint64_t gpa, uint64_t len)
{
	return gmem_contains(g, gpa, len) ? (void GUEST_SHARED *)(g->base + gpa) : NULL;
}

/* One linear host view of `count` pages given by page frame number. Contiguous
 * pages are used where they are; others are mapped in order, `*mapped` says so.
 * NULL when a PFN is not RAM or the mapping fails. The view ends with
 * gmem_unmap_pages(view, count, mapped). Duplicate PFNs are legal. */
void GUEST_SHARED *gmem_map_pages(
	const struct gmem *g, const uint64_t *pfns, size_t count, bool *mapped);
void gmem_unmap_pages(void GUEST_SHARED *view, size_t count, bool mapped);

/* Copies between private memory and the guest. 0, or -EFAULT when not RAM (nothing copied). */
int gmem_read(const struct gmem *g, uint64_t gpa, void *to, size_t len);
int gmem_write(const struct gmem *g, uint64_t gpa, const void *from, size_t len);

#endif
