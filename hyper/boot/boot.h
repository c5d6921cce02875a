/* SPDX-License-Identifier: MIT */
/*
 * Boot loaders: put a kernel into guest memory and return the start state of VP 0.
 * Files are read into private memory once and parsed there; every offset and
 * size in them is hostile until checked. No KVM, no partition: loaders work on
 * a gmem and are fuzzed alone. Thread: control, before VPs start.
 */
#ifndef HYPER_BOOT_H
#define HYPER_BOOT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/gmem.h"

enum boot_mode {
	BOOT_LONG_MODE, /* 64-bit Linux protocol: paging on, identity mapped, RSI = boot_params */
	BOOT_PROTECTED, /* multiboot v1: 32-bit, paging off, EBX = info, EAX = magic */
	BOOT_PVH,       /* 32-bit, paging off, EBX = hvm_start_info */
};

/* Start state of VP 0. Other registers are zero; RFLAGS = 2; interrupts off. The GDT has flat
 * segments in every mode: 0x10 code (64-bit in long mode, else 32-bit), 0x18 data. */
struct boot_entry {
	enum boot_mode mode;
	uint64_t rip;
	uint64_t rax, rbx, rsi, rsp;
	uint64_t cr3; /* BOOT_LONG_MODE */
	uint64_t gdt_base;
	uint16_t gdt_limit;
};

struct boot_image {
	uint8_t *data; /* private copy of the file */
	uint64_t size;
	const char *path; /* for messages */
};

/* Where a picture is that the kernel can draw on from its first moment: 32 bits a pixel, rows
 * without gaps. Below 4 GiB. */
struct boot_framebuffer {
	uint32_t gpa, size; /* size 0: there is none */
	uint16_t width, height;
};

struct boot_config {
	struct boot_image kernel;
	struct boot_image initrd; /* size 0: none; for flat guests: more environment text */
	const char *cmdline;      /* "" when none */
	uint32_t vp_count;
	bool test_device; /* passed to flat guests */
	struct boot_framebuffer
		framebuffer; /* for Linux by its 64-bit protocol; others ignore it */
};

/* A descriptor for boot_image_read(), or -errno. */
int boot_image_open(const char *path, struct err *e);
/* Reads the whole file at `fd`, of at most `max` bytes, from its beginning; path: for messages. */
int boot_image_read(
	struct boot_image *image, int fd, const char *path, uint64_t max, struct err *e);
void boot_image_free(struct boot_image *image);

/* Recognises bzImage, ELF64 vmlinux (PVH note or 64-bit entry), multiboot-v1 ELF32; loads it,
 * the initrd, the command line, ACPI tables and boot structures; fills entry. */
int boot_load(const struct gmem *g, const struct boot_config *config, struct boot_entry *entry,
	struct err *e);

/* The loaders behind boot_load() (linux.c, elf.c, multiboot.c). */
bool boot_is_bzimage(const struct boot_image *image);
int boot_load_bzimage(const struct gmem *g, const struct boot_config *config,
	struct boot_entry *entry, struct err *e);
bool boot_is_elf64(const struct boot_image *image);
int boot_load_elf64(const struct gmem *g, const struct boot_config *config,
	struct boot_entry *entry, struct err *e);
bool boot_is_multiboot(const struct boot_image *image);
int boot_load_multiboot(const struct gmem *g, const struct boot_config *config,
	struct boot_entry *entry, struct err *e);

/* ACPI tables (acpi.c): RSDP, XSDT, FADT, MADT, DSDT at BOOT_ACPI_START; returns the RSDP's GPA. */
#define BOOT_ACPI_START 0xE0000ull
#define BOOT_ACPI_END   0xFF000ull /* above it stands the reset vector */
int acpi_build(const struct gmem *g, uint32_t vp_count, uint64_t *rsdp, struct err *e);

#endif
