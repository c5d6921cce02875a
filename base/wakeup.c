/* SPDX-License-Identifier: MIT */
#include "base/wakeup.h"

#include <errno.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/counter.h"
#include "base/loop.h"
#include "base/thread.h"

/* ---- the arithmetic ------------------------------------------------------ */

/* docs/adr/0007: 20 round trips of two wake-ups each */
#define WINDOW_WAKEUPS 40u
#define WINDOW_MIN_NS  50000u   /* wake-up from a deep sleep state of the CPU */
#define WINDOW_MAX_NS  2000000u /* covers a nested machine */

void wakeup_history_add(struct wakeup_history *history, uint64_t ns)
{
	history->ns[history->count++ % WAKEUP_SAMPLES] = ns;
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

uint64_t wakeup_history_median(const struct wakeup_history *history)
{
	uint32_t count = history->count < WAKEUP_SAMPLES ? history->count : WAKEUP_SAMPLES;
	uint64_t ns[WAKEUP_SAMPLES];

	if (!count)
		return 0;
	memcpy(ns, history->ns, count * sizeof(*ns));
	qsort(ns, count, sizeof(*ns), compare);
	return ns[count / 2];
}

uint64_t wakeup_poll_window_ns(uint64_t wakeup_ns)
{
	if (wakeup_ns >= WINDOW_MAX_NS / WINDOW_WAKEUPS)
		return WINDOW_MAX_NS;
	if (wakeup_ns <= WINDOW_MIN_NS / WINDOW_WAKEUPS)
		return WINDOW_MIN_NS;
	return WINDOW_WAKEUPS * wakeup_ns;
}

/* ---- the thread ---------------------------------------------------------- */

struct wakeup_meter {
	pthread_t thread;
	int fd;            /* wakes the thread */
	sem_t idle;        /* taken by who asks for a sample, posted when it is taken */
	uint64_t asked_ns; /* the meter's thread reads it once it is woken */
	_Atomic bool stop;
	uint64_t median_ns; /* one writer: the meter's thread; read with counter_get() */
	struct wakeup_history history;
};

static void wait_for(int fd)
{
	uint64_t count;

	while (read(fd, &count, sizeof(count)) < 0)
		; /* interrupted */
}

static void *meter_thread(void *arg)
{
	struct wakeup_meter *m = arg;

	thread_enter(THREAD_WRITER, "wakeup");
	for (;;) {
		wait_for(m->fd);
		if (atomic_load(&m->stop))
			return NULL;
		wakeup_history_add(&m->history, loop_now_ns() - m->asked_ns);
		counter_set(&m->median_ns, wakeup_history_median(&m->history));
		sem_post(&m->idle);
	}
}

/* Waking a thread on the CPU of the caller is far cheaper than on another one: without this a
 * sample would depend on where the scheduler last put the thread. The caller's own mask is asked
 * for each time, since it may have changed. */
static void keep_off_this_cpu(struct wakeup_meter *m)
{
	int cpu = sched_getcpu();
	cpu_set_t cpus;

	if (cpu < 0 || sched_getaffinity(0, sizeof(cpus), &cpus) || CPU_COUNT(&cpus) < 2)
		return;
	CPU_CLR(cpu, &cpus);
	pthread_setaffinity_np(m->thread, sizeof(cpus), &cpus);
}

/* The caller has taken m->idle. */
static void ask(struct wakeup_meter *m)
{
	keep_off_this_cpu(m);
	m->asked_ns = loop_now_ns();
	loop_event_signal(m->fd);
}

void wakeup_meter_sample(struct wakeup_meter *m)
{
	if (!sem_trywait(&m->idle))
		ask(m);
}

uint64_t wakeup_meter_ns(const struct wakeup_meter *m)
{
	return counter_get(&m->median_ns);
}

static void wait_idle(struct wakeup_meter *m)
{
	while (sem_wait(&m->idle))
		; /* interrupted */
}

static void take_first_samples(struct wakeup_meter *m)
{
	for (uint32_t i = 0; i < WAKEUP_SAMPLES; i++) {
		wait_idle(m);
		ask(m);
	}
	wait_idle(m);
	sem_post(&m->idle);
}

struct wakeup_meter *wakeup_meter_new(struct err *e)
{
	struct wakeup_meter *m = calloc(1, sizeof(*m));
	int ret = -ENOMEM;

	if (!m)
		goto failed;
	m->fd = eventfd(0, EFD_CLOEXEC);
	ret = -errno;
	if (m->fd < 0)
		goto free_meter;
	sem_init(&m->idle, 0, 1);
	ret = thread_create(&m->thread, NULL, meter_thread, m);
	if (ret)
		goto close_fd;
	take_first_samples(m);
	return m;

close_fd:
	sem_destroy(&m->idle);
	close(m->fd);
free_meter:
	free(m);
failed:
	err_set(e, ret, "cannot measure the time to wake a thread: %s", strerror(-ret));
	return NULL;
}

void wakeup_meter_free(struct wakeup_meter *m)
{
	if (!m)
		return;
	wait_idle(m); /* else the signal of a sample could be taken for this one */
	atomic_store(&m->stop, true);
	loop_event_signal(m->fd);
	pthread_join(m->thread, NULL);
	sem_destroy(&m->idle);
	close(m->fd);
	free(m);
}
