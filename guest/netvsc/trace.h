/* SPDX-License-Identifier: GPL-2.0-only */
/* Tracepoints: /sys/kernel/tracing/events/netvsc_ko. The kernel's own driver has netvsc. */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM netvsc_ko

#if !defined(NETVSC_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define NETVSC_TRACE_H

#include <linux/tracepoint.h>

/* clang-format off */
TRACE_EVENT(netvsc_poll,
	TP_PROTO(unsigned int chan, int done, int budget),
	TP_ARGS(chan, done, budget),
	TP_STRUCT__entry(
		__field(unsigned int, chan)
		__field(int, done)
		__field(int, budget)
	),
	TP_fast_assign(
		__entry->chan = chan;
		__entry->done = done;
		__entry->budget = budget;
	),
	TP_printk("chan=%u done=%d budget=%d", __entry->chan, __entry->done, __entry->budget)
);

TRACE_EVENT(netvsc_control,
	TP_PROTO(u32 type, u32 what, int result),
	TP_ARGS(type, what, result),
	TP_STRUCT__entry(
		__field(u32, type)
		__field(u32, what)
		__field(int, result)
	),
	TP_fast_assign(
		__entry->type = type;
		__entry->what = what;
		__entry->result = result;
	),
	TP_printk("type=%x what=%x result=%d", __entry->type, __entry->what, __entry->result)
);

#endif

#undef TRACE_INCLUDE_PATH
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_PATH guest/netvsc
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
