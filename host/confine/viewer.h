/* SPDX-License-Identifier: MIT */
/* The VNC server's process (host/display): it serves what it listens on, and opens nothing. */
#ifndef CONFINE_VIEWER_H
#define CONFINE_VIEWER_H

/* In that process, all threads of it. For the life of the process. 0 or -errno. */
int confine_viewer(void);

#endif
