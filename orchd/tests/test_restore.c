// SPDX-License-Identifier: Apache-2.0
/*
 * Stores made from a backup, what takes the place of what, and what is over
 * after that.
 */
#include "rebuild_util.h"

#include <glob.h>
#include <sched.h>
#include <sys/mount.h>

static bool may_mount;

static int backup(void)
{
	struct backup_stats stats;
	int fd = open(sub("backup"), O_RDWR | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(backup_write(now.st, fd, NULL, NULL, &stats), 0);
	return fd;
}

static int restore_to(int fd, const char *name, char *why)
{
	int saved, null = open("/dev/null", O_WRONLY), rc;

	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	fflush(stdout);
	saved = dup(1);
	dup2(null, 1);
	rc = backup_restore(fd, "t", sub(name), why);
	fflush(stdout);
	dup2(saved, 1);
	close(saved);
	close(null);
	return rc;
}

static void restored(int fd, const char *name)
{
	char why[VOLUME_WHY] = "";

	if (restore_to(fd, name, why))
		fail_msg("%s", why);
}

/* The only path of that pattern. */
static const char *aside(const char *pattern)
{
	static char name[512];
	glob_t g;

	assert_int_equal(glob(sub(pattern), 0, NULL, &g), 0);
	assert_int_equal(g.gl_pathc, 1);
	strcpy(name, g.gl_pathv[0] + strlen(dir) + 1);
	globfree(&g);
	return name;
}

/* Some that lie in tables, some in the log. */
static void make_many(const char *prefix)
{
	char name[32];

	for (int i = 0; i < 300; i++) {
		if (i == 200)
			store_settle(now.st);
		snprintf(name, sizeof(name), "%s%d", prefix, i);
		create(ORCHFS_ROOT_INO, name, S_IFIFO | 0600);
	}
}

static void a_store_is_replaced(void **state)
{
	char why[VOLUME_WHY] = "";
	uint64_t kept;
	glob_t g;
	int fd;

	(void)state;
	make_many("early");
	kept = make_file(ORCHFS_ROOT_INO, "kept", "kept");
	fd = backup();
	make_many("late");
	assert_int_equal(restore_to(fd, "t", why), -EBUSY);
	assert_non_null(strstr(why, "stop orchd first"));
	close_store();
	assert_int_equal(mkdir(sub("empty"), 0700), 0);
	restored(fd, "empty");
	restored(fd, "t");
	for (int i = 0; i < 2; i++) {
		open_store(i ? "t" : "empty", false);
		assert_int_equal(lookup(ORCHFS_ROOT_INO, "kept"), kept);
		assert_true(lookup(ORCHFS_ROOT_INO, "early299"));
		assert_false(lookup(ORCHFS_ROOT_INO, "late0"));
		make_many("new");
		close_store();
	}
	assert_int_equal(access(sub("t/sweep"), F_OK), 0);
	/* the old one is whole */
	open_store(aside(".t.replaced-*"), false);
	assert_true(lookup(ORCHFS_ROOT_INO, "late299"));
	close_store();
	assert_int_equal(glob(sub(".empty.*"), 0, NULL, &g), GLOB_NOMATCH);
	open_store("t", false);
	assert_true(lookup(ORCHFS_ROOT_INO, "new299"));
	close(fd);
}

/* A store that is cut short takes no place. */
static void a_bad_backup_changes_nothing(void **state)
{
	char why[VOLUME_WHY] = "";
	glob_t g;
	int fd;

	(void)state;
	make_many("early");
	fd = backup();
	close_store();
	assert_int_equal(ftruncate(fd, 1000), 0);
	assert_true(restore_to(fd, "t", why) < 0);
	assert_non_null(strstr(why, "cut short"));
	assert_int_equal(glob(sub(".*e*"), 0, NULL, &g), GLOB_NOMATCH);
	open_store("t", false);
	assert_true(lookup(ORCHFS_ROOT_INO, "early299"));
	close(fd);
}

static void a_drive_of_its_own(void **state)
{
	struct rebuild_opts o = { .store = strdup(sub("drive")) };
	char why[VOLUME_WHY] = "";
	int fd;

	(void)state;
	if (!may_mount) {
		free((char *)o.store);
		skip();
	}
	make_file(ORCHFS_ROOT_INO, "kept", "kept");
	export_to(1);
	fd = backup();
	close_store();
	assert_int_equal(mkdir(o.store, 0700), 0);
	assert_int_equal(mount("none", o.store, "tmpfs", 0, "size=256m"), 0);
	assert_int_equal(mkdir(sub("drive/lost+found"), 0700), 0);
	o.dry_run = true;
	assert_int_equal(rebuild(o, why), 0);
	assert_int_equal(access(sub("drive/db"), F_OK), -1);
	o.dry_run = false;
	assert_int_equal(rebuild(o, why), 0);
	assert_int_equal(access(sub("drive/sweep"), F_OK), 0);
	open_store("drive", false);
	make_many("late");
	assert_int_equal(restore_to(fd, "drive", why), -EBUSY);
	close_store();
	assert_true(rebuild(o, why) < 0);
	assert_non_null(strstr(why, "not empty"));
	restored(fd, "drive");
	open_store("drive", false);
	assert_true(lookup(ORCHFS_ROOT_INO, "kept"));
	assert_false(lookup(ORCHFS_ROOT_INO, "late0"));
	close_store();
	open_store(aside("drive/.replaced-*"), false);
	assert_true(lookup(ORCHFS_ROOT_INO, "late299"));
	close_store();
	assert_int_equal(umount2(o.store, MNT_DETACH), 0);
	free((char *)o.store);
	close(fd);
}

static const struct ns_owner root;

/* The engine's part of a move from v1 to v2, up to where the copy begins. */
static struct ns_move begin_move(uint64_t ino, struct ns_job *j)
{
	struct ns_move m = { .ino = ino, .to_volume = 2 }, *p = &m;
	uint64_t txn;

	*j = (struct ns_job){ .ino = ino, .volume = 2 };
	strcpy(j->label, "a file");
	assert_int_equal(ns_job_new(now.ns, j), 0);
	m.job = j->id;
	assert_int_equal(ns_move_watch(now.ns, &m), 0);
	m.to = now.instance++;
	assert_int_equal(ns_move_begin(now.ns, &p, 1, &txn), 0);
	assert_int_equal(m.rc, 0);
	return m;
}

static void instance_is(uint64_t ino, uint64_t instance, uint32_t volume)
{
	uint32_t on;

	assert_int_equal(instance_of(ino, &on), instance);
	assert_int_equal(on, volume);
	assert_int_equal(access(backing(volume, ino, instance), F_OK), 0);
}

static size_t count_rows(char table)
{
	char *text = rows(table);
	size_t n = 0;

	for (const char *p = text; *p; p++)
		n += *p == '\n';
	free(text);
	return n;
}

/* What the first daemon on it does before anything else. */
static void nothing_is_deleted(void)
{
	assert_int_equal(ns_reconcile(now.ns, 0, NULL, 0, NULL, 0), 0);
	assert_int_equal(count_rows('D'), 0);
	assert_int_equal(count_rows('J'), 0);
	assert_int_equal(count_rows('O'), 0);
}

/* Each of them in a state of its own when the backup is taken. */
static void moves_are_over_after_a_restore(void **state)
{
	uint64_t done, back, part, inst[3];
	struct ns_move m[3];
	struct ns_job j;
	uint32_t volume;
	int fd;

	(void)state;
	done = make_file(ORCHFS_ROOT_INO, "done", "contents");
	back = make_file(ORCHFS_ROOT_INO, "back", "contents");
	part = make_file(ORCHFS_ROOT_INO, "part", "contents");
	inst[0] = instance_of(done, &volume);
	inst[1] = instance_of(back, &volume);
	inst[2] = instance_of(part, &volume);
	m[0] = begin_move(done, &j);
	m[1] = begin_move(back, &j);
	assert_int_equal(ns_move_valid(now.ns, &m[1], 8, &root), 0);
	m[2] = begin_move(part, &j);
	fd = backup();
	close_store();
	/* one has been moved, one was taken back, one is being copied */
	move_away(done, inst[0], m[0].to);
	make_part(2, part, m[2].to, 8);
	restored(fd, "t");
	open_store("t", false);
	instance_is(done, m[0].to, 2);
	instance_is(back, inst[1], 1);
	instance_is(part, inst[2], 1);
	nothing_is_deleted();
	assert_int_equal(ns_has_instance(now.ns, 2, part, 1, m[2].to), 0);
	close(fd);
}

/* What was deleted is no place where a missing file is found. */
static void old_deletions_are_over(void **state)
{
	uint64_t moved, gone, inst, last;
	struct ns_note note = { .kind = ORCHFS_KIND_NOTE_FORGET };
	struct ns_move m;
	struct ns_job j;
	uint32_t volume;
	int fd;

	(void)state;
	moved = make_file(ORCHFS_ROOT_INO, "moved", "old contents");
	gone = make_file(ORCHFS_ROOT_INO, "gone", "contents");
	inst = instance_of(moved, &volume);
	last = instance_of(gone, &volume);
	m = begin_move(moved, &j);
	assert_int_equal(ns_move_valid(now.ns, &m, 8, &root), 0);
	assert_int_equal(ns_move_retire(now.ns, &m, &j), 0);
	assert_int_equal(execute(request(ORCHFS_KIND_UNLINK, ORCHFS_ROOT_INO,
					 "gone")).status, 0);
	note.node = gone;
	assert_int_equal(ns_note(now.ns, 0, &note, 1), 0);
	assert_int_equal(count_rows('D'), 2);
	fd = backup();
	close_store();
	/* its volume was read-only, and the new copy was removed */
	restored(fd, "t");
	open_store("t", false);
	assert_int_equal(instance_of(moved, &volume), m.to);
	assert_int_equal(ns_has_instance(now.ns, 1, gone, 1, last), 0);
	nothing_is_deleted();
	assert_int_equal(access(backing(1, moved, inst), F_OK), 0);
	assert_int_equal(access(backing(1, gone, last), F_OK), 0);
	close(fd);
}

static uint64_t tmpfile_with(const char *text)
{
	struct op_req rq = request(ORCHFS_KIND_CREATE, ORCHFS_ROOT_INO, "");
	struct op_reply rep;
	uint32_t volume;
	FILE *f;

	rq.mode = S_IFREG | 0600;
	rq.flags = ORCHFS_REQ_FLAG_TMPFILE;
	rep = execute(rq);
	assert_int_equal(rep.status, 0);
	f = fopen(backing(1, rep.attr.ino, instance_of(rep.attr.ino, &volume)),
		  "w");
	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
	return rep.attr.ino;
}

static void set_name(uint64_t ino, const char *name)
{
	struct op_req rq = request(ORCHFS_KIND_LINK, ino, "");

	rq.node2 = ORCHFS_ROOT_INO;
	rq.name2 = (struct op_name){ name, strlen(name) };
	assert_int_equal(execute(rq).status, 0);
}

/* A file that had no name yet: not known to the backup, nor deleted by it. */
static void orphans_are_forgotten(void **state)
{
	uint64_t ino, inst, found;
	uint32_t volume;
	char name[32];
	int fd;

	(void)state;
	ino = tmpfile_with("contents");
	inst = instance_of(ino, &volume);
	assert_int_equal(count_rows('O'), 1);
	fd = backup();
	export_to(1);
	set_name(ino, "named");
	close_store();
	restored(fd, "t");
	open_store("t", false);
	nothing_is_deleted();
	assert_int_equal(ns_has_inode(now.ns, ino), 0);
	assert_int_equal(ns_has_instance(now.ns, 1, ino, 1, inst), 0);
	assert_int_equal(count_rows('I'), 1);
	assert_int_equal(count_rows('H') + count_rows('W') + count_rows('V'),
			 0);
	close_store();
	rebuilt();
	nothing_is_deleted();
	told("lost_found", 1);
	found = lookup(ORCHFS_ROOT_INO, "lost+found");
	snprintf(name, sizeof(name), "%llu", (unsigned long long)ino);
	assert_int_equal(lookup(found, name), ino);
	instance_is(ino, inst, 1);
	close(fd);
}

/* Also where the same backup is restored again, and volumes are away. */
static void numbers_are_new_after_a_restore(void **state)
{
	uint64_t ino[2], inst[2];
	int fd;

	(void)state;
	assert_int_equal(ns_pool_put(now.ns, 1, 50, 50, 20), 0);
	fd = backup();
	/* a file made later has the highest number */
	assert_int_equal(backing_create(now.v[2], 1ULL << 60, 1, 1ULL << 59),
			 0);
	close_store();
	assert_int_equal(rename(sub("v2"), sub("away")), 0);
	for (int i = 0; i < 2; i++) {
		restored(fd, "t");
		open_store("t", false);
		assert_int_equal(count_rows('P'), 0);
		assert_int_equal(ns_reserve(now.ns, "ino", 1000, &ino[i]), 0);
		assert_int_equal(ns_reserve(now.ns, "instance", 1000, &inst[i]),
				 0);
		close_store();
	}
	assert_true(ino[1] >= ino[0] + 1000);
	assert_true(inst[1] >= inst[0] + 1000);
	assert_int_equal(rename(sub("away"), sub("v2")), 0);
	restored(fd, "t");
	open_store("t", false);
	assert_int_equal(ns_reserve(now.ns, "ino", 1, &ino[0]), 0);
	assert_int_equal(ns_reserve(now.ns, "instance", 1, &inst[0]), 0);
	assert_true(ino[0] > 1ULL << 60);
	assert_true(inst[0] > 1ULL << 59);
	close(fd);
}

static void no_volume_is_draining(const char *store)
{
	struct ns_volume *v;
	size_t nr;

	open_store(store, false);
	assert_int_equal(ns_volumes(now.ns, &v, &nr), 0);
	assert_int_equal(nr, 2);
	assert_false(v[0].draining || v[1].draining);
	free(v);
	nothing_is_deleted();
	close_store();
}

static void drains_are_over(void **state)
{
	char *one[] = { strdup(sub("v1")) };
	struct ns_job j = { .volume = 2, .drain = true };
	char why[VOLUME_WHY] = "";
	int fd;

	(void)state;
	strcpy(j.label, "drain");
	assert_int_equal(ns_drain_new(now.ns, &j), 0);
	export_to(1);
	fd = backup();
	close_store();
	restored(fd, "t");
	no_volume_is_draining("t");
	/* whether the volume is given or not */
	assert_int_equal(rebuild((struct rebuild_opts){
			.paths = one, .nr_paths = 1, .partial = true }, why),
			 0);
	assert_non_null(strstr(report, "\"undrained_volumes\": [ \"v2\" ]"));
	no_volume_is_draining("new");
	assert_int_equal(rebuild((struct rebuild_opts){
			.store = sub("new2") }, why), 0);
	assert_non_null(strstr(report, "\"undrained_volumes\": [ \"v2\" ]"));
	no_volume_is_draining("new2");
	free(one[0]);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_store_is_replaced),
		TEST(a_bad_backup_changes_nothing),
		TEST(a_drive_of_its_own),
		TEST(moves_are_over_after_a_restore),
		TEST(old_deletions_are_over),
		TEST(orphans_are_forgotten),
		TEST(numbers_are_new_after_a_restore),
		TEST(drains_are_over),
	};

	/* before the store has threads, which stay where they are */
	may_mount = !unshare(CLONE_NEWNS) &&
		    !mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
	return cmocka_run_group_tests_name("restore", tests, NULL, NULL);
}
