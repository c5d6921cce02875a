/* SPDX-License-Identifier: MIT */
#include "tests/support/nic_rig.h"

#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/check.h"

#define PIECE 1500u /* of receive buffers: like the sections of a guest */

/* ---- client -------------------------------------------------------------- */

static struct nic_rig *rig_of(struct nic_client *client)
{
	return container_of(client, struct nic_rig, client);
}

static void on_tx_done(struct nic_client *client, struct nic_frame *frame, int error)
{
	struct nic_rig *rig = rig_of(client);
	struct nic_rig_frame *f = container_of(frame, struct nic_rig_frame, frame);

	check(f->busy && rig->frames_out);
	f->busy = false;
	rig->frames_out--;
	rig->sent += !error;
	rig->failed += !!error;
	rig->last_error = error ? error : rig->last_error;
	if (rig->tx_done)
		rig->tx_done(rig, error);
}

/* The first piece has the least allowed, the others are like sections. */
static void fill_room(struct nic_rig_frame *f, uint32_t room)
{
	uint32_t at = NIC_ROOM_FIRST, n = 2;

	f->iov[1] = (struct iovec){f->bytes, NIC_ROOM_FIRST};
	while (at < room) {
		uint32_t len = room - at < PIECE ? room - at : PIECE;

		f->iov[n++] = (struct iovec){f->bytes + at, len};
		at += len;
	}
	f->frame = (struct nic_frame){.iov = f->iov, .iov_count = n, .room = room};
}

static uint32_t on_rx_get(struct nic_client *client, struct nic_frame *frames[], uint32_t count)
{
	struct nic_rig *rig = rig_of(client);
	uint32_t n = 0;

	check(count && count <= NIC_BATCH && !rig->stopped);
	for (uint32_t i = 0; i < RIG_BUFFERS && n < count && rig->buffers_out < rig->buffers_max;
		i++) {
		if (rig->buffers[i].busy)
			continue;
		rig->buffers[i].busy = true;
		rig->buffers_out++;
		fill_room(&rig->buffers[i], rig->room_max ? rig->room_max : RIG_ROOM);
		frames[n++] = &rig->buffers[i].frame;
	}
	return n;
}

static struct nic_rig_frame *buffer_back(struct nic_rig *rig, struct nic_frame *frame)
{
	struct nic_rig_frame *f = container_of(frame, struct nic_rig_frame, frame);

	check(f->busy && rig->buffers_out && !rig->stopped);
	f->busy = false;
	rig->buffers_out--;
	return f;
}

static void on_rx(struct nic_client *client, struct nic_frame *frames[], uint32_t count)
{
	struct nic_rig *rig = rig_of(client);

	check(count && count <= NIC_BATCH);
	for (uint32_t i = 0; i < count; i++) {
		struct nic_rig_frame *f = buffer_back(rig, frames[i]);

		check(f->frame.length >= NIC_ETH_HEADER);
		check(f->frame.length + f->frame.skip < f->frame.room);
		if (rig->only_ours && memcmp(f->bytes + f->frame.skip + 6, "\2\0\0", 3))
			continue;
		rig->received++;
		if (rig->rx)
			rig->rx(rig, f->bytes + f->frame.skip, &f->frame);
	}
}

static void on_rx_put(struct nic_client *client, struct nic_frame *frames[], uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		buffer_back(rig_of(client), frames[i]);
}

static void on_stopped(struct nic_client *client)
{
	struct nic_rig *rig = rig_of(client);

	check(!rig->stopped && !rig->frames_out && !rig->buffers_out);
	rig->stopped = true;
}

static const struct nic_client_ops client_ops = {
	.tx_done = on_tx_done,
	.rx_get = on_rx_get,
	.rx = on_rx,
	.rx_put = on_rx_put,
	.stopped = on_stopped,
};

/* ---- waiting ------------------------------------------------------------- */

struct waiting {
	struct loop *loop;
	struct loop_hook hook;
	struct loop_timer limit;
	bool (*done)(void *ctx);
	void *ctx;
};

static void look(struct loop_hook *hook)
{
	struct waiting *w = container_of(hook, struct waiting, hook);

	if (w->done(w->ctx))
		loop_stop(w->loop);
}

static void too_late(struct loop_timer *t)
{
	check(!"an event does not come");
}

void nic_rig_run(struct loop *loop, bool (*done)(void *ctx), void *ctx)
{
	struct waiting w = {.loop = loop, .hook.fn = look, .done = done, .ctx = ctx};

	if (done(ctx))
		return;
	loop_hook_add(loop, &w.hook);
	loop_timer_start(loop, &w.limit, RIG_LIMIT_NS, too_late);
	loop_run(loop);
	loop_timer_cancel(&w.limit);
	loop_hook_del(loop, &w.hook);
}

struct awaited {
	struct nic_rig *rig;
	uint64_t count;
};

static bool received(void *ctx)
{
	const struct awaited *a = ctx;

	return a->rig->received >= a->count;
}

void nic_rig_wait_received(struct nic_rig *rig, uint64_t count)
{
	nic_rig_run(rig->loop, received, &(struct awaited){rig, count});
}

static bool all_sent(void *ctx)
{
	return !((struct nic_rig *)ctx)->frames_out;
}

void nic_rig_wait_sent(struct nic_rig *rig)
{
	nic_rig_run(rig->loop, all_sent, rig);
}

static bool link_is(void *ctx)
{
	const struct awaited *a = ctx;

	return nic_link_up(a->rig->nic) == !!a->count;
}

void nic_rig_wait_link(struct nic_rig *rig, bool up)
{
	nic_rig_run(rig->loop, link_is, &(struct awaited){rig, up});
}

struct path {
	struct loop_timer probe;
	struct nic_rig *from, *to;
};

static void send_probe(struct nic_rig *from)
{
	static const uint8_t probe[60] = {
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 0xfe, 0x88, 0xb5};

	if (from->frames_out < RIG_FRAMES)
		nic_rig_send_bytes(from, probe, sizeof(probe));
}

static void probe_again(struct loop_timer *t)
{
	struct path *p = container_of(t, struct path, probe);

	send_probe(p->from);
	loop_timer_start(p->from->loop, t, NS_PER_MS, probe_again);
}

static bool path_open(void *ctx)
{
	const struct path *p = ctx;

	return p->to->received >= p->from->sent;
}

static bool any_received(void *ctx)
{
	return ((const struct path *)ctx)->to->received;
}

/* What the bridge swallowed never arrives, so the last probe shows that all has arrived. */
void nic_rig_wait_path(struct nic_rig *from, struct nic_rig *to)
{
	struct path p = {.from = from, .to = to};

	to->only_ours = true;
	to->received = 0;
	probe_again(&p.probe);
	nic_rig_run(from->loop, any_received, &p);
	loop_timer_cancel(&p.probe);
	nic_rig_wait_sent(from);
	to->received = from->sent = 0;
	send_probe(from);
	nic_rig_run(from->loop, path_open, &p);
	to->received = from->sent = 0;
}

/* ---- life ---------------------------------------------------------------- */

int nic_rig_stack(
	struct nic **nic, struct loop *control, const char *text, uint32_t queues, struct err *e)
{
	struct nic_env env = {.control = control, .queues = queues};
	char copy[512], *rest = copy, *word;
	struct nic_stack s;
	int ret;

	snprintf(copy, sizeof(copy), "%s", text);
	ret = nic_stack_backend(&s, strsep(&rest, ","), e);
	while (!ret && (word = strsep(&rest, ",")))
		ret = nic_stack_option(&s, word, e) ? -EINVAL : 0;
	return ret ? ret : nic_stack_open(nic, &s, &env, e);
}

static void changed(struct nic_watcher *watcher, uint32_t what)
{
	check(what);
	container_of(watcher, struct nic_rig, watcher)->changes++;
}

static void allocate(struct nic_rig *rig)
{
	for (uint32_t i = 0; i < RIG_BUFFERS; i++)
		check(rig->buffers[i].bytes = malloc(RIG_ROOM));
	for (uint32_t i = 0; i < RIG_FRAMES; i++)
		check(rig->frames[i].bytes = malloc(RIG_ROOM));
}

void nic_rig_attach(struct nic_rig *rig, struct loop *loop, struct nic *nic, uint32_t index)
{
	rig->loop = loop;
	rig->nic = nic;
	rig->client.ops = &client_ops;
	rig->stopped = false;
	if (!rig->buffers[0].bytes)
		allocate(rig);
	if (!rig->buffers_max)
		rig->buffers_max = RIG_BUFFERS;
	check(!nic_queue_open(nic, index, loop, &rig->client, &rig->queue));
	nic_rx_resume(rig->queue);
}

void nic_rig_open(struct nic_rig *rig, struct loop *loop, const char *text, uint32_t queues)
{
	struct nic *nic;
	struct err e;

	if (nic_rig_stack(&nic, loop, text, queues, &e)) {
		fprintf(stderr, "%s: %s\n", text, e.text);
		check(!"nic_rig_stack");
	}
	rig->watcher.changed = changed;
	nic_watch(nic, &rig->watcher);
	nic_rig_attach(rig, loop, nic, 0);
}

static bool is_stopped(void *ctx)
{
	return ((struct nic_rig *)ctx)->stopped;
}

void nic_rig_detach(struct nic_rig *rig)
{
	if (!rig->queue->stopping)
		nic_queue_stop(rig->queue);
	nic_rig_run(rig->loop, is_stopped, rig);
	nic_queue_close(rig->queue);
	for (uint32_t i = 0; i < RIG_BUFFERS; i++)
		free(rig->buffers[i].bytes);
	for (uint32_t i = 0; i < RIG_FRAMES; i++)
		free(rig->frames[i].bytes);
	memset(rig->buffers, 0, sizeof(rig->buffers));
	memset(rig->frames, 0, sizeof(rig->frames));
}

static void on_closed(void *ctx)
{
	((struct nic_rig *)ctx)->closed = true;
}

static bool is_closed(void *ctx)
{
	return ((struct nic_rig *)ctx)->closed;
}

void nic_rig_close(struct nic_rig *rig)
{
	nic_rig_detach(rig);
	nic_close(rig->nic, on_closed, rig);
	nic_rig_run(rig->loop, is_closed, rig);
}

/* ---- sending ------------------------------------------------------------- */

struct nic_rig_frame *nic_rig_frame(
	struct nic_rig *rig, uint32_t length, uint32_t first, uint32_t pieces)
{
	struct nic_rig_frame *f = NULL;
	uint32_t at = first;

	for (uint32_t i = 0; i < RIG_FRAMES && !f; i++)
		f = rig->frames[i].busy ? NULL : &rig->frames[i];
	if (!f)
		return NULL;
	check(first >= NIC_ETH_HEADER && first <= length && length <= RIG_ROOM);
	f->iov[1] = (struct iovec){f->bytes, first};
	f->frame = (struct nic_frame){.iov = f->iov, .iov_count = 2, .length = length};
	for (uint32_t left = pieces - 1; at < length; left--) {
		uint32_t len = left > 1 ? (length - at) / left : length - at;

		f->iov[f->frame.iov_count++] = (struct iovec){f->bytes + at, len};
		at += len;
	}
	return f;
}

void nic_rig_send(struct nic_rig *rig, struct nic_rig_frame *f)
{
	struct nic_frame *frame = &f->frame;

	f->busy = true;
	rig->frames_out++;
	nic_tx(rig->queue, &frame, 1);
}

void nic_rig_send_bytes(struct nic_rig *rig, const void *bytes, uint32_t length)
{
	struct nic_rig_frame *f = nic_rig_frame(rig, length, length, 1);

	check(f);
	memcpy(f->bytes, bytes, length);
	nic_rig_send(rig, f);
}

/* ---- network name spaces ------------------------------------------------- */

static bool write_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");
	bool good = file && fputs(text, file) >= 0;

	return file ? !fclose(file) && good : false;
}

static bool unshare_as_user(void)
{
	unsigned int uid = geteuid(), gid = getegid();
	char map[64];

	if (unshare(CLONE_NEWUSER | CLONE_NEWNET))
		return false;
	snprintf(map, sizeof(map), "0 %u 1", uid);
	if (!write_file("/proc/self/setgroups", "deny") || !write_file("/proc/self/uid_map", map))
		return false;
	snprintf(map, sizeof(map), "0 %u 1", gid);
	return write_file("/proc/self/gid_map", map);
}

bool nic_rig_unshare(void)
{
	bool good = geteuid() ? unshare_as_user() : !unshare(CLONE_NEWNET);

	if (!good || access("/dev/net/tun", R_OK | W_OK)) {
		printf("ok - all # SKIP no network name space, or no /dev/net/tun: %s\n",
			strerror(errno));
		return false;
	}
	/* No router solicitations of the kernel's own between the frames of a test. */
	write_file("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1");
	write_file("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
	return true;
}

void nic_rig_shell(const char *format, ...)
{
	char command[1024];
	va_list args;

	va_start(args, format);
	check((size_t)vsnprintf(command, sizeof(command), format, args) < sizeof(command));
	va_end(args);
	if (system(command)) {
		fprintf(stderr, "failed: %s\n", command);
		check(!"nic_rig_shell");
	}
}
