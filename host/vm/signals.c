/* SPDX-License-Identifier: MIT */
#include "vm/signals.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "base/thread.h"
#include "base/time.h"

/* overdue() has the last part of the limit. */
#define OVERDUE_PART 10u

/* ---- the end of the limit ------------------------------------------------ */

static struct timespec timespec_of(uint64_t ns)
{
	return (struct timespec){
		.tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S)};
}

/* Until the process ends, or must. */
static void *overdue_main(void *arg)
{
	struct signals *s = arg;

	thread_enter(THREAD_HELPER, "overdue");
	while (sem_wait(&s->due))
		; /* a handler of a signal ran */
	s->ops->overdue(s->ctx);
	return NULL;
}

/* On a thread of its own, which may hang as the others do. It is there already: a new one takes
 * locks that a thread that hangs may have. */
static void call_overdue(struct signals *s)
{
	struct timespec until = timespec_of(loop_now_ns() + s->limit_ns / OVERDUE_PART);

	sem_post(&s->due);
	pthread_clockjoin_np(s->overdue, NULL, CLOCK_MONOTONIC, &until);
}

/* The process ends by the signal itself. */
static void end_process(struct signals *s, int signo)
{
	sigset_t set;

	call_overdue(s);
	signal(signo, SIG_DFL);
	sigemptyset(&set);
	sigaddset(&set, signo);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	raise(signo);
	_exit(128 + signo); /* the first process of a PID namespace survives its own signals */
}

/* ---- the thread ---------------------------------------------------------- */

static void forward(struct signals *s, int signo)
{
	pthread_mutex_lock(&s->lock);
	if (s->loop && !atomic_fetch_or(&s->pending, 1ull << signo))
		loop_post(s->loop, &s->task);
	pthread_mutex_unlock(&s->lock);
}

/* The next signal; -EAGAIN: the time is over. end_ns 0: waits for ever. */
static int wait_until(const sigset_t *set, uint64_t end_ns)
{
	uint64_t now = loop_now_ns();
	struct timespec wait = timespec_of(end_ns > now ? end_ns - now : 0);
	int signo;

	do
		signo = end_ns ? sigtimedwait(set, NULL, &wait) : sigwaitinfo(set, NULL);
	while (signo < 0 && errno == EINTR);
	return signo < 0 ? -errno : signo;
}

static void *thread_main(void *arg)
{
	struct signals *s = arg;

	thread_enter(THREAD_HELPER, "signals");
	for (;;) {
		int signo = wait_until(&s->set, s->end_ns);

		if (signo < 0)
			break;
		forward(s, signo);
		if (signo == SIGCONT || s->first)
			continue;
		s->first = signo;
		s->end_ns = loop_now_ns() + s->limit_ns - s->limit_ns / OVERDUE_PART;
	}
	end_process(s, s->first);
	return NULL;
}

/* ---- the loop ------------------------------------------------------------ */

static void caught(struct loop_task *task)
{
	struct signals *s = container_of(task, struct signals, task);
	uint64_t pending = atomic_exchange(&s->pending, 0);

	ON_LOOP(s->loop);
	for (int signo = 1; signo < 64; signo++)
		if (pending >> signo & 1)
			s->ops->caught(s->ctx, signo);
}

/* nohup, for one, starts programs with SIGHUP ignored. */
static bool ignored(int signo)
{
	struct sigaction old;

	return !sigaction(signo, NULL, &old) && old.sa_handler == SIG_IGN;
}

void signals_ignore(void)
{
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
}

static int start_threads(struct signals *s)
{
	int ret;

	pthread_mutex_init(&s->lock, NULL);
	sem_init(&s->due, 0, 0);
	ret = thread_create(&s->overdue, NULL, overdue_main, s);
	return ret ? ret : thread_create(&s->thread, NULL, thread_main, s);
}

int signals_open(struct signals *s, struct loop *loop, const struct signals_ops *ops, void *ctx,
	uint64_t limit_ns, struct err *e)
{
	int ret;

	ON_LOOP(loop);
	*s = (struct signals){.ops = ops, .ctx = ctx, .limit_ns = limit_ns, .task.fn = caught};
	sigemptyset(&s->set);
	sigaddset(&s->set, SIGINT);
	sigaddset(&s->set, SIGTERM);
	sigaddset(&s->set, SIGCONT);
	if (!ignored(SIGHUP))
		sigaddset(&s->set, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &s->set, NULL);
	s->loop = loop;
	ret = start_threads(s);
	if (!ret)
		return 0;
	s->loop = NULL;
	return err_set(e, ret, "cannot start a thread for signals: %s", strerror(-ret));
}

void signals_close(struct signals *s)
{
	if (!s->loop)
		return;
	ON_LOOP(s->loop);
	pthread_mutex_lock(&s->lock);
	s->loop = NULL;
	pthread_mutex_unlock(&s->lock);
}
