/* SPDX-License-Identifier: MIT */
#include "vm/signals.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

static void start_read(struct signals *s)
{
	io_uring_prep_read(loop_sqe(s->loop, &s->read_op), s->fd, s->buffer,
		sizeof(struct signalfd_siginfo), 0);
}

static void on_read(struct loop_op *op, int res)
{
	struct signals *s = container_of(op, struct signals, read_op);
	struct signalfd_siginfo info;

	_Static_assert(sizeof(info) <= sizeof(s->buffer), "signal buffer");
	if (res == (int)sizeof(info)) {
		memcpy(&info, s->buffer, sizeof(info));
		s->caught(s->ctx, (int)info.ssi_signo);
	}
	if (res > 0 || res == -EINTR)
		start_read(s);
}

/* nohup, for one, starts programs with SIGHUP ignored. */
static bool ignored(int signo)
{
	struct sigaction old;

	return !sigaction(signo, NULL, &old) && old.sa_handler == SIG_IGN;
}

void signals_ignore(void)
{
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
}

int signals_open(struct signals *s, struct loop *loop, void (*caught)(void *ctx, int signal),
	void *ctx, struct err *e)
{
	sigset_t set;
	int fd;

	ON_LOOP(loop);
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGCONT);
	if (!ignored(SIGHUP))
		sigaddset(&set, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	fd = signalfd(-1, &set, SFD_CLOEXEC);
	if (fd < 0)
		return err_set(e, -errno, "signalfd: %s", strerror(errno));
	*s = (struct signals){
		.loop = loop,
		.caught = caught,
		.ctx = ctx,
		.fd = fd,
		.read_op.done = on_read,
	};
	start_read(s);
	return 0;
}

void signals_close(struct signals *s)
{
	if (!s->loop)
		return;
	ON_LOOP(s->loop);
	close(s->fd);
	s->loop = NULL;
}
