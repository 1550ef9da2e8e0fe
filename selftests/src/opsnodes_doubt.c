// SPDX-License-Identifier: GPL-2.0-only
/*
 * opsnodes: what isn't known to have been done. While faults go on an answer
 * may say that it failed though it was carried out, or will be; and one that
 * is long in coming leaves the others at work meanwhile. Each state that is
 * possible then has it done or not, and looks tell which.
 */
#include <poll.h>
#include "opsnodes_run.h"

struct doubt doubts[DOUBTS];

/* What a worker hasn't answered yet. @doubt: DOUBTS if it changes nothing. */
struct late {
	struct cmd cmd;
	unsigned int doubt;
	int64_t since;
};

static struct late late[WORKERS];
static unsigned char thrown[DATA_MAX];

static bool of_faults(int err)
{
	return err == EIO || err == ETIMEDOUT || err == ESTALE;
}

/* vfs.md: a name that leads through what moves may be ESTALE the second time. */
static bool moves(void)
{
	unsigned int j;

	for (j = 0; j < DOUBTS; j++)
		if (doubts[j].used && doubts[j].open &&
		    doubts[j].deed.cmd.op == OP_RENAME)
			return true;
	return false;
}

bool unsure_answer(const struct deed *d)
{
	if (d->res.err == ESTALE && moves())
		return true;
	if (unsynced && d->cmd.op == OP_FSYNC && d->res.err == EIO)
		return true;
	return unsure && of_faults(d->res.err);
}

static void count_doubts(void)
{
	unsigned int j, n = 0;

	memset(gen.reserved, 0, sizeof(gen.reserved));
	for (j = 0; j < DOUBTS; j++) {
		const struct deed *d = &doubts[j].deed;

		if (!doubts[j].used)
			continue;
		n++;
		gen.reserved[d->cmd.newino] = true;
		gen.reserved[d->file] = true;
		gen.reserved[d->dir[0]] = true;
		gen.reserved[d->dir[1]] = true;
	}
	gen.no_rounds = n > 0;
	gen.look_only = n >= DOUBTS_LOOK;
}

void doubt_drop(unsigned int j)
{
	doubts[j].used = false;
	count_doubts();
}

bool doubt_do(struct model *m, unsigned int j, bool bound)
{
	struct deed d = doubts[j].deed, now = d;

	if (bound) {
		model_bind(m, &now);
		if (now.file == d.file && !memcmp(now.dir, d.dir, sizeof(d.dir)))
			return false;	/* the same thing again */
	}
	d.blind = true;
	d.bound = bound;
	if (!model_apply(m, &d))
		return false;
	m->undone &= ~(1u << j);
	return true;
}

static unsigned int doubt_new(const struct deed *d, bool open)
{
	unsigned int j, k;

	for (j = 0; j < DOUBTS && doubts[j].used; j++)
		;
	if (j == DOUBTS)
		die("opsnodes: more than %u operations are in doubt", DOUBTS);
	doubts[j] = (struct doubt){ .deed = *d, .used = true, .open = open };
	doubts[j].deed.data = NULL;
	doubts[j].deed.racing = true;
	for (k = 0; k < gen.ncand; k++) {
		if (!doubts[j].deed.file && !doubts[j].deed.dir[0])
			model_bind(cand[k], &doubts[j].deed);
		cand[k]->undone |= 1u << j;
	}
	count_doubts();
	return j;
}

/* A descriptor is closed in any case. */
static void close_now(const struct deed *d)
{
	struct deed c = *d;

	c.res.err = 0;
	explain(&c, 1);
}

void doubt_add(struct deed *d, bool open)
{
	struct late *l = &late[d->cmd.worker];
	unsigned int j = DOUBTS;

	if (d->cmd.op == OP_CLOSE)
		close_now(d);
	else if (!op_reads(d->cmd.op))
		j = doubt_new(d, open);
	if (!open)
		return;
	*l = (struct late){ d->cmd, j, clock_ns(CLOCK_MONOTONIC) };
	gen.busy |= 1u << d->cmd.worker;
}

/* What @d looks at in two steps may change in between. */
bool doubts_concern(const struct deed *d)
{
	struct deed t = *d;
	unsigned int j;

	model_bind(cand[0], &t);
	for (j = 0; j < DOUBTS; j++)
		if (doubts[j].used &&
		    (!t.file || doubts[j].deed.file == t.file ||
		     doubts[j].deed.cmd.op == OP_RENAME))
			return true;
	return false;
}

static void keep_states(struct model **new, unsigned int n)
{
	unsigned int k, i;

	gen.ncand = 0;
	for (k = 0; k < n; k++) {
		for (i = 0; i < gen.ncand; i++)
			if (model_equal(cand[i], new[k]))
				break;
		if (i < gen.ncand)
			model_free(new[k]);
		else
			cand[gen.ncand++] = new[k];
	}
}

/* It hasn't been done; false: in all states it has. */
static bool not_done(unsigned int j)
{
	struct model *new[CANDS];
	unsigned int k, n = 0;

	for (k = 0; k < gen.ncand; k++) {
		if (!(cand[k]->undone & 1u << j)) {
			model_free(cand[k]);
			continue;
		}
		cand[k]->undone &= ~(1u << j);
		new[n++] = cand[k];
	}
	keep_states(new, n);
	return n;
}

__attribute__((noreturn))
static void fail_late(const struct cmd *c, const struct result *r,
		      const char *what)
{
	failed_head();
	fprintf(stderr, "%s: late answer %s to\n", what,
		r->err ? strerrorname_np(r->err) : "ok");
	print_cmd(c);
	fputc('\n', stderr);
	print_history(c);
	exit(1);
}

static void told(unsigned int j, const struct result *r)
{
	struct deed *d = &doubts[j].deed;

	d->res = *r;
	doubts[j].open = false;
	if (unsure_answer(d))
		return;
	if (r->err ? !not_done(j) : !explain_doubts(1u << j))
		fail_late(&d->cmd, r, "others have seen something else");
	doubt_drop(j);
}

static void hear(unsigned int w)
{
	struct late *l = &late[w];
	const uint8_t slot = l->cmd.slot;
	struct result r;

	receive(&l->cmd, &r, thrown);
	if (of_faults(r.err) && !unsure &&
	    !(unsynced && l->cmd.op == OP_FSYNC))
		fail_late(&l->cmd, &r, "an error without a reason");
	if (l->cmd.op == OP_OPEN && !r.err) {
		/* it may be of a file that the model has forgotten */
		gen_start(&gen, &l->cmd, OP_CLOSE, w);
		l->cmd.slot = slot;
		send_cmd(&l->cmd);
		return;
	}
	gen.busy &= ~(1u << w);
	if (l->doubt < DOUBTS)
		told(l->doubt, &r);
}

static void check_late(void)
{
	int64_t now = clock_ns(CLOCK_MONOTONIC), since;
	unsigned int w;

	for (w = 0; w < gen.workers; w++) {
		if (!(gen.busy & 1u << w))
			continue;
		since = late[w].since > hook_began() ? late[w].since :
						       hook_began();
		if (hook_runs() || now - since < opt.stuck * 1000000000LL)
			continue;
		failed_head();
		fprintf(stderr, "no answer for %u s to\n", opt.stuck);
		print_cmd(&late[w].cmd);
		fputc('\n', stderr);
		print_history(&late[w].cmd);
		exit(1);
	}
}

void doubts_hear(void)
{
	struct pollfd p;
	unsigned int w;

	for (w = 0; w < gen.workers; w++) {
		p = (struct pollfd){ fds[w], POLLIN };
		if (gen.busy & 1u << w && poll(&p, 1, 0) > 0)
			hear(w);
	}
	check_late();
}

void doubts_answered(void)
{
	while (gen.busy) {
		await(gen.busy, false, 1000);
		doubts_hear();
	}
}

/* Nothing is in doubt from now on. */
static void forget_all(void)
{
	struct model *all[CANDS];
	unsigned int j, k;

	for (k = 0; k < gen.ncand; k++)
		cand[k]->undone = 0;
	memcpy(all, cand, sizeof(all));
	keep_states(all, gen.ncand);
	for (j = 0; j < DOUBTS; j++)
		doubt_drop(j);
}

static void settle_slot(uint16_t file)
{
	unsigned int w, s;

	for (w = 0; w < gen.workers; w++)
		for (s = 0; s < SLOTS; s++)
			if (cand[0]->slot[w][s].inode == file)
				look_slot(w, s);
}

void doubts_end(void)
{
	struct deed d[DOUBTS];
	unsigned int j, n = 0;

	doubts_answered();
	explain_doubts(0);
	for (j = 0; j < DOUBTS; j++)
		if (doubts[j].used)
			d[n++] = doubts[j].deed;
	forget_all();
	for (j = 0; j < n; j++) {
		if (d[j].cmd.op > OP_OPEN) {
			settle_slot(d[j].file);
			continue;
		}
		settle(&d[j].cmd, d[j].cmd.a, 1);
		settle(&d[j].cmd, d[j].cmd.b, 1);
	}
}
