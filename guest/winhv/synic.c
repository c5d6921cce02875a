/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The SynIC of each CPU: a page of message slots, a page of event flags, and one SINT. The host
 * writes both pages at any time, so a slot is copied once and a word of flags is exchanged for 0.
 *
 * A message occupies its slot until it is taken, and the host keeps those behind it: that is all
 * the flow control there is, and nothing has to be allocated for it.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/atomic.h>
#include <linux/cpuhotplug.h>
#include <linux/export.h>
#include <linux/gfp.h>
#include <linux/io.h>
#include <linux/mutex.h>
#include <linux/percpu.h>
#include <linux/printk.h>
#include <linux/rcupdate.h>
#include <linux/smp.h>

#include <asm/msr.h>

#include "guest/winhv/kernel.h"
#include "guest/winhv/winhv.h"

struct synic_cpu {
	struct hv_message_page *messages;
	struct hv_event_flags_page *events;
};

static DEFINE_PER_CPU(struct synic_cpu, synic_cpus);
static DEFINE_MUTEX(synic_lock); /* start and stop */
static const struct winhv_synic_client *client;
static enum cpuhp_state hotplug_state;
static bool running; /* the client has a say in CPUs that go */
static bool off;     /* another kernel is about to run */

/* ---- what the host has sent ---------------------------------------------- */

/* Frees the slot, unless the host has put another message there, and lets the next one in. */
static void slot_free(struct hv_message *slot, u32 type)
{
	if (cmpxchg(&slot->type, type, HV_MESSAGE_TYPE_NONE) != type)
		return;
	/* The exchange is a full barrier: the flag is read after the slot is free. */
	if (READ_ONCE(slot->flags) & HV_MESSAGE_FLAG_PENDING)
		wrmsr(HV_MSR_EOM, 0, 0);
}

/* A private copy of the slot. False: it is empty. */
static bool slot_copy(struct hv_message *slot, struct hv_message *message)
{
	u32 type = smp_load_acquire(&slot->type);

	if (type == HV_MESSAGE_TYPE_NONE)
		return false;
	memcpy(message, slot, sizeof(*message));
	barrier(); /* no second read of what is checked now */
	message->type = type;
	message->payload_size = min_t(u8, message->payload_size, HV_MESSAGE_PAYLOAD_MAX);
	return true;
}

static void take_message(struct hv_message *slot)
{
	struct hv_message message;

	if (!slot_copy(slot, &message))
		return;
	if (message.type == HV_MESSAGE_TYPE_TIMER)
		kernel_timer_interrupt();
	else if (!client->message(&message))
		return;
	slot_free(slot, message.type);
}

static void take_flags(u64 *word, unsigned int first)
{
	unsigned long flags;
	unsigned int bit;

	if (!READ_ONCE(*word))
		return;
	flags = xchg(word, 0);
	for_each_set_bit (bit, &flags, 64)
		client->event(first + bit);
}

static void take_events(struct hv_event_flags_page *page)
{
	u64 *words = (u64 *)page->sint[client->sint];
	unsigned int i;

	for (i = 0; i < HV_EVENT_FLAGS_COUNT / 64; i++)
		take_flags(&words[i], i * 64);
}

/* Events first: a rescind must not overtake the last completions of its channel. */
static void on_interrupt(void)
{
	struct synic_cpu *cpu = this_cpu_ptr(&synic_cpus);

	if (READ_ONCE(off) || !cpu->messages)
		return;
	take_events(cpu->events);
	take_message(&cpu->messages->sint[client->sint]);
}

static void poll_this_cpu(void *unused)
{
	on_interrupt();
}

void winhv_synic_poll(void)
{
	mutex_lock(&synic_lock);
	if (client)
		on_each_cpu(poll_this_cpu, NULL, 1);
	mutex_unlock(&synic_lock);
}
EXPORT_SYMBOL_GPL(winhv_synic_poll);

/* ---- registers of this CPU ----------------------------------------------- */

static u64 get_register(u32 msr)
{
	u64 value;

	compat_rdmsr(msr, value);
	return value;
}

static void set_register(u32 msr, u64 value)
{
	wrmsr(msr, (u32)value, (u32)(value >> 32));
}

static void set_page(u32 msr, void *page)
{
	u64 value = get_register(msr) & ~(HV_MSR_PAGE_PFN_MASK | HV_MSR_PAGE_ENABLE);

	if (page)
		value |= virt_to_phys(page) | HV_MSR_PAGE_ENABLE;
	set_register(msr, value);
}

static u64 sint_value(u64 old)
{
	u64 value =
		old & ~(HV_SINT_VECTOR_MASK | HV_SINT_MASKED | HV_SINT_AUTO_EOI | HV_SINT_POLLING);

	value |= kernel_interrupt_vector();
	return kernel_auto_eoi() ? value | HV_SINT_AUTO_EOI : value;
}

static void enable(const struct synic_cpu *cpu)
{
	u32 sint = HV_MSR_SINT0 + client->sint;

	set_page(HV_MSR_SIMP, cpu->messages);
	set_page(HV_MSR_SIEFP, cpu->events);
	set_register(sint, sint_value(get_register(sint)));
	set_register(HV_MSR_SCONTROL, get_register(HV_MSR_SCONTROL) | HV_SCONTROL_ENABLE);
}

static void disable(void *unused)
{
	u32 sint = HV_MSR_SINT0 + client->sint;

	set_register(sint, get_register(sint) | HV_SINT_MASKED);
	set_page(HV_MSR_SIMP, NULL);
	set_page(HV_MSR_SIEFP, NULL);
	set_register(HV_MSR_SCONTROL, get_register(HV_MSR_SCONTROL) & ~HV_SCONTROL_ENABLE);
}

bool winhv_synic_busy(unsigned int sint)
{
	bool busy;

	preempt_disable();
	busy = (get_register(HV_MSR_SIMP) & HV_MSR_PAGE_ENABLE) &&
	       !(get_register(HV_MSR_SINT0 + sint) & HV_SINT_MASKED);
	preempt_enable();
	return busy;
}
EXPORT_SYMBOL_GPL(winhv_synic_busy);

/* ---- CPUs that come and go ----------------------------------------------- */

static int give_pages(struct synic_cpu *cpu)
{
	if (!cpu->events)
		cpu->events = (void *)get_zeroed_page(GFP_KERNEL);
	if (!cpu->messages && cpu->events)
		cpu->messages = (void *)get_zeroed_page(GFP_KERNEL);
	return cpu->messages ? 0 : -ENOMEM;
}

static int on_cpu_online(unsigned int number)
{
	struct synic_cpu *cpu = per_cpu_ptr(&synic_cpus, number);
	int err = give_pages(cpu);

	if (err)
		return err;
	enable(cpu);
	kernel_timer_start(number, client->sint);
	return 0;
}

/* What the host has signalled before it agreed not to signal this CPU any more. */
static void take_last_events(unsigned int number)
{
	unsigned long flags;

	local_irq_save(flags);
	take_events(per_cpu_ptr(&synic_cpus, number)->events);
	local_irq_restore(flags);
}

static int on_cpu_offline(unsigned int number)
{
	int err = running ? client->cpu_offline(number) : 0;

	if (err)
		return err;
	if (running)
		take_last_events(number);
	kernel_timer_stop(number);
	disable(NULL);
	return 0;
}

static void free_pages_of_cpus(void)
{
	struct synic_cpu *cpu;
	unsigned int number;

	for_each_possible_cpu (number) {
		cpu = per_cpu_ptr(&synic_cpus, number);
		free_page((unsigned long)cpu->messages);
		free_page((unsigned long)cpu->events);
		cpu->messages = NULL;
		cpu->events = NULL;
	}
}

/* ---- the end of this kernel ---------------------------------------------- */

static void on_kexec(void)
{
	if (READ_ONCE(off))
		return;
	kernel_timers_stop();
	client->shutdown();
	WRITE_ONCE(off, true);
	on_each_cpu(disable, NULL, 1);
}

/* The other CPUs are stopped, wherever they were: whatever lock is taken here may be theirs. Their
 * pages stay the host's until the client has seen to it that it writes nothing any more. */
static void on_crash(void)
{
	if (READ_ONCE(off))
		return;
	WRITE_ONCE(off, true);
	client->crash();
	kernel_timer_crash();
	disable(NULL);
}

bool winhv_synic_crash_poll(struct hv_message *message)
{
	struct hv_message_page *page;
	struct hv_message *slot;
	unsigned int number;

	for_each_possible_cpu (number) {
		page = per_cpu_ptr(&synic_cpus, number)->messages;
		if (!page)
			continue;
		slot = &page->sint[client->sint];
		if (!slot_copy(slot, message))
			continue;
		slot_free(slot, message->type);
		return true;
	}
	return false;
}
EXPORT_SYMBOL_GPL(winhv_synic_crash_poll);

/* ---- clients ------------------------------------------------------------- */

static void stop(void)
{
	running = false;
	cpuhp_remove_state(hotplug_state);
	kernel_handlers_clear();
	synchronize_rcu(); /* an interrupt may be under way */
	client = NULL;
	free_pages_of_cpus();
}

static int start(void)
{
	int state;

	kernel_handlers_set(on_interrupt, on_kexec, on_crash);
	state = cpuhp_setup_state(
		CPUHP_AP_ONLINE_DYN, "winhv:online", on_cpu_online, on_cpu_offline);
	if (state < 0) {
		kernel_handlers_clear();
		synchronize_rcu();
		free_pages_of_cpus();
		return state;
	}
	hotplug_state = state;
	running = true;
	return 0;
}

int winhv_synic_start(const struct winhv_synic_client *new_client)
{
	int err = -EBUSY;

	mutex_lock(&synic_lock);
	if (client || winhv_synic_busy(new_client->sint)) {
		pr_err("%s: SINT%u belongs to %s already\n", new_client->name, new_client->sint,
			client ? client->name : "another driver (hv_vmbus?)");
	} else {
		client = new_client;
		err = start();
		if (err)
			client = NULL;
	}
	mutex_unlock(&synic_lock);
	return err;
}
EXPORT_SYMBOL_GPL(winhv_synic_start);

void winhv_synic_stop(void)
{
	mutex_lock(&synic_lock);
	stop();
	mutex_unlock(&synic_lock);
}
EXPORT_SYMBOL_GPL(winhv_synic_stop);
