/* SPDX-License-Identifier: MIT */
/*
 * neatvnc and what it uses, loaded when a VM has a VNC server, in that process only: no other VM
 * starts slower or has this code in its address space.
 */
#ifndef DISPLAY_VNC_LIB_H
#define DISPLAY_VNC_LIB_H

#include <aml.h>
#include <neatvnc.h>
#include <pixman.h>

#include "base/err.h"

#define VNC_LIB_FUNCTIONS(X)                                                                       \
	X(aml_new)                                                                                 \
	X(aml_set_default)                                                                         \
	X(aml_run)                                                                                 \
	X(aml_exit)                                                                                \
	X(aml_handler_new)                                                                         \
	X(aml_ticker_new)                                                                          \
	X(aml_stop)                                                                                \
	X(aml_start)                                                                               \
	X(nvnc_open)                                                                               \
	X(nvnc_open_unix)                                                                          \
	X(nvnc_close)                                                                              \
	X(nvnc_add_display)                                                                        \
	X(nvnc_display_new)                                                                        \
	X(nvnc_display_feed_buffer)                                                                \
	X(nvnc_set_name)                                                                           \
	X(nvnc_set_key_fn)                                                                         \
	X(nvnc_set_key_code_fn)                                                                    \
	X(nvnc_set_pointer_fn)                                                                     \
	X(nvnc_set_new_client_fn)                                                                  \
	X(nvnc_set_client_cleanup_fn)                                                              \
	X(nvnc_set_userdata)                                                                       \
	X(nvnc_get_userdata)                                                                       \
	X(nvnc_set_log_level)                                                                      \
	X(nvnc_fb_pool_new)                                                                        \
	X(nvnc_fb_pool_acquire)                                                                    \
	X(nvnc_fb_pool_unref)                                                                      \
	X(nvnc_fb_get_addr)                                                                        \
	X(nvnc_fb_unref)                                                                           \
	X(pixman_region_init)                                                                      \
	X(pixman_region_union_rect)                                                                \
	X(pixman_region_fini)

struct vnc_lib {
#define VNC_LIB_POINTER(name) __typeof__(&name) name;
	VNC_LIB_FUNCTIONS(VNC_LIB_POINTER)
#undef VNC_LIB_POINTER
};

/* 0, or -errno with one line that names the package. */
int vnc_lib_load(struct vnc_lib *lib, struct err *e);

#endif
