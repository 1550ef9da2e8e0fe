// SPDX-License-Identifier: Apache-2.0
/*
 * Random operations on a namespace against a model that is as simple as can
 * be: arrays of inodes and of names, searched from end to end. One to three
 * nodes ask in turn. In between commits fail, requests are sent twice and the
 * daemon is killed.
 *
 * ORCHFS_TEST_SEED=N and ORCHFS_TEST_OPS=N replay and prolong a run.
 */
#include "engine_util.h"

#include <time.h>

#include "ns_cluster.h"

#define NODES	1500
#define NAMES	3000
#define CROWDED	500		/* then nothing is made, only removed */
#define XATTRS	3
#define KERNELS	3

/* Indexes into nodes; 0 is the root. */
struct node {
	uint64_t ino;
	uint32_t mode, uid, nlink;
	uint64_t size;
	int64_t mtime;
	int xattr[XATTRS];	/* -1: none */
	/* of each kernel: generation held for writing, 0: none */
	uint64_t layout[KERNELS];
	bool uses[KERNELS];	/* though it has no name */
	bool known;		/* a kernel has it */
	int parent;		/* of a directory */
};

struct name {
	int dir, node;
	char s[4];
};

static struct env e;
static struct node nodes[NODES];
static struct name names[NAMES];
static int nr_nodes, nr_names;
static unsigned int done[32], failed;

/* Those that there are, and whose turn it is. */
static const uint32_t origin[KERNELS] = { 0, 2, 3 };
static int nr_kernels, at_kernel;

static void turn(int k)
{
	at_kernel = k;
	e.origin = origin[k];
}

/* One without names that it hears of it will have to forget. */
static void use(int n)
{
	if (nodes[n].nlink || nodes[n].uses[at_kernel])
		return;
	assert_int_equal(do_getattr(&e, nodes[n].ino), 0);
	nodes[n].uses[at_kernel] = true;
}

static bool used(int n)
{
	for (int k = 0; k < KERNELS; k++) {
		if (nodes[n].uses[k])
			return true;
	}
	return false;
}

/* May another kernel write it? */
static bool is_live(int n)
{
	for (int k = 0; k < KERNELS; k++) {
		if (nodes[n].layout[k] && k != at_kernel)
			return true;
	}
	return false;
}

static int rnd(int n)
{
	return rand() % n;
}

static bool is_dir(int n)
{
	return S_ISDIR(nodes[n].mode);
}

static int find_name(int dir, const char *s)
{
	for (int i = 0; i < nr_names; i++) {
		if (names[i].dir == dir && !strcmp(names[i].s, s))
			return i;
	}
	return -1;
}

static bool empty(int dir)
{
	for (int i = 0; i < nr_names; i++) {
		if (names[i].dir == dir)
			return false;
	}
	return true;
}

static int find_node(uint64_t ino)
{
	for (int i = 0; i < nr_nodes; i++) {
		if (nodes[i].ino == ino && nodes[i].known)
			return i;
	}
	return -1;
}

static int random_node(void)
{
	int n;

	do {
		n = rnd(nr_nodes);
	} while (!nodes[n].known);
	return n;
}

static int random_dir(void)
{
	for (int i = 0; i < 50; i++) {
		int n = random_node();

		if (is_dir(n))
			return n;
	}
	return 0;
}

static const char *random_name(char *buf)
{
	snprintf(buf, 4, "%c", 'a' + rnd(9));
	return buf;
}

static void add_name(int dir, const char *s, int node)
{
	assert_true(nr_names < NAMES);
	names[nr_names] = (struct name){ .dir = dir, .node = node };
	strcpy(names[nr_names++].s, s);
}

static void del_name(int i)
{
	names[i] = names[--nr_names];
}

/* Return of the engine against what the model expects of it. True: go on and
 * change the model. */
static bool agree(const char *what, int got, int want)
{
	if (got == -EIO && e.st->ops->write != store_mem_ops.write &&
	    e.st->ops->write != store_rocksdb_ops.write) {
		failed++;
		return false;
	}
	if (got != want)
		print_error("%s: %d, expected %d\n", what, got, want);
	assert_int_equal(got, want);
	return !got;
}

static void check_attr(const struct orchfs_attr *a, int n)
{
	const struct node *x = &nodes[n];
	bool any = false;

	assert_int_equal(a->ino, x->ino);
	assert_int_equal(a->mode, x->mode);
	assert_int_equal(a->uid, x->uid);
	assert_int_equal(a->nlink, x->nlink);
	if (!is_dir(n)) {
		assert_int_equal(a->size, x->size);
		assert_int_equal(a->mtime, x->mtime);
	}
	for (int i = 0; i < XATTRS; i++)
		any |= x->xattr[i] >= 0;
	assert_int_equal(!(a->flags & ORCHFS_ATTR_NO_XATTR), any);
	assert_int_equal(!!(a->flags & ORCHFS_ATTR_LIVE), is_live(n));
}

static int dir_error(int dir)
{
	if (!is_dir(dir))
		return -ENOTDIR;
	return nodes[dir].nlink ? 0 : -ENOENT;
}

static int new_node(uint64_t ino, uint32_t mode, int parent)
{
	struct node *x = &nodes[nr_nodes];

	assert_true(nr_nodes < NODES);
	*x = (struct node){
		.ino = ino, .mode = mode, .uid = 10, .parent = parent,
		.nlink = S_ISDIR(mode) ? 2 : 1, .mtime = e.now - 1,
		.known = true, .xattr = { -1, -1, -1 },
	};
	return nr_nodes++;
}

static void op_create(void)
{
	static const uint32_t modes[] = {
		S_IFREG | 0644, S_IFREG | 0600, S_IFDIR | 0755, S_IFIFO | 0600,
	};
	const uint32_t mode = modes[rnd(4)];
	int dir = rnd(10) ? random_dir() : random_node();
	uint32_t flags = rnd(2) ? F(EXCL) : 0;
	int want = dir_error(dir), at, rc, n;
	char buf[4];

	random_name(buf);
	if (S_ISREG(mode) && rnd(2))
		flags |= F(LAYOUT) | F(WRITE);
	at = find_name(dir, buf);
	if (!want && at >= 0 && (flags & F(EXCL) || !S_ISREG(mode)))
		want = -EEXIST;
	rc = do_create(&e, nodes[dir].ino, buf, mode, flags, NULL);
	if (!agree("create", rc, want))
		return;
	if (at >= 0) {
		assert_int_equal(e.rep.flags, F(EXISTING));
		n = names[at].node;
	} else {
		n = new_node(e.rep.attr.ino, mode, dir);
		add_name(dir, buf, n);
		if (S_ISDIR(mode))
			nodes[dir].nlink++;
	}
	check_attr(&e.rep.attr, n);
	if (e.rep.has_layout && e.rep.layout.writable)
		nodes[n].layout[at_kernel] = e.rep.layout.generation;
}

static void op_tmpfile(void)
{
	int dir = random_dir(), rc, n;

	rc = do_create(&e, nodes[dir].ino, NULL, S_IFREG | 0600, F(TMPFILE),
		       NULL);
	if (!agree("tmpfile", rc, dir_error(dir)))
		return;
	n = new_node(e.rep.attr.ino, S_IFREG | 0600, 0);
	nodes[n].nlink = 0;
	use(n);
	check_attr(&e.rep.attr, n);
}

static void op_symlink(void)
{
	int dir = random_dir(), want = dir_error(dir), n;
	char buf[4];

	random_name(buf);
	if (!want && find_name(dir, buf) >= 0)
		want = -EEXIST;
	if (!agree("symlink", do_symlink(&e, nodes[dir].ino, buf, "target"),
		   want))
		return;
	n = new_node(e.rep.attr.ino, S_IFLNK | 0777, 0);
	nodes[n].uid = 0;
	nodes[n].size = 6;
	add_name(dir, buf, n);
	check_attr(&e.rep.attr, n);
}

static void op_link(void)
{
	int n = random_node(), dir = random_dir(), want;
	char buf[4];

	random_name(buf);
	use(n);
	want = is_dir(n) ? -EPERM : dir_error(dir);
	if (!want && find_name(dir, buf) >= 0)
		want = -EEXIST;
	if (!agree("link", do_link(&e, nodes[n].ino, nodes[dir].ino, buf),
		   want))
		return;
	nodes[n].nlink++;
	memset(nodes[n].uses, 0, sizeof(nodes[n].uses));
	add_name(dir, buf, n);
	check_attr(&e.rep.attr, n);
}

static void drop(int dir, int n)
{
	if (is_dir(n)) {
		nodes[n].nlink = 0;
		nodes[dir].nlink--;
	} else {
		nodes[n].nlink--;
	}
	/* each kernel may have it */
	for (int k = 0; k < nr_kernels; k++)
		nodes[n].uses[k] = !nodes[n].nlink;
}

static void op_unlink(void)
{
	int dir = random_dir(), want = dir_error(dir), at, n = -1;
	bool rmdir = rnd(3) == 0;
	char buf[4];

	random_name(buf);
	at = find_name(dir, buf);
	if (at >= 0)
		n = names[at].node;
	if (!want && at < 0)
		want = -ENOENT;
	if (!want && rmdir && !is_dir(n))
		want = -ENOTDIR;
	if (!want && !rmdir && is_dir(n))
		want = -EISDIR;
	if (!want && rmdir && !empty(n))
		want = -ENOTEMPTY;
	if (!agree("unlink", do_unlink(&e, nodes[dir].ino, buf,
				       rmdir ? F(DIR) : 0), want))
		return;
	drop(dir, n);
	del_name(at);
	check_attr(&e.rep.attr2, n);
}

/* Is a above b, or the same? */
static bool above(int a, int b)
{
	while (b != a && b)
		b = nodes[b].parent;
	return a == b;
}

static int rename_error(int d1, int d2, int s, int t, uint32_t flags)
{
	if (flags & F(EXCHANGE) && t < 0)
		return -ENOENT;
	if (flags & F(NOREPLACE) && t >= 0)
		return -EEXIST;
	if (is_dir(s) && above(s, d2))
		return -EINVAL;
	if (flags & F(EXCHANGE))
		return is_dir(t) && above(t, d1) ? -EINVAL : 0;
	if (t < 0 || s == t)
		return 0;
	if (!is_dir(s))
		return is_dir(t) ? -EISDIR : 0;
	if (!is_dir(t))
		return -ENOTDIR;
	return empty(t) ? 0 : -ENOTEMPTY;
}

static void moved(int n, int from, int to)
{
	if (!is_dir(n))
		return;
	nodes[from].nlink--;
	nodes[to].nlink++;
	nodes[n].parent = to;
}

static void op_rename(void)
{
	static const uint32_t kinds[] = { 0, 0, F(NOREPLACE), F(EXCHANGE) };
	const uint32_t flags = kinds[rnd(4)];
	int d1 = random_dir(), d2 = rnd(3) ? random_dir() : d1;
	int want = dir_error(d1), a1, a2, s = -1, t = -1, rc;
	char n1[4], n2[4];

	random_name(n1);
	random_name(n2);
	a1 = find_name(d1, n1);
	a2 = find_name(d2, n2);
	if (!want)
		want = dir_error(d2);
	if (!want && a1 < 0)
		want = -ENOENT;
	if (!want) {
		s = names[a1].node;
		t = a2 < 0 ? -1 : names[a2].node;
		want = rename_error(d1, d2, s, t, flags);
	}
	rc = do_rename(&e, nodes[d1].ino, n1, nodes[d2].ino, n2, flags);
	if (!agree("rename", rc, want) || s == t)
		return;
	moved(s, d1, d2);
	if (flags & F(EXCHANGE)) {
		moved(t, d2, d1);
		names[a1].node = t;
		names[a2].node = s;
	} else {
		if (t >= 0) {
			drop(d2, t);
			names[a2].node = s;
		} else {
			add_name(d2, n2, s);
		}
		del_name(find_name(d1, n1));
	}
	check_attr(&e.rep.attr, s);
	if (t >= 0)
		check_attr(&e.rep.attr2, t);
}

static void op_setattr(void)
{
	int n = random_node();
	struct op_req rq = env_req(&e, K(SETATTR), 6);
	struct node *x = &nodes[n];

	use(n);
	rq.node = x->ino;
	rq.valid = (uint32_t)rnd(8);
	rq.valid = (rq.valid & 3) | (rq.valid & 4 ? ORCHFS_SET_MTIME : 0);
	rq.attr.mode = (uint32_t)rnd(01000);
	rq.attr.uid = (uint32_t)rnd(5);
	rq.attr.mtime = rnd(1000000) * 1000LL;
	if (!agree("setattr", env_run(&e, &rq), 0))
		return;
	if (rq.valid & ORCHFS_SET_MODE)
		x->mode = (x->mode & S_IFMT) | rq.attr.mode;
	if (rq.valid & ORCHFS_SET_UID)
		x->uid = rq.attr.uid;
	if (rq.valid & ORCHFS_SET_MTIME)
		x->mtime = rq.attr.mtime;
	check_attr(&e.rep.attr, n);
}

static void op_xattr(void)
{
	static const char *const key[XATTRS] = {
		"user.one", "security.capability", "trusted.three",
	};
	int n = random_node(), k = rnd(XATTRS), v = rnd(1000);
	static const uint32_t kinds[] = {
		0, F(XATTR_CREATE), F(XATTR_REPLACE), F(XATTR_REMOVE),
	};
	const uint32_t flags = kinds[rnd(4)];
	bool there = nodes[n].xattr[k] >= 0;
	int want = 0;

	use(n);
	assert_int_equal(do_getxattr(&e, nodes[n].ino, key[k]),
			 there ? 0 : -ENODATA);
	if (there)
		assert_memory_equal(e.rep.value, &nodes[n].xattr[k],
				    sizeof(int));
	if (flags == F(XATTR_CREATE) && there)
		want = -EEXIST;
	if ((flags == F(XATTR_REPLACE) || flags == F(XATTR_REMOVE)) && !there)
		want = -ENODATA;
	if (!agree("setxattr", do_setxattr(&e, nodes[n].ino, key[k], &v,
					   sizeof(v), flags), want))
		return;
	nodes[n].xattr[k] = flags == F(XATTR_REMOVE) ? -1 : v;
	check_attr(&e.rep.attr, n);
}

static void op_look(void)
{
	int dir = random_dir(), at;
	char buf[4];

	at = find_name(dir, random_name(buf));
	if (agree("lookup", do_lookup(&e, nodes[dir].ino, buf),
		  at < 0 ? -ENOENT : 0))
		check_attr(&e.rep.attr, names[at].node);
	at = random_node();
	use(at);
	if (agree("getattr", do_getattr(&e, nodes[at].ino), 0))
		check_attr(&e.rep.attr, at);
}

static void op_list(void)
{
	int dir = random_dir(), count = 0, want = 0;
	uint64_t cookie = 0;

	for (int i = 0; i < nr_names; i++)
		want += names[i].dir == dir;
	do {
		assert_int_equal(do_readdir(&e, nodes[dir].ino, cookie, 3), 0);
		for (size_t i = 0; i < e.rep.nr_entries; i++) {
			struct op_entry *x = &e.rep.entries[i];
			int at = find_name(dir, x->name.s);

			assert_true(at >= 0);
			check_attr(&x->attr, names[at].node);
			cookie = x->cookie;
			count++;
		}
	} while (!e.rep.eof);
	assert_int_equal(count, want);
}

/* Open, write, perhaps close. */
static void op_write(void)
{
	int n = random_node();
	struct node *x = &nodes[n];

	if (!S_ISREG(x->mode))
		return;
	use(n);
	if (!x->layout[at_kernel]) {
		if (!agree("open", do_open(&e, x->ino, true), 0))
			return;
		check_attr(&e.rep.attr, n);
		x->layout[at_kernel] = e.rep.layout.generation;
	}
	if (rnd(3)) {
		x->size = (uint64_t)rnd(100000);
		fake_write(&e, x->ino, x->size);
		x->mtime = e.fake.clock - 1;
	}
	if (rnd(2) && !do_return(&e, x->ino, x->layout[at_kernel]))
		x->layout[at_kernel] = 0;
}

/* A kernel lets go of an inode without names; with the last one it goes. */
static void op_forget(void)
{
	int n = random_node();

	if (nodes[n].nlink || !n || !nodes[n].uses[at_kernel])
		return;
	if (!agree("forget", do_forget(&e, nodes[n].ino), 0))
		return;
	nodes[n].uses[at_kernel] = false;
	nodes[n].layout[at_kernel] = 0;
	nodes[n].known = used(n);
	if (nodes[n].known)
		return;
	assert_int_equal(do_getattr(&e, nodes[n].ino), -ESTALE);
}

/* A create whose answer got lost. */
static void op_resend(void)
{
	struct op_req rq = env_req(&e, K(CREATE), 20);
	uint64_t txn, ino;
	char buf[4];
	int n;

	rq.node = ROOT;
	rq.name = nm(random_name(buf));
	rq.mode = S_IFDIR | 0700;
	rq.flags = F(EXCL);
	if (!agree("create", env_run(&e, &rq),
		   find_name(0, buf) >= 0 ? -EEXIST : 0))
		return;
	ino = e.rep.attr.ino;
	n = new_node(ino, rq.mode, 0);
	nodes[n].uid = 0;
	add_name(0, buf, n);
	nodes[0].nlink++;
	txn = ns_txn(e.ns);
	rq.flags |= F(RESENT);
	assert_int_equal(env_run(&e, &rq), 0);
	assert_int_equal(e.rep.attr.ino, ino);
	assert_int_equal(ns_txn(e.ns), txn);
}

/* What a kernel holds; some were closed while there was no daemon. */
static void attach(int k)
{
	const uint64_t session = e.session + origin[k];
	static struct ns_handle h[NODES];
	size_t nr = 0;

	for (int i = 0; i < nr_nodes; i++) {
		struct node *x = &nodes[i];

		if (!x->known || (!x->uses[k] && !x->layout[k]))
			continue;
		if (x->layout[k] && rnd(2))
			x->layout[k] = 0;
		h[nr].ino = x->ino;
		h[nr++].generation = x->layout[k];
	}
	assert_int_equal(ns_reconcile(e.ns, origin[k], &session, 1, h, nr), 0);
	env_check(&e);
}

static void op_restart(void)
{
	const int first = rnd(2);

	env_heal(&e);
	env_check(&e);
	env_restart(&e, rnd(2));
	fake_refill(&e);
	/* the own kernel is before all others */
	attach(0);
	for (int k = 1; k < nr_kernels; k++)
		attach(first ? k : nr_kernels - k);
}

/* One node is a cluster's authority, with others that may have leases. */
static void join(void)
{
	const struct ns_node first = { .number = 1, .name = "a" };
	static const uint8_t ca[32] = { 1 };
	struct ns_join j = { .secret_sha256 = { 7 } };
	uint32_t number;
	uint64_t txn;

	assert_int_equal(ns_cluster_begin(e.ns, ca, &first), 0);
	for (int k = 1; k < nr_kernels; k++) {
		j.secret_sha256[1] = j.key_sha256[1] = (uint8_t)k;
		snprintf(j.name, sizeof(j.name), "%c", 'a' + k);
		assert_int_equal(ns_invite(e.ns, j.secret_sha256, 1, 0, 9), 0);
		assert_int_equal(ns_join(e.ns, &j, &number), 0);
		assert_int_equal(number, origin[k]);
		assert_int_equal(ns_node_leases(e.ns, number, 1, &txn), 0);
	}
	for (int k = 0; k < nr_kernels; k++)
		e.fake.holders[e.fake.nr_holders++] = origin[k];
}

#define UNLINK	4

static const struct {
	void (*run)(void);
	int weight;
	bool makes;
} ops[] = {
	{ op_create, 25, true },
	{ op_tmpfile, 3, true },
	{ op_symlink, 4, true },
	{ op_link, 8, false },
	[UNLINK] = { op_unlink, 25, false },
	{ op_rename, 25, false },
	{ op_setattr, 8, false },
	{ op_xattr, 8, false },
	{ op_look, 8, false },
	{ op_list, 4, false },
	{ op_write, 10, false },
	{ op_forget, 12, false },
	{ op_resend, 2, true },
};

static void one(void)
{
	int total = 0, pick;
	size_t i;

	for (i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
		total += ops[i].weight;
	pick = rnd(total);
	for (i = 0; pick >= ops[i].weight; i++)
		pick -= ops[i].weight;
	if (nr_nodes > CROWDED && ops[i].makes)
		i = UNLINK;
	if (rnd(25) == 0)
		env_fail(&e, (unsigned int)rnd(2), -EIO);
	turn(rnd(nr_kernels));
	ops[i].run();
	done[i]++;
	env_heal(&e);
}

/* Forgotten nodes make room. */
static void compact(void)
{
	static int to[NODES];
	int nr = 0;

	for (int i = 0; i < nr_nodes; i++) {
		to[i] = nr;
		if (nodes[i].known)
			nodes[nr++] = nodes[i];
	}
	for (int i = 0; i < nr; i++)
		nodes[i].parent = to[nodes[i].parent];
	for (int i = 0; i < nr_names; i++) {
		names[i].dir = to[names[i].dir];
		names[i].node = to[names[i].node];
	}
	nr_nodes = nr;
	assert_int_equal(find_node(ROOT), 0);
}

static void run(const char *engine, int kernels, unsigned long nr)
{
	const char *s = getenv("ORCHFS_TEST_SEED"), *n;
	unsigned int seed = (unsigned int)(s ? atol(s) : time(NULL));

	n = getenv("ORCHFS_TEST_OPS");
	if (n)
		nr = strtoul(n, NULL, 10);
	print_message("ORCHFS_TEST_SEED=%u ORCHFS_TEST_OPS=%lu\n", seed, nr);
	srand(seed);
	env_open(&e, engine);
	nr_kernels = kernels;
	turn(0);
	if (kernels > 1)
		join();
	memset(done, 0, sizeof(done));
	failed = 0;
	nr_nodes = nr_names = 0;
	new_node(ROOT, S_IFDIR | 0755, 0);
	nodes[0].uid = 0;
	for (unsigned long i = 0; i < nr; i++) {
		one();
		if (i % 200 == 199)
			compact();
		if (rnd(1000) == 0)
			op_restart();
	}
	print_message("%d inodes, %d names, %u failed commits\n", nr_nodes,
		      nr_names, failed);
	env_check(&e);
	env_close(&e);
}

static void test_memory(void **state)
{
	(void)state;
	for (int k = 1; k <= KERNELS; k++)
		run("memory", k, 40000);
}

static void test_rocksdb(void **state)
{
	(void)state;
	run("rocksdb", 1, 10000);
	run("rocksdb", 3, 10000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_rocksdb),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
