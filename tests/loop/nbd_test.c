/* SPDX-License-Identifier: MIT */
/*
 * The NBD disk against a real server, nbdkit on a Unix socket: abilities, data,
 * errors; and a server that dies, hangs and comes back while requests are there.
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
#include "tests/support/disk_rig.h"
#include "tests/support/nbd_server.h"

#define SIZE    (8u << 20)
#define AREA    65536u /* one slot's part of the disk */
#define AREAS   64u
#define SECONDS 1000000000ull
#define MS      1000000ull

static struct nbd_server server;
static struct disk_rig rig;
static uint8_t shadow[AREAS][AREA], in[AREAS][AREA];
static uint32_t random_state = 1;

static uint32_t next_random(void)
{
	random_state = random_state * 1664525 + 1013904223;
	return random_state >> 8;
}

static void begin(const char *const *args, uint64_t retry_ns, bool read_only)
{
	struct disk_nbd_options o = {.read_only = read_only, .retry_ns = retry_ns};
	struct disk *disk;
	struct err e;

	nbd_server_init(&server, args, SIZE);
	nbd_server_start(&server);
	if (disk_nbd_open(&disk, server.uri, &o, &e))
		fail_msg("%s", e.text);
	disk_rig_init(&rig, disk);
}

static void end(void)
{
	disk_rig_fini(&rig, false);
	nbd_server_fini(&server);
}

static const char *const memory_args[] = {"memory", "8M", NULL};
static const char *const file_args[] = {"file", "FILE", NULL};
/* No multi-conn: one connection for all queues, on a thread of its own. */
static const char *const single_args[] = {
	"--filter=multi-conn", "file", "FILE", "multi-conn-mode=disable", NULL};
static const char *const no_fua_args[] = {"--filter=fua", "file", "FILE", NULL};

static void fill(uint8_t *bytes, uint32_t length)
{
	for (uint32_t i = 0; i < length; i++)
		bytes[i] = (uint8_t)next_random();
}

static void moves_data(const char *const *args)
{

	begin(args, 0, false);
	assert_int_equal(rig.disk->info.size, SIZE);
	assert_true(rig.disk->info.write_cache);
	for (uint32_t round = 0; round < 20; round++) {
		uint32_t offset = next_random() % 64 * 512, length = 512 + next_random() % 63 * 512;

		fill(shadow[0] + offset, length);
		assert_int_equal(disk_rig_run(&rig, DISK_WRITE, round % 2 ? DISK_FLAG_FUA : 0,
					 offset, length, shadow[0] + offset),
			0);
		assert_int_equal(disk_rig_run(&rig, DISK_FLUSH, 0, 0, 0, NULL), 0);
		assert_int_equal(disk_rig_run(&rig, DISK_READ, 0, 0, AREA, in[0]), 0);
		assert_memory_equal(in[0], shadow[0], AREA);
	}
	for (uint32_t i = 0; i < 2; i++) {
		assert_int_equal(disk_rig_run(&rig, i ? DISK_DISCARD : DISK_WRITE_ZEROES,
					 DISK_FLAG_FUA, 4096 + i * 8192, 8192, NULL),
			0);
		memset(shadow[0] + 4096 + i * 8192, 0, 8192);
		assert_int_equal(disk_rig_run(&rig, DISK_READ, 0, 0, AREA, in[0]), 0);
		assert_memory_equal(in[0], shadow[0], AREA);
	}
	memset(shadow, 0, sizeof(shadow));
	end();
}

static void moves_data_to_memory(void **state)
{
	moves_data(memory_args);
}

static void moves_data_to_a_file(void **state)
{
	moves_data(file_args);
}

static void moves_data_over_one_connection(void **state)
{
	moves_data(single_args);
}

static void moves_data_without_fua(void **state)
{
	moves_data(no_fua_args);
}

static void scatter(const char *const *args, uint64_t copied)
{
	struct disk_rig_slot *s = &rig.slots[0];
	struct iovec iov[] = {{in[0], 36}, {in[0] + 100, 4096}, {in[0] + 5000, 4060}};

	begin(args, 0, false);
	fill(shadow[0], 8192);
	assert_int_equal(disk_rig_run(&rig, DISK_WRITE, 0, 512, 8192, shadow[0]), 0);
	memset(in[0], 0xEE, AREA);
	disk_rig_start(&rig, 0, DISK_READ, 0, 512, 8192, in[1]);
	disk_rig_wait(&rig, 0);
	assert_memory_equal(in[1], shadow[0], 8192);
	s->busy = true;
	rig.in_flight++;
	s->req->iov = iov;
	s->req->iov_count = 3;
	disk_submit(rig.queue, s->req);
	disk_rig_wait(&rig, 0);
	assert_int_equal(s->error, 0);
	assert_memory_equal(in[0], shadow[0], 36);
	assert_memory_equal(in[0] + 100, shadow[0] + 36, 4096);
	assert_memory_equal(in[0] + 5000, shadow[0] + 36 + 4096, 4060);
	assert_int_equal(in[0][36], 0xEE);
	assert_int_equal(disk_copied_bytes(rig.disk), copied);
	memset(shadow, 0, sizeof(shadow));
	end();
}

static void scatters(void **state)
{
	scatter(file_args, 0);
}

/* The server takes no pieces of sectors: they are put together here, in a copy. */
static void scatters_sectors(void **state)
{
	static const char *const sectors[] = {"--filter=blocksize-policy", "file", "FILE",
		"blocksize-minimum=512", "blocksize-error-policy=error", NULL};

	scatter(sectors, 8192);
}

static void takes_the_servers_word(void **state)
{
	static const char *const read_only[] = {"-r", "memory", "8M", NULL};
	static const char *const odd[] = {"memory", "1000", NULL};
	static const char *const coarse[] = {"--filter=blocksize-policy", "memory", "8M",
		"blocksize-minimum=4K", "blocksize-error-policy=error", NULL};
	struct disk_nbd_options o = {0};
	struct disk *disk;
	struct err e;

	begin(read_only, 0, true);
	assert_true(rig.disk->info.read_only);
	assert_int_equal(disk_nbd_open(&disk, server.uri, &o, &e), -EROFS);
	assert_non_null(strstr(e.text, "add \"ro\""));
	end();
	nbd_server_init(&server, odd, 0);
	nbd_server_start(&server);
	assert_int_equal(disk_nbd_open(&disk, server.uri, &o, &e), -EINVAL);
	assert_non_null(strstr(e.text, "1000 bytes, is not a positive multiple of 512"));
	nbd_server_fini(&server);
	nbd_server_init(&server, coarse, 0);
	nbd_server_start(&server);
	assert_int_equal(disk_nbd_open(&disk, server.uri, &o, &e), -EINVAL);
	assert_non_null(strstr(e.text, "requests of 4096"));
	nbd_server_fini(&server);
}

static void server_errors_are_the_guests(void **state)
{
	static const char *const args[] = {"--filter=error", "memory", "8M", "error-pread=ENOSPC",
		"error-pread-rate=100%", NULL};

	begin(args, 0, false);
	assert_int_equal(disk_rig_run(&rig, DISK_READ, 0, 0, 512, in[0]), -ENOSPC);
	assert_int_equal(disk_rig_run(&rig, DISK_WRITE, 0, 0, 512, in[0]), 0);
	assert_int_equal(disk_rig_run(&rig, DISK_FLUSH, 0, 0, 0, NULL), 0);
	end();
}

/* ---- servers that go away ------------------------------------------------ */

/* What is in flight when the server dies is done by the next one. */
static void requests_are_sent_again(void **state)
{
	static const char *const slow[] = {"--filter=delay", "file", "FILE", "wdelay=200ms", NULL};

	begin(slow, 0, false);
	fill(shadow[0], AREA);
	for (uint32_t i = 0; i < 16; i++)
		disk_rig_start(&rig, i, DISK_WRITE, 0, i * 4096, 4096, shadow[0] + i * 4096);
	nbd_server_kill(&server);
	nbd_server_start(&server);
	disk_rig_wait(&rig, 0);
	for (uint32_t i = 0; i < 16; i++)
		assert_int_equal(rig.slots[i].error, 0);
	assert_int_equal(disk_rig_run(&rig, DISK_READ, 0, 0, AREA, in[0]), 0);
	assert_memory_equal(in[0], shadow[0], AREA);
	/* None of them was acknowledged by the dead one. */
	assert_int_equal(disk_rig_run(&rig, DISK_FLUSH, 0, 0, 0, NULL), 0);
	memset(shadow, 0, sizeof(shadow));
	end();
}

static void lost_writes_fail_the_next_flush_once(const char *const *args)
{
	begin(args, 0, false);
	assert_int_equal(disk_rig_run(&rig, DISK_WRITE, 0, 0, 512, in[0]), 0);
	assert_int_equal(disk_rig_run(&rig, DISK_FLUSH, 0, 0, 0, NULL), 0);
	nbd_server_kill(&server);
	nbd_server_start(&server);
	assert_int_equal(disk_rig_run(&rig, DISK_FLUSH, 0, 0, 0, NULL), 0);
	assert_int_equal(disk_rig_run(&rig, DISK_WRITE, 0, 0, 512, in[0]), 0);
	nbd_server_kill(&server);
	nbd_server_start(&server);
	assert_int_equal(disk_rig_run(&rig, DISK_READ, 0, 0, 512, in[0]), 0);
	assert_int_equal(disk_rig_run(&rig, DISK_FLUSH, 0, 0, 0, NULL), -EIO);
	assert_int_equal(disk_rig_run(&rig, DISK_FLUSH, 0, 0, 0, NULL), 0);
	assert_int_equal(disk_rig_run(&rig, DISK_WRITE, DISK_FLAG_FUA, 0, 512, in[0]), 0);
	nbd_server_kill(&server);
	nbd_server_start(&server);
	assert_int_equal(disk_rig_run(&rig, DISK_FLUSH, 0, 0, 0, NULL), 0);
	end();
}

static void losses_are_told(void **state)
{
	lost_writes_fail_the_next_flush_once(file_args);
}

static void losses_are_told_over_one_connection(void **state)
{
	lost_writes_fail_the_next_flush_once(single_args);
}

static void losses_are_told_without_fua(void **state)
{
	lost_writes_fail_the_next_flush_once(no_fua_args);
}

static void turned(struct loop_timer *t)
{
	loop_stop(&rig.loop);
}

static void run_loop_for(uint64_t ns)
{
	struct loop_timer t = {0};

	loop_timer_start(&rig.loop, &t, ns, turned);
	while (t.armed)
		loop_run(&rig.loop);
}

/* Gone for longer than the limit: requests fail, within it; then it comes back. */
static void gives_up_and_recovers(void **state)
{
	uint64_t start;

	begin(file_args, 400 * MS, false);
	nbd_server_kill(&server);
	start = loop_now_ns();
	assert_int_equal(disk_rig_run(&rig, DISK_READ, 0, 0, 512, in[0]), -EIO);
	assert_true(loop_now_ns() - start >= 400 * MS && loop_now_ns() - start < 10 * SECONDS);
	assert_int_equal(disk_rig_run(&rig, DISK_READ, 0, 0, 512, in[0]), -EIO); /* at once */
	nbd_server_start(&server);
	start = loop_now_ns();
	while (disk_rig_run(&rig, DISK_READ, 0, 0, 512, in[0])) {
		assert_true(loop_now_ns() - start < 10 * SECONDS);
		run_loop_for(5 * MS); /* requests that fail at once do not turn it */
	}
	end();
}

static void a_silent_server_is_given_up(void **state)
{
	uint64_t start;

	begin(file_args, 400 * MS, false);
	nbd_server_pause(&server, true);
	start = loop_now_ns();
	assert_int_equal(disk_rig_run(&rig, DISK_READ, 0, 0, 512, in[0]), -EIO);
	assert_true(loop_now_ns() - start >= 400 * MS && loop_now_ns() - start < 10 * SECONDS);
	nbd_server_pause(&server, false);
	end();
}

/* ---- a server that answers, but not one request -------------------------- */

static const char *const mute_reads[] = {"--filter=delay", "file", "FILE", "rdelay=1000", NULL};
static const char *const mute_reads_single[] = {"--filter=multi-conn", "--filter=delay", "file",
	"FILE", "rdelay=1000", "multi-conn-mode=disable", NULL};

/* Writes and is answered, for as long as slot 0 waits. */
static uint32_t write_meanwhile(void)
{
	uint32_t writes = 0;

	while (rig.slots[0].busy) {
		disk_rig_start(&rig, 1, DISK_WRITE, 0, AREA, 512, shadow[1]);
		while (rig.slots[1].busy)
			loop_run(&rig.loop);
		assert_int_equal(rig.slots[1].error, 0);
		writes++;
	}
	return writes;
}

/* It fails, within its time; what came meanwhile and comes later does not. */
static void hang_one_for_ever(const char *const *args)
{
	uint64_t start;

	begin(args, 2 * SECONDS, false);
	start = loop_now_ns();
	disk_rig_start(&rig, 0, DISK_READ, 0, 0, 512, in[0]);
	assert_true(write_meanwhile() > 10);
	assert_int_equal(rig.slots[0].error, -EIO);
	assert_true(loop_now_ns() - start >= 4 * SECONDS);
	assert_true(loop_now_ns() - start < 40 * SECONDS);
	assert_int_equal(disk_rig_run(&rig, DISK_WRITE, 0, AREA, 512, shadow[1]), 0);
	/* Connections were left over acknowledged writes. */
	assert_int_equal(disk_rig_run(&rig, DISK_FLUSH, 0, 0, 0, NULL), -EIO);
	assert_int_equal(disk_rig_run(&rig, DISK_FLUSH, 0, 0, 0, NULL), 0);
	end();
}

static void one_request_hangs(void **state)
{
	hang_one_for_ever(mute_reads);
}

static void one_request_hangs_over_one_connection(void **state)
{
	hang_one_for_ever(mute_reads_single);
}

/* The next connection finds a server that answers: the request is done there. */
static void a_hung_request_is_sent_again(void **state)
{
	pid_t mute;

	begin(mute_reads, 1 * SECONDS, false);
	fill(shadow[0], 512);
	assert_int_equal(disk_rig_run(&rig, DISK_WRITE, 0, 0, 512, shadow[0]), 0);
	mute = server.pid;
	server.pid = 0;
	server.args[3] = "rdelay=0";
	nbd_server_start(&server);
	disk_rig_start(&rig, 0, DISK_READ, 0, 0, 512, in[0]);
	assert_true(write_meanwhile() > 10);
	assert_int_equal(rig.slots[0].error, 0);
	assert_memory_equal(in[0], shadow[0], 512);
	end();
	server.pid = mute;
	nbd_server_kill(&server);
}

/* Each request waits for longer than the limit, but in a queue that moves. */
static void a_slow_server_is_not_given_up(void **state)
{
	static const char *const slow[] = {
		"--threads=1", "--filter=delay", "file", "FILE", "wdelay=50ms", NULL};
	uint64_t start;

	begin(slow, 1 * SECONDS, false);
	start = loop_now_ns();
	for (uint32_t slot = 0; slot < 60; slot++)
		disk_rig_start(&rig, slot, DISK_WRITE, 0, (uint64_t)slot * AREA, 512, shadow[0]);
	disk_rig_wait(&rig, 0);
	assert_true(loop_now_ns() - start > 2 * SECONDS);
	for (uint32_t slot = 0; slot < 60; slot++)
		assert_int_equal(rig.slots[slot].error, 0);
	/* no connection was lost */
	assert_int_equal(disk_rig_run(&rig, DISK_FLUSH, 0, 0, 0, NULL), 0);
	end();
}

/* ---- a server that still holds a change when its connection ends --------- */

/* The first write has its data, and waits for the file "go" before it writes them. */
static const char *const held_write[] = {"eval", "get_size=echo 8388608",
	"thread_model=echo parallel", "can_write=exit 0", "can_flush=exit 0", "flush=exit 0",
	"can_multi_conn=exit 0",
	"pread=dd if=$NBD_DIR/disk iflag=skip_bytes,count_bytes,fullblock skip=$4 count=$3 bs=64K",
	"pwrite=cat >$tmpdir/$$; if mkdir $tmpdir/first; then touch $NBD_DIR/held;"
	" while [ ! -e $NBD_DIR/go ] && kill -0 $NBD_SUPERVISOR; do sleep 0.02; done; held=1; fi 2>/dev/null;"
	" dd if=$tmpdir/$$ of=$NBD_DIR/disk oflag=seek_bytes seek=$4 bs=64K conv=notrunc;"
	" [ -z \"$held\" ] || touch $NBD_DIR/written",
	NULL};

static void wait_for_file(const char *name)
{
	char path[128];
	uint64_t start = loop_now_ns();

	snprintf(path, sizeof(path), "%s/%s", server.dir, name);
	while (access(path, F_OK)) {
		assert_true(loop_now_ns() - start < 60 * SECONDS);
		run_loop_for(5 * MS);
	}
}

static void make_file(const char *name)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", server.dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	close(fd);
}

/* Begins a write of A that the server holds. */
static void begin_held_write(uint64_t retry_ns)
{
	begin(held_write, retry_ns, false);
	memset(shadow[0], 'A', 512);
	memset(shadow[1], 'B', 512);
	disk_rig_start(&rig, 0, DISK_WRITE, 0, 0, 512, shadow[0]);
	wait_for_file("held");
}

/* The connection was dropped with A in flight. What comes later must not be undone by A. */
static void later_writes_are_not_undone(void)
{
	int b = disk_rig_run(&rig, DISK_WRITE, 0, 0, 512, shadow[1]);

	disk_rig_run(&rig, DISK_FLUSH, 0, 0, 0, NULL);
	make_file("go");
	wait_for_file("written");
	assert_int_equal(disk_rig_run(&rig, DISK_READ, 0, 0, 512, in[0]), 0);
	if (b == 0)
		assert_memory_equal(in[0], shadow[1], 512);
	/* A may have come late: until the disk is opened again, nothing is changed any more. */
	assert_int_equal(b, -EIO);
	assert_int_equal(disk_rig_run(&rig, DISK_WRITE, 0, 512, 512, shadow[1]), -EIO);
	assert_int_equal(disk_rig_run(&rig, DISK_WRITE_ZEROES, 0, 512, 512, NULL), -EIO);
	assert_int_equal(disk_rig_run(&rig, DISK_DISCARD, 0, 512, 512, NULL), -EIO);
	memset(shadow, 0, sizeof(shadow));
	end();
}

static void a_held_write_does_not_undo_later_ones(void **state)
{
	begin_held_write(1 * SECONDS);
	disk_rig_wait(&rig, 0);
	assert_int_equal(rig.slots[0].error, -EIO);
	later_writes_are_not_undone();
}

static void a_held_write_that_is_cancelled_does_not_undo_later_ones(void **state)
{
	begin_held_write(100 * SECONDS);
	disk_rig_cancel(&rig, 0);
	disk_rig_wait(&rig, 0);
	assert_int_equal(rig.slots[0].error, -ECANCELED);
	later_writes_are_not_undone();
}

/* The server has its time: it answers, and the connection ends in good order. */
static void a_held_write_is_answered_while_we_leave(void **state)
{
	begin_held_write(20 * SECONDS);
	disk_rig_cancel(&rig, 0);
	run_loop_for(1100 * MS); /* NBD_CMD_DISC is sent after 1 s, and waits for 1 s */
	make_file("go");
	disk_rig_wait(&rig, 0);
	assert_int_equal(rig.slots[0].error, 0);
	assert_int_equal(disk_rig_run(&rig, DISK_WRITE, 0, 0, 512, shadow[1]), 0);
	assert_int_equal(disk_rig_run(&rig, DISK_READ, 0, 0, 512, in[0]), 0);
	assert_memory_equal(in[0], shadow[1], 512);
	memset(shadow, 0, sizeof(shadow));
	end();
}

/* The old server ends the connection without having done the write: it may be sent again. */
static void a_hung_write_is_sent_again_after_an_orderly_end(void **state)
{
	static const char *const mute_writes[] = {
		"--filter=delay", "file", "FILE", "wdelay=1000", NULL};
	pid_t mute;

	begin(mute_writes, 3 * SECONDS, false);
	mute = server.pid;
	server.pid = 0;
	server.args[3] = "wdelay=0";
	nbd_server_start(&server);
	memset(shadow[1], 'B', 512);
	assert_int_equal(disk_rig_run(&rig, DISK_WRITE, 0, 0, 512, shadow[1]), 0);
	assert_int_equal(disk_rig_run(&rig, DISK_WRITE, 0, 512, 512, shadow[1]), 0);
	assert_int_equal(disk_rig_run(&rig, DISK_FLUSH, 0, 0, 0, NULL), 0);
	memset(shadow, 0, sizeof(shadow));
	nbd_server_kill(&server);
	server.pid = mute;
	end();
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

	nbd_server_init(&server, file_args, SIZE);
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", server.socket);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(fd, 4), 0);
	assert_int_equal(disk_nbd_open(&disk, server.uri, &o, &e), -ETIMEDOUT);
	assert_non_null(strstr(e.text, "does not answer within 5 s"));
	assert_true(loop_now_ns() - start >= 5 * SECONDS);
	close(fd);
	nbd_server_fini(&server);
}

/* Nothing on a loop waits for a server: queues open at once, and requests wait for them. */
static void queues_open_while_the_server_is_silent(void **state)
{
	struct disk_queue *queues[8];
	uint64_t start;

	begin(file_args, 100 * SECONDS, false);
	nbd_server_pause(&server, true);
	start = loop_now_ns();
	for (uint32_t i = 0; i < 8; i++)
		assert_int_equal(disk_queue_open(rig.disk, &rig.loop, &queues[i]), 0);
	assert_true(loop_now_ns() - start < 1 * SECONDS);
	run_loop_for(5 * MS);
	for (uint32_t i = 0; i < 8; i++)
		disk_queue_close(queues[i]);
	nbd_server_pause(&server, false);
	assert_int_equal(disk_rig_run(&rig, DISK_READ, 0, 0, 512, in[0]), 0);
	end();
}

/* The connections of new queues reach the same server: no flush fails because of them. */
static void queues_open_between_writes(void **state)
{
	struct disk_queue *queue;

	begin(file_args, 0, false);
	for (uint32_t i = 0; i < 20; i++) {
		assert_int_equal(disk_rig_run(&rig, DISK_WRITE, 0, 0, 512, in[0]), 0);
		assert_int_equal(disk_queue_open(rig.disk, &rig.loop, &queue), 0);
		run_loop_for(10 * MS);
		assert_int_equal(disk_rig_run(&rig, DISK_FLUSH, 0, 0, 0, NULL), 0);
		disk_queue_close(queue);
	}
	end();
}

/* ---- cancelling ---------------------------------------------------------- */

static void start_some(void)
{
	disk_rig_start(&rig, 0, DISK_READ, 0, 0, AREA, in[0]);
	disk_rig_start(&rig, 1, DISK_WRITE, 0, AREA, AREA, shadow[1]);
	disk_rig_start(&rig, 2, DISK_FLUSH, 0, 0, 0, NULL);
	disk_rig_start(&rig, 3, DISK_WRITE_ZEROES, 0, 2 * AREA, AREA, NULL);
	disk_rig_start(&rig, 4, DISK_READ, 0, 0, AREA, in[1]); /* stays */
}

static void cancel_some(void)
{
	for (uint32_t slot = 0; slot < 4; slot++) {
		disk_rig_cancel(&rig, slot);
		disk_rig_cancel(&rig, slot);
	}
	disk_rig_wait(&rig, 1);
	for (uint32_t slot = 0; slot < 4; slot++)
		assert_int_equal(rig.slots[slot].error, -ECANCELED);
}

/* Nothing reaches the pages of a cancelled read; the others go on. */
static void cancel_at_a_hung_server(const char *const *args)
{
	begin(args, 100 * SECONDS, false);
	memset(shadow[0], 0x5A, AREA);
	assert_int_equal(disk_rig_run(&rig, DISK_WRITE, 0, 0, AREA, shadow[0]), 0);
	assert_int_equal(disk_rig_run(&rig, DISK_FLUSH, 0, 0, 0, NULL), 0);
	nbd_server_pause(&server, true);
	start_some();
	run_loop_for(5 * MS); /* not needed: so that some of it is at the server, mostly */
	cancel_some();
	memset(in[0], 0xC3, AREA);
	nbd_server_kill(&server); /* nbdkit 1.32 may crash when it wakes up and a client has left */
	nbd_server_start(&server);
	disk_rig_wait(&rig, 0);
	assert_int_equal(rig.slots[4].error, 0);
	assert_memory_equal(in[1], shadow[0], AREA);
	for (uint32_t i = 0; i < AREA; i++)
		assert_int_equal(in[0][i], 0xC3);
	memset(shadow, 0, sizeof(shadow));
	end();
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
	begin(args, 100 * SECONDS, false);
	nbd_server_kill(&server);
	start_some();
	cancel_some();
	nbd_server_start(&server);
	disk_rig_wait(&rig, 0);
	assert_int_equal(rig.slots[4].error, 0);
	end();
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
	begin(args, 0, false);
	for (uint32_t round = 0; round < 20; round++) {
		for (uint32_t slot = 0; slot < AREAS; slot++)
			disk_rig_start(&rig, slot, slot % 3 ? DISK_WRITE : DISK_READ, 0,
				(uint64_t)slot * AREA, AREA, in[slot]);
		for (uint32_t slot = 0; slot < AREAS; slot++)
			if (rig.slots[slot].busy)
				disk_rig_cancel(&rig, slot);
		disk_rig_wait(&rig, 0);
		for (uint32_t slot = 0; slot < AREAS; slot++)
			assert_true(!rig.slots[slot].error || rig.slots[slot].error == -ECANCELED);
	}
	end();
}

static void cancels_at_a_good_server(void **state)
{
	cancel_at_a_good_server(file_args);
	cancel_at_a_good_server(single_args);
}

static void closes_while_the_server_is_away(void **state)
{
	begin(file_args, 0, false);
	nbd_server_kill(&server);
	end();
	begin(single_args, 0, false);
	nbd_server_kill(&server);
	end();
}

/* ---- kill -9 under verified traffic -------------------------------------- */

static void start_random(uint32_t slot)
{
	uint32_t length = 512 + next_random() % (AREA / 512) * 512;
	uint32_t offset = next_random() % ((AREA - length) / 512 + 1) * 512;
	uint64_t at = (uint64_t)slot * AREA + offset;

	switch (next_random() % 8) {
	case 0:
		disk_rig_start(&rig, slot, DISK_FLUSH, 0, 0, 0, NULL);
		break;
	case 1:
		memset(shadow[slot] + offset, 0, length);
		disk_rig_start(&rig, slot, DISK_WRITE_ZEROES, DISK_FLAG_UNMAP, at, length, NULL);
		break;
	case 2:
	case 3:
	case 4:
		fill(shadow[slot] + offset, length);
		disk_rig_start(&rig, slot, DISK_WRITE, slot % 5 ? 0 : DISK_FLAG_FUA, at, length,
			shadow[slot] + offset);
		break;
	default:
		disk_rig_start(&rig, slot, DISK_READ, 0, (uint64_t)slot * AREA, AREA, in[slot]);
	}
}

static void check_finished(uint32_t slot, bool *read_pending, uint32_t *failed_flushes)
{
	const struct disk_rig_slot *s = &rig.slots[slot];

	if (s->req->op == DISK_FLUSH) {
		assert_true(s->error == 0 || s->error == -EIO);
		*failed_flushes += s->error != 0;
	} else {
		assert_int_equal(s->error, 0);
	}
	if (s->req->op == DISK_READ && *read_pending)
		assert_memory_equal(in[slot], shadow[slot], AREA);
	*read_pending = false;
}

/* The file survives its server, so every acknowledged byte must be there; but nobody can know
 * that, so flushes may fail, not more often than the server was killed. */
static void survive_kills(const char *const *args, uint32_t kills)
{
	bool started[AREAS] = {false};
	uint32_t failed_flushes = 0;

	begin(args, 0, false);
	memset(shadow, 0, sizeof(shadow));
	for (uint32_t round = 0; round < kills; round++) {
		for (uint32_t n = 0; n < 100 + next_random() % 400; n++) {
			uint32_t slot = next_random() % AREAS;

			if (rig.slots[slot].busy) {
				disk_rig_wait(&rig, rig.in_flight - 1);
				continue;
			}
			if (started[slot])
				check_finished(slot, &started[slot], &failed_flushes);
			started[slot] = true;
			start_random(slot);
		}
		nbd_server_kill(&server);
		nbd_server_start(&server);
	}
	disk_rig_wait(&rig, 0);
	for (uint32_t slot = 0; slot < AREAS; slot++) {
		if (started[slot])
			check_finished(slot, &started[slot], &failed_flushes);
		assert_int_equal(
			disk_rig_run(&rig, DISK_READ, 0, (uint64_t)slot * AREA, AREA, in[slot]), 0);
		assert_memory_equal(in[slot], shadow[slot], AREA);
	}
	/* Flushes in flight together all tell of one loss: at most all slots. */
	assert_in_range(failed_flushes, 1, kills * AREAS);
	print_message("# %u kills, %u flushes failed, 0 bytes lost\n", kills, failed_flushes);
	memset(shadow, 0, sizeof(shadow));
	end();
}

static void survives_kills(void **state)
{
	const char *kills = getenv("NBD_KILLS");

	survive_kills(file_args, kills ? (uint32_t)atoi(kills) : 10);
}

static void survives_kills_over_one_connection(void **state)
{
	const char *kills = getenv("NBD_KILLS");

	survive_kills(single_args, kills ? (uint32_t)atoi(kills) : 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(moves_data_to_memory),
		cmocka_unit_test(moves_data_to_a_file),
		cmocka_unit_test(moves_data_over_one_connection),
		cmocka_unit_test(moves_data_without_fua),
		cmocka_unit_test(scatters),
		cmocka_unit_test(scatters_sectors),
		cmocka_unit_test(takes_the_servers_word),
		cmocka_unit_test(server_errors_are_the_guests),
		cmocka_unit_test(requests_are_sent_again),
		cmocka_unit_test(losses_are_told),
		cmocka_unit_test(losses_are_told_over_one_connection),
		cmocka_unit_test(losses_are_told_without_fua),
		cmocka_unit_test(gives_up_and_recovers),
		cmocka_unit_test(a_silent_server_is_given_up),
		cmocka_unit_test(one_request_hangs),
		cmocka_unit_test(one_request_hangs_over_one_connection),
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
		cmocka_unit_test(closes_while_the_server_is_away),
		cmocka_unit_test(survives_kills),
		cmocka_unit_test(survives_kills_over_one_connection),
	};

	if (!nbd_server_available()) {
		printf("1..1\nok 1 - nbd # SKIP no nbdkit here\n");
		return 0;
	}
	log_set_level(LOG_ERROR);
	cmocka_set_test_filter(getenv("NBD_TEST"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
