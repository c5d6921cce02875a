/* SPDX-License-Identifier: MIT */
/*
 * Inside the NIC: shared by the .c files of this folder only.
 *
 *   channel.c  device and channels: create, open, close, pause; settings reach all channels
 *   nvsp.c     NVSP messages on the primary; commands, one after the other
 *   control.c  RNDIS control messages; replies
 *   indicate.c indications to the guest
 *   oid.c      the table of OIDs
 *   tx.c rx.c  frames
 *   quiesce.c  before hot removal
 *   save.c     saving, restoring
 *   inspect.c  state for people
 *   rndis.c offload.c rss.c buffers.c    pure parts
 *
 * Settings: all that the guest decides and channels need is one value, struct
 * netvsp_settings. The primary changes its copy in `next`, one command at a time;
 * netvsp_apply() brings it to the control thread (`published`, for channels that
 * open later) and to each channel, whose own copy changes on its own I/O thread.
 * The command is answered when all have it. So no channel reads what another
 * thread writes.
 */
#ifndef NETVSP_IMPL_H
#define NETVSP_IMPL_H

#include <assert.h>
#include <stdatomic.h>

#include "hv/nvsp_reg.h"
#include "vsp/netvsp/buffers.h"
#include "vsp/netvsp/netvsp.h"
#include "vsp/netvsp/offload.h"
#include "vsp/netvsp/rss.h"

#define NETVSP_CHANNELS_MAX    64u
#define NETVSP_MULTICAST_MAX   32u
#define NETVSP_TX_REQUESTS     256u /* packets with the NIC per channel; then the ring is not read */
#define NETVSP_TX_FRAMES_MAX   8u   /* RNDIS messages in one packet: announced to the guest */
#define NETVSP_TX_RANGES_MAX   34u
#define NETVSP_TX_PIECES_MAX   62u
#define NETVSP_COMMANDS        32u
#define NETVSP_MESSAGE_MAX     4096u /* RNDIS control message from the guest */
#define NETVSP_INFO_MAX        600u  /* information buffer of a reply */
#define NETVSP_REPLY_MAX       (NETVSP_INFO_MAX + 64u)
#define NETVSP_RX_BUFFERS      64u
#define NETVSP_TRANSFERS       256u /* packets with the guest per channel */
#define NETVSP_TRANSFER_RANGES 340u /* in one packet: guests take 375 */
#define NETVSP_LSO_MAX         62780u
#define NETVSP_RSC_MAX         62780u /* longer ones: Linux finds no memory for them */
#define NETVSP_PACKET_MAX      16384u

#define ON_CONTROL(dev) ON_LOOP(vsp_device_control(dev))
#define ON_IO_THREAD(c) ON_LOOP(vsp_channel_loop((c)->ch))

enum netvsp_class { CLASS_TX, CLASS_COMMAND, CLASS_REPLY, CLASS_TRANSFER, CLASS_TOKEN, CLASSES };

struct netvsp_channel;

/* ---- settings ------------------------------------------------------------ */

struct netvsp_settings {
	uint32_t version;      /* NVSP_VERSION_*; 0: not negotiated */
	uint64_t capabilities; /* NVSP_CAP_* */
	uint32_t mtu;
	bool running;            /* RNDIS is initialized */
	bool halted;             /* and was halted since: not in an image */
	bool sub_channels_ready; /* they may get packets: the guest has set up RSS */
	bool rsc4, rsc6;
	uint32_t parts; /* shares of the receive buffer */
	uint32_t filter;
	uint8_t mac[6]; /* that the guest has chosen, perhaps; the permanent one counts, too */
	uint32_t multicast_count;
	uint8_t multicast[NETVSP_MULTICAST_MAX][6];
	struct rss rss;
	struct netvsp_recv *recv; /* NULL: none; counted in `next`, `published` and the channels */
	struct netvsp_send *send;
};

/* ---- device -------------------------------------------------------------- */

/* quiesce.c. */
struct netvsp_quiesce {
	struct loop_timer timer;
	uint64_t tick_ns;
	void (*quiet)(void *ctx);
	void *ctx;
	uint64_t packets; /* of the guest, at the last tick */
	uint32_t ticks, quiet_ticks, ticks_min;
};

struct netvsp_apply {
	struct vsp_call call; /* of the primary, to the control thread */
	uint32_t waiting;     /* channels that do not have the settings yet; control thread */
};

struct netvsp {
	/* constant after create */
	struct vsp_device *dev;
	struct nic *nic;
	struct netvsp_config config;
	char name[64];
	uint32_t channels_max;
	/* the primary's I/O thread */
	struct netvsp_settings next;
	/* control thread */
	struct netvsp_settings published;
	struct netvsp_apply apply;
	uint64_t contacts; /* of the guest with the bus; next.mac was chosen after that many */
	struct nic_watcher watcher;
	bool link_calling; /* link_call of the primary is not done */
	bool link_again;
	struct netvsp_quiesce quiesce;
	/* any thread */
	_Atomic bool cable;
	_Atomic uint32_t mtu_max;
	_Atomic uint64_t speed_bps;
	_Atomic bool link_down_seen;    /* the guest knows that there is no link */
	_Atomic uint64_t link_shown_ns; /* when a change was last indicated; 0: never */
	_Atomic uint32_t open_channels;
	struct netvsp_counters counters[NETVSP_CHANNELS_MAX]; /* one writer each */
};

/* ---- requests ------------------------------------------------------------ */

/* A packet of the guest with frames, until all are done. */
struct netvsp_tx {
	struct vsp_out out;
	struct nvsp_message reply;
	struct netvsp_channel *channel;
	uint32_t frames_left; /* with the NIC, and 1 while the packet is taken apart */
	uint32_t status;      /* NVSP_STATUS_* */
	uint32_t frame_count;
	uint32_t iov_count;
	struct netvsp_tx_frame {
		struct nic_frame frame;
		uint8_t headers[NIC_HEADERS_MAX];
	} frames[NETVSP_TX_FRAMES_MAX];
	struct iovec iov[NETVSP_TX_PIECES_MAX + 4 * NETVSP_TX_FRAMES_MAX];
};

/* A packet of the guest on the primary that is no data; they run one after the other. */
struct netvsp_command {
	struct vsp_out out; /* the completion */
	struct netvsp_channel *channel;
	struct list link;
	bool wants_completion;
	uint32_t length; /* of the message, as it came */
	struct nvsp_message message, reply;
	void (*then)(struct netvsp_command *cmd); /* after netvsp_apply() */
	struct vsp_gpadl_map map;
	struct nic_call nic_call;
	struct netvsp_reply *rndis_reply; /* NULL: none */
	uint32_t rndis_length;
	uint8_t rndis[NETVSP_MESSAGE_MAX];
};

/* An RNDIS control message to the guest, in the control section of the same number. */
struct netvsp_reply {
	struct vsp_out out;
	struct nvsp_message message;
	bool sent;
	uint32_t section;
	struct {
		struct vmbus_xfer_pages pages;
		struct vmbus_xfer_range range;
	} header;
	uint32_t length;
	uint8_t bytes[NETVSP_REPLY_MAX];
};

/* Frames to the guest. */
struct netvsp_transfer {
	struct vsp_out out;
	struct nvsp_message message;
	bool sent;
	uint32_t sections;
	struct {
		struct vmbus_xfer_pages pages;
		struct vmbus_xfer_range ranges[NETVSP_TRANSFER_RANGES];
	} header;
};

/* A buffer for the NIC: sections of the receive buffer as one run of room. */
struct netvsp_rx_buffer {
	struct nic_frame frame;
	bool out;       /* with the NIC */
	uint32_t holes; /* the first so many sections are missing */
	uint32_t sections[NIC_IOV_MAX];
	struct iovec iov[NIC_IOV_MAX];
};

/* ---- channels ------------------------------------------------------------ */

struct netvsp_rx {
	struct netvsp_recv *recv; /* what sections, transfers and replies belong to; counted */
	bool view;                /* a reference on its pages is held */
	bool revoked;             /* no section is used any more */
	uint32_t first, end;      /* own sections */
	uint16_t first_free;      /* valid when free_count > 0; see netvsp_recv.next_free */
	uint32_t free_count;
	uint32_t per_buffer; /* sections of one buffer */
	uint32_t spare_count;
	struct netvsp_rx_buffer *spare[NETVSP_RX_BUFFERS]; /* not with the NIC */
	uint32_t out;                                      /* buffers with the NIC */
	uint64_t sections_out; /* with the guest, or on their way to it; base/counter.h */
	void *token;           /* makes a pause wait while buffers are with the NIC */
	struct netvsp_transfer *transfer; /* being filled */
	uint16_t rsc_id;
	bool starved; /* the NIC was given no buffer */
	bool resume;  /* at the end of the turn */
	struct netvsp_rx_buffer *buffers;
};

struct netvsp_channel {
	/* fixed */
	struct netvsp *device;
	struct vsp_channel *ch;
	bool primary;
	struct netvsp_counters *counters;
	/* I/O thread */
	struct netvsp_settings settings;
	struct nic_client client;
	struct nic_queue *queue; /* NULL: not open */
	bool open;               /* from the end of open() to stop() */
	bool stopping;
	bool paused;
	struct loop_hook hook;
	/* frames from the guest */
	struct nic_frame *batch[NIC_BATCH];
	uint32_t batch_count;
	uint32_t tx_out;          /* packets with the NIC */
	struct netvsp_send *send; /* counted */
	bool send_view;
	struct netvsp_rx rx;
	/* primary */
	struct list commands;                                /* the first one runs */
	bool running;                                        /* it does */
	struct netvsp_reply *replies[RECV_CONTROL_SECTIONS]; /* by section; with the guest */
	bool sub_channels_requested;
	uint32_t sub_channels_to_offer;
	struct {
		bool queued, again;
		struct vsp_out out;
		struct nvsp_table_message message;
	} table;
	struct {
		bool link; /* what the guest knows, or will when it has read `reply` */
		uint32_t speed;
		bool offloads_due;
		struct netvsp_reply *reply; /* an indication that is with the guest */
		uint32_t status;            /* which one; 0: none */
	} indicated;
	struct {
		bool recv, send; /* the guest has torn down this buffer's GPADL */
		bool queued;
		struct netvsp_command *cmd;
	} teardown;
	/* the control thread's; the I/O thread's during the call */
	struct vsp_call apply_call, link_call;
	/* the control thread's, then the I/O thread's until it is open; NULL: not from an image */
	struct netvsp_restored *restored;
};

/* ---- channel.c ----------------------------------------------------------- */

/* ON_IO_THREAD(primary): the settings in device->next reach all channels; then cmd->then(). */
void netvsp_apply(struct netvsp_command *cmd, void (*then)(struct netvsp_command *cmd));
static inline uint32_t netvsp_nvsp_size(const struct netvsp_channel *c)
{
	return c->settings.version >= NVSP_VERSION_6_1 ? NVSP_SIZE : NVSP_SIZE_OLD;
}
/* Of the receive buffer. The sections of another channel would be behind its end: the guest is
 * offered none, but an image may have one. */
static inline bool netvsp_has_share(const struct netvsp_channel *c)
{
	return vsp_channel_index(c->ch) < c->settings.parts;
}
/* One writer, readers anywhere. */
static inline void netvsp_count(uint64_t *counter, uint64_t n)
{
	__atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}
bool netvsp_link_up(struct netvsp *d);
/* ON_CONTROL: device->next is that of an image. The channel and the NIC get it. */
void netvsp_restore_settings(struct netvsp_channel *c);

/* ---- save.c -------------------------------------------------------------- */

/* See vsp_ops. */
void netvsp_archive(struct vsp_device *dev, struct archive *a);
void netvsp_archive_channel(struct vsp_channel *ch, struct archive *a);
uint16_t netvsp_sub_channels_max(struct vsp_device *dev);
/* ON_IO_THREAD, at the end of open(): what is with the guest. 0 or -ENOMEM: then the channel is of
 * no use, and closes. */
int netvsp_restore_open(struct netvsp_channel *c);
/* The channel could not be opened. */
void netvsp_restore_free(struct netvsp_channel *c);

/* ---- inspect.c: ON_CONTROL ----------------------------------------------- */

void netvsp_inspect(struct vsp_device *dev, struct inspect *i);
void netvsp_inspect_channel(struct vsp_channel *ch, struct inspect *i);

/* ---- nvsp.c: ON_IO_THREAD(primary) --------------------------------------- */

/* A packet that is no frame. 0 or -errno as vsp_ops.packet. */
int nvsp_packet(
	struct netvsp_channel *c, const struct vmbus_pkt *pkt, const struct nvsp_message *m);
/* The channel stops: commands that wait end. */
void nvsp_stop(struct netvsp_channel *c);
/* vsp_gpadl_map.torn_down of both buffers. */
void nvsp_buffer_torn_down(struct vsp_channel *ch, struct vsp_gpadl *gpadl);
/* The guest tears down a buffer: c->teardown says which. */
void nvsp_torn_down(struct netvsp_channel *c);
/* The command is done: completes it, sends its reply, runs the next. */
void nvsp_done(struct netvsp_command *cmd);
/* Sends the indication of the channels to which the guest should send. */
void nvsp_send_table(struct netvsp_channel *c);

/* ---- control.c: ON_IO_THREAD(primary) ------------------------------------ */

/* The RNDIS message of a command. */
void control_run(struct netvsp_command *cmd);
/* For a reply, in a control section; NULL: the guest has them all. */
struct netvsp_reply *control_reply(struct netvsp_channel *c);
/* Sends it; the guest will complete it. */
void control_send(struct netvsp_channel *c, struct netvsp_reply *reply);
/* Before the device stops: replies with the guest end. */
void control_stop(struct netvsp_channel *c);
/* A completion of the guest: false: not of a reply that it has. */
bool control_completed(struct netvsp_channel *c, uint64_t id);

/* ---- indicate.c: ON_IO_THREAD(primary) ----------------------------------- */

/* Indicates to the guest what has changed: link, speed. */
void indicate_changes(struct netvsp_channel *c);
/* The same, and the offloads in use. */
void indicate_offloads_changed(struct netvsp_channel *c);
/* The guest asks for the state of the link: from here on changes are indicated. */
void indicate_known(struct netvsp_channel *c);
/* The guest has read a control message. */
void indicate_ended(struct netvsp_channel *c, const struct netvsp_reply *reply);

/* ---- oid.c: ON_IO_THREAD(primary) ---------------------------------------- */

/* The value of an OID to `to` (NETVSP_INFO_MAX bytes), *len of them, at most `max`, which is the
 * guest's room; 0: it does not say. RNDIS_STATUS_*. */
uint32_t oid_query(
	struct netvsp_channel *c, uint32_t oid, uint8_t *to, uint32_t max, uint32_t *len);
/* Changes device->next. What the NIC must be asked for first is in nic_call->op and value. */
uint32_t oid_set(struct netvsp_channel *c, uint32_t oid, const uint8_t *info, uint32_t len,
	struct nic_call *nic_call, bool *needs_nic_call);

/* What the NIC has to deliver for these settings. */
uint32_t oid_rx_offloads(const struct netvsp_settings *s);
/* Any thread: as the guest gets it, in 100 bits per second. */
uint32_t oid_speed(struct netvsp *d);
void oid_offloads_in_use(struct netvsp *d, struct ndis_offload *o);

/* ---- tx.c ---------------------------------------------------------------- */

/* A packet of type SEND_RNDIS_PKT with frames. */
int tx_packet(struct netvsp_channel *c, const struct vmbus_pkt *pkt, const struct nvsp_message *m);
/* All ranges of a packet, the section of the send buffer first, as pieces: how many, their bytes in
 * *bytes; or -EINVAL. */
int tx_pieces(struct netvsp_channel *c, const struct vmbus_pkt *pkt, const struct nvsp_rndis_pkt *m,
	struct iovec *iov, uint32_t max, uint32_t *bytes);
/* The NIC gets what was collected. */
void tx_flush(struct netvsp_channel *c);
void tx_done(struct nic_client *client, struct nic_frame *frame, int error);
/* The settings have changed. */
void tx_apply(struct netvsp_channel *c);

/* ---- rx.c ---------------------------------------------------------------- */

int rx_init(struct netvsp_channel *c);
void rx_fini(struct netvsp_channel *c);
uint32_t rx_get(struct nic_client *client, struct nic_frame *frames[], uint32_t count);
void rx_frames(struct nic_client *client, struct nic_frame *frames[], uint32_t count);
void rx_put(struct nic_client *client, struct nic_frame *frames[], uint32_t count);
/* A completion of the guest: false: not of a packet that it has. */
bool rx_completed(struct netvsp_channel *c, uint64_t id);
/* The settings have changed. */
void rx_apply(struct netvsp_channel *c);
/* The end of a loop turn: what came in goes to the guest. */
void rx_turn(struct netvsp_channel *c);
/* Something that the NIC may wait for is there again. */
void rx_resume(struct netvsp_channel *c);
/* The channel stops: all that is with the guest ends. */
void rx_stop(struct netvsp_channel *c);
/* Sections are enough for buffers that hold super frames. NULL: there are none. */
bool rx_rsc_fits(const struct netvsp_recv *recv, uint32_t parts);
/* The NIC has returned all buffers, or the guest wants its pages back. */
void rx_release_view(struct netvsp_channel *c);

#endif
