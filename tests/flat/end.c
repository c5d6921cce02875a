/* SPDX-License-Identifier: MIT */
/*
 * One way for a machine to end, named by the command line. How it ended is the
 * status of `enlite run`; tests/flat/run compares.
 */
#include "hyperv.h"

/* Where hyper/dev and our FADT put them. */
#define I8042_COMMAND    0x64
#define I8042_RESET      0xFE
#define RESET_CONTROL    0xCF9
#define RESET_CPU_SYSTEM 0x06
#define ACPI_PM1_CONTROL 0x604
#define ACPI_SLEEP_S5    (5u << 10 | 1u << 13) /* SLP_TYP, SLP_EN */
#define ACPI_RESET       0x608
#define ACPI_RESET_VALUE 0x01
#define OLD_EXIT_PORT    0x8900

static void by_keyboard(void)
{
	outb(I8042_COMMAND, I8042_RESET);
}

static void by_reset_control(void)
{
	outb(RESET_CONTROL, RESET_CPU_SYSTEM);
}

static void by_acpi_reset(void)
{
	outb(ACPI_RESET, ACPI_RESET_VALUE);
}

static void by_hv_reset(void)
{
	wrmsr(HV_MSR_RESET, 1);
}

static void by_power_off(void)
{
	outw(ACPI_PM1_CONTROL, ACPI_SLEEP_S5);
}

static void by_triple_fault(void)
{
	const struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) no_idt = {0, 0};

	__asm__ volatile("lidt %0; ud2" : : "m"(no_idt));
}

static void by_crash(void)
{
	static char text[] = "flat guest: as bad as it gets\n";

	for (uint32_t i = 0; i < 3; i++)
		wrmsr(HV_MSR_CRASH_P0 + i, 0xC0DE + i);
	wrmsr(HV_MSR_CRASH_P0 + 3, (uintptr_t)text);
	wrmsr(HV_MSR_CRASH_P0 + 4, sizeof(text) - 1);
	wrmsr(HV_MSR_CRASH_CTL, HV_CRASH_CTL_NOTIFY | HV_CRASH_CTL_MESSAGE);
}

/* As Linux with reboot=b: real mode, a jump to where firmware begins. */
static void by_reset_vector(void)
{
	static const uint8_t jump[] = {0xEA, 0xF0, 0xFF, 0x00, 0xF0}; /* ljmp F000:FFF0 */

	vp_start_code(1, jump, sizeof(jump));
}

/* The write vanishes: else VP 1 would halt there. */
static void by_written_reset_vector(void)
{
	*(volatile uint8_t *)0xFFFF0 = 0xF4; /* hlt */
	report_eq(*(volatile uint8_t *)0xFFFF0, 0xFA, "the reset vector cannot be written");
	by_reset_vector();
}

static void by_init(void)
{
	vp_init(0);
}

static void by_old_exit(void)
{
	for (const char *c = "Shutdown"; *c; c++)
		outb(OLD_EXIT_PORT, (uint8_t)*c);
}

static const struct {
	const char *name;
	void (*end)(void);
} ends[] = {
	{"keyboard", by_keyboard},
	{"reset-control", by_reset_control},
	{"acpi-reset", by_acpi_reset},
	{"hv-reset", by_hv_reset},
	{"power-off", by_power_off},
	{"triple-fault", by_triple_fault},
	{"crash", by_crash},
	{"reset-vector", by_reset_vector},
	{"written-reset-vector", by_written_reset_vector},
	{"init", by_init},
	{"old-exit", by_old_exit},
};

void flat_main(void)
{
	for (unsigned i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		if (!cmdline_has(ends[i].name))
			continue;
		print("ending by %s\n", ends[i].name);
		ends[i].end();
		delay_us(5000000);
		report(false, "the machine ends by %s", ends[i].name);
		return;
	}
	report(false, "the command line names a way to end");
}
