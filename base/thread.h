/* SPDX-License-Identifier: MIT */
/* Threads that get no signals: these end the process, or are for the control thread. Thread: any.
 */
#ifndef BASE_THREAD_H
#define BASE_THREAD_H

#include <pthread.h>

/* pthread_create() with all signals blocked in the new thread. 0 or -errno. */
int thread_create(
	pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *arg), void *arg);

#endif
