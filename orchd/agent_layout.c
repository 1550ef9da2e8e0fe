// SPDX-License-Identifier: Apache-2.0
/* Layouts that the authority wants published at this node's kernel. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent.h"
#include "cluster.h"
#include "op_wire.h"

#define TIMEOUT_MS_MAX	60000

/* Answered when it has ended. */
struct agent_swap {
	struct swap s;
	struct peer_request *r;
};

static void answer(struct peer_request *r, int status, uint32_t writers,
		   const char *text)
{
	Orchfs__Peer__LayoutEnd m = ORCHFS__PEER__LAYOUT_END__INIT;
	peer_frame f = PEER_FRAME_INIT(LAYOUT_END);

	m.status = status;
	m.writers = writers;
	m.text = (char *)text;
	f.layout_end = &m;
	peer_reply(r, &f);
}

/* A channel that was lost: nobody knows which one the kernel has. */
static void ended(struct served *sv, struct swap *s)
{
	struct agent_swap *w = container_of(s, struct agent_swap, s);

	(void)sv;
	if (s->status == -ENOTCONN)
		peer_fail(w->r, -ENOTCONN, "the node's kernel was detached");
	else
		answer(w->r, s->status, s->writers, s->text);
	free(w);
}

static bool is_own(const struct served *sv, const struct op_layout *l)
{
	return !l->home || l->at_home || l->home == sv->cluster->node;
}

/* Return: a descriptor, -1: a layout of another node's file needs none. */
static int open_own(struct served *sv, uint64_t ino, struct op_layout *l,
		    int *fd)
{
	struct volume *v;

	*fd = -1;
	if (!is_own(sv, l))
		return 0;
	l->home = 0;
	l->at_home = false;
	v = served_volume(sv, l->volume);
	*fd = v ? backing_open(v, ino, l->version, l->instance) : -EIO;
	if (*fd == -EROFS && !l->writable)
		*fd = backing_open_read(v, ino, l->version, l->instance);
	/* the kernel alone says that it holds no layout */
	return *fd >= 0 ? 0 : *fd == -ENOENT ? -EIO : *fd;
}

static int send_swap(struct served *sv, struct agent_swap *w)
{
	const Orchfs__Peer__LayoutSet *m = w->r->f->layout_set;
	struct op_layout l;
	int rc, fd = -1;

	if (!m->ino || !m->layout || m->timeout_ms > TIMEOUT_MS_MAX ||
	    op_wire_get_layout(m->layout, &l))
		return -EPROTO;
	/* an answer of before may not come behind this */
	if (agent_keeps(sv, m->ino) ||
	    (is_own(sv, &l) && steward_waits(sv, l.volume)))
		return -EAGAIN;
	rc = open_own(sv, m->ino, &l, &fd);
	if (!rc)
		rc = swap_send(sv, &w->s, m->ino, &l, fd, m->timeout_ms);
	if (fd >= 0)
		close(fd);	/* the kernel has its own reference */
	return rc;
}

void agent_layout_set(struct served *sv, struct peer_request *r)
{
	struct agent_swap *w;
	int rc = -ENOMEM;

	if (!sv->attached) {
		peer_fail(r, -ENOTCONN, "the node's kernel is not attached");
		return;
	}
	w = calloc(1, sizeof(*w));
	if (w) {
		w->s.fn = ended;
		w->r = r;
		rc = send_swap(sv, w);
	}
	if (!rc)
		return;
	free(w);
	if (rc == -EPROTO || rc == -ENOMEM)
		peer_fail(r, rc, "a layout");
	else
		answer(r, rc, 0, rc == -EAGAIN ? "a volume there is being "
		       "opened" : strerror(-rc));
}
