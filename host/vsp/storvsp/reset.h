/* SPDX-License-Identifier: MIT */
/*
 * Resets of LUNs, over all channels of a controller. A reset asks each channel,
 * on its own I/O thread, to abort what it has in flight for these LUNs, and is done
 * when all of that has come back. But a disk may never give a request back, and
 * a guest does not wait for ever: RESET_NS after its start a reset is done
 * anyway. What is late then completes when it comes, for its pages are in use
 * until then.
 *
 *   RUNNING --nothing is left of its LUNs--> POSTED --task--> done(all_back)
 *           --RESET_NS--> done(!all_back)
 *           --reset_stop()--> gone, nothing is called
 *
 * Any thread, except where noted. The lock is a leaf, and taken for resets and
 * aborted requests only.
 */
#ifndef STORVSP_RESET_H
#define STORVSP_RESET_H

#include <pthread.h>

#include "base/list.h"
#include "base/loop.h"
#include "scsi/scsi.h"

/* Linux gives up a reset after 5 s. */
#define RESET_NS 3000000000ull

struct reset_desk {
	pthread_mutex_t lock;
	struct list ports;
	struct list running;
	uint32_t left[SCSI_LUNS_MAX]; /* visits to be made, aborted requests to come back */
	uint64_t busy;                /* bit n: left[n] is not 0 */
};

/* A channel. Callbacks are on its loop. */
struct reset_port {
	struct reset_desk *desk;
	struct loop *loop;
	/* Aborts what is in flight: reset_took() for each request, reset_gave_back() when it ends,
	 * which is not inside of this. */
	void (*visit)(struct reset_port *port, uint64_t luns);
	/* The visit is over; the port may be left. */
	void (*visited)(struct reset_port *port);
	/* under lock */
	struct list link;
	uint64_t luns; /* of the next visit */
	bool posted;
	struct loop_task task;
};

struct reset {
	struct reset_desk *desk;
	struct loop *loop;
	uint64_t luns;
	void (*done)(struct reset *reset, bool all_back); /* on loop; once */
	struct list link;                                 /* under lock: in desk->running */
	struct loop_task task;
	struct loop_timer timer;
};

void reset_desk_init(struct reset_desk *desk);
void reset_desk_fini(struct reset_desk *desk);

/* port: loop, visit and visited are set. */
void reset_join(struct reset_desk *desk, struct reset_port *port);
/* True: the port is unused. False: visited(port) is on its way, leave then. */
bool reset_leave(struct reset_port *port);

/* On reset->loop; loop, luns and done are set. done is not called before this returns. */
void reset_start(struct reset_desk *desk, struct reset *reset);
/* On reset->loop, not done yet. True: done will not be called. */
bool reset_stop(struct reset *reset);

void reset_took(struct reset_desk *desk, uint32_t lun);
void reset_gave_back(struct reset_desk *desk, uint32_t lun);

#endif
