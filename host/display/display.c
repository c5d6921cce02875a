/* SPDX-License-Identifier: MIT */
#include "display/display.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

/* ---- messages to the server ---------------------------------------------- */

static void link_failed(struct display *d)
{
	log_warn("display: the VNC server has ended; the VM runs on without it");
	pthread_mutex_lock(&d->lock);
	d->link = -1; /* display_server_stop() closes it */
	pthread_mutex_unlock(&d->lock);
	d->viewers = 0;
	d->ops->watch(d->ctx, false);
}

/* Few are on their way at any time, so a socket that is full is a server that does not run. */
static void send_message(struct display *d, const struct link_message *m, int fd)
{
	char control[CMSG_SPACE(sizeof(int))] = {0};
	struct iovec iov = {(void *)m, sizeof(*m)};
	struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1};

	if (d->link < 0)
		return;
	if (fd >= 0) {
		h.msg_control = control;
		h.msg_controllen = sizeof(control);
		*CMSG_FIRSTHDR(&h) = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)),
			.cmsg_level = SOL_SOCKET,
			.cmsg_type = SCM_RIGHTS};
		memcpy(CMSG_DATA(CMSG_FIRSTHDR(&h)), &fd, sizeof(fd));
	}
	if (sendmsg(d->link, &h, MSG_DONTWAIT | MSG_NOSIGNAL) != sizeof(*m))
		shutdown(d->link, SHUT_RDWR); /* reading ends, which reports it */
}

static bool take_update(struct display *d, struct link_message *m)
{
	bool wanted;

	pthread_mutex_lock(&d->lock);
	d->posted = false;
	wanted = !d->sent && (d->changed || (d->viewers && !picture_rect_is_empty(&d->dirt)));
	if (wanted) {
		m->update.mode = d->mode;
		m->update.dirt = d->dirt;
		m->update.told = d->told;
		d->dirt = (struct picture_rect){0};
		d->changed = false;
	}
	pthread_mutex_unlock(&d->lock);
	return wanted;
}

static void update(struct display *d)
{
	struct link_message m = {.type = LINK_UPDATE};

	ON_LOOP(d->control);
	if (d->link < 0 || !take_update(d, &m))
		return;
	d->sent = true;
	d->updates++;
	send_message(d, &m, -1);
}

static void update_task(struct loop_task *task)
{
	update(container_of(task, struct display, task));
}

/* Under the lock. True: post the task. */
static bool note(struct display *d)
{
	bool post = !d->posted && d->link >= 0;

	d->posted |= post;
	return post;
}

static void post(struct display *d, bool wanted)
{
	if (wanted)
		loop_post(d->control, &d->task);
}

/* ---- from any thread ----------------------------------------------------- */

static void set_mode(struct display *d, const struct picture_mode *mode, bool told)
{
	const struct picture_rect all = {0, 0, mode->width, mode->height};
	bool wanted;

	pthread_mutex_lock(&d->lock);
	d->mode = *mode;
	d->told = told;
	d->changed = true;
	d->dirt = all;
	wanted = note(d);
	pthread_mutex_unlock(&d->lock);
	post(d, wanted);
}

void display_set_mode(struct display *d, const struct picture_mode *mode, bool told)
{
	set_mode(d, mode, told);
}

void display_untold(struct display *d)
{
	struct picture_mode mode;

	pthread_mutex_lock(&d->lock);
	mode = d->mode;
	pthread_mutex_unlock(&d->lock);
	set_mode(d, &mode, false);
}

/* Counted without viewers, too: the first one asks for all of it anyway. */
void display_dirt(struct display *d, const struct picture_rect *rect)
{
	bool wanted;

	pthread_mutex_lock(&d->lock);
	picture_rect_add(&d->dirt, rect);
	wanted = note(d);
	pthread_mutex_unlock(&d->lock);
	post(d, wanted);
}

/* ---- messages from the server -------------------------------------------- */

static void set_viewers(struct display *d, uint32_t viewers)
{
	bool before = d->viewers;

	d->viewers = viewers;
	if (before != (viewers > 0))
		d->ops->watch(d->ctx, viewers);
	update(d);
}

/* It is a process that hostile clients talk to: what it says is checked where it is used. */
static void take_message(struct display *d, const struct link_message *m)
{
	switch (m->type) {
	case LINK_DRAWN:
		d->sent = false;
		update(d);
		break;
	case LINK_VIEWERS:
		set_viewers(d, m->viewers);
		break;
	case LINK_KEY:
		d->ops->key(d->ctx, m->key.key, m->key.down);
		break;
	case LINK_POINTER:
		if (m->pointer.x <= LINK_POINTER_MAX && m->pointer.y <= LINK_POINTER_MAX &&
			m->pointer.wheel >= -1 && m->pointer.wheel <= 1)
			d->ops->pointer(d->ctx, m->pointer.x, m->pointer.y, m->pointer.buttons & 7,
				m->pointer.wheel);
		break;
	}
}

static void read_next(struct display *d);

static void received(struct loop_op *op, int res)
{
	struct display *d = container_of(op, struct display, op);

	d->reading = false;
	if (res != (int)sizeof(d->message)) {
		link_failed(d);
		return;
	}
	take_message(d, &d->message);
	read_next(d);
}

static void read_next(struct display *d)
{
	struct io_uring_sqe *sqe;

	d->op.done = received;
	sqe = loop_sqe(d->control, &d->op);
	io_uring_prep_recv(sqe, d->link, &d->message, sizeof(d->message), 0);
	d->reading = true;
}

/* ---- the guest's memory -------------------------------------------------- */

/* Maps that others make from now on can only be read. */
static int make_memory(struct display *d)
{
	int fd = memfd_create("enlite-video", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	void *memory = MAP_FAILED;

	if (fd < 0)
		return -errno;
	if (!ftruncate(fd, (off_t)d->bytes))
		memory = mmap(NULL, d->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED ||
		fcntl(fd, F_ADD_SEALS,
			F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL)) {
		close(fd);
		return -ENOMEM;
	}
	madvise(memory, d->bytes, MADV_DONTDUMP);
	madvise(memory, d->bytes, MADV_DONTFORK);
	d->memfd = fd;
	d->memory = memory;
	return 0;
}

int display_attach(struct display *d, struct err *e)
{
	const struct link_message m = {.type = LINK_MEMORY, .bytes = d->bytes};
	const struct picture_mode none = {0};
	int ret;

	ON_LOOP(d->control);
	set_mode(d, &none, false);
	ret = make_memory(d);
	if (ret)
		return err_set(e, ret, "display: cannot have %llu bytes of video memory: %s",
			(unsigned long long)d->bytes, strerror(-ret));
	send_message(d, &m, d->memfd);
	return 0;
}

void display_detach(struct display *d)
{
	const struct picture_mode none = {0};

	if (d->memfd < 0)
		return;
	set_mode(d, &none, false);
	munmap(d->memory, d->bytes);
	close(d->memfd);
	d->memfd = -1;
}

/* ---- pictures ------------------------------------------------------------ */

static struct picture_mode mode_of(struct display *d)
{
	struct picture_mode mode;

	pthread_mutex_lock(&d->lock);
	mode = d->mode;
	pthread_mutex_unlock(&d->lock);
	return mode;
}

static int copy_now(struct display *d, struct picture *p)
{
	struct picture_mode mode = mode_of(d);

	if (d->memfd < 0 || !picture_mode_is_valid(&mode, d->bytes))
		return -ENODATA;
	return picture_copy(p, &mode, d->memory);
}

void display_keep(struct display *d)
{
	struct picture now;

	ON_LOOP(d->control);
	if (copy_now(d, &now))
		return;
	picture_free(&d->last);
	d->last = now;
}

int display_copy(struct display *d, bool last, struct picture *p)
{
	ON_LOOP(d->control);
	if (!last)
		return copy_now(d, p);
	return d->last.width ? picture_duplicate(p, &d->last) : -ENODATA;
}

/* ---- life ---------------------------------------------------------------- */

void display_open(struct display *d, struct loop *control, int link, uint64_t bytes,
	const struct display_ops *ops, void *ctx)
{
	*d = (struct display){
		.control = control,
		.ops = ops,
		.ctx = ctx,
		.bytes = bytes,
		.memfd = -1,
		.link = link,
		.task.fn = update_task,
	};
	pthread_mutex_init(&d->lock, NULL);
	if (link >= 0)
		read_next(d);
}

void display_close(struct display *d)
{
	picture_free(&d->last);
	pthread_mutex_destroy(&d->lock);
}

void display_inspect(struct display *d, struct inspect *i)
{
	struct picture_mode mode = mode_of(d);

	inspect_u64(i, "width", mode.width);
	inspect_u64(i, "height", mode.height);
	inspect_u64(i, "pitch", mode.pitch);
	inspect_u64(i, "viewers", d->viewers);
	inspect_u64(i, "updates", d->updates);
	inspect_bool(i, "last_picture", d->last.width);
}
