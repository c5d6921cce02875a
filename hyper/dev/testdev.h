/* SPDX-License-Identifier: MIT */
/*
 * The SynIC test device: flat guests request operations that a VSP performs by
 * itself. A 32-bit OUT to TESTDEV_PORT carries one operation on one slot:
 *
 *   FREE --CREATE_*--> ROUTE | MESSAGE | EVENT --DESTROY_*--> FREE
 *
 * A route permits SET_SINT to inject through (vp, sint). A message connection
 * forwards messages that the guest posts to its id to the SINT's message slot; an
 * event connection sets the event flag with the number of the connection.
 *
 * Source: the protocol of kvm-unit-tests. Only present with --test-device.
 * Threads: port writes and connection handlers on VP threads. Lock order: testdev.lock, then hv's;
 * handlers run under hv's connection lock and so must not take testdev.lock.
 */
#ifndef HYPER_TESTDEV_H
#define HYPER_TESTDEV_H

#include <pthread.h>
#include <stdint.h>

#include "base/archive.h"
#include "hyper/dev/pio.h"
#include "hyper/hv/hv.h"

#define TESTDEV_PORT  0x3000u
#define TESTDEV_SLOTS 256u

enum testdev_op {
	TESTDEV_CREATE_ROUTE = 1,
	TESTDEV_DESTROY_ROUTE = 2,
	TESTDEV_SET_SINT = 3,
	TESTDEV_CREATE_MESSAGE = 4,
	TESTDEV_DESTROY_MESSAGE = 5,
	TESTDEV_CREATE_EVENT = 6,
	TESTDEV_DESTROY_EVENT = 7,
};

/* Fields of the 32-bit command. */
#define TESTDEV_SINT(command) ((command)&0xFFu)
#define TESTDEV_VP(command)   (((command) >> 8) & 0xFFu)
#define TESTDEV_OP(command)   (((command) >> 16) & 0xFFu)
#define TESTDEV_ID(command)   (((command) >> 24) & 0xFFu)

enum testdev_kind { TESTDEV_FREE, TESTDEV_ROUTE, TESTDEV_MESSAGE, TESTDEV_EVENT };

struct testdev;

struct testdev_slot {
	struct testdev *dev;
	enum testdev_kind kind;
	uint32_t vp, sint, id; /* id: 0 for routes; constant while kind is not FREE */
	struct hv_connection conn;
};

struct testdev {
	pthread_mutex_t lock; /* commands, one at a time: held while slot[] changes */
	struct hv *hv;
	struct testdev_slot slot[TESTDEV_SLOTS];
};

/* Before the VPs start. hv must outlive the device. Errors of pio_add(). */
int testdev_init(struct testdev *t, struct pio *pio, struct hv *hv);
/* No VP runs. Reading adds the connections. */
void testdev_archive(struct testdev *t, struct archive *a);
/* After the VPs stopped: removes all connections. */
void testdev_fini(struct testdev *t);

#endif
