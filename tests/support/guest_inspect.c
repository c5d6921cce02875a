/* SPDX-License-Identifier: MIT */
#include "tests/support/guest_inspect.h"

#include <jansson.h>

#include "mgmt/inspect_json.h"
#include "tests/support/check.h"

struct inspection {
	struct vsp_device *dev;
	json_t *root;
};

static void inspect_device(void *arg)
{
	struct inspection *i = arg;
	struct inspect_json w;

	inspect_json_init(&w);
	vsp_device_inspect(i->dev, &w.inspect);
	i->root = inspect_json_finish(&w);
}

uint64_t guest_channel_count(struct guest *g, struct vsp_device *dev, const char *key)
{
	struct inspection i = {.dev = dev};
	json_t *channel, *value;
	uint64_t count;

	guest_control(g, inspect_device, &i);
	channel = json_array_get(json_object_get(i.root, "channels"), 0);
	value = json_object_get(channel, key);
	check(json_is_integer(value));
	count = (uint64_t)json_integer_value(value);
	json_decref(i.root);
	return count;
}
