/* SPDX-License-Identifier: MIT */
/*
 * Model check of the signalling protocol, on the real ring code.
 *
 * vmbus_ring.c is compiled here with each shared load, store and fence turned
 * into a scheduling point. A producer and a consumer run as coroutines, and the
 * checker walks every interleaving: depth first, replaying from the start for
 * each branch, cutting branches that reach a state seen before. A state is the
 * shared words, both event flags, both store buffers, and what each side knows
 * (its ring end at loop tops, and all values loaded since).
 *
 * Two memories: sequentially consistent (stores act at once), and x86-TSO (each
 * side has a FIFO store buffer that drains at any moment; a fence waits until
 * its own is empty). The second one proves that the fences are needed and there.
 *
 * Asserted in every state:
 *   - the consumer does not sleep with published unread bytes and no signal
 *     pending, nor the producer while there is room;
 *   - one side can always run until both are done; packets arrive in order.
 * A signal is pending until the operation that must send it has ended.
 *
 * Mutants at the end show that the checker can fail.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

/* ---- instead of ring_port.h ---------------------------------------------- */

static uint32_t model_load(const uint32_t *word);
static void model_store(uint32_t *word, uint32_t value);
static void model_fence(const char *where);

#define RING_PORT_H
#define ring_load(p)             model_load(p)
#define ring_load_acquire(p)     model_load(p)
#define ring_store(p, v)         model_store(p, v)
#define ring_store_release(p, v) model_store(p, v)
#define ring_full_fence()        model_fence(__func__)
#define ring_compiler_barrier()  __asm__ volatile("" ::: "memory")
#define RING_SHARED
#define ring_copy_in(to, from, len)  memcpy(to, from, len)
#define ring_copy_out(to, from, len) memcpy(to, from, len)
#include "common/ring/vmbus_ring.c"

/* ---- the machine --------------------------------------------------------- */

#define PACKETS      3
#define STACK_SIZE   (64 * 1024)
#define BUFFER_MAX   8
#define PATH_LEN_MAX 1024
#define VISITED_MAX  (1u << 16)

enum point {
	POINT_START,
	POINT_LOAD,
	POINT_STORE,
	POINT_FENCE,
	POINT_WAIT,
	POINT_RAISE,
	POINT_IDLE
};

struct side {
	ucontext_t context;
	enum point point; /* what it does when it runs next */
	bool done;
	bool busy;      /* in an operation that may still signal the other side */
	bool event;     /* a signal for this side that it has not taken */
	uint64_t knows; /* hash of what its future depends on */
	struct {
		uint32_t *word;
		uint32_t value;
	} buffer[BUFFER_MAX];
	uint32_t buffered;
};

/* One scenario; the last four fields are faults planted to see the checker find them. */
struct scenario {
	uint32_t ring_size;
	uint32_t payload[PACKETS];
	uint8_t commits; /* bit n: the producer commits after packet n; always after the last */
	bool rx_commit_each;
	bool rx_mask;
	bool tso;
	const char *skip_fence;
	bool skip_recheck;
	bool skip_feature;
	bool skip_tx_commit;
};

enum { PRODUCER, CONSUMER, SIDES };
enum { RUN_PRODUCER, RUN_CONSUMER, DRAIN_PRODUCER, DRAIN_CONSUMER, CHOICES };

static struct {
	const struct scenario *scenario;
	ucontext_t checker;
	struct side side[SIDES];
	int running;
	const char *violation;
	/* Choices from the start to the state looked at, and how many are taken so far. */
	uint8_t path[PATH_LEN_MAX];
	uint32_t depth, taken;
	/* The two ends under test. */
	struct vmbus_ring_ctl *ctl;
	struct vmbus_tx tx;
	struct vmbus_rx rx;
	uint32_t need; /* ring bytes the producer waits for */
	uint8_t stack[SIDES][STACK_SIZE];
} m;

static void violate(const char *what)
{
	if (!m.violation)
		m.violation = what;
}

static uint64_t mix(uint64_t hash, uint64_t value)
{
	hash = (hash ^ value) * 0x9E3779B97F4A7C15u;
	return hash ^ (hash >> 29);
}

static void drain_one(struct side *side)
{
	*side->buffer[0].word = side->buffer[0].value;
	side->buffered--;
	memmove(&side->buffer[0], &side->buffer[1], side->buffered * sizeof(side->buffer[0]));
}

/* Lets the side that the path says run, or the checker when the path is at its end. A side that
 * runs on needs no switch, which makes replays cheap. */
static void switch_from(ucontext_t *self)
{
	while (m.taken < m.depth) {
		int choice = m.path[m.taken++];

		if (choice >= DRAIN_PRODUCER) {
			drain_one(&m.side[choice % SIDES]);
			continue;
		}
		m.running = choice;
		if (self != &m.side[choice].context)
			swapcontext(self, &m.side[choice].context);
		return;
	}
	if (self != &m.checker)
		swapcontext(self, &m.checker);
}

/* The running side stops here, and goes on when the path picks it. */
static struct side *point(enum point kind)
{
	struct side *side = &m.side[m.running];

	side->point = kind;
	side->knows = mix(side->knows, kind);
	switch_from(&side->context);
	return side;
}

static uint32_t model_load(const uint32_t *word)
{
	struct side *side = point(POINT_LOAD);
	uint32_t value = *word;
	uint32_t i;

	for (i = 0; i < side->buffered; i++)
		if (side->buffer[i].word == word)
			value = side->buffer[i].value;
	side->knows = mix(side->knows, value);
	return value;
}

static void model_store(uint32_t *word, uint32_t value)
{
	struct side *side = point(POINT_STORE);

	if (!m.scenario->tso) {
		*word = value;
		return;
	}
	if (side->buffered == BUFFER_MAX) {
		violate("store buffer of the model too small");
		return;
	}
	side->buffer[side->buffered].word = word;
	side->buffer[side->buffered++].value = value;
}

static void model_fence(const char *where)
{
	if (m.scenario->skip_fence && !strcmp(m.scenario->skip_fence, where))
		return;
	point(POINT_FENCE);
}

static void raise_event(int other)
{
	point(POINT_RAISE);
	m.side[other].event = true;
}

static void wait_event(void)
{
	point(POINT_WAIT)->event = false;
}

/* ---- the two programs ---------------------------------------------------- */

/* At a loop top a side's future depends on its ring end and its count only. */
static void tx_knows(uint32_t sent)
{
	uint64_t hash = mix(1, sent);

	hash = mix(hash, m.tx.write);
	hash = mix(hash, m.tx.published);
	hash = mix(hash, m.tx.peer_read);
	m.side[PRODUCER].knows = mix(hash, m.tx.pending * 2 + m.tx.signal);
}

static void rx_knows(uint32_t got)
{
	uint64_t hash = mix(2, got);

	hash = mix(hash, m.rx.read);
	hash = mix(hash, m.rx.taken);
	m.side[CONSUMER].knows = mix(hash, m.rx.peer_write);
}

static void tx_commit(void)
{
	if (vmbus_tx_commit(&m.tx))
		raise_event(CONSUMER);
	m.side[PRODUCER].busy = false;
}

static void tx_send(uint32_t number)
{
	static const uint8_t zeroes[64];
	struct vmbus_vec vec = {zeroes, m.scenario->payload[number]};
	int rc;

	for (;;) {
		tx_knows(number);
		m.side[PRODUCER].busy = true;
		rc = vmbus_tx_write(&m.tx, VMBUS_PKT_INBAND, 0, number, NULL, &vec, 1);
		if (rc != -EAGAIN)
			break;
		m.need = vmbus_pkt_ring_size(0, vec.len);
		if (!m.scenario->skip_tx_commit)
			tx_commit();
		wait_event();
	}
	if (rc)
		violate("write failed");
}

static void producer(void)
{
	uint32_t i;

	point(POINT_START);
	for (i = 0; i < PACKETS; i++) {
		tx_send(i);
		if (!(m.scenario->commits & 1u << i) && i + 1 < PACKETS)
			continue;
		tx_commit();
		point(POINT_IDLE);
	}
	m.side[PRODUCER].done = true;
	point(POINT_IDLE);
}

static void rx_commit(void)
{
	m.side[CONSUMER].busy = true;
	if (vmbus_rx_commit(&m.rx))
		raise_event(PRODUCER);
	m.side[CONSUMER].busy = false;
	point(POINT_IDLE);
}

static uint32_t rx_drain(uint32_t got)
{
	uint8_t buf[128];
	struct vmbus_pkt pkt;
	int rc;

	for (;;) {
		rx_knows(got);
		rc = vmbus_rx_next(&m.rx, &pkt, buf, sizeof(buf));
		if (rc)
			break;
		if (pkt.desc.trans_id != got)
			violate("packet out of order");
		got++;
		if (m.scenario->rx_commit_each)
			rx_commit();
	}
	if (rc != -EAGAIN)
		violate("next failed");
	rx_commit();
	return got;
}

static void consumer(void)
{
	uint32_t got = 0;

	point(POINT_START);
	for (;;) {
		if (m.scenario->rx_mask)
			vmbus_rx_mask(&m.rx);
		got = rx_drain(got);
		rx_knows(got);
		if (got == PACKETS)
			break;
		if (vmbus_rx_unmask(&m.rx) && !m.scenario->skip_recheck)
			continue;
		wait_event();
	}
	m.side[CONSUMER].done = true;
	point(POINT_IDLE);
}

/* ---- the checker --------------------------------------------------------- */

static void side_start(int which, void (*program)(void))
{
	struct side *side = &m.side[which];

	memset(side, 0, sizeof(*side));
	getcontext(&side->context);
	side->context.uc_stack.ss_sp = m.stack[which];
	side->context.uc_stack.ss_size = STACK_SIZE;
	side->context.uc_link = &m.checker;
	makecontext(&side->context, program, 0);
	m.running = which;
	swapcontext(&m.checker, &side->context);
}

static void machine_start(void)
{
	const uint32_t size = m.scenario->ring_size;
	struct vmbus_ring_data data = {.count = 1};

	memset(m.ctl, 0, 128);
	m.violation = NULL;
	m.depth = m.taken = 0;
	m.need = 0;
	/* As the init functions leave them, but smaller than a page. */
	m.ctl->feature_bits = m.scenario->skip_feature ? 0 : VMBUS_RING_FEAT_PENDING_SEND_SIZE;
	data.whole = (struct vmbus_run){(uint8_t *)m.ctl + HV_PAGE_SIZE, size};
	m.tx = (struct vmbus_tx){
		.ctl = m.ctl, .place = place_of(&data, 0), .size = size, .data = data};
	m.rx = (struct vmbus_rx){
		.ctl = m.ctl, .place = place_of(&data, 0), .size = size, .data = data};
	side_start(PRODUCER, producer);
	side_start(CONSUMER, consumer);
}

static bool can(int choice)
{
	const struct side *side = &m.side[choice % SIDES];

	if (choice >= DRAIN_PRODUCER)
		return side->buffered > 0;
	if (side->done)
		return false;
	if (side->point == POINT_WAIT)
		return side->event;
	return side->point != POINT_FENCE || !side->buffered;
}

static uint64_t state_key(void)
{
	uint64_t hash = 3;
	uint32_t i;
	int s;

	hash = mix(hash, (uint64_t)m.ctl->write_index << 32 | m.ctl->read_index);
	hash = mix(hash, (uint64_t)m.ctl->interrupt_mask << 32 | m.ctl->pending_send_size);
	for (s = 0; s < SIDES; s++) {
		const struct side *side = &m.side[s];

		hash = mix(hash, side->knows);
		hash = mix(hash, side->point * 8 + side->done * 4 + side->busy * 2 + side->event);
		for (i = 0; i < side->buffered; i++)
			hash = mix(
				mix(hash, (uintptr_t)side->buffer[i].word), side->buffer[i].value);
		hash = mix(hash, side->buffered);
	}
	return hash;
}

/* Sleeping, no signal pending, and the other side owes none. */
static bool sleeps(int which)
{
	const struct side *side = &m.side[which], *other = &m.side[!which];

	return side->point == POINT_WAIT && !side->event && !side->done && !other->busy &&
	       !other->buffered;
}

/* Returns the choices this state has, as bits. */
static uint8_t check_state(void)
{
	uint32_t used =
		index_distance(m.ctl->read_index, m.ctl->write_index, m.scenario->ring_size);
	uint8_t choices = 0;
	int c;

	if (sleeps(CONSUMER) && m.ctl->write_index != m.rx.read)
		violate("consumer sleeps with unread bytes");
	if (sleeps(PRODUCER) && m.scenario->ring_size - used > m.need)
		violate("producer sleeps for room that is there");
	for (c = 0; c < CHOICES; c++)
		choices |= (uint8_t)(can(c) << c);
	if (!choices && !(m.side[PRODUCER].done && m.side[CONSUMER].done))
		violate("nobody can move");
	return choices;
}

static uint64_t *visited;
static uint32_t visited_count;

static bool visit(uint64_t key)
{
	uint32_t slot = (uint32_t)(key >> 32) % VISITED_MAX;

	key |= 1; /* 0 is an empty slot */
	while (visited[slot] && visited[slot] != key)
		slot = (slot + 1) % VISITED_MAX;
	if (visited[slot])
		return false;
	visited[slot] = key;
	visited_count++;
	return true;
}

/* The choices not yet tried at each state of the path, as bits. */
static uint8_t untried[PATH_LEN_MAX];

static void take_first_untried(uint32_t depth)
{
	int choice = __builtin_ctz(untried[depth]);

	untried[depth] &= (uint8_t) ~(1u << choice);
	m.path[depth] = (uint8_t)choice;
}

/* Descends from the current state by first choices until no new state is found. */
static void descend(void)
{
	while (!m.violation && visit(state_key())) {
		uint8_t choices = check_state();

		if (!choices || m.violation)
			break;
		assert_true(m.depth < PATH_LEN_MAX);
		untried[m.depth] = choices;
		take_first_untried(m.depth++);
		switch_from(&m.checker);
	}
}

/* Goes to the next untried state by running again from the start: coroutines have no snapshots.
 * False when everything was seen. */
static bool backtrack(void)
{
	uint32_t depth = m.depth;

	while (depth && !untried[depth - 1])
		depth--;
	if (!depth)
		return false;
	take_first_untried(depth - 1);
	machine_start();
	m.depth = depth;
	switch_from(&m.checker);
	return true;
}

/* The first violation found, or NULL when all states are fine. */
static const char *explore(const struct scenario *scenario)
{
	m.scenario = scenario;
	memset(visited, 0, VISITED_MAX * sizeof(*visited));
	visited_count = 0;
	machine_start();
	do {
		descend();
		assert_true(visited_count < VISITED_MAX / 2);
	} while (!m.violation && backtrack());
	return m.violation;
}

/* ---- tests --------------------------------------------------------------- */

/* Room for one packet, for two, and for a big one only when the ring is empty. The last one but
 * one fills up with a packet staged behind a published one. */
static const struct scenario shapes[] = {
	{.ring_size = 32, .payload = {0, 0, 0}, .commits = 7},
	{.ring_size = 56, .payload = {0, 0, 0}, .commits = 7},
	{.ring_size = 56, .payload = {0, 0, 0}, .commits = 2},
	{.ring_size = 56, .payload = {0, 24, 0}, .commits = 0},
	{.ring_size = 64, .payload = {0, 0, 0}, .commits = 1},
	{.ring_size = 64, .payload = {24, 0, 8}, .commits = 2},
};
#define SHAPES (sizeof(shapes) / sizeof(shapes[0]))

static void explore_all(bool tso)
{
	uint32_t total = 0;
	size_t i;
	int mode;

	for (i = 0; i < SHAPES; i++)
		for (mode = 0; mode < 4; mode++) {
			struct scenario s = shapes[i];
			const char *violation;

			s.rx_mask = mode & 1;
			s.rx_commit_each = mode & 2;
			s.tso = tso;
			violation = explore(&s);
			if (violation)
				fail_msg("shape %zu mode %d: %s", i, mode, violation);
			total += visited_count;
		}
	print_message("# %u states\n", total);
	assert_true(total > 1000);
}

static void test_sequential(void **state)
{
	explore_all(false);
}

static void test_tso(void **state)
{
	explore_all(true);
}

/* Some shape and mode must fail with the fault in place. */
static const char *explore_mutant(const struct scenario *fault)
{
	const char *violation = NULL;
	size_t i;
	int mode;

	for (i = 0; i < SHAPES && !violation; i++)
		for (mode = 0; mode < 4 && !violation; mode++) {
			struct scenario s = *fault;

			if (fault->rx_mask && !(mode & 1))
				continue; /* the fault needs a consumer that masks */
			s.ring_size = shapes[i].ring_size;
			memcpy(s.payload, shapes[i].payload, sizeof(s.payload));
			s.commits = shapes[i].commits;
			s.rx_mask = mode & 1;
			s.rx_commit_each = mode & 2;
			violation = explore(&s);
		}
	return violation;
}

static void test_mutant_fences(void **state)
{
	static const char *const fences[] = {
		"tx_publish", "tx_ask_room", "rx_room_signal", "vmbus_rx_unmask"};
	size_t i;

	for (i = 0; i < sizeof(fences) / sizeof(fences[0]); i++) {
		struct scenario fault = {.tso = true, .skip_fence = fences[i]};
		const char *violation = explore_mutant(&fault);

		if (!violation)
			fail_msg("not missed: the fence of %s", fences[i]);
		print_message("# without the fence of %s: %s\n", fences[i], violation);
	}
}

/* These accesses are for speed only. */
static void test_mask_fence_is_optional(void **state)
{
	struct scenario fault = {.tso = true, .rx_mask = true, .skip_fence = "vmbus_rx_mask"};

	assert_null(explore_mutant(&fault));
}

static void test_mutant_callers(void **state)
{
	struct scenario recheck = {.skip_recheck = true};
	struct scenario feature = {.skip_feature = true};
	struct scenario commit = {.skip_tx_commit = true};

	assert_non_null(explore_mutant(&recheck));
	assert_non_null(explore_mutant(&feature));
	assert_non_null(explore_mutant(&commit));
}

static int setup(void **state)
{
	visited = malloc(VISITED_MAX * sizeof(*visited));
	m.ctl = aligned_alloc(HV_PAGE_SIZE, 2 * HV_PAGE_SIZE);
	if (!visited || !m.ctl)
		return -1;
	memset(m.ctl, 0, 2 * HV_PAGE_SIZE);
	return 0;
}

static int teardown(void **state)
{
	free(visited);
	free(m.ctl);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sequential),
		cmocka_unit_test(test_tso),
		cmocka_unit_test(test_mutant_fences),
		cmocka_unit_test(test_mask_fence_is_optional),
		cmocka_unit_test(test_mutant_callers),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
