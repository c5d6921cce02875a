/* SPDX-License-Identifier: MIT */
/* Inside of host/vsp/dynmem: dynmem.c (life, state for others), channel.c (messages), steps.c (what
 * is asked of the guest), transfer.c (pages that arrive, memory that is mapped). */
#ifndef DYNMEM_IMPL_H
#define DYNMEM_IMPL_H

#include <assert.h>

#include "base/blocking.h"
#include "base/counter.h"
#include "base/gmem_pages.h"
#include "base/inspect.h"
#include "hv/dm_reg.h"
#include "vsp/dynmem/dynmem.h"
#include "vsp/dynmem/policy.h"

/*
 *                      refused                                 .--> TAKING --last answer,
 * released--.
 *                    .---------.                               | | CLOSED --open--> VERSION
 * --accepted--> CAPABILITIES --> IDLE --> GIVING --answer----------------+ ^ ^  | | | |  `-->
 * MAPPING --mapped--> ADDING -----+
 *      `--- close, in any state `---------------------------------------'
 *
 * One request is with the guest at a time. What it sends in the wrong state is dropped and counted;
 * a request or an answer that is wrong in itself faults the channel.
 */
enum dynmem_state {
	DYNMEM_CLOSED,
	DYNMEM_VERSION,
	DYNMEM_CAPABILITIES,
	DYNMEM_IDLE,
	DYNMEM_TAKING,
	DYNMEM_GIVING,
	DYNMEM_MAPPING,
	DYNMEM_ADDING,
};

/* Why no memory is added any more, in this connection. */
enum dynmem_adding {
	DYNMEM_ADD_POSSIBLE,
	DYNMEM_ADD_UNSUPPORTED, /* the guest says so, or wants an alignment that there is not */
	DYNMEM_ADD_REFUSED,
	DYNMEM_ADD_OFFLINE, /* it is added, but stays offline; only a user's wish adds more */
};

struct dynmem_device {
	struct dynmem_config config;
	uint64_t contacts;         /* control: of the channel before */
	_Atomic uint64_t wanted;   /* written by control */
	_Atomic uint64_t accepted; /* bytes added and taken by the guest: written by the I/O thread,
				    * while no channel is open by control */
	struct vsp_call call;      /* control's: the wish has changed */
	bool calling, call_again;
};

/* One host message, in memory of its own. */
struct dynmem_out {
	struct vsp_out out;
	bool sending; /* it waits for room */
	union {
		struct dm_header header;
		struct dm_response response;
		struct dm_info info;
	} message;
};

/* Private memory of an open channel. I/O thread; counters are read by control. */
struct dynmem_channel {
	struct vsp_channel *ch;
	enum dynmem_state state; /* counter */
	bool ready;              /* constant: as config.is_ready() said */
	bool paused, stopping;
	uint32_t transaction;
	struct dynmem_out reply, info;
	struct vsp_out request_out;
	bool request_sending;
	_Alignas(8) uint8_t request[DM_MESSAGE_MAX];
	/* the guest's capabilities */
	bool can_take;
	enum dynmem_adding adding; /* counter */
	uint64_t alignment;        /* bytes */
	/* the request that is with it */
	uint64_t asked;      /* TAKING: pages; ADDING: bytes */
	uint64_t asked_ns;   /* ADDING */
	uint64_t answered;   /* TAKING: pages so far */
	uint32_t releasing;  /* TAKING: messages whose pages are not released yet */
	bool last;           /* TAKING: the last message has come */
	uint32_t shortfalls; /* requests in a row to which it gave less than asked */
	bool clear;          /* what was added to the kernel before is to be given to the host */
	bool tidying; /* a helper does that, or allows huge pages again; nothing is added then */
	/* when it may be asked again: loop time */
	uint64_t take_after_ns, add_after_ns;
	struct loop_timer timer;
	/* what it said last: counters */
	bool reported;
	uint64_t available, committed;
	uint64_t offline;            /* bytes, see policy.h */
	struct dynmem_added checked; /* bytes 0: nothing to check */
	/* counters */
	uint64_t taken, given, statuses, out_of_order, held, release_errors;
};

/* Classes of requests: what pausing and closing wait for. */
enum { DYNMEM_RELEASE, DYNMEM_MAP, DYNMEM_TIDY, DYNMEM_CLASSES };

/* Pages that the guest has handed over, on their way to the host's kernel. */
struct dynmem_release {
	struct blocking_call call;
	struct vsp_channel *ch;
	uint32_t count;
	int error;
	struct gmem_run runs[DM_RANGES_MAX];
};

struct dynmem_map {
	struct blocking_call call;
	struct vsp_channel *ch;
	uint64_t size; /* to be mapped afterwards, of what is added */
	int error;
};

struct dynmem_tidy {
	struct blocking_call call;
	struct vsp_channel *ch;
	bool clear;
};

static inline struct dynmem_device *dynmem_device_of(const struct dynmem_channel *c)
{
	return vsp_device_priv(vsp_channel_device(c->ch));
}

/* dynmem.c: the I/O thread. */
void dynmem_channel_view(struct dynmem_channel *c, struct dynmem_view *v);

/* channel.c */
int dynmem_packet(struct vsp_channel *ch, const struct vmbus_pkt *pkt);

/* steps.c. The functions of the I/O thread. */
/* Does what is due, if the guest can be asked now. */
void dynmem_step(struct dynmem_channel *c);
/* The request in c->request, of this size, which leads to this state. */
void dynmem_ask(struct dynmem_channel *c, enum dynmem_state next, uint16_t type, uint32_t size);
void dynmem_add_request(struct dynmem_channel *c, int error, uint64_t bytes);
int dynmem_add_answered(struct dynmem_channel *c, const struct dm_hot_add_response *r);
/* The guest has answered, and is asked for more, if something is due. */
void dynmem_done(struct dynmem_channel *c);

uint64_t dynmem_retry_ns(const struct dynmem_channel *c);

/* transfer.c */
/* An answer with `count` ranges. 0; -EAGAIN: later; -EPROTO: a range is wrong, none is used. */
int dynmem_take_ranges(struct dynmem_channel *c, const uint64_t *ranges, uint32_t count, bool last);
/* Maps what is to be added; then dynmem_add_request(). */
void dynmem_map(struct dynmem_channel *c, uint64_t bytes);
/* Does what is left of what the guest had, unless there is nothing or it is being done; then
 * dynmem_step(). */
void dynmem_tidy(struct dynmem_channel *c);

#endif
