/* SPDX-License-Identifier: MIT */
/*
 * A bus on a bench: a port that records what the guest is sent, devices that
 * answer at once or when the test wants, and a guest that posts messages. Used by the
 * unit tests and the fuzzer of the bus.
 *
 * The port checks every message against the message table, the devices check
 * that the bus asks them things in a sensible order; a violation aborts.
 */
#ifndef SUPPORT_BUS_RIG_H
#define SUPPORT_BUS_RIG_H

#include "base/list.h"
#include "vmbus-host/bus.h"

#define RIG_VPS       4u
#define RIG_RAM_PAGES 512u /* below and above 4 GiB, each */

struct rig;

/* One message the guest was sent. */
struct rig_msg {
	uint32_t vp, sint, len;
	union {
		struct vmbus_msg_header h;
		struct vmbus_offer offer;
		struct vmbus_relid_msg relid;
		struct vmbus_open_result open_result;
		struct vmbus_gpadl_created created;
		struct vmbus_gpadl_torndown torndown;
		struct vmbus_version_response version;
		struct vmbus_tl_connect_result tl_result;
		struct vmbus_modify_channel_response modify;
		uint8_t bytes[VMBUS_MESSAGE_SIZE_MAX];
	};
};

enum rig_dev_state {
	DEV_CLOSED,
	DEV_OPENING,
	DEV_OPEN,
	DEV_RETARGETING,
	DEV_CLOSING,
	DEV_RELEASED,
};

/* The device's side of one offer; lives as long as the rig. */
struct rig_dev {
	struct rig *rig;
	struct rig_dev *primary; /* of a sub-channel */
	struct list link;
	struct bus_channel *chan; /* NULL once released */
	enum rig_dev_state state;
	uint32_t opens, closes, retargets, teardowns, released; /* calls */
	uint32_t target_vp, downstream_page, ring_pages;
	uint8_t user[VMBUS_OPEN_USER_SIZE];
};

struct rig {
	struct gmem gmem; /* only judges addresses: nobody touches a page */
	struct bus *bus;
	struct budget budget; /* rig_fini() checks that all is given back */
	struct list devs;

	bool answer_at_once; /* devices complete inside the call */
	bool fail_opens;     /* ... with a failure for open */

	/* Optional: a GPADL with references is torn down. */
	void (*on_teardown)(struct rig_dev *dev, struct gpadl *gpadl);

	bool port_full; /* send() fails */
	uint32_t flushes;
	struct rig_msg *sent; /* sent_first..sent_end: not yet taken */
	uint32_t sent_first, sent_end, sent_size;
	void (*on_sent)(struct rig *rig, const struct rig_msg *msg); /* instead of recording */

	bool shut;
	uint32_t shutdowns_done;
};

/* answer_at_once is on. */
void rig_init(struct rig *rig, uint32_t max_version, uint64_t gpadl_pages_max);
/* Shuts down, answers what devices owe, destroys. */
void rig_fini(struct rig *rig);
void rig_shutdown(struct rig *rig);

/* ---- device side --------------------------------------------------------- */

/* Offers a class of class_byte repeated, instance numbers sort as they count. */
struct rig_dev *rig_offer(struct rig *rig, uint8_t class_byte, uint32_t instance);
int rig_try_offer(struct rig *rig, uint8_t class_byte, uint32_t instance, struct rig_dev **dev);
int rig_try_sub(struct rig_dev *primary, uint16_t index, struct rig_dev **dev);
struct rig_dev *rig_sub(struct rig_dev *primary, uint16_t index);
bool rig_dev_owes(const struct rig_dev *dev);
/* Gives the answer the device owes; ok counts for open and retarget. */
void rig_answer(struct rig_dev *dev, bool ok);

/* ---- guest side ---------------------------------------------------------- */

/* Posts msg (its header is filled here). */
void rig_post(struct rig *rig, uint32_t type, void *msg, uint32_t len);
void rig_contact(struct rig *rig, uint32_t version, uint32_t vp);
void rig_simple(struct rig *rig, uint32_t type);
void rig_relid(struct rig *rig, uint32_t type, uint32_t relid);
void rig_open(struct rig *rig, uint32_t relid, uint32_t open_id, uint32_t gpadl);
void rig_open_full(struct rig *rig, const struct vmbus_open *params);
void rig_modify(struct rig *rig, uint32_t relid, uint32_t vp);
void rig_teardown(struct rig *rig, uint32_t relid, uint32_t gpadl);

/* A GPADL of one range as Linux posts it: header and bodies. */
void rig_gpadl(struct rig *rig, uint32_t relid, uint32_t gpadl, uint32_t pages);
/* Any range list, cut into a header of header_words and bodies of body_words u64. */
struct rig_ranges {
	uint16_t buflen, count;
	const uint64_t *words;
	uint32_t word_count;
	uint32_t header_words, body_words;
};
void rig_gpadl_raw(struct rig *rig, uint32_t relid, uint32_t gpadl, const struct rig_ranges *r);
void rig_gpadl_body(struct rig *rig, uint32_t gpadl, const uint64_t *words, uint32_t count);

/* The next message the guest was sent, or NULL. Valid until the next one is sent. */
const struct rig_msg *rig_take(struct rig *rig);
void rig_forget_sent(struct rig *rig);
/* Contact with the newest version and offers; their messages are forgotten. */
void rig_connect(struct rig *rig);
/* An open channel with a ring of 8 pages under GPADL id = relid; messages are forgotten. */
void rig_open_dev(struct rig *rig, struct rig_dev *dev);

/* Bytes allocated in this process. */
size_t rig_heap(void);

#endif
