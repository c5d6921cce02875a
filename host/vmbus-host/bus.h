/* SPDX-License-Identifier: MIT */
/*
 * The bus: a pure state machine. Guest messages go in (bus_message), actions
 * come out through two const vtables: the port (the SynIC below: message slots)
 * and the device (the VSP core above: open, close, retarget). It contains no KVM,
 * no thread and no wait; what takes time is started by a call of the device and
 * completed later by bus_*_done().
 *
 * Thread: control, all of it. Source: Linux drivers/hv; messages in hv/vmbus_msgs.h.
 * State machines are written down at the top of bus.c (the connection),
 * bus_channel.c (channels) and gpadl.c (GPADLs).
 *
 * Re-entry: device functions may call any function below and may complete at once
 * (bus_*_done() inside open, close, retarget). Nothing that a caller still uses is
 * freed before the outermost call returns.
 */
#ifndef VMBUS_HOST_BUS_H
#define VMBUS_HOST_BUS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/archive.h"
#include "base/budget.h"
#include "base/gmem.h"
#include "hv/vmbus_msgs.h"

struct bus;
struct bus_channel; /* one offer (primary or sub-channel) and its open state */
struct gpadl;
struct inspect;

/* Relids that sub-channels leave free. A guest decides when a sub-channel's relid is released, and
 * may never do it; a device has one for its primary, and finds one whatever the guest holds. Socket
 * connections are devices, too. */
#define BUS_RELIDS_PRIMARY 640u

/* What the bus needs of the partition. */
struct bus_port_ops {
	/* Queues one channel message (whole, header included) for VP `vp`, SINT `sint`, both
	 * checked. FIFO. 0, or -ENOMEM when the bounded queue is full (the bus then drops the
	 * connection). */
	int (*send)(void *ctx, uint32_t vp, uint32_t sint, const void *msg, uint32_t len);
	/* Drops messages queued and not yet in a slot, of all VPs and SINTs: a new connection
	 * starts clean, and its first message has room. Called at every INITIATE_CONTACT, UNLOAD
	 * and shutdown. */
	void (*flush)(void *ctx);
};

struct bus_config {
	const struct gmem *gmem;
	uint32_t vp_count;
	uint32_t max_version;     /* VMBUS_VERSION_*; newest offered to the guest */
	uint64_t gpadl_pages_max; /* quota over all live GPADLs; 8 bytes each, rings 16 more */
	struct budget *budget;    /* of the VM, for page lists; NULL: no limit */
	const struct bus_port_ops *port;
	void *port_ctx;
};

/* Parameters of an OPENCHANNEL the bus has checked: the ring GPADL exists, belongs to the
 * channel, has one page-aligned range, both rings have at least two pages, target_vp is a VP
 * or VMBUS_VP_NONE. Valid during the call; take a reference to keep the GPADL. */
struct bus_open_params {
	struct gpadl *ring;
	uint32_t downstream_page; /* first page of the host-to-guest ring */
	uint32_t target_vp;
	const uint8_t *user; /* VMBUS_OPEN_USER_SIZE bytes */
	/* NULL; or the guest opened it before it was saved, and the device reads here what
	 * archive_channel() wrote. */
	struct archive *restore;
};

/* What a device does for the bus. ctx is bus_offer's. */
struct bus_device_ops {
	/* Map rings, register the doorbell, then bus_open_done(). Always complete, also when the
	 * guest is gone meanwhile: the bus then closes the channel again. */
	void (*open)(struct bus_channel *chan, const struct bus_open_params *params);
	/* Stop using ring and guest memory, then bus_close_done(). Called once per successful open,
	 * never before bus_open_done() or bus_retarget_done(); for a primary only when all its
	 * sub-channels are closed. */
	void (*close)(struct bus_channel *chan);
	/* Move the interrupt to another VP, then bus_retarget_done(). */
	void (*retarget)(struct bus_channel *chan, uint32_t target_vp);
	/* Optional: the guest asks for a GPADL back that has references: put them soon. Once per
	 * GPADL; the ring of a channel that is not closed is one, too. */
	void (*teardown)(struct bus_channel *chan, struct gpadl *gpadl);
	/* After bus_rescind(): the guest has released the relid (or the connection ended) and the
	 * bus has dropped chan: free what belongs to it. Sub-channels too, when their primary
	 * closes or the guest releases them; always before their primary. chan is valid during the
	 * call, its last. Not called for offers that stand when the bus is destroyed. */
	void (*released)(struct bus_channel *chan);
	/* Saving: see bus_archive(). Required for it: */
	/* The device's state, either direction; of primaries, open or not. */
	void (*archive_device)(struct bus_channel *chan, struct archive *a);
	/* Writes the state of an open channel. */
	void (*archive_channel)(struct bus_channel *chan, struct archive *a);
	/* Creates sub-channel `index` by bus_restore_subchannel(). NULL: it cannot be. */
	struct bus_channel *(*restore_sub)(struct bus_channel *primary, uint16_t index);
};

struct bus_offer_params {
	struct hv_guid class_id;
	struct hv_guid instance_id;
	uint16_t flags;          /* VMBUS_OFFER_* */
	uint16_t mmio_megabytes; /* of address space that the guest finds for the device */
	bool monitored;          /* with a monitor id, sub-channels too, as long as there are ids */
	const uint8_t *user;     /* VMBUS_OFFER_USER_SIZE bytes, or NULL = zero */
};

/* -EINVAL: no VP or an unknown max_version. */
int bus_create(struct bus **bus, const struct bus_config *config);
/* All channels closed and all GPADL references put: bus_shutdown() first. */
void bus_destroy(struct bus *bus);

/* A message the guest posted (copied by the caller; len <= VMBUS_MESSAGE_SIZE_MAX). Bad
 * messages are counted and ignored or answered with a failure, never fatal. */
void bus_message(struct bus *bus, const void *msg, uint32_t len);

/* The guest wants a connection to a service of the host (TL_CONNECT_REQUEST). True: an offer with
 * class_id service and instance_id endpoint follows, or bus_refuse_connect(). False: refused. */
typedef bool bus_connect_fn(
	void *ctx, const struct hv_guid *endpoint, const struct hv_guid *service);
/* NULL, the default: all are refused. */
void bus_set_connect(struct bus *bus, bus_connect_fn *connect, void *ctx);
void bus_refuse_connect(
	struct bus *bus, const struct hv_guid *endpoint, const struct hv_guid *service);

/* Closes everything and drops the connection without a message (power off, reset);
 * done(ctx) when the last channel is closed, possibly before this returns; it may destroy the
 * bus. Once, and for good: later messages are ignored and nothing can be offered. */
void bus_shutdown(struct bus *bus, void (*done)(void *ctx), void *ctx);

/* Offers a device; at once when the guest has asked for offers (hot add), else at
 * REQUESTOFFERS. Its relid and connection id stay the same over all connections.
 * -EEXIST instance id in use (also while a rescinded one is not yet released), -ENOSPC relids (no
 * guest can cause that: BUS_RELIDS_PRIMARY), -ESHUTDOWN after bus_shutdown(). */
int bus_offer(struct bus *bus, const struct bus_offer_params *params,
	const struct bus_device_ops *ops, void *ctx, struct bus_channel **chan);
/* Offers sub-channel `index` (1..) of an open primary. -ENOTCONN primary not open, -EINVAL index
 * 0 or not a primary, -EEXIST index in use, -ENOSPC relids. */
int bus_offer_subchannel(
	struct bus_channel *primary, uint16_t index, void *ctx, struct bus_channel **chan);
/* Withdraws the offer: closes the channel (sub-channels first) if open, then RESCIND, then waits
 * for release. A channel the guest does not know is released before this returns (unless called
 * from a device function). Harmless when repeated while chan lives. */
void bus_rescind(struct bus_channel *chan);
/* The same for a guest that still waits for answers when it reads the RESCIND: an open channel is
 * served until the guest closes or releases it. bus_rescind() after this closes it at once. */
void bus_rescind_while_open(struct bus_channel *chan);

/* Completions: exactly one per call of the device's open, close, retarget. */
void bus_open_done(struct bus_channel *chan, bool ok);
void bus_close_done(struct bus_channel *chan);
void bus_retarget_done(struct bus_channel *chan, bool ok);

/* Saving (bus_save.c). The guest does not run. */
/* No call of a device is in progress and nothing is queued. */
bool bus_is_at_rest(const struct bus *bus);
/* Writes a bus at rest, or reads into one whose devices are offered and whose guest has never run.
 * Then channels that were open are opened by calls of their devices, which complete as ever. */
void bus_archive(struct bus *bus, struct archive *a);
/* For bus_device_ops.restore_sub. Errors as bus_offer_subchannel(). */
int bus_restore_subchannel(
	struct bus_channel *primary, uint16_t index, void *ctx, struct bus_channel **chan);

uint32_t bus_channel_relid(const struct bus_channel *chan);
uint32_t bus_channel_connection_id(const struct bus_channel *chan);
/* VMBUS_MONITOR_ID_NONE: the guest signals the channel by hypercall. */
uint8_t bus_channel_monitor_id(const struct bus_channel *chan);
uint16_t bus_channel_index(const struct bus_channel *chan); /* 0 primary */
void *bus_channel_ctx(const struct bus_channel *chan);
struct bus *bus_channel_bus(const struct bus_channel *chan);
const struct hv_guid *bus_channel_class(const struct bus_channel *chan);
const struct hv_guid *bus_channel_instance(const struct bus_channel *chan);
uint32_t bus_channel_target_vp(const struct bus_channel *chan); /* VMBUS_VP_NONE when not open */
const char *bus_channel_state_name(const struct bus_channel *chan);
/* In relid order, rescinded and not yet released ones too. fn must not change the bus. */
void bus_for_each_channel(
	struct bus *bus, void (*fn)(void *ctx, const struct bus_channel *chan), void *ctx);

/* GPADLs of a channel. find: NULL when unknown, not complete, or being torn down. A reference
 * keeps the page list and delays TORNDOWN, and the end of the connection, until it is put: hold it
 * as long as the pages are used. All references of a channel are put by bus_close_done(). */
struct gpadl *bus_gpadl_find(struct bus_channel *chan, uint32_t gpadl_id);
void gpadl_get(struct gpadl *gpadl);
void gpadl_put(struct gpadl *gpadl);
/* The guest's number for it. */
uint32_t gpadl_id(const struct gpadl *gpadl);
/* Page frame numbers of all ranges in order; all of them RAM. */
const uint64_t *gpadl_pfns(const struct gpadl *gpadl, uint32_t *count);
/* One range, page-aligned, of whole pages: what rings and shared buffers have to be. */
bool gpadl_is_whole_pages(const struct gpadl *gpadl);

struct bus_counters {
	uint64_t messages;       /* taken */
	uint64_t bad_messages;   /* short, unknown, or wrong for the state */
	uint64_t offers;         /* sent in this connection */
	uint64_t opens;          /* channels opened */
	uint64_t closes;         /* channels closed again */
	uint64_t gpadls_created; /* GPADLs complete and accepted */
	uint64_t gpadls_failed;  /* GPADLs answered with a failure */
	uint64_t contacts;       /* connections that were accepted */
	uint64_t resets;         /* INITIATE_CONTACT on a live connection */
	uint64_t dropped;        /* connections ended because the guest takes no messages */
};
uint32_t bus_version(const struct bus *bus); /* negotiated, 0 = not connected */
const struct bus_counters *bus_counters(const struct bus *bus);
/* GPADLs and their pages now alive. */
void bus_gpadl_usage(const struct bus *bus, uint32_t *count, uint64_t *pages);
/* Connection, counters, channels and their GPADLs. */
void bus_inspect(const struct bus *bus, struct inspect *i);
/* A GUID in its usual text form. */
void guid_inspect(const struct hv_guid *guid, struct inspect *i, const char *key);

#endif
