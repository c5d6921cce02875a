/* SPDX-License-Identifier: MIT */
/*
 * The commands of a channel that are in flight at its disks: how many a LUN may
 * have, and their cancelling by resets, by the removal of a LUN and when the
 * channel stops.
 *
 * Room: the requests of a channel are shared by the LUNs of the controller, and a
 * disk that is slow or stuck must not take them all. A command is begun when
 *
 *   held < LUN_REQUESTS_MIN  or  held + luns * LUN_REQUESTS_MIN <= free
 *
 * with held the requests its LUN has already, free those nobody has. So one LUN
 * under load gets about half of all, a second one half of the rest, and each
 * its minimum. Otherwise the command ends with TASK SET FULL; Linux queues it
 * again and stops its queue for this LUN until another of its commands is done
 * (scsi_decide_disposition(): ADD_TO_MLQUEUE).
 *
 * Aborting: the disk is asked to cancel; the command ends with the result of
 * that. A command whose request the disk does not complete is not completed to
 * the guest, which would reuse its pages.
 */
#include "vsp/storvsp/storvsp_impl.h"

#include "base/log.h"

#define LUN_REQUESTS_MIN 4u

void inflight_init(struct storvsp_channel *c)
{
	ON_IO_THREAD(c);
	list_init(&c->in_flight);
	list_init(&c->resets);
}

static uint32_t lun_of(const struct storvsp_request *r)
{
	return (uint32_t)(r->lun - r->channel->luns);
}

/* ---- room ---------------------------------------------------------------- */

bool inflight_has_room(const struct storvsp_channel *c, const struct storvsp_chan_lun *lun)
{
	uint64_t visible = atomic_load_explicit(&c->device->visible, memory_order_relaxed);
	uint32_t luns = (uint32_t)__builtin_popcountll(visible);
	uint32_t held = lun->in_flight - 1; /* without this command */

	return luns <= 1 || held < LUN_REQUESTS_MIN ||
	       held + luns * LUN_REQUESTS_MIN <= STORVSP_REQUESTS - vsp_requests_in_use(c->ch, 0);
}

void inflight_add(struct storvsp_request *r)
{
	ON_IO_THREAD(r->channel);
	r->aborting = false;
	list_add_tail(&r->channel->in_flight, &r->link);
}

void inflight_del(struct storvsp_request *r)
{
	ON_IO_THREAD(r->channel);
	list_del(&r->link);
	if (r->aborting)
		reset_command_done(&r->channel->device->resets, lun_of(r));
}

/* ---- cancelling ---------------------------------------------------------- */

static struct storvsp_request *request_of(struct list *link)
{
	return container_of(link, struct storvsp_request, link);
}

/* No command completes inside scsi_cancel(), so the list does not change. */
void inflight_abort(struct reset_member *member, uint64_t luns)
{
	struct storvsp_channel *c = container_of(member, struct storvsp_channel, member);

	ON_IO_THREAD(c);
	list_for_each (pos, &c->in_flight) {
		struct storvsp_request *r = request_of(pos);

		if (r->aborting || !(luns >> lun_of(r) & 1))
			continue;
		r->aborting = true;
		reset_command_aborted(&c->device->resets, lun_of(r));
		scsi_cancel(&r->task);
	}
}

void inflight_cancel_lun(struct storvsp_chan_lun *lun)
{
	ON_IO_THREAD(lun->channel);
	list_for_each (pos, &lun->channel->in_flight)
		if (request_of(pos)->lun == lun)
			scsi_cancel(&request_of(pos)->task);
}

static void reset_answer(struct storvsp_request *r)
{
	list_del(&r->link);
	storvsp_reply(r, VSTOR_STATUS_SUCCESS);
}

static void reset_done(struct reset *reset, bool complete)
{
	if (!complete)
		log_guest("storvsp: a reset ends before the disk has completed all commands");
	reset_answer(container_of(reset, struct storvsp_request, reset));
}

void storvsp_reset(struct storvsp_request *r, uint64_t luns)
{
	struct storvsp_channel *c = r->channel;

	ON_IO_THREAD(c);
	for (uint64_t rest = luns; rest; rest &= rest - 1) {
		struct scsi_unit *unit = c->luns[__builtin_ctzll(rest)].unit;

		if (unit)
			scsi_unit_reset(unit);
	}
	list_add_tail(&c->resets, &r->link);
	r->reset = (struct reset){
		.loop = vsp_channel_loop(c->ch),
		.luns = luns,
		.done = reset_done,
	};
	reset_start(&c->device->resets, &r->reset);
}

void inflight_cancel_all(struct storvsp_channel *c)
{
	ON_IO_THREAD(c);
	list_for_each (pos, &c->in_flight)
		scsi_cancel(&request_of(pos)->task);
	list_for_each_safe (pos, &c->resets)
		if (reset_cancel(&request_of(pos)->reset))
			reset_answer(request_of(pos));
}
