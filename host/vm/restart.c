/* SPDX-License-Identifier: MIT */
#include "vm/restart.h"

#include "base/log.h"

void restart_began(struct restart *r, uint64_t now_ns)
{
	r->began_ns = now_ns;
}

static uint64_t delay_of(uint32_t beyond)
{
	uint64_t delay = RESTART_DELAY_NS;

	while (--beyond && delay < RESTART_DELAY_MAX_NS)
		delay *= 2;
	return delay < RESTART_DELAY_MAX_NS ? delay : RESTART_DELAY_MAX_NS;
}

/* Logged when the waiting begins, not each time. */
uint64_t restart_delay(struct restart *r, uint64_t now_ns)
{
	if (now_ns - r->began_ns >= RESTART_SHORT_NS)
		r->short_boots = 0;
	else if (r->short_boots < UINT32_MAX)
		r->short_boots++;
	if (r->short_boots <= RESTARTS_AT_ONCE)
		return 0;
	if (r->short_boots == RESTARTS_AT_ONCE + 1)
		log_event(LOG_WARN,
			"the guest resets again and again within %llu s: each restart waits, up to %llu s",
			RESTART_SHORT_NS / 1000000000, RESTART_DELAY_MAX_NS / 1000000000);
	return delay_of(r->short_boots - RESTARTS_AT_ONCE);
}
