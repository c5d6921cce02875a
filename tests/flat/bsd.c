/* SPDX-License-Identifier: MIT */
/*
 * What the vmbus drivers of FreeBSD and OpenBSD do to their SynIC, in their order: registers are
 * read and changed, SINTs have AutoEOI whatever is recommended, FreeBSD has two of them on one
 * vector, and a timer in message mode on each VP. Then they connect to the bus.
 *
 * Sources: FreeBSD sys/dev/hyperv/vmbus/{hyperv,vmbus,vmbus_et}.c, OpenBSD sys/dev/pv/hyperv.c.
 */
#include "hyperv.h"
#include "memory.h"

#define BSD_OS_ID      0x8200ull << 48
#define MESSAGE_SINT   2u
#define TIMER_SINT     4u
#define VECTOR         0xF0u
#define OPENBSD_VECTOR 0x70u
#define IPI            0x40u
#define REF_PER_MS     10000ull
#define SOON_US        20000000ull
#define TICKS          100u

/* VMBus channel messages. */
#define CONNECTION       1u
#define TYPE_CHANNEL     1u
#define OFFER            1u
#define REQUEST_OFFERS   3u
#define OFFERS_DELIVERED 4u
#define CONNECT          14u
#define CONNECT_RESPONSE 15u
#define VERSION_WIN8_1   0x00030000u

struct connect {
	uint32_t type, reserved, version, reserved2;
	uint64_t events, monitor[2];
};

static uint8_t bus_pages[3][HV_PAGE_SIZE] __attribute__((aligned(HV_PAGE_SIZE)));

static volatile uint32_t connected, offers, delivered;
static volatile uint32_t ticks[VPS_MAX];

/* ---- interrupts ---------------------------------------------------------- */

static void free_slot(volatile struct hv_message *slot)
{
	slot->type = HV_MESSAGE_TYPE_NONE;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (slot->flags & HV_MESSAGE_FLAG_PENDING)
		wrmsr(HV_MSR_EOM, 0);
}

static void on_message(volatile struct hv_message *slot)
{
	switch (*(volatile uint32_t *)slot->payload) {
	case CONNECT_RESPONSE:
		connected += slot->payload[8] & 1;
		break;
	case OFFER:
		offers++;
		break;
	case OFFERS_DELIVERED:
		delivered++;
		break;
	}
}

static void take_messages(void)
{
	volatile struct hv_message *slot = synic_slot(vp_this()->index, MESSAGE_SINT);

	while (slot->type != HV_MESSAGE_TYPE_NONE) {
		if (slot->type == TYPE_CHANNEL)
			on_message(slot);
		free_slot(slot);
	}
}

static void start_timer(uint64_t delta)
{
	wrmsr(HV_MSR_STIMER0_COUNT, rdmsr(HV_MSR_TIME_REF_COUNT) + delta);
}

/* The slot is free, and the timer started again, before the pending flag is read. */
static void take_tick(void)
{
	const unsigned vp = vp_this()->index;
	volatile struct hv_message *slot = synic_slot(vp, TIMER_SINT);

	if (slot->type != HV_MESSAGE_TYPE_TIMER)
		return;
	slot->type = HV_MESSAGE_TYPE_NONE;
	if (++ticks[vp] < TICKS)
		start_timer(REF_PER_MS / 2);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (slot->flags & HV_MESSAGE_FLAG_PENDING)
		wrmsr(HV_MSR_EOM, 0);
}

static void freebsd_interrupt(void)
{
	take_tick();
	take_messages();
}

/* ---- the bus ------------------------------------------------------------- */

static bool post(const void *message, uint32_t size)
{
	post_input.connection_id = CONNECTION;
	post_input.reserved = 0;
	post_input.message_type = TYPE_CHANNEL;
	post_input.payload_size = size;
	memcpy(post_input.payload, message, size);
	return hv_call(HV_CALL_POST_MESSAGE, (uintptr_t)&post_input, 0) == HV_STATUS_SUCCESS;
}

static bool post_connect(void)
{
	const struct connect message = {
		.type = CONNECT,
		.version = VERSION_WIN8_1,
		.events = (uintptr_t)bus_pages[0],
		.monitor = {(uintptr_t)bus_pages[1], (uintptr_t)bus_pages[2]},
	};

	return post(&message, sizeof(message));
}

static bool post_request_offers(void)
{
	static const uint32_t message[2] = {REQUEST_OFFERS, 0};

	return post(message, sizeof(message));
}

/* ---- registers ----------------------------------------------------------- */

static void enable_hypercalls(uint64_t version)
{
	uint64_t old;

	wrmsr(HV_MSR_GUEST_OS_ID, BSD_OS_ID | version << 16);
	old = rdmsr(HV_MSR_HYPERCALL) & 0xFFE;
	wrmsr(HV_MSR_HYPERCALL, (uintptr_t)hypercall_page | old | HV_MSR_PAGE_ENABLE);
	report(rdmsr(HV_MSR_HYPERCALL) & HV_MSR_PAGE_ENABLE, "the hypercall page is there");
}

static void set_sint(unsigned sint, uint8_t vector)
{
	const uint64_t reserved = rdmsr(HV_MSR_SINT0 + sint) & 0xFFFFFFFFFFF8FF00ull;

	wrmsr(HV_MSR_SINT0 + sint, vector | HV_SINT_AUTO_EOI | reserved);
}

static void set_control(bool on)
{
	const uint64_t reserved = rdmsr(HV_MSR_SCONTROL) & ~HV_SCONTROL_ENABLE;

	wrmsr(HV_MSR_SCONTROL, reserved | (on ? HV_SCONTROL_ENABLE : 0));
}

/* ---- FreeBSD ------------------------------------------------------------- */

static void freebsd_synic_on(void)
{
	(void)rdmsr(HV_MSR_VP_INDEX);
	(void)rdmsr(HV_MSR_SIMP);
	synic_enable_page(HV_MSR_SIMP, true);
	(void)rdmsr(HV_MSR_SIEFP);
	synic_enable_page(HV_MSR_SIEFP, true);
	set_sint(MESSAGE_SINT, VECTOR);
	set_sint(TIMER_SINT, VECTOR);
	set_control(true);
}

static void freebsd_synic_off(void)
{
	set_control(false);
	wrmsr(HV_MSR_SINT0 + MESSAGE_SINT, rdmsr(HV_MSR_SINT0 + MESSAGE_SINT) | HV_SINT_MASKED);
	wrmsr(HV_MSR_SINT0 + TIMER_SINT, rdmsr(HV_MSR_SINT0 + TIMER_SINT) | HV_SINT_MASKED);
	synic_enable_page(HV_MSR_SIMP, false);
	synic_enable_page(HV_MSR_SIEFP, false);
}

static void freebsd_timer_on(void)
{
	do
		wrmsr(HV_MSR_STIMER0_COUNT, 0);
	while (rdmsr(HV_MSR_STIMER0_CONFIG) & HV_STIMER_ENABLE);
	wrmsr(HV_MSR_STIMER0_CONFIG,
		HV_STIMER_AUTO_ENABLE | (uint64_t)TIMER_SINT << HV_STIMER_SINT_SHIFT);
	start_timer(REF_PER_MS / 2);
}

/* Idle: a VP sleeps until its timer. */
static void freebsd_vp(void)
{
	const unsigned vp = vp_this()->index;
	const uint64_t end = rdtsc() + SOON_US * (tsc_hz() / 1000000);

	freebsd_synic_on();
	freebsd_timer_on();
	while (ticks[vp] < TICKS && rdtsc() < end) {
		irq_disable();
		if (ticks[vp] < TICKS)
			irq_enable_and_halt();
	}
	irq_enable();
}

static void test_freebsd(void)
{
	const uint32_t ipis = vps[0].irqs[IPI];

	irq_set_handler(VECTOR, freebsd_interrupt);
	irq_set_auto_eoi(VECTOR, true);
	enable_hypercalls(1300000);
	freebsd_synic_on();
	irq_enable();
	report(post_connect() && wait_for(&connected, 1, SOON_US), "FreeBSD: connects");
	for (unsigned vp = 1; vp < vp_count; vp++)
		vp_run_async(vp, freebsd_vp);
	report(post_request_offers(), "FreeBSD: asks for offers");
	freebsd_vp();
	report(wait_for(&delivered, 1, SOON_US), "FreeBSD: gets all offers");
	for (unsigned vp = 0; vp < vp_count; vp++) {
		vp_wait(vp);
		report_eq(ticks[vp], TICKS, "FreeBSD: timer of VP %u ticks", vp);
		vp_run(vp, freebsd_synic_off);
	}
	apic_send(0, IPI);
	report(wait_for(&vps[0].irqs[IPI], ipis + 1, SOON_US), "FreeBSD: other interrupts come");
	irq_disable();
}

/* ---- OpenBSD ------------------------------------------------------------- */

static void openbsd_synic_on(void)
{
	(void)rdmsr(HV_MSR_SIMP);
	synic_enable_page(HV_MSR_SIMP, true);
	(void)rdmsr(HV_MSR_SIEFP);
	synic_enable_page(HV_MSR_SIEFP, true);
	set_sint(MESSAGE_SINT, OPENBSD_VECTOR);
	set_control(true);
	(void)rdmsr(HV_MSR_VP_INDEX);
}

/* At boot it polls, with interrupts off; the interrupt comes afterwards, for nothing. */
static bool poll_for(volatile uint32_t *value, uint32_t want)
{
	for (unsigned tries = 0; tries < 1000 && *value != want; tries++) {
		delay_us(1000);
		take_messages();
	}
	return *value == want;
}

static void test_openbsd(void)
{
	const uint32_t late = vps[0].irqs[OPENBSD_VECTOR];

	connected = delivered = 0;
	irq_set_handler(OPENBSD_VECTOR, take_messages);
	irq_set_auto_eoi(OPENBSD_VECTOR, true);
	enable_hypercalls(10);
	openbsd_synic_on();
	report(post_connect() && poll_for(&connected, 1), "OpenBSD: connects, polling");
	irq_enable();
	report(wait_for_at_least(&vps[0].irqs[OPENBSD_VECTOR], late + 1, SOON_US),
		"OpenBSD: the interrupt comes later");
	report(post_request_offers() && wait_for(&delivered, 1, SOON_US),
		"OpenBSD: gets all offers by interrupt");
	irq_disable();
}

void flat_main(void)
{
	if (!(cpuid(HV_CPUID_FEATURES).eax & HV_FEAT_STIMER)) {
		report_skip("synthetic timers are not offered (--stimer)");
		flat_exit(EXIT_SKIP);
	}
	for (unsigned vp = 1; vp < vp_count; vp++)
		if (!report(vp_start(vp), "VP %u: comes up", vp))
			return;
	test_freebsd();
	test_openbsd();
	report(offers > 0, "offers: %u", offers);
}
