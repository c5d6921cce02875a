/* SPDX-License-Identifier: MIT */
/*
 * Saves bus and devices of a guest of guest.h, destroys them, makes new ones and restores these: to
 * the guest nothing has happened. Its RAM is put back to what it was when the image was taken, as
 * that of an image would be.
 */
#ifndef SUPPORT_GUEST_SAVE_H
#define SUPPORT_GUEST_SAVE_H

#include "tests/support/guest.h"

struct guest_image {
	uint8_t *state; /* an archive */
	size_t size;
	void *ram;
};

/* Everything is paused; it stays so. */
void guest_save(struct guest *g, struct guest_image *image);
/* make(ctx) creates the devices again, on the caller's thread; then the guest goes on. */
void guest_restore(
	struct guest *g, const struct guest_image *image, void (*make)(void *ctx), void *ctx);
void guest_image_free(struct guest_image *image);
/* Instead of guest_restore(): the guest goes on with what was saved. */
void guest_go_on(struct guest *g);

/* Reads an image, which may be damaged, into a bus without a guest. Its error, or 0; the channels
 * are closed again. */
int guest_try_restore(struct guest *g, const void *state, size_t size, void (*make)(void *ctx),
	void *ctx, struct err *e);

#endif
