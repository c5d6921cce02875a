/* SPDX-License-Identifier: MIT */
/*
 * A disk that is added to a controller and removed while a guest is at work, for
 * the loop tests: the user's side. It is freed as soon as the controller says
 * that it is gone, so that any later use is found.
 */
#ifndef SUPPORT_HOT_DISK_H
#define SUPPORT_HOT_DISK_H

#include <stdatomic.h>

#include "tests/support/storvsp_rig.h"

#define HOT_LUN  9u
#define HOT_CD   10u
#define HOT_SIZE (1u << 20)

enum hot_state { HOT_NONE, HOT_ADDING, HOT_ADDED, HOT_FAILED, HOT_REMOVING };

/* One disk that is added and removed. */
struct hot {
	struct storvsp_rig *rig;
	struct vsp_device *dev;
	bool cdrom; /* on HOT_CD instead of HOT_LUN */
	struct fault_disk *disk;
	int ret, error;
	_Atomic uint64_t delay_ns;
	_Atomic uint32_t queues_left;
	_Atomic bool stop;
	_Atomic enum hot_state state;
	_Atomic uint32_t additions, removals;
};

/* ON_CONTROL, with a struct hot. */
void hot_do_add(void *arg);
void hot_do_remove(void *arg);
void hot_added(void *hot, int error);
void hot_removed(void *hot);
void hot_open_disk(struct hot *hot);
void hot_close_disk(struct hot *hot);

/* Runs fn(hot) on the control thread. */
void hot_control(struct hot *hot, void (*fn)(void *arg));
void hot_nothing(void *arg);
/* Until it is so; completions are taken meanwhile. */
void hot_wait(struct hot *hot, enum hot_state state);
/* Both until it is done. */
void hot_add(struct hot *hot);
void hot_remove(struct hot *hot);
/* Lets go what the disk holds, on all channels. */
void hot_release(struct hot *hot);

#endif
