/* SPDX-License-Identifier: MIT */
/* The picture's way to a VNC client and the keys' way back: a display on a loop, the real server in
 * its process, confined as in the product, a client of ours. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <linux/input-event-codes.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/unix_socket.h"
#include "confine/viewer.h"
#include "display/display.h"
#include "display/server.h"
#include "tests/support/rfb.h"

#define BYTES   (4ull << 20)
#define WAIT_NS 60000000000ull

struct rig {
	struct loop loop;
	struct display display;
	char path[64], where[80];
	struct rfb client;
	_Atomic uint32_t watches, keys, moves;
	_Atomic bool watched;
	uint32_t key[64];
	bool down[64];
	struct picture copy;
	int result;
	uint32_t x, y, buttons;
	_Atomic int32_t wheel;
};

static void watch(void *ctx, bool on)
{
	struct rig *r = ctx;

	r->watched = on;
	r->watches++;
}

static void key(void *ctx, uint32_t code, bool down)
{
	struct rig *r = ctx;
	uint32_t n = r->keys;

	if (n == 64)
		return;
	r->key[n] = code;
	r->down[n] = down;
	r->keys = n + 1;
}

static void pointer(void *ctx, uint32_t x, uint32_t y, uint32_t buttons, int32_t wheel)
{
	struct rig *r = ctx;

	r->x = x;
	r->y = y;
	r->buttons = buttons;
	r->wheel += wheel;
	r->moves++;
}

static const struct display_ops ops = {.watch = watch, .key = key, .pointer = pointer};

#define WAIT_FOR(condition)                                                                        \
	do {                                                                                       \
		uint64_t until_ = loop_now_ns() + WAIT_NS;                                         \
		while (!(condition)) {                                                             \
			assert_true(loop_now_ns() < until_);                                       \
			sched_yield();                                                             \
		}                                                                                  \
	} while (0)

/* ---- time ---------------------------------------------------------------- */

static bool hurried;

/* In place of libc's: a hurried keeper rests for milliseconds. */
int poll(struct pollfd *fds, nfds_t count, int ms)
{
	const struct timespec time = {ms / 1000, ms % 1000 * 1000000l}, soon = {0, 1000000};

	return ppoll(fds, count, ms < 0 ? NULL : hurried ? &soon : &time, NULL);
}

/* ---- life ---------------------------------------------------------------- */

static const struct picture_mode small = {0, 320, 200, 1280};

static uint32_t pixel(uint32_t i)
{
	return (i * 2654435761u) & 0xFFFFFF;
}

static void draw(struct rig *r, uint32_t salt)
{
	for (uint32_t i = 0; i < 320 * 200; i++)
		((uint32_t *)r->display.memory)[i] = pixel(i + salt) | 0x5A000000;
}

static void attach(void *arg)
{
	struct rig *r = arg;
	struct err e;

	r->result = display_attach(&r->display, &e);
	draw(r, 0);
	display_set_mode(&r->display, &small, true);
}

static void name_socket(struct rig *r)
{
	snprintf(r->path, sizeof(r->path), "/tmp/enlite-vnc-test.%d", (int)getpid());
	snprintf(r->where, sizeof(r->where), "unix:%s", r->path);
}

static void start_server(struct rig *r)
{
	struct err e = {""};

	if (display_server_start(r->where, confine_viewer, &e))
		fail_msg("%s", e.text);
}

static struct rig *begin(void)
{
	struct rig *r = calloc(1, sizeof(*r));
	struct err e = {""};

	assert_non_null(r);
	name_socket(r);
	start_server(r);
	assert_int_equal(loop_init(&r->loop, "display", &e), 0);
	display_open(&r->display, &r->loop, display_server_socket(), BYTES, &ops, r);
	assert_int_equal(loop_start(&r->loop), 0);
	loop_call(&r->loop, attach, r);
	assert_int_equal(r->result, 0);
	return r;
}

static void end(struct rig *r)
{
	struct stat st;

	shutdown(display_server_socket(), SHUT_RDWR);
	WAIT_FOR(!__atomic_load_n(&r->display.reading, __ATOMIC_ACQUIRE));
	loop_stop(&r->loop);
	loop_join(&r->loop);
	display_detach(&r->display);
	display_close(&r->display);
	loop_fini(&r->loop);
	display_server_stop();
	assert_int_equal(stat(r->path, &st), -1);
	free(r);
}

static bool shows(const struct rig *r, uint32_t salt)
{
	for (uint32_t i = 0; i < 320 * 200; i++)
		if ((r->client.pixels[i] & 0xFFFFFF) != pixel(i + salt))
			return false;
	return true;
}

/* The size may come first, and then parts. */
static void see(struct rig *r, uint32_t salt)
{
	uint64_t until = loop_now_ns() + WAIT_NS;

	assert_true(rfb_ask(&r->client, true));
	do {
		assert_true(loop_now_ns() < until);
		assert_true(rfb_update(&r->client));
		assert_true(rfb_ask(&r->client, false));
	} while (r->client.width != 320 || r->client.height != 200 || !shows(r, salt));
}

static void look(struct rig *r)
{
	WAIT_FOR(__atomic_load_n(&r->display.sent, __ATOMIC_RELAXED) == false);
	assert_true(rfb_open(&r->client, r->path));
	WAIT_FOR(r->watched);
}

static void nothing(void *arg)
{
}

/* ---- tests --------------------------------------------------------------- */

static void a_viewer_sees_the_picture(void **state)
{
	struct rig *r = begin();

	assert_false(r->watched);
	look(r);
	see(r, 0);
	rfb_close(&r->client);
	WAIT_FOR(!r->watched);
	assert_int_equal(r->watches, 2);
	end(r);
}

/* One pixel: no more than its tile is sent, when it is reported. */
static void only_what_changed_is_sent(void **state)
{
	const struct picture_rect dirt = {100, 100, 101, 101};
	struct rig *r = begin();
	uint64_t area;

	look(r);
	see(r, 0);
	area = r->client.area;
	((uint32_t *)r->display.memory)[100 * 320 + 100] = 0x123456;
	display_dirt(&r->display, &dirt);
	assert_true(rfb_update(&r->client));
	assert_int_equal(r->client.pixels[100 * 320 + 100] & 0xFFFFFF, 0x123456);
	assert_in_range(r->client.area - area, 1, 64 * 64);
	rfb_close(&r->client);
	end(r);
}

/* A guest that reports nothing, or lies: what it draws is found. */
static void untold_pixels_are_found(void **state)
{
	struct rig *r = begin();

	look(r);
	see(r, 0);
	display_untold(&r->display);
	draw(r, 7);
	see(r, 7);
	rfb_close(&r->client);
	end(r);
}

static void keys_arrive_and_come_up(void **state)
{
	struct rig *r = begin();

	look(r);
	see(r, 0); /* the server has said that it knows codes of keys */
	assert_true(rfb_key(&r->client, 0x2A, true));
	assert_true(rfb_key(&r->client, 0x80 | 0x4D, true));
	assert_true(rfb_key(&r->client, 0x80 | 0x4D, false));
	assert_true(rfb_keysym(&r->client, 'q', true));
	assert_true(rfb_keysym(&r->client, 0xFFFFFF, true)); /* none */
	WAIT_FOR(r->keys == 4);
	rfb_close(&r->client);
	WAIT_FOR(r->keys == 6);
	assert_true(r->key[0] == KEY_LEFTSHIFT && r->down[0]);
	assert_true(r->key[1] == KEY_RIGHT && r->down[1]);
	assert_true(r->key[2] == KEY_RIGHT && !r->down[2]);
	assert_true(r->key[3] == KEY_Q && r->down[3]);
	assert_true(r->key[4] == KEY_Q && !r->down[4]);
	assert_true(r->key[5] == KEY_LEFTSHIFT && !r->down[5]);
	end(r);
}

static void the_pointer_arrives(void **state)
{
	struct rig *r = begin();

	look(r);
	see(r, 0);
	rfb_pointer(&r->client, 0, 0, 0);
	WAIT_FOR(r->moves == 1);
	assert_true(r->x == 0 && r->y == 0 && r->buttons == 0);
	rfb_pointer(&r->client, 319, 199, 1 | 4);
	WAIT_FOR(r->moves == 2);
	assert_true(r->x == 32767 && r->y == 32767 && r->buttons == 3);
	rfb_pointer(&r->client, 60000, 60000, 2 | 8);
	rfb_pointer(&r->client, 60000, 60000, 2 | 8);
	rfb_pointer(&r->client, 60000, 60000, 2);
	rfb_pointer(&r->client, 60000, 60000, 2 | 8);
	rfb_pointer(&r->client, 60000, 60000, 2 | 16);
	WAIT_FOR(r->moves == 7);
	assert_true(r->x == 32767 && r->buttons == 4);
	assert_int_equal(r->wheel, 1);
	rfb_close(&r->client);
	end(r);
}

static void buttons_come_up_when_their_viewer_goes(void **state)
{
	struct rig *r = begin();

	look(r);
	see(r, 0);
	rfb_pointer(&r->client, 319, 0, 2);
	WAIT_FOR(r->moves == 1);
	assert_int_equal(r->buttons, 4);
	rfb_close(&r->client);
	WAIT_FOR(r->moves == 2);
	assert_true(r->buttons == 0 && r->x == 32767 && r->y == 0);
	end(r);
}

static void keep_and_copy(void *arg)
{
	struct rig *r = arg;

	display_keep(&r->display);
	draw(r, 9);
	r->result = display_copy(&r->display, true, &r->copy);
}

static void the_last_picture_is_kept(void **state)
{
	struct rig *r = begin();
	uint32_t first;

	loop_call(&r->loop, keep_and_copy, r);
	assert_int_equal(r->result, 0);
	first = r->copy.pixels[0] & 0xFFFFFF;
	assert_int_equal(first, pixel(0));
	picture_free(&r->copy);
	end(r);
}

/* neatvnc 0.5.4 uses memory of a client that it has freed, which can crash the server (ADR 0016):
 * worker and picture are not touched by that, and the server is there again. */
static void hostile_clients_do_not_reach_the_worker(void **state)
{
	struct rig *r = begin();
	uint8_t noise[4096];

	for (uint32_t salt = 0; salt < 20 && rfb_open(&r->client, r->path); salt++) {
		for (uint32_t i = 0; i < sizeof(noise); i++)
			noise[i] = (uint8_t)(pixel(i + salt * 77) >> 7);
		send(r->client.fd, noise, sizeof(noise), MSG_NOSIGNAL);
		rfb_close(&r->client);
	}
	WAIT_FOR(rfb_open(&r->client, r->path));
	see(r, 0);
	rfb_close(&r->client);
	loop_call(&r->loop, keep_and_copy, r);
	assert_int_equal(r->result, 0);
	assert_int_equal(r->copy.pixels[5] & 0xFFFFFF, pixel(5));
	picture_free(&r->copy);
	end(r);
}

/* ---- a server that crashes ----------------------------------------------- */

/* Who listened. */
static pid_t server_of(const struct rfb *client)
{
	struct ucred who;
	socklen_t size = sizeof(who);

	assert_int_equal(getsockopt(client->fd, SOL_SOCKET, SO_PEERCRED, &who, &size), 0);
	assert_int_not_equal(who.pid, getpid());
	return who.pid;
}

static void crash(struct rig *r)
{
	uint64_t before = __atomic_load_n(&r->display.ends, __ATOMIC_ACQUIRE);

	kill(server_of(&r->client), SIGKILL);
	WAIT_FOR(__atomic_load_n(&r->display.ends, __ATOMIC_ACQUIRE) == before + 1);
	rfb_close(&r->client);
}

static void what_was_held_comes_up_after_a_crash(void **state)
{
	struct rig *r = begin();

	look(r);
	see(r, 0);
	rfb_key(&r->client, 0x2A, true);
	rfb_key(&r->client, 0x1E, true);
	rfb_key(&r->client, 0x1E, false);
	rfb_pointer(&r->client, 319, 199, 1);
	WAIT_FOR(r->keys == 3 && r->moves == 1);
	assert_int_equal(r->buttons, 1);
	crash(r);
	WAIT_FOR(!r->watched);
	assert_int_equal(r->keys, 4);
	assert_true(r->key[3] == KEY_LEFTSHIFT && !r->down[3]);
	assert_int_equal(r->moves, 2);
	assert_true(r->buttons == 0 && r->x == 32767 && r->y == 32767);
	end(r);
}

static void a_crashed_server_is_started_again(void **state)
{
	struct rig *r = begin();

	for (uint32_t i = 0; i < 3; i++) {
		WAIT_FOR(rfb_open(&r->client, r->path));
		WAIT_FOR(r->watched);
		see(r, 0);
		crash(r);
		assert_int_equal(r->display.rest_s, 1u << i);
		WAIT_FOR(!r->watched);
	}
	end(r);
}

/* Nothing says how it ended, then. */
static void a_crash_is_seen_where_children_are_ignored(void **state)
{
	void (*before)(int) = signal(SIGCHLD, SIG_IGN);
	struct rig *r = begin();

	look(r);
	crash(r);
	WAIT_FOR(rfb_open(&r->client, r->path));
	rfb_close(&r->client);
	end(r);
	signal(SIGCHLD, before);
}

/* It is no child of ours: gone when its keeper has reaped it. */
static void a_server_that_hangs_ends_with_its_link(void **state)
{
	struct rig *r = begin();
	pid_t server;

	look(r);
	server = server_of(&r->client);
	assert_int_equal(kill(server, SIGSTOP), 0);
	rfb_close(&r->client);
	end(r);
	WAIT_FOR(kill(server, 0) && errno == ESRCH);
}

static pid_t wait_server(struct rig *r)
{
	pid_t server;

	WAIT_FOR(rfb_open(&r->client, r->path));
	server = server_of(&r->client);
	rfb_close(&r->client);
	return server;
}

/* The test is the worker. */
static void restarts_come_to_an_end(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));
	struct link_message m;
	uint32_t ends = 0;

	assert_non_null(r);
	name_socket(r);
	hurried = true;
	start_server(r);
	kill(wait_server(r), SIGKILL);
	while (recv(display_server_socket(), &m, sizeof(m), 0) == sizeof(m)) {
		ends += m.type == LINK_ENDED;
		if (m.type == LINK_READY)
			kill(wait_server(r), SIGKILL);
	}
	assert_int_equal(ends, 20);
	hurried = false;
	display_server_stop();
	free(r);
}

/* ---- what the server's end says ------------------------------------------ */

/* A display whose server the test is. */
static struct rig *begin_alone(int *server)
{
	struct rig *r = calloc(1, sizeof(*r));
	struct err e = {""};
	int ends[2];

	assert_non_null(r);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
	*server = ends[1];
	assert_int_equal(loop_init(&r->loop, "display", &e), 0);
	display_open(&r->display, &r->loop, ends[0], BYTES, &ops, r);
	assert_int_equal(loop_start(&r->loop), 0);
	return r;
}

static void end_alone(struct rig *r, int server)
{
	close(server);
	WAIT_FOR(__atomic_load_n(&r->display.server, __ATOMIC_ACQUIRE) == DISPLAY_NONE);
	loop_stop(&r->loop);
	loop_join(&r->loop);
	display_close(&r->display);
	loop_fini(&r->loop);
	close(r->display.link);
	free(r);
}

static void say(int server, uint32_t type)
{
	const struct link_message m = {.type = type, .ended.rest_s = LINK_REST_MAX_S};

	assert_int_equal(send(server, &m, sizeof(m), MSG_NOSIGNAL), sizeof(m));
}

static bool hung_up(int server)
{
	struct pollfd p = {.fd = server};

	return poll(&p, 1, 0) == 1 && p.revents & POLLHUP;
}

/* A worker that was held up reads both at once, however long the rest was. */
static void ready_right_behind_ended_serves(void **state)
{
	int server;
	struct rig *r = begin_alone(&server);

	for (uint32_t i = 1; i <= 3; i++) {
		say(server, LINK_ENDED);
		say(server, LINK_READY);
		WAIT_FOR(__atomic_load_n(&r->display.ends, __ATOMIC_ACQUIRE) == i);
		WAIT_FOR(__atomic_load_n(&r->display.server, __ATOMIC_ACQUIRE) == DISPLAY_SERVING);
	}
	say(server, LINK_READY);
	loop_call(&r->loop, nothing, NULL);
	assert_false(hung_up(server));
	end_alone(r, server);
}

static void lies_about_ends_are_few(void **state)
{
	const struct link_message m = {.type = LINK_ENDED, .ended.rest_s = LINK_REST_MIN_S};
	int server;
	struct rig *r = begin_alone(&server);
	uint64_t until = loop_now_ns() + WAIT_NS, began = loop_now_ns();

	while (send(server, &m, sizeof(m), MSG_NOSIGNAL) == sizeof(m))
		assert_true(loop_now_ns() < until);
	WAIT_FOR(__atomic_load_n(&r->display.server, __ATOMIC_ACQUIRE) == DISPLAY_NONE);
	assert_true(hung_up(server));
	assert_in_range(r->display.ends, 10, 10 + (loop_now_ns() - began) / 60000000000);
	end_alone(r, server);
}

/* ---- a guest that sets modes --------------------------------------------- */

/* Without viewers, the server hears of one mode in a second, and of the last one. */
static void modes_without_viewers_are_few(void **state)
{
	const struct picture_mode other = {0, 160, 100, 640};
	struct rig *r = begin();
	uint64_t began = loop_now_ns(), updates = r->display.updates;

	for (uint32_t i = 0; i < 1000; i++) {
		display_set_mode(&r->display, i % 2 ? &small : &other, true);
		loop_call(&r->loop, nothing, NULL);
		WAIT_FOR(!__atomic_load_n(&r->display.sent, __ATOMIC_ACQUIRE));
	}
	loop_call(&r->loop, nothing, NULL);
	assert_in_range(r->display.updates - updates, 0, 2 + (loop_now_ns() - began) / 1000000000);
	look(r);
	see(r, 0);
	assert_int_equal(r->client.width, 320);
	rfb_close(&r->client);
	end(r);
}

/* ---- where --------------------------------------------------------------- */

static void places_are_checked(void **state)
{
	static const char *const wrong[] = {"", "unix:", "127.0.0.1", "127.0.0.1:", "127.0.0.1:-1",
		"127.0.0.1:100", "127.0.0.1:1x", "0.0.0.0:1", "192.168.0.1:1", "localhost:1", ":1",
		"127.0.0.1.1.1.1.1.1:1"};
	struct err e;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(display_server_check(wrong[i], &e), -EINVAL);
	assert_int_equal(display_server_check("unix:x", &e), 0);
	assert_int_equal(display_server_check("127.0.0.1:0", &e), 0);
	assert_int_equal(display_server_check("127.0.0.2:99", &e), 0);
}

static void a_place_in_use_is_refused(void **state)
{
	char path[64], where[80];
	FILE *f;
	struct err e;

	snprintf(path, sizeof(path), "/tmp/enlite-vnc-test.%d.file", (int)getpid());
	snprintf(where, sizeof(where), "unix:%s", path);
	f = fopen(path, "w");
	assert_non_null(f);
	fclose(f);
	assert_int_equal(display_server_start(where, NULL, &e), -EADDRINUSE);
	assert_non_null(strstr(e.text, path));
	assert_int_equal(unlink(path), 0); /* it is still there */
}

/* What others have put there since is not ours to remove. */
static void a_place_that_others_took_stays(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));
	int other;

	assert_non_null(r);
	name_socket(r);
	start_server(r);
	assert_int_equal(unlink(r->path), 0);
	other = unix_socket_listen(r->path, SOCK_STREAM, 1);
	assert_true(other >= 0);
	display_server_stop();
	close(other);
	assert_int_equal(unlink(r->path), 0); /* it is still there */
	free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_viewer_sees_the_picture),
		cmocka_unit_test(only_what_changed_is_sent),
		cmocka_unit_test(untold_pixels_are_found),
		cmocka_unit_test(keys_arrive_and_come_up),
		cmocka_unit_test(the_pointer_arrives),
		cmocka_unit_test(buttons_come_up_when_their_viewer_goes),
		cmocka_unit_test(the_last_picture_is_kept),
		cmocka_unit_test(hostile_clients_do_not_reach_the_worker),
		cmocka_unit_test(what_was_held_comes_up_after_a_crash),
		cmocka_unit_test(a_crashed_server_is_started_again),
		cmocka_unit_test(a_crash_is_seen_where_children_are_ignored),
		cmocka_unit_test(a_server_that_hangs_ends_with_its_link),
		cmocka_unit_test(restarts_come_to_an_end),
		cmocka_unit_test(ready_right_behind_ended_serves),
		cmocka_unit_test(lies_about_ends_are_few),
		cmocka_unit_test(modes_without_viewers_are_few),
		cmocka_unit_test(places_are_checked),
		cmocka_unit_test(a_place_in_use_is_refused),
		cmocka_unit_test(a_place_that_others_took_stays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
