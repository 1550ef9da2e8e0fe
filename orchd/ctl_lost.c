// SPDX-License-Identifier: Apache-2.0
/* Control request: what would be lost with a node. Documentation/locality.md. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arena.h"
#include "ctl.h"
#include "ns_cluster.h"
#include "served.h"

#define PAGE_FILES	512
#define PAGE_BYTES	(256U << 10)

struct page {
	struct job j;
	struct ctl_call *c;
	uint32_t volume[VOLUMES_MAX];
	size_t nr_volumes;
	uint64_t ino[PAGE_FILES];
	size_t nr;
};

/* By number also one that was removed. */
static uint32_t node_number(struct served *sv, const char *text)
{
	const struct ns_node *n;
	uint32_t found = 0;
	char number[16];
	size_t nr;

	n = ns_nodes(sv->ns, &nr);
	for (size_t i = 0; i < nr; i++) {
		snprintf(number, sizeof(number), "%u", n[i].number);
		if (!n[i].removed && !strcmp(n[i].name, text))
			return n[i].number;
		if (!strcmp(number, text))
			found = n[i].number;
	}
	return found;
}

static int find_volumes(struct served *sv, struct job *j)
{
	struct page *p = container_of(j, struct page, j);
	uint32_t node = node_number(sv, p->c->req->node_files->node);
	const struct volume *v;

	if (!node)
		return -ENOENT;
	for (v = sv->volumes; v && p->nr_volumes < VOLUMES_MAX; v = v->next)
		if (v->rec.home == node)
			p->volume[p->nr_volumes++] = v->rec.id;
	return 0;
}

static char *path_of(struct ctl_call *c, struct served *sv, uint64_t ino)
{
	char **paths = NULL, *out;
	size_t nr = 0;

	if (ns_paths(sv->ns, ino, &paths, &nr, 1))
		return (char *)"";
	out = nr ? ctl_strdup(c, paths[0]) : (char *)"";
	for (size_t i = 0; i < nr; i++)
		free(paths[i]);
	free(paths);
	return out;
}

static int fill(struct served *sv, struct job *j)
{
	struct page *p = container_of(j, struct page, j);
	Orchfs__Control__NodeFileList *l = arena_zalloc(p->c->a, sizeof(*l));
	size_t bytes = 0;

	if (!l)
		return -ENOMEM;
	orchfs__control__node_file_list__init(l);
	l->file = arena_zalloc(p->c->a, (p->nr + 1) * sizeof(*l->file));
	if (!l->file)
		return -ENOMEM;
	while (l->n_file < p->nr && bytes < PAGE_BYTES) {
		Orchfs__Control__NodeFile *f = arena_zalloc(p->c->a,
							    sizeof(*f));

		if (!f)
			return -ENOMEM;
		orchfs__control__node_file__init(f);
		f->ino = p->ino[l->n_file];
		f->path = path_of(p->c, sv, f->ino);
		bytes += strlen(f->path);
		l->file[l->n_file++] = f;
	}
	if (l->n_file < p->nr || p->nr == PAGE_FILES)
		l->after = l->file[l->n_file - 1]->ino;
	p->c->resp.files = l;
	return 0;
}

static int run(struct served *sv, struct page *p,
	       int (*fn)(struct served *sv, struct job *j))
{
	p->j.fn = fn;
	p->j.done = false;
	return served_call(sv, &p->j, 0);
}

int ctl_node_files(struct ctl_call *c)
{
	const Orchfs__Control__NodeFiles *m = c->req->node_files;
	struct served *sv;
	struct page *p;
	int rc;

	rc = ctl_served(c, m->ns, &sv);
	if (rc < 0)
		return rc;
	p = job_new(sizeof(*p), NULL);
	rc = -ENOMEM;
	if (p) {
		p->c = c;
		rc = run(sv, p, find_volumes);
	}
	if (rc == -ENOENT)
		snprintf(c->message, sizeof(c->message), "there is no node "
			 "%.64s: orchctl node list shows those that are there; "
			 "one that was removed has its number", m->node);
	/* a long table is read without the namespace's thread */
	if (!rc && p->nr_volumes)
		rc = ns_home_page(sv->st, p->volume, p->nr_volumes, m->after,
				  p->ino, PAGE_FILES, &p->nr);
	if (!rc)
		rc = run(sv, p, fill);
	job_put(p ? &p->j : NULL);
	served_release(sv);
	return rc;
}
