// SPDX-License-Identifier: Apache-2.0
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <linux/capability.h>
#include <linux/fs.h>

#include "export.h"
#include "volume.h"

#define LOOK_BYTES	4096	/* of the marker, and their alignment */

struct volume *volume_new(const struct ns_volume *rec)
{
	struct volume *v = calloc(1, sizeof(*v));

	if (!v)
		return NULL;
	atomic_init(&v->refs, 1);
	v->rec = *rec;
	v->root_fd = -1;
	return v;
}

struct volume *volume_get(struct volume *v)
{
	atomic_fetch_add(&v->refs, 1);
	return v;
}

void volume_put(struct volume *v)
{
	if (!v || atomic_fetch_sub(&v->refs, 1) != 1)
		return;
	worker_stop(&v->worker);
	worker_stop(&v->quick);
	if (v->root_fd >= 0)
		close(v->root_fd);
	free(v->pool);
	free(v);
}

void volume_measure(struct volume *v)
{
	struct placement *p = &v->place;
	struct statvfs s;

	p->tier = v->rec.tier;
	p->reserve = v->rec.reserve;
	if (v->root_fd < 0 || fstatvfs(v->root_fd, &s) < 0)
		return;		/* of a far one its home tells */
	p->size = (uint64_t)s.f_blocks * s.f_frsize;
	p->free = (uint64_t)s.f_bavail * s.f_frsize;
	/* 0: a file system that doesn't count them */
	p->inodes = s.f_files ? s.f_favail : UINT64_MAX;
}

bool volume_full(const struct volume *v)
{
	return placement_room(&v->place) == PLACEMENT_FULL ||
	       (!v->pool_nr && v->pool_error == -ENOSPC);
}

void volume_error(struct volume *v, int rc)
{
	if (volume_far(v))
		return;
	switch (rc) {
	case 0:
	case -ENOENT:
	case -EEXIST:
	case -ENOSPC:
	case -EDQUOT:
	case -ENOMEM:
	case -EMFILE:
	case -ENFILE:
	case -EINTR:
	case -EOPNOTSUPP:
		return;
	case -EROFS:
		if (atomic_load(&v->health) == VOLUME_READONLY)
			return;
	}
	atomic_store(&v->doubt, true);
}

static int look_open(int root_fd)
{
	const int flags = O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
	int fd = openat(root_fd, MARKER_FILE, flags | O_DIRECT);

	if (fd < 0 && errno == EINVAL)
		fd = openat(root_fd, MARKER_FILE, flags);
	return fd < 0 ? -errno : fd;
}

int volume_look(int root_fd, bool *readonly)
{
	char buf[LOOK_BYTES] __attribute__((aligned(LOOK_BYTES)));
	struct statvfs s;
	int fd, rc;

	if (fstatvfs(root_fd, &s) < 0)
		return -errno;
	*readonly = s.f_flag & ST_RDONLY;
	fd = look_open(root_fd);
	if (fd < 0)	/* between two names at worst */
		return fd == -ENOENT ? 0 : fd;
	rc = pread(fd, buf, LOOK_BYTES, 0) < 0 ? -errno : 0;
	close(fd);
	return rc;
}

void volume_refuse(struct volume *v, const char *problem)
{
	snprintf(v->problem, sizeof(v->problem), "%s", problem);
	if (v->root_fd >= 0)
		close(v->root_fd);
	v->root_fd = -1;
}

void volume_take(struct volume *v, struct volume *from)
{
	v->root_fd = from->root_fd;
	from->root_fd = -1;
	atomic_store(&v->health, atomic_load(&from->health));
	atomic_store(&v->doubt, false);
	v->silent = false;
	v->place = from->place;
	v->dev = from->dev;
	v->ino = from->ino;
	v->marker = from->marker;
	v->quarantined = from->quarantined;
	strcpy(v->fstype, from->fstype);
	strcpy(v->problem, from->problem);
	v->pool_error = 0;
}

bool volume_clash(const struct volume *v, const struct ns_volume *rec,
		  char *why)
{
	if (!strcmp(v->rec.name, rec->name)) {
		snprintf(why, VOLUME_WHY, "there is a volume %s already "
			 "(%.200s): choose another name", v->rec.name,
			 v->rec.path);
		return true;
	}
	if (v->rec.home != rec->home || strcmp(v->rec.path, rec->path))
		return false;
	snprintf(why, VOLUME_WHY, "%.200s is volume %s already: choose "
		 "another directory for another volume", rec->path,
		 v->rec.name);
	return true;
}

void volume_pair_text(const struct volume *a, const struct volume *b,
		      char *why)
{
	snprintf(why, VOLUME_WHY, "volumes %s (%.150s) and %s (%.150s) carry "
		 "the same marker: a cloned drive? Unmount the copy and orchd "
		 "takes the other back", a->rec.name, a->rec.path,
		 b->rec.name, b->rec.path);
}

bool volume_newer(const struct volume *v, uint64_t epoch, uint64_t txn)
{
	const struct marker *m = &v->marker;

	return m->epoch > epoch || (m->epoch == epoch && m->durable_txn > txn);
}

void volume_readonly(struct volume *v)
{
	atomic_store(&v->health, VOLUME_READONLY);
	snprintf(v->problem, sizeof(v->problem), "volume %s: the file system "
		 "of %.200s is read-only: its files can be read, new ones go "
		 "elsewhere. Look for its errors in the kernel's log, then "
		 "remount it read-write", v->rec.name, v->rec.path);
}

static int volume_open_marker(struct volume *v, int fd, const uint8_t *ns_uuid,
			      char *why)
{
	struct marker *m = &v->marker;
	char u[37];
	int rc;

	rc = marker_read(fd, m);
	if (rc == -ENOENT) {
		snprintf(why, VOLUME_WHY, "volume %s: %.200s has no "
			 MARKER_FILE ": drive not mounted? Mount it and "
			 "orchd takes it back", v->rec.name, v->rec.path);
		return -ENXIO;
	}
	if (rc < 0) {
		snprintf(why, VOLUME_WHY, "volume %s: %.200s/" MARKER_FILE
			 " %s", v->rec.name, v->rec.path, rc == -EPROTO ?
			 "is from a newer orchfs: upgrade orchd" :
			 rc == -EUCLEAN ? "is damaged: check the drive" :
			 strerror(-rc));
		return rc;
	}
	if (memcmp(m->ns_uuid, ns_uuid, 16)) {
		uuid_text(m->ns_uuid, u);
		snprintf(why, VOLUME_WHY, "volume %s: %.200s belongs to "
			 "namespace %s (%s): another drive is mounted there; "
			 "mount the right one and orchd takes it back",
			 v->rec.name, v->rec.path, m->ns_name, u);
		return -EXDEV;
	}
	if (m->volume != v->rec.id || memcmp(m->volume_uuid, v->rec.uuid, 16)) {
		uuid_text(m->volume_uuid, u);
		snprintf(why, VOLUME_WHY, "volume %s: %.200s holds another "
			 "volume of this namespace (number %u, %s): mount "
			 "the right drive and orchd takes it back", v->rec.name,
			 v->rec.path, m->volume, u);
		return -EXDEV;
	}
	return 0;
}

/* A file system whose drive has gone may still be mounted there. */
static void dead_text(const struct volume *v, int rc, char *why)
{
	snprintf(why, VOLUME_WHY, "volume %s: cannot read %.200s: %s: its "
		 "drive fails or is gone. Close what is open there, unmount "
		 "it, check the drive and mount it; orchd takes it back",
		 v->rec.name, v->rec.path, strerror(-rc));
}

int volume_open(struct volume *v, const uint8_t ns_uuid[16])
{
	char why[VOLUME_WHY];
	bool readonly = false;
	const char *fstype;
	struct statfs sfs;
	struct stat st;
	int fd, rc;

	fd = open(v->rec.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0) {
		rc = -errno;
		snprintf(why, sizeof(why), "volume %s: cannot open %.200s: %s"
			 ": drive not mounted? Mount it and orchd takes it "
			 "back",
			 v->rec.name, v->rec.path, strerror(-rc));
		if (rc == -EIO)
			dead_text(v, rc, why);
		volume_refuse(v, why);
		return rc;
	}
	rc = volume_look(fd, &readonly);
	if (rc < 0)
		dead_text(v, rc, why);
	else
		rc = volume_open_marker(v, fd, ns_uuid, why);
	if (!rc && (fstat(fd, &st) < 0 || fstatfs(fd, &sfs) < 0)) {
		rc = -errno;
		snprintf(why, sizeof(why), "volume %s: %.200s: %s",
			 v->rec.name, v->rec.path, strerror(-rc));
	}
	if (rc < 0) {
		close(fd);
		volume_refuse(v, why);
		return rc;
	}
	v->root_fd = fd;
	v->dev = st.st_dev;
	v->ino = st.st_ino;
	volume_fs_ok(sfs.f_type, &fstype);
	snprintf(v->fstype, sizeof(v->fstype), "%s", fstype);
	v->quarantined = volume_count_quarantined(v);
	if (readonly)
		volume_readonly(v);
	volume_measure(v);
	return 0;
}

void backing_path(char out[BACKING_PATH_MAX], uint64_t ino, uint64_t version,
		  uint64_t instance)
{
	snprintf(out, BACKING_PATH_MAX, "data/%02x/%" PRIx64 ".%" PRIx64 ".%"
		 PRIx64, (unsigned int)(ino >> 8 & 0xff), ino, version,
		 instance);
}

/* Only the form that backing_path() writes: no zeros in front, no capitals. */
static const char *parse_hex(const char *s, uint64_t *out)
{
	int digits = 0;

	*out = 0;
	if (*s == '0')
		return NULL;
	for (; (*s >= '0' && *s <= '9') || (*s >= 'a' && *s <= 'f'); s++) {
		if (++digits > 16)
			return NULL;
		*out = *out << 4 | (uint64_t)(*s <= '9' ? *s - '0' :
					      *s - 'a' + 10);
	}
	return digits ? s : NULL;
}

bool backing_parse(const char *name, uint64_t *ino, uint64_t *version,
		   uint64_t *instance)
{
	const char *s = parse_hex(name, ino);

	if (!s || *s != '.')
		return false;
	s = parse_hex(s + 1, version);
	if (!s || *s != '.')
		return false;
	s = parse_hex(s + 1, instance);
	return s && !*s;
}

static int open_as(struct volume *v, uint64_t ino, uint64_t version,
		   uint64_t instance, int access)
{
	char path[BACKING_PATH_MAX];
	int fd, rc;

	if (!volume_here(v))
		return -EIO;
	backing_path(path, ino, version, instance);
	fd = openat(v->root_fd, path, access | O_NOATIME | O_CLOEXEC |
		    O_NOFOLLOW | O_NONBLOCK);
	if (fd >= 0)
		return fd;
	rc = -errno;
	volume_error(v, rc);
	return rc;
}

int backing_open(struct volume *v, uint64_t ino, uint64_t version,
		 uint64_t instance)
{
	return open_as(v, ino, version, instance, O_RDWR);
}

int backing_open_read(struct volume *v, uint64_t ino, uint64_t version,
		      uint64_t instance)
{
	return open_as(v, ino, version, instance, O_RDONLY);
}

static int backing_mkdir(struct volume *v, uint64_t ino)
{
	char dir[16];
	int fd, rc;

	snprintf(dir, sizeof(dir), "data/%02x", (unsigned int)(ino >> 8) &
		 0xff);
	if (mkdirat(v->root_fd, dir, 0700) < 0 && errno != EEXIST)
		return -errno;
	fd = openat(v->root_fd, "data", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	rc = fsync(fd) < 0 ? -errno : 0;
	close(fd);
	return rc;
}

static int create_as(struct volume *v, uint64_t ino, uint64_t version,
		     uint64_t instance, mode_t mode)
{
	const int flags = O_RDWR | O_CREAT | O_EXCL | O_NOATIME | O_CLOEXEC |
			  O_NOFOLLOW;
	char path[BACKING_PATH_MAX];
	int fd, rc;

	backing_path(path, ino, version, instance);
	fd = openat(v->root_fd, path, flags, mode);
	if (fd < 0 && errno == ENOENT) {
		rc = backing_mkdir(v, ino);
		if (rc < 0)
			return rc;
		fd = openat(v->root_fd, path, flags, mode);
	}
	return fd < 0 ? -errno : fd;
}

int backing_create(struct volume *v, uint64_t ino, uint64_t version,
		   uint64_t instance)
{
	int fd = create_as(v, ino, version, instance, BACKING_MODE);

	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

int backing_begin(struct volume *v, uint64_t ino, uint64_t version,
		  uint64_t instance)
{
	return create_as(v, ino, version, instance, 0);
}

/*
 * The directory was changed in the transaction of each file's creation, and
 * the logs of XFS and ext4 are forced in order: its fsync makes them all
 * durable without flushing what users wrote on the volume, as syncfs would.
 * A directory of the range that was never made holds none of the files.
 */
int backing_sync(struct volume *v, uint64_t first, uint64_t last)
{
	char dir[16];
	int fd, rc = 0;

	for (uint64_t d = backing_dir(first); d <= backing_dir(last) && !rc;
	     d++) {
		snprintf(dir, sizeof(dir), "data/%02x",
			 (unsigned int)d & 0xff);
		fd = openat(v->root_fd, dir,
			    O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd < 0 && errno == ENOENT)
			continue;
		if (fd < 0)
			return -errno;
		if (fsync(fd) < 0)
			rc = -errno;
		close(fd);
	}
	return rc;
}

int backing_unlink(struct volume *v, uint64_t ino, uint64_t version,
		   uint64_t instance)
{
	char path[BACKING_PATH_MAX];

	if (v->root_fd < 0)
		return -EIO;
	backing_path(path, ino, version, instance);
	return unlinkat(v->root_fd, path, 0) < 0 ? -errno : 0;
}

#define CAP_BIT(cap) (1U << (cap))

/*
 * Who has CAP_FOWNER (XFS) or CAP_SYS_RESOURCE (ext4) may give files to somebody
 * whose quota is used up. 0 takes all back. Per thread: others need the
 * capabilities at the same time.
 */
static void caps_drop(uint32_t mask)
{
	static _Thread_local struct __user_cap_data_struct all[2];
	static _Thread_local bool known;
	struct __user_cap_header_struct h = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct d[2];

	if (!known && syscall(SYS_capget, &h, all) < 0)
		return;
	known = true;
	memcpy(d, all, sizeof(d));
	d[0].effective &= ~mask;
	syscall(SYS_capset, &h, d);
}

static int project_set(struct volume *v, const char *path, uint32_t projid)
{
	int fd = openat(v->root_fd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW |
			O_NONBLOCK), rc = 0;
	struct fsxattr x;

	if (fd < 0)
		return -errno;
	if (ioctl(fd, FS_IOC_FSGETXATTR, &x) < 0)
		/* a file system without projects */
		rc = projid ? -errno : 0;
	else if (x.fsx_projid != projid) {
		x.fsx_projid = projid;
		rc = ioctl(fd, FS_IOC_FSSETXATTR, &x) < 0 ? -errno : 0;
	}
	close(fd);
	return rc == -ENOTTY ? -EOPNOTSUPP : rc;
}

int backing_own(struct volume *v, uint64_t ino, uint64_t version,
		uint64_t instance, const struct ns_owner *o)
{
	char path[BACKING_PATH_MAX];
	int rc = 0;

	if (!volume_here(v))
		return -EIO;
	backing_path(path, ino, version, instance);
	if (o->project) {
		caps_drop(o->force ? 0 : CAP_BIT(CAP_SYS_RESOURCE));
		rc = project_set(v, path, o->projid);
	}
	if (!rc) {
		caps_drop(o->force ? 0 : CAP_BIT(CAP_SYS_RESOURCE) |
					 CAP_BIT(CAP_FOWNER));
		rc = fchownat(v->root_fd, path, o->uid, o->gid,
			      AT_SYMLINK_NOFOLLOW);
		rc = rc < 0 ? -errno : 0;
	}
	caps_drop(0);
	volume_error(v, rc);
	return rc;
}

int volume_stat(struct volume *v, uint64_t ino, uint64_t version,
		 uint64_t instance, struct ns_backing_stat *out)
{
	char path[BACKING_PATH_MAX];
	struct stat st;

	if (!volume_here(v))
		return -EIO;
	backing_path(path, ino, version, instance);
	if (fstatat(v->root_fd, path, &st, AT_SYMLINK_NOFOLLOW) < 0) {
		int rc = -errno;

		volume_error(v, rc);
		return rc;
	}
	*out = (struct ns_backing_stat) {
		.size = (uint64_t)st.st_size,
		.blocks = (uint64_t)st.st_blocks,
		.mtime = { .sec = st.st_mtim.tv_sec,
			   .nsec = (uint32_t)st.st_mtim.tv_nsec },
		.ctime = { .sec = st.st_ctim.tv_sec,
			   .nsec = (uint32_t)st.st_ctim.tv_nsec },
	};
	return 0;
}

static DIR *open_dir_at(int dirfd, const char *path)
{
	int fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC |
			O_NOFOLLOW);
	DIR *d;

	if (fd < 0)
		return NULL;
	d = fdopendir(fd);
	if (!d)
		close(fd);
	return d;
}

static bool dot_name(const char *n)
{
	return n[0] == '.' && (!n[1] || (n[1] == '.' && !n[2]));
}

static int backing_each_in(int data_fd, const char *subdir, backing_fn fn,
			   void *ctx)
{
	DIR *d = open_dir_at(data_fd, subdir);
	struct dirent *e;
	int rc = 0;

	if (!d)
		return errno == ENOTDIR ? fn(ctx, NULL, subdir) : -errno;
	while (!rc && (errno = 0, e = readdir(d)))
		if (!dot_name(e->d_name))
			rc = fn(ctx, subdir, e->d_name);
	if (!rc && errno)
		rc = -errno;
	closedir(d);
	return rc;
}

int backing_each(struct volume *v, backing_fn fn, void *ctx)
{
	DIR *d = open_dir_at(v->root_fd, "data");
	struct dirent *e;
	int rc = 0;

	if (!d)
		return -errno;
	while (!rc && (errno = 0, e = readdir(d)))
		if (!dot_name(e->d_name))
			rc = backing_each_in(dirfd(d), e->d_name, fn, ctx);
	if (!rc && errno)
		rc = -errno;
	closedir(d);
	return rc;
}

int backing_quarantine(struct volume *v, const char *subdir, const char *name)
{
	char from[600], to[600];

	if (subdir)
		snprintf(from, sizeof(from), "data/%s/%s", subdir, name);
	else
		snprintf(from, sizeof(from), "data/%s", name);
	for (int i = 0; i < 1000; i++) {
		if (i)
			snprintf(to, sizeof(to), "quarantine/%.250s~%d", name,
				 i);
		else
			snprintf(to, sizeof(to), "quarantine/%s", name);
		if (!renameat2(v->root_fd, from, v->root_fd, to,
			       RENAME_NOREPLACE)) {
			v->quarantined++;
			return 0;
		}
		if (errno == ENOENT) {
			if (!mkdirat(v->root_fd, "quarantine", 0700))
				continue;
			/* it is the file that isn't there */
			return errno == EEXIST ? -ENOENT : -errno;
		}
		if (errno != EEXIST)
			return -errno;
	}
	return -EEXIST;
}

uint64_t volume_count_quarantined(struct volume *v)
{
	DIR *d = open_dir_at(v->root_fd, "quarantine");
	struct dirent *e;
	uint64_t n = 0;

	if (!d)
		return 0;
	while ((e = readdir(d)))
		if (!dot_name(e->d_name))
			n++;
	closedir(d);
	return n;
}

static void rmdirs_data(struct volume *v)
{
	char dir[16];

	for (unsigned int i = 0; i < 256; i++) {
		snprintf(dir, sizeof(dir), "data/%02x", i);
		unlinkat(v->root_fd, dir, AT_REMOVEDIR);
	}
}

int volume_unmake(struct volume *v)
{
	if (v->root_fd < 0)
		return -EIO;
	if (unlinkat(v->root_fd, MARKER_FILE, 0) < 0 && errno != ENOENT)
		return -errno;
	rmdirs_data(v);
	unlinkat(v->root_fd, "data", AT_REMOVEDIR);
	unlinkat(v->root_fd, "quarantine", AT_REMOVEDIR);
	export_remove_all(v->root_fd);
	return fsync(v->root_fd) < 0 ? -errno : 0;
}
