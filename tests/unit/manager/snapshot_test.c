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
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/manager_rig.h"

/* ---- copies -------------------------------------------------------------- */

static struct disk_copies copies_of(const char *const names[][2], uint32_t count)
{
	struct disk_copies c = {.full = true};
	char path[128];

	c.list = calloc(count, sizeof(c.list[0]));
	for (; c.count < count; c.count++) {
		struct disk_copy *d = &c.list[c.count];

		d->set_changed_ns = -1;
		mgr_in_dir(path, names[c.count][0]);
		d->from = strdup(path);
		mgr_in_dir(path, names[c.count][1]);
		d->to = strdup(path);
	}
	return c;
}

static void copies_are_as_their_originals(void **state)
{
	static const char *const names[][2] = {{"a", "a2"}, {"b", "b2"}};
	struct disk_copies c = copies_of(names, 2);
	char path[128];

	mgr_in_dir(path, "a");
	mgr_write_disk(path, "first", 1000);
	mgr_in_dir(path, "b");
	mgr_write_disk(path, "second", 2000);
	assert_int_equal(disk_copies_make(&c, &mgr.e), 0);
	mgr_in_dir(path, "a2");
	mgr_disk_has(path, "first", 1000);
	mgr_in_dir(path, "b2");
	mgr_disk_has(path, "second", 2000);
	assert_int_equal(atomic_load(&c.total), 2 * MGR_DISK_SIZE);
	assert_true(atomic_load(&c.done) <= 2 * MGR_DISK_SIZE);
	disk_copies_free(&c);
}

static void a_failure_leaves_nothing(void **state)
{
	static const char *const names[][2] = {{"a", "a2"}, {"missing", "b2"}};
	struct disk_copies c = copies_of(names, 2);
	char path[128];

	mgr_in_dir(path, "a");
	mgr_write_disk(path, "first", 1000);
	assert_int_equal(disk_copies_make(&c, &mgr.e), -ENOENT);
	assert_int_equal(mgr_count_files(mgr.directory, "?2"), 0);
	disk_copies_free(&c);
}

static void no_blocks_can_be_shared_here(void **state)
{
	static const char *const names[][2] = {{"a", "a2"}};
	struct disk_copies c = copies_of(names, 1);
	char path[128];

	mgr_in_dir(path, "a");
	mgr_write_disk(path, "first", 1000);
	c.full = false;
	assert_int_equal(disk_copies_make(&c, &mgr.e), -EBUSY);
	assert_non_null(strstr(mgr.e.text, "--copy"));
	assert_int_equal(mgr_count_files(mgr.directory, "?2"), 0);
	assert_false(c.changed);
	assert_false(disk_copy_shares(path));
	disk_copies_free(&c);
}

static void what_is_there_is_not_replaced(void **state)
{
	static const char *const names[][2] = {{"a", "a2"}};
	struct disk_copies c = copies_of(names, 1);
	char path[128];

	mgr_in_dir(path, "a");
	mgr_write_disk(path, "first", 1000);
	mgr_in_dir(path, "a2");
	mgr_write_disk(path, "mine", 3000);
	assert_int_equal(disk_copies_make(&c, &mgr.e), -EEXIST);
	mgr_disk_has(path, "mine", 3000);
	c.in_place = true;
	c.list[0].set_changed_ns = 5000ll * 1000000000 + 7;
	assert_int_equal(disk_copies_make(&c, &mgr.e), 0);
	assert_true(c.changed);
	mgr_disk_has(path, "first", 5000);
	disk_copies_free(&c);
}

static void a_cancelled_one_leaves_nothing(void **state)
{
	static const char *const names[][2] = {{"a", "a2"}};
	struct disk_copies c = copies_of(names, 1);
	char path[128];

	mgr_in_dir(path, "a");
	mgr_write_disk(path, "first", 1000);
	atomic_store(&c.cancelled, true);
	assert_int_equal(disk_copies_make(&c, &mgr.e), -ECANCELED);
	assert_int_equal(mgr_count_files(mgr.directory, "?2"), 0);
	disk_copies_free(&c);
}

static void a_file_in_use_is_refused(void **state)
{
	static const char *const names[][2] = {{"a", "a2"}};
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	struct disk_copies c = copies_of(names, 1);
	char path[128];
	int fd;

	mgr_in_dir(path, "a");
	mgr_write_disk(path, "first", 1000);
	fd = open(path, O_RDWR);
	assert_int_equal(fcntl(fd, F_OFD_SETLK, &lock), 0);
	assert_int_equal(disk_copies_make(&c, &mgr.e), -EBUSY);
	c.locked = true; /* by the VM that is paused */
	assert_int_equal(disk_copies_make(&c, &mgr.e), 0);
	close(fd);
	disk_copies_free(&c);
}

/* ---- snapshots ----------------------------------------------------------- */

static void a_vm_becomes_what_it_was(void **state)
{
	mgr_define_vm();
	mgr_expect(202, "POST", "/vms/a/snapshots", MGR_TAKE);
	mgr_expect(409, "PUT", "/vms/a/state", "{\"request\": \"start\"}"); /* meanwhile */
	mgr_expect(409, "DELETE", "/vms/a/snapshots/s", "");
	mgr_settle();
	mgr_reopen();
	mgr_expect(409, "POST", "/vms/a/snapshots", MGR_TAKE);
	mgr_expect(409, "DELETE", "/vms/a", "");
	mgr_write_disk(mgr.disk, "new", 2000);
	mgr_expect(200, "DELETE", "/vms/a/nics/nic0", "");
	mgr_expect(202, "POST", "/vms/a/snapshots/s/restore", "");
	mgr_settle();
	mgr_disk_has(mgr.disk, "old", 1000);
	assert_int_equal(
		json_array_size(json_object_get(manager_find(&mgr.m, "a")->def.config, "nics")), 1);
	assert_int_equal(mgr_count_files(mgr.state_dir, "*.restore"), 0);
	mgr_expect(200, "DELETE", "/vms/a/snapshots/s", "");
	assert_int_equal(mgr_count_files(mgr.directory, "*snapshot*"), 0);
	mgr_expect(200, "DELETE", "/vms/a", "");
}

static void a_clone_is_a_vm_of_its_own(void **state)
{
	struct mvm *v, *clone;
	const char *file;

	mgr_define_vm();
	mgr_expect(202, "POST", "/vms/a/snapshots", MGR_TAKE);
	mgr_settle();
	mgr_expect(202, "POST", "/vms/a/snapshots/s/clone", "{\"name\": \"b\"}");
	mgr_expect(409, "DELETE", "/vms/a/snapshots/s", "");
	mgr_settle();
	mgr_reopen();
	v = manager_find(&mgr.m, "a");
	clone = manager_find(&mgr.m, "b");
	assert_non_null(clone);
	assert_string_not_equal(v->def.id, clone->def.id);
	assert_false(json_equal(json_object_get(v->def.config, "nics"),
		json_object_get(clone->def.config, "nics")));
	file = json_string_value(json_object_get(
		json_array_get(json_object_get(clone->def.config, "disks"), 0), "file"));
	assert_string_not_equal(file, mgr.disk);
	mgr_disk_has(file, "old", 1000);
	assert_int_equal(mgr_count_files(mgr.state_dir, "*.clone"), 0);
	mgr_expect(409, "POST", "/vms/a/snapshots/s/clone", "{\"name\": \"b\"}");
	mgr_expect(400, "POST", "/vms/a/snapshots/s/clone", "{\"name\": \"../b\"}");
	mgr_expect(400, "POST", "/vms/a/snapshots/s/clone", "{}");
}

/* As if the manager had died before it was complete. */
static void a_half_snapshot_goes(void **state)
{
	char path[256];

	mgr_define_vm();
	mgr_expect(202, "POST", "/vms/a/snapshots", MGR_TAKE);
	mgr_settle();
	mgr_only_snapshot()->state = SNAPSHOT_TAKING;
	assert_int_equal(snapshot_complete(&mgr.m, mgr_only_snapshot(), &mgr.e), 0);
	snprintf(path, sizeof(path), "sed -i 's/\"complete\"/\"taking\"/' %s/snapshots/%s.json",
		mgr.state_dir, mgr_only_snapshot()->id);
	assert_int_equal(system(path), 0);
	mgr_reopen();
	assert_true(list_empty(&mgr.m.snapshots));
	assert_int_equal(mgr_count_files(mgr.directory, "*snapshot-*"), 0);
	assert_int_equal(mgr_count_files(mgr.directory, "*.json"), 1); /* the VM's */
	mgr_disk_has(mgr.disk, "old", 1000);
}

static void make_half_file(const char *folder, const char *id, const char *suffix)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s/%s.%s.tmp", mgr.state_dir, folder, id, suffix);
	f = fopen(path, "w");
	assert_non_null(f);
	fclose(f);
}

/* Files that a manager began and did not finish, also of what there is still. */
static void half_files_go(void **state)
{
	static const char gone[] = "12345678-1234-4234-8234-123456789abc";

	mgr_define_vm();
	mgr_expect(202, "POST", "/vms/a/snapshots", MGR_TAKE);
	mgr_settle();
	make_half_file("snapshots", mgr_only_snapshot()->id, "json");
	make_half_file("snapshots", manager_find(&mgr.m, "a")->def.id, "restore");
	make_half_file("snapshots", gone, "json");
	make_half_file("snapshots", gone, "clone");
	make_half_file("images", gone, "trusted");
	mgr_reopen();
	assert_int_equal(mgr_count_files(mgr.state_dir, "*.tmp"), 0);
	assert_string_equal(mgr_only_snapshot()->name, "s");
}

static void a_restore_is_completed(void **state)
{
	char path[256];
	FILE *f;

	mgr_define_vm();
	mgr_expect(202, "POST", "/vms/a/snapshots", MGR_TAKE);
	mgr_settle();
	mgr_write_disk(mgr.disk, "new", 2000);
	snprintf(path, sizeof(path), "%s/snapshots/%s.restore", mgr.state_dir,
		manager_find(&mgr.m, "a")->def.id);
	f = fopen(path, "w");
	fprintf(f, "{\"snapshot\": \"%s\"}", mgr_only_snapshot()->id);
	fclose(f);
	assert_int_equal(chmod(path, 0600), 0);
	mgr_reopen();
	mgr_disk_has(mgr.disk, "old", 1000);
	assert_false(manager_find(&mgr.m, "a")->half_restored);
	assert_int_equal(access(path, F_OK), -1);
}

/* Its disk is gone: nothing has changed, and the VM is as before. */
static void a_restore_that_is_not_possible(void **state)
{
	mgr_define_vm();
	mgr_expect(202, "POST", "/vms/a/snapshots", MGR_TAKE);
	mgr_settle();
	unlink(mgr.disk);
	mgr_expect(202, "POST", "/vms/a/snapshots/s/restore", "");
	mgr_settle();
	assert_int_equal(manager_find(&mgr.m, "a")->state, VMMS_OFF);
	assert_false(manager_find(&mgr.m, "a")->half_restored);
	assert_int_equal(mgr_count_files(mgr.state_dir, "*.restore"), 0);
}

/* Found by the next manager it may have begun: no start before another restore. */
static void a_restore_that_stays_half(void **state)
{
	char path[256];
	FILE *f;

	mgr_define_vm();
	snprintf(path, sizeof(path), "%s/snapshots/%s.restore", mgr.state_dir,
		manager_find(&mgr.m, "a")->def.id);
	f = fopen(path, "w");
	fputs("{\"snapshot\": \"11111111-1111-1111-1111-111111111111\"}", f);
	fclose(f);
	assert_int_equal(chmod(path, 0600), 0);
	mgr_reopen();
	assert_int_equal(manager_find(&mgr.m, "a")->state, VMMS_CRITICAL);
	mgr_expect(409, "PUT", "/vms/a/state", "{\"request\": \"start\"}");
	mgr_expect(200, "DELETE", "/vms/a", "");
	assert_int_equal(access(path, F_OK), -1);
}

#define GUID "12345678-1234-1234-1234-123456789abc"

static void a_half_clone_goes(void **state)
{
	char path[256], file[128];
	FILE *f;

	mgr_in_dir(file, "disk.b-12345678");
	mgr_write_disk(file, "made", 1000);
	snprintf(path, sizeof(path), "%s/snapshots/" GUID ".clone", mgr.state_dir);
	f = fopen(path, "w");
	fprintf(f, "{\"definition\": {\"id\": \"" GUID "\"}, \"disks\": [\"%s\"]}", file);
	fclose(f);
	assert_int_equal(chmod(path, 0600), 0);
	snprintf(path, sizeof(path), "%s/images/" GUID ".image", mgr.state_dir);
	fclose(fopen(path, "w"));
	mgr_reopen();
	assert_int_equal(mgr_count_files(mgr.directory, "*" GUID "*"), 0);
	assert_int_equal(access(file, F_OK), -1);
}

static void foreign_records_are_reported(void **state)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s/snapshots/" GUID ".json", mgr.state_dir);
	f = fopen(path, "w");
	fputs("{\"format\": 1}", f);
	fclose(f);
	assert_int_equal(chmod(path, 0600), 0);
	mgr_reopen();
	assert_true(list_empty(&mgr.m.snapshots));
	assert_int_equal(json_array_size(mgr.m.problems), 1);
	assert_int_equal(access(path, F_OK), 0);
}

static void wrong_requests(void **state)
{
	mgr_define_vm();
	mgr_expect(400, "POST", "/vms/a/snapshots", "{}");
	mgr_expect(400, "POST", "/vms/a/snapshots", "{\"name\": 1}");
	mgr_expect(400, "POST", "/vms/a/snapshots", "{\"name\": \"../s\"}");
	mgr_expect(400, "POST", "/vms/a/snapshots", "{\"name\": \"" GUID "\"}");
	mgr_expect(400, "POST", "/vms/a/snapshots", "{\"name\": \"s\", \"x\": 1}");
	mgr_expect(409, "POST", "/vms/a/snapshots", "{\"name\": \"s\"}"); /* no reflink here */
	assert_true(list_empty(&mgr.m.operations));
	mgr_expect(404, "DELETE", "/vms/a/snapshots/s", "");
	mgr_expect(400, "DELETE", "/vms/a/snapshots/..", "");
	mgr_expect(400, "POST", "/vms/a/snapshots/..%2Fs/restore", "");
	mgr_expect(404, "POST", "/vms/b/snapshots", MGR_TAKE);
	mgr_expect(404, "DELETE", "/jobs/1", "");
	mgr_expect(409, "GET", "/vms/a/screenshot", "");
}

static void jobs_end_once(void **state)
{
	struct job *job;
	char path[64];

	mgr_define_vm();
	mgr_expect(202, "POST", "/vms/a/snapshots", MGR_TAKE);
	job = jobs_find(&mgr.m.jobs, mgr.m.jobs.next - 1);
	assert_int_equal(job->state, JOB_RUNNING);
	snprintf(path, sizeof(path), "/jobs/%llu", (unsigned long long)job->id);
	mgr_expect(202, "DELETE", path, "");
	mgr_settle();
	assert_true(job->state == JOB_CANCELLED || job->state == JOB_DONE);
	assert_int_equal(list_empty(&mgr.m.snapshots), job->state == JOB_CANCELLED);
	mgr_expect(409, "DELETE", path, "");
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

	mgr_define_vm();
	mgr_expect(202, "POST", "/vms/a/snapshots", MGR_TAKE);
	job = jobs_find(&mgr.m.jobs, mgr.m.jobs.next - 1);
	jobs_progress(&mgr.m.jobs, job->vm, VMMS_SAVE, 30);
	assert_int_equal(percent_of(job), 0);
	jobs_progress(&mgr.m.jobs, job->vm, VMMS_SNAPSHOT, 30);
	assert_int_equal(percent_of(job), 30);
	jobs_progress(&mgr.m.jobs, job->vm, VMMS_SNAPSHOT, 100);
	assert_int_equal(percent_of(job), 99);
	mgr_settle();
	assert_int_equal(percent_of(job), 100);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, mgr_setup, mgr_teardown)

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
		TEST(foreign_records_are_reported),
		TEST(wrong_requests),
		TEST(jobs_end_once),
		TEST(jobs_say_how_far_they_are),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
