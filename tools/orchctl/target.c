// SPDX-License-Identifier: Apache-2.0
/* From a path to (namespace, inode), and the orchfs mounts of this process. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <linux/orchfs.h>

#include "orchctl.h"

/* \040 and the like, as the kernel writes blanks in mountinfo. */
static void unescape(char *s)
{
	char *out = s;

	for (; *s; s++) {
		if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] && s[3]) {
			*out++ = (char)((s[1] - '0') * 64 + (s[2] - '0') * 8 +
					(s[3] - '0'));
			s += 3;
		} else {
			*out++ = *s;
		}
	}
	*out = 0;
}

struct mount_line {
	uint64_t id;
	char *dir, *options, *fstype, *source, *sb_options;
};

/* "36 35 98:0 /root /dir options shared:1 ... - fstype source sb_options" */
static bool parse_line(char *line, struct mount_line *m)
{
	char *save, *f[6], *sep = strstr(line, " - ");
	int i;

	if (!sep)
		return false;
	*sep = 0;
	f[0] = strtok_r(line, " ", &save);
	for (i = 1; i < 6; i++)
		f[i] = f[i - 1] ? strtok_r(NULL, " ", &save) : NULL;
	if (!f[5])
		return false;
	m->id = strtoull(f[0], NULL, 10);
	m->dir = f[4];
	m->options = f[5];
	m->fstype = strtok_r(sep + 3, " ", &save);
	m->source = m->fstype ? strtok_r(NULL, " ", &save) : NULL;
	m->sb_options = m->source ? strtok_r(NULL, " \n", &save) : NULL;
	if (!m->source)
		return false;
	unescape(m->dir);
	unescape(m->source);
	return true;
}

static int each_line(int (*fn)(void *ctx, const struct mount_line *m),
		     void *ctx)
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	struct mount_line m;
	char *line = NULL;
	size_t cap = 0;
	int ret = 0;

	if (!f)
		return fail(-errno, "/proc/self/mountinfo: %s: is /proc mounted?",
			    strerror(errno));
	while (!ret && getline(&line, &cap, f) > 0)
		if (parse_line(line, &m))
			ret = fn(ctx, &m);
	free(line);
	fclose(f);
	return ret;
}

struct mounts_ctx {
	int (*fn)(void *ctx, const char *source, const char *dir,
		  const char *options);
	void *ctx;
};

static int mounts_line(void *ctx, const struct mount_line *m)
{
	struct mounts_ctx *c = ctx;
	const char *sb = m->sb_options;
	char *all;
	int ret;

	if (strcmp(m->fstype, "orchfs"))
		return 0;
	/* The superblock's rw says nothing: read-only is of the mount. */
	sb = sb ? strchr(sb, ',') : NULL;
	all = xasprintf("%s%s", m->options, sb ? sb : "");
	ret = c->fn(c->ctx, m->source, m->dir, all);
	free(all);
	return ret;
}

int each_mount(int (*fn)(void *ctx, const char *source, const char *dir,
			 const char *options), void *ctx)
{
	struct mounts_ctx c = { fn, ctx };

	return each_line(mounts_line, &c);
}

struct source_ctx {
	uint64_t id;
	char *ns;
	size_t size;
};

static int source_line(void *ctx, const struct mount_line *m)
{
	struct source_ctx *c = ctx;

	if (m->id != c->id)
		return 0;
	snprintf(c->ns, c->size, "%.*s", (int)strcspn(m->source, ":"),
		 m->source);
	return 1;
}

/* A path that cannot be opened (a symbolic link, a device) still has a mount:
 * O_PATH opens nothing.
 */
static int resolve_path(const char *path, struct target *out)
{
	struct source_ctx c = { .ns = out->ns, .size = sizeof(out->ns) };
	struct statfs sf;
	struct statx sx;
	int fd;

	fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return fail(RC_FAILED, "%s: %s: give the path of a file or directory on orchfs",
			    path, strerror(errno));
	if (fstatfs(fd, &sf) ||
	    statx(fd, "", AT_EMPTY_PATH, STATX_INO | STATX_MNT_ID, &sx)) {
		fail(RC_FAILED, "%s: %s: see the kernel's log", path,
		     strerror(errno));
		close(fd);
		return RC_FAILED;
	}
	close(fd);
	if ((unsigned long)sf.f_type != ORCHFS_SUPER_MAGIC)
		return fail(RC_FAILED, "%s is not on orchfs: name a file below a mount that 'orchctl mounts' shows",
			    path);
	out->ino = sx.stx_ino;
	if (sx.stx_mask & STATX_MNT_ID) {
		c.id = sx.stx_mnt_id;
		each_line(source_line, &c);
	}
	return RC_OK;
}

int target_resolve(const char *arg, struct target *out)
{
	int rc;

	memset(out, 0, sizeof(*out));
	/* A file whose name is a number is written ./12. */
	if (parse_uint(arg, &out->ino)) {
		rc = resolve_path(arg, out);
		if (rc)
			return rc;
	} else if (!out->ino) {
		return fail(RC_USAGE, "there is no inode 0");
	}
	if (*opts.ns)
		snprintf(out->ns, sizeof(out->ns), "%s", opts.ns);
	return RC_OK;
}
