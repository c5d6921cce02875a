/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * The hypervisor interface (TLFS): CPUID leaves, synthetic MSRs, hypercalls,
 * SynIC pages, reference TSC page, synthetic timers.
 * Source: TLFS chapters feature-discovery, hypercall-interface,
 * inter-partition-communication, timers.
 */
#ifndef HV_REG_H
#define HV_REG_H

#include "hv_types.h"

/* ---- CPUID (TLFS feature-discovery) -------------------------------------- */
#define HV_CPUID_VENDOR          0x40000000u /* EAX max leaf, EBX ECX EDX "Microsoft Hv" */
#define HV_CPUID_INTERFACE       0x40000001u /* EAX "Hv#1" */
#define HV_CPUID_VERSION         0x40000002u
#define HV_CPUID_FEATURES        0x40000003u
#define HV_CPUID_RECOMMENDATIONS 0x40000004u
#define HV_CPUID_LIMITS          0x40000005u
#define HV_CPUID_HW_FEATURES     0x40000006u

#define HV_VENDOR_EBX    0x7263694Du /* "Micr" */
#define HV_VENDOR_ECX    0x666F736Fu /* "osof" */
#define HV_VENDOR_EDX    0x76482074u /* "t Hv" */
#define HV_INTERFACE_EAX 0x31237648u /* "Hv#1" */
/* HV_CPUID_VERSION: guests print it, nothing depends on it */
#define HV_VERSION_BUILD 14393u
#define HV_VERSION_MAJOR 10u
#define HV_VERSION_MINOR 0u

/* HV_CPUID_FEATURES.EAX: access to MSRs */
#define HV_FEAT_VP_RUNTIME     (1u << 0)
#define HV_FEAT_TIME_REF_COUNT (1u << 1)
#define HV_FEAT_SYNIC          (1u << 2)
#define HV_FEAT_STIMER         (1u << 3)
#define HV_FEAT_APIC_MSRS      (1u << 4)
#define HV_FEAT_HYPERCALL      (1u << 5)
#define HV_FEAT_VP_INDEX       (1u << 6)
#define HV_FEAT_RESET          (1u << 7)
#define HV_FEAT_REFERENCE_TSC  (1u << 9)
#define HV_FEAT_FREQUENCY_MSRS (1u << 11)
#define HV_FEAT_TSC_INVARIANT  (1u << 15)
/* HV_CPUID_FEATURES.EBX: access to hypercalls */
#define HV_PRIV_POST_MESSAGES (1u << 4)
#define HV_PRIV_SIGNAL_EVENTS (1u << 5)
#define HV_PRIV_VP_REGISTERS  (1u << 17)
#define HV_PRIV_EXT_CALLS     (1u << 20)
/* HV_CPUID_FEATURES.EDX */
#define HV_MISC_XMM_INPUT      (1u << 4)
#define HV_MISC_FREQUENCY_MSRS (1u << 8)
#define HV_MISC_CRASH_MSRS     (1u << 10)
#define HV_MISC_STIMER_DIRECT  (1u << 19)
/* HV_CPUID_RECOMMENDATIONS.EAX */
#define HV_HINT_RELAXED_TIMING (1u << 5)
#define HV_HINT_NO_AUTO_EOI    (1u << 9)
/* HV_CPUID_RECOMMENDATIONS.EBX: retries before HV_CALL_NOTIFY_LONG_SPIN_WAIT */
#define HV_SPIN_RETRIES_NEVER 0xFFFFFFFFu

/* ---- synthetic MSRs ------------------------------------------------------ */
#define HV_MSR_FIRST 0x40000000u
#define HV_MSR_LAST  0x40001FFFu /* the range that goes to hyper/hv */

#define HV_MSR_GUEST_OS_ID       0x40000000u
#define HV_MSR_HYPERCALL         0x40000001u
#define HV_MSR_VP_INDEX          0x40000002u
#define HV_MSR_RESET             0x40000003u
#define HV_MSR_VP_RUNTIME        0x40000010u
#define HV_MSR_TIME_REF_COUNT    0x40000020u
#define HV_MSR_REFERENCE_TSC     0x40000021u
#define HV_MSR_TSC_FREQUENCY     0x40000022u
#define HV_MSR_APIC_FREQUENCY    0x40000023u
#define HV_MSR_EOI               0x40000070u
#define HV_MSR_ICR               0x40000071u
#define HV_MSR_TPR               0x40000072u
#define HV_MSR_VP_ASSIST_PAGE    0x40000073u
#define HV_MSR_SCONTROL          0x40000080u
#define HV_MSR_SVERSION          0x40000081u
#define HV_MSR_SIEFP             0x40000082u
#define HV_MSR_SIMP              0x40000083u
#define HV_MSR_EOM               0x40000084u
#define HV_MSR_SINT0             0x40000090u
#define HV_MSR_SINT15            0x4000009Fu
#define HV_MSR_STIMER0_CONFIG    0x400000B0u
#define HV_MSR_STIMER0_COUNT     0x400000B1u
#define HV_MSR_STIMER3_COUNT     0x400000B7u
#define HV_MSR_GUEST_IDLE        0x400000F0u
#define HV_MSR_CRASH_P0          0x40000100u
#define HV_MSR_CRASH_P4          0x40000104u
#define HV_MSR_CRASH_CTL         0x40000105u
#define HV_MSR_TSC_INVARIANT_CTL 0x40000118u

/* Fields common to HYPERCALL, REFERENCE_TSC, VP_ASSIST_PAGE, SIEFP, SIMP */
#define HV_MSR_PAGE_ENABLE      1ull
#define HV_MSR_PAGE_PFN_MASK    (~0xFFFull)
#define HV_MSR_HYPERCALL_LOCKED 2ull
#define HV_VP_ASSIST_RSVD_MASK  0xFFEull
#define HV_RESET_NOW            1ull
#define HV_GUEST_OS_OPEN_SOURCE (1ull << 63) /* GUEST_OS_ID */
#define HV_TSC_INVARIANT_EXPOSE 1ull

#define HV_SINT_VECTOR_MASK  0xFFull
#define HV_SINT_MASKED       (1ull << 16)
#define HV_SINT_AUTO_EOI     (1ull << 17)
#define HV_SINT_POLLING      (1ull << 18)
#define HV_SINT_COUNT        16u
#define HV_SINT_RESET_VALUE  HV_SINT_MASKED
#define HV_SINT_FIRST_VECTOR 16u
#define HV_SYNIC_VERSION     1u
#define HV_SCONTROL_ENABLE   1ull

#define HV_CRASH_CTL_NOTIFY      (1ull << 63)
#define HV_CRASH_CTL_MESSAGE     (1ull << 62)
#define HV_CRASH_PARAMS          5u
#define HV_CRASH_PARAM_TEXT_GPA  3u /* meaning with HV_CRASH_CTL_MESSAGE */
#define HV_CRASH_PARAM_TEXT_SIZE 4u

/* ---- hypercalls (TLFS hypercall-interface) ------------------------------- */
#define HV_CALL_FLUSH_SPACE            0x0002u /* HvFlushVirtualAddressSpace */
#define HV_CALL_FLUSH_LIST             0x0003u /* HvFlushVirtualAddressList */
#define HV_CALL_NOTIFY_LONG_SPIN_WAIT  0x0008u
#define HV_CALL_SEND_IPI               0x000Bu /* HvSendSyntheticClusterIpi */
#define HV_CALL_FLUSH_SPACE_EX         0x0013u
#define HV_CALL_FLUSH_LIST_EX          0x0014u
#define HV_CALL_SEND_IPI_EX            0x0015u
#define HV_CALL_GET_PARTITION_ID       0x0046u
#define HV_CALL_GET_VP_REGISTERS       0x0050u
#define HV_CALL_SET_VP_REGISTERS       0x0051u
#define HV_CALL_POST_MESSAGE           0x005Cu
#define HV_CALL_SIGNAL_EVENT           0x005Du
#define HV_EXT_CALL_QUERY_CAPABILITIES 0x8001u
#define HV_EXT_CALL_MEMORY_HEAT_HINT   0x8003u

#define HV_HCALL_CODE_MASK       0xFFFFull
#define HV_HCALL_FAST            (1ull << 16)
#define HV_HCALL_VARHEAD_SHIFT   17
#define HV_HCALL_VARHEAD_MASK    (0x3FFull << 17)
#define HV_HCALL_REP_COUNT_SHIFT 32
#define HV_HCALL_REP_START_SHIFT 48
#define HV_HCALL_REP_MASK        0xFFFull
#define HV_HCALL_STATUS_MASK     0xFFFFull /* of the result; reps done are where the count is */
#define HV_HCALL_FAST_SIZE       112u      /* bytes of input in RDX, R8, XMM0 to XMM5 */
#define HV_HCALL_XMM_SIZE        96u
#define HV_HCALL_RSVD_MASK       0xF000F000F8000000ull /* RsvdZ groups and the nested bit 31 */

/* Result status (bits 15:0 of RAX). A type of its own: never mix with errno. */
enum hv_status {
	HV_STATUS_SUCCESS = 0x0000,
	HV_STATUS_INVALID_HYPERCALL_CODE = 0x0002,
	HV_STATUS_INVALID_HYPERCALL_INPUT = 0x0003,
	HV_STATUS_INVALID_ALIGNMENT = 0x0004,
	HV_STATUS_INVALID_PARAMETER = 0x0005,
	HV_STATUS_ACCESS_DENIED = 0x0006,
	HV_STATUS_INSUFFICIENT_MEMORY = 0x000B,
	HV_STATUS_INVALID_PARTITION_ID = 0x000D,
	HV_STATUS_INVALID_VP_INDEX = 0x000E,
	HV_STATUS_INVALID_PORT_ID = 0x0011,
	HV_STATUS_INVALID_CONNECTION_ID = 0x0012,
	HV_STATUS_INSUFFICIENT_BUFFERS = 0x0013,
	HV_STATUS_INVALID_SYNIC_STATE = 0x0018,
	HV_STATUS_INVALID_REGISTER_VALUE = 0x0050,
};

/* Output of HV_EXT_CALL_QUERY_CAPABILITIES. */
#define HV_EXT_CAP_COLD_DISCARD (1ull << 8) /* HV_EXT_CALL_MEMORY_HEAT_HINT of that type */

/* Followed by ranges of guest pages, 8 bytes each. */
struct hv_input_memory_heat_hint {
	uint64_t type; /* bits 1:0 HV_HEAT_*, the rest 0 */
};
HV_ASSERT_SIZE(struct hv_input_memory_heat_hint, 8);

#define HV_HEAT_COLD_DISCARD 2u /* not in use: contents may be lost */

/* A range: HV_RANGE_MORE_MASK further units follow the first; a unit is a page, the number of the
 * first one from bit 12 on; or with HV_RANGE_LARGE 2 MiB, from bit 21 on. */
#define HV_RANGE_MORE_MASK   0x7FFull
#define HV_RANGE_LARGE       (1ull << 11)
#define HV_RANGE_1_GIB       (1ull << 12) /* with HV_RANGE_LARGE: of 1 GiB */
#define HV_RANGE_LARGE_SHIFT 21
#define HV_RANGE_RSVD_MASK   0x1FE000ull /* with HV_RANGE_LARGE */

#define HV_PARTITION_ID_SELF  0xFFFFFFFFFFFFFFFFull
#define HV_VP_INDEX_SELF      0xFFFFFFFEu
#define HV_CONNECTION_ID_MASK 0x00FFFFFFu

#define HV_MESSAGE_PAYLOAD_MAX 240u
#define HV_EVENT_FLAGS_COUNT   2048u
#define HV_EVENT_FLAG_WORDS    (HV_EVENT_FLAGS_COUNT / 32)

struct hv_input_post_message {
	uint32_t connection_id; /* bits 31:24 reserved */
	uint32_t reserved;
	uint32_t message_type; /* HV_MESSAGE_TYPE_*: non-zero, bit 31 clear */
	uint32_t payload_size; /* <= HV_MESSAGE_PAYLOAD_MAX */
	uint8_t payload[HV_MESSAGE_PAYLOAD_MAX];
};
HV_ASSERT_SIZE(struct hv_input_post_message, 256);

struct hv_input_signal_event {
	uint32_t connection_id;
	uint16_t flag_number;
	uint16_t reserved;
};
HV_ASSERT_SIZE(struct hv_input_signal_event, 8);

/* The VPs that a call is for (TLFS hv_vp_set): one 64-bit bank for each bit of bank_mask follows,
 * as the call's variable header; bank b has the VPs 64 * b and up. */
#define HV_VP_SET_SPARSE 0u
#define HV_VP_SET_ALL    1u
struct hv_vp_set {
	uint64_t format; /* HV_VP_SET_* */
	uint64_t bank_mask;
};
HV_ASSERT_SIZE(struct hv_vp_set, 16);

#define HV_FLUSH_ALL_VPS    (1ull << 0)
#define HV_FLUSH_ALL_SPACES (1ull << 1)
#define HV_FLUSH_NON_GLOBAL (1ull << 2) /* not with lists */
#define HV_FLUSH_EXTENDED   (1ull << 3) /* another form of ranges; a feature of its own */

/* Of both flush calls. Those with lists repeat over 8 bytes: address, or'ed with the number of
 * further pages. */
struct hv_input_flush {
	uint64_t address_space; /* CR3 */
	uint64_t flags;         /* HV_FLUSH_* */
	uint64_t vp_mask;       /* VPs 0 to 63 */
};
HV_ASSERT_SIZE(struct hv_input_flush, 24);

struct hv_input_flush_ex {
	uint64_t address_space;
	uint64_t flags;
	struct hv_vp_set vps;
};
HV_ASSERT_SIZE(struct hv_input_flush_ex, 32);

#define HV_IPI_FIRST_VECTOR 0x10u
#define HV_IPI_LAST_VECTOR  0xFFu

struct hv_input_send_ipi {
	uint32_t vector;
	uint8_t target_vtl;
	uint8_t reserved[3];
	uint64_t vp_mask; /* VPs 0 to 63 */
};
HV_ASSERT_SIZE(struct hv_input_send_ipi, 16);

struct hv_input_send_ipi_ex {
	uint32_t vector;
	uint8_t target_vtl;
	uint8_t reserved[3];
	struct hv_vp_set vps;
};
HV_ASSERT_SIZE(struct hv_input_send_ipi_ex, 24);

/* Get repeats over 4 bytes, the register's name, and gives 16 bytes each; Set repeats over
 * struct hv_register_assoc. */
struct hv_input_vp_registers {
	uint64_t partition_id; /* HV_PARTITION_ID_SELF */
	uint32_t vp_index;     /* or HV_VP_INDEX_SELF */
	uint8_t input_vtl;     /* HV_INPUT_VTL_* */
	uint8_t reserved[3];
};
HV_ASSERT_SIZE(struct hv_input_vp_registers, 16);
#define HV_INPUT_VTL_MASK 0x0Fu
#define HV_INPUT_VTL_USE  0x10u

struct hv_register_value {
	uint64_t low, high;
};
HV_ASSERT_SIZE(struct hv_register_value, 16);

struct hv_register_assoc {
	uint32_t name; /* HV_REGISTER_* */
	uint32_t reserved[3];
	struct hv_register_value value;
};
HV_ASSERT_SIZE(struct hv_register_assoc, 32);

#define HV_REGISTER_HYPERVISOR_VERSION 0x00000100u /* the CPUID leaf, EAX lowest */
#define HV_REGISTER_FEATURES           0x00000200u /* HV_CPUID_FEATURES */
#define HV_REGISTER_RECOMMENDATIONS    0x00000201u
#define HV_REGISTER_LIMITS             0x00000202u
#define HV_REGISTER_HW_FEATURES        0x00000203u
#define HV_REGISTER_CRASH_P0           0x00000210u
#define HV_REGISTER_CRASH_CTL          0x00000215u
#define HV_REGISTER_GUEST_OS_ID        0x00090002u
#define HV_REGISTER_VP_INDEX           0x00090003u
#define HV_REGISTER_TIME_REF_COUNT     0x00090004u
#define HV_REGISTER_VP_ASSIST_PAGE     0x00090013u
#define HV_REGISTER_REFERENCE_TSC      0x00090017u
#define HV_REGISTER_SINT0              0x000A0000u
#define HV_REGISTER_SCONTROL           0x000A0010u
#define HV_REGISTER_SVERSION           0x000A0011u
#define HV_REGISTER_SIEFP              0x000A0012u
#define HV_REGISTER_SIMP               0x000A0013u
#define HV_REGISTER_EOM                0x000A0014u
#define HV_REGISTER_STIMER0_CONFIG     0x000B0000u /* then its count, then those of the others */
#define HV_REGISTER_STIMER3_COUNT      0x000B0007u

/* ---- SynIC pages --------------------------------------------------------- */
#define HV_MESSAGE_TYPE_NONE     0x00000000u
#define HV_MESSAGE_TYPE_VMBUS    0x00000001u
#define HV_MESSAGE_TYPE_TIMER    0x80000010u
#define HV_MESSAGE_TYPE_RESERVED 0x80000000u /* bit 31: only the hypervisor's own messages */
#define HV_MESSAGE_FLAG_PENDING  0x01u

/* One slot of the message page (SIMP); slot n belongs to SINT n. */
struct hv_message {
	uint32_t type; /* HV_MESSAGE_TYPE_*; 0 = slot empty, written last */
	uint8_t payload_size;
	uint8_t flags; /* HV_MESSAGE_FLAG_* */
	uint16_t reserved;
	uint64_t sender; /* port id; 0 for timers */
	uint8_t payload[HV_MESSAGE_PAYLOAD_MAX];
};
HV_ASSERT_SIZE(struct hv_message, 256);
HV_ASSERT_OFFSET(struct hv_message, flags, 5);
HV_ASSERT_OFFSET(struct hv_message, payload, 16);

struct hv_message_page {
	struct hv_message sint[HV_SINT_COUNT];
};
HV_ASSERT_SIZE(struct hv_message_page, 4096);

/* Event page (SIEFP): flag k of SINT n is byte n*256 + k/8, bit k%8. */
struct hv_event_flags_page {
	uint32_t sint[HV_SINT_COUNT][HV_EVENT_FLAG_WORDS];
};
HV_ASSERT_SIZE(struct hv_event_flags_page, 4096);

struct hv_timer_message_payload {
	uint32_t timer_index;
	uint32_t reserved;
	uint64_t expiration_time; /* 100 ns */
	uint64_t delivery_time;   /* 100 ns */
};
HV_ASSERT_SIZE(struct hv_timer_message_payload, 24);

/* ---- reference TSC page (TLFS timers) ------------------------------------ */
struct hv_reference_tsc_page {
	uint32_t sequence; /* 0: invalid, use HV_MSR_TIME_REF_COUNT; 0xFFFFFFFF never used */
	uint32_t reserved;
	uint64_t scale;
	int64_t offset;
	uint8_t reserved2[4072];
};
HV_ASSERT_SIZE(struct hv_reference_tsc_page, 4096);

/* ---- synthetic timers ---------------------------------------------------- */
#define HV_STIMER_COUNT        4u
#define HV_STIMER_ENABLE       (1ull << 0)
#define HV_STIMER_PERIODIC     (1ull << 1)
#define HV_STIMER_LAZY         (1ull << 2)
#define HV_STIMER_AUTO_ENABLE  (1ull << 3)
#define HV_STIMER_VECTOR_SHIFT 4
#define HV_STIMER_VECTOR_MASK  (0xFFull << 4)
#define HV_STIMER_DIRECT       (1ull << 12)
#define HV_STIMER_SINT_SHIFT   16
#define HV_STIMER_SINT_MASK    (0xFull << 16)
#define HV_STIMER_CONFIG_VALID 0x00000000000F1FFFull

#endif
