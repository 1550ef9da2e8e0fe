// SPDX-License-Identifier: Apache-2.0
/*
 * The metadata engine: layouts and dirty instances, notices, slots, what a
 * restart finds, failing commits and damaged records.
 */
#include "engine_util.h"

#include "record.h"
#include "siphash.h"

#define REG	(S_IFREG | 0644)
#define DIR_	(S_IFDIR | 0755)
#define RW	(F(LAYOUT) | F(WRITE))

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

static uint64_t make(uint64_t dir, const char *name, uint32_t mode,
		     uint32_t flags)
{
	uint64_t ino = 0;

	assert_int_equal(do_create(&e, dir, name, mode, flags, &ino), 0);
	return ino;
}

static bool dirty(uint64_t ino)
{
	struct ns_instance *in;
	uint64_t v, g;
	size_t nr;
	bool d;

	assert_int_equal(ns_where(e.ns, ino, &v, &g, &in, &nr), 0);
	assert_int_equal(nr, 1);
	d = in[0].dirty;
	free(in);
	return d;
}

static void test_grants(void **state)
{
	uint64_t f, g, txn;

	begin(state);
	f = make(ROOT, "f", REG, 0);
	txn = ns_txn(e.ns);
	/* reading writes nothing */
	assert_int_equal(do_open(&e, f, false), 0);
	assert_true(e.rep.has_layout && !e.rep.layout.writable);
	assert_int_equal(e.rep.txn, 0);
	g = e.rep.layout.generation;
	assert_int_equal(do_open(&e, f, false), 0);
	assert_true(e.rep.layout.generation > g);
	g = e.rep.layout.generation;
	assert_int_equal(ns_txn(e.ns), txn);
	assert_false(dirty(f));
	/* the first grant for writing does */
	assert_int_equal(do_open(&e, f, true), 0);
	assert_true(e.rep.layout.writable && e.rep.layout.generation > g);
	assert_int_equal(e.rep.txn, txn + 1);
	assert_int_equal(e.rep.attr.change, txn);
	assert_true(dirty(f));
	g = e.rep.layout.generation;
	/* a further one tells the same transaction */
	assert_int_equal(do_open(&e, f, true), 0);
	assert_int_equal(e.rep.txn, txn + 1);
	assert_int_equal(ns_txn(e.ns), txn + 1);
	g = e.rep.layout.generation;
	env_check(&e);
	env_restart(&e, false);
	assert_int_equal(do_open(&e, f, false), 0);
	assert_true(e.rep.layout.generation > g);
	assert_int_equal(do_open(&e, ROOT, false), -EINVAL);
	assert_int_equal(do_open(&e, 123456, false), -ESTALE);
	fake_find(&e, f)->missing = true;
	do_return(&e, f, e.rep.layout.generation);
	end();
}

/* Its backing file can't be opened: the kernel holds what it held. */
static void test_unsent_layouts(void **state)
{
	struct op_layout lay;
	uint64_t f, held;

	begin(state);
	f = make(ROOT, "f", REG, 0);
	assert_int_equal(do_open(&e, f, true), 0);
	lay = e.rep.layout;
	assert_true(dirty(f));
	ns_layout_unsent(e.ns, 0, f, &lay);
	assert_false(dirty(f));
	assert_int_equal(do_open(&e, f, false), 0);
	held = e.rep.layout.generation;
	assert_int_equal(do_open(&e, f, true), 0);
	lay = e.rep.layout;
	ns_layout_unsent(e.ns, 0, f, &lay);
	assert_true(dirty(f));
	/* a second time, or after a newer one: nothing */
	ns_layout_unsent(e.ns, 0, f, &lay);
	do_return(&e, f, held);
	assert_false(dirty(f));
	assert_int_equal(do_open(&e, f, true), 0);
	lay = e.rep.layout;
	assert_int_equal(do_open(&e, f, true), 0);
	ns_layout_unsent(e.ns, 0, f, &lay);
	assert_true(dirty(f));
	do_return(&e, f, e.rep.layout.generation);
	assert_false(dirty(f));
	end();
}

static void test_create_with_layout(void **state)
{
	uint64_t f;

	begin(state);
	f = make(ROOT, "f", REG, RW);
	assert_true(e.rep.has_layout && e.rep.layout.writable);
	assert_int_equal(e.rep.layout.instance, fake_find(&e, f)->instance);
	assert_int_equal(e.rep.layout.volume, 1);
	assert_int_equal(e.rep.layout.version, 1);
	assert_true(dirty(f));
	/* the pool file is older: its times don't show */
	assert_int_equal(do_getattr(&e, f), 0);
	assert_int_equal(e.rep.attr.mtime, e.now - 2);
	f = make(ROOT, "g", REG, F(LAYOUT));
	assert_false(e.rep.layout.writable);
	assert_false(dirty(f));
	end();
}

static void test_dirty_attributes(void **state)
{
	struct op_req rq;
	uint64_t f, g;
	int64_t t;

	begin(state);
	f = make(ROOT, "f", REG, RW);
	g = e.rep.layout.generation;
	fake_write(&e, f, 1000);
	assert_int_equal(do_getattr(&e, f), 0);
	assert_int_equal(e.rep.attr.size, 1000);
	assert_int_equal(e.rep.attr.blocks, 2);
	assert_int_equal(e.rep.attr.mtime, e.fake.clock - 1);
	assert_int_equal(e.rep.attr.ctime, e.fake.clock - 1);
	assert_int_equal(do_readdir(&e, ROOT, 0, 0), 0);
	assert_int_equal(e.rep.entries[0].attr.size, 1000);
	/* an explicit mtime holds until the next write */
	rq = env_req(&e, K(SETATTR), 6);
	rq.node = f;
	rq.valid = ORCHFS_SET_MTIME;
	rq.attr.mtime = 12345;
	assert_int_equal(env_run(&e, &rq), 0);
	assert_int_equal(e.rep.attr.mtime, 12345);
	assert_int_equal(e.rep.attr.size, 1000);
	assert_int_equal(do_getattr(&e, f), 0);
	assert_int_equal(e.rep.attr.mtime, 12345);
	/* ctime does not go back behind the backing file's */
	assert_int_equal(e.rep.attr.ctime, e.fake.clock - 1);
	env_restart(&e, false);
	assert_int_equal(do_getattr(&e, f), 0);
	assert_int_equal(e.rep.attr.mtime, 12345);
	assert_int_equal(e.rep.attr.size, 1000);
	fake_write(&e, f, 2000);
	assert_int_equal(do_lookup(&e, ROOT, "f"), 0);
	assert_int_equal(e.rep.attr.mtime, e.fake.clock - 1);
	t = e.rep.attr.mtime;
	/* returned: the record takes it over */
	assert_int_equal(do_return(&e, f, g), 0);
	assert_false(dirty(f));
	fake_find(&e, f)->s.size = 7;
	assert_int_equal(do_getattr(&e, f), 0);
	assert_int_equal(e.rep.attr.size, 2000);
	assert_int_equal(e.rep.attr.mtime, t);
	assert_int_equal(e.rep.attr.ctime, t);
	end();
}

static struct ns_note note_attr(uint64_t ino, uint64_t size, int64_t mtime)
{
	return (struct ns_note){
		.kind = K(NOTE_ATTR),
		.node = ino,
		.valid = ORCHFS_SET_SIZE | ORCHFS_SET_MTIME |
			 ORCHFS_SET_CTIME,
		.attr = { .size = size, .blocks = 8, .mtime = mtime,
			  .ctime = mtime },
	};
}

static void test_notes(void **state)
{
	struct ns_note n[4];
	uint64_t f, g, txn, old;

	begin(state);
	f = make(ROOT, "f", REG, RW);
	old = e.rep.layout.generation;
	assert_int_equal(do_open(&e, f, true), 0);
	g = e.rep.layout.generation;
	/* of an older layout: ignored */
	txn = ns_txn(e.ns);
	assert_int_equal(do_return(&e, f, old), 0);
	assert_int_equal(ns_txn(e.ns), txn);
	assert_true(dirty(f));
	/* the last word before the return */
	fake_write(&e, f, 5000);
	n[0] = note_attr(f, 5000, e.fake.clock - 1);
	assert_int_equal(ns_note(e.ns, 0, n, 1), 0);
	assert_int_equal(ns_txn(e.ns), txn + 1);
	assert_true(dirty(f));
	n[1] = (struct ns_note){ .kind = K(NOTE_RETURN), .node = f,
				 .generation = g };
	e.fake.stats = 0;
	assert_int_equal(ns_note(e.ns, 0, n, 2), 0);
	assert_int_equal(e.fake.stats, 0);
	assert_int_equal(ns_txn(e.ns), txn + 2);
	assert_false(dirty(f));
	env_check(&e);
	/* the other way round, in two batches */
	assert_int_equal(do_open(&e, f, true), 0);
	fake_write(&e, f, 6000);
	assert_int_equal(do_return(&e, f, e.rep.layout.generation), 0);
	assert_false(dirty(f));
	n[0] = note_attr(f, 6000, 99);
	assert_int_equal(ns_note(e.ns, 0, n, 1), 0);
	assert_int_equal(do_getattr(&e, f), 0);
	assert_int_equal(e.rep.attr.size, 6000);
	assert_int_equal(e.rep.attr.mtime, 99);
	assert_true(e.rep.attr.ctime > 99);
	/* nothing new, nothing written */
	txn = ns_txn(e.ns);
	assert_int_equal(ns_note(e.ns, 0, n, 1), 0);
	n[0].node = 123456;
	n[1].kind = 1000;
	assert_int_equal(ns_note(e.ns, 0, n, 2), 0);
	assert_int_equal(ns_txn(e.ns), txn);
	/* all in one: unlinked, written, returned, forgotten */
	assert_int_equal(do_open(&e, f, true), 0);
	assert_int_equal(do_unlink(&e, ROOT, "f", 0), 0);
	n[0] = note_attr(f, 1, 1);
	n[1] = (struct ns_note){ .kind = K(NOTE_RETURN), .node = f,
				 .generation = UINT64_MAX };
	n[2] = (struct ns_note){ .kind = K(NOTE_FORGET), .node = f };
	n[3] = n[0];
	assert_int_equal(ns_note(e.ns, 0, n, 4), 0);
	assert_int_equal(do_getattr(&e, f), -ESTALE);
	end();
}

static void note_atime(uint64_t ino, uint64_t change, int64_t atime)
{
	struct ns_note n = {
		.kind = K(NOTE_ATTR),
		.node = ino,
		.valid = ORCHFS_SET_ATIME,
		.attr = { .change = change, .atime = atime },
	};

	assert_int_equal(ns_note(e.ns, 0, &n, 1), 0);
	assert_int_equal(do_getattr(&e, ino), 0);
}

/* The kernel doesn't hear of what its own notices change. */
static void test_overtaken_notes(void **state)
{
	uint64_t f, change, moved;
	struct ns_note n;
	struct op_req rq;

	begin(state);
	f = make(ROOT, "f", REG, RW);
	change = e.rep.attr.change;
	fake_write(&e, f, 5000);
	n = note_attr(f, 5000, e.fake.clock - 1);
	n.attr.change = change;
	assert_int_equal(ns_note(e.ns, 0, &n, 1), 0);
	note_atime(f, change, 77);
	assert_int_equal(e.rep.attr.atime, 77);
	note_atime(f, change, 78);
	assert_int_equal(e.rep.attr.atime, 78);
	/* of a utimes it does; what was on its way before is too late */
	rq = env_req(&e, K(SETATTR), 6);
	rq.node = f;
	rq.valid = ORCHFS_SET_ATIME;
	rq.attr.atime = 5;
	assert_int_equal(env_run(&e, &rq), 0);
	moved = e.rep.attr.change;
	assert_true(moved > change);
	note_atime(f, change, 79);
	assert_int_equal(e.rep.attr.atime, 5);
	note_atime(f, moved, 80);
	assert_int_equal(e.rep.attr.atime, 80);
	note_atime(f, change, 81);
	assert_int_equal(e.rep.attr.atime, 80);
	note_atime(f, moved, 82);
	assert_int_equal(e.rep.attr.atime, 82);
	end();
}

static void test_many_notes(void **state)
{
	static struct ns_note n[1000];
	static struct ns_deletion d[1000];
	char name[16];

	begin(state);
	for (int i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "%d", i);
		n[i].kind = K(NOTE_FORGET);
		n[i].node = make(ROOT, name, REG, RW);
		do_unlink(&e, ROOT, name, 0);
	}
	assert_int_equal(ns_note(e.ns, 0, n, 1000), 0);
	assert_int_equal(ns_deletions(e.ns, 0, d, 1000), 1000);
	assert_true(d[0].txn < d[999].txn);
	end();
}

static void test_damage(void **state)
{
	struct ns_counts c;
	uint64_t f;

	begin(state);
	f = make(ROOT, "f", REG, 0);
	fake_find(&e, f)->missing = true;
	assert_int_equal(do_open(&e, f, true), -EIO);
	assert_int_equal(do_lookup(&e, ROOT, "f"), 0);
	assert_int_equal(do_create(&e, ROOT, "f", REG, RW, NULL), -EIO);
	assert_false(dirty(f));
	fake_find(&e, f)->missing = false;
	assert_int_equal(do_open(&e, f, true), 0);
	fake_write(&e, f, 77);
	fake_find(&e, f)->missing = true;
	assert_int_equal(do_getattr(&e, f), 0);
	assert_int_equal(e.rep.attr.size, 0);
	assert_int_equal(ns_counts(e.ns, &c), 0);
	assert_true(c.damaged >= 3);
	assert_int_equal(ns_settle(e.ns, f), -EIO);
	assert_int_equal(do_unlink(&e, ROOT, "f", 0), 0);
	assert_int_equal(do_forget(&e, f), 0);
	end();
}

static void test_settle(void **state)
{
	uint64_t f;

	begin(state);
	f = make(ROOT, "f", REG, RW);
	fake_write(&e, f, 10);
	assert_int_equal(ns_settle(e.ns, f), 0);
	assert_true(dirty(f));
	env_restart(&e, false);
	fake_write(&e, f, 20);
	assert_int_equal(ns_settle(e.ns, f), 0);
	assert_false(dirty(f));
	fake_find(&e, f)->s.size = 30;
	assert_int_equal(ns_settle(e.ns, f), 0);
	assert_int_equal(do_getattr(&e, f), 0);
	assert_int_equal(e.rep.attr.size, 30);
	assert_int_equal(e.rep.attr.mtime, e.fake.clock - 1);
	assert_int_equal(ns_settle(e.ns, ROOT), -EINVAL);
	assert_int_equal(ns_settle(e.ns, 123456), -ENOENT);
	end();
}

/* The same request again, before and after a restart. */
static void test_slots(void **state)
{
	struct ns_counts c;
	struct op_req rq;
	uint64_t f, txn, g;

	begin(state);
	rq = env_req(&e, K(CREATE), 30);
	rq.node = ROOT;
	rq.name = nm("f");
	rq.mode = REG;
	rq.flags = F(EXCL) | RW;
	assert_int_equal(env_run(&e, &rq), 0);
	f = e.rep.attr.ino;
	txn = e.rep.txn;
	g = e.rep.layout.generation;
	rq.flags |= F(RESENT);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(env_run(&e, &rq), 0);
		assert_int_equal(e.rep.attr.ino, f);
		assert_int_equal(e.rep.txn, txn);
		assert_true(e.rep.has_layout && e.rep.layout.writable);
		assert_true(e.rep.layout.generation > g);
		env_restart(&e, false);
	}
	/* another kind under the same number, a lower number, no such slot */
	rq.kind = K(UNLINK);
	assert_int_equal(env_run(&e, &rq), -EPROTO);
	rq.kind = K(CREATE);
	rq.sequence = 5;
	rq.name = nm("g");
	assert_int_equal(env_run(&e, &rq), 0);
	rq.sequence = 4;
	assert_int_equal(env_run(&e, &rq), -EPROTO);
	rq.slot = 64;
	assert_int_equal(env_run(&e, &rq), -EPROTO);
	/* a failure is not stored */
	rq.slot = 30;
	rq.sequence = 6;
	assert_int_equal(env_run(&e, &rq), -EEXIST);
	assert_int_equal(do_unlink(&e, ROOT, "g", 0), 0);
	assert_int_equal(env_run(&e, &rq), 0);
	/* a victim that is gone is told as it was */
	rq = env_req(&e, K(UNLINK), 8);
	rq.node = ROOT;
	rq.name = nm("f");
	assert_int_equal(env_run(&e, &rq), 0);
	assert_int_equal(do_forget(&e, f), 0);
	assert_int_equal(env_run(&e, &rq), 0);
	assert_int_equal(e.rep.attr2.ino, f);
	assert_int_equal(e.rep.attr2.nlink, 0);
	assert_int_equal(ns_counts(e.ns, &c), 0);
	assert_int_equal(c.replayed, 1);
	end();
}

static void test_slots_of_all_kinds(void **state)
{
	struct op_req rq;
	uint64_t f, d, txn;

	begin(state);
	f = make(ROOT, "f", REG, 0);
	d = make(ROOT, "d", DIR_, 0);
	for (uint32_t kind = K(LINK); kind <= K(SETXATTR); kind++) {
		if (kind == K(READDIR) || kind == K(GETXATTR))
			continue;
		rq = env_req(&e, kind, kind);
		rq.node = kind == K(UNLINK) || kind == K(RENAME) ? ROOT : f;
		rq.node2 = kind == K(UNLINK) ? 0 : d;
		rq.name = nm("f");
		rq.name2 = nm(kind == K(LINK) ? "f2" : "f");
		if (kind == K(RENAME)) {
			rq.name = nm("x");
			make(ROOT, "x", REG, 0);
		}
		rq.valid = ORCHFS_SET_MODE;
		rq.xattr_name = nm("user.x");
		rq.xattr_value = "v";
		rq.xattr_len = 1;
		rq.flags = kind == K(SETXATTR) ? F(XATTR_CREATE) : 0;
		assert_int_equal(env_run(&e, &rq), 0);
		txn = ns_txn(e.ns);
		assert_int_equal(e.rep.txn, txn);
		assert_int_equal(env_run(&e, &rq), 0);
		assert_int_equal(e.rep.txn, txn);
		assert_true(e.rep.has_attr || e.rep.has_attr2);
		assert_int_equal(ns_txn(e.ns), txn);
	}
	end();
}

static void test_sessions_end(void **state)
{
	struct ns_note n = { .kind = K(NOTE_UMOUNT) };
	struct op_req rq;

	begin(state);
	rq = env_req(&e, K(CREATE), 3);
	rq.node = ROOT;
	rq.name = nm("d");
	rq.mode = DIR_;
	rq.flags = F(EXCL);
	assert_int_equal(env_run(&e, &rq), 0);
	assert_int_equal(env_run(&e, &rq), 0);
	n.session = e.session + 1;
	assert_int_equal(ns_note(e.ns, 0, &n, 1), 0);
	assert_int_equal(env_run(&e, &rq), 0);
	n.session = e.session;
	assert_int_equal(ns_note(e.ns, 0, &n, 1), 0);
	assert_int_equal(env_run(&e, &rq), -EEXIST);
	end();
}

static void test_reconcile(void **state)
{
	struct ns_handle h[2] = { 0 };
	uint64_t held, lost, open, dropped, g, session = 0;
	struct ns_counts c;

	begin(state);
	held = make(ROOT, "held", REG, RW);
	lost = make(ROOT, "lost", REG, RW);
	open = make(ROOT, "open", REG, RW);
	g = e.rep.layout.generation;
	dropped = make(ROOT, "dropped", REG, RW);
	do_unlink(&e, ROOT, "held", 0);
	do_unlink(&e, ROOT, "lost", 0);
	/* so that the slot names another inode */
	make(ROOT, "x", REG, 0);
	do_unlink(&e, ROOT, "x", 0);
	fake_write(&e, open, 100);
	fake_write(&e, dropped, 200);
	env_restart(&e, false);
	h[0].ino = open;
	h[0].generation = g;
	h[1].ino = held;
	h[1].opens = 1;
	session = e.session;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(ns_reconcile(e.ns, 0, &session, 1, h, 2), 0);
		env_check(&e);
		assert_int_equal(do_getattr(&e, held), 0);
		assert_int_equal(do_getattr(&e, lost), -ESTALE);
		assert_true(dirty(open));
		assert_false(dirty(dropped));
		assert_int_equal(ns_counts(e.ns, &c), 0);
		/* held, and the one that a slot may still ask for */
		assert_int_equal(c.orphans, 2);
	}
	/* what this daemon granted is not taken for lost */
	assert_int_equal(do_open(&e, dropped, true), 0);
	assert_int_equal(ns_reconcile(e.ns, 0, &session, 1, h, 2), 0);
	assert_true(dirty(dropped));
	/* an old layout comes back */
	assert_int_equal(do_return(&e, open, g), 0);
	assert_false(dirty(open));
	/* no mount at all */
	assert_int_equal(ns_reconcile(e.ns, 0, NULL, 0, NULL, 0), 0);
	assert_int_equal(ns_counts(e.ns, &c), 0);
	assert_int_equal(c.orphans, 0);
	assert_int_equal(c.deletions, 3);
	assert_false(dirty(dropped));
	assert_int_equal(do_getattr(&e, dropped), 0);
	assert_int_equal(e.rep.attr.size, 200);
	end();
}

static void test_reconcile_many(void **state)
{
	static struct ns_handle h[1500];
	uint64_t session = 0;
	struct ns_counts c;
	char name[16];

	begin(state);
	session = e.session;
	for (int i = 0; i < 3000; i++) {
		uint64_t f;

		snprintf(name, sizeof(name), "%d", i);
		f = make(ROOT, name, REG, RW);
		do_unlink(&e, ROOT, name, 0);
		if (i % 2)
			h[1499 - i / 2].ino = f;
	}
	env_restart(&e, false);
	assert_int_equal(ns_reconcile(e.ns, 0, &session, 1, h, 1500), 0);
	assert_int_equal(ns_counts(e.ns, &c), 0);
	assert_int_equal(c.orphans, 1500);
	assert_int_equal(c.deletions, 1500);
	end();
}

/* Each request with its first, second, ... commit failing: either all of it
 * is there or nothing, and a retry works. */
static void test_failing_commits(void **state)
{
	uint64_t f, d, txn;
	unsigned int back;

	begin(state);
	f = make(ROOT, "f", REG, 0);
	d = make(ROOT, "d", DIR_, 0);
	txn = ns_txn(e.ns);
	back = e.fake.put_backs;
	for (int err = -EIO; err; err = err == -EIO ? -ENOSPC : 0) {
		env_fail(&e, 0, err);
		assert_int_equal(do_create(&e, d, "n", REG, RW, NULL), err);
		assert_int_equal(do_create(&e, d, "n", DIR_, 0, NULL), err);
		assert_int_equal(do_create(&e, d, NULL, REG, F(TMPFILE), NULL),
				 err);
		assert_int_equal(do_symlink(&e, d, "n", "t"), err);
		assert_int_equal(do_link(&e, f, d, "n"), err);
		assert_int_equal(do_unlink(&e, ROOT, "f", 0), err);
		assert_int_equal(do_unlink(&e, ROOT, "d", F(DIR)), err);
		assert_int_equal(do_rename(&e, ROOT, "f", d, "g", 0), err);
		assert_int_equal(do_rename(&e, ROOT, "f", ROOT, "d",
					   F(EXCHANGE)), err);
		assert_int_equal(do_setxattr(&e, f, "user.a", "1", 1, 0), err);
		assert_int_equal(do_open(&e, f, true), err);
		assert_int_equal(do_open(&e, f, false), 0);
		env_heal(&e);
		assert_int_equal(ns_txn(e.ns), txn);
		assert_false(dirty(f));
		env_check(&e);
		assert_int_equal(do_lookup(&e, d, "n"), -ENOENT);
		assert_int_equal(do_lookup(&e, ROOT, "f"), 0);
		assert_int_equal(e.rep.attr.nlink, 1);
	}
	assert_int_equal(e.fake.put_backs, back + 4);
	make(d, "n", REG, RW);
	assert_int_equal(do_link(&e, f, d, "m"), 0);
	end();
}

static void test_failing_notes(void **state)
{
	struct ns_note n[2];
	uint64_t f, g, h;

	begin(state);
	f = make(ROOT, "f", REG, RW);
	g = e.rep.layout.generation;
	h = make(ROOT, "h", REG, 0);
	do_unlink(&e, ROOT, "h", 0);
	n[0] = (struct ns_note){ .kind = K(NOTE_RETURN), .node = f,
				 .generation = g };
	n[1] = (struct ns_note){ .kind = K(NOTE_FORGET), .node = h };
	env_fail(&e, 0, -EIO);
	assert_int_equal(ns_note(e.ns, 0, n, 2), -EIO);
	env_heal(&e);
	env_check(&e);
	assert_true(dirty(f));
	assert_int_equal(do_getattr(&e, h), 0);
	assert_int_equal(ns_note(e.ns, 0, n, 2), 0);
	assert_false(dirty(f));
	assert_int_equal(do_getattr(&e, h), -ESTALE);
	end();
}

/* A start on a full drive, and then a way out of it. */
static void test_full_drive(void **state)
{
	struct ns_deletion d;
	uint64_t f;

	begin(state);
	f = make(ROOT, "f", REG, 0);
	env_full(&e, true);
	assert_int_equal(do_create(&e, ROOT, "g", REG, 0, NULL), -ENOSPC);
	env_restart(&e, true);
	assert_int_equal(do_create(&e, ROOT, "g", REG, 0, NULL), -ENOSPC);
	assert_int_equal(do_unlink(&e, ROOT, "f", 0), 0);
	assert_int_equal(do_forget(&e, f), 0);
	assert_int_equal(ns_deletions(e.ns, 0, &d, 1), 1);
	assert_int_equal(d.ino, f);
	env_full(&e, false);
	make(ROOT, "g", REG, 0);
	end();
}

static void test_failing_reconcile(void **state)
{
	unsigned int failed = 0;
	struct ns_counts c;
	char name[16];
	int rc = -EIO;

	begin(state);
	for (int i = 0; i < 700; i++) {
		snprintf(name, sizeof(name), "%d", i);
		make(ROOT, name, REG, RW);
		do_unlink(&e, ROOT, name, 0);
	}
	env_restart(&e, false);
	for (unsigned int n = 0; rc; n++) {
		assert_true(n < 10);
		failed = n;
		env_fail(&e, n ? 1 : 0, -EIO);
		rc = ns_reconcile(e.ns, 0, NULL, 0, NULL, 0);
		env_heal(&e);
		assert_true(!rc || rc == -EIO);
		env_check(&e);
	}
	assert_true(failed >= 3);
	assert_int_equal(ns_counts(e.ns, &c), 0);
	assert_int_equal(c.orphans, 0);
	assert_int_equal(c.deletions, 700);
	end();
}

/* Overwrite each record in turn with rubbish, look, put it back. */
static void poke(const struct store_key *k, const void *v, size_t len)
{
	struct store_batch *b = store_batch_new(e.st);
	uint64_t seq;

	store_put(b, *k, v, len);
	assert_int_equal(store_commit(b, &seq), 0);
	store_batch_free(b);
}

/* Those of other inodes count. */
static void test_damaged_note(void **state)
{
	struct ns_note n[3] = { 0 };
	uint8_t id[9] = { 'I' }, bad[40];
	const struct store_key k = { id, sizeof(id) };
	struct ns_deletion d[3];
	char name[2] = "a";
	size_t len;
	void *p;

	begin(state);
	for (int i = 0; i < 3; i++, name[0]++) {
		n[i].kind = K(NOTE_FORGET);
		n[i].node = make(ROOT, name, REG, RW);
		do_unlink(&e, ROOT, name, 0);
	}
	for (int i = 0; i < 8; i++)
		id[1 + i] = (uint8_t)(n[1].node >> (56 - 8 * i));
	assert_int_equal(store_get(e.st, NULL, k, &p, &len), 0);
	memset(bad, 0xff, sizeof(bad));
	poke(&k, bad, sizeof(bad));
	assert_int_equal(ns_note(e.ns, 0, n, 3), -EUCLEAN);
	assert_int_equal(ns_deletions(e.ns, 0, d, 3), 2);
	assert_int_equal(d[0].ino, n[0].node);
	assert_int_equal(d[1].ino, n[2].node);
	poke(&k, p, len);
	free(p);
	assert_int_equal(ns_note(e.ns, 0, n, 3), 0);
	assert_int_equal(ns_deletions(e.ns, 0, d, 3), 3);
	end();
}

static bool sane(int rc)
{
	return !rc || rc == -EUCLEAN || rc == -ENOENT || rc == -ENODATA ||
	       rc == -EIO || rc == -ENOTEMPTY || rc == -ENOTDIR ||
	       rc == -EISDIR || rc == -EEXIST || rc == -EINVAL ||
	       rc == -ESTALE || rc == -EPERM;
}

static void look_at_everything(uint64_t f, uint64_t d)
{
	struct ns_instance *in;
	uint64_t v, g;
	char **paths;
	size_t nr;

	assert_true(sane(do_lookup(&e, ROOT, "f")));
	assert_true(sane(do_lookup(&e, d, "sub")));
	assert_true(sane(do_getattr(&e, f)));
	assert_true(sane(do_open(&e, f, false)));
	assert_true(sane(do_readdir(&e, ROOT, 0, 0)));
	assert_true(sane(do_getxattr(&e, f, "user.a")));
	assert_true(sane(do_unlink(&e, ROOT, "d", F(DIR))));
	if (!ns_where(e.ns, f, &v, &g, &in, &nr))
		free(in);
	if (!ns_paths(e.ns, f, &paths, &nr, 4)) {
		while (nr--)
			free(paths[nr]);
		free(paths);
	}
	env_fail(&e, 0, -EIO);
	do_rename(&e, d, "sub", ROOT, "s2", 0);
	do_rename(&e, ROOT, "f", ROOT, "l", F(EXCHANGE));
	do_unlink(&e, ROOT, "f", 0);
	do_link(&e, f, ROOT, "new");
	do_forget(&e, f);
	ns_settle(e.ns, f);
	ns_reconcile(e.ns, 0, NULL, 0, NULL, 0);
	env_heal(&e);
}

static void damage_one(struct store_key k, struct store_key v, uint64_t f,
		       uint64_t d)
{
	uint8_t bad[512];

	for (int how = 0; how < 6; how++) {
		size_t len = v.len < sizeof(bad) ? v.len : sizeof(bad);

		memcpy(bad, v.p, len);
		switch (how) {
		case 0:
			len = 0;
			break;
		case 1:
			memset(bad, 0xff, len = 40);
			break;
		case 2:
			len /= 2;
			break;
		default:
			for (size_t i = 0; i < len; i++) {
				if (rand() % 4 == 0)
					bad[i] ^= (uint8_t)(1 << rand() % 8);
			}
		}
		poke(&k, bad, len);
		look_at_everything(f, d);
	}
	poke(&k, v.p, v.len);
}

static void test_damaged_records(void **state)
{
	struct store_key none = { "", 0 };
	struct store_iter *it;
	struct store_snap *sn;
	uint64_t f, d;

	begin(state);
	srand(7);
	f = make(ROOT, "f", REG, RW);
	d = make(ROOT, "d", DIR_, 0);
	make(d, "sub", DIR_, 0);
	do_symlink(&e, ROOT, "l", "target");
	do_setxattr(&e, f, "user.a", "v", 1, 0);
	do_create(&e, ROOT, NULL, REG, F(TMPFILE), NULL);
	sn = store_snapshot(e.st);
	it = store_scan(e.st, sn, none, none);
	for (; store_iter_valid(it); store_iter_next(it)) {
		struct store_key k = store_iter_key(it);

		if (strchr("IERVNOTMDL", *(const char *)k.p))
			damage_one(k, store_iter_value(it), f, d);
	}
	store_iter_free(it);
	store_snapshot_free(e.st, sn);
	env_close(&e);
}

/* Names of one hash, which take the 256 places of their bucket. */
static void test_collisions(void **state)
{
	uint64_t f, c, ino;
	struct key k;
	struct store_key sk;

	begin(state);
	f = make(ROOT, "x", REG, 0);
	assert_int_equal(do_readdir(&e, ROOT, 0, 0), 0);
	c = e.rep.entries[0].cookie;
	assert_int_equal(c & 0xff, 0);
	do_unlink(&e, ROOT, "x", 0);
	for (int i = 0; i < 255; i++) {
		struct arena *a = arena_new();
		struct entry en = { .ino = f, .type = 8, .name_len = 4 };
		char name[8];
		size_t len;
		void *p;

		snprintf(name, sizeof(name), "n%03d", i);
		en.name = (uint8_t *)name;
		record_pack_entry(a, &en, &p, &len);
		sk = key_of(key_num2(&k, 'E', ROOT, c + (uint64_t)i));
		poke(&sk, p, len);
		arena_free(a);
	}
	assert_int_equal(do_lookup(&e, ROOT, "x"), -ENOENT);
	ino = make(ROOT, "x", REG, 0);
	assert_int_equal(do_lookup(&e, ROOT, "x"), 0);
	assert_int_equal(e.rep.attr.ino, ino);
	assert_int_equal(do_readdir(&e, ROOT, c + 254, 0), 0);
	assert_int_equal(e.rep.nr_entries, 1);
	assert_int_equal(e.rep.entries[0].cookie, c + 255);
	assert_int_equal(do_create(&e, ROOT, "x", REG, F(EXCL), NULL),
			 -EEXIST);
	do_unlink(&e, ROOT, "x", 0);
	sk = key_of(key_num2(&k, 'E', ROOT, c + 255));
	poke(&sk, "\x10\x01\x22\x01z", 5);
	assert_int_equal(do_create(&e, ROOT, "x", REG, 0, NULL), -ENOSPC);
	assert_int_equal(do_lookup(&e, ROOT, "x"), -ENOENT);
	env_close(&e);
}

static void test_siphash(void **state)
{
	uint8_t key[16], in[15];

	(void)state;
	for (int i = 0; i < 16; i++)
		key[i] = (uint8_t)i;
	memcpy(in, key, sizeof(in));
	/* from the paper's appendix */
	assert_true(siphash24(key, in, 15) == 0xa129ca6149be45e5ULL);
	assert_true(siphash24(key, in, 0) == 0x726fdb47dd0e0e31ULL);
	assert_true(siphash24(key, in, 8) == 0x93f5f5799a932462ULL);
}

static const char *why_of(int want)
{
	const char *why = NULL;
	struct ns_backing_ops none = { 0 };
	struct ns *ns;

	assert_int_equal(ns_open(e.st, &none, NULL, "boot", &ns, &why), want);
	assert_non_null(why);
	return why;
}

static void test_open_refuses(void **state)
{
	static const struct store_key super = { "Ssuper", 6 };
	struct store_opts o = { .create = true };
	Orchfs__Store__Super m = ORCHFS__STORE__SUPER__INIT;
	uint8_t buf[64];
	const char *why;

	(void)state;
	memset(&e, 0, sizeof(e));
	assert_int_equal(store_open("memory", "", &o, &e.st, &why), 0);
	why_of(-EUCLEAN);
	poke(&super, "rubbish", 7);
	why_of(-EUCLEAN);
	m.format = ns_newest_format() + 1;
	m.name = (char *)"later";
	poke(&super, buf, orchfs__store__super__pack(&m, buf));
	why_of(-EPROTO);
	store_close(e.st);
}

static uint32_t stored_format(void)
{
	static const struct store_key super = { "Ssuper", 6 };
	Orchfs__Store__Super *m;
	uint32_t format;
	size_t len;
	void *p;

	assert_int_equal(store_get(e.st, NULL, super, &p, &len), 0);
	m = orchfs__store__super__unpack(NULL, len, p);
	assert_non_null(m);
	format = m->format;
	orchfs__store__super__free_unpacked(m, NULL);
	free(p);
	return format;
}

/* One that is only opened can be given back to an older daemon. */
static void test_format_raised(void **state)
{
	static const struct store_key super = { "Ssuper", 6 };
	static const struct ns_backing_ops none;
	static const uint8_t uuid[16] = "of a namespace";
	struct store_opts o = { .create = true };
	Orchfs__Store__Super *m;
	uint8_t buf[256];
	const char *why;
	struct ns *ns;
	size_t len;
	void *p;

	(void)state;
	memset(&e, 0, sizeof(e));
	assert_int_equal(store_open("memory", "", &o, &e.st, &why), 0);
	assert_int_equal(ns_format(e.st, "old", uuid), 0);
	assert_int_equal(stored_format(), 3);
	assert_int_equal(store_get(e.st, NULL, super, &p, &len), 0);
	m = orchfs__store__super__unpack(NULL, len, p);
	m->format = 1;
	poke(&super, buf, orchfs__store__super__pack(m, buf));
	orchfs__store__super__free_unpacked(m, NULL);
	free(p);
	assert_int_equal(ns_open(e.st, &none, NULL, "boot", &ns, &why), 0);
	assert_int_equal(stored_format(), 1);
	assert_int_equal(ns_close(ns), 0);
	assert_int_equal(stored_format(), 1);
	assert_int_equal(ns_open(e.st, &none, NULL, "boot", &ns, &why), 0);
	assert_int_equal(ns_raise_format(ns), 0);
	assert_int_equal(stored_format(), 3);
	assert_int_equal(ns_close(ns), 0);
	assert_int_equal(stored_format(), 3);
	/* a release to come */
	ns_set_newest_format(ns_newest_format() + 1);
	assert_int_equal(ns_open(e.st, &none, NULL, "boot", &ns, &why), 0);
	assert_int_equal(ns_raise_format(ns), 0);
	assert_int_equal(stored_format(), ns_newest_format());
	assert_int_equal(ns_close(ns), 0);
	ns_set_newest_format(ns_newest_format() - 1);
	store_close(e.st);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(test_grants),
		BOTH(test_unsent_layouts),
		BOTH(test_create_with_layout),
		BOTH(test_dirty_attributes),
		BOTH(test_notes),
		BOTH(test_overtaken_notes),
		BOTH(test_many_notes),
		BOTH(test_damage),
		BOTH(test_settle),
		BOTH(test_slots),
		BOTH(test_slots_of_all_kinds),
		BOTH(test_sessions_end),
		BOTH(test_reconcile),
		BOTH(test_reconcile_many),
		BOTH(test_failing_commits),
		BOTH(test_failing_notes),
		{ "test_full_drive (rocksdb)", test_full_drive, NULL, NULL,
		  (void *)"rocksdb" },
		BOTH(test_failing_reconcile),
		BOTH(test_damaged_note),
		BOTH(test_damaged_records),
		BOTH(test_collisions),
		cmocka_unit_test(test_siphash),
		cmocka_unit_test(test_open_refuses),
		cmocka_unit_test(test_format_raised),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
