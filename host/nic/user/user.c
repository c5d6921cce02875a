/* SPDX-License-Identifier: MIT */
/* The NIC of `user`: starts passt, watches it, starts it again. States: user_impl.h. */
#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "nic/types.h"
#include "nic/user/user_impl.h"

static void check_closed(struct user_nic *user);

static struct loop *control(struct user_nic *user)
{
	return user->nic.control;
}

/* ---- connection ---------------------------------------------------------- */

static void conn_destroy(struct nic_conn *conn)
{
	struct user_conn *c = container_of(conn, struct user_conn, conn);

	close(c->fd);
	free(c);
}

static void set_conn(struct user_nic *user, struct user_conn *conn)
{
	user->conn = conn;
	nic_hub_set(&user->hub, conn ? &conn->conn : NULL);
	nic_link_set(&user->nic, conn);
}

static void broken_task(struct loop_task *task)
{
	struct user_nic *user = container_of(task, struct user_nic, broken);

	atomic_store(&user->broken_posted, false);
	if (user->closing)
		check_closed(user);
	else if (user->conn && atomic_load(&user->conn->broken) && user->pid)
		user_process_kill(user->pid); /* its end is handled as any other */
}

void user_broken(struct user_nic *user, struct user_conn *conn)
{
	atomic_store(&conn->broken, true);
	if (!atomic_exchange(&user->broken_posted, true))
		loop_post(control(user), &user->broken);
}

/* ---- process ------------------------------------------------------------- */

static void retry(struct loop_timer *t);

static void arm_exit(struct user_nic *user)
{
	io_uring_prep_poll_add(loop_sqe(control(user), &user->exit_op), user->pidfd, POLLIN);
	user->exit_armed = true;
}

static int start(struct user_nic *user)
{
	struct user_conn *conn = calloc(1, sizeof(*conn));
	pid_t pid = conn ? user_spawn(&user->command, &conn->fd, &user->pidfd) : -ENOMEM;

	if (pid < 0) {
		free(conn);
		return pid;
	}
	user->pid = pid;
	user->started_ns = loop_now_ns();
	nic_conn_init(&conn->conn, conn_destroy);
	arm_exit(user);
	set_conn(user, conn);
	return 0;
}

static void start_later(struct user_nic *user)
{
	loop_timer_start(control(user), &user->retry, user->retry_ns, retry);
	user->retry_ns *= 2;
	if (user->retry_ns > USER_RETRY_NS_MAX)
		user->retry_ns = USER_RETRY_NS_MAX;
}

static void retry(struct loop_timer *t)
{
	struct user_nic *user = container_of(t, struct user_nic, retry);
	int ret = start(user);

	if (!ret)
		return;
	log_warn("net user: cannot start %s: %s", user->command.argv[0], strerror(-ret));
	start_later(user);
}

static void log_exit(const struct user_nic *user, int status)
{
	if (WIFSIGNALED(status))
		log_warn("net user: %s ended by signal %d; starting it again",
			user->command.argv[0], WTERMSIG(status));
	else
		log_warn("net user: %s ended with status %d; starting it again",
			user->command.argv[0], WEXITSTATUS(status));
}

static void exited(struct loop_op *op, int res)
{
	struct user_nic *user = container_of(op, struct user_nic, exit_op);
	int status = 0;

	user->exit_armed = false;
	if (res >= 0 && user_process_wait(user->pid, &status)) {
		arm_exit(user);
		return;
	}
	close(user->pidfd);
	user->pid = 0;
	if (user->closing) {
		check_closed(user);
		return;
	}
	log_exit(user, status);
	set_conn(user, NULL);
	if (loop_now_ns() - user->started_ns >= USER_STABLE_NS)
		user->retry_ns = USER_RETRY_NS;
	start_later(user);
}

/* ---- life ---------------------------------------------------------------- */

static void release(struct nic *nic)
{
	struct user_nic *user = (struct user_nic *)nic;

	user_command_free(&user->command);
	nic_hub_fini(&user->hub);
	free(user);
}

static void check_closed(struct user_nic *user)
{
	if (user->closing && !user->exit_armed && !atomic_load(&user->broken_posted))
		nic_closed(&user->nic, release);
}

/* passt ends by itself when the socket is closed; the signal is for one that hangs. */
static void user_close(struct nic *nic)
{
	struct user_nic *user = (struct user_nic *)nic;

	user->closing = true;
	loop_timer_cancel(&user->retry);
	if (user->conn)
		set_conn(user, NULL);
	if (user->pid)
		user_process_kill(user->pid);
	check_closed(user);
}

static const struct nic_ops user_ops = {
	.name = "user",
	.close = user_close,
	.queue_open = user_queue_open,
	.queue_stop = user_queue_stop,
	.queue_close = user_queue_close,
	.tx = user_queue_tx,
	.rx_resume = user_queue_rx_resume,
};

static struct user_nic *create(const struct nic_open *o)
{
	struct user_nic *user = calloc(1, sizeof(*user));

	if (!user)
		return NULL;
	if (nic_init(&user->nic, &user_ops, o->env, 1)) {
		free(user);
		return NULL;
	}
	nic_hub_init(&user->hub);
	user->exit_op.done = exited;
	user->broken.fn = broken_task;
	user->retry_ns = USER_RETRY_NS;
	user->nic.info.speed_bps = NIC_SPEED_DEFAULT;
	return user;
}

static int user_open(struct nic **nic, const struct nic_open *o, struct err *e)
{
	struct user_nic *user = create(o);
	int ret;

	if (!user)
		return err_set(e, -ENOMEM, "net user: out of memory");
	ret = user_command_make(&user->command, o, e);
	if (!ret && (ret = start(user)))
		err_set(e, ret, "net user: cannot start %s: %s%s", user->command.argv[0],
			strerror(-ret), ret == -ENOENT ? "; install the package passt" : "");
	if (ret) {
		nic_fini(&user->nic);
		release(&user->nic);
		return ret;
	}
	*nic = &user->nic;
	return 0;
}

static const struct nic_key keys[] = {
	{"forward", "tcp|udp:[ADDR:]PORT-:PORT",
		"a port of the host that leads to one of the guest"},
	{"program", "FILE", "the passt to run"},
	{0},
};

const struct nic_type nic_type_user = {
	.name = "user",
	.help = "the host's network, without root and without set-up; needs passt",
	.keys = keys,
	.untagged = true,
	.check = user_command_check,
	.check_host = user_command_check_host,
	.open = user_open,
};
