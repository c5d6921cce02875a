/* SPDX-License-Identifier: MIT */
#include "display/vnc_lib.h"

#include <dlfcn.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>

/* With what it depends on, which has the other functions. */
#define SONAME "libneatvnc.so.0"

static const struct {
	const char *name;
	size_t offset; /* of its pointer */
} functions[] = {
#define VNC_LIB_FUNCTION(name) {#name, offsetof(struct vnc_lib, name)},
	VNC_LIB_FUNCTIONS(VNC_LIB_FUNCTION)
#undef VNC_LIB_FUNCTION
};

int vnc_lib_load(struct vnc_lib *lib, struct err *e)
{
	void *handle = dlopen(SONAME, RTLD_NOW | RTLD_LOCAL);

	if (!handle)
		return err_set(e, -ENOENT,
			"VNC needs neatvnc; install the package libneatvnc0 (%s)", dlerror());
	for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
		void *function = dlsym(handle, functions[i].name);

		if (!function)
			return err_set(e, -ENOSYS,
				"VNC: %s has no %s(); install the package libneatvnc0 of Debian 12",
				SONAME, functions[i].name);
		memcpy((char *)lib + functions[i].offset, &function, sizeof(function));
	}
	return 0;
}
