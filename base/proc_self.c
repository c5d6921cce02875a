/* SPDX-License-Identifier: MIT */
#include "base/proc_self.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

static const char *const names[PROC_SELF_FILES] = {
	[PROC_SELF_STATUS] = "/proc/self/status",
	[PROC_SELF_SMAPS] = "/proc/self/smaps",
	[PROC_SELF_PAGEMAP] = "/proc/self/pagemap",
};

static int held[PROC_SELF_FILES]; /* 0: not */

void proc_self_hold(void)
{
	for (int i = 0; i < PROC_SELF_FILES; i++) {
		int fd = open(names[i], O_RDONLY | O_CLOEXEC);

		held[i] = fd < 0 ? 0 : fd;
	}
}

int proc_self_open(enum proc_self_file file)
{
	return held[file] ? fcntl(held[file], F_DUPFD_CLOEXEC, 0)
			  : open(names[file], O_RDONLY | O_CLOEXEC);
}

/* ---- a stream with a position of its own --------------------------------- */

struct reader {
	int fd; /* not ours */
	off_t at;
};

static ssize_t read_more(void *cookie, char *to, size_t size)
{
	struct reader *r = cookie;
	ssize_t n = pread(r->fd, to, size, r->at);

	r->at += n > 0 ? n : 0;
	return n;
}

static int reader_free(void *cookie)
{
	free(cookie);
	return 0;
}

static FILE *read_held(int fd)
{
	const cookie_io_functions_t functions = {.read = read_more, .close = reader_free};
	struct reader *r = malloc(sizeof(*r));
	FILE *f;

	if (!r)
		return NULL;
	*r = (struct reader){.fd = fd};
	f = fopencookie(r, "r", functions);
	if (!f)
		free(r);
	return f;
}

FILE *proc_self_read(enum proc_self_file file)
{
	return held[file] ? read_held(held[file]) : fopen(names[file], "re");
}
