/* SPDX-License-Identifier: MIT */
/* The guest's side of the Hyper-V interface: hypercalls, SynIC, test device. */
#ifndef FLAT_HYPERV_H
#define FLAT_HYPERV_H

#include "flat.h"
#include "hv/hv_reg.h"

/* ---- hypercalls ---------------------------------------------------------- */
#define GUEST_OS_ID (1ull << 63 | 0x7Full << 48 | 1) /* open source, none of the known ones */

/* Writes the OS id and enables the hypercall page. */
void hv_start(void);
/* The result word. */
uint64_t hv_call(uint64_t control, uint64_t input, uint64_t output);

/* All registers a call could touch. */
struct hv_registers {
	uint64_t rax, rbx, rcx, rdx, rsi, rdi, rbp, r8, r9, r10, r11, r12, r13, r14, r15;
};
/* Calls the hypercall page with these registers and stores the results. */
void hv_call_registers(struct hv_registers *regs);
extern uint8_t hypercall_page[HV_PAGE_SIZE];

/* A page-aligned 256-byte block, for calls that take memory. */
extern struct hv_input_post_message post_input;
/* Payload: `size` bytes, each `fill`. */
uint64_t hv_post(uint32_t connection, uint32_t type, uint8_t fill, uint32_t size);
uint64_t hv_signal(uint32_t connection);

/* ---- SynIC of the VP that calls ------------------------------------------ */
void synic_start(void); /* pages, SCONTROL; SINTs stay masked */
void synic_stop(void);
void synic_set_sint(unsigned sint, uint64_t value);
void synic_enable_page(uint32_t msr, bool enable); /* HV_MSR_SIMP or HV_MSR_SIEFP */

/* ---- SynIC pages of any VP ----------------------------------------------- */
volatile struct hv_message *synic_slot(unsigned vp, unsigned sint);
bool synic_flag(unsigned vp, unsigned sint, unsigned flag);
void synic_clear_flag(unsigned vp, unsigned sint, unsigned flag);
/* Empties the slot, and writes EOM on this VP when more is waiting. */
void synic_take(unsigned vp, unsigned sint);

/* ---- test device (hyper/testdev.h) --------------------------------------- */
enum testdev_op {
	TESTDEV_CREATE_ROUTE = 1,
	TESTDEV_DESTROY_ROUTE,
	TESTDEV_SET_SINT,
	TESTDEV_CREATE_MESSAGE,
	TESTDEV_DESTROY_MESSAGE,
	TESTDEV_CREATE_EVENT,
	TESTDEV_DESTROY_EVENT,
};
void testdev(enum testdev_op op, unsigned vp, unsigned sint, unsigned id);

#endif
