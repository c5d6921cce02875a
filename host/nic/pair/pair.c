/* SPDX-License-Identifier: MIT */
/* The NIC of `pair`: finding the peer, and the end of connections. States: pair_impl.h. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/files.h"
#include "base/log.h"
#include "base/unix_socket.h"
#include "nic/pair/pair_impl.h"
#include "nic/types.h"

static void wait_and_retry(struct pair_nic *pair);
static void check_closed(struct pair_nic *pair);

static struct loop *control(struct pair_nic *pair)
{
	return pair->nic.control;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void op_cancel(struct pair_nic *pair, struct pair_op *op)
{
	if (!op->armed || op->cancelling)
		return;
	io_uring_prep_cancel(loop_sqe(control(pair), &op->cancel_op), &op->op, 0);
	op->cancelling = true;
}

/* ---- joined -------------------------------------------------------------- */

/* NULL: none. */
static void set_join(struct pair_nic *pair, struct pair_join *join)
{
	pair->join = join;
	nic_hub_set(&pair->hub, join ? &join->conn : NULL);
	nic_link_set(&pair->nic, join);
}

/* Ends the connection in any state. */
static void hang_up(struct pair_nic *pair)
{
	if (pair->join)
		set_join(pair, NULL);
	if (pair->greeting)
		pair_join_put(pair->greeting);
	pair->greeting = NULL;
	loop_timer_cancel(&pair->hello_due);
	close_fd(&pair->socket);
}

static void violation_task(struct loop_task *task)
{
	struct pair_nic *pair = container_of(task, struct pair_nic, violation);

	atomic_store(&pair->violation_posted, false);
	if (pair->closing) {
		check_closed(pair);
		return;
	}
	if (!pair->join || !atomic_load(&pair->join->violated))
		return;
	log_guest("net pair:%s: the peer broke the protocol; disconnected", pair->path);
	shutdown(pair->socket, SHUT_RDWR); /* ends the receive, which hangs up */
}

void pair_violated(struct pair_nic *pair, struct pair_join *join)
{
	atomic_store(&join->violated, true);
	if (!atomic_exchange(&pair->violation_posted, true))
		loop_post(control(pair), &pair->violation);
}

/* ---- greeting ------------------------------------------------------------ */

static void receive_arm(struct pair_nic *pair)
{
	pair->hello_iov = (struct iovec){&pair->hello, sizeof(pair->hello)};
	pair->message = (struct msghdr){
		.msg_iov = &pair->hello_iov,
		.msg_iovlen = 1,
		.msg_control = pair->ancillary,
		.msg_controllen = sizeof(pair->ancillary),
	};
	io_uring_prep_recvmsg(loop_sqe(control(pair), &pair->receive.op), pair->socket,
		&pair->message, MSG_CMSG_CLOEXEC);
	pair->receive.armed = true;
}

/* A connection: our hello goes out at once; what follows is the peer's. */
static void greet(struct pair_nic *pair, int socket)
{
	int error;

	pair->socket = socket;
	pair->greeting = pair_join_greet(socket, pair->nic.info.queues_max, &error);
	if (!pair->greeting) {
		log_warn("net pair:%s: cannot greet the peer: %s", pair->path, strerror(-error));
		close_fd(&pair->socket);
		wait_and_retry(pair);
		return;
	}
	receive_arm(pair);
}

static uint32_t received_fds(struct pair_nic *pair, int *fds)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(&pair->message);
	uint32_t count = 0;

	for (; c; c = CMSG_NXTHDR(&pair->message, c)) {
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (count <= NIC_QUEUES_MAX)
				fds[count++] = fd;
			else
				close(fd);
		}
	}
	return count;
}

static void close_fds(const int *fds, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		close(fds[i]);
}

/* The one message that there is. 0 or -errno. */
static int take_hello(struct pair_nic *pair, int bytes)
{
	int fds[NIC_QUEUES_MAX + 1];
	uint32_t count = bytes >= 0 ? received_fds(pair, fds) : 0;
	int ret = -EPROTO;

	if (bytes == sizeof(pair->hello) && pair->greeting &&
		!(pair->message.msg_flags & (MSG_CTRUNC | MSG_TRUNC)))
		ret = pair_join_accept(pair->greeting, &pair->hello, fds, count);
	else
		close_fds(fds, count);
	if (ret)
		return ret;
	loop_timer_cancel(&pair->hello_due);
	set_join(pair, pair->greeting);
	pair->greeting = NULL;
	return 0;
}

static void receive_done(struct loop_op *op, int res)
{
	struct pair_nic *pair = container_of(op, struct pair_nic, receive.op);

	pair->receive.armed = false;
	if (res > 0 && !pair->closing && !take_hello(pair, res)) {
		receive_arm(pair);
		return;
	}
	if (res > 0 && !pair->closing)
		log_guest("net pair:%s: a hello that is none; disconnected", pair->path);
	hang_up(pair);
	if (pair->closing)
		check_closed(pair);
	else
		wait_and_retry(pair);
}

/* ---- listening and connecting -------------------------------------------- */

static void accept_arm(struct pair_nic *pair)
{
	if (pair->accept.armed)
		return;
	io_uring_prep_accept(loop_sqe(control(pair), &pair->accept.op), pair->listener, NULL, NULL,
		SOCK_CLOEXEC);
	pair->accept.armed = true;
}

static void no_hello(struct loop_timer *t)
{
	struct pair_nic *pair = container_of(t, struct pair_nic, hello_due);

	log_guest("net pair:%s: a peer that says nothing; disconnected", pair->path);
	shutdown(pair->socket, SHUT_RDWR); /* ends the receive, which hangs up */
}

/* Who connects says hello at once; one that does not would keep out the peer for ever. */
static void greet_accepted(struct pair_nic *pair, int socket)
{
	greet(pair, socket);
	if (pair->greeting)
		loop_timer_start(control(pair), &pair->hello_due, PAIR_HELLO_NS, no_hello);
}

/* A third NIC is refused. */
static void accept_done(struct loop_op *op, int res)
{
	struct pair_nic *pair = container_of(op, struct pair_nic, accept.op);

	pair->accept.armed = false;
	if (pair->closing) {
		if (res >= 0)
			close(res);
		check_closed(pair);
		return;
	}
	if (res < 0) {
		wait_and_retry(pair);
		return;
	}
	accept_arm(pair);
	if (pair->socket >= 0)
		close(res);
	else
		greet_accepted(pair, res);
}

static int address(const struct pair_nic *pair, struct sockaddr_un *addr)
{
	*addr = (struct sockaddr_un){.sun_family = AF_UNIX};
	return snprintf(addr->sun_path, sizeof(addr->sun_path), "%s", pair->path) <
			       (int)sizeof(addr->sun_path)
		       ? 0
		       : -ENAMETOOLONG;
}

static bool try_lock(struct pair_nic *pair)
{
	return !flock(pair->lock, LOCK_EX | LOCK_NB);
}

/* The lock is ours, so an existing socket is a stale one. */
static int listen_at(struct pair_nic *pair)
{
	int fd;

	files_unlink(pair->path);
	fd = unix_socket_listen(pair->path, SOCK_SEQPACKET, 4);
	if (fd < 0)
		return fd;
	pair->listener = fd;
	return 0;
}

static int connect_to(struct pair_nic *pair)
{
	int fd = unix_socket_connect(pair->path, SOCK_SEQPACKET);

	if (fd < 0)
		return fd;
	greet(pair, fd);
	return 0;
}

/* 0 or -errno; -EAGAIN and the like are usual, since the peer may not be there yet. */
static int find_peer(struct pair_nic *pair)
{
	int ret = 0;

	if (pair->listener < 0 && !try_lock(pair))
		return pair->socket < 0 ? connect_to(pair) : 0;
	if (pair->listener < 0)
		ret = listen_at(pair);
	if (!ret)
		accept_arm(pair);
	else
		flock(pair->lock, LOCK_UN);
	return ret;
}

static void retry(struct loop_timer *t)
{
	struct pair_nic *pair = container_of(t, struct pair_nic, retry);

	if (find_peer(pair))
		wait_and_retry(pair);
}

static void wait_and_retry(struct pair_nic *pair)
{
	loop_timer_start(control(pair), &pair->retry, PAIR_RETRY_NS, retry);
}

/* ---- life ---------------------------------------------------------------- */

static void cancelled(struct pair_nic *pair, struct pair_op *op)
{
	op->cancelling = false;
	check_closed(pair);
}

static void accept_cancelled(struct loop_op *op, int res)
{
	struct pair_nic *pair = container_of(op, struct pair_nic, accept.cancel_op);

	cancelled(pair, &pair->accept);
}

static void receive_cancelled(struct loop_op *op, int res)
{
	struct pair_nic *pair = container_of(op, struct pair_nic, receive.cancel_op);

	cancelled(pair, &pair->receive);
}

static void destroy(struct pair_nic *pair)
{
	close_fd(&pair->socket);
	close_fd(&pair->listener);
	close_fd(&pair->lock);
	free(pair->path);
	free(pair->lock_path);
	nic_hub_fini(&pair->hub);
}

static void release(struct nic *nic)
{
	destroy((struct pair_nic *)nic);
	free(nic);
}

static void check_closed(struct pair_nic *pair)
{
	if (!pair->closing || pair->accept.armed || pair->accept.cancelling ||
		pair->receive.armed || pair->receive.cancelling ||
		atomic_load(&pair->violation_posted))
		return;
	hang_up(pair);
	if (pair->listener >= 0)
		files_unlink(pair->path); /* before the lock is free */
	nic_closed(&pair->nic, release);
}

static void pair_close(struct nic *nic)
{
	struct pair_nic *pair = (struct pair_nic *)nic;

	pair->closing = true;
	loop_timer_cancel(&pair->retry);
	loop_timer_cancel(&pair->hello_due);
	op_cancel(pair, &pair->accept);
	op_cancel(pair, &pair->receive);
	check_closed(pair);
}

static const struct nic_ops pair_ops = {
	.name = "pair",
	.close = pair_close,
	.queue_open = pair_queue_open,
	.queue_stop = pair_queue_stop,
	.queue_close = pair_queue_close,
	.tx = pair_queue_tx,
	.rx_resume = pair_queue_rx_resume,
};

static struct pair_nic *create(const struct nic_open *o)
{
	struct pair_nic *pair = calloc(1, sizeof(*pair));

	if (!pair)
		return NULL;
	pair->lock = pair->listener = pair->socket = -1;
	pair->accept.op.done = accept_done;
	pair->accept.cancel_op.done = accept_cancelled;
	pair->receive.op.done = receive_done;
	pair->receive.cancel_op.done = receive_cancelled;
	pair->violation.fn = violation_task;
	nic_hub_init(&pair->hub);
	pair->path = strdup(o->argument);
	if (pair->path && asprintf(&pair->lock_path, "%s.lock", pair->path) >= 0 &&
		!nic_init(&pair->nic, &pair_ops, o->env, o->env->queues))
		return pair;
	destroy(pair);
	free(pair);
	return NULL;
}

/* What cannot be mended by waiting is an error of the user. */
static int begin(struct pair_nic *pair, struct err *e)
{
	struct sockaddr_un addr;
	int ret = address(pair, &addr);

	if (ret)
		return err_set(e, ret, "net pair:%s: the path is longer than %zu bytes", pair->path,
			sizeof(addr.sun_path) - 1);
	pair->lock = files_open(pair->lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (pair->lock < 0)
		return err_set(e, -errno, "net pair:%s: cannot open %s: %s", pair->path,
			pair->lock_path, strerror(errno));
	ret = find_peer(pair);
	if (ret && ret != -ECONNREFUSED && ret != -ENOENT && ret != -EAGAIN)
		return err_set(e, ret, "net pair:%s: %s", pair->path, strerror(-ret));
	if (ret)
		wait_and_retry(pair);
	return 0;
}

static int pair_open(struct nic **nic, const struct nic_open *o, struct err *e)
{
	struct pair_nic *pair = create(o);
	int ret;

	if (!pair)
		return err_set(e, -ENOMEM, "net pair: out of memory");
	ret = begin(pair, e);
	if (ret) {
		nic_fini(&pair->nic);
		release(&pair->nic);
		return ret;
	}
	pair->nic.info.tx_native = pair->nic.info.rx_native = NIC_CAN_ALL;
	pair->nic.info.speed_bps = 10 * NIC_SPEED_DEFAULT;
	*nic = &pair->nic;
	return 0;
}

static const char *pair_check(const struct nic_open *o, struct err *e)
{
	const size_t max = sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1;

	if (strlen(o->argument) <= max)
		return NULL;
	err_set(e, -ENAMETOOLONG, "net pair: the path is longer than %zu bytes", max);
	return "backend";
}

const struct nic_type nic_type_pair = {
	.name = "pair",
	.argument = "PATH",
	.help = "another virtual machine of this host that was given the same PATH",
	.check = pair_check,
	.open = pair_open,
};
