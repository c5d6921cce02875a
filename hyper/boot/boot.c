/* SPDX-License-Identifier: MIT */
/* Finds the loader of a kernel. */
#include "hyper/boot/boot.h"

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
			"memory: %llu MiB is too little; set it to %lluM or more",
			boot_mib(g->low_size), boot_mib(BOOT_MEMORY_MIN));
	if (boot_is_bzimage(kernel))
		return boot_load_bzimage(g, config, entry, e);
	if (boot_is_elf64(kernel))
		return boot_load_elf64(g, config, entry, e);
	if (boot_is_multiboot(kernel))
		return boot_load_multiboot(g, config, entry, e);
	return err_set(e, -ENOEXEC,
		"%s: not a kernel of a known format; give an x86-64 Linux bzImage, an ELF vmlinux or a multiboot-v1 ELF32 image",
		kernel->path);
}
