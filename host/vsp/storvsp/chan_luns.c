/* SPDX-License-Identifier: MIT */
/*
 * What a channel has of each LUN: its unit and a queue on its disk. Only the
 * channel's I/O thread looks and changes, without a lock; the control thread asks
 * for changes by calls.
 *
 *   EMPTY --arrive: queue opened--> HAS --leave--> LEAVING --last command done--> EMPTY
 *
 * In LEAVING no command gets the unit any more, and those that have it are
 * cancelled: their disk may keep them for long. The queue is closed, and the
 * call answered, by a task of its own: a disk may be freed as soon as that is
 * done, and the completion of its last request must have returned by then.
 * A channel that closes has no command left and empties all places at once.
 */
#include <assert.h>
#include <string.h>

#include "base/log.h"
#include "vsp/storvsp/storvsp_impl.h"

static uint8_t lun_of(const struct storvsp_place *place)
{
	return (uint8_t)(place - place->channel->places);
}

static struct loop *loop_of(const struct storvsp_place *place)
{
	return vsp_channel_chan(place->channel->ch)->loop;
}

static int open_queue(struct storvsp_place *place)
{
	struct storvsp_unit *unit = container_of(place->unit, struct storvsp_unit, scsi);
	int ret = disk_queue_open(unit->disk, loop_of(place), &place->queue);

	if (ret) {
		log_error("storage controller: LUN %u: cannot open a queue: %s", lun_of(place),
			strerror(-ret));
		place->unit = NULL;
		place->queue = NULL;
	}
	return ret;
}

static void empty(struct storvsp_place *place)
{
	assert(!place->in_flight);
	if (place->queue)
		disk_queue_close(place->queue);
	place->queue = NULL;
	place->unit = NULL;
}

/* ---- all of them --------------------------------------------------------- */

static void left(struct loop_task *task)
{
	struct storvsp_place *place = container_of(task, struct storvsp_place, left);

	empty(place);
	place->leaving = false;
	vsp_call_done(&place->call);
}

void storvsp_places_init(struct storvsp_channel *c)
{
	for (uint32_t lun = 0; lun < SCSI_LUNS_MAX; lun++) {
		struct storvsp_unit *unit = c->device->units[lun];

		c->places[lun].channel = c;
		c->places[lun].left.fn = left;
		if (unit && unit->state != UNIT_REMOVING)
			c->places[lun].unit = &unit->scsi;
	}
}

void storvsp_places_close(struct storvsp_channel *c)
{
	for (uint32_t lun = 0; lun < SCSI_LUNS_MAX; lun++)
		empty(&c->places[lun]);
}

int storvsp_places_open(struct storvsp_channel *c)
{
	for (uint32_t lun = 0; lun < SCSI_LUNS_MAX; lun++) {
		int ret = c->places[lun].unit ? open_queue(&c->places[lun]) : 0;

		if (ret) {
			storvsp_places_close(c);
			return ret;
		}
	}
	return 0;
}

/* ---- calls --------------------------------------------------------------- */

/* Nobody needs the unit on a channel that closes. */
void storvsp_place_arrive(struct vsp_call *call)
{
	struct storvsp_place *place = container_of(call, struct storvsp_place, call);

	place->error = 0;
	if (!place->channel->closing && !place->channel->closed) {
		assert(!place->unit);
		place->unit = &place->changes->scsi;
		place->error = open_queue(place);
	}
	vsp_call_done(call);
}

void storvsp_place_leave(struct vsp_call *call)
{
	struct storvsp_place *place = container_of(call, struct storvsp_place, call);

	place->error = 0;
	place->leaving = place->in_flight;
	if (place->leaving) {
		inflight_leave(place);
		return;
	}
	empty(place);
	vsp_call_done(call);
}

/* ---- commands ------------------------------------------------------------ */

void storvsp_place_get(struct storvsp_request *r, uint8_t lun)
{
	struct storvsp_place *place = &r->channel->places[lun];
	struct storvsp *s = r->channel->device;

	if (!place->unit || place->leaving || !storvsp_has_lun(s, lun)) {
		r->task.unit = &s->absent[lun];
		return;
	}
	place->in_flight++;
	r->place = place;
	r->task.unit = place->unit;
	r->task.queue = place->queue;
}

void storvsp_place_put(struct storvsp_request *r)
{
	struct storvsp_place *place = r->place;

	if (!place)
		return;
	r->place = NULL;
	if (--place->in_flight == 0 && place->leaving)
		loop_post(loop_of(place), &place->left);
}
