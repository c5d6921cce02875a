/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * RNDIS: control messages, data packets with per-packet information (PPI), OIDs.
 * Offsets of data and of information buffers count from byte 8 of the message.
 * Source: spec sheet "netvsp" sections 5 to 8; Linux drivers/net/hyperv/hyperv_net.h.
 */
#ifndef RNDIS_REG_H
#define RNDIS_REG_H

#include "hv_types.h"

enum rndis_type {
	RNDIS_PACKET = 1,
	RNDIS_INIT = 2,
	RNDIS_HALT = 3,
	RNDIS_QUERY = 4,
	RNDIS_SET = 5,
	RNDIS_RESET = 6,
	RNDIS_INDICATE = 7,
	RNDIS_KEEPALIVE = 8,
	RNDIS_SET_EX = 9,
};
#define RNDIS_COMPLETE 0x80000000u /* added to the type of the request */

#define RNDIS_STATUS_SUCCESS           0x00000000u
#define RNDIS_STATUS_MEDIA_CONNECT     0x4001000Bu
#define RNDIS_STATUS_MEDIA_DISCONNECT  0x4001000Cu
#define RNDIS_STATUS_LINK_SPEED_CHANGE 0x40010013u
#define RNDIS_STATUS_NETWORK_CHANGE    0x40010018u
#define RNDIS_STATUS_OFFLOAD_CONFIG    0x40020006u
#define RNDIS_STATUS_FAILURE           0xC0000001u
#define RNDIS_STATUS_RESOURCES         0xC000009Au
#define RNDIS_STATUS_NOT_SUPPORTED     0xC00000BBu
#define RNDIS_STATUS_BAD_VERSION       0xC0010004u
#define RNDIS_STATUS_INVALID_LENGTH    0xC0010014u
#define RNDIS_STATUS_INVALID_DATA      0xC0010015u
#define RNDIS_STATUS_BUFFER_TOO_SHORT  0xC0010016u

#define RNDIS_VERSION_MAJOR 1u
#define RNDIS_VERSION_MINOR 0u
#define RNDIS_OFFSET_BASE   8u /* what offsets count from */

/* ---- control messages ---------------------------------------------------- */

struct rndis_header {
	uint32_t type; /* enum rndis_type */
	uint32_t length;
};
HV_ASSERT_SIZE(struct rndis_header, 8);

struct rndis_init {
	struct rndis_header header;
	uint32_t request_id;
	uint32_t major, minor;
	uint32_t transfer_max;
};
HV_ASSERT_SIZE(struct rndis_init, 24);

struct rndis_init_complete {
	struct rndis_header header;
	uint32_t request_id;
	uint32_t status;
	uint32_t major, minor;
	uint32_t device_flags; /* 1: connectionless */
	uint32_t medium;       /* 0: 802.3 */
	uint32_t packets_max;  /* messages in one packet */
	uint32_t transfer_max;
	uint32_t alignment_shift;
	uint32_t af_offset, af_length;
};
HV_ASSERT_SIZE(struct rndis_init_complete, 52);

/* HALT, RESET and KEEPALIVE as well; RESET has no meaning for the request id. */
struct rndis_request {
	struct rndis_header header;
	uint32_t request_id;
};
HV_ASSERT_SIZE(struct rndis_request, 12);

/* QUERY and SET */
struct rndis_oid_request {
	struct rndis_header header;
	uint32_t request_id;
	uint32_t oid;
	uint32_t info_length;
	uint32_t info_offset;
	uint32_t vc_handle;
};
HV_ASSERT_SIZE(struct rndis_oid_request, 28);

struct rndis_query_complete {
	struct rndis_header header;
	uint32_t request_id;
	uint32_t status;
	uint32_t info_length;
	uint32_t info_offset; /* 16 */
};
HV_ASSERT_SIZE(struct rndis_query_complete, 24);

/* SET and KEEPALIVE. RESET: request_id is the status, status is "addressing reset". */
struct rndis_status_complete {
	struct rndis_header header;
	uint32_t request_id;
	uint32_t status;
};
HV_ASSERT_SIZE(struct rndis_status_complete, 16);

struct rndis_indicate {
	struct rndis_header header;
	uint32_t status;
	uint32_t buffer_length;
	uint32_t buffer_offset; /* 12 */
};
HV_ASSERT_SIZE(struct rndis_indicate, 20);

/* ---- data packets -------------------------------------------------------- */

struct rndis_packet {
	struct rndis_header header;
	uint32_t data_offset;
	uint32_t data_length;
	uint32_t oob_offset, oob_length, oob_count; /* 0 */
	uint32_t ppi_offset;
	uint32_t ppi_length;
	uint32_t vc_handle;
	uint32_t reserved;
};
HV_ASSERT_SIZE(struct rndis_packet, 44);

struct rndis_ppi {
	uint32_t size;   /* of the whole element */
	uint32_t type;   /* RNDIS_PPI_*, RNDIS_PPI_INTERNAL */
	uint32_t offset; /* of its data from the start of the element: 12 */
};
HV_ASSERT_SIZE(struct rndis_ppi, 12);

#define RNDIS_PPI_INTERNAL  0x80000000u
#define RNDIS_PPI_CSUM      0u
#define RNDIS_PPI_LSO       2u
#define RNDIS_PPI_8021Q     6u
#define RNDIS_PPI_HASH      8u
#define RNDIS_PPI_HASH_INFO 9u
#define RNDIS_PPI_RSC_ID    (RNDIS_PPI_INTERNAL | 1u)

/* RNDIS_PPI_CSUM from the guest */
#define RNDIS_CSUM_TX_IPV4      0x01u
#define RNDIS_CSUM_TX_IPV6      0x02u
#define RNDIS_CSUM_TX_TCP       0x04u
#define RNDIS_CSUM_TX_UDP       0x08u
#define RNDIS_CSUM_TX_IP_HEADER 0x10u
#define RNDIS_CSUM_TX_L4_SHIFT  16
/* ... and to it */
#define RNDIS_CSUM_RX_TCP_FAILED      0x01u
#define RNDIS_CSUM_RX_UDP_FAILED      0x02u
#define RNDIS_CSUM_RX_IP_FAILED       0x04u
#define RNDIS_CSUM_RX_TCP_OK          0x08u
#define RNDIS_CSUM_RX_UDP_OK          0x10u
#define RNDIS_CSUM_RX_IP_OK           0x20u
#define RNDIS_CSUM_RX_TCP_VALUE_WRONG 0x80u
#define RNDIS_CSUM_RX_IP_VALUE_WRONG  0x100u

/* RNDIS_PPI_LSO */
#define RNDIS_LSO_MSS_MASK 0xFFFFFu
#define RNDIS_LSO_L4_SHIFT 20
#define RNDIS_LSO_V2       0x40000000u
#define RNDIS_LSO_IPV6     0x80000000u

/* RNDIS_PPI_8021Q */
#define RNDIS_8021Q_PRIORITY_MASK 0x7u
#define RNDIS_8021Q_DEI           0x8u
#define RNDIS_8021Q_VID_SHIFT     4

/* RNDIS_PPI_RSC_ID */
struct rndis_rsc_id {
	uint8_t version; /* 1 */
	uint8_t flags;   /* RNDIS_RSC_* */
	uint16_t packet_id;
};
HV_ASSERT_SIZE(struct rndis_rsc_id, 4);
#define RNDIS_RSC_FRAGMENT 1u
#define RNDIS_RSC_FIRST    2u
#define RNDIS_RSC_LAST     4u

/* ---- OIDs ---------------------------------------------------------------- */

#define OID_GEN_SUPPORTED_LIST          0x00010101u
#define OID_GEN_HARDWARE_STATUS         0x00010102u
#define OID_GEN_MEDIA_SUPPORTED         0x00010103u
#define OID_GEN_MEDIA_IN_USE            0x00010104u
#define OID_GEN_MAXIMUM_LOOKAHEAD       0x00010105u
#define OID_GEN_MAXIMUM_FRAME_SIZE      0x00010106u
#define OID_GEN_LINK_SPEED              0x00010107u
#define OID_GEN_TRANSMIT_BUFFER_SPACE   0x00010108u
#define OID_GEN_RECEIVE_BUFFER_SPACE    0x00010109u
#define OID_GEN_TRANSMIT_BLOCK_SIZE     0x0001010Au
#define OID_GEN_RECEIVE_BLOCK_SIZE      0x0001010Bu
#define OID_GEN_VENDOR_ID               0x0001010Cu
#define OID_GEN_VENDOR_DESCRIPTION      0x0001010Du
#define OID_GEN_CURRENT_PACKET_FILTER   0x0001010Eu
#define OID_GEN_CURRENT_LOOKAHEAD       0x0001010Fu
#define OID_GEN_DRIVER_VERSION          0x00010110u
#define OID_GEN_MAXIMUM_TOTAL_SIZE      0x00010111u
#define OID_GEN_MAC_OPTIONS             0x00010113u
#define OID_GEN_MEDIA_CONNECT_STATUS    0x00010114u
#define OID_GEN_MAXIMUM_SEND_PACKETS    0x00010115u
#define OID_GEN_VENDOR_DRIVER_VERSION   0x00010116u
#define OID_GEN_NETWORK_LAYER_ADDRESSES 0x00010118u
#define OID_GEN_RSS_CAPABILITIES        0x00010203u
#define OID_GEN_RSS_PARAMETERS          0x00010204u
#define OID_GEN_MAX_LINK_SPEED          0x00010206u
#define OID_GEN_LINK_STATE              0x00010207u
#define OID_GEN_MACHINE_NAME            0x0001021Au
#define OID_GEN_CONFIG_PARAMETER        0x0001021Bu
#define OID_GEN_XMIT_OK                 0x00020101u
#define OID_GEN_RCV_OK                  0x00020102u
#define OID_GEN_XMIT_ERROR              0x00020103u
#define OID_GEN_RCV_ERROR               0x00020104u
#define OID_GEN_RCV_NO_BUFFER           0x00020105u
#define OID_GEN_DIRECTED_BYTES_XMIT     0x00020201u
#define OID_GEN_DIRECTED_FRAMES_XMIT    0x00020202u
#define OID_GEN_MULTICAST_BYTES_XMIT    0x00020203u
#define OID_GEN_MULTICAST_FRAMES_XMIT   0x00020204u
#define OID_GEN_BROADCAST_BYTES_XMIT    0x00020205u
#define OID_GEN_BROADCAST_FRAMES_XMIT   0x00020206u
#define OID_GEN_DIRECTED_BYTES_RCV      0x00020207u
#define OID_GEN_DIRECTED_FRAMES_RCV     0x00020208u
#define OID_GEN_MULTICAST_BYTES_RCV     0x00020209u
#define OID_GEN_MULTICAST_FRAMES_RCV    0x0002020Au
#define OID_GEN_BROADCAST_BYTES_RCV     0x0002020Bu
#define OID_GEN_BROADCAST_FRAMES_RCV    0x0002020Cu
#define OID_GEN_FRIENDLY_NAME           0x00020216u
#define OID_GEN_BYTES_RCV               0x00020219u
#define OID_GEN_BYTES_XMIT              0x0002021Au
#define OID_GEN_RCV_DISCARDS            0x0002021Bu
#define OID_GEN_XMIT_DISCARDS           0x0002021Cu
#define OID_802_3_PERMANENT_ADDRESS     0x01010101u
#define OID_802_3_CURRENT_ADDRESS       0x01010102u
#define OID_802_3_MULTICAST_LIST        0x01010103u
#define OID_802_3_MAXIMUM_LIST_SIZE     0x01010104u
#define OID_802_3_RCV_ERROR_ALIGNMENT   0x01020101u
#define OID_802_3_XMIT_ONE_COLLISION    0x01020102u
#define OID_802_3_XMIT_MORE_COLLISIONS  0x01020103u
#define OID_OFFLOAD_ENCAPSULATION       0x0101010Au
#define OID_TCP_OFFLOAD_CURRENT_CONFIG  0xFC01020Bu
#define OID_TCP_OFFLOAD_PARAMETERS      0xFC01020Cu
#define OID_TCP_OFFLOAD_HARDWARE_CAPS   0xFC01020Du

/* OID_GEN_CURRENT_PACKET_FILTER */
#define NDIS_FILTER_DIRECTED      0x01u
#define NDIS_FILTER_MULTICAST     0x02u
#define NDIS_FILTER_ALL_MULTICAST 0x04u
#define NDIS_FILTER_BROADCAST     0x08u
#define NDIS_FILTER_PROMISCUOUS   0x20u

struct ndis_object_header {
	uint8_t type; /* NDIS_OBJECT_* */
	uint8_t revision;
	uint16_t size;
};
HV_ASSERT_SIZE(struct ndis_object_header, 4);

#define NDIS_OBJECT_DEFAULT          0x80u
#define NDIS_OBJECT_RSS_CAPABILITIES 0x88u
#define NDIS_OBJECT_RSS_PARAMETERS   0x89u
#define NDIS_OBJECT_OFFLOAD          0xA7u
#define NDIS_OBJECT_ENCAPSULATION    0xA8u

struct ndis_rss_capabilities {
	struct ndis_object_header header;
	uint32_t flags;
	uint32_t interrupt_messages;
	uint32_t queues;
	uint16_t table_entries;
} HV_PACKED;
HV_ASSERT_SIZE(struct ndis_rss_capabilities, 18);

#define NDIS_RSS_CAP_TOEPLITZ 0x0001u
#define NDIS_RSS_CAP_TCP4     0x0100u
#define NDIS_RSS_CAP_TCP6     0x0200u
#define NDIS_RSS_CAP_UDP4     0x0800u
#define NDIS_RSS_CAP_UDP6     0x1000u

struct ndis_rss_parameters {
	struct ndis_object_header header;
	uint16_t flags; /* NDIS_RSS_* */
	uint16_t base_cpu;
	uint32_t hash_information; /* NDIS_HASH_* */
	uint16_t table_size;       /* bytes */
	uint16_t reserved;
	uint32_t table_offset;
	uint16_t key_size;
	uint16_t reserved2;
	uint32_t key_offset;
	uint32_t mask_offset, mask_count, mask_entry_size;
};
HV_ASSERT_SIZE(struct ndis_rss_parameters, 40);
HV_ASSERT_OFFSET(struct ndis_rss_parameters, table_offset, 16);
HV_ASSERT_OFFSET(struct ndis_rss_parameters, key_offset, 24);

#define NDIS_RSS_HASH_UNCHANGED  0x02u
#define NDIS_RSS_TABLE_UNCHANGED 0x04u
#define NDIS_RSS_KEY_UNCHANGED   0x08u
#define NDIS_RSS_DISABLE         0x10u

#define NDIS_HASH_FUNCTION_MASK 0xFFu
#define NDIS_HASH_TOEPLITZ      0x00001u
#define NDIS_HASH_IPV4          0x00100u
#define NDIS_HASH_TCP4          0x00200u
#define NDIS_HASH_IPV6          0x00400u
#define NDIS_HASH_TCP6          0x01000u
#define NDIS_HASH_UDP4          0x04000u
#define NDIS_HASH_UDP6          0x08000u

/* Encapsulation and flags of one kind of checksum offload. */
struct ndis_csum_offload {
	uint32_t tx4_encapsulation, tx4; /* NDIS_CSUM_* */
	uint32_t rx4_encapsulation, rx4;
	uint32_t tx6_encapsulation, tx6;
	uint32_t rx6_encapsulation, rx6;
};
HV_ASSERT_SIZE(struct ndis_csum_offload, 32);

struct ndis_lso_offload {
	uint32_t encapsulation4, size_max4, segments_min4;
	uint32_t encapsulation6, size_max6, segments_min6, options6;
};
HV_ASSERT_SIZE(struct ndis_lso_offload, 28);

#define NDIS_ENCAPSULATION_802_3 2u
#define NDIS_CSUM_IP_OPTIONS     0x001u /* IPv6: extension headers */
#define NDIS_CSUM_TCP_OPTIONS    0x004u
#define NDIS_CSUM_TCP            0x010u
#define NDIS_CSUM_UDP            0x040u
#define NDIS_CSUM_IP             0x100u /* IPv4 header */
#define NDIS_LSO6_EXTENSIONS     0x1u
#define NDIS_LSO6_TCP_OPTIONS    0x4u

struct ndis_offload {
	struct ndis_object_header header;
	struct ndis_csum_offload csum;
	uint8_t lso1[16];
	uint8_t ipsec1[28];
	struct ndis_lso_offload lso2;
	/* revision 2 */
	uint32_t flags;
	uint8_t ipsec2[32];
	/* revision 3 */
	uint8_t rsc4, rsc6;
	uint8_t reserved[2];
	uint32_t encapsulated, encapsulated_header_max;
};
HV_ASSERT_SIZE(struct ndis_offload, 156);
HV_ASSERT_OFFSET(struct ndis_offload, lso2, 80);
HV_ASSERT_OFFSET(struct ndis_offload, rsc4, 144);

#define NDIS_OFFLOAD_SIZE_1 112u
#define NDIS_OFFLOAD_SIZE_2 144u
#define NDIS_OFFLOAD_SIZE_3 156u

struct ndis_offload_parameters {
	struct ndis_object_header header;
	uint8_t ip4_csum, tcp4_csum, udp4_csum, tcp6_csum, udp6_csum; /* NDIS_PARAMETER_* */
	uint8_t lso1, ipsec1;
	uint8_t lso2_4, lso2_6;
	uint8_t connection4, connection6;
	uint8_t reserved;
	uint32_t flags;
	uint8_t ipsec2, ipsec2_4;
	/* revision 3 */
	uint8_t rsc4, rsc6;
	uint8_t encapsulation, encapsulation_types;
	uint8_t reserved2[2];
};
HV_ASSERT_SIZE(struct ndis_offload_parameters, 28);
HV_ASSERT_OFFSET(struct ndis_offload_parameters, flags, 16);
HV_ASSERT_OFFSET(struct ndis_offload_parameters, rsc4, 22);

#define NDIS_PARAMETER_NO_CHANGE 0u
#define NDIS_PARAMETER_OFF       1u
#define NDIS_PARAMETER_RSC_ON    2u

struct ndis_link_state {
	struct ndis_object_header header;
	uint32_t state;  /* 1 connected, 2 disconnected */
	uint32_t duplex; /* 2 full */
	uint32_t reserved;
	uint64_t tx_bps, rx_bps;
	uint32_t pause, autoneg;
};
HV_ASSERT_SIZE(struct ndis_link_state, 40);

struct ndis_encapsulation {
	struct ndis_object_header header;
	struct {
		uint32_t enabled, type, header_size;
	} ip4, ip6;
};
HV_ASSERT_SIZE(struct ndis_encapsulation, 28);

struct ndis_config_parameter {
	uint32_t name_offset, name_length; /* from the start of this */
	uint32_t type;                     /* 0 number, 2 text */
	uint32_t value_offset, value_length;
};
HV_ASSERT_SIZE(struct ndis_config_parameter, 20);

#endif
