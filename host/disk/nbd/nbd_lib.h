/* SPDX-License-Identifier: MIT */
/*
 * libnbd, loaded when the first NBD disk is opened. Linked in, it would bring
 * gnutls, libxml2 and ICU into every worker process, 3 MiB of memory that a VM
 * without NBD does not need.
 *
 * Every function we use is in the list; one that is not cannot be called, since
 * nothing links with -lnbd. nbd_create() is written libnbd.create().
 */
#ifndef BACKEND_NBD_LIB_H
#define BACKEND_NBD_LIB_H

#include <libnbd.h>

#include "base/err.h"

#define NBD_LIB_SONAME "libnbd.so.0"

/* clang-format off */
#define NBD_LIB_FUNCTIONS(X)	\
	X(aio_connect_socket)	\
	X(aio_connect_uri)	\
	X(aio_disconnect)	\
	X(aio_flush)		\
	X(aio_get_direction)	\
	X(aio_get_fd)		\
	X(aio_is_closed)	\
	X(aio_is_connecting)	\
	X(aio_is_dead)		\
	X(aio_is_ready)		\
	X(aio_notify_read)	\
	X(aio_notify_write)	\
	X(aio_pread)		\
	X(aio_pwrite)		\
	X(aio_zero)		\
	X(can_flush)		\
	X(can_fua)		\
	X(can_multi_conn)	\
	X(can_trim)		\
	X(can_zero)		\
	X(close)		\
	X(create)		\
	X(get_block_size)	\
	X(get_errno)		\
	X(get_error)		\
	X(get_size)		\
	X(is_read_only)		\
	X(poll)			\
	X(set_export_name)	\
	X(set_pread_initialize)	\
	X(set_request_structured_replies) \
	X(set_uri_allow_tls)
/* clang-format on */

struct nbd_lib {
#define NBD_LIB_MEMBER(name) __typeof__(nbd_##name) *name;
	NBD_LIB_FUNCTIONS(NBD_LIB_MEMBER)
#undef NBD_LIB_MEMBER
};

/* Constant once it is loaded. */
extern struct nbd_lib libnbd;

/* Any thread: disks are opened on several. Fills the table, once; soname is NBD_LIB_SONAME outside
 * of tests. The library stays for the life of the process. 0 or -errno, with the table as it was.
 */
int nbd_lib_load(const char *soname, struct err *e);

#endif
