/* SPDX-License-Identifier: MIT */
/* The commands of a VM's control socket. Thread: control; the table is for any thread. */
#ifndef VM_COMMANDS_H
#define VM_COMMANDS_H

#include "mgmt/command.h"

/* Ends with a row without words. */
extern const struct command vm_commands[];

/* The ctl_handle_fn of a VM; ctx: its struct vm. */
void vm_handle_request(void *ctx, struct ctl_request *request, const json_t *json);

/* ---- rows of storage_commands.c ------------------------------------------ */

int command_disk_list(
	struct vm *vm, struct ctl_request *request, const json_t *json, struct err *e);
int command_disk_add(struct vm *vm, struct ctl_request *request, const json_t *json, struct err *e);
int command_disk_remove(
	struct vm *vm, struct ctl_request *request, const json_t *json, struct err *e);
int command_disk_resize(
	struct vm *vm, struct ctl_request *request, const json_t *json, struct err *e);
int command_controller_remove(
	struct vm *vm, struct ctl_request *request, const json_t *json, struct err *e);

/* ---- rows of network_commands.c ------------------------------------------ */

int command_nic_list(struct vm *vm, struct ctl_request *request, const json_t *json, struct err *e);
int command_nic_add(struct vm *vm, struct ctl_request *request, const json_t *json, struct err *e);
int command_nic_remove(
	struct vm *vm, struct ctl_request *request, const json_t *json, struct err *e);
int command_nic_link(struct vm *vm, struct ctl_request *request, const json_t *json, struct err *e);
int command_nic_speed(
	struct vm *vm, struct ctl_request *request, const json_t *json, struct err *e);
int command_nic_mtu(struct vm *vm, struct ctl_request *request, const json_t *json, struct err *e);

/* ---- rows of ic_commands.c ----------------------------------------------- */

int command_status(struct vm *vm, struct ctl_request *request, const json_t *json, struct err *e);
int command_shutdown(struct vm *vm, struct ctl_request *request, const json_t *json, struct err *e);
int command_freeze(struct vm *vm, struct ctl_request *request, const json_t *json, struct err *e);
int command_thaw(struct vm *vm, struct ctl_request *request, const json_t *json, struct err *e);
int command_copy(struct vm *vm, struct ctl_request *request, const json_t *json, struct err *e);
/* ON_CONTROL: the guest ended; answers a `shutdown` that waits for it. */
void ic_shutdown_guest_ended(struct vm *vm);

/* ---- rows of memory_commands.c ------------------------------------------- */

int command_memory_target(
	struct vm *vm, struct ctl_request *request, const json_t *json, struct err *e);
/* For `status`: a new reference; null when the memory is not dynamic. */
json_t *memory_status(const struct vm *vm);

/* ---- rows of screen_commands.c ------------------------------------------- */

extern const char *const screenshot_formats[]; /* up to NULL */
int command_screenshot(
	struct vm *vm, struct ctl_request *request, const json_t *json, struct err *e);
int command_type(struct vm *vm, struct ctl_request *request, const json_t *json, struct err *e);
int command_key(struct vm *vm, struct ctl_request *request, const json_t *json, struct err *e);

/* ---- rows of kvp_commands.c ---------------------------------------------- */

extern const char *const kvp_pool_names[]; /* up to NULL */
int command_kvp_list(struct vm *vm, struct ctl_request *request, const json_t *json, struct err *e);
int command_kvp_get(struct vm *vm, struct ctl_request *request, const json_t *json, struct err *e);
int command_kvp_set(struct vm *vm, struct ctl_request *request, const json_t *json, struct err *e);
int command_kvp_remove(
	struct vm *vm, struct ctl_request *request, const json_t *json, struct err *e);
int command_ip_show(struct vm *vm, struct ctl_request *request, const json_t *json, struct err *e);
int command_ip_set(struct vm *vm, struct ctl_request *request, const json_t *json, struct err *e);

#endif
