/* SPDX-License-Identifier: MIT */
/*
 * Any command line, printed as JSON and read back, is the same value; and what is written with
 * quotes arrives as it was. Command lines are made at random, the same ones in every run.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/config.h"

#define ROUNDS    3000
#define WORDS_MAX 64
#define TEXT_MAX  512

static struct err e;
static uint64_t seed;

/* ---- chance -------------------------------------------------------------- */

static unsigned below(unsigned limit)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (unsigned)(seed >> 33) % limit;
}

static bool coin(void)
{
	return below(2);
}

static const char *one_of(const char *const *texts)
{
	unsigned count = 0;

	while (texts[count])
		count++;
	return texts[below(count)];
}

/* ---- command lines ------------------------------------------------------- */

struct line {
	char *word[WORDS_MAX];
	int count;
	char names[WORDS_MAX][TEXT_MAX]; /* of the files of its disks, in order */
	unsigned disks;
	unsigned descriptors; /* of NICs; the next one */
};

static void put(struct line *l, const char *word)
{
	assert_true(l->count < WORDS_MAX - 1);
	l->word[l->count++] = strdup(word);
	l->word[l->count] = NULL;
}

static void put_option(struct line *l, const char *option, const char *value)
{
	put(l, option);
	if (value)
		put(l, value);
}

/* Anything that may be in a file's name, from all that means something somewhere. */
static void make_name(char name[TEXT_MAX])
{
	static const char *const pieces[] = {"a", "/", ",", ":", "=", "\"", "\\", " ", "'", "ro",
		"memory:", "nbd://", "null:1M", "file:", "\n", "\t", "\xc3\xa4", "\xf0\x9f\x92\xbe",
		"%41", "{", "}", "[", "]", "#", "-", "--", "0", NULL};
	unsigned count = 1 + below(12);

	name[0] = '\0';
	while (count--) {
		const char *piece = one_of(pieces);

		strncat(name, piece, TEXT_MAX - strlen(name) - 1);
	}
}

/* Either way of quoting. */
static void quote(char *to, const char *name)
{
	bool quotes = coin();

	if (quotes)
		*to++ = '"';
	for (const char *c = name; *c; c++) {
		if (quotes ? *c == '"' || *c == '\\' : *c < 'a' || *c > 'z')
			*to++ = '\\';
		*to++ = *c;
	}
	if (quotes)
		*to++ = '"';
	*to = '\0';
}

static void append(char *spec, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void append(char *spec, const char *fmt, ...)
{
	size_t len = strlen(spec);
	va_list args;

	va_start(args, fmt);
	vsnprintf(spec + len, 4 * TEXT_MAX - len, fmt, args);
	va_end(args);
}

static void append_filter(char *spec)
{
	static const char *const filters[] = {"delay=5ms", "delay=1-20ms:write", "delay=7ns:read",
		"delay=1500us-2s:all", "delay=3600s:flush", "error=1%", "error=0.0001%:read",
		"error=100%:ENOSPC", "error=1/7:flush:EIO", "error=12.25%", "iops=1",
		"iops=10:1000000", "bps=64K", "bps=1025K:1", "bps=1024G:1G", "volatile",
		"volatile=0", "volatile=9223372036854775807", NULL};
	char name[TEXT_MAX], quoted[2 * TEXT_MAX + 3];

	if (below(5)) {
		append(spec, ",%s", one_of(filters));
		return;
	}
	make_name(name);
	quote(quoted, name);
	append(spec, ",log=%s", quoted);
}

static void append_source(struct line *l, char *spec, bool *stored)
{
	static const char *const sizes[] = {
		"memory:512", "memory:1M", "null:1073741824G", "memory:1536", "null:3G", NULL};
	char quoted[2 * TEXT_MAX + 3];

	*stored = coin();
	l->names[l->disks][0] = '\0';
	if (!*stored) {
		append(spec, "%s", one_of(sizes));
	} else if (!below(4)) {
		append(spec, "%s", coin() ? "nbd://h:1/x" : "nbd:nbd+unix:///a?socket=/s");
	} else {
		make_name(l->names[l->disks]);
		quote(quoted, l->names[l->disks]);
		append(spec, "%s", quoted);
	}
	l->disks++;
}

static void put_disk(struct line *l)
{
	char spec[4 * TEXT_MAX] = "";
	unsigned number = l->disks, filters = below(3);
	bool stored;

	append_source(l, spec, &stored);
	if (stored && coin())
		append(spec, "%s", coin() ? ",ro" : ",cdrom");
	if (l->names[number][0] && coin())
		append(spec, ",direct");
	if (coin())
		append(spec, ",lun=%u", 40 + number);
	if (coin())
		append(spec, ",controller=%u", below(4));
	if (coin())
		append(spec, ",serial=S\\,%u", number);
	while (filters--)
		append_filter(spec);
	put_option(l, "--disk", spec);
}

static void append_nic_filter(char *spec)
{
	static const char *const filters[] = {"delay=5ms", "delay=1ms-20ms:tx", "delay=0s:both",
		"loss=1%", "loss=0.0001%:rx", "loss=100%:tx", "limit=8K", "limit=1000G:rx",
		"limit=10M:both", NULL};
	char name[TEXT_MAX], quoted[2 * TEXT_MAX + 3];

	if (below(4)) {
		append(spec, ",%s", one_of(filters));
		return;
	}
	make_name(name);
	quote(quoted, name);
	append(spec, ",pcap=%s", quoted);
}

/* Each is given once. */
static void append_descriptors(struct line *l, char *spec)
{
	append(spec, "%u", l->descriptors++);
	for (unsigned more = below(3); more; more--)
		append(spec, ":%u", l->descriptors++);
}

static void put_nic(struct line *l)
{
	static const char *const backends[] = {"tap:net0", "fd:", "user", "null", "loop", "none",
		"pair:/run/a\\,b", "\"pair:a b\"", NULL};
	char spec[4 * TEXT_MAX] = "";
	unsigned filters = below(3);

	append(spec, "%s", one_of(backends));
	if (!strcmp(spec, "fd:"))
		append_descriptors(l, spec);
	if (!strcmp(spec, "user") && coin())
		append(spec, ",forward=tcp:8080-:80+udp:127.0.0.1:53-:53");
	if (!strcmp(spec, "user") && coin())
		append(spec, ",program=/usr/bin/passt");
	if (coin())
		append(spec, ",mac=02:00:00:0%u:00:fF", below(10));
	if (coin())
		append(spec, ",queues=%u", 1 + below(64));
	if (coin())
		append(spec, ",mtu=%u", 68 + below(9149));
	if (strncmp(spec, "user", 4) && coin()) /* passt takes no tags */
		append(spec, ",vlan=%u", 1 + below(4094));
	if (coin())
		append(spec, ",mac-lock");
	if (coin())
		append(spec, ",monitor");
	while (filters--)
		append_nic_filter(spec);
	put_option(l, "--net", spec);
}

static void make_line(struct line *l)
{
	static const char *const cpus[] = {"1", "64", "7", NULL};
	static const char *const memory[] = {"1M", "512G", "1048576", "3072K",
		"2M,max=512G,min=1M,buffer=7%", "1G,max=2G", "1G,min=512M", NULL};
	static const char *const threads[] = {"auto", "1", "64", NULL};
	static const char *const poll[] = {"auto", "off", "1", "10000", NULL};
	char name[TEXT_MAX];
	unsigned disks = below(6), nics = below(4);
	const char *size = one_of(memory);

	memset(l, 0, sizeof(*l));
	put(l, "run");
	make_name(name);
	put_option(l, "--kernel", name);
	make_name(name);
	if (coin())
		put_option(l, "--append", name);
	if (coin())
		put_option(l, "--cpus", one_of(cpus));
	put_option(l, "--memory", size);
	if (coin())
		put_option(l, "--memory-kind", "shared");
	if (coin())
		put_option(l, "--io-threads", one_of(threads));
	if (coin())
		put_option(l, "--poll", one_of(poll));
	if (coin())
		put_option(l, "--name", "vm-1");
	if (coin())
		put_option(l, "--no-reboot", NULL);
	if (coin())
		put_option(l, "--on-crash", "continue");
	if (coin() && !strchr(size, ',')) /* dynamic memory cannot be pinned */
		put_option(l, "--pin-memory", NULL);
	while (disks--)
		put_disk(l);
	while (nics--)
		put_nic(l);
}

static void free_line(struct line *l)
{
	while (l->count)
		free(l->word[--l->count]);
}

/* ---- the property -------------------------------------------------------- */

static char *print(const struct vm_config *c)
{
	json_t *json = vm_config_json(c, &e);
	char *text;

	if (!json)
		fail_msg("%s", e.text);
	text = json_dumps(json, JSON_INDENT(1));
	json_decref(json);
	assert_non_null(text);
	return text;
}

/* Everything that is no list, field by field; of the lists, what JSON shows. */
static void check_same(const struct vm_config *a, const struct vm_config *b)
{
	assert_string_equal(a->kernel, b->kernel);
	assert_string_equal(a->append, b->append);
	assert_int_equal(a->cpus, b->cpus);
	assert_int_equal(a->memory.size, b->memory.size);
	assert_int_equal(a->memory.max, b->memory.max);
	assert_int_equal(a->memory.min, b->memory.min);
	assert_int_equal(a->memory.buffer, b->memory.buffer);
	assert_int_equal(a->memory.dynamic, b->memory.dynamic);
	assert_int_equal(a->memory_kind, b->memory_kind);
	assert_int_equal(a->io_threads, b->io_threads);
	assert_int_equal(a->poll_us, b->poll_us);
	assert_int_equal(a->reboot, b->reboot);
	assert_int_equal(a->on_crash, b->on_crash);
	assert_int_equal(a->ic, b->ic);
	assert_int_equal(a->pin_memory, b->pin_memory);
	assert_int_equal(a->disk_count, b->disk_count);
	for (uint32_t i = 0; i < a->disk_count; i++) {
		assert_int_equal(a->disks[i].lun, b->disks[i].lun);
		assert_int_equal(a->disks[i].controller, b->disks[i].controller);
		assert_int_equal(a->disks[i].read_only, b->disks[i].read_only);
		assert_int_equal(a->disks[i].cdrom, b->disks[i].cdrom);
		assert_int_equal(a->disks[i].device.filter_count, b->disks[i].device.filter_count);
	}
}

static void check_same_text(const char *a, const char *b)
{
	assert_string_equal(a ? a : "(none)", b ? b : "(none)");
}

static void check_same_nic(const struct nic_config *a, const struct nic_config *b)
{
	const struct nic_backend_options *x = a->device.source.object, *y = b->device.source.object;

	check_same_text(x->backend, y->backend);
	check_same_text(x->forward, y->forward);
	check_same_text(x->program, y->program);
	check_same_text(a->mac, b->mac);
	assert_int_equal(a->number, b->number);
	assert_int_equal(a->queues, b->queues);
	assert_int_equal(a->mtu, b->mtu);
	assert_int_equal(a->vlan, b->vlan);
	assert_int_equal(a->mac_lock, b->mac_lock);
	assert_int_equal(a->monitor, b->monitor);
	assert_int_equal(a->device.filter_count, b->device.filter_count);
	for (uint32_t i = 0; i < a->device.filter_count; i++) {
		const struct nic_filter_options *f = a->device.filters[i].object;
		const struct nic_filter_options *g = b->device.filters[i].object;

		assert_ptr_equal(a->device.filters[i].schema, b->device.filters[i].schema);
		check_same_text(f->value, g->value);
		assert_int_equal(f->direction, g->direction);
	}
}

/* A copy is the same, too. */
static void check_same_nics(const struct vm_config *a, const struct vm_config *b)
{
	assert_int_equal(a->nic_count, b->nic_count);
	for (uint32_t i = 0; i < a->nic_count; i++) {
		struct nic_config copy;

		check_same_nic(&a->nics[i], &b->nics[i]);
		assert_int_equal(nic_config_copy(&copy, &a->nics[i]), 0);
		check_same_nic(&copy, &b->nics[i]);
		nic_config_free(&copy);
	}
}

static void check_names(const struct line *l, const struct vm_config *c)
{
	assert_int_equal(c->disk_count, l->disks);
	for (unsigned i = 0; i < l->disks; i++) {
		char *source = disk_config_source(&c->disks[i]);

		if (l->names[i][0])
			assert_string_equal(source, l->names[i]);
		free(source);
	}
}

static void round_trip(struct line *l)
{
	struct vm_config first, second;
	char *text, *again;

	assert_int_equal(vm_config_init(&first, &e), 0);
	if (vm_config_args(&first, l->count, l->word, &e) || vm_config_complete(&first, &e))
		fail_msg("%s", e.text);
	check_names(l, &first);
	text = print(&first);
	assert_int_equal(vm_config_init(&second, &e), 0);
	if (vm_config_read(&second, "again", text, strlen(text), &e) ||
		vm_config_complete(&second, &e))
		fail_msg("%s\n%s", e.text, text);
	check_same(&first, &second);
	check_same_nics(&first, &second);
	again = print(&second);
	assert_string_equal(text, again);
	free(text);
	free(again);
	vm_config_free(&first);
	vm_config_free(&second);
}

static void any_command_line(void **state)
{
	static struct line l;

	for (seed = 1; seed <= ROUNDS; seed++) {
		uint64_t number = seed;

		make_line(&l);
		round_trip(&l);
		free_line(&l);
		seed = number;
	}
}

/* ---- quoting ------------------------------------------------------------- */

static void is_file(const char *spec, const char *name)
{
	struct disk_config d;
	char *source;

	if (disk_config_parse(&d, spec, NULL, &e))
		fail_msg("%s: %s", spec, e.text);
	assert_string_equal(d.device.source.schema->name, "file");
	source = disk_config_source(&d);
	assert_string_equal(source, name);
	free(source);
	disk_config_free(&d);
}

static void quoting(void **state)
{
	is_file("a", "a");
	is_file("a b", "a b");
	is_file("a=b:c", "a=b:c");
	is_file("\"a,b\"", "a,b");
	is_file("\"a,b\",ro", "a,b");
	is_file("a\\,b,ro", "a,b");
	is_file("a\",\"b,ro", "a,b");
	is_file("\"a\\b\"", "a\\b");
	is_file("\"a\\\\b\"", "a\\b");
	is_file("\"a\\\"b\"", "a\"b");
	is_file("a\\\\b", "a\\b");
	is_file("a\\\"b", "a\"b");
	is_file("\"memory:1M\"", "memory:1M");
	is_file("memory\\:1M", "memory:1M");
	is_file("file:memory:1M", "memory:1M");
	is_file("./memory:1M", "./memory:1M");
	is_file("nbd", "nbd");
	is_file("\"nbd://h\"", "nbd://h");
}

/* What a text means is said where it can mean two things. */
static void a_name_that_looks_like_keys(void **state)
{
	char dir[] = "/tmp/enlite-trip-XXXXXX", path[64], quoted[72];
	struct disk_config d;

	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/a,ro", dir);
	fclose(fopen(path, "w"));
	assert_int_equal(disk_config_parse(&d, path, NULL, &e), 0);
	assert_non_null(d.device.note);
	assert_non_null(strstr(d.device.note, "/a' with keys 'ro'; there is a file named"));
	assert_true(d.read_only);
	disk_config_free(&d);
	assert_int_equal(disk_config_parse(&d, "a,ro", dir, &e), 0);
	assert_non_null(d.device.note);
	disk_config_free(&d);
	snprintf(quoted, sizeof(quoted), "\"%s\"", path);
	assert_int_equal(disk_config_parse(&d, quoted, NULL, &e), 0);
	assert_null(d.device.note);
	assert_false(d.read_only);
	disk_config_free(&d);
	snprintf(path, sizeof(path), "%s/a,rw", dir);
	fclose(fopen(path, "w"));
	assert_true(disk_config_parse(&d, path, NULL, &e) < 0);
	assert_non_null(strstr(e.text, "there is a file of this name: to use it, put its name in"));
	unlink(path);
	snprintf(path, sizeof(path), "%s/a,ro", dir);
	unlink(path);
	rmdir(dir);
}

/* The same disk as an object, as it comes over the control socket. */
static void objects(void **state)
{
	struct disk_config text, object;
	json_t *json = json_pack("{s:s, s:b, s:i, s:[{s:s, s:s}]}", "file", "a,b", "read_only", 1,
		"lun", 7, "filters", "filter", "log", "file", "l");

	assert_int_equal(disk_config_parse(&text, "a\\,b,ro,lun=7,log=l", "/d", &e), 0);
	assert_int_equal(disk_config_from_json(&object, json, "/d", &e), 0);
	assert_string_equal(*(char **)text.device.source.object, "/d/a,b");
	assert_string_equal(*(char **)object.device.source.object, "/d/a,b");
	assert_string_equal(*(char **)object.device.filters[0].object, "/d/l");
	assert_int_equal(object.lun, text.lun);
	assert_int_equal(object.read_only, text.read_only);
	disk_config_free(&text);
	disk_config_free(&object);
	json_object_set_new(json, "lun", json_integer(64));
	assert_true(disk_config_from_json(&object, json, "/d", &e) < 0);
	assert_memory_equal(e.text, "lun: must be", 12);
	json_decref(json);
	assert_true(disk_config_from_json(&object, json_null(), NULL, &e) < 0);
	assert_string_equal(e.text, "must be an object, not null");
}

/* Options are on top of files, wherever they stand; lists add up. */
static void options_on_top(void **state)
{
	char path[] = "/tmp/enlite-trip-XXXXXX";
	FILE *f = fdopen(mkstemp(path), "w");
	char *argv[] = {"run", "--cpus", "2", "--disk", "b", "--config", path, "--name", "n", NULL};
	struct vm_config c;

	fputs("{\"kernel\": \"k\", \"cpus\": 4, \"memory\": \"1G\", \"disks\": [{\"file\": \"a\"}]}",
		f);
	fclose(f);
	assert_int_equal(vm_config_init(&c, &e), 0);
	assert_int_equal(vm_config_args(&c, 9, argv, &e), 0);
	assert_int_equal(vm_config_complete(&c, &e), 0);
	assert_string_equal(c.kernel, "k");
	assert_int_equal(c.cpus, 2);
	assert_int_equal(c.memory.size, 1u << 30);
	assert_string_equal(c.name, "n");
	assert_int_equal(c.disk_count, 2);
	assert_string_equal(*(char **)c.disks[0].device.source.object, "a");
	assert_string_equal(*(char **)c.disks[1].device.source.object, "b");
	assert_string_equal(c.disks[1].device.origin, "--disk b");
	vm_config_free(&c);
	unlink(path);
}

static void names_that_are_not_utf8(void **state)
{
	char *argv[] = {"run", "--kernel", "k", "--disk", "\xff", NULL};
	struct vm_config c;

	assert_int_equal(vm_config_init(&c, &e), 0);
	assert_int_equal(vm_config_args(&c, 5, argv, &e), 0);
	assert_int_equal(vm_config_complete(&c, &e), 0);
	assert_null(vm_config_json(&c, &e));
	assert_memory_equal(e.text, "file: ", 6);
	vm_config_free(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_command_line),
		cmocka_unit_test(quoting),
		cmocka_unit_test(a_name_that_looks_like_keys),
		cmocka_unit_test(objects),
		cmocka_unit_test(options_on_top),
		cmocka_unit_test(names_that_are_not_utf8),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
