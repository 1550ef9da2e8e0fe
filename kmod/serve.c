// SPDX-License-Identifier: GPL-2.0-only
/*
 * Data servers: they come with the first command of a daemon, know the
 * authority's clock, and end with the network namespace, or when their lease
 * has run out and no daemon is there.
 */
#include <linux/ktime.h>
#include <linux/slab.h>

#include "serve.h"

/* Servers lapse and are tidied there. They wait for I/O of volumes to end, and
 * destroy queues: not to be done where memory is reclaimed. */
static struct workqueue_struct *orchfs_serve_wq;
static atomic64_t serve_last_serial;

/**
 * orchfs_serve_serial() - a number for a server or a volume
 *
 * Return: more than ever before.
 */
u64 orchfs_serve_serial(void)
{
	return atomic64_inc_return(&serve_last_serial);
}

static u64 serve_boot_ms(void)
{
	return ktime_to_ms(ktime_get_boottime());
}

static void serve_put(struct orchfs_serve *serve)
{
	if (!refcount_dec_and_test(&serve->refs))
		return;
	orchfs_volume_drop_fences(serve);
	kfree(serve);
}

/* Is a daemon there? Takes no lock, as serve_lock is held. */
static bool serve_attached(struct orchfs_serve *serve)
{
	struct orchfs_net *on = orchfs_net_of(serve->net);
	struct orchfs_channel *ch;
	bool attached = false;

	lockdep_assert_held(&on->serve_lock);
	rcu_read_lock();
	list_for_each_entry_rcu(ch, &on->channels, link)
		if (!memcmp(ch->uuid, serve->uuid, sizeof(ch->uuid)))
			attached |= READ_ONCE(ch->portid);
	rcu_read_unlock();
	return attached;
}

static unsigned long serve_lease_left(struct orchfs_serve *serve)
{
	u64 until, now = serve_boot_ms();

	spin_lock(&serve->clock_lock);
	until = serve->until_ms;
	spin_unlock(&serve->clock_lock);
	if (until <= now)
		return 0;
	return msecs_to_jiffies(min_t(u64, until - now, INT_MAX)) + 1;
}

/* Nothing new comes; what is there ends. False if somebody does that already. */
static bool serve_end_begin(struct orchfs_serve *serve, int reason)
{
	struct orchfs_serve_conn *conn;
	bool ended = serve->ending;

	lockdep_assert_held(&orchfs_net_of(serve->net)->serve_lock);
	serve->ending = true;
	list_for_each_entry(conn, &serve->conns, link)
		orchfs_conn_end(conn, reason);
	orchfs_volume_end_all(serve);
	return !ended;
}

/* Wait for the end, once. */
static void serve_end(struct orchfs_serve *serve)
{
	struct orchfs_net *on = orchfs_net_of(serve->net);

	/* a daemon that died meanwhile may have queued it; nobody does now */
	cancel_delayed_work(&serve->lapse);
	wait_event(serve->idle, !READ_ONCE(serve->nr_conns) &&
		   !READ_ONCE(serve->nr_volumes));
	/* Waits for the works that said so, to their last step. */
	destroy_workqueue(serve->ends);
	destroy_workqueue(serve->wq);
	mutex_lock(&on->serve_lock);
	list_del(&serve->link);
	mutex_unlock(&on->serve_lock);
	serve_put(serve);
}

/*
 * Whether a daemon is there is looked at where its commands wait: none of them
 * comes between that and the end.
 */
static void serve_lapse_work(struct work_struct *work)
{
	struct orchfs_serve *serve = container_of(to_delayed_work(work),
						  struct orchfs_serve, lapse);
	struct orchfs_net *on = orchfs_net_of(serve->net);
	unsigned long left = 0;
	bool end = false;

	mutex_lock(&on->serve_lock);
	if (!serve_attached(serve)) {
		left = serve_lease_left(serve);
		end = !left && serve_end_begin(serve, ORCHFS_REASON_LAPSED);
	}
	mutex_unlock(&on->serve_lock);
	if (left)
		queue_delayed_work(orchfs_serve_wq, &serve->lapse, left);
	else if (end)
		serve_end(serve);
}

/* Fences that no token is left for, and files that nobody may use. */
static void serve_tidy_work(struct work_struct *work)
{
	struct orchfs_serve *serve = container_of(work, struct orchfs_serve,
						  tidy_work);
	struct orchfs_net *on = orchfs_net_of(serve->net);
	struct orchfs_serve_conn *conn;
	LIST_HEAD(handles);
	bool heard;
	u64 now;

	now = orchfs_serve_now(serve, &heard);
	mutex_lock(&on->serve_lock);
	if (!serve->ending && heard) {
		orchfs_volume_expire(serve, now);
		list_for_each_entry(conn, &serve->conns, link)
			orchfs_handle_take_expired(conn, now, &handles);
	}
	mutex_unlock(&on->serve_lock);
	orchfs_handle_put_list(&handles);
	serve_put(serve);
}

/**
 * orchfs_serve_detached() - the daemon of a namespace has gone
 * @ch: its channel, detached
 *
 * What is served goes on until the lease has run out.
 */
void orchfs_serve_detached(struct orchfs_channel *ch)
{
	struct orchfs_net *on = orchfs_net_of(ch->net);
	struct orchfs_serve *serve;

	mutex_lock(&on->serve_lock);
	serve = orchfs_serve_find(ch);
	if (serve && !serve->ending)
		mod_delayed_work(orchfs_serve_wq, &serve->lapse,
				 serve_lease_left(serve));
	mutex_unlock(&on->serve_lock);
}

static struct orchfs_serve *serve_new(struct orchfs_channel *ch)
{
	struct orchfs_serve *serve = kzalloc(sizeof(*serve), GFP_KERNEL);

	if (!serve)
		return ERR_PTR(-ENOMEM);
	/* A peer gets memory back with a reply; an end waits for volumes. */
	serve->wq = alloc_workqueue("orchfs-send", WQ_UNBOUND | WQ_MEM_RECLAIM,
				    0);
	if (!serve->wq)
		goto err_free;
	serve->ends = alloc_workqueue("orchfs-ends", WQ_UNBOUND, 0);
	if (!serve->ends)
		goto err_destroy_wq;
	refcount_set(&serve->refs, 1);
	serve->net = ch->net;
	memcpy(serve->uuid, ch->uuid, sizeof(serve->uuid));
	serve->serial = orchfs_serve_serial();
	INIT_LIST_HEAD(&serve->volumes);
	INIT_LIST_HEAD(&serve->leaving);
	INIT_LIST_HEAD(&serve->conns);
	INIT_LIST_HEAD(&serve->fences);
	init_waitqueue_head(&serve->idle);
	INIT_DELAYED_WORK(&serve->lapse, serve_lapse_work);
	INIT_WORK(&serve->tidy_work, serve_tidy_work);
	spin_lock_init(&serve->clock_lock);
	return serve;

err_destroy_wq:
	destroy_workqueue(serve->wq);
err_free:
	kfree(serve);
	return ERR_PTR(-ENOMEM);
}

/**
 * orchfs_serve_find() - the data server of a namespace
 * @ch: its channel; the caller holds serve_lock
 *
 * Return: the server or NULL.
 */
struct orchfs_serve *orchfs_serve_find(struct orchfs_channel *ch)
{
	struct orchfs_net *on = orchfs_net_of(ch->net);
	struct orchfs_serve *serve;

	lockdep_assert_held(&on->serve_lock);
	list_for_each_entry(serve, &on->serves, link)
		if (!memcmp(serve->uuid, ch->uuid, sizeof(serve->uuid)))
			return serve;
	return NULL;
}

/**
 * orchfs_serve_get() - the data server of a namespace, made if there is none
 * @ch: its channel; the caller holds serve_lock
 *
 * Return: the server; -ENOMEM; -EAGAIN while an earlier one ends.
 */
struct orchfs_serve *orchfs_serve_get(struct orchfs_channel *ch)
{
	struct orchfs_net *on = orchfs_net_of(ch->net);
	struct orchfs_serve *serve = orchfs_serve_find(ch);

	if (serve)
		return serve->ending ? ERR_PTR(-EAGAIN) : serve;
	serve = serve_new(ch);
	if (!IS_ERR(serve))
		list_add_tail(&serve->link, &on->serves);
	return serve;
}

/**
 * orchfs_serve_event() - tell the daemon, if there is one
 * @serve: the server
 * @skb: what; consumed. NULL: there was no memory for it
 */
void orchfs_serve_event(struct orchfs_serve *serve, struct sk_buff *skb)
{
	struct orchfs_channel *ch = orchfs_channel_by_uuid(serve->net,
							   serve->uuid);

	if (!ch) {
		kfree_skb(skb);
		return;
	}
	orchfs_event_queue(ch, skb);
	orchfs_channel_put(ch);
}

/**
 * orchfs_serve_heard() - the authority was heard
 * @serve: the server; the caller holds serve_lock, and it isn't ending
 * @authority_ms: its clock
 * @boot_ms: CLOCK_BOOTTIME when it was asked for that
 * @lease_ms: how long that is good for, from @boot_ms
 *
 * It read its clock later than it was asked, but that is taken to have been at
 * once: better ahead of it than behind, where tokens would live too long.
 *
 * Return: 0; -EINVAL for a time to come.
 */
int orchfs_serve_heard(struct orchfs_serve *serve, u64 authority_ms,
		       u64 boot_ms, u32 lease_ms)
{
	if (!boot_ms || boot_ms > serve_boot_ms() || authority_ms > S64_MAX)
		return -EINVAL;
	spin_lock(&serve->clock_lock);
	if (boot_ms >= serve->boot_ms) {
		serve->authority_ms = authority_ms;
		serve->boot_ms = boot_ms;
		serve->until_ms = boot_ms + lease_ms;
	}
	spin_unlock(&serve->clock_lock);
	refcount_inc(&serve->refs);
	if (!queue_work(orchfs_serve_wq, &serve->tidy_work))
		refcount_dec(&serve->refs);
	return 0;
}

/**
 * orchfs_serve_now() - the authority's clock
 * @serve: the server
 * @heard: set to whether the authority was heard within the lease
 *
 * Return: ms; U64_MAX, when everything has expired, if it was never heard.
 */
u64 orchfs_serve_now(struct orchfs_serve *serve, bool *heard)
{
	u64 boot = serve_boot_ms(), now = U64_MAX;

	spin_lock(&serve->clock_lock);
	if (serve->boot_ms)
		now = serve->authority_ms + (boot - serve->boot_ms);
	*heard = boot < serve->until_ms;
	spin_unlock(&serve->clock_lock);
	return now;
}

static struct orchfs_serve *serve_first(struct orchfs_net *on)
{
	struct orchfs_serve *serve;

	mutex_lock(&on->serve_lock);
	serve = list_first_entry_or_null(&on->serves, struct orchfs_serve,
					 link);
	if (serve)
		refcount_inc(&serve->refs);
	mutex_unlock(&on->serve_lock);
	return serve;
}

/**
 * orchfs_serve_net_exit() - end all that is served
 * @on: of a network namespace that ends, or of any when the module does; no
 *	command comes any more
 */
void orchfs_serve_net_exit(struct orchfs_net *on)
{
	struct orchfs_serve *serve;
	bool end;

	while ((serve = serve_first(on))) {
		/* It may be ending it just now. */
		cancel_delayed_work_sync(&serve->lapse);
		mutex_lock(&on->serve_lock);
		end = serve_end_begin(serve, ORCHFS_REASON_ENDED);
		mutex_unlock(&on->serve_lock);
		if (end)
			serve_end(serve);
		serve_put(serve);
	}
	/* to the last step of works that have ended one */
	flush_workqueue(orchfs_serve_wq);
}

/**
 * orchfs_serve_init() - make what all data servers share
 *
 * Return: 0 or -ENOMEM.
 */
int orchfs_serve_init(void)
{
	int ret = orchfs_conn_init();

	if (ret)
		return ret;
	orchfs_serve_wq = alloc_workqueue("orchfs-serve", WQ_UNBOUND, 0);
	if (!orchfs_serve_wq) {
		orchfs_conn_exit();
		return -ENOMEM;
	}
	return 0;
}

/**
 * orchfs_serve_exit() - undo orchfs_serve_init()
 */
void orchfs_serve_exit(void)
{
	destroy_workqueue(orchfs_serve_wq);
	orchfs_conn_exit();
}
