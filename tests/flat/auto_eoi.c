/* SPDX-License-Identifier: MIT */
/*
 * SINTs with AutoEOI: their interrupts end when they are taken, so that nothing stands in service,
 * and no other interrupt is held back. Then the same load through SINTs with and without AutoEOI:
 * none is lost, none comes twice. "long" on the command line makes it hundreds of thousands.
 */
#include "hyperv.h"

/* One SINT for each vector, in three classes of priority. */
#define LOW_SINT  3u
#define MID_SINT  4u
#define HIGH_SINT 5u
#define LOW       0x51u
#define MID       0x62u
#define HIGH      0x73u
#define IPI       0x40u /* below all of them, with an EOI */
#define MID_IPI   0x64u /* in the class of MID, with an EOI */
#define TICK      0x30u /* of the LAPIC's timer */

#define SOON_US  20000000ull
#define NEVER_US 2000ull
#define TICK_NS  1000000u

#define EVENT_ID(vp)   (0x10 + (vp))
#define MESSAGE_ID(vp) (0x20 + (vp))
#define TYPE           0x4242u

static volatile uint32_t *irqs(uint8_t vector)
{
	return &vp_this()->irqs[vector];
}

static bool interrupted(uint8_t vector, uint32_t count)
{
	return wait_for(irqs(vector), count, SOON_US);
}

static bool quiet(uint8_t vector, uint32_t count)
{
	delay_us(NEVER_US);
	return *irqs(vector) == count;
}

/* A bare interrupt of this VP's SINT. */
static void raise(unsigned sint)
{
	testdev(TESTDEV_SET_SINT, vp_this()->index, sint, 0);
}

static void set_sint(unsigned sint, uint8_t vector, bool without_eoi)
{
	irq_set_auto_eoi(vector, without_eoi);
	synic_set_sint(sint, vector | (without_eoi ? HV_SINT_AUTO_EOI : 0));
}

static void synic_on(bool without_eoi)
{
	synic_start();
	set_sint(LOW_SINT, LOW, without_eoi);
	set_sint(MID_SINT, MID, without_eoi);
	set_sint(HIGH_SINT, HIGH, without_eoi);
}

/* ---- one interrupt after the other --------------------------------------- */

/* What a handler does after the first interrupt of a test; NULL: nothing. */
static void (*in_handler)(void);
static volatile bool saw_in_service;
static uint8_t order[4];
static volatile unsigned taken;

static void record(uint8_t vector)
{
	void (*action)(void) = in_handler;

	if (apic_in_service(vector))
		saw_in_service = true;
	if (taken < sizeof(order))
		order[taken] = vector;
	taken++;
	in_handler = NULL;
	if (action)
		action();
}

static void on_low(void)
{
	record(LOW);
}

static void on_mid(void)
{
	record(MID);
}

static void on_high(void)
{
	record(HIGH);
}

static void on_mid_ipi(void)
{
	record(MID_IPI);
}

static void begin(void (*action)(void))
{
	in_handler = action;
	taken = 0;
	saw_in_service = false;
}

static void test_repeated(void)
{
	const uint32_t count = *irqs(MID), ipis = *irqs(IPI);
	unsigned n = 0;

	begin(NULL);
	while (n < 100) {
		raise(MID_SINT);
		if (!interrupted(MID, count + ++n))
			break;
	}
	report_eq(*irqs(MID) - count, 100, "again and again without an EOI");
	report(!saw_in_service, "not in service in its own handler");
	apic_send(vp_this()->index, IPI);
	report(interrupted(IPI, ipis + 1), "a lower vector comes after it");
}

static volatile uint32_t nested_before;
static volatile bool nested;

static void nest_itself(void)
{
	nested_before = *irqs(MID);
	raise(MID_SINT);
	irq_enable();
	nested = wait_for(irqs(MID), nested_before + 1, SOON_US);
	irq_disable();
}

static void nest_lower(void)
{
	const uint32_t before = *irqs(IPI);

	apic_send(vp_this()->index, IPI);
	irq_enable();
	nested = wait_for(irqs(IPI), before + 1, SOON_US);
	irq_disable();
}

static void test_nested(const char *what, void (*action)(void), uint32_t total)
{
	const uint32_t count = *irqs(MID);

	nested = false;
	begin(action);
	raise(MID_SINT);
	report(interrupted(MID, count + total), "%s: all taken", what);
	report(nested, "%s: inside the handler", what);
}

static void test_interrupts_off(void)
{
	const uint32_t low = *irqs(LOW), high = *irqs(HIGH);

	begin(NULL);
	irq_disable();
	raise(LOW_SINT);
	raise(HIGH_SINT);
	raise(LOW_SINT);
	report(quiet(LOW, low) && quiet(HIGH, high), "interrupts off: none");
	irq_enable();
	report(interrupted(LOW, low + 1) && interrupted(HIGH, high + 1), "back on: both");
	report(order[0] == HIGH && order[1] == LOW, "the higher first");
	report(quiet(LOW, low + 1), "raised twice, taken once");
}

static volatile bool held_back, higher_came;

static void while_mid_is_served(void)
{
	const uint32_t low = *irqs(LOW), mid = *irqs(MID), high = *irqs(HIGH);

	irq_enable();
	raise(LOW_SINT);
	raise(MID_SINT);
	held_back = quiet(LOW, low) && quiet(MID, mid);
	raise(HIGH_SINT);
	higher_came = wait_for(irqs(HIGH), high + 1, SOON_US);
	irq_disable();
}

static volatile bool ipi_in_service;

static void look_at_ipi(void)
{
	ipi_in_service = apic_in_service(MID_IPI);
}

/* A software KVM may have no in-service register, as if every vector were AutoEOI. */
static bool lapic_has_in_service(void)
{
	const uint32_t count = *irqs(MID_IPI);

	begin(look_at_ipi);
	apic_send(vp_this()->index, MID_IPI);
	interrupted(MID_IPI, count + 1);
	return ipi_in_service;
}

/* The handler of an interrupt with an EOI holds back what is not above it. */
static void test_priorities(void)
{
	const uint32_t low = *irqs(LOW), mid = *irqs(MID);

	begin(while_mid_is_served);
	apic_send(vp_this()->index, MID_IPI);
	report(interrupted(LOW, low + 1) && interrupted(MID, mid + 1),
		"in service: lower ones come after the EOI");
	report(held_back, "in service: not before");
	report(higher_came, "in service: a higher one comes at once");
}

static void test_task_priority(void)
{
	const uint32_t low = *irqs(LOW), mid = *irqs(MID);

	apic_set_task_priority(0x50);
	raise(LOW_SINT);
	raise(MID_SINT);
	report(interrupted(MID, mid + 1), "task priority: a class above it comes");
	report(quiet(LOW, low), "task priority: its own class waits");
	apic_set_task_priority(0);
	report(interrupted(LOW, low + 1), "task priority: until it is lowered");
}

static void test_halt(void)
{
	const uint32_t low = *irqs(LOW);

	for (unsigned n = 0; n < 20; n++) {
		irq_disable();
		raise(LOW_SINT);
		irq_enable_and_halt();
	}
	report_eq(*irqs(LOW) - low, 20, "a halt ends, 20 times");
}

static void test_polling(void)
{
	const uint32_t low = *irqs(LOW);

	synic_set_sint(LOW_SINT, LOW | HV_SINT_AUTO_EOI | HV_SINT_POLLING);
	raise(LOW_SINT);
	report(quiet(LOW, low), "polling: no interrupt");
	synic_set_sint(LOW_SINT, LOW | HV_SINT_AUTO_EOI | HV_SINT_MASKED);
	raise(LOW_SINT);
	report(quiet(LOW, low), "masked: no interrupt");
	set_sint(LOW_SINT, LOW, true);
}

static void test_switch(void)
{
	const uint32_t low = *irqs(LOW);

	for (unsigned n = 0; n < 10; n++) {
		set_sint(LOW_SINT, LOW, n % 2);
		raise(LOW_SINT);
		if (!interrupted(LOW, low + n + 1))
			break;
	}
	report_eq(*irqs(LOW) - low, 10, "with and without AutoEOI in turn");
	set_sint(LOW_SINT, LOW, true);
}

static void test_one_vp(void)
{
	const unsigned vp = vp_this()->index;

	for (unsigned sint = LOW_SINT; sint <= HIGH_SINT; sint++)
		testdev(TESTDEV_CREATE_ROUTE, vp, sint, 0);
	synic_on(true);
	irq_enable();
	test_repeated();
	test_nested("the same vector nests", nest_itself, 2);
	test_nested("a lower vector nests", nest_lower, 1);
	test_interrupts_off();
	if (lapic_has_in_service())
		test_priorities();
	else
		report_skip("priorities: this KVM's LAPIC has no in-service register");
	test_task_priority();
	test_halt();
	test_polling();
	test_switch();
	irq_disable();
	synic_stop();
}

/* ---- many ---------------------------------------------------------------- */

static unsigned storm_count;
static volatile bool stop_serving;
static unsigned storm_target;
static bool storm_auto_eoi;

static void take_event(void)
{
	const unsigned vp = vp_this()->index;

	synic_clear_flag(vp, LOW_SINT, EVENT_ID(vp));
}

static void take_message(void)
{
	synic_take(vp_this()->index, MID_SINT);
}

static void sleep_once(void)
{
	irq_disable();
	irq_enable_and_halt();
}

static void short_lock(void)
{
	irq_disable();
	for (unsigned n = 0; n < 20; n++)
		cpu_pause();
	irq_enable();
}

/* A VP that runs, holds interrupts off and sleeps, with its timer ticking. */
static void serve(void)
{
	synic_on(storm_auto_eoi);
	apic_timer_set(APIC_PERIODIC, TICK);
	apic_timer_count(TICK_NS);
	irq_enable();
	for (unsigned turn = 0; !stop_serving; turn++) {
		if (turn % 8 == 0)
			sleep_once();
		else
			short_lock();
	}
	apic_timer_count(0);
	irq_disable();
	synic_stop();
}

static bool send_event(unsigned vp)
{
	return hv_signal(EVENT_ID(vp)) == HV_STATUS_SUCCESS;
}

static bool send_message(unsigned vp)
{
	return hv_post(MESSAGE_ID(vp), TYPE, 0, 8) == HV_STATUS_SUCCESS;
}

/* Every interrupt is awaited: one that is lost, or blocked by the one before, shows at once. */
static unsigned storm(bool (*send)(unsigned vp), uint8_t vector)
{
	volatile uint32_t *count = &vps[storm_target].irqs[vector];
	const uint32_t before = *count;
	const bool self = storm_target == vp_this()->index;
	unsigned n;

	for (n = 0; n < storm_count; n++) {
		if (self && n % 3 == 1)
			irq_disable();
		if (!send(storm_target))
			break;
		if (self && n % 3 == 1)
			irq_enable();
		if (!wait_for_at_least(count, before + n + 1, SOON_US))
			break;
	}
	delay_us(NEVER_US);
	return *count - before;
}

static void report_storm(const char *kind, bool (*send)(unsigned vp), uint8_t vector)
{
	report_eq(storm(send, vector), storm_count, "%s %s to %s: %u interrupts",
		storm_auto_eoi ? "AutoEOI," : "EOI,", kind,
		storm_target == vp_this()->index ? "itself" : "another VP", storm_count);
}

static void storm_self(void)
{
	storm_target = vp_this()->index;
	synic_on(storm_auto_eoi);
	irq_enable();
	report_storm("events", send_event, LOW);
	report_storm("messages", send_message, MID);
	irq_disable();
	synic_stop();
}

static void storm_other(unsigned vp)
{
	uint32_t ticks = vps[vp].irqs[TICK];

	storm_target = vp;
	stop_serving = false;
	vp_run_async(vp, serve);
	report(wait_for_at_least(&vps[vp].irqs[TICK], ticks + 1, SOON_US), "VP %u: serves", vp);
	report_storm("events", send_event, LOW);
	report_storm("messages", send_message, MID);
	ticks = vps[vp].irqs[TICK];
	report(wait_for_at_least(&vps[vp].irqs[TICK], ticks + 3, SOON_US), "VP %u: still ticks",
		vp);
	stop_serving = true;
	vp_wait(vp);
}

/* Each VP signals the next one, all at once. */
static unsigned ring_done[VPS_MAX];

static bool flag_clear_soon(unsigned vp)
{
	const uint64_t end = rdtsc() + SOON_US * (tsc_hz() / 1000000);

	while (synic_flag(vp, LOW_SINT, EVENT_ID(vp)))
		if (rdtsc() >= end)
			return false;
		else
			cpu_pause();
	return true;
}

static volatile uint32_t ring_ready, ring_left;

static void signal_next(void)
{
	const unsigned next = (vp_this()->index + 1) % vp_count;
	unsigned n = 0;

	synic_on(true);
	irq_enable();
	__atomic_add_fetch(&ring_ready, 1, __ATOMIC_SEQ_CST);
	wait_for(&ring_ready, vp_count, SOON_US);
	while (n < storm_count && send_event(next) && flag_clear_soon(next))
		n++;
	ring_done[vp_this()->index] = n;
	__atomic_sub_fetch(&ring_left, 1, __ATOMIC_SEQ_CST);
	wait_for(&ring_left, 0, 2 * SOON_US);
	irq_disable();
	synic_stop();
}

static void test_ring(void)
{
	ring_ready = 0;
	ring_left = vp_count;
	for (unsigned vp = 1; vp < vp_count; vp++)
		vp_run_async(vp, signal_next);
	signal_next();
	for (unsigned vp = 0; vp < vp_count; vp++) {
		vp_wait(vp);
		report_eq(ring_done[vp], storm_count, "VP %u: all at once, %u events", vp,
			storm_count);
	}
}

static void test_storms(bool without_eoi)
{
	storm_auto_eoi = without_eoi;
	storm_self();
	for (unsigned vp = 1; vp < vp_count; vp++)
		storm_other(vp);
}

static void create_connections(unsigned vp)
{
	testdev(TESTDEV_CREATE_EVENT, vp, LOW_SINT, EVENT_ID(vp));
	testdev(TESTDEV_CREATE_MESSAGE, vp, MID_SINT, MESSAGE_ID(vp));
}

void flat_main(void)
{
	hv_start();
	irq_set_handler(LOW, on_low);
	irq_set_handler(MID, on_mid);
	irq_set_handler(HIGH, on_high);
	irq_set_handler(MID_IPI, on_mid_ipi);
	for (unsigned vp = 0; vp < vp_count; vp++) {
		if (vp && !report(vp_start(vp), "VP %u: comes up", vp))
			return;
		create_connections(vp);
		print("on VP %u:\n", vp);
		vp_run(vp, test_one_vp);
	}
	irq_set_handler(LOW, take_event);
	irq_set_handler(MID, take_message);
	storm_count = cmdline_has("long") ? 100000 : 200;
	test_storms(false);
	test_storms(true);
	if (vp_count > 1)
		test_ring();
}
