// SPDX-License-Identifier: Apache-2.0
/* The dump "mounts" of the module's netlink family. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <netlink/errno.h>
#include <netlink/genl/ctrl.h>
#include <netlink/genl/genl.h>
#include <netlink/netlink.h>

#include "orchctl.h"
#include "kernel.h"

const char *const kind_names[NR_KINDS] = {
	[ORCHFS_KIND_MOUNT] = "mount",
	[ORCHFS_KIND_LOOKUP] = "lookup",
	[ORCHFS_KIND_GETATTR] = "getattr",
	[ORCHFS_KIND_OPEN] = "open",
	[ORCHFS_KIND_CREATE] = "create",
	[ORCHFS_KIND_LINK] = "link",
	[ORCHFS_KIND_UNLINK] = "unlink",
	[ORCHFS_KIND_RENAME] = "rename",
	[ORCHFS_KIND_SETATTR] = "setattr",
	[ORCHFS_KIND_READDIR] = "readdir",
	[ORCHFS_KIND_GETXATTR] = "getxattr",
	[ORCHFS_KIND_SETXATTR] = "setxattr",
	[ORCHFS_KIND_LISTXATTR] = "listxattr",
	[ORCHFS_KIND_BARRIER] = "barrier",
	[ORCHFS_KIND_STATFS] = "statfs",
	[ORCHFS_KIND_NOTE_FORGET] = "note-forget",
	[ORCHFS_KIND_NOTE_ATTR] = "note-attr",
	[ORCHFS_KIND_NOTE_RETURN] = "note-return",
	[ORCHFS_KIND_NOTE_UMOUNT] = "note-umount",
	[ORCHFS_KIND_LOCK] = "lock",
};

struct dump {
	struct kernel_ns *ns;
	size_t nr;
};

static void parse_counter(struct kernel_ns *ns, struct nlattr *nest)
{
	struct nlattr *tb[ORCHFS_A_COUNTER_MAX + 1];
	uint32_t kind;

	if (nla_parse_nested(tb, ORCHFS_A_COUNTER_MAX, nest, NULL) < 0 ||
	    !tb[ORCHFS_A_COUNTER_KIND])
		return;
	kind = nla_get_u32(tb[ORCHFS_A_COUNTER_KIND]);
	if (kind >= NR_KINDS)
		return;		/* of a newer module */
	if (tb[ORCHFS_A_COUNTER_COUNT])
		ns->count[kind] = nla_get_u64(tb[ORCHFS_A_COUNTER_COUNT]);
	if (tb[ORCHFS_A_COUNTER_ERRORS])
		ns->errors[kind] = nla_get_u64(tb[ORCHFS_A_COUNTER_ERRORS]);
}

static void parse_attr(struct kernel_ns *ns, struct nlattr *a)
{
	switch (nla_type(a)) {
	case ORCHFS_A_MSG_NS_NAME:
		nla_strlcpy(ns->name, a, sizeof(ns->name));
		break;
	case ORCHFS_A_MSG_NS_UUID:
		nla_memcpy(ns->uuid, a, sizeof(ns->uuid));
		break;
	case ORCHFS_A_MSG_SESSION:
		ns->session = nla_get_u64(a);
		break;
	case ORCHFS_A_MSG_STATE:
		ns->state = nla_get_u32(a);
		break;
	case ORCHFS_A_MSG_WAITING:
		ns->waiting = nla_get_u32(a);
		break;
	case ORCHFS_A_MSG_OPENS:
		ns->opens = nla_get_u32(a);
		break;
	case ORCHFS_A_MSG_COUNTER:
		parse_counter(ns, a);
		break;
	}
}

static int on_message(struct nl_msg *msg, void *arg)
{
	struct genlmsghdr *gh = nlmsg_data(nlmsg_hdr(msg));
	struct dump *d = arg;
	struct kernel_ns ns = { 0 }, *grown;
	struct nlattr *a;
	int rem;

	nla_for_each_attr(a, genlmsg_attrdata(gh, 0), genlmsg_attrlen(gh, 0),
			  rem)
		parse_attr(&ns, a);
	if (*opts.ns && strcmp(opts.ns, ns.name))
		return NL_OK;
	grown = realloc(d->ns, (d->nr + 1) * sizeof(ns));
	if (!grown)
		return -NLE_NOMEM;
	grown[d->nr++] = ns;
	d->ns = grown;
	return NL_OK;
}

static int dump(struct nl_sock *sk, int family, struct dump *d)
{
	struct nl_msg *msg = nlmsg_alloc();
	int err;

	if (!msg)
		return -NLE_NOMEM;
	nl_socket_modify_cb(sk, NL_CB_VALID, NL_CB_CUSTOM, on_message, d);
	if (!genlmsg_put(msg, NL_AUTO_PORT, NL_AUTO_SEQ, family, 0, NLM_F_DUMP,
			 ORCHFS_CMD_MOUNTS, ORCHFS_FAMILY_VERSION)) {
		nlmsg_free(msg);
		return -NLE_NOMEM;
	}
	err = nl_send_auto(sk, msg);
	nlmsg_free(msg);
	return err < 0 ? err : nl_recvmsgs_default(sk);
}

static int explain(int err)
{
	if (err == -NLE_PERM || err == -NLE_NOACCESS)
		return fail(RC_FAILED, "the kernel refuses: run orchctl as root (CAP_SYS_ADMIN)");
	return fail(RC_FAILED, "asking the kernel: %s", nl_geterror(err));
}

int kernel_namespaces(struct kernel_ns **out, size_t *nr)
{
	struct nl_sock *sk = nl_socket_alloc();
	struct dump d = { 0 };
	int err, family;

	if (!sk)
		return fail(RC_FAILED, "out of memory");
	err = genl_connect(sk);
	if (err)
		goto out;
	family = genl_ctrl_resolve(sk, ORCHFS_FAMILY_NAME);
	if (family < 0) {
		nl_socket_free(sk);
		return fail(RC_FAILED, "the kernel module is not loaded: modprobe orchfs");
	}
	err = dump(sk, family, &d);
out:
	nl_socket_free(sk);
	if (err < 0) {
		free(d.ns);
		return explain(err);
	}
	*out = d.ns;
	*nr = d.nr;
	return RC_OK;
}
