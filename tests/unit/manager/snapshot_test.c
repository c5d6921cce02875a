/* SPDX-License-Identifier: MIT */
/* Copies of disks; snapshots and clones of VMs that are off, and what the next manager makes of
 * those that were not complete. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "mgmt/manager/api.h"
#include "mgmt/manager/operation.h"
#include "tests/support/replace_calls.h"

#define DISK_SIZE (1u << 20)

static struct manager m;
static struct loop loop;
static struct err e;
static char directory[64], state_dir[80], run_dir[80], disk[80]; /* on tmpfs: no reflink */
static bool answered;

/* ---- files --------------------------------------------------------------- */

static void in_dir(char path[128], const char *name)
{
	snprintf(path, 128, "%s/%s", directory, name);
}

/* A sparse file with a text in its middle, which was changed at `second`. */
static void write_disk(const char *path, const char *text, time_t second)
{
	const struct timespec times[] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = second, .tv_nsec = 7}};
	int fd = open(path, O_RDWR | O_CREAT, 0600);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, DISK_SIZE), 0);
	assert_int_equal(pwrite(fd, text, strlen(text) + 1, DISK_SIZE / 2), strlen(text) + 1);
	assert_int_equal(futimens(fd, times), 0);
	close(fd);
}

static void disk_has(const char *path, const char *text, time_t second)
{
	int fd = open(path, O_RDONLY);
	char found[64];
	struct stat st;

	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size, DISK_SIZE);
	assert_true(st.st_blocks * 512 < DISK_SIZE);
	assert_int_equal(st.st_mtim.tv_sec, second);
	assert_int_equal(st.st_mtim.tv_nsec, 7);
	assert_int_equal(pread(fd, found, sizeof(found), DISK_SIZE / 2), sizeof(found));
	assert_string_equal(found, text);
	close(fd);
}

static unsigned count_files(const char *dir, const char *pattern)
{
	char command[256], text[16] = "";
	FILE *f;

	snprintf(command, sizeof(command), "find %s -type f -name '%s' | wc -l", dir, pattern);
	f = popen(command, "r");
	assert_non_null(f);
	assert_non_null(fgets(text, sizeof(text), f));
	pclose(f);
	return (unsigned)atoi(text);
}

/* ---- copies -------------------------------------------------------------- */

static struct disk_copies copies_of(const char *const names[][2], uint32_t count)
{
	struct disk_copies c = {.full = true};
	char path[128];

	c.list = calloc(count, sizeof(c.list[0]));
	for (; c.count < count; c.count++) {
		struct disk_copy *d = &c.list[c.count];

		d->set_changed_ns = -1;
		in_dir(path, names[c.count][0]);
		d->from = strdup(path);
		in_dir(path, names[c.count][1]);
		d->to = strdup(path);
	}
	return c;
}

static void copies_are_as_their_originals(void **state)
{
	static const char *const names[][2] = {{"a", "a2"}, {"b", "b2"}};
	struct disk_copies c = copies_of(names, 2);
	char path[128];

	in_dir(path, "a");
	write_disk(path, "first", 1000);
	in_dir(path, "b");
	write_disk(path, "second", 2000);
	assert_int_equal(disk_copies_make(&c, &e), 0);
	in_dir(path, "a2");
	disk_has(path, "first", 1000);
	in_dir(path, "b2");
	disk_has(path, "second", 2000);
	assert_int_equal(atomic_load(&c.total), 2 * DISK_SIZE);
	assert_true(atomic_load(&c.done) <= 2 * DISK_SIZE);
	disk_copies_free(&c);
}

static void a_failure_leaves_nothing(void **state)
{
	static const char *const names[][2] = {{"a", "a2"}, {"missing", "b2"}};
	struct disk_copies c = copies_of(names, 2);
	char path[128];

	in_dir(path, "a");
	write_disk(path, "first", 1000);
	assert_int_equal(disk_copies_make(&c, &e), -ENOENT);
	assert_int_equal(count_files(directory, "?2"), 0);
	disk_copies_free(&c);
}

static void no_blocks_can_be_shared_here(void **state)
{
	static const char *const names[][2] = {{"a", "a2"}};
	struct disk_copies c = copies_of(names, 1);
	char path[128];

	in_dir(path, "a");
	write_disk(path, "first", 1000);
	c.full = false;
	assert_int_equal(disk_copies_make(&c, &e), -EBUSY);
	assert_non_null(strstr(e.text, "--copy"));
	assert_int_equal(count_files(directory, "?2"), 0);
	assert_false(c.changed);
	assert_false(disk_copy_shares(path));
	disk_copies_free(&c);
}

static void what_is_there_is_not_replaced(void **state)
{
	static const char *const names[][2] = {{"a", "a2"}};
	struct disk_copies c = copies_of(names, 1);
	char path[128];

	in_dir(path, "a");
	write_disk(path, "first", 1000);
	in_dir(path, "a2");
	write_disk(path, "mine", 3000);
	assert_int_equal(disk_copies_make(&c, &e), -EEXIST);
	disk_has(path, "mine", 3000);
	c.in_place = true;
	c.list[0].set_changed_ns = 5000ll * 1000000000 + 7;
	assert_int_equal(disk_copies_make(&c, &e), 0);
	assert_true(c.changed);
	disk_has(path, "first", 5000);
	disk_copies_free(&c);
}

static void a_cancelled_one_leaves_nothing(void **state)
{
	static const char *const names[][2] = {{"a", "a2"}};
	struct disk_copies c = copies_of(names, 1);
	char path[128];

	in_dir(path, "a");
	write_disk(path, "first", 1000);
	atomic_store(&c.cancelled, true);
	assert_int_equal(disk_copies_make(&c, &e), -ECANCELED);
	assert_int_equal(count_files(directory, "?2"), 0);
	disk_copies_free(&c);
}

static void a_file_in_use_is_refused(void **state)
{
	static const char *const names[][2] = {{"a", "a2"}};
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	struct disk_copies c = copies_of(names, 1);
	char path[128];
	int fd;

	in_dir(path, "a");
	write_disk(path, "first", 1000);
	fd = open(path, O_RDWR);
	assert_int_equal(fcntl(fd, F_OFD_SETLK, &lock), 0);
	assert_int_equal(disk_copies_make(&c, &e), -EBUSY);
	c.locked = true; /* by the VM that is paused */
	assert_int_equal(disk_copies_make(&c, &e), 0);
	close(fd);
	disk_copies_free(&c);
}

/* ---- a manager ----------------------------------------------------------- */

static void on_answered(struct api_request *q)
{
	answered = true;
}

static unsigned call(const char *method, const char *path, const char *body)
{
	struct api_request q = {.m = &m, .answered = on_answered};
	unsigned status = api_match(method, path, &q.route, q.param);

	if (status)
		return status;
	answered = false;
	api_run(&q, body, strlen(body));
	assert_true(answered);
	snprintf(e.text, sizeof(e.text), "%s", q.answer.text ? q.answer.text : "");
	free(q.answer.text);
	api_free(&q);
	return q.answer.status;
}

static void expect(unsigned status, const char *method, const char *path, const char *body)
{
	unsigned got = call(method, path, body);

	if (got != status)
		fail_msg("%s %s %s: %u, not %u: %s", method, path, body, got, status, e.text);
}

static struct loop_timer timer;

static void look(struct loop_timer *t)
{
	if (list_empty(&m.operations))
		loop_stop(&loop);
	else
		loop_timer_start(&loop, t, NS_PER_MS, look);
}

/* Until no operation runs. */
static void settle(void)
{
	loop_timer_start(&loop, &timer, NS_PER_MS, look);
	loop_run(&loop);
}

static void open_manager(void)
{
	assert_int_equal(loop_init(&loop, "test", &e), 0);
	assert_int_equal(manager_open(&m, &loop, state_dir, run_dir, "/bin/false", &e), 0);
}

static void close_manager(void)
{
	manager_close(&m);
	loop_fini(&loop);
}

static void reopen(void)
{
	close_manager();
	open_manager();
	settle();
}

static int setup(void **state)
{
	snprintf(directory, sizeof(directory), "/dev/shm/enlite-snap.XXXXXX");
	if (!mkdtemp(directory))
		return -1;
	snprintf(state_dir, sizeof(state_dir), "%s/state", directory);
	snprintf(run_dir, sizeof(run_dir), "%s/run", directory);
	snprintf(disk, sizeof(disk), "%s/disk", directory);
	open_manager();
	return 0;
}

static int teardown(void **state)
{
	char command[128];

	close_manager();
	snprintf(command, sizeof(command), "rm -rf %s", directory);
	return system(command);
}

static void define_vm(void)
{
	char body[512];

	write_disk(disk, "old", 1000);
	snprintf(body, sizeof(body),
		"{\"config\": {\"name\": \"a\", \"kernel\": \"/k\", \"memory\": \"64M\", \"disks\": "
		"[{\"file\": \"%s\"}], \"nics\": [{\"backend\": \"null\"}]}}",
		disk);
	expect(201, "POST", "/vms", body);
}

static struct snapshot *only_snapshot(void)
{
	assert_false(list_empty(&m.snapshots));
	return container_of(m.snapshots.next, struct snapshot, link);
}

/* ---- snapshots ----------------------------------------------------------- */

#define TAKE "{\"name\": \"s\", \"copy\": true}"

static void a_vm_becomes_what_it_was(void **state)
{
	define_vm();
	expect(202, "POST", "/vms/a/snapshots", TAKE);
	expect(409, "PUT", "/vms/a/state", "{\"request\": \"start\"}"); /* meanwhile */
	expect(409, "DELETE", "/vms/a/snapshots/s", "");
	settle();
	reopen();
	expect(409, "POST", "/vms/a/snapshots", TAKE);
	expect(409, "DELETE", "/vms/a", "");
	write_disk(disk, "new", 2000);
	expect(200, "DELETE", "/vms/a/nics/nic0", "");
	expect(202, "POST", "/vms/a/snapshots/s/restore", "");
	settle();
	disk_has(disk, "old", 1000);
	assert_int_equal(
		json_array_size(json_object_get(manager_find(&m, "a")->def.config, "nics")), 1);
	assert_int_equal(count_files(state_dir, "*.restore"), 0);
	expect(200, "DELETE", "/vms/a/snapshots/s", "");
	assert_int_equal(count_files(directory, "*snapshot*"), 0);
	expect(200, "DELETE", "/vms/a", "");
}

static void a_clone_is_a_vm_of_its_own(void **state)
{
	struct mvm *v, *clone;
	const char *file;

	define_vm();
	expect(202, "POST", "/vms/a/snapshots", TAKE);
	settle();
	expect(202, "POST", "/vms/a/snapshots/s/clone", "{\"name\": \"b\"}");
	expect(409, "DELETE", "/vms/a/snapshots/s", "");
	settle();
	reopen();
	v = manager_find(&m, "a");
	clone = manager_find(&m, "b");
	assert_non_null(clone);
	assert_string_not_equal(v->def.id, clone->def.id);
	assert_false(json_equal(json_object_get(v->def.config, "nics"),
		json_object_get(clone->def.config, "nics")));
	file = json_string_value(json_object_get(
		json_array_get(json_object_get(clone->def.config, "disks"), 0), "file"));
	assert_string_not_equal(file, disk);
	disk_has(file, "old", 1000);
	assert_int_equal(count_files(state_dir, "*.clone"), 0);
	expect(409, "POST", "/vms/a/snapshots/s/clone", "{\"name\": \"b\"}");
	expect(400, "POST", "/vms/a/snapshots/s/clone", "{\"name\": \"../b\"}");
	expect(400, "POST", "/vms/a/snapshots/s/clone", "{}");
}

/* As if the manager had died before it was complete. */
static void a_half_snapshot_goes(void **state)
{
	char path[256];

	define_vm();
	expect(202, "POST", "/vms/a/snapshots", TAKE);
	settle();
	only_snapshot()->state = SNAPSHOT_TAKING;
	assert_int_equal(snapshot_complete(&m, only_snapshot(), &e), 0);
	snprintf(path, sizeof(path), "sed -i 's/\"complete\"/\"taking\"/' %s/snapshots/%s.json",
		state_dir, only_snapshot()->id);
	assert_int_equal(system(path), 0);
	reopen();
	assert_true(list_empty(&m.snapshots));
	assert_int_equal(count_files(directory, "*snapshot-*"), 0);
	assert_int_equal(count_files(directory, "*.json"), 1); /* the VM's */
	disk_has(disk, "old", 1000);
}

static void make_half_file(const char *folder, const char *id, const char *suffix)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s/%s.%s.tmp", state_dir, folder, id, suffix);
	f = fopen(path, "w");
	assert_non_null(f);
	fclose(f);
}

/* Files that a manager began and did not finish, also of what there is still. */
static void half_files_go(void **state)
{
	static const char gone[] = "12345678-1234-4234-8234-123456789abc";

	define_vm();
	expect(202, "POST", "/vms/a/snapshots", TAKE);
	settle();
	make_half_file("snapshots", only_snapshot()->id, "json");
	make_half_file("snapshots", manager_find(&m, "a")->def.id, "restore");
	make_half_file("snapshots", gone, "json");
	make_half_file("snapshots", gone, "clone");
	make_half_file("images", gone, "trusted");
	reopen();
	assert_int_equal(count_files(state_dir, "*.tmp"), 0);
	assert_string_equal(only_snapshot()->name, "s");
}

static void a_restore_is_completed(void **state)
{
	char path[256];
	FILE *f;

	define_vm();
	expect(202, "POST", "/vms/a/snapshots", TAKE);
	settle();
	write_disk(disk, "new", 2000);
	snprintf(path, sizeof(path), "%s/snapshots/%s.restore", state_dir,
		manager_find(&m, "a")->def.id);
	f = fopen(path, "w");
	fprintf(f, "{\"snapshot\": \"%s\"}", only_snapshot()->id);
	fclose(f);
	assert_int_equal(chmod(path, 0600), 0);
	reopen();
	disk_has(disk, "old", 1000);
	assert_false(manager_find(&m, "a")->half_restored);
	assert_int_equal(access(path, F_OK), -1);
}

/* Its disk is gone: nothing has changed, and the VM is as before. */
static void a_restore_that_is_not_possible(void **state)
{
	define_vm();
	expect(202, "POST", "/vms/a/snapshots", TAKE);
	settle();
	unlink(disk);
	expect(202, "POST", "/vms/a/snapshots/s/restore", "");
	settle();
	assert_int_equal(manager_find(&m, "a")->state, VMMS_OFF);
	assert_false(manager_find(&m, "a")->half_restored);
	assert_int_equal(count_files(state_dir, "*.restore"), 0);
}

/* Found by the next manager it may have begun: no start before another restore. */
static void a_restore_that_stays_half(void **state)
{
	char path[256];
	FILE *f;

	define_vm();
	snprintf(path, sizeof(path), "%s/snapshots/%s.restore", state_dir,
		manager_find(&m, "a")->def.id);
	f = fopen(path, "w");
	fputs("{\"snapshot\": \"11111111-1111-1111-1111-111111111111\"}", f);
	fclose(f);
	assert_int_equal(chmod(path, 0600), 0);
	reopen();
	assert_int_equal(manager_find(&m, "a")->state, VMMS_CRITICAL);
	expect(409, "PUT", "/vms/a/state", "{\"request\": \"start\"}");
	expect(200, "DELETE", "/vms/a", "");
	assert_int_equal(access(path, F_OK), -1);
}

#define GUID "12345678-1234-1234-1234-123456789abc"

static void a_half_clone_goes(void **state)
{
	char path[256], file[128];
	FILE *f;

	in_dir(file, "disk.b-12345678");
	write_disk(file, "made", 1000);
	snprintf(path, sizeof(path), "%s/snapshots/" GUID ".clone", state_dir);
	f = fopen(path, "w");
	fprintf(f, "{\"definition\": {\"id\": \"" GUID "\"}, \"disks\": [\"%s\"]}", file);
	fclose(f);
	assert_int_equal(chmod(path, 0600), 0);
	snprintf(path, sizeof(path), "%s/images/" GUID ".image", state_dir);
	fclose(fopen(path, "w"));
	reopen();
	assert_int_equal(count_files(directory, "*" GUID "*"), 0);
	assert_int_equal(access(file, F_OK), -1);
}

/* ---- what must not start, or stay ---------------------------------------- */

static void write_text(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	assert_int_equal(chmod(path, 0600), 0);
}

static void state_file(char path[256], const char *folder, const char *id, const char *suffix)
{
	snprintf(path, 256, "%s/%s/%s.%s", state_dir, folder, id, suffix);
}

/* Its worker died, so that a start is due, and its restore had begun. */
static void a_restore_is_not_overtaken_by_a_restart(void **state)
{
	char path[256], text[128];
	struct mvm *v;

	define_vm();
	v = manager_find(&m, "a");
	v->def.restart = POLICY_ALWAYS;
	expect(202, "POST", "/vms/a/snapshots", TAKE);
	settle();
	v->state = VMMS_CRITICAL;
	mvm_restart_later(v, 3600 * NS_PER_S);
	snprintf(text, sizeof(text), "{\"snapshot\": \"%s\"}", only_snapshot()->id);
	state_file(path, "snapshots", v->def.id, "restore");
	write_text(path, text);
	restores_find(&m);
	assert_true(v->half_restored);
	restores_resume(&m);
	assert_non_null(v->op);
	assert_false(v->restart_timer.armed);
	settle();
	assert_int_equal(v->state, VMMS_OFF);
	assert_false(v->restart_timer.armed);
}

/* The timer is late: the restore has begun, or has ended half-way. */
static void a_restart_that_is_due_finds_half_a_restore(void **state)
{
	struct mvm *v;

	define_vm();
	v = manager_find(&m, "a");
	v->state = VMMS_CRITICAL;
	v->half_restored = true;
	mvm_restart_later(v, 1);
	loop_timer_start(&loop, &timer, 10 * NS_PER_MS, look);
	loop_run(&loop);
	assert_false(v->restart_timer.armed);
	assert_int_equal(v->state, VMMS_CRITICAL);
	assert_int_equal(m.starts, 0);
	assert_string_equal(v->reason.text, "");
}

static void a_restore_that_changed_nothing_leaves_the_restart(void **state)
{
	struct mvm *v;

	define_vm();
	v = manager_find(&m, "a");
	expect(202, "POST", "/vms/a/snapshots", TAKE);
	settle();
	unlink(disk);
	v->state = VMMS_CRITICAL;
	mvm_restart_later(v, 3600 * NS_PER_S);
	expect(202, "POST", "/vms/a/snapshots/s/restore", "");
	assert_false(v->restart_timer.armed);
	settle();
	assert_int_equal(v->state, VMMS_CRITICAL);
	assert_true(v->restart_timer.armed);
}

static void a_copy_that_was_changed_is_not_used(void **state)
{
	char path[256];

	define_vm();
	expect(202, "POST", "/vms/a/snapshots", TAKE);
	settle();
	write_disk(disk, "new", 2000);
	snprintf(path, sizeof(path), "%s.snapshot-%s", disk, only_snapshot()->id);
	assert_int_equal(chmod(path, 0600), 0);
	write_disk(path, "other", 3000);
	expect(202, "POST", "/vms/a/snapshots/s/restore", "");
	settle();
	disk_has(disk, "new", 2000);
	assert_false(manager_find(&m, "a")->half_restored);
	expect(202, "POST", "/vms/a/snapshots/s/clone", "{\"name\": \"b\"}");
	settle();
	assert_null(manager_find(&m, "b"));
}

/* Its record could not be written: it is there as before. */
static void a_removal_that_fails_leaves_it_whole(void **state)
{
	define_vm();
	expect(202, "POST", "/vms/a/snapshots", TAKE);
	settle();
	m.snapshot_store.calls = &replace_calls;
	replace_calls_fail(1, false);
	expect(500, "DELETE", "/vms/a/snapshots/s", "");
	m.snapshot_store.calls = &file_replace_calls;
	assert_int_equal(only_snapshot()->state, SNAPSHOT_COMPLETE);
	write_disk(disk, "new", 2000);
	expect(202, "POST", "/vms/a/snapshots/s/restore", "");
	settle();
	disk_has(disk, "old", 1000);
	replace_calls_fail(0, false);
}

static void half_a_snapshot_goes_without_a_new_record(void **state)
{
	define_vm();
	expect(202, "POST", "/vms/a/snapshots", TAKE);
	settle();
	only_snapshot()->state = SNAPSHOT_TAKING;
	m.snapshot_store.calls = &replace_calls;
	replace_calls_fail(1, false);
	assert_int_equal(snapshot_remove(&m, only_snapshot(), &e), 0);
	m.snapshot_store.calls = &file_replace_calls;
	replace_calls_fail(0, false);
	assert_true(list_empty(&m.snapshots));
	assert_int_equal(count_files(directory, "*snapshot-*"), 0);
}

static void names_that_were_not_given_go(void **state)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/images/.new-" GUID ".image", state_dir);
	write_text(path, "x");
	snprintf(path, sizeof(path), "%s/snapshots/.new-" GUID ".image", state_dir);
	write_text(path, "x");
	reopen();
	assert_int_equal(count_files(state_dir, ".new-*"), 0);
}

/* The note of its making was left: the next manager must not take its disks for half a clone's. */
static void a_clone_that_is_removed_keeps_its_disks(void **state)
{
	char path[256], text[256];

	define_vm();
	snprintf(text, sizeof(text), "{\"disks\": [\"%s\"]}", disk);
	state_file(path, "snapshots", manager_find(&m, "a")->def.id, "clone");
	write_text(path, text);
	expect(200, "DELETE", "/vms/a", "");
	reopen();
	disk_has(disk, "old", 1000);
}

static void a_clone_runs_before_its_first_snapshot(void **state)
{
	char path[256];
	struct mvm *v;

	define_vm();
	v = manager_find(&m, "a");
	state_file(path, "images", v->def.id, "image");
	write_text(path, "x");
	state_file(path, "images", v->def.id, "trusted");
	write_text(path, "{\"disks\": []}");
	mvm_find_state(v);
	assert_int_equal(v->state, VMMS_SAVED);
	expect(409, "POST", "/vms/a/snapshots", TAKE);
	assert_non_null(strstr(e.text, "start it once"));
	assert_int_equal(unlink(path), 0);
	expect(202, "POST", "/vms/a/snapshots", TAKE);
	settle();
}

static void a_vm_whose_nics_are_replaced_is_left_alone(void **state)
{
	static const enum vmms_request refused[] = {
		VMMS_SAVE, VMMS_PAUSE, VMMS_SNAPSHOT, VMMS_DEVICES};
	struct mvm *v;

	define_vm();
	v = manager_find(&m, "a");
	v->state = VMMS_RUNNING;
	for (unsigned i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		v->run.old_nics = false;
		assert_int_equal(mvm_check(v, refused[i], &e), 0);
		v->run.old_nics = true;
		assert_int_equal(mvm_check(v, refused[i], &e), -EBUSY);
		assert_non_null(strstr(e.text, "try again"));
	}
	assert_int_equal(mvm_check(v, VMMS_STOP, &e), 0);
	v->state = VMMS_OFF;
}

/* ---- a worker that says what it is told ---------------------------------- */

struct speaker {
	int fd;
	const char *const *answers; /* up to NULL */
	char asked[8][512];
};

static void *speak(void *arg)
{
	struct speaker *s = arg;

	for (unsigned i = 0; s->answers[i]; i++) {
		int fd = accept(s->fd, NULL, NULL);

		assert_true(fd >= 0);
		assert_true(read(fd, s->asked[i], sizeof(s->asked[i]) - 1) > 0);
		assert_true(write(fd, s->answers[i], strlen(s->answers[i])) > 0);
		close(fd);
	}
	return NULL;
}

static struct mvm *replacing;

static void look_at_nics(struct loop_timer *t)
{
	if (replacing->replacing)
		loop_timer_start(&loop, t, NS_PER_MS, look_at_nics);
	else
		loop_stop(&loop);
}

/* The VM says that it runs; all answers are given, and taken. */
static void replace_nics(struct mvm *v, struct speaker *s, const char *const *answers)
{
	pthread_t thread;

	*s = (struct speaker){.fd = s->fd, .answers = answers};
	assert_int_equal(pthread_create(&thread, NULL, speak, s), 0);
	replacing = v;
	mvm_replace_nics(v);
	loop_timer_start(&loop, &timer, NS_PER_MS, look_at_nics);
	loop_run(&loop);
	pthread_join(thread, NULL);
}

#define OK    "{\"ok\": true}\n"
#define NO(w) "{\"ok\": false, \"error\": \"" w "\"}\n"

static void a_nic_is_replaced_until_it_is(void **state)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct speaker s = {.fd = socket(AF_UNIX, SOCK_STREAM, 0)};
	char path[PATH_MAX];
	struct mvm *v;

	define_vm();
	v = manager_find(&m, "a");
	mvm_path(v, "sock", path);
	assert_true(strlen(path) < sizeof(address.sun_path));
	memcpy(address.sun_path, path, strlen(path));
	assert_int_equal(bind(s.fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(s.fd, 8), 0);
	v->run.id.pid = getpid();
	v->run.old_nics = true;
	replace_nics(v, &s, (const char *const[]){NO("the VM is paused"), NULL});
	assert_true(v->run.old_nics);
	replace_nics(v, &s, (const char *const[]){OK, NO("the VM is paused"), NULL});
	assert_true(v->run.old_nics);
	replace_nics(v, &s, (const char *const[]){NO("there is no NIC nic0; see it"), OK, NULL});
	assert_non_null(strstr(s.asked[0], "nic remove"));
	assert_non_null(strstr(s.asked[1], "nic add"));
	assert_false(v->run.old_nics);
	close(s.fd);
	unlink(path);
}

/* ---- what is of one VM --------------------------------------------------- */

static const char *text_at(const struct mvm *v, const char *list, const char *key)
{
	return json_string_value(
		json_object_get(json_array_get(json_object_get(v->def.config, list), 0), key));
}

static const char *record_of(const struct mvm *v, const char *list)
{
	const json_t *device = json_array_get(json_object_get(v->def.config, list), 0);

	return json_string_value(json_object_get(
		json_array_get(json_object_get(device, "filters"), 0), "file"));
}

static void a_clone_shares_no_port_and_no_file(void **state)
{
	struct mvm *clone;
	char body[600];

	write_disk(disk, "old", 1000);
	snprintf(body, sizeof(body),
		"{\"config\": {\"name\": \"a\", \"kernel\": \"/k\", \"memory\": \"64M\", \"disks\": "
		"[{\"file\": \"%s\", \"filters\": [{\"filter\": \"log\", \"file\": \"/l\"}]}], "
		"\"nics\": [{\"backend\": \"user\", \"forward\": \"tcp:8080-:80\", \"filters\": "
		"[{\"filter\": \"pcap\", \"file\": \"/p\"}]}]}}",
		disk);
	expect(201, "POST", "/vms", body);
	expect(202, "POST", "/vms/a/snapshots", TAKE);
	settle();
	expect(409, "POST", "/vms/a/snapshots/s/clone", "{\"name\": \"b\"}");
	assert_non_null(strstr(e.text, "forward"));
	expect(202, "POST", "/vms/a/snapshots/s/clone", "{\"name\": \"b\", \"disconnect\": true}");
	settle();
	clone = manager_find(&m, "b");
	assert_string_equal(text_at(clone, "nics", "backend"), "user");
	assert_null(text_at(clone, "nics", "forward"));
	assert_string_equal(record_of(clone, "nics"), "/p.b");
	assert_string_equal(record_of(clone, "disks"), "/l.b");
	assert_string_equal(record_of(manager_find(&m, "a"), "nics"), "/p");
}

/* ---- what is refused before a VM is paused ------------------------------- */

static void on_answered_later(struct api_request *q)
{
	answered = true;
	free(q->answer.text);
	q->answer.text = NULL;
	loop_stop(&loop);
}

static void no_snapshot_while_devices_change(void **state)
{
	static const char nic[] = "{\"backend\": \"null\"}";
	struct api_request q = {.m = &m, .answered = on_answered_later};
	struct mvm *v;

	define_vm();
	v = manager_find(&m, "a");
	v->state = VMMS_RUNNING;
	assert_int_equal(api_match("POST", "/vms/a/nics", &q.route, q.param), 0);
	answered = false;
	api_run(&q, nic, strlen(nic));
	assert_false(answered);
	expect(409, "POST", "/vms/a/snapshots", TAKE);
	assert_non_null(strstr(e.text, "try again"));
	loop_run(&loop); /* no worker answers */
	assert_true(answered);
	assert_int_equal(v->changes, 0);
	api_free(&q);
	assert_int_equal(mvm_check(v, VMMS_SNAPSHOT, &e), 0);
	v->state = VMMS_OFF;
}

static void no_snapshot_of_dynamic_memory(void **state)
{
	struct mvm *v;

	expect(201, "POST", "/vms",
		"{\"config\": {\"name\": \"a\", \"kernel\": \"/k\", \"memory\": \"64M,max=128M\"}}");
	v = manager_find(&m, "a");
	v->state = VMMS_RUNNING;
	expect(409, "POST", "/vms/a/snapshots", TAKE);
	assert_non_null(strstr(e.text, "dynamic"));
	assert_int_equal(v->state, VMMS_RUNNING);
	v->state = VMMS_OFF;
	expect(202, "POST", "/vms/a/snapshots", TAKE);
	settle();
}

static void no_snapshot_without_room(void **state)
{
	struct snapshot *s;

	define_vm();
	expect(202, "POST", "/vms/a/snapshots", TAKE);
	settle();
	s = only_snapshot();
	assert_int_equal(snapshot_check_space(&m, s, 0, &e), 0);
	assert_int_equal(snapshot_check_space(&m, s, 1ull << 62, &e), -ENOSPC);
	assert_non_null(strstr(e.text, "MiB"));
}

static void a_manager_that_ends_cancels(void **state)
{
	define_vm();
	expect(202, "POST", "/vms/a/snapshots", TAKE);
	assert_false(operations_have_ended(&m));
	operations_end(&m);
	assert_true(atomic_load(&manager_find(&m, "a")->op->copies.cancelled));
	settle();
	assert_true(operations_have_ended(&m));
	expect(503, "POST", "/vms/a/snapshots", "{\"name\": \"t\", \"copy\": true}");
	assert_int_equal(count_files(state_dir, "*.json") - 1,
		list_empty(&m.snapshots) ? 0 : 1); /* it may have been complete */
}

static void foreign_records_are_reported(void **state)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s/snapshots/" GUID ".json", state_dir);
	f = fopen(path, "w");
	fputs("{\"format\": 1}", f);
	fclose(f);
	assert_int_equal(chmod(path, 0600), 0);
	reopen();
	assert_true(list_empty(&m.snapshots));
	assert_int_equal(json_array_size(m.problems), 1);
	assert_int_equal(access(path, F_OK), 0);
}

static void wrong_requests(void **state)
{
	define_vm();
	expect(400, "POST", "/vms/a/snapshots", "{}");
	expect(400, "POST", "/vms/a/snapshots", "{\"name\": 1}");
	expect(400, "POST", "/vms/a/snapshots", "{\"name\": \"../s\"}");
	expect(400, "POST", "/vms/a/snapshots", "{\"name\": \"" GUID "\"}");
	expect(400, "POST", "/vms/a/snapshots", "{\"name\": \"s\", \"x\": 1}");
	expect(409, "POST", "/vms/a/snapshots", "{\"name\": \"s\"}"); /* no reflink here */
	assert_true(list_empty(&m.operations));
	expect(404, "DELETE", "/vms/a/snapshots/s", "");
	expect(400, "DELETE", "/vms/a/snapshots/..", "");
	expect(400, "POST", "/vms/a/snapshots/..%2Fs/restore", "");
	expect(404, "POST", "/vms/b/snapshots", TAKE);
	expect(404, "DELETE", "/jobs/1", "");
	expect(409, "GET", "/vms/a/screenshot", "");
}

static void jobs_end_once(void **state)
{
	struct job *job;
	char path[64];

	define_vm();
	expect(202, "POST", "/vms/a/snapshots", TAKE);
	job = jobs_find(&m.jobs, m.jobs.next - 1);
	assert_int_equal(job->state, JOB_RUNNING);
	snprintf(path, sizeof(path), "/jobs/%llu", (unsigned long long)job->id);
	expect(202, "DELETE", path, "");
	settle();
	assert_true(job->state == JOB_CANCELLED || job->state == JOB_DONE);
	assert_int_equal(list_empty(&m.snapshots), job->state == JOB_CANCELLED);
	expect(409, "DELETE", path, "");
}

static json_int_t percent_of(const struct job *job)
{
	json_t *json = job_json(job);
	json_int_t percent = json_integer_value(json_object_get(json, "percent"));

	json_decref(json);
	return percent;
}

static void jobs_say_how_far_they_are(void **state)
{
	struct job *job;

	define_vm();
	expect(202, "POST", "/vms/a/snapshots", TAKE);
	job = jobs_find(&m.jobs, m.jobs.next - 1);
	jobs_progress(&m.jobs, job->vm, VMMS_SAVE, 30);
	assert_int_equal(percent_of(job), 0);
	jobs_progress(&m.jobs, job->vm, VMMS_SNAPSHOT, 30);
	assert_int_equal(percent_of(job), 30);
	jobs_progress(&m.jobs, job->vm, VMMS_SNAPSHOT, 100);
	assert_int_equal(percent_of(job), 99);
	settle();
	assert_int_equal(percent_of(job), 100);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(copies_are_as_their_originals),
		TEST(a_failure_leaves_nothing),
		TEST(no_blocks_can_be_shared_here),
		TEST(what_is_there_is_not_replaced),
		TEST(a_cancelled_one_leaves_nothing),
		TEST(a_file_in_use_is_refused),
		TEST(a_vm_becomes_what_it_was),
		TEST(a_clone_is_a_vm_of_its_own),
		TEST(a_half_snapshot_goes),
		TEST(half_files_go),
		TEST(a_restore_is_completed),
		TEST(a_restore_that_is_not_possible),
		TEST(a_restore_that_stays_half),
		TEST(a_half_clone_goes),
		TEST(a_restore_is_not_overtaken_by_a_restart),
		TEST(a_restart_that_is_due_finds_half_a_restore),
		TEST(a_restore_that_changed_nothing_leaves_the_restart),
		TEST(a_copy_that_was_changed_is_not_used),
		TEST(a_removal_that_fails_leaves_it_whole),
		TEST(half_a_snapshot_goes_without_a_new_record),
		TEST(names_that_were_not_given_go),
		TEST(a_clone_that_is_removed_keeps_its_disks),
		TEST(a_clone_runs_before_its_first_snapshot),
		TEST(a_vm_whose_nics_are_replaced_is_left_alone),
		TEST(a_nic_is_replaced_until_it_is),
		TEST(a_clone_shares_no_port_and_no_file),
		TEST(no_snapshot_while_devices_change),
		TEST(no_snapshot_of_dynamic_memory),
		TEST(no_snapshot_without_room),
		TEST(a_manager_that_ends_cancels),
		TEST(foreign_records_are_reported),
		TEST(wrong_requests),
		TEST(jobs_end_once),
		TEST(jobs_say_how_far_they_are),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
