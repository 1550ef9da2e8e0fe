/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Instances on other nodes as backing files; see "The client inside" in
 * Documentation/remote.md. layout_decode.c makes anchors of them, and from then
 * on the data path is that of any backing file.
 */
#ifndef _ORCHFS_REMOTE_H
#define _ORCHFS_REMOTE_H

#include <linux/fs.h>
#include <linux/netfs.h>
#include <linux/path.h>

#include "client.h"

#define ORCHFS_REMOTE_MAGIC	0x4f524652	/* "ORFR" */

/**
 * struct orchfs_rinode - a remote instance as a backing inode
 * @netfs: with the inode; its size, times and blocks are those of the last
 *	answer, or of the record as long as there was none
 * @hash: found by @peer and @id (remote_lock)
 * @peer: kept by @remote
 * @id: of the instance
 * @remote: its requests go there
 * @patience: seconds that a request waits for a connection
 * @refusals: how often pages couldn't be read for want of a good token
 * @asked: the peer has told size and times
 * @unsynced: was written since the last commit (i_lock)
 * @unsynced_in: of the super block that uses it, or NULL
 * @unsynced_node: on its list, since then (its lock, as the next two)
 * @unsynced_nr: place on that
 * @unsynced_since: jiffies, when it was put there
 * @verifier: that the last of these writes was answered with (i_lock)
 * @writes: writes that were answered (i_lock)
 * @cuts: truncates likewise (i_lock)
 * @sent: numbers of requests for attributes (i_lock)
 * @applied: number of the newest whose answer is here (i_lock)
 * @change: the peer's counter at that time (i_lock)
 */
struct orchfs_rinode {
	struct netfs_inode netfs;
	struct hlist_node hash;
	struct orchfs_peer *peer;
	struct orchfs_remote_id id;
	struct orchfs_remote *remote;
	unsigned int patience;
	atomic_t refusals;
	bool asked;
	bool unsynced;
	struct orchfs_unsynced *unsynced_in;
	struct list_head unsynced_node;
	u64 unsynced_nr;
	unsigned long unsynced_since;
	u64 verifier;
	u64 writes;
	u64 cuts;
	u64 sent;
	u64 applied;
	u64 change;
};

static inline struct orchfs_rinode *ORCHFS_RI(const struct inode *inode)
{
	return container_of(inode, struct orchfs_rinode, netfs.inode);
}

extern const struct inode_operations orchfs_remote_iops;

static inline bool orchfs_is_remote(const struct inode *inode)
{
	return inode && inode->i_op == &orchfs_remote_iops;
}

/* Would a fresh layout help? The errors of tokens, and of a volume that went. */
static inline bool orchfs_refused(ssize_t ret)
{
	return unlikely(ret == -EKEYEXPIRED || ret == -EKEYREJECTED ||
			ret == -ESTALE);
}

/* Who was refused twice can't get at it. */
static inline ssize_t orchfs_told(ssize_t ret)
{
	return orchfs_refused(ret) ? -EIO : ret;
}

/* remote_fs.c */
int orchfs_remote_init(void);
void orchfs_remote_exit(void);
int orchfs_remote_anchor(struct net *net, const u8 *uuid, u32 peer,
			 const struct orchfs_remote_id *id,
			 const u8 token[ORCHFS_TOKEN_LEN], struct path *out);
void orchfs_remote_held(struct inode *inode, const struct inode *outer,
			unsigned int patience);
int orchfs_remote_ask(struct inode *inode);
int orchfs_remote_renew(const struct file *file, bool write);

/* remote_io.c */
extern const struct file_operations orchfs_remote_fops;
int orchfs_remote_io_init(void);
void orchfs_remote_io_exit(void);
void orchfs_rio_init(struct orchfs_rinode *ri, struct orchfs_rio *rio,
		     u8 opcode);
int orchfs_rio_run(struct orchfs_rinode *ri, struct orchfs_rio *rio);

/* A volume that isn't there any more is a layout that is old. */
static inline int orchfs_rio_error(int err)
{
	return err == -ENXIO ? -ESTALE : err;
}

/* remote_sync.c */
#define ORCHFS_UNSYNCED_AGE	(60 * HZ)	/* write-back is faster there */

void orchfs_remote_written(struct orchfs_rinode *ri, u64 verifier, bool synced,
			   loff_t end);
int orchfs_remote_commit(struct inode *inode);
void orchfs_remote_forget(struct inode *inode);
struct orchfs_unsynced *orchfs_unsynced_new(struct super_block *sb,
					    errseq_t *wb_err,
					    unsigned long age);
int orchfs_unsynced_commit(struct orchfs_unsynced *u, long patience);
void orchfs_unsynced_stop(struct orchfs_unsynced *u);
unsigned int orchfs_unsynced_end(struct orchfs_unsynced *u);
void orchfs_unsynced_free(struct orchfs_unsynced *u);

/* remote_map.c */
extern const struct address_space_operations orchfs_remote_aops;
extern const struct netfs_request_ops orchfs_remote_netfs_ops;
int orchfs_remote_mmap(struct file *file, struct vm_area_struct *vma);

#endif
