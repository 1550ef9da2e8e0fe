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

static void lose_swaps(struct served *sv);

void nl_ops_lost(struct served *sv)
{
	flush_drop(sv, 0, 0);
	answer_drop(sv, 0, 0);
	exec_drop(sv, 0, 0);
	lock_drop(sv, 0);
	lose_swaps(sv);
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

static void swap_unlink_locked(struct served *sv, struct swap *s)
{
	struct swap **p;

	for (p = &sv->swaps; *p; p = &(*p)->next) {
		if (*p == s) {
			*p = s->next;
			break;
		}
	}
}

int nl_ops_layout_set(struct served *sv, struct swap *s, uint64_t ino,
		      const struct op_layout *lay, uint32_t timeout_ms)
{
	struct volume *v = served_volume(sv, lay->volume);
	int fd, rc;

	fd = v ? backing_open(v, ino, lay->version, lay->instance) : -EIO;
	if (fd < 0) {
		snprintf(s->text, sizeof(s->text), "its backing file on "
			 "volume %s: %s", v ? v->rec.name : "(gone)",
			 v && !volume_online(v) ? "the volume is not in use" :
			 strerror(-fd));
		/* the kernel alone says that it holds no layout */
		return fd == -ENOENT ? -EIO : fd;
	}
	pthread_mutex_lock(&sv->lock);
	s->id = ++sv->next_swap;
	s->next = sv->swaps;
	sv->swaps = s;
	pthread_mutex_unlock(&sv->lock);
	rc = channel_send(&sv->ch,
			  nl_encode_layout_set(sv->ch.family, s->id, ino, lay,
					       fd, timeout_ms), &s->seq);
	close(fd);
	if (rc < 0) {
		pthread_mutex_lock(&sv->lock);
		swap_unlink_locked(sv, s);
		pthread_mutex_unlock(&sv->lock);
	}
	return rc;
}

/* The swap that matches has ended; one with fn is not in the list then. */
static bool swap_ended(struct served *sv, bool (*match)(const struct swap *,
							const void *),
		       const void *key, int status, uint32_t writers,
		       const char *text)
{
	struct swap *s;
	bool mine;

	pthread_mutex_lock(&sv->lock);
	for (s = sv->swaps; s && (s->done || !match(s, key)); s = s->next)
		;
	mine = s && s->fn;
	if (s) {
		s->done = true;
		s->status = status;
		s->writers = writers;
		snprintf(s->text, sizeof(s->text), "%s", text);
		pthread_cond_broadcast(&sv->changed);
	}
	if (mine)
		swap_unlink_locked(sv, s);
	pthread_mutex_unlock(&sv->lock);
	if (mine)
		s->fn(sv, s);
	return s;
}

static bool match_id(const struct swap *s, const void *id)
{
	return s->id == *(const uint64_t *)id;
}

static bool match_seq(const struct swap *s, const void *seq)
{
	return s->seq == *(const uint32_t *)seq;
}

static bool match_fn(const struct swap *s, const void *key)
{
	(void)key;
	return s->fn;
}

void nl_ops_swap_lost(struct served *sv, struct swap *s)
{
	swap_ended(sv, match_id, &s->id, -ENOTCONN, 0, "");
}

static void lose_swaps(struct served *sv)
{
	while (swap_ended(sv, match_fn, NULL, -ENOTCONN, 0, ""))
		;
}

void nl_ops_drop_swaps(struct served *sv)
{
	struct swap **p;

	pthread_mutex_lock(&sv->lock);
	for (p = &sv->swaps; *p; ) {
		if ((*p)->fn)
			*p = (*p)->next;
		else
			p = &(*p)->next;
	}
	pthread_mutex_unlock(&sv->lock);
}

static void do_layout_done(struct served *sv, struct nlmsghdr *nlh)
{
	struct nl_layout_done d;

	if (nl_decode_layout_done(nlh, &d) < 0)
		return;
	swap_ended(sv, match_id, &d.id, d.status, d.writers, "");
}

/* An acknowledgement isn't the end, an error is. */
static bool swap_failed(struct served *sv, uint32_t seq, int error)
{
	bool found = false;
	struct swap *s;

	if (error)
		return swap_ended(sv, match_seq, &seq, error, 0, sv->ch.error);
	pthread_mutex_lock(&sv->lock);
	for (s = sv->swaps; s && !found; s = s->next)
		found = s->seq == seq && !s->done;
	pthread_mutex_unlock(&sv->lock);
	return found;
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

	if (swap_failed(sv, nlh->nlmsg_seq, error) || !error)
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
		do_layout_done(sv, nlh);
		break;
	}
}
