/* SPDX-License-Identifier: MIT */
/* A VNC client on a Unix socket, for tests: raw pixels only. Each wait ends after RFB_WAIT_S. */
#ifndef SUPPORT_RFB_H
#define SUPPORT_RFB_H

#include <stdbool.h>
#include <stdint.h>

#define RFB_WAIT_S 60

struct rfb {
	int fd;
	uint32_t width, height;
	uint32_t *pixels; /* 0x00RRGGBB */
	uint64_t rects;   /* rectangles with pixels so far */
	uint64_t area;    /* pixels in them */
};

/* False: no server, or not one that it understands. */
bool rfb_open(struct rfb *r, const char *path);
void rfb_close(struct rfb *r);

/* Asks for what has changed, or for everything. */
bool rfb_ask(struct rfb *r, bool all);
/* Waits for one update and takes it. */
bool rfb_update(struct rfb *r);

/* With codes of keys: set 1, 0x80 for what follows an E0. */
bool rfb_key(struct rfb *r, uint32_t scan, bool down);
bool rfb_keysym(struct rfb *r, uint32_t keysym, bool down);
/* buttons: bit 0 left, 1 middle, 2 right, 3 wheel up, 4 wheel down */
bool rfb_pointer(struct rfb *r, uint32_t x, uint32_t y, uint32_t buttons);

#endif
