/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * winhv.ko: the hypervisor's interface as C functions, for modules that are no part of the kernel's
 * own Hyper-V code (TLFS: hypercall-interface, inter-partition-communication).
 *
 * The kernel itself has set up the hypercall page, VP assist pages, crash registers and the
 * interrupt vector. This library makes calls through that page, and owns the SynIC as long as it
 * has a client: only one can, and not while hv_vmbus does.
 *
 * Functions return 0 or -errno.
 */
#ifndef WINHV_H
#define WINHV_H

#include <linux/types.h>

#include "guest/winhv/hcall.h"

/* ---- hypercalls ---------------------------------------------------------- */

/**
 * winhv_hypercalls() - the kernel's hypercall page, for functions of hcall.h
 *
 * Its calls may be made in any context but NMI.
 */
const struct winhv_hypercalls *winhv_hypercalls(void);

/**
 * winhv_post_message() - HvPostMessage
 * @connection_id: where to
 * @type:          HV_MESSAGE_TYPE_VMBUS or another type that is not the hypervisor's own
 * @payload:       bytes to send
 * @bytes:         at most HV_MESSAGE_PAYLOAD_MAX
 *
 * Any context but NMI. -EAGAIN: the host has no room now. -ENXIO: no such connection.
 */
int winhv_post_message(u32 connection_id, u32 type, const void *payload, u32 bytes);

/**
 * winhv_signal_event() - HvSignalEvent
 * @connection_id: of a channel
 *
 * Any context. Nothing is returned: an answer would say nothing about what the host does.
 */
void winhv_signal_event(u32 connection_id);

/* ---- facts --------------------------------------------------------------- */

/**
 * winhv_vp_index() - the hypervisor's number of a CPU
 * @cpu: a CPU that has been online
 */
u32 winhv_vp_index(unsigned int cpu);

/**
 * winhv_reference_time() - time since the partition was created, in units of 100 ns
 */
u64 winhv_reference_time(void);

/* ---- SynIC --------------------------------------------------------------- */

/**
 * struct winhv_synic_client - who gets the messages and events of one SINT
 * @name:        for log lines
 * @sint:        its number; that of VMBus also brings messages of synthetic timers, which do not
 *               reach the client
 * @message:     a private copy of a message slot. Hard interrupt context. False: no room; the
 *               message stays in its slot, until winhv_synic_poll().
 * @event:       an event flag was set, and is cleared. Hard interrupt context; flag is below
 *               HV_EVENT_FLAGS_COUNT, and otherwise unchecked.
 * @cpu_offline: this CPU goes; nothing more comes on it when this returns 0. -errno: it must stay.
 *               Process context, with the lock of CPU hotplug.
 * @shutdown:    another kernel will be started (kexec); CPUs run. Process context.
 * @crash:       the kernel has crashed: one CPU runs, with interrupts off, and no lock may be taken
 *
 * After @shutdown and @crash the SynIC is switched off.
 */
struct winhv_synic_client {
	const char *name;
	unsigned int sint;
	bool (*message)(const struct hv_message *message);
	void (*event)(unsigned int flag);
	int (*cpu_offline)(unsigned int cpu);
	void (*shutdown)(void);
	void (*crash)(void);
};

/**
 * winhv_synic_busy() - does another driver use a SINT on this CPU?
 * @sint: its number
 */
bool winhv_synic_busy(unsigned int sint);

/**
 * winhv_synic_start() - messages and events to a client, on all CPUs, also those that come later
 * @client: in place until winhv_synic_stop()
 *
 * Process context. -EBUSY: hv_vmbus, or another client, has the SINT.
 */
int winhv_synic_start(const struct winhv_synic_client *client);

/**
 * winhv_synic_stop() - the reverse; no function of the client runs when it returns
 */
void winhv_synic_stop(void);

/**
 * winhv_synic_poll() - read all slots again, after message() has returned false
 *
 * Process context.
 */
void winhv_synic_poll(void);

/**
 * winhv_synic_crash_poll() - take the next message of any CPU, from crash()
 * @message: a private copy
 *
 * False: there is none now.
 */
bool winhv_synic_crash_poll(struct hv_message *message);

#endif
