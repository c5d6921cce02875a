/* SPDX-License-Identifier: MIT */
#include "tests/support/nbd_rig.h"

#include <string.h>

#include "tests/support/check.h"

void nbd_rig_begin(struct nbd_rig *n, const char *const *args, uint64_t retry_ns, bool read_only)
{
	struct disk_nbd_options o = {.read_only = read_only, .retry_ns = retry_ns};
	struct disk *disk;

	memset(n->shadow, 0, sizeof(n->shadow));
	nbd_server_init(&n->server, args, NBD_SIZE);
	nbd_server_start(&n->server);
	check(!disk_nbd_open(&disk, n->server.uri, &o, NULL));
	disk_rig_init(&n->disk, disk);
}

void nbd_rig_end(struct nbd_rig *n)
{
	disk_rig_fini(&n->disk, false);
	nbd_server_fini(&n->server);
}

static void time_is_over(struct loop_timer *t)
{
	loop_stop(t->loop);
}

void nbd_rig_run(struct nbd_rig *n, uint64_t ns)
{
	struct loop_timer t = {0};

	loop_timer_start(&n->disk.loop, &t, ns, time_is_over);
	while (t.armed)
		loop_run(&n->disk.loop);
}

uint32_t nbd_rig_random(struct nbd_rig *n)
{
	n->random = n->random * 1664525 + 1013904223;
	return n->random >> 8;
}

void nbd_rig_fill(struct nbd_rig *n, uint8_t *bytes, uint32_t length)
{
	for (uint32_t i = 0; i < length; i++)
		bytes[i] = (uint8_t)nbd_rig_random(n);
}
