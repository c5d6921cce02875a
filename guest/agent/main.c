/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * enlite-agent: runs what `enlite exec` and `enlite shell` ask for, in a guest. Static, without
 * configuration; an initrd may carry it.
 *
 *   enlite-agent            listens at AF_VSOCK port 1021 for the host
 *   enlite-agent --stdio    serves one client, who is its standard input: for socket activation
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* After <sys/socket.h>. */
#include <linux/vm_sockets.h>

#include "command.h"

#define CLIENTS_MAX 64

static int fail(const char *what)
{
	fprintf(stderr, "enlite-agent: %s: %s\n", what, strerror(errno));
	return EXIT_FAILURE;
}

/* Programs of the guest are no clients; who handed us another kind of socket knows why. */
static bool may_ask(int fd)
{
	struct sockaddr_vm peer;
	socklen_t size = sizeof(peer);

	memset(&peer, 0, sizeof(peer));
	if (getpeername(fd, (struct sockaddr *)&peer, &size) || peer.svm_family != AF_VSOCK)
		return true;
	return peer.svm_cid == VMADDR_CID_HOST;
}

static void serve_client(int fd)
{
	if (may_ask(fd))
		serve(fd);
}

/* ---- listening ----------------------------------------------------------- */

static int listen_for_host(void)
{
	const struct sockaddr_vm address = {
		.svm_family = AF_VSOCK,
		.svm_cid = VMADDR_CID_ANY,
		.svm_port = AGENT_PORT,
	};
	int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	if (!bind(fd, (const struct sockaddr *)&address, sizeof(address)) &&
		!listen(fd, CLIENTS_MAX))
		return fd;
	close(fd);
	return -1;
}

/* Blocks when there must be one client less before there can be one more. */
static void reap(int *clients, bool block)
{
	while (*clients && waitpid(-1, NULL, block ? 0 : WNOHANG) > 0) {
		--*clients;
		block = false;
	}
}

/* A client does not keep the port when this process dies: another one could not listen there, and
 * connections would be accepted that no process serves. */
static void start_client(int listener, int fd, int *clients)
{
	pid_t pid = fork();

	if (pid == 0) {
		close(listener);
		serve_client(fd);
		_exit(EXIT_SUCCESS);
	}
	*clients += pid > 0;
}

static bool is_transient(int error)
{
	return error == EINTR || error == ECONNABORTED;
}

/* Descriptors and memory come back with the clients that have them. */
static bool is_shortage(int error)
{
	return error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS;
}

static int listen_for_ever(void)
{
	int listener = listen_for_host(), clients = 0;

	if (listener < 0)
		return fail("AF_VSOCK port 1021");
	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC), error = errno;

		if (fd < 0 && !is_transient(error) && !(is_shortage(error) && clients))
			return fail("AF_VSOCK port 1021");
		if (fd >= 0) {
			start_client(listener, fd, &clients);
			close(fd);
		}
		reap(&clients, clients == CLIENTS_MAX || (fd < 0 && is_shortage(error)));
	}
}

int main(int argc, char **argv)
{
	signal(SIGPIPE, SIG_IGN);
	if (argc == 2 && !strcmp(argv[1], "--stdio")) {
		serve_client(STDIN_FILENO);
		return EXIT_SUCCESS;
	}
	if (argc == 1)
		return listen_for_ever();
	fprintf(stderr, "usage: enlite-agent [--stdio]\n");
	return 2;
}
