/* SPDX-License-Identifier: MIT */
/*
 * Network load between a guest and its host, with figures of the receiver. One
 * static program for both: it runs where there is only busybox, starts in no time
 * under emulation, and does the same work whatever NIC is below.
 *
 *   netload server PORT                                serves clients, one process each
 *   netload HOST PORT tcp up|down|both STREAMS SECONDS    bytes per second
 *   netload HOST PORT udp up|down BYTES SECONDS           datagrams per second
 *   netload HOST PORT rr BYTES SECONDS                    round trips per second, one at a time
 *   netload HOST PORT check up|down COUNT 0               datagrams of random sizes, contents
 * checked
 *
 * The client prints "up RATE down RATE sent COUNT received COUNT bad COUNT"; up is
 * from the client to the server. A client of "tcp up" or "tcp both" that gets SIGTERM ends the load
 * early, as if its time were up. The client sends the server one line, as above
 * without HOST and PORT; the server answers with the port that the load is for, and
 * at the end with what it has sent and received.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define STREAMS_MAX  64
#define WRITE_BYTES  (128u << 10)
#define DATAGRAM_MAX 1472u /* of UDP over IPv4 with an MTU of 1500 */
#define UDP_BATCH    32u
#define UDP_BUFFER   (4 << 20)
#define QUIET_MS     500 /* no datagram for so long after the end: there are none left */
#define CHECK_PAUSE  20  /* of the checked datagrams: a pause of 1 ms after so many */

struct load {
	char kind[8], direction[8];
	long size; /* streams, bytes or datagrams */
	double seconds;
};

struct counts {
	uint64_t sent, received, bad;
	double seconds; /* from the first to the last that was received */
};

struct peer {
	bool is_server;
	int control;
	int fd[STREAMS_MAX];
	int count;
};

static char data[WRITE_BYTES];
static volatile sig_atomic_t ended_early;

static void die(const char *what)
{
	fprintf(stderr, "netload: %s: %s\n", what, errno ? strerror(errno) : "failed");
	exit(1);
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void end_early(int signal)
{
	ended_early = 1;
}

/* ---- what a load is ------------------------------------------------------ */

static bool is(const char *word, const char *other)
{
	return !strcmp(word, other);
}

static bool sends(const struct load *l, const struct peer *p)
{
	return is(l->direction, "both") || is(l->direction, p->is_server ? "down" : "up");
}

static bool is_tcp(const struct load *l)
{
	return is(l->kind, "tcp") || is(l->kind, "rr");
}

static int streams(const struct load *l)
{
	return is(l->kind, "tcp") ? (int)l->size : 1;
}

/* "tcp up 4 2.5", "rr 1 2.5": round trips have no direction. */
static void parse_load(const char *line, struct load *l)
{
	bool good;

	memset(l, 0, sizeof(*l));
	good = sscanf(line, "rr %ld %lf", &l->size, &l->seconds) == 2;
	if (good)
		snprintf(l->kind, sizeof(l->kind), "rr");
	else
		good = sscanf(line, "%7s %7s %ld %lf", l->kind, l->direction, &l->size,
			       &l->seconds) == 4;
	good = good && l->size > 0 && (!is(l->kind, "tcp") || l->size <= STREAMS_MAX) &&
	       (!is(l->kind, "udp") || l->size <= (long)DATAGRAM_MAX) &&
	       (!is(l->kind, "rr") || l->size <= (long)WRITE_BYTES);
	errno = EINVAL;
	if (!good)
		die(line);
}

/* ---- tcp ----------------------------------------------------------------- */

static void count_received(struct counts *c, uint64_t n, double *first)
{
	if (!*first)
		*first = now();
	c->received += n;
	c->seconds = now() - *first;
}

/* False: the other side has sent all. */
static bool receive_stream(int fd, struct counts *c, double *first)
{
	ssize_t n = recv(fd, data, sizeof(data), MSG_DONTWAIT);

	if (n > 0)
		count_received(c, (uint64_t)n, first);
	return n > 0 || (n < 0 && errno == EAGAIN);
}

static void send_stream(int fd, struct counts *c)
{
	ssize_t n = send(fd, data, sizeof(data), MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n > 0)
		c->sent += (uint64_t)n;
	else if (errno != EAGAIN)
		die("sending");
}

static void end_sending(struct pollfd *polls, int count)
{
	for (int i = 0; i < count; i++) {
		shutdown(polls[i].fd, SHUT_WR);
		polls[i].events &= ~POLLOUT;
	}
}

static void run_tcp(const struct load *l, const struct peer *p, struct counts *c)
{
	double first = 0, end = now() + l->seconds;
	bool sending = sends(l, p);
	struct pollfd polls[STREAMS_MAX];
	int open = p->count;

	for (int i = 0; i < p->count; i++)
		polls[i] = (struct pollfd){
			.fd = p->fd[i], .events = (short)(POLLIN | (sending ? POLLOUT : 0))};
	while (sending || open) {
		if (poll(polls, (nfds_t)p->count, sending ? 100 : -1) < 0) {
			if (errno != EINTR)
				die("poll");
			continue;
		}
		for (int i = 0; i < p->count; i++) {
			if (polls[i].revents & POLLOUT && sending)
				send_stream(polls[i].fd, c);
			if (polls[i].revents & (POLLIN | POLLHUP | POLLERR) &&
				polls[i].events & POLLIN &&
				!receive_stream(polls[i].fd, c, &first)) {
				polls[i].events &= ~POLLIN;
				open--;
				if (!polls[i].events)
					polls[i].fd = -1;
			}
		}
		/* The server ends when all its clients' streams have ended. */
		if (!sending || (now() < end && !ended_early && open))
			continue;
		sending = false;
		end_sending(polls, p->count);
	}
}

/* ---- round trips --------------------------------------------------------- */

static bool transfer_all(int fd, size_t size, bool send_it)
{
	size_t done = 0;
	ssize_t n = 1;

	while (done < size && n > 0) {
		n = send_it ? send(fd, data + done, size - done, MSG_NOSIGNAL)
			    : recv(fd, data + done, size - done, 0);
		done += n > 0 ? (size_t)n : 0;
	}
	return done == size;
}

static void run_rr(const struct load *l, const struct peer *p, struct counts *c)
{
	double begin = now(), end = begin + l->seconds;
	size_t size = (size_t)l->size;

	if (p->is_server) {
		while (transfer_all(p->fd[0], size, false) && transfer_all(p->fd[0], size, true))
			c->received++;
		return;
	}
	while (now() < end) {
		if (!transfer_all(p->fd[0], size, true) || !transfer_all(p->fd[0], size, false))
			die("round trip");
		c->received++;
	}
	c->seconds = now() - begin;
	shutdown(p->fd[0], SHUT_WR);
}

/* ---- udp: as many as go -------------------------------------------------- */

struct batch {
	struct mmsghdr messages[UDP_BATCH];
	struct iovec iov[UDP_BATCH];
};

static void fill_batch(struct batch *b, size_t size, bool one_buffer)
{
	memset(b, 0, sizeof(*b));
	for (size_t i = 0; i < UDP_BATCH; i++) {
		b->iov[i] = (struct iovec){data + (one_buffer ? 0 : i * 2048), size};
		b->messages[i].msg_hdr.msg_iov = &b->iov[i];
		b->messages[i].msg_hdr.msg_iovlen = 1;
	}
}

static void send_datagrams(const struct load *l, const struct peer *p, struct counts *c)
{
	double end = now() + l->seconds;
	struct batch b;

	fill_batch(&b, (size_t)l->size, true);
	while (now() < end) {
		int n = sendmmsg(p->fd[0], b.messages, UDP_BATCH, 0);

		if (n > 0)
			c->sent += (uint64_t)n;
		else if (errno != ENOBUFS && errno != EAGAIN && errno != ECONNREFUSED)
			die("sendmmsg");
	}
}

/* Until the sender has ended and nothing came for a while. */
static bool datagram_comes(const struct peer *p, bool *ended)
{
	struct pollfd polls[2] = {
		{.fd = p->fd[0], .events = POLLIN}, {.fd = p->control, .events = POLLIN}};

	while (1) {
		int n = poll(polls, *ended ? 1 : 2, *ended ? QUIET_MS : -1);

		if (n < 0)
			die("poll");
		if (polls[0].revents)
			return true;
		if (*ended)
			return false;
		*ended = polls[1].revents;
	}
}

static void receive_datagrams(const struct load *l, const struct peer *p, struct counts *c)
{
	bool ended = false;
	double first = 0;
	struct batch b;
	int n;

	while (datagram_comes(p, &ended)) {
		fill_batch(&b, 2048, false);
		while ((n = recvmmsg(p->fd[0], b.messages, UDP_BATCH, MSG_DONTWAIT, NULL)) > 0)
			for (int i = 0; i < n; i++)
				if (b.messages[i].msg_len == l->size)
					count_received(c, 1, &first);
				else
					c->bad++;
	}
}

/* ---- udp: contents are checked ------------------------------------------- */

struct stamp {
	uint32_t number, size;
};

static uint32_t mix(uint32_t x)
{
	x ^= x >> 16;
	x *= 0x7feb352du;
	x ^= x >> 15;
	x *= 0x846ca68bu;
	return x ^ x >> 16;
}

/* Size and contents follow from the number. */
static uint32_t make_datagram(uint32_t number, uint8_t *to)
{
	uint32_t least = sizeof(struct stamp);
	struct stamp s = {number, least + mix(number) % (DATAGRAM_MAX - least + 1)};

	memcpy(to, &s, sizeof(s));
	for (uint32_t i = least; i < s.size; i++)
		to[i] = (uint8_t)(mix(number + (i & ~63u)) + i);
	return s.size;
}

static void send_checked(const struct load *l, const struct peer *p, struct counts *c)
{
	uint8_t bytes[DATAGRAM_MAX];

	for (uint32_t number = 0; number < (uint32_t)l->size; number++) {
		uint32_t size = make_datagram(number, bytes);

		if (send(p->fd[0], bytes, size, 0) == (ssize_t)size)
			c->sent++;
		else if (errno != ENOBUFS && errno != ECONNREFUSED)
			die("send");
		if (number % CHECK_PAUSE == 0)
			poll(NULL, 0, 1);
	}
}

static bool is_right(const uint8_t *bytes, ssize_t size, const struct load *l, uint8_t *seen)
{
	uint8_t wanted[DATAGRAM_MAX];
	struct stamp s;

	if (size < (ssize_t)sizeof(s))
		return false;
	memcpy(&s, bytes, sizeof(s));
	if (s.number >= (uint32_t)l->size || seen[s.number]++)
		return false;
	return make_datagram(s.number, wanted) == (uint32_t)size &&
	       !memcmp(bytes, wanted, (size_t)size);
}

static void receive_checked(const struct load *l, const struct peer *p, struct counts *c)
{
	uint8_t *seen = calloc((size_t)l->size, 1);
	uint8_t bytes[2048];
	bool ended = false;
	double first = 0;
	ssize_t n;

	if (!seen)
		die("memory");
	while (datagram_comes(p, &ended))
		while ((n = recv(p->fd[0], bytes, sizeof(bytes), MSG_DONTWAIT)) >= 0)
			if (is_right(bytes, n, l, seen))
				count_received(c, 1, &first);
			else
				c->bad++;
	free(seen);
}

static void run_udp(const struct load *l, const struct peer *p, struct counts *c)
{
	bool checked = is(l->kind, "check");

	if (!sends(l, p)) {
		(checked ? receive_checked : receive_datagrams)(l, p, c);
		return;
	}
	(checked ? send_checked : send_datagrams)(l, p, c);
	if (write(p->control, "end\n", 4) != 4)
		die("control connection");
}

static void run(const struct load *l, const struct peer *p, struct counts *c)
{
	if (is(l->kind, "tcp"))
		run_tcp(l, p, c);
	else if (is(l->kind, "rr"))
		run_rr(l, p, c);
	else
		run_udp(l, p, c);
}

/* ---- control ------------------------------------------------------------- */

/* A line; what else there is stays in the socket. */
static void read_line(int fd, char *line, size_t size)
{
	size_t used = 0;

	while (used + 1 < size && recv(fd, line + used, 1, 0) == 1 && line[used] != '\n')
		used++;
	line[used] = 0;
}

/* A sender of datagrams says "end" before its counts. */
static void read_counts(int fd, struct counts *c)
{
	char line[128];

	memset(c, 0, sizeof(*c));
	do
		read_line(fd, line, sizeof(line));
	while (is(line, "end"));
	if (sscanf(line, "%lu %lu %lu %lf", &c->sent, &c->received, &c->bad, &c->seconds) != 4)
		die("the server's counts");
}

static void no_delay(int fd)
{
	int on = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

static int socket_of(int family, bool tcp)
{
	int fd = socket(family, tcp ? SOCK_STREAM : SOCK_DGRAM, 0);
	int bytes = UDP_BUFFER;

	if (fd < 0)
		die("socket");
	if (!tcp && setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)))
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
	return fd;
}

/* ---- server -------------------------------------------------------------- */

/* Of both IP versions. port 0: any. */
static int bound_socket(bool tcp, uint16_t port)
{
	struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	int fd = socket_of(AF_INET6, tcp), on = 1, off = 0;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	if (bind(fd, (struct sockaddr *)&any, sizeof(any)) || (tcp && listen(fd, STREAMS_MAX)))
		die("bind");
	return fd;
}

static void answer_port(int control, int fd)
{
	struct sockaddr_in6 bound;
	socklen_t size = sizeof(bound);

	if (getsockname(fd, (struct sockaddr *)&bound, &size) ||
		dprintf(control, "%u\n", ntohs(bound.sin6_port)) < 0)
		die("control connection");
}

/* The first datagram says where the client is. */
static void meet_datagram_peer(int fd)
{
	struct sockaddr_in6 from;
	socklen_t size = sizeof(from);
	char byte;

	if (recvfrom(fd, &byte, 1, 0, (struct sockaddr *)&from, &size) != 1 ||
		connect(fd, (struct sockaddr *)&from, size) || send(fd, "", 1, 0) != 1)
		die("the client's datagram");
}

static void serve(int control)
{
	struct peer p = {.is_server = true, .control = control};
	struct counts c = {0};
	struct load l;
	char line[128];
	int fd;

	read_line(control, line, sizeof(line));
	parse_load(line, &l);
	fd = bound_socket(is_tcp(&l), 0);
	answer_port(control, fd);
	if (!is_tcp(&l)) {
		meet_datagram_peer(fd);
		p.fd[p.count++] = fd;
	}
	while (p.count < streams(&l)) {
		p.fd[p.count] = accept(fd, NULL, NULL);
		if (p.fd[p.count] < 0)
			die("accept");
		no_delay(p.fd[p.count++]);
	}
	run(&l, &p, &c);
	dprintf(control, "%lu %lu %lu %f\n", c.sent, c.received, c.bad, c.seconds);
}

static void server(const char *port)
{
	int fd = bound_socket(true, (uint16_t)atoi(port));

	signal(SIGCHLD, SIG_IGN);
	while (1) {
		int control = accept(fd, NULL, NULL);

		if (control < 0)
			die("accept");
		if (!fork()) {
			close(fd);
			serve(control);
			exit(0);
		}
		close(control);
	}
}

/* ---- client -------------------------------------------------------------- */

/* Of either IP version. */
static socklen_t parse_address(const char *host, const char *port, struct sockaddr_storage *to)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)to;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)to;
	uint16_t number = htons((uint16_t)atoi(port));

	*v4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = number};
	if (inet_pton(AF_INET, host, &v4->sin_addr) == 1)
		return sizeof(*v4);
	*v6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = number};
	errno = EINVAL;
	if (inet_pton(AF_INET6, host, &v6->sin6_addr) != 1)
		die(host);
	return sizeof(*v6);
}

static int connect_to(const char *host, const char *port, bool tcp)
{
	struct sockaddr_storage to;
	socklen_t size = parse_address(host, port, &to);
	int fd = socket_of(to.ss_family, tcp);

	if (connect(fd, (struct sockaddr *)&to, size))
		die("connect");
	if (tcp)
		no_delay(fd);
	return fd;
}

/* Until the server answers: the first one may be lost. */
static void meet_server(int fd)
{
	struct pollfd answer = {.fd = fd, .events = POLLIN};
	char byte;

	for (int tries = 0; tries < 240; tries++) {
		if (send(fd, "", 1, 0) == 1 && poll(&answer, 1, 500) == 1 &&
			recv(fd, &byte, 1, 0) == 1)
			return;
	}
	die("the server's datagram");
}

static double rate(const struct counts *c)
{
	return c->seconds > 0 ? (double)c->received / c->seconds : 0;
}

static void print_counts(
	const struct load *l, const struct counts *client, const struct counts *server)
{
	bool rr = is(l->kind, "rr");

	printf("up %.0f down %.0f sent %lu received %lu bad %lu\n",
		rr ? rate(client) : rate(server), rate(client), client->sent + server->sent,
		rr ? client->received : client->received + server->received,
		client->bad + server->bad);
}

static void client(const char *host, const char *port, const char *line)
{
	struct counts mine = {0}, theirs;
	struct peer p = {0};
	struct load l;
	char load_port[16];

	parse_load(line, &l);
	p.control = connect_to(host, port, true);
	if (dprintf(p.control, "%s\n", line) < 0)
		die("control connection");
	read_line(p.control, load_port, sizeof(load_port));
	while (p.count < streams(&l))
		p.fd[p.count++] = connect_to(host, load_port, is_tcp(&l));
	if (!is_tcp(&l))
		meet_server(p.fd[0]);
	run(&l, &p, &mine);
	for (int i = 0; is_tcp(&l) && i < p.count; i++)
		close(p.fd[i]);
	read_counts(p.control, &theirs);
	print_counts(&l, &mine, &theirs);
}

static void join(char *line, size_t size, char **words)
{
	line[0] = 0;
	for (; *words; words++) {
		strncat(line, *words, size - strlen(line) - 1);
		if (words[1])
			strncat(line, " ", size - strlen(line) - 1);
	}
}

int main(int argc, char **argv)
{
	char line[128];

	signal(SIGPIPE, SIG_IGN);
	signal(SIGTERM, end_early);
	if (argc == 3 && is(argv[1], "server")) {
		server(argv[2]);
		return 1;
	}
	if (argc != 6 && argc != 7) {
		fprintf(stderr,
			"usage: netload server PORT, or HOST PORT KIND ...; see netload.c\n");
		return 2;
	}
	join(line, sizeof(line), argv + 3);
	client(argv[1], argv[2], line);
	return 0;
}
