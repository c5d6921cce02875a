/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * The header of packets on a channel in pipe mode, where each packet is one message. The offer's
 * first user byte says VMBUS_PIPE_MODE_MESSAGE (ic_reg.h).
 */
#ifndef PIPE_REG_H
#define PIPE_REG_H

#include "hv_types.h"

#define PIPE_DATA 1u

struct pipe_header {
	uint32_t type;   /* PIPE_DATA */
	uint32_t length; /* bytes behind this header */
};
HV_ASSERT_SIZE(struct pipe_header, 8);

#endif
