/* SPDX-License-Identifier: MIT */
/* Files of /proc/self. A confined process has no /proc: those that are held stay readable. */
#ifndef BASE_PROC_SELF_H
#define BASE_PROC_SELF_H

#include <stdio.h>

enum proc_self_file { PROC_SELF_STATUS, PROC_SELF_SMAPS, PROC_SELF_PAGEMAP, PROC_SELF_FILES };

/* Opens all of them for the life of the process. Before there are other threads. */
void proc_self_hold(void);

/* A descriptor of the file for pread(), to be closed; any thread. -1: errno says why. */
int proc_self_open(enum proc_self_file file);

/* What the file says now, from its beginning; any thread. NULL: errno says why. */
FILE *proc_self_read(enum proc_self_file file);

#endif
