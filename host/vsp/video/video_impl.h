/* SPDX-License-Identifier: MIT */
/* Inside of host/vsp/video: video.c (life, what is asked of the guest), channel.c (messages). */
#ifndef VIDEO_IMPL_H
#define VIDEO_IMPL_H

#include <assert.h>

#include "base/blocking.h"
#include "base/counter.h"
#include "base/inspect.h"
#include "vsp/video/video.h"

/*
 *                       refused
 *                      .-------.
 *   CLOSED --open--> VERSION --accepted--> CHOSEN --location--> MAPPING --mapped--> RUNNING
 *      ^                ^                    ^ ^                   | refused          | |
 *      |                |                    | `-------------------'                  | |
 *      |                |                    `------------------------- location -----' |
 *      |                `--- version, in any state but MAPPING                          |
 *      `--- close, in any state --------------------------------------------------------'
 *
 * In MAPPING no packet is taken. A location at which the memory is already is answered at once.
 */
enum video_state {
	VIDEO_CLOSED,
	VIDEO_VERSION,
	VIDEO_CHOSEN,
	VIDEO_MAPPING,
	VIDEO_RUNNING,
};

struct video_device {
	struct video_config config;
	_Atomic bool watch;   /* written by control */
	struct vsp_call call; /* control's: watch has changed */
	bool calling, call_again;
	/* The I/O thread's: moves of the memory in this second. */
	uint64_t moves_since;
	uint32_t moves;
};

/* Private memory of an open channel. I/O thread; counters are read by control. */
struct video_channel {
	struct vsp_channel *ch;
	enum video_state state; /* counter */
	bool paused, stopping;
	uint32_t version; /* counter; 0: none yet */
	uint64_t gpa;     /* counter; 0: none in this connection */
	struct vsp_out feature_out;
	bool feature_sending, feature_again;
	struct video_feature_change feature;
	/* counters */
	uint64_t modes, dirts, ignored, refused;
	uint32_t width, height;
};

/* Classes of requests: what pausing and closing wait for. */
enum { VIDEO_REPLY, VIDEO_MAP, VIDEO_CLASSES };

/* Answers that wait for room; then packets wait in the guest's ring. */
#define VIDEO_REPLIES 4u

struct video_reply {
	struct vsp_out out;
	union {
		struct video_header header;
		struct video_version_response version;
		struct video_ack ack;
		struct video_bios_info bios;
		struct video_capabilities capabilities;
		struct video_resolutions resolutions;
		uint8_t bytes[sizeof(struct video_resolutions) +
			      VIDEO_RESOLUTIONS_MAX * sizeof(struct video_resolution)];
	} message;
};

struct video_map {
	struct blocking_call call;
	struct vsp_channel *ch;
	uint64_t gpa, context;
	int error;
};

static inline struct video_device *video_device_of(const struct video_channel *c)
{
	return vsp_device_priv(vsp_channel_device(c->ch));
}

/* video.c, ON_IO_THREAD: asks the guest for what the host wants to hear of. */
void video_send_feature(struct video_channel *c);

/* channel.c */
int video_packet(struct vsp_channel *ch, const struct vmbus_pkt *pkt);

#endif
