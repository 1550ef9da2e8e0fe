// SPDX-License-Identifier: GPL-2.0-only
/*
 * The two dumps: mounts (each channel of the network namespace) and handles
 * (each inode that the daemon must not collect).
 *
 * Nothing is held between two messages of a dump, as the reader may take its
 * time and umount must not wait for it. The handles are collected by number
 * when the dump starts and looked up again as they are told: an inode that
 * went away meanwhile left notices, one that came was asked for.
 */
#include <linux/slab.h>
#include <net/sock.h>

#include "channel.h"
#include "layout.h"
#include "nl_gen.h"

#define ORCHFS_WALK_BATCH	512

/**
 * struct orchfs_handles - state of a handles dump
 * @ch: a reference, so that the namespace stays the same
 * @inos: collected numbers
 * @nr: of them
 * @room: in @inos
 * @next: to be told
 */
struct orchfs_handles {
	struct orchfs_channel *ch;
	u64 *inos;
	size_t nr;
	size_t room;
	size_t next;
};

/**
 * struct orchfs_walk - what to do with each inode of a superblock
 * @prepare: before each batch of visits; may sleep and fail; may be NULL
 * @visit: under spin locks
 */
struct orchfs_walk {
	int (*prepare)(struct orchfs_walk *w);
	void (*visit)(struct orchfs_walk *w, struct inode *inode);
};

static int orchfs_put_u64(struct sk_buff *skb, int type, u64 value)
{
	return nla_put(skb, type, sizeof(value), &value);
}

/* --- walking the inodes of a superblock --- */

/* On its way in or out: its locks are to be left alone. */
static bool orchfs_inode_busy(const struct inode *inode)
{
	lockdep_assert_held(&inode->i_lock);
	return inode->i_state & (I_FREEING | I_WILL_FREE | I_NEW | I_CREATING);
}

static int orchfs_walk_prepare(struct orchfs_walk *w)
{
	cond_resched();
	return w->prepare ? w->prepare(w) : 0;
}

/*
 * The list lock is dropped once a batch; an inode that is pinned meanwhile
 * keeps the place.
 */
static int orchfs_walk_inodes(struct super_block *sb, struct orchfs_walk *w)
{
	struct inode *inode, *pinned = NULL;
	unsigned int n = 0;
	int ret;

	ret = orchfs_walk_prepare(w);
	if (ret)
		return ret;
	spin_lock(&sb->s_inode_list_lock);
	list_for_each_entry(inode, &sb->s_inodes, i_sb_list) {
		spin_lock(&inode->i_lock);
		if (orchfs_inode_busy(inode)) {
			spin_unlock(&inode->i_lock);
			continue;
		}
		w->visit(w, inode);
		if (++n < ORCHFS_WALK_BATCH) {
			spin_unlock(&inode->i_lock);
			continue;
		}
		__iget(inode);
		spin_unlock(&inode->i_lock);
		spin_unlock(&sb->s_inode_list_lock);

		iput(pinned);
		pinned = inode;
		n = 0;
		ret = orchfs_walk_prepare(w);
		spin_lock(&sb->s_inode_list_lock);
		if (ret)
			break;
	}
	spin_unlock(&sb->s_inode_list_lock);
	iput(pinned);
	return ret;
}

/* --- mounts --- */

int orchfs_nl_mounts_start(struct netlink_callback *cb)
{
	return orchfs_nl_permitted(cb->skb, cb->extack) ? 0 : -EPERM;
}

int orchfs_nl_mounts_done(struct netlink_callback *cb)
{
	return 0;
}

static int orchfs_put_counters(struct sk_buff *skb, struct orchfs_channel *ch)
{
	struct nlattr *nest;
	unsigned int kind;

	for (kind = 1; kind < ORCHFS_NR_KINDS; kind++) {
		struct orchfs_counter *c = &ch->counters[kind];

		nest = nla_nest_start(skb, ORCHFS_A_MSG_COUNTER);
		if (!nest ||
		    nla_put_u32(skb, ORCHFS_A_COUNTER_KIND, kind) ||
		    orchfs_put_u64(skb, ORCHFS_A_COUNTER_COUNT,
				   atomic64_read(&c->count)) ||
		    orchfs_put_u64(skb, ORCHFS_A_COUNTER_ERRORS,
				   atomic64_read(&c->errors)))
			return -EMSGSIZE;
		nla_nest_end(skb, nest);
	}
	return 0;
}

struct orchfs_walk_opens {
	struct orchfs_walk walk;
	u32 opens;
};

static void orchfs_visit_opens(struct orchfs_walk *w, struct inode *inode)
{
	struct orchfs_walk_opens *wo =
		container_of(w, struct orchfs_walk_opens, walk);

	lockdep_assert_held(&inode->i_lock);
	if (ORCHFS_I(inode)->open)
		wo->opens += ORCHFS_I(inode)->open->opens;
}

static u32 orchfs_count_opens(struct orchfs_channel *ch)
{
	struct orchfs_walk_opens wo = { .walk.visit = orchfs_visit_opens };
	struct super_block *sb = orchfs_channel_sb_get(ch);

	if (sb)
		orchfs_walk_inodes(sb, &wo.walk);
	orchfs_channel_sb_put(ch, sb);
	return wo.opens;
}

static int orchfs_put_mount(struct sk_buff *skb, struct netlink_callback *cb,
			    struct orchfs_channel *ch)
{
	u32 opens = orchfs_count_opens(ch);
	u32 state, waiting;
	u64 session;
	void *head;

	spin_lock(&ch->lock);
	state = ch->state;
	waiting = ch->requests;
	session = ch->sb ? ch->session : 0;
	spin_unlock(&ch->lock);

	head = genlmsg_put(skb, NETLINK_CB(cb->skb).portid, cb->nlh->nlmsg_seq,
			   &orchfs_nl_family, NLM_F_MULTI, ORCHFS_CMD_MOUNTS);
	if (!head)
		return -EMSGSIZE;
	if (nla_put(skb, ORCHFS_A_MSG_NS_UUID, sizeof(ch->uuid), ch->uuid) ||
	    nla_put_string(skb, ORCHFS_A_MSG_NS_NAME, ch->name) ||
	    (session && orchfs_put_u64(skb, ORCHFS_A_MSG_SESSION, session)) ||
	    nla_put_u32(skb, ORCHFS_A_MSG_STATE, state) ||
	    nla_put_u32(skb, ORCHFS_A_MSG_WAITING, waiting) ||
	    nla_put_u32(skb, ORCHFS_A_MSG_OPENS, opens) ||
	    orchfs_put_counters(skb, ch)) {
		genlmsg_cancel(skb, head);
		return -EMSGSIZE;
	}
	genlmsg_end(skb, head);
	return 0;
}

/* The channel at a place of the list, with a reference. */
static struct orchfs_channel *orchfs_channel_nth(struct orchfs_net *on, long n)
{
	struct orchfs_channel *ch;

	mutex_lock(&on->lock);
	list_for_each_entry(ch, &on->channels, link)
		if (READ_ONCE(ch->state) != ORCHFS_DEAD && !n-- &&
		    refcount_inc_not_zero(&ch->refs))
			goto out;
	ch = NULL;
out:
	mutex_unlock(&on->lock);
	return ch;
}

int orchfs_nl_mounts_dumpit(struct sk_buff *skb, struct netlink_callback *cb)
{
	struct orchfs_net *on = orchfs_net_of(sock_net(cb->skb->sk));
	struct orchfs_channel *ch;
	int ret = 0;

	while (!ret && (ch = orchfs_channel_nth(on, cb->args[0]))) {
		ret = orchfs_put_mount(skb, cb, ch);
		if (!ret)
			cb->args[0]++;
		orchfs_channel_put(ch);
	}
	/* A message without room for even one is an error. */
	return skb->len ?: ret;
}

/* --- handles --- */

struct orchfs_walk_handles {
	struct orchfs_walk walk;
	struct orchfs_handles *h;
};

/* Room for a batch, as none can be made under the locks. */
static int orchfs_prepare_handles(struct orchfs_walk *w)
{
	struct orchfs_handles *h =
		container_of(w, struct orchfs_walk_handles, walk)->h;
	size_t room = h->room;
	u64 *inos;

	if (room - h->nr >= ORCHFS_WALK_BATCH)
		return 0;
	room = max_t(size_t, 2 * room, ORCHFS_WALK_BATCH);
	inos = kvmalloc_array(room, sizeof(*inos), GFP_KERNEL);
	if (!inos)
		return -ENOMEM;
	if (h->nr)
		memcpy(inos, h->inos, h->nr * sizeof(*inos));
	kvfree(h->inos);
	h->inos = inos;
	h->room = room;
	return 0;
}

static void orchfs_visit_handles(struct orchfs_walk *w, struct inode *inode)
{
	struct orchfs_handles *h =
		container_of(w, struct orchfs_walk_handles, walk)->h;
	struct orchfs_inode *oi = ORCHFS_I(inode);

	if (oi->open || rcu_access_pointer(oi->layout) || !inode->i_nlink)
		h->inos[h->nr++] = inode->i_ino;
}

static int orchfs_collect_handles(struct orchfs_handles *h)
{
	struct orchfs_walk_handles wh = {
		.walk.prepare = orchfs_prepare_handles,
		.walk.visit = orchfs_visit_handles,
		.h = h,
	};
	struct super_block *sb = orchfs_channel_sb_get(h->ch);
	int ret = 0;

	if (sb)
		ret = orchfs_walk_inodes(sb, &wh.walk);
	orchfs_channel_sb_put(h->ch, sb);
	return ret;
}

static void orchfs_handles_free(struct orchfs_handles *h)
{
	orchfs_channel_put(h->ch);
	kvfree(h->inos);
	kfree(h);
}

int orchfs_nl_handles_start(struct netlink_callback *cb)
{
	struct orchfs_handles *h;
	int ret;

	if (!orchfs_nl_permitted(cb->skb, cb->extack))
		return -EPERM;
	h = kzalloc(sizeof(*h), GFP_KERNEL);
	if (!h)
		return -ENOMEM;
	h->ch = orchfs_channel_by_port(sock_net(cb->skb->sk),
				       NETLINK_CB(cb->skb).portid);
	if (!h->ch) {
		NL_SET_ERR_MSG(cb->extack,
			       "this socket is no daemon: attach first");
		ret = -ENOTCONN;
		goto err_free_handles;
	}
	/* What is lost from here on is lost for this dump. */
	spin_lock(&h->ch->lock);
	h->ch->notes_lost = false;
	spin_unlock(&h->ch->lock);
	ret = orchfs_collect_handles(h);
	if (ret) {
		spin_lock(&h->ch->lock);
		h->ch->notes_lost = true;
		spin_unlock(&h->ch->lock);
		orchfs_handles_free(h);
		return ret;
	}
	cb->args[0] = (long)h;
	return 0;

err_free_handles:
	kfree(h);
	return ret;
}

int orchfs_nl_handles_done(struct netlink_callback *cb)
{
	if (cb->args[0])
		orchfs_handles_free((struct orchfs_handles *)cb->args[0]);
	return 0;
}

static void orchfs_fill_times(const struct inode *inode,
			      struct orchfs_attr *attr)
{
	struct timespec64 ts;

	ts = inode_get_atime(inode);
	attr->atime = ts.tv_sec;
	attr->atime_nsec = ts.tv_nsec;
	ts = inode_get_mtime(inode);
	attr->mtime = ts.tv_sec;
	attr->mtime_nsec = ts.tv_nsec;
	ts = inode_get_ctime(inode);
	attr->ctime = ts.tv_sec;
	attr->ctime_nsec = ts.tv_nsec;
	attr->btime = ORCHFS_I(inode)->btime.tv_sec;
	attr->btime_nsec = ORCHFS_I(inode)->btime.tv_nsec;
}

static void orchfs_fill_attr(struct inode *inode, struct orchfs_attr *attr)
{
	struct orchfs_inode *oi = ORCHFS_I(inode);

	memset(attr, 0, sizeof(*attr));
	spin_lock(&inode->i_lock);
	attr->ino = inode->i_ino;
	attr->change = oi->change;
	attr->size = i_size_read(inode);
	attr->blocks = inode->i_blocks;
	attr->version = oi->version;
	attr->generation = oi->generation;
	attr->mode = inode->i_mode;
	attr->uid = i_uid_read(inode);
	attr->gid = i_gid_read(inode);
	attr->nlink = inode->i_nlink;
	attr->flags = oi->flags;
	attr->rdev_major = imajor(inode);
	attr->rdev_minor = iminor(inode);
	orchfs_fill_times(inode, attr);
	spin_unlock(&inode->i_lock);
}

static int orchfs_put_handle(struct sk_buff *skb, struct netlink_callback *cb,
			     struct inode *inode)
{
	u64 generation = orchfs_layout_generation(inode);
	struct orchfs_attr attr;
	void *head;

	orchfs_fill_attr(inode, &attr);
	head = genlmsg_put(skb, NETLINK_CB(cb->skb).portid, cb->nlh->nlmsg_seq,
			   &orchfs_nl_family, NLM_F_MULTI, ORCHFS_CMD_HANDLES);
	if (!head)
		return -EMSGSIZE;
	if (orchfs_put_u64(skb, ORCHFS_A_MSG_NODE, inode->i_ino) ||
	    nla_put_u32(skb, ORCHFS_A_MSG_OPENS, orchfs_open_count(inode)) ||
	    (generation &&
	     orchfs_put_u64(skb, ORCHFS_A_MSG_GENERATION, generation)) ||
	    nla_put(skb, ORCHFS_A_MSG_ATTR, sizeof(attr), &attr)) {
		genlmsg_cancel(skb, head);
		return -EMSGSIZE;
	}
	genlmsg_end(skb, head);
	return 0;
}

int orchfs_nl_handles_dumpit(struct sk_buff *skb, struct netlink_callback *cb)
{
	struct orchfs_handles *h = (struct orchfs_handles *)cb->args[0];
	struct super_block *sb = orchfs_channel_sb_get(h->ch);
	struct inode *inode;
	int ret = 0;

	while (sb && h->next < h->nr) {
		inode = ilookup(sb, h->inos[h->next]);
		if (inode && !is_bad_inode(inode))
			ret = orchfs_put_handle(skb, cb, inode);
		iput(inode);
		if (ret)
			break;
		h->next++;
	}
	orchfs_channel_sb_put(h->ch, sb);
	return skb->len ?: ret;
}
