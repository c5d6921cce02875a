/* SPDX-License-Identifier: MIT */
/*
 * What may follow on a command line, for the completion of shells: lines "WORD<tab>HELP", in the
 * order of the tables. Nothing: a file name, or anything.
 *
 * Owner: none, no state. Thread: the main thread of a client.
 */
#ifndef MGMT_COMPLETE_H
#define MGMT_COMPLETE_H

#include <stdio.h>

struct command;

/* A line, if `word` is the beginning of `name`. Of the help, what is before its first ';' or ':'.
 */
void complete_print(FILE *out, const char *word, const char *name, const char *help);
/* The same for each of `choices`, up to NULL. */
void complete_choices(FILE *out, const char *word, const char *const *choices);

/* Names of sockets in the directory of control sockets, each with `suffix` behind it. */
void complete_names(FILE *out, const char *word, const char *suffix);

/* Words and options of commands. argv: what is behind the name of the VM; the last one is to be
 * completed. */
void complete_command(FILE *out, const struct command *table, int argc, char **argv);

#endif
