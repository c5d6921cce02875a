/* SPDX-License-Identifier: MIT */
#include "tests/support/rfb.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define ENCODING_RAW      0
#define ENCODING_SIZE     (-223)
#define ENCODING_KEY_CODE (-258)

/* ---- bytes --------------------------------------------------------------- */

static bool get(struct rfb *r, void *to, size_t size)
{
	uint8_t *at = to;

	while (size) {
		ssize_t n = recv(r->fd, at, size, 0);

		if (n < 0 && errno == EINTR) /* work for our io_uring */
			continue;
		if (n <= 0)
			return false;
		at += n;
		size -= (size_t)n;
	}
	return true;
}

static bool put(struct rfb *r, const void *bytes, size_t size)
{
	return send(r->fd, bytes, size, MSG_NOSIGNAL) == (ssize_t)size;
}

static uint16_t get16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static uint32_t get32(const uint8_t *at)
{
	return (uint32_t)get16(at) << 16 | get16(at + 2);
}

static void put16(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static void put32(uint8_t *at, uint32_t value)
{
	put16(at, value >> 16);
	put16(at + 2, value);
}

/* ---- the beginning ------------------------------------------------------- */

static bool set_size(struct rfb *r, uint32_t width, uint32_t height)
{
	free(r->pixels);
	r->width = width;
	r->height = height;
	r->pixels = calloc((size_t)width * height, sizeof(*r->pixels));
	return r->pixels;
}

static bool agree(struct rfb *r)
{
	uint8_t bytes[256], count;

	return get(r, bytes, 12) && !memcmp(bytes, "RFB 003.008\n", 12) && put(r, bytes, 12) &&
	       get(r, &count, 1) && get(r, bytes, count) && memchr(bytes, 1, count) &&
	       put(r, "\1", 1) && get(r, bytes, 4) && !get32(bytes) && put(r, "\1", 1);
}

/* Its own format is ours: 32 bits, little-endian, 0x00RRGGBB. */
static bool take_init(struct rfb *r)
{
	static const uint8_t format[] = {32, 24, 0, 1, 0, 255, 0, 255, 0, 255, 16, 8, 0};
	uint8_t bytes[256];

	return get(r, bytes, 24) && !memcmp(bytes + 4, format, sizeof(format)) &&
	       get32(bytes + 20) < sizeof(bytes) && set_size(r, get16(bytes), get16(bytes + 2)) &&
	       get(r, bytes, get32(bytes + 20));
}

static bool set_encodings(struct rfb *r)
{
	uint8_t m[16] = {2, 0, 0, 3};

	put32(m + 4, ENCODING_RAW);
	put32(m + 8, (uint32_t)ENCODING_SIZE);
	put32(m + 12, (uint32_t)ENCODING_KEY_CODE);
	return put(r, m, sizeof(m));
}

bool rfb_open(struct rfb *r, const char *path)
{
	const struct timeval wait = {.tv_sec = RFB_WAIT_S};
	struct sockaddr_un to = {.sun_family = AF_UNIX};

	*r = (struct rfb){.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
	strncpy(to.sun_path, path, sizeof(to.sun_path) - 1);
	setsockopt(r->fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	if (!connect(r->fd, (struct sockaddr *)&to, sizeof(to)) && agree(r) && take_init(r) &&
		set_encodings(r))
		return true;
	rfb_close(r);
	return false;
}

void rfb_close(struct rfb *r)
{
	close(r->fd);
	free(r->pixels);
	*r = (struct rfb){.fd = -1};
}

/* ---- updates ------------------------------------------------------------- */

bool rfb_ask(struct rfb *r, bool all)
{
	uint8_t m[10] = {3, !all};

	put16(m + 6, r->width);
	put16(m + 8, r->height);
	return put(r, m, sizeof(m));
}

static bool take_raw(struct rfb *r, uint32_t x, uint32_t y, uint32_t width, uint32_t height)
{
	if (x + width > r->width || y + height > r->height)
		return false;
	for (uint32_t row = 0; row < height; row++)
		if (!get(r, r->pixels + (size_t)(y + row) * r->width + x, (size_t)width * 4))
			return false;
	r->rects++;
	r->area += (uint64_t)width * height;
	return true;
}

static bool take_rect(struct rfb *r)
{
	uint8_t h[12];

	if (!get(r, h, sizeof(h)))
		return false;
	switch ((int32_t)get32(h + 8)) {
	case ENCODING_RAW:
		return take_raw(r, get16(h), get16(h + 2), get16(h + 4), get16(h + 6));
	case ENCODING_SIZE:
		return set_size(r, get16(h + 4), get16(h + 6));
	case ENCODING_KEY_CODE:
		return true;
	default:
		return false;
	}
}

bool rfb_update(struct rfb *r)
{
	uint8_t h[4];

	if (!get(r, h, sizeof(h)) || h[0] != 0)
		return false;
	for (uint32_t n = get16(h + 2); n; n--)
		if (!take_rect(r))
			return false;
	return true;
}

/* ---- input --------------------------------------------------------------- */

bool rfb_key(struct rfb *r, uint32_t scan, bool down)
{
	uint8_t m[12] = {255, 0, 0, down};

	put32(m + 8, scan);
	return put(r, m, sizeof(m));
}

bool rfb_keysym(struct rfb *r, uint32_t keysym, bool down)
{
	uint8_t m[8] = {4, down};

	put32(m + 4, keysym);
	return put(r, m, sizeof(m));
}

bool rfb_pointer(struct rfb *r, uint32_t x, uint32_t y, uint32_t buttons)
{
	uint8_t m[6] = {5, (uint8_t)buttons};

	put16(m + 2, x);
	put16(m + 4, y);
	return put(r, m, sizeof(m));
}
