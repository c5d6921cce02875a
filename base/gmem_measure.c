/* SPDX-License-Identifier: MIT */
/* /proc/self/smaps: a line "START-END FLAGS ..." for each mapping, then lines "NAME: NUMBER kB". */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/gmem.h"
#include "base/proc_self.h"

#define KIB 1024u

static bool is_guest_memory(const struct gmem *g, uint64_t start)
{
	return start >= (uintptr_t)g->base &&
	       gmem_contains(g, start - (uintptr_t)g->base, GMEM_PAGE_SIZE);
}

static void add(struct gmem_use *use, const char *name, uint64_t bytes)
{
	if (!strcmp(name, "Rss"))
		use->resident += bytes;
	else if (!strcmp(name, "Anonymous"))
		use->private += bytes;
	else if (!strcmp(name, "AnonHugePages") || !strcmp(name, "ShmemPmdMapped"))
		use->huge += bytes;
}

int gmem_measure(const struct gmem *g, struct gmem_use *use)
{
	FILE *f = proc_self_read(PROC_SELF_SMAPS);
	char line[512], name[32];
	uint64_t start, end, kib;
	bool ours = false;

	*use = (struct gmem_use){0};
	if (!f)
		return -errno;
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " ", &start, &end) == 2)
			ours = is_guest_memory(g, start);
		else if (ours && sscanf(line, "%31[^:]: %" SCNu64 " kB", name, &kib) == 2)
			add(use, name, kib * KIB);
	}
	fclose(f);
	return 0;
}
