/* SPDX-License-Identifier: MIT */
/*
 * Libraries that are loaded by those who use them only: a VM without NBD disks, say, does not have
 * libnbd in its address space. They stay for the life of the process.
 *
 * A user has a struct of function pointers, and a table of their names:
 *
 *   #define FUNCTION(name) {"nbd_" #name, offsetof(struct nbd_lib, name)},
 *
 * Thread: any; two must not load into one struct at once. Opens files: a confined process can load
 * only what it has loaded before.
 */
#ifndef BASE_LIBRARY_H
#define BASE_LIBRARY_H

#include <stddef.h>

#include "base/err.h"

struct library_function {
	const char *name;
	size_t offset; /* of its pointer in the user's struct */
};

struct library {
	const char *need;    /* "NBD disks need libnbd" */
	const char *package; /* of Debian 12 */
	const struct library_function *functions;
	size_t count;
};

/* soname: the file, as the dynamic linker finds it; with what it depends on, which may have some of
 * the functions. 0 with all pointers of *to set; -ENOENT: there is none; -ENOSYS: it lacks one of
 * the functions. Then *to is as it was, and one line names the package. */
int library_load(const struct library *l, const char *soname, void *to, struct err *e);

#endif
