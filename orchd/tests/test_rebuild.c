// SPDX-License-Identifier: Apache-2.0
/* Exports of the names, and stores made from volumes. */
#include "rebuild_util.h"

/* Some of everything. */
static void make_tree(void)
{
	uint64_t a = create(ORCHFS_ROOT_INO, "a", S_IFDIR | 0750);
	struct op_req rq = request(ORCHFS_KIND_LINK, 0, "");
	struct op_req x = request(ORCHFS_KIND_SETXATTR, 0, "");

	x.node = make_file(a, "one", "the first file");
	x.xattr_name = (struct op_name){ "user.k", 6 };
	x.xattr_value = "value";
	x.xattr_len = 5;
	assert_int_equal(execute(x).status, 0);
	now.next = 2;
	rq.node = make_file(a, "two", "the second");
	rq.node2 = ORCHFS_ROOT_INO;
	rq.name2 = (struct op_name){ "again", 5 };
	assert_int_equal(execute(rq).status, 0);
	create(a, "fifo", S_IFIFO | 0600);
	now.next = 1;
}

static void everything_comes_back(void **state)
{
	static const char tables[] = "IERVNXOU";
	char *before[sizeof(tables)], *after;
	uint64_t first;

	(void)state;
	make_tree();
	export_to(1);
	for (size_t i = 0; tables[i]; i++)
		before[i] = rows(tables[i]);
	close_store();
	rebuilt();
	for (size_t i = 0; tables[i]; i++) {
		after = rows(tables[i]);
		assert_string_equal(after, before[i]);
		free(after);
		free(before[i]);
	}
	told("files", 2);
	told("missing", 0);
	told("lost_found", 0);
	assert_int_equal(access(sub("new/sweep"), F_OK), 0);
	assert_int_equal(lookup(ORCHFS_ROOT_INO, "lost+found"), 0);
	/* numbers begin above all that was seen */
	assert_int_equal(ns_reserve(now.ns, "ino", 1, &first), 0);
	assert_true(first > now.ino + (1ULL << 31));
	assert_int_equal(ns_reserve(now.ns, "instance", 1, &first), 0);
	assert_true(first > now.instance + (1ULL << 31));
}

static void what_came_after_is_told(void **state)
{
	uint64_t kept, gone, later, empty, ino, inst;
	uint32_t volume;
	char name[32];

	(void)state;
	kept = make_file(ORCHFS_ROOT_INO, "kept", "kept");
	gone = make_file(ORCHFS_ROOT_INO, "gone", "gone");
	export_to(1);
	later = make_file(ORCHFS_ROOT_INO, "later", "not known");
	empty = create(ORCHFS_ROOT_INO, "empty", S_IFREG | 0600);
	assert_true(empty);
	inst = instance_of(gone, &volume);
	assert_int_equal(unlink(backing(volume, gone, inst)), 0);
	inst = instance_of(later, &volume);
	close_store();
	rebuilt();
	told("files", 2);
	told("lost_found", 1);
	told("lost_found_bytes", 9);
	told("empty", 1);
	told("missing", 1);
	assert_non_null(strstr(report, "\"missing_paths\": [ \"/gone\" ]"));
	assert_int_equal(lookup(ORCHFS_ROOT_INO, "kept"), kept);
	ino = lookup(ORCHFS_ROOT_INO, "lost+found");
	assert_true(ino);
	snprintf(name, sizeof(name), "%llu", (unsigned long long)later);
	assert_int_equal(lookup(ino, name), later);
	assert_int_equal(instance_of(later, &volume), inst);
	/* found again, in the same directory */
	assert_int_equal(lookup(ORCHFS_ROOT_INO, "lost+found.1"), 0);
}

static void a_moved_file_keeps_its_name(void **state)
{
	uint64_t ino = make_file(ORCHFS_ROOT_INO, "f", "contents"), inst;
	uint32_t volume;

	(void)state;
	export_to(2);
	inst = instance_of(ino, &volume);
	assert_int_equal(volume, 1);
	move_away(ino, inst, inst + 5);
	assert_int_equal(backing_create(now.v[2], ino, 1, inst + 3), 0);
	close_store();
	rebuilt();
	told("files", 1);
	told("placed", 1);
	told("spare", 1);
	told("lost_found", 0);
	assert_int_equal(instance_of(ino, &volume), inst + 5);
	assert_int_equal(volume, 2);
}

static void a_copy_that_is_not_whole_comes_last(void **state)
{
	uint64_t moved, later, sole, none, inst;
	uint32_t volume;

	(void)state;
	moved = make_file(ORCHFS_ROOT_INO, "moved", "contents");
	export_to(2);
	/* moved after the export, and again when all ended */
	inst = instance_of(moved, &volume);
	move_away(moved, inst, now.instance);
	make_part(1, moved, now.instance + 1, 8);
	later = make_file(ORCHFS_ROOT_INO, "later", "not known");
	make_part(2, later, now.instance + 2, 9);
	/* the other copies were on a drive that is lost */
	sole = later + 1;
	make_part(2, sole, now.instance + 3, 10);
	none = later + 2;
	make_part(2, none, now.instance + 4, 0);
	inst = instance_of(later, &volume);
	close_store();
	rebuilt();
	told("placed", 1);
	told("lost_found", 2);
	told("lost_found_bytes", 19);
	told("incomplete", 1);
	told("spare", 3);
	told("empty", 0);
	/* later took one number of an instance */
	assert_int_equal(instance_of(moved, &volume), now.instance - 1);
	assert_int_equal(volume, 2);
	assert_int_equal(instance_of(later, &volume), inst);
	assert_int_equal(volume, 1);
	assert_int_equal(instance_of(sole, &volume), now.instance + 3);
}

struct number {
	uint64_t ino;
	unsigned int times;
};

static int count_number(void *ctx, uint32_t volume, uint64_t first_ino,
			uint64_t first_instance, uint32_t count)
{
	struct number *n = ctx;
	char name[512];

	strcpy(name, backing(volume, n->ino, first_instance + n->ino -
			     first_ino));
	n->times += n->ino - first_ino < count && !access(name, F_OK);
	return 0;
}

static unsigned int times_used(uint64_t ino)
{
	struct number n = { .ino = ino };

	assert_int_equal(ns_pools(now.ns, count_number, &n), 0);
	return n.times;
}

/* Two new files with one number would be one inode. */
static void an_empty_copy_is_used_once(void **state)
{
	uint64_t twice, written, last;
	uint32_t volume;

	(void)state;
	export_to(1);
	/* both were being retired when all ended */
	twice = create(ORCHFS_ROOT_INO, "twice", S_IFREG | 0600);
	written = create(ORCHFS_ROOT_INO, "written", S_IFREG | 0600);
	last = create(ORCHFS_ROOT_INO, "last", S_IFREG | 0600);
	assert_int_equal(backing_create(now.v[2], twice, 1, now.instance), 0);
	make_part(2, written, now.instance + 1, 5);
	assert_int_equal(chmod(backing(2, written, now.instance + 1), 0600),
			 0);
	close_store();
	rebuilt();
	told("lost_found", 1);
	told("incomplete", 0);
	told("empty", 2);
	told("spare", 2);
	assert_int_equal(instance_of(written, &volume), now.instance + 1);
	assert_int_equal(times_used(twice), 1);
	assert_int_equal(times_used(written), 0);
	assert_int_equal(times_used(last), 1);
}

/* The volume that an export knows a file on is lost; it had been emptied. */
static void a_copy_replaces_one_that_is_away(void **state)
{
	char *two[] = { strdup(sub("v2")) };
	uint64_t moved, begun, inst;
	char why[VOLUME_WHY] = "";
	uint32_t volume;

	(void)state;
	moved = make_file(ORCHFS_ROOT_INO, "moved", "contents");
	begun = make_file(ORCHFS_ROOT_INO, "begun", "contents");
	export_to(2);
	inst = now.instance;
	move_away(moved, instance_of(moved, &volume), inst);
	make_part(2, begun, inst + 1, 8);
	close_store();
	assert_int_equal(rebuild((struct rebuild_opts){
			.paths = two, .nr_paths = 1, .partial = true }, why),
			 0);
	free(two[0]);
	told("files", 1);
	told("placed", 1);
	told("incomplete", 0);
	told("spare", 1);
	told("away", 1);
	open_store("new", false);
	assert_int_equal(instance_of(moved, &volume), inst);
	assert_int_equal(volume, 2);
	instance_of(begun, &volume);
	assert_int_equal(volume, 1);
}

static void damage(const char *path)
{
	struct stat st;
	int fd = open(path, O_RDWR);
	char c;

	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(pread(fd, &c, 1, st.st_size / 2), 1);
	c ^= 1;
	assert_int_equal(pwrite(fd, &c, 1, st.st_size / 2), 1);
	close(fd);
}

static void the_newest_whole_export_counts(void **state)
{
	struct export_file *list;
	char path[128];
	size_t nr;

	(void)state;
	make_file(ORCHFS_ROOT_INO, "first", "1");
	export_to(1);
	make_file(ORCHFS_ROOT_INO, "second", "2");
	export_to(2);
	make_file(ORCHFS_ROOT_INO, "third", "3");
	export_to(1);
	assert_int_equal(export_list(now.v[1]->root_fd, &list, &nr), 0);
	assert_int_equal(nr, 2);
	snprintf(path, sizeof(path), "v1/%s", list[0].path);
	damage(sub(path));
	free(list);
	close_store();
	rebuilt();
	assert_non_null(strstr(report, "\"volume\": \"v2\""));
	assert_non_null(strstr(report, "checksum differs"));
	assert_true(lookup(ORCHFS_ROOT_INO, "first"));
	assert_true(lookup(ORCHFS_ROOT_INO, "second"));
	assert_false(lookup(ORCHFS_ROOT_INO, "third"));
	told("lost_found", 1);
}

static void without_export_all_is_found(void **state)
{
	struct export_file *list;
	char path[128];
	size_t nr;

	(void)state;
	make_tree();
	export_to(1);
	assert_int_equal(export_list(now.v[1]->root_fd, &list, &nr), 0);
	snprintf(path, sizeof(path), "v1/%s", list[0].path);
	free(list);
	assert_int_equal(truncate(sub(path), 100), 0);
	close_store();
	rebuilt();
	assert_non_null(strstr(report, "\"export\": null"));
	assert_non_null(strstr(report, "cut short"));
	told("lost_found", 2);
	told("files", 2);
	assert_false(lookup(ORCHFS_ROOT_INO, "a"));
}

static void exports_of_others_are_refused(void **state)
{
	struct backup_stats stats;
	struct store *other;
	struct store_opts o = { .create = true };
	int fd;

	(void)state;
	make_file(ORCHFS_ROOT_INO, "f", "f");
	mkdir(sub("other"), 0700);
	assert_int_equal(store_open("rocksdb", sub("other"), &o, &other, NULL),
			 0);
	assert_int_equal(ns_format(other, "t",
				   (const uint8_t *)"another-uuid----"), 0);
	fd = export_write(now.v[1]->root_fd, other, -1, 0, NULL, NULL, &stats);
	assert_true(fd >= 0);
	close(fd);
	store_close(other);
	close_store();
	rebuilt();
	assert_non_null(strstr(report, "of another namespace"));
	assert_non_null(strstr(report, "\"export\": null"));
	told("lost_found", 1);
}

static void refuse(struct rebuild_opts o, const char *text)
{
	char why[VOLUME_WHY] = "";

	assert_true(rebuild(o, why) < 0);
	if (!strstr(why, text))
		fail_msg("no \"%s\" in \"%s\"", text, why);
	assert_int_equal(report[0], 0);
}

static void bad_requests_are_refused(void **state)
{
	char *one[] = { sub("v1") }, *same[2], *none[] = { dir };
	char *away[] = { strdup(sub("nowhere")) };
	char why[VOLUME_WHY] = "";

	(void)state;
	same[0] = same[1] = one[0] = strdup(one[0]);
	make_file(ORCHFS_ROOT_INO, "f", "f");
	now.next = 2;
	make_file(ORCHFS_ROOT_INO, "g", "g");
	export_to(1);
	close_store();
	refuse((struct rebuild_opts){ .store = sub("t") }, "not empty");
	refuse((struct rebuild_opts){ .name = "u" }, "namespace t, not of u");
	refuse((struct rebuild_opts){ .paths = one, .nr_paths = 1 },
	       "volume v2 is not among those given");
	refuse((struct rebuild_opts){ .paths = same, .nr_paths = 2 },
	       "the same volume");
	refuse((struct rebuild_opts){ .paths = none, .nr_paths = 1 },
	       "not the root of a volume");
	refuse((struct rebuild_opts){ .paths = away, .nr_paths = 1 },
	       "name the root directory");
	assert_int_equal(access(sub("new"), F_OK), -1);
	assert_int_equal(rebuild((struct rebuild_opts){ .dry_run = true },
				 why), 0);
	told("files", 2);
	assert_int_equal(access(sub("new"), F_OK), -1);
	assert_int_equal(rebuild((struct rebuild_opts){
			.paths = one, .nr_paths = 1, .partial = true }, why),
			 0);
	told("files", 1);
	told("away", 1);
	assert_non_null(strstr(report, "\"away_volumes\": [ \"v2\" ]"));
	free(one[0]);
	free(away[0]);
}

static void dry_run_touches_nothing(void **state)
{
	char why[VOLUME_WHY] = "";
	struct stat before, after;

	(void)state;
	make_file(ORCHFS_ROOT_INO, "f", "f");
	export_to(1);
	close_store();
	assert_int_equal(mkdir(sub("new"), 0751), 0);
	assert_int_equal(stat(sub("new"), &before), 0);
	assert_int_equal(rebuild((struct rebuild_opts){ .dry_run = true },
				 why), 0);
	assert_int_equal(stat(sub("new"), &after), 0);
	assert_int_equal(before.st_ino, after.st_ino);
	assert_int_equal(before.st_mode, after.st_mode);
	assert_int_equal(before.st_mtime, after.st_mtime);
	rebuilt();
	assert_true(lookup(ORCHFS_ROOT_INO, "f"));
}

static bool stop_at_once(void *ctx)
{
	(void)ctx;
	return true;
}

static void exports_are_pruned_and_stopped(void **state)
{
	struct backup_stats stats;
	struct export_file *list;
	uint64_t seq = 0;
	size_t nr;
	int fd, root = now.v[1]->root_fd;

	(void)state;
	for (int i = 0; i < 5; i++) {
		char name[8];

		snprintf(name, sizeof(name), "f%d", i);
		create(ORCHFS_ROOT_INO, name, S_IFIFO | 0600);
		export_to(1);
	}
	/* strangers are left alone, and are no exports */
	assert_int_equal(mknod(sub("v1/names/00.1"), S_IFREG | 0600, 0), 0);
	assert_int_equal(mknod(sub("v1/names/1.2.3"), S_IFREG | 0600, 0), 0);
	assert_int_equal(export_list(root, &list, &nr), 0);
	assert_int_equal(nr, EXPORT_KEEP);
	seq = list[0].seq;
	assert_true(seq == ns_txn(now.ns) && list[1].seq < seq);
	free(list);
	create(ORCHFS_ROOT_INO, "more", S_IFIFO | 0600);
	fd = export_write(root, now.st, -1, 0, stop_at_once, NULL, &stats);
	assert_int_equal(fd, -ECANCELED);
	fd = export_write(root, now.st, -1, UINT64_MAX / 2, NULL, NULL,
			  &stats);
	assert_int_equal(fd, -ENOSPC);
	assert_int_equal(access(sub("v1/names/.new"), F_OK), -1);
	assert_int_equal(export_list(root, &list, &nr), 0);
	assert_int_equal(nr, EXPORT_KEEP);
	assert_true(list[0].seq == seq);
	free(list);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(everything_comes_back),
		TEST(what_came_after_is_told),
		TEST(a_moved_file_keeps_its_name),
		TEST(a_copy_that_is_not_whole_comes_last),
		TEST(an_empty_copy_is_used_once),
		TEST(a_copy_replaces_one_that_is_away),
		TEST(the_newest_whole_export_counts),
		TEST(without_export_all_is_found),
		TEST(exports_of_others_are_refused),
		TEST(bad_requests_are_refused),
		TEST(dry_run_touches_nothing),
		TEST(exports_are_pruned_and_stopped),
	};

	return cmocka_run_group_tests_name("rebuild", tests, NULL, NULL);
}
