/* SPDX-License-Identifier: MIT */
/* What the controller counts, against what a guest driver has done: to the last command and byte.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "mgmt/inspect_json.h"
#include "tests/support/storvsp_rig.h"
#include "vm/stats.h"

#define LUN  RIG_LUN
#define IN   VSTOR_DATA_IN
#define OUT  VSTOR_DATA_OUT
#define NONE VSTOR_DATA_NONE

static int setup(void **state)
{
	*state = storvsp_rig_create(3);
	return 0;
}

static int teardown(void **state)
{
	storvsp_rig_destroy(*state);
	return 0;
}

static struct storvsp_counters lun_counters(struct vsp_device *dev, uint8_t lun)
{
	struct storvsp_counters c;

	assert_int_equal(storvsp_counters(dev, lun, &c), 0);
	return c;
}

static uint64_t commands(const struct storvsp_counters *c)
{
	return c->reads + c->writes + c->flushes + c->unmaps + c->others + c->errors;
}

static uint64_t measured(const struct storvsp_counters *c)
{
	uint64_t count = 0;

	for (uint32_t i = 0; i < STORVSP_LATENCIES; i++)
		count += c->latency[i].count;
	return count;
}

/* ---- commands ------------------------------------------------------------ */

/* One command on a channel, waited for. */
static const struct storvsc_completion *run(
	struct guest_disk *d, uint32_t channel, struct storvsc_command cmd)
{
	d->slots[0].cmd = cmd;
	assert_true(guest_disk_submit(d, 0, channel));
	return guest_disk_wait(d, 0);
}

static struct storvsc_command transfer(uint8_t opcode, uint32_t lba, uint8_t blocks)
{
	return (struct storvsc_command){.lun = LUN,
		.data = opcode == 0x28 ? IN : OUT,
		.length = blocks * RIG_BLOCK,
		.cdb_length = 10,
		.cdb = {opcode, 0, BE4(lba), 0, 0, blocks}};
}

static struct storvsc_command no_data(uint8_t opcode, uint8_t lun)
{
	return (struct storvsc_command){
		.lun = lun, .data = NONE, .cdb_length = opcode ? 10 : 6, .cdb = {opcode}};
}

static struct storvsc_command unmap_one(struct guest_disk *d)
{
	static const uint8_t list[24] = {0, 22, 0, 16, [19] = 8}; /* LBA 0, 8 blocks: byte 16.. */

	guest_slot_put(d, 0, list, sizeof(list));
	return (struct storvsc_command){.lun = LUN,
		.data = OUT,
		.length = sizeof(list),
		.cdb_length = 10,
		.cdb = {0x42, [8] = sizeof(list)}};
}

static void counts_are_exact(void **state)
{
	struct storvsp_rig *rig = *state;
	struct guest_disk *d = &rig->d;
	struct storvsp_counters c, ch;

	guest_disk_open(d, VSTOR_VERSION_WIN10, 2);
	for (uint8_t i = 1; i <= 3; i++)
		run(d, 0, transfer(0x28, 7, i));
	run(d, 1, transfer(0x2A, 7, 8));
	run(d, 1, transfer(0x2A, 9, 2));
	run(d, 2, no_data(0x35, LUN));
	run(d, 2, no_data(0x00, LUN));
	assert_int_equal(run(d, 2, unmap_one(d))->srb_status, VSTOR_SRB_SUCCESS);
	assert_int_equal(run(d, 2, transfer(0x28, RIG_BLOCKS, 1))->sense[12], 0x21);
	run(d, 2, no_data(0x00, 9)); /* nobody's */
	c = lun_counters(rig->dev, LUN);
	assert_int_equal(c.reads, 3);
	assert_int_equal(c.read_bytes, 6 * RIG_BLOCK);
	assert_int_equal(c.writes, 2);
	assert_int_equal(c.written_bytes, 10 * RIG_BLOCK);
	assert_int_equal(c.flushes, 1);
	assert_int_equal(c.unmaps, 1);
	assert_int_equal(c.others, 1);
	assert_int_equal(c.errors, 1);
	assert_int_equal(c.copied_bytes, 24);
	assert_int_equal(c.depth, 0);
	assert_int_equal(c.depth_highest, 1);
	assert_int_equal(c.latency[STORVSP_LATENCY_READ].count, 3);
	assert_int_equal(c.latency[STORVSP_LATENCY_WRITE].count, 2);
	assert_int_equal(c.latency[STORVSP_LATENCY_FLUSH].count, 1);
	assert_int_equal(c.latency[STORVSP_LATENCY_OTHER].count, 3); /* with what was refused */
	assert_int_equal(storvsp_channel_counters(rig->dev, 0, &ch), 0);
	assert_int_equal(ch.reads, 3);
	assert_int_equal(commands(&ch), 3);
	assert_int_equal(storvsp_channel_counters(rig->dev, 1, &ch), 0);
	assert_int_equal(ch.written_bytes, 10 * RIG_BLOCK);
	assert_int_equal(commands(&ch), 2);
	assert_int_equal(storvsp_channel_counters(rig->dev, 2, &ch), 0);
	assert_int_equal(commands(&ch), 4);
	assert_int_equal(storvsp_channel_counters(rig->dev, 3, &ch), -ENOENT);
	assert_int_equal(commands(&(struct storvsp_counters){0}), 0);
	c = lun_counters(rig->dev, RIG_LUN_LAST);
	assert_int_equal(commands(&c) + measured(&c) + c.depth_highest, 0);
	guest_disk_close(d);
}

/* Per LUN and per channel are two sums of the same. */
static void traffic_is_counted_once(void **state)
{
	struct storvsp_rig *rig = *state;
	struct storvsp_counters c, ch;
	uint64_t sum = 0, bytes = 0, highest = 0;

	guest_disk_open(&rig->d, VSTOR_VERSION_WIN10, 2);
	storvsp_rig_traffic(rig, 3000);
	c = lun_counters(rig->dev, LUN);
	assert_int_equal(commands(&c), 3000);
	assert_int_equal(measured(&c), 3000);
	assert_int_equal(c.depth, 0);
	for (uint32_t i = 0; i < 3; i++) {
		assert_int_equal(storvsp_channel_counters(rig->dev, i, &ch), 0);
		assert_true(commands(&ch) > 0);
		assert_int_equal(measured(&ch), commands(&ch));
		sum += commands(&ch);
		bytes += ch.read_bytes + ch.written_bytes;
		if (ch.depth_highest > highest)
			highest = ch.depth_highest;
	}
	assert_int_equal(sum, 3000);
	assert_int_equal(bytes, c.read_bytes + c.written_bytes);
	assert_int_equal(highest, c.depth_highest);
	assert_in_range(highest, 1, GUEST_DISK_SLOTS);
	guest_disk_close(&rig->d);
}

/* A disk that takes 3 ms: no read is faster, and no other command is slow. */
static void latency_is_the_disks(void **state)
{
	struct storvsp_rig *rig = *state;
	struct storvsp_counters c;
	struct hist_sum *reads = &c.latency[STORVSP_LATENCY_READ];

	guest_disk_open(&rig->d, VSTOR_VERSION_WIN10, 0);
	for (uint8_t i = 0; i < 5; i++)
		run(&rig->d, 0, no_data(0x00, LUN));
	atomic_store(&rig->disk->delay_ns, 3000000);
	for (uint8_t i = 0; i < 5; i++)
		run(&rig->d, 0, transfer(0x28, i, 1));
	c = lun_counters(rig->dev, LUN);
	assert_int_equal(reads->count, 5);
	assert_true(reads->sum_ns >= 5 * 3000000);
	assert_true(reads->highest_ns >= reads->sum_ns / 5);
	assert_true(hist_percentile(reads, 1) >= 2800000);
	assert_true(c.latency[STORVSP_LATENCY_OTHER].sum_ns > 0); /* done within a turn */
	guest_disk_close(&rig->d);
}

/* ---- channels ------------------------------------------------------------ */

struct inspection {
	struct vsp_device *dev;
	json_t *json;
};

static void inspect_on_control(void *arg)
{
	struct inspection *inspection = arg;
	struct inspect_json w;

	inspect_json_init(&w);
	vsp_device_inspect(inspection->dev, &w.inspect);
	inspection->json = inspect_json_finish(&w);
}

static json_t *inspected(struct storvsp_rig *rig)
{
	struct inspection inspection = {.dev = rig->dev};

	guest_control(&rig->g, inspect_on_control, &inspection);
	assert_non_null(inspection.json);
	return inspection.json;
}

static uint64_t number(json_t *root, const char *path)
{
	json_t *node = inspect_json_at(root, path, NULL);

	assert_true(json_is_integer(node));
	return (uint64_t)json_integer_value(node);
}

static void channels_count_packets(void **state)
{
	struct storvsp_rig *rig = *state;
	uint64_t packets = 0;
	json_t *channels, *json;

	guest_disk_open(&rig->d, VSTOR_VERSION_WIN10, 2);
	storvsp_rig_traffic(rig, 2000);
	json = inspected(rig);
	channels = json_object_get(json, "channels");
	assert_int_equal(json_array_size(channels), 3);
	for (uint32_t i = 0; i < 3; i++) {
		json_t *c = json_array_get(channels, i);

		packets += number(c, "packets");
		assert_int_equal(number(c, "index"), i);
		assert_int_equal(number(c, "sent"), number(c, "packets"));
		assert_in_range(number(c, "batches"), 1, number(c, "packets"));
		assert_in_range(number(c, "sent_batches"), 1, number(c, "sent"));
		assert_true(number(c, "interrupts") + number(c, "interrupts_masked") +
				    number(c, "interrupts_unneeded") >=
			    number(c, "sent_batches"));
		assert_int_equal(number(c, "unanswered"), 0);
		assert_int_equal(number(c, "requests_in_use"), 0);
		assert_int_equal(number(c, "rx_used"), 0);
		assert_int_equal(number(c, "tx_used"), 0);
		assert_in_range(number(c, "rx_highest"), 88, number(c, "rx_size") - 8);
		assert_in_range(number(c, "tx_highest"), 88, number(c, "tx_size") - 8);
	}
	assert_int_equal(packets, 2000 + 5); /* five to open the primary */
	json_decref(json);
	guest_disk_close(&rig->d);
}

/* ---- inspecting at any time ---------------------------------------------- */

struct inspector {
	struct storvsp_rig *rig;
	_Atomic bool stop;
	uint32_t times;
	uint64_t packets, reads;
};

/* Counters never go back. */
static void *inspector_main(void *arg)
{
	struct inspector *in = arg;

	while (!in->stop) {
		json_t *json = inspected(in->rig);
		uint64_t packets = number(json, "channels/1/packets");
		uint64_t reads = number(json, "luns/0/reads");

		assert_true(packets >= in->packets && reads >= in->reads);
		in->packets = packets;
		in->reads = reads;
		in->times++;
		json_decref(json);
	}
	return NULL;
}

static void traffic_is_inspected(void **state)
{
	struct inspector in = {.rig = *state};
	struct storvsp_rig *rig = *state;
	pthread_t thread;
	json_t *json;

	guest_disk_open(&rig->d, VSTOR_VERSION_WIN10, 2);
	assert_int_equal(pthread_create(&thread, NULL, inspector_main, &in), 0);
	storvsp_rig_traffic(rig, 3000);
	in.stop = true;
	pthread_join(thread, NULL);
	assert_true(in.times > 0);
	json = inspected(rig);
	assert_int_equal(number(json, "luns/0/lun"), LUN);
	assert_int_equal(number(json, "luns/0/reads"), lun_counters(rig->dev, LUN).reads);
	assert_int_equal(number(json, "luns/0/disk/size"), RIG_DISK_BYTES);
	assert_int_equal(number(json, "luns/1/lun"), RIG_LUN_LAST);
	json_decref(json);
	guest_disk_close(&rig->d);
	json = inspected(rig);
	assert_int_equal(json_array_size(json_object_get(json, "channels")), 0);
	json_decref(json);
}

/* ---- stable keys --------------------------------------------------------- */

static const struct stats_key *keys_of(const struct stats_key *keys, const char *key)
{
	while (strcmp(keys->key, key))
		keys++;
	return keys->keys;
}

/* What the storage unit adds, and what only NICs have. */
static bool is_of_others(const char *key)
{
	static const char *const others[] = {"id", "controller", "tx_frames", "tx_bytes",
		"tx_dropped", "rx_frames", "rx_bytes", "rx_dropped", "tx_invalid", "tx_spoofed",
		"rx_filtered", "rx_packets", "rx_starved", "sections_with_guest", "state",
		"version", "mac", "mtu", "link", "backend", "layers"};

	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++)
		if (!strcmp(key, others[i]))
			return true;
	return false;
}

static void has_keys(json_t *tree, const struct stats_key *keys)
{
	for (const struct stats_key *k = keys; k->key; k++) {
		json_t *value = json_object_get(tree, k->key);

		if (!value && is_of_others(k->key))
			continue;
		if (!value)
			fail_msg("the device does not show %s", k->key);
		if (k->keys)
			has_keys(json_is_array(value) ? json_array_get(value, 0) : value, k->keys);
	}
}

static void stable_keys_are_shown(void **state)
{
	struct storvsp_rig *rig = *state;
	json_t *json;

	guest_disk_open(&rig->d, VSTOR_VERSION_WIN10, 1);
	json = inspected(rig);
	has_keys(json, keys_of(stats_keys, "devices"));
	json_decref(json);
	guest_disk_close(&rig->d);
}

/* ---- queue depth --------------------------------------------------------- */

#define GATHERED 12u

/* Keeps requests until there are so many, then does them all. */
struct gather_disk {
	struct disk disk;
	struct disk_req *reqs[GATHERED];
	uint32_t count;
};

static void gather_submit(struct disk_queue *queue, struct disk_req *req)
{
	struct gather_disk *d = (struct gather_disk *)queue->disk;

	d->reqs[d->count++] = req;
	if (d->count < GATHERED)
		return;
	while (d->count) {
		struct disk_req *last = d->reqs[--d->count];

		last->done(last, 0);
	}
}

static const struct disk_ops gather_ops = {
	.name = "gather",
	.queue_open = disk_plain_queue_open,
	.queue_close = disk_plain_queue_close,
	.submit = gather_submit,
};

/* Until the I/O threads have it: bounded, as every wait of a guest is. */
static void wait_depth(struct vsp_device *dev, uint64_t depth)
{
	uint64_t end = loop_now_ns() + GUEST_TIMEOUT_MS * 1000000ull;

	while (lun_counters(dev, 0).depth != depth) {
		assert_true(loop_now_ns() < end);
		sched_yield();
	}
}

static void depth_is_what_is_in_flight(void **state)
{
	struct gather_disk gather = {.disk.ops = &gather_ops,
		.disk.info = {.size = 1 << 20, .block_size = 512, .physical_block_size = 512}};
	struct storvsp_lun_config lun = {.lun = 0, .disk = &gather.disk};
	struct storvsp_config config = {.luns = &lun, .lun_count = 1};
	struct guest_config machine = {.ram = 96 << 20, .vps = 1, .io_threads = 1};
	struct guest *g = calloc(1, sizeof(*g));
	struct guest_disk *d = calloc(1, sizeof(*d));
	struct storvsp_counters c;
	struct vsp_device *dev;

	guest_start(g, &machine);
	dev = guest_add_device(g, &storvsp_ops, RIG_INSTANCE, &config);
	guest_connect(g, VMBUS_VERSION_WIN10_V5_3);
	guest_disk_init(d, g, RIG_INSTANCE);
	guest_disk_open(d, VSTOR_VERSION_WIN10, 0);
	for (uint32_t i = 0; i < GATHERED; i++) {
		wait_depth(dev, i);
		d->slots[i].cmd = transfer(0x28, i, 1);
		d->slots[i].cmd.lun = 0;
		assert_true(guest_disk_submit(d, i, 0));
	}
	for (uint32_t i = 0; i < GATHERED; i++)
		assert_int_equal(guest_disk_wait(d, i)->srb_status, VSTOR_SRB_SUCCESS);
	c = lun_counters(dev, 0);
	assert_int_equal(c.depth, 0);
	assert_int_equal(c.depth_highest, GATHERED);
	assert_int_equal(c.reads, GATHERED);
	guest_disk_close(d);
	guest_stop(g);
	free(d);
	free(g);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(counts_are_exact),
		T(traffic_is_counted_once),
		T(latency_is_the_disks),
		T(channels_count_packets),
		T(traffic_is_inspected),
		T(stable_keys_are_shown),
		cmocka_unit_test(depth_is_what_is_in_flight),
	};

	log_set_level(LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
