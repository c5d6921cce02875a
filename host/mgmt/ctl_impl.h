/* SPDX-License-Identifier: MIT */
/* Shared by ctl.c, ctl_call.c and ctl_dir.c only. */
#ifndef MGMT_CTL_IMPL_H
#define MGMT_CTL_IMPL_H

#include <sys/types.h>

#include "base/err.h"

/* Makes the directory of this socket, and checks that it is ours alone. One process at a time
 * checks and binds a name: a socket that is bound but does not listen yet cannot be distinguished
 * from a stale one. Closing the descriptor releases the lock. -errno with one line. */
int ctl_dir_lock(const char *path, struct err *e);

/* The user who listens (for a client) or connected (for a server). 0 or -errno. */
int ctl_peer(int fd, uid_t *uid);

/* Any thread. 0 with *fd, a connection with CTL_TIMEOUT_MS as its time-outs; or -errno. */
int ctl_connect(const char *path, int *fd);

#endif
