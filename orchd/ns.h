/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The metadata engine: names, inodes, versions and instances of one namespace
 * on top of a store. One thread at a time calls it for one namespace (the
 * namespace's own thread); only store_barrier() and the store's reads are for
 * several threads. It touches no volume itself: what it needs of backing
 * files it asks through struct ns_backing_ops.
 */
#ifndef ORCHD_NS_H
#define ORCHD_NS_H

#include "op.h"

struct arena;
struct store;
struct ns;

/* A backing file that exists, is durable on its volume and has no record. */
struct ns_backing {
	uint64_t ino;
	uint64_t instance;
	uint32_t volume;
	bool timed;		/* its times are known: it isn't looked at */
	struct orchfs_time mtime, ctime;
};

struct ns_backing_stat {
	uint64_t size;
	uint64_t blocks;
	struct orchfs_time mtime, ctime;
};

/* Of stat(): the file's home can't be asked; the record is all there is. */
#define NS_AWAY		EHOSTDOWN

/* Whose space a backing file takes; its project only if @project. */
struct ns_owner {
	uint32_t uid, gid, projid;
	bool project;
	bool force;			/* also one whose quota is used up */
};

struct ns_backing_ops {
	/* Take one file from the pool, for a node that asks. -ENOSPC: no
	 * volume has room; -ENODEV: the namespace has no volume (orchctl
	 * volume add). */
	int (*take)(void *ctx, uint32_t origin, struct ns_backing *out);
	/* The transaction that would have used it failed. */
	void (*put_back)(void *ctx, const struct ns_backing *b);
	/* Of a far volume also -NS_PARKED: its home is asked, the request can
	 * be answered when it has answered; -NS_AWAY. */
	int (*stat)(void *ctx, uint32_t volume, uint64_t ino, uint64_t version,
		    uint64_t instance, struct ns_backing_stat *out);
	/* That was parked, and no request waits: ns_settle_dirty() then.
	 * NULL: no volume is far. */
	void (*unsettled)(void *ctx, uint32_t volume, uint64_t ino,
			  uint64_t version, uint64_t instance);
	/* -EDQUOT: that owner may have no more. A far volume is told after the
	 * record. */
	int (*own)(void *ctx, uint32_t volume, uint64_t ino, uint64_t version,
		   uint64_t instance, const struct ns_owner *owner);
	int (*statfs)(void *ctx, struct orchfs_statfs *out);
	/*
	 * Nodes, at most @max of them, whose kernels may have an inode in
	 * memory; who asks is known anyway. NULL: no other has.
	 */
	size_t (*holders)(void *ctx, uint64_t ino, uint32_t *nodes,
			  size_t max);
	/* A record was changed, and no reply tells of it. NULL: so be it. */
	void (*untold)(void *ctx, uint64_t ino);
};

/* One held inode as the kernel lists it at attach. */
struct ns_handle {
	uint64_t ino;
	uint32_t opens;
	uint64_t generation;	/* of the layout held, 0: none */
	struct orchfs_attr attr;
};

/* One notice of the kernel. */
struct ns_note {
	uint32_t kind;		/* ORCHFS_KIND_NOTE_* */
	uint64_t node;
	uint64_t generation;
	uint64_t session;
	uint32_t valid;
	struct orchfs_attr attr;
};

/* A backing file to unlink, once transaction txn is durable. */
struct ns_deletion {
	uint64_t seq;
	uint64_t txn;
	uint32_t volume;
	uint64_t ino, version, instance;
};

/**
 * ns_format() - make the first records of a namespace in an empty store.
 */
int ns_format(struct store *st, const char *name, const uint8_t uuid[16]);

/**
 * ns_open() - read the namespace's super record and get ready.
 * @boot_id: of the machine. Raises the incarnation durably.
 * Return: 0; -EUCLEAN damaged; -EPROTO from a newer version; other -errno.
 * On error *why, if set, is a static text.
 */
int ns_open(struct store *st, const struct ns_backing_ops *ops, void *ctx,
	    const char *boot_id, struct ns **out, const char **why);
/**
 * ns_close() - orderly stop: clean flag, barrier. The store stays open. After
 * an error @ns is freed, too.
 */
int ns_close(struct ns *ns);

/** ns_newest_format() - the highest number of a store that this can open */
uint32_t ns_newest_format(void);
/** ns_set_newest_format() - for tests: be a release to come */
void ns_set_newest_format(uint32_t format);
/**
 * ns_raise_format() - from now on older daemons refuse the store
 *
 * To the lowest number that tells all that any store of this release has; what
 * only some have (store-format.md) raises it when it comes. ns_open() leaves its
 * number as it is. To be called before the first request. Return: 0 or -errno.
 */
int ns_raise_format(struct ns *ns);

const char *ns_name(const struct ns *ns);
const uint8_t *ns_uuid(const struct ns *ns);
uint64_t ns_incarnation(const struct ns *ns);
bool ns_was_clean(const struct ns *ns);		/* before this start */
bool ns_same_boot(const struct ns *ns);		/* as the last start */
uint64_t ns_txn(const struct ns *ns);		/* last transaction */

/**
 * ns_execute() - carry out one request; always fills rep, also on failure.
 * On entry rep is zeroed, or its arena is set and used.
 * Kinds barrier and statfs: status 0 and nothing else, they are the caller's
 * business (store_barrier, the volumes); barrier has txn, the last one.
 */
void ns_execute(struct ns *ns, const struct op_req *req, struct op_reply *rep);

/**
 * ns_note() - apply notices of node @origin (0: this machine), each that can
 * be: inodes that no other node holds when they are forgotten get Deletion
 * records. Return: 0, or why the first of the others failed.
 */
int ns_note(struct ns *ns, uint32_t origin, const struct ns_note *notes,
	    size_t nr);

/**
 * ns_reconcile() - after attach or start: sessions of a node's kernel that live
 * and inodes that they hold. Its slots and sessions that no longer live are
 * dropped, and what it held and holds no more. Orphans that no node holds are
 * collected, dirty instances that no node may write are settled from their
 * backing files; where an earlier run left holds with other nodes
 * (ns_node_leases()) not before each of them was reconciled. A node that has
 * nothing mounted has no sessions and no handles.
 */
int ns_reconcile(struct ns *ns, uint32_t origin, const uint64_t *sessions,
		 size_t nr_sessions, const struct ns_handle *handles,
		 size_t nr_handles);
/**
 * ns_asked() - what a node's kernel has asked again since it told what it holds
 * has come: orphans that only its slots name are collected, too
 */
int ns_asked(struct ns *ns, uint32_t origin);
/**
 * ns_node_gone() - nothing was heard of a node for a lease: as ns_reconcile()
 * with no sessions and no handles, but its slots stay. Its kernel may come back
 * and ask again for what it has no answer of; they end by what it lists then.
 */
int ns_node_gone(struct ns *ns, uint32_t origin);
typedef int (*ns_attr_fn)(void *ctx, const struct orchfs_attr *attr);
/**
 * ns_nameless() - the inodes without names that a node hasn't told to be done
 * with; stops when fn returns non-zero. fn doesn't change the namespace.
 */
int ns_nameless(struct ns *ns, uint32_t origin, ns_attr_fn fn, void *ctx);
/** ns_held() - what a node holds, for people */
struct ns_held {
	uint64_t layouts, written, nameless;
};
void ns_held(struct ns *ns, uint32_t origin, struct ns_held *out);

/**
 * ns_deletions() - up to @max deletions with sequence > @after.
 * Return: their number or -errno.
 */
int ns_deletions(struct ns *ns, uint64_t after, struct ns_deletion *out,
		 size_t max);
/** ns_deletion_last() - the highest sequence so far. */
uint64_t ns_deletion_last(const struct ns *ns);
/** ns_deletions_done() - the files are gone; drop the records. */
int ns_deletions_done(struct ns *ns, const uint64_t *seqs, size_t nr);

/** ns_reserve() - durably reserve n numbers ("ino", "instance", "volume"). */
int ns_reserve(struct ns *ns, const char *what, uint64_t n, uint64_t *first);

/* Volumes and pools: records only. */
struct ns_volume {
	uint32_t id;
	char name[64];
	char path[4096];
	uint8_t uuid[16];
	uint32_t tier;
	uint64_t reserve;
	bool draining;			/* gets no new files */
	uint32_t home;			/* node; 0: here */
};
int ns_volume_put(struct ns *ns, const struct ns_volume *v);
int ns_volume_del(struct ns *ns, uint32_t id);	/* -EBUSY: has instances */
int ns_volumes(struct ns *ns, struct ns_volume **out, size_t *nr);
int ns_volume_instances(struct ns *ns, uint32_t id, uint64_t *count);
/** ns_count_instances() - the same from any thread: it reads a whole table. */
int ns_count_instances(struct store *st, uint32_t id, uint64_t *count);
int ns_pool_put(struct ns *ns, uint32_t volume, uint64_t first_ino,
		uint64_t first_instance, uint32_t count);
int ns_pool_del(struct ns *ns, uint32_t volume, uint64_t first_ino);
typedef int (*ns_pool_fn)(void *ctx, uint32_t volume, uint64_t first_ino,
			  uint64_t first_instance, uint32_t count);
int ns_pools(struct ns *ns, ns_pool_fn fn, void *ctx);

/** ns_has_instance() - 1 when a record names this backing file, 0, -errno. */
int ns_has_instance(struct ns *ns, uint32_t volume, uint64_t ino,
		    uint64_t version, uint64_t instance);
/** ns_has_inode() - 1 when it has a record, 0, -errno. */
int ns_has_inode(struct ns *ns, uint64_t ino);
typedef int (*ns_instance_fn)(void *ctx, uint64_t ino, uint64_t version,
			      uint64_t instance, uint32_t volume, bool valid);
/**
 * ns_home_page() - files behind inode @after on the volumes of a node; any thread
 * Return: 0 and *got, at most @max; less: there are no more. -errno.
 */
int ns_home_page(struct store *st, const uint32_t *v, size_t nr,
		 uint64_t after, uint64_t *ino, size_t max, size_t *got);
/**
 * ns_home_files() - what lies on the volumes of a node; any thread
 * @v: those volumes; @ino: the first @max; *count: all of them
 */
int ns_home_files(struct store *st, const uint32_t *v, size_t nr,
		  uint64_t *ino, size_t max, uint64_t *count);
/** ns_each_instance() - all instance records; stops when fn returns non-zero. */
int ns_each_instance(struct ns *ns, ns_instance_fn fn, void *ctx);
/**
 * ns_some_instances() - the next @max of them. @pos: zero to begin with.
 * Return: 1 when there may be more, 0 at the end, -errno.
 */
struct ns_instance_pos {
	uint64_t ino, version, instance;
};
int ns_some_instances(struct ns *ns, struct ns_instance_pos *pos, size_t max,
		      ns_instance_fn fn, void *ctx);
/** ns_settle() - correct an inode's size, blocks, times from its backing file. */
int ns_settle(struct ns *ns, uint64_t ino);

/** ns_settle_dirty() - take it over if it is dirty and no node may write it */
int ns_settle_dirty(struct ns *ns, uint64_t ino);
/** ns_settle_all() - the same for all that are */
int ns_settle_all(struct ns *ns);
/**
 * ns_based() - a dirty instance's file was given away; its times don't tell of
 * a write
 * @mtime: it had that, too, when it was handed to a kernel; its maker had not
 * known
 */
int ns_based(struct ns *ns, uint32_t volume, uint64_t ino, uint64_t version,
	     uint64_t instance, const struct ns_backing_stat *s, bool mtime);

/** ns_grant() - a new layout generation for an inode's current instance. */
int ns_grant(struct ns *ns, uint64_t ino, bool write, struct op_layout *out);
/** ns_layout_unsent() - a granted layout was not sent: what was held is held */
void ns_layout_unsent(struct ns *ns, uint32_t origin, uint64_t ino,
		      const struct op_layout *lay);

/* For orchctl where and status. */
struct ns_instance {
	uint64_t version, instance;
	uint32_t volume;
	uint32_t state, version_state;
	uint64_t size;			/* as recorded */
	bool dirty;
};
int ns_where(struct ns *ns, uint64_t ino, uint64_t *version,
	     uint64_t *generation, struct ns_instance **out, size_t *nr);
/** ns_paths() - names of an inode, from the root, up to @max. */
int ns_paths(struct ns *ns, uint64_t ino, char ***out, size_t *nr, size_t max);
struct ns_counts {
	uint64_t inodes, orphans, deletions, replayed;
	uint64_t damaged;	/* times that a backing file wasn't there */
};
int ns_counts(struct ns *ns, struct ns_counts *out);

#endif
