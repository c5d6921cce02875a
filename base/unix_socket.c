/* SPDX-License-Identifier: MIT */
#include "base/unix_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/broker.h"

static int set_address(struct sockaddr_un *addr, const char *path)
{
	*addr = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof(addr->sun_path))
		return -ENAMETOOLONG;
	memcpy(addr->sun_path, path, strlen(path));
	return 0;
}

static int set_blocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags < 0 || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) ? -errno : 0;
}

/* Not blocking while it connects: a listener may be stopped. */
int unix_socket_connect(const char *path, int type)
{
	struct sockaddr_un addr;
	int ret = set_address(&addr, path);
	int fd;

	if (broker_used() && !ret)
		return broker_call_text(BROKER_CONNECT, type, 0, path);
	if (ret)
		return ret;
	fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	ret = connect(fd, (struct sockaddr *)&addr, sizeof(addr)) ? -errno : set_blocking(fd);
	if (!ret)
		return fd;
	close(fd);
	return ret;
}

/* True: no process listens there any more. */
static bool is_stale(const char *path, int type)
{
	int fd = unix_socket_connect(path, type);

	if (fd >= 0)
		close(fd);
	return fd == -ECONNREFUSED;
}

static int bind_to(int fd, int type, const struct sockaddr_un *addr)
{
	const struct sockaddr *any = (const struct sockaddr *)addr;
	struct stat st;

	if (!bind(fd, any, sizeof(*addr)))
		return 0;
	if (errno != EADDRINUSE)
		return -errno;
	if (lstat(addr->sun_path, &st) || !S_ISSOCK(st.st_mode) ||
		!is_stale(addr->sun_path, type) || unlink(addr->sun_path))
		return -EADDRINUSE;
	return bind(fd, any, sizeof(*addr)) ? -errno : 0;
}

static int bind_and_listen(int fd, int type, const struct sockaddr_un *addr, int backlog)
{
	mode_t mask = umask(0177);
	int ret = bind_to(fd, type, addr);

	umask(mask);
	if (ret)
		return ret;
	if (!listen(fd, backlog))
		return 0;
	ret = -errno;
	unlink(addr->sun_path);
	return ret;
}

int unix_socket_listen(const char *path, int type, int backlog)
{
	struct sockaddr_un addr;
	int ret = set_address(&addr, path);
	int fd;

	if (broker_used() && !ret)
		return broker_call_text(BROKER_LISTEN, type, backlog, path);
	if (ret)
		return ret;
	fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	ret = bind_and_listen(fd, type, &addr, backlog);
	if (!ret)
		return fd;
	close(fd);
	return ret;
}
