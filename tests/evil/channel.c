/* SPDX-License-Identifier: MIT */
/*
 * Lies on channels: packets in the ring, RNDIS messages in the receive buffer, event flags.
 *
 * The disks of the first controller stay honest: what a test itself runs from is there.
 *
 * Most lies are survived by what they are about: a request fails, or a packet too many comes. So a
 * packet is spoiled in place where only its contents suffer, and what would keep the guest waiting
 * (another id, another type) is done to a copy that is sent before it.
 */
#include <stddef.h>
#include <string.h>

#include "tests/evil/evil.h"
#include "tests/evil/wrap.h"
#include "vsp/netvsp/rndis.h"
#include "vsp/vsp_impl.h"

#define BYTES_MAX   8192u
#define IDS         64u
#define EVENT_FLAGS 2048u

/* A packet that may be changed. */
struct packet {
	uint16_t type, flags;
	uint64_t id;
	struct vmbus_vec extra, payload;
	uint8_t extra_bytes[BYTES_MAX], payload_bytes[BYTES_MAX];
};

/* ---- whom ---------------------------------------------------------------- */

/* In the product only channels have a sending end. */
static const struct vsp_channel *channel_of(const struct vmbus_tx *tx)
{
	const char *chan = (const char *)tx - offsetof(struct chan, tx);

	return (const struct vsp_channel *)(const void *)(chan -
							  offsetof(struct vsp_channel, chan));
}

/* The last byte of an instance id counts the devices of a class from 'e' on (host/vm). */
static bool is_target(const struct vsp_channel *ch)
{
	const uint8_t *instance = (const uint8_t *)&ch->dev->instance_id;
	const char *name = ch->dev->ops->name;

	if (!strcmp(name, "storvsp"))
		return instance[sizeof(ch->dev->instance_id) - 1] != 'e';
	return !strcmp(name, "netvsp");
}

/* ---- packets ------------------------------------------------------------- */

static int put(struct vmbus_tx *tx, const struct packet *p)
{
	return __real_vmbus_tx_write(
		tx, p->type, p->flags, p->id, p->extra.len ? &p->extra : NULL, &p->payload, 1);
}

static void copy(struct packet *p, const struct vmbus_vec *extra, const struct vmbus_vec *payload)
{
	memset(p->payload_bytes, 0, sizeof(p->payload_bytes));
	memcpy(p->payload_bytes, payload->base, payload->len);
	p->payload = (struct vmbus_vec){p->payload_bytes, payload->len};
	p->extra = (struct vmbus_vec){p->extra_bytes, extra ? extra->len : 0};
	if (extra)
		memcpy(p->extra_bytes, extra->base, extra->len);
}

/* Ids that the guest has used, and such as it will use: a generation or a tag further. */
static uint64_t some_id(uint64_t id)
{
	static _Atomic uint64_t ids[IDS];

	ids[evil_random(IDS)] = id;
	switch (evil_random(6)) {
	case 0:
		return evil_random_bits();
	case 1:
		return id + (1ull << 32);
	case 2:
		return id + (1ull << 32) + 1;
	case 3:
		return id ^ 1ull << evil_random(64);
	case 4:
		return evil_random(3);
	default:
		return ids[evil_random(IDS)];
	}
}

static uint16_t some_type(void)
{
	static const uint16_t types[] = {
		VMBUS_PKT_INBAND, VMBUS_PKT_COMPLETION, VMBUS_PKT_GPADL, VMBUS_PKT_GPA_DIRECT};

	return evil_random(4) ? types[evil_random(4)] : (uint16_t)evil_random(0x10000);
}

static void change_length(struct packet *p)
{
	p->payload.len = evil_random(2) ? evil_random(p->payload.len + 1)
					: evil_random(2 * p->payload.len + 64);
	if (p->payload.len > BYTES_MAX)
		p->payload.len = BYTES_MAX;
}

/* The guest completes a transfer by its id, which the host must know. */
static void spoil_in_place(struct packet *p)
{
	if (p->extra.len && evil_random(2))
		evil_spoil(p->extra_bytes, p->extra.len);
	else if (evil_random(4))
		evil_spoil(p->payload_bytes, p->payload.len);
	else
		change_length(p);
}

/* One that nobody waits for, ahead of the true one. */
static void put_another(struct vmbus_tx *tx, struct packet p)
{
	if (p.type == VMBUS_PKT_XFER_PAGES || evil_random(2))
		p.type = VMBUS_PKT_COMPLETION;
	else
		p.type = some_type();
	p.id = some_id(p.id);
	p.extra.len = 0;
	if (evil_random(2))
		evil_spoil(p.payload_bytes, p.payload.len);
	if (evil_random(4) == 0)
		change_length(&p);
	put(tx, &p);
}

/* 0 when the true one is done with, in whatever form. */
static int lie(struct vmbus_tx *tx, struct packet *p)
{
	if (evil_loses())
		return 0;
	switch (evil_random(3)) {
	case 0:
		spoil_in_place(p);
		return put(tx, p);
	case 1:
		put_another(tx, *p);
		return put(tx, p);
	default: /* twice; a transfer would be completed twice, too */
		if (p->type == VMBUS_PKT_COMPLETION)
			put(tx, p);
		else
			spoil_in_place(p);
		return put(tx, p);
	}
}

int __wrap_vmbus_tx_write(struct vmbus_tx *tx, uint16_t type, uint16_t flags, uint64_t trans_id,
	const struct vmbus_vec *extra, const struct vmbus_vec *payload, uint32_t payload_count)
{
	struct packet p = {.type = type, .flags = flags, .id = trans_id};
	int err = -1;

	if (payload_count == 1 && payload->len <= BYTES_MAX / 4 &&
		(!extra || extra->len <= BYTES_MAX) && is_target(channel_of(tx)) && evil_now()) {
		copy(&p, extra, payload);
		err = lie(tx, &p);
	}
	if (!err)
		return 0;
	return __real_vmbus_tx_write(tx, type, flags, trans_id, extra, payload, payload_count);
}

/* ---- the ring's own words ------------------------------------------------ */

bool __wrap_vmbus_tx_commit(struct vmbus_tx *tx)
{
	bool signal = __real_vmbus_tx_commit(tx);

	if (is_target(channel_of(tx)) && evil_now() && evil_loses()) {
		evil_spoil((void *)tx->ctl, 2 * sizeof(uint32_t));
		return true;
	}
	return signal;
}

/* ---- RNDIS --------------------------------------------------------------- */

uint32_t __wrap_rndis_rx_build(
	uint8_t *to, uint32_t data_offset, uint32_t length, const struct rndis_rx_info *info)
{
	uint32_t bytes = __real_rndis_rx_build(to, data_offset, length, info);

	if (evil_now())
		evil_spoil(to, evil_random(2) ? sizeof(struct rndis_packet) : RNDIS_RX_HEADROOM);
	return evil_now() ? evil_random(2 * bytes) : bytes;
}

/* Answers to RNDIS requests, and indications. */
int __wrap_vsp_gpadl_copy_to(struct vsp_gpadl *gpadl, uint64_t offset, const void *from, size_t len)
{
	uint8_t bytes[BYTES_MAX];

	if (len > sizeof(bytes) || !evil_now())
		return __real_vsp_gpadl_copy_to(gpadl, offset, from, len);
	memcpy(bytes, from, len);
	evil_spoil(bytes, (uint32_t)len);
	return __real_vsp_gpadl_copy_to(gpadl, offset, bytes, len);
}

/* ---- event flags --------------------------------------------------------- */

void __wrap_synic_signal(struct hv *hv, uint32_t vp, uint32_t sint, uint32_t flag)
{
	__real_synic_signal(hv, vp, sint, flag);
	if (evil_now())
		__real_synic_signal(hv, vp, sint, evil_random(EVENT_FLAGS));
}
