/* SPDX-License-Identifier: MIT */
#include "disk/nbd/nbd_lib.h"

#include <pthread.h>
#include <stddef.h>

#include "base/library.h"

struct nbd_lib libnbd;

static const struct library_function functions[] = {
#define NBD_LIB_FUNCTION(name) {"nbd_" #name, offsetof(struct nbd_lib, name)},
	NBD_LIB_FUNCTIONS(NBD_LIB_FUNCTION)
#undef NBD_LIB_FUNCTION
};

static const struct library library = {
	.need = "NBD disks need libnbd",
	.package = "libnbd0",
	.functions = functions,
	.count = sizeof(functions) / sizeof(functions[0]),
};

int nbd_lib_load(const char *soname, struct err *e)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	int ret;

	pthread_mutex_lock(&lock);
	ret = libnbd.create ? 0 : library_load(&library, soname, &libnbd, e);
	pthread_mutex_unlock(&lock);
	return ret;
}
