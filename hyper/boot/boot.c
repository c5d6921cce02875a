/* SPDX-License-Identifier: MIT */
/* Which loader a kernel needs, and the pieces all loaders share. */
#include "hyper/boot/boot.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "hyper/boot/boot_impl.h"

int boot_load(const struct gmem *g, const struct boot_config *config, struct boot_entry *entry,
	struct err *e)
{
	const struct boot_image *kernel = &config->kernel;

	memset(entry, 0, sizeof(*entry));
	if (g->low_size < BOOT_MEMORY_MIN)
		return err_set(e, -EINVAL,
			"%llu MiB of memory is too little: use --memory %lluM or more",
			boot_mib(g->low_size), boot_mib(BOOT_MEMORY_MIN));
	if (boot_is_bzimage(kernel))
		return boot_load_bzimage(g, config, entry, e);
	if (boot_is_elf64(kernel))
		return boot_load_elf64(g, config, entry, e);
	if (boot_is_multiboot(kernel))
		return boot_load_multiboot(g, config, entry, e);
	return err_set(e, -ENOEXEC,
		"%s: not a kernel for this machine: enlite runs x86-64 Linux bzImage, ELF vmlinux, or multiboot-v1 ELF32 images",
		kernel->path);
}

unsigned boot_memory_map(const struct gmem *g, struct boot_region map[BOOT_REGIONS_MAX])
{
	unsigned count = 0;

	map[count++] = (struct boot_region){0, BOOT_LOW_END, BOOT_REGION_RAM};
	map[count++] = (struct boot_region){
		BOOT_LOW_END, BOOT_KERNEL_MIN - BOOT_LOW_END, BOOT_REGION_RESERVED};
	map[count++] = (struct boot_region){
		BOOT_KERNEL_MIN, g->low_size - BOOT_KERNEL_MIN, BOOT_REGION_RAM};
	if (g->high_size)
		map[count++] = (struct boot_region){GMEM_HIGH_START, g->high_size, BOOT_REGION_RAM};
	return count;
}

int boot_too_small(
	const struct gmem *g, const struct boot_image *kernel, uint64_t end, struct err *e)
{
	if (end > GMEM_LOW_MAX)
		return err_set(e, -ENOEXEC,
			"%s: wants memory up to %llu MiB, but kernels load below %llu MiB",
			kernel->path, boot_mib(end), boot_mib(GMEM_LOW_MAX));
	return err_set(e, -ENOMEM,
		"%s: needs memory up to %llu MiB, there is %llu MiB: use --memory %lluM or more",
		kernel->path, boot_mib(end), boot_mib(g->low_size), boot_mib(end));
}

int boot_check_cmdline(const struct boot_config *config, uint64_t max, struct err *e)
{
	size_t len = strlen(config->cmdline);

	if (max > BOOT_CMDLINE_MAX)
		max = BOOT_CMDLINE_MAX;
	if (len > max)
		return err_set(e, -E2BIG,
			"kernel command line: %zu characters, but %s takes %llu: shorten it", len,
			config->kernel.path, (unsigned long long)max);
	return 0;
}

int boot_place_initrd(const struct gmem *g, const struct boot_config *config, uint64_t lowest,
	uint64_t limit, uint64_t *gpa, struct err *e)
{
	const struct boot_image *initrd = &config->initrd;
	uint64_t room, need;

	*gpa = 0;
	if (initrd->size == 0)
		return 0;
	lowest = boot_align_up(lowest, GMEM_PAGE_SIZE);
	if (limit > g->low_size)
		limit = g->low_size;
	limit -= limit % GMEM_PAGE_SIZE;
	room = limit > lowest ? limit - lowest : 0;
	if (initrd->size <= room) {
		*gpa = (limit - initrd->size) & ~(uint64_t)(GMEM_PAGE_SIZE - 1);
		return 0;
	}
	need = initrd->size > GMEM_LOW_MAX ? UINT64_MAX : lowest + initrd->size;
	if (limit < g->low_size || need > GMEM_LOW_MAX)
		return err_set(e, -EFBIG,
			"%s: initrd of %llu MiB: this kernel has room for %llu MiB: use a smaller initrd",
			initrd->path, boot_mib(initrd->size), (unsigned long long)(room >> 20));
	return err_set(e, -ENOMEM,
		"%s: initrd of %llu MiB does not fit behind the kernel in %llu MiB of memory: use --memory %lluM or more",
		initrd->path, boot_mib(initrd->size), boot_mib(g->low_size), boot_mib(need));
}

/* ---- put ----------------------------------------------------------------- */

void boot_put(const struct gmem *g, uint64_t gpa, const void *from, uint64_t len)
{
	int ret = len ? gmem_write(g, gpa, from, len) : 0;

	assert(ret == 0); /* the caller checked the range */
	(void)ret;
}

void boot_put_cmdline(const struct gmem *g, const char *cmdline)
{
	boot_put(g, BOOT_CMDLINE, cmdline, strlen(cmdline) + 1);
}

enum { PAGE_ENTRIES = 512, DIRECTORIES = 4 };
#define PAGE_PRESENT_WRITE 0x3ull
#define PAGE_LARGE         0x80ull
#define LARGE_PAGE_SIZE    (2ull << 20)

/* PML4, PDPT, then one directory per GiB. */
uint64_t boot_put_page_tables(const struct gmem *g)
{
	uint64_t pml4 = BOOT_PAGE_TABLES, pdpt = pml4 + GMEM_PAGE_SIZE, pd = pdpt + GMEM_PAGE_SIZE;
	uint64_t link = pdpt | PAGE_PRESENT_WRITE;
	uint64_t table[PAGE_ENTRIES];

	boot_put(g, pml4, &link, sizeof(link));
	for (uint64_t gib = 0; gib < DIRECTORIES; gib++, pd += GMEM_PAGE_SIZE) {
		link = pd | PAGE_PRESENT_WRITE;
		boot_put(g, pdpt + gib * sizeof(link), &link, sizeof(link));
		for (uint64_t i = 0; i < PAGE_ENTRIES; i++)
			table[i] = (gib << 30) | (i * LARGE_PAGE_SIZE) | PAGE_PRESENT_WRITE |
				   PAGE_LARGE;
		boot_put(g, pd, table, sizeof(table));
	}
	return pml4;
}

#define GDT_CODE64 0x00AF9B000000FFFFull
#define GDT_CODE32 0x00CF9B000000FFFFull
#define GDT_DATA   0x00CF93000000FFFFull

void boot_put_gdt(const struct gmem *g, struct boot_entry *entry)
{
	uint64_t gdt[4] = {
		[2] = entry->mode == BOOT_LONG_MODE ? GDT_CODE64 : GDT_CODE32,
		[3] = GDT_DATA,
	};

	boot_put(g, BOOT_GDT, gdt, sizeof(gdt));
	entry->gdt_base = BOOT_GDT;
	entry->gdt_limit = sizeof(gdt) - 1;
}
