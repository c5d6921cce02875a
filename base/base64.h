/* SPDX-License-Identifier: MIT */
/* Bytes as text: base64 of RFC 4648, with padding. Thread: any. */
#ifndef BASE_BASE64_H
#define BASE_BASE64_H

#include <stddef.h>
#include <stdint.h>

/* To be freed; NULL: out of memory. */
char *base64_encode(const uint8_t *bytes, size_t size);
/* Up to the padding, or the first character that is no digit; bytes has room for strlen(text).
 * Returns how many bytes. */
size_t base64_decode(const char *text, uint8_t *bytes);

#endif
