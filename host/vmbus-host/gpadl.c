/* SPDX-License-Identifier: MIT */
/*
 * GPADLs: lists of guest pages a channel's device may use.
 *
 *   (none) --GPADL_HEADER--> building --last GPADL_BODY--> alive     GPADL_CREATED success
 *     |                         |
 *     |                         +-- bad list, rescind --> (none)     GPADL_CREATED failure
 *     +-- bad header, over quota, id in use --> (none)               GPADL_CREATED failure
 *
 *   alive --GPADL_TEARDOWN, no user--> (none)                        GPADL_TORNDOWN
 *   alive --GPADL_TEARDOWN, users--> tearing down --last put--> (none)   GPADL_TORNDOWN
 *   any --relid released, connection over--> dropped: out of the table, freed at the last put
 *
 * Users are the ring of a channel that is not closed and devices' references.
 * Bodies carry no relid, so while a GPADL is building its id is unique in the
 * partition: it is filed under relid 0 until complete.
 *
 * From complete to freed the pages are held (base/gmem_pages.h): dynamic memory gives none of them
 * to the host.
 *
 * Memory: the page list is allocated whole when the header comes, so that the
 * quotas (pages, count, building) and the VM's budget bound it whatever the guest
 * does next.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/gmem_pages.h"
#include "base/inspect.h"
#include "base/log.h"
#include "proto/vmbus_proto.h"
#include "vmbus-host/bus_impl.h"

#define RELID_BUILDING 0u

struct gpadl {
	struct bus *bus;
	struct bus_channel *chan; /* NULL: dropped */
	struct list bucket, link; /* bus.gpadl_buckets, chan->gpadls */
	uint32_t id;
	uint32_t key_relid; /* chan's, or RELID_BUILDING */
	uint32_t users;
	uint32_t range_count;
	uint32_t pages; /* charged to the quota; exact once complete */
	uint32_t held;  /* of these, with gmem_hold(): the first ones */
	bool whole_pages;
	bool teardown;
	/* Building: the range list as it comes. Complete: only its PFNs. */
	uint32_t words_expected, words_got;
	uint64_t words[];
};

/* ---- table --------------------------------------------------------------- */

int gpadl_table_init(struct bus *bus)
{
	for (uint32_t i = 0; i < GPADL_BUCKETS; i++)
		list_init(&bus->gpadl_buckets[i]);
	if (getrandom(&bus->gpadl_seed, sizeof(bus->gpadl_seed), 0) != sizeof(bus->gpadl_seed))
		return -EIO;
	bus->gpadl_seed |= 1;
	return 0;
}

/* Multiply-shift by a secret odd number: a guest cannot choose ids that share a bucket. */
static struct list *gpadl_bucket(struct bus *bus, uint32_t id, uint32_t relid)
{
	uint64_t key = (uint64_t)relid << 32 | id;

	return &bus->gpadl_buckets[(key * bus->gpadl_seed) >> (64 - GPADL_BUCKETS_SHIFT)];
}

static struct gpadl *gpadl_lookup(struct bus *bus, uint32_t id, uint32_t relid)
{
	list_for_each (pos, gpadl_bucket(bus, id, relid)) {
		struct gpadl *g = container_of(pos, struct gpadl, bucket);

		if (g->id == id && g->key_relid == relid)
			return g;
	}
	return NULL;
}

static void gpadl_file(struct gpadl *g, uint32_t relid)
{
	g->key_relid = relid;
	list_add_tail(gpadl_bucket(g->bus, g->id, relid), &g->bucket);
}

static uint64_t gpadl_size(uint32_t words)
{
	return sizeof(struct gpadl) + words * sizeof(uint64_t);
}

static bool gpadl_is_building(const struct gpadl *g)
{
	return g->key_relid == RELID_BUILDING;
}

static void gpadl_unlink(struct gpadl *g)
{
	list_del(&g->bucket);
	list_del(&g->link);
	g->chan = NULL;
}

static void gpadl_send_created(struct bus *bus, uint32_t relid, uint32_t id, uint32_t status)
{
	struct vmbus_gpadl_created msg = {.relid = relid, .gpadl = id, .status = status};

	if (status == VMBUS_STATUS_SUCCESS)
		bus->counters.gpadls_created++;
	else
		bus->counters.gpadls_failed++;
	bus_send(bus, VMBUS_MSG_GPADL_CREATED, &msg, sizeof(msg));
}

static struct gpadl *gpadl_alloc(struct bus *bus, uint32_t words)
{
	struct gpadl *g;

	if (!budget_take(bus->config.budget, BUDGET_GPADLS, gpadl_size(words)))
		return NULL;
	g = malloc(gpadl_size(words));
	if (!g)
		budget_give(bus->config.budget, BUDGET_GPADLS, gpadl_size(words));
	return g;
}

/* A guest that lists a page which it has handed over (dynamic memory) is refused. */
static bool gpadl_hold(struct gpadl *g)
{
	const struct gmem *gmem = g->bus->config.gmem;

	while (g->held < g->pages && gmem_hold(gmem, g->words[g->held] << HV_PAGE_SHIFT))
		g->held++;
	return g->held == g->pages;
}

static void gpadl_unhold(struct gpadl *g)
{
	while (g->held)
		gmem_unhold(g->bus->config.gmem, g->words[--g->held] << HV_PAGE_SHIFT);
}

static void gpadl_free(struct gpadl *g)
{
	struct bus *bus = g->bus;
	struct vmbus_gpadl_torndown msg = {.gpadl = g->id};

	assert(!g->users);
	if (gpadl_is_building(g))
		bus->gpadls_building--;
	bus->gpadl_count--;
	bus->gpadl_pages -= g->pages;
	gpadl_unhold(g);
	gpadl_unlink(g);
	if (g->teardown)
		bus_send(bus, VMBUS_MSG_GPADL_TORNDOWN, &msg, sizeof(msg));
	budget_give(bus->config.budget, BUDGET_GPADLS, gpadl_size(g->words_expected));
	free(g);
}

/* Ends a GPADL that is building with a failure. */
static void gpadl_fail(struct gpadl *g)
{
	struct bus *bus = g->bus;
	uint32_t relid = g->chan->relid, id = g->id;

	gpadl_free(g);
	gpadl_send_created(bus, relid, id, VMBUS_STATUS_GPADL_FAILED);
}

/* ---- creation ------------------------------------------------------------ */

static bool pfn_is_ram(const struct gmem *gmem, uint64_t pfn)
{
	return pfn <= UINT64_MAX >> HV_PAGE_SHIFT &&
	       gmem_contains(gmem, pfn << HV_PAGE_SHIFT, HV_PAGE_SIZE);
}

/* Checks the whole range list and leaves only its PFNs. */
static bool gpadl_decode(struct gpadl *g)
{
	const struct gpa_limits limits = {1, UINT32_MAX, UINT64_MAX};
	uint32_t len = g->words_expected * sizeof(g->words[0]), n = 0;
	struct gpa_range range;
	struct gpa_list list;

	if (gpa_list_parse(&list, g->words, len, g->range_count, &limits) || list.parsed != len)
		return false;
	while (gpa_list_next(&list, &range)) {
		g->whole_pages = g->range_count == 1 && !range.byte_offset &&
				 range.byte_count % HV_PAGE_SIZE == 0;
		for (uint32_t i = 0; i < range.page_count; i++) {
			uint64_t pfn = gpa_range_pfn(&range, i);

			if (!pfn_is_ram(g->bus->config.gmem, pfn))
				return false;
			/* Never ahead of the reader: each range header is dropped. */
			g->words[n++] = pfn;
		}
	}
	assert(n == g->pages);
	return true;
}

static void gpadl_complete(struct gpadl *g)
{
	struct bus *bus = g->bus;

	if (!gpadl_decode(g) || !gpadl_hold(g)) {
		bus_bad(bus, "GPADL with a bad range list");
		gpadl_fail(g);
		return;
	}
	list_del(&g->bucket);
	bus->gpadls_building--;
	gpadl_file(g, g->chan->relid);
	gpadl_send_created(bus, g->chan->relid, g->id, VMBUS_STATUS_SUCCESS);
}

/* Takes the next part of the range list; what exceeds it is padding. */
static void gpadl_append(struct gpadl *g, const void *bytes, uint32_t len)
{
	uint32_t n = len / sizeof(g->words[0]), missing = g->words_expected - g->words_got;

	if (n > missing)
		n = missing;
	memcpy(&g->words[g->words_got], bytes, n * sizeof(g->words[0]));
	g->words_got += n;
	if (g->words_got == g->words_expected)
		gpadl_complete(g);
}

/* NULL, or why the header cannot become a GPADL. */
static const char *gpadl_refusal(struct bus *bus, const struct vmbus_gpadl_header *msg)
{
	uint32_t words = msg->range_buflen / sizeof(uint64_t);

	if (!channel_by_relid(bus, msg->relid))
		return "GPADL for an unknown relid";
	/* A range is a header and at least one page. */
	if (msg->range_buflen % sizeof(uint64_t) || !msg->range_count ||
		words < 2u * msg->range_count)
		return "GPADL whose ranges do not fit its size";
	if (gpadl_lookup(bus, msg->gpadl, msg->relid) ||
		gpadl_lookup(bus, msg->gpadl, RELID_BUILDING))
		return "GPADL id in use";
	if (bus->gpadl_count >= GPADLS_MAX || bus->gpadls_building >= GPADLS_BUILDING_MAX)
		return "too many GPADLs";
	if (words - msg->range_count > bus->config.gpadl_pages_max - bus->gpadl_pages)
		return "too many GPADL pages";
	return NULL;
}

static struct gpadl *gpadl_create(struct bus *bus, const struct vmbus_gpadl_header *msg)
{
	uint32_t words = msg->range_buflen / sizeof(uint64_t);
	struct gpadl *g = gpadl_alloc(bus, words);

	if (!g) {
		log_guest("vmbus: no memory for a GPADL");
		return NULL;
	}
	*g = (struct gpadl){
		.bus = bus,
		.chan = channel_by_relid(bus, msg->relid),
		.id = msg->gpadl,
		.range_count = msg->range_count,
		.pages = words - msg->range_count,
		.words_expected = words,
	};
	gpadl_file(g, RELID_BUILDING);
	list_add_tail(&g->chan->gpadls, &g->link);
	bus->gpadl_count++;
	bus->gpadls_building++;
	bus->gpadl_pages += g->pages;
	return g;
}

void gpadl_on_header(struct bus *bus, const void *bytes, uint32_t len)
{
	const struct vmbus_gpadl_header *msg = bytes;
	const char *refusal = gpadl_refusal(bus, msg);
	struct gpadl *g = refusal ? NULL : gpadl_create(bus, msg);

	if (refusal)
		bus_bad(bus, refusal);
	if (g)
		gpadl_append(g, msg->ranges, len - sizeof(*msg));
	else
		gpadl_send_created(bus, msg->relid, msg->gpadl, VMBUS_STATUS_GPADL_FAILED);
}

/* More PFNs than the header announced is an error, except in a message of full size: some guests
 * always post those, and the end is padding. */
static bool body_overflows(const struct gpadl *g, uint32_t len)
{
	uint32_t words = (len - sizeof(struct vmbus_gpadl_body)) / sizeof(g->words[0]);

	return words > g->words_expected - g->words_got && len != VMBUS_MESSAGE_SIZE_MAX;
}

void gpadl_on_body(struct bus *bus, const void *bytes, uint32_t len)
{
	const struct vmbus_gpadl_body *msg = bytes;
	struct gpadl *g = gpadl_lookup(bus, msg->gpadl, RELID_BUILDING);

	if (!g) {
		bus_bad(bus, "GPADL body without a header");
	} else if (body_overflows(g, len)) {
		bus_bad(bus, "GPADL body with too many pages");
		gpadl_fail(g);
	} else {
		gpadl_append(g, msg->ranges, len - sizeof(*msg));
	}
}

/* ---- end ----------------------------------------------------------------- */

void gpadl_on_teardown(struct bus *bus, const void *bytes, uint32_t len)
{
	const struct vmbus_gpadl_teardown *msg = bytes;
	struct bus_channel *chan = channel_by_relid(bus, msg->relid);
	struct gpadl *g = chan ? gpadl_lookup(bus, msg->gpadl, msg->relid) : NULL;

	if (!g || g->teardown) {
		bus_bad(bus, "teardown of an unknown GPADL");
		return;
	}
	g->teardown = true;
	if (!g->users)
		gpadl_free(g);
	else if (chan->ops->teardown)
		chan->ops->teardown(chan, g);
}

void gpadl_drop_all(struct bus_channel *chan)
{
	list_for_each_safe (pos, &chan->gpadls) {
		struct gpadl *g = container_of(pos, struct gpadl, link);

		if (g->users)
			gpadl_unlink(g);
		else
			gpadl_free(g);
	}
}

void gpadl_fail_building(struct bus_channel *chan)
{
	list_for_each_safe (pos, &chan->gpadls) {
		struct gpadl *g = container_of(pos, struct gpadl, link);

		if (gpadl_is_building(g))
			gpadl_fail(g);
	}
}

/* ---- users --------------------------------------------------------------- */

struct gpadl *bus_gpadl_find(struct bus_channel *chan, uint32_t gpadl_id)
{
	struct gpadl *g = gpadl_lookup(chan->bus, gpadl_id, chan->relid);

	return g && !g->teardown ? g : NULL;
}

void gpadl_get(struct gpadl *g)
{
	g->users++;
	g->bus->gpadl_users++;
}

void gpadl_put(struct gpadl *g)
{
	struct bus *bus = g->bus;

	assert(g->users && bus->gpadl_users);
	bus_enter(bus);
	bus->gpadl_users--;
	if (!--g->users && (g->teardown || !g->chan))
		gpadl_free(g);
	bus_leave(bus);
}

uint32_t gpadl_id(const struct gpadl *g)
{
	return g->id;
}

const uint64_t *gpadl_pfns(const struct gpadl *g, uint32_t *count)
{
	*count = g->pages;
	return g->words;
}

bool gpadl_is_whole_pages(const struct gpadl *g)
{
	return g->whole_pages;
}

void bus_gpadl_usage(const struct bus *bus, uint32_t *count, uint64_t *pages)
{
	*count = bus->gpadl_count;
	*pages = bus->gpadl_pages;
}

/* ---- saving -------------------------------------------------------------- */

/* All of it is what a guest could have made: the same checks. */
static bool saved_ok(const struct gpadl *g, bool building)
{
	const struct bus *bus = g->bus;

	if (g->pages > bus->config.gpadl_pages_max - bus->gpadl_pages ||
		bus->gpadl_count >= GPADLS_MAX || g->words_got > g->words_expected)
		return false;
	if (building)
		return !g->teardown && g->words_expected - g->range_count == g->pages &&
		       g->words_got < g->words_expected &&
		       bus->gpadls_building < GPADLS_BUILDING_MAX;
	if (g->pages > g->words_expected)
		return false;
	for (uint32_t i = 0; i < g->pages; i++)
		if (!pfn_is_ram(bus->config.gmem, g->words[i]))
			return false;
	return true;
}

static void fields_archive(struct gpadl *g, bool *building, struct archive *a)
{
	archive_u32(a, "id", &g->id);
	archive_bool(a, "building", building);
	archive_bool(a, "teardown", &g->teardown);
	archive_bool(a, "whole_pages", &g->whole_pages);
	archive_u32(a, "ranges", &g->range_count);
	archive_u32(a, "pages", &g->pages);
	archive_u32(a, "words_expected", &g->words_expected);
	archive_u32(a, "words_got", &g->words_got);
}

static void gpadl_write(struct gpadl *g, struct archive *a)
{
	bool building = gpadl_is_building(g);
	uint32_t size = (building ? g->words_got : g->pages) * (uint32_t)sizeof(g->words[0]);

	fields_archive(g, &building, a);
	archive_data(a, "words", g->words, &size, UINT32_MAX);
}

static void gpadl_adopt(struct gpadl *g, struct bus_channel *chan, bool building)
{
	struct bus *bus = chan->bus;

	g->chan = chan;
	gpadl_file(g, building ? RELID_BUILDING : chan->relid);
	list_add_tail(&chan->gpadls, &g->link);
	bus->gpadl_count++;
	bus->gpadls_building += building;
	bus->gpadl_pages += g->pages;
}

/* Before there is memory for them: size is that of the words which the image has. */
static bool numbers_ok(
	const struct gpadl *g, const struct bus_channel *chan, bool building, uint32_t size)
{
	uint64_t words = building ? g->words_got : g->pages;

	return g->words_expected <= g->bus->config.gpadl_pages_max * 2 &&
	       size == words * sizeof(g->words[0]) && words <= g->words_expected &&
	       !gpadl_lookup(g->bus, g->id, building ? RELID_BUILDING : chan->relid);
}

static void gpadl_read(struct bus_channel *chan, struct archive *a)
{
	struct bus *bus = chan->bus;
	struct gpadl head = {.bus = bus}, *g;
	bool building;
	const void *words;
	uint32_t size;

	fields_archive(&head, &building, a);
	words = archive_data(a, "words", NULL, &size, UINT32_MAX);
	if (a->error)
		return;
	if (!numbers_ok(&head, chan, building, size)) {
		archive_fail(a, "GPADL with bad numbers");
		return;
	}
	g = gpadl_alloc(bus, head.words_expected);
	if (!g) {
		archive_fail(a, "no memory for a GPADL");
		return;
	}
	*g = head;
	memcpy(g->words, words, size);
	if (saved_ok(g, building)) {
		gpadl_adopt(g, chan, building);
		return;
	}
	archive_fail(a, "GPADL that a guest cannot have");
	budget_give(bus->config.budget, BUDGET_GPADLS, gpadl_size(g->words_expected));
	free(g);
}

void gpadls_archive(struct bus_channel *chan, struct archive *a)
{
	struct list *pos = &chan->gpadls;
	uint32_t count = 0;

	list_for_each (item, &chan->gpadls)
		count++;
	count = archive_list(a, "gpadls", count, GPADLS_MAX);
	for (uint32_t i = 0; i < count && !a->error; i++) {
		archive_begin(a, NULL, 1);
		pos = pos->next;
		if (a->reading)
			gpadl_read(chan, a);
		else
			gpadl_write(container_of(pos, struct gpadl, link), a);
		archive_end(a);
	}
	archive_end(a);
}

/* ---- inspection ---------------------------------------------------------- */

static const char *gpadl_state(const struct gpadl *g)
{
	if (gpadl_is_building(g))
		return "building";
	return g->teardown ? "tearing down" : "alive";
}

void gpadls_inspect(const struct bus_channel *chan, struct inspect *i)
{
	list_for_each (pos, &chan->gpadls) {
		const struct gpadl *g = container_of(pos, struct gpadl, link);

		inspect_begin(i, NULL);
		inspect_u64(i, "id", g->id);
		inspect_text(i, "state", gpadl_state(g));
		inspect_u64(i, "ranges", g->range_count);
		inspect_u64(i, "pages", g->pages);
		inspect_u64(i, "users", g->users);
		inspect_end(i);
	}
}
