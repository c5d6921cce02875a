/* SPDX-License-Identifier: MIT */
/* Shared by volatile.c and volatile_cut.c only. */
#ifndef BACKEND_VOLATILE_IMPL_H
#define BACKEND_VOLATILE_IMPL_H

#include <pthread.h>

#include "disk/filter/filter.h"
#include "disk/filter/filters.h"

struct entry {
	struct list link; /* in the journal */
	enum disk_op op;
	uint32_t flags;
	uint64_t offset, length;
	bool in_job;
	uint8_t bytes[]; /* of DISK_WRITE */
};

struct volatile_req;

struct volatile_disk {
	struct disk disk;
	pthread_mutex_t lock; /* guards the rest */
	struct list journal;
	uint32_t entries;
	uint64_t bytes;
	struct list reads;                /* at the lower disk */
	struct list blocked;              /* reads that wait for the running job */
	struct list jobs;                 /* jobs that wait for the running one */
	struct volatile_req *held_up_job; /* the running job, while it waits for reads */
	bool job_running;
	uint64_t random;
	_Atomic bool off; /* power is off: requests fail, jobs stop */
};

static inline struct volatile_disk *volatile_of(struct disk *disk)
{
	return (struct volatile_disk *)disk;
}

static inline struct entry *entry_of(struct list *link)
{
	return container_of(link, struct entry, link);
}

/* Under lock. */
void volatile_journal_del(struct volatile_disk *d, struct entry *entry);

#endif
