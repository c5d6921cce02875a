/* SPDX-License-Identifier: MIT */
/* Texts in UTF-8. Thread: any. */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include <stdint.h>

/* The character at *text, which moves behind it. -EILSEQ: there is none, it is cut, or is in a
 * longer form than it needs; *text has not moved. The text ends with a NUL, which is a character.
 */
int32_t utf8_next(const char **text);

#endif
