// SPDX-License-Identifier: GPL-2.0-only
/*
 * Bodies of the messages: requests and notices are made, replies are taken
 * apart and checked. What passes these checks is safe to use; whether it is
 * true is the daemon's business.
 */
#include <linux/limits.h>
#include <linux/slab.h>
#include <linux/unaligned.h>

#include "channel.h"
#include "nl_gen.h"

/* --- requests --- */

static int orchfs_put_u64(struct sk_buff *skb, int type, u64 value)
{
	return nla_put(skb, type, sizeof(value), &value);
}

static int orchfs_put_name(struct sk_buff *skb, int type,
			   const struct qstr *name)
{
	return name ? nla_put(skb, type, name->len, name->name) : 0;
}

/* A value longer than a chunk goes in several attributes, an empty in one. */
static int orchfs_put_value(struct sk_buff *skb, const void *value, size_t len)
{
	size_t n;

	do {
		n = min_t(size_t, len, ORCHFS_CHUNK_MAX);
		if (nla_put(skb, ORCHFS_A_MSG_XATTR_VALUE, n, value))
			return -EMSGSIZE;
		value += n;
		len -= n;
	} while (len);
	return 0;
}

static size_t orchfs_value_size(size_t len)
{
	return len + nla_total_size(0) * (len / ORCHFS_CHUNK_MAX + 2);
}

static size_t orchfs_xattrs_size(const struct orchfs_args *args)
{
	size_t size = 0;
	unsigned int i;

	for (i = 0; i < args->nr_xattrs; i++)
		size += nla_total_size(strlen(args->xattrs[i].name)) +
			orchfs_value_size(args->xattrs[i].len);
	return size;
}

/* An upper bound that is close, so that the buffer needn't be trimmed. */
static size_t orchfs_request_size(const struct orchfs_args *args)
{
	size_t size = 9 * nla_total_size(sizeof(u64)) +
		      10 * nla_total_size(sizeof(u32));

	if (args->name)
		size += nla_total_size(args->name->len);
	if (args->name2)
		size += nla_total_size(args->name2->len);
	if (args->target)
		size += nla_total_size(strlen(args->target));
	if (args->attr)
		size += nla_total_size(sizeof(*args->attr));
	if (args->has_now)
		size += nla_total_size(sizeof(args->now));
	if (args->xattr_name)
		size += nla_total_size(strlen(args->xattr_name));
	if (args->lock)
		size += nla_total_size(sizeof(*args->lock));
	if (args->kind == ORCHFS_KIND_SETXATTR)
		size += orchfs_value_size(args->xattr_len);
	return size + orchfs_xattrs_size(args);
}

static int orchfs_request_check(const struct orchfs_args *args)
{
	if ((args->name && args->name->len > ORCHFS_NAME_MAX) ||
	    (args->name2 && args->name2->len > ORCHFS_NAME_MAX) ||
	    (args->target && strlen(args->target) > ORCHFS_TARGET_MAX) ||
	    (args->xattr_name && strlen(args->xattr_name) > ORCHFS_NAME_MAX))
		return -ENAMETOOLONG;
	if (args->xattr_len > XATTR_SIZE_MAX)
		return -E2BIG;
	return 0;
}

/* Identity and session; every request has these. */
static int orchfs_put_head(struct sk_buff *skb, const struct orchfs_channel *ch,
			   const struct orchfs_args *args,
			   struct orchfs_request *req)
{
	if (nla_put_u32(skb, ORCHFS_A_MSG_FLAGS, args->flags))
		return -EMSGSIZE;
	req->flags_at = skb_tail_pointer(skb) - skb->data - sizeof(u32);
	if (orchfs_put_u64(skb, ORCHFS_A_MSG_REQUEST_ID, req->id) ||
	    nla_put_u32(skb, ORCHFS_A_MSG_KIND, args->kind) ||
	    orchfs_put_u64(skb, ORCHFS_A_MSG_SESSION, ch->session) ||
	    orchfs_put_u64(skb, ORCHFS_A_MSG_NODE, args->node))
		return -EMSGSIZE;
	if (req->slot != ORCHFS_NO_SLOT &&
	    (nla_put_u32(skb, ORCHFS_A_MSG_SLOT, req->slot) ||
	     orchfs_put_u64(skb, ORCHFS_A_MSG_SEQUENCE, req->sequence)))
		return -EMSGSIZE;
	return 0;
}

/* A name, then its value. */
static int orchfs_put_xattrs(struct sk_buff *skb,
			     const struct orchfs_args *args)
{
	unsigned int i;

	for (i = 0; i < args->nr_xattrs; i++) {
		const struct orchfs_xattr *x = &args->xattrs[i];

		if (nla_put(skb, ORCHFS_A_MSG_XATTR_NAME, strlen(x->name),
			    x->name) ||
		    orchfs_put_value(skb, x->value, x->len))
			return -EMSGSIZE;
	}
	return 0;
}

static int orchfs_put_owner(struct sk_buff *skb, const struct orchfs_args *args)
{
	if (nla_put_u32(skb, ORCHFS_A_MSG_MODE, args->mode) ||
	    nla_put_u32(skb, ORCHFS_A_MSG_UID, args->uid) ||
	    nla_put_u32(skb, ORCHFS_A_MSG_GID, args->gid))
		return -EMSGSIZE;
	return 0;
}

static int orchfs_put_create(struct sk_buff *skb,
			     const struct orchfs_args *args)
{
	if (orchfs_put_owner(skb, args))
		return -EMSGSIZE;
	if (args->rdev &&
	    (nla_put_u32(skb, ORCHFS_A_MSG_RDEV_MAJOR, MAJOR(args->rdev)) ||
	     nla_put_u32(skb, ORCHFS_A_MSG_RDEV_MINOR, MINOR(args->rdev))))
		return -EMSGSIZE;
	if (args->target &&
	    nla_put(skb, ORCHFS_A_MSG_TARGET, strlen(args->target),
		    args->target))
		return -EMSGSIZE;
	return orchfs_put_xattrs(skb, args);
}

/* Which attributes are meant, and what they are. */
static int orchfs_put_attr(struct sk_buff *skb, const struct orchfs_args *args)
{
	if (nla_put_u32(skb, ORCHFS_A_MSG_VALID, args->valid) ||
	    (args->attr && nla_put(skb, ORCHFS_A_MSG_ATTR,
				   sizeof(*args->attr), args->attr)))
		return -EMSGSIZE;
	return 0;
}

static int orchfs_put_names(struct sk_buff *skb, const struct orchfs_args *args)
{
	if (orchfs_put_name(skb, ORCHFS_A_MSG_NAME, args->name) ||
	    orchfs_put_name(skb, ORCHFS_A_MSG_NAME2, args->name2))
		return -EMSGSIZE;
	if (args->node2 &&
	    orchfs_put_u64(skb, ORCHFS_A_MSG_NODE2, args->node2))
		return -EMSGSIZE;
	if (args->has_now &&
	    nla_put(skb, ORCHFS_A_MSG_NOW, sizeof(args->now), &args->now))
		return -EMSGSIZE;
	return 0;
}

static int orchfs_put_xattr(struct sk_buff *skb, const struct orchfs_args *args)
{
	if (args->xattr_name &&
	    nla_put(skb, ORCHFS_A_MSG_XATTR_NAME, strlen(args->xattr_name),
		    args->xattr_name))
		return -EMSGSIZE;
	if (args->valid && orchfs_put_attr(skb, args))
		return -EMSGSIZE;
	if (args->kind == ORCHFS_KIND_SETXATTR &&
	    !(args->flags & ORCHFS_REQ_FLAG_XATTR_REMOVE))
		return orchfs_put_value(skb, args->xattr_value,
					args->xattr_len);
	return 0;
}

static int orchfs_put_body(struct sk_buff *skb, const struct orchfs_args *args)
{
	int ret;

	ret = orchfs_put_names(skb, args);
	if (ret)
		return ret;
	switch (args->kind) {
	case ORCHFS_KIND_CREATE:
		return orchfs_put_create(skb, args);
	case ORCHFS_KIND_RENAME:
		if (args->flags & ORCHFS_REQ_FLAG_WHITEOUT)
			return orchfs_put_owner(skb, args);
		if (args->flags & ORCHFS_REQ_FLAG_UNSEEN)
			return nla_put_u32(skb, ORCHFS_A_MSG_UID, args->uid);
		return 0;
	case ORCHFS_KIND_SETATTR:
		ret = orchfs_put_attr(skb, args);
		return ret ?: orchfs_put_xattrs(skb, args);
	case ORCHFS_KIND_READDIR:
		if (orchfs_put_u64(skb, ORCHFS_A_MSG_COOKIE, args->cookie) ||
		    nla_put_u32(skb, ORCHFS_A_MSG_MAX_ENTRIES,
				args->max_entries))
			return -EMSGSIZE;
		return 0;
	case ORCHFS_KIND_GETXATTR:
	case ORCHFS_KIND_SETXATTR:
		return orchfs_put_xattr(skb, args);
	case ORCHFS_KIND_LOCK:
		return nla_put(skb, ORCHFS_A_MSG_LOCK, sizeof(*args->lock),
			       args->lock);
	default:
		return 0;
	}
}

/**
 * orchfs_message_request() - make the message of a request
 * @ch: the channel
 * @args: what is asked
 * @req: admitted; owns the message on 0
 *
 * A value above some 30 KiB needs an allocation of high order, which may fail
 * on a fragmented machine.
 *
 * Return: 0, -ENOMEM, -ENAMETOOLONG or -E2BIG.
 */
int orchfs_message_request(const struct orchfs_channel *ch,
			   const struct orchfs_args *args,
			   struct orchfs_request *req)
{
	struct sk_buff *skb;
	void *head;
	int ret;

	ret = orchfs_request_check(args);
	if (ret)
		return ret;
	/* users decide how many wait, and how long they are */
	skb = genlmsg_new(orchfs_request_size(args), GFP_KERNEL_ACCOUNT);
	if (!skb)
		return -ENOMEM;
	head = genlmsg_put(skb, 0, 0, &orchfs_nl_family, 0,
			   ORCHFS_CMD_REQUEST);
	ret = head ? orchfs_put_head(skb, ch, args, req) : -EMSGSIZE;
	if (!ret)
		ret = orchfs_put_body(skb, args);
	if (WARN_ON_ONCE(ret)) {
		/* orchfs_request_size() doesn't know of an attribute */
		kfree_skb(skb);
		return -EIO;
	}
	genlmsg_end(skb, head);
	req->msg = skb;
	return 0;
}

/* --- replies --- */

/**
 * orchfs_name_valid() - may this be the name of an entry
 * @name: bytes without NUL at the end
 * @len: of it
 *
 * Return: true when it may.
 */
bool orchfs_name_valid(const void *name, size_t len)
{
	const char *s = name;

	if (!len || len > ORCHFS_NAME_MAX)
		return false;
	if (memchr(s, '/', len) || memchr(s, '\0', len))
		return false;
	return !(s[0] == '.' && (len == 1 || (len == 2 && s[1] == '.')));
}

/**
 * orchfs_attr_valid() - could an inode be like this
 * @attr: aligned copy of what the daemon sent
 *
 * Return: true when every member is in its range.
 */
bool orchfs_attr_valid(const struct orchfs_attr *attr)
{
	switch (attr->mode & S_IFMT) {
	case S_IFREG:
	case S_IFDIR:
	case S_IFLNK:
	case S_IFCHR:
	case S_IFBLK:
	case S_IFIFO:
	case S_IFSOCK:
		break;
	default:
		return false;
	}
	return attr->ino && attr->size <= MAX_LFS_FILESIZE &&
	       !(attr->mode & ~(S_IFMT | S_IALLUGO)) &&
	       attr->blocks <= (MAX_LFS_FILESIZE >> 9) + 1 &&
	       attr->atime_nsec < NSEC_PER_SEC &&
	       attr->mtime_nsec < NSEC_PER_SEC &&
	       attr->ctime_nsec < NSEC_PER_SEC &&
	       attr->btime_nsec < NSEC_PER_SEC &&
	       attr->uid != (u32)-1 && attr->gid != (u32)-1 &&
	       attr->rdev_major < (1U << (32 - MINORBITS)) &&
	       attr->rdev_minor <= MINORMASK && !attr->reserved &&
	       !(attr->flags & ~ORCHFS_ATTR_ALL);
}

static int orchfs_get_attr(struct genl_info *info, int type,
			   struct orchfs_attr *attr, bool *has)
{
	if (!info->attrs[type])
		return 0;
	nla_memcpy(attr, info->attrs[type], sizeof(*attr));
	if (!orchfs_attr_valid(attr)) {
		NL_SET_ERR_MSG_ATTR(info->extack, info->attrs[type],
				    "impossible attributes of an inode");
		return -EPROTO;
	}
	*has = true;
	return 0;
}

static int orchfs_get_target(struct genl_info *info, char **target)
{
	const struct nlattr *a = info->attrs[ORCHFS_A_MSG_TARGET];

	if (!a)
		return 0;
	if (!nla_len(a) || memchr(nla_data(a), '\0', nla_len(a))) {
		NL_SET_ERR_MSG_ATTR(info->extack, a,
				    "target of a symbolic link is empty or holds NUL");
		return -EPROTO;
	}
	*target = kmemdup_nul(nla_data(a), nla_len(a), GFP_KERNEL);
	return *target ? 0 : -ENOMEM;
}

static int orchfs_get_name(struct genl_info *info, char **name)
{
	const struct nlattr *a = info->attrs[ORCHFS_A_MSG_NAME];

	if (!a)
		return 0;
	if (!orchfs_name_valid(nla_data(a), nla_len(a))) {
		NL_SET_ERR_MSG_ATTR(info->extack, a, "impossible name");
		return -EPROTO;
	}
	*name = kmemdup_nul(nla_data(a), nla_len(a), GFP_KERNEL);
	return *name ? 0 : -ENOMEM;
}

static bool orchfs_lock_valid(const struct orchfs_lock *l)
{
	return l->type <= ORCHFS_LOCK_WRITE && l->start <= l->end &&
	       l->end <= OFFSET_MAX && !(l->flags & ~ORCHFS_LOCK_ALL);
}

static int orchfs_get_lock(struct genl_info *info, struct orchfs_result *res)
{
	const struct nlattr *a = info->attrs[ORCHFS_A_MSG_LOCK];

	if (!a)
		return 0;
	nla_memcpy(&res->lock, a, sizeof(res->lock));
	if (!orchfs_lock_valid(&res->lock)) {
		NL_SET_ERR_MSG_ATTR(info->extack, a, "impossible lock");
		return -EPROTO;
	}
	res->has_lock = true;
	return 0;
}

/* What a reply of status 0 must carry. */
static int orchfs_reply_complete(struct genl_info *info,
				 const struct orchfs_request *req,
				 const struct orchfs_result *res)
{
	bool ok = true;

	switch (req->kind) {
	case ORCHFS_KIND_OPEN:
		ok = res->has_attr && res->layout;
		break;
	case ORCHFS_KIND_MOUNT:
		ok = res->has_attr && S_ISDIR(res->attr.mode);
		break;
	case ORCHFS_KIND_LOOKUP:
	case ORCHFS_KIND_GETATTR:
	case ORCHFS_KIND_CREATE:
		ok = res->has_attr &&
		     (!S_ISLNK(res->attr.mode) || res->target);
		break;
	case ORCHFS_KIND_LINK:
	case ORCHFS_KIND_RENAME:
	case ORCHFS_KIND_SETATTR:
	case ORCHFS_KIND_SETXATTR:
		ok = res->has_attr;
		break;
	case ORCHFS_KIND_READDIR:
		ok = res->eof || info->attrs[ORCHFS_A_MSG_ENTRY];
		break;
	case ORCHFS_KIND_LOCK:
		ok = res->has_lock || !(req->lock.flags & ORCHFS_LOCK_TEST) ||
		     res->flags & ORCHFS_REQ_FLAG_LEASE;
		break;
	case ORCHFS_KIND_STATFS:
		ok = info->attrs[ORCHFS_A_MSG_STATFS] && res->statfs.bsize;
		break;
	}
	if (ok)
		return 0;
	NL_SET_ERR_MSG_FMT(info->extack,
			   "reply to a request of kind %u lacks what it asks for",
			   req->kind);
	return -EPROTO;
}

/* Readdir and the xattr kinds read their reply in place, later. */
static void orchfs_keep_reply(struct sk_buff *skb, struct genl_info *info,
			      struct orchfs_result *res)
{
	/*
	 * Nobody writes to a netlink message that the kernel got, and skb_pull
	 * in netlink_rcv_skb() moves skb->data only: the attributes stay where
	 * they are as long as the buffer lives. It is charged to the
	 * namespace's own genl socket, which the superblock's reference to
	 * the network namespace keeps.
	 */
	res->skb = skb_get(skb);
	res->attrs = nlmsg_attrdata(info->nlhdr, GENL_HDRLEN);
	res->attrs_len = nlmsg_attrlen(info->nlhdr, GENL_HDRLEN);
}

static int orchfs_parse_reply(struct sk_buff *skb, struct genl_info *info,
			      const struct orchfs_request *req,
			      struct orchfs_result *res)
{
	struct nlattr **attrs = info->attrs;
	int ret;

	if (attrs[ORCHFS_A_MSG_FLAGS])
		res->flags = nla_get_u32(attrs[ORCHFS_A_MSG_FLAGS]);
	if (attrs[ORCHFS_A_MSG_TXN])
		res->txn = nla_get_u64(attrs[ORCHFS_A_MSG_TXN]);
	res->eof = nla_get_flag(attrs[ORCHFS_A_MSG_EOF]);
	if (attrs[ORCHFS_A_MSG_STATFS])
		nla_memcpy(&res->statfs, attrs[ORCHFS_A_MSG_STATFS],
			   sizeof(res->statfs));
	ret = orchfs_get_attr(info, ORCHFS_A_MSG_ATTR, &res->attr,
			      &res->has_attr);
	if (ret)
		return ret;
	ret = orchfs_get_attr(info, ORCHFS_A_MSG_ATTR2, &res->attr2,
			      &res->has_attr2);
	if (ret)
		return ret;
	ret = orchfs_get_target(info, &res->target);
	if (ret)
		return ret;
	ret = orchfs_get_name(info, &res->name);
	if (ret)
		return ret;
	ret = orchfs_get_lock(info, res);
	if (ret)
		return ret;
	if (attrs[ORCHFS_A_MSG_LAYOUT]) {
		ret = orchfs_layout_decode(info->user_ptr[0],
					   attrs[ORCHFS_A_MSG_LAYOUT],
					   &res->layout, info->extack);
		if (ret)
			return ret;
	}
	if (attrs[ORCHFS_A_MSG_ENTRY] || attrs[ORCHFS_A_MSG_XATTR_VALUE])
		orchfs_keep_reply(skb, info, res);
	return orchfs_reply_complete(info, req, res);
}

/**
 * orchfs_message_reply() - take a reply of status 0 apart
 * @skb: the message; @res takes a reference if it is read later
 * @info: its attributes, checked against the policy
 * @req: what it answers
 * @res: filled on 0, empty otherwise
 *
 * Runs in the daemon's context, whose descriptors a layout names.
 *
 * Return: 0, -EPROTO with a text in extack, or what decoding a layout returns.
 */
int orchfs_message_reply(struct sk_buff *skb, struct genl_info *info,
			 const struct orchfs_request *req,
			 struct orchfs_result *res)
{
	int ret;

	memset(res, 0, sizeof(*res));
	ret = orchfs_parse_reply(skb, info, req, res);
	if (ret)
		orchfs_result_free(res);
	return ret;
}

static int orchfs_parse_dirent(const struct nlattr *nest,
			       struct orchfs_dirent *de)
{
	struct nlattr *tb[ORCHFS_A_ENTRY_TARGET + 1];
	const struct nlattr *name, *target;

	if (nla_parse_nested(tb, ORCHFS_A_ENTRY_TARGET, nest,
			     orchfs_entry_nl_policy, NULL))
		return -EPROTO;
	name = tb[ORCHFS_A_ENTRY_NAME];
	target = tb[ORCHFS_A_ENTRY_TARGET];
	if (!name || !tb[ORCHFS_A_ENTRY_COOKIE] || !tb[ORCHFS_A_ENTRY_ATTR] ||
	    !orchfs_name_valid(nla_data(name), nla_len(name)))
		return -EPROTO;

	de->name = (struct qstr)QSTR_INIT(nla_data(name), nla_len(name));
	de->cookie = nla_get_u64(tb[ORCHFS_A_ENTRY_COOKIE]);
	nla_memcpy(&de->attr, tb[ORCHFS_A_ENTRY_ATTR], sizeof(de->attr));
	de->target = target ? nla_data(target) : NULL;
	de->target_len = target ? nla_len(target) : 0;
	if (!orchfs_attr_valid(&de->attr) ||
	    (S_ISLNK(de->attr.mode) && !de->target_len) ||
	    (target && memchr(de->target, '\0', de->target_len)))
		return -EPROTO;
	return 0;
}

/**
 * orchfs_result_entries() - walk the entries of a readdir reply
 * @res: the result; what @fn is given points into it
 * @fn: returns 0 to go on, 1 to stop, or a negative errno
 * @arg: for @fn
 *
 * Return: the number of entries that @fn took, its errno, or -EPROTO at an
 * entry that can't be (those before it have been given).
 */
int orchfs_result_entries(const struct orchfs_result *res,
			  orchfs_dirent_fn fn, void *arg)
{
	const struct nlattr *a;
	struct orchfs_dirent de;
	int rem, ret, n = 0;

	if (!res->skb)
		return 0;
	nla_for_each_attr(a, res->attrs, res->attrs_len, rem) {
		if (nla_type(a) != ORCHFS_A_MSG_ENTRY)
			continue;
		ret = orchfs_parse_dirent(a, &de);
		if (!ret)
			ret = fn(arg, &de);
		if (ret < 0)
			return ret;
		if (ret)
			break;
		n++;
	}
	return n;
}

/**
 * orchfs_result_value() - the value that a getxattr or listxattr reply carries
 * @res: the result
 * @buf: gets the value unless NULL
 * @size: of @buf
 *
 * Return: length of the value, -ERANGE when it doesn't fit, -EPROTO when it
 * is longer than any value can be.
 */
ssize_t orchfs_result_value(const struct orchfs_result *res, void *buf,
			    size_t size)
{
	const struct nlattr *a;
	size_t len = 0;
	int rem;

	if (!res->skb)
		return 0;
	nla_for_each_attr(a, res->attrs, res->attrs_len, rem) {
		if (nla_type(a) != ORCHFS_A_MSG_XATTR_VALUE)
			continue;
		if (len + nla_len(a) > XATTR_SIZE_MAX)
			return -EPROTO;
		if (buf && len + nla_len(a) > size)
			return -ERANGE;
		if (buf)
			memcpy(buf + len, nla_data(a), nla_len(a));
		len += nla_len(a);
	}
	return len;
}

/* --- notices and events --- */

static int orchfs_put_note(struct sk_buff *skb, const struct orchfs_note *note)
{
	struct nlattr *nest = nla_nest_start(skb, ORCHFS_A_MSG_NOTE);

	if (!nest || nla_put_u32(skb, ORCHFS_A_NOTE_KIND, note->kind) ||
	    orchfs_put_u64(skb, ORCHFS_A_NOTE_NODE, note->node) ||
	    orchfs_put_u64(skb, ORCHFS_A_NOTE_SESSION, note->session))
		return -EMSGSIZE;
	if (note->generation &&
	    orchfs_put_u64(skb, ORCHFS_A_NOTE_GENERATION, note->generation))
		return -EMSGSIZE;
	if (note->valid &&
	    (nla_put_u32(skb, ORCHFS_A_NOTE_VALID, note->valid) ||
	     nla_put(skb, ORCHFS_A_NOTE_ATTR, sizeof(note->attr),
		     &note->attr)))
		return -EMSGSIZE;
	nla_nest_end(skb, nest);
	return 0;
}

/**
 * orchfs_message_notes() - make one message of notices
 * @notes: at most ORCHFS_NOTES_BATCH of them, untouched
 *
 * Return: the message or NULL.
 */
struct sk_buff *orchfs_message_notes(struct list_head *notes)
{
	size_t each = nla_total_size(3 * nla_total_size(sizeof(u64)) +
				     2 * nla_total_size(sizeof(u32)) +
				     nla_total_size(ORCHFS_ATTR_LEN));
	const struct orchfs_note *note;
	struct sk_buff *skb;
	void *head;

	skb = genlmsg_new(list_count_nodes(notes) * each, GFP_KERNEL);
	if (!skb)
		return NULL;
	head = genlmsg_put(skb, 0, 0, &orchfs_nl_family, 0, ORCHFS_CMD_NOTICE);
	if (!head)
		goto err_free_skb;
	list_for_each_entry(note, notes, link)
		if (orchfs_put_note(skb, note))
			goto err_free_skb;
	genlmsg_end(skb, head);
	return skb;

err_free_skb:
	kfree_skb(skb);
	return NULL;
}

/**
 * orchfs_message_layout_done() - make the message that ends a layout-set
 * @request_id: as the daemon gave it
 * @node: inode number
 * @generation: of the layout that is in use now
 * @status: 0 or a negative errno
 * @writers: how often the file is open for writing
 *
 * Return: the message or NULL.
 */
struct sk_buff *orchfs_message_layout_done(u64 request_id, u64 node,
					   u64 generation, int status,
					   u32 writers)
{
	struct sk_buff *skb;
	void *head;

	skb = genlmsg_new(3 * nla_total_size(sizeof(u64)) +
			  nla_total_size(sizeof(s32)) +
			  nla_total_size(sizeof(u32)), GFP_KERNEL);
	if (!skb)
		return NULL;
	head = genlmsg_put(skb, 0, 0, &orchfs_nl_family, 0,
			   ORCHFS_CMD_LAYOUT_DONE);
	if (!head || orchfs_put_u64(skb, ORCHFS_A_MSG_REQUEST_ID, request_id) ||
	    orchfs_put_u64(skb, ORCHFS_A_MSG_NODE, node) ||
	    orchfs_put_u64(skb, ORCHFS_A_MSG_GENERATION, generation) ||
	    nla_put_s32(skb, ORCHFS_A_MSG_STATUS, status) ||
	    nla_put_u32(skb, ORCHFS_A_MSG_OPENS, writers)) {
		kfree_skb(skb);
		return NULL;
	}
	genlmsg_end(skb, head);
	return skb;
}

/**
 * orchfs_message_held() - make a message of locks that are held
 * @request_id: of the recall
 * @node: inode number
 * @locks: as many as one attribute has room for
 * @nr: of them
 * @eof: no more follow
 *
 * Return: the message or NULL.
 */
struct sk_buff *orchfs_message_held(u64 request_id, u64 node,
				    const struct orchfs_lock *locks,
				    unsigned int nr, bool eof)
{
	struct sk_buff *skb;
	void *head;

	skb = genlmsg_new(2 * nla_total_size(sizeof(u64)) + nla_total_size(0) +
			  nla_total_size(nr * sizeof(*locks)), GFP_KERNEL);
	if (!skb)
		return NULL;
	head = genlmsg_put(skb, 0, 0, &orchfs_nl_family, 0,
			   ORCHFS_CMD_LOCK_HELD);
	if (!head || orchfs_put_u64(skb, ORCHFS_A_MSG_REQUEST_ID, request_id) ||
	    orchfs_put_u64(skb, ORCHFS_A_MSG_NODE, node) ||
	    (nr && nla_put(skb, ORCHFS_A_MSG_LOCKS, nr * sizeof(*locks),
			   locks)) ||
	    (eof && nla_put_flag(skb, ORCHFS_A_MSG_EOF))) {
		kfree_skb(skb);
		return NULL;
	}
	genlmsg_end(skb, head);
	return skb;
}
