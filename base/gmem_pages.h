/* SPDX-License-Identifier: MIT */
/*
 * What became of each page of dynamic guest memory. Two facts a page:
 *
 *   held  the host uses it: it is in a list of pages that a channel's device may use (a GPADL),
 *         rings among them. Counted; the same page may be in many lists.
 *   out   the guest has handed it to the host and does not use it, until it is handed back.
 *
 *              gmem_pages_take               gmem_hold
 *     (guest's) --------------> out            n --> n + 1        (not of one that is out)
 *               <--------------                  <--
 *              gmem_pages_give               gmem_unhold
 *
 * A page can be handed over while it is held: a guest frees the pages of a channel that is
 * rescinded before the host has let them go. Such a page is out, but is not released. One that is
 * out cannot be held any more. So nothing that the host uses is ever released, and nothing is out
 * twice.
 *
 * A byte a page, in memory that is populated where it is used. Thread: any; each function is atomic
 * for each page of its range, and gmem_pages_take() undoes what it did when it fails.
 * Without dynamic memory (g->pages NULL) every page may be held, and none is out.
 */
#ifndef BASE_GMEM_PAGES_H
#define BASE_GMEM_PAGES_H

#include "base/gmem.h"

/* For gmem.c. 0 or -ENOMEM. */
int gmem_pages_create(struct gmem *g);
void gmem_pages_destroy(struct gmem *g);

/* A page of RAM. False: it is out. */
bool gmem_hold(const struct gmem *g, uint64_t gpa);
/* Once for each gmem_hold() that succeeded. */
void gmem_unhold(const struct gmem *g, uint64_t gpa);

/* Pages in GPAs that follow each other. */
struct gmem_run {
	uint64_t gpa;
	uint64_t pages;
};

/* All of the run is out from now on. -EFAULT: not all of it is RAM, or it is empty; -EEXIST: a page
 * of it is out already. Then nothing is changed. *held: how many of its pages are held; added. */
int gmem_pages_take(const struct gmem *g, const struct gmem_run *run, uint64_t *held);
/* All of the run is out; now it is the guest's again. */
void gmem_pages_give(const struct gmem *g, const struct gmem_run *run);
/* Everything that is out is the guest's again. */
void gmem_pages_give_all(const struct gmem *g);
uint64_t gmem_pages_out(const struct gmem *g);
/* Finds the first run of pages that are out, of `max` pages at most, in the order of GPAs from *at
 * on, which is 0 at first and where to go on afterwards. False: there is none behind *at. */
bool gmem_pages_next(const struct gmem *g, uint64_t *at, uint64_t max, struct gmem_run *run);

/* Gives to the host what of the run is out and not held. Any thread that may sleep. 0 or -errno.
 *
 * From then on the kernel makes no huge pages of guest memory (those that are there stay): its
 * khugepaged would fill the holes again, since a block with one page of 512 is enough for it. All
 * memory, not the blocks around the holes: each block could be a mapping of its own, and a process
 * has only so many. */
int gmem_pages_release(const struct gmem *g, const struct gmem_run *run);
/* Nothing is out any more, and huge pages are not allowed again. Any thread. */
bool gmem_pages_unsettled(const struct gmem *g);
/* Allows them again, if nothing is out. Any thread that may sleep, one at a time. */
void gmem_pages_settle(const struct gmem *g);
/* The guest does not use the run at the moment, but keeps it (free page reporting): gives it to the
 * host, but for pages that are out or held. -EFAULT: not all of it is RAM, or it is empty. */
int gmem_pages_discard(const struct gmem *g, const struct gmem_run *run);

#endif
