/* SPDX-License-Identifier: MIT */
/*
 * Attaching to a TAP takes rights that a confined worker has not. Its broker does it
 * (base/broker.h) and passes the descriptors; what is set on them later (offloads, carrier, queues)
 * takes none.
 */
#ifndef NIC_TAP_BROKER_H
#define NIC_TAP_BROKER_H

#include "base/broker.h"
#include "nic/tap/tap_impl.h"

/* In the worker. As the functions of tap_impl.h without "broker". */
int tap_broker_open(
	struct tap_dev *dev, const char *name, uint32_t queues, uint32_t mtu, struct err *e);
int tap_broker_attach(struct tap_dev *dev);
/* A socket for ioctls about interfaces; one that reports their changes. Or -errno. */
int tap_query_socket(void);
int tap_netlink_socket(void);

/* In the broker: the answers. */
void tap_broker_serve_open(const struct broker_request *q, struct broker_reply *r);
void tap_broker_serve_attach(const struct broker_request *q, struct broker_reply *r);
void tap_broker_serve_watch(const struct broker_request *q, struct broker_reply *r);

#endif
