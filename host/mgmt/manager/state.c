/* SPDX-License-Identifier: MIT */
#include "mgmt/manager/state.h"

#include <stddef.h>
#include <string.h>

#define BIT(n) (1u << (n))

/* ---- the table ----------------------------------------------------------- */

#define ANY  BIT(VMMS_CLONE)
#define LIVE (ANY | BIT(VMMS_STOP) | BIT(VMMS_ASK))
#define IDLE (ANY | BIT(VMMS_START) | BIT(VMMS_DEFINE) | BIT(VMMS_REMOVE) | BIT(VMMS_APPLY))

static const struct {
	const char *name;
	uint32_t allows; /* bit n: request n */
	bool live, passing;
} states[VMMS_STATES] = {
	[VMMS_OFF] = {"off", IDLE | BIT(VMMS_DEVICES) | BIT(VMMS_SNAPSHOT), false, false},
	[VMMS_STARTING] = {"starting", LIVE, true, true},
	[VMMS_RUNNING] = {"running",
		LIVE | BIT(VMMS_SHUTDOWN) | BIT(VMMS_PAUSE) | BIT(VMMS_SAVE) | BIT(VMMS_DEVICES) |
			BIT(VMMS_GUEST) | BIT(VMMS_SNAPSHOT),
		true, false},
	[VMMS_PAUSING] = {"pausing", LIVE | BIT(VMMS_RESUME), true, true},
	[VMMS_PAUSED] = {"paused", LIVE | BIT(VMMS_RESUME) | BIT(VMMS_SAVE) | BIT(VMMS_SNAPSHOT),
		true, false},
	[VMMS_RESUMING] = {"resuming", LIVE, true, true},
	[VMMS_SAVING] = {"saving", LIVE, true, true},
	[VMMS_SAVED] = {"saved",
		ANY | BIT(VMMS_START) | BIT(VMMS_DISCARD) | BIT(VMMS_REMOVE) | BIT(VMMS_SNAPSHOT) |
			BIT(VMMS_APPLY),
		false, false},
	[VMMS_STOPPING] = {"stopping", LIVE, true, true},
	[VMMS_CRITICAL] = {"critical", IDLE | BIT(VMMS_STOP), false, false},
};

static const struct {
	const char *name;
	bool by_users; /* by its name: PUT /vms/{id}/state */
} requests[VMMS_REQUESTS] = {
	[VMMS_START] = {"start", true},
	[VMMS_SHUTDOWN] = {"shutdown", true},
	[VMMS_STOP] = {"stop", true},
	[VMMS_PAUSE] = {"pause", true},
	[VMMS_RESUME] = {"resume", true},
	[VMMS_SAVE] = {"save", true},
	[VMMS_DISCARD] = {"discard", true},
	[VMMS_DEFINE] = {"define", false},
	[VMMS_DEVICES] = {"a change of devices", false},
	[VMMS_REMOVE] = {"remove", false},
	[VMMS_SNAPSHOT] = {"snapshot", false},
	[VMMS_APPLY] = {"restore", false},
	[VMMS_CLONE] = {"clone", false},
	[VMMS_ASK] = {"this question", false},
	[VMMS_GUEST] = {"this question", false},
};

const char *vmms_state_name(enum vmms_state state)
{
	return states[state].name;
}

const char *vmms_request_name(enum vmms_request request)
{
	return requests[request].name;
}

int vmms_request_of(const char *name)
{
	for (uint32_t i = 0; i < VMMS_REQUESTS; i++)
		if (requests[i].by_users && !strcmp(requests[i].name, name))
			return (int)i;
	return -1;
}

bool vmms_allows(enum vmms_state state, enum vmms_request request)
{
	return states[state].allows >> request & 1;
}

bool vmms_is_live(enum vmms_state state)
{
	return states[state].live;
}

bool vmms_is_passing(enum vmms_state state)
{
	return states[state].passing;
}

/* ---- states of worker processes ------------------------------------------ */

static const struct {
	const char *name;
	enum vmms_state state;
} of_worker[] = {
	{"off", VMMS_STOPPING}, /* its process is about to end */
	{"waiting to restart", VMMS_STARTING}, {"starting", VMMS_STARTING},
	{"running", VMMS_RUNNING}, {"pausing", VMMS_PAUSING}, {"paused", VMMS_PAUSED},
	{"resuming", VMMS_RESUMING}, {"restoring", VMMS_STARTING}, {"saving", VMMS_SAVING},
	{"stopping", VMMS_STOPPING}, {"critical", VMMS_STOPPING}, /* the same */
};

bool vmms_state_of_worker(const char *name, enum vmms_state *state)
{
	for (size_t i = 0; i < sizeof(of_worker) / sizeof(of_worker[0]); i++) {
		if (strcmp(of_worker[i].name, name))
			continue;
		*state = of_worker[i].state;
		return true;
	}
	return false;
}
