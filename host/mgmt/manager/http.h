/* SPDX-License-Identifier: MIT */
/*
 * The interface of api.h as HTTP/1.1 on a Unix socket, by libmicrohttpd, which runs inside our
 * loop.
 *
 * Bounds: HTTP_CONNECTIONS_MAX connections, half of them for one user other than root, some only
 * for admins; event streams of one user; the body (API_BODY_MAX); the time until a request is
 * complete, and until its answer is read; events that wait for a reader (events.h). A peer that may
 * do nothing is answered at once, and has no connection.
 *
 * Thread: the manager's.
 */
#ifndef MANAGER_HTTP_H
#define MANAGER_HTTP_H

#include <sys/types.h>

#include "mgmt/manager/api.h"

#define HTTP_CONNECTIONS_MAX   128u
#define HTTP_CONNECTIONS_ADMIN 16u              /* of these, kept for those who may do everything */
#define HTTP_STREAMS_MAX       8u               /* of events, for one user other than root */
#define HTTP_REQUEST_NS        (10 * NS_PER_S)  /* from the connection, or the last answer */
#define HTTP_ANSWER_NS         (180 * NS_PER_S) /* longer than any answer takes; not for events */

struct http_access {
	bool has_admin_group, has_read_group;
	gid_t admin_group, read_group; /* besides root and our own user */
};

struct http;

/* fd: listens; owned from here on. NULL: e says why. */
struct http *http_open(struct manager *m, int fd, const struct http_access *access, struct err *e);
/* The loop no longer runs. */
void http_close(struct http *h);
/* Connections, for metrics. */
unsigned http_connections(void);

/* What the peer of a socket may do. */
enum api_role http_role(int fd, const struct http_access *access);

#endif
