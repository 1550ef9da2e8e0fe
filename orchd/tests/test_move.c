// SPDX-License-Identifier: Apache-2.0
/*
 * Records of a move: which instance counts at each step, and what a grant for
 * writing, a deletion or a failing commit makes of it.
 */
#include "engine_util.h"
#include "ns_impl.h"
#include "ns_move.h"

#define FAST	1
#define SLOW	2

static struct env env;
static struct env *const e = &env;
static const struct ns_backing_ops *fake_ops;
static struct ns_backing_ops ops;
static uint64_t next_instance;

/* On the second volume there are copies of the same size. */
static int stat_any(void *ctx, uint32_t volume, uint64_t ino, uint64_t version,
		    uint64_t instance, struct ns_backing_stat *out)
{
	if (volume == FAST)
		return fake_ops->stat(ctx, volume, ino, version, instance,
				      out);
	*out = (struct ns_backing_stat){ .size = 7 };
	return 0;
}

static struct {
	unsigned int calls;
	int error;
	struct ns_owner last;
} slow_owner;

static int own_any(void *ctx, uint32_t volume, uint64_t ino, uint64_t version,
		   uint64_t instance, const struct ns_owner *owner)
{
	if (volume == FAST)
		return fake_ops->own(ctx, volume, ino, version, instance,
				     owner);
	slow_owner.calls++;
	if (!slow_owner.error)
		slow_owner.last = *owner;
	return slow_owner.error;
}

static int setup(void **state)
{
	struct ns_volume *v = calloc(1, sizeof(*v));

	env_open(e, *state);
	v->id = SLOW;
	v->tier = 1;
	strcpy(v->name, "slow");
	strcpy(v->path, "/mnt/slow");
	assert_int_equal(ns_volume_put(e->ns, v), 0);
	free(v);
	fake_ops = e->ns->ops;
	ops = *fake_ops;
	ops.stat = stat_any;
	ops.own = own_any;
	memset(&slow_owner, 0, sizeof(slow_owner));
	e->ns->ops = &ops;
	assert_int_equal(ns_reserve(e->ns, "instance", 100, &next_instance),
			 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	env_check(e);
	env_close(e);
	return 0;
}

static struct ns_job new_job(uint64_t ino)
{
	struct ns_job j = { .ino = ino, .volume = SLOW };

	strcpy(j.label, "file");
	assert_int_equal(ns_job_new(e->ns, &j), 0);
	return j;
}

static uint64_t new_file(const char *name)
{
	uint64_t ino;

	assert_int_equal(do_create(e, ROOT, name, S_IFREG | 0644,
				   F(LAYOUT) | F(WRITE), &ino), 0);
	fake_write(e, ino, 7);
	assert_int_equal(do_return(e, ino, e->rep.layout.generation), 0);
	return ino;
}

/* "1 valid, 2 filling": volumes and states of its instances. */
static const char *places(uint64_t ino)
{
	static const char *const states[] = {
		"filling", "valid", "stale", "retiring",
	};
	static char text[200];
	uint64_t version, generation;
	struct ns_instance *list;
	size_t nr, len = 0;

	text[0] = 0;
	assert_int_equal(ns_where(e->ns, ino, &version, &generation, &list,
				  &nr), 0);
	for (size_t i = 0; i < nr; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len,
					"%s%u %s", i ? ", " : "",
					list[i].volume,
					states[list[i].state]);
	free(list);
	return text;
}

static size_t deletions(void)
{
	struct ns_deletion d[20];
	int n = ns_deletions(e->ns, 0, d, 20);

	assert_true(n >= 0);
	return (size_t)n;
}

static int grant(uint64_t ino, bool write, uint32_t *volume)
{
	int rc = do_open(e, ino, write);

	if (!rc)
		*volume = e->rep.layout.volume;
	return rc;
}

static struct ns_move begun(const struct ns_job *j, uint64_t ino)
{
	struct ns_move m = {
		.job = j->id, .ino = ino, .to_volume = SLOW,
	}, *p = &m;
	uint64_t txn;

	assert_int_equal(ns_move_watch(e->ns, &m), 0);
	m.to = next_instance++;
	assert_int_equal(ns_move_begin(e->ns, &p, 1, &txn), 0);
	assert_int_equal(m.rc, 0);
	assert_string_equal(places(ino), "1 valid, 2 filling");
	return m;
}

/* At the only kernel. */
static void swapped(const struct ns_move *m, bool new, uint64_t generation,
		    int status)
{
	ns_move_swapped_at(e->ns, m, 0, generation, status);
	ns_move_swapped(e->ns, m, new, status == -ENOENT ? 0 : status);
}

/* The copy was given to whom the file belongs. */
static int valid(struct ns_move *m, uint64_t blocks)
{
	const struct fake_file *f = fake_find(e, m->ino);
	const struct ns_owner o = {
		.uid = f->uid, .gid = f->gid, .projid = f->projid,
	};

	return ns_move_valid(e->ns, m, blocks, &o);
}

static void test_forward(void **state)
{
	uint64_t ino = new_file("a");
	struct ns_job j = new_job(ino);
	struct ns_move m = begun(&j, ino);
	uint32_t volume;

	(void)state;
	assert_int_equal(grant(ino, false, &volume), 0);
	assert_int_equal(volume, FAST);
	env_check(e);
	assert_int_equal(valid(&m, 16), 0);
	assert_string_equal(places(ino), "1 retiring, 2 valid");
	env_check(e);
	/* it is in use on the first one, so that is what is granted */
	assert_int_equal(grant(ino, false, &volume), 0);
	assert_int_equal(volume, FAST);
	swapped(&m, true, 0, 0);
	assert_int_equal(grant(ino, false, &volume), 0);
	assert_int_equal(volume, SLOW);
	assert_int_equal(ns_move_retire(e->ns, &m, &j), 0);
	ns_move_unwatch(e->ns, ino);
	assert_string_equal(places(ino), "2 valid");
	assert_int_equal(deletions(), 1);
	assert_int_equal(do_getattr(e, ino), 0);
	assert_int_equal(e->rep.attr.blocks, 16);
}

static void test_parked(void **state)
{
	uint64_t ino = new_file("a");
	struct ns_job j = new_job(ino);
	struct ns_move m = begun(&j, ino);
	struct op_layout lay;
	uint32_t volume;

	(void)state;
	assert_int_equal(ns_move_layout(e->ns, &m, false, &lay), 0);
	assert_int_equal(lay.volume, FAST);
	assert_false(lay.writable);
	assert_int_equal(grant(ino, true, &volume), -NS_PARKED);
	assert_int_equal(grant(ino, false, &volume), -NS_PARKED);
	assert_int_equal(do_lookup(e, ROOT, "a"), 0);
	swapped(&m, false, lay.generation, 0);
	assert_int_equal(grant(ino, false, &volume), 0);
	assert_true(e->rep.layout.generation > lay.generation);
	assert_int_equal(ns_move_abort(e->ns, &m, &j), 0);
	ns_move_unwatch(e->ns, ino);
	assert_string_equal(places(ino), "1 valid");
	assert_int_equal(deletions(), 1);
}

static void test_written_while_copied(void **state)
{
	uint64_t ino = new_file("a");
	struct ns_job j = new_job(ino);
	struct ns_move m = begun(&j, ino);
	uint32_t volume;

	(void)state;
	assert_false(ns_move_written(e->ns, ino));
	assert_int_equal(grant(ino, true, &volume), 0);
	assert_int_equal(volume, FAST);
	assert_true(ns_move_written(e->ns, ino));
	assert_int_equal(valid(&m, 8), -EBUSY);
	strcpy(m.text, "opened for writing meanwhile");
	assert_int_equal(ns_move_abort(e->ns, &m, &j), 0);
	ns_move_unwatch(e->ns, ino);
	assert_string_equal(places(ino), "1 valid");
}

/* Mapped, so in use where it was: who writes gets that. */
static void test_written_where_in_use(void **state)
{
	uint64_t ino = new_file("a");
	struct ns_job j = new_job(ino);
	struct ns_move m = begun(&j, ino);
	uint32_t volume;

	(void)state;
	assert_int_equal(grant(ino, false, &volume), 0);
	assert_int_equal(valid(&m, 8), 0);
	swapped(&m, true, 0, -EBUSY);
	assert_int_equal(grant(ino, true, &volume), 0);
	assert_int_equal(volume, FAST);
	assert_string_equal(places(ino), "1 valid, 2 stale");
	env_check(e);
	assert_int_equal(ns_move_abort(e->ns, &m, &j), 0);
	ns_move_unwatch(e->ns, ino);
	assert_string_equal(places(ino), "1 valid");
	assert_int_equal(deletions(), 1);
	/* and settles as any other */
	fake_write(e, ino, 9);
	assert_int_equal(do_return(e, ino, e->rep.layout.generation), 0);
	assert_int_equal(do_getattr(e, ino), 0);
	assert_int_equal(e->rep.attr.size, 9);
}

static void ends_where_it_goes(uint64_t ino, struct ns_move *m,
			       struct ns_job *j)
{
	uint32_t volume;

	assert_int_equal(grant(ino, true, &volume), 0);
	assert_int_equal(volume, SLOW);
	assert_string_equal(places(ino), "1 stale, 2 valid");
	assert_int_equal(ns_move_abort(e->ns, m, j), -EINPROGRESS);
	assert_int_equal(ns_move_retire(e->ns, m, j), 0);
	ns_move_unwatch(e->ns, ino);
	assert_string_equal(places(ino), "2 valid");
}

/* Nobody uses the old one: who writes gets the new, and there is no way back. */
static void test_written_where_it_goes(void **state)
{
	uint64_t ino = new_file("a");
	struct ns_job j = new_job(ino);
	struct ns_move m = begun(&j, ino);

	(void)state;
	assert_int_equal(valid(&m, 8), 0);
	swapped(&m, true, 0, -ENOENT);
	ends_where_it_goes(ino, &m, &j);
}

static void test_taken_back(void **state)
{
	uint64_t ino = new_file("a"), blocks;
	struct ns_job j = new_job(ino);
	struct ns_move m = begun(&j, ino);

	(void)state;
	assert_int_equal(do_getattr(e, ino), 0);
	blocks = e->rep.attr.blocks;
	assert_int_equal(valid(&m, blocks + 8), 0);
	assert_int_equal(do_getattr(e, ino), 0);
	assert_int_equal(e->rep.attr.blocks, blocks + 8);
	assert_int_equal(ns_move_abort(e->ns, &m, &j), 0);
	ns_move_unwatch(e->ns, ino);
	assert_string_equal(places(ino), "1 valid");
	assert_int_equal(deletions(), 1);
	assert_int_equal(do_getattr(e, ino), 0);
	assert_int_equal(e->rep.attr.blocks, blocks);
}

static void test_deleted(void **state)
{
	uint64_t ino = new_file("a");
	struct ns_job j = new_job(ino);
	struct ns_move m = begun(&j, ino);
	struct ns_move_entry x;

	(void)state;
	assert_int_equal(do_unlink(e, ROOT, "a", 0), 0);
	assert_int_equal(ns_move_stat(e->ns, ino, &x), -ENOENT);
	assert_int_equal(do_forget(e, ino), 0);
	assert_int_equal(deletions(), 2);
	assert_int_equal(valid(&m, 8), -ENOENT);
	assert_int_equal(ns_move_abort(e->ns, &m, &j), 0);
	ns_move_unwatch(e->ns, ino);
	/* its file may have been made after the first one was carried out */
	assert_int_equal(deletions(), 3);
}

static int count_job(void *ctx, const struct ns_job *j)
{
	assert_string_equal(j->label, "file");
	++*(int *)ctx;
	return 0;
}

static int copy_move(void *ctx, const struct ns_move *m)
{
	*(struct ns_move *)ctx = *m;
	return 0;
}

static void test_restart(void **state)
{
	uint64_t ino = new_file("a");
	struct ns_job j = new_job(ino);
	struct ns_move m = begun(&j, ino), found = { 0 };
	uint32_t volume;
	int n = 0;

	assert_int_equal(valid(&m, 8), 0);
	if (strcmp(*state, "memory")) {
		env_restart(e, false);
		e->ns->ops = &ops;
	}
	assert_int_equal(ns_jobs(e->ns, count_job, &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(ns_job_moves(e->ns, j.id, 10, copy_move, &found), 0);
	assert_int_equal(found.to, m.to);
	assert_int_equal(found.from, m.from);
	assert_int_equal(found.step, NS_MOVE_SWITCH);
	assert_int_equal(ns_move_park(e->ns, &found), 0);
	assert_int_equal(grant(ino, true, &volume), -NS_PARKED);
	swapped(&found, true, 0, -ENOENT);
	assert_int_equal(ns_move_retire(e->ns, &found, &j), 0);
	ns_move_unwatch(e->ns, ino);
	assert_string_equal(places(ino), "2 valid");
	assert_int_equal(new_job(ino).id, j.id + 1);
	assert_int_equal(ns_job_del(e->ns, j.id), 0);
}

/*
 * After a start nobody knows which instance is in use: only one that is mapped
 * tells. Who writes then gets that one, whatever the job wants.
 */
static void test_written_after_restart(void **state)
{
	uint64_t ino = new_file("a");
	struct ns_job j = new_job(ino);
	struct ns_move m = begun(&j, ino);
	uint32_t volume;

	assert_int_equal(valid(&m, 8), 0);
	if (strcmp(*state, "memory")) {
		env_restart(e, false);
		e->ns->ops = &ops;
	}
	assert_int_equal(ns_move_park(e->ns, &m), 0);
	swapped(&m, false, 0, -ETIMEDOUT);
	assert_int_equal(grant(ino, true, &volume), -NS_PARKED);
	swapped(&m, true, 0, -ETIMEDOUT);
	assert_int_equal(grant(ino, false, &volume), -NS_PARKED);
	swapped(&m, false, 0, -EBUSY);
	assert_true(ns_move_in_use(e->ns, &m, true));
	/* known, until the channel is lost in the middle of another one */
	swapped(&m, false, 0, -ETIMEDOUT);
	assert_true(ns_move_in_use(e->ns, &m, true));
	swapped(&m, false, 0, -ENOTCONN);
	assert_int_equal(grant(ino, true, &volume), -NS_PARKED);
	swapped(&m, false, 0, -EBUSY);
	ends_where_it_goes(ino, &m, &j);
}

/* A daemon that is started finds the file at its switch. */
static void found_again(const char *engine, const struct ns_move *m)
{
	if (strcmp(engine, "memory")) {
		env_restart(e, false);
		e->ns->ops = &ops;
	} else {
		ns_move_unwatch(e->ns, m->ino);
	}
	assert_int_equal(ns_move_park(e->ns, m), 0);
}

/* Who had it open for writing in a daemon that was killed, had that one. */
static void test_written_before_restart(void **state)
{
	uint64_t a = new_file("a"), b = new_file("b");
	struct ns_job j = new_job(a);
	struct ns_move ma = begun(&j, a), mb = begun(&j, b);
	uint32_t volume;

	assert_int_equal(valid(&ma, 8), 0);
	assert_int_equal(valid(&mb, 8), 0);
	swapped(&ma, true, 0, -EBUSY);
	swapped(&mb, true, 0, 0);
	assert_int_equal(grant(a, true, &volume), 0);
	assert_int_equal(volume, FAST);
	assert_int_equal(grant(b, true, &volume), 0);
	assert_int_equal(volume, SLOW);
	found_again(*state, &ma);
	assert_true(ns_move_known(e->ns, &ma));
	assert_true(ns_move_written(e->ns, a));
	assert_int_equal(grant(a, true, &volume), 0);
	assert_int_equal(volume, FAST);
	assert_int_equal(ns_move_abort(e->ns, &ma, &j), 0);
	ns_move_unwatch(e->ns, a);
	assert_string_equal(places(a), "1 valid");
	assert_int_equal(ns_move_park(e->ns, &mb), 0);
	assert_true(ns_move_known(e->ns, &mb));
	assert_true(ns_move_written(e->ns, b));
	ends_where_it_goes(b, &mb, &j);
}

/* The kernel has no layout of either: the next is of the one that was tried. */
static void test_none_in_use(void **state)
{
	uint64_t ino = new_file("a");
	struct ns_job j = new_job(ino);
	struct ns_move m = begun(&j, ino);
	uint32_t volume;

	assert_int_equal(valid(&m, 8), 0);
	found_again(*state, &m);
	assert_false(ns_move_known(e->ns, &m));
	swapped(&m, true, 0, -EIO);
	assert_false(ns_move_known(e->ns, &m));
	assert_int_equal(grant(ino, false, &volume), -NS_PARKED);
	swapped(&m, false, 0, -ENOENT);
	assert_true(ns_move_known(e->ns, &m));
	assert_int_equal(grant(ino, false, &volume), 0);
	assert_int_equal(volume, FAST);
	swapped(&m, true, 0, -EIO);
	assert_int_equal(grant(ino, true, &volume), 0);
	assert_int_equal(volume, FAST);
	assert_string_equal(places(ino), "1 valid, 2 stale");
	assert_int_equal(ns_move_abort(e->ns, &m, &j), 0);
	ns_move_unwatch(e->ns, ino);
	assert_string_equal(places(ino), "1 valid");
}

/* A commit that fails changes nothing, and the step can be done again. */
static void test_failing(void **state)
{
	uint64_t ino = new_file("a"), txn;
	struct ns_job j = new_job(ino);
	struct ns_move m = { .job = j.id, .ino = ino, .to_volume = SLOW };
	struct ns_move *p = &m;

	(void)state;
	assert_int_equal(ns_move_watch(e->ns, &m), 0);
	assert_int_equal(ns_move_watch(e->ns, &m), -EBUSY);
	m.to = next_instance++;
	env_fail(e, 0, -ENOSPC);
	assert_int_equal(ns_move_begin(e->ns, &p, 1, &txn), -ENOSPC);
	env_heal(e);
	assert_string_equal(places(ino), "1 valid");
	assert_int_equal(ns_move_begin(e->ns, &p, 1, &txn), 0);
	env_fail(e, 0, -ENOSPC);
	assert_int_equal(valid(&m, 8), -ENOSPC);
	env_heal(e);
	assert_string_equal(places(ino), "1 valid, 2 filling");
	assert_int_equal(m.step, NS_MOVE_COPY);
	assert_int_equal(valid(&m, 8), 0);
	env_fail(e, 0, -ENOSPC);
	assert_int_equal(ns_move_retire(e->ns, &m, &j), -ENOSPC);
	env_heal(e);
	assert_string_equal(places(ino), "1 retiring, 2 valid");
	assert_int_equal(ns_move_retire(e->ns, &m, &j), 0);
	ns_move_unwatch(e->ns, ino);
	assert_string_equal(places(ino), "2 valid");
}

/* What was to be taken back is taken back when it can be recorded. */
static void test_failing_abort(void **state)
{
	uint64_t ino = new_file("a");
	struct ns_job j = new_job(ino);
	struct ns_move m = begun(&j, ino), found = { 0 };

	(void)state;
	assert_int_equal(valid(&m, 8), 0);
	strcpy(m.text, "left");
	env_fail(e, 0, -ENOSPC);
	assert_int_equal(ns_move_abort(e->ns, &m, &j), -ENOSPC);
	env_heal(e);
	assert_string_equal(places(ino), "1 retiring, 2 valid");
	assert_int_equal(m.step, NS_MOVE_SWITCH);
	assert_int_equal(ns_move_abort(e->ns, &m, &j), 0);
	ns_move_unwatch(e->ns, ino);
	assert_string_equal(places(ino), "1 valid");
	assert_int_equal(deletions(), 1);
	assert_int_equal(ns_job_moves(e->ns, j.id, 10, copy_move, &found), 0);
	assert_int_equal(found.step, NS_MOVE_LEFT);
}

static int give_to(uint64_t ino, uint32_t uid)
{
	struct op_req rq = env_req(e, K(SETATTR), 3);

	rq.node = ino;
	rq.valid = ORCHFS_SET_UID;
	rq.attr.uid = uid;
	return env_run(e, &rq);
}

static uint32_t recorded_uid(uint64_t ino)
{
	assert_int_equal(do_getattr(e, ino), 0);
	return e->rep.attr.uid;
}

/* A copy that is being filled belongs to whom the file did belong to. */
static void test_owner_while_copied(void **state)
{
	uint64_t ino = new_file("a");
	struct ns_job j = new_job(ino);
	struct ns_move m = begun(&j, ino);
	const struct ns_owner was = { .uid = fake_find(e, ino)->uid };

	(void)state;
	slow_owner.error = -EDQUOT;
	assert_int_equal(give_to(ino, 77), 0);
	assert_int_equal(slow_owner.calls, 0);
	assert_int_equal(fake_find(e, ino)->uid, 77);
	assert_int_equal(ns_move_valid(e->ns, &m, 8, &was), -EDQUOT);
	assert_string_equal(places(ino), "1 valid, 2 filling");
	slow_owner.error = 0;
	assert_int_equal(ns_move_valid(e->ns, &m, 8, &was), 0);
	assert_int_equal(slow_owner.calls, 2);
	assert_int_equal(slow_owner.last.uid, 77);
	assert_false(slow_owner.last.project);
	assert_int_equal(ns_move_abort(e->ns, &m, &j), 0);
	ns_move_unwatch(e->ns, ino);
	/* nothing to do where it is the same */
	m = begun(&j, ino);
	assert_int_equal(valid(&m, 8), 0);
	assert_int_equal(slow_owner.calls, 2);
	assert_int_equal(ns_move_abort(e->ns, &m, &j), 0);
	ns_move_unwatch(e->ns, ino);
}

/* Who can't have one of the two files gets neither. */
static void test_owner_at_switch(void **state)
{
	uint64_t ino = new_file("a");
	struct ns_job j = new_job(ino);
	struct ns_move m = begun(&j, ino);
	const struct fake_file *file = fake_find(e, ino);
	const uint32_t was = file->uid;

	(void)state;
	assert_int_equal(valid(&m, 8), 0);
	slow_owner.error = -EDQUOT;
	assert_int_equal(give_to(ino, 77), -EDQUOT);
	assert_int_equal(file->uid, was);
	assert_int_equal(recorded_uid(ino), was);
	slow_owner.error = 0;
	env_fail(e, 0, -ENOSPC);
	assert_int_equal(give_to(ino, 77), -ENOSPC);
	env_heal(e);
	assert_int_equal(file->uid, was);
	assert_int_equal(slow_owner.last.uid, was);
	assert_int_equal(recorded_uid(ino), was);
	assert_int_equal(give_to(ino, 77), 0);
	assert_int_equal(file->uid, 77);
	assert_int_equal(slow_owner.last.uid, 77);
	assert_int_equal(recorded_uid(ino), 77);
	assert_int_equal(ns_move_abort(e->ns, &m, &j), 0);
	ns_move_unwatch(e->ns, ino);
}

static struct ns_job new_drain(uint32_t volume)
{
	struct ns_job j = { .volume = volume, .drain = true };

	strcpy(j.label, "drain");
	assert_int_equal(ns_drain_new(e->ns, &j), 0);
	return j;
}

static bool draining(uint32_t volume)
{
	return volume_find(e->ns, volume)->draining;
}

static int same_drain(void *ctx, const struct ns_job *j)
{
	const struct ns_job *want = ctx;

	assert_int_equal(j->id, want->id);
	assert_int_equal(j->volume, want->volume);
	assert_int_equal(j->cancel, want->cancel);
	assert_true(j->drain);
	return 0;
}

/* The volume's state and the job come and go together, and stay. */
static void test_drain_records(void **state)
{
	struct ns_job j = { .volume = 99, .drain = true };

	assert_int_equal(ns_drain_new(e->ns, &j), -ENOENT);
	j.volume = FAST;
	env_fail(e, 0, -ENOSPC);
	assert_int_equal(ns_drain_new(e->ns, &j), -ENOSPC);
	env_heal(e);
	assert_false(draining(FAST));
	j = new_drain(FAST);
	assert_true(draining(FAST));
	assert_false(draining(SLOW));
	if (strcmp(*state, "memory")) {
		env_restart(e, false);
		e->ns->ops = &ops;
	}
	assert_true(draining(FAST));
	assert_int_equal(ns_jobs(e->ns, same_drain, &j), 0);
	env_fail(e, 0, -ENOSPC);
	assert_int_equal(ns_drain_back(e->ns, FAST, &j), -ENOSPC);
	env_heal(e);
	assert_true(draining(FAST));
	assert_int_equal(ns_drain_back(e->ns, FAST, &j), 0);
	assert_false(draining(FAST));
	j.cancel = true;
	assert_int_equal(ns_jobs(e->ns, same_drain, &j), 0);
	assert_int_equal(ns_job_del(e->ns, j.id), 0);
	j = new_drain(FAST);
	assert_int_equal(ns_job_del(e->ns, j.id), 0);
	assert_int_equal(ns_drain_back(e->ns, FAST, NULL), 0);
	assert_false(draining(FAST));
}

#define DRAIN_FILES	20

/* Inodes in order of number, whatever the steps. */
static size_t listed(uint32_t volume, unsigned int budget, size_t max,
		     struct ns_move_entry *out)
{
	uint64_t after = 0;
	size_t nr = 0;

	while (after != UINT64_MAX) {
		unsigned int left = budget;
		uint64_t before = after;
		int n = ns_drain_list(e->ns, volume, &after, &left, out + nr,
				      max);

		assert_true(n >= 0 && (size_t)n <= max);
		assert_true(after > before);
		nr += (size_t)n;
		assert_true(nr <= DRAIN_FILES);
	}
	return nr;
}

static void test_drain_list(void **state)
{
	struct ns_move_entry all[DRAIN_FILES + 64], some[DRAIN_FILES + 64];
	uint64_t ino[DRAIN_FILES];
	struct ns_move m, at;
	char name[16];
	struct ns_job j;

	(void)state;
	for (int i = 0; i < DRAIN_FILES; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		ino[i] = new_file(name);
	}
	assert_int_equal(listed(SLOW, 100, 10, all), 0);
	j = new_job(ino[3]);
	m = begun(&j, ino[3]);
	at = begun(&j, ino[4]);
	assert_int_equal(valid(&at, 8), 0);
	/* one more that has no name any more */
	assert_int_equal(do_unlink(e, ROOT, "f5", 0), 0);
	assert_int_equal(listed(FAST, 1000, 64, all), DRAIN_FILES);
	for (int i = 0; i < DRAIN_FILES; i++) {
		assert_int_equal(all[i].ino, ino[i]);
		assert_int_equal(all[i].volume, i == 4 || i == 5 ? 0 : FAST);
		assert_int_equal(all[i].mode, i == 5 ? 0 : S_IFREG | 0644);
	}
	for (unsigned int budget = 1; budget < 7; budget++) {
		for (size_t max = 1; max < 5; max++) {
			assert_int_equal(listed(FAST, budget, max, some),
					 DRAIN_FILES);
			assert_memory_equal(all, some,
					    DRAIN_FILES * sizeof(all[0]));
		}
	}
	/* of the other volume: what fills it, and what is there */
	assert_int_equal(listed(SLOW, 1, 1, some), 2);
	assert_int_equal(some[0].volume, 0);
	assert_int_equal(some[1].volume, SLOW);
	assert_int_equal(ns_move_abort(e->ns, &m, &j), 0);
	assert_int_equal(ns_move_retire(e->ns, &at, &j), 0);
	ns_move_unwatch(e->ns, ino[3]);
	ns_move_unwatch(e->ns, ino[4]);
	assert_int_equal(listed(FAST, 1, 64, all), DRAIN_FILES - 1);
	assert_int_equal(listed(SLOW, 1, 64, all), 1);
	assert_int_equal(do_forget(e, ino[5]), 0);
	assert_int_equal(listed(FAST, 1, 64, all), DRAIN_FILES - 2);
}

static int count_move(void *ctx, const struct ns_move *m)
{
	*(uint64_t *)ctx += m->ino;
	return 0;
}

static void test_drain_prune(void **state)
{
	uint64_t a = new_file("a"), b = new_file("b"), left = 0;
	struct ns_job j = new_drain(FAST);
	struct ns_move m = { .job = j.id, .ino = a, .text = "open" };

	(void)state;
	assert_int_equal(ns_move_abort(e->ns, &m, &j), 0);
	m.ino = b;
	assert_int_equal(ns_move_abort(e->ns, &m, &j), 0);
	assert_int_equal(ns_drain_prune(e->ns, &j), 0);
	assert_int_equal(ns_job_moves(e->ns, j.id, 10, count_move, &left), 0);
	assert_int_equal(left, a + b);
	assert_int_equal(do_unlink(e, ROOT, "a", 0), 0);
	assert_int_equal(do_forget(e, a), 0);
	assert_int_equal(ns_drain_prune(e->ns, &j), 0);
	left = 0;
	assert_int_equal(ns_job_moves(e->ns, j.id, 10, count_move, &left), 0);
	assert_int_equal(left, b);
	assert_int_equal(ns_drain_back(e->ns, FAST, &j), 0);
	assert_int_equal(ns_job_del(e->ns, j.id), 0);
}

#define BOTH_WITH(f)							\
	{ #f " (memory)", f, setup, teardown, (void *)"memory" },	\
	{ #f " (rocksdb)", f, setup, teardown, (void *)"rocksdb" }

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH_WITH(test_forward),
		BOTH_WITH(test_parked),
		BOTH_WITH(test_written_while_copied),
		BOTH_WITH(test_written_where_in_use),
		BOTH_WITH(test_written_where_it_goes),
		BOTH_WITH(test_taken_back),
		BOTH_WITH(test_deleted),
		BOTH_WITH(test_restart),
		BOTH_WITH(test_written_after_restart),
		BOTH_WITH(test_written_before_restart),
		BOTH_WITH(test_none_in_use),
		BOTH_WITH(test_failing),
		BOTH_WITH(test_failing_abort),
		BOTH_WITH(test_owner_while_copied),
		BOTH_WITH(test_owner_at_switch),
		BOTH_WITH(test_drain_records),
		BOTH_WITH(test_drain_list),
		BOTH_WITH(test_drain_prune),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
