/* SPDX-License-Identifier: MIT */
/*
 * Synthetic video. The guest chooses an address for its video memory, reports its mode and what it
 * has drawn; the memory and the picture are the embedder's (host/display). Nothing is copied here.
 *
 * Linux reports no rectangle before it is asked to, so with no viewer nothing is sent.
 *
 * Threads: as marked; the device belongs to the control thread, its channel to an I/O thread.
 */
#ifndef VSP_VIDEO_H
#define VSP_VIDEO_H

#include "display/picture.h"
#include "hv/video_reg.h"
#include "vsp/vsp.h"

struct video_config {
	uint32_t megabytes;     /* of video memory */
	uint32_t width, height; /* the mode that is preferred; one of Linux's table */
	/* A helper thread (base/blocking.h), one call at a time: video memory is at gpa from now
	 * on. -EINVAL: that is no place for it. 0 or -errno. */
	int (*map)(void *ctx, uint64_t gpa);
	/* ON_IO_THREAD: the guest has a mode; everything has to be drawn again. */
	void (*mode)(void *ctx, const struct picture_mode *mode);
	/* ON_IO_THREAD: this much has been drawn. May be outside of the mode. */
	void (*dirt)(void *ctx, const struct picture_rect *rect);
	/* ON_IO_THREAD: the guest's driver says nothing any more. */
	void (*closed)(void *ctx);
	void *ctx;
};

/* Config: struct video_config, copied. */
extern const struct vsp_ops video_ops;
extern const struct hv_guid video_instance;

/* ON_CONTROL: whether the guest shall report what it draws. */
void video_watch(struct vsp_device *dev, bool watch);

/* ON_CONTROL. "closed": the guest's driver does not run; "negotiating", "mapping", "running". */
const char *video_state(struct vsp_device *dev);

#endif
