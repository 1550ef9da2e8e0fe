// SPDX-License-Identifier: Apache-2.0
/* Questions of status, where and fsck: instances, paths, counts. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "ns_impl.h"

#define PATH_LIMIT	(1U << 20)
#define DEPTH_MAX	100000

int ns_has_instance(struct ns *ns, uint32_t volume, uint64_t ino,
		    uint64_t version, uint64_t instance)
{
	struct store_key v;
	struct instance n;
	struct key k;
	int rc;

	arena_reset(ns->scratch);
	key_num3(&k, 'N', ino, version, instance);
	rc = ns_get(ns, &k, &v);
	if (!rc)
		rc = record_unpack_instance(ns->scratch, key_of(&k), v, &n);
	if (rc)
		return rc == -ENOENT ? 0 : rc;
	return n.volume == volume;
}

int ns_has_inode(struct ns *ns, uint64_t ino)
{
	struct key k;

	arena_reset(ns->scratch);
	return ns_exists(ns, key_num(&k, 'I', ino));
}

/* fn may call the engine. */
int ns_some_instances(struct ns *ns, struct ns_instance_pos *pos, size_t max,
		      ns_instance_fn fn, void *ctx)
{
	struct key lo, hi;
	struct instance n;
	struct scan s;
	size_t nr = 0;
	int rc;

	key_num3(&lo, 'N', pos->ino, pos->version, pos->instance + 1);
	key_after(key_table(&hi, 'N'));
	rc = scan_from(ns, &s, &lo, &hi);
	if (rc)
		return rc;
	for (; scan_valid(&s) && !rc && nr < max; scan_next(&s), nr++) {
		arena_reset(ns->scratch);
		rc = record_unpack_instance(ns->scratch, scan_key(&s),
					    scan_value(&s), &n);
		if (rc)
			break;
		*pos = (struct ns_instance_pos) {
			key_num_at(scan_key(&s), 0), n.version, n.instance,
		};
		rc = fn(ctx, pos->ino, n.version, n.instance, n.volume,
			n.state == INSTANCE(VALID));
	}
	rc = scan_end(&s, rc);
	return rc ? rc : nr == max;
}

int ns_each_instance(struct ns *ns, ns_instance_fn fn, void *ctx)
{
	struct ns_instance_pos pos = { 0 };

	return ns_some_instances(ns, &pos, SIZE_MAX, fn, ctx);
}

static int version_state(struct ns *ns, uint64_t ino, uint64_t version,
			 uint32_t *state)
{
	Orchfs__Store__Version *m;
	struct store_key v;
	struct key k;
	void *p;
	int rc;

	rc = ns_get(ns, key_num2(&k, 'V', ino, version), &v);
	if (!rc)
		rc = record_unpack(ns->scratch,
				   &orchfs__store__version__descriptor, v,
				   &p);
	if (rc)
		return rc == -ENOENT ? -EUCLEAN : rc;
	m = p;
	*state = m->state;
	return 0;
}

static int add_instance(struct ns *ns, struct scan *s,
			struct ns_instance **list, size_t *nr)
{
	struct ns_instance *p;
	struct instance n;
	uint32_t state;
	int rc;

	rc = record_unpack_instance(ns->scratch, scan_key(s), scan_value(s),
				    &n);
	if (!rc)
		rc = version_state(ns, key_num_at(scan_key(s), 0), n.version,
				   &state);
	if (rc)
		return rc;
	p = realloc(*list, (*nr + 1) * sizeof(*p));
	if (!p)
		return -ENOMEM;
	*list = p;
	p[(*nr)++] = (struct ns_instance){
		.version = n.version,
		.instance = n.instance,
		.volume = n.volume,
		.state = n.state,
		.version_state = state,
		.dirty = n.dirty,
	};
	return 0;
}

/**
 * ns_where() - instances of an inode.
 * @generation: of the layout that is outside, else the last one stored.
 * @out: malloced; NULL for other inodes than regular files.
 * Return: 0; -ENOENT; other -errno.
 */
int ns_where(struct ns *ns, uint64_t ino, uint64_t *version,
	     uint64_t *generation, struct ns_instance **out, size_t *nr)
{
	struct ns_instance *list = NULL;
	struct inode i;
	struct scan s;
	struct key k;
	size_t n = 0;
	int rc;

	arena_reset(ns->scratch);
	rc = inode_load(ns, ino, &i);
	if (!rc)
		rc = scan_begin(ns, &s, key_num(&k, 'N', ino));
	if (rc)
		return rc;
	for (; scan_valid(&s) && !rc; scan_next(&s))
		rc = add_instance(ns, &s, &list, &n);
	rc = scan_end(&s, rc);
	if (rc) {
		free(list);
		return rc;
	}
	for (size_t k = 0; k < n; k++)
		list[k].size = i.size;
	*version = i.version;
	*generation = live_generation_out(ns, ino, i.layout_generation);
	*out = list;
	*nr = n;
	return 0;
}

/* A path that grows at its front. */
struct path {
	char *buf;
	size_t size, start;
};

static int path_prepend(struct path *p, const void *name, size_t len)
{
	while (p->start < len + 1) {
		const size_t used = p->size - p->start;
		size_t size = p->size ? p->size * 2 : 512;
		char *buf;

		if (size > PATH_LIMIT)
			return -ENAMETOOLONG;
		buf = malloc(size);
		if (!buf)
			return -ENOMEM;
		if (used)
			memcpy(buf + size - used, p->buf + p->start, used);
		free(p->buf);
		*p = (struct path){ buf, size, size - used };
	}
	p->start -= len + 1;
	p->buf[p->start] = '/';
	memcpy(p->buf + p->start + 1, name, len);
	return 0;
}

/* The name and directory in a reverse entry; the name is in scratch. */
static int read_reverse(struct ns *ns, struct scan *s, uint64_t *parent,
			struct op_name *name)
{
	Orchfs__Store__Reverse *m;
	void *p;
	int rc;

	if (scan_key(s).len != 1 + 3 * 8)
		return -EUCLEAN;
	rc = record_unpack(ns->scratch, &orchfs__store__reverse__descriptor,
			   scan_value(s), &p);
	if (rc)
		return rc;
	m = p;
	*parent = key_num_at(scan_key(s), 1);
	*name = (struct op_name){ (const char *)m->name.data, m->name.len };
	return m->name.len && m->name.len <= 255 ? 0 : -EUCLEAN;
}

static int dir_name(struct ns *ns, uint64_t dir, uint64_t *parent,
		    struct op_name *name)
{
	struct scan s;
	struct key k;
	int rc;

	rc = scan_begin(ns, &s, key_num(&k, 'R', dir));
	if (rc)
		return rc;
	rc = -ENOENT;
	if (scan_valid(&s))
		rc = read_reverse(ns, &s, parent, name);
	return scan_end(&s, rc);
}

/* *out: malloced; -ENOENT when the directory has been removed. */
static int make_path(struct ns *ns, uint64_t dir, const struct op_name *name,
		     char **out)
{
	struct path p = { 0 };
	struct op_name part;
	int rc, depth = 0;

	rc = path_prepend(&p, "", 0);
	if (!rc) {
		/* The slash just put in becomes the NUL at the end. */
		p.buf[p.start] = 0;
		rc = path_prepend(&p, name->s, name->len);
	}
	while (!rc && dir != ORCHFS_ROOT_INO) {
		if (++depth > DEPTH_MAX)
			rc = -EUCLEAN;
		else
			rc = dir_name(ns, dir, &dir, &part);
		if (!rc)
			rc = path_prepend(&p, part.s, part.len);
	}
	if (!rc) {
		*out = strdup(p.buf + p.start);
		rc = *out ? 0 : -ENOMEM;
	}
	free(p.buf);
	return rc;
}

static int add_path(struct ns *ns, struct scan *s, char **list, size_t *n)
{
	struct op_name name;
	uint64_t dir;
	int rc;

	rc = read_reverse(ns, s, &dir, &name);
	if (!rc)
		rc = make_path(ns, dir, &name, &list[*n]);
	if (!rc)
		++*n;
	return rc;
}

/* *out and each of its strings are malloced. */
int ns_paths(struct ns *ns, uint64_t ino, char ***out, size_t *nr, size_t max)
{
	char **list = calloc(max + 1, sizeof(*list));
	struct scan s;
	struct key k;
	size_t n = 0;
	int rc;

	if (!list)
		return -ENOMEM;
	arena_reset(ns->scratch);
	if (ino == ORCHFS_ROOT_INO && max) {
		list[n++] = strdup("/");
		rc = list[0] ? 0 : -ENOMEM;
	} else {
		rc = scan_begin(ns, &s, key_num(&k, 'R', ino));
		if (!rc) {
			for (; scan_valid(&s) && n < max && !rc;
			     scan_next(&s))
				rc = add_path(ns, &s, list, &n);
			rc = scan_end(&s, rc);
		}
	}
	if (rc) {
		for (size_t i = 0; i < n; i++)
			free(list[i]);
		free(list);
		return rc;
	}
	*out = list;
	*nr = n;
	return 0;
}

static int count_rows(struct ns *ns, char table, uint64_t *count)
{
	struct scan s;
	struct key k;
	int rc;

	*count = 0;
	rc = scan_begin(ns, &s, key_table(&k, table));
	if (rc)
		return rc;
	for (; scan_valid(&s); scan_next(&s))
		++*count;
	return scan_end(&s, 0);
}

/* Inodes are counted once and then kept count of. */
int ns_counts(struct ns *ns, struct ns_counts *out)
{
	struct ns_counts c = { .replayed = ns->replayed };
	int rc = 0;

	if (!ns->counted) {
		rc = count_rows(ns, 'I', &ns->inodes);
		ns->counted = !rc;
	}
	if (!rc)
		rc = count_rows(ns, 'O', &c.orphans);
	if (!rc)
		rc = count_rows(ns, 'D', &c.deletions);
	if (rc)
		return rc;
	c.inodes = ns->inodes;
	c.damaged = ns->damaged;
	*out = c;
	return 0;
}
