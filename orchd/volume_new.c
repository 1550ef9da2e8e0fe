// SPDX-License-Identifier: Apache-2.0
/* What must hold before a directory becomes a volume, and making it one. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <linux/magic.h>
#include <linux/orchfs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "fault.h"
#include "volume.h"

#define VOLUME_FORBIDS "remove what forbids it (lsattr shows flags), or " \
	"choose another directory"

static const struct {
	unsigned int magic;
	const char *name;
	bool ok;
} fs_types[] = {
	{ 0x58465342, "xfs", true },
	{ EXT4_SUPER_MAGIC, "ext4", true },
	{ TMPFS_MAGIC, "tmpfs", false },
	{ RAMFS_MAGIC, "ramfs", false },
	{ OVERLAYFS_SUPER_MAGIC, "overlay", false },
	{ ORCHFS_SUPER_MAGIC, "orchfs", false },
	{ 0x65735546, "fuse", false },
	{ NFS_SUPER_MAGIC, "nfs", false },
	{ 0xff534d42, "cifs", false },
	{ 0xfe534d42, "smb2", false },
	{ V9FS_MAGIC, "9p", false },
	{ CEPH_SUPER_MAGIC, "ceph", false },
	{ ECRYPTFS_SUPER_MAGIC, "ecryptfs", false },
	{ BTRFS_SUPER_MAGIC, "btrfs", false },
	{ 0x2fc12fc1, "zfs", false },
	{ F2FS_SUPER_MAGIC, "f2fs", false },
	{ MSDOS_SUPER_MAGIC, "vfat", false },
	{ SQUASHFS_MAGIC, "squashfs", false },
};

bool volume_fs_ok(long f_type, const char **name)
{
	for (size_t i = 0; i < sizeof(fs_types) / sizeof(fs_types[0]); i++) {
		if (fs_types[i].magic != (unsigned int)f_type)
			continue;
		*name = fs_types[i].name;
		return fs_types[i].ok;
	}
	*name = "unknown";
	return false;
}

/* Octal escapes of mountinfo: space, tab, newline, backslash. */
static void unescape(char *s)
{
	char *out = s;

	for (; *s; s++) {
		if (s[0] == '\\' && s[1] && s[2] && s[3]) {
			*out++ = (char)((s[1] - '0') << 6 |
					(s[2] - '0') << 3 | (s[3] - '0'));
			s += 3;
		} else {
			*out++ = *s;
		}
	}
	*out = 0;
}

static bool path_below(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	if (n == 1)
		return true;
	return !strncmp(path, dir, n) && (!path[n] || path[n] == '/');
}

/*
 * The daemon never waits for a mount that it serves itself, so this looks
 * before anything walks the path.
 */
static bool path_on_orchfs(const char *path)
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	char *line = NULL, dir[4096], type[64];
	size_t size = 0, best = 0;
	bool found = false;

	while (f && getline(&line, &size, f) > 0) {
		const char *dash = strstr(line, " - ");

		if (!dash || sscanf(dash, " - %63s", type) != 1 ||
		    sscanf(line, "%*s %*s %*s %*s %4095s", dir) != 1)
			continue;
		unescape(dir);
		if (!path_below(path, dir) || strlen(dir) < best)
			continue;
		best = strlen(dir);
		found = !strcmp(type, "orchfs");
	}
	free(line);
	if (f)
		fclose(f);
	return found;
}

/*
 * ext2 and ext3 have ext4's magic number; the list of mounts tells them apart,
 * bind mounts too. A mount that is not on it, as in a chroot, passes.
 */
static bool on_old_ext(const char *dir, char type[64])
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	unsigned int major, minor;
	char *line = NULL;
	bool found = false;
	size_t size = 0;
	struct stat st;

	if (stat(dir, &st) < 0)
		st.st_dev = 0;
	while (f && !found && getline(&line, &size, f) > 0) {
		const char *dash = strstr(line, " - ");

		found = dash && sscanf(dash, " - %63s", type) == 1 &&
			sscanf(line, "%*s %*s %u:%u", &major, &minor) == 2 &&
			makedev(major, minor) == st.st_dev;
	}
	free(line);
	if (f)
		fclose(f);
	return found && (!strcmp(type, "ext2") || !strcmp(type, "ext3"));
}

/* The directory itself, or where it is missing its parent plus its name. */
static int resolve(const char *path, char *real, bool *exists, char *why)
{
	char copy[4096], base[256], *b;
	int rc;

	*exists = true;
	if (realpath(path, real))
		return 0;
	rc = -errno;
	if (rc != -ENOENT)
		goto fail;
	*exists = false;
	strcpy(copy, path);
	b = basename(copy);
	if (strlen(b) > 255 || !strcmp(b, "..") || !strcmp(b, ".")) {
		rc = -EINVAL;
		goto fail;
	}
	strcpy(base, b);
	strcpy(copy, path);
	if (!realpath(dirname(copy), real)) {
		rc = -errno;
		snprintf(why, VOLUME_WHY, "%.200s: neither it nor the "
			 "directory above it exists: create it or mount its "
			 "drive", path);
		return rc;
	}
	if (strlen(real) + strlen(base) + 2 > 4096) {
		rc = -ENAMETOOLONG;
		goto fail;
	}
	if (strcmp(real, "/"))
		strcat(real, "/");
	strcat(real, base);
	return 0;
fail:
	snprintf(why, VOLUME_WHY, "%.200s: %s: give the path of a directory "
		 "on a local drive", path, strerror(-rc));
	return rc;
}

static int check_space(const char *dir, uint64_t reserve, const char *path,
		       char *why)
{
	struct statfs s;
	char ext[64];
	const char *type;
	uint64_t free_bytes;
	bool ok;

	if (statfs(dir, &s) < 0) {
		int rc = -errno;

		snprintf(why, VOLUME_WHY, "%.200s: %s: see the kernel's log "
			 "about its drive", path, strerror(-rc));
		return rc;
	}
	ok = volume_fs_ok(s.f_type, &type);
	if (ok && s.f_type == EXT4_SUPER_MAGIC && on_old_ext(dir, ext)) {
		type = ext;
		ok = false;
	}
	if (!ok && !fault_enabled("any-fs")) {
		snprintf(why, VOLUME_WHY, "%.200s is on %s (type %#lx): use a "
			 "directory on XFS or ext4 on a local drive", path,
			 type, (unsigned long)s.f_type);
		return -EMEDIUMTYPE;
	}
	if (s.f_flags & ST_RDONLY) {
		snprintf(why, VOLUME_WHY, "%.200s is on a read-only mount: "
			 "remount it read-write", path);
		return -EROFS;
	}
	free_bytes = (uint64_t)s.f_bavail * (uint64_t)s.f_bsize;
	if (free_bytes < VOLUME_MIN_FREE + reserve) {
		snprintf(why, VOLUME_WHY, "%.200s has %llu MiB free, at least "
			 "%llu MiB are needed: free some space", path,
			 (unsigned long long)free_bytes >> 20,
			 (VOLUME_MIN_FREE + reserve) >> 20);
		return -ENOSPC;
	}
	if (s.f_files && s.f_ffree < VOLUME_MIN_INODES) {
		snprintf(why, VOLUME_WHY, "%.200s has %llu inodes free, at "
			 "least %d are needed: remove files or make the file "
			 "system with more inodes", path,
			 (unsigned long long)s.f_ffree, VOLUME_MIN_INODES);
		return -ENOSPC;
	}
	return 0;
}

static int check_above(const char *real, char *why)
{
	char dir[4096 + sizeof(MARKER_FILE) + 1];
	struct stat st;
	char *slash;

	strcpy(dir, real);
	while ((slash = strrchr(dir, '/'))) {
		strcpy(slash, "/" MARKER_FILE);
		if (!lstat(dir, &st)) {
			*slash = 0;
			snprintf(why, VOLUME_WHY, "%.200s lies inside %.200s, "
				 "which is a volume: choose a directory "
				 "outside", real, *dir ? dir : "/");
			return -EINVAL;
		}
		*slash = 0;
	}
	return 0;
}

static bool dir_has_files(int dirfd, const char *name)
{
	int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct dirent *e;
	bool found = false;
	DIR *d;

	if (fd < 0)
		return false;
	d = fdopendir(fd);
	if (!d) {
		close(fd);
		return true;
	}
	while (!found && (e = readdir(d)))
		found = strcmp(e->d_name, ".") && strcmp(e->d_name, "..");
	closedir(d);
	return found;
}

/* Left by an attempt that ended before the namespace knew of the volume. */
static int check_leftover(int fd, const struct marker *m, const uint8_t *uuid,
			  const char *real, char *why)
{
	char u[37];

	if (memcmp(m->ns_uuid, uuid, 16)) {
		uuid_text(m->ns_uuid, u);
		snprintf(why, VOLUME_WHY, "%.200s is a volume of namespace %s "
			 "(%s): choose another directory", real, m->ns_name,
			 u);
		return -EEXIST;
	}
	if (dir_has_files(fd, "data") || dir_has_files(fd, "quarantine")) {
		snprintf(why, VOLUME_WHY, "%.200s was volume %u of this "
			 "namespace and still holds files: move them away "
			 "first", real, m->volume);
		return -EEXIST;
	}
	return 0;
}

static int check_content(int fd, const char *real, const uint8_t *uuid,
			 struct marker *m, char *why)
{
	static const char *const known[] = {
		".", "..", "lost+found", MARKER_FILE, MARKER_FILE ".new",
		"data", "quarantine",
	};
	struct dirent *e;
	int rc, dup_fd;
	DIR *d;

	rc = marker_read(fd, m);
	if (!rc)
		return check_leftover(fd, m, uuid, real, why);
	if (rc != -ENOENT) {
		snprintf(why, VOLUME_WHY, "%.200s/" MARKER_FILE ": %s: it may "
			 "be a volume of another namespace; choose another "
			 "directory", real, strerror(-rc));
		return rc;
	}
	dup_fd = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	d = dup_fd < 0 ? NULL : fdopendir(dup_fd);
	if (!d)
		return -errno;
	while (!rc || rc == -ENOENT) {
		size_t i, n = sizeof(known) / sizeof(known[0]);

		e = readdir(d);
		if (!e)
			break;
		for (i = 0; i < n && strcmp(e->d_name, known[i]); i++)
			;
		if (i < n && strcmp(e->d_name, "lost+found") &&
		    e->d_name[0] != '.' && dir_has_files(fd, e->d_name))
			i = n;
		rc = i == n ? -ENOTEMPTY : -ENOENT;
	}
	closedir(d);
	if (rc != -ENOTEMPTY)
		return 0;
	snprintf(why, VOLUME_WHY, "%.200s is not empty: a volume starts in "
		 "an empty directory of its own; make one below it", real);
	return rc;
}

static int check_existing(const char *real, const uint8_t *uuid,
			  struct marker *m, char *why)
{
	int fd, rc;

	fd = open(real, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0) {
		rc = -errno;
		snprintf(why, VOLUME_WHY, "%.200s: %s: %s", real,
			 strerror(-rc), rc == -ENOTDIR ? "give a directory" :
			 "see its permissions, and the kernel's log about "
			 "its drive");
		return rc;
	}
	if (faccessat(fd, ".", W_OK, 0) < 0) {
		rc = -errno;
		snprintf(why, VOLUME_WHY, "%.200s is not writable: %s: "
			 VOLUME_FORBIDS, real, strerror(-rc));
	} else {
		rc = check_content(fd, real, uuid, m, why);
	}
	close(fd);
	return rc;
}

int volume_check_new(const char *path, uint64_t reserve,
		     const uint8_t ns_uuid[16], char *real,
		     struct marker *found, char *why)
{
	char dir[4096];
	bool exists;
	int rc;

	memset(found, 0, sizeof(*found));
	if (path[0] != '/' || strlen(path) > 4000) {
		snprintf(why, VOLUME_WHY, "%.200s: give an absolute path of "
			 "at most 4000 bytes", path);
		return -EINVAL;
	}
	if (path_on_orchfs(path)) {
		snprintf(why, VOLUME_WHY, "%.200s is on orchfs itself: use a "
			 "directory on XFS or ext4 on a local drive", path);
		return -EMEDIUMTYPE;
	}
	rc = resolve(path, real, &exists, why);
	if (rc < 0)
		return rc;
	strcpy(dir, real);
	rc = check_space(exists ? real : dirname(dir), reserve, real, why);
	if (!rc)
		rc = check_above(real, why);
	if (!rc && exists)
		rc = check_existing(real, ns_uuid, found, why);
	return rc;
}

static int sync_parent(const char *real)
{
	char copy[4096];
	int fd, rc;

	strcpy(copy, real);
	fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	rc = fsync(fd) < 0 ? -errno : 0;
	close(fd);
	return rc;
}

static int make_in(int fd, const struct marker *m)
{
	if (fchown(fd, 0, 0) < 0 || fchmod(fd, 0700) < 0)
		return -errno;
	if (mkdirat(fd, "data", 0700) < 0 && errno != EEXIST)
		return -errno;
	if (mkdirat(fd, "quarantine", 0700) < 0 && errno != EEXIST)
		return -errno;
	return marker_write(fd, m);
}

int volume_make(const char *real, const struct marker *m, char *why)
{
	int fd = -1, rc = 0;

	if (mkdir(real, 0700) < 0 && errno != EEXIST)
		rc = -errno;
	if (!rc) {
		fd = open(real, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		rc = fd < 0 ? -errno : make_in(fd, m);
	}
	if (fd >= 0)
		close(fd);
	if (!rc)
		rc = sync_parent(real);
	if (rc < 0)
		snprintf(why, VOLUME_WHY, "cannot make the volume in %.200s: "
			 "%s: %s", real, strerror(-rc),
			 rc == -EPERM || rc == -EACCES ? VOLUME_FORBIDS :
			 rc == -ENOSPC || rc == -EDQUOT ? "free some space" :
			 "see the kernel's log about its drive");
	return rc;
}
