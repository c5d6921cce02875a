/* SPDX-License-Identifier: MIT */
#include "base/numa.h"

#include <errno.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#define DEPTH_MAX 4u /* of devices that are made of others */

static int read_text(const char *path, char *text, size_t size)
{
	FILE *file = fopen(path, "re");
	int ret = 0;

	if (!file)
		return -errno;
	if (!fgets(text, (int)size, file))
		ret = -EIO;
	fclose(file);
	return ret;
}

/* ---- devices ------------------------------------------------------------- */

/* A device's directory is below that of its controller, and that below the PCI device's, which has
 * a node. */
static int node_above(const char *path)
{
	char dir[PATH_MAX], file[PATH_MAX + 16], text[16], *slash;

	if (!realpath(path, dir))
		return NUMA_NONE;
	while ((slash = strrchr(dir, '/')) && slash > dir) {
		snprintf(file, sizeof(file), "%s/numa_node", dir);
		if (!read_text(file, text, sizeof(text)))
			return atoi(text) < 0 ? NUMA_NONE : atoi(text);
		*slash = '\0';
	}
	return NUMA_NONE;
}

/* parts: a pattern of what it is made of. */
static int node_of(const char *dir, const char *parts, unsigned depth)
{
	char pattern[PATH_MAX];
	glob_t found;
	int node = node_above(dir);

	if (node != NUMA_NONE || !depth ||
		snprintf(pattern, sizeof(pattern), "%s/%s", dir, parts) >= (int)sizeof(pattern) ||
		glob(pattern, 0, NULL, &found))
		return node;
	for (size_t i = 0; node == NUMA_NONE && i < found.gl_pathc; i++)
		node = node_of(found.gl_pathv[i], parts, depth - 1);
	globfree(&found);
	return node;
}

int numa_of_file(const char *sys, const char *path)
{
	char dir[PATH_MAX];
	struct stat st;
	dev_t dev;

	if (stat(path, &st))
		return NUMA_NONE;
	dev = S_ISBLK(st.st_mode) ? st.st_rdev : st.st_dev;
	if (snprintf(dir, sizeof(dir), "%s/dev/block/%u:%u", sys, major(dev), minor(dev)) >=
		(int)sizeof(dir))
		return NUMA_NONE;
	return node_of(dir, "slaves/*", DEPTH_MAX);
}

int numa_of_interface(const char *sys, const char *name)
{
	char dir[PATH_MAX], master[PATH_MAX + 8];
	int node;

	if (snprintf(dir, sizeof(dir), "%s/class/net/%s", sys, name) >= (int)sizeof(dir))
		return NUMA_NONE;
	node = node_of(dir, "lower_*", DEPTH_MAX);
	if (node != NUMA_NONE)
		return node;
	snprintf(master, sizeof(master), "%s/master", dir);
	return node_of(master, "lower_*", DEPTH_MAX);
}

/* ---- nodes --------------------------------------------------------------- */

unsigned numa_count(const char *sys)
{
	char pattern[PATH_MAX];
	unsigned count = 0;
	glob_t found;

	if (snprintf(pattern, sizeof(pattern), "%s/devices/system/node/node[0-9]*", sys) >=
			(int)sizeof(pattern) ||
		glob(pattern, 0, NULL, &found))
		return 0;
	count = (unsigned)found.gl_pathc;
	globfree(&found);
	return count;
}

/* "0-3,8": *at moves behind one range. */
static int add_range(const char **at, cpu_set_t *cpus)
{
	char *end;
	unsigned long first = strtoul(*at, &end, 10), last = first;

	if (end == *at)
		return -EINVAL;
	if (*end == '-')
		last = strtoul(end + 1, &end, 10);
	for (; first <= last && first < CPU_SETSIZE; first++)
		CPU_SET(first, cpus);
	*at = end + (*end == ',');
	return 0;
}

int numa_cpus(const char *sys, int node, cpu_set_t *cpus)
{
	char path[PATH_MAX], text[4096];
	const char *at = text;
	int ret;

	CPU_ZERO(cpus);
	if (snprintf(path, sizeof(path), "%s/devices/system/node/node%d/cpulist", sys, node) >=
		(int)sizeof(path))
		return -ENAMETOOLONG;
	ret = read_text(path, text, sizeof(text));
	while (!ret && *at && *at != '\n')
		ret = add_range(&at, cpus);
	return ret;
}
