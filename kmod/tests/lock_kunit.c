// SPDX-License-Identifier: GPL-2.0-only
/*
 * Locks of a mounted namespace: who decides, what the daemon is asked and told,
 * and what is in the VFS's lists. The daemon is a script here: it answers each
 * request as it is told to before, or not until it is told to. Locks are those
 * of the root directory; who waits is a thread of its own.
 */
#include <kunit/test.h>
#include <linux/file.h>
#include <linux/fs_context.h>
#include <linux/kthread.h>
#include <linux/mount.h>
#include <linux/sched/signal.h>
#include <net/net_namespace.h>

#include "lock.h"
#include "nl_gen.h"
#include "vfs.h"

#define PORT		4713
#define GOT_MAX		64
#define PATIENCE	(20 * HZ)
#define HOLD		1	/* answer: not yet */
#define LEASE		2	/* answer: the kernel decides */

/* A request for a lock that the daemon got. */
struct lock_got {
	u64 id;
	struct orchfs_lock l;
};

struct lock_daemon {
	struct orchfs_channel *ch;
	struct vfsmount *mnt;
	struct file *file;
	int answer;		/* to requests for locks: status, HOLD, LEASE */
	bool stale;		/* the next unlock comes after something later */
	spinlock_t lock;	/* the rest */
	struct lock_got got[GOT_MAX];
	unsigned int nr_got;
	unsigned int nr_held;	/* locks that a recall was answered with */
	unsigned int nr_eofs;
	u64 held_id;
};

static struct lock_daemon *lock_daemon;

static void daemon_complete(struct lock_daemon *d, u64 id, int status,
			    u32 flags, const struct orchfs_lock *l)
{
	struct orchfs_result res = { .flags = flags };
	struct orchfs_request *req = orchfs_request_expect(d->ch, id);

	if (!req)
		return;
	if (l) {
		res.has_lock = true;
		res.lock = *l;
	}
	if (!orchfs_request_complete(d->ch, req, status, &res))
		orchfs_result_free(&res);
	orchfs_request_put(req);
	orchfs_request_deliver(d->ch);
}

static void daemon_lock(struct lock_daemon *d, u64 id,
			const struct orchfs_lock *l)
{
	int answer = READ_ONCE(d->answer);

	spin_lock(&d->lock);
	if (d->nr_got < GOT_MAX)
		d->got[d->nr_got++] = (struct lock_got){ id, *l };
	spin_unlock(&d->lock);
	if (answer == HOLD)
		return;
	if (l->flags & ORCHFS_LOCK_CANCEL || l->type == ORCHFS_LOCK_NONE)
		answer = 0;
	if (l->type == ORCHFS_LOCK_NONE && d->stale) {
		d->stale = false;
		answer = -ESTALE;
	}
	daemon_complete(d, id, answer == LEASE ? 0 : answer,
			answer == LEASE ? ORCHFS_REQ_FLAG_LEASE : 0, NULL);
}

static void daemon_held(struct lock_daemon *d, const struct nlmsghdr *nlh)
{
	const struct nlattr *a;

	spin_lock(&d->lock);
	a = nlmsg_find_attr(nlh, GENL_HDRLEN, ORCHFS_A_MSG_LOCKS);
	if (a)
		d->nr_held += nla_len(a) / sizeof(struct orchfs_lock);
	a = nlmsg_find_attr(nlh, GENL_HDRLEN, ORCHFS_A_MSG_REQUEST_ID);
	d->held_id = nla_get_u64(a);
	if (nlmsg_find_attr(nlh, GENL_HDRLEN, ORCHFS_A_MSG_EOF))
		d->nr_eofs++;
	spin_unlock(&d->lock);
}

static void daemon_request(struct lock_daemon *d, const struct nlmsghdr *nlh)
{
	u64 id = nla_get_u64(nlmsg_find_attr(nlh, GENL_HDRLEN,
					     ORCHFS_A_MSG_REQUEST_ID));
	const struct nlattr *lock = nlmsg_find_attr(nlh, GENL_HDRLEN,
						    ORCHFS_A_MSG_LOCK);
	struct orchfs_result res = {
		.has_attr = true,
		.attr = {
			.ino = ORCHFS_ROOT_INO, .change = 5, .generation = 9,
			.mode = S_IFDIR | 0755, .nlink = 2, .mtime = 1000,
			.flags = ORCHFS_ATTR_NO_XATTR | ORCHFS_ATTR_NO_CAP |
				 ORCHFS_ATTR_NO_ACL | ORCHFS_ATTR_NO_DEFACL,
		},
	};
	struct orchfs_request *req;

	if (lock) {
		daemon_lock(d, id, nla_data(lock));
		return;
	}
	req = orchfs_request_expect(d->ch, id);
	if (!req)
		return;
	if (!orchfs_request_complete(d->ch, req, 0, &res))
		orchfs_result_free(&res);
	orchfs_request_put(req);
}

static int daemon_send(struct orchfs_channel *ch, struct sk_buff *skb,
		       u32 portid)
{
	const struct nlmsghdr *nlh = nlmsg_hdr(skb);
	const struct genlmsghdr *genlh = nlmsg_data(nlh);

	if (genlh->cmd == ORCHFS_CMD_LOCK_HELD)
		daemon_held(lock_daemon, nlh);
	else if (genlh->cmd == ORCHFS_CMD_REQUEST)
		daemon_request(lock_daemon, nlh);
	kfree_skb(skb);
	return 0;
}

static struct vfsmount *lock_mount(void)
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
	ret = vfs_parse_fs_string(fc, "source", "lock-kunit",
				  strlen("lock-kunit"));
	mnt = ret ? ERR_PTR(ret) : fc_mount(fc);
	put_fs_context(fc);
	return mnt;
}

static int setup(struct kunit *test)
{
	static const u8 uuid[16] = "lock-kunit.....";
	struct lock_daemon *d = kunit_kzalloc(test, sizeof(*d), GFP_KERNEL);
	struct path root;
	bool mounted;

	KUNIT_ASSERT_NOT_NULL(test, d);
	test->priv = d;
	lock_daemon = d;
	spin_lock_init(&d->lock);
	KUNIT_ASSERT_EQ(test, orchfs_channel_attach(&init_net, uuid,
						    "lock-kunit", 1, PORT,
						    NULL, &mounted), 0);
	d->ch = orchfs_channel_by_uuid(&init_net, uuid);
	KUNIT_ASSERT_NOT_NULL(test, d->ch);
	d->ch->send = daemon_send;
	KUNIT_ASSERT_EQ(test, orchfs_channel_ready(d->ch, PORT, 5), 0);
	d->mnt = lock_mount();
	KUNIT_ASSERT_FALSE(test, IS_ERR(d->mnt));
	root = (struct path){ .mnt = d->mnt, .dentry = d->mnt->mnt_root };
	d->file = dentry_open(&root, O_RDONLY | O_DIRECTORY, current_cred());
	KUNIT_ASSERT_FALSE(test, IS_ERR(d->file));
	return 0;
}

static void close_file(struct lock_daemon *d)
{
	if (!IS_ERR_OR_NULL(d->file))
		__fput_sync(d->file);
	d->file = NULL;
}

static void teardown(struct kunit *test)
{
	struct lock_daemon *d = test->priv;

	if (!d)
		return;
	d->answer = 0;
	close_file(d);
	if (!IS_ERR_OR_NULL(d->mnt))
		kern_unmount(d->mnt);
	if (d->ch) {
		orchfs_channel_detach(d->ch, PORT);
		orchfs_channel_put(d->ch);
	}
	flush_workqueue(orchfs_channel_wq);
	lock_daemon = NULL;
}

/* Wait until it is so, or long enough. */
#define UNTIL(cond) ({						\
	unsigned long end_ = jiffies + PATIENCE;		\
	while (!(cond) && time_before(jiffies, end_))		\
		schedule_timeout_uninterruptible(1);		\
	(cond);							\
})

/* --- locks --- */

#define POSIX	FL_POSIX
#define OFD	(FL_POSIX | FL_OFDLCK)
#define FLOCK	FL_FLOCK
#define SLEEP	FL_SLEEP

struct want {
	unsigned long owner;
	unsigned int flags;
	unsigned char type;
	loff_t start, end;
};

static void fill(struct lock_daemon *d, struct file_lock *fl,
		 const struct want *w)
{
	locks_init_lock(fl);
	fl->c.flc_file = d->file;
	fl->c.flc_owner = w->flags & FL_FLOCK ? (void *)d->file :
						(void *)w->owner;
	fl->c.flc_pid = current->pid;
	fl->c.flc_flags = w->flags;
	fl->c.flc_type = w->type;
	fl->fl_start = w->start;
	fl->fl_end = w->end;
}

static int lock(struct lock_daemon *d, const struct want *w)
{
	struct file_lock fl;
	int ret;

	fill(d, &fl, w);
	ret = w->flags & FL_FLOCK ? orchfs_flock(d->file, F_SETLK, &fl) :
				    orchfs_lock(d->file, F_SETLK, &fl);
	locks_release_private(&fl);
	return ret;
}

#define LOCK(d, ...)	lock(d, &(struct want){ __VA_ARGS__ })

static void unlock_all(struct lock_daemon *d, unsigned long owner)
{
	LOCK(d, owner, POSIX, F_UNLCK, 0, OFFSET_MAX);
}

static struct orchfs_locks *locks_of(struct lock_daemon *d)
{
	return ORCHFS_I(file_inode(d->file))->locks;
}

/* How many ranges are in the VFS's lists. */
static unsigned int in_lists(struct lock_daemon *d)
{
	struct file_lock_context *ctx;
	unsigned int n = 0;

	ctx = locks_inode_context(file_inode(d->file));
	if (!ctx)
		return 0;
	spin_lock(&ctx->flc_lock);
	n = list_count_nodes(&ctx->flc_posix) +
	    list_count_nodes(&ctx->flc_flock);
	spin_unlock(&ctx->flc_lock);
	return n;
}

/* A lock-recall of the root's locks, or with @id 0 of none. */
static void recall(struct kunit *test, u64 id, bool lost)
{
	struct lock_daemon *d = test->priv;
	struct nlattr *attrs[ORCHFS_A_MSG_MAX + 1] = {};
	struct genl_info info = { .attrs = attrs, .user_ptr = { d->ch } };
	struct sk_buff *skb = nlmsg_new(64, GFP_KERNEL);
	u64 node = ORCHFS_ROOT_INO;

	KUNIT_ASSERT_NOT_NULL(test, skb);
	if (id) {
		attrs[ORCHFS_A_MSG_REQUEST_ID] = (struct nlattr *)
						 skb_tail_pointer(skb);
		nla_put(skb, ORCHFS_A_MSG_REQUEST_ID, sizeof(id), &id);
		attrs[ORCHFS_A_MSG_NODE] = (struct nlattr *)
					   skb_tail_pointer(skb);
		nla_put(skb, ORCHFS_A_MSG_NODE, sizeof(node), &node);
	}
	if (lost) {
		attrs[ORCHFS_A_MSG_LOST] = (struct nlattr *)
					   skb_tail_pointer(skb);
		nla_put_flag(skb, ORCHFS_A_MSG_LOST);
	}
	KUNIT_EXPECT_EQ(test, orchfs_nl_lock_recall_doit(NULL, &info), 0);
	kfree_skb(skb);
}

/* The kernel asks from now on. */
static void ask_from_now_on(struct kunit *test)
{
	recall(test, 0, false);
}

/* --- who waits --- */

struct waiter {
	struct lock_daemon *d;
	struct want want;
	struct task_struct *task;
	int ret;
	bool ended;
	struct completion done;
};

static int waiter_thread(void *arg)
{
	struct waiter *w = arg;

	allow_signal(SIGUSR1);
	allow_signal(SIGKILL);
	w->ret = lock(w->d, &w->want);
	WRITE_ONCE(w->ended, true);
	complete(&w->done);
	return 0;
}

/* It wants a lock; its request has arrived when this returns. */
static void waiter_begin(struct kunit *test, struct waiter *w,
			 struct want want)
{
	struct lock_daemon *d = test->priv;
	unsigned int before = READ_ONCE(d->nr_got);

	*w = (struct waiter){ .d = d, .want = want };
	init_completion(&w->done);
	w->task = kthread_create(waiter_thread, w, "waiter");
	KUNIT_ASSERT_FALSE(test, IS_ERR(w->task));
	get_task_struct(w->task);
	wake_up_process(w->task);
	KUNIT_EXPECT_TRUE(test, UNTIL(READ_ONCE(d->nr_got) > before));
}

static int waiter_end(struct waiter *w)
{
	wait_for_completion(&w->done);
	put_task_struct(w->task);
	return w->ret;
}

/* Who is interrupted says so until it is heard: the first may come too early. */
static void test_cancel_again(struct kunit *test)
{
	struct lock_daemon *d = test->priv;
	struct waiter w;

	ask_from_now_on(test);
	d->answer = HOLD;
	waiter_begin(test, &w, (struct want){ 1, POSIX | SLEEP, F_WRLCK, 0, 9 });
	d->answer = 0;
	send_sig(SIGUSR1, w.task, 1);
	KUNIT_EXPECT_TRUE(test, UNTIL(READ_ONCE(d->nr_got) == 3));
	KUNIT_EXPECT_EQ(test, d->got[1].l.flags, ORCHFS_LOCK_CANCEL);
	KUNIT_EXPECT_EQ(test, d->got[1].l.id, d->got[0].id);
	KUNIT_EXPECT_EQ(test, d->got[2].l.id, d->got[0].id);
	KUNIT_EXPECT_FALSE(test, READ_ONCE(w.ended));
	daemon_complete(d, d->got[0].id, -EINTR, 0, NULL);
	KUNIT_EXPECT_EQ(test, waiter_end(&w), -ERESTARTSYS);
	KUNIT_EXPECT_EQ(test, in_lists(d), 0);
}

/* What was granted before the cancel came is held. */
static void test_cancel_late(struct kunit *test)
{
	struct lock_daemon *d = test->priv;
	struct waiter w;

	ask_from_now_on(test);
	d->answer = HOLD;
	waiter_begin(test, &w, (struct want){ 1, OFD | SLEEP, F_WRLCK, 0, 9 });
	d->answer = 0;
	send_sig(SIGUSR1, w.task, 1);
	KUNIT_EXPECT_TRUE(test, UNTIL(READ_ONCE(d->nr_got) == 2));
	daemon_complete(d, d->got[0].id, 0, 0, NULL);
	KUNIT_EXPECT_EQ(test, waiter_end(&w), 0);
	KUNIT_EXPECT_EQ(test, in_lists(d), 1);
	unlock_all(d, 1);
}

/* Without a daemon, or before it has heard of it, nobody needs to be told. */
static void test_cancel_detached(struct kunit *test)
{
	struct lock_daemon *d = test->priv;
	struct waiter w;

	ask_from_now_on(test);
	d->answer = HOLD;
	waiter_begin(test, &w, (struct want){ 1, POSIX | SLEEP, F_WRLCK, 0, 9 });
	orchfs_channel_detach(d->ch, PORT);
	send_sig(SIGUSR1, w.task, 1);
	KUNIT_EXPECT_EQ(test, waiter_end(&w), -ERESTARTSYS);
	KUNIT_EXPECT_EQ(test, d->nr_got, 1);
}

/* Who waits for long doesn't keep the machine from suspending. */
static void test_freezable(struct kunit *test)
{
	struct lock_daemon *d = test->priv;
	struct waiter w;

	ask_from_now_on(test);
	d->answer = HOLD;
	waiter_begin(test, &w, (struct want){ 1, POSIX | SLEEP, F_WRLCK, 0, 9 });
	KUNIT_EXPECT_TRUE(test, UNTIL(READ_ONCE(w.task->__state) ==
				      (TASK_INTERRUPTIBLE | TASK_FREEZABLE)));
	daemon_complete(d, d->got[0].id, 0, 0, NULL);
	KUNIT_EXPECT_EQ(test, waiter_end(&w), 0);
	d->answer = 0;
	unlock_all(d, 1);
}

/* Others' requests find room, however many wait for locks. */
static void test_too_many_wait(struct kunit *test)
{
	struct lock_daemon *d = test->priv;
	struct waiter w;

	ask_from_now_on(test);
	d->answer = HOLD;
	atomic_set(&d->ch->lock_waits, ORCHFS_LOCK_WAITS_MAX - 1);
	waiter_begin(test, &w, (struct want){ 1, POSIX | SLEEP, F_WRLCK, 0, 9 });
	KUNIT_EXPECT_EQ(test, LOCK(d, 2, POSIX | SLEEP, F_WRLCK, 0, 9),
			-ENOLCK);
	d->answer = -EAGAIN;
	KUNIT_EXPECT_EQ(test, LOCK(d, 2, POSIX, F_WRLCK, 0, 9), -EAGAIN);
	daemon_complete(d, d->got[0].id, -EDEADLK, 0, NULL);
	KUNIT_EXPECT_EQ(test, waiter_end(&w), -EDEADLK);
	KUNIT_EXPECT_EQ(test, atomic_read(&d->ch->lock_waits),
			ORCHFS_LOCK_WAITS_MAX - 1);
}

/* --- who decides --- */

static void test_alone(struct kunit *test)
{
	struct lock_daemon *d = test->priv;

	KUNIT_EXPECT_EQ(test, LOCK(d, 1, POSIX, F_WRLCK, 0, 9), 0);
	KUNIT_EXPECT_EQ(test, LOCK(d, 2, POSIX, F_RDLCK, 9, 9), -EAGAIN);
	KUNIT_EXPECT_EQ(test, LOCK(d, 2, OFD, F_RDLCK, 10, 19), 0);
	KUNIT_EXPECT_EQ(test, LOCK(d, 0, FLOCK, F_WRLCK, 0, OFFSET_MAX), 0);
	KUNIT_EXPECT_EQ(test, in_lists(d), 3);
	unlock_all(d, 1);
	unlock_all(d, 2);
	KUNIT_EXPECT_EQ(test, LOCK(d, 0, FLOCK, F_UNLCK, 0, OFFSET_MAX), 0);
	KUNIT_EXPECT_EQ(test, in_lists(d), 0);
	KUNIT_EXPECT_EQ(test, d->nr_got, 0);
}

static void test_lease(struct kunit *test)
{
	struct lock_daemon *d = test->priv;

	ask_from_now_on(test);
	d->answer = LEASE;
	KUNIT_EXPECT_EQ(test, LOCK(d, 1, POSIX, F_WRLCK, 0, 9), 0);
	KUNIT_EXPECT_EQ(test, d->nr_got, 1);
	KUNIT_EXPECT_EQ(test, d->got[0].l.type, ORCHFS_LOCK_WRITE);
	KUNIT_EXPECT_EQ(test, d->got[0].l.end, 9);
	KUNIT_EXPECT_EQ(test, LOCK(d, 2, POSIX, F_RDLCK, 5, 5), -EAGAIN);
	KUNIT_EXPECT_EQ(test, LOCK(d, 2, POSIX, F_RDLCK, 10, 19), 0);
	KUNIT_EXPECT_EQ(test, d->nr_got, 1);
	/* it is recalled: what is held is told, and the next one is asked for */
	recall(test, 7, false);
	KUNIT_EXPECT_TRUE(test, UNTIL(READ_ONCE(d->nr_eofs) == 1));
	KUNIT_EXPECT_EQ(test, d->nr_held, 2);
	KUNIT_EXPECT_EQ(test, d->held_id, 7);
	d->answer = -EAGAIN;
	KUNIT_EXPECT_EQ(test, LOCK(d, 3, POSIX, F_RDLCK, 40, 41), -EAGAIN);
	d->answer = 0;
	KUNIT_EXPECT_EQ(test, LOCK(d, 3, POSIX, F_RDLCK, 40, 41), 0);
	KUNIT_EXPECT_EQ(test, d->nr_got, 3);
	KUNIT_EXPECT_EQ(test, in_lists(d), 3);
	unlock_all(d, 1);
	unlock_all(d, 2);
	unlock_all(d, 3);
	KUNIT_EXPECT_EQ(test, d->nr_got, 6);
	KUNIT_EXPECT_EQ(test, d->got[5].l.type, ORCHFS_LOCK_NONE);
	KUNIT_EXPECT_EQ(test, in_lists(d), 0);
}

/* What is lost is gone when the daemon has said so. */
static void test_lost(struct kunit *test)
{
	struct lock_daemon *d = test->priv;

	ask_from_now_on(test);
	d->answer = LEASE;
	KUNIT_EXPECT_EQ(test, LOCK(d, 1, POSIX, F_WRLCK, 0, 9), 0);
	KUNIT_EXPECT_EQ(test, LOCK(d, 0, FLOCK, F_RDLCK, 0, OFFSET_MAX), 0);
	recall(test, 1, true);
	KUNIT_EXPECT_EQ(test, in_lists(d), 0);
	d->answer = 0;
	KUNIT_EXPECT_EQ(test, LOCK(d, 2, POSIX, F_WRLCK, 0, 9), 0);
	KUNIT_EXPECT_EQ(test, d->nr_got, 2);
	KUNIT_EXPECT_EQ(test, d->nr_eofs, 0);
	unlock_all(d, 2);
}

/* A lease that was given before, and is on its way still, is lost as well. */
static void test_lost_lease(struct kunit *test)
{
	struct lock_daemon *d = test->priv;
	struct waiter w;

	ask_from_now_on(test);
	d->answer = HOLD;
	waiter_begin(test, &w, (struct want){ 1, POSIX, F_WRLCK, 0, 9 });
	/* a lock that was granted is to be in the lists first */
	atomic_inc(&locks_of(d)->granted);
	daemon_complete(d, d->got[0].id, 0, ORCHFS_REQ_FLAG_LEASE, NULL);
	d->answer = -EAGAIN;
	recall(test, 1, true);
	atomic_dec(&locks_of(d)->granted);
	wake_up_all(&locks_of(d)->wq);
	KUNIT_EXPECT_EQ(test, waiter_end(&w), -EAGAIN);
	KUNIT_EXPECT_EQ(test, d->nr_got, 2);
	KUNIT_EXPECT_EQ(test, in_lists(d), 0);
}

/* So is a lock. */
static void test_lost_grant(struct kunit *test)
{
	struct lock_daemon *d = test->priv;
	struct waiter w;

	ask_from_now_on(test);
	d->answer = HOLD;
	waiter_begin(test, &w, (struct want){ 1, POSIX, F_WRLCK, 0, 9 });
	/* it can't get into the lists at once */
	mutex_lock(&locks_of(d)->order);
	daemon_complete(d, d->got[0].id, 0, 0, NULL);
	d->answer = -EAGAIN;
	WRITE_ONCE(locks_of(d)->lost, 1);
	mutex_unlock(&locks_of(d)->order);
	KUNIT_EXPECT_EQ(test, waiter_end(&w), -EAGAIN);
	KUNIT_EXPECT_EQ(test, d->nr_got, 2);
	KUNIT_EXPECT_EQ(test, in_lists(d), 0);
}

/* --- what the daemon knows is what the lists have --- */

static void expect_got(struct kunit *test, unsigned int i, u32 type, u64 start,
		       u64 end)
{
	struct lock_daemon *d = test->priv;

	KUNIT_ASSERT_GT(test, d->nr_got, i);
	KUNIT_EXPECT_EQ(test, d->got[i].l.type, type);
	KUNIT_EXPECT_EQ(test, d->got[i].l.start, start);
	KUNIT_EXPECT_EQ(test, d->got[i].l.end, end);
	KUNIT_EXPECT_EQ(test, d->got[i].l.flags & ORCHFS_LOCK_WAIT, 0);
}

/* A waiter that is killed before what it gets arrives. */
static void killed(struct kunit *test, struct want want)
{
	struct lock_daemon *d = test->priv;
	unsigned int n = d->nr_got;
	struct waiter w;

	d->answer = HOLD;
	waiter_begin(test, &w, want);
	d->answer = 0;
	send_sig(SIGKILL, w.task, 1);
	KUNIT_EXPECT_EQ(test, waiter_end(&w), -ERESTARTSYS);
	KUNIT_EXPECT_EQ(test, d->got[n + 1].l.flags, ORCHFS_LOCK_CANCEL);
	daemon_complete(d, d->got[n].id, 0, 0, NULL);
}

/* What was held before is so again, and is told. */
static void test_late_grant(struct kunit *test)
{
	struct lock_daemon *d = test->priv;

	ask_from_now_on(test);
	KUNIT_EXPECT_EQ(test, LOCK(d, 1, OFD, F_RDLCK, 10, 19), 0);
	KUNIT_EXPECT_EQ(test, LOCK(d, 1, OFD, F_WRLCK, 30, 39), 0);
	KUNIT_EXPECT_EQ(test, LOCK(d, 2, OFD, F_RDLCK, 50, 59), 0);
	killed(test, (struct want){ 1, OFD | SLEEP, F_WRLCK, 5, 69 });
	KUNIT_EXPECT_EQ(test, d->nr_got, 9);
	expect_got(test, 5, ORCHFS_LOCK_NONE, 5, 9);
	expect_got(test, 6, ORCHFS_LOCK_READ, 10, 19);
	expect_got(test, 7, ORCHFS_LOCK_NONE, 20, 29);
	expect_got(test, 8, ORCHFS_LOCK_NONE, 40, 69);
	KUNIT_EXPECT_EQ(test, in_lists(d), 3);
	/* a stronger one is lost: others may read already */
	killed(test, (struct want){ 1, OFD | SLEEP, F_RDLCK, 35, 36 });
	KUNIT_EXPECT_EQ(test, d->nr_got, 12);
	expect_got(test, 11, ORCHFS_LOCK_NONE, 35, 36);
	KUNIT_EXPECT_EQ(test, in_lists(d), 4);
	/* so are many */
	for (int i = 0; i < 20; i++)
		LOCK(d, 3, OFD, F_RDLCK, 100 + 2 * i, 100 + 2 * i);
	KUNIT_EXPECT_EQ(test, in_lists(d), 24);
	killed(test, (struct want){ 3, OFD | SLEEP, F_WRLCK, 100, 199 });
	KUNIT_EXPECT_EQ(test, d->nr_got, 35);
	expect_got(test, 34, ORCHFS_LOCK_NONE, 100, 199);
	KUNIT_EXPECT_EQ(test, in_lists(d), 4);
	unlock_all(d, 1);
	unlock_all(d, 2);
}

/* A thread unlocks while another one locks: it may have lost what it got. */
static void test_overtaken(struct kunit *test)
{
	struct lock_daemon *d = test->priv;
	struct waiter w;

	ask_from_now_on(test);
	KUNIT_EXPECT_EQ(test, LOCK(d, 1, POSIX, F_RDLCK, 0, 9), 0);
	d->answer = HOLD;
	waiter_begin(test, &w, (struct want){ 1, POSIX, F_WRLCK, 5, 19 });
	d->answer = 0;
	KUNIT_EXPECT_EQ(test, LOCK(d, 1, POSIX, F_UNLCK, 0, 9), 0);
	KUNIT_EXPECT_EQ(test, d->nr_got, 3);
	KUNIT_EXPECT_GT(test, d->got[2].id, d->got[1].id);
	daemon_complete(d, d->got[1].id, 0, 0, NULL);
	KUNIT_EXPECT_EQ(test, waiter_end(&w), 0);
	KUNIT_EXPECT_EQ(test, d->nr_got, 5);
	expect_got(test, 3, ORCHFS_LOCK_NONE, 5, 19);
	expect_got(test, 4, ORCHFS_LOCK_WRITE, 5, 19);
	KUNIT_EXPECT_EQ(test, in_lists(d), 1);
	/* what comes after something later is said again, as it is now */
	d->stale = true;
	unlock_all(d, 1);
	KUNIT_EXPECT_EQ(test, d->nr_got, 7);
	expect_got(test, 6, ORCHFS_LOCK_NONE, 0, OFFSET_MAX);
	KUNIT_EXPECT_EQ(test, in_lists(d), 0);
}

/* To lock what is locked is nothing, and can't fail. */
static void test_flock_again(struct kunit *test)
{
	struct lock_daemon *d = test->priv;

	ask_from_now_on(test);
	KUNIT_EXPECT_EQ(test, LOCK(d, 0, FLOCK, F_WRLCK, 0, OFFSET_MAX), 0);
	d->answer = -ENOLCK;
	KUNIT_EXPECT_EQ(test, LOCK(d, 0, FLOCK, F_WRLCK, 0, OFFSET_MAX), 0);
	KUNIT_EXPECT_EQ(test, d->nr_got, 1);
	KUNIT_EXPECT_EQ(test, in_lists(d), 1);
	/* what can't be asked for changes nothing */
	atomic_set(&d->ch->lock_waits, ORCHFS_LOCK_WAITS_MAX);
	KUNIT_EXPECT_EQ(test, LOCK(d, 0, FLOCK | SLEEP, F_RDLCK, 0, OFFSET_MAX),
			-ENOLCK);
	atomic_set(&d->ch->lock_waits, 0);
	KUNIT_EXPECT_EQ(test, d->nr_got, 1);
	KUNIT_EXPECT_EQ(test, in_lists(d), 1);
	/* one that is converted is let go of first, and nobody has it then */
	KUNIT_EXPECT_EQ(test, LOCK(d, 0, FLOCK, F_RDLCK, 0, OFFSET_MAX),
			-ENOLCK);
	KUNIT_EXPECT_EQ(test, d->nr_got, 3);
	expect_got(test, 2, ORCHFS_LOCK_NONE, 0, OFFSET_MAX);
	KUNIT_EXPECT_EQ(test, in_lists(d), 0);
}

/* --- how many --- */

static struct orchfs_lock_user *user_of(struct lock_daemon *d, u32 uid)
{
	return xa_load(&ORCHFS_SB(d->mnt->mnt_sb)->lock_users, uid);
}

static int ranges_of(struct lock_daemon *d, u32 uid)
{
	struct orchfs_lock_user *u = user_of(d, uid);

	return u ? atomic_read(&u->nr) : 0;
}

static void test_ranges(struct kunit *test)
{
	struct lock_daemon *d = test->priv;
	atomic_t *all = &ORCHFS_SB(d->mnt->mnt_sb)->lock_ranges;

	/* who is alone isn't counted */
	KUNIT_EXPECT_EQ(test, LOCK(d, 4, POSIX, F_WRLCK, 80, 99), 0);
	KUNIT_EXPECT_EQ(test, ranges_of(d, 0), 0);
	unlock_all(d, 4);
	ask_from_now_on(test);
	d->answer = LEASE;
	KUNIT_EXPECT_EQ(test, LOCK(d, 1, POSIX, F_WRLCK, 0, 99), 0);
	KUNIT_EXPECT_EQ(test, ranges_of(d, 0), 1);
	KUNIT_EXPECT_EQ(test, LOCK(d, 2, POSIX, F_RDLCK, 9, 9), -EAGAIN);
	KUNIT_EXPECT_EQ(test, ranges_of(d, 0), 1);
	KUNIT_EXPECT_EQ(test, LOCK(d, 1, POSIX, F_UNLCK, 10, 19), 0);
	KUNIT_EXPECT_EQ(test, LOCK(d, 1, POSIX, F_RDLCK, 30, 39), 0);
	KUNIT_EXPECT_EQ(test, ranges_of(d, 0), 4);
	KUNIT_EXPECT_EQ(test, LOCK(d, 0, FLOCK, F_RDLCK, 0, OFFSET_MAX), 0);
	KUNIT_EXPECT_EQ(test, LOCK(d, 0, FLOCK, F_WRLCK, 0, OFFSET_MAX), 0);
	KUNIT_EXPECT_EQ(test, ranges_of(d, 0), 5);
	KUNIT_EXPECT_EQ(test, LOCK(d, 1, POSIX, F_WRLCK, 0, 99), 0);
	KUNIT_EXPECT_EQ(test, ranges_of(d, 0), 2);
	KUNIT_EXPECT_EQ(test, atomic_read(all), 2);
	/* what is lost is none any more */
	recall(test, 1, true);
	KUNIT_EXPECT_EQ(test, atomic_read(all), 0);
	KUNIT_EXPECT_NULL(test, user_of(d, 0));
}

/* A user's locks leave room for others', all users' for those of other nodes. */
static void test_too_many_ranges(struct kunit *test)
{
	struct lock_daemon *d = test->priv;
	atomic_t *all = &ORCHFS_SB(d->mnt->mnt_sb)->lock_ranges;
	struct cred *cred = prepare_creds();
	struct file *roots = d->file, *file;

	KUNIT_ASSERT_NOT_NULL(test, cred);
	cred->fsuid = KUIDT_INIT(1000);
	file = dentry_open(&d->file->f_path, O_RDONLY | O_DIRECTORY, cred);
	put_cred(cred);
	KUNIT_ASSERT_FALSE(test, IS_ERR(file));
	ask_from_now_on(test);
	d->answer = LEASE;
	KUNIT_EXPECT_EQ(test, LOCK(d, 1, POSIX, F_WRLCK, 0, 99), 0);
	atomic_add(ORCHFS_RANGES_USER_MAX - 1, &user_of(d, 0)->nr);
	atomic_add(ORCHFS_RANGES_USER_MAX - 1, all);
	KUNIT_EXPECT_EQ(test, LOCK(d, 1, POSIX, F_WRLCK, 200, 299), -ENOLCK);
	KUNIT_EXPECT_EQ(test, LOCK(d, 1, POSIX, F_UNLCK, 10, 19), 0);
	d->file = file;
	KUNIT_EXPECT_EQ(test, LOCK(d, 2, POSIX, F_WRLCK, 200, 299), 0);
	KUNIT_EXPECT_EQ(test, ranges_of(d, 1000), 1);
	atomic_add(ORCHFS_RANGES_MAX, all);
	KUNIT_EXPECT_EQ(test, LOCK(d, 2, POSIX, F_WRLCK, 300, 399), -ENOLCK);
	atomic_sub(ORCHFS_RANGES_MAX, all);
	d->file = roots;
	/* nor does it help to cut them in pieces; but to end one does */
	atomic_add(ORCHFS_RANGES_CUT_MAX, &user_of(d, 0)->nr);
	KUNIT_EXPECT_EQ(test, LOCK(d, 1, POSIX, F_UNLCK, 30, 39), -ENOLCK);
	KUNIT_EXPECT_EQ(test, LOCK(d, 1, POSIX, F_UNLCK, 90, 99), 0);
	KUNIT_EXPECT_EQ(test, LOCK(d, 1, POSIX, F_UNLCK, 0, 9), 0);
	KUNIT_EXPECT_EQ(test, in_lists(d), 2);
	atomic_sub(ORCHFS_RANGES_USER_MAX - 1, all);
	atomic_sub(ORCHFS_RANGES_USER_MAX - 1 + ORCHFS_RANGES_CUT_MAX,
		   &user_of(d, 0)->nr);
	unlock_all(d, 1);
	unlock_all(d, 2);
	KUNIT_EXPECT_EQ(test, atomic_read(all), 0);
	KUNIT_EXPECT_NULL(test, user_of(d, 0));
	KUNIT_EXPECT_NULL(test, user_of(d, 1000));
	__fput_sync(file);
}

/* A recall that waits for what was granted holds up umount, not its inode. */
static void test_recall_at_umount(struct kunit *test)
{
	struct lock_daemon *d = test->priv;

	KUNIT_EXPECT_EQ(test, LOCK(d, 1, POSIX, F_WRLCK, 0, 9), 0);
	unlock_all(d, 1);
	atomic_inc(&locks_of(d)->granted);
	recall(test, 7, false);
	close_file(d);
	kern_unmount(d->mnt);
	d->mnt = NULL;
	KUNIT_EXPECT_EQ(test, d->nr_eofs, 0);
}

/* --- the dump --- */

struct dump {
	struct lock_daemon *d;
	unsigned int nr_locks, nr_leases;
	bool ended;
	struct completion done;
};

/* As netlink does it, with room for all at once. */
static int dump_thread(void *arg)
{
	struct dump *u = arg;
	struct nlmsghdr nlh = { .nlmsg_seq = 1 };
	struct netlink_callback cb = { .nlh = &nlh };
	struct sk_buff *skb = nlmsg_new(8192, GFP_KERNEL);
	const struct nlattr *a;
	struct nlmsghdr *at;
	int left;

	cb.skb = nlmsg_new(64, GFP_KERNEL);
	if (skb && cb.skb && !orchfs_locks_dump_start(&cb, u->d->ch)) {
		orchfs_nl_locks_dumpit(skb, &cb);
		orchfs_nl_locks_done(&cb);
		left = skb->len;
		for (at = (struct nlmsghdr *)skb->data; nlmsg_ok(at, left);
		     at = nlmsg_next(at, &left)) {
			a = nlmsg_find_attr(at, GENL_HDRLEN,
					    ORCHFS_A_MSG_LOCKS);
			if (a)
				u->nr_locks += nla_len(a) /
					       sizeof(struct orchfs_lock);
			if (nlmsg_find_attr(at, GENL_HDRLEN,
					    ORCHFS_A_MSG_FLAGS))
				u->nr_leases++;
		}
	}
	kfree_skb(cb.skb);
	kfree_skb(skb);
	WRITE_ONCE(u->ended, true);
	complete(&u->done);
	return 0;
}

static void dump_begin(struct kunit *test, struct dump *u)
{
	*u = (struct dump){ .d = test->priv };
	init_completion(&u->done);
	KUNIT_ASSERT_FALSE(test, IS_ERR(kthread_run(dump_thread, u, "dump")));
}

static void test_dump(struct kunit *test)
{
	struct lock_daemon *d = test->priv;
	struct dump u;

	/* who never had to ask tells nothing */
	KUNIT_EXPECT_EQ(test, LOCK(d, 1, POSIX, F_WRLCK, 0, 9), 0);
	dump_begin(test, &u);
	wait_for_completion(&u.done);
	KUNIT_EXPECT_EQ(test, u.nr_locks, 0);
	ask_from_now_on(test);
	KUNIT_EXPECT_EQ(test, LOCK(d, 2, POSIX, F_WRLCK, 20, 29), 0);
	dump_begin(test, &u);
	wait_for_completion(&u.done);
	KUNIT_EXPECT_EQ(test, u.nr_locks, 2);
	KUNIT_EXPECT_EQ(test, u.nr_leases, 0);
	unlock_all(d, 1);
	unlock_all(d, 2);
	d->answer = LEASE;
	KUNIT_EXPECT_EQ(test, LOCK(d, 2, POSIX, F_WRLCK, 20, 29), 0);
	dump_begin(test, &u);
	wait_for_completion(&u.done);
	KUNIT_EXPECT_EQ(test, u.nr_locks, 0);
	KUNIT_EXPECT_EQ(test, u.nr_leases, 1);
	unlock_all(d, 2);
}

/* Who is about to decide alone, as it hadn't to ask, is waited for. */
static void test_dump_waits(struct kunit *test)
{
	struct lock_daemon *d = test->priv;
	struct file_lock fl;
	struct dump u;

	KUNIT_EXPECT_EQ(test, LOCK(d, 1, POSIX, F_WRLCK, 0, 9), 0);
	down_read(&locks_of(d)->sem);
	ask_from_now_on(test);
	dump_begin(test, &u);
	UNTIL(READ_ONCE(u.ended) || rwsem_is_contended(&locks_of(d)->sem));
	fill(d, &fl, &(struct want){ 2, POSIX, F_WRLCK, 20, 29 });
	KUNIT_EXPECT_EQ(test, posix_lock_file(d->file, &fl, NULL), 0);
	up_read(&locks_of(d)->sem);
	wait_for_completion(&u.done);
	KUNIT_EXPECT_EQ(test, u.nr_locks, 2);
	unlock_all(d, 1);
	unlock_all(d, 2);
}

static struct kunit_case lock_cases[] = {
	KUNIT_CASE(test_cancel_again),
	KUNIT_CASE(test_cancel_late),
	KUNIT_CASE(test_cancel_detached),
	KUNIT_CASE(test_freezable),
	KUNIT_CASE(test_too_many_wait),
	KUNIT_CASE(test_alone),
	KUNIT_CASE(test_lease),
	KUNIT_CASE(test_lost),
	KUNIT_CASE(test_lost_lease),
	KUNIT_CASE(test_lost_grant),
	KUNIT_CASE(test_late_grant),
	KUNIT_CASE(test_overtaken),
	KUNIT_CASE(test_flock_again),
	KUNIT_CASE(test_ranges),
	KUNIT_CASE(test_too_many_ranges),
	KUNIT_CASE(test_recall_at_umount),
	KUNIT_CASE(test_dump),
	KUNIT_CASE(test_dump_waits),
	{}
};

static struct kunit_suite lock_suite = {
	.name = "orchfs-lock",
	.init = setup,
	.exit = teardown,
	.test_cases = lock_cases,
};

kunit_test_suite(lock_suite);
