/* SPDX-License-Identifier: MIT */
/*
 * Shared by the loaders: the addresses of boot structures, and functions that write
 * them. A loader first decodes the image and checks that all of it fits (may fail),
 * then puts it into memory (cannot fail).
 *
 * Low memory while a guest starts. The kernel is at BOOT_KERNEL_MIN or higher, the
 * initrd at the top of RAM.
 *
 *   0x01000  GDT                        0x10000  command line
 *   0x02000  boot_params / start info   0x20000  module 0 of flat guests
 *   0x03000  memory map, module list    0x9FC00  reserved up to BOOT_KERNEL_MIN
 *   0x04000  page tables, 6 pages       0xE0000  ACPI tables
 */
#ifndef HYPER_BOOT_IMPL_H
#define HYPER_BOOT_IMPL_H

#include <stdbool.h>
#include <stdint.h>

#include "hyper/boot/boot.h"

#define BOOT_GDT         0x1000ull
#define BOOT_INFO        0x2000ull
#define BOOT_LISTS       0x3000ull
#define BOOT_PAGE_TABLES 0x4000ull
#define BOOT_STACK_TOP   0x10000ull
#define BOOT_CMDLINE     0x10000ull
#define BOOT_CMDLINE_MAX 0xFFFFull /* without the NUL */
#define BOOT_MODULE      0x20000ull
#define BOOT_MODULE_MAX  0x10000ull
#define BOOT_LOW_END     0x9FC00ull
#define BOOT_KERNEL_MIN  0x100000ull
#define BOOT_MEMORY_MIN  (4ull << 20) /* everything above lies below it */

/* x86-64 Linux cuts longer command lines off (COMMAND_LINE_SIZE, without the NUL). */
#define BOOT_LINUX_CMDLINE_MAX 2047u

static inline uint64_t boot_align_up(uint64_t value, uint64_t align)
{
	return (value + align - 1) / align * align;
}

/* MiB, rounded up: for messages. */
static inline unsigned long long boot_mib(uint64_t bytes)
{
	return bytes / (1 << 20) + (bytes % (1 << 20) != 0);
}

/* The guest's memory map; types as in E820 and the Xen memmap. */
enum { BOOT_REGION_RAM = 1, BOOT_REGION_RESERVED = 2 };
struct boot_region {
	uint64_t start, size;
	uint32_t type;
};
#define BOOT_REGIONS_MAX 4u
unsigned boot_memory_map(const struct gmem *g, struct boot_region map[BOOT_REGIONS_MAX]);

/* ---- decode -------------------------------------------------------------- */

/* Copies a part of the file. -ENODATA past its end; no overflow for any input. */
int boot_image_get(const struct boot_image *image, uint64_t offset, void *to, uint64_t len);

int boot_check_cmdline(const struct boot_config *config, uint64_t max, struct err *e);

/* The initrd's address: page aligned, as high as possible in [lowest, limit). */
int boot_place_initrd(const struct gmem *g, const struct boot_config *config, uint64_t lowest,
	uint64_t limit, uint64_t *gpa, struct err *e);

/* The error when the kernel ends at `end` and memory ends before it. */
int boot_too_small(
	const struct gmem *g, const struct boot_image *kernel, uint64_t end, struct err *e);

/* The loadable parts of an ELF image (segments.c). */
#define BOOT_SEGMENTS_MAX 64u
struct boot_segment {
	uint64_t offset, file_size; /* in the file */
	uint64_t gpa, mem_size;     /* in memory; zero behind file_size */
};
struct boot_segments {
	struct boot_segment at[BOOT_SEGMENTS_MAX];
	unsigned count;
	uint64_t end; /* first GPA after the highest */
};
int boot_segments_add(struct boot_segments *list, const struct gmem *g,
	const struct boot_image *kernel, const struct boot_segment *segment, struct err *e);
/* True when gpa, the entry point, is in one of them. */
bool boot_segments_contain(const struct boot_segments *list, uint64_t gpa);
void boot_segments_put(
	const struct boot_segments *list, const struct gmem *g, const struct boot_image *kernel);

/* ---- put ----------------------------------------------------------------- */

/* The caller has checked that g has BOOT_MEMORY_MIN, and the ranges it passes. */
void boot_put(const struct gmem *g, uint64_t gpa, const void *from, uint64_t len);
void boot_put_cmdline(const struct gmem *g, const char *cmdline);
/* Identity mapping of the first 4 GiB by 2 MiB pages; returns CR3. */
uint64_t boot_put_page_tables(const struct gmem *g);
/* Flat segments: selector 0x10 code (64-bit or 32-bit), 0x18 data. Fills entry's GDT. */
void boot_put_gdt(const struct gmem *g, struct boot_entry *entry);

/* Starts a 64-bit kernel at rip with boot_params (linux.c). header: the setup header to pass on,
 * of header_size bytes; the loader's own fields in it are overwritten. */
struct linux_start {
	const void *header;
	uint32_t header_size;
	uint64_t rip;
	uint64_t kernel; /* where it was loaded */
	uint64_t initrd, initrd_size;
	uint64_t rsdp;
	const struct boot_framebuffer *framebuffer;
};
void boot_put_linux_start(
	const struct gmem *g, const struct linux_start *start, struct boot_entry *entry);

#endif
