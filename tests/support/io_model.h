/* SPDX-License-Identifier: MIT */
/*
 * What a disk may hold after a crash, sector by sector (invariant I4 of the
 * fault list): what was acknowledged and then flushed, or written with FUA, is
 * there; of what came later any version may be there, but whole, and in its
 * place.
 *
 * Each write gives its sectors a new version number: odd for zeroes, even for
 * data, which carry their LBA and version. So what is read names its origin.
 *
 * Plain memory without pointers: it may be shared with a process that gets
 * killed. Each number is stored before what it says can happen (submitted) or
 * after it has (completed, durable).
 */
#ifndef SUPPORT_IO_MODEL_H
#define SUPPORT_IO_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#define IO_MODEL_SECTORS 2048u
#define IO_MODEL_SECTOR  512u
#define IO_MODEL_BYTES   (IO_MODEL_SECTORS * IO_MODEL_SECTOR)
#define IO_MODEL_INITIAL 1u /* zeroes */

struct io_sector {
	uint32_t submitted; /* newest version given to the disk */
	uint32_t completed; /* newest acknowledged */
	uint32_t durable;   /* newest that must survive */
	uint32_t zeroes;    /* newest version of zeroes */
	uint32_t lost;      /* up to here older crashes have decided: only `durable` is left */
};

struct io_model {
	struct io_sector sector[IO_MODEL_SECTORS];
};

/* A disk of zeroes. */
void io_model_init(struct io_model *m);

/* The version a write of this sector gets; it counts as submitted. */
uint32_t io_model_next(struct io_model *m, uint32_t sector, bool zeroes);
/* What a sector with an even version holds. */
void io_model_fill(uint8_t *bytes, uint32_t sector, uint32_t version);

enum io_verdict {
	IO_OK,
	IO_OLD,     /* legal, but older than what was acknowledged */
	IO_LOST,    /* older than what must survive: a violation */
	IO_GARBAGE, /* mixed, misplaced, never written: a violation */
};

/* After a crash: judges the sector and goes on from what it holds. */
enum io_verdict io_model_settle(struct io_model *m, uint32_t sector, const uint8_t *bytes);
/* No crash, no write in flight: the sector holds what was acknowledged last. */
bool io_model_matches(const struct io_model *m, uint32_t sector, const uint8_t *bytes);

#endif
