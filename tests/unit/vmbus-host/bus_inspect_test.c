/* SPDX-License-Identifier: MIT */
/* A bus shows its connection, channels and GPADLs. */
#include "mgmt/inspect_json.h"
#include "tests/support/inspect_shows.h"
#include "tests/unit/vmbus-host/bus_test.h"

static struct rig rig;

static json_t *inspected(void)
{
	struct inspect_json w;

	inspect_json_init(&w);
	bus_inspect(rig.bus, &w.inspect);
	return inspect_json_finish(&w);
}

static void shows(const char *path, const char *value)
{
	inspect_shows(inspected(), path, value);
}

static void connection_channels_and_gpadls(void **state)
{
	struct rig_dev *dev;

	rig_init(&rig, VMBUS_VERSION_WIN10_V5_3, TEST_GPADL_PAGES);
	shows("state", "\"disconnected\"");
	shows("version", "\"0.0\"");
	shows("channels", "[]");
	dev = rig_offer(&rig, 0xA5, 3);
	shows("channels/0/state", "\"hidden\"");
	shows("channels/0/class", "\"a5a5a5a5-a5a5-a5a5-a5a5-a5a5a5a5a5a5\"");
	rig_connect(&rig);
	shows("state", "\"connected\"");
	shows("version", "\"5.3\"");
	shows("channels/0/state", "\"offered\"");
	rig_open_dev(&rig, dev);
	shows("opens", "1");
	shows("channels/0/state", "\"open\"");
	shows("channels/0/gpadls/0/pages", "8");
	shows("channels/0/gpadls/0/state", "\"alive\"");
	shows("gpadl_count", "1");
	shows("gpadl_pages", "8");
	rig_fini(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(connection_channels_and_gpadls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
