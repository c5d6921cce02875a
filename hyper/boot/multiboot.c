/* SPDX-License-Identifier: MIT */
/*
 * Flat guests: multiboot-v1 ELF32 images, by the conventions of kvm-unit-tests
 * (kvm-unit-tests). Exactly one module is passed: environment text,
 * one NAME=VALUE per line. The initrd, if given, is such text, too, and comes
 * first, so that it can override ours. BOOTLOADER=1 means that the command line
 * does not begin with a program name.
 */
#include <elf.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "hyper/boot/boot_impl.h"
#include "hyper/boot/multiboot_reg.h"

#define ENV_MAX 256u

struct flat {
	Elf32_Ehdr header;
	struct boot_segments segments;
	char env[ENV_MAX];
	uint32_t env_size;
	uint32_t module_size;
};

static bool find_header(const struct boot_image *image, struct multiboot_header *header)
{
	for (uint64_t at = 0; at + sizeof(*header) <= MULTIBOOT_SEARCH; at += 4) {
		if (boot_image_get(image, at, header, sizeof(*header)))
			return false;
		if (header->magic == MULTIBOOT_MAGIC &&
			header->magic + header->flags + header->checksum == 0)
			return true;
	}
	return false;
}

bool boot_is_multiboot(const struct boot_image *image)
{
	struct multiboot_header multiboot;
	Elf32_Ehdr header;

	return boot_image_get(image, 0, &header, sizeof(header)) == 0 &&
	       memcmp(header.e_ident, ELFMAG, SELFMAG) == 0 &&
	       header.e_ident[EI_CLASS] == ELFCLASS32 && header.e_ident[EI_DATA] == ELFDATA2LSB &&
	       header.e_machine == EM_386 && find_header(image, &multiboot);
}

static int decode_segments(
	const struct gmem *g, const struct boot_image *image, struct flat *flat, struct err *e)
{
	const Elf32_Ehdr *header = &flat->header;
	Elf32_Phdr ph;
	int ret = 0;

	if (header->e_phentsize != sizeof(ph))
		return err_set(e, -ENOEXEC, "%s: damaged: no ELF program headers", image->path);
	for (unsigned i = 0; i < header->e_phnum && !ret; i++) {
		struct boot_segment segment;

		if (boot_image_get(
			    image, (uint64_t)header->e_phoff + i * sizeof(ph), &ph, sizeof(ph)))
			return err_set(e, -ENOEXEC,
				"%s: truncated: its ELF program headers are missing", image->path);
		if (ph.p_type != PT_LOAD)
			continue;
		segment = (struct boot_segment){ph.p_offset, ph.p_filesz, ph.p_paddr, ph.p_memsz};
		ret = boot_segments_add(&flat->segments, g, image, &segment, e);
	}
	return ret;
}

static int check_demands(const struct boot_image *image, struct err *e)
{
	uint32_t met = MULTIBOOT_WANT_PAGE_ALIGN | MULTIBOOT_WANT_MEMORY;
	struct multiboot_header header;

	if (!find_header(image, &header))
		return err_set(e, -ENOEXEC, "%s: no multiboot header", image->path);
	if (header.flags & MULTIBOOT_DEMANDS & ~met)
		return err_set(e, -ENOEXEC,
			"%s: its multiboot header requires unsupported features (flags 0x%x)",
			image->path, header.flags & MULTIBOOT_DEMANDS);
	return 0;
}

static int decode_module(
	const struct gmem *g, const struct boot_config *config, struct flat *flat, struct err *e)
{
	const struct boot_image *text = &config->initrd;
	uint64_t mib = (g->low_size + g->high_size) >> 20;
	bool open_line;

	if (text->size > BOOT_MODULE_MAX - ENV_MAX)
		return err_set(e, -EFBIG,
			"%s: %llu bytes, but a flat guest's initrd is environment text of at most %llu bytes",
			text->path, (unsigned long long)text->size, BOOT_MODULE_MAX - ENV_MAX);
	open_line = text->size && text->data[text->size - 1] != '\n';
	flat->env_size = (uint32_t)snprintf(flat->env, sizeof(flat->env),
		"%sNR_CPUS=%" PRIu32 "\nMEMSIZE=%" PRIu64 "\nMEMLIMIT=%" PRIu64
		"\nTEST_DEVICE=%d\nBOOTLOADER=1\n",
		open_line ? "\n" : "", config->vp_count, mib, mib, config->test_device);
	flat->module_size = (uint32_t)text->size + flat->env_size;
	return 0;
}

static int decode(
	const struct gmem *g, const struct boot_config *config, struct flat *flat, struct err *e)
{
	const struct boot_image *image = &config->kernel;
	int ret;

	memset(flat, 0, sizeof(*flat));
	if (boot_image_get(image, 0, &flat->header, sizeof(flat->header)))
		return err_set(e, -ENOEXEC, "%s: truncated: no ELF header", image->path);
	ret = check_demands(image, e);
	if (!ret)
		ret = decode_segments(g, image, flat, e);
	if (!ret && !boot_segments_contain(&flat->segments, flat->header.e_entry))
		ret = err_set(e, -ENOEXEC, "%s: its entry point lies in no loaded segment: damaged",
			image->path);
	if (!ret)
		ret = boot_check_cmdline(config, BOOT_CMDLINE_MAX, e);
	if (!ret)
		ret = decode_module(g, config, flat, e);
	return ret;
}

/* ---- put ----------------------------------------------------------------- */

static void put_module(
	const struct gmem *g, const struct boot_config *config, const struct flat *flat)
{
	struct multiboot_module module = {
		.start = (uint32_t)BOOT_MODULE,
		.end = (uint32_t)BOOT_MODULE + flat->module_size,
	};

	boot_put(g, BOOT_MODULE, config->initrd.data, config->initrd.size);
	boot_put(g, BOOT_MODULE + config->initrd.size, flat->env, flat->env_size);
	boot_put(g, BOOT_LISTS, &module, sizeof(module));
}

static uint32_t put_map(const struct gmem *g, uint64_t gpa)
{
	struct boot_region map[BOOT_REGIONS_MAX];
	struct multiboot_mmap list[BOOT_REGIONS_MAX];
	unsigned count = boot_memory_map(g, map);

	for (unsigned i = 0; i < count; i++)
		list[i] = (struct multiboot_mmap){
			.size = sizeof(list[i]) - sizeof(list[i].size),
			.start = map[i].start,
			.length = map[i].size,
			.type = map[i].type,
		};
	boot_put(g, gpa, list, count * sizeof(list[0]));
	return (uint32_t)(count * sizeof(list[0]));
}

static void put_info(const struct gmem *g)
{
	uint64_t map = BOOT_LISTS + sizeof(struct multiboot_module);
	struct multiboot_info info = {
		.flags = MULTIBOOT_HAS_MEMORY | MULTIBOOT_HAS_CMDLINE | MULTIBOOT_HAS_MODULES |
			 MULTIBOOT_HAS_MMAP,
		.mem_lower = BOOT_LOW_END >> 10,
		.mem_upper = (uint32_t)((g->low_size - BOOT_KERNEL_MIN) >> 10),
		.cmdline = (uint32_t)BOOT_CMDLINE,
		.mods_count = 1,
		.mods_addr = (uint32_t)BOOT_LISTS,
		.mmap_length = put_map(g, map),
		.mmap_addr = (uint32_t)map,
	};

	boot_put(g, BOOT_INFO, &info, sizeof(info));
}

int boot_load_multiboot(const struct gmem *g, const struct boot_config *config,
	struct boot_entry *entry, struct err *e)
{
	struct flat flat;
	uint64_t rsdp;
	int ret = decode(g, config, &flat, e);

	if (!ret)
		ret = acpi_build(g, config->vp_count, &rsdp, e);
	if (ret)
		return ret;
	boot_segments_put(&flat.segments, g, &config->kernel);
	boot_put_cmdline(g, config->cmdline);
	put_module(g, config, &flat);
	put_info(g);
	entry->mode = BOOT_PROTECTED;
	entry->rip = flat.header.e_entry;
	entry->rax = MULTIBOOT_LOADER_MAGIC;
	entry->rbx = BOOT_INFO;
	entry->rsp = BOOT_STACK_TOP;
	boot_put_gdt(g, entry);
	return 0;
}
