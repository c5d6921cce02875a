/* SPDX-License-Identifier: MIT */
/*
 * An nbdkit on a Unix socket, for tests: started, killed, started again. A
 * supervisor process starts it again when a signal ends it that is not ours: stock
 * servers do die when a client drops a connection they are about to answer on.
 */
#ifndef SUPPORT_NBD_SERVER_H
#define SUPPORT_NBD_SERVER_H

#include <stdbool.h>
#include <sys/types.h>

#define NBD_SERVER_ARGS_MAX 16u

struct nbd_server {
	char dir[64];
	char uri[128];
	char socket[80];
	char file[80]; /* in dir; for the file plugin */
	const char *args[NBD_SERVER_ARGS_MAX];
	pid_t pid;    /* of the supervisor, and of its process group; 0: not running */
	pid_t *child; /* of nbdkit itself; shared with the supervisor */
};

/* False: there is no nbdkit here. */
bool nbd_server_available(void);

/* args: plugin, its parameters, NULL; "FILE" stands for s->file, which gets file_size bytes.
 * Scripts of the plugin find s->dir in the environment as NBD_DIR, and the supervisor as
 * NBD_SUPERVISOR: what waits ends when that process is gone. */
void nbd_server_init(struct nbd_server *s, const char *const *args, off_t file_size);
void nbd_server_fini(struct nbd_server *s);

/* Returns when it takes connections. */
void nbd_server_start(struct nbd_server *s);
/* SIGKILL, for supervisor and server; waits for their end. */
void nbd_server_kill(struct nbd_server *s);
/* SIGSTOP, and waits until it takes effect; SIGCONT. */
void nbd_server_pause(struct nbd_server *s, bool pause);

#endif
