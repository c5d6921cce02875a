/* SPDX-License-Identifier: MIT */
/* Integration services: negotiation, one message at a time, guests that answer late, never, wrong,
 * or without being asked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>

#include "tests/support/guest_ic.h"
#include "tests/support/guest_pauser.h"

#define BODY  sizeof(struct ic_shutdown)
#define MS    1000000ull
#define NEVER 0

static const struct ic_config shutdown_config = {.service = &ic_shutdown};

static struct guest_ic *begin(void)
{
	return guest_ic_create(&shutdown_config, 1);
}

static struct guest_ic *begin_ready(void)
{
	struct guest_ic *s = begin();

	guest_ic_open_ready(s);
	return s;
}

/* A request that is answered as it should be. */
static void check_works(struct guest_ic *s)
{
	static struct guest_ic_request q;

	guest_ic_start(s, &q, BODY, NEVER);
	guest_ic_expect(s, IC_SHUTDOWN);
	guest_ic_answer(s, 0x1234);
	guest_ic_wait(s, &q);
	assert_int_equal(q.r.error, 0);
	assert_int_equal(q.r.status, 0x1234);
	assert_int_equal(q.r.answer_size, BODY);
}

/* ---- negotiation --------------------------------------------------------- */

static void the_lists_are_what_openbsd_needs(void **state)
{
	static const struct ic_version want[] = {{1, 0}, {3, 0}, {3, 0}, {3, 1}, {3, 2}};
	struct guest_ic *s = begin();
	const struct ic_negotiate *n = (const void *)(&s->message.header + 1);

	guest_ic_open(s);
	assert_int_equal(n->frameworks, 2);
	assert_int_equal(n->messages, 3);
	assert_memory_equal(n->versions, want, sizeof(want));
	assert_string_equal(guest_ic_state(s), "negotiating");
	guest_ic_answer_versions(s, want[1], want[4]);
	check_works(s);
	assert_int_equal(s->message.header.framework.major, 3);
	assert_int_equal(s->message.header.message.minor, 2);
	assert_string_equal(guest_ic_state(s), "ready");
	guest_ic_destroy(s);
}

/* It fills in a body size that is wrong, and answers more than it was asked. */
static void an_answer_of_openbsd_is_taken(void **state)
{
	struct guest_ic *s = begin();

	guest_ic_open(s);
	s->message.header.body_size = 44;
	s->len += 60;
	guest_ic_answer_versions(s, (struct ic_version){3, 0}, (struct ic_version){3, 0});
	check_works(s);
	guest_ic_destroy(s);
}

static void refused(uint16_t frameworks, uint16_t messages, struct ic_version framework,
	struct ic_version message, uint32_t cut)
{
	static struct guest_ic_request q, later;
	struct guest_ic *s = begin();
	struct ic_negotiate *n = (void *)(&s->message.header + 1);

	guest_ic_open(s);
	guest_ic_start(s, &q, BODY, NEVER);
	n->frameworks = frameworks;
	n->messages = messages;
	n->versions[0] = framework;
	n->versions[1] = message;
	s->len -= cut;
	guest_ic_answer(s, 0);
	guest_ic_wait(s, &q);
	assert_int_equal(q.r.error, -EOPNOTSUPP);
	assert_string_equal(guest_ic_state(s), "refused");
	guest_ic_start(s, &later, BODY, NEVER);
	guest_ic_wait(s, &later);
	assert_int_equal(later.r.error, -EOPNOTSUPP);
	assert_true(guest_ic_is_silent(s));
	guest_chan_close(&s->chan); /* and a new driver may do better */
	guest_ic_open_ready(s);
	check_works(s);
	guest_ic_destroy(s);
}

static void negotiate_reply_counts_are_exactly_one(void **state)
{
	refused(0, 0, (struct ic_version){0}, (struct ic_version){0}, 0);
	refused(2, 1, (struct ic_version){3, 0}, (struct ic_version){3, 2}, 0);
	refused(1, 0, (struct ic_version){3, 0}, (struct ic_version){3, 2}, 0);
	refused(1, 0xFFFF, (struct ic_version){3, 0}, (struct ic_version){3, 2}, 0);
}

static void negotiate_reply_versions_were_listed(void **state)
{
	refused(1, 1, (struct ic_version){2, 0}, (struct ic_version){3, 2}, 0);
	refused(1, 1, (struct ic_version){3, 0}, (struct ic_version){3, 3}, 0);
	refused(1, 1, (struct ic_version){3, 0}, (struct ic_version){0xFFFF, 0xFFFF}, 0);
}

static void negotiate_reply_holds_two_versions(void **state)
{
	refused(1, 1, (struct ic_version){3, 0}, (struct ic_version){3, 2}, 16);
	refused(1, 1, (struct ic_version){3, 0}, (struct ic_version){3, 2}, 28);
}

/* An old answer, after a restore, comes before the new one. */
static void other_answers_are_dropped_while_negotiating(void **state)
{
	struct guest_ic *s = begin();
	struct ic_header old = {.type = IC_SHUTDOWN, .flags = IC_FLAG_RESPONSE};

	guest_ic_open(s);
	old.transaction = s->message.header.transaction;
	guest_ic_send(s, &old, sizeof(old));
	guest_ic_answer_versions(s, (struct ic_version){3, 0}, (struct ic_version){3, 0});
	check_works(s);
	assert_int_equal(guest_ic_count(s, "unasked"), 1);
	guest_ic_destroy(s);
}

/* ---- silence ------------------------------------------------------------- */

static void silence_is_accepted(void **state)
{
	static struct guest_ic_request q;
	struct guest_ic *s = begin();

	guest_ic_open(s); /* no daemon: not even NEGOTIATE is answered */
	guest_ic_start(s, &q, BODY, 20 * MS);
	guest_ic_wait(s, &q);
	assert_int_equal(q.r.error, -ETIMEDOUT);
	assert_true(guest_ic_is_silent(s)); /* nothing is sent twice */
	guest_ic_answer_versions(s, (struct ic_version){3, 0}, (struct ic_version){3, 1});
	check_works(s);
	guest_ic_destroy(s);
}

static void a_late_answer_is_dropped(void **state)
{
	static struct guest_ic_request late, next;
	struct guest_ic *s = begin_ready();

	guest_ic_start(s, &late, BODY, 20 * MS);
	guest_ic_expect(s, IC_SHUTDOWN);
	guest_ic_wait(s, &late);
	assert_int_equal(late.r.error, -ETIMEDOUT);
	guest_ic_start(s, &next, BODY, NEVER);
	assert_true(guest_ic_is_silent(s)); /* the guest still has the first */
	guest_ic_answer(s, 1);
	guest_ic_expect(s, IC_SHUTDOWN);
	guest_ic_answer(s, 2);
	guest_ic_wait(s, &next);
	assert_int_equal(next.r.error, 0);
	assert_int_equal(next.r.status, 2);
	guest_ic_destroy(s);
}

static void a_request_that_waits_can_time_out(void **state)
{
	static struct guest_ic_request first, second, third;
	struct guest_ic *s = begin_ready();

	guest_ic_start(s, &first, BODY, NEVER);
	guest_ic_expect(s, IC_SHUTDOWN);
	guest_ic_start(s, &second, BODY, 20 * MS);
	guest_ic_start(s, &third, BODY, NEVER);
	guest_ic_wait(s, &second);
	assert_int_equal(second.r.error, -ETIMEDOUT);
	guest_ic_answer(s, 0);
	guest_ic_wait(s, &first);
	guest_ic_expect(s, IC_SHUTDOWN);
	guest_ic_answer(s, 3);
	guest_ic_wait(s, &third);
	assert_int_equal(third.r.status, 3);
	guest_ic_destroy(s);
}

/* ---- one at a time ------------------------------------------------------- */

static void one_message_is_outstanding(void **state)
{
	static struct guest_ic_request q[3];
	struct guest_ic *s = begin_ready();

	for (uint32_t i = 0; i < 3; i++) {
		q[i].body[0] = (uint8_t)(i + 1);
		guest_ic_start(s, &q[i], BODY, NEVER);
	}
	for (uint32_t i = 0; i < 3; i++) {
		const uint8_t *body = guest_ic_expect(s, IC_SHUTDOWN);

		assert_int_equal(body[0], i + 1);
		assert_true(guest_ic_is_silent(s));
		guest_ic_answer(s, i);
		guest_ic_wait(s, &q[i]);
		assert_int_equal(q[i].r.status, i);
	}
	guest_ic_destroy(s);
}

static void the_queue_is_bounded(void **state)
{
	static struct guest_ic_request q[IC_QUEUE_MAX + 2];
	struct guest_ic *s = begin_ready();

	for (uint32_t i = 0; i < IC_QUEUE_MAX + 2; i++)
		guest_ic_start(s, &q[i], BODY, NEVER);
	guest_ic_wait(s, &q[IC_QUEUE_MAX + 1]);
	assert_int_equal(q[IC_QUEUE_MAX + 1].r.error, -EBUSY);
	guest_chan_close(&s->chan);
	for (uint32_t i = 0; i < IC_QUEUE_MAX + 1; i++) {
		guest_ic_wait(s, &q[i]);
		assert_int_equal(q[i].r.error, -ESHUTDOWN);
	}
	guest_ic_destroy(s);
}

/* ---- hostile replies ----------------------------------------------------- */

/* Each is dropped and counted, and the right answer is still taken. */
static void reply_is_dropped(void (*spoil)(struct guest_ic *s))
{
	static struct guest_ic_request q;
	struct guest_ic *s = begin_ready();

	guest_ic_start(s, &q, BODY, NEVER);
	guest_ic_expect(s, IC_SHUTDOWN);
	s->message.header.flags = IC_FLAG_TRANSACTION | IC_FLAG_RESPONSE;
	spoil(s);
	assert_true(guest_ic_is_silent(s));
	assert_false(__atomic_load_n(&q.done, __ATOMIC_ACQUIRE));
	assert_int_equal(guest_ic_count(s, "unasked"), 1);
	guest_ic_answer(s, 5);
	guest_ic_wait(s, &q);
	assert_int_equal(q.r.status, 5);
	guest_ic_destroy(s);
}

static void send_short(struct guest_ic *s)
{
	guest_ic_send(s, s->message.bytes,
		sizeof(struct ic_header) - 4); /* packets are multiples of 8 bytes */
}

static void send_nothing(struct guest_ic *s)
{
	guest_ic_send(s, s->message.bytes, 0);
}

static void send_wrong_type(struct guest_ic *s)
{
	s->message.header.type = IC_HEARTBEAT;
	guest_ic_send(s, s->message.bytes, s->len);
	s->message.header.type = IC_SHUTDOWN;
}

static void send_wrong_transaction(struct guest_ic *s)
{
	s->message.header.transaction++;
	guest_ic_send(s, s->message.bytes, s->len);
	s->message.header.transaction--;
}

static void send_no_response(struct guest_ic *s)
{
	s->message.header.flags = IC_FLAG_TRANSACTION | IC_FLAG_REQUEST;
	guest_ic_send(s, s->message.bytes, s->len);
}

static void send_completion(struct guest_ic *s)
{
	assert_true(guest_chan_send(
		&s->chan, VMBUS_PKT_COMPLETION, 0, 1, NULL, s->message.bytes, s->len));
}

static void any_reply_short(void **state)
{
	reply_is_dropped(send_short);
	reply_is_dropped(send_nothing);
}

static void any_reply_of_another_type(void **state)
{
	reply_is_dropped(send_wrong_type);
}

static void any_reply_to_another_transaction(void **state)
{
	reply_is_dropped(send_wrong_transaction);
}

static void any_reply_without_response_flag(void **state)
{
	reply_is_dropped(send_no_response);
}

static void any_reply_in_another_packet_type(void **state)
{
	reply_is_dropped(send_completion);
}

static void unasked_replies_are_dropped_and_counted(void **state)
{
	struct guest_ic *s = begin_ready();

	check_works(s);
	for (uint32_t i = 0; i < 100; i++)
		guest_ic_answer(s, 0); /* the same answer again */
	assert_true(guest_ic_is_silent(s));
	assert_int_equal(guest_ic_count(s, "unasked"), 100);
	check_works(s);
	guest_ic_destroy(s);
}

/* Lengths in the header are not trusted; what a short answer lacks is zero. */
static void a_short_answer_is_zero_at_its_end(void **state)
{
	static struct guest_ic_request q;
	struct guest_ic *s = begin_ready();

	memset(q.body, 0xAA, sizeof(q.body));
	guest_ic_start(s, &q, BODY, NEVER);
	guest_ic_expect(s, IC_SHUTDOWN);
	s->message.header.pipe_length = 0xFFFFFFFF;
	s->message.header.body_size = 0xFFFF;
	s->len = sizeof(struct ic_header) + 12;
	guest_ic_answer(s, 0);
	guest_ic_wait(s, &q);
	assert_int_equal(q.r.answer_size, 12);
	assert_int_equal(q.body[11], 0xAA);
	for (uint32_t i = 12; i < BODY; i++)
		assert_int_equal(q.body[i], 0);
	assert_int_equal(q.body[BODY], 0xAA);
	guest_ic_destroy(s);
}

static void a_long_answer_is_cut(void **state)
{
	static struct guest_ic_request q;
	struct guest_ic *s = begin_ready();

	guest_ic_start(s, &q, BODY, NEVER);
	guest_ic_expect(s, IC_SHUTDOWN);
	memset(s->message.bytes + s->len, 0xBB, 4000);
	s->len += 4000;
	guest_ic_answer(s, 0);
	guest_ic_wait(s, &q);
	assert_int_equal(q.r.answer_size, BODY);
	assert_int_equal(q.body[BODY], 0);
	memset(q.body, 0, sizeof(q.body));
	guest_ic_destroy(s);
}

/* ---- the end of a channel ------------------------------------------------ */

static void a_request_ends_with_its_channel(void **state)
{
	static struct guest_ic_request with_guest, waits, closed;
	struct guest_ic *s = begin_ready();

	guest_ic_start(s, &with_guest, BODY, NEVER);
	guest_ic_expect(s, IC_SHUTDOWN);
	guest_ic_start(s, &waits, BODY, 3600000 * MS);
	guest_chan_close(&s->chan);
	guest_ic_wait(s, &with_guest);
	guest_ic_wait(s, &waits);
	assert_int_equal(with_guest.r.error, -ESHUTDOWN);
	assert_int_equal(waits.r.error, -ESHUTDOWN);
	guest_ic_start(s, &closed, BODY, NEVER);
	guest_ic_wait(s, &closed);
	assert_int_equal(closed.r.error, -ENOTCONN);
	assert_string_equal(guest_ic_state(s), "closed");
	guest_ic_open_ready(s);
	check_works(s);
	guest_ic_destroy(s);
}

static void a_request_ends_with_its_guest(void **state)
{
	static struct guest_ic_request q;
	struct guest_ic *s = begin_ready();

	guest_ic_start(s, &q, BODY, NEVER);
	guest_ic_expect(s, IC_SHUTDOWN);
	guest_shut_down(&s->g); /* a reset, a power off */
	guest_ic_wait(s, &q);
	assert_int_equal(q.r.error, -ESHUTDOWN);
	guest_ic_destroy(s);
}

static void a_new_kernel_negotiates_anew(void **state)
{
	static struct guest_ic_request q;
	struct guest_ic *s = begin_ready();

	guest_ic_start(s, &q, BODY, NEVER);
	guest_ic_expect(s, IC_SHUTDOWN);
	guest_chan_forget(&s->chan); /* kexec without UNLOAD */
	guest_connect(&s->g, VMBUS_VERSION_WIN10_V5_3);
	guest_ic_wait(s, &q);
	assert_int_equal(q.r.error, -ESHUTDOWN);
	guest_ic_open_ready(s);
	check_works(s);
	guest_ic_destroy(s);
}

static void a_device_that_is_not_offered(void **state)
{
	static struct guest_ic_request q;
	struct guest_ic *s = begin();
	struct vsp_device *dev = s->dev;
	struct err e;

	s->dev = NULL;
	guest_ic_start(s, &q, BODY, NEVER);
	guest_ic_wait(s, &q);
	assert_int_equal(ic_request_error(&ic_shutdown, &q.r, "x", &e), -ENODEV);
	assert_string_equal(e.text, "x: the VM does not offer shutdown; see --ic");
	s->dev = dev;
	guest_ic_destroy(s);
}

/* ---- pause --------------------------------------------------------------- */

static void nothing_is_sent_while_paused(void **state)
{
	static struct guest_ic_request q;
	struct guest_ic *s = begin_ready();

	guest_pause(&s->g, s->dev);
	guest_ic_start(s, &q, BODY, NEVER);
	assert_true(guest_ic_is_silent(s));
	guest_resume(&s->g, s->dev);
	guest_ic_expect(s, IC_SHUTDOWN);
	guest_pause(&s->g, s->dev);
	guest_ic_answer(s, 7); /* it waits in the ring */
	assert_true(guest_ic_is_silent(s));
	assert_false(__atomic_load_n(&q.done, __ATOMIC_ACQUIRE));
	guest_resume(&s->g, s->dev);
	guest_ic_wait(s, &q);
	assert_int_equal(q.r.status, 7);
	guest_ic_destroy(s);
}

static void a_time_limit_counts_while_paused(void **state)
{
	static struct guest_ic_request q;
	struct guest_ic *s = begin_ready();

	guest_pause(&s->g, s->dev);
	guest_ic_start(s, &q, BODY, 20 * MS);
	guest_ic_wait(s, &q);
	assert_int_equal(q.r.error, -ETIMEDOUT);
	guest_resume(&s->g, s->dev);
	check_works(s);
	guest_ic_destroy(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_lists_are_what_openbsd_needs),
		cmocka_unit_test(an_answer_of_openbsd_is_taken),
		cmocka_unit_test(negotiate_reply_counts_are_exactly_one),
		cmocka_unit_test(negotiate_reply_versions_were_listed),
		cmocka_unit_test(negotiate_reply_holds_two_versions),
		cmocka_unit_test(other_answers_are_dropped_while_negotiating),
		cmocka_unit_test(silence_is_accepted),
		cmocka_unit_test(a_late_answer_is_dropped),
		cmocka_unit_test(a_request_that_waits_can_time_out),
		cmocka_unit_test(one_message_is_outstanding),
		cmocka_unit_test(the_queue_is_bounded),
		cmocka_unit_test(any_reply_short),
		cmocka_unit_test(any_reply_of_another_type),
		cmocka_unit_test(any_reply_to_another_transaction),
		cmocka_unit_test(any_reply_without_response_flag),
		cmocka_unit_test(any_reply_in_another_packet_type),
		cmocka_unit_test(unasked_replies_are_dropped_and_counted),
		cmocka_unit_test(a_short_answer_is_zero_at_its_end),
		cmocka_unit_test(a_long_answer_is_cut),
		cmocka_unit_test(a_request_ends_with_its_channel),
		cmocka_unit_test(a_request_ends_with_its_guest),
		cmocka_unit_test(a_new_kernel_negotiates_anew),
		cmocka_unit_test(a_device_that_is_not_offered),
		cmocka_unit_test(nothing_is_sent_while_paused),
		cmocka_unit_test(a_time_limit_counts_while_paused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
