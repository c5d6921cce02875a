/* SPDX-License-Identifier: MIT */
#include "base/thread.h"

#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>

/* The new thread inherits the mask, so no signal can come to it before it blocks them. */
int thread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *arg), void *arg)
{
	sigset_t all, old;
	int rc;

	sigfillset(&all);
	sigdelset(&all, SIGSYS); /* of a seccomp filter */
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_create(thread, attr, run, arg);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return -rc;
}

static void (*narrow_thread)(enum thread_kind kind);

void thread_set_narrow(void (*narrow)(enum thread_kind kind))
{
	narrow_thread = narrow;
}

void thread_enter(enum thread_kind kind, const char *name)
{
	prctl(PR_SET_NAME, name);
	if (narrow_thread)
		narrow_thread(kind);
}
