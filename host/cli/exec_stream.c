/* SPDX-License-Identifier: MIT */
#include "cli/exec_stream.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#include "agent/stream.h"
#include "base/file_output.h"

#define READ_MAX        32768u
#define SIGNALS_UNHEARD 2u

struct exec {
	struct agent_stream stream;
	bool terminal, input_ended;
	uint32_t on_the_way; /* of INPUT; at most AGENT_WINDOW */
	int signals;         /* signalfd */
	bool over;
	bool nobody_reads; /* what the command says */
	int write_error;   /* 0 or -errno: of what the command says */
	bool deaf;         /* the agent reads no more; what it sent is still to come */
	uint32_t unheard;  /* signals since the last frame came */
	int ended_by;      /* signal; 0: none */
	struct agent_exit end;
};

/* ---- our terminal -------------------------------------------------------- */

static struct termios saved;
static bool is_raw;

static void restore_terminal(void)
{
	if (is_raw)
		tcsetattr(STDIN_FILENO, TCSADRAIN, &saved);
	is_raw = false;
}

static void make_raw(void)
{
	struct termios raw;

	if (tcgetattr(STDIN_FILENO, &saved) < 0)
		return;
	raw = saved;
	cfmakeraw(&raw);
	is_raw = tcsetattr(STDIN_FILENO, TCSADRAIN, &raw) == 0;
	atexit(restore_terminal);
}

static struct agent_size terminal_size(void)
{
	struct winsize w = {.ws_row = 24, .ws_col = 80};

	ioctl(STDOUT_FILENO, TIOCGWINSZ, &w);
	return (struct agent_size){.rows = w.ws_row, .columns = w.ws_col};
}

/* ---- starting ------------------------------------------------------------ */

static int put_start(struct exec *x, const struct exec_command *command, struct err *e)
{
	const char *term = getenv("TERM"), *variables[] = {NULL, NULL};
	struct agent_size size = terminal_size();
	struct agent_start start = {.rows = size.rows, .columns = size.columns};
	uint8_t *space = malloc(AGENT_PAYLOAD_MAX);
	char variable[64];
	int length = -ENOMEM;

	if (command->terminal) {
		start.flags = AGENT_TERMINAL;
		snprintf(variable, sizeof(variable), "TERM=%s", term ? term : "dumb");
		variables[0] = variable;
	}
	if (space)
		length = agent_command_put(
			space, &start, (const char *const *)command->arguments, variables);
	if (length >= 0)
		agent_stream_put(&x->stream, AGENT_START, space, (size_t)length);
	free(space);
	if (length < 0)
		return err_set(e, length, "exec: the command: %s; at most %u words and %u bytes",
			strerror(-length), AGENT_STRINGS_MAX, AGENT_PAYLOAD_MAX);
	return 0;
}

/* A terminal sends what its keys mean, with one the signals of ours go to the guest. */
static int open_signals(bool terminal)
{
	sigset_t set;

	sigemptyset(&set);
	if (terminal)
		sigaddset(&set, SIGWINCH);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGQUIT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* ---- to the guest -------------------------------------------------------- */

/* What we cannot read has ended. */
static void send_input(struct exec *x)
{
	uint8_t bytes[READ_MAX];
	uint32_t most = AGENT_WINDOW - x->on_the_way;
	ssize_t n = read(STDIN_FILENO, bytes, most < READ_MAX ? most : READ_MAX);

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n < 0)
		n = 0;
	x->on_the_way += (uint32_t)n;
	x->input_ended = !n;
	agent_stream_put(&x->stream, AGENT_INPUT, bytes, (size_t)n);
}

/* A guest that is paused, or hangs, does not keep us: a hangup ends us, and so does a third signal
 * without any frame from there. */
static void pass_signal(struct exec *x, uint32_t number)
{
	if (number == SIGHUP || x->deaf || ++x->unheard > SIGNALS_UNHEARD ||
		!agent_stream_has_room(&x->stream, sizeof(number)))
		x->ended_by = (int)number;
	else
		agent_stream_put(&x->stream, AGENT_SIGNAL, &number, sizeof(number));
}

static void take_signal(struct exec *x)
{
	struct signalfd_siginfo info;
	struct agent_size size;

	if (read(x->signals, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo != SIGWINCH) {
		pass_signal(x, info.ssi_signo);
	} else if (!x->deaf && agent_stream_has_room(&x->stream, sizeof(size))) {
		size = terminal_size();
		agent_stream_put(&x->stream, AGENT_SIZE, &size, sizeof(size));
	}
}

/* What it has sent before it closed is still read. */
static void flush(struct exec *x)
{
	if (!agent_stream_flush(&x->stream))
		return;
	x->stream.out_begin = x->stream.out_end = 0;
	x->deaf = true;
}

/* ---- from the guest ------------------------------------------------------ */

static int write_output(struct exec *x, int fd, const struct agent_frame *frame)
{
	static const _Atomic bool closing; /* never: signals are taken when all is written */
	int ret = file_output_write(fd, frame->payload, frame->length, &closing);

	x->nobody_reads |= ret == -EPIPE;
	x->write_error = ret;
	return ret;
}

static int take_frame(struct exec *x, const struct agent_frame *frame)
{
	uint32_t taken;

	x->unheard = 0;
	switch (frame->type) {
	case AGENT_OUTPUT:
		return write_output(x, STDOUT_FILENO, frame);
	case AGENT_ERROR:
		return write_output(x, STDERR_FILENO, frame);
	case AGENT_TAKEN:
		if (!agent_frame_read(frame, &taken, sizeof(taken)) || taken > x->on_the_way)
			return -EPROTO;
		x->on_the_way -= taken;
		return 0;
	case AGENT_EXIT:
		x->over = true;
		return agent_frame_read(frame, &x->end, sizeof(x->end)) ? 0 : -EPROTO;
	default:
		return -EPROTO;
	}
}

static int take_frames(struct exec *x)
{
	struct agent_frame frame;
	int ret;

	do
		ret = agent_stream_next(&x->stream, &frame);
	while (ret > 0 && !(ret = take_frame(x, &frame)) && !x->over);
	return ret < 0 ? ret : 0;
}

/* ---- the loop ------------------------------------------------------------ */

static int turn(struct exec *x)
{
	bool room = agent_stream_is_flushed(&x->stream);
	bool input = room && !x->deaf && !x->input_ended && x->on_the_way < AGENT_WINDOW;
	struct pollfd p[] = {
		{x->stream.fd, POLLIN | (room ? 0 : POLLOUT), 0},
		{input ? STDIN_FILENO : -1, POLLIN, 0},
		{x->signals, POLLIN, 0},
	};
	int ret = 0;

	if (poll(p, 3, -1) < 0)
		return errno == EINTR ? 0 : -errno;
	if (p[1].revents)
		send_input(x);
	if (p[2].revents)
		take_signal(x);
	flush(x);
	if (p[0].revents & (POLLIN | POLLHUP | POLLERR))
		ret = agent_stream_fill(&x->stream);
	return ret < 0 ? ret : take_frames(x);
}

static int exit_status(const struct exec *x, const struct exec_command *command, struct err *e)
{
	uint32_t value = x->end.value;

	switch (x->end.end) {
	case AGENT_EXITED:
		return (int)(value & 0xFF);
	case AGENT_KILLED:
		return (int)(128 + (value & 0x7F));
	default:
		return err_set(e, value == ENOENT ? -ENOENT : -EACCES, "exec: %s: %s, in the guest",
			command->arguments[0] ? command->arguments[0] : "a login shell",
			strerror((int)(value & 0xFFF)));
	}
}

/* Before the command's end. */
static int early_end(const struct exec *x, int error, struct err *e)
{
	if (x->nobody_reads)
		return 128 + SIGPIPE; /* the agent hangs up */
	if (x->write_error)
		return err_set(e, error, "exec: what the command says cannot be written: %s",
			strerror(-error));
	return err_set(e, error, "exec: %s",
		error == -EPROTO ? "the guest's agent speaks another protocol"
				 : "the connection ended before the command did");
}

int exec_run(int fd, const struct exec_command *command, struct err *e)
{
	struct exec *x = calloc(1, sizeof(*x));
	int ret;

	if (!x)
		return err_set(e, -ENOMEM, "exec: no memory");
	x->stream.fd = fd;
	fcntl(fd, F_SETFL, O_NONBLOCK);
	ret = put_start(x, command, e);
	if (ret) {
		free(x);
		return ret;
	}
	x->signals = open_signals(command->terminal);
	if (command->terminal)
		make_raw();
	while (!ret && !x->over && !x->ended_by)
		ret = turn(x);
	restore_terminal();
	if (x->ended_by)
		ret = 128 + x->ended_by;
	else if (x->over && !ret)
		ret = exit_status(x, command, e);
	else
		ret = early_end(x, ret, e);
	close(x->signals);
	free(x);
	return ret;
}
