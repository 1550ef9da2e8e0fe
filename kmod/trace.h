/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tracepoints of orchfs. Enumerations are printed by name; the lists below
 * are the only place that knows the names.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM orchfs

#if !defined(_ORCHFS_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define _ORCHFS_TRACE_H

#include <linux/tracepoint.h>
#include <linux/fs.h>
#include <linux/orchfs_nl.h>
#include <linux/orchfs_wire.h>

#define orchfs_kinds \
	EM(ORCHFS_KIND_MOUNT,		"mount") \
	EM(ORCHFS_KIND_LOOKUP,		"lookup") \
	EM(ORCHFS_KIND_GETATTR,		"getattr") \
	EM(ORCHFS_KIND_OPEN,		"open") \
	EM(ORCHFS_KIND_CREATE,		"create") \
	EM(ORCHFS_KIND_LINK,		"link") \
	EM(ORCHFS_KIND_UNLINK,		"unlink") \
	EM(ORCHFS_KIND_RENAME,		"rename") \
	EM(ORCHFS_KIND_SETATTR,		"setattr") \
	EM(ORCHFS_KIND_READDIR,		"readdir") \
	EM(ORCHFS_KIND_GETXATTR,	"getxattr") \
	EM(ORCHFS_KIND_SETXATTR,	"setxattr") \
	EM(ORCHFS_KIND_LISTXATTR,	"listxattr") \
	EM(ORCHFS_KIND_BARRIER,		"barrier") \
	EM(ORCHFS_KIND_STATFS,		"statfs") \
	EM(ORCHFS_KIND_NOTE_FORGET,	"note-forget") \
	EM(ORCHFS_KIND_NOTE_ATTR,	"note-attr") \
	EM(ORCHFS_KIND_NOTE_RETURN,	"note-return") \
	EM(ORCHFS_KIND_NOTE_UMOUNT,	"note-umount") \
	E_(ORCHFS_KIND_LOCK,		"lock")

#define orchfs_serve_ops \
	EM(ORCHFS_OP_HELLO,		"hello") \
	EM(ORCHFS_OP_BIND,		"bind") \
	EM(ORCHFS_OP_UNBIND,		"unbind") \
	EM(ORCHFS_OP_READ,		"read") \
	EM(ORCHFS_OP_WRITE,		"write") \
	EM(ORCHFS_OP_COMMIT,		"commit") \
	EM(ORCHFS_OP_GETATTR,		"getattr") \
	EM(ORCHFS_OP_TRUNCATE,		"truncate") \
	EM(ORCHFS_OP_PING,		"ping") \
	EM(ORCHFS_OP_END,		"end") \
	EM(ORCHFS_OP_ALLOCATE,		"allocate") \
	E_(ORCHFS_OP_SEEK,		"seek")

#define orchfs_serve_reasons \
	EM(ORCHFS_REASON_CLOSED,	"closed") \
	EM(ORCHFS_REASON_SOCKET,	"socket") \
	EM(ORCHFS_REASON_DROPPED,	"dropped") \
	EM(ORCHFS_REASON_LAPSED,	"lapsed") \
	EM(ORCHFS_REASON_ENDED,		"ended") \
	EM(ORCHFS_REASON_MEMORY,	"memory") \
	EM(ORCHFS_REASON_MAGIC,		"magic") \
	EM(ORCHFS_REASON_HEADER_CRC,	"header-crc") \
	EM(ORCHFS_REASON_VERSION,	"version") \
	EM(ORCHFS_REASON_OPCODE,	"opcode") \
	EM(ORCHFS_REASON_FLAGS,		"flags") \
	EM(ORCHFS_REASON_FIELD,		"field") \
	EM(ORCHFS_REASON_OFFSET,	"offset") \
	EM(ORCHFS_REASON_LENGTH,	"length") \
	EM(ORCHFS_REASON_ORDER,		"order") \
	EM(ORCHFS_REASON_TAG,		"tag") \
	EM(ORCHFS_REASON_TOO_MANY,	"too-many") \
	EM(ORCHFS_REASON_STALLED,	"stalled") \
	EM(ORCHFS_REASON_REPLACED,	"replaced") \
	E_(ORCHFS_REASON_SILENT,	"silent")

#define orchfs_trace_namei_ops \
	EM(ORCHFS_TRACE_LOOKUP,		"lookup") \
	EM(ORCHFS_TRACE_REVALIDATE,	"revalidate") \
	EM(ORCHFS_TRACE_ATOMIC_OPEN,	"atomic-open") \
	EM(ORCHFS_TRACE_CREATE,		"create") \
	EM(ORCHFS_TRACE_TMPFILE,	"tmpfile") \
	EM(ORCHFS_TRACE_LINK,		"link") \
	EM(ORCHFS_TRACE_UNLINK,		"unlink") \
	EM(ORCHFS_TRACE_SYMLINK,	"symlink") \
	EM(ORCHFS_TRACE_MKDIR,		"mkdir") \
	EM(ORCHFS_TRACE_RMDIR,		"rmdir") \
	EM(ORCHFS_TRACE_MKNOD,		"mknod") \
	EM(ORCHFS_TRACE_RENAME,		"rename") \
	E_(ORCHFS_TRACE_INVALIDATE,	"invalidate")

#define orchfs_trace_inode_ops \
	EM(ORCHFS_TRACE_GETATTR,	"getattr") \
	EM(ORCHFS_TRACE_SETATTR,	"setattr") \
	EM(ORCHFS_TRACE_PERMISSION,	"permission") \
	EM(ORCHFS_TRACE_GETXATTR,	"getxattr") \
	EM(ORCHFS_TRACE_SETXATTR,	"setxattr") \
	EM(ORCHFS_TRACE_LISTXATTR,	"listxattr") \
	EM(ORCHFS_TRACE_READDIR,	"readdir") \
	EM(ORCHFS_TRACE_OPEN,		"open") \
	EM(ORCHFS_TRACE_RELEASE,	"release") \
	EM(ORCHFS_TRACE_TRUNCATE,	"truncate") \
	EM(ORCHFS_TRACE_FIEMAP,		"fiemap") \
	EM(ORCHFS_TRACE_FILEATTR_GET,	"fileattr-get") \
	EM(ORCHFS_TRACE_FILEATTR_SET,	"fileattr-set") \
	EM(ORCHFS_TRACE_DECODE_HANDLE,	"decode-handle") \
	EM(ORCHFS_TRACE_GET_PARENT,	"get-parent") \
	EM(ORCHFS_TRACE_GET_NAME,	"get-name") \
	EM(ORCHFS_TRACE_UPDATE_TIME,	"update-time") \
	EM(ORCHFS_TRACE_IGET,		"iget") \
	EM(ORCHFS_TRACE_EVICT,		"evict") \
	EM(ORCHFS_TRACE_STALE,		"stale") \
	EM(ORCHFS_TRACE_STATFS,		"statfs") \
	EM(ORCHFS_TRACE_SYNC_FS,	"sync-fs") \
	EM(ORCHFS_TRACE_MOUNT,		"mount") \
	E_(ORCHFS_TRACE_UMOUNT,		"umount")

#define orchfs_trace_io_ops \
	EM(ORCHFS_TRACE_READ,		"read") \
	EM(ORCHFS_TRACE_WRITE,		"write") \
	EM(ORCHFS_TRACE_SPLICE_READ,	"splice-read") \
	EM(ORCHFS_TRACE_SPLICE_WRITE,	"splice-write") \
	EM(ORCHFS_TRACE_MMAP,		"mmap") \
	EM(ORCHFS_TRACE_FALLOCATE,	"fallocate") \
	EM(ORCHFS_TRACE_COPY,		"copy") \
	EM(ORCHFS_TRACE_CLONE,		"clone") \
	EM(ORCHFS_TRACE_SEEK,		"seek") \
	EM(ORCHFS_TRACE_FSYNC,		"fsync") \
	EM(ORCHFS_TRACE_FADVISE,	"fadvise") \
	E_(ORCHFS_TRACE_REOPEN,		"reopen")

#define orchfs_trace_layout_events \
	EM(ORCHFS_TRACE_LAYOUT_INSTALL,	"install") \
	EM(ORCHFS_TRACE_LAYOUT_PUBLISH,	"publish") \
	EM(ORCHFS_TRACE_LAYOUT_SWAP,	"swap") \
	EM(ORCHFS_TRACE_LAYOUT_DRAIN,	"drain") \
	EM(ORCHFS_TRACE_LAYOUT_DRAINED,	"drained") \
	EM(ORCHFS_TRACE_LAYOUT_ABANDON,	"abandon") \
	EM(ORCHFS_TRACE_LAYOUT_SHRINK,	"shrink") \
	E_(ORCHFS_TRACE_LAYOUT_EVICT,	"evict")

#define orchfs_trace_layout_refs \
	EM(ORCHFS_TRACE_REF_NEW,	"new") \
	EM(ORCHFS_TRACE_REF_GET,	"get") \
	EM(ORCHFS_TRACE_REF_PUT,	"put") \
	E_(ORCHFS_TRACE_REF_FREE,	"free")

#define orchfs_trace_channel_events \
	EM(ORCHFS_TRACE_CHANNEL_NEW,	"new") \
	EM(ORCHFS_TRACE_CHANNEL_ATTACH,	"attach") \
	EM(ORCHFS_TRACE_CHANNEL_READY,	"ready") \
	EM(ORCHFS_TRACE_CHANNEL_DETACH,	"detach") \
	EM(ORCHFS_TRACE_CHANNEL_BIND,	"bind") \
	EM(ORCHFS_TRACE_CHANNEL_UNBIND,	"unbind") \
	E_(ORCHFS_TRACE_CHANNEL_FREE,	"free")

/* The enumerations themselves, once. */
#ifndef __ORCHFS_TRACE_ENUMS
#define __ORCHFS_TRACE_ENUMS

#undef EM
#undef E_
#define EM(a, b) a,
#define E_(a, b) a

enum orchfs_trace_namei { orchfs_trace_namei_ops };
enum orchfs_trace_inode { orchfs_trace_inode_ops };
enum orchfs_trace_io { orchfs_trace_io_ops };
enum orchfs_trace_layout { orchfs_trace_layout_events };
enum orchfs_trace_layout_ref { orchfs_trace_layout_refs };
enum orchfs_trace_channel { orchfs_trace_channel_events };

#endif

/* Their values for user space, which sees only symbols otherwise. */
#undef EM
#undef E_
#define EM(a, b) TRACE_DEFINE_ENUM(a);
#define E_(a, b) TRACE_DEFINE_ENUM(a);

orchfs_kinds
orchfs_serve_ops
orchfs_serve_reasons
orchfs_trace_namei_ops
orchfs_trace_inode_ops
orchfs_trace_io_ops
orchfs_trace_layout_events
orchfs_trace_layout_refs
orchfs_trace_channel_events

/* And as tables for __print_symbolic(). */
#undef EM
#undef E_
#define EM(a, b) { a, b },
#define E_(a, b) { a, b }

/**
 * trace_orchfs_namei - an operation on a name ended
 * @op: ORCHFS_TRACE_LOOKUP, ...
 * @dir: the directory
 * @name: may be NULL
 * @ret: 0 or a negative errno
 */
TRACE_EVENT(orchfs_namei,
	TP_PROTO(enum orchfs_trace_namei op, const struct inode *dir,
		 const struct qstr *name, int ret),
	TP_ARGS(op, dir, name, ret),
	TP_STRUCT__entry(
		__field(dev_t, dev)
		__field(u64, dir)
		__field(enum orchfs_trace_namei, op)
		__field(int, ret)
		__string_len(name, name ? (const char *)name->name : NULL,
			     name ? name->len : 0)
	),
	TP_fast_assign(
		__entry->dev = dir->i_sb->s_dev;
		__entry->dir = dir->i_ino;
		__entry->op = op;
		__entry->ret = ret;
		__assign_str(name);
	),
	TP_printk("dev %d:%d dir %llu op %s name %s ret %d",
		  MAJOR(__entry->dev), MINOR(__entry->dev), __entry->dir,
		  __print_symbolic(__entry->op, orchfs_trace_namei_ops),
		  __get_str(name), __entry->ret)
);

/**
 * trace_orchfs_inode_op - an operation on an inode ended
 * @op: ORCHFS_TRACE_GETATTR, ...
 * @inode: the inode
 * @ret: what the operation returns
 */
TRACE_EVENT(orchfs_inode_op,
	TP_PROTO(enum orchfs_trace_inode op, const struct inode *inode,
		 ssize_t ret),
	TP_ARGS(op, inode, ret),
	TP_STRUCT__entry(
		__field(dev_t, dev)
		__field(u64, ino)
		__field(ssize_t, ret)
		__field(enum orchfs_trace_inode, op)
	),
	TP_fast_assign(
		__entry->dev = inode->i_sb->s_dev;
		__entry->ino = inode->i_ino;
		__entry->ret = ret;
		__entry->op = op;
	),
	TP_printk("dev %d:%d ino %llu op %s ret %zd",
		  MAJOR(__entry->dev), MINOR(__entry->dev), __entry->ino,
		  __print_symbolic(__entry->op, orchfs_trace_inode_ops),
		  __entry->ret)
);

/**
 * trace_orchfs_io - data moved, or was queued to move
 * @op: ORCHFS_TRACE_READ, ...
 * @inode: the inode of orchfs
 * @pos: where it began
 * @len: bytes asked for
 * @ret: bytes done or a negative errno; -EIOCBQUEUED is the asynchronous case
 */
TRACE_EVENT(orchfs_io,
	TP_PROTO(enum orchfs_trace_io op, const struct inode *inode,
		 loff_t pos, size_t len, ssize_t ret),
	TP_ARGS(op, inode, pos, len, ret),
	TP_STRUCT__entry(
		__field(dev_t, dev)
		__field(u64, ino)
		__field(loff_t, pos)
		__field(size_t, len)
		__field(ssize_t, ret)
		__field(enum orchfs_trace_io, op)
	),
	TP_fast_assign(
		__entry->dev = inode->i_sb->s_dev;
		__entry->ino = inode->i_ino;
		__entry->pos = pos;
		__entry->len = len;
		__entry->ret = ret;
		__entry->op = op;
	),
	TP_printk("dev %d:%d ino %llu op %s pos %lld len %zu ret %zd",
		  MAJOR(__entry->dev), MINOR(__entry->dev), __entry->ino,
		  __print_symbolic(__entry->op, orchfs_trace_io_ops),
		  __entry->pos, __entry->len, __entry->ret)
);

/**
 * trace_orchfs_layout - a layout changed its place in the world
 * @what: ORCHFS_TRACE_LAYOUT_*
 * @inode: the inode it belongs to
 * @generation: of the layout
 * @ret: 0 or a negative errno
 */
TRACE_EVENT(orchfs_layout,
	TP_PROTO(enum orchfs_trace_layout what, const struct inode *inode,
		 u64 generation, int ret),
	TP_ARGS(what, inode, generation, ret),
	TP_STRUCT__entry(
		__field(dev_t, dev)
		__field(u64, ino)
		__field(u64, generation)
		__field(enum orchfs_trace_layout, what)
		__field(int, ret)
	),
	TP_fast_assign(
		__entry->dev = inode->i_sb->s_dev;
		__entry->ino = inode->i_ino;
		__entry->generation = generation;
		__entry->what = what;
		__entry->ret = ret;
	),
	TP_printk("dev %d:%d ino %llu %s generation %llu ret %d",
		  MAJOR(__entry->dev), MINOR(__entry->dev), __entry->ino,
		  __print_symbolic(__entry->what, orchfs_trace_layout_events),
		  __entry->generation, __entry->ret)
);

/**
 * trace_orchfs_layout_ref - a reference of a layout was taken or dropped
 * @why: ORCHFS_TRACE_REF_*
 * @id: tells layouts apart, such as a serial number
 * @generation: of the layout
 * @refs: count after it
 */
TRACE_EVENT(orchfs_layout_ref,
	TP_PROTO(enum orchfs_trace_layout_ref why, u64 id, u64 generation,
		 unsigned int refs),
	TP_ARGS(why, id, generation, refs),
	TP_STRUCT__entry(
		__field(u64, id)
		__field(u64, generation)
		__field(unsigned int, refs)
		__field(enum orchfs_trace_layout_ref, why)
	),
	TP_fast_assign(
		__entry->id = id;
		__entry->generation = generation;
		__entry->refs = refs;
		__entry->why = why;
	),
	TP_printk("layout %llu generation %llu %s refs %u",
		  __entry->id, __entry->generation,
		  __print_symbolic(__entry->why, orchfs_trace_layout_refs),
		  __entry->refs)
);

/**
 * trace_orchfs_upcall_submit - a request was entered in the table
 * @ns: name of the namespace
 * @id: of the request
 * @kind: ORCHFS_KIND_*
 * @flags: ORCHFS_REQ_FLAG_*
 * @node: inode number
 */
TRACE_EVENT(orchfs_upcall_submit,
	TP_PROTO(const char *ns, u64 id, u32 kind, u32 flags, u64 node),
	TP_ARGS(ns, id, kind, flags, node),
	TP_STRUCT__entry(
		__field(u64, id)
		__field(u64, node)
		__field(u32, kind)
		__field(u32, flags)
		__string(ns, ns)
	),
	TP_fast_assign(
		__entry->id = id;
		__entry->node = node;
		__entry->kind = kind;
		__entry->flags = flags;
		__assign_str(ns);
	),
	TP_printk("ns %s id %llu kind %s flags %#x node %llu",
		  __get_str(ns), __entry->id,
		  __print_symbolic(__entry->kind, orchfs_kinds),
		  __entry->flags, __entry->node)
);

/**
 * trace_orchfs_upcall_done - the caller of a request goes on
 * @ns: name of the namespace
 * @id: of the request; 0 when it never entered the table
 * @kind: ORCHFS_KIND_*
 * @status: what orchfs_upcall() returns
 * @latency: nanoseconds since the call began
 */
TRACE_EVENT(orchfs_upcall_done,
	TP_PROTO(const char *ns, u64 id, u32 kind, int status, u64 latency),
	TP_ARGS(ns, id, kind, status, latency),
	TP_STRUCT__entry(
		__field(u64, id)
		__field(u64, latency)
		__field(u32, kind)
		__field(int, status)
		__string(ns, ns)
	),
	TP_fast_assign(
		__entry->id = id;
		__entry->latency = latency;
		__entry->kind = kind;
		__entry->status = status;
		__assign_str(ns);
	),
	TP_printk("ns %s id %llu kind %s status %d latency %llu ns",
		  __get_str(ns), __entry->id,
		  __print_symbolic(__entry->kind, orchfs_kinds),
		  __entry->status, __entry->latency)
);

/**
 * trace_orchfs_note - a notice was queued
 * @ns: name of the namespace
 * @kind: ORCHFS_KIND_NOTE_*
 * @node: inode number
 * @queued: false when it was dropped
 */
TRACE_EVENT(orchfs_note,
	TP_PROTO(const char *ns, u32 kind, u64 node, bool queued),
	TP_ARGS(ns, kind, node, queued),
	TP_STRUCT__entry(
		__field(u64, node)
		__field(u32, kind)
		__field(bool, queued)
		__string(ns, ns)
	),
	TP_fast_assign(
		__entry->node = node;
		__entry->kind = kind;
		__entry->queued = queued;
		__assign_str(ns);
	),
	TP_printk("ns %s kind %s node %llu%s", __get_str(ns),
		  __print_symbolic(__entry->kind, orchfs_kinds),
		  __entry->node, __entry->queued ? "" : " dropped")
);

/**
 * trace_orchfs_channel - a channel changed its state
 * @what: ORCHFS_TRACE_CHANNEL_*
 * @ns: name of the namespace
 * @portid: netlink port of the daemon, 0 without one
 */
TRACE_EVENT(orchfs_channel,
	TP_PROTO(enum orchfs_trace_channel what, const char *ns, u32 portid),
	TP_ARGS(what, ns, portid),
	TP_STRUCT__entry(
		__field(u32, portid)
		__field(enum orchfs_trace_channel, what)
		__string(ns, ns)
	),
	TP_fast_assign(
		__entry->portid = portid;
		__entry->what = what;
		__assign_str(ns);
	),
	TP_printk("ns %s %s portid %u", __get_str(ns),
		  __print_symbolic(__entry->what, orchfs_trace_channel_events),
		  __entry->portid)
);

/**
 * trace_orchfs_serve_reply - a request of a peer is answered
 * @connection: its number
 * @peer: number of the node
 * @op: ORCHFS_OP_*
 * @tag: of the request
 * @offset: of READ and WRITE
 * @len: of READ's and WRITE's data as asked
 * @err: 0 or a negative errno
 */
TRACE_EVENT(orchfs_serve_reply,
	TP_PROTO(u64 connection, u32 peer, u8 op, u32 tag, u64 offset, u32 len,
		 int err),
	TP_ARGS(connection, peer, op, tag, offset, len, err),
	TP_STRUCT__entry(
		__field(u64, connection)
		__field(u64, offset)
		__field(u32, peer)
		__field(u32, tag)
		__field(u32, len)
		__field(int, err)
		__field(u8, op)
	),
	TP_fast_assign(
		__entry->connection = connection;
		__entry->offset = offset;
		__entry->peer = peer;
		__entry->tag = tag;
		__entry->len = len;
		__entry->err = err;
		__entry->op = op;
	),
	TP_printk("connection %llu peer %u %s tag %u offset %llu len %u err %d",
		  __entry->connection, __entry->peer,
		  __print_symbolic(__entry->op, orchfs_serve_ops),
		  __entry->tag, __entry->offset, __entry->len, __entry->err)
);

DECLARE_EVENT_CLASS(orchfs_conn_end,
	TP_PROTO(u64 connection, u32 peer, int reason),
	TP_ARGS(connection, peer, reason),
	TP_STRUCT__entry(
		__field(u64, connection)
		__field(u32, peer)
		__field(int, reason)
	),
	TP_fast_assign(
		__entry->connection = connection;
		__entry->peer = peer;
		__entry->reason = reason;
	),
	TP_printk("connection %llu peer %u: %s", __entry->connection,
		  __entry->peer,
		  __print_symbolic(__entry->reason, orchfs_serve_reasons))
);

/**
 * trace_orchfs_serve_end - a connection of a peer ends
 * @connection: its number
 * @peer: number of the node
 * @reason: ORCHFS_REASON_*
 */
DEFINE_EVENT(orchfs_conn_end, orchfs_serve_end,
	TP_PROTO(u64 connection, u32 peer, int reason),
	TP_ARGS(connection, peer, reason)
);

/**
 * trace_orchfs_client_end - a connection to a peer ends
 * @connection: its number
 * @peer: number of the node
 * @reason: ORCHFS_REASON_*
 */
DEFINE_EVENT(orchfs_conn_end, orchfs_client_end,
	TP_PROTO(u64 connection, u32 peer, int reason),
	TP_ARGS(connection, peer, reason)
);

/**
 * trace_orchfs_remote_done - a request to a peer has ended
 * @peer: number of the node
 * @ino: of the file
 * @op: ORCHFS_OP_*
 * @offset: of READ, WRITE, TRUNCATE, ALLOCATE and SEEK
 * @len: of READ and WRITE
 * @err: 0 or a negative errno
 */
TRACE_EVENT(orchfs_remote_done,
	TP_PROTO(u32 peer, u64 ino, u8 op, u64 offset, u32 len, int err),
	TP_ARGS(peer, ino, op, offset, len, err),
	TP_STRUCT__entry(
		__field(u64, ino)
		__field(u64, offset)
		__field(u32, peer)
		__field(u32, len)
		__field(int, err)
		__field(u8, op)
	),
	TP_fast_assign(
		__entry->ino = ino;
		__entry->offset = offset;
		__entry->peer = peer;
		__entry->len = len;
		__entry->err = err;
		__entry->op = op;
	),
	TP_printk("peer %u inode %llu %s offset %llu len %u err %d",
		  __entry->peer, __entry->ino,
		  __print_symbolic(__entry->op, orchfs_serve_ops),
		  __entry->offset, __entry->len, __entry->err)
);

#undef EM
#undef E_

#endif /* _ORCHFS_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
