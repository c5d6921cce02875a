/* SPDX-License-Identifier: MIT */
#include "base/library.h"

#include <dlfcn.h>
#include <errno.h>
#include <string.h>

static const struct library_function *find_missing(const struct library *l, void *handle)
{
	for (size_t i = 0; i < l->count; i++)
		if (!dlsym(handle, l->functions[i].name))
			return &l->functions[i];
	return NULL;
}

/* ISO C has no conversion from an object's pointer to a function's. */
static void fill(const struct library *l, void *handle, char *to)
{
	for (size_t i = 0; i < l->count; i++) {
		void *function = dlsym(handle, l->functions[i].name);

		memcpy(to + l->functions[i].offset, &function, sizeof(function));
	}
}

int library_load(const struct library *l, const char *soname, void *to, struct err *e)
{
	const struct library_function *missing;
	void *handle = dlopen(soname, RTLD_NOW | RTLD_LOCAL);

	if (!handle)
		return err_set(e, -ENOENT, "%s; install the package %s (%s)", l->need, l->package,
			dlerror());
	missing = find_missing(l, handle);
	if (!missing) {
		fill(l, handle, to);
		return 0;
	}
	dlclose(handle);
	return err_set(e, -ENOSYS, "%s; install the package %s of Debian 12 (%s has no %s())",
		l->need, l->package, soname, missing->name);
}
