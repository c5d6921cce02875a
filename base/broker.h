/* SPDX-License-Identifier: MIT */
/*
 * Calls to the broker: the process beside a confined worker that keeps the rights of the user
 * (docs/adr/0012-confined-workers.md). It opens, connects and starts what the user has named, and
 * answers with descriptors. The other side is host/confine/broker.c.
 *
 * A call is one message, with a socket for its answer: any number of threads may call at once, and
 * a call that hangs holds up no other. A caller waits as long as the same call here would take.
 *
 * Thread: any; broker_use() before there are others. Errors: -errno; -EACCES: it was not named
 * this.
 */
#ifndef BASE_BROKER_H
#define BASE_BROKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/err.h"

#define BROKER_TEXT_MAX 16384u
#define BROKER_FDS_MAX  66u

enum broker_op {
	/* files.h */
	BROKER_OPEN, /* a: flags, b: mode */
	BROKER_STAT, /* a: 1: of a symbolic link itself */
	BROKER_ACCESS,
	BROKER_UNLINK,
	BROKER_RENAME,
	BROKER_REALPATH,
	BROKER_SYNC,    /* text: a directory, whose names become durable */
	BROKER_CONNECT, /* a: type of socket */
	BROKER_LISTEN,  /* a: type of socket, b: backlog */
	/* elsewhere */
	BROKER_CTL,        /* text: name of the VM, address to pass clients on to */
	BROKER_NBD,        /* text: URI; one connected socket */
	BROKER_TAP,        /* text: interface; a: queues, b: MTU; see nic/tap/tap_broker.h */
	BROKER_TAP_ATTACH, /* text: interface; a: queues, b: IFF_MULTI_QUEUE or 0 */
	BROKER_TAP_WATCH,  /* sockets: interface queries, netlink */
	BROKER_SPAWN,      /* text: arguments; socket and pidfd; b: process id */
	BROKER_KILL,       /* a: process id, of BROKER_SPAWN */
	BROKER_WAIT,       /* the same; b: its status */
	BROKER_OPS,
};

struct broker_request {
	uint32_t op; /* enum broker_op */
	int32_t a, b;
	uint32_t length;            /* of text */
	char text[BROKER_TEXT_MAX]; /* strings, each with its end */
};

struct broker_reply {
	int32_t result; /* 0 or more, or -errno */
	int32_t b;
	uint32_t bytes; /* of text */
	uint32_t fd_count;
	struct stat stat;
	char text[BROKER_TEXT_MAX];
	/* not in the message */
	int fds[BROKER_FDS_MAX];
};

/* The socket to the broker, from now on ours. -1: none, in a process that is a broker. */
void broker_use(int fd);
/* False: there is none, and callers do it themselves. True for good: a confined process has no
 * right to do it, also when its broker has ended. */
bool broker_used(void);
/* The broker ends. Calls from now on are -EPIPE. */
void broker_end(void);

void broker_request_init(struct broker_request *q, enum broker_op op, int32_t a, int32_t b);
/* 0 or -ENAMETOOLONG. */
int broker_request_add(struct broker_request *q, const char *text);

/* r->result, or -errno of the call itself. Descriptors are the caller's. */
int broker_call(const struct broker_request *q, struct broker_reply *r);
/* The same for one text and at most one descriptor: that, 0, or -errno. */
int broker_call_text(enum broker_op op, int32_t a, int32_t b, const char *text);

/* One message with descriptors, as both sides send and receive it. Bytes, 0 at the end, -errno. */
int broker_send(int socket, const void *bytes, size_t length, const int *fds, uint32_t count);
int broker_receive(int socket, void *bytes, size_t size, int *fds, uint32_t *count);

#endif
