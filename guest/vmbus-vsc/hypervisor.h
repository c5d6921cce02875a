/* SPDX-License-Identifier: GPL-2.0-only */
/* What vsc.ko asks of the kernel's own Hyper-V code; its headers and ours cannot be in one file. */
#ifndef VSC_HYPERVISOR_H
#define VSC_HYPERVISOR_H

#include <linux/types.h>

/* Has the kernel found Hyper-V, and set up its hypercall page? */
bool vsc_on_hyperv(void);

#endif
