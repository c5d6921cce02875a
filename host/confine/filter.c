/* SPDX-License-Identifier: MIT */
#include "confine/filter.h"

#include <asm/ioctls.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/if_tun.h>
#include <linux/io_uring.h>
#include <linux/sockios.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/filter.h>
#include <linux/seccomp.h>

#include "hyper/kvm/requests.h"

/* ---- the table ----------------------------------------------------------- */

/* Columns. ALL of a row is the process, and so every thread that does not narrow itself: control,
 * helpers, openers, signals. */
#define ALL    (1u << THREAD_HELPER)
#define VP     (ALL | 1u << THREAD_VP)
#define LOOP   (ALL | 1u << THREAD_LOOP)
#define TIMER  (ALL | 1u << THREAD_TIMER)
#define WRITER (ALL | 1u << THREAD_WRITER)
#define EVERY  (VP | LOOP | TIMER | WRITER)

#define ANY                                                                                        \
	{                                                                                          \
		0                                                                                  \
	}
#define IS(n, v)                                                                                   \
	{                                                                                          \
		.arg = (n), .op = SCMP_CMP_MASKED_EQ, .a = 0xFFFFFFFF, .b = (uint32_t)(v)          \
	}
#define BITS(n, mask, v)                                                                           \
	{                                                                                          \
		.arg = (n), .op = SCMP_CMP_MASKED_EQ, .a = (mask), .b = (v)                        \
	}

/* Whatever else a new thread is, it is a thread of this process, in its name spaces. */
#define CLONE_CHECKED                                                                              \
	(CLONE_VM | CLONE_THREAD | CLONE_NEWNS | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET |     \
		CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP)
#define KVM_REQUEST BITS(1, 0xFF00, KVM_REQUEST_TYPE << 8)
#define OWN_PID     UINT64_MAX /* in a row: replaced when filters are made */

struct condition {
	unsigned int arg;
	int op; /* 0: none */
	uint64_t a, b;
};

/* One way in which a call may be made; several rows of a call are alternatives. */
static const struct row {
	int call;
	unsigned int kinds;
	struct condition condition;
} rows[] = {
	/* memory; none of it becomes code */
	{SCMP_SYS(brk), EVERY, ANY},
	{SCMP_SYS(madvise), EVERY, ANY},
	{SCMP_SYS(mmap), EVERY, BITS(2, PROT_EXEC, 0)},
	{SCMP_SYS(mprotect), EVERY, BITS(2, PROT_EXEC, 0)},
	{SCMP_SYS(mremap), EVERY, ANY},
	{SCMP_SYS(munmap), EVERY, ANY},
	{SCMP_SYS(memfd_create), ALL, ANY},
	/* threads and signals */
	{SCMP_SYS(futex), EVERY, ANY},
	{SCMP_SYS(clone), ALL, BITS(0, CLONE_CHECKED, CLONE_VM | CLONE_THREAD)},
	{SCMP_SYS(set_robust_list), EVERY, ANY},
	{SCMP_SYS(rseq), EVERY, ANY},
	{SCMP_SYS(exit), EVERY, ANY},
	{SCMP_SYS(exit_group), EVERY, ANY},
	{SCMP_SYS(restart_syscall), EVERY, ANY},
	{SCMP_SYS(gettid), EVERY, ANY},
	{SCMP_SYS(getpid), EVERY, ANY},
	{SCMP_SYS(sched_yield), EVERY, ANY},
	{SCMP_SYS(sched_getaffinity), EVERY, ANY},
	{SCMP_SYS(sched_setaffinity), LOOP, ANY},
	{SCMP_SYS(getcpu), EVERY, ANY},
	{SCMP_SYS(rt_sigprocmask), EVERY, ANY},
	{SCMP_SYS(rt_sigreturn), EVERY, ANY},
	{SCMP_SYS(rt_sigtimedwait), VP, ANY},
	{SCMP_SYS(rt_sigaction), ALL, {.arg = 0, .op = SCMP_CMP_NE, .a = SIGSYS}},
	{SCMP_SYS(tgkill), EVERY, IS(0, OWN_PID)},
	{SCMP_SYS(timer_create), VP, ANY},
	{SCMP_SYS(timer_settime), VP, ANY},
	{SCMP_SYS(timer_delete), VP, ANY},
	{SCMP_SYS(prctl), ALL, IS(0, PR_SET_NAME)},
	{SCMP_SYS(seccomp), ALL, IS(0, SECCOMP_SET_MODE_FILTER)},
	{SCMP_SYS(wait4), ALL, ANY},
	{SCMP_SYS(prlimit64), ALL, {.arg = 2, .op = SCMP_CMP_EQ, .a = 0}},
	/* time, and what the machine is */
	{SCMP_SYS(clock_gettime), EVERY, ANY},
	{SCMP_SYS(clock_getres), EVERY, ANY},
	{SCMP_SYS(gettimeofday), EVERY, ANY},
	{SCMP_SYS(clock_nanosleep), VP, ANY},
	{SCMP_SYS(getrandom), EVERY, ANY},
	{SCMP_SYS(sysinfo), EVERY, ANY}, /* qsort() of glibc */
	{SCMP_SYS(uname), ALL, ANY},
	{SCMP_SYS(getuid), ALL, ANY},
	{SCMP_SYS(geteuid), ALL, ANY},
	{SCMP_SYS(getpgrp), ALL, ANY},
	/* files that are open */
	{SCMP_SYS(read), EVERY, ANY},
	{SCMP_SYS(write), EVERY, ANY},
	{SCMP_SYS(close), EVERY, ANY},
	{SCMP_SYS(poll), EVERY, ANY}, /* the log polls before it writes */
	{SCMP_SYS(ppoll), EVERY, ANY},
	{SCMP_SYS(lseek), LOOP | WRITER, ANY},
	{SCMP_SYS(pread64), LOOP, ANY},
	{SCMP_SYS(pwrite64), LOOP | WRITER, ANY},
	{SCMP_SYS(readv), LOOP, ANY},
	{SCMP_SYS(writev), LOOP | WRITER, ANY},
	{SCMP_SYS(preadv), LOOP, ANY},
	{SCMP_SYS(pwritev), LOOP, ANY},
	{SCMP_SYS(preadv2), LOOP, ANY},
	{SCMP_SYS(pwritev2), LOOP, ANY},
	{SCMP_SYS(fstat), LOOP | WRITER, ANY},
	{SCMP_SYS(newfstatat), LOOP | WRITER, ANY}, /* glibc's fstat() */
	{SCMP_SYS(fstatfs), ALL, ANY},
	{SCMP_SYS(ftruncate), WRITER, ANY},
	{SCMP_SYS(utimensat), ALL, IS(1, 0)}, /* futimens() */
	{SCMP_SYS(fallocate), ALL, ANY},
	{SCMP_SYS(fsync), ALL, ANY},
	{SCMP_SYS(fdatasync), ALL, ANY},
	{SCMP_SYS(flock), ALL, ANY},
	{SCMP_SYS(dup3), ALL, ANY},
	{SCMP_SYS(fcntl), LOOP, IS(1, F_GETFL)},
	{SCMP_SYS(fcntl), LOOP, IS(1, F_SETFL)},
	{SCMP_SYS(fcntl), LOOP, IS(1, F_GETFD)},
	{SCMP_SYS(fcntl), LOOP, IS(1, F_SETFD)},
	{SCMP_SYS(fcntl), LOOP, IS(1, F_DUPFD_CLOEXEC)}, /* NBD */
	{SCMP_SYS(fcntl), ALL, IS(1, F_OFD_SETLK)},
	{SCMP_SYS(fcntl), ALL, IS(1, F_ADD_SEALS)},
	{SCMP_SYS(fcntl), ALL, IS(1, F_GET_SEALS)},
	{SCMP_SYS(eventfd2), VP | LOOP, ANY},
	/* rings */
	{SCMP_SYS(io_uring_enter), LOOP, ANY},
	{SCMP_SYS(io_uring_setup), ALL, ANY},
	{SCMP_SYS(io_uring_register), ALL, IS(1, IORING_REGISTER_RESTRICTIONS)},
	{SCMP_SYS(io_uring_register), LOOP, IS(1, IORING_REGISTER_ENABLE_RINGS)},
	{SCMP_SYS(io_uring_register), LOOP, IS(1, IORING_REGISTER_IOWQ_MAX_WORKERS)},
	{SCMP_SYS(io_uring_register), LOOP, IS(1, IORING_REGISTER_BUFFERS)},
	{SCMP_SYS(io_uring_register), LOOP, IS(1, IORING_UNREGISTER_BUFFERS)},
	/* sockets that are connected, and the calls of the broker */
	{SCMP_SYS(socketpair), ALL, IS(0, AF_UNIX)},
	{SCMP_SYS(sendmsg), LOOP, ANY}, /* passt */
	{SCMP_SYS(recvmsg), ALL, ANY},
	{SCMP_SYS(sendto), LOOP, ANY},
	{SCMP_SYS(recvfrom), LOOP, ANY}, /* NBD */
	{SCMP_SYS(getsockopt), LOOP, ANY},
	{SCMP_SYS(setsockopt), LOOP, ANY},
	{SCMP_SYS(shutdown), LOOP, ANY},
	/* KVM: control makes partitions; what others may is in hyper/kvm/requests.c */
	{SCMP_SYS(ioctl), ALL, KVM_REQUEST},
	/* the console, disks, TAPs */
	{SCMP_SYS(ioctl), WRITER, IS(1, TCGETS)}, /* stdio asks whether a file is a terminal */
	{SCMP_SYS(ioctl), ALL, IS(1, TCSETS)},
	{SCMP_SYS(ioctl), ALL, IS(1, TIOCGPGRP)},
	{SCMP_SYS(ioctl), LOOP, IS(1, BLKGETSIZE64)},
	{SCMP_SYS(ioctl), ALL, IS(1, BLKROGET)},
	{SCMP_SYS(ioctl), ALL, IS(1, BLKPBSZGET)},
	{SCMP_SYS(ioctl), ALL, IS(1, BLKSSZGET)},
	{SCMP_SYS(ioctl), ALL, IS(1, FS_IOC_GETVERSION)},
	{SCMP_SYS(ioctl), LOOP, IS(1, TUNGETIFF)},
	{SCMP_SYS(ioctl), ALL, IS(1, TUNSETOFFLOAD)},
	{SCMP_SYS(ioctl), ALL, IS(1, TUNSETCARRIER)},
	{SCMP_SYS(ioctl), ALL, IS(1, TUNSETQUEUE)},
	{SCMP_SYS(ioctl), ALL, IS(1, TUNSETVNETHDRSZ)},
	{SCMP_SYS(ioctl), ALL, IS(1, TUNSETVNETLE)},
	{SCMP_SYS(ioctl), ALL, IS(1, TUNSETSNDBUF)},
	{SCMP_SYS(ioctl), ALL, IS(1, SIOCGIFFLAGS)},
	{SCMP_SYS(ioctl), ALL, IS(1, SIOCGIFMTU)},
	{SCMP_SYS(ioctl), ALL, IS(1, SIOCGIFINDEX)},
};

/* What fails, and does not end the process: libraries try it, and do without. */
static const struct {
	int call;
	uint16_t error;
} refused[] = {
	{SCMP_SYS(openat), EACCES}, /* glibc: /proc/sys/vm/overcommit_memory when a heap shrinks */
	{SCMP_SYS(readlink), EACCES},
	{SCMP_SYS(clone3), ENOSYS}, /* its flags are in memory; clone() follows */
};

/* ---- filters ------------------------------------------------------------- */

static struct sock_fprog programs[THREAD_KINDS];

static int add_row(scmp_filter_ctx ctx, const struct row *row)
{
	const struct condition *c = &row->condition;
	struct scmp_arg_cmp compare = {
		.arg = c->arg, .op = (enum scmp_compare)c->op, .datum_a = c->a, .datum_b = c->b};

	if (row->call == SCMP_SYS(tgkill))
		compare.datum_b = (scmp_datum_t)getpid();
	return seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, row->call, c->op ? 1 : 0, &compare);
}

static int add_rows(scmp_filter_ctx ctx, enum thread_kind kind)
{
	int ret = 0;

	for (size_t i = 0; !ret && i < sizeof(rows) / sizeof(rows[0]); i++)
		if (rows[i].kinds >> kind & 1)
			ret = add_row(ctx, &rows[i]);
	for (size_t i = 0; !ret && i < sizeof(refused) / sizeof(refused[0]); i++)
		ret = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(refused[i].error), refused[i].call, 0);
	return ret;
}

static int add_requests(scmp_filter_ctx ctx, const uint32_t *requests)
{
	int ret = 0;

	for (; !ret && *requests; requests++) {
		const struct row row = {SCMP_SYS(ioctl), 0, IS(1, *requests)};

		ret = add_row(ctx, &row);
	}
	return ret;
}

/* The process has the whole type already. */
static int add_kvm(scmp_filter_ctx ctx, enum thread_kind kind)
{
	int ret = 0;

	if (kind == THREAD_VP)
		ret = add_requests(ctx, kvm_requests_vp);
	if (!ret && (kind == THREAD_VP || kind == THREAD_LOOP || kind == THREAD_TIMER))
		ret = add_requests(ctx, kvm_requests_interrupt);
	return ret;
}

/* libseccomp writes to files only. */
static int export(scmp_filter_ctx ctx, struct sock_fprog *program)
{
	int fd = memfd_create("filter", MFD_CLOEXEC), ret;
	off_t size;

	if (fd < 0)
		return -errno;
	ret = seccomp_export_bpf(ctx, fd);
	size = lseek(fd, 0, SEEK_END);
	program->filter = ret || size <= 0 ? NULL : malloc((size_t)size);
	program->len = (unsigned short)((size_t)size / sizeof(struct sock_filter));
	if (!ret && (!program->filter || pread(fd, program->filter, (size_t)size, 0) != size))
		ret = -ENOMEM;
	close(fd);
	return ret;
}

/* A foreign architecture's calls end the process without a word. */
static int make(enum thread_kind kind)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_TRAP);
	int ret = ctx ? 0 : -ENOMEM;

	if (!ret)
		ret = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	if (!ret)
		ret = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a binary tree */
	if (!ret)
		ret = add_rows(ctx, kind);
	if (!ret)
		ret = add_kvm(ctx, kind);
	if (!ret)
		ret = export(ctx, &programs[kind]);
	if (ctx)
		seccomp_release(ctx);
	return ret;
}

int filters_make(struct err *e)
{
	int ret = 0;

	for (int kind = 0; !ret && kind < THREAD_KINDS; kind++)
		ret = make((enum thread_kind)kind);
	return ret ? err_set(e, ret, "sandbox: seccomp filters: %s", strerror(-ret)) : 0;
}

static int install(enum thread_kind kind)
{
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &programs[kind]) ? -errno : 0;
}

/* ---- what happens to a call that is in no row ---------------------------- */

static _Thread_local const char *thread_name = "control or a helper";

static const char *const kind_names[THREAD_KINDS] = {
	[THREAD_VP] = "a VP",
	[THREAD_LOOP] = "an I/O thread",
	[THREAD_TIMER] = "the timer thread",
	[THREAD_WRITER] = "a writer",
	[THREAD_HELPER] = "control or a helper",
};

/* The handler is used up: the second forbidden call ends the process by the signal itself. */
static void on_sigsys(int signal, siginfo_t *info, void *context)
{
	char line[128];
	int length = snprintf(line, sizeof(line),
		"enlite: sandbox: %s made system call %d, which it may not; ending\n", thread_name,
		info->si_syscall);
	ssize_t n = write(STDERR_FILENO, line, (size_t)length);

	(void)n;
	syscall(SYS_reboot, 0, 0, 0, NULL);
	_exit(128 + signal);
}

int filter_process(void)
{
	struct sigaction action = {
		.sa_sigaction = on_sigsys, .sa_flags = SA_SIGINFO | (int)SA_RESETHAND | SA_NODEFER};

	if (sigaction(SIGSYS, &action, NULL))
		return -errno;
	return install(THREAD_HELPER);
}

void filter_thread(enum thread_kind kind)
{
	thread_name = kind_names[kind];
	if (kind != THREAD_HELPER && install(kind))
		_exit(EXIT_FAILURE);
}
