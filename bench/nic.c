/* SPDX-License-Identifier: MIT */
/*
 * NICs without a virtual machine: frames per second and bytes per second of one
 * queue on one thread, transmit and receive apart. Two TAPs on a bridge in a
 * network of this program's own, in turn with plain writev() and readv() of the
 * same frames on the same descriptors; and a pair.
 *
 *   build/bench/nic [SECONDS]
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "nic/tap/tap_impl.h"
#include "tests/support/check.h"
#include "tests/support/nic_frames.h"
#include "tests/support/nic_rig.h"

#define BURST 500u /* fewer than a TAP's queue holds */

static struct loop loop;
static struct nic_rig a, b;
static double seconds = 1;

static const struct {
	const char *name;
	uint32_t length, mss;
} sizes[] = {{"60 bytes", 60, 0}, {"1514 bytes", 1514, 0}, {"62780 bytes, GSO", 62780, 1448}};

static void make(uint8_t *bytes, uint32_t length)
{
	struct nic_headers h;

	static const uint8_t ip[] = {
		0x45, 0, 0, 0, 0, 1, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2};

	memset(bytes, 0x5a, length);
	memset(bytes, 0xff, 6);
	memcpy(bytes + 6, "\2\0\0\0\0\1\10\0", 8);
	memcpy(bytes + 14, ip, sizeof(ip));
	bytes[16] = (uint8_t)((length - 14) >> 8);
	bytes[17] = (uint8_t)(length - 14);
	bytes[46] = 0x50;
	bytes[47] = 0x10;
	check(nic_parse(bytes, 54, &h));
	nic_ip_checksum(bytes, &h);
}

static void send_one(uint32_t length, uint32_t mss)
{
	struct nic_rig_frame *f = nic_rig_frame(&a, length, 54, length > 4096 ? 16 : 2);
	static const uint8_t *made;
	struct nic_headers h;

	check(f);
	if (f->bytes != made || f->bytes[46] != 0x50)
		make(f->bytes, length);
	made = f->bytes;
	if (mss)
		check(!nic_tso_prepare(f->bytes, 54, length, mss, &f->frame.offload));
	else if (nic_parse(f->bytes, 54, &h))
		nic_csum_prepare(f->bytes, &h, length - h.l4, &f->frame.offload);
	nic_rig_send(&a, f);
}

struct result {
	uint64_t frames, tx_ns, rx_ns;
};

static void print(const char *name, const struct result *r, uint32_t length)
{
	printf("  %-5s transmit %9.0f frames/s %6.2f GB/s   receive %9.0f frames/s %6.2f GB/s\n",
		name, r->frames * 1e9 / r->tx_ns, r->frames * 1.0 * length / r->tx_ns,
		r->frames * 1e9 / r->rx_ns, r->frames * 1.0 * length / r->rx_ns);
}

static void burst(struct result *r, uint32_t count, uint32_t length, uint32_t mss)
{
	uint64_t want = b.received + count, start = loop_now_ns(), middle;

	for (uint32_t i = 0; i < count; i++)
		send_one(length, mss);
	middle = loop_now_ns();
	nic_rig_wait_sent(&a);
	nic_rig_wait_received(&b, want);
	r->frames += count;
	r->tx_ns += middle - start;
	r->rx_ns += loop_now_ns() - middle;
}

/* The same without anything of ours. */
static void burst_plain(struct result *r, uint32_t count, uint32_t length, uint32_t mss)
{
	static uint8_t out[NIC_FRAME_MAX], in[RIG_ROOM];
	static uint32_t made;
	struct nic_offload o = {0};
	struct tap_header h = {.flags = 1, .csum_start = 34, .csum_offset = 16};
	struct iovec to[2] = {{&h, sizeof(h)}, {out, length}};
	struct iovec from[2] = {{&h, sizeof(h)}, {in, sizeof(in)}};
	int fd_a = ((struct tap *)a.nic)->dev.fds[0], fd_b = ((struct tap *)b.nic)->dev.fds[0];
	uint64_t start, middle;

	if (made != length)
		make(out, length);
	made = length;
	if (mss)
		check(!nic_tso_prepare(out, 54, length, mss, &o));
	h.gso_type = mss ? 1 : 0;
	h.gso_size = (uint16_t)mss;
	h.hdr_len = mss ? 54 : 0;
	start = loop_now_ns();
	for (uint32_t i = 0; i < count; i++)
		check(writev(fd_a, to, 2) == (ssize_t)(length + sizeof(h)));
	middle = loop_now_ns();
	for (uint32_t i = 0; i < count; i++) {
		struct pollfd p = {.fd = fd_b, .events = POLLIN};
		ssize_t n;

		/* Until one of ours: the kernel may send some of its own. */
		while ((n = readv(fd_b, from, 2)) != (ssize_t)(length + sizeof(h))) {
			check(n > 0 || errno == EAGAIN);
			if (n < 0)
				poll(&p, 1, -1);
		}
	}
	r->frames += count;
	r->tx_ns += middle - start;
	r->rx_ns += loop_now_ns() - middle;
}

static void measure(const char *name, uint32_t length, uint32_t mss, bool plain)
{
	struct result ours = {0}, theirs = {0};
	uint64_t end = loop_now_ns() + (uint64_t)(seconds * 1e9);
	uint32_t count = mss ? 64 : BURST;

	if (a.frames[0].bytes)
		a.frames[0].bytes[46] = 0; /* another length: made anew */
	while (loop_now_ns() < end) {
		burst(&ours, count, length, mss);
		if (plain)
			burst_plain(&theirs, count, length, mss);
	}
	print(name, &ours, length);
	if (!plain)
		return;
	print("plain", &theirs, length);
	printf("  ratio transmit %.2f receive %.2f\n",
		(double)theirs.tx_ns * ours.frames / ((double)ours.tx_ns * theirs.frames),
		(double)theirs.rx_ns * ours.frames / ((double)ours.rx_ns * theirs.frames));
}

/* Buffers for whole GSO frames have 45 pieces, as sections of a guest; others two. */
static void each_size(const char *name)
{
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		if (!sizes[i].mss) {
			b.room_max = 1564;
			printf("%s, small buffers\n", sizes[i].name);
			measure(name, sizes[i].length, sizes[i].mss, true);
		}
		b.room_max = 0;
		printf("%s\n", sizes[i].name);
		measure(name, sizes[i].length, sizes[i].mss, true);
	}
}

static void open_both(const char *left, const char *right)
{
	memset(&a, 0, sizeof(a));
	memset(&b, 0, sizeof(b));
	nic_rig_open(&a, &loop, left, 1);
	nic_rig_open(&b, &loop, right, 1);
}

static void close_both(void)
{
	nic_rig_close(&a);
	nic_rig_close(&b);
}

int main(int argc, char **argv)
{
	char text[64];

	if (argc > 1)
		seconds = atof(argv[1]);
	if (!nic_rig_unshare())
		return 1;
	check(!loop_init(&loop, "bench", NULL));
	open_both("tap:ta", "tap:tb");
	nic_rig_shell(
		"ip link add br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0 && ip link set br0 up "
		"&& ip link set ta master br0 && ip link set tb master br0");
	nic_rig_wait_path(&a, &b);
	check(!nic_set_rx_offloads(b.nic, NIC_CAN_ALL));
	each_size("tap");
	close_both();
	snprintf(text, sizeof(text), "pair:/tmp/enlite-bench-%d", (int)getpid());
	open_both(text, text);
	nic_rig_wait_link(&a, true);
	nic_rig_wait_link(&b, true);
	check(!nic_set_rx_offloads(b.nic, NIC_CAN_ALL));
	for (size_t i = 0; i < 2; i++) {
		printf("%s\n", sizes[i].name);
		measure("pair", sizes[i].length, sizes[i].mss, false);
	}
	close_both();
	loop_fini(&loop);
	snprintf(text, sizeof(text), "/tmp/enlite-bench-%d.lock", (int)getpid());
	unlink(text);
	return 0;
}
