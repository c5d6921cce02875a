/* SPDX-License-Identifier: MIT */
#include "base/blocking.h"

#include <assert.h>
#include <pthread.h>

#include "base/thread.h"

#define STACK_SIZE (256u << 10) /* getaddrinfo() and its modules need most of it */

/* One pool for the process: the limit is on its threads. */
static struct {
	pthread_mutex_t lock;
	struct list waiting;
	unsigned int threads;
	/* the starter */
	bool started;
	unsigned int wanted; /* threads it has to create */
	pthread_cond_t changed;
} pool = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.waiting = {&pool.waiting, &pool.waiting},
	.changed = PTHREAD_COND_INITIALIZER,
};

/* ---- helper threads ------------------------------------------------------ */

static void done_task(struct loop_task *task)
{
	struct blocking_call *call = container_of(task, struct blocking_call, task);

	pthread_mutex_lock(&pool.lock);
	call->state = BLOCKING_IDLE;
	pthread_mutex_unlock(&pool.lock);
	call->done(call);
}

/* The oldest call that waits. NULL: there is none, and this thread ends. */
static struct blocking_call *next_call(void)
{
	struct blocking_call *call = NULL;

	pthread_mutex_lock(&pool.lock);
	if (list_empty(&pool.waiting)) {
		pool.threads--;
	} else {
		call = container_of(pool.waiting.next, struct blocking_call, link);
		list_del(&call->link);
		call->state = BLOCKING_RUNNING;
	}
	pthread_mutex_unlock(&pool.lock);
	return call;
}

/* Posted under the lock: the owner sees POSTED, or the loop is not used. */
static void finish(struct blocking_call *call)
{
	bool abandoned;

	pthread_mutex_lock(&pool.lock);
	abandoned = call->state == BLOCKING_ABANDONED;
	if (!abandoned) {
		call->state = BLOCKING_POSTED;
		call->task.fn = done_task;
		loop_post(call->loop, &call->task);
	}
	pthread_mutex_unlock(&pool.lock);
	if (abandoned)
		call->release(call);
}

static void run_calls(void)
{
	struct blocking_call *call;

	while ((call = next_call())) {
		call->run(call);
		finish(call);
	}
}

static void *thread_main(void *arg)
{
	thread_enter(THREAD_HELPER, "blocking");
	run_calls();
	return NULL;
}

static int helper_create(void)
{
	pthread_attr_t attr;
	pthread_t thread;
	int ret;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	ret = thread_create(&thread, &attr, thread_main, NULL);
	pthread_attr_destroy(&attr);
	return ret;
}

/* ---- the starter --------------------------------------------------------- */

/* A thread inherits the limits of the one that creates it (thread.h), and a call may come from a
 * narrow one. Without memory for another thread the starter makes the calls itself. */
static void *starter_main(void *arg)
{
	thread_enter(THREAD_HELPER, "starter");
	for (;;) {
		pthread_mutex_lock(&pool.lock);
		while (!pool.wanted)
			pthread_cond_wait(&pool.changed, &pool.lock);
		pool.wanted--;
		pthread_mutex_unlock(&pool.lock);
		if (helper_create())
			run_calls();
	}
	return NULL;
}

int blocking_use_starter(void)
{
	pthread_t thread;
	int ret = thread_create(&thread, NULL, starter_main, NULL);

	if (!ret)
		pthread_detach(thread);
	pool.started = !ret;
	return ret;
}

static int another_thread(void)
{
	if (!pool.started)
		return helper_create();
	pool.wanted++;
	pthread_cond_signal(&pool.changed);
	return 0;
}

/* ---- owners -------------------------------------------------------------- */

/* Counted before it runs, under the lock of the caller. */
static int add_thread(void)
{
	int ret;

	if (pool.threads == BLOCKING_THREADS_MAX)
		return 0;
	ret = another_thread();
	if (!ret)
		pool.threads++;
	return pool.threads ? 0 : ret; /* another one takes the call later */
}

int blocking_start(struct blocking_call *call, struct loop *loop)
{
	int ret;

	ON_LOOP(loop);
	pthread_mutex_lock(&pool.lock);
	assert(call->state == BLOCKING_IDLE);
	call->loop = loop;
	list_init(&call->link);
	list_add_tail(&pool.waiting, &call->link);
	ret = add_thread();
	if (ret)
		list_del(&call->link);
	else
		call->state = BLOCKING_WAITING;
	pthread_mutex_unlock(&pool.lock);
	return ret;
}

static bool take_waiting(struct blocking_call *call)
{
	if (call->state != BLOCKING_WAITING)
		return false;
	list_del(&call->link);
	call->state = BLOCKING_IDLE;
	return true;
}

bool blocking_cancel(struct blocking_call *call)
{
	bool cancelled;

	pthread_mutex_lock(&pool.lock);
	cancelled = take_waiting(call);
	pthread_mutex_unlock(&pool.lock);
	return cancelled;
}

bool blocking_abandon(struct blocking_call *call)
{
	bool waited, running;

	pthread_mutex_lock(&pool.lock);
	waited = take_waiting(call);
	running = call->state == BLOCKING_RUNNING;
	if (running)
		call->state = BLOCKING_ABANDONED;
	pthread_mutex_unlock(&pool.lock);
	if (waited)
		call->release(call);
	return waited || running;
}
