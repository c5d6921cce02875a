/* SPDX-License-Identifier: MIT */
/* Structures that all loaders write to guest RAM. */
#include <assert.h>
#include <string.h>

#include "hyper/boot/boot_impl.h"

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
