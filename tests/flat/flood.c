/* SPDX-License-Identifier: MIT */
/* Prints for good: for tests of a console without a reader. */
#include "flat.h"

void flat_main(void)
{
	for (uint64_t i = 0;; i++)
		print("flood %lu: the quick brown fox jumps over the lazy dog\n", i);
}
