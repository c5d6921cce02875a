/* SPDX-License-Identifier: MIT */
/*
 * Which pages of guest memory were ever used: the others are zero, and reading them would only make
 * the kernel allocate. The kernel says it of anonymous memory in /proc/self/pagemap, of shared
 * memory by SEEK_DATA of its file. Where it does not (memory of an image, no /proc), all count as
 * used. Thread: the caller's, which may sleep.
 */
#ifndef SAVE_RESIDENT_H
#define SAVE_RESIDENT_H

#include "base/gmem.h"

struct resident {
	const struct gmem *gmem;
	int fd; /* anonymous: /proc/self/pagemap, or -1: unknown */
};

void resident_open(struct resident *r, const struct gmem *gmem);
void resident_close(struct resident *r);
/* offset: into RAM, in the order of GPAs without the hole. At most 64 pages. */
bool resident_any(const struct resident *r, uint64_t offset, size_t size);

#endif
