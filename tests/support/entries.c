/* SPDX-License-Identifier: MIT */
#include "tests/support/entries.h"

#include <dirent.h>

#include "tests/support/check.h"

unsigned int entries(const char *directory)
{
	DIR *dir = opendir(directory);
	unsigned int count = 0;

	check(dir);
	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

unsigned int open_files(void)
{
	return entries("/proc/self/fd");
}
