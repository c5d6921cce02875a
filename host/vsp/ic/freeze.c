/* SPDX-License-Identifier: MIT */
#include "vsp/ic/freeze.h"

#include <errno.h>

#include "base/log.h"
#include "vsp/ic/ic_impl.h"

#define COMPLETE_NS 30000000000ull

static const char *const state_names[] = {
	[IC_FREEZE_IDLE] = "idle",
	[IC_FREEZE_ASKING] = "asking",
	[IC_FREEZE_FREEZING] = "freezing",
	[IC_FREEZE_FROZEN] = "frozen",
	[IC_FREEZE_THAWING] = "thawing",
	[IC_FREEZE_COMPLETING] = "completing",
};

const char *ic_freeze_state_name(const struct ic_freeze *f)
{
	return state_names[f->state];
}

/* ---- who waits ----------------------------------------------------------- */

static void answer(struct ic_freeze_waiter *waiter, const struct err *e)
{
	struct ic_freeze_waiter w = *waiter;

	waiter->done = NULL;
	if (w.done)
		w.done(w.ctx, e);
}

static int refuse(void (*done)(void *ctx, const struct err *e), void *ctx, const char *why)
{
	struct err e;

	err_set(&e, -EBUSY, "%s", why);
	done(ctx, &e);
	return -EBUSY;
}

/* ---- messages ------------------------------------------------------------ */

static void ask(struct ic_freeze *f, enum ic_freeze_state state, enum ic_vss_operation operation,
	uint64_t timeout_ns, void (*done)(struct ic_request *r))
{
	f->state = state;
	f->body = (struct ic_vss){.operation = operation};
	f->request.body = &f->body;
	f->request.size = sizeof(f->body);
	f->request.timeout_ns = timeout_ns;
	f->request.done = done;
	ic_request_start(*f->dev, &f->request);
}

static struct ic_freeze *freeze_of(struct ic_request *r)
{
	return container_of(r, struct ic_freeze, request);
}

/* ---- thawing ------------------------------------------------------------- */

static void completed(struct ic_request *r)
{
	struct ic_freeze *f = freeze_of(r);

	f->state = IC_FREEZE_IDLE;
	answer(&f->thawer, NULL);
}

static void thaw(struct ic_freeze *f);

static void thaw_again(struct loop_timer *timer)
{
	thaw(container_of(timer, struct ic_freeze, timer));
}

/* No time limit: the thaw stays with the guest until it answers, or its channel closes. */
static void thawed(struct ic_request *r)
{
	struct ic_freeze *f = freeze_of(r);
	struct err e;

	if (!ic_request_error(&ic_vss, r, "thaw", &e)) {
		ask(f, IC_FREEZE_COMPLETING, IC_VSS_BACKUP_COMPLETE, COMPLETE_NS, completed);
		return;
	}
	answer(&f->thawer, &e);
	loop_timer_start(f->control, &f->timer, IC_FREEZE_RETRY_NS, thaw_again);
}

static void thaw(struct ic_freeze *f)
{
	ask(f, IC_FREEZE_THAWING, IC_VSS_THAW, 0, thawed);
}

static void time_is_up(struct loop_timer *timer)
{
	struct ic_freeze *f = container_of(timer, struct ic_freeze, timer);

	log_event(LOG_WARN, "freeze: its time is up, the guest's file systems are thawed");
	f->late = true;
	thaw(f);
}

/* ---- freezing ------------------------------------------------------------ */

static void frozen(struct ic_request *r)
{
	struct ic_freeze *f = freeze_of(r);
	struct err e;

	if (!ic_request_error(&ic_vss, r, "freeze", &e)) {
		f->state = IC_FREEZE_FROZEN;
		loop_timer_start(f->control, &f->timer, f->limit_ns, time_is_up);
		answer(&f->freezer, NULL);
		return;
	}
	thaw(f);
	answer(&f->freezer, &e);
}

/* Question and freeze share the limit of the caller, who waits no longer. */
static uint64_t time_left(const struct ic_freeze *f)
{
	uint64_t now = loop_now_ns(), end = f->began_ns + f->limit_ns;

	return end > now ? end - now : 1;
}

/* The flags of the answer say what kinds of backup are possible. Linux means to set some, but does
 * not: its driver reads the operation from where the daemon has put its result. */
static void asked(struct ic_request *r)
{
	struct ic_freeze *f = freeze_of(r);
	struct err e;

	if (!ic_request_error(&ic_vss, r, "freeze", &e)) {
		ask(f, IC_FREEZE_FREEZING, IC_VSS_FREEZE, time_left(f), frozen);
		return;
	}
	f->state = IC_FREEZE_IDLE;
	answer(&f->freezer, &e);
}

/* ---- calls --------------------------------------------------------------- */

void ic_freeze_init(struct ic_freeze *f, struct loop *control, struct vsp_device **dev)
{
	*f = (struct ic_freeze){.control = control, .dev = dev};
}

void ic_freeze(struct ic_freeze *f, uint64_t limit_ns, void (*done)(void *ctx, const struct err *e),
	void *ctx)
{
	ON_LOOP(f->control);
	if (f->state != IC_FREEZE_IDLE) {
		refuse(done, ctx, "freeze: the guest is frozen, or thaws; see `status`");
		return;
	}
	f->late = false;
	f->limit_ns = limit_ns;
	f->began_ns = loop_now_ns();
	f->freezer = (struct ic_freeze_waiter){done, ctx};
	ask(f, IC_FREEZE_ASKING, IC_VSS_HOT_BACKUP, limit_ns, asked);
}

static const char *not_frozen(const struct ic_freeze *f)
{
	if (f->late)
		return "thaw: the time of the freeze was up before; what was done meanwhile is not consistent";
	return "thaw: the guest's file systems are not frozen";
}

void ic_thaw(struct ic_freeze *f, void (*done)(void *ctx, const struct err *e), void *ctx)
{
	ON_LOOP(f->control);
	if (f->state != IC_FREEZE_FROZEN) {
		refuse(done, ctx, not_frozen(f));
		return;
	}
	loop_timer_cancel(&f->timer);
	f->thawer = (struct ic_freeze_waiter){done, ctx};
	thaw(f);
}

void ic_freeze_guest_gone(struct ic_freeze *f)
{
	struct err e;

	loop_timer_cancel(&f->timer);
	f->state = IC_FREEZE_IDLE;
	err_set(&e, -ESHUTDOWN, "the guest ended");
	answer(&f->freezer, &e);
	answer(&f->thawer, &e);
}

/* ---- the channel --------------------------------------------------------- */

struct vss_channel {
	struct ic_channel ic;
	_Alignas(8) uint8_t message[IC_MESSAGE(sizeof(struct ic_vss))];
};

const struct ic_service ic_vss = {
	.vsp = IC_VSP("vss", IC_VSS_CLASS, struct vss_channel),
	.name = "vss",
	.needs = "hv_vss_daemon",
	.instance = IC_VSS_INSTANCE,
	.type = IC_VSS,
	.version_count = 1,
	.versions = {{5, 0}},
	.body_max = sizeof(struct ic_vss),
	.message = offsetof(struct vss_channel, message),
};
