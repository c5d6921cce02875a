/* SPDX-License-Identifier: MIT */
/* Who may do what: by the credentials that the kernel has of a peer. */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "mgmt/manager/http.h"

#define GROUPS_MAX 65536u

static enum api_role role_of_group(gid_t group, const struct http_access *access)
{
	if (access->has_admin_group && group == access->admin_group)
		return API_ADMIN;
	return access->has_read_group && group == access->read_group ? API_READ : API_NONE;
}

/* The groups besides the first. */
static enum api_role role_of_groups(int fd, const struct http_access *access)
{
	socklen_t size = 0;
	enum api_role best = API_NONE;
	gid_t *groups;

	if (!getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &size) || errno != ERANGE ||
		size > GROUPS_MAX * sizeof(*groups))
		return API_NONE;
	groups = malloc(size);
	if (!groups || getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size))
		size = 0;
	for (size_t i = 0; i < size / sizeof(*groups); i++) {
		enum api_role role = role_of_group(groups[i], access);

		best = role > best ? role : best;
	}
	free(groups);
	return best;
}

enum api_role http_role(int fd, const struct http_access *access)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);
	enum api_role first, others;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size))
		return API_NONE;
	if (peer.uid == 0 || peer.uid == geteuid())
		return API_ADMIN;
	first = role_of_group(peer.gid, access);
	others = role_of_groups(fd, access);
	return first > others ? first : others;
}
