/* SPDX-License-Identifier: MIT */
/*
 * Durability campaigns: a guest with storvsp and a disk under verified load, cut
 * off at random points; then the disk is judged by struct io_model.
 */
#ifndef SUPPORT_CAMPAIGN_H
#define SUPPORT_CAMPAIGN_H

#include "tests/support/io_client.h"

struct campaign {
	uint32_t rounds;
	uint32_t seed;
	bool lie;        /* put a disk that does not flush under it: violations must be found */
	const char *dir; /* for the disk file of kills */
	/* results */
	uint32_t rounds_done;
	struct io_counts counts;
	uint64_t unflushed;   /* kills, cuts: acknowledged sectors that nothing had flushed */
	uint64_t old;         /* of these, so many were lost, as they may be */
	uint64_t violations;  /* sectors that break I4, and everything else that is wrong */
	uint64_t wait_ms_max; /* kills: until the disk of the dead could be opened */
	char first[256];      /* violation, in words */
};

/* A process with the whole host and guest is killed with SIGKILL; its disk is a file. */
void campaign_kill(struct campaign *c);
/* The write cache of a volatile disk loses power. */
void campaign_powercut(struct campaign *c);

/* The main of a campaign program: options, run, one line of figures. */
int campaign_main(
	int argc, char **argv, const char *name, uint32_t rounds, void (*run)(struct campaign *c));

#endif
