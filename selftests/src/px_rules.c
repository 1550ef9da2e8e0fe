// SPDX-License-Identifier: GPL-2.0-only
/*
 * posixcheck: the errors of POSIX.1-2017 (XSH, ERRORS of each function) and of
 * Linux' manual pages, a row each; the clause stands before the colon.
 */
#include "px.h"

#define R(clause, rule, text) { clause ": " rule, .script = text }
#define USER "as 65534 65534 "

/* What holds for each call that takes a path. @have: what there is for it. */
#define PATHS(call, have, pre, post)					\
	R(call "() ENOTDIR", "a component of the prefix is no directory", \
	  "put o; put f; " pre "f/x" post " = ENOTDIR; mkfifo p 0644; "	\
	  pre "p/x" post " = ENOTDIR"),					\
	R(call "() ENOENT", "a component of the prefix is missing",	\
	  "put o; " pre "none/x" post " = ENOENT; symlink none l; "	\
	  pre "l/x" post " = ENOENT"),					\
	R(call "() ENAMETOOLONG", "a component is longer than NAME_MAX", \
	  "put o; " pre "@256" post " = ENAMETOOLONG"),			\
	R(call "() ENAMETOOLONG", "the path is longer than PATH_MAX",	\
	  "put o; " pre "@/4097" post " = ENAMETOOLONG"),		\
	R(call "() ELOOP", "symlinks of the prefix lead nowhere",	\
	  "put o; symlink b a; symlink a b; " pre "a/x" post " = ELOOP"), \
	R(call "() EACCES", "a component of the prefix denies search",	\
	  "put o; mkdir d 0700; " have USER pre "d/x" post " = EACCES")
/* Those that change a directory, or what is in it. */
#define CHANGES(call, have, pre, post)					\
	PATHS(call, have, pre, post),					\
	R(call "() EROFS", "on a read-only file system",		\
	  "mkdir d 0777; put d/o; " have "ro d; " pre "d/x" post " = EROFS")
#define IN_DIR(call, have, pre, post)					\
	CHANGES(call, have, pre, post),					\
	R(call "() EACCES", "the directory denies writing",		\
	  "put o; chown o 65534 65534; mkdir d 0755; " have		\
	  USER pre "d/x" post " = EACCES")

#define FILE_X "put d/x; "
#define DIR_X "mkdir d/x 0777; "

const struct px px_rules[] = {
	IN_DIR("mkdir", "", "mkdir ", " 0755"),
	IN_DIR("rmdir", DIR_X, "rmdir ", ""),
	IN_DIR("unlink", FILE_X, "unlink ", ""),
	IN_DIR("mkfifo", "", "mkfifo ", " 0644"),
	IN_DIR("mknod", "", "mknod ", " fifo 0644"),
	IN_DIR("symlink", "", "symlink target ", ""),
	IN_DIR("open O_CREAT", "", "open ", " WRONLY,CREAT 0644"),
	PATHS("link, new name", "chown o 65534 65534; ", "link o ", ""),
	PATHS("link, old name", FILE_X, "link ", " new"),
	PATHS("rename, old name", FILE_X, "rename ", " new"),
	PATHS("rename, new name", "", "rename o ", ""),
	CHANGES("chmod", FILE_X, "chmod ", " 0644"),
	CHANGES("chown", FILE_X, "chown ", " 0 0"),
	CHANGES("lchown", FILE_X, "lchown ", " 0 0"),
	CHANGES("truncate", FILE_X, "truncate ", " 0"),
	CHANGES("utimensat", FILE_X, "utimes ", " now now"),
	CHANGES("open O_WRONLY", FILE_X, "open ", " WRONLY"),
	CHANGES("open O_TRUNC", FILE_X, "open ", " RDONLY,TRUNC"),
	CHANGES("setxattr", FILE_X, "setxattr ", " user.a"),
	PATHS("open O_RDONLY", FILE_X, "open ", " RDONLY"),
	PATHS("access", FILE_X, "access ", " 4"),

	/* names and paths of the greatest length */
	R("pathname resolution", "a name of NAME_MAX bytes",
	  "mkdir @255 0755; chmod @255 0700; rmdir @255; put @255; "
	  "link @255 a; rename a @255; is @255 nlink 2; unlink @255; "
	  "symlink x @255; unlink @255; mkfifo @255 0644; rename @255 b"),
	R("pathname resolution", "a path of PATH_MAX bytes",
	  "put @/4095; chmod @/4095 0600; is x mode 0600; rename @/4095 y; "
	  "link y @/4095; truncate @/4095 5; is y size 5; unlink @/4095; "
	  "mkdir @/4095 0755; rmdir @/4095"),
	R("pathname resolution", "a trailing slash asks for a directory",
	  "put f; open f/ RDONLY = ENOTDIR; chmod f/ 0600 = ENOTDIR; "
	  "unlink f/ = ENOTDIR; truncate f/ 0 = ENOTDIR; "
	  "rename f/ g = ENOTDIR; link f/ g = ENOTDIR; "
	  "open g/ WRONLY,CREAT = EISDIR; mkdir d/ 0755; open d/ RDONLY; "
	  "rmdir d/; symlink f l; open l/ RDONLY = ENOTDIR; "
	  "unlink l/ = ENOTDIR"),
	R("pathname resolution", "a trailing slash follows a symlink",
	  "mkdir d 0755; symlink d l; chmod l/ 0711; is d mode 0711; "
	  "rmdir l/ = ENOTDIR; mkdir l/ 0755 = EEXIST; is l type l"),
	R("pathname resolution", "dot-dot of what is missing",
	  "put f; open none/../f RDONLY = ENOENT; mkdir d 0755; "
	  "open d/../f RDONLY; rmdir d; open d/../f RDONLY = ENOENT"),
	R("pathname resolution", "dot-dot of a file is no directory",
	  "put f; open f/.. RDONLY = ENOTDIR; open f/. RDONLY = ENOTDIR"),

	/* mkdir */
	R("mkdir() EEXIST", "whatever is there",
	  "make a f; make b d; make c l; make e p; make g c; make h s; "
	  "mkdir a 0755 = EEXIST; mkdir b 0755 = EEXIST; mkdir c 0755 = EEXIST; "
	  "mkdir e 0755 = EEXIST; mkdir g 0755 = EEXIST; mkdir h 0755 = EEXIST; "
	  "mkdir . 0755 = EEXIST; mkdir .. 0755 = EEXIST"),
	R("mkdir() EEXIST", "is told before EROFS",
	  "mkdir d 0755; mkdir d/e 0755; symlink t d/l; mkfifo d/p 0644; "
	  "put f; cold; ro d; mkdir d/e 0755 = EEXIST; "
	  "symlink t d/l = EEXIST; mkfifo d/p 0644 = EEXIST; "
	  "mkdir d/n 0755 = EROFS"),
	R("mkdir() EEXIST", "is told before EACCES",
	  "mkdir d 0755; mkdir d/e 0755; " USER "mkdir d/e 0755 = EEXIST"),
	R("mkdir() DESCRIPTION", "mode, owner and group of the new directory",
	  "mkdir d 0777; chown d 7 8; chmod d 0777; umask 022; "
	  USER "mkdir d/e 0777; is d/e mode 0755; is d/e uid 65534; "
	  "is d/e gid 65534; umask 0501; mkdir d/f 0345; is d/f mode 0244; "
	  "is d/f nlink 2; is d nlink 4"),

	/* rmdir */
	R("rmdir() ENOTDIR", "what is no directory",
	  "make a f; make c l; make e p; make g c; make h s; rmdir a = ENOTDIR; "
	  "rmdir c = ENOTDIR; rmdir e = ENOTDIR; rmdir g = ENOTDIR; "
	  "rmdir h = ENOTDIR"),
	R("rmdir() ENOTEMPTY", "a directory that holds anything",
	  "mkdir d 0755; make d/a f; rmdir d = EEXIST|ENOTEMPTY; unlink d/a; "
	  "make d/a l; rmdir d = EEXIST|ENOTEMPTY; unlink d/a; make d/a d; "
	  "rmdir d = EEXIST|ENOTEMPTY; rmdir d/a; rmdir d"),
	R("rmdir() EINVAL", "the last component is dot",
	  "mkdir d 0755; rmdir d/. = EINVAL"),
	R("rmdir() ENOTEMPTY", "the last component is dot-dot",
	  "mkdir d 0755; mkdir d/e 0755; rmdir d/e/.. = EEXIST|ENOTEMPTY"),
	R("rmdir() EBUSY", "a mount point and the root",
	  "mkdir d 0755; ro d; rmdir d = EBUSY; rename d e = EBUSY; "
	  "rmdir / = EBUSY"),

	/* unlink */
	R("unlink() EISDIR", "a directory (Linux; POSIX has EPERM)",
	  "mkdir d 0755; unlink d = EISDIR; mkdir e 0777; chown e 65534 65534; "
	  USER "unlink e = EISDIR|EACCES|EPERM"),
	R("unlink() DESCRIPTION", "each type of file",
	  "make a f; make c l; make e p; make g c; make h s; make i b; "
	  "unlink a; unlink c; unlink e; unlink g; unlink h; unlink i; "
	  "open a RDONLY = ENOENT"),

	/* sticky directories */
	R("unlink(), rename(), rmdir() EPERM", "sticky directory",
	  "mkdir d 0777; chmod d 01777; put d/f; chown d/f 1 1; "
	  "mkdir d/e 0777; chown d/e 1 1; put d/mine; chown d/mine 65534 65534; "
	  USER "unlink d/f = EPERM|EACCES; " USER "rmdir d/e = EPERM|EACCES; "
	  USER "rename d/f d/g = EPERM|EACCES; "
	  USER "rename d/mine d/f = EPERM|EACCES; "
	  USER "rename d/mine d/other; " USER "unlink d/other"),
	R("unlink() DESCRIPTION", "sticky: the owner of the directory may",
	  "mkdir d 0777; chmod d 01777; chown d 65534 65534; put d/f; "
	  "chown d/f 1 1; put d/g; chown d/g 1 1; " USER "rename d/f d/h; "
	  USER "unlink d/h; " USER "rename d/g d/f; " USER "unlink d/f"),
	R("rename() EPERM", "sticky: a directory of somebody else",
	  "mkdir d 0777; chmod d 01777; mkdir d/e 0777; chown d/e 1 1; "
	  "mkdir n 0777; chown n 65534 65534; "
	  USER "rename d/e n/e = EPERM|EACCES"),

	/* link */
	R("link() EEXIST", "whatever is there",
	  "put o; make a f; make b d; make c l; make e p; link o a = EEXIST; "
	  "link o b = EEXIST; link o c = EEXIST; link o e = EEXIST; "
	  "link o o = EEXIST"),
	R("link() EPERM", "a directory",
	  "mkdir d 0755; link d e = EPERM; mkdir f 0777; chown f 65534 65534; "
	  USER "link f g = EPERM"),
	R("link() ENOENT", "the old name is missing", "link none x = ENOENT"),
	R("link() DESCRIPTION", "each type of file, and not what a link means",
	  "make a f; make c l; make e p; make g c; make h s; link a A; "
	  "link c C; link e E; link g G; link h H; is A type f; is C type l; "
	  "is E type p; is G type c; is H type s; is C nlink 2; unlink c; "
	  "is C nlink 1"),
	R("link() EACCES", "the new directory denies writing",
	  "put o; chown o 65534 65534; mkdir d 0755; "
	  USER "link o d/x = EACCES"),
	R("link() EROFS", "on a read-only file system",
	  "mkdir d 0755; put d/f; ro d; link d/f d/g = EROFS"),

	/* symlink */
	R("symlink() EEXIST", "whatever is there",
	  "make a f; make b d; make c l; make e p; symlink t a = EEXIST; "
	  "symlink t b = EEXIST; symlink t c = EEXIST; symlink t e = EEXIST"),
	/* XFS takes 1023 bytes, and says so */
	R("symlink() ENAMETOOLONG", "a target longer than PATH_MAX",
	  "symlink @1023 a; is a size 1023; symlink @4095 b = 0|ENAMETOOLONG; "
	  "symlink @4096 c = ENAMETOOLONG"),
	R("symlink() DESCRIPTION", "owner and mode",
	  "mkdir d 0777; umask 077; " USER "symlink t d/l; is d/l mode 0777; "
	  "is d/l uid 65534; is d/l nlink 1; is d/l type l"),

	/* mkfifo, mknod */
	R("mkfifo() EEXIST", "whatever is there",
	  "make a f; make b d; make c l; make e p; mkfifo a 0644 = EEXIST; "
	  "mkfifo b 0644 = EEXIST; mkfifo c 0644 = EEXIST; "
	  "mkfifo e 0644 = EEXIST; mknod a reg 0644 = EEXIST; "
	  "mknod b sock 0644 = EEXIST; mknod c chr 0644 1 3 = EEXIST"),
	R("mknod() EPERM", "devices are root's",
	  "mkdir d 0777; " USER "mknod d/c chr 0644 1 3 = EPERM; "
	  USER "mknod d/b blk 0644 1 3 = EPERM; " USER "mknod d/p fifo 0644; "
	  USER "mknod d/s sock 0644; " USER "mknod d/f reg 0644; "
	  "mknod d/d dir 0755 = EPERM"),
	R("mknod() DESCRIPTION", "mode, umask and owner",
	  "mkdir d 0777; umask 022; " USER "mknod d/p fifo 0666; "
	  "is d/p mode 0644; is d/p uid 65534; " USER "mknod d/f reg 06777; "
	  "is d/f mode 06755; mknod d/c chr 0600 511 70000"),

	/* open */
	R("open() EEXIST", "O_EXCL and whatever is there",
	  "make a f; make b d; make c l; make e p; make g c; make h s; "
	  "open a RDWR,CREAT,EXCL = EEXIST; open b RDONLY,CREAT,EXCL = EEXIST; "
	  "open c RDWR,CREAT,EXCL = EEXIST; open e RDWR,CREAT,EXCL = EEXIST; "
	  "open g RDWR,CREAT,EXCL = EEXIST; open h RDWR,CREAT,EXCL = EEXIST"),
	R("open() EISDIR", "a directory for writing",
	  "mkdir d 0755; open d WRONLY = EISDIR; open d RDWR = EISDIR; "
	  "open d RDONLY,TRUNC = EISDIR; open d RDONLY,CREAT = EISDIR; "
	  "open d WRONLY,TRUNC = EISDIR; open d RDONLY"),
	R("open() ENOTDIR", "O_DIRECTORY and something else",
	  "put f; open f RDONLY,DIRECTORY = ENOTDIR; mkfifo p 0644; "
	  "open p RDONLY,DIRECTORY = ENOTDIR; symlink f l; "
	  "open l RDONLY,DIRECTORY = ENOTDIR"),
	R("open() ELOOP", "O_NOFOLLOW and a symlink",
	  "put f; symlink f l; open l RDONLY,NOFOLLOW = ELOOP; "
	  "open l RDONLY,PATH,NOFOLLOW; open f RDONLY,NOFOLLOW; mkdir d 0755; "
	  "symlink d m; open m RDONLY,NOFOLLOW = ELOOP; "
	  "open m RDONLY,NOFOLLOW,DIRECTORY = ENOTDIR|ELOOP; symlink s s; "
	  "open s RDONLY = ELOOP"),
	R("open() ENXIO", "a FIFO without reader, a socket, no device",
	  "mkfifo p 0644; open p WRONLY,NONBLOCK = ENXIO; make s s; "
	  "open s RDONLY = ENXIO; open s RDWR = ENXIO; "
	  "mknod c chr 0644 511 99; open c RDONLY = ENXIO"),
	R("open() EACCES", "the mode denies it",
	  "put f; chmod f 0; " USER "open f RDONLY = EACCES; "
	  USER "open f WRONLY = EACCES; chmod f 0444; " USER "open f RDONLY; "
	  USER "open f RDWR = EACCES; " USER "open f RDONLY,TRUNC = EACCES; "
	  "chmod f 0222; " USER "open f WRONLY; " USER "open f RDONLY = EACCES; "
	  "chown f 65534 1; chmod f 0077; " USER "open f RDONLY = EACCES; "
	  "chown f 1 65534; chmod f 0707; " USER "open f RDONLY = EACCES"),
	R("open() EPERM", "O_NOATIME of somebody else's file",
	  "put f; " USER "open f RDONLY,NOATIME = EPERM; chown f 65534 1; "
	  USER "open f RDONLY,NOATIME"),
	R("open() DESCRIPTION", "mode and owner of a new file",
	  "mkdir d 0777; umask 027; " USER "open d/f RDWR,CREAT 06777; "
	  "is d/f mode 06750; is d/f uid 65534; is d/f gid 65534; "
	  "is d/f nlink 1; umask 0; " USER "open d/g RDONLY,CREAT 0; "
	  "is d/g mode 0; is d/g size 0"),
	R("open() DESCRIPTION", "O_CREAT makes what a symlink names",
	  "symlink t l; open l WRONLY,CREAT 0600; is t type f; is l type l"),
	R("open() EINVAL", "O_TMPFILE is for writing, in a directory",
	  "mkdir d 0755; open d TMPFILE,RDONLY = EINVAL; put f; "
	  "open f TMPFILE,RDWR = ENOTDIR; open d TMPFILE,RDWR; "
	  "ro d; open d TMPFILE,RDWR = EROFS"),

	/* rename */
	R("rename() ENOENT", "the old name is missing",
	  "rename none x = ENOENT; put f; rename none f = ENOENT; "
	  "rename f none/ = ENOTDIR|ENOENT"),
	R("rename() EISDIR", "a directory is no target for a file",
	  "mkdir d 0755; make a f; make c l; make e p; rename a d = EISDIR; "
	  "rename c d = EISDIR; rename e d = EISDIR"),
	R("rename() ENOTDIR", "a file is no target for a directory",
	  "mkdir d 0755; make a f; make c l; make e p; rename d a = ENOTDIR; "
	  "rename d c = ENOTDIR; rename d e = ENOTDIR"),
	R("rename() ENOTEMPTY", "a directory that holds anything",
	  "mkdir d 0755; mkdir e 0755; put e/f; "
	  "rename d e = EEXIST|ENOTEMPTY; unlink e/f; rename d e"),
	R("rename() EINVAL", "a directory into itself",
	  "mkdir d 0755; mkdir d/e 0755; mkdir d/e/f 0755; "
	  "rename d d/x = EINVAL; rename d d/e/x = EINVAL; "
	  "rename d d/e/f = EINVAL; rename d/e/f d = ENOTEMPTY|EEXIST"),
	R("rename() EINVAL", "the last component is dot or dot-dot",
	  "mkdir d 0755; mkdir d/e 0755; rename d/. x = EINVAL|EBUSY; "
	  "rename d/e/.. x = EINVAL|EBUSY; rename d/e . = EINVAL|EBUSY; "
	  "rename d/e .. = EINVAL|EBUSY"),
	R("rename() DESCRIPTION", "each type of file over each other",
	  "make a f; make b l; make c p; make d c; make e s; rename a b; "
	  "is b type f; rename b c; is c type f; rename c d; rename d e; "
	  "is e type f; make g l; rename g e; is e type l; make h s; "
	  "rename h e; is e type s"),
	R("rename() DESCRIPTION", "two names of one file stay",
	  "put f; link f g; rename f g; is f nlink 2; is g nlink 2"),
	R("rename() DESCRIPTION", "link counts of directories",
	  "mkdir a 0755; mkdir b 0755; mkdir a/d 0755; rename a/d b/d; "
	  "is a nlink 2; is b nlink 3; mkdir a/d 0755; rename a/d b/d; "
	  "is a nlink 2; is b nlink 3; rename b/d a/e; is b nlink 2; "
	  "is a nlink 3; is a/e nlink 2"),
	R("rename() EACCES", "a directory whose dot-dot would change",
	  "mkdir a 0777; mkdir b 0777; mkdir a/d 0755; chown a/d 1 1; "
	  USER "rename a/d b/d = EACCES; " USER "rename a/d a/e; "
	  "chmod a/e 0777; " USER "rename a/e b/e"),
	R("rename() EACCES", "either directory denies writing",
	  "mkdir a 0755; mkdir b 0777; put a/f; put b/f; chmod b/f 0666; "
	  USER "rename a/f b/g = EACCES; " USER "rename b/f a/g = EACCES; "
	  USER "rename b/f b/g"),
	R("rename() EROFS", "on a read-only file system",
	  "mkdir d 0755; put d/f; ro d; rename d/f d/g = EROFS"),
	R("rename() EXDEV", "between mounts",
	  "mkdir d 0755; put f; ro d; rename f d/f = EXDEV; "
	  "link f d/g = EXDEV|EROFS"),
	R("renameat2() EINVAL", "flags that don't go together",
	  "put f; put g; rename2 f g noreplace,exchange = EINVAL; "
	  "rename2 f g whiteout,exchange = EINVAL; rename2 f g noreplace = EEXIST; "
	  "rename2 f none exchange = ENOENT; rename2 none g noreplace = ENOENT"),
	R("renameat2() RENAME_EXCHANGE", "of what isn't of one type",
	  "mkdir d 0755; put f text; put d/in; rename2 d f exchange; "
	  "is d type f; is f type d; is d size 4; is f/in type f; "
	  "mkdir e 0755; rename2 f e/x exchange = ENOENT; "
	  "rename2 f f/in exchange = EINVAL; rename2 d f/in exchange; "
	  "is d size 0; is f/in size 4"),
	R("renameat2() RENAME_WHITEOUT", "leaves a device 0:0",
	  "put f text; rename2 f g whiteout; is f type c; is f mode 0; "
	  "is f nlink 1; is g size 4; put h; rename2 g h whiteout; is h size 4; "
	  "is g type c; mkdir d 0755; rename2 d e whiteout; is d type c; "
	  "is e type d; unlink d; put k; rename2 k f whiteout,noreplace = EEXIST"),
	R("renameat2() RENAME_WHITEOUT", "anybody may, and owns it",
	  "mkdir d 0777; put d/f; " USER "rename2 d/f d/g whiteout; "
	  "is d/f uid 65534; is d/g uid 0"),

	/* chmod */
	R("chmod() EPERM", "who isn't the owner",
	  "put f; chown f 1 65534; " USER "chmod f 0600 = EPERM; "
	  "mkdir d 0755; " USER "chmod d 0700 = EPERM; is f mode 0644"),
	R("chmod() DESCRIPTION", "all bits, of each type",
	  "put f; chmod f 07777; is f mode 07777; chmod f 0; is f mode 0; "
	  "mkfifo p 0644; chmod p 0111; is p mode 0111; mkdir d 0; "
	  "chmod d 06777; is d mode 06777; symlink f l; chmod l 0640; "
	  "is f mode 0640; is l mode 0777"),
	R("chmod() DESCRIPTION", "sticky of a file is for root",
	  "put f; chown f 65534 65534; " USER "chmod f 01644 = 0|EPERM"),
	R("chmod() ENOENT", "a dangling symlink",
	  "symlink none l; chmod l 0600 = ENOENT; chown l 0 0 = ENOENT; "
	  "truncate l 0 = ENOENT; lchown l 1 1; is l uid 1"),

	/* chown */
	R("chown() EPERM", "who isn't the owner, and giving away",
	  "put f; chown f 65534 65534; " USER "chown f 1 -1 = EPERM; "
	  USER "chown f -1 1 = EPERM; as 65534 65534,1 chown f -1 1; "
	  "is f gid 1; " USER "chown f 65534 65534; chown f 1 1; "
	  USER "chown f -1 65534 = EPERM; " USER "chown f -1 -1 = 0|EPERM"),
	R("chown() DESCRIPTION", "clears setuid and setgid of programs",
	  "put f; chmod f 06755; chown f 65534 65534; is f mode 0755; "
	  "chmod f 06755; as 65534 65534,1 chown f -1 1; is f mode 0755; "
	  "chmod f 02745; chown f 1 1; is f mode 02745"),
	R("chown() DESCRIPTION", "keeps them on directories",
	  "mkdir d 0755; chmod d 06755; chown d 65534 65534; is d mode 06755"),

	/* truncate */
	R("truncate() EISDIR", "a directory",
	  "mkdir d 0755; truncate d 0 = EISDIR"),
	R("truncate() EINVAL", "a negative size, and no regular file",
	  "put f; truncate f -1 = EINVAL; mkfifo p 0644; truncate p 0 = EINVAL; "
	  "ftruncate f RDONLY 0 = EINVAL; ftruncate f RDWR -1 = EINVAL"),
	R("truncate() EFBIG", "beyond the largest size",
	  "put f; truncate f 0x7fffffffffffffff = EFBIG|0"),
	R("truncate() EACCES", "the mode denies writing",
	  "put f; chmod f 0444; " USER "truncate f 0 = EACCES"),
	R("ftruncate() DESCRIPTION", "a file opened with O_APPEND",
	  "put f 123456; ftruncate f WRONLY,APPEND 3; is f size 3; "
	  "write f WRONLY,APPEND xy; is f size 5"),
	R("posix_fallocate() EINVAL, EBADF, ENODEV", "wrong uses",
	  "put f; fallocate f RDWR 0 0 = EINVAL; fallocate f RDWR -1 5 = EINVAL; "
	  "fallocate f RDWR 0 -1 = EINVAL; fallocate f RDONLY 0 5 = EBADF; "
	  "fallocate f RDWR 10 20; is f size 30; fallocate f RDWR 0 5; "
	  "is f size 30"),

	/* utimensat */
	R("utimensat() EPERM, EACCES", "who isn't the owner",
	  "put f; " USER "utimes f 1 2 = EPERM; " USER "utimes f now 2 = EPERM; "
	  USER "utimes f omit now = EPERM; " USER "utimes f now now = EACCES; "
	  USER "utimes f omit omit; chmod f 0666; " USER "utimes f now now; "
	  USER "utimes f 1 2 = EPERM; " USER "utimes f omit now = EPERM; "
	  "chown f 65534 1; chmod f 0; " USER "utimes f 1 2; "
	  USER "utimes f now now; " USER "utimes f omit now"),
	R("utimensat() DESCRIPTION", "of a symlink itself",
	  "put f; symlink f l; note f l; utimes l 1 2 nofollow; "
	  "changed f -; utimes l 1 2"),

	/* extended attributes */
	R("setxattr() EPERM", "user. on what is neither file nor directory",
	  "make p p; make s s; make c c; setxattr p user.a = EPERM; "
	  "setxattr s user.a = EPERM; setxattr c user.a = EPERM; make f f; "
	  "setxattr f user.a; make d d; setxattr d user.a; chmod d 01777; "
	  USER "setxattr d user.b = EPERM; removexattr f user.b = ENODATA"),

	/* immutable and append-only files */
	R("ioctl_iflags(2) FS_IMMUTABLE_FL", "a file",
	  "put f 123; flag f i; open f WRONLY = EPERM; open f RDONLY; "
	  "truncate f 0 = EPERM; unlink f = EPERM; rename f g = EPERM; "
	  "link f g = EPERM; chmod f 0 = EPERM; chown f 1 1 = EPERM; "
	  "utimes f 1 2 = EPERM; utimes f now now = EPERM; "
	  "setxattr f user.a = EPERM; put g; rename g f = EPERM; flag f -; "
	  "write f WRONLY xyz; unlink f"),
	R("ioctl_iflags(2) FS_IMMUTABLE_FL", "a directory",
	  "mkdir d 0755; put d/f; flag d i; put g; unlink d/f = EPERM; "
	  "rename d/f g = EPERM; rename g d/g = EPERM; mkdir d/e 0755 = EPERM|EACCES; "
	  "open d/n WRONLY,CREAT = EPERM|EACCES; link g d/g = EPERM|EACCES; "
	  "rmdir d = EPERM|ENOTEMPTY; write d/f WRONLY x; flag d -; unlink d/f"),
	R("ioctl_iflags(2) FS_APPEND_FL", "a file",
	  "put f 123; flag f a; open f WRONLY = EPERM; "
	  "write f WRONLY,APPEND 456; is f size 6; truncate f 0 = EPERM; "
	  "open f WRONLY,APPEND,TRUNC = EPERM; unlink f = EPERM; "
	  "rename f g = EPERM; link f g = EPERM; chmod f 0 = EPERM; "
	  "utimes f 1 2 = EPERM; utimes f now now; flag f -; unlink f"),
	R("ioctl_iflags(2) FS_APPEND_FL", "a directory",
	  "mkdir d 0755; put d/f; flag d a; put d/g; mkdir d/e 0755; "
	  "unlink d/f = EPERM; rename d/f d/h = EPERM; rmdir d/e = EPERM; "
	  "flag d -; unlink d/f; unlink d/g; rmdir d/e"),
	R("ioctl_iflags(2) EPERM", "needs CAP_LINUX_IMMUTABLE",
	  "put f; chown f 65534 65534; " USER "flag f i = EPERM; "
	  USER "flag f a = EPERM; " USER "flag f d; put g; "
	  USER "flag g d = EPERM|EACCES; mkdir e 0755; ro e"),
	R("ioctl_iflags(2) FS_NODUMP_FL, FS_NOATIME_FL, FS_SYNC_FL",
	  "are kept", "put f; flag f d,A,S; write f WRONLY x; flag f -"),
	{ }
};
