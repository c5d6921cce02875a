/* SPDX-License-Identifier: MIT */
/*
 * Files and sockets by their names, for code that runs in a worker process. A confined worker has
 * no right to use names: there the broker makes these calls (broker.h), for names that the user
 * gave. Elsewhere they are the calls they are named after, and return and set errno as these do.
 *
 * Thread: any that may sleep.
 */
#ifndef BASE_FILES_H
#define BASE_FILES_H

#include <stdio.h>
#include <sys/stat.h>

int files_open(const char *path, int flags, mode_t mode);
FILE *files_fopen(const char *path); /* for reading */
int files_stat(const char *path, struct stat *st);
int files_lstat(const char *path, struct stat *st);
int files_access(const char *path, int mode);
int files_unlink(const char *path);
/* The same in another process, for one that is about to end and must not hang where no signal ends
 * it. Still waits for the other. */
void files_unlink_apart(const char *path);
int files_rename(const char *from, const char *to);
/* fsync() of a directory; file systems that cannot are taken to do it always. */
int files_sync(const char *directory);
char *files_realpath(const char *path); /* to be freed */

#endif
