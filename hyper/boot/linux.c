/* SPDX-License-Identifier: MIT */
/*
 * Linux bzImage by the 64-bit boot protocol (version 2.12 on): the protected
 * mode part goes to its preferred address and is entered 0x200 bytes in, in
 * long mode, with boot_params in RSI. The real mode part is only read for its
 * setup header.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "hyper/boot/boot_impl.h"
#include "hyper/boot/linux_reg.h"

struct bzimage {
	struct setup_header header;
	uint32_t header_size; /* from the image, limited to the room in boot_params */
	uint64_t code_offset, code_size;
	uint64_t start,
		end; /* load address; end of the memory used before the kernel reads the map */
	uint64_t initrd;
};

static int get_header(const struct boot_image *image, struct setup_header *header)
{
	return boot_image_get(image, LINUX_HEADER_OFFSET, header, sizeof(*header));
}

bool boot_is_bzimage(const struct boot_image *image)
{
	struct setup_header header;

	return get_header(image, &header) == 0 && header.boot_flag == LINUX_BOOT_FLAG &&
	       header.header == LINUX_MAGIC;
}

static int check_protocol(
	const struct boot_image *image, const struct setup_header *header, struct err *e)
{
	if (header->version < LINUX_VERSION_64BIT || !(header->xloadflags & XLF_KERNEL_64) ||
		!(header->loadflags & LOADED_HIGH))
		return err_set(e, -ENOEXEC,
			"%s: Linux boot protocol %u.%02u without a 64-bit entry; use an x86-64 kernel, 3.8 or later",
			image->path, header->version >> 8, header->version & 0xFF);
	return 0;
}

static int decode_code(const struct boot_image *image, struct bzimage *bz, struct err *e)
{
	uint32_t sects = bz->header.setup_sects ? bz->header.setup_sects : LINUX_SETUP_SECTS_0;
	uint64_t promised = (uint64_t)bz->header.syssize * 16;

	bz->code_offset = (sects + 1) * LINUX_SECTOR;
	bz->code_size = image->size > bz->code_offset ? image->size - bz->code_offset : 0;
	if (bz->code_size <= LINUX_ENTRY_64 || bz->code_size < promised)
		return err_set(e, -ENOEXEC,
			"%s: truncated: %llu bytes, its header promises %llu; copy the kernel again",
			image->path, (unsigned long long)image->size,
			(unsigned long long)(bz->code_offset + promised));
	return 0;
}

/* Signed kernels have more bytes than code, so the file may be longer than init_size. */
static int decode_place(
	const struct gmem *g, const struct boot_image *image, struct bzimage *bz, struct err *e)
{
	const struct setup_header *header = &bz->header;
	uint64_t size = bz->code_size > header->init_size ? bz->code_size : header->init_size;

	bz->start = header->pref_address ? header->pref_address : LINUX_DEFAULT_START;
	if (bz->start < BOOT_KERNEL_MIN || bz->start >= GMEM_LOW_MAX)
		return err_set(e, -ENOEXEC,
			"%s: damaged: it prefers address 0x%llx; kernels load from 1 MiB to %llu MiB",
			image->path, (unsigned long long)bz->start, boot_mib(GMEM_LOW_MAX));
	bz->end = bz->start + size;
	return bz->end <= g->low_size ? 0 : boot_too_small(g, image, bz->end, e);
}

static int decode_header(const struct boot_image *image, struct bzimage *bz, struct err *e)
{
	uint32_t end;

	if (get_header(image, &bz->header))
		return err_set(e, -ENOEXEC, "%s: truncated: no Linux setup header", image->path);
	end = LINUX_HEADER_JUMP + (bz->header.jump >> 8); /* short jump: opcode, distance */
	if (end > LINUX_HEADER_END_MAX)
		end = LINUX_HEADER_END_MAX;
	if (end > image->size)
		end = (uint32_t)image->size;
	bz->header_size = end - LINUX_HEADER_OFFSET;
	return check_protocol(image, &bz->header, e);
}

static int decode(
	const struct gmem *g, const struct boot_config *config, struct bzimage *bz, struct err *e)
{
	const struct boot_image *image = &config->kernel;
	int ret = decode_header(image, bz, e);

	if (!ret)
		ret = decode_code(image, bz, e);
	if (!ret)
		ret = decode_place(g, image, bz, e);
	if (!ret)
		ret = boot_check_cmdline(config, bz->header.cmdline_size, e);
	if (!ret)
		ret = boot_place_initrd(g, config, bz->end,
			(uint64_t)bz->header.initrd_addr_max + 1, &bz->initrd, e);
	return ret;
}

int boot_load_bzimage(const struct gmem *g, const struct boot_config *config,
	struct boot_entry *entry, struct err *e)
{
	const struct boot_image *image = &config->kernel;
	struct linux_start start;
	struct bzimage bz;
	uint64_t rsdp;
	int ret = decode(g, config, &bz, e);

	if (!ret)
		ret = acpi_build(g, config->vp_count, &rsdp, e);
	if (ret)
		return ret;
	boot_put(g, bz.start, image->data + bz.code_offset, bz.code_size);
	boot_put(g, bz.initrd, config->initrd.data, config->initrd.size);
	boot_put_cmdline(g, config->cmdline);
	start = (struct linux_start){
		.header = image->data + LINUX_HEADER_OFFSET,
		.header_size = bz.header_size,
		.rip = bz.start + LINUX_ENTRY_64,
		.kernel = bz.start,
		.initrd = bz.initrd,
		.initrd_size = config->initrd.size,
		.rsdp = rsdp,
		.framebuffer = &config->framebuffer,
	};
	boot_put_linux_start(g, &start, entry);
	return 0;
}

/* ---- boot_params, for bzImage and vmlinux -------------------------------- */

static void fill_e820(const struct gmem *g, struct boot_params *params)
{
	struct boot_region map[BOOT_REGIONS_MAX];
	unsigned count = boot_memory_map(g, map);

	params->e820_entries = (uint8_t)count;
	for (unsigned i = 0; i < count; i++)
		params->e820_table[i] =
			(struct boot_e820_entry){map[i].start, map[i].size, map[i].type};
}

/* The fields that the loader writes. All addresses are below 4 GiB. */
static void fill_header(const struct linux_start *start, struct setup_header *header)
{
	header->type_of_loader = LINUX_LOADER_UNKNOWN;
	header->loadflags &= (uint8_t) ~(KEEP_SEGMENTS | CAN_USE_HEAP);
	header->vid_mode = LINUX_VID_NORMAL;
	header->code32_start = (uint32_t)start->kernel;
	header->ramdisk_image = (uint32_t)start->initrd;
	header->ramdisk_size = (uint32_t)start->initrd_size;
	header->cmd_line_ptr = (uint32_t)BOOT_CMDLINE;
	header->hardware_subarch = 0;
	header->hardware_subarch_data = 0;
	header->setup_data = 0;
}

/* What an EFI loader would say of its framebuffer: efifb needs no more of EFI than that. */
static void fill_screen(const struct boot_framebuffer *f, struct screen_info *screen)
{
	if (!f->size)
		return;
	screen->orig_video_isVGA = VIDEO_TYPE_EFI;
	screen->lfb_base = f->gpa;
	screen->lfb_size = f->size;
	screen->lfb_width = f->width;
	screen->lfb_height = f->height;
	screen->lfb_depth = 32;
	screen->lfb_linelength = (uint16_t)(f->width * 4);
	screen->blue_size = screen->green_size = screen->red_size = screen->rsvd_size = 8;
	screen->green_pos = 8;
	screen->red_pos = 16;
	screen->rsvd_pos = 24;
	screen->pages = 1;
}

void boot_put_linux_start(
	const struct gmem *g, const struct linux_start *start, struct boot_entry *entry)
{
	struct boot_params params;

	assert(start->header_size <= LINUX_HEADER_END_MAX - LINUX_HEADER_OFFSET);
	memset(&params, 0, sizeof(params));
	memcpy((uint8_t *)&params + LINUX_HEADER_OFFSET, start->header, start->header_size);
	fill_header(start, &params.hdr);
	fill_e820(g, &params);
	fill_screen(start->framebuffer, &params.screen_info);
	/* Kernels before 4.20 ignore the field and search the BIOS area for the RSDP. */
	params.acpi_rsdp_addr = start->rsdp;
	boot_put(g, BOOT_INFO, &params, sizeof(params));

	entry->mode = BOOT_LONG_MODE;
	entry->rip = start->rip;
	entry->rsi = BOOT_INFO;
	entry->rsp = BOOT_STACK_TOP;
	entry->cr3 = boot_put_page_tables(g);
	boot_put_gdt(g, entry);
}
