/* SPDX-License-Identifier: MIT */
#include "attempts.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/broker.h"
#include "base/files.h"
#include "base/unix_socket.h"

static long or_error(long ret)
{
	return ret < 0 ? -errno : ret;
}

/* A system call with up to three arguments, as an attempt. */
#define CALL(name, ...)                                                                            \
	static long name(struct place *p)                                                          \
	{                                                                                          \
		return or_error(syscall(__VA_ARGS__));                                             \
	}

/* ---- files --------------------------------------------------------------- */

CALL(open_canary, SYS_openat, AT_FDCWD, p->canary, O_RDONLY)
CALL(open_passwd, SYS_openat, AT_FDCWD, "/etc/passwd", O_RDONLY)
CALL(old_open, SYS_open, p->canary, O_RDONLY)
CALL(create, SYS_creat, "/tmp/made", 0600)
CALL(openat2, SYS_openat2, AT_FDCWD, p->canary, NULL, 0)
CALL(open_handle, SYS_open_by_handle_at, AT_FDCWD, NULL, O_RDONLY)
CALL(open_self_mem, SYS_openat, AT_FDCWD, "/proc/self/mem", O_RDWR)
CALL(reopen_fd, SYS_openat, AT_FDCWD, "/proc/self/fd/0", O_RDWR)
CALL(list_broker, SYS_openat, AT_FDCWD, "/proc/1/fd", O_RDONLY | O_DIRECTORY)
CALL(set_oom_score, SYS_openat, AT_FDCWD, "/proc/self/oom_score_adj", O_WRONLY)
CALL(change_mode, SYS_chmod, p->canary, 0777)
CALL(rename_canary, SYS_rename, p->canary, "/tmp/gone")
CALL(unlink_canary, SYS_unlink, p->canary)
CALL(link_canary, SYS_link, p->canary, "/tmp/linked")
CALL(make_node, SYS_mknod, "/tmp/node", S_IFCHR | 0600, 0x101)
CALL(name_to_handle, SYS_name_to_handle_at, AT_FDCWD, "/", NULL, NULL, 0)
CALL(getdents, SYS_getdents64, 0, NULL, 0)
CALL(splice_fd, SYS_splice, 0, NULL, 1, NULL, 1, 0)
CALL(vmsplice_fd, SYS_vmsplice, 1, NULL, 0, 0)
CALL(copy_range, SYS_copy_file_range, 0, NULL, 1, NULL, 1, 0)
CALL(write_read_only, SYS_write, p->read_only, "x", 1)
CALL(shrink_memory, SYS_ftruncate, p->memfd, 0)
CALL(make_memfd, SYS_memfd_create, "x", 0)
CALL(shared_memory, SYS_shmget, IPC_PRIVATE, 4096, 0600)
CALL(inotify, SYS_inotify_init1, 0)
CALL(fanotify, SYS_fanotify_init, 0, 0)
CALL(signal_by_file, SYS_fcntl, 0, F_SETOWN, p->neighbour)
CALL(signal_of_file, SYS_fcntl, 0, F_SETSIG, SIGKILL)
CALL(read_any_fd, SYS_pread64, 200, NULL, 0, 0)

/* ---- the broker ---------------------------------------------------------- */

static long ask_canary(struct place *p)
{
	return or_error(files_open(p->canary, O_RDONLY, 0));
}

static long ask_passwd(struct place *p)
{
	return or_error(files_open("/etc/passwd", O_RDONLY, 0));
}

static long ask_again(struct place *p)
{
	return or_error(files_open(p->named, O_RDONLY, 0));
}

static long ask_to_write(struct place *p)
{
	return or_error(files_open(p->named, O_RDWR, 0));
}

/* Of a file for reservations, which is to be synchronised. */
static long ask_directory(struct place *p)
{
	char *disk = files_realpath(p->named);
	long ret = -EIO;

	if (disk) {
		strrchr(disk, '/')[1] = '\0';
		ret = or_error(files_open(disk, O_RDONLY | O_DIRECTORY, 0));
	}
	free(disk);
	return ret;
}

static long ask_sysfs(struct place *p)
{
	return or_error(files_open("/sys/dev/block/../../kernel/notes", O_RDONLY, 0));
}

static long ask_unlink(struct place *p)
{
	return or_error(files_unlink(p->canary));
}

static long ask_connect(struct place *p)
{
	return unix_socket_connect(p->socket, SOCK_STREAM);
}

static long ask_spawn(struct place *p)
{
	return broker_call_text(BROKER_SPAWN, 0, 0, "/bin/true");
}

static long ask_kill(struct place *p)
{
	return broker_call_text(BROKER_KILL, p->neighbour, 0, "");
}

static long ask_tap(struct place *p)
{
	return broker_call_text(BROKER_TAP, 1, 0, "lo");
}

static long ask_nbd(struct place *p)
{
	return broker_call_text(BROKER_NBD, 0, 0, "nbd://127.0.0.1:22");
}

/* ---- rings --------------------------------------------------------------- */

/* On the thread that owns it from now on. */
static void enable(struct place *p)
{
	syscall(SYS_io_uring_register, p->loop.ring.ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
}

static long submit(struct place *p, void (*prepare)(struct io_uring_sqe *sqe, struct place *p))
{
	struct io_uring *ring = &p->loop.ring;
	struct io_uring_cqe *cqe;
	struct io_uring_sqe *sqe;
	long ret;

	enable(p);
	io_uring_submit(ring); /* the loop's own */
	sqe = io_uring_get_sqe(ring);
	prepare(sqe, p);
	sqe->user_data = 77;
	io_uring_submit(ring);
	do {
		if (io_uring_wait_cqe(ring, &cqe))
			return -EIO;
		ret = cqe->user_data == 77 ? cqe->res : 1;
		io_uring_cqe_seen(ring, cqe);
	} while (ret == 1);
	return ret;
}

#define RING(name, prepare)                                                                        \
	static void name##_prepare(struct io_uring_sqe *sqe, struct place *p)                      \
	{                                                                                          \
		prepare;                                                                           \
	}                                                                                          \
	static long name(struct place *p)                                                          \
	{                                                                                          \
		return submit(p, name##_prepare);                                                  \
	}

RING(ring_open, io_uring_prep_openat(sqe, AT_FDCWD, "/etc/passwd", O_RDONLY, 0))
RING(ring_unlink, io_uring_prep_unlinkat(sqe, AT_FDCWD, p->canary, 0))
RING(ring_rename, io_uring_prep_renameat(sqe, AT_FDCWD, p->canary, AT_FDCWD, "/x", 0))
RING(ring_statx, io_uring_prep_statx(sqe, AT_FDCWD, p->canary, 0, 0, NULL))
RING(ring_socket, io_uring_prep_rw(45, sqe, AF_INET, NULL, 0, SOCK_STREAM))
RING(ring_connect, io_uring_prep_connect(sqe, p->stream, NULL, 0))
RING(ring_personality, (io_uring_prep_read(sqe, 0, NULL, 0, 0), sqe->personality = 1))
RING(ring_other_fd, io_uring_prep_read(sqe, 900, NULL, 0, 0))

static long ring_register(struct place *p, unsigned int op)
{
	enable(p);
	return or_error(syscall(SYS_io_uring_register, p->loop.ring.ring_fd, op, NULL, 0));
}

static long ring_files(struct place *p)
{
	return ring_register(p, IORING_REGISTER_FILES);
}

static long ring_restrict_again(struct place *p)
{
	return ring_register(p, IORING_REGISTER_RESTRICTIONS);
}

static long ring_new(struct place *p)
{
	struct io_uring_params params = {.flags = 0};

	return or_error(syscall(SYS_io_uring_setup, 4, &params));
}

static long ring_sqpoll(struct place *p)
{
	struct io_uring_params params = {.flags = IORING_SETUP_SQPOLL};

	return or_error(syscall(SYS_io_uring_setup, 4, &params));
}

/* ---- sockets ------------------------------------------------------------- */

CALL(inet_socket, SYS_socket, AF_INET, SOCK_STREAM, 0)
CALL(unix_socket, SYS_socket, AF_UNIX, SOCK_STREAM, 0)
CALL(inet_pair, SYS_socketpair, AF_INET, SOCK_STREAM, 0, NULL)
CALL(bind_socket, SYS_bind, p->stream, NULL, 0)
CALL(listen_socket, SYS_listen, p->stream, 1)
CALL(accept_socket, SYS_accept4, p->stream, NULL, NULL, 0)

static long connect_other(struct place *p)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};

	snprintf(to.sun_path, sizeof(to.sun_path), "%s", p->socket);
	return or_error(syscall(SYS_connect, p->stream, &to, sizeof(to)));
}

static long send_descriptor(struct place *p)
{
	return broker_send(p->stream, "x", 1, &p->read_only, 1);
}

/* ---- processes ----------------------------------------------------------- */

CALL(execute, SYS_execve, "/bin/true", NULL, NULL)
CALL(execute_fd, SYS_execveat, p->memfd, "", NULL, NULL, AT_EMPTY_PATH)
CALL(fork_process, SYS_fork)
CALL(vfork_process, SYS_vfork)
CALL(clone_process, SYS_clone, SIGCHLD, 0, 0, 0, 0)
CALL(clone_user_namespace, SYS_clone, CLONE_VM | CLONE_THREAD | CLONE_SIGHAND | CLONE_NEWUSER, 0)
CALL(clone3, SYS_clone3, NULL, 0)
CALL(trace_neighbour, SYS_ptrace, PTRACE_ATTACH, p->neighbour, 0, 0)
CALL(read_neighbour, SYS_process_vm_readv, p->neighbour, NULL, 0, NULL, 0, 0)
CALL(write_neighbour, SYS_process_vm_writev, p->neighbour, NULL, 0, NULL, 0, 0)
CALL(advise_neighbour, SYS_process_madvise, 0, NULL, 0, 0, 0)
CALL(kill_neighbour, SYS_kill, p->neighbour, SIGKILL)
CALL(tkill_neighbour, SYS_tkill, p->neighbour, SIGKILL)
CALL(tgkill_neighbour, SYS_tgkill, p->neighbour, p->neighbour, SIGKILL)
CALL(open_pidfd, SYS_pidfd_open, p->neighbour, 0)
CALL(get_pidfd, SYS_pidfd_getfd, 0, 0, 0)
CALL(signal_pidfd, SYS_pidfd_send_signal, 0, SIGKILL, NULL, 0)
CALL(queue_signal, SYS_rt_sigqueueinfo, p->neighbour, SIGKILL, NULL)
CALL(compare_processes, SYS_kcmp, 1, p->neighbour, 0, 0, 0)
CALL(real_time, SYS_sched_setscheduler, 0, SCHED_FIFO, NULL)
CALL(priority, SYS_setpriority, PRIO_PROCESS, 0, -20)

/* ---- rights -------------------------------------------------------------- */

CALL(mount_any, SYS_mount, "none", "/", "tmpfs", 0, NULL)
CALL(unmount, SYS_umount2, "/", MNT_DETACH)
CALL(pivot, SYS_pivot_root, ".", ".")
CALL(change_root, SYS_chroot, "/")
CALL(open_mount, SYS_fsopen, "tmpfs", 0)
CALL(attach_mount, SYS_move_mount, 0, "", 0, "", 0)
CALL(new_namespace, SYS_unshare, CLONE_NEWUSER)
CALL(enter_namespace, SYS_setns, 0, 0)
CALL(become_root, SYS_setuid, 0)
CALL(become_others, SYS_setresuid, 1, 1, 1)
CALL(set_groups, SYS_setgroups, 0, NULL)
CALL(set_capabilities, SYS_capset, NULL, NULL)
CALL(be_dumpable, SYS_prctl, PR_SET_DUMPABLE, 1)
CALL(allow_tracer, SYS_prctl, PR_SET_PTRACER, p->neighbour)
CALL(ambient, SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, 0, 0, 0)
CALL(set_memory_map, SYS_prctl, PR_SET_MM, 0, 0, 0, 0)
CALL(load_bpf, SYS_bpf, 0, NULL, 0)
CALL(perf, SYS_perf_event_open, NULL, 0, -1, -1, 0)
CALL(add_key, SYS_add_key, "user", "x", "y", 1, -2)
CALL(keyctl, SYS_keyctl, 0, 0)
CALL(request_key, SYS_request_key, "user", "x", NULL, 0)
CALL(load_module, SYS_init_module, NULL, 0, "")
CALL(load_module_fd, SYS_finit_module, 0, "", 0)
CALL(load_kernel, SYS_kexec_load, 0, 0, NULL, 0)
CALL(reboot_host, SYS_reboot, 0, 0, 0, NULL)
CALL(swap_on, SYS_swapon, "/x", 0)
CALL(set_time, SYS_settimeofday, NULL, NULL)
CALL(set_clock, SYS_clock_settime, 0, NULL)
CALL(adjust_clock, SYS_adjtimex, NULL)
CALL(read_kernel_log, SYS_syslog, 3, NULL, 0)
CALL(accounting, SYS_acct, NULL)
CALL(quota, SYS_quotactl, 0, NULL, 0, NULL)
CALL(landlock, SYS_landlock_create_ruleset, NULL, 0, 0)
CALL(strict_seccomp, SYS_seccomp, 0, 0, NULL)
CALL(membarrier, SYS_membarrier, 0, 0, 0)
CALL(change_ldt, SYS_modify_ldt, 1, NULL, 0)
CALL(personality, SYS_personality, 0x0040000)
CALL(user_faults, SYS_userfaultfd, 0)
CALL(io_ports, SYS_iopl, 3)

static long raise_limit(struct place *p)
{
	struct rlimit limit = {1u << 20, 1u << 20};

	return or_error(syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, &limit, NULL));
}

static long take_sigsys(struct place *p)
{
	char action[64] = {0};

	return or_error(syscall(SYS_rt_sigaction, SIGSYS, action, NULL, 8));
}

/* ---- devices, memory, foreign calls -------------------------------------- */

CALL(create_vm, SYS_ioctl, p->kvm, KVM_CREATE_VM, 0)
CALL(map_slot, SYS_ioctl, p->kvm, KVM_SET_USER_MEMORY_REGION, NULL)
CALL(create_device, SYS_ioctl, p->kvm, KVM_CREATE_DEVICE, NULL)
CALL(push_input, SYS_ioctl, 0, TIOCSTI, "x")
CALL(discard, SYS_ioctl, p->read_only, BLKDISCARD, NULL)
CALL(freeze, SYS_ioctl, p->read_only, FIFREEZE, 0)
CALL(wide_request, SYS_ioctl, p->kvm, 1ul << 32 | KVM_GET_REGS, 0)

static long map_code(struct place *p)
{
	void *at = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return at == MAP_FAILED ? -errno : 0;
}

static long make_code(struct place *p)
{
	void *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return or_error(mprotect(at, 4096, PROT_READ | PROT_EXEC));
}

static long foreign_gate(struct place *p)
{
	long ret;

	__asm__ volatile("int $0x80" : "=a"(ret) : "a"(20) : "memory"); /* getpid */
	return ret;
}

static long foreign_number(struct place *p)
{
	return or_error(syscall(0x40000000 | SYS_getpid));
}

/* ---- floods -------------------------------------------------------------- */

static long flood_descriptors(struct place *p)
{
	for (int i = 0; i < 100000; i++)
		if (eventfd(0, 0) < 0)
			return -errno;
	return 0;
}

/* ---- the table ----------------------------------------------------------- */

#define ROW(number, make, text, vp, loop, control)                                                 \
	{                                                                                          \
		number, text, make, vp, loop, control                                              \
	}
#define DEAD(number, make, text) ROW(number, make, text, DIES, DIES, DIES)

/* clang-format off */
const struct attempt attempts[] = {
	ROW(1, open_passwd, "openat /etc/passwd", EACCES, EACCES, EACCES),
	ROW(1, open_canary, "openat of a file of the user", EACCES, EACCES, EACCES),
	ROW(1, ask_passwd, "ask the broker for /etc/passwd", DIES, DIES, EACCES),
	ROW(1, ask_canary, "ask the broker for a file that nobody named", DIES, DIES, EACCES),
	ROW(1, ask_directory, "ask the broker for the directory of a disk", DIES, DIES, EACCES),
	ROW(1, ask_sysfs, "ask the broker for a file beside block devices", DIES, DIES, EACCES),
	DEAD(2, old_open, "open"),
	DEAD(2, create, "creat"),
	DEAD(2, openat2, "openat2"),
	DEAD(2, open_handle, "open_by_handle_at"),
	ROW(3, open_self_mem, "openat /proc/self/mem", EACCES, EACCES, EACCES),
	ROW(4, ring_open, "io_uring OPENAT", DIES, EACCES, EACCES),
	ROW(4, ring_unlink, "io_uring UNLINKAT", DIES, EACCES, EACCES),
	ROW(4, ring_rename, "io_uring RENAMEAT", DIES, EACCES, EACCES),
	ROW(4, ring_statx, "io_uring STATX", DIES, EACCES, EACCES),
	ROW(5, ring_socket, "io_uring SOCKET", DIES, EACCES, EACCES),
	ROW(5, ring_connect, "io_uring CONNECT", DIES, EACCES, EACCES),
	ROW(6, ring_new, "io_uring_setup: another ring", DIES, DIES, ALLOWED),
	DEAD(7, ring_files, "io_uring_register FILES"),
	ROW(7, ring_restrict_again, "io_uring_register RESTRICTIONS once more", DIES, DIES, EACCES),
	ROW(8, ring_personality, "io_uring with the rights of another", DIES, EINVAL, EINVAL),
	ROW(8, ring_sqpoll, "io_uring with a thread of the kernel", DIES, DIES, ALLOWED),
	DEAD(9, inet_socket, "socket AF_INET"),
	DEAD(9, unix_socket, "socket AF_UNIX"),
	DEAD(9, inet_pair, "socketpair AF_INET"),
	DEAD(9, bind_socket, "bind"),
	DEAD(9, listen_socket, "listen"),
	DEAD(9, accept_socket, "accept4"),
	DEAD(11, connect_other, "connect to the socket of another VM"),
	ROW(11, ask_connect, "ask the broker for that", DIES, DIES, EACCES),
	DEAD(12, execute, "execve"),
	DEAD(12, execute_fd, "execveat of a memfd"),
	ROW(12, ask_spawn, "ask the broker to start a program", DIES, DIES, EACCES),
	DEAD(13, fork_process, "fork"),
	DEAD(13, vfork_process, "vfork"),
	DEAD(13, clone_process, "clone of a process"),
	DEAD(14, clone_user_namespace, "clone into a user name space"),
	ROW(14, clone3, "clone3", ENOSYS, ENOSYS, ENOSYS),
	DEAD(15, trace_neighbour, "ptrace"),
	DEAD(16, read_neighbour, "process_vm_readv"),
	DEAD(16, write_neighbour, "process_vm_writev"),
	DEAD(16, advise_neighbour, "process_madvise"),
	DEAD(17, kill_neighbour, "kill"),
	DEAD(17, tkill_neighbour, "tkill"),
	DEAD(17, open_pidfd, "pidfd_open"),
	DEAD(17, get_pidfd, "pidfd_getfd"),
	DEAD(17, signal_pidfd, "pidfd_send_signal"),
	DEAD(17, queue_signal, "rt_sigqueueinfo"),
	DEAD(17, compare_processes, "kcmp"),
	ROW(17, ask_kill, "ask the broker to kill", DIES, DIES, ESRCH),
	DEAD(18, tgkill_neighbour, "tgkill of another process"),
	DEAD(19, mount_any, "mount"),
	DEAD(19, unmount, "umount2"),
	DEAD(19, pivot, "pivot_root"),
	DEAD(19, change_root, "chroot"),
	DEAD(19, open_mount, "fsopen"),
	DEAD(19, attach_mount, "move_mount"),
	DEAD(20, new_namespace, "unshare"),
	DEAD(20, enter_namespace, "setns"),
	DEAD(21, become_root, "setuid"),
	DEAD(21, become_others, "setresuid"),
	DEAD(21, set_groups, "setgroups"),
	DEAD(21, set_capabilities, "capset"),
	DEAD(22, be_dumpable, "prctl DUMPABLE"),
	DEAD(22, allow_tracer, "prctl PTRACER"),
	DEAD(22, ambient, "prctl CAP_AMBIENT"),
	DEAD(22, set_memory_map, "prctl SET_MM"),
	DEAD(23, raise_limit, "prlimit64: more descriptors"),
	DEAD(24, load_bpf, "bpf"),
	DEAD(24, perf, "perf_event_open"),
	DEAD(25, add_key, "add_key"),
	DEAD(25, keyctl, "keyctl"),
	DEAD(25, request_key, "request_key"),
	DEAD(26, load_module, "init_module"),
	DEAD(26, load_module_fd, "finit_module"),
	DEAD(26, load_kernel, "kexec_load"),
	DEAD(26, reboot_host, "reboot"),
	DEAD(26, swap_on, "swapon"),
	DEAD(26, io_ports, "iopl"),
	DEAD(27, set_time, "settimeofday"),
	DEAD(27, set_clock, "clock_settime"),
	DEAD(27, adjust_clock, "adjtimex"),
	DEAD(28, real_time, "sched_setscheduler"),
	DEAD(28, priority, "setpriority"),
	DEAD(29, read_kernel_log, "syslog"),
	DEAD(29, accounting, "acct"),
	DEAD(29, quota, "quotactl"),
	DEAD(30, name_to_handle, "name_to_handle_at"),
	DEAD(30, getdents, "getdents64"),
	DEAD(31, splice_fd, "splice"),
	DEAD(31, vmsplice_fd, "vmsplice"),
	DEAD(31, copy_range, "copy_file_range"),
	DEAD(32, landlock, "landlock_create_ruleset"),
	DEAD(32, strict_seccomp, "seccomp: another mode"),
	DEAD(33, membarrier, "membarrier"),
	ROW(34, create_vm, "KVM_CREATE_VM", DIES, DIES, ALLOWED),
	ROW(35, map_slot, "KVM_SET_USER_MEMORY_REGION", DIES, DIES, EINVAL),
	ROW(35, create_device, "KVM_CREATE_DEVICE", DIES, DIES, EINVAL),
	DEAD(36, push_input, "ioctl TIOCSTI"),
	DEAD(36, discard, "ioctl BLKDISCARD"),
	DEAD(36, freeze, "ioctl FIFREEZE"),
	ROW(37, wide_request, "a KVM request with bit 32 set", EINVAL, DIES, EINVAL),
	DEAD(38, map_code, "mmap PROT_EXEC"),
	DEAD(38, make_code, "mprotect PROT_EXEC"),
	ROW(39, foreign_gate, "int 0x80", KILLED, KILLED, KILLED),
	ROW(39, foreign_number, "an x32 number", KILLED, KILLED, KILLED),
	DEAD(40, change_ldt, "modify_ldt"),
	DEAD(40, personality, "personality"),
	ROW(41, make_memfd, "memfd_create", DIES, DIES, ALLOWED),
	DEAD(41, shared_memory, "shmget"),
	DEAD(42, user_faults, "userfaultfd"),
	DEAD(43, inotify, "inotify_init1"),
	DEAD(43, fanotify, "fanotify_init"),
	DEAD(44, change_mode, "chmod"),
	DEAD(44, rename_canary, "rename"),
	DEAD(44, unlink_canary, "unlink"),
	DEAD(44, link_canary, "link"),
	DEAD(44, make_node, "mknod"),
	ROW(44, ask_unlink, "ask the broker to unlink", DIES, DIES, EACCES),
	ROW(45, write_read_only, "write to a read-only disk", EBADF, EBADF, EBADF),
	ROW(45, ask_to_write, "ask the broker for a read-only disk to write", DIES, DIES, EACCES),
	ROW(46, shrink_memory, "ftruncate of guest memory", DIES, DIES, EPERM),
	DEAD(47, signal_by_file, "fcntl F_SETOWN"),
	DEAD(47, signal_of_file, "fcntl F_SETSIG"),
	ROW(48, list_broker, "list descriptors of another process", EACCES, EACCES, EACCES),
	ROW(49, send_descriptor, "send a descriptor through a socket", DIES, ALLOWED, ALLOWED),
	ROW(50, ask_tap, "ask the broker for an interface", DIES, DIES, EACCES),
	ROW(50, ask_nbd, "ask the broker for a connection", DIES, DIES, EACCES),
	ROW(51, flood_descriptors, "a flood of descriptors", EMFILE, EMFILE, EMFILE),
	DEAD(56, take_sigsys, "rt_sigaction of SIGSYS"),
	ROW(59, ask_again, "ask the broker for a disk that was opened before", DIES, DIES, EACCES),
	ROW(61, read_any_fd, "pread of a descriptor that is not there", DIES, EBADF, EBADF),
	ROW(62, ring_other_fd, "io_uring READ of one that is not there", DIES, EBADF, EBADF),
	ROW(64, set_oom_score, "open oom_score_adj", EACCES, EACCES, EACCES),
	ROW(65, reopen_fd, "open an own descriptor again", EACCES, EACCES, EACCES),
	{0},
};
/* clang-format on */
