/* SPDX-License-Identifier: MIT */
/* What an NBD export offers, and whether we can use it. */
#include <errno.h>
#include <string.h>

#include "disk/nbd/address.h"
#include "disk/nbd/nbd_impl.h"

#define REQUEST_MAX_DEFAULT (32u << 20) /* what every server must take */
#define REQUEST_MAX_LEAST   65536u
#define MS_PER_SECOND       1000

struct nbd_handle *nbd_server_handle(void)
{
	struct nbd_handle *h = libnbd.create();

	if (!h)
		return NULL;
	/* With simple replies a read is complete or failed: no holes for us to fill. */
	libnbd.set_request_structured_replies(h, false);
	libnbd.set_pread_initialize(h, false);
	libnbd.set_uri_allow_tls(h, LIBNBD_TLS_DISABLE);
	return h;
}

static uint32_t block_size(struct nbd_handle *h, int type, uint32_t otherwise)
{
	int64_t size = libnbd.get_block_size(h, type);

	return size > 0 && size <= UINT32_MAX ? (uint32_t)size : otherwise;
}

void nbd_server_caps(struct nbd_handle *h, struct nbd_caps *caps)
{
	int64_t size = libnbd.get_size(h);

	*caps = (struct nbd_caps){
		.size = size > 0 ? (uint64_t)size : 0,
		.block_min = block_size(h, LIBNBD_SIZE_MINIMUM, 1),
		.request_max = block_size(h, LIBNBD_SIZE_MAXIMUM, REQUEST_MAX_DEFAULT),
		.read_only = libnbd.is_read_only(h) != 0,
		.flush = libnbd.can_flush(h) == 1,
		.fua = libnbd.can_fua(h) == 1,
		.trim = libnbd.can_trim(h) == 1,
		.zero = libnbd.can_zero(h) == 1,
		.multi_conn = libnbd.can_multi_conn(h) == 1,
	};
	if (caps->request_max > REQUEST_MAX_DEFAULT)
		caps->request_max = REQUEST_MAX_DEFAULT;
	caps->request_max -= caps->request_max % NBD_BLOCK_SIZE;
}

bool nbd_server_same(const struct nbd_caps *old, const struct nbd_caps *now)
{
	return now->size >= old->size && now->block_min <= old->block_min &&
	       now->request_max >= old->request_max && now->read_only <= old->read_only &&
	       now->flush >= old->flush && now->fua >= old->fua && now->zero >= old->zero &&
	       now->multi_conn >= old->multi_conn;
}

static int check(const char *uri, const struct nbd_caps *caps, struct err *e)
{
	if (caps->size == 0 || caps->size % NBD_BLOCK_SIZE)
		return err_set(e, -EINVAL,
			"disk %s: its size, %llu bytes, is not a positive multiple of %u; export one that is",
			uri, (unsigned long long)caps->size, NBD_BLOCK_SIZE);
	if (caps->block_min > NBD_BLOCK_SIZE || caps->request_max < REQUEST_MAX_LEAST)
		return err_set(e, -EINVAL,
			"disk %s: the server takes requests of %u to %u bytes only; %u and %u are needed",
			uri, caps->block_min, caps->request_max, NBD_BLOCK_SIZE, REQUEST_MAX_LEAST);
	return 0;
}

static int connect_error(const char *uri, struct err *e)
{
	int error = libnbd.get_errno();
	const char *text = libnbd.get_error();

	return err_set(e, error ? -error : -EIO, "disk %s: %s; is the server running?", uri,
		text ? text : "cannot be connected");
}

static int connect_wait(struct nbd_handle *h, const char *uri, int timeout_ms, struct err *e)
{
	int ret = nbd_address_use(h, uri);

	if (ret < 0)
		return err_set(e, ret, "disk %s: %s; is the server running?", uri, strerror(-ret));
	if (ret)
		return connect_error(uri, e);
	while (libnbd.aio_is_connecting(h)) {
		int n = libnbd.poll(h, timeout_ms);

		if (n < 0)
			return connect_error(uri, e);
		if (n == 0)
			return err_set(e, -ETIMEDOUT,
				"disk %s: the server does not answer within %d s", uri,
				timeout_ms / MS_PER_SECOND);
	}
	if (!libnbd.aio_is_ready(h))
		return connect_error(uri, e);
	return 0;
}

int nbd_server_ask(const char *uri, int timeout_ms, struct nbd_caps *caps, struct err *e)
{
	struct nbd_handle *h = nbd_server_handle();
	int ret;

	if (!h)
		return err_set(e, -ENOMEM, "disk %s: out of memory", uri);
	ret = connect_wait(h, uri, timeout_ms, e);
	if (ret)
		goto close_handle;
	nbd_server_caps(h, caps);
	ret = check(uri, caps, e);
	libnbd.aio_disconnect(h, 0);
close_handle:
	libnbd.close(h);
	return ret;
}
