// SPDX-License-Identifier: Apache-2.0
/* The store: the same cases over both back ends, then what is on disk. */
#include "engine_util.h"

#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

static char dir[64];

static struct store_key sk(const char *s)
{
	return (struct store_key){ s, strlen(s) };
}

static struct store *open_new(void **state)
{
	struct store_opts o = { .create = true };
	struct store *st = NULL;

	strcpy(dir, "/tmp/store-test-XXXXXX");
	assert_non_null(mkdtemp(dir));
	assert_int_equal(store_open(*state, dir, &o, &st, NULL), 0);
	return st;
}

static int reopen(struct store **st, const char **why)
{
	*why = NULL;
	return store_open("rocksdb", dir, NULL, st, why);
}

static int remove_one(const char *path, const struct stat *s, int flag,
		      struct FTW *f)
{
	(void)s;
	(void)flag;
	(void)f;
	return remove(path);
}

static void done(struct store *st)
{
	store_close(st);
	nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static uint64_t put(struct store *st, const char *k, const char *v)
{
	struct store_batch *b = store_batch_new(st);
	uint64_t seq = 0;

	store_put(b, sk(k), v, strlen(v));
	assert_int_equal(store_commit(b, &seq), 0);
	store_batch_free(b);
	return seq;
}

static void expect(struct store *st, struct store_snap *sn, const char *k,
		   const char *v)
{
	size_t len;
	void *p;
	int rc = store_get(st, sn, sk(k), &p, &len);

	if (!v) {
		assert_int_equal(rc, -ENOENT);
		return;
	}
	assert_int_equal(rc, 0);
	assert_int_equal(len, strlen(v));
	assert_memory_equal(p, v, len);
	free(p);
}

static void test_basic(void **state)
{
	struct store *st = open_new(state);
	struct store_batch *b = store_batch_new(st);
	uint64_t seq;

	expect(st, NULL, "a", NULL);
	assert_int_equal(store_next_seq(st), 1);
	assert_int_equal(put(st, "a", "1"), 1);
	assert_int_equal(put(st, "a", "22"), 2);
	assert_int_equal(put(st, "e", ""), 3);
	expect(st, NULL, "a", "22");
	expect(st, NULL, "e", "");
	/* within a batch the last word counts */
	store_put(b, sk("b"), "x", 1);
	store_del(b, sk("b"));
	store_del(b, sk("a"));
	store_put(b, sk("a"), "3", 1);
	store_del(b, sk("no such"));
	assert_int_equal(store_commit(b, &seq), 0);
	assert_int_equal(seq, 4);
	expect(st, NULL, "a", "3");
	expect(st, NULL, "b", NULL);
	/* the batch is empty now */
	assert_int_equal(store_commit(b, &seq), 0);
	expect(st, NULL, "a", "3");
	store_batch_free(b);
	done(st);
}

static void test_preconditions(void **state)
{
	struct store *st = open_new(state);
	struct store_batch *b = store_batch_new(st);
	uint64_t seq = 77;

	put(st, "a", "1");
	store_expect_absent(b, sk("a"));
	store_put(b, sk("z"), "z", 1);
	assert_int_equal(store_commit(b, &seq), -EAGAIN);
	assert_int_equal(seq, 77);
	store_batch_clear(b);
	store_expect_value(b, sk("a"), "2", 1);
	store_put(b, sk("z"), "z", 1);
	assert_int_equal(store_commit(b, &seq), -EAGAIN);
	store_batch_clear(b);
	store_expect_value(b, sk("none"), "2", 1);
	assert_int_equal(store_commit(b, &seq), -EAGAIN);
	store_batch_clear(b);
	expect(st, NULL, "z", NULL);
	store_expect_value(b, sk("a"), "1", 1);
	store_expect_absent(b, sk("z"));
	store_put(b, sk("z"), "z", 1);
	assert_int_equal(store_commit(b, &seq), 0);
	assert_int_equal(seq, 2);
	expect(st, NULL, "z", "z");
	store_batch_free(b);
	done(st);
}

/* Keys in [lo, hi) joined. */
static void expect_scan(struct store *st, struct store_snap *sn,
			const char *lo, const char *hi, const char *want)
{
	struct store_iter *it = store_scan(st, sn, sk(lo), sk(hi));
	char got[256] = "";

	assert_non_null(it);
	for (; store_iter_valid(it); store_iter_next(it)) {
		struct store_key k = store_iter_key(it);
		struct store_key v = store_iter_value(it);

		strncat(got, k.p, k.len);
		strcat(got, "=");
		strncat(got, v.p, v.len);
		strcat(got, " ");
	}
	assert_int_equal(store_iter_error(it), 0);
	store_iter_free(it);
	assert_string_equal(got, want);
}

static void test_scan(void **state)
{
	struct store *st = open_new(state);

	put(st, "b2", "2");
	put(st, "b1", "1");
	put(st, "a", "0");
	put(st, "b", "");
	put(st, "c", "3");
	expect_scan(st, NULL, "b", "c", "b= b1=1 b2=2 ");
	expect_scan(st, NULL, "b1", "b1", "");
	expect_scan(st, NULL, "b1x", "c0", "b2=2 c=3 ");
	expect_scan(st, NULL, "a", "", "a=0 b= b1=1 b2=2 c=3 ");
	expect_scan(st, NULL, "d", "", "");
	/* eight bytes, of which strncat takes the first */
	expect_scan(st, NULL, "", "b", "Sseq=\5 a=0 ");
	done(st);
}

static void test_snapshot(void **state)
{
	struct store *st = open_new(state);
	struct store_iter *it;
	struct store_snap *sn;

	put(st, "k1", "old");
	put(st, "k2", "old");
	sn = store_snapshot(st);
	assert_non_null(sn);
	it = store_scan(st, NULL, sk("k"), sk("l"));
	put(st, "k1", "new");
	put(st, "k3", "new");
	expect(st, sn, "k1", "old");
	expect(st, sn, "k3", NULL);
	expect(st, NULL, "k1", "new");
	expect_scan(st, sn, "k", "l", "k1=old k2=old ");
	expect_scan(st, NULL, "k", "l", "k1=new k2=old k3=new ");
	/* an iterator shows what was there when it was made */
	assert_true(store_iter_valid(it));
	assert_memory_equal(store_iter_value(it).p, "old", 3);
	store_iter_next(it);
	store_iter_next(it);
	assert_false(store_iter_valid(it));
	store_iter_free(it);
	store_snapshot_free(st, sn);
	done(st);
}

static void *barrier_thread(void *arg)
{
	struct store *st = arg;

	for (int i = 0; i < 20; i++) {
		uint64_t last = store_next_seq(st) - 1;

		assert_int_equal(store_barrier(st), 0);
		assert_true(store_durable(st) >= last);
	}
	return NULL;
}

static void test_barrier(void **state)
{
	struct store *st = open_new(state);
	pthread_t t[4];
	char key[16];

	assert_int_equal(store_durable(st), 0);
	put(st, "a", "1");
	assert_int_equal(store_durable(st), 0);
	assert_int_equal(store_barrier(st), 0);
	assert_int_equal(store_durable(st), 1);
	for (int i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, barrier_thread, st);
	for (int i = 0; i < 500; i++) {
		snprintf(key, sizeof(key), "%d", i);
		put(st, key, "x");
	}
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	assert_int_equal(store_barrier(st), 0);
	assert_int_equal(store_durable(st), 501);
	done(st);
}

static int failing(void)
{
	return -EIO;
}

static int failing_sync(struct store *st)
{
	(void)st;
	return failing();
}

static int failing_write(struct store *st, const struct store_buf *ops)
{
	(void)st;
	(void)ops;
	return failing();
}

static void test_failures(void **state)
{
	struct store *st = open_new(state);
	struct store_ops bad = *st->ops;
	const struct store_ops *good = st->ops;
	struct store_batch *b = store_batch_new(st);
	uint64_t seq;

	put(st, "a", "1");
	bad.write = failing_write;
	st->ops = &bad;
	store_put(b, sk("b"), "2", 1);
	assert_int_equal(store_commit(b, &seq), -EIO);
	assert_int_equal(store_next_seq(st), 2);
	st->ops = good;
	expect(st, NULL, "b", NULL);
	/* the batch is still there: again */
	assert_int_equal(store_commit(b, &seq), 0);
	assert_int_equal(seq, 2);
	expect(st, NULL, "b", "2");
	/* a failed barrier is final */
	bad = *good;
	bad.sync = failing_sync;
	st->ops = &bad;
	assert_int_equal(store_barrier(st), -EIO);
	st->ops = good;
	assert_int_equal(store_barrier(st), -EIO);
	assert_int_equal(store_durable(st), 0);
	store_put(b, sk("c"), "3", 1);
	assert_int_equal(store_commit(b, &seq), -EIO);
	store_batch_free(b);
	done(st);
}

/* Both stores tell the same of [lo, hi); returns the number of keys. */
static size_t compare_range(struct store *const st[2], struct store_key lo,
			    struct store_key hi)
{
	struct store_iter *it[2];
	size_t n = 0;

	for (int j = 0; j < 2; j++)
		it[j] = store_scan(st[j], NULL, lo, hi);
	for (; store_iter_valid(it[0]); store_iter_next(it[0]), n++) {
		struct store_key k[2], v[2];

		assert_true(store_iter_valid(it[1]));
		for (int j = 0; j < 2; j++) {
			k[j] = store_iter_key(it[j]);
			v[j] = store_iter_value(it[j]);
		}
		assert_int_equal(k[0].len, k[1].len);
		assert_memory_equal(k[0].p, k[1].p, k[0].len);
		assert_int_equal(v[0].len, v[1].len);
		assert_memory_equal(v[0].p, v[1].p, v[0].len);
		store_iter_next(it[1]);
	}
	assert_false(store_iter_valid(it[1]));
	for (int j = 0; j < 2; j++)
		store_iter_free(it[j]);
	return n;
}

/* As the tables have them: a byte and one to three small numbers. */
static struct store_key random_key(uint8_t *buf)
{
	static const char tables[] = "SALPMDOWIERVNXTCHU";
	size_t numbers = (size_t)(rand() % 4);

	memset(buf, 0, 1 + 3 * 8);
	buf[0] = (uint8_t)tables[rand() % (int)(sizeof(tables) - 1)];
	for (size_t i = 0; i < numbers; i++) {
		/* with ends of the range of a byte, so that they carry */
		buf[8 * (i + 1)] = (uint8_t)(254 + rand() % 4);
		buf[8 * (i + 1) - 1] = (uint8_t)(rand() % 2 * 255);
	}
	return (struct store_key){ buf, 1 + numbers * 8 };
}

static void test_ranges(void **state)
{
	void *memory = (void *)"memory", *rocksdb = (void *)"rocksdb";
	uint8_t a[25], c[25];
	struct store *st[2];
	size_t found = 0;
	uint64_t seq;

	(void)state;
	srand(2);
	st[1] = open_new(&memory);
	rmdir(dir);
	st[0] = open_new(&rocksdb);
	for (int i = 0; i < 4000; i++) {
		struct store_key lo = random_key(a), hi = random_key(c);
		bool del = rand() % 3 == 0;

		for (int j = 0; j < 2; j++) {
			struct store_batch *b = store_batch_new(st[j]);

			if (del)
				store_del(b, lo);
			else
				store_put(b, lo, &i, sizeof(i));
			assert_int_equal(store_commit(b, &seq), 0);
			store_batch_free(b);
		}
		if (rand() % 2) {
			/* what begins with lo */
			memcpy(c, a, lo.len);
			hi.len = lo.len;
			while (hi.len && ++c[hi.len - 1] == 0)
				hi.len--;
		}
		found += compare_range(st, lo, hi);
		/* half of it from table files */
		if (i == 2000) {
			store_close(st[0]);
			assert_int_equal(store_open("rocksdb", dir, NULL,
						    &st[0], NULL), 0);
		}
	}
	assert_true(found > 4000);
	store_close(st[1]);
	done(st[0]);
}

/* Random puts and deletes in both, compared key by key. */
static void test_against_each_other(void **state)
{
	struct store *st[2];
	void *memory = (void *)"memory", *rocksdb = (void *)"rocksdb";
	uint64_t seq;

	(void)state;
	srand(1);
	st[1] = open_new(&memory);
	rmdir(dir);
	st[0] = open_new(&rocksdb);
	for (int i = 0; i < 3000; i++) {
		struct store_batch *b[2];
		int n = 1 + rand() % 4;

		b[0] = store_batch_new(st[0]);
		b[1] = store_batch_new(st[1]);
		while (n--) {
			uint8_t key[3] = { (uint8_t)(rand() % 3),
					   (uint8_t)rand(), 0xff };
			struct store_key k = { key, 1 + (size_t)(rand() % 3) };
			bool del = rand() % 3 == 0;
			int v = rand();

			for (int j = 0; j < 2; j++) {
				if (del)
					store_del(b[j], k);
				else
					store_put(b[j], k, &v, sizeof(v));
			}
		}
		for (int j = 0; j < 2; j++) {
			assert_int_equal(store_commit(b[j], &seq), 0);
			store_batch_free(b[j]);
		}
	}
	assert_true(compare_range(st, sk(""), sk("")) > 0);
	store_close(st[1]);
	done(st[0]);
}

static void test_reopen(void **state)
{
	struct store_opts create = { .create = true };
	struct store_opts ro = { .read_only = true };
	struct store *st = open_new(state), *other = NULL;
	struct store_batch *b;
	const char *why;
	uint64_t seq;

	put(st, "a", "1");
	assert_int_equal(reopen(&other, &why), -EBUSY);
	assert_non_null(why);
	store_close(st);
	assert_int_equal(store_open("rocksdb", dir, &create, &st, &why),
			 -EEXIST);
	assert_int_equal(reopen(&st, &why), 0);
	expect(st, NULL, "a", "1");
	assert_int_equal(store_next_seq(st), 2);
	assert_int_equal(store_durable(st), 1);
	put(st, "b", "2");
	store_close(st);
	assert_int_equal(store_open("rocksdb", dir, &ro, &st, &why), 0);
	expect(st, NULL, "b", "2");
	b = store_batch_new(st);
	store_put(b, sk("c"), "3", 1);
	assert_int_equal(store_commit(b, &seq), -EROFS);
	assert_int_equal(store_barrier(st), -EROFS);
	store_batch_free(b);
	done(st);
	assert_int_equal(reopen(&st, &why), -ENOENT);
	assert_int_equal(store_open("nosuch", dir, NULL, &st, &why), -EINVAL);
}

/* A child fills the store and is killed; returns its last sequence. */
static uint64_t killed_child(int commits, int barrier_at)
{
	uint64_t last = 0;
	int fd[2], status;
	pid_t pid;

	assert_int_equal(pipe(fd), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		struct store_opts o = { .create = true };
		struct store *st;
		char key[16];

		if (store_open("rocksdb", dir, &o, &st, NULL))
			_exit(1);
		for (int i = 0; i < commits; i++) {
			snprintf(key, sizeof(key), "%d", i);
			last = put(st, key, "value");
			if (i == barrier_at && store_barrier(st))
				_exit(1);
		}
		if (write(fd[1], &last, sizeof(last)) != sizeof(last))
			_exit(1);
		raise(SIGKILL);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(read(fd[0], &last, sizeof(last)), sizeof(last));
	close(fd[0]);
	close(fd[1]);
	return last;
}

static void new_dir(void)
{
	strcpy(dir, "/tmp/store-test-XXXXXX");
	assert_non_null(mkdtemp(dir));
}

static void test_sigkill_loses_nothing(void **state)
{
	struct store *st;
	const char *why;
	uint64_t last;

	(void)state;
	new_dir();
	last = killed_child(300, -1);
	assert_int_equal(last, 300);
	assert_int_equal(reopen(&st, &why), 0);
	assert_int_equal(store_next_seq(st), 301);
	expect(st, NULL, "0", "value");
	expect(st, NULL, "299", "value");
	done(st);
}

static int cut_log(const char *path, const struct stat *s, int flag,
		   struct FTW *f)
{
	const char *dot = strrchr(path, '.');

	(void)flag;
	(void)f;
	if (dot && !strcmp(dot, ".log") && s->st_size)
		return truncate(path, s->st_size / 2);
	return 0;
}

/* The log's tail is lost: fine if it was not durable, damage if it was. */
static void test_lost_tail(void **state)
{
	struct store *st;
	const char *why;
	uint64_t next;

	(void)state;
	new_dir();
	killed_child(300, 100);
	nftw(dir, cut_log, 16, FTW_PHYS);
	assert_int_equal(reopen(&st, &why), 0);
	next = store_next_seq(st);
	assert_true(next > 101 && next < 300);
	expect(st, NULL, "100", "value");
	done(st);
	new_dir();
	killed_child(300, 299);
	nftw(dir, cut_log, 16, FTW_PHYS);
	assert_int_equal(reopen(&st, &why), -EUCLEAN);
	assert_non_null(why);
	nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void test_bad_synced(void **state)
{
	struct store *st = open_new(state);
	const char *why;
	char path[128];
	FILE *f;

	put(st, "a", "1");
	store_close(st);
	snprintf(path, sizeof(path), "%s/synced", dir);
	f = fopen(path, "w");
	fputs("rubbish\n", f);
	fclose(f);
	assert_int_equal(reopen(&st, &why), -EUCLEAN);
	f = fopen(path, "w");
	fputs("12\n", f);
	fclose(f);
	assert_int_equal(reopen(&st, &why), -EUCLEAN);
	f = fopen(path, "w");
	fclose(f);
	assert_int_equal(reopen(&st, &why), 0);
	done(st);
}

static int cut_table(const char *path, const struct stat *s, int flag,
		     struct FTW *f)
{
	(void)flag;
	(void)f;
	return strstr(path, "MANIFEST") ? truncate(path, s->st_size / 2) : 0;
}

static void test_damaged(void **state)
{
	struct store *st = open_new(state);
	const char *why;

	put(st, "a", "1");
	store_close(st);
	nftw(dir, cut_table, 16, FTW_PHYS);
	assert_true(reopen(&st, &why) < 0);
	assert_non_null(why);
	nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* More than one log and memtable. */
static void test_many_logs(void **state)
{
	struct store *st = open_new(state);
	static char big[65536];
	const char *why;
	char key[16];

	for (int i = 0; i < 700; i++) {
		struct store_batch *b = store_batch_new(st);
		uint64_t seq;

		snprintf(key, sizeof(key), "%d", i % 100);
		memset(big, i, sizeof(big));
		store_put(b, sk(key), big, sizeof(big));
		assert_int_equal(store_commit(b, &seq), 0);
		store_batch_free(b);
	}
	assert_true(store_durable(st) < 700);
	store_close(st);
	assert_int_equal(reopen(&st, &why), 0);
	assert_int_equal(store_next_seq(st), 701);
	for (int i = 0; i < 100; i++) {
		size_t len;
		void *p;

		snprintf(key, sizeof(key), "%d", i);
		assert_int_equal(store_get(st, NULL, sk(key), &p, &len), 0);
		assert_int_equal(len, sizeof(big));
		assert_int_equal(*(uint8_t *)p, (uint8_t)(600 + i));
		free(p);
	}
	done(st);
}

static void test_full_drive(void **state)
{
	struct store *st = open_new(state);
	struct store_batch *b = store_batch_new(st);
	uint64_t seq, floor = st->dir.floor;
	char path[128];
	struct stat s;

	snprintf(path, sizeof(path), "%s/reserve", dir);
	assert_int_equal(stat(path, &s), 0);
	assert_int_equal(s.st_size, st->dir.reserve);
	put(st, "a", "1");
	st->dir.floor = UINT64_MAX / 4;
	st->dir.unchecked = 1 << 30;
	store_put(b, sk("b"), "2", 1);
	assert_int_equal(store_commit(b, &seq), -ENOSPC);
	store_batch_clear(b);
	store_del(b, sk("a"));
	store_batch_urgent(b);
	assert_int_equal(store_commit(b, &seq), 0);
	expect(st, NULL, "a", NULL);
	/* urgency ends with the batch */
	store_put(b, sk("b"), "2", 1);
	assert_int_equal(store_commit(b, &seq), -ENOSPC);
	st->dir.floor = floor;
	assert_int_equal(store_commit(b, &seq), 0);
	expect(st, NULL, "b", "2");
	store_batch_free(b);
	done(st);
}

static void test_checkpoint(void **state)
{
	struct store *st = open_new(state), *copy;
	char to[80];

	snprintf(to, sizeof(to), "%s/copy", dir);
	put(st, "a", "1");
	if (!strcmp(*state, "memory")) {
		assert_int_equal(store_checkpoint(st, to), -EOPNOTSUPP);
		done(st);
		return;
	}
	assert_int_equal(store_checkpoint(st, to), 0);
	assert_int_equal(store_checkpoint(st, to), -EEXIST);
	put(st, "b", "2");
	assert_int_equal(store_open("rocksdb", to, NULL, &copy, NULL), 0);
	expect(copy, NULL, "a", "1");
	expect(copy, NULL, "b", NULL);
	assert_int_equal(store_next_seq(copy), 2);
	put(copy, "c", "3");
	store_close(copy);
	expect(st, NULL, "b", "2");
	done(st);
}

#define ROCKS(f) { #f, f, NULL, NULL, (void *)"rocksdb" }

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(test_basic),
		BOTH(test_preconditions),
		BOTH(test_scan),
		BOTH(test_snapshot),
		BOTH(test_barrier),
		BOTH(test_failures),
		BOTH(test_checkpoint),
		ROCKS(test_against_each_other),
		ROCKS(test_ranges),
		ROCKS(test_reopen),
		ROCKS(test_sigkill_loses_nothing),
		ROCKS(test_lost_tail),
		ROCKS(test_bad_synced),
		ROCKS(test_damaged),
		ROCKS(test_many_logs),
		ROCKS(test_full_drive),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
