/* SPDX-License-Identifier: MIT */
/* Makes and checks what two sides share: a memfd each, doorbells, and the hello. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "nic/pair/pair_impl.h"

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

static void side_init(struct pair_side *side)
{
	side->block = NULL;
	for (uint32_t i = 0; i < NIC_QUEUES_MAX; i++)
		side->doorbells[i] = -1;
}

static void side_fini(struct pair_side *side)
{
	if (side->block)
		munmap(side->block, pair_block_size(side->queues));
	for (uint32_t i = 0; i < NIC_QUEUES_MAX; i++)
		if (side->doorbells[i] >= 0)
			close(side->doorbells[i]);
}

static void destroy(struct nic_conn *conn)
{
	struct pair_join *join = container_of(conn, struct pair_join, conn);

	side_fini(&join->own);
	side_fini(&join->peer);
	free(join);
}

/* ---- our side ------------------------------------------------------------ */

/* Our mapping stays writable; the seal forbids further writable ones and fixes the size. */
static int make_block(struct pair_side *side, uint32_t queues)
{
	size_t size = pair_block_size(queues);
	int fd = memfd_create("enlite-pair", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	void *block = MAP_FAILED;
	int error;

	if (fd < 0)
		return -errno;
	if (!ftruncate(fd, (off_t)size))
		block = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (block == MAP_FAILED)
		goto fail;
	side->block = block;
	side->queues = queues;
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL))
		goto fail;
	return fd;

fail:
	error = -errno;
	close(fd);
	return error;
}

/* The ends for the peer go to fds[]. */
static int make_doorbells(struct pair_side *side, uint32_t queues, int *fds)
{
	for (uint32_t i = 0; i < queues; i++) {
		int ends[2];

		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
			return -errno;
		side->doorbells[i] = ends[0];
		fds[i] = ends[1];
	}
	return 0;
}

static int send_hello(int socket, const struct pair_hello *hello, const int *fds, uint32_t count)
{
	_Alignas(8) uint8_t ancillary[CMSG_SPACE((NIC_QUEUES_MAX + 1) * sizeof(int))] = {0};
	struct iovec iov = {(void *)hello, sizeof(*hello)};
	struct msghdr message = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = ancillary,
		.msg_controllen = CMSG_SPACE(count * sizeof(int)),
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&message);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(count * sizeof(int));
	memcpy(CMSG_DATA(c), fds, count * sizeof(int));
	if (sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL) != sizeof(*hello))
		return errno ? -errno : -EIO;
	return 0;
}

static int greet(struct pair_join *join, int socket, uint32_t queues)
{
	struct pair_hello hello = {PAIR_MAGIC, PAIR_VERSION, queues, PAIR_RING_SIZE};
	int fds[NIC_QUEUES_MAX + 1];
	int ret;

	for (uint32_t i = 0; i <= NIC_QUEUES_MAX; i++)
		fds[i] = -1;
	ret = fds[0] = make_block(&join->own, queues);
	if (ret >= 0)
		ret = make_doorbells(&join->own, queues, fds + 1);
	if (!ret)
		ret = send_hello(socket, &hello, fds, queues + 1);
	for (uint32_t i = 0; i <= NIC_QUEUES_MAX; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	return ret;
}

struct pair_join *pair_join_greet(int socket, uint32_t queues, int *error)
{
	struct pair_join *join = calloc(1, sizeof(*join));

	*error = -ENOMEM;
	if (!join)
		return NULL;
	nic_conn_init(&join->conn, destroy);
	side_init(&join->own);
	side_init(&join->peer);
	*error = greet(join, socket, queues);
	if (!*error)
		return join;
	pair_join_put(join);
	return NULL;
}

/* ---- the peer's side ----------------------------------------------------- */

static bool hello_valid(const struct pair_hello *hello, uint32_t count)
{
	return hello->magic == PAIR_MAGIC && hello->version == PAIR_VERSION && hello->queues >= 1 &&
	       hello->queues <= NIC_QUEUES_MAX && hello->ring_size == PAIR_RING_SIZE &&
	       count == hello->queues + 1;
}

/* Memory that cannot fault under us: not shrinkable, not of a limited file system, not of huge
 * pages that may run out. */
static bool memory_valid(int fd, size_t size)
{
	int seals = fcntl(fd, F_GET_SEALS);
	struct statfs fs;
	struct stat st;

	return seals >= 0 && (seals & F_SEAL_SHRINK) && !fstat(fd, &st) && S_ISREG(st.st_mode) &&
	       (uint64_t)st.st_size == size && !fstatfs(fd, &fs) && fs.f_type == TMPFS_MAGIC;
}

/* Signalling must never wait nor raise a signal: only send() with flags does that, so it must be a
 * socket. */
static bool doorbell_valid(int fd)
{
	int type, domain;
	socklen_t len = sizeof(type);

	return !getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) && type == SOCK_STREAM &&
	       !getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) && domain == AF_UNIX;
}

static int accept_block(struct pair_side *side, uint32_t queues, int fd)
{
	size_t size = pair_block_size(queues);
	void *block;

	if (!memory_valid(fd, size))
		return -EPROTO;
	block = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
	if (block == MAP_FAILED)
		return -errno;
	side->block = block;
	side->queues = queues;
	return 0;
}

int pair_join_accept(
	struct pair_join *join, const struct pair_hello *hello, const int *fds, uint32_t count)
{
	int ret = hello_valid(hello, count) ? 0 : -EPROTO;

	for (uint32_t i = 1; !ret && i < count; i++)
		ret = doorbell_valid(fds[i]) ? 0 : -EPROTO;
	if (!ret)
		ret = accept_block(&join->peer, hello->queues, fds[0]);
	for (uint32_t i = 0; i < count; i++) {
		if (!ret && i)
			join->peer.doorbells[i - 1] = fds[i];
		else
			close(fds[i]);
	}
	return ret;
}
