/* SPDX-License-Identifier: GPL-2.0-only */
/* From /sys/bus/vmbus, storvsc's debugfs and the statistics of NICs to one JSON value. */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guest/tools/tool.h"

#define LINE_SIZE 1024u

/* ---- files --------------------------------------------------------------- */

void read_line(const char *path, char *text, size_t size)
{
	FILE *f = fopen(path, "re");

	*text = 0;
	if (!f)
		return;
	if (!fgets(text, (int)size, f))
		*text = 0;
	text[strcspn(text, "\n")] = 0;
	fclose(f);
}

/* "DIR/NAME"; what is too long names nothing. */
static const char *join(char path[TOOL_PATH_MAX], const char *dir, const char *name)
{
	if (snprintf(path, TOOL_PATH_MAX, "%s/%s", dir, name) >= (int)TOOL_PATH_MAX)
		*path = 0;
	return path;
}

static void line_of(const char *dir, const char *name, char *text, size_t size)
{
	char path[TOOL_PATH_MAX];

	read_line(join(path, dir, name), text, size);
}

/* Where a link in a directory leads, its last part; "": there is no such link. */
static void link_name(const char *dir, const char *name, char *text, size_t size)
{
	char path[TOOL_PATH_MAX], target[TOOL_PATH_MAX];
	ssize_t len = readlink(join(path, dir, name), target, sizeof(target) - 1);
	const char *last;

	*text = 0;
	if (len < 0)
		return;
	target[len] = 0;
	last = strrchr(target, '/');
	snprintf(text, size, "%.*s", (int)size - 1, last ? last + 1 : target);
}

/* Names in a directory that begin with `prefix`, in order. -1: there is no directory. */
static const char *wanted_prefix;

static int is_wanted(const struct dirent *entry)
{
	return entry->d_name[0] != '.' &&
	       !strncmp(entry->d_name, wanted_prefix, strlen(wanted_prefix));
}

static int list(const char *dir, const char *prefix, struct dirent ***entries)
{
	wanted_prefix = prefix;
	return scandir(dir, entries, is_wanted, versionsort);
}

static void free_list(struct dirent **entries, int count)
{
	for (int i = 0; i < count; i++)
		free(entries[i]);
	if (count >= 0)
		free(entries);
}

/* The first name in a directory that begins so, or "". */
static void first_name(const char *dir, const char *prefix, char *text, size_t size)
{
	struct dirent **entries;
	int count = list(dir, prefix, &entries);

	snprintf(text, size, "%s", count > 0 ? entries[0]->d_name : "");
	free_list(entries, count);
}

static void set_text(json_t *object, const char *key, const char *text)
{
	if (*text)
		json_object_set_new(object, key, json_string(text));
}

/* ---- channels ------------------------------------------------------------ */

/* Both buses have some of them: ours counts bytes in a ring, the kernel's also free ones. */
static const struct {
	const char *file, *key;
} channel_files[] = {
	{"subchannel_id", "sub_channel"},
	{"cpu", "cpu"},
	{"interrupts", "interrupts"},
	{"events", "signals"},
	{"in_used", "in_used"},
	{"read_avail", "in_used"},
	{"out_used", "out_used"},
	{"write_avail", "out_free"},
	{"out_full_total", "out_full"},
};

static json_t *channel(const char *dir, const char *id)
{
	json_t *object = json_pack("{s:I}", "id", (json_int_t)strtoll(id, NULL, 10));
	char text[LINE_SIZE], *end;
	long long value;

	for (size_t i = 0; i < sizeof(channel_files) / sizeof(channel_files[0]); i++) {
		line_of(dir, channel_files[i].file, text, sizeof(text));
		value = strtoll(text, &end, 10);
		if (end != text)
			json_object_set_new(object, channel_files[i].key, json_integer(value));
	}
	return object;
}

static json_t *channels(const char *device)
{
	char dir[TOOL_PATH_MAX], path[TOOL_PATH_MAX];
	json_t *array = json_array();
	struct dirent **entries;
	int count = list(join(dir, device, "channels"), "", &entries);

	for (int i = 0; i < count; i++)
		json_array_append_new(
			array, channel(join(path, dir, entries[i]->d_name), entries[i]->d_name));
	free_list(entries, count);
	return array;
}

/* ---- queues of storvsc: debugfs ------------------------------------------ */

/* "<64:9": nine that took less than 64 us. */
static void add_latency(json_t *queue, const char *word)
{
	json_t *all = json_object_get(queue, "latency_us");
	long long below, count;

	if (!queue)
		return;
	if (!all) {
		all = json_array();
		json_object_set_new(queue, "latency_us", all);
	}
	if (sscanf(word, "<%lld:%lld", &below, &count) == 2)
		json_array_append_new(
			all, json_pack("[I,I]", (json_int_t)below, (json_int_t)count));
}

/* "channel N" begins a queue. Returns the queue that the pair is of. */
static json_t *add_pair(json_t *queues, json_t *queue, const char *name, const char *value)
{
	if (!strcmp(name, "channel")) {
		queue = json_object();
		json_array_append_new(queues, queue);
		name = "queue";
	}
	json_object_set_new(queue, name, json_integer(strtoll(value, NULL, 10)));
	return queue;
}

/* A line is pairs of a name and a number, or a name and the buckets of a histogram. */
static void add_line(json_t *queues, char *line)
{
	json_t *queue = json_array_get(queues, json_array_size(queues) - 1);
	char *save, *name = NULL;

	for (char *word = strtok_r(line, " \n", &save); word; word = strtok_r(NULL, " \n", &save)) {
		if (*word == '<') {
			add_latency(queue, word);
		} else if (name) {
			queue = add_pair(queues, queue, name, word);
			name = NULL;
		} else {
			name = word;
		}
	}
}

static void add_queues(json_t *device, const char *root, const char *host)
{
	char path[TOOL_PATH_MAX], line[LINE_SIZE * 4];
	json_t *queues;
	FILE *f;

	if (snprintf(path, sizeof(path), "%s/sys/kernel/debug/storvsc/%s/channels", root, host) >=
		(int)sizeof(path))
		return;
	f = fopen(path, "re");
	if (!f)
		return;
	queues = json_array();
	while (fgets(line, sizeof(line), f))
		add_line(queues, line);
	fclose(f);
	json_object_set_new(device, "queues", queues);
}

/* ---- devices ------------------------------------------------------------- */

static const struct {
	const char *class, *kind;
} kinds[] = {
	{"ba6163d9-04a1-4d29-b605-72e2ffb1dc7f", "SCSI controller"},
	{"f8615163-df3e-46c5-913f-f2d2f965ed0e", "NIC"},
	{"57164f39-9115-4e78-ab55-382f3bd5422d", "heartbeat"},
	{"0e0b6031-5213-4934-818b-38d90ced39db", "shutdown"},
	{"9527e630-d0ae-497b-adce-e80ab0175caf", "time"},
	{"a9a0f4e7-5a45-4d96-b827-8a841e8c03e6", "key-value pairs"},
	{"35fa2e29-ea23-4236-96ae-3a6ebacba440", "freezing"},
	{"34d14be3-dee4-41c8-9ae7-6b174977c192", "file copy"},
	{"525074dc-8985-46e2-8057-a307dc18a502", "dynamic memory"},
	{"44c4f61d-4444-4400-9d52-802e27ede19f", "PCI pass-through"},
	{"da0a7802-e377-4aac-8e77-0558eb1073f8", "video"},
	{"f912ad6d-2b17-48ea-bd65-f927a61c7684", "keyboard"},
	{"cfa8b69e-5b4a-4cc0-b98b-8ba1a1f3f95a", "mouse"},
	{"32412632-86cb-44a2-9b5c-50d1417354f5", "IDE disk"},
};

static const char *kind_of(const char *class)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (!strcasecmp(kinds[i].class, class))
			return kinds[i].kind;
	return "";
}

/* "{GUID}" without its brackets. */
static void guid_of(const char *dir, const char *name, char *text, size_t size)
{
	char line[LINE_SIZE];
	char *start = line;

	line_of(dir, name, line, sizeof(line));
	start += *start == '{';
	start[strcspn(start, "}")] = 0;
	snprintf(text, size, "%s", start);
}

static void add_users(json_t *device, const char *root, const char *dir)
{
	char path[TOOL_PATH_MAX], name[LINE_SIZE];
	json_t *counters;

	first_name(dir, "host", name, sizeof(name));
	set_text(device, "host", name);
	if (*name)
		add_queues(device, root, name);
	first_name(join(path, dir, "net"), "", name, sizeof(name));
	set_text(device, "interface", name);
	counters = *name ? nic_counters(root, name) : NULL;
	if (counters)
		json_object_set_new(device, "counters", counters);
}

static json_t *device(const char *root, const char *dir)
{
	json_t *object = json_object();
	char text[LINE_SIZE];

	guid_of(dir, "device_id", text, sizeof(text));
	set_text(object, "instance", text);
	guid_of(dir, "class_id", text, sizeof(text));
	set_text(object, "class", text);
	set_text(object, "kind", kind_of(text));
	link_name(dir, "driver", text, sizeof(text));
	set_text(object, "driver", text);
	json_object_set_new(object, "channels", channels(dir));
	add_users(object, root, dir);
	return object;
}

/* ---- the bus ------------------------------------------------------------- */

static const char *bus_of(const char *root)
{
	char path[TOOL_PATH_MAX];

	snprintf(path, sizeof(path), "%s/sys/module/vmbus_vsc/drivers", root);
	return access(path, F_OK) ? "hv_vmbus" : "vmbus_vsc";
}

json_t *collect(const char *root)
{
	char dir[TOOL_PATH_MAX], path[TOOL_PATH_MAX];
	struct dirent **entries;
	json_t *devices;
	int count;

	count = list(join(dir, root, "sys/bus/vmbus/devices"), "", &entries);
	if (count < 0) {
		fprintf(stderr,
			"enlite-guest: %s: %s: no VMBus here, or no driver of it is loaded\n", dir,
			strerror(errno));
		return NULL;
	}
	devices = json_array();
	for (int i = 0; i < count; i++)
		json_array_append_new(devices, device(root, join(path, dir, entries[i]->d_name)));
	free_list(entries, count);
	return json_pack("{s:s,s:o}", "bus", bus_of(root), "devices", devices);
}
