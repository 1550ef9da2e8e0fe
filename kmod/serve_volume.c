// SPDX-License-Identifier: GPL-2.0-only
/*
 * Volumes that are served: keys, fences, the requests that are admitted, and
 * the end.
 *
 * A volume that goes is not found any more and is `gone', so nothing is
 * admitted. A work takes its handles from the connections; the last reference,
 * of a handle or of a request at a worker, frees it, and tells the daemon.
 */
#include <linux/cred.h>
#include <linux/random.h>
#include <linux/slab.h>
#include <linux/statfs.h>

#include "serve.h"

/* --- the tables of fences, which outlive the serving of volumes --- */

static struct orchfs_fences *volume_fences(struct orchfs_serve *serve,
					   u32 number)
{
	struct orchfs_fences *f;

	lockdep_assert_held(&orchfs_net_of(serve->net)->serve_lock);
	list_for_each_entry(f, &serve->fences, link)
		if (f->volume == number)
			return f;
	f = kvzalloc(sizeof(*f), GFP_KERNEL);
	if (!f)
		return NULL;
	orchfs_fences_init(f);
	f->volume = number;
	list_add_tail(&f->link, &serve->fences);
	return f;
}

static void volume_fences_free(struct orchfs_fences *f)
{
	orchfs_fences_exit(f);
	list_del(&f->link);
	kvfree(f);
}

/**
 * orchfs_volume_drop_fences() - free all tables
 * @serve: the server, which nobody else has any more
 */
void orchfs_volume_drop_fences(struct orchfs_serve *serve)
{
	struct orchfs_fences *f, *next;

	list_for_each_entry_safe(f, next, &serve->fences, link)
		volume_fences_free(f);
}

/* --- volumes --- */

/* A serve-fence that waits for requests admitted before it. */
struct volume_wait {
	struct list_head link;		/* orchfs_serve_volume.waits */
	u64 request_id;
	u64 instance;
	u32 node;
	u64 epoch;
	u64 seq;			/* of the last admission before it */
	u32 nr;				/* of those requests */
};

/**
 * orchfs_volume_lost() - what was written and not synced may be lost
 * @vol: the volume
 */
void orchfs_volume_lost(struct orchfs_serve_volume *vol)
{
	u64 verifier;

	do {
		verifier = get_random_u64();
	} while (!verifier);
	atomic64_set(&vol->verifier, verifier);
}

static bool volume_wb_failed(struct orchfs_serve_volume *vol)
{
	errseq_t *err = &vol->root.dentry->d_sb->s_wb_err;
	bool failed = errseq_check(err, READ_ONCE(vol->wb_err));

	if (unlikely(failed)) {
		spin_lock(&vol->lock);
		failed = errseq_check_and_advance(err, &vol->wb_err);
		spin_unlock(&vol->lock);
	}
	return failed;
}

/**
 * orchfs_volume_verifier() - the verifier that replies carry
 * @vol: the volume
 *
 * An error of write-back is told once to each open file. It may have come when
 * a file had no handle, and have been told to somebody else since. So any error
 * of the file system makes another verifier, too.
 *
 * Return: the verifier.
 */
u64 orchfs_volume_verifier(struct orchfs_serve_volume *vol)
{
	if (volume_wb_failed(vol))
		orchfs_volume_lost(vol);
	return atomic64_read(&vol->verifier);
}

/**
 * orchfs_volume_roomy() - may a write be tried where nothing may be waited for
 * @vol: the volume
 *
 * XFS flushes all that is dirty before it says that there is no space, be the
 * write one that isn't to wait.
 *
 * Return: whether it had room a moment ago.
 */
bool orchfs_volume_roomy(const struct orchfs_serve_volume *vol)
{
	return READ_ONCE(vol->roomy) &&
		time_before(jiffies, READ_ONCE(vol->room_until));
}

/**
 * orchfs_volume_measure() - look whether it has room, if it is time
 * @vol: the volume; the caller may wait for it
 */
void orchfs_volume_measure(struct orchfs_serve_volume *vol)
{
	struct kstatfs st;
	u64 enough;

	if (time_before(jiffies, READ_ONCE(vol->room_until)) ||
	    vfs_statfs(&vol->root, &st))
		return;
	enough = min_t(u64, st.f_blocks / ORCHFS_SERVE_ROOM_PART,
		       div_u64(ORCHFS_SERVE_ROOM, st.f_bsize));
	/* one that knows no size has no end, either */
	WRITE_ONCE(vol->roomy, !st.f_blocks || st.f_bavail > enough);
	WRITE_ONCE(vol->room_until, jiffies + HZ);
}

/**
 * orchfs_volume_tight() - a write found no space, or quota
 * @vol: the volume
 */
void orchfs_volume_tight(struct orchfs_serve_volume *vol)
{
	WRITE_ONCE(vol->roomy, false);
	WRITE_ONCE(vol->room_until, jiffies + 10 * HZ);
}

/*
 * Quota and reserved blocks bind remote writers as they do local ones: ext4
 * gives its reserve to root as such, too. Nothing is created here, and what is
 * there may be opened as before.
 */
static const struct cred *volume_cred(void)
{
	struct cred *cred = prepare_creds();

	if (!cred)
		return NULL;
	cred->fsuid = make_kuid(&init_user_ns, ORCHFS_SERVE_NOBODY);
	cred->fsgid = make_kgid(&init_user_ns, ORCHFS_SERVE_NOBODY);
	cap_lower(cred->cap_effective, CAP_SYS_RESOURCE);
	return cred;
}

static void volume_free_work(struct work_struct *work)
{
	struct orchfs_serve_volume *vol =
		container_of(work, struct orchfs_serve_volume, free_work);
	struct orchfs_serve *serve = vol->serve;
	struct orchfs_net *on = orchfs_net_of(serve->net);

	WARN_ON_ONCE(!list_empty(&vol->admitted) || !list_empty(&vol->waits));
	destroy_workqueue(vol->writers);
	destroy_workqueue(vol->wq);
	path_put(&vol->root);
	put_cred(vol->cred);
	orchfs_token_key_free(vol->key);
	mutex_lock(&on->serve_lock);
	vol->fences->users--;
	list_del(&vol->link);
	mutex_unlock(&on->serve_lock);
	/* Who is told may serve it again. */
	if (vol->tell)
		orchfs_serve_event(serve,
				   orchfs_message_serve_done(vol->request_id,
							     0));
	kfree(vol);
	mutex_lock(&on->serve_lock);
	serve->nr_volumes--;
	wake_up_all(&serve->idle);
	mutex_unlock(&on->serve_lock);
}

/**
 * orchfs_volume_put() - drop a reference
 * @vol: the volume; the last one queues its end
 */
void orchfs_volume_put(struct orchfs_serve_volume *vol)
{
	if (refcount_dec_and_test(&vol->refs))
		queue_work(vol->serve->ends, &vol->free_work);
}

static void volume_end_work(struct work_struct *work)
{
	struct orchfs_serve_volume *vol =
		container_of(work, struct orchfs_serve_volume, end_work);
	struct orchfs_net *on = orchfs_net_of(vol->serve->net);
	struct orchfs_serve_conn *conn;
	LIST_HEAD(handles);

	mutex_lock(&on->serve_lock);
	list_for_each_entry(conn, &vol->serve->conns, link)
		orchfs_handle_take_all(conn, vol, &handles);
	mutex_unlock(&on->serve_lock);
	orchfs_handle_put_list(&handles);
	orchfs_volume_put(vol);
}

/* The list's reference goes to the work. */
static void volume_end(struct orchfs_serve_volume *vol)
{
	lockdep_assert_held(&orchfs_net_of(vol->serve->net)->serve_lock);
	list_move_tail(&vol->link, &vol->serve->leaving);
	spin_lock(&vol->lock);
	vol->gone = true;
	spin_unlock(&vol->lock);
	queue_work(vol->serve->ends, &vol->end_work);
}

/**
 * orchfs_volume_end_all() - serve none any more
 * @serve: the server; the caller holds serve_lock
 */
void orchfs_volume_end_all(struct orchfs_serve *serve)
{
	struct orchfs_serve_volume *vol, *next;

	list_for_each_entry_safe(vol, next, &serve->volumes, link)
		volume_end(vol);
}

static struct orchfs_serve_volume *volume_find(struct orchfs_serve *serve,
					       u32 number)
{
	struct orchfs_serve_volume *vol;

	lockdep_assert_held(&orchfs_net_of(serve->net)->serve_lock);
	list_for_each_entry(vol, &serve->volumes, link)
		if (vol->number == number)
			return vol;
	return NULL;
}

/**
 * orchfs_volume_find() - a volume that is served
 * @serve: the server; the caller doesn't hold serve_lock
 * @number: of the volume
 *
 * Return: the volume with a reference for the caller, or NULL.
 */
struct orchfs_serve_volume *orchfs_volume_find(struct orchfs_serve *serve,
					       u32 number)
{
	struct orchfs_net *on = orchfs_net_of(serve->net);
	struct orchfs_serve_volume *vol;

	mutex_lock(&on->serve_lock);
	vol = volume_find(serve, number);
	if (vol)
		refcount_inc(&vol->refs);
	mutex_unlock(&on->serve_lock);
	return vol;
}

static struct orchfs_serve_volume *volume_new(struct orchfs_serve *serve,
					      u32 number,
					      const struct path *root)
{
	struct orchfs_serve_volume *vol = kzalloc(sizeof(*vol), GFP_KERNEL);

	if (!vol)
		return NULL;
	vol->cred = volume_cred();
	if (!vol->cred)
		goto err_free;
	/* not for reclaim: file systems flush queues that aren't, either */
	vol->wq = alloc_workqueue("orchfs-volume-%u", WQ_UNBOUND,
				  ORCHFS_SERVE_WORKERS, number);
	if (!vol->wq)
		goto err_put_cred;
	vol->writers = alloc_workqueue("orchfs-writers-%u", WQ_UNBOUND,
				       ORCHFS_SERVE_WORKERS, number);
	if (!vol->writers)
		goto err_destroy_wq;
	refcount_set(&vol->refs, 1);
	vol->serve = serve;
	vol->number = number;
	vol->root = *root;
	path_get(&vol->root);
	vol->serial = orchfs_serve_serial();
	vol->room_until = jiffies;
	errseq_check_and_advance(&root->dentry->d_sb->s_wb_err, &vol->wb_err);
	orchfs_volume_lost(vol);
	mutex_init(&vol->key_lock);
	INIT_WORK(&vol->end_work, volume_end_work);
	INIT_WORK(&vol->free_work, volume_free_work);
	spin_lock_init(&vol->lock);
	INIT_LIST_HEAD(&vol->admitted);
	INIT_LIST_HEAD(&vol->waits);
	return vol;

err_destroy_wq:
	destroy_workqueue(vol->wq);
err_put_cred:
	put_cred(vol->cred);
err_free:
	kfree(vol);
	return NULL;
}

/* At most one: it isn't served again before that is gone. */
static struct orchfs_serve_volume *volume_leaving(struct orchfs_serve *serve,
						  u32 number)
{
	struct orchfs_serve_volume *vol;

	list_for_each_entry(vol, &serve->leaving, link)
		if (vol->number == number)
			return vol;
	return NULL;
}

/**
 * orchfs_volume_serve() - serve a volume, or with a new key
 * @serve: the server; the caller holds serve_lock
 * @number: of the volume
 * @root: its directory; not consumed
 * @key: for its tokens; consumed on success
 * @key_id: number of that
 *
 * A volume has one table of fences, and they wait for all of its requests: so
 * it is not served again while requests of before haven't ended.
 *
 * Return: 0 or -ENOMEM; -EBUSY while it leaves. It begins to when it was served
 * from another directory.
 */
int orchfs_volume_serve(struct orchfs_serve *serve, u32 number,
			const struct path *root, struct crypto_shash *key,
			u32 key_id)
{
	struct orchfs_serve_volume *old = volume_find(serve, number), *vol;
	struct orchfs_fences *fences;

	if (old && path_equal(&old->root, root)) {
		mutex_lock(&old->key_lock);
		swap(old->key, key);
		old->key_id = key_id;
		mutex_unlock(&old->key_lock);
		orchfs_token_key_free(key);
		return 0;
	}
	if (old)
		volume_end(old);
	if (volume_leaving(serve, number))
		return -EBUSY;
	fences = volume_fences(serve, number);
	vol = fences ? volume_new(serve, number, root) : NULL;
	if (!vol)
		return -ENOMEM;
	vol->fences = fences;
	fences->users++;
	vol->key = key;
	vol->key_id = key_id;
	list_add_tail(&vol->link, &serve->volumes);
	serve->nr_volumes++;
	return 0;
}

/**
 * orchfs_volume_unserve() - serve a volume no more
 * @serve: the server; the caller holds serve_lock
 * @number: of the volume
 * @request_id: for the serve-done that will come
 *
 * Return: 0; -ENOENT when it isn't served: no serve-done comes.
 */
int orchfs_volume_unserve(struct orchfs_serve *serve, u32 number,
			  u64 request_id)
{
	struct orchfs_serve_volume *vol = volume_find(serve, number);

	if (!vol)
		return -ENOENT;
	vol->tell = true;
	vol->request_id = request_id;
	volume_end(vol);
	return 0;
}

static void volume_expire(struct orchfs_serve *serve, struct orchfs_fences *f,
			  u64 now_ms)
{
	struct orchfs_serve_volume *vol = volume_find(serve, f->volume);

	if (!vol) {
		orchfs_fences_expire(f, now_ms);
		return;
	}
	spin_lock(&vol->lock);
	orchfs_fences_expire(f, now_ms);
	spin_unlock(&vol->lock);
}

/**
 * orchfs_volume_expire() - drop fences that nothing is left for
 * @serve: the server; the caller holds serve_lock
 * @now_ms: the authority's clock
 */
void orchfs_volume_expire(struct orchfs_serve *serve, u64 now_ms)
{
	struct orchfs_fences *f, *next;

	lockdep_assert_held(&orchfs_net_of(serve->net)->serve_lock);
	list_for_each_entry_safe(f, next, &serve->fences, link) {
		volume_expire(serve, f, now_ms);
		if (!f->nr && !f->users)
			volume_fences_free(f);
	}
}

static bool wait_matches(const struct volume_wait *wait,
			 const struct orchfs_serve_req *req)
{
	const struct orchfs_token *token = &req->handle->token;

	return (!wait->instance || token->instance == wait->instance) &&
	       req->epoch < wait->epoch &&
	       (!wait->node || wait->node == token->node) &&
	       req->seq <= wait->seq;
}

/* Count what it waits for; true when there is nothing. */
static bool volume_wait_locked(struct orchfs_serve_volume *vol,
			       struct volume_wait *wait)
{
	struct orchfs_serve_req *req;

	lockdep_assert_held(&vol->lock);
	wait->seq = vol->seq;
	list_for_each_entry(req, &vol->admitted, admitted)
		wait->nr += wait_matches(wait, req);
	if (!wait->nr)
		return true;
	list_add_tail(&wait->link, &vol->waits);
	vol->nr_waits++;
	return false;
}

static void volume_wait_done(struct orchfs_serve *serve,
			     struct volume_wait *wait)
{
	orchfs_serve_event(serve,
			   orchfs_message_serve_done(wait->request_id, 0));
	kfree(wait);
}

/* Raise, and wait for requests of before. Return: 0, 1: there are none. */
static int volume_fence_locked(struct orchfs_serve_volume *vol,
			       struct orchfs_fences *fences,
			       struct orchfs_fence *own,
			       struct volume_wait *wait, u64 now)
{
	int ret;

	lockdep_assert_held(&vol->lock);
	ret = orchfs_fences_raise(fences, own, now);
	if (!ret && vol->nr_waits >= ORCHFS_SERVE_WAITS_MAX)
		ret = -EBUSY;
	return ret ?: volume_wait_locked(vol, wait);
}

static int volume_fence(struct orchfs_serve *serve, u32 number,
			struct orchfs_fence *own, struct volume_wait *wait)
{
	struct orchfs_fences *fences = volume_fences(serve, number);
	struct orchfs_serve_volume *vol = volume_find(serve, number) ?:
					  volume_leaving(serve, number);
	bool heard;
	u64 now;
	int ret;

	if (!fences) {
		kfree(own);
		return -ENOMEM;
	}
	now = orchfs_serve_now(serve, &heard);
	/* Never heard, nothing has expired. */
	if (now == U64_MAX)
		now = 0;
	if (!vol)
		return orchfs_fences_raise(fences, own, now) ?: 1;
	spin_lock(&vol->lock);
	ret = volume_fence_locked(vol, fences, own, wait, now);
	spin_unlock(&vol->lock);
	return ret;
}

/**
 * orchfs_volume_fence() - raise the least epoch for an instance
 * @serve: the server; the caller holds serve_lock
 * @number: of the volume, which needn't be served, now or any more
 * @request_id: for the serve-done that will come
 * @fence: instance (0: all), node, epoch and expiry; not consumed
 *
 * Return: 0; -ENOMEM, -ENOSPC, -EBUSY (too many wait): no serve-done comes,
 * though with -EBUSY the fence stands.
 */
int orchfs_volume_fence(struct orchfs_serve *serve, u32 number, u64 request_id,
			const struct orchfs_fence *fence)
{
	struct volume_wait *wait = kzalloc(sizeof(*wait), GFP_KERNEL);
	struct orchfs_fence *own = kmemdup(fence, sizeof(*fence), GFP_KERNEL);
	int ret;

	if (!wait || !own) {
		kfree(wait);
		kfree(own);
		return -ENOMEM;
	}
	wait->request_id = request_id;
	wait->instance = fence->instance;
	wait->node = fence->node;
	wait->epoch = fence->epoch;
	ret = volume_fence(serve, number, own, wait);
	if (ret > 0)
		volume_wait_done(serve, wait);
	else if (ret)
		kfree(wait);
	return ret < 0 ? ret : 0;
}

static int volume_check_locked(struct orchfs_serve_volume *vol,
			       const struct orchfs_token *token, u64 epoch,
			       bool write)
{
	bool heard;
	u64 now = orchfs_serve_now(vol->serve, &heard);

	lockdep_assert_held(&vol->lock);
	if (vol->gone)
		return -ENXIO;
	if (epoch < orchfs_fences_floor(vol->fences, token->instance,
					token->node))
		return -ESTALE;
	if (now == U64_MAX || (write && !heard))
		return -EAGAIN;
	if (token->expiry_ms <= now)
		return -EKEYEXPIRED;
	return 0;
}

/**
 * orchfs_volume_check() - is a token good now
 * @vol: of its instance
 * @token: verified
 * @write: to change the file
 *
 * Return: 0, or the error to answer: -ENXIO, -ESTALE, -EAGAIN, -EKEYEXPIRED.
 */
int orchfs_volume_check(struct orchfs_serve_volume *vol,
			const struct orchfs_token *token, bool write)
{
	int ret;

	spin_lock(&vol->lock);
	ret = volume_check_locked(vol, token, token->epoch, write);
	spin_unlock(&vol->lock);
	return ret;
}

static bool req_writes(const struct orchfs_serve_req *req)
{
	return orchfs_req_changes(req) ||
	       req->pdu.opcode == ORCHFS_OP_COMMIT;
}

/**
 * orchfs_volume_admit() - may a request be carried out
 * @req: of a handle
 *
 * Fences wait for it from now on, if it may, until orchfs_volume_leave().
 *
 * Return: 0, or the error to answer as orchfs_volume_check() tells.
 */
int orchfs_volume_admit(struct orchfs_serve_req *req)
{
	struct orchfs_serve_volume *vol = req->handle->vol;
	const struct orchfs_token *token = &req->handle->token;
	int ret;

	spin_lock(&vol->lock);
	req->epoch = token->epoch;
	ret = volume_check_locked(vol, token, req->epoch, req_writes(req));
	if (!ret) {
		req->seq = ++vol->seq;
		list_add_tail(&req->admitted, &vol->admitted);
	}
	spin_unlock(&vol->lock);
	return ret;
}

/**
 * orchfs_volume_recheck() - may it still, now that a worker has come to it
 * @req: admitted
 *
 * Return: as orchfs_volume_admit().
 */
int orchfs_volume_recheck(struct orchfs_serve_req *req)
{
	struct orchfs_serve_volume *vol = req->handle->vol;
	int ret;

	spin_lock(&vol->lock);
	ret = volume_check_locked(vol, &req->handle->token, req->epoch,
				  req_writes(req));
	spin_unlock(&vol->lock);
	return ret;
}

/**
 * orchfs_volume_leave() - the I/O of a request has ended
 * @req: admitted; its handle is still held
 */
void orchfs_volume_leave(struct orchfs_serve_req *req)
{
	struct orchfs_serve_volume *vol = req->handle->vol;
	struct volume_wait *wait, *next;
	LIST_HEAD(done);

	spin_lock(&vol->lock);
	list_del_init(&req->admitted);
	list_for_each_entry_safe(wait, next, &vol->waits, link) {
		if (!wait_matches(wait, req) || --wait->nr)
			continue;
		list_move(&wait->link, &done);
		vol->nr_waits--;
	}
	spin_unlock(&vol->lock);
	list_for_each_entry_safe(wait, next, &done, link)
		volume_wait_done(vol->serve, wait);
}
