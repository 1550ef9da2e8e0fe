// SPDX-License-Identifier: Apache-2.0
#include "record.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#define NSEC_MAX	1000000000U

struct key *key_begin(struct key *k, char table)
{
	k->b[0] = (uint8_t)table;
	k->len = 1;
	return k;
}

struct key *key_u8(struct key *k, uint8_t x)
{
	k->b[k->len++] = x;
	return k;
}

struct key *key_u32(struct key *k, uint32_t x)
{
	for (int i = 3; i >= 0; i--)
		k->b[k->len++] = (uint8_t)(x >> (8 * i));
	return k;
}

struct key *key_u64(struct key *k, uint64_t x)
{
	for (int i = 7; i >= 0; i--)
		k->b[k->len++] = (uint8_t)(x >> (8 * i));
	return k;
}

struct key *key_bytes(struct key *k, const void *p, size_t len)
{
	if (len > KEY_MAX - k->len)
		len = KEY_MAX - k->len;
	memcpy(k->b + k->len, p, len);
	k->len += len;
	return k;
}

struct key *key_after(struct key *k)
{
	while (k->len && ++k->b[k->len - 1] == 0)
		k->len--;
	return k;
}

struct key *key_table(struct key *k, char table)
{
	return key_begin(k, table);
}

struct key *key_num(struct key *k, char table, uint64_t a)
{
	return key_u64(key_begin(k, table), a);
}

struct key *key_num2(struct key *k, char table, uint64_t a, uint64_t b)
{
	return key_u64(key_num(k, table, a), b);
}

struct key *key_num3(struct key *k, char table, uint64_t a, uint64_t b,
		     uint64_t c)
{
	return key_u64(key_num2(k, table, a, b), c);
}

uint64_t key_num_at(struct store_key k, size_t n)
{
	const uint8_t *p = k.p;
	uint64_t x = 0;

	if (k.len < 1 + 8 * (n + 1))
		return 0;
	p += 1 + 8 * n;
	for (int i = 0; i < 8; i++)
		x = (x << 8) | p[i];
	return x;
}

static void *pb_alloc(void *arena, size_t n)
{
	return arena_alloc(arena, n);
}

static void pb_free(void *arena, void *p)
{
	(void)arena;
	(void)p;
}

int record_pack(struct arena *a, const ProtobufCMessage *m, void **p,
		size_t *len)
{
	size_t n = protobuf_c_message_get_packed_size(m);
	void *out = arena_alloc(a, n);

	if (!out)
		return -ENOMEM;
	protobuf_c_message_pack(m, out);
	*p = out;
	*len = n;
	return 0;
}

int record_unpack(struct arena *a, const ProtobufCMessageDescriptor *d,
		  struct store_key v, void **m)
{
	ProtobufCAllocator alloc = { pb_alloc, pb_free, a };
	void *out = protobuf_c_message_unpack(d, &alloc, v.len, v.p);

	if (!out)
		return arena_failed(a) ? -ENOMEM : -EUCLEAN;
	*m = out;
	return 0;
}

static void pack_time(Orchfs__Store__Time *t, const struct orchfs_time *from)
{
	orchfs__store__time__init(t);
	t->sec = from->sec;
	t->nsec = from->nsec;
}

/* A time that is missing is 0, as proto3 has it. */
static int unpack_time(struct orchfs_time *t, const Orchfs__Store__Time *from)
{
	memset(t, 0, sizeof(*t));
	if (!from)
		return 0;
	if (from->nsec >= NSEC_MAX)
		return -EUCLEAN;
	t->sec = from->sec;
	t->nsec = from->nsec;
	return 0;
}

int record_pack_inode(struct arena *a, const struct inode *i, void **p,
		      size_t *len)
{
	Orchfs__Store__Inode m = ORCHFS__STORE__INODE__INIT;
	Orchfs__Store__Time atime, mtime, ctime, btime;

	pack_time(&atime, &i->atime);
	pack_time(&mtime, &i->mtime);
	pack_time(&ctime, &i->ctime);
	pack_time(&btime, &i->btime);
	m.change = i->change;
	m.generation = i->generation;
	m.mode = i->mode;
	m.uid = i->uid;
	m.gid = i->gid;
	m.nlink = i->nlink;
	m.size = i->size;
	m.blocks = i->blocks;
	m.atime = &atime;
	m.mtime = &mtime;
	m.ctime = &ctime;
	m.btime = &btime;
	m.rdev_major = i->rdev_major;
	m.rdev_minor = i->rdev_minor;
	m.target.data = (uint8_t *)i->target;
	m.target.len = i->target_len;
	m.flags = i->flags;
	m.version = i->version;
	m.layout_generation = i->layout_generation;
	m.parent = i->parent;
	m.projid = i->projid;
	return record_pack(a, &m.base, p, len);
}

static bool type_ok(uint32_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
	case S_IFDIR:
	case S_IFLNK:
	case S_IFCHR:
	case S_IFBLK:
	case S_IFIFO:
	case S_IFSOCK:
		return !(mode & ~(uint32_t)(S_IFMT | 07777));
	default:
		return false;
	}
}

static int check_inode(const struct inode *i)
{
	if (!i->ino || !type_ok(i->mode) || i->size > INT64_MAX)
		return -EUCLEAN;
	if (S_ISREG(i->mode) != !!i->version)
		return -EUCLEAN;
	if (S_ISDIR(i->mode) && !i->parent)
		return -EUCLEAN;
	if (S_ISLNK(i->mode) != !!i->target_len)
		return -EUCLEAN;
	return 0;
}

int record_unpack_inode(struct arena *a, uint64_t ino, struct store_key v,
			struct inode *i)
{
	Orchfs__Store__Inode *m;
	void *p;
	int rc;

	rc = record_unpack(a, &orchfs__store__inode__descriptor, v, &p);
	if (rc)
		return rc;
	m = p;
	*i = (struct inode){
		.ino = ino,
		.change = m->change,
		.generation = m->generation,
		.mode = m->mode,
		.uid = m->uid,
		.gid = m->gid,
		.nlink = m->nlink,
		.flags = m->flags,
		.size = m->size,
		.blocks = m->blocks,
		.rdev_major = m->rdev_major,
		.rdev_minor = m->rdev_minor,
		.target = m->target.data,
		.target_len = m->target.len,
		.version = m->version,
		.layout_generation = m->layout_generation,
		.parent = m->parent,
		.projid = m->projid,
	};
	if (unpack_time(&i->atime, m->atime) ||
	    unpack_time(&i->mtime, m->mtime) ||
	    unpack_time(&i->ctime, m->ctime) ||
	    unpack_time(&i->btime, m->btime))
		return -EUCLEAN;
	return check_inode(i);
}

int record_pack_entry(struct arena *a, const struct entry *e, void **p,
		      size_t *len)
{
	Orchfs__Store__Entry m = ORCHFS__STORE__ENTRY__INIT;

	m.change = e->change;
	m.ino = e->ino;
	m.type = e->type;
	m.name.data = (uint8_t *)e->name;
	m.name.len = e->name_len;
	return record_pack(a, &m.base, p, len);
}

int record_unpack_entry(struct arena *a, uint64_t cookie, struct store_key v,
			struct entry *e)
{
	Orchfs__Store__Entry *m;
	void *p;
	int rc;

	rc = record_unpack(a, &orchfs__store__entry__descriptor, v, &p);
	if (rc)
		return rc;
	m = p;
	if (!m->ino || !m->name.len || m->name.len > 255 ||
	    memchr(m->name.data, '/', m->name.len) ||
	    memchr(m->name.data, 0, m->name.len))
		return -EUCLEAN;
	*e = (struct entry){
		.cookie = cookie,
		.change = m->change,
		.ino = m->ino,
		.type = m->type,
		.name = m->name.data,
		.name_len = m->name.len,
	};
	return 0;
}

int record_pack_instance(struct arena *a, const struct instance *n, void **p,
			 size_t *len)
{
	Orchfs__Store__Instance m = ORCHFS__STORE__INSTANCE__INIT;
	Orchfs__Store__Time mtime, ctime, after;

	pack_time(&mtime, &n->base_mtime);
	pack_time(&ctime, &n->base_ctime);
	pack_time(&after, &n->mtime_after);
	m.change = n->change;
	m.volume = n->volume;
	m.state = n->state;
	m.dirty = n->dirty;
	if (n->dirty) {
		m.base_mtime = &mtime;
		m.base_ctime = &ctime;
		m.mtime_after = n->has_mtime_after ? &after : NULL;
	}
	return record_pack(a, &m.base, p, len);
}

int record_unpack_instance(struct arena *a, struct store_key k,
			   struct store_key v, struct instance *n)
{
	Orchfs__Store__Instance *m;
	void *p;
	int rc;

	if (k.len != 1 + 3 * 8)
		return -EUCLEAN;
	rc = record_unpack(a, &orchfs__store__instance__descriptor, v, &p);
	if (rc)
		return rc;
	m = p;
	if ((uint32_t)m->state >
	    ORCHFS__STORE__INSTANCE_STATE__INSTANCE_RETIRING)
		return -EUCLEAN;
	*n = (struct instance){
		.version = key_num_at(k, 1),
		.instance = key_num_at(k, 2),
		.change = m->change,
		.volume = m->volume,
		.state = m->state,
		.dirty = m->dirty,
		.has_mtime_after = m->mtime_after,
	};
	if (unpack_time(&n->base_mtime, m->base_mtime) ||
	    unpack_time(&n->base_ctime, m->base_ctime) ||
	    unpack_time(&n->mtime_after, m->mtime_after))
		return -EUCLEAN;
	return 0;
}
