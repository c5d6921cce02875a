/* SPDX-License-Identifier: MIT */
/*
 * A TAP interface of the Linux kernel, one descriptor per queue.
 *
 * States of the interface, on the control thread. Netlink signals that
 * something changed; ioctls then read the state.
 *
 *            +------ set down ----->+
 *     up ----+                      +---- down        attached: descriptors work
 *      ^  ^  +<------ set up -------+      |
 *      |  +-------- attach --------------- | -----+
 *      +---- deleted ----> gone <----------+      |   gone: every call gives EBADFD
 *                           +--- re-created ------+
 *
 * The link is up in state `up` only. A queue that meets EBADFD stops reading
 * and posts to control, which may so learn of the deletion before netlink does.
 */
#ifndef NIC_TAP_IMPL_H
#define NIC_TAP_IMPL_H

#include <net/if.h>

#include "nic/backend.h"

/* struct virtio_net_hdr_mrg_rxbuf, little endian; the last field is unused by TAP. */
struct tap_header {
	uint8_t flags;
	uint8_t gso_type;
	uint16_t hdr_len;
	uint16_t gso_size;
	uint16_t csum_start;
	uint16_t csum_offset;
	uint16_t num_buffers;
};
_Static_assert(sizeof(struct tap_header) == 12, "wire size");

/* ---- the device: dev.c, control thread ----------------------------------- */

struct tap_dev {
	char name[IFNAMSIZ];
	int fds[NIC_QUEUES_MAX]; /* O_NONBLOCK */
	uint32_t count;          /* of fds */
	uint32_t active;         /* fds 0 .. active - 1 are attached as queues */
	int query;               /* a socket for interface ioctls */
	uint32_t offloads;       /* NIC_CAN_* */
	bool carrier;
	bool multi_queue;
};

/* Opens or creates the interface. mtu 0: any. */
int tap_dev_open_here(
	struct tap_dev *dev, const char *name, uint32_t queues, uint32_t mtu, struct err *e);
/* The same, by the broker if there is one. */
int tap_dev_open(
	struct tap_dev *dev, const char *name, uint32_t queues, uint32_t mtu, struct err *e);
/* Takes over descriptors, also when it fails. */
int tap_dev_adopt(struct tap_dev *dev, const int *fds, uint32_t count, uint32_t mtu, struct err *e);
void tap_dev_close(struct tap_dev *dev);

/* The descriptors belong to an interface; its name is updated. */
bool tap_dev_attached(struct tap_dev *dev);
/* Our name space has an interface of this name. */
bool tap_dev_exists(const struct tap_dev *dev);
/* The descriptors get the interface of the name, as they had the last one. 0 or -errno. */
int tap_dev_attach(struct tap_dev *dev);
/* 0 or -errno. */
int tap_dev_state(const struct tap_dev *dev, bool *up, uint32_t *mtu);

int tap_dev_set_offloads(struct tap_dev *dev, uint32_t offloads);
int tap_dev_set_active(struct tap_dev *dev, uint32_t active);
int tap_dev_set_carrier(struct tap_dev *dev, bool up);

/* ---- the NIC: tap.c ------------------------------------------------------ */

/* A one-shot poll of the descriptor, and its cancellation. */
struct tap_poll {
	struct loop_op op, cancel_op;
	bool armed, cancelling; /* in the ring */
};

struct tap_queue {
	struct nic_queue queue;
	int fd;
	struct nic_backlog backlog;
	struct tap_poll in, out;
	bool paused;              /* the client has no buffers */
	bool gone;                /* EBADFD, until tap.generation changes */
	uint32_t generation;      /* of the attachment that works, or worked last */
	struct loop_timer revive; /* while gone: polls tap.generation */
	bool reading;             /* read_frames() is on the stack */
	bool posted;
	struct loop_task task; /* goes on with reading */
};

struct tap {
	struct nic nic;
	struct tap_dev dev;
	int netlink;
	struct loop_op netlink_op, netlink_cancel;
	bool netlink_armed, netlink_cancelling, closing;
	uint8_t netlink_buffer[8192];
	struct loop_timer retry; /* while an interface of the name cannot be attached */
	bool attach_failed;      /* it was logged */
	struct loop_task lost;   /* posted by queues */
	_Atomic bool lost_posted;
	_Atomic uint32_t generation; /* of attachments */
};

/* ON_LOOP; queue.c. */
int tap_queue_open(struct nic *nic, uint32_t index, struct loop *loop, struct nic_client *client,
	struct nic_queue **queue);
void tap_queue_stop(struct nic_queue *queue);
void tap_queue_close(struct nic_queue *queue);
void tap_queue_tx(struct nic_queue *queue, struct nic_frame *frames[], uint32_t count);
void tap_queue_rx_resume(struct nic_queue *queue);

/* Any thread: a queue found the interface gone. */
void tap_lost(struct tap *tap);

#endif
