// SPDX-License-Identifier: Apache-2.0
/* Attaching to the module, again when it comes back, and resynchronising. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include <linux/genetlink.h>
#include <netlink/genl/ctrl.h>
#include <netlink/genl/genl.h>
#include <netlink/netlink.h>

#include "agent.h"
#include "data.h"
#include "exec.h"
#include "log.h"
#include "mover.h"
#include "nl.h"
#include "served.h"

#define DUMP_TRIES	10
#define ASKS_MS		10000	/* for what waits in the kernel to come */

static void nl_readable(struct loop_source *s, uint32_t events)
{
	struct served *sv = container_of(s, struct served, nl_source);
	int rc;

	(void)events;
	rc = channel_receive(&sv->ch, 64, nl_ops_event, sv);
	if (rc < 0 && sv->attached) {
		log_warn(sv->name, "channel lost: %s", strerror(-rc));
		attach_lost(sv);
	}
}

void attach_lost(struct served *sv)
{
	if (sv->attached) {
		loop_del(&sv->loop, &sv->nl_source);
		exec_own_lost(sv);
	}
	sv->attached = false;
	channel_close(&sv->ch);
	data_lost(sv);
	nl_ops_lost(sv);
	atomic_store(&sv->mounts, 0);
	sv->told_durable = 0;
	sv->need_resync = false;
	sv->need_detach = false;
	sv->notes_lost = false;
	if (!sv->stopping)
		served_set_state(sv, SERVED_WAITING, "module orchfs is not "
				 "loaded: modprobe orchfs");
}

struct dump {
	struct served *sv;
	int rc;
	struct held *held;
};

static void dump_mount(void *ctx, struct nlmsghdr *nlh)
{
	struct dump *d = ctx;
	struct nl_mount m;

	if (nl_decode_mount(nlh, &m) < 0) {
		d->rc = -EPROTO;
		return;
	}
	if (memcmp(m.uuid, d->sv->uuid, 16) || !m.session)
		return;
	if (d->held->nr_sessions < HELD_SESSIONS_MAX)
		d->held->sessions[d->held->nr_sessions++] = m.session;
}

int held_push(struct held *held, const struct ns_handle *h)
{
	if (held->nr == held->max) {
		size_t max = held->max * 2 + 1024;
		void *p = realloc(held->handles, max * sizeof(*held->handles));

		if (!p)
			return -ENOMEM;
		held->handles = p;
		held->max = max;
	}
	held->handles[held->nr++] = *h;
	return 0;
}

static void dump_handle(void *ctx, struct nlmsghdr *nlh)
{
	struct dump *d = ctx;
	struct ns_handle h;
	int rc = nl_decode_handle(nlh, &h);

	if (!rc)
		rc = held_push(d->held, &h);
	if (rc < 0)
		d->rc = rc;
}

static int dump_all(struct served *sv, struct held *held, uint8_t cmd,
		    channel_fn fn)
{
	struct dump d = { .sv = sv, .held = held };
	struct channel *ch = &sv->ch;
	int rc = -EINTR;

	for (int i = 0; rc == -EINTR && i < DUMP_TRIES; i++) {
		held->nr = 0;
		if (cmd == ORCHFS_CMD_MOUNTS)
			held->nr_sessions = 0;
		d.rc = 0;
		rc = channel_call(ch, nl_encode_dump(ch->family, cmd), fn, &d);
		if (!rc)
			rc = d.rc;
	}
	return rc;
}

int attach_held(struct served *sv, struct held *held)
{
	int rc;

	rc = dump_all(sv, held, ORCHFS_CMD_MOUNTS, dump_mount);
	if (!rc)
		rc = dump_all(sv, held, ORCHFS_CMD_HANDLES, dump_handle);
	if (!rc)
		atomic_store(&sv->mounts, (unsigned int)held->nr_sessions);
	return rc;
}

static void dump_lock(void *ctx, struct nlmsghdr *nlh)
{
	struct held_locks *h = ctx;
	struct op_locks v;
	int rc;

	rc = nl_decode_locks(nlh, &v);
	if (!rc && h->nr == h->max) {
		size_t max = h->max * 2 + 256;
		void *p = realloc(h->v, max * sizeof(*h->v));

		if (p) {
			h->v = p;
			h->max = max;
		} else {
			free(v.l);
			rc = -ENOMEM;
		}
	}
	if (!rc)
		h->v[h->nr++] = v;
	else
		h->rc = rc;
}

static void held_locks_clear(struct held_locks *h)
{
	while (h->nr)
		free(h->v[--h->nr].l);
	h->rc = 0;
}

void held_locks_free(struct held_locks *h)
{
	held_locks_clear(h);
	free(h->v);
	h->v = NULL;
	h->max = 0;
}

int attach_locks(struct served *sv, struct held_locks *h)
{
	struct channel *ch = &sv->ch;
	int rc = -EINTR;

	for (int i = 0; rc == -EINTR && i < DUMP_TRIES; i++) {
		held_locks_clear(h);
		rc = channel_call(ch, nl_encode_dump(ch->family,
						     ORCHFS_CMD_LOCKS),
				  dump_lock, h);
		if (!rc)
			rc = h->rc;
	}
	return rc;
}

/*
 * While a namespace is served, a reply may be on its way to a task that has
 * not made its inode yet: those count as held. Their own forget or return
 * notice follows.
 */
static int held_recent(struct served *sv, struct held *held)
{
	struct ns_handle h = { .opens = 1 };
	int rc = 0;

	for (size_t i = 0; i < RECENT_MAX && !rc; i++) {
		h.ino = sv->recent[i];
		if (h.ino)	/* listed twice it is held as well */
			rc = held_push(held, &h);
	}
	return rc;
}

static int reconcile(struct served *sv, bool live)
{
	struct held held = { .nr = 0 };
	int rc;

	rc = attach_held(sv, &held);
	if (!rc && live)
		rc = held_recent(sv, &held);
	if (!rc) {
		rc = ns_reconcile(sv->ns, 0, held.sessions, held.nr_sessions,
				  held.handles, held.nr);
		if (rc < 0)
			log_err(sv->name, "reconciling with the kernel's open "
				"files: %s", strerror(-rc));
		sv->own_mount = held.nr_sessions ? held.sessions[0] : 0;
		sv->asks_until = now_ms() + ASKS_MS;
	}
	free(held.handles);
	served_txn(sv);
	return rc;
}

void attach_asked(struct served *sv, uint32_t origin)
{
	int rc = ns_asked(sv->ns, origin);

	if (rc < 0)
		log_err(sv->name, "collecting files without names: %s",
			strerror(-rc));
	served_txn(sv);
}

void attach_tick(struct served *sv)
{
	if (!sv->attached || !sv->asks_until || now_ms() < sv->asks_until)
		return;
	sv->asks_until = 0;
	attach_asked(sv, 0);
}

void attach_resync(struct served *sv)
{
	int rc;

	sv->need_resync = false;
	rc = reconcile(sv, true);
	if (!rc)
		rc = data_attached(sv);
	if (rc < 0) {
		log_warn(sv->name, "resynchronising failed: %s; attaching "
			 "anew", strerror(-rc));
		attach_lost(sv);
		sv->need_attach = true;
		return;
	}
	channel_deferred(&sv->ch, nl_ops_event, sv);
}

channel_fn attach_events(const struct served *sv)
{
	return sv->agent ? agent_event : nl_ops_event;
}

int attach_count_mounts(struct served *sv)
{
	struct held held = { .nr = 0 };
	int rc;

	if (!sv->attached)
		return 0;
	rc = dump_all(sv, &held, ORCHFS_CMD_MOUNTS, dump_mount);
	channel_deferred(&sv->ch, attach_events(sv), sv);
	if (rc < 0)
		return rc;
	atomic_store(&sv->mounts, (unsigned int)held.nr_sessions);
	return (int)held.nr_sessions;
}

static void attached_reply(void *ctx, struct nlmsghdr *nlh)
{
	struct nl_attached *a = ctx;

	if (nl_decode_attached(nlh, a) < 0)
		memset(a, 0, sizeof(*a));
}

void attach_why(struct served *sv, int rc, const char *remedy,
		char text[VOLUME_WHY])
{
	snprintf(text, VOLUME_WHY, "the kernel refuses to attach namespace "
		 "%s: %s; %s", sv->name,
		 sv->ch.error[0] ? sv->ch.error : strerror(-rc), remedy);
}

int attach_hello(struct served *sv, uint64_t incarnation,
		 struct nl_attached *a, const char **remedy)
{
	struct channel *ch = &sv->ch;
	int rc;

	memset(a, 0, sizeof(*a));
	rc = channel_call(ch, nl_encode_attach(ch->family, sv->uuid, sv->name,
					       incarnation),
			  attached_reply, a);
	if (!rc && a->version != ORCHFS_PROTOCOL_VERSION)
		rc = -EPROTO;
	switch (rc) {
	case -EPERM:
		*remedy = "run orchd as root in the initial user namespace";
		break;
	case -EBUSY:
		*remedy = "another orchd serves it: stop that one";
		break;
	case -EPROTO:
		*remedy = "install module and orchd of the same release";
		break;
	case -EINVAL:
		*remedy = "choose another name";
		break;
	default:
		*remedy = NULL;
	}
	return rc;
}

static int attach_serve(struct served *sv)
{
	struct channel *ch = &sv->ch;
	struct nl_attached a;
	char text[VOLUME_WHY];
	const char *remedy;
	int rc;

	/* another one where the kernel missed what other nodes changed */
	rc = attach_hello(sv, ns_incarnation(sv->ns) + (sv->missed << 32), &a,
			  &remedy);
	if (rc && remedy) {
		attach_why(sv, rc, remedy, text);
		served_set_state(sv, SERVED_REFUSED, text);
		sv->stopping = true;
	}
	if (!rc)
		rc = reconcile(sv, false);
	if (!rc)
		rc = lock_own(sv);
	if (!rc)
		rc = data_attached(sv);
	if (rc)
		return rc;
	sv->nl_source.fd = ch->fd;
	sv->nl_source.fn = nl_readable;
	rc = loop_add(&sv->loop, &sv->nl_source, EPOLLIN);
	if (rc < 0)
		return rc;
	sv->attached = true;
	memset(sv->recent, 0, RECENT_MAX * sizeof(*sv->recent));
	sv->told_durable = store_durable(sv->st);
	/*
	 * What the kernel has waiting comes at once, and may leave no room for
	 * an answer. A refusal always finds some, and is an event like others.
	 */
	rc = channel_send(ch, nl_encode_durable(ch->family, ORCHFS_CMD_READY,
						sv->told_durable, 0), NULL);
	if (!rc)
		rc = sessions_attached(sv);
	if (!rc)
		channel_deferred(ch, nl_ops_event, sv);
	return rc;
}

void attach_tell(struct served *sv)
{
	char text[VOLUME_WHY] = "";
	struct volume *v;

	for (v = sv->volumes; v && !text[0]; v = v->next)
		if (v->problem[0])
			strcpy(text, v->problem);
	if (!text[0] && sv->damaged)
		snprintf(text, sizeof(text), "%llu backing files are missing: "
			 "run orchctl fsck", (unsigned long long)sv->damaged);
	served_set_state(sv, SERVED_SERVING, text);
}

void attach_try(struct served *sv)
{
	char text[VOLUME_WHY];
	int rc;

	if (sv->attached || sv->held_back)
		return;
	rc = channel_open(&sv->ch);
	sv->no_module = rc == -ENOENT;
	if (rc == -ENOENT) {
		attach_lost(sv);
		sv->own_mount = 0;
		lease_own_back(sv->lease);
		return;
	}
	if (!rc)
		rc = attach_serve(sv);
	if (!rc) {
		attach_tell(sv);
		mover_kick(sv);
		return;
	}
	if (sv->stopping)
		return;
	snprintf(text, sizeof(text), "attaching to module orchfs: %s; it is "
		 "tried again each second",
		 sv->ch.error[0] ? sv->ch.error : strerror(-rc));
	attach_lost(sv);
	served_set_state(sv, SERVED_WAITING, text);
}

/* The generic netlink controller tells when a family comes or goes. */
static void family_readable(struct loop_source *s, uint32_t events)
{
	struct served *sv = container_of(s, struct served, family_source);

	(void)events;
	nl_recvmsgs_default(sv->family_sk);
}

static int family_event(struct nl_msg *m, void *arg)
{
	static struct nla_policy policy[CTRL_ATTR_MAX + 1] = {
		[CTRL_ATTR_FAMILY_NAME] = { .type = NLA_STRING },
	};
	struct nlattr *tb[CTRL_ATTR_MAX + 1];
	struct nlmsghdr *nlh = nlmsg_hdr(m);
	struct served *sv = arg;

	if (nlh->nlmsg_type != GENL_ID_CTRL || !genlmsg_valid_hdr(nlh, 0) ||
	    genlmsg_parse(nlh, 0, tb, CTRL_ATTR_MAX, policy) < 0 ||
	    !tb[CTRL_ATTR_FAMILY_NAME] ||
	    strcmp(nla_get_string(tb[CTRL_ATTR_FAMILY_NAME]),
		   ORCHFS_FAMILY_NAME))
		return NL_OK;
	switch (genlmsg_hdr(nlh)->cmd) {
	case CTRL_CMD_DELFAMILY:
		log_info(sv->name, "module orchfs was unloaded");
		if (sv->agent)
			agent_lost(sv, "there is no kernel any more");
		else
			attach_lost(sv);
		break;
	case CTRL_CMD_NEWFAMILY:
		sv->need_attach = true;
		break;
	}
	return NL_OK;
}

int family_watch(struct served *sv)
{
	struct nl_sock *sk = nl_socket_alloc();
	int group;

	if (!sk)
		return -ENOMEM;
	if (genl_connect(sk) < 0)
		goto fail;
	group = genl_ctrl_resolve_grp(sk, "nlctrl", "notify");
	if (group < 0 || nl_socket_add_membership(sk, group) < 0)
		goto fail;
	nl_socket_disable_seq_check(sk);
	nl_socket_set_nonblocking(sk);
	nl_socket_modify_cb(sk, NL_CB_VALID, NL_CB_CUSTOM, family_event, sv);
	sv->family_sk = sk;
	sv->family_source.fd = nl_socket_get_fd(sk);
	sv->family_source.fn = family_readable;
	return loop_add(&sv->loop, &sv->family_source, EPOLLIN);
fail:
	nl_socket_free(sk);
	return -EIO;	/* unloading is then seen at the next message */
}

void family_unwatch(struct served *sv)
{
	if (sv->family_sk)
		nl_socket_free(sv->family_sk);
	sv->family_sk = NULL;
}
