/* SPDX-License-Identifier: MIT */
/*
 * From the boot loader's 32-bit protected mode, and from an AP's real mode,
 * to 64-bit C code: identity page tables for 4 GiB (user bit set: ring-3 tests
 * share them), GDT, one stack per VP. The IDT is made in trap.c.
 */
#include "layout.h"

#define MULTIBOOT_MAGIC 0x1BADB002

	.section .multiboot, "a"
	.align 4
	.long MULTIBOOT_MAGIC
	.long 0
	.long -MULTIBOOT_MAGIC

	.text
	.code32
	.globl start32
start32:
	mov %ebx, multiboot_info
	mov $stack_top, %esp
	call enter_long_mode
	ljmp $CODE64, $start64

/* 32-bit, flat segments -> compatibility mode; the caller far-jumps to CODE64. */
enter_long_mode:
	lgdt gdt_pointer
	mov $DATA, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %ss
	mov $CR4_PAE, %eax
	mov %eax, %cr4
	mov $pml4, %eax
	mov %eax, %cr3
	mov $MSR_EFER, %ecx
	mov $EFER_LME, %eax
	xor %edx, %edx
	wrmsr
	mov $CR0_PAGING, %eax
	mov %eax, %cr0
	ret

	.code64
start64:
	xor %eax, %eax
	mov %eax, %fs
	mov %eax, %gs
	xor %edi, %edi
	call vp_main
1:	hlt
	jmp 1b

/*
 * AP start: copied to AP_TRAMPOLINE, entered there by the start-up IPI in real
 * mode with CS = AP_TRAMPOLINE >> 4. ap_next holds the VP's index; only one AP
 * starts at a time.
 */
	.code16
	.globl ap_trampoline
ap_trampoline:
	cli
	mov %cs, %ax
	mov %ax, %ds
	lgdtl ap_gdt_pointer - ap_trampoline
	mov $(CR0_PE | CR0_ET), %eax
	mov %eax, %cr0
	ljmpl $CODE32, $ap_start32
ap_gdt_pointer:
	.word gdt_end - gdt - 1
	.long gdt
ap_trampoline_end:

	.code32
ap_start32:
	mov $DATA, %eax
	mov %eax, %ds
	mov %eax, %ss
	/* %esp = stack_top + index * STACK_SIZE */
	mov ap_next, %eax
	shl $STACK_SHIFT, %eax
	lea stack_top(%eax), %esp
	call enter_long_mode
	ljmp $CODE64, $ap_start64

	.code64
ap_start64:
	xor %eax, %eax
	mov %eax, %fs
	mov %eax, %gs
	mov ap_next, %edi
	call vp_main
1:	hlt
	jmp 1b

/*
 * Interrupt entries: one stub per vector, VECTOR_STUB bytes apart. Every frame
 * gets an error code, so that struct trap_frame has one shape.
 */
	.globl trap_stubs
	.balign VECTOR_STUB
trap_stubs:
	vector = 0
	.rept 256
	.balign VECTOR_STUB
	.if (vector == 8) || ((vector >= 10) && (vector <= 14)) || (vector == 17) || (vector == 21)
	.else
	pushq $0
	.endif
	pushq $vector
	jmp trap_common
	vector = vector + 1
	.endr

trap_common:
	push %rax
	push %rcx
	push %rdx
	push %rbx
	push %rbp
	push %rsi
	push %rdi
	push %r8
	push %r9
	push %r10
	push %r11
	push %r12
	push %r13
	push %r14
	push %r15
	mov %rsp, %rdi
	cld
	call trap_dispatch
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %r11
	pop %r10
	pop %r9
	pop %r8
	pop %rdi
	pop %rsi
	pop %rbp
	pop %rbx
	pop %rdx
	pop %rcx
	pop %rax
	add $16, %rsp
	iretq

/*
 * uint8_t user_call(void (*code)(void), void *stack): runs code in ring 3 with
 * I/O privilege; code ends by any exception (normally ud2). Returns the
 * vector, by way of trap_dispatch() resuming at user_return.
 */
	.globl user_call, user_return, user_saved_rsp
user_call:
	push %rbx
	push %rbp
	push %r12
	push %r13
	push %r14
	push %r15
	mov %rsp, user_saved_rsp
	pushq $(USER_DATA | 3)
	push %rsi
	pushq $(RFLAGS_IOPL3 | RFLAGS_FIXED)
	pushq $(USER_CODE64 | 3)
	push %rdi
	iretq
/* %rax: the vector; ring 0 again, on user_call's stack. */
user_return:
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %rbp
	pop %rbx
	ret

	.data
	.balign 8
	.globl multiboot_info, ap_next, ap_trampoline_size
multiboot_info:
	.long 0
ap_next:
	.long 0
ap_trampoline_size:
	.long ap_trampoline_end - ap_trampoline
user_saved_rsp:
	.quad 0

/* The TSS descriptor is filled in by trap.c. */
	.balign 16
	.globl gdt, gdt_end
gdt:
	.quad 0
	.quad 0x00CF9B000000FFFF /* CODE32 */
	.quad 0x00AF9B000000FFFF /* CODE64 */
	.quad 0x00CF93000000FFFF /* DATA */
	.quad 0x00CFF3000000FFFF /* USER_DATA */
	.quad 0x00AFFB000000FFFF /* USER_CODE64 */
	.quad 0, 0               /* TSS */
gdt_end:
gdt_pointer:
	.word gdt_end - gdt - 1
	.long gdt

	.balign 4096
pml4:
	.quad pdpt + 7
	.fill 511, 8, 0
pdpt:
	.quad pd + 0x0007, pd + 0x1007, pd + 0x2007, pd + 0x3007
	.fill 508, 8, 0
pd:	/* 4 GiB in 2 MiB pages */
	page = 0
	.rept 2048
	.quad (page << 21) + 0x87
	page = page + 1
	.endr

	.bss
	.balign 4096
	.space STACK_SIZE
stack_top:
	.space STACK_SIZE * (VPS_MAX - 1)
	.section .note.GNU-stack, "", @progbits
