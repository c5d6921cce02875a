/* SPDX-License-Identifier: MIT */
/*
 * Synthetic keyboard. It knows which keys are down, so that a guest never sees a key come up that
 * did not go down: Linux takes such a code of left Shift for the result of a self-test, and
 * switches its keyboard off.
 *
 * Thread: control, but for the channel's own functions.
 */
#ifndef VSP_KEYBOARD_H
#define VSP_KEYBOARD_H

#include "hv/keyboard_reg.h"
#include "vsp/vsp.h"

/* No config. */
extern const struct vsp_ops keyboard_ops;
extern const struct hv_guid keyboard_instance;

/* A scan code of set 1: 0x01 to 0x7F; with KEYBOARD_KEY_E0, what follows an E0. */
#define KEYBOARD_KEY_E0    0x80u
#define KEYBOARD_KEY_PAUSE 0x100u /* a sequence of its own */

/* False: the guest's driver does not run, or the queue is full: the key is dropped. A key that
 * comes up and was not down is dropped in silence; one that goes down again is a repetition. */
bool keyboard_key(struct vsp_device *dev, uint32_t key, bool down);
bool keyboard_is_ready(struct vsp_device *dev);
/* Keys for which there is room, down and up, though the host does not empty the queue. */
uint32_t keyboard_room(struct vsp_device *dev);
/* The guest has been given all of them. */
bool keyboard_is_idle(struct vsp_device *dev);

#endif
