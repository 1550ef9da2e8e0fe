/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What orchctl rebuild does to the records of an export that is older than the
 * volumes. Documentation/rebuild.md
 */
#ifndef ORCHD_NS_REBUILD_H
#define ORCHD_NS_REBUILD_H

#include "ns.h"

/* A backing file as it lies on a volume. */
struct ns_found {
	uint64_t ino, version, instance;
	uint32_t volume;
	uint32_t mode, uid, gid;
	struct ns_backing_stat stat;
	struct orchfs_time atime;
};

/** ns_found_whole() - or is it of a move that was cut short? */
static inline bool ns_found_whole(const struct ns_found *f)
{
	return f->mode & 07777;
}

enum ns_found_as {
	NS_FOUND_RECORDED,	/* the valid instance of an inode */
	NS_FOUND_NEW,		/* no inode has its number */
	NS_FOUND_SPARE,		/* the inode has a valid instance, and its file */
	/*
	 * The inode has none, or its file is missing, or the volume isn't there
	 * that had it before it was moved to where it was found.
	 */
	NS_FOUND_LACKING,
};

/** What the volumes are known to have used, at least. */
struct ns_seen {
	uint64_t ino, instance, volume, node, epoch;
};

/**
 * ns_rebuild_renew() - another line of history, before ns_open(): numbers,
 * epoch and incarnation above all that may have been used. Jobs are dropped.
 */
int ns_rebuild_renew(struct store *st, const struct ns_seen *seen);
/**
 * ns_rebuild_removed() - nodes that @old has removed are removed, before
 * ns_rebuild_renew(). Return: 0; -ENOENT it is no store of the same cluster.
 */
int ns_rebuild_removed(struct store *st, struct store *old,
		       struct ns_seen *seen);
/** ns_rebuild_drop() - all rows of a table, while no namespace is open. */
int ns_rebuild_drop(struct store *st, char table);
/**
 * ns_rebuild_orphans() - forget the inodes that had no name. They may have got
 * one since, so their backing files are for somebody else to judge.
 */
int ns_rebuild_orphans(struct ns *ns);
/** ns_rebuild_judge() - uses ns_backing_ops.stat: -ENOENT missing. */
int ns_rebuild_judge(struct ns *ns, const struct ns_found *f,
		     enum ns_found_as *as);
/** ns_rebuild_dir() - lost+found in the root, made where there is none. */
int ns_rebuild_dir(struct ns *ns, uint64_t *ino);
/** ns_rebuild_name() - a new inode for it, named by its number. */
int ns_rebuild_name(struct ns *ns, uint64_t dir, const struct ns_found *f);
/** ns_rebuild_place() - it becomes the valid instance of its inode. */
int ns_rebuild_place(struct ns *ns, const struct ns_found *f);

struct ns_rebuild_sums {
	uint64_t files;		/* with names and contents */
	uint64_t since;		/* of these, written after the export */
	uint64_t missing;	/* the backing file is not there */
	uint64_t away;		/* on a volume that is not there */
};

/**
 * ns_rebuild_records() - go through all instances: what was being copied or
 * retired is dropped, what was written after @when is marked dirty.
 * @missing: called for each inode without its contents; may call ns_paths().
 */
int ns_rebuild_records(struct ns *ns, const struct orchfs_time *when,
		       void (*missing)(void *ctx, uint64_t ino), void *ctx,
		       struct ns_rebuild_sums *sums);

#endif
