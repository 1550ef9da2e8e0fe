// SPDX-License-Identifier: Apache-2.0
/* One kind of damage for each rule that fsck checks. */
#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mkstore.h"

typedef Orchfs__Store__Inode inode_t_;
#define N(x) ((uint64_t)(x))

static struct k raw(char table, const void *p, size_t n)
{
	struct k k = key(table, 0);

	memcpy(k.b + 1, p, n);
	k.n += n;
	return k;
}

static struct k index_u(uint32_t uid, uint64_t ino)
{
	uint8_t b[12];

	uid = htobe32(uid);
	ino = htobe64(ino);
	memcpy(b, &uid, 4);
	memcpy(b + 4, &ino, 8);
	return raw('U', b, 12);
}

static struct k index_h(uint8_t tier, uint32_t day, uint64_t ino)
{
	uint8_t b[13];

	b[0] = tier;
	day = htobe32(day);
	ino = htobe64(ino);
	memcpy(b + 1, &day, 4);
	memcpy(b + 5, &ino, 8);
	return raw('H', b, 13);
}

static inode_t_ *load(uint64_t ino)
{
	size_t len;
	void *v = get(key('I', 1, ino), &len);

	return orchfs__store__inode__unpack(NULL, len, v);
}

static void save(uint64_t ino, inode_t_ *i)
{
	put_msg(key('I', 1, ino), &i->base);
}

static void set_instance(uint64_t ino, uint32_t volume, int dirty)
{
	Orchfs__Store__Instance n = ORCHFS__STORE__INSTANCE__INIT;

	n.change = SEQ;
	n.volume = volume;
	n.state = ORCHFS__STORE__INSTANCE_STATE__INSTANCE_VALID;
	n.dirty = dirty;
	put_msg(key('N', 3, ino, N(1), N(INSTANCE_OF(ino))), &n.base);
}

static void nlink_high(void)
{
	inode_t_ *i = load(FILE_1);

	i->nlink = 7;
	save(FILE_1, i);
}

static void nlink_dir(void)
{
	inode_t_ *i = load(DIR_A);

	i->nlink = 2;
	save(DIR_A, i);
}

static void parent_wrong(void)
{
	inode_t_ *i = load(DIR_B);

	i->parent = ROOT;
	save(DIR_B, i);
}

static void reverse_missing(void)
{
	del(key('R', 3, N(FILE_1), N(DIR_A), cookie_of("file1")));
}

static void reverse_wrong(void)
{
	put_reverse(FILE_1, DIR_A, cookie_of("file1"), "elif");
}

static void reverse_stray(void)
{
	put_reverse(FILE_1, DIR_B, cookie_of("gone"), "gone");
}

static void entry_missing(void)
{
	del(key('E', 2, N(DIR_A), cookie_of("file1")));
}

static void entry_dangling(void)
{
	put_entry(DIR_A, cookie_of("nothing"), "nothing", 99, 8);
}

static void entry_type(void)
{
	put_entry(DIR_A, cookie_of("file1"), "file1", FILE_1, 4);
}

static void entry_twice(void)
{
	put_entry(DIR_A, cookie_of("file1") + 1, "file1", FIFO, 1);
	put_reverse(FIFO, DIR_A, cookie_of("file1") + 1, "file1");
}

static void entry_in_file(void)
{
	put_entry(FILE_1, cookie_of("x"), "x", FIFO, 1);
}

static void entry_to_root(void)
{
	put_entry(DIR_B, cookie_of("up"), "up", ROOT, 4);
}

static void entry_bad_name(void)
{
	del(key('E', 2, N(ROOT), cookie_of("fifo")));
	del(key('R', 3, N(FIFO), N(ROOT), cookie_of("fifo")));
	put_entry(ROOT, cookie_of("a/b"), "a/b", FIFO, 1);
	put_reverse(FIFO, ROOT, cookie_of("a/b"), "a/b");
}

static void cookie_wrong(void)
{
	del(key('E', 2, N(ROOT), cookie_of("fifo")));
	del(key('R', 3, N(FIFO), N(ROOT), cookie_of("fifo")));
	put_entry(ROOT, cookie_of("else"), "fifo", FIFO, 1);
	put_reverse(FIFO, ROOT, cookie_of("else"), "fifo");
}

static void dir_two_names(void)
{
	put_entry(ROOT, cookie_of("b2"), "b2", DIR_B, 4);
	put_reverse(DIR_B, ROOT, cookie_of("b2"), "b2");
}

static void unreachable_file(void)
{
	reverse_missing();
	entry_missing();
}

static void unreachable_dir(void)
{
	del(key('E', 2, N(ROOT), cookie_of("a")));
	del(key('R', 3, N(DIR_A), N(ROOT), cookie_of("a")));
}

static void ring(void)
{
	unreachable_dir();
	put_entry(DIR_B, cookie_of("loop"), "loop", DIR_A, 4);
	put_reverse(DIR_A, DIR_B, cookie_of("loop"), "loop");
}

static void dir_gone(void)
{
	del(key('I', 1, N(DIR_B)));
}

static void root_missing(void)
{
	del(key('I', 1, N(ROOT)));
	del(key('C', 2, N(SEQ), N(ROOT)));
	del(index_u(1000, ROOT));
}

static void orphan_missing(void)
{
	del(key('O', 1, N(ORPHAN)));
}

static void orphan_named(void)
{
	Orchfs__Store__Orphan o = ORCHFS__STORE__ORPHAN__INIT;

	o.change = SEQ;
	put_msg(key('O', 1, N(FILE_1)), &o.base);
}

static void orphan_stray(void)
{
	Orchfs__Store__Orphan o = ORCHFS__STORE__ORPHAN__INIT;

	put_msg(key('O', 1, N(55)), &o.base);
}

static void orphan_dir_full(void)
{
	Orchfs__Store__Orphan o = ORCHFS__STORE__ORPHAN__INIT;
	inode_t_ *i = load(DIR_B);

	del(key('E', 2, N(DIR_A), cookie_of("b")));
	del(key('R', 3, N(DIR_B), N(DIR_A), cookie_of("b")));
	i->nlink = 0;
	save(DIR_B, i);
	put_msg(key('O', 1, N(DIR_B)), &o.base);
}

static void version_missing(void)
{
	del(key('V', 2, N(FILE_1), N(1)));
}

static void version_stray(void)
{
	Orchfs__Store__Version v = ORCHFS__STORE__VERSION__INIT;

	put_msg(key('V', 2, N(66), N(1)), &v.base);
	put_msg(key('V', 2, N(FIFO), N(1)), &v.base);
}

static void instance_missing(void)
{
	del(key('N', 3, N(FILE_1), N(1), N(INSTANCE_OF(FILE_1))));
}

static void instance_lost(void)
{
	char path[4200];

	instance_missing();
	backing_path(path, sizeof(path), FILE_1, 1, INSTANCE_OF(FILE_1));
	unlink(path);
}

static void instance_stray(void)
{
	Orchfs__Store__Instance n = ORCHFS__STORE__INSTANCE__INIT;

	n.volume = 1;
	put_msg(key('N', 3, N(77), N(1), N(1100)), &n.base);
}

static void instance_volume(void)
{
	set_instance(FILE_1, 9, 0);
}

static void xattr_flag(void)
{
	inode_t_ *i = load(CAP);

	i->flags = 0;
	save(CAP, i);
}

static void xattr_stray(void)
{
	struct k k = key('X', 1, N(88));

	memcpy(k.b + k.n, "user.x", 6);
	k.n += 6;
	put(k, "v", 1);
}

static void index_c_missing(void)
{
	del(key('C', 2, N(SEQ), N(FILE_1)));
}

static void index_c_stray(void)
{
	put(key('C', 2, N(3), N(FILE_1)), "", 0);
}

static void index_h_missing(void)
{
	del(index_h(0, 20000, FILE_1));
}

static void index_h_stray(void)
{
	put(index_h(1, 20000, FILE_1), "", 0);
	put(index_h(0, 20000, FIFO), "", 0);
}

static void index_u_missing(void)
{
	del(index_u(1000, FILE_1));
}

static void index_u_stray(void)
{
	put(index_u(1001, FILE_1), "", 0);
	put(index_u(1000, 99), "", 0);
}

static void index_w_missing(void)
{
	set_instance(FILE_1, 1, 1);
}

static void index_w_stray(void)
{
	put(key('W', 1, N(FILE_1)), "", 0);
}

static void counter_low(void)
{
	Orchfs__Store__Counter c = ORCHFS__STORE__COUNTER__INIT;

	c.limit = 4;
	put_msg(raw('A', "ino", 3), &c.base);
}

static void layout_high(void)
{
	inode_t_ *i = load(FILE_1);

	i->layout_generation = 100;
	save(FILE_1, i);
}

static void seq_low(void)
{
	uint64_t seq = htole64(SEQ - 5);

	put(raw('S', "seq", 3), &seq, 8);
	put_marker(SEQ - 10, 1);
}

static void change_high(void)
{
	inode_t_ *i = load(FIFO);

	del(key('C', 2, N(SEQ), N(FIFO)));
	i->change = SEQ + 1;
	save(FIFO, i);
	put(key('C', 2, N(SEQ + 1), N(FIFO)), "", 0);
}

static void record_bad(void)
{
	put(key('I', 1, N(FIFO)), "\xff\xff\xff", 3);
}

static void unknown_table(void)
{
	put(raw('z', "abc", 3), "", 0);
}

static void symlink_size(void)
{
	inode_t_ *i = load(LINK);

	i->size = 99;
	save(LINK, i);
}

static void size_wrong(void)
{
	backing_file(FILE_1, 1, INSTANCE_OF(FILE_1), "hello and more");
}

static void backing_missing(void)
{
	char path[4200];

	backing_path(path, sizeof(path), FILE_1, 1, INSTANCE_OF(FILE_1));
	unlink(path);
}

static void backing_dir(void)
{
	char path[4200];

	backing_missing();
	backing_path(path, sizeof(path), FILE_1, 1, INSTANCE_OF(FILE_1));
	mkdir(path, 0700);
}

static void unknown_file(void)
{
	char path[4200];

	backing_file(250, 1, 1250, "whose?");
	backing_file(POOL_FIRST, 1, 1250, "not of the pool");
	snprintf(path, sizeof(path), "%s/data/00/README", vol_path);
	fclose(fopen(path, "w"));
	snprintf(path, sizeof(path), "%s/data/folder", vol_path);
	mkdir(path, 0700);
}

static void marker_missing(void)
{
	char path[4200];

	snprintf(path, sizeof(path), "%s/.orchfs-volume", vol_path);
	unlink(path);
}

static void marker_newer(void)
{
	put_marker(SEQ + 100, 1);
}

static void marker_other(void)
{
	put_marker(SEQ - 10, 2);
}

/* A copy that a job was at: with the job, without it, and the wrong way. */
static void put_copy(uint64_t instance, int state)
{
	Orchfs__Store__Instance m = ORCHFS__STORE__INSTANCE__INIT;

	m.change = SEQ;
	m.volume = 1;
	m.state = (Orchfs__Store__InstanceState)state;
	put_msg(key('N', 3, N(FILE_1), N(1), N(instance)), &m.base);
	backing_file(FILE_1, 1, instance, "hel");
}

static void put_job(int state, uint64_t to)
{
	Orchfs__Store__Counter c = ORCHFS__STORE__COUNTER__INIT;
	Orchfs__Store__Job j = ORCHFS__STORE__JOB__INIT;
	Orchfs__Store__Move m = ORCHFS__STORE__MOVE__INIT;

	c.limit = 2;
	put_msg(raw('A', "job", 3), &c.base);
	j.change = SEQ;
	j.state = (Orchfs__Store__JobState)state;
	if (state >= 0)
		put_msg(key('J', 1, N(1)), &j.base);
	m.change = SEQ;
	m.version = 1;
	m.from = INSTANCE_OF(FILE_1);
	m.to = to;
	put_msg(key('J', 2, N(1), N(FILE_1)), &m.base);
}

static void copy_of_job(void)
{
	put_job(ORCHFS__STORE__JOB_STATE__JOB_RUNNING, 1250);
	put_copy(1250, ORCHFS__STORE__INSTANCE_STATE__INSTANCE_FILLING);
}

static void copy_stray(void)
{
	put_copy(1250, ORCHFS__STORE__INSTANCE_STATE__INSTANCE_RETIRING);
}

static void copy_job_ended(void)
{
	put_job(ORCHFS__STORE__JOB_STATE__JOB_DONE, 1250);
	put_copy(1250, ORCHFS__STORE__INSTANCE_STATE__INSTANCE_STALE);
}

static void job_missing(void)
{
	put_job(-1, 1250);
}

/* Nodes 1, the authority, and @second, with a name. */
static void put_cluster(uint32_t second, const char *name)
{
	Orchfs__Store__Cluster m = ORCHFS__STORE__CLUSTER__INIT;
	Orchfs__Store__Counter c = ORCHFS__STORE__COUNTER__INIT;
	Orchfs__Store__Node n = ORCHFS__STORE__NODE__INIT;
	const char number[4] = { 0, 0, 0, (char)second };
	static const uint8_t sum[32];

	m.change = n.change = SEQ;
	m.ca_sha256.data = (uint8_t *)sum;
	m.ca_sha256.len = sizeof(sum);
	m.epoch = m.authority = 1;
	put_msg(raw('S', "cluster", 7), &m.base);
	c.limit = 3;
	put_msg(raw('A', "node", 4), &c.base);
	n.name = "a";
	put_msg(raw('K', "\0\0\0\1", 4), &n.base);
	n.name = (char *)name;
	put_msg(raw('K', number, 4), &n.base);
}

static void cluster(void)
{
	Orchfs__Store__Invitation m = ORCHFS__STORE__INVITATION__INIT;

	m.change = SEQ;
	put_cluster(2, "b");
	put_msg(raw('Q', "0123456789abcdef0123456789abcdef", 32), &m.base);
}

static void node_number(void)
{
	put_cluster(9, "b");
}

static void node_twice(void)
{
	put_cluster(2, "a");
}

static void node_alone(void)
{
	put_cluster(2, "b");
	del(raw('S', "cluster", 7));
}

static void job_number(void)
{
	put_job(ORCHFS__STORE__JOB_STATE__JOB_RUNNING, 1250);
	del(raw('A', "job", 3));
}

static void instance_two(void)
{
	put_copy(1250, ORCHFS__STORE__INSTANCE_STATE__INSTANCE_VALID);
}

static void instance_none(void)
{
	put_copy(INSTANCE_OF(FILE_1),
		 ORCHFS__STORE__INSTANCE_STATE__INSTANCE_FILLING);
}

static void root_mode(void)
{
	chmod(vol_path, 0755);
}

static void everything(void)
{
	entry_twice();
	xattr_flag();
	index_c_missing();
	index_u_stray();
	unknown_file();
	parent_wrong();
	version_missing();
	symlink_size();
	entry_dangling();
	del(key('R', 3, N(FILE_2), N(DIR_B), cookie_of("other")));
}

/* What fsck calls it, and its exit codes with --repair and after that. */
static const struct {
	const char *name, *rule;
	int repair, after;
	void (*fn)(void);
} kinds[] = {
	{ "nlink_high", "nlink", 5, 0, nlink_high },
	{ "nlink_dir", "nlink", 5, 0, nlink_dir },
	{ "parent_wrong", "parent", 5, 0, parent_wrong },
	{ "reverse_missing", "reverse", 5, 0, reverse_missing },
	{ "reverse_wrong", "reverse", 5, 0, reverse_wrong },
	{ "reverse_stray", "reverse", 5, 0, reverse_stray },
	{ "entry_missing", "reverse", 5, 0, entry_missing },
	{ "entry_dangling", "entry", 5, 0, entry_dangling },
	{ "entry_type", "entry", 5, 0, entry_type },
	{ "entry_twice", "entry", 5, 0, entry_twice },
	{ "entry_in_file", "entry", 5, 0, entry_in_file },
	{ "entry_to_root", "entry", 5, 0, entry_to_root },
	{ "entry_bad_name", "entry", 5, 0, entry_bad_name },
	{ "cookie_wrong", "cookie", 5, 0, cookie_wrong },
	{ "dir_two_names", "entry", 5, 0, dir_two_names },
	{ "unreachable_file", "reachability", 5, 0, unreachable_file },
	{ "unreachable_dir", "reachability", 5, 0, unreachable_dir },
	{ "ring", "reachability", 5, 0, ring },
	{ "dir_gone", "entry", 5, 0, dir_gone },
	{ "root_missing", "inode", 5, 0, root_missing },
	{ "orphan_missing", "orphan", 5, 0, orphan_missing },
	{ "orphan_named", "orphan", 5, 0, orphan_named },
	{ "orphan_stray", "orphan", 5, 0, orphan_stray },
	{ "orphan_dir_full", "orphan", 5, 0, orphan_dir_full },
	{ "version_missing", "version", 5, 0, version_missing },
	{ "version_stray", "version", 5, 0, version_stray },
	{ "instance_missing", "instance", 5, 0, instance_missing },
	{ "instance_lost", "instance", 4, 4, instance_lost },
	{ "instance_stray", "instance", 5, 0, instance_stray },
	{ "instance_volume", "instance", 4, 4, instance_volume },
	{ "instance_two", "instance", 4, 4, instance_two },
	{ "instance_none", "instance", 4, 4, instance_none },
	{ "copy_stray", "instance", 5, 0, copy_stray },
	{ "copy_job_ended", "job", 5, 0, copy_job_ended },
	{ "job_missing", "job", 5, 0, job_missing },
	{ "job_number", "number", 5, 0, job_number },
	{ "node_number", "number", 5, 0, node_number },
	{ "node_twice", "node", 4, 4, node_twice },
	{ "node_alone", "node", 4, 4, node_alone },
	{ "xattr_flag", "xattr", 5, 0, xattr_flag },
	{ "xattr_stray", "xattr", 5, 0, xattr_stray },
	{ "index_c_missing", "index-change", 5, 0, index_c_missing },
	{ "index_c_stray", "index-change", 5, 0, index_c_stray },
	{ "index_h_missing", "index-heat", 5, 0, index_h_missing },
	{ "index_h_stray", "index-heat", 5, 0, index_h_stray },
	{ "index_u_missing", "index-owner", 5, 0, index_u_missing },
	{ "index_u_stray", "index-owner", 5, 0, index_u_stray },
	{ "index_w_missing", "index-dirty", 5, 0, index_w_missing },
	{ "index_w_stray", "index-dirty", 5, 0, index_w_stray },
	{ "counter_low", "number", 5, 0, counter_low },
	{ "layout_high", "number", 5, 0, layout_high },
	{ "seq_low", "super", 5, 0, seq_low },
	{ "change_high", "change", 5, 0, change_high },
	{ "record_bad", "record", 4, 4, record_bad },
	{ "unknown_table", "record", 4, 4, unknown_table },
	{ "symlink_size", "size", 5, 0, symlink_size },
	{ "size_wrong", "size", 5, 0, size_wrong },
	{ "backing_missing", "backing", 4, 4, backing_missing },
	{ "backing_dir", "backing", 4, 4, backing_dir },
	{ "unknown_file", "unknown-file", 5, 0, unknown_file },
	{ "marker_missing", "volume", 4, 4, marker_missing },
	{ "marker_newer", "volume", 4, 4, marker_newer },
	{ "marker_other", "volume", 4, 4, marker_other },
	{ "root_mode", "volume", 5, 0, root_mode },
	{ "everything", "entry", 5, 0, everything },
	/* no damage */
	{ "copy_of_job", NULL, 0, 0, copy_of_job },
	{ "cluster", NULL, 0, 0, cluster },
};

#define NR_KINDS (sizeof(kinds) / sizeof(kinds[0]))

void damage_list(void)
{
	size_t i;

	for (i = 0; i < NR_KINDS; i++)
		if (kinds[i].rule)
			printf("%s %s %d %d\n", kinds[i].name, kinds[i].rule,
		       kinds[i].repair, kinds[i].after);
}

int damage(const char *kind)
{
	size_t i;

	for (i = 0; i < NR_KINDS; i++)
		if (!strcmp(kind, kinds[i].name)) {
			kinds[i].fn();
			return 0;
		}
	return 2;
}
