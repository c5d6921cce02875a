/* SPDX-License-Identifier: MIT */
/*
 * Clients of the control socket, in the broker. It listens under the VM's name, and connects each
 * client to the worker. A request is read here first: the files it names are granted, then it is
 * passed on as it came. Of an answer only yes or no is read. Both ways end as they do without a
 * broker.
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

static struct {
	int listener;
	struct sockaddr_un worker; /* an abstract name */
	socklen_t length;
	uid_t uid;
	atomic_uint count;
	atomic_uint numbers; /* of all there were */
} clients;

/* ---- one way ------------------------------------------------------------- */

struct client;

/* Bytes that were read from `from`; those up to `whole` go to `to`. */
struct way {
	struct client *client;
	int from, to;
	bool requests; /* whole lines, and each is read */
	bool ended;    /* `from` sends no more */
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

/* Only how lines begin is read: what a request named is not needed any more. */
static void find_answers(struct client *c, const char *bytes, size_t count)
{
	for (; count; bytes++, count--) {
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
	if (!w->requests)
		find_answers(w->client, w->bytes + w->used, (size_t)n);
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
	w->used -= (size_t)n;
	w->whole -= (size_t)n;
	memmove(w->bytes, w->bytes + n, w->used);
	return true;
}

/* ---- one client ---------------------------------------------------------- */

/* Once `fd` has said all, its end is no news. */
static void ask_for(struct pollfd *p, int fd, const struct way *way_in, const struct way *way_out)
{
	p->fd = fd;
	p->events = (short)((wants_to_read(way_in) ? POLLIN : 0) | (way_out->whole ? POLLOUT : 0));
	p->revents = 0;
}

static bool move(struct way *w, short from, short to)
{
	bool ok = true;

	if (from & (POLLIN | POLLHUP | POLLERR) && wants_to_read(w))
		ok = way_read(w);
	if (ok && w->whole && to & (POLLOUT | POLLERR))
		ok = way_write(w);
	return ok;
}

/* Until the worker has closed, and all it said is passed on; or the client is gone. */
static void pump(struct client *c)
{
	struct pollfd p[2];
	bool told = false;

	while (!c->out.ended || c->out.whole) {
		ask_for(&p[0], c->client, &c->in, &c->out);
		ask_for(&p[1], c->out.ended ? -1 : c->worker, &c->out, &c->in);
		if (poll(p, 2, -1) < 0 && errno != EINTR)
			return;
		if (p[0].revents & (POLLHUP | POLLERR) && !wants_to_read(&c->in) && !c->in.whole)
			return;
		if (!move(&c->in, p[0].revents, p[1].revents) ||
			!move(&c->out, p[1].revents, p[0].revents))
			return;
		if (c->in.ended && !c->in.whole && !told)
			told = !shutdown(c->worker, SHUT_WR);
	}
}

static void *client_main(void *arg)
{
	struct client *c = arg;

	pump(c);
	close(c->client);
	close(c->worker);
	free(c);
	atomic_fetch_sub(&clients.count, 1);
	return NULL;
}

static int connect_worker(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	if (!connect(fd, (struct sockaddr *)&clients.worker, clients.length))
		return fd;
	if (errno == ECONNREFUSED)
		_exit(EXIT_SUCCESS); /* the worker is gone */
	close(fd);
	return -1;
}

static bool is_owner(int fd)
{
	struct ucred peer;
	socklen_t length = sizeof(peer);

	return !getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) &&
	       (peer.uid == clients.uid || peer.uid == 0);
}

static struct client *client_new(int fd)
{
	struct client *c = is_owner(fd) ? calloc(1, sizeof(*c)) : NULL;

	if (!c)
		return NULL;
	c->client = fd;
	c->worker = connect_worker();
	c->in.from = c->out.to = fd;
	c->in.to = c->out.from = c->worker;
	c->in.requests = true;
	c->in.client = c->out.client = c;
	c->first_request = (atomic_fetch_add(&clients.numbers, 1) + 1ull) << 32;
	if (c->worker >= 0)
		return c;
	free(c);
	return NULL;
}

/* ---- all ----------------------------------------------------------------- */

static void start_client(int fd)
{
	struct client *c = client_new(fd);
	pthread_t thread;

	if (!c) {
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

static void *accept_main(void *arg)
{
	for (;;) {
		int fd = accept4(clients.listener, NULL, NULL, SOCK_CLOEXEC);

		if (fd >= 0)
			start_client(fd);
		if (fd < 0 || atomic_load(&clients.count) >= CLIENTS_MAX)
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
		return 0;
	close(*fd);
	return ret;
}

/* Their threads end when they have read that the worker has closed. */
void broker_finish_clients(void)
{
	for (uint32_t i = 0; i < FINISH_TURNS && atomic_load(&clients.count); i++)
		poll(NULL, 0, FINISH_TURN_MS);
}
