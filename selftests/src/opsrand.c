// SPDX-License-Identifier: GPL-2.0-only
/*
 * opsrand: random file operations by several processes against a model in
 * memory. Each process has a subtree of its own, where everything that the
 * file system answers is known beforehand, and a share in one directory with
 * rules that hold in any order. The same seed gives a process the same
 * operations. Meant to be run on another file system too, which tells whether
 * the model is right.
 */
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include "model.h"

struct op {
	const char *name;
	void (*run)(struct proc *p);
	unsigned int weight;
};

static const struct op ops[] = {
	{ "create", op_create, 9 },
	{ "open_creat", op_open_creat, 4 },
	{ "mkdir", op_mkdir, 4 },
	{ "symlink", op_symlink, 2 },
	{ "mknod", op_mknod, 1 },
	{ "link", op_link, 4 },
	{ "unlink", op_unlink, 9 },
	{ "rmdir", op_rmdir, 3 },
	{ "rename", op_rename, 9 },
	{ "tmpfile", op_tmpfile, 2 },
	{ "badname", op_badname, 2 },
	{ "chmod", op_chmod, 3 },
	{ "chown", op_chown, 3 },
	{ "utimens", op_utimens, 3 },
	{ "xattr", op_xattr, 4 },
	{ "stat", op_stat, 6 },
	{ "readdir", op_readdir, 3 },
	{ "write", op_write, 10 },
	{ "append", op_append, 4 },
	{ "truncate", op_truncate, 4 },
	{ "fallocate", op_fallocate, 4 },
	{ "mmap", op_mmap, 3 },
	{ "copy", op_copy, 3 },
	{ "seek", op_seek, 2 },
	{ "read", op_read, 6 },
	{ "verify", op_verify, 5 },
	{ "open", op_open, 4 },
	{ "close", op_close, 4 },
	{ "fd", op_fd, 12 },
	{ "fsync", op_fsync, 1 },
	{ "shared", op_shared, 8 },
};

struct options {
	const char *dir;
	const char *between;
	const char *hook;
	uint64_t seed;
	unsigned int ops, procs, stuck, drop, hook_every;
	bool wreck;
};

/* Shared by parent and children. */
struct board {
	_Atomic unsigned int waiting;	/* done, waits for --between */
	_Atomic bool go;
	_Atomic unsigned int unsupported;
	unsigned int counts[2 * 256];	/* appended, then counter updates */
	struct progress progress[256];
};

static struct board *board;
static struct options opt = {
	.ops = 10000, .procs = 8, .stuck = 300,
};

static const struct op *pick_op(struct proc *p)
{
	static unsigned int total;
	unsigned int i, w;

	if (!total)
		for (i = 0; i < ARRAY_SIZE(ops); i++)
			total += ops[i].weight;
	w = below(&p->rng, total);
	for (i = 0; w >= ops[i].weight; i++)
		w -= ops[i].weight;
	return &ops[i];
}

static uint64_t mono(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec;
}

static void proc_init(struct proc *p, unsigned int num)
{
	char path[PATH_LEN];

	memset(p, 0, sizeof(*p));
	p->num = num;
	p->seed = opt.seed;
	p->rng.state = opt.seed * 1000003 + num;
	p->srng.state = opt.seed * 7368787 + num + 77;
	p->progress = &board->progress[num];
	p->buf = xpages(SIZE_MAX_FILE + 65536);
	p->buf2 = xpages(SIZE_MAX_FILE + 65536);
	snprintf(p->root, sizeof(p->root), "%s/p%u", opt.dir, num);
	snprintf(p->shared, sizeof(p->shared), "%s/shared", opt.dir);
	p->opname = "setup";
	p->t0 = now_coarse();
	if (mkdir(p->root, 0755) < 0)
		die("opsrand: mkdir %s: %m", p->root);
	p->tree = node_new(p, S_IFDIR | 0755, NULL);
	adopt(p, p->tree, dir_path(p, p->tree, path));
}

static void drop_caches(struct proc *p)
{
	int fd = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);

	note(p, NULL, NULL, "drop caches");
	if (fd < 0 || write(fd, "3", 1) != 1)
		fail(p, NULL, "drop_caches: %m");
	close(fd);
}

/* --wreck: change a file behind the model's back, to see the test fail. */
static void wreck(struct proc *p)
{
	char path[PATH_LEN];
	struct node *dir;
	struct entry *e = pick_entry(p, S_IFREG, &dir);
	int fd;

	if (!e || !e->node->size)
		return;
	fd = open(entry_path(p, dir, e->name, path), O_WRONLY);
	if (fd >= 0 && pwrite(fd, "WRECKED!", 8, 0) == 8)
		opt.wreck = false;
	close(fd);
}

static int proc_main(unsigned int num)
{
	struct proc *p = xalloc(sizeof(*p));
	const struct op *op;

	umask(0);
	proc_init(p, num);
	for (p->op = 1; p->op <= opt.ops / opt.procs; p->op++) {
		op = pick_op(p);
		p->opname = op->name;
		p->t0 = now_coarse();
		p->progress->op = p->op;
		p->progress->since = mono();
		op->run(p);
		if (opt.drop && num == 0 && p->op % opt.drop == 0)
			drop_caches(p);
		if (opt.wreck && p->op * opt.procs > opt.ops / 2)
			wreck(p);
	}
	p->opname = "end";
	close_all(p);
	p->progress->since = mono();
	check_all(p);
	board->counts[num] = p->appended;
	board->counts[opt.procs + num] = p->tokens;
	board->unsupported |= p->unsupported;
	if (opt.between) {
		board->waiting++;
		while (!board->go)
			usleep(20000);
		p->progress->since = mono();
		check_all(p);
	}
	return 0;
}

/* ---- the parent ---- */

static pid_t pids[256];

static void stop_all(void)
{
	unsigned int i;

	for (i = 0; i < opt.procs; i++)
		if (pids[i] > 0)
			kill(pids[i], SIGKILL);
}

static void check_stuck(void)
{
	unsigned int i, bad = 0;

	for (i = 0; i < opt.procs; i++) {
		struct progress *g = &board->progress[i];
		/* first of the two: it may move on meanwhile */
		uint64_t since = g->since;

		if (pids[i] <= 0 || !since || mono() - since < opt.stuck)
			continue;
		fprintf(stderr, "opsrand: FAILED process %u (pid %d) hangs for %u s in op %u: %s\n",
			i, pids[i], opt.stuck, g->op, g->what);
		bad++;
	}
	if (bad) {
		stop_all();
		exit(1);
	}
}

static void run_between(void)
{
	fprintf(stderr, "opsrand: running '%s'\n", opt.between);
	if (system(opt.between) != 0) {
		fprintf(stderr, "opsrand: FAILED '%s'\n", opt.between);
		stop_all();
		exit(1);
	}
	board->go = true;
}

/* --hook at each so many operations of all processes together. */
static void run_hook(void)
{
	static unsigned int runs;
	unsigned int i, total = 0;

	for (i = 0; i < opt.procs; i++)
		total += board->progress[i].op;
	if (total < (runs + 1) * opt.hook_every)
		return;
	runs++;
	if (system(opt.hook) != 0) {
		fprintf(stderr, "opsrand: FAILED '%s' (run %u)\n", opt.hook,
			runs);
		stop_all();
		exit(1);
	}
}

/* Returns when all children are gone; the status of the worst. */
static int wait_all(unsigned int left)
{
	struct timespec tick = { 0, 50000000 };
	unsigned int i, failed = 0;
	sigset_t set;
	int status;
	pid_t pid;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	while (left) {
		pid = waitpid(-1, &status, WNOHANG);
		if (pid == 0) {
			if (opt.between && board->waiting == opt.procs &&
			    !board->go)
				run_between();
			if (opt.hook_every)
				run_hook();
			check_stuck();
			sigtimedwait(&set, NULL, &tick);
			continue;
		}
		for (i = 0; i < opt.procs; i++)
			if (pids[i] == pid)
				pids[i] = 0;
		left--;
		if (status && !failed++) {
			if (WIFSIGNALED(status))
				fprintf(stderr, "opsrand: FAILED a process died of signal %d\n",
					WTERMSIG(status));
			stop_all();
		}
	}
	return failed ? 1 : 0;
}

static const struct option longopts[] = {
	{ "dir", required_argument, NULL, 'd' },
	{ "seed", required_argument, NULL, 's' },
	{ "ops", required_argument, NULL, 'n' },
	{ "procs", required_argument, NULL, 'p' },
	{ "between", required_argument, NULL, 'b' },
	{ "hook", required_argument, NULL, 'k' },
	{ "hook-every", required_argument, NULL, 'K' },
	{ "drop", required_argument, NULL, 'D' },
	{ "stuck", required_argument, NULL, 't' },
	{ "wreck", no_argument, NULL, 'w' },
	{ "help", no_argument, NULL, 'h' },
	{ }
};

static void usage(FILE *out)
{
	fputs("usage: opsrand --dir DIR [--seed N] [--ops N] [--procs N]\n"
	      "  --ops N        operations of all processes together (10000)\n"
	      "  --procs N      processes (8)\n"
	      "  --between CMD  run CMD at the end, then compare once more\n"
	      "  --hook CMD --hook-every N\n"
	      "                 run CMD each time N operations are done\n"
	      "  --drop N       drop caches every N operations of a process\n"
	      "  --stuck S      fail when an operation takes S seconds (300)\n"
	      "  --wreck        damage a file: the run must fail\n", out);
}

static void parse(int argc, char **argv)
{
	int c;

	opt.seed = default_seed();
	while ((c = getopt_long(argc, argv, "", longopts, NULL)) != -1) {
		switch (c) {
		case 'd': opt.dir = optarg; break;
		case 's': opt.seed = parse_num("--seed", optarg); break;
		case 'n': opt.ops = parse_num("--ops", optarg); break;
		case 'p': opt.procs = parse_num("--procs", optarg); break;
		case 'b': opt.between = optarg; break;
		case 'k': opt.hook = optarg; break;
		case 'K': opt.hook_every = parse_num("--hook-every", optarg);
			  break;
		case 'D': opt.drop = parse_num("--drop", optarg); break;
		case 't': opt.stuck = parse_num("--stuck", optarg); break;
		case 'w': opt.wreck = true; break;
		case 'h': usage(stdout); exit(0);
		default: usage(stderr); exit(2);
		}
	}
	if (!opt.dir || !opt.procs || opt.procs > 256 || optind != argc) {
		usage(stderr);
		exit(2);
	}
}

static void print_unsupported(void)
{
	static const char *const names[] = {
		"punch", "zero", "collapse", "insert", "fallocate", "copy",
		"direct", "tmpfile", "xattr", "exchange", "clone",
	};
	unsigned int i;

	printf("opsrand: unsupported:");
	for (i = 0; i < ARRAY_SIZE(names); i++)
		if (board->unsupported & 1u << i)
			printf(" %s", names[i]);
	printf("%s\n", board->unsupported ? "" : " none");
}

int main(int argc, char **argv)
{
	char shared[1024];
	sigset_t set;
	unsigned int i;

	parse(argc, argv);
	setvbuf(stdout, NULL, _IOLBF, 0);
	umask(0);
	printf("opsrand: seed %llu, %u operations, %u processes in %s\n",
	       (unsigned long long)opt.seed, opt.ops, opt.procs, opt.dir);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (board == MAP_FAILED)
		die("opsrand: mmap: %m");
	if (mkdir(opt.dir, 0755) < 0 && errno != EEXIST)
		die("opsrand: mkdir %s: %m", opt.dir);
	snprintf(shared, sizeof(shared), "%s/shared", opt.dir);
	shared_setup(shared, opt.procs);
	for (i = 0; i < opt.procs; i++) {
		pids[i] = fork();
		if (pids[i] < 0)
			die("opsrand: fork: %m");
		if (pids[i] == 0) {
			sigprocmask(SIG_UNBLOCK, &set, NULL);
			_exit(proc_main(i));
		}
	}
	if (wait_all(opt.procs))
		return 1;
	shared_verify(shared, opt.procs, board->counts);
	print_unsupported();
	printf("opsrand: passed\n");
	return 0;
}
