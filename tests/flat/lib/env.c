/* SPDX-License-Identifier: MIT */
/* The multiboot information: command line, and module 0 with the environment. */
#include "flat.h"

#define INFO_CMDLINE 0x4u
#define INFO_MODULES 0x8u

struct multiboot_info {
	uint32_t flags, mem_lower, mem_upper, boot_device, cmdline, mods_count, mods_addr;
};

struct multiboot_module {
	uint32_t start, end, string, reserved;
};

extern uint32_t multiboot_info; /* boot.S */

static const void *at(uint32_t address)
{
	return (const void *)(uintptr_t)address;
}

static size_t length(const char *s)
{
	size_t n = 0;

	while (s[n])
		n++;
	return n;
}

/* True when text[0..size) begins with `prefix`. */
static bool begins(const char *text, size_t size, const char *prefix)
{
	size_t n = length(prefix);

	if (n > size)
		return false;
	for (size_t i = 0; i < n; i++)
		if (text[i] != prefix[i])
			return false;
	return true;
}

static unsigned number(const char *text, const char *end)
{
	unsigned value = 0;

	for (; text < end && *text >= '0' && *text <= '9'; text++)
		value = value * 10 + (unsigned)(*text - '0');
	return value;
}

unsigned env_number(const char *name, unsigned fallback)
{
	const struct multiboot_info *info = at(multiboot_info);
	const struct multiboot_module *module;
	const char *text, *end;

	if (!(info->flags & INFO_MODULES) || !info->mods_count)
		return fallback;
	module = at(info->mods_addr);
	end = at(module->end);
	for (text = at(module->start); text < end; text++) {
		size_t n = length(name);

		if (begins(text, (size_t)(end - text), name) && text + n < end && text[n] == '=')
			return number(text + n + 1, end);
		while (text < end && *text != '\n')
			text++;
	}
	return fallback;
}

bool cmdline_has(const char *word)
{
	const struct multiboot_info *info = at(multiboot_info);
	const char *text;
	size_t n = length(word);

	if (!(info->flags & INFO_CMDLINE))
		return false;
	for (text = at(info->cmdline); *text; text++) {
		if (begins(text, length(text), word) && (text[n] == ' ' || !text[n]))
			return true;
		while (text[1] && *text != ' ')
			text++;
	}
	return false;
}
