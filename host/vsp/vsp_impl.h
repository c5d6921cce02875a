/* SPDX-License-Identifier: MIT */
/* Shared by vsp.c and vsp_call.c only. */
#ifndef VSP_IMPL_H
#define VSP_IMPL_H

#include <assert.h>

#include "vsp/pool.h"
#include "vsp/vsp.h"

#define ON_CONTROL(dev)  ON_LOOP((dev)->host->control)
#define ON_IO_THREAD(ch) ON_LOOP((ch)->io_thread)

enum channel_state {
	CHANNEL_OPENING,
	CHANNEL_OPEN,
	CHANNEL_CLOSING,
};

/* One offer: the primary channel's is in the device, those of sub-channels come and go. */
struct vsp_offer {
	struct vsp_device *dev;
	struct bus_channel *bus_chan; /* NULL: not offered */
	struct vsp_channel *ch;       /* NULL: not open */
	struct list link;             /* vsp_device.subs */
};

struct vsp_device {
	struct vsp_host *host;
	const struct vsp_ops *ops;
	struct hv_guid instance_id;
	/* control thread */
	struct vsp_offer offer;
	struct list subs;
	struct loop_timer reoffer;
	uint64_t faults;
	void (*removed)(void *ctx); /* not NULL: vsp_device_remove() was called */
	void *removed_ctx;
	/* the VSP's */
	_Alignas(16) uint8_t priv[];
};

struct vsp_channel {
	/* fixed while open */
	struct vsp_device *dev;
	struct vsp_offer *offer;
	struct loop *io_thread;
	uint16_t index;
	struct gpadl *ring;
	void GUEST_SHARED *view; /* of the ring's pages */
	uint32_t pages;
	bool mapped;
	/* control thread */
	enum channel_state state;
	uint32_t calls;                       /* of the VSP, not yet done */
	void (*gone)(struct vsp_channel *ch); /* not NULL: waits for these */
	/* travelling; whoever runs the task owns the fields behind it */
	struct loop_task open_task;
	int open_result;
	struct loop_task close_task;
	struct loop_task retarget_task;
	uint32_t retarget_vp;
	struct loop_task fault_task;
	struct loop_task subs_task;
	uint16_t subs_count;
	/* I/O thread */
	struct chan chan;
	struct pool pool;
	/* the VSP's */
	_Alignas(16) uint8_t priv[];
};

static inline void vsp_post(
	struct loop *loop, struct loop_task *task, void (*fn)(struct loop_task *task))
{
	task->fn = fn;
	loop_post(loop, task);
}

/* vsp_call.c. ON_CONTROL: gone(ch), now or when the last call is done; it frees ch. */
void vsp_channel_let_go(struct vsp_channel *ch, void (*gone)(struct vsp_channel *ch));

#endif
