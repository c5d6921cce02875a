/* SPDX-License-Identifier: MIT */
/*
 * The hypercall page and its two MSRs.
 *
 * KVM consumes VMCALL itself, so the page enters the host by port output: OUT
 * needs only EAX, and RCX, RDX and R8 keep the guest's values. The fast
 * SignalEvent with flag number 0, the doorbell of Linux, goes to a port of its
 * own, for which KVM writes an eventfd without an exit.
 *
 * The page is the guest's own RAM, filled when it is enabled, and not written
 * after that; Hyper-V itself maps a page of its own over it.
 *
 * Source: TLFS, chapter hypercall-interface; ADR 0001.
 */
#include <errno.h>
#include <string.h>

#include "hyper/hv/hv_impl.h"

/* clang-format off */
static const uint8_t code[] = {
	/* 00 */ 0xF3, 0x0F, 0x1E, 0xFA,                   /* endbr64 */
	/* 04 */ 0x48, 0x81, 0xF9, 0x5D, 0x00, 0x01, 0x00, /* cmp  rcx, 1005Dh (fast SignalEvent) */
	/* 0B */ 0x75, 0x10,                               /* jne  1D */
	/* 0D */ 0x48, 0x89, 0xD0,                         /* mov  rax, rdx */
	/* 10 */ 0x48, 0xC1, 0xE8, 0x20,                   /* shr  rax, 32 (flag number, reserved) */
	/* 14 */ 0x75, 0x07,                               /* jnz  1D */
	/* 16 */ 0x89, 0xD0,                               /* mov  eax, edx (connection id) */
	/* 18 */ 0xE7, HV_PORT_SIGNAL,                     /* out  E1h, eax */
	/* 1A */ 0x31, 0xC0,                               /* xor  eax, eax (HV_STATUS_SUCCESS) */
	/* 1C */ 0xC3,                                     /* ret */
	/* 1D */ 0x89, 0xC8,                               /* mov  eax, ecx */
	/* 1F */ 0xE7, HV_PORT_HYPERCALL,                  /* out  E0h, eax */
	/* 21 */ 0xC3,                                     /* ret */
};
/* clang-format on */
#define INT3 0xCC

_Static_assert(HV_PORT_SIGNAL <= 0xFF && HV_PORT_HYPERCALL <= 0xFF, "ports are imm8 operands");

void hv_hypercall_page_fill(uint8_t page[HV_PAGE_SIZE])
{
	memset(page, INT3, HV_PAGE_SIZE);
	memcpy(page, code, sizeof(code));
}

static void page_publish(uint64_t GUEST_SHARED *to)
{
	union {
		uint8_t bytes[HV_PAGE_SIZE];
		uint64_t words[HV_PAGE_WORDS];
	} page;

	hv_hypercall_page_fill(page.bytes);
	for (size_t i = 0; i < HV_PAGE_WORDS; i++)
		__atomic_store_n(&to[i], page.words[i], __ATOMIC_RELAXED);
}

/* Under hv.lock. Without a guest OS id the page cannot be enabled. */
static int hypercall_write(struct hv *hv, uint64_t value)
{
	void GUEST_SHARED *page;

	if (hv->hypercall & HV_MSR_HYPERCALL_LOCKED)
		return -EPERM;
	if (!hv->guest_os_id)
		value &= ~HV_MSR_PAGE_ENABLE;
	page = hv_msr_page(hv, value);
	if ((value & HV_MSR_PAGE_ENABLE) && !page)
		return -EPERM;
	if (page && hv_msr_page_moved(hv->hypercall, value))
		page_publish(page);
	hv->hypercall = value;
	return 0;
}

bool hv_guest_is_open_source(struct hv *hv)
{
	uint64_t id;

	pthread_mutex_lock(&hv->lock);
	id = hv->guest_os_id;
	pthread_mutex_unlock(&hv->lock);
	return id & HV_GUEST_OS_OPEN_SOURCE;
}

static void guest_os_id_write(struct hv *hv, uint64_t value)
{
	hv->guest_os_id = value;
	if (!value)
		hv->hypercall &= ~HV_MSR_PAGE_ENABLE;
}

int hcall_msr_read(struct hv *hv, struct hv_vp *vp, uint32_t msr, uint64_t *value)
{
	pthread_mutex_lock(&hv->lock);
	*value = msr == HV_MSR_GUEST_OS_ID ? hv->guest_os_id : hv->hypercall;
	pthread_mutex_unlock(&hv->lock);
	return 0;
}

int hcall_msr_write(struct hv *hv, struct hv_vp *vp, uint32_t msr, uint64_t value)
{
	int ret = 0;

	pthread_mutex_lock(&hv->lock);
	if (msr == HV_MSR_GUEST_OS_ID)
		guest_os_id_write(hv, value);
	else
		ret = hypercall_write(hv, value);
	pthread_mutex_unlock(&hv->lock);
	return ret;
}
