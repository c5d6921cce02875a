/* SPDX-License-Identifier: MIT */
/*
 * NICs that come and go while a guest uses them, as `nic add`, `nic remove` and
 * `nic link` do it. The guest behaves like Linux: it stops sending when its link goes
 * down; when it reads RESCIND it reads its rings no more, and then every packet it
 * has sent must be completed, or its whole network would hang.
 *
 * NETVSP_CYCLES=10000 for the long form.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <stdatomic.h>

#include "base/time.h"
#include "hv/vmbus_guids.h"
#include "tests/support/guest_nic.h"
#include "vm/network.h"

#define RAM      (64ull << 20)
#define VPS      4u
#define FRAME    600u
#define INSTANCE 0x65 /* of nic0 */

#ifdef __SANITIZE_THREAD__
#define CYCLES  60u
#define TICK_NS (5 * NS_PER_MS)
#else
#define CYCLES  200u
#define TICK_NS (2 * NS_PER_MS)
#endif

struct hot {
	struct guest g;
	struct guest_nic n;
	struct network net;
	struct vm_config options;
	uint64_t random;
	/* control thread */
	const char *spec;
	int ret;
	struct err e;
	bool pausing;
	struct loop_timer pauser;
	uint64_t pauser_random;
	uint32_t pauses;
	/* any thread */
	_Atomic uint32_t ended; /* removals */
	_Atomic bool failed;    /* the last one */
};

static uint32_t random_below(uint64_t *random, uint32_t limit)
{
	*random = *random * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(*random >> 33) % limit;
}

static uint32_t below(struct hot *h, uint32_t limit)
{
	return random_below(&h->random, limit);
}

/* ---- pausing (control thread) -------------------------------------------- */

static void pause_tick(struct loop_timer *timer);

static void resume_if_paused(struct hot *h)
{
	if (h->pausing)
		network_resume(&h->net);
	h->pausing = false;
}

static void at_rest(void *ctx)
{
	((struct hot *)ctx)->pauses++;
}

static void pause_tick(struct loop_timer *timer)
{
	struct hot *h = container_of(timer, struct hot, pauser);

	if (h->pausing) {
		resume_if_paused(h);
	} else {
		h->pausing = true;
		network_pause(&h->net, at_rest, h);
	}
	loop_timer_start(&h->g.control, &h->pauser,
		(1 + random_below(&h->pauser_random, 4)) * NS_PER_MS, pause_tick);
}

static void pauser_start(void *arg)
{
	struct hot *h = arg;

	loop_timer_start(&h->g.control, &h->pauser, NS_PER_MS, pause_tick);
}

static void pauser_stop(void *arg)
{
	struct hot *h = arg;

	loop_timer_cancel(&h->pauser);
	resume_if_paused(h);
}

/* ---- changes ------------------------------------------------------------- */

static void open_network(void *arg)
{
	struct hot *h = arg;

	assert_int_equal(network_open(&h->net, &h->g.control, &h->options, &h->e), 0);
	h->net.tick_ns = TICK_NS;
	assert_int_equal(network_attach(&h->net, &h->g.host, &h->e), 0);
}

static void add_on_control(void *arg)
{
	struct hot *h = arg;
	struct nic_config config;
	uint32_t number = 77;

	resume_if_paused(h);
	if (nic_config_parse(&config, h->spec, NULL, &h->e))
		fail_msg("%s", h->e.text);
	h->ret = network_add(&h->net, &config, &number, &h->e);
	if (!h->ret)
		assert_int_equal(number, 0);
}

static void add(struct hot *h, const char *spec)
{
	h->spec = spec;
	guest_control(&h->g, add_on_control, h);
	if (h->ret)
		fail_msg("%s", h->e.text);
}

static void removed(void *ctx, const struct err *e)
{
	struct hot *h = ctx;

	atomic_store(&h->failed, e != NULL);
	atomic_fetch_add(&h->ended, 1);
}

static void remove_on_control(void *arg)
{
	struct hot *h = arg;

	resume_if_paused(h);
	h->ret = network_remove(
		&h->net, 0, &(struct network_change){.done = removed, .ctx = h}, &h->e);
}

static void begin_removal(struct hot *h)
{
	guest_control(&h->g, remove_on_control, h);
	assert_int_equal(h->ret, 0);
}

static void nothing(void *arg)
{
}

static void wait_ended(struct hot *h, uint32_t count)
{
	while (atomic_load(&h->ended) < count)
		guest_control(&h->g, nothing, NULL);
}

/* ---- the guest ----------------------------------------------------------- */

static struct hot *start(void)
{
	struct guest_config gc = {.ram = RAM, .vps = VPS, .io_threads = 2};
	struct hot *h = calloc(1, sizeof(*h));

	h->random = 1;
	h->options = (struct vm_config){.name = (char *)"hot", .cpus = VPS};
	guest_start(&h->g, &gc);
	guest_control(&h->g, open_network, h);
	guest_nic_init(&h->n, &h->g, INSTANCE);
	guest_connect(&h->g, VMBUS_VERSION_WIN10_V5_3);
	return h;
}

static void detach(void *arg)
{
	network_detach(&((struct hot *)arg)->net);
}

static void close_network(void *arg)
{
	struct hot *h = arg;

	h->net.closing = true; /* network_close() would run the loop, which runs already */
	for (uint32_t i = 0; i < VM_NICS_MAX; i++)
		assert_true(h->net.nics[i].state == NETWORK_NONE);
}

static void stop(struct hot *h)
{
	guest_shut_down(&h->g);
	guest_control(&h->g, detach, h);
	guest_control(&h->g, nothing, NULL); /* what closing has posted */
	guest_control(&h->g, close_network, h);
	guest_stop(&h->g);
	free(h);
}

static void open_nic(struct hot *h, uint32_t version)
{
	guest_nic_open(&h->n, version, VPS - 1, true);
	guest_nic_set_filter(&h->n, NDIS_FILTER_DIRECTED | NDIS_FILTER_BROADCAST);
	if (h->n.channel_count > 1)
		guest_nic_set_rss(&h->n);
}

static bool send_one(struct hot *h)
{
	uint8_t bytes[FRAME] = {2, 0, 0, 0, 0, 0xbb, 2, 0, 0, 0, 0, 0xaa, 0x88, 0xb5};
	struct netvsc_tx tx = {.length = 60 + below(h, FRAME - 60)};

	memcpy(bytes, h->n.conn.mac, 6);
	return guest_nic_send(
		&h->n, below(h, h->n.channel_count), below(h, NIC_LAYOUTS), &tx, bytes);
}

static void send_some(struct hot *h, uint32_t count)
{
	while (count--) {
		send_one(h);
		guest_nic_poll(&h->n);
	}
}

static bool link_is_down(const struct hot *h)
{
	return h->n.indications && h->n.last_indication == RNDIS_STATUS_MEDIA_DISCONNECT;
}

/* With traffic until the guest knows that its link is down. What was in its rings before the
 * RESCIND has interrupted it before. */
static void use_until_rescind(struct hot *h)
{
	struct guest_nic *n = &h->n;
	bool rescinded;

	do {
		rescinded = guest_is_rescinded(&h->g, n->channels[0].offer.relid);
		if (!link_is_down(h) && !rescinded)
			send_one(h);
		guest_nic_poll(n);
	} while (!rescinded);
}

static void release(struct hot *h)
{
	uint32_t relid = h->n.channels[0].offer.relid;

	guest_nic_close_channels(&h->n);
	guest_wait_rescind(&h->g, relid);
	guest_release(&h->g, relid);
	h->n.indications = 0;
}

static uint32_t cycles(void)
{
	const char *text = getenv("NETVSP_CYCLES");

	return text ? (uint32_t)strtoul(text, NULL, 10) : CYCLES;
}

/* ---- tests --------------------------------------------------------------- */

static void run_cycle(struct hot *h, uint32_t version)
{
	uint32_t ended = atomic_load(&h->ended);

	add(h, below(h, 2) ? "loop" : "loop,delay=0s-300us");
	open_nic(h, version);
	send_some(h, below(h, 60));
	begin_removal(h);
	use_until_rescind(h);
	assert_int_equal(h->n.busy, 0);
	release(h);
	wait_ended(h, ended + 1);
	assert_false(atomic_load(&h->failed));
}

static void add_and_remove_under_traffic(void **state)
{
	struct hot *h = start();

	for (uint32_t i = 0; i < cycles(); i++)
		run_cycle(h, i % 8 ? NVSP_VERSION_6_1 : NVSP_VERSION_4);
	stop(h);
}

static void pause_at_any_time(void **state)
{
	struct hot *h = start();

	guest_control(&h->g, pauser_start, h);
	for (uint32_t i = 0; i < cycles() / 4; i++)
		run_cycle(h, NVSP_VERSION_6_1);
	guest_control(&h->g, pauser_stop, h);
	assert_true(h->pauses > cycles() / 8);
	stop(h);
}

/* One that ignores its link is served after the RESCIND, too. */
static void a_guest_that_sends_on(void **state)
{
	struct hot *h = start();
	uint32_t relid;

	for (uint32_t i = 0; i < 5; i++) {
		add(h, "loop");
		open_nic(h, NVSP_VERSION_6_1);
		relid = h->n.channels[0].offer.relid;
		begin_removal(h);
		while (!guest_is_rescinded(&h->g, relid))
			send_some(h, 1);
		send_some(h, 20);
		guest_nic_wait_sent(&h->n);
		release(h);
		wait_ended(h, i + 1);
		assert_false(atomic_load(&h->failed));
	}
	stop(h);
}

/* A driver that asks at the worst moment gets its answers, as long as it has not closed. */
static void requests_after_rescind_are_answered(void **state)
{
	struct hot *h = start();
	const uint8_t *info;
	uint32_t len;

	add(h, "loop");
	open_nic(h, NVSP_VERSION_6_1);
	begin_removal(h);
	use_until_rescind(h);
	assert_int_equal(guest_nic_query(&h->n, OID_GEN_MEDIA_CONNECT_STATUS, &info, &len), 0);
	assert_int_equal(info[0], 1);
	guest_nic_set_filter(&h->n, 0);
	release(h);
	wait_ended(h, 1);
	stop(h);
}

static void without_a_driver(void **state)
{
	static const struct hv_guid class_id = VMBUS_GUID_NIC;
	struct hot *h = start();
	struct vmbus_offer offer;

	add(h, "null");
	offer = guest_wait_offer(&h->g, &class_id, INSTANCE, 0);
	begin_removal(h);
	guest_wait_rescind(&h->g, offer.relid);
	guest_release(&h->g, offer.relid);
	wait_ended(h, 1);
	assert_false(atomic_load(&h->failed));
	stop(h);
}

static void short_patience(void *arg)
{
	((struct hot *)arg)->net.release_s = 1;
}

/* Its channels are closed, the change fails, the NIC goes when it is released after all. */
static void a_guest_that_never_releases(void **state)
{
	struct hot *h = start();

	guest_control(&h->g, short_patience, h);
	add(h, "loop");
	open_nic(h, NVSP_VERSION_6_1);
	begin_removal(h);
	use_until_rescind(h);
	wait_ended(h, 1);
	assert_true(atomic_load(&h->failed));
	guest_control(&h->g, remove_on_control, h);
	assert_int_equal(h->ret, -EALREADY);
	release(h);
	run_cycle(h, NVSP_VERSION_6_1);
	stop(h);
}

/* The VM ends, or the guest resets, in each state of a removal. */
static void the_end_at_any_time(void **state)
{
	for (uint32_t stage = 0; stage < 4; stage++) {
		struct hot *h = start();

		add(h, "loop");
		open_nic(h, NVSP_VERSION_6_1);
		send_some(h, 30);
		begin_removal(h);
		if (stage == 1)
			send_some(h, 10);
		if (stage >= 2)
			use_until_rescind(h);
		if (stage == 3)
			guest_nic_close_channels(&h->n);
		stop(h);
	}
}

/* ---- link ---------------------------------------------------------------- */

static bool wanted_link;

static void set_link(void *arg)
{
	struct hot *h = arg;

	h->ret = network_set_link(&h->net, 0, wanted_link, &h->e);
}

static void flip(struct hot *h, bool up)
{
	wanted_link = up;
	guest_control(&h->g, set_link, h);
	assert_int_equal(h->ret, 0);
}

static void wait_link(struct hot *h, uint32_t indication)
{
	while (h->n.last_indication != indication)
		guest_nic_poll(&h->n);
}

static void link_flaps(void **state)
{
	struct hot *h = start();
	uint64_t frames;

	add(h, "loop");
	open_nic(h, NVSP_VERSION_6_1);
	guest_control(&h->g, pauser_start, h);
	for (uint32_t i = 0; i < 2 * cycles(); i++) {
		flip(h, i & 1);
		send_some(h, below(h, 4));
	}
	guest_control(&h->g, pauser_stop, h);
	flip(h, false);
	wait_link(h, RNDIS_STATUS_MEDIA_DISCONNECT);
	guest_nic_wait_sent(&h->n);
	frames = h->n.frames;
	send_some(h, 50);
	guest_nic_wait_sent(&h->n);
	assert_int_equal(h->n.frames, frames);
	flip(h, true);
	wait_link(h, RNDIS_STATUS_MEDIA_CONNECT);
	assert_true(send_one(h));
	guest_nic_wait_frames(&h->n, frames + 1);
	begin_removal(h);
	use_until_rescind(h);
	assert_int_equal(h->n.busy, 0);
	release(h);
	wait_ended(h, 1);
	stop(h);
}

/* ---- addresses and MTU --------------------------------------------------- */

static void open_twice(void *arg)
{
	struct hot *h = arg;
	static const char *const names[] = {"hot", "hot", "other"};
	struct network net[3];
	struct nic_config config;
	uint32_t number;

	for (uint32_t i = 0; i < 3; i++) {
		net[i] = (struct network){0};
		h->options.name = (char *)names[i];
		assert_int_equal(network_open(&net[i], &h->g.control, &h->options, &h->e), 0);
		for (uint32_t k = 0; k < 2; k++) {
			assert_int_equal(nic_config_parse(&config, "null", NULL, &h->e), 0);
			assert_int_equal(network_add(&net[i], &config, &number, &h->e), 0);
			assert_int_equal(number, k);
			assert_int_equal(net[i].nics[k].mac[0], 2);
		}
	}
	for (uint32_t k = 0; k < 2; k++) {
		assert_memory_equal(net[0].nics[k].mac, net[1].nics[k].mac, 6);
		assert_memory_not_equal(net[0].nics[k].mac, net[2].nics[k].mac, 6);
	}
	assert_memory_not_equal(net[0].nics[0].mac, net[0].nics[1].mac, 6);
	assert_int_equal(nic_config_parse(&config, "null,mac=02:00:00:00:00:01", NULL, &h->e), 0);
	assert_int_equal(network_add(&net[0], &config, &number, &h->e), 0);
	assert_int_equal(nic_config_parse(&config, "null,mac=02:00:00:00:00:01", NULL, &h->e), 0);
	assert_int_equal(network_add(&net[0], &config, &number, &h->e), -EEXIST);
	for (uint32_t i = 0; i < 3; i++)
		network_close(&net[i]);
}

static void addresses_depend_on_name_and_number(void **state)
{
	struct hot *h = start();

	guest_control(&h->g, open_twice, h);
	stop(h);
}

static uint32_t mtu_of_guest(struct hot *h)
{
	const uint8_t *info;
	uint32_t len, mtu;

	assert_int_equal(guest_nic_query(&h->n, OID_GEN_MAXIMUM_FRAME_SIZE, &info, &len), 0);
	memcpy(&mtu, info, sizeof(mtu));
	return mtu;
}

static void set_mtu(void *arg)
{
	struct hot *h = arg;

	assert_int_equal(network_set_mtu(&h->net, 0, 67, &h->e), -EINVAL);
	assert_int_equal(network_set_mtu(&h->net, 0, 9217, &h->e), -EINVAL);
	assert_int_equal(network_set_mtu(&h->net, 0, 1300, &h->e), 0);
}

/* The sections of a driver that is connected are cut for its MTU. */
static void mtu_is_for_the_next_driver(void **state)
{
	struct hot *h = start();

	add(h, "loop,mtu=1400");
	open_nic(h, NVSP_VERSION_6_1);
	assert_int_equal(mtu_of_guest(h), 1400);
	guest_control(&h->g, set_mtu, h);
	assert_int_equal(mtu_of_guest(h), 1400);
	guest_nic_close(&h->n);
	open_nic(h, NVSP_VERSION_6_1);
	assert_int_equal(mtu_of_guest(h), 1300);
	begin_removal(h);
	use_until_rescind(h);
	release(h);
	wait_ended(h, 1);
	stop(h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(add_and_remove_under_traffic),
		cmocka_unit_test(pause_at_any_time),
		cmocka_unit_test(a_guest_that_sends_on),
		cmocka_unit_test(requests_after_rescind_are_answered),
		cmocka_unit_test(without_a_driver),
		cmocka_unit_test(a_guest_that_never_releases),
		cmocka_unit_test(the_end_at_any_time),
		cmocka_unit_test(link_flaps),
		cmocka_unit_test(addresses_depend_on_name_and_number),
		cmocka_unit_test(mtu_is_for_the_next_driver),
	};

	cmocka_set_test_filter(getenv("NETVSP_TEST"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
