/* SPDX-License-Identifier: MIT */
/*
 * Copies of data for disks that cannot use the guest's pages.
 *
 * Not from malloc(): aligned blocks of many sizes fragment its heaps, and 12 MiB in
 * use were seen to keep 260 MiB resident. A buffer is a mapping of a power of two
 * bytes, and that is what it costs the budget. Some unused ones are kept for all
 * disks of the process, so that a steady load maps nothing.
 */
#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>

#include "disk/disk.h"

#define SIZE_MIN_SHIFT 12u /* 4 KiB */
#define CLASSES        9u  /* up to 1 MiB are kept */
#define KEPT_MAX       (8u << 20)

/* At the start of a buffer that is not in use. */
struct unused {
	struct unused *next;
};

static struct {
	pthread_mutex_t lock;
	struct unused *first[CLASSES];
	size_t bytes;
} kept = {.lock = PTHREAD_MUTEX_INITIALIZER};

static uint32_t class_of(uint64_t length)
{
	uint32_t class = 0;

	while (length > 1ull << (SIZE_MIN_SHIFT + class))
		class ++;
	return class;
}

static size_t size_of(uint32_t class)
{
	return (size_t)1 << (SIZE_MIN_SHIFT + class);
}

static void *take_kept(uint32_t class)
{
	struct unused *buffer;

	if (class >= CLASSES)
		return NULL;
	pthread_mutex_lock(&kept.lock);
	buffer = kept.first[class];
	if (buffer) {
		kept.first[class] = buffer->next;
		kept.bytes -= size_of(class);
	}
	pthread_mutex_unlock(&kept.lock);
	return buffer;
}

static bool keep(struct unused *buffer, uint32_t class)
{
	bool room;

	if (class >= CLASSES)
		return false;
	pthread_mutex_lock(&kept.lock);
	room = kept.bytes + size_of(class) <= KEPT_MAX;
	if (room) {
		buffer->next = kept.first[class];
		kept.first[class] = buffer;
		kept.bytes += size_of(class);
	}
	pthread_mutex_unlock(&kept.lock);
	return room;
}

static void *buffer_get(uint32_t class)
{
	void *buffer = take_kept(class);

	if (buffer)
		return buffer;
	buffer = mmap(
		NULL, size_of(class), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return buffer == MAP_FAILED ? NULL : buffer;
}

int disk_bounce(const struct disk_req *req, uint8_t **buffer)
{
	struct budget *budget = req->disk->budget;
	uint32_t class = class_of(req->length);

	if (!budget_take(budget, BUDGET_BOUNCES, size_of(class)))
		return -ENOBUFS;
	*buffer = buffer_get(class);
	if (!*buffer) {
		budget_give(budget, BUDGET_BOUNCES, size_of(class));
		return -ENOBUFS;
	}
	if (req->op == DISK_WRITE)
		disk_req_copy(req, *buffer, true);
	return 0;
}

void disk_bounce_free(const struct disk_req *req, uint8_t *buffer, int error)
{
	uint32_t class = class_of(req->length);

	if (!error && req->op == DISK_READ)
		disk_req_copy(req, buffer, false);
	if (!keep((struct unused *)buffer, class))
		munmap(buffer, size_of(class));
	budget_give(req->disk->budget, BUDGET_BOUNCES, size_of(class));
}
