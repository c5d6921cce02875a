/* SPDX-License-Identifier: MIT */
#include "mgmt/manager/policy.h"

#include <stddef.h>
#include <string.h>

const char *const policy_names[] = {
	[POLICY_NEVER] = "never",
	[POLICY_ON_FAILURE] = "on-failure",
	[POLICY_ALWAYS] = "always",
	NULL,
};

int policy_of(const char *name)
{
	for (int i = 0; policy_names[i]; i++)
		if (!strcmp(policy_names[i], name))
			return i;
	return -1;
}

static uint64_t delay(uint32_t row)
{
	uint64_t ns = POLICY_DELAY_NS;

	while (row-- > 1 && ns < POLICY_DELAY_MAX_NS)
		ns *= 2;
	return ns < POLICY_DELAY_MAX_NS ? ns : POLICY_DELAY_MAX_NS;
}

bool policy_restarts(enum policy policy, enum worker_end end, uint64_t ran_ns, struct restarts *r,
	uint64_t *delay_ns)
{
	if (end == WORKER_WANTED || policy == POLICY_NEVER ||
		(policy == POLICY_ON_FAILURE && end == WORKER_DONE)) {
		r->row = 0;
		return false;
	}
	if (ran_ns >= POLICY_STEADY_NS)
		r->row = 0;
	if (r->row < UINT32_MAX)
		r->row++;
	*delay_ns = delay(r->row);
	return true;
}
