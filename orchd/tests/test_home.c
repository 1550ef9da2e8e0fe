// SPDX-License-Identifier: Apache-2.0
/* The authority and volumes of another node. */
#include "home_impl.h"
#include "home_util.h"

#include <poll.h>
#include <pthread.h>

#include "data.h"
#include "ns_cluster.h"

static struct volume *far(void)
{
	return served_volume(&sv, VOL);
}

static void copy_key(uint8_t key[32])
{
	const Orchfs__Peer__Volumes *m;

	m = find(B, PEER_BODY(VOLUMES))->f->volumes;
	assert_int_equal(m->n_volume, 1);
	assert_int_equal(m->volume[0]->number, VOL);
	assert_string_equal(m->volume[0]->path, "/far");
	assert_int_equal(m->volume[0]->key.len, 32);
	memcpy(key, m->volume[0]->key.data, 32);
	give_done(find(B, PEER_BODY(VOLUMES)));
}

/* What a node is told when it comes; its keys are good for its session. */
static void test_told(void **state)
{
	const Orchfs__Peer__Nodes *n;
	uint8_t key[3][32];

	(void)state;
	assert_false(volume_online(far()));
	attach(B);
	n = find(B, PEER_BODY(PEERS))->f->peers;
	assert_int_equal(n->n_node, 3);
	assert_true(n->node[0]->authority);
	copy_key(key[0]);
	give_done(find(B, PEER_BODY(PEERS)));
	link_down(B);
	attach(B);
	copy_key(key[1]);
	assert_memory_equal(key[0], key[1], 32);
	link_down(B);
	over(B);
	attach(B);
	copy_key(key[2]);
	assert_memory_not_equal(key[0], key[2], 32);
	give_done(find(B, PEER_BODY(PEERS)));
	/* a node without volumes hears that it has none */
	attach(C);
	assert_int_equal(find(C, PEER_BODY(VOLUMES))->f->volumes->n_volume, 0);
	give_done(find(C, PEER_BODY(PEERS)));
	/* and where the others serve data, when that is known */
	tell_state(B, VOL, HOME_ONLINE);
	homes_tick(&sv);
	turn();
	n = find(C, PEER_BODY(PEERS))->f->peers;
	assert_string_equal(n->node[1]->address, "10.0.0.2:7420");
}

static void test_create(void **state)
{
	struct got g, g2;
	uint64_t asked_for;

	(void)state;
	attach(B);
	give_done(find(B, PEER_BODY(PEERS)));
	/* its own volume is about to come */
	do_create(B, "f", RW, &g);
	turn();
	assert_true(parked());
	give_done(find(B, PEER_BODY(VOLUMES)));
	tell_state(B, VOL, HOME_AWAY);
	assert_true(parked());
	tell_state(B, VOL, HOME_ONLINE);
	assert_true(parked());
	assert_int_equal(far()->place.free, 1ULL << 39);
	give_made(find(B, PEER_BODY(MAKE)));
	assert_true(g.answered);
	assert_int_equal(g.rc, 0);
	assert_int_equal(g.rep.layout.home, B);
	/* no more than that, but for the next files */
	give_made(find(B, PEER_BODY(MAKE)));
	asked_for = nr_asked;
	do_create(B, "g", RW, &g2);
	turn();
	assert_true(g2.answered);
	assert_int_equal(nr_asked, asked_for);
	/* another node's file goes there where no other volume is */
	attach(C);
	make(C, "h", NULL);
	op(C, (struct op_req){ .kind = K(STATFS) }, &g);
	assert_true(g.answered && g.rep.has_statfs);
	assert_int_equal(g.rep.statfs.blocks, (1ULL << 40) / 4096);
	assert_int_equal(g.rep.statfs.bavail, (1ULL << 39) / 4096);
	assert_int_equal(g.rep.statfs.files, 2000000);
	assert_int_equal(g.rep.statfs.ffree, 1000000);
}

static void test_make_fails(void **state)
{
	Orchfs__Peer__Made m = ORCHFS__PEER__MADE__INIT;
	peer_frame f = PEER_FRAME_INIT(MADE);
	struct asked *a;
	struct got g;

	(void)state;
	attach(B);
	give_done(find(B, PEER_BODY(PEERS)));
	give_done(find(B, PEER_BODY(VOLUMES)));
	tell_state(B, VOL, HOME_ONLINE);
	m.status = -ENOSPC;
	f.made = &m;
	give(find(B, PEER_BODY(MAKE)), &f, 0);
	do_create(B, "f", RW, &g);
	turn();
	assert_true(g.answered);
	assert_int_equal(g.rc, -ENOSPC);
	/* more than it was asked for makes no sense */
	far()->pool_retry = 0;
	turn();
	a = find(B, PEER_BODY(MAKE));
	m.status = 0;
	m.count = a->f->make->count + 1;
	give(a, &f, 0);
	assert_int_equal(drops, 1);
	assert_int_equal(far()->pool_nr, 0);
}

/* What was made by an order whose answer is lost is found again. */
static void test_look(void **state)
{
	uint64_t f, range;
	size_t had;

	(void)state;
	home_ready();
	f = make(B, "f", NULL);
	had = far()->pool_nr;
	assert_true(had > 60);
	link_down(B);
	assert_int_equal(far()->pool_nr, 0);
	assert_false(volume_online(far()));
	attach(B);
	give_done(find(B, PEER_BODY(VOLUMES)));
	tell_state(B, VOL, HOME_ONLINE);
	range = find(B, PEER_BODY(LOOK))->f->look->n_file;
	assert_int_equal(range, had);
	for (size_t i = 0; i < range; i++)
		assert_int_not_equal(find(B, PEER_BODY(LOOK))->f->look->
				     file[i]->ino, f);
	assert_int_equal(count(B, PEER_BODY(MAKE)), 0);
	give_looked(find(B, PEER_BODY(LOOK)), 0);
	assert_int_equal(far()->pool_nr, had);
	assert_int_equal(make(B, "g", NULL), f + 1);
	/* those that have contents are nobody's */
	restart();
	attach(B);
	give_done(find(B, PEER_BODY(VOLUMES)));
	tell_state(B, VOL, HOME_ONLINE);
	give_looked(find(B, PEER_BODY(LOOK)), 5);
	assert_int_equal(far()->pool_nr, 0);
	assert_int_equal(count(B, PEER_BODY(MAKE)), 1);
}

static void test_glimpse(void **state)
{
	struct got g[3], list;
	uint64_t f;

	(void)state;
	home_ready();
	attach(C);
	f = make(B, "f", NULL);
	make(B, "g", NULL);
	for (int i = 0; i < 2; i++)
		do_getattr(C, f, &g[i]);
	turn();
	assert_int_equal(count(B, PEER_BODY(GLIMPSE)), 1);
	assert_int_equal(find(B, PEER_BODY(GLIMPSE))->f->glimpse->n_file, 1);
	/* this one comes after the question: that answer may be too old */
	do_getattr(C, f, &g[2]);
	turn();
	assert_int_equal(count(B, PEER_BODY(GLIMPSE)), 2);
	give_glimpsed(find(B, PEER_BODY(GLIMPSE)), 7);
	assert_true(g[0].answered && g[1].answered);
	assert_int_equal(g[0].rep.attr.size, 7);
	assert_int_equal(g[0].rep.attr.mtime, 100);
	assert_false(g[2].answered);
	give_glimpsed(find(B, PEER_BODY(GLIMPSE)), 8);
	assert_true(g[2].answered);
	assert_int_equal(g[2].rep.attr.size, 8);
	/* all of a listing at once */
	op(C, (struct op_req){ .kind = K(READDIR), .node = ROOT }, &list);
	turn();
	assert_int_equal(count(B, PEER_BODY(GLIMPSE)), 1);
	assert_int_equal(find(B, PEER_BODY(GLIMPSE))->f->glimpse->n_file, 2);
	give_glimpsed(find(B, PEER_BODY(GLIMPSE)), 9);
	assert_true(list.answered);
	assert_int_equal(list.rep.nr_entries, 2);
}

/* Who waits for a home that is gone waits for the end of its session. */
/* A home whose drive hangs keeps nobody's slot for ever. */
static void test_hangs(void **state)
{
	uint64_t f, gf;
	struct got g;

	(void)state;
	home_ready();
	attach(C);
	f = make(C, "f", &gf);
	do_getattr(B, f, &g);
	turn();
	assert_false(g.answered);
	assert_in_range(find(B, PEER_BODY(GLIMPSE))->ms, 1000, 60000);
	give(find(B, PEER_BODY(GLIMPSE)), NULL, -ETIMEDOUT);
	turn();
	assert_true(g.answered);
	assert_int_equal(g.rc, 0);
	assert_int_equal(g.rep.attr.size, 0);
	/* what nobody waits for is asked again: it is to be settled */
	note_return(C, f, gf, 0);
	assert_true(dirty(f));
	give(find(B, PEER_BODY(GLIMPSE)), NULL, -ETIMEDOUT);
	turn();
	assert_true(dirty(f));
	give_glimpsed(find(B, PEER_BODY(GLIMPSE)), 5);
	assert_false(dirty(f));
	do_getattr(B, f, &g);
	turn();
	assert_true(g.answered);
	assert_int_equal(g.rep.attr.size, 5);
}

static void test_away(void **state)
{
	struct got g, late, open;
	uint64_t f;

	(void)state;
	home_ready();
	attach(C);
	f = make(B, "f", NULL);
	do_getattr(C, f, &g);
	turn();
	link_down(B);
	assert_false(g.answered);
	do_getattr(C, f, &late);
	turn();
	assert_false(late.answered);
	attach(B);
	give_done(find(B, PEER_BODY(VOLUMES)));
	tell_state(B, VOL, HOME_ONLINE);
	give_looked(find(B, PEER_BODY(LOOK)), 0);
	give_glimpsed(find(B, PEER_BODY(GLIMPSE)), 7);
	assert_true(g.answered && late.answered);
	assert_int_equal(g.rep.attr.size, 7);
	do_getattr(C, f, &g);
	turn();
	give(find(B, PEER_BODY(GLIMPSE)), NULL, -EIO);
	turn();
	assert_true(g.answered);	/* it can't tell: the record's */
	assert_int_equal(g.rep.attr.size, 0);
	do_getattr(C, f, &g);
	turn();
	link_down(B);
	assert_false(g.answered);
	over(B);
	exec_unpark(&sv);
	turn();
	assert_true(g.answered);
	/* C's has ended, too, by that clock */
	attach(C);
	do_getattr(C, f, &g);
	turn();
	assert_true(g.answered);
	assert_int_equal(g.rep.attr.size, 0);
	op(C, (struct op_req){ .kind = K(OPEN), .node = f }, &open);
	turn();
	assert_int_equal(open.rc, 0);
	assert_int_equal(open.rep.layout.home, B);
	assert_true(dirty(f));
	/* what it wrote is taken over when it is back */
	attach(B);
	give_done(find(B, PEER_BODY(VOLUMES)));
	tell_state(B, VOL, HOME_ONLINE);
	homes_tick(&sv);
	turn();
	give_glimpsed(find(B, PEER_BODY(GLIMPSE)), 70);
	assert_false(dirty(f));
	do_getattr(C, f, &g);
	turn();
	assert_true(g.answered);
	assert_int_equal(g.rep.attr.size, 70);
}

static void test_settle(void **state)
{
	uint64_t f, h, gf, gh;
	struct got g, late;

	(void)state;
	home_ready();
	attach(C);
	/* what its home's kernel alone has written that kernel knows */
	f = make(B, "f", &gf);
	note_return(B, f, gf, 11);
	assert_int_equal(count(B, PEER_BODY(GLIMPSE)), 0);
	assert_false(dirty(f));
	h = make(C, "h", &gh);
	note_return(C, h, gh, 1);
	assert_true(dirty(h));
	assert_int_equal(find(B, PEER_BODY(GLIMPSE))->f->glimpse->n_file, 1);
	/* who opens it meanwhile needs a later one */
	op(C, (struct op_req){ .kind = K(OPEN), .node = h,
			       .flags = F(WRITE) }, &g);
	turn();
	assert_int_equal(count(B, PEER_BODY(GLIMPSE)), 2);
	give_glimpsed(find(B, PEER_BODY(GLIMPSE)), 12);
	assert_false(g.answered);
	give_glimpsed(find(B, PEER_BODY(GLIMPSE)), 12);
	assert_true(g.answered && dirty(h));
	/* not an answer to what was asked before it came back */
	do_getattr(B, h, &late);
	turn();
	note_return(C, h, g.rep.layout.generation, 1);
	assert_int_equal(count(B, PEER_BODY(GLIMPSE)), 2);
	give_glimpsed(find(B, PEER_BODY(GLIMPSE)), 12);
	assert_true(late.answered && dirty(h));
	give_glimpsed(find(B, PEER_BODY(GLIMPSE)), 13);
	assert_false(dirty(h));
	do_getattr(C, h, &g);
	turn();
	assert_true(g.answered);
	assert_int_equal(g.rep.attr.size, 13);
	/* with the home away: when it is back */
	f = make(C, "i", &gf);
	link_down(B);
	note_return(C, f, gf, 1);
	assert_true(dirty(f));
	attach(B);
	give_done(find(B, PEER_BODY(VOLUMES)));
	tell_state(B, VOL, HOME_ONLINE);
	give_glimpsed(find(B, PEER_BODY(GLIMPSE)), 14);
	assert_false(dirty(f));
}

static void test_delete(void **state)
{
	struct got g;

	(void)state;
	home_ready();
	note_return(B, make(B, "f", NULL), UINT64_MAX / 2, 0);
	note_return(B, make(B, "g", NULL), UINT64_MAX / 2, 0);
	do_unlink(B, "f", &g);
	turn();
	assert_true(g.answered);
	link_down(B);
	over(B);
	assert_int_equal(deletions(), 1);
	attach(B);
	give_done(find(B, PEER_BODY(VOLUMES)));
	tell_state(B, VOL, HOME_ONLINE);
	assert_int_equal(find(B, PEER_BODY(DELETE))->f->delete_->n_file, 1);
	give_deleted(find(B, PEER_BODY(DELETE)), -EIO);
	assert_int_equal(deletions(), 1);
	deleter_again(&sv);
	turn();
	give_deleted(find(B, PEER_BODY(DELETE)), 0);
	assert_int_equal(deletions(), 0);
}

/* Nobody waits for what a node took along that was removed. */
static void test_delete_lost(void **state)
{
	struct got g;

	(void)state;
	home_ready();
	attach(C);
	note_return(B, make(B, "f", NULL), UINT64_MAX / 2, 0);
	link_down(B);
	over(B);
	attach(C);
	do_unlink(C, "f", &g);
	turn();
	assert_true(g.answered);
	link_down(C);
	over(C);
	assert_int_equal(deletions(), 1);
	assert_int_equal(ns_node_remove(sv.ns, B, A, 1), 0);
	home_away(&sv, far());
	deleter_again(&sv);
	turn();
	assert_int_equal(deletions(), 0);
}

static void sync_all(struct got *g)
{
	op(C, (struct op_req){ .kind = K(BARRIER) }, g);
	turn();
}

/* The thread of the flusher has nothing to do, but has to say so. */
static void flusher_done(struct got *g)
{
	struct pollfd p = { .fd = sv.queue.efd, .events = POLLIN };

	while (!g->answered) {
		assert_int_equal(poll(&p, 1, 20000), 1);
		turn();
	}
}

static void test_flush(void **state)
{
	struct got g;

	(void)state;
	home_ready();
	attach(C);
	sync_all(&g);
	assert_int_equal(find(B, PEER_BODY(FLUSH))->f->flush->n_volume, 1);
	assert_false(g.answered);
	give_done(find(B, PEER_BODY(FLUSH)));
	flusher_done(&g);
	assert_true(g.answered);
	assert_int_equal(g.rc, 0);
	sync_all(&g);
	give(find(B, PEER_BODY(FLUSH)), NULL, -EIO);
	flusher_done(&g);
	assert_int_equal(g.rc, -EIO);
	/* a stop is no failure: it is asked again */
	sync_all(&g);
	sv.stopping = true;
	give(find(B, PEER_BODY(FLUSH)), NULL, -ENOTCONN);
	flusher_done(&g);
	assert_int_equal(g.rc, -ENOTCONN);
	sv.stopping = false;
	link_down(B);
	sync_all(&g);
	flusher_done(&g);
	assert_int_equal(g.rc, -EIO);
}

static void add(uint32_t node, const char *name, uint32_t number,
		struct got *g)
{
	Orchfs__Peer__VolumeAdd m = ORCHFS__PEER__VOLUME_ADD__INIT;
	Orchfs__Peer__Volume v = ORCHFS__PEER__VOLUME__INIT;
	peer_frame f = PEER_FRAME_INIT(VOLUME_ADD);

	v.number = number;
	v.name = (char *)name;
	v.path = (char *)"/new";
	m.volume = &v;
	f.volume_add = &m;
	ask(node, &f, g);
}

/* --- a node leaves --- */

/* What the thread of the peers' requests does. */
static struct {
	pthread_t thread;
	bool stays;
	int rc;
	char why[400];
	atomic_bool done;
} leaving;

static void *leaving_main(void *arg)
{
	(void)arg;
	if (leaving.stays)
		home_stay(&sv, B);
	else
		leaving.rc = home_leave_check(&sv, B, leaving.why,
					      sizeof(leaving.why));
	atomic_store(&leaving.done, true);
	return NULL;
}

static int leave(bool stays)
{
	leaving.stays = stays;
	leaving.rc = 0;
	atomic_store(&leaving.done, false);
	assert_int_equal(pthread_create(&leaving.thread, NULL, leaving_main,
					NULL), 0);
	while (!atomic_load(&leaving.done)) {
		poll(NULL, 0, 1);
		work_run(&sv.queue);
	}
	pthread_join(leaving.thread, NULL);
	return leaving.rc;
}

/* Refused, all is as before. */
static void test_leave_refused(void **state)
{
	(void)state;
	sv.state = SERVED_SERVING;
	home_ready();
	make(B, "f", NULL);
	assert_int_equal(leave(false), -ENOTEMPTY);
	assert_non_null(strstr(leaving.why, "only copy of 1 files, such as /f"));
	make(B, "g", NULL);
}

/* No file comes behind the look for them. */
static void test_leave(void **state)
{
	struct got g, h;

	(void)state;
	sv.state = SERVED_SERVING;
	home_ready();
	assert_int_equal(leave(false), 0);
	do_create(B, "f", RW, &g);
	turn();
	assert_true(g.answered);
	assert_true(g.rc < 0);
	add(B, "new", 0, &h);
	assert_int_equal(h.rc, -EBUSY);
	leave(true);
	make(B, "f", NULL);
}

static void test_add(void **state)
{
	struct ns_volume *recs;
	struct got g, g2;
	size_t nr;

	(void)state;
	home_ready();
	attach(C);
	give_done(find(C, PEER_BODY(VOLUMES)));
	add(C, "far", 0, &g);
	assert_int_equal(g.rc, -EEXIST);
	add(C, "a/b", 0, &g);
	assert_int_equal(g.rc, -EINVAL);
	add(C, "new", 77, &g);
	assert_int_equal(g.rc, -ESTALE);
	add(C, "new", 0, &g);
	assert_int_equal(g.body, PEER_BODY(VOLUME_ADDED));
	add(B, "new", g.volume_number, &g2);
	assert_int_equal(g2.rc, -ESTALE);
	add(C, "other", g.volume_number, &g2);
	assert_int_equal(g2.rc, -ESTALE);
	add(C, "new", g.volume_number, &g2);
	assert_false(g2.answered);
	turn();
	assert_int_equal(g2.body, PEER_BODY(VOLUME_ADDED));
	assert_memory_equal(g.uuid, g2.uuid, 16);
	assert_int_equal(find(C, PEER_BODY(VOLUMES))->f->volumes->n_volume, 1);
	give_done(find(C, PEER_BODY(VOLUMES)));
	assert_int_equal(ns_volumes(sv.ns, &recs, &nr), 0);
	assert_int_equal(nr, 2);
	assert_int_equal(recs[1].home, C);
	free(recs);
	/* now each has its own */
	tell_state(C, g.volume_number, HOME_ONLINE);
	give_made(find(C, PEER_BODY(MAKE)));
	do_create(C, "f", RW, &g2);
	turn();
	assert_int_equal(g2.rep.layout.volume, g.volume_number);
	do_create(B, "g", RW, &g2);
	turn();
	assert_int_equal(g2.rep.layout.volume, VOL);
}

static void test_owned(void **state)
{
	Orchfs__Peer__Owned m = ORCHFS__PEER__OWNED__INIT;
	Orchfs__Peer__File file = ORCHFS__PEER__FILE__INIT;
	Orchfs__Peer__Stat s = ORCHFS__PEER__STAT__INIT;
	peer_frame f = PEER_FRAME_INIT(OWNED);
	struct ns_instance *in;
	uint64_t ino, v, gen;
	struct got g;
	size_t nr;

	(void)state;
	home_ready();
	attach(C);
	ino = make(B, "f", NULL);
	assert_int_equal(ns_where(sv.ns, ino, &v, &gen, &in, &nr), 0);
	file.ino = ino;
	file.version = 1;
	file.instance = in[0].instance;
	free(in);
	s.mtime = s.ctime = 4;
	m.volume = VOL;
	m.file = &file;
	m.stat = &s;
	f.owned = &m;
	ask(C, &f, &g);
	assert_int_equal(g.rc, -EINVAL);
	ask(B, &f, &g);
	assert_int_equal(g.body, PEER_BODY(DONE));
	/* those times are of no write */
	do_getattr(C, ino, &g);
	turn();
	give_glimpsed_of(find(B, PEER_BODY(GLIMPSE)), 1, 4);
	assert_true(g.answered);
	assert_int_equal(g.rep.attr.mtime, 5);
	/* but an mtime that came after the file was made is */
	s.mtime = s.ctime = 100;
	ask(B, &f, &g);
	assert_int_equal(g.body, PEER_BODY(DONE));
	do_getattr(C, ino, &g);
	turn();
	give_glimpsed(find(B, PEER_BODY(GLIMPSE)), 1);
	assert_true(g.answered);
	assert_int_equal(g.rep.attr.mtime, 100);
}

/* A chown is told after its record. */
static void test_own(void **state)
{
	uint64_t ino;
	struct got g;

	(void)state;
	home_ready();
	attach(C);
	ino = make(B, "f", NULL);
	note_return(B, ino, UINT64_MAX / 2, 0);
	op(C, (struct op_req){ .kind = K(SETATTR), .sequence = 1, .node = ino,
			       .valid = ORCHFS_SET_UID,
			       .attr = { .uid = 9 } }, &g);
	turn();
	assert_true(g.answered);
	assert_int_equal(find(B, PEER_BODY(OWN))->f->own->uid, 9);
	give_glimpsed(find(B, PEER_BODY(OWN)), 0);
}

#define CASE(f)	cmocka_unit_test_setup_teardown(f, home_setup, home_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_told),
		CASE(test_create),
		CASE(test_make_fails),
		CASE(test_look),
		CASE(test_glimpse),
		CASE(test_hangs),
		CASE(test_away),
		CASE(test_settle),
		CASE(test_delete),
		CASE(test_delete_lost),
		CASE(test_flush),
		CASE(test_leave),
		CASE(test_leave_refused),
		CASE(test_add),
		CASE(test_owned),
		CASE(test_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
