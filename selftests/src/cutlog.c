// SPDX-License-Identifier: GPL-2.0-only
/*
 * cutlog: power cuts. Three commands:
 *
 * run     makes files with a journal of what it does, outside the file system
 *         under test. After each sync call it puts a mark into a dm-log-writes
 *         log, so that the log tells what was promised before each write.
 * cuts    replays that log to seeded points, and to each mark that begins with
 *         `cut`, and calls a program at each one, which brings the file system
 *         up on the result.
 * verify  compares what is there with journal and marks: all that was synced
 *         is there, the names are those after some number of operations, and
 *         each sector is one that was written to that place of that file.
 *
 * Between two flushes any subset of the writes may have reached the drive: half
 * of the cuts apply a random subset of what follows the last flush.
 */
#include <dirent.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <linux/dm-ioctl.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include "util.h"

#define SECTOR		512
#define UNIT		1024		/* smallest write */
#define UNITS_MAX	96		/* of a file */
#define NAME_LEN	40
#define PROCS_MAX	16

enum kind {
	OP_CREATE, OP_WRITE, OP_TRUNC, OP_RENAME, OP_LINK, OP_UNLINK,
	OP_MKDIR, OP_RMDIR, OP_XATTR, OP_FSYNC, OP_FSYNCDIR, OP_SYNC,
};

/* One operation in a process's journal; its number is its place there. */
struct op {
	uint32_t kind, id, first, count;
	char name[NAME_LEN];		/* below the process's directory */
	char name2[NAME_LEN];
};

/* What each sector of a file holds. */
struct stamp {
	uint32_t magic, proc, id, unit, sector, version;
	uint32_t rest[(SECTOR - 24) / 4];
};

#define STAMP_MAGIC 0x63757421

static struct {
	const char *dir, *journal, *mark, *log, *base, *tail, *hook, *marks;
	uint64_t seed;
	unsigned int ops, procs, cuts, lose;
} opt = { .ops = 250, .procs = 4, .cuts = 10, .tail = "/dev/mapper/cutsnap" };

static void stamp_fill(struct stamp *s, uint32_t proc, uint32_t id,
		       uint32_t unit, uint32_t sector, uint32_t version)
{
	unsigned int i;

	s->magic = STAMP_MAGIC;
	s->proc = proc;
	s->id = id;
	s->unit = unit;
	s->sector = sector;
	s->version = version;
	for (i = 0; i < ARRAY_SIZE(s->rest); i++)
		s->rest[i] = (version * 2654435761u) ^ (id << 20) ^
			     (unit << 8) ^ i;
}

/* ======================= run ======================= */

struct file {
	uint32_t id;
	char name[NAME_LEN];		/* one of its names, "" when gone */
	char extra[NAME_LEN];		/* a second one or "" */
	uint32_t units;
};

#define FILES 24
#define DIRS 3

struct runner {
	unsigned int num, op;
	struct rng rng;
	FILE *journal;
	struct file files[FILES];
	char dirs[DIRS][NAME_LEN];
	uint32_t next_id, next_name;
	char path[PATH_MAX], path2[PATH_MAX];
};

static void put_mark(const char *text)
{
	struct {
		struct dm_ioctl dmi;
		struct dm_target_msg msg;
		char text[96];
	} m = { 0 };
	static int fd = -1;

	if (!opt.mark)
		return;
	if (fd < 0)
		fd = open("/dev/mapper/control", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		die("cutlog: /dev/mapper/control: %m");
	m.dmi.version[0] = DM_VERSION_MAJOR;
	m.dmi.data_size = sizeof(m);
	m.dmi.data_start = sizeof(m.dmi);
	snprintf(m.dmi.name, sizeof(m.dmi.name), "%s", opt.mark);
	snprintf(m.text, sizeof(m.text), "mark %s", text);
	if (ioctl(fd, DM_TARGET_MSG, &m) < 0)
		die("cutlog: dm message '%s' to %s: %m", m.text, opt.mark);
}

static const char *at(struct runner *r, const char *name)
{
	snprintf(r->path, sizeof(r->path), "%s/p%u/%s", opt.dir, r->num, name);
	return r->path;
}

static const char *at2(struct runner *r, const char *name)
{
	snprintf(r->path2, sizeof(r->path2), "%s/p%u/%s", opt.dir, r->num,
		 name);
	return r->path2;
}

/* Written before the operation: what is in the tree is in the journal. */
static void journal(struct runner *r, const struct op *op)
{
	if (fwrite(op, sizeof(*op), 1, r->journal) != 1 || fflush(r->journal))
		die("cutlog: journal: %m");
	r->op++;
}

static struct op make_op(enum kind kind, uint32_t id, const char *name,
			 const char *name2)
{
	struct op op = { .kind = kind, .id = id };

	snprintf(op.name, sizeof(op.name), "%s", name ? name : "");
	snprintf(op.name2, sizeof(op.name2), "%s", name2 ? name2 : "");
	return op;
}

#define MUST(call) do {						\
	if ((call) < 0)						\
		die("cutlog: FAILED process %u op %u: %s: %m",	\
		    r->num, r->op, #call);			\
} while (0)

static void new_name(struct runner *r, char *name)
{
	const char *dir = r->dirs[below(&r->rng, DIRS)];

	if (*dir && one_in(&r->rng, 2))
		snprintf(name, NAME_LEN, "%s/n%u", dir, r->next_name++);
	else
		snprintf(name, NAME_LEN, "n%u", r->next_name++);
}

static struct file *pick_file(struct runner *r)
{
	struct file *f = &r->files[below(&r->rng, FILES)];

	return f->name[0] ? f : NULL;
}

static void run_create(struct runner *r)
{
	struct file *f = &r->files[below(&r->rng, FILES)];
	struct op op;
	int fd;

	if (f->name[0])
		return;
	memset(f, 0, sizeof(*f));
	f->id = ++r->next_id;
	new_name(r, f->name);
	op = make_op(OP_CREATE, f->id, f->name, NULL);
	journal(r, &op);
	fd = open(at(r, f->name), O_CREAT | O_EXCL | O_RDWR, 0644);
	MUST(fd);
	close(fd);
}

static void run_write(struct runner *r, struct file *f)
{
	struct op op = make_op(OP_WRITE, f->id, f->name, NULL);
	unsigned int i, sectors = UNIT / SECTOR;
	struct stamp *buf;
	ssize_t len;
	int fd;

	op.first = one_in(&r->rng, 2) ? f->units :
					below(&r->rng, f->units + 4);
	op.count = 1 + below(&r->rng, 12);
	if (op.first + op.count > UNITS_MAX)
		return;
	journal(r, &op);
	len = op.count * UNIT;
	buf = xalloc(len);
	for (i = 0; i < op.count * sectors; i++)
		stamp_fill(&buf[i], r->num, f->id, op.first + i / sectors,
			   i % sectors, r->op);
	fd = open(at(r, f->name), O_WRONLY);
	MUST(fd);
	if (pwrite(fd, buf, len, (off_t)op.first * UNIT) != len)
		die("cutlog: FAILED write of %s: %m", r->path);
	close(fd);
	free(buf);
	if (op.first + op.count > f->units)
		f->units = op.first + op.count;
}

static void run_trunc(struct runner *r, struct file *f)
{
	struct op op = make_op(OP_TRUNC, f->id, f->name, NULL);

	op.first = below(&r->rng, f->units + 1);
	journal(r, &op);
	MUST(truncate(at(r, f->name), (off_t)op.first * UNIT));
	f->units = op.first;
}

/* Often over another file, which is how programs replace files. */
static void run_rename(struct runner *r, struct file *f)
{
	struct file *over = one_in(&r->rng, 2) ? pick_file(r) : NULL;
	char name[NAME_LEN];
	struct op op;

	if (over == f)
		return;
	if (over)
		strcpy(name, over->name);
	else
		new_name(r, name);
	op = make_op(OP_RENAME, f->id, f->name, name);
	journal(r, &op);
	at(r, f->name);
	MUST(rename(r->path, at2(r, name)));
	strcpy(f->name, name);
	if (over) {
		strcpy(over->name, over->extra);
		over->extra[0] = '\0';
	}
}

static void run_link(struct runner *r, struct file *f)
{
	struct op op;

	if (f->extra[0])
		return;
	new_name(r, f->extra);
	op = make_op(OP_LINK, f->id, f->name, f->extra);
	journal(r, &op);
	at(r, f->name);
	MUST(link(r->path, at2(r, f->extra)));
}

static void run_unlink(struct runner *r, struct file *f)
{
	struct op op = make_op(OP_UNLINK, f->id, f->name, NULL);

	journal(r, &op);
	MUST(unlink(at(r, f->name)));
	strcpy(f->name, f->extra);
	f->extra[0] = '\0';
}

static void run_dir(struct runner *r)
{
	unsigned int d = below(&r->rng, DIRS);
	struct op op;

	if (r->dirs[d][0])
		return;
	snprintf(r->dirs[d], NAME_LEN, "d%u", r->next_name++);
	op = make_op(OP_MKDIR, 0, r->dirs[d], NULL);
	journal(r, &op);
	MUST(mkdir(at(r, r->dirs[d]), 0755));
}

static void run_xattr(struct runner *r, struct file *f)
{
	struct op op = make_op(OP_XATTR, f->id, f->name, NULL);
	uint32_t version = r->op + 1;

	journal(r, &op);
	MUST(setxattr(at(r, f->name), "user.v", &version, sizeof(version), 0));
}

/* Number @op is done and its promise holds from here. */
static void promise(struct runner *r)
{
	char text[64];

	snprintf(text, sizeof(text), "p%u.%u", r->num, r->op);
	put_mark(text);
}

static void run_fsync(struct runner *r, struct file *f)
{
	struct op op = make_op(OP_FSYNC, f->id, f->name, NULL);
	int fd;

	fd = open(at(r, f->name), O_RDWR);
	MUST(fd);
	journal(r, &op);
	MUST(one_in(&r->rng, 2) ? fsync(fd) : fdatasync(fd));
	promise(r);
	close(fd);
}

static void run_fsync_dir(struct runner *r)
{
	struct op op = make_op(OP_FSYNCDIR, 0, ".", NULL);
	int fd = open(at(r, "."), O_RDONLY | O_DIRECTORY);

	MUST(fd);
	journal(r, &op);
	MUST(fsync(fd));
	promise(r);
	close(fd);
}

static void run_sync(struct runner *r)
{
	struct op op = make_op(OP_SYNC, 0, ".", NULL);
	int fd = open(at(r, "."), O_RDONLY | O_DIRECTORY);

	MUST(fd);
	journal(r, &op);
	MUST(syncfs(fd));
	promise(r);
	close(fd);
}

static void run_one(struct runner *r)
{
	unsigned int dice = below(&r->rng, 100);
	struct file *f = pick_file(r);

	if (dice < 20 || !f)
		run_create(r);
	else if (dice < 50)
		run_write(r, f);
	else if (dice < 54)
		run_trunc(r, f);
	else if (dice < 64)
		run_rename(r, f);
	else if (dice < 67)
		run_link(r, f);
	else if (dice < 73)
		run_unlink(r, f);
	else if (dice < 76)
		run_dir(r);
	else if (dice < 80)
		run_xattr(r, f);
	else if (dice < 94)
		run_fsync(r, f);
	else if (dice < 98)
		run_fsync_dir(r);
	else
		run_sync(r);
}

static int run_proc(unsigned int num)
{
	struct runner *r = xalloc(sizeof(*r));

	r->num = num;
	r->rng.state = opt.seed * 31 + num;
	snprintf(r->path, sizeof(r->path), "%s/p%u.journal", opt.journal, num);
	r->journal = fopen(r->path, "w");
	if (!r->journal)
		die("cutlog: %s: %m", r->path);
	while (r->op < opt.ops)
		run_one(r);
	return 0;
}

static int cmd_run(void)
{
	char path[PATH_MAX];
	unsigned int i, bad = 0;
	int status, fd;

	/* the directories themselves are there before the first cut */
	for (i = 0; i < opt.procs; i++) {
		snprintf(path, sizeof(path), "%s/p%u", opt.dir, i);
		if (mkdir(path, 0755) < 0)
			die("cutlog: mkdir %s: %m", path);
	}
	fd = open(opt.dir, O_RDONLY);
	if (fd < 0 || syncfs(fd) < 0)
		die("cutlog: syncfs: %m");
	close(fd);
	put_mark("begin");
	for (i = 0; i < opt.procs; i++)
		if (fork() == 0)
			_exit(run_proc(i));
	while (wait(&status) > 0)
		bad += status != 0;
	put_mark("end");
	return bad ? 1 : 0;
}

/* ======================= cuts ======================= */

/* As the kernel's drivers/md/dm-log-writes.c writes them, little-endian. */
struct log_super {
	uint64_t magic, version, nr_entries;
	uint32_t sectorsize;
};

struct log_entry {
	uint64_t sector, nr_sectors, flags, data_len;
};

#define LOG_MAGIC	0x6a736677736872ULL
#define LOG_FLUSH	1
#define LOG_FUA		2
#define LOG_DISCARD	4
#define LOG_MARK	8

struct item {
	struct log_entry e;
	off_t data;
	char mark[40];
};

static struct item *items;
static uint64_t nr_items;
static uint32_t lsize;
static int log_fd;

static void read_log(void)
{
	struct log_super s;
	char buf[4096];
	uint64_t i;
	off_t pos;

	log_fd = open(opt.log, O_RDONLY);
	if (log_fd < 0 || pread(log_fd, buf, 4096, 0) != 4096)
		die("cutlog: %s: %m", opt.log);
	memcpy(&s, buf, sizeof(s));
	if (s.magic != LOG_MAGIC || s.version != 1 || s.sectorsize > 4096)
		die("cutlog: %s holds no log of dm-log-writes", opt.log);
	lsize = s.sectorsize;
	nr_items = s.nr_entries;
	items = xalloc(nr_items * sizeof(*items));
	for (i = 0, pos = lsize; i < nr_items; i++) {
		struct item *it = &items[i];

		if (pread(log_fd, buf, lsize, pos) != (ssize_t)lsize)
			die("cutlog: log ends at entry %llu of %llu",
			    (unsigned long long)i,
			    (unsigned long long)nr_items);
		memcpy(&it->e, buf, sizeof(it->e));
		it->data = pos + lsize;
		if (it->e.flags & LOG_MARK) {
			if (it->e.data_len >= sizeof(it->mark))
				die("cutlog: mark of %llu bytes",
				    (unsigned long long)it->e.data_len);
			memcpy(it->mark, buf + sizeof(it->e), it->e.data_len);
		}
		pos = it->data;
		if (!(it->e.flags & LOG_DISCARD))
			pos += it->e.nr_sectors * lsize;
	}
}

static void apply(int fd, const struct item *it)
{
	off_t len = it->e.nr_sectors * lsize, at = it->e.sector * lsize, done;
	static char buf[1 << 17];

	if (it->e.flags & (LOG_MARK | LOG_DISCARD))
		return;
	for (done = 0; done < len;) {
		size_t part = len - done > (off_t)sizeof(buf) ?
			      sizeof(buf) : (size_t)(len - done);

		if (pread(log_fd, buf, part, it->data + done) != (ssize_t)part)
			die("cutlog: read of the log: %m");
		if (pwrite(fd, buf, part, at + done) != (ssize_t)part)
			die("cutlog: write of the replay: %m");
		done += part;
	}
}

static uint64_t find_mark(const char *mark)
{
	uint64_t i;

	for (i = 0; i < nr_items; i++)
		if (!strcmp(items[i].mark, mark))
			return i;
	die("cutlog: the log has no mark '%s'", mark);
}

/* The last promise to each process before the cut. */
static void write_marks(uint64_t cut)
{
	unsigned int last[PROCS_MAX] = { 0 }, p, n;
	uint64_t i;
	FILE *f;

	for (i = 0; i < cut; i++)
		if (sscanf(items[i].mark, "p%u.%u", &p, &n) == 2 &&
		    p < PROCS_MAX)
			last[p] = n;
	f = fopen(opt.marks, "w");
	if (!f)
		die("cutlog: %s: %m", opt.marks);
	for (p = 0; p < PROCS_MAX; p++)
		fprintf(f, "%u %u\n", p, last[p]);
	if (fclose(f))
		die("cutlog: %s: %m", opt.marks);
}

static void hook(const char *what, uint64_t cut)
{
	char cmd[PATH_MAX];

	snprintf(cmd, sizeof(cmd), "%s %s %llu", opt.hook, what,
		 (unsigned long long)cut);
	fflush(stdout);
	if (system(cmd) != 0)
		die("cutlog: FAILED at the cut before log entry %llu (seed %llu): %s",
		    (unsigned long long)cut, (unsigned long long)opt.seed, cmd);
}

struct cut {
	uint64_t at;
	bool drop;
};

static int compare(const void *a, const void *b)
{
	const struct cut *x = a, *y = b;

	return x->at < y->at ? -1 : x->at > y->at;
}

/* What follows the last flush: all of it or any part. FUA writes are there. */
static unsigned int apply_tail(uint64_t from, uint64_t cut, struct rng *rng,
			       bool part)
{
	unsigned int dropped = 0;
	uint64_t i;
	int fd = open(opt.tail, O_RDWR);

	if (fd < 0)
		die("cutlog: %s: %m", opt.tail);
	for (i = from; i < cut; i++) {
		if (part && !(items[i].e.flags & (LOG_FUA | LOG_MARK)) &&
		    one_in(rng, 2))
			dropped++;
		else
			apply(fd, &items[i]);
	}
	if (fsync(fd) < 0)
		die("cutlog: fsync %s: %m", opt.tail);
	close(fd);
	return dropped;
}

/*
 * Every other cut falls where several writes wait for a flush, as far as there
 * are such places.
 */
static uint64_t pick_cut(struct rng *rng, uint64_t begin, uint64_t end,
			 bool busy)
{
	unsigned int tries, waiting = 0;
	uint64_t cut, i;

	for (tries = 0; tries < 1000; tries++) {
		cut = begin + 1 + rnd(rng) % (end - begin);
		for (i = cut, waiting = 0; busy && i > begin; i--) {
			if (items[i - 1].e.flags & LOG_FLUSH)
				break;
			waiting += !(items[i - 1].e.flags &
				     (LOG_MARK | LOG_FUA));
		}
		if (!busy || waiting > 2)
			break;
	}
	return cut;
}

static bool is_cut_mark(const struct item *item)
{
	return !strncmp(item->mark, "cut", 3);
}

/* The random cuts, and one at each mark that wants one. */
static struct cut *choose_cuts(struct rng *rng, uint64_t begin, uint64_t end,
			       unsigned int *nr)
{
	unsigned int k, marks = 0;
	struct cut *cut;
	uint64_t i;

	for (i = begin; i < end; i++)
		marks += is_cut_mark(&items[i]);
	cut = xalloc((opt.cuts + marks) * sizeof(*cut));
	for (k = 0; k < opt.cuts; k++) {
		cut[k].drop = k % 2;
		cut[k].at = pick_cut(rng, begin, end, cut[k].drop);
	}
	for (i = begin; i < end; i++) {
		if (!is_cut_mark(&items[i]))
			continue;
		cut[k].drop = k % 2;
		cut[k++].at = i;
	}
	qsort(cut, k, sizeof(*cut), compare);
	*nr = k;
	return cut;
}

/*
 * Every other of the cuts drops a part of the writes that were not flushed.
 * With --lose it drops writes that were flushed, too, and must be noticed.
 */
static int cmd_cuts(void)
{
	uint64_t pos = 0, flush, i, begin, end;
	struct rng rng = { opt.seed };
	unsigned int k, nr, dropped;
	struct cut *cut;
	int base;

	read_log();
	begin = find_mark("begin");
	end = find_mark("end");
	printf("cutlog: seed %llu, log of %llu entries, cuts between %llu and %llu\n",
	       (unsigned long long)opt.seed, (unsigned long long)nr_items,
	       (unsigned long long)begin, (unsigned long long)end);
	cut = choose_cuts(&rng, begin, end, &nr);
	for (k = 0; k < nr; k++) {
		base = open(opt.base, O_RDWR);
		if (base < 0)
			die("cutlog: %s: %m", opt.base);
		flush = pos;
		for (i = pos; i + opt.lose < cut[k].at; i++)
			if (items[i].e.flags & LOG_FLUSH)
				flush = i + 1;
		for (; pos < flush; pos++)
			apply(base, &items[pos]);
		if (fsync(base) < 0)
			die("cutlog: fsync %s: %m", opt.base);
		close(base);
		write_marks(cut[k].at);
		hook("prepare", cut[k].at);
		dropped = apply_tail(pos, cut[k].at, &rng,
				     cut[k].drop || opt.lose);
		printf("cutlog: cut %u of %u before entry %llu, %llu not flushed, %u of them dropped\n",
		       k + 1, nr, (unsigned long long)cut[k].at,
		       (unsigned long long)(cut[k].at - pos), dropped);
		hook("check", cut[k].at);
	}
	printf("cutlog: %u cuts passed\n", nr);
	return 0;
}

/* ======================= verify ======================= */

struct name {
	char path[NAME_LEN];
	uint32_t id;			/* 0: directory */
};

struct verifier {
	unsigned int num;
	struct op *ops;
	unsigned int nops, promised;	/* operations 1..promised */
	struct name *names;		/* the model */
	unsigned int nnames;
	struct name *found;		/* the file system */
	unsigned int nfound;
};

#define NAMES_MAX 4096

static struct name *find_name(struct name *names, unsigned int n,
			      const char *path)
{
	unsigned int i;

	for (i = 0; i < n; i++)
		if (!strcmp(names[i].path, path))
			return &names[i];
	return NULL;
}

static void add_name(struct verifier *v, const char *path, uint32_t id)
{
	if (v->nnames == NAMES_MAX)
		die("cutlog: too many names");
	snprintf(v->names[v->nnames].path, NAME_LEN, "%s", path);
	v->names[v->nnames++].id = id;
}

static void del_name(struct verifier *v, const char *path)
{
	struct name *n = find_name(v->names, v->nnames, path);

	if (n)
		*n = v->names[--v->nnames];
}

static bool model_step(struct verifier *v, const struct op *op)
{
	switch (op->kind) {
	case OP_CREATE:
		add_name(v, op->name, op->id);
		return true;
	case OP_MKDIR:
		add_name(v, op->name, 0);
		return true;
	case OP_LINK:
		add_name(v, op->name2, op->id);
		return true;
	case OP_UNLINK:
		del_name(v, op->name);
		return true;
	case OP_RENAME:
		del_name(v, op->name2);
		del_name(v, op->name);
		add_name(v, op->name2, op->id);
		return true;
	}
	return false;
}

static void find_names(struct verifier *v, const char *below_)
{
	char path[PATH_MAX], rel[PATH_MAX];
	struct dirent *de;
	struct stat st;
	DIR *d;

	snprintf(path, sizeof(path), "%s/p%u/%s", opt.dir, v->num, below_);
	d = opendir(path);
	if (!d)
		die("cutlog: FAILED %s: %m", path);
	while ((de = readdir(d))) {
		if (de->d_name[0] == '.')
			continue;
		snprintf(rel, sizeof(rel), "%s%s%s", below_,
			 *below_ ? "/" : "", de->d_name);
		if (fstatat(dirfd(d), de->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			die("cutlog: FAILED stat %s: %m", rel);
		if (v->nfound == NAMES_MAX || strlen(rel) >= NAME_LEN)
			die("cutlog: FAILED strange name %s", rel);
		strcpy(v->found[v->nfound].path, rel);
		v->found[v->nfound++].id = S_ISDIR(st.st_mode) ? 0 : 1;
		if (S_ISDIR(st.st_mode))
			find_names(v, rel);
	}
	closedir(d);
}

static bool same_names(struct verifier *v, const char **odd)
{
	struct name *n;
	unsigned int i;

	for (i = 0; i < v->nfound; i++) {
		n = find_name(v->names, v->nnames, v->found[i].path);
		if (!n || !n->id != !v->found[i].id) {
			*odd = v->found[i].path;
			return false;
		}
	}
	for (i = 0; i < v->nnames; i++) {
		if (!find_name(v->found, v->nfound, v->names[i].path)) {
			*odd = v->names[i].path;
			return false;
		}
	}
	return true;
}

/* What a file must at least hold, by the operations up to the last promise. */
struct floor {
	uint32_t version[UNITS_MAX];	/* 0: none promised */
	uint32_t xattr;
	uint32_t size;			/* units */
};

static void floor_of(struct verifier *v, uint32_t id, struct floor *fl)
{
	struct floor now = { 0 };
	unsigned int i, u;

	memset(fl, 0, sizeof(*fl));
	for (i = 0; i < v->nops; i++) {
		const struct op *op = &v->ops[i];

		if (op->id == id && op->kind == OP_WRITE) {
			for (u = 0; u < op->count; u++)
				now.version[op->first + u] = i + 1;
			if (op->first + op->count > now.size)
				now.size = op->first + op->count;
		} else if (op->id == id && op->kind == OP_TRUNC) {
			for (u = op->first; u < UNITS_MAX; u++)
				now.version[u] = 0;
			now.size = op->first;
			/* it may have happened: what it cuts is not promised */
			for (u = op->first; u < UNITS_MAX; u++)
				fl->version[u] = 0;
			if (fl->size > op->first)
				fl->size = op->first;
		} else if (op->id == id && op->kind == OP_XATTR) {
			now.xattr = i + 1;
		} else if (i < v->promised &&
			   (op->kind == OP_SYNC ||
			    (op->kind == OP_FSYNC && op->id == id))) {
			*fl = now;
		}
	}
}

/* Number of the last name operation that the promises contain. */
static unsigned int names_floor(struct verifier *v)
{
	unsigned int i, k, low = 0;

	for (i = 0; i < v->promised; i++) {
		const struct op *op = &v->ops[i];

		if (op->kind != OP_FSYNC && op->kind != OP_FSYNCDIR &&
		    op->kind != OP_SYNC)
			continue;
		for (k = i; k > low; k--) {
			const struct op *n = &v->ops[k - 1];

			if (n->kind > OP_RMDIR || n->kind == OP_WRITE ||
			    n->kind == OP_TRUNC)
				continue;
			if (op->kind == OP_FSYNC && n->id != op->id)
				continue;
			low = k;
			break;
		}
	}
	return low;
}

static bool is_zero(const struct stamp *s)
{
	static const struct stamp zero;

	return !memcmp(s, &zero, sizeof(zero));
}

/* Was this version of this unit ever written? */
static bool was_written(struct verifier *v, const struct stamp *s)
{
	const struct op *op;

	if (!s->version || s->version > v->nops)
		return false;
	op = &v->ops[s->version - 1];
	return op->kind == OP_WRITE && op->id == s->id &&
	       s->unit >= op->first && s->unit < op->first + op->count;
}

static char why[512];

#define WRONG(...) do {					\
	snprintf(why, sizeof(why), __VA_ARGS__);	\
	return false;					\
} while (0)

static bool check_sector(struct verifier *v, uint32_t id, const char *path,
			 const struct stamp *s, unsigned int index,
			 const struct floor *fl)
{
	unsigned int unit = index / (UNIT / SECTOR);
	struct stamp want;

	if (is_zero(s)) {
		if (fl->version[unit])
			WRONG("%s: unit %u is zeros, version %u was synced",
			      path, unit, fl->version[unit]);
		return true;
	}
	if (s->magic != STAMP_MAGIC)
		WRONG("%s: unit %u holds garbage (%08x)", path, unit, s->magic);
	if (s->proc != v->num || s->id != id || s->unit != unit)
		WRONG("%s: unit %u of file %u holds bytes of process %u file %u unit %u",
		      path, unit, id, s->proc, s->id, s->unit);
	stamp_fill(&want, s->proc, s->id, s->unit, index % (UNIT / SECTOR),
		   s->version);
	if (memcmp(&want, s, sizeof(want)))
		WRONG("%s: unit %u is damaged", path, unit);
	if (!was_written(v, s))
		WRONG("%s: unit %u is of version %u, which was never written",
		      path, unit, s->version);
	if (s->version < fl->version[unit])
		WRONG("%s: unit %u is of version %u, version %u was synced",
		      path, unit, s->version, fl->version[unit]);
	return true;
}

static bool check_file(struct verifier *v, const struct name *n)
{
	static struct stamp buf[UNITS_MAX * UNIT / SECTOR + 1];
	char path[PATH_MAX];
	struct floor fl;
	uint32_t xattr = 0;
	ssize_t len;
	int fd, i;

	snprintf(path, sizeof(path), "%s/p%u/%s", opt.dir, v->num, n->path);
	fd = open(path, O_RDONLY);
	if (fd < 0)
		WRONG("%s cannot be opened: %m", path);
	len = read(fd, buf, sizeof(buf));
	close(fd);
	if (len < 0)
		WRONG("%s cannot be read: %m", path);
	floor_of(v, n->id, &fl);
	if (len < (ssize_t)fl.size * UNIT)
		WRONG("%s has %zd bytes, %u were synced", path, len,
		      fl.size * UNIT);
	if (len > UNITS_MAX * UNIT || len % SECTOR)
		WRONG("%s has %zd bytes", path, len);
	for (i = 0; i < len / SECTOR; i++)
		if (!check_sector(v, n->id, path, &buf[i], i, &fl))
			return false;
	if (getxattr(path, "user.v", &xattr, sizeof(xattr)) < 0 && fl.xattr)
		WRONG("%s: xattr %u was synced, there is none: %m", path,
		      fl.xattr);
	if (xattr < fl.xattr || xattr > v->nops)
		WRONG("%s: xattr is %u, %u was synced", path, xattr, fl.xattr);
	return true;
}

static bool check_files(struct verifier *v)
{
	unsigned int i;

	for (i = 0; i < v->nnames; i++)
		if (v->names[i].id && !check_file(v, &v->names[i]))
			return false;
	return true;
}

static void load_journal(struct verifier *v)
{
	char path[PATH_MAX];
	struct stat st;
	FILE *f;

	snprintf(path, sizeof(path), "%s/p%u.journal", opt.journal, v->num);
	f = fopen(path, "r");
	if (!f || fstat(fileno(f), &st) < 0)
		die("cutlog: %s: %m", path);
	v->nops = st.st_size / sizeof(struct op);
	v->ops = xalloc((v->nops + 1) * sizeof(struct op));
	if (fread(v->ops, sizeof(struct op), v->nops, f) != v->nops)
		die("cutlog: %s: %m", path);
	fclose(f);
}

/* Some number of name operations must explain what is there. */
static bool verify_proc(struct verifier *v)
{
	unsigned int k, low, matches = 0, closest = 0;
	const char *odd = "?";
	char first_why[512] = "", odd_low[NAME_LEN] = "";

	load_journal(v);
	if (v->promised > v->nops)
		die("cutlog: promise %u, journal of %u", v->promised, v->nops);
	find_names(v, "");
	low = names_floor(v);
	for (k = 0; k <= v->nops; k++) {
		if (k && !model_step(v, &v->ops[k - 1]) && k != low)
			continue;
		if (!same_names(v, &odd)) {
			if (k == low)
				snprintf(odd_low, sizeof(odd_low), "%s", odd);
			continue;
		}
		closest = k;
		if (k < low)
			continue;
		if (check_files(v)) {
			printf("cutlog: process %u: %u of %u operations promised, names of %u, %u names\n",
			       v->num, v->promised, v->nops, k, v->nnames);
			return true;
		}
		if (!matches++)
			strcpy(first_why, why);
	}
	if (matches)
		fprintf(stderr, "cutlog: FAILED %s\n", first_why);
	else if (closest)
		fprintf(stderr, "cutlog: FAILED process %u: the names are those after %u operations, %u were synced\n",
			v->num, closest, low);
	else
		fprintf(stderr, "cutlog: FAILED process %u: no prefix of the operations gives these names (%u were synced, '%s' differs there)\n",
			v->num, low, odd_low);
	return false;
}

static int cmd_verify(void)
{
	struct verifier v[PROCS_MAX] = { 0 };
	unsigned int p, n, bad = 0;
	FILE *f = fopen(opt.marks, "r");

	if (!f)
		die("cutlog: %s: %m", opt.marks);
	while (fscanf(f, "%u %u", &p, &n) == 2)
		if (p < PROCS_MAX)
			v[p].promised = n;
	fclose(f);
	for (p = 0; p < opt.procs; p++) {
		v[p].num = p;
		v[p].names = xalloc(NAMES_MAX * sizeof(struct name));
		v[p].found = xalloc(NAMES_MAX * sizeof(struct name));
		bad += !verify_proc(&v[p]);
	}
	return bad ? 1 : 0;
}

/* ======================= */

static const struct option longopts[] = {
	{ "dir", required_argument, NULL, 'd' },
	{ "journal", required_argument, NULL, 'j' },
	{ "mark", required_argument, NULL, 'm' },
	{ "log", required_argument, NULL, 'l' },
	{ "base", required_argument, NULL, 'b' },
	{ "tail", required_argument, NULL, 't' },
	{ "hook", required_argument, NULL, 'h' },
	{ "marks", required_argument, NULL, 'M' },
	{ "seed", required_argument, NULL, 's' },
	{ "ops", required_argument, NULL, 'n' },
	{ "procs", required_argument, NULL, 'p' },
	{ "lose", required_argument, NULL, 'L' },
	{ "cuts", required_argument, NULL, 'c' },
	{ }
};

static const char usage[] =
	"usage: cutlog run --dir DIR --journal DIR [--mark DM-NAME] [--ops N] [--procs N]\n"
	"       cutlog cuts --log DEV --base DEV --tail DEV --hook CMD --marks FILE [--cuts N] [--lose N]\n"
	"       cutlog verify --dir DIR --journal DIR --marks FILE [--procs N]\n"
	"all with [--seed N]";

int main(int argc, char **argv)
{
	int c;

	opt.seed = default_seed();
	setvbuf(stdout, NULL, _IOLBF, 0);
	while ((c = getopt_long(argc, argv, "", longopts, NULL)) != -1) {
		switch (c) {
		case 'd': opt.dir = optarg; break;
		case 'j': opt.journal = optarg; break;
		case 'm': opt.mark = optarg; break;
		case 'l': opt.log = optarg; break;
		case 'b': opt.base = optarg; break;
		case 't': opt.tail = optarg; break;
		case 'h': opt.hook = optarg; break;
		case 'M': opt.marks = optarg; break;
		case 's': opt.seed = parse_num("--seed", optarg); break;
		case 'n': opt.ops = parse_num("--ops", optarg); break;
		case 'p': opt.procs = parse_num("--procs", optarg); break;
		case 'L': opt.lose = parse_num("--lose", optarg); break;
		case 'c': opt.cuts = parse_num("--cuts", optarg); break;
		default: die("%s", usage);
		}
	}
	if (optind != argc - 1 || !opt.procs || opt.procs > PROCS_MAX)
		die("%s", usage);
	if (!strcmp(argv[optind], "run") && opt.dir && opt.journal)
		return cmd_run();
	if (!strcmp(argv[optind], "cuts") && opt.log && opt.base && opt.hook &&
	    opt.marks)
		return cmd_cuts();
	if (!strcmp(argv[optind], "verify") && opt.dir && opt.journal &&
	    opt.marks)
		return cmd_verify();
	die("%s", usage);
}
