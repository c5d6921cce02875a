/* SPDX-License-Identifier: MIT */
/* Shared by ctl.c and ctl_call.c only. */
#ifndef MGMT_CTL_IMPL_H
#define MGMT_CTL_IMPL_H

/* Any thread. 0 with *fd, a connection with CTL_TIMEOUT_MS as its time-outs; or -errno. */
int ctl_connect(const char *path, int *fd);

#endif
