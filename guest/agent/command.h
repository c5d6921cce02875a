/* SPDX-License-Identifier: GPL-2.0-only */
/* One command for one client. */
#ifndef GUEST_AGENT_COMMAND_H
#define GUEST_AGENT_COMMAND_H

#include <sys/types.h>

#include "agent/frame.h"

/* A started command. Descriptors are ours and non-blocking; -1: none, or closed. */
struct command {
	pid_t pid;
	int pidfd;
	int input, output, error; /* with a terminal all are its one end; no error */
	bool terminal;
};

/* Starts it, in a session of its own. 0, or an errno of Linux. */
int command_start(struct command *c, const struct agent_command *wanted);
/* The end of its input. False: not yet, its terminal is full. */
bool command_end_input(struct command *c);
void command_close(struct command *c);

/* Serves the client of this descriptor until its command, or the client, has ended. */
void serve(int fd);

#endif
