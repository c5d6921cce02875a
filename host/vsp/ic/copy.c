/* SPDX-License-Identifier: MIT */
#include "vsp/ic/ic_impl.h"

struct copy_channel {
	struct ic_channel ic;
	_Alignas(8) uint8_t message[IC_MESSAGE(sizeof(struct ic_copy_write))];
};

const struct ic_service ic_copy = {
	.vsp = IC_VSP("copy", IC_COPY_CLASS, struct copy_channel),
	.name = "copy",
	.needs = "hv_fcopy_daemon (Linux 6.12: hv_fcopy_uio_daemon)",
	.instance = IC_COPY_INSTANCE,
	.type = IC_COPY,
	.version_count = 1,
	.versions = {{1, 1}},
	.body_max = sizeof(struct ic_copy_write),
	.message = offsetof(struct copy_channel, message),
};
