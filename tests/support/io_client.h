/* SPDX-License-Identifier: MIT */
/*
 * A guest that keeps a storvsp LUN busy and a struct io_model true: writes of 1
 * sector to 64 KiB, some with FUA, zeroes, flushes, and reads that are checked.
 * No two commands in flight touch the same sector unless both read it.
 */
#ifndef SUPPORT_IO_CLIENT_H
#define SUPPORT_IO_CLIENT_H

#include "tests/support/guest_disk.h"
#include "tests/support/io_model.h"

#define IO_CLIENT_SECTORS_MAX 128u /* of one command */

enum io_kind { IO_READ, IO_WRITE, IO_WRITE_FUA, IO_ZEROES, IO_FLUSH, IO_KINDS };

struct io_slot {
	enum io_kind kind;
	uint32_t first, count;
	uint32_t version[IO_CLIENT_SECTORS_MAX];
	uint32_t snapshot[IO_MODEL_SECTORS]; /* flush: completed versions when it was sent */
};

struct io_counts {
	uint64_t done[IO_KINDS];
	uint64_t failed;
	uint64_t mismatches; /* of reads */
};

struct io_client {
	struct guest_disk *d;
	struct io_model *m;
	uint8_t lun;
	uint32_t depth; /* commands in flight, at most GUEST_DISK_SLOTS */
	uint32_t random;
	struct io_counts *counts;
	uint32_t users[IO_MODEL_SECTORS]; /* readers in flight, or WRITER */
	struct io_slot slot[GUEST_DISK_SLOTS];
};

void io_client_init(struct io_client *c, struct guest_disk *d, uint8_t lun, struct io_model *m,
	struct io_counts *counts, uint32_t seed);
/* Starts so many commands; some stay in flight. */
void io_client_run(struct io_client *c, uint32_t commands);
void io_client_drain(struct io_client *c);
/* Reads the whole disk into bytes (IO_MODEL_BYTES); nothing else is in flight. */
void io_client_read_all(struct io_client *c, uint8_t *bytes);

#endif
