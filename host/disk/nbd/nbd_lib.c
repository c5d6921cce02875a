/* SPDX-License-Identifier: MIT */
#include "disk/nbd/nbd_lib.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <string.h>

struct nbd_lib libnbd;

static const struct {
	const char *name;
	size_t offset; /* of its pointer */
} functions[] = {
#define NBD_LIB_FUNCTION(name) {"nbd_" #name, offsetof(struct nbd_lib, name)},
	NBD_LIB_FUNCTIONS(NBD_LIB_FUNCTION)
#undef NBD_LIB_FUNCTION
};

static int fill(struct nbd_lib *lib, void *handle, const char *soname, struct err *e)
{
	for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
		void *function = dlsym(handle, functions[i].name);

		if (!function)
			return err_set(e, -ENOSYS,
				"NBD disks: %s has no %s(); install a newer package libnbd0",
				soname, functions[i].name);
		memcpy((char *)lib + functions[i].offset, &function, sizeof(function));
	}
	return 0;
}

static int load(const char *soname, struct err *e)
{
	struct nbd_lib lib;
	void *handle;
	int ret;

	if (libnbd.create)
		return 0;
	handle = dlopen(soname, RTLD_NOW | RTLD_LOCAL);
	if (!handle)
		return err_set(e, -ENOENT,
			"NBD disks need libnbd; install the package libnbd0 (%s)", dlerror());
	ret = fill(&lib, handle, soname, e);
	if (ret) {
		dlclose(handle);
		return ret;
	}
	libnbd = lib;
	return 0;
}

int nbd_lib_load(const char *soname, struct err *e)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	int ret;

	pthread_mutex_lock(&lock);
	ret = load(soname, e);
	pthread_mutex_unlock(&lock);
	return ret;
}
