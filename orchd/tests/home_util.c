// SPDX-License-Identifier: Apache-2.0
#include "home_util.h"

#include <sys/stat.h>
#include <unistd.h>

#include <netlink/genl/genl.h>
#include <netlink/msg.h>

#include "arena.h"
#include "data.h"
#include "home_impl.h"
#include "ns_cluster.h"

struct served sv;
struct asked asked[ASKED_MAX];
size_t nr_asked;
uint64_t clock_ms;
unsigned int drops;

static struct cluster cl;
static char dir[64];
static uint64_t next_link, links[NODES], sequence[NODES];
static char peer_memory;

static uint64_t test_clock(void)
{
	return clock_ms;
}

/* --- in the place of the rest --- */

void __wrap_sync_request(struct served *s, uint64_t txn);
void __wrap_sync_request(struct served *s, uint64_t txn)
{
	(void)s;
	(void)txn;
}

int __wrap_channel_send(struct channel *ch, struct nl_msg *m, uint32_t *seq);
int __wrap_channel_send(struct channel *ch, struct nl_msg *m, uint32_t *seq)
{
	(void)ch;
	(void)seq;
	nlmsg_free(m);
	return 0;
}

static peer_frame *copy(const peer_frame *f)
{
	struct frame_in in = { .max = PEER_FRAME_MAX };
	size_t len, size;
	uint8_t *buf = frame_pack(f, &len);
	const uint8_t *p = buf;
	peer_frame *out;

	assert_int_equal(frame_feed(&in, &p, &len, &out, &size), 1);
	frame_in_free(&in);
	free(buf);
	return out;
}

/* What kernels are told is acknowledged at once, but not in this call. */
int __wrap_peer_send(struct peer *p, uint64_t link, peer_frame *f, uint32_t ms,
		     struct peer_question *q);
int __wrap_peer_send(struct peer *p, uint64_t link, peer_frame *f, uint32_t ms,
		     struct peer_question *q)
{
	struct asked *a = &asked[nr_asked++];

	(void)p;
	assert_in_range(nr_asked, 1, ASKED_MAX);
	q->wait.failure = false;
	*a = (struct asked){ .q = q, .f = copy(f), .ms = ms };
	while (a->node < NODES && links[a->node] != link)
		a->node++;
	assert_in_range(a->node, B, C);
	return 0;
}

static void request_end(struct peer_request *r, struct got *g)
{
	assert_false(g->answered);
	g->answered = true;
	frame_free(r->f);
	free(r);
}

static struct got *got_of(struct peer_request *r)
{
	return (struct got *)(uintptr_t)r->id;
}

void __wrap_peer_reply(struct peer_request *r, peer_frame *f);
void __wrap_peer_reply(struct peer_request *r, peer_frame *f)
{
	struct got *g = got_of(r);

	assert_non_null(f);
	g->body = (int)f->body_case;
	if (g->body == PEER_BODY(OP_REPLY)) {
		g->rep.arena = arena_new();
		assert_int_equal(op_wire_get_reply(f->op_reply, &g->rep), 0);
		arena_free(g->rep.arena);
		g->rc = g->rep.status;
	}
	if (g->body == PEER_BODY(VOLUME_ADDED)) {
		g->volume_number = f->volume_added->number;
		assert_int_equal(f->volume_added->uuid.len, 16);
		memcpy(g->uuid, f->volume_added->uuid.data, 16);
	}
	request_end(r, g);
}

void __wrap_peer_fail(struct peer_request *r, int rc, const char *why);
void __wrap_peer_fail(struct peer_request *r, int rc, const char *why)
{
	(void)why;
	got_of(r)->rc = rc;
	request_end(r, got_of(r));
}

int __wrap_peer_drop(struct peer *p, uint64_t link, int rc, const char *why);
int __wrap_peer_drop(struct peer *p, uint64_t link, int rc, const char *why)
{
	(void)p;
	(void)link;
	(void)rc;
	(void)why;
	drops++;
	return 0;
}

/* --- the authority --- */

static void start(void)
{
	struct ns_volume *recs;
	struct volume **p;
	const char *why;
	size_t nr;

	sv.waiters_tail = &sv.waiters;
	sv.parked_tail = &sv.parked;
	assert_int_equal(ns_open(sv.st, &pool_backing_ops, &sv, "boot",
				 &sv.ns, &why), 0);
	assert_int_equal(ns_volumes(sv.ns, &recs, &nr), 0);
	p = &sv.volumes;
	for (size_t i = 0; i < nr; i++) {
		*p = volume_new(&recs[i]);
		home_away(&sv, *p);
		p = &(*p)->next;
	}
	free(recs);
	cl.sv = &sv;
	cl.node = A;
	cl.epoch = 1;
	cl.peer = (struct peer *)(void *)&peer_memory;
	sv.cluster = &cl;
	sv.no_module = true;
	pool_start(&sv);
	assert_int_equal(flush_start(&sv), 0);
	assert_int_equal(deleter_start(&sv), 0);
	assert_int_equal(data_start(&sv), 0);
}

static void answer_all(int rc)
{
	while (nr_asked)
		give(&asked[0], NULL, rc);
}

static void stop(void)
{
	struct volume *v;

	sv.cluster = NULL;
	answer_all(-ENOTCONN);
	work_run(&sv.queue);
	deleter_stop(&sv);
	pool_stop(&sv);
	flush_stop(&sv);
	work_run(&sv.queue);
	sessions_stop(&sv);
	work_run(&sv.queue);
	assert_null(sv.waiters);
	assert_null(sv.parked);
	arena_free(sv.arena);
	sv.arena = NULL;
	assert_int_equal(ns_close(sv.ns), 0);
	while ((v = sv.volumes)) {
		sv.volumes = v->next;
		assert_int_equal(atomic_load(&v->refs), 1);
		volume_put(v);
	}
	data_free(&sv);
	memset(links, 0, sizeof(links));
}

int home_setup(void **state)
{
	const struct ns_node first = { .number = A, .name = "a" };
	static const uint8_t uuid[16] = "0123456789abcdef", ca[32] = { 1 };
	struct ns_volume rec = { .id = VOL, .name = "far", .path = "/far",
				 .uuid = { 5 }, .home = B };
	struct ns_join j = { .secret_sha256 = { 7 } };
	struct store_opts o = { .create = true };
	uint64_t id;
	const char *why;
	uint32_t number;

	(void)state;
	memset(&sv, 0, sizeof(sv));
	memset(&cl, 0, sizeof(cl));
	memset(sequence, 0, sizeof(sequence));
	drops = 0;
	peer_clock = test_clock;
	clock_ms = 1000000;
	pthread_mutex_init(&sv.lock, NULL);
	pthread_cond_init(&sv.changed, NULL);
	pthread_mutex_init(&cl.lock, NULL);
	strcpy(sv.name, "t");
	strcpy(dir, "/tmp/home-test-XXXXXX");
	assert_non_null(mkdtemp(dir));
	strcpy(sv.dir, dir);
	assert_int_equal(work_queue_init(&sv.queue), 0);
	assert_int_equal(store_open("memory", dir, &o, &sv.st, &why), 0);
	assert_int_equal(ns_format(sv.st, "t", uuid), 0);
	sv.recent = calloc(RECENT_MAX, sizeof(*sv.recent));
	start();
	assert_int_equal(ns_cluster_begin(sv.ns, ca, &first), 0);
	for (unsigned int n = B; n <= C; n++) {
		j.secret_sha256[1] = j.key_sha256[1] = (uint8_t)n;
		snprintf(j.name, sizeof(j.name), "%c", 'a' + (int)n - 1);
		assert_int_equal(ns_invite(sv.ns, j.secret_sha256, A, 0, 9),
				 0);
		assert_int_equal(ns_join(sv.ns, &j, &number), 0);
	}
	assert_int_equal(ns_reserve(sv.ns, "volume", 1, &id), 0);
	assert_int_equal(id, VOL);
	assert_int_equal(ns_volume_put(sv.ns, &rec), 0);
	sv.volumes = volume_new(&rec);
	home_away(&sv, sv.volumes);
	assert_int_equal(store_barrier(sv.st), 0);
	return sessions_start(&sv);
}

int home_teardown(void **state)
{
	(void)state;
	stop();
	store_close(sv.st);
	free(sv.recent);
	work_queue_destroy(&sv.queue);
	free(cl.data);
	rmdir(dir);
	return 0;
}

/* Their threads have nothing to do here but to pass it on. */
static void acknowledge(void)
{
	for (size_t i = 0; i < nr_asked; )
		if (asked[i].f->body_case == PEER_BODY(INVALIDATE))
			give_done(&asked[i]);
		else
			i++;
}

void turn(void)
{
	for (int i = 0; i < 4; i++) {
		assert_true(store_barrier(sv.st) >= 0);
		sessions_durable(&sv);
		homes_durable(&sv);
		answer_run(&sv);
		deleter_kick(&sv);
		work_run(&sv.queue);
		pool_maintain(&sv);
		homes_turn(&sv);
		acknowledge();
	}
}

void restart(void)
{
	stop();
	start();
	assert_int_equal(sessions_start(&sv), 0);
}

/* --- nodes --- */

void ask(uint32_t node, peer_frame *f, struct got *g)
{
	struct peer_request *r = calloc(1, sizeof(*r));

	memset(g, 0, sizeof(*g));
	r->f = copy(f);
	r->node = node;
	r->link = links[node];
	r->id = (uintptr_t)g;
	sessions_handler.request(&sv, r);
}

void link_up(uint32_t node)
{
	links[node] = ++next_link;
	sessions_handler.up(&sv, node, links[node]);
}

/* Questions fail before it is told that the link is down. */
void link_down(uint32_t node)
{
	for (size_t i = 0; i < nr_asked; )
		if (asked[i].node == node)
			give(&asked[i], NULL, -ENOTCONN);
		else
			i++;
	sessions_handler.down(&sv, node, links[node], "cut");
	links[node] = 0;
	turn();
}

void seconds(unsigned int nr)
{
	while (nr--) {
		clock_ms += 1000;
		sessions_tick(&sv);
		turn();
	}
}

void over(uint32_t node)
{
	while (home_session(&sv, node))
		seconds(1);
	seconds(1);
}

static void attach_with(uint32_t node, size_t mounts)
{
	Orchfs__Peer__Attach at = ORCHFS__PEER__ATTACH__INIT;
	Orchfs__Peer__Handles handles = ORCHFS__PEER__HANDLES__INIT;
	Orchfs__Peer__Empty empty = ORCHFS__PEER__EMPTY__INIT;
	peer_frame f = PEER_FRAME_INIT(ATTACH);
	peer_frame h = PEER_FRAME_INIT(HANDLES);
	peer_frame ready = PEER_FRAME_INIT(READY);
	uint64_t session = node;
	uint8_t id[16] = { (uint8_t)node };
	struct got g;

	link_up(node);
	at.boot_id.data = id;
	at.boot_id.len = 16;
	at.session = &session;
	at.n_session = mounts;
	f.attach = &at;
	ask(node, &f, &g);
	assert_int_equal(g.body, PEER_BODY(DONE));
	h.handles = &handles;
	ask(node, &h, &g);
	ready.ready = &empty;
	ask(node, &ready, &g);
	turn();
	assert_int_equal(g.body, PEER_BODY(LEASE));
}

void attach(uint32_t node)
{
	attach_with(node, 1);
}

/* It has volumes, and nothing mounted. */
void attach_bare(uint32_t node)
{
	attach_with(node, 0);
}

void home_ready(void)
{
	attach(B);
	give_done(find(B, PEER_BODY(PEERS)));
	give_done(find(B, PEER_BODY(VOLUMES)));
	tell_state(B, VOL, HOME_ONLINE);
	give_made(find(B, PEER_BODY(MAKE)));
	while (count(B, PEER_BODY(MAKE)))
		give_made(find(B, PEER_BODY(MAKE)));
}

void op(uint32_t node, struct op_req rq, struct got *g)
{
	peer_frame f = PEER_FRAME_INIT(OP);
	struct arena *a = arena_new();

	rq.id = 1;
	rq.session = node;
	rq.now.sec = 5;
	if (rq.sequence)
		rq.sequence = ++sequence[node];
	f.op = op_wire_op(a, &rq);
	ask(node, &f, g);
	arena_free(a);
}

static struct op_name nm(const char *s)
{
	return (struct op_name){ s, strlen(s) };
}

void do_create(uint32_t node, const char *name, uint32_t flags, struct got *g)
{
	op(node, (struct op_req){ .kind = K(CREATE), .sequence = 1,
				  .node = ROOT, .name = nm(name),
				  .mode = S_IFREG | 0644, .flags = flags },
	   g);
}

uint64_t make(uint32_t node, const char *name, uint64_t *generation)
{
	struct got g;

	do_create(node, name, RW, &g);
	turn();
	assert_true(g.answered);
	assert_int_equal(g.rc, 0);
	assert_true(g.rep.has_layout);
	assert_int_equal(g.rep.layout.volume, VOL);
	assert_int_equal(g.rep.layout.home, B);
	assert_int_equal(g.rep.layout.at_home, node == B);
	if (generation)
		*generation = g.rep.layout.generation;
	return g.rep.attr.ino;
}

void do_getattr(uint32_t node, uint64_t ino, struct got *g)
{
	op(node, (struct op_req){ .kind = K(GETATTR), .node = ino }, g);
}

void do_unlink(uint32_t node, const char *name, struct got *g)
{
	op(node, (struct op_req){ .kind = K(UNLINK), .sequence = 1,
				  .node = ROOT, .name = nm(name) }, g);
}

void note_return(uint32_t node, uint64_t ino, uint64_t generation,
		 uint64_t size)
{
	const struct ns_note n = {
		.kind = K(NOTE_RETURN), .node = ino, .generation = generation,
		.session = node, .valid = ORCHFS_SET_SIZE,
		.attr = { .size = size },
	};
	peer_frame f = PEER_FRAME_INIT(NOTES);
	struct arena *a = arena_new();
	struct got g;

	f.notes = op_wire_notes(a, &n, 1);
	ask(node, &f, &g);
	assert_int_equal(g.body, PEER_BODY(DONE));
	arena_free(a);
	turn();
}

void tell_state(uint32_t node, uint32_t volume, uint32_t state)
{
	Orchfs__Peer__VolumeStates m = ORCHFS__PEER__VOLUME_STATES__INIT;
	Orchfs__Peer__VolumeState s = ORCHFS__PEER__VOLUME_STATE__INIT;
	Orchfs__Peer__VolumeState *list = &s;
	peer_frame f = PEER_FRAME_INIT(VOLUME_STATES);
	struct got g;

	s.number = volume;
	s.state = state;
	s.problem = (char *)(state == HOME_ONLINE ? "" : "trouble");
	s.fstype = (char *)"xfs";
	s.size = 1ULL << 40;
	s.free = 1ULL << 39;
	s.inodes = 1000000;
	s.files = 2000000;
	m.volume = &list;
	m.n_volume = 1;
	m.address = (char *)"10.0.0.2:7420";
	f.volume_states = &m;
	ask(node, &f, &g);
	assert_int_equal(g.body, PEER_BODY(DONE));
	turn();
}

/* --- questions --- */

struct asked *find(uint32_t node, int body)
{
	for (size_t i = 0; i < nr_asked; i++)
		if (asked[i].node == node && (int)asked[i].f->body_case == body)
			return &asked[i];
	fail_msg("node %u isn't asked that: %d", node, body);
	return NULL;
}

size_t count(uint32_t node, int body)
{
	size_t n = 0;

	for (size_t i = 0; i < nr_asked; i++)
		n += asked[i].node == node &&
		     (int)asked[i].f->body_case == body;
	return n;
}

/* The question is gone before its answer asks others. */
static void end(struct asked *a, peer_frame *answer, int rc, bool failure)
{
	struct peer_question *q = a->q;

	frame_free(a->f);
	*a = asked[--nr_asked];
	q->wait.failure = failure;
	q->done(q, rc, "no", answer ? copy(answer) : NULL);
}

void give(struct asked *a, peer_frame *f, int rc)
{
	end(a, f, rc, rc && rc != -ENOTCONN);
}

void give_done(struct asked *a)
{
	Orchfs__Peer__Empty m = ORCHFS__PEER__EMPTY__INIT;
	peer_frame f = PEER_FRAME_INIT(DONE);

	f.done = &m;
	give(a, &f, 0);
}

static Orchfs__Peer__Stat **stats(size_t nr, uint64_t size, int64_t time)
{
	Orchfs__Peer__Stat **list = calloc(nr + 1, sizeof(*list));
	Orchfs__Peer__Stat *s = calloc(nr + 1, sizeof(*s));

	for (size_t i = 0; i <= nr; i++) {
		orchfs__peer__stat__init(&s[i]);
		s[i].size = size;
		s[i].mtime = s[i].ctime = time;
		list[i] = &s[i];
	}
	return list;
}

static void stats_free(Orchfs__Peer__Stat **list)
{
	free(list[0]);
	free(list);
}

void give_made(struct asked *a)
{
	Orchfs__Peer__Made m = ORCHFS__PEER__MADE__INIT;
	peer_frame f = PEER_FRAME_INIT(MADE);

	m.count = a->f->make->count;
	m.stat = stats(m.count, 0, 3);
	m.n_stat = m.count;
	f.made = &m;
	give(a, &f, 0);
	stats_free(m.stat);
	turn();
}

void give_looked(struct asked *a, uint64_t size)
{
	Orchfs__Peer__Looked m = ORCHFS__PEER__LOOKED__INIT;
	peer_frame f = PEER_FRAME_INIT(LOOKED);

	m.n_stat = a->f->look->n_file;
	m.stat = stats(m.n_stat, size, size ? 100 : 3);
	f.looked = &m;
	give(a, &f, 0);
	stats_free(m.stat);
	turn();
}

void give_glimpsed(struct asked *a, uint64_t size)
{
	give_glimpsed_of(a, size, size ? 100 : 3);
}

void give_glimpsed_of(struct asked *a, uint64_t size, int64_t time)
{
	Orchfs__Peer__Glimpsed m = ORCHFS__PEER__GLIMPSED__INIT;
	peer_frame f = PEER_FRAME_INIT(GLIMPSED);

	m.n_stat = a->f->body_case == PEER_BODY(OWN) ? 1 :
		   a->f->glimpse->n_file;
	m.stat = stats(m.n_stat, size, time);
	f.glimpsed = &m;
	give(a, &f, 0);
	stats_free(m.stat);
	turn();
}

void give_deleted(struct asked *a, int status)
{
	Orchfs__Peer__Deleted m = ORCHFS__PEER__DELETED__INIT;
	peer_frame f = PEER_FRAME_INIT(DELETED);
	int32_t list[512];

	m.n_status = a->f->delete_->n_file;
	m.status = list;
	for (size_t i = 0; i < m.n_status; i++)
		list[i] = status;
	f.deleted = &m;
	give(a, &f, 0);
	turn();
}

bool parked(void)
{
	return sv.parked;
}

bool dirty(uint64_t ino)
{
	struct ns_instance *in;
	uint64_t v, g;
	size_t nr;
	bool d;

	assert_int_equal(ns_where(sv.ns, ino, &v, &g, &in, &nr), 0);
	assert_int_equal(nr, 1);
	d = in[0].dirty;
	free(in);
	return d;
}

uint64_t deletions(void)
{
	struct ns_counts c;

	assert_int_equal(ns_counts(sv.ns, &c), 0);
	return c.deletions;
}
