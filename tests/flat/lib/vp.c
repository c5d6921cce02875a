/* SPDX-License-Identifier: MIT */
/* Local APIC, start-up of VPs, work on them. */
#include "flat.h"
#include "trap.h"

#define CPUID1_ECX_X2APIC (1u << 21)
#define APIC_BASE_ENABLE  (1ull << 11)
#define APIC_BASE_X2APIC  (1ull << 10)
#define XAPIC_ADDRESS     0xFEE00000ul
#define X2APIC_MSR        0x800u

#define APIC_ID                 0x20u
#define APIC_TPR                0x80u
#define APIC_EOI                0xB0u
#define APIC_SPURIOUS           0xF0u
#define APIC_IN_SERVICE         0x100u
#define APIC_ICR                0x300u
#define APIC_ICR_HIGH           0x310u
#define APIC_LVT_TIMER          0x320u
#define APIC_COUNT              0x380u
#define APIC_DIVIDE             0x3E0u
#define DIVIDE_BY_1             0xBu
#define TIMER_MODE_SHIFT        17
#define MSR_TSC_DEADLINE        0x6E0u
#define CPUID1_ECX_TSC_DEADLINE (1u << 24)
#define SPURIOUS_ON             0x1FFu /* software enable, vector 0xFF */
#define ICR_FIXED               0x4000u
#define ICR_INIT                0x4500u
#define ICR_STARTUP             0x4600u
#define ICR_PENDING             0x1000u
#define STARTUP_US              120000000ull

struct vp vps[VPS_MAX];
unsigned vp_count;
static bool x2apic;

extern volatile uint32_t ap_next;
extern const uint8_t ap_trampoline[];
extern const uint32_t ap_trampoline_size;

/* ---- local APIC ---------------------------------------------------------- */

static volatile uint32_t *xapic(uint32_t reg)
{
	return (volatile uint32_t *)(XAPIC_ADDRESS + reg);
}

static uint32_t apic_read(uint32_t reg)
{
	return x2apic ? (uint32_t)rdmsr(X2APIC_MSR + (reg >> 4)) : *xapic(reg);
}

static void apic_write(uint32_t reg, uint32_t value)
{
	if (x2apic)
		wrmsr(X2APIC_MSR + (reg >> 4), value);
	else
		*xapic(reg) = value;
}

static void apic_init(struct vp *vp)
{
	uint64_t base = rdmsr(MSR_APIC_BASE) | APIC_BASE_ENABLE;

	x2apic = (cpuid(1).ecx & CPUID1_ECX_X2APIC) && !cmdline_has("xapic");
	wrmsr(MSR_APIC_BASE, base);
	if (x2apic)
		wrmsr(MSR_APIC_BASE, base | APIC_BASE_X2APIC);
	apic_write(APIC_TPR, 0);
	apic_write(APIC_SPURIOUS, SPURIOUS_ON);
	vp->apic_id = apic_read(APIC_ID) >> (x2apic ? 0 : 24);
}

static void apic_command(uint32_t apic_id, uint32_t command)
{
	if (x2apic) {
		wrmsr(X2APIC_MSR + (APIC_ICR >> 4), command | (uint64_t)apic_id << 32);
		return;
	}
	*xapic(APIC_ICR_HIGH) = apic_id << 24;
	*xapic(APIC_ICR) = command;
	while (*xapic(APIC_ICR) & ICR_PENDING)
		cpu_pause();
}

void apic_send(unsigned index, uint8_t vector)
{
	apic_command(vps[index].apic_id, ICR_FIXED | vector);
}

void apic_eoi(void)
{
	apic_write(APIC_EOI, 0);
}

void apic_set_task_priority(uint8_t priority)
{
	apic_write(APIC_TPR, priority);
}

bool apic_in_service(uint8_t vector)
{
	return apic_read(APIC_IN_SERVICE + vector / 32 * 0x10) >> vector % 32 & 1;
}

void apic_timer_set(enum apic_timer_mode mode, uint8_t vector)
{
	apic_write(APIC_COUNT, 0);
	apic_write(APIC_DIVIDE, DIVIDE_BY_1);
	apic_write(APIC_LVT_TIMER, (uint32_t)mode << TIMER_MODE_SHIFT | vector);
}

void apic_timer_count(uint32_t count)
{
	apic_write(APIC_COUNT, count);
}

void apic_timer_deadline(uint64_t tsc)
{
	wrmsr(MSR_TSC_DEADLINE, tsc);
}

bool apic_timer_has_deadline(void)
{
	return cpuid(1).ecx & CPUID1_ECX_TSC_DEADLINE;
}

/* ---- VPs ----------------------------------------------------------------- */

static void __attribute__((noreturn)) serve_work(struct vp *vp)
{
	for (;;) {
		while (!vp->work)
			cpu_pause();
		vp->work();
		irq_disable();
		vp->work = NULL;
	}
}

void vp_main(unsigned index)
{
	struct vp *vp = &vps[index];

	vp->self = vp;
	vp->index = index;
	wrmsr(MSR_GS_BASE, (uintptr_t)vp);
	if (index == 0)
		trap_init();
	trap_init_vp();
	apic_init(vp);
	vp->online = true;
	if (index)
		serve_work(vp);
	vp_count = env_number("NR_CPUS", 1);
	if (vp_count > VPS_MAX)
		vp_count = VPS_MAX;
	flat_main();
	flat_exit(EXIT_PASS);
}

void vp_init(unsigned index)
{
	apic_command(index, ICR_INIT);
}

void vp_start_code(unsigned index, const uint8_t *code, uint32_t size)
{
	volatile uint8_t *to = (volatile uint8_t *)AP_TRAMPOLINE;

	for (uint32_t i = 0; i < size; i++)
		to[i] = code[i];
	vp_init(index);
	delay_us(200);
	apic_command(index, ICR_STARTUP | AP_TRAMPOLINE >> 12);
}

bool vp_start(unsigned index)
{
	const uint64_t end = rdtsc() + STARTUP_US * (tsc_hz() / 1000000);

	ap_next = index;
	vp_start_code(index, ap_trampoline, ap_trampoline_size);
	while (!vps[index].online && rdtsc() < end)
		cpu_pause();
	return vps[index].online;
}

void vp_run_async(unsigned index, void (*fn)(void))
{
	vps[index].work = fn;
}

void vp_wait(unsigned index)
{
	while (vps[index].work)
		cpu_pause();
}

void vp_run(unsigned index, void (*fn)(void))
{
	if (index == vp_this()->index) {
		fn();
		return;
	}
	vp_run_async(index, fn);
	vp_wait(index);
}
