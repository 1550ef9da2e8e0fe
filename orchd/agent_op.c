// SPDX-License-Identifier: Apache-2.0
/* What passes between an agent's kernel and the authority. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/fs.h>
#include <linux/netlink.h>

#include "agent.h"
#include "arena.h"
#include "cluster.h"
#include "data.h"
#include "log.h"
#include "nl.h"
#include "nl_gen.h"
#include "op_wire.h"
#include "steward.h"

#define OP_MS		600000		/* then the link is of no use */
#define NOTES_MS	60000
#define LOCK_WAIT_MS	INT32_MAX	/* it may take as long as it likes */

/* A request of the kernel: under way, or in the queue. */
struct agent_op {
	struct agent_call c;		/* first: it is freed by that */
	struct agent_op *next;
	uint64_t id;
	uint32_t kind;
	bool lock_wait;
	struct nlmsghdr nlh;		/* and what belongs to it */
};

/* --- answers to the kernel --- */

static void remember(struct agent *ag, uint64_t ino)
{
	ag->recent[ag->recent_pos].ino = ino;
	ag->recent[ag->recent_pos].at = peer_now();
	ag->recent_pos = (ag->recent_pos + 1) % AGENT_RECENT;
}

static int send_reply(struct served *sv, uint64_t id,
		      const struct op_reply *rep, int fd)
{
	return channel_send(&sv->ch,
			    nl_encode_reply(sv->ch.family, id, rep,
					    sv->agency->durable, fd), NULL);
}

static void send_status(struct served *sv, uint64_t id, int status)
{
	struct op_reply rep = { .status = status };

	if (send_reply(sv, id, &rep, -1) < 0)
		sv->need_detach = true;	/* the kernel asks again */
}

/* --- layouts of files on this node's own volumes --- */

static bool is_own(const struct served *sv, const struct op_reply *rep)
{
	/* one without a token is of no use for a file elsewhere */
	return rep->has_layout && (!rep->layout.home || rep->layout.at_home ||
				   rep->layout.home == sv->cluster->node);
}

static bool told_done(struct served *sv, struct agent_call *c, int rc,
		      const char *why, peer_frame *f)
{
	(void)c;
	(void)f;
	/* it asks for what it wasn't told */
	if (rc < 0)
		log_warn(sv->name, "the authority doesn't hear of a file here: "
			 "%s", why);
	return false;
}

static int tell_authority(struct served *sv, peer_frame *f)
{
	struct agent_call *c = calloc(1, sizeof(*c));
	int rc = -ENOMEM;

	if (c) {
		c->done = told_done;
		rc = agent_ask(sv, c, f, NOTES_MS);
	}
	if (rc < 0)
		free(c);
	return rc;
}

/* Before its kernel has the file, so what that changes comes after it. */
static int tell_owned(struct served *sv, const struct op_reply *rep, int fd)
{
	Orchfs__Peer__Owned m = ORCHFS__PEER__OWNED__INIT;
	Orchfs__Peer__File file = ORCHFS__PEER__FILE__INIT;
	Orchfs__Peer__Stat stat_ = ORCHFS__PEER__STAT__INIT;
	peer_frame f = PEER_FRAME_INIT(OWNED);
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	file.ino = rep->attr.ino;
	file.version = rep->layout.version;
	file.instance = rep->layout.instance;
	stat_.size = (uint64_t)st.st_size;
	stat_.blocks = (uint64_t)st.st_blocks;
	stat_.mtime = st.st_mtim.tv_sec;
	stat_.mtime_nsec = (uint32_t)st.st_mtim.tv_nsec;
	stat_.ctime = st.st_ctim.tv_sec;
	stat_.ctime_nsec = (uint32_t)st.st_ctim.tv_nsec;
	m.volume = rep->layout.volume;
	m.file = &file;
	m.stat = &stat_;
	f.owned = &m;
	return tell_authority(sv, &f);
}

/* The volume's file system accounts to whom the file is of. */
static int set_owner(struct served *sv, struct volume *v,
		     const struct op_reply *rep, int fd)
{
	const struct orchfs_attr *a = &rep->attr;
	struct ns_owner o = { .uid = a->uid, .gid = a->gid,
			      .projid = a->projid, .force = true };
	struct fsxattr x = { .fsx_projid = 0 };
	struct stat st;
	int rc;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (ioctl(fd, FS_IOC_FSGETXATTR, &x) < 0)
		x.fsx_projid = 0;	/* it knows no projects */
	/* without one it stays what the volume's directory says */
	o.project = a->projid && x.fsx_projid != a->projid;
	if (!o.project && st.st_uid == a->uid && st.st_gid == a->gid)
		return 0;
	rc = backing_own(v, a->ino, rep->layout.version, rep->layout.instance,
			 &o);
	if (rc < 0)	/* it is accounted to another, no more */
		log_warn(sv->name, "volume %s: inode %llu is not given to "
			 "%u:%u: %s", v->rec.name, (unsigned long long)a->ino,
			 a->uid, a->gid, strerror(-rc));
	return tell_owned(sv, rep, fd);
}

/* The authority thinks that this kernel has it. */
static void without_layout(struct served *sv, uint32_t kind,
			   struct op_reply *rep, int rc)
{
	struct ns_note n = {
		.kind = ORCHFS_KIND_NOTE_RETURN, .node = rep->attr.ino,
		.generation = rep->layout.generation,
	};
	peer_frame f = PEER_FRAME_INIT(NOTES);
	struct arena *a = arena_new();

	f.notes = a ? op_wire_notes(a, &n, 1) : NULL;
	if (!f.notes || tell_authority(sv, &f) < 0)
		sv->need_detach = true;		/* the handles tell it */
	arena_free(a);
	rep->has_layout = false;
	if (kind != ORCHFS_KIND_OPEN)
		return;
	rep->has_attr = false;
	rep->status = rc == -EMFILE || rc == -ENFILE || rc == -EROFS ||
		      rc == -ENOMEM ? rc : -EIO;
}

/* Return: the backing file, or -1 and @rep tells why. */
static int open_layout(struct served *sv, uint32_t kind, struct op_reply *rep)
{
	struct op_layout *l = &rep->layout;
	struct volume *v = served_volume(sv, l->volume);
	uint64_t ino = rep->attr.ino;
	int fd, rc = 0;

	fd = v ? backing_open(v, ino, l->version, l->instance) : -EIO;
	if (fd == -EROFS && !l->writable)
		fd = backing_open_read(v, ino, l->version, l->instance);
	else if (fd >= 0)
		rc = set_owner(sv, v, rep, fd);
	l->home = 0;
	l->at_home = false;
	if (fd >= 0 && rc == -ENOMEM) {
		close(fd);
		fd = rc;
	}
	if (fd >= 0)
		return fd;
	log_err(sv->name, "inode %llu: backing file %llx.%llx.%llx on volume "
		"%s: %s", (unsigned long long)ino, (unsigned long long)ino,
		(unsigned long long)l->version,
		(unsigned long long)l->instance, v ? v->rec.name : "(gone)",
		v && !volume_online(v) ? "the volume is not in use" :
		fd == -ENOENT ? "missing" : strerror(-fd));
	without_layout(sv, kind, rep, fd);
	return -1;
}

/* Answers that wait until it is known whether a volume can be used. */
struct agent_kept {
	struct agent_kept *next;
	uint64_t id, ino;
	uint32_t kind;
	size_t len;
	uint8_t reply[];		/* OpReply, packed */
};

static void keep(struct served *sv, uint64_t id, uint32_t kind, uint64_t ino,
		 const Orchfs__Peer__OpReply *m)
{
	struct agent *ag = sv->agency;
	size_t len = orchfs__peer__op_reply__get_packed_size(m);
	struct agent_kept *k = calloc(1, sizeof(*k) + len);

	if (!k) {
		sv->need_detach = true;
		return;
	}
	k->id = id;
	k->ino = ino;
	k->kind = kind;
	k->len = orchfs__peer__op_reply__pack(m, k->reply);
	*ag->kept_tail = k;
	ag->kept_tail = &k->next;
}

static void answer(struct served *sv, uint64_t id, uint32_t kind,
		   struct op_reply *rep)
{
	struct agent *ag = sv->agency;
	int rc, fd = -1;

	/* a node is answered when it is durable */
	if (rep->txn > ag->durable)
		ag->durable = rep->txn;
	if (is_own(sv, rep) && !rep->status)
		fd = open_layout(sv, kind, rep);
	if (!rep->status && rep->has_attr &&
	    (rep->has_layout || !rep->attr.nlink))
		remember(ag, rep->attr.ino);
	if (rep->has_attr2 && !rep->attr2.nlink)
		remember(ag, rep->attr2.ino);
	rc = send_reply(sv, id, rep, fd);
	if (fd >= 0)
		close(fd);	/* the kernel has taken its own reference */
	if (rc == -ENOMEM || rc == -ENOBUFS || rc == -EAGAIN)
		sv->need_detach = true;
	else if (rc < 0)
		send_status(sv, id, rc == -EMSGSIZE ? -EIO : rc);
}

static void hear_op(struct served *sv, uint64_t id, uint32_t kind,
		    const Orchfs__Peer__OpReply *m)
{
	struct op_reply rep = { .arena = sv->agency->arena };
	int rc = -EPROTO;

	arena_reset(rep.arena);
	if (m)
		rc = op_wire_get_reply(m, &rep);
	if (!rc && !rep.status && is_own(sv, &rep) &&
	    steward_waits(sv, rep.layout.volume)) {
		keep(sv, id, kind, rep.attr.ino, m);
		return;
	}
	if (!rc) {
		answer(sv, id, kind, &rep);
		return;
	}
	log_err(sv->name, "the authority's answer to request %llu: %s",
		(unsigned long long)id, strerror(-rc));
	send_status(sv, id, -EIO);
}

bool agent_keeps(const struct served *sv, uint64_t ino)
{
	const struct agent_kept *k = sv->agency->kept;

	while (k && k->ino != ino)
		k = k->next;
	return k;
}

static void drop_kept(struct agent *ag)
{
	struct agent_kept *k;

	while ((k = ag->kept)) {
		ag->kept = k->next;
		free(k);
	}
	ag->kept_tail = &ag->kept;
}

void agent_answer_kept(struct served *sv)
{
	struct agent *ag = sv->agency;
	struct agent_kept *k, *all = ag->kept;
	Orchfs__Peer__OpReply *m;

	ag->kept = NULL;
	ag->kept_tail = &ag->kept;
	while ((k = all)) {
		all = k->next;
		m = orchfs__peer__op_reply__unpack(NULL, k->len, k->reply);
		if (m)
			hear_op(sv, k->id, k->kind, m);
		else
			sv->need_detach = true;
		if (m)
			orchfs__peer__op_reply__free_unpacked(m, NULL);
		free(k);
	}
}

/* --- requests --- */

static void queue_push(struct agent *ag, struct agent_op *op)
{
	op->next = NULL;
	*ag->queue_tail = op;
	ag->queue_tail = &op->next;
	ag->queued++;
}

void agent_drop_queue(struct served *sv)
{
	struct agent *ag = sv->agency;
	struct agent_op *op;

	while ((op = ag->queue)) {
		ag->queue = op->next;
		free(op);
	}
	ag->queue_tail = &ag->queue;
	ag->queued = 0;
	drop_kept(ag);
}

static bool op_done(struct served *sv, struct agent_call *c, int rc,
		    const char *why, peer_frame *f)
{
	struct agent_op *op = container_of(c, struct agent_op, c);
	struct agent *ag = sv->agency;

	ag->under_way--;
	ag->bytes -= op->nlh.nlmsg_len;
	ag->lock_waits -= op->lock_wait;
	if (rc == -EBUSY) {	/* not now: at the next tick */
		queue_push(ag, op);
		return true;
	}
	if (rc == -ETIMEDOUT) {
		agent_lost(sv, "the authority does not answer");
		return false;
	}
	if (rc < 0) {
		log_err(sv->name, "the authority refuses request %llu: %s",
			(unsigned long long)op->id, why);
		send_status(sv, op->id, -EIO);
	} else {
		hear_op(sv, op->id, op->kind,
			f->body_case == PEER_BODY(OP_REPLY) ?
			f->op_reply : NULL);
	}
	agent_go(sv);
	return false;
}

static void refuse(struct served *sv, const struct agent_op *op, int rc)
{
	const char *kind = orchfs_kind_name(op->kind);

	log_err(sv->name, "request %llu (%s) refused: %s",
		(unsigned long long)op->id, kind ? kind : "unknown",
		strerror(-rc));
	if (op->id)
		send_status(sv, op->id, rc);
}

static int op_send(struct served *sv, struct agent_op *op)
{
	struct agent *ag = sv->agency;
	peer_frame f = PEER_FRAME_INIT(OP);
	struct nl_request r;
	int rc;

	rc = nl_decode_request(&op->nlh, &r);
	if (!rc && !op->id && r.op.flags & ORCHFS_REQ_FLAG_RESENT)
		atomic_fetch_add(&sv->resent, 1);
	op->id = r.op.id;
	op->kind = r.op.kind;
	op->lock_wait = op->kind == ORCHFS_KIND_LOCK &&
			r.op.lock.flags & ORCHFS_LOCK_WAIT;
	if (!rc && op->lock_wait && ag->lock_waits >= AGENT_LOCK_WAITS_MAX)
		rc = -ENOLCK;
	if (!rc) {
		arena_reset(ag->arena);
		f.op = op_wire_op(ag->arena, &r.op);
		op->c.done = op_done;
		rc = f.op ? agent_ask(sv, &op->c, &f, op->lock_wait ?
				      LOCK_WAIT_MS : OP_MS) : -ENOMEM;
	}
	nl_request_release(&r);
	if (rc < 0)
		return rc;
	ag->under_way++;
	ag->bytes += op->nlh.nlmsg_len;
	ag->lock_waits += op->lock_wait;
	return 0;
}

void agent_go(struct served *sv)
{
	struct agent *ag = sv->agency;
	unsigned int n = ag->queued;
	struct agent_op *op;
	int rc;

	while (n-- && (op = ag->queue) && sv->attached &&
	       ag->under_way < AGENT_OPS_MAX && ag->bytes < AGENT_BYTES_MAX) {
		ag->queue = op->next;
		if (!ag->queue)
			ag->queue_tail = &ag->queue;
		ag->queued--;
		rc = op_send(sv, op);
		if (rc < 0) {
			refuse(sv, op, rc);
			free(op);
		}
	}
}

static void do_request(struct served *sv, const struct nlmsghdr *nlh)
{
	struct agent *ag = sv->agency;
	struct agent_op *op;

	if (ag->queued >= AGENT_QUEUE_MAX) {
		agent_lost(sv, "the kernel has sent more requests than it has");
		return;
	}
	op = calloc(1, offsetof(struct agent_op, nlh) + nlh->nlmsg_len);
	if (!op) {
		sv->need_detach = true;
		return;
	}
	memcpy(&op->nlh, nlh, nlh->nlmsg_len);
	atomic_fetch_add(&sv->requests, 1);
	queue_push(ag, op);
	agent_go(sv);
}

/* --- notices --- */

static bool notes_done(struct served *sv, struct agent_call *c, int rc,
		       const char *why, peer_frame *f)
{
	(void)c;
	(void)f;
	/* what they said is in the handles */
	if (rc < 0)
		agent_lost(sv, why);
	return false;
}

static int do_notes(void *ctx, const struct ns_note *notes, size_t nr)
{
	struct served *sv = ctx;
	struct agent_call *c = calloc(1, sizeof(*c));
	peer_frame f = PEER_FRAME_INIT(NOTES);
	int rc = -ENOMEM;

	arena_reset(sv->agency->arena);
	f.notes = op_wire_notes(sv->agency->arena, notes, nr);
	if (c && f.notes) {
		c->done = notes_done;
		rc = agent_ask(sv, c, &f, NOTES_MS);
	}
	if (rc < 0)
		free(c);
	return rc;
}

static int do_held(struct served *sv, struct nlmsghdr *nlh)
{
	struct agent_call *c = calloc(1, sizeof(*c));
	peer_frame f = PEER_FRAME_INIT(LOCK_HELD);
	struct op_locks v = { .nr = 0 };
	uint64_t number;
	bool eof;
	int rc;

	rc = nl_decode_held(nlh, &v, &number, &eof);
	arena_reset(sv->agency->arena);
	f.lock_held = rc ? NULL : op_wire_held(sv->agency->arena, &v, number,
					       eof);
	if (!rc && (!c || !f.lock_held))
		rc = -ENOMEM;
	if (!rc) {
		c->done = notes_done;
		rc = agent_ask(sv, c, &f, NOTES_MS);
	}
	if (rc < 0)
		free(c);
	free(v.l);
	return rc;
}

static void do_error(struct served *sv, struct nlmsghdr *nlh)
{
	int error = channel_error(&sv->ch, nlh);

	if (swap_error(sv, nlh->nlmsg_seq, error) || !error)
		return;
	if (error == -ESTALE) {
		agent_lost(sv, "the kernel dropped notices");
		return;
	}
	if (error == -ENOENT || error == -ENOTCONN) {
		agent_lost(sv, "the kernel no longer knows this daemon");
		return;
	}
	nl_ops_refused(sv, nlh->nlmsg_seq, error);
}

void agent_event(void *ctx, struct nlmsghdr *nlh)
{
	struct served *sv = ctx;
	int rc = 0;

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
		do_request(sv, nlh);
		break;
	case ORCHFS_CMD_NOTICE:
		rc = nl_decode_notices(nlh, do_notes, sv);
		break;
	case ORCHFS_CMD_LOCK_HELD:
		rc = do_held(sv, nlh);
		break;
	case ORCHFS_CMD_LAYOUT_DONE:
		swap_event(sv, nlh);
		break;
	}
	if (rc < 0) {
		log_err(sv->name, "notices of the kernel: %s", strerror(-rc));
		sv->need_detach |= rc == -ENOMEM;
	}
}

/* --- requests of the authority --- */

/* All or none: what isn't known to have arrived isn't acknowledged. */
static int invalidate(struct served *sv, const Orchfs__Peer__Invalidate *m)
{
	struct op_stale s;
	int rc = 0;

	if (m->n_stale > OP_WIRE_STALE_MAX)
		return -E2BIG;
	for (size_t i = 0; i < m->n_stale && !rc; i++) {
		rc = op_wire_get_stale(m->stale[i], &s);
		if (!rc)
			rc = channel_send(&sv->ch, nl_encode_invalidate(
					sv->ch.family, s.ino,
					s.has_attr ? &s.attr : NULL), NULL);
	}
	return rc;
}

static int lock_recall(struct served *sv, const Orchfs__Peer__LockRecall *m)
{
	if (!m->ino)
		return -EPROTO;
	return channel_send(&sv->ch, nl_encode_lock_recall(sv->ch.family,
							   m->number, m->ino,
							   m->lost), NULL);
}

void agent_request(struct served *sv, struct peer_request *r)
{
	Orchfs__Peer__Empty empty = ORCHFS__PEER__EMPTY__INIT;
	peer_frame f = PEER_FRAME_INIT(DONE);
	int rc;

	if (r->link != sv->agency->link) {
		peer_reply(r, NULL);
		return;
	}
	if (r->f->body_case == PEER_BODY(LAYOUT_SET)) {
		agent_layout_set(sv, r);
		return;
	}
	if (r->f->body_case >= PEER_BODY(VOLUMES)) {
		steward_request(sv, r);
		return;
	}
	if (!sv->attached) {
		peer_fail(r, -ENOTCONN, "the node's kernel is not attached");
		return;
	}
	if (r->f->body_case == PEER_BODY(LOCK_RECALL))
		rc = lock_recall(sv, r->f->lock_recall);
	else
		rc = invalidate(sv, r->f->invalidate);
	if (rc < 0) {
		log_err(sv->name, "telling the kernel what the authority "
			"wants: %s", strerror(-rc));
		peer_reply(r, NULL);
		sv->need_detach = true;
		return;
	}
	f.done = &empty;
	peer_reply(r, &f);
}
