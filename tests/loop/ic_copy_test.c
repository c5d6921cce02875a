/* SPDX-License-Identifier: MIT */
/* Files to a scripted guest: of all sizes, and everything that can go wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/guest_ic.h"
#include "vsp/ic/copy.h"
#include "vsp/ic/utf16.h"

#define SIZE_MAX_TESTED 300000u

static const struct ic_config config = {.service = &ic_copy};

struct rig {
	struct guest_ic *s;
	struct vsp_device *dev;
	char file[32];
	uint8_t bytes[SIZE_MAX_TESTED];
	struct ic_copy_job *job;
	struct ic_copy_params params;
	int started;
	struct err error;
	bool done, failed;
};

static struct rig rig;

static void finished(void *ctx, const struct err *e)
{
	struct rig *r = ctx;

	r->failed = e;
	if (e)
		r->error = *e;
	__atomic_store_n(&r->done, true, __ATOMIC_RELEASE);
}

static void run_start(void *arg)
{
	struct rig *r = arg;

	r->started = ic_copy_start(
		&r->job, &r->s->g.control, &r->dev, &r->params, finished, r, &r->error);
}

static void begin(uint32_t size)
{
	struct rig *r = &rig;
	int fd;

	memset(r, 0, sizeof(*r));
	snprintf(r->file, sizeof(r->file), "/tmp/ic_copy.XXXXXX");
	fd = mkstemp(r->file);
	for (uint32_t i = 0; i < size; i++)
		r->bytes[i] = (uint8_t)(i * 7 + i / 256);
	assert_int_equal(write(fd, r->bytes, size), size);
	close(fd);
	r->s = guest_ic_create(&config, 1);
	r->dev = r->s->dev;
	guest_ic_open_ready(r->s);
	r->params = (struct ic_copy_params){
		.file = r->file, .directory = "/t\xc3\xb6p/", .name = "n\xc3\xa4me"};
}

static void start(void)
{
	guest_control(&rig.s->g, run_start, &rig);
}

static void said(const char *text)
{
	guest_ic_wait_flag(rig.s, &rig.done);
	assert_int_equal(rig.failed, *text != '\0');
	if (*text && !strstr(rig.error.text, text))
		fail_msg("'%s' instead of '%s'", rig.error.text, text);
}

static void end(void)
{
	guest_ic_destroy(rig.s);
	unlink(rig.file);
}

static const void *expect(enum ic_copy_operation operation, uint32_t payload)
{
	const struct ic_copy_header *h = guest_ic_expect(rig.s, IC_COPY);

	assert_int_equal(h->operation, operation);
	assert_int_equal(rig.s->len, payload);
	return h;
}

static void answer_start(uint64_t size, uint32_t flags, uint32_t status)
{
	const struct ic_copy_start *m = expect(IC_COPY_START, 1116);
	const uint8_t *bytes = (const uint8_t *)m;
	char text[UTF8_ROOM(520)];

	assert_int_equal(m->size, size);
	assert_int_equal(m->flags, flags);
	utf16_to_utf8(bytes + offsetof(struct ic_copy_start, name), 520, text, sizeof(text));
	assert_string_equal(text, "n\xc3\xa4me");
	utf16_to_utf8(bytes + offsetof(struct ic_copy_start, path), 520, text, sizeof(text));
	assert_string_equal(text, "/t\xc3\xb6p/");
	guest_ic_answer(rig.s, status);
}

static void answer_write(uint64_t offset, uint32_t size, uint32_t status)
{
	const struct ic_copy_write *m = expect(IC_COPY_WRITE, 6224);

	assert_int_equal(m->offset, offset);
	assert_int_equal(m->size, size);
	assert_memory_equal(m->data, rig.bytes + offset, size);
	for (uint32_t i = size; i < IC_COPY_DATA_MAX; i++)
		assert_int_equal(m->data[i], 0);
	guest_ic_answer(rig.s, status);
}

static void answer_header(enum ic_copy_operation operation, uint32_t status)
{
	expect(operation, 64);
	guest_ic_answer(rig.s, status);
}

static void copy(uint32_t size)
{
	begin(size);
	start();
	answer_start(size, 0, 0);
	for (uint32_t at = 0; at < size; at += IC_COPY_DATA_MAX)
		answer_write(at, size - at < IC_COPY_DATA_MAX ? size - at : IC_COPY_DATA_MAX, 0);
	answer_header(IC_COPY_COMPLETE, 0);
	said("");
	assert_true(guest_ic_is_silent(rig.s));
	end();
}

static void all_sizes(void **state)
{
	static const uint32_t sizes[] = {
		0, 1, 4095, 4096, 4097, 6143, 6144, 6145, 12288, 196608, 196609, SIZE_MAX_TESTED};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		copy(sizes[i]);
}

static void flags_are_passed(void **state)
{
	begin(1);
	rig.params.overwrite = rig.params.create_directory = true;
	start();
	answer_start(1, IC_COPY_OVERWRITE | IC_COPY_CREATE_PATH, IC_STATUS_ALREADY_EXISTS);
	said("exists already");
	assert_true(guest_ic_is_silent(rig.s)); /* nothing to cancel */
	end();
}

static void a_full_disk_cancels(void **state)
{
	begin(10000);
	start();
	answer_start(10000, 0, 0);
	answer_write(0, IC_COPY_DATA_MAX, 0);
	answer_write(IC_COPY_DATA_MAX, 10000 - IC_COPY_DATA_MAX, IC_STATUS_DISK_FULL);
	answer_header(IC_COPY_CANCEL, IC_STATUS_FAIL); /* as the daemon of 6.12 does */
	said("disk is full");
	end();
}

static void the_end_may_fail(void **state)
{
	begin(1);
	start();
	answer_start(1, 0, 0);
	answer_write(0, 1, 0);
	answer_header(IC_COPY_COMPLETE, IC_STATUS_FAIL);
	said("could not do it");
	end();
}

/* Cut while it is copied: more than one read. */
static void a_file_that_shrinks(void **state)
{
	begin(SIZE_MAX_TESTED);
	start();
	answer_start(SIZE_MAX_TESTED, 0, 0);
	assert_int_equal(truncate(rig.file, 1000), 0);
	for (uint32_t at = 0; at < 32 * IC_COPY_DATA_MAX; at += IC_COPY_DATA_MAX)
		answer_write(at, IC_COPY_DATA_MAX, 0);
	answer_header(IC_COPY_CANCEL, 0);
	said(rig.file);
	end();
}

static void files_that_are_none(void **state)
{
	begin(1);
	rig.params.file = "/nowhere/at/all";
	start();
	said("/nowhere/at/all: No such file");
	end();
	begin(1);
	rig.params.file = "/tmp";
	start();
	said("/tmp: is no regular file");
	end();
	begin(1);
	unlink(rig.file);
	assert_int_equal(mkfifo(rig.file, 0600), 0); /* opening it for reading waits for a writer */
	start();
	said("is no regular file");
	end();
}

static void names_that_are_none(void **state)
{
	static const char *const wrong[] = {"", "a/b", "\xff"};
	char longest[300];

	begin(1);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		rig.params.name = wrong[i];
		start();
		assert_int_equal(rig.started, -EINVAL);
	}
	memset(longest, 'x', sizeof(longest));
	longest[260] = '\0';
	rig.params.name = longest;
	start();
	assert_int_equal(rig.started, -EINVAL);
	end();
}

static void a_guest_that_ends(void **state)
{
	begin(10000);
	start();
	answer_start(10000, 0, 0);
	expect(IC_COPY_WRITE, 6224);
	guest_shut_down(&rig.s->g);
	said("ended or closed");
	end();
}

static void no_guest(void **state)
{
	begin(1);
	rig.dev = NULL;
	start();
	said("does not offer copy");
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_sizes),
		cmocka_unit_test(flags_are_passed),
		cmocka_unit_test(a_full_disk_cancels),
		cmocka_unit_test(the_end_may_fail),
		cmocka_unit_test(a_file_that_shrinks),
		cmocka_unit_test(files_that_are_none),
		cmocka_unit_test(names_that_are_none),
		cmocka_unit_test(a_guest_that_ends),
		cmocka_unit_test(no_guest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
