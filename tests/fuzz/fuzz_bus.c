/* SPDX-License-Identifier: MIT */
/*
 * The bus under a hostile guest and slow devices. The input is a program: each
 * step posts a guest message (well-formed, or any bytes), lets a device answer,
 * offers or takes back something, or fills the message queue.
 *
 * A model of what the guest may expect runs beside it:
 *   - an OPENCHANNEL that is not ignored gets one result, an ignored one none;
 *   - so do MODIFYCHANNEL (5.3) and GPADL_TEARDOWN; CREATED never outnumbers headers;
 *   - offers come after their request; a relid is offered only when free, rescinded only
 *     when offered and with no GPADL half made, and free again only when released;
 *   - nothing of one connection is answered in the next;
 *   - one device, one request at a time, in order (the rig checks);
 *   - after shutdown: done once, no GPADL, no leak (LeakSanitizer).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/vmbus_proto.h"
#include "tests/support/bus_rig.h"
#include "tests/support/check.h"

#define RELIDS      8u /* that structured messages choose from */
#define GPADL_IDS   4u
#define HELD_MAX    8u
#define DEVS_MAX    64u
#define OPENS_MAX   4096u
#define GPADL_PAGES 300u

enum open_fate { OPEN_IGNORED, OPEN_EXPECTED, OPEN_ANSWERED };
enum relid_fate { RELID_FREE, RELID_OFFERED, RELID_RESCINDED };

struct model {
	uint32_t epoch; /* rig.flushes: one connection, or none */
	bool lossy;     /* messages were lost in this epoch */
	bool reserved;  /* an OPEN_RESERVED_CHANNEL is being posted */
	struct {
		uint32_t relid, epoch;
		enum open_fate fate;
	} opens[OPENS_MAX]; /* index = open id */
	uint32_t open_count;
	bool requested; /* offers */
	uint8_t relid[VMBUS_RELID_MAX + 1];
	int16_t building[VMBUS_RELID_MAX + 1]; /* GPADLs whose header had no answer yet */
	int64_t headers, teardowns, modifies, contacts, unloads; /* not yet answered */
};

struct fuzz {
	struct rig rig;
	struct model model;
	const uint8_t *data;
	size_t left;
	struct rig_dev *devs[DEVS_MAX];
	uint32_t dev_count, instances;
	struct gpadl *held[HELD_MAX];
};

static struct fuzz fuzz;

/* ---- input --------------------------------------------------------------- */

static uint8_t take8(void)
{
	if (!fuzz.left)
		return 0;
	fuzz.left--;
	return *fuzz.data++;
}

static uint32_t take_below(uint32_t n)
{
	return take8() % n;
}

static void take_bytes(void *to, size_t len)
{
	size_t n = len < fuzz.left ? len : fuzz.left;

	memset(to, 0, len);
	memcpy(to, fuzz.data, n);
	fuzz.data += n;
	fuzz.left -= n;
}

/* Some device that lives, or one that owes an answer; NULL: there is none. */
static struct rig_dev *take_dev(bool owes)
{
	uint32_t start = take8();

	for (uint32_t i = 0; i < fuzz.dev_count; i++) {
		struct rig_dev *dev = fuzz.devs[(start + i) % fuzz.dev_count];

		if (owes ? rig_dev_owes(dev) : dev->state != DEV_RELEASED)
			return dev;
	}
	return NULL;
}

/* ---- model --------------------------------------------------------------- */

static void model_sync(struct model *m)
{
	if (m->epoch == fuzz.rig.flushes)
		return;
	m->epoch = fuzz.rig.flushes;
	m->lossy = m->requested = false;
	m->headers = m->teardowns = m->modifies = 0;
	memset(m->relid, RELID_FREE, sizeof(m->relid));
	memset(m->building, 0, sizeof(m->building));
}

static void model_open_result(struct model *m, const struct rig_msg *msg)
{
	uint32_t id = msg->open_result.open_id;

	if (m->reserved)
		return;
	check(msg->sint == VMBUS_SINT);
	check(id < m->open_count && m->opens[id].relid == msg->open_result.relid);
	check(m->opens[id].epoch == m->epoch && m->opens[id].fate == OPEN_EXPECTED);
	check(m->relid[msg->open_result.relid] == RELID_OFFERED);
	m->opens[id].fate = OPEN_ANSWERED;
}

static void model_sent(struct rig *rig, const struct rig_msg *msg)
{
	struct model *m = &fuzz.model;

	model_sync(m);
	switch (msg->h.type) {
	case VMBUS_MSG_OFFER:
		check(msg->offer.relid && msg->offer.relid <= VMBUS_RELID_MAX);
		check(m->requested && m->relid[msg->offer.relid] == RELID_FREE);
		m->relid[msg->offer.relid] = RELID_OFFERED;
		break;
	case VMBUS_MSG_RESCIND:
		check(m->relid[msg->relid.relid] == RELID_OFFERED);
		check(!m->building[msg->relid.relid]); /* a request waits for it */
		m->relid[msg->relid.relid] = RELID_RESCINDED;
		break;
	case VMBUS_MSG_OPEN_RESULT:
		model_open_result(m, msg);
		break;
	case VMBUS_MSG_GPADL_CREATED:
		check(--m->headers >= 0);
		if (msg->created.relid <= VMBUS_RELID_MAX)
			m->building[msg->created.relid]--;
		check(msg->created.status || m->relid[msg->created.relid] != RELID_FREE);
		break;
	case VMBUS_MSG_GPADL_TORNDOWN:
		check(--m->teardowns >= 0);
		break;
	case VMBUS_MSG_MODIFY_CHANNEL_RESPONSE:
		check(--m->modifies >= 0);
		break;
	case VMBUS_MSG_VERSION_RESPONSE:
		check(--m->contacts >= 0);
		break;
	case VMBUS_MSG_UNLOAD_RESPONSE:
		check(--m->unloads >= 0);
		break;
	}
}

/* Before a message is posted: what it may bring. */
static void model_expect(struct model *m, uint32_t type, uint8_t *msg)
{
	uint32_t relid;

	switch (type) {
	case VMBUS_MSG_OPEN:
		memcpy(msg + offsetof(struct vmbus_open, open_id), &m->open_count, 4);
		memcpy(&m->opens[m->open_count].relid, msg + 8, 4);
		m->opens[m->open_count].epoch = m->epoch;
		m->opens[m->open_count++].fate = OPEN_EXPECTED;
		break;
	case VMBUS_MSG_REQUEST_OFFERS:
		m->requested = true;
		break;
	case VMBUS_MSG_GPADL_HEADER:
		m->headers++;
		memcpy(&relid, msg + 8, 4);
		if (relid <= VMBUS_RELID_MAX)
			m->building[relid]++;
		break;
	case VMBUS_MSG_GPADL_TEARDOWN:
		m->teardowns++;
		break;
	case VMBUS_MSG_MODIFY_CHANNEL:
		m->modifies++;
		break;
	case VMBUS_MSG_INITIATE_CONTACT:
		m->contacts++;
		break;
	case VMBUS_MSG_UNLOAD:
		m->unloads++;
		break;
	}
}

/* Afterwards, when it was `bad`: it will bring nothing. */
static void model_ignored(struct model *m, uint32_t type)
{
	switch (type) {
	case VMBUS_MSG_OPEN:
		if (m->opens[m->open_count - 1].fate == OPEN_EXPECTED)
			m->opens[m->open_count - 1].fate = OPEN_IGNORED;
		break;
	case VMBUS_MSG_GPADL_TEARDOWN:
		m->teardowns--;
		break;
	}
}

static void model_accepted(struct model *m, uint32_t type, uint32_t relid, bool rescinded)
{
	if (type == VMBUS_MSG_RELID_RELEASED) {
		m->relid[relid] = RELID_FREE;
		m->building[relid] = 0;
	}
	/* The one message that is ignored without being bad. */
	if (type == VMBUS_MSG_OPEN && rescinded)
		m->opens[m->open_count - 1].fate = OPEN_IGNORED;
}

static bool gpadls_in_use(void)
{
	for (uint32_t i = 0; i < HELD_MAX; i++) {
		if (fuzz.held[i])
			return true;
	}
	for (uint32_t i = 0; i < fuzz.dev_count; i++) {
		if (fuzz.devs[i]->state == DEV_OPEN)
			return true;
	}
	return false;
}

/* No device owes an answer: neither may the bus. */
static void model_check_idle(struct model *m)
{
	model_sync(m);
	if (!bus_version(fuzz.rig.bus) || m->lossy)
		return;
	for (uint32_t i = 0; i < m->open_count; i++)
		check(m->opens[i].epoch != m->epoch || m->opens[i].fate != OPEN_EXPECTED);
	if (bus_version(fuzz.rig.bus) >= VMBUS_VERSION_WIN10_V5_3)
		check(!m->modifies);
	if (!gpadls_in_use())
		check(!m->teardowns);
}

/* ---- guest --------------------------------------------------------------- */

static void post(uint32_t type, void *bytes, uint32_t len)
{
	struct model *m = &fuzz.model;
	uint64_t bad = bus_counters(fuzz.rig.bus)->bad_messages;
	uint32_t header[2] = {type}, relid = 0, checked;
	bool valid, rescinded;

	if (m->open_count == OPENS_MAX)
		return;
	model_sync(m);
	if (len >= sizeof(header))
		memcpy(bytes, header, sizeof(header));
	if (len >= 12)
		memcpy(&relid, (uint8_t *)bytes + 8, 4);
	rescinded = relid <= VMBUS_RELID_MAX && m->relid[relid] == RELID_RESCINDED;
	valid = vmbus_msg_check(bytes, len, VMBUS_G2H, bus_version(fuzz.rig.bus), &checked) ==
		VMBUS_CHECK_OK;
	/* Without a connection all but these two are ignored. */
	if (!bus_version(fuzz.rig.bus))
		valid = valid && (type == VMBUS_MSG_INITIATE_CONTACT || type == VMBUS_MSG_UNLOAD);
	if (valid)
		model_expect(m, type, bytes);
	m->reserved = type == VMBUS_MSG_OPEN_RESERVED;
	m->lossy |= fuzz.rig.port_full;
	bus_message(fuzz.rig.bus, bytes, len);
	m->reserved = false;
	/* A new epoch has forgotten all that was posted before. */
	if (!valid || m->epoch != fuzz.rig.flushes)
		return;
	if (bus_counters(fuzz.rig.bus)->bad_messages != bad)
		model_ignored(m, type);
	else
		model_accepted(m, type, relid, rescinded);
}

static void guest_raw(void)
{
	uint8_t bytes[VMBUS_MESSAGE_SIZE_MAX];
	uint32_t type = take8(), len = take8() % (sizeof(bytes) + 1);

	take_bytes(bytes, len);
	post(type, bytes, len);
}

static void guest_contact(void)
{
	static const uint32_t versions[] = {VMBUS_VERSION_WIN10_V5_3, VMBUS_VERSION_WIN10_V5_3,
		VMBUS_VERSION_WIN10_V5_1, VMBUS_VERSION_WIN10_V5, VMBUS_VERSION_WIN10_RS3,
		VMBUS_VERSION_WIN10, VMBUS_VERSION_WIN8_1, VMBUS_VERSION_WIN8, 0x00060000, 13};
	struct vmbus_initiate_contact msg = {.version = versions[take_below(10)]};
	uint8_t odd = take8();

	msg.target_vp = odd % 5; /* VP 4 does not exist */
	if (msg.version >= VMBUS_VERSION_WIN10_V5)
		msg.sint = VMBUS_SINT;
	if (odd > 250)
		msg.vtl = 1;
	post(VMBUS_MSG_INITIATE_CONTACT, &msg, sizeof(msg));
}

static void guest_simple(uint32_t type)
{
	struct vmbus_msg_header msg;

	post(type, &msg, sizeof(msg));
}

static void guest_relid(uint32_t type)
{
	struct vmbus_relid_msg msg = {.relid = take_below(RELIDS)};

	post(type, &msg, sizeof(msg));
}

static uint64_t take_pfn(void)
{
	uint8_t b = take8();

	if (b == 0xFF)
		return ~0ull;
	return b & 0x80 ? (GMEM_HIGH_START >> HV_PAGE_SHIFT) + (b & 0x7F) : b;
}

/* One range of whole pages, all in RAM; pages beyond the header are left to bodies. */
static void guest_gpadl(void)
{
	uint8_t bytes[VMBUS_MESSAGE_SIZE_MAX] = {0};
	struct vmbus_gpadl_header *msg = (void *)bytes;
	struct vmbus_gpa_range range = {0};
	uint32_t pages, in_header;

	msg->relid = take_below(RELIDS);
	msg->gpadl = take_below(GPADL_IDS);
	pages = 1 + take8() % 60;
	in_header = pages < 26 ? pages : 26;
	msg->range_buflen = 8 * (pages + 1);
	msg->range_count = 1;
	range.byte_count = pages * HV_PAGE_SIZE;
	memcpy(msg->ranges, &range, sizeof(range));
	post(VMBUS_MSG_GPADL_HEADER, bytes, sizeof(*msg) + 8 * (in_header + 1));
}

/* What a driver does to open a channel, in one step. */
static void guest_open_ring(void)
{
	uint8_t bytes[VMBUS_MESSAGE_SIZE_MAX] = {0};
	struct vmbus_gpadl_header *header = (void *)bytes;
	struct vmbus_gpa_range range = {.byte_count = 8 * HV_PAGE_SIZE};
	struct vmbus_open open = {.downstream_offset = 4};
	uint32_t relid = take_below(RELIDS), gpadl = take_below(GPADL_IDS);

	header->relid = open.relid = relid;
	header->gpadl = open.ring_gpadl = gpadl;
	header->range_buflen = 8 * 9;
	header->range_count = 1;
	memcpy(header->ranges, &range, sizeof(range));
	post(VMBUS_MSG_GPADL_HEADER, bytes, sizeof(*header) + 8 * 9);
	post(VMBUS_MSG_OPEN, &open, sizeof(open));
}

static void guest_gpadl_odd(void)
{
	uint8_t bytes[VMBUS_MESSAGE_SIZE_MAX] = {0};
	struct vmbus_gpadl_header *msg = (void *)bytes;
	struct vmbus_gpa_range range;
	uint32_t words;

	msg->relid = take_below(RELIDS);
	msg->gpadl = take_below(GPADL_IDS);
	msg->range_buflen = take8() * 8;
	if (take8() & 1)
		msg->range_buflen |= take8() << 8;
	msg->range_count = take8() % 5;
	words = take_below(28);
	take_bytes(msg->ranges, 8 * words);
	range.byte_count = take8() * 1024;
	range.byte_offset = take8() * 32;
	memcpy(msg->ranges, &range, sizeof(range));
	post(VMBUS_MSG_GPADL_HEADER, bytes, sizeof(*msg) + 8 * words);
}

static void guest_body(void)
{
	uint8_t bytes[VMBUS_MESSAGE_SIZE_MAX] = {0};
	struct vmbus_gpadl_body *msg = (void *)bytes;
	uint32_t words;

	msg->gpadl = take_below(GPADL_IDS);
	words = take_below(29);
	for (uint32_t i = 0; i < words; i++) {
		uint64_t pfn = take_pfn();

		memcpy(msg->ranges + 8 * i, &pfn, sizeof(pfn));
	}
	post(VMBUS_MSG_GPADL_BODY, bytes, sizeof(*msg) + 8 * words);
}

static void guest_teardown(void)
{
	struct vmbus_gpadl_teardown msg = {0};

	msg.relid = take_below(RELIDS);
	msg.gpadl = take_below(GPADL_IDS);
	post(VMBUS_MSG_GPADL_TEARDOWN, &msg, sizeof(msg));
}

static void guest_open(void)
{
	struct vmbus_open msg = {0};

	msg.relid = take_below(RELIDS);
	msg.ring_gpadl = take_below(GPADL_IDS);
	msg.downstream_offset = take8() % 32;
	msg.target_vp = take8() % 6;
	if (msg.target_vp == 5)
		msg.target_vp = VMBUS_VP_NONE;
	post(VMBUS_MSG_OPEN, &msg, sizeof(msg));
}

static void guest_modify(void)
{
	struct vmbus_modify_channel msg = {0};

	msg.relid = take_below(RELIDS);
	msg.target_vp = take_below(5);
	post(VMBUS_MSG_MODIFY_CHANNEL, &msg, sizeof(msg));
}

/* ---- host ---------------------------------------------------------------- */

static void host_answer(void)
{
	struct rig_dev *dev = take_dev(true);
	bool ok = take8() & 7;

	fuzz.model.lossy |= fuzz.rig.port_full;
	if (dev)
		rig_answer(dev, ok);
}

static void host_offer(void)
{
	struct rig_dev *dev;

	if (fuzz.dev_count == DEVS_MAX)
		return;
	fuzz.model.lossy |= fuzz.rig.port_full;
	if (!rig_try_offer(&fuzz.rig, take_below(3), fuzz.instances++ % 8, &dev))
		fuzz.devs[fuzz.dev_count++] = dev;
}

static void host_offer_sub(void)
{
	struct rig_dev *primary = take_dev(false), *dev;
	uint32_t index = take_below(4);

	if (fuzz.dev_count == DEVS_MAX || !primary)
		return;
	fuzz.model.lossy |= fuzz.rig.port_full;
	if (!rig_try_sub(primary, index, &dev))
		fuzz.devs[fuzz.dev_count++] = dev;
}

static void host_rescind(void)
{
	struct rig_dev *dev = take_dev(false);

	fuzz.model.lossy |= fuzz.rig.port_full;
	if (dev)
		bus_rescind(dev->chan);
}

static void host_hold(void)
{
	struct rig_dev *dev = take_dev(false);
	uint32_t slot = take_below(HELD_MAX), id = take_below(GPADL_IDS);
	struct gpadl *g = dev && !fuzz.held[slot] ? bus_gpadl_find(dev->chan, id) : NULL;

	if (!g)
		return;
	gpadl_get(g);
	fuzz.held[slot] = g;
}

static void host_put(uint32_t slot)
{
	struct gpadl *g = fuzz.held[slot];

	fuzz.held[slot] = NULL;
	fuzz.model.lossy |= fuzz.rig.port_full;
	if (g)
		gpadl_put(g);
}

/* Now and then the device puts its references inside the call. */
static void put_in_teardown(struct rig_dev *dev, struct gpadl *gpadl)
{
	for (uint32_t slot = 0; slot < HELD_MAX && dev->teardowns % 2; slot++)
		if (fuzz.held[slot] == gpadl)
			host_put(slot);
}

static void host_settle(void)
{
	for (uint32_t i = 0; i < fuzz.dev_count; i++) {
		if (rig_dev_owes(fuzz.devs[i]))
			return;
	}
	model_check_idle(&fuzz.model);
}

static void step(uint8_t op)
{
	static const uint32_t relid_types[] = {VMBUS_MSG_CLOSE, VMBUS_MSG_RELID_RELEASED};

	switch (op % 26) {
	case 0:
		return guest_raw();
	case 1:
		return guest_contact();
	case 2:
		return guest_simple(VMBUS_MSG_REQUEST_OFFERS);
	case 3:
	case 4:
		return guest_gpadl();
	case 5:
		return guest_gpadl_odd();
	case 6:
		return guest_body();
	case 7:
		return guest_teardown();
	case 8:
	case 9:
		return guest_open();
	case 10:
	case 11:
		return guest_relid(relid_types[op % 26 - 10]);
	case 12:
		return guest_modify();
	case 13:
		return guest_simple(VMBUS_MSG_UNLOAD);
	case 14:
	case 15:
	case 16:
		return host_answer();
	case 17:
		return host_offer();
	case 18:
		return host_offer_sub();
	case 19:
		return host_rescind();
	case 20:
		return host_hold();
	case 21:
		return host_put(take_below(HELD_MAX));
	case 22:
		fuzz.rig.answer_at_once = take8() & 1;
		return;
	case 23:
	case 24:
		return guest_open_ring();
	case 25:
		fuzz.rig.port_full = take8() > 240;
		return;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	memset(&fuzz.model, 0, sizeof(fuzz.model));
	memset(fuzz.held, 0, sizeof(fuzz.held));
	fuzz.dev_count = fuzz.instances = 0;
	fuzz.data = data;
	fuzz.left = size;
	rig_init(&fuzz.rig, VMBUS_VERSION_WIN10_V5_3, GPADL_PAGES);
	fuzz.rig.on_teardown = put_in_teardown;
	fuzz.rig.on_sent = model_sent;
	fuzz.rig.answer_at_once = false;
	host_offer();
	host_offer();
	while (fuzz.left) {
		step(take8());
		host_settle();
	}
	/* References may end after the shutdown has begun, as devices' do. */
	rig_shutdown(&fuzz.rig);
	for (uint32_t i = 0; i < HELD_MAX; i++)
		host_put(i);
	rig_fini(&fuzz.rig);
	return 0;
}
