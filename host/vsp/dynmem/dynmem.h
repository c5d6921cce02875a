/* SPDX-License-Identifier: MIT */
/*
 * Dynamic memory: the guest's RAM becomes smaller and larger while it runs. Pages are taken
 * (ballooning) and given to the host's kernel; they are zeroed when they return. What a guest never
 * had is added behind its RAM, and then taken and given like the rest.
 *
 *   ram      bytes of RAM that the guest knows: what it booted with, and what was added
 *   out      of these, with the host
 *   granted  ram - out: what it can use
 *   target   what granted is to become: the user's wish, or what the guest needs and a buffer
 *
 * Which pages are out is in base/gmem_pages.h, whose rules no guest can break; policy.h decides
 * what is done. A channel that closes, for whatever reason, has everything back: the kernel that
 * comes next believes that it owns all RAM.
 *
 * Threads: as marked; the device belongs to the control thread, its channel to an I/O thread.
 */
#ifndef VSP_DYNMEM_H
#define VSP_DYNMEM_H

#include "vsp/vsp.h"

struct dynmem_config {
	uint64_t min, max; /* bytes */
	uint32_t buffer;   /* percent */
	/* A helper thread (base/blocking.h), one call at a time: RAM at gmem.added_start is `size`
	 * bytes or more, afterwards. 0 or -errno. */
	int (*add)(void *ctx, uint64_t size);
	/* ON_CONTROL: the guest bears a request at once. Others are asked after settle_ns. NULL: it
	 * does. */
	bool (*is_ready)(void *ctx);
	/* ON_CONTROL: the kernel that runs now reads the memory of the one before (a crash dump).
	 * NULL: it does not. */
	bool (*is_dump)(void *ctx);
	void *ctx;
	uint64_t settle_ns; /* 0: DYNMEM_SETTLE_NS */
	uint64_t retry_ns;  /* 0: DYNMEM_RETRY_NS: after a guest gave less than it was asked for */
};

/* Some versions of Windows crash when they are asked earlier. */
#define DYNMEM_SETTLE_NS 50000000000ull
#define DYNMEM_RETRY_NS  10000000000ull

/* Config: struct dynmem_config, copied. The gmem is dynamic. */
extern const struct vsp_ops dynmem_ops;
extern const struct hv_guid dynmem_instance;

/* ON_CONTROL. Bytes; 0: automatic. Below min or above max: one of these. */
void dynmem_set_wanted(struct vsp_device *dev, uint64_t bytes);

struct dynmem_status {
	const char *state; /* "closed": the guest's driver does not run; "idle", "taking", ... */
	uint64_t granted, target;
	uint64_t added, out;
	bool reported;
	uint64_t available, committed; /* as the guest said */
	const char *adding;            /* "possible", or why no memory can be added */
};

/* ON_CONTROL. */
void dynmem_status(struct vsp_device *dev, struct dynmem_status *status);

#endif
