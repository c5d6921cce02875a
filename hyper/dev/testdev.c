/* SPDX-License-Identifier: MIT */
#include "hyper/dev/testdev.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"

/* One command, decoded and checked. */
struct testdev_command {
	enum testdev_op op;
	enum testdev_kind kind; /* of the operation's slot */
	uint32_t vp, sint, id;
};

static enum testdev_kind kind_of(uint32_t op)
{
	switch (op) {
	case TESTDEV_CREATE_ROUTE:
	case TESTDEV_DESTROY_ROUTE:
	case TESTDEV_SET_SINT:
		return TESTDEV_ROUTE;
	case TESTDEV_CREATE_MESSAGE:
	case TESTDEV_DESTROY_MESSAGE:
		return TESTDEV_MESSAGE;
	case TESTDEV_CREATE_EVENT:
	case TESTDEV_DESTROY_EVENT:
		return TESTDEV_EVENT;
	default:
		return TESTDEV_FREE;
	}
}

static int decode(const struct testdev *t, uint32_t value, struct testdev_command *c)
{
	c->kind = kind_of(TESTDEV_OP(value));
	if (c->kind == TESTDEV_FREE)
		return -EINVAL;
	c->op = TESTDEV_OP(value);
	c->vp = TESTDEV_VP(value);
	c->sint = TESTDEV_SINT(value);
	c->id = c->kind == TESTDEV_ROUTE ? 0 : TESTDEV_ID(value);
	if (c->vp >= t->hv->config.vp_count || c->sint >= HV_SINT_COUNT)
		return -ERANGE;
	return 0;
}

/* A connection is found by its id, a route by its target. */
static bool slot_matches(const struct testdev_slot *s, const struct testdev_command *c)
{
	if (s->kind != c->kind)
		return false;
	if (c->kind != TESTDEV_ROUTE)
		return s->id == c->id;
	return s->vp == c->vp && s->sint == c->sint;
}

static struct testdev_slot *slot_find(struct testdev *t, const struct testdev_command *c)
{
	for (unsigned i = 0; i < TESTDEV_SLOTS; i++)
		if (slot_matches(&t->slot[i], c))
			return &t->slot[i];
	return NULL;
}

static struct testdev_slot *slot_find_free(struct testdev *t)
{
	for (unsigned i = 0; i < TESTDEV_SLOTS; i++)
		if (t->slot[i].kind == TESTDEV_FREE)
			return &t->slot[i];
	return NULL;
}

/* The handlers take no lock: hv keeps the connection from being deleted while
 * one runs, and a slot does not change as long as its connection exists. */
static enum hv_status message_handler(
	void *ctx, uint32_t id, uint32_t type, const void *payload, uint32_t size)
{
	const struct testdev_slot *s = ctx;

	switch (synic_post(s->dev->hv, s->vp, s->sint, type, id, payload, size)) {
	case 0:
		return HV_STATUS_SUCCESS;
	case -EINVAL:
		return HV_STATUS_INVALID_PARAMETER;
	default:
		return HV_STATUS_INSUFFICIENT_BUFFERS;
	}
}

static enum hv_status event_handler(void *ctx, uint32_t id, uint16_t flag)
{
	const struct testdev_slot *s = ctx;

	if (flag != 0) /* the connection has one flag, with the number of the connection */
		return HV_STATUS_INVALID_PARAMETER;
	synic_signal(s->dev->hv, s->vp, s->sint, id);
	return HV_STATUS_SUCCESS;
}

static int connection_add(struct testdev_slot *s, enum testdev_kind kind)
{
	s->conn = (struct hv_connection){.id = s->id, .ctx = s};
	if (kind == TESTDEV_MESSAGE)
		s->conn.message = message_handler;
	else
		s->conn.event = event_handler;
	return hv_connection_add(s->dev->hv, &s->conn);
}

static int slot_create(struct testdev *t, const struct testdev_command *c)
{
	struct testdev_slot *s = slot_find_free(t);
	int ret = 0;

	if (slot_find(t, c))
		return -EEXIST;
	if (!s)
		return -ENOSPC;
	s->vp = c->vp;
	s->sint = c->sint;
	s->id = c->id;
	if (c->kind != TESTDEV_ROUTE)
		ret = connection_add(s, c->kind);
	if (!ret)
		s->kind = c->kind;
	return ret;
}

static void slot_destroy(struct testdev *t, struct testdev_slot *s)
{
	if (s->kind != TESTDEV_ROUTE)
		hv_connection_del(t->hv, &s->conn);
	s->kind = TESTDEV_FREE;
}

static int perform(struct testdev *t, const struct testdev_command *c)
{
	struct testdev_slot *s;

	switch (c->op) {
	case TESTDEV_CREATE_ROUTE:
	case TESTDEV_CREATE_MESSAGE:
	case TESTDEV_CREATE_EVENT:
		return slot_create(t, c);
	default:
		break;
	}
	s = slot_find(t, c);
	if (!s)
		return -ENOENT;
	if (c->op == TESTDEV_SET_SINT)
		synic_interrupt_sint(t->hv, s->vp, s->sint);
	else
		slot_destroy(t, s);
	return 0;
}

static void testdev_write(void *ctx, uint16_t port, uint32_t value, unsigned size)
{
	struct testdev *t = ctx;
	struct testdev_command c;
	int ret;

	if (size != 4)
		return;
	ret = decode(t, value, &c);
	if (!ret) {
		pthread_mutex_lock(&t->lock);
		ret = perform(t, &c);
		pthread_mutex_unlock(&t->lock);
	}
	if (ret)
		log_guest("test device: command 0x%08x refused: %s", value, strerror(-ret));
}

static uint32_t testdev_read(void *ctx, uint16_t port, unsigned size)
{
	return UINT32_MAX; /* write only */
}

static const struct pio_ops testdev_ops = {
	.read = testdev_read,
	.write = testdev_write,
};

int testdev_init(struct testdev *t, struct pio *pio, struct hv *hv)
{
	*t = (struct testdev){.hv = hv};
	for (unsigned i = 0; i < TESTDEV_SLOTS; i++)
		t->slot[i].dev = t;
	pthread_mutex_init(&t->lock, NULL);
	return pio_add(pio, TESTDEV_PORT, 4, &testdev_ops, t);
}

static void slot_archive(struct testdev *t, const struct testdev_slot *s, struct archive *a)
{
	struct testdev_command c = {.vp = s->vp, .sint = s->sint, .id = s->id};
	uint32_t kind = s->kind;

	archive_begin(a, NULL, 1);
	archive_u32(a, "kind", &kind);
	archive_u32(a, "vp", &c.vp);
	archive_u32(a, "sint", &c.sint);
	archive_u32(a, "id", &c.id);
	archive_end(a);
	c.kind = kind;
	if (!a->reading || a->error)
		return;
	if (!kind || kind > TESTDEV_EVENT || c.vp >= t->hv->config.vp_count ||
		c.sint >= HV_SINT_COUNT || slot_create(t, &c))
		archive_fail(a, "a slot cannot be created");
}

void testdev_archive(struct testdev *t, struct archive *a)
{
	uint32_t count = 0, used[TESTDEV_SLOTS] = {0};

	for (uint32_t i = 0; i < TESTDEV_SLOTS; i++)
		if (t->slot[i].kind != TESTDEV_FREE)
			used[count++] = i;
	count = archive_list(a, "test_device", count, TESTDEV_SLOTS);
	for (uint32_t i = 0; i < count; i++)
		slot_archive(t, &t->slot[used[i]], a);
	archive_end(a);
}

void testdev_fini(struct testdev *t)
{
	for (unsigned i = 0; i < TESTDEV_SLOTS; i++)
		if (t->slot[i].kind != TESTDEV_FREE)
			slot_destroy(t, &t->slot[i]);
	pthread_mutex_destroy(&t->lock);
}
