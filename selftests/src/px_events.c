// SPDX-License-Identifier: GPL-2.0-only
/* posixcheck: leases, inotify, fanotify, FIEMAP, flags and projects, handles. */
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <poll.h>
#include <signal.h>
#include <sys/fanotify.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/xattr.h>
#include "px.h"

/* ---- leases ---- */

static void lease_rules(void)
{
	int fd, w;

	px_put("f", "text");
	fd = px_open("f", O_RDONLY);
	OK(fcntl(fd, F_SETLEASE, F_RDLCK));
	EQ(fcntl(fd, F_GETLEASE), F_RDLCK);
	OK(fcntl(fd, F_SETLEASE, F_UNLCK));
	EQ(fcntl(fd, F_GETLEASE), F_UNLCK);
	w = px_open("f", O_WRONLY);
	ERR(fcntl(fd, F_SETLEASE, F_RDLCK), EAGAIN);
	OK(close(w));
	w = px_open("f", O_RDONLY);
	ERR(fcntl(fd, F_SETLEASE, F_WRLCK), EAGAIN);
	OK(close(w));
	OK(fcntl(fd, F_SETLEASE, F_WRLCK));
	EQ(fcntl(fd, F_GETLEASE), F_WRLCK);
	ERR(fcntl(px_open(".", O_RDONLY), F_SETLEASE, F_RDLCK), EINVAL);
}

static volatile sig_atomic_t broken;

static void on_break(int sig)
{
	broken = 1;
}

/* An open that conflicts signals the holder and waits for it. */
static void lease_break(void)
{
	int fd, status;
	pid_t pid;

	px_put("f", "text");
	fd = px_open("f", O_RDONLY);
	signal(SIGIO, on_break);
	OK(fcntl(fd, F_SETLEASE, F_RDLCK));
	ERR(open("f", O_WRONLY | O_NONBLOCK), EWOULDBLOCK);
	THAT(broken);
	pid = px_fork();
	if (!pid) {
		OK(close(px_open("f", O_WRONLY)));
		_exit(0);
	}
	px_wait_asleep(pid);
	EQ(waitpid(pid, &status, WNOHANG), 0);
	OK(fcntl(fd, F_SETLEASE, F_UNLCK));
	JOIN(pid);
	broken = 0;
	OK(fcntl(fd, F_SETLEASE, F_RDLCK));
	pid = px_fork();
	if (!pid) {
		OK(truncate("f", 0));
		_exit(0);
	}
	px_wait_asleep(pid);
	THAT(broken);
	OK(fcntl(fd, F_SETLEASE, F_UNLCK));
	JOIN(pid);
}

/* ---- inotify and fanotify ---- */

/* The next events of an inotify descriptor, or-ed. */
static uint32_t events(int fd)
{
	char buf[4096] __attribute__((aligned(8)));
	struct pollfd p = { fd, POLLIN, 0 };
	uint32_t mask = 0;
	ssize_t len, at;

	while (poll(&p, 1, 0) > 0) {
		len = OK(read(fd, buf, sizeof(buf)));
		for (at = 0; at < len;) {
			struct inotify_event *e = (void *)(buf + at);

			mask |= e->mask;
			at += sizeof(*e) + e->len;
		}
	}
	return mask & IN_ALL_EVENTS;
}

static void inotify_events(void)
{
	int fd = OK(inotify_init1(IN_NONBLOCK)), f;
	char c;

	OK(mkdir("d", 0755));
	OK(inotify_add_watch(fd, "d", IN_ALL_EVENTS));
	f = px_open("d/f", O_CREAT | O_RDWR);
	EQ(events(fd), IN_CREATE | IN_OPEN);
	EQ(write(f, "x", 1), 1);
	EQ(events(fd), IN_MODIFY);
	EQ(pread(f, &c, 1, 0), 1);
	EQ(events(fd), IN_ACCESS);
	OK(fchmod(f, 0600));
	EQ(events(fd), IN_ATTRIB);
	OK(fsetxattr(f, "user.a", "v", 1, 0));
	EQ(events(fd), IN_ATTRIB);
	OK(ftruncate(f, 0));
	EQ(events(fd), IN_MODIFY);
	OK(fallocate(f, 0, 0, 10));
	EQ(events(fd), IN_MODIFY);
	OK(close(f));
	EQ(events(fd), IN_CLOSE_WRITE);
	OK(rename("d/f", "d/g"));
	EQ(events(fd), IN_MOVED_FROM | IN_MOVED_TO);
	OK(link("d/g", "d/h"));
	THAT(events(fd) & IN_CREATE);
	OK(mkdir("d/e", 0755));
	EQ(events(fd), IN_CREATE);
	OK(rmdir("d/e"));
	EQ(events(fd), IN_DELETE);
	OK(symlink("x", "d/l"));
	EQ(events(fd), IN_CREATE);
	OK(unlink("d/g"));
	THAT(events(fd) & IN_DELETE);
	OK(unlink("d/h"));
	OK(unlink("d/l"));
	events(fd);
	OK(rmdir("d"));
	EQ(events(fd), IN_DELETE_SELF);
}

/* Events of a whole file system, with handles. */
static void fanotify_fid(void)
{
	char buf[4096] __attribute__((aligned(8)));
	struct fanotify_event_metadata *m = (void *)buf;
	uint64_t mask = 0;
	ssize_t len;
	int fd;

	fd = fanotify_init(FAN_CLASS_NOTIF | FAN_REPORT_DFID_NAME |
			   FAN_NONBLOCK, O_RDONLY);
	if (fd < 0 && (errno == ENOSYS || errno == EINVAL))
		px_skip("no fanotify");
	OK(fd);
	OK(mkdir("d", 0755));
	if (fanotify_mark(fd, FAN_MARK_ADD | FAN_MARK_FILESYSTEM,
			  FAN_CREATE | FAN_DELETE | FAN_MODIFY | FAN_ONDIR,
			  AT_FDCWD, ".") < 0) {
		if (errno == ENODEV || errno == EXDEV)
			FAIL("no marks: %m");
		FAIL("fanotify_mark: %m");
	}
	px_put("d/f", "text");
	OK(unlink("d/f"));
	len = OK(read(fd, buf, sizeof(buf)));
	for (; FAN_EVENT_OK(m, len); m = FAN_EVENT_NEXT(m, len)) {
		struct fanotify_event_info_fid *i = (void *)(m + 1);

		EQ(i->hdr.info_type, FAN_EVENT_INFO_TYPE_DFID_NAME);
		mask |= m->mask;
	}
	THAT(mask & FAN_CREATE);
	THAT(mask & FAN_MODIFY);
	THAT(mask & FAN_DELETE);
}

/* ---- FIEMAP ---- */

static unsigned int extents(int fd, uint64_t start, uint64_t len,
			    struct fiemap_extent *e, unsigned int max)
{
	struct fiemap *m = xalloc(sizeof(*m) + max * sizeof(*e));
	unsigned int n;

	m->fm_start = start;
	m->fm_length = len;
	m->fm_flags = FIEMAP_FLAG_SYNC;
	m->fm_extent_count = max;
	if (ioctl(fd, FS_IOC_FIEMAP, m) < 0) {
		if (errno == EOPNOTSUPP)
			px_skip("no FIEMAP");
		FAIL("FS_IOC_FIEMAP: %m");
	}
	n = m->fm_mapped_extents;
	memcpy(e, m->fm_extents, (n < max ? n : max) * sizeof(*e));
	free(m);
	return n;
}

static void fiemap_rules(void)
{
	int fd = px_open("f", O_CREAT | O_RDWR);
	struct fiemap_extent e[16];
	struct fiemap bad = { .fm_length = ~0ULL, .fm_flags = 1U << 30 };
	char *buf = xalloc(1 << 20);

	EQ(extents(fd, 0, ~0ULL, e, 16), 0);
	memset(buf, 'x', 1 << 20);
	EQ(pwrite(fd, buf, 65536, 0), 65536);
	EQ(pwrite(fd, buf, 65536, 1 << 20), 65536);
	EQ(extents(fd, 0, ~0ULL, e, 16), 2);
	EQ(e[0].fe_logical, 0);
	EQ(e[0].fe_length, 65536);
	EQ(e[1].fe_logical, 1 << 20);
	THAT(e[1].fe_flags & FIEMAP_EXTENT_LAST);
	EQ(extents(fd, 0, 4096, e, 16), 1);
	EQ(extents(fd, 1 << 20, 4096, e, 16), 1);
	OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 65536));
	EQ(extents(fd, 0, ~0ULL, e, 16), 1);
	OK(fallocate(fd, 0, 0, 65536));
	EQ(extents(fd, 0, 65536, e, 16), 1);
	THAT(e[0].fe_flags & FIEMAP_EXTENT_UNWRITTEN);
	ERR(ioctl(fd, FS_IOC_FIEMAP, &bad), EBADR);
}

/* Blocks of xattrs are told, or it is said that they can't be. */
static void fiemap_xattrs(void)
{
	struct fiemap map = {
		.fm_length = ~0ULL, .fm_flags = FIEMAP_FLAG_XATTR,
	};
	int fd = px_open("f", O_CREAT | O_RDWR);
	char value[8000] = "";

	OK(fsetxattr(fd, "user.a", value, sizeof(value), 0));
	OK(fsync(fd));
	if (ioctl(fd, FS_IOC_FIEMAP, &map) < 0)
		THAT(errno == EBADR || errno == EOPNOTSUPP);
	else
		THAT(map.fm_mapped_extents > 0);
}

/* ---- flags and projects ---- */

static void fsxattr_rules(void)
{
	struct fsxattr x = { 0 }, y = { 0 };
	struct statx s;
	int fd;

	fd = px_open("f", O_CREAT | O_RDWR);
	if (ioctl(fd, FS_IOC_FSGETXATTR, &x) < 0)
		px_skip("no FS_IOC_FSGETXATTR");
	EQ(x.fsx_xflags & ~FS_XFLAG_HASATTR, 0);
	EQ(x.fsx_projid, 0);
	x.fsx_xflags |= FS_XFLAG_NODUMP | FS_XFLAG_NOATIME;
	x.fsx_projid = 4000000000u;
	OK(ioctl(fd, FS_IOC_FSSETXATTR, &x));
	OK(ioctl(fd, FS_IOC_FSGETXATTR, &y));
	EQ(y.fsx_projid, 4000000000u);
	EQ(y.fsx_xflags & ~FS_XFLAG_HASATTR, FS_XFLAG_NODUMP | FS_XFLAG_NOATIME);
	OK(statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &s));
	THAT(s.stx_attributes_mask & STATX_ATTR_IMMUTABLE);
	THAT(s.stx_attributes & STATX_ATTR_NODUMP);
	x.fsx_xflags = FS_XFLAG_IMMUTABLE;
	x.fsx_projid = 0;
	OK(ioctl(fd, FS_IOC_FSSETXATTR, &x));
	OK(statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &s));
	THAT(s.stx_attributes & STATX_ATTR_IMMUTABLE);
	ERR(unlink("f"), EPERM);
	x.fsx_xflags = 0;
	OK(ioctl(fd, FS_IOC_FSSETXATTR, &x));
	AS_USER(1000, 1000)
		ERR(ioctl(px_open("f", O_RDONLY), FS_IOC_FSSETXATTR, &x),
		    EPERM);
	OK(chown("f", 1000, 1000));
	AS_USER(1000, 1000) {
		x.fsx_xflags = FS_XFLAG_APPEND;
		ERR(ioctl(fd, FS_IOC_FSSETXATTR, &x), EPERM);
		x.fsx_xflags = FS_XFLAG_NODUMP;
		OK(ioctl(fd, FS_IOC_FSSETXATTR, &x));
	}
	OK(mkfifo("p", 0600));
	fd = px_open("p", O_RDWR);
	ERR(ioctl(fd, FS_IOC_FSGETXATTR, &x), ENOTTY);
}

/* What a directory hands on. */
static void project_inherit(void)
{
	struct fsxattr x = { 0 };
	int fd;

	OK(mkdir("p", 0755));
	fd = px_open("p", O_RDONLY);
	if (ioctl(fd, FS_IOC_FSGETXATTR, &x) < 0)
		px_skip("no FS_IOC_FSGETXATTR");
	x.fsx_xflags |= FS_XFLAG_PROJINHERIT | FS_XFLAG_NODUMP;
	x.fsx_projid = 5;
	OK(ioctl(fd, FS_IOC_FSSETXATTR, &x));
	px_put("p/f", "");
	OK(mkdir("p/d", 0755));
	OK(ioctl(px_open("p/f", O_RDONLY), FS_IOC_FSGETXATTR, &x));
	EQ(x.fsx_projid, 5);
	EQ(x.fsx_xflags & ~FS_XFLAG_HASATTR, FS_XFLAG_NODUMP);
	OK(ioctl(px_open("p/d", O_RDONLY), FS_IOC_FSGETXATTR, &x));
	EQ(x.fsx_projid, 5);
	EQ(x.fsx_xflags & ~FS_XFLAG_HASATTR,
	   FS_XFLAG_PROJINHERIT | FS_XFLAG_NODUMP);
	px_put("g", "");
	ERR(rename("g", "p/g"), EXDEV);
	ERR(link("g", "p/g"), EXDEV);
	OK(rename("p/f", "p/d/f"));
	OK(rename("p/d/f", "h"));
}

static void ioctl_unknown(void)
{
	int fd = px_open("f", O_CREAT | O_RDWR), n = 0;

	ERR(ioctl(fd, 0xdeadbeef, &n), ENOTTY);
	OK(write(fd, "12345", 5));
	OK(lseek(fd, 2, SEEK_SET));
	OK(ioctl(fd, FIONREAD, &n));
	EQ(n, 3);
	OK(ioctl(fd, FIGETBSZ, &n));
	EQ(n, px_fstat(fd).st_blksize);
}

/* ---- limits ---- */

static void handle_opens(void)
{
	struct {
		struct file_handle h;
		char bytes[MAX_HANDLE_SZ];
	} f = { .h.handle_bytes = MAX_HANDLE_SZ }, d = f;
	int mount, fd, dir = px_open(".", O_RDONLY);
	char buf[8];

	px_put("f", "text");
	OK(mkdir("d", 0755));
	OK(name_to_handle_at(AT_FDCWD, "f", &f.h, &mount, 0));
	OK(name_to_handle_at(AT_FDCWD, "d", &d.h, &mount, 0));
	fd = OK(open_by_handle_at(dir, &f.h, O_RDONLY));
	EQ(read(fd, buf, 8), 4);
	OK(close(OK(open_by_handle_at(dir, &d.h, O_RDONLY | O_DIRECTORY))));
	AS_USER(1000, 1000)
		ERR(open_by_handle_at(dir, &f.h, O_RDONLY), EPERM);
	OK(unlink("f"));
	OK(close(OK(open_by_handle_at(dir, &f.h, O_RDONLY))));
	OK(close(fd));
	ERR(open_by_handle_at(dir, &f.h, O_RDONLY), ESTALE);
	OK(rmdir("d"));
	ERR(open_by_handle_at(dir, &d.h, O_RDONLY), ESTALE);
	f.h.handle_bytes = 0;
	px_put("g", "");
	ERR(name_to_handle_at(AT_FDCWD, "g", &f.h, &mount, 0), EOVERFLOW);
	THAT(f.h.handle_bytes > 0);
	f.h.handle_type = 199;
	ERR(open_by_handle_at(dir, &f.h, O_RDONLY), ESTALE);
}

const struct px px_events[] = {
	{ "fcntl(2) F_SETLEASE: rules", lease_rules },
	{ "fcntl(2) F_SETLEASE: a conflicting open waits", lease_break },
	{ "inotify(7): events", inotify_events },
	{ "fanotify(7): events with handles", fanotify_fid },
	{ "FS_IOC_FIEMAP: extents", fiemap_rules },
	{ "FS_IOC_FIEMAP: extents of xattrs", fiemap_xattrs },
	{ "ioctl_fsxattr: rules", fsxattr_rules },
	{ "ioctl_fsxattr: projects are inherited", project_inherit },
	{ "ioctl(2): FIONREAD, FIGETBSZ, ENOTTY", ioctl_unknown },
	{ "open_by_handle_at(2): rules", handle_opens },
	{ }
};
