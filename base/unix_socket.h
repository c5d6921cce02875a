/* SPDX-License-Identifier: MIT */
/* Sockets of any type with a name in the file system. Thread: any that may sleep, because of that.
 */
#ifndef BASE_UNIX_SOCKET_H
#define BASE_UNIX_SOCKET_H

#include <sys/socket.h>
#include <sys/un.h>

#define UNIX_SOCKET_PATH_MAX (sizeof(((struct sockaddr_un *)0)->sun_path)) /* with terminator */

/* A blocking descriptor that listens, and that only our user can connect to. The socket of a
 * process that was killed is replaced. -EADDRINUSE: another process listens there; -ENAMETOOLONG;
 * -errno. */
int unix_socket_listen(const char *path, int type, int backlog);

/* A blocking descriptor that is connected. -EAGAIN: too many wait for the listener; -ENOENT,
 * -ECONNREFUSED: no process listens; -ENAMETOOLONG; -errno. */
int unix_socket_connect(const char *path, int type);

#endif
