/* SPDX-License-Identifier: MIT */
/*
 * Writes a journal to its first disk, for tests that kill its worker: sector N has the number N in
 * each word. It goes on behind what it finds, and says on the console what was flushed:
 *
 *   found 0        sectors in use at the start
 *   flushed 15     all up to this sector are on the disk: the flush was answered
 *   full           the disk has no more sectors
 *
 * No interrupts: it polls for messages and packets.
 */
#include "hv/vmbus_guids.h"
#include "hv/vmbus_msgs.h"
#include "hyperv.h"
#include "memory.h"
#include "ring/vmbus_ring.h"
#include "storvsc/proto.h"

#define VECTOR       0xF0u
#define TYPE_CHANNEL 1u
#define RING_PAGES   4u /* of each direction, with its control page */
#define GPADL        1u
#define SECTOR       512u
#define WORDS        (SECTOR / sizeof(uint64_t))
#define BATCH        8u /* sectors between two flushes */
#define PAUSE_US     1000u
#define TRIES        4u /* of a command: the first one may find a unit attention */

#define SCSI_SYNCHRONIZE_CACHE 0x35u
#define SCSI_READ_CAPACITY     0x25u
#define SCSI_READ              0x28u
#define SCSI_WRITE             0x2Au

#define PAGES __attribute__((aligned(HV_PAGE_SIZE)))

static uint8_t rings[2 * RING_PAGES][HV_PAGE_SIZE] PAGES;
static uint8_t bus_pages[3][HV_PAGE_SIZE] PAGES;
static uint64_t data[HV_PAGE_SIZE / sizeof(uint64_t)] PAGES;

static struct vmbus_offer scsi; /* relid 0: not offered */
static struct vmbus_tx tx;
static struct vmbus_rx rx;
static struct storvsc_conn conn;

static void must(bool good, const char *what)
{
	if (good)
		return;
	print("FAIL: %s\n", what);
	halt_forever();
}

/* ---- the bus ------------------------------------------------------------- */

static void post(void *message, uint32_t type, uint32_t size)
{
	struct vmbus_msg_header *h = message;

	h->type = type;
	post_input.connection_id = VMBUS_CONN_MESSAGE;
	post_input.reserved = 0;
	post_input.message_type = TYPE_CHANNEL;
	post_input.payload_size = size;
	memcpy(post_input.payload, message, size);
	must(hv_call(HV_CALL_POST_MESSAGE, (uintptr_t)&post_input, 0) == HV_STATUS_SUCCESS,
		"a message is taken");
}

static bool is_scsi(const struct vmbus_offer *offer)
{
	static const struct hv_guid class = VMBUS_GUID_SCSI;
	const uint8_t *a = (const uint8_t *)&offer->class_id, *b = (const uint8_t *)&class;
	uint32_t same = 0;

	while (same < sizeof(class) && a[same] == b[same])
		same++;
	return same == sizeof(class) && !offer->sub_channel_index;
}

static void expect(uint32_t type, void *message, uint32_t size)
{
	volatile struct hv_message *slot = synic_slot(0, VMBUS_SINT);
	struct vmbus_msg_header h = {0};

	while (h.type != type) {
		while (slot->type == HV_MESSAGE_TYPE_NONE)
			cpu_pause();
		memcpy(&h, (const void *)slot->payload, sizeof(h));
		if (h.type == VMBUS_MSG_OFFER && is_scsi((const void *)slot->payload) &&
			!scsi.relid)
			memcpy(&scsi, (const void *)slot->payload, sizeof(scsi));
		if (h.type == type)
			memcpy(message, (const void *)slot->payload, size);
		synic_take(0, VMBUS_SINT);
	}
}

static void connect(void)
{
	struct vmbus_initiate_contact contact = {
		.version = VMBUS_VERSION_WIN8_1,
		.interrupt_page = (uintptr_t)bus_pages[0],
		.monitor_page_h2g = (uintptr_t)bus_pages[1],
		.monitor_page_g2h = (uintptr_t)bus_pages[2],
	};
	struct vmbus_version_response response;
	struct vmbus_msg_header h = {0};

	post(&contact, VMBUS_MSG_INITIATE_CONTACT, sizeof(contact));
	expect(VMBUS_MSG_VERSION_RESPONSE, &response, sizeof(response));
	must(response.version_supported, "the bus connects");
	post(&h, VMBUS_MSG_REQUEST_OFFERS, sizeof(h));
	expect(VMBUS_MSG_ALL_OFFERS_DELIVERED, &h, sizeof(h));
	must(scsi.relid, "there is a SCSI controller");
}

/* Both rings, one range. */
static void give_rings(void)
{
	struct {
		struct vmbus_gpadl_header header;
		struct vmbus_gpa_range range;
		uint64_t pfns[2 * RING_PAGES];
	} HV_PACKED message = {
		.header = {.relid = scsi.relid,
			.gpadl = GPADL,
			.range_buflen = sizeof(message.range) + sizeof(message.pfns),
			.range_count = 1},
		.range = {.byte_count = sizeof(rings)},
	};
	struct vmbus_gpadl_created created;

	for (uint32_t i = 0; i < 2 * RING_PAGES; i++)
		message.pfns[i] = (uintptr_t)rings[i] / HV_PAGE_SIZE;
	post(&message, VMBUS_MSG_GPADL_HEADER, sizeof(message));
	expect(VMBUS_MSG_GPADL_CREATED, &created, sizeof(created));
	must(created.status == VMBUS_STATUS_SUCCESS, "the rings are taken");
}

static void open_channel(void)
{
	struct vmbus_open open = {
		.relid = scsi.relid,
		.open_id = scsi.relid,
		.ring_gpadl = GPADL,
		.downstream_offset = RING_PAGES,
	};
	struct vmbus_open_result result;

	give_rings();
	must(!vmbus_tx_init(&tx, rings, RING_PAGES * HV_PAGE_SIZE) &&
			!vmbus_rx_init(&rx, rings[RING_PAGES], RING_PAGES * HV_PAGE_SIZE),
		"the rings are empty");
	vmbus_rx_mask(&rx);
	post(&open, VMBUS_MSG_OPEN, sizeof(open));
	expect(VMBUS_MSG_OPEN_RESULT, &result, sizeof(result));
	must(result.status == VMBUS_STATUS_SUCCESS, "the channel opens");
}

/* ---- packets ------------------------------------------------------------- */

static void send(uint16_t type, uint64_t id, const struct vmbus_vec *extra,
	const struct vstor_packet *packet)
{
	const struct vmbus_vec vec = {packet, storvsc_packet_size(&conn)};

	must(!vmbus_tx_write(&tx, type, VMBUS_PKT_FLAG_COMPLETION_REQUESTED, id, extra, &vec, 1),
		"a packet is sent");
	if (vmbus_tx_commit(&tx))
		hv_signal(scsi.connection_id);
}

/* The completion of packet `id`; its payload is in place until the next one. */
static const struct vmbus_pkt *receive(uint64_t id)
{
	static uint8_t bytes[256] __attribute__((aligned(8)));
	static struct vmbus_pkt pkt;
	int ret;

	do {
		while ((ret = vmbus_rx_next(&rx, &pkt, bytes, sizeof(bytes))) == -EAGAIN)
			cpu_pause();
		must(!ret, "a packet is received");
		if (vmbus_rx_commit(&rx))
			hv_signal(scsi.connection_id);
	} while (pkt.desc.type != VMBUS_PKT_COMPLETION || pkt.desc.trans_id != id);
	return &pkt;
}

static void start_scsi(void)
{
	struct vstor_packet packet;
	const struct vmbus_pkt *reply;

	must(!storvsc_conn_init(&conn, VSTOR_VERSION_WIN10, 0), "the version is known");
	while (conn.state != STORVSC_INIT_DONE) {
		storvsc_init_request(&conn, &packet);
		send(VMBUS_PKT_INBAND, 1, NULL, &packet);
		reply = receive(1);
		must(!storvsc_init_reply(&conn, reply->payload, reply->payload_len),
			"the controller starts");
	}
}

/* ---- commands ------------------------------------------------------------ */

/* To or from `data`. */
static bool execute_once(const struct storvsc_command *command)
{
	static uint64_t id = 1;
	struct {
		struct storvsc_range range;
		uint64_t pfn;
	} header;
	struct vmbus_vec extra = {&header, 0};
	struct vstor_packet packet;
	struct storvsc_completion done;
	const struct vmbus_pkt *reply;

	storvsc_command_build(command, &packet);
	id++;
	if (command->length) {
		extra.len = storvsc_range_build(&header.range, 0, command->length);
		header.pfn = (uintptr_t)data / HV_PAGE_SIZE;
	}
	if (command->length)
		send(VMBUS_PKT_GPA_DIRECT, id, &extra, &packet);
	else
		send(VMBUS_PKT_INBAND, id, NULL, &packet);
	reply = receive(id);
	return !storvsc_completion_parse(
		       &conn, command, reply->payload, reply->payload_len, &done) &&
	       storvsc_judge(&done) == STORVSC_DONE && !done.scsi_status &&
	       done.transferred == command->length;
}

static void execute(uint8_t code, uint8_t direction, uint32_t lba, uint32_t length)
{
	const uint32_t sectors = length / SECTOR;
	const struct storvsc_command command = {
		.cdb_length = 10,
		.data = direction,
		.length = length,
		.cdb = {code, 0, (uint8_t)(lba >> 24), (uint8_t)(lba >> 16), (uint8_t)(lba >> 8),
			(uint8_t)lba, 0, 0, (uint8_t)sectors},
	};
	bool good = false;

	for (unsigned i = 0; i < TRIES && !good; i++)
		good = execute_once(&command);
	must(good, "a command is carried out");
}

static uint32_t count_sectors(void)
{
	const uint8_t *bytes = (const uint8_t *)data;

	execute(SCSI_READ_CAPACITY, VSTOR_DATA_IN, 0, 8);
	return ((uint32_t)bytes[0] << 24 | bytes[1] << 16 | bytes[2] << 8 | bytes[3]) + 1;
}

/* ---- the journal --------------------------------------------------------- */

/* Never 0, as an empty sector is. */
static uint64_t word_of(uint32_t sector)
{
	return 0x4A00000000000000ull | sector;
}

static bool is_written(uint32_t sector)
{
	uint32_t same = 0;

	execute(SCSI_READ, VSTOR_DATA_IN, sector, SECTOR);
	while (same < WORDS && data[same] == word_of(sector))
		same++;
	return same == WORDS;
}

/* The first that is not written; what was written has no hole, or the test finds it. */
static uint32_t find_end(uint32_t sectors)
{
	uint32_t low = 0, high = sectors;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (is_written(middle))
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void write_sector(uint32_t sector)
{
	for (uint32_t i = 0; i < WORDS; i++)
		data[i] = word_of(sector);
	execute(SCSI_WRITE, VSTOR_DATA_OUT, sector, SECTOR);
}

static void write_journal(uint32_t sectors)
{
	uint32_t next = find_end(sectors);

	print("found %u\n", next);
	while (next + BATCH <= sectors) {
		for (uint32_t i = 0; i < BATCH; i++)
			write_sector(next++);
		execute(SCSI_SYNCHRONIZE_CACHE, VSTOR_DATA_NONE, 0, 0);
		print("flushed %u\n", next - 1);
		delay_us(PAUSE_US);
	}
	print("full\n");
}

void flat_main(void)
{
	hv_start();
	synic_start();
	synic_set_sint(VMBUS_SINT, VECTOR);
	connect();
	open_channel();
	start_scsi();
	write_journal(count_sectors());
	halt_forever();
}
