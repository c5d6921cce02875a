/* SPDX-License-Identifier: MIT */
/* The client's side of a command in a guest. Thread: the main thread. */
#ifndef CLI_EXEC_STREAM_H
#define CLI_EXEC_STREAM_H

#include <stdbool.h>

#include "base/err.h"

struct exec_command {
	char **arguments; /* NULL terminated; none: a login shell */
	bool terminal;    /* give it one, of the size of ours */
};

/* Runs the command over a connected stream to the agent, with our standard input and output, our
 * terminal and our signals. Its exit status, or 128 and the signal; or -errno with one line in e.
 */
int exec_run(int fd, const struct exec_command *command, struct err *e);

#endif
