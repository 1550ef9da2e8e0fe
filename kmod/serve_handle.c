// SPDX-License-Identifier: GPL-2.0-only
/*
 * Handles of a connection: a slot, and 32 random bits, so that those of another
 * connection, or of an earlier handle in the slot, are unknown.
 */
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/namei.h>
#include <linux/random.h>
#include <linux/slab.h>

#include "serve.h"

/* What a backing file has to be; the root's file system was not left. */
static int handle_fault(const struct path *path)
{
	const struct inode *inode = d_backing_inode(path->dentry);

	if (!S_ISREG(inode->i_mode) ||
	    inode->i_sb->s_magic == ORCHFS_SUPER_MAGIC)
		return -EINVAL;
	return 0;
}

static struct file *handle_open_file(struct orchfs_serve_volume *vol,
				     const struct orchfs_token *token)
{
	bool write = token->rights & (ORCHFS_RIGHT_WRITE |
				      ORCHFS_RIGHT_TRUNCATE);
	char name[64];
	struct file *file;
	struct path path;
	int ret;

	snprintf(name, sizeof(name), "data/%02x/%llx.%llx.%llx",
		 (unsigned int)(token->ino >> 8) & 0xff, token->ino,
		 token->version, token->instance);
	ret = vfs_path_lookup(vol->root.dentry, vol->root.mnt, name,
			      LOOKUP_NO_SYMLINKS | LOOKUP_NO_XDEV, &path);
	/* Whatever that is, no daemon made it. */
	if (ret == -ELOOP || ret == -EXDEV || ret == -ENOTDIR)
		ret = -EINVAL;
	if (ret)
		return ERR_PTR(ret);
	ret = handle_fault(&path);
	if (ret)
		file = ERR_PTR(ret);
	else
		file = dentry_open(&path, (write ? O_RDWR : O_RDONLY) |
				   O_LARGEFILE | O_NOATIME, vol->cred);
	path_put(&path);
	return file;
}

/* It is closed at once: who waits for the volume will unmount it. */
static void handle_close_work(struct work_struct *work)
{
	struct orchfs_serve_handle *handle =
		container_of(work, struct orchfs_serve_handle, close_work);

	__fput_sync(handle->file);
	orchfs_volume_put(handle->vol);
	kfree(handle);
}

/**
 * orchfs_handle_open() - open the backing file of a token
 * @vol: its volume; the caller's credentials are the volume's
 * @token: verified
 *
 * Return: a handle with one reference, not known to anybody; or an ERR_PTR.
 */
struct orchfs_serve_handle *
orchfs_handle_open(struct orchfs_serve_volume *vol,
		   const struct orchfs_token *token)
{
	struct orchfs_serve_handle *handle = kzalloc(sizeof(*handle),
						     GFP_KERNEL);
	int ret;

	if (!handle)
		return ERR_PTR(-ENOMEM);
	handle->file = handle_open_file(vol, token);
	if (IS_ERR(handle->file)) {
		ret = PTR_ERR(handle->file);
		kfree(handle);
		return ERR_PTR(ret);
	}
	INIT_LIST_HEAD(&handle->link);
	INIT_WORK(&handle->close_work, handle_close_work);
	refcount_set(&handle->refs, 1);
	refcount_inc(&vol->refs);
	handle->vol = vol;
	handle->token = *token;
	return handle;
}

/**
 * orchfs_handle_put() - drop a reference
 * @handle: the last one lets a worker of the volume close the file, which may
 *	take long
 */
void orchfs_handle_put(struct orchfs_serve_handle *handle)
{
	if (refcount_dec_and_test(&handle->refs))
		queue_work(handle->vol->writers, &handle->close_work);
}

/**
 * orchfs_handle_add() - make a handle known
 * @conn: to its peer
 * @handle: gets its id; the reference goes to @conn on success
 *
 * Return: 0, -ENFILE when there are as many as may be, -ENOMEM.
 */
int orchfs_handle_add(struct orchfs_serve_conn *conn,
		      struct orchfs_serve_handle *handle)
{
	u32 slot, salt = get_random_u32_above(0);
	int ret;

	xa_lock(&conn->handles);
	ret = __xa_alloc(&conn->handles, &slot, handle,
			 XA_LIMIT(0, conn->limits.max_handles - 1), GFP_KERNEL);
	if (!ret) {
		handle->id = (u64)salt << 32 | slot;
		conn->nr_handles++;
	}
	xa_unlock(&conn->handles);
	return ret == -EBUSY ? -ENFILE : ret;
}

static struct orchfs_serve_handle *handle_find(struct orchfs_serve_conn *conn,
					       u64 id)
{
	struct orchfs_serve_handle *handle = xa_load(&conn->handles, (u32)id);

	return handle && handle->id == id ? handle : NULL;
}

/**
 * orchfs_handle_get() - a handle that a request names
 * @conn: of the request
 * @id: its number
 *
 * Return: the handle with a reference for the caller, or NULL.
 */
struct orchfs_serve_handle *orchfs_handle_get(struct orchfs_serve_conn *conn,
					      u64 id)
{
	struct orchfs_serve_handle *handle;

	xa_lock(&conn->handles);
	handle = handle_find(conn, id);
	if (handle)
		refcount_inc(&handle->refs);
	xa_unlock(&conn->handles);
	return handle;
}

static void handle_erase(struct orchfs_serve_conn *conn,
			 struct orchfs_serve_handle *handle)
{
	lockdep_assert_held(&conn->handles.xa_lock);
	__xa_erase(&conn->handles, (u32)handle->id);
	conn->nr_handles--;
}

/**
 * orchfs_handle_remove() - end a handle
 * @conn: that knows it
 * @id: its number
 *
 * Requests that use it go on.
 *
 * Return: 0, or -EBADF when it isn't known.
 */
int orchfs_handle_remove(struct orchfs_serve_conn *conn, u64 id)
{
	struct orchfs_serve_handle *handle;

	xa_lock(&conn->handles);
	handle = handle_find(conn, id);
	if (handle)
		handle_erase(conn, handle);
	xa_unlock(&conn->handles);
	if (!handle)
		return -EBADF;
	orchfs_handle_put(handle);
	return 0;
}

/**
 * orchfs_handle_take_all() - end the handles of a volume
 * @conn: that knows them
 * @vol: the volume, NULL for all
 * @taken: gets them
 */
void orchfs_handle_take_all(struct orchfs_serve_conn *conn,
			    const struct orchfs_serve_volume *vol,
			    struct list_head *taken)
{
	struct orchfs_serve_handle *handle;
	unsigned long slot;

	xa_lock(&conn->handles);
	xa_for_each(&conn->handles, slot, handle) {
		if (vol && handle->vol != vol)
			continue;
		handle_erase(conn, handle);
		list_add_tail(&handle->link, taken);
	}
	xa_unlock(&conn->handles);
}

/**
 * orchfs_handle_take_expired() - end those whose token wasn't renewed
 * @conn: that knows them; its peer hears HANDLE
 * @now_ms: the authority's clock
 * @taken: gets them
 */
void orchfs_handle_take_expired(struct orchfs_serve_conn *conn, u64 now_ms,
				struct list_head *taken)
{
	struct orchfs_serve_handle *handle;
	unsigned long slot;
	u64 expiry;

	xa_lock(&conn->handles);
	xa_for_each(&conn->handles, slot, handle) {
		expiry = READ_ONCE(handle->token.expiry_ms);
		if (expiry >= now_ms ||
		    now_ms - expiry < ORCHFS_SERVE_GRACE_MS)
			continue;
		handle_erase(conn, handle);
		list_add_tail(&handle->link, taken);
	}
	xa_unlock(&conn->handles);
}

/**
 * orchfs_handle_put_list() - drop the references that a list has
 * @taken: by orchfs_handle_take_all()
 */
void orchfs_handle_put_list(struct list_head *taken)
{
	struct orchfs_serve_handle *handle, *next;

	list_for_each_entry_safe(handle, next, taken, link) {
		list_del_init(&handle->link);
		orchfs_handle_put(handle);
	}
}
