/* SPDX-License-Identifier: MIT */
#ifndef FLAT_MEMORY_H
#define FLAT_MEMORY_H

#include <stddef.h>

void *memset(void *to, int byte, size_t size);
void *memcpy(void *to, const void *from, size_t size);

#endif
