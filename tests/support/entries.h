/* SPDX-License-Identifier: MIT */
/* How many names a directory has: what an error leaves behind. */
#ifndef SUPPORT_ENTRIES_H
#define SUPPORT_ENTRIES_H

unsigned int entries(const char *directory);
/* Of this process. */
unsigned int open_files(void);

#endif
