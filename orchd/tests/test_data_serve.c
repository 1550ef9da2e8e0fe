// SPDX-License-Identifier: Apache-2.0
/*
 * What the kernel's data server is told and when, against a kernel that only
 * writes down what it hears (channel_send() and channel_call() are the test's).
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include <netlink/genl/genl.h>
#include <netlink/msg.h>

#include "cluster.h"
#include "data_impl.h"
#include "log.h"
#include "nl.h"
#include "nl_gen.h"
#include "nl_serve.h"
#include "peer_conn.h"

#define FAMILY	0x25
#define MAX	64

static const uint8_t uuid[16] = "namespace-uuid--";

/* What was said, oldest first. */
static struct {
	struct nl_msg *said[MAX];
	uint32_t seq[MAX];
	unsigned int nr;
	uint32_t last;
	int refuse;			/* what channel_send() returns */
	struct nl_msg *list[MAX];	/* what serve-list answers */
	unsigned int nr_list;
} k;

static struct served sv;
static struct volume vol[2];
static struct ns_node nodes[3];
static uint64_t now = 1000000;

static uint64_t test_clock(void)
{
	return now;
}

int __wrap_channel_send(struct channel *ch, struct nl_msg *m, uint32_t *seq);
int __wrap_channel_send(struct channel *ch, struct nl_msg *m, uint32_t *seq)
{
	(void)ch;
	assert_non_null(m);
	assert_true(k.nr < MAX);
	if (k.refuse) {
		nlmsg_free(m);
		return k.refuse;
	}
	k.said[k.nr] = m;
	k.seq[k.nr++] = *seq = ++k.last;
	return 0;
}

int __wrap_channel_call(struct channel *ch, struct nl_msg *m, channel_fn fn,
			void *ctx);
int __wrap_channel_call(struct channel *ch, struct nl_msg *m, channel_fn fn,
			void *ctx)
{
	(void)ch;
	assert_int_equal(nl_cmd(nlmsg_hdr(m)), ORCHFS_CMD_SERVE_LIST);
	nlmsg_free(m);
	for (unsigned int i = 0; i < k.nr_list; i++)
		fn(ctx, nlmsg_hdr(k.list[i]));
	return 0;
}

uint64_t __wrap_ns_incarnation(const struct ns *ns);
uint64_t __wrap_ns_incarnation(const struct ns *ns)
{
	(void)ns;
	return 7;
}

const struct ns_node *__wrap_ns_nodes(const struct ns *ns, size_t *nr);
const struct ns_node *__wrap_ns_nodes(const struct ns *ns, size_t *nr)
{
	(void)ns;
	*nr = 3;
	return nodes;
}

static struct nl_msg *event(uint8_t cmd, uint32_t seq)
{
	struct nl_msg *m = nlmsg_alloc_size(4096);

	assert_non_null(genlmsg_put(m, 0, seq, FAMILY, 0, 0, cmd, 1));
	return m;
}

static bool heard(struct nl_msg *m)
{
	bool taken = data_event(&sv, nlmsg_hdr(m));

	nlmsg_free(m);
	return taken;
}

/* The @i-th that was said, as the kernel would read it. */
static void said(unsigned int i, uint8_t cmd, struct nlattr **tb)
{
	assert_true(i < k.nr);
	assert_int_equal(nl_cmd(nlmsg_hdr(k.said[i])), cmd);
	assert_int_equal(genlmsg_parse(nlmsg_hdr(k.said[i]), 0, tb,
				       ORCHFS_A_MSG_MAX, (struct nla_policy *)
				       orchfs_msg_nl_policy), 0);
}

static void hear_all(void)
{
	for (unsigned int i = 0; i < k.nr; i++)
		nlmsg_free(k.said[i]);
	k.nr = 0;
}

/* The kernel acknowledges the @i-th, or refuses. */
static bool ack(unsigned int i, int error)
{
	struct nl_msg *m = nlmsg_alloc_size(4096);
	struct nlmsgerr e = { .error = error };
	struct nlmsghdr *nlh = nlmsg_put(m, 0, k.seq[i], NLMSG_ERROR,
					 sizeof(e), NLM_F_CAPPED);

	memcpy(nlmsg_data(nlh), &e, sizeof(e));
	return heard(m);
}

static void ack_all(void)
{
	for (unsigned int i = 0; i < k.nr; i++)
		assert_true(ack(i, 0));
}

static uint64_t id_of(unsigned int i)
{
	struct nlattr *a = nlmsg_find_attr(nlmsg_hdr(k.said[i]), GENL_HDRLEN,
					   ORCHFS_A_MSG_REQUEST_ID);

	return nla_get_u64(a);
}

static void done(uint64_t id)
{
	struct nl_msg *m = event(ORCHFS_CMD_SERVE_DONE, 0);

	nla_put_u64(m, ORCHFS_A_MSG_REQUEST_ID, id);
	nla_put_s32(m, ORCHFS_A_MSG_STATUS, 0);
	assert_true(heard(m));
}

static void add_list(uint32_t volume, uint32_t key_id, uint32_t peer,
		     uint64_t connection, const uint8_t *of)
{
	struct nl_msg *m = event(ORCHFS_CMD_SERVE_LIST, 0);

	nla_put(m, ORCHFS_A_MSG_NS_UUID, 16, of);
	if (volume) {
		nla_put_u32(m, ORCHFS_A_MSG_VOLUME, volume);
		nla_put_u32(m, ORCHFS_A_MSG_KEY_ID, key_id);
	} else {
		nla_put_u32(m, ORCHFS_A_MSG_PEER, peer);
		nla_put_u64(m, ORCHFS_A_MSG_CONNECTION, connection);
	}
	k.list[k.nr_list++] = m;
}

static void drop_list(void)
{
	while (k.nr_list)
		nlmsg_free(k.list[--k.nr_list]);
}

static int setup(void **state)
{
	static int cluster[64];

	(void)state;
	memset(&k, 0, sizeof(k));
	memset(&sv, 0, sizeof(sv));
	memset(vol, 0, sizeof(vol));
	memset(nodes, 0, sizeof(nodes));
	memcpy(sv.uuid, uuid, 16);
	pthread_mutex_init(&sv.lock, NULL);
	assert_int_equal(work_queue_init(&sv.queue), 0);
	sv.ch.family = FAMILY;
	sv.ns = (struct ns *)cluster;	/* only asked what is the test's */
	for (int i = 0; i < 2; i++) {
		vol[i].rec.id = (uint32_t)i + 1;
		vol[i].root_fd = 100 + i;
		atomic_init(&vol[i].health, VOLUME_SOUND);
	}
	vol[0].next = &vol[1];
	sv.volumes = vol;
	for (uint32_t i = 0; i < 3; i++)
		nodes[i].number = i + 1;
	sv.data = calloc(1, sizeof(*sv.data));
	sv.data->epoch = 1;
	peer_clock = test_clock;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	hear_all();
	drop_list();
	data_free(&sv);
	work_queue_destroy(&sv.queue);
	return 0;
}

/* Attached, both volumes served. */
static void up(void)
{
	assert_int_equal(data_attached(&sv), 0);
	sv.attached = true;
	ack_all();
	hear_all();
}

static void test_begin(void **state)
{
	struct nlattr *tb[ORCHFS_A_MSG_MAX + 1];
	uint8_t token[ORCHFS_TOKEN_LEN];

	(void)state;
	assert_int_equal(token_make(&sv, 2, 1, 5, 1, 9, true, token), -ENODEV);
	assert_int_equal(data_attached(&sv), 0);
	sv.attached = true;
	assert_int_equal(k.nr, 3);
	/* nothing is served before the clock is known */
	said(0, ORCHFS_CMD_SERVE_TIME, tb);
	assert_int_equal(nla_get_u64(tb[ORCHFS_A_MSG_BOOT_MS]), now);
	assert_int_equal(nla_get_u64(tb[ORCHFS_A_MSG_AUTHORITY_MS]),
			 data_clock(&sv));
	assert_int_equal(nla_get_u32(tb[ORCHFS_A_MSG_LEASE_MS]),
			 DATA_LEASE_MS);
	for (uint32_t i = 0; i < 2; i++) {
		said(i + 1, ORCHFS_CMD_SERVE_VOLUME, tb);
		assert_int_equal(nla_get_u32(tb[ORCHFS_A_MSG_VOLUME]), i + 1);
		assert_int_equal(nla_get_u32(tb[ORCHFS_A_MSG_FD]), 100 + i);
		assert_memory_equal(nla_data(tb[ORCHFS_A_MSG_KEY]),
				    data_volume(sv.data, i + 1)->key, 32);
	}
	ack_all();
	assert_int_equal(token_make(&sv, 2, 1, 5, 1, 9, true, token), 0);
	assert_int_equal(token_make(&sv, 2, 3, 5, 1, 9, true, token), -ENODEV);
	hear_all();
	/* each third of a lease, and no more */
	data_tick(&sv);
	assert_int_equal(k.nr, 0);
	now += DATA_LEASE_MS / 3 + 1;
	data_tick(&sv);
	assert_int_equal(k.nr, 1);
	said(0, ORCHFS_CMD_SERVE_TIME, tb);
}

/* A namespace that becomes a cluster's while it is served. */
static void test_begin_late(void **state)
{
	(void)state;
	sv.attached = true;
	data_tick(&sv);
	assert_int_equal(k.nr, 3);
}

static void test_refused(void **state)
{
	uint8_t token[ORCHFS_TOKEN_LEN];

	(void)state;
	assert_int_equal(data_attached(&sv), 0);
	sv.attached = true;
	assert_true(ack(0, 0));
	assert_true(ack(1, -ENOMEM));
	assert_true(ack(2, 0));
	/* an answer to what was said by others is theirs */
	k.seq[0] = 12345;
	assert_false(ack(0, -EIO));
	assert_int_equal(token_make(&sv, 2, 1, 5, 1, 9, true, token), -ENODEV);
	assert_int_equal(token_make(&sv, 2, 2, 5, 1, 9, true, token), 0);
	hear_all();
	data_tick(&sv);
	assert_int_equal(k.nr, 1);
	assert_true(ack(0, 0));
	assert_int_equal(token_make(&sv, 2, 1, 5, 1, 9, true, token), 0);
}

/* The kernel ends a server by itself: what it lost is told again. */
static void test_look(void **state)
{
	struct nlattr *tb[ORCHFS_A_MSG_MAX + 1];

	(void)state;
	up();
	now += 29999;
	data_tick(&sv);
	hear_all();
	add_list(2, data_volume(sv.data, 2)->key_id, 0, 0, uuid);
	add_list(1, data_volume(sv.data, 1)->key_id + 9, 0, 0, uuid);
	data_tick(&sv);
	assert_int_equal(k.nr, 0);
	now++;
	data_tick(&sv);
	assert_int_equal(k.nr, 1);
	said(0, ORCHFS_CMD_SERVE_VOLUME, tb);
	assert_int_equal(nla_get_u32(tb[ORCHFS_A_MSG_VOLUME]), 1);
}

/* One that is lost is given back, and served again after that only. */
static void test_offline(void **state)
{
	struct nlattr *tb[ORCHFS_A_MSG_MAX + 1];
	uint32_t key_id;
	uint64_t id;

	(void)state;
	up();
	key_id = data_volume(sv.data, 1)->key_id;
	atomic_store(&vol[0].health, VOLUME_LOST);
	data_tick(&sv);
	assert_int_equal(k.nr, 1);
	said(0, ORCHFS_CMD_SERVE_UNVOLUME, tb);
	assert_int_equal(nla_get_u32(tb[ORCHFS_A_MSG_VOLUME]), 1);
	assert_true(data_holds(&sv, 1));
	assert_true(ack(0, 0));
	id = id_of(0);
	hear_all();
	atomic_store(&vol[0].health, VOLUME_SOUND);
	data_tick(&sv);
	assert_int_equal(k.nr, 0);
	assert_true(data_holds(&sv, 1));
	done(id + 1);
	assert_true(data_holds(&sv, 1));
	done(id);
	assert_false(data_holds(&sv, 1));
	data_tick(&sv);
	assert_int_equal(k.nr, 1);
	said(0, ORCHFS_CMD_SERVE_VOLUME, tb);
	assert_int_not_equal(nla_get_u32(tb[ORCHFS_A_MSG_KEY_ID]), key_id);
}

/* The end may be told before the acknowledgement. */
static void test_release(void **state)
{
	uint64_t id;

	(void)state;
	up();
	data_release(&sv, 1, false);
	assert_int_equal(k.nr, 1);
	id = id_of(0);
	done(id);
	assert_false(ack(0, 0));
	assert_false(data_holds(&sv, 1));
	hear_all();
	data_tick(&sv);
	assert_int_equal(k.nr, 0);
	/* it stays after all */
	data_release(&sv, 1, true);
	assert_int_equal(k.nr, 1);
	assert_true(data_holds(&sv, 1));
}

/* Without the module nothing is, and it is only known after the channel's end. */
static void test_unloaded(void **state)
{
	uint8_t token[ORCHFS_TOKEN_LEN];

	(void)state;
	up();
	sv.attached = false;
	data_lost(&sv);
	assert_true(data_holds(&sv, 1));
	assert_int_equal(data_fence_node(&sv, 2), 0);
	assert_true(data_fencing(&sv, 2));
	sv.no_module = true;
	data_lost(&sv);
	assert_false(data_holds(&sv, 1));
	assert_false(data_fencing(&sv, 2));
	assert_int_equal(token_make(&sv, 2, 1, 5, 1, 9, true, token), -ENODEV);
}

/* --- fences --- */

static uint64_t epoch(uint32_t node)
{
	struct orchfs_wire_token w;

	assert_int_equal(token_make(&sv, node, 1, 5, 1, 9, false,
				    (uint8_t *)&w), 0);
	return w.epoch;
}

static void test_fence(void **state)
{
	struct nlattr *tb[ORCHFS_A_MSG_MAX + 1];
	uint64_t before, other, id[2];

	(void)state;
	up();
	before = epoch(2);
	other = epoch(3);
	assert_int_equal(before, 7ULL << 32);
	assert_int_equal(data_fence_node(&sv, 2), 0);
	assert_true(data_fencing(&sv, 2));
	assert_false(data_fencing(&sv, 3));
	assert_int_equal(epoch(2), before + 1);
	assert_int_equal(epoch(3), other);
	assert_int_equal(k.nr, 3);
	for (int i = 0; i < 2; i++) {
		said((unsigned int)i, ORCHFS_CMD_SERVE_FENCE, tb);
		assert_int_equal(nla_get_u32(tb[ORCHFS_A_MSG_PEER]), 2);
		assert_int_equal(nla_get_u64(tb[ORCHFS_A_MSG_INSTANCE]), 0);
		assert_int_equal(nla_get_u64(tb[ORCHFS_A_MSG_EPOCH]),
				 before + 1);
		/* no token of before is good for longer */
		assert_int_equal(nla_get_u64(tb[ORCHFS_A_MSG_EXPIRY_MS]),
				 data_clock(&sv) + DATA_TOKEN_MS);
		id[i] = id_of((unsigned int)i);
	}
	said(2, ORCHFS_CMD_SERVE_DROP, tb);
	assert_int_equal(nla_get_u32(tb[ORCHFS_A_MSG_PEER]), 2);
	assert_true(ack(0, 0));
	assert_true(ack(1, -ENOSPC));
	assert_true(ack(2, -ENOENT));	/* it had no connection */
	done(id[0]);
	assert_true(data_fencing(&sv, 2));
	hear_all();
	/* again for what was refused */
	data_tick(&sv);
	assert_int_equal(k.nr, 2);
	id[0] = id_of(0);
	id[1] = id_of(1);
	ack_all();
	done(id[0]);
	done(id[1]);
	assert_false(data_fencing(&sv, 2));
	hear_all();
	data_tick(&sv);
	assert_int_equal(k.nr, 0);
}

/* While nobody can be told the fence is owed. */
static void test_fence_detached(void **state)
{
	struct nlattr *tb[ORCHFS_A_MSG_MAX + 1];
	unsigned int fences = 0;

	(void)state;
	up();
	assert_int_equal(data_fence_node(&sv, 2), 0);
	sv.attached = false;
	data_lost(&sv);
	hear_all();
	assert_true(data_fencing(&sv, 2));
	assert_int_equal(data_fence_node(&sv, 3), 0);
	assert_int_equal(k.nr, 0);
	assert_true(data_fencing(&sv, 3));
	assert_int_equal(data_attached(&sv), 0);
	sv.attached = true;
	for (unsigned int i = 0; i < k.nr; i++)
		fences += nl_cmd(nlmsg_hdr(k.said[i])) ==
			  ORCHFS_CMD_SERVE_FENCE;
	assert_int_equal(fences, 4);
	/* before what they are for is served */
	said(k.nr - 2, ORCHFS_CMD_SERVE_VOLUME, tb);
	said(k.nr - 1, ORCHFS_CMD_SERVE_VOLUME, tb);
}

/* --- an earlier daemon --- */

static void test_adopt(void **state)
{
	static const uint8_t other[16] = "another-namespac";
	struct nlattr *tb[ORCHFS_A_MSG_MAX + 1];

	(void)state;
	atomic_store(&vol[1].health, VOLUME_LOST);
	add_list(1, 1, 0, 0, uuid);	/* served with another key */
	add_list(2, 1, 0, 0, uuid);
	add_list(9, 1, 0, 0, uuid);	/* was removed meanwhile */
	add_list(8, 1, 0, 0, other);
	add_list(0, 0, 2, 77, uuid);
	add_list(0, 0, 3, 78, other);
	assert_int_equal(data_attached(&sv), 0);
	sv.attached = true;
	assert_int_equal(k.nr, 4);
	said(1, ORCHFS_CMD_SERVE_UNVOLUME, tb);
	assert_int_equal(nla_get_u32(tb[ORCHFS_A_MSG_VOLUME]), 2);
	said(2, ORCHFS_CMD_SERVE_UNVOLUME, tb);
	assert_int_equal(nla_get_u32(tb[ORCHFS_A_MSG_VOLUME]), 9);
	said(3, ORCHFS_CMD_SERVE_VOLUME, tb);
	assert_int_equal(nla_get_u32(tb[ORCHFS_A_MSG_VOLUME]), 1);
	assert_non_null(sv.data->conns);
	assert_int_equal(sv.data->conns->id, 77);
	assert_null(sv.data->conns->next);
	ack_all();
	hear_all();
	drop_list();
	/* events were lost: what is as it was told isn't told again */
	add_list(1, data_volume(sv.data, 1)->key_id, 0, 0, uuid);
	assert_int_equal(data_attached(&sv), 0);
	assert_int_equal(k.nr, 1);
	assert_null(sv.data->conns);
}

/* --- connections --- */

static void give(uint32_t node, uint64_t id)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	unsigned int nr = k.nr;
	struct nl_msg *m;

	data_peer(&sv, fd, node, "10.0.0.2:99");
	work_run(&sv.queue);
	/* it is the kernel's alone */
	assert_int_equal(close(fd), -1);
	for (; nr < k.nr; nr++) {
		if (nl_cmd(nlmsg_hdr(k.said[nr])) != ORCHFS_CMD_SERVE_PEER)
			continue;
		m = event(ORCHFS_CMD_SERVE_PEER, k.seq[nr]);
		nla_put_u64(m, ORCHFS_A_MSG_CONNECTION, id);
		assert_true(heard(m));
	}
}

static void gone(uint32_t node, uint64_t id)
{
	struct nl_msg *m = event(ORCHFS_CMD_SERVE_GONE, 0);

	nla_put_u32(m, ORCHFS_A_MSG_PEER, node);
	nla_put_u64(m, ORCHFS_A_MSG_CONNECTION, id);
	nla_put_u32(m, ORCHFS_A_MSG_REASON, ORCHFS_REASON_CLOSED);
	assert_true(heard(m));
}

static void test_serve_peer(void **state)
{
	struct nlattr *tb[ORCHFS_A_MSG_MAX + 1];

	(void)state;
	/* before the kernel knows anything none is given to it */
	give(2, 1);
	assert_int_equal(k.nr, 0);
	up();
	for (uint64_t i = 1; i <= DATA_CONNS_NODE; i++)
		give(2, i);
	assert_int_equal(k.nr, DATA_CONNS_NODE);
	give(3, 20);
	assert_int_equal(k.nr, DATA_CONNS_NODE + 1);
	said(0, ORCHFS_CMD_SERVE_PEER, tb);
	assert_int_equal(nla_get_u32(tb[ORCHFS_A_MSG_PEER]), 2);
	hear_all();
	/* one more of the same node: its oldest goes */
	give(2, 30);
	assert_int_equal(k.nr, 2);
	said(0, ORCHFS_CMD_SERVE_DROP, tb);
	assert_int_equal(nla_get_u64(tb[ORCHFS_A_MSG_CONNECTION]), 1);
	gone(2, 1);
	hear_all();
	nodes[1].removed = true;
	give(2, 40);
	assert_int_equal(k.nr, 0);
	/* a node that was removed is dropped, once */
	data_tick(&sv);
	assert_int_equal(k.nr, 3);
	said(2, ORCHFS_CMD_SERVE_DROP, tb);
	assert_int_equal(nla_get_u32(tb[ORCHFS_A_MSG_PEER]), 2);
	assert_null(tb[ORCHFS_A_MSG_CONNECTION]);
	ack_all();
	hear_all();
	data_tick(&sv);
	assert_int_equal(k.nr, 0);
	for (uint64_t i = 2; i <= DATA_CONNS_NODE; i++)
		gone(2, i);
	gone(2, 30);
	assert_int_equal(sv.data->conns->id, 20);
	assert_null(sv.data->conns->next);
}

/* Whatever can't be sent now is sent later. */
static void test_no_memory(void **state)
{
	(void)state;
	k.refuse = -ENOBUFS;
	assert_int_equal(data_attached(&sv), 0);
	sv.attached = true;
	assert_int_equal(data_fence_node(&sv, 2), 0);
	data_tick(&sv);
	assert_null(sv.data->ops);
	k.refuse = 0;
	data_tick(&sv);
	/* the time, two volumes and the node's fences there */
	assert_int_equal(k.nr, 5);
}


/* --- an agent, which is told --- */

static const uint8_t told_key[ORCHFS_KEY_LEN] = "a key of the authority";

static int agent_setup(void **state)
{
	static struct cluster cl;

	setup(state);
	memset(&cl, 0, sizeof(cl));
	pthread_mutex_init(&cl.lock, NULL);
	cl.authority = 1;
	cl.nodes = nodes;
	cl.nr_nodes = 3;
	sv.ns = NULL;
	sv.agent = true;
	sv.cluster = &cl;
	return 0;
}

/* What an earlier daemon had served goes on until it is known what is to be. */
static void test_agent_adopt(void **state)
{
	struct nlattr *tb[ORCHFS_A_MSG_MAX + 1];

	(void)state;
	add_list(1, 5, 0, 0, uuid);
	add_list(9, 5, 0, 0, uuid);
	assert_int_equal(data_attached(&sv), 0);
	sv.attached = true;
	data_tick(&sv);
	assert_int_equal(k.nr, 0);
	assert_int_equal(data_key_told(&sv, 1, told_key, 6), 0);
	assert_int_equal(data_key_told(&sv, 2, told_key, 7), 0);
	data_heard(&sv);
	assert_int_equal(k.nr, 3);
	said(0, ORCHFS_CMD_SERVE_UNVOLUME, tb);
	assert_int_equal(nla_get_u32(tb[ORCHFS_A_MSG_VOLUME]), 9);
	for (uint32_t i = 1; i <= 2; i++) {
		said(i, ORCHFS_CMD_SERVE_VOLUME, tb);
		assert_int_equal(nla_get_u32(tb[ORCHFS_A_MSG_VOLUME]), i);
		assert_int_equal(nla_get_u32(tb[ORCHFS_A_MSG_KEY_ID]), i + 5);
		assert_memory_equal(nla_data(tb[ORCHFS_A_MSG_KEY]), told_key,
				    sizeof(told_key));
	}
	ack_all();
	hear_all();
	/* the same keys by another link: nothing is said; another one is */
	assert_int_equal(data_key_told(&sv, 1, told_key, 6), 0);
	data_heard(&sv);
	assert_int_equal(k.nr, 0);
	assert_int_equal(data_key_told(&sv, 1, told_key, 8), 0);
	data_heard(&sv);
	assert_int_equal(k.nr, 1);
	said(0, ORCHFS_CMD_SERVE_VOLUME, tb);
	assert_int_equal(nla_get_u32(tb[ORCHFS_A_MSG_KEY_ID]), 8);
}

/* The key of one that is lost stays, for when it is back. */
static void test_agent_offline(void **state)
{
	struct nlattr *tb[ORCHFS_A_MSG_MAX + 1];

	(void)state;
	assert_int_equal(data_attached(&sv), 0);
	sv.attached = true;
	data_key_told(&sv, 1, told_key, 6);
	data_key_told(&sv, 2, told_key, 7);
	data_heard(&sv);
	ack_all();
	hear_all();
	atomic_store(&vol[0].health, VOLUME_LOST);
	data_tick(&sv);
	assert_int_equal(k.nr, 1);
	done(id_of(0));
	hear_all();
	atomic_store(&vol[0].health, VOLUME_SOUND);
	data_tick(&sv);
	assert_int_equal(k.nr, 1);
	said(0, ORCHFS_CMD_SERVE_VOLUME, tb);
	assert_int_equal(nla_get_u32(tb[ORCHFS_A_MSG_KEY_ID]), 6);
	assert_memory_equal(nla_data(tb[ORCHFS_A_MSG_KEY]), told_key,
			    sizeof(told_key));
}

static void test_agent_clock(void **state)
{
	struct nlattr *tb[ORCHFS_A_MSG_MAX + 1];

	(void)state;
	assert_int_equal(data_attached(&sv), 0);
	sv.attached = true;
	data_heard(&sv);
	now += 2 * DATA_LEASE_MS;
	data_tick(&sv);		/* by itself it tells no time */
	assert_int_equal(k.nr, 0);
	data_time_told(&sv, 123456, now - 77, 9000);
	said(0, ORCHFS_CMD_SERVE_TIME, tb);
	assert_int_equal(nla_get_u64(tb[ORCHFS_A_MSG_AUTHORITY_MS]), 123456);
	assert_int_equal(nla_get_u64(tb[ORCHFS_A_MSG_BOOT_MS]), now - 77);
	assert_int_equal(nla_get_u32(tb[ORCHFS_A_MSG_LEASE_MS]), 9000);
}

/*
 * What an earlier daemon had served goes on, with its fences and its verifier,
 * while this one opens it; and ends if it can't.
 */
static void test_agent_opening(void **state)
{
	struct nlattr *tb[ORCHFS_A_MSG_MAX + 1];

	(void)state;
	for (uint32_t i = 1; i <= 2; i++) {
		vol[i - 1].root_fd = -1;
		add_list(i, 6, 0, 0, uuid);
	}
	assert_int_equal(data_attached(&sv), 0);
	sv.attached = true;
	data_key_told(&sv, 1, told_key, 6);
	data_key_told(&sv, 2, told_key, 6);
	data_heard(&sv);
	data_tick(&sv);
	assert_int_equal(k.nr, 0);
	assert_true(data_holds(&sv, 1));
	vol[0].tried = true;
	vol[0].root_fd = 100;
	data_heard(&sv);
	assert_int_equal(k.nr, 1);
	said(0, ORCHFS_CMD_SERVE_VOLUME, tb);
	assert_int_equal(nla_get_u32(tb[ORCHFS_A_MSG_VOLUME]), 1);
	ack_all();
	hear_all();
	vol[1].tried = true;
	data_tick(&sv);
	assert_int_equal(k.nr, 1);
	said(0, ORCHFS_CMD_SERVE_UNVOLUME, tb);
	assert_int_equal(nla_get_u32(tb[ORCHFS_A_MSG_VOLUME]), 2);
	assert_true(data_holds(&sv, 2));
	done(id_of(0));
	assert_false(data_holds(&sv, 2));
}

/* A restart: the next daemon goes on with what is served. */
static void test_stop(void **state)
{
	(void)state;
	up();
	data_keep(true);
	data_stop(&sv);
	assert_int_equal(k.nr, 0);
	data_keep(false);
}

/* One that came before the volumes are known is said with them. */
static void test_agent_fence(void **state)
{
	struct nlattr *tb[ORCHFS_A_MSG_MAX + 1];
	uint64_t id[2];

	(void)state;
	assert_int_equal(data_attached(&sv), 0);
	sv.attached = true;
	assert_int_equal(data_fence_told(&sv, 3, 1234, 99), 0);
	assert_true(data_fencing(&sv, 3));
	data_key_told(&sv, 1, told_key, 6);
	data_key_told(&sv, 2, told_key, 7);
	data_heard(&sv);
	assert_int_equal(k.nr, 4);
	for (unsigned int i = 0; i < 2; i++) {
		said(i, ORCHFS_CMD_SERVE_FENCE, tb);
		assert_int_equal(nla_get_u32(tb[ORCHFS_A_MSG_PEER]), 3);
		assert_int_equal(nla_get_u64(tb[ORCHFS_A_MSG_EPOCH]), 1234);
		assert_int_equal(nla_get_u64(tb[ORCHFS_A_MSG_EXPIRY_MS]), 99);
		id[i] = id_of(i);
		said(2 + i, ORCHFS_CMD_SERVE_VOLUME, tb);
	}
	ack_all();
	done(id[0]);
	assert_true(data_fencing(&sv, 3));
	done(id[1]);
	assert_false(data_fencing(&sv, 3));
}

/* By what the authority has told of other nodes. */
static void test_agent_peers(void **state)
{
	(void)state;
	assert_int_equal(data_attached(&sv), 0);
	sv.attached = true;
	data_heard(&sv);
	give(3, 1);
	give(1, 2);	/* the authority */
	assert_int_equal(k.nr, 2);
	give(7, 3);
	assert_int_equal(k.nr, 2);
	hear_all();
	nodes[2].removed = true;
	data_tick(&sv);
	assert_int_equal(k.nr, 1);
	assert_int_equal(nl_cmd(nlmsg_hdr(k.said[0])), ORCHFS_CMD_SERVE_DROP);
	data_tick(&sv);
	assert_int_equal(k.nr, 1);
}

#define world(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
#define agent(f) cmocka_unit_test_setup_teardown(f, agent_setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		world(test_begin),
		world(test_begin_late),
		world(test_refused),
		world(test_look),
		world(test_offline),
		world(test_release),
		world(test_unloaded),
		world(test_fence),
		world(test_fence_detached),
		world(test_adopt),
		world(test_stop),
		world(test_serve_peer),
		world(test_no_memory),
		agent(test_agent_adopt),
		agent(test_agent_offline),
		agent(test_agent_opening),
		agent(test_agent_clock),
		agent(test_agent_fence),
		agent(test_agent_peers),
	};

	log_init(LOG_EMERG);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
