/* SPDX-License-Identifier: MIT */
/*
 * Synthetic mouse: five buttons, a wheel, an absolute position. Moves that have not been
 * sent yet become one; edges of buttons are kept.
 *
 * Thread: control, but for the channel's own functions.
 */
#ifndef VSP_MOUSE_H
#define VSP_MOUSE_H

#include "hv/mouse_reg.h"
#include "vsp/vsp.h"

/* No config. */
extern const struct vsp_ops mouse_ops;
extern const struct hv_guid mouse_instance;

/* Position and buttons from now on, and so many steps of the wheel. False: the guest's driver does
 * not run, and does not hear of it; or the queue is full: it hears of this, but not of what was
 * last in the queue. */
bool mouse_move(struct vsp_device *dev, const struct mouse_report *report);
bool mouse_is_ready(struct vsp_device *dev);

#endif
