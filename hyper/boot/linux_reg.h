/* SPDX-License-Identifier: MIT */
/* The Linux/x86 boot protocol: setup header and boot_params ("zero page"). Bytes only. */
#ifndef HYPER_BOOT_LINUX_REG_H
#define HYPER_BOOT_LINUX_REG_H

#include <stddef.h>
#include <stdint.h>

#define LINUX_HEADER_OFFSET  0x1F1u /* in the file, and in boot_params */
#define LINUX_HEADER_END_MAX 0x290u /* boot_params has no more room for it */
#define LINUX_HEADER_JUMP    0x202u /* the jump at 0x200 is relative to here: the header's end */
#define LINUX_BOOT_FLAG      0xAA55u
#define LINUX_MAGIC          0x53726448u /* "HdrS" */
#define LINUX_VERSION_64BIT  0x020Cu     /* xloadflags, 64-bit entry */
#define LINUX_SECTOR         512u
#define LINUX_SETUP_SECTS_0  4u /* what setup_sects = 0 means */
#define LINUX_ENTRY_64       0x200u
#define LINUX_LOADER_UNKNOWN 0xFFu
#define LINUX_LOADED_HIGH    0x01u
#define LINUX_KEEP_SEGMENTS  0x40u
#define LINUX_CAN_USE_HEAP   0x80u
#define LINUX_XLF_KERNEL_64  0x01u
#define LINUX_VID_NORMAL     0xFFFFu
#define LINUX_DEFAULT_START  0x1000000ull
#define LINUX_E820_MAX       128u

struct linux_setup_header {
	uint8_t setup_sects;
	uint16_t root_flags;
	uint32_t syssize; /* protected-mode code, in 16 bytes */
	uint16_t ram_size;
	uint16_t vid_mode;
	uint16_t root_dev;
	uint16_t boot_flag;
	uint16_t jump;
	uint32_t magic;
	uint16_t version;
	uint32_t realmode_swtch;
	uint16_t start_sys_seg;
	uint16_t kernel_version;
	uint8_t type_of_loader;
	uint8_t loadflags;
	uint16_t setup_move_size;
	uint32_t code32_start;
	uint32_t ramdisk_image;
	uint32_t ramdisk_size;
	uint32_t bootsect_kludge;
	uint16_t heap_end_ptr;
	uint8_t ext_loader_ver;
	uint8_t ext_loader_type;
	uint32_t cmd_line_ptr;
	uint32_t initrd_addr_max;
	uint32_t kernel_alignment;
	uint8_t relocatable_kernel;
	uint8_t min_alignment;
	uint16_t xloadflags;
	uint32_t cmdline_size; /* without the NUL */
	uint32_t hardware_subarch;
	uint64_t hardware_subarch_data;
	uint32_t payload_offset;
	uint32_t payload_length;
	uint64_t setup_data;
	uint64_t pref_address;
	uint32_t init_size; /* memory the kernel uses from its start before it reads the map */
} __attribute__((packed));
_Static_assert(offsetof(struct linux_setup_header, boot_flag) + LINUX_HEADER_OFFSET == 0x1FE, "");
_Static_assert(offsetof(struct linux_setup_header, magic) + LINUX_HEADER_OFFSET == 0x202, "");
_Static_assert(
	offsetof(struct linux_setup_header, cmd_line_ptr) + LINUX_HEADER_OFFSET == 0x228, "");
_Static_assert(offsetof(struct linux_setup_header, xloadflags) + LINUX_HEADER_OFFSET == 0x236, "");
_Static_assert(
	offsetof(struct linux_setup_header, pref_address) + LINUX_HEADER_OFFSET == 0x258, "");
_Static_assert(sizeof(struct linux_setup_header) + LINUX_HEADER_OFFSET == 0x264, "");

struct linux_e820 {
	uint64_t start, size;
	uint32_t type;
} __attribute__((packed));
_Static_assert(sizeof(struct linux_e820) == 20, "");

struct linux_boot_params {
	uint8_t screen_and_bios[0x70]; /* zero: no screen, no APM, no SpeedStep */
	uint64_t acpi_rsdp_addr;
	uint8_t disks_and_tables[0xC0 - 0x78];
	uint32_t ext_ramdisk_image;
	uint32_t ext_ramdisk_size;
	uint32_t ext_cmd_line_ptr;
	uint8_t edid_and_efi[0x1E8 - 0xCC];
	uint8_t e820_entries;
	uint8_t edd_and_sentinel[LINUX_HEADER_OFFSET - 0x1E9];
	union {
		struct linux_setup_header header;
		uint8_t header_bytes[LINUX_HEADER_END_MAX - LINUX_HEADER_OFFSET];
	} __attribute__((packed));
	uint8_t edd_signatures[0x2D0 - LINUX_HEADER_END_MAX];
	struct linux_e820 e820[LINUX_E820_MAX];
	uint8_t edd[0x1000 - 0xCD0];
} __attribute__((packed));
_Static_assert(offsetof(struct linux_boot_params, acpi_rsdp_addr) == 0x70, "");
_Static_assert(offsetof(struct linux_boot_params, ext_ramdisk_image) == 0xC0, "");
_Static_assert(offsetof(struct linux_boot_params, e820_entries) == 0x1E8, "");
_Static_assert(offsetof(struct linux_boot_params, header) == LINUX_HEADER_OFFSET, "");
_Static_assert(offsetof(struct linux_boot_params, e820) == 0x2D0, "");
_Static_assert(sizeof(struct linux_boot_params) == 0x1000, "");

#endif
