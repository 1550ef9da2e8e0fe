// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "ctl.h"
#include "fault.h"
#include "volume.h"

static char dir[256];
static const uint8_t ns_a[16] = "namespace-a-----";
static const uint8_t ns_b[16] = "namespace-b-----";

static int setup(void **state)
{
	(void)state;
	strcpy(dir, "/var/tmp/orchd-test-XXXXXX");
	setenv("ORCHD_FAULT", "any-fs", 1);
	fault_init();
	return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	remove_tree(dir);
	return 0;
}

static char *sub(const char *name)
{
	static char path[512];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static struct marker marker(const uint8_t *ns, uint32_t id)
{
	struct marker m = { .volume = id, .durable_txn = 7, .epoch = 1 };

	memcpy(m.ns_uuid, ns, 16);
	strcpy(m.ns_name, "studio");
	memset(m.volume_uuid, (int)id, 16);
	return m;
}

static int check(const char *path, char *why)
{
	char real[4096];
	struct marker found;

	why[0] = 0;
	return volume_check_new(path, 0, ns_a, real, &found, why);
}

static void make(const char *path, const uint8_t *ns, uint32_t id)
{
	struct marker m = marker(ns, id);
	char why[VOLUME_WHY] = "";

	assert_int_equal(volume_make(path, &m, why), 0);
}

static struct volume *record(const char *path, uint32_t id)
{
	struct ns_volume r = { .id = id };

	strcpy(r.name, "v");
	strcpy(r.path, path);
	memset(r.uuid, (int)id, 16);
	return volume_new(&r);
}

static void test_crc(void **state)
{
	(void)state;
	assert_int_equal(crc32c("123456789", 9), 0xe3069283);
}

static void test_marker_roundtrip(void **state)
{
	struct marker m = marker(ns_a, 3), r;
	int fd = open(dir, O_RDONLY | O_DIRECTORY);

	(void)state;
	assert_int_equal(marker_read(fd, &r), -ENOENT);
	assert_int_equal(marker_write(fd, &m), 0);
	memset(&r, 0, sizeof(r));
	assert_int_equal(marker_read(fd, &r), 0);
	assert_memory_equal(r.ns_uuid, ns_a, 16);
	assert_string_equal(r.ns_name, "studio");
	assert_int_equal(r.volume, 3);
	assert_int_equal(r.durable_txn, 7);
	assert_int_equal(r.epoch, 1);
	unlinkat(fd, MARKER_FILE, 0);
	close(fd);
}

/* Each single changed byte is found. */
static void test_marker_damage(void **state)
{
	struct marker m = marker(ns_a, 3), r;
	int d = open(dir, O_RDONLY | O_DIRECTORY), fd;
	char buf[4096], bad;
	ssize_t len;

	(void)state;
	assert_int_equal(marker_write(d, &m), 0);
	fd = openat(d, MARKER_FILE, O_RDWR);
	len = read(fd, buf, sizeof(buf));
	assert_true(len > 40);
	for (ssize_t i = 0; i < len; i++) {
		bad = buf[i] ^ 0x40;
		assert_int_equal(pwrite(fd, &bad, 1, i), 1);
		assert_true(marker_read(d, &r) < 0);
		assert_int_equal(pwrite(fd, &buf[i], 1, i), 1);
	}
	assert_int_equal(pwrite(fd, "2", 1, 14), 1);
	assert_int_equal(marker_read(d, &r), -EPROTO);
	assert_int_equal(ftruncate(fd, 5), 0);
	assert_int_equal(marker_read(d, &r), -EUCLEAN);
	close(fd);
	unlinkat(d, MARKER_FILE, 0);
	close(d);
}

static void test_fs_types(void **state)
{
	const char *name;

	(void)state;
	assert_true(volume_fs_ok(0x58465342, &name));
	assert_true(volume_fs_ok(0xef53, &name));
	assert_false(volume_fs_ok(0x01021994, &name));
	assert_string_equal(name, "tmpfs");
	assert_false(volume_fs_ok(0x6f726368, &name));
	assert_false(volume_fs_ok(1, &name));
	assert_string_equal(name, "unknown");
}

static void test_check_refusals(void **state)
{
	char why[VOLUME_WHY], real[4096];
	struct marker found;
	int fd;

	(void)state;
	assert_int_equal(check("relative", why), -EINVAL);
	assert_int_equal(check("/nonexistent/dir", why), -ENOENT);
	assert_true(why[0]);
	fd = open(sub("file"), O_CREAT | O_RDWR, 0600);
	close(fd);
	assert_int_equal(check(sub("file"), why), -ENOTDIR);
	mkdir(sub("full"), 0700);
	mkdir(sub("full/x"), 0700);
	assert_int_equal(check(sub("full"), why), -ENOTEMPTY);
	assert_non_null(strstr(why, "not empty"));
	assert_int_equal(volume_check_new(dir, 1ULL << 60, ns_a, real, &found,
					  why), -ENOSPC);
	mkdir(sub("empty"), 0700);
	assert_int_equal(check(sub("empty"), why), 0);
	assert_int_equal(check(sub("new"), why), 0);
	assert_int_equal(access(sub("new"), F_OK), -1);
}

static void test_check_tmpfs(void **state)
{
	char why[VOLUME_WHY];

	(void)state;
	unsetenv("ORCHD_FAULT");
	fault_init();
	/* sysfs stands for every type that is not on the list */
	assert_int_equal(check("/sys", why), -EMEDIUMTYPE);
	assert_non_null(strstr(why, "XFS or ext4"));
	setenv("ORCHD_FAULT", "any-fs", 1);
	fault_init();
}

static void test_check_markers(void **state)
{
	char why[VOLUME_WHY], real[4096];
	struct marker found;
	int fd;

	(void)state;
	make(sub("other"), ns_b, 1);
	assert_int_equal(check(sub("other"), why), -EEXIST);
	assert_non_null(strstr(why, "studio"));
	assert_int_equal(check(sub("other/sub"), why), -EINVAL);
	assert_non_null(strstr(why, "lies inside"));
	/* half made by an attempt that ended: taken over */
	make(sub("mine"), ns_a, 4);
	assert_int_equal(volume_check_new(sub("mine"), 0, ns_a, real, &found,
					  why), 0);
	assert_int_equal(found.volume, 4);
	fd = open(sub("mine/data/x"), O_CREAT | O_RDWR, 0600);
	close(fd);
	assert_int_equal(check(sub("mine"), why), -EEXIST);
}

static void test_open(void **state)
{
	struct stat st;
	struct volume *v;

	(void)state;
	make(sub("v7"), ns_a, 7);
	assert_int_equal(stat(sub("v7"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	v = record(sub("v7"), 7);
	assert_int_equal(volume_open(v, ns_a), 0);
	assert_true(volume_online(v));
	volume_put(v);

	v = record(sub("v7"), 8);
	assert_int_equal(volume_open(v, ns_a), -EXDEV);
	assert_false(volume_online(v));
	assert_true(v->problem[0]);
	volume_put(v);

	v = record(sub("v7"), 7);
	assert_int_equal(volume_open(v, ns_b), -EXDEV);
	volume_put(v);

	unlink(sub("v7/" MARKER_FILE));
	v = record(sub("v7"), 7);
	assert_int_equal(volume_open(v, ns_a), -ENXIO);
	assert_non_null(strstr(v->problem, "drive not mounted"));
	assert_int_equal(backing_open(v, 1, 1, 1), -EIO);
	volume_put(v);

	v = record(sub("v8"), 7);
	assert_int_equal(volume_open(v, ns_a), -ENOENT);
	volume_put(v);
}

static void test_names(void **state)
{
	static const char *const bad[] = {
		"", ".", "1", "1.2", "1.2.", "1.2.3.4", "01.2.3", "A.2.3",
		"1.0.3", "1.2.3 ", "11111111111111111.1.1", "g.1.1", "-1.1.1",
	};
	uint64_t ino, version, instance;
	char path[BACKING_PATH_MAX];

	(void)state;
	backing_path(path, 0x12345, 2, 0xabc);
	assert_string_equal(path, "data/23/12345.2.abc");
	assert_true(backing_parse(path + 8, &ino, &version, &instance));
	assert_int_equal(ino, 0x12345);
	assert_int_equal(version, 2);
	assert_int_equal(instance, 0xabc);
	backing_path(path, UINT64_MAX, UINT64_MAX, UINT64_MAX);
	assert_true(backing_parse(path + 8, &ino, &version, &instance));
	assert_true(ino == UINT64_MAX && instance == UINT64_MAX);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(backing_parse(bad[i], &ino, &version,
					   &instance));
}

static int count_file(void *ctx, const char *subdir, const char *name)
{
	(void)subdir;
	(void)name;
	++*(int *)ctx;
	return 0;
}

static void test_backing(void **state)
{
	struct ns_backing_stat st;
	struct volume *v;
	int fd, n = 0;

	(void)state;
	make(sub("v9"), ns_a, 9);
	v = record(sub("v9"), 9);
	assert_int_equal(volume_open(v, ns_a), 0);
	for (uint64_t i = 250; i < 260; i++)
		assert_int_equal(backing_create(v, i, 1, i), 0);
	assert_int_equal(backing_sync(v, 250, 259), 0);
	assert_int_equal(backing_create(v, 250, 1, 250), -EEXIST);
	fd = backing_open(v, 255, 1, 255);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "hello", 5), 5);
	close(fd);
	assert_int_equal(volume_stat(v, 255, 1, 255, &st), 0);
	assert_int_equal(st.size, 5);
	assert_int_equal(backing_each(v, count_file, &n), 0);
	assert_int_equal(n, 10);
	assert_int_equal(backing_quarantine(v, "00", "fa.1.fa"), 0);
	assert_int_equal(backing_create(v, 250, 1, 250), 0);
	/* the same name again does not replace the first */
	assert_int_equal(backing_quarantine(v, "00", "fa.1.fa"), 0);
	assert_int_equal(volume_count_quarantined(v), 2);
	assert_int_equal(backing_quarantine(v, "00", "fc.1.fc"), 0);
	/* one that somebody has unlinked meanwhile */
	assert_int_equal(backing_quarantine(v, "00", "fc.1.fc"), -ENOENT);
	assert_int_equal(backing_quarantine(v, "77", "fc.1.fc"), -ENOENT);
	assert_int_equal(volume_count_quarantined(v), 3);
	assert_int_equal(backing_unlink(v, 255, 1, 255), 0);
	assert_int_equal(backing_unlink(v, 255, 1, 255), -ENOENT);
	assert_int_equal(backing_open(v, 255, 1, 255), -ENOENT);
	volume_put(v);
}

/* A backing file that somebody made a link or a FIFO of is not followed. */
static void test_backing_hostile(void **state)
{
	struct volume *v;
	int fd;

	(void)state;
	v = record(sub("v9"), 9);
	assert_int_equal(volume_open(v, ns_a), 0);
	assert_int_equal(symlink("/etc/passwd", sub("v9/data/00/1.1.1")), 0);
	assert_int_equal(backing_open(v, 1, 1, 1), -ELOOP);
	assert_int_equal(mkfifo(sub("v9/data/00/2.1.1"), 0600), 0);
	fd = backing_open(v, 2, 1, 1);
	if (fd >= 0)
		close(fd);	/* the kernel refuses what is no file */
	volume_put(v);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_crc),
		cmocka_unit_test(test_marker_roundtrip),
		cmocka_unit_test(test_marker_damage),
		cmocka_unit_test(test_fs_types),
		cmocka_unit_test(test_check_refusals),
		cmocka_unit_test(test_check_tmpfs),
		cmocka_unit_test(test_check_markers),
		cmocka_unit_test(test_open),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_backing),
		cmocka_unit_test(test_backing_hostile),
	};

	return cmocka_run_group_tests_name("volume", tests, setup, teardown);
}
