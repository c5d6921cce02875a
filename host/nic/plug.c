/* SPDX-License-Identifier: MIT */
#include "nic/plug.h"

#include <assert.h>
#include <stdatomic.h>

void nic_conn_init(struct nic_conn *conn, void (*destroy)(struct nic_conn *conn))
{
	atomic_store(&conn->refs, 1);
	conn->destroy = destroy;
}

void nic_conn_put(struct nic_conn *conn)
{
	if (atomic_fetch_sub(&conn->refs, 1) == 1)
		conn->destroy(conn);
}

/* ---- hub ----------------------------------------------------------------- */

void nic_hub_init(struct nic_hub *hub)
{
	pthread_mutex_init(&hub->lock, NULL);
	list_init(&hub->plugs);
	hub->conn = NULL;
}

void nic_hub_fini(struct nic_hub *hub)
{
	assert(!hub->conn && list_empty(&hub->plugs));
	pthread_mutex_destroy(&hub->lock);
}

void nic_hub_set(struct nic_hub *hub, struct nic_conn *conn)
{
	struct nic_conn *old;

	pthread_mutex_lock(&hub->lock);
	old = hub->conn;
	hub->conn = conn;
	list_for_each (pos, &hub->plugs) {
		struct nic_plug *plug = container_of(pos, struct nic_plug, link);

		if (!plug->posted)
			loop_post(plug->loop, &plug->task);
		plug->posted = true;
	}
	pthread_mutex_unlock(&hub->lock);
	if (old)
		nic_conn_put(old);
}

/* ---- plug ---------------------------------------------------------------- */

static void plug_task(struct loop_task *task)
{
	struct nic_plug *plug = container_of(task, struct nic_plug, task);

	pthread_mutex_lock(&plug->hub->lock);
	plug->posted = false;
	pthread_mutex_unlock(&plug->hub->lock);
	plug->changed(plug);
}

void nic_plug_insert(struct nic_plug *plug, struct nic_hub *hub, struct loop *loop,
	void (*changed)(struct nic_plug *plug))
{
	*plug = (struct nic_plug){
		.hub = hub, .loop = loop, .changed = changed, .task.fn = plug_task};
	pthread_mutex_lock(&hub->lock);
	list_add_tail(&hub->plugs, &plug->link);
	pthread_mutex_unlock(&hub->lock);
}

struct nic_conn *nic_plug_conn(struct nic_plug *plug, const struct nic_conn *have)
{
	struct nic_conn *conn;

	pthread_mutex_lock(&plug->hub->lock);
	conn = plug->hub->conn;
	if (conn && conn != have)
		atomic_fetch_add(&conn->refs, 1);
	pthread_mutex_unlock(&plug->hub->lock);
	return conn;
}

void nic_plug_remove(struct nic_plug *plug)
{
	pthread_mutex_lock(&plug->hub->lock);
	list_del(&plug->link);
	pthread_mutex_unlock(&plug->hub->lock);
}

bool nic_plug_pending(struct nic_plug *plug)
{
	bool posted;

	pthread_mutex_lock(&plug->hub->lock);
	posted = plug->posted;
	pthread_mutex_unlock(&plug->hub->lock);
	return posted;
}
