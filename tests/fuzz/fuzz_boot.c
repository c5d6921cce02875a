/* SPDX-License-Identifier: MIT */
/*
 * Boot loaders on arbitrary files. Input: struct knobs, then the kernel.
 * For any file: memory behind RAM is never written, an accepted kernel starts
 * inside RAM, a refused one gives one line of explanation.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hyper/boot/boot.h"
#include "hyper/hv/hv.h"
#include "tests/fuzz/input.h"

#define MIB        (1ull << 20)
#define MEMORY     (64 * MIB)
#define INITRD_MAX MIB
#define FENCE_SIZE 4096u

struct knobs {
	uint8_t memory_mib; /* 1..63 */
	uint8_t high_gib;   /* RAM above 4 GiB; loaders must only mention it */
	uint8_t vp_count;
	uint8_t test_device;
	uint16_t cmdline_size;
	uint16_t memory_pages; /* on top of memory_mib */
	uint32_t initrd_size;
};
_Static_assert(sizeof(struct knobs) == 12, "");

static struct gmem memory;
static uint8_t initrd[INITRD_MAX];
static char cmdline[UINT16_MAX + 2];

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	require(gmem_create(&memory, MEMORY, NULL) == 0, "no memory");
	memset(cmdline, 'x', sizeof(cmdline) - 1);
	return 0;
}

static struct gmem make_machine(const struct knobs *knobs)
{
	struct gmem g = memory;

	g.low_size = (1 + knobs->memory_mib % 62) * MIB + knobs->memory_pages % 256 * 4096ull;
	g.high_size = (uint64_t)knobs->high_gib << 30;
	return g;
}

/* Sizes above the buffer are above any memory here, so only the size is used. */
static uint64_t initrd_size(const struct knobs *knobs)
{
	return knobs->initrd_size <= INITRD_MAX ? knobs->initrd_size : knobs->initrd_size + MEMORY;
}

static void check_entry(const struct gmem *g, const struct boot_entry *entry)
{
	require(entry->rip >= MIB && entry->rip < g->low_size, "entry outside RAM");
	require(gmem_contains(g, entry->gdt_base, entry->gdt_limit + 1ull), "GDT outside RAM");
	switch (entry->mode) {
	case BOOT_LONG_MODE:
		require(gmem_contains(g, entry->rsi, 4096), "boot_params outside RAM");
		require(gmem_contains(g, entry->cr3, 4096), "page tables outside RAM");
		break;
	case BOOT_PROTECTED:
	case BOOT_PVH:
		require(entry->rip <= UINT32_MAX, "32-bit entry above 4 GiB");
		require(gmem_contains(g, entry->rbx, 64), "start info outside RAM");
		break;
	}
}

static void check_refusal(const struct err *e)
{
	require(e->text[0] != '\0' && !strchr(e->text, '\n'), "an error needs one line of text");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t fence[FENCE_SIZE];
	struct boot_entry entry;
	struct boot_config config;
	struct knobs knobs;
	struct err e = {""};
	struct gmem g;
	uint8_t *after;

	if (size < sizeof(knobs))
		return -1;
	memcpy(&knobs, data, sizeof(knobs));
	g = make_machine(&knobs);
	after = memory.base + g.low_size;
	memset(fence, 0xC7, sizeof(fence));
	memcpy(after, fence, sizeof(fence));

	config = (struct boot_config){
		.kernel = {.data = malloc(size - sizeof(knobs)),
			.size = size - sizeof(knobs),
			.path = "kernel"},
		.initrd = {.data = initrd, .size = initrd_size(&knobs), .path = "initrd"},
		.cmdline = cmdline + sizeof(cmdline) - 1 - knobs.cmdline_size,
		.vp_count = 1 + knobs.vp_count % HV_VPS_MAX,
		.test_device = knobs.test_device & 1,
	};
	memcpy(config.kernel.data, data + sizeof(knobs), config.kernel.size);
	if (boot_load(&g, &config, &entry, &e) == 0)
		check_entry(&g, &entry);
	else
		check_refusal(&e);
	require(memcmp(after, fence, sizeof(fence)) == 0, "written past the end of RAM");
	free(config.kernel.data);
	return 0;
}
