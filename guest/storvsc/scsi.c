/* SPDX-License-Identifier: GPL-2.0-only */
/* The SCSI host: commands of the SCSI layer become requests on a channel, completions results. */
#include <linux/blk-mq.h>
#include <linux/dma-mapping.h>
#include <linux/ktime.h>
#include <scsi/scsi_devinfo.h>
#include <scsi/scsi_tcq.h>

#include "guest/storvsc/storvsc.h"
#include "guest/storvsc/trace.h"

static unsigned int timeout = 180;
module_param(timeout, uint, 0644);
MODULE_PARM_DESC(timeout,
	"Seconds until a command is recovered (180); also per disk, in its sysfs device/timeout");

/* ---- where a command goes ------------------------------------------------ */

struct place {
	struct storvsc_chan *chan;
	struct storvsc_slot *slot;
	enum storvsc_table table;
	u16 tag;
};

/* Hardware queues: first one for each channel, then their poll queues. */
static struct place place_of(struct storvsc *s, struct scsi_cmnd *cmd)
{
	u32 unique = blk_mq_unique_tag(scsi_cmd_to_rq(cmd));
	unsigned int queue = blk_mq_unique_tag_to_hwq(unique);
	struct place place = {
		.chan = s->chans[queue % s->chan_count],
		.table = queue < s->chan_count ? STORVSC_TABLE_INTERRUPT : STORVSC_TABLE_POLLED,
		.tag = blk_mq_unique_tag_to_tag(unique),
	};

	place.slot = &place.chan->slots[place.table][place.tag];
	return place;
}

static bool is_polled(struct scsi_cmnd *cmd)
{
	/* The error handler sends with the request of the command it recovers, and does not poll.
	 */
	return scsi_cmd_to_rq(cmd)->cmd_flags & REQ_POLLED &&
	       cmd->submitter != SUBMITTED_BY_SCSI_ERROR_HANDLER;
}

/* ---- sending ------------------------------------------------------------- */

static u8 direction(struct scsi_cmnd *cmd)
{
	if (!scsi_bufflen(cmd))
		return VSTOR_DATA_NONE;
	return cmd->sc_data_direction == DMA_TO_DEVICE ? VSTOR_DATA_OUT : VSTOR_DATA_IN;
}

static void fill_command(struct scsi_cmnd *cmd, struct storvsc_command *command)
{
	*command = (struct storvsc_command){
		.path = cmd->device->channel,
		.target = cmd->device->id,
		.lun = cmd->device->lun,
		.cdb_length = cmd->cmd_len,
		.data = direction(cmd),
		.length = scsi_bufflen(cmd),
	};
	memcpy(command->cdb, cmd->cmnd, min_t(size_t, cmd->cmd_len, sizeof(command->cdb)));
}

/* Whole pages but for the start of the first segment and the end of the last one: the queue's
 * virtual boundary promises that. Returns how many PFNs it added, 0 when there is a gap. */
static u32 add_segment(struct storvsc_range *range, u32 count, u32 max, u64 address, u32 length)
{
	u32 offset = address & (HV_PAGE_SIZE - 1);
	u32 pages = storvsc_range_pfns(offset, length), i;

	if ((count && offset) || count + pages > max)
		return 0;
	for (i = 0; i < pages; i++)
		range->pfns[count + i] = (address >> HV_PAGE_SHIFT) + i;
	return pages;
}

/* Returns the bytes of the page list; 0: the segments do not make one range of pages. */
static u32 fill_range(struct storvsc_chan *chan, struct scsi_cmnd *cmd, int segments)
{
	u32 length = scsi_bufflen(cmd), count = 0, bytes, added;
	struct scatterlist *sg = scsi_sglist(cmd);
	int i;

	bytes = storvsc_range_build(chan->range, sg_dma_address(sg) & (HV_PAGE_SIZE - 1), length);
	scsi_for_each_sg (cmd, sg, segments, i) {
		added = add_segment(chan->range, count, STORVSC_TRANSFER_MAX / HV_PAGE_SIZE + 1,
			sg_dma_address(sg), sg_dma_len(sg));
		if (!added)
			return 0;
		count += added;
	}
	return bytes == sizeof(*chan->range) + count * sizeof(chan->range->pfns[0]) ? bytes : 0;
}

/* With the channel's lock. The id is believed when the packet is in the ring, where the host does
 * not see it before a commit: a completion with it that is forged earlier finds none. Afterwards
 * the command may be complete and gone. */
static int send(struct place *place, struct scsi_cmnd *cmd, u32 range_bytes, bool *more)
{
	struct storvsc_request *r = storvsc_request(cmd);
	struct storvsc_chan *chan = place->chan;
	struct vstor_packet packet;
	struct storvsc_send send = {.packet = &packet, .range_bytes = range_bytes};
	int err;

	chan->generation = storvsc_next_generation(chan->generation);
	send.id = storvsc_id(chan->generation, place->table, place->tag);
	storvsc_command_build(&r->command, &packet);
	trace_storvsc_submit(
		chan->index, send.id, r->command.lun, r->command.cdb[0], r->command.length);
	r->sent_ns = ktime_get_ns();
	place->slot->cmd = cmd;
	place->slot->polled = r->polled;
	*more = storvsc_chan_begin(chan, r->polled);
	err = storvsc_chan_send(chan, &send);
	if (!err) {
		chan->counts.sent++;
		chan->counts.polled += r->polled;
		atomic64_set_release(&place->slot->id, send.id);
		return 0;
	}
	storvsc_chan_end(chan, r->polled);
	*more = true; /* the mask is as it was for a request that is not there */
	return err;
}

static int submit(struct place *place, struct scsi_cmnd *cmd, int segments)
{
	bool last = cmd->flags & SCMD_LAST, more = false;
	struct storvsc_chan *chan = place->chan;
	u32 range_bytes = 0;
	int err;

	spin_lock(&chan->lock);
	err = chan->closed ? -ENODEV : 0;
	if (!err && segments) {
		range_bytes = fill_range(chan, cmd, segments);
		err = range_bytes ? 0 : -EINVAL;
	}
	if (!err)
		err = send(place, cmd, range_bytes, &more);
	if (err || last)
		storvsc_chan_commit(chan);
	spin_unlock(&chan->lock);
	if (more)
		storvsc_chan_drain(chan);
	return err;
}

static compat_qc_status fail(struct scsi_cmnd *cmd, int host_byte)
{
	set_host_byte(cmd, host_byte);
	scsi_done(cmd);
	return 0;
}

/* Every command that is taken is completed: a send that fails for good completes it here. */
static compat_qc_status send_failed(struct storvsc *s, struct scsi_cmnd *cmd, int err)
{
	scsi_dma_unmap(cmd);
	if (err == -EAGAIN)
		return SCSI_MLQUEUE_DEVICE_BUSY;
	if (err == -EPROTO)
		storvsc_die(s, "the ring to the host is corrupt");
	return fail(cmd, err == -EINVAL ? DID_ERROR : DID_NO_CONNECT);
}

static compat_qc_status storvsc_queuecommand(struct Scsi_Host *host, struct scsi_cmnd *cmd)
{
	struct storvsc *s = shost_priv(host);
	struct storvsc_request *r = storvsc_request(cmd);
	struct place place = place_of(s, cmd);
	int segments, err;

	if (READ_ONCE(s->dead))
		return fail(cmd, DID_NO_CONNECT);
	if (WARN_ON_ONCE(place.tag >= STORVSC_QUEUE_DEPTH || atomic64_read(&place.slot->id)))
		return fail(cmd, DID_ERROR);
	if (cmd->sc_data_direction == DMA_BIDIRECTIONAL || cmd->cmd_len > VSTOR_CDB_SIZE)
		return fail(cmd, DID_ERROR);
	segments = scsi_dma_map(cmd);
	if (segments < 0)
		return SCSI_MLQUEUE_DEVICE_BUSY;
	fill_command(cmd, &r->command);
	r->polled = is_polled(cmd);
	err = submit(&place, cmd, segments);
	return err ? send_failed(s, cmd, err) : 0;
}

/* The block layer has no more requests for now: publish those that were not the last of theirs. */
static void storvsc_commit_rqs(struct Scsi_Host *host, u16 queue)
{
	struct storvsc *s = shost_priv(host);
	struct storvsc_chan *chan = s->chans[queue % s->chan_count];

	spin_lock(&chan->lock);
	storvsc_chan_commit(chan);
	spin_unlock(&chan->lock);
}

static int storvsc_mq_poll(struct Scsi_Host *host, unsigned int queue)
{
	struct storvsc *s = shost_priv(host);

	return storvsc_chan_drain(s->chans[queue % s->chan_count]);
}

/* ---- completions --------------------------------------------------------- */

static void set_result(struct scsi_cmnd *cmd, const struct storvsc_completion *c)
{
	struct storvsc *s = shost_priv(cmd->device->host);

	switch (storvsc_judge(c)) {
	case STORVSC_DONE:
		cmd->result = c->scsi_status;
		scsi_set_resid(cmd, scsi_bufflen(cmd) - c->transferred);
		memcpy(cmd->sense_buffer, c->sense, c->sense_length);
		break;
	case STORVSC_RETRY:
		cmd->result = DID_RESET << 16;
		break;
	case STORVSC_BUSY:
		cmd->result = SAM_STAT_BUSY;
		break;
	case STORVSC_LUN_GONE:
		cmd->result = DID_NO_CONNECT << 16;
		storvsc_lun_gone(s, cmd->device);
		break;
	case STORVSC_FAILED:
		cmd->result = DID_ERROR << 16;
		break;
	}
}

static void follow_change(struct scsi_cmnd *cmd, const struct storvsc_completion *c)
{
	struct storvsc *s = shost_priv(cmd->device->host);

	switch (storvsc_sense_change(c)) {
	case STORVSC_CHANGE_LUN:
		storvsc_lun_changed(s, cmd->device);
		break;
	case STORVSC_CHANGE_LUNS:
		storvsc_luns_scan(s);
		break;
	case STORVSC_CHANGE_NONE:
		break;
	}
}

/* The slot is free already, so this is the only completion of the command. */
static void finish(struct storvsc_chan *chan, struct scsi_cmnd *cmd)
{
	storvsc_chan_end(chan, storvsc_request(cmd)->polled);
	scsi_dma_unmap(cmd);
	scsi_done(cmd);
}

static void take_completion(
	struct storvsc_chan *chan, struct scsi_cmnd *cmd, u64 id, const struct vmbus_pkt *pkt)
{
	struct storvsc_request *r = storvsc_request(cmd);
	u64 ns = ktime_get_ns() - r->sent_ns;
	struct storvsc_completion c;

	if (storvsc_completion_parse(
		    &chan->controller->conn, &r->command, pkt->payload, pkt->payload_len, &c)) {
		chan->counts.invalid++;
		cmd->result = DID_ERROR << 16;
		return;
	}
	set_result(cmd, &c);
	if (c.sense_length)
		follow_change(cmd, &c);
	chan->counts.completed++;
	chan->counts.errors += cmd->result != 0;
	storvsc_stats_latency(&chan->counts, ns);
	trace_storvsc_complete(chan->index, id, c.srb_status, c.scsi_status, c.transferred, ns);
}

static void defer(struct storvsc_chan *chan, struct scsi_cmnd *cmd)
{
	storvsc_request(cmd)->next_deferred = chan->deferred;
	chan->deferred = cmd;
}

unsigned int storvsc_scsi_finish_deferred(struct storvsc_chan *chan)
{
	struct scsi_cmnd *cmd = chan->deferred ? xchg(&chan->deferred, NULL) : NULL, *next;
	unsigned int count = 0;

	for (; cmd; cmd = next) {
		next = storvsc_request(cmd)->next_deferred;
		atomic64_set(&place_of(chan->controller, cmd).slot->id, 0);
		finish(chan, cmd);
		count++;
	}
	return count;
}

/* Before the slot is claimed nothing of its command is read: a forged id may name a free one. */
void storvsc_scsi_complete(struct storvsc_chan *chan, u64 id, const struct vmbus_pkt *pkt)
{
	struct storvsc_slot *slot = NULL;
	u16 tag = storvsc_id_tag(id);
	bool deferred;

	if (tag < STORVSC_QUEUE_DEPTH)
		slot = &chan->slots[storvsc_id_table(id)][tag];
	deferred = slot && slot->polled && in_interrupt();
	if (!slot || atomic64_cmpxchg(&slot->id, id, deferred ? STORVSC_DEFERRED : 0) != id) {
		chan->counts.stray++;
		return;
	}
	take_completion(chan, slot->cmd, id, pkt);
	if (deferred)
		defer(chan, slot->cmd);
	else
		finish(chan, slot->cmd);
}

/* ---- commands in flight -------------------------------------------------- */

typedef void slot_function(struct storvsc_chan *chan, struct storvsc_slot *slot, void *context);

static void for_each_slot(struct storvsc *s, slot_function *function, void *context)
{
	unsigned int i, table, tag;

	for (i = 0; i < s->chan_count; i++)
		for (table = 0; table < STORVSC_TABLE_CONTROL; table++)
			for (tag = 0; tag < STORVSC_QUEUE_DEPTH; tag++)
				function(s->chans[i], &s->chans[i]->slots[table][tag], context);
}

static void fail_slot(struct storvsc_chan *chan, struct storvsc_slot *slot, void *context)
{
	if (!atomic64_xchg(&slot->id, 0))
		return;
	slot->cmd->result = DID_NO_CONNECT << 16;
	finish(chan, slot->cmd);
}

void storvsc_scsi_fail_all(struct storvsc *s)
{
	unsigned int i;

	for (i = 0; i < s->chan_count; i++)
		storvsc_scsi_finish_deferred(s->chans[i]);
	for_each_slot(s, fail_slot, NULL);
}

struct in_flight {
	const struct scsi_device *sdev;
	unsigned int count;
};

static void count_slot(struct storvsc_chan *chan, struct storvsc_slot *slot, void *context)
{
	struct in_flight *in_flight = context;

	if (atomic64_read_acquire(&slot->id) &&
		(!in_flight->sdev || slot->cmd->device == in_flight->sdev))
		in_flight->count++;
}

unsigned int storvsc_scsi_in_flight(struct storvsc *s, const struct scsi_device *sdev)
{
	struct in_flight in_flight = {.sdev = sdev};

	for_each_slot(s, count_slot, &in_flight);
	return in_flight.count;
}

/* ---- the host template --------------------------------------------------- */

/* The SCSI layer clears the private part of each command unless this is there. */
static int storvsc_init_cmd_priv(struct Scsi_Host *host, struct scsi_cmnd *cmd)
{
	return 0;
}

/* The channel whose interrupts come to this CPU; others are shared out. */
static unsigned int channel_of_cpu(const struct storvsc *s, unsigned int cpu)
{
	unsigned int i;

	for (i = 0; i < s->chan_count; i++)
		if (READ_ONCE(s->chans[i]->cpu) == cpu)
			return i;
	return cpu % s->chan_count;
}

static void map_queues(struct storvsc *s, struct blk_mq_queue_map *map, unsigned int first)
{
	unsigned int cpu;

	map->nr_queues = s->chan_count;
	map->queue_offset = first;
	for_each_possible_cpu (cpu)
		map->mq_map[cpu] = first + channel_of_cpu(s, cpu);
}

static void storvsc_map_queues(struct Scsi_Host *host)
{
	struct storvsc *s = shost_priv(host);

	map_queues(s, &host->tag_set.map[HCTX_TYPE_DEFAULT], 0);
	if (s->polling)
		map_queues(s, &host->tag_set.map[HCTX_TYPE_POLL], s->chan_count);
}

/* Disks of Windows hosts say SPC-2 and have VPD pages nevertheless, and LUNs beyond REPORT LUNS. */
static int storvsc_sdev_init(struct scsi_device *sdev)
{
	struct storvsc *s = shost_priv(sdev->host);

	/* A host may report LUNs that no command can name. */
	if (sdev->id >= STORVSC_TARGETS || sdev->lun >= STORVSC_LUNS)
		return -ENXIO;
	sdev->sdev_bflags |= BLIST_REPORTLUN2 | BLIST_TRY_VPD_PAGES;
	sdev->no_write_same = s->conn.version < VSTOR_VERSION_WIN10;
	return 0;
}

static int storvsc_sdev_configure(COMPAT_SDEV_CONFIGURE_ARGS)
{
	const struct storvsc *s = shost_priv(sdev->host);

	blk_queue_rq_timeout(sdev->request_queue, max(timeout, 1u) * HZ);
	scsi_change_queue_depth(sdev, s->chan_count * STORVSC_QUEUE_DEPTH);
	return 0;
}

struct scsi_host_template storvsc_template = {
	.module = THIS_MODULE,
	.name = "Hyper-V SCSI (Enlite)",
	.proc_name = "storvsc",
	.cmd_size = sizeof(struct storvsc_request),
	.queuecommand = storvsc_queuecommand,
	.commit_rqs = storvsc_commit_rqs,
	.mq_poll = storvsc_mq_poll,
	.map_queues = storvsc_map_queues,
	.init_cmd_priv = storvsc_init_cmd_priv,
	.COMPAT_SDEV_INIT = storvsc_sdev_init,
	.COMPAT_SDEV_CONFIGURE = storvsc_sdev_configure,
	.eh_timed_out = storvsc_eh_timed_out,
	.eh_abort_handler = storvsc_eh_abort,
	.eh_device_reset_handler = storvsc_eh_reset_lun,
	.eh_host_reset_handler = storvsc_eh_reset_host,
	.can_queue = STORVSC_QUEUE_DEPTH,
	.cmd_per_lun = STORVSC_QUEUE_DEPTH,
	.this_id = -1,
	.virt_boundary_mask = HV_PAGE_SIZE - 1,
};
