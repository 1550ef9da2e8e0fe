// SPDX-License-Identifier: Apache-2.0
/*
 * A node that leaves the cluster takes its volumes along: what lies there, and
 * what becomes of their records. By whoever removes the node: one at a time.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exec.h"
#include "home_impl.h"
#include "log.h"
#include "ns_cluster.h"
#include "served.h"

#define PATHS	5		/* that are told */

struct lost {
	struct job j;
	uint32_t node;
	uint32_t volume[VOLUMES_MAX];
	size_t nr;
	uint64_t ino[PATHS], count;
	char text[400];
};

bool home_left(const struct served *sv, uint32_t node)
{
	const struct ns_node *n;
	size_t nr;

	n = ns_nodes(sv->ns, &nr);
	for (size_t i = 0; i < nr; i++)
		if (n[i].number == node)
			return n[i].removed;
	return false;
}

/* They get no new files from now on: what is found is all. */
static int find_volumes(struct served *sv, struct job *j)
{
	struct lost *l = container_of(j, struct lost, j);
	struct home *h = home_find(sv, l->node);
	struct volume *v;

	if (h)
		h->leaving = true;
	for (v = sv->volumes; v && l->nr < VOLUMES_MAX; v = v->next) {
		if (v->rec.home != l->node)
			continue;
		l->volume[l->nr++] = v->rec.id;
		if (!v->removing)
			v->leaving = v->removing = true;
	}
	return 0;
}

static void stays(struct volume *v)
{
	if (v->leaving)
		v->leaving = v->removing = false;
}

static int find_paths(struct served *sv, struct job *j)
{
	struct lost *l = container_of(j, struct lost, j);
	size_t at = 0;

	for (size_t i = 0; i < PATHS && i < l->count; i++) {
		char **path = NULL;
		size_t nr = 0;

		if (ns_paths(sv->ns, l->ino[i], &path, &nr, 1) || !nr)
			continue;
		if (at + strlen(path[0]) + 3 < sizeof(l->text))
			at += (size_t)snprintf(l->text + at,
					       sizeof(l->text) - at, "%s%s",
					       at ? ", " : "", path[0]);
		for (size_t k = 0; k < nr; k++)
			free(path[k]);
		free(path);
	}
	return 0;
}

static int run(struct served *sv, struct lost *l,
	       int (*fn)(struct served *sv, struct job *j))
{
	l->j.fn = fn;
	l->j.done = false;
	return served_call(sv, &l->j, 0);
}

static int check(struct served *sv, struct lost *l, char *why, size_t len)
{
	int rc = run(sv, l, find_volumes);

	if (!rc && l->nr)
		rc = ns_home_files(sv->st, l->volume, l->nr, l->ino, PATHS,
				   &l->count);
	if (rc || !l->count)
		return rc;
	run(sv, l, find_paths);
	snprintf(why, len, "node %u has the only copy of %llu files, such as "
		 "%s (orchctl node remove --list %u names all): move them away "
		 "with orchctl node drain %u, or give them up with "
		 "--accept-loss", l->node, (unsigned long long)l->count,
		 l->text, l->node, l->node);
	return -ENOTEMPTY;
}

/* A volume that nothing lies on is forgotten. */
static void drop_volume(struct served *sv, struct volume **p)
{
	struct volume *v = *p;
	int rc = pool_drop_volume(sv, v);

	if (!rc)
		rc = ns_volume_del(sv->ns, v->rec.id);
	if (rc < 0) {
		if (rc != -EBUSY)
			log_err(sv->name, "volume %s of a node that was "
				"removed: %s", v->rec.name, strerror(-rc));
		home_away(sv, v);
		return;
	}
	*p = v->next;
	volume_put(v);
}

static int leave(struct served *sv, struct job *j)
{
	const struct lost *l = container_of(j, struct lost, j);
	struct volume **p, *v;

	for (p = &sv->volumes; (v = *p); ) {
		if (v->rec.home == l->node)
			stays(v);
		if (v->rec.home == l->node && !v->removing)
			drop_volume(sv, p);
		if (*p == v)
			p = &v->next;
	}
	served_txn(sv);
	exec_unpark(sv);
	return 0;
}

static int stay(struct served *sv, struct job *j)
{
	const struct lost *l = container_of(j, struct lost, j);
	struct home *h = home_find(sv, l->node);
	struct volume *v;

	if (home_left(sv, l->node))
		return leave(sv, j);	/* but not durably, so far */
	if (h)
		h->leaving = false;
	for (v = sv->volumes; v; v = v->next)
		if (v->rec.home == l->node)
			stays(v);
	exec_unpark(sv);
	return 0;
}

int home_leave_check(struct served *sv, uint32_t node, char *why, size_t len)
{
	struct lost *l;
	int rc = served_hold(sv);

	if (rc < 0)
		return rc;
	l = job_new(sizeof(*l), NULL);
	rc = -ENOMEM;
	if (l) {
		l->node = node;
		rc = check(sv, l, why, len);
		if (rc)
			run(sv, l, stay);
		job_put(&l->j);
	}
	served_release(sv);
	return rc;
}

static void decided(struct served *sv, uint32_t node,
		    int (*fn)(struct served *sv, struct job *j))
{
	struct lost *l = job_new(sizeof(*l), fn);

	if (!l)
		return;		/* they get no files, and are away if it left */
	l->node = node;
	served_call(sv, &l->j, 0);
	job_put(&l->j);
}

void home_leave(struct served *sv, uint32_t node)
{
	decided(sv, node, leave);
}

void home_stay(struct served *sv, uint32_t node)
{
	decided(sv, node, stay);
}
