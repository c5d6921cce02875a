/* SPDX-License-Identifier: MIT */
#include "tests/support/log_lines.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/support/check.h"

static int file, real_stderr;

void log_lines_begin(void)
{
	fflush(stderr);
	file = memfd_create("log lines", MFD_CLOEXEC);
	real_stderr = dup(STDERR_FILENO);
	check(file >= 0 && real_stderr >= 0 && dup2(file, STDERR_FILENO) >= 0);
}

uint32_t log_lines_end(void)
{
	uint32_t lines = 0;
	char bytes[4096];
	ssize_t n;

	check(dup2(real_stderr, STDERR_FILENO) >= 0 && !lseek(file, 0, SEEK_SET));
	close(real_stderr);
	while ((n = read(file, bytes, sizeof(bytes))) > 0) {
		check(write(STDERR_FILENO, bytes, (size_t)n) == n);
		for (ssize_t i = 0; i < n; i++)
			lines += bytes[i] == '\n';
	}
	close(file);
	return lines;
}
