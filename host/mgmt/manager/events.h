/* SPDX-License-Identifier: MIT */
/*
 * What happened, as numbered events: the last EVENTS_KEPT of them. Readers keep the number of the
 * last one they have; one who is too late learns that some are lost, and how many if the manager is
 * the same one. Numbers grow also from one manager to the next: the first is the time of day, in
 * microseconds.
 *
 * Thread: the manager's.
 */
#ifndef MANAGER_EVENTS_H
#define MANAGER_EVENTS_H

#include <jansson.h>
#include <stdint.h>

#define EVENTS_KEPT 1024u

struct events {
	uint64_t first, next; /* numbers: of the oldest that is kept, and of the next one */
	char *text[EVENTS_KEPT];
	void (*added)(void *ctx); /* NULL: no one waits */
	void *ctx;
};

void events_init(struct events *ev);
void events_fini(struct events *ev);
/* Owns json, an object with "event", also when there is no memory: then the number is missing. */
void events_add(struct events *ev, json_t *json);
/* The event with the lowest number from *number on, which becomes that number; NULL: there is none
 * yet. A number that was not given yet is of an earlier manager, and the clock was set back since:
 * then all are new. Borrowed until the next events_add(). */
const char *events_from(const struct events *ev, uint64_t *number);

#endif
