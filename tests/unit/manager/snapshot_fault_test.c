/* SPDX-License-Identifier: MIT */
/* What must not become of snapshots, restores and clones: a start in the middle, a half one that is
 * taken for a whole, a NIC or disk that is lost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/support/manager_rig.h"
#include "tests/support/replace_calls.h"

#define GUID "12345678-1234-1234-1234-123456789abc"

/* ---- what must not start, or stay ---------------------------------------- */

static struct loop_timer timer;
static bool answered;

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
	snprintf(path, 256, "%s/%s/%s.%s", mgr.state_dir, folder, id, suffix);
}

/* Its worker died, so that a start is due, and its restore had begun. */
static void a_restore_is_not_overtaken_by_a_restart(void **state)
{
	char path[256], text[128];
	struct mvm *v;

	mgr_define_vm();
	v = manager_find(&mgr.m, "a");
	v->def.restart = POLICY_ALWAYS;
	mgr_expect(202, "POST", "/vms/a/snapshots", MGR_TAKE);
	mgr_settle();
	v->state = VMMS_CRITICAL;
	mvm_restart_later(v, 3600 * NS_PER_S);
	snprintf(text, sizeof(text), "{\"snapshot\": \"%s\"}", mgr_only_snapshot()->id);
	state_file(path, "snapshots", v->def.id, "restore");
	write_text(path, text);
	restores_find(&mgr.m);
	assert_true(v->half_restored);
	restores_resume(&mgr.m);
	assert_non_null(v->op);
	assert_false(v->restart_timer.armed);
	mgr_settle();
	assert_int_equal(v->state, VMMS_OFF);
	assert_false(v->restart_timer.armed);
}

static void stop(struct loop_timer *t)
{
	loop_stop(&mgr.loop);
}

/* The timer is late: the restore has begun, or has ended half-way. */
static void a_restart_that_is_due_finds_half_a_restore(void **state)
{
	struct mvm *v;

	mgr_define_vm();
	v = manager_find(&mgr.m, "a");
	v->state = VMMS_CRITICAL;
	v->half_restored = true;
	mvm_restart_later(v, 1);
	loop_timer_start(&mgr.loop, &timer, 10 * NS_PER_MS, stop);
	loop_run(&mgr.loop);
	assert_false(v->restart_timer.armed);
	assert_int_equal(v->state, VMMS_CRITICAL);
	assert_int_equal(mgr.m.starts, 0);
	assert_string_equal(v->reason.text, "");
}

/* Its worker died while its disks were copied for a snapshot: it starts when they are. */
static void a_restart_waits_for_the_end_of_a_snapshot(void **state)
{
	struct operation op = {.m = &mgr.m, .request = VMMS_SNAPSHOT, .copying = true};
	struct mvm *v;

	mgr_define_vm();
	v = manager_find(&mgr.m, "a");
	v->state = VMMS_CRITICAL;
	v->op = &op;
	mvm_restart_later(v, 1);
	loop_timer_start(&mgr.loop, &timer, 10 * NS_PER_MS, stop);
	loop_run(&mgr.loop);
	assert_int_equal(mgr.m.starts, 0);
	assert_true(v->restart_timer.armed);
	v->op = NULL;
}

static void look_if_held(struct loop_timer *t)
{
	if (manager_find(&mgr.m, "a")->held)
		loop_timer_start(&mgr.loop, t, NS_PER_MS, look_if_held);
	else
		loop_stop(&mgr.loop);
}

/* It is not known whether it has a worker: the restore goes on when it is. */
static void a_restore_waits_for_a_vm_that_is_held(void **state)
{
	char note[256], record[256], text[128];
	struct mvm *v;

	mgr_define_vm();
	mgr_expect(202, "POST", "/vms/a/snapshots", MGR_TAKE);
	mgr_settle();
	mgr_write_disk(mgr.disk, "new", 2000);
	snprintf(text, sizeof(text), "{\"snapshot\": \"%s\"}", mgr_only_snapshot()->id);
	state_file(note, "snapshots", manager_find(&mgr.m, "a")->def.id, "restore");
	write_text(note, text);
	snprintf(record, sizeof(record), "%s/enlite/%s.run", mgr.run_dir,
		manager_find(&mgr.m, "a")->def.id);
	write_text(record, "{}");
	mgr_reopen();
	v = manager_find(&mgr.m, "a");
	assert_true(v->held);
	assert_true(v->half_restored);
	mgr_disk_has(mgr.disk, "new", 2000);
	assert_int_equal(unlink(record), 0);
	loop_timer_start(&mgr.loop, &timer, NS_PER_MS, look_if_held);
	loop_run(&mgr.loop);
	mgr_settle();
	assert_false(v->half_restored);
	mgr_disk_has(mgr.disk, "old", 1000);
	assert_int_equal(access(note, F_OK), -1);
}

static void a_restore_that_changed_nothing_leaves_the_restart(void **state)
{
	struct mvm *v;

	mgr_define_vm();
	v = manager_find(&mgr.m, "a");
	mgr_expect(202, "POST", "/vms/a/snapshots", MGR_TAKE);
	mgr_settle();
	unlink(mgr.disk);
	v->state = VMMS_CRITICAL;
	mvm_restart_later(v, 3600 * NS_PER_S);
	mgr_expect(202, "POST", "/vms/a/snapshots/s/restore", "");
	assert_false(v->restart_timer.armed);
	mgr_settle();
	assert_int_equal(v->state, VMMS_CRITICAL);
	assert_true(v->restart_timer.armed);
}

static void keep_as_it_is(void)
{
	char command[1024];

	snprintf(command, sizeof(command), "cd %s && cp -a state state.kept && cp -a run run.kept",
		mgr.directory);
	assert_int_equal(system(command), 0);
}

/* As the directories were when keep_as_it_is() ran. */
static void die_there(void)
{
	char command[1024];

	snprintf(command, sizeof(command),
		"cd %s && rm -r state run && mv state.kept state && mv run.kept run",
		mgr.directory);
	assert_int_equal(system(command), 0);
	mgr_reopen();
}

/* A dead worker's, of another boot of the host. */
static void write_record(const char *id, const char *flags)
{
	char path[256], text[512];

	snprintf(path, sizeof(path), "%s/enlite/%s.run", mgr.run_dir, id);
	snprintf(text, sizeof(text),
		"{\"worker\": {\"pid\": 2, \"start\": 1, \"boot\": \"x\"}, \"restoring\": false, \"ran\": true, %s}",
		flags);
	write_text(path, text);
}

/* Neither off as it was wished, nor saved. */
static void a_worker_that_dies_while_it_saves_is_no_success(void **state)
{
	struct mvm *v;

	mgr_define_vm();
	write_record(manager_find(&mgr.m, "a")->def.id, "\"wanted\": true, \"saving\": true");
	for (unsigned i = 0; i < 2; i++) {
		mgr_reopen();
		v = manager_find(&mgr.m, "a");
		assert_int_equal(v->state, VMMS_CRITICAL);
		assert_string_equal(v->reason.text, "it was not saved: its process was killed");
		assert_false(v->restart_timer.armed);
	}
	write_record(v->def.id, "\"wanted\": true, \"saving\": false");
	mgr_reopen();
	assert_int_equal(manager_find(&mgr.m, "a")->state, VMMS_OFF);
}

/* It may be as large as the guest's memory. */
static void half_an_image_goes_with_its_writer(void **state)
{
	char path[256];

	mgr_define_vm();
	state_file(path, "images", manager_find(&mgr.m, "a")->def.id, "image.tmp");
	write_text(path, "x");
	mgr_reopen(); /* the host has started anew */
	assert_int_equal(mgr_count_files(mgr.state_dir, "*.tmp"), 0);
	write_text(path, "x");
	write_record(manager_find(&mgr.m, "a")->def.id, "\"wanted\": true, \"saving\": true");
	mgr_reopen();
	assert_int_equal(mgr_count_files(mgr.state_dir, "*.tmp"), 0);
}

/* Its worker was killed some time ago, and the manager is when the note of the restore is gone. */
static void a_restored_state_outlives_the_manager(void **state)
{
	char image[256];
	struct mvm *v;

	mgr_define_vm();
	v = manager_find(&mgr.m, "a");
	state_file(image, "images", v->def.id, "image");
	write_text(image, "x");
	mvm_find_state(v);
	mgr_expect(202, "POST", "/vms/a/snapshots", MGR_TAKE);
	mgr_settle();
	assert_int_equal(unlink(image), 0);
	write_record(v->def.id, "\"wanted\": false, \"saving\": false");
	v->state = VMMS_CRITICAL;
	mgr.m.snapshot_store.calls = &replace_calls;
	mgr_expect(202, "POST", "/vms/a/snapshots/s/restore", "");
	replace_calls_between(1, keep_as_it_is);
	mgr_settle();
	assert_string_equal(replace_calls_seen.order, "ud");
	mgr.m.snapshot_store.calls = &file_replace_calls;
	replace_calls_fail(0, false);
	die_there();
	assert_int_equal(manager_find(&mgr.m, "a")->state, VMMS_SAVED);
	assert_int_equal(access(image, F_OK), 0);
}

/* A record that stays would have the next manager put the image aside. */
static void a_restore_that_leaves_the_record_is_half_way(void **state)
{
	struct mvm *v;

	mgr_define_vm();
	v = manager_find(&mgr.m, "a");
	mgr_expect(202, "POST", "/vms/a/snapshots", MGR_TAKE);
	mgr_settle();
	v->state = VMMS_CRITICAL;
	mgr.m.run.calls = &replace_calls;
	replace_calls_fail(1, false);
	mgr_expect(202, "POST", "/vms/a/snapshots/s/restore", "");
	mgr_settle();
	assert_true(v->half_restored);
	assert_non_null(strstr(v->reason.text, ".run: cannot be removed"));
	mgr_expect(202, "POST", "/vms/a/snapshots/s/restore", ""); /* again */
	mgr_settle();
	assert_int_equal(v->state, VMMS_OFF);
}

static void a_copy_that_was_changed_is_not_used(void **state)
{
	char path[256];

	mgr_define_vm();
	mgr_expect(202, "POST", "/vms/a/snapshots", MGR_TAKE);
	mgr_settle();
	mgr_write_disk(mgr.disk, "new", 2000);
	snprintf(path, sizeof(path), "%s.snapshot-%s", mgr.disk, mgr_only_snapshot()->id);
	assert_int_equal(chmod(path, 0600), 0);
	mgr_write_disk(path, "other", 3000);
	mgr_expect(202, "POST", "/vms/a/snapshots/s/restore", "");
	mgr_settle();
	mgr_disk_has(mgr.disk, "new", 2000);
	assert_false(manager_find(&mgr.m, "a")->half_restored);
	mgr_expect(202, "POST", "/vms/a/snapshots/s/clone", "{\"name\": \"b\"}");
	mgr_settle();
	assert_null(manager_find(&mgr.m, "b"));
}

/* Its record could not be written: it is there as before. */
static void a_removal_that_fails_leaves_it_whole(void **state)
{
	mgr_define_vm();
	mgr_expect(202, "POST", "/vms/a/snapshots", MGR_TAKE);
	mgr_settle();
	mgr.m.snapshot_store.calls = &replace_calls;
	replace_calls_fail(1, false);
	mgr_expect(500, "DELETE", "/vms/a/snapshots/s", "");
	mgr.m.snapshot_store.calls = &file_replace_calls;
	assert_int_equal(mgr_only_snapshot()->state, SNAPSHOT_COMPLETE);
	mgr_write_disk(mgr.disk, "new", 2000);
	mgr_expect(202, "POST", "/vms/a/snapshots/s/restore", "");
	mgr_settle();
	mgr_disk_has(mgr.disk, "old", 1000);
	replace_calls_fail(0, false);
}

static void half_a_snapshot_goes_without_a_new_record(void **state)
{
	mgr_define_vm();
	mgr_expect(202, "POST", "/vms/a/snapshots", MGR_TAKE);
	mgr_settle();
	mgr_only_snapshot()->state = SNAPSHOT_TAKING;
	mgr.m.snapshot_store.calls = &replace_calls;
	replace_calls_fail(1, false);
	assert_int_equal(snapshot_remove(&mgr.m, mgr_only_snapshot(), &mgr.e), 0);
	mgr.m.snapshot_store.calls = &file_replace_calls;
	replace_calls_fail(0, false);
	assert_true(list_empty(&mgr.m.snapshots));
	assert_int_equal(mgr_count_files(mgr.directory, "*snapshot-*"), 0);
}

static void names_that_were_not_given_go(void **state)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/images/.new-" GUID ".image", mgr.state_dir);
	write_text(path, "x");
	snprintf(path, sizeof(path), "%s/snapshots/.new-" GUID ".image", mgr.state_dir);
	write_text(path, "x");
	mgr_reopen();
	assert_int_equal(mgr_count_files(mgr.state_dir, ".new-*"), 0);
}

/* Whatever fails: what was refused is not there, also for the next manager. */
static void a_vm_that_is_not_defined_leaves_nothing(void **state)
{
	static const char body[] =
		"{\"config\": {\"name\": \"a\", \"kernel\": \"/k\", \"memory\": \"64M\"}}";
	unsigned status = 0;

	for (unsigned at = 1; status != 201; at++) {
		mgr.m.vms.calls = &replace_calls;
		replace_calls_fail(at, false);
		status = mgr_call("POST", "/vms", body);
		mgr.m.vms.calls = &file_replace_calls;
		if (status != 201)
			assert_int_equal(mgr_count_files(mgr.state_dir, "*.json*"), 0);
	}
	replace_calls_fail(0, false);
	mgr_reopen();
	assert_int_equal(mgr.m.count, 1);
}

/* The note of its making was left: the next manager must not take its disks for half a clone's. */
static void a_clone_that_is_removed_keeps_its_disks(void **state)
{
	char path[256], text[256];

	mgr_define_vm();
	snprintf(text, sizeof(text), "{\"disks\": [\"%s\"]}", mgr.disk);
	state_file(path, "snapshots", manager_find(&mgr.m, "a")->def.id, "clone");
	write_text(path, text);
	mgr_expect(200, "DELETE", "/vms/a", "");
	mgr_reopen();
	mgr_disk_has(mgr.disk, "old", 1000);
}

static void a_clone_runs_before_its_first_snapshot(void **state)
{
	char path[256];
	struct mvm *v;

	mgr_define_vm();
	v = manager_find(&mgr.m, "a");
	state_file(path, "images", v->def.id, "image");
	write_text(path, "x");
	state_file(path, "images", v->def.id, "trusted");
	write_text(path, "{\"disks\": []}");
	mvm_find_state(v);
	assert_int_equal(v->state, VMMS_SAVED);
	mgr_expect(409, "POST", "/vms/a/snapshots", MGR_TAKE);
	assert_non_null(strstr(mgr.e.text, "start it once"));
	assert_int_equal(unlink(path), 0);
	mgr_expect(202, "POST", "/vms/a/snapshots", MGR_TAKE);
	mgr_settle();
}

/* Its reason names a disk, and is cut in the middle of a character. */
static void a_vm_is_shown_whatever_its_reason(void **state)
{
	char path[256], text[700], name[401];
	struct mvm *v;

	mgr_define_vm();
	v = manager_find(&mgr.m, "a");
	state_file(path, "images", v->def.id, "image");
	write_text(path, "x");
	for (unsigned i = 0; i < 400; i += 2)
		memcpy(name + i, "\xC3\xA4", 3);
	snprintf(text, sizeof(text), "{\"disks\": [{\"file\": \"/%s\", \"changed_ns\": 1}]}", name);
	state_file(path, "images", v->def.id, "trusted");
	write_text(path, text);
	mvm_find_state(v);
	mgr_expect(202, "PUT", "/vms/a/state", "{\"request\": \"start\"}");
	assert_non_null(strstr(v->reason.text, "was changed"));
	mgr_expect(200, "GET", "/vms/a", "");
	mgr_expect(200, "GET", "/vms", "");
	assert_non_null(strstr(mgr.e.text, v->def.id));
}

static void a_vm_whose_nics_are_replaced_is_left_alone(void **state)
{
	static const enum vmms_request refused[] = {
		VMMS_SAVE, VMMS_PAUSE, VMMS_SNAPSHOT, VMMS_DEVICES};
	struct mvm *v;

	mgr_define_vm();
	v = manager_find(&mgr.m, "a");
	v->state = VMMS_RUNNING;
	for (unsigned i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		v->run.old_nics = false;
		assert_int_equal(mvm_check(v, refused[i], &mgr.e), 0);
		v->run.old_nics = true;
		assert_int_equal(mvm_check(v, refused[i], &mgr.e), -EBUSY);
		assert_non_null(strstr(mgr.e.text, "try again"));
	}
	assert_int_equal(mvm_check(v, VMMS_STOP, &mgr.e), 0);
	v->state = VMMS_OFF;
}

/* ---- a worker that says what it is to say -------------------------------- */

#define SPEAKER_S 120

struct speaker {
	int fd;
	const char *const *answers; /* up to NULL */
	unsigned said;
	char asked[8][512];
};

static void *speak(void *arg)
{
	struct speaker *s = arg;

	for (unsigned i = 0; s->answers[i]; i++) {
		int fd = accept(s->fd, NULL, NULL);

		if (fd < 0)
			break; /* not asked within SPEAKER_S */
		s->said += read(fd, s->asked[i], sizeof(s->asked[i]) - 1) > 0 &&
			   write(fd, s->answers[i], strlen(s->answers[i])) > 0;
		close(fd);
	}
	return NULL;
}

static struct mvm *replacing;
static unsigned looks;

static void look_at_nics(struct loop_timer *t)
{
	if (replacing->replacing && ++looks < SPEAKER_S * 1000)
		loop_timer_start(&mgr.loop, t, NS_PER_MS, look_at_nics);
	else
		loop_stop(&mgr.loop);
}

/* The VM says that it runs; all answers are given, and taken. */
static void replace_nics(struct mvm *v, struct speaker *s, const char *const *answers)
{
	pthread_t thread;

	*s = (struct speaker){.fd = s->fd, .answers = answers};
	assert_int_equal(pthread_create(&thread, NULL, speak, s), 0);
	replacing = v;
	looks = 0;
	mvm_replace_nics(v);
	loop_timer_start(&mgr.loop, &timer, NS_PER_MS, look_at_nics);
	loop_run(&mgr.loop);
	pthread_join(thread, NULL);
	assert_null(answers[s->said]);
	assert_false(v->replacing);
}

#define OK    "{\"ok\": true}\n"
#define NO(w) "{\"ok\": false, \"error\": \"" w "\"}\n"

static void a_nic_is_replaced_until_it_is(void **state)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct speaker s = {.fd = socket(AF_UNIX, SOCK_STREAM, 0)};
	const struct timeval patience = {.tv_sec = SPEAKER_S};
	char path[PATH_MAX];
	struct mvm *v;

	mgr_define_vm();
	v = manager_find(&mgr.m, "a");
	mvm_path(v, "sock", path);
	assert_true(strlen(path) < sizeof(address.sun_path));
	memcpy(address.sun_path, path, strlen(path));
	assert_int_equal(bind(s.fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(s.fd, 8), 0);
	assert_int_equal(setsockopt(s.fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
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

	return json_string_value(
		json_object_get(json_array_get(json_object_get(device, "filters"), 0), "file"));
}

static void a_clone_shares_no_port_and_no_file(void **state)
{
	struct mvm *clone;
	char body[600];

	mgr_write_disk(mgr.disk, "old", 1000);
	snprintf(body, sizeof(body),
		"{\"config\": {\"name\": \"a\", \"kernel\": \"/k\", \"memory\": \"64M\", \"disks\": "
		"[{\"file\": \"%s\", \"filters\": [{\"filter\": \"log\", \"file\": \"/l\"}]}], "
		"\"nics\": [{\"backend\": \"user\", \"forward\": \"tcp:8080-:80\", \"filters\": "
		"[{\"filter\": \"pcap\", \"file\": \"/p\"}]}]}}",
		mgr.disk);
	mgr_expect(201, "POST", "/vms", body);
	mgr_expect(202, "POST", "/vms/a/snapshots", MGR_TAKE);
	mgr_settle();
	mgr_expect(409, "POST", "/vms/a/snapshots/s/clone", "{\"name\": \"b\"}");
	assert_non_null(strstr(mgr.e.text, "forward"));
	mgr_expect(
		202, "POST", "/vms/a/snapshots/s/clone", "{\"name\": \"b\", \"disconnect\": true}");
	mgr_settle();
	clone = manager_find(&mgr.m, "b");
	assert_string_equal(text_at(clone, "nics", "backend"), "user");
	assert_null(text_at(clone, "nics", "forward"));
	assert_string_equal(record_of(clone, "nics"), "/p.b");
	assert_string_equal(record_of(clone, "disks"), "/l.b");
	assert_string_equal(record_of(manager_find(&mgr.m, "a"), "nics"), "/p");
}

/* ---- what is refused before a VM is paused ------------------------------- */

static void on_answered_later(struct api_request *q)
{
	answered = true;
	free(q->answer.text);
	q->answer.text = NULL;
	loop_stop(&mgr.loop);
}

static void no_snapshot_while_devices_change(void **state)
{
	static const char nic[] = "{\"backend\": \"null\"}";
	struct api_request q = {.m = &mgr.m, .answered = on_answered_later};
	struct mvm *v;

	mgr_define_vm();
	v = manager_find(&mgr.m, "a");
	v->state = VMMS_RUNNING;
	assert_int_equal(api_match("POST", "/vms/a/nics", &q.route, q.param), 0);
	answered = false;
	api_run(&q, nic, strlen(nic));
	assert_false(answered);
	mgr_expect(409, "POST", "/vms/a/snapshots", MGR_TAKE);
	assert_non_null(strstr(mgr.e.text, "try again"));
	loop_run(&mgr.loop); /* no worker answers */
	assert_true(answered);
	assert_int_equal(v->changes, 0);
	api_free(&q);
	assert_int_equal(mvm_check(v, VMMS_SNAPSHOT, &mgr.e), 0);
	v->state = VMMS_OFF;
}

static void no_snapshot_of_dynamic_memory(void **state)
{
	struct mvm *v;

	mgr_expect(201, "POST", "/vms",
		"{\"config\": {\"name\": \"a\", \"kernel\": \"/k\", \"memory\": \"64M,max=128M\"}}");
	v = manager_find(&mgr.m, "a");
	v->state = VMMS_RUNNING;
	mgr_expect(409, "POST", "/vms/a/snapshots", MGR_TAKE);
	assert_non_null(strstr(mgr.e.text, "dynamic"));
	assert_int_equal(v->state, VMMS_RUNNING);
	v->state = VMMS_OFF;
	mgr_expect(202, "POST", "/vms/a/snapshots", MGR_TAKE);
	mgr_settle();
}

static void no_snapshot_without_room(void **state)
{
	struct snapshot *s;

	mgr_define_vm();
	mgr_expect(202, "POST", "/vms/a/snapshots", MGR_TAKE);
	mgr_settle();
	s = mgr_only_snapshot();
	assert_int_equal(snapshot_check_space(&mgr.m, s, 0, &mgr.e), 0);
	assert_int_equal(snapshot_check_space(&mgr.m, s, 1ull << 62, &mgr.e), -ENOSPC);
	assert_non_null(strstr(mgr.e.text, "MiB"));
}

static void a_manager_that_ends_cancels(void **state)
{
	mgr_define_vm();
	mgr_expect(202, "POST", "/vms/a/snapshots", MGR_TAKE);
	assert_false(operations_have_ended(&mgr.m));
	operations_end(&mgr.m);
	assert_true(atomic_load(&manager_find(&mgr.m, "a")->op->copies.cancelled));
	mgr_settle();
	assert_true(operations_have_ended(&mgr.m));
	mgr_expect(503, "POST", "/vms/a/snapshots", "{\"name\": \"t\", \"copy\": true}");
	assert_int_equal(mgr_count_files(mgr.state_dir, "*.json") - 1,
		list_empty(&mgr.m.snapshots) ? 0 : 1); /* it may have been complete */
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, mgr_setup, mgr_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_restore_is_not_overtaken_by_a_restart),
		TEST(a_restart_that_is_due_finds_half_a_restore),
		TEST(a_restart_waits_for_the_end_of_a_snapshot),
		TEST(a_restore_waits_for_a_vm_that_is_held),
		TEST(a_restore_that_changed_nothing_leaves_the_restart),
		TEST(a_worker_that_dies_while_it_saves_is_no_success),
		TEST(half_an_image_goes_with_its_writer),
		TEST(a_restored_state_outlives_the_manager),
		TEST(a_restore_that_leaves_the_record_is_half_way),
		TEST(a_copy_that_was_changed_is_not_used),
		TEST(a_removal_that_fails_leaves_it_whole),
		TEST(half_a_snapshot_goes_without_a_new_record),
		TEST(names_that_were_not_given_go),
		TEST(a_vm_that_is_not_defined_leaves_nothing),
		TEST(a_clone_that_is_removed_keeps_its_disks),
		TEST(a_clone_runs_before_its_first_snapshot),
		TEST(a_vm_is_shown_whatever_its_reason),
		TEST(a_vm_whose_nics_are_replaced_is_left_alone),
		TEST(a_nic_is_replaced_until_it_is),
		TEST(a_clone_shares_no_port_and_no_file),
		TEST(no_snapshot_while_devices_change),
		TEST(no_snapshot_of_dynamic_memory),
		TEST(no_snapshot_without_room),
		TEST(a_manager_that_ends_cancels),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
