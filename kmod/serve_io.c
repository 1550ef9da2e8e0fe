// SPDX-License-Identifier: GPL-2.0-only
/*
 * What requests do. The receiver dispatches; whatever touches a file runs at
 * the volume's workers, with the volume's credentials, but for small reads and
 * writes that need wait for nothing: the receiver tries these itself while
 * nothing else is under way on its connection.
 */
#include <linux/cred.h>
#include <linux/falloc.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/fsnotify.h>
#include <linux/mm.h>
#include <linux/mount.h>
#include <linux/pagemap.h>
#include <linux/pipe_fs_i.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/splice.h>

#include "serve.h"

#define PROMPT_BYTES	SZ_16K

/**
 * orchfs_req_crc() - sum of the data of a request
 * @req: whose bv holds bytes of them
 *
 * Return: CRC32C.
 */
u32 orchfs_req_crc(const struct orchfs_serve_req *req)
{
	u32 left = req->bytes, crc = 0;
	unsigned int i;

	for (i = 0; i < req->nr_bv && left; i++) {
		u32 len = min(left, req->bv[i].bv_len);
		void *addr = bvec_kmap_local(&req->bv[i]);

		crc = orchfs_pdu_crc(crc, addr, len);
		kunmap_local(addr);
		left -= len;
	}
	return crc;
}

/**
 * orchfs_req_pages() - give a request pages
 * @req: has none
 * @len: bytes that go into them
 *
 * Return: 0 or -ENOMEM, and then orchfs_req_free_pages() takes back what there
 * is.
 */
int orchfs_req_pages(struct orchfs_serve_req *req, u32 len)
{
	unsigned int nr = DIV_ROUND_UP(len, PAGE_SIZE);
	struct page *page;

	req->bv = kvmalloc_array(nr, sizeof(*req->bv), GFP_KERNEL);
	if (!req->bv)
		return -ENOMEM;
	while (req->nr_bv < nr) {
		page = alloc_page(GFP_KERNEL);
		if (!page)
			return -ENOMEM;
		bvec_set_page(&req->bv[req->nr_bv++], page,
			      min_t(u32, len - req->bytes, PAGE_SIZE), 0);
		req->bytes += req->bv[req->nr_bv - 1].bv_len;
	}
	return 0;
}

/**
 * orchfs_req_free_pages() - the pages of a request are needed no more
 * @req: may have none
 */
void orchfs_req_free_pages(struct orchfs_serve_req *req)
{
	unsigned int i;

	for (i = 0; i < req->nr_bv; i++)
		put_page(req->bv[i].bv_page);
	kvfree(req->bv);
	req->bv = NULL;
	req->nr_bv = 0;
	req->bytes = 0;
}

/* --- at a worker, on an admitted request --- */

/* One page, or a part of it, that the file's splice_read gave. */
static int read_actor_one(struct pipe_inode_info *pipe, struct pipe_buffer *buf,
			  struct splice_desc *sd)
{
	struct orchfs_serve_req *req = sd->u.data;
	struct bio_vec *last = req->nr_bv ? &req->bv[req->nr_bv - 1] : NULL;

	if (last && last->bv_page == buf->page &&
	    last->bv_offset + last->bv_len == buf->offset) {
		last->bv_len += sd->len;
	} else {
		/* One more than whole pages; each call ends a page but the last */
		if (req->nr_bv > DIV_ROUND_UP(req->pdu.count, PAGE_SIZE))
			return -EIO;
		get_page(buf->page);
		bvec_set_page(&req->bv[req->nr_bv++], buf->page, sd->len,
			      buf->offset);
	}
	req->bytes += sd->len;
	return sd->len;
}

static int read_actor(struct pipe_inode_info *pipe, struct splice_desc *sd)
{
	return __splice_from_pipe(pipe, sd, read_actor_one);
}

/* Pages of the page cache, without a copy. */
static int read_splice(struct orchfs_serve_req *req, struct file *file)
{
	u32 count = req->pdu.count;
	ssize_t ret;

	req->bv = kvmalloc_array(DIV_ROUND_UP(count, PAGE_SIZE) + 1,
				 sizeof(*req->bv), GFP_KERNEL);
	if (!req->bv)
		return -ENOMEM;
	/* It may stop early; only 0 is the end of the file. */
	while (req->bytes < count) {
		struct splice_desc sd = {
			.total_len = count - req->bytes,
			.pos = req->pdu.offset + req->bytes,
			.u.data = req,
		};

		ret = splice_direct_to_actor(file, &sd, read_actor);
		if (ret <= 0)
			return ret;
	}
	return 0;
}

/*
 * Pages of our own: others may change the cache's under a sum, or while they
 * are sent. One read, as it is atomic towards writes where the file system
 * sees to that.
 */
static int read_copy(struct orchfs_serve_req *req, struct file *file)
{
	u32 count = req->pdu.count, done = 0;
	loff_t pos = req->pdu.offset;
	struct iov_iter iter;
	ssize_t ret;

	ret = orchfs_req_pages(req, count);
	if (ret)
		return ret;
	iov_iter_bvec(&iter, ITER_DEST, req->bv, req->nr_bv, count);
	while (done < count) {
		ret = vfs_iter_read(file, &iter, &pos, 0);
		if (ret < 0)
			return ret;
		if (!ret)
			break;
		done += ret;
	}
	req->bytes = done;
	return 0;
}

static int run_read(struct orchfs_serve_req *req)
{
	struct file *file = req->handle->file;
	bool sum = req->pdu.flags & ORCHFS_PDU_DATA_CRC;
	int ret;

	if (sum || !file->f_op->splice_read ||
	    inode_is_open_for_write(file_inode(file)))
		ret = read_copy(req, file);
	else
		ret = read_splice(req, file);
	if (ret)
		return ret;
	atomic64_add(req->bytes, &req->conn->bytes_read);
	if (sum && req->bytes) {
		req->reply.flags = ORCHFS_PDU_DATA_CRC;
		req->reply.data_crc = orchfs_req_crc(req);
	}
	return 0;
}

/*
 * A volume that thaws, or a lock, may have been waited for long: whether it may
 * still is looked at behind that, as far as it can be. What waits in the file
 * system itself is waited for by fences.
 */
static ssize_t write_once(struct orchfs_serve_req *req, struct iov_iter *iter,
			  loff_t *pos, rwf_t flags)
{
	struct file *file = req->handle->file;
	struct kiocb kiocb;
	ssize_t ret;

	if (!file->f_op->write_iter)
		return -EINVAL;
	init_sync_kiocb(&kiocb, file);
	kiocb.ki_pos = *pos;
	ret = kiocb_set_rw_flags(&kiocb, flags, WRITE);
	if (!ret)
		ret = rw_verify_area(WRITE, file, &kiocb.ki_pos,
				     iov_iter_count(iter));
	if (ret)
		return ret;
	if (!(flags & RWF_NOWAIT))
		file_start_write(file);
	else if (!file_start_write_trylock(file))
		return -EAGAIN;
	ret = orchfs_volume_recheck(req);
	if (!ret) {
		ret = file->f_op->write_iter(&kiocb, iter);
		/* it may be that of data which was acknowledged before */
		if (ret < 0 && (flags & RWF_DSYNC))
			orchfs_volume_lost(req->handle->vol);
	}
	file_end_write(file);
	if (ret > 0)
		fsnotify_modify(file);
	else if (ret == -ENOSPC || ret == -EDQUOT)
		orchfs_volume_tight(req->handle->vol);
	*pos = kiocb.ki_pos;
	return ret;
}

/*
 * A writer isn't slowed for dirty pages of others, as the peer may be this
 * machine, which writes back what it has dirtied through us.
 */
static int run_write(struct orchfs_serve_req *req)
{
	unsigned int pflags = current->flags & PF_LOCAL_THROTTLE;
	rwf_t flags = req->pdu.flags & ORCHFS_PDU_FUA ? RWF_DSYNC : 0;
	bool append = req->pdu.flags & ORCHFS_PDU_APPEND;
	u32 len = req->pdu.data_len, done = 0;
	loff_t pos = req->pdu.offset;
	struct iov_iter iter;
	ssize_t ret;

	if (append)
		flags |= RWF_APPEND;
	orchfs_volume_measure(req->handle->vol);
	iov_iter_bvec(&iter, ITER_SOURCE, req->bv, req->nr_bv, len);
	current->flags |= PF_LOCAL_THROTTLE;
	do {
		ret = write_once(req, &iter, &pos, flags);
		if (ret > 0)
			done += ret;
		/* others may append between two */
	} while (ret > 0 && done < len && !append);
	current_restore_flags(pflags, PF_LOCAL_THROTTLE);
	orchfs_conn_release_data(req);
	if (!done)
		return ret ?: -EIO;
	atomic64_add(done, &req->conn->bytes_written);
	req->reply.count = done;
	if (append) {
		req->reply.flags = ORCHFS_PDU_APPEND;
		req->reply.offset = pos - done;
	}
	return 0;
}

/* --- in the receiver, on an admitted request --- */

/*
 * What is in the page cache, in pages of our own, which is cheaper than a
 * worker. Return: 0; -EAGAIN when it takes one.
 */
static int prompt_read(struct orchfs_serve_req *req)
{
	struct file *file = req->handle->file;
	u32 count = req->pdu.count;
	struct kiocb kiocb;
	struct iov_iter iter;
	ssize_t ret = -EAGAIN;

	/* a listener may want to be asked first */
	if (count > PROMPT_BYTES || req->pdu.flags & ORCHFS_PDU_DATA_CRC ||
	    FMODE_FSNOTIFY_PERM(file->f_mode))
		return -EAGAIN;
	init_sync_kiocb(&kiocb, file);
	kiocb.ki_pos = req->pdu.offset;
	kiocb.ki_flags |= IOCB_NOWAIT | IOCB_NOIO;
	if (!orchfs_req_pages(req, count)) {
		iov_iter_bvec(&iter, ITER_DEST, req->bv, req->nr_bv, count);
		ret = vfs_iocb_iter_read(file, &kiocb, &iter);
	}
	if (ret < 0 ||
	    (ret < count && kiocb.ki_pos < i_size_read(file_inode(file)))) {
		orchfs_req_free_pages(req);
		return -EAGAIN;
	}
	req->bytes = ret;
	atomic64_add(ret, &req->conn->bytes_read);
	return 0;
}

/*
 * Over what is in the page cache. A part is written again by the worker. What
 * the file system waits for all the same is left out: write-back of pages that
 * must be stable, and of files that are written through; and space.
 */
static int prompt_write(struct orchfs_serve_req *req)
{
	struct file *file = req->handle->file;
	struct inode *inode = file_inode(file);
	unsigned int pflags = current->flags & PF_LOCAL_THROTTLE;
	u32 len = req->pdu.data_len;
	loff_t pos = req->pdu.offset;
	struct iov_iter iter;
	ssize_t ret;

	if (len > PROMPT_BYTES ||
	    req->pdu.flags & (ORCHFS_PDU_FUA | ORCHFS_PDU_APPEND) ||
	    IS_SYNC(inode) || mapping_stable_writes(file->f_mapping) ||
	    pos + len > i_size_read(inode) ||
	    !orchfs_volume_roomy(req->handle->vol))
		return -EAGAIN;
	iov_iter_bvec(&iter, ITER_SOURCE, req->bv, req->nr_bv, len);
	current->flags |= PF_LOCAL_THROTTLE;
	ret = write_once(req, &iter, &pos, RWF_NOWAIT);
	current_restore_flags(pflags, PF_LOCAL_THROTTLE);
	if (ret != len)
		return -EAGAIN;
	orchfs_conn_release_data(req);
	atomic64_add(len, &req->conn->bytes_written);
	req->reply.count = len;
	return 0;
}

/* --- at a worker again --- */

static int run_commit(struct orchfs_serve_req *req)
{
	int ret = vfs_fsync(req->handle->file, 0);

	/* The error is told once; everybody who wrote must know. */
	if (ret)
		orchfs_volume_lost(req->handle->vol);
	return ret;
}

static int run_getattr(struct orchfs_serve_req *req)
{
	const struct path *path = &req->handle->file->f_path;
	struct orchfs_remote_attr attr;
	struct kstat stat;
	int ret;

	ret = vfs_getattr_nosec(path, &stat,
				STATX_BASIC_STATS | STATX_CHANGE_COOKIE,
				AT_STATX_SYNC_AS_STAT);
	if (ret)
		return ret;
	attr = (struct orchfs_remote_attr){
		.size = stat.size,
		.blocks = stat.blocks,
		.atime_sec = stat.atime.tv_sec,
		.atime_nsec = stat.atime.tv_nsec,
		.mtime_sec = stat.mtime.tv_sec,
		.mtime_nsec = stat.mtime.tv_nsec,
		.ctime_sec = stat.ctime.tv_sec,
		.ctime_nsec = stat.ctime.tv_nsec,
		.change = stat.result_mask & STATX_CHANGE_COOKIE ?
			stat.change_cookie :
			(u64)stat.ctime.tv_sec * NSEC_PER_SEC +
			stat.ctime.tv_nsec,
	};
	orchfs_remote_attr_encode(&attr, req->small);
	req->small_len = sizeof(struct orchfs_wire_attr);
	return 0;
}

static int run_truncate(struct orchfs_serve_req *req)
{
	struct iattr ia = {
		.ia_valid = ATTR_SIZE | ATTR_FORCE,
		.ia_size = req->pdu.offset,
	};
	struct file *file = req->handle->file;
	struct inode *inode = file_inode(file);
	int ret;

	if (IS_APPEND(inode))
		return -EPERM;
	ret = mnt_want_write_file(file);
	if (ret)
		return ret;
	inode_lock(inode);
	ret = orchfs_volume_recheck(req);
	if (!ret)
		ret = notify_change(file_mnt_idmap(file), file->f_path.dentry,
				    &ia, NULL);
	inode_unlock(inode);
	mnt_drop_write_file(file);
	return ret;
}

/* In whole or not at all, for who asks: a part shows in no answer. */
static int run_allocate(struct orchfs_serve_req *req)
{
	struct file *file = req->handle->file;
	struct inode *inode = file_inode(file);
	int ret;

	if (IS_IMMUTABLE(inode) || IS_SWAPFILE(inode) ||
	    (IS_APPEND(inode) && req->pdu.count & ~FALLOC_FL_KEEP_SIZE))
		return -EPERM;
	if (!file->f_op->fallocate)
		return -EOPNOTSUPP;
	if (req->pdu.offset + req->pdu.length > inode->i_sb->s_maxbytes)
		return -EFBIG;
	file_start_write(file);
	ret = orchfs_volume_recheck(req);
	if (!ret)
		ret = file->f_op->fallocate(file, req->pdu.count,
					    req->pdu.offset, req->pdu.length);
	file_end_write(file);
	if (!ret)
		fsnotify_modify(file);
	return ret;
}

static int run_seek(struct orchfs_serve_req *req)
{
	bool hole = req->pdu.count == ORCHFS_SEEK_HOLE;
	loff_t ret = vfs_llseek(req->handle->file, req->pdu.offset,
				hole ? SEEK_HOLE : SEEK_DATA);

	/* what a drive says */
	if (ret == -ENODATA)
		return -EIO;
	/* ENXIO is of volumes */
	if (ret == -ENXIO)
		return -ENODATA;
	if (ret < 0)
		return ret;
	req->reply.offset = ret;
	return 0;
}

struct serve_op {
	int (*run)(struct orchfs_serve_req *req);
	u32 right;			/* one of these; 0: none is needed */
	bool changes;			/* so the reply has a verifier */
	int (*prompt)(struct orchfs_serve_req *req);	/* or NULL */
};

static const struct serve_op serve_ops[ORCHFS_NR_OPS] = {
	[ORCHFS_OP_READ]	= { run_read, ORCHFS_RIGHT_READ, false,
				    prompt_read },
	[ORCHFS_OP_WRITE]	= { run_write, ORCHFS_RIGHT_WRITE, true,
				    prompt_write },
	[ORCHFS_OP_COMMIT]	= { run_commit, ORCHFS_RIGHT_WRITE |
				    ORCHFS_RIGHT_TRUNCATE, true },
	[ORCHFS_OP_GETATTR]	= { run_getattr },
	[ORCHFS_OP_TRUNCATE]	= { run_truncate, ORCHFS_RIGHT_TRUNCATE, true },
	[ORCHFS_OP_ALLOCATE]	= { run_allocate, ORCHFS_RIGHT_WRITE, true },
	[ORCHFS_OP_SEEK]	= { run_seek },
};

static int req_run(struct orchfs_serve_req *req,
		   int (*run)(struct orchfs_serve_req *req))
{
	struct orchfs_serve_volume *vol = req->handle->vol;
	const struct cred *old;
	u64 verifier;
	int ret;

	/* Sent again by now, on another: it must not come after that. */
	ret = orchfs_conn_ending(req->conn) ? -ESTALE :
		orchfs_volume_recheck(req);
	if (ret)
		return ret;
	/* Of before: what is lost meanwhile shows in the next reply. */
	verifier = orchfs_volume_verifier(vol);
	old = override_creds(vol->cred);
	ret = run(req);
	revert_creds(old);
	if (!ret && serve_ops[req->pdu.opcode].changes)
		req->reply.verifier = verifier;
	return ret;
}

static void req_leave(struct orchfs_serve_req *req)
{
	orchfs_volume_leave(req);
	/* A peer that doesn't read its replies keeps no file open. */
	orchfs_handle_put(req->handle);
}

static void req_work(struct work_struct *work)
{
	struct orchfs_serve_req *req =
		container_of(work, struct orchfs_serve_req, work);
	int ret = req_run(req, serve_ops[req->pdu.opcode].run);

	req_leave(req);
	orchfs_conn_worked(req, ret);
}

/* --- BIND --- */

static int bind_verify(struct orchfs_serve_req *req, struct orchfs_token *token)
{
	struct orchfs_serve_volume *vol = req->vol;
	struct orchfs_token_for want = {
		.volume = vol->number,
		.node = req->conn->peer,
	};
	int ret;

	memcpy(want.ns_uuid, vol->serve->uuid, sizeof(want.ns_uuid));
	mutex_lock(&vol->key_lock);
	want.key_id = vol->key_id;
	ret = orchfs_token_verify(vol->key, &want, req->small, ORCHFS_TOKEN_LEN,
				  token);
	mutex_unlock(&vol->key_lock);
	return ret ?: orchfs_volume_check(vol, token, false);
}

/* A newer token for what a handle is for. */
static int bind_renew(struct orchfs_serve_req *req,
		      const struct orchfs_token *token)
{
	struct orchfs_serve_handle *handle = orchfs_handle_get(req->conn,
							       req->pdu.handle);
	struct orchfs_token *old;
	int ret = 0;

	if (!handle)
		return -EBADF;
	old = &handle->token;
	if (handle->vol != req->vol || old->ino != token->ino ||
	    old->version != token->version ||
	    old->instance != token->instance || token->rights != old->rights) {
		/* other rights are another handle */
		ret = -EINVAL;
	} else {
		spin_lock(&handle->vol->lock);
		/* whole or not at all: nobody signed a mixture */
		if (token->epoch > old->epoch) {
			old->epoch = token->epoch;
			WRITE_ONCE(old->expiry_ms, token->expiry_ms);
		} else if (token->epoch == old->epoch) {
			WRITE_ONCE(old->expiry_ms,
				   max(old->expiry_ms, token->expiry_ms));
		}
		spin_unlock(&handle->vol->lock);
		req->reply.handle = handle->id;
	}
	orchfs_handle_put(handle);
	return ret;
}

static int bind_open(struct orchfs_serve_req *req,
		     const struct orchfs_token *token)
{
	struct orchfs_serve_handle *handle = orchfs_handle_open(req->vol,
								token);
	int ret;

	if (IS_ERR(handle))
		return PTR_ERR(handle);
	/* One more: as soon as it is known it may be taken away. */
	refcount_inc(&handle->refs);
	ret = orchfs_handle_add(req->conn, handle);
	if (ret) {
		orchfs_handle_put(handle);
	} else {
		req->reply.handle = handle->id;
		/* Who ends the volume may have been here before it was added. */
		ret = orchfs_volume_check(req->vol, token, false);
		if (ret)
			orchfs_handle_remove(req->conn, handle->id);
	}
	orchfs_handle_put(handle);
	return ret;
}

static void bind_work(struct work_struct *work)
{
	struct orchfs_serve_req *req =
		container_of(work, struct orchfs_serve_req, work);
	struct orchfs_serve_volume *vol = req->vol;
	struct orchfs_token token;
	const struct cred *old = override_creds(vol->cred);
	int ret;

	ret = bind_verify(req, &token);
	if (!ret)
		ret = req->pdu.handle ? bind_renew(req, &token) :
			bind_open(req, &token);
	revert_creds(old);
	if (!ret)
		req->reply.verifier = orchfs_volume_verifier(vol);
	orchfs_volume_put(vol);
	orchfs_conn_worked(req, ret);
}

/* --- in the receiver --- */

static void dispatch_hello(struct orchfs_serve_req *req)
{
	const struct orchfs_serve_limits *limits = &req->conn->limits;
	struct orchfs_serve_conn *conn = req->conn;
	struct orchfs_hello hello;

	if (orchfs_hello_decode(req->small, req->pdu.data_len, &hello) ||
	    hello.version_min > ORCHFS_HELLO_VERSION ||
	    hello.version_max < ORCHFS_HELLO_VERSION_MIN) {
		req->last = true;
		orchfs_conn_reply(req, -EPROTONOSUPPORT);
		return;
	}
	conn->version = min(hello.version_max, ORCHFS_HELLO_VERSION);
	if (conn->version >= ORCHFS_HELLO_VERSION_END)
		WRITE_ONCE(conn->hello_id, hello.id);
	hello = (struct orchfs_hello){
		.version_min = conn->version,
		.version_max = conn->version,
		.max_data = ORCHFS_PDU_DATA_MAX,
		.max_requests = limits->max_requests,
		.max_handles = limits->max_handles,
		.max_bytes = limits->max_bytes,
		.unit = PAGE_SIZE,
	};
	orchfs_hello_encode(&hello, req->small);
	req->small_len = sizeof(struct orchfs_wire_hello);
	orchfs_conn_reply(req, 0);
}

static void dispatch_bind(struct orchfs_serve_req *req)
{
	struct orchfs_token token;

	if (orchfs_token_decode(req->small, req->pdu.data_len, &token)) {
		orchfs_conn_reply(req, -EKEYREJECTED);
		return;
	}
	/* The number isn't verified, but nor is there more than a look-up. */
	req->vol = orchfs_volume_find(req->conn->serve, token.volume);
	if (!req->vol) {
		orchfs_conn_reply(req, -ENXIO);
		return;
	}
	INIT_WORK(&req->work, bind_work);
	orchfs_conn_work(req, req->vol->wq);
}

static void dispatch_io(struct orchfs_serve_req *req)
{
	const struct serve_op *op = &serve_ops[req->pdu.opcode];
	struct orchfs_serve_handle *handle;
	int ret;

	handle = orchfs_handle_get(req->conn, req->pdu.handle);
	if (!handle) {
		orchfs_conn_reply(req, -EBADF);
		return;
	}
	req->handle = handle;
	if (op->right && !(op->right & handle->token.rights))
		ret = -EACCES;
	else
		ret = orchfs_volume_admit(req);
	if (ret) {
		orchfs_handle_put(handle);
		orchfs_conn_reply(req, ret);
		return;
	}
	/* Several are done side by side. */
	if (op->prompt && READ_ONCE(req->conn->in_flight) == 1 &&
	    handle->file->f_mode & FMODE_NOWAIT) {
		ret = req_run(req, op->prompt);
		if (ret != -EAGAIN) {
			req_leave(req);
			orchfs_conn_reply(req, ret);
			return;
		}
	}
	INIT_WORK(&req->work, req_work);
	orchfs_conn_work(req, op->changes ? handle->vol->writers :
					    handle->vol->wq);
}

/**
 * orchfs_req_dispatch() - a request has arrived
 * @req: all of it, checked; consumed: an answer will come
 */
void orchfs_req_dispatch(struct orchfs_serve_req *req)
{
	switch (req->pdu.opcode) {
	case ORCHFS_OP_HELLO:
		dispatch_hello(req);
		break;
	case ORCHFS_OP_BIND:
		dispatch_bind(req);
		break;
	case ORCHFS_OP_UNBIND:
		orchfs_conn_reply(req, orchfs_handle_remove(req->conn,
							    req->pdu.handle));
		break;
	case ORCHFS_OP_PING:
		orchfs_conn_reply(req, 0);
		break;
	case ORCHFS_OP_END:
		orchfs_conn_await(req);
		break;
	default:
		dispatch_io(req);
	}
}
