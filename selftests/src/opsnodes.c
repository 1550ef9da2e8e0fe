// SPDX-License-Identifier: GPL-2.0-only
/*
 * opsnodes: random file operations through several mounts of one namespace,
 * against one model in memory. One at a time, the answer must be the model's.
 * Several at once, on purpose on the same names, must be explained by some
 * order of them. A worker is a process for one mount; it may run elsewhere
 * (--run), as it speaks over a socket only. Directories of one file system
 * serve as mounts, too: that is how model and tool are tested.
 */
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include "opsnodes.h"

#define CANDS		128
#define HISTORY		4000

struct options {
	const char *mount[MOUNTS], *run[MOUNTS];
	unsigned int mounts, each, stuck, hook_every, lie;
	uint64_t seed;
	unsigned int ops, rounds;
	const char *hook, *away;
};

struct told {
	struct cmd cmd;
	uint64_t ino;
	int32_t err;
	bool racing;
};

static struct options opt = {
	.each = 2, .stuck = 300, .ops = 10000, .rounds = 20, .lie = OP_COUNT,
};

static struct gen gen;
static struct model *cand[CANDS];
static int fds[WORKERS];
static unsigned char *data[ROUND];
static struct told history[HISTORY];
static unsigned int done, rounds, hooks, errors, counts[OP_COUNT];

/* The hook's process and what it says. */
static pid_t hook_pid;
static int hook_fd = -1;
static char hook_text[4096];
static size_t hook_len;
static int64_t hook_since;

static const char *const op_names[OP_COUNT] = {
	"create", "mkdir", "symlink", "link", "unlink", "rmdir", "rename",
	"lstat", "readdir", "readlink", "read", "write", "append", "truncate",
	"chmod", "chown", "utimens", "setxattr", "getxattr", "removexattr",
	"listxattr", "open", "close", "pread", "pwrite", "fappend",
	"ftruncate", "fstat", "fsync",
};

static int64_t clock_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

/* ---- telling ---- */

static void print_cmd(const struct cmd *c)
{
	char a[8192], b[8192];

	fprintf(stderr, "  op %u mount %u worker %u %s", c->id,
		mount_of(&gen, c->worker) + 1, c->worker, op_names[c->op]);
	if (c->op < OP_OPEN || c->op == OP_OPEN)
		fprintf(stderr, " '%s'", path_text(&c->a, a));
	if (c->op >= OP_OPEN)
		fprintf(stderr, " slot %u", c->slot);
	if (c->b.n)
		fprintf(stderr, " '%s'", path_text(&c->b, b));
	if (c->flags)
		fprintf(stderr, " flags %#x", c->flags);
	switch (c->op) {
	case OP_WRITE: case OP_PWRITE: case OP_PREAD:
		fprintf(stderr, " %u at %llu", c->len,
			(unsigned long long)c->off);
		break;
	case OP_APPEND: case OP_FAPPEND:
		fprintf(stderr, " %u", c->len);
		break;
	case OP_TRUNCATE: case OP_FTRUNC:
		fprintf(stderr, " to %llu", (unsigned long long)c->off);
		break;
	case OP_SETX: case OP_GETX: case OP_RMX:
		fprintf(stderr, " user.x%u", c->xname);
		break;
	}
}

static void print_told(const struct told *t)
{
	print_cmd(&t->cmd);
	fprintf(stderr, ": %s", t->err ? strerrorname_np(t->err) : "ok");
	if (t->ino)
		fprintf(stderr, ", inode %llu", (unsigned long long)t->ino);
	fprintf(stderr, "%s\n", t->racing ? " (at the same time)" : "");
}

static bool same_path(const struct path *a, const struct path *b)
{
	return a->n == b->n && !memcmp(a->c, b->c, a->n);
}

static bool concerns(const struct cmd *c, const struct cmd *of)
{
	if (c->op >= OP_OPEN && of->op >= OP_OPEN)
		return c->worker == of->worker && c->slot == of->slot;
	if (of->op > OP_OPEN)
		return false;
	return same_path(&c->a, &of->a) ||
	       (c->b.n && same_path(&c->b, &of->a)) ||
	       (of->b.n && same_path(&c->a, &of->b));
}

static void print_history(const struct cmd *of)
{
	unsigned int from = done > HISTORY ? done - HISTORY : 0, i, n = 0;

	fprintf(stderr, " what concerned the same name or descriptor:\n");
	for (i = done; i > from && n < 25; i--)
		n += concerns(&history[(i - 1) % HISTORY].cmd, of);
	for (; i < done; i++)
		if (concerns(&history[i % HISTORY].cmd, of))
			print_told(&history[i % HISTORY]);
	fprintf(stderr, " the last operations:\n");
	for (i = done > from + 15 ? done - 15 : from; i < done; i++)
		print_told(&history[i % HISTORY]);
}

static void remember(const struct deed *d)
{
	struct told *t = &history[done++ % HISTORY];

	t->cmd = d->cmd;
	t->err = d->res.err;
	t->ino = d->res.ino;
	t->racing = d->racing;
	counts[d->cmd.op]++;
	errors += d->res.err != 0;
}

static void failed_head(void)
{
	fprintf(stderr, "opsnodes: FAILED seed %llu after %u operations: ",
		(unsigned long long)opt.seed, done);
}

/* ---- the hook ---- */

static void hook_start(const char *command)
{
	int pipes[2];

	if (pipe2(pipes, O_CLOEXEC) < 0)
		die("opsnodes: pipe: %m");
	hook_pid = fork();
	if (hook_pid < 0)
		die("opsnodes: fork: %m");
	if (!hook_pid) {
		dup2(pipes[1], 1);
		execl("/bin/sh", "sh", "-c", command, NULL);
		_exit(127);
	}
	close(pipes[1]);
	hook_fd = pipes[0];
	hook_len = 0;
	hook_since = clock_ns(CLOCK_MONOTONIC);
	hooks++;
}

/* A node that was away has lost what only its descriptors held. */
static bool lost(const struct model *m, unsigned int w, unsigned int s)
{
	uint16_t in = m->slot[w][s].inode;

	return in && !m->in[in].nlink;
}

static void send_cmd(const struct cmd *c)
{
	if (!write_all(fds[c->worker], c, sizeof(*c)))
		die("opsnodes: worker %u is gone: %m", c->worker);
}

static void receive(const struct cmd *c, struct result *r, unsigned char *to)
{
	if (!read_all(fds[c->worker], r, sizeof(*r)) || r->len > DATA_MAX ||
	    !read_all(fds[c->worker], to, r->len))
		die("opsnodes: FAILED worker %u is gone", c->worker);
}

static void close_lost(unsigned int mount)
{
	struct deed d = { .data = data[0] };
	unsigned int w, s, k;

	for (w = 0; w < gen.workers; w++) {
		for (s = 0; s < SLOTS; s++) {
			if (mount_of(&gen, w) != mount ||
			    !lost(cand[0], w, s))
				continue;
			gen_start(&gen, &d.cmd, OP_CLOSE, w);
			d.cmd.slot = s;
			send_cmd(&d.cmd);
			receive(&d.cmd, &d.res, d.data);
			d.res.err = 0;
			remember(&d);
			for (k = 0; k < gen.ncand; k++)
				model_apply(cand[k], &d);
		}
	}
}

/* "avoid K", "use K": mount K is away for a while, is back. */
static void hook_said(char *text)
{
	unsigned int k;
	char *line;

	for (line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
		if (sscanf(line, "avoid %u", &k) == 1 && k <= gen.mounts) {
			gen.avoid |= 1u << (k - 1);
		} else if (sscanf(line, "use %u", &k) == 1 &&
			   k <= gen.mounts) {
			gen.avoid &= ~(1u << (k - 1));
			close_lost(k - 1);
		} else {
			die("opsnodes: the hook says '%s'", line);
		}
	}
}

static void hook_read(void)
{
	ssize_t n = read(hook_fd, hook_text + hook_len,
			 sizeof(hook_text) - 1 - hook_len);

	if (n > 0) {
		hook_len += n;
		return;
	}
	hook_text[hook_len] = '\0';
	close(hook_fd);
	hook_fd = -1;
}

static void hook_end(void)
{
	int status;

	if (waitpid(hook_pid, &status, 0) < 0 || status) {
		failed_head();
		die("a hook (run %u)", hooks);
	}
	hook_pid = 0;
	hook_said(hook_text);
}

/* ---- doing ---- */

static void check_stuck(const struct deed *d, unsigned int n, uint32_t open,
			int64_t since)
{
	unsigned int i;

	/* what the hook does to the nodes is no fault of theirs */
	if (hook_fd >= 0 || since < hook_since)
		since = hook_since;
	if (clock_ns(CLOCK_MONOTONIC) - since < opt.stuck * 1000000000LL)
		return;
	failed_head();
	fprintf(stderr, "no answer for %u s to\n", opt.stuck);
	for (i = 0; i < n; i++) {
		if (!(open & 1u << i))
			continue;
		print_cmd(&d[i].cmd);
		fputc('\n', stderr);
	}
	if (hook_fd >= 0)
		fprintf(stderr, " a hook runs\n");
	if (n)
		print_history(&d[0].cmd);
	exit(1);
}

static void wait_answers(struct deed *d, unsigned int n)
{
	int64_t since = clock_ns(CLOCK_MONOTONIC);
	struct pollfd p[ROUND + 1];
	uint32_t open = (1u << n) - 1;
	unsigned int i;

	while (open || hook_fd >= 0) {
		for (i = 0; i < n; i++)
			p[i] = (struct pollfd){
				open & 1u << i ? fds[d[i].cmd.worker] : -1,
				POLLIN };
		p[n] = (struct pollfd){ hook_fd, POLLIN };
		if (poll(p, n + 1, 1000) <= 0) {
			check_stuck(d, n, open, since);
			continue;
		}
		for (i = 0; i < n; i++) {
			if (!p[i].revents)
				continue;
			receive(&d[i].cmd, &d[i].res, d[i].data);
			open &= ~(1u << i);
		}
		if (p[n].revents)
			hook_read();
	}
}

#define WHYS		8

/* What a deed's names were before, in the first state; 0: absent. */
struct seen {
	uint64_t ino[2];
	uint32_t mode[2];
};

struct search {
	const struct deed *d;
	struct seen seen[ROUND];
	unsigned int n, nnew, nwhy;
	struct model *new[CANDS];
	char why[WHYS][600];	/* of the first states that were possible */
};

static void look_back(struct seen *s, unsigned int k, const struct path *p)
{
	uint16_t in;

	if (!p->n || model_find(cand[0], p, &in))
		return;
	s->mode[k] = cand[0]->in[in].mode;
	s->ino[k] = cand[0]->in[in].ino;
}

static void print_seen(const struct seen *s, const struct cmd *c)
{
	const struct path *p[] = { &c->a, &c->b };
	char buf[8192];
	unsigned int k;

	for (k = 0; k < 2; k++)
		if (p[k]->n)
			fprintf(stderr, "    before: '%s' mode %o, inode %llu\n",
				path_text(p[k], buf), s->mode[k],
				(unsigned long long)s->ino[k]);
}

static void contradicted(struct search *s, unsigned int state)
{
	if (state < WHYS && s->nwhy == state)
		strcpy(s->why[s->nwhy++], why);
}

static void keep(struct search *s, struct model *m)
{
	unsigned int i;

	for (i = 0; i < s->nnew; i++)
		if (model_equal(s->new[i], m))
			break;
	if (i < s->nnew)
		model_free(m);
	else if (s->nnew == CANDS)
		die("opsnodes: more than %u states are possible", CANDS);
	else
		s->new[s->nnew++] = m;
}

/* Every order of those that are left; takes @m. @state: its number. */
static void orders(struct search *s, struct model *m, uint32_t left,
		   unsigned int state)
{
	struct model *next;
	unsigned int i;

	if (!left) {
		keep(s, m);
		return;
	}
	for (i = 0; i < s->n; i++) {
		if (!(left & 1u << i))
			continue;
		next = model_clone(m);
		if (model_apply(next, &s->d[i])) {
			orders(s, next, left & ~(1u << i), state);
			continue;
		}
		contradicted(s, state);
		model_free(next);
	}
	model_free(m);
}

__attribute__((noreturn))
static void fail_deeds(const struct search *s)
{
	unsigned int i;

	failed_head();
	if (s->n == 1)
		fprintf(stderr, "%s\n", s->why[0]);
	else
		fprintf(stderr, "no order of %u operations at the same time explains their results (%s)\n",
			s->n, s->why[0]);
	for (i = 1; i < s->nwhy; i++)
		fprintf(stderr, "  or, had others been first: %s\n", s->why[i]);
	for (i = 0; i < s->n; i++) {
		print_cmd(&s->d[i].cmd);
		fprintf(stderr, ": %s, value %lld, inode %llu\n",
			s->d[i].res.err ? strerrorname_np(s->d[i].res.err) :
					  "ok",
			(long long)s->d[i].res.value,
			(unsigned long long)s->d[i].res.ino);
		print_seen(&s->seen[i], &s->d[i].cmd);
	}
	print_history(&s->d[0].cmd);
	exit(1);
}

static void explain(const struct deed *d, unsigned int n)
{
	struct search s = { .d = d, .n = n };
	unsigned int k;

	for (k = 0; k < n; k++) {
		look_back(&s.seen[k], 0, &d[k].cmd.a);
		look_back(&s.seen[k], 1, &d[k].cmd.b);
	}
	for (k = 0; k < gen.ncand; k++)
		orders(&s, cand[k], (1u << n) - 1, k);
	if (!s.nnew)
		fail_deeds(&s);
	memcpy(cand, s.new, sizeof(cand));
	gen.ncand = s.nnew;
}

/* --away is half a turn after --hook. */
static bool hook_due(unsigned int odd)
{
	return opt.hook_every && hooks % 2 == odd &&
	       done >= (hooks + 1) * opt.hook_every / 2;
}

static void run_away(void)
{
	if (!opt.away) {
		hooks++;
		return;
	}
	hook_start(opt.away);
	wait_answers(NULL, 0);
	hook_end();
}

static void do_deeds(const struct cmd *c, unsigned int n)
{
	int64_t t0 = clock_ns(CLOCK_REALTIME_COARSE);
	struct deed d[ROUND];
	unsigned int i;

	for (i = 0; i < n; i++) {
		d[i] = (struct deed){ .cmd = c[i], .data = data[i], .t0 = t0,
				      .racing = n > 1 };
		if (c[i].op == opt.lie && done > opt.ops / 4)
			d[i].cmd.lie = 1;
		send_cmd(&d[i].cmd);
	}
	if (opt.hook && hook_due(0))
		hook_start(opt.hook);
	wait_answers(d, n);
	explain(d, n);
	for (i = 0; i < n; i++)
		remember(&d[i]);
	if (hook_pid)
		hook_end();
}

static void look_at(unsigned int worker, unsigned int op, struct path p,
		    unsigned int xname)
{
	struct cmd c;

	gen_start(&gen, &c, op, worker);
	c.a = p;
	c.xname = xname;
	do_deeds(&c, 1);
}

/* Find out which order it was, or states become more and more. */
static void settle(const struct cmd *c, struct path p, unsigned int before)
{
	static const uint8_t ops[] = {
		OP_LSTAT, OP_READ, OP_GETX, OP_GETX, OP_GETX,
	};
	unsigned int i;

	for (i = 0; p.n && i < ARRAY_SIZE(ops) && gen.ncand > before; i++)
		look_at(c->worker, ops[i], p, i % XATTRS);
}

static void run_round(void)
{
	struct cmd c[ROUND], look;
	unsigned int n = gen_round(&gen, c), before = gen.ncand, i;

	if (!n)
		return;
	do_deeds(c, n);
	rounds++;
	for (i = 0; i < n; i++) {
		if (gen_look(&gen, &look, &c[i]))
			do_deeds(&look, 1);
	}
	for (i = 0; i < n; i++) {
		settle(&c[i], c[i].a, before);
		settle(&c[i], c[i].b, before);
	}
}

static void run(void)
{
	struct cmd c, look;

	while (done < opt.ops) {
		if (hook_due(1))
			run_away();
		if (opt.rounds && below(&gen.rng, 100) < opt.rounds) {
			run_round();
			continue;
		}
		gen_one(&gen, &c);
		do_deeds(&c, 1);
		if (!op_reads(c.op) && one_in(&gen.rng, 2) &&
		    gen_look(&gen, &look, &c))
			do_deeds(&look, 1);
	}
}

/* ---- the end: every mount looks at everything ---- */

static void check_tree(unsigned int worker, uint16_t dir)
{
	struct path p = path_to(cand[0], dir), e;
	const struct model *m;
	unsigned int k;
	uint16_t in;

	look_at(worker, OP_READDIR, p, 0);
	for (k = 1; k < NAMES; k++) {
		m = cand[0];
		in = m->in[dir].ent[k];
		if (!in)
			continue;
		e = p;
		e.c[e.n++] = k;
		look_at(worker, OP_LSTAT, e, 0);
		if (S_ISREG(m->in[in].mode))
			look_at(worker, OP_READ, e, 0);
		m = cand[0];
		if (is_dir(&m->in[in]))
			check_tree(worker, in);
	}
}

static void check_all(void)
{
	unsigned int w, s;
	struct cmd c;

	opt.hook_every = 0;
	while (gen.avoid)
		run_away();
	for (w = 0; w < gen.mounts; w++)
		check_tree(w, 1);
	for (w = 0; w < gen.workers; w++) {
		for (s = 0; s < SLOTS; s++) {
			if (!cand[0]->slot[w][s].inode)
				continue;
			gen_start(&gen, &c, OP_CLOSE, w);
			c.slot = s;
			do_deeds(&c, 1);
		}
	}
}

/* ---- start ---- */

static pid_t start_worker(unsigned int w)
{
	const char *dir = opt.mount[w % opt.mounts];
	const char *how = opt.run[w % opt.mounts];
	char text[4096];
	int pair[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		die("opsnodes: socketpair: %m");
	pid = fork();
	if (pid < 0)
		die("opsnodes: fork: %m");
	if (pid) {
		close(pair[1]);
		fds[w] = pair[0];
		return pid;
	}
	if (!how) {
		close(pair[0]);
		exit(worker_main(pair[1], dir));
	}
	dup2(pair[1], 0);
	snprintf(text, sizeof(text), "exec %s opsnodes --worker '%s'", how, dir);
	execl("/bin/sh", "sh", "-c", text, NULL);
	_exit(127);
}

/* The tree is in DIR/r, made through the first mount. */
static void prepare(void)
{
	unsigned int w;
	char *dir;

	gen.rng.state = opt.seed;
	gen.mounts = opt.mounts;
	gen.workers = opt.mounts * opt.each;
	gen.cand = cand;
	gen.ncand = 1;
	cand[0] = xalloc(sizeof(*cand[0]));
	model_root(cand[0], S_IFDIR | 0755, clock_ns(CLOCK_REALTIME_COARSE));
	for (w = 0; w < ROUND; w++)
		data[w] = xalloc(DATA_MAX);
	for (w = 0; w < opt.mounts; w++) {
		if (asprintf(&dir, "%s/r", opt.mount[w]) < 0)
			die("out of memory");
		opt.mount[w] = dir;
	}
	umask(0);
	if (mkdir(opt.mount[0], 0755) < 0)
		die("opsnodes: mkdir %s: %m", opt.mount[0]);
	for (w = 0; w < gen.workers; w++)
		start_worker(w);
}

static const struct option longopts[] = {
	{ "mount", required_argument, NULL, 'm' },
	{ "run", required_argument, NULL, 'R' },
	{ "each", required_argument, NULL, 'e' },
	{ "seed", required_argument, NULL, 's' },
	{ "ops", required_argument, NULL, 'n' },
	{ "rounds", required_argument, NULL, 'r' },
	{ "hook", required_argument, NULL, 'k' },
	{ "away", required_argument, NULL, 'a' },
	{ "hook-every", required_argument, NULL, 'K' },
	{ "stuck", required_argument, NULL, 't' },
	{ "lie", required_argument, NULL, 'l' },
	{ "worker", required_argument, NULL, 'w' },
	{ "help", no_argument, NULL, 'h' },
	{ }
};

__attribute__((noreturn))
static void usage(int status)
{
	fputs("usage: opsnodes --mount DIR [--mount DIR...] [--seed N] [--ops N]\n"
	      "  --mount DIR    the same empty directory by each mount; the tree is\n"
	      "                 made in DIR/r, through the first one\n"
	      "  --run COMMAND  starts the workers of the mount named before it, such as\n"
	      "                 'ssh HOST'; not the first one's\n"
	      "  --each N       workers of a mount (2)\n"
	      "  --ops N        operations (10000)\n"
	      "  --rounds N     so many of 100 steps are several operations at\n"
	      "                 the same time (20)\n"
	      "  --hook CMD --away CMD --hook-every N\n"
	      "                 run CMD each time N operations are done: --hook while\n"
	      "                 others are under way; --away alone, and it may say\n"
	      "                 'avoid K' or 'use K': mount K is away, is back\n"
	      "  --stuck S      fail when an answer takes S seconds (300)\n"
	      "  --lie OP       wrong results of OP: the run must fail\n",
	      status ? stderr : stdout);
	exit(status);
}

static unsigned int parse_op(const char *name)
{
	unsigned int i;

	for (i = 0; i < OP_COUNT; i++)
		if (!strcmp(op_names[i], name))
			return i;
	die("opsnodes: no operation '%s'", name);
}

static void parse(int argc, char **argv)
{
	int c;

	opt.seed = default_seed();
	while ((c = getopt_long(argc, argv, "", longopts, NULL)) != -1) {
		switch (c) {
		case 'm':
			if (opt.mounts == MOUNTS)
				usage(2);
			opt.mount[opt.mounts++] = optarg;
			break;
		case 'R':
			if (opt.mounts < 2)
				usage(2);
			opt.run[opt.mounts - 1] = optarg;
			break;
		case 'e': opt.each = parse_num("--each", optarg); break;
		case 's': opt.seed = parse_num("--seed", optarg); break;
		case 'n': opt.ops = parse_num("--ops", optarg); break;
		case 'r': opt.rounds = parse_num("--rounds", optarg); break;
		case 'k': opt.hook = optarg; break;
		case 'a': opt.away = optarg; break;
		case 'K': opt.hook_every = parse_num("--hook-every", optarg);
			  break;
		case 't': opt.stuck = parse_num("--stuck", optarg); break;
		case 'l': opt.lie = parse_op(optarg); break;
		case 'w': exit(worker_main(0, optarg));
		case 'h': usage(0);
		default: usage(2);
		}
	}
	if (opt.hook_every && !opt.hook)
		opt.hook = "true";
	if (!opt.mounts || optind != argc || !opt.each ||
	    opt.mounts * opt.each > WORKERS || opt.mounts * opt.each < 2)
		usage(2);
}

int main(int argc, char **argv)
{
	unsigned int i;

	parse(argc, argv);
	signal(SIGPIPE, SIG_IGN);
	fprintf(stderr, "opsnodes: seed %llu, %u operations, %u mounts, %u workers\n",
		(unsigned long long)opt.seed, opt.ops, opt.mounts,
		opt.mounts * opt.each);
	prepare();
	run();
	check_all();
	printf("opsnodes: %u operations, %u rounds of several at the same time, %u answered with an error, %u hooks, seed %llu\n",
	       done, rounds, errors, hooks,
	       (unsigned long long)opt.seed);
	for (i = 0; i < OP_COUNT; i++)
		printf("%s %u%s", op_names[i], counts[i],
		       i == OP_COUNT - 1 ? "\n" : ", ");
	return 0;
}
