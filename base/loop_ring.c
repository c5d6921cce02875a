/* SPDX-License-Identifier: MIT */
#include "base/loop_ring.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/loop.h"

/* In order of preference: task work is deferred to our io_uring_enter() (Linux 6.1); task work does
 * not interrupt this thread (5.19); plain. */
static const unsigned int ring_flags[] = {
	IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG |
		IORING_SETUP_R_DISABLED,
	IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_R_DISABLED,
	IORING_SETUP_R_DISABLED,
};

int loop_ring_create(struct io_uring *ring)
{
	int rc = -EINVAL;

	for (size_t i = 0; i < sizeof(ring_flags) / sizeof(*ring_flags) && rc == -EINVAL; i++) {
		struct io_uring_params params = {
			.flags = ring_flags[i] | IORING_SETUP_CQSIZE,
			.cq_entries = LOOP_ENTRIES * 8,
		};

		rc = io_uring_queue_init_params(LOOP_ENTRIES, ring, &params);
	}
	return rc;
}

/* What this program starts through a ring. No name of a file is in it, and no new socket. */
static const uint8_t ring_ops[] = {
	IORING_OP_READ,
	IORING_OP_WRITE,
	IORING_OP_READV,
	IORING_OP_WRITEV,
	IORING_OP_READ_FIXED,
	IORING_OP_WRITE_FIXED,
	IORING_OP_FSYNC,
	IORING_OP_FALLOCATE,
	IORING_OP_POLL_ADD,
	IORING_OP_ASYNC_CANCEL,
	IORING_OP_ACCEPT,
	IORING_OP_RECV,
	IORING_OP_RECVMSG,
	IORING_OP_SEND,
};
static const uint8_t ring_registrations[] = {
	IORING_REGISTER_BUFFERS,
	IORING_UNREGISTER_BUFFERS,
	IORING_REGISTER_IOWQ_MAX_WORKERS,
};
#define RING_OPS           (sizeof(ring_ops) / sizeof(ring_ops[0]))
#define RING_REGISTRATIONS (sizeof(ring_registrations) / sizeof(ring_registrations[0]))

static bool restrict_rings;

void loop_restrict_rings(void)
{
	restrict_rings = true;
}

/* Once, while the ring is disabled; the kernel refuses to change it. By hand, since Debian 12's
 * liburing.so lacks io_uring_register_restrictions(). */
int loop_ring_restrict(const struct io_uring *ring)
{
	struct io_uring_restriction r[RING_OPS + RING_REGISTRATIONS + 1] = {0};
	unsigned int count = 0;

	if (!restrict_rings)
		return 0;
	for (size_t i = 0; i < RING_OPS; i++, count++) {
		r[count].opcode = IORING_RESTRICTION_SQE_OP;
		r[count].sqe_op = ring_ops[i];
	}
	for (size_t i = 0; i < RING_REGISTRATIONS; i++, count++) {
		r[count].opcode = IORING_RESTRICTION_REGISTER_OP;
		r[count].register_op = ring_registrations[i];
	}
	r[count].opcode = IORING_RESTRICTION_SQE_FLAGS_ALLOWED;
	r[count++].sqe_flags = IOSQE_ASYNC;
	return syscall(__NR_io_uring_register, ring->ring_fd, IORING_REGISTER_RESTRICTIONS, r,
		       count)
		       ? -errno
		       : 0;
}
