/* SPDX-License-Identifier: MIT */
/*
 * Configurations. The first byte chooses the form: 0 JSON, 1 a command line whose words end with
 * NUL, 2 one disk SPEC; the rest is the text. What is refused has one line that says why. What is
 * taken, printed as JSON and read again, is the same.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "tests/support/check.h"

#define WORDS_MAX 24

static struct err e;

static void check_refused(void)
{
	size_t len = strnlen(e.text, sizeof(e.text));

	check(len > 0 && len < sizeof(e.text));
	for (size_t i = 0; i < len; i++)
		check((unsigned char)e.text[i] >= 0x20 && e.text[i] != 0x7F);
}

/* NULL: names that are not UTF-8; of JSON there are none. */
static char *print(const struct vm_config *c)
{
	json_t *json = vm_config_json(c, &e);
	char *text;

	if (!json) {
		check_refused();
		return NULL;
	}
	text = json_dumps(json, JSON_COMPACT);
	json_decref(json);
	check(text);
	return text;
}

static void check_round_trip(const struct vm_config *c, bool from_json)
{
	char *text = print(c), *again;
	struct vm_config second;

	check(text || !from_json);
	if (!text)
		return;
	check(!vm_config_init(&second, &e));
	if (strlen(text) <= 1u << 20) { /* escapes may make it longer than a file can be */
		check(!vm_config_read(&second, "again", text, strlen(text), &e));
		check(!vm_config_complete(&second, &e));
		again = print(&second);
		check(again && !strcmp(text, again));
		free(again);
	}
	vm_config_free(&second);
	free(text);
}

static void check_result(struct vm_config *c, int ret, bool from_json)
{
	if (!ret)
		ret = vm_config_complete(c, &e);
	if (ret < 0)
		check_refused();
	else if (!ret)
		check_round_trip(c, from_json);
}

static void fuzz_json(const char *text, size_t len)
{
	struct vm_config c;

	check(!vm_config_init(&c, &e));
	check_result(&c, vm_config_read(&c, "fuzz.json", text, len, &e), true);
	vm_config_free(&c);
}

/* Files are not for a fuzzer to read. */
static bool reads_a_file(const char *word)
{
	return !strncmp(word, "--con", 5) && strncmp(word, "--console", 9);
}

/* text ends with NUL, behind its end. */
static void fuzz_args(char *text, size_t len)
{
	char *argv[WORDS_MAX + 1] = {"run"};
	struct vm_config c;
	int argc = 1;

	for (char *word = text; word < text + len && argc < WORDS_MAX; word += strlen(word) + 1)
		if (!reads_a_file(word))
			argv[argc++] = word;
	argv[argc] = NULL;
	check(!vm_config_init(&c, &e));
	check_result(&c, vm_config_args(&c, argc, argv, &e), false);
	vm_config_free(&c);
}

static void fuzz_spec(const char *text)
{
	struct disk_config disk, copy;
	char *one, *two;

	if (disk_config_parse(&disk, text, "/dir", &e)) {
		check_refused();
		return;
	}
	check(!disk_config_copy(&copy, &disk));
	one = disk_config_source(&disk);
	two = disk_config_source(&copy);
	check(one && two && !strcmp(one, two));
	check(copy.device.filter_count == disk.device.filter_count);
	free(one);
	free(two);
	disk_config_free(&copy);
	disk_config_free(&disk);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text;

	if (!size)
		return 0;
	text = malloc(size);
	check(text);
	memcpy(text, data + 1, size - 1);
	text[size - 1] = '\0';
	e.text[0] = '\0';
	if (data[0] % 3 == 0)
		fuzz_json(text, size - 1);
	else if (data[0] % 3 == 1)
		fuzz_args(text, size - 1);
	else
		fuzz_spec(text);
	free(text);
	return 0;
}
