/* SPDX-License-Identifier: MIT */
/*
 * watchdog SOCKET - press a key in L1 every second.
 *
 * Once in hundreds of boots QEMU's software emulation loses a wake-up: a virtual
 * CPU stays halted with an interrupt pending, and L1 freezes.  Any key event
 * from the monitor frees it; shift alone means nothing to anybody.
 *
 * The monitor's socket is also its life line: it ends when QEMU ends.
 */
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PERIOD_MS 1000

static int monitor_connect(const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (strlen(path) >= sizeof(addr.sun_path))
		return -1;
	strcpy(addr.sun_path, path);
	return connect(fd, (struct sockaddr *)&addr, sizeof(addr)) ? -1 : fd;
}

int main(int argc, char **argv)
{
	static const char press[] = "sendkey shift\n";
	struct pollfd p = {.events = POLLIN};
	char drop[4096];

	p.fd = argc == 2 ? monitor_connect(argv[1]) : -1;
	if (p.fd < 0) {
		fprintf(stderr, "bed: watchdog: no monitor at %s\n", argc == 2 ? argv[1] : "?");
		return 1;
	}
	for (;;) {
		/* The monitor echoes and prompts: read it, or it stops listening. */
		if (poll(&p, 1, PERIOD_MS) > 0) {
			if (read(p.fd, drop, sizeof(drop)) <= 0)
				return 0;
		} else if (send(p.fd, press, sizeof(press) - 1, MSG_NOSIGNAL) < 0) {
			return 0;
		}
	}
}
