// SPDX-License-Identifier: GPL-2.0-only
/*
 * Connections over the loopback device, and a daemon that counts events.
 */
#include <linux/file.h>
#include <linux/inetdevice.h>
#include <linux/kthread.h>
#include <linux/netdevice.h>
#include <linux/net.h>
#include <linux/rtnetlink.h>
#include <linux/sched/signal.h>
#include <linux/tcp.h>
#include <net/net_namespace.h>
#include <net/sock.h>

#include "client_kunit.h"

#define PORT	4712

const u8 ck_uuid[16] = "client-kunit...";
const struct orchfs_remote_id ck_id = {
	.volume = 3, .ino = 0x1201, .version = 1, .instance = 9,
};

static struct ck *ck_now;

static int ck_send(struct orchfs_channel *ch, struct sk_buff *skb, u32 portid)
{
	struct genlmsghdr *genl = nlmsg_data(nlmsg_hdr(skb));
	const struct nlattr *reason;

	if (genl->cmd == ORCHFS_CMD_PEER_WANT) {
		atomic_inc(&ck_now->wants);
	} else if (genl->cmd == ORCHFS_CMD_PEER_GONE) {
		reason = nlmsg_find_attr(nlmsg_hdr(skb), GENL_HDRLEN,
					 ORCHFS_A_MSG_REASON);
		ck_now->gone = reason ? nla_get_u32(reason) : 0;
		complete(&ck_now->told);
	}
	kfree_skb(skb);
	return 0;
}

static void ck_loopback(struct kunit *test)
{
	struct net_device *lo = init_net.loopback_dev;
	int ret;

	rtnl_lock();
	ret = dev_change_flags(lo, lo->flags | IFF_UP, NULL);
	rtnl_unlock();
	KUNIT_ASSERT_EQ(test, ret, 0);
}

int ck_init(struct kunit *test)
{
	struct orchfs_net *on = orchfs_net_of(&init_net);
	struct ck *ck = kunit_kzalloc(test, sizeof(*ck), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, ck);
	ck_loopback(test);
	init_completion(&ck->told);
	ck->ch = orchfs_channel_new(&init_net, ck_uuid, "client-kunit");
	KUNIT_ASSERT_NOT_NULL(test, ck->ch);
	ck->ch->send = ck_send;
	ck->ch->state = ORCHFS_READY;
	ck->ch->portid = PORT;
	/* Only tells that one is bound; nothing looks into it. */
	ck->ch->sb = (struct super_block *)ck;
	orchfs_channel_get(ck->ch);
	ck_now = ck;
	mutex_lock(&on->lock);
	list_add_tail_rcu(&ck->ch->link, &on->channels);
	mutex_unlock(&on->lock);
	ck->peer = orchfs_peer_get(&init_net, ck_uuid, CK_NODE);
	KUNIT_ASSERT_NOT_NULL(test, ck->peer);
	ck->r = orchfs_remote_new(ck->peer, &ck_id);
	KUNIT_ASSERT_NOT_NULL(test, ck->r);
	test->priv = ck;
	return 0;
}

/* All connections to the peer, and wait for that. */
void ck_end_conns(struct ck *ck)
{
	struct orchfs_client_conn *conn;

	spin_lock(&ck->peer->lock);
	list_for_each_entry(conn, &ck->peer->conns, link)
		orchfs_client_end(conn, ORCHFS_REASON_ENDED);
	spin_unlock(&ck->peer->lock);
	flush_workqueue(orchfs_client_wq);
}

void ck_narrow(struct ck *ck)
{
	struct orchfs_client_conn *conn;
	struct sock *sk;

	conn = list_first_entry(&ck->peer->conns, struct orchfs_client_conn,
				link);
	sk = conn->tcp.sock->sk;
	sk->sk_userlocks |= SOCK_SNDBUF_LOCK;
	sk->sk_sndbuf = 32 << 10;
}

void ck_hurry(struct ck *ck)
{
	struct orchfs_client_conn *conn;

	spin_lock(&ck->peer->lock);
	conn = list_first_entry(&ck->peer->conns, struct orchfs_client_conn,
				link);
	conn->quiet_time = HZ / 10;
	mod_delayed_work(orchfs_client_wq, &conn->quiet_work, HZ / 10);
	spin_unlock(&ck->peer->lock);
}

void ck_exit(struct kunit *test)
{
	struct orchfs_net *on = orchfs_net_of(&init_net);
	struct ck *ck = test->priv;

	if (!ck)
		return;
	ck_end_conns(ck);
	KUNIT_EXPECT_TRUE(test, list_empty(&ck->peer->waiting));
	KUNIT_EXPECT_TRUE(test, list_empty(&ck->peer->later));
	KUNIT_EXPECT_TRUE(test, list_empty(&ck->r->binds));
	KUNIT_EXPECT_EQ(test, refcount_read(&ck->r->refs), 1);
	orchfs_remote_put(ck->r);
	orchfs_peer_put(ck->peer);
	orchfs_client_net_exit(on);
	KUNIT_EXPECT_TRUE(test, list_empty(&on->peers));
	orchfs_channel_detach(ck->ch, PORT);
	orchfs_channel_put(ck->ch);
	flush_workqueue(orchfs_channel_wq);
}

void ck_token_of(struct orchfs_token *t, const struct orchfs_remote_id *id,
		 u32 rights, u64 epoch)
{
	*t = (struct orchfs_token){
		.volume = id->volume, .key_id = 1, .ino = id->ino,
		.version = id->version, .instance = id->instance,
		.node = CK_SELF, .rights = rights, .epoch = epoch,
		.expiry_ms = 1ULL << 60,
	};
	memcpy(t->ns_uuid, ck_uuid, sizeof(t->ns_uuid));
}

/* Nobody signs it. */
void ck_token(struct kunit *test, struct orchfs_remote *r, u32 rights,
	      u64 epoch)
{
	u8 buf[ORCHFS_TOKEN_LEN];
	struct orchfs_token t;

	ck_token_of(&t, &r->id, rights, epoch);
	orchfs_token_encode(&t, buf);
	KUNIT_ASSERT_EQ(test, orchfs_remote_token(r, buf), 0);
}

/* Both ends have files, as what descriptors refer to. */
void ck_pair(struct kunit *test, struct socket **client,
	     struct socket **server)
{
	struct sockaddr_in addr = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	struct socket *listener;

	KUNIT_ASSERT_EQ(test, sock_create_kern(&init_net, AF_INET, SOCK_STREAM,
					       IPPROTO_TCP, &listener), 0);
	KUNIT_ASSERT_EQ(test, sock_create_kern(&init_net, AF_INET, SOCK_STREAM,
					       IPPROTO_TCP, client), 0);
	KUNIT_ASSERT_EQ(test, kernel_bind(listener, (struct sockaddr *)&addr,
					  sizeof(addr)), 0);
	KUNIT_ASSERT_EQ(test, kernel_listen(listener, 1), 0);
	KUNIT_ASSERT_GT(test, kernel_getsockname(listener,
						 (struct sockaddr *)&addr), 0);
	KUNIT_ASSERT_EQ(test, kernel_connect(*client, (struct sockaddr *)&addr,
					     sizeof(addr), 0), 0);
	KUNIT_ASSERT_EQ(test, kernel_accept(listener, server, 0), 0);
	sock_release(listener);
	KUNIT_ASSERT_FALSE(test, IS_ERR(sock_alloc_file(*client, O_RDWR,
							NULL)));
	KUNIT_ASSERT_FALSE(test, IS_ERR(sock_alloc_file(*server, O_RDWR,
							NULL)));
	tcp_sock_set_nodelay((*client)->sk);
	tcp_sock_set_nodelay((*server)->sk);
	(*server)->sk->sk_rcvtimeo = CK_WAIT;
	(*server)->sk->sk_sndtimeo = CK_WAIT;
}

/* A connection of the client's; returns the server's end. */
struct socket *ck_connect(struct kunit *test)
{
	struct socket *client, *server;
	struct ck *ck = test->priv;
	u64 id;

	ck_pair(test, &client, &server);
	KUNIT_ASSERT_EQ(test, orchfs_client_start(ck->peer, client, &id), 0);
	return server;
}

static void ck_done(struct orchfs_rio *rio)
{
	complete(&container_of(rio, struct ck_ask, rio)->done);
}

struct ck_ask *ck_ask(struct kunit *test, u8 opcode, u64 offset, u32 count)
{
	bool data = opcode == ORCHFS_OP_READ || opcode == ORCHFS_OP_WRITE;
	struct ck_ask *ask = kunit_kzalloc(test, sizeof(*ask), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, ask);
	init_completion(&ask->done);
	ask->rio.opcode = opcode;
	ask->rio.offset = offset;
	ask->rio.count = count;
	ask->rio.deadline = jiffies + CK_WAIT;
	ask->rio.done = ck_done;
	if (!data)
		return ask;
	ask->buf = kunit_kzalloc(test, count, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, ask->buf);
	ask->kv.iov_base = ask->buf;
	ask->kv.iov_len = count;
	iov_iter_kvec(&ask->rio.iter, opcode == ORCHFS_OP_READ ? ITER_DEST :
		      ITER_SOURCE, &ask->kv, 1, count);
	return ask;
}

void ck_submit(struct orchfs_remote *r, struct ck_ask *ask)
{
	orchfs_rio_submit(r, &ask->rio);
}

int ck_end(struct kunit *test, struct ck_ask *ask)
{
	KUNIT_ASSERT_NE_MSG(test, wait_for_completion_timeout(&ask->done,
							      2 * CK_WAIT), 0,
			    "the end of a request wasn't told");
	return ask->rio.err;
}

int ck_do(struct kunit *test, struct orchfs_remote *r, struct ck_ask *ask)
{
	ck_submit(r, ask);
	return ck_end(test, ask);
}

static u8 ck_pattern(u64 pos)
{
	return pos * 7 + pos / 251;
}

void ck_fill(u8 *buf, u64 pos, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		buf[i] = ck_pattern(pos + i);
}

bool ck_filled(const u8 *buf, u64 pos, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		if (buf[i] != ck_pattern(pos + i))
			return false;
	return true;
}

/* --- the server's side --- */

int ck_take(struct socket *sock, void *buf, size_t len)
{
	struct kvec kv = { .iov_base = buf, .iov_len = len };
	struct msghdr msg = {};

	return kernel_recvmsg(sock, &msg, &kv, 1, len, MSG_WAITALL);
}

void ck_give(struct kunit *test, struct socket *sock, const void *buf,
		 size_t len)
{
	struct kvec kv = { .iov_base = (void *)buf, .iov_len = len };
	struct msghdr msg = {};

	KUNIT_ASSERT_EQ(test, kernel_sendmsg(sock, &msg, &kv, 1, len),
			(int)len);
}

void ck_hang_up(struct socket *sock)
{
	__fput_sync(sock->file);
}

/* The next request. */
struct ck_got *ck_any(struct kunit *test, struct socket *sock)
{
	struct ck_got *got = kunit_kzalloc(test, sizeof(*got), GFP_KERNEL);
	u8 head[ORCHFS_PDU_LEN];

	KUNIT_ASSERT_NOT_NULL(test, got);
	KUNIT_ASSERT_EQ(test, ck_take(sock, head, sizeof(head)),
			(int)sizeof(head));
	KUNIT_ASSERT_EQ(test, orchfs_pdu_decode_request(head, sizeof(head),
							&got->pdu), 0);
	KUNIT_ASSERT_LE(test, got->pdu.data_len, sizeof(got->data));
	if (got->pdu.data_len)
		KUNIT_ASSERT_EQ(test, ck_take(sock, got->data, got->pdu.data_len),
				(int)got->pdu.data_len);
	return got;
}

/* It must be this one. */
struct ck_got *ck_request(struct kunit *test, struct socket *sock, u8 opcode)
{
	struct ck_got *got = ck_any(test, sock);

	KUNIT_ASSERT_EQ(test, got->pdu.opcode, opcode);
	return got;
}

void ck_reply_head(struct kunit *test, struct socket *sock,
		       const struct ck_got *to, struct orchfs_pdu pdu)
{
	u8 head[ORCHFS_PDU_LEN];

	pdu.opcode = pdu.opcode ?: to->pdu.opcode;
	pdu.flags |= ORCHFS_PDU_REPLY;
	pdu.tag = to->pdu.tag;
	orchfs_pdu_encode(&pdu, head);
	ck_give(test, sock, head, sizeof(head));
}

/* The data that a READ asked for, and no more than @len of them. */
void ck_reply_read(struct kunit *test, struct socket *sock,
		       const struct ck_got *to, u32 len)
{
	u8 *buf = kunit_kzalloc(test, len + 1, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, buf);
	ck_fill(buf, to->pdu.offset, len);
	ck_reply(test, sock, to, .data_len = len);
	if (len)
		ck_give(test, sock, buf, len);
}

/* Returns what the client calls the connection. */
u32 ck_greet_hello(struct kunit *test, struct socket *sock,
		   const struct orchfs_hello *hello)
{
	u8 buf[sizeof(struct orchfs_wire_hello)];
	struct ck_got *got = ck_request(test, sock, ORCHFS_OP_HELLO);
	struct orchfs_hello asked;

	KUNIT_ASSERT_EQ(test, orchfs_hello_decode(got->data, got->pdu.data_len,
						  &asked), 0);
	KUNIT_EXPECT_EQ(test, asked.version_min, ORCHFS_HELLO_VERSION_MIN);
	KUNIT_EXPECT_EQ(test, asked.version_max, ORCHFS_HELLO_VERSION);
	KUNIT_EXPECT_NE(test, asked.id, 0);
	orchfs_hello_encode(hello, buf);
	ck_reply(test, sock, got, .data_len = sizeof(buf));
	ck_give(test, sock, buf, sizeof(buf));
	return asked.id;
}

/* By a server that knows all. */
u32 ck_greet_new(struct kunit *test, struct socket *sock)
{
	const struct orchfs_hello hello = {
		.version_min = ORCHFS_HELLO_VERSION,
		.version_max = ORCHFS_HELLO_VERSION,
		.max_data = ORCHFS_PDU_DATA_MAX,
		.max_requests = 256, .max_handles = 1024,
	};

	return ck_greet_hello(test, sock, &hello);
}

void ck_greet_limits(struct kunit *test, struct socket *sock,
		     u32 max_requests, u32 max_handles)
{
	struct orchfs_hello hello = {
		.version_min = 1, .version_max = 1,
		.max_data = ORCHFS_PDU_DATA_MAX,
		.max_requests = max_requests, .max_handles = max_handles,
	};

	ck_greet_hello(test, sock, &hello);
}

void ck_greet(struct kunit *test, struct socket *sock)
{
	ck_greet_limits(test, sock, 256, 1024);
}

/* A connection that is in use. */
struct socket *ck_connected(struct kunit *test)
{
	struct socket *sock = ck_connect(test);

	ck_greet(test, sock);
	return sock;
}

void ck_bind(struct kunit *test, struct socket *sock, u64 handle)
{
	ck_reply(test, sock, ck_request(test, sock, ORCHFS_OP_BIND),
	      .handle = handle, .verifier = 5);
}

static u32 usable(struct orchfs_peer *peer)
{
	struct orchfs_client_conn *conn;
	u32 nr = 0;

	spin_lock(&peer->lock);
	list_for_each_entry(conn, &peer->conns, link)
		nr += conn->usable;
	spin_unlock(&peer->lock);
	return nr;
}

/* The client has heard the greetings of so many. */
void ck_usable(struct kunit *test, u32 nr)
{
	struct ck *ck = test->priv;
	unsigned long end = jiffies + 10 * HZ;

	while (usable(ck->r->peer) != nr && time_before(jiffies, end))
		usleep_range(100, 1000);
	KUNIT_ASSERT_EQ(test, usable(ck->r->peer), nr);
}

static void ck_first_read(struct kunit *test, struct socket *sock)
{
	struct ck_ask *ask = ck_ask(test, ORCHFS_OP_READ, 0, 1);
	struct ck *ck = test->priv;

	if (!ck->r->token_nr)
		ck_token(test, ck->r, ORCHFS_RIGHTS_ALL, 1);
	ck_submit(ck->r, ask);
	ck_bind(test, sock, CK_HANDLE);
	ck_reply_read(test, sock, ck_request(test, sock, ORCHFS_OP_READ), 0);
	KUNIT_ASSERT_EQ(test, ck_end(test, ask), 0);
}

/* Bound already, by a request that found nothing. */
struct socket *ck_bound(struct kunit *test)
{
	struct socket *sock = ck_connected(test);

	ck_first_read(test, sock);
	return sock;
}

struct socket *ck_bound_new(struct kunit *test, u32 *id)
{
	struct socket *sock = ck_connect(test);

	*id = ck_greet_new(test, sock);
	ck_first_read(test, sock);
	return sock;
}

/* The connection ends, for this. */
void ck_gone(struct kunit *test, u32 reason)
{
	struct ck *ck = test->priv;

	KUNIT_ASSERT_NE(test, wait_for_completion_timeout(&ck->told, CK_WAIT),
			0);
	KUNIT_EXPECT_EQ(test, ck->gone, reason);
}

/* The data of a large WRITE whose header has come, and its reply. */
void ck_write_rest(struct kunit *test, struct socket *sock, const u8 *head,
		   u32 len)
{
	struct ck_got *got = kunit_kzalloc(test, sizeof(*got), GFP_KERNEL);
	u8 *buf = kunit_kzalloc(test, len, GFP_KERNEL);

	KUNIT_ASSERT_TRUE(test, got && buf);
	KUNIT_ASSERT_EQ(test, orchfs_pdu_decode_request(head, ORCHFS_PDU_LEN,
							&got->pdu), 0);
	KUNIT_ASSERT_EQ(test, got->pdu.opcode, ORCHFS_OP_WRITE);
	KUNIT_ASSERT_EQ(test, got->pdu.data_len, len);
	KUNIT_ASSERT_EQ(test, ck_take(sock, buf, len), (int)len);
	ck_reply(test, sock, got, .count = len);
}

void ck_write_taken(struct kunit *test, struct socket *sock, u32 len)
{
	u8 head[ORCHFS_PDU_LEN];

	KUNIT_ASSERT_EQ(test, ck_take(sock, head, sizeof(head)),
			(int)sizeof(head));
	ck_write_rest(test, sock, head, len);
}

static int ck_victim_run(void *data)
{
	struct ck_victim *v = data;

	allow_signal(SIGKILL);
	v->ret = orchfs_rio_wait(v->r, &v->ask->rio);
	if (v->next)
		orchfs_rio_wait(v->r, &v->next->rio);
	complete(&v->ended);
	return 0;
}

void ck_victim_start(struct kunit *test, struct ck_victim *v,
		     struct orchfs_remote *r, struct ck_ask *ask)
{
	v->r = r;
	v->ask = ask;
	v->next = NULL;
	init_completion(&v->ended);
	v->task = kthread_create(ck_victim_run, v, "orchfs-victim");
	KUNIT_ASSERT_FALSE(test, IS_ERR(v->task));
	get_task_struct(v->task);
	wake_up_process(v->task);
}

void ck_victim_kill(struct ck_victim *v)
{
	send_sig(SIGKILL, v->task, 1);
}

int ck_victim_end(struct kunit *test, struct ck_victim *v)
{
	KUNIT_ASSERT_NE(test, wait_for_completion_timeout(&v->ended, CK_WAIT),
			0);
	put_task_struct(v->task);
	return v->ret;
}
