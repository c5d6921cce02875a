/* SPDX-License-Identifier: MIT */
#include "confine/layers.h"

#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/securebits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

static int or_error(long ret)
{
	return ret < 0 ? -errno : 0;
}

/* ---- name spaces --------------------------------------------------------- */

#define NAMESPACES (CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS)

static int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = write(fd, text, strlen(text));
	close(fd);
	return n == (ssize_t)strlen(text) ? 0 : -EIO;
}

/* We stay who we are; all other users are the overflow user. */
static int map_ids(uid_t uid, gid_t gid)
{
	char line[64];
	int ret;

	snprintf(line, sizeof(line), "%u %u 1\n", uid, uid);
	ret = write_file("/proc/self/uid_map", line);
	if (!ret)
		ret = write_file("/proc/self/setgroups", "deny");
	snprintf(line, sizeof(line), "%u %u 1\n", gid, gid);
	return ret ? ret : write_file("/proc/self/gid_map", line);
}

static int enter(void)
{
	uid_t uid = geteuid();
	gid_t gid = getegid();

	if (!unshare(NAMESPACES))
		return 0;
	if (errno != EPERM || unshare(CLONE_NEWUSER | NAMESPACES))
		return -errno;
	return map_ids(uid, gid);
}

/* An empty directory without any permission becomes the root; the old one is detached. Mounted
 * over /proc, since that is there. */
static int empty_root(void)
{
	const unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;

	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
		mount("none", "/proc", "tmpfs", flags, "size=4k,mode=0") || chdir("/proc") ||
		syscall(SYS_pivot_root, ".", ".") || umount2(".", MNT_DETACH) || chdir("/"))
		return -errno;
	return or_error(mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | flags, NULL));
}

int layer_namespaces(const struct vm_config *config)
{
	int ret;

	capng_get_caps_process(); /* reads /proc */
	ret = enter();
	return ret ? ret : empty_root();
}

/* ---- privileges ---------------------------------------------------------- */

/* A program that root starts gets no capabilities either, and none of this can be undone. */
static void lock_securebits(void)
{
	prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP |
					 SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED |
					 SECBIT_NO_CAP_AMBIENT_RAISE |
					 SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED);
}

/* Without CAP_SETPCAP the bounding set stays; no_new_privs makes it worthless. */
int layer_capabilities(const struct vm_config *config)
{
	bool bounds = capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP);

	capng_get_caps_process();
	bounds = capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP);
	if (bounds)
		lock_securebits();
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	capng_clear(CAPNG_SELECT_BOTH);
	if (bounds && capng_apply(CAPNG_SELECT_BOUNDS))
		return -EPERM;
	return capng_apply(CAPNG_SELECT_CAPS) ? -EPERM : 0;
}

int layer_no_new_privileges(const struct vm_config *config)
{
	return or_error(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
}

/* Others of our user can neither trace this process nor read its memory. */
int layer_not_dumpable(const struct vm_config *config)
{
	return or_error(prctl(PR_SET_DUMPABLE, 0));
}

/* ---- landlock ------------------------------------------------------------ */

/* As Linux 6.12 has it; older headers and kernels know a part, whose size is passed. */
struct landlock_rules {
	uint64_t files, network, scope;
};

#define LANDLOCK_VERSION 1u

/* Rights that each version of the interface added. */
static const struct {
	int version;
	struct landlock_rules rules;
	size_t size;
} versions[] = {
	{1, {0x1FFF, 0, 0}, 8},      /* 13 rights on files */
	{2, {0x3FFF, 0, 0}, 8},      /* and moving between directories */
	{3, {0x7FFF, 0, 0}, 8},      /* and truncation */
	{4, {0x7FFF, 0x3, 0}, 16},   /* and TCP */
	{5, {0xFFFF, 0x3, 0}, 16},   /* and ioctls of devices */
	{6, {0xFFFF, 0x3, 0x3}, 24}, /* and abstract sockets, and signals */
};

/* Everything is handled, and no rule allows any of it. What is open stays usable. */
int layer_landlock(const struct vm_config *config)
{
	int version = (int)syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_VERSION);
	size_t last = 0;
	int fd, ret;

	if (version < 1)
		return version ? -errno : -ENOSYS;
	while (last + 1 < sizeof(versions) / sizeof(versions[0]) &&
		versions[last + 1].version <= version)
		last++;
	fd = (int)syscall(
		SYS_landlock_create_ruleset, &versions[last].rules, versions[last].size, 0);
	if (fd < 0)
		return -errno;
	ret = or_error(syscall(SYS_landlock_restrict_self, fd, 0));
	close(fd);
	return ret;
}

/* ---- limits -------------------------------------------------------------- */

/* One for each VP and SINT, and each channel; connections and disks that come later. */
static rlim_t descriptors(const struct vm_config *config)
{
	return 2048 + 20 * (rlim_t)config->cpus;
}

static void lower(int resource, rlim_t value)
{
	struct rlimit limit;

	if (getrlimit(resource, &limit) || limit.rlim_max <= value)
		return;
	limit.rlim_cur = limit.rlim_max = value;
	setrlimit(resource, &limit);
}

int layer_limits(const struct vm_config *config)
{
	const struct rlimit all = {RLIM_INFINITY, RLIM_INFINITY};

	lower(RLIMIT_CORE, 0);
	lower(RLIMIT_NOFILE, descriptors(config));
	if (config->pin_memory)
		setrlimit(RLIMIT_MEMLOCK, &all); /* what root has until it drops CAP_IPC_LOCK */
	return 0;
}
