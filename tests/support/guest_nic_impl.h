/* SPDX-License-Identifier: MIT */
/* Shared by guest_nic.c and guest_nic_memory.c. */
#ifndef GUEST_NIC_IMPL_H
#define GUEST_NIC_IMPL_H

#include <stdio.h>
#include <stdlib.h>

#include "tests/support/guest_nic.h"

#define die(...)                                                                                   \
	do {                                                                                       \
		fprintf(stderr, "guest NIC: " __VA_ARGS__);                                        \
		fputc('\n', stderr);                                                               \
		abort();                                                                           \
	} while (0)

/* GPA of page `index` of a region of `bytes` bytes, whose pages go backwards. */
uint64_t guest_nic_page(uint64_t gpa, uint32_t bytes, uint32_t index);
/* Copies `len` bytes at `offset` of a region of `size` bytes: into it (put) or out of it. */
void guest_nic_copy(struct guest_nic *n, uint64_t gpa, uint32_t size, uint32_t offset, void *bytes,
	uint32_t len, bool put);

#endif
