/* SPDX-License-Identifier: MIT */
/*
 * Event loop: one thread, one io_uring. Everything that finishes later is a
 * struct loop_op whose `done` runs on the loop's thread. The control thread and
 * each I/O thread run one.
 *
 * One turn: reap all completions and call their `done`; run timers that are due
 * and posted tasks; run the flush hooks (where channels publish what a batch
 * produced: one index store, one interrupt); submit everything and wait. So
 * however many operations a turn starts, it costs one io_uring_enter.
 *
 * Threads: loop_post(), loop_call(), loop_stop() and loop_event_signal() from
 * any thread; everything else on the loop's own thread (or before it runs).
 */
#ifndef BASE_LOOP_H
#define BASE_LOOP_H

#include <liburing.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/list.h"
#include "base/thread.h"
#include "base/time.h"

struct loop;
struct gmem;
struct inspect;

/* One asynchronous operation; embedded in its owner. `res` is the CQE result (-errno or value). */
struct loop_op {
	void (*done)(struct loop_op *op, int res);
};

/* A function to run on a loop's thread; embedded in its owner, one post at a time. */
struct loop_task {
	void (*fn)(struct loop_task *task);
	struct loop_task *next;
};

/* Called once per turn after all completions and tasks, before submit. */
struct loop_hook {
	void (*fn)(struct loop_hook *hook);
	struct list link;
};

/* An eventfd read by the loop. `fn` gets the sum of signals since the last call. */
struct loop_event {
	struct loop_op op;
	struct loop_op cancel_op;
	struct loop *loop;
	int fd;
	uint64_t value;
	bool armed;      /* a read is in the ring */
	bool cancelling; /* the cancel is in the ring */
	void (*fn)(struct loop_event *ev, uint64_t count);
	void (*stopped)(struct loop_event *ev);
};

/* A one-shot timer on CLOCK_MONOTONIC. Timers are in a list of the loop, not in the ring: the loop
 * waits until the first is due at most, and cancelling removes the timer from the list. */
struct loop_timer {
	struct list link;
	struct loop *loop;
	uint64_t when_ns;
	bool armed;
	void (*fn)(struct loop_timer *t);
};

/* A source of work in shared memory that sends no signal while it is polled. A loop with pollers
 * polls them for a time before it sleeps: see loop_set_polling(). */
struct loop_poller {
	/* Polls once. True: there was work, and it is done or posted. */
	bool (*poll)(struct loop_poller *poller);
	/* The loop is about to sleep and has removed the poller: enable signals. True: there was
	 * work already; the loop does not sleep. */
	bool (*before_sleep)(struct loop_poller *poller);
	struct list link;
};

struct loop {
	struct io_uring ring;
	const char *name;
	pthread_t thread; /* valid once it has run */
	_Atomic bool running;
	_Atomic bool stop;
	uint32_t threads;                   /* of the kernel, at most: see loop_add_threads() */
	bool enabled;                       /* the ring belongs to the thread that runs it */
	_Atomic(struct loop_task *) posted; /* LIFO, reversed when taken */
	struct loop_event wake;
	struct list hooks;
	struct list *next_hook; /* while hooks run: the one after the current */
	struct list timers;     /* by when_ns */
	struct list pollers;
	uint64_t poll_max_ns;      /* 0: no polling; readable as turns */
	uint64_t poll_ns;          /* the window now, 0..poll_max_ns; readable as turns */
	uint64_t turns;            /* readable on any thread with counter_get() */
	uint64_t turn_ns;          /* see loop_turn_ns(); 0: not asked for yet */
	const struct gmem *pinned; /* see pin.h */
};

#define LOOP_ENTRIES 256u

/* Rings that are created from now on do only what this program starts through them. */
void loop_restrict_rings(void);

/* name: for the log and the thread name, must outlive the loop. */
int loop_init(struct loop *loop, const char *name, struct err *e);
void loop_fini(struct loop *loop);

/* Runs on the calling thread until loop_stop(). May run again later, on the same thread. */
void loop_run(struct loop *loop);
/* The same in a thread of its own, which runs when this returns; joined by loop_join(). */
int loop_start(struct loop *loop);
int loop_start_as(struct loop *loop, enum thread_kind kind); /* thread.h */
void loop_join(struct loop *loop);
/* The loop ends when no posted task is left. Operations in the ring are never completed then: stop
 * events and drain operations first. */
void loop_stop(struct loop *loop);

/* The loop that this thread runs now; NULL: none. */
extern _Thread_local const struct loop *loop_of_thread;

/* True on the loop's own thread, and on any thread while the loop does not run. Inline, since every
 * function with an owner asserts it. */
static inline bool loop_is_current(const struct loop *loop)
{
	return loop_of_thread == loop ||
	       !atomic_load_explicit(&loop->running, memory_order_relaxed);
}

void loop_post(struct loop *loop, struct loop_task *task);
/* Runs fn(arg) on the loop's thread and returns when it has run. Never from that
 * thread's own callbacks for another loop that may wait for this one (deadlock). */
void loop_call(struct loop *loop, void (*fn)(void *arg), void *arg);

/* A submission entry bound to op; never NULL (a full queue is submitted first). Before the loop
 * runs nothing can be submitted: at most LOOP_ENTRIES in all. */
struct io_uring_sqe *loop_sqe(struct loop *loop, struct loop_op *op);

/* ON_LOOP. What the loop's owner starts may occupy so many more (or fewer) kernel threads at once,
 * by operations that io_uring cannot do asynchronously. */
void loop_add_threads(struct loop *loop, int more);

/* Longest time to poll before sleeping; 0 (the default) sleeps at once. The window adapts: it
 * doubles after a sleep shorter than max_ns and closes after a longer one, so that an idle loop
 * uses no CPU. ON_LOOP, at any time. */
void loop_set_polling(struct loop *loop, uint64_t max_ns);
/* The polling window now; 0: adding a poller has no effect. */
static inline uint64_t loop_poll_ns(const struct loop *loop)
{
	return loop->poll_ns;
}
/* Both are idempotent. The owner initialises poller->link. */
void loop_poller_add(struct loop *loop, struct loop_poller *poller);
void loop_poller_del(struct loop *loop, struct loop_poller *poller);

void loop_hook_add(struct loop *loop, struct loop_hook *hook);
void loop_hook_del(struct loop *loop, struct loop_hook *hook);

/* fd: an eventfd owned by the caller. Arms reading at once. */
void loop_event_start(struct loop *loop, struct loop_event *ev, int fd,
	void (*fn)(struct loop_event *ev, uint64_t count));
/* Stops reading; stopped(ev) runs when the loop no longer uses ev or its fd. */
void loop_event_stop(struct loop_event *ev, void (*stopped)(struct loop_event *ev));
void loop_event_signal(int eventfd);

void loop_timer_start(struct loop *loop, struct loop_timer *t, uint64_t delay_ns,
	void (*fn)(struct loop_timer *t));
/* After it returns, fn does not run. Idempotent; a zeroed timer is a cancelled one. Starting an
 * armed timer moves it. */
void loop_timer_cancel(struct loop_timer *t);
uint64_t loop_now_ns(void); /* the clock of timers */
/* ON_LOOP. The same clock, read at the first call in each turn: exact enough for times measured in
 * turns, and as cheap as a load. */
static inline uint64_t loop_turn_ns(struct loop *loop)
{
	if (!loop->turn_ns)
		loop->turn_ns = loop_now_ns();
	return loop->turn_ns;
}

/* Any thread. Turns, and the polling window. */
void loop_inspect(const struct loop *loop, struct inspect *i);

#define ON_LOOP(loop) assert(loop_is_current(loop))

#endif
