/* SPDX-License-Identifier: MIT */
/*
 * The NBD disk and a server that hangs: altogether, or over one request; requests
 * that are cancelled; and changes that must not be executed late.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "tests/support/nbd_rig.h"

static struct nbd_rig n;

static const char *const file_args[] = {"file", "FILE", NULL};
/* No multi-conn: one connection for all queues, on a thread of its own. */
static const char *const single_args[] = {
	"--filter=multi-conn", "file", "FILE", "multi-conn-mode=disable", NULL};

/* ---- a server that answers, but not one request -------------------------- */

static const char *const mute_reads[] = {"--filter=delay", "file", "FILE", "rdelay=1000", NULL};
static const char *const mute_reads_single[] = {"--filter=multi-conn", "--filter=delay", "file",
	"FILE", "rdelay=1000", "multi-conn-mode=disable", NULL};

/* Writes and is answered, for as long as slot 0 waits. */
static uint32_t write_meanwhile(void)
{
	uint32_t writes = 0;

	while (n.disk.slots[0].busy) {
		disk_rig_start(&n.disk, 1, DISK_WRITE, 0, NBD_AREA, 512, n.shadow[1]);
		while (n.disk.slots[1].busy)
			loop_run(&n.disk.loop);
		assert_int_equal(n.disk.slots[1].error, 0);
		writes++;
	}
	return writes;
}

/* It fails, within its time; what came meanwhile and comes later does not. */
static void hang_one_for_ever(const char *const *args)
{
	uint64_t start;

	nbd_rig_begin(&n, args, 2 * NS_PER_S, false);
	start = loop_now_ns();
	disk_rig_start(&n.disk, 0, DISK_READ, 0, 0, 512, n.in[0]);
	assert_true(write_meanwhile() > 10);
	assert_int_equal(n.disk.slots[0].error, -EIO);
	assert_true(loop_now_ns() - start >= 4 * NS_PER_S);
	assert_int_equal(disk_rig_run(&n.disk, DISK_WRITE, 0, NBD_AREA, 512, n.shadow[1]), 0);
	/* Connections were left over acknowledged writes. */
	assert_int_equal(disk_rig_run(&n.disk, DISK_FLUSH, 0, 0, 0, NULL), -EIO);
	assert_int_equal(disk_rig_run(&n.disk, DISK_FLUSH, 0, 0, 0, NULL), 0);
	nbd_rig_end(&n);
}

static void one_request_hangs(void **state)
{
	hang_one_for_ever(mute_reads);
}

static void one_request_hangs_over_one_connection(void **state)
{
	hang_one_for_ever(mute_reads_single);
}

/* While the connection is left, which takes half of the limit, the loop sleeps. */
static void leaving_costs_no_cpu(void **state)
{
	uint64_t turns;

	nbd_rig_begin(&n, mute_reads, 4 * NS_PER_S, false);
	turns = n.disk.loop.turns;
	disk_rig_start(&n.disk, 0, DISK_READ, 0, 0, 512, n.in[0]);
	while (n.disk.slots[0].busy) {
		if (!n.disk.slots[1].busy)
			disk_rig_start(&n.disk, 1, DISK_WRITE, 0, NBD_AREA, 512, n.shadow[1]);
		nbd_rig_run(&n, 100 * NS_PER_MS);
	}
	disk_rig_wait(&n.disk, 0);
	turns = n.disk.loop.turns - turns;
	print_message("# %llu turns\n", (unsigned long long)turns);
	assert_true(turns < 2000);
	nbd_rig_end(&n);
}

/* It ends at each read, and is started again: a connection that is lost is no answer. */
static void a_server_that_dies_of_a_request_is_given_up(void **state)
{
	static const char *const dies[] = {"eval", "get_size=echo 8388608",
		"thread_model=echo parallel", "can_multi_conn=exit 0",
		"pread=kill -KILL $PPID; exit 1", NULL};
	uint64_t start;

	nbd_rig_begin(&n, dies, 3 * NS_PER_S, true);
	start = loop_now_ns();
	disk_rig_start(&n.disk, 0, DISK_READ, 0, 0, 512, n.in[0]);
	while (n.disk.slots[0].busy && loop_now_ns() - start < 40 * NS_PER_S)
		nbd_rig_run(&n, 50 * NS_PER_MS);
	if (n.disk.slots[0].busy)
		fail_msg("it is asked again and again");
	assert_int_equal(n.disk.slots[0].error, -EIO);
	nbd_rig_end(&n);
}

/* The next connection finds a server that answers: the request is done there. */
static void a_hung_request_is_sent_again(void **state)
{
	pid_t mute;

	nbd_rig_begin(&n, mute_reads, 3 * NS_PER_S, false);
	nbd_rig_fill(&n, n.shadow[0], 512);
	assert_int_equal(disk_rig_run(&n.disk, DISK_WRITE, 0, 0, 512, n.shadow[0]), 0);
	mute = n.server.pid;
	n.server.pid = 0;
	n.server.args[3] = "rdelay=0";
	nbd_server_start(&n.server);
	disk_rig_start(&n.disk, 0, DISK_READ, 0, 0, 512, n.in[0]);
	assert_true(write_meanwhile() > 10);
	assert_int_equal(n.disk.slots[0].error, 0);
	assert_memory_equal(n.in[0], n.shadow[0], 512);
	nbd_rig_end(&n);
	n.server.pid = mute;
	nbd_server_kill(&n.server);
}

/* Each request waits for longer than the limit, but in a queue that moves. */
static void a_slow_server_is_not_given_up(void **state)
{
	static const char *const slow[] = {
		"--threads=1", "--filter=delay", "file", "FILE", "wdelay=50ms", NULL};
	uint64_t start;

	nbd_rig_begin(&n, slow, 1 * NS_PER_S, false);
	start = loop_now_ns();
	for (uint32_t slot = 0; slot < 60; slot++)
		disk_rig_start(
			&n.disk, slot, DISK_WRITE, 0, (uint64_t)slot * NBD_AREA, 512, n.shadow[0]);
	disk_rig_wait(&n.disk, 0);
	assert_true(loop_now_ns() - start > 2 * NS_PER_S);
	for (uint32_t slot = 0; slot < 60; slot++)
		assert_int_equal(n.disk.slots[slot].error, 0);
	/* no connection was lost */
	assert_int_equal(disk_rig_run(&n.disk, DISK_FLUSH, 0, 0, 0, NULL), 0);
	nbd_rig_end(&n);
}

/* ---- a server that still holds a change when its connection ends --------- */

/* The first write has its data, and waits for the file "go" before it writes them. */
static const char *const held_write[] = {"eval", "get_size=echo 8388608",
	"thread_model=echo parallel", "can_write=exit 0", "can_flush=exit 0", "flush=exit 0",
	"can_multi_conn=exit 0",
	"pread=dd if=$NBD_DIR/disk iflag=skip_bytes,count_bytes,fullblock skip=$4 count=$3 bs=64K",
	"pwrite=cat >$tmpdir/$$; if mkdir $tmpdir/first; then : >$NBD_DIR/held;"
	" while [ ! -e $NBD_DIR/go ] && kill -0 $NBD_SUPERVISOR; do sleep 0.02; done; held=1; fi 2>/dev/null;"
	" dd if=$tmpdir/$$ of=$NBD_DIR/disk oflag=seek_bytes seek=$4 bs=64K conv=notrunc; [ -z \"$held\" ] || : >$NBD_DIR/written",
	NULL};

static void wait_for_file(const char *name)
{
	char path[128];
	uint64_t start = loop_now_ns();

	snprintf(path, sizeof(path), "%s/%s", n.server.dir, name);
	while (access(path, F_OK)) {
		assert_true(loop_now_ns() - start < 120 * NS_PER_S);
		nbd_rig_run(&n, 5 * NS_PER_MS);
	}
}

static void make_file(const char *name)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", n.server.dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	close(fd);
}

/* Begins a write of A that the server holds. */
static void begin_held_write(uint64_t retry_ns)
{
	nbd_rig_begin(&n, held_write, retry_ns, false);
	memset(n.shadow[0], 'A', 512);
	memset(n.shadow[1], 'B', 512);
	disk_rig_start(&n.disk, 0, DISK_WRITE, 0, 0, 512, n.shadow[0]);
	wait_for_file("held");
}

/* The connection was dropped with A in flight. What comes later must not be undone by A. */
static void later_writes_are_not_undone(void)
{
	int b = disk_rig_run(&n.disk, DISK_WRITE, 0, 0, 512, n.shadow[1]);

	disk_rig_run(&n.disk, DISK_FLUSH, 0, 0, 0, NULL);
	make_file("go");
	wait_for_file("written");
	assert_int_equal(disk_rig_run(&n.disk, DISK_READ, 0, 0, 512, n.in[0]), 0);
	if (b == 0)
		assert_memory_equal(n.in[0], n.shadow[1], 512);
	/* A may have come late: until the disk is opened again, nothing is changed any more. */
	assert_int_equal(b, -EIO);
	assert_int_equal(disk_rig_run(&n.disk, DISK_WRITE, 0, 512, 512, n.shadow[1]), -EIO);
	assert_int_equal(disk_rig_run(&n.disk, DISK_WRITE_ZEROES, 0, 512, 512, NULL), -EIO);
	assert_int_equal(disk_rig_run(&n.disk, DISK_DISCARD, 0, 512, 512, NULL), -EIO);
	nbd_rig_end(&n);
}

static void a_held_write_does_not_undo_later_ones(void **state)
{
	begin_held_write(3 * NS_PER_S);
	disk_rig_wait(&n.disk, 0);
	assert_int_equal(n.disk.slots[0].error, -EIO);
	later_writes_are_not_undone();
}

static void a_held_write_that_is_cancelled_does_not_undo_later_ones(void **state)
{
	begin_held_write(100 * NS_PER_S);
	disk_rig_cancel(&n.disk, 0);
	disk_rig_wait(&n.disk, 0);
	assert_int_equal(n.disk.slots[0].error, -ECANCELED);
	later_writes_are_not_undone();
}

/* The server has its time: it answers, and the connection ends in good order. */
static void a_held_write_is_answered_while_we_leave(void **state)
{
	begin_held_write(20 * NS_PER_S);
	disk_rig_cancel(&n.disk, 0);
	nbd_rig_run(&n, 1100 * NS_PER_MS); /* NBD_CMD_DISC is sent after 1 s, and waits for 1 s */
	make_file("go");
	disk_rig_wait(&n.disk, 0);
	assert_int_equal(n.disk.slots[0].error, 0);
	assert_int_equal(disk_rig_run(&n.disk, DISK_WRITE, 0, 0, 512, n.shadow[1]), 0);
	assert_int_equal(disk_rig_run(&n.disk, DISK_READ, 0, 0, 512, n.in[0]), 0);
	assert_memory_equal(n.in[0], n.shadow[1], 512);
	nbd_rig_end(&n);
}

/* The old server ends the connection without having done the write: it may be sent again. */
static void a_hung_write_is_sent_again_after_an_orderly_end(void **state)
{
	static const char *const mute_writes[] = {
		"--filter=delay", "file", "FILE", "wdelay=1000", NULL};
	pid_t mute;

	nbd_rig_begin(&n, mute_writes, 3 * NS_PER_S, false);
	mute = n.server.pid;
	n.server.pid = 0;
	n.server.args[3] = "wdelay=0";
	nbd_server_start(&n.server);
	memset(n.shadow[1], 'B', 512);
	assert_int_equal(disk_rig_run(&n.disk, DISK_WRITE, 0, 0, 512, n.shadow[1]), 0);
	assert_int_equal(disk_rig_run(&n.disk, DISK_WRITE, 0, 512, 512, n.shadow[1]), 0);
	assert_int_equal(disk_rig_run(&n.disk, DISK_FLUSH, 0, 0, 0, NULL), 0);
	memset(n.shadow, 0, sizeof(n.shadow));
	nbd_server_kill(&n.server);
	n.server.pid = mute;
	nbd_rig_end(&n);
}

/* It takes connections, or the kernel does for it, and never says a word. */
static void a_mute_server_is_not_waited_for_at_start(void **state)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	struct disk_nbd_options o = {0};
	uint64_t start = loop_now_ns();
	struct disk *disk;
	struct err e;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	nbd_server_init(&n.server, file_args, NBD_SIZE);
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", n.server.socket);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(fd, 4), 0);
	assert_int_equal(disk_nbd_open(&disk, n.server.uri, &o, &e), -ETIMEDOUT);
	assert_non_null(strstr(e.text, "does not answer within 5 s"));
	assert_true(loop_now_ns() - start >= 5 * NS_PER_S);
	close(fd);
	nbd_server_fini(&n.server);
}

/* Nothing on a loop waits for a server: queues open at once, and requests wait for them. */
static void queues_open_while_the_server_is_silent(void **state)
{
	struct disk_queue *queues[8];
	uint64_t start;

	nbd_rig_begin(&n, file_args, 100 * NS_PER_S, false);
	nbd_server_pause(&n.server, true);
	start = loop_now_ns();
	for (uint32_t i = 0; i < 8; i++)
		assert_int_equal(disk_queue_open(n.disk.disk, &n.disk.loop, &queues[i]), 0);
	assert_true(loop_now_ns() - start < 5 * NS_PER_S); /* the shortest wait for a server */
	nbd_rig_run(&n, 5 * NS_PER_MS);
	for (uint32_t i = 0; i < 8; i++)
		disk_queue_close(queues[i]);
	nbd_server_pause(&n.server, false);
	assert_int_equal(disk_rig_run(&n.disk, DISK_READ, 0, 0, 512, n.in[0]), 0);
	nbd_rig_end(&n);
}

/* The connections of new queues reach the same server: no flush fails because of them. */
static void queues_open_between_writes(void **state)
{
	struct disk_queue *queue;

	nbd_rig_begin(&n, file_args, 0, false);
	for (uint32_t i = 0; i < 20; i++) {
		assert_int_equal(disk_rig_run(&n.disk, DISK_WRITE, 0, 0, 512, n.in[0]), 0);
		assert_int_equal(disk_queue_open(n.disk.disk, &n.disk.loop, &queue), 0);
		nbd_rig_run(&n, 10 * NS_PER_MS);
		assert_int_equal(disk_rig_run(&n.disk, DISK_FLUSH, 0, 0, 0, NULL), 0);
		disk_queue_close(queue);
	}
	nbd_rig_end(&n);
}

/* ---- cancelling ---------------------------------------------------------- */

static void start_some(void)
{
	disk_rig_start(&n.disk, 0, DISK_READ, 0, 0, NBD_AREA, n.in[0]);
	disk_rig_start(&n.disk, 1, DISK_WRITE, 0, NBD_AREA, NBD_AREA, n.shadow[1]);
	disk_rig_start(&n.disk, 2, DISK_FLUSH, 0, 0, 0, NULL);
	disk_rig_start(&n.disk, 3, DISK_WRITE_ZEROES, 0, 2 * NBD_AREA, NBD_AREA, NULL);
	disk_rig_start(&n.disk, 4, DISK_READ, 0, 0, NBD_AREA, n.in[1]); /* stays */
}

static void cancel_some(void)
{
	for (uint32_t slot = 0; slot < 4; slot++) {
		disk_rig_cancel(&n.disk, slot);
		disk_rig_cancel(&n.disk, slot);
	}
	disk_rig_wait(&n.disk, 1);
	for (uint32_t slot = 0; slot < 4; slot++)
		assert_int_equal(n.disk.slots[slot].error, -ECANCELED);
}

/* Nothing reaches the pages of a cancelled read; the others go on. */
static void cancel_at_a_hung_server(const char *const *args)
{
	nbd_rig_begin(&n, args, 100 * NS_PER_S, false);
	memset(n.shadow[0], 0x5A, NBD_AREA);
	assert_int_equal(disk_rig_run(&n.disk, DISK_WRITE, 0, 0, NBD_AREA, n.shadow[0]), 0);
	assert_int_equal(disk_rig_run(&n.disk, DISK_FLUSH, 0, 0, 0, NULL), 0);
	nbd_server_pause(&n.server, true);
	start_some();
	nbd_rig_run(
		&n, 5 * NS_PER_MS); /* not needed: so that some of it is at the server, mostly */
	cancel_some();
	memset(n.in[0], 0xC3, NBD_AREA);
	nbd_server_kill(
		&n.server); /* nbdkit 1.32 may crash when it wakes up and a client has left */
	nbd_server_start(&n.server);
	disk_rig_wait(&n.disk, 0);
	assert_int_equal(n.disk.slots[4].error, 0);
	assert_memory_equal(n.in[1], n.shadow[0], NBD_AREA);
	for (uint32_t i = 0; i < NBD_AREA; i++)
		assert_int_equal(n.in[0][i], 0xC3);
	nbd_rig_end(&n);
}

static void cancels_at_a_hung_server(void **state)
{
	cancel_at_a_hung_server(file_args);
}

static void cancels_at_a_hung_server_over_one_connection(void **state)
{
	cancel_at_a_hung_server(single_args);
}

static void cancel_without_a_server(const char *const *args)
{
	nbd_rig_begin(&n, args, 100 * NS_PER_S, false);
	nbd_server_kill(&n.server);
	start_some();
	cancel_some();
	nbd_server_start(&n.server);
	disk_rig_wait(&n.disk, 0);
	assert_int_equal(n.disk.slots[4].error, 0);
	nbd_rig_end(&n);
}

static void cancels_without_a_server(void **state)
{
	cancel_without_a_server(file_args);
}

static void cancels_without_a_server_over_one_connection(void **state)
{
	cancel_without_a_server(single_args);
}

/* A server that answers is not left: all is done, once, and no flush fails for it. */
static void cancel_at_a_good_server(const char *const *args)
{
	nbd_rig_begin(&n, args, 0, false);
	for (uint32_t round = 0; round < 20; round++) {
		for (uint32_t slot = 0; slot < NBD_AREAS; slot++)
			disk_rig_start(&n.disk, slot, slot % 3 ? DISK_WRITE : DISK_READ, 0,
				(uint64_t)slot * NBD_AREA, NBD_AREA, n.in[slot]);
		for (uint32_t slot = 0; slot < NBD_AREAS; slot++)
			if (n.disk.slots[slot].busy)
				disk_rig_cancel(&n.disk, slot);
		disk_rig_wait(&n.disk, 0);
		for (uint32_t slot = 0; slot < NBD_AREAS; slot++)
			assert_true(!n.disk.slots[slot].error ||
				    n.disk.slots[slot].error == -ECANCELED);
	}
	nbd_rig_end(&n);
}

static void cancels_at_a_good_server(void **state)
{
	cancel_at_a_good_server(file_args);
	cancel_at_a_good_server(single_args);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_request_hangs),
		cmocka_unit_test(one_request_hangs_over_one_connection),
		cmocka_unit_test(leaving_costs_no_cpu),
		cmocka_unit_test(a_server_that_dies_of_a_request_is_given_up),
		cmocka_unit_test(a_hung_request_is_sent_again),
		cmocka_unit_test(a_slow_server_is_not_given_up),
		cmocka_unit_test(a_held_write_does_not_undo_later_ones),
		cmocka_unit_test(a_held_write_that_is_cancelled_does_not_undo_later_ones),
		cmocka_unit_test(a_held_write_is_answered_while_we_leave),
		cmocka_unit_test(a_hung_write_is_sent_again_after_an_orderly_end),
		cmocka_unit_test(a_mute_server_is_not_waited_for_at_start),
		cmocka_unit_test(queues_open_while_the_server_is_silent),
		cmocka_unit_test(queues_open_between_writes),
		cmocka_unit_test(cancels_at_a_hung_server),
		cmocka_unit_test(cancels_at_a_hung_server_over_one_connection),
		cmocka_unit_test(cancels_without_a_server),
		cmocka_unit_test(cancels_without_a_server_over_one_connection),
		cmocka_unit_test(cancels_at_a_good_server),
	};

	if (!nbd_server_available()) {
		printf("1..1\nok 1 - nbd # SKIP no nbdkit here\n");
		return 0;
	}
	log_set_level(LOG_ERROR);
	cmocka_set_test_filter(getenv("NBD_TEST"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
