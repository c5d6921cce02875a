/* SPDX-License-Identifier: MIT */
/* Shared by the nbd*.c files only. */
#ifndef BACKEND_NBD_IMPL_H
#define BACKEND_NBD_IMPL_H

#include <pthread.h>

#include "disk/disk.h"
#include "disk/nbd/nbd_lib.h"

#define NBD_BLOCK_SIZE          512u
#define NBD_PHYSICAL_BLOCK_SIZE 4096u

/* ---- server.c: what an export can do ------------------------------------- */

struct nbd_caps {
	uint64_t size;
	uint32_t block_min;   /* transfers are multiples of it */
	uint32_t request_max; /* bytes of one command with data */
	bool read_only;
	bool flush;
	bool fua;
	bool trim;
	bool zero;
	bool multi_conn; /* a flush on one connection covers the writes of all */
};

/* A handle as we want it, not connected; NULL: out of memory. */
struct nbd_handle *nbd_server_handle(void);
/* Of a connected handle. */
void nbd_server_caps(struct nbd_handle *h, struct nbd_caps *caps);
/* True when a server that offered `old` may be replaced by one with `now`. */
bool nbd_server_same(const struct nbd_caps *old, const struct nbd_caps *now);
/* Connects, waits for it at most timeout_ms, asks, disconnects. */
int nbd_server_ask(const char *uri, int timeout_ms, struct nbd_caps *caps, struct err *e);

/* ---- durability.c: which acknowledged writes may be gone ----------------- */

/* All threads; counts since the disk was opened. */
struct nbd_durability {
	pthread_mutex_t lock;
	uint64_t acked;    /* writes the guest was told of, without FUA */
	uint64_t flushed;  /* of these, so many are on the server's medium */
	uint64_t declared; /* of these, so many are covered by a loss */
	uint64_t losses;   /* times acknowledged writes may have been lost */
	uint64_t reported; /* of these, so many were told by a failed flush */
	int sticky;        /* first flush the server failed */
};

struct nbd_flush {
	uint64_t acked, reported; /* when it was submitted */
};

void nbd_durability_init(struct nbd_durability *l);
void nbd_durability_fini(struct nbd_durability *l);
void nbd_durability_acked(struct nbd_durability *l);
/* A connection ended, or begins: the server may be another one than before. */
void nbd_durability_lost(struct nbd_durability *l);
void nbd_durability_flush_begin(struct nbd_durability *l, struct nbd_flush *f);
/* error: what the server said. What the guest is told. */
int nbd_durability_flush_end(struct nbd_durability *l, const struct nbd_flush *f, int error);
/* The server has failed a flush that is no request of the guest. */
void nbd_durability_flush_failed(struct nbd_durability *l, int error);

/* Control thread. */
void nbd_durability_inspect(struct nbd_durability *l, struct inspect *i);

/* ---- connection.c: one connection ---------------------------------------- */

struct nbd_conn;
struct nbd_queue;

/* Drawn in connection.c. */
enum nbd_conn_state {
	CONN_WAITING,
	CONN_DIALLING,
	CONN_CONNECTING,
	CONN_UP,
	CONN_LEAVING,
	CONN_FENCING,
	CONN_DRAINING,
};

struct nbd_conn_poll {
	struct loop_op op;
	struct loop_op cancel_op;
	struct nbd_conn *conn;
	bool armed;
	bool cancelling;
};

struct nbd_conn {
	struct nbd_disk *disk; /* not when closing */
	struct loop *loop;
	enum nbd_conn_state state;
	bool closing;
	bool down; /* no answer within the time limit: requests fail at once */
	bool was_up;
	struct nbd_dial *dial; /* DIALLING; owned by its call */
	struct nbd_handle *h;
	struct list of_disk; /* of nbd_disk.conns, while there is a socket */
	int socket; /* of h, duplicated: libnbd closes its own when the server is gone; or -1 */
	struct nbd_conn_poll in, out, gone;
	struct list waiting, active, finished;
	struct loop_task settle;
	bool settle_posted;
	struct loop_task close;
	struct loop_timer timer;  /* WAITING: when to connect; other states: when it is too late */
	struct loop_timer limit;  /* see timeout.c */
	struct loop_timer cancel; /* when to look at cancelled requests */
	uint64_t progress_ns;     /* last answer, or the first request after a pause */
	uint64_t backoff_ns;
};

struct nbd_disk {
	struct disk disk;
	char *uri;
	uint64_t retry_ns;
	struct nbd_caps caps;
	struct nbd_durability durability;
	pthread_mutex_t conns_lock;
	struct list conns;     /* those with a socket, and their sockets: all loops */
	_Atomic bool unfenced; /* a change may still be executed late: see connection.c. Sticky */
	/* without multi_conn: the one connection, on a loop of its own */
	struct loop loop;
	struct nbd_conn *shared;
};

enum nbd_stage {
	NBD_STAGE_MAIN,
	NBD_STAGE_FLUSH, /* of a FUA write, when the server has no FUA */
};

/* Scratch. */
struct nbd_req {
	struct list list; /* one of the connection's */
	struct nbd_conn *conn;
	struct nbd_queue *queue;
	struct loop_task task; /* shared connection only: there and back */
	struct nbd_flush flush;
	uint8_t *bounce; /* the whole of it, when the server cannot take the segments */
	enum nbd_stage stage;
	uint32_t parts;        /* commands at the server */
	bool lost;             /* some of them went down with the connection */
	uint64_t oldest_ns;    /* since when the server has it longest of all; 0: it has not */
	uint32_t hangs;        /* connections that were ended because of it */
	uint64_t cancelled_ns; /* when; 0: not */
	int error;             /* 0 or -errno */
	/* shared connection only, on the queue's loop but for at_conn */
	struct loop_task cancel_task; /* there and back */
	uint32_t trips;               /* tasks that are not back */
	bool at_conn;                 /* the connection's loop has it */
};

static inline struct disk_req *nbd_disk_req(struct nbd_req *r)
{
	return disk_req_of_scratch(r);
}

/* All ON_LOOP(loop). Begins to connect; NULL: out of memory. */
struct nbd_conn *nbd_conn_open(struct nbd_disk *disk, struct loop *loop);
/* No request is there. The connection is freed in some later turn of its loop, without the disk. */
void nbd_conn_close(struct nbd_conn *conn);
/* nbd_complete(r) when it is finished, not before this returns unless the server is given up. */
void nbd_conn_submit(struct nbd_conn *conn, struct nbd_req *r);
/* All that libnbd may have done is looked at in the next turn. */
void nbd_conn_settle_soon(struct nbd_conn *conn);
/* libnbd is through with the handle. */
bool nbd_conn_dead(const struct nbd_conn *conn);
/* Sorts the requests that libnbd has finished; `done` gets those that are complete. True: some were
 * lost. */
bool nbd_conn_take_finished(struct nbd_conn *conn, struct list *done);
void nbd_conn_answer_all(struct list *done);
void nbd_conn_close_socket(struct nbd_conn *conn);
void nbd_conn_poll_arm(struct nbd_conn_poll *poll, int fd, unsigned int events);
void nbd_conn_poll_cancel(struct nbd_conn_poll *poll);
/* In DRAINING: when no poll is left it is WAITING, and connects after a while. */
void nbd_conn_drained(struct nbd_conn *conn);

/* ---- commands.c ---------------------------------------------------------- */

bool nbd_is_change(const struct disk_req *req);
/* The server takes every segment as it is. */
bool nbd_segments_fit(const struct disk_req *req, uint32_t block);
/* Sends the commands of a request in `active`. */
void nbd_issue(struct nbd_req *r);

/* ---- dial.c -------------------------------------------------------------- */

/* WAITING -> DIALLING. */
void nbd_dial(struct nbd_conn *conn);
void nbd_dial_cancel(struct nbd_conn *conn);

/* ---- leave.c ------------------------------------------------------------- */

/* The handle goes; requests stay where they are. */
void nbd_conn_disconnect(struct nbd_conn *conn);
/* The handle is dead, or it is too late for it. */
void nbd_conn_drop(struct nbd_conn *conn);
/* FENCING -> DRAINING. over: the server is known to have finished with the connection. */
void nbd_conn_over(struct nbd_conn *conn, bool over);
/* A connection that is up ends: NBD_CMD_DISC, then the server's EOF,
 * which is waited for at most limit_ns; 0 also ends the wait of one that leaves already. What the
 * server does not answer until then waits for the next connection, or fails: see connection.c. */
void nbd_conn_leave(struct nbd_conn *conn, uint64_t limit_ns);

/* ---- timeout.c ----------------------------------------------------------- */

/* A request comes, and is on no list yet. */
void nbd_timeout_request(struct nbd_conn *conn);
/* The list `active` has changed. */
void nbd_timeout_oldest(struct nbd_conn *conn);
/* The connection is over: a request that hung on too many of them fails. */
bool nbd_timeout_hangs(const struct nbd_req *r);
/* Of a request that is on no list. */
void nbd_fail(struct nbd_req *r, int error);
/* All of a list that is the caller's. */
void nbd_fail_all(struct list *requests, int error);

/* nbd.c: r->error is the result. */
void nbd_complete(struct nbd_req *r);

/* ---- cancel.c ------------------------------------------------------------ */

/* ON_LOOP(conn->loop); the request is there and not complete. */
void nbd_conn_cancel(struct nbd_conn *conn, struct nbd_req *r);
/* The connection is gone: what was cancelled waits now, and need not. */
void nbd_cancel_soon(struct nbd_conn *conn);

#endif
