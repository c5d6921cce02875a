/* SPDX-License-Identifier: MIT */
/*
 * A disk on an NBD server.
 *
 * Connections: when the server promises that a flush on one connection covers
 * the writes of all (multi-conn), each queue has its own, on the queue's loop.
 * Else one connection, on a loop and thread of this disk, serves all queues: a
 * request is posted there and its result posted back.
 *
 * What happens when the server goes away: connection.c. What a flush may still
 * promise after that: durability.c.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/inspect.h"
#include "disk/nbd/nbd_impl.h"

#define CONNECT_TIMEOUT_MS 5000
#define RETRY_DEFAULT_NS   (30 * NS_PER_S)

struct nbd_queue {
	struct disk_queue queue;
	struct nbd_conn *conn; /* NULL: the disk's shared one */
};

static struct nbd_disk *nbd_of(struct disk *disk)
{
	return (struct nbd_disk *)disk;
}

/* ---- requests ------------------------------------------------------------ */

static void answer(struct nbd_req *r)
{
	struct disk_req *req = nbd_disk_req(r);

	req->done(req, r->error);
}

/* The request ends when the last of its tasks is back. */
static void trip_over(struct nbd_req *r)
{
	if (!--r->trips)
		answer(r);
}

static void came_back(struct loop_task *task)
{
	trip_over(container_of(task, struct nbd_req, task));
}

void nbd_complete(struct nbd_req *r)
{
	if (r->queue->conn) {
		answer(r);
		return;
	}
	r->at_conn = false;
	r->task.fn = came_back;
	loop_post(r->queue->queue.loop, &r->task);
}

static void arrived(struct loop_task *task)
{
	struct nbd_req *r = container_of(task, struct nbd_req, task);

	r->at_conn = true;
	nbd_conn_submit(nbd_of(r->queue->queue.disk)->shared, r);
}

static void nbd_submit(struct disk_queue *queue, struct disk_req *req)
{
	struct nbd_queue *q = (struct nbd_queue *)queue;
	struct nbd_disk *d = nbd_of(queue->disk);
	struct nbd_req *r = disk_req_scratch(req);

	*r = (struct nbd_req){.queue = q};
	list_init(&r->list);
	if (req->op == DISK_FLUSH && !d->caps.flush) {
		req->done(req, 0);
		return;
	}
	if (req->op == DISK_FLUSH)
		nbd_durability_flush_begin(&d->durability, &r->flush);
	if (q->conn) {
		nbd_conn_submit(q->conn, r);
		return;
	}
	r->trips = 1;
	r->task.fn = arrived;
	loop_post(&d->loop, &r->task);
}

static void cancel_came_back(struct loop_task *task)
{
	trip_over(container_of(task, struct nbd_req, cancel_task));
}

/* Tasks keep their order: the request has arrived, and may have left. */
static void cancel_arrived(struct loop_task *task)
{
	struct nbd_req *r = container_of(task, struct nbd_req, cancel_task);

	if (r->at_conn)
		nbd_conn_cancel(nbd_of(r->queue->queue.disk)->shared, r);
	task->fn = cancel_came_back;
	loop_post(r->queue->queue.loop, task);
}

static void nbd_cancel(struct disk_queue *queue, struct disk_req *req)
{
	struct nbd_queue *q = (struct nbd_queue *)queue;
	struct nbd_req *r = disk_req_scratch(req);

	if (q->conn) {
		nbd_conn_cancel(q->conn, r);
		return;
	}
	if (r->trips > 1) /* asked already */
		return;
	r->trips++;
	r->cancel_task.fn = cancel_arrived;
	loop_post(&nbd_of(queue->disk)->loop, &r->cancel_task);
}

/* ---- queues -------------------------------------------------------------- */

static int nbd_queue_open(struct disk *disk, struct loop *loop, struct disk_queue **queue)
{
	struct nbd_disk *d = nbd_of(disk);
	struct nbd_queue *q = calloc(1, sizeof(*q));

	if (!q)
		return -ENOMEM;
	q->queue.disk = disk;
	q->queue.loop = loop;
	if (d->caps.multi_conn) {
		q->conn = nbd_conn_open(d, loop);
		if (!q->conn) {
			free(q);
			return -ENOMEM;
		}
	}
	*queue = &q->queue;
	return 0;
}

static void nothing(void *arg)
{
}

static void nbd_queue_close(struct disk_queue *queue)
{
	struct nbd_queue *q = (struct nbd_queue *)queue;

	if (q->conn)
		nbd_conn_close(q->conn);
	else /* its thread may still be waking the queue's loop, which may go away after this */
		loop_call(&nbd_of(queue->disk)->loop, nothing, NULL);
	free(q);
}

/* ---- life ---------------------------------------------------------------- */

static void shared_open(void *arg)
{
	struct nbd_disk *d = arg;

	d->shared = nbd_conn_open(d, &d->loop);
}

static void shared_close(void *arg)
{
	struct nbd_disk *d = arg;

	if (d->shared)
		nbd_conn_close(d->shared);
}

static void shared_stop(struct nbd_disk *d)
{
	loop_call(&d->loop, shared_close, d);
	loop_stop(&d->loop);
	loop_join(&d->loop);
	loop_fini(&d->loop);
}

static int shared_start(struct nbd_disk *d, struct err *e)
{
	int ret = loop_init(&d->loop, "nbd", e);

	if (ret)
		return ret;
	ret = loop_start(&d->loop);
	if (ret) {
		loop_fini(&d->loop);
		return err_set(
			e, ret, "disk %s: cannot start a thread: %s", d->uri, strerror(-ret));
	}
	loop_call(&d->loop, shared_open, d);
	if (d->shared)
		return 0;
	shared_stop(d);
	return err_set(e, -ENOMEM, "disk %s: out of memory", d->uri);
}

static void nbd_free(struct nbd_disk *d)
{
	nbd_durability_fini(&d->durability);
	pthread_mutex_destroy(&d->conns_lock);
	free(d->uri);
	free(d);
}

static void nbd_disk_close(struct disk *disk)
{
	struct nbd_disk *d = nbd_of(disk);

	if (!d->caps.multi_conn)
		shared_stop(d);
	nbd_free(d);
}

static void nbd_inspect(const struct disk *disk, struct inspect *i)
{
	struct nbd_disk *d = (struct nbd_disk *)disk; /* for the durability's lock */

	inspect_text(i, "uri", d->uri);
	inspect_bool(i, "multi_conn", d->caps.multi_conn);
	nbd_durability_inspect(&d->durability, i);
}

static const struct disk_ops nbd_ops = {
	.name = "nbd",
	.req_size = sizeof(struct nbd_req),
	.close = nbd_disk_close,
	.queue_open = nbd_queue_open,
	.queue_close = nbd_queue_close,
	.submit = nbd_submit,
	.cancel = nbd_cancel,
	.inspect = nbd_inspect,
};

/* Discarded blocks must read as zero, which a trim does not promise: it becomes a zero command that
 * may make holes. That saves storage only where the server can trim at all. */
static struct disk_info info_of(const struct nbd_caps *caps, bool read_only)
{
	return (struct disk_info){
		.size = caps->size,
		.block_size = NBD_BLOCK_SIZE,
		.physical_block_size = NBD_PHYSICAL_BLOCK_SIZE,
		.read_only = read_only || caps->read_only,
		.write_cache = caps->flush,
		.discard = caps->zero && caps->trim,
	};
}

/* What the server offers. Each open channel connects to it by itself later. */
static int ask_server(struct nbd_disk *d, const struct disk_nbd_options *o, struct err *e)
{
	int ret = nbd_lib_load(NBD_LIB_SONAME, e);

	if (!ret)
		ret = nbd_server_ask(d->uri, CONNECT_TIMEOUT_MS, &d->caps, e);
	if (ret)
		return ret;
	if (d->caps.read_only && !o->read_only)
		return err_set(e, -EROFS,
			"disk %s: the server exports it read-only; add \"ro\" to use it so",
			d->uri);
	d->disk.info = info_of(&d->caps, o->read_only);
	return 0;
}

int disk_nbd_open(
	struct disk **disk, const char *uri, const struct disk_nbd_options *o, struct err *e)
{
	struct nbd_disk *d = calloc(1, sizeof(*d));
	int ret;

	if (!d)
		return err_set(e, -ENOMEM, "disk %s: out of memory", uri);
	nbd_durability_init(&d->durability);
	pthread_mutex_init(&d->conns_lock, NULL);
	list_init(&d->conns);
	d->retry_ns = o->retry_ns ? o->retry_ns : RETRY_DEFAULT_NS;
	d->disk.ops = &nbd_ops;
	d->uri = strdup(uri);
	d->disk.identity = d->uri;
	ret = d->uri ? ask_server(d, o, e) : err_set(e, -ENOMEM, "disk %s: out of memory", uri);
	if (!ret && !d->caps.multi_conn)
		ret = shared_start(d, e);
	if (ret)
		nbd_free(d);
	else
		*disk = &d->disk;
	return ret;
}
