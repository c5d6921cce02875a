/* SPDX-License-Identifier: MIT */
/*
 * The reset vector. There is no firmware, but guests jump to where a PC's begins: Linux with
 * reboot=b or reboot=e to F000:FFF0 in real mode; a VP 0 that receives an INIT starts at FFFFFFF0h.
 * One page of ROM, mapped at both places, resets the VM through the reset control register.
 *
 * The guest cannot write it. For the host, gmem has RAM at the lower place: what a guest makes us
 * write there (all of it is below 1 MiB and reserved in its memory map) it does not see.
 */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "hyper/kvm/partition_impl.h"

#define VECTOR_OFFSET 0xFF0u

/* clang-format off */
static const uint8_t code[] = { /* 16-bit */
	/* 0 */ 0xFA,             /* cli */
	/* 1 */ 0xBA, 0xF9, 0x0C, /* mov dx, 0CF9h */
	/* 4 */ 0xB0, 0x06,       /* mov al, 6 (reset the system, now) */
	/* 6 */ 0xEE,             /* out dx, al */
	/* 7 */ 0xF4,             /* hlt */
	/* 8 */ 0xEB, 0xFD,       /* jmp 7 */
};
/* clang-format on */
_Static_assert(VECTOR_OFFSET + sizeof(code) <= RESET_ROM_SIZE, "the code ends with the page");
_Static_assert(PCI_CONFIG_PORT + 1 == 0x0CF9, "the port in the code");

static int map_at(struct partition *p, uint32_t slot, uint64_t gpa)
{
	struct kvm_userspace_memory_region region = {
		.slot = slot,
		.flags = p->reset_rom_read_only ? KVM_MEM_READONLY : 0,
		.guest_phys_addr = gpa,
		.memory_size = RESET_ROM_SIZE,
		.userspace_addr = (uint64_t)p->reset_rom,
	};

	return ioctl(p->vm_fd, KVM_SET_USER_MEMORY_REGION, &region) < 0 ? -errno : 0;
}

/* Where KVM has no read-only memory, a guest that writes there breaks its own reboot only. */
int reset_rom_create(struct partition *p)
{
	void *page = mmap(
		NULL, RESET_ROM_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int ret;

	if (page == MAP_FAILED)
		return -errno;
	memcpy((uint8_t *)page + VECTOR_OFFSET, code, sizeof(code));
	p->reset_rom = page;
	p->reset_rom_read_only = ioctl(p->vm_fd, KVM_CHECK_EXTENSION, KVM_CAP_READONLY_MEM) > 0;
	ret = map_at(p, SLOT_ROM_LOW, RESET_ROM_LOW_GPA);
	return ret ? ret : map_at(p, SLOT_ROM_HIGH, RESET_ROM_HIGH_GPA);
}

/* The VM is closed. */
void reset_rom_destroy(struct partition *p)
{
	if (p->reset_rom)
		munmap(p->reset_rom, RESET_ROM_SIZE);
	p->reset_rom = NULL;
}
