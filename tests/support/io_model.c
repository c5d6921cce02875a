/* SPDX-License-Identifier: MIT */
#include "tests/support/io_model.h"

#include <string.h>

#define WORDS (IO_MODEL_SECTOR / 8)

void io_model_init(struct io_model *m)
{
	for (uint32_t i = 0; i < IO_MODEL_SECTORS; i++)
		m->sector[i] = (struct io_sector){
			.submitted = IO_MODEL_INITIAL,
			.completed = IO_MODEL_INITIAL,
			.durable = IO_MODEL_INITIAL,
			.zeroes = IO_MODEL_INITIAL,
			.lost = IO_MODEL_INITIAL,
		};
}

static bool is_zeroes(uint32_t version)
{
	return version & 1;
}

uint32_t io_model_next(struct io_model *m, uint32_t sector, bool zeroes)
{
	struct io_sector *s = &m->sector[sector];
	uint32_t version = s->submitted + 1;

	if (is_zeroes(version) != zeroes)
		version++;
	if (zeroes)
		s->zeroes = version;
	s->submitted = version;
	return version;
}

static uint64_t word(uint32_t sector, uint32_t version, uint32_t index)
{
	uint64_t id = (uint64_t)sector << 32 | version;

	return index ? (id + index) * 0x9E3779B97F4A7C15ull : id;
}

void io_model_fill(uint8_t *bytes, uint32_t sector, uint32_t version)
{
	for (uint32_t i = 0; i < WORDS; i++) {
		uint64_t w = word(sector, version, i);

		memcpy(bytes + i * 8, &w, 8);
	}
}

/* False: neither zeroes nor a whole version of this sector. *version is 0 for zeroes. */
static bool parse(uint32_t sector, const uint8_t *bytes, uint32_t *version)
{
	static const uint8_t zeroes[IO_MODEL_SECTOR];
	uint8_t expected[IO_MODEL_SECTOR];

	*version = 0;
	if (!memcmp(bytes, zeroes, IO_MODEL_SECTOR))
		return true;
	memcpy(version, bytes, sizeof(*version));
	io_model_fill(expected, sector, *version);
	return !is_zeroes(*version) && !memcmp(bytes, expected, IO_MODEL_SECTOR);
}

static uint32_t oldest_undecided(const struct io_sector *s)
{
	return (s->durable > s->lost ? s->durable : s->lost) + 1;
}

/* Zeroes carry no version: assume the newest legal one. */
static uint32_t version_of_zeroes(const struct io_sector *s)
{
	if (s->zeroes >= oldest_undecided(s))
		return s->zeroes;
	return is_zeroes(s->durable) ? s->durable : 0;
}

static enum io_verdict judge(const struct io_sector *s, uint32_t version)
{
	if (version == 0)
		return IO_LOST;
	if (version > s->submitted)
		return IO_GARBAGE;
	if (version != s->durable && version < oldest_undecided(s))
		return IO_LOST;
	return version < s->completed ? IO_OLD : IO_OK;
}

enum io_verdict io_model_settle(struct io_model *m, uint32_t sector, const uint8_t *bytes)
{
	struct io_sector *s = &m->sector[sector];
	enum io_verdict verdict;
	uint32_t version;

	if (!parse(sector, bytes, &version))
		return IO_GARBAGE;
	if (version == 0)
		version = version_of_zeroes(s);
	verdict = judge(s, version);
	if (verdict != IO_OK && verdict != IO_OLD)
		return verdict;
	s->durable = version; /* it came through one crash; nothing can take it back */
	s->completed = version;
	s->lost = s->submitted;
	return verdict;
}

bool io_model_matches(const struct io_model *m, uint32_t sector, const uint8_t *bytes)
{
	const struct io_sector *s = &m->sector[sector];
	uint32_t version;

	if (!parse(sector, bytes, &version))
		return false;
	return version ? version == s->completed : is_zeroes(s->completed);
}
