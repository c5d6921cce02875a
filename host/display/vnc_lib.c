/* SPDX-License-Identifier: MIT */
#include "display/vnc_lib.h"

#include <stddef.h>

#include "base/library.h"

static const struct library_function functions[] = {
#define VNC_LIB_FUNCTION(name) {#name, offsetof(struct vnc_lib, name)},
	VNC_LIB_FUNCTIONS(VNC_LIB_FUNCTION)
#undef VNC_LIB_FUNCTION
};

static const struct library library = {
	.need = "VNC needs neatvnc",
	.package = "libneatvnc0",
	.functions = functions,
	.count = sizeof(functions) / sizeof(functions[0]),
};

/* What neatvnc depends on has the functions of other names. */
int vnc_lib_load(struct vnc_lib *lib, struct err *e)
{
	return library_load(&library, "libneatvnc.so.0", lib, e);
}
