/* SPDX-License-Identifier: MIT */
/* Calls that sleep, on helper threads: results, limits, cancelling, owners that end first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <assert.h>
#include <cmocka.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/blocking.h"

#define CALLS (BLOCKING_THREADS_MAX + 40u)

struct sleeper {
	struct blocking_call call;
	sem_t begun, go;
	pthread_t thread;
	bool ran;
	bool done;
};

static struct loop loop;
static unsigned int left; /* calls that are not done */
static atomic_uint running, running_most;
static sem_t released;

static int setup(void **state)
{
	struct err e;

	sem_init(&released, 0, 0);
	left = 0;
	return loop_init(&loop, "test", &e);
}

static int teardown(void **state)
{
	loop_fini(&loop);
	sem_destroy(&released);
	return 0;
}

static void sleeper_run(struct blocking_call *call)
{
	struct sleeper *s = container_of(call, struct sleeper, call);
	unsigned int now = atomic_fetch_add(&running, 1) + 1, most = atomic_load(&running_most);

	while (now > most && !atomic_compare_exchange_weak(&running_most, &most, now))
		;
	s->thread = pthread_self();
	sem_post(&s->begun);
	while (sem_wait(&s->go))
		;
	s->ran = true;
	atomic_fetch_sub(&running, 1);
}

static void sleeper_done(struct blocking_call *call)
{
	struct sleeper *s = container_of(call, struct sleeper, call);

	ON_LOOP(&loop);
	assert_true(s->ran);
	assert_false(s->done);
	s->done = true;
	if (--left == 0)
		loop_stop(&loop);
}

static void sleeper_release(struct blocking_call *call)
{
	free(container_of(call, struct sleeper, call));
	sem_post(&released);
}

static void sleeper_start(struct sleeper *s)
{
	*s = (struct sleeper){
		.call = {.run = sleeper_run, .done = sleeper_done, .release = sleeper_release}};
	sem_init(&s->begun, 0, 0);
	sem_init(&s->go, 0, 0);
	left++;
	assert_int_equal(blocking_start(&s->call, &loop), 0);
}

static void wait_for(sem_t *sem)
{
	while (sem_wait(sem))
		;
}

/* The loop goes on meanwhile: it is here that go is posted. */
static void runs_elsewhere_and_is_done_here(void **state)
{
	struct sleeper s;

	sleeper_start(&s);
	wait_for(&s.begun);
	sem_post(&s.go);
	loop_run(&loop);
	assert_true(s.done);
	assert_false(pthread_equal(s.thread, pthread_self()));
	assert_false(blocking_cancel(&s.call));
	assert_false(blocking_abandon(&s.call));
}

static void may_start_again(void **state)
{
	struct sleeper s;

	for (unsigned int i = 0; i < 100; i++) {
		sleeper_start(&s);
		sem_post(&s.go);
		loop_run(&loop);
		assert_true(s.done);
	}
}

static void more_than_the_limit_wait(void **state)
{
	static struct sleeper s[CALLS];

	atomic_store(&running_most, 0);
	for (unsigned int i = 0; i < CALLS; i++)
		sleeper_start(&s[i]);
	for (unsigned int i = 0; i < BLOCKING_THREADS_MAX; i++)
		wait_for(&s[i].begun);
	assert_int_equal(atomic_load(&running), BLOCKING_THREADS_MAX);
	/* one that runs, and one that waits */
	assert_false(blocking_cancel(&s[0].call));
	assert_true(blocking_cancel(&s[CALLS - 1].call));
	left--;
	for (unsigned int i = 0; i < CALLS; i++)
		sem_post(&s[i].go);
	loop_run(&loop);
	for (unsigned int i = 0; i < CALLS; i++)
		assert_int_equal(s[i].done, i != CALLS - 1);
	assert_int_equal(atomic_load(&running_most), BLOCKING_THREADS_MAX);
}

/* The loop is gone before the call returns. */
static void an_abandoned_call_is_released(void **state)
{
	struct sleeper *s = malloc(sizeof(*s));

	sleeper_start(s);
	wait_for(&s->begun);
	assert_true(blocking_abandon(&s->call));
	loop_fini(&loop);
	sem_post(&s->go);
	wait_for(&released);
	setup(state);
}

static void an_abandoned_call_that_waits_is_released_at_once(void **state)
{
	static struct sleeper s[BLOCKING_THREADS_MAX];
	struct sleeper *last = malloc(sizeof(*last));

	for (unsigned int i = 0; i < BLOCKING_THREADS_MAX; i++)
		sleeper_start(&s[i]);
	for (unsigned int i = 0; i < BLOCKING_THREADS_MAX; i++)
		wait_for(&s[i].begun);
	sleeper_start(last);
	assert_true(blocking_abandon(&last->call));
	assert_int_equal(sem_trywait(&released), 0);
	left--;
	for (unsigned int i = 0; i < BLOCKING_THREADS_MAX; i++)
		sem_post(&s[i].go);
	loop_run(&loop);
}

/* Posted already: done() comes. */
static void abandoned_too_late(void **state)
{
	struct sleeper s;

	sleeper_start(&s);
	sem_post(&s.go);
	while (__atomic_load_n(&loop.posted, __ATOMIC_ACQUIRE) == NULL)
		sched_yield();
	assert_false(blocking_abandon(&s.call));
	loop_run(&loop);
	assert_true(s.done);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(runs_elsewhere_and_is_done_here, setup, teardown),
		cmocka_unit_test_setup_teardown(may_start_again, setup, teardown),
		cmocka_unit_test_setup_teardown(more_than_the_limit_wait, setup, teardown),
		cmocka_unit_test_setup_teardown(an_abandoned_call_is_released, setup, teardown),
		cmocka_unit_test_setup_teardown(
			an_abandoned_call_that_waits_is_released_at_once, setup, teardown),
		cmocka_unit_test_setup_teardown(abandoned_too_late, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
