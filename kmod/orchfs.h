/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Core structures of orchfs and one prototype block per file.
 *
 * Lock order, outermost first; Documentation/locking.md tells why:
 *   VFS locks (i_rwsem, s_umount, mmap_lock) > orchfs_inode.open_lock >
 *   orchfs_file.lock > orchfs_net.lock > orchfs_channel.lock or i_lock
 * mmap waits for open_lock, and so for the daemon, under mmap_lock.
 * Nobody waits for the daemon under any of orchfs's own locks but open_lock,
 * which no message handler and no reclaim path takes.
 */
#ifndef _ORCHFS_H
#define _ORCHFS_H

#include <linux/fs.h>
#include <linux/fs_parser.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/refcount.h>
#include <linux/spinlock.h>
#include <linux/xarray.h>
#include <linux/workqueue.h>
#include <linux/wait.h>
#include <linux/orchfs.h>
#include <linux/orchfs_nl.h>

struct fiemap_extent_info;
struct fileattr;
struct fs_context;
struct net;
struct netlink_ext_ack;
struct nlattr;
struct orchfs_layout;
struct orchfs_listing;
struct orchfs_locks;
struct orchfs_open_inode;
struct orchfs_stamp;
struct orchfs_unsynced;
struct posix_acl;
struct sk_buff;
struct srcu_struct;

#define ORCHFS_SLOTS		64
#define ORCHFS_REQUESTS_MAX	4096
#define ORCHFS_NOTES_MAX	65536
#define ORCHFS_NOTES_BATCH	64
#define ORCHFS_NOTES_DELAY	(HZ / 50)
#define ORCHFS_STRAYS_MAX	1024
#define ORCHFS_READDIR_BATCH	1024
#define ORCHFS_NR_KINDS		(ORCHFS_KIND_LOCK + 1)

enum orchfs_channel_state {
	ORCHFS_DETACHED,	/* no daemon */
	ORCHFS_ATTACHING,	/* attached, has not said ready */
	ORCHFS_READY,
	ORCHFS_DEAD,		/* superblock is gone and no daemon: no way back */
};

/**
 * struct orchfs_counter - upcalls of one kind
 * @count: requests submitted, or notices queued
 * @errors: ended with an error other than ENOENT, EEXIST, ENODATA
 */
struct orchfs_counter {
	atomic64_t count;
	atomic64_t errors;
};

/**
 * struct orchfs_channel - one namespace in one network namespace
 *
 * Referenced by the attached daemon (one), the superblock (one) and queued
 * work; entries of the table live no longer than these. Reachable through
 * orchfs_net.channels, which is changed under orchfs_net.lock and read under
 * RCU too.
 */
struct orchfs_channel {
	struct list_head link;
	refcount_t refs;
	struct net *net;		/* not counted; pernet exit flushes */
	u8 uuid[16];
	char name[ORCHFS_NS_NAME_MAX + 1];
	/* unicast to the daemon, consumes skb; another one in tests */
	int (*send)(struct orchfs_channel *ch, struct sk_buff *skb, u32 portid);

	/* lock protects from here to the blank line */
	spinlock_t lock;
	enum orchfs_channel_state state;
	u32 portid;			/* 0: no daemon */
	u32 attach;			/* counts daemons */
	u64 incarnation;		/* of the daemon attached */
	u64 seen_incarnation;		/* of the last one that was ready */
	bool unsure;			/* a given-up change went with a daemon */
	u32 requests;			/* in the table */
	struct xarray table;		/* id -> struct orchfs_request */
	struct list_head waiting;	/* requests not delivered, in order */
	DECLARE_BITMAP(slots, ORCHFS_SLOTS);
	u64 slot_seq[ORCHFS_SLOTS];
	struct list_head notes;
	u32 nr_notes;
	bool notes_lost;
	bool notes_stuck;		/* the socket was full */
	struct list_head gone;		/* note-forgets that wait; unlinked.c */
	struct list_head gone_next;
	u32 nr_gone;			/* on both */
	bool gone_waits;		/* gone_rcu or gone_work is under way */
	u32 strays;			/* layouts that nobody took */
	struct list_head events;	/* layout-done messages */
	u32 nr_events;
	struct super_block *sb;		/* NULL while none is mounted */
	u32 sb_users;			/* handlers that use it */
	bool sb_ending;			/* no more of them */

	wait_queue_head_t wq;		/* table space, state, no sb_users */
	wait_queue_head_t slot_wq;	/* the same, or a slot */
	struct delayed_work notes_work;
	struct rcu_head gone_rcu;
	struct work_struct gone_work;
	bool locks_ask;			/* other nodes may have some; once set
					 * it stays */
	atomic_t lock_waits;		/* requests that wait for locks */
	u64 session;			/* 0 before the first mount */
	atomic64_t next_id;
	atomic64_t epoch;		/* names and attributes older than this
					 * are revalidated */
	atomic64_t lease;		/* CLOCK_BOOTTIME in ns until which what
					 * is cached is believed; 0: for ever */
	atomic64_t marks;		/* inodes made unknown one by one */
	atomic64_t absent;		/* the last mark of one that is not in
					 * memory */
	u64 renewed;			/* epoch of another incarnation's start;
					 * lock to write */
	atomic64_t durable;
	struct orchfs_counter counters[ORCHFS_NR_KINDS];
	struct rcu_head rcu;
};

/**
 * struct orchfs_note - memory of one notice, made with the inode
 */
struct orchfs_note {
	struct list_head link;		/* orchfs_channel.notes; empty: free */
	u32 kind;
	u32 valid;
	u64 node;
	u64 generation;
	u64 session;
	struct orchfs_attr attr;
};

struct orchfs_sb {
	struct orchfs_channel *channel;
	struct net *net;		/* counted */
	unsigned int upcall_timeout;	/* seconds */
	int upcall_errno;		/* negative */
	u32 generation;
	atomic64_t txn;			/* highest that this mount was told */
	atomic64_t layout_floor;	/* older ones aren't put on inodes that
					 * hold none; layout.c */
	bool written;			/* contents, since the last sync began */
	bool removed;			/* files, likewise */
	struct list_head mapped;	/* changed unseen; orchfs_inode.mapped */
	unsigned int syncing;		/* syncs that wait for the daemon */
	bool dying;			/* umount began */
	struct orchfs_note *note_umount;
	struct super_block *sb;
	spinlock_t lock;		/* statfs, prune_all, syncing, mapped,
					 * vm_ops, unplaced, setting dying;
					 * before i_lock */
	struct orchfs_statfs statfs;	/* the last answer */
	/* inodes whose unused names shall go, by number; dentry.c */
	struct xarray prune;
	bool prune_all;
	struct work_struct prune_work;
	/* look-ups to be made again; moved.c */
	struct list_head unplaced;
	unsigned int nr_unplaced;
	/* anchors that no open file uses, oldest first; layout.c */
	spinlock_t lru_lock;		/* lru, nr_lru */
	struct list_head lru;
	unsigned long nr_lru;
	struct shrinker *shrinker;
	struct orchfs_unsynced *unsynced; /* remote instances; remote_sync.c */
	struct list_head vm_ops;	/* mmap.c; lock to add */
	struct xarray locks;		/* ino -> struct orchfs_locks */
	struct xarray lock_users;	/* uid -> struct orchfs_lock_user */
	atomic_t lock_ranges;		/* of all of them */
	struct list_head recalls;	/* orchfs_locks.recall; lock */
	struct work_struct recall_work;
	struct rcu_head rcu;
};

/* What goes with the times of an inode whose contents are remote. */
enum orchfs_seen {
	ORCHFS_SEEN_NONE,	/* the peer hasn't told its times yet */
	ORCHFS_SEEN_TIMES,	/* seen_mtime and seen_ctime, as of local ones */
	ORCHFS_SEEN_WRITTEN,	/* written since: what it tells next is news */
};

/**
 * struct orchfs_inode - an inode
 * @change: transaction that last wrote its record, as far as known (i_lock)
 * @txn: what an fsync must find durable
 * @epoch: channel epoch in which the attributes were valid
 * @asked: channel epoch in which those were asked for that are here (i_lock)
 * @mark: orchfs_channel.marks when they were made unknown last (i_lock)
 * @answered: orchfs_channel.marks when the answer that is here was asked for
 *	(i_lock)
 * @unlinked: orchfs_channel.marks when another node took its last name, as far
 *	as told; 0 if not (i_lock)
 * @doubted: they are unknown since, as a change was given up that may have
 *	taken its last name (i_lock)
 * @flags: ORCHFS_ATTR_*
 * @projid: project that its space is accounted to
 * @names: of a directory: generation of the names below it; a name of another
 *	generation is looked up again (i_lock for writing)
 * @listed: mark of the listing that brought it, while another node writes it;
 *	of a directory: of the listing that is being read
 * @foreign: 1: another node changed it; later orchfs_channel.marks when the
 *	backing file was looked at since: an answer asked for after that knows
 *	its times, whatever the backing file's are (i_lock)
 * @open_lock: serialises asking the daemon for a layout
 * @layout: what is cached; readers under RCU, written under i_lock
 * @open: exists while the inode has open files (i_lock)
 * @renewals: of the layout, as a data server refused it (@open_lock)
 * @remote: the last layout was of a remote instance
 * @seen: what is known of the times of one (i_lock)
 * @seen_instance: whose times @seen_mtime and @seen_ctime are (i_lock)
 * @seen_mtime: times of the backing file that go with the inode's own
 *	(i_lock); while they are unchanged the inode's are right
 * @base_mtime: the backing file's mtime that the daemon takes for none, as
 *	far as known (i_lock)
 * @base_before: the one before, which may still be the daemon's (i_lock)
 * @told_atime: of the last answer (i_lock)
 * @touched: orchfs_channel.marks when mtime was set without the daemon or went
 *	back, or a layout was dropped that the file may have been written by
 *	(i_lock)
 * @changed: orchfs_channel.marks when an operation of this kernel changed the
 *	record (i_lock)
 * @notes: memory for the last notices: attr+return, forget
 * @lru: on orchfs_sb.lru when a layout is cached
 * @lru_used: opened since it came to the end of that list
 * @locks: who decides about its locks; NULL before the first
 * @mapped: on orchfs_sb.mapped when it may be mapped, shared and writable
 */
struct orchfs_inode {
	struct inode vfs_inode;
	u64 change;
	atomic64_t txn;
	u64 epoch;
	u64 asked;
	u64 mark;
	u64 answered;
	u64 unlinked;
	bool doubted;
	u32 generation;
	u32 flags;
	u32 projid;
	u64 version;
	unsigned long names;
	struct orchfs_listing *listing;
	bool listing_cold;
	u64 listed;
	u64 foreign;
	struct timespec64 btime;
	struct mutex open_lock;
	struct orchfs_layout __rcu *layout;
	struct orchfs_open_inode *open;
	unsigned int renewals;
	bool remote;
	enum orchfs_seen seen;
	u64 seen_instance;
	struct timespec64 seen_mtime;
	struct timespec64 seen_ctime;
	struct timespec64 base_mtime;
	struct timespec64 base_before;
	struct timespec64 told_atime;
	u64 touched;
	u64 changed;
	struct orchfs_note *note_attr;
	struct orchfs_note *note_forget;
	struct list_head lru;
	bool lru_used;
	struct orchfs_locks *locks;
	struct list_head mapped;
	bool attr_dirty;		/* size or times not told to the daemon */
};

static inline struct orchfs_inode *ORCHFS_I(const struct inode *inode)
{
	return container_of(inode, struct orchfs_inode, vfs_inode);
}

static inline struct orchfs_sb *ORCHFS_SB(const struct super_block *sb)
{
	return sb->s_fs_info;
}

static inline struct orchfs_channel *orchfs_channel_of(const struct inode *inode)
{
	return ORCHFS_SB(inode->i_sb)->channel;
}

/**
 * struct orchfs_xattr - one that goes with a request
 * @name: with its prefix
 * @value: @len bytes
 * @len: of it
 */
struct orchfs_xattr {
	const char *name;
	const void *value;
	size_t len;
};

/**
 * struct orchfs_args - what a request asks; unused members are zero
 *
 * Everything pointed to must live until orchfs_upcall() returns: the
 * message is built before it waits.
 */
struct orchfs_args {
	u32 kind;			/* ORCHFS_KIND_* */
	u32 flags;			/* ORCHFS_REQ_FLAG_* */
	u64 node;
	const struct qstr *name;
	u64 node2;
	const struct qstr *name2;
	u64 changed[2];			/* inodes that it changes beside those */
	u32 mode;
	u32 uid, gid;
	dev_t rdev;
	const char *target;
	u32 valid;			/* ORCHFS_SET_* */
	const struct orchfs_attr *attr;
	bool has_now;
	struct orchfs_time now;
	u64 cookie;
	u32 max_entries;
	const char *xattr_name;
	const void *xattr_value;
	size_t xattr_len;
	const struct orchfs_xattr *xattrs;	/* create, setattr */
	unsigned int nr_xattrs;
	const struct orchfs_lock *lock;
	struct orchfs_locks *locks;	/* counts the answer */
	bool leaves;			/* with the daemon */
};

/**
 * struct orchfs_result - the answer; orchfs_result_free() it in every case
 * @answered: an errno is the daemon's; else the request was given up or never
 *	made, and the errno may be the one that the mount has chosen for that
 * @layout: one reference, owned by the result; take it by setting NULL
 * @skb: holds the reply; entries and values are read from it in place
 * @answers: orchfs_net.answers, which is read until the result is freed; NULL
 * @answers_idx: for srcu_up_read()
 */
struct orchfs_result {
	u32 flags;
	bool answered, has_attr, has_attr2, has_lock, eof;
	u64 txn;
	struct orchfs_attr attr;
	struct orchfs_attr attr2;
	char *target;			/* kmalloced, NUL-terminated */
	char *name;			/* likewise; of a lookup of ".." */
	struct orchfs_layout *layout;
	struct orchfs_statfs statfs;
	struct orchfs_lock lock;	/* of a test */
	struct sk_buff *skb;
	const struct nlattr *attrs;	/* in skb, attrs_len bytes */
	int attrs_len;
	struct srcu_struct *answers;
	int answers_idx;
};

/**
 * struct orchfs_dirent - one entry of a readdir reply, checked
 */
struct orchfs_dirent {
	struct qstr name;		/* in the reply, hash not set */
	u64 cookie;
	struct orchfs_attr attr;	/* aligned copy */
	const char *target;		/* in the reply, target_len bytes */
	u32 target_len;
};

extern unsigned int orchfs_net_id;

/* channel.c: the genl family, channels, attach and detach */
int orchfs_channel_init(void);
void orchfs_channel_exit(void);
/* A mount takes a channel by name and becomes its superblock's user. -ENOTCONN
 * no daemon at all, -ENOENT no such namespace; text goes to fc. */
struct orchfs_channel *orchfs_channel_find(struct net *net, const char *name,
					   struct fs_context *fc);
void orchfs_channel_put(struct orchfs_channel *ch);
/* Bind and unbind the superblock; bind makes a new session. */
int orchfs_channel_bind(struct orchfs_channel *ch, struct super_block *sb);
void orchfs_channel_sb_end(struct orchfs_channel *ch, struct super_block *sb);
void orchfs_channel_unbind(struct orchfs_channel *ch);

/* request.c: life of a request */
int orchfs_request_init(void);
void orchfs_request_exit(void);
/**
 * orchfs_upcall() - ask the daemon and wait killably
 * @sb: whose deadline and errno count
 *
 * Mutating kinds take a slot. On 0 @res holds what the kind returns; on error
 * @res is empty. Status of the daemon, -EINTR when killed, the mount's
 * upcall_errno past the deadline, -EPROTO for a malformed answer.
 */
int orchfs_upcall(struct super_block *sb, const struct orchfs_args *args,
		  struct orchfs_result *res);
void orchfs_result_free(struct orchfs_result *res);
/* Walk the entries of a readdir reply; returns the number given or -errno. fn
 * returns 0 to go on, 1 to stop (that entry counts as not given), or -errno. */
typedef int (*orchfs_dirent_fn)(void *arg, const struct orchfs_dirent *de);
int orchfs_result_entries(const struct orchfs_result *res,
			  orchfs_dirent_fn fn, void *arg);
/* Length of the value; copied to buf when it is not NULL (-ERANGE). */
ssize_t orchfs_result_value(const struct orchfs_result *res, void *buf,
			    size_t size);
/* fsync's half that concerns names: 0 upcalls when txn is durable. */
int orchfs_barrier(struct super_block *sb, u64 node, u64 txn);
/* Queue a notice; never sleeps, never fails. */
void orchfs_note_queue(struct orchfs_channel *ch, struct orchfs_note *note);
/* Tell that nobody holds an inode without links. May sleep to allocate. */
void orchfs_note_forget(struct orchfs_channel *ch, u64 node);
void orchfs_note_flush(struct orchfs_channel *ch);
/* A layout that a reply brought is not held by anybody. */
void orchfs_note_stray(struct orchfs_channel *ch);
void orchfs_notes_lost(struct orchfs_channel *ch);
struct orchfs_note *orchfs_note_alloc(gfp_t gfp);
void orchfs_note_free(struct orchfs_note *note);

/* super.c, params.c */
int orchfs_super_init(void);
void orchfs_super_exit(void);
/* Called with a reference to sb held by the caller (message handlers). */
void orchfs_super_invalidate(struct super_block *sb, u64 node,
			     const struct qstr *name);
enum orchfs_mark {
	ORCHFS_MARK_NAMES,	/* names in a directory */
	ORCHFS_MARK_ATTR,	/* and the inode's attributes */
	ORCHFS_MARK_DOUBT,	/* a change of them was given up */
};
bool orchfs_super_mark(struct super_block *sb, u64 node, enum orchfs_mark what);
bool orchfs_super_unlinked(struct super_block *sb,
			   const struct orchfs_attr *attr,
			   struct orchfs_note **note);
void orchfs_prune_queue(struct super_block *sb, u64 node);
extern const struct fs_parameter_spec orchfs_fs_parameters[];
int orchfs_init_fs_context(struct fs_context *fc);

/* inode.c */
int orchfs_inode_init(void);
void orchfs_inode_exit(void);
struct inode *orchfs_alloc_inode(struct super_block *sb);
void orchfs_free_inode(struct inode *inode);
void orchfs_evict_inode(struct inode *inode);
/* Find or make the inode that attr describes and apply attr to it. */
struct inode *orchfs_iget(struct super_block *sb, const struct orchfs_attr *attr,
			  const char *target, u32 target_len,
			  const struct orchfs_stamp *stamp);
/* Newer attributes and the transaction behind them. */
void orchfs_inode_apply(struct inode *inode, const struct orchfs_attr *attr,
			u64 txn);
void orchfs_inode_txn(struct inode *inode, u64 txn);
bool orchfs_inode_stale(const struct inode *inode);
int orchfs_inode_revalidate(struct inode *inode);
int orchfs_getattr(struct mnt_idmap *idmap, const struct path *path,
		   struct kstat *stat, u32 mask, unsigned int flags);
int orchfs_setattr(struct mnt_idmap *idmap, struct dentry *dentry,
		   struct iattr *iattr);
int orchfs_permission(struct mnt_idmap *idmap, struct inode *inode, int mask);
int orchfs_update_time(struct inode *inode, int flags);
struct orchfs_time orchfs_now(struct inode *inode);
extern const struct inode_operations orchfs_file_iops;
extern const struct inode_operations orchfs_symlink_iops;
extern const struct inode_operations orchfs_special_iops;

/* namei.c, dentry.c, dir.c, xattr.c; vfs.h has what they share */
extern const struct inode_operations orchfs_dir_iops;
extern const struct dentry_operations orchfs_dentry_ops;
extern const struct file_operations orchfs_dir_fops;
extern const struct xattr_handler * const orchfs_xattr_handlers[];
ssize_t orchfs_listxattr(struct dentry *dentry, char *list, size_t size);

/* acl.c, export.c, fileattr.c */
struct posix_acl *orchfs_get_inode_acl(struct inode *inode, int type, bool rcu);
int orchfs_set_acl(struct mnt_idmap *idmap, struct dentry *dentry,
		   struct posix_acl *acl, int type);
extern const struct export_operations orchfs_export_ops;
int orchfs_fileattr_get(struct dentry *dentry, struct fileattr *fa);
int orchfs_fileattr_set(struct mnt_idmap *idmap, struct dentry *dentry,
			struct fileattr *fa);

/* lock.c, lock_nl.c */
void orchfs_lock_init(void);
int orchfs_lock(struct file *file, int cmd, struct file_lock *fl);
int orchfs_flock(struct file *file, int cmd, struct file_lock *fl);
void orchfs_locks_evict(struct inode *inode);
void orchfs_locks_sb_init(struct orchfs_sb *sbi);
void orchfs_locks_sb_end(struct orchfs_sb *sbi);

/* layout.c: layouts, anchors, swap and drain. layout.h has the details. */
int orchfs_layout_init(void);
void orchfs_layout_exit(void);
void orchfs_layout_flush_swaps(void);
int orchfs_layout_sb_init(struct super_block *sb);
void orchfs_layout_sb_exit(struct super_block *sb);
/* Put a layout that a reply brought on the inode; consumes the reference. */
int orchfs_layout_install(struct inode *inode, struct orchfs_layout *lay);
/* Drop the layout at eviction; queues note-return and note-attr. */
void orchfs_layout_evict(struct inode *inode);
void orchfs_layout_put(struct orchfs_layout *lay);
/* The daemon's layout-set: queues the swap, consumes the reference. */
int orchfs_layout_set(struct super_block *sb, u64 node,
		      struct orchfs_layout *lay, u64 request_id,
		      unsigned int timeout_ms);
/* channel.c: tells the daemon the end of a layout-set. */
void orchfs_layout_done(struct super_block *sb, u64 request_id, u64 node,
			u64 generation, int status, u32 writers);
/* The daemon's layout-drop: let go of a volume; done in the background. */
int orchfs_layout_drop_volume(struct super_block *sb, u32 volume);
/* For the handles dump. */
u64 orchfs_layout_generation(struct inode *inode);
u32 orchfs_open_count(struct inode *inode);

/* layout_decode.c: decode and check a layout. Runs in the daemon's context. */
int orchfs_layout_decode(struct orchfs_channel *ch, const struct nlattr *attr,
			 struct orchfs_layout **out,
			 struct netlink_ext_ack *extack);

/* file.c, truncate.c, attr_backing.c */
int orchfs_file_init(void);
void orchfs_file_exit(void);
extern const struct file_operations orchfs_file_fops;
int orchfs_open(struct inode *inode, struct file *file);
void orchfs_mmap_sb_exit(struct orchfs_sb *sbi);
/* Truncate through the layout; the caller holds i_rwsem. */
int orchfs_truncate(struct inode *inode, const struct iattr *iattr);
bool orchfs_touch(struct inode *inode, const struct iattr *iattr);
int orchfs_commit_times(struct inode *inode);
/* Bring size, blocks and times up to the backing file's, if there is one. */
bool orchfs_attr_from_backing(struct inode *inode);
/* Its ctime was just given to the backing file. */
void orchfs_attr_touched(struct inode *inode, struct inode *backing);
void orchfs_attr_dioalign(struct inode *inode, struct kstat *stat);
void orchfs_attr_change(struct inode *inode, struct kstat *stat);
/* Names and instance record of an inode become durable; 0 upcalls if they are. */
int orchfs_durable_names(struct inode *inode, bool nowait);
int orchfs_fiemap(struct inode *inode, struct fiemap_extent_info *info,
		  u64 start, u64 len);
/* Contents changed, and have to be written back by who syncs. Any context. */
void orchfs_contents_changed(struct inode *inode);
bool orchfs_space_returns(struct super_block *sb);

static inline bool orchfs_no_space(ssize_t ret)
{
	return unlikely(ret == -ENOSPC || ret == -EDQUOT);
}
/* They will be changed unseen, until nothing is mapped or the inode goes. */
void orchfs_mapped(struct inode *inode);
void orchfs_unmapped(struct inode *inode);
/* Start write-back of the backing file's pages; doesn't wait. */
void orchfs_flush(struct inode *inode);

#endif
