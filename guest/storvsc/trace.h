/* SPDX-License-Identifier: GPL-2.0-only */
/* Tracepoints: /sys/kernel/tracing/events/storvsc. */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM storvsc

#if !defined(STORVSC_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define STORVSC_TRACE_H

#include <linux/tracepoint.h>

/* clang-format off */
TRACE_EVENT(storvsc_submit,
	TP_PROTO(unsigned int chan, u64 id, u8 lun, u8 opcode, u32 bytes),
	TP_ARGS(chan, id, lun, opcode, bytes),
	TP_STRUCT__entry(
		__field(unsigned int, chan)
		__field(u64, id)
		__field(u8, lun)
		__field(u8, opcode)
		__field(u32, bytes)
	),
	TP_fast_assign(
		__entry->chan = chan;
		__entry->id = id;
		__entry->lun = lun;
		__entry->opcode = opcode;
		__entry->bytes = bytes;
	),
	TP_printk("chan=%u id=%llx lun=%u opcode=%02x bytes=%u",
		__entry->chan, __entry->id, __entry->lun, __entry->opcode, __entry->bytes)
);

TRACE_EVENT(storvsc_complete,
	TP_PROTO(unsigned int chan, u64 id, u8 srb_status, u8 scsi_status, u32 transferred, u64 ns),
	TP_ARGS(chan, id, srb_status, scsi_status, transferred, ns),
	TP_STRUCT__entry(
		__field(unsigned int, chan)
		__field(u64, id)
		__field(u8, srb_status)
		__field(u8, scsi_status)
		__field(u32, transferred)
		__field(u64, ns)
	),
	TP_fast_assign(
		__entry->chan = chan;
		__entry->id = id;
		__entry->srb_status = srb_status;
		__entry->scsi_status = scsi_status;
		__entry->transferred = transferred;
		__entry->ns = ns;
	),
	TP_printk("chan=%u id=%llx srb=%02x scsi=%02x transferred=%u ns=%llu",
		__entry->chan, __entry->id, __entry->srb_status, __entry->scsi_status,
		__entry->transferred, __entry->ns)
);

TRACE_EVENT(storvsc_ring_full,
	TP_PROTO(unsigned int chan),
	TP_ARGS(chan),
	TP_STRUCT__entry(
		__field(unsigned int, chan)
	),
	TP_fast_assign(
		__entry->chan = chan;
	),
	TP_printk("chan=%u", __entry->chan)
);

TRACE_EVENT(storvsc_timeout,
	TP_PROTO(unsigned int chan, u64 id, u8 lun, u8 opcode),
	TP_ARGS(chan, id, lun, opcode),
	TP_STRUCT__entry(
		__field(unsigned int, chan)
		__field(u64, id)
		__field(u8, lun)
		__field(u8, opcode)
	),
	TP_fast_assign(
		__entry->chan = chan;
		__entry->id = id;
		__entry->lun = lun;
		__entry->opcode = opcode;
	),
	TP_printk("chan=%u id=%llx lun=%u opcode=%02x",
		__entry->chan, __entry->id, __entry->lun, __entry->opcode)
);

#endif

#undef TRACE_INCLUDE_PATH
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_PATH guest/storvsc
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
