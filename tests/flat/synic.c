/* SPDX-License-Identifier: MIT */
/* SynIC: messages and events, to oneself and to another VP. Spec sheet "hypervisor", section 5. */
#include "hyperv.h"

#define SINT           8u
#define EVENT_SINT     9u
#define VECTOR         0x60u
#define VECTOR2        0x61u
#define EVENT          0x70u /* vector of EVENT_SINT */
#define TYPE           0x4242u
#define MESSAGE_ID(vp) (0x10 + (vp))
#define EVENT_ID(vp)   (0x20 + (vp))
#define SOON_US        20000000ull /* something must happen */
#define NEVER_US       2000ull     /* nothing may happen */
#define FLOOD          5000u       /* more than any host queues */

static unsigned target; /* whose SynIC is being tested */
static volatile bool stop_listening;

static volatile uint32_t *irqs(uint8_t vector)
{
	return &vps[target].irqs[vector];
}

static bool interrupted(uint8_t vector, uint32_t count)
{
	return wait_for(irqs(vector), count, SOON_US);
}

/* Gives a wrong interrupt the time to arrive. */
static bool quiet(uint8_t vector, uint32_t count)
{
	delay_us(NEVER_US);
	return *irqs(vector) == count;
}

static volatile struct hv_message *slot(void)
{
	return synic_slot(target, SINT);
}

static bool post(uint8_t fill)
{
	return hv_post(MESSAGE_ID(target), TYPE, fill, 8) == HV_STATUS_SUCCESS;
}

static bool slot_holds(uint8_t fill)
{
	return slot()->type == TYPE && slot()->payload_size == 8 && slot()->payload[0] == fill &&
	       slot()->payload[7] == fill && slot()->sender == MESSAGE_ID(target);
}

/* ---- register writes happen on the VP that owns the registers ------------ */

static uint32_t todo_msr;
static uint64_t todo_value;

static void write_msr_here(void)
{
	wrmsr(todo_msr, todo_value);
}

static void enable_page_here(void)
{
	synic_enable_page(todo_msr, todo_value);
}

/* VP 0 tests itself: a VP that listens for interrupts takes no other work. */
static void set_msr(uint32_t msr, uint64_t value)
{
	todo_msr = msr;
	todo_value = value;
	vp_run(target, write_msr_here);
}

static void enable_page(uint32_t msr, bool enable)
{
	todo_msr = msr;
	todo_value = enable;
	vp_run(target, enable_page_here);
}

static void open_sints(void)
{
	synic_start();
	synic_set_sint(SINT, VECTOR);
	synic_set_sint(EVENT_SINT, EVENT);
}

static void listen(void)
{
	irq_enable();
	while (!stop_listening)
		cpu_pause();
}

/* ---- messages ------------------------------------------------------------ */

static void test_message(void)
{
	const uint32_t count = *irqs(VECTOR);

	report(post(0x11), "VP %u: message posted", target);
	report(interrupted(VECTOR, count + 1), "VP %u: message interrupts", target);
	report(slot_holds(0x11), "VP %u: type, size, sender, payload", target);
	report_eq(slot()->flags, 0, "VP %u: nothing pending behind it", target);
}

/* The slot still holds the message of test_message(). */
static void test_busy_slot(void)
{
	const uint32_t count = *irqs(VECTOR);

	report(post(0x22) && post(0x33), "VP %u: posts behind a busy slot", target);
	report(quiet(VECTOR, count), "VP %u: no interrupt for them yet", target);
	report(slot_holds(0x11), "VP %u: the slot is left alone", target);
	report_eq(slot()->flags, HV_MESSAGE_FLAG_PENDING, "VP %u: pending bit", target);
	synic_take(target, SINT);
	report(interrupted(VECTOR, count + 1), "VP %u: EOM brings the next", target);
	report(slot_holds(0x22), "VP %u: in order", target);
	report_eq(
		slot()->flags, HV_MESSAGE_FLAG_PENDING, "VP %u: born with the pending bit", target);
	synic_take(target, SINT);
	report(interrupted(VECTOR, count + 2) && slot_holds(0x33), "VP %u: and the last", target);
	report_eq(slot()->flags, 0, "VP %u: with nothing behind it", target);
	synic_take(target, SINT);
	report_eq(slot()->type, HV_MESSAGE_TYPE_NONE, "VP %u: then the slot stays empty", target);
}

/* Closes the SINT somehow, posts, opens it again. */
static void test_closed(const char *how, void (*set)(bool open))
{
	const uint32_t count = *irqs(VECTOR);

	set(false);
	report(post(0x44), "%s: posted", how);
	report(quiet(VECTOR, count) && slot()->type == HV_MESSAGE_TYPE_NONE, "%s: stays queued",
		how);
	set(true);
	report(interrupted(VECTOR, count + 1) && slot_holds(0x44), "%s: delivered when open", how);
	synic_take(target, SINT);
}

static void set_mask(bool open)
{
	set_msr(HV_MSR_SINT0 + SINT, VECTOR | (open ? 0 : HV_SINT_MASKED));
}

static void set_scontrol(bool open)
{
	set_msr(HV_MSR_SCONTROL, open ? HV_SCONTROL_ENABLE : 0);
}

static void set_simp(bool open)
{
	enable_page(HV_MSR_SIMP, open);
}

static void test_polling(void)
{
	const uint32_t count = *irqs(VECTOR);

	set_msr(HV_MSR_SINT0 + SINT, VECTOR | HV_SINT_POLLING);
	report(post(0x55) && slot_holds(0x55), "polling: message in the slot");
	report(quiet(VECTOR, count), "polling: no interrupt");
	set_msr(HV_MSR_SINT0 + SINT, VECTOR);
	synic_take(target, SINT);
}

static void test_moved_page(void)
{
	static struct hv_message_page other __attribute__((aligned(HV_PAGE_SIZE)));
	const volatile struct hv_message *moved = &other.sint[SINT];

	set_msr(HV_MSR_SIMP, (uintptr_t)&other | HV_MSR_PAGE_ENABLE);
	report(post(0x66) && moved->type == TYPE, "a moved page gets the message");
	report_eq(slot()->type, HV_MESSAGE_TYPE_NONE, "the old one does not");
	other.sint[SINT].type = HV_MESSAGE_TYPE_NONE;
	enable_page(HV_MSR_SIMP, true);
	report(post(0x67), "posted after the page is back");
	report(slot_holds(0x67) && moved->type == HV_MESSAGE_TYPE_NONE, "and delivered there only");
	synic_take(target, SINT);
}

static void test_new_vector(void)
{
	const uint32_t count = *irqs(VECTOR), count2 = *irqs(VECTOR2);

	set_msr(HV_MSR_SINT0 + SINT, VECTOR2);
	report(post(0x77) && interrupted(VECTOR2, count2 + 1), "a new vector interrupts");
	report(quiet(VECTOR, count), "the old one does not");
	set_msr(HV_MSR_SINT0 + SINT, VECTOR);
	synic_take(target, SINT);
}

/* Posts until the host has enough, then takes all out. First byte: sequence. */
static void test_flood(void)
{
	unsigned accepted = 0, taken = 0, disorder = 0;
	uint64_t status = HV_STATUS_SUCCESS;

	set_msr(HV_MSR_SINT0 + SINT, VECTOR | HV_SINT_POLLING);
	while (accepted < FLOOD) {
		status = hv_post(MESSAGE_ID(target), TYPE, (uint8_t)accepted, 8);
		if (status != HV_STATUS_SUCCESS)
			break;
		accepted++;
	}
	report_eq(status, HV_STATUS_INSUFFICIENT_BUFFERS, "the queue has an end");
	report(accepted >= 16, "and holds 16 messages at least");
	for (; slot()->type && taken <= FLOOD; taken++) {
		disorder += slot()->payload[0] != (uint8_t)taken;
		synic_take(target, SINT);
	}
	report_eq(taken, accepted, "all that was accepted arrives");
	report_eq(disorder, 0, "in order");
	set_msr(HV_MSR_SINT0 + SINT, VECTOR);
}

/* ---- events -------------------------------------------------------------- */

static bool signal_target(void)
{
	return hv_signal(EVENT_ID(target)) == HV_STATUS_SUCCESS;
}

static bool flag(void)
{
	return synic_flag(target, EVENT_SINT, EVENT_ID(target));
}

static void clear_flag(void)
{
	synic_clear_flag(target, EVENT_SINT, EVENT_ID(target));
}

static void test_event(void)
{
	const uint32_t count = *irqs(EVENT);

	report(signal_target() && interrupted(EVENT, count + 1), "VP %u: event interrupts", target);
	report(flag(), "VP %u: its flag is set", target);
	report(signal_target() && quiet(EVENT, count + 1), "VP %u: set already, no interrupt",
		target);
	clear_flag();
	report(signal_target() && interrupted(EVENT, count + 2), "VP %u: cleared, interrupts again",
		target);
	clear_flag();
}

static void test_event_closed(const char *how, void (*set)(bool open))
{
	const uint32_t count = *irqs(EVENT);

	set(false);
	report(signal_target(), "%s: signalled", how);
	report(quiet(EVENT, count) && !flag(), "%s: remembered", how);
	set(true);
	report(interrupted(EVENT, count + 1) && flag(), "%s: delivered when open", how);
	clear_flag();
}

static void set_event_mask(bool open)
{
	set_msr(HV_MSR_SINT0 + EVENT_SINT, EVENT | (open ? 0 : HV_SINT_MASKED));
}

static void set_siefp(bool open)
{
	enable_page(HV_MSR_SIEFP, open);
}

static void test_route(void)
{
	const uint32_t count = *irqs(VECTOR);

	testdev(TESTDEV_CREATE_ROUTE, target, SINT, 0);
	testdev(TESTDEV_SET_SINT, target, SINT, 0);
	report(interrupted(VECTOR, count + 1), "VP %u: a bare interrupt", target);
	testdev(TESTDEV_DESTROY_ROUTE, target, SINT, 0);
	testdev(TESTDEV_SET_SINT, target, SINT, 0);
	report(quiet(VECTOR, count + 1), "VP %u: none without a route", target);
}

static void test_destroyed_connections(void)
{
	testdev(TESTDEV_DESTROY_MESSAGE, target, SINT, MESSAGE_ID(target));
	testdev(TESTDEV_DESTROY_EVENT, target, EVENT_SINT, EVENT_ID(target));
	report_eq(hv_post(MESSAGE_ID(target), TYPE, 0, 8), HV_STATUS_INVALID_CONNECTION_ID,
		"a destroyed message connection is unknown");
	report_eq(hv_signal(EVENT_ID(target)), HV_STATUS_INVALID_CONNECTION_ID,
		"a destroyed event connection is unknown");
}

/* ---- two VPs ------------------------------------------------------------- */

/* Linux does this when it panics: one VP empties the slots of all. */
static void test_eom_elsewhere(void)
{
	report(post(0x01) && post(0x02), "VP %u: two messages", target);
	slot()->type = HV_MESSAGE_TYPE_NONE;
	wrmsr(HV_MSR_EOM, 0); /* on VP 0 */
	report(slot_holds(0x02), "VP %u: EOM on VP 0 brings the second", target);
	synic_take(target, SINT);
}

static void sleep_once(void)
{
	irq_disable();
	irq_enable_and_halt();
}

static void test_wakes_halted(void)
{
	const uint32_t count = *irqs(EVENT);

	vp_run_async(target, sleep_once);
	delay_us(NEVER_US);
	report(signal_target() && interrupted(EVENT, count + 1), "VP %u: an event wakes it",
		target);
	vp_wait(target);
	clear_flag();
}

static void test_other(unsigned vp)
{
	const uint32_t own = vps[0].irqs[VECTOR], own_events = vps[0].irqs[EVENT];

	target = vp;
	if (!report(vp_start(vp), "VP %u: comes up", vp))
		return;
	testdev(TESTDEV_CREATE_MESSAGE, vp, SINT, MESSAGE_ID(vp));
	testdev(TESTDEV_CREATE_EVENT, vp, EVENT_SINT, EVENT_ID(vp));
	vp_run(vp, open_sints);
	stop_listening = false;
	vp_run_async(vp, listen);
	test_message();
	test_busy_slot();
	test_event();
	test_route();
	test_eom_elsewhere();
	stop_listening = true;
	vp_wait(vp);
	test_wakes_halted();
	report(vps[0].irqs[VECTOR] == own && vps[0].irqs[EVENT] == own_events,
		"VP 0 got none of VP %u's interrupts", vp);
}

static void test_self(void)
{
	target = 0;
	testdev(TESTDEV_CREATE_MESSAGE, 0, SINT, MESSAGE_ID(0));
	testdev(TESTDEV_CREATE_EVENT, 0, EVENT_SINT, EVENT_ID(0));
	open_sints();
	irq_enable();
	test_message();
	test_busy_slot();
	test_closed("masked SINT", set_mask);
	test_closed("SCONTROL off", set_scontrol);
	test_closed("SIMP off", set_simp);
	test_polling();
	test_moved_page();
	test_new_vector();
	test_flood();
	test_event();
	test_event_closed("event, masked SINT", set_event_mask);
	test_event_closed("event, SCONTROL off", set_scontrol);
	test_event_closed("event, SIEFP off", set_siefp);
	test_route();
}

void flat_main(void)
{
	hv_start();
	test_self();
	for (unsigned vp = 1; vp < vp_count; vp++)
		test_other(vp);
	target = 0;
	test_destroyed_connections();
}
