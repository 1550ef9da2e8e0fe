// SPDX-License-Identifier: GPL-2.0-only
/*
 * opsrand: a directory that all processes use at once. Each rule holds
 * whatever the order of operations:
 *   append   records of all processes, each once, in order for a process
 *   tok      files that are only renamed: none is lost or doubled
 *   claim    a name created with O_EXCL is its creator's alone
 *   links    the link count of one file is the number of its names
 *   perm     names that stay are listed once while others come and go
 *   counter  read, added to and written back under a lock
 */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/file.h>
#include "model.h"

#define NOREPLACE	1
#define EXCHANGE	2
#define TOKEN_NAMES	24
#define TOKENS		10
#define PERM		60
#define CLAIMS		6
#define LINKS		4

struct record {
	uint32_t magic, proc, seq, check;
	char pad[48];
};

#define MAGIC 0x61707021

static uint32_t record_check(const struct record *r)
{
	return r->proc * 2654435761u ^ r->seq * 40503u ^ MAGIC;
}

static void put_file(const char *path, const char *text)
{
	int fd = open(path, O_CREAT | O_EXCL | O_WRONLY, 0666);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		die("opsrand: cannot make %s: %m", path);
	close(fd);
}

static void put_dir(const char *path)
{
	if (mkdir(path, 0777) < 0)
		die("opsrand: cannot make %s: %m", path);
}

void shared_setup(const char *shared, unsigned int procs)
{
	static const char *const dirs[] = {
		"", "/tokA", "/tokB", "/claim", "/links", "/perm",
	};
	char path[PATH_LEN], text[64];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(dirs); i++) {
		snprintf(path, sizeof(path), "%s%s", shared, dirs[i]);
		put_dir(path);
	}
	for (i = 0; i < TOKENS; i++) {
		snprintf(path, sizeof(path), "%s/tokA/n%u", shared, i);
		snprintf(text, sizeof(text), "%u", i);
		put_file(path, text);
	}
	for (i = 0; i < PERM; i++) {
		snprintf(path, sizeof(path), "%s/perm/stay%u", shared, i);
		put_file(path, "");
	}
	snprintf(path, sizeof(path), "%s/append", shared);
	put_file(path, "");
	snprintf(path, sizeof(path), "%s/counter", shared);
	put_file(path, "0");
	snprintf(path, sizeof(path), "%s/links/base", shared);
	put_file(path, "base");
}

static void shared_append(struct proc *p)
{
	char path[PATH_LEN];
	struct record r = { .magic = MAGIC, .proc = p->num };
	ssize_t rc;
	int fd;

	snprintf(path, sizeof(path), "%s/append", p->shared);
	r.seq = p->appended++;
	r.check = record_check(&r);
	memset(r.pad, 'a' + p->num % 26, sizeof(r.pad));
	note(p, NULL, NULL, "shared append %u", r.seq);
	fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
	if (fd < 0)
		fail(p, NULL, "open of %s failed: %m", path);
	rc = write(fd, &r, sizeof(r));
	if (rc != sizeof(r))
		fail(p, NULL, "shared append gives %zd: %m", rc);
	close(fd);
}

static void token_path(struct proc *p, char *path)
{
	sprintf(path, "%s/tok%c/n%u", p->shared, 'A' + below(&p->srng, 2),
		below(&p->srng, TOKEN_NAMES));
}

static void shared_token(struct proc *p)
{
	char a[PATH_LEN], b[PATH_LEN];
	unsigned int flags = one_in(&p->srng, 3) ? EXCHANGE : NOREPLACE;
	int rc;

	token_path(p, a);
	token_path(p, b);
	if (p->unsupported & UNSUP_EXCHANGE)
		flags = NOREPLACE;
	note(p, NULL, NULL, "shared rename %u %s %s", flags, a, b);
	rc = renameat2(AT_FDCWD, a, AT_FDCWD, b, flags);
	if (rc < 0 && errno != ENOENT &&
	    !(errno == EEXIST && flags == NOREPLACE))
		fail(p, NULL, "shared rename (flags %u) of %s to %s: %m", flags,
		     a, b);
}

static void shared_claim(struct proc *p)
{
	char path[PATH_LEN], text[64], got[64] = "";
	struct stat st;
	int fd;

	snprintf(path, sizeof(path), "%s/claim/c%u", p->shared,
		 below(&p->srng, CLAIMS));
	note(p, NULL, NULL, "shared claim %s", path);
	fd = open(path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0 && errno == EEXIST)
		return;
	if (fd < 0)
		fail(p, NULL, "claim of %s failed: %m", path);
	sprintf(text, "process %u op %u", p->num, p->op);
	if (write(fd, text, strlen(text)) != (ssize_t)strlen(text) ||
	    pread(fd, got, sizeof(got) - 1, 0) != (ssize_t)strlen(text) ||
	    strcmp(got, text))
		fail(p, NULL, "claimed %s holds '%s', should hold '%s'", path,
		     got, text);
	if (fstat(fd, &st) < 0 || st.st_nlink != 1)
		fail(p, NULL, "claimed %s has nlink %lu", path,
		     (unsigned long)st.st_nlink);
	if (unlink(path) < 0)
		fail(p, NULL, "unlink of claimed %s failed: %m", path);
	if (fstat(fd, &st) < 0 || st.st_nlink != 0)
		fail(p, NULL, "unlinked %s has nlink %lu", path,
		     (unsigned long)st.st_nlink);
	close(fd);
}

static void shared_link(struct proc *p)
{
	char base[PATH_LEN], path[PATH_LEN];
	struct stat st;

	snprintf(base, sizeof(base), "%s/links/base", p->shared);
	snprintf(path, sizeof(path), "%s/links/p%u.%u", p->shared, p->num,
		 below(&p->srng, LINKS));
	note(p, NULL, NULL, "shared link %s", path);
	if (link(base, path) == 0) {
		if (lstat(path, &st) < 0 || st.st_nlink < 2)
			fail(p, NULL, "%s: nlink %lu after link: %m", path,
			     (unsigned long)st.st_nlink);
		return;
	}
	if (errno != EEXIST)
		fail(p, NULL, "link of %s failed: %m", path);
	if (unlink(path) < 0)
		fail(p, NULL, "unlink of own link %s failed: %m", path);
}

static void shared_perm(struct proc *p)
{
	char path[PATH_LEN];
	bool seen[PERM] = { false };
	unsigned int i, count = 0;
	struct dirent *de;
	DIR *d;

	snprintf(path, sizeof(path), "%s/perm/p%u.%u", p->shared, p->num,
		 below(&p->srng, 8));
	note(p, NULL, NULL, "shared perm %s", path);
	if (mknod(path, S_IFREG | 0600, 0) < 0) {
		if (errno != EEXIST)
			fail(p, NULL, "mknod of %s failed: %m", path);
		if (unlink(path) < 0)
			fail(p, NULL, "unlink of own %s failed: %m", path);
	}
	if (!one_in(&p->srng, 4))
		return;
	snprintf(path, sizeof(path), "%s/perm", p->shared);
	d = opendir(path);
	if (!d)
		fail(p, NULL, "opendir of %s failed: %m", path);
	for (errno = 0; (de = readdir(d)); errno = 0) {
		if (sscanf(de->d_name, "stay%u", &i) != 1)
			continue;
		if (i >= PERM || seen[i])
			fail(p, NULL, "%s lists %s twice", path, de->d_name);
		seen[i] = true;
		count++;
	}
	if (errno || count != PERM)
		fail(p, NULL, "%s lists %u of %u names that stay: %m", path,
		     count, PERM);
	closedir(d);
}

/* flock and OFD locks do not see each other: one kind only, by seed. */
static void shared_counter(struct proc *p)
{
	struct flock fl = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	char path[PATH_LEN], text[32] = "";
	ssize_t len;
	int fd, rc;

	snprintf(path, sizeof(path), "%s/counter", p->shared);
	note(p, NULL, NULL, "shared counter");
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		fail(p, NULL, "open of %s failed: %m", path);
	rc = p->seed % 3 == 0 ? flock(fd, LOCK_EX) :
	     p->seed % 3 == 1 ? fcntl(fd, F_SETLKW, &fl) :
				fcntl(fd, F_OFD_SETLKW, &fl);
	if (rc < 0)
		fail(p, NULL, "lock of %s failed: %m", path);
	len = pread(fd, text, sizeof(text) - 1, 0);
	if (len <= 0)
		fail(p, NULL, "read of %s gives %zd: %m", path, len);
	sprintf(text, "%u", (unsigned int)atoi(text) + 1);
	len = strlen(text);
	if (pwrite(fd, text, len, 0) != len)
		fail(p, NULL, "write of %s failed: %m", path);
	p->tokens++;
	close(fd);
}

void op_shared(struct proc *p)
{
	switch (below(&p->srng, 7)) {
	case 0:
		shared_append(p);
		break;
	case 1: case 2:
		shared_token(p);
		break;
	case 3:
		shared_claim(p);
		break;
	case 4:
		shared_link(p);
		break;
	case 5:
		shared_perm(p);
		break;
	default:
		shared_counter(p);
	}
}

/* ---- verification by the parent ---- */

static void verify_append(const char *shared, unsigned int procs,
			  const unsigned int *appended)
{
	unsigned int *next = xalloc(procs * sizeof(*next)), i;
	char path[PATH_LEN];
	struct record r;
	size_t at = 0;
	FILE *f;

	snprintf(path, sizeof(path), "%s/append", shared);
	f = fopen(path, "r");
	if (!f)
		die("opsrand: open of %s failed: %m", path);
	while (fread(&r, sizeof(r), 1, f) == 1) {
		if (r.magic != MAGIC || r.check != record_check(&r) ||
		    r.proc >= procs)
			die("opsrand: FAILED %s: torn record at %zu", path, at);
		if (r.seq != next[r.proc])
			die("opsrand: FAILED %s: record %u of process %u at %zu, should be %u",
			    path, r.seq, r.proc, at, next[r.proc]);
		next[r.proc]++;
		at += sizeof(r);
	}
	for (i = 0; i < procs; i++)
		if (next[i] != appended[i])
			die("opsrand: FAILED %s: %u records of process %u, should be %u",
			    path, next[i], i, appended[i]);
	fclose(f);
	free(next);
}

static void verify_tokens(const char *shared)
{
	bool seen[TOKENS] = { false };
	char path[PATH_LEN], text[16];
	unsigned int i, d, id, count = 0;
	FILE *f;

	for (d = 0; d < 2; d++) {
		for (i = 0; i < TOKEN_NAMES; i++) {
			snprintf(path, sizeof(path), "%s/tok%c/n%u", shared,
				 'A' + d, i);
			f = fopen(path, "r");
			if (!f && errno == ENOENT)
				continue;
			if (!f || !fgets(text, sizeof(text), f))
				die("opsrand: FAILED %s: %m", path);
			id = atoi(text);
			if (id >= TOKENS || seen[id])
				die("opsrand: FAILED %s: token %u is there twice",
				    path, id);
			seen[id] = true;
			count++;
			fclose(f);
		}
	}
	if (count != TOKENS)
		die("opsrand: FAILED %s: %u of %u renamed files are left",
		    shared, count, TOKENS);
}

static void verify_links(const char *shared, unsigned int procs)
{
	char path[PATH_LEN];
	unsigned int i, k, names = 1;
	struct stat st, base;

	snprintf(path, sizeof(path), "%s/links/base", shared);
	if (stat(path, &base) < 0)
		die("opsrand: FAILED %s: %m", path);
	for (i = 0; i < procs; i++) {
		for (k = 0; k < LINKS; k++) {
			snprintf(path, sizeof(path), "%s/links/p%u.%u", shared,
				 i, k);
			if (stat(path, &st) < 0)
				continue;
			if (st.st_ino != base.st_ino)
				die("opsrand: FAILED %s: not the same inode",
				    path);
			names++;
		}
	}
	if (base.st_nlink != names)
		die("opsrand: FAILED %s/links/base: nlink %lu, %u names",
		    shared, (unsigned long)base.st_nlink, names);
}

static void verify_counter(const char *shared, unsigned int want)
{
	char path[PATH_LEN], text[32] = "";
	FILE *f;

	snprintf(path, sizeof(path), "%s/counter", shared);
	f = fopen(path, "r");
	if (!f || !fgets(text, sizeof(text), f))
		die("opsrand: FAILED %s: %m", path);
	fclose(f);
	if ((unsigned int)atoi(text) != want)
		die("opsrand: FAILED %s: %s, should be %u: a locked update was lost",
		    path, text, want);
}

/* Further members of @counts: [procs .. 2 * procs) counter updates. */
void shared_verify(const char *shared, unsigned int procs,
		   const unsigned int *counts)
{
	unsigned int i, want = 0;

	for (i = 0; i < procs; i++)
		want += counts[procs + i];
	verify_append(shared, procs, counts);
	verify_tokens(shared);
	verify_links(shared, procs);
	verify_counter(shared, want);
}
