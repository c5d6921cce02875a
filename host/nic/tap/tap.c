/* SPDX-License-Identifier: MIT */
/* The NIC over a TAP: states of the interface (tap_impl.h), control thread. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/parse.h"
#include "nic/tap/tap_broker.h"
#include "nic/tap/tap_impl.h"
#include "nic/types.h"

#define RETRY_NS (200 * NS_PER_MS)

/* ---- states -------------------------------------------------------------- */

static void retry(struct loop_timer *t);

/* An interface of our name exists, but is not attached: created again, or another program's. */
static bool attach(struct tap *tap)
{
	int ret = tap_dev_attach(&tap->dev);

	if (!ret) {
		tap->attach_failed = false;
		atomic_fetch_add_explicit(&tap->generation, 1, memory_order_release);
		log_info("net tap:%s: attached again", tap->dev.name);
		return true;
	}
	if (!tap->attach_failed)
		log_warn("net tap:%s: cannot attach again: %s; trying on", tap->dev.name,
			strerror(-ret));
	tap->attach_failed = true;
	loop_timer_start(tap->nic.control, &tap->retry, RETRY_NS, retry);
	return false;
}

/* Reads the current state. */
static void update(struct tap *tap)
{
	bool attached = tap_dev_attached(&tap->dev), up = false;
	uint32_t mtu = nic_mtu(&tap->nic);

	if (!attached && tap_dev_exists(&tap->dev))
		attached = attach(tap);
	if (attached && tap_dev_state(&tap->dev, &up, &mtu))
		up = false; /* in another name space, or just deleted */
	nic_mtu_set(&tap->nic, mtu);
	nic_link_set(&tap->nic, attached && up);
}

static void retry(struct loop_timer *t)
{
	update(container_of(t, struct tap, retry));
}

/* ---- news ---------------------------------------------------------------- */

static void check_closed(struct tap *tap);

static void netlink_arm(struct tap *tap)
{
	io_uring_prep_recv(loop_sqe(tap->nic.control, &tap->netlink_op), tap->netlink,
		tap->netlink_buffer, sizeof(tap->netlink_buffer), 0);
	tap->netlink_armed = true;
}

/* The messages are not read: any of them, or that some were lost (ENOBUFS), causes an update. */
static void netlink_done(struct loop_op *op, int res)
{
	struct tap *tap = container_of(op, struct tap, netlink_op);

	tap->netlink_armed = false;
	if (tap->closing) {
		check_closed(tap);
		return;
	}
	if (res < 0 && res != -ENOBUFS && res != -EINTR && res != -EAGAIN) {
		log_error("net tap:%s: netlink: %s", tap->dev.name, strerror(-res));
		return;
	}
	netlink_arm(tap);
	update(tap);
}

static void netlink_cancelled(struct loop_op *op, int res)
{
	struct tap *tap = container_of(op, struct tap, netlink_cancel);

	tap->netlink_cancelling = false;
	check_closed(tap);
}

static void lost_task(struct loop_task *task)
{
	struct tap *tap = container_of(task, struct tap, lost);

	atomic_store(&tap->lost_posted, false);
	if (tap->closing)
		check_closed(tap);
	else
		update(tap);
}

void tap_lost(struct tap *tap)
{
	if (!atomic_exchange(&tap->lost_posted, true))
		loop_post(tap->nic.control, &tap->lost);
}

/* ---- settings ------------------------------------------------------------ */

/* A deleted interface gets the settings when it is created again. */
static int unless_gone(int ret)
{
	return ret == -EBADFD ? 0 : ret;
}

static int tap_set_rx_offloads(struct nic *nic, uint32_t offloads)
{
	struct tap *tap = (struct tap *)nic;
	int ret = tap_dev_set_offloads(&tap->dev, offloads);

	tap->dev.offloads = ret && ret != -EBADFD ? tap->dev.offloads : offloads;
	return unless_gone(ret);
}

static int tap_set_queues(struct nic *nic, uint32_t queues)
{
	struct tap *tap = (struct tap *)nic;
	int ret = tap_dev_set_active(&tap->dev, queues);

	if (ret == -EBADFD)
		tap->dev.active = queues;
	return unless_gone(ret);
}

static int tap_set_carrier(struct nic *nic, bool up)
{
	return unless_gone(tap_dev_set_carrier(&((struct tap *)nic)->dev, up));
}

/* ---- life ---------------------------------------------------------------- */

static void release(struct nic *nic)
{
	free(nic);
}

static void check_closed(struct tap *tap)
{
	if (tap->netlink_armed || tap->netlink_cancelling || atomic_load(&tap->lost_posted))
		return;
	close(tap->netlink);
	tap_dev_close(&tap->dev);
	nic_closed(&tap->nic, release);
}

static void tap_close(struct nic *nic)
{
	struct tap *tap = (struct tap *)nic;

	tap->closing = true;
	loop_timer_cancel(&tap->retry);
	if (tap->netlink_armed) {
		io_uring_prep_cancel(
			loop_sqe(nic->control, &tap->netlink_cancel), &tap->netlink_op, 0);
		tap->netlink_cancelling = true;
	}
	check_closed(tap);
}

static const struct nic_ops tap_ops = {
	.name = "tap",
	.close = tap_close,
	.set_rx_offloads = tap_set_rx_offloads,
	.set_queues = tap_set_queues,
	.set_carrier = tap_set_carrier,
	.queue_open = tap_queue_open,
	.queue_stop = tap_queue_stop,
	.queue_close = tap_queue_close,
	.tx = tap_queue_tx,
	.rx_resume = tap_queue_rx_resume,
};

/* tap->dev is open; closed when this fails. */
static int start(struct tap *tap, const struct nic_env *env, struct err *e)
{
	int ret = nic_init(&tap->nic, &tap_ops, env, tap->dev.count);

	if (ret)
		goto close_dev;
	tap->netlink = ret = tap_netlink_socket();
	if (ret < 0)
		goto fini;
	tap->nic.info.tx_native = NIC_CAN_CSUM | NIC_CAN_TSO4 | NIC_CAN_TSO6 | NIC_CAN_ECN;
	tap->nic.info.rx_native = tap->nic.info.tx_native;
	tap->nic.info.speed_bps = NIC_SPEED_DEFAULT;
	tap->netlink_op.done = netlink_done;
	tap->netlink_cancel.done = netlink_cancelled;
	tap->lost.fn = lost_task;
	netlink_arm(tap);
	update(tap);
	return 0;

fini:
	nic_fini(&tap->nic);
close_dev:
	err_set(e, ret, "net tap:%s: %s", tap->dev.name, strerror(-ret));
	tap_dev_close(&tap->dev);
	return ret;
}

/* As the kernel sees it: dev_valid_name(). A '%' would make it choose a number. */
static const char *tap_check(const struct nic_open *o, struct err *e)
{
	const char *name = o->argument;

	if (strlen(name) < IFNAMSIZ && strcmp(name, ".") && strcmp(name, "..") &&
		!strpbrk(name, "/: \t\n\v\f\r%"))
		return NULL;
	err_set(e, -EINVAL,
		"net tap:%s: must be the name of an interface, 1 to %d bytes without blanks, '/', ':' and '%%'",
		name, IFNAMSIZ - 1);
	return "backend";
}

static struct tap *tap_new(const struct nic_open *o, struct err *e)
{
	struct tap *tap = calloc(1, sizeof(*tap));

	if (!tap)
		err_set(e, -ENOMEM, "net %s: out of memory", o->argument);
	return tap;
}

/* ret: of the opening of tap->dev. Frees it after a failure. */
static int finish(
	struct tap *tap, int ret, struct nic **nic, const struct nic_env *env, struct err *e)
{
	if (!ret)
		ret = start(tap, env, e);
	if (ret)
		free(tap);
	else
		*nic = &tap->nic;
	return ret;
}

static int tap_open(struct nic **nic, const struct nic_open *o, struct err *e)
{
	const struct nic_env *env = o->env;
	struct tap *tap;

	if (tap_check(o, e))
		return -EINVAL;
	tap = tap_new(o, e);
	if (!tap)
		return -ENOMEM;
	return finish(
		tap, tap_dev_open(&tap->dev, o->argument, env->queues, env->mtu, e), nic, env, e);
}

/* The number of one that is there more than once; -1: none. */
static int find_twice(const int *fds, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		for (uint32_t k = 0; k < i; k++)
			if (fds[i] == fds[k])
				return fds[i];
	return -1;
}

/* Each is closed once, and is one queue. */
static int check_fds(const int *fds, uint32_t count, struct err *e)
{
	int twice = find_twice(fds, count);

	if (twice < 0)
		return 0;
	return err_set(e, -EINVAL, "net fd: descriptor %d is given twice", twice);
}

/* "3", "3:4:5". */
static int parse_fds(const char *text, int *fds, uint32_t *count, struct err *e)
{
	char word[16];
	uint64_t fd;

	for (*count = 0; *count < NIC_QUEUES_MAX; text++) {
		size_t len = strcspn(text, ":");

		if (len >= sizeof(word))
			break;
		memcpy(word, text, len);
		word[len] = '\0';
		if (parse_number(word, 0, INT32_MAX, &fd))
			break;
		fds[(*count)++] = (int)fd;
		text += len;
		if (!*text)
			return check_fds(fds, *count, e);
	}
	return err_set(e, -EINVAL, "net fd: write fd:N, or fd:N:N... with one for each queue");
}

static const char *fd_check(const struct nic_open *o, struct err *e)
{
	int fds[NIC_QUEUES_MAX];
	uint32_t count;

	return parse_fds(o->argument, fds, &count, e) ? "backend" : NULL;
}

static const char *fd_check_host(const struct nic_open *o, struct err *e)
{
	int fds[NIC_QUEUES_MAX];
	uint32_t count;

	if (parse_fds(o->argument, fds, &count, e))
		return "backend";
	for (uint32_t i = 0; i < count; i++) {
		if (fcntl(fds[i], F_GETFD) >= 0)
			continue;
		err_set(e, -EBADF, "net fd: descriptor %d is not open; it must be inherited",
			fds[i]);
		return "backend";
	}
	return NULL;
}

static const char *fd_check_two(
	const struct nic_open *o, const struct nic_open *other, struct err *e)
{
	int fds[2 * NIC_QUEUES_MAX];
	uint32_t count, more;

	if (parse_fds(o->argument, fds, &count, e) ||
		parse_fds(other->argument, fds + count, &more, e) ||
		check_fds(fds, count + more, e))
		return "backend";
	return NULL;
}

static int fd_open(struct nic **nic, const struct nic_open *o, struct err *e)
{
	int fds[NIC_QUEUES_MAX];
	struct tap *tap;
	uint32_t count;
	int ret = parse_fds(o->argument, fds, &count, e);

	if (ret)
		return ret;
	tap = tap_new(o, e);
	if (!tap)
		return -ENOMEM;
	ret = tap_dev_adopt(&tap->dev, fds, count, o->env->mtu, e);
	return finish(tap, ret, nic, o->env, e);
}

const struct nic_type nic_type_tap = {
	.name = "tap",
	.argument = "IF",
	.help = "a TAP interface; made when it is not there and that is allowed",
	.check = tap_check,
	.open = tap_open,
};

const struct nic_type nic_type_fd = {
	.name = "fd",
	.argument = "N[:N]...",
	.help = "inherited descriptors of a TAP, one for each queue",
	.check = fd_check,
	.check_host = fd_check_host,
	.check_two = fd_check_two,
	.open = fd_open,
};
