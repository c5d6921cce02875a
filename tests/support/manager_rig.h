/* SPDX-License-Identifier: MIT */
/* A manager in directories of its own, on tmpfs: no file there can share blocks. Its loop runs when
 * a test says so. */
#ifndef SUPPORT_MANAGER_RIG_H
#define SUPPORT_MANAGER_RIG_H

#include <time.h>

#include "mgmt/manager/api.h"
#include "mgmt/manager/operation.h"

#define MGR_DISK_SIZE (1u << 20)
#define MGR_TAKE      "{\"name\": \"s\", \"copy\": true}" /* a snapshot */

struct manager_rig {
	struct manager m;
	struct loop loop;
	struct err e; /* of the last call; its answer */
	char directory[64], state_dir[80], run_dir[80], disk[80];
};
extern struct manager_rig mgr;

/* Of one test: the directories, an open manager. */
int mgr_setup(void **state);
int mgr_teardown(void **state);
/* Ends it, and opens the next one; until no operation runs. */
void mgr_reopen(void);
/* Until no operation runs. */
void mgr_settle(void);

/* A path in the directory. */
void mgr_in_dir(char path[128], const char *name);
/* A sparse file with a text in its middle, which was changed at `second`. */
void mgr_write_disk(const char *path, const char *text, time_t second);
void mgr_disk_has(const char *path, const char *text, time_t second);
unsigned mgr_count_files(const char *dir, const char *pattern);

/* A request that is answered at once: its status. */
unsigned mgr_call(const char *method, const char *path, const char *body);
void mgr_expect(unsigned status, const char *method, const char *path, const char *body);

/* "a", with mgr.disk and a NIC. */
void mgr_define_vm(void);
struct snapshot *mgr_only_snapshot(void);

#endif
