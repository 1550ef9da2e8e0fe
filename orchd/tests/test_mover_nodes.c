// SPDX-License-Identifier: Apache-2.0
/*
 * Moves of files that other nodes have open: which layouts their kernels are
 * given, and what comes of it when one can't change, or isn't there. The test is
 * the nodes; this machine has no module.
 */
#include "mover_util.h"

#include "cluster.h"
#include "data.h"
#include "exec.h"
#include "peer.h"

#define B	2
#define C	3
#define FAR	3U		/* a volume of B's */
#define AWAY	1		/* no link */
#define MAPPED	2		/* what it has stays */

/* A layout that a node was told. */
struct told {
	uint32_t node, volume;
	bool writable;
	int status;
};

/* Belongs to the namespace thread, while a daemon runs. */
static struct {
	struct told told[64];
	size_t nr;
	/* answers to come, in order; 0 when there are no more */
	int script[4][16];
	unsigned int at[4];
	uint32_t writers;
	/* copies: what becomes of each, and how many there were */
	int copy[4];
	unsigned int copies;
} nodes;

struct answer {
	struct work w;
	struct peer_question *q;
	int status;
	uint32_t writers;
	bool copy;
};

static void put_end(const struct answer *a, peer_frame *f,
		    Orchfs__Peer__LayoutEnd *m)
{
	orchfs__peer__layout_end__init(m);
	m->status = a->status;
	m->writers = a->writers;
	f->body_case = PEER_BODY(LAYOUT_END);
	f->layout_end = m;
}

static void put_copied(const struct answer *a, peer_frame *f,
		       Orchfs__Peer__Copied *m, Orchfs__Peer__CopiedFile *file)
{
	orchfs__peer__copied__init(m);
	orchfs__peer__copied_file__init(file);
	file->status = a->status;
	file->fatal = a->status;
	file->size = SIZE;
	file->blocks = 600;
	file->uid = getuid();
	file->gid = getgid();
	f->body_case = PEER_BODY(COPIED);
	f->copied = m;
}

static void reply_run(struct work *w)
{
	struct answer *a = container_of(w, struct answer, w);
	peer_frame f = PEER_FRAME_INIT(LAYOUT_END), *out;
	Orchfs__Peer__CopiedFile file, *list = &file;
	Orchfs__Peer__LayoutEnd m;
	Orchfs__Peer__Copied c;
	uint8_t *buf;
	size_t len;

	if (a->copy)
		put_copied(a, &f, &c, &file);
	else
		put_end(a, &f, &m);
	c.file = &list;
	c.n_file = 1;
	len = orchfs__peer__frame__get_packed_size(&f);
	buf = malloc(len + 1);
	orchfs__peer__frame__pack(&f, buf);
	out = orchfs__peer__frame__unpack(NULL, len, buf);
	assert_non_null(out);
	if (a->status == -ENOTCONN) {
		frame_free(out);
		out = NULL;
	}
	a->q->done(a->q, out ? 0 : -ENOTCONN, "the link is down", out);
	free(buf);
	free(a);
}

/* What node B is asked to copy from volume 1 to 3, its own. */
static int copy_asked(struct served *sv, const Orchfs__Peer__Copy *m,
		      struct peer_question *q)
{
	struct answer *a;

	assert_int_equal(m->to_volume, FAR);
	assert_int_equal(m->n_file, 1);
	assert_int_equal(m->file[0]->home, 1);
	assert_int_equal(m->file[0]->from_volume, 1);
	assert_int_equal(m->file[0]->from->ino, inos[0]);
	assert_int_equal(m->file[0]->token.len, ORCHFS_TOKEN_LEN);
	assert_int_equal(m->file[0]->token.data[0], B);
	a = calloc(1, sizeof(*a));
	a->w.run = reply_run;
	a->q = q;
	a->copy = true;
	a->status = nodes.copy[nodes.copies++];
	assert_true(nodes.copies < 4);
	assert_true(work_post(&sv->queue, &a->w));
	return 0;
}

int __wrap_home_stat(struct served *sv, struct volume *v, uint64_t ino,
		     uint64_t version, uint64_t instance,
		     struct ns_backing_stat *out);
int __wrap_home_stat(struct served *sv, struct volume *v, uint64_t ino,
		     uint64_t version, uint64_t instance,
		     struct ns_backing_stat *out)
{
	(void)sv;
	(void)ino;
	(void)version;
	(void)instance;
	assert_int_equal(v->rec.id, FAR);
	*out = (struct ns_backing_stat){ .size = SIZE, .blocks = 600 };
	return 0;
}

int __wrap_sessions_ask(struct served *sv, uint32_t node, peer_frame *f,
			uint32_t ms, struct peer_question *q);
int __wrap_sessions_ask(struct served *sv, uint32_t node, peer_frame *f,
			uint32_t ms, struct peer_question *q)
{
	const Orchfs__Peer__LayoutSet *m = f->layout_set;
	int status = nodes.script[node][nodes.at[node]];
	struct answer *a;

	if ((int)f->body_case == PEER_BODY(COPY_WATCH))
		return -ENOTCONN;
	if ((int)f->body_case == PEER_BODY(COPY))
		return copy_asked(sv, f->copy, q);
	assert_int_equal(f->body_case, PEER_BODY(LAYOUT_SET));
	assert_true(ms > m->timeout_ms && m->timeout_ms);
	assert_true(nodes.nr < 64 && node < 4);
	nodes.at[node] += nodes.at[node] < 15;
	if (status == AWAY)
		return -ENOTCONN;
	if (status == MAPPED)
		status = m->layout->volume == 1 ? 0 : -EBUSY;
	nodes.told[nodes.nr++] = (struct told){
		.node = node, .volume = m->layout->volume,
		.writable = m->layout->writable, .status = status,
	};
	assert_int_equal(m->layout->token.len, ORCHFS_TOKEN_LEN);
	assert_int_equal(m->layout->token.data[0], node);
	a = calloc(1, sizeof(*a));
	a->w.run = reply_run;
	a->q = q;
	a->status = status;
	a->writers = nodes.writers;
	assert_true(work_post(&sv->queue, &a->w));
	return 0;
}

int __wrap_token_make(struct served *sv, uint32_t node, uint32_t volume,
		      uint64_t ino, uint64_t version, uint64_t instance,
		      bool write, uint8_t out[ORCHFS_TOKEN_LEN]);
int __wrap_token_make(struct served *sv, uint32_t node, uint32_t volume,
		      uint64_t ino, uint64_t version, uint64_t instance,
		      bool write, uint8_t out[ORCHFS_TOKEN_LEN])
{
	(void)volume;
	(void)ino;
	(void)version;
	(void)instance;
	assert_false(write);
	assert_non_null(sv->cluster);
	memset(out, (int)node, ORCHFS_TOKEN_LEN);
	return 0;
}

/* --- what a test does --- */

struct open {
	uint32_t node;
	bool write;
	int rc;
	uint32_t volume;
};

static void open_run(struct served *sv, void *arg)
{
	struct open *o = arg;
	struct op_req rq = {
		.kind = ORCHFS_KIND_OPEN, .node = inos[0], .origin = o->node,
		.flags = o->write ? ORCHFS_REQ_FLAG_WRITE : 0,
	};
	struct op_reply rep;

	o->rc = execute(sv, &rq, &rep);
	o->volume = rep.layout.volume;
}

static int open_at(struct served *sv, uint32_t node, bool write,
		   uint32_t *volume)
{
	struct open o = { .node = node, .write = write };

	in_ns(sv, open_run, &o);
	if (volume)
		*volume = o.volume;
	return o.rc;
}

static void cancel_job(struct served *sv, void *arg)
{
	struct begin *b = arg;

	b->rc = mover_cancel(sv, b->id, b->why);
}

static void gone_run(struct served *sv, void *arg)
{
	assert_int_equal(ns_reconcile(sv->ns, *(uint32_t *)arg, NULL, 0, NULL,
				      0), 0);
}

/* The @n-th layout that nodes were told. */
static void is(size_t n, uint32_t node, uint32_t volume, int status)
{
	const struct told *t = &nodes.told[n];

	assert_true(n < nodes.nr);
	assert_int_equal(t->node, node);
	assert_int_equal(t->volume, volume);
	assert_int_equal(t->status, status);
	assert_false(t->writable);
}

static bool waits(const struct mover_job *j)
{
	return j->nr_waiting && !j->waiting->swapping;
}

static void in_cluster(struct served *sv, void *arg)
{
	sv->cluster = arg;
}

static struct served *begin(void)
{
	static struct cluster cl = { .node = 1 };
	struct served *sv;
	uint64_t d;

	memset(&nodes, 0, sizeof(nodes));
	sv = start_with_tree(&d);
	in_ns(sv, in_cluster, &cl);
	return sv;
}

static void end(struct served *sv)
{
	in_ns(sv, in_cluster, NULL);
	stop(sv);
}

static void check_first(struct served *sv, void *arg)
{
	check_file(sv, 0, *(uint32_t *)arg);
}

/* The file is there, and nothing is left elsewhere. */
static void expect_on(struct served *sv, uint32_t volume)
{
	check_clean(sv);
	in_ns(sv, check_first, &volume);
}

/* Two nodes read it; their kernels go over to the copy. */
static void test_readers(void **state)
{
	struct served *sv = begin();
	struct begin b;
	uint32_t volume;

	(void)state;
	assert_int_equal(open_at(sv, B, false, NULL), 0);
	assert_int_equal(open_at(sv, C, false, &volume), 0);
	assert_int_equal(volume, 1);
	/* C has let go of it meanwhile */
	nodes.script[C][0] = -ENOENT;
	b = move_to(sv, inos[0], 2, 0);
	assert_int_equal(b.rc, 0);
	assert_int_equal(wait_for(sv, b.id, false).state, NS_JOB_DONE);
	assert_int_equal(nodes.nr, 3);
	is(0, C, 1, -ENOENT);
	is(1, B, 1, 0);
	is(2, B, 2, 0);
	assert_int_equal(open_at(sv, C, true, &volume), 0);
	assert_int_equal(volume, 2);
	expect_on(sv, 2);
	end(sv);
}

static void left(struct served *sv, const char *why)
{
	struct begin b = move_to(sv, inos[0], 2, 0);
	struct ns_job j;

	assert_int_equal(b.rc, 0);
	j = wait_for(sv, b.id, false);
	assert_int_equal(j.state, NS_JOB_FAILED);
	if (!strstr(j.text, why))
		fail_msg("%s", j.text);
	expect_on(sv, 1);
}

/* Who may write, or can't be asked, keeps the file where it is. */
static void test_left(void **state)
{
	struct served *sv = begin();

	(void)state;
	assert_int_equal(open_at(sv, B, true, NULL), 0);
	nodes.writers = 1;
	left(sv, "open for writing");
	nodes.writers = 0;
	memset(nodes.at, 0, sizeof(nodes.at));
	for (int i = 0; i < 16; i++)
		nodes.script[B][i] = -EBUSY;
	left(sv, "mapped for writing");
	for (int i = 0; i < 16; i++)
		nodes.script[B][i] = AWAY;
	left(sv, "node 2: it is not connected");
	for (int i = 0; i < 16; i++)
		nodes.script[B][i] = -ENOTCONN;
	left(sv, "node 2: the link is down");
	end(sv);
}

/* Mapped on one node: the other one gets back what it had. */
static void test_mapped(void **state)
{
	struct served *sv = begin();
	struct begin b;
	uint32_t volume;

	(void)state;
	assert_int_equal(open_at(sv, B, false, NULL), 0);
	assert_int_equal(open_at(sv, C, false, NULL), 0);
	nodes.script[B][1] = -EBUSY;
	nodes.script[B][2] = -EBUSY;
	b = move_to(sv, inos[0], 2, 0);
	assert_int_equal(b.rc, 0);
	wait_until(sv, b.id, waits);
	is(2, C, 2, 0);
	is(3, B, 2, -EBUSY);
	is(4, C, 1, 0);
	/* B's is in use, so C reads that, too */
	assert_int_equal(open_at(sv, C, false, &volume), 0);
	assert_int_equal(volume, 1);
	assert_int_equal(wait_for(sv, b.id, false).state, NS_JOB_DONE);
	/* it is asked first from then on */
	is(5, B, 2, -EBUSY);
	is(6, B, 2, 0);
	is(7, C, 2, 0);
	assert_int_equal(nodes.nr, 8);
	expect_on(sv, 2);
	end(sv);
}

/* The same, and while that lasts somebody wants to write. */
static void test_mapped_written(void **state)
{
	struct served *sv = begin();
	struct begin b;
	uint32_t volume;

	(void)state;
	assert_int_equal(open_at(sv, B, false, NULL), 0);
	for (int i = 1; i < 16; i++)
		nodes.script[B][i] = MAPPED;
	b = move_to(sv, inos[0], 2, 0);
	assert_int_equal(b.rc, 0);
	wait_until(sv, b.id, waits);
	assert_int_equal(open_at(sv, C, true, &volume), 0);
	assert_int_equal(volume, 1);
	assert_int_equal(wait_for(sv, b.id, false).state, NS_JOB_FAILED);
	expect_on(sv, 1);
	end(sv);
}

/* A node is cut off in the middle: nobody knows what it has until it is over. */
static void test_lost(void **state)
{
	struct served *sv = begin();
	uint32_t node = B, volume;
	struct begin b;

	(void)state;
	assert_int_equal(open_at(sv, B, false, NULL), 0);
	nodes.script[B][1] = -ENOTCONN;
	for (int i = 2; i < 16; i++)
		nodes.script[B][i] = AWAY;
	b = move_to(sv, inos[0], 2, 0);
	assert_int_equal(b.rc, 0);
	wait_until(sv, b.id, waits);
	assert_int_equal(open_at(sv, 0, false, NULL), -NS_PARKED);
	assert_int_equal(open_at(sv, C, true, NULL), -NS_PARKED);
	in_ns(sv, gone_run, &node);
	assert_int_equal(wait_for(sv, b.id, false).state, NS_JOB_DONE);
	assert_int_equal(open_at(sv, 0, false, &volume), 0);
	assert_int_equal(volume, 2);
	expect_on(sv, 2);
	end(sv);
}

/* Or it comes back. */
static void test_lost_back(void **state)
{
	struct served *sv = begin();
	struct begin b;

	(void)state;
	assert_int_equal(open_at(sv, B, false, NULL), 0);
	nodes.script[B][1] = -ENOTCONN;
	nodes.script[B][2] = AWAY;
	b = move_to(sv, inos[0], 2, 0);
	assert_int_equal(b.rc, 0);
	assert_int_equal(wait_for(sv, b.id, false).state, NS_JOB_DONE);
	/* which instance it had was asked in turn */
	is(nodes.nr - 1, B, 2, 0);
	expect_on(sv, 2);
	end(sv);
}

/* Given up while a node's answer is on its way. */
static void test_cancelled(void **state)
{
	struct served *sv = begin();
	uint32_t volume;
	struct begin b;

	(void)state;
	assert_int_equal(open_at(sv, B, false, NULL), 0);
	for (int i = 1; i < 16; i++)
		nodes.script[B][i] = MAPPED;
	b = move_to(sv, inos[0], 2, 0);
	wait_until(sv, b.id, waits);
	in_ns(sv, cancel_job, &b);
	assert_int_equal(b.rc, 0);
	assert_int_equal(wait_for(sv, b.id, false).state, NS_JOB_CANCELLED);
	assert_int_equal(open_at(sv, C, false, &volume), 0);
	assert_int_equal(volume, 1);
	expect_on(sv, 1);
	end(sv);
}

/* --- copies that another node makes --- */

static void add_far(struct served *sv, void *arg)
{
	struct ns_volume rec = {
		.id = FAR, .home = B, .name = "v3", .path = "/v3", .tier = 7,
		.uuid = "uuid-of-v3-----",
	};
	struct volume *v;

	(void)arg;
	assert_int_equal(ns_volume_put(sv->ns, &rec), 0);
	v = volume_new(&rec);
	v->up = true;
	v->pool_late = true;
	v->next = sv->volumes;
	sv->volumes = v;
}

struct where {
	char text[64];
};

static void where_run(struct served *sv, void *arg)
{
	struct where *w = arg;
	uint64_t version, generation;
	struct ns_instance *list;
	size_t nr;

	assert_int_equal(ns_where(sv->ns, inos[0], &version, &generation,
				  &list, &nr), 0);
	w->text[0] = 0;
	for (size_t i = 0; i < nr; i++)
		sprintf(w->text + strlen(w->text), "%u:%u ", list[i].volume,
			(unsigned int)list[i].state);
	free(list);
}

static void expect_where(struct served *sv, const char *text)
{
	struct where w;

	in_ns(sv, where_run, &w);
	assert_string_equal(w.text, text);
}

static void test_far(void **state)
{
	struct served *sv = begin();
	struct begin b;

	(void)state;
	in_ns(sv, add_far, NULL);
	/* the first time the link is lost, which is waited for */
	nodes.copy[0] = -ENOTCONN;
	assert_int_equal(open_at(sv, C, false, NULL), 0);
	b = move_to(sv, inos[0], FAR, 0);
	assert_int_equal(b.rc, 0);
	assert_int_equal(wait_for(sv, b.id, false).state, NS_JOB_DONE);
	assert_int_equal(nodes.copies, 2);
	is(nodes.nr - 1, C, FAR, 0);
	expect_where(sv, "3:1 ");
	end(sv);
}

static void test_far_full(void **state)
{
	struct served *sv = begin();
	struct begin b;
	struct ns_job j;

	(void)state;
	in_ns(sv, add_far, NULL);
	nodes.copy[0] = -ENOSPC;
	b = move_to(sv, inos[0], FAR, 0);
	assert_int_equal(b.rc, 0);
	j = wait_for(sv, b.id, false);
	assert_int_equal(j.state, NS_JOB_FAILED);
	assert_non_null(strstr(j.text, "volume v3 has no room"));
	expect_where(sv, "1:1 ");
	end(sv);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_readers),
		TEST(test_left),
		TEST(test_mapped),
		TEST(test_mapped_written),
		TEST(test_lost),
		TEST(test_lost_back),
		TEST(test_cancelled),
		TEST(test_far),
		TEST(test_far_full),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
