/* SPDX-License-Identifier: MIT */
#include "disk/file_open.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <linux/fs.h>
#include <linux/magic.h>

#include "disk/stack.h"

#include "base/file_lock.h"
#include "base/files.h"
#include "base/time.h"

static int open_error(const char *path, int error, struct err *e)
{
	switch (error) {
	case ENOENT:
		return err_set(e, -error,
			"disk %s: no such file; create it with: truncate -s 10G %s", path, path);
	case EACCES:
	case EPERM:
	case EROFS:
		return err_set(e, -error,
			"disk %s: cannot be written (%s); change that or add \"ro\" to use it read-only",
			path, strerror(error));
	case EBUSY:
		return err_set(
			e, -error, "disk %s: the device is in use (mounted?); free it first", path);
	default:
		return err_set(e, -error, "disk %s: cannot be opened: %s", path, strerror(error));
	}
}

static int open_ro_error(const char *path, int error, struct err *e)
{
	if (error == EACCES || error == EPERM)
		return err_set(e, -error, "disk %s: cannot be read (%s); check its permissions",
			path, strerror(error));
	return open_error(path, error, e);
}

/* Before open(), which would block on a pipe. */
int file_check_kind(const char *path, struct stat *st, struct err *e)
{
	if (files_stat(path, st))
		return open_error(path, errno, e);
	if (S_ISDIR(st->st_mode))
		return err_set(e, -EISDIR,
			"disk %s: is a directory; give an image file or a block device", path);
	if (!S_ISREG(st->st_mode) && !S_ISBLK(st->st_mode))
		return err_set(e, -EINVAL,
			"disk %s: is neither a file nor a block device; give one of these", path);
	return 0;
}

/* open(O_RDWR) succeeds on a read-only device; only its writes fail. */
static bool device_is_read_only(int fd)
{
	int read_only = 0;

	return !ioctl(fd, BLKROGET, &read_only) && read_only;
}

int file_check_size(const char *path, uint64_t size, struct err *e)
{
	if (size == 0)
		return err_set(e, -EINVAL,
			"disk %s: is empty; give it a size with: truncate -s 10G %s", path, path);
	if (size % FILE_BLOCK_SIZE)
		return err_set(e, -EINVAL,
			"disk %s: its size, %llu bytes, is not a multiple of %u; fix it with: truncate -s %%%u %s",
			path, (unsigned long long)size, FILE_BLOCK_SIZE, FILE_BLOCK_SIZE, path);
	return 0;
}

int file_open_fd(
	const char *path, const struct stat *st, const struct disk_file_options *o, struct err *e)
{
	int flags = O_CLOEXEC | (o->read_only ? O_RDONLY : O_RDWR);
	/* On a block device O_EXCL fails with EBUSY while it is mounted. */
	int excl = S_ISBLK(st->st_mode) && !o->read_only ? O_EXCL : 0;
	int fd = files_open(path, flags | excl | (o->direct ? O_DIRECT : 0), 0);

	if (fd < 0 && errno == EINVAL && o->direct)
		return err_set(e, -EINVAL,
			"disk %s: its file system has no direct I/O; remove \"direct\"", path);
	if (fd < 0)
		return o->read_only ? open_ro_error(path, errno, e) : open_error(path, errno, e);
	if (!o->read_only && S_ISBLK(st->st_mode) && device_is_read_only(fd)) {
		close(fd);
		return open_error(path, EROFS, e);
	}
	return fd;
}

/* A medium with larger blocks cannot serve the 512-byte blocks we report. */
int file_check_direct(int fd, const char *path, struct err *e)
{
	uint8_t *block;
	ssize_t n;

	block = aligned_alloc(FILE_PHYSICAL_BLOCK_SIZE, FILE_PHYSICAL_BLOCK_SIZE);
	if (!block)
		return err_set(e, -ENOMEM, "disk %s: out of memory", path);
	n = pread(fd, block, FILE_BLOCK_SIZE, 0);
	free(block);
	if (n < 0 && errno == EINVAL)
		return err_set(e, -EINVAL,
			"disk %s: it has no direct I/O in blocks of %u bytes; remove \"direct\"",
			path, FILE_BLOCK_SIZE);
	return 0;
}

int file_lock(int fd, const char *path, const struct disk_file_options *o, struct err *e)
{
	int ret = file_lock_take(fd, o->read_only);

	if (ret == -EBUSY)
		return err_set(e, ret,
			"disk %s: is used by another process; stop that or use another image%s",
			path, o->read_only ? "" : " (\"ro\" can be shared)");
	if (ret)
		return err_set(e, ret, "disk %s: cannot be locked: %s", path, strerror(-ret));
	return 0;
}

/* A device node may be on a tmpfs, but the data of its device are not. */
bool file_is_in_memory(int fd, const struct stat *st)
{
	struct statfs fs;

	return S_ISREG(st->st_mode) && !fstatfs(fd, &fs) &&
	       (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC);
}

static bool device_can_punch(const struct stat *st)
{
	unsigned long long bytes = 0;
	char name[96];
	FILE *limit;

	/* A partition has no queue directory of its own; its parent's is one up. */
	snprintf(name, sizeof(name), "/sys/dev/block/%u:%u/queue/write_zeroes_max_bytes",
		major(st->st_rdev), minor(st->st_rdev));
	limit = files_fopen(name);
	if (!limit) {
		snprintf(name, sizeof(name), "/sys/dev/block/%u:%u/../queue/write_zeroes_max_bytes",
			major(st->st_rdev), minor(st->st_rdev));
		limit = files_fopen(name);
	}
	if (!limit)
		return false;
	if (fscanf(limit, "%llu", &bytes) != 1)
		bytes = 0;
	fclose(limit);
	return bytes > 0;
}

/* The only way to know without an attempt, which changes the time of the last change. */
static bool is_known_to_punch(int fd)
{
	static const long types[] = {EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC, BTRFS_SUPER_MAGIC,
		F2FS_SUPER_MAGIC, TMPFS_MAGIC};
	struct statfs fs;

	if (fstatfs(fd, &fs))
		return false;
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (fs.f_type == types[i])
			return true;
	return false;
}

bool file_can_punch(int fd, const struct stat *st, uint64_t size)
{
	const struct timespec times[] = {{.tv_nsec = UTIME_OMIT}, st->st_mtim};
	bool works;

	if (S_ISBLK(st->st_mode))
		return device_can_punch(st);
	if (futimens(fd, times)) /* not ours: an attempt could not be hidden */
		return is_known_to_punch(fd);
	works = fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)size,
			FILE_PHYSICAL_BLOCK_SIZE) == 0;
	/* Nothing was changed: a saved VM takes its disk for the one it had. */
	futimens(fd, times);
	return works;
}

uint64_t file_changed_ns(int fd)
{
	struct stat st;

	if (fstat(fd, &st) || !S_ISREG(st.st_mode))
		return 0;
	return timespec_ns(st.st_mtim);
}

/* ---- identity ------------------------------------------------------------ */

/* The first line of a file in the sysfs directory of a block device; false: it has none. */
static bool read_attribute(const char *dir, const char *name, char *line, size_t size)
{
	char path[128];
	FILE *attribute;
	bool found;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	attribute = files_fopen(path);
	if (!attribute)
		return false;
	found = fgets(line, (int)size, attribute);
	fclose(attribute);
	line[found ? strcspn(line, "\n") : 0] = 0;
	return line[0];
}

/* The name that the device or the device mapper gives it; else its number. A partition adds its own
 * number to the name of its parent, which is one up. */
static char *device_identity(const struct stat *st)
{
	static const char *const names[] = {"wwid", "device/wwid", "dm/uuid"};
	char dir[64], partition[16], name[256], *identity;

	snprintf(dir, sizeof(dir), "/sys/dev/block/%u:%u", major(st->st_rdev), minor(st->st_rdev));
	if (read_attribute(dir, "partition", partition, sizeof(partition)))
		strncat(dir, "/..", sizeof(dir) - strlen(dir) - 1);
	else
		partition[0] = 0;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (read_attribute(dir, names[i], name, sizeof(name)))
			return asprintf(&identity, "device:%s:%s", name, partition) < 0 ? NULL
											: identity;
	return asprintf(&identity, "device:%u:%u", major(st->st_rdev), minor(st->st_rdev)) < 0
		       ? NULL
		       : identity;
}

/* An inode number is used again after a deletion; the generation is then another. The id of a file
 * system survives a reboot where the kernel makes it from the UUID (ext4, btrfs, f2fs). */
char *file_identity(int fd, const struct stat *st)
{
	uint64_t system = st->st_dev;
	char *identity;
	struct statfs fs;
	long generation = 0; /* file systems fill all of it, or an int */

	if (S_ISBLK(st->st_mode))
		return device_identity(st);
	if (!fstatfs(fd, &fs) && (fs.f_fsid.__val[0] || fs.f_fsid.__val[1]))
		system =
			(uint64_t)(uint32_t)fs.f_fsid.__val[0] << 32 | (uint32_t)fs.f_fsid.__val[1];
	if (ioctl(fd, FS_IOC_GETVERSION, &generation))
		generation = 0;
	return asprintf(&identity, "file:%016llx:%llu:%u", (unsigned long long)system,
		       (unsigned long long)st->st_ino, (unsigned int)generation) < 0
		       ? NULL
		       : identity;
}

/* ---- configuration: FILE[,direct] ---------------------------------------- */

struct file_options {
	char *file;
	bool direct;
};

static const struct schema_key keys[] = {
	{
		.name = "file",
		.type = &schema_file,
		SCHEMA_FIELD(struct file_options, file),
		.required = true,
		.arg = "FILE",
		.help = "an image file or a block device; its size is a multiple of 512 bytes",
	},
	{
		.name = "direct",
		.type = &schema_flag,
		SCHEMA_FIELD(struct file_options, direct),
		.help = "bypasses the page cache of the host (O_DIRECT)",
	},
	{0},
};

static int source_check(const void *options, bool read_only, struct err *e)
{
	const struct file_options *o = options;
	struct stat st;
	int ret = file_check_kind(o->file, &st, e);

	if (!ret && S_ISREG(st.st_mode))
		ret = file_check_size(o->file, (uint64_t)st.st_size, e);
	if (!ret && files_access(o->file, read_only ? R_OK : R_OK | W_OK))
		ret = read_only ? open_ro_error(o->file, errno, e) : open_error(o->file, errno, e);
	return ret;
}

static int source_open(struct disk **disk, const void *options, bool read_only, struct err *e)
{
	const struct file_options *o = options;
	struct disk_file_options file = {.read_only = read_only, .direct = o->direct};

	return disk_file_open(disk, o->file, &file, e);
}

const struct disk_source_ops disk_file_source = {
	.schema =
		{
			.name = "file",
			.help = "an image file or a block device",
			.keys = keys,
			.size = sizeof(struct file_options),
		},
	.can_read_only = true,
	.check = source_check,
	.open = source_open,
};

/* lseek moves the file position, which nothing else uses. Parts of a block count as mapped. */
int file_map_range(int fd, uint64_t offset, uint64_t *length, bool *mapped)
{
	off_t data = lseek(fd, (off_t)offset, SEEK_DATA);
	uint64_t end = offset + *length;
	off_t change;

	if (data < 0 && errno != ENXIO && errno != EINVAL)
		return -errno;
	/* ENXIO: no data up to the end. EINVAL: a device without SEEK_DATA. */
	*mapped = data < 0 ? errno == EINVAL : (uint64_t)data < offset + FILE_BLOCK_SIZE;
	if (data < 0)
		return 0;
	change = *mapped ? lseek(fd, data, SEEK_HOLE) : data;
	if (change < 0)
		return errno == ENXIO ? 0 : -errno; /* truncated meanwhile */
	if ((uint64_t)change < end)
		end = *mapped ? ((uint64_t)change + FILE_BLOCK_SIZE - 1) &
					-(uint64_t)FILE_BLOCK_SIZE
			      : (uint64_t)change & -(uint64_t)FILE_BLOCK_SIZE;
	*length = end - offset;
	return 0;
}

bool file_io_is_async(int fd)
{
	uint8_t *block = aligned_alloc(FILE_PHYSICAL_BLOCK_SIZE, FILE_PHYSICAL_BLOCK_SIZE);
	struct iovec iov = {.iov_base = block, .iov_len = FILE_PHYSICAL_BLOCK_SIZE};
	bool async = block && (preadv2(fd, &iov, 1, 0, RWF_NOWAIT) >= 0 || errno == EAGAIN);

	free(block);
	return async;
}

int file_read_size(int fd, const char *path, uint64_t *result, struct err *e)
{
	uint64_t size;
	struct stat st;
	int ret;

	if (fstat(fd, &st))
		return err_set(e, -errno, "disk %s: %s", path, strerror(errno));
	size = (uint64_t)st.st_size;
	if (S_ISBLK(st.st_mode) && ioctl(fd, BLKGETSIZE64, &size))
		return err_set(
			e, -errno, "disk %s: its size cannot be read: %s", path, strerror(errno));
	ret = file_check_size(path, size, e);
	if (!ret)
		*result = size;
	return ret;
}
