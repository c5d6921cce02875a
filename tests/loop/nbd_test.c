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
#include "tests/support/nbd_rig.h"

static struct nbd_rig n;

static const char *const memory_args[] = {"memory", "8M", NULL};
static const char *const file_args[] = {"file", "FILE", NULL};
/* No multi-conn: one connection for all queues, on a thread of its own. */
static const char *const single_args[] = {
	"--filter=multi-conn", "file", "FILE", "multi-conn-mode=disable", NULL};
static const char *const no_fua_args[] = {"--filter=fua", "file", "FILE", NULL};

static void moves_data(const char *const *args)
{

	nbd_rig_begin(&n, args, 0, false);
	assert_int_equal(n.disk.disk->info.size, NBD_SIZE);
	assert_true(n.disk.disk->info.write_cache);
	for (uint32_t round = 0; round < 20; round++) {
		uint32_t offset = nbd_rig_random(&n) % 64 * 512,
			 length = 512 + nbd_rig_random(&n) % 63 * 512;

		nbd_rig_fill(&n, n.shadow[0] + offset, length);
		assert_int_equal(disk_rig_run(&n.disk, DISK_WRITE, round % 2 ? DISK_FLAG_FUA : 0,
					 offset, length, n.shadow[0] + offset),
			0);
		assert_int_equal(disk_rig_run(&n.disk, DISK_FLUSH, 0, 0, 0, NULL), 0);
		assert_int_equal(disk_rig_run(&n.disk, DISK_READ, 0, 0, NBD_AREA, n.in[0]), 0);
		assert_memory_equal(n.in[0], n.shadow[0], NBD_AREA);
	}
	for (uint32_t i = 0; i < 2; i++) {
		assert_int_equal(disk_rig_run(&n.disk, i ? DISK_DISCARD : DISK_WRITE_ZEROES,
					 DISK_FLAG_FUA, 4096 + i * 8192, 8192, NULL),
			0);
		memset(n.shadow[0] + 4096 + i * 8192, 0, 8192);
		assert_int_equal(disk_rig_run(&n.disk, DISK_READ, 0, 0, NBD_AREA, n.in[0]), 0);
		assert_memory_equal(n.in[0], n.shadow[0], NBD_AREA);
	}
	nbd_rig_end(&n);
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
	struct disk_rig_slot *s = &n.disk.slots[0];
	struct iovec iov[] = {{n.in[0], 36}, {n.in[0] + 100, 4096}, {n.in[0] + 5000, 4060}};

	nbd_rig_begin(&n, args, 0, false);
	nbd_rig_fill(&n, n.shadow[0], 8192);
	assert_int_equal(disk_rig_run(&n.disk, DISK_WRITE, 0, 512, 8192, n.shadow[0]), 0);
	memset(n.in[0], 0xEE, NBD_AREA);
	disk_rig_start(&n.disk, 0, DISK_READ, 0, 512, 8192, n.in[1]);
	disk_rig_wait(&n.disk, 0);
	assert_memory_equal(n.in[1], n.shadow[0], 8192);
	s->busy = true;
	n.disk.in_flight++;
	s->req->iov = iov;
	s->req->iov_count = 3;
	disk_submit(n.disk.queue, s->req);
	disk_rig_wait(&n.disk, 0);
	assert_int_equal(s->error, 0);
	assert_memory_equal(n.in[0], n.shadow[0], 36);
	assert_memory_equal(n.in[0] + 100, n.shadow[0] + 36, 4096);
	assert_memory_equal(n.in[0] + 5000, n.shadow[0] + 36 + 4096, 4060);
	assert_int_equal(n.in[0][36], 0xEE);
	assert_int_equal(disk_copied_bytes(n.disk.disk), copied);
	nbd_rig_end(&n);
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

	nbd_rig_begin(&n, read_only, 0, true);
	assert_true(n.disk.disk->info.read_only);
	assert_int_equal(disk_nbd_open(&disk, n.server.uri, &o, &e), -EROFS);
	assert_non_null(strstr(e.text, "add \"ro\""));
	nbd_rig_end(&n);
	nbd_server_init(&n.server, odd, 0);
	nbd_server_start(&n.server);
	assert_int_equal(disk_nbd_open(&disk, n.server.uri, &o, &e), -EINVAL);
	assert_non_null(strstr(e.text, "1000 bytes, is not a positive multiple of 512"));
	nbd_server_fini(&n.server);
	nbd_server_init(&n.server, coarse, 0);
	nbd_server_start(&n.server);
	assert_int_equal(disk_nbd_open(&disk, n.server.uri, &o, &e), -EINVAL);
	assert_non_null(strstr(e.text, "requests of 4096"));
	nbd_server_fini(&n.server);
}

static void server_errors_are_the_guests(void **state)
{
	static const char *const args[] = {"--filter=error", "memory", "8M", "error-pread=ENOSPC",
		"error-pread-rate=100%", NULL};

	nbd_rig_begin(&n, args, 0, false);
	assert_int_equal(disk_rig_run(&n.disk, DISK_READ, 0, 0, 512, n.in[0]), -ENOSPC);
	assert_int_equal(disk_rig_run(&n.disk, DISK_WRITE, 0, 0, 512, n.in[0]), 0);
	assert_int_equal(disk_rig_run(&n.disk, DISK_FLUSH, 0, 0, 0, NULL), 0);
	nbd_rig_end(&n);
}

/* It fails only one flush; without FUA that is the one behind a FUA write. */
static void a_failed_flush_of_a_fua_write_is_not_forgotten(void **state)
{
	static const char *const args[] = {"eval", "get_size=echo 8388608", "can_write=exit 0",
		"can_flush=exit 0", "can_fua=echo none", "pread=exit 0", "pwrite=cat >/dev/null",
		"flush=[ ! -e $NBD_DIR/bad ] || exit 0; touch $NBD_DIR/bad; echo EIO bad >&2; exit 1",
		NULL};

	nbd_rig_begin(&n, args, 0, false);
	assert_int_equal(disk_rig_run(&n.disk, DISK_WRITE, 0, 0, 512, n.in[0]), 0);
	assert_int_equal(disk_rig_run(&n.disk, DISK_WRITE, DISK_FLAG_FUA, 512, 512, n.in[0]), -EIO);
	assert_int_equal(disk_rig_run(&n.disk, DISK_FLUSH, 0, 0, 0, NULL), -EIO);
	nbd_rig_end(&n);
}

/* ---- servers that go away ------------------------------------------------ */

/* What is in flight when the server dies is done by the next one. */
static void requests_are_sent_again(void **state)
{
	static const char *const slow[] = {"--filter=delay", "file", "FILE", "wdelay=200ms", NULL};

	nbd_rig_begin(&n, slow, 0, false);
	nbd_rig_fill(&n, n.shadow[0], NBD_AREA);
	for (uint32_t i = 0; i < 16; i++)
		disk_rig_start(&n.disk, i, DISK_WRITE, 0, i * 4096, 4096, n.shadow[0] + i * 4096);
	nbd_server_kill(&n.server);
	nbd_server_start(&n.server);
	disk_rig_wait(&n.disk, 0);
	for (uint32_t i = 0; i < 16; i++)
		assert_int_equal(n.disk.slots[i].error, 0);
	assert_int_equal(disk_rig_run(&n.disk, DISK_READ, 0, 0, NBD_AREA, n.in[0]), 0);
	assert_memory_equal(n.in[0], n.shadow[0], NBD_AREA);
	/* None of them was acknowledged by the dead one. */
	assert_int_equal(disk_rig_run(&n.disk, DISK_FLUSH, 0, 0, 0, NULL), 0);
	nbd_rig_end(&n);
}

static void lost_writes_fail_the_next_flush_once(const char *const *args)
{
	nbd_rig_begin(&n, args, 0, false);
	assert_int_equal(disk_rig_run(&n.disk, DISK_WRITE, 0, 0, 512, n.in[0]), 0);
	assert_int_equal(disk_rig_run(&n.disk, DISK_FLUSH, 0, 0, 0, NULL), 0);
	nbd_server_kill(&n.server);
	nbd_server_start(&n.server);
	assert_int_equal(disk_rig_run(&n.disk, DISK_FLUSH, 0, 0, 0, NULL), 0);
	assert_int_equal(disk_rig_run(&n.disk, DISK_WRITE, 0, 0, 512, n.in[0]), 0);
	nbd_server_kill(&n.server);
	nbd_server_start(&n.server);
	assert_int_equal(disk_rig_run(&n.disk, DISK_READ, 0, 0, 512, n.in[0]), 0);
	assert_int_equal(disk_rig_run(&n.disk, DISK_FLUSH, 0, 0, 0, NULL), -EIO);
	assert_int_equal(disk_rig_run(&n.disk, DISK_FLUSH, 0, 0, 0, NULL), 0);
	assert_int_equal(disk_rig_run(&n.disk, DISK_WRITE, DISK_FLAG_FUA, 0, 512, n.in[0]), 0);
	nbd_server_kill(&n.server);
	nbd_server_start(&n.server);
	assert_int_equal(disk_rig_run(&n.disk, DISK_FLUSH, 0, 0, 0, NULL), 0);
	nbd_rig_end(&n);
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

/* Gone for longer than the limit: requests fail, within it; then it comes back. */
static void gives_up_and_recovers(void **state)
{
	uint64_t start;

	nbd_rig_begin(&n, file_args, 400 * NS_PER_MS, false);
	nbd_server_kill(&n.server);
	start = loop_now_ns();
	assert_int_equal(disk_rig_run(&n.disk, DISK_READ, 0, 0, 512, n.in[0]), -EIO);
	assert_true(loop_now_ns() - start >= 400 * NS_PER_MS);
	assert_int_equal(disk_rig_run(&n.disk, DISK_READ, 0, 0, 512, n.in[0]), -EIO); /* at once */
	nbd_server_start(&n.server);
	start = loop_now_ns();
	while (disk_rig_run(&n.disk, DISK_READ, 0, 0, 512, n.in[0])) {
		assert_true(loop_now_ns() - start < 120 * NS_PER_S);
		nbd_rig_run(&n, 5 * NS_PER_MS); /* requests that fail at once do not turn it */
	}
	nbd_rig_end(&n);
}

static void a_silent_server_is_given_up(void **state)
{
	uint64_t start;

	nbd_rig_begin(&n, file_args, 400 * NS_PER_MS, false);
	nbd_server_pause(&n.server, true);
	start = loop_now_ns();
	assert_int_equal(disk_rig_run(&n.disk, DISK_READ, 0, 0, 512, n.in[0]), -EIO);
	assert_true(loop_now_ns() - start >= 400 * NS_PER_MS);
	nbd_server_pause(&n.server, false);
	nbd_rig_end(&n);
}

static void closes_while_the_server_is_away(void **state)
{
	nbd_rig_begin(&n, file_args, 0, false);
	nbd_server_kill(&n.server);
	nbd_rig_end(&n);
	nbd_rig_begin(&n, single_args, 0, false);
	nbd_server_kill(&n.server);
	nbd_rig_end(&n);
}

/* ---- kill -9 under verified traffic -------------------------------------- */

static void start_random(uint32_t slot)
{
	uint32_t length = 512 + nbd_rig_random(&n) % (NBD_AREA / 512) * 512;
	uint32_t offset = nbd_rig_random(&n) % ((NBD_AREA - length) / 512 + 1) * 512;
	uint64_t at = (uint64_t)slot * NBD_AREA + offset;

	switch (nbd_rig_random(&n) % 8) {
	case 0:
		disk_rig_start(&n.disk, slot, DISK_FLUSH, 0, 0, 0, NULL);
		break;
	case 1:
		memset(n.shadow[slot] + offset, 0, length);
		disk_rig_start(&n.disk, slot, DISK_WRITE_ZEROES, DISK_FLAG_UNMAP, at, length, NULL);
		break;
	case 2:
	case 3:
	case 4:
		nbd_rig_fill(&n, n.shadow[slot] + offset, length);
		disk_rig_start(&n.disk, slot, DISK_WRITE, slot % 5 ? 0 : DISK_FLAG_FUA, at, length,
			n.shadow[slot] + offset);
		break;
	default:
		disk_rig_start(&n.disk, slot, DISK_READ, 0, (uint64_t)slot * NBD_AREA, NBD_AREA,
			n.in[slot]);
	}
}

static void check_finished(uint32_t slot, bool *read_pending, uint32_t *failed_flushes)
{
	const struct disk_rig_slot *s = &n.disk.slots[slot];

	if (s->req->op == DISK_FLUSH) {
		assert_true(s->error == 0 || s->error == -EIO);
		*failed_flushes += s->error != 0;
	} else {
		assert_int_equal(s->error, 0);
	}
	if (s->req->op == DISK_READ && *read_pending)
		assert_memory_equal(n.in[slot], n.shadow[slot], NBD_AREA);
	*read_pending = false;
}

/* The file survives its server, so every acknowledged byte must be there; but nobody can know
 * that, so flushes may fail, not more often than the server was killed. */
static void survive_kills(const char *const *args, uint32_t kills)
{
	bool started[NBD_AREAS] = {false};
	uint32_t failed_flushes = 0;

	nbd_rig_begin(&n, args, 0, false);
	memset(n.shadow, 0, sizeof(n.shadow));
	for (uint32_t round = 0; round < kills; round++) {
		for (uint32_t i = 0; i < 100 + nbd_rig_random(&n) % 400; i++) {
			uint32_t slot = nbd_rig_random(&n) % NBD_AREAS;

			if (n.disk.slots[slot].busy) {
				disk_rig_wait(&n.disk, n.disk.in_flight - 1);
				continue;
			}
			if (started[slot])
				check_finished(slot, &started[slot], &failed_flushes);
			started[slot] = true;
			start_random(slot);
		}
		nbd_server_kill(&n.server);
		nbd_server_start(&n.server);
	}
	disk_rig_wait(&n.disk, 0);
	for (uint32_t slot = 0; slot < NBD_AREAS; slot++) {
		if (started[slot])
			check_finished(slot, &started[slot], &failed_flushes);
		assert_int_equal(disk_rig_run(&n.disk, DISK_READ, 0, (uint64_t)slot * NBD_AREA,
					 NBD_AREA, n.in[slot]),
			0);
		assert_memory_equal(n.in[slot], n.shadow[slot], NBD_AREA);
	}
	/* Flushes in flight together all tell of one loss: at most all slots. */
	assert_in_range(failed_flushes, 1, kills * NBD_AREAS);
	print_message("# %u kills, %u flushes failed, 0 bytes lost\n", kills, failed_flushes);
	nbd_rig_end(&n);
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
		cmocka_unit_test(a_failed_flush_of_a_fua_write_is_not_forgotten),
		cmocka_unit_test(requests_are_sent_again),
		cmocka_unit_test(losses_are_told),
		cmocka_unit_test(losses_are_told_over_one_connection),
		cmocka_unit_test(losses_are_told_without_fua),
		cmocka_unit_test(gives_up_and_recovers),
		cmocka_unit_test(a_silent_server_is_given_up),
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
