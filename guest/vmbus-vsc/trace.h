/* SPDX-License-Identifier: GPL-2.0-only */
/* Tracepoints: /sys/kernel/tracing/events/vmbus_vsc. Each message, both ways. */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM vmbus_vsc

#if !defined(VMBUS_VSC_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define VMBUS_VSC_TRACE_H

#include <linux/tracepoint.h>

/* clang-format off */
#ifndef VMBUS_VSC_TRACE_WORD
#define VMBUS_VSC_TRACE_WORD
/* A word of a message, or 0 behind its end. Most messages have a relid or GPADL at byte 8 and 12. */
static inline u32 trace_word(const void *msg, u32 len, u32 at)
{
	u32 word = 0;

	if (at + sizeof(word) <= len)
		memcpy(&word, msg + at, sizeof(word));
	return word;
}
#endif

TRACE_EVENT(vmbus_vsc_message,
	TP_PROTO(const void *msg, u32 len),
	TP_ARGS(msg, len),
	TP_STRUCT__entry(
		__field(u32, type)
		__field(u32, first)
		__field(u32, second)
		__field(u32, len)
	),
	TP_fast_assign(
		__entry->type = trace_word(msg, len, 0);
		__entry->first = trace_word(msg, len, 8);
		__entry->second = trace_word(msg, len, 12);
		__entry->len = len;
	),
	TP_printk("type=%u words=%x,%x bytes=%u",
		__entry->type, __entry->first, __entry->second, __entry->len)
);

TRACE_EVENT(vmbus_vsc_post,
	TP_PROTO(const void *msg, u32 len, u32 connection_id, int err),
	TP_ARGS(msg, len, connection_id, err),
	TP_STRUCT__entry(
		__field(u32, type)
		__field(u32, first)
		__field(u32, second)
		__field(u32, len)
		__field(u32, connection_id)
		__field(int, err)
	),
	TP_fast_assign(
		__entry->type = trace_word(msg, len, 0);
		__entry->first = trace_word(msg, len, 8);
		__entry->second = trace_word(msg, len, 12);
		__entry->len = len;
		__entry->connection_id = connection_id;
		__entry->err = err;
	),
	TP_printk("type=%u words=%x,%x bytes=%u connection=%u err=%d",
		__entry->type, __entry->first, __entry->second, __entry->len,
		__entry->connection_id, __entry->err)
);
/* clang-format on */

#endif

/* clang-format off */
#undef TRACE_INCLUDE_PATH
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_PATH guest/vmbus-vsc
#define TRACE_INCLUDE_FILE trace
/* clang-format on */
#include <trace/define_trace.h>
