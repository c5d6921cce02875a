/* SPDX-License-Identifier: MIT */
/*
 * `pair`: two NICs joined through shared memory. A Unix socket at PATH brings
 * them together; then frames go through rings (ring.h) without the kernel.
 *
 * Control thread. The process that holds the lock of PATH.lock listens, the other
 * connects; when the listener ends, the kernel frees its lock.
 *
 *   waiting --lock taken--> listening --accept--> greeting --hello--> joined
 *      ^    --connected-------------------------> greeting              |
 *      +------------- timer <---- end of the connection, any violation -+
 *                                 accepted, and no hello in PAIR_HELLO_NS
 *
 * Queues get a connection (struct pair_join) through a plug (plug.h).
 *
 * The peer is another virtual machine's process and not trusted: it may write
 * anything into its block and its sockets. Signals are bytes on sockets of type
 * SOCK_STREAM with MSG_DONTWAIT, since an eventfd that the peer filled could
 * block us.
 */
#ifndef NIC_PAIR_IMPL_H
#define NIC_PAIR_IMPL_H

#include "nic/pair/ring.h"
#include "nic/plug.h"

#define PAIR_MAGIC    0x52494150u /* "PAIR" */
#define PAIR_VERSION  1u
#define PAIR_RETRY_NS (100 * NS_PER_MS)
#define PAIR_HELLO_NS NS_PER_S

struct pair_hello {
	uint32_t magic;
	uint32_t version;
	uint32_t queues;
	uint32_t ring_size;
};

/* One side of a connection: its block and the peers' ends of its doorbells. */
struct pair_side {
	struct pair_block *block;
	uint32_t queues;
	int doorbells[NIC_QUEUES_MAX]; /* own: to read; the peer's: to write */
};

struct pair_join {
	struct nic_conn conn;
	_Atomic bool violated; /* the peer broke the rules; control ends it */
	struct pair_side own, peer;
};

/* ---- join.c -------------------------------------------------------------- */

/* Makes our block and doorbells, and sends them with the hello. NULL: *error. */
struct pair_join *pair_join_greet(int socket, uint32_t queues, int *error);
/* Takes the peer's; fds are taken over. 0 or -errno: nothing of it may be used. */
int pair_join_accept(
	struct pair_join *join, const struct pair_hello *hello, const int *fds, uint32_t count);
static inline void pair_join_put(struct pair_join *join)
{
	nic_conn_put(&join->conn);
}

/* ---- queue.c, ON_LOOP ---------------------------------------------------- */

struct pair_nic;

struct pair_queue {
	struct nic_queue queue;
	struct pair_join *join; /* NULL: none */
	struct nic_backlog backlog;
	struct nic_delivery delivery;
	struct pair_producer producer;
	struct pair_consumer consumers[NIC_QUEUES_MAX]; /* of the peer's rings that are ours */
	uint32_t consumer_count;
	uint32_t next; /* the consumer whose turn it is */
	struct loop_op doorbell_op, doorbell_cancel_op;
	uint8_t doorbell_bytes[64];
	bool doorbell_armed, doorbell_cancelling; /* in the ring */
	struct loop_poller poller;
	struct loop_task task; /* goes on receiving; the end of a stop */
	bool posted;
	bool paused;
	bool running; /* receive() is on the stack */
	struct nic_plug plug;
};

int pair_queue_open(struct nic *nic, uint32_t index, struct loop *loop, struct nic_client *client,
	struct nic_queue **queue);
void pair_queue_stop(struct nic_queue *queue);
void pair_queue_close(struct nic_queue *queue);
void pair_queue_tx(struct nic_queue *queue, struct nic_frame *frames[], uint32_t count);
void pair_queue_rx_resume(struct nic_queue *queue);

/* ---- pair.c -------------------------------------------------------------- */

struct pair_op {
	struct loop_op op, cancel_op;
	bool armed, cancelling;
};

struct pair_nic {
	struct nic nic;
	char *path, *lock_path;
	int lock, listener, socket; /* or -1 */
	struct pair_op accept, receive;
	struct loop_timer retry;
	struct loop_timer hello_due; /* while a peer that has connected is greeted */
	struct pair_join *greeting;  /* our hello is sent, the peer's is awaited */
	bool closing;
	struct loop_task violation;
	_Atomic bool violation_posted;
	/* of recvmsg */
	struct pair_hello hello;
	struct iovec hello_iov;
	struct msghdr message;
	_Alignas(8) uint8_t ancillary[512];
	struct nic_hub hub;     /* its connection is a join */
	struct pair_join *join; /* the same; control */
};

/* Any thread: the peer of the join broke the rules. */
void pair_violated(struct pair_nic *pair, struct pair_join *join);

#endif
