/* SPDX-License-Identifier: MIT */
/* Texts of integration services: UTF-16LE with a NUL on the wire, UTF-8 here. Thread: any. */
#ifndef IC_UTF16_H
#define IC_UTF16_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Room for `bytes` bytes of UTF-16 as UTF-8: a unit becomes 3 bytes at most. */
#define UTF8_ROOM(bytes) ((bytes) / 2 * 3 + 1)

/* How many bytes of `to` are used, NUL included. -EILSEQ: text is no UTF-8; -E2BIG: it is longer
 * than `room` bytes. */
int utf16_from_utf8(void *to, size_t room, const char *text);

/* Up to the first NUL, or all `bytes`; `room` is at least UTF8_ROOM(bytes). What is no UTF-16 (a
 * guest sends any bytes) becomes U+FFFD. */
void utf16_to_utf8(const void *from, size_t bytes, char *to, size_t room);

#endif
