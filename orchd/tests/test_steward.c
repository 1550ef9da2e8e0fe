// SPDX-License-Identifier: Apache-2.0
/*
 * An agent's volumes: what the authority asks is done on real directories, the
 * authority's and the kernel's part are the test's.
 */
#include "agent_util.h"

#include <fcntl.h>
#include <semaphore.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "home.h"
#include "marker.h"
#include "volume.h"

#define VOLUME	7

static const uint8_t volume_uuid[16] = "uuid-of-volume--";
static uint8_t key[ORCHFS_KEY_LEN] = "key-of-volume";
static char root[128];

/* An open that is told when it may go on. */
static bool hold_open;
static sem_t open_now;

int __real_volume_open(struct volume *v, const uint8_t ns_uuid[16]);
int __wrap_volume_open(struct volume *v, const uint8_t ns_uuid[16]);
int __wrap_volume_open(struct volume *v, const uint8_t ns_uuid[16])
{
	if (hold_open)
		sem_wait(&open_now);
	return __real_volume_open(v, ns_uuid);
}

/* --- questions of the authority --- */

static struct {
	struct peer_question q;
	bool done;
	int rc;
	peer_frame *f;
} asked;

static void asked_done(struct peer_question *q, int rc, const char *why,
		       peer_frame *f)
{
	(void)q;
	(void)why;
	asked.done = true;
	asked.rc = rc;
	asked.f = f;
}

static void ask(peer_frame *f)
{
	frame_free(asked.f);
	memset(&asked, 0, sizeof(asked));
	asked.q.done = asked_done;
	assert_int_equal(peer_send(w.cl.peer, w.link, f, WAIT_MS, &asked.q),
			 0);
}

static int answer(void)
{
	while (!asked.done)
		turn();
	return asked.rc;
}

static const peer_frame *answered(peer_frame *f, int body)
{
	ask(f);
	assert_int_equal(answer(), 0);
	assert_int_equal(asked.f->body_case, body);
	return asked.f;
}

static void volumes(bool any, bool removed)
{
	Orchfs__Peer__Volume v = ORCHFS__PEER__VOLUME__INIT, *list = &v;
	Orchfs__Peer__Volumes m = ORCHFS__PEER__VOLUMES__INIT;
	peer_frame f = PEER_FRAME_INIT(VOLUMES);

	v.number = VOLUME;
	v.uuid.data = (uint8_t *)volume_uuid;
	v.uuid.len = 16;
	v.name = (char *)"vol";
	v.path = root;
	v.key.data = key;
	v.key.len = sizeof(key);
	v.key_id = key[0];
	v.removed = removed;
	m.volume = &list;
	m.n_volume = any;
	f.volumes = &m;
	answered(&f, PEER_BODY(DONE));
}

/* Until the volume is told to be in that state. */
static void wait_state(uint32_t state)
{
	struct peer_request *r;
	bool there;

	do {
		r = next(PEER_BODY(VOLUME_STATES));
		there = r->f->volume_states->n_volume &&
			r->f->volume_states->volume[0]->state == state;
		reply_done(r);
	} while (!there);
}

static void make_volume(void)
{
	struct marker m = { .volume = VOLUME, .epoch = 1 };
	char why[VOLUME_WHY];

	memcpy(m.ns_uuid, uuid, 16);
	strcpy(m.ns_name, "models");
	memcpy(m.volume_uuid, volume_uuid, 16);
	assert_int_equal(volume_make(root, &m, why), 0);
}

static int vol_setup(void **state)
{
	hold_open = false;
	sem_init(&open_now, 0, 0);
	if (setup(state))
		return -1;
	snprintf(root, sizeof(root), "%s/vol", dir);
	make_volume();
	return 0;
}

static int vol_teardown(void **state)
{
	frame_free(asked.f);
	asked.f = NULL;
	return teardown(state);
}

static void online(void)
{
	agent_start();
	volumes(true, false);
	wait_state(HOME_ONLINE);
}

static bool there(const char *sub)
{
	char path[300];

	snprintf(path, sizeof(path), "%s/%s", root, sub);
	return !access(path, F_OK);
}

static void file_path(uint64_t ino, uint64_t instance, char path[300])
{
	char sub[BACKING_PATH_MAX];

	backing_path(sub, ino, 1, instance);
	snprintf(path, 300, "%s/%s", root, sub);
}

static void put(uint64_t ino, uint64_t instance, const char *text)
{
	char path[300];
	int fd;

	file_path(ino, instance, path);
	fd = open(path, O_WRONLY);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static const Orchfs__Peer__Made *make(uint64_t ino, uint32_t count)
{
	Orchfs__Peer__Make m = ORCHFS__PEER__MAKE__INIT;
	peer_frame f = PEER_FRAME_INIT(MAKE);

	m.volume = VOLUME;
	m.first_ino = ino;
	m.first_instance = ino + 1000;
	m.count = count;
	f.make = &m;
	return answered(&f, PEER_BODY(MADE))->made;
}

#define FILES_MAX	16

struct files {
	Orchfs__Peer__File f[FILES_MAX], *list[FILES_MAX];
};

static Orchfs__Peer__File **files(struct files *v, uint64_t ino, size_t nr)
{
	for (size_t i = 0; i < nr; i++) {
		v->list[i] = &v->f[i];
		orchfs__peer__file__init(&v->f[i]);
		v->f[i].ino = ino + i;
		v->f[i].version = 1;
		v->f[i].instance = ino + i + 1000;
	}
	return v->list;
}

static const Orchfs__Peer__Glimpsed *glimpse(uint64_t ino, size_t nr)
{
	Orchfs__Peer__Glimpse m = ORCHFS__PEER__GLIMPSE__INIT;
	peer_frame f = PEER_FRAME_INIT(GLIMPSE);
	struct files v;

	m.volume = VOLUME;
	m.n_file = nr;
	m.file = files(&v, ino, nr);
	f.glimpse = &m;
	return answered(&f, PEER_BODY(GLIMPSED))->glimpsed;
}

static void test_work(void **state)
{
	Orchfs__Peer__Delete d = ORCHFS__PEER__DELETE__INIT;
	peer_frame f = PEER_FRAME_INIT(DELETE);
	const Orchfs__Peer__Glimpsed *g;
	const Orchfs__Peer__Made *m;
	char path[300];
	struct files v;
	struct stat st;

	(void)state;
	online();
	m = make(256, 12);
	assert_int_equal(m->count, 12);
	assert_int_equal(m->status, 0);
	assert_int_equal(m->n_stat, 12);
	file_path(260, 1260, path);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(m->stat[4]->ctime, st.st_ctim.tv_sec);
	assert_int_equal(m->stat[4]->ctime_nsec, st.st_ctim.tv_nsec);
	assert_int_equal(m->stat[4]->size, 0);
	/* numbers are used once */
	m = make(266, 4);
	assert_int_equal(m->count, 0);
	assert_int_equal(m->status, -EEXIST);
	put(257, 1257, "twelve bytes");
	g = glimpse(256, 14);
	assert_int_equal(g->n_stat, 14);
	assert_int_equal(g->stat[0]->size, 0);
	assert_int_equal(g->stat[1]->size, 12);
	assert_int_equal(g->stat[13]->status, -ENOENT);
	d.volume = VOLUME;
	d.n_file = 14;
	d.file = files(&v, 256, 14);
	f.delete_ = &d;
	assert_int_equal(answered(&f, PEER_BODY(DELETED))->deleted->n_status,
			 14);
	for (int i = 0; i < 14; i++)
		assert_int_equal(asked.f->deleted->status[i], 0);
	assert_int_equal(glimpse(257, 1)->stat[0]->status, -ENOENT);
}

static void test_look(void **state)
{
	Orchfs__Peer__Look m = ORCHFS__PEER__LOOK__INIT;
	peer_frame f = PEER_FRAME_INIT(LOOK);
	const Orchfs__Peer__Looked *l;
	char path[300];
	struct files v;
	struct stat st;

	(void)state;
	online();
	make(300, 3);
	put(301, 1301, "contents");
	file_path(300, 1300, path);
	if (!geteuid())	/* somebody's, of a create that was cut short */
		assert_int_equal(chown(path, 1234, 1234), 0);
	m.volume = VOLUME;
	m.n_file = 4;
	m.file = files(&v, 300, 4);
	f.look = &m;
	l = answered(&f, PEER_BODY(LOOKED))->looked;
	assert_int_equal(l->n_stat, 4);
	assert_int_equal(l->stat[0]->status, 0);
	assert_int_equal(l->stat[1]->status, -ENOENT);
	assert_int_equal(l->stat[2]->status, 0);
	assert_int_equal(l->stat[3]->status, -ENOENT);
	assert_true(there("quarantine/12d.1.515"));
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_uid, geteuid());
	assert_int_equal(st.st_ctim.tv_nsec, l->stat[0]->ctime_nsec);
}

static void test_limits(void **state)
{
	Orchfs__Peer__Make m = ORCHFS__PEER__MAKE__INIT;
	peer_frame f = PEER_FRAME_INIT(MAKE);
	Orchfs__Peer__Flush flush = ORCHFS__PEER__FLUSH__INIT;
	peer_frame s = PEER_FRAME_INIT(FLUSH);
	uint32_t list[2] = { VOLUME, VOLUME + 1 };

	(void)state;
	online();
	m.volume = VOLUME;
	m.first_ino = m.first_instance = 400;
	m.count = 513;
	f.make = &m;
	ask(&f);
	assert_int_equal(answer(), -EPROTO);
	m.count = 1;
	m.volume = VOLUME + 1;
	ask(&f);
	assert_int_equal(answer(), -ENODEV);
	m.volume = VOLUME;
	m.first_ino = 0;
	ask(&f);
	assert_int_equal(answer(), -EPROTO);
	assert_false(there("data/01"));
	flush.n_volume = 1;
	flush.volume = list;
	s.flush = &flush;
	answered(&s, PEER_BODY(DONE));
	/* nobody can promise for what isn't there */
	flush.n_volume = 2;
	ask(&s);
	assert_int_equal(answer(), -EIO);
}

/* --- layouts --- */

static struct op_reply a_layout(uint64_t ino)
{
	return (struct op_reply){
		.has_attr = true, .attr = { .ino = ino, .nlink = 1 },
		.has_layout = true,
		.layout = { .generation = 1, .version = 1, .writable = true,
			    .instance = ino + 1000, .volume = VOLUME,
			    .home = 2, .at_home = true },
	};
}

static void test_layout(void **state)
{
	struct op_reply rep = a_layout(500);
	const Orchfs__Peer__Owned *o;
	struct peer_request *r;
	char path[300];
	struct said s;
	struct stat st;

	(void)state;
	online();
	make(500, 2);
	rep.attr.uid = geteuid();
	rep.attr.gid = getegid();
	request(1, ORCHFS_KIND_OPEN, 0);
	next_op(&r);
	reply_op(r, &rep);
	s = said(ORCHFS_CMD_REPLY, 0);
	assert_int_equal(s.status, 0);
	assert_int_equal(s.kind, ORCHFS_MIRROR_KIND_LOCAL);
	file_path(500, 1500, path);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(s.file, st.st_ino);
	if (geteuid())
		return;
	/* it belongs to somebody else by now */
	rep.attr.uid = 1234;
	rep.attr.gid = 4321;
	request(2, ORCHFS_KIND_OPEN, 0);
	next_op(&r);
	reply_op(r, &rep);
	r = next(PEER_BODY(OWNED));
	o = r->f->owned;
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_uid, 1234);
	assert_int_equal(st.st_gid, 4321);
	assert_int_equal(o->volume, VOLUME);
	assert_int_equal(o->file->instance, 1500);
	assert_int_equal(o->stat->ctime, st.st_ctim.tv_sec);
	assert_int_equal(o->stat->ctime_nsec, st.st_ctim.tv_nsec);
	reply_done(r);
	assert_int_equal(said(ORCHFS_CMD_REPLY, 1).status, 0);
}

/* A file that is not there: EIO, and the authority hears of it. */
static void test_missing(void **state)
{
	struct op_reply rep = a_layout(510);
	struct peer_request *r;

	(void)state;
	online();
	request(1, ORCHFS_KIND_OPEN, 0);
	next_op(&r);
	reply_op(r, &rep);
	reply_done(next(PEER_BODY(NOTES)));
	assert_int_equal(said(ORCHFS_CMD_REPLY, 0).status, -EIO);
}

/* The status that it ends with at once. */
static int layout_set(uint64_t ino)
{
	const struct op_layout l = {
		.generation = 9, .version = 1, .instance = 33, .volume = 4,
		.home = 1, .token = "t",
	};
	Orchfs__Peer__LayoutSet m = ORCHFS__PEER__LAYOUT_SET__INIT;
	peer_frame f = PEER_FRAME_INIT(LAYOUT_SET);
	struct arena *a = arena_new();
	const peer_frame *end;

	m.ino = ino;
	m.layout = op_wire_layout(a, &l);
	m.timeout_ms = 1000;
	f.layout_set = &m;
	end = answered(&f, PEER_BODY(LAYOUT_END));
	arena_free(a);
	return end->layout_end->status;
}

/* Who asks while the volume is being opened waits for that. */
static void test_kept(void **state)
{
	struct op_reply plain = { .has_attr = true, .attr = { .ino = 9 } };
	struct op_reply rep = a_layout(520);
	struct peer_request *r;
	char path[300];

	(void)state;
	online();
	make(520, 1);
	file_path(520, 1520, path);
	agent_stop();
	while (!w.downs)
		turn();
	while (w.taken < w.nr)
		peer_reply(w.req[w.taken++], NULL);
	hold_open = true;
	w.agent = served_new(dir);
	agent_start();
	volumes(true, false);
	rep.attr.uid = geteuid();
	rep.attr.gid = getegid();
	request(1, ORCHFS_KIND_OPEN, 0);
	request(2, ORCHFS_KIND_GETATTR, 0);
	for (int ops = 0; ops < 2;) {
		if (w.taken == w.nr) {
			turn();
			continue;
		}
		r = w.req[w.taken++];
		if (r->f->body_case != PEER_BODY(OP)) {
			reply_done(r);
			continue;
		}
		reply_op(r, ops++ ? &plain : &rep);
	}
	/* the later one is answered first */
	assert_int_equal(said(ORCHFS_CMD_REPLY, 0).id, 2);
	/* and what replaces a layout doesn't overtake it */
	assert_int_equal(layout_set(520), -EAGAIN);
	assert_int_equal(nr_said(ORCHFS_CMD_LAYOUT_SET), 0);
	hold_open = false;
	sem_post(&open_now);
	assert_int_equal(said(ORCHFS_CMD_REPLY, 1).id, 1);
	assert_int_equal(said(ORCHFS_CMD_REPLY, 1).status, 0);
}

/* --- volumes that come and go --- */

static void test_refused(void **state)
{
	char marker[300];

	(void)state;
	snprintf(marker, sizeof(marker), "%s/" MARKER_FILE, root);
	assert_int_equal(unlink(marker), 0);
	agent_start();
	volumes(true, false);
	wait_state(HOME_REFUSED);
	/* it is mounted */
	make_volume();
	wait_state(HOME_ONLINE);
	make(600, 1);
}

/* The kernel lets go of what it serves. */
static void unserved(size_t n)
{
	struct said s = said(ORCHFS_CMD_SERVE_UNVOLUME, n);
	struct nl_msg *m = message(ORCHFS_CMD_SERVE_DONE);

	nla_put_u64(m, ORCHFS_A_MSG_REQUEST_ID, s.id);
	nla_put_s32(m, ORCHFS_A_MSG_STATUS, 0);
	inject(m);
}

static void wait_gone(void)
{
	struct peer_request *r;
	bool gone;

	do {
		r = next(PEER_BODY(VOLUME_STATES));
		gone = !r->f->volume_states->n_volume;
		reply_done(r);
	} while (!gone);
}

/* One that isn't named is let go of; nothing on it is touched. */
static void test_unnamed(void **state)
{
	Orchfs__Peer__Make m = ORCHFS__PEER__MAKE__INIT;
	peer_frame f = PEER_FRAME_INIT(MAKE);

	(void)state;
	online();
	make(700, 1);
	volumes(false, false);
	unserved(0);
	wait_gone();
	m.volume = VOLUME;
	m.first_ino = m.first_instance = 800;
	m.count = 1;
	f.make = &m;
	do {
		ask(&f);
	} while (answer() != -ENODEV);
	assert_true(there(MARKER_FILE));
	assert_true(there("data/02"));
	/* and again */
	volumes(true, false);
	wait_state(HOME_ONLINE);
}

static void test_removed(void **state)
{
	(void)state;
	online();
	make(700, 3);
	put(701, 1701, "kept");
	volumes(true, true);
	unserved(0);
	while (there(MARKER_FILE)) {
		reply_done(next(PEER_BODY(VOLUME_STATES)));
	}
	assert_true(there("data/02/2bd.1.6a5"));
	assert_false(there("data/02/2bc.1.6a4"));
}

/* --- the data server --- */

static void test_served(void **state)
{
	Orchfs__Peer__Fence m = ORCHFS__PEER__FENCE__INIT;
	peer_frame f = PEER_FRAME_INIT(FENCE);
	struct nl_msg *msg;
	struct said s;

	(void)state;
	key[0] = 1;
	online();
	said(ORCHFS_CMD_SERVE_TIME, 0);
	s = said(ORCHFS_CMD_SERVE_VOLUME, 0);
	assert_int_equal(s.volume, VOLUME);
	assert_int_equal(s.key_id, key[0]);
	/* with another key it is told again */
	key[0]++;
	volumes(true, false);
	s = said(ORCHFS_CMD_SERVE_VOLUME, 1);
	assert_int_equal(s.key_id, key[0]);
	/* a fence is answered when requests of before have ended */
	m.node = 3;
	m.epoch = 77;
	m.expiry_ms = 1234567;
	f.fence = &m;
	ask(&f);
	s = said(ORCHFS_CMD_SERVE_FENCE, 0);
	assert_int_equal(s.peer, 3);
	assert_int_equal(s.epoch, 77);
	assert_int_equal(s.volume, VOLUME);
	assert_false(asked.done);
	msg = message(ORCHFS_CMD_SERVE_DONE);
	nla_put_u64(msg, ORCHFS_A_MSG_REQUEST_ID, s.id);
	nla_put_s32(msg, ORCHFS_A_MSG_STATUS, 0);
	inject(msg);
	assert_int_equal(answer(), 0);
}

/* --- connections for data --- */

static struct {
	struct loop loop;
	struct peer_set set;
	bool ended;
	int fd;				/* -1: refused */
	char why[PEER_WHY];
} dialled;

static void dialled_data(struct peer_set *s, struct peer_conn *c, int fd)
{
	(void)s;
	(void)c;
	dialled.fd = fd;
	dialled.ended = true;
}

static void dialled_closed(struct peer_set *s, struct peer_conn *c, int rc)
{
	(void)s;
	(void)rc;
	strcpy(dialled.why, c->why);
	dialled.ended = true;
}

static int dialled_admit(struct peer_set *s, struct peer_conn *c, char *why,
			 size_t len)
{
	(void)s;
	(void)c;
	(void)why;
	(void)len;
	return 0;
}

static const struct peer_ops dialled_ops = {
	.admit = dialled_admit, .data = dialled_data,
	.closed = dialled_closed,
};

/* @node comes to the agent, @to: for its data, else for a link. */
static bool dial(uint32_t node, uint32_t to)
{
	struct ns_serial serial;
	struct pki_issue i = {
		.ca = w.ca, .ca_key = w.ca_key, .key = w.key, .uuid = uuid,
		.node = node, .name = "n", .now = pki_time(),
		.seconds = PKI_YEAR,
	};
	X509 *x = pki_issue(&i, &serial);
	struct address a;
	bool up;

	memset(&dialled, 0, sizeof(dialled));
	dialled.fd = -1;
	assert_int_equal(loop_init(&dialled.loop), 0);
	dialled.set = (struct peer_set){
		.loop = &dialled.loop, .ops = &dialled_ops,
		.tls = peer_tls_new(w.key, x, w.ca, NULL),
		.self = { .version_min = PEER_VERSION,
			  .version_max = PEER_VERSION, .node = node },
	};
	memcpy(dialled.set.self.uuid, uuid, 16);
	assert_int_equal(address_parse(w.listen, &a), 0);
	assert_int_equal(to ? peer_dial_data(&dialled.set, &a, to) :
			 peer_dial(&dialled.set, &a), 0);
	while (!dialled.ended) {
		loop_turn(&dialled.loop, 100);
		peer_tick(&dialled.set);
	}
	up = dialled.fd >= 0;
	if (up)
		close(dialled.fd);
	peer_set_free(&dialled.set);
	peer_tls_put(dialled.set.tls);
	loop_destroy(&dialled.loop);
	X509_free(x);
	return up;
}

static void peers(bool removed)
{
	Orchfs__Peer__NodeInfo n[3], *list[3];
	Orchfs__Peer__Nodes m = ORCHFS__PEER__NODES__INIT;
	peer_frame f = PEER_FRAME_INIT(PEERS);

	for (uint32_t i = 0; i < 3; i++) {
		orchfs__peer__node_info__init(&n[i]);
		list[i] = &n[i];
		n[i].number = i + 1;
		n[i].name = (char *)"n";
		n[i].address = (char *)"10.0.0.9";
		n[i].removed = removed && i == 2;
	}
	m.node = list;
	m.n_node = 3;
	f.peers = &m;
	answered(&f, PEER_BODY(DONE));
}

/* Where it listens is told with the states of volumes. */
static void wait_listening(void)
{
	struct peer_request *r;
	bool there;

	do {
		r = next(PEER_BODY(VOLUME_STATES));
		there = !strcmp(r->f->volume_states->address, w.listen);
		reply_done(r);
	} while (!there);
}

/* Nodes that the authority has told of come for data, and for nothing else. */
static void test_connections(void **state)
{
	char at[NS_NODE_ADDRESS];
	struct nl_msg *m;

	(void)state;
	agent_start();
	volumes(true, false);
	wait_listening();
	assert_false(dial(3, 2));
	assert_non_null(strstr(dialled.why, "no such node 3"));
	peers(false);
	cluster_data_address(w.agent->cluster, 3, at);
	assert_string_equal(at, "10.0.0.9");
	assert_true(dial(3, 2));
	assert_int_equal(said(ORCHFS_CMD_SERVE_PEER, 0).peer, 3);
	m = message(ORCHFS_CMD_SERVE_GONE);
	nla_put_u32(m, ORCHFS_A_MSG_PEER, 3);
	nla_put_u64(m, ORCHFS_A_MSG_CONNECTION, 1);
	inject(m);
	assert_false(dial(3, 0));
	peers(true);
	assert_false(dial(3, 2));
	assert_non_null(strstr(dialled.why, "was removed"));
	assert_true(dial(1, 2));
	assert_int_equal(said(ORCHFS_CMD_SERVE_PEER, 1).peer, 1);
}

#define VOL_TEST(fn) cmocka_unit_test_setup_teardown(fn, vol_setup, \
						     vol_teardown)

/* --- copies --- */

static void copy_of(Orchfs__Peer__Copy *m, Orchfs__Peer__CopyFile *file,
		    Orchfs__Peer__File *from, uint32_t home)
{
	orchfs__peer__copy__init(m);
	orchfs__peer__copy_file__init(file);
	orchfs__peer__file__init(from);
	from->ino = 500;
	from->version = 1;
	from->instance = 1500;
	file->from = from;
	file->to_instance = 77;
	file->from_volume = VOLUME;
	file->home = home;
	file->uid = getuid();
	file->gid = getgid();
	m->job = 3;
	m->to_volume = VOLUME;
}

static void test_copy(void **state)
{
	Orchfs__Peer__Copy m;
	Orchfs__Peer__CopyFile file, *list = &file;
	Orchfs__Peer__CopiedFile *out;
	Orchfs__Peer__File from;
	peer_frame f = PEER_FRAME_INIT(COPY);
	char path[300], buf[16];
	struct stat st;
	int fd;

	(void)state;
	online();
	make(500, 1);
	put(500, 1500, "contents");
	copy_of(&m, &file, &from, 2);
	m.file = &list;
	m.n_file = 1;
	f.copy = &m;
	answered(&f, PEER_BODY(COPIED));
	assert_int_equal(asked.f->copied->n_file, 1);
	out = asked.f->copied->file[0];
	assert_int_equal(out->status, 0);
	assert_int_equal(out->size, 8);
	file_path(500, 77, path);
	fd = open(path, O_RDONLY);
	assert_true(fd >= 0);
	assert_int_equal(read(fd, buf, sizeof(buf)), 8);
	assert_memory_equal(buf, "contents", 8);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_mode & 07777, BACKING_MODE);
	assert_int_equal(st.st_blocks, out->blocks);
	close(fd);
	/* it isn't made twice, and one without a source isn't made */
	answered(&f, PEER_BODY(COPIED));
	out = asked.f->copied->file[0];
	assert_int_equal(out->status, -EEXIST);
	assert_true(out->fatal);
	from.instance = 9;
	file.to_instance = 78;
	answered(&f, PEER_BODY(COPIED));
	out = asked.f->copied->file[0];
	assert_int_equal(out->status, -ENOENT);
	assert_false(out->fatal);
	file_path(500, 78, path);
	assert_int_not_equal(access(path, F_OK), 0);
	/* malformed */
	file.to_instance = 0;
	ask(&f);
	assert_int_equal(answer(), -EPROTO);
	m.to_volume = VOLUME + 1;
	ask(&f);
	assert_int_equal(answer(), -ENXIO);
}

static int copied = 1;

static void copied_done(struct peer_question *q, int rc, const char *why,
			peer_frame *f)
{
	(void)q;
	(void)why;
	assert_int_equal(rc, 0);
	assert_int_equal(f->body_case, PEER_BODY(COPIED));
	copied = f->copied->file[0]->status;
	frame_free(f);
}

/* Of a node that nobody reaches; it is stopped. */
static void test_copy_stopped(void **state)
{
	static uint8_t token[ORCHFS_TOKEN_LEN];
	Orchfs__Peer__Copy m;
	Orchfs__Peer__CopyFile file, *list = &file;
	Orchfs__Peer__CopyWatch watch = ORCHFS__PEER__COPY_WATCH__INIT;
	Orchfs__Peer__File from;
	peer_frame f = PEER_FRAME_INIT(COPY);
	peer_frame g = PEER_FRAME_INIT(COPY_WATCH);
	static struct peer_question copying;

	(void)state;
	online();
	assert_int_equal(cluster_set_data_address(w.agent->cluster, 9,
						  "127.0.0.1:1"), 1);
	copy_of(&m, &file, &from, 9);
	file.token.data = token;
	file.token.len = sizeof(token);
	m.file = &list;
	m.n_file = 1;
	f.copy = &m;
	copying.done = copied_done;
	assert_int_equal(peer_send(w.cl.peer, w.link, &f, WAIT_MS, &copying),
			 0);
	watch.job = 3;
	g.copy_watch = &watch;
	answered(&g, PEER_BODY(COPY_STATE));
	assert_int_equal(asked.f->copy_state->reading, 0);
	/* the same job again */
	ask(&f);
	assert_int_equal(answer(), -EBUSY);
	watch.stop = true;
	answered(&g, PEER_BODY(COPY_STATE));
	while (copied > 0)
		turn();
	assert_int_equal(copied, -ECANCELED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		VOL_TEST(test_copy),
		VOL_TEST(test_copy_stopped),
		VOL_TEST(test_work),
		VOL_TEST(test_look),
		VOL_TEST(test_limits),
		VOL_TEST(test_layout),
		VOL_TEST(test_missing),
		VOL_TEST(test_kept),
		VOL_TEST(test_refused),
		VOL_TEST(test_unnamed),
		VOL_TEST(test_removed),
		VOL_TEST(test_served),
		VOL_TEST(test_connections),
	};

	return cmocka_run_group_tests_name("steward", tests, NULL, NULL);
}
