/* SPDX-License-Identifier: MIT */
/*
 * A VSP (virtual service provider) is the host side of a class of devices: a
 * const vtable. The core does what all VSPs need: offers, rings, doorbells,
 * interrupts, I/O threads, request pools, sub-channels, draining, pause.
 *
 * To add one: a file like this; a row in host/vm/devices.c offers it to guests. host/vsp/null uses
 * every function of this header.
 *
 *   static int hello_open(struct vsp_channel *ch)
 *   {
 *           struct vsp_out *out = vsp_channel_priv(ch);
 *
 *           out->packet = (struct chan_out){.type = VMBUS_PKT_INBAND, .payload = {"hello", 5}};
 *           vsp_send(ch, out);
 *           return 0;
 *   }
 *   static int hello_packet(struct vsp_channel *ch, const struct vmbus_pkt *pkt)
 *   {
 *           return 0;
 *   }
 *   const struct vsp_ops hello_ops = {
 *           .name = "hello",
 *           .class_id = HV_GUID(0x6e756c6c, 0x0ec4, 0x4f0e, 0x9c, 0x12, 1, 2, 3, 4, 5, 6),
 *           .channel_size = sizeof(struct vsp_out),
 *           .packet_max = 256,
 *           .open = hello_open,
 *           .packet = hello_packet,
 *   };
 *
 * Threads: device functions run on the control thread (ON_CONTROL), channel
 * functions on the channel's I/O thread (ON_IO_THREAD). A channel belongs to
 * exactly one I/O thread while it is open. The order of calls is drawn at the top
 * of vsp_channel.c (life) and pause.c.
 */
#ifndef VSP_VSP_H
#define VSP_VSP_H

#include <sys/uio.h>

#include "base/archive.h"
#include "base/budget.h"
#include "base/err.h"
#include "base/gmem.h"
#include "base/loop.h"
#include "hv/vmbus_msgs.h"
#include "vmbus-host/chan_out.h"

struct vsp_device;
struct vsp_channel;
struct vsp_gpadl;
struct inspect;

/* ---- what a VSP is ------------------------------------------------------- */

/* When packets that were sent interrupt the guest. At most once per loop turn in each case, and
 * only when the guest's ring was empty and it has not masked interrupts. */
enum vsp_interrupts {
	/* For answers (completions): while the guest goes on sending and the I/O thread polls, the
	 * interrupt waits until enough is answered (vmbus-host/moderation.h). For other packets,
	 * which the guest does not expect: at the end of the turn, with the answers there are. */
	VSP_INTERRUPTS_MODERATED,
	/* The same for a guest that does not wait for the answers, unless they are many: frames. */
	VSP_INTERRUPTS_PATIENT,
	/* At the end of the turn, and the ring is not polled: channels that carry a packet now and
	 * then. */
	VSP_INTERRUPTS_PLAIN,
};

#define VSP_REQUEST_CLASSES_MAX 5u

/* A pool of equal requests. Each open channel has one pool per class. It begins with POOL_FIRST
 * requests and grows up to `count` while the VM's budget lasts. */
struct vsp_request_class {
	size_t size;     /* bytes of one request; 0: the class is empty */
	uint32_t count;  /* requests */
	bool with_guest; /* in use until the guest answers, not until the host is done: pausing does
			  * not wait for these, and ops->stop puts them. packet() cannot wait
			  * for one: the guest's answer comes behind the packet */
};

/* An offer, as far as a class leaves it to its devices. */
struct vsp_offer_params {
	struct hv_guid class_id; /* the class's */
	uint16_t mmio_megabytes; /* of address space that the guest finds for the device */
	uint8_t user[VMBUS_OFFER_USER_SIZE];
};

#define VSP_SCAN_NS 100000ull

struct vsp_ops {
	const char *name;
	struct hv_guid class_id;
	uint16_t offer_flags; /* VMBUS_OFFER_* */
	enum vsp_interrupts interrupts;
	size_t device_size;       /* private memory per device, zeroed: vsp_device_priv() */
	size_t channel_size;      /* private memory per open channel, zeroed: vsp_channel_priv() */
	uint32_t packet_max;      /* longest guest packet in bytes, descriptor included */
	uint32_t request_classes; /* at most VSP_REQUEST_CLASSES_MAX */

	/* packet() is required; every other function is optional. */

	/* ON_CONTROL. config: the VSP's own type. 0 or -errno with *e set. */
	int (*create)(struct vsp_device *dev, const void *config, struct err *e);
	void (*destroy)(struct vsp_device *dev);
	/* ON_CONTROL: changes *params, in which all but class_id is zero. */
	void (*offer)(struct vsp_device *dev, struct vsp_offer_params *params);
	/* ON_CONTROL: fills *class for channels opened from now on; what is not set is 0. Required
	 * with request classes. */
	void (*request_class)(
		struct vsp_device *dev, uint32_t number, struct vsp_request_class *class);

	/* ON_CONTROL: the device is offered with a monitor id: the guest does not signal its
	 * channels, which are polled every VSP_SCAN_NS while they are open. */
	bool (*monitored)(struct vsp_device *dev);
	/* ON_CONTROL: the channel is about to be opened, no other thread has it yet. */
	void (*prepare)(struct vsp_channel *ch);
	/* ON_IO_THREAD. 0: the channel is open, and what was sent meanwhile reaches the guest. Else
	 * stop and close are not called: undo what was done; the guest's OPENCHANNEL fails. */
	int (*open)(struct vsp_channel *ch);
	/* ON_IO_THREAD. One packet in a private buffer that is reused after the call. 0: taken.
	 * -EAGAIN: no resources; the same packet comes again after vsp_request_put() or
	 * vsp_channel_resume(). Other: the guest broke the protocol, the channel is faulted. */
	int (*packet)(struct vsp_channel *ch, const struct vmbus_pkt *pkt);
	/* ON_IO_THREAD: packet() is not called any more, and packets that do not fit into
	 * the ring are dropped. Cancel what back ends have, put the requests that are with the
	 * guest. close() follows when no request is in use and no hold is left. */
	void (*stop)(struct vsp_channel *ch);
	/* ON_IO_THREAD: free what open() allocated. The channel's memory stays while
	 * there are holds. */
	void (*close)(struct vsp_channel *ch);
	/* ON_IO_THREAD: the device pauses. packet() is not called before resume(). Stop
	 * timers and sources of work of your own; requests in flight complete as always. */
	void (*pause)(struct vsp_channel *ch);
	/* ON_IO_THREAD: the opposite; not called when the channel stops while paused. */
	void (*resume)(struct vsp_channel *ch);

	/* Saving, ON_CONTROL; all channels are paused, so their state can be read there. Each
	 * either direction, with archive_fail() for what is not acceptable. A device of the image
	 * is created, and its LUNs or the like are there, before it is read. archive_channel reads
	 * before the I/O thread has the channel, after prepare(); then open() follows, on a channel
	 * for which vsp_channel_is_restored(). It must not touch the guest's memory. NULL: the
	 * device cannot be saved while a channel is open. */
	void (*archive)(struct vsp_device *dev, struct archive *a);
	void (*archive_channel)(struct vsp_channel *ch, struct archive *a);
	/* ON_CONTROL: the highest index of a sub-channel that an image may have. NULL: 0. */
	uint16_t (*sub_channels_max)(struct vsp_device *dev);

	/* ON_CONTROL: members of the device's and of an open channel's node. What an I/O
	 * thread owns is read as base/counter.h says. */
	void (*inspect)(struct vsp_device *dev, struct inspect *i);
	void (*inspect_channel)(struct vsp_channel *ch, struct inspect *i);
};

/* ---- devices ------------------------------------------------------------- */

void *vsp_device_priv(struct vsp_device *dev);
const struct hv_guid *vsp_device_instance(const struct vsp_device *dev);
const struct gmem *vsp_device_gmem(const struct vsp_device *dev);
/* What a VSP allocates because of its guest it takes from here; NULL: no limit. */
struct budget *vsp_device_budget(const struct vsp_device *dev);
struct loop *vsp_device_control(const struct vsp_device *dev); /* the control thread's loop */
uint32_t vsp_device_vps(const struct vsp_device *dev);
/* ON_CONTROL: connections to the bus so far. Another number: another kernel, or its VMBus anew. */
uint64_t vsp_device_contacts(const struct vsp_device *dev);
/* ON_CONTROL: it pauses, or is paused. */
bool vsp_device_pauses(const struct vsp_device *dev);
/* ON_CONTROL: the open primary channel, or NULL. */
struct vsp_channel *vsp_device_primary(struct vsp_device *dev);
/* ON_CONTROL: calls fn for every channel, also one that opens or closes; the primary first. */
void vsp_device_each_channel(
	struct vsp_device *dev, void (*fn)(void *ctx, struct vsp_channel *ch), void *ctx);

/* ON_CONTROL, for a channel of vsp_device_each_channel(): at this moment both rings are empty, and
 * no request is in use but those with the guest. */
bool vsp_channel_is_idle(const struct vsp_channel *ch);

/* ---- channels ------------------------------------------------------------ */

/* Any thread. */
void *vsp_channel_priv(struct vsp_channel *ch);
struct vsp_device *vsp_channel_device(const struct vsp_channel *ch);
uint16_t vsp_channel_index(const struct vsp_channel *ch); /* 0: primary */
struct loop *vsp_channel_loop(const struct vsp_channel *ch);
/* Of a primary, which have been offered with it. Control thread. */
uint16_t vsp_channel_sub_count(const struct vsp_channel *ch);
/* The guest opened it before it was saved. */
bool vsp_channel_is_restored(const struct vsp_channel *ch);

/* ON_IO_THREAD: after packet() returned -EAGAIN, resources are back. Harmless otherwise. */
void vsp_channel_resume(struct vsp_channel *ch);

/* ON_IO_THREAD. Lazy: the guest does not signal what it sends; vsp_channel_look() calls packet()
 * for it, if it did not come earlier. For answers that have time. */
void vsp_channel_set_lazy(struct vsp_channel *ch, bool lazy);
void vsp_channel_look(struct vsp_channel *ch);

/* ON_IO_THREAD: the channel does not close, and its memory stays, before as many releases as holds.
 * close() may hold, too. Pausing does not wait for holds. */
void vsp_channel_hold(struct vsp_channel *ch);
void vsp_channel_release(struct vsp_channel *ch);

/* ON_IO_THREAD of the primary: offers sub-channels 1..count (the control thread does it soon). Once
 * per open. */
void vsp_offer_subchannels(struct vsp_channel *primary, uint16_t count);

/* ---- requests and packets (ON_IO_THREAD) --------------------------------- */

/* A request, contents as last left (zeroed at first), or NULL: return -EAGAIN from packet(). */
void *vsp_request_get(struct vsp_channel *ch, uint32_t class);
/* Resumes the channel. */
void vsp_request_put(struct vsp_channel *ch, void *request);
uint32_t vsp_requests_in_use(const struct vsp_channel *ch, uint32_t class);

/* One packet to send. The VSP's; unchanged until `sent`. */
struct vsp_out {
	struct chan_out packet;
	/* NULL, or the request that this packet completes: from vsp_send() on pausing does not wait
	 * for it, and it is put when the packet is in the ring (after `sent`). */
	void *request;
	/* Optional: the packet is in the ring, or dropped since the guest will not read it. Inside
	 * vsp_send() or later. */
	void (*sent)(struct vsp_channel *ch, struct vsp_out *out);
};
/* Sends, in order, or queues while the ring is full. Never fails. */
void vsp_send(struct vsp_channel *ch, struct vsp_out *out);

/* ---- calls between control and I/O threads ------------------------------- */

/* A function run on the other thread, and its answer there; one at a time. Memory of the VSP. */
struct vsp_call {
	struct vsp_channel *ch;
	bool to_control;
	struct loop_task task;
	void (*run)(struct vsp_call *call);
	void (*done)(struct vsp_call *call);
};

/* ON_CONTROL, for a channel of vsp_device_each_channel(): run(call) on its I/O thread, in order
 * with its open and close: it may run when the channel is closed already, or could not be opened.
 * Also while the channel is paused. vsp_call_done() there, then done(call) on the control thread.
 * The channel is not freed before all its calls are done, and its device not before the channel. */
void vsp_channel_call(struct vsp_channel *ch, struct vsp_call *call,
	void (*run)(struct vsp_call *call), void (*done)(struct vsp_call *call));
/* ON_IO_THREAD: run(call) on the control thread, vsp_call_done() there, then done(call) on the I/O
 * thread. close() waits for it: from there on no call may be made. */
void vsp_control_call(struct vsp_channel *ch, struct vsp_call *call,
	void (*run)(struct vsp_call *call), void (*done)(struct vsp_call *call));
/* On the thread that ran it, inside run() or later. */
void vsp_call_done(struct vsp_call *call);

/* ---- buffers of the guest (GPADLs) --------------------------------------- */

/*
 * A view of the pages of one of the channel's GPADLs. Nothing is mapped: a view is a table of
 * pages. It stays valid until its last reference is put; until then the guest's GPADL_TEARDOWN is
 * not answered, so the pages stay the channel's. The channel closes only when all are put.
 */

struct vsp_gpadl_map {
	/* The VSP's: */
	uint32_t handle; /* of the guest's GPADL */
	/* ON_IO_THREAD: with one reference, or NULL and error: -ENOENT unknown to the channel or
	 * being torn down, -EINVAL not one range of whole pages, -ENOMEM. */
	void (*mapped)(struct vsp_gpadl_map *map, struct vsp_gpadl *gpadl, int error);
	/* ON_IO_THREAD, optional: the guest asks for the pages; put all references soon. At most
	 * once, after mapped(), and not when the last reference is put already. */
	void (*torn_down)(struct vsp_channel *ch, struct vsp_gpadl *gpadl);
	/* The core's: */
	struct vsp_call call;
	struct vsp_gpadl *gpadl;
	int error;
};

/* ON_IO_THREAD: mapped() later, always, before close(). The memory of *map is the VSP's again in
 * mapped(). */
void vsp_gpadl_map(struct vsp_channel *ch, struct vsp_gpadl_map *map);
/* ON_CONTROL, in archive_channel(): the same at once. map->gpadl, with one reference, or NULL and
 * map->error. */
void vsp_gpadl_find(struct vsp_channel *ch, struct vsp_gpadl_map *map);
/* The guest's number for it. */
uint32_t vsp_gpadl_handle(const struct vsp_gpadl *gpadl);
/* Any I/O thread of the device: further references, for requests and for sub-channels. */
void vsp_gpadl_get(struct vsp_gpadl *gpadl);
void vsp_gpadl_put(struct vsp_gpadl *gpadl);

/* Any I/O thread, with a reference. Offsets and lengths are bytes; any value is legal. */
uint64_t vsp_gpadl_size(const struct vsp_gpadl *gpadl);
/* 0, or -EFAULT: [offset, offset + len) is not inside (nothing is copied). */
int vsp_gpadl_copy_to(struct vsp_gpadl *gpadl, uint64_t offset, const void *from, size_t len);
/* The range as pieces of guest memory, neighbouring pages being one piece. How many, at most max;
 * -EFAULT as above, -EMSGSIZE more than max. A range of n bytes has at most n / 4096 + 2. */
int vsp_gpadl_iov(
	struct vsp_gpadl *gpadl, uint64_t offset, size_t len, struct iovec *iov, uint32_t max);
/* The range when it is one piece; else NULL. */
void GUEST_SHARED *vsp_gpadl_at(struct vsp_gpadl *gpadl, uint64_t offset, size_t len);

#endif
