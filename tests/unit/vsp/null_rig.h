/* SPDX-License-Identifier: MIT */
/* The guest's side of the null VSP's commands. */
#ifndef NULL_RIG_H
#define NULL_RIG_H

#include "vsp_rig.h"

#define HANDLE           0x77u
#define BUFFER_PAGES_MAX 32u
#define COMMAND_ID       500u

/* ---- GPADLs -------------------------------------------------------------- */

/* One range of these pages. */
static inline void make_ranges(struct guest_channel *c, uint32_t handle, const uint64_t *pfns,
	uint32_t count, uint32_t byte_offset, uint32_t byte_count)
{
	const struct vmbus_gpa_range range = {.byte_offset = byte_offset, .byte_count = byte_count};
	const struct vmbus_gpadl_header header = {
		.h.type = VMBUS_MSG_GPADL_HEADER,
		.relid = c->relid,
		.gpadl = handle,
		.range_buflen = (uint16_t)(sizeof(range) + count * sizeof(*pfns)),
		.range_count = 1,
	};
	uint8_t msg[sizeof(header) + sizeof(range) + BUFFER_PAGES_MAX * sizeof(*pfns)];
	uint32_t len = (uint32_t)(sizeof(header) + sizeof(range) + count * sizeof(*pfns));
	const struct vmbus_gpadl_created *created;

	assert_true(count <= BUFFER_PAGES_MAX && len <= VMBUS_MESSAGE_SIZE_MAX);
	memcpy(msg, &header, sizeof(header));
	memcpy(msg + sizeof(header), &range, sizeof(range));
	memcpy(msg + sizeof(header) + sizeof(range), pfns, count * sizeof(*pfns));
	bus_message(f->bus, msg, len);
	created = expect(VMBUS_MSG_GPADL_CREATED);
	assert_int_equal(created->status, 0);
	f->message_count = 0;
}

static inline void make_buffer(
	struct guest_channel *c, uint32_t handle, const uint64_t *pfns, uint32_t count)
{
	make_ranges(c, handle, pfns, count, 0, count * HV_PAGE_SIZE);
}

static inline void tear_buffer(struct guest_channel *c, uint32_t handle)
{
	struct vmbus_gpadl_teardown msg = {
		.h.type = VMBUS_MSG_GPADL_TEARDOWN, .relid = c->relid, .gpadl = handle};

	bus_message(f->bus, &msg, sizeof(msg));
}

static inline void nothing(void *arg)
{
}

/* The rings order memory by indices that TSan sees at two addresses, the host's and the guest's. */
static inline void see_io_threads(void)
{
	for (int i = 0; i < IO_THREADS; i++)
		loop_call(&f->io_thread[i], nothing, NULL);
}

static inline uint8_t *buffer_byte(const uint64_t *pfns, uint64_t at)
{
	return f->gmem.base + (pfns[at >> HV_PAGE_SHIFT] << HV_PAGE_SHIFT) +
	       (at & (HV_PAGE_SIZE - 1));
}

/* ---- commands ------------------------------------------------------------ */

static inline void send_command(struct guest_channel *c, uint64_t id, struct null_command cmd)
{
	cmd.magic = NULL_COMMAND;
	assert_int_equal(guest_send_bytes(c, id, &cmd, sizeof(cmd)), 0);
}

static inline struct null_result result_of(const struct vmbus_pkt *pkt)
{
	struct null_result result;

	assert_int_equal(pkt->desc.type, VMBUS_PKT_COMPLETION);
	assert_int_equal(pkt->payload_len, sizeof(result));
	memcpy(&result, pkt->payload, sizeof(result));
	return result;
}

static inline struct null_result receive_result(struct guest_channel *c)
{
	struct vmbus_pkt pkt;

	guest_receive(c, &pkt);
	return result_of(&pkt);
}

static inline int expect_result(struct guest_channel *c, uint64_t id)
{
	struct vmbus_pkt pkt;

	guest_receive(c, &pkt);
	assert_int_equal(pkt.desc.trans_id, id);
	return result_of(&pkt).error;
}

static inline int run_command(struct guest_channel *c, struct null_command cmd)
{
	send_command(c, COMMAND_ID, cmd);
	return expect_result(c, COMMAND_ID);
}

static inline int map_buffer(struct guest_channel *c, uint32_t handle)
{
	return run_command(c, (struct null_command){.op = NULL_OP_MAP, .handle = handle});
}

static inline void send_fill(
	struct guest_channel *c, uint64_t id, uint32_t offset, uint32_t length, uint8_t pattern)
{
	send_command(c, id,
		(struct null_command){.op = NULL_OP_FILL,
			.offset = offset,
			.length = length,
			.pattern = pattern});
}

/* A FILL that fails. */
static inline int run_fill(struct guest_channel *c, uint32_t offset, uint32_t length)
{
	send_fill(c, COMMAND_ID, offset, length, 0xFF);
	return expect_result(c, COMMAND_ID);
}

/* ---- transfers ----------------------------------------------------------- */

/* A FILL that does not; the id of its transfer. */
static inline uint64_t fill_and_receive(
	struct guest_channel *c, uint64_t id, uint32_t offset, uint32_t length)
{
	struct vmbus_pkt pkt;
	uint64_t transfer;

	send_fill(c, id, offset, length, 0xFF);
	guest_receive(c, &pkt);
	assert_int_equal(pkt.desc.type, VMBUS_PKT_XFER_PAGES);
	transfer = pkt.desc.trans_id;
	assert_int_equal(expect_result(c, id), 0);
	return transfer;
}

static inline void answer_transfer(struct guest_channel *c, uint64_t id)
{
	assert_int_equal(vmbus_tx_write(&c->tx, VMBUS_PKT_COMPLETION, 0, id, NULL, NULL, 0), 0);
	if (vmbus_tx_commit(&c->tx))
		guest_signal(c);
}

static inline void wait_pending(struct guest_channel *c)
{
	receiver = c;
	run_until(have_packet);
}

static inline void open_null_channel(const struct null_config *config)
{
	create_null_device(config);
	open_channel(&f->chan[0], 1);
	f->message_count = 0;
}

#endif
