/* SPDX-License-Identifier: MIT */
/*
 * A NIC driver for the guest of guest.h: guest/netvsc/proto.c on real rings.
 *
 * It is strict: a packet that no guest would take, a completion of nothing or a
 * reply without a request ends the program. Frames it receives are put
 * together from RSC fragments and given to `rx` with what the host said of them.
 */
#ifndef SUPPORT_GUEST_NIC_H
#define SUPPORT_GUEST_NIC_H

#include "guest/netvsc/proto.h"
#include "tests/support/guest.h"

#define GUEST_NIC_CHANNELS 8u
#define GUEST_NIC_SLOTS    128u
#define GUEST_NIC_SLOT     (80u << 10) /* bytes of guest memory of one packet */
#define GUEST_NIC_RECV     (4u << 20)
#define GUEST_NIC_SEND     (256u << 10)
#define GUEST_NIC_FRAME    70000u

struct guest_nic_frame {
	uint8_t bytes[GUEST_NIC_FRAME];
	uint32_t length;
	uint32_t fragments; /* ranges it came in */
	struct netvsc_rx info;
	uint32_t channel;
};

/* How a packet lies in memory. */
enum guest_nic_layout {
	NIC_LAYOUT_PAGES,   /* header and data behind each other, one range per page */
	NIC_LAYOUT_RANGES,  /* header in one range, data in another of several pages */
	NIC_LAYOUT_SECTION, /* all in a section of the send buffer */
	NIC_LAYOUT_PARTIAL, /* header in a section, data in pages */
	NIC_LAYOUTS,
};

struct guest_nic {
	struct guest *g;
	uint8_t instance;
	struct netvsc_conn conn;
	struct guest_chan channels[GUEST_NIC_CHANNELS];
	uint32_t channel_count;
	uint32_t recv_gpadl, send_gpadl;
	uint64_t recv_gpa, send_gpa; /* pages in reverse order: nothing is contiguous */
	uint64_t slots_gpa;
	struct {
		bool busy, section;
		uint32_t channel, section_index;
	} slots[GUEST_NIC_SLOTS];
	uint64_t sections_used; /* bit n: section n of the send buffer */
	uint32_t busy;
	uint32_t last_status; /* of a completion */
	uint64_t failed;      /* completions with another status than success */
	uint64_t completions, frames, transfers, indications, tables;
	uint32_t last_indication, indication_length;
	uint8_t indication_info[256];
	uint32_t table[NVSP_TABLE_ENTRIES];
	bool answers_early; /* it has answered packets that it has not read */
	bool tolerant;      /* answers without a request are legal: a fuzzer asks at random */
	bool hold;          /* transfers are not completed */
	uint32_t held_count;
	struct {
		uint32_t channel;
		uint64_t id;
	} held[512];
	void (*rx)(struct guest_nic *n, const struct guest_nic_frame *frame);
	void *ctx;
	/* a control message that came */
	bool control_there, nvsp_there;
	uint32_t control_length, nvsp_length;
	uint8_t control[4096], nvsp[64];
	struct guest_nic_frame frame;
	uint8_t packet[8192];
};

void guest_nic_init(struct guest_nic *n, struct guest *g, uint8_t instance);
/* The primary, the connection from version `newest` down, the sub-channels; filter 0. */
void guest_nic_open(struct guest_nic *n, uint32_t newest, uint32_t sub_channels, bool rsc);
/* Only the channel and the GPADLs. */
void guest_nic_open_primary(struct guest_nic *n);
/* A GPADL over pages in reverse order, and its end, which is waited for. */
uint32_t guest_nic_gpadl(struct guest_nic *n, uint64_t gpa, uint32_t bytes);
void guest_nic_tear_down(struct guest_nic *n, uint32_t gpadl);
/* One step of the connection and its answer: 0 or what netvsc_answer() says. */
int guest_nic_step(struct guest_nic *n);
/* HALT, revoke, close. */
void guest_nic_close(struct guest_nic *n);
/* Without a word. */
void guest_nic_close_channels(struct guest_nic *n);

/* An RNDIS message on the control channel, without waiting. */
void guest_nic_control(struct guest_nic *n, const void *bytes, uint32_t len);
/* False: no room in the ring. */
bool guest_nic_try_control(struct guest_nic *n, const void *bytes, uint32_t len);
/* The next control message that is not an indication, parsed. */
struct netvsc_control guest_nic_reply(struct guest_nic *n);
/* QUERY and SET, waited for: RNDIS_STATUS_*. info: valid until the next one. */
uint32_t guest_nic_query(struct guest_nic *n, uint32_t oid, const uint8_t **info, uint32_t *len);
uint32_t guest_nic_set(struct guest_nic *n, uint32_t oid, const void *info, uint32_t len);
void guest_nic_set_filter(struct guest_nic *n, uint32_t filter);
/* RSS on, all channels in turn. */
void guest_nic_set_rss(struct guest_nic *n);
/* An NVSP message, in-band; wants: a completion is waited for and copied to *reply. Its length. */
uint32_t guest_nic_nvsp(
	struct guest_nic *n, const void *message, uint32_t len, bool wants, void *reply);

/* One frame. False: no slot, or no room in the ring. */
bool guest_nic_send(struct guest_nic *n, uint32_t channel, enum guest_nic_layout layout,
	const struct netvsc_tx *tx, const uint8_t *bytes);
/* Bytes as they are, as the stream of a packet in a section: a guest that lies. */
bool guest_nic_send_raw(struct guest_nic *n, uint32_t channel, uint32_t index, uint32_t size,
	const void *bytes, uint32_t len);

/* Takes what is there; how many packets. */
uint32_t guest_nic_poll(struct guest_nic *n);
void guest_nic_wait_sent(struct guest_nic *n);
void guest_nic_wait_frames(struct guest_nic *n, uint64_t frames);
/* Completes the transfers that were held back. */
void guest_nic_release(struct guest_nic *n);

#endif
