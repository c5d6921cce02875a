/* SPDX-License-Identifier: MIT */
/* Synthetic MSRs: reset values, access rights, reserved bits. Spec sheet "hypervisor", section 2.
 */
#include "hyperv.h"

#define APIC_HZ        1000000000ull
#define OUT_OF_RANGE   0x7FFFFFFFFFFFF000ull /* a page number no CPU has */
#define SPARE_PAGE     0x7000ull             /* unused low RAM */
#define SWEEP_LAST     (HV_MSR_FIRST + 0x1FF)
#define CRASH_CTL_CAPS (HV_CRASH_CTL_NOTIFY | HV_CRASH_CTL_MESSAGE)

static uint64_t read_or_fail(uint32_t msr)
{
	uint64_t value;

	if (rdmsr_safe(msr, &value))
		report(false, "MSR 0x%x is readable", msr);
	return value;
}

static bool offered(uint32_t feature)
{
	return cpuid(HV_CPUID_FEATURES).eax & feature;
}

/* ---- reset values -------------------------------------------------------- */

static const struct {
	const char *name;
	uint32_t msr;
	uint64_t value;
} reset_values[] = {
	{"GUEST_OS_ID", HV_MSR_GUEST_OS_ID, 0},
	{"HYPERCALL", HV_MSR_HYPERCALL, 0},
	{"VP_INDEX", HV_MSR_VP_INDEX, 0},
	{"REFERENCE_TSC", HV_MSR_REFERENCE_TSC, 0},
	{"APIC_FREQUENCY", HV_MSR_APIC_FREQUENCY, APIC_HZ},
	{"VP_ASSIST_PAGE", HV_MSR_VP_ASSIST_PAGE, 0},
	{"SCONTROL", HV_MSR_SCONTROL, 0},
	{"SVERSION", HV_MSR_SVERSION, HV_SYNIC_VERSION},
	{"SIEFP", HV_MSR_SIEFP, 0},
	{"SIMP", HV_MSR_SIMP, 0},
	{"EOM", HV_MSR_EOM, 0},
	{"CRASH_P0", HV_MSR_CRASH_P0, 0},
	{"CRASH_P4", HV_MSR_CRASH_P4, 0},
	{"CRASH_CTL", HV_MSR_CRASH_CTL, CRASH_CTL_CAPS},
};

static void test_reset_values(void)
{
	unsigned wrong = 0;

	for (unsigned i = 0; i < sizeof(reset_values) / sizeof(reset_values[0]); i++)
		report_eq(read_or_fail(reset_values[i].msr), reset_values[i].value, "%s at reset",
			reset_values[i].name);
	for (uint32_t msr = HV_MSR_SINT0; msr <= HV_MSR_SINT15; msr++)
		wrong += read_or_fail(msr) != HV_SINT_RESET_VALUE;
	report_eq(wrong, 0, "SINTs at reset: masked");
	if (offered(HV_FEAT_TSC_INVARIANT))
		report_eq(read_or_fail(HV_MSR_TSC_INVARIANT_CTL), 0,
			"TSC_INVARIANT_CONTROL at reset");
}

/* ---- access rights ------------------------------------------------------- */

static const uint32_t read_only[] = {
	HV_MSR_VP_INDEX,
	HV_MSR_TIME_REF_COUNT,
	HV_MSR_TSC_FREQUENCY,
	HV_MSR_APIC_FREQUENCY,
	HV_MSR_SVERSION,
};

/* Not offered by our CPUID leaves, or not MSRs at all. */
static const uint32_t absent[] = {
	0x40000004,
	0x4000000F,
	HV_MSR_VP_RUNTIME,
	0x40000011,
	0x40000024,
	HV_MSR_EOI,
	HV_MSR_ICR,
	HV_MSR_TPR,
	0x40000074,
	0x40000085,
	0x400000A0,
	0x400000B8,
	HV_MSR_GUEST_IDLE,
	0x40000106,
	0x40000107,
	0x40000114,
	0x40000119,
	0x400001FF,
	0x40001080,
	0x40001FFF,
};

static void test_access(void)
{
	uint64_t value;

	for (unsigned i = 0; i < sizeof(read_only) / sizeof(read_only[0]); i++)
		report_eq(wrmsr_safe(read_only[i], 1), VECTOR_GP, "write to read-only 0x%x: #GP",
			read_only[i]);
	for (unsigned i = 0; i < sizeof(absent) / sizeof(absent[0]); i++)
		report(rdmsr_safe(absent[i], &value) == VECTOR_GP &&
				wrmsr_safe(absent[i], 0) == VECTOR_GP,
			"absent 0x%x: #GP", absent[i]);
	if (!offered(HV_FEAT_STIMER))
		report(rdmsr_safe(HV_MSR_STIMER0_CONFIG, &value) == VECTOR_GP &&
				wrmsr_safe(HV_MSR_STIMER3_COUNT, 0) == VECTOR_GP,
			"timers not offered: #GP");
	report_eq(wrmsr_safe(HV_MSR_VP_ASSIST_PAGE, SPARE_PAGE | 1), 0,
		"VP_ASSIST_PAGE is accepted although not offered");
	report_eq(wrmsr_safe(HV_MSR_VP_ASSIST_PAGE, 0), 0, "VP_ASSIST_PAGE can be taken back");
}

/* ---- values that stay ---------------------------------------------------- */

static void test_keeps(const char *name, uint32_t msr, uint64_t value)
{
	const uint64_t before = read_or_fail(msr);
	const uint8_t fault = wrmsr_safe(msr, value);

	report(!fault && read_or_fail(msr) == value, "%s keeps 0x%lx", name, value);
	wrmsr_safe(msr, before);
}

static void test_reserved_bits(void)
{
	/* pages disabled: the address and the reserved bits are only remembered */
	test_keeps("HYPERCALL", HV_MSR_HYPERCALL, SPARE_PAGE | 0xFFC);
	test_keeps("REFERENCE_TSC", HV_MSR_REFERENCE_TSC, SPARE_PAGE | 0xFFE);
	test_keeps("SIEFP", HV_MSR_SIEFP, SPARE_PAGE | 0xFFE);
	test_keeps("SIMP", HV_MSR_SIMP, SPARE_PAGE | 0xFFE);
	test_keeps("SINT0", HV_MSR_SINT0, HV_SINT_MASKED | 0xAB40);
	test_keeps("SINT15", HV_MSR_SINT15, HV_SINT_MASKED | HV_SINT_POLLING | 0xFFF3);
	for (uint32_t i = 0; i < HV_CRASH_PARAMS; i++)
		test_keeps("CRASH_P", HV_MSR_CRASH_P0 + i, 0x0123456789ABCDEFull << i);
	test_keeps("SIMP outside RAM", HV_MSR_SIMP, OUT_OF_RANGE | 1);
	test_keeps("SIEFP in the APIC's page", HV_MSR_SIEFP, 0xFEE00001);
}

static void test_sint_vectors(void)
{
	report_eq(wrmsr_safe(HV_MSR_SINT0, 15), VECTOR_GP, "SINT with vector 15, unmasked: #GP");
	report_eq(wrmsr_safe(HV_MSR_SINT0, 0), VECTOR_GP, "SINT with vector 0, unmasked: #GP");
	report_eq(read_or_fail(HV_MSR_SINT0), HV_SINT_RESET_VALUE, "a refused SINT is unchanged");
	report_eq(wrmsr_safe(HV_MSR_SINT0, HV_SINT_MASKED | 15), 0, "masked, any vector will do");
	report_eq(wrmsr_safe(HV_MSR_SINT0, 16), 0, "SINT with vector 16");
	report_eq(wrmsr_safe(HV_MSR_SINT0, HV_SINT_RESET_VALUE), 0, "SINT masked again");
}

/* ---- hypercall page ------------------------------------------------------ */

static void test_hypercall_page(void)
{
	const uint64_t enable = (uintptr_t)hypercall_page | HV_MSR_PAGE_ENABLE;

	wrmsr(HV_MSR_HYPERCALL, enable);
	report(!(rdmsr(HV_MSR_HYPERCALL) & HV_MSR_PAGE_ENABLE),
		"enable is ignored while the OS id is 0");
	report_eq(hypercall_page[0], 0, "and the page untouched");
	wrmsr(HV_MSR_GUEST_OS_ID, GUEST_OS_ID);
	report_eq(rdmsr(HV_MSR_GUEST_OS_ID), GUEST_OS_ID, "the OS id stays");
	wrmsr(HV_MSR_HYPERCALL, enable);
	report_eq(rdmsr(HV_MSR_HYPERCALL), enable, "enable reads back as 1");
	report(hypercall_page[0] != 0, "the page has code");
	report_eq(wrmsr_safe(HV_MSR_HYPERCALL, OUT_OF_RANGE | HV_MSR_PAGE_ENABLE), VECTOR_GP,
		"a page out of range: #GP");
	wrmsr(HV_MSR_GUEST_OS_ID, 0);
	report(!(rdmsr(HV_MSR_HYPERCALL) & HV_MSR_PAGE_ENABLE), "OS id 0 disables the page");
}

static void test_locked_hypercall_page(void)
{
	const uint64_t locked =
		(uintptr_t)hypercall_page | HV_MSR_HYPERCALL_LOCKED | HV_MSR_PAGE_ENABLE;

	wrmsr(HV_MSR_GUEST_OS_ID, GUEST_OS_ID);
	wrmsr(HV_MSR_HYPERCALL, locked);
	report_eq(wrmsr_safe(HV_MSR_HYPERCALL, 0), VECTOR_GP, "a locked page cannot be disabled");
	report_eq(wrmsr_safe(HV_MSR_HYPERCALL, SPARE_PAGE | 1), VECTOR_GP, "nor moved");
	report_eq(rdmsr(HV_MSR_HYPERCALL), locked, "and stays as it was");
}

/* ---- the rest ------------------------------------------------------------ */

static void test_tsc_invariant(void)
{
	uint64_t value;

	if (!offered(HV_FEAT_TSC_INVARIANT)) {
		report(rdmsr_safe(HV_MSR_TSC_INVARIANT_CTL, &value) == VECTOR_GP,
			"TSC_INVARIANT_CONTROL not offered: #GP");
		return;
	}
	report_eq(wrmsr_safe(HV_MSR_TSC_INVARIANT_CTL, 2), VECTOR_GP,
		"TSC_INVARIANT_CONTROL, reserved bit: #GP");
	report_eq(wrmsr_safe(HV_MSR_TSC_INVARIANT_CTL, 1), 0, "TSC_INVARIANT_CONTROL = 1");
	wrmsr_safe(HV_MSR_TSC_INVARIANT_CTL, 0);
	report_eq(read_or_fail(HV_MSR_TSC_INVARIANT_CTL), 1, "and it cannot be cleared");
}

static void test_eom(void)
{
	report_eq(wrmsr_safe(HV_MSR_EOM, ~0ull), 0, "EOM takes any value");
	report_eq(read_or_fail(HV_MSR_EOM), 0, "and reads 0");
}

/* All MSRs x hostile values; none may end the machine. RESET and CRASH_CTL would by right. */
static void test_sweep(void)
{
	static const uint64_t values[] = {
		1, 2, ~0ull, 1ull << 63, OUT_OF_RANGE | 1, 0xFEE00001, 0xFFFFF001, 0x10FFF, 0};
	unsigned wrong = 0;
	uint64_t value;

	for (uint32_t msr = HV_MSR_FIRST; msr <= SWEEP_LAST; msr++) {
		if (msr == HV_MSR_RESET || msr == HV_MSR_CRASH_CTL)
			continue;
		for (unsigned i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
			const uint8_t vector = wrmsr_safe(msr, values[i]);

			wrong += vector != 0 && vector != VECTOR_GP;
		}
		wrong += rdmsr_safe(msr, &value) == VECTOR_UD;
	}
	report_eq(wrong, 0, "sweep of 512 MSRs: done or #GP, nothing else");
	report_eq(rdmsr(HV_MSR_VP_INDEX), vp_this()->index, "still alive after it");
}

void flat_main(void)
{
	test_reset_values();
	test_access();
	test_reserved_bits();
	test_sint_vectors();
	test_hypercall_page();
	test_tsc_invariant();
	test_eom();
	test_locked_hypercall_page();
	test_sweep();
}
