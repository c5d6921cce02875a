/* SPDX-License-Identifier: MIT */
/*
 * Counts the bytes that come on COM1, and prints the count after each: its memory says how much
 * of its life it has lived. With the word "fill" it has written to 32 MiB before, so that a save
 * takes a while. For tests of saved states.
 */
#include "flat.h"
#include "hv/hv_reg.h"

#define COM1         0x3F8u
#define LSR_READY    1u
#define TIMER_VECTOR 0x50u
#define TIMER_COUNT  5000000u /* 5 ms */
#define FILL_START   (16ull << 20)
#define FILL_BYTES   (32ull << 20)

/* No page can be left out of an image. */
static void fill(void)
{
	for (uint64_t at = FILL_START; at < FILL_START + FILL_BYTES; at += HV_PAGE_SIZE)
		*(volatile uint64_t *)at = at;
}

void flat_main(void)
{
	uint64_t count = 0;

	if (cmdline_has("fill"))
		fill();
	apic_timer_set(APIC_PERIODIC, TIMER_VECTOR);
	apic_timer_count(TIMER_COUNT);
	print("count %lu\n", count);
	for (;;) {
		irq_disable();
		irq_enable_and_halt();
		while (inb(COM1 + 5) & LSR_READY) {
			(void)inb(COM1);
			print("count %lu\n", ++count);
		}
	}
}
