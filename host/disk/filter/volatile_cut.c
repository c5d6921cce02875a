/* SPDX-License-Identifier: MIT */
/* The power cut: the fate of unflushed writes. See volatile.c. */
#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "disk/filter/volatile_impl.h"

#define SECTOR_SIZE 512u

enum fate {
	FATE_DROP,    /* nothing was written */
	FATE_KEEP,    /* everything was written */
	FATE_PREFIX,  /* the first N entries, the last of them in part */
	FATE_SOME,    /* any entries, in any order */
	FATE_SECTORS, /* any sectors of any entries, in any order */
	FATE_COUNT,
};

struct cut {
	struct volatile_disk *disk;
	struct loop loop; /* runs while a request of the cut is in flight */
	struct disk_queue *queue;
	struct disk_req *req;
	bool finished;
	int error; /* the first */
};

static void cut_step_done(struct disk_req *req, int error)
{
	struct cut *c = req->owner;

	if (!c->error)
		c->error = error;
	c->finished = true;
	loop_stop(&c->loop);
}

static void cut_write(struct cut *c, const struct entry *entry, uint64_t skip, uint64_t length)
{
	struct iovec iov = {.iov_base = (void *)(entry->bytes + skip), .iov_len = length};

	*c->req = (struct disk_req){
		.op = entry->op == DISK_WRITE ? DISK_WRITE : DISK_WRITE_ZEROES,
		.offset = entry->offset + skip,
		.length = length,
		.done = cut_step_done,
		.owner = c,
	};
	if (entry->op == DISK_WRITE) {
		c->req->iov = &iov;
		c->req->iov_count = 1;
	}
	c->finished = false;
	disk_submit(c->queue, c->req);
	while (!c->finished)
		loop_run(&c->loop);
}

static void cut_whole(struct cut *c, const struct entry *entry)
{
	cut_write(c, entry, 0, entry->length);
}

/* A random number of its first sectors. */
static void cut_torn(struct cut *c, const struct entry *entry)
{
	uint64_t sectors = filter_random(&c->disk->random) % (entry->length / SECTOR_SIZE + 1);

	if (sectors)
		cut_write(c, entry, 0, sectors * SECTOR_SIZE);
}

/* Zeroes and discards may be long: only one run of sectors is written. */
static void cut_run(struct cut *c, const struct entry *entry)
{
	uint64_t sectors = entry->length / SECTOR_SIZE;
	uint64_t first = filter_random(&c->disk->random) % sectors;
	uint64_t count = filter_random(&c->disk->random) % (sectors - first + 1);

	if (count)
		cut_write(c, entry, first * SECTOR_SIZE, count * SECTOR_SIZE);
}

static void cut_sectors(struct cut *c, const struct entry *entry)
{
	if (entry->op != DISK_WRITE) {
		cut_run(c, entry);
		return;
	}
	for (uint64_t at = 0; at < entry->length; at += SECTOR_SIZE)
		if (filter_random(&c->disk->random) & 1)
			cut_write(c, entry, at, SECTOR_SIZE);
}

static void shuffle(struct entry **entries, uint32_t count, uint64_t *random)
{
	for (uint32_t i = count; i > 1; i--) {
		uint32_t j = (uint32_t)(filter_random(random) % i);
		struct entry *other = entries[j];

		entries[j] = entries[i - 1];
		entries[i - 1] = other;
	}
}

static void cut_prefix(struct cut *c, struct entry **entries, uint32_t count)
{
	uint32_t whole = (uint32_t)(filter_random(&c->disk->random) % count);

	for (uint32_t i = 0; i < whole; i++)
		cut_whole(c, entries[i]);
	cut_torn(c, entries[whole]);
}

static void cut_entries(struct cut *c, struct entry **entries, uint32_t count)
{
	enum fate fate = filter_random(&c->disk->random) % FATE_COUNT;

	if (fate == FATE_DROP || count == 0)
		return;
	if (fate == FATE_PREFIX) {
		cut_prefix(c, entries, count);
		return;
	}
	if (fate != FATE_KEEP)
		shuffle(entries, count, &c->disk->random);
	for (uint32_t i = 0; i < count; i++) {
		if (fate == FATE_SECTORS)
			cut_sectors(c, entries[i]);
		else if (fate == FATE_KEEP || (filter_random(&c->disk->random) & 1))
			cut_whole(c, entries[i]);
	}
}

static struct entry **journal_array(struct volatile_disk *d)
{
	struct entry **entries = calloc(d->entries + 1, sizeof(struct entry *));
	uint32_t i = 0;

	if (!entries)
		return NULL;
	list_for_each (pos, &d->journal)
		entries[i++] = entry_of(pos);
	return entries;
}

static void journal_clear(struct volatile_disk *d)
{
	while (!list_empty(&d->journal))
		volatile_journal_del(d, entry_of(d->journal.next));
}

int disk_volatile_cut(struct disk *disk)
{
	struct cut c = {.disk = volatile_of(disk)};
	struct entry **entries;
	int ret;

	assert(list_empty(&c.disk->reads) && !c.disk->job_running);
	ret = loop_init(&c.loop, "power-cut", NULL);
	if (ret)
		goto clear;
	ret = disk_queue_open(disk->lower, &c.loop, &c.queue);
	if (ret)
		goto fini_loop;
	entries = journal_array(c.disk);
	c.req = aligned_alloc(16, disk_req_size(disk->lower));
	if (entries && c.req)
		cut_entries(&c, entries, c.disk->entries);
	ret = entries && c.req ? c.error : -ENOMEM;
	free(c.req);
	free(entries);
	disk_queue_close(c.queue);
	loop_stop(&c.loop); /* tasks that closing the queue posted still run */
	loop_run(&c.loop);
fini_loop:
	loop_fini(&c.loop);
clear:
	journal_clear(c.disk);
	atomic_store(&c.disk->off, false);
	return ret;
}

void disk_volatile_power_off(struct disk *disk)
{
	atomic_store(&volatile_of(disk)->off, true);
}
