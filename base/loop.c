/* SPDX-License-Identifier: MIT */
/*
 * The ring is created disabled: with IORING_SETUP_SINGLE_ISSUER it belongs to
 * the thread that enables it, and a loop is created by the control thread but
 * run by another. Entries armed before that wait in the submission queue.
 *
 * A loop event has at most one read and one cancel in the ring:
 *
 *   idle --start--> armed --read done--> armed (after fn)
 *   armed --stop--> armed + cancelling --both done, in any order--> stopped()
 *
 * The read waits in the ring whether or not the eventfd is O_NONBLOCK.
 */
#include "base/loop.h"

#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/counter.h"
#include "base/log.h"
#include "base/loop_ring.h"
#include "base/thread.h"
#include "base/time.h"

_Thread_local const struct loop *loop_of_thread;

/* ---- ring ---------------------------------------------------------------- */

/* By hand, because Debian 12's liburing.so lacks io_uring_enable_rings(). */
static void ring_enable(struct loop *loop)
{
	long rc = syscall(
		__NR_io_uring_register, loop->ring.ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);

	assert(rc == 0);
	(void)rc;
	loop->enabled = true;
}

/* The second number, of threads for what may sleep for ever, like sockets, stays. 0 asks. */
static void ring_set_threads(struct loop *loop, unsigned int *threads)
{
	unsigned int values[2] = {*threads, 0};
	int rc = io_uring_register_iowq_max_workers(&loop->ring, values);

	if (rc)
		log_event(LOG_WARN, "%s: cannot set the number of kernel threads: %s", loop->name,
			strerror(-rc));
	*threads = values[0];
}

void loop_add_threads(struct loop *loop, int more)
{
	unsigned int threads;

	ON_LOOP(loop);
	loop->threads += (uint32_t)more;
	threads = loop->threads;
	if (loop->enabled)
		ring_set_threads(loop, &threads);
}

struct io_uring_sqe *loop_sqe(struct loop *loop, struct loop_op *op)
{
	struct io_uring_sqe *sqe;

	ON_LOOP(loop);
	while (!(sqe = io_uring_get_sqe(&loop->ring))) {
		int rc;

		assert(loop->enabled);
		rc = io_uring_submit(&loop->ring);
		if (rc < 0) /* out of kernel memory: retry */
			sched_yield();
	}
	io_uring_sqe_set_data(sqe, op);
	return sqe;
}

/* Only completions present at the start, so that a turn ends. An entry is released before `done`,
 * which may submit and need the room. */
static void reap(struct loop *loop)
{
	struct io_uring_cqe *cqe;
	unsigned int ready = io_uring_cq_ready(&loop->ring);

	while (ready-- && !io_uring_peek_cqe(&loop->ring, &cqe)) {
		struct loop_op *op = io_uring_cqe_get_data(cqe);
		int res = cqe->res;

		io_uring_cqe_seen(&loop->ring, cqe);
		op->done(op, res);
	}
}

/* ---- events -------------------------------------------------------------- */

static void event_arm(struct loop_event *ev)
{
	struct io_uring_sqe *sqe = loop_sqe(ev->loop, &ev->op);

	io_uring_prep_read(sqe, ev->fd, &ev->value, sizeof(ev->value), 0);
	ev->armed = true;
}

static void event_check_stopped(struct loop_event *ev)
{
	if (!ev->armed && !ev->cancelling)
		ev->stopped(ev);
}

static void event_done(struct loop_op *op, int res)
{
	struct loop_event *ev = container_of(op, struct loop_event, op);
	uint64_t count = ev->value;

	ev->armed = false;
	if (ev->stopped) {
		event_check_stopped(ev);
		return;
	}
	if (res < 0 && res != -EAGAIN && res != -EINTR) {
		log_event(LOG_ERROR, "%s: reading an eventfd: %s", ev->loop->name, strerror(-res));
		return;
	}
	/* Armed before fn, so that fn may stop the event. */
	event_arm(ev);
	if (res == sizeof(ev->value))
		ev->fn(ev, count);
}

static void event_cancel_done(struct loop_op *op, int res)
{
	struct loop_event *ev = container_of(op, struct loop_event, cancel_op);

	ev->cancelling = false;
	event_check_stopped(ev);
}

void loop_event_start(struct loop *loop, struct loop_event *ev, int fd,
	void (*fn)(struct loop_event *ev, uint64_t count))
{
	ON_LOOP(loop);
	*ev = (struct loop_event){
		.op.done = event_done,
		.cancel_op.done = event_cancel_done,
		.loop = loop,
		.fd = fd,
		.fn = fn,
	};
	event_arm(ev);
}

void loop_event_stop(struct loop_event *ev, void (*stopped)(struct loop_event *ev))
{
	ON_LOOP(ev->loop);
	assert(!ev->stopped && stopped);
	ev->stopped = stopped;
	ev->cancelling = true;
	io_uring_prep_cancel(loop_sqe(ev->loop, &ev->cancel_op), &ev->op, 0);
}

void loop_event_signal(int eventfd)
{
	uint64_t one = 1;
	ssize_t n;

	do
		n = write(eventfd, &one, sizeof(one));
	while (n < 0 && errno == EINTR);
	/* EAGAIN: the counter is full, so a reader is woken anyway. */
	assert(n == sizeof(one) || errno == EAGAIN);
}

/* ---- timers -------------------------------------------------------------- */

uint64_t loop_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return timespec_ns(ts);
}

static struct loop_timer *first_timer(struct loop *loop)
{
	return list_empty(&loop->timers) ? NULL
					 : container_of(loop->timers.next, struct loop_timer, link);
}

/* After all timers that are due earlier or at the same time. Searched from the end, where timers
 * with a common delay belong. */
static void timer_insert(struct loop *loop, struct loop_timer *t)
{
	struct list *before = loop->timers.prev;

	while (before != &loop->timers &&
		container_of(before, struct loop_timer, link)->when_ns > t->when_ns)
		before = before->prev;
	list_add_tail(before->next, &t->link);
}

void loop_timer_start(struct loop *loop, struct loop_timer *t, uint64_t delay_ns,
	void (*fn)(struct loop_timer *t))
{
	uint64_t now = loop_now_ns();

	ON_LOOP(loop);
	loop_timer_cancel(t);
	t->loop = loop;
	t->fn = fn;
	t->when_ns = delay_ns < UINT64_MAX - now ? now + delay_ns : UINT64_MAX;
	t->armed = true;
	timer_insert(loop, t);
}

void loop_timer_cancel(struct loop_timer *t)
{
	if (!t->armed)
		return;
	ON_LOOP(t->loop);
	t->armed = false;
	list_del(&t->link);
}

/* `now` is constant: a timer that fn restarts without delay fires in the next turn. */
static void run_timers(struct loop *loop)
{
	struct loop_timer *t = first_timer(loop);
	uint64_t now = t ? loop_now_ns() : 0;

	while (t && t->when_ns <= now) {
		loop_timer_cancel(t);
		t->fn(t);
		t = first_timer(loop);
	}
}

/* ---- tasks and hooks ----------------------------------------------------- */

void loop_post(struct loop *loop, struct loop_task *task)
{
	struct loop_task *head = atomic_load_explicit(&loop->posted, memory_order_relaxed);

	do
		task->next = head;
	while (!atomic_compare_exchange_weak_explicit(
		&loop->posted, &head, task, memory_order_release, memory_order_relaxed));
	/* The first task in the list wakes the loop. On its own thread that is not needed: the loop
	 * checks the list before it waits. */
	if (!head && !(atomic_load(&loop->running) && loop_is_current(loop)))
		loop_event_signal(loop->wake.fd);
}

/* Oldest first. Tasks posted by a task run in the next turn. */
static void run_posted(struct loop *loop)
{
	struct loop_task *task =
		atomic_exchange_explicit(&loop->posted, NULL, memory_order_acquire);
	struct loop_task *oldest = NULL;

	while (task) {
		struct loop_task *next = task->next;

		task->next = oldest;
		oldest = task;
		task = next;
	}
	while (oldest) {
		task = oldest;
		oldest = task->next;
		task->fn(task);
	}
}

void loop_hook_add(struct loop *loop, struct loop_hook *hook)
{
	ON_LOOP(loop);
	list_add_tail(&loop->hooks, &hook->link);
}

void loop_hook_del(struct loop *loop, struct loop_hook *hook)
{
	ON_LOOP(loop);
	if (loop->next_hook == &hook->link)
		loop->next_hook = hook->link.next;
	list_del(&hook->link);
}

/* A hook may remove any hook, including itself. */
static void run_hooks(struct loop *loop)
{
	for (struct list *pos = loop->hooks.next; pos != &loop->hooks; pos = loop->next_hook) {
		struct loop_hook *hook = container_of(pos, struct loop_hook, link);

		loop->next_hook = pos->next;
		hook->fn(hook);
	}
	loop->next_hook = NULL;
}

struct loop_call {
	struct loop_task task;
	void (*fn)(void *arg);
	void *arg;
	sem_t ran;
};

static void call_task(struct loop_task *task)
{
	struct loop_call *call = container_of(task, struct loop_call, task);

	call->fn(call->arg);
	sem_post(&call->ran);
}

void loop_call(struct loop *loop, void (*fn)(void *arg), void *arg)
{
	struct loop_call call = {.task.fn = call_task, .fn = fn, .arg = arg};

	if (loop_is_current(loop)) {
		fn(arg);
		return;
	}
	sem_init(&call.ran, 0, 0);
	loop_post(loop, &call.task);
	while (sem_wait(&call.ran) && errno == EINTR)
		;
	sem_destroy(&call.ran);
}

/* ---- life ---------------------------------------------------------------- */

/* The wake event has no data: the turn that begins with it checks all sources. */
static void woken(struct loop_event *ev, uint64_t count)
{
}

int loop_init(struct loop *loop, const char *name, struct err *e)
{
	int rc;
	int fd;

	memset(loop, 0, sizeof(*loop));
	loop->name = name;
	list_init(&loop->hooks);
	list_init(&loop->timers);
	list_init(&loop->pollers);
	fd = eventfd(0, EFD_CLOEXEC);
	if (fd < 0)
		return err_set(
			e, -errno, "%s: cannot create an eventfd: %s", name, strerror(errno));
	rc = loop_ring_create(&loop->ring);
	if (rc) {
		err_set(e, rc, "%s: cannot create an io_uring: %s%s", name, strerror(-rc),
			rc == -EPERM || rc == -ENOSYS
				? "; see /proc/sys/kernel/io_uring_disabled and seccomp filters"
				: "");
		goto close_fd;
	}
	rc = loop_ring_restrict(&loop->ring);
	if (rc) {
		err_set(e, rc, "%s: cannot restrict an io_uring: %s; see --sandbox off", name,
			strerror(-rc));
		goto exit_ring;
	}
	loop_event_start(loop, &loop->wake, fd, woken);
	return 0;

exit_ring:
	io_uring_queue_exit(&loop->ring);
close_fd:
	close(fd);
	return rc;
}

void loop_fini(struct loop *loop)
{
	assert(!atomic_load(&loop->running));
	io_uring_queue_exit(&loop->ring);
	close(loop->wake.fd);
}

/* Submits prepared entries and reaps completions; waits for one, until the first timer is due. */
static int enter(struct loop *loop, bool wait)
{
	struct loop_timer *t = first_timer(loop);
	struct __kernel_timespec timeout;
	struct io_uring_cqe *cqe;
	uint64_t now;

	if (!wait)
		return io_uring_submit_and_get_events(&loop->ring);
	if (!t)
		return io_uring_submit_and_wait(&loop->ring, 1);
	now = loop_now_ns();
	if (t->when_ns <= now)
		return io_uring_submit_and_get_events(&loop->ring);
	timeout.tv_sec = (int64_t)((t->when_ns - now) / NS_PER_S);
	timeout.tv_nsec = (long long)((t->when_ns - now) % NS_PER_S);
	return io_uring_submit_and_wait_timeout(&loop->ring, &cqe, 1, &timeout, NULL);
}

/* ---- polling before sleep ------------------------------------------------ */

#define POLL_MIN_NS 10000u

void loop_set_polling(struct loop *loop, uint64_t max_ns)
{
	ON_LOOP(loop);
	counter_set(&loop->poll_max_ns, max_ns);
	if (loop->poll_ns > max_ns)
		counter_set(&loop->poll_ns, max_ns);
}

void loop_poller_add(struct loop *loop, struct loop_poller *poller)
{
	ON_LOOP(loop);
	if (list_empty(&poller->link))
		list_add_tail(&loop->pollers, &poller->link);
}

void loop_poller_del(struct loop *loop, struct loop_poller *poller)
{
	ON_LOOP(loop);
	list_del(&poller->link);
}

/* A sleep shorter than the longest window would have been worth polling through. */
static uint64_t next_window(const struct loop *loop, uint64_t slept_ns)
{
	uint64_t window = loop->poll_ns * 2;

	if (slept_ns >= loop->poll_max_ns)
		return 0;
	if (window < POLL_MIN_NS)
		window = POLL_MIN_NS;
	return window < loop->poll_max_ns ? window : loop->poll_max_ns;
}

static void poll_adapt(struct loop *loop, uint64_t slept_ns)
{
	counter_set(&loop->poll_ns, next_window(loop, slept_ns));
}

/* Completions are pending in the ring, or as task work that the kernel does when it is entered. The
 * flag for task work can stay set when there is none (the kernel sets it after it has queued the
 * work, which may have run by then), so only completions count. */
static bool ring_ready(struct loop *loop)
{
	if (io_uring_cq_ready(&loop->ring))
		return true;
	if (!(IO_URING_READ_ONCE(*loop->ring.sq.kflags) & IORING_SQ_TASKRUN))
		return false;
	io_uring_get_events(&loop->ring);
	return io_uring_cq_ready(&loop->ring);
}

static bool poll_once(struct loop *loop)
{
	bool worked = false;

	list_for_each_safe (pos, &loop->pollers) {
		struct loop_poller *poller = container_of(pos, struct loop_poller, link);

		worked |= poller->poll(poller);
	}
	return worked;
}

static bool poll_window(struct loop *loop)
{
	struct loop_timer *t = first_timer(loop);
	uint64_t end;

	loop->turn_ns = loop_now_ns();
	end = loop->turn_ns + loop->poll_ns;
	if (t && t->when_ns < end)
		end = t->when_ns;
	do {
		if (ring_ready(loop) || poll_once(loop) ||
			atomic_load_explicit(&loop->posted, memory_order_relaxed) ||
			atomic_load(&loop->stop))
			return true;
		/* yields the CPU, for instance to the kernel's I/O threads that do our work */
		sched_yield();
		loop->turn_ns = loop_now_ns(); /* later work is newer than this sample */
	} while (loop->turn_ns < end);
	return false;
}

/* Work found now may add the poller again: hence a separate list. */
static bool poll_end(struct loop *loop)
{
	struct list asleep;
	bool worked = false;

	list_init(&asleep);
	while (!list_empty(&loop->pollers)) {
		struct list *first = loop->pollers.next;

		list_del(first);
		list_add_tail(&asleep, first);
	}
	while (!list_empty(&asleep)) {
		struct loop_poller *poller = container_of(asleep.next, struct loop_poller, link);

		list_del(&poller->link);
		worked |= poller->before_sleep(poller);
	}
	return worked;
}

/* True when there is work and the loop must not sleep. Prepared entries are submitted first: their
 * completions count as work. */
static bool poll_before_sleep(struct loop *loop)
{
	if (list_empty(&loop->pollers))
		return false;
	if (loop->poll_ns) {
		io_uring_submit_and_get_events(&loop->ring);
		if (poll_window(loop))
			return true;
	}
	return poll_end(loop);
}

/* ---- turns --------------------------------------------------------------- */

static void turn(struct loop *loop)
{
	uint64_t asleep = 0;
	bool idle;
	int rc;

	loop->turn_ns = 0;
	reap(loop);
	run_timers(loop);
	run_posted(loop);
	run_hooks(loop);
	counter_add(&loop->turns, 1);
	idle = !atomic_load_explicit(&loop->posted, memory_order_relaxed) &&
	       !atomic_load(&loop->stop) && !poll_before_sleep(loop);
	if (idle && loop->poll_max_ns)
		asleep = loop_now_ns();
	rc = enter(loop, idle);
	if (asleep)
		poll_adapt(loop, loop_now_ns() - asleep);
	if (rc < 0 && rc != -EINTR && rc != -ETIME && rc != -EAGAIN && rc != -EBUSY)
		log_event(LOG_ERROR, "%s: io_uring_enter: %s", loop->name, strerror(-rc));
}

/* The kernel's own bound is for what nobody has counted. */
static void begin_threads(struct loop *loop)
{
	unsigned int usual = 0;

	ring_set_threads(loop, &usual);
	loop_add_threads(loop, (int)usual);
}

static void begin(struct loop *loop)
{
	if (!loop->enabled) {
		loop->thread = pthread_self();
		ring_enable(loop);
		begin_threads(loop);
	}
	assert(pthread_equal(loop->thread, pthread_self()));
	atomic_store(&loop->running, true);
}

static void run(struct loop *loop)
{
	const struct loop *outer = loop_of_thread;

	loop_of_thread = loop;
	do
		turn(loop);
	while (!atomic_load(&loop->stop) ||
		atomic_load_explicit(&loop->posted, memory_order_relaxed));
	atomic_store(&loop->stop, false);
	atomic_store(&loop->running, false);
	loop_of_thread = outer;
}

void loop_run(struct loop *loop)
{
	begin(loop);
	run(loop);
}

struct loop_start {
	struct loop *loop;
	enum thread_kind kind;
	sem_t running;
};

static void *thread_main(void *arg)
{
	struct loop_start *start = arg;
	struct loop *loop = start->loop;

	thread_enter(start->kind, loop->name);
	begin(loop);
	sem_post(&start->running); /* start is out of scope from here on */
	run(loop);
	return NULL;
}

int loop_start_as(struct loop *loop, enum thread_kind kind)
{
	struct loop_start start = {.loop = loop, .kind = kind};
	pthread_t thread;
	int ret;

	sem_init(&start.running, 0, 0);
	ret = thread_create(&thread, NULL, thread_main, &start);
	while (!ret && sem_wait(&start.running) && errno == EINTR)
		;
	sem_destroy(&start.running);
	return ret;
}

int loop_start(struct loop *loop)
{
	return loop_start_as(loop, THREAD_LOOP);
}

void loop_join(struct loop *loop)
{
	pthread_join(loop->thread, NULL);
}

void loop_stop(struct loop *loop)
{
	atomic_store(&loop->stop, true);
	loop_event_signal(loop->wake.fd);
}
