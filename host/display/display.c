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

#define SECOND_NS    1000000000ull
#define MODE_REST_NS SECOND_NS

/* ENDEDs that are listened to: so many at once, and one more in each minute. */
#define ENDS_MAX      10u
#define END_REFILL_NS (60 * SECOND_NS)

/* ---- messages to the server ---------------------------------------------- */

static void set_server(struct display *d, enum display_server server)
{
	pthread_mutex_lock(&d->lock);
	d->server = server;
	pthread_mutex_unlock(&d->lock);
}

/* What its viewers held down, they cannot release any more. */
static void release_all(struct display *d)
{
	for (uint32_t key = 0; key < LINK_KEYS; key++)
		if (d->down[key])
			d->ops->key(d->ctx, key, false);
	memset(d->down, 0, sizeof(d->down));
	if (d->buttons)
		d->ops->pointer(d->ctx, d->x, d->y, 0, 0);
	d->buttons = 0;
}

static void stop_serving(struct display *d, enum display_server server)
{
	set_server(d, server);
	release_all(d);
	d->viewers = 0;
	d->sent = false;
	d->ops->watch(d->ctx, false);
}

static void link_failed(struct display *d)
{
	log_warn("display: the VNC server has ended; the VM runs on without it");
	stop_serving(d, DISPLAY_NONE);
}

/* Few are on their way at any time, so a socket that is full is a server that does not run. */
static void send_message(struct display *d, const struct link_message *m, int fd)
{
	char control[CMSG_SPACE(sizeof(int))] = {0};
	struct iovec iov = {(void *)m, sizeof(*m)};
	struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1};

	if (d->server != DISPLAY_SERVING)
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

static void send_memory(struct display *d)
{
	const struct link_message m = {.type = LINK_MEMORY, .bytes = d->bytes};

	if (d->memfd >= 0)
		send_message(d, &m, d->memfd);
}

static void mode_due(struct loop_timer *timer);

/* A mode costs the server a picture, and a guest can set modes without end: without viewers, the
 * last one of a second is enough, for the next viewer to begin with. */
static bool may_send_mode(struct display *d)
{
	uint64_t now = loop_now_ns();

	if (!d->viewers && now < d->mode_due_ns) {
		loop_timer_start(d->control, &d->timer, d->mode_due_ns - now, mode_due);
		return false;
	}
	d->mode_due_ns = now + MODE_REST_NS;
	return true;
}

static bool is_update_wanted(struct display *d)
{
	if (d->server != DISPLAY_SERVING || d->sent)
		return false;
	if (d->changed)
		return may_send_mode(d);
	return d->viewers && !picture_rect_is_empty(&d->dirt);
}

static bool take_update(struct display *d, struct link_message *m)
{
	bool wanted;

	pthread_mutex_lock(&d->lock);
	d->posted = false;
	wanted = is_update_wanted(d);
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
	if (!take_update(d, &m))
		return;
	d->sent = true;
	d->updates++;
	send_message(d, &m, -1);
}

static void update_task(struct loop_task *task)
{
	update(container_of(task, struct display, task));
}

static void mode_due(struct loop_timer *timer)
{
	update(container_of(timer, struct display, timer));
}

/* Under the lock. True: post the task. */
static bool note(struct display *d)
{
	bool post = !d->posted && d->server == DISPLAY_SERVING;

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

static void take_key(struct display *d, const struct link_message *m)
{
	if (m->key.key >= LINK_KEYS)
		return;
	d->down[m->key.key] = m->key.down != 0;
	d->ops->key(d->ctx, m->key.key, d->down[m->key.key]);
}

static void take_pointer(struct display *d, const struct link_message *m)
{
	if (m->pointer.x > LINK_POINTER_MAX || m->pointer.y > LINK_POINTER_MAX ||
		m->pointer.wheel < -1 || m->pointer.wheel > 1)
		return;
	d->x = m->pointer.x;
	d->y = m->pointer.y;
	d->buttons = m->pointer.buttons & 7;
	d->ops->pointer(d->ctx, d->x, d->y, d->buttons, m->pointer.wheel);
}

/* What the keeper says may come from a server that a client has taken over: it could fill the log.
 * The keeper itself says it less often. By number, not by time of receipt: this thread may have
 * been late for the one before. */
static bool may_end(struct display *d)
{
	uint64_t minutes = (loop_now_ns() - d->refilled_ns) / END_REFILL_NS;

	d->refilled_ns += minutes * END_REFILL_NS;
	d->ends_left =
		minutes < ENDS_MAX - d->ends_left ? d->ends_left + (uint32_t)minutes : ENDS_MAX;
	if (!d->ends_left)
		return false;
	d->ends_left--;
	return true;
}

static void server_ended(struct display *d, const struct link_message *m)
{
	uint32_t rest = m->ended.rest_s;

	if (!may_end(d)) {
		shutdown(d->link, SHUT_RDWR); /* reading ends, which reports it */
		return;
	}
	if (rest < LINK_REST_MIN_S || rest > LINK_REST_MAX_S)
		rest = LINK_REST_MAX_S;
	d->ends++;
	d->rest_s = rest;
	if (m->ended.signal)
		log_event(LOG_WARN,
			"display: the VNC server crashed (signal %u); it is started again in %u s",
			m->ended.signal, rest);
	else
		log_event(LOG_WARN, "display: the VNC server cannot run; it is tried again in %u s",
			rest);
	stop_serving(d, DISPLAY_RESTING);
}

/* It knows nothing. */
static void serve_again(struct display *d)
{
	if (d->server != DISPLAY_RESTING)
		return;
	set_server(d, DISPLAY_SERVING);
	send_memory(d);
	d->mode_due_ns = 0;
	pthread_mutex_lock(&d->lock);
	d->changed = true;
	pthread_mutex_unlock(&d->lock);
	update(d);
}

/* It is a process that hostile clients talk to: what it says is checked where it is used. */
static void take_message(struct display *d, const struct link_message *m)
{
	if (m->type == LINK_ENDED)
		server_ended(d, m);
	else if (m->type == LINK_READY)
		serve_again(d);
	if (d->server != DISPLAY_SERVING)
		return;
	switch (m->type) {
	case LINK_DRAWN:
		d->sent = false;
		update(d);
		break;
	case LINK_VIEWERS:
		set_viewers(d, m->viewers);
		break;
	case LINK_KEY:
		take_key(d, m);
		break;
	case LINK_POINTER:
		take_pointer(d, m);
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
	const struct picture_mode none = {0};
	int ret;

	ON_LOOP(d->control);
	set_mode(d, &none, false);
	ret = make_memory(d);
	if (ret)
		return err_set(e, ret, "display: cannot have %llu bytes of video memory: %s",
			(unsigned long long)d->bytes, strerror(-ret));
	send_memory(d);
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
		.server = link < 0 ? DISPLAY_NONE : DISPLAY_SERVING,
		.ends_left = ENDS_MAX,
		.refilled_ns = loop_now_ns(),
		.task.fn = update_task,
	};
	pthread_mutex_init(&d->lock, NULL);
	if (link >= 0)
		read_next(d);
}

void display_close(struct display *d)
{
	loop_timer_cancel(&d->timer);
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
	inspect_u64(i, "server_ends", d->ends);
	inspect_u64(i, "server_rest_s", d->rest_s);
	inspect_bool(i, "last_picture", d->last.width);
}
