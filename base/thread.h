/* SPDX-License-Identifier: MIT */
/* Threads that get no signals: these end the process, or are for the control thread. Thread: any.
 */
#ifndef BASE_THREAD_H
#define BASE_THREAD_H

#include <pthread.h>

/* What a thread is for decides which system calls a confined one may make (host/confine/filter.c).
 */
enum thread_kind {
	THREAD_VP,     /* runs a guest's VP */
	THREAD_LOOP,   /* an event loop, but for control: I/O threads, NBD */
	THREAD_TIMER,  /* synthetic timers */
	THREAD_WRITER, /* writes a log that is open, and the wake-up meter */
	THREAD_HELPER, /* calls that sleep; also control, and the thread of signals */
	THREAD_KINDS,
};

/* pthread_create() with all signals blocked in the new thread. 0 or -errno. */
int thread_create(
	pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *arg), void *arg);

/* The first call of a new thread: its kind, which it keeps, and its name. */
void thread_enter(enum thread_kind kind, const char *name);

/* narrow(kind): called by every thread that enters, from now on. Before there are other threads. */
void thread_set_narrow(void (*narrow)(enum thread_kind kind));

#endif
