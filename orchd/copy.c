// SPDX-License-Identifier: Apache-2.0
/*
 * What a worker does: a batch of files is copied, made durable and read back.
 * The sources don't change meanwhile; if they do, who asked for the copy knows,
 * or it is seen here.
 */
#include "copy.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include <zlib.h>

#include "cluster.h"
#include "fault.h"
#include "peer_tls.h"
#include "volume.h"

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

static atomic_uint_fast64_t rate_of_all;

void copy_set_rate(uint64_t rate)
{
	atomic_store(&rate_of_all, rate);
}

void copy_pace_init(struct copy_pace *p)
{
	pthread_condattr_t a;

	p->next_ns = 0;
	pthread_mutex_init(&p->lock, NULL);
	pthread_condattr_init(&a);
	pthread_condattr_setclock(&a, CLOCK_MONOTONIC);
	pthread_cond_init(&p->cond, &a);
	pthread_condattr_destroy(&a);
}

void copy_pace_destroy(struct copy_pace *p)
{
	pthread_mutex_destroy(&p->lock);
	pthread_cond_destroy(&p->cond);
}

void copy_stop(struct copy_pace *p, atomic_bool *stop)
{
	pthread_mutex_lock(&p->lock);
	atomic_store(stop, true);
	pthread_cond_broadcast(&p->cond);
	pthread_mutex_unlock(&p->lock);
}

void copy_token(struct copy_pace *p, struct copy_file *f,
		const uint8_t token[ORCHFS_TOKEN_LEN])
{
	pthread_mutex_lock(&p->lock);
	memcpy(f->token, token, ORCHFS_TOKEN_LEN);
	f->token_new = true;
	pthread_mutex_unlock(&p->lock);
}

void copy_file_init(struct copy_file *f)
{
	*f = (struct copy_file){ .src = -1, .dst = -1 };
}

int copy_reach(struct copy_batch *b, struct cluster *cl, uint32_t node)
{
	struct copy_net *n = &b->net;
	struct copy_peer *p = &n->peer[n->nr];

	for (size_t i = 0; i < n->nr; i++)
		if (n->peer[i].node == node)
			return 0;
	if (!cl || n->nr == COPY_BATCH)
		return -ENOTCONN;
	p->node = node;
	if (node == cl->authority && cl->nr_addresses)
		snprintf(p->address, sizeof(p->address), "%s",
			 cl->address[0]);
	else
		cluster_data_address(cl, node, p->address);
	if (!*p->address)
		return -ENOTCONN;
	if (!n->tls)
		n->tls = cluster_tls(cl);
	if (!n->tls)
		return -ENOMEM;
	memcpy(n->uuid, cl->uuid, 16);
	n->self = cl->node;
	n->nr++;
	return 0;
}

void copy_batch_end(struct copy_batch *b)
{
	peer_tls_put(b->net.tls);
	b->net.tls = NULL;
	b->net.nr = 0;
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

bool copy_stopped(struct copy_batch *b, struct copy_file *f)
{
	return atomic_load(&f->stop) || atomic_load(&b->stop);
}

int copy_throttle(struct copy_batch *b, struct copy_file *f, size_t bytes)
{
	const uint64_t rate = atomic_load(&rate_of_all);
	struct copy_pace *p = b->pace;
	uint64_t now, mine, all;
	struct timespec t;

	atomic_fetch_add(&b->reading, bytes);
	atomic_fetch_add(&b->steps, 1);
	pthread_mutex_lock(&p->lock);
	now = now_ns();
	mine = rate_take(&b->next_ns, b->rate, now, bytes);
	all = rate_take(&p->next_ns, rate, now, bytes);
	if (all > mine)
		mine = all;
	t.tv_sec = (time_t)(mine / 1000000000);
	t.tv_nsec = (long)(mine % 1000000000);
	while (!copy_stopped(b, f) && now_ns() < mine)
		pthread_cond_timedwait(&p->cond, &p->lock, &t);
	pthread_mutex_unlock(&p->lock);
	return copy_stopped(b, f) ? -ECANCELED : 0;
}

size_t copy_chunk_len(const struct copy_batch *b)
{
	const uint64_t all = atomic_load(&rate_of_all);
	uint64_t rate = b->rate;

	if (all && (!rate || all < rate))
		rate = all;
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

int copy_add_run(struct copy_file *f, off_t begin, off_t end)
{
	if (f->nr_runs && f->runs[f->nr_runs - 1].end == begin) {
		f->runs[f->nr_runs - 1].end = end;
		return 0;
	}
	if (f->nr_runs == f->max_runs) {
		size_t max = f->max_runs * 2 + 16;
		void *p = realloc(f->runs, max * sizeof(*f->runs));

		if (!p)
			return -ENOMEM;
		f->runs = p;
		f->max_runs = max;
	}
	f->runs[f->nr_runs++] = (struct copy_run){ begin, end };
	return 0;
}

/* What isn't in a run is a hole. */
static int find_runs(struct copy_file *f)
{
	off_t begin, end = 0;
	int rc;

	while ((rc = next_run(f->src, end, (off_t)f->size, &begin, &end)) > 0) {
		rc = copy_add_run(f, begin, end);
		if (rc)
			break;
	}
	return rc;
}

typedef int (*chunk_fn)(struct copy_batch *b, struct copy_file *f, char *buf,
			size_t len, off_t at);

static int each_chunk(struct copy_batch *b, struct copy_file *f, char *buf,
		      chunk_fn fn)
{
	const off_t chunk = (off_t)copy_chunk_len(b);
	int rc = 0;

	f->sum = 0;
	for (size_t i = 0; i < f->nr_runs; i++) {
		const struct copy_run *r = &f->runs[i];

		for (off_t at = r->begin; at < r->end && !rc; at += chunk) {
			off_t len = r->end - at < chunk ? r->end - at : chunk;

			rc = copy_stopped(b, f) ? -ECANCELED :
				fn(b, f, buf, (size_t)len, at);
			atomic_fetch_add(&b->steps, 1);
		}
	}
	return rc;
}

/* So that the last fsync is short, which a stop of the daemon waits for. */
static int write_back(struct copy_file *f, off_t end)
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

int copy_put(struct copy_file *f, const char *buf, size_t len, off_t at)
{
	int rc;

	f->sum = (uint32_t)crc32_z(f->sum, (const void *)buf, len);
	rc = write_all(f->dst, buf, len, at);
	if (!rc)
		rc = write_back(f, at + (off_t)len);
	f->fatal |= rc < 0;
	return rc;
}

static int copy_chunk(struct copy_batch *b, struct copy_file *f, char *buf,
		      size_t len, off_t at)
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
	rc = copy_put(f, buf, len, at);
	return rc ? rc : copy_throttle(b, f, len);
}

/* Reads past what is asked for: direct I/O wants whole blocks. */
static int verify_chunk(struct copy_batch *b, struct copy_file *f, char *buf,
			size_t len, off_t at)
{
	size_t whole = (len + ALIGN - 1) & ~(size_t)(ALIGN - 1);
	ssize_t n = read_some(f->dst, buf, whole, at);

	(void)b;
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
static int give_owner(struct copy_file *f)
{
	struct fsxattr x;

	if (fchown(f->dst, f->owner.uid, f->owner.gid) < 0)
		return -errno;
	if (!f->owner.projid)
		return 0;
	if (ioctl(f->dst, FS_IOC_FSGETXATTR, &x) < 0)
		return errno == ENOTTY ? 0 : -errno;
	x.fsx_projid = f->owner.projid;
	return ioctl(f->dst, FS_IOC_FSSETXATTR, &x) < 0 ? -errno : 0;
}

static void find_owner(struct copy_file *f, const struct stat *st)
{
	struct fsxattr x;

	f->owner = (struct ns_owner){ .uid = st->st_uid, .gid = st->st_gid };
	if (!ioctl(f->src, FS_IOC_FSGETXATTR, &x))
		f->owner.projid = x.fsx_projid;
}

static int check_room(const struct volume *v, uint64_t bytes)
{
	struct statvfs s;

	if (fstatvfs(v->root_fd, &s) < 0)
		return -errno;
	if ((uint64_t)s.f_bavail * s.f_frsize < v->rec.reserve + bytes)
		return -ENOSPC;
	return s.f_flag & ST_RDONLY ? -EROFS : 0;
}

int copy_make(struct copy_batch *b, struct copy_file *f, uint64_t bytes)
{
	struct volume *v = b->to;
	int rc = check_room(v, bytes);

	if (!rc)
		rc = f->dst = backing_begin(v, f->ino, f->version, f->to);
	fault_point("move-made");
	if (rc >= 0)
		rc = give_owner(f);
	if (!rc && ftruncate(f->dst, (off_t)f->size) < 0)
		rc = -errno;
	if (rc < 0)
		f->fatal = true;
	return rc;
}

static int copy_near(struct copy_batch *b, struct copy_file *f, char *buf)
{
	struct stat st;
	int rc;

	rc = f->src = backing_open_read(f->source, f->ino, f->version,
					f->from);
	if (rc >= 0)
		rc = fstat(f->src, &st) < 0 ? -errno : 0;
	if (rc < 0)
		return rc;
	f->size = (uint64_t)st.st_size;
	f->mode = st.st_mode & 07777;
	f->times[0] = st.st_atim;
	f->times[1] = st.st_mtim;
	find_owner(f, &st);
	posix_fadvise(f->src, 0, 0, POSIX_FADV_SEQUENTIAL);
	rc = find_runs(f);
	if (!rc)
		rc = copy_make(b, f, (uint64_t)st.st_blocks * 512);
	return rc ? rc : each_chunk(b, f, buf, copy_chunk);
}

static int copy_one(struct copy_batch *b, struct copy_file *f, char *buf)
{
	int rc = f->source ? copy_near(b, f, buf) : copy_far(b, f);

	if (rc)
		return rc;
	return futimens(f->dst, f->times) < 0 ? -errno : 0;
}

/* Who had its layout may write it though he was told not to. */
static int unchanged(struct copy_batch *b, struct copy_file *f)
{
	struct stat st;

	if (!f->source)
		return copy_far_unchanged(b, f);
	if (fstat(f->src, &st) < 0)
		return -errno;
	return (uint64_t)st.st_size == f->size &&
	       st.st_mtim.tv_sec == f->times[1].tv_sec &&
	       st.st_mtim.tv_nsec == f->times[1].tv_nsec ? 0 : -ESTALE;
}

/* From the drive, not from memory. */
static int verify_one(struct copy_batch *b, struct copy_file *f, char *buf)
{
	uint32_t sum = f->sum;
	struct stat st;
	int rc;

	posix_fadvise(f->dst, 0, 0, POSIX_FADV_DONTNEED);
	fcntl(f->dst, F_SETFL, O_DIRECT);	/* where the volume can */
	rc = each_chunk(b, f, buf, verify_chunk);
	if (rc < 0)
		return rc;
	if (fstat(f->dst, &st) < 0)
		return -errno;
	f->blocks = (uint64_t)st.st_blocks;
	rc = unchanged(b, f);
	if (rc || (f->sum == sum && (uint64_t)st.st_size == f->size))
		return rc;
	f->fatal = true;
	return -EBADMSG;
}

/* What has its mode is whole: orchctl rebuild goes by that. */
static int complete_one(struct copy_batch *b, struct copy_file *f, char *buf)
{
	(void)b;
	(void)buf;
	if (!fchmod(f->dst, f->mode ? f->mode : BACKING_MODE))
		return 0;
	f->fatal = true;
	return -errno;
}

static void sync_failed(struct copy_file *f, int rc)
{
	f->rc = rc;
	f->fatal = true;
}

/*
 * All are written back side by side. The files, then the names: XFS and ext4
 * force their logs in order. Files that were made together share directories.
 */
static void sync_all(struct copy_batch *b)
{
	uint64_t dir = UINT64_MAX;
	int rc = 0;

	for (size_t i = 0; i < b->nr; i++)
		if (!b->file[i]->rc)
			sync_file_range(b->file[i]->dst, 0, 0,
					SYNC_FILE_RANGE_WRITE);
	for (size_t i = 0; i < b->nr; i++) {
		struct copy_file *f = b->file[i];

		if (!f->rc && fsync(f->dst) < 0)
			sync_failed(f, -errno);
		atomic_fetch_add(&b->steps, 1);
	}
	for (size_t i = 0; i < b->nr; i++) {
		struct copy_file *f = b->file[i];

		if (f->rc)
			continue;
		if (backing_dir(f->ino) != dir)
			rc = backing_sync(b->to, f->ino, f->ino);
		dir = backing_dir(f->ino);
		if (rc < 0)
			sync_failed(f, rc);
	}
}

/* One that fails for good ends the batch: those after it are not begun. */
static void run_each(struct copy_batch *b, char *buf,
		     int (*fn)(struct copy_batch *b, struct copy_file *f,
			       char *buf))
{
	bool fatal = false;

	for (size_t i = 0; i < b->nr; i++) {
		struct copy_file *f = b->file[i];

		if (!f->rc && (fatal || copy_stopped(b, f)))
			f->rc = -ECANCELED;
		if (!f->rc)
			f->rc = fn(b, f, buf);
		fatal |= f->fatal;
	}
}

/* The modes are durable with the last one: logs are forced in order. */
static void complete_all(struct copy_batch *b, char *buf)
{
	size_t last = b->nr;
	struct stat st;
	int rc = 0;

	run_each(b, buf, complete_one);
	while (last && b->file[last - 1]->rc)
		last--;
	if (last && fsync(b->file[last - 1]->dst) < 0)
		rc = -errno;
	for (size_t i = 0; i < last; i++) {
		struct copy_file *f = b->file[i];

		if (!f->rc && !rc && fstat(f->dst, &st) < 0)
			rc = -errno;
		if (!f->rc && rc)
			sync_failed(f, rc);
		if (f->rc)
			continue;
		f->mtime = st.st_mtim;
		f->ctime = st.st_ctim;
	}
}

static void close_all(struct copy_batch *b)
{
	copy_far_end(b);
	for (size_t i = 0; i < b->nr; i++) {
		struct copy_file *f = b->file[i];

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

void copy_run(struct copy_batch *b)
{
	char *buf = aligned_alloc(ALIGN, CHUNK);

	for (size_t i = 0; i < b->nr && !buf; i++)
		b->file[i]->rc = -ENOMEM;
	run_each(b, buf, copy_one);
	sync_all(b);
	fault_point("move-copied");
	atomic_store(&b->verifying, true);
	run_each(b, buf, verify_one);
	complete_all(b, buf);
	fault_point("move-verified");
	close_all(b);
	free(buf);
}
