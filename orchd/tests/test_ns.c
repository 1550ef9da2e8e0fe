// SPDX-License-Identifier: Apache-2.0
/* The metadata engine: each kind of request, its replies and its errors. */
#include "engine_util.h"

#define REG	(S_IFREG | 0644)
#define DIR_	(S_IFDIR | 0755)
#define NO_ACLS	(ORCHFS_ATTR_NO_ACL | ORCHFS_ATTR_NO_DEFACL)

static struct env e;

static void begin(void **state)
{
	env_open(&e, *state);
}

static void end(void)
{
	env_check(&e);
	env_close(&e);
}

static uint64_t make(uint64_t dir, const char *name, uint32_t mode)
{
	uint64_t ino = 0;

	assert_int_equal(do_create(&e, dir, name, mode, F(EXCL), &ino), 0);
	return ino;
}

static void test_mount_and_lookup(void **state)
{
	struct op_req rq;
	uint64_t d, f;

	begin(state);
	rq = env_req(&e, K(MOUNT), 64);
	assert_int_equal(env_run(&e, &rq), 0);
	assert_int_equal(e.rep.attr.ino, ROOT);
	assert_int_equal(e.rep.attr.mode, S_IFDIR | 0755);
	assert_int_equal(e.rep.attr.nlink, 2);
	assert_int_equal(e.rep.attr.size, 4096);
	assert_int_equal(e.rep.attr.blocks, 8);
	assert_int_equal(e.rep.attr.flags,
			 ORCHFS_ATTR_NO_XATTR | ORCHFS_ATTR_NO_CAP | NO_ACLS);
	d = make(ROOT, "d", DIR_);
	f = make(d, "f", REG);
	assert_int_equal(do_lookup(&e, ROOT, "d"), 0);
	assert_int_equal(e.rep.attr.ino, d);
	assert_int_equal(do_lookup(&e, d, "f"), 0);
	assert_int_equal(e.rep.attr.ino, f);
	assert_int_equal(do_lookup(&e, d, "none"), -ENOENT);
	assert_int_equal(do_lookup(&e, f, "x"), -ENOTDIR);
	assert_int_equal(do_lookup(&e, 999999, "x"), -ESTALE);
	assert_int_equal(do_lookup(&e, ROOT, ""), -EINVAL);
	assert_int_equal(do_lookup(&e, ROOT, "."), -EINVAL);
	assert_int_equal(do_lookup(&e, ROOT, ".."), -ENOENT);
	assert_int_equal(do_lookup(&e, ROOT, "a/b"), -EINVAL);
	assert_int_equal(do_getattr(&e, 999999), -ESTALE);
	rq = env_req(&e, 99, 64);
	assert_int_equal(env_run(&e, &rq), -EOPNOTSUPP);
	rq = env_req(&e, K(BARRIER), 64);
	assert_int_equal(env_run(&e, &rq), 0);
	end();
}

static void test_create(void **state)
{
	static const uint32_t types[] = { S_IFCHR, S_IFBLK, S_IFIFO, S_IFSOCK };
	char name[300], c[2] = "A";
	struct op_req rq;
	uint64_t f, d;

	begin(state);
	f = make(ROOT, "f", REG);
	assert_true(e.rep.txn > 0);
	assert_int_equal(e.rep.attr.change, e.rep.txn);
	assert_int_equal(e.rep.attr.mode, REG);
	assert_int_equal(e.rep.attr.uid, 10);
	assert_int_equal(e.rep.attr.gid, 20);
	assert_int_equal(e.rep.attr.nlink, 1);
	assert_int_equal(e.rep.attr.version, 1);
	assert_int_equal(e.rep.attr.size, 0);
	assert_int_equal(e.rep.attr.mtime, e.now - 1);
	assert_int_equal(e.rep.attr.btime, e.now - 1);
	assert_false(e.rep.has_layout);
	d = make(ROOT, "d", DIR_);
	assert_int_equal(e.rep.attr.nlink, 2);
	assert_int_equal(do_getattr(&e, ROOT), 0);
	assert_int_equal(e.rep.attr.nlink, 3);
	assert_int_equal(e.rep.attr.mtime, e.now - 2);
	assert_int_equal(do_create(&e, ROOT, "f", REG, F(EXCL), NULL),
			 -EEXIST);
	assert_int_equal(do_create(&e, ROOT, "f", DIR_, 0, NULL), -EEXIST);
	/* O_CREAT without O_EXCL opens what is there */
	assert_int_equal(do_create(&e, ROOT, "f", REG, 0, NULL), 0);
	assert_int_equal(e.rep.attr.ino, f);
	assert_int_equal(e.rep.flags, F(EXISTING));
	assert_int_equal(e.rep.txn, 0);
	assert_int_equal(do_create(&e, ROOT, "d", REG, F(LAYOUT), NULL), 0);
	assert_int_equal(e.rep.attr.ino, d);
	assert_false(e.rep.has_layout);
	assert_int_equal(do_create(&e, ROOT, "f", REG, F(LAYOUT) | F(WRITE),
				   NULL), 0);
	assert_true(e.rep.has_layout);
	for (int i = 0; i < 4; i++, c[0]++) {
		rq = env_req(&e, K(CREATE), 7);
		rq.node = d;
		rq.name = nm(c);
		rq.mode = types[i] | 0600;
		rq.rdev_major = 8;
		rq.rdev_minor = 300;
		assert_int_equal(env_run(&e, &rq), 0);
		assert_int_equal(e.rep.attr.mode, types[i] | 0600);
		assert_int_equal(e.rep.attr.rdev_minor, i < 2 ? 300 : 0);
	}
	memset(name, 'n', 256);
	name[255] = 0;
	make(d, name, REG);
	assert_int_equal(do_lookup(&e, d, name), 0);
	strcat(name, "n");
	assert_int_equal(do_create(&e, d, name, REG, 0, NULL), -ENAMETOOLONG);
	assert_int_equal(do_create(&e, d, "x", 0644, 0, NULL), -EINVAL);
	assert_int_equal(do_create(&e, f, "x", REG, 0, NULL), -ENOTDIR);
	assert_int_equal(do_create(&e, 12345678, "x", REG, 0, NULL), -ESTALE);
	e.fake.take_error = -ENOSPC;
	assert_int_equal(do_create(&e, d, "x", REG, 0, NULL), -ENOSPC);
	assert_int_equal(do_create(&e, d, "x", DIR_, 0, NULL), 0);
	end();
}

static void test_symlink(void **state)
{
	char target[5000];

	begin(state);
	assert_int_equal(do_symlink(&e, ROOT, "l", "to/there"), 0);
	assert_int_equal(e.rep.target.len, 8);
	assert_memory_equal(e.rep.target.s, "to/there", 8);
	assert_int_equal(e.rep.attr.size, 8);
	assert_int_equal(do_lookup(&e, ROOT, "l"), 0);
	assert_memory_equal(e.rep.target.s, "to/there", 8);
	assert_int_equal(do_symlink(&e, ROOT, "m", ""), -EINVAL);
	memset(target, 't', sizeof(target));
	target[4096] = 0;
	assert_int_equal(do_symlink(&e, ROOT, "m", target), -ENAMETOOLONG);
	target[4095] = 0;
	assert_int_equal(do_symlink(&e, ROOT, "m", target), 0);
	assert_int_equal(do_readdir(&e, ROOT, 0, 0), 0);
	assert_int_equal(e.rep.nr_entries, 2);
	assert_int_equal(e.rep.entries[0].target.len +
			 e.rep.entries[1].target.len, 8 + 4095);
	end();
}

static void test_tmpfile(void **state)
{
	struct ns_counts c;
	uint64_t f, g;

	begin(state);
	assert_int_equal(do_create(&e, ROOT, NULL, REG,
				   F(TMPFILE) | F(LAYOUT) | F(WRITE), &f), 0);
	assert_int_equal(e.rep.attr.nlink, 0);
	assert_true(e.rep.has_layout && e.rep.layout.writable);
	assert_int_equal(do_create(&e, ROOT, NULL, DIR_, F(TMPFILE), NULL),
			 -EINVAL);
	env_check(&e);
	assert_int_equal(do_link(&e, f, ROOT, "named"), 0);
	assert_int_equal(e.rep.attr.nlink, 1);
	env_check(&e);
	assert_int_equal(do_create(&e, ROOT, NULL, REG, F(TMPFILE), &g), 0);
	assert_int_equal(do_forget(&e, g), 0);
	assert_int_equal(do_getattr(&e, g), -ESTALE);
	assert_int_equal(ns_counts(e.ns, &c), 0);
	assert_int_equal(c.orphans, 0);
	assert_int_equal(c.deletions, 1);
	/* it has a name: the notice is old */
	assert_int_equal(do_forget(&e, f), 0);
	assert_int_equal(do_getattr(&e, f), 0);
	end();
}

static void test_link(void **state)
{
	uint64_t f, d;

	begin(state);
	f = make(ROOT, "f", REG);
	d = make(ROOT, "d", DIR_);
	assert_int_equal(do_link(&e, f, d, "g"), 0);
	assert_int_equal(e.rep.attr.nlink, 2);
	assert_int_equal(e.rep.attr.ctime, e.now - 1);
	assert_int_equal(do_link(&e, f, d, "g"), -EEXIST);
	assert_int_equal(do_link(&e, d, ROOT, "h"), -EPERM);
	assert_int_equal(do_link(&e, f, f, "h"), -ENOTDIR);
	assert_int_equal(do_link(&e, 12345678, ROOT, "h"), -ESTALE);
	assert_int_equal(do_link(&e, f, ROOT, "."), -EINVAL);
	end();
}

static void test_unlink(void **state)
{
	struct ns_deletion del[4];
	struct op_req rq;
	uint64_t f, d, seq, inst;

	begin(state);
	f = make(ROOT, "f", REG);
	d = make(ROOT, "d", DIR_);
	make(d, "x", REG);
	do_link(&e, f, ROOT, "g");
	assert_int_equal(do_unlink(&e, ROOT, "d", 0), -EISDIR);
	assert_int_equal(do_unlink(&e, ROOT, "f", F(DIR)), -ENOTDIR);
	assert_int_equal(do_unlink(&e, ROOT, "d", F(DIR)), -ENOTEMPTY);
	assert_int_equal(do_unlink(&e, ROOT, "no", 0), -ENOENT);
	rq = env_req(&e, K(UNLINK), 9);
	rq.node = ROOT;
	rq.name = nm("f");
	rq.node2 = d;
	assert_int_equal(env_run(&e, &rq), -ESTALE);
	rq.node2 = f;
	assert_int_equal(env_run(&e, &rq), 0);
	assert_int_equal(e.rep.attr2.ino, f);
	assert_int_equal(e.rep.attr2.nlink, 1);
	assert_int_equal(do_unlink(&e, ROOT, "g", 0), 0);
	assert_int_equal(e.rep.attr2.nlink, 0);
	env_check(&e);
	assert_int_equal(do_unlink(&e, d, "x", 0), 0);
	assert_int_equal(do_unlink(&e, ROOT, "d", F(DIR)), 0);
	assert_int_equal(e.rep.attr2.nlink, 0);
	assert_int_equal(do_create(&e, d, "y", REG, 0, NULL), -ENOENT);
	assert_int_equal(do_readdir(&e, d, 0, 0), 0);
	assert_true(e.rep.eof);
	assert_int_equal(e.rep.nr_entries, 0);
	assert_int_equal(do_getattr(&e, ROOT), 0);
	assert_int_equal(e.rep.attr.nlink, 2);
	env_check(&e);
	assert_int_equal(ns_deletions(e.ns, 0, del, 4), 0);
	assert_int_equal(do_forget(&e, f), 0);
	assert_int_equal(do_forget(&e, d), 0);
	assert_int_equal(do_forget(&e, d), 0);
	assert_int_equal(ns_deletions(e.ns, 0, del, 4), 1);
	assert_int_equal(del[0].ino, f);
	assert_int_equal(del[0].volume, 1);
	assert_int_equal(del[0].version, 1);
	assert_int_equal(del[0].instance, fake_find(&e, f)->instance);
	assert_true(del[0].txn > 0 && del[0].txn <= ns_txn(e.ns));
	seq = del[0].seq;
	assert_int_equal(ns_deletions(e.ns, seq, del, 4), 0);
	assert_int_equal(ns_has_instance(e.ns, 1, f, 1, del[0].instance), 0);
	f = make(ROOT, "other", REG);
	inst = fake_find(&e, f)->instance;
	assert_int_equal(ns_has_instance(e.ns, 1, f, 1, inst), 1);
	assert_int_equal(ns_has_instance(e.ns, 2, f, 1, inst), 0);
	assert_int_equal(ns_deletions_done(e.ns, &seq, 1), 0);
	assert_int_equal(ns_deletions(e.ns, 0, del, 4), 0);
	end();
}

static int rename_unseen(const char *from, const char *to, uint32_t uid)
{
	struct op_req rq = env_req(&e, ORCHFS_KIND_RENAME, 4);

	rq.node = rq.node2 = ROOT;
	rq.name = nm(from);
	rq.name2 = nm(to);
	rq.flags = F(UNSEEN);
	rq.uid = uid;
	return env_run(&e, &rq);
}

static void test_rename(void **state)
{
	uint64_t a, b, d1, d2, sub;
	uint32_t uid;

	begin(state);
	a = make(ROOT, "a", REG);
	b = make(ROOT, "b", REG);
	d1 = make(ROOT, "d1", DIR_);
	d2 = make(ROOT, "d2", DIR_);
	sub = make(d1, "sub", DIR_);
	assert_int_equal(do_rename(&e, ROOT, "none", ROOT, "x", 0), -ENOENT);
	assert_int_equal(do_rename(&e, ROOT, "a", ROOT, "b", F(NOREPLACE)),
			 -EEXIST);
	assert_int_equal(do_rename(&e, ROOT, "a", ROOT, "a", 0), 0);
	assert_int_equal(e.rep.txn, 0);
	assert_int_equal(do_rename(&e, ROOT, "a", ROOT, "c",
				   F(EXCHANGE) | F(NOREPLACE)), -EINVAL);
	assert_int_equal(do_rename(&e, ROOT, "a", ROOT, "c", F(EXCHANGE)),
			 -ENOENT);
	/* over a file */
	assert_int_equal(do_rename(&e, ROOT, "a", ROOT, "b", 0), 0);
	assert_int_equal(e.rep.attr.ino, a);
	assert_int_equal(e.rep.attr.ctime, e.now - 1);
	assert_int_equal(e.rep.attr2.ino, b);
	assert_int_equal(e.rep.attr2.nlink, 0);
	assert_int_equal(do_lookup(&e, ROOT, "a"), -ENOENT);
	env_check(&e);
	/* of another owner than may be replaced unseen */
	make(ROOT, "u", REG);
	uid = e.rep.attr.uid;
	assert_int_equal(rename_unseen("u", "b", uid + 1), -EEXIST);
	assert_int_equal(rename_unseen("u", "d1", -1), -EISDIR);
	assert_int_equal(rename_unseen("u", "b", uid), 0);
	assert_int_equal(e.rep.attr2.ino, a);
	assert_int_equal(rename_unseen("b", "b2", 7), 0);
	assert_int_equal(rename_unseen("b2", "b", -1), 0);
	env_check(&e);
	/* types */
	assert_int_equal(do_rename(&e, ROOT, "b", ROOT, "d1", 0), -EISDIR);
	assert_int_equal(do_rename(&e, ROOT, "d1", ROOT, "b", 0), -ENOTDIR);
	assert_int_equal(do_rename(&e, ROOT, "d2", ROOT, "d1", 0),
			 -ENOTEMPTY);
	/* ancestors */
	assert_int_equal(do_rename(&e, ROOT, "d1", sub, "x", 0), -EINVAL);
	assert_int_equal(do_rename(&e, ROOT, "d1", d1, "x", 0), -EINVAL);
	assert_int_equal(do_rename(&e, d1, "sub", ROOT, "d1", 0), -ENOTEMPTY);
	assert_int_equal(do_rename(&e, d1, "sub", ROOT, "d1", F(EXCHANGE)),
			 -EINVAL);
	assert_int_equal(do_rename(&e, ROOT, "d1", d1, "sub", F(EXCHANGE)),
			 -EINVAL);
	/* a directory over an empty one, in another parent */
	assert_int_equal(do_rename(&e, d1, "sub", ROOT, "d2", 0), 0);
	assert_int_equal(e.rep.attr2.ino, d2);
	assert_int_equal(e.rep.attr2.nlink, 0);
	env_check(&e);
	assert_int_equal(do_rename(&e, ROOT, "d1", sub, "x", 0), 0);
	assert_int_equal(do_rename(&e, ROOT, "b", d2, "x", 0), -ENOENT);
	env_check(&e);
	assert_int_equal(do_getattr(&e, ROOT), 0);
	assert_int_equal(e.rep.attr.nlink, 3);
	end();
}

static void test_exchange(void **state)
{
	uint64_t f, d, p, q;

	begin(state);
	p = make(ROOT, "p", DIR_);
	q = make(ROOT, "q", DIR_);
	f = make(p, "f", REG);
	d = make(q, "d", DIR_);
	make(d, "inside", REG);
	assert_int_equal(do_rename(&e, p, "f", q, "d", F(EXCHANGE)), 0);
	assert_int_equal(e.rep.attr.ino, f);
	assert_int_equal(e.rep.attr2.ino, d);
	assert_int_equal(e.rep.attr2.nlink, 2);
	assert_int_equal(do_lookup(&e, p, "f"), 0);
	assert_int_equal(e.rep.attr.ino, d);
	env_check(&e);
	assert_int_equal(do_rename(&e, p, "f", q, "d", F(EXCHANGE)), 0);
	env_check(&e);
	assert_int_equal(do_rename(&e, ROOT, "p", q, "d", F(EXCHANGE)), 0);
	assert_int_equal(do_lookup(&e, q, "d"), 0);
	assert_int_equal(e.rep.attr.ino, p);
	env_check(&e);
	assert_int_equal(do_rename(&e, ROOT, "p", ROOT, "q", F(EXCHANGE)), 0);
	assert_int_equal(do_lookup(&e, ROOT, "p"), 0);
	assert_int_equal(e.rep.attr.ino, q);
	/* two names of one inode */
	assert_int_equal(do_link(&e, f, ROOT, "g"), 0);
	assert_int_equal(do_rename(&e, p, "f", ROOT, "g", F(EXCHANGE)), 0);
	assert_int_equal(do_rename(&e, p, "f", ROOT, "g", 0), 0);
	assert_int_equal(do_lookup(&e, p, "f"), 0);
	assert_int_equal(do_rename(&e, p, "f", ROOT, "g", F(NOREPLACE)),
			 -EEXIST);
	end();
}

static void test_setattr(void **state)
{
	struct op_req rq;
	uint64_t f;

	begin(state);
	f = make(ROOT, "f", REG);
	rq = env_req(&e, K(SETATTR), 6);
	rq.node = f;
	assert_int_equal(env_run(&e, &rq), 0);
	assert_int_equal(e.rep.txn, 0);
	rq.valid = ORCHFS_SET_MODE | ORCHFS_SET_UID | ORCHFS_SET_MTIME;
	rq.attr.mode = S_IFDIR | 04711;
	rq.attr.uid = 1000;
	rq.attr.gid = 1000;
	rq.attr.mtime = -5;
	rq.attr.mtime_nsec = 999999999;
	assert_int_equal(env_run(&e, &rq), 0);
	assert_int_equal(e.rep.attr.mode, S_IFREG | 04711);
	assert_int_equal(e.rep.attr.uid, 1000);
	assert_int_equal(e.rep.attr.gid, 20);
	assert_int_equal(e.rep.attr.mtime, -5);
	assert_int_equal(e.rep.attr.mtime_nsec, 999999999);
	assert_int_equal(e.rep.attr.ctime, e.now - 1);
	env_check(&e);
	rq = env_req(&e, K(SETATTR), 6);
	rq.node = f;
	rq.valid = ORCHFS_SET_SIZE;
	assert_int_equal(env_run(&e, &rq), -EINVAL);
	rq.valid = 1U << 30;
	assert_int_equal(env_run(&e, &rq), -EINVAL);
	rq.valid = ORCHFS_SET_ATIME;
	rq.attr.atime_nsec = 1000000000;
	assert_int_equal(env_run(&e, &rq), -EINVAL);
	rq.node = 12345678;
	rq.attr.atime_nsec = 0;
	assert_int_equal(env_run(&e, &rq), -ESTALE);
	end();
}

static void test_readdir(void **state)
{
	char name[16], seen[3000] = { 0 };
	uint64_t d, cookie = 0, last;
	size_t total = 0;

	begin(state);
	d = make(ROOT, "d", DIR_);
	for (int i = 0; i < 2500; i++) {
		snprintf(name, sizeof(name), "%d", i);
		make(d, name, i % 3 ? REG : DIR_);
	}
	do {
		assert_int_equal(do_readdir(&e, d, cookie, 0), 0);
		assert_true(e.rep.nr_entries <= 1024);
		assert_true(e.rep.nr_entries >= 500 || e.rep.eof);
		for (size_t i = 0; i < e.rep.nr_entries; i++) {
			struct op_entry *x = &e.rep.entries[i];

			last = cookie;
			cookie = x->cookie;
			assert_true(cookie > last && cookie >> 63 == 0);
			memset(name, 0, sizeof(name));
			memcpy(name, x->name.s, x->name.len);
			assert_int_equal(seen[atoi(name)]++, 0);
			assert_int_equal(S_ISREG(x->attr.mode),
					 atoi(name) % 3 != 0);
			total++;
		}
	} while (!e.rep.eof);
	assert_int_equal(total, 2500);
	assert_int_equal(do_readdir(&e, d, 0, 10), 0);
	assert_int_equal(e.rep.nr_entries, 10);
	assert_false(e.rep.eof);
	cookie = e.rep.entries[4].cookie;
	last = e.rep.entries[5].cookie;
	assert_int_equal(do_readdir(&e, d, cookie, 1), 0);
	assert_int_equal(e.rep.entries[0].cookie, last);
	assert_int_equal(do_readdir(&e, d, UINT64_MAX, 1), 0);
	assert_true(e.rep.eof);
	assert_int_equal(do_readdir(&e, 12345678, 0, 1), -ESTALE);
	env_restart(&e, true);
	assert_int_equal(do_readdir(&e, d, cookie, 1), 0);
	assert_int_equal(e.rep.entries[0].cookie, last);
	end();
}

/* Where an inode is, and under which name. */
static void test_parent(void **state)
{
	struct op_req rq;
	uint64_t a, b, f;

	begin(state);
	a = make(ROOT, "a", DIR_);
	b = make(a, "b", DIR_);
	f = make(b, "f", REG);
	assert_int_equal(do_lookup(&e, b, ".."), 0);
	assert_int_equal(e.rep.attr.ino, a);
	assert_int_equal(e.rep.name.len, 1);
	assert_memory_equal(e.rep.name.s, "b", 1);
	assert_int_equal(do_link(&e, f, a, "link"), 0);
	rq = env_req(&e, K(LOOKUP), 64);
	rq.node = f;
	rq.name = nm("..");
	rq.node2 = a;
	assert_int_equal(env_run(&e, &rq), 0);
	assert_int_equal(e.rep.attr.ino, a);
	assert_memory_equal(e.rep.name.s, "link", 4);
	rq.node2 = b;
	assert_int_equal(env_run(&e, &rq), 0);
	assert_memory_equal(e.rep.name.s, "f", 1);
	rq.node2 = ROOT;
	assert_int_equal(env_run(&e, &rq), -ENOENT);
	assert_int_equal(do_lookup(&e, 12345678, ".."), -ENOENT);
	end();
}

/* ACLs come with the mode that says the same, in one transaction. */
static void test_acl(void **state)
{
	const char acc[] = "system.posix_acl_access";
	const char def[] = "system.posix_acl_default";
	struct op_req rq;
	uint64_t d, f;

	begin(state);
	rq = env_req(&e, K(CREATE), 3);
	rq.node = ROOT;
	rq.name = nm("d");
	rq.mode = S_IFDIR | 0770;
	rq.flags = F(EXCL);
	rq.xattrs[0] = (struct op_xattr){ nm(acc), "one", 3 };
	rq.xattrs[1] = (struct op_xattr){ nm(def), "two", 3 };
	rq.nr_xattrs = 2;
	assert_int_equal(env_run(&e, &rq), 0);
	d = e.rep.attr.ino;
	assert_int_equal(e.rep.attr.flags, ORCHFS_ATTR_NO_CAP);
	assert_int_equal(do_getxattr(&e, d, def), 0);
	assert_memory_equal(e.rep.value, "two", 3);
	env_check(&e);
	/* chmod */
	rq = env_req(&e, K(SETATTR), 3);
	rq.node = d;
	rq.valid = ORCHFS_SET_MODE;
	rq.attr.mode = 0700;
	rq.xattrs[0] = (struct op_xattr){ nm(acc), "three", 5 };
	rq.nr_xattrs = 1;
	assert_int_equal(env_run(&e, &rq), 0);
	assert_int_equal(e.rep.attr.mode, S_IFDIR | 0700);
	assert_int_equal(do_getxattr(&e, d, acc), 0);
	assert_int_equal(e.rep.value_len, 5);
	/* setfacl: the mode alone says all of it */
	f = make(d, "f", REG);
	rq = env_req(&e, K(SETXATTR), 3);
	rq.node = f;
	rq.xattr_name = nm(acc);
	rq.valid = ORCHFS_SET_MODE;
	rq.attr.mode = 0604;
	rq.flags = F(XATTR_REMOVE);
	assert_int_equal(env_run(&e, &rq), 0);
	assert_int_equal(e.rep.attr.mode, S_IFREG | 0604);
	assert_int_equal(e.rep.attr.flags, ORCHFS_ATTR_NO_XATTR |
			 ORCHFS_ATTR_NO_CAP | NO_ACLS);
	rq.valid = ORCHFS_SET_UID;
	rq.sequence++;
	assert_int_equal(env_run(&e, &rq), -EINVAL);
	assert_int_equal(do_setxattr(&e, d, acc, NULL, 0, F(XATTR_REMOVE)), 0);
	assert_int_equal(e.rep.attr.flags, ORCHFS_ATTR_NO_CAP |
			 ORCHFS_ATTR_NO_ACL);
	assert_int_equal(do_setxattr(&e, d, acc, NULL, 0, F(XATTR_REMOVE)),
			 -ENODATA);
	end();
}

static uint64_t in_project(uint32_t projid)
{
	char name[16];
	struct op_req rq;
	uint64_t d;

	snprintf(name, sizeof(name), "p%u", projid);
	d = make(ROOT, name, DIR_);
	rq = env_req(&e, K(SETATTR), 3);
	rq.node = d;
	rq.valid = ORCHFS_SET_FLAGS | ORCHFS_SET_PROJID;
	rq.attr.flags = ORCHFS_ATTR_PROJINHERIT | ORCHFS_ATTR_NODUMP |
			ORCHFS_ATTR_IMMUTABLE | ORCHFS_ATTR_NO_CAP;
	rq.attr.projid = projid;
	assert_int_equal(env_run(&e, &rq), 0);
	assert_int_equal(e.rep.attr.projid, projid);
	assert_int_equal(e.rep.attr.flags & ORCHFS_ATTR_SETTABLE,
			 ORCHFS_ATTR_PROJINHERIT | ORCHFS_ATTR_NODUMP |
			 ORCHFS_ATTR_IMMUTABLE);
	return d;
}

/* Does it bring a layout? */
static bool lookup_to_write(uint64_t dir, const char *name)
{
	struct op_req rq = env_req(&e, K(LOOKUP), 0);

	rq.node = dir;
	rq.name = (struct op_name){ name, strlen(name) };
	rq.flags = F(LAYOUT) | F(WRITE);
	assert_int_equal(env_run(&e, &rq), 0);
	return e.rep.has_layout;
}

/* What chattr sets, and what of it is inherited. */
static void test_flags(void **state)
{
	uint64_t p, q, d, f;
	struct op_req rq;

	begin(state);
	p = in_project(7);
	q = in_project(8);
	d = make(p, "d", DIR_);
	assert_int_equal(e.rep.attr.projid, 7);
	assert_int_equal(e.rep.attr.flags & ORCHFS_ATTR_SETTABLE,
			 ORCHFS_ATTR_PROJINHERIT | ORCHFS_ATTR_NODUMP);
	f = make(d, "f", REG);
	assert_int_equal(e.rep.attr.projid, 7);
	assert_int_equal(e.rep.attr.flags & ORCHFS_ATTR_SETTABLE,
			 ORCHFS_ATTR_NODUMP);
	/* a look-up makes nobody a writer who will be refused */
	assert_true(lookup_to_write(d, "f"));
	rq = env_req(&e, K(SETATTR), 3);
	rq.node = f;
	rq.valid = ORCHFS_SET_FLAGS;
	rq.attr.flags = ORCHFS_ATTR_IMMUTABLE | ORCHFS_ATTR_NO_CAP;
	assert_int_equal(env_run(&e, &rq), 0);
	assert_false(lookup_to_write(d, "f"));
	assert_int_equal(do_open(&e, f, true), 0);
	do_return(&e, f, e.rep.layout.generation);
	rq = env_req(&e, K(SETATTR), 3);
	rq.node = f;
	rq.valid = ORCHFS_SET_FLAGS;
	rq.attr.flags = ORCHFS_ATTR_NODUMP | ORCHFS_ATTR_NO_CAP;
	assert_int_equal(env_run(&e, &rq), 0);
	assert_int_equal(do_rename(&e, d, "f", q, "f", 0), -EXDEV);
	assert_int_equal(do_link(&e, f, q, "f"), -EXDEV);
	assert_int_equal(do_rename(&e, d, "f", p, "f", 0), 0);
	assert_int_equal(do_rename(&e, p, "f", ROOT, "f", 0), 0);
	assert_int_equal(do_setxattr(&e, f, "user.a", "v", 1, 0), 0);
	assert_int_equal(e.rep.attr.flags & ORCHFS_ATTR_SETTABLE,
			 ORCHFS_ATTR_NODUMP);
	end();
}

/* The backing file belongs to whom its space is accounted to. */
static void test_owner(void **state)
{
	const struct fake_file *file;
	struct op_req rq;
	uint64_t p, f;

	begin(state);
	p = in_project(9);
	f = make(p, "f", REG);
	file = fake_find(&e, f);
	assert_int_equal(file->uid, 10);
	assert_int_equal(file->gid, 20);
	assert_int_equal(file->projid, 9);
	rq = env_req(&e, K(SETATTR), 3);
	rq.node = f;
	rq.valid = ORCHFS_SET_UID | ORCHFS_SET_PROJID;
	rq.attr.uid = 11;
	assert_int_equal(env_run(&e, &rq), 0);
	assert_int_equal(file->uid, 11);
	assert_int_equal(file->gid, 20);
	assert_int_equal(file->projid, 0);
	rq = env_req(&e, K(SETATTR), 3);
	rq.node = f;
	rq.valid = ORCHFS_SET_GID;
	rq.attr.gid = 12;
	e.fake.own_error = -EDQUOT;
	assert_int_equal(env_run(&e, &rq), -EDQUOT);
	assert_int_equal(do_getattr(&e, f), 0);
	assert_int_equal(e.rep.attr.gid, 20);
	assert_int_equal(do_create(&e, p, "g", REG, 0, NULL), -EDQUOT);
	e.fake.own_error = 0;
	/* a create that fails gives the file back as it was */
	env_fail(&e, 0, -ENOSPC);
	assert_int_equal(do_create(&e, p, "g", REG, 0, NULL), -ENOSPC);
	env_heal(&e);
	for (size_t i = 0; i < e.fake.nr; i++)
		if (e.fake.files[i].free)
			assert_int_equal(e.fake.files[i].uid |
					 e.fake.files[i].projid, 0);
	end();
}

/* A rename that leaves a whiteout. */
static void test_whiteout(void **state)
{
	struct op_req rq;
	uint64_t d, f;

	begin(state);
	d = make(ROOT, "d", DIR_);
	f = make(ROOT, "f", REG);
	rq = env_req(&e, K(RENAME), 3);
	rq.node = ROOT;
	rq.name = nm("f");
	rq.node2 = d;
	rq.name2 = nm("g");
	rq.flags = F(WHITEOUT);
	assert_int_equal(env_run(&e, &rq), -EINVAL);
	rq.sequence++;
	rq.mode = S_IFCHR;
	rq.uid = 5;
	rq.gid = 6;
	assert_int_equal(env_run(&e, &rq), 0);
	assert_int_equal(e.rep.attr.ino, f);
	assert_int_equal(do_lookup(&e, d, "g"), 0);
	assert_int_equal(e.rep.attr.ino, f);
	assert_int_equal(do_lookup(&e, ROOT, "f"), 0);
	assert_int_not_equal(e.rep.attr.ino, f);
	assert_int_equal(e.rep.attr.mode, S_IFCHR);
	assert_int_equal(e.rep.attr.rdev_major, 0);
	assert_int_equal(e.rep.attr.rdev_minor, 0);
	assert_int_equal(e.rep.attr.uid, 5);
	assert_int_equal(e.rep.attr.gid, 6);
	assert_int_equal(e.rep.attr.nlink, 1);
	env_check(&e);
	/* sent again it is answered, not repeated */
	rq.flags |= F(RESENT);
	assert_int_equal(env_run(&e, &rq), 0);
	assert_int_equal(e.rep.attr.ino, f);
	rq.flags = F(WHITEOUT) | F(EXCHANGE);
	rq.sequence++;
	assert_int_equal(env_run(&e, &rq), -EINVAL);
	end();
}

static void test_xattr(void **state)
{
	static char big[65537];
	struct op_req rq;
	uint64_t f;

	begin(state);
	f = make(ROOT, "f", REG);
	assert_int_equal(do_getxattr(&e, f, "user.a"), -ENODATA);
	assert_int_equal(do_getxattr(&e, 12345678, "user.a"), -ESTALE);
	assert_int_equal(do_getxattr(&e, f, "system.a"), -EOPNOTSUPP);
	assert_int_equal(do_getxattr(&e, f, "user."), -EOPNOTSUPP);
	assert_int_equal(do_setxattr(&e, f, "user.a", "v", 1,
				     F(XATTR_REPLACE)), -ENODATA);
	assert_int_equal(do_setxattr(&e, f, "user.a", "v", 1,
				     F(XATTR_CREATE)), 0);
	assert_int_equal(e.rep.attr.flags, ORCHFS_ATTR_NO_CAP | NO_ACLS);
	assert_int_equal(e.rep.attr.ctime, e.now - 1);
	assert_int_equal(do_setxattr(&e, f, "user.a", "w", 1,
				     F(XATTR_CREATE)), -EEXIST);
	assert_int_equal(do_setxattr(&e, f, "user.a", NULL, 0, 0), 0);
	assert_int_equal(do_getxattr(&e, f, "user.a"), 0);
	assert_int_equal(e.rep.value_len, 0);
	assert_non_null(e.rep.value);
	assert_int_equal(do_setxattr(&e, f, "security.capability", "c", 1, 0),
			 0);
	assert_int_equal(e.rep.attr.flags, NO_ACLS);
	rq = env_req(&e, K(LISTXATTR), 64);
	rq.node = f;
	assert_int_equal(env_run(&e, &rq), 0);
	assert_int_equal(e.rep.value_len, 27);
	assert_memory_equal(e.rep.value, "security.capability\0user.a", 27);
	assert_int_equal(do_setxattr(&e, f, "user.b", big, 65537, 0), -E2BIG);
	assert_int_equal(do_setxattr(&e, f, "user.b", big, 65536, 0), 0);
	/* one byte is taken: a MiB of values for all */
	for (int i = 0; i < 14; i++) {
		char name[] = "user.big-a";

		name[9] = (char)('a' + i);
		assert_int_equal(do_setxattr(&e, f, name, big, 65536, 0), 0);
	}
	assert_int_equal(do_setxattr(&e, f, "user.c", big, 65536, 0), -ENOSPC);
	assert_int_equal(do_setxattr(&e, f, "user.c", big, 65535, 0), 0);
	assert_int_equal(do_getxattr(&e, f, "user.b"), 0);
	assert_int_equal(e.rep.value_len, 65536);
	env_check(&e);
	assert_int_equal(do_setxattr(&e, f, "security.capability", NULL, 0,
				     F(XATTR_REMOVE)), 0);
	assert_int_equal(e.rep.attr.flags, ORCHFS_ATTR_NO_CAP | NO_ACLS);
	assert_int_equal(do_setxattr(&e, f, "user.a", NULL, 0,
				     F(XATTR_REMOVE)), 0);
	assert_int_equal(do_setxattr(&e, f, "user.a", NULL, 0,
				     F(XATTR_REMOVE)), -ENODATA);
	env_check(&e);
	assert_int_equal(do_unlink(&e, ROOT, "f", 0), 0);
	assert_int_equal(do_forget(&e, f), 0);
	assert_int_equal(do_getxattr(&e, f, "user.b"), -ESTALE);
	rq = env_req(&e, K(LISTXATTR), 64);
	rq.node = ROOT;
	assert_int_equal(env_run(&e, &rq), 0);
	assert_int_equal(e.rep.value_len, 0);
	end();
}

static void test_reserve(void **state)
{
	uint64_t a, b, c;

	begin(state);
	assert_int_equal(ns_reserve(e.ns, "volume", 1, &a), 0);
	assert_int_equal(ns_reserve(e.ns, "volume", 1, &b), 0);
	assert_int_equal(b, a + 1);
	assert_int_equal(ns_reserve(e.ns, "rubbish", 1, &a), -EINVAL);
	assert_int_equal(ns_reserve(e.ns, "ino", 0, &a), -EINVAL);
	c = make(ROOT, "d", DIR_);
	assert_int_equal(ns_reserve(e.ns, "ino", 100000, &a), 0);
	assert_true(store_durable(e.st) == ns_txn(e.ns));
	assert_true(a > c);
	/* through several ranges of the engine's own */
	b = c;
	for (int i = 0; i < 20000; i++) {
		char name[16];

		snprintf(name, sizeof(name), "%d", i);
		c = make(ROOT, name, S_IFIFO | 0600);
		assert_true(c > b);
		assert_true(c < a || c >= a + 100000);
		b = c;
	}
	env_restart(&e, false);
	assert_true(make(ROOT, "after", DIR_) > b);
	end();
}

static void test_volumes(void **state)
{
	struct ns_volume *v, *list;
	uint64_t count, f;
	size_t nr;

	begin(state);
	v = calloc(1, sizeof(*v));
	v->id = 2;
	strcpy(v->name, "second");
	strcpy(v->path, "/mnt/two");
	v->reserve = 5;
	assert_int_equal(ns_volume_put(e.ns, v), 0);
	assert_int_equal(ns_pool_put(e.ns, 2, 1000, 50, 7), 0);
	assert_int_equal(ns_pool_put(e.ns, 3, 1000, 50, 7), -ENOENT);
	env_restart(&e, true);
	assert_int_equal(ns_volumes(e.ns, &list, &nr), 0);
	assert_int_equal(nr, 2);
	assert_memory_equal(&list[1], v, sizeof(*v));
	free(list);
	f = make(ROOT, "f", REG);
	assert_int_equal(ns_volume_instances(e.ns, 1, &count), 0);
	assert_int_equal(count, 1);
	assert_int_equal(ns_volume_del(e.ns, 1), -EBUSY);
	assert_int_equal(ns_volume_del(e.ns, 2), 0);
	assert_int_equal(ns_volume_del(e.ns, 2), -ENOENT);
	v->id = 1;
	v->tier = 1;
	assert_int_equal(ns_volume_put(e.ns, v), -EBUSY);
	do_unlink(&e, ROOT, "f", 0);
	assert_int_equal(do_forget(&e, f), 0);
	assert_int_equal(ns_volume_del(e.ns, 1), 0);
	assert_int_equal(ns_volumes(e.ns, &list, &nr), 0);
	assert_int_equal(nr, 0);
	free(list);
	free(v);
	end();
}

static void test_where_and_paths(void **state)
{
	struct ns_instance *in;
	uint64_t f, d, version, generation;
	char **paths;
	size_t nr;

	begin(state);
	d = make(ROOT, "d", DIR_);
	d = make(d, "e", DIR_);
	f = make(d, "f", REG);
	do_link(&e, f, ROOT, "g");
	assert_int_equal(do_open(&e, f, true), 0);
	assert_int_equal(ns_where(e.ns, f, &version, &generation, &in, &nr),
			 0);
	assert_int_equal(version, 1);
	assert_int_equal(generation, e.rep.layout.generation);
	assert_int_equal(nr, 1);
	assert_int_equal(in[0].instance, fake_find(&e, f)->instance);
	assert_true(in[0].dirty);
	free(in);
	assert_int_equal(ns_where(e.ns, 123456, &version, &generation, &in,
				  &nr), -ENOENT);
	assert_int_equal(ns_paths(e.ns, f, &paths, &nr, 10), 0);
	assert_int_equal(nr, 2);
	assert_string_equal(paths[0], "/g");
	assert_string_equal(paths[1], "/d/e/f");
	free(paths[0]);
	free(paths[1]);
	free(paths);
	assert_int_equal(ns_paths(e.ns, ROOT, &paths, &nr, 1), 0);
	assert_string_equal(paths[0], "/");
	free(paths[0]);
	free(paths);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(test_mount_and_lookup),
		BOTH(test_create),
		BOTH(test_symlink),
		BOTH(test_tmpfile),
		BOTH(test_link),
		BOTH(test_unlink),
		BOTH(test_rename),
		BOTH(test_exchange),
		BOTH(test_setattr),
		BOTH(test_readdir),
		BOTH(test_parent),
		BOTH(test_acl),
		BOTH(test_flags),
		BOTH(test_owner),
		BOTH(test_whiteout),
		BOTH(test_xattr),
		BOTH(test_reserve),
		BOTH(test_volumes),
		BOTH(test_where_and_paths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
