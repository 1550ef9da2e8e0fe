// SPDX-License-Identifier: Apache-2.0
/*
 * A namespace: its first records, its opening and closing, and the table of
 * operations.
 */
#include "ns.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>

#include "ns_impl.h"

static uint32_t newest_format = NS_FORMAT_LEASES;	/* set before threads */

/* Of a store that is served, while no other node has had a lease. */
static uint32_t plain_format(void)
{
	return newest_format > NS_FORMAT_LEASES ? newest_format : NS_FORMAT;
}

static const struct store_key super_key = { "Ssuper", 6 };

/* Where the ranges of numbers begin. Inode 1 is the root. */
static const struct {
	const char *name;
	uint64_t first;
} counters[] = {
	{ "ino", ORCHFS_ROOT_INO + 1 },
	{ "instance", 1 },
	{ "volume", 1 },
	{ "deletion", 1 },
	{ "layout", 1 },
};

struct op {
	int (*run)(struct ns *ns, const struct op_req *rq,
		   struct op_reply *rep);
	bool slotted;
};

static const struct op ops[] = {
	[ORCHFS_KIND_MOUNT]	= { ns_op_mount, false },
	[ORCHFS_KIND_LOOKUP]	= { ns_op_lookup, false },
	[ORCHFS_KIND_GETATTR]	= { ns_op_getattr, false },
	[ORCHFS_KIND_OPEN]	= { ns_op_open, false },
	[ORCHFS_KIND_CREATE]	= { ns_op_create, true },
	[ORCHFS_KIND_LINK]	= { ns_op_link, true },
	[ORCHFS_KIND_UNLINK]	= { ns_op_unlink, true },
	[ORCHFS_KIND_RENAME]	= { ns_op_rename, true },
	[ORCHFS_KIND_SETATTR]	= { ns_op_setattr, true },
	[ORCHFS_KIND_READDIR]	= { ns_op_readdir, false },
	[ORCHFS_KIND_GETXATTR]	= { ns_op_getxattr, false },
	[ORCHFS_KIND_SETXATTR]	= { ns_op_setxattr, true },
	[ORCHFS_KIND_LISTXATTR]	= { ns_op_listxattr, false },
};

static int put_message(struct store_batch *b, struct arena *a,
		       struct store_key k, const ProtobufCMessage *m)
{
	size_t len;
	void *p;
	int rc = record_pack(a, m, &p, &len);

	if (!rc)
		store_put(b, k, p, len);
	return rc;
}

static int put_super(struct ns *ns, bool clean)
{
	Orchfs__Store__Super m = ORCHFS__STORE__SUPER__INIT;
	Orchfs__Store__Time created = ORCHFS__STORE__TIME__INIT;

	created.sec = ns->created.sec;
	created.nsec = ns->created.nsec;
	m.format = ns->format;
	m.uuid.data = ns->uuid;
	m.uuid.len = sizeof(ns->uuid);
	m.name = ns->name;
	m.hash_key.data = ns->hash_key;
	m.hash_key.len = sizeof(ns->hash_key);
	m.created = &created;
	m.incarnation = ns->incarnation;
	m.boot_id = ns->boot_id;
	m.clean = clean;
	m.epoch = ns->epoch;
	return put_message(ns->batch, ns->scratch, super_key, &m.base);
}

/* From now on programs that know no leases refuse the store. */
int super_put_leases(struct ns *ns)
{
	const uint32_t old = ns->format;
	int rc;

	if (old >= NS_FORMAT_LEASES)
		return 0;
	ns->format = NS_FORMAT_LEASES;
	rc = put_super(ns, false);
	ns->format = old;
	return rc;
}

static void free_ns(struct ns *ns)
{
	if (!ns)
		return;
	session_free_all(ns);
	live_free(ns);
	free(ns->volumes);
	cluster_unload(ns);
	store_batch_free(ns->batch);
	arena_free(ns->scratch);
	free(ns);
}

static struct ns *new_ns(struct store *st)
{
	struct ns *ns = calloc(1, sizeof(*ns));

	if (!ns)
		return NULL;
	ns->st = st;
	ns->format = plain_format();
	ns->scratch = arena_new();
	ns->batch = store_batch_new(st);
	if (!ns->scratch || !ns->batch) {
		free_ns(ns);
		return NULL;
	}
	return ns;
}

static int put_root(struct txn *t)
{
	struct tnode *root = txn_new_inode(t, ORCHFS_ROOT_INO);
	struct inode *i;

	if (!root)
		return -ENOMEM;
	i = &root->i;
	i->generation = 1;
	i->mode = S_IFDIR | 0755;
	i->nlink = 2;
	i->size = NS_DIR_SIZE;
	i->blocks = NS_DIR_BLOCKS;
	i->parent = ORCHFS_ROOT_INO;
	i->atime = i->mtime = i->ctime = i->btime = t->ns->created;
	return 0;
}

static int format(struct ns *ns)
{
	struct txn t;
	int rc;

	txn_begin(&t, ns);
	store_expect_absent(t.b, super_key);
	rc = put_super(ns, true);
	for (size_t i = 0; i < sizeof(counters) / sizeof(counters[0]); i++) {
		Orchfs__Store__Counter m = ORCHFS__STORE__COUNTER__INIT;
		struct key k;

		m.limit = counters[i].first;
		key_begin(&k, 'A');
		key_bytes(&k, counters[i].name, strlen(counters[i].name));
		txn_put_msg(&t, &k, &m.base);
	}
	if (!rc)
		rc = put_root(&t);
	if (rc)
		return rc;
	rc = txn_commit(&t, NULL);
	return rc ? rc : store_barrier(ns->st);
}

/* -EEXIST when there is a namespace in the store. */
int ns_format(struct store *st, const char *name, const uint8_t uuid[16])
{
	struct timespec ts;
	struct ns *ns;
	size_t len;
	void *p;
	int rc;

	if (!*name || strlen(name) > ORCHFS_NS_NAME_MAX)
		return -EINVAL;
	rc = store_get(st, NULL, super_key, &p, &len);
	if (rc != -ENOENT) {
		if (!rc)
			free(p);
		return rc ? rc : -EEXIST;
	}
	ns = new_ns(st);
	if (!ns)
		return -ENOMEM;
	strcpy(ns->name, name);
	memcpy(ns->uuid, uuid, sizeof(ns->uuid));
	clock_gettime(CLOCK_REALTIME, &ts);
	ns->created.sec = ts.tv_sec;
	ns->created.nsec = (uint32_t)ts.tv_nsec;
	if (getrandom(ns->hash_key, sizeof(ns->hash_key), 0) !=
	    sizeof(ns->hash_key))
		rc = -EIO;
	else
		rc = format(ns);
	free_ns(ns);
	return rc;
}

static int decode_super(struct ns *ns, const Orchfs__Store__Super *m,
			const char *boot_id, const char **why)
{
	if (m->format > ns_newest_format()) {
		*why = "the store is of a newer format";
		return -EPROTO;
	}
	if (!m->format || m->uuid.len != sizeof(ns->uuid) ||
	    m->hash_key.len != sizeof(ns->hash_key) || !*m->name ||
	    strlen(m->name) >= sizeof(ns->name)) {
		*why = "the super record is malformed";
		return -EUCLEAN;
	}
	memcpy(ns->uuid, m->uuid.data, sizeof(ns->uuid));
	memcpy(ns->hash_key, m->hash_key.data, sizeof(ns->hash_key));
	strcpy(ns->name, m->name);
	if (m->created) {
		ns->created.sec = m->created->sec;
		ns->created.nsec = m->created->nsec;
	}
	ns->format = m->format;
	ns->epoch = m->epoch;
	ns->was_clean = m->clean;
	ns->same_boot = !strcmp(m->boot_id, boot_id);
	ns->incarnation = m->incarnation;
	return 0;
}

static int read_super(struct ns *ns, const char *boot_id, const char **why)
{
	struct store_key v;
	size_t len;
	void *p;
	int rc;

	rc = store_get(ns->st, NULL, super_key, &p, &len);
	if (rc) {
		*why = rc == -ENOENT ? "the store holds no namespace" :
				       "the super record cannot be read";
		return rc == -ENOENT ? -EUCLEAN : rc;
	}
	rc = arena_own(ns->scratch, p);
	if (rc)
		return rc;
	v = (struct store_key){ p, len };
	rc = record_unpack(ns->scratch, &orchfs__store__super__descriptor, v,
			   &p);
	if (rc) {
		*why = "the super record is malformed";
		return rc;
	}
	return decode_super(ns, p, boot_id, why);
}

static int load(struct ns *ns, const char **why)
{
	struct inode root;
	int rc;

	rc = inode_load(ns, ORCHFS_ROOT_INO, &root);
	if (rc || !S_ISDIR(root.mode)) {
		*why = "the root directory's record is missing or malformed";
		return rc && rc != -ENOENT ? rc : -EUCLEAN;
	}
	*why = "a table that is read at start is damaged";
	rc = number_load(ns, &ns->ino, "ino");
	if (!rc)
		rc = number_load(ns, &ns->deletion, "deletion");
	if (!rc)
		rc = number_read_limit(ns, "layout", &ns->first_generation);
	ns->last_generation = ns->first_generation;
	if (!rc)
		rc = volumes_load(ns);
	if (!rc)
		rc = cluster_load(ns);
	if (!rc)
		rc = live_load(ns);
	return rc;
}

static int start(struct ns *ns, const char *boot_id, const char **why)
{
	uint64_t seq;
	int rc;

	if (strlen(boot_id) >= sizeof(ns->boot_id))
		return -EINVAL;
	rc = read_super(ns, boot_id, why);
	if (!rc)
		rc = load(ns, why);
	if (rc)
		return rc;
	*why = "the store cannot be written";
	strcpy(ns->boot_id, boot_id);
	ns->incarnation++;
	/* on a full drive, too: else nothing could be removed */
	store_batch_clear(ns->batch);
	store_batch_urgent(ns->batch);
	rc = put_super(ns, false);
	if (!rc)
		rc = number_put_limit(ns, "layout", ns->first_generation +
				      NS_GENERATIONS);
	if (!rc)
		rc = store_commit(ns->batch, &seq);
	return rc ? rc : store_barrier(ns->st);
}

int ns_open(struct store *st, const struct ns_backing_ops *ops_, void *ctx,
	    const char *boot_id, struct ns **out, const char **why)
{
	const char *text = NULL;
	struct ns *ns = new_ns(st);
	int rc;

	if (!ns)
		return -ENOMEM;
	ns->ops = ops_;
	ns->ctx = ctx;
	rc = start(ns, boot_id, &text);
	if (rc) {
		free_ns(ns);
		if (why)
			*why = text;
		return rc;
	}
	*out = ns;
	return 0;
}

uint32_t ns_newest_format(void)
{
	return newest_format;
}

void ns_set_newest_format(uint32_t format)
{
	newest_format = format;
}

int ns_raise_format(struct ns *ns)
{
	uint32_t old = ns->format;
	uint64_t seq;
	int rc;

	if (old >= plain_format())
		return 0;
	ns->format = plain_format();
	arena_reset(ns->scratch);
	store_batch_clear(ns->batch);
	store_batch_urgent(ns->batch);
	rc = put_super(ns, false);
	if (!rc)
		rc = store_commit(ns->batch, &seq);
	if (!rc)
		rc = store_barrier(ns->st);
	if (rc)
		ns->format = old;
	return rc;
}

/* The namespace is gone whatever it returns. */
int ns_close(struct ns *ns)
{
	uint64_t seq;
	int rc;

	if (!ns)
		return 0;
	arena_reset(ns->scratch);
	store_batch_clear(ns->batch);
	store_batch_urgent(ns->batch);
	rc = put_super(ns, true);
	if (!rc)
		rc = store_commit(ns->batch, &seq);
	if (!rc)
		rc = store_barrier(ns->st);
	free_ns(ns);
	return rc;
}

const char *ns_name(const struct ns *ns)
{
	return ns->name;
}

const uint8_t *ns_uuid(const struct ns *ns)
{
	return ns->uuid;
}

uint64_t ns_incarnation(const struct ns *ns)
{
	return ns->incarnation;
}

bool ns_was_clean(const struct ns *ns)
{
	return ns->was_clean;
}

bool ns_same_boot(const struct ns *ns)
{
	return ns->same_boot;
}

uint64_t ns_txn(const struct ns *ns)
{
	return store_next_seq(ns->st) - 1;
}

static int run(struct ns *ns, const struct op_req *rq, struct op_reply *rep)
{
	const struct op *op;
	bool replayed = false;
	int rc = 0;

	switch (rq->kind) {
	case ORCHFS_KIND_BARRIER:
		rep->txn = ns_txn(ns);
		return 0;
	case ORCHFS_KIND_STATFS:
		return 0;
	}
	if (rq->kind >= sizeof(ops) / sizeof(ops[0]))
		return -EOPNOTSUPP;
	op = &ops[rq->kind];
	if (!op->run)
		return -EOPNOTSUPP;
	if (op->slotted && rq->sequence)
		rc = slot_check(ns, rq, rep, &replayed);
	if (rc || replayed)
		return rc;
	return op->run(ns, rq, rep);
}

void ns_execute(struct ns *ns, const struct op_req *req, struct op_reply *rep)
{
	struct arena *a = rep->arena ? rep->arena : arena_new();
	int rc;

	*rep = (struct op_reply){ .arena = a };
	arena_reset(ns->scratch);
	ns->origin = req->origin;
	rc = a ? run(ns, req, rep) : -ENOMEM;
	if (rc)
		*rep = (struct op_reply){ .arena = a, .status = rc };
}
