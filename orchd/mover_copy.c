// SPDX-License-Identifier: Apache-2.0
/*
 * What the worker of a job does: a batch of files is copied, made durable and
 * read back. The sources don't change meanwhile; if they do, the namespace
 * thread knows and takes the copy back.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include <zlib.h>

#include "fault.h"
#include "log.h"
#include "mover.h"

#define CHUNK		(1U << 20)
#define CHUNK_MIN	4096U
#define ALIGN		4096
#define DIRTY_MAX	(8 << 20)	/* twice that is written back at the end */

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* When may what comes after @bytes be read? */
static uint64_t rate_take(uint64_t *next, uint64_t rate, uint64_t now,
			  size_t bytes)
{
	if (!rate)
		return now;
	if (*next < now)
		*next = now;
	*next += (uint64_t)((double)bytes * 1e9 / (double)rate);
	return *next;
}

static bool stopped(struct mover_file *f)
{
	return atomic_load(&f->stop) || atomic_load(&f->job->stop);
}

static int throttle(struct mover_file *f, size_t bytes)
{
	struct mover_job *j = f->job;
	struct mover *mv = j->sv->mover;
	uint64_t now, mine, all;
	struct timespec t;

	atomic_fetch_add(&j->reading, bytes);
	pthread_mutex_lock(&mv->lock);
	now = now_ns();
	mine = rate_take(&j->next_ns, j->rec.rate, now, bytes);
	all = rate_take(&mv->next_ns, mover_rate(), now, bytes);
	if (all > mine)
		mine = all;
	t.tv_sec = (time_t)(mine / 1000000000);
	t.tv_nsec = (long)(mine % 1000000000);
	while (!stopped(f) && now_ns() < mine)
		pthread_cond_timedwait(&mv->cond, &mv->lock, &t);
	pthread_mutex_unlock(&mv->lock);
	return stopped(f) ? -ECANCELED : 0;
}

static size_t chunk_of(const struct mover_job *j)
{
	uint64_t rate = j->rec.rate;

	if (mover_rate() && (!rate || mover_rate() < rate))
		rate = mover_rate();
	if (!rate || rate / 4 > CHUNK)
		return CHUNK;
	rate = rate / 4 & ~(uint64_t)(ALIGN - 1);
	return rate < CHUNK_MIN ? CHUNK_MIN : (size_t)rate;
}

static int write_all(int fd, const char *p, size_t len, off_t at)
{
	while (len) {
		ssize_t n = pwrite(fd, p, len, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EIO;
		p += n;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

static ssize_t read_some(int fd, char *p, size_t len, off_t at)
{
	ssize_t n;

	do {
		n = pread(fd, p, len, at);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

/* The next run of bytes at or after @at; 0: there is none. */
static int next_run(int fd, off_t at, off_t size, off_t *begin, off_t *end)
{
	*begin = lseek(fd, at, SEEK_DATA);
	if (*begin < 0 && errno == ENXIO)
		return 0;
	*end = *begin < 0 ? -1 : lseek(fd, *begin, SEEK_HOLE);
	if (*begin < 0 || *end < 0) {
		if (errno != EINVAL)
			return -errno;
		*begin = at;		/* it knows no holes */
		*end = size;
	}
	if (*end > size)
		*end = size;
	return *begin < *end;
}

static int add_run(struct mover_file *f, off_t begin, off_t end)
{
	if (f->nr_runs == f->max_runs) {
		size_t max = f->max_runs * 2 + 16;
		void *p = realloc(f->runs, max * sizeof(*f->runs));

		if (!p)
			return -ENOMEM;
		f->runs = p;
		f->max_runs = max;
	}
	f->runs[f->nr_runs++] = (struct mover_run){ begin, end };
	return 0;
}

/* What isn't in a run is a hole. */
static int find_runs(struct mover_file *f)
{
	off_t begin, end = 0;
	int rc;

	while ((rc = next_run(f->src, end, (off_t)f->size, &begin, &end)) > 0) {
		rc = add_run(f, begin, end);
		if (rc)
			break;
	}
	return rc;
}

typedef int (*chunk_fn)(struct mover_file *f, char *buf, size_t len, off_t at);

static int each_chunk(struct mover_file *f, char *buf, chunk_fn fn)
{
	const off_t chunk = (off_t)chunk_of(f->job);
	int rc = 0;

	f->sum = 0;
	for (size_t i = 0; i < f->nr_runs; i++) {
		const struct mover_run *r = &f->runs[i];

		for (off_t at = r->begin; at < r->end && !rc; at += chunk) {
			off_t len = r->end - at < chunk ? r->end - at : chunk;

			rc = stopped(f) ? -ECANCELED :
				fn(f, buf, (size_t)len, at);
			atomic_fetch_add(&f->job->steps, 1);
		}
	}
	return rc;
}

/* So that the last fsync is short, which a stop of the daemon waits for. */
static int write_back(struct mover_file *f, off_t end)
{
	off_t *done = f->flushed;

	if (end - done[1] < DIRTY_MAX)
		return 0;
	if (sync_file_range(f->dst, done[0], end - done[0],
			    SYNC_FILE_RANGE_WAIT_BEFORE |
			    SYNC_FILE_RANGE_WRITE) < 0)
		return -errno;
	done[0] = done[1];
	done[1] = end;
	return 0;
}

static int copy_chunk(struct mover_file *f, char *buf, size_t len, off_t at)
{
	int rc;

	for (size_t have = 0; have < len; ) {
		ssize_t n = read_some(f->src, buf + have, len - have,
				      at + (off_t)have);

		if (n < 0)
			return (int)n;
		if (!n)
			return -ESTALE;		/* it was cut meanwhile */
		have += (size_t)n;
	}
	f->sum = (uint32_t)crc32_z(f->sum, (const void *)buf, len);
	rc = write_all(f->dst, buf, len, at);
	if (!rc)
		rc = write_back(f, at + (off_t)len);
	if (rc < 0) {
		f->fatal = true;
		return rc;
	}
	f->copied += len;
	return throttle(f, len);
}

/* Reads past what is asked for: direct I/O wants whole blocks. */
static int verify_chunk(struct mover_file *f, char *buf, size_t len, off_t at)
{
	size_t whole = (len + ALIGN - 1) & ~(size_t)(ALIGN - 1);
	ssize_t n = read_some(f->dst, buf, whole, at);

	if (n == -EINVAL && fcntl(f->dst, F_SETFL, 0) == 0)
		n = read_some(f->dst, buf, len, at);
	if (n >= 0 && (size_t)n < len)
		n = -EIO;
	if (n < 0) {
		f->fatal = true;
		return (int)n;
	}
	f->sum = (uint32_t)crc32_z(f->sum, (const void *)buf, len);
	return 0;
}

/* Owner and project carry the volume's quota. */
static int copy_owner(struct mover_file *f, const struct stat *st)
{
	struct fsxattr x, y;

	f->owner = (struct ns_owner){ .uid = st->st_uid, .gid = st->st_gid };
	if (fchown(f->dst, st->st_uid, st->st_gid) < 0)
		return -errno;
	if (ioctl(f->src, FS_IOC_FSGETXATTR, &x) < 0 || !x.fsx_projid)
		return 0;
	f->owner.projid = x.fsx_projid;
	if (ioctl(f->dst, FS_IOC_FSGETXATTR, &y) < 0)
		return errno == ENOTTY ? 0 : -errno;
	y.fsx_projid = x.fsx_projid;
	return ioctl(f->dst, FS_IOC_FSSETXATTR, &y) < 0 ? -errno : 0;
}

static int check_room(struct mover_file *f, const struct stat *st)
{
	const struct volume *v = f->job->to;
	struct statvfs s;

	if (fstatvfs(v->root_fd, &s) < 0)
		return -errno;
	if ((uint64_t)s.f_bavail * s.f_frsize <
	    v->rec.reserve + (uint64_t)st->st_blocks * 512)
		return -ENOSPC;
	return s.f_flag & ST_RDONLY ? -EROFS : 0;
}

static int make_target(struct mover_file *f, const struct stat *st)
{
	struct volume *v = f->job->to;
	int rc = check_room(f, st);

	if (!rc)
		rc = f->dst = backing_begin(v, f->m.ino, f->m.version,
					    f->m.to);
	fault_point("move-made");
	if (rc >= 0)
		rc = copy_owner(f, st);
	if (!rc && ftruncate(f->dst, st->st_size) < 0)
		rc = -errno;
	if (rc < 0)
		f->fatal = true;
	return rc;
}

static int copy_one(struct mover_file *f, char *buf)
{
	struct stat st;
	int rc;

	rc = f->src = backing_open_read(f->from, f->m.ino, f->m.version,
					f->m.from);
	if (rc >= 0)
		rc = fstat(f->src, &st) < 0 ? -errno : 0;
	if (rc < 0)
		return rc;
	f->size = (uint64_t)st.st_size;
	f->mode = st.st_mode & 07777;
	posix_fadvise(f->src, 0, 0, POSIX_FADV_SEQUENTIAL);
	rc = find_runs(f);
	if (!rc)
		rc = make_target(f, &st);
	if (!rc)
		rc = each_chunk(f, buf, copy_chunk);
	if (!rc) {
		const struct timespec t[2] = { st.st_atim, st.st_mtim };

		rc = futimens(f->dst, t) < 0 ? -errno : 0;
	}
	return rc;
}

/* From the drive, not from memory. */
static int verify_one(struct mover_file *f, char *buf)
{
	uint32_t sum = f->sum;
	struct stat st, src;
	int rc;

	posix_fadvise(f->dst, 0, 0, POSIX_FADV_DONTNEED);
	fcntl(f->dst, F_SETFL, O_DIRECT);	/* where the volume can */
	rc = each_chunk(f, buf, verify_chunk);
	if (rc < 0)
		return rc;
	if (fstat(f->dst, &st) < 0 || fstat(f->src, &src) < 0)
		return -errno;
	f->blocks = (uint64_t)st.st_blocks;
	if ((uint64_t)src.st_size != f->size)
		return -ESTALE;
	if (f->sum == sum && (uint64_t)st.st_size == f->size)
		return 0;
	f->fatal = true;
	return -EBADMSG;
}

/* What has its mode is whole: orchctl rebuild goes by that. */
static int complete_one(struct mover_file *f, char *buf)
{
	(void)buf;
	if (!fchmod(f->dst, f->mode ? f->mode : BACKING_MODE))
		return 0;
	f->fatal = true;
	return -errno;
}

static void set_phase(struct mover_job *j, enum move_state s)
{
	for (size_t i = 0; i < j->nr; i++)
		if (!j->batch[i]->rc)
			atomic_store(&j->batch[i]->phase, s);
}

static void sync_failed(struct mover_file *f, int rc)
{
	f->rc = rc;
	f->fatal = true;
}

/*
 * All are written back side by side. The files, then the names: XFS and ext4
 * force their logs in order. Files that were made together share directories.
 */
static void sync_all(struct mover_job *j)
{
	uint64_t dir = UINT64_MAX;
	int rc = 0;

	for (size_t i = 0; i < j->nr; i++)
		if (!j->batch[i]->rc)
			sync_file_range(j->batch[i]->dst, 0, 0,
					SYNC_FILE_RANGE_WRITE);
	for (size_t i = 0; i < j->nr; i++) {
		struct mover_file *f = j->batch[i];

		if (!f->rc && fsync(f->dst) < 0)
			sync_failed(f, -errno);
		atomic_fetch_add(&j->steps, 1);
	}
	for (size_t i = 0; i < j->nr; i++) {
		struct mover_file *f = j->batch[i];

		if (f->rc)
			continue;
		if (backing_dir(f->m.ino) != dir)
			rc = backing_sync(j->to, f->m.ino, f->m.ino);
		dir = backing_dir(f->m.ino);
		if (rc < 0)
			sync_failed(f, rc);
	}
}

/* One that fails for good ends the batch: those after it are not begun. */
static void run_each(struct mover_job *j, char *buf,
		     int (*fn)(struct mover_file *f, char *buf))
{
	bool fatal = false;

	for (size_t i = 0; i < j->nr; i++) {
		struct mover_file *f = j->batch[i];

		if (!f->rc && (fatal || stopped(f)))
			f->rc = -ECANCELED;
		if (!f->rc)
			f->rc = fn(f, buf);
		fatal |= f->fatal;
	}
}

/* The modes are durable with the last one: logs are forced in order. */
static void complete_all(struct mover_job *j, char *buf)
{
	size_t last = j->nr;
	int rc = 0;

	run_each(j, buf, complete_one);
	while (last && j->batch[last - 1]->rc)
		last--;
	if (last && fsync(j->batch[last - 1]->dst) < 0)
		rc = -errno;
	for (size_t i = 0; i < last && rc; i++)
		if (!j->batch[i]->rc)
			sync_failed(j->batch[i], rc);
}

static void close_all(struct mover_job *j)
{
	for (size_t i = 0; i < j->nr; i++) {
		struct mover_file *f = j->batch[i];

		if (f->src >= 0)
			close(f->src);
		if (f->dst >= 0)
			close(f->dst);
		f->src = f->dst = -1;
		free(f->runs);
		f->runs = NULL;
		f->nr_runs = f->max_runs = 0;
	}
}

static void copy_end(struct work *w)
{
	copy_done(container_of(w, struct mover_job, w));
}

/* worker */
static void copy_run(struct work *w)
{
	struct mover_job *j = container_of(w, struct mover_job, w);
	char *buf = aligned_alloc(ALIGN, CHUNK);
	int rc = 0;

	fault_point("move-begun");
	if (store_durable(j->sv->st) < j->txn)
		rc = store_barrier(j->sv->st);
	if (rc < 0)
		sync_fatal(j->sv, rc);
	for (size_t i = 0; i < j->nr && !buf; i++)
		j->batch[i]->rc = -ENOMEM;
	run_each(j, buf, copy_one);
	sync_all(j);
	fault_point("move-copied");
	set_phase(j, MOVE_VERIFY);
	run_each(j, buf, verify_one);
	complete_all(j, buf);
	fault_point("move-verified");
	close_all(j);
	free(buf);
	j->w.run = copy_end;
	work_post(&j->sv->queue, &j->w);
}

void copy_start(struct mover_job *j)
{
	j->w.run = copy_run;
	j->copying = true;
	work_post(&j->worker.q, &j->w);
}
