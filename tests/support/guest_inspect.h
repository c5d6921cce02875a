/* SPDX-License-Identifier: MIT */
/* What a device of the host shows of itself. */
#ifndef TESTS_SUPPORT_GUEST_INSPECT_H
#define TESTS_SUPPORT_GUEST_INSPECT_H

#include "tests/support/guest.h"

/* A number of the device's first channel. */
uint64_t guest_channel_count(struct guest *g, struct vsp_device *dev, const char *key);

#endif
