/* SPDX-License-Identifier: MIT */
/* ACPI 6.0 tables: RSDP, XSDT, FACS, FADT, MADT. Bytes only. */
#ifndef HYPER_BOOT_ACPI_REG_H
#define HYPER_BOOT_ACPI_REG_H

#include <stddef.h>
#include <stdint.h>

struct acpi_rsdp {
	char signature[8]; /* "RSD PTR " */
	uint8_t checksum;  /* over the first 20 bytes */
	char oem_id[6];
	uint8_t revision;
	uint32_t rsdt;
	uint32_t length;
	uint64_t xsdt;
	uint8_t extended_checksum; /* over all */
	uint8_t reserved[3];
} __attribute__((packed));
_Static_assert(sizeof(struct acpi_rsdp) == 36, "");

struct acpi_header {
	char signature[4];
	uint32_t length;
	uint8_t revision;
	uint8_t checksum;
	char oem_id[6];
	char oem_table_id[8];
	uint32_t oem_revision;
	char creator_id[4];
	uint32_t creator_revision;
} __attribute__((packed));
_Static_assert(sizeof(struct acpi_header) == 36, "");

struct acpi_address {
	uint8_t space;
	uint8_t bit_width;
	uint8_t bit_offset;
	uint8_t access;
	uint64_t address;
} __attribute__((packed));
_Static_assert(sizeof(struct acpi_address) == 12, "");
#define ACPI_SPACE_IO     1u
#define ACPI_ACCESS_BYTE  1u
#define ACPI_ACCESS_WORD  2u
#define ACPI_ACCESS_DWORD 3u

struct acpi_xsdt {
	struct acpi_header header;
	uint64_t table[2]; /* FADT, MADT */
} __attribute__((packed));
_Static_assert(sizeof(struct acpi_xsdt) == 52, "");

#define ACPI_FACS_ALIGN   64u
#define ACPI_FACS_VERSION 2u
struct acpi_facs { /* no acpi_header and no checksum: the guest writes to it */
	char signature[4];
	uint32_t length;
	uint32_t hardware_signature;
	uint32_t waking_vector;
	uint32_t global_lock;
	uint32_t flags;
	uint64_t x_waking_vector;
	uint8_t version;
	uint8_t reserved[31];
} __attribute__((packed));
_Static_assert(sizeof(struct acpi_facs) == 64, "");

#define ACPI_FADT_WBINVD     (1u << 0)
#define ACPI_FADT_C1         (1u << 2)
#define ACPI_FADT_NO_SLEEP   (1u << 5)  /* no fixed sleep button */
#define ACPI_FADT_NO_RTC     (1u << 6)  /* no fixed RTC wake */
#define ACPI_FADT_RESET      (1u << 10) /* reset register present */
#define ACPI_FADT_BOOT_NOVGA (1u << 2)

struct acpi_fadt {
	struct acpi_header header;
	uint32_t facs;
	uint32_t dsdt;
	uint8_t reserved1;
	uint8_t pm_profile;
	uint16_t sci_int;
	uint32_t smi_cmd;
	uint8_t acpi_enable, acpi_disable, s4bios, pstate_cnt;
	uint32_t pm1a_evt, pm1b_evt;
	uint32_t pm1a_cnt, pm1b_cnt;
	uint32_t pm2_cnt;
	uint32_t pm_tmr;
	uint32_t gpe0, gpe1;
	uint8_t pm1_evt_len, pm1_cnt_len, pm2_cnt_len, pm_tmr_len;
	uint8_t gpe0_len, gpe1_len, gpe1_base, cst_cnt;
	uint16_t c2_latency, c3_latency;
	uint16_t flush_size, flush_stride;
	uint8_t duty_offset, duty_width;
	uint8_t day_alarm, month_alarm, century;
	uint16_t boot_arch;
	uint8_t reserved2;
	uint32_t flags;
	struct acpi_address reset_reg;
	uint8_t reset_value;
	uint16_t arm_boot_arch;
	uint8_t minor_revision;
	uint64_t x_facs, x_dsdt;
	struct acpi_address x_pm1a_evt, x_pm1b_evt;
	struct acpi_address x_pm1a_cnt, x_pm1b_cnt;
	struct acpi_address x_pm2_cnt, x_pm_tmr;
	struct acpi_address x_gpe0, x_gpe1;
	struct acpi_address sleep_control, sleep_status;
	uint64_t hypervisor;
} __attribute__((packed));
_Static_assert(offsetof(struct acpi_fadt, pm1a_evt) == 56, "");
_Static_assert(offsetof(struct acpi_fadt, century) == 108, "");
_Static_assert(offsetof(struct acpi_fadt, flags) == 112, "");
_Static_assert(offsetof(struct acpi_fadt, x_dsdt) == 140, "");
_Static_assert(sizeof(struct acpi_fadt) == 276, "");

#define ACPI_MADT_PCAT (1u << 0) /* 8259 PICs present too */
struct acpi_madt {
	struct acpi_header header;
	uint32_t lapic;
	uint32_t flags;
} __attribute__((packed));
_Static_assert(sizeof(struct acpi_madt) == 44, "");

enum { ACPI_MADT_LAPIC = 0, ACPI_MADT_IOAPIC = 1, ACPI_MADT_OVERRIDE = 2 };

#define ACPI_LAPIC_ENABLED 1u
struct acpi_madt_lapic {
	uint8_t type, length;
	uint8_t uid;
	uint8_t apic_id;
	uint32_t flags;
} __attribute__((packed));
_Static_assert(sizeof(struct acpi_madt_lapic) == 8, "");

struct acpi_madt_ioapic {
	uint8_t type, length;
	uint8_t id;
	uint8_t reserved;
	uint32_t address;
	uint32_t gsi_base;
} __attribute__((packed));
_Static_assert(sizeof(struct acpi_madt_ioapic) == 12, "");

#define ACPI_INTI_ACTIVE_HIGH 0x1u
#define ACPI_INTI_LEVEL       0xCu
struct acpi_madt_override {
	uint8_t type, length;
	uint8_t bus; /* 0: ISA */
	uint8_t source;
	uint32_t gsi;
	uint16_t flags;
} __attribute__((packed));
_Static_assert(sizeof(struct acpi_madt_override) == 10, "");

#endif
