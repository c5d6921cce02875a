/* SPDX-License-Identifier: MIT */
/*
 * Guest memory, seen by the guest as RAM at [0, low_size) and
 * [4 GiB, 4 GiB + high_size). The host reserves one window of address space in
 * which host address = base + GPA, so a translation is a range check and an
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
 * No KVM here: hyper/kvm registers the memory with KVM; tests and fuzzers use it
 * alone. Thread: any, except for create and destroy. A process that forks does not
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

struct gmem {
	enum gmem_kind kind;
	int memfd;          /* shared: owned; else -1 */
	uint8_t *base;      /* host address of GPA 0 */
	uint64_t low_size;  /* bytes of RAM at GPA 0 */
	uint64_t high_size; /* bytes of RAM at GMEM_HIGH_START */
};

/* size: bytes, a page multiple, > 0. Memory is zero and not populated. */
int gmem_create(struct gmem *g, uint64_t size, struct err *e); /* anonymous */
int gmem_create_shared(struct gmem *g, uint64_t size, struct err *e);
/* Contents: the first `size` bytes of the file, in the order of GPAs without the hole; -EINVAL: it
 * is shorter. fd is readable, and the caller's: it may be closed after the call. */
int gmem_create_image(struct gmem *g, int fd, uint64_t size, struct err *e);
void gmem_destroy(struct gmem *g);

/* Offset of a RAM GPA inside memfd or image. Only for GPAs gmem_at() accepts. */
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
