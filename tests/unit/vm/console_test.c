/* SPDX-License-Identifier: MIT */
/*
 * The console on pipes, files and a pseudo-terminal, with a real loop on this
 * thread. Standard input and output are replaced while a test runs.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after its prerequisites */
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file_lock.h"
#include "vm/console.h"

#define MS 1000000ull

static char dir[] = "/tmp/enlite-console-XXXXXX";
static char path[64];
static struct loop loop;
static struct console console;
static struct err e;
static int saved_in, saved_out;
static char typed[4096];
static size_t typed_count, takes;
static unsigned quits;
static bool drained;

/* ---- rig ----------------------------------------------------------------- */

static size_t take_input(void *ctx, const uint8_t *bytes, size_t count)
{
	size_t taken = count < takes ? count : takes;

	assert_true(typed_count + taken < sizeof(typed));
	memcpy(typed + typed_count, bytes, taken);
	typed_count += taken;
	loop_stop(&loop);
	return taken;
}

static void quit(void *ctx)
{
	quits++;
	loop_stop(&loop);
}

static const struct console_ops ops = {.input = take_input, .quit = quit};

static void set_stdio(int in, int out)
{
	fflush(stdout);
	assert_int_equal(dup2(in, STDIN_FILENO), STDIN_FILENO);
	assert_int_equal(dup2(out, STDOUT_FILENO), STDOUT_FILENO);
}

static void open_console(const char *where)
{
	if (console_open(&console, &loop, where, &ops, NULL, &e))
		fail_msg("%s", e.text);
}

static int setup(void **state)
{
	takes = sizeof(typed);
	typed_count = quits = 0;
	drained = false;
	memset(typed, 0, sizeof(typed));
	saved_in = dup(STDIN_FILENO);
	saved_out = dup(STDOUT_FILENO);
	return loop_init(&loop, "control", &e);
}

/* The ring goes before the console's buffers are used again. */
static int teardown(void **state)
{
	loop_fini(&loop);
	set_stdio(saved_in, saved_out);
	close(saved_in);
	close(saved_out);
	return 0;
}

static int group_setup(void **state)
{
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/log", dir);
	signal(SIGPIPE, SIG_IGN); /* as the machine does */
	return 0;
}

static int group_teardown(void **state)
{
	unlink(path);
	return rmdir(dir);
}

static void time_over(struct loop_timer *t)
{
	loop_stop(&loop);
}

static void run_for(unsigned ms)
{
	struct loop_timer timer = {.fn = NULL};

	loop_timer_start(&loop, &timer, ms * MS, time_over);
	loop_run(&loop);
	loop_timer_cancel(&timer);
}

static void on_drained(void *ctx)
{
	drained = true;
	loop_stop(&loop);
}

static void put(const char *text)
{
	while (*text)
		console_put(&console, (uint8_t)*text++);
}

static void drain(void)
{
	console_drain(&console, on_drained);
	loop_run(&loop);
	assert_true(drained);
}

static void wants_typed(const char *text)
{
	for (int i = 0; i < 100 && typed_count < strlen(text); i++)
		run_for(50);
	assert_string_equal(typed, text);
}

/* ---- output -------------------------------------------------------------- */

static void a_file_gets_everything(void **state)
{
	static char got[3 * CONSOLE_BUFFER];
	const size_t chunk = CONSOLE_BUFFER / 2;
	size_t total = 0;
	int fd;

	open_console(path);
	for (int round = 0; round < 5; round++) { /* around the ring */
		for (size_t i = 0; i < chunk; i++)
			console_put(&console, (uint8_t)(total++ % 251));
		drain();
		drained = false;
	}
	console_close(&console);
	assert_int_equal(atomic_load(&console.dropped), 0);
	fd = open(path, O_RDONLY);
	assert_int_equal(read(fd, got, sizeof(got)), total);
	close(fd);
	for (size_t i = 0; i < total; i++)
		assert_int_equal((uint8_t)got[i], i % 251);
}

static void an_unread_ring_drops_and_counts(void **state)
{
	open_console(path);
	for (size_t i = 0; i < CONSOLE_BUFFER + 10; i++)
		console_put(&console, 'x');
	assert_int_equal(atomic_load(&console.dropped), 10);
	drain();
	console_close(&console);
}

static void a_stuck_reader_is_given_up(void **state)
{
	uint64_t start = loop_now_ns();
	int fds[2];

	assert_int_equal(pipe(fds), 0);
	set_stdio(open("/dev/null", O_RDONLY), fds[1]);
	open_console("stdio");
	for (size_t i = 0; i < CONSOLE_BUFFER; i++)
		console_put(&console, 'x');
	drain();
	assert_true(loop_now_ns() - start >= CONSOLE_DRAIN_MS * MS);
	console_put(&console, 'y'); /* harmless */
	console_close(&console);
	close(fds[0]);
	close(fds[1]);
}

/* Somebody else may have made our standard output non-blocking: no spinning, nothing lost. */
static void a_nonblocking_output_waits(void **state)
{
	char *bytes = malloc(CONSOLE_BUFFER);
	size_t got = 0;
	int fds[2];

	assert_int_equal(pipe2(fds, O_NONBLOCK), 0);
	set_stdio(open("/dev/null", O_RDONLY), fds[1]);
	open_console("stdio");
	for (size_t i = 0; i < CONSOLE_BUFFER; i++)
		console_put(&console, 'z');
	run_for(100);
	assert_true(loop.turns < 50);
	for (int i = 0; i < 200 && got < CONSOLE_BUFFER; i++) {
		ssize_t n = read(fds[0], bytes, CONSOLE_BUFFER);

		got += n > 0 ? (size_t)n : 0;
		run_for(5);
	}
	assert_int_equal(got, CONSOLE_BUFFER);
	drain();
	console_close(&console);
	close(fds[0]);
	close(fds[1]);
	free(bytes);
}

static void a_gone_reader_mutes(void **state)
{
	int fds[2];

	assert_int_equal(pipe(fds), 0);
	close(fds[0]);
	set_stdio(open("/dev/null", O_RDONLY), fds[1]);
	open_console("stdio");
	put("lost\n");
	drain();
	assert_true(atomic_load(&console.muted));
	put("more\n");
	assert_int_equal(atomic_load(&console.dropped), 0);
	console_close(&console);
	close(fds[1]);
}

static void none_is_silent(void **state)
{
	open_console("none");
	put("nothing");
	drain();
	assert_int_equal(typed_count, 0);
	console_close(&console);
}

static void refused(const char *where, int error, const char *says)
{
	assert_int_equal(console_open(&console, &loop, where, &ops, NULL, &e), error);
	assert_non_null(strstr(e.text, where));
	assert_non_null(strstr(e.text, says));
}

static void bad_places(void **state)
{
	char fifo[80];

	refused("/nosuch/log", -ENOENT, "can be written");
	refused(dir, -EISDIR, "can be written");
	snprintf(fifo, sizeof(fifo), "%s/fifo", dir);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	refused(fifo, -ENXIO, "start its reader first");
	unlink(fifo);
}

/* ---- input --------------------------------------------------------------- */

static void keys_reach_the_guest(void **state)
{
	int fds[2];

	assert_int_equal(pipe(fds), 0);
	set_stdio(fds[0], saved_out);
	open_console("stdio");
	assert_int_equal(write(fds[1], "ls\r", 3), 3);
	wants_typed("ls\r");
	assert_int_equal(write(fds[1], "\001\001\001a", 4), 4); /* one Ctrl-A; and the a alone */
	wants_typed("ls\r\001a");
	assert_int_equal(write(fds[1], "x\001", 2), 2);
	wants_typed("ls\r\001ax");
	assert_int_equal(quits, 0);
	assert_int_equal(write(fds[1], "xy", 2), 2); /* the key that Ctrl-A waited for */
	wants_typed("ls\r\001axy");
	assert_int_equal(quits, 1);
	console_close(&console);
	close(fds[0]);
	close(fds[1]);
}

static void end_of_input_is_quiet(void **state)
{
	int fds[2];

	assert_int_equal(pipe(fds), 0);
	set_stdio(fds[0], saved_out);
	open_console("stdio");
	close(fds[1]);
	run_for(50);
	assert_true(loop.turns < 20);
	assert_int_equal(quits, 0);
	console_close(&console);
	close(fds[0]);
}

static void nonblocking_input_waits(void **state)
{
	int fds[2];

	assert_int_equal(pipe2(fds, O_NONBLOCK), 0);
	set_stdio(fds[0], saved_out);
	open_console("stdio");
	run_for(100);
	assert_true(loop.turns < 50);
	assert_int_equal(write(fds[1], "k", 1), 1);
	wants_typed("k");
	console_close(&console);
	close(fds[0]);
	close(fds[1]);
}

/* A UART has room for a few bytes at a time. */
static void a_guest_that_reads_slowly_loses_nothing(void **state)
{
	char text[3000];
	int fds[2];

	takes = 2;
	memset(text, 'k', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(pipe(fds), 0);
	set_stdio(fds[0], saved_out);
	open_console("stdio");
	assert_int_equal(write(fds[1], text, strlen(text)), strlen(text));
	while (typed_count < 20)
		loop_run(&loop);
	takes = sizeof(typed);
	wants_typed(text);
	console_close(&console);
	close(fds[0]);
	close(fds[1]);
}

/* The guest takes nothing at all. */
static void the_escape_works_behind_much_input(void **state)
{
	static char text[1000];
	int master, slave;

	takes = 0;
	memset(text, 'k', sizeof(text));
	assert_int_equal(openpty(&master, &slave, NULL, NULL, NULL), 0);
	fcntl(master, F_SETFL, O_NONBLOCK);
	set_stdio(slave, slave);
	open_console("stdio");
	for (ssize_t sent = 0; sent < 2 * (ssize_t)CONSOLE_TYPED;) {
		ssize_t n = write(master, text, sizeof(text)); /* its buffer may be full */

		sent += n > 0 ? n : 0;
		run_for(1);
	}
	while (write(master, "\001x", 2) != 2)
		run_for(1);
	for (int i = 0; i < 10000 && !quits; i++)
		run_for(10);
	assert_int_equal(quits, 1);
	console_close(&console);
	close(master);
	close(slave);
}

static void a_file_wraps(void **state)
{
	char got[64] = "";
	int fd;

	open_console(path);
	console.file_max = 10;
	put("0123456789abcdef");
	drain();
	console_close(&console);
	fd = open(path, O_RDONLY);
	assert_int_equal(read(fd, got, sizeof(got)), 10);
	close(fd);
	assert_string_equal(got, "abcdef6789");
}

/* It may be the image of a disk: nothing of it is changed. */
static void a_locked_file_is_refused_untouched(void **state)
{
	char got[16] = "";
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);

	assert_int_equal(write(fd, "image", 5), 5);
	assert_int_equal(file_lock_take(fd, false), 0);
	refused(path, -EBUSY, "is in use");
	assert_int_equal(pread(fd, got, sizeof(got), 0), 5);
	assert_string_equal(got, "image");
	close(fd);
	open_console(path);
	console_close(&console);
}

/* ---- job control --------------------------------------------------------- */

static pid_t spawn(void (*fn)(int slave), int slave)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		fn(slave);
		_exit(0);
	}
	return pid;
}

/* A process group that is not the terminal's. */
static void in_background(int slave)
{
	setpgid(0, 0);
	if (dup2(slave, 0) || dup2(slave, 1) != 1 || loop_init(&loop, "control", &e))
		_exit(1);
	if (console_open(&console, &loop, "stdio", &ops, NULL, &e))
		_exit(2);
	console_continue(&console);
	run_for(20);
	console_close(&console);
}

static void session(int slave)
{
	int status;
	pid_t pid;

	if (setsid() < 0 || ioctl(slave, TIOCSCTTY, 0))
		_exit(10);
	pid = spawn(in_background, slave);
	if (waitpid(pid, &status, WUNTRACED) != pid)
		_exit(11);
	if (WIFSTOPPED(status)) {
		kill(pid, SIGKILL);
		_exit(12);
	}
	_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 13);
}

static void a_background_job_is_not_stopped(void **state)
{
	struct termios before, after;
	int master, slave, status;
	pid_t pid;

	assert_int_equal(openpty(&master, &slave, NULL, NULL, NULL), 0);
	assert_int_equal(tcgetattr(slave, &before), 0);
	pid = spawn(session, slave);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	assert_int_equal(tcgetattr(slave, &after), 0);
	assert_int_equal(before.c_lflag, after.c_lflag);
	close(master);
	close(slave);
}

/* A shell gives a stopped job its own settings of the terminal. */
static void a_terminal_is_raw_again(void **state)
{
	struct termios cooked, during;
	int master, slave;

	assert_int_equal(openpty(&master, &slave, NULL, NULL, NULL), 0);
	assert_int_equal(tcgetattr(slave, &cooked), 0);
	set_stdio(slave, slave);
	open_console("stdio");
	assert_int_equal(tcsetattr(slave, TCSANOW, &cooked), 0);
	console_continue(&console);
	assert_int_equal(tcgetattr(slave, &during), 0);
	assert_int_equal(during.c_lflag & (ICANON | ECHO | ISIG), 0);
	console_close(&console);
	assert_int_equal(tcgetattr(slave, &during), 0);
	assert_int_equal(during.c_lflag, cooked.c_lflag);
	close(master);
	close(slave);
}

static void a_terminal_is_raw_and_restored(void **state)
{
	struct termios before, during, after;
	int master, slave;

	assert_int_equal(openpty(&master, &slave, NULL, NULL, NULL), 0);
	assert_int_equal(tcgetattr(slave, &before), 0);
	set_stdio(slave, slave);
	open_console("stdio");
	assert_int_equal(tcgetattr(slave, &during), 0);
	assert_int_equal(during.c_lflag & (ICANON | ECHO | ISIG), 0);
	assert_true(during.c_oflag & OPOST);
	assert_int_equal(write(master, "\003\001x", 3), 3); /* Ctrl-C is for the guest */
	wants_typed("\003");
	assert_int_equal(quits, 1);
	console_close(&console);
	assert_int_equal(tcgetattr(slave, &after), 0);
	assert_memory_equal(&before.c_lflag, &after.c_lflag, sizeof(before.c_lflag));
	assert_int_equal(before.c_iflag, after.c_iflag);
	assert_int_equal(before.c_oflag, after.c_oflag);
	close(master);
	close(slave);
}

int main(void)
{
#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		test(a_file_gets_everything),
		test(an_unread_ring_drops_and_counts),
		test(a_stuck_reader_is_given_up),
		test(a_nonblocking_output_waits),
		test(a_gone_reader_mutes),
		test(none_is_silent),
		test(bad_places),
		test(keys_reach_the_guest),
		test(end_of_input_is_quiet),
		test(nonblocking_input_waits),
		test(a_guest_that_reads_slowly_loses_nothing),
		test(the_escape_works_behind_much_input),
		test(a_file_wraps),
		test(a_locked_file_is_refused_untouched),
		test(a_background_job_is_not_stopped),
		test(a_terminal_is_raw_again),
		test(a_terminal_is_raw_and_restored),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
