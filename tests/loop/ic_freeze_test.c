/* SPDX-License-Identifier: MIT */
/* Freezing: whatever ends while the guest is frozen, it is asked to thaw. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>

#include "tests/support/guest_ic.h"
#include "vsp/ic/freeze.h"

#define MS    1000000ull
#define LIMIT (3600000 * MS)

static const struct ic_config config = {.service = &ic_vss};

/* One caller of ic_freeze() or ic_thaw(). */
struct caller {
	bool done;
	char error[512]; /* "": none */
};

struct rig {
	struct guest_ic *s;
	struct ic_freeze freeze;
	struct vsp_device *dev;
	uint64_t limit_ns;
	struct caller *caller;
	bool idle;
};

static void note(void *ctx, const struct err *e)
{
	struct caller *c = ctx;

	snprintf(c->error, sizeof(c->error), "%s", e ? e->text : "");
	__atomic_store_n(&c->done, true, __ATOMIC_RELEASE);
}

static void run_init(void *arg)
{
	struct rig *r = arg;

	ic_freeze_init(&r->freeze, &r->s->g.control, &r->dev);
}

static void run_freeze(void *arg)
{
	struct rig *r = arg;

	ic_freeze(&r->freeze, r->limit_ns, note, r->caller);
}

static void run_thaw(void *arg)
{
	struct rig *r = arg;

	ic_thaw(&r->freeze, note, r->caller);
}

static void run_gone(void *arg)
{
	struct rig *r = arg;

	r->dev = NULL;
	ic_freeze_guest_gone(&r->freeze);
}

static void begin(struct rig *r)
{
	*r = (struct rig){.s = guest_ic_create(&config, 1)};
	r->dev = r->s->dev;
	guest_control(&r->s->g, run_init, r);
	guest_ic_open_ready(r->s);
}

static void end(struct rig *r)
{
	guest_shut_down(&r->s->g);
	guest_control(&r->s->g, run_gone, r);
	guest_ic_destroy(r->s);
}

static void start(struct rig *r, struct caller *c, uint64_t limit_ns)
{
	*c = (struct caller){0};
	r->caller = c;
	r->limit_ns = limit_ns;
	guest_control(&r->s->g, run_freeze, r);
}

static void start_thaw(struct rig *r, struct caller *c)
{
	*c = (struct caller){0};
	r->caller = c;
	guest_control(&r->s->g, run_thaw, r);
}

static void expect(struct rig *r, enum ic_vss_operation operation)
{
	const struct ic_vss *m = guest_ic_expect(r->s, IC_VSS);

	assert_int_equal(r->s->len, 48);
	assert_int_equal(m->operation, operation);
	assert_int_equal(m->lun_count, 0);
}

static void answer(struct rig *r, enum ic_vss_operation operation, uint32_t status)
{
	expect(r, operation);
	guest_ic_answer(r->s, status);
}

static void said(struct rig *r, struct caller *c, const char *text)
{
	guest_ic_wait_flag(r->s, &c->done);
	if (*text ? !strstr(c->error, text) : *c->error)
		fail_msg("'%s' instead of '%s'", c->error, text);
}

static void freeze(struct rig *r, uint64_t limit_ns)
{
	struct caller c;

	start(r, &c, limit_ns);
	answer(r, IC_VSS_HOT_BACKUP, 0);
	answer(r, IC_VSS_FREEZE, 0);
	said(r, &c, "");
}

static void note_idle(void *arg)
{
	struct rig *r = arg;

	r->idle = r->freeze.state == IC_FREEZE_IDLE;
}

/* The last answer may still be on its way to the control thread. */
static void wait_idle(struct rig *r)
{
	r->idle = false;
	while (!r->idle)
		guest_control(&r->s->g, note_idle, r);
}

/* The guest is not frozen any more, and can be frozen again. */
static void works(struct rig *r)
{
	struct caller c;

	wait_idle(r);
	freeze(r, LIMIT);
	start_thaw(r, &c);
	answer(r, IC_VSS_THAW, 0);
	answer(r, IC_VSS_BACKUP_COMPLETE, 0);
	said(r, &c, "");
	assert_true(guest_ic_is_silent(r->s));
}

static void freeze_and_thaw(void **state)
{
	struct caller c, second;
	struct rig r;

	begin(&r);
	works(&r);
	start_thaw(&r, &c);
	said(&r, &c, "are not frozen");
	freeze(&r, LIMIT);
	start(&r, &second, LIMIT);
	said(&r, &second, "the guest is frozen");
	start_thaw(&r, &c);
	answer(&r, IC_VSS_THAW, 0);
	answer(&r, IC_VSS_BACKUP_COMPLETE, IC_STATUS_FAIL); /* it is thawed all the same */
	said(&r, &c, "");
	works(&r);
	end(&r);
}

static void a_guest_that_cannot(void **state)
{
	struct caller c;
	struct rig r;

	begin(&r);
	start(&r, &c, LIMIT);
	answer(&r, IC_VSS_HOT_BACKUP, IC_STATUS_FAIL);
	said(&r, &c, "does it run hv_vss_daemon");
	assert_true(guest_ic_is_silent(r.s)); /* nothing was frozen */
	works(&r);
	end(&r);
}

/* The daemon may still freeze later. */
static void a_freeze_that_fails_is_thawed(void **state)
{
	struct caller c;
	struct rig r;

	begin(&r);
	start(&r, &c, LIMIT);
	answer(&r, IC_VSS_HOT_BACKUP, 0);
	answer(&r, IC_VSS_FREEZE, IC_STATUS_FAIL);
	said(&r, &c, "could not do it");
	answer(&r, IC_VSS_THAW, 0);
	answer(&r, IC_VSS_BACKUP_COMPLETE, 0);
	works(&r);
	end(&r);
}

static void vss_answer_that_never_comes(void **state)
{
	struct caller c;
	struct rig r;

	begin(&r);
	start(&r, &c, 2000 * MS);
	answer(&r, IC_VSS_HOT_BACKUP, 0);
	expect(&r, IC_VSS_FREEZE);
	said(&r, &c, "did not answer in time");
	assert_true(guest_ic_is_silent(r.s)); /* one message at a time */
	guest_ic_answer(r.s, 0);              /* it is frozen after all */
	answer(&r, IC_VSS_THAW, 0);
	answer(&r, IC_VSS_BACKUP_COMPLETE, 0);
	works(&r);
	end(&r);
}

static void time_is_up(void **state)
{
	struct caller c;
	struct rig r;

	begin(&r);
	freeze(&r, 3000 * MS); /* and its caller is gone */
	answer(&r, IC_VSS_THAW, 0);
	answer(&r, IC_VSS_BACKUP_COMPLETE, 0);
	wait_idle(&r);
	start_thaw(&r, &c);
	said(&r, &c, "time of the freeze was up");
	works(&r);
	end(&r);
}

/* As long as the guest says that it did not thaw, it is asked again. */
static void a_daemon_that_dies(void **state)
{
	struct caller c;
	struct rig r;

	begin(&r);
	freeze(&r, LIMIT);
	start_thaw(&r, &c);
	answer(&r, IC_VSS_THAW, IC_STATUS_FAIL);
	said(&r, &c, "could not do it");
	answer(&r, IC_VSS_THAW, IC_STATUS_FAIL);
	answer(&r, IC_VSS_THAW, 0);
	answer(&r, IC_VSS_BACKUP_COMPLETE, 0);
	works(&r);
	end(&r);
}

/* The driver is unloaded and loaded while file systems are frozen. */
static void a_channel_that_closes(void **state)
{
	struct rig r;

	begin(&r);
	freeze(&r, 3000 * MS);
	guest_chan_close(&r.s->chan);
	guest_ic_open_ready(r.s);
	answer(&r, IC_VSS_THAW, 0);
	answer(&r, IC_VSS_BACKUP_COMPLETE, 0);
	works(&r);
	end(&r);
}

static void a_guest_that_ends(void **state)
{
	struct caller frozen, thaw;
	struct rig r;

	begin(&r);
	start(&r, &frozen, LIMIT);
	expect(&r, IC_VSS_HOT_BACKUP);
	guest_shut_down(&r.s->g);
	said(&r, &frozen, "ended or closed");
	guest_control(&r.s->g, run_gone, &r);
	start_thaw(&r, &thaw);
	said(&r, &thaw, "are not frozen");
	start(&r, &frozen, LIMIT); /* no guest, no service */
	said(&r, &frozen, "does not offer vss");
	guest_ic_destroy(r.s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(freeze_and_thaw),
		cmocka_unit_test(a_guest_that_cannot),
		cmocka_unit_test(a_freeze_that_fails_is_thawed),
		cmocka_unit_test(vss_answer_that_never_comes),
		cmocka_unit_test(time_is_up),
		cmocka_unit_test(a_daemon_that_dies),
		cmocka_unit_test(a_channel_that_closes),
		cmocka_unit_test(a_guest_that_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
