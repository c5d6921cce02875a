/* SPDX-License-Identifier: MIT */
/*
 * Connections that are made and dropped while queues stay open. The control thread sets the
 * connection of a hub; each queue has a plug, which is called on the queue's
 * loop after that, takes the new connection and drops the old one when it
 * is no longer in use. A connection is counted and freed with its last user.
 *
 * Lock: the hub's, a leaf, at changes only.
 */
#ifndef HOST_NIC_PLUG_H
#define HOST_NIC_PLUG_H

#include <pthread.h>

#include "base/list.h"
#include "base/loop.h"

/* Embedded in a connection. */
struct nic_conn {
	_Atomic uint32_t refs;
	void (*destroy)(struct nic_conn *conn); /* any thread */
};

struct nic_hub {
	pthread_mutex_t lock; /* over the following, and the plugs */
	struct list plugs;
	struct nic_conn *conn; /* NULL: none; counted */
};

/* Embedded in a queue. */
struct nic_plug {
	struct nic_hub *hub;
	struct loop *loop;
	void (*changed)(struct nic_plug *plug); /* ON_LOOP; also after nic_plug_remove() */
	struct list link;
	struct loop_task task;
	bool posted;
};

void nic_conn_init(struct nic_conn *conn, void (*destroy)(struct nic_conn *conn)); /* one user */
void nic_conn_put(struct nic_conn *conn);

void nic_hub_init(struct nic_hub *hub);
void nic_hub_fini(struct nic_hub *hub);
/* Control. Takes over the caller's count. */
void nic_hub_set(struct nic_hub *hub, struct nic_conn *conn);

/* ON_LOOP. */
void nic_plug_insert(struct nic_plug *plug, struct nic_hub *hub, struct loop *loop,
	void (*changed)(struct nic_plug *plug));
/* The connection of the hub, counted for the caller unless it is `have`; NULL: none. */
struct nic_conn *nic_plug_conn(struct nic_plug *plug, const struct nic_conn *have);
void nic_plug_remove(struct nic_plug *plug);
/* After nic_plug_remove(): changed() will still be called once. */
bool nic_plug_pending(struct nic_plug *plug);

#endif
