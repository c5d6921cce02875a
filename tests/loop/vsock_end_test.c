/* SPDX-License-Identifier: MIT */
/* The ends of connections between programs and the guest: what was sent before comes before. */
#include "tests/loop/vsock_rig.h"

#include <poll.h>

#include "vsp/hvsock/hvsock.h"

static void fill(uint8_t *bytes, size_t length)
{
	for (size_t at = 0; at < length; at++)
		bytes[at] = (uint8_t)(at * 31 + (at >> 8) * 7);
}

/* The last of what the program sends: the guest closes, too. */
static void guest_ends(struct guest_socket *s)
{
	char byte;

	assert_int_equal(guest_socket_receive(s, &byte, 1), 0);
	guest_socket_close(s);
}

/* ---- programs that die --------------------------------------------------- */

/* It reads nothing of what the guest sends before and after. */
static void what_a_program_said_before_it_died_comes(void **state)
{
	static uint8_t bytes[100000], got[sizeof(bytes)];
	int listener = listen_at(PORT);
	int fd = connect_to(&r->s[0], listener, OWN_PORT);
	struct pollfd unread = {fd, POLLIN, 0};

	fill(bytes, sizeof(bytes));
	guest_socket_send(&r->s[0], "unread", 6);
	assert_int_equal(poll(&unread, 1, GUEST_TIMEOUT_MS), 1);
	write_all(fd, bytes, sizeof(bytes));
	close(fd);
	guest_socket_send(&r->s[0], "more", 4);
	guest_run_host(&r->g);
	guest_run_host(&r->g);
	assert_true(guest_socket_receive_all(&r->s[0], got, sizeof(got)));
	assert_memory_equal(got, bytes, sizeof(bytes));
	guest_ends(&r->s[0]);
	unlisten(listener, PORT);
}

/* ---- programs that are silent -------------------------------------------- */

#define NO_TIMER UINT64_MAX

static void look_for_timers(void *arg)
{
	uint64_t *least = arg, now = loop_now_ns();

	list_for_each (item, &loop_of_thread->timers) {
		uint64_t when = container_of(item, struct loop_timer, link)->when_ns;
		uint64_t left = when > now ? when - now : 0;

		*least = left < *least ? left : *least;
	}
}

/* Until the program is cut off, if nothing comes or goes; or NO_TIMER. */
static uint64_t time_left(void)
{
	uint64_t least = NO_TIMER;

	for (uint32_t i = 0; i < r->g.host.io_thread_count; i++)
		loop_call(&r->g.io_threads[i], look_for_timers, &least);
	return least;
}

static void small_buffers_on_control(void *arg)
{
	int size = 4096;

	list_for_each (item, &r->vsock.connections) {
		int fd = container_of(item, struct vsock_connection, link)->fd;

		assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)), 0);
	}
}

static void wait_taken(struct guest_socket *s)
{
	while (vmbus_tx_used(&s->chan.tx))
		guest_run_host(&r->g);
}

static void a_program_may_read_late(void **state)
{
	static uint8_t bytes[30000], got[sizeof(bytes)];
	int listener = listen_at(PORT);
	int fd = connect_to(&r->s[0], listener, OWN_PORT);

	fill(bytes, sizeof(bytes));
	guest_control(&r->g, small_buffers_on_control, NULL);
	guest_socket_send(&r->s[0], bytes, sizeof(bytes));
	assert_int_equal(time_left(), NO_TIMER);
	guest_socket_send_fin(&r->s[0]);
	wait_taken(&r->s[0]);
	assert_in_range(time_left(), HVSOCK_LINGER_NS + 1, HVSOCK_UNREAD_NS);
	read_all(fd, got, sizeof(got));
	assert_memory_equal(got, bytes, sizeof(bytes));
	expect_end(fd);
	assert_in_range(time_left(), 0, HVSOCK_LINGER_NS);
	close(fd);
	guest_ends(&r->s[0]);
	unlisten(listener, PORT);
}

/* What it sends in a pause waits for the guest, however long that is. */
static void a_pause_is_no_silence(void **state)
{
	int listener = listen_at(PORT);
	int fd = connect_to(&r->s[0], listener, OWN_PORT);
	char bytes[4];

	guest_socket_send_fin(&r->s[0]);
	expect_end(fd);
	assert_in_range(time_left(), 0, HVSOCK_LINGER_NS);
	pause_all();
	write_all(fd, "late", 4);
	assert_int_equal(time_left(), NO_TIMER);
	guest_control(&r->g, resume_on_control, NULL);
	assert_true(guest_socket_receive_all(&r->s[0], bytes, 4));
	assert_in_range(time_left(), 0, HVSOCK_LINGER_NS);
	close(fd);
	guest_ends(&r->s[0]);
	unlisten(listener, PORT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(what_a_program_said_before_it_died_comes),
		T(a_program_may_read_late),
		T(a_pause_is_no_silence),
	};

	return cmocka_run_group_tests_name("vsock ends", tests, NULL, NULL);
}
