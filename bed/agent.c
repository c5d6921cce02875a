/* SPDX-License-Identifier: MIT */
/*
 * agent [SECONDS] - process 1 of L1: takes jobs from bed/client over a
 * virtio-serial port.  After SECONDS without a job it ends L1.
 *
 * One thread, one loop.  Every descriptor is non-blocking and edge-triggered:
 * any event runs all steps until each has nothing left to do.  (Level-triggered
 * polling would spin: a port without a client reports EPOLLHUP for ever.)
 */
#define _GNU_SOURCE
#include "frame.h"
#include "job.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <linux/kvm.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S        1000000000LL
#define CLOCK_SLACK_NS  (20 * NS_PER_S / 1000)
#define PORT_PATTERN    "/dev/vport*p1"
#define PORT_WAIT_US    5000
#define PORT_WAIT_TRIES 2000

static int epoll_fd;
static int child_fd;  /* signalfd of SIGCHLD */
static int kvm_errno; /* what kvm_hold() said */

static struct {
	int fd;
	bool connected; /* as of the last poll */
	uint8_t in[FRAME_MAX];
	size_t in_len;
	uint8_t out[FRAME_MAX]; /* one frame; the next is made when this one is gone */
	size_t out_off, out_len;
} port;

static struct {
	bool ready_due; /* a client said HELLO and has no answer yet */
	bool exit_due;  /* a client started a job and has no answer yet */
	uint8_t nonce[NONCE_SIZE];
	char *blob; /* struct job and strings, as far as they have come */
	size_t blob_len;
} session;

static struct {
	pid_t pid;  /* of the supervisor; 0: no job */
	int out[2]; /* read ends of its standard output and error; -1: closed */
	int turn;   /* the one to read next */
	struct job_result *result;
} job = {.out = {-1, -1}};

_Noreturn static void die(const char *what)
{
	fprintf(stderr, "bed agent: %s: %s\n", what, strerror(errno));
	exit(1); /* panics L1, which ends QEMU, which the client notices */
}

static void watch(int fd)
{
	struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLET};

	if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) ||
		epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &ev))
		die("watch");
}

/* ---- KVM ----------------------------------------------------------------- */

/*
 * Make a virtual machine with one VCPU and keep it for ever, for two reasons.
 * It proves that KVM works.  And KVM's first VM and first VCPU switch static keys,
 * as do the last ones: that patches the scheduler's code, which QEMU then has to
 * translate anew, for each job.
 */
static int kvm_hold(void)
{
	int kvm, vm;

	kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (kvm < 0)
		return errno;
	vm = ioctl(kvm, KVM_CREATE_VM, 0);
	if (vm < 0 || ioctl(vm, KVM_CREATE_IRQCHIP, 0) || ioctl(vm, KVM_CREATE_VCPU, 0) < 0)
		return errno;
	return 0;
}

/* ---- frames out ---------------------------------------------------------- */

static void *frame_body(void)
{
	return port.out + sizeof(struct frame_head);
}

static void frame_emit(enum frame_type type, size_t len)
{
	struct frame_head head = {.type = type, .len = len};

	memcpy(port.out, &head, sizeof(head));
	port.out_off = 0;
	port.out_len = sizeof(head) + len;
}

/* True when the last frame is gone and a new one may be made. */
static bool port_flush(void)
{
	while (port.out_off < port.out_len) {
		ssize_t n = write(port.fd, port.out + port.out_off, port.out_len - port.out_off);

		if (n < 0)
			return false;
		port.out_off += n;
	}
	return true;
}

static void emit_ready(void)
{
	struct ready ready = {.kvm_errno = kvm_errno};
	struct utsname uts;

	uname(&uts);
	snprintf(ready.release, sizeof(ready.release), "%.63s", uts.release);
	memcpy(ready.nonce, session.nonce, NONCE_SIZE);
	memcpy(frame_body(), &ready, sizeof(ready));
	frame_emit(FRAME_READY, sizeof(ready));
	session.ready_due = false;
}

static void emit_exit(void)
{
	uint32_t status = job.result->finished ? job.result->status : 128 + SIGKILL;
	size_t len = strlen(job.result->refusal);

	session.exit_due = false;
	if (len) {
		memcpy(frame_body(), job.result->refusal, len);
		frame_emit(FRAME_REFUSE, len);
		return;
	}
	memcpy(frame_body(), &status, sizeof(status));
	frame_emit(FRAME_EXIT, sizeof(status));
}

/* ---- the job ------------------------------------------------------------- */

static void output_close(int which)
{
	if (job.out[which] >= 0)
		close(job.out[which]); /* leaves the epoll set by itself */
	job.out[which] = -1;
}

static void job_abort(void)
{
	if (job.pid)
		kill(job.pid, SIGKILL);
	output_close(0);
	output_close(1);
	session.exit_due = false;
}

/* Move a piece of one output to the port; false when there is none now. */
static bool output_pass(int which)
{
	ssize_t n;

	if (job.out[which] < 0)
		return false;
	n = read(job.out[which], frame_body(), FRAME_BODY);
	if (n < 0)
		return false;
	if (!n) {
		output_close(which);
		return false;
	}
	frame_emit(which ? FRAME_ERR : FRAME_OUT, n);
	return true;
}

/* Both outputs in turn, so that a loud one cannot silence the other. */
static bool output_pass_any(void)
{
	job.turn = !job.turn;
	return output_pass(job.turn) || output_pass(!job.turn);
}

static bool outputs_open(void)
{
	return job.out[0] >= 0 || job.out[1] >= 0;
}

static void refuse(const char *why)
{
	snprintf(job.result->refusal, sizeof(job.result->refusal), "%s", why);
	session.exit_due = true;
}

/* Cut the session's blob into strings: false if it is no well-formed job. */
static bool job_parse(struct job_spec *spec)
{
	char *s = session.blob, *end = s + session.blob_len;
	struct job count;
	char **vec;

	if (session.blob_len < sizeof(count) || end[-1])
		return false;
	memcpy(&count, s, sizeof(count));
	if (!count.argc || count.argc > JOB_MAX || count.envc > JOB_MAX)
		return false;
	vec = calloc((size_t)count.argc + count.envc + 2, sizeof(*vec));
	if (!vec)
		return false;
	spec->argv = vec;
	spec->envp = vec + count.argc + 1;
	spec->cwd = s + sizeof(count);
	s = (char *)spec->cwd;
	for (size_t i = 0; i < (size_t)count.argc + count.envc; i++) {
		if (s < end)
			s += strlen(s) + 1;
		if (s >= end)
			return false;
		vec[i + (i >= count.argc)] = s;
	}
	return true;
}

static void job_launch(const struct job_spec *parsed)
{
	struct job_spec spec = *parsed;
	int out[2], err[2];

	if (pipe2(out, O_CLOEXEC) || pipe2(err, O_CLOEXEC))
		die("pipe2");
	spec.out = out[1];
	spec.err = err[1];
	job.pid = job_spawn(&spec, job.result);
	close(out[1]);
	close(err[1]);
	if (job.pid < 0) {
		job.pid = 0;
		refuse("clone failed");
	}
	job.out[0] = out[0];
	job.out[1] = err[0];
	watch(out[0]);
	watch(err[0]);
	session.exit_due = true;
}

static void blob_drop(void)
{
	free(session.blob);
	session.blob = NULL;
	session.blob_len = 0;
}

/* ---- frames in ----------------------------------------------------------- */

/* Software emulation lets clocks drift; make compares time stamps. */
static void set_clock(int64_t now_ns)
{
	struct timespec ts;
	int64_t off;

	clock_gettime(CLOCK_REALTIME, &ts);
	off = now_ns - (ts.tv_sec * NS_PER_S + ts.tv_nsec);
	if (llabs(off) < CLOCK_SLACK_NS)
		return;
	ts.tv_sec = now_ns / NS_PER_S;
	ts.tv_nsec = now_ns % NS_PER_S;
	clock_settime(CLOCK_REALTIME, &ts);
}

static void on_hello(const void *body, size_t len)
{
	struct hello hello;

	if (len != sizeof(hello))
		return;
	memcpy(&hello, body, sizeof(hello));
	job_abort();
	blob_drop();
	port.out_len = 0; /* the client skips to its nonce, half frames do no harm */
	set_clock(hello.now_ns);
	memcpy(session.nonce, hello.nonce, NONCE_SIZE);
	session.ready_due = true;
}

static void on_job(const void *body, size_t len)
{
	char *blob;

	if (session.blob_len + len > JOB_MAX)
		return;
	blob = realloc(session.blob, session.blob_len + len);
	if (!blob)
		return;
	memcpy(blob + session.blob_len, body, len);
	session.blob = blob;
	session.blob_len += len;
}

static void on_start(void)
{
	struct job_spec spec;

	if (job.pid || session.exit_due)
		return;
	memset(job.result, 0, sizeof(*job.result));
	if (job_parse(&spec)) {
		job_launch(&spec);
		free(spec.argv);
	} else {
		refuse("malformed job (more than 8 MiB of arguments and environment?)");
	}
	blob_drop();
}

static void on_frame(enum frame_type type, const void *body, size_t len)
{
	uint32_t value = 0;

	if (len == sizeof(value))
		memcpy(&value, body, len);
	switch (type) {
	case FRAME_HELLO:
		on_hello(body, len);
		break;
	case FRAME_JOB:
		on_job(body, len);
		break;
	case FRAME_START:
		on_start();
		break;
	case FRAME_SIGNAL:
		if (job.pid && value)
			kill(job.pid, value);
		break;
	case FRAME_CLOSE:
		if (value == 1 || value == 2)
			output_close(value - 1);
		break;
	default:
		break; /* of an earlier client: the next HELLO starts afresh */
	}
}

/* Bytes used up at the front of the buffer; 0: wait for more. */
static size_t frame_take(const uint8_t *p, size_t len)
{
	struct frame_head head;

	if (len && !p[0])
		return 1;
	if (len < sizeof(head))
		return 0;
	memcpy(&head, p, sizeof(head));
	if (head.len > FRAME_BODY)
		return 1;
	if (len < sizeof(head) + head.len)
		return 0;
	on_frame(head.type, p + sizeof(head), head.len);
	return sizeof(head) + head.len;
}

static void port_parse(void)
{
	size_t used = 0, n;

	while ((n = frame_take(port.in + used, port.in_len - used)))
		used += n;
	port.in_len -= used;
	memmove(port.in, port.in + used, port.in_len);
}

static void port_read(void)
{
	ssize_t n;

	for (;;) {
		n = read(port.fd, port.in + port.in_len, sizeof(port.in) - port.in_len);
		if (n <= 0)
			return;
		port.in_len += n;
		port_parse();
	}
}

/*
 * A client that went away without waiting for its job has been killed.  Only a
 * change counts: at connection, data may arrive before the news of it.
 */
static void port_check_client(void)
{
	struct pollfd p = {.fd = port.fd};
	bool connected;

	poll(&p, 1, 0);
	connected = !(p.revents & POLLHUP);
	if (port.connected && !connected)
		job_abort();
	port.connected = connected;
}

/* ---- main ---------------------------------------------------------------- */

static void reap(void)
{
	struct signalfd_siginfo drop;
	pid_t pid;

	while (read(child_fd, &drop, sizeof(drop)) > 0)
		;
	while ((pid = waitpid(-1, NULL, WNOHANG)) > 0) {
		if (pid == job.pid)
			job.pid = 0;
	}
}

/* Answers come only when the last job is gone for good. */
static void port_write(void)
{
	while (port_flush()) {
		if (output_pass_any())
			continue;
		if (job.pid || outputs_open())
			return;
		if (session.ready_due)
			emit_ready();
		else if (session.exit_due)
			emit_exit();
		else
			return;
	}
}

/*
 * The port appears some time after its driver: nothing to wait on but time.  Its
 * device is numbered among all of virtio, but only a serial port is called p1.
 */
static int port_open(void)
{
	glob_t found;
	int fd = -1;

	for (int i = 0; i < PORT_WAIT_TRIES; i++) {
		if (!glob(PORT_PATTERN, 0, NULL, &found)) {
			fd = open(found.gl_pathv[0], O_RDWR | O_CLOEXEC);
			globfree(&found);
		}
		if (fd >= 0)
			return fd;
		usleep(PORT_WAIT_US);
	}
	die(PORT_PATTERN);
}

static void init(void)
{
	struct rlimit files = {1024, 524288}; /* as systemd does */
	sigset_t set;

	setrlimit(RLIMIT_NOFILE, &files);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	child_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	job.result = mmap(NULL, sizeof(*job.result), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (epoll_fd < 0 || child_fd < 0 || job.result == MAP_FAILED)
		die("init");
	kvm_errno = kvm_hold();
	port.fd = port_open();
	watch(port.fd);
	watch(child_fd);
}

/* QEMU runs with -no-reboot: it ends. */
_Noreturn static void end_l1(void)
{
	reboot(RB_AUTOBOOT);
	die("reboot");
}

int main(int argc, char **argv)
{
	int idle_ms = argc > 1 ? atoi(argv[1]) * 1000 : 0;
	struct epoll_event ev[8];

	init();
	for (;;) {
		bool idle;
		int n;

		port_check_client();
		port_read();
		reap();
		port_write();
		idle = idle_ms > 0 && !job.pid && !outputs_open();
		n = epoll_wait(epoll_fd, ev, 8, idle ? idle_ms : -1);
		if (n < 0 && errno != EINTR)
			die("epoll_wait");
		if (n == 0)
			end_l1();
	}
}
