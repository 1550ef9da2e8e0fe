// SPDX-License-Identifier: Apache-2.0
#include "agent_util.h"

#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <netlink/genl/genl.h>

#include "config.h"
#include "ctl.h"
#include "log.h"
#include "nl_gen.h"

#define FAMILY	0x25

const uint8_t uuid[16] = "namespace-uuid--";
static const uint8_t kernel_boot[16] = "boot-of-kernel--";

/* --- the kernel --- */

struct agent_kernel k;

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
	struct stat st;

	s->has_layout = true;
	nla_parse_nested(l, ORCHFS_A_LAYOUT_MAX, layout,
			 (struct nla_policy *)orchfs_layout_nl_policy);
	nla_parse_nested(g, ORCHFS_A_SEGMENT_MAX, l[ORCHFS_A_LAYOUT_SEGMENT],
			 (struct nla_policy *)orchfs_segment_nl_policy);
	nla_parse_nested(m, ORCHFS_A_MIRROR_MAX, g[ORCHFS_A_SEGMENT_MIRROR],
			 (struct nla_policy *)orchfs_mirror_nl_policy);
	s->kind = nla_get_u32(m[ORCHFS_A_MIRROR_KIND]);
	if (m[ORCHFS_A_MIRROR_PEER])
		s->peer = nla_get_u32(m[ORCHFS_A_MIRROR_PEER]);
	s->instance = u64(m, ORCHFS_A_MIRROR_INSTANCE);
	if (m[ORCHFS_A_MIRROR_FD] &&
	    !fstat((int)nla_get_u32(m[ORCHFS_A_MIRROR_FD]), &st))
		s->file = st.st_ino;
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
	s.epoch = u64(tb, ORCHFS_A_MSG_EPOCH);
	if (tb[ORCHFS_A_MSG_PEER])
		s.peer = nla_get_u32(tb[ORCHFS_A_MSG_PEER]);
	if (tb[ORCHFS_A_MSG_VOLUME])
		s.volume = nla_get_u32(tb[ORCHFS_A_MSG_VOLUME]);
	if (tb[ORCHFS_A_MSG_KEY_ID])
		s.key_id = nla_get_u32(tb[ORCHFS_A_MSG_KEY_ID]);
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

struct nl_msg *message(uint8_t cmd)
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

struct orchfs_lock a_lock(uint64_t owner, uint32_t flags)
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

void inject(struct nl_msg *m)
{
	pthread_mutex_lock(&k.lock);
	assert_in_range(k.nr_in, 0, LOG_MAX - 1);
	k.in[k.nr_in++] = m;
	if (k.fd >= 0)
		poke(k.fd);
	pthread_mutex_unlock(&k.lock);
}

void request(uint64_t id, uint32_t kind, uint32_t flags)
{
	struct nl_msg *m = message(ORCHFS_CMD_REQUEST);

	nla_put_u64(m, ORCHFS_A_MSG_REQUEST_ID, id);
	nla_put_u32(m, ORCHFS_A_MSG_KIND, kind);
	nla_put_u32(m, ORCHFS_A_MSG_FLAGS, flags);
	nla_put_u64(m, ORCHFS_A_MSG_NODE, 1000 + id);
	inject(m);
}

/* --- the authority --- */

char dir[64];

struct agent_world w;

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

void reply_done(struct peer_request *r)
{
	Orchfs__Peer__Empty empty = ORCHFS__PEER__EMPTY__INIT;
	peer_frame f = PEER_FRAME_INIT(DONE);

	f.done = &empty;
	peer_reply(r, &f);
}

void reply_lease(struct peer_request *r)
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

void turn(void)
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

size_t nr_said(uint8_t cmd)
{
	size_t n = 0;

	pthread_mutex_lock(&k.lock);
	for (size_t i = 0; i < k.nr_said; i++)
		n += k.said[i].cmd == cmd;
	pthread_mutex_unlock(&k.lock);
	return n;
}

struct said said(uint8_t cmd, size_t n)
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

struct peer_request *next(int body)
{
	struct peer_request *r;

	while (w.taken == w.nr)
		turn();
	r = w.req[w.taken++];
	assert_int_equal(r->f->body_case, body);
	return r;
}

struct op_req next_op(struct peer_request **r)
{
	struct op_req op;

	*r = next(PEER_BODY(OP));
	assert_int_equal(op_wire_get_op((*r)->f->op, &op), 0);
	return op;
}

void reply_op(struct peer_request *r, const struct op_reply *rep)
{
	struct arena *a = arena_new();
	peer_frame f = PEER_FRAME_INIT(OP_REPLY);

	f.op_reply = op_wire_reply(a, rep);
	peer_reply(r, &f);
	arena_free(a);
}

void welcome(size_t handles)
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

int free_port(void)
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
	snprintf(w.listen, sizeof(w.listen), "127.0.0.1:%d", free_port());
	strcpy(a.listen, w.listen);
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

int begin(void)
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

void end(void)
{
	close(told);
	remove_tree(dir);
}

int setup(void **state)
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

void agent_stop(void)
{
	if (!w.agent)
		return;
	served_stop(w.agent);
	served_join(w.agent);
	served_free(w.agent);
	w.agent = NULL;
}

int teardown(void **state)
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
	end();
	return 0;
}

void agent_start(void)
{
	assert_int_equal(served_start(w.agent), 0);
	welcome(k.nr_handles);
}
