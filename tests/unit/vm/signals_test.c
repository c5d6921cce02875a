/* SPDX-License-Identifier: MIT */
/* Signals of a process of its own: one whose loop runs, and those in which a thread is stuck. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after its prerequisites */
#include <cmocka.h>
#include <dlfcn.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/time.h"
#include "vm/signals.h"

#define LIMIT_NS (300 * NS_PER_MS)
#define LONG_NS  (300 * NS_PER_S)

/* Of parent and child. */
static struct shared {
	_Atomic uint32_t caught[64];
	_Atomic bool overdue, ready, no_threads;
} * shared;

/* Where the child's threads stay for ever. */
enum stuck {
	NOWHERE,
	IN_THE_LOOP,
	IN_OVERDUE, /* and in the loop */
	AT_THE_END, /* after signals_close() */
};

static struct loop loop;
static struct signals signals;
static enum stuck stuck;

/* When all else hangs, a new thread might, too. */
int pthread_create(
	pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *arg), void *arg)
{
	int (*create)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *) =
		(__typeof__(create))dlsym(RTLD_NEXT, "pthread_create");

	if (shared->no_threads)
		_exit(98);
	return create(thread, attr, run, arg);
}

/* ---- the child ----------------------------------------------------------- */

static void sleep_for_ever(void)
{
	for (;;)
		pause();
}

static void stay(struct loop_task *task)
{
	shared->ready = true;
	sleep_for_ever();
}

static void is_ready(struct loop_task *task)
{
	if (stuck == AT_THE_END)
		loop_stop(&loop);
	else
		shared->ready = true;
}

static void caught(void *ctx, int signo)
{
	shared->caught[signo]++;
	if (signo == SIGTERM)
		loop_stop(&loop);
}

static void overdue(void *ctx)
{
	shared->overdue = true;
	if (stuck == IN_OVERDUE)
		sleep_for_ever();
}

static const struct signals_ops ops = {.caught = caught, .overdue = overdue};

static void child(void)
{
	uint64_t limit_ns = stuck == NOWHERE ? LONG_NS : LIMIT_NS;
	bool in_loop = stuck != NOWHERE && stuck != AT_THE_END;
	struct loop_task task = {.fn = in_loop ? stay : is_ready};
	struct err e;

	if (loop_init(&loop, "control", &e) ||
		signals_open(&signals, &loop, &ops, NULL, limit_ns, &e))
		_exit(99);
	shared->no_threads = true;
	loop_post(&loop, &task);
	loop_run(&loop);
	signals_close(&signals);
	loop_fini(&loop);
	shared->ready = true;
	if (stuck == AT_THE_END)
		sleep_for_ever();
	_exit(7);
}

/* ---- the parent ---------------------------------------------------------- */

static int setup(void **state)
{
	shared = mmap(
		NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return shared == MAP_FAILED;
}

static int teardown(void **state)
{
	return munmap(shared, sizeof(*shared));
}

static pid_t start(enum stuck where)
{
	pid_t pid;

	stuck = where;
	fflush(stdout);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid)
		child();
	while (!shared->ready)
		sched_yield();
	return pid;
}

static int end_of(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void the_loop_gets_signals(void **state)
{
	pid_t pid = start(NOWHERE);
	int status;

	kill(pid, SIGCONT);
	while (!shared->caught[SIGCONT])
		sched_yield();
	kill(pid, SIGTERM);
	status = end_of(pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 7);
	assert_int_equal(shared->caught[SIGTERM], 1);
	assert_false(shared->overdue);
}

/* At least `ns` after its first signal. */
static void expect_end_by_signal(enum stuck where, uint64_t ns)
{
	uint64_t begin = loop_now_ns();
	pid_t pid = start(where);
	int status;

	kill(pid, SIGCONT); /* does not begin the time limit */
	kill(pid, SIGINT);
	kill(pid, SIGTERM);
	status = end_of(pid);
	assert_true(loop_now_ns() - begin >= ns);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGINT);
	assert_true(shared->overdue);
}

/* Whatever the loop's thread waits for. */
static void a_stuck_thread_does_not_keep_the_process(void **state)
{
	expect_end_by_signal(IN_THE_LOOP, LIMIT_NS - LIMIT_NS / 10);
}

static void nor_does_one_that_undoes(void **state)
{
	expect_end_by_signal(IN_OVERDUE, LIMIT_NS);
}

static void nor_do_the_last_steps(void **state)
{
	expect_end_by_signal(AT_THE_END, LIMIT_NS - LIMIT_NS / 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_loop_gets_signals, setup, teardown),
		cmocka_unit_test_setup_teardown(
			a_stuck_thread_does_not_keep_the_process, setup, teardown),
		cmocka_unit_test_setup_teardown(nor_does_one_that_undoes, setup, teardown),
		cmocka_unit_test_setup_teardown(nor_do_the_last_steps, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
