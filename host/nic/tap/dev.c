/* SPDX-License-Identifier: MIT */
/*
 * The ioctls of TAP. All of them take the kernel's network configuration lock
 * (RTNL) and may wait for it: control thread only.
 *
 * Header size, byte order and offloads belong to the interface; the flags of the
 * first attachment replace those of a persistent one. So all of it is set again
 * after each attachment.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/if_tun.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/broker.h"
#include "nic/tap/tap_broker.h"
#include "nic/tap/tap_impl.h"

#define CREATED_QUEUE_LENGTH 4096 /* frames; the kernel's 1000 are few for frames of 1514 bytes */

static void name_request(struct ifreq *r, const char *name)
{
	memset(r, 0, sizeof(*r));
	snprintf(r->ifr_name, sizeof(r->ifr_name), "%s", name);
}

static int query(const struct tap_dev *dev, unsigned long request, struct ifreq *r)
{
	name_request(r, dev->name);
	return ioctl(dev->query, request, r) ? -errno : 0;
}

static int command(int fd, unsigned long request, int value)
{
	return ioctl(fd, request, &value) ? -errno : 0;
}

/* ---- settings of the interface ------------------------------------------- */

static unsigned long tun_offloads(uint32_t offloads)
{
	static const struct {
		uint32_t can;
		unsigned long tun;
	} map[] = {
		{NIC_CAN_CSUM, TUN_F_CSUM},
		{NIC_CAN_TSO4, TUN_F_TSO4},
		{NIC_CAN_TSO6, TUN_F_TSO6},
		{NIC_CAN_ECN, TUN_F_TSO_ECN},
	};
	unsigned long tun = 0;

	for (size_t i = 0; i < sizeof(map) / sizeof(map[0]); i++)
		if (offloads & map[i].can)
			tun |= map[i].tun;
	return tun;
}

int tap_dev_set_offloads(struct tap_dev *dev, uint32_t offloads)
{
	if (ioctl(dev->fds[0], TUNSETOFFLOAD, tun_offloads(offloads)))
		return -errno;
	dev->offloads = offloads;
	return 0;
}

int tap_dev_set_carrier(struct tap_dev *dev, bool up)
{
	dev->carrier = up;
	return command(dev->fds[0], TUNSETCARRIER, up);
}

static int set_queue(struct tap_dev *dev, uint32_t index, short flag)
{
	struct ifreq r = {.ifr_flags = flag};

	return ioctl(dev->fds[index], TUNSETQUEUE, &r) ? -errno : 0;
}

/* From the last one down, so that no queue of ours changes its number in the kernel. */
int tap_dev_set_active(struct tap_dev *dev, uint32_t active)
{
	int ret = 0;

	assert(active >= 1 && active <= dev->count);
	for (; !ret && dev->active > active; dev->active -= !ret)
		ret = set_queue(dev, dev->active - 1, IFF_DETACH_QUEUE);
	for (; !ret && dev->active < active; dev->active += !ret)
		ret = set_queue(dev, dev->active, IFF_ATTACH_QUEUE);
	return ret;
}

static int configure(struct tap_dev *dev)
{
	int ret = command(dev->fds[0], TUNSETVNETHDRSZ, sizeof(struct tap_header));

	if (!ret)
		ret = command(dev->fds[0], TUNSETVNETLE, 1);
	/* Never back-pressure from the socket: it would turn off the kernel's path for small
	 * frames, and only few egress devices give any. Old kernels may lack it for a queue. */
	for (uint32_t i = 0; !ret && i < dev->count; i++)
		ret = command(dev->fds[i], TUNSETSNDBUF, INT_MAX);
	if (!ret)
		ret = tap_dev_set_offloads(dev, dev->offloads);
	if (!ret && !dev->carrier)
		ret = tap_dev_set_carrier(dev, false);
	return ret;
}

/* ---- attachment ---------------------------------------------------------- */

static int attach_one(struct tap_dev *dev, uint32_t index)
{
	struct ifreq r;

	name_request(&r, dev->name);
	r.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
	if (dev->multi_queue)
		r.ifr_flags |= IFF_MULTI_QUEUE;
	return ioctl(dev->fds[index], TUNSETIFF, &r) ? -errno : 0;
}

/* All queues are attached, and active for the kernel: as many as were become so again. */
static int configure_attached(struct tap_dev *dev)
{
	uint32_t active = dev->active;
	int ret;

	dev->active = dev->count;
	ret = configure(dev);
	if (!ret)
		ret = tap_dev_set_active(dev, active);
	dev->active = active;
	return ret;
}

static int attach_all(struct tap_dev *dev)
{
	int ret = 0;

	for (uint32_t i = 0; !ret && i < dev->count; i++)
		ret = attach_one(dev, i);
	return ret ? ret : configure_attached(dev);
}

/* A descriptor that got an interface cannot get another one as long as it has it: when a later one
 * fails, all begin anew. */
static int reopen(struct tap_dev *dev)
{
	for (uint32_t i = 0; i < dev->count; i++) {
		int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);

		if (fd < 0)
			return -errno;
		/* The number stays: queues use it. */
		if (dup3(fd, dev->fds[i], O_CLOEXEC) < 0) {
			int error = -errno;

			close(fd);
			return error;
		}
		close(fd);
	}
	return 0;
}

/* Attached by the broker, then configured as after any attachment. */
static int attach_by_broker(struct tap_dev *dev)
{
	int ret = tap_broker_attach(dev);

	return ret ? ret : configure_attached(dev);
}

int tap_dev_attach(struct tap_dev *dev)
{
	int ret;

	if (broker_used())
		return attach_by_broker(dev);
	ret = attach_all(dev);
	if (ret == -EINVAL && dev->count == 1) {
		/* Maybe it has multi_queue, or has it no more. */
		dev->multi_queue = !dev->multi_queue;
		ret = attach_all(dev);
	}
	if (ret && tap_dev_attached(dev))
		reopen(dev);
	return ret;
}

static bool get_flags(int fd, struct ifreq *r)
{
	memset(r, 0, sizeof(*r));
	return !ioctl(fd, TUNGETIFF, r);
}

bool tap_dev_attached(struct tap_dev *dev)
{
	struct ifreq r;

	if (!get_flags(dev->fds[0], &r))
		return false;
	snprintf(dev->name, sizeof(dev->name), "%s", r.ifr_name);
	return true;
}

bool tap_dev_exists(const struct tap_dev *dev)
{
	struct ifreq r;

	return !query(dev, SIOCGIFINDEX, &r);
}

int tap_dev_state(const struct tap_dev *dev, bool *up, uint32_t *mtu)
{
	struct ifreq r;
	int ret = query(dev, SIOCGIFFLAGS, &r);

	if (ret)
		return ret;
	*up = r.ifr_flags & IFF_UP;
	ret = query(dev, SIOCGIFMTU, &r);
	if (!ret)
		*mtu = (uint32_t)r.ifr_mtu;
	return ret;
}

/* ---- opening ------------------------------------------------------------- */

static int set_mtu(struct tap_dev *dev, uint32_t mtu)
{
	struct ifreq r;

	if (!query(dev, SIOCGIFMTU, &r) && (uint32_t)r.ifr_mtu == mtu)
		return 0;
	name_request(&r, dev->name);
	r.ifr_mtu = (int)mtu;
	return ioctl(dev->query, SIOCSIFMTU, &r) ? -errno : 0;
}

/* An interface that we created has no other owner to set it up. */
static void set_up_created(struct tap_dev *dev)
{
	struct ifreq r;

	name_request(&r, dev->name);
	r.ifr_qlen = CREATED_QUEUE_LENGTH;
	ioctl(dev->query, SIOCSIFTXQLEN, &r);
	if (!query(dev, SIOCGIFFLAGS, &r)) {
		r.ifr_flags |= IFF_UP;
		ioctl(dev->query, SIOCSIFFLAGS, &r);
	}
}

static int init(struct tap_dev *dev)
{
	*dev = (struct tap_dev){.carrier = true, .active = 1};
	dev->query = tap_query_socket();
	return dev->query < 0 ? dev->query : 0;
}

static int mtu_or_error(struct tap_dev *dev, uint32_t mtu, struct err *e)
{
	int ret = mtu ? set_mtu(dev, mtu) : 0;

	if (!ret)
		return 0;
	return err_set(e, ret, "net tap:%s: cannot set mtu %u: %s; set it with ip link", dev->name,
		mtu, strerror(-ret));
}

static int open_error(const struct tap_dev *dev, uint32_t queues, int error, struct err *e)
{
	const char *hint = "";

	if (error == -EPERM)
		hint = "; make it with: ip tuntap add dev NAME mode tap user USER vnet_hdr";
	else if (error == -EBUSY)
		hint = "; another program uses it";
	else if (error == -EINVAL)
		hint = queues > 1 ? "; is it a TAP with multi_queue?" : "; is it a TAP?";
	return err_set(e, error, "net tap:%s: %s%s", dev->name, strerror(-error), hint);
}

static int open_fds(struct tap_dev *dev, uint32_t queues)
{
	for (; dev->count < queues; dev->count++) {
		dev->fds[dev->count] = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
		if (dev->fds[dev->count] < 0)
			return -errno;
	}
	return 0;
}

int tap_dev_open_here(
	struct tap_dev *dev, const char *name, uint32_t queues, uint32_t mtu, struct err *e)
{
	bool existed;
	int ret = init(dev);

	if (ret)
		return err_set(e, ret, "net tap:%s: socket: %s", name, strerror(-ret));
	snprintf(dev->name, sizeof(dev->name), "%s", name);
	dev->multi_queue = queues > 1;
	existed = tap_dev_exists(dev);
	ret = open_fds(dev, queues);
	if (ret)
		err_set(e, ret, "net tap:%s: /dev/net/tun: %s", name, strerror(-ret));
	if (!ret && (ret = tap_dev_attach(dev)))
		open_error(dev, queues, ret, e);
	if (!ret && !existed)
		set_up_created(dev);
	if (!ret)
		ret = mtu_or_error(dev, mtu, e);
	if (ret)
		tap_dev_close(dev);
	return ret;
}

int tap_dev_open(
	struct tap_dev *dev, const char *name, uint32_t queues, uint32_t mtu, struct err *e)
{
	if (broker_used())
		return tap_broker_open(dev, name, queues, mtu, e);
	return tap_dev_open_here(dev, name, queues, mtu, e);
}

/* ---- inherited ----------------------------------------------------------- */

static int check_inherited(int fd, struct ifreq *r, struct err *e)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || !get_flags(fd, r))
		return err_set(e, -EBADF, "net fd:%d: not a descriptor of a TAP", fd);
	if (!(r->ifr_flags & IFF_TAP) || !(r->ifr_flags & IFF_NO_PI) ||
		!(r->ifr_flags & IFF_VNET_HDR))
		return err_set(e, -EINVAL,
			"net fd:%d: %s must be opened with IFF_TAP, IFF_NO_PI and IFF_VNET_HDR", fd,
			r->ifr_name);
	if (fcntl(fd, F_SETFL, flags | O_NONBLOCK) || fcntl(fd, F_SETFD, FD_CLOEXEC))
		return err_set(e, -errno, "net fd:%d: fcntl: %s", fd, strerror(errno));
	return 0;
}

static int check_all(struct tap_dev *dev, struct err *e)
{
	for (uint32_t i = 0; i < dev->count; i++) {
		struct ifreq r;
		int ret = check_inherited(dev->fds[i], &r, e);

		if (ret)
			return ret;
		if (i && strcmp(dev->name, r.ifr_name))
			return err_set(e, -EINVAL, "net fd:%d: it is of %s, the others are of %s",
				dev->fds[i], r.ifr_name, dev->name);
		snprintf(dev->name, sizeof(dev->name), "%s", r.ifr_name);
		dev->multi_queue = r.ifr_flags & IFF_MULTI_QUEUE;
	}
	return 0;
}

int tap_dev_adopt(struct tap_dev *dev, const int *fds, uint32_t count, uint32_t mtu, struct err *e)
{
	int ret = init(dev);

	memcpy(dev->fds, fds, count * sizeof(*fds));
	dev->count = count;
	if (ret)
		err_set(e, ret, "net fd:%d: socket: %s", fds[0], strerror(-ret));
	else
		ret = check_all(dev, e);
	if (!ret) {
		dev->active = count;
		ret = configure(dev);
		if (!ret)
			ret = tap_dev_set_active(dev, 1);
		if (ret)
			err_set(e, ret, "net fd:%d: %s: %s", fds[0], dev->name, strerror(-ret));
	}
	if (!ret)
		ret = mtu_or_error(dev, mtu, e);
	if (ret)
		tap_dev_close(dev);
	return ret;
}

void tap_dev_close(struct tap_dev *dev)
{
	for (uint32_t i = 0; i < dev->count; i++)
		close(dev->fds[i]);
	if (dev->query >= 0)
		close(dev->query);
	dev->count = 0;
}
