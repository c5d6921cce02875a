/* SPDX-License-Identifier: MIT */
/* PERSISTENT RESERVE: rights of the single initiator, and persistence. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "scsi/reserve.h"
#include "tests/support/scsi_rig.h"

#define IN  SCSI_DIR_IN
#define OUT SCSI_DIR_OUT

#define KEEP 0x01u

static struct scsi_reservation *reservation;
static char dir[64], image[96], file[128], temporary[160], link_name[96];

static void start(struct scsi_rig *rig, const char *path)
{
	struct err e = {0};

	assert_int_equal(scsi_reservation_open(&reservation, path, &e), 0);
	rig->unit.reservation = reservation;
}

/* Loss of power: the host starts again. */
static void restart(struct scsi_rig *rig)
{
	scsi_reservation_close(reservation);
	start(rig, image);
}

/* ---- a file system that fails or hangs ----------------------------------- */

static atomic_bool directories_fail, hangs;
static sem_t hanging, go_on;

/* In place of the C library's. */
int fsync(int fd)
{
	struct stat st;

	if (atomic_load(&hangs)) {
		sem_post(&hanging);
		while (sem_wait(&go_on))
			;
	}
	if (atomic_load(&directories_fail) && !fstat(fd, &st) && S_ISDIR(st.st_mode)) {
		errno = EIO;
		return -1;
	}
	return (int)syscall(SYS_fsync, fd);
}

static int setup(void **state)
{
	struct scsi_rig *rig = malloc(sizeof(*rig));
	int image_fd;

	assert_non_null(rig);
	scsi_rig_init(rig);
	snprintf(dir, sizeof(dir), "/tmp/scsi_reserve_test.XXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(image, sizeof(image), "%s/disk", dir);
	snprintf(file, sizeof(file), "%s.pr", image);
	snprintf(temporary, sizeof(temporary), "%s.tmp", file);
	snprintf(link_name, sizeof(link_name), "%s/link", dir);
	image_fd = open(image, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(image_fd >= 0);
	close(image_fd);
	start(rig, image);
	*state = rig;
	return 0;
}

static int teardown(void **state)
{
	scsi_reservation_close(reservation);
	unlink(file);
	unlink(image);
	unlink(link_name);
	rmdir(temporary);
	assert_int_equal(rmdir(dir), 0); /* nothing else is left */
	scsi_rig_fini(*state);
	free(*state);
	return 0;
}

static enum scsi_error out(struct scsi_rig *rig, enum scsi_reserve_action action, uint8_t type,
	uint8_t key, uint8_t action_key, uint8_t flags)
{
	memset(rig->data, 0, 24);
	rig->data[0] = key;
	rig->data[15] = action_key;
	/* so that both ends of the fields count: keys are 0 or K at the first and the last byte */
	rig->data[7] = key;
	rig->data[8] = action_key;
	rig->data[20] = flags;
	return scsi_rig_run(rig, OUT, 24, CDB(0x5F, (uint8_t)action, type, 0, 0, 0, 0, 0, 24, 0));
}

static const uint8_t *in(struct scsi_rig *rig, uint8_t action, uint32_t length)
{
	memset(rig->data, 0xEE, 512);
	assert_int_equal(
		scsi_rig_run(rig, IN, 255, CDB(0x5E, action, 0, 0, 0, 0, 0, 0, 255, 0)), SCSI_OK);
	assert_int_equal(rig->task.transferred, length);
	return rig->data;
}

/* READ KEYS, READ RESERVATION and READ FULL STATUS agree on this. */
static void assert_state(struct scsi_rig *rig, uint8_t generation, uint8_t key, uint8_t type)
{
	const uint8_t *d = in(rig, 0, key ? 16 : 8);
	bool all = type == 7 || type == 8;

	assert_int_equal(d[3], generation);
	assert_int_equal(d[7], key ? 8 : 0);
	if (key)
		assert_true(d[8] == key && d[15] == key);
	d = in(rig, 1, type ? 24 : 8);
	assert_int_equal(d[7], type ? 16 : 0);
	if (type) {
		assert_int_equal(d[15], all ? 0 : key);
		assert_int_equal(d[21], type);
	}
	d = in(rig, 3, key ? 56 : 8);
	assert_int_equal(d[7], key ? 48 : 0);
	if (key) {
		assert_int_equal(d[15], key);
		assert_int_equal(d[20], type ? 1 : 0);
		assert_int_equal(d[21], type);
		assert_int_equal(d[31], 24);
	}
}

static void registering(void **state)
{
	struct scsi_rig *rig = *state;

	assert_state(rig, 0, 0, 0);
	assert_int_equal(out(rig, RESERVE_REGISTER, 0, 9, 1, 0), SCSI_ERR_CONFLICT);
	assert_int_equal(out(rig, RESERVE_REGISTER, 0, 0, 1, 0), SCSI_OK);
	assert_int_equal(rig->task.transferred, 24);
	assert_state(rig, 1, 1, 0);
	assert_int_equal(out(rig, RESERVE_REGISTER, 0, 0, 2, 0), SCSI_ERR_CONFLICT);
	assert_int_equal(out(rig, RESERVE_REGISTER, 0, 1, 2, 0), SCSI_OK);
	assert_state(rig, 2, 2, 0);
	assert_int_equal(out(rig, RESERVE_REGISTER_AND_IGNORE, 0, 77, 3, 0), SCSI_OK);
	assert_state(rig, 3, 3, 0);
	assert_int_equal(out(rig, RESERVE_REGISTER, 0, 3, 0, 0), SCSI_OK);
	assert_state(rig, 4, 0, 0);
}

static void strangers_and_wrong_keys_conflict(void **state)
{
	struct scsi_rig *rig = *state;

	for (uint32_t known = 0; known < 2; known++) {
		for (enum scsi_reserve_action a = RESERVE_RESERVE; a <= RESERVE_PREEMPT_AND_ABORT;
			a++)
			assert_int_equal(out(rig, a, 1, known ? 6 : 0, 5, 0), SCSI_ERR_CONFLICT);
		assert_int_equal(rig->task.transferred, 0);
		assert_state(rig, (uint8_t)known, known ? 5 : 0, 0);
		if (!known)
			out(rig, RESERVE_REGISTER, 0, 0, 5, 0);
	}
}

static void reserving(void **state)
{
	struct scsi_rig *rig = *state;

	out(rig, RESERVE_REGISTER, 0, 0, 5, 0);
	for (uint8_t type = 0; type < 16; type++) {
		bool valid = type == 1 || type == 3 || (type >= 5 && type <= 8);

		assert_int_equal(out(rig, RESERVE_RESERVE, type, 5, 0, 0),
			valid ? SCSI_OK : SCSI_ERR_CDB_FIELD);
		if (!valid)
			continue;
		assert_int_equal(out(rig, RESERVE_RESERVE, type, 5, 0, 0), SCSI_OK);
		assert_int_equal(
			out(rig, RESERVE_RESERVE, type == 1 ? 3 : 1, 5, 0, 0), SCSI_ERR_CONFLICT);
		assert_state(rig, 1, 5, type);
		assert_int_equal(
			out(rig, RESERVE_RELEASE, type == 1 ? 3 : 1, 5, 0, 0), SCSI_ERR_RELEASE);
		/* the holder is not restricted */
		assert_int_equal(
			scsi_rig_run(rig, IN, 512, CDB(0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0)), SCSI_OK);
		assert_int_equal(scsi_rig_run(rig, OUT, 0, CDB(0x16, 0, 0, 0, 0, 0)), SCSI_OK);
		assert_int_equal(out(rig, RESERVE_RELEASE, type, 5, 0, 0), SCSI_OK);
		assert_int_equal(out(rig, RESERVE_RELEASE, type, 5, 0, 0), SCSI_OK);
		assert_state(rig, 1, 5, 0);
	}
}

static void leaving_releases(void **state)
{
	struct scsi_rig *rig = *state;

	out(rig, RESERVE_REGISTER, 0, 0, 5, 0);
	out(rig, RESERVE_RESERVE, 3, 5, 0, 0);
	assert_int_equal(out(rig, RESERVE_REGISTER, 0, 5, 0, 0), SCSI_OK);
	assert_state(rig, 2, 0, 0);
	out(rig, RESERVE_REGISTER, 0, 0, 5, 0);
	out(rig, RESERVE_RESERVE, 8, 5, 0, 0);
	assert_int_equal(out(rig, RESERVE_CLEAR, 0, 5, 0, 0), SCSI_OK);
	assert_state(rig, 4, 0, 0);
}

static void preempting_oneself(void **state)
{
	struct scsi_rig *rig = *state;

	out(rig, RESERVE_REGISTER, 0, 0, 5, 0);
	out(rig, RESERVE_RESERVE, 1, 5, 0, 0);
	assert_int_equal(out(rig, RESERVE_PREEMPT, 3, 5, 9, 0), SCSI_ERR_CONFLICT);
	assert_int_equal(out(rig, RESERVE_PREEMPT, 3, 5, 0, 0), SCSI_ERR_PARAM_FIELD);
	assert_int_equal(out(rig, RESERVE_PREEMPT, 2, 5, 5, 0), SCSI_ERR_CDB_FIELD);
	assert_state(rig, 1, 5, 1);
	assert_int_equal(out(rig, RESERVE_PREEMPT, 3, 5, 5, 0), SCSI_OK);
	assert_state(rig, 2, 5, 3);
	assert_int_equal(out(rig, RESERVE_PREEMPT_AND_ABORT, 7, 5, 5, 0), SCSI_OK);
	assert_state(rig, 3, 5, 7);
	assert_int_equal(out(rig, RESERVE_PREEMPT, 8, 5, 0, 0), SCSI_OK);
	assert_state(rig, 4, 5, 8);
	assert_int_equal(out(rig, RESERVE_PREEMPT, 8, 5, 5, 0), SCSI_OK);
	assert_state(rig, 5, 0, 0);
}

static void bad_lists(void **state)
{
	struct scsi_rig *rig = *state;
	static const uint8_t lengths[] = {0, 8, 23, 25, 255};

	for (size_t i = 0; i < sizeof(lengths); i++)
		assert_int_equal(
			scsi_rig_run(rig, OUT, 255, CDB(0x5F, 0, 0, 0, 0, 0, 0, 0, lengths[i], 0)),
			SCSI_ERR_PARAM_LENGTH);
	assert_int_equal(scsi_rig_run(rig, OUT, 23, CDB(0x5F, 0, 0, 0, 0, 0, 0, 0, 24, 0)),
		SCSI_ERR_CDB_FIELD);
	assert_int_equal(out(rig, RESERVE_REGISTER, 0, 0, 1, 0x08), SCSI_ERR_PARAM_FIELD);
	assert_int_equal(out(rig, RESERVE_REGISTER, 0, 0, 1, 0x04), SCSI_ERR_PARAM_FIELD);
	assert_int_equal(out(rig, RESERVE_RESERVE, 0x11, 0, 1, 0), SCSI_ERR_CDB_FIELD);
	assert_int_equal(out(rig, 8, 0, 0, 1, 0), SCSI_ERR_CDB_FIELD);
	assert_int_equal(scsi_rig_run(rig, IN, 255, CDB(0x5E, 4, 0, 0, 0, 0, 0, 0, 255, 0)),
		SCSI_ERR_CDB_FIELD);
	assert_state(rig, 0, 0, 0);
	rig->unit.reservation = NULL;
	assert_int_equal(out(rig, RESERVE_REGISTER, 0, 0, 1, 0), SCSI_ERR_INVALID_OPCODE);
}

static void capabilities(void **state)
{
	struct scsi_rig *rig = *state;

	assert_memory_equal(in(rig, 2, 8), "\0\x08\x11\x80\xEA\x01\0\0", 8);
	out(rig, RESERVE_REGISTER, 0, 0, 1, KEEP);
	assert_memory_equal(in(rig, 2, 8), "\0\x08\x11\x81\xEA\x01\0\0", 8);
}

static void forgets_unless_told(void **state)
{
	struct scsi_rig *rig = *state;

	out(rig, RESERVE_REGISTER, 0, 0, 5, 0);
	out(rig, RESERVE_RESERVE, 3, 5, 0, 0);
	assert_int_equal(access(file, F_OK), -1);
	restart(rig);
	assert_state(rig, 0, 0, 0);
}

static void keeps_when_told(void **state)
{
	struct scsi_rig *rig = *state;

	out(rig, RESERVE_REGISTER, 0, 0, 5, KEEP);
	restart(rig);
	assert_state(rig, 0, 5, 0);
	assert_int_equal(out(rig, RESERVE_RESERVE, 6, 5, 0, 0), SCSI_OK);
	restart(rig);
	assert_state(rig, 0, 5, 6);
	assert_int_equal(out(rig, RESERVE_RELEASE, 6, 5, 0, 0), SCSI_OK);
	restart(rig);
	assert_state(rig, 0, 5, 0);
	/* registering without it ends that */
	assert_int_equal(out(rig, RESERVE_REGISTER, 0, 5, 5, 0), SCSI_OK);
	assert_int_equal(access(file, F_OK), -1);
	assert_int_equal(out(rig, RESERVE_REGISTER, 0, 5, 5, KEEP), SCSI_OK);
	assert_int_equal(access(file, F_OK), 0);
	assert_int_equal(out(rig, RESERVE_CLEAR, 0, 5, 0, 0), SCSI_OK);
	assert_int_equal(access(file, F_OK), -1);
	restart(rig);
	assert_state(rig, 0, 0, 0);
}

/* A state that cannot be written is not adopted. */
static void fails_whole(void **state)
{
	struct scsi_rig *rig = *state;

	assert_int_equal(mkdir(temporary, 0700), 0);
	assert_int_equal(out(rig, RESERVE_REGISTER, 0, 0, 5, KEEP), SCSI_ERR_TARGET_FAILURE);
	assert_state(rig, 0, 0, 0);
	rmdir(temporary);
	assert_int_equal(out(rig, RESERVE_REGISTER, 0, 0, 5, KEEP), SCSI_OK);
}

/* The file was replaced already. */
static void fails_whole_with_the_directory(void **state)
{
	struct scsi_rig *rig = *state;

	for (uint8_t kept = 0; kept < 2; kept++) {
		atomic_store(&directories_fail, true);
		assert_int_equal(out(rig, RESERVE_REGISTER, 0, kept ? 5 : 0, 6, KEEP),
			SCSI_ERR_TARGET_FAILURE);
		atomic_store(&directories_fail, false);
		assert_state(rig, kept, kept ? 5 : 0, 0);
		restart(rig);
		assert_state(rig, 0, kept ? 5 : 0, 0);
		out(rig, RESERVE_REGISTER, 0, 0, 5, KEEP);
		restart(rig);
		out(rig, RESERVE_REGISTER, 0, 5, 5, KEEP); /* for the generation */
	}
}

static void a_symbolic_link_is_the_same_disk(void **state)
{
	struct scsi_rig *rig = *state;

	out(rig, RESERVE_REGISTER, 0, 0, 5, KEEP);
	assert_int_equal(symlink("disk", link_name), 0);
	scsi_reservation_close(reservation);
	start(rig, link_name);
	assert_state(rig, 0, 5, 0);
	out(rig, RESERVE_REGISTER, 0, 5, 0, 0);
	restart(rig);
	assert_state(rig, 0, 0, 0);
}

/* ---- while the file system hangs ----------------------------------------- */

static void start_out_that_hangs(struct scsi_rig *rig)
{
	memset(rig->data, 0, 24);
	rig->data[8] = rig->data[15] = 5;
	rig->data[20] = KEEP;
	atomic_store(&hangs, true);
	scsi_rig_start(rig, OUT, 24, CDB(0x5F, RESERVE_REGISTER, 0, 0, 0, 0, 0, 0, 24, 0));
	while (sem_wait(&hanging))
		;
	atomic_store(&hangs, false);
}

/* The thread of the unit goes on. */
static void completes_when_the_file_is_written(void **state)
{
	struct scsi_rig *rig = *state;

	start_out_that_hangs(rig);
	assert_int_equal(rig->done, 0);
	assert_int_equal(reservation->state.key, 0);
	sem_post(&go_on);
	scsi_rig_wait(rig);
	assert_int_equal(rig->task.error, SCSI_OK);
	assert_state(rig, 1, 5, 0);
}

static void cancel(struct scsi_rig *rig)
{
	scsi_cancel(&rig->task);
	assert_int_equal(rig->done, 0);
	scsi_rig_wait(rig);
	assert_int_equal(rig->task.error, SCSI_ERR_ABORTED);
}

/* It may be done after all, and until that is known there is no other. */
static void cancelled_while_it_hangs(void **state)
{
	struct scsi_rig *rig = *state;
	enum scsi_error error;

	start_out_that_hangs(rig);
	cancel(rig);
	assert_int_equal(out(rig, RESERVE_REGISTER, 0, 0, 7, 0), SCSI_ERR_FULL);
	assert_state(rig, 0, 0, 0);
	sem_post(&go_on);
	do
		error = out(rig, RESERVE_REGISTER, 0, 5, 7, KEEP);
	while (error == SCSI_ERR_FULL);
	assert_int_equal(error, SCSI_OK);
	assert_state(rig, 2, 7, 0);
}

/* Queue, unit and loop are gone before the call returns. */
static void removed_while_it_hangs(void **state)
{
	struct scsi_rig *rig = *state;

	start_out_that_hangs(rig);
	cancel(rig);
	scsi_reservation_close(reservation);
	sem_post(&go_on);
	while (access(file, F_OK) || access(temporary, F_OK) == 0)
		sched_yield();
	start(rig, image);
	assert_state(rig, 0, 5, 0);
}

/* A guest can do this as often as it likes. */
static void a_directory_that_cannot_be_written_fills_no_log(void **state)
{
	struct scsi_rig *rig = *state;
	FILE *log = tmpfile();
	int real = dup(STDERR_FILENO);
	struct stat st;

	assert_non_null(log);
	assert_int_equal(mkdir(temporary, 0700), 0);
	dup2(fileno(log), STDERR_FILENO);
	for (uint32_t i = 0; i < 5000; i++)
		assert_int_equal(
			out(rig, RESERVE_REGISTER, 0, 0, 5, KEEP), SCSI_ERR_TARGET_FAILURE);
	dup2(real, STDERR_FILENO);
	close(real);
	assert_int_equal(fstat(fileno(log), &st), 0);
	fclose(log);
	assert_in_range(st.st_size, 1, 64 << 10);
}

static void keeps_nothing_without_a_file(void **state)
{
	struct scsi_rig *rig = *state;

	scsi_reservation_close(reservation);
	start(rig, NULL);
	assert_int_equal(out(rig, RESERVE_REGISTER, 0, 0, 5, KEEP), SCSI_ERR_PARAM_FIELD);
	assert_int_equal(out(rig, RESERVE_REGISTER, 0, 0, 5, 0), SCSI_OK);
	assert_int_equal(in(rig, 2, 8)[2], 0x10);
}

static void damaged_files_are_refused(void **state)
{
	static const char *const contents[] = {"", "x", "enlite-reservation 2 5 1\n",
		"enlite-reservation 1 0000000000000000 1\n", "enlite-reservation 1 5 2\n",
		"enlite-reservation 1 5 99\n", "enlite-reservation 1 5\n",
		"enlite-reservation 1 5 1\nmore"};
	struct scsi_reservation *r;

	for (size_t i = 0; i < sizeof(contents) / sizeof(contents[0]); i++) {
		struct err e = {0};
		FILE *f = fopen(file, "w");

		assert_non_null(f);
		fputs(contents[i], f);
		fclose(f);
		assert_int_equal(scsi_reservation_open(&r, image, &e), -EINVAL);
	}
}

/* One initiator, one port: it cannot be moved anywhere. */
static enum scsi_error move(struct scsi_rig *rig, uint8_t key, uint8_t action_key, uint8_t port,
	uint8_t id_format, uint32_t length)
{
	memset(rig->data, 0, 64);
	rig->data[0] = rig->data[7] = key;
	rig->data[8] = rig->data[15] = action_key;
	rig->data[19] = port;
	rig->data[23] = 24;
	rig->data[24] = id_format;
	rig->data[31] = 1;
	return scsi_rig_run(rig, OUT, length, CDB(0x5F, 7, 0, 0, 0, 0, 0, 0, (uint8_t)length, 0));
}

static void cannot_be_moved(void **state)
{
	struct scsi_rig *rig = *state;

	assert_int_equal(move(rig, 0, 9, 1, 6, 48), SCSI_ERR_CONFLICT); /* not registered */
	assert_int_equal(out(rig, RESERVE_REGISTER, 0, 0, 5, 0), SCSI_OK);
	assert_int_equal(move(rig, 4, 9, 1, 6, 48), SCSI_ERR_CONFLICT);
	assert_int_equal(move(rig, 5, 9, 1, 6, 48), SCSI_ERR_CDB_FIELD); /* nothing to move */
	assert_int_equal(out(rig, RESERVE_RESERVE, 7, 5, 0, 0), SCSI_OK);
	assert_int_equal(move(rig, 5, 9, 1, 6, 48), SCSI_ERR_CONFLICT); /* everybody's */
	assert_int_equal(out(rig, RESERVE_RELEASE, 7, 5, 0, 0), SCSI_OK);
	assert_int_equal(out(rig, RESERVE_RESERVE, 1, 5, 0, 0), SCSI_OK);
	assert_int_equal(move(rig, 5, 9, 1, 6, 48), SCSI_ERR_NO_REGISTRATION);
	assert_int_equal(rig->task.sense[12], 0x55);
	assert_int_equal(rig->task.sense[13], 0x04);
	assert_int_equal(move(rig, 5, 9, 1, 1, 48), SCSI_ERR_PARAM_FIELD); /* to itself */
	assert_int_equal(move(rig, 5, 9, 2, 6, 48), SCSI_ERR_PARAM_FIELD); /* another port */
	assert_int_equal(move(rig, 5, 0, 1, 6, 48), SCSI_ERR_PARAM_FIELD);
	assert_int_equal(move(rig, 5, 9, 1, 6, 47), SCSI_ERR_PARAM_LENGTH);
	assert_int_equal(move(rig, 5, 9, 1, 6, 52), SCSI_ERR_PARAM_LENGTH);
	assert_int_equal(move(rig, 5, 9, 1, 6, 24), SCSI_ERR_PARAM_LENGTH);
	assert_int_equal(in(rig, 1, 24)[21], 1); /* it stays */
}

#define REPLACE_LOST 8u
#define RLR_C        0x80u

/* REPORT SUPPORTED OPERATION CODES, this service action of PERSISTENT RESERVE OUT. */
static bool is_reported(struct scsi_rig *rig, uint8_t action)
{
	memset(rig->data, 0xEE, 64);
	assert_int_equal(
		scsi_rig_run(rig, IN, 64, CDB(0xA3, 0x0C, 2, 0x5F, 0, action, 0, 0, 0, 64, 0, 0)),
		SCSI_OK);
	return (rig->data[1] & 7) == 3;
}

static bool is_listed(struct scsi_rig *rig, uint8_t action)
{
	bool listed = false;

	assert_int_equal(
		scsi_rig_run(rig, IN, 4096, CDB(0xA3, 0x0C, 0, 0, 0, 0, 0, 0, 16, 0, 0, 0)),
		SCSI_OK);
	for (uint32_t at = 4; at < rig->task.transferred; at += 8)
		listed |= rig->data[at] == 0x5F && rig->data[at + 3] == action;
	return listed;
}

static void assert_replaces_nothing(struct scsi_rig *rig, uint8_t key)
{
	for (uint8_t type = 0; type < 16; type++) {
		assert_int_equal(out(rig, REPLACE_LOST, type, key, 5, 0), SCSI_ERR_CDB_FIELD);
		assert_int_equal(rig->task.sense[2], 5);
		assert_int_equal(rig->task.sense[12], 0x24);
		assert_int_equal(rig->task.sense[13], 0);
		assert_int_equal(rig->task.transferred, 0);
	}
	assert_int_equal(in(rig, 2, 8)[2] & RLR_C, 0);
	assert_false(is_reported(rig, REPLACE_LOST));
	assert_false(is_listed(rig, REPLACE_LOST));
	assert_true(is_reported(rig, RESERVE_REGISTER_AND_MOVE));
	assert_true(is_listed(rig, RESERVE_REGISTER_AND_MOVE));
}

/* Reservations are never lost: no state needs a replacement, and all reported capabilities agree.
 */
static void has_no_lost_reservation(void **state)
{
	struct scsi_rig *rig = *state;

	assert_replaces_nothing(rig, 0);
	assert_state(rig, 0, 0, 0);
	out(rig, RESERVE_REGISTER, 0, 0, 5, KEEP);
	out(rig, RESERVE_RESERVE, 3, 5, 0, 0);
	assert_replaces_nothing(rig, 5);
	assert_state(rig, 1, 5, 3);
	restart(rig);
	assert_replaces_nothing(rig, 5);
	assert_replaces_nothing(rig, 0); /* as sent without a registration */
	assert_state(rig, 0, 5, 3);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(registering),
		TEST(strangers_and_wrong_keys_conflict),
		TEST(reserving),
		TEST(leaving_releases),
		TEST(preempting_oneself),
		TEST(bad_lists),
		TEST(capabilities),
		TEST(forgets_unless_told),
		TEST(keeps_when_told),
		TEST(fails_whole),
		TEST(fails_whole_with_the_directory),
		TEST(a_symbolic_link_is_the_same_disk),
		TEST(completes_when_the_file_is_written),
		TEST(cancelled_while_it_hangs),
		TEST(removed_while_it_hangs),
		TEST(a_directory_that_cannot_be_written_fills_no_log),
		TEST(keeps_nothing_without_a_file),
		TEST(damaged_files_are_refused),
		TEST(cannot_be_moved),
		TEST(has_no_lost_reservation),
	};

	sem_init(&hanging, 0, 0);
	sem_init(&go_on, 0, 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
