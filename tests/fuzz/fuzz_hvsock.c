/* SPDX-License-Identifier: MIT */
/*
 * A socket connection between a guest that does anything and a program that reads, writes and
 * closes at will.
 *
 * Oracles: the program reads what the guest sent in packets that are valid, in order, and nothing
 * else; the guest reads what the program wrote, then one FIN at most, and only after the program's
 * end; a packet that is not valid ends the connection; at the end the device can be removed.
 */
#include <sys/socket.h>
#include <unistd.h>

#include "tests/fuzz/input.h"
#include "tests/support/check.h"
#include "tests/support/guest_socket.h"
#include "vsp/hvsock/hvsock.h"

#define OPS_MAX    128u
#define PACKET_MAX 20000u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* One direction: bytes are numbered, and each is a function of its number. */
struct stream {
	uint64_t written, read;
	bool ended;
};

struct target {
	struct input in;
	struct vsp_device *dev;
	int host_fd, program_fd;
	bool opened, over, removed, paused;
	bool broken; /* the guest broke the protocol, or closed the channel */
	struct stream to_guest, to_program;
};

static struct guest guest;
static struct guest_socket sock;
static bool started;

static uint8_t byte_of(uint64_t number)
{
	return (uint8_t)(number * 7 + (number >> 8));
}

static void fill(struct stream *s, uint8_t *bytes, uint32_t length)
{
	for (uint32_t i = 0; i < length; i++)
		bytes[i] = byte_of(s->written + i);
}

static void check_bytes(struct stream *s, const uint8_t *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++)
		check(bytes[i] == byte_of(s->read + i));
	s->read += length;
	check(s->read <= s->written);
}

static void settle(void)
{
	for (int i = 0; i < 4; i++)
		guest_turn(&guest);
}

/* ---- the guest ----------------------------------------------------------- */

static bool guest_is_done(const struct target *t)
{
	return t->broken || !sock.chan.open;
}

static void guest_sends(struct target *t)
{
	static uint8_t bytes[HVSOCK_DATA_MAX];
	uint32_t length = (uint32_t)take(&t->in, 2) % (HVSOCK_DATA_MAX + 1);
	const struct hvsock_header header = {.type = HVSOCK_PACKET_DATA, .size = length};

	if (guest_is_done(t))
		return;
	fill(&t->to_program, bytes, length);
	if (!guest_socket_send_packet(&sock, header, bytes, length))
		return;
	t->broken = t->to_program.ended;
	if (t->to_program.ended)
		return;
	t->to_program.written += length;
	t->to_program.ended = !length;
}

/* Any header, any length, any type of packet. */
static void guest_sends_bytes(struct target *t)
{
	static uint8_t bytes[PACKET_MAX];
	uint32_t length = (uint32_t)take(&t->in, 2) % PACKET_MAX;
	uint16_t type = VMBUS_PKT_INBAND + (uint16_t)(take(&t->in, 1) % 4);

	if (guest_is_done(t))
		return;
	memset(bytes, 0, sizeof(bytes));
	take_bytes(&t->in, bytes, 12);
	bytes[0] |= 2; /* never a type that is valid: what it would mean is known above */
	if (guest_chan_send(&sock.chan, type, (uint16_t)take(&t->in, 1), take(&t->in, 1), NULL,
		    bytes, length))
		t->broken = true;
}

static void take_packet(struct target *t, const struct vmbus_pkt *pkt)
{
	struct hvsock_header header;

	check(pkt->desc.type == VMBUS_PKT_INBAND && pkt->payload_len >= sizeof(header));
	memcpy(&header, pkt->payload, sizeof(header));
	check(header.type == HVSOCK_PACKET_DATA && header.size <= HVSOCK_DATA_MAX);
	check(header.size <= pkt->payload_len - sizeof(header));
	check(!sock.fin);
	check_bytes(&t->to_guest, (const uint8_t *)pkt->payload + sizeof(header), header.size);
	sock.fin = !header.size;
	check(!sock.fin || (t->to_guest.ended && t->to_guest.read == t->to_guest.written));
}

static void guest_receives(struct target *t)
{
	uint32_t packets = (uint8_t)take(&t->in, 1) % 8;
	struct vmbus_pkt pkt;

	while (sock.chan.open && packets-- &&
		guest_chan_receive_into(&sock.chan, &pkt, sock.packet, sizeof(sock.packet)))
		take_packet(t, &pkt);
}

static void guest_closes(struct target *t)
{
	t->broken = true;
	guest_chan_close(&sock.chan);
}

/* ---- the program --------------------------------------------------------- */

static void program_writes(struct target *t)
{
	static uint8_t bytes[65536];
	uint32_t length = (uint32_t)take(&t->in, 2);
	ssize_t sent;

	if (t->program_fd < 0 || t->to_guest.ended)
		return;
	fill(&t->to_guest, bytes, length);
	sent = send(t->program_fd, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (sent > 0)
		t->to_guest.written += (uint64_t)sent;
}

/* Returns whether there was something to read. */
static bool program_reads_up_to(struct target *t, size_t length)
{
	static uint8_t bytes[65536];
	ssize_t got;

	if (t->program_fd < 0)
		return false;
	got = recv(t->program_fd, bytes, length, MSG_DONTWAIT);
	if (got > 0)
		check_bytes(&t->to_program, bytes, (size_t)got);
	else if (got == 0 && !t->broken && !t->over)
		check(t->to_program.ended && t->to_program.read == t->to_program.written);
	return got > 0;
}

static void program_reads(struct target *t)
{
	program_reads_up_to(t, (size_t)take(&t->in, 2) + 1);
}

static void program_ends(struct target *t)
{
	if (t->program_fd < 0)
		return;
	t->to_guest.ended = true;
	shutdown(t->program_fd, SHUT_WR);
}

static void program_closes(struct target *t)
{
	if (t->program_fd >= 0)
		close(t->program_fd);
	t->program_fd = -1;
	t->to_guest.ended = true;
}

/* ---- the VM -------------------------------------------------------------- */

static void opened(void *ctx)
{
	((struct target *)ctx)->opened = true;
}

static void ended(void *ctx)
{
	((struct target *)ctx)->over = true;
}

static void removed(void *ctx)
{
	((struct target *)ctx)->removed = true;
}

static void ignore(void *ctx)
{
}

static void toggle_pause(struct target *t)
{
	t->paused = !t->paused;
	if (t->paused)
		vsp_device_pause(t->dev, ignore, NULL);
	else
		vsp_device_resume(t->dev);
}

static void begin(struct target *t)
{
	static const struct hv_guid instance = HVSOCK_PORT_GUID(0x40000);
	struct hvsock_config config = {
		.service = HVSOCK_PORT_GUID(7), .opened = opened, .ended = ended, .ctx = t};
	struct vmbus_offer offer;
	int fds[2];

	check(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
	t->host_fd = config.fd = fds[0];
	t->program_fd = fds[1];
	check(!vsp_device_create(&t->dev, &guest.host, &hvsock_ops, &instance, &config, NULL));
	offer = guest_wait_offer_of(&guest, &config.service, &instance);
	sock.g = &guest;
	sock.fin = false;
	check(guest_chan_open(&sock.chan, &guest, &offer, GUEST_SOCKET_RING_PAGES, 0));
	check(t->opened);
}

/*
 * A packet that is not valid ends the connection when its turn comes, and that is after the data
 * before it, which waits for the program to read.
 */
static void wait_until_over(struct target *t)
{
	uint64_t until = loop_now_ns() + GUEST_TIMEOUT_MS * 1000000ull;

	settle();
	while (!t->over) {
		check(program_reads_up_to(t, 65536) || loop_now_ns() < until);
		settle();
	}
}

static void end(struct target *t)
{
	uint32_t relid = sock.chan.offer.relid;

	if (t->paused)
		toggle_pause(t);
	if (t->broken)
		wait_until_over(t);
	vsp_device_remove(t->dev, removed, t);
	guest_wait_rescind(&guest, relid);
	guest_chan_close(&sock.chan);
	guest_release(&guest, relid);
	while (!t->removed)
		guest_turn(&guest);
	check(t->over);
	vsp_device_destroy(t->dev);
	close(t->host_fd);
	program_closes(t);
}

/* ---- one input ----------------------------------------------------------- */

static void operate(struct target *t)
{
	static void (*const ops[])(struct target * t) = {guest_sends, guest_sends, guest_receives,
		guest_receives, program_writes, program_writes, program_reads, program_reads,
		toggle_pause, guest_sends_bytes, program_ends, program_closes, guest_closes};
	uint8_t op = (uint8_t)take(&t->in, 1);

	ops[op % (sizeof(ops) / sizeof(*ops))](t);
	if (op & 0x80)
		settle();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct guest_config config = {.ram = 8 << 20, .vps = 1};
	struct target t = {.in = {data, size}};

	if (!started) {
		guest_start(&guest, &config);
		guest_connect(&guest, VMBUS_VERSION_WIN10_V5_3);
		started = true;
	}
	begin(&t);
	for (uint32_t i = 0; i < OPS_MAX && t.in.left; i++)
		operate(&t);
	end(&t);
	return 0;
}
