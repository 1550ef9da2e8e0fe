/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Layouts, anchors, gates. See Documentation/layouts.md.
 *
 * Lock order, outermost first:
 *   orchfs_inode.open_lock > orchfs_open_inode.swap_lock > orchfs_file.lock >
 *   orchfs_sb.lru_lock > inode.i_lock > orchfs_open_inode.files_lock
 * open_lock is held over an upcall and swap_lock over a drain: release,
 * reclaim and the I/O path take neither, with the exception of an I/O that
 * finds its layout without the right it needs, which holds no gate then.
 */
#ifndef _ORCHFS_LAYOUT_H
#define _ORCHFS_LAYOUT_H

#include <linux/llist.h>
#include <linux/path.h>
#include <linux/percpu-refcount.h>

#include "iomode.h"
#include "layout_map.h"
#include "orchfs.h"

/**
 * struct orchfs_mirror - one instance
 * @kind: ORCHFS_MIRROR_KIND_*
 * @volume: where it is
 * @instance: its number, never used for another
 * @f_mode: what the daemon's descriptor of it can do (FMODE_NOWAIT, ...)
 * @anchor: counted path of the backing file
 */
struct orchfs_mirror {
	u32 kind;
	u32 volume;
	u64 instance;
	fmode_t f_mode;
	struct path anchor;
};

/**
 * struct orchfs_layout - which bytes are where; immutable once decoded
 * @refs: memory and anchors live as long; readers under RCU may look at all
 *	members until a grace period after the last put
 * @nr_segs: 0 blocks all I/O
 * @nr_mirrors: of all segments together
 * @writable: writing is granted
 * @serial: tells layouts apart in traces
 * @generation: grows with each layout of an inode
 * @version: of the content
 * @instance: that holds all segments; 0 without segments
 * @inode: backing inode of that instance, or NULL
 * @cred: the daemon's; backing files are opened with it
 * @segs: in order, after the mirrors in the same memory
 * @rcu: from the last put to the end of a grace period
 * @dead: from there to the worker that frees it
 * @mirrors: those of a segment follow each other
 */
struct orchfs_layout {
	refcount_t refs;
	u32 nr_segs;
	u32 nr_mirrors;
	bool writable;
	u64 serial;
	u64 generation;
	u64 version;
	u64 instance;
	struct inode *inode;
	const struct cred *cred;
	struct orchfs_segment *segs;
	union {
		struct rcu_head rcu;
		struct llist_node dead;
	};
	struct orchfs_mirror mirrors[] __counted_by(nr_mirrors);
};

static inline bool orchfs_layout_blocked(const struct orchfs_layout *lay)
{
	return !lay->nr_segs;
}

static inline bool orchfs_layout_grants(const struct orchfs_layout *lay,
					bool write)
{
	return !write || lay->writable;
}

/* The instance that is read, and written if the layout is writable. */
static inline const struct orchfs_mirror *
orchfs_layout_first(const struct orchfs_layout *lay)
{
	return &lay->mirrors[lay->segs[0].first_mirror];
}

struct orchfs_layout *orchfs_layout_get(struct orchfs_layout *lay);
bool orchfs_layout_tryget(struct orchfs_layout *lay);
bool orchfs_layout_mapped(const struct orchfs_layout *lay);
bool orchfs_layout_mapped_sure(const struct orchfs_layout *lay);

enum {
	ORCHFS_GATE_EMPTY = 1,
	ORCHFS_GATE_ORPHAN,
};

/**
 * struct orchfs_gate - what I/O passes to get at a layout
 * @io: one reference for each I/O in flight; killed to drain
 * @layout: counted; replaced in place only by one of the same instance
 * @held: nobody may enter yet: the gate before this one is still drained
 * @unsettled: of another instance than the gate before this one, which may
 *	still come back: nothing may be mapped yet
 * @end: of an abandoned gate: which came first, its last I/O or the end of
 *	the open inode; the second frees it
 * @rcu: whoever leaves last may be looking at it
 */
struct orchfs_gate {
	struct percpu_ref io;
	struct orchfs_layout __rcu *layout;
	bool held;
	bool unsettled;
	atomic_t end;
	struct rcu_head rcu;
};

/**
 * struct orchfs_open_inode - lives while an inode is in use
 * @gate: the current one; written under @swap_lock
 * @inode: NULL in tests
 * @swap_lock: one swap at a time
 * @abandoned: gate of a swap that was given up, killed, perhaps not drained
 *	yet (@swap_lock)
 * @files_lock: @files, and orchfs_file.backings of each
 * @files: those that have opened a backing file
 * @users: open files, truncates and swaps (i_lock)
 * @opens: open files (i_lock)
 * @mode: I/O mode (i_lock)
 * @written: something was written since the first open
 */
struct orchfs_open_inode {
	struct orchfs_gate __rcu *gate;
	struct inode *inode;
	struct mutex swap_lock;
	struct orchfs_gate *abandoned;
	spinlock_t files_lock;
	struct list_head files;
	unsigned int users;
	unsigned int opens;
	struct orchfs_iomode_state mode;
	bool written;
};

/* gate.c: publish, drain, put back. Needs no inode. */
int orchfs_gate_init(void);
void orchfs_gate_exit(void);
void orchfs_gate_trim(void);
struct orchfs_open_inode *orchfs_oi_alloc(void);
void orchfs_oi_start(struct orchfs_open_inode *oi, struct inode *inode,
		     struct orchfs_layout *lay);
void orchfs_oi_free(struct orchfs_open_inode *oi);
struct orchfs_gate *orchfs_gate_enter(struct orchfs_open_inode *oi,
				      struct orchfs_layout **lay);
int orchfs_gate_wait(struct orchfs_open_inode *oi);
int orchfs_gate_wait_settled(struct orchfs_open_inode *oi);
struct orchfs_layout *orchfs_gate_layout(struct orchfs_open_inode *oi);

/**
 * struct orchfs_swap - a swap under way
 * @old: gate that is drained
 * @new: gate that took its place
 */
struct orchfs_swap {
	struct orchfs_gate *old;
	struct orchfs_gate *new;
};

int orchfs_swap_begin(struct orchfs_open_inode *oi, struct orchfs_layout *lay,
		      unsigned long deadline, struct orchfs_swap *swap);
int orchfs_swap_drain(struct orchfs_open_inode *oi, struct orchfs_swap *swap,
		      unsigned long deadline);
void orchfs_swap_commit(struct orchfs_open_inode *oi,
			struct orchfs_swap *swap);
void orchfs_swap_abandon(struct orchfs_open_inode *oi,
			 struct orchfs_swap *swap);
void orchfs_gate_upgrade(struct orchfs_open_inode *oi,
			 struct orchfs_layout *lay);

/**
 * orchfs_gate_leave() - the I/O is over
 * @gate: what orchfs_gate_enter() returned
 *
 * Any context.
 */
static inline void orchfs_gate_leave(struct orchfs_gate *gate)
{
	percpu_ref_put(&gate->io);
}

/* layout.c */
struct orchfs_layout *orchfs_layout_alloc(u32 nr_segs, u32 nr_mirrors);
struct orchfs_layout *orchfs_layout_of(struct inode *inode);
int orchfs_layout_want(struct inode *inode, bool write);
int orchfs_layout_renew(struct inode *inode, bool write);
int orchfs_layout_swap(struct inode *inode, struct orchfs_layout *lay,
		       unsigned long deadline);
int orchfs_layout_attach(struct inode *inode, bool write, bool open,
			 struct orchfs_open_inode **out);
void orchfs_layout_detach(struct inode *inode, struct orchfs_open_inode *oi,
			  bool open);

struct orchfs_gate *orchfs_layout_pass(struct inode *inode,
				       struct orchfs_open_inode *oi,
				       bool write, bool nowait,
				       struct orchfs_layout **out);
void orchfs_layout_quiesce(void);
int orchfs_layout_set_init(void);
void orchfs_layout_set_exit(void);

/* layout_lru.c: what is cached of inodes that nobody uses */
void orchfs_layout_idle(struct inode *inode, bool tell);
int orchfs_note_reserve(struct inode *inode);

/* attr_backing.c */
int orchfs_attr_refresh(struct inode *inode);
void orchfs_attr_seen_locked(struct inode *inode,
			     const struct orchfs_layout *lay);
void orchfs_attr_base_locked(struct inode *inode);
bool orchfs_attr_behind_locked(struct inode *inode,
			       const struct orchfs_layout *lay);
bool orchfs_attr_stale(struct inode *inode, struct inode *backing);
void orchfs_attr_written(struct inode *inode, struct inode *backing);

#endif
