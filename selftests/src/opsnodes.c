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
#include "opsnodes_run.h"

struct options opt = {
	.each = 2, .stuck = 300, .slow = 300, .ops = 10000, .rounds = 20,
	.lie = OP_COUNT,
};

struct gen gen;
struct model *cand[CANDS];
int fds[WORKERS];
unsigned int done, rounds, errors, counts[OP_COUNT];

static unsigned char *data[ROUND];
static struct rng pretend;

int64_t clock_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

/* ---- doing ---- */

void send_cmd(const struct cmd *c)
{
	if (!write_all(fds[c->worker], c, sizeof(*c)))
		die("opsnodes: worker %u is gone: %m", c->worker);
}

void receive(const struct cmd *c, struct result *r, unsigned char *to)
{
	if (!read_all(fds[c->worker], r, sizeof(*r)) || r->len > DATA_MAX ||
	    !read_all(fds[c->worker], to, r->len))
		die("opsnodes: FAILED worker %u is gone", c->worker);
}

void await(unsigned int busy, bool hook, int ms)
{
	struct pollfd p[WORKERS + 1];
	unsigned int w;

	for (w = 0; w < gen.workers; w++)
		p[w] = (struct pollfd){ busy & 1u << w ? fds[w] : -1, POLLIN };
	p[w] = (struct pollfd){ hook ? hook_poll_fd() : -1, POLLIN };
	poll(p, w + 1, ms);
}

static void check_stuck(const struct deed *d, unsigned int n, uint32_t open,
			int64_t since)
{
	unsigned int i;

	/* what the hook does to the nodes is no fault of theirs */
	if (since < hook_began())
		since = hook_began();
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
	if (hook_runs())
		fprintf(stderr, " a hook runs\n");
	if (n)
		print_history(&d[0].cmd);
	exit(1);
}

/*
 * Waits for answers; bits: those that are still to come, as faults keep them
 * back, and the others had better go on.
 */
static uint32_t wait_answers(struct deed *d, unsigned int n)
{
	int64_t since = clock_ns(CLOCK_MONOTONIC);
	uint32_t open = (1u << n) - 1;
	struct pollfd p[ROUND];
	unsigned int i;
	int ms;

	while (open) {
		for (i = 0; i < n; i++)
			p[i] = (struct pollfd){
				open & 1u << i ? fds[d[i].cmd.worker] : -1,
				POLLIN };
		ms = hook_runs() || gen.busy ? (int)opt.slow : 1000;
		if (poll(p, n, ms) <= 0) {
			if ((hook_runs() || gen.busy) &&
			    clock_ns(CLOCK_MONOTONIC) - since >=
			    opt.slow * 1000000LL)
				break;
			check_stuck(d, n, open, since);
			continue;
		}
		for (i = 0; i < n; i++) {
			if (!p[i].revents)
				continue;
			receive(&d[i].cmd, &d[i].res, d[i].data);
			open &= ~(1u << i);
		}
	}
	return open;
}

/* A slow one, or one whose answer may be wrong: what is left is to explain. */
static unsigned int set_aside(struct deed *d, unsigned int n, uint32_t open)
{
	struct deed left[ROUND];
	unsigned int i, k = 0;

	for (i = 0; i < n; i++) {
		bool late = open & 1u << i;

		if (late || unsure_answer(&d[i]))
			doubt_add(&d[i], late);
		else
			left[k++] = d[i];
	}
	memcpy(d, left, k * sizeof(*d));
	return k;
}

static void do_deeds(const struct cmd *c, unsigned int n)
{
	int64_t t0 = clock_ns(CLOCK_REALTIME_COARSE);
	struct deed d[ROUND];
	unsigned int i;
	uint32_t open;

	for (i = 0; i < n; i++) {
		d[i] = (struct deed){ .cmd = c[i], .data = data[i], .t0 = t0,
				      .racing = n > 1 };
		if (c[i].op == opt.lie && done > opt.ops / 4)
			d[i].cmd.lie = LIE;
		else if (opt.pretend && unsure && one_in(&pretend, opt.pretend))
			d[i].cmd.lie = PRETEND_NOT_DONE + below(&pretend, 3);
		send_cmd(&d[i].cmd);
	}
	open = wait_answers(d, n);
	for (i = 0; i < n; i++) {
		remember(&d[i], open & 1u << i);
		d[i].racing |= doubts_concern(&d[i]);
		/* locality.md: where a home is away the record's are shown */
		d[i].stale = unsure;
	}
	explain(d, set_aside(d, n, open));
	doubts_hear();
	hook_hear();
}

void look_at(unsigned int worker, unsigned int op, struct path p,
		    unsigned int xname)
{
	struct cmd c;

	gen_start(&gen, &c, op, worker);
	c.a = p;
	c.xname = xname;
	do_deeds(&c, 1);
}

void look_slot(unsigned int worker, unsigned int slot)
{
	unsigned int acc = cand[0]->slot[worker][slot].flags & O_ACCMODE;
	struct cmd c;

	if (!gen_usable(&gen, worker))
		return;
	gen_start(&gen, &c, acc == O_WRONLY ? OP_FSTAT : OP_PREAD, worker);
	c.slot = slot;
	c.len = DATA_MAX;
	do_deeds(&c, 1);
}

void settle(const struct cmd *c, struct path p, unsigned int before)
{
	static const uint8_t ops[] = {
		OP_LSTAT, OP_READ, OP_GETX, OP_GETX, OP_GETX,
	};
	unsigned int i;

	for (i = 0; p.n && i < ARRAY_SIZE(ops) && gen.ncand > before; i++)
		if (gen_any_usable(&gen))
			look_at(gen_usable(&gen, c->worker) ? c->worker :
				gen_worker(&gen), ops[i], p, i % XATTRS);
}

/* Another mount looks at what has been done. */
static void look_after(const struct cmd *c)
{
	struct cmd look;

	if (gen_any_usable(&gen) && gen_look(&gen, &look, c))
		do_deeds(&look, 1);
}

static void run_round(void)
{
	struct cmd c[ROUND];
	unsigned int n = gen_round(&gen, c), before = gen.ncand, i;

	if (!n)
		return;
	do_deeds(c, n);
	rounds++;
	for (i = 0; i < n; i++)
		look_after(&c[i]);
	for (i = 0; i < n; i++) {
		settle(&c[i], c[i].a, before);
		settle(&c[i], c[i].b, before);
	}
}

static void run_one(void)
{
	unsigned int before = gen.ncand;
	struct cmd c;

	gen_one(&gen, &c);
	do_deeds(&c, 1);
	if (op_reads(c.op) || (gen.ncand <= before && !one_in(&gen.rng, 2)))
		return;
	look_after(&c);
	settle(&c, c.a, before);
	settle(&c, c.b, before);
}

static bool time_is_up(void)
{
	static int64_t began;
	int64_t now = clock_ns(CLOCK_MONOTONIC);

	if (!began)
		began = now;
	return opt.seconds && now - began >= opt.seconds * 1000000000LL;
}

static void run(void)
{
	while (done < opt.ops && !time_is_up()) {
		hook_due();
		hook_hear();
		doubts_hear();
		if (!gen_any_usable(&gen))
			await(gen.busy, true, 1000);
		else if (opt.rounds && below(&gen.rng, 100) < opt.rounds)
			run_round();
		else
			run_one();
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

	hook_finish();
	doubts_end();
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
	pretend.state = ~opt.seed;
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
	{ "seconds", required_argument, NULL, 'T' },
	{ "rounds", required_argument, NULL, 'r' },
	{ "hook", required_argument, NULL, 'k' },
	{ "slow", required_argument, NULL, 'S' },
	{ "hook-every", required_argument, NULL, 'K' },
	{ "stuck", required_argument, NULL, 't' },
	{ "lie", required_argument, NULL, 'l' },
	{ "pretend", required_argument, NULL, 'p' },
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
	      "  --seconds N    no more than those of N seconds\n"
	      "  --rounds N     so many of 100 steps are several operations at\n"
	      "                 the same time (20)\n"
	      "  --hook CMD --hook-every N\n"
	      "                 run CMD beside the operations, N operations after its last\n"
	      "                 end; OPSNODES_HOOK is its number. It may say: 'avoid K',\n"
	      "                 'use K': mount K is away, is back; 'unsure': what fails with\n"
	      "                 EIO, ETIMEDOUT, ESTALE may have been done, or will be; 'unsynced':\n"
	      "                 fsync may fail with EIO; 'hold': begin nothing;\n"
	      "                 'sure': from now on what failed wasn't done\n"
	      "  --slow MS      go on with others when CMD runs and an answer takes so\n"
	      "                 long (300)\n"
	      "  --stuck S      fail when an answer takes S seconds (300)\n"
	      "  --pretend N    while unsure, one of N operations fails, done or not,\n"
	      "                 or is slow: the run must not fail\n"
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
		case 'T': opt.seconds = parse_num("--seconds", optarg); break;
		case 'r': opt.rounds = parse_num("--rounds", optarg); break;
		case 'k': opt.hook = optarg; break;
		case 'S': opt.slow = parse_num("--slow", optarg); break;
		case 'K': opt.hook_every = parse_num("--hook-every", optarg);
			  break;
		case 't': opt.stuck = parse_num("--stuck", optarg); break;
		case 'l': opt.lie = parse_op(optarg); break;
		case 'p': opt.pretend = parse_num("--pretend", optarg); break;
		case 'w': exit(worker_main(0, optarg));
		case 'h': usage(0);
		default: usage(2);
		}
	}
	if (opt.hook && !opt.hook_every)
		opt.hook_every = 100;
	if (!opt.hook)
		opt.hook_every = 0;
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
