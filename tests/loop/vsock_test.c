/* SPDX-License-Identifier: MIT */
/* Programs of the host and sockets of the guest, through real rings and real Unix sockets. */
#include "tests/loop/vsock_rig.h"

#include <errno.h>
#include <pthread.h>

#include "hv/dm_reg.h"
#include "tests/support/log_lines.h"

#define BULK (2u << 20)

/* ---- connecting ---------------------------------------------------------- */

static void a_guest_reaches_a_program(void **state)
{
	int listener = listen_at(PORT);
	int fd = connect_to(&r->s[0], listener, OWN_PORT);
	char bytes[16];

	guest_socket_send(&r->s[0], "question", 8);
	read_all(fd, bytes, 8);
	assert_memory_equal(bytes, "question", 8);
	write_all(fd, "answer", 6);
	assert_true(guest_socket_receive_all(&r->s[0], bytes, 6));
	assert_memory_equal(bytes, "answer", 6);
	end_both(&r->s[0], fd);
	unlisten(listener, PORT);
}

static void a_program_reaches_the_guest(void **state)
{
	int fd = ask_for("CONNECT 77\nearly");
	char bytes[16];

	guest_socket_accept(&r->s[0], &r->g, 77);
	expect_ok(fd);
	assert_true(guest_socket_receive_all(&r->s[0], bytes, 5));
	assert_memory_equal(bytes, "early", 5);
	guest_socket_send(&r->s[0], "late", 4);
	read_all(fd, bytes, 4);
	assert_memory_equal(bytes, "late", 4);
	end_both(&r->s[0], fd);
}

static void a_service_may_be_named_by_its_guid(void **state)
{
	int fd = ask_for("connect 0000004D-FACB-11E6-BD58-64006A7986D3\n");

	guest_socket_accept(&r->s[0], &r->g, 77);
	expect_ok(fd);
	end_both(&r->s[0], fd);
}

static void nobody_listens_is_refused(void **state)
{
	guest_socket_ask(&r->g, OWN_PORT, PORT);
	guest_socket_refused(&r->g, OWN_PORT, PORT);
}

static void a_service_that_is_no_port_is_refused(void **state)
{
	struct vmbus_tl_connect msg = {.host_service = {{1, 2, 3}}};
	struct vmbus_tl_connect_result result;

	guest_post(&r->g, VMBUS_MSG_TL_CONNECT, &msg, sizeof(msg));
	guest_expect(&r->g, VMBUS_MSG_TL_CONNECT_RESULT, &result, sizeof(result));
	assert_int_equal(result.status, VMBUS_STATUS_CONNECTION_REFUSED);
}

/* An offer has it as its instance id: none but those of ports, so no device's. */
static void an_endpoint_that_is_no_port_is_refused(void **state)
{
	const struct hv_guid device = DM_INSTANCE;
	struct vmbus_tl_connect msg = {
		.guest_endpoint = device, .host_service = HVSOCK_PORT_GUID(PORT)};
	struct vmbus_tl_connect_result result;
	int listener = listen_at(PORT);

	guest_post(&r->g, VMBUS_MSG_TL_CONNECT, &msg, sizeof(msg));
	guest_expect(&r->g, VMBUS_MSG_TL_CONNECT_RESULT, &result, sizeof(result));
	assert_int_equal(result.status, VMBUS_STATUS_CONNECTION_REFUSED);
	assert_memory_equal(&result.guest_endpoint, &device, sizeof(device));
	unlisten(listener, PORT);
}

static void an_endpoint_in_use_is_refused(void **state)
{
	int listener = listen_at(PORT);
	int fd = connect_to(&r->s[0], listener, OWN_PORT);

	guest_socket_ask(&r->g, OWN_PORT, PORT);
	guest_socket_refused(&r->g, OWN_PORT, PORT);
	expect_end(accept_at(listener));
	end_both(&r->s[0], fd);
	guest_socket_connect(&r->s[0], &r->g, OWN_PORT, PORT); /* free again */
	end_both(&r->s[0], accept_at(listener));
	unlisten(listener, PORT);
}

static void bad_lines_are_closed(void **state)
{
	static const char *const lines[] = {"\n", "HELLO\n", "CONNECT\n", "CONNECT x\n",
		"CONNECT -1\n", "CONNECT 4294967296\n", "CONNECT 1 2\n",
		"CONNECT 000000000000000000000000000000000000000000000000000000\n"};

	for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
		int fd = ask_for(lines[i]);
		char byte;

		assert_true(recv(fd, &byte, 1, 0) <= 0); /* an end, or a reset: bytes are unread */
		close(fd);
	}
}

static void impatient_on_control(void *arg)
{
	r->vsock.open_ns = NS_PER_S;
}

/* Both wait at the same time. */
static void who_does_not_go_on_is_closed(void **state)
{
	const struct hv_guid service = HVSOCK_PORT_GUID(77);
	struct vmbus_offer offer;
	int silent, unanswered;

	guest_control(&r->g, impatient_on_control, NULL);
	silent = ask_for("CONN");
	unanswered = ask_for("CONNECT 77\n");
	offer = guest_wait_offer_of(&r->g, &service, NULL);
	expect_end(silent);
	guest_wait_rescind(&r->g, offer.relid);
	guest_release(&r->g, offer.relid);
	expect_end(unanswered);
	close(silent);
	close(unanswered);
}

/* ---- streams ------------------------------------------------------------- */

static uint8_t byte_at(size_t at, uint32_t seed)
{
	return (uint8_t)(at * 31 + (at >> 8) * 7 + seed);
}

static void *make_bytes(uint32_t seed)
{
	uint8_t *bytes = malloc(BULK);

	for (size_t i = 0; i < BULK; i++)
		bytes[i] = byte_at(i, seed);
	return bytes;
}

static void *program_sends(void *arg)
{
	int fd = *(int *)arg;
	uint8_t *bytes = make_bytes(1);

	for (size_t at = 0, piece = 1; at < BULK; at += piece, piece = piece * 5 % 9973 + 1) {
		if (piece > BULK - at)
			piece = BULK - at;
		if (send(fd, bytes + at, piece, MSG_NOSIGNAL) != (ssize_t)piece)
			abort();
	}
	shutdown(fd, SHUT_WR);
	free(bytes);
	return NULL;
}

static void *program_receives(void *arg)
{
	int fd = *(int *)arg;
	uint8_t *bytes = malloc(BULK), *want = make_bytes(2);
	uint8_t byte;

	if (recv(fd, bytes, BULK, MSG_WAITALL) != BULK || memcmp(bytes, want, BULK) ||
		recv(fd, &byte, 1, 0) != 0)
		abort();
	free(bytes);
	free(want);
	return NULL;
}

static void guest_receives_bulk(struct guest_socket *s)
{
	uint8_t *bytes = malloc(BULK), *want = make_bytes(1);

	assert_true(guest_socket_receive_all(s, bytes, BULK));
	assert_memory_equal(bytes, want, BULK);
	assert_int_equal(guest_socket_receive(s, bytes, 1), 0);
	free(bytes);
	free(want);
}

static void guest_sends_bulk(struct guest_socket *s)
{
	uint8_t *bytes = make_bytes(2);

	guest_socket_send(s, bytes, BULK);
	guest_socket_send_fin(s);
	free(bytes);
}

/* The program sends all the time; the guest sends first, and takes nothing of what the
 * program sends meanwhile: each direction is blocked without blocking the other. */
static void bulk_both_ways_with_half_closes(void **state)
{
	int listener = listen_at(PORT);
	int fd = connect_to(&r->s[0], listener, OWN_PORT);
	pthread_t sender, receiver;

	pthread_create(&sender, NULL, program_sends, &fd);
	pthread_create(&receiver, NULL, program_receives, &fd);
	guest_sends_bulk(&r->s[0]);
	pthread_join(receiver, NULL);
	guest_receives_bulk(&r->s[0]);
	pthread_join(sender, NULL);
	close(fd);
	guest_socket_close(&r->s[0]);
	unlisten(listener, PORT);
}

static void the_guest_may_send_after_the_program_has_ended(void **state)
{
	int listener = listen_at(PORT);
	int fd = connect_to(&r->s[0], listener, OWN_PORT);
	char bytes[8];

	shutdown(fd, SHUT_WR);
	assert_int_equal(guest_socket_receive(&r->s[0], bytes, 1), 0);
	guest_socket_send(&r->s[0], "more", 4);
	read_all(fd, bytes, 4);
	guest_socket_send_fin(&r->s[0]);
	expect_end(fd);
	close(fd);
	guest_socket_close(&r->s[0]);
	unlisten(listener, PORT);
}

/* The guest reads late: two of the three packets fill its ring when both ends have closed. */
static void what_the_ring_has_no_room_for_comes_before_the_end(void **state)
{
	static uint8_t bytes[3 * 8192], got[sizeof(bytes)];
	int listener = listen_at(PORT);
	int fd = connect_to(&r->s[0], listener, OWN_PORT);
	char byte;

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = byte_at(i, 3);
	write_all(fd, bytes, sizeof(bytes));
	shutdown(fd, SHUT_WR);
	guest_socket_send(&r->s[0], "x", 1);
	read_all(fd, &byte, 1); /* the host has seen the program's end by now */
	guest_socket_send_fin(&r->s[0]);
	expect_end(fd);
	close(fd);
	guest_control(&r->g, nothing, NULL);
	assert_true(guest_socket_receive_all(&r->s[0], got, sizeof(got)));
	assert_memory_equal(got, bytes, sizeof(bytes));
	assert_int_equal(guest_socket_receive(&r->s[0], &byte, 1), 0);
	guest_socket_close(&r->s[0]);
	unlisten(listener, PORT);
}

/* Closed without reading: the guest's connection ends, also while it sends. */
static void a_program_that_dies_ends_the_connection(void **state)
{
	const struct hvsock_header header = {.type = HVSOCK_PACKET_DATA, .size = 4000};
	static const uint8_t bytes[4000];
	int listener = listen_at(PORT);
	int fd = connect_to(&r->s[0], listener, OWN_PORT);

	close(fd);
	for (int i = 0; i < 20; i++)
		guest_socket_send_packet(&r->s[0], header, bytes, sizeof(bytes));
	guest_socket_close(&r->s[0]);
	unlisten(listener, PORT);
}

/* ---- hostile guests ------------------------------------------------------ */

static void expect_fault(struct hvsock_header header, uint32_t length, bool fin_first)
{
	static const uint8_t bytes[HVSOCK_DATA_MAX + 8];
	int listener = listen_at(PORT);
	int fd = connect_to(&r->s[0], listener, OWN_PORT);

	if (fin_first)
		guest_socket_send_fin(&r->s[0]);
	guest_socket_send_packet(&r->s[0], header, bytes, length);
	guest_socket_close(&r->s[0]);
	expect_end(fd);
	close(fd);
	unlisten(listener, PORT);
}

static void packets_that_lie_end_the_connection(void **state)
{
	const struct hvsock_header other_type = {.type = 2, .size = 4};
	const struct hvsock_header longer = {.type = HVSOCK_PACKET_DATA, .size = 1000};
	const struct hvsock_header too_long = {
		.type = HVSOCK_PACKET_DATA, .size = HVSOCK_DATA_MAX + 1};

	expect_fault(other_type, 4, false);
	expect_fault(longer, 500, false);
	expect_fault(too_long, HVSOCK_DATA_MAX + 8, false);
}

static void nothing_follows_a_fin(void **state)
{
	const struct hvsock_header data = {.type = HVSOCK_PACKET_DATA, .size = 4};
	const struct hvsock_header fin = {.type = HVSOCK_PACKET_DATA};

	expect_fault(data, 4, true);
	expect_fault(fin, 0, true);
}

static void a_guest_may_close_the_channel_itself(void **state)
{
	int listener = listen_at(PORT);
	int fd = connect_to(&r->s[0], listener, OWN_PORT);

	guest_chan_close(&r->s[0].chan);
	expect_end(fd);
	close(fd);
	guest_socket_close(&r->s[0]);
	unlisten(listener, PORT);
}

static void wait_opened(uint32_t count)
{
	struct guest_socket *s = &r->s[0];

	for (uint32_t i = 0; i < count; i++) {
		const struct hv_guid endpoint = HVSOCK_PORT_GUID(OWN_PORT + i);
		const struct hv_guid service = HVSOCK_PORT_GUID(PORT);
		struct vmbus_offer offer = guest_wait_offer_of(&r->g, &service, &endpoint);

		s->chan.offer = offer;
	}
}

/* As many as it may have; the next one is refused at once, and has cost nothing. */
static void connections_of_a_guest_are_bounded(void **state)
{
	int listener = listen_at(PORT);
	int fds[VSOCK_GUEST_MAX];

	for (uint32_t i = 0; i < VSOCK_GUEST_MAX; i++) {
		guest_socket_ask(&r->g, OWN_PORT + i, PORT);
		fds[i] = accept_at(listener);
	}
	wait_opened(VSOCK_GUEST_MAX);
	for (uint32_t i = 0; i < 100; i++) {
		guest_socket_ask(&r->g, OWN_PORT + VSOCK_GUEST_MAX, PORT);
		guest_socket_refused(&r->g, OWN_PORT + VSOCK_GUEST_MAX, PORT);
	}
	for (uint32_t i = 0; i < VSOCK_GUEST_MAX; i++)
		close(fds[i]);
	unlisten(listener, PORT);
}

/* Of a port where nobody listens: each is refused, and leaves nothing behind. */
static void a_flood_of_connects(void **state)
{
	log_lines_begin();
	for (uint32_t round = 0; round < 50; round++) {
		for (uint32_t i = 0; i < 100; i++)
			guest_socket_ask(&r->g, OWN_PORT + i, PORT);
		for (uint32_t i = 0; i < 100; i++)
			guest_expect(&r->g, VMBUS_MSG_TL_CONNECT_RESULT,
				&(struct vmbus_tl_connect_result){0},
				sizeof(struct vmbus_tl_connect_result));
		guest_control(&r->g, nothing, NULL); /* the last is freed after its answer */
		assert_int_equal(r->vsock.from_guest, 0);
	}
	assert_int_equal(log_lines_end(), 0);
	assert_int_equal(r->vsock.refused, 5000);
}

/* ---- the VM -------------------------------------------------------------- */

static void a_pause_loses_nothing(void **state)
{
	int listener = listen_at(PORT);
	int fd = connect_to(&r->s[0], listener, OWN_PORT);
	uint32_t sent = 0, got = 0;

	for (int round = 0; round < 50; round++) {
		write_all(fd, &sent, sizeof(sent));
		sent++;
		pause_all();
		write_all(fd, &sent, sizeof(sent));
		sent++;
		guest_control(&r->g, resume_on_control, NULL);
		for (uint32_t value; got < sent; got++) {
			assert_true(guest_socket_receive_all(&r->s[0], &value, sizeof(value)));
			assert_int_equal(value, got);
		}
	}
	end_both(&r->s[0], fd);
	unlisten(listener, PORT);
}

struct counts {
	uint32_t dialing, waiting;
};

static void count_on_control(void *arg)
{
	struct counts *n = arg;

	*n = (struct counts){0};
	list_for_each (item, &r->vsock.connections) {
		struct vsock_connection *c = container_of(item, struct vsock_connection, link);

		n->dialing += c->state == VSOCK_DIALING;
		n->waiting += c->state == VSOCK_WAITING;
	}
}

static void who_connects_in_a_pause_waits(void **state)
{
	struct counts n = {0};
	int fd;

	pause_all();
	fd = ask_for("CONNECT 77\n");
	while (!n.waiting)
		guest_control(&r->g, count_on_control, &n);
	guest_control(&r->g, resume_on_control, NULL);
	guest_socket_accept(&r->s[0], &r->g, 77);
	expect_ok(fd);
	end_both(&r->s[0], fd);
}

/* A refusal is a message in the guest's memory, which may be on its way into an image. */
static void who_is_refused_in_a_pause_hears_it_later(void **state)
{
	struct counts n;

	pause_all();
	guest_socket_ask(&r->g, OWN_PORT, PORT);
	do
		guest_control(&r->g, count_on_control, &n);
	while (n.dialing);
	assert_int_equal(n.waiting, 1);
	guest_control(&r->g, resume_on_control, NULL);
	guest_socket_refused(&r->g, OWN_PORT, PORT);
}

/* In each state; teardown frees them. */
static void the_end_of_a_guest_ends_its_connections(void **state)
{
	int listener = listen_at(PORT);
	int open = connect_to(&r->s[0], listener, OWN_PORT);
	int offered = ask_for("CONNECT 77\n");
	int reading = ask_for("CONN");
	const struct hv_guid service = HVSOCK_PORT_GUID(77);

	guest_wait_offer_of(&r->g, &service, NULL);
	guest_socket_ask(&r->g, OWN_PORT + 1, PORT); /* dialing, perhaps */
	guest_shut_down(&r->g);
	expect_end(open);
	guest_control(&r->g, detach_on_control, NULL);
	expect_end(offered);
	close(reading);
	close(offered);
	close(open);
	unlisten(listener, PORT);
}

static void a_new_kernel_finds_no_old_connections(void **state)
{
	int listener = listen_at(PORT);
	int fd = connect_to(&r->s[0], listener, OWN_PORT);

	guest_connect(&r->g, VMBUS_VERSION_WIN10_V5_3);
	expect_end(fd);
	close(fd);
	guest_socket_connect(&r->s[1], &r->g, OWN_PORT + 1, PORT);
	end_both(&r->s[1], accept_at(listener));
	unlisten(listener, PORT);
}

static void a_path_in_use_is_an_error(void **state)
{
	struct vsock other = {0};
	struct err e;

	assert_int_equal(vsock_open(&other, &r->g.control, r->path, &e), -EADDRINUSE);
	assert_non_null(strstr(e.text, "in use, by another VM perhaps; choose another"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_guest_reaches_a_program),
		T(a_program_reaches_the_guest),
		T(a_service_may_be_named_by_its_guid),
		T(nobody_listens_is_refused),
		T(a_service_that_is_no_port_is_refused),
		T(an_endpoint_that_is_no_port_is_refused),
		T(an_endpoint_in_use_is_refused),
		T(bad_lines_are_closed),
		T(who_does_not_go_on_is_closed),
		T(bulk_both_ways_with_half_closes),
		T(the_guest_may_send_after_the_program_has_ended),
		T(what_the_ring_has_no_room_for_comes_before_the_end),
		T(a_program_that_dies_ends_the_connection),
		T(packets_that_lie_end_the_connection),
		T(nothing_follows_a_fin),
		T(a_guest_may_close_the_channel_itself),
		T(connections_of_a_guest_are_bounded),
		T(a_flood_of_connects),
		T(a_pause_loses_nothing),
		T(who_connects_in_a_pause_waits),
		T(who_is_refused_in_a_pause_hears_it_later),
		T(the_end_of_a_guest_ends_its_connections),
		T(a_new_kernel_finds_no_old_connections),
		T(a_path_in_use_is_an_error),
	};

	return cmocka_run_group_tests_name("vsock", tests, NULL, NULL);
}
