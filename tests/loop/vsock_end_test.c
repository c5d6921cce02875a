/* SPDX-License-Identifier: MIT */
/* The ends of connections between programs and the guest: what was sent before comes before. */
#include "vsock_rig.h"

#include <poll.h>

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(what_a_program_said_before_it_died_comes),
	};

	return cmocka_run_group_tests_name("vsock ends", tests, NULL, NULL);
}
