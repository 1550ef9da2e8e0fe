// SPDX-License-Identifier: Apache-2.0
/*
 * Names in directories: the entry ('E') and its reverse ('R'), always
 * together, and orphans.
 */
#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "ns_impl.h"
#include "siphash.h"

#define COLLISIONS	256

int name_check(const struct op_name *name)
{
	if (!name->len)
		return -EINVAL;
	if (name->len > ORCHFS_NAME_MAX)
		return -ENAMETOOLONG;
	if (memchr(name->s, '/', name->len) || memchr(name->s, 0, name->len))
		return -EINVAL;
	if (name->s[0] == '.' &&
	    (name->len == 1 || (name->len == 2 && name->s[1] == '.')))
		return -EINVAL;
	return 0;
}

uint32_t mode_to_dt(uint32_t mode)
{
	return (mode & S_IFMT) >> 12;
}

/* The first cookie of the name's bucket. */
static uint64_t bucket_of(const struct ns *ns, const struct op_name *name)
{
	uint64_t h = siphash24(ns->hash_key, name->s, name->len) >> 9;

	return (h ? h : 1) << 8;
}

static bool same_name(const struct entry *e, const struct op_name *name)
{
	return e->name_len == name->len &&
	       !memcmp(e->name, name->s, name->len);
}

static int check_entry_key(struct store_key k)
{
	return k.len == 1 + 2 * 8 ? 0 : -EUCLEAN;
}

/**
 * entry_find_or_free() - look a name up in its bucket.
 * Return: 0 and @e; -ENOENT and @cookie, the lowest free one; -ENOSPC when
 * the bucket is full; other -errno.
 */
int entry_find_or_free(struct ns *ns, uint64_t dir,
		       const struct op_name *name, struct entry *e,
		       uint64_t *cookie)
{
	const uint64_t first = bucket_of(ns, name);
	uint64_t free = first;
	struct key lo, hi;
	struct entry one;
	struct scan s;
	int rc;

	key_num2(&lo, 'E', dir, first);
	key_num2(&hi, 'E', dir, first + COLLISIONS);
	rc = scan_from(ns, &s, &lo, &hi);
	if (rc)
		return rc;
	for (; scan_valid(&s); scan_next(&s)) {
		uint64_t at = key_num_at(scan_key(&s), 1);

		rc = check_entry_key(scan_key(&s));
		if (!rc)
			rc = record_unpack_entry(ns->scratch, at,
						 scan_value(&s), &one);
		if (rc)
			return scan_end(&s, rc);
		if (same_name(&one, name)) {
			*e = one;
			return scan_end(&s, 0);
		}
		if (at == free)
			free++;
	}
	rc = scan_end(&s, 0);
	if (rc)
		return rc;
	if (free == first + COLLISIONS)
		return -ENOSPC;
	*cookie = free;
	return -ENOENT;
}

/* Like it, for a name that is expected to exist. */
int entry_find(struct ns *ns, uint64_t dir, const struct op_name *name,
	       struct entry *e)
{
	const uint64_t first = bucket_of(ns, name);
	struct store_key v;
	uint64_t unused;
	struct entry one;
	struct key k;
	int rc;

	rc = ns_get(ns, key_num2(&k, 'E', dir, first), &v);
	if (!rc)
		rc = record_unpack_entry(ns->scratch, first, v, &one);
	if (!rc && same_name(&one, name)) {
		*e = one;
		return 0;
	}
	if (rc && rc != -ENOENT)
		return rc;
	rc = entry_find_or_free(ns, dir, name, e, &unused);
	return rc == -ENOSPC ? -ENOENT : rc;
}

/* Also over an entry that is there; its reverse is the caller's then. */
void entry_put(struct txn *t, uint64_t dir, uint64_t cookie,
	       const struct op_name *name, const struct inode *i)
{
	Orchfs__Store__Reverse r = ORCHFS__STORE__REVERSE__INIT;
	struct entry e = {
		.change = t->seq,
		.ino = i->ino,
		.type = mode_to_dt(i->mode),
		.name = (const uint8_t *)name->s,
		.name_len = name->len,
	};
	struct key k;
	size_t len;
	void *p;

	if (record_pack_entry(t->ns->scratch, &e, &p, &len)) {
		t->error = -ENOMEM;
		return;
	}
	txn_put(t, key_num2(&k, 'E', dir, cookie), p, len);
	r.change = t->seq;
	r.name.data = (uint8_t *)name->s;
	r.name.len = name->len;
	txn_put_msg(t, key_num3(&k, 'R', i->ino, dir, cookie), &r.base);
}

void entry_del(struct txn *t, uint64_t dir, uint64_t cookie, uint64_t ino)
{
	struct key k;

	txn_del(t, key_num2(&k, 'E', dir, cookie));
	txn_del(t, key_num3(&k, 'R', ino, dir, cookie));
}

/* 1, 0 or -errno */
int dir_empty(struct ns *ns, uint64_t dir)
{
	struct scan s;
	struct key k;
	bool any;
	int rc;

	rc = scan_begin(ns, &s, key_num(&k, 'E', dir));
	if (rc)
		return rc;
	any = scan_valid(&s);
	rc = scan_end(&s, 0);
	return rc ? rc : !any;
}

/* A directory that takes names: -ESTALE unknown, -ENOENT removed. */
int dir_get(struct txn *t, uint64_t ino, struct tnode **out)
{
	int rc = txn_inode(t, ino, out);

	if (rc)
		return rc == -ENOENT ? -ESTALE : rc;
	if (!S_ISDIR((*out)->i.mode))
		return -ENOTDIR;
	return (*out)->i.nlink ? 0 : -ENOENT;
}

void dir_touch(struct tnode *dir, const struct orchfs_time *now)
{
	time_forward(&dir->i.mtime, now);
	time_forward(&dir->i.ctime, now);
	dir->dirty = true;
}

void orphan_put(struct txn *t, uint64_t ino, uint64_t session)
{
	Orchfs__Store__Orphan m = ORCHFS__STORE__ORPHAN__INIT;
	struct key k;

	m.change = t->seq;
	m.session = session;
	m.boot_id = t->ns->boot_id;
	txn_put_msg(t, key_num(&k, 'O', ino), &m.base);
}

void orphan_del(struct txn *t, uint64_t ino)
{
	struct key k;

	txn_del(t, key_num(&k, 'O', ino));
}
