/* SPDX-License-Identifier: MIT */
/*
 * Clients of the control socket, in the broker. It listens under the VM's name, and connects each
 * client to the worker. A request is read here first: the files it names are granted, then it is
 * passed on as it came. Of an answer only yes or no is read. Both ways end as they do without a
 * broker.
 *
 *   OPEN --the client is gone--> LEFT --all is answered, or too many have left--> freed
 *    |---the client is gone, and all is answered--> freed
 *    `---the worker has closed, or says more than it was asked--> freed
 *
 * In LEFT the worker still carries out what it was asked, and opens what that names: the answers
 * are read, and go nowhere. What was not yet passed on is dropped, as the worker drops it when a
 * client of its own leaves. What is not answered when a client is freed grants nothing any more.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/unix_socket.h"
#include "confine/broker.h"
#include "confine/grants.h"
#include "mgmt/ctl.h"

#define FINISH_TURN_MS 5
#define FINISH_TURNS   200u

/* More than the worker serves at once: it closes those that wait too long. */
#define CLIENTS_MAX (4 * CTL_CLIENTS_MAX)
/* Each of those that left may keep one of the worker's. */
#define LEFT_MAX (CTL_CLIENTS_MAX / 2)

static struct {
	int listener;
	struct sockaddr_un worker; /* an abstract name */
	socklen_t length;
	uid_t uid;
	atomic_uint count;
	atomic_uint numbers; /* of all there were */
	pthread_mutex_t lock;
	struct list left; /* under the lock, as is its count; the oldest is first */
	unsigned left_count;
} clients = {
	.listener = -1,
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.left = {&clients.left, &clients.left},
};

/* ---- one way ------------------------------------------------------------- */

struct client;

/* Bytes that were read from `from`; those up to `whole` go to `to`. */
struct way {
	struct client *client;
	int from, to;
	bool requests; /* whole lines, and each is read */
	bool ended;    /* `from` sends no more */
	bool half;     /* a line was passed on in part */
	size_t used, whole;
	char bytes[CTL_REQUEST_MAX];
};

/* How a line begins that says no; see ctl_refuse(). */
static const char refusal[] = "{\"ok\":false";

struct client {
	int client, worker;
	struct way in, out;
	uint64_t first_request; /* the number of its first one; they are answered in order */
	uint32_t asked, answered;
	char answer[sizeof(refusal) - 1]; /* how the line begins that is being read */
	size_t answer_used;
	bool left;
	struct list link; /* in clients.left, or in no list */
};

static bool wants_to_read(const struct way *w)
{
	return !w->ended && w->used < sizeof(w->bytes);
}

static void grant(struct client *c, const char *line, size_t length)
{
	json_error_t error;
	json_t *request = json_loadb(line, length, JSON_REJECT_DUPLICATES, &error);

	if (json_is_object(request))
		grants_add_request(request, c->first_request + c->asked);
	c->asked++;
	json_decref(request);
}

/* Only how lines begin is read: what a request named is not needed any more. False: the worker
 * answers what was not asked; else a later request would have been answered before it came, and
 * what it names would stay granted. */
static bool find_answers(struct client *c, const char *bytes, size_t count)
{
	for (; count; bytes++, count--) {
		if (c->answered == c->asked)
			return false;
		if (*bytes != '\n') {
			if (c->answer_used < sizeof(c->answer))
				c->answer[c->answer_used++] = *bytes;
			continue;
		}
		grants_answered(c->first_request + c->answered++,
			c->answer_used == sizeof(c->answer) &&
				!memcmp(c->answer, refusal, sizeof(c->answer)));
		c->answer_used = 0;
	}
	return true;
}

/* What is complete may be passed on. A last line without an end is no request. */
static void find_requests(struct way *w)
{
	char *end;

	while ((end = memchr(w->bytes + w->whole, '\n', w->used - w->whole))) {
		grant(w->client, w->bytes + w->whole, (size_t)(end - w->bytes) - w->whole);
		w->whole = (size_t)(end - w->bytes) + 1;
	}
}

/* False: it failed. A line that fills the buffer is too long, also for the worker. */
static bool way_read(struct way *w)
{
	ssize_t n = recv(w->from, w->bytes + w->used, sizeof(w->bytes) - w->used, MSG_DONTWAIT);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	if (n == 0) {
		w->ended = true;
		return true;
	}
	if (!w->requests && !find_answers(w->client, w->bytes + w->used, (size_t)n))
		return false;
	w->used += (size_t)n;
	if (w->requests)
		find_requests(w);
	else
		w->whole = w->used;
	return w->whole || w->used < sizeof(w->bytes);
}

static bool way_write(struct way *w)
{
	ssize_t n = send(w->to, w->bytes, w->whole, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	if (n)
		w->half = w->bytes[n - 1] != '\n';
	w->used -= (size_t)n;
	w->whole -= (size_t)n;
	memmove(w->bytes, w->bytes + n, w->used);
	return true;
}

/* ---- one client ---------------------------------------------------------- */

/* The oldest of those that left ends when there are too many; its thread frees it. */
static void add_left(struct client *c)
{
	struct client *oldest = NULL;

	pthread_mutex_lock(&clients.lock);
	list_add_tail(&clients.left, &c->link);
	if (++clients.left_count > LEFT_MAX)
		oldest = container_of(clients.left.next, struct client, link);
	if (oldest) {
		list_del(&oldest->link);
		clients.left_count--;
		shutdown(oldest->worker, SHUT_RDWR);
	}
	pthread_mutex_unlock(&clients.lock);
}

static void remove_left(struct client *c)
{
	pthread_mutex_lock(&clients.lock);
	if (!list_empty(&c->link)) {
		list_del(&c->link);
		clients.left_count--;
	}
	pthread_mutex_unlock(&clients.lock);
}

/* Whole lines that were not passed on, as if they had not come. The first of them stays if a part
 * of it was passed on, or if the worker would take it at once: nothing is asked before it. */
static void take_back(struct client *c)
{
	struct way *w = &c->in;
	size_t kept = 0;
	uint32_t lines = 0;

	for (size_t i = 0; i < w->whole; i++)
		lines += w->bytes[i] == '\n';
	if (lines && (w->half || c->asked - lines == c->answered)) {
		kept = (size_t)((char *)memchr(w->bytes, '\n', w->whole) + 1 - w->bytes);
		lines--;
	}
	for (; lines; lines--)
		grants_answered(c->first_request + --c->asked, true);
	w->used = w->whole = kept;
}

/* Only one whose requests are not all answered is waited for. */
static void leave(struct client *c)
{
	c->left = true;
	c->in.ended = true;
	c->out.used = c->out.whole = 0;
	shutdown(c->client, SHUT_RDWR);
	take_back(c);
	if (c->in.whole || c->answered != c->asked)
		add_left(c);
}

/* Of a side from which nothing is wanted the end would be reported again and again. */
static void ask_for(struct pollfd *p, int fd, const struct way *way_in, const struct way *way_out)
{
	p->events = (short)((wants_to_read(way_in) ? POLLIN : 0) | (way_out->whole ? POLLOUT : 0));
	p->revents = 0;
	p->fd = p->events ? fd : -1;
}

static void ask_for_both(struct client *c, struct pollfd p[2])
{
	ask_for(&p[0], c->left ? -1 : c->client, &c->in, &c->out);
	ask_for(&p[1], c->out.ended ? -1 : c->worker, &c->out, &c->in);
	if (!c->left && !wants_to_read(&c->in))
		p[0].fd = c->client; /* it may still leave */
}

static bool may_read(const struct way *w, short events)
{
	return events & (POLLIN | POLLHUP | POLLERR) && wants_to_read(w);
}

static bool may_write(const struct way *w, short events)
{
	return w->whole && events & (POLLOUT | POLLHUP | POLLERR);
}

/* Its end is known, or nothing more can be read before it; or it takes no more answers. */
static void serve_client(struct client *c, short events)
{
	bool gone = events & (POLLHUP | POLLERR) && !wants_to_read(&c->in);

	if (!gone && may_read(&c->in, events))
		gone = !way_read(&c->in);
	if (!gone && may_write(&c->out, events))
		gone = !way_write(&c->out);
	if (gone)
		leave(c);
}

/* False: it is gone, or lies. */
static bool serve_worker(struct client *c, short events)
{
	if (may_read(&c->out, events) && !way_read(&c->out))
		return false;
	if (c->left)
		c->out.used = c->out.whole = 0;
	return !may_write(&c->in, events) || way_write(&c->in);
}

static bool goes_on(const struct client *c)
{
	if (c->out.ended)
		return c->out.whole && !c->left;
	return !c->left || c->in.whole || c->answered != c->asked;
}

static void pump(struct client *c)
{
	struct pollfd p[2];
	bool told = false;

	while (goes_on(c)) {
		ask_for_both(c, p);
		if (poll(p, 2, -1) < 0) {
			if (errno != EINTR)
				return;
			continue;
		}
		if (p[0].revents)
			serve_client(c, p[0].revents);
		if (p[1].revents && !serve_worker(c, p[1].revents))
			return;
		if (c->in.ended && !c->in.whole && !told)
			told = !shutdown(c->worker, SHUT_WR);
	}
}

/* No answer will end what they named. */
static void forget_requests(struct client *c)
{
	while (c->answered != c->asked)
		grants_answered(c->first_request + c->answered++, true);
}

static void *client_main(void *arg)
{
	struct client *c = arg;

	pump(c);
	remove_left(c);
	forget_requests(c);
	close(c->client);
	close(c->worker);
	free(c);
	atomic_fetch_sub(&clients.count, 1);
	return NULL;
}

static int connect_worker(void)
{
	int ret, fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	if (!connect(fd, (struct sockaddr *)&clients.worker, clients.length))
		return fd;
	ret = -errno;
	close(fd);
	return ret;
}

static bool is_owner(int fd)
{
	struct ucred peer;
	socklen_t length = sizeof(peer);

	return !getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) &&
	       (peer.uid == clients.uid || peer.uid == 0);
}

static int client_new(int fd, struct client **client)
{
	struct client *c = is_owner(fd) ? calloc(1, sizeof(*c)) : NULL;
	int ret;

	if (!c)
		return -EPERM;
	c->client = fd;
	c->worker = connect_worker();
	c->in.from = c->out.to = fd;
	c->in.to = c->out.from = c->worker;
	c->in.requests = true;
	c->in.client = c->out.client = c;
	c->first_request = (atomic_fetch_add(&clients.numbers, 1) + 1ull) << 32;
	list_init(&c->link);
	*client = c;
	if (c->worker >= 0)
		return 0;
	ret = c->worker;
	free(c);
	return ret;
}

/* ---- all ----------------------------------------------------------------- */

/* Connections that there are go on; new ones are refused, as without a broker. */
static void stop_listening(void)
{
	shutdown(clients.listener, SHUT_RDWR);
}

static void start_client(int fd)
{
	struct client *c;
	pthread_t thread;
	int ret = client_new(fd, &c);

	if (ret == -ECONNREFUSED)
		stop_listening(); /* the worker is gone */
	if (ret) {
		close(fd);
		return;
	}
	atomic_fetch_add(&clients.count, 1);
	if (!pthread_create(&thread, NULL, client_main, c)) {
		pthread_detach(thread);
		return;
	}
	close(c->worker);
	close(fd);
	free(c);
	atomic_fetch_sub(&clients.count, 1);
}

/* Until the listener is shut down, and those that wait have been turned away. */
static void *accept_main(void *arg)
{
	int fd;

	while ((fd = accept4(clients.listener, NULL, NULL, SOCK_CLOEXEC)) >= 0 || errno != EINVAL) {
		if (fd >= 0)
			start_client(fd);
		else
			poll(NULL, 0, CTL_RETRY_MS);
		while (atomic_load(&clients.count) >= CLIENTS_MAX)
			poll(NULL, 0, CTL_RETRY_MS);
	}
	return NULL;
}

/* A socket that the worker accepts from, with a name that the kernel chooses. */
static int listen_for_worker(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), ret = 0;

	if (fd < 0)
		return -errno;
	clients.worker.sun_family = AF_UNIX;
	clients.length = sizeof(clients.worker);
	if (bind(fd, (struct sockaddr *)&clients.worker, sizeof(sa_family_t)) ||
		listen(fd, CLIENTS_MAX) ||
		getsockname(fd, (struct sockaddr *)&clients.worker, &clients.length))
		ret = -errno;
	if (!ret)
		return fd;
	close(fd);
	return ret;
}

int broker_serve_clients(const char *name, int *fd, struct err *e)
{
	char path[CTL_PATH_MAX];
	pthread_t thread;
	int ret;

	clients.uid = geteuid();
	*fd = listen_for_worker();
	if (*fd < 0)
		return err_set(e, *fd, "control socket: %s", strerror(-*fd));
	clients.listener = ctl_listen(path, name, e);
	ret = clients.listener < 0 ? clients.listener : 0;
	if (!ret)
		ret = grants_add_text(
			&(struct grant_to){&grants, 0}, GRANT_SOCKET, MAY_REMOVE, path);
	if (!ret && (ret = -pthread_create(&thread, NULL, accept_main, NULL)))
		err_set(e, ret, "control socket: %s", strerror(-ret));
	if (!ret)
		return -pthread_detach(thread);
	close(*fd);
	return ret;
}

/* Their threads end when they have read that the worker has closed. */
void broker_finish_clients(void)
{
	stop_listening();
	for (uint32_t i = 0; i < FINISH_TURNS && atomic_load(&clients.count); i++)
		poll(NULL, 0, FINISH_TURN_MS);
}
