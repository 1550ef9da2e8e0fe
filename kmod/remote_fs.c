// SPDX-License-Identifier: GPL-2.0-only
/*
 * Remote instances as inodes of a file system that nobody mounts, so that
 * layouts can have anchors of them. An inode lives as long as something is
 * anchored on it or open, or something that was written isn't known to be
 * durable, and not longer: nothing else that is cached here is worth more than
 * the layout that brought it.
 *
 * Inodes are found by a table of our own. That of the VFS makes who looks for an
 * inode wait for the end of one that is going, which may have pages under way;
 * and who looks is the daemon, with a message.
 */
#include <linux/cred.h>
#include <linux/hashtable.h>
#include <linux/jhash.h>
#include <linux/magic.h>
#include <linux/mount.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/pseudo_fs.h>
#include <linux/slab.h>
#include <linux/stat.h>

#include "layout.h"
#include "remote.h"

#define REMOTE_HASH_BITS	12
/* Pages that are read ahead, and around a fault */
#define REMOTE_READAHEAD	(SZ_1M / PAGE_SIZE)

static struct vfsmount *remote_mnt;
static struct kmem_cache *remote_cache;
static DEFINE_HASHTABLE(remote_table, REMOTE_HASH_BITS);
/* remote_table; outside of i_lock */
static DEFINE_SPINLOCK(remote_lock);

static u32 remote_hash(const struct orchfs_peer *peer,
		       const struct orchfs_remote_id *id)
{
	return jhash_2words(hash_ptr(peer, 32), lower_32_bits(id->instance),
			    lower_32_bits(id->ino));
}

static bool remote_id_equal(const struct orchfs_remote_id *a,
			    const struct orchfs_remote_id *b)
{
	return a->volume == b->volume && a->ino == b->ino &&
	       a->version == b->version && a->instance == b->instance;
}

/* With a reference; one that is on its way out isn't found. */
static struct inode *remote_find_locked(const struct orchfs_peer *peer,
					const struct orchfs_remote_id *id)
{
	struct orchfs_rinode *ri;
	struct inode *inode;

	lockdep_assert_held(&remote_lock);

	hash_for_each_possible(remote_table, ri, hash, remote_hash(peer, id)) {
		if (ri->peer != peer || !remote_id_equal(&ri->id, id))
			continue;
		inode = igrab(&ri->netfs.inode);
		if (inode)
			return inode;
	}
	return NULL;
}

static struct inode *remote_find(const struct orchfs_peer *peer,
				 const struct orchfs_remote_id *id)
{
	struct inode *inode;

	spin_lock(&remote_lock);
	inode = remote_find_locked(peer, id);
	spin_unlock(&remote_lock);
	return inode;
}

static struct inode *remote_alloc_inode(struct super_block *sb)
{
	struct orchfs_rinode *ri = alloc_inode_sb(sb, remote_cache, GFP_KERNEL);

	if (!ri)
		return NULL;
	/* all but the inode, which was made with the slab */
	memset_startat(ri, 0, netfs.ops);
	return &ri->netfs.inode;
}

static void remote_free_inode(struct inode *inode)
{
	kmem_cache_free(remote_cache, ORCHFS_RI(inode));
}

static void remote_init_once(void *ri)
{
	inode_init_once(&((struct orchfs_rinode *)ri)->netfs.inode);
}

static struct inode *remote_make(struct orchfs_peer *peer,
				 const struct orchfs_remote_id *id)
{
	struct inode *inode = new_inode(remote_mnt->mnt_sb);
	struct orchfs_rinode *ri;

	if (!inode)
		return NULL;
	ri = ORCHFS_RI(inode);
	ri->id = *id;
	INIT_LIST_HEAD(&ri->unsynced_node);
	ri->remote = orchfs_remote_new(peer, id);
	if (!ri->remote) {
		iput(inode);
		return NULL;
	}
	ri->peer = peer;
	inode->i_ino = id->ino;
	inode->i_mode = S_IFREG | 0600;
	/* security modules have judged the file of orchfs */
	inode->i_flags |= S_PRIVATE | S_NOATIME | S_NOCMTIME;
	inode->i_op = &orchfs_remote_iops;
	inode->i_fop = &orchfs_remote_fops;
	inode->i_mapping->a_ops = &orchfs_remote_aops;
	mapping_set_large_folios(inode->i_mapping);
	netfs_inode_init(&ri->netfs, &orchfs_remote_netfs_ops, false);
	return inode;
}

/* The one in the table, if somebody was faster. */
static struct inode *remote_find_or_make(struct orchfs_peer *peer,
					 const struct orchfs_remote_id *id)
{
	struct inode *inode = remote_find(peer, id), *made;

	if (inode)
		return inode;
	made = remote_make(peer, id);
	if (!made)
		return NULL;
	spin_lock(&remote_lock);
	inode = remote_find_locked(peer, id);
	if (!inode)
		hash_add(remote_table, &ORCHFS_RI(made)->hash,
			 remote_hash(peer, id));
	spin_unlock(&remote_lock);
	if (!inode)
		return made;
	iput(made);
	return inode;
}

static void remote_evict_inode(struct inode *inode)
{
	struct orchfs_rinode *ri = ORCHFS_RI(inode);

	spin_lock(&remote_lock);
	hash_del(&ri->hash);
	spin_unlock(&remote_lock);
	/* Nobody waits for what is still read ahead. */
	if (atomic_read(&ri->netfs.io_count))
		orchfs_remote_cancel(ri->remote);
	netfs_wait_for_outstanding_io(inode);
	truncate_inode_pages_final(&inode->i_data);
	clear_inode(inode);
	/* the root has none */
	if (ri->remote)
		orchfs_remote_put(ri->remote);
}

static const struct super_operations remote_super_ops = {
	.alloc_inode	= remote_alloc_inode,
	.free_inode	= remote_free_inode,
	.drop_inode	= generic_delete_inode,
	.evict_inode	= remote_evict_inode,
	.statfs		= simple_statfs,
};

static int remote_init_fs_context(struct fs_context *fc)
{
	struct pseudo_fs_context *ctx = init_pseudo(fc, ORCHFS_REMOTE_MAGIC);

	if (!ctx)
		return -ENOMEM;
	ctx->ops = &remote_super_ops;
	return 0;
}

/* No owner: the only mount is the module's own. */
static struct file_system_type remote_fs_type = {
	.name			= "orchfs_remote",
	.init_fs_context	= remote_init_fs_context,
	.kill_sb		= kill_anon_super,
};

/* Read-ahead goes by the backing device, and counts in requests. */
static int remote_mount(void)
{
	struct backing_dev_info *bdi;
	int ret;

	remote_mnt = kern_mount(&remote_fs_type);
	if (IS_ERR(remote_mnt))
		return PTR_ERR(remote_mnt);
	ret = super_setup_bdi(remote_mnt->mnt_sb);
	if (ret) {
		kern_unmount(remote_mnt);
		return ret;
	}
	bdi = remote_mnt->mnt_sb->s_bdi;
	bdi->ra_pages = REMOTE_READAHEAD;
	bdi->io_pages = REMOTE_READAHEAD;
	return 0;
}

int __init orchfs_remote_init(void)
{
	int ret;

	remote_cache = kmem_cache_create("orchfs_remote",
					 sizeof(struct orchfs_rinode), 0,
					 SLAB_RECLAIM_ACCOUNT | SLAB_ACCOUNT,
					 remote_init_once);
	if (!remote_cache)
		return -ENOMEM;
	ret = orchfs_remote_io_init();
	if (ret)
		goto err_destroy_cache;
	ret = remote_mount();
	if (ret)
		goto err_io_exit;
	return 0;

err_io_exit:
	orchfs_remote_io_exit();
err_destroy_cache:
	kmem_cache_destroy(remote_cache);
	return ret;
}

void orchfs_remote_exit(void)
{
	kern_unmount(remote_mnt);
	orchfs_remote_io_exit();
	/* inodes are freed after a grace period */
	rcu_barrier();
	kmem_cache_destroy(remote_cache);
}

/**
 * orchfs_remote_anchor() - the anchor of a remote instance
 * @net: network namespace of the channel
 * @uuid: of its namespace
 * @peer: node that serves the instance
 * @id: of the instance
 * @token: that a layout brought; whoever has the instance uses it from now on
 * @out: a counted path, on success
 *
 * Waits for nothing but memory.
 *
 * Return: 0; -ENOMEM; errors of orchfs_remote_token().
 */
int orchfs_remote_anchor(struct net *net, const u8 *uuid, u32 peer,
			 const struct orchfs_remote_id *id,
			 const u8 token[ORCHFS_TOKEN_LEN], struct path *out)
{
	struct orchfs_peer *p = orchfs_peer_get(net, uuid, peer);
	struct dentry *dentry;
	struct inode *inode;
	int ret;

	if (!p)
		return -ENOMEM;
	inode = remote_find_or_make(p, id);
	orchfs_peer_put(p);
	if (!inode)
		return -ENOMEM;
	ret = orchfs_remote_token(ORCHFS_RI(inode)->remote, token);
	if (ret) {
		iput(inode);
		return ret;
	}
	dentry = d_obtain_alias(inode);
	if (IS_ERR(dentry))
		return PTR_ERR(dentry);
	out->mnt = mntget(remote_mnt);
	out->dentry = dentry;
	return 0;
}

/**
 * orchfs_remote_held() - a layout with this instance was put on an inode
 * @inode: of the instance
 * @outer: of orchfs; its i_lock is held
 * @patience: the mount's upcall_timeout
 *
 * Until the peer has told, size and times are those of the record.
 */
void orchfs_remote_held(struct inode *inode, const struct inode *outer,
			unsigned int patience)
{
	struct orchfs_rinode *ri = ORCHFS_RI(inode);

	lockdep_assert_held(&outer->i_lock);

	WRITE_ONCE(ri->patience, patience);
	WRITE_ONCE(ri->unsynced_in, ORCHFS_SB(outer->i_sb)->unsynced);
	spin_lock(&inode->i_lock);
	if (!ri->asked && !ri->writes && !ri->cuts) {
		i_size_write(inode, i_size_read(outer));
		inode->i_blocks = outer->i_blocks;
	}
	spin_unlock(&inode->i_lock);
}

/* What was read ahead may be old where anything has changed there. */
static bool remote_attr_apply(struct inode *inode, u64 number, u64 writes,
			      u64 cuts, const struct orchfs_remote_attr *attr)
{
	struct orchfs_rinode *ri = ORCHFS_RI(inode);
	loff_t size = attr->size;
	bool changed = false;

	spin_lock(&inode->i_lock);
	/* one that was asked for later knows at least as much */
	if (number <= ri->applied)
		goto out_unlock;
	ri->applied = number;
	changed = !ri->asked || ri->change != attr->change ||
		  i_size_read(inode) != size;
	ri->change = attr->change;
	/* Ours that ended meanwhile may have come later there. */
	if (ri->cuts != cuts)
		size = i_size_read(inode);
	else if (ri->writes != writes)
		size = max(size, i_size_read(inode));
	i_size_write(inode, size);
	inode->i_blocks = attr->blocks;
	inode_set_atime(inode, attr->atime_sec, attr->atime_nsec);
	inode_set_mtime(inode, attr->mtime_sec, attr->mtime_nsec);
	inode_set_ctime(inode, attr->ctime_sec, attr->ctime_nsec);
	WRITE_ONCE(ri->asked, true);
out_unlock:
	spin_unlock(&inode->i_lock);
	return changed;
}

/**
 * orchfs_remote_ask() - ask the peer for size and times
 * @inode: of an instance
 *
 * Drops what is cached of the contents if they have changed.
 *
 * Return: 0; -EINTR; -EIO when no connection came in time; errors for which
 * orchfs_refused() holds, and what the peer says.
 */
int orchfs_remote_ask(struct inode *inode)
{
	struct orchfs_rinode *ri = ORCHFS_RI(inode);
	u64 number, writes, cuts;
	struct orchfs_rio rio;
	int ret;

	orchfs_rio_init(ri, &rio, ORCHFS_OP_GETATTR);
	spin_lock(&inode->i_lock);
	number = ++ri->sent;
	writes = ri->writes;
	cuts = ri->cuts;
	spin_unlock(&inode->i_lock);
	ret = orchfs_rio_run(ri, &rio);
	if (ret)
		return ret;
	if (rio.attr.size > MAX_LFS_FILESIZE)
		return -EIO;
	if (remote_attr_apply(inode, number, writes, cuts, &rio.attr) &&
	    inode->i_mapping->nrpages)
		invalidate_inode_pages2(inode->i_mapping);
	return 0;
}

/**
 * orchfs_remote_renew() - get a fresh layout where none can be had outside
 * @file: a backing file that is remote
 * @write: to write
 *
 * For faults and for asynchronous I/O; see orchfs_layout_renew().
 *
 * Return: 0 if there is one; -EIO where the file is another's backing file in
 * turn, and its inode isn't known.
 */
int orchfs_remote_renew(const struct file *file, bool write)
{
	struct inode *outer = d_inode(file_user_path(file)->dentry);

	if (outer->i_sb->s_magic != ORCHFS_SUPER_MAGIC)
		return -EIO;
	return orchfs_layout_renew(outer, write);
}

static int remote_getattr(struct mnt_idmap *idmap, const struct path *path,
			  struct kstat *stat, u32 mask, unsigned int flags)
{
	struct inode *inode = d_inode(path->dentry);
	int ret = 0;

	if (!(flags & AT_STATX_DONT_SYNC))
		ret = orchfs_remote_ask(inode);
	if (ret)
		return ret;
	generic_fillattr(idmap, mask, inode, stat);
	if (mask & STATX_DIOALIGN) {
		/* It goes by way of the peer's page cache. */
		stat->dio_mem_align = 1;
		stat->dio_offset_align = 1;
		stat->result_mask |= STATX_DIOALIGN;
	}
	return 0;
}

static int remote_truncate(struct inode *inode, loff_t size)
{
	struct orchfs_rinode *ri = ORCHFS_RI(inode);
	struct orchfs_rio rio;
	loff_t old;
	int ret;

	orchfs_rio_init(ri, &rio, ORCHFS_OP_TRUNCATE);
	rio.offset = size;
	ret = orchfs_rio_run(ri, &rio);
	if (ret)
		return ret;
	spin_lock(&inode->i_lock);
	ri->cuts++;
	old = i_size_read(inode);
	i_size_write(inode, size);
	spin_unlock(&inode->i_lock);
	orchfs_remote_written(ri, rio.verifier, false, 0);
	/* what is behind the end of the last page becomes zero as it was read */
	if (size > old)
		invalidate_inode_pages2_range(inode->i_mapping,
					      old >> PAGE_SHIFT,
					      old >> PAGE_SHIFT);
	else
		truncate_pagecache(inode, size);
	return 0;
}

/* Times that somebody sets are the record's. */
static int remote_setattr(struct mnt_idmap *idmap, struct dentry *dentry,
			  struct iattr *ia)
{
	if (!(ia->ia_valid & ATTR_SIZE))
		return -EOPNOTSUPP;
	return remote_truncate(d_inode(dentry), ia->ia_size);
}

const struct inode_operations orchfs_remote_iops = {
	.getattr	= remote_getattr,
	.setattr	= remote_setattr,
};
