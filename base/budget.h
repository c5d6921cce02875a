/* SPDX-License-Identifier: MIT */
/*
 * The memory that a guest can make its VM use beyond the guest's own RAM: one limit
 * for all of it. Code that allocates for a guest takes the bytes first, and refuses
 * with the status of its protocol when they are not there.
 *
 * Each user has a share of its own, which no other can use up: so a guest that
 * fills the budget in one way does not block the rest of its VM. What a user needs
 * beyond its share comes from the common part, first come, first served.
 *
 *   sum over users of max(used, share)  <=  limit
 *
 * Bytes are those asked for, without the allocator's overhead. Thread: any; no lock,
 * a take is two atomic changes, three beyond the share. Near the limit a take may be
 * refused because of another one, or of a give, at the same moment.
 */
#ifndef BASE_BUDGET_H
#define BASE_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

enum budget_user {
	BUDGET_CHANNELS, /* state of open channels, queues of their back ends */
	BUDGET_REQUESTS, /* requests of open channels */
	BUDGET_BOUNCES,  /* copies of data that a disk cannot use in place */
	BUDGET_MESSAGES, /* messages that wait for a slot of the SynIC */
	BUDGET_GPADLS,   /* page lists of GPADLs, and what VSPs keep for them */
	BUDGET_USERS,
};

#define BUDGET_DEFAULT (64ull << 20)
/* Each share is large enough for its user to make progress. */
#define BUDGET_MIN (16ull << 20)

struct budget {
	uint64_t limit;          /* bytes */
	uint64_t common_limit;   /* what is left when all have their shares */
	_Atomic uint64_t used;   /* by all */
	_Atomic uint64_t peak;   /* highest `used` */
	_Atomic uint64_t common; /* used beyond the shares; at most common_limit */
	struct budget_account {
		uint64_t share;
		_Atomic uint64_t used;
		_Atomic uint64_t refusals;
	} accounts[BUDGET_USERS];
};

struct inspect;

/* limit: at least BUDGET_MIN. */
void budget_init(struct budget *b, uint64_t limit);

/* False: refused, counted, and nothing is taken. b NULL: no limit (tests of a part). */
bool budget_take(struct budget *b, enum budget_user user, uint64_t bytes);
/* At most what was taken. */
void budget_give(struct budget *b, enum budget_user user, uint64_t bytes);

uint64_t budget_used(const struct budget *b);
uint64_t budget_peak(const struct budget *b);
uint64_t budget_refusals(const struct budget *b, enum budget_user user);
/* Limit, used and highest; used and refusals of each user. */
void budget_inspect(const struct budget *b, struct inspect *i);

#endif
