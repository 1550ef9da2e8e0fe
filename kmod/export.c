// SPDX-License-Identifier: GPL-2.0-only
/*
 * Handles: name_to_handle_at, open_by_handle_at and nfsd.
 *
 * A handle is (namespace, inode, generation), with (parent, its generation)
 * where it has to be connectable. Inode numbers are never reused, so it is
 * good as long as the inode lives: over restarts of the daemon, remounts and
 * reboots. What isn't in memory is asked for by number, one upcall.
 */
#include <linux/exportfs.h>
#include <linux/jhash.h>

#include "vfs.h"
#include "trace.h"

/* Not of enum fid_type, whose readers don't know of the namespace. */
#define ORCHFS_FH		0x71
#define ORCHFS_FH_PARENT	0x72

/**
 * struct orchfs_fh - a handle, in 32-bit words as it travels
 * @ns: of the namespace's UUID
 * @ino: lower half first
 * @generation: of the inode
 * @parent: with ORCHFS_FH_PARENT only, likewise
 * @parent_generation: with ORCHFS_FH_PARENT only
 */
struct orchfs_fh {
	u32 ns;
	u32 ino[2];
	u32 generation;
	u32 parent[2];
	u32 parent_generation;
};

#define ORCHFS_FH_WORDS		(offsetof(struct orchfs_fh, parent) / 4)
#define ORCHFS_FH_PARENT_WORDS	(sizeof(struct orchfs_fh) / 4)

static u32 orchfs_fh_ns(const struct super_block *sb)
{
	return jhash(sb->s_uuid.b, sizeof(sb->s_uuid.b), 0);
}

static int orchfs_encode_fh(struct inode *inode, __u32 *words, int *len,
			    struct inode *parent)
{
	int need = parent ? ORCHFS_FH_PARENT_WORDS : ORCHFS_FH_WORDS;
	struct orchfs_fh *fh = (struct orchfs_fh *)words;
	int room = *len;

	BUILD_BUG_ON(sizeof(*fh) != 28);
	*len = need;
	if (room < need)
		return FILEID_INVALID;
	fh->ns = orchfs_fh_ns(inode->i_sb);
	fh->ino[0] = lower_32_bits(inode->i_ino);
	fh->ino[1] = upper_32_bits(inode->i_ino);
	fh->generation = inode->i_generation;
	if (!parent)
		return ORCHFS_FH;
	fh->parent[0] = lower_32_bits(parent->i_ino);
	fh->parent[1] = upper_32_bits(parent->i_ino);
	fh->parent_generation = parent->i_generation;
	return ORCHFS_FH_PARENT;
}

/* Ask by number. An inode without links that nobody holds is as good as gone. */
static struct inode *orchfs_iget_number(struct super_block *sb, u64 ino)
{
	struct orchfs_stamp stamp = orchfs_stamp_sb(sb);
	struct orchfs_args args = {
		.kind = ORCHFS_KIND_GETATTR,
		.node = ino,
	};
	struct orchfs_result res;
	struct inode *inode;
	int ret;

	ret = orchfs_upcall(sb, &args, &res);
	if (ret == -ENOENT || (!ret && (res.attr.ino != ino ||
					!res.attr.nlink)))
		ret = -ESTALE;
	inode = ret ? ERR_PTR(ret) :
		orchfs_iget(sb, &res.attr, res.target,
			    res.target ? strlen(res.target) : 0, &stamp);
	orchfs_result_free(&res);
	return inode;
}

static struct inode *orchfs_iget_handle(struct super_block *sb, u64 ino,
					u32 generation)
{
	struct inode *inode;
	int ret = 0;

	inode = ilookup(sb, ino);
	if (!inode)
		inode = orchfs_iget_number(sb, ino);
	else if (!is_bad_inode(inode) && orchfs_inode_stale(inode))
		ret = orchfs_inode_revalidate(inode);
	if (IS_ERR(inode))
		return inode;
	if (!ret && (is_bad_inode(inode) || inode->i_generation != generation))
		ret = -ESTALE;
	if (!ret)
		return inode;
	iput(inode);
	return ERR_PTR(ret);
}

/* A dentry that nobody has a name of is looked up before its name is used. */
static struct dentry *orchfs_obtain(struct inode *inode)
{
	struct dentry *dentry = d_obtain_alias(inode);

	if (!IS_ERR(dentry) && IS_ROOT(dentry))
		orchfs_stamp_clear(dentry);
	return dentry;
}

static struct dentry *orchfs_decode(struct super_block *sb, const u32 *number,
				    u32 generation)
{
	u64 ino = number[0] | (u64)number[1] << 32;
	struct inode *inode = orchfs_iget_handle(sb, ino, generation);

	/* of what isn't found there is nothing but the root to name */
	trace_orchfs_inode_op(ORCHFS_TRACE_DECODE_HANDLE,
			      IS_ERR(inode) ? d_inode(sb->s_root) : inode,
			      PTR_ERR_OR_ZERO(inode));
	return orchfs_obtain(inode);
}

static bool orchfs_fh_ours(const struct super_block *sb,
			   const struct orchfs_fh *fh, int len, int type)
{
	if (type != ORCHFS_FH && type != ORCHFS_FH_PARENT)
		return false;
	return len >= (type == ORCHFS_FH ? ORCHFS_FH_WORDS :
					   ORCHFS_FH_PARENT_WORDS) &&
	       fh->ns == orchfs_fh_ns(sb);
}

static struct dentry *orchfs_fh_to_dentry(struct super_block *sb,
					  struct fid *fid, int len, int type)
{
	const struct orchfs_fh *fh = (const struct orchfs_fh *)fid->raw;

	if (!orchfs_fh_ours(sb, fh, len, type))
		return ERR_PTR(-ESTALE);
	return orchfs_decode(sb, fh->ino, fh->generation);
}

static struct dentry *orchfs_fh_to_parent(struct super_block *sb,
					  struct fid *fid, int len, int type)
{
	const struct orchfs_fh *fh = (const struct orchfs_fh *)fid->raw;

	if (type != ORCHFS_FH_PARENT || !orchfs_fh_ours(sb, fh, len, type))
		return ERR_PTR(-ESTALE);
	return orchfs_decode(sb, fh->parent, fh->parent_generation);
}

/* Where an inode is: in @dir, or of a directory its parent for 0. */
static int orchfs_lookup_parent(struct inode *inode, u64 dir,
				struct orchfs_result *res)
{
	static const struct qstr dotdot = QSTR_INIT("..", 2);
	struct orchfs_args args = {
		.kind = ORCHFS_KIND_LOOKUP,
		.node = inode->i_ino,
		.name = &dotdot,
		.node2 = dir,
	};
	int ret = orchfs_upcall(inode->i_sb, &args, res);

	if (!ret && (!res->name || !S_ISDIR(res->attr.mode) ||
		     (dir && res->attr.ino != dir)))
		ret = -EPROTO;
	return ret;
}

static struct dentry *orchfs_get_parent(struct dentry *child)
{
	struct super_block *sb = child->d_sb;
	struct orchfs_stamp stamp = orchfs_stamp_sb(sb);
	struct orchfs_result res;
	struct inode *inode;
	int ret;

	ret = orchfs_lookup_parent(d_inode(child), 0, &res);
	if (ret == -ENOENT)
		ret = -ESTALE;
	inode = ret ? ERR_PTR(ret) :
		orchfs_iget(sb, &res.attr, NULL, 0, &stamp);
	orchfs_result_free(&res);
	trace_orchfs_inode_op(ORCHFS_TRACE_GET_PARENT, d_inode(child), ret);
	return orchfs_obtain(inode);
}

/* Spares exportfs to read the directory until it meets the inode. */
static int orchfs_get_name(struct dentry *parent, char *name,
			   struct dentry *child)
{
	struct orchfs_result res;
	int ret;

	ret = orchfs_lookup_parent(d_inode(child), d_inode(parent)->i_ino,
				   &res);
	if (!ret)
		strscpy(name, res.name, NAME_MAX + 1);
	orchfs_result_free(&res);
	trace_orchfs_inode_op(ORCHFS_TRACE_GET_NAME, d_inode(child), ret);
	return ret;
}

/* What nfsd has answered survives a power cut. */
static int orchfs_commit_metadata(struct inode *inode)
{
	return orchfs_commit_times(inode) ?:
	       orchfs_durable_names(inode, false);
}

const struct export_operations orchfs_export_ops = {
	.encode_fh	= orchfs_encode_fh,
	.fh_to_dentry	= orchfs_fh_to_dentry,
	.fh_to_parent	= orchfs_fh_to_parent,
	.get_parent	= orchfs_get_parent,
	.get_name	= orchfs_get_name,
	.commit_metadata = orchfs_commit_metadata,
};
