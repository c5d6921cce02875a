/* SPDX-License-Identifier: MIT */
/*
 * The dice of the evil host: when to lie, and how bytes are spoiled. Any thread.
 *
 * Variables of the environment:
 *
 *   EVIL_CONTROL  a file of EVIL_FILE_BYTES of text, which a test and the host share: it begins
 *                 with '1' while the host is to lie, and how often it did stands at EVIL_COUNT_AT.
 *                 Without it the host is honest.
 *   EVIL_SEED     default 1; what follows from it depends on the order of the guest's actions
 *   EVIL_EVERY    of so many packets one is a lie, default 8; of messages of the bus, half as many
 *   EVIL_LOSES    of so many lies one loses an answer or breaks the ring, default 2000: the guest
 *                 needs seconds to recover
 */
#ifndef EVIL_H
#define EVIL_H

#include <stdbool.h>
#include <stdint.h>

#define EVIL_FILE_BYTES 64u
#define EVIL_COUNT_AT   16u

/* Below n, which is not 0. */
uint32_t evil_random(uint32_t n);
uint64_t evil_random_bits(void);

/* Time to lie; counted. */
bool evil_now(void);
bool evil_now_on_bus(void);
/* In so rare a case that the guest may lose what it waits for. */
bool evil_loses(void);

/* A bit, or a word that is likely to be at a limit. */
void evil_spoil(void *bytes, uint32_t len);

#endif
