/* SPDX-License-Identifier: MIT */
/* All VPs come up by INIT and start-up IPI, and each has its own state. */
#include "hyperv.h"

#define IPI_VECTOR 0x50

static uint64_t index_msr[VPS_MAX], sint_msr[VPS_MAX];
static volatile uint32_t taken;

static void read_own_state(void)
{
	const unsigned vp = vp_this()->index;

	index_msr[vp] = rdmsr(HV_MSR_VP_INDEX);
	wrmsr(HV_MSR_SINT0, HV_SINT_MASKED | (0x40 + vp));
	sint_msr[vp] = rdmsr(HV_MSR_SINT0);
}

static void reread_sint(void)
{
	sint_msr[vp_this()->index] = rdmsr(HV_MSR_SINT0);
}

static void count_ipi(void)
{
	__atomic_add_fetch(&taken, 1, __ATOMIC_SEQ_CST);
}

static void wait_for_ipi(void)
{
	irq_enable();
	wait_for(&vp_this()->irqs[IPI_VECTOR], 1, 2000000);
}

static void test_index(unsigned vp)
{
	vp_run(vp, read_own_state);
	report_eq(index_msr[vp], vp, "VP %u: VP index", vp);
	report_eq(vps[vp].apic_id, vp, "VP %u: APIC id is the VP index", vp);
}

/* After all have written: each VP has a SINT0 of its own. */
static void test_own_sint(unsigned vp)
{
	vp_run(vp, reread_sint);
	report_eq(sint_msr[vp], HV_SINT_MASKED | (0x40 + vp), "VP %u: its own SINT0", vp);
}

static void test_ipi(unsigned vp)
{
	const uint32_t before = taken;

	vp_run_async(vp, wait_for_ipi);
	apic_send(vp, IPI_VECTOR);
	vp_wait(vp);
	report_eq(taken, before + 1, "VP %u: takes an IPI", vp);
}

void flat_main(void)
{
	irq_set_handler(IPI_VECTOR, count_ipi);
	for (unsigned vp = 1; vp < vp_count; vp++)
		if (!report(vp_start(vp), "VP %u: comes up", vp))
			return;
	for (unsigned vp = 0; vp < vp_count; vp++)
		test_index(vp);
	for (unsigned vp = 0; vp < vp_count; vp++)
		test_own_sint(vp);
	for (unsigned vp = 1; vp < vp_count; vp++)
		test_ipi(vp);
}
