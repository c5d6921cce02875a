/* SPDX-License-Identifier: GPL-2.0-only */
/* Statistics of a NIC: by ethtool's ioctl, or from ROOT/ethtool/NAME, what `ethtool -S` printed. */
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "guest/tools/tool.h"

/* ---- this machine -------------------------------------------------------- */

struct nic {
	int fd;
	struct ifreq request;
};

static int call(struct nic *nic, void *data)
{
	nic->request.ifr_data = data;
	return ioctl(nic->fd, SIOCETHTOOL, &nic->request);
}

static unsigned count_of(struct nic *nic)
{
	struct ethtool_drvinfo info = {.cmd = ETHTOOL_GDRVINFO};

	return call(nic, &info) ? 0 : info.n_stats;
}

static json_t *to_json(
	const struct ethtool_gstrings *names, const struct ethtool_stats *values, unsigned count)
{
	json_t *counters = json_object();
	char name[ETH_GSTRING_LEN + 1];

	for (unsigned i = 0; i < count; i++) {
		snprintf(name, sizeof(name), "%.*s", ETH_GSTRING_LEN,
			(const char *)names->data + i * ETH_GSTRING_LEN);
		json_object_set_new(counters, name, json_integer((json_int_t)values->data[i]));
	}
	return counters;
}

static json_t *read_counters(struct nic *nic)
{
	unsigned count = count_of(nic);
	struct ethtool_gstrings *names =
		calloc(1, sizeof(*names) + (size_t)count * ETH_GSTRING_LEN);
	struct ethtool_stats *values = calloc(1, sizeof(*values) + count * sizeof(__u64));
	json_t *counters = NULL;

	if (count && names && values) {
		names->cmd = ETHTOOL_GSTRINGS;
		names->string_set = ETH_SS_STATS;
		names->len = count;
		values->cmd = ETHTOOL_GSTATS;
		values->n_stats = count;
		/* As many as there was room for: channels may have come meanwhile. */
		if (!call(nic, names) && !call(nic, values) && names->len <= count &&
			values->n_stats <= count)
			counters = to_json(names, values, count);
	}
	free(names);
	free(values);
	return counters;
}

static json_t *by_ioctl(const char *interface)
{
	struct nic nic = {.fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
	json_t *counters;

	if (nic.fd < 0)
		return NULL;
	snprintf(nic.request.ifr_name, sizeof(nic.request.ifr_name), "%s", interface);
	counters = read_counters(&nic);
	close(nic.fd);
	return counters;
}

/* ---- a copy -------------------------------------------------------------- */

static json_t *from_file(const char *path)
{
	FILE *f = fopen(path, "re");
	char line[256], name[64];
	json_t *counters;
	long long value;

	if (!f)
		return NULL;
	counters = json_object();
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, " %63[^:]: %lld", name, &value) == 2)
			json_object_set_new(counters, name, json_integer(value));
	fclose(f);
	return counters;
}

json_t *nic_counters(const char *root, const char *interface)
{
	char path[TOOL_PATH_MAX];

	if (!*root)
		return by_ioctl(interface);
	snprintf(path, sizeof(path), "%s/ethtool/%s", root, interface);
	return from_file(path);
}
