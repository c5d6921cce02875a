/* SPDX-License-Identifier: MIT */
/* `enlite vm console` and `enlite vm log`: texts that grow, read again and again. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "cli/cmd_vm.h"
#include "mgmt/manager/client.h"

#define POLL_MS   100
#define INPUT_MAX 256u
#define LEAVE     0x1D /* Ctrl-] */

struct text {
	const struct vm_args *args;
	const char *what;
	uint64_t next;
	bool begun;
};

/* Prints what is new. */
static int print_new(struct text *t, struct err *e)
{
	char path[512];
	struct client_answer a;
	int ret;

	snprintf(path, sizeof(path), "/vms/%s/%s", t->args->vm, t->what);
	if (t->begun)
		snprintf(path + strlen(path), sizeof(path) - strlen(path), "?from=%llu",
			(unsigned long long)t->next);
	ret = client_call(t->args->socket, "GET", path, NULL, 0, &a, e);
	if (ret)
		return ret;
	if (a.status >= 300) {
		ret = client_refused(&a, e);
	} else {
		fwrite(a.body, 1, a.length, stdout);
		fflush(stdout);
		t->next = a.next;
		t->begun = true;
	}
	client_free(&a);
	return ret;
}

int vm_log(const struct vm_args *a, struct err *e)
{
	struct text t = {.args = a, .what = "log"};
	int ret = print_new(&t, e);

	while (!ret && a->follow) {
		poll(NULL, 0, POLL_MS);
		ret = print_new(&t, e);
	}
	return ret;
}

/* ---- the console --------------------------------------------------------- */

static int send_input(const struct vm_args *args, const char *bytes, size_t length, struct err *e)
{
	char path[512];
	struct client_answer a;
	int ret;

	snprintf(path, sizeof(path), "/vms/%s/console", args->vm);
	ret = client_call(args->socket, "POST", path, bytes, length, &a, e);
	if (ret)
		return ret;
	if (a.status >= 300)
		ret = client_refused(&a, e);
	client_free(&a);
	return ret;
}

/* 1: the user leaves, or there is no more input. */
static int take_input(const struct vm_args *a, struct err *e)
{
	char bytes[INPUT_MAX];
	ssize_t n = read(STDIN_FILENO, bytes, sizeof(bytes));
	const char *leave;
	int ret;

	if (n <= 0)
		return n < 0 && errno == EINTR ? 0 : 1;
	leave = memchr(bytes, LEAVE, (size_t)n);
	if (leave)
		n = leave - bytes;
	ret = n ? send_input(a, bytes, (size_t)n, e) : 0;
	return ret ? ret : leave != NULL;
}

static int converse(struct text *t, struct err *e)
{
	struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
	int ret = 0;

	while (!ret) {
		ret = print_new(t, e);
		if (!ret && poll(&input, 1, POLL_MS) > 0)
			ret = take_input(t->args, e);
	}
	return ret;
}

/* Without a terminal: what is there is printed, and the input sent. */
int vm_console(const struct vm_args *a, struct err *e)
{
	struct text t = {.args = a, .what = "console"};
	struct termios saved, raw;
	bool terminal = isatty(STDIN_FILENO) && !tcgetattr(STDIN_FILENO, &saved);
	int ret;

	if (terminal) {
		raw = saved;
		cfmakeraw(&raw);
		raw.c_oflag |= OPOST;
		tcsetattr(STDIN_FILENO, TCSANOW, &raw);
	}
	ret = converse(&t, e);
	if (terminal)
		tcsetattr(STDIN_FILENO, TCSANOW, &saved);
	return ret < 0 ? ret : 0;
}
