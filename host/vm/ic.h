/* SPDX-License-Identifier: MIT */
/*
 * The integration services of a VM: which are offered, and what people do with them.
 *
 * Thread: control.
 */
#ifndef VM_IC_H
#define VM_IC_H

#include "base/inspect.h"
#include "config/config.h"
#include "vm/device_group.h"
#include "vsp/ic/copy.h"
#include "vsp/ic/freeze.h"
#include "vsp/ic/ic.h"

/* Presets of `--timeout`, seconds. */
#define IC_SHUTDOWN_S 60u
#define IC_FREEZE_S   30u

struct ic_shutdown_wait;

struct ic {
	struct device_group devices;
	struct ic_service_device {
		struct vm_device device;
		struct ic_config config;
	} services[VM_IC_SERVICES];
	struct ic_timesync_settings timesync;
	struct ic_kvp_settings kvp;
	char host_name[256];
	struct ic_freeze freeze;
	struct ic_copy_job *copy;          /* NULL: no file is copied */
	struct ic_shutdown_wait *shutdown; /* NULL: the guest was not asked */
};

/* What the services say of the VM. ref_time, ctx: see struct ic_timesync_settings. */
void ic_init(struct ic *ic, struct loop *control, const struct vm_config *options,
	bool (*ref_time)(void *ctx, uint64_t *time), void *ctx);

/* A new guest: offers the services of options->ic. ic_detach() also after a failure. */
int ic_attach(struct ic *ic, const struct vm_config *options, struct vsp_host *host, struct err *e);
void ic_detach(struct ic *ic);
/* No loop runs any more. Harmless without ic_init(). */
void ic_close(struct ic *ic);

/* NULL: not offered now. */
struct vsp_device *ic_device(struct ic *ic, enum vm_ic service);
const char *ic_service_name(enum vm_ic service);

/* Members of the array "devices". */
void ic_inspect(const struct ic *ic, struct inspect *i);

#endif
