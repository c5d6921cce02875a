/* SPDX-License-Identifier: MIT */
/* Packets that wait for room, in an image: they are the host's, or the image is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after its prerequisites */
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vsp/vsp_impl.h"

#define RING 4096u

static void nothing(struct vsp_channel *ch, struct archive *a)
{
}

static const struct vsp_ops ops = {.name = "scripted", .archive_channel = nothing};
static struct loop control;
static struct vsp_host host = {.control = &control};
static struct vsp_device device = {.ops = &ops, .host = &host};
static struct vsp_channel old, new;

static int setup(void **state)
{
	struct err e;

	assert_int_equal(loop_init(&control, "control", &e), 0);
	old = new = (struct vsp_channel){.dev = &device, .chan.tx.size = RING};
	list_init(&old.chan.out);
	list_init(&new.chan.out);
	return 0;
}

static int teardown(void **state)
{
	while (!list_empty(&new.chan.out)) {
		struct chan_out *out = container_of(new.chan.out.next, struct chan_out, link);
		struct vsp_out *packet = container_of(out, struct vsp_out, packet);

		list_del(&out->link);
		packet->sent(&new, packet);
	}
	loop_fini(&control);
	return 0;
}

/* Writes them as they are, and reads what was written. */
static int save_and_restore(struct chan_out *packets, uint32_t count)
{
	struct archive writing, reading;
	int ret;

	for (uint32_t i = 0; i < count; i++)
		list_add_tail(&old.chan.out, &packets[i].link);
	archive_write(&writing);
	vsp_channel_archive(&old, &writing);
	assert_int_equal(archive_error(&writing, NULL), 0);
	archive_read(&reading, writing.bytes, writing.size);
	vsp_channel_archive(&new, &reading);
	archive_finish(&reading);
	ret = archive_error(&reading, NULL);
	archive_fini(&writing);
	return ret;
}

static uint8_t bytes[RING];

static struct chan_out packet(uint16_t type, uint16_t flags, uint32_t header, uint32_t payload)
{
	return (struct chan_out){
		.type = type,
		.flags = flags,
		.trans_id = 7,
		.header = {bytes, header},
		.payload = {bytes, payload},
	};
}

/* An answer that is sent ends its request: it is counted before. */
static void answers_belong_to_requests(void **state)
{
	struct chan_out packets[] = {
		packet(VMBUS_PKT_COMPLETION, 0, 0, 40),
		packet(VMBUS_PKT_INBAND, VMBUS_PKT_FLAG_COMPLETION_REQUESTED, 0, 8),
		packet(VMBUS_PKT_COMPLETION, 0, 0, 0),
		packet(VMBUS_PKT_XFER_PAGES, 1, 16, 40),
	};

	assert_int_equal(save_and_restore(packets, 4), 0);
	assert_int_equal(new.chan.in_flight, 2);
	assert_int_equal(container_of(new.chan.out.prev, struct chan_out, link)->header.len, 16);
}

static void others_are_refused(void **state)
{
	const struct chan_out wrong[] = {
		packet(0, 0, 0, 8),
		packet(VMBUS_PKT_GPA_DIRECT, 0, 0, 8),
		packet(0xFFFF, 0, 0, 8),
		packet(VMBUS_PKT_INBAND, 2, 0, 8),
		packet(VMBUS_PKT_INBAND, 0, 8, 8),
		packet(VMBUS_PKT_XFER_PAGES, 0, 0, 8),
		packet(VMBUS_PKT_COMPLETION, 0, 0, RING),
		packet(VMBUS_PKT_XFER_PAGES, 0, RING / 2, RING / 2),
	};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct chan_out one = wrong[i];

		setup(NULL);
		assert_int_equal(save_and_restore(&one, 1), -EINVAL);
		assert_true(list_empty(&new.chan.out));
		assert_int_equal(new.chan.in_flight, 0);
		teardown(NULL);
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(answers_belong_to_requests),
		cmocka_unit_test(others_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
