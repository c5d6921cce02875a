/* SPDX-License-Identifier: MIT */
/* Inside the core: shared by vsp_{device,channel}.c, pause.c, request.c, call.c and gpadl.c. */
#ifndef VSP_IMPL_H
#define VSP_IMPL_H

#include <assert.h>

#include "vsp/pool.h"
#include "vsp/vsp_device.h"

#define ON_CONTROL(dev)  ON_LOOP((dev)->host->control)
#define ON_IO_THREAD(ch) ON_LOOP((ch)->io_thread)

/* The control thread's view: vsp_channel.c. */
enum vsp_channel_state {
	VSP_CHANNEL_OPENING,
	VSP_CHANNEL_OPEN,
	VSP_CHANNEL_CLOSING,
};

/* The control thread's view, while VSP_CHANNEL_OPEN: pause.c. */
enum vsp_pause_state {
	VSP_RUNNING,
	VSP_PAUSING,
	VSP_PAUSED,
	VSP_RESUMING,
};

/* The I/O thread's view: vsp_channel.c. */
enum vsp_stage {
	VSP_STAGE_RUNNING,
	VSP_STAGE_DRAINING, /* ops->stop was called */
	VSP_STAGE_CLOSED,   /* ops->close was called */
	VSP_STAGE_STOPPED,
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
	bool reoffer_waits; /* the timer has expired while the device was paused */
	uint64_t faults;
	void (*removed)(void *ctx); /* not NULL: vsp_device_remove() was called */
	void *removed_ctx;
	bool pause_wanted;
	void (*paused)(void *ctx); /* not NULL: to be called when all channels are quiescent */
	void *paused_ctx;
	/* the VSP's */
	_Alignas(16) uint8_t priv[];
};

/* Both rings of a channel, while it has a reference on their GPADL: ring.c. */
struct vsp_rings {
	struct gpadl *gpadl;
	struct vmbus_run *runs; /* of both, owned */
	uint32_t pages;         /* for which budget was taken */
	struct budget *budget;
	struct chan_ring g2h, h2g;
};

struct vsp_pool {
	struct pool pool;
	bool with_guest;
};

struct vsp_channel {
	/* fixed while open */
	struct vsp_device *dev;
	struct vsp_offer *offer;
	struct loop *io_thread;
	uint32_t relid;
	uint16_t index;
	struct vsp_rings rings;

	/* control thread */
	enum vsp_channel_state state;
	enum vsp_pause_state pause;
	bool start_waits;                     /* for the end of a pause */
	bool restored;                        /* from an image; constant */
	uint32_t calls;                       /* vsp_channel_call(), not yet done */
	struct list gpadls;                   /* vsp_gpadl.link */
	void (*gone)(struct vsp_channel *ch); /* not NULL: waits for calls and gpadls */

	/* posted; the thread that runs the task owns the fields behind it */
	struct loop_task open_task;
	int open_result;
	struct loop_task close_task;
	struct loop_task retarget_task;
	uint32_t retarget_vp;
	struct loop_task fault_task;
	struct loop_task subs_task;
	uint16_t subs_count;
	struct loop_task pause_task;
	struct loop_task resume_task;

	/* I/O thread */
	struct chan chan;
	struct vsp_pool pools[VSP_REQUEST_CLASSES_MAX];
	uint32_t in_use;  /* requests of all classes; any thread with counter_get() */
	uint32_t working; /* of these, those pausing waits for */
	uint32_t holds;
	enum vsp_stage stage;
	bool pausing; /* pause_task is here, to be returned when `working` is 0 */
	bool drain_posted;
	struct loop_task drain_task;

	/* the VSP's */
	_Alignas(16) uint8_t priv[];
};

static inline void vsp_post(
	struct loop *loop, struct loop_task *task, void (*fn)(struct loop_task *task))
{
	task->fn = fn;
	loop_post(loop, task);
}

/* ---- vsp_device.c (ON_CONTROL) ------------------------------------------- */

/* Offers the sub-channels the primary has asked for. */
void vsp_device_subs_offer(struct vsp_channel *primary);
/* The reoffer timer has expired, or the pause it waited for is over. */
void vsp_device_reoffer(struct vsp_device *dev);

/* ---- vsp_channel.c ------------------------------------------------------- */

/* ON_CONTROL: the bus calls these; device->open, close, retarget. */
void vsp_channel_open(struct bus_channel *bus_chan, const struct bus_open_params *params);
void vsp_channel_close(struct bus_channel *bus_chan);
void vsp_channel_retarget(struct bus_channel *bus_chan, uint32_t target_vp);
/* ON_CONTROL: open, and not paused: the guest's packets are taken from now on. */
void vsp_channel_start(struct vsp_channel *ch);
/* ON_CONTROL: a call or a GPADL of the channel is gone; frees the channel if it waits for that. */
void vsp_channel_check_gone(struct vsp_channel *ch);
/* ON_IO_THREAD: a request or a hold is gone; goes on closing if the channel waits for that. */
void vsp_channel_check_drained(struct vsp_channel *ch);

/* ---- pause.c ------------------------------------------------------------- */

/* ON_CONTROL: the channel is open now, in a device that is to pause. */
void vsp_channel_pause(struct vsp_channel *ch);
/* ON_CONTROL: a channel is quiescent or gone. */
void vsp_device_check_paused(struct vsp_device *dev);
/* ON_IO_THREAD: `working` has become 0. */
void vsp_channel_check_quiescent(struct vsp_channel *ch);

/* ---- save.c (ON_CONTROL) ------------------------------------------------- */

/* Either direction. */
void vsp_channel_archive(struct vsp_channel *ch, struct archive *a);
/* device->archive_device, archive_channel, restore_sub. */
void vsp_bus_archive_device(struct bus_channel *bus_chan, struct archive *a);
void vsp_bus_archive_channel(struct bus_channel *bus_chan, struct archive *a);
struct bus_channel *vsp_bus_restore_sub(struct bus_channel *primary, uint16_t index);

/* ---- request.c ----------------------------------------------------------- */

/* ON_CONTROL. 0 or -ENOMEM. */
int vsp_pools_init(struct vsp_channel *ch);
void vsp_pools_fini(struct vsp_channel *ch);
/* chan_ops.sent. */
void vsp_packet_sent(struct chan *chan, struct chan_out *out);

/* ---- ring.c -------------------------------------------------------------- */

/* ON_CONTROL. With a reference on the GPADL. 0, or -E2BIG, -ENOMEM. */
int vsp_rings_get(
	struct vsp_rings *rings, const struct vsp_host *host, const struct bus_open_params *params);
void vsp_rings_put(struct vsp_rings *rings);

/* ---- gpadl.c ------------------------------------------------------------- */

/* ON_CONTROL: device->teardown. */
void vsp_gpadl_teardown(struct bus_channel *bus_chan, struct gpadl *gpadl);
/* ON_CONTROL: asserts that the VSP has put all its references. */
void vsp_gpadls_check_put(const struct vsp_channel *ch);

#endif
