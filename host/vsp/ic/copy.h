/* SPDX-License-Identifier: MIT */
/*
 * Copying a file of the host into the guest, 6 KiB a message.
 *
 *   opening --> starting --> reading <--> writing --> completing --> done
 *                                            `-- an error --> cancelling --> done
 *
 * The file is opened and read on a helper thread (base/blocking.h), the messages are requests of
 * the control thread. Thread: control.
 */
#ifndef IC_COPY_H
#define IC_COPY_H

#include "vsp/ic/ic.h"

struct ic_copy_params {
	const char *file; /* of the host: a regular file */
	const char *directory, *name;
	bool overwrite, create_directory;
};

struct ic_copy_job;

/* 0: done(ctx, e) later, once: e NULL: the whole file is in the guest. *dev: NULL while there is
 * no guest. -errno with e: it is not called. The params are copied. */
int ic_copy_start(struct ic_copy_job **job, struct loop *control, struct vsp_device **dev,
	const struct ic_copy_params *params, void (*done)(void *ctx, const struct err *e),
	void *ctx, struct err *e);
/* ON_CONTROL: the guest that the file goes to is gone: the job ends, and does not go on with the
 * next. */
void ic_copy_guest_gone(struct ic_copy_job *job);
/* The loop does not run any more, and all channels are closed: frees the job; done() is not called.
 */
void ic_copy_abandon(struct ic_copy_job *job);

/* Bytes so far, and of the whole file (0: not known yet). */
void ic_copy_progress(const struct ic_copy_job *job, uint64_t *bytes, uint64_t *size);

#endif
