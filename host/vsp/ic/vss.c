/* SPDX-License-Identifier: MIT */
#include "vsp/ic/ic_impl.h"

struct vss_channel {
	struct ic_channel ic;
	_Alignas(8) uint8_t message[IC_MESSAGE(sizeof(struct ic_vss))];
};

const struct ic_service ic_vss = {
	.vsp = IC_VSP("vss", IC_VSS_CLASS, struct vss_channel),
	.name = "vss",
	.needs = "hv_vss_daemon",
	.instance = IC_VSS_INSTANCE,
	.type = IC_VSS,
	.version_count = 1,
	.versions = {{5, 0}},
	.body_max = sizeof(struct ic_vss),
	.message = offsetof(struct vss_channel, message),
};
