/* SPDX-License-Identifier: MIT */
/*
 * Integration services as the VM uses them: a VSP for each, and requests to the
 * guest's side of it.
 *
 * A guest may answer late or never, which is legal: its daemon may not run. So
 * every request has a time limit of its own, and the channel outlives it: the
 * next request waits until the guest has answered the one before.
 *
 * Thread: control, all of it.
 */
#ifndef IC_IC_H
#define IC_IC_H

#include "hv/ic_reg.h"
#include "vsp/vsp.h"

struct ic_service;

extern const struct ic_service ic_heartbeat, ic_shutdown, ic_timesync, ic_kvp, ic_vss, ic_copy;

/* The config of vsp_device_create(). */
struct ic_config {
	const struct ic_service *service;
	const void *settings; /* the service's own; outlives the device. NULL: it has none */
	uint64_t tick_ns;     /* 0: the service's own period */
};

const struct vsp_ops *ic_vsp_ops(const struct ic_service *service);
const struct hv_guid *ic_instance(const struct ic_service *service);
const char *ic_name(const struct ic_service *service);

/* "closed", "negotiating", "ready" or "refused" (no common version); of an open channel only: with
 * " (no answer)" behind it when the guest, not paused, owes one for IC_SILENT_NS. */
const char *ic_state_text(struct vsp_device *dev);
#define IC_SILENT_NS 5000000000ull

/* ---- requests ------------------------------------------------------------ */

#define IC_QUEUE_MAX 16u /* requests of one service that wait */

/* One request and its answer. The caller's; from ic_request_start() to done() the frame's. */
struct ic_request {
	/* The body, in the full size of its kind; replaced by the answer's. */
	void *body;
	uint32_t size;
	uint64_t timeout_ns; /* from the start to the answer; 0: none */
	void (*done)(struct ic_request *r);
	/* Results. */
	int error;            /* 0: the guest answered. -errno: see ic_request_error() */
	uint32_t status;      /* IC_STATUS_*, of the answer */
	uint32_t answer_size; /* bytes of body that the guest sent */
	/* The frame's. */
	struct vsp_call call;
	struct list link;
	struct loop_timer deadline;
};

/* dev: NULL when the service is not offered. done(r) always, possibly before this returns. Errors:
 *   -ENODEV      the service is not offered
 *   -ENOTCONN    the guest has not opened the channel
 *   -EOPNOTSUPP  there is no version that both speak
 *   -EBUSY       IC_QUEUE_MAX requests wait already
 *   -ETIMEDOUT   no answer in time; one that comes later is dropped
 *   -ESHUTDOWN   the guest closed the channel, or ended */
void ic_request_start(struct vsp_device *dev, struct ic_request *r);

/* 0 when r succeeded; else -errno, with one line in e: `what` failed, and why. */
int ic_request_error(const struct ic_service *service, const struct ic_request *r, const char *what,
	struct err *e);

/* ---- heartbeat ----------------------------------------------------------- */

enum ic_heartbeat_state {
	IC_HEARTBEAT_NO_CONTACT, /* the guest has never answered */
	IC_HEARTBEAT_OK,
	IC_HEARTBEAT_LOST, /* it has, but did not answer for IC_HEARTBEAT_LOST_TICKS */
	IC_HEARTBEAT_PAUSED,
};

#define IC_HEARTBEAT_NS         2500000000ull
#define IC_HEARTBEAT_LOST_TICKS 3u

/* dev may be NULL. */
enum ic_heartbeat_state ic_heartbeat_state(struct vsp_device *dev);
const char *ic_heartbeat_state_name(enum ic_heartbeat_state state);

/* ---- time ---------------------------------------------------------------- */

#define IC_TIMESYNC_NS 5000000000ull

struct ic_timesync_settings {
	/* Any thread: the guest's reference time. False: it stands still, since the VM is paused.
	 */
	bool (*ref_time)(void *ctx, uint64_t *time);
	/* Any thread: UTC, ns since 1970. NULL: CLOCK_REALTIME. */
	uint64_t (*wall_clock)(void *ctx);
	void *ctx;
};

/* ---- key-value pairs: what the host says of itself ----------------------- */

#define IC_KVP_FACTS_MAX 8u

struct ic_kvp_settings {
	/* UTF-8, for pool IC_KVP_AUTO_EXTERNAL; sent after each negotiation. Up to NULL. */
	struct {
		const char *key, *value;
	} facts[IC_KVP_FACTS_MAX + 1];
};

#endif
