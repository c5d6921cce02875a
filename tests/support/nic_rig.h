/* SPDX-License-Identifier: MIT */
/*
 * A client of one queue of a NIC, for tests: buffers for reception, frames to
 * send from plain bytes, and a wait for events that fails after RIG_LIMIT_NS.
 *
 * Thread: the loop of the rig, which the test runs (nic_rig_wait). Several rigs
 * may share a loop.
 */
#ifndef TESTS_NIC_RIG_H
#define TESTS_NIC_RIG_H

#include "nic/backend.h"
#include "nic/stack.h"

#define RIG_BUFFERS  128u
#define RIG_FRAMES   256u
#define RIG_ROOM     (NIC_FRAME_MAX + NIC_VLAN_TAG + 1u)
#define RIG_LIMIT_NS 120000000000ull

struct nic_rig_frame {
	struct nic_frame frame;
	struct iovec iov[NIC_IOV_MAX];
	uint8_t *bytes; /* RIG_ROOM */
	bool busy;
};

struct nic_rig {
	struct loop *loop;
	struct nic *nic;
	struct nic_queue *queue;
	struct nic_client client;
	struct nic_watcher watcher;
	struct nic_rig_frame buffers[RIG_BUFFERS], frames[RIG_FRAMES];
	uint32_t buffers_out; /* with the back end */
	uint32_t buffers_max; /* at most so many are given */
	uint32_t room_max;    /* of a buffer; 0: all */
	uint32_t frames_out;
	uint64_t received, sent, failed;
	bool only_ours; /* see nic_rig_wait_path() */
	int last_error;
	uint32_t changes; /* of link or MTU */
	bool stopped, closed;
	/* Each frame that arrives: bytes in one piece, of which the frame is what nic.h says. */
	void (*rx)(struct nic_rig *rig, const uint8_t *bytes, const struct nic_frame *frame);
	void (*tx_done)(struct nic_rig *rig, int error);
	void *ctx;
};

/* Opens the stack "BACKEND,OPTION,..." and its queue 0, on the loop, which is control and I/O. */
void nic_rig_open(struct nic_rig *rig, struct loop *loop, const char *text, uint32_t queues);
/* A queue of a NIC that is open. ON_LOOP(loop). */
void nic_rig_attach(struct nic_rig *rig, struct loop *loop, struct nic *nic, uint32_t index);
void nic_rig_detach(struct nic_rig *rig); /* stops and closes the queue */
void nic_rig_close(struct nic_rig *rig);  /* everything is back and free: checked */

int nic_rig_stack(
	struct nic **nic, struct loop *control, const char *text, uint32_t queues, struct err *e);

/* A free frame with `length` bytes of room in `pieces` iovecs; the first has `first` bytes. The
 * bytes are in one piece at f->bytes. NULL: all are out. */
struct nic_rig_frame *nic_rig_frame(
	struct nic_rig *rig, uint32_t length, uint32_t first, uint32_t pieces);
void nic_rig_send(struct nic_rig *rig, struct nic_rig_frame *f);
/* Both, with bytes of the caller, in one piece, no offloads. */
void nic_rig_send_bytes(struct nic_rig *rig, const void *bytes, uint32_t length);

/* Runs the loop until done(ctx). */
void nic_rig_run(struct loop *loop, bool (*done)(void *ctx), void *ctx);
void nic_rig_wait_received(struct nic_rig *rig, uint64_t count);
void nic_rig_wait_sent(struct nic_rig *rig);
void nic_rig_wait_link(struct nic_rig *rig, bool up);
/* Sends probes until one arrives: a bridge forwards only some time after its ports are up. Then the
 * counters `received` and `sent` of the two are zero, and `to` ignores frames whose source does not
 * begin with 02:00:00: the kernel sends some of its own. */
void nic_rig_wait_path(struct nic_rig *from, struct nic_rig *to);

/* ---- network name spaces ------------------------------------------------- */

/* A network of this process's own, without root if need be. False, with the reason printed: not
 * possible here. Before any thread is made. */
bool nic_rig_unshare(void);
/* Runs a shell command; fails the test when it fails. */
void nic_rig_shell(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
