/* SPDX-License-Identifier: MIT */
/* Asking the guest to power off or to reboot. Thread: control. */
#ifndef IC_SHUTDOWN_H
#define IC_SHUTDOWN_H

#include "vsp/ic/ic.h"

struct ic_shutdown_request {
	struct ic_request request; /* the caller sets timeout_ns and done */
	struct ic_shutdown body;
};

/* done() with status 0: the guest has accepted it. Other guests than Linux may take long. */
void ic_shutdown_start(struct vsp_device *dev, struct ic_shutdown_request *s, bool reboot);

#endif
