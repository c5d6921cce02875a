/* SPDX-License-Identifier: MIT */
/*
 * Keys: by the character they type on a US keyboard, by name, by X keysym; and what a keyboard
 * sends for them. In between they are Linux's codes (KEY_* of linux/input-event-codes.h).
 * Thread: any.
 */
#ifndef DISPLAY_KEYS_H
#define DISPLAY_KEYS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

/* False: no key types it. Line feed is Enter, and there are Tab and Escape. */
bool key_by_character(char c, uint32_t *key, bool *shift);
/* 0: none. */
uint32_t key_by_keysym(uint32_t keysym);

#define KEYS_AT_ONCE_MAX 8u
/* Keys that are pressed together, "ctrl-alt-del": how many, or -EINVAL with one line. */
int keys_parse(const char *text, uint32_t keys[KEYS_AT_ONCE_MAX], struct err *e);

/* Set 1: 0x01 to 0x7F; 0x80 more: behind an E0; KEY_SCAN_PAUSE; 0: none. */
#define KEY_SCAN_PAUSE 0x100u
uint32_t key_scan_code(uint32_t key);

#endif
