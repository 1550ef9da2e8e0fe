// SPDX-License-Identifier: Apache-2.0
/*
 * What files on far volumes are like: glimpses. One is good for a request that
 * had come when its home was asked; those that are needed in one turn go in one
 * frame. And whose files are, so that quotas of the home's file system count.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "exec.h"
#include "home_impl.h"
#include "log.h"
#include "mover.h"
#include "ns_move.h"

#define GLIMPSES_MAX	65536U		/* that are remembered */
#define BUCKETS		4096U
#define KEEP_MS		10000		/* who waits for it comes by then */
#define OWNS_MAX	4096U		/* under way */

/* A file, and what was heard of it. Places in time are of homes.clock. */
struct glimpse {
	struct glimpse *next;		/* of its bucket */
	uint32_t volume, home;
	uint64_t ino, version, instance;
	unsigned int refs;		/* questions under way */
	bool wanted;			/* in the next question */
	uint64_t asked;			/* the last question */
	uint64_t have;			/* the question that was answered */
	uint64_t settle;		/* an answer since then settles it */
	uint64_t at;			/* ms: somebody wanted it */
	int status;
	struct ns_backing_stat s;
};

/* --- what is remembered --- */

static struct glimpse **bucket(struct homes *hs, uint64_t ino)
{
	return &hs->buckets[(ino * 0x9e3779b97f4a7c15ULL) >> 32 &
			    (BUCKETS - 1)];
}

static struct glimpse *glimpse_find(struct homes *hs, uint32_t volume,
				    uint64_t ino, uint64_t version,
				    uint64_t instance)
{
	struct glimpse *g = hs->buckets ? *bucket(hs, ino) : NULL;

	while (g && (g->ino != ino || g->instance != instance ||
		     g->version != version || g->volume != volume))
		g = g->next;
	return g;
}

static struct glimpse *glimpse_new(struct homes *hs, const struct volume *v,
				   uint64_t ino, uint64_t version,
				   uint64_t instance)
{
	struct glimpse *g, **p;

	if (!hs->buckets)
		hs->buckets = calloc(BUCKETS, sizeof(*hs->buckets));
	if (!hs->buckets || hs->nr >= GLIMPSES_MAX)
		return NULL;
	g = calloc(1, sizeof(*g));
	if (!g)
		return NULL;
	p = bucket(hs, ino);
	*g = (struct glimpse){
		.next = *p, .volume = v->rec.id, .home = v->rec.home,
		.ino = ino, .version = version, .instance = instance,
	};
	*p = g;
	hs->nr++;
	return g;
}

/* Those that are of no use; @all: whatever was wanted of them. */
static void forget(struct homes *hs, uint32_t node, bool all)
{
	const uint64_t now = now_ms();

	for (size_t i = 0; hs->buckets && i < BUCKETS; i++) {
		struct glimpse *g, **p = &hs->buckets[i];

		while ((g = *p)) {
			bool keep = g->refs || (node && g->home != node);

			if (!all)
				keep |= g->wanted || now < g->at + KEEP_MS;
			if (keep) {
				p = &g->next;
				continue;
			}
			*p = g->next;
			free(g);
			hs->nr--;
		}
	}
}

void glimpses_free(struct served *sv)
{
	forget(sv->homes, 0, true);
	free(sv->homes->buckets);
	sv->homes->buckets = NULL;
}

void glimpses_drop(struct served *sv, uint32_t node)
{
	forget(sv->homes, node, true);
}

void glimpses_tick(struct served *sv)
{
	struct homes *hs = sv->homes;
	int rc;

	forget(hs, 0, false);
	if (!hs->unsettled || hs->nr >= GLIMPSES_MAX / 2)
		return;
	hs->unsettled = false;
	rc = ns_settle_all(sv->ns);
	if (rc < 0)
		log_err(sv->name, "files on other nodes' volumes: %s",
			strerror(-rc));
}

/* --- who needs one --- */

/* As fresh as the request at hand wants it. Else nothing is fresh enough. */
static bool fresh(const struct homes *hs, const struct glimpse *g)
{
	return hs->since && g->have > hs->since;
}

static void want(struct homes *hs, struct glimpse *g)
{
	g->at = now_ms();
	/* a question that is under way was asked later than this came */
	if (hs->since && g->refs && g->asked > hs->since)
		return;
	g->wanted = true;
	hs->ask = true;
}

int home_stat(struct served *sv, struct volume *v, uint64_t ino,
	      uint64_t version, uint64_t instance,
	      struct ns_backing_stat *out)
{
	struct homes *hs = sv->homes;
	const struct home *h = home_find(sv, v->rec.home);
	struct glimpse *g;

	if (!hs || v->left)
		return -NS_AWAY;
	g = glimpse_find(hs, v->rec.id, ino, version, instance);
	if (g && fresh(hs, g)) {
		*out = g->s;
		return g->status;
	}
	if (!h || !h->link ? !home_session(sv, v->rec.home) :
	    h->told && !volume_online(v))
		return -NS_AWAY;
	if (!g)
		g = glimpse_new(hs, v, ino, version, instance);
	if (g)
		want(hs, g);
	else
		hs->unsettled = true;
	return -NS_PARKED;
}

void home_unsettled(void *ctx, uint32_t volume, uint64_t ino, uint64_t version,
		    uint64_t instance)
{
	struct served *sv = ctx;
	struct glimpse *g;

	g = sv->homes ? glimpse_find(sv->homes, volume, ino, version,
				     instance) : NULL;
	if (g)
		g->settle = sv->homes->clock + 1;
}

/* --- questions --- */

struct glimpse_ask {
	struct home_ask ask;
	uint64_t at;			/* its place in time */
	uint32_t volume;
	size_t nr;
	struct glimpse *g[HOME_GLIMPSES];
};

/* No node writes it any more, unless one began to meanwhile. */
static void settle(struct served *sv, struct glimpse *g)
{
	int rc;

	homes_asking(sv, g->settle - 1);
	g->settle = 0;
	sv->telling = g->home;
	rc = ns_settle_dirty(sv->ns, g->ino);
	sv->telling = 0;
	homes_asking(sv, 0);
	if (rc < 0)
		log_err(sv->name, "inode %llu: its size and times are not "
			"taken over: %s", (unsigned long long)g->ino,
			strerror(-rc));
}

static void answered(struct served *sv, struct glimpse *g, uint64_t at,
		     int status, const struct ns_backing_stat *s)
{
	if (g->have < at) {
		g->have = at;
		g->status = status;
		g->s = *s;
	}
	if (g->settle && g->have >= g->settle && !g->wanted)
		settle(sv, g);
}

/*
 * Asked again with the link, unless its home itself can't tell. One whose drive
 * hangs doesn't: who has asked is shown what is recorded, as each keeps a slot
 * of its kernel; what is to be settled is asked again.
 */
static void unanswered(struct served *sv, struct glimpse *g,
		       const struct glimpse_ask *k, int rc)
{
	const struct ns_backing_stat none = { 0 };

	if (rc == -ETIMEDOUT) {
		g->wanted |= g->settle != 0;
		answered(sv, g, k->at, -NS_AWAY, &none);
	} else if (k->ask.q.wait.failure) {
		answered(sv, g, k->at, rc, &none);
	} else {
		g->wanted = true;
	}
}

static int status_of(const Orchfs__Peer__Stat *m)
{
	return m->status == -ENOENT ? -ENOENT : m->status ? -EIO : 0;
}

static void glimpsed(struct served *sv, struct home_ask *a, int rc,
		     const peer_frame *f)
{
	struct glimpse_ask *k = container_of(a, struct glimpse_ask, ask);
	struct ns_backing_stat s;

	if (!sv->homes) {	/* they have gone, but for these */
		for (size_t i = 0; i < k->nr; i++)
			if (!--k->g[i]->refs)
				free(k->g[i]);
		return;
	}
	if (!rc && f->glimpsed->n_stat != k->nr) {
		home_refused(sv, a, "it told of other files than it was asked "
			     "about");
		rc = -EPROTO;
	}
	for (size_t i = 0; i < k->nr; i++) {
		struct glimpse *g = k->g[i];
		const Orchfs__Peer__Stat *m;

		g->refs--;
		if (rc) {
			unanswered(sv, g, k, rc);
			continue;
		}
		m = f->glimpsed->stat[i];
		home_read_stat(m, &s);
		answered(sv, g, k->at, status_of(m), &s);
	}
	sv->homes->ask = true;
	served_txn(sv);
	lease_flush(sv->lease);
	exec_unpark(sv);
	mover_looked(sv);
}

static int ask(struct served *sv, struct glimpse_ask *k, uint32_t home)
{
	Orchfs__Peer__Glimpse m = ORCHFS__PEER__GLIMPSE__INIT;
	Orchfs__Peer__File files[HOME_GLIMPSES], *list[HOME_GLIMPSES];
	peer_frame f = PEER_FRAME_INIT(GLIMPSE);

	for (size_t i = 0; i < k->nr; i++) {
		orchfs__peer__file__init(&files[i]);
		files[i].ino = k->g[i]->ino;
		files[i].version = k->g[i]->version;
		files[i].instance = k->g[i]->instance;
		list[i] = &files[i];
	}
	m.volume = k->volume;
	m.file = list;
	m.n_file = k->nr;
	f.glimpse = &m;
	k->ask.done = glimpsed;
	k->ask.ms = HOME_GLIMPSE_MS;
	return home_ask(sv, home, &f, PEER_BODY(GLIMPSED), &k->ask);
}

/* Return: were there as many as a frame takes, and may be more? */
static bool ask_volume(struct served *sv, const struct volume *v)
{
	struct homes *hs = sv->homes;
	struct glimpse_ask *k = NULL;
	bool full = false;

	for (size_t i = 0; hs->buckets && i < BUCKETS && !full; i++) {
		for (struct glimpse *g = hs->buckets[i]; g; g = g->next) {
			if (!g->wanted || g->volume != v->rec.id)
				continue;
			if (!k)
				k = calloc(1, sizeof(*k));
			full = !k || k->nr == HOME_GLIMPSES;
			if (full)
				break;
			k->g[k->nr++] = g;
		}
	}
	if (!k)
		return false;
	k->at = ++hs->clock;
	k->volume = v->rec.id;
	if (ask(sv, k, v->rec.home)) {
		free(k);
		return false;	/* the next turn tries again */
	}
	for (size_t i = 0; i < k->nr; i++) {
		k->g[i]->refs++;
		k->g[i]->wanted = false;
		k->g[i]->asked = k->at;
	}
	return full;
}

void glimpses_ask(struct served *sv)
{
	struct volume *v;

	sv->homes->ask = false;
	for (v = sv->volumes; v; v = v->next) {
		if (!volume_far(v) || !home_linked(sv, v->rec.home) ||
		    !volume_online(v))
			continue;
		while (ask_volume(sv, v))
			;
	}
}

/* --- owners --- */

struct own_ask {
	struct home_ask ask;
	uint32_t volume;
	uint64_t ino, version, instance;
};

static void owned(struct served *sv, struct home_ask *a, int rc,
		  const peer_frame *f)
{
	struct own_ask *k = container_of(a, struct own_ask, ask);
	struct ns_backing_stat s;

	if (!sv->homes)
		return;
	sv->homes->owns--;
	if (!rc && f->glimpsed->n_stat == 1 && !f->glimpsed->stat[0]->status) {
		home_read_stat(f->glimpsed->stat[0], &s);
		rc = ns_based(sv->ns, k->volume, k->ino, k->version,
			      k->instance, &s, false);
		if (rc < 0)
			log_err(sv->name, "inode %llu: the change of its "
				"owner: %s", (unsigned long long)k->ino,
				strerror(-rc));
		served_txn(sv);
	}
	if (sv->homes->owns == OWNS_MAX - 1)
		exec_unpark(sv);
}

bool home_owns_full(const struct served *sv)
{
	return sv->homes && sv->homes->owns >= OWNS_MAX;
}

/* One that isn't told finds out when it opens the file for its kernel. */
int home_own(struct served *sv, struct volume *v, uint64_t ino,
	     uint64_t version, uint64_t instance, const struct ns_owner *owner)
{
	Orchfs__Peer__Own m = ORCHFS__PEER__OWN__INIT;
	Orchfs__Peer__File file = ORCHFS__PEER__FILE__INIT;
	peer_frame f = PEER_FRAME_INIT(OWN);
	struct own_ask *k;

	if (!sv->homes || !volume_online(v) || home_owns_full(sv))
		return 0;
	k = calloc(1, sizeof(*k));
	if (!k)
		return 0;
	*k = (struct own_ask){
		.ask.done = owned, .volume = v->rec.id, .ino = ino,
		.version = version, .instance = instance,
	};
	file.ino = ino;
	file.version = version;
	file.instance = instance;
	m.volume = v->rec.id;
	m.file = &file;
	m.uid = owner->uid;
	m.gid = owner->gid;
	m.projid = owner->projid;
	m.project = owner->project;
	f.own = &m;
	if (home_ask(sv, v->rec.home, &f, PEER_BODY(GLIMPSED), &k->ask))
		free(k);
	else
		sv->homes->owns++;
	return 0;
}

void home_owned(struct served *sv, struct peer_request *r)
{
	const Orchfs__Peer__Owned *m = r->f->owned;
	const struct volume *v = served_volume(sv, m->volume);
	Orchfs__Peer__Empty empty = ORCHFS__PEER__EMPTY__INIT;
	peer_frame f = PEER_FRAME_INIT(DONE);
	struct ns_backing_stat s;
	int rc;

	if (!v || v->rec.home != r->node || !m->file || !m->stat) {
		peer_fail(r, -EINVAL, "it isn't the home of that volume");
		return;
	}
	home_read_stat(m->stat, &s);
	rc = ns_based(sv->ns, m->volume, m->file->ino, m->file->version,
		      m->file->instance, &s, true);
	served_txn(sv);
	f.done = &empty;
	if (rc < 0)
		peer_fail(r, rc, "that isn't recorded");
	else
		peer_reply(r, &f);
}
