/* SPDX-License-Identifier: GPL-2.0-only */
#include "guest/vmbus-vsc/hypervisor.h"

#include <asm/mshyperv.h>

bool vsc_on_hyperv(void)
{
	return hv_is_hyperv_initialized();
}
