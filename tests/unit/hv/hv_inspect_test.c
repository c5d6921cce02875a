/* SPDX-License-Identifier: MIT */
/* The Hyper-V interface shows what a guest has programmed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "mgmt/inspect_json.h"
#include "tests/support/inspect_shows.h"
#include "tests/unit/hv/fake_partition.h"

#define VP      1u
#define TIMER_0 0x400000B0u /* HV_X64_MSR_STIMER0_CONFIG; its count follows */

static struct fake_partition m;

static int setup(void **state)
{
	fake_init(&m);
	return 0;
}

static int teardown(void **state)
{
	fake_fini(&m);
	return 0;
}

static void shows(const char *path, const char *value)
{
	struct inspect_json w;

	inspect_json_init(&w);
	hv_inspect(&m.hv, &w.inspect);
	inspect_shows(inspect_json_finish(&w), path, value);
}

static void reset_values(void **state)
{
	shows("reference_time", "0");
	shows("hypercall_page", "\"off\"");
	shows("guest_os_id", "\"0\"");
	shows("vps/2",
		"{\"synic\":false,\"message_page\":\"off\",\"event_page\":\"off\",\"messages_queued\":0,\"events_pending_sints\":\"0\",\"sints\":[],\"stimers\":[]}");
}

static void synic_as_programmed(void **state)
{
	uint32_t number = 7;

	fake_synic_on(&m, VP);
	shows("vps/0/synic", "false");
	shows("vps/1/synic", "true");
	shows("vps/1/sints/0/sint", "2");
	shows("vps/1/sints/0/masked", "false");
	shows("vps/1/sints/0/auto_eoi", "false");
	for (int n = 0; n < 3; n++)
		assert_int_equal(synic_post(&m.hv, VP, FAKE_SINT, HV_MESSAGE_TYPE_VMBUS, 9, &number,
					 sizeof(number)),
			0);
	shows("vps/1/messages_queued", "2"); /* one is in the slot */
	shows("messages_delivered", "1");
	shows("interrupts", "1");
	synic_signal(&m.hv, 0, FAKE_SINT, 5);
	shows("vps/0/events_pending_sints", "\"0x4\"");
}

static void timers_as_programmed(void **state)
{
	fake_synic_on(&m, VP);
	assert_int_equal(hv_msr_write(&m.hv, VP, TIMER_0,
				 FAKE_SINT << HV_STIMER_SINT_SHIFT | HV_STIMER_AUTO_ENABLE),
		0);
	assert_int_equal(hv_msr_write(&m.hv, VP, TIMER_0 + 1, 5000), 0);
	shows("vps/1/stimers/0/timer", "0");
	shows("vps/1/stimers/0/armed", "true");
	shows("vps/1/stimers/0/count", "5000");
	fake_advance(&m, 6000);
	hv_stimer_expire(&m.hv, VP);
	shows("vps/1/stimers/0/armed", "false");
	shows("timer_expiries", "1");
	shows("reference_time", "6000");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(reset_values),
		T(synic_as_programmed),
		T(timers_as_programmed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
