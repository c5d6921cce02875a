/* SPDX-License-Identifier: MIT */
/*
 * A kind of back end or filter describes itself: one const struct in its own
 * file, listed in table.c. The parser, the help text and the opening of a stack
 * need nothing else.
 */
#ifndef HOST_NIC_TYPE_H
#define HOST_NIC_TYPE_H

#include "nic/nic.h"

#define NIC_SPEED_DEFAULT 10000000000ull

struct nic_key {
	const char *name;  /* NULL ends the list */
	const char *value; /* of the help text: "tcp|udp:[ADDR:]PORT-:PORT" */
	const char *help;
};

/* name=value, as written. */
struct nic_setting {
	const char *name;
	const char *value;
};

struct nic_open {
	const struct nic_env *env;
	struct nic *lower;                  /* filters: becomes the property of the new NIC */
	const char *argument;               /* behind "NAME:" of a back end, "NAME=" of a filter */
	const struct nic_setting *settings; /* keys of a back end, checked against its list */
	uint32_t setting_count;
};

struct nic_type {
	const char *name;
	const char *argument; /* of the help text; NULL: there is none */
	const char *help;
	const struct nic_key *keys; /* NULL: none */
	bool filter;
	bool untagged; /* frames with a VLAN tag are dropped */
	/* Mistakes in argument and settings that can be seen without opening anything: the key of
	 * the setting, or "backend". NULL: there is none. The function is optional. */
	const char *(*check)(const struct nic_open *o, struct err *e);
	/* The same for what must be there on the host, now. */
	const char *(*check_host)(const struct nic_open *o, struct err *e);
	/* Two NICs of one VM with this back end, each of which is right: what only one can have. */
	const char *(*check_two)(
		const struct nic_open *o, const struct nic_open *other, struct err *e);
	/* Control. On failure o->lower stays the caller's. */
	int (*open)(struct nic **nic, const struct nic_open *o, struct err *e);
};

/* All of them, ended by NULL: table.c. */
extern const struct nic_type *const nic_types[];

#endif
