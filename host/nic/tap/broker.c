/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "nic/tap/tap_broker.h"

struct exchange {
	struct broker_request request;
	struct broker_reply reply;
};

static void close_fds(struct broker_reply *r)
{
	for (uint32_t i = 0; i < r->fd_count; i++)
		close(r->fds[i]);
	r->fd_count = 0;
}

/* ---- sockets ------------------------------------------------------------- */

static int netlink_open(void)
{
	struct sockaddr_nl addr = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	if (fd < 0)
		return -errno;
	if (bind(fd, (struct sockaddr *)&addr, sizeof(addr))) {
		int error = -errno;

		close(fd);
		return error;
	}
	return fd;
}

static int query_open(void)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	return fd < 0 ? -errno : fd;
}

enum { QUERY, NETLINK };

int tap_query_socket(void)
{
	return broker_used() ? broker_call_text(BROKER_TAP_WATCH, QUERY, 0, "") : query_open();
}

int tap_netlink_socket(void)
{
	return broker_used() ? broker_call_text(BROKER_TAP_WATCH, NETLINK, 0, "") : netlink_open();
}

void tap_broker_serve_watch(const struct broker_request *q, struct broker_reply *r)
{
	int fd = q->a == NETLINK ? netlink_open() : query_open();

	r->result = fd < 0 ? fd : 0;
	if (fd >= 0)
		r->fds[r->fd_count++] = fd;
}

/* ---- opening ------------------------------------------------------------- */

/* The query socket is the first. */
static void take_opened(struct tap_dev *dev, const struct broker_reply *r, uint32_t queues)
{
	*dev = (struct tap_dev){
		.carrier = true, .active = 1, .count = queues, .multi_queue = r->b != 0};
	snprintf(dev->name, sizeof(dev->name), "%.*s", (int)r->bytes, r->text);
	dev->query = r->fds[0];
	memcpy(dev->fds, r->fds + 1, queues * sizeof(int));
}

static int open_error(const char *name, int ret, const struct broker_reply *r, struct err *e)
{
	if (ret == -EACCES && !r->bytes)
		return err_set(e, ret, "net tap:%s: nobody named it to this VM", name);
	return err_set(e, ret, "%.*s", (int)r->bytes, r->text);
}

int tap_broker_open(
	struct tap_dev *dev, const char *name, uint32_t queues, uint32_t mtu, struct err *e)
{
	struct exchange *x = calloc(1, sizeof(*x));
	int ret;

	if (!x)
		return err_set(e, -ENOMEM, "net tap:%s: out of memory", name);
	broker_request_init(&x->request, BROKER_TAP, (int32_t)queues, (int32_t)mtu);
	broker_request_add(&x->request, name); /* IFNAMSIZ at most */
	ret = broker_call(&x->request, &x->reply);
	if (ret >= 0 && x->reply.fd_count != queues + 1) {
		close_fds(&x->reply);
		x->reply.bytes = 0;
		ret = -EPROTO;
	}
	if (ret >= 0)
		take_opened(dev, &x->reply, queues);
	else
		open_error(name, ret, &x->reply, e);
	free(x);
	return ret < 0 ? ret : 0;
}

void tap_broker_serve_open(const struct broker_request *q, struct broker_reply *r)
{
	struct tap_dev dev;
	struct err e = {""};

	r->result = -EINVAL;
	if (q->a < 1 || q->a > (int32_t)NIC_QUEUES_MAX || strlen(q->text) >= IFNAMSIZ)
		return;
	r->result = tap_dev_open_here(&dev, q->text, (uint32_t)q->a, (uint32_t)q->b, &e);
	r->bytes =
		(uint32_t)snprintf(r->text, sizeof(r->text), "%s", r->result ? e.text : dev.name);
	if (r->result)
		return;
	r->b = dev.multi_queue;
	r->fds[r->fd_count++] = dev.query;
	for (uint32_t i = 0; i < dev.count; i++)
		r->fds[r->fd_count++] = dev.fds[i];
}

/* ---- attaching again ----------------------------------------------------- */

/* The numbers stay: queues use them. */
static int replace(struct tap_dev *dev, const struct broker_reply *r)
{
	for (uint32_t i = 0; i < dev->count; i++)
		if (dup3(r->fds[i], dev->fds[i], O_CLOEXEC) < 0)
			return -errno;
	return 0;
}

int tap_broker_attach(struct tap_dev *dev)
{
	struct exchange *x = calloc(1, sizeof(*x));
	int ret;

	if (!x)
		return -ENOMEM;
	broker_request_init(&x->request, BROKER_TAP_ATTACH, (int32_t)dev->count, dev->multi_queue);
	broker_request_add(&x->request, dev->name);
	ret = broker_call(&x->request, &x->reply);
	if (ret >= 0) {
		ret = x->reply.fd_count == dev->count ? replace(dev, &x->reply) : -EPROTO;
		dev->multi_queue = x->reply.b;
		close_fds(&x->reply);
	}
	free(x);
	return ret;
}

static int attach_one(const char *name, bool multi_queue)
{
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	struct ifreq r = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
	int ret;

	if (fd < 0)
		return -errno;
	snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", name);
	if (multi_queue)
		r.ifr_flags |= IFF_MULTI_QUEUE;
	ret = ioctl(fd, TUNSETIFF, &r) ? -errno : fd;
	if (ret < 0)
		close(fd);
	return ret;
}

static int attach_all(struct broker_reply *r, const char *name, int32_t queues, bool multi_queue)
{
	for (int32_t i = 0; i < queues; i++) {
		int fd = attach_one(name, multi_queue);

		if (fd < 0) {
			close_fds(r);
			return fd;
		}
		r->fds[r->fd_count++] = fd;
	}
	r->b = multi_queue;
	return 0;
}

void tap_broker_serve_attach(const struct broker_request *q, struct broker_reply *r)
{
	bool multi_queue = q->b;

	r->result = -EINVAL;
	if (q->a < 1 || q->a > (int32_t)NIC_QUEUES_MAX || strlen(q->text) >= IFNAMSIZ)
		return;
	r->result = attach_all(r, q->text, q->a, multi_queue);
	/* Maybe it has multi_queue now, or has it no more. */
	if (r->result == -EINVAL && q->a == 1)
		r->result = attach_all(r, q->text, q->a, !multi_queue);
}
