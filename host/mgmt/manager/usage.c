/* SPDX-License-Identifier: MIT */
#include "mgmt/manager/usage.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/time.h"

/* Fields 14, 15 and 24: ticks of user and system time, pages. */
int usage_of(pid_t pid, struct usage *u)
{
	uint64_t user, system, pages, tick_ns = NS_PER_S / (uint64_t)sysconf(_SC_CLK_TCK);
	char path[32], text[1024] = "";
	const char *at;
	FILE *file;
	int fields = 0;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	file = fopen(path, "re");
	if (!file)
		return -errno;
	at = fgets(text, sizeof(text), file) ? strrchr(text, ')') : NULL;
	fclose(file);
	if (at)
		fields = sscanf(at,
			") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %" SCNu64 " %" SCNu64
			" %*d %*d %*d %*d %*d %*d %*u %*u %" SCNu64,
			&user, &system, &pages);
	if (fields != 3)
		return -EPROTO;
	u->cpu_ns = (user + system) * tick_ns;
	u->resident = pages * (uint64_t)sysconf(_SC_PAGESIZE);
	return 0;
}
