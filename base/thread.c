/* SPDX-License-Identifier: MIT */
#include "base/thread.h"

#include <signal.h>

/* The new thread inherits the mask, so no signal can come to it before it blocks them. */
int thread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *arg), void *arg)
{
	sigset_t all, old;
	int rc;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_create(thread, attr, run, arg);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return -rc;
}
