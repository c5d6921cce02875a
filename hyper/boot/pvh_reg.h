/* SPDX-License-Identifier: MIT */
/* The PVH boot ABI (Xen "HVM direct boot"), version 1. Bytes only. */
#ifndef HYPER_BOOT_PVH_REG_H
#define HYPER_BOOT_PVH_REG_H

#include <stddef.h>
#include <stdint.h>

#define PVH_MAGIC           0x336EC578u
#define PVH_VERSION         1u
#define PVH_NOTE_NAME       "Xen"
#define PVH_NOTE_PHYS_ENTRY 18u /* ELF note type: the 32-bit entry point */

struct pvh_start_info {
	uint32_t magic;
	uint32_t version;
	uint32_t flags;
	uint32_t module_count;
	uint64_t modules;
	uint64_t cmdline;
	uint64_t rsdp;
	uint64_t memory_map;
	uint32_t memory_map_count;
	uint32_t reserved;
};
_Static_assert(sizeof(struct pvh_start_info) == 56, "");
_Static_assert(offsetof(struct pvh_start_info, memory_map) == 40, "");

struct pvh_module {
	uint64_t start;
	uint64_t size;
	uint64_t cmdline;
	uint64_t reserved;
};
_Static_assert(sizeof(struct pvh_module) == 32, "");

struct pvh_memory {
	uint64_t start;
	uint64_t size;
	uint32_t type;
	uint32_t reserved;
};
_Static_assert(sizeof(struct pvh_memory) == 24, "");

#endif
