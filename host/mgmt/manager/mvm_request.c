/* SPDX-License-Identifier: MIT */
/* Requests to managed VMs, and what their workers say of their state. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "mgmt/manager/ask.h"
#include "mgmt/manager/manager.h"
#include "mgmt/manager/operation.h"

/* How often a worker is asked for its state: while the state is one that ends by itself, and else.
 */
#define POLL_PASSING_NS (30 * NS_PER_MS)
#define POLL_STEADY_NS  NS_PER_S
#define POLL_QUICK      200u /* then a state that passes is as any other */
#define ANSWER_MAX      (64u << 10)
/* A worker ends within 15 s after SIGTERM (host/vm/signals.h); then it is killed. */
#define KILL_NS (17 * NS_PER_S)

/* ---- answers ------------------------------------------------------------- */

/* A VM may be gone, or have another worker, when an answer comes. */
struct question {
	struct manager *m;
	char vm[GUID_TEXT];
	uint64_t run_number;
	uint64_t job;
	mvm_answered_fn *answered;
};

static void on_answer(void *ctx, json_t *reply, int error, const struct err *e)
{
	struct question *q = ctx;
	struct mvm *v = manager_find(q->m, q->vm);

	if (v && v->run_number == q->run_number)
		q->answered(v, jobs_find(&q->m->jobs, q->job), reply, error, e);
	free(q);
}

int mvm_ask(struct mvm *v, json_t *request, unsigned timeout_ms, const struct job *job,
	mvm_answered_fn *answered)
{
	struct question *q = malloc(sizeof(*q));
	char path[PATH_MAX];
	struct ask *ask = NULL;

	mvm_path(v, "sock", path);
	if (q && request) {
		*q = (struct question){.m = v->m,
			.run_number = v->run_number,
			.job = job ? job->id : 0,
			.answered = answered};
		memcpy(q->vm, v->def.id, sizeof(q->vm));
		ask = ask_start(v->m->loop, path, v->run.id.pid, request, timeout_ms, on_answer, q);
	}
	json_decref(request);
	if (ask)
		ask_limit(ask, ANSWER_MAX);
	if (ask)
		return 0;
	free(q);
	return -ENOMEM;
}

/* ---- cancelling a save --------------------------------------------------- */

static void ignore(struct mvm *v, struct job *job, json_t *reply, int error, const struct err *e)
{
}

/* The request may come before that to save: it is repeated until there is an answer to that. */
static void ask_to_cancel(struct mvm *v)
{
	mvm_ask(v, json_pack("{s:s}", "command", "cancel-save"), CTL_TIMEOUT_MS, NULL, ignore);
}

void mvm_cancel_save(struct mvm *v)
{
	v->cancelling = true;
	ask_to_cancel(v);
}

static void show_progress(struct mvm *v, const json_t *status)
{
	json_int_t percent = json_integer_value(json_object_get(status, "save_percent"));

	if (percent <= 0 || percent > 100)
		return;
	jobs_progress(&v->m->jobs, v->def.id, VMMS_SAVE, (unsigned)percent);
	jobs_progress(&v->m->jobs, v->def.id, VMMS_SNAPSHOT,
		(unsigned)percent * SNAPSHOT_MEMORY_PERCENT / 100);
}

/* ---- state --------------------------------------------------------------- */

/* What was asked of the worker, and has not failed. 0, or -errno: the next manager may not know it.
 */
static int update_wanted(struct mvm *v, bool saving, struct err *e)
{
	bool wanted = saving || v->shutdowns || v->run.stopping;

	if (wanted == v->run.wanted && saving == v->run.saving)
		return 0;
	v->run.wanted = wanted;
	v->run.saving = saving;
	return mvm_write_record(v, e);
}

static void keep_wanted(struct mvm *v, bool saving)
{
	struct err e;

	if (update_wanted(v, saving, &e))
		log_error("VM %s: %s", v->def.id, e.text);
}

/* The guest goes on: an image that was written all the same is not of its state. */
static void not_saved(struct mvm *v)
{
	struct err e;

	if (mvm_remove_image(v, "image", &e))
		log_error("VM %s: %s", v->def.id, e.text);
	v->undecided = false;
	keep_wanted(v, false);
}

/* No answer is waited for, and the guest runs: what was asked, maybe of an earlier manager, has
 * failed. */
static void runs(struct mvm *v)
{
	mvm_ran(v);
	if (v->run.old_nics)
		mvm_replace_nics(v);
	if (v->run.saving && !v->saves)
		not_saved(v);
	else
		keep_wanted(v, v->run.saving);
}

/* The end of a worker that we asked to end is near, whatever it says. One that ends by itself may
 * go on: its guest resets. */
static void follow(struct mvm *v, json_t *status)
{
	const char *name = json_string_value(json_object_get(status, "state"));
	enum vmms_state state;

	json_decref(v->status);
	v->status = json_incref(status);
	if (v->asked || v->run.stopping || !name || !vmms_state_of_worker(name, &state))
		return;
	if (state == VMMS_RUNNING)
		runs(v);
	if (v->run.paused)
		mvm_snapshot_recover(v, state);
	mvm_set_state(v, state, NULL);
}

static void poll_due(struct loop_timer *t);

static void poll_later(struct mvm *v)
{
	v->quick = vmms_is_passing(v->state) ? v->quick + 1 : 0;
	loop_timer_start(v->m->loop, &v->poll_timer,
		v->quick && v->quick < POLL_QUICK ? POLL_PASSING_NS : POLL_STEADY_NS, poll_due);
}

static void on_status(struct mvm *v, struct job *job, json_t *reply, int error, const struct err *e)
{
	v->polling = false;
	if (reply) {
		show_progress(v, reply);
		follow(v, reply);
	}
	poll_later(v);
}

static void poll_due(struct loop_timer *t)
{
	struct mvm *v = container_of(t, struct mvm, poll_timer);

	mvm_trim_text(v, "console");
	mvm_trim_text(v, "log");
	mvm_trim_status(v);
	if (v->cancelling)
		ask_to_cancel(v);
	if (!v->polling)
		v->polling = !mvm_ask(v, json_pack("{s:s}", "command", "status"), CTL_TIMEOUT_MS,
			NULL, on_status);
	if (!v->polling)
		poll_later(v);
}

void mvm_poll_soon(struct mvm *v)
{
	if (!v->polling)
		poll_later(v);
}

/* ---- requests to workers ------------------------------------------------- */

static void end_job(struct mvm *v, struct job *job, const struct err *e)
{
	if (job)
		jobs_end(&v->m->jobs, job, e);
}

/* PAUSE, RESUME. The job ends when the state is what was asked for. */
static void on_changed(
	struct mvm *v, struct job *job, json_t *reply, int error, const struct err *e)
{
	bool pausing = v->state == VMMS_PAUSING;

	v->asked--;
	if (v->run.stopping)
		return;
	if (reply)
		mvm_set_state(v, pausing ? VMMS_PAUSED : VMMS_RUNNING, NULL);
	end_job(v, job, e);
	mvm_poll_soon(v);
}

static int change(struct mvm *v, struct job *job, const char *command, enum vmms_state passing)
{
	int ret = mvm_ask(v, json_pack("{s:s}", "command", command), CTL_WAIT_MS, job, on_changed);

	if (ret)
		return ret;
	v->asked++;
	mvm_set_state(v, passing, NULL);
	return 0;
}

static int pause_vm(struct mvm *v, struct job *job, unsigned timeout_s)
{
	return change(v, job, "pause", VMMS_PAUSING);
}

/* Of a VM that pauses: the answer to the pause says that it was cancelled. */
static int resume_vm(struct mvm *v, struct job *job, unsigned timeout_s)
{
	return change(v, job, "resume", VMMS_RESUMING);
}

/* Without an answer the save may go on, or be complete: the end of the process decides (mvm.c), or
 * that it says that the guest runs. */
static void on_saved(struct mvm *v, struct job *job, json_t *reply, int error, const struct err *e)
{
	v->asked--;
	v->saves--;
	v->cancelling = false;
	if (reply || v->run.stopping)
		return; /* its process ends */
	if (error != -EBUSY)
		v->undecided = true;
	else if (!v->saves && !v->undecided)
		not_saved(v);
	end_job(v, job, e);
	mvm_poll_soon(v);
}

static int save_vm(struct mvm *v, struct job *job, unsigned timeout_s)
{
	const struct run was = v->run;
	char image[PATH_MAX];
	struct err e;
	int ret;

	mvm_image_path(v, "image", image);
	mvm_forget_trust(v);
	v->run.paused = false; /* that it stands still is the user's wish now */
	ret = update_wanted(v, true, &e);
	if (!ret && mvm_ask(v,
			    json_pack("{s:s, s:s, s:s}", "command", "save", "file", image,
				    "directory", "/"),
			    CTL_COPY_MS, job, on_saved))
		ret = err_set(&e, -ENOMEM, "out of memory");
	if (ret) {
		v->run = was;
		mvm_record(v); /* it may have been written all the same */
		end_job(v, job, &e);
		return 0;
	}
	v->asked++;
	v->saves++;
	mvm_set_state(v, VMMS_SAVING, NULL);
	return 0;
}

/* A guest that was asked to end may reset instead: it begins anew. */
static bool guest_reset(const json_t *reply)
{
	const char *how = json_string_value(json_object_get(reply, "guest"));

	return how && !strcmp(how, "reset");
}

static void on_shutdown(
	struct mvm *v, struct job *job, json_t *reply, int error, const struct err *e)
{
	struct err reset;

	v->shutdowns--;
	if (v->run.stopping || (reply && !guest_reset(reply)))
		return; /* the guest ended: so does its process */
	err_set(&reset, -ECANCELED, "the guest reset, and did not end");
	keep_wanted(v, v->run.saving);
	end_job(v, job, reply ? &reset : e);
}

static int shut_down(struct mvm *v, struct job *job, unsigned timeout_s)
{
	int ret = mvm_ask(v,
		json_pack("{s:s, s:i}", "command", "shutdown", "timeout", (int)timeout_s),
		CTL_WAIT_MS + timeout_s * 1000, job, on_shutdown);

	if (ret)
		return ret;
	v->shutdowns++;
	keep_wanted(v, v->run.saving);
	return 0;
}

/* ---- stop ---------------------------------------------------------------- */

static void send_signal(const struct mvm *v, int signo)
{
	syscall(SYS_pidfd_send_signal, v->pidfd, signo, NULL, 0);
}

static void kill_due(struct loop_timer *t)
{
	struct mvm *v = container_of(t, struct mvm, kill_timer);

	log_error("VM %s: its process does not end; killing it", v->def.id);
	send_signal(v, SIGKILL);
}

void mvm_stop_worker(struct mvm *v)
{
	mvm_set_state(v, VMMS_STOPPING, NULL);
	send_signal(v, SIGCONT); /* it may be stopped */
	send_signal(v, SIGTERM);
	if (!v->kill_timer.armed)
		loop_timer_start(v->m->loop, &v->kill_timer, KILL_NS, kill_due);
}

/* A save that is stopped has no image: the state is lost, as the user wants. */
static int stop_vm(struct mvm *v, struct job *job, unsigned timeout_s)
{
	struct err e;

	if (v->state == VMMS_CRITICAL) {
		loop_timer_cancel(&v->restart_timer);
		mvm_forget_record(v);
		mvm_set_state(v, VMMS_OFF, NULL);
		return 0;
	}
	v->run.wanted = v->run.stopping = true;
	v->run.saving = false;
	mvm_record(v);
	if (v->state == VMMS_SAVING)
		mvm_remove_image(v, "image", &e);
	mvm_stop_worker(v);
	return 0;
}

/* ---- the others ---------------------------------------------------------- */

static int start_vm(struct mvm *v, struct job *job, unsigned timeout_s)
{
	struct err e;
	int ret = mvm_start(v, &e);

	if (ret)
		mvm_set_state(v, v->state, &e);
	if (ret)
		end_job(v, job, &e);
	return 0;
}

static int discard(struct mvm *v, struct job *job, unsigned timeout_s)
{
	struct err e;
	int ret = mvm_remove_image(v, "image", &e);

	if (!ret)
		mvm_forget_trust(v);
	end_job(v, job, ret ? &e : NULL); /* before the state ends it */
	if (!ret)
		mvm_set_state(v, VMMS_OFF, NULL);
	return 0;
}

static int (*const begin[VMMS_REQUESTS])(struct mvm *v, struct job *job, unsigned timeout_s) = {
	[VMMS_START] = start_vm,
	[VMMS_SHUTDOWN] = shut_down,
	[VMMS_STOP] = stop_vm,
	[VMMS_PAUSE] = pause_vm,
	[VMMS_RESUME] = resume_vm,
	[VMMS_SAVE] = save_vm,
	[VMMS_DISCARD] = discard,
};

/* Those that would lose a NIC, or keep the address of the original. */
static bool needs_own_nics(enum vmms_request request)
{
	return request == VMMS_SAVE || request == VMMS_PAUSE || request == VMMS_SNAPSHOT ||
	       request == VMMS_DEVICES;
}

int mvm_check(const struct mvm *v, enum vmms_request request, struct err *e)
{
	const char *name = vmms_request_name(request);

	if (!vmms_allows(v->state, request))
		return err_set(e, -EBUSY, "%s: not possible while the VM is %s", name,
			vmms_state_name(v->state));
	if (v->held)
		return err_set(e, -EBUSY, "%s: not possible: %.400s", name, v->reason.text);
	if (v->op && request != VMMS_STOP && request != VMMS_ASK && request != VMMS_CLONE)
		return err_set(
			e, -EBUSY, "%s: not possible while a snapshot is taken or restored", name);
	if (v->half_restored && request != VMMS_APPLY && request != VMMS_REMOVE &&
		!vmms_is_live(v->state))
		return err_set(e, -EBUSY,
			"%s: not possible: a restore has ended half-way; restore a snapshot", name);
	if (v->changes && request == VMMS_SNAPSHOT)
		return err_set(e, -EBUSY,
			"%s: not possible: its devices are being changed; try again in a moment",
			name);
	if (vmms_is_live(v->state) && v->run.old_nics && needs_own_nics(request))
		return err_set(e, -EBUSY,
			"%s: not possible: its NICs are being replaced; try again in a moment",
			name);
	return 0;
}

int mvm_request(struct mvm *v, enum vmms_request request, unsigned timeout_s, struct job **job,
	struct err *e)
{
	int ret = mvm_check(v, request, e);

	if (ret)
		return ret;
	*job = jobs_add(&v->m->jobs, v->def.id, request);
	if (!*job)
		return err_set(e, -EAGAIN, "too many requests run; try again later");
	ret = begin[request](v, *job, timeout_s);
	if (!ret)
		return 0;
	err_set(e, ret, "%s: %s", vmms_request_name(request), strerror(-ret));
	end_job(v, *job, e);
	return ret;
}
