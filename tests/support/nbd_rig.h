/* SPDX-License-Identifier: MIT */
/* An NBD disk on a server of its own, for tests; see disk_rig.h and nbd_server.h. */
#ifndef SUPPORT_NBD_RIG_H
#define SUPPORT_NBD_RIG_H

#include "base/time.h"
#include "tests/support/disk_rig.h"
#include "tests/support/nbd_server.h"

#define NBD_SIZE  (8u << 20)
#define NBD_AREA  65536u /* one slot's part of the disk */
#define NBD_AREAS 64u

struct nbd_rig {
	struct nbd_server server;
	struct disk_rig disk;
	uint8_t shadow[NBD_AREAS][NBD_AREA], in[NBD_AREAS][NBD_AREA];
	uint32_t random;
};

/* Starts a server with args (nbd_server_init()), connects; shadow is zeros. */
void nbd_rig_begin(struct nbd_rig *n, const char *const *args, uint64_t retry_ns, bool read_only);
void nbd_rig_end(struct nbd_rig *n);

/* Runs the loop for a time. */
void nbd_rig_run(struct nbd_rig *n, uint64_t ns);

uint32_t nbd_rig_random(struct nbd_rig *n);
void nbd_rig_fill(struct nbd_rig *n, uint8_t *bytes, uint32_t length);

#endif
