// SPDX-License-Identifier: Apache-2.0
/* Volumes: their markers, and their quarantine. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "orchctl.h"
#include "fsck.h"

#define MARKER ".orchfs-volume"
#define MARKER_HEAD "orchfs volume 1\n"

/* While the namespace is served, a second copy decides. */
static void volume_problem(struct fsck *f, const struct fvol *v, uint64_t txn,
			   const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
static void volume_problem(struct fsck *f, const struct fvol *v, uint64_t txn,
			   const char *fmt, ...)
{
	struct fsuspect s = { .rule = RULE_VOLUME, .value = txn };
	va_list ap;
	char *text;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		text = NULL;
	va_end(ap);
	s.b.volume = v->id;
	s.text = text;
	if (text && f->online && !f->confirm)
		suspect_add(f, &s);
	else if (text)
		problem(f, RULE_VOLUME, 0, false, "%s", text);
	free(text);
}

static bool marker_fits(struct fsck *f, const struct fvol *v,
			const Orchfs__Store__Marker *m)
{
	if (m->namespace_uuid.len != 16 ||
	    memcmp(m->namespace_uuid.data, f->uuid, 16)) {
		volume_problem(f, v, 0, "volume %s: %s belongs to namespace %s (%s): another drive is mounted there",
			       v->name, v->path, m->namespace_name,
			       uuid_text(m->namespace_uuid.data,
					 m->namespace_uuid.len));
		return false;
	}
	if (m->volume != v->id || m->volume_uuid.len != 16 ||
	    memcmp(m->volume_uuid.data, v->uuid, 16)) {
		volume_problem(f, v, 0, "volume %s: %s is volume %u of this namespace, not %u: another drive is mounted there",
			       v->name, v->path, m->volume, v->id);
		return false;
	}
	if (m->epoch > f->epoch)
		volume_problem(f, v, 0, "volume %s: it was used by a store that was restored later (%" PRIu64 ", this one %" PRIu64 "): this store is an old copy",
			       v->name, m->epoch, f->epoch);
	else if (m->epoch == f->epoch && m->durable_txn > f->seq && !f->confirm)
		volume_problem(f, v, m->durable_txn, "volume %s: the store was at transaction %" PRIu64 " when it was last used, now it is at %" PRIu64 ": this store is an old copy, or lost data",
			       v->name, m->durable_txn, f->seq);
	return true;
}

static bool marker_ok(struct fsck *f, const struct fvol *v, const uint8_t *p,
		      size_t len)
{
	const size_t head = strlen(MARKER_HEAD);
	Orchfs__Store__Marker *m = NULL;
	uint32_t crc = 0;
	bool ok = false;

	if (len >= head + 4 && !memcmp(p, MARKER_HEAD, head)) {
		crc = p[len - 4] | (uint32_t)p[len - 3] << 8 |
		      (uint32_t)p[len - 2] << 16 | (uint32_t)p[len - 1] << 24;
		p += head;
		len -= head + 4;
		if (crc == crc32c(p, len))
			m = orchfs__store__marker__unpack(NULL, len, p);
	}
	if (!m)
		volume_problem(f, v, 0, "volume %s: %s/" MARKER " is damaged, or of a newer version",
			       v->name, v->path);
	else
		ok = marker_fits(f, v, m);
	if (m)
		orchfs__store__marker__free_unpacked(m, NULL);
	return ok;
}

static bool read_marker(struct fsck *f, const struct fvol *v, int root)
{
	uint8_t buf[4096];
	ssize_t n;
	int fd;

	fd = openat(root, MARKER, O_RDONLY | O_CLOEXEC | O_NOFOLLOW |
		    O_NONBLOCK);
	if (fd < 0) {
		volume_problem(f, v, 0, "volume %s: %s has no " MARKER " (%s): is its drive mounted?",
			       v->name, v->path, strerror(errno));
		return false;
	}
	n = read(fd, buf, sizeof(buf));
	close(fd);
	return marker_ok(f, v, buf, n < 0 ? 0 : (size_t)n);
}

static uint64_t count_quarantined(int root)
{
	int fd = openat(root, "quarantine", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;
	uint64_t n = 0;

	if (!d) {
		if (fd >= 0)
			close(fd);
		return 0;
	}
	while ((e = readdir(d)))
		n += strcmp(e->d_name, ".") && strcmp(e->d_name, "..");
	closedir(d);
	return n;
}

static void check_mode(struct fsck *f, const struct fvol *v, int root)
{
	struct stat st;

	if (fstat(root, &st) || (st.st_mode & 07777) == 0700)
		return;
	if (problem(f, RULE_VOLUME, 0, true,
		    "volume %s: %s has mode %04o instead of 0700: others may read what is on it",
		    v->name, v->path, st.st_mode & 07777) &&
	    fchmod(root, 0700))
		warn("%s: %s", v->path, strerror(errno));
}

static void volume_open(struct fsck *f, struct fvol *v)
{
	int root = open(v->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (root < 0) {
		volume_problem(f, v, 0, "volume %s: %s: %s: is its drive mounted?",
			       v->name, v->path, strerror(errno));
		return;
	}
	if (!read_marker(f, v, root)) {
		close(root);
		return;
	}
	if (!f->confirm)
		check_mode(f, v, root);
	v->root = root;
	v->quarantined = count_quarantined(root);
}

void volumes_open(struct fsck *f)
{
	size_t i;

	for (i = 0; i < f->nr_vols; i++)
		if (f->vols[i].root < 0 && !f->vols[i].home &&
		    f->vols[i].kind !=
		    ORCHFS__STORE__VOLUME_KIND__VOLUME_OBJECT)
			volume_open(f, &f->vols[i]);
}

void volumes_close(struct fsck *f)
{
	size_t i;

	for (i = 0; i < f->nr_vols; i++)
		if (f->vols[i].root >= 0)
			close(f->vols[i].root);
	volumes_free(f);
}

static bool quarantine(const struct fvol *v, const char *path)
{
	const char *base = strrchr(path, '/');
	char *from = xasprintf("data/%s", path), *to;
	bool done = false;
	int i;

	base = base ? base + 1 : path;
	for (i = 0; i < 1000 && !done; i++) {
		to = i ? xasprintf("quarantine/%.240s~%d", base, i) :
		     xasprintf("quarantine/%s", base);
		done = !renameat2(v->root, from, v->root, to, RENAME_NOREPLACE);
		free(to);
		if (!done && errno != EEXIST)
			break;
	}
	free(from);
	return done;
}

int quarantine_moves(struct fsck *f)
{
	struct fvol *v;
	int rc = RC_OK;
	size_t i;

	for (i = 0; i < f->nr_moves; i++) {
		v = volume_of(f, f->moves[i].volume);
		if (!v || v->root < 0)
			continue;
		if (mkdirat(v->root, "quarantine", 0700) && errno != EEXIST)
			rc = fail(RC_FAILED, "%s/quarantine: %s", v->path,
				  strerror(errno));
		else if (quarantine(v, f->moves[i].path))
			v->quarantined++;
		else
			rc = fail(RC_FAILED, "%s/data/%s could not be moved to quarantine: %s",
				  v->path, f->moves[i].path, strerror(errno));
	}
	for (i = 0; i < f->nr_vols && f->nr_moves; i++)
		if (f->vols[i].root >= 0 && syncfs(f->vols[i].root))
			rc = fail(RC_FAILED, "%s: %s", f->vols[i].path,
				  strerror(errno));
	return rc;
}
