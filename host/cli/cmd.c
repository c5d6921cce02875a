/* SPDX-License-Identifier: MIT */
#include "cli/cmd.h"

#include <stdio.h>

int cmd_fail(const struct err *e, int status)
{
	fprintf(stderr, "enlite: %s\n", e->text);
	return status;
}
