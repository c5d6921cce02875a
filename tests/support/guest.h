/* SPDX-License-Identifier: MIT */
/*
 * A guest in this process: RAM, messages, doorbells and interrupts are the
 * test's; the bus, the channels and the VSPs are the real ones, on real loops
 * (one control, some I/O threads). No KVM.
 *
 * The caller plays the guest's only processor: it posts messages, writes into
 * rings, and waits for interrupts. Any wait ends after GUEST_TIMEOUT_MS, with
 * abort(): a lost wake-up or a lost reply is a failed test, not a hang.
 */
#ifndef SUPPORT_GUEST_H
#define SUPPORT_GUEST_H

#include <pthread.h>

#include "ring/vmbus_ring.h"
#include "vsp/vsp_device.h"

#define GUEST_TIMEOUT_MS     120000
#define GUEST_IO_THREADS_MAX 4u
#define GUEST_OFFERS_MAX     512u
#define GUEST_DEVICES_MAX    8u
#define GUEST_MESSAGES_MAX   256u
#define GUEST_DOORBELLS      64u
#define GUEST_SCATTERED_MAX  32u /* pages of a ring, when scattered */

struct guest_config {
	uint64_t ram;    /* bytes */
	uint32_t vps;    /* for the bus; nothing runs on them */
	uint64_t budget; /* bytes; 0: BUDGET_DEFAULT. guest_stop() checks that all is given back */
	bool shared;     /* RAM is shared memory, which does not count as this process's own */
	bool dynamic;    /* pages of RAM may be out, and `more` bytes can be added */
	uint64_t more;
	uint32_t io_threads; /* threads; 0: no threads at all, everything runs on one loop inside
			      * the caller's waits and guest_turn() */
};

struct guest_offer {
	struct vmbus_offer offer;
	bool rescinded;
};

struct guest_message {
	uint32_t len;
	uint8_t bytes[VMBUS_MESSAGE_SIZE_MAX];
};

struct guest {
	/* constant */
	struct gmem gmem;
	struct loop control;
	struct loop io_threads[GUEST_IO_THREADS_MAX];
	struct loop *io_thread_list[GUEST_IO_THREADS_MAX];
	struct bus *bus;
	struct vsp_host host;
	bool single;    /* no threads */
	bool scattered; /* the caller's: no two pages of a ring that is opened are neighbours */
	struct budget budget;
	/* caller's */
	uint64_t next_gpa; /* RAM not given out yet */
	uint32_t next_gpadl;
	struct vsp_device *devices[GUEST_DEVICES_MAX]; /* NULL: removed */
	uint32_t device_count;
	/* under lock */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	uint64_t events; /* messages and interrupts so far */
	uint64_t interrupts;
	struct guest_message messages[GUEST_MESSAGES_MAX]; /* FIFO; offers and rescinds not here */
	uint32_t message_first, message_count;
	struct guest_offer offers[GUEST_OFFERS_MAX];
	uint32_t offer_count;
	struct {
		uint32_t connection_id; /* 0: free */
		int fd;
	} doorbells[GUEST_DOORBELLS];
	bool shut_down;
};

void guest_start(struct guest *g, const struct guest_config *config);
/* Shuts the bus down: what guest_stop() does first, for who has devices of his own. */
void guest_shut_down(struct guest *g);
/* Shuts the bus down, destroys the devices, ends the threads. */
void guest_stop(struct guest *g);

/* instance: last byte of the instance GUID. */
struct vsp_device *guest_add_device(
	struct guest *g, const struct vsp_ops *ops, uint8_t instance, const void *config);
/* Hot remove, and destroy when the guest has released it: answer the rescind, then
 * guest_wait_removed(). */
void guest_remove_device(struct guest *g, struct vsp_device *dev);
void guest_wait_removed(struct guest *g, struct vsp_device *dev);

/* Without threads: one turn of the loop. */
void guest_turn(struct guest *g);

/* What was posted before has run, on all threads. */
void guest_run_host(struct guest *g);

/* Runs fn(arg) on the control thread. */
void guest_control(struct guest *g, void (*fn)(void *arg), void *arg);

/* Page-aligned zero RAM; never given back. */
uint64_t guest_ram(struct guest *g, uint64_t bytes);
void *guest_at(struct guest *g, uint64_t gpa);

/* ---- waiting ------------------------------------------------------------- */

uint64_t guest_events(struct guest *g);
/* Until there have been more events than `seen`. */
void guest_wait_events(struct guest *g, uint64_t seen);

/* ---- messages ------------------------------------------------------------ */

/* Posts msg (header filled here). */
void guest_post(struct guest *g, uint32_t type, void *msg, uint32_t len);
/* The next message must be of this type; copied to msg. */
void guest_expect(struct guest *g, uint32_t type, void *msg, uint32_t len);
/* INITIATE_CONTACT, also on a live connection; then all offers. */
void guest_connect(struct guest *g, uint32_t version);
/* Waits for the live offer number `index` of the class with this last GUID byte. */
struct vmbus_offer guest_wait_offer(
	struct guest *g, const struct hv_guid *class_id, uint8_t instance, uint16_t index);
/* The same by the whole instance id; NULL: any. */
struct vmbus_offer guest_wait_offer_of(
	struct guest *g, const struct hv_guid *class_id, const struct hv_guid *instance_id);
void guest_wait_rescind(struct guest *g, uint32_t relid);
bool guest_is_rescinded(struct guest *g, uint32_t relid);
void guest_release(struct guest *g, uint32_t relid);

/* Nothing happens when the channel is not open. */
void guest_ring_doorbell(struct guest *g, uint32_t connection_id);

/* ---- channels ------------------------------------------------------------ */

struct guest_chan {
	struct guest *g;
	struct vmbus_offer offer;
	uint32_t gpadl;
	uint64_t gpa;        /* of the ring pages; kept over reopens */
	uint32_t ring_pages; /* of each direction, control page included */
	struct vmbus_run runs[2 * GUEST_SCATTERED_MAX]; /* used when they are scattered */
	struct vmbus_tx tx;
	struct vmbus_rx rx;
	bool open;
	uint8_t packet[VMBUS_MESSAGE_SIZE_MAX];
};

/* Fresh rings, GPADL, OPENCHANNEL. False: the host refused. */
bool guest_chan_open(struct guest_chan *c, struct guest *g, const struct vmbus_offer *offer,
	uint32_t ring_pages, uint32_t target_vp);
/* CLOSECHANNEL and GPADL_TEARDOWN; the host does not use the rings and buffers after this. */
void guest_chan_close(struct guest_chan *c);
/* The connection or the device is gone: forgets. */
void guest_chan_forget(struct guest_chan *c);

/* False: no room; an interrupt will come when there is. */
bool guest_chan_send(struct guest_chan *c, uint16_t type, uint16_t flags, uint64_t trans_id,
	const struct vmbus_vec *extra, const void *payload, uint32_t payload_len);
/* Signals the host for no reason, as a guest may. */
void guest_chan_signal(struct guest_chan *c);
/* False: empty; an interrupt will come with the next packet. pkt is valid until the next call. */
bool guest_chan_receive(struct guest_chan *c, struct vmbus_pkt *pkt);
/* The same into a larger buffer. */
bool guest_chan_receive_into(
	struct guest_chan *c, struct vmbus_pkt *pkt, uint8_t *packet, uint32_t size);
/* How far it has read: the host may use the room. Else this happens when the ring is empty. */
void guest_chan_publish(struct guest_chan *c);

#endif
