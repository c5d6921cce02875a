/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * What `enlite exec` and the agent in a guest say to each other: frames over a stream, for each
 * command a stream of its own. All numbers are little endian.
 *
 *   client                                agent
 *   START   the command              -->
 *   INPUT   its standard input       -->            no bytes: the end of it
 *                                    <--  TAKEN     bytes of INPUT that left the agent's buffer
 *   SIZE    of the terminal          -->
 *   SIGNAL  to its process group     -->
 *                                    <--  OUTPUT    its standard output
 *                                    <--  ERROR     its standard error; none with a terminal
 *                                    <--  EXIT      how it ended, the last frame
 *
 * The client has at most AGENT_WINDOW bytes of INPUT on the way, so that a command that does not
 * read keeps no signal from it. Output needs no window: who does not read stops the command.
 * The end of the stream hangs up: the command gets SIGHUP.
 *
 * Pure: no allocation, no system call.
 */
#ifndef AGENT_FRAME_H
#define AGENT_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Of AF_VSOCK. Below 1024: no ordinary user of the guest can pass for the agent. */
#define AGENT_PORT        1021u
#define AGENT_VERSION     1u
#define AGENT_PAYLOAD_MAX 65536u
#define AGENT_WINDOW      65536u

enum agent_type {
	AGENT_START = 1,
	AGENT_INPUT,
	AGENT_TAKEN,
	AGENT_SIZE,
	AGENT_SIGNAL,
	AGENT_OUTPUT,
	AGENT_ERROR,
	AGENT_EXIT,
};

struct agent_header {
	uint32_t length; /* of the payload behind it */
	uint16_t type;
	uint16_t reserved; /* 0 */
};

#define AGENT_TERMINAL 1u /* flags: the command has a terminal of rows and columns */

/* START: behind it `arguments` and `variables` ("NAME=value") strings, each with its NUL. No
 * arguments: a login shell. */
struct agent_start {
	uint32_t version, flags;
	uint16_t rows, columns;
	uint32_t arguments, variables;
};

/* SIZE */
struct agent_size {
	uint16_t rows, columns;
};

enum agent_end {
	AGENT_EXITED,     /* value: exit status */
	AGENT_KILLED,     /* value: signal */
	AGENT_NOT_STARTED /* value: errno, Linux's */
};

/* EXIT. TAKEN and SIGNAL are one uint32_t. */
struct agent_exit {
	uint32_t end, value;
};

struct agent_frame {
	enum agent_type type;
	uint32_t length;
	const uint8_t *payload;
};

/* The first frame of `have` bytes: how many it takes; 0: it is not whole yet; -EPROTO. */
int agent_frame_parse(const uint8_t *bytes, size_t have, struct agent_frame *frame);

/* The payload's bytes into a struct. False: it has another size. */
bool agent_frame_read(const struct agent_frame *frame, void *into, size_t size);

#define AGENT_STRINGS_MAX 1024u

struct agent_command {
	struct agent_start start;
	/* Into the payload; NULL terminated. */
	const char *arguments[AGENT_STRINGS_MAX + 1];
	const char *variables[AGENT_STRINGS_MAX + 1];
};

/* START's payload in parts. -EPROTO: it is not whole; -EOPNOTSUPP: another version; -E2BIG. */
int agent_command_parse(const struct agent_frame *frame, struct agent_command *c);

/* The payload of START in `space`, from NULL terminated lists: its length, or -E2BIG. */
int agent_command_put(uint8_t space[AGENT_PAYLOAD_MAX], const struct agent_start *start,
	const char *const *arguments, const char *const *variables);

#endif
