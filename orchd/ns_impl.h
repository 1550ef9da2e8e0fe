/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the metadata engine share. One thread calls the engine
 * for one namespace, so there are no locks here.
 *
 * An operation checks everything first, then fills one transaction and
 * commits it. What the engine keeps in memory (struct live, numbers, slots)
 * changes only after the commit, so a failed one leaves no trace.
 */
#ifndef ORCHD_NS_IMPL_H
#define ORCHD_NS_IMPL_H

#include "ns.h"
#include "ns_cluster.h"
#include "record.h"
#include "store.h"

#define NS_FORMAT	3
#define NS_FORMAT_LEASES 4		/* from the first lease of another node on */
#define NS_LINK_MAX	65000U		/* names of one file */
#define NS_SLOTS	64
#define NS_XATTR_MAX	65536U		/* a value; all names of an inode */
#define NS_XATTR_TOTAL	(1U << 20)	/* all values of an inode */
#define NS_READDIR_MAX	1024U
#define NS_READDIR_BYTES (200U << 10)
#define NS_GENERATIONS	(1ULL << 40)	/* of layouts, for one run */
/* Flags of an inode's record that tell of its xattrs. */
#define NS_HAS_ALL	(ORCHFS_ATTR_NO_XATTR | ORCHFS_ATTR_NO_CAP | \
			 ORCHFS_ATTR_NO_ACL | ORCHFS_ATTR_NO_DEFACL)
#define NS_DIR_SIZE	4096
#define NS_DIR_BLOCKS	8

#define INSTANCE(s)	ORCHFS__STORE__INSTANCE_STATE__INSTANCE_##s

/* A counter ('A') and the part of its durable range not yet used. */
struct number {
	const char *name;
	uint64_t limit;		/* highest one committed */
	uint64_t next, end;	/* durable */
	uint64_t ahead, ahead_end;
	uint64_t ahead_txn;	/* that reserved ahead..ahead_end */
	bool used;		/* in the transaction at hand */
};

/* What one node's kernel has of an inode. */
struct hold {
	struct hold *next;
	uint32_t origin;	/* the node; 0: this machine */
	uint64_t generation;	/* of its last layout; 0: none since start */
	bool out;		/* it holds it */
	bool written;		/* it may write by it */
	/* it was told that no name is left, and tells when it is done */
	bool nameless;
};

/* An inode that a node holds, or with a dirty instance. */
struct live {
	struct live *next;
	uint64_t ino;
	struct hold own;	/* this machine's */
	struct hold *others;
	uint64_t instance;	/* that layouts are of; 0: not known */
	bool dirty;		/* an instance is marked so in the store */
	bool shared;		/* since then another than its home could */
	bool moving;		/* a job is at it (ns_move.c) */
	bool written;		/* since then writing was granted */
	bool parked;		/* nothing is granted now */
	/* The record's changes in between were untold (struct tnode). */
	uint64_t untold_from, untold_to;
};

struct live_table {
	struct live **buckets;
	size_t size, nr;
};

/* A mount session: the sequence of the last success in each slot. */
struct session {
	struct session *next;
	uint64_t id;
	uint32_t origin;	/* the node whose kernel has it */
	bool stored;		/* has its 'M' record */
	uint64_t sequence[NS_SLOTS];
};

/* Which transactions made the latest deletions, the oldest first. */
#define DELETION_MARKS	256
struct deletion_log {
	struct {
		uint64_t end;	/* deletion numbers below it ... */
		uint64_t txn;	/* ... are of this one or earlier */
	} mark[DELETION_MARKS];
	size_t nr;
	uint64_t durable_end;	/* numbers below it: durable */
};

/* Bits of nodes that had a hold since the start; several may share one. */
#define HOLDERS		1024U

struct ns {
	struct store *st;
	struct store_batch *batch;
	const struct ns_backing_ops *ops;
	void *ctx;
	struct arena *scratch;	/* for one call */
	uint32_t origin;	/* whose call it is; 0: this machine's */
	size_t awaited;		/* nodes that may hold what nobody told */
	bool asks;		/* of this machine, as ns_node.asks */

	char name[64];
	uint8_t uuid[16];
	uint8_t hash_key[16];
	char boot_id[64];
	uint64_t incarnation;
	uint64_t epoch;
	struct orchfs_time created;
	bool was_clean, same_boot;
	uint32_t format;	/* of the store */

	struct number ino, deletion;
	uint64_t first_generation, last_generation;	/* of this run */
	struct deletion_log deletions;
	struct live_table live;
	uint64_t holders[HOLDERS / 64];	/* nodes that may have a hold */
	struct session *sessions;
	struct ns_volume *volumes;
	size_t nr_volumes;

	struct ns_cluster *cluster;	/* NULL: none */
	struct ns_node *nodes;
	size_t nr_nodes;

	uint64_t replayed;
	uint64_t damaged;	/* backing files found missing */
	bool counted;		/* inodes is known */
	uint64_t inodes;
};

/* One inode in a transaction, loaded once, written at commit if dirty. */
struct tnode {
	struct tnode *next;
	struct inode old, i;
	bool is_new, dirty, removed;
	bool sized;		/* a note of this batch told the size */
	bool settled;		/* its instance becomes clean */
	bool untold;		/* no reply tells the kernel of the change */
	bool have_tier;
	bool retiered;		/* its H row is that of tier_before */
	uint8_t tier, tier_before;
};

struct live_change {
	struct live_change *next;
	uint64_t ino;
	bool dirty;
};

/* A hold that became nameless with the transaction. */
struct nameless {
	struct nameless *next;
	uint64_t ino;
	uint32_t origin;
};

struct txn {
	struct ns *ns;
	struct store_batch *b;
	uint64_t seq;		/* that it will have */
	struct tnode *nodes;
	struct live_change *live;
	struct nameless *nameless;
	struct session *session;
	uint32_t slot;
	uint64_t sequence;
	int64_t inodes;		/* change of their number */
	bool deletions;
	int error;		/* of a put, told by the commit */
};

/* ns_txn.c */
void txn_begin(struct txn *t, struct ns *ns);
void txn_urgent(struct txn *t);
int txn_inode(struct txn *t, uint64_t ino, struct tnode **out);
struct tnode *txn_new_inode(struct txn *t, uint64_t ino);
void txn_put(struct txn *t, const struct key *k, const void *v, size_t len);
void txn_del(struct txn *t, const struct key *k);
void txn_put_msg(struct txn *t, const struct key *k,
		 const ProtobufCMessage *m);
void txn_put_instance(struct txn *t, uint64_t ino,
		      const struct instance *n);
int txn_set_dirty(struct txn *t, uint64_t ino, bool dirty);
int txn_nameless(struct txn *t, uint64_t ino, bool others);
int txn_tier(struct txn *t, struct tnode *n, uint8_t *tier);
struct key *heat_row(struct key *k, uint8_t tier, const struct inode *i);
int txn_commit(struct txn *t, uint64_t *seq);
void txn_abort(struct txn *t);

/* ns_number.c */
int number_load(struct ns *ns, struct number *n, const char *name);
int number_read_limit(struct ns *ns, const char *name, uint64_t *limit);
int number_put_limit(struct ns *ns, const char *name, uint64_t limit);
int number_ensure(struct ns *ns, struct number *n, uint64_t count);
uint64_t number_take(struct number *n);
void number_refill(struct txn *t, struct number *n, uint64_t *limit);
void number_committed(struct number *n, uint64_t limit, uint64_t txn);

/* ns_live.c */
struct live *live_find(struct ns *ns, uint64_t ino);
struct live *live_get(struct ns *ns, uint64_t ino);
void live_drop_idle(struct ns *ns, uint64_t ino);
int live_load(struct ns *ns);
void live_free(struct ns *ns);
bool live_dirty(struct ns *ns, uint64_t ino);
uint64_t live_generation(struct ns *ns, uint64_t at_least);
uint64_t live_generation_out(struct ns *ns, uint64_t ino, uint64_t none);
bool live_own(const struct ns *ns, uint64_t generation);
struct hold *hold_find(struct live *l, uint32_t origin);
struct hold *hold_get(struct ns *ns, struct live *l, uint32_t origin);
bool hold_any(const struct ns *ns, uint32_t origin);
/* The next after @h; NULL begins. */
struct hold *hold_next(struct live *l, struct hold *h);
bool live_out(struct live *l);
bool live_written(struct live *l);
bool live_written_elsewhere(struct ns *ns, uint64_t ino, uint32_t origin);
bool live_held(struct live *l);

/* ns_deletion.c */
int deletion_add(struct txn *t, uint64_t ino, const struct instance *n);
int deletion_drop_volume(struct txn *t, uint32_t id);
void deletion_committed(struct txn *t);

/* ns_slot.c */
int slot_check(struct ns *ns, const struct op_req *req, struct op_reply *rep,
	       bool *replayed);
int slot_store(struct txn *t, const struct op_req *req,
	       const struct op_reply *rep);
void slot_committed(struct txn *t);
struct session *session_find(struct ns *ns, uint64_t id);
void session_forget(struct ns *ns, uint64_t id);
void session_free_all(struct ns *ns);
int session_delete(struct txn *t, uint64_t id);
int session_delete_all(struct txn *t, uint32_t origin);
int session_origin(struct ns *ns, uint64_t id, uint32_t *origin);
int session_is_of(struct ns *ns, uint64_t id, uint32_t origin);

/* ns_inode.c */
int ns_get(struct ns *ns, const struct key *k, struct store_key *v);
int ns_exists(struct ns *ns, const struct key *k);
int inode_load(struct ns *ns, uint64_t ino, struct inode *i);
int instance_load(struct ns *ns, const struct inode *i, struct instance *n);
int instance_valid(struct ns *ns, const struct inode *i, struct instance *n);
void inode_attr(struct ns *ns, const struct inode *i, struct orchfs_attr *a);
int inode_fill(struct ns *ns, const struct inode *i, struct orchfs_attr *a);
int inode_reply(struct ns *ns, const struct inode *i, struct op_reply *rep);
int inode_reply2(struct ns *ns, const struct inode *i, struct op_reply *rep);
bool time_later(const struct orchfs_time *a, const struct orchfs_time *b);
void time_forward(struct orchfs_time *t, const struct orchfs_time *now);
void inode_from_backing(struct inode *i, const struct instance *n,
			const struct ns_backing_stat *s);
int backing_stat(struct ns *ns, uint64_t ino, const struct instance *n,
		 struct ns_backing_stat *s);
int inode_remove(struct txn *t, struct tnode *n);
int inode_forget(struct txn *t, struct tnode *n);
const struct ns_volume *volume_find(const struct ns *ns, uint32_t id);
uint32_t volume_home(const struct ns *ns, uint32_t id);
bool volumes_far(const struct ns *ns);

/* An iterator over the keys with a prefix. */
struct scan {
	struct store_iter *it;
};
int scan_begin(struct ns *ns, struct scan *s, const struct key *prefix);
int scan_from(struct ns *ns, struct scan *s, const struct key *lo,
	      const struct key *hi);
bool scan_valid(const struct scan *s);
struct store_key scan_key(const struct scan *s);
struct store_key scan_value(const struct scan *s);
void scan_next(struct scan *s);
/* Frees it; returns @rc, or the iterator's error when that is 0. */
int scan_end(struct scan *s, int rc);

/* ns_entry.c */
int name_check(const struct op_name *name);
uint32_t mode_to_dt(uint32_t mode);
int entry_find(struct ns *ns, uint64_t dir, const struct op_name *name,
	       struct entry *e);
int entry_find_or_free(struct ns *ns, uint64_t dir,
		       const struct op_name *name, struct entry *e,
		       uint64_t *cookie);
void entry_put(struct txn *t, uint64_t dir, uint64_t cookie,
	       const struct op_name *name, const struct inode *i);
void entry_del(struct txn *t, uint64_t dir, uint64_t cookie, uint64_t ino);
int dir_empty(struct ns *ns, uint64_t dir);
int dir_get(struct txn *t, uint64_t ino, struct tnode **out);
void dir_touch(struct tnode *dir, const struct orchfs_time *now);
void orphan_put(struct txn *t, uint64_t ino, uint64_t session);
void orphan_del(struct txn *t, uint64_t ino);

/* ns_create.c: what a rename leaves behind for overlayfs */
struct tnode *whiteout_new(struct txn *t, const struct op_req *rq,
			   const struct inode *dir);
/* A directory that owns its projects takes no inode of another one. */
bool project_fits(const struct inode *dir, const struct inode *i);

/* ns_remove.c */
int inode_drop_name(struct txn *t, struct tnode *n, struct tnode *dir,
		    const struct op_req *rq);

/* ns_create.c */
uint32_t inode_generation(const struct ns *ns, uint64_t ino);

/* ns_layout.c */
int layout_grant(struct ns *ns, const struct inode *i, bool write,
		 struct op_reply *rep);
int layout_grant_early(struct ns *ns, const struct inode *i, bool write,
		       struct op_reply *rep);

/* ns_xattr.c: put xattrs on an inode of the transaction */
int xattrs_put(struct txn *t, struct tnode *n, const struct op_xattr *x,
	       size_t nr);

/* ns_job.c */
struct ns_job;
struct ns_move;
int move_job_number(struct txn *t, uint64_t *id);
void move_job_put(struct txn *t, const struct ns_job *j);
void move_row_put(struct txn *t, const struct ns_move *m);
void move_row_del(struct txn *t, const struct ns_move *m);

/* ns_move.c */
int move_written(struct txn *t, const struct inode *i,
		 const struct instance *n);

/* ns_note.c */
int node_settle(struct txn *t, struct tnode *n, bool from_backing);

/* ns.c: into the transaction; ns->format follows when that is committed */
int super_put_leases(struct ns *ns);

/* ns_cluster.c */
int cluster_load(struct ns *ns);
void cluster_unload(struct ns *ns);
void cluster_node_told(struct ns *ns, uint32_t number);
bool *cluster_asks(struct ns *ns, uint32_t number);

/* ns_volume.c */
int volumes_load(struct ns *ns);
int volume_row_put(struct txn *t, const struct ns_volume *v);

/* One file each; rep is zeroed but for arena. Return: 0 or -errno. */
int ns_op_mount(struct ns *ns, const struct op_req *rq, struct op_reply *rep);
int ns_op_lookup(struct ns *ns, const struct op_req *rq, struct op_reply *rep);
int ns_op_getattr(struct ns *ns, const struct op_req *rq,
		  struct op_reply *rep);
int ns_op_open(struct ns *ns, const struct op_req *rq, struct op_reply *rep);
int ns_op_create(struct ns *ns, const struct op_req *rq, struct op_reply *rep);
int ns_op_link(struct ns *ns, const struct op_req *rq, struct op_reply *rep);
int ns_op_unlink(struct ns *ns, const struct op_req *rq, struct op_reply *rep);
int ns_op_rename(struct ns *ns, const struct op_req *rq, struct op_reply *rep);
int ns_op_setattr(struct ns *ns, const struct op_req *rq,
		  struct op_reply *rep);
int ns_op_readdir(struct ns *ns, const struct op_req *rq,
		  struct op_reply *rep);
int ns_op_getxattr(struct ns *ns, const struct op_req *rq,
		   struct op_reply *rep);
int ns_op_setxattr(struct ns *ns, const struct op_req *rq,
		   struct op_reply *rep);
int ns_op_listxattr(struct ns *ns, const struct op_req *rq,
		    struct op_reply *rep);

#endif
