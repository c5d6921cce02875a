/* SPDX-License-Identifier: MIT */
/*
 * Wrong configurations: each gives one line that begins with the place and the key, and leaves
 * nothing behind: no file, no descriptor (no memory: the leak checker).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/config.h"
#include "tests/support/entries.h"

#define ARGS_MAX 8
#define K        "'kernel':'/proc/self/exe'"
/* Line 3 is the one disk, line 4 the second filter of one. */
#define DISK(text)   "{" K ",\n'disks':[\n{" text "}\n]}"
#define FILTER(text) DISK("'memory':'1M','filters':[{'filter':'volatile'},\n{" text "}]")
#define D0           "t.json:3: disks[0]"
#define F1           "t.json:4: disks[0].filters[1]"

static char dir[] = "/tmp/enlite-wrong-XXXXXX";
static struct err e;
static unsigned rows, wrong_rows;

/* ---- what is left -------------------------------------------------------- */

/* One line that begins so. All rows are run; the test fails at its end. */
static void check_line(const char *what, int ret, const char *begins)
{
	rows++;
	if (ret >= 0)
		print_error("accepted: %.200s\n", what);
	else if (strncmp(e.text, begins, strlen(begins)) || strchr(e.text, '\n'))
		print_error("%.200s\n  says %s\n  not  %s\n", what, e.text, begins);
	else
		return;
	wrong_rows++;
}

static void check_refused(
	const char *what, int (*run)(struct vm_config *c, void *arg), void *arg, const char *begins)
{
	unsigned fds = open_files(), files = entries(dir);
	struct vm_config c;
	int ret;

	e.text[0] = '\0';
	assert_int_equal(vm_config_init(&c, &e), 0);
	ret = run(&c, arg);
	if (!ret)
		ret = vm_config_complete(&c, &e);
	if (!ret)
		ret = vm_config_check(&c, &e);
	vm_config_free(&c);
	check_line(what, ret, begins);
	assert_int_equal(open_files(), fds);
	assert_int_equal(entries(dir), files);
}

/* ---- JSON ---------------------------------------------------------------- */

struct text {
	const char *text;
	size_t len;
};

static int run_json(struct vm_config *c, void *arg)
{
	const struct text *t = arg;

	return vm_config_read(c, "t.json", t->text, t->len, &e);
}

static void json_refused(const char *text, size_t len, const char *begins)
{
	struct text t = {text, len};

	check_refused(text, run_json, &t, begins);
}

/* In the tables ' stands for ". */
static void row_refused(const char *text, const char *begins)
{
	char *json = strdup(text);

	assert_non_null(json);
	for (char *c = json; *c; c++)
		if (*c == '\'')
			*c = '"';
	json_refused(json, strlen(json), begins);
	free(json);
}

struct row {
	const char *text, *begins;
};

static void rows_refused(const struct row *table, size_t count)
{
	for (size_t i = 0; i < count; i++)
		row_refused(table[i].text, table[i].begins);
}

#define ROWS(table) rows_refused(table, sizeof(table) / sizeof((table)[0]))

static void no_json(void **state)
{
	static const struct row table[] = {
		{"", "t.json:1: not JSON"},
		{" ", "t.json:1: not JSON"},
		{"{", "t.json:1: not JSON"},
		{"}", "t.json:1: not JSON"},
		{"{\n'kernel': '/k',\n}", "t.json:3: not JSON"},
		{"{\n'kernel' '/k'}", "t.json:2: not JSON"},
		{"{'kernel': /k}", "t.json:1: not JSON"},
		{"{'kernel': '/k", "t.json:1: not JSON"},
		{"{'kernel': '/k'\n} x", "t.json:2: not JSON: end of file expected"},
		{"{'kernel': '/k'}{}", "t.json:1: not JSON: end of file expected"},
		{"{// comment\n}", "t.json:1: not JSON"},
		{"{kernel: 1}", "t.json:1: not JSON"},
		{"{'cpus': 01}", "t.json:1: not JSON"},
		{"{'cpus': +1}", "t.json:1: not JSON"},
		{"{'cpus': 0x10}", "t.json:1: not JSON"},
		{"{'cpus': NaN}", "t.json:1: not JSON"},
		{"{'cpus': 1e999}", "t.json:1: not JSON: real number overflow"},
		{"{\n'cpus': 99999999999999999999}", "t.json:2: not JSON: too big integer"},
		{"{'cpus': -99999999999999999999}", "t.json:1: not JSON: too big negative"},
		{"{'kernel': '\\u0000'}", "t.json:1: not JSON: \\u0000 is not allowed"},
		{"{'kernel': '/a\\u0000b'}", "t.json:1: not JSON: \\u0000 is not allowed"},
		{"{'kernel': '\\ud800'}", "t.json:1: not JSON"},
		{"{'kernel': '\\x'}", "t.json:1: not JSON"},
		{"{'kernel': 'a\nb'}", "t.json:1: not JSON"},
		{"{'kernel': '\xff'}", "t.json:1: not JSON: unable to decode byte 0xff"},
		{"{'kernel': '\xc0\x80'}", "t.json:1: not JSON: unable to decode byte 0xc0"},
		{"{'kernel': '\xed\xa0\x80'}", "t.json:1: not JSON: unable to decode byte 0xed"},
		{"{'\xf8': 1}", "t.json:1: not JSON: unable to decode byte 0xf8"},
		{"\xef\xbb\xbf{}", "t.json:1: not JSON"},
		{"{" K ",\n'kernel':'/b'}",
			"t.json:2: not JSON: duplicate object key near '\"kernel\"'"},
		{"{'cpus':1,\n\n'cpus':1}",
			"t.json:3: not JSON: duplicate object key near '\"cpus\"'"},
		{DISK("'memory':'1M',\n'lun':1,'lun':2"),
			"t.json:4: not JSON: duplicate object key near '\"lun\"'"},
		{FILTER("'filter':'delay','filter':'log'"),
			"t.json:4: not JSON: duplicate object key near '\"filter\"'"},
	};

	ROWS(table);
	json_refused("{\"kernel\":\"a\0b\"}", 16, "t.json:1: not JSON");
	json_refused("\0", 1, "t.json:1: not JSON");
}

static void keys_of_the_vm(void **state)
{
	static const struct row table[] = {
		{"[]", "t.json:1: must be an object, not a list"},
		{"\n\n[1]", "t.json:3: must be an object, not a list"},
		{"{}", "t.json:1: kernel: is missing"},
		{"{'cpus':1}", "t.json:1: kernel: is missing"},
		{"{'kernel':''}", "t.json:1: kernel: must be the name of a file, not ''"},
		{"{\n'kernel':1}", "t.json:2: kernel: must be the name of a file, not a number"},
		{"{'kernel':null}", "t.json:1: kernel: must be the name of a file, not null"},
		{"{'kernel':['/k']}", "t.json:1: kernel: must be the name of a file, not a list"},
		{"{\n\n'kernel':{}}",
			"t.json:3: kernel: must be the name of a file, not an object"},
		{"{\n'kernel':'/nonexistent'}", "t.json:2: kernel: /nonexistent: No such file"},
		{"{'kernel':'/'}", "t.json:1: kernel: /: not a regular file"},
		{"{'kernel':'/dev/null'}", "t.json:1: kernel: /dev/null: not a regular file"},
		{"{" K ",\n'initrd':''}", "t.json:2: initrd: must be the name of a file"},
		{"{" K ",\n'initrd':true}",
			"t.json:2: initrd: must be the name of a file, not true"},
		{"{" K ",\n'initrd':'/nonexistent'}", "t.json:2: initrd: /nonexistent: No such"},
		{"{" K ",\n'initrd':'/tmp'}", "t.json:2: initrd: /tmp: not a regular file"},
		{"{" K ",\n'append':1}", "t.json:2: append: must be a text of 0 to 65536 bytes"},
		{"{" K ",\n'append':null}", "t.json:2: append: must be a text"},
		{"{" K ",\n'append':['a']}", "t.json:2: append: must be a text"},
		{"{\n" K ",\n'cpus':0}", "t.json:3: cpus: must be a number from 1 to 64, not '0'"},
		{"{" K ",'cpus':65}", "t.json:1: cpus: must be a number from 1 to 64, not '65'"},
		{"{" K ",'cpus':-1}", "t.json:1: cpus: must be a number from 1 to 64, not '-1'"},
		{"{" K ",'cpus':4294967297}", "t.json:1: cpus: must be a number from 1 to 64"},
		{"{" K ",'cpus':9223372036854775807}", "t.json:1: cpus: must be a number from 1"},
		{"{" K ",'cpus':-9223372036854775808}", "t.json:1: cpus: must be a number from 1"},
		{"{" K ",'cpus':1.0}",
			"t.json:1: cpus: must be a number from 1 to 64, not a number with a fraction"},
		{"{" K ",'cpus':1e1}", "t.json:1: cpus: must be a number from 1 to 64, not a"},
		{"{" K ",'cpus':'1'}",
			"t.json:1: cpus: must be a number from 1 to 64, not a string"},
		{"{" K ",'cpus':true}", "t.json:1: cpus: must be a number from 1 to 64, not true"},
		{"{" K ",'cpus':null}", "t.json:1: cpus: must be a number from 1 to 64, not null"},
		{"{" K ",'cpus':[1]}", "t.json:1: cpus: must be a number from 1 to 64, not a list"},
		{"{" K ",\n'memory':0}", "t.json:2: memory: must be a size such as 512M, from 1M"},
		{"{" K ",\n'memory':-1}", "t.json:2: memory: must be a size"},
		{"{" K ",\n'memory':1048577}", "t.json:2: memory: must be a size"},
		{"{" K ",\n'memory':512}", "t.json:2: memory: must be a size"},
		{"{" K ",\n'memory':1.5}", "t.json:2: memory: must be a size"},
		{"{" K ",\n'memory':''}", "t.json:2: memory: must be a size"},
		{"{" K ",\n'memory':'513G'}", "t.json:2: memory: must be a size"},
		{"{" K ",\n'memory':'1.5G'}", "t.json:2: memory: must be a size"},
		{"{" K ",\n'memory':'1 G'}", "t.json:2: memory: must be a size"},
		{"{" K ",\n'memory':'1T'}", "t.json:2: memory: must be a size"},
		{"{" K ",\n'memory':'1G,max=512M'}", "t.json:2: memory: must be a size"},
		{"{" K ",\n'memory':'1G,max=2G',\n'pin_memory':true}",
			"t.json:2: memory: dynamic memory gives pages back to the host, t.json:3: pin_memory keeps"},
		{"{" K ",\n'memory':'-1M'}", "t.json:2: memory: must be a size"},
		{"{" K ",\n'memory':'99999999999999999999G'}", "t.json:2: memory: must be a size"},
		{"{" K ",\n'memory':9223372036854775807}", "t.json:2: memory: must be a size"},
		{"{" K ",\n'memory':false}", "t.json:2: memory: must be a size"},
		{"{" K ",'console':''}", "t.json:1: console: must be stdio, none or a file"},
		{"{" K ",'console':0}", "t.json:1: console: must be stdio, none or a file"},
		{"{" K ",'name':''}", "t.json:1: name: must be 1 to 64 letters"},
		{"{" K ",'name':'a/b'}", "t.json:1: name: must be 1 to 64 letters"},
		{"{" K ",'name':'..'}", "t.json:1: name: must be 1 to 64 letters"},
		{"{" K ",'name':'a b'}", "t.json:1: name: must be 1 to 64 letters"},
		{"{" K ",'name':'\xc3\xa4'}", "t.json:1: name: must be 1 to 64 letters"},
		{"{" K ",'name':'a\\nb'}", "t.json:1: name: must be 1 to 64 letters"},
		{"{" K ",'vsock':''}", "t.json:1: vsock: must be the name of a socket"},
		{"{" K ",'display':''}", "t.json:1: display: must be none, headless, vnc="},
		{"{" K ",'display':'vnc='}", "t.json:1: display: must be none, headless, vnc="},
		{"{" K ",'display':'vnc=unix:'}",
			"t.json:1: display: must be none, headless, vnc="},
		{"{" K ",'display':'vnc=0.0.0.0:1'}", "t.json:1: display: must be none"},
		{"{" K ",'display':'vnc=127.0.0.1:100'}", "t.json:1: display: must be none"},
		{"{" K ",'display':1}", "t.json:1: display: must be"},
		{"{" K ",'name':7}", "t.json:1: name: must be 1 to 64 letters"},
		{"{" K ",'io_threads':0}", "t.json:1: io_threads: must be auto or a number from 1"},
		{"{" K ",'io_threads':65}",
			"t.json:1: io_threads: must be auto or a number from 1"},
		{"{" K ",'io_threads':'few'}", "t.json:1: io_threads: must be auto or a number"},
		{"{" K ",'io_threads':'off'}", "t.json:1: io_threads: must be auto or a number"},
		{"{" K ",'poll':0}",
			"t.json:1: poll: must be auto, off or a number from 1 to 10000"},
		{"{" K ",'poll':10001}", "t.json:1: poll: must be auto, off or a number from 1"},
		{"{" K ",'poll':'on'}", "t.json:1: poll: must be auto, off or a number from 1"},
		{"{" K ",'poll':true}", "t.json:1: poll: must be auto, off or a number from 1"},
		{"{" K ",'reboot':'yes'}", "t.json:1: reboot: must be true or false, not a string"},
		{"{" K ",'reboot':1}", "t.json:1: reboot: must be true or false, not a number"},
		{"{" K ",'stimer':null}", "t.json:1: stimer: must be true or false, not null"},
		{"{" K ",'pin_memory':'true'}", "t.json:1: pin_memory: must be true or false"},
		{"{" K ",'verbose':[]}", "t.json:1: verbose: must be true or false, not a list"},
		{"{" K ",'memory_kind':'image'}",
			"t.json:1: memory_kind: must be anonymous or shared"},
		{"{" K ",'on_crash':'reboot'}", "t.json:1: on_crash: must be exit or continue"},
		{"{" K ",'on_crash':''}", "t.json:1: on_crash: must be exit or continue"},
		{"{" K ",'on_crash':0}", "t.json:1: on_crash: must be exit or continue"},
		{"{" K ",\n'append':'\\'}]{[,:\\\\',\n'cpus':0}",
			"t.json:3: cpus: must be a number"},
		{"{" K
		 ",'disks':[{'memory':'1M','filters':[\n{'filter':'volatile'}]},\n{'null':512}],'reboot':true,\n\n'cpus':0}",
			"t.json:5: cpus: must be a number from 1 to 64"},
		{"\n{\n'\\u006bernel'\n:\n1}", "t.json:3: kernel: must be the name of a file"},
		{"{" K ",\n'cpu':1}", "t.json:2: cpu: unknown key 'cpu'; did you mean 'cpus'?"},
		{"{" K ",\n'Kernel':1}",
			"t.json:2: Kernel: unknown key 'Kernel'; did you mean 'ker"},
		{"{" K ",\n'io-threads':1}",
			"t.json:2: io-threads: unknown key 'io-threads'; did you"},
		{"{" K ",\n'disk':[]}",
			"t.json:2: disk: unknown key 'disk'; did you mean 'disks'?"},
		{"{" K ",\n'sound':1}", "t.json:2: sound: unknown key 'sound'; known are kernel, "},
		{"{" K ",\n'':1}", "t.json:2: : unknown key ''; known are"},
		{"{" K ",\n'cdrom':'a'}", "t.json:2: cdrom: unknown key 'cdrom'; known are"},
		{"{" K ",\n'no_reboot':true}", "t.json:2: no_reboot: unknown key 'no_reboot'"},
		{"{\n" K ",'a':{'b':[1,{'}':'\\'],'}]},\n'cpus':0}",
			"t.json:2: a: unknown key 'a'"},
	};

	ROWS(table);
}

static void disks(void **state)
{
	static const struct row table[] = {
		{"{" K ",\n'disks':{}}", "t.json:2: disks: must be a list, not an object"},
		{"{" K ",\n'disks':'a'}", "t.json:2: disks: must be a list, not a string"},
		{"{" K ",\n'disks':null}", "t.json:2: disks: must be a list, not null"},
		{"{" K ",\n'disks':['a']}", "t.json:2: disks[0]: must be an object, not a string"},
		{"{" K ",\n'disks':[\n[]]}", "t.json:3: disks[0]: must be an object, not a list"},
		{"{" K ",'disks':[{'memory':'1M'},\n1]}", "t.json:2: disks[1]: must be an object"},
		{DISK(""), D0 ": has no source; give one of the keys file, memory, null, nbd"},
		{DISK("'lun':1"), D0 ": has no source"},
		{DISK("'memory':'1M','null':'1M'"), D0 ": has two sources, memory and null"},
		{DISK("'file':'a','nbd':'nbd://h'"), D0 ": has two sources, file and nbd"},
		{DISK("'file':''"), D0 ".file: must be the name of a file, not ''"},
		{DISK("'file':3"), D0 ".file: must be the name of a file, not a number"},
		{DISK("'file':'/nonexistent'"), D0 ".file: disk /nonexistent: no such file"},
		{DISK("'file':'/tmp'"), D0 ".file: disk /tmp: is a directory"},
		{DISK("'file':'/dev/null'"), D0 ".file: disk /dev/null: is neither"},
		{DISK("'memory':0"), D0 ".memory: must be a size such as 512M, from 512"},
		{DISK("'memory':'513'"), D0 ".memory: must be a size"},
		{DISK("'memory':513"), D0 ".memory: must be a size"},
		{DISK("'memory':-512"), D0 ".memory: must be a size"},
		{DISK("'memory':true"), D0 ".memory: must be a size"},
		{DISK("'memory':''"), D0 ".memory: must be a size"},
		{DISK("'null':'1.5G'"), D0 ".null: must be a size"},
		{DISK("'null':'17179869183G'"), D0 ".null: must be a size"},
		{DISK("'null':null"), D0 ".null: must be a size"},
		{DISK("'nbd':''"), D0 ".nbd: must be an NBD URI without TLS"},
		{DISK("'nbd':'host'"), D0 ".nbd: must be an NBD URI without TLS"},
		{DISK("'nbd':'nbds://h'"), D0 ".nbd: must be an NBD URI without TLS"},
		{DISK("'nbd':10809"), D0 ".nbd: must be an NBD URI without TLS"},
		{DISK("'memory':'1M','lun':64"), D0 ".lun: must be auto or a number from 0 to 63"},
		{DISK("'memory':'1M','lun':-1"), D0 ".lun: must be auto or a number from 0 to 63"},
		{DISK("'memory':'1M','lun':1.5"), D0 ".lun: must be auto or a number from 0 to 63"},
		{DISK("'memory':'1M','lun':[0]"), D0 ".lun: must be auto or a number from 0 to 63"},
		{DISK("'memory':'1M','lun':'x'"), D0 ".lun: must be auto or a number from 0 to 63"},
		{DISK("'memory':'1M','controller':4"),
			D0 ".controller: must be a number from 0 to 3"},
		{DISK("'memory':'1M','controller':-1"), D0 ".controller: must be a number from 0"},
		{DISK("'memory':'1M','controller':'0'"), D0 ".controller: must be a number from 0"},
		{DISK("'memory':'1M','serial':''"), D0 ".serial: must be 1 to 32 printable ASCII"},
		{DISK("'memory':'1M','serial':'a b'"), D0 ".serial: must be 1 to 32 printable"},
		{DISK("'memory':'1M','serial':'\xc3\xa4'"),
			D0 ".serial: must be 1 to 32 printable"},
		{DISK("'memory':'1M','serial':'\\u0007'"), D0 ".serial: must be 1 to 32 printable"},
		{DISK("'memory':'1M','serial':123"), D0 ".serial: must be 1 to 32 printable"},
		{DISK("'memory':'1M','serial':'123456789012345678901234567890123'"),
			D0 ".serial: must be 1 to 32 printable"},
		{DISK("'memory':'1M','read_only':true"),
			D0 ".read_only: memory cannot be read-only"},
		{DISK("'null':'1M','read_only':true"), D0 ".read_only: null cannot be read-only"},
		{DISK("'memory':'1M','read_only':1"), D0 ".read_only: must be true or false"},
		{DISK("'memory':'1M','cdrom':true"), D0 ".cdrom: a DVD-ROM drive needs a file"},
		{DISK("'memory':'1M','direct':true"), D0 ".direct: unknown key 'direct'"},
		{DISK("'nbd':'nbd://h','direct':true"), D0 ".direct: unknown key 'direct'"},
		{DISK("'file':'/nonexistent','direct':'yes'"), D0 ".direct: must be true or false"},
		{DISK("'memory':'1M','ro':true"), D0 ".ro: unknown key 'ro'; known are read_only"},
		{DISK("'memory':'1M','sreial':'x'"),
			D0 ".sreial: unknown key 'sreial'; did you mean 'serial'?"},
		{DISK("'memory':'1M','delay':'5ms'"), D0 ".delay: unknown key 'delay'"},
		{DISK("'memory':'1M',\n'colour':'red'"), "t.json:4: disks[0].colour: unknown key"},
		{"{" K ",'disks':[{'memory':'1M','lun':3},\n{'null':'1M','lun':3}]}",
			"t.json:2: disks[1].lun: LUN 3 of controller 0 has a disk already (t.json:1: disks[0])"},
		{"{" K
		 ",'disks':[{'memory':'1M','controller':1,'lun':0},{'null':'1M'},\n{'null':'1M','lun':0,'controller':1}]}",
			"t.json:2: disks[2].lun: LUN 0 of controller 1 has a disk already"},
	};

	ROWS(table);
}

static void filters(void **state)
{
	static const struct row table[] = {
		{DISK("'memory':'1M','filters':{}"), D0 ".filters: must be a list of filters"},
		{DISK("'memory':'1M','filters':'delay'"), D0 ".filters: must be a list of filters"},
		{DISK("'memory':'1M','filters':['delay']"),
			D0 ".filters[0]: must be an object with"},
		{DISK("'memory':'1M','filters':[{}]"),
			D0 ".filters[0]: must be an object with the"},
		{FILTER("'filter':7"), F1 ": must be an object with the key"},
		{FILTER("'filter':'dealy'"),
			F1 ": there is no filter 'dealy'; did you mean 'delay'?"},
		{FILTER("'filter':'compress'"), F1 ": there is no filter 'compress'; `enlite run"},
		{FILTER("'filter':''"), F1 ": there is no filter ''"},
		{FILTER("'filter':'delay'"),
			F1 ": the key \"time\" of the filter delay is missing"},
		{FILTER("'filter':'delay','time':''"), F1 ".time: must be a time such as 5ms"},
		{FILTER("'filter':'delay','time':'5'"), F1 ".time: must be a time such as 5ms"},
		{FILTER("'filter':'delay','time':5"), F1 ".time: must be a time such as 5ms"},
		{FILTER("'filter':'delay','time':'9-1ms'"), F1 ".time: must be a time such as 5ms"},
		{FILTER("'filter':'delay','time':'3601s'"), F1 ".time: must be a time such as 5ms"},
		{FILTER("'filter':'delay','time':'-5ms'"), F1 ".time: must be a time such as 5ms"},
		{FILTER("'filter':'delay','time':'99999999999999999999s'"), F1 ".time: must be a"},
		{FILTER("'filter':'delay','time':'1ms','op':'trim'"),
			F1 ".op: must be read, write"},
		{FILTER("'filter':'delay','time':'1ms','op':1"), F1 ".op: must be read, write"},
		{FILTER("'filter':'delay','time':'1ms','rate':1"), F1 ".rate: unknown key 'rate'"},
		{FILTER("'filter':'error'"),
			F1 ": the key \"rate\" of the filter error is missing"},
		{FILTER("'filter':'error','rate':'1'"), F1 ".rate: must be a share such as 1%"},
		{FILTER("'filter':'error','rate':1"), F1 ".rate: must be a share such as 1%"},
		{FILTER("'filter':'error','rate':'0%'"), F1 ".rate: must be a share such as 1%"},
		{FILTER("'filter':'error','rate':'101%'"), F1 ".rate: must be a share such as 1%"},
		{FILTER("'filter':'error','rate':'1/0'"), F1 ".rate: must be a share such as 1%"},
		{FILTER("'filter':'error','rate':'1%','error':'EPERM'"),
			F1 ".error: must be EIO or"},
		{FILTER("'filter':'error','rate':'1%','error':-5"), F1 ".error: must be EIO or"},
		{FILTER("'filter':'iops','rate':0"),
			F1 ".rate: must be a number from 1 to 1000000"},
		{FILTER("'filter':'iops','rate':1000001"), F1 ".rate: must be a number from 1"},
		{FILTER("'filter':'iops','rate':'10'"), F1 ".rate: must be a number from 1"},
		{FILTER("'filter':'iops','rate':1,'burst':0"),
			F1 ".burst: must be a number from 1"},
		{FILTER("'filter':'bps','rate':'1'"),
			F1 ".rate: must be a size such as 512M, from 64K to 1024G"},
		{FILTER("'filter':'bps','rate':'1025G'"), F1 ".rate: must be a size"},
		{FILTER("'filter':'bps','rate':'1M','burst':'2G'"), F1 ".burst: must be a size"},
		{FILTER("'filter':'log'"), F1 ": the key \"file\" of the filter log is missing"},
		{FILTER("'filter':'log','file':''"), F1 ".file: must be the name of a file"},
		{FILTER("'filter':'volatile','seed':-1"), F1 ".seed: must be a number from 0"},
		{FILTER("'filter':'volatile','seed':'x'"), F1 ".seed: must be a number from 0"},
		{FILTER("'filter':'volatile','sed':1"),
			F1 ".sed: unknown key 'sed'; did you mean 'seed'?"},
		{DISK("'memory':'1M','filters':[{'filter':'volatile'},{'filter':'volatile'},"
		      "{'filter':'volatile'},{'filter':'volatile'},{'filter':'volatile'},"
		      "{'filter':'volatile'},{'filter':'volatile'},{'filter':'volatile'},{'filter':'volatile'}]"),
			D0 ".filters[8]: at most 8 filters on a disk"},
	};

	ROWS(table);
}

/* ---- JSON that is too much ----------------------------------------------- */

static char *repeat(const char *before, const char *piece, size_t count, const char *after)
{
	size_t len = strlen(piece);
	char *text = malloc(strlen(before) + count * len + strlen(after) + 1), *to;

	assert_non_null(text);
	to = text + strlen(before);
	memcpy(text, before, strlen(before));
	for (size_t i = 0; i < count; i++, to += len)
		memcpy(to, piece, len);
	memcpy(to, after, strlen(after) + 1);
	return text;
}

static void repeated_refused(
	const char *before, const char *piece, size_t count, const char *after, const char *begins)
{
	char *text = repeat(before, piece, count, after);

	json_refused(text, strlen(text), begins);
	free(text);
}

static void too_much(void **state)
{
	repeated_refused("", "[", 100000, "", "t.json:1: not JSON: maximum parsing depth");
	repeated_refused("", "{\"a\":", 100000, "", "t.json:1: not JSON: maximum parsing depth");
	repeated_refused("{\"disks\":", "[", 1000, "", "t.json:1: not JSON");
	repeated_refused("{\"append\":\"", "x", 65537, "\"}", "t.json:1: append: must be a text");
	repeated_refused("{\"", "k", 100000, "\":1}", "t.json:1: kkkkkkkk");
	repeated_refused("{\"vsock\":\"", "v", 97, "\"}", "t.json:1: vsock: must be the name of");
	repeated_refused("{\"name\":\"", "n", 65, "\"}", "t.json:1: name: must be 1 to 64");
	repeated_refused("{\"disks\":[", "{\"memory\":\"1M\"},\n", 64, "{\"null\":\"1M\"}]}",
		"t.json:65: disks[64]: at most 64 disks");
	repeated_refused("", "\n", 1000, "[]", "t.json:1001: must be an object");
	repeated_refused("{\"append\":\"", "x", 10u << 20, "\"}", "t.json: is larger than 1048576");
}

/* ---- the command line ---------------------------------------------------- */

static int run_args(struct vm_config *c, void *arg)
{
	char **argv = arg;
	int argc = 0;

	while (argv[argc])
		argc++;
	return vm_config_args(c, argc, argv, &e);
}

/* Words up to NULL; after --kernel /proc/self/exe when the first one is not "-". */
static void args_refused(const char *const *words, const char *begins)
{
	char *argv[ARGS_MAX + 4] = {"run", "--kernel", "/proc/self/exe"};
	int argc = 3;

	if (!strcmp(words[0], "-")) {
		argc = 1;
		words++;
	}
	for (; *words; words++)
		argv[argc++] = (char *)*words;
	argv[argc] = NULL;
	check_refused(argv[argc - 1], run_args, argv, begins);
}

static void options(void **state)
{
	static const struct {
		const char *words[ARGS_MAX];
		const char *begins;
	} table[] = {
		{{"-"}, "kernel: is missing"},
		{{"-", "--cpus", "1"}, "kernel: is missing"},
		{{"-", "--kernel", ""}, "--kernel: must be the name of a file, not ''"},
		{{"-", "--kernel", "/nonexistent"}, "--kernel: /nonexistent: No such file"},
		{{"-", "--kernel", "/tmp"}, "--kernel: /tmp: not a regular file"},
		{{"-", "--kernel", "/proc/self/exe", "--kernel", "/nonexistent"},
			"--kernel: /none"},
		{{"--initrd", "/nonexistent"}, "--initrd: /nonexistent: No such file"},
		{{"--initrd", ""}, "--initrd: must be the name of a file"},
		{{"--sound"}, "unknown option --sound; see `enlite run --help`"},
		{{"--memroy", "1G"}, "unknown option --memroy; did you mean --memory?"},
		{{"--io_threads", "1"}, "unknown option --io_threads; did you mean --io-threads?"},
		{{"--reboot"}, "unknown option --reboot; did you mean --no-reboot?"},
		{{"-x"}, "unknown option -x"},
		{{"-xyz"}, "unknown option -x"},
		{{"--cpus"}, "option --cpus needs a value"},
		{{"--stimer=1"}, "option --stimer=1 takes no value"},
		{{"disk.img"}, "unexpected argument 'disk.img'"},
		{{"--", "--cpus"}, "unexpected argument '--cpus'"},
		{{""}, "unexpected argument ''"},
		{{"--cpus", "0"}, "--cpus: must be a number from 1 to 64, not '0'"},
		{{"--cpus", "65"}, "--cpus: must be a number from 1 to 64, not '65'"},
		{{"--cpus", "-1"}, "--cpus: must be a number from 1 to 64, not '-1'"},
		{{"--cpus", "two"}, "--cpus: must be a number from 1 to 64, not 'two'"},
		{{"--cpus="}, "--cpus: must be a number from 1 to 64, not ''"},
		{{"--cpus", "18446744073709551617"}, "--cpus: must be a number from 1 to 64"},
		{{"--memory", "1"}, "--memory: must be a size such as 512M, from 1M to 512G"},
		{{"--memory", "1.5G"}, "--memory: must be a size"},
		{{"--memory", "G"}, "--memory: must be a size"},
		{{"--memory", "513G"}, "--memory: must be a size"},
		{{"--io-threads", "0"}, "--io-threads: must be auto or a number from 1 to 64"},
		{{"--poll", "10001"}, "--poll: must be auto, off or a number from 1 to 10000"},
		{{"--on-crash", "maybe"}, "--on-crash: must be exit or continue, not 'maybe'"},
		{{"--name", "a/b"}, "--name: must be 1 to 64 letters"},
		{{"--console", ""}, "--console: must be stdio, none or a file"},
		{{"--config", "/nonexistent"}, "/nonexistent: cannot be read: No such file"},
		{{"--config", "/"}, "/: cannot be read: Is a directory"},
		{{"--config", ""}, ": cannot be read: No such file"},
		{{"--config", "/dev/null"}, "/dev/null:1: not JSON"},
		{{"--config", "/dev/zero"}, "/dev/zero: is larger than 1048576 bytes"},
		{{"--disk", ""}, "--disk : file: must be the name of a file, not ''"},
		{{"--disk", ",ro"}, "--disk ,ro: file: must be the name of a file, not ''"},
		{{"--disk", "/nonexistent"},
			"--disk /nonexistent: file: disk /nonexistent: no such"},
		{{"--disk", "/nonexistent/a,ro"},
			"--disk /nonexistent/a,ro: file: disk /nonexistent"},
		{{"--disk", "/tmp"}, "--disk /tmp: file: disk /tmp: is a directory"},
		{{"--disk", "memory:"}, "--disk memory:: memory: must be a size"},
		{{"--disk", "memory:1000"}, "--disk memory:1000: memory: must be a size"},
		{{"--disk", "null:0"}, "--disk null:0: null: must be a size"},
		{{"--disk", "nbd:host"}, "--disk nbd:host: nbd: must be an NBD URI"},
		{{"--disk", "nbds://host"}, "--disk nbds://host: nbd: must be an NBD URI"},
		{{"--disk", "memory:1M,"}, "--disk memory:1M,: unknown key ''; known are ro"},
		{{"--disk", "memory:1M,fast"},
			"--disk memory:1M,fast: unknown key 'fast'; known are"},
		{{"--disk", "memory:1M,RO"}, "--disk memory:1M,RO: unknown key 'RO'"},
		{{"--disk", "memory:1M,ro"}, "--disk memory:1M,ro: ro: memory cannot be read-only"},
		{{"--disk", "x,ro=1"}, "--disk x,ro=1: ro: takes no value"},
		{{"--disk", "memory:1M,direct"}, "--disk memory:1M,direct: unknown key 'direct'"},
		{{"--disk", "memory:1M,lun"}, "--disk memory:1M,lun: lun: needs a value"},
		{{"--disk", "memory:1M,lun=64"}, "--disk memory:1M,lun=64: lun: must be auto or"},
		{{"--disk", "memory:1M,lun="},
			"--disk memory:1M,lun=: lun: must be auto or a number"},
		{{"--disk", "memory:1M,controller=4"},
			"--disk memory:1M,controller=4: controller: must be a number from 0 to 3"},
		{{"--disk", "memory:1M,serial="},
			"--disk memory:1M,serial=: serial: must be 1 to 32"},
		{{"--disk", "memory:1M,serial=\"a b\""},
			"--disk memory:1M,serial=\"a b\": serial: mu"},
		{{"--disk", "memory:1M,serial=a,b"},
			"--disk memory:1M,serial=a,b: unknown key 'b'"},
		{{"--disk", "\"/tmp"}, "--disk \"/tmp: a quote \" is not closed"},
		{{"--disk", "memory:1M,serial=\"x"},
			"--disk memory:1M,serial=\"x: a quote \" is not"},
		{{"--disk", "/tmp\\"}, "--disk /tmp\\: a backslash at the end quotes nothing"},
		{{"--disk", "\"memory:1M\""},
			"--disk \"memory:1M\": file: disk memory:1M: no such"},
		{{"--disk", "memory\\:1M"},
			"--disk memory\\:1M: file: disk memory:1M: no such file"},
		{{"--disk", "memory:1M,delay"}, "--disk memory:1M,delay: delay: needs a value"},
		{{"--disk", "memory:1M,delay=5"},
			"--disk memory:1M,delay=5: delay.time: must be a"},
		{{"--disk", "memory:1M,delay=5ms:"},
			"--disk memory:1M,delay=5ms:: delay.op: must be"},
		{{"--disk", "memory:1M,delay=5ms:trim"},
			"--disk memory:1M,delay=5ms:trim: delay.op"},
		{{"--disk", "null:1M,delay=1s:read:x"}, "--disk null:1M,delay=1s:read:x: delay.op"},
		{{"--disk", "memory:1M,error=0%"},
			"--disk memory:1M,error=0%: error.rate: must be a"},
		{{"--disk", "null:1M,error=1%:EIO:read"},
			"--disk null:1M,error=1%:EIO:read: error: ':read' is one value too many"},
		{{"--disk", "null:1M,error=1%:EPERM"},
			"--disk null:1M,error=1%:EPERM: error.error"},
		{{"--disk", "null:1M,iops=10:0"},
			"--disk null:1M,iops=10:0: iops.burst: must be a"},
		{{"--disk", "null:1M,bps=1"}, "--disk null:1M,bps=1: bps.rate: must be a size"},
		{{"--disk", "null:1M,log="},
			"--disk null:1M,log=: log.file: must be the name of a"},
		{{"--disk", "null:1M,volatile="},
			"--disk null:1M,volatile=: volatile.seed: must be"},
		{{"--disk", "null:1M,lun=3", "--disk", "memory:1M,lun=3"},
			"--disk memory:1M,lun=3: lun: LUN 3 of controller 0 has a disk already (--disk null:1M,lun=3)"},
		{{"--cdrom", "memory:1M"},
			"--cdrom memory:1M: cdrom: a DVD-ROM drive needs a file"},
		{{"--cdrom", "/nonexistent"},
			"--cdrom /nonexistent: file: disk /nonexistent: no such"},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		args_refused(table[i].words, table[i].begins);
}

/* ---- files --------------------------------------------------------------- */

static void make(char path[128], const char *name, const char *text, off_t size)
{
	FILE *f;

	snprintf(path, 128, "%s/%s", dir, name);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	if (size)
		assert_int_equal(ftruncate(fileno(f), size), 0);
	assert_int_equal(fclose(f), 0);
}

static void disk_refused(const char *path, const char *why)
{
	char begins[400];

	snprintf(begins, sizeof(begins), "--disk %s: file: disk %s: %s", path, path, why);
	args_refused((const char *const[]){"--disk", path, NULL}, begins);
}

static void files(void **state)
{
	char odd[128], empty[128], commas[128], json[128], begins[256], spec[160];

	make(odd, "odd.img", "x", 1000);
	make(empty, "empty.img", "", 0);
	make(commas, "a,ro", "x", 512);
	make(json, "vm.json", "{\n \"cpus\": 0\n}\n", 0);
	disk_refused(odd, "its size, 1000 bytes, is not a multiple of 512");
	disk_refused(empty, "is empty");
	snprintf(begins, sizeof(begins), "--initrd: %s: the file is empty", empty);
	args_refused((const char *const[]){"--initrd", empty, NULL}, begins);
	snprintf(
		begins, sizeof(begins), "%s:2: cpus: must be a number from 1 to 64, not '0'", json);
	args_refused((const char *const[]){"--config", json, NULL}, begins);
	/* Options are on top, so what the file says does not matter; but it must be right. */
	args_refused((const char *const[]){"--cpus", "1", "--config", json, NULL}, begins);
	/* The name of a file that looks like a name with keys: the error says so. */
	snprintf(spec, sizeof(spec), "%s=1", commas);
	snprintf(begins, sizeof(begins), "--disk %s: ro: takes no value", spec);
	args_refused((const char *const[]){"--disk", spec, NULL}, begins);
	unlink(odd);
	unlink(empty);
	unlink(commas);
	unlink(json);
}

static int all_as_said(void **state)
{
	unsigned wrong = wrong_rows;

	wrong_rows = 0;
	return wrong != 0;
}

/* As many as were promised. */
static void at_least_150(void **state)
{
	print_message("# %u wrong configurations\n", rows);
	assert_true(rows >= 150);
}

static int setup(void **state)
{
	return !mkdtemp(dir);
}

static int teardown(void **state)
{
	return rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(no_json, all_as_said),
		cmocka_unit_test_teardown(keys_of_the_vm, all_as_said),
		cmocka_unit_test_teardown(disks, all_as_said),
		cmocka_unit_test_teardown(filters, all_as_said),
		cmocka_unit_test_teardown(too_much, all_as_said),
		cmocka_unit_test_teardown(options, all_as_said),
		cmocka_unit_test_teardown(files, all_as_said),
		cmocka_unit_test(at_least_150),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
