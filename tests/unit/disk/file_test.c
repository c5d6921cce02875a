/* SPDX-License-Identifier: MIT */
/*
 * The file disk on real files, through a real io_uring: contents against a
 * shadow, durability errors, files that change under us, and what a user who
 * gives the wrong path is told.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "disk/disk.h"
#include "tests/support/entries.h"

#define SIZE   (4u << 20)
#define DEPTH  64u
#define NOBODY 65534

struct rig {
	struct loop loop;
	char dir[64];
	char path[128];
	struct disk *disk;
	struct disk_queue *queue;
	struct disk_req *reqs[DEPTH];
	struct iovec iov[DEPTH];
	uint32_t in_flight;
	int error;      /* the first */
	uint8_t *bytes; /* SIZE, page aligned */
};

static uint8_t shadow[SIZE];

/* ---- rig ----------------------------------------------------------------- */

static void request_done(struct disk_req *req, int error)
{
	struct rig *rig = req->owner;

	if (error && !rig->error)
		rig->error = error;
	if (--rig->in_flight == 0)
		loop_stop(&rig->loop);
}

static void start(struct rig *rig, enum disk_op op, uint32_t flags, uint64_t offset,
	uint64_t length, void *bytes)
{
	uint32_t slot = rig->in_flight++;

	rig->iov[slot] = (struct iovec){.iov_base = bytes, .iov_len = length};
	*rig->reqs[slot] = (struct disk_req){
		.op = op,
		.flags = flags,
		.offset = offset,
		.length = length,
		.iov = &rig->iov[slot],
		.iov_count = 1,
		.done = request_done,
		.owner = rig,
	};
	disk_submit(rig->queue, rig->reqs[slot]);
}

/* The loop runs on this thread until nothing is in flight; an answer may have come already. */
static int finish(struct rig *rig)
{
	int error;

	loop_run(&rig->loop);
	assert_int_equal(rig->in_flight, 0);
	error = rig->error;
	rig->error = 0;
	return error;
}

static int run(struct rig *rig, enum disk_op op, uint32_t flags, uint64_t offset, uint64_t length,
	void *bytes)
{
	start(rig, op, flags, offset, length, bytes);
	return finish(rig);
}

static void open_path(struct rig *rig, const char *path, const struct disk_file_options *o)
{
	struct err e = {{0}};
	int ret = disk_file_open(&rig->disk, path, o, &e);

	if (ret)
		fail_msg("%s", e.text);
	assert_int_equal(disk_queue_open(rig->disk, &rig->loop, &rig->queue), 0);
	for (uint32_t i = 0; i < DEPTH; i++) {
		rig->reqs[i] = aligned_alloc(16, disk_req_size(rig->disk));
		assert_non_null(rig->reqs[i]);
	}
}

static void close_disk(struct rig *rig)
{
	if (!rig->disk)
		return;
	disk_queue_close(rig->queue);
	disk_close(rig->disk);
	for (uint32_t i = 0; i < DEPTH; i++)
		free(rig->reqs[i]);
	rig->disk = NULL;
}

static void make_file(const char *path, off_t size)
{
	int fd = open(path, O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, size), 0);
	close(fd);
}

static int setup(void **state)
{
	struct rig *rig = calloc(1, sizeof(*rig));

	assert_non_null(rig);
	assert_int_equal(loop_init(&rig->loop, "test", NULL), 0);
	/* Not /tmp: that may be a tmpfs, which has no direct I/O. */
	snprintf(rig->dir, sizeof(rig->dir), "build/file_test.XXXXXX");
	if (!mkdtemp(rig->dir)) {
		snprintf(rig->dir, sizeof(rig->dir), "/var/tmp/file_test.XXXXXX");
		assert_non_null(mkdtemp(rig->dir));
	}
	snprintf(rig->path, sizeof(rig->path), "%s/disk", rig->dir);
	make_file(rig->path, SIZE);
	rig->bytes = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(rig->bytes, MAP_FAILED);
	memset(shadow, 0, SIZE);
	*state = rig;
	return 0;
}

static int teardown(void **state)
{
	struct rig *rig = *state;

	close_disk(rig);
	loop_fini(&rig->loop);
	unlink(rig->path);
	rmdir(rig->dir);
	munmap(rig->bytes, SIZE);
	free(rig);
	return 0;
}

static void fill(struct rig *rig, uint64_t offset, uint64_t length, uint32_t seed)
{
	for (uint64_t i = 0; i < length; i++)
		rig->bytes[offset + i] = (uint8_t)(seed + i * 13 + i / 512);
	memcpy(shadow + offset, rig->bytes + offset, length);
}

static void assert_contents(struct rig *rig)
{
	memset(rig->bytes, 0xEE, SIZE);
	assert_int_equal(run(rig, DISK_READ, 0, 0, SIZE, rig->bytes), 0);
	assert_memory_equal(rig->bytes, shadow, SIZE);
}

static uint64_t blocks_used(struct rig *rig)
{
	struct stat st;

	assert_int_equal(stat(rig->path, &st), 0);
	return (uint64_t)st.st_blocks;
}

/* ---- reading and writing ------------------------------------------------- */

static void geometry(void **state)
{
	struct rig *rig = *state;

	open_path(rig, rig->path, &(struct disk_file_options){0});
	assert_int_equal(rig->disk->info.size, SIZE);
	assert_int_equal(rig->disk->info.block_size, 512);
	assert_int_equal(rig->disk->info.physical_block_size, 4096);
	assert_true(rig->disk->info.write_cache);
	assert_false(rig->disk->info.read_only);
	close_disk(rig);
	open_path(rig, rig->path, &(struct disk_file_options){.read_only = true});
	assert_true(rig->disk->info.read_only);
	assert_false(rig->disk->info.discard);
}

static void write_and_read_back(struct rig *rig, bool direct)
{
	open_path(rig, rig->path, &(struct disk_file_options){.direct = direct});
	fill(rig, 0, SIZE, 1);
	for (uint32_t i = 0; i < DEPTH; i++) /* all at once */
		start(rig, DISK_WRITE, i % 2 ? DISK_FLAG_FUA : 0, i * (SIZE / DEPTH), SIZE / DEPTH,
			rig->bytes + i * (SIZE / DEPTH));
	assert_int_equal(finish(rig), 0);
	assert_contents(rig);
	assert_int_equal(run(rig, DISK_FLUSH, 0, 0, 0, NULL), 0);
	close_disk(rig);
	open_path(rig, rig->path, &(struct disk_file_options){.read_only = true});
	assert_contents(rig);
}

static void buffered(void **state)
{
	write_and_read_back(*state, false);
}

static void direct(void **state)
{
	write_and_read_back(*state, true);
}

/* Guests may put buffers anywhere and write single sectors. */
static void direct_and_misaligned(void **state)
{
	struct rig *rig = *state;
	uint8_t *odd = rig->bytes + 3;

	open_path(rig, rig->path, &(struct disk_file_options){.direct = true});
	for (uint32_t i = 0; i < 4096; i++)
		odd[i] = (uint8_t)(i * 3);
	memcpy(shadow + 512, odd, 4096);
	assert_int_equal(run(rig, DISK_WRITE, 0, 512, 4096, odd), 0);
	memcpy(shadow + 512, odd + 512, 512);
	assert_int_equal(run(rig, DISK_WRITE, DISK_FLAG_FUA, 512, 512, odd + 512), 0);
	assert_int_equal(disk_copied_bytes(rig->disk), 4096 + 512);
	memset(rig->bytes, 0xEE, 8192);
	assert_int_equal(run(rig, DISK_READ, 0, 512, 512, rig->bytes + 512), 0);
	assert_memory_equal(rig->bytes + 512, shadow + 512, 512);
	assert_int_equal(disk_copied_bytes(rig->disk), 4096 + 512); /* that one was aligned */
	assert_int_equal(run(rig, DISK_READ, 0, 512, 512, odd + 512), 0);
	assert_int_equal(disk_copied_bytes(rig->disk), 4096 + 512 + 512);
	assert_memory_equal(odd + 512, shadow + 512, 512);
	memset(rig->bytes, 0xEE, 8192);
	assert_contents(rig);
}

static void many_pieces(void **state)
{
	struct rig *rig = *state;
	struct iovec iov[257];

	open_path(rig, rig->path, &(struct disk_file_options){0});
	fill(rig, 0, 257 * 1024, 5);
	for (uint32_t i = 0; i < 257; i++)
		iov[i] = (struct iovec){rig->bytes + i * 1024, 1024};
	rig->in_flight = 1;
	*rig->reqs[0] = (struct disk_req){
		.op = DISK_WRITE,
		.length = 257 * 1024,
		.iov = iov,
		.iov_count = 257,
		.done = request_done,
		.owner = rig,
	};
	disk_submit(rig->queue, rig->reqs[0]);
	assert_int_equal(finish(rig), 0);
	assert_contents(rig);
}

/* ---- discard and zeroes -------------------------------------------------- */

static void discards(void **state)
{
	struct rig *rig = *state;
	uint64_t before;

	open_path(rig, rig->path, &(struct disk_file_options){0});
	if (!rig->disk->info.discard) {
		print_message("# skipped: the file system cannot punch holes\n");
		skip();
	}
	fill(rig, 0, SIZE, 3);
	run(rig, DISK_WRITE, 0, 0, SIZE, rig->bytes);
	run(rig, DISK_FLUSH, 0, 0, 0, NULL);
	before = blocks_used(rig);
	assert_int_equal(run(rig, DISK_DISCARD, 0, 512, SIZE / 2, NULL), 0);
	memset(shadow + 512, 0, SIZE / 2);
	assert_contents(rig);
	assert_int_equal(run(rig, DISK_DISCARD, DISK_FLAG_FUA, SIZE - 512, 512, NULL), 0);
	memset(shadow + SIZE - 512, 0, 512);
	assert_contents(rig);
	assert_true(blocks_used(rig) < before);
	assert_int_equal(rig->disk->info.size, SIZE);
}

static void zero_out(struct rig *rig)
{
	fill(rig, 0, SIZE, 4);
	assert_int_equal(run(rig, DISK_WRITE, 0, 0, SIZE, rig->bytes), 0);
	assert_int_equal(run(rig, DISK_WRITE_ZEROES, 0, 1024, 300 << 10, NULL), 0);
	memset(shadow + 1024, 0, 300 << 10);
	assert_contents(rig);
	assert_int_equal(run(rig, DISK_WRITE_ZEROES, DISK_FLAG_FUA, SIZE - 1024, 1024, NULL), 0);
	memset(shadow + SIZE - 1024, 0, 1024);
	assert_int_equal(run(rig, DISK_WRITE_ZEROES, DISK_FLAG_UNMAP, 2 << 20, 64 << 10, NULL), 0);
	memset(shadow + (2 << 20), 0, 64 << 10);
	assert_contents(rig);
}

static void zeroes(void **state)
{
	struct rig *rig = *state;

	open_path(rig, rig->path, &(struct disk_file_options){0});
	zero_out(rig);
}

static void zeroes_direct(void **state)
{
	struct rig *rig = *state;

	open_path(rig, rig->path, &(struct disk_file_options){.direct = true});
	zero_out(rig);
}

static void open_memfd(struct rig *rig)
{
	int fd = memfd_create("disk", MFD_CLOEXEC);
	char path[64];

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, SIZE), 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	open_path(rig, path, &(struct disk_file_options){0});
	close(fd);
}

/* Nothing to wait for: answered inside submit, FUA or not. */
static void files_in_memory_answer_at_once(void **state)
{
	struct rig *rig = *state;

	open_memfd(rig);
	fill(rig, 0, SIZE, 7);
	for (uint32_t i = 0; i < DEPTH; i++) {
		start(rig, DISK_WRITE, i % 2 ? DISK_FLAG_FUA : 0, i * (SIZE / DEPTH), SIZE / DEPTH,
			rig->bytes + i * (SIZE / DEPTH));
		assert_int_equal(rig->in_flight, 0);
	}
	assert_int_equal(rig->error, 0);
	memset(rig->bytes, 0xEE, SIZE);
	start(rig, DISK_READ, 0, 0, SIZE, rig->bytes);
	assert_int_equal(rig->in_flight, 0);
	assert_memory_equal(rig->bytes, shadow, SIZE);
}

/* tmpfs can punch holes but has no other way to zero. */
static void zeroes_by_punching(void **state)
{
	struct rig *rig = *state;

	open_memfd(rig);
	zero_out(rig);
}

/* ramfs has no fallocate at all: zeros must be written. Needs a mount of our own. */
static void zeroes_by_writing(void **state)
{
	struct rig *rig = *state;
	char path[128];

	if ((unshare(CLONE_NEWNS) && unshare(CLONE_NEWUSER | CLONE_NEWNS)) ||
		mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
		mount("ramfs", rig->dir, "ramfs", 0, NULL)) {
		print_message("# skipped: no mount namespace: %s\n", strerror(errno));
		skip();
	}
	snprintf(path, sizeof(path), "%s/other", rig->dir);
	make_file(path, SIZE);
	open_path(rig, path, &(struct disk_file_options){0});
	assert_false(rig->disk->info.discard);
	zero_out(rig);
	close_disk(rig);
	assert_int_equal(umount(rig->dir), 0);
}

/* ---- files that fail ----------------------------------------------------- */

/* What is not there any more must be an error, never stale or invented bytes. */
static void truncated_behind_our_back(void **state)
{
	struct rig *rig = *state;

	open_path(rig, rig->path, &(struct disk_file_options){0});
	fill(rig, 0, SIZE, 1);
	run(rig, DISK_WRITE, 0, 0, SIZE, rig->bytes);
	assert_int_equal(truncate(rig->path, 8192), 0);
	assert_int_equal(run(rig, DISK_READ, 0, 0, 8192, rig->bytes), 0);
	assert_int_equal(run(rig, DISK_READ, 0, 8192, 512, rig->bytes), -EIO);
	assert_int_equal(run(rig, DISK_READ, 0, 4096, 8192, rig->bytes), -EIO); /* half there */
}

/* The descriptor number under which path is open for writing. */
static int find_fd(const char *path)
{
	char link[64], target[4096], full[4096];
	int found = -1;

	assert_non_null(realpath(path, full));
	for (int fd = 3; fd < 256 && found < 0; fd++) {
		ssize_t n;

		snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
		n = readlink(link, target, sizeof(target) - 1);
		if (n > 0 && !strncmp(target, full, (size_t)n) && full[n] == 0)
			found = fd;
	}
	assert_true(found >= 0);
	return found;
}

/* Another file stands under the descriptor for a while: the next fsync fails. */
/* The user makes the image longer or shorter while it is in use, and says so. */
static void refreshes_its_size(void **state)
{
	struct rig *rig = *state;
	struct err e = {0};

	open_path(rig, rig->path, &(struct disk_file_options){0});
	assert_int_equal(disk_refresh(rig->disk, &e), 0);
	assert_int_equal(disk_size(rig->disk), SIZE);
	assert_int_equal(truncate(rig->path, 2 * SIZE), 0);
	assert_int_equal(disk_size(rig->disk), SIZE);
	assert_int_equal(disk_refresh(rig->disk, &e), 0);
	assert_int_equal(disk_size(rig->disk), 2 * SIZE);
	start(rig, DISK_READ, 0, 2 * SIZE - 4096, 4096, rig->bytes);
	assert_int_equal(finish(rig), 0);
	assert_int_equal(truncate(rig->path, 8192), 0);
	assert_int_equal(disk_refresh(rig->disk, &e), 0);
	assert_int_equal(disk_size(rig->disk), 8192);
	/* a request that was on its way meanwhile */
	start(rig, DISK_READ, 0, SIZE, 4096, rig->bytes);
	assert_int_equal(finish(rig), -EIO);
	assert_int_equal(truncate(rig->path, 0), 0);
	assert_int_equal(disk_refresh(rig->disk, &e), -EINVAL);
	assert_int_equal(truncate(rig->path, 8192 + 100), 0);
	assert_int_equal(disk_refresh(rig->disk, &e), -EINVAL);
	assert_int_equal(disk_size(rig->disk), 8192);
}

static void assert_map(struct rig *rig, uint64_t offset, uint64_t length, bool expected)
{
	uint64_t got = SIZE - offset;
	bool mapped;

	assert_int_equal(disk_map(rig->disk, offset, &got, &mapped), 0);
	assert_int_equal(mapped, expected);
	assert_int_equal(got, length);
}

static void maps_holes(void **state)
{
	struct rig *rig = *state;

	assert_int_equal(truncate(rig->path, 0), 0);
	assert_int_equal(truncate(rig->path, SIZE), 0);
	open_path(rig, rig->path, &(struct disk_file_options){0});
	assert_map(rig, 0, SIZE, false);
	fill(rig, 0, SIZE, 1);
	run(rig, DISK_WRITE, 0, 1 << 20, 1 << 20, rig->bytes);
	assert_map(rig, 0, 1 << 20, false);
	assert_map(rig, 4096, (1 << 20) - 4096, false);
	assert_map(rig, 1 << 20, 1 << 20, true);
	assert_map(rig, (1 << 20) + 512, (1 << 20) - 512, true);
	assert_map(rig, 2 << 20, SIZE - (2 << 20), false);
	assert_int_equal(truncate(rig->path, 8192), 0);
	assert_map(rig, 3 << 20, SIZE - (3 << 20), false);
}

static void failed_flush_is_not_forgotten(void **state)
{
	struct rig *rig = *state;
	int fd, saved, pipes[2];

	open_path(rig, rig->path, &(struct disk_file_options){0});
	fd = find_fd(rig->path);
	saved = dup(fd);
	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(run(rig, DISK_FLUSH, 0, 0, 0, NULL), 0);
	assert_true(dup2(pipes[1], fd) >= 0);
	assert_true(run(rig, DISK_FLUSH, 0, 0, 0, NULL) < 0);
	assert_true(dup2(saved, fd) >= 0);
	assert_true(run(rig, DISK_FLUSH, 0, 0, 0, NULL) < 0);
	fill(rig, 0, 512, 1);
	assert_int_equal(run(rig, DISK_WRITE, 0, 0, 512, rig->bytes), 0);
	assert_true(run(rig, DISK_FLUSH, 0, 0, 0, NULL) < 0);
	close(saved);
	close(pipes[0]);
	close(pipes[1]);
}

/* A FUA write that could not be written at all says nothing about earlier writes. */
static void failed_fua_write_is_its_own_error(void **state)
{
	struct rig *rig = *state;
	int fd, saved, full;

	open_path(rig, rig->path, &(struct disk_file_options){0});
	fd = find_fd(rig->path);
	saved = dup(fd);
	full = open("/dev/full", O_RDWR | O_CLOEXEC);
	assert_true(full >= 0 && dup2(full, fd) >= 0);
	assert_int_equal(run(rig, DISK_WRITE, DISK_FLAG_FUA, 0, 512, rig->bytes), -ENOSPC);
	assert_int_equal(run(rig, DISK_WRITE, 0, 0, 512, rig->bytes), -ENOSPC);
	assert_true(dup2(saved, fd) >= 0);
	assert_int_equal(run(rig, DISK_FLUSH, 0, 0, 0, NULL), 0);
	close(saved);
	close(full);
}

/* ---- what the user is told ----------------------------------------------- */

static void assert_refused(const char *path, const struct disk_file_options *o, int error,
	const char *what, const char *advice)
{
	struct disk *disk;
	struct err e = {{0}};
	int ret = disk_file_open(&disk, path, o, &e);

	if (ret != error)
		fail_msg("%s: %d instead of %d: %s", path, ret, error, e.text);
	assert_non_null(strstr(e.text, path));
	assert_null(strchr(e.text, '\n'));
	if (!strstr(e.text, what) || !strstr(e.text, advice))
		fail_msg("message: %s", e.text);
}

static void refuses_what_is_no_disk(void **state)
{
	struct rig *rig = *state;
	const struct disk_file_options rw = {0}, ro = {.read_only = true};
	uint32_t fds = open_files();

	assert_refused("build/no/such", &rw, -ENOENT, "no such file", "truncate -s");
	assert_refused("/", &rw, -EISDIR, "directory", "image file");
	assert_refused("/dev/null", &rw, -EINVAL, "neither", "block device");
	assert_int_equal(truncate(rig->path, 0), 0);
	assert_refused(rig->path, &rw, -EINVAL, "empty", "truncate -s");
	assert_int_equal(truncate(rig->path, 513), 0);
	assert_refused(rig->path, &ro, -EINVAL, "513", "truncate -s %512");
	unlink(rig->path);
	assert_int_equal(mkfifo(rig->path, 0600), 0);
	assert_refused(rig->path, &rw, -EINVAL, "neither", "block device");
	assert_int_equal(open_files(), fds);
}

static void refuses_to_write_what_is_read_only(void **state)
{
	struct rig *rig = *state;

	assert_int_equal(chmod(rig->path, 0444), 0);
	assert_int_equal(chmod(rig->dir, 0755), 0);
	if (geteuid() == 0)
		setfsuid(NOBODY);
	assert_refused(
		rig->path, &(struct disk_file_options){0}, -EACCES, "cannot be written", "\"ro\"");
	open_path(rig, rig->path, &(struct disk_file_options){.read_only = true});
	if (geteuid() == 0)
		setfsuid(0);
}

static void one_writer_or_many_readers(void **state)
{
	struct rig *rig = *state;
	const struct disk_file_options rw = {0}, ro = {.read_only = true};
	struct disk *second;

	open_path(rig, rig->path, &rw);
	assert_refused(rig->path, &rw, -EBUSY, "used by another", "stop that");
	assert_refused(rig->path, &ro, -EBUSY, "used by another", "stop that");
	close_disk(rig);
	open_path(rig, rig->path, &ro);
	assert_int_equal(disk_file_open(&second, rig->path, &ro, NULL), 0);
	disk_close(second);
	assert_refused(rig->path, &rw, -EBUSY, "used by another", "ro");
}

static void open_identity(struct rig *rig, const char *path, char *identity, size_t size)
{
	open_path(rig, path, &(struct disk_file_options){.read_only = true});
	assert_non_null(disk_identity(rig->disk));
	snprintf(identity, size, "%s", disk_identity(rig->disk));
	close_disk(rig);
}

static void the_identity_is_the_files(void **state)
{
	struct rig *rig = *state;
	char link_path[160], here[128], there[128];

	open_identity(rig, rig->path, here, sizeof(here));
	snprintf(link_path, sizeof(link_path), "%s.link", rig->path);
	assert_int_equal(link(rig->path, link_path), 0);
	open_identity(rig, link_path, there, sizeof(there));
	assert_string_equal(here, there);
	unlink(link_path);
	assert_int_equal(rename(rig->path, link_path), 0); /* moved */
	open_identity(rig, link_path, there, sizeof(there));
	assert_string_equal(here, there);
	make_file(rig->path, SIZE); /* another file of that name */
	open_identity(rig, rig->path, there, sizeof(there));
	assert_string_not_equal(here, there);
	unlink(link_path); /* its inode number may be used again now */
	unlink(rig->path);
	make_file(rig->path, SIZE);
	open_identity(rig, rig->path, there, sizeof(there));
	assert_string_not_equal(here, there);
}

/* Who opens another's file for writing leaves it as it was: a saved VM takes it for its disk. */
static void opening_does_not_change_it(void **state)
{
	struct rig *rig = *state;
	const struct timespec old[] = {{.tv_sec = 1000000}, {.tv_sec = 1000000}};
	struct stat st;

	assert_int_equal(chmod(rig->dir, 0755), 0);
	for (int other = 0; other < 2; other++) {
		assert_int_equal(chmod(rig->path, 0666), 0);
		assert_int_equal(utimensat(AT_FDCWD, rig->path, old, 0), 0);
		if (other && geteuid() == 0)
			setfsuid(NOBODY);
		open_path(rig, rig->path, &(struct disk_file_options){0});
		assert_int_equal(disk_change_time_opened(rig->disk), 1000000ull * 1000000000);
		assert_int_equal(disk_change_time(rig->disk), 1000000ull * 1000000000);
		assert_true(rig->disk->info.discard);
		close_disk(rig);
		if (other && geteuid() == 0)
			setfsuid(0);
		assert_int_equal(stat(rig->path, &st), 0);
		assert_int_equal(st.st_mtim.tv_sec, 1000000);
	}
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(geometry),
		TEST(buffered),
		TEST(direct),
		TEST(direct_and_misaligned),
		TEST(many_pieces),
		TEST(discards),
		TEST(zeroes),
		TEST(zeroes_direct),
		TEST(files_in_memory_answer_at_once),
		TEST(zeroes_by_punching),
		TEST(truncated_behind_our_back),
		TEST(refreshes_its_size),
		TEST(maps_holes),
		TEST(failed_flush_is_not_forgotten),
		TEST(failed_fua_write_is_its_own_error),
		TEST(refuses_what_is_no_disk),
		TEST(refuses_to_write_what_is_read_only),
		TEST(one_writer_or_many_readers),
		TEST(the_identity_is_the_files),
		TEST(opening_does_not_change_it),
		/* last: it changes the process's namespace */
		TEST(zeroes_by_writing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
