/* SPDX-License-Identifier: MIT */
/*
 * A storage controller that is saved while its guest works, and goes on in a new bus and device: no
 * command is lost or done twice, data is verified. An image is the same when it is taken again, and
 * no damaged one crashes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/guest_save.h"
#include "tests/support/storvsp_rig.h"

#define SUBS    3u
#define CYCLES  20u
#define SLOTS   40u
#define DAMAGES 300u

static int setup(void **state)
{
	*state = storvsp_rig_create(SUBS + 1);
	return 0;
}

static int teardown(void **state)
{
	storvsp_rig_destroy(*state);
	return 0;
}

static void make_controller(void *ctx)
{
	storvsp_rig_add_controller(ctx);
}

static void save_and_restore(struct storvsp_rig *rig)
{
	struct guest_image image;

	guest_save(&rig->g, &image);
	guest_restore(&rig->g, &image, make_controller, rig);
	guest_image_free(&image);
}

static void submit_reads(struct storvsp_rig *rig, uint32_t count)
{
	for (uint32_t slot = 0; slot < count; slot++) {
		guest_slot_read(&rig->d, slot, RIG_LUN, slot, 1);
		assert_true(guest_disk_submit(&rig->d, slot, slot % rig->d.channel_count));
	}
}

static void wait_reads(struct storvsp_rig *rig, uint32_t count)
{
	for (uint32_t slot = 0; slot < count; slot++)
		assert_int_equal(guest_disk_wait(&rig->d, slot)->status, 0);
}

/* Some are answered before, some are not taken yet. */
static void cycles_under_verified_io(void **state)
{
	struct storvsp_rig *rig = *state;

	guest_disk_open(&rig->d, VSTOR_VERSION_WIN10, SUBS);
	for (uint32_t i = 0; i < CYCLES; i++) {
		storvsp_rig_traffic(rig, 50);
		atomic_store(&rig->disk->delay_ns, i % 3 ? 0 : 100000);
		submit_reads(rig, i % SLOTS);
		save_and_restore(rig);
		wait_reads(rig, i % SLOTS);
	}
	storvsp_rig_traffic(rig, 100);
	guest_disk_close(&rig->d);
}

static void scattered_rings(void **state)
{
	struct storvsp_rig *rig = *state;

	rig->g.scattered = true;
	guest_disk_open(&rig->d, VSTOR_VERSION_WIN10, SUBS);
	for (uint32_t i = 0; i < 5; i++) {
		save_and_restore(rig);
		storvsp_rig_traffic(rig, 50);
	}
	guest_disk_close(&rig->d);
}

/* The connection is there, the channel is not; then the guest opens, closes and opens it again. */
static void nothing_open(void **state)
{
	struct storvsp_rig *rig = *state;

	for (uint16_t subs = 0; subs <= SUBS; subs++) {
		save_and_restore(rig);
		guest_disk_open(&rig->d, VSTOR_VERSION_WIN10, subs);
		save_and_restore(rig);
		storvsp_rig_traffic(rig, 20);
		guest_disk_close(&rig->d);
	}
}

/* Between the packets of the initialization. */
static void negotiation_goes_on(void **state)
{
	struct storvsp_rig *rig = *state;
	struct vstor_packet packet = {.operation = VSTOR_OP_BEGIN_INITIALIZATION}, reply;

	guest_disk_open_primary(&rig->d);
	save_and_restore(rig);
	guest_disk_packet(&rig->d, &packet, sizeof(packet), &reply);
	assert_int_equal(reply.status, VSTOR_STATUS_SUCCESS);
	save_and_restore(rig);
	guest_disk_packet(&rig->d, &packet, sizeof(packet), &reply);
	assert_int_equal(reply.status, VSTOR_STATUS_INVALID_DEVICE_STATE);
	guest_disk_close(&rig->d);
}

/* What is registered for a reservation. */
static void settings_stay(void **state)
{
	struct storvsp_rig *rig = *state;
	uint8_t keys[16];

	guest_disk_open(&rig->d, VSTOR_VERSION_WIN10, 0);
	guest_slot_put(&rig->d, 0, (uint8_t[24]){[8] = 0xAB, [15] = 0xCD}, 24);
	assert_int_equal(guest_disk_run(&rig->d, RIG_LUN, VSTOR_DATA_OUT, 24,
				 CDB(0x5F, 0x00, 0, 0, 0, 0, 0, 0, 24, 0))
				 ->status,
		0);
	save_and_restore(rig);
	assert_int_equal(guest_disk_run(&rig->d, RIG_LUN, VSTOR_DATA_IN, 24,
				 CDB(0x5E, 0x00, 0, 0, 0, 0, 0, 0, 24, 0))
				 ->status,
		0);
	guest_slot_get(&rig->d, 0, keys, sizeof(keys));
	assert_int_equal(keys[8], 0xAB);
	assert_int_equal(keys[15], 0xCD);
	guest_disk_close(&rig->d);
}

static void the_same_again(void **state)
{
	struct storvsp_rig *rig = *state;
	struct guest_image first, second;

	guest_disk_open(&rig->d, VSTOR_VERSION_WIN10, SUBS);
	storvsp_rig_traffic(rig, 50);
	guest_save(&rig->g, &first);
	guest_restore(&rig->g, &first, make_controller, rig);
	guest_save(&rig->g, &second);
	assert_int_equal(first.size, second.size);
	assert_memory_equal(first.state, second.state, first.size);
	guest_go_on(&rig->g);
	guest_image_free(&first);
	guest_image_free(&second);
	guest_disk_close(&rig->d);
}

/* The checksums of the file do not protect from a forged image. */
static void damaged_images(void **state)
{
	struct storvsp_rig *rig = *state;
	struct guest_image image;
	uint32_t seed = 3, refused = 0;
	struct err e;

	guest_disk_open(&rig->d, VSTOR_VERSION_WIN10, SUBS);
	storvsp_rig_traffic(rig, 50);
	guest_save(&rig->g, &image);
	for (uint32_t i = 0; i < DAMAGES; i++) {
		uint8_t *copy = malloc(image.size);
		size_t size = image.size, at;

		memcpy(copy, image.state, size);
		seed = seed * 1664525 + 1013904223;
		at = (seed >> 8) % size;
		if (i % 8)
			copy[at] ^= (uint8_t)(1u << i % 8);
		else
			size = at;
		refused += guest_try_restore(&rig->g, copy, size, make_controller, rig, &e) != 0;
		free(copy);
	}
	assert_true(refused > DAMAGES / 2);
	guest_restore(&rig->g, &image, make_controller, rig);
	storvsp_rig_traffic(rig, 50);
	guest_image_free(&image);
	guest_disk_close(&rig->d);
}

/* The image with false for a field: the first of its name behind another name. */
static void expect_refused(struct storvsp_rig *rig, const struct guest_image *image,
	const char *behind, const char *name, const char *why)
{
	uint8_t *copy = malloc(image->size), *end = copy + image->size, *at;
	struct err e;

	memcpy(copy, image->state, image->size);
	at = memmem(copy, image->size, behind, strlen(behind));
	assert_non_null(at);
	at = memmem(at, (size_t)(end - at), name, strlen(name));
	assert_non_null(at);
	at += strlen(name);
	assert_int_equal(*at, true);
	*at = false;
	assert_int_not_equal(
		guest_try_restore(&rig->g, copy, image->size, make_controller, rig, &e), 0);
	assert_non_null(strstr(e.text, why));
	free(copy);
}

/* What the guest may do once must not be possible a second time. */
static void forged_images(void **state)
{
	struct storvsp_rig *rig = *state;
	struct guest_image image;

	guest_disk_open(&rig->d, VSTOR_VERSION_WIN10, SUBS);
	guest_save(&rig->g, &image);
	expect_refused(rig, &image, "bus", "offers_requested", "device with bad numbers");
	expect_refused(rig, &image, "bus", "sub_channels_created", "a state that no channel has");
	guest_restore(&rig->g, &image, make_controller, rig);
	storvsp_rig_traffic(rig, 50);
	guest_image_free(&image);
	guest_disk_close(&rig->d);
}

/* A sub-channel that could be opened without its primary would never be closed again. */
static void forged_sub_channels(void **state)
{
	struct storvsp_rig *rig = *state;
	struct guest_image image;

	guest_disk_open(&rig->d, VSTOR_VERSION_WIN10, SUBS);
	for (uint32_t i = SUBS + 1; i-- > 0;)
		guest_chan_close(&rig->d.channels[i]);
	for (uint32_t i = 1; i <= SUBS; i++)
		guest_wait_rescind(&rig->g, rig->d.channels[i].offer.relid);
	guest_save(&rig->g, &image);
	expect_refused(rig, &image, "sub_channels", "rescinded", "sub-channel with bad numbers");
	guest_restore(&rig->g, &image, make_controller, rig);
	for (uint32_t i = 1; i <= SUBS; i++)
		guest_release(&rig->g, rig->d.channels[i].offer.relid);
	guest_image_free(&image);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(cycles_under_verified_io),
		TEST(scattered_rings),
		TEST(nothing_open),
		TEST(negotiation_goes_on),
		TEST(settings_stay),
		TEST(the_same_again),
		TEST(damaged_images),
		TEST(forged_images),
		TEST(forged_sub_channels),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
