/* SPDX-License-Identifier: MIT */
/*
 * Between the frame (frame.c, request.c) and the services: a service is a const
 * vtable over an open channel.
 *
 *   closed --open--> negotiating --answer--> ready
 *                                     `----> refused: no common version
 *
 * At most one message is with the guest. It is the service's own (produce(),
 * consume()) or a request of the control thread (ic.h).
 */
#ifndef IC_IC_IMPL_H
#define IC_IC_IMPL_H

#include <assert.h>

#include "base/counter.h"
#include "base/inspect.h"
#include "vsp/ic/ic.h"

#define IC_VERSIONS_MAX 4u

/* Some guests answer with more than they were asked. */
#define IC_PACKET_MAX 8192u

enum ic_state {
	IC_CLOSED,
	IC_NEGOTIATING,
	IC_READY,
	IC_REFUSED,
};

/* In the private memory of an open channel, in front of what is the service's own. I/O thread;
 * what the control thread reads is written as base/counter.h says. */
struct ic_channel {
	struct vsp_channel *ch;
	const struct ic_service *service;
	enum ic_state state; /* counter */
	struct ic_version framework, version;
	bool paused; /* counter */
	/* the message that is with the guest */
	bool waiting; /* counter: it is, or waits for room in the ring */
	bool sending; /* it waits for room */
	bool own;     /* the service's, not a request's */
	uint8_t transaction;
	uint16_t type;
	uint64_t asked_ns;          /* counter: loop time when it was sent, or a pause ended */
	struct ic_request *current; /* NULL: own, or its caller waits no more */
	struct vsp_out out;
	/* requests that wait */
	struct list queue;
	uint32_t queued;
	struct loop_timer tick;
	/* counters */
	uint64_t sent, answered, dropped;
};

struct ic_service {
	const struct vsp_ops vsp;
	const char *name;
	const char *needs; /* what the guest must run, for error texts */
	struct hv_guid instance;
	uint16_t type; /* enum ic_type */
	uint16_t version_count;
	struct ic_version versions[IC_VERSIONS_MAX];
	uint32_t body_max;
	size_t message;   /* offset of IC_MESSAGE bytes in the channel's private memory */
	uint64_t tick_ns; /* tick() at multiples of this; services with one period wake the thread
			   * together */
	bool lazy;        /* once it was heard, the guest's answers wait for the next tick, until a
			   * pause */

	/* All optional, ON_IO_THREAD, while ready. */
	void (*ready)(struct ic_channel *c);
	void (*tick)(struct ic_channel *c);
	void (*resumed)(struct ic_channel *c);
	/* Also when it was never ready: stop timers. */
	void (*stopped)(struct ic_channel *c);
	/* Nothing is with the guest: fills a zeroed body to send. Its size, or 0: nothing to send.
	 */
	uint32_t (*produce)(struct ic_channel *c, void *body);
	void (*consume)(struct ic_channel *c, uint32_t status, const void *body, uint32_t size);
	/* ON_CONTROL. */
	void (*inspect)(struct ic_channel *c, struct inspect *i);
};

/* Room for one; every service negotiates, too. A header has 28 bytes: it begins at 4, so that the
 * body is aligned. */
#define IC_MESSAGE(body_max)                                                                       \
	(IC_MESSAGE_BEGIN + sizeof(struct ic_header) +                                             \
		((body_max) > IC_NEGOTIATE_MAX ? (body_max) : IC_NEGOTIATE_MAX))
#define IC_MESSAGE_BEGIN 4u
#define IC_NEGOTIATE_MAX                                                                           \
	(sizeof(struct ic_negotiate) + (2 + IC_VERSIONS_MAX) * sizeof(struct ic_version))

/* struct ic_service.vsp. channel: a struct that begins with a struct ic_channel. */
#define IC_VSP(service_name, class, channel)                                                       \
	{                                                                                          \
		.name = (service_name), .class_id = class,                                         \
		.offer_flags = VMBUS_OFFER_ENUMERATE_DEVICE | VMBUS_OFFER_NAMED_PIPE,              \
		.offer = ic_offer, .interrupts = VSP_INTERRUPTS_PLAIN,                             \
		.device_size = sizeof(struct ic_config), .channel_size = sizeof(channel),          \
		.packet_max = IC_PACKET_MAX, .create = ic_create, .open = ic_open,                 \
		.packet = ic_packet, .stop = ic_stop, .pause = ic_pause, .resume = ic_resume,      \
		.inspect_channel = ic_inspect_channel, .archive_channel = ic_archive_channel,      \
	}

void ic_offer(struct vsp_device *dev, struct vsp_offer_params *params);

int ic_create(struct vsp_device *dev, const void *config, struct err *e);
int ic_open(struct vsp_channel *ch);
int ic_packet(struct vsp_channel *ch, const struct vmbus_pkt *pkt);
void ic_stop(struct vsp_channel *ch);
void ic_pause(struct vsp_channel *ch);
void ic_resume(struct vsp_channel *ch);
void ic_inspect_channel(struct vsp_channel *ch, struct inspect *i);
void ic_archive_channel(struct vsp_channel *ch, struct archive *a);

/* Any thread. */
const void *ic_settings(const struct ic_channel *c);

/* ON_IO_THREAD: sends the next message when nothing is with the guest. After produce() may have
 * something new to send. */
void ic_send_next(struct ic_channel *c);

/* ---- request.c (ON_IO_THREAD) -------------------------------------------- */

/* Takes the oldest request that waits and copies its body. Its size, or 0: none waits. */
uint32_t ic_request_take(struct ic_channel *c, void *body);
/* c->current is answered. */
void ic_request_answered(struct ic_channel *c, uint32_t status, const void *body, uint32_t size);
/* Ends all requests. */
void ic_requests_fail(struct ic_channel *c, int error);

#endif
