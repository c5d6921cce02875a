/* SPDX-License-Identifier: MIT */
#include "disk/nbd/address.h"

#include <ctype.h>
#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/broker.h"
#include "base/unix_socket.h"

#define PORT_DEFAULT "10809"

/* ---- the text ------------------------------------------------------------ */

static int digit(char c)
{
	return isdigit((unsigned char)c) ? c - '0' : tolower((unsigned char)c) - 'a' + 10;
}

/* Undoes %XX. A zero byte is none of a name. */
static int unescape(char *to, size_t size, const char *from, size_t length)
{
	size_t n = 0;

	for (size_t i = 0; i < length; i++) {
		char c = from[i];

		if (c == '%') {
			if (i + 2 >= length || !isxdigit((unsigned char)from[i + 1]) ||
				!isxdigit((unsigned char)from[i + 2]))
				return -EINVAL;
			c = (char)(digit(from[i + 1]) << 4 | digit(from[i + 2]));
			i += 2;
		}
		if (!c || n + 1 >= size)
			return -EINVAL;
		to[n++] = c;
	}
	to[n] = '\0';
	return 0;
}

/* "HOST", "HOST:PORT", "[V6]:PORT". */
static int parse_authority(struct nbd_address *a, const char *text, size_t length)
{
	const char *end = text + length, *host_end, *port;

	if (length && *text == '[') {
		text++;
		host_end = memchr(text, ']', (size_t)(end - text));
		port = host_end ? host_end + 1 : end;
	} else {
		host_end = memchr(text, ':', length);
		port = host_end ? host_end : end;
		host_end = port;
	}
	if (!host_end || (port < end && *port != ':') || end - port > (ptrdiff_t)sizeof(a->port))
		return -EINVAL;
	memcpy(a->port, PORT_DEFAULT, sizeof(PORT_DEFAULT));
	if (end - port > 1) {
		memcpy(a->port, port + 1, (size_t)(end - port - 1));
		a->port[end - port - 1] = '\0';
	}
	return unescape(a->host, sizeof(a->host), text, (size_t)(host_end - text));
}

/* "socket=PATH" among others. */
static int parse_query(struct nbd_address *a, const char *query)
{
	static const char key[] = "socket=";

	while (*query) {
		size_t length = strcspn(query, "&;#");

		if (!strncmp(query, key, sizeof(key) - 1))
			return unescape(a->socket, sizeof(a->socket), query + sizeof(key) - 1,
				length - (sizeof(key) - 1));
		query += length + (query[length] != '\0');
	}
	return -EINVAL;
}

int nbd_address_parse(struct nbd_address *a, const char *uri)
{
	static const char tcp[] = "nbd://", unix_scheme[] = "nbd+unix://";
	bool is_unix = !strncmp(uri, unix_scheme, sizeof(unix_scheme) - 1);
	const char *path;
	size_t authority;
	int ret = 0;

	memset(a, 0, sizeof(*a));
	if (!is_unix && strncmp(uri, tcp, sizeof(tcp) - 1))
		return -EINVAL;
	uri += is_unix ? sizeof(unix_scheme) - 1 : sizeof(tcp) - 1;
	authority = strcspn(uri, "/?#");
	path = uri + authority;
	if (!is_unix)
		ret = parse_authority(a, uri, authority);
	path += *path == '/';
	if (!ret)
		ret = unescape(a->export, sizeof(a->export), path, strcspn(path, "?#"));
	path += strcspn(path, "?#");
	if (ret || !is_unix)
		return ret;
	return *path == '?' ? parse_query(a, path + 1) : -EINVAL;
}

/* ---- sockets ------------------------------------------------------------- */

static int connect_one(const struct addrinfo *at)
{
	int fd = socket(at->ai_family, at->ai_socktype | SOCK_CLOEXEC, at->ai_protocol), ret;

	if (fd < 0)
		return -errno;
	ret = connect(fd, at->ai_addr, at->ai_addrlen) ? -errno : fd;
	if (ret < 0)
		close(fd);
	return ret;
}

static int connect_tcp(const struct nbd_address *a)
{
	struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *list;
	int ret = -EHOSTUNREACH;

	if (getaddrinfo(a->host, a->port, &hints, &list))
		return ret;
	for (const struct addrinfo *at = list; at && ret < 0; at = at->ai_next)
		ret = connect_one(at);
	freeaddrinfo(list);
	return ret;
}

int nbd_address_connect(const char *uri)
{
	struct nbd_address *a = malloc(sizeof(*a));
	int ret = a ? nbd_address_parse(a, uri) : -ENOMEM;

	if (!ret)
		ret = a->host[0] ? connect_tcp(a) : unix_socket_connect(a->socket, SOCK_STREAM);
	free(a);
	return ret;
}

/* ---- the handle ---------------------------------------------------------- */

/* fd becomes the handle's, also after an error. */
static int give(struct nbd_handle *h, const char *uri, int fd)
{
	struct nbd_address *a = malloc(sizeof(*a));
	int ret = a ? nbd_address_parse(a, uri) : -ENOMEM;

	if (!ret && libnbd.set_export_name(h, a->export))
		ret = 1;
	free(a);
	if (!ret)
		return libnbd.aio_connect_socket(h, fd) ? 1 : 0;
	close(fd);
	return ret;
}

int nbd_address_use(struct nbd_handle *h, const char *uri)
{
	int fd;

	if (!broker_used())
		return libnbd.aio_connect_uri(h, uri) ? 1 : 0;
	fd = broker_call_text(BROKER_NBD, 0, 0, uri);
	return fd < 0 ? fd : give(h, uri, fd);
}
