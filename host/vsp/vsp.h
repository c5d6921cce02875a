/* SPDX-License-Identifier: MIT */
/*
 * A VSP (virtual service provider) is a const vtable; the core here does what
 * all of them need: offers, ring mapping, doorbells, I/O threads, request pools,
 * sub-channels, the close handshake. The table of VSPs is in table.c.
 *
 * To add one: copy host/vsp/null, fill the ops, add a line to the table. What
 * happens in which order is written down at the top of vsp.c.
 *
 * Threads: device functions on the control thread; channel functions on the
 * channel's I/O thread. A channel belongs to exactly one I/O thread while it is open.
 */
#ifndef VSP_VSP_H
#define VSP_VSP_H

#include "base/err.h"
#include "base/gmem.h"
#include "base/loop.h"
#include "vmbus-host/bus.h"
#include "vmbus-host/chan.h"

struct vsp_device;
struct vsp_channel;

struct vsp_ops {
	const char *name;
	struct hv_guid class_id;
	uint16_t offer_flags; /* VMBUS_OFFER_* */
	size_t device_size;   /* private memory per device, zeroed: vsp_device_priv() */
	size_t channel_size;  /* private memory per open channel, zeroed: vsp_channel_priv() */
	uint32_t packet_max;  /* longest guest packet, descriptor included */

	/* ON_CONTROL. config: the VSP's own type. */
	int (*create)(struct vsp_device *dev, const void *config, struct err *e);
	void (*destroy)(struct vsp_device *dev);
	/* ON_CONTROL: bytes of one request for channels opened from now on (it may depend on the
	 * device's back ends) and how many a channel has. NULL: none. */
	size_t (*request_size)(struct vsp_device *dev, uint32_t *count);

	/* ON_CONTROL, optional: the channel is about to be opened, nobody else has it yet. */
	void (*prepare)(struct vsp_channel *ch);
	/* ON_IO_THREAD. The channel is open after 0; then what was sent meanwhile reaches the
	 * guest. Else close is not called: undo what was done. */
	int (*open)(struct vsp_channel *ch);
	/* ON_IO_THREAD: packet() is not called any more, and what does not fit into the ring is
	 * dropped. Call vsp_channel_closed() when nothing is in flight (at once or later). */
	void (*close)(struct vsp_channel *ch);
	/* ON_IO_THREAD: see chan_ops.packet. */
	int (*packet)(struct vsp_channel *ch, const struct vmbus_pkt *pkt);
};

/* Machine services, one per partition; given by host/main.c. */
struct vsp_host {
	const struct gmem *gmem;
	struct bus *bus;
	struct loop *control;
	struct loop **io_threads;
	uint32_t io_thread_count;
	uint32_t vp_count;
	struct chan_irq irq;
	/* ON_CONTROL: guest signals on connection_id reach the eventfd from now on. */
	int (*doorbell_add)(void *ctx, uint32_t connection_id, int eventfd);
	void (*doorbell_del)(void *ctx, uint32_t connection_id, int eventfd);
	void *doorbell_ctx;
};

/* ---- for host/main.c and host/mgmt (ON_CONTROL) -------------------------- */
int vsp_device_create(struct vsp_device **dev, struct vsp_host *host, const struct vsp_ops *ops,
	const struct hv_guid *instance_id, const void *config, struct err *e);
/* Hot remove: rescinds the offer. removed(ctx) when the guest has let go of it or its connection
 * has ended (bus_shutdown() too, before its own callback), possibly before this returns. Once, and
 * not after bus_shutdown(). */
void vsp_device_remove(struct vsp_device *dev, void (*removed)(void *ctx), void *ctx);
/* After bus_shutdown(), or after (or in) vsp_device_remove()'s callback. */
void vsp_device_destroy(struct vsp_device *dev);
/* A snapshot of one open channel, taken on its I/O thread. */
struct vsp_channel_stats {
	uint16_t index; /* 0 primary */
	uint32_t relid;
	uint32_t target_vp;
	uint32_t requests_in_use;
	struct chan_counters counters;
	struct chan_rings rings;
};
/* Calls fn for each open channel, primary first. Waits for each channel's I/O thread in turn. */
void vsp_device_for_each_channel(struct vsp_device *dev,
	void (*fn)(void *ctx, const struct vsp_channel_stats *stats), void *ctx);
/* Channels faulted by the guest. Each costs the guest the device for VSP_REOFFER_NS. */
uint64_t vsp_device_faults(const struct vsp_device *dev);

#define VSP_REOFFER_NS 1000000000ull

/* ---- for VSPs ------------------------------------------------------------ */
void *vsp_device_priv(struct vsp_device *dev);
struct vsp_host *vsp_device_host(struct vsp_device *dev);
const struct hv_guid *vsp_device_instance(const struct vsp_device *dev);
/* ON_CONTROL: the open primary channel, or NULL. */
struct vsp_channel *vsp_device_primary(struct vsp_device *dev);

/* ON_CONTROL: every channel there is, also one that opens or closes; the primary first. */
void vsp_device_each_channel(
	struct vsp_device *dev, void (*fn)(void *ctx, struct vsp_channel *ch), void *ctx);

/* Work of the control thread on a channel's I/O thread, and the answer; one at a time. */
struct vsp_call {
	struct vsp_channel *ch;
	struct loop_task task;
	void (*run)(struct vsp_call *call);
	void (*done)(struct vsp_call *call);
};
/* ON_CONTROL, for a channel of vsp_device_each_channel(). run(call) on its I/O thread, in order
 * with its open and close: it may run when the channel is closed already, or could not be opened.
 * It answers with vsp_call_done(), now or later. Then done(call) on the control thread. The channel
 * is not gone before all its calls are done, and its device not before the channel. */
void vsp_channel_call(struct vsp_channel *ch, struct vsp_call *call,
	void (*run)(struct vsp_call *call), void (*done)(struct vsp_call *call));
/* ON_IO_THREAD. */
void vsp_call_done(struct vsp_call *call);

void *vsp_channel_priv(struct vsp_channel *ch);
struct vsp_device *vsp_channel_device(struct vsp_channel *ch);
struct chan *vsp_channel_chan(struct vsp_channel *ch);
uint16_t vsp_channel_index(const struct vsp_channel *ch); /* 0 primary */
const struct gmem *vsp_channel_gmem(const struct vsp_channel *ch);

/* ON_IO_THREAD: a request of request_size bytes from the channel's pool (contents as last left), or
 * NULL: return -EAGAIN from packet(); putting one back resumes the channel. */
void *vsp_request_get(struct vsp_channel *ch);
void vsp_request_put(struct vsp_channel *ch, void *request);
uint32_t vsp_requests_in_use(const struct vsp_channel *ch);

/* ON_IO_THREAD of the primary: offers sub-channels 1..count (the control thread does it soon). Once
 * per open. */
void vsp_offer_subchannels(struct vsp_channel *primary, uint16_t count);
/* ON_IO_THREAD: the answer to ops->close. All requests are back in the pool. ch may be used until
 * the caller returns to the loop. */
void vsp_channel_closed(struct vsp_channel *ch);

extern const struct vsp_ops *const vsp_table[]; /* NULL-terminated */

#endif
