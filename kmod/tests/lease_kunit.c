// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a mount believes while other nodes change the namespace: leases, files
 * that another node writes, names that another node takes away. A namespace is
 * mounted whose daemon is a table here, which answers while it is asked.
 */
#include <kunit/test.h>
#include <linux/file.h>
#include <linux/fs_context.h>
#include <linux/mount.h>
#include <linux/namei.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <net/net_namespace.h>

#include "channel.h"
#include "nl_gen.h"
#include "vfs.h"

#define PORT	4712
#define FILE_INO	2
#define DIR_INO		3
#define FILE2_INO	4
#define DIR2_INO	5
#define DIR3_INO	6
#define YEAR_MS	(365ULL * 86400 * MSEC_PER_SEC)

/*
 * The namespace: /f and /g are files, /d and /e directories, /d/h is one, and
 * that is all.
 */
struct lease_daemon {
	struct orchfs_channel *ch;
	struct vfsmount *mnt;
	struct orchfs_attr attr[DIR3_INO + 1];
	u64 ino['h' + 1];		/* of a name; 0: absent */
	u64 h_dir;			/* where h is */
	u64 txn;
	umode_t acl_group;		/* what the ACL of a file grants it */
	unsigned int forgotten;		/* notices that arrived */
};

/* Notices are sent by workers, which belong to no test. */
static struct lease_daemon *lease_daemon;

static int daemon_acl(struct lease_daemon *d, struct orchfs_result *res)
{
	struct {
		struct posix_acl_xattr_header head;
		struct posix_acl_xattr_entry entry[5];
	} x = {
		.head.a_version = cpu_to_le32(POSIX_ACL_XATTR_VERSION),
		.entry = {
			{ cpu_to_le16(ACL_USER_OBJ), cpu_to_le16(7), 0 },
			{ cpu_to_le16(ACL_GROUP_OBJ),
			  cpu_to_le16(d->acl_group), 0 },
			{ cpu_to_le16(ACL_GROUP), cpu_to_le16(d->acl_group),
			  cpu_to_le32(77) },
			{ cpu_to_le16(ACL_MASK), cpu_to_le16(7), 0 },
			{ cpu_to_le16(ACL_OTHER), 0, 0 },
		},
	};
	struct sk_buff *skb = nlmsg_new(256, GFP_KERNEL);

	if (!skb)
		return -ENOMEM;
	if (nla_put(skb, ORCHFS_A_MSG_XATTR_VALUE, sizeof(x), &x)) {
		kfree_skb(skb);
		return -EMSGSIZE;
	}
	res->skb = skb;
	res->attrs = (struct nlattr *)skb->data;
	res->attrs_len = skb->len;
	return 0;
}

/* The root lists /f alone. */
static int daemon_list(struct lease_daemon *d, struct orchfs_result *res)
{
	struct sk_buff *skb = nlmsg_new(512, GFP_KERNEL);
	struct nlattr *entry;
	u64 cookie = 3;

	if (!skb)
		return -ENOMEM;
	entry = nla_nest_start(skb, ORCHFS_A_MSG_ENTRY);
	if (!entry || nla_put(skb, ORCHFS_A_ENTRY_NAME, 1, "f") ||
	    nla_put(skb, ORCHFS_A_ENTRY_COOKIE, sizeof(cookie), &cookie) ||
	    nla_put(skb, ORCHFS_A_ENTRY_ATTR, sizeof(d->attr[FILE_INO]),
		    &d->attr[FILE_INO])) {
		kfree_skb(skb);
		return -EMSGSIZE;
	}
	nla_nest_end(skb, entry);
	res->skb = skb;
	res->attrs = (struct nlattr *)skb->data;
	res->attrs_len = skb->len;
	res->eof = true;
	return 0;
}

static u64 *daemon_name(struct lease_daemon *d, const struct nlmsghdr *nlh,
			int type)
{
	const struct nlattr *name = nlmsg_find_attr(nlh, GENL_HDRLEN, type);
	u8 c = *(u8 *)nla_data(name);

	return nla_len(name) == 1 && c <= 'h' ? &d->ino[c] : &d->ino[0];
}

static int daemon_lookup(struct lease_daemon *d, u64 dir, u64 ino,
			 struct orchfs_result *res)
{
	if (!ino || !d->attr[ino].nlink ||
	    dir != (ino == DIR3_INO ? d->h_dir : ORCHFS_ROOT_INO))
		return -ENOENT;
	res->attr = d->attr[ino];
	res->has_attr = true;
	return 0;
}

/* By names, whatever the kernel takes them for. */
static int daemon_rename(struct lease_daemon *d, const struct nlmsghdr *nlh,
			 struct orchfs_result *res)
{
	u32 flags = nla_get_u32(nlmsg_find_attr(nlh, GENL_HDRLEN,
						ORCHFS_A_MSG_FLAGS));
	u64 *old = daemon_name(d, nlh, ORCHFS_A_MSG_NAME);
	u64 *new = daemon_name(d, nlh, ORCHFS_A_MSG_NAME2);
	u64 moved = *old, other = *new;
	bool exchange = flags & ORCHFS_REQ_FLAG_EXCHANGE;

	res->txn = ++d->txn;
	d->attr[moved].change = d->attr[other].change = res->txn;
	if (!exchange)
		d->attr[other].nlink = 0;
	res->attr = d->attr[moved];
	res->attr2 = d->attr[other];
	res->has_attr = res->has_attr2 = true;
	*new = moved;
	*old = exchange ? other : 0;
	return 0;
}

static int daemon_answer(struct lease_daemon *d, const struct nlmsghdr *nlh,
			 u32 kind, struct orchfs_result *res)
{
	u64 node = nla_get_u64(nlmsg_find_attr(nlh, GENL_HDRLEN,
					       ORCHFS_A_MSG_NODE));

	switch (kind) {
	case ORCHFS_KIND_LOOKUP:
		return daemon_lookup(d, node,
				     *daemon_name(d, nlh, ORCHFS_A_MSG_NAME),
				     res);
	case ORCHFS_KIND_RENAME:
		return daemon_rename(d, nlh, res);
	case ORCHFS_KIND_MOUNT:
	case ORCHFS_KIND_GETATTR:
		res->attr = d->attr[node];
		res->has_attr = true;
		return 0;
	case ORCHFS_KIND_GETXATTR:
		return daemon_acl(d, res);
	case ORCHFS_KIND_READDIR:
		return daemon_list(d, res);
	case ORCHFS_KIND_BARRIER:
		return 0;
	default:
		return -EOPNOTSUPP;
	}
}

static void daemon_notices(struct lease_daemon *d, const struct nlmsghdr *nlh)
{
	const struct nlattr *note, *kind;
	int rem;

	nlmsg_for_each_attr(note, nlh, GENL_HDRLEN, rem) {
		kind = nla_find_nested(note, ORCHFS_A_NOTE_KIND);
		d->forgotten += nla_get_u32(kind) == ORCHFS_KIND_NOTE_FORGET;
	}
}

static int daemon_send(struct orchfs_channel *ch, struct sk_buff *skb,
		       u32 portid)
{
	const struct nlmsghdr *nlh = nlmsg_hdr(skb);
	const struct genlmsghdr *genlh = nlmsg_data(nlh);
	struct orchfs_result res = {};
	struct orchfs_request *req;
	int status;

	if (genlh->cmd == ORCHFS_CMD_NOTICE) {
		daemon_notices(lease_daemon, nlh);
		goto out;
	}
	req = orchfs_request_expect(ch,
			nla_get_u64(nlmsg_find_attr(nlh, GENL_HDRLEN,
						    ORCHFS_A_MSG_REQUEST_ID)));
	if (!req)
		goto out;
	status = daemon_answer(lease_daemon, nlh, req->kind, &res);
	if (!orchfs_request_complete(ch, req, status, &res))
		orchfs_result_free(&res);
	orchfs_request_put(req);
out:
	kfree_skb(skb);
	return 0;
}

static struct vfsmount *lease_mount(void)
{
	struct file_system_type *type = get_fs_type("orchfs");
	struct vfsmount *mnt;
	struct fs_context *fc;
	int ret;

	if (!type)
		return ERR_PTR(-ENODEV);
	fc = fs_context_for_mount(type, SB_KERNMOUNT);
	module_put(type->owner);
	if (IS_ERR(fc))
		return ERR_CAST(fc);
	ret = vfs_parse_fs_string(fc, "source", "lease-kunit",
				  strlen("lease-kunit"));
	mnt = ret ? ERR_PTR(ret) : fc_mount(fc);
	put_fs_context(fc);
	return mnt;
}

static void daemon_attrs(struct lease_daemon *d)
{
	u64 ino;

	for (ino = ORCHFS_ROOT_INO; ino <= DIR3_INO; ino++)
		d->attr[ino] = (struct orchfs_attr){
			.ino = ino, .change = 5, .generation = 9,
			.mode = S_IFDIR | 0755, .nlink = 2, .mtime = 1000,
			.flags = ORCHFS_ATTR_NO_XATTR | ORCHFS_ATTR_NO_CAP |
				 ORCHFS_ATTR_NO_ACL | ORCHFS_ATTR_NO_DEFACL,
		};
	d->attr[FILE_INO].mode = S_IFREG | 0644;
	d->attr[FILE_INO].nlink = 1;
	d->attr[FILE_INO].size = 100;
	d->attr[FILE2_INO] = d->attr[FILE_INO];
	d->attr[FILE2_INO].ino = FILE2_INO;
	d->ino['f'] = FILE_INO;
	d->ino['d'] = DIR_INO;
	d->ino['g'] = FILE2_INO;
	d->ino['e'] = DIR2_INO;
	d->ino['h'] = DIR3_INO;
	d->h_dir = DIR_INO;
	d->txn = 5;
}

static int setup(struct kunit *test)
{
	static const u8 uuid[16] = "lease-kunit....";
	struct lease_daemon *d = kunit_kzalloc(test, sizeof(*d), GFP_KERNEL);
	bool mounted;

	KUNIT_ASSERT_NOT_NULL(test, d);
	test->priv = d;
	lease_daemon = d;
	daemon_attrs(d);
	KUNIT_ASSERT_EQ(test, orchfs_channel_attach(&init_net, uuid,
						    "lease-kunit", 1, PORT,
						    NULL, &mounted), 0);
	d->ch = orchfs_channel_by_uuid(&init_net, uuid);
	KUNIT_ASSERT_NOT_NULL(test, d->ch);
	d->ch->send = daemon_send;
	KUNIT_ASSERT_EQ(test, orchfs_channel_ready(d->ch, PORT, 5), 0);
	d->mnt = lease_mount();
	KUNIT_ASSERT_FALSE(test, IS_ERR(d->mnt));
	return 0;
}

static void teardown(struct kunit *test)
{
	struct lease_daemon *d = test->priv;

	if (!d)
		return;
	if (!IS_ERR_OR_NULL(d->mnt))
		kern_unmount(d->mnt);
	if (d->ch) {
		orchfs_channel_detach(d->ch, PORT);
		orchfs_channel_put(d->ch);
	}
	flush_workqueue(orchfs_channel_wq);
	lease_daemon = NULL;
}

static u64 asked(struct lease_daemon *d, u32 kind)
{
	return atomic64_read(&d->ch->counters[kind].count);
}

static struct super_block *sb_of(struct lease_daemon *d)
{
	return d->mnt->mnt_sb;
}

static void walk(struct kunit *test, const char *name, struct path *path)
{
	struct lease_daemon *d = test->priv;

	KUNIT_ASSERT_EQ(test, vfs_path_lookup(d->mnt->mnt_root, d->mnt, name,
					      0, path), 0);
}

/* A path walk and a stat, as stat(2) does it. */
static struct kstat stat_of(struct kunit *test, const char *name)
{
	struct kstat stat = {};
	struct path path;

	walk(test, name, &path);
	KUNIT_EXPECT_EQ(test, vfs_getattr(&path, &stat, STATX_BASIC_STATS,
					  AT_STATX_SYNC_AS_STAT), 0);
	path_put(&path);
	return stat;
}

static u64 boot_ms(void)
{
	return ktime_get_boottime_ns() / NSEC_PER_MSEC;
}

/* Let what was invalidated be pruned, and what was put off be told. */
static void settle(struct lease_daemon *d)
{
	flush_work(&ORCHFS_SB(sb_of(d))->prune_work);
	orchfs_unlinked_flush(orchfs_net_of(&init_net));
	orchfs_note_flush(d->ch);
}

static void test_lease(struct kunit *test)
{
	struct lease_daemon *d = test->priv;
	u64 lookups, getattrs;

	stat_of(test, "f");
	lookups = asked(d, ORCHFS_KIND_LOOKUP);
	getattrs = asked(d, ORCHFS_KIND_GETATTR);
	stat_of(test, "f");
	orchfs_channel_lease(d->ch, boot_ms() + YEAR_MS);
	stat_of(test, "f");
	KUNIT_EXPECT_EQ(test, asked(d, ORCHFS_KIND_LOOKUP), lookups);
	KUNIT_EXPECT_EQ(test, asked(d, ORCHFS_KIND_GETATTR), getattrs);

	/* over: names and attributes are asked for at each use */
	orchfs_channel_lease(d->ch, boot_ms());
	d->attr[FILE_INO].size = 50;
	KUNIT_EXPECT_EQ(test, stat_of(test, "f").size, 50);
	KUNIT_EXPECT_EQ(test, asked(d, ORCHFS_KIND_LOOKUP), lookups + 1);
	d->attr[FILE_INO].size = 60;
	KUNIT_EXPECT_EQ(test, stat_of(test, "f").size, 60);
	KUNIT_EXPECT_EQ(test, asked(d, ORCHFS_KIND_LOOKUP), lookups + 2);
	KUNIT_EXPECT_GE(test, asked(d, ORCHFS_KIND_GETATTR), getattrs + 2);

	/* renewed by the same daemon, which kept the session: right again */
	orchfs_channel_lease(d->ch, boot_ms() + YEAR_MS);
	getattrs = asked(d, ORCHFS_KIND_GETATTR);
	stat_of(test, "f");
	orchfs_channel_lease(d->ch, 0);
	stat_of(test, "f");
	KUNIT_EXPECT_EQ(test, asked(d, ORCHFS_KIND_LOOKUP), lookups + 2);
	KUNIT_EXPECT_EQ(test, asked(d, ORCHFS_KIND_GETATTR), getattrs);
}

/* A name that was absent, too; and what a detached kernel believes. */
static void test_lease_absent(struct kunit *test)
{
	struct lease_daemon *d = test->priv;
	struct path path;
	u64 lookups, getattrs;

	KUNIT_EXPECT_EQ(test, vfs_path_lookup(d->mnt->mnt_root, d->mnt, "x", 0,
					      &path), -ENOENT);
	lookups = asked(d, ORCHFS_KIND_LOOKUP);
	getattrs = asked(d, ORCHFS_KIND_GETATTR);
	orchfs_channel_lease(d->ch, boot_ms() + YEAR_MS);
	orchfs_channel_detach(d->ch, PORT);
	KUNIT_EXPECT_EQ(test, vfs_path_lookup(d->mnt->mnt_root, d->mnt, "x", 0,
					      &path), -ENOENT);
	KUNIT_EXPECT_EQ(test, asked(d, ORCHFS_KIND_LOOKUP), lookups);
	KUNIT_EXPECT_EQ(test, asked(d, ORCHFS_KIND_GETATTR), getattrs);
	orchfs_channel_lease(d->ch, 1);
	ORCHFS_SB(sb_of(d))->upcall_timeout = 0;
	KUNIT_EXPECT_EQ(test, vfs_path_lookup(d->mnt->mnt_root, d->mnt, "x", 0,
					      &path), -EIO);
	/* the root's attributes come first */
	KUNIT_EXPECT_EQ(test, asked(d, ORCHFS_KIND_GETATTR), getattrs + 1);
}

/* RCU walk doesn't ask: it leaves that to ref walk. */
static void test_lease_rcu(struct kunit *test)
{
	struct lease_daemon *d = test->priv;
	struct inode *inode;
	struct path path;

	walk(test, "d", &path);
	inode = d_inode(path.dentry);
	orchfs_channel_lease(d->ch, boot_ms() + YEAR_MS);
	rcu_read_lock();
	KUNIT_EXPECT_EQ(test, orchfs_dentry_ops.d_revalidate(path.dentry,
							     LOOKUP_RCU), 1);
	KUNIT_EXPECT_EQ(test, orchfs_permission(&nop_mnt_idmap, inode,
						MAY_EXEC | MAY_NOT_BLOCK), 0);
	orchfs_channel_lease(d->ch, boot_ms());
	KUNIT_EXPECT_EQ(test, orchfs_dentry_ops.d_revalidate(path.dentry,
							     LOOKUP_RCU),
			-ECHILD);
	KUNIT_EXPECT_EQ(test, orchfs_permission(&nop_mnt_idmap, inode,
						MAY_EXEC | MAY_NOT_BLOCK),
			-ECHILD);
	rcu_read_unlock();
	path_put(&path);
}

/* An ACL is as old as the attributes: without a lease, used once. */
static void test_lease_acl(struct kunit *test)
{
	struct lease_daemon *d = test->priv;
	struct posix_acl *acl;
	struct inode *inode;
	struct path path;
	unsigned int i;

	d->attr[FILE_INO].flags &= ~(ORCHFS_ATTR_NO_XATTR | ORCHFS_ATTR_NO_ACL);
	walk(test, "f", &path);
	inode = d_inode(path.dentry);
	orchfs_channel_lease(d->ch, boot_ms());
	for (i = 0; i < 3; i++) {
		d->acl_group = i;
		orchfs_permission(&nop_mnt_idmap, inode, MAY_READ);
		acl = get_inode_acl(inode, ACL_TYPE_ACCESS);
		KUNIT_ASSERT_FALSE(test, IS_ERR_OR_NULL(acl));
		KUNIT_EXPECT_EQ(test, acl->a_entries[1].e_perm, i);
		posix_acl_release(acl);
	}
	path_put(&path);
}

/* Another node writes: size goes down, mtime back, each stat asks. */
static void test_live(struct kunit *test)
{
	struct lease_daemon *d = test->priv;
	struct orchfs_attr *attr = &d->attr[FILE_INO];
	struct kstat stat;
	u64 getattrs;

	attr->flags |= ORCHFS_ATTR_LIVE;
	stat_of(test, "f");
	getattrs = asked(d, ORCHFS_KIND_GETATTR);
	attr->size = 7;
	attr->blocks = 16;
	attr->mtime = 500;
	stat = stat_of(test, "f");
	KUNIT_EXPECT_EQ(test, stat.size, 7);
	KUNIT_EXPECT_EQ(test, stat.blocks, 16);
	KUNIT_EXPECT_EQ(test, stat.mtime.tv_sec, 500);
	KUNIT_EXPECT_EQ(test, asked(d, ORCHFS_KIND_GETATTR), getattrs + 1);
	/* names and all else are believed as usual */
	KUNIT_EXPECT_EQ(test, asked(d, ORCHFS_KIND_LOOKUP), 1);

	/* the last writer has gone: this answer is the last that is asked for */
	attr->flags &= ~ORCHFS_ATTR_LIVE;
	attr->size = 8;
	KUNIT_EXPECT_EQ(test, stat_of(test, "f").size, 8);
	KUNIT_EXPECT_EQ(test, stat_of(test, "f").size, 8);
	KUNIT_EXPECT_EQ(test, asked(d, ORCHFS_KIND_GETATTR), getattrs + 2);
}

static bool list_actor(struct dir_context *ctx, const char *name, int len,
		       loff_t pos, u64 ino, unsigned int type)
{
	return true;
}

/* ls -l: what the reader of a directory has just been told is told once. */
static void test_live_listed(struct kunit *test)
{
	struct lease_daemon *d = test->priv;
	struct orchfs_attr *attr = &d->attr[FILE_INO];
	struct dir_context ctx = { .actor = list_actor };
	struct path root = {
		.mnt = d->mnt, .dentry = d->mnt->mnt_root,
	};
	struct file *dir;
	unsigned int i;

	attr->flags |= ORCHFS_ATTR_LIVE;
	for (i = 0; i < 3; i++) {
		dir = dentry_open(&root, O_RDONLY | O_DIRECTORY,
				  current_cred());
		KUNIT_ASSERT_FALSE(test, IS_ERR(dir));
		attr->size = 10 + i;
		ctx.pos = 0;
		KUNIT_EXPECT_EQ(test, iterate_dir(dir, &ctx), 0);
		KUNIT_EXPECT_EQ(test, asked(d, ORCHFS_KIND_READDIR), i + 1);
		if (i < 2) {
			KUNIT_EXPECT_EQ(test, stat_of(test, "f").size, 10 + i);
			KUNIT_EXPECT_EQ(test, asked(d, ORCHFS_KIND_GETATTR), i);
			attr->size = 20;
			KUNIT_EXPECT_EQ(test, stat_of(test, "f").size, 20);
			KUNIT_EXPECT_EQ(test, asked(d, ORCHFS_KIND_GETATTR),
					i + 1);
		}
		__fput_sync(dir);
	}
	/* not after the directory was closed */
	attr->size = 30;
	KUNIT_EXPECT_EQ(test, stat_of(test, "f").size, 30);
	KUNIT_EXPECT_EQ(test, asked(d, ORCHFS_KIND_GETATTR), 3);
}

/* Times that this kernel hasn't told yet don't hold up what the other wrote. */
static void test_live_untold(struct kunit *test)
{
	struct lease_daemon *d = test->priv;
	struct orchfs_attr *attr = &d->attr[FILE_INO];
	struct path path;
	struct kstat stat;

	attr->flags |= ORCHFS_ATTR_LIVE;
	walk(test, "f", &path);
	KUNIT_ASSERT_EQ(test, orchfs_update_time(d_inode(path.dentry),
						 S_ATIME), 0);
	path_put(&path);
	attr->size = 3;
	attr->mtime = 400;
	stat = stat_of(test, "f");
	KUNIT_EXPECT_EQ(test, stat.size, 3);
	KUNIT_EXPECT_EQ(test, stat.mtime.tv_sec, 400);
}

/* Of two answers about one record, the one that was asked for later counts. */
static void test_live_overtaken(struct kunit *test)
{
	struct lease_daemon *d = test->priv;
	struct orchfs_attr before = d->attr[FILE_INO], after = before;
	struct orchfs_stamp first, second;
	struct inode *inode;
	struct path path;

	walk(test, "f", &path);
	inode = d_inode(path.dentry);
	first = orchfs_stamp_next(inode);
	orchfs_super_invalidate(sb_of(d), FILE_INO, NULL);
	second = orchfs_stamp_next(inode);
	after.flags |= ORCHFS_ATTR_LIVE;
	after.size = 1;
	orchfs_inode_update(inode, &after, 0, 0, &second);
	orchfs_inode_update(inode, &before, 0, 0, &first);
	KUNIT_EXPECT_TRUE(test, ORCHFS_I(inode)->flags & ORCHFS_ATTR_LIVE);
	KUNIT_EXPECT_EQ(test, i_size_read(inode), 1);
	/* also where it tells of a change that this kernel made */
	orchfs_inode_update(inode, &before, before.change, 0, &first);
	KUNIT_EXPECT_TRUE(test, ORCHFS_I(inode)->flags & ORCHFS_ATTR_LIVE);
	KUNIT_EXPECT_EQ(test, i_size_read(inode), 1);
	/* a later record is later, whatever was asked for when */
	before.change++;
	before.size = 2;
	orchfs_inode_update(inode, &before, 0, 0, &first);
	KUNIT_EXPECT_FALSE(test, ORCHFS_I(inode)->flags & ORCHFS_ATTR_LIVE);
	KUNIT_EXPECT_EQ(test, i_size_read(inode), 2);
	path_put(&path);
}

static int invalidate(struct lease_daemon *d, u64 node, const char *name,
		      const struct orchfs_attr *attr)
{
	struct nlattr *attrs[ORCHFS_A_MSG_ATTR + 1] = {};
	struct sk_buff *skb = nlmsg_new(512, GFP_KERNEL);
	struct genl_info info = { .attrs = attrs, .user_ptr = { d->ch } };
	struct nlattr *a;
	int rem, ret;

	if (!skb)
		return -ENOMEM;
	if (node)
		nla_put_u64_64bit(skb, ORCHFS_A_MSG_NODE, node, 0);
	if (name)
		nla_put(skb, ORCHFS_A_MSG_NAME, strlen(name), name);
	if (attr)
		nla_put(skb, ORCHFS_A_MSG_ATTR, sizeof(*attr), attr);
	nla_for_each_attr(a, (struct nlattr *)skb->data, skb->len, rem)
		if (nla_type(a) <= ORCHFS_A_MSG_ATTR)
			attrs[nla_type(a)] = a;
	ret = orchfs_nl_invalidate_doit(skb, &info);
	kfree_skb(skb);
	return ret;
}

/* An inode in memory loses its last name: it goes, and that is told. */
static void test_unlinked(struct kunit *test)
{
	struct lease_daemon *d = test->priv;
	struct orchfs_attr gone = d->attr[FILE_INO];
	struct orchfs_stamp before;
	struct inode *inode;
	struct path path;

	walk(test, "f", &path);
	inode = d_inode(path.dentry);
	before = orchfs_stamp_take(inode);
	gone.nlink = 0;
	KUNIT_EXPECT_EQ(test, invalidate(d, FILE_INO, NULL, &gone), 0);
	KUNIT_EXPECT_EQ(test, inode->i_nlink, 0);
	KUNIT_EXPECT_NOT_NULL(test, ORCHFS_I(inode)->note_forget);
	/* what was asked for before doesn't bring the name back */
	orchfs_inode_update(inode, &d->attr[FILE_INO], 0, 0, &before);
	orchfs_inode_apply(inode, &d->attr[FILE_INO], 0);
	KUNIT_EXPECT_EQ(test, inode->i_nlink, 0);
	settle(d);
	KUNIT_EXPECT_EQ(test, d->forgotten, 0);

	/* it goes with its last user */
	d->attr[FILE_INO].nlink = 0;
	path_put(&path);
	settle(d);
	KUNIT_EXPECT_EQ(test, d->forgotten, 1);
	KUNIT_EXPECT_NULL(test, ilookup(sb_of(d), FILE_INO));
}

/* Nobody uses a removed directory, but it has names known to be absent. */
static void test_unlinked_dir(struct kunit *test)
{
	struct lease_daemon *d = test->priv;
	struct orchfs_attr gone = d->attr[DIR_INO];
	struct path path;

	KUNIT_EXPECT_EQ(test, vfs_path_lookup(d->mnt->mnt_root, d->mnt, "d/x",
					      0, &path), -ENOENT);
	gone.nlink = 0;
	KUNIT_EXPECT_EQ(test, invalidate(d, DIR_INO, NULL, &gone), 0);
	settle(d);
	KUNIT_EXPECT_EQ(test, d->forgotten, 1);
	KUNIT_EXPECT_NULL(test, ilookup(sb_of(d), DIR_INO));
}

/* Not in memory: told when no answer brings it, and only then. */
static void test_unlinked_absent(struct kunit *test)
{
	struct lease_daemon *d = test->priv;
	struct orchfs_attr gone = { .ino = FILE_INO };
	struct orchfs_args args = {
		.kind = ORCHFS_KIND_GETATTR, .node = FILE_INO,
	};
	struct orchfs_stamp stamp;
	struct orchfs_result res;
	struct inode *inode;

	KUNIT_EXPECT_EQ(test, invalidate(d, FILE_INO, NULL, &gone), 0);
	settle(d);
	KUNIT_EXPECT_EQ(test, d->forgotten, 1);

	/* an answer that was asked for before, and is applied after */
	stamp = orchfs_stamp_sb(sb_of(d));
	KUNIT_ASSERT_EQ(test, orchfs_upcall(sb_of(d), &args, &res), 0);
	KUNIT_EXPECT_EQ(test, invalidate(d, FILE_INO, NULL, &gone), 0);
	KUNIT_EXPECT_EQ(test, d->ch->nr_gone, 1);
	inode = orchfs_iget(sb_of(d), &res.attr, NULL, 0, &stamp);
	orchfs_result_free(&res);
	KUNIT_ASSERT_FALSE(test, IS_ERR(inode));
	settle(d);
	KUNIT_EXPECT_EQ(test, d->ch->nr_gone, 0);
	KUNIT_EXPECT_TRUE(test, orchfs_inode_stale(inode));
	KUNIT_EXPECT_EQ(test, inode->i_nlink, 0);
	KUNIT_EXPECT_EQ(test, d->forgotten, 1);
	iput(inode);
	settle(d);
	KUNIT_EXPECT_EQ(test, d->forgotten, 2);
}

static void test_unlinked_bad(struct kunit *test)
{
	struct lease_daemon *d = test->priv;
	struct orchfs_attr attr = { .ino = FILE_INO };

	KUNIT_EXPECT_EQ(test, invalidate(d, 0, NULL, &attr), -EINVAL);
	KUNIT_EXPECT_EQ(test, invalidate(d, DIR_INO, NULL, &attr), -EINVAL);
	KUNIT_EXPECT_EQ(test, invalidate(d, FILE_INO, "x", &attr), -EINVAL);
	attr.nlink = 1;
	KUNIT_EXPECT_EQ(test, invalidate(d, FILE_INO, NULL, &attr), -EINVAL);
	settle(d);
	KUNIT_EXPECT_EQ(test, d->forgotten, 0);
}

/* More at a time than any table has room for: none is forgotten. */
static void test_unlinked_many(struct kunit *test)
{
	struct lease_daemon *d = test->priv;
	struct orchfs_attr gone = {};
	u64 ino;

	for (ino = 100; ino < 100 + 3 * ORCHFS_NOTES_BATCH; ino++) {
		gone.ino = ino;
		KUNIT_EXPECT_EQ(test, invalidate(d, ino, NULL, &gone), 0);
	}
	settle(d);
	KUNIT_EXPECT_EQ(test, d->forgotten, 3 * ORCHFS_NOTES_BATCH);
}

/*
 * Another node changes the mtime of a file that was written here, and before
 * anybody looks this one changes its mode: whose reply tells of the later ctime.
 */
static void test_mtime_back(struct kunit *test)
{
	struct lease_daemon *d = test->priv;
	struct orchfs_attr *attr = &d->attr[FILE_INO];
	struct timespec64 written = { 3000, 0 };
	struct orchfs_stamp stamp;
	struct inode *inode;
	struct path path;

	walk(test, "f", &path);
	inode = d_inode(path.dentry);
	spin_lock(&inode->i_lock);
	inode_set_mtime_to_ts(inode, written);
	inode_set_ctime_to_ts(inode, written);
	ORCHFS_I(inode)->attr_dirty = true;
	spin_unlock(&inode->i_lock);
	stamp = orchfs_stamp_take(inode);
	KUNIT_EXPECT_EQ(test, invalidate(d, FILE_INO, NULL, NULL), 0);
	attr->mtime = 2000;
	attr->ctime = 4000;
	attr->change = 7;
	orchfs_inode_update(inode, attr, 7, ORCHFS_SET_MODE | ORCHFS_SET_CTIME,
			    &stamp);
	/* as stat does it where there is a layout */
	spin_lock(&inode->i_lock);
	ORCHFS_I(inode)->foreign = atomic64_add_return(2, &d->ch->marks);
	spin_unlock(&inode->i_lock);
	KUNIT_EXPECT_EQ(test, orchfs_inode_revalidate(inode), 0);
	KUNIT_EXPECT_EQ(test, inode_get_mtime_sec(inode), 2000);
	KUNIT_EXPECT_EQ(test, inode_get_ctime_sec(inode), 4000);
	ORCHFS_I(inode)->attr_dirty = false;
	path_put(&path);
}

/*
 * Rename, as renameat2(2) does it. Between its look-ups and the request another
 * node exchanges the names.
 */
static int rename_late(struct kunit *test, const char *from, const char *to,
		       unsigned int flags)
{
	struct lease_daemon *d = test->priv;
	struct dentry *root = d->mnt->mnt_root;
	struct renamedata rd = {
		.old_mnt_idmap = &nop_mnt_idmap,
		.old_dir = d_inode(root),
		.new_mnt_idmap = &nop_mnt_idmap,
		.new_dir = d_inode(root),
		.flags = flags,
	};
	int ret;

	inode_lock_nested(rd.old_dir, I_MUTEX_PARENT);
	rd.old_dentry = lookup_one_len(from, root, 1);
	rd.new_dentry = lookup_one_len(to, root, 1);
	swap(d->ino[(u8)*from], d->ino[(u8)*to]);
	ret = invalidate(d, ORCHFS_ROOT_INO, NULL, NULL);
	if (!ret)
		ret = vfs_rename(&rd);
	inode_unlock(rd.old_dir);
	dput(rd.old_dentry);
	dput(rd.new_dentry);
	return ret;
}

static struct inode *inode_at(struct kunit *test, const char *name)
{
	struct inode *inode;
	struct path path;

	walk(test, name, &path);
	inode = igrab(d_inode(path.dentry));
	path_put(&path);
	return inode;
}

/* What was moved and replaced is the daemon's to tell. */
static void test_rename_late(struct kunit *test)
{
	static const char *const names[][2] = { { "f", "g" }, { "d", "e" } };
	struct lease_daemon *d = test->priv;
	struct inode *from, *to, *inode;
	unsigned int i;

	for (i = 0; i < 2; i++) {
		from = inode_at(test, names[i][0]);
		to = inode_at(test, names[i][1]);
		KUNIT_EXPECT_EQ(test, rename_late(test, names[i][0],
						  names[i][1], 0), 0);
		settle(d);
		inode = inode_at(test, names[i][1]);
		KUNIT_EXPECT_PTR_EQ(test, inode, to);
		KUNIT_EXPECT_FALSE(test, IS_DEADDIR(to));
		KUNIT_EXPECT_NE(test, to->i_nlink, 0);
		KUNIT_EXPECT_EQ(test, from->i_nlink, 0);
		iput(inode);
		iput(to);
		iput(from);
		settle(d);
		KUNIT_EXPECT_EQ(test, d->forgotten, i + 1);
	}
}

static void test_exchange_late(struct kunit *test)
{
	struct inode *f = inode_at(test, "f"), *d = inode_at(test, "d");
	struct inode *inode;

	/* twice is not at all */
	KUNIT_EXPECT_EQ(test, rename_late(test, "f", "d", RENAME_EXCHANGE), 0);
	inode = inode_at(test, "f");
	KUNIT_EXPECT_PTR_EQ(test, inode, f);
	iput(inode);
	inode = inode_at(test, "d");
	KUNIT_EXPECT_PTR_EQ(test, inode, d);
	KUNIT_EXPECT_EQ(test, stat_of(test, "d").ino, DIR_INO);
	iput(inode);
	iput(f);
	iput(d);
}

/* A look-up of who has the directory's lock and changes names in it. */
static struct dentry *look_up(struct dentry *dir, const char *name,
			      unsigned int flags)
{
	struct qstr q = QSTR_INIT(name, strlen(name));
	struct dentry *dentry;

	q.hash = full_name_hash(dir, q.name, q.len);
	inode_lock_nested(d_inode(dir), I_MUTEX_PARENT);
	dentry = lookup_one_qstr_excl(&q, dir, flags);
	inode_unlock(d_inode(dir));
	return dentry;
}

/* Another node renames between the two look-ups of an exchange. */
static void test_two_looks(struct kunit *test)
{
	static const char *const names[][2] = { { "f", "g" }, { "d", "e" } };
	struct lease_daemon *d = test->priv;
	struct dentry *root = d->mnt->mnt_root, *from, *to;
	unsigned int i;

	for (i = 0; i < 2; i++) {
		u8 f = *names[i][0], t = *names[i][1];

		from = look_up(root, names[i][0], 0);
		KUNIT_ASSERT_FALSE(test, IS_ERR(from));
		d->ino[t] = d->ino[f];
		d->ino[f] = 0;
		KUNIT_EXPECT_EQ(test, invalidate(d, ORCHFS_ROOT_INO, NULL,
						 NULL), 0);
		to = look_up(root, names[i][1], 0);
		KUNIT_EXPECT_PTR_EQ(test, to, ERR_PTR(-ESTALE));
		dput(from);
		/* and once more */
		from = look_up(root, names[i][0], LOOKUP_REVAL);
		to = look_up(root, names[i][1], LOOKUP_REVAL);
		KUNIT_ASSERT_FALSE(test, IS_ERR(from) || IS_ERR(to));
		KUNIT_EXPECT_TRUE(test, d_is_negative(from));
		KUNIT_EXPECT_EQ(test, d_inode(to)->i_ino, d->ino[t]);
		dput(from);
		dput(to);
	}
}

/*
 * A directory that is in use, and that another node has moved: a rename has the
 * lock for moving it here, and finds it when it begins again.
 */
static void test_moved(struct kunit *test)
{
	struct lease_daemon *d = test->priv;
	struct mutex *renames = &sb_of(d)->s_vfs_rename_mutex;
	struct path used, dir;
	struct dentry *h;

	walk(test, "d/h", &used);
	walk(test, "e", &dir);
	d->h_dir = DIR2_INO;
	KUNIT_EXPECT_EQ(test, invalidate(d, DIR_INO, NULL, NULL), 0);
	KUNIT_EXPECT_EQ(test, invalidate(d, DIR2_INO, NULL, NULL), 0);
	settle(d);

	mutex_lock(renames);
	h = look_up(dir.dentry, "h", 0);
	mutex_unlock(renames);
	KUNIT_EXPECT_PTR_EQ(test, h, ERR_PTR(-ESTALE));
	KUNIT_EXPECT_EQ(test, ORCHFS_SB(sb_of(d))->nr_unplaced, 1);
	KUNIT_EXPECT_EQ(test, orchfs_permission(&nop_mnt_idmap,
						d_inode(dir.dentry),
						MAY_EXEC | MAY_NOT_BLOCK),
			-ECHILD);
	/* who writes, or has a lock, isn't on its way */
	KUNIT_EXPECT_EQ(test, orchfs_permission(&nop_mnt_idmap,
						d_inode(dir.dentry),
						MAY_EXEC | MAY_WRITE), 0);
	KUNIT_EXPECT_EQ(test, ORCHFS_SB(sb_of(d))->nr_unplaced, 1);
	KUNIT_EXPECT_EQ(test, orchfs_permission(&nop_mnt_idmap,
						d_inode(dir.dentry), MAY_EXEC),
			0);
	KUNIT_EXPECT_EQ(test, ORCHFS_SB(sb_of(d))->nr_unplaced, 0);
	KUNIT_EXPECT_PTR_EQ(test, used.dentry->d_parent, dir.dentry);
	mutex_lock(renames);
	h = look_up(dir.dentry, "h", LOOKUP_REVAL);
	mutex_unlock(renames);
	KUNIT_ASSERT_FALSE(test, IS_ERR(h));
	KUNIT_EXPECT_PTR_EQ(test, h, used.dentry);
	KUNIT_EXPECT_PTR_EQ(test, h->d_parent, dir.dentry);
	dput(h);
	path_put(&dir);
	path_put(&used);
}

/*
 * A file was given an mtime and then written, in the tick of the clock in which
 * it had been written before: the daemon, which doesn't see that, tells of the
 * given one when another attribute is set here.
 */
static void test_mtime_tick(struct kunit *test)
{
	struct lease_daemon *d = test->priv;
	struct orchfs_attr *attr = &d->attr[FILE_INO];
	struct timespec64 written = { 3000, 0 };
	struct orchfs_stamp stamp;
	struct inode *inode;
	struct path path;

	walk(test, "f", &path);
	inode = d_inode(path.dentry);
	spin_lock(&inode->i_lock);
	inode_set_mtime_to_ts(inode, written);
	inode_set_ctime_to_ts(inode, written);
	ORCHFS_I(inode)->attr_dirty = true;
	spin_unlock(&inode->i_lock);
	stamp = orchfs_stamp_take(inode);
	attr->mtime = 2000;
	attr->ctime = 4000;
	attr->change = 7;
	orchfs_inode_update(inode, attr, 7, 0, &stamp);
	KUNIT_EXPECT_EQ(test, inode_get_mtime_sec(inode), 3000);
	KUNIT_EXPECT_EQ(test, inode_get_ctime_sec(inode), 4000);
	/* one that was given for later */
	ORCHFS_I(inode)->base_mtime = written;
	attr->mtime = 5000;
	attr->ctime = 4001;
	attr->change = 8;
	orchfs_inode_update(inode, attr, 8, ORCHFS_SET_CTIME, &stamp);
	KUNIT_EXPECT_EQ(test, inode_get_mtime_sec(inode), 3000);
	KUNIT_EXPECT_EQ(test, inode_get_ctime_sec(inode), 4001);
	ORCHFS_I(inode)->attr_dirty = false;
	path_put(&path);
}

static struct kunit_case lease_cases[] = {
	KUNIT_CASE(test_lease),
	KUNIT_CASE(test_lease_absent),
	KUNIT_CASE(test_lease_rcu),
	KUNIT_CASE(test_lease_acl),
	KUNIT_CASE(test_live),
	KUNIT_CASE(test_live_listed),
	KUNIT_CASE(test_live_untold),
	KUNIT_CASE(test_live_overtaken),
	KUNIT_CASE(test_unlinked),
	KUNIT_CASE(test_unlinked_dir),
	KUNIT_CASE(test_unlinked_absent),
	KUNIT_CASE(test_unlinked_bad),
	KUNIT_CASE(test_unlinked_many),
	KUNIT_CASE(test_mtime_back),
	KUNIT_CASE(test_mtime_tick),
	KUNIT_CASE(test_rename_late),
	KUNIT_CASE(test_exchange_late),
	KUNIT_CASE(test_two_looks),
	KUNIT_CASE(test_moved),
	{}
};

static struct kunit_suite lease_suite = {
	.name = "orchfs_lease",
	.init = setup,
	.exit = teardown,
	.test_cases = lease_cases,
};

kunit_test_suite(lease_suite);
