/* SPDX-License-Identifier: MIT */
/* Constants that boot.S and the C files share. */
#ifndef FLAT_LAYOUT_H
#define FLAT_LAYOUT_H

#define VPS_MAX       8
#define STACK_SHIFT   14
#define STACK_SIZE    (1 << STACK_SHIFT)
#define VECTOR_STUB   16
#define AP_TRAMPOLINE 0x8000

/* selectors */
#define CODE32      0x08
#define CODE64      0x10
#define DATA        0x18
#define USER_DATA   0x20
#define USER_CODE64 0x28
#define TSS         0x30

#define CR0_PE       0x1
#define CR0_ET       0x10
#define CR0_PAGING   0x80010033 /* PG WP NE ET MP PE */
#define CR4_PAE      0x20
#define MSR_EFER     0xC0000080
#define EFER_LME     0x100
#define RFLAGS_FIXED 0x2
#define RFLAGS_IOPL3 0x3000

#endif
