/* SPDX-License-Identifier: MIT */
/*
 * What a channel has in flight at its disks: who may have how much, and how it is
 * cut short by resets, by the removal of a unit and when the channel closes.
 *
 * Room: the requests of a channel are shared by the LUNs of the controller, and a
 * disk that is slow or stuck must not take them all. So beyond LUN_REQUESTS_MIN a
 * LUN may hold no more than are free, not counting the LUN_REQUESTS_MIN of each
 * LUN: one greedy LUN gets about half, a second one half of the rest, and nobody
 * less than its minimum. A command for which there is no room ends with TASK SET
 * FULL; Linux queues it again and stops its queue for this LUN until another of
 * its commands is done (scsi_decide_disposition(): ADD_TO_MLQUEUE).
 *
 * Aborting: the disk is asked to cancel; whatever comes of it is the result of
 * the command. A request that the disk does not give back is not completed to the
 * guest, which would use its pages for something else: it stays until it comes.
 */
#include <stdatomic.h>

#include "base/log.h"
#include "vsp/storvsp/storvsp_impl.h"

#define LUN_REQUESTS_MIN 4u

void inflight_init(struct storvsp_channel *c)
{
	list_init(&c->in_flight);
	list_init(&c->resets);
}

static uint32_t lun_of(const struct storvsp_request *r)
{
	return (uint32_t)(r->place - r->channel->places);
}

/* ---- room ---------------------------------------------------------------- */

bool inflight_room(const struct storvsp_channel *c, const struct storvsp_place *place)
{
	uint64_t there = atomic_load_explicit(&c->device->luns, memory_order_relaxed);
	uint32_t luns = (uint32_t)__builtin_popcountll(there);
	uint32_t free = STORVSP_REQUESTS - vsp_requests_in_use(c->ch);
	uint32_t held = place->in_flight - 1; /* with this one */

	return luns <= 1 || held < LUN_REQUESTS_MIN || held + luns * LUN_REQUESTS_MIN <= free;
}

void inflight_add(struct storvsp_request *r)
{
	r->aborting = false;
	list_add_tail(&r->channel->in_flight, &r->link);
}

void inflight_del(struct storvsp_request *r)
{
	list_del(&r->link);
	if (r->aborting)
		reset_gave_back(&r->channel->device->resets, lun_of(r));
}

/* ---- aborting ------------------------------------------------------------ */

static struct storvsp_request *request_of(struct list *link)
{
	return container_of(link, struct storvsp_request, link);
}

/* Nothing ends inside scsi_cancel(), so the list stays as it is. */
void inflight_abort(struct reset_port *port, uint64_t luns)
{
	struct storvsp_channel *c = container_of(port, struct storvsp_channel, reset_port);

	list_for_each (pos, &c->in_flight) {
		struct storvsp_request *r = request_of(pos);

		if (r->aborting || !(luns >> lun_of(r) & 1))
			continue;
		r->aborting = true;
		reset_took(&c->device->resets, lun_of(r));
		scsi_cancel(&r->task);
	}
}

void inflight_leave(struct storvsp_place *place)
{
	list_for_each (pos, &place->channel->in_flight)
		if (request_of(pos)->place == place)
			scsi_cancel(&request_of(pos)->task);
}

static void reset_answer(struct storvsp_request *r)
{
	list_del(&r->link);
	storvsp_reply(r, VSTOR_STATUS_SUCCESS);
}

static void reset_done(struct reset *reset, bool all_back)
{
	if (!all_back)
		log_guest("storvsp: commands did not come back from the disk for a reset");
	reset_answer(container_of(reset, struct storvsp_request, reset));
}

void storvsp_reset(struct storvsp_request *r, uint64_t luns)
{
	struct storvsp *s = r->channel->device;

	for (uint64_t rest = luns; rest; rest &= rest - 1) {
		struct scsi_unit *unit = r->channel->places[__builtin_ctzll(rest)].unit;

		if (unit)
			scsi_unit_reset(unit);
	}
	list_add_tail(&r->channel->resets, &r->link);
	r->reset = (struct reset){
		.loop = vsp_channel_chan(r->channel->ch)->loop,
		.luns = luns,
		.done = reset_done,
	};
	reset_start(&s->resets, &r->reset);
}

/* The guest waits for no command and no reset of this channel any more. */
void inflight_close(struct storvsp_channel *c)
{
	list_for_each (pos, &c->in_flight)
		scsi_cancel(&request_of(pos)->task);
	list_for_each_safe (pos, &c->resets)
		if (reset_stop(&request_of(pos)->reset))
			reset_answer(request_of(pos));
}
