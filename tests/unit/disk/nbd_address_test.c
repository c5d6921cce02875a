/* SPDX-License-Identifier: MIT */
/* URIs of NBD servers, for the broker that connects. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "disk/nbd/address.h"

static struct nbd_address a;

static void is(
	const char *uri, const char *host, const char *port, const char *socket, const char *export)
{
	assert_int_equal(nbd_address_parse(&a, uri), 0);
	assert_string_equal(a.host, host);
	assert_string_equal(a.port, port);
	assert_string_equal(a.socket, socket);
	assert_string_equal(a.export, export);
}

static void servers_on_the_network(void **state)
{
	is("nbd://host", "host", "10809", "", "");
	is("nbd://host/", "host", "10809", "", "");
	is("nbd://host:7/an/export", "host", "7", "", "an/export");
	is("nbd://[::1]/x", "::1", "10809", "", "x");
	is("nbd://[fe80::1]:99/x%20y?q=1", "fe80::1", "99", "", "x y");
	is("nbd://host?x=y", "host", "10809", "", "");
}

static void servers_on_a_socket(void **state)
{
	is("nbd+unix:///?socket=/run/s", "", "", "/run/s", "");
	is("nbd+unix:///exp?x=1&socket=/run/a%3fb&y=2", "", "", "/run/a?b", "exp");
}

static void what_is_none(void **state)
{
	static const char *const wrong[] = {"", "nbd:/x", "nbds://host", "nbd://[::1",
		"nbd://[::1]x", "nbd://h:123456789/", "nbd+unix:///x", "nbd+unix:///?sock=/a",
		"nbd://h/%zz", "nbd://h/%0", "nbd://h/a%00b", "http://h/"};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(nbd_address_parse(&a, wrong[i]), -EINVAL);
}

static void a_long_name_is_refused(void **state)
{
	static char uri[NBD_ADDRESS_MAX * 2];

	memset(uri, 'a', sizeof(uri) - 1);
	memcpy(uri, "nbd://h/", 8);
	assert_int_equal(nbd_address_parse(&a, uri), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(servers_on_the_network),
		cmocka_unit_test(servers_on_a_socket),
		cmocka_unit_test(what_is_none),
		cmocka_unit_test(a_long_name_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
