/* SPDX-License-Identifier: MIT */
#include "display/keys.h"

#include <errno.h>
#include <linux/input-event-codes.h>
#include <string.h>
#include <strings.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* ---- characters ---------------------------------------------------------- */

/* A US keyboard, row by row: without and with Shift. Codes of a row follow each other. */
static const struct {
	uint32_t first;
	const char *plain, *shifted;
} rows[] = {
	{KEY_1, "1234567890-=", "!@#$%^&*()_+"},
	{KEY_Q, "qwertyuiop[]", "QWERTYUIOP{}"},
	{KEY_A, "asdfghjkl;'`", "ASDFGHJKL:\"~"},
	{KEY_BACKSLASH, "\\zxcvbnm,./", "|ZXCVBNM<>?"},
	{KEY_SPACE, " ", " "},
	{KEY_ENTER, "\n", "\n"},
	{KEY_TAB, "\t", "\t"},
	{KEY_ESC, "\x1b", "\x1b"},
};

bool key_by_character(char c, uint32_t *key, bool *shift)
{
	for (size_t i = 0; c && i < COUNT(rows); i++) {
		const char *plain = strchr(rows[i].plain, c);
		const char *shifted = strchr(rows[i].shifted, c);

		if (!plain && !shifted)
			continue;
		*shift = !plain;
		*key = rows[i].first +
		       (uint32_t)(plain ? plain - rows[i].plain : shifted - rows[i].shifted);
		return true;
	}
	return false;
}

/* ---- names and keysyms --------------------------------------------------- */

/* keysym 0: it has a name only. Several rows of a key are alternatives. */
static const struct {
	const char *name;
	uint32_t keysym, key;
} named[] = {
	{"backspace", 0xFF08, KEY_BACKSPACE},
	{"tab", 0xFF09, KEY_TAB},
	{"tab", 0xFE20, KEY_TAB}, /* with Shift */
	{"enter", 0xFF0D, KEY_ENTER},
	{"return", 0xFF0D, KEY_ENTER},
	{"pause", 0xFF13, KEY_PAUSE},
	{"scrolllock", 0xFF14, KEY_SCROLLLOCK},
	{"sysrq", 0xFF15, KEY_SYSRQ},
	{"print", 0xFF61, KEY_SYSRQ},
	{"esc", 0xFF1B, KEY_ESC},
	{"escape", 0xFF1B, KEY_ESC},
	{"home", 0xFF50, KEY_HOME},
	{"left", 0xFF51, KEY_LEFT},
	{"up", 0xFF52, KEY_UP},
	{"right", 0xFF53, KEY_RIGHT},
	{"down", 0xFF54, KEY_DOWN},
	{"pageup", 0xFF55, KEY_PAGEUP},
	{"pagedown", 0xFF56, KEY_PAGEDOWN},
	{"end", 0xFF57, KEY_END},
	{"insert", 0xFF63, KEY_INSERT},
	{"menu", 0xFF67, KEY_COMPOSE},
	{"numlock", 0xFF7F, KEY_NUMLOCK},
	{"kpenter", 0xFF8D, KEY_KPENTER},
	{"kpasterisk", 0xFFAA, KEY_KPASTERISK},
	{"kpplus", 0xFFAB, KEY_KPPLUS},
	{"kpminus", 0xFFAD, KEY_KPMINUS},
	{"kpdot", 0xFFAE, KEY_KPDOT},
	{"kpslash", 0xFFAF, KEY_KPSLASH},
	{"kp0", 0xFFB0, KEY_KP0},
	{"kp1", 0xFFB1, KEY_KP1},
	{"kp2", 0xFFB2, KEY_KP2},
	{"kp3", 0xFFB3, KEY_KP3},
	{"kp4", 0xFFB4, KEY_KP4},
	{"kp5", 0xFFB5, KEY_KP5},
	{"kp6", 0xFFB6, KEY_KP6},
	{"kp7", 0xFFB7, KEY_KP7},
	{"kp8", 0xFFB8, KEY_KP8},
	{"kp9", 0xFFB9, KEY_KP9},
	{"f1", 0xFFBE, KEY_F1},
	{"f2", 0xFFBF, KEY_F2},
	{"f3", 0xFFC0, KEY_F3},
	{"f4", 0xFFC1, KEY_F4},
	{"f5", 0xFFC2, KEY_F5},
	{"f6", 0xFFC3, KEY_F6},
	{"f7", 0xFFC4, KEY_F7},
	{"f8", 0xFFC5, KEY_F8},
	{"f9", 0xFFC6, KEY_F9},
	{"f10", 0xFFC7, KEY_F10},
	{"f11", 0xFFC8, KEY_F11},
	{"f12", 0xFFC9, KEY_F12},
	{"shift", 0xFFE1, KEY_LEFTSHIFT},
	{"rightshift", 0xFFE2, KEY_RIGHTSHIFT},
	{"ctrl", 0xFFE3, KEY_LEFTCTRL},
	{"rightctrl", 0xFFE4, KEY_RIGHTCTRL},
	{"capslock", 0xFFE5, KEY_CAPSLOCK},
	{"meta", 0xFFE7, KEY_LEFTMETA},
	{"alt", 0xFFE9, KEY_LEFTALT},
	{"altgr", 0xFFEA, KEY_RIGHTALT},
	{"altgr", 0xFE03, KEY_RIGHTALT},
	{"super", 0xFFEB, KEY_LEFTMETA},
	{"rightsuper", 0xFFEC, KEY_RIGHTMETA},
	{"del", 0xFFFF, KEY_DELETE},
	{"delete", 0xFFFF, KEY_DELETE},
	{"space", 0, KEY_SPACE},
	{"minus", 0, KEY_MINUS},
	{"102nd", 0, KEY_102ND},
};

uint32_t key_by_keysym(uint32_t keysym)
{
	uint32_t key;
	bool shift;

	if (keysym >= 0x20 && keysym < 0x7F)
		return key_by_character((char)keysym, &key, &shift) ? key : 0;
	for (size_t i = 0; keysym && i < COUNT(named); i++)
		if (named[i].keysym == keysym)
			return named[i].key;
	return 0;
}

static uint32_t key_by_name(const char *name, size_t length)
{
	uint32_t key;
	bool shift;

	if (length == 1 && key_by_character(*name, &key, &shift) && !shift)
		return key;
	for (size_t i = 0; i < COUNT(named); i++)
		if (strlen(named[i].name) == length && !strncasecmp(named[i].name, name, length))
			return named[i].key;
	return 0;
}

int keys_parse(const char *text, uint32_t keys[KEYS_AT_ONCE_MAX], struct err *e)
{
	uint32_t count = 0;

	for (;; text++) {
		size_t length = strcspn(text, "-");

		if (count == KEYS_AT_ONCE_MAX)
			return err_set(e, -EINVAL, "key: more than %u at once", KEYS_AT_ONCE_MAX);
		keys[count] = key_by_name(text, length);
		if (!keys[count++])
			return err_set(e, -EINVAL,
				"key: '%.*s' is no key; one is a character of a US keyboard without Shift, or a name such as ctrl, alt, del, f1, enter, minus",
				(int)(length < 40 ? length : 40), text);
		text += length;
		if (!*text)
			return (int)count;
	}
}

/* ---- scan codes ---------------------------------------------------------- */

#define E0 0x80u

/* Up to KEY_F12 but for a few gaps, Linux's codes are those of set 1. */
static const struct {
	uint32_t key, scan;
} others[] = {
	{KEY_KPENTER, E0 | 0x1C},
	{KEY_RIGHTCTRL, E0 | 0x1D},
	{KEY_KPSLASH, E0 | 0x35},
	{KEY_SYSRQ, E0 | 0x37},
	{KEY_RIGHTALT, E0 | 0x38},
	{KEY_HOME, E0 | 0x47},
	{KEY_UP, E0 | 0x48},
	{KEY_PAGEUP, E0 | 0x49},
	{KEY_LEFT, E0 | 0x4B},
	{KEY_RIGHT, E0 | 0x4D},
	{KEY_END, E0 | 0x4F},
	{KEY_DOWN, E0 | 0x50},
	{KEY_PAGEDOWN, E0 | 0x51},
	{KEY_INSERT, E0 | 0x52},
	{KEY_DELETE, E0 | 0x53},
	{KEY_LEFTMETA, E0 | 0x5B},
	{KEY_RIGHTMETA, E0 | 0x5C},
	{KEY_COMPOSE, E0 | 0x5D},
	{KEY_PAUSE, KEY_SCAN_PAUSE},
};

uint32_t key_scan_code(uint32_t key)
{
	if (key >= KEY_ESC && key <= KEY_F12 && key != 84 && key != KEY_ZENKAKUHANKAKU)
		return key;
	for (size_t i = 0; i < COUNT(others); i++)
		if (others[i].key == key)
			return others[i].scan;
	return 0;
}
