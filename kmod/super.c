// SPDX-License-Identifier: GPL-2.0-only
/*
 * Super blocks: one for each namespace in a network namespace, shared by all
 * its mounts, those of directories in it too.
 */
#include <linux/exportfs.h>
#include <linux/fs_context.h>
#include <linux/mount.h>
#include <linux/slab.h>
#include <linux/statfs.h>
#include <linux/unaligned.h>
#include <net/net_namespace.h>

#include "layout.h"
#include "remote.h"
#include "vfs.h"
#include "trace.h"

static bool orchfs_detached(const struct super_block *sb)
{
	return READ_ONCE(ORCHFS_SB(sb)->channel->state) != ORCHFS_READY;
}

/**
 * orchfs_contents_changed() - the volumes have something to write back
 * @inode: whose contents have changed; not to be called before they have
 *
 * Any context.
 */
void orchfs_contents_changed(struct inode *inode)
{
	struct orchfs_sb *sbi = ORCHFS_SB(inode->i_sb);

	/* the contents come first; pairs with orchfs_sync_begin() */
	smp_mb();
	if (!READ_ONCE(sbi->written))
		WRITE_ONCE(sbi->written, true);
}

/**
 * orchfs_mapped() - contents are about to be changed unseen
 * @inode: a regular file that is open, and will be mapped
 */
void orchfs_mapped(struct inode *inode)
{
	struct orchfs_sb *sbi = ORCHFS_SB(inode->i_sb);

	spin_lock(&sbi->lock);
	if (list_empty(&ORCHFS_I(inode)->mapped))
		list_add_tail(&ORCHFS_I(inode)->mapped, &sbi->mapped);
	spin_unlock(&sbi->lock);
}

/**
 * orchfs_unmapped() - an inode that may have been mapped goes
 * @inode: a regular file that nobody uses
 */
void orchfs_unmapped(struct inode *inode)
{
	struct orchfs_sb *sbi = ORCHFS_SB(inode->i_sb);

	if (list_empty_careful(&ORCHFS_I(inode)->mapped))
		return;
	spin_lock(&sbi->lock);
	list_del_init(&ORCHFS_I(inode)->mapped);
	WRITE_ONCE(sbi->written, true);
	spin_unlock(&sbi->lock);
}

/* While the file is open, somebody may be about to map it. */
static bool orchfs_may_be_mapped(struct orchfs_inode *oi)
{
	struct inode *inode = &oi->vfs_inode;
	struct orchfs_layout *lay;
	bool mapped = true;

	spin_lock(&inode->i_lock);
	if (!oi->open) {
		lay = rcu_dereference_protected(oi->layout,
						lockdep_is_held(&inode->i_lock));
		mapped = lay && lay->inode &&
			 mapping_writably_mapped(lay->inode->i_mapping);
	}
	spin_unlock(&inode->i_lock);
	return mapped;
}

/* Was anything mapped since the last sync? Forgets what is no more. */
static bool orchfs_mapped_locked(struct orchfs_sb *sbi)
{
	bool any = !list_empty(&sbi->mapped);
	struct orchfs_inode *oi, *next;

	lockdep_assert_held(&sbi->lock);
	list_for_each_entry_safe(oi, next, &sbi->mapped, mapped)
		if (!orchfs_may_be_mapped(oi))
			list_del_init(&oi->mapped);
	return any;
}

/*
 * Has the namespace nothing that isn't durable? Names are known by their
 * transactions, contents by whether any changed since the last sync began that
 * has ended well; while one is under way, nobody knows. Returns false if so,
 * else orchfs_sync_end() is due.
 */
static bool orchfs_sync_begin(struct orchfs_sb *sbi)
{
	bool durable = (u64)atomic64_read(&sbi->txn) <=
		       (u64)atomic64_read(&sbi->channel->durable);

	spin_lock(&sbi->lock);
	durable = !orchfs_mapped_locked(sbi) && durable &&
		  !READ_ONCE(sbi->written) && !READ_ONCE(sbi->removed) &&
		  !sbi->syncing;
	if (!durable) {
		sbi->syncing++;
		WRITE_ONCE(sbi->written, false);
		WRITE_ONCE(sbi->removed, false);
	}
	spin_unlock(&sbi->lock);
	/* what changes from now on is marked after this, or written back */
	smp_mb();
	return !durable;
}

static void orchfs_sync_end(struct orchfs_sb *sbi, int ret)
{
	spin_lock(&sbi->lock);
	sbi->syncing--;
	if (ret) {
		WRITE_ONCE(sbi->written, true);
		WRITE_ONCE(sbi->removed, true);
	}
	spin_unlock(&sbi->lock);
}

/* The daemon makes volumes and store durable. */
static int orchfs_sync_barrier(struct super_block *sb)
{
	struct orchfs_args args = { .kind = ORCHFS_KIND_BARRIER };
	struct orchfs_sb *sbi = ORCHFS_SB(sb);
	struct orchfs_result res;
	int ret;

	if (!orchfs_sync_begin(sbi))
		return 0;
	orchfs_note_flush(sbi->channel);
	ret = orchfs_upcall(sb, &args, &res);
	orchfs_sync_end(sbi, ret);
	/*
	 * The next syncfs of each descriptor hears of it, as of a local drive's.
	 * Where nobody has answered nothing is lost, and it will be tried again.
	 */
	if (res.answered &&
	    (ret == -EIO || ret == -ENOSPC || ret == -EDQUOT))
		errseq_set(&sb->s_wb_err, ret);
	orchfs_result_free(&res);
	/* umount has taken the root away when it asks for the last time */
	if (sb->s_root)
		trace_orchfs_inode_op(ORCHFS_TRACE_SYNC_FS,
				      d_inode(sb->s_root), ret);
	return ret;
}

/*
 * An umount asks the daemon, but doesn't wait for one that isn't there, nor
 * longer than usual for other nodes.
 */
static int orchfs_sync_fs(struct super_block *sb, int wait)
{
	struct orchfs_sb *sbi = ORCHFS_SB(sb);
	bool dying = READ_ONCE(sbi->dying);
	int ret, err;

	if (!wait || (dying && orchfs_detached(sb)))
		return 0;
	ret = orchfs_sync_barrier(sb);
	err = orchfs_unsynced_commit(sbi->unsynced, dying ?
				     sbi->upcall_timeout * HZ :
				     MAX_SCHEDULE_TIMEOUT);
	return ret ?: err;
}

/**
 * orchfs_space_returns() - there was no space: is it worth trying again?
 * @sb: of a regular file that something was to be written to
 *
 * The space of removed files comes back when the daemon has deleted them, which
 * a sync waits for, and when nothing here pins their backing files any more.
 * Asks for a sync only where files were removed since the last, and there is a
 * daemon. The caller is in no gate.
 *
 * Return: whether to try again, once.
 */
bool orchfs_space_returns(struct super_block *sb)
{
	struct orchfs_sb *sbi = ORCHFS_SB(sb);
	bool coming;

	spin_lock(&sbi->lock);
	coming = READ_ONCE(sbi->removed) || sbi->syncing;
	spin_unlock(&sbi->lock);
	if (!coming || orchfs_detached(sb) || orchfs_sync_barrier(sb))
		return false;
	orchfs_layout_quiesce();
	return true;
}

/* Ask, and remember the answer. */
static int orchfs_statfs_upcall(struct super_block *sb, u64 node)
{
	struct orchfs_sb *sbi = ORCHFS_SB(sb);
	struct orchfs_args args = {
		.kind = ORCHFS_KIND_STATFS,
		.node = node,
	};
	struct orchfs_result res;
	int ret;

	ret = orchfs_upcall(sb, &args, &res);
	if (!ret) {
		spin_lock(&sbi->lock);
		sbi->statfs = res.statfs;
		spin_unlock(&sbi->lock);
	}
	orchfs_result_free(&res);
	return ret;
}

/*
 * While detached the last answer does: umount(8) asks too, and shall not wait
 * for a daemon that isn't there.
 */
static int orchfs_statfs(struct dentry *dentry, struct kstatfs *buf)
{
	struct super_block *sb = dentry->d_sb;
	struct orchfs_sb *sbi = ORCHFS_SB(sb);
	struct orchfs_statfs st;
	int ret = 0;

	if (!orchfs_detached(sb))
		ret = orchfs_statfs_upcall(sb, d_inode(dentry)->i_ino);
	trace_orchfs_inode_op(ORCHFS_TRACE_STATFS, d_inode(dentry), ret);
	if (ret)
		return ret;

	spin_lock(&sbi->lock);
	st = sbi->statfs;
	spin_unlock(&sbi->lock);
	buf->f_type = ORCHFS_SUPER_MAGIC;
	buf->f_bsize = st.bsize ?: sb->s_blocksize;
	buf->f_frsize = buf->f_bsize;
	buf->f_blocks = st.blocks;
	buf->f_bfree = st.bfree;
	buf->f_bavail = st.bavail;
	buf->f_files = st.files;
	buf->f_ffree = st.ffree;
	buf->f_namelen = ORCHFS_NAME_MAX;
	buf->f_fsid = u64_to_fsid(get_unaligned_le64(sb->s_uuid.b));
	return 0;
}

/*
 * sync_fs() has made everything durable by then, and mnt_want_write() keeps
 * new changes away; the volumes' own freezing is theirs.
 */
static int orchfs_freeze_fs(struct super_block *sb)
{
	return 0;
}

/* Undoes orchfs_channel_bind(). The daemon may drop the session's slots. */
static void orchfs_session_end(struct orchfs_sb *sbi)
{
	struct orchfs_note *note = sbi->note_umount;

	sbi->note_umount = NULL;
	note->kind = ORCHFS_KIND_NOTE_UMOUNT;
	note->session = sbi->channel->session;
	orchfs_note_queue(sbi->channel, note);
	orchfs_channel_unbind(sbi->channel);
}

/* Mirrors orchfs_fill_super(). Inodes are gone, the notices they left sent. */
static void orchfs_put_super(struct super_block *sb)
{
	unsigned int nr = orchfs_unsynced_end(ORCHFS_SB(sb)->unsynced);

	if (nr)
		pr_warn("orchfs: %s: umount before other nodes have made %u files durable\n",
			ORCHFS_SB(sb)->channel->name, nr);
	orchfs_session_end(ORCHFS_SB(sb));
	orchfs_layout_sb_exit(sb);
}

static const struct super_operations orchfs_super_ops = {
	.alloc_inode	= orchfs_alloc_inode,
	.free_inode	= orchfs_free_inode,
	.evict_inode	= orchfs_evict_inode,
	.put_super	= orchfs_put_super,
	.sync_fs	= orchfs_sync_fs,
	.freeze_fs	= orchfs_freeze_fs,
	.unfreeze_fs	= orchfs_freeze_fs,
	.statfs		= orchfs_statfs,
	.show_options	= orchfs_show_options,
};

static struct dentry *orchfs_make_root(struct super_block *sb)
{
	struct orchfs_stamp stamp = orchfs_stamp_sb(sb);
	struct orchfs_args args = {
		.kind = ORCHFS_KIND_MOUNT,
		.node = ORCHFS_ROOT_INO,
	};
	struct inode *inode = NULL;
	struct orchfs_result res;
	int ret;

	ret = orchfs_upcall(sb, &args, &res);
	if (!ret && res.attr.ino != ORCHFS_ROOT_INO)
		ret = -EPROTO;
	if (!ret) {
		inode = orchfs_iget(sb, &res.attr, NULL, 0, &stamp);
		ret = PTR_ERR_OR_ZERO(inode);
	}
	orchfs_result_free(&res);
	if (ret)
		return ERR_PTR(ret);
	trace_orchfs_inode_op(ORCHFS_TRACE_MOUNT, inode, 0);
	return d_make_root(inode) ?: ERR_PTR(-ENOMEM);
}

static int orchfs_fill_super(struct super_block *sb, struct fs_context *fc)
{
	struct orchfs_sb *sbi = ORCHFS_SB(sb);
	struct dentry *root;
	int ret;

	sbi->sb = sb;
	sb->s_magic = ORCHFS_SUPER_MAGIC;
	sb->s_maxbytes = MAX_LFS_FILESIZE;
	sb->s_max_links = S32_MAX;
	sb->s_blocksize = PAGE_SIZE;
	sb->s_blocksize_bits = PAGE_SHIFT;
	sb->s_time_gran = 1;
	sb->s_flags |= SB_NOSEC | SB_POSIXACL;
	/* a backing file system lies below */
	sb->s_stack_depth = 1;
	sb->s_op = &orchfs_super_ops;
	sb->s_d_op = &orchfs_dentry_ops;
	sb->s_xattr = orchfs_xattr_handlers;
	sb->s_export_op = &orchfs_export_ops;
	super_set_uuid(sb, sbi->channel->uuid, sizeof(sbi->channel->uuid));

	sbi->unsynced = orchfs_unsynced_new(sb, &sb->s_wb_err,
					    ORCHFS_UNSYNCED_AGE);
	if (!sbi->unsynced)
		return -ENOMEM;
	ret = super_setup_bdi(sb);
	if (ret)
		return ret;
	ret = orchfs_layout_sb_init(sb);
	if (ret)
		return ret;
	ret = orchfs_channel_bind(sbi->channel, sb);
	if (ret) {
		errorfc(fc, "namespace %s cannot be mounted now: %pe: see with orchctl status whether its daemon runs, and try again",
			sbi->channel->name, ERR_PTR(ret));
		goto err_layout_exit;
	}
	/* epochs count from 1, see orchfs_stamp_clear() */
	atomic64_inc(&sbi->channel->epoch);

	root = orchfs_make_root(sb);
	if (IS_ERR(root)) {
		ret = PTR_ERR(root);
		errorfc(fc, "orchd did not answer for namespace %s: %pe; look at its log and at orchctl status",
			sbi->channel->name, root);
		goto err_session_end;
	}
	sb->s_root = root;
	return 0;

err_session_end:
	orchfs_channel_sb_end(sbi->channel, sb);
	orchfs_locks_sb_end(sbi);
	orchfs_session_end(sbi);
err_layout_exit:
	orchfs_layout_sb_exit(sb);
	return ret;
}

/* RCU walk may still look at the epoch; the channel is freed like this too. */
static void orchfs_sb_free(struct orchfs_sb *sbi)
{
	orchfs_mmap_sb_exit(sbi);
	orchfs_unsynced_free(sbi->unsynced);
	orchfs_moved_sb_exit(sbi);
	xa_destroy(&sbi->prune);
	orchfs_note_free(sbi->note_umount);
	orchfs_channel_put(sbi->channel);
	put_net(sbi->net);
	kfree_rcu(sbi, rcu);
}

static struct orchfs_sb *orchfs_sb_alloc(struct fs_context *fc,
					 const char *name)
{
	const struct orchfs_fc *ofc = fc->fs_private;
	struct orchfs_channel *channel;
	struct orchfs_sb *sbi;

	channel = orchfs_channel_find(fc->net_ns, name, fc);
	if (IS_ERR(channel))
		return ERR_CAST(channel);
	sbi = kzalloc(sizeof(*sbi), GFP_KERNEL);
	if (!sbi)
		goto err_channel_put;
	sbi->note_umount = orchfs_note_alloc(GFP_KERNEL);
	if (!sbi->note_umount)
		goto err_free_sbi;
	sbi->channel = channel;
	sbi->net = get_net(fc->net_ns);
	sbi->upcall_timeout = ofc->timeout ?: ORCHFS_TIMEOUT_DEFAULT;
	sbi->upcall_errno = ofc->error ?: -EIO;
	spin_lock_init(&sbi->lock);
	INIT_LIST_HEAD(&sbi->vm_ops);
	INIT_LIST_HEAD(&sbi->mapped);
	INIT_LIST_HEAD(&sbi->unplaced);
	xa_init(&sbi->prune);
	INIT_WORK(&sbi->prune_work, orchfs_prune_work);
	orchfs_locks_sb_init(sbi);
	return sbi;

err_free_sbi:
	kfree(sbi);
err_channel_put:
	orchfs_channel_put(channel);
	return ERR_PTR(-ENOMEM);
}

/* The channel stands for network namespace and UUID. */
static int orchfs_test_super(struct super_block *sb, struct fs_context *fc)
{
	const struct orchfs_sb *sbi = fc->s_fs_info;

	return ORCHFS_SB(sb)->channel == sbi->channel;
}

/* The root of the namespace. */
static int orchfs_get_root(struct fs_context *fc, const char *name)
{
	struct super_block *sb;
	struct orchfs_sb *sbi;
	int ret;

	sbi = orchfs_sb_alloc(fc, name);
	if (IS_ERR(sbi))
		return PTR_ERR(sbi);

	fc->s_fs_info = sbi;
	sb = sget_fc(fc, orchfs_test_super, set_anon_super_fc);
	if (fc->s_fs_info) {
		/* it found another, or failed */
		fc->s_fs_info = NULL;
		orchfs_sb_free(sbi);
	}
	if (IS_ERR(sb))
		return PTR_ERR(sb);

	if (sb->s_root) {
		ret = orchfs_options_agree(fc, sb);
	} else {
		ret = orchfs_fill_super(sb, fc);
		if (!ret)
			sb->s_flags |= SB_ACTIVE;
	}
	if (ret) {
		deactivate_locked_super(sb);
		return ret;
	}
	fc->root = dget(sb->s_root);
	return 0;
}

/* A directory in the namespace: walked in a mount that nobody else sees. */
static int orchfs_get_subtree(struct fs_context *fc, const char *dir)
{
	struct fs_context *root_fc;
	struct orchfs_fc *ofc;
	struct super_block *sb;
	struct dentry *dentry;
	struct vfsmount *mnt;

	root_fc = vfs_dup_fs_context(fc);
	if (IS_ERR(root_fc))
		return PTR_ERR(root_fc);
	ofc = root_fc->fs_private;
	ofc->whole = true;
	root_fc->source = kstrdup(fc->source, GFP_KERNEL);
	mnt = root_fc->source ? fc_mount(root_fc) : ERR_PTR(-ENOMEM);
	put_fs_context(root_fc);
	if (IS_ERR(mnt))
		return PTR_ERR(mnt);

	/* consumes mnt; the super block comes back locked and active */
	dentry = mount_subtree(mnt, dir);
	if (IS_ERR(dentry)) {
		errorfc(fc, "cannot use directory %s of the namespace: %pe; mount the namespace itself and see what is there",
			dir, dentry);
		return PTR_ERR(dentry);
	}
	if (!d_can_lookup(dentry)) {
		errorfc(fc, "%s is not a directory of the namespace: name one, or mount the namespace itself",
			dir);
		sb = dentry->d_sb;
		dput(dentry);
		deactivate_locked_super(sb);
		return -ENOTDIR;
	}
	fc->root = dentry;
	return 0;
}

/**
 * orchfs_get_tree() - find or make what a mount asks for
 * @fc: its source is NAMESPACE or NAMESPACE:/DIRECTORY
 *
 * Return: 0 with fc->root, the super block locked; else a negative errno with
 * a text in @fc.
 */
int orchfs_get_tree(struct fs_context *fc)
{
	const struct orchfs_fc *ofc = fc->fs_private;
	char name[ORCHFS_NS_NAME_MAX + 1];
	const char *dir;
	size_t len;

	if (!fc->source || !*fc->source)
		return invalfc(fc, "no namespace given: mount -t orchfs NAMESPACE[:/DIR] MOUNTPOINT");
	dir = strchrnul(fc->source, ':');
	len = dir - fc->source;
	if (*dir)
		dir++;
	if (!len || len > ORCHFS_NS_NAME_MAX || (dir[-1] == ':' && *dir != '/'))
		return invalfc(fc, "'%s' is not NAMESPACE or NAMESPACE:/DIR with a namespace of 1 to %u bytes; orchctl status lists namespaces",
			       fc->source, ORCHFS_NS_NAME_MAX);
	memcpy(name, fc->source, len);
	name[len] = '\0';

	/* read-only belongs to the mount */
	fc->sb_flags &= ~SB_RDONLY;
	if (ofc->whole || !dir[strspn(dir, "/")])
		return orchfs_get_root(fc, name);
	return orchfs_get_subtree(fc, dir);
}

static void orchfs_kill_sb(struct super_block *sb)
{
	struct orchfs_sb *sbi = ORCHFS_SB(sb);

	spin_lock(&sbi->lock);
	sbi->dying = true;
	spin_unlock(&sbi->lock);
	cancel_work_sync(&sbi->prune_work);
	orchfs_unsynced_stop(sbi->unsynced);
	orchfs_channel_sb_end(sbi->channel, sb);
	orchfs_locks_sb_end(sbi);

	if (sb->s_root)
		trace_orchfs_inode_op(ORCHFS_TRACE_UMOUNT, d_inode(sb->s_root),
				      0);
	kill_anon_super(sb);
	orchfs_sb_free(sbi);
}

static struct file_system_type orchfs_fs_type = {
	.owner		= THIS_MODULE,
	.name		= "orchfs",
	.init_fs_context = orchfs_init_fs_context,
	.parameters	= orchfs_fs_parameters,
	.kill_sb	= orchfs_kill_sb,
	.fs_flags	= FS_ALLOW_IDMAP,
};

int __init orchfs_super_init(void)
{
	return register_filesystem(&orchfs_fs_type);
}

void orchfs_super_exit(void)
{
	unregister_filesystem(&orchfs_fs_type);
	/*
	 * Inodes are freed after a grace period, and notices with them, whose
	 * cache goes before that of the inodes.
	 */
	rcu_barrier();
}
