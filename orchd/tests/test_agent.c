// SPDX-License-Identifier: Apache-2.0
/*
 * An agent's attachments: what it tells at first, its lease, what it does when
 * the link, the module or a notice is lost, and how it ends.
 */
#include "agent_util.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config.h"
#include "ctl.h"
#include "store.h"

static void test_attach(void **state)
{
	uint64_t before = peer_now();
	char problem[VOLUME_WHY];
	struct said s;

	(void)state;
	k.nr_sessions = 3;
	for (size_t i = 0; i < 3; i++)
		k.sessions[i] = ~0ULL - i;
	k.nr_handles = 5000;
	for (size_t i = 0; i < 5000; i++)
		k.handles[i] = 100 + i;
	agent_start();
	s = said(ORCHFS_CMD_READY, 0);
	assert_int_equal(s.durable, 77);
	assert_in_range(s.lease_until, before + WAIT_MS,
			peer_now() + WAIT_MS);
	pthread_mutex_lock(&w.agent->lock);
	while (w.agent->state != SERVED_AGENT)
		pthread_cond_wait(&w.agent->changed, &w.agent->lock);
	pthread_mutex_unlock(&w.agent->lock);
	served_get_state(w.agent, problem, sizeof(problem));
	assert_string_equal(problem, "");
	assert_int_equal(atomic_load(&w.agent->mounts), 3);
}

static void test_lease(void **state)
{
	uint64_t last, now;
	struct said s;

	(void)state;
	w.lease_ms = 300;
	agent_start();
	last = said(ORCHFS_CMD_READY, 0).lease_until;
	for (size_t i = 0; i < 4; i++) {
		s = said(ORCHFS_CMD_POLL, i);
		now = peer_now();
		assert_in_range(s.lease_until, last + 100, now + 300);
		last = s.lease_until;
		assert_true(w.renewals > i);
	}
	assert_int_equal(w.downs, 0);
}

/* The kernel keeps what it has asked, and asks the next attachment. */
static void test_lost(void **state)
{
	struct op_reply rep = { .status = -ENOENT };
	struct peer_request *r, *old[5];
	uint64_t incarnation;
	struct op_req op;

	(void)state;
	agent_start();
	incarnation = k.incarnation;
	for (uint64_t i = 0; i < 5; i++) {
		request(i + 1, ORCHFS_KIND_GETATTR, 0);
		next_op(&old[i]);
	}
	assert_int_equal(peer_drop(w.cl.peer, w.link, -ESTALE, "lease"), 0);
	welcome(0);
	for (int i = 0; i < 5; i++)
		reply_op(old[i], &rep);
	assert_int_equal(w.downs, 1);
	assert_int_equal(k.closes, 1);
	assert_true(k.incarnation > incarnation);
	request(1, ORCHFS_KIND_GETATTR, ORCHFS_REQ_FLAG_RESENT);
	op = next_op(&r);
	assert_int_equal(op.flags, ORCHFS_REQ_FLAG_RESENT);
	reply_op(r, &rep);
	assert_int_equal(said(ORCHFS_CMD_REPLY, 0).status, -ENOENT);
	assert_int_equal(nr_said(ORCHFS_CMD_REPLY), 1);
	assert_int_equal(atomic_load(&w.agent->resent), 1);
}

/* What was answered just before counts as held. */
static void test_recent(void **state)
{
	struct op_reply rep = {
		.has_attr = true, .attr = { .ino = 55, .nlink = 1 },
		.has_layout = true,
		.layout = { .generation = 1, .version = 2, .instance = 3,
			    .volume = 4, .home = 1 },
	};
	struct peer_request *r;

	(void)state;
	agent_start();
	request(1, ORCHFS_KIND_OPEN, 0);
	next_op(&r);
	reply_op(r, &rep);
	said(ORCHFS_CMD_REPLY, 0);
	assert_int_equal(peer_drop(w.cl.peer, w.link, -ESTALE, "lease"), 0);
	reply_done(next(PEER_BODY(ATTACH)));
	r = next(PEER_BODY(HANDLES));
	assert_int_equal(r->f->handles->n_handle, 1);
	assert_int_equal(r->f->handles->handle[0]->ino, 55);
	assert_int_equal(r->f->handles->handle[0]->opens, 1);
	reply_done(r);
	reply_lease(next(PEER_BODY(READY)));
}

static void test_busy(void **state)
{
	struct op_reply rep = { .status = -ENOENT };
	struct peer_request *r;

	(void)state;
	w.lease_ms = 600;	/* ticks come often */
	agent_start();
	request(1, ORCHFS_KIND_GETATTR, 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(next_op(&r).id, 1);
		peer_fail(r, -EBUSY, "too much to do");
	}
	assert_int_equal(next_op(&r).id, 1);
	reply_op(r, &rep);
	assert_int_equal(said(ORCHFS_CMD_REPLY, 0).status, -ENOENT);
	assert_int_equal(nr_said(ORCHFS_CMD_REPLY), 1);
}

static void test_no_module(void **state)
{
	char problem[VOLUME_WHY];

	(void)state;
	k.loaded = false;
	assert_int_equal(served_start(w.agent), 0);
	pthread_mutex_lock(&w.agent->lock);
	while (!strstr(w.agent->problem, "modprobe orchfs"))
		pthread_cond_wait(&w.agent->changed, &w.agent->lock);
	assert_int_equal(w.agent->state, SERVED_AGENT);
	pthread_mutex_unlock(&w.agent->lock);
	pthread_mutex_lock(&k.lock);
	k.loaded = true;
	pthread_mutex_unlock(&k.lock);
	welcome(0);
	served_get_state(w.agent, problem, sizeof(problem));
	assert_string_equal(problem, "");
}

/* While the authority has its grace, status tells that. */
static void test_grace(void **state)
{
	char problem[VOLUME_WHY];
	struct peer_request *r;

	(void)state;
	assert_int_equal(served_start(w.agent), 0);
	reply_done(next(PEER_BODY(ATTACH)));
	r = next(PEER_BODY(READY));
	pthread_mutex_lock(&w.agent->lock);
	while (!strstr(w.agent->problem, "not let this node in"))
		pthread_cond_wait(&w.agent->changed, &w.agent->lock);
	pthread_mutex_unlock(&w.agent->lock);
	reply_lease(r);
	said(ORCHFS_CMD_READY, 0);
	served_get_state(w.agent, problem, sizeof(problem));
	assert_string_equal(problem, "");
}

/* Notices were dropped: what is held is told again. */
static void test_dropped_notices(void **state)
{
	struct nl_msg *m = nlmsg_alloc();
	struct nlmsgerr e = { .error = -ESTALE };

	(void)state;
	agent_start();
	assert_non_null(nlmsg_put(m, 0, 0, NLMSG_ERROR, 0, 0));
	assert_int_equal(nlmsg_append(m, &e, sizeof(e), 0), 0);
	k.nr_handles = 2;
	k.handles[0] = 3;
	k.handles[1] = 4;
	inject(m);
	welcome(2);
	assert_int_equal(k.closes, 1);
}

static void test_no_lease(void **state)
{
	(void)state;
	w.lease_ms = 0;
	assert_int_equal(served_start(w.agent), 0);
	reply_done(next(PEER_BODY(ATTACH)));
	reply_lease(next(PEER_BODY(READY)));
	while (!w.downs)
		turn();
	assert_int_equal(nr_said(ORCHFS_CMD_READY), 0);
	w.lease_ms = WAIT_MS;
	welcome(0);
}

static void test_stop(void **state)
{
	struct peer_request *r;

	(void)state;
	agent_start();
	request(1, ORCHFS_KIND_GETATTR, 0);
	next_op(&r);
	agent_stop();
	assert_false(k.attached);
	assert_int_equal(k.closes, 1);
	assert_int_equal(nr_said(ORCHFS_CMD_REPLY), 0);
	peer_reply(r, NULL);
}

/* --- with a real authority, whose own module is not loaded --- */

static struct served *authority;

static void join(struct served *sv)
{
	Orchfs__Peer__Invite m = ORCHFS__PEER__INVITE__INIT;
	peer_frame f = PEER_FRAME_INIT(INVITE), *out;
	struct join_opts o = { .name = "b", .address = "", .dir = dir };
	struct arena *a = arena_new();
	char why[VOLUME_WHY] = "";
	struct token t;

	f.invite = &m;
	assert_int_equal(cluster_ask(sv->cluster, a, &f, &out, why,
				     sizeof(why)), 0);
	assert_int_equal(token_parse(out->invited->token, &t), 0);
	o.token = &t;
	assert_int_equal(cluster_join(&o, why, sizeof(why)), 2);
	arena_free(a);
}

static int setup_real(void **state)
{
	struct store_opts o = { .create = true };
	char store[80], listen[32], why[VOLUME_WHY] = "";
	struct store *st;

	(void)state;
	if (begin() < 0)
		return -1;
	w.sv.queue.efd = -1;	/* it has a thread of its own */
	snprintf(store, sizeof(store), "%s/store", dir);
	mkdir(store, 0700);
	assert_int_equal(store_open("rocksdb", store, &o, &st, NULL), 0);
	assert_int_equal(ns_format(st, "models", uuid), 0);
	store_close(st);
	authority = served_new(store);
	assert_int_equal(served_start(authority), 0);
	pthread_mutex_lock(&authority->lock);
	while (authority->state == SERVED_STARTING)
		pthread_cond_wait(&authority->changed, &authority->lock);
	assert_int_equal(authority->state, SERVED_WAITING);
	pthread_mutex_unlock(&authority->lock);
	snprintf(listen, sizeof(listen), "127.0.0.1:%d", free_port());
	assert_int_equal(cluster_init(authority, listen, "a", why,
				      sizeof(why)), 0);
	join(authority);
	w.agent = served_new(dir);
	assert_true(w.agent->agent);
	assert_int_equal(served_start(w.agent), 0);
	return 0;
}

static int teardown_real(void **state)
{
	(void)state;
	agent_stop();
	served_stop(authority);
	served_join(authority);
	served_free(authority);
	end();
	return 0;
}

#define SESSION	0x8000000000000001ULL

static struct said change(uint64_t id, uint32_t kind, uint32_t flags,
			  uint64_t sequence, uint64_t node, const char *name,
			  uint32_t mode)
{
	struct orchfs_time t = { .sec = 1700000000 };
	struct nl_msg *m = message(ORCHFS_CMD_REQUEST);
	size_t n = nr_said(ORCHFS_CMD_REPLY);

	nla_put_u64(m, ORCHFS_A_MSG_REQUEST_ID, id);
	nla_put_u32(m, ORCHFS_A_MSG_KIND, kind);
	nla_put_u32(m, ORCHFS_A_MSG_FLAGS, flags);
	nla_put_u64(m, ORCHFS_A_MSG_SESSION, SESSION);
	nla_put_u32(m, ORCHFS_A_MSG_SLOT, 3);
	nla_put_u64(m, ORCHFS_A_MSG_SEQUENCE, sequence);
	if (node)
		nla_put_u64(m, ORCHFS_A_MSG_NODE, node);
	if (name)
		nla_put(m, ORCHFS_A_MSG_NAME, (int)strlen(name), name);
	nla_put_u32(m, ORCHFS_A_MSG_MODE, mode);
	nla_put(m, ORCHFS_A_MSG_NOW, sizeof(t), &t);
	inject(m);
	return said(ORCHFS_CMD_REPLY, n);
}

/* A mount makes a name, loses its link, and asks the same again. */
static void test_real(void **state)
{
	struct said s, made;

	(void)state;
	said(ORCHFS_CMD_READY, 0);
	s = change(1, ORCHFS_KIND_MOUNT, 0, 0, 0, NULL, 0);
	assert_int_equal(s.status, 0);
	assert_int_equal(s.ino, ORCHFS_ROOT_INO);
	made = change(2, ORCHFS_KIND_CREATE, 0, 1, 1, "d", 040755);
	assert_int_equal(made.status, 0);
	assert_true(made.ino > ORCHFS_ROOT_INO);
	assert_true(made.durable);
	s = change(3, ORCHFS_KIND_LOOKUP, 0, 0, 1, "d", 0);
	assert_int_equal(s.ino, made.ino);
	k.nr_sessions = 1;
	k.sessions[0] = SESSION;
	agent_stop();
	w.agent = served_new(dir);
	assert_int_equal(served_start(w.agent), 0);
	said(ORCHFS_CMD_READY, 1);
	s = change(2, ORCHFS_KIND_CREATE, ORCHFS_REQ_FLAG_RESENT, 1, 1, "d",
		   040755);
	assert_int_equal(s.status, 0);
	assert_int_equal(s.ino, made.ino);
	s = change(4, ORCHFS_KIND_CREATE, 0, 2, 1, "d", 040755);
	assert_int_equal(s.status, -EEXIST);
	s = change(5, ORCHFS_KIND_UNLINK, ORCHFS_REQ_FLAG_DIR, 3, 1, "d", 0);
	assert_int_equal(s.status, 0);
	s = change(6, ORCHFS_KIND_LOOKUP, 0, 0, 1, "d", 0);
	assert_int_equal(s.status, -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_attach),
		TEST(test_lease),
		TEST(test_lost),
		TEST(test_recent),
		TEST(test_busy),
		TEST(test_no_module),
		TEST(test_grace),
		TEST(test_dropped_notices),
		TEST(test_no_lease),
		TEST(test_stop),
		cmocka_unit_test_setup_teardown(test_real, setup_real,
						teardown_real),
	};

	return cmocka_run_group_tests_name("agent", tests, NULL, NULL);
}
