/* SPDX-License-Identifier: MIT */
/* Wrong NICs: each gives one line that begins with the place and the key, on the command line and
 * in JSON. The rest of the configuration is in wrong_test.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "config/config.h"

/* Line 3 is the NIC, line 4 its second filter. */
#define NIC(text)    "{'kernel':'/proc/self/exe',\n'nics':[\n{" text "}\n]}"
#define FILTER(text) NIC("'backend':'null','filters':[{'filter':'loss','rate':'1%'},\n{" text "}]")
#define N            "t.json:3: nics[0]"
#define F            "t.json:4: nics[0].filters[1]"

static struct err e;
static unsigned wrong_rows;

struct row {
	const char *text; /* ' stands for " in JSON */
	const char *says; /* behind the place, where the command line is meant */
};

/* All rows are run; the test fails at its end. */
static void check(const struct row *row, int ret, const char *place)
{
	size_t len = strlen(place);

	if (ret < 0 && !strncmp(e.text, place, len) && !strchr(e.text, '\n') &&
		!strncmp(e.text + len, row->says, strlen(row->says)))
		return;
	print_error("%s\n  says %s\n  not  %s%s\n", row->text, ret < 0 ? e.text : "nothing", place,
		row->says);
	wrong_rows++;
}

static int finish(struct vm_config *c, int ret)
{
	if (!ret)
		ret = vm_config_complete(c, &e);
	if (!ret)
		ret = vm_config_check(c, &e);
	vm_config_free(c);
	return ret;
}

static void option_refused(const struct row *row)
{
	char *words[] = {"run", "--kernel", "/proc/self/exe", "--net", (char *)row->text, NULL};
	char place[200];
	struct vm_config c;

	assert_int_equal(vm_config_init(&c, &e), 0);
	snprintf(place, sizeof(place), "--net %s: ", row->text);
	check(row, finish(&c, vm_config_args(&c, 5, words, &e)), place);
}

static void json_refused(const struct row *row)
{
	char text[512];
	struct vm_config c;

	snprintf(text, sizeof(text), "%s", row->text);
	for (char *at = text; *at; at++)
		if (*at == '\'')
			*at = '"';
	assert_int_equal(vm_config_init(&c, &e), 0);
	check(row, finish(&c, vm_config_read(&c, "t.json", text, strlen(text), &e)), "");
}

static void options(void **state)
{
	static const struct row rows[] = {
		{"", "backend: must be a text of 1 to 4096 bytes, not ''"},
		{"x", "backend: net: 'x' is no back end"},
		{"tap:", "backend: net tap: write tap:IF"},
		{"pair:", "backend: net pair: write pair:PATH"},
		{"null,forward=tcp:80-:80", "forward: net null: it has no setting forward"},
		{"loop,program=/bin/true", "program: net loop: it has no setting"},
		{"tap", "backend: net tap: write tap:IF"},
		{"tap:a/b", "backend: net tap:a/b: must be the name of"},
		{"tap:0123456789abcdef", "backend: net tap:0123456789abcdef: must"},
		{"tap:tap%d", "backend: net tap:tap%d: must be the"},
		{"fd:", "backend: net fd: write fd:N"},
		{"fd:x", "backend: net fd: write fd:N, or fd:N:N..."},
		{"fd:3:", "backend: net fd: write fd:N, or fd:N:N..."},
		{"fd:999", "backend: net fd: descriptor 999 is not open"},
		{"fd:0:1:0", "backend: net fd: descriptor 0 is given twice"},
		{"user:x", "backend: net user: it takes no argument"},
		{"none:", "backend: net none: it takes no argument"},
		{"user,forward=8080", "forward: net user: forward=8080: write tcp:8080-:80"},
		{"user,forward=tcp:1-:2+udp:0-:53", "forward: net user: forward=udp:0-:53:"},
		{"user,forward=tcp:70000-:80", "forward: net user: forward=tcp:70000"},
		{"user,program=/nonexistent/passt",
			"program: net user: /nonexistent/passt: No such"},
		{"user,program=/nonexistent+1/passt",
			"program: net user: /nonexistent+1/passt: No such"},
		{"user,vlan=5", "vlan: net user: it carries no tags"},
		{"null,loss=200", "loss.rate: must be a share of"},
		{"null,loss=200%", "loss.rate: must be a share"},
		{"null,loss=1%:up", "loss.direction: must be both, tx or rx, not 'up'"},
		{"null,loss=1%:tx:rx", "loss.direction: must be both"},
		{"null,delay=5", "delay.time: must be a time such"},
		{"null,delay=9ms-1ms", "delay.time: must be a time such"},
		{"null,delay=3601s", "delay.time: must be a"},
		{"null,limit=1M1", "limit.rate: must be bits per"},
		{"null,limit=100", "limit.rate: must be bits per"},
		{"null,limit=2000G:rx", "limit.rate: must be bits"},
		{"null,limit=", "limit.rate: must be bits per"},
		{"null,pcap=", "pcap.file: must be the name of a file"},
		{"null,mac=01:00:5e:00:00:01", "mac: must be a unicast MAC"},
		{"null,mac=02:00:00:00:00", "mac: must be a unicast MAC"},
		{"null,mtu=9217", "mtu: must be a number from 68"},
		{"null,number=8", "number: must be"},
		{"null,number=x", "number: must be"},
		{"null,vlan=0", "vlan: must be a number from 1"},
		{"null,queues=0", "queues: must be a number from"},
		{"null,mac-lock=1", "mac-lock: takes no value"},
		{"null,mac=zz", "mac: must be a unicast MAC"},
		{"null,mtu=1", "mtu: must be a number from 68 to 9216"},
		{"null,vlan=4095", "vlan: must be a number from 1"},
		{"null,queues=65", "queues: must be a number from"},
		{"null,loss", "loss: needs a value"},
		{"null,bogus", "unknown key 'bogus'"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		option_refused(&rows[i]);
	assert_int_equal(wrong_rows, 0);
}

/* The second is wrong. */
static void two_options(void **state)
{
	static const struct {
		char *first, *second, *says;
	} rows[] = {
		{"null,number=1", "none,number=1",
			"--net none,number=1: number: there is a NIC nic1 already"},
		{"fd:0", "fd:0", "--net fd:0: backend: net fd: descriptor 0 is given twice (--net"},
		{"fd:0:1", "fd:2:1",
			"--net fd:2:1: backend: net fd: descriptor 1 is given twice (--net fd:0:1)"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char *words[] = {"run", "--kernel", "/proc/self/exe", "--net", rows[i].first,
			"--net", "null", "--net", rows[i].second, NULL};
		const struct row row = {rows[i].second, rows[i].says};
		struct vm_config c;

		assert_int_equal(vm_config_init(&c, &e), 0);
		check(&row, finish(&c, vm_config_args(&c, 9, words, &e)), "");
	}
	assert_int_equal(wrong_rows, 0);
}

static void different_descriptors(void **state)
{
	char *words[] = {"run", "--kernel", "/proc/self/exe", "--net", "fd:0:2", "--net", "fd:1",
		"--net", "null", "--net", "null", NULL};
	struct vm_config c;

	assert_int_equal(vm_config_init(&c, &e), 0);
	assert_int_equal(finish(&c, vm_config_args(&c, 11, words, &e)), 0);
}

static void json(void **state)
{
	static const struct row rows[] = {
		{NIC(""), N ": has no source; give one of the keys backend"},
		{NIC("'backend':7"), N ".backend: must be a text of 1 to 4096 bytes, not a number"},
		{NIC("'backend':'x'"), N ".backend: net: 'x' is no back end; there are tap:IF"},
		{NIC("'backend':'fd:999'"), N ".backend: net fd: descriptor 999 is not open"},
		{NIC("'backend':'null',\n'forward':'tcp:1-:1'"),
			"t.json:4: nics[0].forward: net null: it has no setting forward"},
		{NIC("'backend':'user',\n'forward':'tcp:1-:0'"),
			"t.json:4: nics[0].forward: net user: forward=tcp:1-:0: write tcp"},
		{NIC("'backend':'user','program':'/nonexistent'"),
			N ".program: net user: /nonexistent: No such"},
		{NIC("'backend':'null','mac':'x'"), N ".mac: must be a unicast MAC address"},
		{NIC("'backend':'null','mac':7"), N ".mac: must be a unicast MAC address"},
		{NIC("'backend':'null','mtu':67"), N ".mtu: must be a number from 68 to 9216"},
		{NIC("'backend':'null','vlan':'1'"), N ".vlan: must be a number from 1 to 4094"},
		{NIC("'backend':'null','queues':0"), N ".queues: must be a number from 1 to 64"},
		{NIC("'backend':'null','mac_lock':1"), N ".mac_lock: must be true or false"},
		{NIC("'backend':'null','mac-lock':true"), N ".mac-lock: unknown key 'mac-lock'"},
		{NIC("'backend':'null','loss':'1%'"), N ".loss: unknown key 'loss'"},
		{FILTER("'filter':'lose','rate':'1%'"), F ": there is no filter 'lose'; did you"},
		{FILTER("'filter':'loss'"), F ": the key \"rate\" of the filter loss is missing"},
		{FILTER("'filter':'loss','rate':'200'"), F ".rate: must be a share of all frames"},
		{FILTER("'filter':'loss','rate':1"), F ".rate: must be a share of all frames"},
		{FILTER("'filter':'loss','rate':'1%','direction':'up'"),
			F ".direction: must be both, tx or rx, not 'up'"},
		{FILTER("'filter':'delay','time':'5'"), F ".time: must be a time such as 5ms"},
		{FILTER("'filter':'limit','rate':'7999'"), F ".rate: must be bits per second"},
		{FILTER("'filter':'pcap','file':''"), F ".file: must be the name of a file"},
		{FILTER("'filter':'pcap','file':'x','direction':'rx'"),
			F ".direction: unknown key"},
		{NIC("'backend':'fd:0'},\n{'backend':'fd:1:0'"),
			"t.json:4: nics[1].backend: net fd: descriptor 0 is given twice (t.json:3"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		json_refused(&rows[i]);
	assert_int_equal(wrong_rows, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(options),
		cmocka_unit_test(two_options),
		cmocka_unit_test(different_descriptors),
		cmocka_unit_test(json),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
