/* SPDX-License-Identifier: MIT */
/* Whose a file is: what another user could have put there is not believed. Thread: any that may
 * sleep on a file system. */
#ifndef BASE_FILE_OWNER_H
#define BASE_FILE_OWNER_H

/* NULL, or why the open file or directory is not ours alone to write to. */
const char *file_not_private(int fd);

#endif
