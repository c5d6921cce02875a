/* SPDX-License-Identifier: MIT */
/*
 * What the linker (--wrap) puts around the functions by which our host writes to the guest: the
 * host calls __wrap_NAME, and __real_NAME is the function itself.
 */
#ifndef EVIL_WRAP_H
#define EVIL_WRAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hv;
struct rndis_rx_info;
struct vmbus_tx;
struct vmbus_vec;
struct vsp_gpadl;

/* common/ring/vmbus_ring.h */
int __real_vmbus_tx_write(struct vmbus_tx *tx, uint16_t type, uint16_t flags, uint64_t trans_id,
	const struct vmbus_vec *extra, const struct vmbus_vec *payload, uint32_t payload_count);
int __wrap_vmbus_tx_write(struct vmbus_tx *tx, uint16_t type, uint16_t flags, uint64_t trans_id,
	const struct vmbus_vec *extra, const struct vmbus_vec *payload, uint32_t payload_count);
bool __real_vmbus_tx_commit(struct vmbus_tx *tx);
bool __wrap_vmbus_tx_commit(struct vmbus_tx *tx);

/* host/vsp/netvsp/rndis.h, host/vsp/vsp.h */
uint32_t __real_rndis_rx_build(
	uint8_t *to, uint32_t data_offset, uint32_t length, const struct rndis_rx_info *info);
uint32_t __wrap_rndis_rx_build(
	uint8_t *to, uint32_t data_offset, uint32_t length, const struct rndis_rx_info *info);
int __real_vsp_gpadl_copy_to(
	struct vsp_gpadl *gpadl, uint64_t offset, const void *from, size_t len);
int __wrap_vsp_gpadl_copy_to(
	struct vsp_gpadl *gpadl, uint64_t offset, const void *from, size_t len);

/* hyper/hv/hv.h */
int __real_synic_post(struct hv *hv, uint32_t vp, uint32_t sint, uint32_t type, uint64_t sender,
	const void *payload, uint32_t size);
int __wrap_synic_post(struct hv *hv, uint32_t vp, uint32_t sint, uint32_t type, uint64_t sender,
	const void *payload, uint32_t size);
void __real_synic_signal(struct hv *hv, uint32_t vp, uint32_t sint, uint32_t flag);
void __wrap_synic_signal(struct hv *hv, uint32_t vp, uint32_t sint, uint32_t flag);

#endif
