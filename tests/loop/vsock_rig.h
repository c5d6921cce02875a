/* SPDX-License-Identifier: MIT */
/* A VM's sockets: the unit of host/vm, a guest, and programs of the host. */
#ifndef VSOCK_RIG_H
#define VSOCK_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/unix_socket.h"
#include "tests/support/guest_socket.h"
#include "vm/vsock_impl.h"

#define PORT     1234u
#define OWN_PORT 0x50000u /* of the guest's end, and those that follow */

struct rig {
	struct guest g;
	struct vsock vsock;
	char dir[32], path[64];
	_Atomic bool closed, paused;
	struct guest_socket s[2];
};

static struct rig *r;

/* ---- the VM -------------------------------------------------------------- */

static inline void open_on_control(void *arg)
{
	struct err e;

	assert_int_equal(vsock_open(&r->vsock, &r->g.control, r->path, &e), 0);
	vsock_attach(&r->vsock, &r->g.host);
}

static inline void detach_on_control(void *arg)
{
	vsock_detach(&r->vsock);
}

static inline void closed(void *ctx)
{
	r->closed = true;
}

static inline void close_on_control(void *arg)
{
	vsock_close(&r->vsock, closed, NULL);
}

static inline void nothing(void *arg)
{
}

static inline int setup_threads(uint32_t io_threads)
{
	const struct guest_config config = {.ram = 64 << 20, .vps = 2, .io_threads = io_threads};

	r = calloc(1, sizeof(*r));
	snprintf(r->dir, sizeof(r->dir), "/tmp/vsock_test.XXXXXX");
	assert_non_null(mkdtemp(r->dir));
	snprintf(r->path, sizeof(r->path), "%s/v", r->dir);
	guest_start(&r->g, &config);
	guest_control(&r->g, open_on_control, NULL);
	guest_connect(&r->g, VMBUS_VERSION_WIN10_V5_3);
	return 0;
}

static inline int setup(void **state)
{
	return setup_threads(2);
}

static inline int teardown(void **state)
{
	if (!r->g.shut_down)
		guest_shut_down(&r->g);
	guest_control(&r->g, detach_on_control, NULL);
	guest_control(&r->g, close_on_control, NULL);
	while (!r->closed)
		guest_control(&r->g, nothing, NULL);
	guest_stop(&r->g);
	assert_int_not_equal(access(r->path, F_OK), 0);
	assert_int_equal(rmdir(r->dir), 0);
	free(r);
	return 0;
}

static inline void paused(void *ctx)
{
	r->paused = true;
}

static inline void pause_on_control(void *arg)
{
	vsock_pause(&r->vsock, paused, NULL);
}

static inline void pause_all(void)
{
	guest_control(&r->g, pause_on_control, NULL);
	while (!r->paused)
		guest_control(&r->g, nothing, NULL);
}

static inline void resume_on_control(void *arg)
{
	r->paused = false;
	vsock_resume(&r->vsock);
}

/* ---- programs of the host ------------------------------------------------ */

static inline void port_path(char path[80], uint32_t port)
{
	snprintf(path, 80, "%s_%u", r->path, port);
}

static inline int listen_at(uint32_t port)
{
	char path[80];
	int fd;

	port_path(path, port);
	fd = unix_socket_listen(path, SOCK_STREAM, 64);
	assert_true(fd >= 0);
	return fd;
}

static inline void unlisten(int fd, uint32_t port)
{
	char path[80];

	port_path(path, port);
	close(fd);
	unlink(path);
}

static inline int accept_at(int listener)
{
	int fd = accept(listener, NULL, NULL);

	assert_true(fd >= 0);
	return fd;
}

static inline void write_all(int fd, const void *bytes, size_t length)
{
	assert_int_equal(send(fd, bytes, length, MSG_NOSIGNAL), (ssize_t)length);
}

static inline void read_all(int fd, void *bytes, size_t length)
{
	assert_int_equal(recv(fd, bytes, length, MSG_WAITALL), (ssize_t)length);
}

static inline void expect_end(int fd)
{
	char byte;

	assert_int_equal(recv(fd, &byte, 1, 0), 0);
}

static inline void read_line(int fd, char *line, size_t size)
{
	size_t at = 0;

	do
		read_all(fd, line + at, 1);
	while (line[at++] != '\n' && at < size - 1);
	line[at] = 0;
}

static inline int ask_for(const char *line)
{
	int fd = unix_socket_connect(r->path, SOCK_STREAM);

	assert_true(fd >= 0);
	write_all(fd, line, strlen(line));
	return fd;
}

static inline void expect_ok(int fd)
{
	char line[32];
	unsigned int port;

	read_line(fd, line, sizeof(line));
	assert_int_equal(sscanf(line, "OK %u\n", &port), 1);
}

/* A guest's socket, and the program's. */
static inline int connect_to(struct guest_socket *s, int listener, uint32_t own_port)
{
	guest_socket_connect(s, &r->g, own_port, PORT);
	return accept_at(listener);
}

/* Both ends have closed. */
static inline void end_both(struct guest_socket *s, int fd)
{
	char byte;

	guest_socket_send_fin(s);
	expect_end(fd);
	close(fd);
	assert_int_equal(guest_socket_receive(s, &byte, 1), 0);
	guest_socket_close(s);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
