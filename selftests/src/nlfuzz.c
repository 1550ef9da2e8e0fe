// SPDX-License-Identifier: GPL-2.0-only
/*
 * nlfuzz: malformed and hostile netlink messages to the family "orchfs".
 *
 * Part 1: senders without the right to speak (an ordinary user, the owner of
 * a user namespace, mixed opener and sender) get EPERM for every command.
 * Part 2: root's mistakes get the errno that the protocol promises.
 * Part 3: random messages from root, attached or not.
 * Part 4: a daemon that attaches properly, is mounted, and then lies: each
 * request gets a corrupted answer before a plain one. Callers must get errors
 * or answers, never hang, and umount must succeed.
 *
 * With --hold it only attaches and waits to be killed: a daemon without mounts,
 * which must not keep the module from being unloaded.
 *
 * Exits 0 when every message got a permitted answer and the kernel's taint
 * flags haven't changed. --seed repeats a run.
 */
#include <fcntl.h>
#include <getopt.h>
#include <linux/orchfs.h>
#include <linux/orchfs_nl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <dirent.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include "nl.h"

static struct rng rng;
static int family;
static unsigned int failures;
static char ns_name[32];
static uint8_t ns_uuid[16];
static int data_fd = -1, dir_fd = -1;

#define check(cond, ...) do {						\
	if (!(cond)) {							\
		failures++;						\
		printf("FAIL: " __VA_ARGS__);				\
		printf(" [%s:%d]\n", __func__, __LINE__);		\
	}								\
} while (0)

static void attach_msg(struct msg *m, uint32_t min, uint32_t max,
		       const char *name, size_t name_len)
{
	msg_start(m, family, 0, ORCHFS_CMD_ATTACH);
	put32(m, ORCHFS_A_MSG_VERSION_MIN, min);
	put32(m, ORCHFS_A_MSG_VERSION_MAX, max);
	put(m, ORCHFS_A_MSG_NS_UUID, ns_uuid, sizeof(ns_uuid));
	put(m, ORCHFS_A_MSG_NS_NAME, name, name_len);
	put64(m, ORCHFS_A_MSG_INCARNATION, rnd(&rng));
}

static int attach(int fd, const char *name)
{
	static struct msg m;

	attach_msg(&m, 1, 1, name, strlen(name) + 1);
	return call(fd, &m);
}

static int simple(int fd, int cmd, int flags)
{
	static struct msg m;

	msg_start(&m, family, flags, cmd);
	return call(fd, &m);
}

static int ready(int fd)
{
	return simple(fd, ORCHFS_CMD_READY, 0);
}

/* --- part 1: no right to speak --- */

static void all_refused(int fd, const char *who)
{
	int cmd, ret;

	ret = attach(fd, ns_name);
	check(ret == -EPERM, "%s: attach gave %d", who, ret);
	for (cmd = ORCHFS_CMD_READY; cmd <= ORCHFS_CMD_SERVE_TIME; cmd++) {
		if (cmd == ORCHFS_CMD_MOUNTS)
			cmd = ORCHFS_CMD_LAYOUT_DROP;
		ret = simple(fd, cmd, 0);
		check(ret == -EPERM, "%s: command %d gave %d", who, cmd, ret);
	}
	ret = simple(fd, ORCHFS_CMD_SERVE_LIST, NLM_F_DUMP);
	check(ret == -EPERM, "%s: serve-list gave %d", who, ret);
	ret = simple(fd, ORCHFS_CMD_MOUNTS, NLM_F_DUMP);
	check(ret == -EPERM, "%s: mounts gave %d", who, ret);
	ret = simple(fd, ORCHFS_CMD_HANDLES, NLM_F_DUMP);
	check(ret == -EPERM, "%s: handles gave %d", who, ret);
}

static void random_message(int fd, bool may_pass, const char *who);

static void refused_child(void (*become)(void), const char *who)
{
	int status, i, fd;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		failures = 0;
		become();
		fd = nl_open();
		all_refused(fd, who);
		for (i = 0; i < 500; i++)
			random_message(fd, false, who);
		fflush(stdout);
		_exit(failures ? 1 : 0);
	}
	waitpid(pid, &status, 0);
	if (WIFEXITED(status) && WEXITSTATUS(status) == KSFT_SKIP)
		printf("skipped: %s\n", who);
	else
		check(status == 0, "%s: status %#x", who, status);
}

static void become_user(void)
{
	if (setgid(65534) || setresuid(65534, 65534, 65534))
		die("setresuid: %m");
}

static void become_userns(void)
{
	if (unshare(CLONE_NEWUSER | CLONE_NEWNET))
		_exit(KSFT_SKIP);
}

static void become_userns_here(void)
{
	if (unshare(CLONE_NEWUSER))
		_exit(KSFT_SKIP);
}

static void test_rights(void)
{
	int fd;

	refused_child(become_user, "ordinary user");
	refused_child(become_userns, "owner of user and network namespace");
	refused_child(become_userns_here, "owner of a user namespace");

	if (seteuid(65534))
		die("seteuid: %m");
	fd = nl_open();
	if (seteuid(0))
		die("seteuid: %m");
	all_refused(fd, "socket of an ordinary user, sent by root");
	close(fd);

	fd = nl_open();
	if (seteuid(65534))
		die("seteuid: %m");
	all_refused(fd, "socket of root, sent by an ordinary user");
	if (seteuid(0))
		die("seteuid: %m");
	close(fd);
}

/* --- part 2: mistakes --- */

static void test_before_attach(int fd)
{
	int cmd, ret;

	for (cmd = ORCHFS_CMD_READY; cmd <= ORCHFS_CMD_SERVE_TIME; cmd++) {
		if (cmd == ORCHFS_CMD_MOUNTS)
			cmd = ORCHFS_CMD_LAYOUT_DROP;
		ret = simple(fd, cmd, 0);
		check(ret == -ENOTCONN, "command %d before attach gave %d",
		      cmd, ret);
	}
	ret = simple(fd, ORCHFS_CMD_PEER_ADD, 0);
	check(ret == -ENOTCONN, "peer-add before attach gave %d", ret);
	ret = simple(fd, ORCHFS_CMD_HANDLES, NLM_F_DUMP);
	check(ret == -ENOTCONN, "handles before attach gave %d", ret);
	ret = simple(fd, ORCHFS_CMD_MOUNTS, NLM_F_DUMP);
	check(ret == 0, "mounts before attach gave %d", ret);
	ret = simple(fd, ORCHFS_CMD_SERVE_LIST, NLM_F_DUMP);
	check(ret == 0, "serve-list before attach gave %d", ret);
	for (cmd = ORCHFS_CMD_MOUNTS; cmd < 30; cmd++) {
		if (cmd == ORCHFS_CMD_LAYOUT_DROP)
			cmd = ORCHFS_CMD_SERVE_LIST;
		if (cmd == ORCHFS_CMD_PEER_ADD)
			continue;
		ret = simple(fd, cmd, 0);
		check(ret == -EOPNOTSUPP, "command %d gave %d", cmd, ret);
	}
}

static void test_bad_attach(int fd)
{
	static const struct {
		const char *name;
		size_t len;
		int ret;
	} names[] = {
		{ "", 1, -EINVAL },
		{ "a/b", 4, -EINVAL },
		{ "a:b", 4, -EINVAL },
		{ "a\nb", 4, -EINVAL },
		{ "a\x7f", 3, -EINVAL },
		{ "abc", 3, -EINVAL },		/* no NUL */
	};
	char longest[ORCHFS_NS_NAME_MAX + 2];
	static struct msg m;
	unsigned int i;
	int ret, drop;

	for (i = 0; i < ARRAY_SIZE(names); i++) {
		attach_msg(&m, 1, 1, names[i].name, names[i].len);
		ret = call(fd, &m);
		check(ret == names[i].ret, "name %u gave %d", i, ret);
	}
	memset(longest, 'n', sizeof(longest));
	longest[sizeof(longest) - 1] = 0;
	ret = attach(fd, longest);
	check(ret == -EINVAL || ret == -ERANGE, "long name gave %d", ret);

	attach_msg(&m, 2, 9, ns_name, strlen(ns_name) + 1);
	ret = call(fd, &m);
	check(ret == -EPROTO, "newer daemon gave %d", ret);
	attach_msg(&m, 0, 0, ns_name, strlen(ns_name) + 1);
	ret = call(fd, &m);
	check(ret == -EPROTO, "older daemon gave %d", ret);
	attach_msg(&m, 2, 1, ns_name, strlen(ns_name) + 1);
	ret = call(fd, &m);
	check(ret == -EINVAL, "empty range gave %d", ret);

	for (drop = 0; drop < 5; drop++) {
		msg_start(&m, family, 0, ORCHFS_CMD_ATTACH);
		if (drop != 0)
			put32(&m, ORCHFS_A_MSG_VERSION_MIN, 1);
		if (drop != 1)
			put32(&m, ORCHFS_A_MSG_VERSION_MAX, 1);
		if (drop != 2)
			put(&m, ORCHFS_A_MSG_NS_UUID, ns_uuid, 16);
		if (drop != 3)
			put(&m, ORCHFS_A_MSG_NS_NAME, "x", 2);
		if (drop != 4)
			put64(&m, ORCHFS_A_MSG_INCARNATION, 1);
		ret = call(fd, &m);
		check(ret == -EINVAL, "attach without %d gave %d", drop, ret);
	}
	attach_msg(&m, 1, 1, "x", 2);
	put(&m, ORCHFS_A_MSG_NS_UUID, ns_uuid, 15);
	ret = call(fd, &m);
	check(ret == -ERANGE || ret == -EINVAL, "short UUID gave %d", ret);
	attach_msg(&m, 1, 1, "x", 2);
	put32(&m, ORCHFS_A_MSG_MAX + 5, 1);
	ret = call(fd, &m);
	check(ret == -EINVAL, "unknown attribute gave %d", ret);
}

static void test_attached(int fd)
{
	static struct msg m;
	int ret;

	msg_start(&m, family, 0, ORCHFS_CMD_REPLY);
	ret = call(fd, &m);
	check(ret == -EINVAL, "empty reply gave %d", ret);
	msg_start(&m, family, 0, ORCHFS_CMD_REPLY);
	put64(&m, ORCHFS_A_MSG_REQUEST_ID, rnd(&rng));
	put32(&m, ORCHFS_A_MSG_STATUS, 0);
	ret = call(fd, &m);
	check(ret == 0, "reply to nothing gave %d", ret);

	msg_start(&m, family, 0, ORCHFS_CMD_INVALIDATE);
	put(&m, ORCHFS_A_MSG_NAME, "x", 1);
	ret = call(fd, &m);
	check(ret == -EINVAL, "name without directory gave %d", ret);
	msg_start(&m, family, 0, ORCHFS_CMD_INVALIDATE);
	put64(&m, ORCHFS_A_MSG_NODE, 1);
	put(&m, ORCHFS_A_MSG_NAME, "..", 2);
	ret = call(fd, &m);
	check(ret == -EINVAL, "name '..' gave %d", ret);
	ret = simple(fd, ORCHFS_CMD_INVALIDATE, 0);
	check(ret == 0, "invalidate gave %d", ret);

	msg_start(&m, family, 0, ORCHFS_CMD_LAYOUT_SET);
	put64(&m, ORCHFS_A_MSG_REQUEST_ID, 1);
	put64(&m, ORCHFS_A_MSG_NODE, 1);
	nest_end(&m, nest(&m, ORCHFS_A_MSG_LAYOUT));
	put32(&m, ORCHFS_A_MSG_TIMEOUT_MS, 1000);
	ret = call(fd, &m);
	check(ret == -ENOENT, "layout-set without mount gave %d", ret);
	ret = simple(fd, ORCHFS_CMD_HANDLES, NLM_F_DUMP);
	check(ret == 0, "handles gave %d", ret);
	ret = simple(fd, ORCHFS_CMD_POLL, 0);
	check(ret == 0, "poll gave %d", ret);
}

static void test_mistakes(void)
{
	int fd = nl_open(), fd2 = nl_open(), ret;

	test_before_attach(fd);
	test_bad_attach(fd);
	ret = attach(fd, ns_name);
	check(ret == 0, "attach gave %d", ret);
	ret = attach(fd, "other");
	check(ret == -EBUSY, "second attach of a socket gave %d", ret);
	ret = attach(fd2, ns_name);
	check(ret == -EBUSY, "second daemon gave %d", ret);
	ret = attach(fd2, "other");
	check(ret == -EINVAL || ret == -EBUSY, "other name gave %d", ret);
	ns_uuid[0] ^= 1;
	ret = attach(fd2, ns_name);
	check(ret == -EBUSY, "same name, other UUID gave %d", ret);
	ns_uuid[0] ^= 1;
	test_attached(fd);
	ret = ready(fd);
	check(ret == 0, "ready gave %d", ret);
	test_attached(fd);
	ret = ready(fd);
	check(ret == 0, "second ready gave %d", ret);
	close(fd);
	ret = attach(fd2, ns_name);
	check(ret == 0, "attach after the first has gone gave %d", ret);
	close(fd2);
}

/* --- part 3: random messages --- */

static void random_attrs(struct msg *m, int depth)
{
	unsigned int n = below(&rng, 8), len, type, i;
	unsigned char *data;

	while (n--) {
		type = below(&rng, ORCHFS_A_MSG_MAX + 3);
		if (depth < 6 && one_in(&rng, 4)) {
			size_t at = nest(m, type);

			random_attrs(m, depth + 1);
			nest_end(m, at);
			continue;
		}
		if (one_in(&rng, 2))
			len = one_in(&rng, 2) ? 4 : 8;
		else
			len = one_in(&rng, 50) ? below(&rng, 30000) :
			      below(&rng, 200);
		data = msg_room(m, type | (one_in(&rng, 8) ?
					   below(&rng, 4) << 14 : 0), len);
		if ((char *)data == m->buf + MSG_MAX - 64)
			return;
		for (i = 0; i < len; i++)
			data[i] = one_in(&rng, 2) ? rnd(&rng) : 0;
	}
}

static void random_message(int fd, bool may_pass, const char *who)
{
	static struct msg m;
	unsigned int i, cmd, flips;
	bool whole = true;
	int ret;

	cmd = below(&rng, ORCHFS_CMD_MAX + 3);
	/* The hostile daemon of part 4 is the one that says ready. */
	msg_start(&m, family, one_in(&rng, 4) ? NLM_F_DUMP : 0, cmd);
	if (one_in(&rng, 20))
		m.h.nlmsg_flags |= rnd(&rng) & ~NLM_F_ACK;
	random_attrs(&m, 0);
	if (one_in(&rng, 10)) {
		flips = 1 + below(&rng, 4);
		for (i = 0; i < flips; i++)
			m.buf[NLMSG_HDRLEN + below(&rng, m.h.nlmsg_len -
						   NLMSG_HDRLEN)] ^=
				1 << below(&rng, 8);
	}
	if (one_in(&rng, 20)) {
		uint32_t len = m.h.nlmsg_len;

		m.h.nlmsg_len = below(&rng, len + 100);
		whole = false;
		ret = nl_send(fd, &m, len);
	} else {
		m.h.nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;
		ret = call(fd, &m);
	}
	if (!whole)
		return;
	check(ret != NO_ANSWER, "%s: command %u got no answer", who, cmd);
	check(may_pass || ret < 0, "%s: command %u gave %d", who, cmd, ret);
	check(ret <= 0 && ret > -4096, "%s: command %u gave %d", who, cmd, ret);
}

static void test_random(unsigned int count)
{
	int fd = nl_open(), attached = -1;
	unsigned int i;

	for (i = 0; i < count; i++) {
		if (attached < 0 && one_in(&rng, 50)) {
			attached = nl_open();
			check(attach(attached, ns_name) == 0, "attach failed");
		} else if (attached >= 0 && one_in(&rng, 200)) {
			close(attached);
			attached = -1;
		}
		random_message(attached >= 0 && one_in(&rng, 2) ? attached : fd,
			       true, "root");
	}
	if (attached >= 0)
		close(attached);
	close(fd);
}

/* --- part 4: a daemon that lies --- */

static struct orchfs_attr some_attr(uint64_t ino)
{
	static const uint32_t types[] = { S_IFREG, S_IFDIR, S_IFLNK, S_IFREG };
	struct orchfs_attr a = {
		.ino = ino, .change = 1, .nlink = 1, .version = 1,
		.generation = 1,
	};

	a.mode = ino == ORCHFS_ROOT_INO ? S_IFDIR | 0755 :
		 types[ino % 4] | 0666;
	if (S_ISDIR(a.mode))
		a.nlink = 2;
	return a;
}

/* What it never says is the whole truth: the token is none. */
static void put_remote(struct msg *m)
{
	uint64_t token[ORCHFS_MIRROR_TOKEN_LEN / 8];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(token); i++)
		token[i] = rnd(&rng);
	if (!one_in(&rng, 5))
		put32(m, ORCHFS_A_MIRROR_PEER, rnd(&rng));
	if (!one_in(&rng, 5))
		put64(m, ORCHFS_A_MIRROR_NODE, rnd(&rng));
	if (!one_in(&rng, 5))
		put64(m, ORCHFS_A_MIRROR_VERSION, rnd(&rng));
	put(m, ORCHFS_A_MIRROR_TOKEN, token,
	    one_in(&rng, 5) ? below(&rng, sizeof(token)) : sizeof(token));
}

static void put_segment(struct msg *m, uint64_t offset, uint64_t length,
			unsigned int mirrors, uint32_t kind, int fd)
{
	size_t seg = nest(m, ORCHFS_A_LAYOUT_SEGMENT), mirror;

	put64(m, ORCHFS_A_SEGMENT_OFFSET, offset);
	put64(m, ORCHFS_A_SEGMENT_LENGTH, length);
	while (mirrors--) {
		mirror = nest(m, ORCHFS_A_SEGMENT_MIRROR);
		put32(m, ORCHFS_A_MIRROR_KIND, kind);
		put32(m, ORCHFS_A_MIRROR_VOLUME, 1);
		put64(m, ORCHFS_A_MIRROR_INSTANCE, 1);
		if (kind == ORCHFS_MIRROR_KIND_REMOTE)
			put_remote(m);
		else
			put32(m, ORCHFS_A_MIRROR_FD, fd);
		nest_end(m, mirror);
	}
	nest_end(m, seg);
}

static uint64_t layout_gen;

static void put_layout(struct msg *m, unsigned int how)
{
	static const uint64_t all = INT64_MAX;
	size_t lay = nest(m, ORCHFS_A_MSG_LAYOUT);
	unsigned int i, n;

	put64(m, ORCHFS_A_LAYOUT_GENERATION,
	      how == 1 ? 0 : how == 2 ? rnd(&rng) : ++layout_gen);
	put64(m, ORCHFS_A_LAYOUT_VERSION, 1);
	if (how != 3)
		put32(m, ORCHFS_A_LAYOUT_WRITABLE, how == 4 ? rnd(&rng) : 1);
	switch (how) {
	case 5:
		put_segment(m, 0, all, 1, 1, 999999);
		break;
	case 6:
		put_segment(m, 0, all, 1, 1, dir_fd);
		break;
	case 7:
		put_segment(m, 0, 4096, 1, 1, data_fd);
		put_segment(m, 8192, all - 8192, 1, 1, data_fd);
		break;
	case 8:
		put_segment(m, 0, 8192, 1, 1, data_fd);
		put_segment(m, 4096, all - 4096, 1, 1, data_fd);
		break;
	case 9:
		n = 60 + below(&rng, 10);
		for (i = 0; i < n; i++)
			put_segment(m, i * 4096, i + 1 == n ?
				    all - i * 4096 : 4096, 1, 1, data_fd);
		break;
	case 10:
		put_segment(m, 0, all, 1 + below(&rng, 8), 1, data_fd);
		break;
	case 11:
		put_segment(m, 0, all, 1, rnd(&rng), data_fd);
		break;
	case 12:
		put_segment(m, rnd(&rng), rnd(&rng), 1, 1, data_fd);
		break;
	case 13:
		/* None at all is a layout that blocks I/O: not a lie. */
		put_segment(m, 0, all, 0, 1, data_fd);
		break;
	case 14:
		put_segment(m, 0, 4096, 1, 1, data_fd);
		break;
	case 15:
		put_segment(m, 0, all, 1, 1, -1);
		break;
	case 16:
		put_segment(m, 0, all, 1, ORCHFS_MIRROR_KIND_REMOTE, -1);
		break;
	default:
		put_segment(m, 0, all, 1, 1, data_fd);
	}
	nest_end(m, lay);
}

static void put_entries(struct msg *m, uint64_t cookie, unsigned int how)
{
	static const char *const bad[] = { ".", "..", "a/b", "", "/" };
	struct orchfs_attr a;
	unsigned int i, n = how ? below(&rng, 6) : 4;
	char name[300];
	size_t at;

	for (i = 0; i < n; i++) {
		a = some_attr(10 + cookie + i);
		at = nest(m, ORCHFS_A_MSG_ENTRY);
		snprintf(name, sizeof(name), "name%u", (int)(cookie + i));
		if (how == 2)
			strcpy(name, bad[below(&rng, ARRAY_SIZE(bad))]);
		if (how == 3)
			memset(name, 'l', 256), name[256] = 0;
		if (how == 4)
			a.mode = rnd(&rng);
		put(m, ORCHFS_A_ENTRY_NAME, name, strlen(name));
		if (how != 5)
			put64(m, ORCHFS_A_ENTRY_COOKIE,
			      how == 6 ? cookie : cookie + i + 1);
		put(m, ORCHFS_A_ENTRY_ATTR, &a, sizeof(a));
		if (S_ISLNK(a.mode) && how != 7)
			put(m, ORCHFS_A_ENTRY_TARGET, "target", 6);
		nest_end(m, at);
	}
	if (!how ? cookie > 20 : one_in(&rng, 2))
		put(m, ORCHFS_A_MSG_EOF, NULL, 0);
}

struct question {
	uint64_t id, node, cookie;
	uint32_t kind, flags;
};

static void answer(struct msg *m, const struct question *q, unsigned int lie)
{
	uint64_t ino = q->kind == ORCHFS_KIND_LOOKUP ||
		       q->kind == ORCHFS_KIND_CREATE ?
		       10 + below(&rng, 12) : q->node;
	struct orchfs_attr a = some_attr(ino);
	struct orchfs_statfs sfs = { .bsize = 4096, .blocks = 1, .namelen = 255 };

	if (q->kind == ORCHFS_KIND_CREATE)
		a.mode = S_IFREG | 0644;
	msg_start(m, family, 0, ORCHFS_CMD_REPLY);
	put64(m, ORCHFS_A_MSG_REQUEST_ID, q->id);
	put32(m, ORCHFS_A_MSG_STATUS, lie == 1 ? rnd(&rng) :
	      lie == 2 ? (uint32_t)-(int)below(&rng, 700) : 0);
	put64(m, ORCHFS_A_MSG_TXN, 1);
	put64(m, ORCHFS_A_MSG_DURABLE, lie == 3 ? rnd(&rng) : 1);
	if (lie == 4)
		a.mode = rnd(&rng);
	if (lie == 5)
		((unsigned char *)&a)[below(&rng, sizeof(a))] = rnd(&rng);
	if (lie == 6)
		a.ino = rnd(&rng);
	if (lie != 7)
		put(m, ORCHFS_A_MSG_ATTR, &a, lie == 8 ? 100 : sizeof(a));
	if (lie == 9)
		put(m, ORCHFS_A_MSG_TARGET, "a\0b", 3);
	else if (S_ISLNK(a.mode))
		put(m, ORCHFS_A_MSG_TARGET, "target", 6);
	if (q->kind == ORCHFS_KIND_READDIR)
		put_entries(m, q->cookie, lie ? below(&rng, 8) : 0);
	if (q->kind == ORCHFS_KIND_STATFS)
		put(m, ORCHFS_A_MSG_STATFS, &sfs, sizeof(sfs));
	if (q->kind == ORCHFS_KIND_GETXATTR)
		put(m, ORCHFS_A_MSG_XATTR_VALUE, "value", 5);
	if (q->kind == ORCHFS_KIND_OPEN ||
	    (q->flags & ORCHFS_REQ_FLAG_LAYOUT && S_ISREG(a.mode)))
		put_layout(m, lie ? below(&rng, 17) : 0);
	if (lie == 10)
		random_attrs(m, 0);
	if (lie == 11)
		m->buf[NLMSG_HDRLEN + below(&rng, m->h.nlmsg_len -
					    NLMSG_HDRLEN)] ^= rnd(&rng);
	if (lie == 12)
		put32(m, ORCHFS_A_MSG_FLAGS, rnd(&rng));
}

static bool parse_question(struct nlmsghdr *h, struct question *q)
{
	struct genlmsghdr *g = NLMSG_DATA(h);
	size_t at = NLMSG_HDRLEN + GENL_HDRLEN;

	memset(q, 0, sizeof(*q));
	if (h->nlmsg_type != family || g->cmd != ORCHFS_CMD_REQUEST)
		return false;
	while (at + NLA_HDRLEN <= h->nlmsg_len) {
		struct nlattr *a = (void *)((char *)h + at);
		void *data = a + 1;

		switch (a->nla_type & NLA_TYPE_MASK) {
		case ORCHFS_A_MSG_REQUEST_ID:
			memcpy(&q->id, data, 8);
			break;
		case ORCHFS_A_MSG_NODE:
			memcpy(&q->node, data, 8);
			break;
		case ORCHFS_A_MSG_COOKIE:
			memcpy(&q->cookie, data, 8);
			break;
		case ORCHFS_A_MSG_KIND:
			memcpy(&q->kind, data, 4);
			break;
		case ORCHFS_A_MSG_FLAGS:
			memcpy(&q->flags, data, 4);
			break;
		}
		at += NLA_ALIGN(a->nla_len);
	}
	return true;
}

/* Some lies, then a plain answer, which counts if no lie was believed. */
static void serve_one(int fd, const struct question *q, unsigned int truth)
{
	static struct msg m;
	unsigned int i, n = truth ? 0 : below(&rng, 3);

	for (i = 0; i < n; i++) {
		answer(&m, q, 1 + below(&rng, 12));
		nl_send(fd, &m, m.h.nlmsg_len);
	}
	if (!truth && one_in(&rng, 8)) {
		msg_start(&m, family, 0, ORCHFS_CMD_LAYOUT_SET);
		put64(&m, ORCHFS_A_MSG_REQUEST_ID, 1);
		put64(&m, ORCHFS_A_MSG_NODE, 10 + below(&rng, 12));
		put_layout(&m, below(&rng, 17));
		put32(&m, ORCHFS_A_MSG_TIMEOUT_MS, below(&rng, 50));
		nl_send(fd, &m, m.h.nlmsg_len);
	}
	if (!truth && one_in(&rng, 8)) {
		msg_start(&m, family, 0, ORCHFS_CMD_INVALIDATE);
		if (one_in(&rng, 2))
			put64(&m, ORCHFS_A_MSG_NODE, below(&rng, 24));
		nl_send(fd, &m, m.h.nlmsg_len);
	}
	answer(&m, q, 0);
	nl_send(fd, &m, m.h.nlmsg_len);
	/* In case even that was refused. */
	msg_start(&m, family, 0, ORCHFS_CMD_REPLY);
	put64(&m, ORCHFS_A_MSG_REQUEST_ID, q->id);
	put32(&m, ORCHFS_A_MSG_STATUS, -EIO);
	nl_send(fd, &m, m.h.nlmsg_len);
}

static void use_file(const char *path)
{
	char buf[64];
	int fd;

	fd = open(path, O_RDWR | (one_in(&rng, 2) ? O_CREAT : 0) | O_NONBLOCK,
		  0644);
	if (fd < 0)
		return;
	if (pwrite(fd, "hello", 5, 0) == 5 && pread(fd, buf, 5, 0) < 0)
		fsync(fd);
	close(fd);
}

static void use_names(void)
{
	static const char *const names[] = {
		"name0", "name1", "name2", "name3", "other",
	};
	const char *a = names[below(&rng, ARRAY_SIZE(names))];
	const char *b = names[below(&rng, ARRAY_SIZE(names))];
	struct dirent *de;
	char buf[100];
	struct stat st;
	DIR *dir;
	unsigned int n = 0;

	switch (below(&rng, 10)) {
	case 0:
		stat(a, &st);
		break;
	case 1:
		unlink(a);
		break;
	case 2:
		rename(a, b);
		break;
	case 3:
		mkdir(a, 0755);
		break;
	case 4:
		if (readlink(a, buf, sizeof(buf)) < 0)
			symlink(b, a);
		break;
	case 5:
		getxattr(a, "user.x", buf, sizeof(buf));
		break;
	case 6:
		chmod(a, 0600);
		break;
	case 7:
		dir = opendir(".");
		while (dir && n++ < 200 && (de = readdir(dir)))
			lstat(de->d_name, &st);
		if (dir)
			closedir(dir);
		break;
	default:
		use_file(a);
	}
}

static void user_child(const char *mnt)
{
	struct statfs sfs;
	int i;

	alarm(120);
	if (unshare(CLONE_NEWNS) ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		die("private mounts: %m");
	if (mount(ns_name, mnt, "orchfs", 0, "upcall_timeout=10"))
		die("mount: %m");
	if (chdir(mnt))
		_exit(chdir("/") || umount(mnt) ? 3 : 0);
	for (i = 0; i < 60; i++)
		use_names();
	statfs(".", &sfs);
	if (chdir("/"))
		_exit(2);
	_exit(umount(mnt) ? 3 : 0);
}

static int come_back(void)
{
	int fd = nl_open(), size = 4 << 20, ret;
	static struct msg m;

	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	ret = attach(fd, ns_name);
	check(ret == 0, "attach of the liar gave %d", ret);
	/* Requests come before the answer to this: don't wait for it here. */
	msg_start(&m, family, 0, ORCHFS_CMD_READY);
	nl_send(fd, &m, m.h.nlmsg_len);
	return fd;
}

static void serve(int fd, pid_t pid, const char *what)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	static struct msg in;
	struct question q;
	unsigned int served = 0;
	int status;
	ssize_t n;

	while (waitpid(pid, &status, WNOHANG) == 0) {
		if (poll(&p, 1, 100) <= 0)
			continue;
		n = recv(p.fd, &in, sizeof(in), MSG_DONTWAIT);
		if (n < 0 || !parse_question(&in.h, &q))
			continue;
		if (served && one_in(&rng, 60)) {
			/* Dies without an answer: the next one gets it again. */
			close(p.fd);
			p.fd = come_back();
		} else {
			serve_one(p.fd, &q, !served || one_in(&rng, 2));
		}
		served++;
	}
	check(WIFEXITED(status) && WEXITSTATUS(status) == 0,
	      "%s: the user of the mount ended with %#x", what, status);
	printf("%s: %u requests\n", what, served);
	close(p.fd);
}

static void test_liar(unsigned int rounds)
{
	char mnt[] = "/tmp/nlfuzz.XXXXXX", file[64], what[32];
	unsigned int i;
	pid_t pid;
	int fd;

	if (!mkdtemp(mnt))
		die("mkdtemp: %m");
	snprintf(file, sizeof(file), "%s.data", mnt);
	data_fd = open(file, O_RDWR | O_CREAT, 0600);
	dir_fd = open("/", O_RDONLY | O_DIRECTORY);
	if (data_fd < 0 || dir_fd < 0)
		die("%s: %m", file);
	for (i = 0; i < rounds; i++) {
		fd = come_back();
		fflush(stdout);
		pid = fork();
		if (pid == 0) {
			close(fd);
			rng.state += i;
			user_child(mnt);
		}
		snprintf(what, sizeof(what), "round %u", i);
		serve(fd, pid, what);
	}
	close(data_fd);
	unlink(file);
	rmdir(mnt);
}

static void hold(void)
{
	int fd = nl_open();

	if (attach(fd, ns_name) || ready(fd))
		die("attach failed");
	printf("attached\n");
	fflush(stdout);
	for (;;)
		pause();
}

static unsigned long taint(void)
{
	FILE *f = fopen("/proc/sys/kernel/tainted", "r");
	unsigned long v = 0;

	if (!f || fscanf(f, "%lu", &v) != 1)
		die("/proc/sys/kernel/tainted: %m");
	fclose(f);
	return v;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "seed", required_argument, NULL, 's' },
		{ "messages", required_argument, NULL, 'm' },
		{ "rounds", required_argument, NULL, 'r' },
		{ "hold", no_argument, NULL, 'H' },
		{ "help", no_argument, NULL, 'h' },
		{}
	};
	unsigned long before;
	uint64_t seed = default_seed();
	unsigned int messages = 20000, rounds = 10, i;
	bool holding = false;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 's')
			seed = parse_num("--seed", optarg);
		else if (c == 'm')
			messages = parse_num("--messages", optarg);
		else if (c == 'r')
			rounds = parse_num("--rounds", optarg);
		else if (c == 'H')
			holding = true;
		else
			die("usage: nlfuzz [--seed N] [--messages N] [--rounds N] | --hold");
	}
	printf("nlfuzz: seed %llu, %u messages, %u rounds of lies\n",
	       (unsigned long long)seed, messages, rounds);
	rng.state = seed;
	if (geteuid())
		die("nlfuzz must run as root");
	family = find_family();
	if (family < 0) {
		printf("nlfuzz: orchfs.ko is not loaded\n");
		return KSFT_SKIP;
	}
	before = taint();
	snprintf(ns_name, sizeof(ns_name), "nlfuzz-%u", below(&rng, 1000000));
	for (i = 0; i < sizeof(ns_uuid); i++)
		ns_uuid[i] = rnd(&rng);

	if (holding)
		hold();
	test_rights();
	test_mistakes();
	test_random(messages);
	test_liar(rounds);

	check(taint() == before, "the kernel is tainted now: see dmesg");
	printf("nlfuzz: %u messages sent, %u failures\n", sent_total, failures);
	return failures ? 1 : 0;
}
