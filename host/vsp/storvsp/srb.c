/* SPDX-License-Identifier: MIT */
/*
 * EXECUTE_SRB: from the guest's packet to a SCSI task and back to a completion.
 *
 * No copy of payload is made: the page frame numbers of the packet become an
 * iovec that points into guest memory, neighbours merged.
 */
#include <assert.h>
#include <stdatomic.h>
#include <string.h>

#include "base/log.h"
#include "proto/vmbus_proto.h"
#include "vsp/storvsp/storvsp_impl.h"

#define SRB_LENGTH                0x34u
#define SRB_LENGTH_WIN7           0x24u
#define SRB_SIZE_MIN              36u /* all a WIN7 packet has of struct vstor_srb */
#define SCSI_GOOD                 0x00u
#define SCSI_CHECK_CONDITION      0x02u
#define SCSI_RESERVATION_CONFLICT 0x18u

#define PATH_ONLY   0u /* where the units are */
#define TARGET_ONLY 0u

/* ---- reply ------------------------------------------------------------------------ */

/* The three words a guest gets for one outcome: SRB status, SCSI status, NTSTATUS. */
struct srb_outcome {
	uint8_t srb_status;
	uint8_t scsi_status;
	uint32_t status;
};

static const struct srb_outcome outcome_good = {VSTOR_SRB_SUCCESS, SCSI_GOOD, VSTOR_STATUS_SUCCESS};
/* This very SRB status makes guests remove the LUN; a SCSI status would hide it from some. */
static const struct srb_outcome outcome_no_lun = {
	VSTOR_SRB_INVALID_LUN, SCSI_GOOD, VSTOR_STATUS_NO_SUCH_DEVICE};
static const struct srb_outcome outcome_sense = {VSTOR_SRB_ERROR | VSTOR_SRB_AUTOSENSE_VALID,
	SCSI_CHECK_CONDITION, VSTOR_STATUS_IO_DEVICE_ERROR};
/* With "autosense valid" Linux looks at the SCSI status, and without it only sees an error. */
static const struct srb_outcome outcome_conflict = {VSTOR_SRB_ERROR | VSTOR_SRB_AUTOSENSE_VALID,
	SCSI_RESERVATION_CONFLICT, VSTOR_STATUS_IO_DEVICE_ERROR};
/* The SRB itself is wrong, not the command in it. */
static const struct srb_outcome outcome_bad_srb = {
	VSTOR_SRB_INVALID_REQUEST | VSTOR_SRB_AUTOSENSE_VALID, SCSI_CHECK_CONDITION,
	VSTOR_STATUS_IO_DEVICE_ERROR};

/* The reply is the guest's SRB with the results filled in: some guests look at the echo. */
static void srb_reply(struct storvsp_request *r, const struct srb_outcome *outcome,
	uint32_t transferred, const uint8_t *sense)
{
	struct vstor_srb srb = r->packet.srb;

	srb.length = r->channel->version < VSTOR_VERSION_WIN8 ? SRB_LENGTH_WIN7 : SRB_LENGTH;
	srb.srb_status = outcome->srb_status;
	srb.scsi_status = outcome->scsi_status;
	srb.data_transfer_length = transferred;
	srb.sense_info_length = 0;
	if (sense) {
		memset(srb.sense, 0, sizeof(srb.sense));
		memcpy(srb.sense, sense, SCSI_SENSE_SIZE);
		srb.sense_info_length = SCSI_SENSE_SIZE;
	}
	r->packet.srb = srb;
	storvsp_reply(r, outcome->status);
}

static void srb_refuse(struct storvsp_request *r)
{
	uint8_t sense[SCSI_SENSE_SIZE];

	scsi_sense_build(sense, SCSI_ERR_CDB_FIELD);
	srb_reply(r, &outcome_bad_srb, 0, sense);
}

static void srb_conflict(struct storvsp_request *r)
{
	uint8_t sense[SCSI_SENSE_SIZE];

	scsi_sense_build(sense, SCSI_OK);
	srb_reply(r, &outcome_conflict, 0, sense);
}

/* ---- counters --------------------------------------------------------------------- */

/* One writer: no read-modify-write needed. */
static void count(struct storvsp_count_row *row, enum storvsp_count kind, uint64_t amount)
{
	uint64_t old = atomic_load_explicit(&row->count[kind], memory_order_relaxed);

	atomic_store_explicit(&row->count[kind], old + amount, memory_order_relaxed);
}

static void count_command(struct storvsp_count_row *row, const struct scsi_task *task)
{
	uint64_t bytes = task->cmd.blocks * task->unit->info.block_size;

	count(row, COUNT_COPIED_BYTES, task->copied);
	if (task->error) {
		count(row, COUNT_ERRORS, 1);
		return;
	}
	switch (task->cmd.action) {
	case SCSI_ACTION_READ:
		count(row, COUNT_READS, 1);
		count(row, COUNT_READ_BYTES, bytes);
		break;
	case SCSI_ACTION_WRITE:
	case SCSI_ACTION_WRITE_ZEROES:
	case SCSI_ACTION_WRITE_PATTERN:
	case SCSI_ACTION_COMPARE_WRITE:
		count(row, COUNT_WRITES, 1);
		count(row, COUNT_WRITTEN_BYTES, bytes);
		break;
	case SCSI_ACTION_FLUSH:
		count(row, COUNT_FLUSHES, 1);
		break;
	case SCSI_ACTION_UNMAP:
		count(row, COUNT_UNMAPS, 1);
		break;
	case SCSI_ACTION_NONE:
	case SCSI_ACTION_REPLY:
	case SCSI_ACTION_COMPARE:
	case SCSI_ACTION_LBA_STATUS:
	case SCSI_ACTION_RESERVE:
	case SCSI_ACTION_TRAY:
		count(row, COUNT_OTHERS, 1);
		break;
	}
}

static void task_done(struct scsi_task *task)
{
	struct storvsp_request *r = container_of(task, struct storvsp_request, task);

	if (task->unit->present)
		count_command(&r->channel->counts[task->unit->lun], task);
	if (!task->error)
		srb_reply(r, &outcome_good, task->transferred, NULL);
	else if (task->error == SCSI_ERR_NO_LUN)
		srb_reply(r, &outcome_no_lun, 0, NULL);
	else if (task->error == SCSI_ERR_CONFLICT)
		srb_conflict(r);
	else
		srb_reply(r, &outcome_sense, 0, task->sense);
}

/* ---- request ---------------------------------------------------------------------- */

static void iov_add(struct scsi_task *task, void *base, uint32_t len)
{
	struct iovec *last = task->iov + task->iov_count - 1;

	if (task->iov_count && (char *)last->iov_base + last->iov_len == base) {
		last->iov_len += len;
		return;
	}
	assert(task->iov_count < task->iov_max);
	task->iov[task->iov_count++] = (struct iovec){.iov_base = base, .iov_len = len};
}

/* Pages of one range, as far as `length` needs them. */
static bool map_range(
	struct scsi_task *task, const struct gmem *gmem, const struct gpa_range *range)
{
	uint32_t left = task->in.length;
	uint32_t offset = range->byte_offset;

	for (uint32_t i = 0; left; i++) {
		uint64_t pfn = gpa_range_pfn(range, i);
		uint32_t piece = HV_PAGE_SIZE - offset;
		void *page;

		if (pfn > UINT64_MAX >> HV_PAGE_SHIFT)
			return false;
		page = (void *)gmem_at(gmem, pfn << HV_PAGE_SHIFT, HV_PAGE_SIZE);
		if (!page)
			return false;
		if (piece > left)
			piece = left;
		iov_add(task, (char *)page + offset, piece);
		left -= piece;
		offset = 0;
	}
	return true;
}

/* The data buffer: one range at least as long as the SRB says, all of it guest RAM. */
static bool map_buffer(struct scsi_task *task, const struct gmem *gmem, const struct vmbus_pkt *pkt)
{
	static const struct gpa_limits limits = {
		.ranges_max = 1, .bytes_max = STORVSP_TRANSFER_MAX};
	struct gpa_range range;
	struct gpa_list list;

	task->iov_count = 0;
	if (task->in.length == 0)
		return true;
	if (pkt->desc.type != VMBUS_PKT_GPA_DIRECT ||
		gpa_direct_parse(&list, pkt->extra, pkt->extra_len, &limits))
		return false;
	if (list.byte_count < task->in.length || !gpa_list_next(&list, &range))
		return false;
	return map_range(task, gmem, &range);
}

static enum scsi_dir direction(uint8_t data_in)
{
	switch (data_in) {
	case VSTOR_DATA_IN:
		return SCSI_DIR_IN;
	case VSTOR_DATA_OUT:
		return SCSI_DIR_OUT;
	default:
		return SCSI_DIR_NONE;
	}
}

static void take_input(struct scsi_input *in, const struct vstor_srb *srb)
{
	memset(in, 0, sizeof(*in));
	memcpy(in->cdb, srb->cdb, srb->cdb_length);
	in->cdb_length = srb->cdb_length;
	in->dir = direction(srb->data_in);
	in->length = srb->data_transfer_length;
}

static struct scsi_unit *find_unit(struct storvsp *s, const struct vstor_srb *srb)
{
	if (srb->path_id != PATH_ONLY || srb->target_id != TARGET_ONLY)
		return &s->nowhere;
	return srb->lun < SCSI_LUNS_MAX ? &s->units[srb->lun] : &s->beyond;
}

void storvsp_execute_srb(struct storvsp_request *r, const struct vmbus_pkt *pkt)
{
	struct storvsp_channel *c = r->channel;
	struct scsi_task *task = &r->task;
	struct vstor_srb srb = r->packet.srb;

	if (pkt->payload_len < VSTOR_PACKET_HEADER_SIZE + SRB_SIZE_MIN) {
		storvsp_reply(r, VSTOR_STATUS_INVALID_PARAMETER);
		return;
	}
	if (srb.cdb_length > sizeof(srb.cdb)) {
		log_guest("storvsp: CDB of %u bytes", srb.cdb_length);
		srb_refuse(r);
		return;
	}
	take_input(&task->in, &srb);
	task->unit = find_unit(c->device, &srb);
	task->queue = task->unit->present ? c->queues[task->unit->lun] : NULL;
	task->req = (struct disk_req *)(r + 1);
	task->iov = r->iov;
	task->iov_max = STORVSP_IOV_MAX;
	task->done = task_done;
	if (!map_buffer(task, vsp_channel_gmem(c->ch), pkt)) {
		log_guest("storvsp: data buffer of %u bytes is not guest memory", task->in.length);
		srb_refuse(r);
		return;
	}
	scsi_execute(task);
}
