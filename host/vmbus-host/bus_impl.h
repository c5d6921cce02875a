/* SPDX-License-Identifier: MIT */
/*
 * Inside the bus: shared by bus.c (connection, messages), bus_channel.c
 * (channels) and gpadl.c (GPADLs). No other file includes this.
 */
#ifndef VMBUS_HOST_BUS_IMPL_H
#define VMBUS_HOST_BUS_IMPL_H

#include "base/list.h"
#include "vmbus-host/bus.h"

#define RING_PAGES_MIN 2u /* control page and data, each direction */

/* A guest may hold this many GPADLs, and be in the middle of creating this many. */
#define GPADLS_MAX          4096u
#define GPADLS_BUILDING_MAX 1024u
#define GPADL_BUCKETS_SHIFT 10
#define GPADL_BUCKETS       (1u << GPADL_BUCKETS_SHIFT)

/* ---- the connection (bus.c) ---------------------------------------------- */

enum bus_state {
	BUS_DISCONNECTED,
	BUS_CONNECTED,
	BUS_DISCONNECTING, /* waits for devices to close; then bus.then */
};

/* What follows when all devices have closed. */
enum bus_then {
	THEN_NOTHING,
	THEN_ANSWER_CONTACT,
	THEN_ANSWER_UNLOAD,
};

/* A checked INITIATE_CONTACT. */
struct contact {
	uint32_t version; /* 0: refused */
	uint8_t failure;  /* VMBUS_CONNECTION_*: understood, but not possible */
	uint32_t vp;      /* where the answer, and all later messages, go */
	uint32_t sint;    /* where the answer goes */
};

struct bus {
	struct bus_config config;

	/* connection */
	enum bus_state state;
	enum bus_then then;
	struct contact contact; /* THEN_ANSWER_CONTACT */
	uint32_t version;       /* 0 unless connected */
	uint32_t message_vp;
	bool offers_requested;
	bool send_failed; /* drop the connection as soon as the stack is unwound */
	bool shut;
	void (*shutdown_done)(void *ctx);
	void *shutdown_ctx;
	bus_connect_fn *connect; /* NULL: guests cannot connect to services */
	void *connect_ctx;

	/* re-entry: see bus_enter() */
	uint32_t depth;
	struct list work; /* channels to advance, bus_channel.work */

	/* channels */
	struct list primaries; /* sorted by class, then instance: the order of offers */
	bool monitor_ids[VMBUS_MONITOR_IDS]; /* in use */
	struct bus_channel *relids[VMBUS_RELID_MAX + 1];
	uint32_t relid_count; /* in use */

	/* GPADLs */
	struct list gpadl_buckets[GPADL_BUCKETS];
	uint64_t gpadl_seed; /* keeps guests, who choose ids, from choosing buckets */
	uint32_t gpadl_count;
	uint32_t gpadls_building;
	uint64_t gpadl_pages;
	uint64_t gpadl_users; /* references over all GPADLs, also those of channels not closed */

	struct bus_counters counters;
};

/* Every public function that changes state runs between these two. The outermost bus_leave() does
 * the pending work and may end with the shutdown callback, which may destroy the bus: nothing may
 * follow it. */
void bus_enter(struct bus *bus);
void bus_leave(struct bus *bus);

/* Counts a message that is wrong for the state; no answer is sent. */
void bus_bad(struct bus *bus, const char *what);

/* Sends to the guest; nothing when it is not connected. msg begins with struct vmbus_msg_header,
 * which is filled here. */
void bus_send(struct bus *bus, uint32_t type, void *msg, uint32_t len);

bool bus_version_is_known(uint32_t version);

/* ---- channels (bus_channel.c) -------------------------------------------- */

/* The device's view. */
enum bus_channel_state {
	BUS_CHANNEL_CLOSED,
	BUS_CHANNEL_OPENING, /* device->open called */
	BUS_CHANNEL_OPEN,
	BUS_CHANNEL_RETARGETING, /* open, device->retarget called */
	BUS_CHANNEL_CLOSING,     /* device->close called */
};

/* The guest's view. */
enum channel_offer {
	OFFER_HIDDEN, /* not offered in this connection, or released by the guest */
	OFFER_MADE,
	OFFER_RESCINDED, /* RESCIND sent, not released */
};

struct bus_channel {
	struct bus *bus;
	struct bus_channel *primary; /* NULL: it is one */
	const struct bus_device_ops *ops;
	void *ctx;
	struct list link; /* bus.primaries or primary->subs */
	struct list work; /* bus.work while it has to be advanced */

	/* the offer */
	struct hv_guid class_id, instance_id;
	uint16_t flags;
	uint16_t index;
	bool monitored;
	uint8_t monitor_id; /* VMBUS_MONITOR_ID_NONE: none */
	uint32_t relid;
	uint16_t mmio_megabytes;
	uint8_t user[VMBUS_OFFER_USER_SIZE];

	/* states */
	enum bus_channel_state state;
	enum channel_offer offer;
	bool close_wanted;   /* only while not closed */
	bool rescind_wanted; /* the offer ends; never taken back */
	bool restoring;      /* OPENING: the guest opened it before it was saved */

	/* primaries only */
	struct list subs;
	uint32_t subs_busy; /* sub-channels the device has not closed */

	/* the open */
	struct vmbus_open open; /* waits while open_queued */
	bool open_queued;
	uint32_t open_id;   /* of the OPENCHANNEL the device works on */
	struct gpadl *ring; /* referenced while not closed */
	uint32_t target_vp;
	uint32_t retarget_vp;   /* of the call in progress */
	uint32_t retarget_next; /* waits for the completion of the one before */
	bool retarget_queued;

	struct list gpadls;
};

/* The channel with this relid, or NULL when the guest does not know it. */
struct bus_channel *channel_by_relid(struct bus *bus, uint32_t relid);
void channel_send_offer(struct bus_channel *chan);
/* Carries out the pending requests of chan, as far as its states allow. */
void channel_advance(struct bus_channel *chan);
/* The connection ends: closes chan and its sub-channels. */
void channel_disconnect(struct bus_channel *primary);
/* The connection has ended: nothing of it stays with chan; sub-channels go away. */
void channel_forget(struct bus_channel *primary);
/* For bus_destroy(): frees without a call of the device. */
void channel_free(struct bus_channel *chan);

/* bus_channel_info.c */
const char *channel_state_name(enum bus_channel_state state);
/* For bus_save.c: a relid, and a monitor id where the device has one. Cannot fail for primaries. */
void channel_choose_ids(struct bus_channel *chan);
/* Opens a channel of an image with chan->open; the device reads from the archive. */
void channel_reopen(struct bus_channel *chan, struct archive *a);

void channel_on_open(struct bus *bus, const void *msg, uint32_t len);
void channel_on_close(struct bus *bus, const void *msg, uint32_t len);
void channel_on_modify(struct bus *bus, const void *msg, uint32_t len);
void channel_on_released(struct bus *bus, const void *msg, uint32_t len);

/* ---- GPADLs (gpadl.c) ---------------------------------------------------- */

int gpadl_table_init(struct bus *bus);
/* The relid is released or the connection over: drops all, torn down or not. */
void gpadl_drop_all(struct bus_channel *chan);
/* The channel is rescinded: those not complete never will be. */
void gpadl_fail_building(struct bus_channel *chan);

/* Either direction. */
void gpadls_archive(struct bus_channel *chan, struct archive *a);

void gpadls_inspect(const struct bus_channel *chan, struct inspect *i);

void gpadl_on_header(struct bus *bus, const void *msg, uint32_t len);
void gpadl_on_body(struct bus *bus, const void *msg, uint32_t len);
void gpadl_on_teardown(struct bus *bus, const void *msg, uint32_t len);

#endif
