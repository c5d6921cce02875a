/* SPDX-License-Identifier: MIT */
/* Multiboot version 1. Bytes only. */
#ifndef HYPER_BOOT_MULTIBOOT_REG_H
#define HYPER_BOOT_MULTIBOOT_REG_H

#include <stddef.h>
#include <stdint.h>

#define MULTIBOOT_MAGIC        0x1BADB002u /* in the image */
#define MULTIBOOT_LOADER_MAGIC 0x2BADB002u /* in EAX */
#define MULTIBOOT_SEARCH       8192u       /* the header is in the first bytes, 4-aligned */

/* Header flags: bits 0..15 are requirements. These are supported, others end the boot. */
#define MULTIBOOT_WANT_PAGE_ALIGN 0x00000001u
#define MULTIBOOT_WANT_MEMORY     0x00000002u
#define MULTIBOOT_DEMANDS         0x0000FFFFu

struct multiboot_header {
	uint32_t magic;
	uint32_t flags;
	uint32_t checksum; /* the three add up to 0 */
};
_Static_assert(sizeof(struct multiboot_header) == 12, "");

#define MULTIBOOT_HAS_MEMORY  0x001u
#define MULTIBOOT_HAS_CMDLINE 0x004u
#define MULTIBOOT_HAS_MODULES 0x008u
#define MULTIBOOT_HAS_MMAP    0x040u

struct multiboot_info {
	uint32_t flags;
	uint32_t mem_lower; /* KiB from 0 */
	uint32_t mem_upper; /* KiB from 1 MiB */
	uint32_t boot_device;
	uint32_t cmdline;
	uint32_t mods_count;
	uint32_t mods_addr;
	uint32_t syms[4];
	uint32_t mmap_length;
	uint32_t mmap_addr;
	uint32_t others[16]; /* not present by flags */
};
_Static_assert(offsetof(struct multiboot_info, cmdline) == 16, "");
_Static_assert(offsetof(struct multiboot_info, mmap_length) == 44, "");
_Static_assert(sizeof(struct multiboot_info) == 116, "");

struct multiboot_module {
	uint32_t start;
	uint32_t end;
	uint32_t string;
	uint32_t reserved;
};
_Static_assert(sizeof(struct multiboot_module) == 16, "");

struct multiboot_mmap {
	uint32_t size; /* of the rest */
	uint64_t start;
	uint64_t length;
	uint32_t type;
} __attribute__((packed));
_Static_assert(sizeof(struct multiboot_mmap) == 24, "");

#endif
