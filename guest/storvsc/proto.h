/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * The guest's half of the storvsp protocol, without any operating system: what
 * to send, and what a reply may say. Compiled by the kernel module, and by the
 * loop tests that play a guest against the real host code.
 *
 * The host is not trusted: a reply is parsed from a private copy, and every
 * number that comes out is inside the limits of the request it answers.
 * No allocation, lock, log or sleep; 0 or -errno.
 */
#ifndef STORVSC_PROTO_H
#define STORVSC_PROTO_H

#include "hv/vmbus_reg.h"
#include "hv/vmbus_ring_reg.h"
#include "hv/vstor_reg.h"
#include "ring/ring_port.h"

/* More is not believed. */
#define STORVSC_TRANSFER_MAX (4u << 20)

/* ---- initialization ------------------------------------------------------ */
/*
 * BEGIN -> VERSION (newest first, again on a mismatch) -> PROPERTIES -> END
 *       -> SUB_CHANNELS (only when both sides want some) -> DONE
 *
 * The owner sends what storvsc_init_request() builds, with a completion asked
 * for, and gives the completion to storvsc_init_reply(), until DONE.
 */
enum storvsc_init_state {
	STORVSC_INIT_BEGIN,
	STORVSC_INIT_VERSION,
	STORVSC_INIT_PROPERTIES,
	STORVSC_INIT_END,
	STORVSC_INIT_SUB_CHANNELS,
	STORVSC_INIT_DONE,
};

struct storvsc_conn {
	enum storvsc_init_state state;
	uint32_t version_index;
	uint16_t sub_channels_wanted;
	/* negotiated */
	uint16_t version;      /* VSTOR_VERSION_* offered last; agreed from PROPERTIES on */
	uint16_t sub_channels; /* the host offers exactly so many, after DONE */
	uint32_t transfer_max; /* bytes of one request: a page multiple */
};

/* newest: VSTOR_VERSION_* to start with. -EINVAL: no such version. */
int storvsc_conn_init(struct storvsc_conn *conn, uint16_t newest, uint16_t sub_channels_wanted);

/* Bytes of every packet this side sends, and of the completion it waits for. */
uint32_t storvsc_packet_size(const struct storvsc_conn *conn);

/* The packet for the present state; storvsc_packet_size() bytes of it are sent. */
void storvsc_init_request(const struct storvsc_conn *conn, struct vstor_packet *packet);

/* Moves on. -EPROTONOSUPPORT: no common version. -EPROTO: not a valid reply. -EIO: refused. */
int storvsc_init_reply(struct storvsc_conn *conn, const void *payload, uint32_t len);

/* ---- commands ------------------------------------------------------------ */

struct storvsc_command {
	uint8_t path, target, lun;
	uint8_t cdb_length; /* <= VSTOR_CDB_SIZE */
	uint8_t data;       /* VSTOR_DATA_* */
	uint32_t length;    /* bytes of data */
	uint8_t cdb[VSTOR_CDB_SIZE];
};

void storvsc_command_build(const struct storvsc_command *cmd, struct vstor_packet *packet);
void storvsc_reset_build(struct vstor_packet *packet);
void storvsc_reset_lun_build(
	uint8_t path, uint8_t target, uint8_t lun, struct vstor_packet *packet);

/* Transaction ids: a generation, which differs from request to request, and where the request is. A
 * completion whose id is not that of a request in flight is a replay, or forged. A generation is
 * never 0: such ids are of packets that answer nothing, and of slots without a request. */
enum storvsc_table {
	STORVSC_TABLE_INTERRUPT, /* SCSI commands, completed in an interrupt */
	STORVSC_TABLE_POLLED,    /* SCSI commands, completed by polling */
	STORVSC_TABLE_CONTROL,   /* initialization and resets */
	STORVSC_TABLES
};

static inline uint64_t storvsc_id(uint32_t generation, enum storvsc_table table, uint16_t tag)
{
	return (uint64_t)generation << 32 | (uint32_t)table << 16 | tag;
}

static inline uint32_t storvsc_id_generation(uint64_t id)
{
	return (uint32_t)(id >> 32);
}

static inline uint32_t storvsc_id_table(uint64_t id) /* not checked */
{
	return (uint32_t)id >> 16;
}

static inline uint16_t storvsc_id_tag(uint64_t id)
{
	return (uint16_t)id;
}

/* The generation after this one; never 0. */
static inline uint32_t storvsc_next_generation(uint32_t generation)
{
	return generation == 0xFFFFFFFFu ? 1 : generation + 1;
}

/* Type header of a GPA-direct packet with the one range a command may have. */
struct storvsc_range {
	struct vmbus_gpa_direct direct;
	struct vmbus_gpa_range range;
	uint64_t pfns[];
};
HV_ASSERT_SIZE(struct storvsc_range, 16);

static inline uint32_t storvsc_range_pfns(uint32_t byte_offset, uint32_t byte_count)
{
	return (uint32_t)(((uint64_t)byte_offset + byte_count + HV_PAGE_SIZE - 1) >> HV_PAGE_SHIFT);
}

/* Fills all but the PFNs. Returns the bytes of the header with them; 0 when byte_offset is not
 * inside a page or byte_count is 0. */
uint32_t storvsc_range_build(
	struct storvsc_range *range, uint32_t byte_offset, uint32_t byte_count);

/* ---- answers of the host ------------------------------------------------- */

struct storvsc_completion {
	uint32_t status;    /* VSTOR_STATUS_* */
	uint8_t srb_status; /* VSTOR_SRB_*, without the flag bits */
	uint8_t scsi_status;
	uint8_t sense_length; /* 0: none */
	uint8_t sense[VSTOR_SENSE_SIZE];
	uint32_t transferred; /* <= the command's length */
};

/* cmd: the command this answers. -EPROTO: the host lies; treat the command as failed. */
int storvsc_completion_parse(const struct storvsc_conn *conn, const struct storvsc_command *cmd,
	const void *payload, uint32_t len, struct storvsc_completion *out);

/* What a completion means for its command. */
enum storvsc_verdict {
	STORVSC_DONE,     /* scsi_status and sense say how; `transferred` bytes were moved */
	STORVSC_RETRY,    /* aborted by a reset or the like: nothing is wrong with it */
	STORVSC_BUSY,     /* the host could not take it now */
	STORVSC_LUN_GONE, /* there is no such LUN (any more) */
	STORVSC_FAILED,   /* the host says neither how nor why */
};
enum storvsc_verdict storvsc_judge(const struct storvsc_completion *completion);

/* What sense data ask the initiator to do, beyond completing the command. */
enum storvsc_change {
	STORVSC_CHANGE_NONE,
	STORVSC_CHANGE_LUN,  /* capacity or the like: read it again */
	STORVSC_CHANGE_LUNS, /* LUNs have come or gone */
};
enum storvsc_change storvsc_sense_change(const struct storvsc_completion *completion);

/* For packets without a transaction id. 0: scan for new and lost LUNs. -EPROTO: ignore it. */
int storvsc_event_parse(const void *payload, uint32_t len);

#endif
