/* SPDX-License-Identifier: MIT */
/*
 * The fence between threads: writes on all loops, exclusives among them. What an
 * exclusive guards is a plain number that writes only read, so that under TSan
 * any overlap is a data race, and without it a torn pair.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <assert.h>
#include <cmocka.h>
#include <semaphore.h>

#include "scsi/fence.h"

#define LOOPS  3u
#define PASSES 6u /* of each loop; one is exclusive */
#define ROUNDS 4000u

struct runner {
	struct scsi_fence_ticket ticket;
	struct loop_task start, leave;
	uint32_t rounds;
};

static struct scsi_fence *fence;
static struct loop loops[LOOPS];
static struct runner runners[LOOPS][PASSES];
static volatile uint64_t pair[2]; /* equal, but inside an exclusive */
static sem_t finished;

static void start(struct loop_task *task);
static void leave(struct loop_task *task);

/* Inside from now until a later turn of the loop. */
static void entered(struct scsi_fence_ticket *ticket)
{
	struct runner *r = container_of(ticket, struct runner, ticket);

	if (ticket->exclusive)
		pair[0]++;
	else
		assert(pair[0] == pair[1]);
	r->leave.fn = leave;
	loop_post(ticket->loop, &r->leave);
}

static void leave(struct loop_task *task)
{
	struct runner *r = container_of(task, struct runner, leave);

	if (r->ticket.exclusive)
		pair[1]++;
	else
		assert(pair[0] == pair[1]);
	scsi_fence_leave(fence, &r->ticket);
	if (++r->rounds == ROUNDS)
		sem_post(&finished);
	else
		loop_post(r->ticket.loop, &r->start);
}

static void start(struct loop_task *task)
{
	struct runner *r = container_of(task, struct runner, start);

	if (scsi_fence_enter(fence, &r->ticket))
		entered(&r->ticket);
}

static void writes_and_exclusives_never_meet(void **state)
{
	fence = scsi_fence_create();
	assert_non_null(fence);
	sem_init(&finished, 0, 0);
	for (uint32_t i = 0; i < LOOPS; i++) {
		assert_int_equal(loop_init(&loops[i], "fence", NULL), 0);
		assert_int_equal(loop_start(&loops[i]), 0);
	}
	for (uint32_t i = 0; i < LOOPS * PASSES; i++) {
		struct runner *r = &runners[i % LOOPS][i / LOOPS];

		r->ticket.resume = entered;
		r->ticket.loop = &loops[i % LOOPS];
		r->ticket.exclusive = i / LOOPS == 0;
		r->start.fn = start;
		loop_post(r->ticket.loop, &r->start);
	}
	for (uint32_t i = 0; i < LOOPS * PASSES; i++) /* nobody is left behind */
		sem_wait(&finished);
	for (uint32_t i = 0; i < LOOPS; i++) {
		loop_stop(&loops[i]);
		loop_join(&loops[i]);
		loop_fini(&loops[i]);
	}
	assert_int_equal(pair[0], LOOPS * ROUNDS);
	assert_int_equal(pair[1], LOOPS * ROUNDS);
	assert_false(atomic_load(&fence->closed));
	scsi_fence_destroy(fence);
	sem_destroy(&finished);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(writes_and_exclusives_never_meet),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
