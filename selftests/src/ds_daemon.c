// SPDX-License-Identifier: GPL-2.0-only
/* The daemon's side of the data server: commands and events. */
#include <poll.h>

#include "ds.h"
#include "nl.h"

#define EVENTS_MAX	4096

u8 ds_uuid[16];
u8 ds_key[ORCHFS_KEY_LEN];

static int nl_fd = -1, family;
void (*daemon_other)(const struct nlmsghdr *h);
static struct {
	u64 request_id;
	int status;
} dones[EVENTS_MAX];
static struct {
	u64 connection;
	u32 reason;
} gones[EVENTS_MAX];
static unsigned int nr_dones, nr_gones;

void parse(const void *from, size_t len, const void **at, int max)
{
	const struct nlattr *a;

	while (len >= NLA_HDRLEN) {
		a = from;
		if (a->nla_len < NLA_HDRLEN || a->nla_len > len)
			return;
		if ((a->nla_type & NLA_TYPE_MASK) <= max)
			at[a->nla_type & NLA_TYPE_MASK] = a + 1;
		if ((size_t)NLA_ALIGN(a->nla_len) >= len)
			return;
		from = (const char *)from + NLA_ALIGN(a->nla_len);
		len -= NLA_ALIGN(a->nla_len);
	}
}

u64 get64(const void *p)
{
	u64 v = 0;

	if (p)
		memcpy(&v, p, sizeof(v));
	return v;
}

u32 get32(const void *p)
{
	u32 v = 0;

	if (p)
		memcpy(&v, p, sizeof(v));
	return v;
}

int parse_msg(const struct nlmsghdr *h, struct attrs *attrs)
{
	const struct genlmsghdr *g = NLMSG_DATA(h);

	memset(attrs, 0, sizeof(*attrs));
	parse((const char *)g + GENL_HDRLEN,
	      h->nlmsg_len - NLMSG_HDRLEN - GENL_HDRLEN, attrs->at,
	      ORCHFS_A_MSG_MAX);
	return g->cmd;
}

static void on_event(const struct nlmsghdr *h)
{
	struct attrs a;

	if (h->nlmsg_type != family)
		return;
	switch (parse_msg(h, &a)) {
	case ORCHFS_CMD_SERVE_DONE:
		must(nr_dones < EVENTS_MAX, "too many events");
		dones[nr_dones].request_id =
			get64(a.at[ORCHFS_A_MSG_REQUEST_ID]);
		dones[nr_dones++].status = get32(a.at[ORCHFS_A_MSG_STATUS]);
		break;
	case ORCHFS_CMD_SERVE_GONE:
		must(nr_gones < EVENTS_MAX, "too many events");
		gones[nr_gones].connection =
			get64(a.at[ORCHFS_A_MSG_CONNECTION]);
		gones[nr_gones++].reason = get32(a.at[ORCHFS_A_MSG_REASON]);
		break;
	default:
		if (daemon_other)
			daemon_other(h);
	}
}

struct msg *command(int cmd)
{
	static struct msg m;

	msg_start(&m, family, 0, cmd);
	return &m;
}

void daemon_attach(void)
{
	struct msg *m;
	struct timeval tv = { .tv_sec = WAIT_SECONDS };
	char name[32];
	int ret, size = 4 << 20;

	nl_event = on_event;
	family = find_family();
	if (family < 0) {
		printf("dataserver: orchfs.ko is not loaded\n");
		exit(KSFT_SKIP);
	}
	nl_fd = nl_open();
	setsockopt(nl_fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	setsockopt(nl_fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	snprintf(name, sizeof(name), "ds-%02x%02x", ds_uuid[0], ds_uuid[1]);
	m = command(ORCHFS_CMD_ATTACH);
	put32(m, ORCHFS_A_MSG_VERSION_MIN, ORCHFS_PROTOCOL_VERSION);
	put32(m, ORCHFS_A_MSG_VERSION_MAX, ORCHFS_PROTOCOL_VERSION);
	put(m, ORCHFS_A_MSG_NS_UUID, ds_uuid, sizeof(ds_uuid));
	put(m, ORCHFS_A_MSG_NS_NAME, name, strlen(name) + 1);
	put64(m, ORCHFS_A_MSG_INCARNATION, 1);
	ret = call(nl_fd, m);
	must(!ret, "attach: %s", strerror(-ret));
	ret = call(nl_fd, command(ORCHFS_CMD_READY));
	must(!ret, "ready: %s", strerror(-ret));
}

int daemon_fd(void)
{
	return nl_fd;
}

void daemon_send(struct msg *m)
{
	must(nl_send(nl_fd, m, m->h.nlmsg_len) == NO_ANSWER, "send: %m");
}

int daemon_call(struct msg *m)
{
	return call(nl_fd, m);
}

void daemon_leave(void)
{
	close(nl_fd);
	nl_fd = -1;
}

int daemon_serve_volume(u32 volume, int dir_fd, u32 key_id)
{
	struct msg *m = command(ORCHFS_CMD_SERVE_VOLUME);

	put32(m, ORCHFS_A_MSG_VOLUME, volume);
	put32(m, ORCHFS_A_MSG_FD, dir_fd);
	put(m, ORCHFS_A_MSG_KEY, ds_key, sizeof(ds_key));
	put32(m, ORCHFS_A_MSG_KEY_ID, key_id);
	return call(nl_fd, m);
}

int daemon_unvolume(u32 volume, u64 request_id)
{
	struct msg *m = command(ORCHFS_CMD_SERVE_UNVOLUME);

	put64(m, ORCHFS_A_MSG_REQUEST_ID, request_id);
	put32(m, ORCHFS_A_MSG_VOLUME, volume);
	return call(nl_fd, m);
}

/* The answer comes before the acknowledgement, with the same number. */
static u64 answered_connection;

static void on_answer(const struct nlmsghdr *h)
{
	struct attrs a;

	if (h->nlmsg_type == family &&
	    parse_msg(h, &a) == ORCHFS_CMD_SERVE_PEER)
		answered_connection = get64(a.at[ORCHFS_A_MSG_CONNECTION]);
}

s64 daemon_serve_peer(int fd, u32 peer, const struct limits *limits)
{
	struct msg *m = command(ORCHFS_CMD_SERVE_PEER);
	int ret;

	put32(m, ORCHFS_A_MSG_FD, fd);
	put32(m, ORCHFS_A_MSG_PEER, peer);
	if (limits && limits->max_requests)
		put32(m, ORCHFS_A_MSG_MAX_REQUESTS, limits->max_requests);
	if (limits && limits->max_bytes)
		put32(m, ORCHFS_A_MSG_MAX_BYTES, limits->max_bytes);
	if (limits && limits->max_handles)
		put32(m, ORCHFS_A_MSG_MAX_HANDLES, limits->max_handles);
	nl_answer = on_answer;
	ret = call(nl_fd, m);
	nl_answer = NULL;
	return ret ? ret : (s64)answered_connection;
}

int daemon_drop(u32 peer, u64 connection)
{
	struct msg *m = command(ORCHFS_CMD_SERVE_DROP);

	put32(m, ORCHFS_A_MSG_PEER, peer);
	if (connection)
		put64(m, ORCHFS_A_MSG_CONNECTION, connection);
	return call(nl_fd, m);
}

int daemon_fence(u64 request_id, u64 instance, u32 peer, u64 epoch)
{
	struct msg *m = command(ORCHFS_CMD_SERVE_FENCE);

	put64(m, ORCHFS_A_MSG_REQUEST_ID, request_id);
	put32(m, ORCHFS_A_MSG_VOLUME, VOLUME);
	put64(m, ORCHFS_A_MSG_INSTANCE, instance);
	put32(m, ORCHFS_A_MSG_PEER, peer);
	put64(m, ORCHFS_A_MSG_EPOCH, epoch);
	put64(m, ORCHFS_A_MSG_EXPIRY_MS, FOREVER);
	return call(nl_fd, m);
}

int daemon_time(u64 authority_ms, u64 boot, u32 lease_ms)
{
	struct msg *m = command(ORCHFS_CMD_SERVE_TIME);

	put64(m, ORCHFS_A_MSG_AUTHORITY_MS, authority_ms);
	put64(m, ORCHFS_A_MSG_BOOT_MS, boot);
	put32(m, ORCHFS_A_MSG_LEASE_MS, lease_ms);
	return call(nl_fd, m);
}

u64 boot_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return ts.tv_sec * 1000ULL + ts.tv_nsec / 1000000;
}

void daemon_clock(u64 authority_ms)
{
	int ret = daemon_time(authority_ms, boot_ms(), 600 * 1000);

	must(!ret, "serve-time: %s", strerror(-ret));
}

/* One more message, or the test has failed. */
void more_events(const char *what)
{
	static struct msg m;
	struct nlmsghdr *h = &m.h;
	ssize_t n = recv(nl_fd, &m, sizeof(m), 0);

	must(n > 0, "no %s within the time: %m", what);
	for (; NLMSG_OK(h, n); h = NLMSG_NEXT(h, n))
		if (!h->nlmsg_seq)
			on_event(h);
}

static unsigned int find_done(u64 request_id)
{
	unsigned int i;

	for (i = 0; i < nr_dones; i++)
		if (dones[i].request_id == request_id)
			break;
	return i;
}

bool daemon_done(u64 request_id)
{
	struct pollfd p = { .fd = nl_fd, .events = POLLIN };

	while (poll(&p, 1, 0) > 0)
		more_events("event");
	return find_done(request_id) < nr_dones;
}

int daemon_wait_done(u64 request_id)
{
	unsigned int i;

	while ((i = find_done(request_id)) == nr_dones)
		more_events("serve-done");
	return dones[i].status;
}

u32 daemon_wait_gone(u64 connection)
{
	unsigned int i;

	for (;;) {
		for (i = 0; i < nr_gones; i++)
			if (gones[i].connection == connection)
				return gones[i].reason;
		more_events("serve-gone");
	}
}

static u64 wanted_connection;
static struct conn_stats wanted_stats;
static unsigned int listed;

static void on_list(const struct nlmsghdr *h)
{
	const void *s[ORCHFS_A_SERVER_MAX + 1] = {};
	const struct nlattr *nest;
	struct attrs a;

	if (h->nlmsg_type != family ||
	    parse_msg(h, &a) != ORCHFS_CMD_SERVE_LIST ||
	    memcmp(a.at[ORCHFS_A_MSG_NS_UUID], ds_uuid, sizeof(ds_uuid)) ||
	    !a.at[ORCHFS_A_MSG_CONNECTION])
		return;
	listed++;
	if (get64(a.at[ORCHFS_A_MSG_CONNECTION]) != wanted_connection)
		return;
	nest = (const struct nlattr *)a.at[ORCHFS_A_MSG_SERVER] - 1;
	parse(nest + 1, nest->nla_len - NLA_HDRLEN, s, ORCHFS_A_SERVER_MAX);
	wanted_stats = (struct conn_stats){
		.connection = wanted_connection,
		.peer = get32(a.at[ORCHFS_A_MSG_PEER]),
		.requests = get64(s[ORCHFS_A_SERVER_REQUESTS]),
		.refused = get64(s[ORCHFS_A_SERVER_REFUSED]),
		.bytes_read = get64(s[ORCHFS_A_SERVER_BYTES_READ]),
		.bytes_written = get64(s[ORCHFS_A_SERVER_BYTES_WRITTEN]),
		.waits = get64(s[ORCHFS_A_SERVER_WAITS]),
		.in_flight = get32(s[ORCHFS_A_SERVER_IN_FLIGHT]),
		.handles = get32(s[ORCHFS_A_SERVER_HANDLES]),
		.held = get32(s[ORCHFS_A_SERVER_HELD]),
		.held_most = get32(s[ORCHFS_A_SERVER_HELD_MOST]),
	};
}

bool daemon_stats(u64 connection, struct conn_stats *stats)
{
	static struct msg m;
	int ret;

	memset(&wanted_stats, 0, sizeof(wanted_stats));
	wanted_connection = connection;
	listed = 0;
	nl_answer = on_list;
	msg_start(&m, family, NLM_F_DUMP, ORCHFS_CMD_SERVE_LIST);
	ret = call(nl_fd, &m);
	nl_answer = NULL;
	must(!ret, "serve-list: %s", strerror(-ret));
	*stats = wanted_stats;
	return stats->connection;
}

unsigned int daemon_connections(void)
{
	struct conn_stats stats;

	daemon_stats(0, &stats);
	return listed;
}

/* A socket of its own, on which a part of the list is as small as can be. */
unsigned int daemon_list(u64 *ids, unsigned int max, void (*meanwhile)(void))
{
	static struct msg m;
	struct timeval tv = { .tv_sec = WAIT_SECONDS };
	unsigned int nr = 0, parts = 0;
	int fd = nl_open();
	struct nlmsghdr *h;
	struct attrs a;
	bool end = false;
	ssize_t n;

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	msg_start(&m, family, NLM_F_DUMP, ORCHFS_CMD_SERVE_LIST);
	must(send(fd, &m, m.h.nlmsg_len, 0) > 0, "serve-list: %m");
	while (!end) {
		n = recv(fd, &m, 4096, 0);
		must(n > 0, "serve-list: %m");
		for (h = &m.h; NLMSG_OK(h, n); h = NLMSG_NEXT(h, n)) {
			end |= h->nlmsg_type == NLMSG_DONE;
			if (h->nlmsg_type != family)
				continue;
			parse_msg(h, &a);
			if (a.at[ORCHFS_A_MSG_CONNECTION] && nr < max)
				ids[nr++] =
					get64(a.at[ORCHFS_A_MSG_CONNECTION]);
		}
		if (!parts++)
			meanwhile();
	}
	close(fd);
	must(parts > 3, "all came in %u parts", parts);
	return nr;
}
