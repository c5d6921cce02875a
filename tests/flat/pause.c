/* SPDX-License-Identifier: MIT */
/*
 * The guest of the pause tests: keeps clocks, timers and exits busy, and answers the host's keys on
 * COM1 while the host pauses and resumes it.
 *
 *   s  prints "started"
 *   c  prints "alive" when each timer and the event connection work, else what does not
 *   q  prints "passed", the microseconds since `s` by reference time and by the TSC; ends
 *
 * Words of the command line: what VPs do (hlt, pio, msr), which LAPIC timer (oneshot, periodic,
 * deadline).
 */
#include "hyperv.h"

#define COM1      0x3F8u
#define LSR_READY 1u
#define RTC_INDEX 0x70u
#define RTC_DATA  0x71u
#define RTC_CELL  0x40u

#define TIMER_VECTOR  0x50u
#define STIMER_VECTOR 0x51u
#define PERIOD_VECTOR 0x52u
#define EVENT_VECTOR  0x53u
#define EVENT_SINT    5u
#define EVENT_ID      9u

#define MS           10000ull /* in 100 ns units */
#define TIMER_TICKS  (20 * MS)
#define TIMER_COUNT  20000000u /* the same by the LAPIC */
#define STIMER_TICKS (7 * MS)
#define PERIOD_TICKS (10 * MS)
#define SOON_US      20000000ull
#define TOLERANCE(x) ((x) / 100) /* LAPIC and TSC have clocks of their own */
#define STRING_BYTES 48u

static enum apic_timer_mode mode;
static bool halts, does_pio, does_msrs, has_stimers;
static volatile bool quit;

static volatile struct hv_reference_tsc_page page __attribute__((aligned(HV_PAGE_SIZE)));

/* Per VP: when its LAPIC timer was armed, and what went wrong. */
static struct watch {
	uint64_t armed, started, deadline;
	uint64_t early, backwards, wrong_reads, rounds;
	uint64_t last;
} watch[VPS_MAX];

static volatile uint64_t stimer_due, stimer_early, period_start, period_early;
static volatile uint32_t events_sent;

static uint64_t now(void)
{
	return rdmsr(HV_MSR_TIME_REF_COUNT);
}

static uint64_t page_time(void)
{
	uint64_t scale, tsc;
	uint32_t sequence;
	int64_t offset;

	do {
		sequence = page.sequence;
		scale = page.scale;
		offset = page.offset;
		tsc = rdtsc();
	} while (page.sequence != sequence || sequence == 0);
	return (uint64_t)(((unsigned __int128)tsc * scale) >> 64) + (uint64_t)offset;
}

static struct watch *watch_this(void)
{
	return &watch[vp_this()->index];
}

/* ---- timers -------------------------------------------------------------- */

static void timer_arm(struct watch *w)
{
	w->armed = now();
	if (mode == APIC_DEADLINE) {
		w->deadline = rdtsc() + tsc_hz() / 1000 * (TIMER_TICKS / MS);
		apic_timer_deadline(w->deadline);
	} else if (mode == APIC_ONE_SHOT) {
		apic_timer_count(TIMER_COUNT);
	}
}

/* By the clock that it is set by. The LAPIC has a clock of its own, hence the tolerance. */
static bool timer_is_early(const struct watch *w)
{
	uint64_t due = w->armed + TIMER_TICKS;

	if (mode == APIC_DEADLINE)
		return rdtsc() < w->deadline;
	if (mode == APIC_PERIODIC)
		due = w->started + TIMER_TICKS * vp_this()->irqs[TIMER_VECTOR];
	return now() + TOLERANCE(due - w->started) + TOLERANCE(TIMER_TICKS) < due;
}

static void on_timer(void)
{
	struct watch *w = watch_this();

	w->early += timer_is_early(w);
	timer_arm(w);
}

static void timer_start(void)
{
	struct watch *w = watch_this();

	apic_timer_set(mode, TIMER_VECTOR);
	w->started = now();
	timer_arm(w);
	if (mode == APIC_PERIODIC)
		apic_timer_count(TIMER_COUNT);
}

static void stimer_arm(void)
{
	stimer_due = now() + STIMER_TICKS;
	wrmsr(HV_MSR_STIMER0_COUNT, stimer_due);
}

static void on_stimer(void)
{
	stimer_early += now() < stimer_due;
	stimer_arm();
}

static void on_period(void)
{
	period_early += now() < period_start + PERIOD_TICKS * vp_this()->irqs[PERIOD_VECTOR];
}

static uint64_t direct(uint8_t vector)
{
	return HV_STIMER_DIRECT | HV_STIMER_AUTO_ENABLE |
	       (uint64_t)vector << HV_STIMER_VECTOR_SHIFT;
}

static void stimers_start(void)
{
	if (!has_stimers)
		return;
	wrmsr(HV_MSR_STIMER0_CONFIG, direct(STIMER_VECTOR));
	stimer_arm();
	period_start = now();
	wrmsr(HV_MSR_STIMER0_CONFIG + 2, direct(PERIOD_VECTOR) | HV_STIMER_PERIODIC);
	wrmsr(HV_MSR_STIMER0_COUNT + 2, PERIOD_TICKS);
}

/* ---- events: VP 0 signals the last VP, one at a time --------------------- */

static unsigned event_vp(void)
{
	return vp_count - 1;
}

static volatile uint32_t event_flags_taken;

/* A resume may interrupt without an event. */
static void on_event(void)
{
	if (!synic_flag(event_vp(), EVENT_SINT, EVENT_ID))
		return;
	synic_clear_flag(event_vp(), EVENT_SINT, EVENT_ID);
	event_flags_taken++;
}

static void event_next(void)
{
	if (event_flags_taken != events_sent)
		return;
	events_sent++;
	hv_signal(EVENT_ID);
}

static void events_start(void)
{
	synic_start();
	synic_set_sint(EVENT_SINT, EVENT_VECTOR);
}

/* ---- what VPs do --------------------------------------------------------- */

/* Each value that comes back is the one that was written: no exit is lost or done twice. */
static void do_pio(struct watch *w)
{
	const uint8_t want = (uint8_t)w->rounds;
	uint8_t got[STRING_BYTES];
	uint8_t *to = got;
	uint64_t count = STRING_BYTES;

	outb(RTC_INDEX, RTC_CELL);
	outb(RTC_DATA, want);
	w->wrong_reads += inb(RTC_DATA) != want;
	__asm__ volatile("rep insb" : "+D"(to), "+c"(count) : "d"((uint16_t)RTC_DATA) : "memory");
	for (unsigned i = 0; i < STRING_BYTES; i++)
		w->wrong_reads += got[i] != want;
}

static void do_msrs(struct watch *w)
{
	const uint32_t msr = HV_MSR_CRASH_P0 + vp_this()->index;
	const uint64_t want = w->rounds << 32 | ~w->rounds;

	wrmsr(msr, want);
	w->wrong_reads += rdmsr(msr) != want;
}

/* Page and MSR in turn: time never steps back. */
static void watch_time(struct watch *w)
{
	const uint64_t by_page = page_time(), by_msr = now();

	w->backwards += by_page < w->last || by_msr < by_page;
	w->last = by_msr;
}

static void one_round(void)
{
	struct watch *w = watch_this();

	w->rounds++;
	if (does_pio && vp_this()->index == 0)
		do_pio(w);
	if (does_msrs)
		do_msrs(w);
	watch_time(w);
	if (!halts)
		return;
	irq_disable();
	irq_enable_and_halt();
}

static void run_vp(void)
{
	timer_start();
	if (vp_this()->index == event_vp())
		events_start();
	irq_enable();
	while (!quit)
		one_round();
	apic_timer_count(0);
}

/* ---- keys ---------------------------------------------------------------- */

static uint64_t started_at, started_tsc;

static void key_start(void)
{
	started_at = now();
	started_tsc = rdtsc();
	print("started\n");
}

static bool goes_on(volatile uint32_t *count)
{
	return wait_for_at_least(count, *count + 1, SOON_US);
}

static bool events_go_on(void)
{
	const uint32_t sent = events_sent;

	for (unsigned i = 0; i < 2; i++) {
		if (!wait_for(&event_flags_taken, events_sent, SOON_US))
			return false;
		event_next();
	}
	return events_sent != sent;
}

static void key_check(void)
{
	for (unsigned vp = 0; vp < vp_count; vp++) {
		if (goes_on(&vps[vp].irqs[TIMER_VECTOR]))
			continue;
		print("VP %u: its LAPIC timer is dead\n", vp);
		return;
	}
	if (has_stimers && !goes_on(&vp_this()->irqs[STIMER_VECTOR]))
		print("the one-shot synthetic timer is dead\n");
	else if (has_stimers && !goes_on(&vp_this()->irqs[PERIOD_VECTOR]))
		print("the periodic synthetic timer is dead\n");
	else if (!events_go_on())
		print("an event's interrupt is lost\n");
	else
		print("alive\n");
}

static void verdicts(void)
{
	for (unsigned vp = 0; vp < vp_count; vp++) {
		const struct watch *w = &watch[vp];

		report(w->rounds > 10, "VP %u: ran", vp);
		report_eq(w->early, 0, "VP %u: its LAPIC timer is never early", vp);
		report_eq(w->backwards, 0, "VP %u: time never steps back", vp);
		report_eq(w->wrong_reads, 0, "VP %u: what was written is read", vp);
	}
	report_eq(stimer_early, 0, "the one-shot synthetic timer is never early");
	report_eq(period_early, 0, "the periodic synthetic timer is never early");
}

static void key_quit(void)
{
	const uint64_t passed = (now() - started_at) / (MS / 1000);
	const uint64_t tsc_passed = (rdtsc() - started_tsc) / (tsc_hz() / 1000000);

	print("passed %lu %lu\n", passed, tsc_passed);
	quit = true;
}

static void take_key(void)
{
	if (!(inb(COM1 + 5) & LSR_READY))
		return;
	switch (inb(COM1)) {
	case 's':
		key_start();
		break;
	case 'c':
		key_check();
		break;
	case 'q':
		key_quit();
		break;
	}
}

/* ---- start --------------------------------------------------------------- */

static void read_words(void)
{
	halts = cmdline_has("hlt");
	does_pio = cmdline_has("pio");
	does_msrs = cmdline_has("msr");
	mode = cmdline_has("periodic") ? APIC_PERIODIC : APIC_ONE_SHOT;
	if (cmdline_has("deadline"))
		mode = APIC_DEADLINE;
	has_stimers = cpuid(HV_CPUID_FEATURES).eax & HV_FEAT_STIMER;
}

static void start_vps(void)
{
	for (unsigned vp = 1; vp < vp_count; vp++) {
		if (!vp_start(vp)) {
			print("VP %u does not start\n", vp);
			flat_exit(EXIT_FAIL);
		}
		vp_run_async(vp, run_vp);
	}
}

void flat_main(void)
{
	read_words();
	if (mode == APIC_DEADLINE && !apic_timer_has_deadline()) {
		report_skip("no TSC-deadline timer");
		flat_exit(EXIT_SKIP);
	}
	hv_start();
	wrmsr(HV_MSR_REFERENCE_TSC, (uintptr_t)&page | HV_MSR_PAGE_ENABLE);
	irq_set_handler(TIMER_VECTOR, on_timer);
	irq_set_handler(STIMER_VECTOR, on_stimer);
	irq_set_handler(PERIOD_VECTOR, on_period);
	irq_set_handler(EVENT_VECTOR, on_event);
	testdev(TESTDEV_CREATE_EVENT, event_vp(), EVENT_SINT, EVENT_ID);
	start_vps();
	timer_start();
	if (event_vp() == 0)
		events_start();
	stimers_start();
	irq_enable();
	print("ready\n");
	while (!quit) {
		one_round();
		event_next();
		take_key();
	}
	for (unsigned vp = 1; vp < vp_count; vp++)
		vp_wait(vp);
	irq_disable();
	verdicts();
}
