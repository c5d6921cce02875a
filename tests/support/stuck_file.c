/* SPDX-License-Identifier: MIT */
#include "tests/support/stuck_file.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/fuse.h>

#include "tests/support/check.h"

#define REQUEST_MAX (256u << 10)
#define NODE_FILE   2u
#define FOREVER     3600u

struct server {
	int fd;
	uint64_t size;
	struct stuck_file_seen *seen;
};

/* ---- the server ---------------------------------------------------------- */

static void reply(const struct server *s, const struct fuse_in_header *in, int error,
	const void *body, size_t length)
{
	uint8_t bytes[sizeof(struct fuse_out_header) + 256];
	struct fuse_out_header out = {
		.len = (uint32_t)(sizeof(out) + length), .error = error, .unique = in->unique};

	memcpy(bytes, &out, sizeof(out));
	if (length)
		memcpy(bytes + sizeof(out), body, length);
	if (write(s->fd, bytes, out.len) < 0 && errno != ENOENT) /* the request was interrupted */
		_exit(1);
}

static struct fuse_attr attr_of(const struct server *s, uint64_t node)
{
	bool file = node == NODE_FILE;

	return (struct fuse_attr){
		.ino = node,
		.size = file ? s->size : 0,
		.blocks = file ? s->size / 512 : 0,
		.mode = file ? S_IFREG | 0600 : S_IFDIR | 0700,
		.nlink = 1,
		.blksize = 4096,
	};
}

static void answer_init(const struct server *s, const struct fuse_in_header *in)
{
	struct fuse_init_out out = {
		.major = FUSE_KERNEL_VERSION,
		.minor = 31,
		.max_background = 256,
		.congestion_threshold = 192,
		.max_write = 128u << 10,
	};

	reply(s, in, 0, &out, sizeof(out));
}

static void answer_lookup(const struct server *s, const struct fuse_in_header *in)
{
	struct fuse_entry_out out = {
		.nodeid = NODE_FILE,
		.entry_valid = FOREVER,
		.attr_valid = FOREVER,
		.attr = attr_of(s, NODE_FILE),
	};

	if (strcmp((const char *)(in + 1), "disk"))
		reply(s, in, -ENOENT, NULL, 0);
	else
		reply(s, in, 0, &out, sizeof(out));
}

static void answer_attr(const struct server *s, const struct fuse_in_header *in)
{
	struct fuse_attr_out out = {.attr_valid = FOREVER, .attr = attr_of(s, in->nodeid)};

	reply(s, in, 0, &out, sizeof(out));
}

static void answer(const struct server *s, const struct fuse_in_header *in)
{
	static const struct fuse_open_out direct = {.open_flags = FOPEN_DIRECT_IO};
	static const struct fuse_statfs_out fs = {.st = {.bsize = 4096}};

	switch (in->opcode) {
	case FUSE_INIT:
		answer_init(s, in);
		break;
	case FUSE_LOOKUP:
		answer_lookup(s, in);
		break;
	case FUSE_GETATTR:
		answer_attr(s, in);
		break;
	case FUSE_OPEN:
		reply(s, in, 0, &direct, sizeof(direct));
		break;
	case FUSE_STATFS:
		reply(s, in, 0, &fs, sizeof(fs));
		break;
	case FUSE_READ:
		atomic_fetch_add(&s->seen->reads, 1);
		break;
	case FUSE_WRITE:
		atomic_fetch_add(&s->seen->writes, 1);
		break;
	case FUSE_FSYNC:
		atomic_fetch_add(&s->seen->fsyncs, 1);
		break;
	case FUSE_LSEEK:
		atomic_fetch_add(&s->seen->lseeks, 1);
		break;
	case FUSE_UNLINK:
		atomic_fetch_add(&s->seen->unlinks, 1);
		break;
	case FUSE_FLUSH:
		if (atomic_load(&s->seen->hold_close))
			atomic_fetch_add(&s->seen->flushes, 1);
		else
			reply(s, in, -ENOSYS, NULL, 0);
		break;
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
	case FUSE_INTERRUPT:
		break;
	default:
		reply(s, in, -ENOSYS, NULL, 0);
	}
}

static void serve(const struct server *s)
{
	struct fuse_in_header *in = malloc(REQUEST_MAX);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		ssize_t n = read(s->fd, in, REQUEST_MAX);

		if (n >= (ssize_t)sizeof(*in))
			answer(s, in);
		else if (n >= 0 || errno == ENODEV)
			_exit(0);
	}
}

/* ---- its owner ----------------------------------------------------------- */

static bool try_mount(const struct stuck_file *f, int fd)
{
	char options[96];

	snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0", fd);
	return mount("stuck", f->dir, "fuse.stuck", MS_NOSUID | MS_NODEV, options) == 0;
}

bool stuck_file_start(struct stuck_file *f, uint64_t size, const char **why)
{
	struct server s = {.size = size};

	s.fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	*why = "no /dev/fuse here";
	if (s.fd < 0)
		return false;
	snprintf(f->dir, sizeof(f->dir), "/tmp/enlite-stuck-XXXXXX");
	check(mkdtemp(f->dir));
	snprintf(f->path, sizeof(f->path), "%s/disk", f->dir);
	*why = "no right to mount here";
	if (!try_mount(f, s.fd)) {
		close(s.fd);
		rmdir(f->dir);
		return false;
	}
	f->seen = s.seen = mmap(
		NULL, sizeof(*f->seen), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	check(f->seen != MAP_FAILED);
	f->server = fork();
	check(f->server >= 0);
	if (f->server == 0)
		serve(&s);
	close(s.fd);
	return true;
}

/* Without a process that has the device open, the kernel ends all requests. */
void stuck_file_stop(struct stuck_file *f)
{
	kill(f->server, SIGKILL);
	check(waitpid(f->server, NULL, 0) == f->server);
	check(umount2(f->dir, MNT_DETACH) == 0);
	check(rmdir(f->dir) == 0);
	munmap(f->seen, sizeof(*f->seen));
}
