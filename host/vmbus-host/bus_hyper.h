/* SPDX-License-Identifier: MIT */
/*
 * The bus on a partition: the only file where VMBus meets hyper/. Guest
 * messages arrive on VP threads, are copied into a bounded queue and handled
 * one by one on the control thread; host messages and events leave through the
 * partition's SynIC.
 */
#ifndef VMBUS_HOST_BUS_HYPER_H
#define VMBUS_HOST_BUS_HYPER_H

#include <pthread.h>

#include "base/loop.h"
#include "hyper/kvm/partition.h"
#include "vmbus-host/bus.h"

/* Guest messages waiting for the control thread; beyond it the hypercall fails and the guest
 * retries. */
#define BUS_HYPER_QUEUE_MAX 256u

struct bus_hyper {
	struct partition *partition;
	struct loop *control;
	struct bus *bus; /* owned */
	struct hv_connection conn_message, conn_multi;
	/* lock: VP threads produce, control consumes */
	pthread_mutex_t lock;
	struct bus_hyper_message {
		uint32_t len;
		uint8_t data[VMBUS_MESSAGE_SIZE_MAX];
	} queue[BUS_HYPER_QUEUE_MAX];
	uint32_t head, count;
	bool posted; /* task is posted to the control thread */
	struct loop_task task;
	/* control */
	bool dead; /* destroyed while the task was posted: the task frees */
};

/* Creates the bus and connects it to the partition. ON_CONTROL, before VPs start. */
int bus_hyper_create(struct bus_hyper **bh, struct partition *p, struct loop *control,
	uint32_t vp_count, struct budget *budget, struct err *e);
/* ON_CONTROL, no VP runs: handles the messages that wait. */
void bus_hyper_drain(struct bus_hyper *bh);
/* VPs are stopped and bus_shutdown() is done. */
void bus_hyper_destroy(struct bus_hyper *bh);

/* Any thread. Sets a channel's event flag for a VP, and interrupts it if the flag was clear. */
void bus_hyper_interrupt(struct bus_hyper *bh, uint32_t vp, uint32_t flag);

#endif
