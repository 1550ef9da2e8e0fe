// SPDX-License-Identifier: Apache-2.0
/*
 * An agent between a kernel and an authority. The daemon and its link are
 * real; the test is the kernel, in the place of nl_sock.c, and the authority's
 * namespace thread.
 */
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <netlink/genl/genl.h>
#include <netlink/msg.h>

#include "agent.h"
#include "arena.h"
#include "cluster.h"
#include "config.h"
#include "ctl.h"
#include "log.h"
#include "nl.h"
#include "nl_gen.h"
#include "op_wire.h"
#include "store.h"

#define WAIT_MS	20000
#define FAMILY	0x25
#define LOG_MAX	8192

static const uint8_t uuid[16] = "namespace-uuid--";
static const uint8_t kernel_boot[16] = "boot-of-kernel--";

/* --- the kernel --- */

/* What the daemon has sent. */
struct said {
	uint8_t cmd;
	uint64_t id, node, durable, lease_until, ino, instance;
	int status;
	uint32_t kind, peer;
	bool has_layout, has_attr;
};

static struct {
	pthread_mutex_t lock;		/* the rest */
	bool loaded, attached;
	int fd;				/* the daemon's */
	unsigned int attaches, closes;
	uint64_t incarnation;
	struct nl_msg *in[LOG_MAX];	/* for the daemon */
	size_t nr_in, next_in;
	struct said said[LOG_MAX];
	size_t nr_said;
	uint64_t sessions[3];
	size_t nr_sessions;
	uint64_t handles[5000];
	size_t nr_handles;
	uint64_t locked;		/* an inode with two locks; 0: none */
} k;

/* In the test: what it waits for may be there. */
static int told = -1;

static void poke(int fd)
{
	assert_int_equal(eventfd_write(fd, 1), 0);
}

int __wrap_channel_open(struct channel *ch);
int __wrap_channel_open(struct channel *ch)
{
	int rc = -ENOENT;

	memset(ch, 0, sizeof(*ch));
	ch->fd = -1;
	ch->deferred_tail = &ch->deferred;
	pthread_mutex_lock(&k.lock);
	if (k.loaded && container_of(ch, struct served, ch)->agent) {
		ch->fd = k.fd = eventfd(0, EFD_NONBLOCK);
		ch->family = FAMILY;
		rc = 0;
	}
	pthread_mutex_unlock(&k.lock);
	return rc;
}

void __wrap_channel_close(struct channel *ch);
void __wrap_channel_close(struct channel *ch)
{
	pthread_mutex_lock(&k.lock);
	if (ch->fd >= 0) {
		close(ch->fd);
		k.fd = -1;
		k.closes++;
		k.attached = false;
		for (; k.next_in < k.nr_in; k.next_in++)
			nlmsg_free(k.in[k.next_in]);
	}
	pthread_mutex_unlock(&k.lock);
	memset(ch, 0, sizeof(*ch));
	ch->fd = -1;
	poke(told);
}

static uint64_t u64(struct nlattr **tb, int a)
{
	return tb[a] ? nla_get_u64(tb[a]) : 0;
}

static void read_mirror(struct nlattr *layout, struct said *s)
{
	struct nlattr *l[ORCHFS_A_LAYOUT_MAX + 1];
	struct nlattr *g[ORCHFS_A_SEGMENT_MAX + 1];
	struct nlattr *m[ORCHFS_A_MIRROR_MAX + 1];

	s->has_layout = true;
	nla_parse_nested(l, ORCHFS_A_LAYOUT_MAX, layout,
			 (struct nla_policy *)orchfs_layout_nl_policy);
	nla_parse_nested(g, ORCHFS_A_SEGMENT_MAX, l[ORCHFS_A_LAYOUT_SEGMENT],
			 (struct nla_policy *)orchfs_segment_nl_policy);
	nla_parse_nested(m, ORCHFS_A_MIRROR_MAX, g[ORCHFS_A_SEGMENT_MIRROR],
			 (struct nla_policy *)orchfs_mirror_nl_policy);
	s->kind = nla_get_u32(m[ORCHFS_A_MIRROR_KIND]);
	s->peer = nla_get_u32(m[ORCHFS_A_MIRROR_PEER]);
	s->instance = u64(m, ORCHFS_A_MIRROR_INSTANCE);
}

static struct said read_message(struct nl_msg *msg)
{
	struct nlattr *tb[ORCHFS_A_MSG_MAX + 1];
	struct nlmsghdr *nlh = nlmsg_hdr(msg);
	struct said s = { .cmd = (uint8_t)nl_cmd(nlh) };
	struct orchfs_attr attr;

	assert_int_equal(genlmsg_parse(nlh, 0, tb, ORCHFS_A_MSG_MAX,
				       (struct nla_policy *)
				       orchfs_msg_nl_policy), 0);
	s.id = u64(tb, ORCHFS_A_MSG_REQUEST_ID);
	s.node = u64(tb, ORCHFS_A_MSG_NODE);
	s.durable = u64(tb, ORCHFS_A_MSG_DURABLE);
	s.lease_until = u64(tb, ORCHFS_A_MSG_LEASE_UNTIL_MS);
	if (tb[ORCHFS_A_MSG_STATUS])
		s.status = nla_get_s32(tb[ORCHFS_A_MSG_STATUS]);
	s.has_attr = tb[ORCHFS_A_MSG_ATTR];
	if (s.has_attr) {
		memcpy(&attr, nla_data(tb[ORCHFS_A_MSG_ATTR]), sizeof(attr));
		s.ino = attr.ino;
	}
	if (tb[ORCHFS_A_MSG_LAYOUT])
		read_mirror(tb[ORCHFS_A_MSG_LAYOUT], &s);
	return s;
}

int __wrap_channel_send(struct channel *ch, struct nl_msg *m, uint32_t *seq);
int __wrap_channel_send(struct channel *ch, struct nl_msg *m, uint32_t *seq)
{
	assert_non_null(m);
	assert_true(ch->fd >= 0);
	if (seq)
		*seq = ++ch->seq;
	pthread_mutex_lock(&k.lock);
	assert_true(k.attached);
	assert_in_range(k.nr_said, 0, LOG_MAX - 1);
	k.said[k.nr_said++] = read_message(m);
	pthread_mutex_unlock(&k.lock);
	nlmsg_free(m);
	poke(told);
	return 0;
}

int __wrap_channel_receive(struct channel *ch, int max, channel_fn fn,
			   void *ctx);
int __wrap_channel_receive(struct channel *ch, int max, channel_fn fn,
			   void *ctx)
{
	struct nl_msg *m;
	eventfd_t n;
	int count;

	eventfd_read(ch->fd, &n);
	for (count = 0; count < max; count++) {
		pthread_mutex_lock(&k.lock);
		m = k.next_in < k.nr_in ? k.in[k.next_in++] : NULL;
		pthread_mutex_unlock(&k.lock);
		if (!m)
			return count;
		fn(ctx, nlmsg_hdr(m));
		nlmsg_free(m);
		if (ch->fd < 0)
			return -ENOTCONN;
	}
	poke(ch->fd);	/* there may be more */
	return count;
}

static struct nl_msg *message(uint8_t cmd)
{
	struct nl_msg *m = nlmsg_alloc_size(4096);

	assert_non_null(genlmsg_put(m, 0, 0, FAMILY, 0, 0, cmd, 1));
	return m;
}

static void tell(struct nl_msg *m, channel_fn fn, void *ctx)
{
	fn(ctx, nlmsg_hdr(m));
	nlmsg_free(m);
}

static void call_attach(struct nl_msg *msg, channel_fn fn, void *ctx)
{
	struct nlattr *tb[ORCHFS_A_MSG_MAX + 1];
	struct nl_msg *m = message(ORCHFS_CMD_ATTACH);

	genlmsg_parse(nlmsg_hdr(msg), 0, tb, ORCHFS_A_MSG_MAX,
		      (struct nla_policy *)orchfs_msg_nl_policy);
	assert_int_not_equal(k.incarnation, u64(tb, ORCHFS_A_MSG_INCARNATION));
	k.incarnation = u64(tb, ORCHFS_A_MSG_INCARNATION);
	assert_string_equal(nla_get_string(tb[ORCHFS_A_MSG_NS_NAME]),
			    "models");
	k.attached = true;
	k.attaches++;
	nla_put_u32(m, ORCHFS_A_MSG_VERSION, ORCHFS_PROTOCOL_VERSION);
	nla_put(m, ORCHFS_A_MSG_BOOT_ID, 16, kernel_boot);
	tell(m, fn, ctx);
}

static struct orchfs_lock a_lock(uint64_t owner, uint32_t flags)
{
	return (struct orchfs_lock){ .owner = owner, .end = 9, .flags = flags,
				     .type = ORCHFS_LOCK_WRITE };
}

/* An inode with locks, and the next, of whose locks it has the lease. */
static void call_dump_locks(channel_fn fn, void *ctx)
{
	const struct orchfs_lock l[] = { a_lock(3, 0), a_lock(4, 0) };
	struct nl_msg *m = message(ORCHFS_CMD_LOCKS);

	nla_put_u64(m, ORCHFS_A_MSG_NODE, k.locked);
	nla_put(m, ORCHFS_A_MSG_LOCKS, sizeof(l), l);
	tell(m, fn, ctx);
	m = message(ORCHFS_CMD_LOCKS);
	nla_put_u64(m, ORCHFS_A_MSG_NODE, k.locked + 1);
	nla_put_u32(m, ORCHFS_A_MSG_FLAGS, ORCHFS_REQ_FLAG_LEASE);
	tell(m, fn, ctx);
}

static void call_dump(uint8_t cmd, channel_fn fn, void *ctx)
{
	struct orchfs_attr attr = { .nlink = 1 };
	struct nl_msg *m;

	if (cmd == ORCHFS_CMD_LOCKS && k.locked)
		call_dump_locks(fn, ctx);
	for (size_t i = 0; cmd == ORCHFS_CMD_MOUNTS && i < k.nr_sessions;
	     i++) {
		m = message(cmd);
		nla_put(m, ORCHFS_A_MSG_NS_UUID, 16, uuid);
		nla_put_u64(m, ORCHFS_A_MSG_SESSION, k.sessions[i]);
		tell(m, fn, ctx);
	}
	for (size_t i = 0; cmd == ORCHFS_CMD_HANDLES && i < k.nr_handles;
	     i++) {
		m = message(cmd);
		attr.ino = k.handles[i];
		nla_put_u64(m, ORCHFS_A_MSG_NODE, k.handles[i]);
		nla_put_u32(m, ORCHFS_A_MSG_OPENS, 1);
		nla_put_u64(m, ORCHFS_A_MSG_GENERATION, 7);
		nla_put(m, ORCHFS_A_MSG_ATTR, sizeof(attr), &attr);
		tell(m, fn, ctx);
	}
}

int __wrap_channel_call(struct channel *ch, struct nl_msg *m, channel_fn fn,
			void *ctx);
int __wrap_channel_call(struct channel *ch, struct nl_msg *m, channel_fn fn,
			void *ctx)
{
	int cmd = nl_cmd(nlmsg_hdr(m));

	assert_true(ch->fd >= 0);
	pthread_mutex_lock(&k.lock);
	if (cmd == ORCHFS_CMD_ATTACH)
		call_attach(m, fn, ctx);
	else
		call_dump((uint8_t)cmd, fn, ctx);
	pthread_mutex_unlock(&k.lock);
	nlmsg_free(m);
	return 0;
}

void __wrap_channel_deferred(struct channel *ch, channel_fn fn, void *ctx);
void __wrap_channel_deferred(struct channel *ch, channel_fn fn, void *ctx)
{
	(void)ch;
	(void)fn;
	(void)ctx;
}

/* Messages for the daemon; they are lost when it isn't attached. */
static void inject(struct nl_msg *m)
{
	pthread_mutex_lock(&k.lock);
	assert_in_range(k.nr_in, 0, LOG_MAX - 1);
	k.in[k.nr_in++] = m;
	if (k.fd >= 0)
		poke(k.fd);
	pthread_mutex_unlock(&k.lock);
}

static void request(uint64_t id, uint32_t kind, uint32_t flags)
{
	struct nl_msg *m = message(ORCHFS_CMD_REQUEST);

	nla_put_u64(m, ORCHFS_A_MSG_REQUEST_ID, id);
	nla_put_u32(m, ORCHFS_A_MSG_KIND, kind);
	nla_put_u32(m, ORCHFS_A_MSG_FLAGS, flags);
	nla_put_u64(m, ORCHFS_A_MSG_NODE, 1000 + id);
	inject(m);
}

/* --- the authority --- */

static char dir[64];

static struct {
	EVP_PKEY *ca_key, *key;
	X509 *ca;
	struct ns_node nodes[2];
	struct served sv, *agent;
	struct cluster cl;
	int port;
	uint64_t link;
	unsigned int ups, downs;
	/* what came, in order; NULL once it is answered */
	struct peer_request *req[LOG_MAX];
	size_t nr, taken;
	uint32_t lease_ms;
	unsigned int renewals, answers, failures;
} w;

static void a_up(struct served *sv, uint32_t node, uint64_t link)
{
	(void)sv;
	assert_int_equal(node, 2);
	w.link = link;
	w.ups++;
}

static void a_down(struct served *sv, uint32_t node, uint64_t link,
		   const char *why)
{
	(void)sv;
	(void)why;
	assert_int_equal(node, 2);
	assert_int_equal(link, w.link);
	w.downs++;
}

static void reply_done(struct peer_request *r)
{
	Orchfs__Peer__Empty empty = ORCHFS__PEER__EMPTY__INIT;
	peer_frame f = PEER_FRAME_INIT(DONE);

	f.done = &empty;
	peer_reply(r, &f);
}

static void reply_lease(struct peer_request *r)
{
	Orchfs__Peer__Lease m = ORCHFS__PEER__LEASE__INIT;
	peer_frame f = PEER_FRAME_INIT(LEASE);

	m.lease_ms = w.lease_ms;
	m.durable = 77;
	f.lease = &m;
	peer_reply(r, &f);
}

static void a_request(struct served *sv, struct peer_request *r)
{
	(void)sv;
	if (r->f->body_case == PEER_BODY(RENEW_LEASE)) {
		w.renewals++;
		reply_lease(r);
		return;
	}
	assert_in_range(w.nr, 0, LOG_MAX - 1);
	w.req[w.nr++] = r;
}

static const struct peer_handler a_handler = {
	.up = a_up,
	.down = a_down,
	.request = a_request,
};

/* One turn of the authority's thread. */
static void turn(void)
{
	struct pollfd p[2] = {
		{ .fd = w.sv.queue.efd, .events = POLLIN },
		{ .fd = told, .events = POLLIN },
	};
	eventfd_t n;

	assert_true(poll(p, 2, WAIT_MS) > 0);
	if (p[0].revents)
		work_run(&w.sv.queue);
	if (p[1].revents)
		eventfd_read(told, &n);
}

static size_t nr_said(uint8_t cmd)
{
	size_t n = 0;

	pthread_mutex_lock(&k.lock);
	for (size_t i = 0; i < k.nr_said; i++)
		n += k.said[i].cmd == cmd;
	pthread_mutex_unlock(&k.lock);
	return n;
}

/* The @n-th message of that command, once it is there. */
static struct said said(uint8_t cmd, size_t n)
{
	struct said s = { .cmd = 0 };

	while (nr_said(cmd) <= n)
		turn();
	pthread_mutex_lock(&k.lock);
	for (size_t i = 0; i < k.nr_said; i++) {
		if (k.said[i].cmd == cmd && !n--) {
			s = k.said[i];
			break;
		}
	}
	pthread_mutex_unlock(&k.lock);
	return s;
}

static struct peer_request *next(int body)
{
	struct peer_request *r;

	while (w.taken == w.nr)
		turn();
	r = w.req[w.taken++];
	assert_int_equal(r->f->body_case, body);
	return r;
}

static struct op_req next_op(struct peer_request **r)
{
	struct op_req op;

	*r = next(PEER_BODY(OP));
	assert_int_equal(op_wire_get_op((*r)->f->op, &op), 0);
	return op;
}

static void reply_op(struct peer_request *r, const struct op_reply *rep)
{
	struct arena *a = arena_new();
	peer_frame f = PEER_FRAME_INIT(OP_REPLY);

	f.op_reply = op_wire_reply(a, rep);
	peer_reply(r, &f);
	arena_free(a);
}

/* What an agent says at first is heard. */
static void welcome(size_t handles)
{
	struct ns_handle *h = calloc(OP_WIRE_HANDLES_MAX, sizeof(*h));
	struct peer_request *r = next(PEER_BODY(ATTACH));
	size_t nr, seen = 0, ready = nr_said(ORCHFS_CMD_READY);

	assert_memory_equal(r->f->attach->boot_id.data, kernel_boot, 16);
	assert_int_equal(r->f->attach->n_session, k.nr_sessions);
	for (size_t i = 0; i < k.nr_sessions; i++)
		assert_int_equal(r->f->attach->session[i], k.sessions[i]);
	reply_done(r);
	while (seen < handles) {
		r = next(PEER_BODY(HANDLES));
		assert_int_equal(op_wire_get_handles(r->f->handles, h, &nr),
				 0);
		for (size_t i = 0; i < nr && seen + i < k.nr_handles; i++) {
			assert_int_equal(h[i].ino, k.handles[seen + i]);
			assert_int_equal(h[i].generation, 7);
		}
		seen += nr;
		reply_done(r);
	}
	assert_int_equal(seen, handles);
	r = next(PEER_BODY(READY));
	assert_int_equal(nr_said(ORCHFS_CMD_READY), ready);
	reply_lease(r);
	said(ORCHFS_CMD_READY, ready);
	free(h);
}

static int free_port(void)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	socklen_t len = sizeof(in);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(fd, (void *)&in, sizeof(in)), 0);
	assert_int_equal(getsockname(fd, (void *)&in, &len), 0);
	close(fd);
	return ntohs(in.sin_port);
}

static X509 *issue(uint32_t node)
{
	struct pki_issue i = {
		.ca = w.ca, .ca_key = w.ca_key, .key = w.key, .uuid = uuid,
		.node = node, .name = "n", .now = pki_time(),
		.seconds = PKI_YEAR,
	};

	w.nodes[node - 1].number = node;
	strcpy(w.nodes[node - 1].name, "n");
	return pki_issue(&i, &w.nodes[node - 1].serial);
}

static void agent_files(void)
{
	struct agent_file a = {
		.ns = "models", .node = 2, .authority = 1, .name = "b",
		.authority_name = "a", .nr_addresses = 1, .epoch = 1,
	};
	X509 *x = issue(2);
	char sub[80];

	memcpy(a.uuid, uuid, 16);
	snprintf(a.address[0], sizeof(a.address[0]), "127.0.0.1:%d", w.port);
	snprintf(sub, sizeof(sub), "%s/cluster", dir);
	assert_int_equal(mkdir(sub, 0700), 0);
	assert_int_equal(pki_write(sub, "ca.crt", NULL, w.ca), 0);
	assert_int_equal(pki_write(sub, "node.pem", w.key, x), 0);
	assert_int_equal(agent_file_write(sub, &a), 0);
	X509_free(x);
}

static void authority_start(void)
{
	struct cluster *cl = &w.cl;

	assert_int_equal(work_queue_init(&w.sv.queue), 0);
	pthread_mutex_init(&w.sv.lock, NULL);
	pthread_mutex_init(&cl->lock, NULL);
	cl->sv = &w.sv;
	cl->handler = &a_handler;
	strcpy(cl->ns, "models");
	memcpy(cl->uuid, uuid, 16);
	strcpy(cl->boot_id, "boot");
	cl->node = cl->authority = 1;
	cl->epoch = 1;
	snprintf(cl->address[0], sizeof(cl->address[0]), "127.0.0.1:%d",
		 w.port);
	cl->nr_addresses = 1;
	cl->ca = w.ca;
	cl->key = w.key;
	cl->cert = issue(1);
	cl->nodes = w.nodes;
	cl->nr_nodes = 2;
	assert_int_equal(peer_start(cl, &cl->peer), 0);
}

static int begin(void)
{
	alarm(WAIT_MS / 1000);	/* then what is waited for doesn't come */
	log_init(LOG_CRIT);
	memset(&w, 0, sizeof(w));
	memset(&k, 0, sizeof(k));
	pthread_mutex_init(&k.lock, NULL);
	k.loaded = true;
	k.fd = -1;
	told = eventfd(0, EFD_NONBLOCK);
	strcpy(dir, "/var/tmp/orchd-agent-XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int setup(void **state)
{
	(void)state;
	if (begin() < 0)
		return -1;
	w.lease_ms = WAIT_MS;
	w.port = free_port();
	w.ca_key = pki_key_new();
	w.key = pki_key_new();
	w.ca = pki_ca_new(w.ca_key, "models", pki_time());
	agent_files();
	authority_start();
	w.agent = served_new(dir);
	assert_true(w.agent->agent);
	return 0;
}

static void agent_stop(void)
{
	if (!w.agent)
		return;
	served_stop(w.agent);
	served_join(w.agent);
	served_free(w.agent);
	w.agent = NULL;
}

static int teardown(void **state)
{
	(void)state;
	agent_stop();
	peer_stop(w.cl.peer);
	work_close(&w.sv.queue);
	work_run(&w.sv.queue);
	while (w.taken < w.nr)
		peer_reply(w.req[w.taken++], NULL);
	work_queue_destroy(&w.sv.queue);
	X509_free(w.cl.cert);
	X509_free(w.ca);
	EVP_PKEY_free(w.ca_key);
	EVP_PKEY_free(w.key);
	while (k.next_in < k.nr_in)
		nlmsg_free(k.in[k.next_in++]);
	close(told);
	remove_tree(dir);
	return 0;
}

static void start(void)
{
	assert_int_equal(served_start(w.agent), 0);
	welcome(k.nr_handles);
}

static struct peer_question question;

static void question_done(struct peer_question *q, int rc, const char *why,
			  peer_frame *f)
{
	(void)why;
	assert_ptr_equal(q, &question);
	if (!rc)
		w.answers++;
	else
		w.failures++;
	frame_free(f);
}

static void invalidate(const struct op_stale *s, size_t nr)
{
	struct arena *a = arena_new();
	peer_frame f = PEER_FRAME_INIT(INVALIDATE);

	question.done = question_done;
	f.invalidate = op_wire_invalidate(a, 1, s, nr);
	assert_int_equal(peer_send(w.cl.peer, w.link, &f, WAIT_MS,
				   &question), 0);
	arena_free(a);
}

static void invalidate_wait(const struct op_stale *s, size_t nr)
{
	unsigned int n = w.answers;

	invalidate(s, nr);
	while (w.answers == n)
		turn();
}

/* --- tests --- */

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
	start();
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

/* No more than may be under way; each is answered once. */
static void test_many(void **state)
{
	const unsigned int n = 3000;
	struct peer_request *r, *held[AGENT_OPS_MAX];
	static unsigned char seen[3002];
	struct op_reply rep = { .has_attr = true, .attr.nlink = 1 };
	struct op_req op;
	struct said s;

	(void)state;
	start();
	memset(seen, 0, sizeof(seen));
	for (uint64_t i = 1; i <= n; i++)
		request(i, ORCHFS_KIND_GETATTR, 0);
	for (int i = 0; i < AGENT_OPS_MAX; i++) {
		op = next_op(&held[i]);
		assert_int_equal(op.id, i + 1);
		assert_int_equal(op.node, 1000 + op.id);
	}
	/* an acknowledgement shows that nothing else is on the way */
	request(n + 1, 99, 0);
	while (atomic_load(&w.agent->requests) <= n)
		invalidate_wait(&(struct op_stale){ .ino = 0 }, 1);
	invalidate_wait(&(struct op_stale){ .ino = 0 }, 1);
	assert_int_equal(w.nr, w.taken);
	for (unsigned int i = 1; i <= n; i++) {
		if (i <= AGENT_OPS_MAX)
			r = held[i - 1];
		else
			op = next_op(&r);
		rep.attr.ino = 1000 + r->f->op->id;
		rep.txn = 100 + i;
		reply_op(r, &rep);
	}
	for (unsigned int i = 0, answers = 0; i <= n; i++) {
		s = said(ORCHFS_CMD_REPLY, i);
		assert_in_range(s.id, 1, n + 1);
		assert_int_equal(seen[s.id]++, 0);
		assert_int_equal(s.status, s.id <= n ? 0 : -EPROTO);
		if (s.id > n)
			continue;
		assert_int_equal(s.ino, 1000 + s.id);
		assert_int_equal(s.durable, 100 + ++answers);
	}
	assert_int_equal(nr_said(ORCHFS_CMD_REPLY), n + 1);
}

static void test_layout(void **state)
{
	struct op_reply rep = {
		.has_attr = true, .attr = { .ino = 5, .nlink = 1 },
		.has_layout = true,
		.layout = { .generation = 1, .version = 2, .instance = 3,
			    .volume = 4, .home = 1 },
	};
	struct peer_request *r;
	struct said s;

	(void)state;
	start();
	request(1, ORCHFS_KIND_OPEN, 0);
	next_op(&r);
	reply_op(r, &rep);
	s = said(ORCHFS_CMD_REPLY, 0);
	assert_int_equal(s.status, 0);
	assert_true(s.has_layout);
	assert_int_equal(s.kind, ORCHFS_MIRROR_KIND_REMOTE);
	assert_int_equal(s.peer, 1);
	assert_int_equal(s.instance, 3);
	/* this node has no volume */
	rep.layout.home = 2;
	request(2, ORCHFS_KIND_OPEN, 0);
	next_op(&r);
	reply_op(r, &rep);
	s = said(ORCHFS_CMD_REPLY, 1);
	assert_int_equal(s.status, -EIO);
	request(3, ORCHFS_KIND_GETATTR, 0);
	next_op(&r);
	reply_op(r, &rep);
	s = said(ORCHFS_CMD_REPLY, 2);
	assert_int_equal(s.status, 0);
	assert_true(s.has_attr);
	assert_false(s.has_layout);
}

/* What isn't right is no answer for an application. */
static void test_bad_reply(void **state)
{
	Orchfs__Peer__OpReply m = ORCHFS__PEER__OP_REPLY__INIT;
	peer_frame f = PEER_FRAME_INIT(OP_REPLY);
	struct peer_request *r;

	(void)state;
	start();
	for (uint64_t i = 1; i <= 3; i++)
		request(i, ORCHFS_KIND_GETATTR, 0);
	next_op(&r);
	m.status = 17;
	f.op_reply = &m;
	peer_reply(r, &f);
	assert_int_equal(said(ORCHFS_CMD_REPLY, 0).status, -EIO);
	next_op(&r);
	reply_done(r);
	assert_int_equal(said(ORCHFS_CMD_REPLY, 1).status, -EIO);
	next_op(&r);
	peer_fail(r, -EPROTO, "it makes no sense");
	assert_int_equal(said(ORCHFS_CMD_REPLY, 2).status, -EIO);
	assert_int_equal(w.downs, 0);
}

/* An answer, then what it made stale: the kernel hears them in that order. */
static void test_invalidate(void **state)
{
	struct op_reply rep = { .has_attr = true, .attr = { .ino = 5 } };
	const struct op_stale stale[] = {
		{ .ino = 5, .has_attr = true, .attr = { .ino = 5 } },
		{ .ino = 6 }, { .ino = 0 },
	};
	struct peer_request *r;

	(void)state;
	start();
	for (uint64_t i = 1; i <= 100; i++) {
		size_t at;

		request(i, ORCHFS_KIND_GETATTR, 0);
		next_op(&r);
		pthread_mutex_lock(&k.lock);
		at = k.nr_said;
		pthread_mutex_unlock(&k.lock);
		reply_op(r, &rep);
		invalidate(stale, 3);
		while (w.answers < i)
			turn();
		pthread_mutex_lock(&k.lock);
		assert_int_equal(k.nr_said, at + 4);
		assert_int_equal(k.said[at].cmd, ORCHFS_CMD_REPLY);
		assert_int_equal(k.said[at].id, i);
		for (int n = 0; n < 3; n++) {
			assert_int_equal(k.said[at + 1 + n].cmd,
					 ORCHFS_CMD_INVALIDATE);
			assert_int_equal(k.said[at + 1 + n].node,
					 stale[n].ino);
			assert_int_equal(k.said[at + 1 + n].has_attr, !n);
		}
		pthread_mutex_unlock(&k.lock);
	}
	/* what can't be understood isn't acknowledged */
	invalidate(&(struct op_stale){ .ino = 5, .has_attr = true,
				       .attr = { .ino = 6 } }, 1);
	while (!w.failures)
		turn();
	assert_int_equal(w.answers, 100);
}

static void lock_request(uint64_t id, uint32_t flags)
{
	struct orchfs_lock l = a_lock(7, flags);
	struct nl_msg *m = message(ORCHFS_CMD_REQUEST);

	nla_put_u64(m, ORCHFS_A_MSG_REQUEST_ID, id);
	nla_put_u32(m, ORCHFS_A_MSG_KIND, ORCHFS_KIND_LOCK);
	nla_put_u64(m, ORCHFS_A_MSG_NODE, 55);
	nla_put(m, ORCHFS_A_MSG_LOCK, sizeof(l), &l);
	inject(m);
}

static void lock_recall(bool lost)
{
	Orchfs__Peer__LockRecall m = ORCHFS__PEER__LOCK_RECALL__INIT;
	peer_frame f = PEER_FRAME_INIT(LOCK_RECALL);

	m.ino = 55;
	m.number = 6;
	m.lost = lost;
	f.lock_recall = &m;
	question.done = question_done;
	assert_int_equal(peer_send(w.cl.peer, w.link, &f, WAIT_MS,
				   &question), 0);
}

/* What the kernel has is told before it is ready; then it asks. */
static void test_locks(void **state)
{
	const struct orchfs_lock held = a_lock(7, 0);
	struct op_reply rep = { .flags = ORCHFS_REQ_FLAG_LEASE };
	struct arena *a = arena_new();
	struct peer_request *r;
	struct op_locks v;
	struct nl_msg *m;
	struct said s;
	struct op_req op;

	(void)state;
	k.locked = 40;
	assert_int_equal(served_start(w.agent), 0);
	r = next(PEER_BODY(ATTACH));
	/* from now on it asks */
	assert_int_equal(said(ORCHFS_CMD_LOCK_RECALL, 0).node, 0);
	reply_done(r);
	r = next(PEER_BODY(LOCKS));
	assert_int_equal(r->f->locks->n_inode, 2);
	assert_int_equal(op_wire_get_locks(a, r->f->locks->inode[0], &v), 0);
	assert_int_equal(v.ino, 40);
	assert_int_equal(v.nr, 2);
	assert_int_equal(v.l[1].owner, 4);
	assert_int_equal(op_wire_get_locks(a, r->f->locks->inode[1], &v), 0);
	assert_int_equal(v.ino, 41);
	assert_true(v.lease);
	reply_done(r);
	reply_lease(next(PEER_BODY(READY)));
	said(ORCHFS_CMD_READY, 0);
	/* a request, its answer, and the recall of what that gave */
	lock_request(1, 0);
	op = next_op(&r);
	assert_int_equal(op.lock.owner, 7);
	reply_op(r, &rep);
	lock_recall(false);
	s = said(ORCHFS_CMD_LOCK_RECALL, 1);
	assert_int_equal(s.id, 6);
	assert_int_equal(s.node, 55);
	assert_int_equal(said(ORCHFS_CMD_REPLY, 0).status, 0);
	while (!w.answers)
		turn();
	m = message(ORCHFS_CMD_LOCK_HELD);
	nla_put_u64(m, ORCHFS_A_MSG_REQUEST_ID, 6);
	nla_put_u64(m, ORCHFS_A_MSG_NODE, 55);
	nla_put(m, ORCHFS_A_MSG_LOCKS, sizeof(held), &held);
	nla_put_flag(m, ORCHFS_A_MSG_EOF);
	inject(m);
	r = next(PEER_BODY(LOCK_HELD));
	assert_int_equal(op_wire_get_held(a, r->f->lock_held, &v), 0);
	assert_int_equal(r->f->lock_held->number, 6);
	assert_true(r->f->lock_held->eof);
	assert_int_equal(v.nr, 1);
	assert_memory_equal(v.l, &held, sizeof(held));
	reply_done(r);
	/* those that wait leave room for others */
	for (uint64_t i = 0; i <= AGENT_LOCK_WAITS_MAX; i++)
		lock_request(100 + i, ORCHFS_LOCK_WAIT);
	assert_int_equal(said(ORCHFS_CMD_REPLY, 1).status, -ENOLCK);
	for (uint64_t i = 0; i < AGENT_LOCK_WAITS_MAX; i++) {
		op = next_op(&r);
		assert_int_equal(op.id, 100 + i);
		reply_op(r, &rep);
	}
	arena_free(a);
}

static void test_notes(void **state)
{
	struct orchfs_attr attr = { .ino = 8, .size = 123 };
	struct nl_msg *m = message(ORCHFS_CMD_NOTICE);
	struct peer_request *r;
	struct ns_note notes[OP_WIRE_NOTES_MAX];
	struct nlattr *n;
	size_t nr;

	(void)state;
	start();
	n = nla_nest_start(m, ORCHFS_A_MSG_NOTE);
	nla_put_u32(m, ORCHFS_A_NOTE_KIND, ORCHFS_KIND_NOTE_FORGET);
	nla_put_u64(m, ORCHFS_A_NOTE_NODE, 7);
	nla_nest_end(m, n);
	n = nla_nest_start(m, ORCHFS_A_MSG_NOTE);
	nla_put_u32(m, ORCHFS_A_NOTE_KIND, ORCHFS_KIND_NOTE_ATTR);
	nla_put_u64(m, ORCHFS_A_NOTE_NODE, 8);
	nla_put_u32(m, ORCHFS_A_NOTE_VALID, ORCHFS_SET_SIZE);
	nla_put(m, ORCHFS_A_NOTE_ATTR, sizeof(attr), &attr);
	nla_nest_end(m, n);
	inject(m);
	r = next(PEER_BODY(NOTES));
	assert_int_equal(op_wire_get_notes(r->f->notes, notes, &nr), 0);
	assert_int_equal(nr, 2);
	assert_int_equal(notes[0].kind, ORCHFS_KIND_NOTE_FORGET);
	assert_int_equal(notes[0].node, 7);
	assert_int_equal(notes[1].valid, ORCHFS_SET_SIZE);
	assert_int_equal(notes[1].attr.size, 123);
	/* not taken: the handles tell it */
	k.nr_handles = 1;
	k.handles[0] = 8;
	peer_fail(r, -ENOSPC, "the store is full");
	welcome(1);
	assert_int_equal(k.attaches, 2);
}

static void test_lease(void **state)
{
	uint64_t last, now;
	struct said s;

	(void)state;
	w.lease_ms = 300;
	start();
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
	start();
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
	start();
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
	start();
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
	start();
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
	start();
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
	close(told);
	remove_tree(dir);
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
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_attach),
		TEST(test_many),
		TEST(test_layout),
		TEST(test_bad_reply),
		TEST(test_invalidate),
		TEST(test_notes),
		TEST(test_locks),
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
