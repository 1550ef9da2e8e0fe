// SPDX-License-Identifier: Apache-2.0
#include "engine_util.h"

#include <ftw.h>

#define BOOT	"11111111-2222-3333-4444-555555555555"
#define FILES	(1U << 16)

static struct store_ops faulty;
static const struct store_ops *healthy;
static unsigned int fail_after;
static int fail_with;

static int failing_write(struct store *st, const struct store_buf *ops)
{
	if (!fail_after)
		return fail_with;
	fail_after--;
	return healthy->write(st, ops);
}

void env_fail(struct env *e, unsigned int n, int err)
{
	env_heal(e);
	healthy = e->st->ops;
	faulty = *healthy;
	faulty.write = failing_write;
	fail_after = n;
	fail_with = err;
	e->st->ops = &faulty;
}

void env_heal(struct env *e)
{
	if (e->st->ops == &faulty)
		e->st->ops = healthy;
}

static int fake_take(void *ctx, uint32_t origin, struct ns_backing *out)
{
	struct fake *f = ctx;
	struct fake_file *file = NULL;

	(void)origin;
	if (f->take_error)
		return f->take_error;
	for (size_t i = f->nr; i > 0 && i + 64 > f->nr; i--) {
		if (f->files[i - 1].free)
			file = &f->files[i - 1];
	}
	if (!file) {
		if (!f->left)
			return -ENOSPC;
		if (f->nr == f->size) {
			f->size = f->size * 2 + 64;
			f->files = realloc(f->files,
					   f->size * sizeof(*f->files));
			assert_non_null(f->files);
		}
		f->left--;
		file = &f->files[f->nr++];
		*file = (struct fake_file){
			.ino = f->next_ino++,
			.instance = f->next_instance++,
			.s = { .mtime = { .sec = 5 }, .ctime = { .sec = 5 } },
		};
	}
	file->free = false;
	*out = (struct ns_backing){
		.ino = file->ino, .instance = file->instance, .volume = 1,
		.timed = f->timed, .mtime = file->s.mtime,
		.ctime = file->s.ctime,
	};
	return 0;
}

static struct fake_file *find(struct fake *f, uint64_t ino)
{
	for (size_t i = f->nr; i > 0; i--) {
		if (f->files[i - 1].ino == ino)
			return &f->files[i - 1];
	}
	return NULL;
}

static void fake_put_back(void *ctx, const struct ns_backing *b)
{
	struct fake *f = ctx;
	struct fake_file *file = find(f, b->ino);

	assert_non_null(file);
	assert_false(file->free);
	file->free = true;
	f->put_backs++;
}

static int fake_stat(void *ctx, uint32_t volume, uint64_t ino,
		     uint64_t version, uint64_t instance,
		     struct ns_backing_stat *out)
{
	struct fake *f = ctx;
	struct fake_file *file = find(f, ino);

	assert_int_equal(volume, 1);
	assert_int_equal(version, 1);
	assert_non_null(file);
	assert_int_equal(file->instance, instance);
	f->stats++;
	if (f->stat_error)
		return f->stat_error;
	if (file->missing)
		return -ENOENT;
	*out = file->s;
	return 0;
}

static int fake_own(void *ctx, uint32_t volume, uint64_t ino, uint64_t version,
		    uint64_t instance, const struct ns_owner *owner)
{
	struct fake *f = ctx;
	struct fake_file *file = find(f, ino);

	assert_int_equal(volume, 1);
	assert_int_equal(version, 1);
	assert_non_null(file);
	assert_int_equal(file->instance, instance);
	if (f->own_error)
		return f->own_error;
	if (file->missing)
		return -ENOENT;
	f->owns++;
	file->uid = owner->uid;
	file->gid = owner->gid;
	if (owner->project)
		file->projid = owner->projid;
	return 0;
}

static void fake_unsettled(void *ctx, uint32_t volume, uint64_t ino,
			   uint64_t version, uint64_t instance)
{
	struct fake *f = ctx;

	assert_int_equal(volume, 1);
	assert_int_equal(version, 1);
	assert_int_equal(find(f, ino)->instance, instance);
	f->unsettled++;
}

static int fake_statfs(void *ctx, struct orchfs_statfs *out)
{
	(void)ctx;
	memset(out, 0, sizeof(*out));
	return 0;
}

static size_t fake_holders(void *ctx, uint64_t ino, uint32_t *nodes,
			   size_t max)
{
	const struct fake *f = ctx;

	(void)ino;
	assert_true(f->nr_holders <= max);
	memcpy(nodes, f->holders, f->nr_holders * sizeof(*nodes));
	return f->nr_holders;
}

static const struct ns_backing_ops fake_ops = {
	.take = fake_take,
	.put_back = fake_put_back,
	.stat = fake_stat,
	.unsettled = fake_unsettled,
	.own = fake_own,
	.statfs = fake_statfs,
	.holders = fake_holders,
};

struct fake_file *fake_find(struct env *e, uint64_t ino)
{
	struct fake_file *file = find(&e->fake, ino);

	assert_non_null(file);
	return file;
}

void fake_write(struct env *e, uint64_t ino, uint64_t size)
{
	struct fake_file *file = fake_find(e, ino);

	file->s.size = size;
	file->s.blocks = (size + 511) / 512;
	file->s.mtime.sec = file->s.ctime.sec = e->fake.clock++;
}

void fake_refill(struct env *e)
{
	struct fake *f = &e->fake;

	assert_int_equal(ns_reserve(e->ns, "ino", FILES, &f->next_ino), 0);
	assert_int_equal(ns_reserve(e->ns, "instance", FILES,
				    &f->next_instance), 0);
	f->left = FILES;
}

void env_full(struct env *e, bool full)
{
	struct store_dir *d = &e->st->dir;

	e->full = full;
	d->floor = full ? UINT64_MAX / 4 : d->reserve / 2;
	d->tight = full;
}

static void open_store(struct env *e, bool create)
{
	struct store_opts o = { .create = create };
	const char *why = NULL;
	int rc;

	rc = store_open(e->engine, e->dir, &o, &e->st, &why);
	if (rc)
		print_error("store_open: %d %s\n", rc, why ? why : "");
	assert_int_equal(rc, 0);
	if (e->full)
		env_full(e, true);
}

static void open_ns(struct env *e)
{
	const char *why = NULL;
	int rc;

	rc = ns_open(e->st, &fake_ops, &e->fake, BOOT, &e->ns, &why);
	if (rc)
		print_error("ns_open: %d %s\n", rc, why ? why : "");
	assert_int_equal(rc, 0);
}

int env_open(struct env *e, const char *engine)
{
	static const uint8_t uuid[16] = "0123456789abcdef";
	struct ns_volume *v = calloc(1, sizeof(*v));

	memset(e, 0, sizeof(*e));
	e->engine = engine;
	strcpy(e->dir, "/tmp/engine-test-XXXXXX");
	assert_non_null(mkdtemp(e->dir));
	open_store(e, true);
	assert_int_equal(ns_format(e->st, "test", uuid), 0);
	assert_int_equal(ns_format(e->st, "test", uuid), -EEXIST);
	open_ns(e);
	e->session = 0xabcdef0123ULL;
	e->now = 1700000000;
	e->fake.clock = 1800000000;
	assert_non_null(v);
	v->id = 1;
	strcpy(v->name, "nvme0");
	strcpy(v->path, "/mnt/nvme0");
	assert_int_equal(ns_volume_put(e->ns, v), 0);
	free(v);
	fake_refill(e);
	return 0;
}

static int remove_one(const char *path, const struct stat *s, int flag,
		      struct FTW *f)
{
	(void)s;
	(void)flag;
	(void)f;
	return remove(path);
}

void env_close(struct env *e)
{
	arena_free(e->rep.arena);
	env_heal(e);
	assert_int_equal(ns_close(e->ns), 0);
	store_close(e->st);
	free(e->fake.files);
	nftw(e->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

void env_restart(struct env *e, bool orderly)
{
	arena_free(e->rep.arena);
	memset(&e->rep, 0, sizeof(e->rep));
	if (!orderly)
		env_fail(e, 0, -EIO);
	assert_int_equal(ns_close(e->ns), orderly ? 0 : -EIO);
	env_heal(e);
	if (e->st->ops->on_disk) {
		store_close(e->st);
		open_store(e, false);
	}
	open_ns(e);
	assert_int_equal(ns_was_clean(e->ns), orderly);
	assert_true(ns_same_boot(e->ns));
}

struct op_name nm(const char *s)
{
	return (struct op_name){ s, s ? strlen(s) : 0 };
}

/* slot 64: a request without one */
struct op_req env_req(struct env *e, uint32_t kind, uint32_t slot)
{
	struct op_req rq = {
		.origin = e->origin,
		.kind = kind,
		.session = e->session + e->origin,
		.now = { .sec = e->now++ },
	};

	if (slot < 64) {
		rq.slot = slot;
		rq.sequence = ++e->sequence[slot];
	}
	return rq;
}

int env_run(struct env *e, const struct op_req *rq)
{
	arena_free(e->rep.arena);
	memset(&e->rep, 0, sizeof(e->rep));
	ns_execute(e->ns, rq, &e->rep);
	if (e->rep.status) {
		assert_false(e->rep.has_attr || e->rep.has_attr2 ||
			     e->rep.has_layout || e->rep.txn);
	}
	return e->rep.status;
}

int do_create(struct env *e, uint64_t dir, const char *name, uint32_t mode,
	      uint32_t flags, uint64_t *ino)
{
	struct op_req rq = env_req(e, K(CREATE), 0);
	int rc;

	rq.node = dir;
	rq.name = nm(name);
	rq.mode = mode;
	rq.uid = 10;
	rq.gid = 20;
	rq.flags = flags;
	rc = env_run(e, &rq);
	if (!rc && ino)
		*ino = e->rep.attr.ino;
	return rc;
}

int do_symlink(struct env *e, uint64_t dir, const char *name,
	       const char *target)
{
	struct op_req rq = env_req(e, K(CREATE), 1);

	rq.node = dir;
	rq.name = nm(name);
	rq.mode = S_IFLNK | 0777;
	rq.target = nm(target);
	rq.flags = F(EXCL);
	return env_run(e, &rq);
}

int do_lookup(struct env *e, uint64_t dir, const char *name)
{
	struct op_req rq = env_req(e, K(LOOKUP), 64);

	rq.node = dir;
	rq.name = nm(name);
	return env_run(e, &rq);
}

int do_getattr(struct env *e, uint64_t ino)
{
	struct op_req rq = env_req(e, K(GETATTR), 64);

	rq.node = ino;
	return env_run(e, &rq);
}

int do_open(struct env *e, uint64_t ino, bool write)
{
	struct op_req rq = env_req(e, K(OPEN), 64);

	rq.node = ino;
	rq.flags = write ? F(WRITE) : 0;
	return env_run(e, &rq);
}

int do_link(struct env *e, uint64_t ino, uint64_t dir, const char *name)
{
	struct op_req rq = env_req(e, K(LINK), 2);

	rq.node = ino;
	rq.node2 = dir;
	rq.name2 = nm(name);
	return env_run(e, &rq);
}

int do_unlink(struct env *e, uint64_t dir, const char *name, uint32_t flags)
{
	struct op_req rq = env_req(e, K(UNLINK), 3);

	rq.node = dir;
	rq.name = nm(name);
	rq.flags = flags;
	return env_run(e, &rq);
}

int do_rename(struct env *e, uint64_t dir, const char *name, uint64_t dir2,
	      const char *name2, uint32_t flags)
{
	struct op_req rq = env_req(e, K(RENAME), 4);

	rq.node = dir;
	rq.name = nm(name);
	rq.node2 = dir2;
	rq.name2 = nm(name2);
	rq.flags = flags;
	return env_run(e, &rq);
}

int do_setxattr(struct env *e, uint64_t ino, const char *name,
		const void *value, size_t len, uint32_t flags)
{
	struct op_req rq = env_req(e, K(SETXATTR), 5);

	rq.node = ino;
	rq.xattr_name = nm(name);
	rq.xattr_value = value;
	rq.xattr_len = len;
	rq.flags = flags;
	return env_run(e, &rq);
}

int do_getxattr(struct env *e, uint64_t ino, const char *name)
{
	struct op_req rq = env_req(e, K(GETXATTR), 64);

	rq.node = ino;
	rq.xattr_name = nm(name);
	return env_run(e, &rq);
}

int do_readdir(struct env *e, uint64_t dir, uint64_t cookie, uint32_t max)
{
	struct op_req rq = env_req(e, K(READDIR), 64);

	rq.node = dir;
	rq.cookie = cookie;
	rq.max_entries = max;
	return env_run(e, &rq);
}

int do_forget(struct env *e, uint64_t ino)
{
	struct ns_note n = { .kind = K(NOTE_FORGET), .node = ino };

	return ns_note(e->ns, e->origin, &n, 1);
}

int do_return(struct env *e, uint64_t ino, uint64_t generation)
{
	struct ns_note n = {
		.kind = K(NOTE_RETURN), .node = ino, .generation = generation,
	};

	return ns_note(e->ns, e->origin, &n, 1);
}
