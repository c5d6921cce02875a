/* SPDX-License-Identifier: MIT */
/*
 * Inspection: every object shows its state to a visitor, as a tree of objects,
 * arrays and values. Who visits decides what becomes of it (host/mgmt/inspect_json.h
 * makes JSON).
 *
 *	void thing_inspect(const struct thing *t, struct inspect *i)
 *	{
 *		inspect_u64(i, "size", t->size);
 *		inspect_begin(i, "lower");
 *		lower_inspect(t->lower, i);
 *		inspect_end(i);
 *	}
 *
 * An object writes its members only; its parent names it and opens the node.
 * Members of an array have no name: key NULL. Keys are lower_case words; a unit
 * other than "count" or "bytes" is their last part (mean_ns). No function that
 * inspects may wait for another thread: it reads what its own thread owns,
 * counters (base/counter.h) and constants.
 *
 * Thread: the caller's.
 */
#ifndef BASE_INSPECT_H
#define BASE_INSPECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct inspect;

struct inspect_ops {
	void (*begin)(struct inspect *i, const char *key);       /* an object */
	void (*begin_array)(struct inspect *i, const char *key); /* an array */
	void (*end)(struct inspect *i);                          /* of either */
	void (*u64)(struct inspect *i, const char *key, uint64_t value);
	void (*text)(struct inspect *i, const char *key, const char *text);
	void (*boolean)(struct inspect *i, const char *key, bool value);
};

struct inspect {
	const struct inspect_ops *ops;
};

static inline void inspect_begin(struct inspect *i, const char *key)
{
	i->ops->begin(i, key);
}

static inline void inspect_begin_array(struct inspect *i, const char *key)
{
	i->ops->begin_array(i, key);
}

static inline void inspect_end(struct inspect *i)
{
	i->ops->end(i);
}

static inline void inspect_u64(struct inspect *i, const char *key, uint64_t value)
{
	i->ops->u64(i, key, value);
}

/* text: any bytes; what is not UTF-8 is replaced by the visitor. Copied. */
static inline void inspect_text(struct inspect *i, const char *key, const char *text)
{
	i->ops->text(i, key, text);
}

static inline void inspect_bool(struct inspect *i, const char *key, bool value)
{
	i->ops->boolean(i, key, value);
}

/* A formatted text of at most INSPECT_TEXT_MAX - 1 bytes. */
#define INSPECT_TEXT_MAX 256u
void inspect_textf(struct inspect *i, const char *key, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* ---- structures of counters ---------------------------------------------- */

struct inspect_field {
	const char *key; /* NULL: the end */
	size_t offset;   /* of an uint64_t, _Atomic or see base/counter.h */
};

/* clang-format off */
#define INSPECT_FIELD(type, member) {#member, offsetof(struct type, member)}
/* clang-format on */

void inspect_fields(struct inspect *i, const void *counters, const struct inspect_field *fields);

#endif
