/* SPDX-License-Identifier: MIT */
/*
 * For fuzz_storvsp: a LUN that comes, goes and changes its size, and bursts of
 * commands that are in flight meanwhile, on it and on others.
 *
 * Oracles: each command and each reset is answered exactly once, a removed disk
 * is never used again (it is freed at once), and each outcome is one that what
 * has happened since the command was sent allows: what succeeded has moved its
 * bytes, what did not has moved none.
 */
#ifndef SUPPORT_STORVSP_BURST_H
#define SUPPORT_STORVSP_BURST_H

#include "tests/fuzz/input.h"
#include "tests/support/fault_disk.h"
#include "tests/support/guest_disk.h"
#include "vsp/storvsp/storvsp.h"

#define BURST_BLOCKS 32u
#define BURST_BYTES  (BURST_BLOCKS * 512u)
#define BURST_FIXED  3u /* LUNs 0.. that stay */
#define BURST_HOT    3u /* index of the one that does not */
#define BURST_LUN    9u /* and its LUN */
#define BURST_SLOTS  6u /* commands in flight; each has a page */

struct burst_slot {
	bool busy;
	uint8_t cdb[10];
	uint32_t unit, lba, blocks;
	uint64_t capacity; /* of the unit in blocks, when it was sent; 0: it was not there */
	bool may_be_absent;
	bool cut; /* it may be aborted */
};

struct burst {
	/* the target's */
	struct guest *g;
	struct guest_chan *chan;
	struct vsp_device *dev;
	struct fault_disk *disks[BURST_FIXED + 1]; /* the hot one: NULL when it is not open */
	uint8_t (*shadow)[BURST_BYTES];            /* of all of them */
	uint8_t *model;                            /* of the guest's data pages */
	uint64_t data_gpa;
	uint32_t read_only; /* index */
	/* unit attentions each may report; several of a kind are reported once */
	struct {
		uint64_t resets[BURST_FIXED + 1], luns[BURST_FIXED + 1], sizes[BURST_FIXED + 1];
	} news;
	uint64_t told, changes; /* ENUMERATE_BUS packets; what they are for */
	/* the hot LUN */
	bool exists, visible, removing;
	uint64_t size;
	/* of a burst */
	struct burst_slot slots[BURST_SLOTS];
	uint32_t resets; /* not answered */
};

/* One packet that is an answer, if there is one. */
bool burst_receive(struct burst *b, struct vmbus_pkt *pkt);
/* These are reset: bit n of index n. */
void burst_news_reset(struct burst *b, uint32_t units);
/* It is a unit attention: there was a cause, and it is reported once only. */
bool burst_takes_attention(struct burst *b, uint32_t unit, const struct vstor_srb *reply);

void burst_add(struct burst *b);
void burst_remove(struct burst *b);
void burst_resize(struct burst *b, uint32_t blocks);
/* The channel is ready. False: the guest closes now, with commands in flight. */
bool burst_run(struct burst *b, struct input *in);
/* The channel is closed: everything is as at first. */
void burst_reset(struct burst *b);

#endif
