/* SPDX-License-Identifier: MIT */
/* Commands: a request becomes one or more of them, and their results become its own. */
#include <errno.h>

#include "disk/nbd/nbd_impl.h"

#define ZERO_MAX   (1ull << 30) /* bytes of one command */
#define ZEROS_SIZE (128u << 10)

static const uint8_t zeros[ZEROS_SIZE];

bool nbd_is_change(const struct disk_req *req)
{
	return req->op == DISK_WRITE || req->op == DISK_WRITE_ZEROES || req->op == DISK_DISCARD;
}

static void part_done(struct nbd_req *r)
{
	if (--r->parts)
		return;
	list_del(&r->list);
	list_add_tail(&r->conn->finished, &r->list);
}

static void part_error(struct nbd_req *r, int error)
{
	if (error == ENOTCONN || error == ESHUTDOWN)
		r->lost = true;
	else if (!r->error)
		r->error = error ? -error : -EIO;
}

/* Called inside libnbd: takes note only. */
static int command_done(void *user_data, int *error)
{
	struct nbd_req *r = user_data;

	if (!r->conn->h) /* being closed: the request waits for the next connection already */
		return 1;
	if (*error)
		part_error(r, *error);
	part_done(r);
	return 1;
}

static void command_sent(struct nbd_req *r, int64_t cookie)
{
	if (cookie >= 0)
		return;
	part_error(r, nbd_conn_dead(r->conn) ? ENOTCONN : libnbd.get_errno());
	part_done(r);
}

static nbd_completion_callback callback_of(struct nbd_req *r)
{
	r->parts++;
	return (nbd_completion_callback){.callback = command_done, .user_data = r};
}

static uint32_t fua_flag(const struct nbd_req *r)
{
	const struct disk_req *req = disk_req_of_scratch(r);

	return (req->flags & DISK_FLAG_FUA) && r->conn->disk->caps.fua ? LIBNBD_CMD_FLAG_FUA : 0;
}

static void send_transfer(struct nbd_req *r, uint8_t *bytes, size_t length, uint64_t offset)
{
	struct nbd_conn *l = r->conn;
	uint32_t max = l->disk->caps.request_max;

	while (length) {
		size_t piece = length < max ? length : max;

		if (nbd_disk_req(r)->op == DISK_READ)
			command_sent(
				r, libnbd.aio_pread(l->h, bytes, piece, offset, callback_of(r), 0));
		else
			command_sent(r, libnbd.aio_pwrite(l->h, bytes, piece, offset,
						callback_of(r), fua_flag(r)));
		bytes += piece;
		offset += piece;
		length -= piece;
	}
}

bool nbd_segments_fit(const struct disk_req *req, uint32_t block)
{
	for (uint32_t i = 0; i < req->iov_count; i++)
		if (req->iov[i].iov_len % block)
			return false;
	return true;
}

/* One command a segment, straight from and to the submitter's pages. */
static void issue_transfer(struct nbd_req *r)
{
	const struct disk_req *req = nbd_disk_req(r);
	uint64_t offset = req->offset;

	if (r->bounce) {
		send_transfer(r, r->bounce, req->length, offset);
		return;
	}
	for (uint32_t i = 0; i < req->iov_count; i++) {
		send_transfer(r, req->iov[i].iov_base, req->iov[i].iov_len, offset);
		offset += req->iov[i].iov_len;
	}
}

static void issue_zeroes(struct nbd_req *r)
{
	const struct disk_req *req = nbd_disk_req(r);
	bool hole = req->op == DISK_DISCARD || (req->flags & DISK_FLAG_UNMAP);
	uint64_t max = r->conn->disk->caps.zero ? ZERO_MAX : ZEROS_SIZE;
	uint64_t at = 0;

	while (at < req->length) {
		uint64_t piece = req->length - at < max ? req->length - at : max;

		if (max == ZERO_MAX)
			command_sent(r,
				libnbd.aio_zero(r->conn->h, piece, req->offset + at, callback_of(r),
					fua_flag(r) | (hole ? 0 : LIBNBD_CMD_FLAG_NO_HOLE)));
		else
			command_sent(r, libnbd.aio_pwrite(r->conn->h, zeros, piece,
						req->offset + at, callback_of(r), fua_flag(r)));
		at += piece;
	}
}

void nbd_issue(struct nbd_req *r)
{
	const struct disk_req *req = nbd_disk_req(r);

	r->parts = 1; /* ours, so that it cannot finish while parts are being sent */
	r->lost = false;
	r->error = 0;
	r->oldest_ns = 0;
	if (req->op == DISK_FLUSH || r->stage == NBD_STAGE_FLUSH)
		command_sent(r, libnbd.aio_flush(r->conn->h, callback_of(r), 0));
	else if (req->op == DISK_READ || req->op == DISK_WRITE)
		issue_transfer(r);
	else
		issue_zeroes(r);
	part_done(r);
}
