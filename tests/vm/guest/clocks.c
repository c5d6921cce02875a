/* SPDX-License-Identifier: MIT */
/*
 * How far apart clocks are. One static program for both sides: it runs where there is only busybox.
 *
 *   clocks serve SOCKET      on the host: answers each byte with its time
 *   clocks host PORT COUNT   in the guest: its clock and that of a server on the host, by AF_VSOCK
 *   clocks ptp DEVICE COUNT  its clock and a PTP clock
 *   clocks step MS           moves this system's clock
 *
 * host and ptp print "OFFSET ROUND_TRIP" in microseconds, of the shortest of COUNT round trips: the
 * offset is the system clock minus the other, at most half a round trip wrong.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/ptp_clock.h>
#include <linux/vm_sockets.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/timex.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S 1000000000ll

struct reading {
	int64_t offset, round_trip; /* ns */
};

static void die(const char *what)
{
	fprintf(stderr, "clocks: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

/* The shortest round trip knows best. */
static void keep_best(struct reading *best, int64_t before, int64_t other, int64_t after)
{
	const struct reading r = {before + (after - before) / 2 - other, after - before};

	if (!best->round_trip || r.round_trip < best->round_trip)
		*best = r;
}

static int print(const struct reading *best)
{
	printf("%lld %lld\n", (long long)best->offset / 1000, (long long)best->round_trip / 1000);
	return 0;
}

/* ---- the host's clock ---------------------------------------------------- */

static int serve(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char byte;
	int fd;

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	if (listener < 0 || bind(listener, (void *)&address, sizeof(address)) ||
		listen(listener, 8))
		die(path);
	while ((fd = accept(listener, NULL, NULL)) >= 0) {
		while (read(fd, &byte, 1) == 1) {
			int64_t time = now();

			if (write(fd, &time, sizeof(time)) != sizeof(time))
				break;
		}
		close(fd);
	}
	die("accept");
	return 1;
}

static void ask_host(int fd, struct reading *best)
{
	int64_t before = now(), other, after;

	if (write(fd, "", 1) != 1 || recv(fd, &other, sizeof(other), MSG_WAITALL) != sizeof(other))
		die("the host does not answer");
	after = now();
	keep_best(best, before, other, after);
}

static int host(const char *port, int count)
{
	const struct sockaddr_vm address = {.svm_family = AF_VSOCK,
		.svm_cid = VMADDR_CID_HOST,
		.svm_port = (unsigned int)atoi(port)};
	int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct reading best = {0};

	if (fd < 0 || connect(fd, (const void *)&address, sizeof(address)))
		die("the host");
	for (int i = 0; i < count; i++)
		ask_host(fd, &best);
	return print(&best);
}

/* ---- a PTP clock --------------------------------------------------------- */

static int64_t ns_of(const struct ptp_clock_time *t)
{
	return t->sec * NS_PER_S + t->nsec;
}

/* Readings of the system clock and of the other, in turn, from first to last. */
static int ptp(const char *device, int count)
{
	struct ptp_sys_offset o = {.n_samples = 5};
	int fd = open(device, O_RDONLY | O_CLOEXEC);
	struct reading best = {0};

	if (fd < 0)
		die(device);
	for (int i = 0; i < count; i++) {
		if (ioctl(fd, PTP_SYS_OFFSET, &o))
			die("PTP_SYS_OFFSET");
		for (unsigned int n = 0; n < o.n_samples; n++)
			keep_best(&best, ns_of(&o.ts[2 * n]), ns_of(&o.ts[2 * n + 1]),
				ns_of(&o.ts[2 * n + 2]));
	}
	return print(&best);
}

/* ---- moving this one ----------------------------------------------------- */

static int step(const char *milliseconds)
{
	struct timex t = {.modes = ADJ_SETOFFSET | ADJ_NANO};
	int64_t ns = atoll(milliseconds) * 1000000;

	t.time.tv_sec = ns / NS_PER_S;
	t.time.tv_usec = ns % NS_PER_S; /* with ADJ_NANO: nanoseconds, from 0 on */
	if (t.time.tv_usec < 0) {
		t.time.tv_sec--;
		t.time.tv_usec += NS_PER_S;
	}
	if (adjtimex(&t) < 0)
		die("adjtimex");
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "serve"))
		return serve(argv[2]);
	if (argc == 3 && !strcmp(argv[1], "step"))
		return step(argv[2]);
	if (argc == 4 && !strcmp(argv[1], "host"))
		return host(argv[2], atoi(argv[3]));
	if (argc == 4 && !strcmp(argv[1], "ptp"))
		return ptp(argv[2], atoi(argv[3]));
	fprintf(stderr, "clocks: see the head of clocks.c\n");
	return 2;
}
