// SPDX-License-Identifier: GPL-2.0-only
/*
 * The client against the data server of the same kernel, on tmpfs.
 */
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/mount.h>
#include <linux/namei.h>
#include <net/net_namespace.h>

#include "client_kunit.h"
#include "serve.h"

#define LEN	(1U << 20)

static const u8 key_bytes[ORCHFS_KEY_LEN] = "thirty-two bytes of a volume's k";

/* What is served, besides what any test has */
struct served {
	struct vfsmount *mnt;
	struct file *file;
	struct crypto_shash *key;
	u8 *buf, *back;
	struct bio_vec bv;
	struct page *pages;
};

static struct served sv;

static void make_dir(struct kunit *test, struct dentry *parent,
		     const char *name, struct dentry **dentry)
{
	struct inode *dir = d_inode(parent);
	int ret;

	inode_lock(dir);
	*dentry = lookup_one_len(name, parent, strlen(name));
	ret = IS_ERR(*dentry) ? PTR_ERR(*dentry) :
		vfs_mkdir(&nop_mnt_idmap, dir, *dentry, 0755);
	inode_unlock(dir);
	KUNIT_ASSERT_EQ(test, ret, 0);
}

/* The file of ck_id, as an orchd would have made it. */
static void make_file(struct kunit *test)
{
	struct path root = { .mnt = sv.mnt, .dentry = sv.mnt->mnt_root };
	struct dentry *data, *dir;
	char name[64];

	make_dir(test, root.dentry, "data", &data);
	snprintf(name, sizeof(name), "%02x",
		 (unsigned int)(ck_id.ino >> 8) & 0xff);
	make_dir(test, data, name, &dir);
	dput(dir);
	dput(data);
	snprintf(name, sizeof(name), "data/%02x/%llx.%llx.%llx",
		 (unsigned int)(ck_id.ino >> 8) & 0xff, ck_id.ino,
		 ck_id.version, ck_id.instance);
	sv.file = file_open_root(&root, name, O_CREAT | O_RDWR | O_LARGEFILE,
				 0600);
	KUNIT_ASSERT_FALSE(test, IS_ERR(sv.file));
}

static void serve_it(struct kunit *test)
{
	struct orchfs_net *on = orchfs_net_of(&init_net);
	struct path root = { .mnt = sv.mnt, .dentry = sv.mnt->mnt_root };
	struct ck *ck = test->priv;
	u64 now = ktime_to_ms(ktime_get_boottime());
	struct crypto_shash *key = orchfs_token_key(key_bytes);
	struct orchfs_serve *serve;

	KUNIT_ASSERT_FALSE(test, IS_ERR(key));
	mutex_lock(&on->serve_lock);
	serve = orchfs_serve_get(ck->ch);
	if (!IS_ERR(serve) && orchfs_volume_serve(serve, ck_id.volume, &root,
						  key, 1))
		serve = NULL;
	if (!IS_ERR_OR_NULL(serve) && now &&
	    orchfs_serve_heard(serve, 1000, now, 600000))
		serve = NULL;
	mutex_unlock(&on->serve_lock);
	KUNIT_ASSERT_FALSE(test, IS_ERR_OR_NULL(serve));
}

/* The token that is signed. */
static void give_token(struct kunit *test, struct ck *ck, u64 epoch,
		       u64 expiry_ms)
{
	u8 buf[ORCHFS_TOKEN_LEN];
	struct orchfs_token t;

	ck_token_of(&t, &ck_id, ORCHFS_RIGHTS_ALL, epoch);
	t.expiry_ms = expiry_ms;
	orchfs_token_encode(&t, buf);
	KUNIT_ASSERT_EQ(test, orchfs_token_sign(sv.key, buf), 0);
	KUNIT_ASSERT_EQ(test, orchfs_remote_token(ck->r, buf), 0);
}

/* A connection between the two. */
static u64 join(struct kunit *test, struct ck *ck)
{
	static const struct orchfs_serve_limits limits = {
		.max_requests = 8, .max_bytes = ORCHFS_SERVE_BYTES,
		.max_handles = 4,
	};
	struct orchfs_net *on = orchfs_net_of(&init_net);
	struct socket *client, *server;
	struct orchfs_serve *serve;
	u64 id, served_id = 0;
	int ret = -ENOENT;

	ck_pair(test, &client, &server);
	mutex_lock(&on->serve_lock);
	serve = orchfs_serve_find(ck->ch);
	if (serve)
		ret = orchfs_conn_start(serve, server, CK_SELF, &limits,
					&served_id);
	mutex_unlock(&on->serve_lock);
	KUNIT_ASSERT_EQ(test, ret, 0);
	KUNIT_ASSERT_EQ(test, orchfs_client_start(ck->peer, client, &id), 0);
	return served_id;
}

static int serve_init(struct kunit *test)
{
	struct file_system_type *tmpfs = get_fs_type("tmpfs");
	int ret = ck_init(test);

	if (ret)
		return ret;
	memset(&sv, 0, sizeof(sv));
	KUNIT_ASSERT_NOT_NULL(test, tmpfs);
	sv.mnt = kern_mount(tmpfs);
	KUNIT_ASSERT_FALSE(test, IS_ERR(sv.mnt));
	sv.key = orchfs_token_key(key_bytes);
	KUNIT_ASSERT_FALSE(test, IS_ERR(sv.key));
	sv.buf = kunit_kzalloc(test, LEN, GFP_KERNEL);
	sv.back = kunit_kzalloc(test, LEN, GFP_KERNEL);
	sv.pages = alloc_pages(GFP_KERNEL | __GFP_COMP, get_order(LEN));
	KUNIT_ASSERT_TRUE(test, sv.buf && sv.back && sv.pages);
	bvec_set_page(&sv.bv, sv.pages, LEN, 0);
	make_file(test);
	serve_it(test);
	give_token(test, test->priv, 1, 1ULL << 60);
	return 0;
}

static void serve_exit(struct kunit *test)
{
	if (test->priv)
		ck_end_conns(test->priv);
	orchfs_serve_net_exit(orchfs_net_of(&init_net));
	if (sv.pages) {
		KUNIT_EXPECT_EQ(test, page_count(sv.pages), 1);
		__free_pages(sv.pages, get_order(LEN));
	}
	if (!IS_ERR_OR_NULL(sv.file))
		__fput_sync(sv.file);
	if (!IS_ERR_OR_NULL(sv.key))
		orchfs_token_key_free(sv.key);
	if (!IS_ERR_OR_NULL(sv.mnt))
		kern_unmount(sv.mnt);
	ck_exit(test);
}

static int do_io(struct kunit *test, u8 opcode, u32 flags, u64 offset,
		 u32 count, u64 *where)
{
	struct ck_ask *ask = ck_ask(test, opcode, offset, count);
	struct ck *ck = test->priv;
	int ret;

	ask->rio.flags = flags;
	if (count)
		iov_iter_bvec(&ask->rio.iter, opcode == ORCHFS_OP_READ ?
			      ITER_DEST : ITER_SOURCE, &sv.bv, 1, LEN);
	ret = ck_do(test, ck->r, ask);
	if (where)
		*where = ask->rio.reply_offset;
	return ret ?: (int)ask->rio.done_bytes;
}

static loff_t size_of(struct kunit *test)
{
	struct ck_ask *ask = ck_ask(test, ORCHFS_OP_GETATTR, 0, 0);
	struct ck *ck = test->priv;

	KUNIT_EXPECT_EQ(test, ck_do(test, ck->r, ask), 0);
	return ask->rio.attr.size;
}

/* A MiB there and back, by pages; and the file has it. */
static void test_served(struct kunit *test)
{
	u8 *data = page_address(sv.pages);
	struct ck *ck = test->priv;
	loff_t pos = 0;
	u64 where;

	join(test, ck);
	ck_fill(data, 0, LEN);
	KUNIT_EXPECT_EQ(test, do_io(test, ORCHFS_OP_WRITE, 0, 0, LEN, NULL),
			(int)LEN);
	KUNIT_EXPECT_EQ(test, kernel_read(sv.file, sv.back, LEN, &pos),
			(ssize_t)LEN);
	KUNIT_EXPECT_TRUE(test, ck_filled(sv.back, 0, LEN));
	memset(data, 0, LEN);
	KUNIT_EXPECT_EQ(test, do_io(test, ORCHFS_OP_READ, 0, 0, LEN, NULL),
			(int)LEN);
	KUNIT_EXPECT_TRUE(test, ck_filled(data, 0, LEN));
	KUNIT_EXPECT_EQ(test, do_io(test, ORCHFS_OP_READ, 0, LEN - 10, 100,
				    NULL), 10);
	KUNIT_EXPECT_EQ(test, do_io(test, ORCHFS_OP_READ, 0, LEN, 100, NULL),
			0);
	KUNIT_EXPECT_EQ(test, do_io(test, ORCHFS_OP_WRITE, ORCHFS_PDU_APPEND |
				    ORCHFS_PDU_FUA, 0, 5000, &where), 5000);
	KUNIT_EXPECT_EQ(test, where, LEN);
	KUNIT_EXPECT_EQ(test, size_of(test), LEN + 5000);
	KUNIT_EXPECT_EQ(test, do_io(test, ORCHFS_OP_TRUNCATE, 0, 77, 0, NULL),
			0);
	KUNIT_EXPECT_EQ(test, size_of(test), 77);
	KUNIT_EXPECT_EQ(test, do_io(test, ORCHFS_OP_COMMIT, 0, 0, 0, NULL), 0);
	KUNIT_EXPECT_EQ(test, do_io(test, ORCHFS_OP_READ, 0, S64_MAX - 1, 1,
				    NULL), 0);
}

#define MANY	64

/* More than the server takes at once, while its end drops connections. */
static void test_dropped(struct kunit *test)
{
	struct orchfs_net *on = orchfs_net_of(&init_net);
	struct ck_ask *asks[MANY];
	struct orchfs_serve_conn *conn;
	struct ck *ck = test->priv;
	struct orchfs_serve *serve;
	u64 first, id;
	int i;

	first = join(test, ck);
	join(test, ck);
	for (i = 0; i < MANY; i++) {
		asks[i] = ck_ask(test, ORCHFS_OP_WRITE, i * 8000, 8000);
		ck_fill(asks[i]->buf, i * 8000, 8000);
		ck_submit(ck->r, asks[i]);
	}
	mutex_lock(&on->serve_lock);
	serve = orchfs_serve_find(ck->ch);
	list_for_each_entry(conn, &serve->conns, link)
		if (conn->id == first)
			orchfs_conn_end(conn, ORCHFS_REASON_DROPPED);
	mutex_unlock(&on->serve_lock);
	for (i = 0; i < MANY; i++)
		KUNIT_EXPECT_EQ(test, ck_end(test, asks[i]), 0);
	KUNIT_EXPECT_EQ(test, do_io(test, ORCHFS_OP_READ, 0, 0, MANY * 8000,
				    &id), MANY * 8000);
	KUNIT_EXPECT_TRUE(test, ck_filled(page_address(sv.pages), 0,
					  MANY * 8000));
}

/* A fence is raised, and a token of the new epoch is there or isn't. */
static void test_fenced(struct kunit *test)
{
	struct orchfs_net *on = orchfs_net_of(&init_net);
	struct orchfs_fence fence = {
		.instance = ck_id.instance, .node = CK_SELF, .epoch = 2,
		.expiry_ms = 1ULL << 60,
	};
	struct ck *ck = test->priv;

	join(test, ck);
	KUNIT_EXPECT_EQ(test, do_io(test, ORCHFS_OP_WRITE, 0, 0, 10, NULL), 10);
	mutex_lock(&on->serve_lock);
	KUNIT_EXPECT_EQ(test, orchfs_volume_fence(orchfs_serve_find(ck->ch),
						  ck_id.volume, 5, &fence), 0);
	mutex_unlock(&on->serve_lock);
	KUNIT_EXPECT_EQ(test, do_io(test, ORCHFS_OP_WRITE, 0, 0, 10, NULL),
			-ESTALE);
	KUNIT_EXPECT_EQ(test, do_io(test, ORCHFS_OP_WRITE, 0, 0, 10, NULL),
			-ESTALE);
	give_token(test, ck, 2, 1ULL << 60);
	KUNIT_EXPECT_EQ(test, do_io(test, ORCHFS_OP_WRITE, 0, 0, 10, NULL), 10);
	/* expired, by the authority's clock */
	give_token(test, ck, 3, 1);
	ck_end_conns(ck);
	join(test, ck);
	KUNIT_EXPECT_EQ(test, do_io(test, ORCHFS_OP_READ, 0, 0, 10, NULL),
			-EKEYEXPIRED);
	give_token(test, ck, 3, 1ULL << 60);
	KUNIT_EXPECT_EQ(test, do_io(test, ORCHFS_OP_READ, 0, 0, 10, NULL), 10);
}

/* Counters of a connection that the server knows */
static u64 served(struct ck *ck, u64 id, u64 *written)
{
	struct orchfs_net *on = orchfs_net_of(&init_net);
	struct orchfs_serve_conn *conn;
	u64 requests = 0;

	mutex_lock(&on->serve_lock);
	list_for_each_entry(conn, &orchfs_serve_find(ck->ch)->conns, link)
		if (conn->id == id) {
			requests = atomic64_read(&conn->requests);
			*written = atomic64_read(&conn->bytes_written);
		}
	mutex_unlock(&on->serve_lock);
	return requests;
}

/* A WRITE hangs in the file system, and its connection ends. */
static void test_hung(struct kunit *test)
{
	struct ck_ask *ask = ck_ask(test, ORCHFS_OP_WRITE, 0, 10);
	struct inode *inode = file_inode(sv.file);
	struct ck *ck = test->priv;
	u64 first, second, written;

	first = join(test, ck);
	inode_lock(inode);
	ck_submit(ck->r, ask);
	/* HELLO, BIND, WRITE */
	while (served(ck, first, &written) < 3)
		cond_resched();
	ck_end_conns(ck);
	second = join(test, ck);
	/* HELLO, END */
	while (served(ck, second, &written) < 2)
		cond_resched();
	KUNIT_EXPECT_EQ(test, served(ck, second, &written), 2);
	KUNIT_EXPECT_FALSE(test, completion_done(&ask->done));
	inode_unlock(inode);
	KUNIT_EXPECT_EQ(test, ck_end(test, ask), 0);
	served(ck, second, &written);
	KUNIT_EXPECT_EQ(test, written, 10);
	KUNIT_EXPECT_EQ(test, served(ck, first, &written), 0);
}

static struct kunit_case client_serve_cases[] = {
	KUNIT_CASE(test_served),
	KUNIT_CASE(test_dropped),
	KUNIT_CASE(test_fenced),
	KUNIT_CASE(test_hung),
	{}
};

static struct kunit_suite client_serve_suite = {
	.name = "orchfs-client-serve",
	.init = serve_init,
	.exit = serve_exit,
	.test_cases = client_serve_cases,
};

kunit_test_suite(client_serve_suite);
