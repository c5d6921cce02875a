/* SPDX-License-Identifier: MIT */
#include "tests/support/man_page.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/check.h"

#define PAGE_MAX (1u << 20)

/* Tests run in the top of the tree. */
char *man_page(void)
{
	FILE *f = fopen(MAN_PAGE, "re");
	char *page = calloc(1, PAGE_MAX);

	check(f && page);
	check(fread(page, 1, PAGE_MAX - 1, f) > 0);
	fclose(f);
	return page;
}

char *man_section(const char *heading)
{
	char *page = man_page(), *section, *end, line[64];

	snprintf(line, sizeof(line), "\n.SH %s\n", heading);
	section = strstr(page, line);
	check(section);
	end = strstr(++section + 1, "\n.SH ");
	check(end);
	end[1] = '\0';
	section = strdup(section);
	check(section);
	free(page);
	return section;
}
