/* SPDX-License-Identifier: MIT */
/*
 * ACPI tables at BOOT_ACPI_START: RSDP, FACS, DSDT, FADT, MADT, XSDT, one after
 * the other. The VM has ACPI fixed hardware (hyper/dev/acpi_pm.c) and is always in
 * ACPI mode: there is no SMI command port, PM timer or GPE. There are no sleep
 * states, so the FACS only holds the global lock, which is never contended.
 * The code of the DSDT is compiled from dsdt.asl at build time.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "hyper/boot/acpi_reg.h"
#include "hyper/boot/boot_impl.h"
#include "hyper/boot/dsdt.h" /* generated: dsdt_aml_code; this is its only user */
#include "hyper/dev/dev.h"

#define LAPIC_GPA  0xFEE00000u
#define IOAPIC_GPA 0xFEC00000u
/* dsdt.asl gives the addresses from here on to VMBus. */
#define RAM_END_MAX 0xFC00000000ull

#define RSDP_REVISION    2u
#define RSDP_V1_LENGTH   20u
#define XSDT_REVISION    1u
#define FADT_REVISION    6u
#define MADT_REVISION    4u
#define TABLE_ALIGN      16u
#define CREATOR_REVISION 1u
#define LATENCY_NO_C2    101u  /* FADT: above 100 means "not supported" */
#define LATENCY_NO_C3    1001u /* likewise 1000 */

/* Space for tables, filled from the start. The DSDT and 255 VPs need less than half. */
#define ACPI_SPACE_SIZE 8192u
_Static_assert(BOOT_ACPI_START % ACPI_FACS_ALIGN == 0, "offsets align as addresses do");
_Static_assert(ACPI_SPACE_SIZE <= BOOT_ACPI_END - BOOT_ACPI_START, "tables end below 1 MiB");
struct acpi_space {
	uint8_t bytes[ACPI_SPACE_SIZE];
	uint32_t used;
};

static uint8_t checksum(const void *table, uint32_t length)
{
	const uint8_t *byte = table;
	uint8_t sum = 0;

	for (uint32_t i = 0; i < length; i++)
		sum = (uint8_t)(sum + byte[i]);
	return (uint8_t)-sum;
}

static void *take(struct acpi_space *space, uint32_t length)
{
	void *at = &space->bytes[space->used];

	assert(length <= sizeof(space->bytes) - space->used);
	space->used += (uint32_t)boot_align_up(length, TABLE_ALIGN);
	return at;
}

static uint64_t gpa_of(const struct acpi_space *space, const void *table)
{
	return BOOT_ACPI_START + (uint64_t)((const uint8_t *)table - space->bytes);
}

static void fill_header(
	struct acpi_header *header, const char *signature, uint32_t length, uint8_t revision)
{
	memcpy(header->signature, signature, sizeof(header->signature));
	header->length = length;
	header->revision = revision;
	memcpy(header->oem_id, "ENLITE", sizeof(header->oem_id));
	memcpy(header->oem_table_id, "ENLITE\0", sizeof(header->oem_table_id));
	header->oem_revision = 1;
	memcpy(header->creator_id, "ENLT", sizeof(header->creator_id));
	header->creator_revision = CREATOR_REVISION;
}

/* The last step: the table must not change after it. */
static void seal(struct acpi_header *header)
{
	header->checksum = 0;
	header->checksum = checksum(header, header->length);
}

static uint64_t add_dsdt(struct acpi_space *space)
{
	void *dsdt = take(space, sizeof(dsdt_aml_code));

	memcpy(dsdt, dsdt_aml_code, sizeof(dsdt_aml_code)); /* iasl set its checksum */
	return gpa_of(space, dsdt);
}

static uint64_t add_facs(struct acpi_space *space)
{
	struct acpi_facs *facs;

	space->used = (uint32_t)boot_align_up(space->used, ACPI_FACS_ALIGN);
	facs = take(space, sizeof(*facs));
	memcpy(facs->signature, "FACS", sizeof(facs->signature));
	facs->length = sizeof(*facs);
	facs->version = ACPI_FACS_VERSION;
	return gpa_of(space, facs);
}

static struct acpi_address io_register(uint16_t port, uint8_t bytes, uint8_t access)
{
	return (struct acpi_address){
		.space = ACPI_SPACE_IO,
		.bit_width = (uint8_t)(8 * bytes),
		.access = access,
		.address = port,
	};
}

static uint64_t add_fadt(struct acpi_space *space, uint64_t facs, uint64_t dsdt)
{
	struct acpi_fadt *fadt = take(space, sizeof(*fadt));

	*fadt = (struct acpi_fadt){
		.facs = (uint32_t)facs,
		.dsdt = (uint32_t)dsdt,
		.x_dsdt = dsdt,
		.sci_int = ACPI_SCI_GSI,
		.pm1a_evt = ACPI_PM1_EVT_PORT,
		.pm1_evt_len = 4,
		.x_pm1a_evt = io_register(ACPI_PM1_EVT_PORT, 4, ACPI_ACCESS_WORD),
		.pm1a_cnt = ACPI_PM1_CNT_PORT,
		.pm1_cnt_len = 2,
		.x_pm1a_cnt = io_register(ACPI_PM1_CNT_PORT, 2, ACPI_ACCESS_WORD),
		.c2_latency = LATENCY_NO_C2,
		.c3_latency = LATENCY_NO_C3,
		.century = RTC_CENTURY,
		/* No keyboard controller (bit 1 clear), no VGA; MSI and the RTC are supported. */
		.boot_arch = ACPI_FADT_BOOT_NOVGA,
		.flags = ACPI_FADT_WBINVD | ACPI_FADT_C1 | ACPI_FADT_NO_SLEEP | ACPI_FADT_NO_RTC |
			 ACPI_FADT_RESET,
		.reset_reg = io_register(ACPI_RESET_PORT, 1, ACPI_ACCESS_BYTE),
		.reset_value = ACPI_RESET_VALUE,
	};
	fill_header(&fadt->header, "FACP", sizeof(*fadt), FADT_REVISION);
	seal(&fadt->header);
	return gpa_of(space, fadt);
}

static void *append(struct acpi_madt *madt, const void *entry, uint32_t length)
{
	void *at = (uint8_t *)madt + madt->header.length;

	memcpy(at, entry, length);
	madt->header.length += length;
	return at;
}

static void append_lapics(struct acpi_madt *madt, uint32_t vp_count)
{
	for (uint32_t vp = 0; vp < vp_count; vp++) {
		struct acpi_madt_lapic lapic = {
			.type = ACPI_MADT_LAPIC,
			.length = sizeof(lapic),
			.uid = (uint8_t)vp,
			.apic_id = (uint8_t)vp,
			.flags = ACPI_LAPIC_ENABLED,
		};

		append(madt, &lapic, sizeof(lapic));
	}
}

/* All ISA interrupts are identity mapped and edge triggered, except the SCI. */
static void append_ioapic(struct acpi_madt *madt)
{
	struct acpi_madt_ioapic ioapic = {
		.type = ACPI_MADT_IOAPIC,
		.length = sizeof(ioapic),
		.address = IOAPIC_GPA,
	};
	struct acpi_madt_override sci = {
		.type = ACPI_MADT_OVERRIDE,
		.length = sizeof(sci),
		.source = ACPI_SCI_GSI,
		.gsi = ACPI_SCI_GSI,
		.flags = ACPI_INTI_ACTIVE_HIGH | ACPI_INTI_LEVEL,
	};

	append(madt, &ioapic, sizeof(ioapic));
	append(madt, &sci, sizeof(sci));
}

static uint64_t add_madt(struct acpi_space *space, uint32_t vp_count)
{
	uint32_t max =
		(uint32_t)(sizeof(struct acpi_madt) + vp_count * sizeof(struct acpi_madt_lapic) +
			   sizeof(struct acpi_madt_ioapic) + sizeof(struct acpi_madt_override));
	struct acpi_madt *madt = take(space, max);

	fill_header(&madt->header, "APIC", sizeof(*madt), MADT_REVISION);
	madt->lapic = LAPIC_GPA;
	madt->flags = ACPI_MADT_PCAT; /* KVM's PICs */
	append_lapics(madt, vp_count);
	append_ioapic(madt);
	assert(madt->header.length == max);
	seal(&madt->header);
	return gpa_of(space, madt);
}

static uint64_t add_xsdt(struct acpi_space *space, uint64_t fadt, uint64_t madt)
{
	struct acpi_xsdt *xsdt = take(space, sizeof(*xsdt));

	*xsdt = (struct acpi_xsdt){.table = {fadt, madt}};
	fill_header(&xsdt->header, "XSDT", sizeof(*xsdt), XSDT_REVISION);
	seal(&xsdt->header);
	return gpa_of(space, xsdt);
}

static void fill_rsdp(struct acpi_rsdp *rsdp, uint64_t xsdt)
{
	*rsdp = (struct acpi_rsdp){
		.revision = RSDP_REVISION,
		.length = sizeof(*rsdp),
		.xsdt = xsdt,
	};
	memcpy(rsdp->signature, "RSD PTR ", sizeof(rsdp->signature));
	memcpy(rsdp->oem_id, "ENLITE", sizeof(rsdp->oem_id));
	rsdp->checksum = checksum(rsdp, RSDP_V1_LENGTH);
	rsdp->extended_checksum = checksum(rsdp, sizeof(*rsdp));
}

int acpi_build(const struct gmem *g, uint32_t vp_count, uint64_t *rsdp_gpa, struct err *e)
{
	struct acpi_space space = {.used = 0};
	struct acpi_rsdp *rsdp = take(&space, sizeof(*rsdp));
	uint64_t facs, dsdt, fadt, madt;

	assert(vp_count >= 1 && vp_count <= UINT8_MAX); /* 0xFF is the broadcast APIC id */
	if (g->high_size > RAM_END_MAX - GMEM_HIGH_START || gmem_end_max(g) > RAM_END_MAX)
		return err_set(e, -EINVAL, "memory: %lluM is too much; guests have at most %lluM",
			boot_mib(g->low_size + g->high_size),
			boot_mib(GMEM_LOW_MAX + RAM_END_MAX - GMEM_HIGH_START));
	facs = add_facs(&space);
	dsdt = add_dsdt(&space);
	fadt = add_fadt(&space, facs, dsdt);
	madt = add_madt(&space, vp_count);
	fill_rsdp(rsdp, add_xsdt(&space, fadt, madt));
	if (gmem_write(g, BOOT_ACPI_START, space.bytes, space.used))
		return err_set(e, -EINVAL,
			"memory: %llu MiB is too little; set it to %lluM or more",
			boot_mib(g->low_size), boot_mib(BOOT_MEMORY_MIN));
	*rsdp_gpa = gpa_of(&space, rsdp);
	return 0;
}
