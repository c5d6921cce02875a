/* SPDX-License-Identifier: MIT */
/*
 * The NBD disk against a hostile server, which is a thread of this process on a
 * Unix socket. libnbd parses the protocol; what is looked for here is our own
 * state: connections, requests that wait, are sent again, time out.
 *
 * Input: a length, so many bytes of requests, and the server's script: one byte
 * for each command it gets, and the bytes of its garbage. When the script is
 * used up the server is honest.
 *
 * Whatever the server does: each request ends exactly once (the rig checks),
 * within the time limit; everything closes; no leak. As long as the server has
 * not lied, what is read is what was written.
 */
#include <endian.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "tests/support/check.h"
#include "tests/support/disk_rig.h"

#define SIZE         65536u
#define SCRIPT_MAX   512u
#define STEPS_MAX    64u
#define SLOTS        16u
#define AREA         (SIZE / SLOTS)
#define RETRY_NS     30000000ull
#define LIMIT_NS     100000000000ull /* far beyond any legal delay */
#define FLAGS_COMMON 0x006d          /* has flags, flush, FUA, trim, zeroes */
#define FLAG_MULTI   0x0100

/* ---- the server's thread ------------------------------------------------- */

enum act {
	ACT_ANSWER,
	ACT_ERROR,
	ACT_CLOSE,
	ACT_CUT,  /* half an answer, then the end */
	ACT_HOLD, /* the answer comes after the next one */
	ACT_MUTE,
	ACT_WRONG_HANDLE,
	ACT_TWICE,
	ACT_WRONG_MAGIC,
	ACT_STRUCTURED,
	ACT_GARBAGE,
	ACT_COUNT,
};

static struct {
	char path[64];
	char uri[128];
	int listener;
	pthread_mutex_t lock; /* over the script */
	uint8_t script[SCRIPT_MAX];
	size_t at, len;
	_Atomic bool multi;
	_Atomic bool lied;
	uint8_t disk[SIZE];
} server;

struct request {
	uint32_t magic;
	uint16_t flags, type;
	uint64_t handle, offset;
	uint32_t length;
} __attribute__((packed));

struct reply {
	uint32_t magic, error;
	uint64_t handle;
} __attribute__((packed));

struct held {
	bool there;
	struct request r;
};

static int next_byte(void)
{
	int byte = -1;

	pthread_mutex_lock(&server.lock);
	if (server.at < server.len)
		byte = server.script[server.at++];
	pthread_mutex_unlock(&server.lock);
	return byte;
}

static bool put(int fd, const void *bytes, size_t len)
{
	return send(fd, bytes, len, MSG_NOSIGNAL) == (ssize_t)len;
}

static bool get(int fd, void *bytes, size_t len)
{
	return recv(fd, bytes, len, MSG_WAITALL) == (ssize_t)len;
}

static bool put16(int fd, uint16_t v)
{
	v = htobe16(v);
	return put(fd, &v, sizeof(v));
}

static bool put32(int fd, uint32_t v)
{
	v = htobe32(v);
	return put(fd, &v, sizeof(v));
}

static bool put64(int fd, uint64_t v)
{
	v = htobe64(v);
	return put(fd, &v, sizeof(v));
}

static bool skip_bytes(int fd, uint32_t len)
{
	uint8_t bytes[512];

	check(len < 65536);
	for (uint32_t n; len; len -= n) {
		n = len < sizeof(bytes) ? len : (uint32_t)sizeof(bytes);
		if (!get(fd, bytes, n))
			return false;
	}
	return true;
}

static bool option_refused(int fd, uint32_t option)
{
	return put64(fd, 0x3e889045565a9) && put32(fd, option) && put32(fd, 0x80000001) &&
	       put32(fd, 0);
}

/* NBD_OPT_GO with the one information that is needed; NBD_OPT_EXPORT_NAME for the asking. */
static bool option_go(int fd, uint32_t option)
{
	uint16_t flags = FLAGS_COMMON;

	if (atomic_load(&server.multi))
		flags |= FLAG_MULTI;
	return put64(fd, 0x3e889045565a9) && put32(fd, option) && put32(fd, 3) && put32(fd, 12) &&
	       put16(fd, 0) && put64(fd, SIZE) && put16(fd, flags) && put64(fd, 0x3e889045565a9) &&
	       put32(fd, option) && put32(fd, 1) && put32(fd, 0);
}

static bool shake_hands(int fd)
{
	struct {
		uint64_t magic;
		uint32_t option, len;
	} __attribute__((packed)) o;
	uint32_t client_flags;

	if (!put(fd, "NBDMAGICIHAVEOPT", 16) || !put16(fd, 3) ||
		!get(fd, &client_flags, sizeof(client_flags)))
		return false;
	while (get(fd, &o, sizeof(o)) && skip_bytes(fd, be32toh(o.len))) {
		uint32_t option = be32toh(o.option);

		if (option == 7)
			return option_go(fd, option);
		if (!option_refused(fd, option))
			return false;
	}
	return false;
}

/* Does what was asked to the disk; the answer is another matter. */
static bool perform(int fd, const struct request *r, uint8_t *data)
{
	bool in = r->offset <= SIZE && r->length <= SIZE - r->offset;

	check(in); /* what we ask for lies inside */
	if (r->type == 1 && !get(fd, data, r->length))
		return false;
	if (r->type == 1)
		memcpy(server.disk + r->offset, data, r->length);
	if (r->type == 6)
		memset(server.disk + r->offset, 0, r->length);
	return true;
}

static bool answer(int fd, const struct request *r, uint32_t error)
{
	struct reply reply = {htobe32(0x67446698), htobe32(error), r->handle};

	if (!put(fd, &reply, sizeof(reply)))
		return false;
	return r->type != 0 || error || put(fd, server.disk + r->offset, r->length);
}

static bool answer_wrongly(int fd, const struct request *r, enum act act)
{
	struct reply reply = {htobe32(0x67446698), 0, r->handle ^ (1ull << 56)};
	uint8_t garbage[64];
	int byte = 0;

	atomic_store(&server.lied, true);
	if (act == ACT_TWICE)
		return answer(fd, r, 0) && answer(fd, r, 0);
	if (act == ACT_WRONG_MAGIC)
		reply.magic = 0x12345678;
	if (act == ACT_STRUCTURED)
		reply.magic = htobe32(0x668e33ef);
	if (act != ACT_GARBAGE)
		return put(fd, &reply, sizeof(reply));
	for (size_t i = 0; i < sizeof(garbage) && byte >= 0; i++) {
		byte = next_byte();
		garbage[i] = (uint8_t)byte;
	}
	return put(fd, garbage, sizeof(garbage));
}

/* False: the connection ends. */
static bool act_on(int fd, const struct request *r, int byte, struct held *held)
{
	enum act act = byte < 0 ? ACT_ANSWER : (enum act)(byte % ACT_COUNT);

	switch (act) {
	case ACT_ANSWER:
		return answer(fd, r, 0);
	case ACT_ERROR:
		return answer(fd, r, byte / ACT_COUNT % 2 ? EIO : ENOSPC);
	case ACT_CUT:
		put32(fd, 0x67446698);
		return false;
	case ACT_HOLD:
		if (held->there)
			return answer(fd, r, 0);
		*held = (struct held){.there = true, .r = *r};
		return true;
	case ACT_MUTE:
		return true;
	case ACT_CLOSE:
		return false;
	default:
		return answer_wrongly(fd, r, act);
	}
}

static void serve(int fd)
{
	static uint8_t data[SIZE];
	struct held held = {0};
	struct request r;

	if (!shake_hands(fd))
		return;
	while (get(fd, &r, sizeof(r)) && be32toh(r.magic) == 0x25609513) {
		struct held before = held;

		r.type = be16toh(r.type);
		r.offset = be64toh(r.offset);
		r.length = be32toh(r.length);
		if (r.type == 2 || !perform(fd, &r, data) || !act_on(fd, &r, next_byte(), &held))
			return;
		if (before.there) {
			if (!answer(fd, &before.r, 0))
				return;
			held.there = false;
		}
	}
}

/* One connection after the other: so its memory needs no lock. */
static void *serve_all(void *arg)
{
	for (;;) {
		int fd = accept4(server.listener, NULL, NULL, SOCK_CLOEXEC);

		if (fd < 0)
			continue;
		serve(fd);
		close(fd);
	}
	return NULL;
}

static void remove_socket(void)
{
	unlink(server.path);
}

static void start_server(void)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	pthread_t thread;

	pthread_mutex_init(&server.lock, NULL);
	snprintf(server.path, sizeof(server.path), "/tmp/enlite-fuzz-nbd-%d", (int)getpid());
	snprintf(server.uri, sizeof(server.uri), "nbd+unix:///?socket=%s", server.path);
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", server.path);
	unlink(server.path);
	server.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	check(server.listener >= 0);
	check(!bind(server.listener, (struct sockaddr *)&addr, sizeof(addr)));
	check(!listen(server.listener, 16));
	atexit(remove_socket);
	check(!pthread_create(&thread, NULL, serve_all, NULL));
}

/* ---- the client ---------------------------------------------------------- */

static struct disk_rig rig;
static uint8_t out[SLOTS][AREA], in[SLOTS][AREA];
static bool certain[SLOTS]; /* what the disk holds is what out says */

static void too_late(struct loop_timer *t)
{
	check(!"a request is not answered");
}

/* Until the slot is free; then its result is checked. */
static void settle(uint32_t slot)
{
	struct disk_rig_slot *s = &rig.slots[slot];
	struct loop_timer t = {0};

	loop_timer_start(&rig.loop, &t, LIMIT_NS, too_late);
	while (s->busy)
		loop_run(&rig.loop);
	loop_timer_cancel(&t);
	if (s->req->op == DISK_READ && !s->error && certain[slot] && !atomic_load(&server.lied))
		check(!memcmp(in[slot], out[slot], s->req->length));
	if (s->req->op == DISK_WRITE || s->req->op == DISK_WRITE_ZEROES)
		certain[slot] = !s->error && s->req->length == AREA;
}

/* A byte: three bits of what, the rest which slot; the answer is waited for when it is needed. */
static void step(uint8_t byte)
{
	uint32_t slot = byte >> 3 & (SLOTS - 1);
	uint64_t at = slot * AREA;

	settle(slot);
	switch (byte & 7) {
	case 0:
	case 1:
		disk_rig_start(&rig, slot, DISK_READ, 0, at, AREA, in[slot]);
		break;
	case 2:
	case 3:
	case 4:
		memset(out[slot], byte, AREA);
		disk_rig_start(
			&rig, slot, DISK_WRITE, byte & 4 ? DISK_FLAG_FUA : 0, at, AREA, out[slot]);
		break;
	case 5:
		memset(out[slot], 0, AREA);
		disk_rig_start(&rig, slot, DISK_WRITE_ZEROES, DISK_FLAG_UNMAP, at, AREA, NULL);
		break;
	case 6:
		disk_rig_start(&rig, slot, DISK_FLUSH, 0, 0, 0, NULL);
		break;
	case 7:
		disk_rig_wait(&rig, 0);
		break;
	}
}

static void run(const uint8_t *steps, size_t count)
{
	struct disk_nbd_options o = {.retry_ns = RETRY_NS};
	struct disk *disk;
	struct err e;

	if (disk_nbd_open(&disk, server.uri, &o, &e))
		return;
	disk_rig_init(&rig, disk);
	memset(certain, 0, sizeof(certain));
	for (size_t i = 0; i < count; i++)
		step(steps[i]);
	for (uint32_t slot = 0; slot < SLOTS; slot++)
		settle(slot);
	disk_rig_fini(&rig, false);
}

static void set_script(const uint8_t *bytes, size_t len, bool multi)
{
	pthread_mutex_lock(&server.lock);
	server.len = len < SCRIPT_MAX ? len : SCRIPT_MAX;
	server.at = 0;
	memcpy(server.script, bytes, server.len);
	pthread_mutex_unlock(&server.lock);
	atomic_store(&server.multi, multi);
	atomic_store(&server.lied, false);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t steps;

	if (!server.listener) {
		log_set_level(LOG_ERROR);
		start_server();
	}
	if (size < 2)
		return 0;
	steps = data[0] % STEPS_MAX;
	if (steps > size - 1)
		steps = size - 1;
	set_script(data + 1 + steps, size - 1 - steps, data[0] & 0x80);
	run(data + 1, steps);
	return 0;
}
