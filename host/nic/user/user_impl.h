/* SPDX-License-Identifier: MIT */
/*
 * `user`: a network without root and without set-up. passt, a process of its
 * own in its own sandbox, translates between Ethernet frames on a socket and
 * the sockets of its user. One queue: passt has one connection.
 *
 * Control thread:
 *
 *   running --process ends, or the stream breaks--> ending --reaped--> waiting
 *      ^                                                                 |
 *      +------------- timer: USER_RETRY_NS, doubled up to _MAX ----------+
 */
#ifndef NIC_USER_IMPL_H
#define NIC_USER_IMPL_H

#include <sys/types.h>

#include "base/broker.h"
#include "base/time.h"
#include "nic/backend.h"
#include "nic/plug.h"
#include "nic/type.h"
#include "nic/user/stream.h"

#define USER_RETRY_NS     (100 * NS_PER_MS)
#define USER_RETRY_NS_MAX (10 * NS_PER_S)
#define USER_STABLE_NS    (10 * NS_PER_S) /* ran so long: the next failure is a first one */
#define USER_ARGS         96u

/* A socket to passt, and what of its two streams is in the middle of a frame: that outlives the
 * queue, which may be closed and opened again. */
struct user_conn {
	struct nic_conn conn;
	int fd;
	_Atomic bool broken;    /* set by a queue: control ends passt */
	struct stream stream;   /* received */
	uint32_t rest, rest_at; /* what a short write left: bytes rest_at .. rest - 1 */
	uint8_t rest_bytes[STREAM_PREFIX + NIC_FRAME_MAX];
};

/* ---- spawn.c: the command line and the process --------------------------- */

struct user_command {
	char *argv[USER_ARGS];
	uint32_t argc;
};

/* Arguments of passt from settings. 0 or -errno. */
int user_command_make(struct user_command *c, const struct nic_open *o, struct err *e);
/* nic_type.check, nic_type.check_host. */
const char *user_command_check(const struct nic_open *o, struct err *e);
const char *user_command_check_host(const struct nic_open *o, struct err *e);
void user_command_free(struct user_command *c);
/* The process of passt with the other end of *fd, by the broker if there is one. Its id or -errno.
 */
pid_t user_spawn(struct user_command *c, int *fd, int *pidfd);
void user_process_kill(pid_t pid);
/* Its status, once it has ended; -EAGAIN: it has not. */
int user_process_wait(pid_t pid, int *status);

/* The broker's answers. It has checked arguments and process. */
void user_serve_spawn(const struct broker_request *q, struct broker_reply *r);
void user_serve_kill(const struct broker_request *q, struct broker_reply *r);
void user_serve_wait(const struct broker_request *q, struct broker_reply *r);

/* ---- queue.c, ON_LOOP ---------------------------------------------------- */

struct user_nic;

struct user_queue {
	struct nic_queue queue;
	struct nic_plug plug;
	struct user_conn *conn; /* NULL: none */
	struct nic_backlog backlog;
	struct nic_seg seg; /* of the first frame of the backlog */
	bool segmenting;
	uint32_t length;                   /* of the segment in iov; 0: none */
	struct iovec iov[NIC_IOV_MAX + 1]; /* prefix and segment */
	uint32_t iov_count;
	uint8_t prefix[STREAM_PREFIX];
	struct loop_op receive_op, poll_op; /* POLLOUT */
	struct loop_op receive_cancel, poll_cancel;
	uint32_t in_ring; /* operations and cancellations */
	bool receiving, polling;
	bool cancelling;
	bool paused, running, sending, posted;
	struct loop_task task;
};

int user_queue_open(struct nic *nic, uint32_t index, struct loop *loop, struct nic_client *client,
	struct nic_queue **queue);
void user_queue_stop(struct nic_queue *queue);
void user_queue_close(struct nic_queue *queue);
void user_queue_tx(struct nic_queue *queue, struct nic_frame *frames[], uint32_t count);
void user_queue_rx_resume(struct nic_queue *queue);

/* ---- user.c -------------------------------------------------------------- */

struct user_nic {
	struct nic nic;
	struct user_command command;
	struct nic_hub hub; /* its connection is a user_conn */
	struct user_conn *conn;
	pid_t pid; /* 0: none */
	int pidfd;
	struct loop_op exit_op;
	bool exit_armed;
	uint64_t started_ns, retry_ns;
	struct loop_timer retry;
	bool closing;
	struct loop_task broken;
	_Atomic bool broken_posted;
};

/* Any thread: the stream is lost. */
void user_broken(struct user_nic *user, struct user_conn *conn);

#endif
