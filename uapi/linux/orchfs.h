/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * Structures that orchfs.ko and orchd exchange inside netlink attributes.
 * Native byte order: both ends are on one machine. A reserved member is zero
 * and is refused otherwise.
 */
#ifndef _UAPI_LINUX_ORCHFS_H
#define _UAPI_LINUX_ORCHFS_H

#include <linux/types.h>

#define ORCHFS_SUPER_MAGIC	0x6f726368	/* "orch" */
#define ORCHFS_ROOT_INO		1

/* Members of struct orchfs_attr.flags */
#define ORCHFS_ATTR_NO_XATTR	(1U << 0)	/* no xattr of any name */
#define ORCHFS_ATTR_NO_CAP	(1U << 1)	/* no security.capability */
#define ORCHFS_ATTR_NO_ACL	(1U << 2)	/* no system.posix_acl_access */
#define ORCHFS_ATTR_NO_DEFACL	(1U << 3)	/* no system.posix_acl_default */
#define ORCHFS_ATTR_IMMUTABLE	(1U << 4)	/* from here what chattr sets */
#define ORCHFS_ATTR_APPEND	(1U << 5)
#define ORCHFS_ATTR_NODUMP	(1U << 6)
#define ORCHFS_ATTR_NOATIME	(1U << 7)
#define ORCHFS_ATTR_SYNC	(1U << 8)
#define ORCHFS_ATTR_PROJINHERIT	(1U << 9)	/* of a directory */
#define ORCHFS_ATTR_SETTABLE	(0x3f0U)
/* Size, blocks, mtime and ctime change on other nodes without notice. */
#define ORCHFS_ATTR_LIVE	(1U << 10)
#define ORCHFS_ATTR_ALL		(0x7ffU)

/* Mask of setattr and note-attr: which members of attr are meant */
#define ORCHFS_SET_MODE		(1U << 0)
#define ORCHFS_SET_UID		(1U << 1)
#define ORCHFS_SET_GID		(1U << 2)
#define ORCHFS_SET_ATIME	(1U << 3)
#define ORCHFS_SET_MTIME	(1U << 4)
#define ORCHFS_SET_CTIME	(1U << 5)
#define ORCHFS_SET_SIZE		(1U << 6)	/* note-attr only: size, blocks */
#define ORCHFS_SET_FLAGS	(1U << 7)	/* ORCHFS_ATTR_SETTABLE */
#define ORCHFS_SET_PROJID	(1U << 8)
#define ORCHFS_SET_ALL		(0x1ffU)

/**
 * struct orchfs_attr - attributes of one inode
 * @ino: inode number, never reused
 * @change: sequence of the transaction that last wrote the inode's record
 * @size: bytes; of a symlink its target's length
 * @blocks: 512-byte units
 * @version: number of the current version of a regular file, else 0
 * @atime: seconds; nanoseconds are in @atime_nsec, likewise the other times
 * @mtime: content change
 * @ctime: attribute change
 * @btime: birth
 * @generation: tells a handle of this inode from one of another namespace's
 * @flags: ORCHFS_ATTR_*
 * @projid: project that its space is accounted to
 */
struct orchfs_attr {
	__u64 ino;
	__u64 change;
	__u64 size;
	__u64 blocks;
	__u64 version;
	__s64 atime;
	__s64 mtime;
	__s64 ctime;
	__s64 btime;
	__u32 atime_nsec;
	__u32 mtime_nsec;
	__u32 ctime_nsec;
	__u32 btime_nsec;
	__u32 generation;
	__u32 mode;
	__u32 uid;
	__u32 gid;
	__u32 nlink;
	__u32 flags;
	__u32 rdev_major;
	__u32 rdev_minor;
	__u32 projid;
	__u32 reserved;
};

struct orchfs_time {
	__s64 sec;
	__u32 nsec;
	__u32 reserved;
};

struct orchfs_statfs {
	__u64 blocks;		/* in units of bsize */
	__u64 bfree;
	__u64 bavail;
	__u64 files;
	__u64 ffree;
	__u32 bsize;
	__u32 namelen;
	__u64 reserved[2];
};

/* Members of struct orchfs_lock.type */
#define ORCHFS_LOCK_NONE	0
#define ORCHFS_LOCK_READ	1
#define ORCHFS_LOCK_WRITE	2

/* Members of struct orchfs_lock.flags */
#define ORCHFS_LOCK_FLOCK	(1U << 0)	/* of the whole file, flock(2) */
#define ORCHFS_LOCK_OFD		(1U << 1)	/* owner: an open file */
#define ORCHFS_LOCK_WAIT	(1U << 2)	/* until it is free */
#define ORCHFS_LOCK_TEST	(1U << 3)	/* what is in the way */
#define ORCHFS_LOCK_CANCEL	(1U << 4)	/* wait no longer */
#define ORCHFS_LOCK_ALL		(0x1fU)

/**
 * struct orchfs_lock - a lock of a file
 * @owner: number of the owner in its node's kernel
 * @start: first byte
 * @end: last byte
 * @id: of a cancel: request that waits
 * @type: ORCHFS_LOCK_NONE to WRITE
 * @flags: ORCHFS_LOCK_*
 * @pid: of the owner on its node
 * @node: whose it is, in the answer to a test
 */
struct orchfs_lock {
	__u64 owner;
	__u64 start;
	__u64 end;
	__u64 id;
	__u32 type;
	__u32 flags;
	__s32 pid;
	__u32 node;
};

#if defined(__STDC_VERSION__) && __STDC_VERSION__ >= 201112L
_Static_assert(sizeof(struct orchfs_attr) == 128, "struct orchfs_attr");
_Static_assert(sizeof(struct orchfs_time) == 16, "struct orchfs_time");
_Static_assert(sizeof(struct orchfs_statfs) == 64, "struct orchfs_statfs");
_Static_assert(sizeof(struct orchfs_lock) == 48, "struct orchfs_lock");
#endif

#endif
