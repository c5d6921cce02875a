/* SPDX-License-Identifier: MIT */
/*
 * Two copies of the picture: `shown` is what viewers have been fed. A tile of video memory that
 * differs from it is copied, and its rectangle is damage. neatvnc compresses in threads of its own
 * from a buffer that is not changed any more, so a guest that draws meanwhile does not confuse it.
 *
 * With no viewer nothing is compared or copied.
 */
#include "display/vnc.h"
#include "base/time.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "display/keys.h"
#include "display/link.h"
#include "display/vnc_lib.h"

#define FORMAT_XRGB8888 0x34325258u /* "XR24" of drm_fourcc.h: bytes B, G, R, X */
#define TICK_MS         33u         /* the shortest time between two updates */
/* Between two comparisons of the whole picture: of a guest that reports what it draws, which may be
 * wrong, and of one that does not. On a slow machine they take at most a tenth of a CPU, and all
 * that a tick does half of one. */
#define SCAN_REPORTED_NS     1000000000ull
#define SCAN_NOT_REPORTED_NS 100000000ull
#define SCAN_SHARE           10u
#define TILE                 64u
#define BLANK_WIDTH          640u
#define BLANK_HEIGHT         480u

struct vnc {
	int link;
	struct vnc_lib lib;
	struct aml *loop;
	struct nvnc *server;
	struct nvnc_display *display;
	struct nvnc_fb_pool *pool;
	struct aml_ticker *ticker; /* runs while there are viewers */
	uint32_t viewers;
	/* the guest's */
	const uint8_t *memory;
	size_t bytes;
	struct picture_mode mode;
	bool told;
	/* what is shown */
	uint32_t width, height;
	uint32_t *shown;
	struct picture_rect dirt; /* to be compared in the next tick */
	bool owes_drawn;
	uint64_t scan_due_ns, rest_until_ns; /* CLOCK_MONOTONIC */
};

/* A viewer's keys, which come up when it goes, and its buttons. */
struct viewer {
	struct vnc *vnc;
	bool down[LINK_KEYS];
	uint32_t buttons; /* as neatvnc has them */
	uint32_t x, y;    /* as in link.h */
};

/* Callbacks of neatvnc have no context of ours before there is a client. */
static struct vnc vnc;

static void tell(struct vnc *v, const struct link_message *m)
{
	ssize_t n = send(v->link, m, sizeof(*m), 0);

	(void)n; /* the worker is gone: the end of the link ends us */
}

/* ---- the picture --------------------------------------------------------- */

static bool copy_tile(struct vnc *v, const struct picture_rect *t)
{
	size_t bytes = (t->right - t->left) * sizeof(*v->shown);
	bool changed = false;

	for (uint32_t y = t->top; y < t->bottom; y++) {
		const uint8_t *from = v->memory + v->mode.offset + (size_t)y * v->mode.pitch +
				      (size_t)t->left * 4;
		uint32_t *to = v->shown + (size_t)y * v->width + t->left;

		if (!memcmp(to, from, bytes))
			continue;
		memcpy(to, from, bytes);
		changed = true;
	}
	return changed;
}

/* The tiles that touch `r`. True: some have changed. */
static bool look_at(struct vnc *v, const struct picture_rect *r, struct pixman_region16 *damage)
{
	bool any = false;

	for (uint32_t top = r->top / TILE * TILE; top < r->bottom; top += TILE)
		for (uint32_t left = r->left / TILE * TILE; left < r->right; left += TILE) {
			struct picture_rect t = {left, top, left + TILE, top + TILE};

			picture_rect_clip(&t, v->width, v->height);
			if (!copy_tile(v, &t))
				continue;
			v->lib.pixman_region_union_rect(damage, damage, (int)t.left, (int)t.top,
				t.right - t.left, t.bottom - t.top);
			any = true;
		}
	return any;
}

static void feed(struct vnc *v, struct pixman_region16 *damage)
{
	struct nvnc_fb *fb = v->lib.nvnc_fb_pool_acquire(v->pool);

	if (!fb)
		return;
	memcpy(v->lib.nvnc_fb_get_addr(fb), v->shown,
		(size_t)v->width * v->height * sizeof(*v->shown));
	v->lib.nvnc_display_feed_buffer(v->display, fb, damage);
	v->lib.nvnc_fb_unref(fb);
}

static void feed_all(struct vnc *v)
{
	struct pixman_region16 all;

	v->lib.pixman_region_init(&all);
	v->lib.pixman_region_union_rect(&all, &all, 0, 0, v->width, v->height);
	feed(v, &all);
	v->lib.pixman_region_fini(&all);
}

static bool set_size(struct vnc *v, uint32_t width, uint32_t height)
{
	uint32_t *shown = calloc((size_t)width * height, sizeof(*shown));
	struct nvnc_fb_pool *pool = v->lib.nvnc_fb_pool_new(
		(uint16_t)width, (uint16_t)height, FORMAT_XRGB8888, (uint16_t)width);

	if (!shown || !pool) {
		free(shown);
		if (pool)
			v->lib.nvnc_fb_pool_unref(pool);
		return false;
	}
	free(v->shown);
	if (v->pool)
		v->lib.nvnc_fb_pool_unref(v->pool);
	v->shown = shown;
	v->pool = pool;
	v->width = width;
	v->height = height;
	return true;
}

static bool has_picture(const struct vnc *v)
{
	return v->memory && v->mode.width && picture_mode_is_valid(&v->mode, v->bytes);
}

static void look(struct vnc *v, struct picture_rect *r)
{
	struct pixman_region16 damage;

	picture_rect_clip(r, v->width, v->height);
	if (picture_rect_is_empty(r))
		return;
	v->lib.pixman_region_init(&damage);
	if (look_at(v, r, &damage))
		feed(v, &damage);
	v->lib.pixman_region_fini(&damage);
}

/* False: there is no memory for its size. The picture that is shown stays. */
static bool follow_mode(struct vnc *v)
{
	if (v->mode.width == v->width && v->mode.height == v->height)
		return true;
	if (!set_size(v, v->mode.width, v->mode.height))
		return false;
	feed_all(v);
	return true;
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return timespec_ns(now);
}

static void compare(struct vnc *v, uint64_t begin)
{
	const struct picture_rect all = {0, 0, v->width, v->height};
	uint64_t interval = v->told ? SCAN_REPORTED_NS : SCAN_NOT_REPORTED_NS, took;
	bool scan = begin >= v->scan_due_ns;

	if (scan)
		v->dirt = all;
	look(v, &v->dirt);
	took = now_ns() - begin;
	v->rest_until_ns = begin + 2 * took;
	if (scan)
		v->scan_due_ns =
			begin + (took * SCAN_SHARE > interval ? took * SCAN_SHARE : interval);
}

static void tick(struct vnc *v)
{
	uint64_t begin = now_ns();

	if (begin < v->rest_until_ns)
		return;
	if (v->viewers && has_picture(v) && follow_mode(v))
		compare(v, begin);
	v->dirt = (struct picture_rect){0};
	if (v->owes_drawn)
		tell(v, &(struct link_message){.type = LINK_DRAWN});
	v->owes_drawn = false;
}

/* aml gives a callback the object itself. */
static void on_tick(void *ticker)
{
	tick(&vnc);
}

/* ---- the worker ---------------------------------------------------------- */

static void take_memory(struct vnc *v, const struct link_message *m, int fd)
{
	void *memory = fd < 0 ? MAP_FAILED : mmap(NULL, m->bytes, PROT_READ, MAP_SHARED, fd, 0);

	if (v->memory)
		munmap((void *)v->memory, v->bytes);
	v->memory = memory == MAP_FAILED ? NULL : memory;
	v->bytes = m->bytes;
	v->mode.width = 0;
}

/* A viewer that comes gets the size first. */
static void take_update(struct vnc *v, const struct link_message *m)
{
	v->mode = m->update.mode;
	v->told = m->update.told;
	picture_rect_add(&v->dirt, &m->update.dirt);
	v->owes_drawn = true;
	if (v->viewers)
		return;
	if (has_picture(v))
		follow_mode(v);
	v->rest_until_ns = 0;
	tick(v);
}

static ssize_t receive(int link, struct link_message *m, int *fd)
{
	char control[CMSG_SPACE(sizeof(int))];
	struct iovec iov = {m, sizeof(*m)};
	struct msghdr h = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control)};
	ssize_t n = recvmsg(link, &h, MSG_CMSG_CLOEXEC);
	struct cmsghdr *c = n > 0 ? CMSG_FIRSTHDR(&h) : NULL;

	*fd = -1;
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
		memcpy(fd, CMSG_DATA(c), sizeof(*fd));
	return n;
}

static void on_link(void *handler)
{
	struct vnc *v = &vnc;
	struct link_message m;
	int fd;

	if (receive(v->link, &m, &fd) != sizeof(m)) {
		v->lib.aml_exit(v->loop);
		return;
	}
	if (m.type == LINK_MEMORY)
		take_memory(v, &m, fd);
	else if (m.type == LINK_UPDATE)
		take_update(v, &m);
	if (fd >= 0)
		close(fd);
}

/* ---- viewers ------------------------------------------------------------- */

static void tell_viewers(struct vnc *v)
{
	tell(v, &(struct link_message){.type = LINK_VIEWERS, .viewers = v->viewers});
}

static struct viewer *viewer_of(struct nvnc_client *client)
{
	return vnc.lib.nvnc_get_userdata(client);
}

static void tell_key(struct viewer *w, uint32_t key, bool down)
{
	if (!key || key >= LINK_KEYS)
		return;
	w->down[key] = down;
	tell(w->vnc, &(struct link_message){.type = LINK_KEY, .key = {key, down}});
}

/* Of a client that knows codes of keys: neatvnc has made Linux's of them. */
static void on_key_code(struct nvnc_client *client, uint32_t code, bool down)
{
	struct viewer *w = viewer_of(client);

	if (w)
		tell_key(w, code, down);
}

static void on_key(struct nvnc_client *client, uint32_t keysym, bool down)
{
	struct viewer *w = viewer_of(client);

	if (w)
		tell_key(w, key_by_keysym(keysym), down);
}

static uint32_t scale(uint32_t at, uint32_t size)
{
	if (at >= size)
		at = size - 1;
	return size > 1 ? (uint32_t)((uint64_t)at * LINK_POINTER_MAX / (size - 1)) : 0;
}

static uint32_t hid_buttons(uint32_t mask)
{
	return (mask & NVNC_BUTTON_LEFT ? 1u : 0) | (mask & NVNC_BUTTON_RIGHT ? 2u : 0) |
	       (mask & NVNC_BUTTON_MIDDLE ? 4u : 0);
}

static void tell_pointer(struct viewer *w, uint32_t mask, int32_t wheel)
{
	w->buttons = mask;
	tell(w->vnc, &(struct link_message){
			     .type = LINK_POINTER,
			     .pointer = {w->x, w->y, hid_buttons(mask), wheel},
		     });
}

/* The wheel is two buttons, each step an edge. */
static void on_pointer(
	struct nvnc_client *client, uint16_t x, uint16_t y, enum nvnc_button_mask mask)
{
	struct viewer *w = viewer_of(client);
	uint32_t pressed;

	if (!w)
		return;
	pressed = mask & ~w->buttons;
	w->x = scale(x, w->vnc->width);
	w->y = scale(y, w->vnc->height);
	tell_pointer(
		w, mask, (pressed & NVNC_SCROLL_UP ? 1 : 0) - (pressed & NVNC_SCROLL_DOWN ? 1 : 0));
}

static void let_go(struct viewer *w)
{
	for (uint32_t key = 0; key < LINK_KEYS; key++)
		if (w->down[key])
			tell_key(w, key, false);
	if (hid_buttons(w->buttons))
		tell_pointer(w, 0, 0);
}

static void on_client_gone(struct nvnc_client *client)
{
	struct viewer *w = viewer_of(client);

	if (!w)
		return;
	let_go(w);
	if (!--w->vnc->viewers) {
		vnc.lib.aml_stop(vnc.loop, vnc.ticker);
		vnc.rest_until_ns = 0;
		tick(&vnc); /* an update that has not been answered */
	}
	tell_viewers(w->vnc);
	vnc.lib.nvnc_set_userdata(client, NULL, NULL);
	free(w);
}

/* The first one sees what is there now, not what the last one saw. */
static void on_client(struct nvnc_client *client)
{
	struct vnc *v = &vnc;
	struct viewer *w = calloc(1, sizeof(*w));

	if (!w)
		return;
	w->vnc = v;
	v->lib.nvnc_set_userdata(client, w, NULL);
	v->lib.nvnc_set_client_cleanup_fn(client, on_client_gone);
	if (!v->viewers++)
		v->lib.aml_start(v->loop, v->ticker);
	v->scan_due_ns = v->rest_until_ns = 0;
	tell_viewers(v);
	tick(v);
}

/* ---- life ---------------------------------------------------------------- */

static int fail(const char *text)
{
	struct link_message m = {.type = LINK_FAILED};

	snprintf(m.text, sizeof(m.text), "%.255s", text);
	tell(&vnc, &m);
	return -1;
}

static struct nvnc *listen_at(struct vnc *v, const struct vnc_address *to)
{
	mode_t mask = umask(0177);
	struct nvnc *server =
		to->path ? v->lib.nvnc_open_unix(to->path) : v->lib.nvnc_open(to->host, to->port);

	umask(mask);
	return server;
}

static int open_server(struct vnc *v, const struct vnc_address *to)
{
	char text[200];

	v->loop = v->lib.aml_new();
	if (!v->loop)
		return fail("no memory");
	v->lib.aml_set_default(v->loop);
	v->lib.nvnc_set_log_level(NVNC_LOG_PANIC);
	errno = 0;
	v->server = listen_at(v, to);
	if (v->server)
		return 0;
	if (to->path)
		snprintf(text, sizeof(text), "%s: cannot listen there: %s", to->path,
			strerror(errno));
	else
		snprintf(text, sizeof(text),
			"%s: port %u: cannot listen there: %s; choose another display number",
			to->host, to->port, strerror(errno));
	return fail(text);
}

static int set_up(struct vnc *v)
{
	struct aml_handler *handler = v->lib.aml_handler_new(v->link, on_link, NULL, NULL);

	v->ticker = v->lib.aml_ticker_new(TICK_MS, on_tick, NULL, NULL);
	v->display = v->lib.nvnc_display_new(0, 0);
	if (!v->ticker || !handler || !v->display || !set_size(v, BLANK_WIDTH, BLANK_HEIGHT))
		return fail("no memory");
	v->lib.nvnc_set_name(v->server, "Enlite");
	v->lib.nvnc_set_key_fn(v->server, on_key);
	v->lib.nvnc_set_key_code_fn(v->server, on_key_code);
	v->lib.nvnc_set_pointer_fn(v->server, on_pointer);
	v->lib.nvnc_set_new_client_fn(v->server, on_client);
	v->lib.nvnc_add_display(v->server, v->display);
	feed_all(v);
	v->lib.aml_start(v->loop, handler);
	return 0;
}

bool vnc_run(int link, const struct vnc_address *to, int (*confine)(void))
{
	struct vnc *v = &vnc;
	struct err e;

	v->link = link;
	if (vnc_lib_load(&v->lib, &e)) {
		fail(e.text);
		return false;
	}
	if (open_server(v, to) || set_up(v))
		return false;
	if (confine && confine()) {
		fail("the VNC server cannot be confined");
		return false;
	}
	tell(v, &(struct link_message){.type = LINK_READY});
	v->lib.aml_run(v->loop);
	return true;
}
