/* SPDX-License-Identifier: MIT */
/*
 * Doorbells: HvSignalEvent on a connection id signals an eventfd. The fast form of the hypercall is
 * an OUT that KVM matches (ioeventfd); the memory form comes through the hv connection table.
 *
 * Thread: control, except doorbell_event() on VP threads.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>

#include "hyper/kvm/partition_impl.h"

struct doorbell {
	struct partition *p;
	int eventfd;
	struct hv_connection conn;
	struct list link;
};

static int set_ioeventfd(struct partition *p, uint32_t connection_id, int fd, uint32_t flags)
{
	struct kvm_ioeventfd io = {
		.datamatch = connection_id,
		.addr = HV_PORT_SIGNAL,
		.len = 4,
		.fd = fd,
		.flags = KVM_IOEVENTFD_FLAG_PIO | KVM_IOEVENTFD_FLAG_DATAMATCH | flags,
	};

	return ioctl(p->vm_fd, KVM_IOEVENTFD, &io) < 0 ? -errno : 0;
}

/* The memory form of HvSignalEvent is not absorbed by the kernel: same doorbell, longer way. */
static enum hv_status doorbell_event(void *ctx, uint32_t id, uint16_t flag)
{
	struct doorbell *bell = ctx;

	if (flag != 0)
		return HV_STATUS_INVALID_PARAMETER;
	eventfd_write(bell->eventfd, 1);
	return HV_STATUS_SUCCESS;
}

int partition_doorbell_add(struct partition *p, uint32_t connection_id, int eventfd)
{
	struct doorbell *bell = calloc(1, sizeof(*bell));
	int ret;

	if (!bell)
		return -ENOMEM;
	bell->p = p;
	bell->eventfd = eventfd;
	bell->conn = (struct hv_connection){
		.id = connection_id,
		.event = doorbell_event,
		.ctx = bell,
	};
	ret = hv_connection_add(&p->hv, &bell->conn);
	if (ret)
		goto free_bell;
	ret = set_ioeventfd(p, connection_id, eventfd, 0);
	if (ret)
		goto del_connection;
	list_add_tail(&p->doorbells, &bell->link);
	return 0;
del_connection:
	hv_connection_del(&p->hv, &bell->conn);
free_bell:
	free(bell);
	return ret;
}

void partition_doorbell_del(struct partition *p, uint32_t connection_id, int eventfd)
{
	list_for_each_safe (item, &p->doorbells) {
		struct doorbell *bell = container_of(item, struct doorbell, link);

		if (bell->conn.id != connection_id)
			continue;
		set_ioeventfd(p, connection_id, eventfd, KVM_IOEVENTFD_FLAG_DEASSIGN);
		hv_connection_del(&p->hv, &bell->conn);
		list_del(&bell->link);
		free(bell);
		return;
	}
}

void doorbells_free(struct partition *p)
{
	list_for_each_safe (item, &p->doorbells) {
		struct doorbell *bell = container_of(item, struct doorbell, link);

		partition_doorbell_del(p, bell->conn.id, bell->eventfd);
	}
}
