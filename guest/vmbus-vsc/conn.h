/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * The guest's half of VMBus' channel messages, without any operating system: what to post, and what
 * an answer may change. Compiled by vmbus_vsc.ko, by unit tests and by the fuzzer.
 *
 *   connection  IDLE -> CONTACTING (newest version first, again when the host refuses one)
 *               -> CONNECTED -> UNLOADING -> IDLE; FAILED when there is no common version
 *   channel     CLOSED -> OPENING -> OPEN -> CLOSED; `rescinded` on top of each, for ever
 *   GPADL       NONE -> CREATING -> CREATED -> DESTROYING -> NONE; CREATING -> NONE on a refusal
 *
 * The host is not trusted. A message is checked from a private copy; one that fits no request in
 * flight, or no channel, changes nothing and is counted. A relid stays taken from its offer until
 * it is released, so a second offer of it is ignored. What the host can make this code hold is
 * bounded by the number of relids.
 *
 * Functions are called one at a time. They never wait: an answer arrives by conn_message(), and
 * ops->changed() is called. 0 or -errno; no allocation, lock, log or sleep.
 */
#ifndef CONN_H
#define CONN_H

#include "hv/hv_reg.h"
#include "hv/vmbus_msgs.h"

#ifdef __KERNEL__
#include <linux/errno.h>
#include <linux/types.h>
#else
#include <errno.h>
#include <stdbool.h>
#endif

struct conn;

/* ---- channels and memory ------------------------------------------------- */

enum conn_channel_state {
	CONN_CHANNEL_CLOSED,
	CONN_CHANNEL_OPENING,
	CONN_CHANNEL_OPEN,
};

/* An offered channel. The owner allocates it in offered(), around this struct, and frees it after
 * conn_release() or conn_forget_all(). Fields are read by the owner only. */
struct conn_channel {
	struct vmbus_offer offer;     /* a private copy */
	struct conn_channel *primary; /* of a sub-channel; NULL: is a primary channel */
	enum conn_channel_state state;
	bool rescinded;
	bool retargeting;
	uint32_t open_id;
	uint32_t status; /* VMBUS_STATUS_* of the last open or retarget */
};

enum conn_gpadl_state {
	CONN_GPADL_NONE,
	CONN_GPADL_CREATING,
	CONN_GPADL_CREATED,
	CONN_GPADL_DESTROYING,
};

/* Memory that the host may use. The owner's, zeroed at first, and in place while the state is not
 * NONE: in between it is in a list of the connection. */
struct conn_gpadl {
	struct conn_gpadl *next;
	uint32_t id;
	uint32_t relid;
	uint32_t status; /* VMBUS_STATUS_* of the creation */
	enum conn_gpadl_state state;
};

/* The pages of a GPADL: one range of whole pages, not more than a message can say. */
#define CONN_GPADL_PAGES_MAX 8190u
struct conn_pages {
	uint32_t count;
	uint64_t (*pfn)(const void *ctx, uint32_t index);
	const void *ctx;
};

/* ---- the owner's side ---------------------------------------------------- */

struct conn_ops {
	/* Post a message. -ENXIO: the host knows no such connection id. */
	int (*post)(void *ctx, uint32_t connection_id, const void *msg, uint32_t len);
	/* The host offers a device, or a sub-channel of `primary`. NULL: not wanted, or no memory;
	 * it is then released as soon as the host rescinds it. */
	struct conn_channel *(*offered)(
		void *ctx, const struct vmbus_offer *offer, struct conn_channel *primary);
	/* Once for each channel: it will answer nothing more. Ends with conn_release(), later. */
	void (*rescinded)(void *ctx, struct conn_channel *chan);
	/* What conn_* functions return or a struct says may have changed: wake who waits. */
	void (*changed)(void *ctx);
};

enum conn_state {
	CONN_IDLE,
	CONN_CONTACTING,
	CONN_CONNECTED,
	CONN_UNLOADING,
	CONN_FAILED,
};

/* What the host is to know of this guest. */
struct conn_contact {
	uint32_t newest;         /* VMBUS_VERSION_* to start with */
	uint32_t target_vp;      /* gets the host's messages */
	uint64_t interrupt_page; /* GPAs of pages, for versions that use them */
	uint64_t monitor_page_h2g;
	uint64_t monitor_page_g2h;
};

struct conn_counts {
	uint64_t messages; /* from the host */
	uint64_t invalid;  /* malformed, or of the wrong direction or version */
	uint64_t stray;    /* answers that nothing waits for, relids that are not there */
	uint64_t refused;  /* offers that break a rule */
};

struct conn {
	const struct conn_ops *ops;
	void *ctx;
	struct conn_contact contact;
	enum conn_state state;
	uint32_t version; /* offered last; agreed in CONNECTED */
	uint32_t version_index;
	uint32_t message_id; /* connection id for messages */
	bool offers_delivered;
	uint32_t next_open, next_gpadl;
	struct conn_gpadl *gpadls;
	struct conn_counts counts;
	struct conn_channel refused; /* in the table for relids that the owner did not want */
	struct conn_channel *channels[VMBUS_RELID_MAX + 1]; /* by relid */
};

void conn_init(struct conn *conn, const struct conn_ops *ops, void *ctx);

/* A message of the host; `len` bytes, any alignment, private. */
void conn_message(struct conn *conn, const void *msg, uint32_t len);

/* ---- the connection ------------------------------------------------------ */

/* From IDLE or FAILED. The answer is in conn->state. -EINVAL: no such version. */
int conn_connect(struct conn *conn, const struct conn_contact *contact);
/* When connected: offers begin to come. conn->offers_delivered: those of the beginning are here. */
int conn_request_offers(struct conn *conn);
/* All channels and GPADLs end with the answer, when the state is IDLE. Also after the contact went
 * unanswered. */
int conn_unload(struct conn *conn);
/* The connection is gone, in whatever state it was: no channel or GPADL is in a list any more. */
void conn_forget_all(struct conn *conn);

/* ---- channels ------------------------------------------------------------ */

struct conn_open {
	uint32_t gpadl; /* of the rings */
	uint32_t target_vp;
	uint32_t downstream_page; /* first page of the ring from the host */
};

/* From CLOSED. The state becomes OPEN, or CLOSED with a status. -ENODEV: rescinded. */
int conn_open(struct conn *conn, struct conn_channel *chan, const struct conn_open *open);
/* Has no answer; destroying the rings' GPADL has. */
int conn_close(struct conn *conn, struct conn_channel *chan);
/* Interrupts of an open channel to another VP. 1: done; 0: when chan->retargeting is false, with a
 * status. -EOPNOTSUPP: not in this version. -EBUSY: one is under way. */
int conn_retarget(struct conn *conn, struct conn_channel *chan, uint32_t target_vp);
/* The owner is done with a closed channel and frees it. If the host has not rescinded it yet, the
 * relid stays taken until it does. */
void conn_release(struct conn *conn, struct conn_channel *chan);

static inline bool conn_channel_gone(const struct conn_channel *chan)
{
	return chan->rescinded || (chan->primary && chan->primary->rescinded);
}

/* ---- memory -------------------------------------------------------------- */

/* From NONE. The state becomes CREATED, or NONE with a status. -E2BIG: too many pages. */
int conn_gpadl_create(struct conn *conn, const struct conn_channel *chan, struct conn_gpadl *gpadl,
	const struct conn_pages *pages);
/* From CREATED. The state becomes NONE. */
int conn_gpadl_destroy(struct conn *conn, struct conn_gpadl *gpadl);
/* The owner does not wait for an answer any more. State is NONE afterwards. */
void conn_gpadl_forget(struct conn *conn, struct conn_gpadl *gpadl);

#endif
