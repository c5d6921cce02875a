/* SPDX-License-Identifier: MIT */
#include "vsp/null/null.h"
#include "vsp/storvsp/storvsp.h"
#include "vsp/vsp.h"

const struct vsp_ops *const vsp_table[] = {
	&storvsp_ops,
	&null_ops,
	NULL,
};
