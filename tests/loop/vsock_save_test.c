/* SPDX-License-Identifier: MIT */
/* A VM whose guest knows a socket connection has no image: it could not be restored. */
#include "tests/loop/vsock_rig.h"

struct look {
	enum vsock_state wanted;
	bool found;
	struct archive archive;
};

static void look_for_rest(void *arg)
{
	struct look *look = arg;

	look->found = bus_is_at_rest(r->g.bus);
	list_for_each (item, &r->vsock.connections) {
		struct vsock_connection *c = container_of(item, struct vsock_connection, link);

		look->found &= c->state == look->wanted;
	}
}

static void write_state(void *arg)
{
	struct look *look = arg;

	archive_write(&look->archive);
	bus_archive(r->g.bus, &look->archive);
}

/* Who restored such an image would not have the device that its guest knows. */
static void expect_no_image(enum vsock_state state)
{
	struct look look = {.wanted = state};
	struct err e;

	while (!look.found)
		guest_control(&r->g, look_for_rest, &look);
	guest_control(&r->g, write_state, &look);
	assert_int_not_equal(archive_error(&look.archive, &e), 0);
	assert_non_null(strstr(e.text, "--vsock"));
	archive_fini(&look.archive);
}

static void a_connection_that_is_offered_is_in_no_image(void **state)
{
	int fd = ask_for("CONNECT 77\n");
	const struct hv_guid service = HVSOCK_PORT_GUID(77);

	guest_wait_offer_of(&r->g, &service, NULL);
	expect_no_image(VSOCK_OFFERED);
	guest_socket_accept(&r->s[0], &r->g, 77);
	expect_ok(fd);
	end_both(&r->s[0], fd);
}

/* Its channel is closed, and the guest still has its socket. */
static void a_connection_that_is_not_released_is_in_no_image(void **state)
{
	int listener = listen_at(PORT);
	int fd = connect_to(&r->s[0], listener, OWN_PORT);
	char byte;

	guest_socket_send_fin(&r->s[0]);
	expect_end(fd);
	close(fd);
	assert_int_equal(guest_socket_receive(&r->s[0], &byte, 1), 0);
	expect_no_image(VSOCK_REMOVING);
	guest_socket_close(&r->s[0]);
	unlisten(listener, PORT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_connection_that_is_offered_is_in_no_image),
		T(a_connection_that_is_not_released_is_in_no_image),
	};

	return cmocka_run_group_tests_name("vsock_save", tests, NULL, NULL);
}
