// SPDX-License-Identifier: Apache-2.0
/* Exports on a volume: listing, writing, removing. Any thread. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "export.h"

#define EXPORT_TMP	EXPORT_DIR "/.new"
#define COPY_BYTES	(256 << 10)

int export_newer(const struct export_file *a, const struct export_file *b)
{
	if (a->epoch != b->epoch)
		return a->epoch > b->epoch ? -1 : 1;
	if (a->seq != b->seq)
		return a->seq > b->seq ? -1 : 1;
	return 0;
}

static int compare(const void *a, const void *b)
{
	return export_newer(a, b);
}

static void export_path(struct export_file *f)
{
	snprintf(f->path, sizeof(f->path), EXPORT_DIR "/%" PRIx64 ".%" PRIx64,
		 f->epoch, f->seq);
}

/* Only the form that export_path() writes. */
static bool parse(const char *name, struct export_file *f)
{
	int end = 0;

	if (sscanf(name, "%16" SCNx64 ".%16" SCNx64 "%n", &f->epoch, &f->seq,
		   &end) != 2 || name[end])
		return false;
	export_path(f);
	return !strcmp(f->path + strlen(EXPORT_DIR "/"), name);
}

static int add(struct export_file **out, size_t *nr, const char *name)
{
	struct export_file f, *p;

	if (!parse(name, &f))
		return 0;
	p = realloc(*out, (*nr + 1) * sizeof(*p));
	if (!p)
		return -ENOMEM;
	*out = p;
	p[(*nr)++] = f;
	return 0;
}

static int open_names(int root_fd)
{
	int fd = openat(root_fd, EXPORT_DIR, O_RDONLY | O_DIRECTORY |
			O_CLOEXEC | O_NOFOLLOW);

	return fd < 0 ? -errno : fd;
}

int export_list(int root_fd, struct export_file **out, size_t *nr)
{
	int fd = open_names(root_fd), rc = 0;
	struct dirent *e;
	DIR *d;

	*out = NULL;
	*nr = 0;
	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	d = fdopendir(fd);
	if (!d) {
		rc = -errno;
		close(fd);
		return rc;
	}
	while (!rc && (errno = 0, e = readdir(d)))
		rc = add(out, nr, e->d_name);
	if (!rc && errno)
		rc = -errno;
	closedir(d);
	if (rc < 0) {
		free(*out);
		return rc;
	}
	if (*nr)
		qsort(*out, *nr, sizeof(**out), compare);
	return 0;
}

/* The new one may grow by half beside the last one. */
static int check_room(int root_fd, uint64_t room)
{
	struct export_file *list;
	struct statvfs v;
	struct stat st;
	size_t nr;
	int rc;

	rc = export_list(root_fd, &list, &nr);
	if (rc < 0)
		return rc;
	if (nr && !fstatat(root_fd, list[0].path, &st, AT_SYMLINK_NOFOLLOW))
		room += (uint64_t)st.st_size + (uint64_t)st.st_size / 2;
	free(list);
	if (fstatvfs(root_fd, &v) < 0)
		return -errno;
	return (uint64_t)v.f_bavail * v.f_frsize > room ? 0 : -ENOSPC;
}

static int copy(int from, int to, bool (*stop)(void *ctx), void *ctx)
{
	char *buf = malloc(COPY_BYTES);
	off_t pos = 0;
	ssize_t n;
	int rc = buf ? 0 : -ENOMEM;

	while (!rc && (n = pread(from, buf, COPY_BYTES, pos)) != 0) {
		if (stop && stop(ctx))
			rc = -ECANCELED;
		else if (n < 0)
			rc = -errno;
		else if (write(to, buf, (size_t)n) != n)
			rc = errno ? -errno : -EIO;
		pos += n;
	}
	free(buf);
	return rc;
}

static int sync_names(int root_fd)
{
	int fd = open_names(root_fd), rc;

	if (fd < 0)
		return fd;
	rc = fsync(fd) < 0 ? -errno : 0;
	close(fd);
	return rc;
}

static void prune(int root_fd)
{
	struct export_file *list;
	size_t nr;

	if (export_list(root_fd, &list, &nr) < 0)
		return;
	for (size_t i = EXPORT_KEEP; i < nr; i++)
		unlinkat(root_fd, list[i].path, 0);
	free(list);
}

static int put_in_place(int root_fd, const struct backup_stats *stats)
{
	struct export_file f = { .epoch = stats->epoch, .seq = stats->seq };
	int rc;

	export_path(&f);
	if (renameat(root_fd, EXPORT_TMP, root_fd, f.path) < 0)
		return -errno;
	rc = sync_names(root_fd);
	if (!rc)
		prune(root_fd);
	return rc;
}

/*
 * Its modification time is that of the snapshot: a rebuild takes a backing
 * file with a later one as written since.
 */
static int fill(int fd, struct store *st, int from, bool (*stop)(void *ctx),
		void *ctx, struct backup_stats *stats)
{
	struct timespec times[2];
	struct stat sb;
	int rc;

	clock_gettime(CLOCK_REALTIME, &times[1]);
	if (from >= 0 && fstat(from, &sb) < 0)
		return -errno;
	if (from >= 0)
		times[1] = sb.st_mtim;
	times[0] = times[1];
	rc = from < 0 ? backup_write(st, fd, stop, ctx, stats) :
			copy(from, fd, stop, ctx);
	if (!rc && futimens(fd, times) < 0)
		rc = -errno;
	if (!rc && fsync(fd) < 0)
		rc = -errno;
	/* it is not read again soon */
	if (!rc)
		posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	return rc;
}

int export_write(int root_fd, struct store *st, int from, uint64_t room,
		 bool (*stop)(void *ctx), void *ctx,
		 struct backup_stats *stats)
{
	int fd, rc;

	if (!mkdirat(root_fd, EXPORT_DIR, 0700)) {
		if (fsync(root_fd) < 0)
			return -errno;
	} else if (errno != EEXIST) {
		return -errno;
	}
	rc = check_room(root_fd, room);
	if (rc < 0)
		return rc;
	unlinkat(root_fd, EXPORT_TMP, 0);
	fd = openat(root_fd, EXPORT_TMP, O_RDWR | O_CREAT | O_EXCL |
		    O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	rc = fill(fd, st, from, stop, ctx, stats);
	if (!rc)
		rc = put_in_place(root_fd, stats);
	if (!rc)
		return fd;
	unlinkat(root_fd, EXPORT_TMP, 0);
	close(fd);
	return rc;
}

void export_remove_all(int root_fd)
{
	struct export_file *list;
	size_t nr;

	if (export_list(root_fd, &list, &nr) < 0)
		return;
	for (size_t i = 0; i < nr; i++)
		unlinkat(root_fd, list[i].path, 0);
	free(list);
	unlinkat(root_fd, EXPORT_TMP, 0);
	unlinkat(root_fd, EXPORT_DIR, AT_REMOVEDIR);
}
