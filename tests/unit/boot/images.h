/* SPDX-License-Identifier: MIT */
/* Kernel images made by hand for the loader tests: small, valid, easy to break. */
#ifndef TESTS_UNIT_BOOT_IMAGES_H
#define TESTS_UNIT_BOOT_IMAGES_H

#include <elf.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* after its prerequisites */
#include <cmocka.h>

#include "hyper/boot/boot.h"
#include "hyper/boot/boot_impl.h"
#include "hyper/boot/linux_reg.h"
#include "hyper/boot/multiboot_reg.h"
#include "hyper/boot/pvh_reg.h"

#define MIB              (1ull << 20)
#define TEST_KERNEL      (16 * MIB) /* where the test kernels load */
#define TEST_INIT        (2 * MIB)  /* init_size of the test bzImage */
#define TEST_CODE_OFFSET (2 * LINUX_SECTOR)
#define TEST_CODE_SIZE   0x1000u
#define TEST_PATH        "kernel.test"

struct test_boot {
	struct gmem g; /* tests make low_size smaller */
	uint64_t low_size;
	uint8_t file[0x4000];
	uint8_t initrd[0x3000];
	struct boot_config config;
	struct boot_entry entry;
	struct err e;
};

static inline void test_boot_open(struct test_boot *t, uint64_t memory)
{
	memset(t, 0, sizeof(*t));
	assert_int_equal(gmem_create(&t->g, memory, &t->e), 0);
	t->low_size = t->g.low_size;
	for (size_t i = 0; i < sizeof(t->initrd); i++)
		t->initrd[i] = (uint8_t)(i * 7 + 1);
	t->config = (struct boot_config){
		.kernel = {.data = t->file, .size = sizeof(t->file), .path = TEST_PATH},
		.initrd = {.data = t->initrd, .size = 0, .path = "initrd.test"},
		.cmdline = "console=ttyS0 quiet",
		.vp_count = 2,
	};
}

static inline void test_boot_close(struct test_boot *t)
{
	t->g.low_size = t->low_size;
	gmem_destroy(&t->g);
}

static inline int test_boot_load(struct test_boot *t)
{
	t->e.text[0] = '\0';
	return boot_load(&t->g, &t->config, &t->entry, &t->e);
}

/* The loader fails with this code, and one line that contains `part`. */
static inline void test_boot_refuses(struct test_boot *t, int code, const char *part)
{
	int ret = test_boot_load(t);

	if (ret != code || !strstr(t->e.text, part) || strchr(t->e.text, '\n'))
		fail_msg("got %d \"%s\", want %d \"...%s...\"", ret, t->e.text, code, part);
}

static inline void *test_guest(struct test_boot *t, uint64_t gpa, uint64_t len)
{
	void *at = gmem_at(&t->g, gpa, len);

	assert_non_null(at);
	return at;
}

static inline struct setup_header *test_bzimage_header(struct test_boot *t)
{
	return (struct setup_header *)(t->file + LINUX_HEADER_OFFSET);
}

/* One setup sector, then TEST_CODE_SIZE bytes of code that count up. */
static inline void test_make_bzimage(struct test_boot *t)
{
	struct setup_header *header = test_bzimage_header(t);

	memset(t->file, 0xA5, TEST_CODE_OFFSET); /* nothing outside the header may be passed on */
	*header = (struct setup_header){
		.setup_sects = 1,
		.syssize = TEST_CODE_SIZE / 16,
		.boot_flag = LINUX_BOOT_FLAG,
		.jump = 0x6AEB, /* to 0x26C */
		.header = LINUX_MAGIC,
		.version = 0x020F,
		.loadflags = LOADED_HIGH | KEEP_SEGMENTS | CAN_USE_HEAP,
		.xloadflags = XLF_KERNEL_64,
		.initrd_addr_max = 0x7FFFFFFF,
		.kernel_alignment = 2 * MIB,
		.relocatable_kernel = 1,
		.cmdline_size = 2047,
		.setup_data = 0xBAD,
		.pref_address = TEST_KERNEL,
		.init_size = TEST_INIT,
	};
	for (size_t i = 0; i < TEST_CODE_SIZE; i++)
		t->file[TEST_CODE_OFFSET + i] = (uint8_t)(i ^ i >> 8);
	t->config.kernel.size = TEST_CODE_OFFSET + TEST_CODE_SIZE;
}

/* An ELF64 with one PT_LOAD of 0x1000 bytes (0x3000 in memory); ph[1] is empty. */
static inline Elf64_Ehdr *test_make_elf64(struct test_boot *t)
{
	Elf64_Ehdr *header = (Elf64_Ehdr *)t->file;
	Elf64_Phdr *ph = (Elf64_Phdr *)(t->file + sizeof(*header));

	memset(t->file, 0, sizeof(t->file));
	memcpy(header->e_ident, ELFMAG, SELFMAG);
	header->e_ident[EI_CLASS] = ELFCLASS64;
	header->e_ident[EI_DATA] = ELFDATA2LSB;
	header->e_type = ET_EXEC;
	header->e_machine = EM_X86_64;
	header->e_entry = TEST_KERNEL + 0x40;
	header->e_phoff = sizeof(*header);
	header->e_phentsize = sizeof(*ph);
	header->e_phnum = 2;
	ph[0] = (Elf64_Phdr){
		.p_type = PT_LOAD,
		.p_offset = 0x1000,
		.p_vaddr = 0xFFFFFFFF81000000,
		.p_paddr = TEST_KERNEL,
		.p_filesz = 0x1000,
		.p_memsz = 0x3000,
	};
	for (size_t i = 0; i < 0x1000; i++)
		t->file[0x1000 + i] = (uint8_t)(i * 3 + 1);
	return header;
}

static inline Elf64_Phdr *test_elf64_ph(struct test_boot *t, unsigned i)
{
	return (Elf64_Phdr *)(t->file + sizeof(Elf64_Ehdr)) + i;
}

#define TEST_NOTES 0x2800u
/* Writes a note and returns the address of the next one. */
static inline uint32_t test_put_note(struct test_boot *t, uint32_t at, const char *name,
	uint32_t type, const void *desc, uint32_t desc_size)
{
	Elf64_Nhdr note = {(uint32_t)strlen(name) + 1, desc_size, type};

	memcpy(t->file + at, &note, sizeof(note));
	memcpy(t->file + at + sizeof(note), name, note.n_namesz);
	at += sizeof(note) + (note.n_namesz + 3) / 4 * 4;
	memcpy(t->file + at, desc, desc_size);
	return at + (desc_size + 3) / 4 * 4;
}

/* An ELF32 with a multiboot header at the start of its only segment. */
static inline Elf32_Ehdr *test_make_multiboot(struct test_boot *t)
{
	Elf32_Ehdr *header = (Elf32_Ehdr *)t->file;
	Elf32_Phdr *ph = (Elf32_Phdr *)(t->file + sizeof(*header));
	struct multiboot_header *multiboot = (struct multiboot_header *)(t->file + 0x1000);

	memset(t->file, 0, sizeof(t->file));
	memcpy(header->e_ident, ELFMAG, SELFMAG);
	header->e_ident[EI_CLASS] = ELFCLASS32;
	header->e_ident[EI_DATA] = ELFDATA2LSB;
	header->e_type = ET_EXEC;
	header->e_machine = EM_386;
	header->e_entry = 0x400010;
	header->e_phoff = sizeof(*header);
	header->e_phentsize = sizeof(*ph);
	header->e_phnum = 1;
	*ph = (Elf32_Phdr){
		.p_type = PT_LOAD,
		.p_offset = 0x1000,
		.p_paddr = 0x400000,
		.p_filesz = 0x800,
		.p_memsz = 0x100000,
	};
	*multiboot = (struct multiboot_header){MULTIBOOT_MAGIC, 0, -MULTIBOOT_MAGIC};
	memset(t->file + 0x1010, 0x90, 0x7F0);
	return header;
}

#endif
