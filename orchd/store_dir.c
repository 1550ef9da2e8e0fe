// SPDX-License-Identifier: Apache-2.0
/*
 * What lies beside the database: DIR/lock, DIR/synced, DIR/reserve.
 *
 * The reserve lets deletions go on when the drive is full. Free space is
 * read each CHECK_BYTES of writing. Below the floor only urgent batches are
 * accepted, and these take the reserve back in steps; once there is room
 * again it is made whole.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "store_impl.h"

#define RESERVE_MIN	(4ULL << 20)
#define RESERVE_MAX	(64ULL << 20)
#define CHECK_BYTES	(256ULL << 10)
#define FILES_FLOOR	32	/* the database makes some as it goes */
/* Twenty digits and a newline: every value has the same length. */
#define SYNCED_LEN	21

static int open_in(const char *dir, const char *name, int flags)
{
	char path[4096];
	int fd;

	if ((size_t)snprintf(path, sizeof(path), "%s/%s", dir, name) >=
	    sizeof(path))
		return -ENAMETOOLONG;
	fd = open(path, flags | O_CLOEXEC, 0600);
	return fd < 0 ? -errno : fd;
}

static int sync_dir(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc;

	if (fd < 0)
		return -errno;
	rc = fsync(fd) ? -errno : 0;
	close(fd);
	return rc;
}

static int have_db(const char *dir)
{
	char path[4096];

	if ((size_t)snprintf(path, sizeof(path), "%s/db/CURRENT", dir) >=
	    sizeof(path))
		return -ENAMETOOLONG;
	if (!access(path, F_OK))
		return 0;
	return -errno;
}

static int pwrite_all(int fd, const char *p, size_t len)
{
	ssize_t n;

	do {
		n = pwrite(fd, p, len, 0);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	return (size_t)n == len ? 0 : -EIO;
}

static int write_synced(int fd, uint64_t seq)
{
	char text[SYNCED_LEN + 1];

	snprintf(text, sizeof(text), "%020" PRIu64 "\n", seq);
	return pwrite_all(fd, text, SYNCED_LEN);
}

int store_dir_write_synced(struct store *st, uint64_t seq)
{
	return write_synced(st->dir.synced_fd, seq);
}

/**
 * store_dir_mark() - make DIR/synced of a copy, durably.
 */
int store_dir_mark(const char *path, uint64_t seq)
{
	int fd = open_in(path, "synced", O_RDWR | O_CREAT);
	int rc;

	if (fd < 0)
		return fd;
	rc = write_synced(fd, seq);
	if (!rc && fsync(fd))
		rc = -errno;
	close(fd);
	return rc ? rc : sync_dir(path);
}

/**
 * store_dir_read_synced() - the sequence that once was durable.
 * Return: 0; -EUCLEAN when the file holds no number. None there: 0.
 */
int store_dir_read_synced(struct store *st, uint64_t *seq)
{
	char text[SYNCED_LEN + 1] = "";
	uint64_t x = 0;
	ssize_t n;

	*seq = 0;
	if (st->dir.synced_fd < 0)
		return 0;
	n = pread(st->dir.synced_fd, text, SYNCED_LEN, 0);
	if (n < 0)
		return -errno;
	for (ssize_t i = 0; i < n && text[i] != '\n'; i++) {
		if (text[i] < '0' || text[i] > '9' || x > UINT64_MAX / 10 - 1)
			return -EUCLEAN;
		x = x * 10 + (uint64_t)(text[i] - '0');
	}
	*seq = x;
	return 0;
}

static int free_space(struct store_dir *d, uint64_t *total, uint64_t *avail)
{
	struct statvfs v;

	if (statvfs(d->path, &v))
		return -errno;
	*total = (uint64_t)v.f_blocks * v.f_frsize;
	*avail = (uint64_t)v.f_bavail * v.f_frsize;
	/* some file systems have a fixed number of files, others say 0 */
	if (v.f_files && v.f_favail < FILES_FLOOR)
		*avail = 0;
	return 0;
}

static uint64_t reserve_size(const struct store_dir *d)
{
	struct stat s;

	if (fstat(d->reserve_fd, &s))
		return 0;
	return (uint64_t)s.st_size;
}

/* Make the reserve whole where that leaves twice the floor free. */
static void reserve_fill(struct store_dir *d, uint64_t avail)
{
	uint64_t have = reserve_size(d);

	if (have >= d->reserve || avail < 2 * d->floor + d->reserve - have)
		return;
	/* Without support for fallocate there is just no reserve. */
	if (fallocate(d->reserve_fd, 0, 0, (off_t)d->reserve)) {
		if (ftruncate(d->reserve_fd, (off_t)have))
			return;
	}
}

static void reserve_shrink(struct store_dir *d, uint64_t avail)
{
	const uint64_t step = d->reserve / 8;
	uint64_t have = reserve_size(d);

	if (avail >= step || !have)
		return;
	have = have > step ? have - step : 0;
	if (ftruncate(d->reserve_fd, (off_t)have))
		return;
}

/**
 * store_dir_room() - may this much be written?
 * @urgent: deletions and the like, which may use the reserve.
 * Called under write_lock. Return: 0 or -ENOSPC.
 */
int store_dir_room(struct store *st, size_t bytes, bool urgent)
{
	struct store_dir *d = &st->dir;
	uint64_t total = 0, avail = 0;

	d->unchecked += bytes;
	if (!d->tight && d->unchecked < CHECK_BYTES)
		return 0;
	if (free_space(d, &total, &avail))
		return 0;
	d->unchecked = 0;
	d->tight = avail < d->floor;
	if (!d->tight) {
		reserve_fill(d, avail);
		return 0;
	}
	if (!urgent)
		return -ENOSPC;
	reserve_shrink(d, avail);
	return 0;
}

/*
 * RocksDB makes a log and tables when it opens a store, and may not survive
 * it if it can't: with less than the floor to be had the reserve is given
 * back. statvfs() counts blocks that nobody gets, so it is tried.
 */
static void reserve_give(struct store_dir *d)
{
	uint64_t have = reserve_size(d);

	if (!have)
		return;
	if (fallocate(d->reserve_fd, 0, (off_t)have, (off_t)d->floor) &&
	    errno == ENOSPC)
		have = 0;
	if (ftruncate(d->reserve_fd, (off_t)have))
		return;
}

static int open_reserve(struct store_dir *d)
{
	uint64_t total = 0, avail = 0;
	int rc;

	rc = open_in(d->path, "reserve", O_RDWR | O_CREAT);
	if (rc < 0)
		return rc;
	d->reserve_fd = rc;
	rc = free_space(d, &total, &avail);
	if (rc)
		return rc;
	d->reserve = total / 50;
	if (d->reserve < RESERVE_MIN)
		d->reserve = RESERVE_MIN;
	if (d->reserve > RESERVE_MAX)
		d->reserve = RESERVE_MAX;
	d->floor = d->reserve / 2;
	d->tight = avail < d->floor;
	if (d->tight)
		reserve_give(d);
	else
		reserve_fill(d, avail);
	return 0;
}

static int take_lock(struct store_dir *d, const char **why)
{
	int rc = open_in(d->path, "lock", O_RDWR | O_CREAT);

	if (rc < 0)
		return rc;
	d->lock_fd = rc;
	if (!flock(d->lock_fd, LOCK_EX | LOCK_NB))
		return 0;
	if (errno != EWOULDBLOCK)
		return -errno;
	*why = "another program has the store open";
	return -EBUSY;
}

static int create_dir(struct store_dir *d, const char **why)
{
	int rc;

	if (mkdir(d->path, 0700) && errno != EEXIST)
		return -errno;
	rc = take_lock(d, why);
	if (rc)
		return rc;
	rc = have_db(d->path);
	if (!rc) {
		*why = "there is a store already";
		return -EEXIST;
	}
	if (rc != -ENOENT)
		return rc;
	return store_dir_mark(d->path, 0);
}

/**
 * store_dir_open() - lock the directory and open what lies beside the
 * database. On failure the caller calls store_dir_close().
 */
int store_dir_open(struct store *st, const char *path,
		   const struct store_opts *o, const char **why)
{
	struct store_dir *d = &st->dir;
	int rc;

	d->path = strdup(path);
	if (!d->path)
		return -ENOMEM;
	if (o->create) {
		rc = create_dir(d, why);
	} else {
		rc = have_db(path);
		if (rc)
			*why = "no store there";
		else if (!o->read_only)
			rc = take_lock(d, why);
	}
	if (rc)
		return rc == -ENOTDIR ? -ENOENT : rc;
	rc = open_in(path, "synced",
		     o->read_only ? O_RDONLY : O_RDWR | O_CREAT);
	if (rc < 0)
		return o->read_only && rc == -ENOENT ? 0 : rc;
	d->synced_fd = rc;
	return o->read_only ? 0 : open_reserve(d);
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void store_dir_close(struct store *st)
{
	struct store_dir *d = &st->dir;

	close_fd(&d->reserve_fd);
	close_fd(&d->synced_fd);
	close_fd(&d->lock_fd);
	free(d->path);
	d->path = NULL;
}
