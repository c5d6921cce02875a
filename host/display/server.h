/* SPDX-License-Identifier: MIT */
/*
 * The VNC server of a VM: a process, since its clients are as hostile as the guest, and neither
 * shall reach what the other may. It listens before it is confined, and then opens nothing more.
 * Its parent, the keeper, hears nothing of clients: it starts the server again when it has crashed,
 * after a time that doubles with each crash, 20 times, and reports it to the worker (link.h).
 *
 * Thread: main, before there are others.
 */
#ifndef DISPLAY_SERVER_H
#define DISPLAY_SERVER_H

#include <stdbool.h>

#include "base/err.h"

/* Where a server can listen: "unix:PATH", "ADDRESS:N" with a loopback address and a display number
 * (port 5900 + N). 0, or -EINVAL with what it must be. */
int display_server_check(const char *where, struct err *e);

/* Starts it, and waits until it listens. confine: called in it, before it serves; NULL: not. 0, or
 * -errno with one line in e. */
int display_server_start(const char *where, int (*confine)(void), struct err *e);
/* The socket to it, or -1. The process ends when this is closed, with all of its ends. */
int display_server_socket(void);
/* The process that started it is about to end. Nothing is left of it, for its keeper removes its
 * socket, but what others have put in place of that. */
void display_server_stop(void);

#endif
