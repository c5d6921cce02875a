/* SPDX-License-Identifier: MIT */
/* Numbers in user input: decimal digits only, no sign, no space, no trailing characters. */
#ifndef BASE_PARSE_H
#define BASE_PARSE_H

#include <stdint.h>

/* A number with an optional suffix K, M or G (powers of 1024, either case). 0 or -EINVAL. */
int parse_size(const char *text, uint64_t *size);

/* The largest suffix that leaves a whole number. parse_size() reads it back. */
#define SIZE_TEXT_MAX 32u
void format_size(char text[SIZE_TEXT_MAX], uint64_t size);

/* A number from min to max. 0 or -EINVAL. */
int parse_number(const char *text, uint64_t min, uint64_t max, uint64_t *value);

#endif
