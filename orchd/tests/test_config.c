// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include <cmocka.h>

#include "config.h"
#include "fault.h"
#include "memory.h"

static int parse(struct config *c, const char *a, const char *b,
		 const char *d, const char *e)
{
	char *argv[] = { "orchd", (char *)a, (char *)b, (char *)d, (char *)e,
			 NULL };
	char why[256] = "";
	int argc = 1, rc;

	while (argv[argc])
		argc++;
	rc = config_parse(argc, argv, c, why, sizeof(why));
	if (rc < 0)
		assert_true(why[0]);
	return rc;
}

static void test_defaults(void **state)
{
	struct config c;

	(void)state;
	unsetenv("ORCHD_SOCKET");
	unsetenv("ORCHD_STATE_DIR");
	assert_int_equal(parse(&c, NULL, NULL, NULL, NULL), 0);
	assert_int_equal(c.mode, CONFIG_SERVE);
	assert_string_equal(c.socket, "/run/orchd/control");
	assert_string_equal(c.state_dir, "/var/lib/orchd");
	assert_int_equal(c.ready_fd, -1);
	assert_int_equal(c.log_level, LOG_INFO);
}

static void test_memory(void **state)
{
	char v2[] = "0::/system.slice/orchd.service\n", v1[] = "4:cpu:/x\n";
	struct config c;

	(void)state;
	assert_int_equal(parse(&c, "--memory", "2G", NULL, NULL), 0);
	assert_true(c.memory == 2ULL << 30);
	assert_int_equal(parse(&c, "--memory", "1M", NULL, NULL), -EINVAL);
	assert_int_equal(parse(&c, "--memory", "much", NULL, NULL), -EINVAL);
	memory_configure(512 << 20);
	assert_int_equal(memory_share(32, 1 << 20, 64 << 20), 16 << 20);
	assert_int_equal(memory_share(1024, 1 << 20, 64 << 20), 1 << 20);
	assert_int_equal(memory_share(2, 1 << 20, 64 << 20), 64 << 20);
	memory_configure(0);
	assert_true(memory_size() >= 1 << 20);
	assert_string_equal(memory_parse_group(v2),
			    "system.slice/orchd.service");
	assert_null(memory_parse_group(v1));
}

static void test_rebuild(void **state)
{
	struct config c;

	(void)state;
	assert_int_equal(parse(&c, "--rebuild=n", "--store=/s", "/a", "/b"),
			 0);
	assert_int_equal(c.mode, CONFIG_REBUILD);
	assert_int_equal(c.nr_paths, 2);
	assert_string_equal(c.paths[1], "/b");
	assert_int_equal(parse(&c, "--rebuild=n", "--store=/s", NULL, NULL),
			 -EINVAL);
	assert_int_equal(parse(&c, "--init=n", "--store=/s", "--dry-run",
			       NULL), -EINVAL);
}

static void test_environment(void **state)
{
	struct config c;

	(void)state;
	setenv("ORCHD_SOCKET", "/run/a", 1);
	assert_int_equal(parse(&c, "-f", NULL, NULL, NULL), 0);
	assert_string_equal(c.socket, "/run/a");
	assert_int_equal(parse(&c, "--socket", "/run/b", NULL, NULL), 0);
	assert_string_equal(c.socket, "/run/b");
	unsetenv("ORCHD_SOCKET");
}

static void test_refused(void **state)
{
	struct config c;

	(void)state;
	assert_int_equal(parse(&c, "--nonsense", NULL, NULL, NULL), -EINVAL);
	assert_int_equal(parse(&c, "extra", NULL, NULL, NULL), -EINVAL);
	assert_int_equal(parse(&c, "--ready-fd", "x", NULL, NULL), -EINVAL);
	assert_int_equal(parse(&c, "--ready-fd", "-1", NULL, NULL), -EINVAL);
	assert_int_equal(parse(&c, "--log-level", "loud", NULL, NULL),
			 -EINVAL);
	assert_int_equal(parse(&c, "--init", "n", NULL, NULL), -EINVAL);
	assert_int_equal(parse(&c, "--init", "a/b", "--store", "/s"),
			 -EINVAL);
	assert_int_equal(parse(&c, "--store", "/s", NULL, NULL), -EINVAL);
	assert_int_equal(parse(&c, "--init", "n", "--store", "/s"), 0);
	assert_int_equal(c.mode, CONFIG_INIT);
	assert_int_equal(parse(&c, "--restore", "n", "--store", "/s"), 0);
	assert_int_equal(c.mode, CONFIG_RESTORE);
}

static void test_names(void **state)
{
	char name[70];

	(void)state;
	assert_true(config_name_valid("a"));
	assert_true(config_name_valid("Studio-1_b.c"));
	assert_false(config_name_valid(""));
	assert_false(config_name_valid(".a"));
	assert_false(config_name_valid("-a"));
	assert_false(config_name_valid("a b"));
	assert_false(config_name_valid("a:b"));
	assert_false(config_name_valid("a/b"));
	assert_false(config_name_valid("\xc3\xa4"));
	memset(name, 'x', sizeof(name));
	name[63] = 0;
	assert_true(config_name_valid(name));
	name[63] = 'x';
	name[64] = 0;
	assert_false(config_name_valid(name));
}

static void test_fault_names(void **state)
{
	(void)state;
	setenv("ORCHD_FAULT", "before-delete:1000,any-fs", 1);
	fault_init();
	assert_true(fault_enabled("before-delete"));
	assert_true(fault_enabled("any-fs"));
	assert_false(fault_enabled("before-commit"));
	fault_point("before-delete");
	fault_point("before-commit");
	unsetenv("ORCHD_FAULT");
	fault_init();
	assert_false(fault_enabled("any-fs"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_environment),
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_rebuild),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_fault_names),
	};

	return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
