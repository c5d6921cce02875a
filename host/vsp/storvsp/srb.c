/* SPDX-License-Identifier: MIT */
/*
 * EXECUTE_SRB: from the guest's packet to a SCSI task and back to a completion.
 *
 * No copy of payload is made: the page frame numbers of the packet become an
 * iovec that points into guest memory, neighbours merged.
 */
#include "vsp/storvsp/storvsp_impl.h"

#include <string.h>

#include "base/log.h"
#include "proto/vmbus_proto.h"

#define SRB_LENGTH                0x34u
#define SRB_LENGTH_WIN7           0x24u
#define SRB_SIZE_MIN              36u /* all a WIN7 packet has of struct vstor_srb */
#define SCSI_GOOD                 0x00u
#define SCSI_CHECK_CONDITION      0x02u
#define SCSI_RESERVATION_CONFLICT 0x18u
#define SCSI_TASK_SET_FULL        0x28u

#define PATH_ONLY   0u /* the only address with units */
#define TARGET_ONLY 0u

/* ---- reply --------------------------------------------------------------- */

/* The three words a guest gets for one outcome: SRB status, SCSI status, NTSTATUS. */
struct srb_outcome {
	uint8_t srb_status;
	uint8_t scsi_status;
	uint32_t status;
};

static const struct srb_outcome outcome_good = {VSTOR_SRB_SUCCESS, SCSI_GOOD, VSTOR_STATUS_SUCCESS};
/* Guests remove the LUN for this SRB status; some do not see it beside a SCSI status. */
static const struct srb_outcome outcome_no_lun = {
	VSTOR_SRB_INVALID_LUN, SCSI_GOOD, VSTOR_STATUS_NO_SUCH_DEVICE};
static const struct srb_outcome outcome_sense = {VSTOR_SRB_ERROR | VSTOR_SRB_AUTOSENSE_VALID,
	SCSI_CHECK_CONDITION, VSTOR_STATUS_IO_DEVICE_ERROR};
/* Linux reads the SCSI status only with "autosense valid"; without it, it sees a mere error. */
static const struct srb_outcome outcome_conflict = {VSTOR_SRB_ERROR | VSTOR_SRB_AUTOSENSE_VALID,
	SCSI_RESERVATION_CONFLICT, VSTOR_STATUS_IO_DEVICE_ERROR};
/* Guests retry it, like all commands ended by a reset. */
static const struct srb_outcome outcome_aborted = {VSTOR_SRB_BUS_RESET | VSTOR_SRB_AUTOSENSE_VALID,
	SCSI_CHECK_CONDITION, VSTOR_STATUS_IO_DEVICE_ERROR};
/* Linux does not know this SRB status and reads the SCSI status; others know it. */
static const struct srb_outcome outcome_full = {
	VSTOR_SRB_BUSY, SCSI_TASK_SET_FULL, VSTOR_STATUS_DEVICE_BUSY};
/* The SRB itself is wrong, not the command in it. */
static const struct srb_outcome outcome_bad_srb = {
	VSTOR_SRB_INVALID_REQUEST | VSTOR_SRB_AUTOSENSE_VALID, SCSI_CHECK_CONDITION,
	VSTOR_STATUS_IO_DEVICE_ERROR};

/* The reply is the guest's SRB with the results filled in: some guests read the echoed fields. */
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

/* ---- counters ------------------------------------------------------------ */

static struct loop *loop_of(const struct storvsp_request *r)
{
	return vsp_channel_loop(r->channel->ch);
}

static void begin(struct storvsp_request *r)
{
	struct scsi_unit *unit = r->task.unit;

	r->row = unit->present ? &r->channel->counts[unit->lun] : NULL;
	r->begin_ns = loop_turn_ns(loop_of(r));
	if (r->row)
		count_begin(r->row);
}

/* A request finished within one loop turn has no measurable turn time: read the clock. */
static uint64_t elapsed(struct storvsp_request *r)
{
	uint64_t end = loop_turn_ns(loop_of(r));

	return (end == r->begin_ns ? loop_now_ns() : end) - r->begin_ns;
}

static void task_done(struct scsi_task *task)
{
	struct storvsp_request *r = container_of(task, struct storvsp_request, task);

	if (r->lun)
		inflight_del(r);
	if (r->row)
		count_end(r->row, task, elapsed(r));
	chan_lun_put(r);
	if (!task->error)
		srb_reply(r, &outcome_good, task->transferred, NULL);
	else if (task->error == SCSI_ERR_NO_LUN)
		srb_reply(r, &outcome_no_lun, 0, NULL);
	else if (task->error == SCSI_ERR_CONFLICT)
		srb_conflict(r);
	else if (task->error == SCSI_ERR_FULL)
		srb_reply(r, &outcome_full, 0, NULL);
	else if (task->error == SCSI_ERR_ABORTED)
		srb_reply(r, &outcome_aborted, 0, task->sense);
	else
		srb_reply(r, &outcome_sense, 0, task->sense);
}

/* ---- request ------------------------------------------------------------- */

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
		page = (GUEST_FORCE void *)gmem_at(gmem, pfn << HV_PAGE_SHIFT, HV_PAGE_SIZE);
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

bool storvsp_srb_has_unit(const struct storvsp *s, const struct vstor_srb *srb)
{
	return srb->path_id == PATH_ONLY && srb->target_id == TARGET_ONLY &&
	       srb->lun < SCSI_LUNS_MAX && storvsp_is_visible(s, srb->lun);
}

static void find_unit(struct storvsp_request *r, const struct vstor_srb *srb)
{
	struct storvsp *s = r->channel->device;

	r->lun = NULL;
	r->task.queue = NULL;
	if (srb->path_id != PATH_ONLY || srb->target_id != TARGET_ONLY)
		r->task.unit = &s->nowhere;
	else if (srb->lun >= SCSI_LUNS_MAX)
		r->task.unit = &s->beyond;
	else
		chan_lun_get(r, srb->lun);
}

void storvsp_execute_srb(struct storvsp_request *r, const struct vmbus_pkt *pkt)
{
	struct storvsp_channel *c = r->channel;
	struct scsi_task *task = &r->task;
	struct vstor_srb srb = r->packet.srb;

	ON_IO_THREAD(c);
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
	task->req = (struct disk_req *)(r + 1);
	task->iov = r->iov;
	task->iov_max = STORVSP_IOV_MAX;
	task->done = task_done;
	if (!map_buffer(task, vsp_device_gmem(vsp_channel_device(c->ch)), pkt)) {
		log_guest("storvsp: data buffer of %u bytes is not guest memory", task->in.length);
		srb_refuse(r);
		return;
	}
	find_unit(r, &srb);
	begin(r);
	task->full = r->lun && !inflight_has_room(c, r->lun);
	if (r->lun)
		inflight_add(r);
	scsi_execute(task);
}
