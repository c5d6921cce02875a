/* SPDX-License-Identifier: MIT */
/* A VNC client for test scripts:
 *   vnc_client SOCKET ppm FILE                  what is shown now
 *   vnc_client SOCKET pointer X,Y,BUTTONS...    one after the other; BUTTONS as in RFB
 *   vnc_client SOCKET crash CODE                kills the server while this key is down
 * Status 0: done. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "tests/support/rfb.h"

/* The size may come first, and the picture is whole when a full update has come. */
static bool see(struct rfb *r)
{
	uint64_t before;

	do {
		before = r->area;
		if (!rfb_ask(r, true) || !rfb_update(r))
			return false;
	} while (r->area - before < (uint64_t)r->width * r->height);
	return true;
}

static bool write_ppm(const struct rfb *r, const char *path)
{
	FILE *f = fopen(path, "w");

	if (!f)
		return false;
	fprintf(f, "P6\n%u %u\n255\n", r->width, r->height);
	for (size_t i = 0; i < (size_t)r->width * r->height; i++) {
		putc((int)(r->pixels[i] >> 16 & 0xFF), f);
		putc((int)(r->pixels[i] >> 8 & 0xFF), f);
		putc((int)(r->pixels[i] & 0xFF), f);
	}
	return !fclose(f);
}

/* The server has taken all of them when it has sent what was asked for later. */
static bool point(struct rfb *r, int count, char **at)
{
	unsigned x, y, buttons;

	for (int i = 0; i < count; i++)
		if (sscanf(at[i], "%u,%u,%u", &x, &y, &buttons) != 3 ||
			!rfb_pointer(r, x, y, buttons))
			return false;
	return see(r);
}

static bool crash(struct rfb *r, const char *code)
{
	struct ucred who;
	socklen_t size = sizeof(who);

	return rfb_key(r, (uint32_t)strtoul(code, NULL, 0), true) && see(r) &&
	       !getsockopt(r->fd, SOL_SOCKET, SO_PEERCRED, &who, &size) && !kill(who.pid, SIGKILL);
}

int main(int argc, char **argv)
{
	struct rfb r;
	bool done = false;

	if (argc < 4 || !rfb_open(&r, argv[1]) || !see(&r)) {
		fprintf(stderr, "vnc_client: no picture\n");
		return EXIT_FAILURE;
	}
	if (!strcmp(argv[2], "ppm"))
		done = write_ppm(&r, argv[3]);
	else if (!strcmp(argv[2], "pointer"))
		done = point(&r, argc - 3, argv + 3);
	else if (!strcmp(argv[2], "crash"))
		done = crash(&r, argv[3]);
	rfb_close(&r);
	return done ? EXIT_SUCCESS : EXIT_FAILURE;
}
