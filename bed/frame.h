/* SPDX-License-Identifier: MIT */
/*
 * What bed/client (here) and bed/agent (pid 1 of L1) say to each other over one
 * virtio-serial port.
 *
 * A session is HELLO, READY; then, unless it was only a ping, JOB..., START,
 * any OUT and ERR, EXIT.  One session at a time; a new HELLO ends the old one.
 *
 * The port is a byte stream that outlives its users, so each side must find the
 * start of a session in whatever the last user left behind, half frames included:
 *  - towards the agent, a client first sends FRAME_MAX zero bytes: they complete
 *    any half frame, and a zero byte between frames means nothing;
 *  - towards the client, READY repeats the client's random nonce:
 *    the client skips everything before it.
 */
#ifndef BED_FRAME_H
#define BED_FRAME_H

#include <stddef.h>
#include <stdint.h>

#define FRAME_MAX  32768 /* header and body; also virtio_console's largest write */
#define FRAME_BODY (FRAME_MAX - sizeof(struct frame_head))
#define JOB_MAX    (8u << 20) /* all strings of one job: the kernel's own limit is near */
#define NONCE_SIZE 16

enum frame_type {
	/* client to agent */
	FRAME_HELLO = 'H',  /* struct hello */
	FRAME_JOB = 'J',    /* a piece of struct job and its strings */
	FRAME_START = 'S',  /* the job is complete: run it */
	FRAME_SIGNAL = 'K', /* uint32_t: send it to the job's process group; SIGKILL: to all */
	FRAME_CLOSE = 'C',  /* uint32_t: descriptor 1 or 2 has no reader any more */
	/* agent to client */
	FRAME_READY = 'h',  /* struct ready */
	FRAME_OUT = 'o',    /* bytes of standard output */
	FRAME_ERR = 'e',    /* bytes of standard error */
	FRAME_EXIT = 'x',   /* uint32_t: status as a shell would say it; always the last one */
	FRAME_REFUSE = 'r', /* text: the job could not even be started; also a last one */
};

struct frame_head {
	uint8_t type;
	uint8_t zero[3];
	uint32_t len; /* of the body */
};

struct hello {
	uint8_t nonce[NONCE_SIZE];
	int64_t now_ns; /* wall clock of the client's machine */
};

struct ready {
	uint8_t nonce[NONCE_SIZE];
	int32_t kvm_errno; /* 0: /dev/kvm makes virtual machines */
	uint32_t zero;
	char release[64];
};

/* Followed by NUL-terminated strings: working directory, arguments, environment. */
struct job {
	uint32_t argc;
	uint32_t envc;
};

_Static_assert(sizeof(struct frame_head) == 8, "no padding");
_Static_assert(sizeof(struct hello) == 24, "no padding");
_Static_assert(sizeof(struct ready) == 88, "no padding");

#endif
