/* SPDX-License-Identifier: MIT */
#include "vsp/ic/ic_impl.h"

struct kvp_channel {
	struct ic_channel ic;
	_Alignas(8) uint8_t message[IC_MESSAGE(sizeof(struct ic_kvp_ip))];
};

const struct ic_service ic_kvp = {
	.vsp = IC_VSP("kvp", IC_KVP_CLASS, struct kvp_channel),
	.name = "kvp",
	.needs = "hv_kvp_daemon",
	.instance = IC_KVP_INSTANCE,
	.type = IC_KVP,
	.version_count = 2,
	.versions = {{3, 0}, {4, 0}},
	.body_max = sizeof(struct ic_kvp_ip),
	.message = offsetof(struct kvp_channel, message),
};
