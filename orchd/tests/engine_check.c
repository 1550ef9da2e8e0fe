// SPDX-License-Identifier: Apache-2.0
/*
 * A plain check of a whole store against the rules of
 * Documentation/store-format.md. It asserts, so it is for small ones.
 */
#include "engine_util.h"
#include "record.h"

struct check {
	struct env *e;
	struct arena *a;
	uint64_t rows[256];	/* expected, by table */
};

static bool get(struct check *c, const struct key *k, struct store_key *v)
{
	size_t len;
	void *p;
	int rc = store_get(c->e->st, NULL, key_of(k), &p, &len);

	if (rc == -ENOENT)
		return false;
	assert_int_equal(rc, 0);
	assert_int_equal(arena_own(c->a, p), 0);
	*v = (struct store_key){ p, len };
	return true;
}

static void need(struct check *c, const struct key *k)
{
	struct store_key v;

	if (!get(c, k, &v)) {
		print_error("missing row:");
		for (size_t i = 0; i < k->len; i++)
			print_error(" %02x", k->b[i]);
		print_error("\n");
		fail();
	}
	c->rows[k->b[0]]++;
}

static struct store_iter *scan(struct check *c, const struct key *k)
{
	struct key hi = *k;
	struct store_iter *it;

	key_after(&hi);
	it = store_scan(c->e->st, NULL, key_of(k), key_of(&hi));
	assert_non_null(it);
	return it;
}

static uint64_t count(struct check *c, const struct key *k)
{
	struct store_iter *it = scan(c, k);
	uint64_t n = 0;

	for (; store_iter_valid(it); store_iter_next(it))
		n++;
	assert_int_equal(store_iter_error(it), 0);
	store_iter_free(it);
	return n;
}

/* Entries of a directory: each with its inode and reverse. */
static uint32_t check_dir(struct check *c, const struct inode *dir)
{
	uint32_t subdirs = 0;
	struct store_iter *it;
	struct key k;

	it = scan(c, key_num(&k, 'E', dir->ino));
	for (; store_iter_valid(it); store_iter_next(it)) {
		uint64_t cookie = key_num_at(store_iter_key(it), 1);
		struct store_key v;
		struct inode i;
		struct entry e;

		assert_int_equal(record_unpack_entry(c->a, cookie,
					store_iter_value(it), &e), 0);
		assert_true(get(c, key_num(&k, 'I', e.ino), &v));
		assert_int_equal(record_unpack_inode(c->a, e.ino, v, &i), 0);
		assert_int_equal(e.type, (i.mode & S_IFMT) >> 12);
		assert_true(i.nlink > 0);
		if (S_ISDIR(i.mode)) {
			subdirs++;
			assert_int_equal(i.parent, dir->ino);
		}
		c->rows['E']++;
		need(c, key_num3(&k, 'R', e.ino, dir->ino, cookie));
	}
	store_iter_free(it);
	return subdirs;
}

static void check_content(struct check *c, const struct inode *i)
{
	struct store_iter *it;
	struct instance n;
	uint64_t valid = 0;
	uint8_t tier = 0;
	bool dirty = false;
	struct key k;

	need(c, key_num2(&k, 'V', i->ino, i->version));
	it = scan(c, key_num(&k, 'N', i->ino));
	for (; store_iter_valid(it); store_iter_next(it)) {
		assert_int_equal(record_unpack_instance(c->a,
				store_iter_key(it), store_iter_value(it), &n),
				0);
		assert_false(fake_find(c->e, i->ino)->free);
		/* tests number their volumes so */
		if (n.state == ORCHFS__STORE__INSTANCE_STATE__INSTANCE_VALID) {
			valid += n.version == i->version;
			tier = (uint8_t)(n.volume - 1);
		}
		dirty |= n.dirty;
		c->rows['N']++;
	}
	store_iter_free(it);
	assert_int_equal(valid, 1);
	if (dirty)
		need(c, key_num(&k, 'W', i->ino));
	key_u32(key_u8(key_begin(&k, 'H'), tier),
		i->mtime.sec < 0 ? 0 : (uint32_t)(i->mtime.sec / 86400));
	need(c, key_u64(&k, i->ino));
}

static void check_xattrs(struct check *c, const struct inode *i)
{
	static const char *const known[] = {
		"security.capability", "system.posix_acl_access",
		"system.posix_acl_default",
	};
	struct store_key v;
	uint64_t n;
	struct key k;

	n = count(c, key_num(&k, 'X', i->ino));
	c->rows['X'] += n;
	assert_int_equal(n > 0, !!(i->flags & 1));
	for (int j = 0; j < 3; j++) {
		key_bytes(key_num(&k, 'X', i->ino), known[j],
			  strlen(known[j]));
		assert_int_equal(get(c, &k, &v), !!(i->flags & 2U << j));
	}
}

static void check_inode(struct check *c, const struct inode *i)
{
	struct key k;
	uint64_t names;

	c->rows['I']++;
	assert_true(i->change <= ns_txn(c->e->ns));
	names = count(c, key_num(&k, 'R', i->ino));
	need(c, key_num2(&k, 'C', i->change, i->ino));
	need(c, key_u64(key_u32(key_begin(&k, 'U'), i->uid), i->ino));
	if (!i->nlink)
		need(c, key_num(&k, 'O', i->ino));
	if (S_ISDIR(i->mode)) {
		uint32_t subdirs = check_dir(c, i);

		if (i->nlink)
			assert_int_equal(i->nlink, 2 + subdirs);
		else
			assert_int_equal(subdirs, 0);
		assert_int_equal(names, i->ino != ROOT && i->nlink);
	} else {
		assert_int_equal(i->nlink, names);
	}
	if (S_ISREG(i->mode))
		check_content(c, i);
	check_xattrs(c, i);
}

void env_check(struct env *e)
{
	struct check c = { .e = e, .a = arena_new() };
	struct ns_counts counts;
	struct store_iter *it;
	struct inode i;
	struct key k;

	it = scan(&c, key_table(&k, 'I'));
	for (; store_iter_valid(it); store_iter_next(it)) {
		assert_int_equal(record_unpack_inode(c.a,
				key_num_at(store_iter_key(it), 0),
				store_iter_value(it), &i), 0);
		check_inode(&c, &i);
	}
	store_iter_free(it);
	for (const char *t = "IERVNXOCHUW"; *t; t++) {
		uint64_t n = count(&c, key_table(&k, *t));

		if (n != c.rows[(uint8_t)*t])
			print_error("table %c\n", *t);
		assert_int_equal(n, c.rows[(uint8_t)*t]);
	}
	assert_int_equal(ns_counts(e->ns, &counts), 0);
	assert_int_equal(counts.inodes, c.rows['I']);
	assert_int_equal(counts.orphans, c.rows['O']);
	arena_free(c.a);
}
