/* SPDX-License-Identifier: MIT */
/*
 * Shutdown: asks the guest to power off or to reboot. It answers before it does: success means that
 * it will try. Hibernation is never asked for: there is no ACPI S4 to do it with.
 */
#include "vsp/ic/shutdown.h"

#include "vsp/ic/ic_impl.h"

struct shutdown_channel {
	struct ic_channel ic;
	_Alignas(8) uint8_t message[IC_MESSAGE(sizeof(struct ic_shutdown))];
};

void ic_shutdown_start(struct vsp_device *dev, struct ic_shutdown_request *s, bool reboot)
{
	s->body = (struct ic_shutdown){
		.reason = IC_SHUTDOWN_PLANNED,
		.flags = IC_SHUTDOWN_FORCE | (reboot ? IC_SHUTDOWN_RESTART : 0),
	};
	s->request.body = &s->body;
	s->request.size = sizeof(s->body);
	ic_request_start(dev, &s->request);
}

const struct ic_service ic_shutdown = {
	.vsp = IC_VSP("shutdown", IC_SHUTDOWN_CLASS, struct shutdown_channel),
	.name = "shutdown",
	.needs = "the module hv_utils",
	.instance = IC_SHUTDOWN_INSTANCE,
	.type = IC_SHUTDOWN,
	.version_count = 3,
	.versions = {{3, 0}, {3, 1}, {3, 2}},
	.body_max = sizeof(struct ic_shutdown),
	.message = offsetof(struct shutdown_channel, message),
};
