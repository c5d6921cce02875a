/* SPDX-License-Identifier: MIT */
#include "mgmt/manager/events.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

void events_init(struct events *ev)
{
	struct timespec now;

	memset(ev, 0, sizeof(*ev));
	clock_gettime(CLOCK_REALTIME, &now);
	ev->first = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
	ev->next = ev->first;
}

void events_fini(struct events *ev)
{
	for (uint32_t i = 0; i < EVENTS_KEPT; i++)
		free(ev->text[i]);
}

void events_add(struct events *ev, json_t *json)
{
	char **slot = &ev->text[ev->next % EVENTS_KEPT];

	json_object_set_new(json, "seq", json_integer((json_int_t)ev->next));
	free(*slot);
	*slot = json_dumps(json, JSON_COMPACT);
	json_decref(json);
	ev->next++;
	if (ev->next - ev->first > EVENTS_KEPT)
		ev->first = ev->next - EVENTS_KEPT;
	if (ev->added)
		ev->added(ev->ctx);
}

const char *events_from(const struct events *ev, uint64_t *number)
{
	if (*number < ev->first || *number > ev->next)
		*number = ev->first;
	while (*number < ev->next && !ev->text[*number % EVENTS_KEPT])
		(*number)++;
	return *number < ev->next ? ev->text[*number % EVENTS_KEPT] : NULL;
}
