/* SPDX-License-Identifier: MIT */
/*
 * Structs that describe themselves: a table names the fields with their types, limits, defaults
 * and help. Command line, JSON, help texts and copies are derived from the table.
 *
 * Every value has one text form, which its type parses and formats. JSON numbers and booleans are
 * converted to it, so each rule is written once.
 *
 * Owner: whoever holds the struct; no thread of its own. Errors: -EINVAL and -ENOMEM. Error texts
 * say what a value must be; the caller knows where it came from and puts that in front.
 */
#ifndef BASE_SCHEMA_H
#define BASE_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* The JSON types that a value may have. */
#define SCHEMA_JSON_BOOL    0x1u
#define SCHEMA_JSON_INTEGER 0x2u
#define SCHEMA_JSON_STRING  0x4u

/* Room for the description of a value. */
#define SCHEMA_DESCRIPTION_MAX 256u

struct schema_key;

struct schema_type {
	unsigned json; /* SCHEMA_JSON_* */
	/* 0, -EINVAL, -ENOMEM. On failure the field keeps its value. */
	int (*parse)(const struct schema_key *key, const char *text, void *field);
	/* *text: to be freed by the caller; NULL: the field is not set. 0 or -ENOMEM. */
	int (*format)(const struct schema_key *key, const void *field, char **text);
	/* What a value must be: "a number from 1 to 64". */
	void (*describe)(const struct schema_key *key, char text[SCHEMA_DESCRIPTION_MAX]);
	void (*release)(void *field); /* NULL: owns nothing */
};

struct schema_key {
	const char *name;   /* in JSON; on the command line '_' is written '-' */
	const char *option; /* another spelling on the command line; NULL: none */
	const struct schema_type *type;
	size_t offset, size;             /* of the field; see SCHEMA_FIELD */
	uint64_t min, max, step;         /* of numbers and sizes; of a text: its length */
	const char *const *choices;      /* up to NULL */
	bool (*valid)(const char *text); /* a further rule for a text; NULL: none */
	const char *must_be;             /* the description; NULL: derived */
	const char *preset;              /* the default; NULL: all bytes zero, which is "not set" */
	bool required;
	const char *arg;  /* name of the value in help texts; NULL: a flag */
	const char *help; /* one paragraph */
};

#define SCHEMA_FIELD(type, member)                                                                 \
	.offset = offsetof(type, member), .size = sizeof(((type *)NULL)->member)

struct schema {
	const char *name;
	const char *help;
	const struct schema_key *keys; /* up to one without a name; NULL: none. See schema_keys() */
	size_t size;                   /* of the struct; 0 without keys */
	/* Of what is chosen by the beginning of a text, like URIs: further beginnings, up to NULL.
	 */
	const char *const *schemes;
};

/* bool. */
extern const struct schema_type schema_flag;
/* uint32_t or uint64_t, min to max. Outside of its limits a field is not set. */
extern const struct schema_type schema_number;
/* int64_t: a number, or choices[0], which is -1, or choices[1], which is 0. */
extern const struct schema_type schema_number_or_word;
/* uint64_t: bytes with an optional suffix K, M or G; min to max, a multiple of step. */
extern const struct schema_type schema_size;
/* char *, owned: min to max bytes; NULL: not set. */
extern const struct schema_type schema_text;
/* The same, but the name of a file: never empty, of any length if max is 0; relative ones can be
 * made absolute. */
extern const struct schema_type schema_file;
/* int: index into choices. */
extern const struct schema_type schema_choice;
/* uint32_t: bit n is choices[n], at most 32 of them; "all", "none", or some with ',' between. */
extern const struct schema_type schema_words;

/* Never NULL. */
const struct schema_key *schema_keys(const struct schema *schema);

static inline void *schema_field(const struct schema_key *key, void *object)
{
	return (char *)object + key->offset;
}

static inline const void *schema_field_const(const struct schema_key *key, const void *object)
{
	return (const char *)object + key->offset;
}

/* Sets one field. -EINVAL: e says what the value must be. */
int schema_set(const struct schema_key *key, void *object, const char *text, struct err *e);
/* The same text in e for a value that is not even a text: "a list". */
int schema_refuse(const struct schema_key *key, const char *found, struct err *e);
/* *text: to be freed; NULL: not set. 0 or -ENOMEM. */
int schema_get(const struct schema_key *key, const void *object, char **text);

/* All fields of a zeroed struct to their defaults. 0 or -ENOMEM; then also schema_fini(). */
int schema_init(const struct schema_key *keys, void *object);
void schema_fini(const struct schema_key *keys, void *object);
/* `to` is zeroed. 0 or -ENOMEM; then `to` holds nothing. */
int schema_copy(const struct schema_key *keys, void *to, const void *from);

/* A key by its name in JSON; NULL: unknown. */
const struct schema_key *schema_find(const struct schema_key *keys, const char *name);
/* A key as it is written on the command line: '-' for '_', or its `option`. */
const struct schema_key *schema_find_option(const struct schema_key *keys, const char *name);
/* A required key that is not set, or NULL. */
const struct schema_key *schema_missing(const struct schema_key *keys, const void *object);

/* ---- a value with its schema --------------------------------------------- */

/* A struct of a kind that is chosen at run time. Zero bytes: none. */
struct schema_value {
	const struct schema *schema; /* NULL: none */
	void *object;                /* owned */
};

/* With all defaults. 0 or -ENOMEM. */
int schema_value_init(struct schema_value *value, const struct schema *schema);
void schema_value_fini(struct schema_value *value);
int schema_value_copy(struct schema_value *to, const struct schema_value *from);

#endif
