/* SPDX-License-Identifier: MIT */
/*
 * Linux vmlinux: a static ELF64 image, loaded by physical addresses. Entered by
 * the PVH ABI if a Xen note names a 32-bit entry point; else at the ELF entry
 * in long mode with boot_params, where a bzImage jumps after unpacking.
 */
#include <elf.h>
#include <errno.h>
#include <string.h>

#include "hyper/boot/boot_impl.h"
#include "hyper/boot/linux_reg.h"
#include "hyper/boot/pvh_reg.h"

struct vmlinux {
	Elf64_Ehdr header;
	struct boot_segments segments;
	bool pvh;
	uint64_t pvh_entry;
	uint64_t initrd;
};

bool boot_is_elf64(const struct boot_image *image)
{
	Elf64_Ehdr header;

	return boot_image_get(image, 0, &header, sizeof(header)) == 0 &&
	       memcmp(header.e_ident, ELFMAG, SELFMAG) == 0 &&
	       header.e_ident[EI_CLASS] == ELFCLASS64 && header.e_ident[EI_DATA] == ELFDATA2LSB &&
	       header.e_machine == EM_X86_64 &&
	       (header.e_type == ET_EXEC || header.e_type == ET_DYN);
}

/* One note's entry point: 4 or 8 bytes, 32-bit either way. */
static bool get_pvh_entry(
	const struct boot_image *image, uint64_t desc, uint32_t desc_size, uint64_t *entry)
{
	*entry = 0;
	if (desc_size != 4 && desc_size != 8)
		return false;
	return boot_image_get(image, desc, entry, desc_size) == 0 && *entry <= UINT32_MAX;
}

static bool is_pvh_note(const struct boot_image *image, uint64_t name, const Elf64_Nhdr *note)
{
	char text[sizeof(PVH_NOTE_NAME)];

	return note->n_type == PVH_NOTE_PHYS_ENTRY && note->n_namesz == sizeof(text) &&
	       boot_image_get(image, name, text, sizeof(text)) == 0 &&
	       memcmp(text, PVH_NOTE_NAME, sizeof(text)) == 0;
}

/* Walks a segment of notes; name and descriptor are padded relative to the note. Every step
 * advances by at least a note header, and sizes have 32 bits, so the sums do not wrap. A damaged
 * note ends the walk. */
static void find_pvh_note(const struct boot_image *image, const Elf64_Phdr *ph, struct vmlinux *vm)
{
	uint64_t align = ph->p_align == 8 ? 8 : 4;
	uint64_t at = ph->p_offset, end;
	Elf64_Nhdr note;

	if (ph->p_offset > image->size || ph->p_filesz > image->size - ph->p_offset)
		return;
	end = ph->p_offset + ph->p_filesz;
	while (end - at >= sizeof(note) && !boot_image_get(image, at, &note, sizeof(note))) {
		uint64_t name = at + sizeof(note);
		uint64_t desc = at + boot_align_up(sizeof(note) + note.n_namesz, align);

		if (is_pvh_note(image, name, &note) &&
			get_pvh_entry(image, desc, note.n_descsz, &vm->pvh_entry)) {
			vm->pvh = true;
			return;
		}
		at += boot_align_up(desc - at + note.n_descsz, align);
		if (at > end)
			return;
	}
}

static int decode_program_header(const struct gmem *g, const struct boot_image *image,
	const Elf64_Phdr *ph, struct vmlinux *vm, struct err *e)
{
	struct boot_segment segment = {
		.offset = ph->p_offset,
		.file_size = ph->p_filesz,
		.gpa = ph->p_paddr,
		.mem_size = ph->p_memsz,
	};

	if (ph->p_type == PT_NOTE && !vm->pvh)
		find_pvh_note(image, ph, vm);
	if (ph->p_type != PT_LOAD)
		return 0;
	return boot_segments_add(&vm->segments, g, image, &segment, e);
}

static int decode_program_headers(
	const struct gmem *g, const struct boot_image *image, struct vmlinux *vm, struct err *e)
{
	const Elf64_Ehdr *header = &vm->header;
	Elf64_Phdr ph;
	int ret = 0;

	if (header->e_phentsize != sizeof(ph) || header->e_phoff > image->size)
		return err_set(e, -ENOEXEC, "%s: damaged: no ELF program headers", image->path);
	for (unsigned i = 0; i < header->e_phnum && !ret; i++) {
		if (boot_image_get(image, header->e_phoff + i * sizeof(ph), &ph, sizeof(ph)))
			return err_set(e, -ENOEXEC,
				"%s: truncated: its ELF program headers are missing; copy the kernel again",
				image->path);
		ret = decode_program_header(g, image, &ph, vm, e);
	}
	return ret;
}

static int decode(
	const struct gmem *g, const struct boot_config *config, struct vmlinux *vm, struct err *e)
{
	const struct boot_image *image = &config->kernel;
	int ret;

	memset(vm, 0, sizeof(*vm));
	if (boot_image_get(image, 0, &vm->header, sizeof(vm->header)))
		return err_set(e, -ENOEXEC, "%s: truncated: no ELF header", image->path);
	ret = decode_program_headers(g, image, vm, e);
	if (ret)
		return ret;
	if (!boot_segments_contain(&vm->segments, vm->pvh ? vm->pvh_entry : vm->header.e_entry))
		return err_set(e, -ENOEXEC,
			"%s: its entry point lies in no loaded segment: not a Linux kernel",
			image->path);
	ret = boot_check_cmdline(config, BOOT_LINUX_CMDLINE_MAX, e);
	if (!ret)
		ret = boot_place_initrd(g, config, vm->segments.end, GMEM_LOW_MAX, &vm->initrd, e);
	return ret;
}

/* A vmlinux has no setup header; these values hold for every 64-bit kernel. */
static void put_long_mode_start(const struct gmem *g, const struct boot_config *config,
	const struct vmlinux *vm, uint64_t rsdp, struct boot_entry *entry)
{
	struct setup_header header = {
		.boot_flag = LINUX_BOOT_FLAG,
		.header = LINUX_MAGIC,
		.version = LINUX_VERSION_64BIT,
		.loadflags = LOADED_HIGH,
		.xloadflags = XLF_KERNEL_64,
		.kernel_alignment = LINUX_DEFAULT_START,
	};
	struct linux_start start = {
		.header = &header,
		.header_size = sizeof(header),
		.rip = vm->header.e_entry,
		.kernel = vm->header.e_entry,
		.initrd = vm->initrd,
		.initrd_size = config->initrd.size,
		.rsdp = rsdp,
		.framebuffer = &config->framebuffer,
	};

	boot_put_linux_start(g, &start, entry);
}

static unsigned put_pvh_map(const struct gmem *g, uint64_t gpa)
{
	struct boot_region map[BOOT_REGIONS_MAX];
	struct pvh_memory list[BOOT_REGIONS_MAX] = {0};
	unsigned count = boot_memory_map(g, map);

	for (unsigned i = 0; i < count; i++) {
		list[i].start = map[i].start;
		list[i].size = map[i].size;
		list[i].type = map[i].type;
	}
	boot_put(g, gpa, list, count * sizeof(list[0]));
	return count;
}

static void put_pvh_start(const struct gmem *g, const struct boot_config *config,
	const struct vmlinux *vm, uint64_t rsdp, struct boot_entry *entry)
{
	struct pvh_module module = {.start = vm->initrd, .size = config->initrd.size};
	uint64_t memory_map = BOOT_LISTS + sizeof(module);
	struct pvh_start_info info = {
		.magic = PVH_MAGIC,
		.version = PVH_VERSION,
		.module_count = module.size ? 1 : 0,
		.modules = module.size ? BOOT_LISTS : 0,
		.cmdline = BOOT_CMDLINE,
		.rsdp = rsdp,
		.memory_map = memory_map,
		.memory_map_count = put_pvh_map(g, memory_map),
	};

	boot_put(g, BOOT_LISTS, &module, sizeof(module));
	boot_put(g, BOOT_INFO, &info, sizeof(info));
	entry->mode = BOOT_PVH;
	entry->rip = vm->pvh_entry;
	entry->rbx = BOOT_INFO;
	entry->rsp = BOOT_STACK_TOP;
	boot_put_gdt(g, entry);
}

int boot_load_elf64(const struct gmem *g, const struct boot_config *config,
	struct boot_entry *entry, struct err *e)
{
	struct vmlinux vm;
	uint64_t rsdp;
	int ret = decode(g, config, &vm, e);

	if (!ret)
		ret = acpi_build(g, config->vp_count, &rsdp, e);
	if (ret)
		return ret;
	boot_segments_put(&vm.segments, g, &config->kernel);
	boot_put(g, vm.initrd, config->initrd.data, config->initrd.size);
	boot_put_cmdline(g, config->cmdline);
	if (vm.pvh)
		put_pvh_start(g, config, &vm, rsdp, entry);
	else
		put_long_mode_start(g, config, &vm, rsdp, entry);
	return 0;
}
