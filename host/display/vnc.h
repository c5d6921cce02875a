/* SPDX-License-Identifier: MIT */
/* The VNC server's process, after the fork: one thread of neatvnc's loop, and those that compress.
 */
#ifndef DISPLAY_VNC_H
#define DISPLAY_VNC_H

#include <stdbool.h>
#include <stdint.h>

struct vnc_address {
	const char *path; /* of a Unix socket; NULL: TCP */
	char host[16];
	uint16_t port;
};

/* Serves until the other end of `link` is closed. See link.h. False: it could not start. */
bool vnc_run(int link, const struct vnc_address *to, int (*confine)(void));

#endif
