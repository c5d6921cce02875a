/* SPDX-License-Identifier: MIT */
/*
 * client --timeout SECONDS --ping SOCKET
 * client --timeout SECONDS [--verdict FILE] SOCKET CMD...
 *
 * Talks to the agent in L1 through QEMU's end of the virtio-serial port: asks
 * whether it is ready, or runs CMD there with output, signals and exit status
 * passed through.  All clocks are on this side; L1 may freeze.
 *
 * Exit status: CMD's; 124 out of time; 125 the bed failed; 130, 143 on signals.
 * On a failure of the bed FILE gets one word: "not-started" (trying again is
 * safe), "hung" (L1 does not answer) or "died".
 */
#define _GNU_SOURCE
#include "frame.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define STATUS_TIMEOUT 124
#define STATUS_BED     125
#define MS_PER_S       1000LL
#define NS_PER_MS      1000000LL
#define READY_MS       (30 * MS_PER_S) /* an idle L1 answers in milliseconds */
#define TERM_MS        (5 * MS_PER_S)  /* for a job to obey SIGTERM */
#define KILL_MS        (10 * MS_PER_S) /* for the agent to report a killed job */
#define CHUNK          4096            /* PIPE_BUF: fits whenever poll() says writable */

extern char **environ;

static const char *verdict_file;
static bool job_started;
static volatile sig_atomic_t signal_got;
static sigset_t signals_off, signals_on; /* on only while in ppoll() */

static struct {
	int fd;
	uint8_t in[2 * FRAME_MAX];
	size_t len;
} sock;

/* Output on its way to our caller: nothing more is read until it is out. */
static struct {
	int fd;
	const uint8_t *p;
	size_t len;
	bool closed[3]; /* by descriptor: its reader has closed it */
} pending;

/* How the job is brought to its end, and when to lose patience next. */
static struct {
	enum { RUNNING, ASKED, KILLED } stage;
	int64_t deadline;
	int status; /* what to return from stage ASKED on */
} stop;

static int64_t now_ms(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return ts.tv_sec * MS_PER_S + ts.tv_nsec / NS_PER_MS;
}

static int64_t mono_ms(void)
{
	return now_ms(CLOCK_MONOTONIC);
}

_Noreturn static void bed_failed(const char *verdict, const char *why)
{
	FILE *f = verdict_file ? fopen(verdict_file, "w") : NULL;

	fprintf(stderr, "bed: %s\n", why);
	if (f) {
		fprintf(f, "%s\n", job_started ? verdict : "not-started");
		fclose(f);
	}
	exit(stop.stage == RUNNING ? STATUS_BED : stop.status);
}

/* ---- the socket ---------------------------------------------------------- */

static void sock_connect(const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};

	if (strlen(path) >= sizeof(addr.sun_path))
		bed_failed("died", "path of the socket is too long");
	strcpy(addr.sun_path, path);
	sock.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (sock.fd < 0 || connect(sock.fd, (struct sockaddr *)&addr, sizeof(addr)))
		bed_failed("died", "L1 is not running");
}

static void sock_send(const void *data, size_t len)
{
	const uint8_t *p = data;

	while (len) {
		ssize_t n = send(sock.fd, p, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			bed_failed("died", "L1 died");
		p += n;
		len -= n;
	}
}

static void frame_send(enum frame_type type, const void *body, size_t len)
{
	struct frame_head head = {.type = type, .len = len};

	sock_send(&head, sizeof(head));
	sock_send(body, len);
}

static void frame_send_u32(enum frame_type type, uint32_t value)
{
	frame_send(type, &value, sizeof(value));
}

/* Call only when poll() says so, or to block. */
static void sock_fill(void)
{
	ssize_t n = recv(sock.fd, sock.in + sock.len, sizeof(sock.in) - sock.len, 0);

	if (n < 0 && errno == EINTR)
		return;
	if (n <= 0)
		bed_failed("died", "L1 died");
	sock.len += n;
}

static void sock_drop(size_t n)
{
	sock.len -= n;
	memmove(sock.in, sock.in + n, sock.len);
}

/* The first frame in the buffer, or NULL if it has not all come yet. */
static const uint8_t *frame_peek(struct frame_head *head)
{
	if (sock.len < sizeof(*head))
		return NULL;
	memcpy(head, sock.in, sizeof(*head));
	if (head->len > FRAME_BODY)
		bed_failed("hung", "L1 talks nonsense");
	return sock.len < sizeof(*head) + head->len ? NULL : sock.in + sizeof(*head);
}

/* ---- signals ------------------------------------------------------------- */

static void on_signal(int sig)
{
	signal_got = sig;
}

static void signals_init(void)
{
	struct sigaction sa = {.sa_handler = on_signal};
	const int sigs[] = {SIGINT, SIGTERM, SIGHUP};

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&signals_off);
	for (size_t i = 0; i < sizeof(sigs) / sizeof(sigs[0]); i++) {
		sigaction(sigs[i], &sa, NULL);
		sigaddset(&signals_off, sigs[i]);
	}
	sigprocmask(SIG_BLOCK, &signals_off, &signals_on);
	for (size_t i = 0; i < sizeof(sigs) / sizeof(sigs[0]); i++)
		sigdelset(&signals_on, sigs[i]);
}

static void wait_event(struct pollfd *p, int64_t deadline)
{
	int64_t left = deadline - mono_ms();
	struct timespec ts = {0};

	if (left > 0)
		ts = (struct timespec){left / MS_PER_S, left % MS_PER_S * NS_PER_MS};
	p->revents = 0;
	if (ppoll(p, 1, &ts, &signals_on) < 0 && errno != EINTR)
		bed_failed("died", strerror(errno));
}

/* ---- opening a session --------------------------------------------------- */

static void hello_send(uint8_t nonce[NONCE_SIZE])
{
	static const uint8_t zeros[FRAME_MAX];
	struct hello hello;

	if (getrandom(nonce, NONCE_SIZE, 0) != NONCE_SIZE)
		bed_failed("died", "no random numbers");
	memcpy(hello.nonce, nonce, NONCE_SIZE);
	hello.now_ns = now_ms(CLOCK_REALTIME) * NS_PER_MS;
	sock_send(zeros, sizeof(zeros));
	frame_send(FRAME_HELLO, &hello, sizeof(hello));
}

/* Skip what an earlier session left, up to our nonce. */
static bool find_ready(const uint8_t nonce[NONCE_SIZE], struct ready *ready)
{
	uint8_t *at = memmem(sock.in, sock.len, nonce, NONCE_SIZE);
	size_t skip;

	if (!at) {
		if (sock.len > FRAME_MAX)
			sock_drop(sock.len - NONCE_SIZE);
		return false;
	}
	skip = at - sock.in;
	if (sock.len < skip + sizeof(*ready))
		return false;
	memcpy(ready, at, sizeof(*ready));
	sock_drop(skip + sizeof(*ready));
	return true;
}

static void session_open(struct ready *ready, int64_t patience_ms)
{
	struct pollfd p = {.fd = sock.fd, .events = POLLIN};
	int64_t deadline = mono_ms() + patience_ms;
	uint8_t nonce[NONCE_SIZE];

	hello_send(nonce);
	while (!find_ready(nonce, ready)) {
		if (mono_ms() >= deadline)
			bed_failed("hung", "L1 does not answer");
		if (signal_got)
			exit(128 + signal_got);
		wait_event(&p, deadline);
		if (p.revents)
			sock_fill();
	}
}

static int ping(const struct ready *ready)
{
	if (ready->kvm_errno) {
		fprintf(stderr, "bed: L1 has no usable /dev/kvm: %s\n", strerror(ready->kvm_errno));
		return STATUS_BED;
	}
	printf("%.64s\n", ready->release);
	return 0;
}

/* ---- running a job ------------------------------------------------------- */

struct blob {
	char *p;
	size_t len;
};

static void blob_add(struct blob *blob, const void *p, size_t len)
{
	blob->p = realloc(blob->p, blob->len + len);
	if (!blob->p)
		abort();
	memcpy(blob->p + blob->len, p, len);
	blob->len += len;
}

static void blob_add_vector(struct blob *blob, char **strings)
{
	for (; *strings; strings++)
		blob_add(blob, *strings, strlen(*strings) + 1);
}

static uint32_t count(char **strings)
{
	uint32_t n = 0;

	while (strings[n])
		n++;
	return n;
}

static void job_send(char **argv)
{
	struct job job = {.argc = count(argv), .envc = count(environ)};
	struct blob blob = {0};
	char *cwd = getcwd(NULL, 0);

	if (!cwd)
		bed_failed("died", "no working directory");
	blob_add(&blob, &job, sizeof(job));
	blob_add(&blob, cwd, strlen(cwd) + 1);
	blob_add_vector(&blob, argv);
	blob_add_vector(&blob, environ);
	for (size_t off = 0; off < blob.len; off += FRAME_BODY) {
		size_t left = blob.len - off;

		frame_send(FRAME_JOB, blob.p + off, left < FRAME_BODY ? left : FRAME_BODY);
	}
	frame_send(FRAME_START, NULL, 0);
	job_started = true;
	free(blob.p);
	free(cwd);
}

static void stop_ask(int sig, int status)
{
	frame_send_u32(FRAME_SIGNAL, sig);
	stop.stage = ASKED;
	stop.status = status;
	stop.deadline = mono_ms() + TERM_MS;
}

/* The next step when patience is over. */
static void stop_escalate(long long timeout_s)
{
	switch (stop.stage) {
	case RUNNING:
		fprintf(stderr, "bed: out of time after %lld s\n", timeout_s);
		stop_ask(SIGTERM, STATUS_TIMEOUT);
		break;
	case ASKED:
		frame_send_u32(FRAME_SIGNAL, SIGKILL);
		stop.stage = KILLED;
		stop.deadline = mono_ms() + KILL_MS;
		break;
	case KILLED:
		bed_failed("hung", "L1 does not answer, the job cannot be stopped");
	}
}

static void output_close(int fd)
{
	pending.closed[fd] = true;
	pending.len = 0;
	frame_send_u32(FRAME_CLOSE, fd);
}

static void output_write(void)
{
	size_t len = pending.len < CHUNK ? pending.len : CHUNK;
	ssize_t n = write(pending.fd, pending.p, len);

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n < 0) {
		output_close(pending.fd);
		return;
	}
	pending.p += n;
	pending.len -= n;
}

static void output_begin(int fd, const uint8_t *p, size_t len)
{
	pending.fd = fd;
	pending.p = p;
	pending.len = pending.closed[fd] ? 0 : len;
}

static int job_status(const uint8_t *body, size_t len)
{
	uint32_t status = STATUS_BED;

	if (len == sizeof(status))
		memcpy(&status, body, len);
	return stop.stage == RUNNING ? (int)status : stop.status;
}

_Noreturn static void job_refused(const uint8_t *body, size_t len)
{
	char why[256];

	snprintf(why, sizeof(why), "L1 refused the job: %.*s", (int)len, (const char *)body);
	job_started = false;
	bed_failed("not-started", why);
}

/* Handle the first frame, if it is all there: the job's status or -1. */
static int frame_handle(size_t *size)
{
	struct frame_head head;
	const uint8_t *body = frame_peek(&head);

	*size = 0;
	if (!body)
		return -1;
	*size = sizeof(head) + head.len;
	switch (head.type) {
	case FRAME_OUT:
		output_begin(STDOUT_FILENO, body, head.len);
		break;
	case FRAME_ERR:
		output_begin(STDERR_FILENO, body, head.len);
		break;
	case FRAME_EXIT:
		return job_status(body, head.len);
	case FRAME_REFUSE:
		job_refused(body, head.len);
	}
	return -1;
}

/* Wait for the socket, or for the reader of our output: never for both. */
static void step(int64_t deadline)
{
	struct pollfd p = {.fd = sock.fd, .events = POLLIN};

	if (pending.len)
		p = (struct pollfd){.fd = pending.fd, .events = POLLOUT};
	wait_event(&p, deadline);
	if (!p.revents)
		return;
	if (pending.len)
		output_write();
	else
		sock_fill();
}

static int job_run(char **argv, long long timeout_s)
{
	size_t frame = 0; /* the one pending output points into */
	int status;

	stop.deadline = mono_ms() + timeout_s * MS_PER_S;
	job_send(argv);
	for (;;) {
		/* Output without a reader must not hide that a job was killed. */
		if (stop.stage == KILLED)
			pending.len = 0;
		while (!pending.len) {
			sock_drop(frame);
			status = frame_handle(&frame);
			if (status >= 0)
				return status;
			if (!frame)
				break;
		}
		step(stop.deadline);
		if (signal_got && stop.stage == RUNNING)
			stop_ask(signal_got, 128 + signal_got);
		else if (mono_ms() >= stop.deadline)
			stop_escalate(timeout_s);
	}
}

static int usage(void)
{
	fputs("usage: client --timeout SECONDS [--verdict FILE] {--ping SOCKET | SOCKET CMD...}\n",
		stderr);
	return STATUS_BED;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"timeout", required_argument, NULL, 't'},
		{"verdict", required_argument, NULL, 'v'},
		{"ping", no_argument, NULL, 'p'},
		{0},
	};
	long long timeout_s = 0;
	bool want_ping = false;
	struct ready ready;
	int opt;

	while ((opt = getopt_long(argc, argv, "+", options, NULL)) != -1) {
		switch (opt) {
		case 't':
			timeout_s = atoll(optarg);
			break;
		case 'v':
			verdict_file = optarg;
			break;
		case 'p':
			want_ping = true;
			break;
		default:
			return usage();
		}
	}
	if (optind >= argc || timeout_s <= 0 || want_ping != (optind + 1 == argc))
		return usage();
	signals_init();
	sock_connect(argv[optind]);
	session_open(&ready, want_ping ? timeout_s * MS_PER_S : READY_MS);
	return want_ping ? ping(&ready) : job_run(argv + optind + 1, timeout_s);
}
