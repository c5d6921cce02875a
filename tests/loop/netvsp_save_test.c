/* SPDX-License-Identifier: MIT */
/*
 * A NIC that is saved while frames are on their way, with packets that the guest has not completed
 * and frames it has sent, and goes on in a new bus and device: each frame comes once, no section of
 * a buffer is lost; and with the address that the guest has chosen. No damaged image crashes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hv/rndis_reg.h"
#include "tests/support/guest_save.h"
#include "tests/support/netvsp_rig.h"

#define CHANNELS 4u
#define CYCLES   15u
#define FRAMES   40u
#define DAMAGES  300u

/* guest_save() knows the devices of the guest; that of the rig becomes one of them. */
static int setup(void **state)
{
	struct netvsp_rig *rig = netvsp_rig_create("loop", CHANNELS, 2, NULL);

	rig->g.devices[rig->g.device_count++] = rig->dev;
	*state = rig;
	return 0;
}

static int teardown(void **state)
{
	struct netvsp_rig *rig = *state;

	rig->g.device_count = 0;
	netvsp_rig_destroy(rig);
	return 0;
}

static void create_nic(void *arg)
{
	struct netvsp_rig *rig = arg;
	struct hv_guid instance = {{0}};

	instance.b[15] = NETVSP_RIG_INSTANCE;
	assert_int_equal(vsp_device_create(&rig->dev, &rig->g.host, &netvsp_ops, &instance,
				 &rig->config, NULL),
		0);
	rig->g.devices[rig->g.device_count++] = rig->dev;
}

static void make_nic(void *ctx)
{
	struct netvsp_rig *rig = ctx;

	guest_control(&rig->g, create_nic, rig);
}

static void save_and_restore(struct netvsp_rig *rig)
{
	struct guest_image image;

	guest_save(&rig->g, &image);
	guest_restore(&rig->g, &image, make_nic, rig);
	guest_image_free(&image);
}

static void open_nic(struct netvsp_rig *rig, uint32_t sub_channels)
{
	guest_nic_open(&rig->n, NVSP_VERSION_6_1, sub_channels, false);
	guest_nic_set_filter(&rig->n, NDIS_FILTER_PROMISCUOUS);
	if (sub_channels)
		guest_nic_set_rss(&rig->n);
}

/* So many frames, on all channels in turn; the back end sends them back. */
static void send_frames(struct netvsp_rig *rig, uint32_t count)
{
	static uint8_t bytes[400] = {0x02, 1, 2, 3, 4, 5, 0x02, 6, 7, 8, 9, 10, 0x08, 0x00};
	const struct netvsc_tx tx = {.length = sizeof(bytes)};

	for (uint32_t i = 0; i < count; i++)
		while (!guest_nic_send(
			&rig->n, i % rig->n.channel_count, i % NIC_LAYOUTS, &tx, bytes))
			guest_nic_poll(&rig->n);
}

static void frames_go_on(void **state)
{
	struct netvsp_rig *rig = *state;
	uint64_t frames = 0;

	open_nic(rig, CHANNELS - 1);
	for (uint32_t i = 0; i < CYCLES; i++) {
		rig->n.hold = i % 2; /* the guest keeps what it has received */
		send_frames(rig, FRAMES);
		frames += FRAMES;
		guest_nic_wait_sent(&rig->n);
		guest_nic_wait_frames(&rig->n, frames);
		save_and_restore(rig);
		rig->n.hold = false;
		guest_nic_release(&rig->n);
	}
	assert_int_equal(rig->n.failed, 0);
	guest_nic_close(&rig->n);
}

static void damaged_images(void **state)
{
	struct netvsp_rig *rig = *state;
	struct guest_image image;
	uint32_t seed = 5, refused = 0;
	struct err e;

	open_nic(rig, CHANNELS - 1);
	rig->n.hold = true;
	send_frames(rig, FRAMES);
	guest_nic_wait_sent(&rig->n);
	guest_nic_wait_frames(&rig->n, FRAMES);
	guest_save(&rig->g, &image);
	for (uint32_t i = 0; i < DAMAGES; i++) {
		uint8_t *copy = malloc(image.size);
		size_t at;

		memcpy(copy, image.state, image.size);
		seed = seed * 1664525 + 1013904223;
		at = (seed >> 8) % image.size;
		copy[at] ^= (uint8_t)(1u << i % 8);
		refused += guest_try_restore(&rig->g, copy, image.size, make_nic, rig, &e) != 0;
		free(copy);
	}
	assert_true(refused > DAMAGES / 4);
	guest_restore(&rig->g, &image, make_nic, rig);
	guest_image_free(&image);
	rig->n.hold = false;
	guest_nic_release(&rig->n);
	guest_nic_close(&rig->n);
}

/* Each channel has its own share of the receive buffer; there are as many shares as the image says,
 * and behind the last one is memory of something else. */
static void more_channels_than_shares(void **state)
{
	static const char head[] = {4, 5, 'p', 'a', 'r', 't', 's', CHANNELS, 0, 0, 0};
	struct netvsp_rig *rig = *state;
	struct guest_image image;
	struct err e = {""};
	uint8_t *parts;

	open_nic(rig, CHANNELS - 1);
	guest_save(&rig->g, &image);
	parts = memmem(image.state, image.size, head, sizeof(head));
	assert_non_null(parts);
	parts[7] = 1;
	assert_int_not_equal(
		guest_try_restore(&rig->g, image.state, image.size, make_nic, rig, &e), 0);
	assert_non_null(strstr(e.text, "share"));
	parts[7] = CHANNELS;
	guest_restore(&rig->g, &image, make_nic, rig);
	guest_image_free(&image);
	send_frames(rig, FRAMES);
	guest_nic_wait_frames(&rig->n, FRAMES);
	guest_nic_close(&rig->n);
}

static void open_directed(struct netvsp_rig *rig)
{
	guest_nic_open(&rig->n, NVSP_VERSION_6_1, 0, true);
	guest_nic_set_filter(&rig->n, NDIS_FILTER_DIRECTED);
}

/* To the guest nothing has happened: it opens the channel again, as after a change of its MTU, and
 * does not say again which address it has chosen. */
static void own_address(void **state)
{
	static const uint8_t own[6] = {2, 0, 0, 0, 0, 0xdd}, other[6] = {2, 0, 0, 0, 0, 0xde};
	struct netvsp_rig *rig = *state;

	open_directed(rig);
	netvsp_rig_set_mac(rig, own);
	for (uint32_t i = 0; i < 2; i++) {
		save_and_restore(rig);
		for (uint32_t k = 0; k < 2; k++) {
			assert_true(netvsp_rig_receives(rig, own));
			assert_true(netvsp_rig_receives(rig, rig->config.mac));
			assert_false(netvsp_rig_receives(rig, other));
			guest_nic_close(&rig->n);
			open_directed(rig);
		}
	}
	guest_nic_close(&rig->n);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(frames_go_on),
		TEST(damaged_images),
		TEST(more_channels_than_shares),
		TEST(own_address),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
