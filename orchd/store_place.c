// SPDX-License-Identifier: Apache-2.0
/*
 * A new store takes the place of an old one, if any. As a rule the two are
 * directories side by side that change names. A mount point can't be renamed,
 * so the store on a drive of its own is made within it, and what makes it a
 * store is moved.
 *
 * The old store is locked meanwhile, by its lock file alone: RocksDB finds the
 * files that it removes when it is closed by their path, where the new ones
 * lie by then.
 */
#include "store_place.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "ctl.h"

#define PATH_LEN	4700

static int sync_dir(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc;

	if (fd < 0)
		return -errno;
	rc = fsync(fd) < 0 ? -errno : 0;
	close(fd);
	return rc;
}

static void find_dir(struct store_place *p, const char *dir)
{
	char copy[4096];

	if (!realpath(dir, p->dir))
		snprintf(p->dir, sizeof(p->dir), "%s", dir);
	while (strlen(p->dir) > 1 && p->dir[strlen(p->dir) - 1] == '/')
		p->dir[strlen(p->dir) - 1] = 0;
	strcpy(copy, p->dir);
	strcpy(p->parent, dirname(copy));
}

static bool is_mount(const char *dir, const char *parent)
{
	struct stat a, b;
	struct statx x;

	if (!statx(AT_FDCWD, dir, 0, STATX_TYPE, &x) &&
	    x.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT)
		return x.stx_attributes & STATX_ATTR_MOUNT_ROOT;
	return !stat(dir, &a) && !stat(parent, &b) && a.st_dev != b.st_dev;
}

/* A file system of its own has a lost+found. */
static bool is_empty(const struct store_place *p)
{
	DIR *d = opendir(p->dir);
	struct dirent *e;
	bool empty = true;

	if (!d)
		return errno == ENOENT;
	while (empty && (e = readdir(d)))
		empty = !strcmp(e->d_name, ".") || !strcmp(e->d_name, "..") ||
			(p->inside && !strcmp(e->d_name, "lost+found"));
	closedir(d);
	return empty;
}

static int lock_old(struct store_place *p)
{
	char path[PATH_LEN];

	snprintf(path, sizeof(path), "%s/db", p->dir);
	p->store = !access(path, F_OK);
	if (!p->store)
		return 0;
	snprintf(path, sizeof(path), "%s/lock", p->dir);
	p->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (p->lock_fd < 0)
		return -errno;
	if (!flock(p->lock_fd, LOCK_EX | LOCK_NB))
		return 0;
	return errno == EWOULDBLOCK ? -EBUSY : -errno;
}

int store_place_begin(struct store_place *p, const char *dir, bool replace,
		      char *why, size_t len)
{
	int rc;

	*p = (struct store_place){ .lock_fd = -1 };
	find_dir(p, dir);
	p->inside = is_mount(p->dir, p->parent);
	if (p->inside)
		strcpy(p->parent, p->dir);
	p->empty = is_empty(p);
	if (!p->empty && !replace) {
		snprintf(why, len, "%.400s is there and not empty: if it is a "
			 "damaged store, try orchctl fsck --repair, or move "
			 "away what is in it and rebuild then", dir);
		return -EEXIST;
	}
	rc = lock_old(p);
	if (rc == -EBUSY)
		snprintf(why, len, "the store %.400s is in use: stop orchd "
			 "first", dir);
	else if (rc < 0)
		snprintf(why, len, "the lock of the store %.400s: %s", dir,
			 strerror(-rc));
	else
		snprintf(p->tmp, sizeof(p->tmp), "%s/.new-store-%d", p->parent,
			 getpid());
	return rc;
}

/* serve_start.c takes note of it */
static int owe_sweep(const char *tmp)
{
	char path[PATH_LEN];
	int fd;

	snprintf(path, sizeof(path), "%s/sweep", tmp);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	close(fd);
	return sync_dir(tmp);
}

/* The clock may show a time again. */
static void name_aside(const struct store_place *p, char *aside)
{
	char copy[4096], *base;
	struct stat st;
	time_t at = time(NULL);

	strcpy(copy, p->dir);
	base = basename(copy);
	do {
		if (p->inside)
			snprintf(aside, STORE_PLACE_PATH, "%s/.replaced-%lld",
				 p->parent, (long long)at);
		else
			snprintf(aside, STORE_PLACE_PATH,
				 "%s/.%.200s.replaced-%lld", p->parent, base,
				 (long long)at);
		at++;
	} while (!lstat(aside, &st));
}

/* For file systems that can't exchange names. */
static int move_twice(const struct store_place *p, const char *aside)
{
	int rc;

	if (rename(p->dir, aside) < 0)
		return -errno;
	if (!rename(p->tmp, p->dir))
		return 0;
	rc = -errno;
	rename(aside, p->dir);
	return rc;
}

static int move_over(const struct store_place *p, char *aside)
{
	if (p->empty)
		return rename(p->tmp, p->dir) < 0 ? -errno : 0;
	name_aside(p, aside);
	if (renameat2(AT_FDCWD, p->tmp, AT_FDCWD, p->dir,
		      RENAME_EXCHANGE) < 0)
		return errno == EINVAL || errno == ENOSYS ?
			move_twice(p, aside) : -errno;
	/* The new one is in its place; the old one is safe where it is. */
	if (rename(p->tmp, aside) < 0)
		strcpy(aside, p->tmp);
	return 0;
}

static int move_part(const char *from, const char *to, const char *name)
{
	char old[PATH_LEN], new[PATH_LEN];

	snprintf(old, sizeof(old), "%s/%s", from, name);
	snprintf(new, sizeof(new), "%s/%s", to, name);
	return rename(old, new) < 0 && errno != ENOENT ? -errno : 0;
}

static int move_out(const struct store_place *p, char *aside)
{
	int rc;

	name_aside(p, aside);
	if (mkdir(aside, 0700) < 0)
		return -errno;
	rc = move_part(p->dir, aside, "db");
	return rc ? rc : move_part(p->dir, aside, "synced");
}

/* Without db/ there is no store: it goes first and comes last. */
static int move_inside(const struct store_place *p, char *aside)
{
	int rc = p->store ? move_out(p, aside) : 0;

	if (!rc)
		rc = move_part(p->tmp, p->dir, "synced");
	if (!rc)
		rc = move_part(p->tmp, p->dir, "sweep");
	if (!rc)
		rc = sync_dir(p->dir);
	if (!rc)
		rc = move_part(p->tmp, p->dir, "db");
	if (!rc) {
		remove_tree(p->tmp);
	} else if (*aside) {
		move_part(aside, p->dir, "synced");
		move_part(aside, p->dir, "db");
		rmdir(aside);
	}
	return rc;
}

int store_place_commit(struct store_place *p, char *aside, char *why,
		       size_t len)
{
	int rc = owe_sweep(p->tmp);

	*aside = 0;
	if (!rc)
		rc = p->inside ? move_inside(p, aside) : move_over(p, aside);
	if (!rc) {
		p->tmp[0] = 0;
		rc = sync_dir(p->parent);
	}
	if (rc < 0)
		snprintf(why, len, "moving the new store to %.400s: %s",
			 p->dir, strerror(-rc));
	return rc;
}

void store_place_end(struct store_place *p)
{
	if (p->tmp[0])
		remove_tree(p->tmp);
	if (p->lock_fd >= 0)
		close(p->lock_fd);
	p->lock_fd = -1;
	p->tmp[0] = 0;
}
