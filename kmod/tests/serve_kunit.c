// SPDX-License-Identifier: GPL-2.0-only
/*
 * Volumes of a data server: their verifier, their end, what expires; and a
 * server whose daemon comes and goes. The volume is a tmpfs.
 */
#include <kunit/test.h>
#include <linux/fs_context.h>
#include <linux/mount.h>
#include <net/net_namespace.h>

#include "serve.h"

#define PORT	4713
#define VOLUME	3

struct serve_case {
	struct orchfs_net *on;
	struct orchfs_channel *ch;
	struct orchfs_serve *serve;
	struct vfsmount *mnt;
	struct path root;
	unsigned int done;		/* serve-done that arrived */
};

static struct serve_case *serve_case;

static int daemon_send(struct orchfs_channel *ch, struct sk_buff *skb,
		       u32 portid)
{
	const struct genlmsghdr *genlh = nlmsg_data(nlmsg_hdr(skb));

	serve_case->done += genlh->cmd == ORCHFS_CMD_SERVE_DONE;
	kfree_skb(skb);
	return 0;
}

static const u8 serve_uuid[16] = "serve-kunit....";

static void attach(struct kunit *test)
{
	struct serve_case *c = test->priv;
	bool mounted;

	KUNIT_ASSERT_EQ(test, orchfs_channel_attach(&init_net, serve_uuid,
						    "serve-kunit", 1, PORT,
						    NULL, &mounted), 0);
	c->ch = orchfs_channel_by_uuid(&init_net, serve_uuid);
	KUNIT_ASSERT_NOT_NULL(test, c->ch);
	c->ch->send = daemon_send;
	KUNIT_ASSERT_EQ(test, orchfs_channel_ready(c->ch, PORT, 0), 0);
}

static void detach(struct serve_case *c)
{
	if (!c->ch)
		return;
	orchfs_channel_detach(c->ch, PORT);
	orchfs_channel_put(c->ch);
	c->ch = NULL;
}

static int serve_volume(struct serve_case *c)
{
	static const u8 secret[ORCHFS_KEY_LEN] = "key";
	struct crypto_shash *key = orchfs_token_key(secret);
	int ret;

	if (IS_ERR(key))
		return PTR_ERR(key);
	mutex_lock(&c->on->serve_lock);
	ret = orchfs_volume_serve(c->serve, VOLUME, &c->root, key, 1);
	mutex_unlock(&c->on->serve_lock);
	if (ret)
		orchfs_token_key_free(key);
	return ret;
}

static int setup(struct kunit *test)
{
	struct serve_case *c = kunit_kzalloc(test, sizeof(*c), GFP_KERNEL);
	struct file_system_type *type = get_fs_type("tmpfs");

	KUNIT_ASSERT_NOT_NULL(test, c);
	KUNIT_ASSERT_NOT_NULL(test, type);
	test->priv = c;
	serve_case = c;
	c->on = orchfs_net_of(&init_net);
	c->mnt = kern_mount(type);
	module_put(type->owner);
	KUNIT_ASSERT_FALSE(test, IS_ERR(c->mnt));
	c->root = (struct path){ .mnt = c->mnt, .dentry = c->mnt->mnt_root };
	attach(test);
	mutex_lock(&c->on->serve_lock);
	c->serve = orchfs_serve_get(c->ch);
	mutex_unlock(&c->on->serve_lock);
	KUNIT_ASSERT_FALSE(test, IS_ERR(c->serve));
	KUNIT_ASSERT_EQ(test, serve_volume(c), 0);
	return 0;
}

/* A server without daemon and lease ends; that is waited for. */
static void teardown(struct kunit *test)
{
	struct serve_case *c = test->priv;

	if (!c)
		return;
	detach(c);
	orchfs_serve_net_exit(c->on);
	flush_workqueue(orchfs_channel_wq);
	if (!IS_ERR_OR_NULL(c->mnt))
		kern_unmount(c->mnt);
	serve_case = NULL;
}

static struct orchfs_serve_volume *find(struct kunit *test)
{
	struct serve_case *c = test->priv;
	struct orchfs_serve_volume *vol = orchfs_volume_find(c->serve, VOLUME);

	KUNIT_ASSERT_NOT_NULL(test, vol);
	return vol;
}

/* An error that somebody else was told is not lost, and told once. */
static void test_verifier(struct kunit *test)
{
	struct serve_case *c = test->priv;
	struct orchfs_serve_volume *vol = find(test);
	errseq_t *err = &c->mnt->mnt_sb->s_wb_err, told = 0;
	u64 first = orchfs_volume_verifier(vol), second, third;

	KUNIT_EXPECT_EQ(test, orchfs_volume_verifier(vol), first);
	errseq_set(err, -EIO);
	KUNIT_EXPECT_EQ(test, errseq_check_and_advance(err, &told), -EIO);
	second = orchfs_volume_verifier(vol);
	KUNIT_EXPECT_NE(test, second, first);
	KUNIT_EXPECT_EQ(test, orchfs_volume_verifier(vol), second);
	/* the same again, though nobody else has looked */
	errseq_set(err, -EIO);
	third = orchfs_volume_verifier(vol);
	KUNIT_EXPECT_NE(test, third, second);
	KUNIT_EXPECT_EQ(test, orchfs_volume_verifier(vol), third);
	orchfs_volume_put(vol);
}

static void unserve(struct kunit *test)
{
	struct serve_case *c = test->priv;
	int ret;

	mutex_lock(&c->on->serve_lock);
	ret = orchfs_volume_unserve(c->serve, VOLUME, 77);
	mutex_unlock(&c->on->serve_lock);
	KUNIT_ASSERT_EQ(test, ret, 0);
	flush_workqueue(c->serve->ends);
}

/* Where a write found no space none is tried for a while. */
static void test_room(struct kunit *test)
{
	struct orchfs_serve_volume *vol = find(test);

	/* before anybody has looked */
	KUNIT_EXPECT_FALSE(test, orchfs_volume_roomy(vol));
	orchfs_volume_measure(vol);
	KUNIT_EXPECT_TRUE(test, orchfs_volume_roomy(vol));
	orchfs_volume_tight(vol);
	orchfs_volume_measure(vol);
	KUNIT_EXPECT_FALSE(test, orchfs_volume_roomy(vol));
	orchfs_volume_put(vol);
}

/* It isn't served again while something of before goes on. */
static void test_leaving(struct kunit *test)
{
	struct serve_case *c = test->priv;
	struct orchfs_serve_volume *vol = find(test);

	unserve(test);
	KUNIT_EXPECT_EQ(test, serve_volume(c), -EBUSY);
	orchfs_note_flush(c->ch);
	KUNIT_EXPECT_EQ(test, c->done, 0);

	orchfs_volume_put(vol);
	flush_workqueue(c->serve->ends);
	orchfs_note_flush(c->ch);
	KUNIT_EXPECT_EQ(test, c->done, 1);
	KUNIT_EXPECT_EQ(test, serve_volume(c), 0);
}

static int heard(struct serve_case *c, u64 authority_ms)
{
	u64 boot_ms = ktime_to_ms(ktime_get_boottime());
	int ret;

	mutex_lock(&c->on->serve_lock);
	ret = orchfs_serve_heard(c->serve, authority_ms, boot_ms,
				 600 * MSEC_PER_SEC);
	mutex_unlock(&c->on->serve_lock);
	flush_work(&c->serve->tidy_work);
	return ret;
}

static int fence_volume(struct serve_case *c, u32 volume,
			const struct orchfs_fence *fence)
{
	int ret;

	mutex_lock(&c->on->serve_lock);
	ret = orchfs_volume_fence(c->serve, volume, 1, fence);
	mutex_unlock(&c->on->serve_lock);
	return ret;
}

/* Fences go when the authority's clock has passed their expiry. */
static void test_fences_expire(struct kunit *test)
{
	struct serve_case *c = test->priv;
	struct orchfs_serve_volume *vol = find(test);
	struct orchfs_fence fence = { .node = 1, .epoch = 2 };

	KUNIT_ASSERT_EQ(test, heard(c, 1000), 0);
	for (fence.instance = 1; fence.instance <= 10; fence.instance++) {
		fence.expiry_ms = 10000000 * fence.instance;
		KUNIT_EXPECT_EQ(test, fence_volume(c, VOLUME, &fence), 0);
	}
	KUNIT_ASSERT_EQ(test, heard(c, 9000000), 0);
	KUNIT_EXPECT_EQ(test, vol->fences->nr, 10);
	KUNIT_ASSERT_EQ(test, heard(c, 40000000), 0);
	KUNIT_EXPECT_EQ(test, vol->fences->nr, 6);
	KUNIT_EXPECT_EQ(test, orchfs_fences_floor(vol->fences, 4, 1), 0);
	KUNIT_EXPECT_EQ(test, orchfs_fences_floor(vol->fences, 5, 1), 2);
	orchfs_volume_put(vol);
	/* and the table of one that isn't served with them */
	fence.expiry_ms = 50000000;
	KUNIT_EXPECT_EQ(test, fence_volume(c, VOLUME + 1, &fence), 0);
	KUNIT_EXPECT_FALSE(test, list_is_singular(&c->serve->fences));
	KUNIT_ASSERT_EQ(test, heard(c, 60000000), 0);
	KUNIT_EXPECT_TRUE(test, list_is_singular(&c->serve->fences));
}

/* A volume that goes and comes back has the fences that it had, and later. */
static void test_fences_stay(struct kunit *test)
{
	struct serve_case *c = test->priv;
	struct orchfs_fence fence = { .node = 1, .epoch = 2,
				      .expiry_ms = 1000000 };
	struct orchfs_token token = { .instance = 9, .node = 1, .epoch = 1,
				      .expiry_ms = 1000000 };
	struct orchfs_serve_volume *vol;

	KUNIT_ASSERT_EQ(test, heard(c, 1000), 0);
	KUNIT_EXPECT_EQ(test, fence_volume(c, VOLUME, &fence), 0);
	unserve(test);
	flush_workqueue(c->serve->ends);
	fence.node = 2;
	KUNIT_EXPECT_EQ(test, fence_volume(c, VOLUME, &fence), 0);
	KUNIT_ASSERT_EQ(test, serve_volume(c), 0);
	vol = find(test);
	for (token.node = 1; token.node <= 3; token.node++)
		KUNIT_EXPECT_EQ(test, orchfs_volume_check(vol, &token, false),
				token.node < 3 ? -ESTALE : 0);
	orchfs_volume_put(vol);
}

/* A fence waits for what was admitted before the volume began to leave. */
static void test_fence_leaving(struct kunit *test)
{
	struct serve_case *c = test->priv;
	struct orchfs_fence fence = { .node = 1, .epoch = 2,
				      .expiry_ms = 1000000 };
	struct orchfs_serve_handle *handle = kunit_kzalloc(test,
			sizeof(*handle), GFP_KERNEL);
	struct orchfs_serve_req *req = kunit_kzalloc(test, sizeof(*req),
						     GFP_KERNEL);
	struct orchfs_serve_volume *vol = find(test);

	KUNIT_ASSERT_NOT_NULL(test, handle);
	KUNIT_ASSERT_NOT_NULL(test, req);
	handle->vol = vol;
	handle->token = (struct orchfs_token){ .instance = 9, .node = 1,
					       .epoch = 1,
					       .expiry_ms = 1000000 };
	req->handle = handle;
	req->pdu.opcode = ORCHFS_OP_WRITE;
	KUNIT_ASSERT_EQ(test, heard(c, 1000), 0);
	KUNIT_ASSERT_EQ(test, orchfs_volume_admit(req), 0);
	unserve(test);
	KUNIT_EXPECT_EQ(test, fence_volume(c, VOLUME, &fence), 0);
	orchfs_note_flush(c->ch);
	KUNIT_EXPECT_EQ(test, c->done, 0);
	orchfs_volume_leave(req);
	orchfs_note_flush(c->ch);
	KUNIT_EXPECT_EQ(test, c->done, 1);
	orchfs_volume_put(vol);
	flush_workqueue(c->serve->ends);
}

/*
 * The lease is over and the server about to end, when the daemon's successor
 * comes: nothing ends.
 */
static void test_lapse(struct kunit *test)
{
	struct serve_case *c = test->priv;
	struct orchfs_serve *serve = c->serve;
	struct delayed_work *lapse = &serve->lapse;

	KUNIT_ASSERT_EQ(test, heard(c, 1000), 0);
	detach(c);
	mutex_lock(&c->on->serve_lock);
	spin_lock(&serve->clock_lock);
	serve->until_ms = 0;
	spin_unlock(&serve->clock_lock);
	mod_delayed_work(system_unbound_wq, lapse, 0);
	while (!(work_busy(&lapse->work) & WORK_BUSY_RUNNING))
		cond_resched();
	/* it is somewhere before the lock, or waits for it */
	attach(test);
	mutex_unlock(&c->on->serve_lock);
	flush_delayed_work(lapse);
	KUNIT_EXPECT_FALSE(test, serve->ending);
	KUNIT_EXPECT_EQ(test, serve->nr_volumes, 1);
}

static struct kunit_case serve_cases[] = {
	KUNIT_CASE(test_verifier),
	KUNIT_CASE(test_room),
	KUNIT_CASE(test_leaving),
	KUNIT_CASE(test_fences_expire),
	KUNIT_CASE(test_fences_stay),
	KUNIT_CASE(test_fence_leaving),
	KUNIT_CASE(test_lapse),
	{}
};

static struct kunit_suite serve_suite = {
	.name = "orchfs_serve",
	.init = setup,
	.exit = teardown,
	.test_cases = serve_cases,
};

kunit_test_suite(serve_suite);
