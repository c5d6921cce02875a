/* SPDX-License-Identifier: MIT */
/* Signals of a process of its own: one whose loop runs, and one whose loop's thread is stuck. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after its prerequisites */
#include <cmocka.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/time.h"
#include "vm/signals.h"

#define LIMIT_NS (300 * NS_PER_MS)

/* Of parent and child. */
static struct shared {
	_Atomic uint32_t caught[64];
	_Atomic bool overdue, ready;
} * shared;

static struct loop loop;
static struct signals signals;
static bool stuck;

/* ---- the child ----------------------------------------------------------- */

static void sleep_for_ever(struct loop_task *task)
{
	shared->ready = true;
	for (;;)
		pause();
}

static void is_ready(struct loop_task *task)
{
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
}

static const struct signals_ops ops = {.caught = caught, .overdue = overdue};

static void child(void)
{
	struct loop_task task = {.fn = stuck ? sleep_for_ever : is_ready};
	struct err e;

	if (loop_init(&loop, "control", &e) ||
		signals_open(&signals, &loop, &ops, NULL, LIMIT_NS, &e))
		_exit(99);
	loop_post(&loop, &task);
	loop_run(&loop);
	signals_close(&signals);
	loop_fini(&loop);
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

static pid_t start(bool is_stuck)
{
	pid_t pid;

	stuck = is_stuck;
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
	pid_t pid = start(false);
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

/* Whatever the loop's thread waits for. */
static void a_stuck_thread_does_not_keep_the_process(void **state)
{
	uint64_t begin = loop_now_ns();
	pid_t pid = start(true);
	int status;

	kill(pid, SIGCONT); /* does not begin the time limit */
	kill(pid, SIGINT);
	kill(pid, SIGTERM);
	status = end_of(pid);
	assert_true(loop_now_ns() - begin >= LIMIT_NS);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGINT);
	assert_true(shared->overdue);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_loop_gets_signals, setup, teardown),
		cmocka_unit_test_setup_teardown(
			a_stuck_thread_does_not_keep_the_process, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
