/* SPDX-License-Identifier: MIT */
#include "tests/support/io_client.h"

#include <string.h>

#define WRITER     0x8000u
#define FLUSH_RATE 12u /* one of so many commands */

#define BE4(v)                                                                                     \
	(uint8_t)((uint32_t)(v) >> 24), (uint8_t)((v) >> 16), (uint8_t)((v) >> 8), (uint8_t)(v)

static uint32_t next_random(struct io_client *c)
{
	c->random = c->random * 1664525 + 1013904223;
	return c->random >> 8;
}

void io_client_init(struct io_client *c, struct guest_disk *d, uint8_t lun, struct io_model *m,
	struct io_counts *counts, uint32_t seed)
{
	memset(c, 0, sizeof(*c));
	c->d = d;
	c->m = m;
	c->lun = lun;
	c->depth = GUEST_DISK_SLOTS;
	c->random = seed;
	c->counts = counts;
}

/* ---- choosing ------------------------------------------------------------ */

static enum io_kind choose_kind(struct io_client *c)
{
	uint32_t dice = next_random(c) % 32;

	if (next_random(c) % FLUSH_RATE == 0)
		return IO_FLUSH;
	if (dice < 10)
		return IO_READ;
	if (dice < 13)
		return IO_WRITE_FUA;
	return dice < 15 ? IO_ZEROES : IO_WRITE;
}

/* Small ones, 4 KiB and 64 KiB, like file systems. */
static uint32_t choose_count(struct io_client *c)
{
	switch (next_random(c) % 4) {
	case 0:
		return IO_CLIENT_SECTORS_MAX;
	case 1:
		return 1 + next_random(c) % 16;
	default:
		return 8;
	}
}

static bool range_free(const struct io_client *c, const struct io_slot *s)
{
	for (uint32_t i = s->first; i < s->first + s->count; i++)
		if (c->users[i] && (s->kind != IO_READ || c->users[i] >= WRITER))
			return false;
	return true;
}

static void range_take(struct io_client *c, const struct io_slot *s)
{
	for (uint32_t i = s->first; i < s->first + s->count; i++)
		c->users[i] += s->kind == IO_READ ? 1 : WRITER;
}

static void range_give(struct io_client *c, const struct io_slot *s)
{
	for (uint32_t i = s->first; i < s->first + s->count; i++)
		c->users[i] -= s->kind == IO_READ ? 1 : WRITER;
}

static bool choose(struct io_client *c, struct io_slot *s)
{
	s->kind = choose_kind(c);
	s->first = s->count = 0;
	if (s->kind == IO_FLUSH)
		return true;
	s->count = choose_count(c);
	s->first = next_random(c) % (IO_MODEL_SECTORS - s->count + 1);
	return range_free(c, s);
}

/* ---- sending ------------------------------------------------------------- */

static void build_transfer(struct io_client *c, uint32_t slot)
{
	const struct io_slot *s = &c->slot[slot];
	bool read = s->kind == IO_READ;

	c->d->slots[slot].cmd = (struct storvsc_command){.lun = c->lun,
		.data = read ? VSTOR_DATA_IN : VSTOR_DATA_OUT,
		.length = s->count * IO_MODEL_SECTOR,
		.cdb_length = 10,
		.cdb = {read ? 0x28 : 0x2A, s->kind == IO_WRITE_FUA ? 0x08 : 0, BE4(s->first), 0,
			(uint8_t)(s->count >> 8), (uint8_t)s->count}};
}

static void build_write(struct io_client *c, uint32_t slot)
{
	uint8_t bytes[IO_CLIENT_SECTORS_MAX * IO_MODEL_SECTOR];
	struct io_slot *s = &c->slot[slot];

	for (uint32_t i = 0; i < s->count; i++) {
		s->version[i] = io_model_next(c->m, s->first + i, false);
		io_model_fill(bytes + i * IO_MODEL_SECTOR, s->first + i, s->version[i]);
	}
	build_transfer(c, slot);
	guest_slot_put(c->d, slot, bytes, s->count * IO_MODEL_SECTOR);
}

static void build_zeroes(struct io_client *c, uint32_t slot)
{
	struct io_slot *s = &c->slot[slot];

	for (uint32_t i = 0; i < s->count; i++)
		s->version[i] = io_model_next(c->m, s->first + i, true);
	c->d->slots[slot].cmd = (struct storvsc_command){.lun = c->lun,
		.data = VSTOR_DATA_NONE,
		.cdb_length = 16,
		.cdb = {0x93, next_random(c) & 1 ? 0x09 : 0x01, 0, 0, 0, 0, BE4(s->first),
			BE4(s->count)}};
}

static void build_flush(struct io_client *c, uint32_t slot)
{
	struct io_slot *s = &c->slot[slot];

	for (uint32_t i = 0; i < IO_MODEL_SECTORS; i++)
		s->snapshot[i] = c->m->sector[i].completed;
	c->d->slots[slot].cmd = (struct storvsc_command){
		.lun = c->lun, .data = VSTOR_DATA_NONE, .cdb_length = 10, .cdb = {0x35}};
}

static void build(struct io_client *c, uint32_t slot)
{
	static void (*const build_of[IO_KINDS])(struct io_client * c, uint32_t slot) = {
		[IO_READ] = build_transfer,
		[IO_WRITE] = build_write,
		[IO_WRITE_FUA] = build_write,
		[IO_ZEROES] = build_zeroes,
		[IO_FLUSH] = build_flush,
	};

	c->d->slots[slot].byte_offset = next_random(c) % 8 ? 0 : next_random(c) % 1024 * 4;
	build_of[c->slot[slot].kind](c, slot);
}

/* ---- answers ------------------------------------------------------------- */

static void check_read(struct io_client *c, uint32_t slot)
{
	uint8_t bytes[IO_CLIENT_SECTORS_MAX * IO_MODEL_SECTOR];
	const struct io_slot *s = &c->slot[slot];

	guest_slot_get(c->d, slot, bytes, s->count * IO_MODEL_SECTOR);
	for (uint32_t i = 0; i < s->count; i++)
		if (!io_model_matches(c->m, s->first + i, bytes + i * IO_MODEL_SECTOR))
			c->counts->mismatches++;
}

static void note_write(struct io_client *c, const struct io_slot *s)
{
	for (uint32_t i = 0; i < s->count; i++) {
		struct io_sector *sector = &c->m->sector[s->first + i];

		sector->completed = s->version[i];
		if (s->kind == IO_WRITE_FUA)
			sector->durable = s->version[i];
	}
}

static void note_flush(struct io_client *c, const struct io_slot *s)
{
	for (uint32_t i = 0; i < IO_MODEL_SECTORS; i++)
		if (c->m->sector[i].durable < s->snapshot[i])
			c->m->sector[i].durable = s->snapshot[i];
}

static void finish(struct io_client *c, uint32_t slot)
{
	struct guest_slot *g = &c->d->slots[slot];
	struct io_slot *s = &c->slot[slot];

	if (g->parse_error || g->result.srb_status != VSTOR_SRB_SUCCESS) {
		c->counts->failed++;
	} else {
		if (s->kind == IO_READ)
			check_read(c, slot);
		else if (s->kind == IO_FLUSH)
			note_flush(c, s);
		else
			note_write(c, s);
		c->counts->done[s->kind]++;
	}
	range_give(c, s);
	g->state = SLOT_FREE;
}

static void take(struct io_client *c)
{
	for (uint32_t slot = 0; slot < c->depth; slot++)
		if (c->d->slots[slot].state == SLOT_DONE)
			finish(c, slot);
}

static void wait_for_some(struct io_client *c)
{
	uint64_t seen = guest_events(c->d->g);

	if (!guest_disk_poll(c->d))
		guest_wait_events(c->d->g, seen);
	take(c);
}

/* ---- running ------------------------------------------------------------- */

static int free_slot(const struct io_client *c)
{
	for (uint32_t slot = 0; slot < c->depth; slot++)
		if (c->d->slots[slot].state == SLOT_FREE)
			return (int)slot;
	return -1;
}

static void start(struct io_client *c, uint32_t slot)
{
	range_take(c, &c->slot[slot]);
	build(c, slot);
	while (!guest_disk_submit(c->d, slot, next_random(c) % c->d->channel_count))
		wait_for_some(c);
}

void io_client_run(struct io_client *c, uint32_t commands)
{
	while (commands) {
		int slot = free_slot(c);

		if (slot < 0) {
			wait_for_some(c);
		} else if (choose(c, &c->slot[slot])) {
			start(c, (uint32_t)slot);
			commands--;
		} else if (guest_disk_in_flight(c->d)) {
			guest_disk_poll(c->d);
			take(c);
		}
	}
}

void io_client_drain(struct io_client *c)
{
	take(c);
	while (guest_disk_in_flight(c->d))
		wait_for_some(c);
}

void io_client_read_all(struct io_client *c, uint8_t *bytes)
{
	struct io_slot *s = &c->slot[0];

	for (uint32_t at = 0; at < IO_MODEL_SECTORS; at += IO_CLIENT_SECTORS_MAX) {
		*s = (struct io_slot){.kind = IO_READ, .first = at, .count = IO_CLIENT_SECTORS_MAX};
		build_transfer(c, 0);
		while (!guest_disk_submit(c->d, 0, 0))
			guest_disk_poll(c->d);
		if (guest_disk_wait(c->d, 0)->srb_status != VSTOR_SRB_SUCCESS)
			c->counts->failed++;
		guest_slot_get(c->d, 0, bytes + at * IO_MODEL_SECTOR,
			IO_CLIENT_SECTORS_MAX * IO_MODEL_SECTOR);
	}
}
