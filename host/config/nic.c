/* SPDX-License-Identifier: MIT */
/*
 * NICs: a class of devices whose back ends and filters are those of host/nic. A
 * back end is a text here, "tap:net0", and each of its settings and filters has one
 * value: nic/stack.h knows what they mean.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/config_impl.h"
#include "nic/types.h"

#define TEXT_MAX 4096u

/* ---- texts --------------------------------------------------------------- */

static bool digit_value(char c, uint8_t *value)
{
	const char *digits = "0123456789abcdef";
	const char *at = c ? strchr(digits, c | 0x20) : NULL;

	if (!at)
		return false;
	*value = (uint8_t)(at - digits);
	return true;
}

bool nic_config_mac(const char *text, uint8_t mac[6])
{
	for (uint32_t i = 0; i < 6; i++) {
		uint8_t high, low;

		if (!digit_value(text[0], &high) || !digit_value(text[1], &low) ||
			text[2] != (i < 5 ? ':' : '\0'))
			return false;
		mac[i] = (uint8_t)(high << 4 | low);
		text += 3;
	}
	return !(mac[0] & 1);
}

static bool is_mac(const char *text)
{
	uint8_t mac[6];

	return nic_config_mac(text, mac);
}

/* ---- tables -------------------------------------------------------------- */

static const struct schema_key backend_keys[] = {
	{
		.name = "backend",
		.type = &schema_text,
		SCHEMA_FIELD(struct nic_backend_options, backend),
		.min = 1,
		.max = TEXT_MAX,
		.required = true,
		.arg = "tap:IF|fd:N|user|null|loop|pair:PATH|none",
		.help = "tap: a TAP interface; fd: one that was inherited; user: the host's network "
			"through passt, without root; pair: another VM of this host; loop: frames "
			"come back; null: frames vanish; none: no link",
	},
	{
		.name = "forward",
		.type = &schema_text,
		SCHEMA_FIELD(struct nic_backend_options, forward),
		.min = 1,
		.max = TEXT_MAX,
		.arg = "tcp|udp:[ADDR:]PORT-:PORT[+...]",
		.help = "user: ports of the host that lead to ports of the guest",
	},
	{
		.name = "program",
		.type = &schema_file,
		SCHEMA_FIELD(struct nic_backend_options, program),
		.arg = "FILE",
		.help = "user: the passt to run",
	},
	{0},
};

static const struct schema backend_schema = {
	.name = "backend",
	.help = "where the frames go",
	.keys = backend_keys,
	.size = sizeof(struct nic_backend_options),
};

static const struct schema *const sources[] = {&backend_schema, NULL};

static const char *const directions[] = {
	[NIC_CONFIG_BOTH] = "both", [NIC_CONFIG_TX] = "tx", [NIC_CONFIG_RX] = "rx", NULL};

#define DIRECTION_KEY                                                                              \
	{                                                                                          \
		.name = "direction", .type = &schema_choice,                                       \
		SCHEMA_FIELD(struct nic_filter_options, direction), .choices = directions,         \
		.preset = "both", .arg = "both|tx|rx",                                             \
		.help = "frames the guest sends, or receives; without it both",                    \
	}

static const struct schema_key pcap_keys[] = {
	{
		.name = "file",
		.type = &schema_file,
		SCHEMA_FIELD(struct nic_filter_options, value),
		.required = true,
		.arg = "FILE",
		.help = "is made anew",
	},
	{0},
};

static const struct schema_key delay_keys[] = {
	{
		.name = "time",
		.type = &schema_text,
		SCHEMA_FIELD(struct nic_filter_options, value),
		.max = TEXT_MAX,
		.valid = nic_delay_valid,
		.must_be = NIC_DELAY_RULE,
		.required = true,
		.arg = "TIME[-TIME]",
		.help = "fixed, or random in a range; the order of frames stays",
	},
	DIRECTION_KEY,
	{0},
};

static const struct schema_key loss_keys[] = {
	{
		.name = "rate",
		.type = &schema_text,
		SCHEMA_FIELD(struct nic_filter_options, value),
		.max = TEXT_MAX,
		.valid = nic_loss_valid,
		.must_be = NIC_LOSS_RULE,
		.required = true,
		.arg = "N%",
		.help = "share of all frames",
	},
	DIRECTION_KEY,
	{0},
};

static const struct schema_key limit_keys[] = {
	{
		.name = "rate",
		.type = &schema_text,
		SCHEMA_FIELD(struct nic_filter_options, value),
		.max = TEXT_MAX,
		.valid = nic_limit_valid,
		.must_be = NIC_LIMIT_RULE,
		.required = true,
		.arg = "BITS[K|M|G]",
		.help = "bits per second, all queues together",
	},
	DIRECTION_KEY,
	{0},
};

#define FILTER(filter, text)                                                                       \
	static const struct schema filter##_schema = {                                             \
		.name = #filter,                                                                   \
		.help = text,                                                                      \
		.keys = filter##_keys,                                                             \
		.size = sizeof(struct nic_filter_options),                                         \
	}
FILTER(pcap, "records all frames, with offload metadata, in a pcapng file");
FILTER(delay, "holds frames for a time");
FILTER(loss, "loses frames at random");
FILTER(limit, "limits bits per second");

static const struct schema *const filters[] = {
	&pcap_schema, &delay_schema, &loss_schema, &limit_schema, NULL};

static const char *const auto_word[] = {"auto", NULL};

static const struct schema_key nic_keys[] = {
	{
		.name = "mac",
		.type = &schema_text,
		SCHEMA_FIELD(struct nic_config, mac),
		.max = TEXT_MAX,
		.valid = is_mac,
		.must_be = "a unicast MAC address, like 52:54:00:12:34:56",
		.arg = "MAC",
		.help = "MAC address; else one that depends on the VM's name and the NIC's number",
	},
	{
		.name = "number",
		.type = &schema_number_or_word,
		SCHEMA_FIELD(struct nic_config, number),
		.max = VM_NICS_MAX - 1,
		.choices = auto_word,
		.preset = "auto",
		.arg = "N|auto",
		.help = "number of the NIC, by which the guest finds it again: nicN; auto: the lowest free one",
	},
	{
		.name = "queues",
		.type = &schema_number,
		SCHEMA_FIELD(struct nic_config, queues),
		.min = 1,
		.max = NIC_QUEUES_MAX,
		.arg = "N",
		.help = "at most so many channels; else one for each VP",
	},
	{
		.name = "mtu",
		.type = &schema_number,
		SCHEMA_FIELD(struct nic_config, mtu),
		.min = NIC_MTU_MIN,
		.max = NIC_CONFIG_MTU_MAX,
		.arg = "BYTES",
		.help = "largest MTU that the guest may choose",
	},
	{
		.name = "vlan",
		.type = &schema_number,
		SCHEMA_FIELD(struct nic_config, vlan),
		.min = 1,
		.max = 4094,
		.arg = "N",
		.help = "the guest is in this VLAN, and does not see its tag; frames that it "
			"tags itself are dropped; not with user",
	},
	{
		.name = "mac_lock",
		.type = &schema_flag,
		SCHEMA_FIELD(struct nic_config, mac_lock),
		.help = "the guest sends from its MAC address only, and cannot change it",
	},
	{
		.name = "monitor",
		.type = &schema_flag,
		SCHEMA_FIELD(struct nic_config, monitor),
		.help = "all NICs of the VM have monitor IDs, which DPDK needs: the guest does not "
			"signal them, and they are polled every 100 us",
	},
	{0},
};

/* ---- stacks -------------------------------------------------------------- */

/* *text: "key=value" with the next part of *values, which '+' separates; to be freed. */
static int next_setting(const char *key, const char **values, char **text, struct err *e)
{
	int len = (int)strcspn(*values, "+");

	if (asprintf(text, "%s=%.*s", key, len, *values) < 0)
		return err_set(e, -ENOMEM, "out of memory");
	*values += len + (*values)[len] / '+';
	return 0;
}

static int add_text(struct nic_config_stack *s, const char *key, char *text, struct err *e)
{
	int ret;

	s->wrong = key;
	if (s->text_count == NIC_CONFIG_TEXTS_MAX) {
		free(text);
		return err_set(e, -EINVAL, "too many values");
	}
	s->texts[s->text_count++] = text;
	ret = nic_stack_option(&s->stack, text, e);
	return ret > 0 ? err_set(e, -EINVAL, "net %s: it has no setting %s", s->stack.type->name,
				 key)
		       : ret;
}

/* One value, which may have a '+'. */
static int add_setting(
	struct nic_config_stack *s, const char *key, const char *value, struct err *e)
{
	char *text;

	if (asprintf(&text, "%s=%s", key, value) < 0)
		return err_set(e, -ENOMEM, "out of memory");
	return add_text(s, key, text, e);
}

static int add_settings(
	struct nic_config_stack *s, const char *key, const char *values, struct err *e)
{
	int ret = 0;

	while (!ret && values && *values) {
		char *text = NULL;

		ret = next_setting(key, &values, &text, e);
		if (!ret)
			ret = add_text(s, key, text, e);
	}
	return ret;
}

static int add_filter(struct nic_config_stack *s, const struct schema_value *filter, struct err *e)
{
	const struct nic_filter_options *o = filter->object;
	bool one_way = o->direction != NIC_CONFIG_BOTH;
	char *text;

	if (asprintf(&text, "%s=%s%s%s", filter->schema->name, o->value, one_way ? ":" : "",
		    one_way ? directions[o->direction] : "") < 0)
		return err_set(e, -ENOMEM, "out of memory");
	return add_text(s, filter->schema->name, text, e);
}

int nic_config_stack(struct nic_config_stack *s, const struct nic_config *c, struct err *e)
{
	const struct nic_backend_options *o = c->device.source.object;
	int ret;

	s->text_count = 0;
	s->wrong = "backend";
	ret = nic_stack_backend(&s->stack, o->backend, e);
	if (!ret)
		ret = add_settings(s, "forward", o->forward, e);
	if (!ret && o->program)
		ret = add_setting(s, "program", o->program, e);
	for (uint32_t i = 0; !ret && i < c->device.filter_count; i++)
		ret = add_filter(s, &c->device.filters[i], e);
	if (ret)
		nic_config_stack_free(s);
	return ret;
}

void nic_config_stack_free(struct nic_config_stack *s)
{
	for (uint32_t i = 0; i < s->text_count; i++)
		free(s->texts[i]);
	s->text_count = 0;
}

const char *nic_config_check_host(const struct nic_config *c, struct err *e)
{
	struct nic_config_stack s;
	const char *wrong;

	if (nic_config_stack(&s, c, e))
		return s.wrong;
	wrong = nic_stack_check_host(&s.stack, e);
	nic_config_stack_free(&s);
	return wrong;
}

const char *nic_config_check_two(
	const struct nic_config *c, const struct nic_config *other, struct err *e)
{
	const struct nic_backend_options *o = c->device.source.object;
	const struct nic_backend_options *p = other->device.source.object;
	struct nic_stack s, t;

	if (nic_stack_backend(&s, o->backend, e) || nic_stack_backend(&t, p->backend, e))
		return "backend";
	return nic_stack_check_two(&s, &t, e);
}

/* ---- the class ----------------------------------------------------------- */

static const char *check_vlan(
	const struct nic_config *c, const struct nic_type *type, struct err *e)
{
	if (!c->vlan || !type->untagged)
		return NULL;
	err_set(e, -EINVAL, "net %s: it carries no tags, so no frame would pass; leave vlan out",
		type->name);
	return "vlan";
}

static const char *nic_check(void *device, struct err *e)
{
	struct nic_config_stack s;
	const char *wrong;

	if (nic_config_stack(&s, device, e))
		return s.wrong;
	wrong = nic_stack_check(&s.stack, e);
	if (!wrong)
		wrong = check_vlan(device, s.stack.type, e);
	nic_config_stack_free(&s);
	return wrong;
}

/* The path of a pair is a file name, too. */
static int nic_make_absolute(void *device, const char *directory)
{
	static const char pair[] = "pair:";
	struct nic_backend_options *o = ((struct nic_config *)device)->device.source.object;
	const char *path = o->backend + sizeof(pair) - 1;
	char *absolute;

	if (strncmp(o->backend, pair, sizeof(pair) - 1) || *path == '/')
		return 0;
	if (asprintf(&absolute, "%s%s/%s", pair, directory, path) < 0)
		return -ENOMEM;
	free(o->backend);
	o->backend = absolute;
	return 0;
}

void nic_config_free(struct nic_config *n)
{
	device_free(&nic_class, n);
}

int nic_config_copy(struct nic_config *to, const struct nic_config *from)
{
	return device_copy(&nic_class, to, from);
}

const struct device_class nic_class = {
	.noun = "NIC",
	.size = sizeof(struct nic_config),
	.keys = nic_keys,
	.sources = sources,
	.filters = filters,
	.check = nic_check,
	.make_absolute = nic_make_absolute,
};
