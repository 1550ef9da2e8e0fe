// SPDX-License-Identifier: Apache-2.0
/* What the own kernel sends beside requests. Namespace thread. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/netlink.h>

#include "data.h"
#include "exec.h"
#include "log.h"
#include "nl.h"

void nl_ops_lost(struct served *sv)
{
	flush_drop(sv, 0, 0);
	answer_drop(sv, 0, 0);
	exec_drop(sv, 0, 0);
	lock_drop(sv, 0);
	swaps_lost(sv);
}

void nl_ops_poll(struct served *sv)
{
	uint64_t durable = store_durable(sv->st);
	int rc;

	sv->ch.overrun = false;
	rc = channel_send(&sv->ch, nl_encode_durable(sv->ch.family,
						     ORCHFS_CMD_POLL, durable,
						     NL_LEASE_KEEP), NULL);
	if (rc < 0)
		log_warn(sv->name, "cannot poll the kernel: %s",
			 strerror(-rc));
	else
		sv->told_durable = durable;
}

static int do_notes(void *ctx, const struct ns_note *notes, size_t nr)
{
	return exec_notes(ctx, 0, notes, nr);
}

static void do_notice(struct served *sv, struct nlmsghdr *nlh)
{
	int rc = nl_decode_notices(nlh, do_notes, sv);

	if (!rc)
		return;
	log_err(sv->name, "notices of the kernel: %s", strerror(-rc));
	/* what they said is asked for when something can be committed again */
	if (rc == -ENOSPC || rc == -ENOMEM || rc == -ENOBUFS ||
	    rc == -EAGAIN) {
		sv->notes_lost = true;
		sv->notes_lost_txn = ns_txn(sv->ns);
	}
}

void nl_ops_tick(struct served *sv)
{
	if (!sv->ns || !sv->notes_lost || ns_txn(sv->ns) == sv->notes_lost_txn)
		return;
	sv->notes_lost = false;
	sv->need_resync = true;
}

int nl_ops_layout_set(struct served *sv, struct swap *s, uint64_t ino,
		      const struct op_layout *lay, uint32_t timeout_ms)
{
	struct volume *v = served_volume(sv, lay->volume);
	int fd, rc;

	if (lay->home)		/* elsewhere, by a token */
		return swap_send(sv, s, ino, lay, -1, timeout_ms);
	fd = v ? backing_open(v, ino, lay->version, lay->instance) : -EIO;
	if (fd < 0) {
		snprintf(s->text, sizeof(s->text), "its backing file on "
			 "volume %s: %s", v ? v->rec.name : "(gone)",
			 v && !volume_online(v) ? "the volume is not in use" :
			 strerror(-fd));
		/* the kernel alone says that it holds no layout */
		return fd == -ENOENT ? -EIO : fd;
	}
	rc = swap_send(sv, s, ino, lay, fd, timeout_ms);
	close(fd);
	return rc;
}

void nl_ops_refused(struct served *sv, uint32_t seq, int error)
{
	log_err(sv->name, "the kernel refused message %u: %s%s%s",
		seq, strerror(-error), sv->ch.error[0] ? ": " : "",
		sv->ch.error);
}

static void do_error(struct served *sv, struct nlmsghdr *nlh)
{
	int error = channel_error(&sv->ch, nlh);

	if (swap_error(sv, nlh->nlmsg_seq, error) || !error)
		return;
	/* of a poll, maybe not of the last one */
	if (error == -ESTALE) {
		log_warn(sv->name, "the kernel dropped notices: reading its "
			 "open files again");
		sv->need_resync = true;
		return;
	}
	if (error == -ENOENT || error == -ENOTCONN) {
		log_warn(sv->name, "the kernel no longer knows this daemon: "
			 "attaching again");
		attach_lost(sv);
		sv->need_attach = true;
		return;
	}
	nl_ops_refused(sv, nlh->nlmsg_seq, error);
}

void nl_ops_event(void *ctx, struct nlmsghdr *nlh)
{
	struct served *sv = ctx;

	if (data_event(sv, nlh))
		return;
	if (nlh->nlmsg_type == NLMSG_ERROR) {
		do_error(sv, nlh);
		return;
	}
	if (nlh->nlmsg_type != sv->ch.family)
		return;
	switch (nl_cmd(nlh)) {
	case ORCHFS_CMD_REQUEST:
		exec_kernel(sv, nlh);
		break;
	case ORCHFS_CMD_NOTICE:
		do_notice(sv, nlh);
		break;
	case ORCHFS_CMD_LOCK_HELD:
		lock_event(sv, nlh);
		break;
	case ORCHFS_CMD_LAYOUT_DONE:
		swap_event(sv, nlh);
		break;
	}
}
