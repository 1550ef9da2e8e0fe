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

#include "data.h"
#include "log.h"
#include "mover.h"
#include "nl.h"
#include "served.h"

#define DUMP_TRIES	10

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
	if (sv->attached)
		loop_del(&sv->loop, &sv->nl_source);
	sv->attached = false;
	channel_close(&sv->ch);
	data_lost(sv);
	nl_ops_drop_waiters(sv);
	flush_drop(sv);
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
	uint64_t sessions[64];
	size_t nr_sessions;
	struct ns_handle *handles;
	size_t nr, max;
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
	if (d->nr_sessions < 64)
		d->sessions[d->nr_sessions++] = m.session;
}

static int dump_push(struct dump *d, const struct ns_handle *h)
{
	if (d->nr == d->max) {
		size_t max = d->max * 2 + 1024;
		void *p = realloc(d->handles, max * sizeof(*d->handles));

		if (!p)
			return -ENOMEM;
		d->handles = p;
		d->max = max;
	}
	d->handles[d->nr++] = *h;
	return 0;
}

static void dump_handle(void *ctx, struct nlmsghdr *nlh)
{
	struct dump *d = ctx;
	struct ns_handle h;
	int rc = nl_decode_handle(nlh, &h);

	if (!rc)
		rc = dump_push(d, &h);
	if (rc < 0)
		d->rc = rc;
}

static int dump_all(struct dump *d, uint8_t cmd, channel_fn fn)
{
	struct channel *ch = &d->sv->ch;
	int rc = -EINTR;

	for (int i = 0; rc == -EINTR && i < DUMP_TRIES; i++) {
		d->nr = 0;
		if (cmd == ORCHFS_CMD_MOUNTS)
			d->nr_sessions = 0;
		d->rc = 0;
		rc = channel_call(ch, nl_encode_dump(ch->family, cmd), fn, d);
		if (!rc)
			rc = d->rc;
	}
	return rc;
}

/*
 * While a namespace is served, a reply may be on its way to a task that has
 * not made its inode yet: those count as held. Their own forget or return
 * notice follows.
 */
static int dump_recent(struct dump *d)
{
	struct ns_handle h = { .opens = 1 };
	int rc = 0;

	for (size_t i = 0; i < RECENT_MAX && !rc; i++) {
		h.ino = d->sv->recent[i];
		if (h.ino)	/* listed twice it is held as well */
			rc = dump_push(d, &h);
	}
	return rc;
}

static int reconcile(struct served *sv, bool live)
{
	struct dump d = { .sv = sv };
	int rc;

	rc = dump_all(&d, ORCHFS_CMD_MOUNTS, dump_mount);
	if (!rc)
		rc = dump_all(&d, ORCHFS_CMD_HANDLES, dump_handle);
	if (!rc && live)
		rc = dump_recent(&d);
	if (!rc) {
		rc = ns_reconcile(sv->ns, 0, d.sessions, d.nr_sessions,
				  d.handles, d.nr);
		if (rc < 0)
			log_err(sv->name, "reconciling with the kernel's open "
				"files: %s", strerror(-rc));
	}
	if (!rc)
		atomic_store(&sv->mounts, (unsigned int)d.nr_sessions);
	free(d.handles);
	served_txn(sv);
	return rc;
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

int attach_count_mounts(struct served *sv)
{
	struct dump d = { .sv = sv };
	int rc;

	if (!sv->attached)
		return 0;
	rc = dump_all(&d, ORCHFS_CMD_MOUNTS, dump_mount);
	channel_deferred(&sv->ch, nl_ops_event, sv);
	if (rc < 0)
		return rc;
	atomic_store(&sv->mounts, (unsigned int)d.nr_sessions);
	return (int)d.nr_sessions;
}

static void attached_reply(void *ctx, struct nlmsghdr *nlh)
{
	struct nl_attached *a = ctx;

	if (nl_decode_attached(nlh, a) < 0)
		memset(a, 0, sizeof(*a));
}

static int attach_refuse(struct served *sv, int rc, const char *remedy)
{
	char text[VOLUME_WHY];

	snprintf(text, sizeof(text), "the kernel refuses to attach namespace "
		 "%s: %s; %s", sv->name,
		 sv->ch.error[0] ? sv->ch.error : strerror(-rc), remedy);
	served_set_state(sv, SERVED_REFUSED, text);
	sv->stopping = true;
	return rc;
}

static int attach_hello(struct served *sv)
{
	struct nl_attached a = { 0 };
	struct channel *ch = &sv->ch;
	int rc;

	rc = channel_call(ch, nl_encode_attach(ch->family, sv->uuid, sv->name,
					       ns_incarnation(sv->ns)),
			  attached_reply, &a);
	switch (rc) {
	case 0:
		break;
	case -EPERM:
		return attach_refuse(sv, rc, "run orchd as root in the "
				     "initial user namespace");
	case -EBUSY:
		return attach_refuse(sv, rc, "another orchd serves it: stop "
				     "that one");
	case -EPROTO:
		return attach_refuse(sv, rc, "install module and orchd of the "
				     "same release");
	case -EINVAL:
		return attach_refuse(sv, rc, "choose another name");
	default:
		return rc;
	}
	if (a.version != ORCHFS_PROTOCOL_VERSION)
		return attach_refuse(sv, -EPROTO, "install module and orchd "
				     "of the same release");
	return 0;
}

static int attach_serve(struct served *sv)
{
	struct channel *ch = &sv->ch;
	int rc;

	rc = attach_hello(sv);
	if (!rc)
		rc = reconcile(sv, false);
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
