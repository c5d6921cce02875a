/* SPDX-License-Identifier: MIT */
/* Says "idle" and halts for good: for tests of what happens around a guest. */
#include "flat.h"

void flat_main(void)
{
	print("idle\n");
	halt_forever();
}
