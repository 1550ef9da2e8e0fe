// SPDX-License-Identifier: GPL-2.0-only
/*
 * The daemon of remotefile: a namespace of files f0, f1 ... whose contents are
 * at this machine's own data server, as another node's would be.
 */
#include <linux/orchfs.h>
#include <poll.h>
#include <sys/stat.h>

#include "rf.h"
#include "nl.h"

#define QUESTIONS_MAX	256

struct question {
	u64 id, node, cookie;
	u32 kind, flags, valid;
	struct orchfs_attr attr;
	char name[256];
};

static struct question questions[QUESTIONS_MAX];
static unsigned int nr_questions;
static bool wanted;
static u64 generation, change = 1;
static u64 conns[CONNS];
static int gone_since;

/* What utimes has set, and what the backing file's mtime was then. */
static struct {
	struct timespec mtime, base, ctime;
	bool set;
} times[FILES];

static void on_other(const struct nlmsghdr *h)
{
	struct question *q = &questions[nr_questions];
	struct attrs a;
	int cmd = parse_msg(h, &a);
	const void *name;

	if (cmd == ORCHFS_CMD_PEER_WANT)
		wanted = true;
	if (cmd == ORCHFS_CMD_PEER_GONE)
		gone_since++;
	if (cmd != ORCHFS_CMD_REQUEST)
		return;
	must(++nr_questions < QUESTIONS_MAX, "too many requests");
	memset(q, 0, sizeof(*q));
	q->id = get64(a.at[ORCHFS_A_MSG_REQUEST_ID]);
	q->node = get64(a.at[ORCHFS_A_MSG_NODE]);
	q->kind = get32(a.at[ORCHFS_A_MSG_KIND]);
	q->flags = get32(a.at[ORCHFS_A_MSG_FLAGS]);
	q->valid = get32(a.at[ORCHFS_A_MSG_VALID]);
	if (a.at[ORCHFS_A_MSG_ATTR])
		memcpy(&q->attr, a.at[ORCHFS_A_MSG_ATTR], sizeof(q->attr));
	name = a.at[ORCHFS_A_MSG_NAME];
	if (name)
		memcpy(q->name, name, ((const struct nlattr *)name)[-1].nla_len -
		       NLA_HDRLEN);
}

static struct orchfs_attr attr_of(u64 ino)
{
	struct orchfs_attr a = {
		.ino = ino, .change = change, .nlink = 1, .version = 1,
		.generation = 1, .mode = S_IFREG | 0755,
		.flags = ORCHFS_ATTR_NO_CAP,
	};
	unsigned int i = ino - FIRST;
	struct stat st;

	if (ino == ORCHFS_ROOT_INO) {
		a.mode = S_IFDIR | 0755;
		a.nlink = 2;
		return a;
	}
	must(!fstat(rf->backing[i], &st), "fstat: %m");
	a.size = st.st_size;
	a.blocks = st.st_blocks;
	a.mtime = st.st_mtim.tv_sec;
	a.mtime_nsec = st.st_mtim.tv_nsec;
	a.ctime = st.st_ctim.tv_sec;
	a.ctime_nsec = st.st_ctim.tv_nsec;
	if (ts_cmp(times[i].ctime, st.st_ctim) > 0) {
		a.ctime = times[i].ctime.tv_sec;
		a.ctime_nsec = times[i].ctime.tv_nsec;
	}
	if (times[i].set && !ts_cmp(times[i].base, st.st_mtim)) {
		a.mtime = times[i].mtime.tv_sec;
		a.mtime_nsec = times[i].mtime.tv_nsec;
	}
	if (rf->live)
		a.flags |= ORCHFS_ATTR_LIVE;
	return a;
}

static void put_layout(struct msg *m, u64 ino)
{
	size_t lay = nest(m, ORCHFS_A_MSG_LAYOUT), seg, mirror;
	struct orchfs_token t;
	u8 token[ORCHFS_TOKEN_LEN];

	token_make(&t, ino, ORCHFS_RIGHTS_ALL, rf->epoch);
	t.expiry_ms = rf->expiry_ms;
	token_sign(&t, token);
	put64(m, ORCHFS_A_LAYOUT_GENERATION, ++generation);
	put64(m, ORCHFS_A_LAYOUT_VERSION, 1);
	put32(m, ORCHFS_A_LAYOUT_WRITABLE, 1);
	seg = nest(m, ORCHFS_A_LAYOUT_SEGMENT);
	put64(m, ORCHFS_A_SEGMENT_OFFSET, 0);
	put64(m, ORCHFS_A_SEGMENT_LENGTH, INT64_MAX);
	mirror = nest(m, ORCHFS_A_SEGMENT_MIRROR);
	put32(m, ORCHFS_A_MIRROR_KIND, ORCHFS_MIRROR_KIND_REMOTE);
	put32(m, ORCHFS_A_MIRROR_VOLUME, VOLUME);
	put64(m, ORCHFS_A_MIRROR_INSTANCE, ino);
	put32(m, ORCHFS_A_MIRROR_PEER, HOME);
	put64(m, ORCHFS_A_MIRROR_NODE, ino);
	put64(m, ORCHFS_A_MIRROR_VERSION, 1);
	put(m, ORCHFS_A_MIRROR_TOKEN, token, sizeof(token));
	nest_end(m, mirror);
	nest_end(m, seg);
	nest_end(m, lay);
}

static u64 look_up(const struct question *q)
{
	unsigned int i;

	if (sscanf(q->name, "f%u", &i) != 1 || i >= FILES)
		return 0;
	return FIRST + i;
}

static void set_mtime(unsigned int i, s64 sec, u32 nsec)
{
	struct stat st;

	must(!fstat(rf->backing[i], &st), "fstat: %m");
	times[i].set = true;
	times[i].base = st.st_mtim;
	times[i].mtime.tv_sec = sec;
	times[i].mtime.tv_nsec = nsec;
}

static void set_attr(const struct question *q)
{
	change++;
	if (q->valid & ORCHFS_SET_MTIME)
		set_mtime(q->node - FIRST, q->attr.mtime, q->attr.mtime_nsec);
	if (q->valid & ORCHFS_SET_CTIME) {
		times[q->node - FIRST].ctime.tv_sec = q->attr.ctime;
		times[q->node - FIRST].ctime.tv_nsec = q->attr.ctime_nsec;
	}
}

/* utimes of another node */
static void touch_f1(void)
{
	struct msg *m = command(ORCHFS_CMD_INVALIDATE);
	int ret;

	change++;
	set_mtime(1, 2000, 2);
	clock_gettime(CLOCK_REALTIME, &times[1].ctime);
	put64(m, ORCHFS_A_MSG_NODE, FIRST + 1);
	ret = daemon_call(m);
	must(!ret, "invalidate: %s", strerror(-ret));
}

static void answer(const struct question *q)
{
	struct orchfs_statfs sfs = { .bsize = 4096, .blocks = 1, .namelen = 255 };
	struct msg *m = command(ORCHFS_CMD_REPLY);
	u64 ino = q->node;
	int status = 0;
	struct orchfs_attr a;

	rf->asked[q->kind]++;
	switch (q->kind) {
	case ORCHFS_KIND_MOUNT:
		ino = ORCHFS_ROOT_INO;
		break;
	case ORCHFS_KIND_LOOKUP:
		ino = look_up(q);
		status = ino ? 0 : -ENOENT;
		break;
	case ORCHFS_KIND_SETATTR:
		set_attr(q);
		break;
	case ORCHFS_KIND_GETATTR:
	case ORCHFS_KIND_OPEN:
	case ORCHFS_KIND_READDIR:
	case ORCHFS_KIND_STATFS:
	case ORCHFS_KIND_BARRIER:
		break;
	default:
		status = -EOPNOTSUPP;
	}
	put64(m, ORCHFS_A_MSG_REQUEST_ID, q->id);
	put32(m, ORCHFS_A_MSG_STATUS, status);
	if (!status) {
		put64(m, ORCHFS_A_MSG_TXN, change);
		put64(m, ORCHFS_A_MSG_DURABLE, change);
	}
	if (!status && q->kind == ORCHFS_KIND_STATFS)
		put(m, ORCHFS_A_MSG_STATFS, &sfs, sizeof(sfs));
	else if (!status && q->kind == ORCHFS_KIND_READDIR)
		put(m, ORCHFS_A_MSG_EOF, NULL, 0);
	else if (!status && q->kind != ORCHFS_KIND_BARRIER) {
		a = attr_of(ino);
		put(m, ORCHFS_A_MSG_ATTR, &a, sizeof(a));
	}
	if (!status && q->kind == ORCHFS_KIND_OPEN)
		put_layout(m, ino);
	daemon_send(m);
}

/* The home is this machine: it gets one end, the client the other. */
static void add_connection(unsigned int i)
{
	struct msg *m;
	struct peer p;
	int ret;

	peer_open(&p, NODE, NULL);
	conns[i] = p.connection;
	m = command(ORCHFS_CMD_PEER_ADD);
	put32(m, ORCHFS_A_MSG_FD, p.fd);
	put32(m, ORCHFS_A_MSG_PEER, HOME);
	ret = daemon_call(m);
	must(!ret, "peer-add: %s", strerror(-ret));
	close(p.fd);
}

static void drop_connections(void)
{
	unsigned int i;

	for (i = 0; i < CONNS; i++) {
		if (!conns[i])
			continue;
		daemon_drop(NODE, conns[i]);
		must(daemon_wait_gone(conns[i]) == ORCHFS_REASON_DROPPED,
		     "another reason");
		conns[i] = 0;
	}
}

static u64 count_reads(void)
{
	struct conn_stats stats;
	u64 requests = 0;
	unsigned int i;

	for (i = 0; i < CONNS; i++)
		if (conns[i] && daemon_stats(conns[i], &stats))
			requests += stats.requests;
	return requests;
}

static void serve_volume(void)
{
	int ret = daemon_serve_volume(VOLUME, ds_root, 1);

	must(!ret, "serve-volume: %s", strerror(-ret));
}

static u64 obey(char what)
{
	static u64 request = 1000;
	unsigned int i;

	switch (what) {
	case 'd':
		drop_connections();
		return 0;
	case 'a':
		for (i = 0; i < CONNS; i++)
			if (!conns[i])
				add_connection(i);
		return 0;
	case 'n':
		return count_reads();
	case 'c':
		daemon_clock(rf->clock_ms);
		return 0;
	case 'v':		/* unsynced writes may be lost */
		must(!daemon_unvolume(VOLUME, ++request), "serve-unvolume");
		must(!daemon_wait_done(request), "serve-done");
		serve_volume();
		return 0;
	case 'u':
		touch_f1();
		return 0;
	case 'f':
		must(!daemon_fence(++request, FIRST, 0, rf->epoch), "fence");
		must(!daemon_wait_done(request), "serve-done");
		return 0;
	}
	die("command %c", what);
}

static void work(int ctl)
{
	struct pollfd p[] = {
		{ .fd = daemon_fd(), .events = POLLIN },
		{ .fd = ctl, .events = POLLIN },
	};
	struct question q;
	u64 ret;
	char c;

	for (;;) {
		while (nr_questions) {
			q = questions[0];
			memmove(questions, questions + 1,
				--nr_questions * sizeof(q));
			answer(&q);
		}
		if (wanted && !rf->deaf) {
			wanted = false;
			obey('a');
			continue;
		}
		if (poll(p, ARRAY_SIZE(p), -1) < 0)
			die("poll: %m");
		if (p[0].revents)
			more_events("message");
		if (!p[1].revents)
			continue;
		if (read(ctl, &c, 1) != 1)
			exit(0);
		ret = obey(c);
		must(write(ctl, &ret, sizeof(ret)) == sizeof(ret), "ctl: %m");
	}
}

void rf_daemon(int ctl)
{
	u64 ready = 0;

	daemon_other = on_other;
	daemon_attach();
	serve_volume();
	rf->clock_ms = 1000;
	daemon_clock(rf->clock_ms);
	must(write(ctl, &ready, sizeof(ready)) == sizeof(ready), "ctl: %m");
	work(ctl);
}
