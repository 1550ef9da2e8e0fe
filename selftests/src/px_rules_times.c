// SPDX-License-Identifier: GPL-2.0-only
/*
 * posixcheck: which times each function marks for update (POSIX.1-2017, the
 * DESCRIPTION of each), that a function which fails marks none, and whose
 * setuid and setgid bits survive.
 */
#include "px.h"

#define T(call, rule, text) { call "() times: " rule, .script = text }
#define USER "as 65534 65534 "

const struct px px_rules_times[] = {
	/* what makes names */
	T("mkdir", "the parent's mtime and ctime",
	  "mkdir d 0755; note d; mkdir d/e 0755; changed d mc; note d; "
	  "mkdir d/e 0755 = EEXIST; changed d -; mkdir d/none/x 0755 = ENOENT; "
	  "changed d -"),
	T("open O_CREAT", "the parent's, only when it makes the file",
	  "mkdir d 0755; note d; open d/f WRONLY,CREAT; changed d mc; "
	  "note d d/f; open d/f WRONLY,CREAT; open d/f RDONLY; changed d -; "
	  "changed d/f -; open d/f RDWR,CREAT,EXCL = EEXIST; changed d -"),
	T("mkfifo, mknod, symlink", "the parent's",
	  "mkdir d 0755; note d; mkfifo d/p 0644; changed d mc; note d; "
	  "mknod d/c chr 0644 1 3; changed d mc; note d; symlink x d/l; "
	  "changed d mc; note d; symlink x d/l = EEXIST; changed d -"),
	T("link", "ctime of the file, the parent's, not the old parent's",
	  "mkdir d 0755; mkdir e 0755; put d/f; note d e d/f; link d/f e/g; "
	  "changed d -; changed e mc; changed d/f c; note e d/f; "
	  "link d/f e/g = EEXIST; changed e -; changed d/f -"),
	T("link", "of each type",
	  "make p p; make l l; make c c; note p l c; link p P; link l L; "
	  "link c C; changed p c; changed l c; changed c c"),

	/* what removes names */
	T("unlink", "the parent's, and ctime of a file with other names",
	  "mkdir d 0755; put d/f; link d/f g; note d g; unlink d/f; "
	  "changed d mc; changed g c; note d; unlink d/f = ENOENT; changed d -"),
	T("rmdir", "the parent's",
	  "mkdir d 0755; mkdir d/e 0755; note d; rmdir d/e; changed d mc; "
	  "mkdir d/e 0755; put d/e/f; note d d/e; "
	  "rmdir d/e = ENOTEMPTY|EEXIST; changed d -; changed d/e -"),
	T("rename", "both parents', ctime of what moves",
	  "mkdir d 0755; mkdir e 0755; put d/f; mkdir d/g 0755; "
	  "note d e d/f d/g; rename d/f e/f; changed d mc; changed e mc; "
	  "changed e/f c d/f; note d e d/g; rename d/g e/g; changed d mc; "
	  "changed e mc; changed e/g c d/g"),
	T("rename", "in one directory, over another file",
	  "mkdir d 0755; put d/a; put d/b; link d/b b; note d d/a b; "
	  "rename d/a d/b; changed d mc; changed d/b c d/a; changed b c"),
	T("rename", "of two names of one file: none",
	  "mkdir d 0755; put d/a; link d/a d/b; note d d/a; rename d/a d/b; "
	  "changed d -; changed d/a -"),
	T("rename", "that fails: none",
	  "mkdir d 0755; mkdir e 0755; put e/f; put d/f; mkdir d/g 0755; "
	  "note d e d/g d/f; rename d/g e/f = ENOTDIR; "
	  "rename d/f e/none/x = ENOENT; changed d -; changed e -; "
	  "changed d/g -; changed d/f -"),
	T("renameat2 RENAME_EXCHANGE", "both parents'",
	  "mkdir d 0755; mkdir e 0755; put d/a; make e/b p; "
	  "note d e d/a e/b; rename2 d/a e/b exchange; changed d mc; "
	  "changed e mc; is e/b type f; is d/a type p"),

	/* attributes */
	T("chmod", "ctime, also when nothing changes",
	  "put f; note f; chmod f 0600; changed f c; note f; chmod f 0600; "
	  "changed f c; note f; " USER "chmod f 0644 = EPERM; changed f -; "
	  "mkdir d 0755; note d; chmod d 0700; changed d c; make p p; note p; "
	  "chmod p 0600; changed p c"),
	T("chown", "ctime",
	  "put f; note f; chown f 1 1; changed f c; note f; "
	  USER "chown f 2 2 = EPERM; changed f -; symlink x l; note l; "
	  "lchown l 1 1; changed l c; note f; chown f 1 -1; changed f c"),
	T("utimensat", "ctime, and what is set",
	  "put f; note f; utimes f now now; changed f mc; note f; "
	  "utimes f omit omit; changed f -; utimes f now omit; changed f c; "
	  "note f; utimes f omit now; changed f mc"),
	T("setxattr, removexattr", "ctime",
	  "put f; note f; setxattr f user.a; changed f c; note f; "
	  "removexattr f user.a; changed f c; note f; "
	  "removexattr f user.a = ENODATA; changed f -"),
	T("ioctl FS_IOC_SETFLAGS", "ctime",
	  "put f; note f; flag f d; changed f c"),

	/* contents */
	T("write", "mtime and ctime, none when nothing is written",
	  "put f; note f; write f WRONLY x; changed f mc; note f; "
	  "write f WRONLY; changed f -; write f WRONLY,APPEND y; changed f mc"),
	T("truncate", "mtime and ctime when the size changes",
	  "put f 12345; note f; truncate f 3; changed f mc; note f; "
	  "truncate f 9; changed f mc; note f; truncate f -1 = EINVAL; "
	  "changed f -"),
	T("ftruncate", "mtime and ctime, also when the size stays",
	  "put f 12345; note f; ftruncate f RDWR 3; changed f mc; note f; "
	  "ftruncate f RDWR 3; changed f mc"),
	T("open O_TRUNC", "mtime and ctime, also of an empty file",
	  "put f 12345; note f; open f WRONLY,TRUNC; changed f mc; note f; "
	  "open f WRONLY,TRUNC; changed f mc; is f size 0"),
	T("posix_fallocate", "ctime and mtime when the file grows",
	  "put f; note f; fallocate f RDWR 0 100; changed f mc"),
	T("read, access, stat", "neither mtime nor ctime",
	  "put f x; mkdir d 0755; note f d; read f; access f 4; open d RDONLY; "
	  "open f RDONLY; changed f -; changed d -"),

	/* setuid and setgid */
	{ "chmod() DESCRIPTION: setgid of a group that isn't the caller's",
	  .script =
	  "put f; chown f 65534 1; " USER "chmod f 02755; is f mode 0755; "
	  "as 65534 65534,1 chmod f 02755; is f mode 02755; mkdir d 0755; "
	  "chown d 65534 1; " USER "chmod d 02755; is d mode 0755" },
	{ "write() DESCRIPTION: setuid and setgid go when others write",
	  .script =
	  "put f; chown f 1 1; chmod f 06777; " USER "write f WRONLY x; "
	  "is f mode 0777; chmod f 04777; " USER "write f WRONLY,APPEND x; "
	  "is f mode 0777; chmod f 02777; " USER "truncate f 0; "
	  "is f mode 0777; chmod f 06777; " USER "open f WRONLY,TRUNC; "
	  "is f mode 0777; chmod f 06777; " USER "fallocate f RDWR 0 10; "
	  "is f mode 0777; chmod f 06777; write f WRONLY x; is f mode 06777" },
	{ "write() DESCRIPTION: the owner's own setuid goes, too",
	  .script =
	  "put f; chown f 65534 65534; chmod f 06777; " USER "write f WRONLY x; "
	  "is f mode 0777" },
	{ "open() DESCRIPTION: setgid of a new file in a foreign group",
	  .script =
	  "mkdir d 0777; chown d 1 1; chmod d 02777; "
	  USER "open d/f RDWR,CREAT 02775; is d/f gid 1; is d/f mode 0775; "
	  USER "open d/g RDWR,CREAT 02765; is d/g gid 1; "
	  USER "mkdir d/e 0755; is d/e mode 02755; is d/e gid 1; "
	  "as 65534 65534,1 open d/h RDWR,CREAT 02775; is d/h mode 02775; "
	  USER "mknod d/p fifo 02775; is d/p gid 1" },
	{ }
};
