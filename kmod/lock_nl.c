// SPDX-License-Identifier: GPL-2.0-only
/*
 * The daemon's side of locks: it recalls the lease of an inode's locks, tells
 * that they are lost, and reads what there is of locks when it attaches. A
 * recall is recorded by the command's handler and carried out by a work item,
 * which tells what is held. What is lost goes in the handler, so that nothing
 * of after is taken for it.
 */
#include <linux/slab.h>
#include <linux/xarray.h>
#include <net/sock.h>

#include "lock.h"
#include "nl_gen.h"

#define ORCHFS_HELD_BATCH	512
#define ORCHFS_DUMP_BATCH	64
#define ORCHFS_LAND_TIMEOUT	HZ

/* --- recalls --- */

/* Answers that came before the recall are in the lists. */
static bool orchfs_locks_settled(struct orchfs_locks *li)
{
	return wait_event_timeout(li->wq, !atomic_read(&li->granted) &&
				  !atomic_read(&li->leased),
				  ORCHFS_LAND_TIMEOUT);
}

/* Without an answer the daemon asks again. */
static int orchfs_recall_one(struct orchfs_locks *li, struct orchfs_held *held)
{
	int ret;

	*held = (struct orchfs_held){};
	if (!orchfs_locks_settled(li))
		return -EAGAIN;
	down_write(&li->sem);
	WRITE_ONCE(li->lease, false);
	ret = orchfs_held_get(li->inode, held);
	up_write(&li->sem);
	orchfs_locks_wake(li);
	return ret;
}

/*
 * What was granted before and isn't in the lists yet won't stay there: see
 * orchfs_locks.lost.
 */
static void orchfs_locks_lose(struct orchfs_locks *li)
{
	unsigned int n;

	down_write(&li->sem);
	WRITE_ONCE(li->lost, li->lost + 1);
	WRITE_ONCE(li->lease, false);
	n = orchfs_held_drop(li->inode, NULL);
	up_write(&li->sem);
	orchfs_locks_wake(li);
	if (n)
		pr_warn_ratelimited("orchfs: inode %lu: locks of %u owners are lost, as this node was cut off for too long or has too many\n",
				    li->inode->i_ino, n);
}

/* The last message tells that it was all, so none before it may be missing. */
static void orchfs_recall_answer(struct orchfs_channel *ch, u64 id, u64 node,
				 const struct orchfs_held *held)
{
	unsigned int n, done = 0;
	bool queued;

	do {
		n = min(held->nr - done, ORCHFS_HELD_BATCH);
		queued = orchfs_event_queue(ch,
			orchfs_message_held(id, node, held->locks + done, n,
					    done + n == held->nr));
		done += n;
		cond_resched();
	} while (queued && done < held->nr);
}

static void orchfs_recall_run(struct orchfs_sb *sbi, struct orchfs_locks *li,
			      u64 id)
{
	struct orchfs_held held;

	if (!orchfs_recall_one(li, &held))
		orchfs_recall_answer(sbi->channel, id, li->inode->i_ino, &held);
	kvfree(held.locks);
}

static void orchfs_recall_work(struct work_struct *work)
{
	struct orchfs_sb *sbi = container_of(work, struct orchfs_sb,
					     recall_work);
	struct orchfs_locks *li;
	u64 id = 0;

	for (;;) {
		spin_lock(&sbi->lock);
		li = list_first_entry_or_null(&sbi->recalls,
					      struct orchfs_locks, recall);
		if (li) {
			list_del_init(&li->recall);
			id = li->recall_id;
		}
		spin_unlock(&sbi->lock);
		if (!li)
			return;
		orchfs_recall_run(sbi, li, id);
		iput(li->inode);
		cond_resched();
	}
}

/* Takes the reference to the inode, which it gives up where one waits. */
static void orchfs_recall_queue(struct orchfs_sb *sbi, struct orchfs_locks *li,
				u64 id)
{
	bool queued;

	spin_lock(&sbi->lock);
	queued = list_empty(&li->recall);
	if (queued)
		list_add_tail(&li->recall, &sbi->recalls);
	li->recall_id = id;
	spin_unlock(&sbi->lock);
	if (queued)
		queue_work(orchfs_channel_wq, &sbi->recall_work);
	else
		iput(li->inode);
}

/**
 * orchfs_locks_sb_init() - a superblock without locks
 * @sbi: of it
 */
void orchfs_locks_sb_init(struct orchfs_sb *sbi)
{
	xa_init(&sbi->locks);
	xa_init(&sbi->lock_users);
	INIT_LIST_HEAD(&sbi->recalls);
	INIT_WORK(&sbi->recall_work, orchfs_recall_work);
}

/**
 * orchfs_locks_sb_end() - the superblock is about to end
 * @sbi: of it, after orchfs_channel_sb_end()
 *
 * No file is open, and no recall comes any more.
 */
void orchfs_locks_sb_end(struct orchfs_sb *sbi)
{
	flush_work(&sbi->recall_work);
}

int orchfs_nl_lock_recall_doit(struct sk_buff *skb, struct genl_info *info)
{
	bool lost = nla_get_flag(info->attrs[ORCHFS_A_MSG_LOST]);
	const struct nlattr *node = info->attrs[ORCHFS_A_MSG_NODE];
	const struct nlattr *id = info->attrs[ORCHFS_A_MSG_REQUEST_ID];
	struct orchfs_channel *ch = info->user_ptr[0];
	const struct orchfs_held none = {};
	struct orchfs_locks *li = NULL;
	struct super_block *sb;

	/* before the locks of any inode are looked for; orchfs_locks_get() */
	smp_store_mb(ch->locks_ask, true);
	if (!node)
		return 0;
	sb = orchfs_channel_sb_get(ch);
	if (sb)
		li = orchfs_locks_find(ORCHFS_SB(sb), nla_get_u64(node));
	if (li && lost) {
		orchfs_locks_lose(li);
		iput(li->inode);
	} else if (li) {
		orchfs_recall_queue(ORCHFS_SB(sb), li,
				    id ? nla_get_u64(id) : 0);
	} else if (!lost) {
		orchfs_recall_answer(ch, id ? nla_get_u64(id) : 0,
				     nla_get_u64(node), &none);
	}
	orchfs_channel_sb_put(ch, sb);
	return 0;
}

/* --- the dump --- */

/**
 * struct orchfs_locks_dump - state of a dump
 * @ch: a reference
 * @node: the next inode to be told, or the one that is
 * @held: of it, when @part
 * @told: of @held
 * @part: there are more of that inode
 */
struct orchfs_locks_dump {
	struct orchfs_channel *ch;
	unsigned long node;
	struct orchfs_held held;
	unsigned int told;
	bool part;
};

/**
 * orchfs_locks_dump_start() - begin a dump of a channel's locks
 * @cb: ended by orchfs_nl_locks_done()
 * @ch: its daemon reads; a reference of its own is taken
 *
 * Return: 0 or -ENOMEM.
 */
int orchfs_locks_dump_start(struct netlink_callback *cb,
			    struct orchfs_channel *ch)
{
	struct orchfs_locks_dump *d = kzalloc(sizeof(*d), GFP_KERNEL);

	if (!d)
		return -ENOMEM;
	d->ch = orchfs_channel_get(ch);
	cb->args[0] = (long)d;
	return 0;
}

int orchfs_nl_locks_start(struct netlink_callback *cb)
{
	struct orchfs_channel *ch;
	int ret;

	if (!orchfs_nl_permitted(cb->skb, cb->extack))
		return -EPERM;
	ch = orchfs_channel_by_port(sock_net(cb->skb->sk),
				    NETLINK_CB(cb->skb).portid);
	if (!ch) {
		NL_SET_ERR_MSG(cb->extack,
			       "this socket is no daemon: attach first");
		return -ENOTCONN;
	}
	ret = orchfs_locks_dump_start(cb, ch);
	orchfs_channel_put(ch);
	return ret;
}

int orchfs_nl_locks_done(struct netlink_callback *cb)
{
	struct orchfs_locks_dump *d = (struct orchfs_locks_dump *)cb->args[0];

	if (!d)
		return 0;
	orchfs_channel_put(d->ch);
	kvfree(d->held.locks);
	kfree(d);
	return 0;
}

static int orchfs_put_locks(struct sk_buff *skb, struct netlink_callback *cb,
			    struct orchfs_locks_dump *d, bool lease)
{
	unsigned int n = min(d->held.nr - d->told, ORCHFS_DUMP_BATCH);
	u64 node = d->node;
	void *head;

	head = genlmsg_put(skb, NETLINK_CB(cb->skb).portid, cb->nlh->nlmsg_seq,
			   &orchfs_nl_family, NLM_F_MULTI, ORCHFS_CMD_LOCKS);
	if (!head)
		return -EMSGSIZE;
	if (nla_put(skb, ORCHFS_A_MSG_NODE, sizeof(node), &node) ||
	    (lease && nla_put_u32(skb, ORCHFS_A_MSG_FLAGS,
				  ORCHFS_REQ_FLAG_LEASE)) ||
	    (n && nla_put(skb, ORCHFS_A_MSG_LOCKS,
			  n * sizeof(*d->held.locks),
			  d->held.locks + d->told))) {
		genlmsg_cancel(skb, head);
		return -EMSGSIZE;
	}
	genlmsg_end(skb, head);
	d->told += n;
	return 0;
}

/* All of one inode that has anything, or as much as there is room for. */
static int orchfs_dump_inode(struct sk_buff *skb, struct netlink_callback *cb,
			     struct orchfs_locks_dump *d,
			     struct orchfs_locks *li)
{
	bool lease;
	int ret = 0;

	if (!d->part) {
		kvfree(d->held.locks);
		d->held = (struct orchfs_held){};
		d->told = 0;
		/* an answer of the last daemon may be on its way to the lists */
		orchfs_locks_settled(li);
		/* nobody decides by what was before it had to ask */
		down_write(&li->sem);
		lease = li->lease;
		if (!lease)
			ret = orchfs_held_get(li->inode, &d->held);
		up_write(&li->sem);
		if (ret)
			return ret;
		if (lease)
			return orchfs_put_locks(skb, cb, d, true);
	}
	d->part = true;
	while (d->told < d->held.nr) {
		ret = orchfs_put_locks(skb, cb, d, false);
		if (ret)
			return ret;
	}
	d->part = false;
	return 0;
}

int orchfs_nl_locks_dumpit(struct sk_buff *skb, struct netlink_callback *cb)
{
	struct orchfs_locks_dump *d = (struct orchfs_locks_dump *)cb->args[0];
	struct super_block *sb = orchfs_channel_sb_get(d->ch);
	struct orchfs_locks *li;
	int ret = 0;

	if (!sb)
		return skb->len;
	/* who never had to ask tells nothing: the daemon asks as it needs */
	while (READ_ONCE(d->ch->locks_ask) &&
	       xa_find(&ORCHFS_SB(sb)->locks, &d->node, ULONG_MAX,
		       XA_PRESENT)) {
		li = orchfs_locks_find(ORCHFS_SB(sb), d->node);
		if (li) {
			ret = orchfs_dump_inode(skb, cb, d, li);
			iput(li->inode);
		} else {
			d->part = false;
		}
		if (ret)
			break;
		d->node++;
	}
	orchfs_channel_sb_put(d->ch, sb);
	return skb->len ?: ret;
}
