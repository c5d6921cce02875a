/* SPDX-License-Identifier: MIT */
/* ACPI tables: walked from the RSDP as guests do, with checksums. */
#include "hyper/boot/acpi_reg.h"
#include "hyper/dev/dev.h"
#include "images.h"

static struct gmem g;
static struct err e;

static int setup(void **state)
{
	return gmem_create(&g, 16 * MIB, &e);
}

static int teardown(void **state)
{
	gmem_destroy(&g);
	return 0;
}

static uint8_t sum(const void *at, uint32_t length)
{
	const uint8_t *byte = at;
	uint8_t total = 0;

	for (uint32_t i = 0; i < length; i++)
		total = (uint8_t)(total + byte[i]);
	return total;
}

/* A table inside the ACPI area whose signature and checksum are right. */
static const void *table(uint64_t gpa, const char *signature, uint32_t min_length)
{
	const struct acpi_header *header;

	assert_in_range(gpa, BOOT_ACPI_START, BOOT_ACPI_END - sizeof(*header));
	header = (const void *)gmem_at(&g, gpa, sizeof(*header));
	assert_memory_equal(header->signature, signature, 4);
	assert_true(header->length >= min_length && header->length <= BOOT_ACPI_END - gpa);
	assert_int_equal(sum(header, header->length), 0);
	return header;
}

static const struct acpi_xsdt *build(uint32_t vp_count)
{
	const struct acpi_rsdp *rsdp;
	uint64_t gpa;

	assert_int_equal(acpi_build(&g, vp_count, &gpa, &e), 0);
	assert_int_equal(gpa % 16, 0); /* where kernels without acpi_rsdp_addr scan */
	assert_in_range(gpa, 0xE0000, 0xFFFFF);
	rsdp = (const void *)gmem_at(&g, gpa, sizeof(*rsdp));
	assert_memory_equal(rsdp->signature, "RSD PTR ", 8);
	assert_int_equal(rsdp->revision, 2);
	assert_int_equal(sum(rsdp, 20), 0);
	assert_int_equal(sum(rsdp, rsdp->length), 0);
	return table(rsdp->xsdt, "XSDT", sizeof(struct acpi_xsdt));
}

static const struct acpi_fadt *fadt(void)
{
	return table(build(1)->table[0], "FACP", sizeof(struct acpi_fadt));
}

static void fadt_agrees_with_the_devices(void **state)
{
	const struct acpi_fadt *f = fadt();

	assert_int_equal(f->sci_int, ACPI_SCI_GSI);
	assert_int_equal(f->pm1a_evt, ACPI_PM1_EVT_PORT);
	assert_int_equal(f->pm1_evt_len, 4);
	assert_int_equal(f->pm1a_cnt, ACPI_PM1_CNT_PORT);
	assert_int_equal(f->pm1_cnt_len, 2);
	assert_int_equal(f->reset_reg.address, ACPI_RESET_PORT);
	assert_int_equal(f->reset_reg.space, 1);
	assert_int_equal(f->reset_reg.bit_width, 8);
	assert_int_equal(f->reset_value, ACPI_RESET_VALUE);
	assert_int_equal(f->century, 0x32);
}

static void fadt_says_what_is_absent(void **state)
{
	const struct acpi_fadt *f = fadt();

	assert_int_equal(f->smi_cmd, 0); /* always in ACPI mode */
	assert_int_equal(f->pm_tmr | f->x_pm_tmr.address | f->pm_tmr_len, 0);
	assert_int_equal(f->gpe0 | f->gpe1 | f->x_gpe0.address | f->x_gpe1.address, 0);
	assert_int_equal(f->boot_arch & (1 << 1), 0);      /* i8042 */
	assert_int_equal(f->boot_arch & (1 << 2), 1 << 2); /* no VGA */
	assert_int_equal(f->boot_arch & (1 << 3), 0);      /* MSI allowed */
	assert_int_equal(f->boot_arch & (1 << 5), 0);      /* RTC present */
	assert_int_equal(f->flags & (1 << 4), 0);          /* power button is fixed hardware */
	assert_int_equal(f->flags & (1 << 10), 1 << 10);   /* reset register */
	assert_int_equal(f->flags & (1 << 20), 0);         /* not hardware-reduced */
}

static void facs_is_there(void **state)
{
	const struct acpi_fadt *f = fadt();
	const struct acpi_facs *facs = (const void *)gmem_at(&g, f->facs, sizeof(*facs));

	assert_int_equal(f->facs % 64, 0);
	assert_int_equal(f->x_facs, 0); /* one of the two, or ACPICA complains */
	assert_memory_equal(facs->signature, "FACS", 4);
	assert_int_equal(facs->length, 64);
	assert_int_equal(facs->global_lock, 0);
}

static void fadt_64_bit_fields_agree(void **state)
{
	const struct acpi_fadt *f = fadt();

	assert_int_equal(f->x_dsdt, f->dsdt);
	assert_int_equal(f->x_pm1a_evt.address, f->pm1a_evt);
	assert_int_equal(f->x_pm1a_evt.bit_width, 8 * f->pm1_evt_len);
	assert_int_equal(f->x_pm1a_cnt.address, f->pm1a_cnt);
	assert_int_equal(f->x_pm1a_cnt.bit_width, 8 * f->pm1_cnt_len);
	assert_int_equal(f->x_pm1a_evt.space, 1);
	assert_int_equal(f->x_pm1a_cnt.space, 1);
}

/* Walks the entries; every VP once, in order, then one IO-APIC and the SCI. */
static void check_madt(uint32_t vp_count)
{
	const struct acpi_madt *madt =
		table(build(vp_count)->table[1], "APIC", sizeof(struct acpi_madt));
	const uint8_t *at = (const uint8_t *)(madt + 1);
	const uint8_t *end = (const uint8_t *)madt + madt->header.length;
	uint32_t vps = 0, ioapics = 0, overrides = 0;

	assert_int_equal(madt->lapic, 0xFEE00000);
	for (; at < end; at += at[1]) {
		assert_true(at[1] >= 2 && at[1] <= end - at);
		if (at[0] == ACPI_MADT_LAPIC) {
			const struct acpi_madt_lapic *lapic = (const void *)at;

			assert_int_equal(lapic->apic_id, vps);
			assert_int_equal(lapic->flags, 1);
			vps++;
		} else if (at[0] == ACPI_MADT_IOAPIC) {
			const struct acpi_madt_ioapic *ioapic = (const void *)at;

			assert_int_equal(ioapic->address, 0xFEC00000);
			assert_int_equal(ioapic->gsi_base, 0);
			ioapics++;
		} else {
			const struct acpi_madt_override *sci = (const void *)at;

			assert_int_equal(at[0], ACPI_MADT_OVERRIDE);
			assert_int_equal(sci->source, 9);
			assert_int_equal(sci->gsi, 9);
			assert_int_equal(sci->flags, 0xD); /* active high, level */
			overrides++;
		}
	}
	assert_int_equal(vps, vp_count);
	assert_int_equal(ioapics, 1);
	assert_int_equal(overrides, 1);
}

static void madt_lists_the_vps(void **state)
{
	check_madt(1);
	check_madt(2);
	check_madt(64);
	check_madt(255);
}

static bool dsdt_has(const void *bytes, size_t size)
{
	const struct acpi_header *dsdt = table(fadt()->x_dsdt, "DSDT", 100);

	return memmem(dsdt, dsdt->length, bytes, size) != NULL;
}

/* The constants duplicated in dsdt.asl, as AML bytes. */
static void dsdt_agrees_with_the_devices(void **state)
{
	const uint8_t com1[] = {0x47, 0x01, SERIAL_PORT & 0xFF, SERIAL_PORT >> 8};
	const uint8_t com1_irq[] = {0x22, 1 << SERIAL_GSI, 0};
	const uint8_t rtc[] = {0x47, 0x01, RTC_PORT, 0, RTC_PORT, 0, 0, 2};
	const uint8_t s5[] = {'_', 'S', '5', '_', 0x12, 0x08, 4, 0x0A, ACPI_SLP_TYP_S5};

	assert_true(dsdt_has(com1, sizeof(com1)));
	assert_true(dsdt_has(com1_irq, sizeof(com1_irq)));
	assert_true(dsdt_has(rtc, sizeof(rtc)));
	assert_true(dsdt_has(s5, sizeof(s5)));
}

static void dsdt_has_vmbus_below_its_module(void **state)
{
	assert_true(dsdt_has("_HID\x0DVMBus", 11));
	assert_true(dsdt_has("_DDN\x0DVMBUS", 11));
	assert_true(dsdt_has("_HID\x0D"
			     "ACPI0004",
		14));
}

/* QWord memory descriptors: min, max, translation, length. */
static void dsdt_windows_lie_outside_ram(void **state)
{
	const uint64_t low[] = {0xF8000000, 0xFDFFFFFF, 0, 0x6000000};
	const uint64_t high[] = {0xFC00000000, 0xFFFFFFFFFF, 0, 0x400000000};

	assert_true(dsdt_has(low, sizeof(low)));
	assert_true(dsdt_has(high, sizeof(high)));
	assert_true(low[0] >= GMEM_LOW_MAX && low[1] < 0xFEBFC000); /* KVM's pages, IO-APIC */
}

static void too_much_memory_is_refused(void **state)
{
	struct gmem big = g;
	uint64_t rsdp;

	big.high_size = 0xFC00000000 - GMEM_HIGH_START;
	assert_int_equal(acpi_build(&big, 1, &rsdp, &e), 0);
	big.high_size += 4096;
	assert_int_equal(acpi_build(&big, 1, &rsdp, &e), -EINVAL);
	assert_non_null(strstr(e.text, "at most 1031168M"));
}

static void too_little_memory_is_refused(void **state)
{
	struct gmem small = g;
	uint64_t rsdp;

	small.low_size = BOOT_ACPI_START + 64;
	assert_int_equal(acpi_build(&small, 1, &rsdp, &e), -EINVAL);
	assert_non_null(strstr(e.text, "memory"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fadt_agrees_with_the_devices),
		cmocka_unit_test(fadt_says_what_is_absent),
		cmocka_unit_test(facs_is_there),
		cmocka_unit_test(fadt_64_bit_fields_agree),
		cmocka_unit_test(madt_lists_the_vps),
		cmocka_unit_test(dsdt_agrees_with_the_devices),
		cmocka_unit_test(dsdt_has_vmbus_below_its_module),
		cmocka_unit_test(dsdt_windows_lie_outside_ram),
		cmocka_unit_test(too_much_memory_is_refused),
		cmocka_unit_test(too_little_memory_is_refused),
	};

	return cmocka_run_group_tests_name("boot/acpi", tests, setup, teardown);
}
