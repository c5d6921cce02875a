/* SPDX-License-Identifier: MIT */
/* Checks that all loaders share: whether kernel, command line and initrd fit into guest RAM. */
#include <errno.h>
#include <string.h>

#include "hyper/boot/boot_impl.h"

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
			"%s: needs memory up to %llu MiB, but kernels load below %llu MiB; use another kernel",
			kernel->path, boot_mib(end), boot_mib(GMEM_LOW_MAX));
	return err_set(e, -ENOMEM,
		"%s: needs memory up to %llu MiB, but there is %llu MiB; set memory to %lluM or more",
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
			"%s: initrd of %llu MiB, but this kernel has room for %llu MiB; use a smaller initrd",
			initrd->path, boot_mib(initrd->size), (unsigned long long)(room >> 20));
	return err_set(e, -ENOMEM,
		"%s: initrd of %llu MiB does not fit behind the kernel in %llu MiB; set memory to %lluM or more",
		initrd->path, boot_mib(initrd->size), boot_mib(g->low_size), boot_mib(need));
}
