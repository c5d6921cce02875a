/* SPDX-License-Identifier: MIT */
/*
 * Devices as the VM sees them: create, remove, pause, inspect.
 * Thread: control, all of it.
 */
#ifndef VSP_VSP_DEVICE_H
#define VSP_VSP_DEVICE_H

#include "vmbus-host/bus.h"
#include "vmbus-host/chan.h"
#include "vsp/vsp.h"

/* What devices need of the VM. */
struct vsp_host_ops {
	/* Any thread: sets event flag `flag` for `vp`, and interrupts it if the flag was clear. */
	void (*interrupt)(void *ctx, uint32_t vp, uint32_t flag);
	/* ON_CONTROL: guest signals on connection_id reach the eventfd from now on. 0 or -errno. */
	int (*doorbell_add)(void *ctx, uint32_t connection_id, int eventfd);
	void (*doorbell_del)(void *ctx, uint32_t connection_id, int eventfd);
};

/* One per boot of a VM. */
struct vsp_host {
	const struct vsp_host_ops *ops;
	void *ctx;
	const struct gmem *gmem;
	struct budget *budget; /* of the VM; NULL: no limit */
	struct bus *bus;
	struct loop *control;
	struct loop **io_threads;
	uint32_t io_thread_count;
	uint32_t vp_count;
	bool restore_failed; /* a channel of an image could not be opened; ON_CONTROL */
};

/* 0, or -errno with *e set. */
int vsp_device_create(struct vsp_device **dev, struct vsp_host *host, const struct vsp_ops *ops,
	const struct hv_guid *instance_id, const void *config, struct err *e);
/* Hot remove: rescinds the offer. removed(ctx) when the guest has released it or its connection has
 * ended (bus_shutdown() too, before its own callback), possibly before this returns. Once, and not
 * after bus_shutdown(). */
void vsp_device_remove(struct vsp_device *dev, void (*removed)(void *ctx), void *ctx);
/* The same, but open channels are served until the guest closes them or releases the offer. */
void vsp_device_remove_while_open(struct vsp_device *dev, void (*removed)(void *ctx), void *ctx);
/* After the latter, while removed() has not run: closes the channels now. */
void vsp_device_remove_now(struct vsp_device *dev);
/* After bus_shutdown(), or after (or in) vsp_device_remove()'s callback. */
void vsp_device_destroy(struct vsp_device *dev);

/* Pauses all channels: no packet is taken, each request in flight completes and its answer is in
 * the ring (or queued for room), held-back interrupts go out. Nothing is cancelled or lost.
 * paused(ctx) when all are quiescent, possibly before this returns: from then on the device touches
 * no guest memory. A channel that is opened, closed, rescinded or retargeted meanwhile is handled;
 * close and removal work on a paused device. Not on a device that pauses or is paused. */
void vsp_device_pause(struct vsp_device *dev, void (*paused)(void *ctx), void *ctx);
/* Also before paused() came: then paused() is not called any more. Only after a pause. */
void vsp_device_resume(struct vsp_device *dev);

/* Class, instance, channels, and what the VSP adds. Waits for no other thread. */
void vsp_device_inspect(struct vsp_device *dev, struct inspect *i);

/* Channels faulted by the guest. Each costs the guest the device for VSP_REOFFER_NS. */
uint64_t vsp_device_faults(const struct vsp_device *dev);

#define VSP_REOFFER_NS 1000000000ull

#endif
