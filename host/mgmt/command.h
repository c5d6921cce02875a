/* SPDX-License-Identifier: MIT */
/*
 * Commands of the control socket. One const table of rows defines the
 * server's dispatch and checks, the client's parsing and time-outs, the text of
 * `enlite ctl --help`, and the man page (tests/unit/mgmt/command_test.c compares).
 *
 * A request is one JSON object:
 *   {"command": WORDS, KEY: VALUE ...}   a key for each argument of the row, and for options
 *   "directory": PATH                    only with `files`: relative names start there
 *
 * Thread: command_start() control; everything else any.
 */
#ifndef MGMT_COMMAND_H
#define MGMT_COMMAND_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/err.h"
#include "mgmt/ctl.h"

#define COMMAND_ARGS_MAX    2u
#define COMMAND_OPTIONS_MAX 6u

struct vm;

enum command_arg_kind {
	COMMAND_TEXT,
	COMMAND_SPEC, /* a text, or a JSON object; a client sends one that begins with { as such */
	COMMAND_NUMBER, /* 0 to max */
	COMMAND_CHOICE, /* a text, one of `choices` */
	COMMAND_FLAG,   /* an option without a value; in the request: true */
};

struct command_arg {
	const char *key;   /* in the request; NULL: no more arguments */
	const char *usage; /* "ID" */
	enum command_arg_kind kind;
	uint64_t max;
	const char *const *choices; /* up to NULL */
	bool optional;              /* only as the last one */
};

struct command {
	const char *words; /* "disk add"; NULL: the end of the table */
	struct command_arg args[COMMAND_ARGS_MAX];
	struct command_arg options[COMMAND_OPTIONS_MAX]; /* --KEY VALUE, or --KEY; in any place */
	bool files;       /* its arguments name files, relative to the client's directory */
	const char *help; /* one line */
	uint32_t states;  /* bit n: runs in state n of the VM */
	/* How long a client waits for the answer, besides the seconds of an option "timeout". */
	unsigned timeout_ms;
	/* ON_CONTROL. The request has all keys of the row, checked. 0: exactly one ctl_answer() or
	 * ctl_refuse(), now or later. -errno with e: neither. */
	int (*run)(struct vm *vm, struct ctl_request *request, const json_t *json, struct err *e);
};

/* ---- server -------------------------------------------------------------- */

/* Whom a command runs on, and in which state that is now. */
struct command_target {
	struct vm *vm;
	uint32_t state;
	const char *state_name;
};

/* NULL: there is no such row. */
const struct command *command_find(const struct command *table, const char *words);

/* 0, or -EINVAL with the key in e: a key is missing, unknown or has the wrong type. */
int command_check(const struct command *command, const json_t *json, struct err *e);

/* Finds the row, checks request and state, runs it. 0: the request is or will be answered. -errno:
 * it is not; refuse it with e. */
int command_start(const struct command *table, const struct command_target *target,
	struct ctl_request *request, const json_t *json, struct err *e);

/* ---- client -------------------------------------------------------------- */

/* From the words of a command line to the request, a new object. 0, or -EINVAL with one line in
 * e: no such command, or not its arguments. */
int command_parse(const struct command *table, int argc, char **argv,
	const struct command **command, json_t **request, struct err *e);

/* "disk add SPEC" */
#define COMMAND_USAGE_MAX 128u
void command_usage(const struct command *command, char text[COMMAND_USAGE_MAX]);
/* All rows, one a line, with their help. */
void command_help(const struct command *table, FILE *out);

#endif
