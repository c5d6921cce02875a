/* SPDX-License-Identifier: MIT */
/*
 * The Linux/x86 boot protocol: constants that <asm/bootparam.h>, which has the
 * structures, does not define.
 * Source: Documentation/arch/x86/boot.rst of Linux.
 */
#ifndef HYPER_BOOT_LINUX_REG_H
#define HYPER_BOOT_LINUX_REG_H

#include <stddef.h>
#include <stdint.h>

#include <asm/bootparam.h>

#define LINUX_HEADER_OFFSET  0x1F1u /* in the file, and in boot_params */
#define LINUX_HEADER_END_MAX 0x290u /* boot_params has no more room for it */
#define LINUX_HEADER_JUMP    0x202u /* the jump at 0x200 is relative to here: the header's end */
#define LINUX_BOOT_FLAG      0xAA55u
#define LINUX_MAGIC          0x53726448u /* "HdrS" */
#define LINUX_VERSION_64BIT  0x020Cu     /* xloadflags, 64-bit entry */
#define LINUX_SECTOR         512u
#define LINUX_SETUP_SECTS_0  4u /* meaning of setup_sects = 0 */
#define LINUX_ENTRY_64       0x200u
#define LINUX_LOADER_UNKNOWN 0xFFu
#define LINUX_VID_NORMAL     0xFFFFu
#define LINUX_DEFAULT_START  0x1000000ull

_Static_assert(offsetof(struct boot_params, hdr) == LINUX_HEADER_OFFSET, "setup header");
_Static_assert(
	offsetof(struct boot_params, edd_mbr_sig_buffer) == LINUX_HEADER_END_MAX, "header's room");

#endif
