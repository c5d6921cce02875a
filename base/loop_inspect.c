/* SPDX-License-Identifier: MIT */
#include "base/counter.h"
#include "base/inspect.h"
#include "base/loop.h"

void loop_inspect(const struct loop *loop, struct inspect *i)
{
	inspect_text(i, "name", loop->name);
	inspect_u64(i, "turns", counter_get(&loop->turns));
	inspect_bool(i, "polling", counter_get(&loop->poll_max_ns) != 0);
	inspect_u64(i, "poll_window_ns", counter_get(&loop->poll_ns));
	inspect_u64(i, "poll_window_max_ns", counter_get(&loop->poll_max_ns));
}
