/* SPDX-License-Identifier: MIT */
/* TAP, with real interfaces in a network of the test's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "nic/tap/tap_impl.h"
#include "tests/support/nic_frames.h"
#include "tests/support/nic_rig.h"

static struct loop loop;
static struct nic_rig a, b;

static int setup(void **state)
{
	memset(&a, 0, sizeof(a));
	memset(&b, 0, sizeof(b));
	assert_int_equal(loop_init(&loop, "control", NULL), 0);
	nic_rig_shell("ip link add br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0");
	nic_rig_shell("ip link set br0 up");
	return 0;
}

static int teardown(void **state)
{
	loop_fini(&loop);
	nic_rig_shell("ip link del br0");
	return 0;
}

/* To all, from a unicast address. */
static void address(uint8_t *bytes)
{
	memset(bytes, 0xff, 6);
	memcpy(bytes + 6, "\2\0\0\0\0\1", 6);
}

static void bridge(const char *name)
{
	nic_rig_shell("ip link set %s master br0", name);
}

static void open_both(void)
{
	nic_rig_open(&a, &loop, "tap:ta", 1);
	nic_rig_open(&b, &loop, "tap:tb", 1);
	bridge("ta");
	bridge("tb");
	nic_rig_wait_path(&a, &b);
}

static void close_both(void)
{
	nic_rig_close(&a);
	nic_rig_close(&b);
}

/* ---- frames -------------------------------------------------------------- */

static struct {
	uint8_t bytes[NIC_FRAME_MAX];
	uint32_t length;
	struct nic_offload offload;
} wanted;

static void whole(struct nic_rig *rig, const uint8_t *bytes, const struct nic_frame *frame)
{
	const struct nic_offload *got = &frame->offload, *want = &wanted.offload;
	const uint8_t mask = (uint8_t)~NIC_CSUM_VALID;

	assert_int_equal(frame->length, wanted.length);
	assert_memory_equal(bytes, wanted.bytes, wanted.length);
	assert_int_equal(got->flags & mask, want->flags);
	assert_int_equal(got->gso, want->gso);
	assert_int_equal(got->gso_size, want->gso_size);
	assert_int_equal(got->csum_start, want->csum_start);
	assert_int_equal(got->csum_offset, want->csum_offset);
	assert_int_equal(got->vlan_tci, want->vlan_tci);
}

static void send_wanted(struct nic_random *r, enum nic_frame_kind kind, uint16_t vlan)
{
	struct nic_rig_frame *f;
	uint32_t headers;

	nic_frame_make(r, kind, wanted.bytes, &wanted.length, &headers, &wanted.offload);
	if (vlan) {
		wanted.offload.flags |= NIC_VLAN;
		wanted.offload.vlan_tci = vlan;
	}
	f = nic_rig_frame(&a, wanted.length, headers, 1 + nic_random(r, 40));
	memcpy(f->bytes, wanted.bytes, wanted.length);
	f->frame.offload = wanted.offload;
	nic_rig_send(&a, f);
}

/* With offloads on both sides a frame passes as it is, with and without a VLAN tag. */
static void frames_stay_whole(void **state)
{
	static const enum nic_frame_kind kinds[] = {
		NIC_FRAME_PLAIN, NIC_FRAME_PARTIAL, NIC_FRAME_TSO};
	struct nic_random r = {.state = 21};

	open_both();
	assert_int_equal(nic_set_rx_offloads(b.nic, NIC_CAN_ALL), 0);
	assert_int_equal(b.nic->rx_offloads, NIC_CAN_ALL & ~NIC_CAN_USO);
	b.rx = whole;
	for (uint32_t i = 0; i < 600; i++) {
		send_wanted(&r, kinds[i % 3], i % 2 ? (uint16_t)(1 + nic_random(&r, 4094)) : 0);
		nic_rig_wait_received(&b, i + 1);
	}
	assert_int_equal(a.failed, 0);
	close_both();
}

static uint32_t gso_seen;

static void count_gso(struct nic_rig *rig, const uint8_t *bytes, const struct nic_frame *frame)
{
	gso_seen += frame->offload.gso != 0;
	assert_true(!frame->offload.gso || rig->nic->rx_offloads);
	assert_true(!(frame->offload.flags & NIC_CSUM_PARTIAL) || rig->nic->rx_offloads);
}

/* Frames that were in the queue when offloads are switched off: none arrives with an offload. */
static void offloads_switched_under_traffic(void **state)
{
	struct nic_random r = {.state = 22};
	struct nic_stats stats;

	open_both();
	b.rx = count_gso;
	for (uint32_t i = 0; i < 200; i++) {
		nic_set_rx_offloads(b.nic, i & 1 ? NIC_CAN_ALL : 0);
		for (uint32_t k = 0; k < 8; k++)
			send_wanted(&r, k & 1 ? NIC_FRAME_TSO : NIC_FRAME_PARTIAL, 0);
		nic_set_rx_offloads(b.nic, i & 1 ? 0 : NIC_CAN_ALL);
		nic_rig_wait_sent(&a);
		nic_rig_wait_received(&b, b.received + 1);
	}
	assert_int_equal(gso_seen, 0); /* segmented by the kernel, or dropped here */
	nic_stats(b.nic, &stats);
	assert_int_equal(stats.rx.dropped[NIC_DROP_OFFLOAD], 400);
	close_both();
}

static void frames_that_the_buffer_cannot_hold_are_dropped(void **state)
{
	struct nic_stats stats;
	static uint8_t bytes[1514];

	address(bytes);
	open_both();
	b.buffers_out = RIG_BUFFERS;
	nic_rig_send_bytes(&a, bytes, 1514);
	nic_rig_send_bytes(&a, bytes, 60);
	b.buffers_out = 0;
	b.room_max = 1514;
	nic_rx_resume(b.queue);
	nic_rig_wait_received(&b, 1);
	nic_stats(b.nic, &stats);
	assert_int_equal(stats.rx.dropped[NIC_DROP_TOO_BIG], 1);
	close_both();
}

/* ---- turns of the loop --------------------------------------------------- */

static struct {
	uint32_t bytes; /* in this turn */
	uint32_t most;  /* in a turn, without the last frame of it */
} turn;

static void count_in_turn(struct nic_rig *rig, const uint8_t *bytes, const struct nic_frame *frame)
{
	if (turn.bytes > turn.most)
		turn.most = turn.bytes;
	turn.bytes += frame->length;
}

static void end_of_turn(struct loop_hook *hook)
{
	turn.bytes = 0;
}

/* The client publishes at the end of a turn: it gets the first frames while the next are copied. */
static void long_frames_come_a_few_per_turn(void **state)
{
	struct nic_random r = {.state = 23};
	struct loop_hook hook = {.fn = end_of_turn};

	open_both();
	assert_int_equal(nic_set_rx_offloads(b.nic, NIC_CAN_ALL), 0);
	b.buffers_out = RIG_BUFFERS;
	for (uint32_t i = 0; i < 100; i++)
		send_wanted(&r, NIC_FRAME_TSO, 0);
	assert_int_equal(a.sent, 100);
	b.buffers_out = 0;
	b.rx = count_in_turn;
	turn.most = 0;
	loop_hook_add(&loop, &hook);
	nic_rx_resume(b.queue);
	nic_rig_wait_received(&b, 100);
	loop_hook_del(&loop, &hook);
	/* In the turn in which the queue wakes up there are two batches. */
	assert_in_range(turn.most, 1, 2 * (NIC_TURN_BYTES + NIC_FRAME_MAX));
	close_both();
}

/* ---- back-pressure ------------------------------------------------------- */

static void paused_queues_leave_frames_in_the_kernel(void **state)
{
	static uint8_t bytes[60];

	address(bytes);
	open_both();
	b.buffers_out = RIG_BUFFERS;
	for (uint32_t i = 0; i < 200; i++)
		nic_rig_send_bytes(&a, bytes, sizeof(bytes));
	assert_int_equal(a.sent, 200);
	b.buffers_out = 0;
	nic_rx_resume(b.queue);
	nic_rig_wait_received(&b, 200);
	close_both();
}

/* A socket buffer so small that every write but the first gives EAGAIN: frames wait, in order, or
 * are dropped when nothing drains; a stop takes them back. */
static void eagain_storms(void **state)
{
	static uint8_t bytes[1400];
	int size = 2000;

	address(bytes);
	nic_rig_open(&a, &loop, "tap:ta", 1);
	nic_rig_wait_link(&a, true);
	/* A shaper holds what is sent on: a queue that is nearly closed. */
	nic_rig_shell("ip link add ve type veth peer name vg");
	nic_rig_shell("ip link set ve up && ip link set vg up && ip link set ve master br0");
	bridge("ta");
	if (system("tc qdisc add dev ve root tbf rate 1mbit burst 1600 limit 3000000 2>/dev/null")) {
		nic_rig_shell("ip link del ve");
		nic_rig_close(&a);
		printf("# no tbf in this kernel\n");
		skip();
		return;
	}
	/* One known destination: what is flooded is not charged. */
	memcpy(bytes, "\2\0\0\0\0\x77", 6);
	nic_rig_shell("bridge fdb replace 02:00:00:00:00:77 dev ve master static");
	assert_int_equal(ioctl(((struct tap *)a.nic)->dev.fds[0], TUNSETSNDBUF, &size), 0);
	for (uint32_t i = 0; i < 40; i++)
		nic_rig_send_bytes(&a, bytes, sizeof(bytes));
	assert_true(a.frames_out > 0);
	nic_rig_wait_sent(&a);
	assert_int_equal(a.sent, 40); /* slowly, but all of them */
	for (uint32_t i = 0; i < 40; i++)
		nic_rig_send_bytes(&a, bytes, sizeof(bytes));
	assert_true(a.frames_out > 0);
	nic_rig_close(&a);
	assert_int_equal(a.last_error, -ECANCELED);
	nic_rig_shell("ip link del ve");
}

/* ---- the interface changes ----------------------------------------------- */

static bool mtu_is_9000(void *ctx)
{
	return nic_mtu(a.nic) == 9000;
}

static void changes_of_the_interface_are_seen(void **state)
{
	static uint8_t bytes[60];
	struct nic_stats stats;

	nic_rig_open(&a, &loop, "tap:ta", 1);
	nic_rig_wait_link(&a, true);
	assert_int_equal(nic_mtu(a.nic), 1500);
	nic_rig_shell("ip link set ta mtu 9000");
	nic_rig_run(&loop, mtu_is_9000, NULL);
	nic_rig_shell("ip link set ta down");
	nic_rig_wait_link(&a, false);
	nic_rig_send_bytes(&a, bytes, sizeof(bytes));
	assert_int_equal(a.last_error, -ENETDOWN);
	nic_stats(a.nic, &stats);
	assert_int_equal(stats.tx.dropped[NIC_DROP_LINK_DOWN], 1);
	nic_rig_shell("ip link set ta name tz && ip link set tz up");
	nic_rig_wait_link(&a, true);
	nic_rig_send_bytes(&a, bytes, sizeof(bytes));
	assert_int_equal(a.sent, 1);
	assert_string_equal(((struct tap *)a.nic)->dev.name, "tz");
	assert_int_equal(nic_set_carrier(a.nic, false), 0);
	nic_rig_shell("ip link show dev tz | grep -q NO-CARRIER");
	assert_int_equal(nic_set_carrier(a.nic, true), 0);
	nic_rig_shell("! ip link show dev tz | grep -q NO-CARRIER");
	nic_rig_close(&a);
	nic_rig_shell("! ip link show dev tz 2>/dev/null");
}

static void a_deleted_interface_comes_back(void **state)
{
	static uint8_t bytes[60];

	address(bytes);
	open_both();
	assert_int_equal(nic_set_rx_offloads(b.nic, NIC_CAN_ALL), 0);
	for (uint32_t i = 0; i < 20; i++) {
		const char *flags = i & 2 ? "multi_queue" : "";

		nic_rig_shell("ip link del tb");
		nic_rig_wait_link(&b, false);
		nic_rig_send_bytes(&b, bytes, sizeof(bytes));
		assert_int_equal(b.last_error, -ENETDOWN);
		nic_rig_shell(
			"ip tuntap add dev tb mode tap %s vnet_hdr && ip link set tb up", flags);
		nic_rig_wait_link(&b, true);
		bridge("tb");
		nic_rig_wait_path(&a, &b);
		nic_rig_wait_path(&b, &a);
		assert_int_equal(((struct tap *)b.nic)->dev.offloads, NIC_CAN_ALL & ~NIC_CAN_USO);
	}
	close_both();
	nic_rig_shell("ip link del tb");
}

static bool attach_failed(void *ctx)
{
	return ((struct tap *)a.nic)->attach_failed;
}

/* Somebody else has it for a while. */
static void one_that_cannot_be_attached_is_tried_again(void **state)
{
	struct ifreq r = {.ifr_name = "ta", .ifr_flags = IFF_TAP | IFF_NO_PI};
	int thief = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

	nic_rig_open(&a, &loop, "tap:ta", 1);
	nic_rig_wait_link(&a, true);
	nic_rig_shell("ip link del ta");
	assert_int_equal(ioctl(thief, TUNSETIFF, &r), 0);
	nic_rig_shell("ip link set ta up");
	nic_rig_wait_link(&a, false);
	nic_rig_run(&loop, attach_failed, NULL);
	assert_int_equal(ioctl(thief, TUNSETPERSIST, 1), 0);
	close(thief);
	nic_rig_wait_link(&a, true);
	nic_rig_close(&a);
	nic_rig_shell("ip link del ta");
}

/* ---- opening ------------------------------------------------------------- */

static void queues_are_attached_on_demand(void **state)
{
	static struct nic_rig queues[4];
	static uint8_t bytes[60];
	struct nic *nic;

	address(bytes);
	nic_rig_shell("ip tuntap add dev tm mode tap multi_queue vnet_hdr && ip link set tm up");
	nic_rig_open(&a, &loop, "tap:tm", 4);
	nic = a.nic;
	assert_int_equal(nic->info.queues_max, 4);
	nic_rig_wait_link(&a, true);
	assert_int_equal(nic_set_queues(nic, 4), 0);
	for (uint32_t i = 1; i < 4; i++)
		nic_rig_attach(&queues[i], &loop, nic, i);
	for (uint32_t i = 1; i < 4; i++) {
		nic_rig_send_bytes(&queues[i], bytes, sizeof(bytes));
		assert_int_equal(queues[i].sent, 1);
	}
	for (uint32_t i = 1; i < 4; i++)
		nic_rig_detach(&queues[i]);
	assert_int_equal(nic_set_queues(nic, 1), 0);
	assert_int_equal(nic_set_queues(nic, 3), 0);
	assert_int_equal(nic_set_queues(nic, 5), -EINVAL);
	nic_rig_close(&a);
	nic_rig_shell("ip link del tm");
}

static int open_tap(const char *name, short flags)
{
	struct ifreq r = {.ifr_flags = flags};
	int fd = open("/dev/net/tun", O_RDWR);

	snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", name);
	assert_int_equal(ioctl(fd, TUNSETIFF, &r), 0);
	return fd;
}

static void descriptors_are_inherited(void **state)
{
	char text[32];
	int fd = open_tap("tf", IFF_TAP | IFF_NO_PI | IFF_VNET_HDR);

	nic_rig_shell("ip link set tf up");
	snprintf(text, sizeof(text), "fd:%d", fd);
	nic_rig_open(&a, &loop, text, 1);
	nic_rig_wait_link(&a, true);
	nic_rig_open(&b, &loop, "tap:tb", 1);
	nic_rig_wait_link(&b, true);
	bridge("tf");
	bridge("tb");
	nic_rig_wait_path(&a, &b);
	close_both();
	assert_int_equal(fcntl(fd, F_GETFD), -1); /* it was taken over */
}

static void wrong_ones_are_refused(void **state)
{
	struct nic *nic;
	char text[32];
	struct err e;
	int fd = open_tap("tf", IFF_TAP | IFF_NO_PI);

	snprintf(text, sizeof(text), "fd:%d", fd);
	assert_int_equal(nic_rig_stack(&nic, &loop, text, 1, &e), -EINVAL);
	assert_non_null(strstr(e.text, "IFF_VNET_HDR"));
	nic_rig_shell("ip tuntap add dev ts mode tap vnet_hdr");
	assert_int_equal(nic_rig_stack(&nic, &loop, "tap:ts", 4, &e), -EINVAL);
	assert_non_null(strstr(e.text, "multi_queue"));
	nic_rig_open(&a, &loop, "tap:ts", 1);
	assert_int_equal(nic_rig_stack(&nic, &loop, "tap:ts", 1, &e), -EBUSY);
	assert_non_null(strstr(e.text, "another program"));
	nic_rig_close(&a);
	assert_true(nic_rig_stack(&nic, &loop, "tap:br0", 1, &e) < 0);
	assert_non_null(strstr(e.text, "br0"));
	nic_rig_shell("ip link del ts");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(frames_stay_whole),
		TEST(offloads_switched_under_traffic),
		TEST(frames_that_the_buffer_cannot_hold_are_dropped),
		TEST(long_frames_come_a_few_per_turn),
		TEST(paused_queues_leave_frames_in_the_kernel),
		TEST(eagain_storms),
		TEST(changes_of_the_interface_are_seen),
		TEST(a_deleted_interface_comes_back),
		TEST(one_that_cannot_be_attached_is_tried_again),
		TEST(queues_are_attached_on_demand),
		TEST(descriptors_are_inherited),
		TEST(wrong_ones_are_refused),
	};

	if (!nic_rig_unshare())
		return 0;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
