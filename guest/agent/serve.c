/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Between a client and its command:
 *
 *   WAITING --START--> RUNNING --it ended, its output is sent--> OVER
 *      |                  |                                        ^
 *      `------------------+--the client is gone, or breaks the protocol: SIGHUP--'
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "agent/stream.h"
#include "command.h"

#define READ_MAX 32768u

struct session {
	struct agent_stream stream;
	enum { WAITING, RUNNING, OVER } state;
	struct command command;
	bool ended, input_ends, input_over; /* ends: the client said so; over: the command knows */
	uint32_t input_size;
	uint8_t input[AGENT_WINDOW]; /* the command has not read these */
};

/* ---- frames from the client ---------------------------------------------- */

static void put_exit(struct session *s, enum agent_end end, uint32_t value)
{
	const struct agent_exit frame = {.end = end, .value = value};

	agent_stream_put(&s->stream, AGENT_EXIT, &frame, sizeof(frame));
}

static int start(struct session *s, const struct agent_frame *frame)
{
	struct agent_command wanted;
	int ret = agent_command_parse(frame, &wanted), error;

	if (ret)
		return ret;
	error = command_start(&s->command, &wanted);
	s->state = error ? OVER : RUNNING;
	if (error)
		put_exit(s, AGENT_NOT_STARTED, (uint32_t)error);
	return 0;
}

static int take_input(struct session *s, const struct agent_frame *frame)
{
	if (s->input_ends || frame->length > sizeof(s->input) - s->input_size)
		return -EPROTO;
	memcpy(s->input + s->input_size, frame->payload, frame->length);
	s->input_size += frame->length;
	s->input_ends = !frame->length;
	return 0;
}

static int set_size(struct session *s, const struct agent_frame *frame)
{
	struct agent_size size;
	struct winsize w = {0};

	if (!s->command.terminal || !agent_frame_read(frame, &size, sizeof(size)))
		return -EPROTO;
	w.ws_row = size.rows;
	w.ws_col = size.columns;
	ioctl(s->command.input, TIOCSWINSZ, &w);
	return 0;
}

static int send_signal(struct session *s, const struct agent_frame *frame)
{
	uint32_t number;

	if (!agent_frame_read(frame, &number, sizeof(number)) || !number || number >= NSIG)
		return -EPROTO;
	if (!s->ended)
		kill(-s->command.pid, (int)number);
	return 0;
}

static int take_frame(struct session *s, const struct agent_frame *frame)
{
	if (s->state == WAITING)
		return frame->type == AGENT_START ? start(s, frame) : -EPROTO;
	switch (frame->type) {
	case AGENT_INPUT:
		return take_input(s, frame);
	case AGENT_SIZE:
		return set_size(s, frame);
	case AGENT_SIGNAL:
		return send_signal(s, frame);
	default:
		return -EPROTO;
	}
}

static int take_frames(struct session *s)
{
	struct agent_frame frame;
	int ret;

	do
		ret = agent_stream_next(&s->stream, &frame);
	while (ret > 0 && s->state != OVER && !(ret = take_frame(s, &frame)));
	return ret < 0 ? ret : 0;
}

/* ---- the command's input and output -------------------------------------- */

/* A command that has closed its input loses it; the client goes on. */
static void give_input(struct session *s)
{
	ssize_t n = 0;
	uint32_t taken;

	if (s->input_size)
		n = write(s->command.input, s->input, s->input_size);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	taken = n < 0 ? s->input_size : (uint32_t)n;
	s->input_size -= taken;
	memmove(s->input, s->input + taken, s->input_size);
	if (taken)
		agent_stream_put(&s->stream, AGENT_TAKEN, &taken, sizeof(taken));
	s->input_over = s->input_ends && !s->input_size && command_end_input(&s->command);
}

/* True: something was read, or may be later. False: this was the end. */
static bool take_output(struct session *s, int fd, enum agent_type type)
{
	uint8_t bytes[READ_MAX];
	ssize_t n = read(fd, bytes, sizeof(bytes));

	if (n > 0)
		agent_stream_put(&s->stream, type, bytes, (size_t)n);
	return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

static void put_end(struct session *s)
{
	int status = 0;

	while (waitpid(s->command.pid, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFEXITED(status))
		put_exit(s, AGENT_EXITED, (uint32_t)WEXITSTATUS(status));
	else
		put_exit(s, AGENT_KILLED, (uint32_t)WTERMSIG(status));
	s->state = OVER;
}

/* ---- the loop ------------------------------------------------------------ */

enum { CLIENT, INPUT, OUTPUT, ERROR, ENDED, POLLED };

static bool wants_input(const struct session *s)
{
	return s->state == RUNNING && !s->input_over &&
	       agent_stream_has_room(&s->stream, 2 * READ_MAX);
}

static void choose(const struct session *s, struct pollfd p[POLLED])
{
	const struct command *c = &s->command;
	bool runs = s->state == RUNNING, room = agent_stream_is_flushed(&s->stream);

	p[CLIENT] = (struct pollfd){s->stream.fd, POLLIN, 0};
	if (!room)
		p[CLIENT].events |= POLLOUT;
	p[INPUT] = (struct pollfd){
		wants_input(s) && (s->input_size || s->input_ends) ? c->input : -1, POLLOUT, 0};
	p[OUTPUT] = (struct pollfd){runs && room ? c->output : -1, POLLIN, 0};
	p[ERROR] = (struct pollfd){runs && room ? c->error : -1, POLLIN, 0};
	p[ENDED] = (struct pollfd){runs && !s->ended ? c->pidfd : -1, POLLIN, 0};
}

/* A descriptor that has ended is not asked again. */
static void take_outputs(struct session *s, const struct pollfd p[POLLED])
{
	struct command *c = &s->command;

	if (p[OUTPUT].revents && !take_output(s, c->output, AGENT_OUTPUT)) {
		if (!c->terminal)
			close(c->output);
		c->output = -1;
	}
	if (p[ERROR].revents && !take_output(s, c->error, AGENT_ERROR)) {
		close(c->error);
		c->error = -1;
	}
}

/* What a process that it left behind writes later is not waited for. */
static bool is_drained(const struct session *s, const struct pollfd p[POLLED])
{
	return s->ended && agent_stream_is_flushed(&s->stream) && !p[OUTPUT].revents &&
	       !p[ERROR].revents;
}

static int turn(struct session *s)
{
	struct pollfd p[POLLED];
	int ret;

	choose(s, p);
	if (poll(p, POLLED, s->ended && agent_stream_is_flushed(&s->stream) ? 0 : -1) < 0)
		return errno == EINTR ? 0 : -errno;
	if (is_drained(s, p))
		put_end(s);
	ret = agent_stream_flush(&s->stream);
	if (!ret && p[CLIENT].revents & (POLLIN | POLLHUP | POLLERR))
		ret = agent_stream_fill(&s->stream);
	if (ret >= 0)
		ret = take_frames(s);
	if (s->state == RUNNING) {
		take_outputs(s, p);
		if (wants_input(s))
			give_input(s);
		s->ended |= p[ENDED].revents != 0;
	}
	return ret;
}

/* The client reads the rest; it may be slow, and a socket that is closed may lose what it has not
 * taken. So the client closes first. */
static void flush_all(struct agent_stream *s)
{
	uint8_t bytes[256];

	fcntl(s->fd, F_SETFL, 0);
	while (!agent_stream_is_flushed(s))
		if (agent_stream_flush(s))
			return;
	while (read(s->fd, bytes, sizeof(bytes)) > 0)
		;
}

void serve(int fd)
{
	struct session *s = calloc(1, sizeof(*s));
	int ret = 0;

	if (!s)
		return;
	fcntl(fd, F_SETFL, O_NONBLOCK);
	s->stream.fd = fd;
	while (!ret && s->state != OVER)
		ret = turn(s);
	if (s->state == RUNNING)
		kill(-s->command.pid, SIGHUP);
	if (s->state != WAITING)
		command_close(&s->command);
	if (!ret)
		flush_all(&s->stream);
	free(s);
}
