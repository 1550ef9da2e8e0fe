// SPDX-License-Identifier: GPL-2.0-only
/*
 * Mount options: parse, show, change at remount.
 */
#include <linux/fs_context.h>
#include <linux/fs_parser.h>
#include <linux/seq_file.h>
#include <linux/slab.h>

#include "vfs.h"

enum {
	Opt_upcall_timeout,
	Opt_upcall_errno,
};

static const struct constant_table orchfs_upcall_errno[] = {
	{ "EIO",	EIO },
	{ "ETIMEDOUT",	ETIMEDOUT },
	{ "ESTALE",	ESTALE },
	{}
};

const struct fs_parameter_spec orchfs_fs_parameters[] = {
	fsparam_u32("upcall_timeout", Opt_upcall_timeout),
	fsparam_enum("upcall_errno", Opt_upcall_errno, orchfs_upcall_errno),
	{}
};

static const char *orchfs_errno_name(int error)
{
	const struct constant_table *c;

	for (c = orchfs_upcall_errno; c->name; c++)
		if (c->value == -error)
			return c->name;
	return "EIO";
}

/* "source" is the VFS's own: it is split when the tree is wanted. */
static int orchfs_parse_param(struct fs_context *fc,
			      struct fs_parameter *param)
{
	struct orchfs_fc *ofc = fc->fs_private;
	struct fs_parse_result result;
	int opt;

	opt = fs_parse(fc, orchfs_fs_parameters, param, &result);
	if (opt < 0)
		return opt;

	switch (opt) {
	case Opt_upcall_timeout:
		if (!result.uint_32 || result.uint_32 > ORCHFS_TIMEOUT_MAX)
			return invalfc(fc, "upcall_timeout=%u is out of range, give 1 to %u seconds",
				       result.uint_32, ORCHFS_TIMEOUT_MAX);
		ofc->timeout = result.uint_32;
		return 0;
	case Opt_upcall_errno:
		ofc->error = -result.uint_32;
		return 0;
	}
	return -EINVAL;
}

/**
 * orchfs_options_agree() - check the options of a further mount
 * @fc: the mount; told what doesn't fit
 * @sb: the super block that all mounts of the namespace share
 *
 * An option that would be ignored without a word is refused: a mount with
 * "sync" promises what one without it doesn't keep.
 *
 * Return: 0 or -EBUSY.
 */
int orchfs_options_agree(struct fs_context *fc, const struct super_block *sb)
{
	const struct orchfs_fc *ofc = fc->fs_private;
	const struct orchfs_sb *sbi = ORCHFS_SB(sb);
	unsigned long sync = SB_SYNCHRONOUS | SB_DIRSYNC;

	if (ofc->timeout && ofc->timeout != sbi->upcall_timeout) {
		errorfc(fc, "namespace %s is mounted with upcall_timeout=%u, which all its mounts share: change it with mount -o remount,upcall_timeout=%u on one of them",
			sbi->channel->name, sbi->upcall_timeout, ofc->timeout);
		return -EBUSY;
	}
	if (ofc->error && ofc->error != sbi->upcall_errno) {
		errorfc(fc, "namespace %s is mounted with upcall_errno=%s, which all its mounts share: change it with mount -o remount,upcall_errno=%s on one of them",
			sbi->channel->name,
			orchfs_errno_name(sbi->upcall_errno),
			orchfs_errno_name(ofc->error));
		return -EBUSY;
	}
	if (fc->sb_flags & sync & ~sb->s_flags) {
		errorfc(fc, "namespace %s is mounted without sync or dirsync, which all its mounts share: add it with mount -o remount,%s on one of them",
			sbi->channel->name,
			fc->sb_flags & SB_SYNCHRONOUS ? "sync" : "dirsync");
		return -EBUSY;
	}
	return 0;
}

/*
 * Read-only is a property of the mount, which the caller sets by itself; the
 * super block stays writable for the others. An emergency remount means all.
 */
static int orchfs_reconfigure(struct fs_context *fc)
{
	const struct orchfs_fc *ofc = fc->fs_private;
	struct orchfs_sb *sbi = ORCHFS_SB(fc->root->d_sb);

	if (!(fc->sb_flags & SB_FORCE))
		fc->sb_flags &= ~SB_RDONLY;
	if (ofc->timeout)
		WRITE_ONCE(sbi->upcall_timeout, ofc->timeout);
	if (ofc->error)
		WRITE_ONCE(sbi->upcall_errno, ofc->error);
	return 0;
}

int orchfs_show_options(struct seq_file *m, struct dentry *root)
{
	const struct orchfs_sb *sbi = ORCHFS_SB(root->d_sb);

	if (sbi->upcall_timeout != ORCHFS_TIMEOUT_DEFAULT)
		seq_printf(m, ",upcall_timeout=%u", sbi->upcall_timeout);
	if (sbi->upcall_errno != -EIO)
		seq_printf(m, ",upcall_errno=%s",
			   orchfs_errno_name(sbi->upcall_errno));
	return 0;
}

static int orchfs_dup_fc(struct fs_context *fc, struct fs_context *src_fc)
{
	fc->fs_private = kmemdup(src_fc->fs_private, sizeof(struct orchfs_fc),
				 GFP_KERNEL);
	return fc->fs_private ? 0 : -ENOMEM;
}

static void orchfs_free_fc(struct fs_context *fc)
{
	kfree(fc->fs_private);
}

static const struct fs_context_operations orchfs_context_ops = {
	.parse_param	= orchfs_parse_param,
	.get_tree	= orchfs_get_tree,
	.reconfigure	= orchfs_reconfigure,
	.dup		= orchfs_dup_fc,
	.free		= orchfs_free_fc,
};

int orchfs_init_fs_context(struct fs_context *fc)
{
	fc->fs_private = kzalloc(sizeof(struct orchfs_fc), GFP_KERNEL);
	if (!fc->fs_private)
		return -ENOMEM;
	fc->ops = &orchfs_context_ops;
	return 0;
}
