// SPDX-License-Identifier: Apache-2.0
/* Exports of the names, and stores made from volumes. */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "arena.h"
#include "backup.h"
#include "ctl.h"
#include "export.h"
#include "fault.h"
#include "log.h"
#include "ns_move.h"
#include "rebuild.h"
#include "store.h"

#define FILES	64

static const uint8_t uuid[16] = "namespace-uuid--";
static char dir[256];
static char report[16384];
static bool may_mount;

/* A namespace "t" with the volumes v1 and v2, open. */
static struct {
	struct store *st;
	struct ns *ns;
	struct volume *v[3];
	uint64_t ino, instance;
	uint32_t next;		/* volume of the next file */
} now;

static char *sub(const char *name)
{
	static char path[4][512];
	static int turn;
	char *p = path[turn++ % 4];

	snprintf(p, sizeof(path[0]), "%.200s/%.300s", dir, name);
	return p;
}

static int op_take(void *ctx, struct ns_backing *out)
{
	(void)ctx;
	*out = (struct ns_backing){ now.ino++, now.instance++, now.next };
	assert_int_equal(backing_create(now.v[out->volume], out->ino, 1,
					out->instance), 0);
	return 0;
}

static void op_put_back(void *ctx, const struct ns_backing *b)
{
	(void)ctx;
	(void)b;
}

static int op_stat(void *ctx, uint32_t volume, uint64_t ino, uint64_t version,
		   uint64_t instance, struct ns_backing_stat *out)
{
	(void)ctx;
	return volume_stat(now.v[volume], ino, version, instance, out);
}

static const struct ns_backing_ops ops = {
	.take = op_take,
	.put_back = op_put_back,
	.stat = op_stat,
};

static struct volume *make_volume(uint32_t id)
{
	struct ns_volume r = { .id = id, .tier = id };
	struct marker m = { .volume = id, .durable_txn = 1000000, .epoch = 7 };
	char why[VOLUME_WHY] = "";
	struct volume *v;

	snprintf(r.name, sizeof(r.name), "v%u", id);
	snprintf(r.path, sizeof(r.path), "%.400s/%s", dir, r.name);
	memset(r.uuid, (int)id, 16);
	memcpy(m.ns_uuid, uuid, 16);
	strcpy(m.ns_name, "t");
	memcpy(m.volume_uuid, r.uuid, 16);
	assert_int_equal(volume_make(r.path, &m, why), 0);
	assert_int_equal(ns_volume_put(now.ns, &r), 0);
	v = volume_new(&r);
	assert_non_null(v);
	assert_int_equal(volume_open(v, uuid), 0);
	return v;
}

static void open_store(const char *name, bool create)
{
	struct store_opts o = { .create = create };

	if (create)
		mkdir(sub(name), 0700);
	assert_int_equal(store_open("rocksdb", sub(name), &o, &now.st, NULL),
			 0);
	if (create)
		assert_int_equal(ns_format(now.st, "t", uuid), 0);
	assert_int_equal(ns_open(now.st, &ops, NULL, "boot", &now.ns, NULL),
			 0);
}

static void close_store(void)
{
	assert_int_equal(ns_close(now.ns), 0);
	store_close(now.st);
	now.ns = NULL;
	now.st = NULL;
}

static int setup(void **state)
{
	(void)state;
	log_init(LOG_CRIT);
	strcpy(dir, "/var/tmp/orchd-rebuild-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	setenv("ORCHD_FAULT", "any-fs", 1);
	fault_init();
	open_store("t", true);
	now.v[1] = make_volume(1);
	now.v[2] = make_volume(2);
	now.next = 1;
	assert_int_equal(ns_reserve(now.ns, "ino", FILES, &now.ino), 0);
	assert_int_equal(ns_reserve(now.ns, "instance", FILES, &now.instance),
			 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	if (now.ns)
		close_store();
	volume_put(now.v[1]);
	volume_put(now.v[2]);
	remove_tree(dir);
	return 0;
}

static struct op_reply execute(struct op_req rq)
{
	struct op_reply rep = { .arena = arena_new() };

	rq.now = (struct orchfs_time){ .sec = 1000, .nsec = 5 };
	ns_execute(now.ns, &rq, &rep);
	arena_free(rep.arena);
	return rep;
}

static struct op_req request(uint32_t kind, uint64_t node, const char *name)
{
	return (struct op_req){
		.kind = kind, .node = node,
		.name = { .s = name, .len = strlen(name) },
	};
}

static uint64_t create(uint64_t parent, const char *name, uint32_t mode)
{
	struct op_req rq = request(ORCHFS_KIND_CREATE, parent, name);
	struct op_reply rep;

	rq.mode = mode;
	rep = execute(rq);
	assert_int_equal(rep.status, 0);
	return rep.attr.ino;
}

static uint64_t lookup(uint64_t parent, const char *name)
{
	struct op_reply rep = execute(request(ORCHFS_KIND_LOOKUP, parent,
					      name));

	return rep.status ? 0 : rep.attr.ino;
}

static char *backing(uint32_t volume, uint64_t ino, uint64_t instance)
{
	char path[BACKING_PATH_MAX], name[512];

	backing_path(path, ino, 1, instance);
	snprintf(name, sizeof(name), "v%u/%s", volume, path);
	return sub(name);
}

static uint64_t instance_of(uint64_t ino, uint32_t *volume)
{
	struct ns_instance *list;
	uint64_t version, generation, instance;
	size_t nr;

	assert_int_equal(ns_where(now.ns, ino, &version, &generation, &list,
				  &nr), 0);
	assert_int_equal(nr, 1);
	instance = list[0].instance;
	*volume = list[0].volume;
	free(list);
	return instance;
}

static uint64_t make_file(uint64_t parent, const char *name, const char *text)
{
	uint64_t ino = create(parent, name, S_IFREG | 0640), instance;
	uint32_t volume;
	FILE *f;

	instance = instance_of(ino, &volume);
	f = fopen(backing(volume, ino, instance), "w");
	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(ns_settle(now.ns, ino), 0);
	return ino;
}

static void export_to(uint32_t volume)
{
	struct backup_stats stats;
	int fd;

	fd = export_write(now.v[volume]->root_fd, now.st, -1, 0, NULL, NULL,
			  &stats);
	assert_true(fd >= 0);
	assert_true(stats.seq == ns_txn(now.ns));
	close(fd);
}

static int rebuild(struct rebuild_opts o, char *why)
{
	char *const both[] = { sub("v1"), sub("v2") };
	char out[300];
	int saved, fd, rc;
	ssize_t n;

	o.name = o.name ? o.name : "t";
	o.store = o.store ? o.store : sub("new");
	o.json = true;
	if (!o.paths) {
		o.paths = both;
		o.nr_paths = 2;
	}
	snprintf(out, sizeof(out), "%s/out", dir);
	fflush(stdout);
	saved = dup(1);
	fd = open(out, O_RDWR | O_CREAT | O_TRUNC, 0600);
	dup2(fd, 1);
	rc = rebuild_run(&o, why);
	fflush(stdout);
	dup2(saved, 1);
	close(saved);
	n = pread(fd, report, sizeof(report) - 1, 0);
	report[n < 0 ? 0 : n] = 0;
	close(fd);
	return rc;
}

static void rebuilt(void)
{
	char why[VOLUME_WHY] = "";
	struct rebuild_opts o = { 0 };

	if (rebuild(o, why))
		fail_msg("%s", why);
	open_store("new", false);
}

static void told(const char *name, unsigned int n)
{
	char text[64];

	snprintf(text, sizeof(text), "\"%s\": %u", name, n);
	if (!strstr(report, text))
		fail_msg("no %s in %s", text, report);
}

/* All rows of one table as they are. */
static char *rows(char table)
{
	struct store_key lo = { &table, 1 }, hi;
	char end = (char)(table + 1), *out = NULL;
	struct store_iter *it;
	size_t len = 0;
	FILE *f = open_memstream(&out, &len);

	hi = (struct store_key){ &end, 1 };
	it = store_scan(now.st, NULL, lo, hi);
	for (; store_iter_valid(it); store_iter_next(it)) {
		struct store_key k = store_iter_key(it);
		struct store_key v = store_iter_value(it);

		for (size_t i = 0; i < k.len; i++)
			fprintf(f, "%02x", ((const uint8_t *)k.p)[i]);
		fputc(' ', f);
		for (size_t i = 0; i < v.len; i++)
			fprintf(f, "%02x", ((const uint8_t *)v.p)[i]);
		fputc('\n', f);
	}
	store_iter_free(it);
	fclose(f);
	return out;
}

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

static void move_away(uint64_t ino, uint64_t from, uint64_t to)
{
	assert_int_equal(backing_create(now.v[2], ino, 1, to), 0);
	assert_int_equal(rename(backing(1, ino, from), backing(2, ino, to)),
			 0);
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

/* What a move leaves that is cut short: all of its size, none of its bytes. */
static void make_part(uint32_t volume, uint64_t ino, uint64_t instance,
		      off_t size)
{
	int fd = backing_begin(now.v[volume], ino, 1, instance);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, size), 0);
	close(fd);
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

static void instance_is(uint64_t ino, uint64_t instance, uint32_t volume)
{
	uint32_t on;

	assert_int_equal(instance_of(ino, &on), instance);
	assert_int_equal(on, volume);
	assert_int_equal(access(backing(volume, ino, instance), F_OK), 0);
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

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

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
		TEST(a_store_is_replaced),
		TEST(a_bad_backup_changes_nothing),
		TEST(a_drive_of_its_own),
		TEST(moves_are_over_after_a_restore),
		TEST(old_deletions_are_over),
		TEST(orphans_are_forgotten),
		TEST(numbers_are_new_after_a_restore),
		TEST(drains_are_over),
		TEST(exports_are_pruned_and_stopped),
	};

	/* before the store has threads, which stay where they are */
	may_mount = !unshare(CLONE_NEWNS) &&
		    !mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
	return cmocka_run_group_tests_name("rebuild", tests, NULL, NULL);
}
