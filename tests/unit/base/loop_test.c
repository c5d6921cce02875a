/* SPDX-License-Identifier: MIT */
#include "base/loop.h"

#include <assert.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#define MS 1000000ull

struct fixture {
	struct loop loop;
	struct loop_task task, task2;
	struct loop_hook hook, hook2;
	struct loop_event event;
	struct loop_timer timer[3];
	struct loop_op ops[4 * LOOP_ENTRIES];
	uint64_t counts;
	char order[16];
	unsigned int done;
	int runs;
};

/* One test at a time: state for its callbacks. */
static struct fixture *f;

static int setup(void **state)
{
	*state = f = test_calloc(1, sizeof(*f));
	return loop_init(&f->loop, "test", NULL);
}

static int teardown(void **state)
{
	loop_fini(&f->loop);
	test_free(f);
	return 0;
}

static void note(char c)
{
	f->order[strlen(f->order)] = c;
}

/* ---- tasks --------------------------------------------------------------- */

static void task_a(struct loop_task *task)
{
	note('a');
}

static void task_stop(struct loop_task *task)
{
	note('s');
	loop_stop(&f->loop);
}

static void tasks_run_in_order(void **state)
{
	f->task.fn = task_a;
	f->task2.fn = task_stop;
	loop_post(&f->loop, &f->task);
	loop_post(&f->loop, &f->task2);
	loop_run(&f->loop);
	assert_string_equal(f->order, "as");
}

static void task_again(struct loop_task *task)
{
	f->runs++;
	if (f->runs < 1000)
		loop_post(&f->loop, task);
	else
		loop_stop(&f->loop);
}

/* Would hang if the loop waited with a task posted. */
static void posting_from_a_task_does_not_block(void **state)
{
	f->task.fn = task_again;
	loop_post(&f->loop, &f->task);
	loop_run(&f->loop);
	assert_int_equal(f->runs, 1000);
	assert_true(f->loop.turns >= 1000);
}

static void task_asks_time(struct loop_task *task)
{
	uint64_t first = loop_turn_ns(&f->loop);

	while (loop_now_ns() == first)
		;
	assert_int_equal(loop_turn_ns(&f->loop), first);
	assert_true(first >= f->counts); /* when the last turn ended */
	f->counts = loop_now_ns();
	task_again(task);
}

/* Each turn has exactly one time, whatever its length. */
static void a_turn_has_one_time(void **state)
{
	f->task.fn = task_asks_time;
	f->counts = loop_now_ns();
	loop_post(&f->loop, &f->task);
	loop_run(&f->loop);
	assert_int_equal(f->runs, 1000);
}

static void posted_after_stop_still_runs(void **state)
{
	f->task.fn = task_a;
	loop_stop(&f->loop);
	loop_post(&f->loop, &f->task);
	loop_run(&f->loop);
	assert_string_equal(f->order, "a");
}

static void runs_again(void **state)
{
	for (int i = 0; i < 3; i++) {
		f->task.fn = task_stop;
		loop_post(&f->loop, &f->task);
		loop_run(&f->loop);
	}
	assert_string_equal(f->order, "sss");
}

#define POSTERS 3
#define POSTS   20000

struct posted {
	struct loop_task task;
	unsigned int poster, number;
};

static struct posted posted[POSTERS][POSTS];
static unsigned int next_number[POSTERS];

static void take_posted(struct loop_task *task)
{
	struct posted *p = container_of(task, struct posted, task);

	assert_int_equal(p->number, next_number[p->poster]);
	next_number[p->poster]++;
}

static void *post_all(void *arg)
{
	unsigned int poster = (unsigned int)(uintptr_t)arg;

	for (unsigned int i = 0; i < POSTS; i++) {
		posted[poster][i] = (struct posted){{.fn = take_posted}, poster, i};
		loop_post(&f->loop, &posted[poster][i].task);
	}
	return NULL;
}

static void many_threads_post_in_their_order(void **state)
{
	pthread_t threads[POSTERS];

	assert_int_equal(loop_start(&f->loop), 0);
	for (uintptr_t i = 0; i < POSTERS; i++)
		pthread_create(&threads[i], NULL, post_all, (void *)i);
	for (int i = 0; i < POSTERS; i++)
		pthread_join(threads[i], NULL);
	loop_stop(&f->loop);
	loop_join(&f->loop);
	for (int i = 0; i < POSTERS; i++)
		assert_int_equal(next_number[i], POSTS);
}

/* ---- calls --------------------------------------------------------------- */

static void call_fn(void *arg)
{
	assert_true(loop_is_current(&f->loop));
	*(pthread_t *)arg = pthread_self();
}

static void calls_run_on_the_loop(void **state)
{
	pthread_t ran_on;

	loop_call(&f->loop, call_fn, &ran_on);
	assert_true(pthread_equal(ran_on, pthread_self())); /* not running: here */

	assert_int_equal(loop_start(&f->loop), 0);
	assert_false(loop_is_current(&f->loop));
	for (int i = 0; i < 1000; i++) {
		ran_on = pthread_self();
		loop_call(&f->loop, call_fn, &ran_on);
		assert_false(pthread_equal(ran_on, pthread_self()));
	}
	loop_stop(&f->loop);
	loop_join(&f->loop);
	assert_true(loop_is_current(&f->loop));
}

/* ---- events -------------------------------------------------------------- */

static void stop_when_stopped(struct loop_event *ev)
{
	note('x');
	loop_stop(ev->loop);
}

static void count_event(struct loop_event *ev, uint64_t count)
{
	f->counts += count;
	if (f->counts == 5)
		loop_event_stop(ev, stop_when_stopped);
	else
		loop_event_signal(ev->fd);
}

static void run_event_test(int flags)
{
	int fd = eventfd(0, flags);

	loop_event_start(&f->loop, &f->event, fd, count_event);
	loop_event_signal(fd);
	loop_event_signal(fd);
	loop_run(&f->loop);
	assert_int_equal(f->counts, 5);
	assert_string_equal(f->order, "x");
	/* A stopped event does not read: the signal stays in the eventfd. */
	loop_event_signal(fd);
	f->task.fn = task_stop;
	loop_post(&f->loop, &f->task);
	loop_run(&f->loop);
	assert_int_equal(f->counts, 5);
	assert_int_equal(eventfd_read(fd, &f->counts), 0);
	assert_int_equal(f->counts, 1);
	close(fd);
}

static void events_count_and_stop(void **state)
{
	run_event_test(EFD_CLOEXEC);
}

static void stop_task(struct loop_task *task)
{
	loop_event_stop(&f->event, stop_when_stopped);
}

static void events_work_on_a_nonblocking_fd(void **state)
{
	run_event_test(EFD_CLOEXEC | EFD_NONBLOCK);
}

/* The eventfd is empty while the loop waits: a read that fails with EAGAIN must not spin. */
static void signal_event(struct loop_timer *t)
{
	loop_event_signal(f->event.fd);
}

static void end_event(struct loop_event *ev, uint64_t count)
{
	f->counts = count;
	loop_event_stop(ev, stop_when_stopped);
}

static void nonblocking_does_not_spin(void **state)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	loop_event_start(&f->loop, &f->event, fd, end_event);
	loop_timer_start(&f->loop, &f->timer[0], 20 * MS, signal_event);
	loop_run(&f->loop);
	assert_int_equal(f->counts, 1);
	assert_true(f->loop.turns < 12);
	close(fd);
}

static void stops_without_a_signal(void **state)
{
	int fd = eventfd(0, EFD_CLOEXEC);

	loop_event_start(&f->loop, &f->event, fd, count_event);
	f->task.fn = stop_task;
	loop_post(&f->loop, &f->task);
	loop_run(&f->loop);
	assert_string_equal(f->order, "x");
	assert_int_equal(f->counts, 0);
	close(fd);
}

/* A descriptor that cannot be read: no callback, and it can still be stopped. */
static void bad_fd_can_be_stopped(void **state)
{
	loop_event_start(&f->loop, &f->event, -1, count_event);
	f->task.fn = stop_task;
	loop_post(&f->loop, &f->task);
	loop_run(&f->loop);
	assert_string_equal(f->order, "x");
}

static void event_from_another_thread(struct loop_event *ev, uint64_t count)
{
	f->counts += count;
	if (f->counts == 10000)
		loop_event_stop(ev, stop_when_stopped);
}

static void *signal_often(void *arg)
{
	for (int i = 0; i < 10000; i++)
		loop_event_signal(*(int *)arg);
	return NULL;
}

static void no_signal_is_lost(void **state)
{
	int fd = eventfd(0, EFD_CLOEXEC);
	pthread_t thread;

	loop_event_start(&f->loop, &f->event, fd, event_from_another_thread);
	pthread_create(&thread, NULL, signal_often, &fd);
	loop_run(&f->loop);
	pthread_join(thread, NULL);
	assert_int_equal(f->counts, 10000);
	close(fd);
}

/* ---- operations ---------------------------------------------------------- */

static void op_done(struct loop_op *op, int res)
{
	assert_int_equal(res, 0);
	if (++f->done == sizeof(f->ops) / sizeof(*f->ops))
		loop_stop(&f->loop);
}

static void start_ops(struct loop_task *task)
{
	for (size_t i = 0; i < sizeof(f->ops) / sizeof(*f->ops); i++) {
		f->ops[i].done = op_done;
		io_uring_prep_nop(loop_sqe(&f->loop, &f->ops[i]));
	}
}

/* More than the submission queue holds, started in one turn. */
static void a_full_queue_is_submitted(void **state)
{
	f->task.fn = start_ops;
	loop_post(&f->loop, &f->task);
	loop_run(&f->loop);
	assert_int_equal(f->done, sizeof(f->ops) / sizeof(*f->ops));
}

#define FLOOD (LOOP_ENTRIES * 40)
static struct loop_op flood_op;

static void flood_done(struct loop_op *op, int res)
{
	if (++f->done == FLOOD)
		loop_stop(&f->loop);
}

static void start_flood(struct loop_task *task)
{
	flood_op.done = flood_done;
	for (unsigned int i = 0; i < FLOOD; i++)
		io_uring_prep_nop(loop_sqe(&f->loop, &flood_op));
}

/* More completions than the completion queue holds: none may be lost. */
static void completion_queue_overflow(void **state)
{
	f->task.fn = start_flood;
	loop_post(&f->loop, &f->task);
	loop_run(&f->loop);
	assert_int_equal(f->done, FLOOD);
}

/* ---- timers -------------------------------------------------------------- */

static void timer_fired(struct loop_timer *t)
{
	assert_true(loop_now_ns() >= t->when_ns);
	note((char)('0' + (t - f->timer)));
	if (t == &f->timer[2])
		loop_stop(&f->loop);
}

static void timers_fire_in_time_order(void **state)
{
	uint64_t start = loop_now_ns();

	loop_timer_start(&f->loop, &f->timer[2], 20 * MS, timer_fired);
	loop_timer_start(&f->loop, &f->timer[0], 10 * MS, timer_fired);
	loop_timer_start(&f->loop, &f->timer[1], 5 * MS, timer_fired);
	loop_run(&f->loop);
	assert_string_equal(f->order, "102");
	assert_true(loop_now_ns() - start >= 20 * MS);
}

static void cancelled_timers_do_not_fire(void **state)
{
	loop_timer_cancel(&f->timer[0]); /* never started */
	loop_timer_start(&f->loop, &f->timer[0], 1 * MS, timer_fired);
	loop_timer_start(&f->loop, &f->timer[1], UINT64_MAX, timer_fired);
	loop_timer_start(&f->loop, &f->timer[2], 5 * MS, timer_fired);
	loop_timer_cancel(&f->timer[0]);
	loop_timer_cancel(&f->timer[0]);
	loop_run(&f->loop);
	assert_string_equal(f->order, "2");
	assert_true(f->timer[1].armed);
	loop_timer_cancel(&f->timer[1]);
}

static void timer_cancels_its_neighbour(struct loop_timer *t)
{
	note('n');
	loop_timer_cancel(&f->timer[1]);
	loop_timer_start(&f->loop, &f->timer[2], 0, timer_fired);
}

/* Both are due in the same turn. */
static void timer_may_cancel_and_start_timers(void **state)
{
	loop_timer_start(&f->loop, &f->timer[0], 0, timer_cancels_its_neighbour);
	loop_timer_start(&f->loop, &f->timer[1], 0, timer_fired);
	loop_run(&f->loop);
	assert_string_equal(f->order, "n2");
}

static void starting_again_moves_a_timer(void **state)
{
	loop_timer_start(&f->loop, &f->timer[0], 1 * MS, timer_fired);
	loop_timer_start(&f->loop, &f->timer[0], 3600 * 1000 * MS, timer_fired);
	loop_timer_start(&f->loop, &f->timer[2], 3 * MS, timer_fired);
	loop_run(&f->loop);
	assert_string_equal(f->order, "2");
	loop_timer_cancel(&f->timer[0]);
}

/* ---- hooks --------------------------------------------------------------- */

static void hook_b(struct loop_hook *hook)
{
	note('h');
	if (hook == &f->hook) {
		loop_hook_del(&f->loop, &f->hook2); /* the next one */
		loop_hook_del(&f->loop, &f->hook);  /* itself */
	}
}

static void hooks_run_after_tasks_and_may_go(void **state)
{
	f->hook.fn = f->hook2.fn = hook_b;
	f->task.fn = task_stop;
	loop_hook_add(&f->loop, &f->hook);
	loop_hook_add(&f->loop, &f->hook2);
	loop_post(&f->loop, &f->task);
	loop_run(&f->loop);
	assert_string_equal(f->order, "sh");
}

static void hook_posts(struct loop_hook *hook)
{
	if (f->runs++ == 0)
		loop_post(&f->loop, &f->task);
}

/* Would hang if the loop waited. */
static void a_hook_may_post(void **state)
{
	f->hook.fn = hook_posts;
	f->task.fn = task_stop;
	loop_hook_add(&f->loop, &f->hook);
	loop_run(&f->loop);
	assert_string_equal(f->order, "s");
	assert_int_equal(f->runs, 2);
	loop_hook_del(&f->loop, &f->hook);
}

/* ---- polling ------------------------------------------------------------- */

/* The state when the kernel ran task work before it set the flag. */
static void raise_stale_flag(void)
{
	__atomic_or_fetch(f->loop.ring.sq.kflags, IORING_SQ_TASKRUN, __ATOMIC_SEQ_CST);
}

static bool poll_looks(struct loop_poller *poller)
{
	raise_stale_flag();
	f->runs++;
	return false;
}

static bool poll_sleeps(struct loop_poller *poller)
{
	note('z');
	loop_stop(&f->loop);
	return false;
}

static void too_late(struct loop_timer *t)
{
	note('!');
	loop_stop(&f->loop);
}

static void a_stale_task_flag_neither_blinds_nor_spins(void **state)
{
	struct loop_poller poller = {.poll = poll_looks, .before_sleep = poll_sleeps};

	list_init(&poller.link);
	loop_set_polling(&f->loop, MS);
	f->loop.poll_ns = MS;
	loop_poller_add(&f->loop, &poller);
	loop_timer_start(&f->loop, &f->timer[0], 2000 * MS, too_late);
	raise_stale_flag();
	loop_run(&f->loop);
	assert_string_equal(f->order, "z");
	assert_true(f->runs > 0);
	loop_timer_cancel(&f->timer[0]);
}

static void a_shorter_limit_shortens_the_window(void **state)
{
	loop_set_polling(&f->loop, 2 * MS);
	f->loop.poll_ns = 2 * MS;
	loop_set_polling(&f->loop, 3 * MS);
	assert_int_equal(loop_poll_ns(&f->loop), 2 * MS);
	loop_set_polling(&f->loop, MS);
	assert_int_equal(loop_poll_ns(&f->loop), MS);
	loop_set_polling(&f->loop, 0);
	assert_int_equal(loop_poll_ns(&f->loop), 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(tasks_run_in_order),
		T(posting_from_a_task_does_not_block),
		T(a_turn_has_one_time),
		T(posted_after_stop_still_runs),
		T(runs_again),
		T(many_threads_post_in_their_order),
		T(calls_run_on_the_loop),
		T(events_count_and_stop),
		T(events_work_on_a_nonblocking_fd),
		T(nonblocking_does_not_spin),
		T(stops_without_a_signal),
		T(bad_fd_can_be_stopped),
		T(no_signal_is_lost),
		T(a_full_queue_is_submitted),
		T(completion_queue_overflow),
		T(timers_fire_in_time_order),
		T(cancelled_timers_do_not_fire),
		T(timer_may_cancel_and_start_timers),
		T(starting_again_moves_a_timer),
		T(hooks_run_after_tasks_and_may_go),
		T(a_hook_may_post),
		T(a_stale_task_flag_neither_blinds_nor_spins),
		T(a_shorter_limit_shortens_the_window),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
