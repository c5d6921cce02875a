/* SPDX-License-Identifier: MIT */
#include "tests/evil/evil.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* a leaf */
static uint64_t state;
static uint64_t count;
static uint32_t every, loses;
static volatile char *control; /* NULL: honest */

static uint64_t number(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 0) : otherwise;
}

/* Before the sandbox; a mapping outlives it. */
__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv("EVIL_CONTROL");
	int fd = -1;

	state = number("EVIL_SEED", 1);
	every = (uint32_t)number("EVIL_EVERY", 8);
	loses = (uint32_t)number("EVIL_LOSES", 2000);
	if (!path)
		return;
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd >= 0)
		control = mmap(NULL, EVIL_FILE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (fd < 0 || control == MAP_FAILED || !every || !loses) {
		fprintf(stderr, "evil: %s: %s\n", path, strerror(errno));
		exit(2);
	}
	close(fd);
}

/* ---- dice ---------------------------------------------------------------- */

/* splitmix64; with the lock. */
static uint64_t next_bits(void)
{
	uint64_t z = state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

uint64_t evil_random_bits(void)
{
	uint64_t bits;

	pthread_mutex_lock(&lock);
	bits = next_bits();
	pthread_mutex_unlock(&lock);
	return bits;
}

uint32_t evil_random(uint32_t n)
{
	return (uint32_t)(evil_random_bits() % n);
}

static void publish_count(void)
{
	char text[EVIL_FILE_BYTES - EVIL_COUNT_AT];
	int length = snprintf(text, sizeof(text), "%llu\n", (unsigned long long)count);

	for (int i = 0; i < length; i++)
		control[EVIL_COUNT_AT + (unsigned int)i] = text[i];
}

static bool one_in(uint32_t n)
{
	bool now = false;

	if (!control || control[0] != '1')
		return false;
	pthread_mutex_lock(&lock);
	now = next_bits() % n == 0;
	if (now) {
		count++;
		publish_count();
	}
	pthread_mutex_unlock(&lock);
	return now;
}

bool evil_now(void)
{
	return one_in(every);
}

bool evil_now_on_bus(void)
{
	return one_in(2 * every);
}

bool evil_loses(void)
{
	return control && evil_random(loses) == 0;
}

/* ---- bytes --------------------------------------------------------------- */

void evil_spoil(void *bytes, uint32_t len)
{
	static const uint32_t values[] = {
		0, 1, 2, 7, 8, 0xffff, 0x10000, 0x7fffffff, 0x80000000, 0xfffffff8, 0xffffffff};
	uint8_t *at = bytes;

	if (!len)
		return;
	if (len < sizeof(values[0]) || evil_random(2)) {
		at[evil_random(len)] ^= (uint8_t)(1u << evil_random(8));
		return;
	}
	at += evil_random(len / sizeof(values[0])) * sizeof(values[0]);
	memcpy(at, &values[evil_random(sizeof(values) / sizeof(values[0]))], sizeof(values[0]));
}
