/* SPDX-License-Identifier: MIT */
/*
 * The measured guest: as little driver as there can be around the real ring. It
 * runs on the caller's thread and plays the guest's processor; the host is the
 * real one, on an I/O thread thread of its own.
 *
 * Like hv_storvsc it publishes each command by itself, masks interrupts while it
 * drains, gives room back once per batch and sleeps when there is nothing to do;
 * or it never sleeps, like a polled driver in user space. Doorbells and
 * interrupts are eventfds, as with KVM, only without the VM exits around them.
 */
#ifndef BENCH_IO_CLIENT_H
#define BENCH_IO_CLIENT_H

#include "disk/disk.h"
#include "tests/support/guest_disk.h"

#define BENCH_BLOCK_MAX (128u << 10)
#define BENCH_DEPTH_MAX GUEST_DISK_SLOTS

struct bench_load {
	bool write;
	bool polled;    /* the guest polls its ring and takes no interrupt */
	uint32_t block; /* bytes of each command: pages, up to BENCH_BLOCK_MAX */
	uint32_t depth;
	uint64_t ns; /* how long to start new commands */
};

struct bench_result {
	double iops;
	double cpu_us;      /* processor time per command, both sides and the kernel's */
	double host_cpu_us; /* of it: all that is not the guest's thread */
	double per_doorbell, per_interrupt; /* commands */
};

/* A machine with one LUN. poll_ns: the I/O thread's longest look before it sleeps. The disk stays
 * the caller's. */
struct bench_client *bench_client_create(struct disk *disk, uint64_t poll_ns);
void bench_client_destroy(struct bench_client *c);

void bench_client_run(
	struct bench_client *c, const struct bench_load *load, struct bench_result *r);

#endif
