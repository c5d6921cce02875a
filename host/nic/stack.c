/* SPDX-License-Identifier: MIT */
/* Parses and opens a back end with its filters, from the types' own descriptions. */
#include "nic/stack.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* The type whose name is the text up to `end`; filters or back ends. */
static const struct nic_type *find(const char *text, size_t len, bool filter)
{
	for (size_t i = 0; nic_types[i]; i++)
		if (nic_types[i]->filter == filter && strlen(nic_types[i]->name) == len &&
			!strncmp(nic_types[i]->name, text, len))
			return nic_types[i];
	return NULL;
}

/* "a, b, c" of all back ends. */
static void backend_names(char *text, size_t size)
{
	size_t at = 0;

	text[0] = '\0';
	for (size_t i = 0; nic_types[i] && at < size; i++) {
		if (nic_types[i]->filter)
			continue;
		at += (size_t)snprintf(text + at, size - at, "%s%s%s%s", at ? ", " : "",
			nic_types[i]->name, nic_types[i]->argument ? ":" : "",
			nic_types[i]->argument ? nic_types[i]->argument : "");
	}
}

int nic_stack_backend(struct nic_stack *s, const char *text, struct err *e)
{
	size_t len = strcspn(text, ":");
	const char *argument = text[len] ? text + len + 1 : NULL;
	char names[160];

	*s = (struct nic_stack){.type = find(text, len, false), .argument = argument};
	if (!s->type) {
		backend_names(names, sizeof(names));
		return err_set(e, -EINVAL, "net: '%s' is no back end; there are %s", text, names);
	}
	if (s->type->argument && (!argument || !*argument))
		return err_set(e, -EINVAL, "net %s: write %s:%s", s->type->name, s->type->name,
			s->type->argument);
	if (!s->type->argument && argument)
		return err_set(e, -EINVAL, "net %s: it takes no argument, but has ':%s'",
			s->type->name, argument);
	return 0;
}

static int add_filter(
	struct nic_stack *s, const struct nic_type *type, const char *value, struct err *e)
{
	if (!value || !*value)
		return err_set(e, -EINVAL, "net: %s needs a value: %s=%s", type->name, type->name,
			type->argument);
	if (s->filter_count == NIC_STACK_FILTERS_MAX)
		return err_set(
			e, -EINVAL, "net: at most %u filters on a NIC", NIC_STACK_FILTERS_MAX);
	s->filters[s->filter_count].type = type;
	s->filters[s->filter_count++].argument = value;
	return 0;
}

static const struct nic_key *find_key(const struct nic_type *type, const char *text, size_t len)
{
	for (const struct nic_key *k = type->keys; k && k->name; k++)
		if (strlen(k->name) == len && !strncmp(k->name, text, len))
			return k;
	return NULL;
}

static int add_setting(
	struct nic_stack *s, const struct nic_key *key, const char *value, struct err *e)
{
	if (!value || !*value)
		return err_set(e, -EINVAL, "net %s: %s needs a value: %s=%s", s->type->name,
			key->name, key->name, key->value);
	if (s->setting_count == NIC_STACK_SETTINGS_MAX)
		return err_set(e, -EINVAL, "net %s: at most %u settings", s->type->name,
			NIC_STACK_SETTINGS_MAX);
	s->settings[s->setting_count++] = (struct nic_setting){key->name, value};
	return 0;
}

int nic_stack_option(struct nic_stack *s, const char *text, struct err *e)
{
	size_t len = strcspn(text, "=");
	const char *value = text[len] ? text + len + 1 : NULL;
	const struct nic_key *key = find_key(s->type, text, len);
	const struct nic_type *filter = find(text, len, true);

	if (key)
		return add_setting(s, key, value, e);
	return filter ? add_filter(s, filter, value, e) : 1;
}

/* ---- checking and opening ------------------------------------------------ */

static struct nic_open backend_of(const struct nic_stack *s, const struct nic_env *env)
{
	return (struct nic_open){
		.env = env,
		.argument = s->argument,
		.settings = s->settings,
		.setting_count = s->setting_count,
	};
}

const char *nic_stack_check(const struct nic_stack *s, struct err *e)
{
	struct nic_open o = backend_of(s, NULL);

	return s->type->check ? s->type->check(&o, e) : NULL;
}

const char *nic_stack_check_host(const struct nic_stack *s, struct err *e)
{
	struct nic_open o = backend_of(s, NULL);

	return s->type->check_host ? s->type->check_host(&o, e) : NULL;
}

const char *nic_stack_check_two(
	const struct nic_stack *s, const struct nic_stack *other, struct err *e)
{
	struct nic_open o = backend_of(s, NULL), p = backend_of(other, NULL);

	return s->type == other->type && s->type->check_two ? s->type->check_two(&o, &p, e) : NULL;
}

static void ignore(void *ctx)
{
}

int nic_stack_open(
	struct nic **nic, const struct nic_stack *s, const struct nic_env *env, struct err *e)
{
	struct nic_open o = backend_of(s, env);
	struct nic *top;
	int ret = s->type->open(&top, &o, e);

	for (uint32_t i = 0; !ret && i < s->filter_count; i++) {
		struct nic_open f = {.env = env, .lower = top, .argument = s->filters[i].argument};

		ret = s->filters[i].type->open(&top, &f, e);
		if (ret)
			nic_close(f.lower, ignore, NULL);
	}
	if (!ret)
		*nic = top;
	return ret;
}
