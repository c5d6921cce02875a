/* SPDX-License-Identifier: MIT */
/* GPADLs: range lists, splits, quotas, teardown and references. */
#include "bus_test.h"

#define RANGE(bytes, offset) ((uint64_t)(offset) << 32 | (bytes))
#define COUNT(a)             (sizeof(a) / sizeof((a)[0]))
#define HIGH_PFN             (GMEM_HIGH_START / GMEM_PAGE_SIZE)

static struct rig_dev *connected_dev(struct rig *rig)
{
	struct rig_dev *dev = rig_offer(rig, 1, 1);

	rig_connect(rig);
	return dev;
}

/* The whole list in the header, honestly counted. */
static void post_list(struct rig *rig, uint32_t relid, uint32_t id, uint16_t ranges,
	const uint64_t *words, uint32_t count)
{
	const struct rig_ranges r = {.buflen = count * 8,
		.count = ranges,
		.words = words,
		.word_count = count,
		.header_words = count};

	rig_gpadl_raw(rig, relid, id, &r);
}

static void test_sizes(void **state)
{
	static const uint32_t sizes[] = {1, 2, 26, 27, 54, 55, 64, 256, 2048};
	struct rig *rig = *state;
	struct rig_dev *dev = connected_dev(rig);
	uint32_t relid = relid_of(dev), count;

	for (size_t i = 0; i < COUNT(sizes); i++) {
		struct gpadl *g;
		const uint64_t *pfns;

		rig_gpadl(rig, relid, 100 + i, sizes[i]);
		take_created(rig, relid, 100 + i, true);
		take_nothing(rig);
		g = bus_gpadl_find(dev->chan, 100 + i);
		assert_non_null(g);
		assert_true(gpadl_is_whole_pages(g));
		pfns = gpadl_pfns(g, &count);
		assert_int_equal(count, sizes[i]);
		for (uint32_t page = 0; page < count; page++)
			assert_int_equal(pfns[page], page % RIG_RAM_PAGES);
		rig_teardown(rig, relid, 100 + i);
		take_torndown(rig, 100 + i);
		assert_null(bus_gpadl_find(dev->chan, 100 + i));
	}
	assert_int_equal(gpadls_alive(rig), 0);
}

static void test_largest(void **state)
{
	struct rig *rig = malloc(sizeof(*rig));
	struct rig_dev *dev;

	assert_non_null(rig);
	rig_init(rig, VMBUS_VERSION_WIN10_V5_3, 8190);
	dev = connected_dev(rig);
	rig_gpadl(rig, relid_of(dev), 1, 8190); /* exactly the quota */
	take_created(rig, relid_of(dev), 1, true);
	rig_gpadl(rig, relid_of(dev), 2, 1);
	take_created(rig, relid_of(dev), 2, false);
	rig_teardown(rig, relid_of(dev), 1);
	take_torndown(rig, 1);
	rig_gpadl(rig, relid_of(dev), 2, 1);
	take_created(rig, relid_of(dev), 2, true);
	rig_fini(rig);
	free(rig);
}

static void test_several_ranges(void **state)
{
	/* 1 byte at the end of a page; 2 bytes over two pages; the same page twice. */
	static const uint64_t words[] = {
		RANGE(1, 4095), 5, RANGE(2, 4095), 6, HIGH_PFN, RANGE(8192, 0), 7, 7};
	static const uint64_t expect[] = {5, 6, HIGH_PFN, 7, 7};
	struct rig *rig = *state;
	struct rig_dev *dev = connected_dev(rig);
	uint32_t relid = relid_of(dev), count;
	struct gpadl *g;

	/* However it is cut: also through a range header's neighbours. */
	for (uint32_t header = 0; header <= COUNT(words); header++) {
		for (uint32_t body = 1; body <= COUNT(words); body++) {
			const struct rig_ranges r = {.buflen = sizeof(words),
				.count = 3,
				.words = words,
				.word_count = COUNT(words),
				.header_words = header,
				.body_words = body};

			rig_gpadl_raw(rig, relid, 1, &r);
			take_created(rig, relid, 1, true);
			take_nothing(rig);
			g = bus_gpadl_find(dev->chan, 1);
			assert_memory_equal(gpadl_pfns(g, &count), expect, sizeof(expect));
			assert_int_equal(count, COUNT(expect));
			assert_false(gpadl_is_whole_pages(g));
			rig_teardown(rig, relid, 1);
			take_torndown(rig, 1);
		}
	}
}

struct bad_list {
	const char *why;
	uint16_t ranges;
	uint32_t words;
	uint64_t list[4];
};

static const struct bad_list bad_lists[] = {
	{"no range", 0, 2, {RANGE(4096, 0), 1}},
	{"more ranges than fit", 2, 2, {RANGE(4096, 0), 1}},
	{"65535 ranges", 65535, 2, {RANGE(4096, 0), 1}},
	{"no page", 1, 1, {RANGE(4096, 0)}},
	{"no byte", 1, 2, {RANGE(0, 0), 1}},
	{"offset of a page", 1, 2, {RANGE(1, 4096), 1}},
	{"offset of 2^32-1", 1, 2, {RANGE(1, 0xFFFFFFFF), 1}},
	{"count of 2^32-1", 1, 2, {RANGE(0xFFFFFFFF, 0), 1}},
	{"count and offset overflow", 1, 2, {RANGE(0xFFFFFFFF, 4095), 1}},
	{"too few pages", 1, 2, {RANGE(4097, 0), 1}},
	{"too few pages by offset", 1, 2, {RANGE(4096, 1), 1}},
	{"too many pages", 1, 3, {RANGE(4096, 0), 1, 2}},
	{"second range cut", 2, 4, {RANGE(8192, 0), 1, 2, RANGE(4096, 0)}},
	{"first PFN past low RAM", 1, 2, {RANGE(4096, 0), RIG_RAM_PAGES}},
	{"PFN in the hole", 1, 2, {RANGE(4096, 0), HIGH_PFN - 1}},
	{"first PFN past high RAM", 1, 2, {RANGE(4096, 0), HIGH_PFN + RIG_RAM_PAGES}},
	{"PFN whose address overflows to 0", 1, 2, {RANGE(4096, 0), 1ull << 52}},
	{"PFN of all ones", 1, 2, {RANGE(4096, 0), ~0ull}},
	{"last PFN bad", 1, 3, {RANGE(8192, 0), 1, ~0ull}},
};

static void test_bad_lists(void **state)
{
	struct rig *rig = *state;
	uint32_t relid = relid_of(connected_dev(rig));

	for (size_t i = 0; i < COUNT(bad_lists); i++) {
		const struct bad_list *bad = &bad_lists[i];

		print_message("# %s\n", bad->why);
		post_list(rig, relid, 1, bad->ranges, bad->list, bad->words);
		take_created(rig, relid, 1, false);
		take_nothing(rig);
		assert_int_equal(gpadls_alive(rig), 0);
		assert_bad(rig, rig_teardown(rig, relid, 1));
	}
	assert_int_equal(bus_counters(rig->bus)->gpadls_failed, COUNT(bad_lists));
	/* The id is free for better use. */
	rig_gpadl(rig, relid, 1, 4);
	take_created(rig, relid, 1, true);
}

static void test_odd_sizes(void **state)
{
	static const uint16_t buflens[] = {0, 1, 7, 8, 15, 17, 65535};
	static const uint64_t words[] = {RANGE(4096, 0), 1};
	struct rig *rig = *state;
	uint32_t relid = relid_of(connected_dev(rig));

	for (size_t i = 0; i < COUNT(buflens); i++) {
		const struct rig_ranges r = {.buflen = buflens[i],
			.count = 1,
			.words = words,
			.word_count = 2,
			.header_words = 2};

		rig_gpadl_raw(rig, relid, 1, &r);
		take_created(rig, relid, 1, false);
		assert_int_equal(gpadls_alive(rig), 0);
	}
}

static void test_padding_of_full_messages(void **state)
{
	uint8_t bytes[VMBUS_MESSAGE_SIZE_MAX] = {0};
	struct vmbus_gpadl_header *header = (void *)bytes;
	struct vmbus_gpadl_body *body = (void *)bytes;
	struct rig *rig = *state;
	uint32_t relid = relid_of(connected_dev(rig));
	uint64_t range = RANGE(4096 * 30, 0);

	/* 240 bytes each, though the header has room for 27.5 words and the body needs 4. */
	*header = (struct vmbus_gpadl_header){
		.relid = relid, .gpadl = 7, .range_buflen = 31 * 8, .range_count = 1};
	memcpy(header->ranges, &range, sizeof(range));
	rig_post(rig, VMBUS_MSG_GPADL_HEADER, bytes, sizeof(bytes));
	take_nothing(rig);
	memset(bytes, 0, sizeof(bytes));
	body->gpadl = 7;
	memset(bytes + sizeof(*body) + 4 * 8, 0xFF, sizeof(bytes) - sizeof(*body) - 4 * 8);
	rig_post(rig, VMBUS_MSG_GPADL_BODY, bytes, sizeof(bytes));
	take_created(rig, relid, 7, true);
}

static void test_body_overflow(void **state)
{
	static const uint64_t words[8] = {RANGE(4096 * 4, 0), 1, 2, 3, 4, 5, 6, 7};
	struct rig *rig = *state;
	uint32_t relid = relid_of(connected_dev(rig));
	const struct rig_ranges r = {
		.buflen = 40, .count = 1, .words = words, .word_count = 2, .header_words = 2};

	rig_gpadl_raw(rig, relid, 1, &r);
	take_nothing(rig);
	rig_gpadl_body(rig, 1, words + 2, 4); /* 3 are missing */
	take_created(rig, relid, 1, false);
	assert_int_equal(gpadls_alive(rig), 0);
	assert_bad(rig, rig_gpadl_body(rig, 1, words, 1));
}

static void test_body_without_header(void **state)
{
	static const uint64_t words[28];
	struct rig *rig = *state;
	uint32_t relid = relid_of(connected_dev(rig));

	assert_bad(rig, rig_gpadl_body(rig, 1, words, 28));
	rig_gpadl(rig, relid, 1, 4);
	take_created(rig, relid, 1, true);
	assert_bad(rig, rig_gpadl_body(rig, 1, words, 28)); /* complete is complete */
}

static void test_ids(void **state)
{
	static const uint64_t words[] = {RANGE(8192, 0), 1, 2};
	const struct rig_ranges partial = {
		.buflen = 24, .count = 1, .words = words, .word_count = 2, .header_words = 2};
	struct rig *rig = *state;
	struct rig_dev *a = rig_offer(rig, 1, 1), *b = rig_offer(rig, 1, 2);
	uint32_t relid_a, relid_b;

	rig_connect(rig);
	relid_a = relid_of(a);
	relid_b = relid_of(b);
	/* Alive: unique in the channel, free for another. */
	rig_gpadl(rig, relid_a, 1, 1);
	take_created(rig, relid_a, 1, true);
	rig_gpadl(rig, relid_a, 1, 1);
	take_created(rig, relid_a, 1, false);
	rig_gpadl(rig, relid_b, 1, 2);
	take_created(rig, relid_b, 1, true);
	assert_ptr_not_equal(bus_gpadl_find(a->chan, 1), bus_gpadl_find(b->chan, 1));
	/* Building: unique in the partition, not torn down, not found. */
	rig_gpadl_raw(rig, relid_a, 2, &partial);
	take_nothing(rig);
	assert_null(bus_gpadl_find(a->chan, 2));
	assert_bad(rig, rig_teardown(rig, relid_a, 2));
	rig_gpadl(rig, relid_b, 2, 1);
	take_created(rig, relid_b, 2, false);
	rig_gpadl_body(rig, 2, words + 2, 1);
	take_created(rig, relid_a, 2, true);
	/* Teardown names the channel. */
	rig_teardown(rig, relid_b, 1);
	take_torndown(rig, 1);
	assert_non_null(bus_gpadl_find(a->chan, 1));
	assert_bad(rig, rig_teardown(rig, relid_b, 1));
	assert_bad(rig, rig_teardown(rig, relid_b, 2));
	assert_bad(rig, rig_teardown(rig, 77, 1));
	/* No such relid: the guest waits for an answer all the same. */
	rig_gpadl(rig, 77, 9, 1);
	take_created(rig, 77, 9, false);
	rig_gpadl(rig, 0, 9, 1);
	take_created(rig, 0, 9, false);
	rig_gpadl(rig, 0xFFFFFFFF, 9, 1);
	take_created(rig, 0xFFFFFFFF, 9, false);
}

static void test_count_quota(void **state)
{
	struct rig *rig = *state;
	uint32_t relid = relid_of(connected_dev(rig)), id = 0;

	for (;; id++) {
		rig_gpadl(rig, relid, id, 1);
		if (take(rig, VMBUS_MSG_GPADL_CREATED)->created.status)
			break;
		take_nothing(rig);
	}
	assert_int_equal(id, 4096);
	rig_teardown(rig, relid, 17);
	take_torndown(rig, 17);
	rig_gpadl(rig, relid, id, 1);
	take_created(rig, relid, id, true);
}

static void test_building_quota(void **state)
{
	static const uint64_t words[] = {RANGE(8192, 0), 1, 2};
	const struct rig_ranges partial = {
		.buflen = 24, .count = 1, .words = words, .word_count = 2, .header_words = 2};
	struct rig *rig = *state;
	uint32_t relid = relid_of(connected_dev(rig)), id = 0;

	while (!rig_take(rig))
		rig_gpadl_raw(rig, relid, id++, &partial);
	assert_in_range(id, 257, 2049); /* enough for every channel of a large guest */
	rig_gpadl_body(rig, 0, words + 2, 1);
	take_created(rig, relid, 0, true);
	rig_gpadl_raw(rig, relid, id, &partial);
	take_nothing(rig);
}

/* Refused with the status of any other failure; later there is room again. */
static void test_budget_for_page_lists(void **state)
{
	struct rig *rig = *state;
	uint32_t relid = relid_of(connected_dev(rig));
	uint64_t others = rig->budget.limit - rig->budget.accounts[BUDGET_GPADLS].share;

	assert_true(budget_take(&rig->budget, BUDGET_BOUNCES, others / 2));
	while (budget_take(&rig->budget, BUDGET_GPADLS, 4096))
		;
	rig_gpadl(rig, relid, 1, 1000);
	take_created(rig, relid, 1, false);
	assert_true(budget_refusals(&rig->budget, BUDGET_GPADLS) >= 2);
	budget_give(&rig->budget, BUDGET_GPADLS, 16384);
	rig_gpadl(rig, relid, 2, 1000);
	take_created(rig, relid, 2, true);
	rig_teardown(rig, relid, 2);
	budget_init(&rig->budget, BUDGET_DEFAULT);
}

static void test_page_quota_counts_announced_pages(void **state)
{
	static const uint64_t words[] = {RANGE(4096, 0), 1};
	struct rig *rig = *state;
	uint32_t relid = relid_of(connected_dev(rig));
	struct rig_ranges r = {.buflen = 8 * (TEST_GPADL_PAGES + 1),
		.count = 1,
		.words = words,
		.word_count = 2,
		.header_words = 2};

	rig_gpadl_raw(rig, relid, 1, &r); /* announces one, and sends it */
	take_nothing(rig);
	rig_gpadl(rig, relid, 2, 1);
	take_created(rig, relid, 2, false);
	rig_contact(rig, VMBUS_VERSION_WIN10_V5_3, 0);
	assert_int_equal(gpadls_alive(rig), 0);
}

static void test_reference_delays_teardown(void **state)
{
	struct rig *rig = *state;
	struct rig_dev *dev = connected_dev(rig);
	uint32_t relid = relid_of(dev);
	struct gpadl *g;

	rig_gpadl(rig, relid, 1, 4);
	take_created(rig, relid, 1, true);
	g = bus_gpadl_find(dev->chan, 1);
	gpadl_get(g);
	gpadl_get(g);
	rig_teardown(rig, relid, 1);
	take_nothing(rig);
	assert_null(bus_gpadl_find(dev->chan, 1)); /* no new users */
	assert_bad(rig, rig_teardown(rig, relid, 1));
	rig_gpadl(rig, relid, 1, 4); /* the id is not free yet */
	take_created(rig, relid, 1, false);
	gpadl_put(g);
	take_nothing(rig);
	gpadl_put(g);
	take_torndown(rig, 1);
	take_nothing(rig);
	assert_int_equal(gpadls_alive(rig), 0);
	rig_gpadl(rig, relid, 1, 4);
	take_created(rig, relid, 1, true);
	g = bus_gpadl_find(dev->chan, 1);
	gpadl_get(g); /* a put without teardown keeps it */
	gpadl_put(g);
	assert_ptr_equal(bus_gpadl_find(dev->chan, 1), g);
}

static void put_torn_down(struct rig_dev *dev, struct gpadl *gpadl)
{
	gpadl_put(gpadl);
}

/* Only for one that has references; they may be put inside the call. */
static void test_device_is_called_for_teardown(void **state)
{
	struct rig *rig = *state;
	struct rig_dev *dev = connected_dev(rig);
	uint32_t relid = relid_of(dev);
	struct gpadl *g;

	rig->on_teardown = put_torn_down;
	for (uint32_t id = 1; id <= 2; id++) {
		rig_gpadl(rig, relid, id, 4);
		take_created(rig, relid, id, true);
	}
	gpadl_get(bus_gpadl_find(dev->chan, 1));
	rig_teardown(rig, relid, 2);
	assert_int_equal(dev->teardowns, 0);
	take_torndown(rig, 2);
	rig_teardown(rig, relid, 1);
	assert_int_equal(dev->teardowns, 1);
	take_torndown(rig, 1);
	/* Once, and not again at the end of the connection. */
	rig->on_teardown = NULL;
	rig_gpadl(rig, relid, 3, 4);
	take_created(rig, relid, 3, true);
	g = bus_gpadl_find(dev->chan, 3);
	gpadl_get(g);
	rig_teardown(rig, relid, 3);
	assert_bad(rig, rig_teardown(rig, relid, 3));
	assert_int_equal(dev->teardowns, 2);
	rig_contact(rig, VMBUS_VERSION_WIN10_V5_3, 0);
	gpadl_put(g);
	assert_int_equal(dev->teardowns, 2);
	assert_int_equal(gpadls_alive(rig), 0);
}

static void test_ring_delays_teardown(void **state)
{
	struct rig *rig = *state;
	struct rig_dev *dev = connected_dev(rig);
	uint32_t relid = relid_of(dev);

	rig_open_dev(rig, dev);
	rig_teardown(rig, relid, relid); /* still open */
	take_nothing(rig);
	rig->answer_at_once = false;
	rig_relid(rig, VMBUS_MSG_CLOSE, relid);
	take_nothing(rig); /* closing */
	rig_answer(dev, true);
	take_torndown(rig, relid);
	take_nothing(rig);
}

static void test_released_relid_frees(void **state)
{
	struct rig *rig = *state;
	struct rig_dev *dev = connected_dev(rig);
	struct gpadl *g;

	rig_gpadl(rig, relid_of(dev), 1, 4);
	rig_gpadl(rig, relid_of(dev), 2, 4);
	rig_forget_sent(rig);
	g = bus_gpadl_find(dev->chan, 1);
	gpadl_get(g);
	rig_relid(rig, VMBUS_MSG_RELID_RELEASED, relid_of(dev));
	assert_null(bus_gpadl_find(dev->chan, 1));
	assert_int_equal(gpadls_alive(rig), 1); /* still charged to the guest */
	gpadl_put(g);
	assert_int_equal(gpadls_alive(rig), 0);
	take_nothing(rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		bus_test(test_sizes),
		cmocka_unit_test(test_largest),
		bus_test(test_several_ranges),
		bus_test(test_bad_lists),
		bus_test(test_odd_sizes),
		bus_test(test_padding_of_full_messages),
		bus_test(test_body_overflow),
		bus_test(test_body_without_header),
		bus_test(test_ids),
		bus_test(test_count_quota),
		bus_test(test_building_quota),
		bus_test(test_page_quota_counts_announced_pages),
		bus_test(test_budget_for_page_lists),
		bus_test(test_reference_delays_teardown),
		bus_test(test_device_is_called_for_teardown),
		bus_test(test_ring_delays_teardown),
		bus_test(test_released_relid_frees),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
