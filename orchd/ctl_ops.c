// SPDX-License-Identifier: Apache-2.0
/* Operations of the control socket, each in a thread of its own. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "arena.h"
#include "backup.h"
#include "config.h"
#include "ctl.h"
#include "ctl_remote.h"
#include "log.h"
#include "mover.h"
#include "ns_move.h"
#include "served.h"

#define STATUS_MS	5000
#define SYNC_MS		60000
#define SWAP_MS		10000

struct ctl_job {
	struct job j;
	struct ctl_call *c;
};

#define call_of(job)	(container_of(job, struct ctl_job, j)->c)

/* A job whose caller waits for its end, so that it may use the call. */
static int run_job(struct ctl_call *c, struct served *sv,
		   int (*fn)(struct served *, struct job *))
{
	struct ctl_job *j = job_new(sizeof(*j), fn);
	int rc;

	if (!j)
		return -ENOMEM;
	j->c = c;
	rc = served_call(sv, &j->j, 0);
	job_put(&j->j);
	return rc;
}

char *ctl_strdup(struct ctl_call *c, const char *s)
{
	char *p = arena_dup(c->a, s, strlen(s));

	return p ? p : (char *)"";
}

static int say(struct ctl_call *c, int rc, const char *text)
{
	snprintf(c->message, sizeof(c->message), "%s", text);
	return rc;
}

int ctl_only(struct ctl_call *c, struct served **out)
{
	struct served *sv, *one = NULL;
	int n = 0;

	for (sv = served_first(); sv; sv = served_next(sv)) {
		if (served_get_state(sv, NULL, 0) == SERVED_REFUSED) {
			one = one ? one : sv;
			continue;
		}
		n++;
		one = sv;
	}
	if (n > 1)
		return say(c, -EINVAL, "several namespaces are served: name "
			   "one by --namespace NAME; orchctl status lists "
			   "them");
	if (!one)
		return say(c, -ENOENT, "no namespace is served: make one with "
			   "orchctl init NAME");
	*out = one;
	return 0;
}

int ctl_served(struct ctl_call *c, const char *name, struct served **out)
{
	char problem[VOLUME_WHY];
	enum served_state s;
	struct served *sv;
	int rc;

	if (c->sv) {
		sv = c->sv;
	} else if (*name) {
		sv = served_find(name);
		if (!sv) {
			snprintf(c->message, sizeof(c->message), "namespace "
				 "%.64s is not served here; orchctl status "
				 "lists those that are", name);
			return -ENOENT;
		}
	} else {
		rc = ctl_only(c, &sv);
		if (rc < 0)
			return rc;
	}
	if (!served_hold(sv)) {
		*out = sv;
		return 0;
	}
	s = served_get_state(sv, problem, sizeof(problem));
	if (s == SERVED_AGENT)
		return ctl_say_agent(c, sv);
	if (s == SERVED_STARTING)
		return say(c, -EAGAIN, "the namespace is starting: try again");
	if (s == SERVED_REFUSED)
		return say(c, -EIO, problem);
	return say(c, -ESHUTDOWN, "the namespace is stopping");
}

struct status_job {
	struct job j;
	uint64_t durable;
	struct ns_counts counts;
	char drain[VOLUME_WHY];
};

static int status_run(struct served *sv, struct job *j)
{
	struct status_job *s = container_of(j, struct status_job, j);
	struct volume *v = sv->volumes;

	while (v && !v->rec.draining)
		v = v->next;
	if (v)
		mover_drain_text(sv, v, s->drain);
	attach_count_mounts(sv);
	s->durable = store_durable(sv->st);
	return ns_counts(sv->ns, &s->counts);
}

static void status_counts(struct ctl_call *c, struct served *sv,
			  Orchfs__Control__NamespaceStatus *n)
{
	struct status_job *s = job_new(sizeof(*s), status_run);
	int rc;

	if (!s)
		return;
	rc = served_call(sv, &s->j, STATUS_MS);
	if (!rc) {
		n->durable = s->durable;
		n->inodes = s->counts.inodes;
		n->orphans = s->counts.orphans;
		n->deletions = s->counts.deletions;
		n->replayed = s->counts.replayed;
		n->incarnation = ns_incarnation(sv->ns);
		if (!*n->problem)
			n->problem = ctl_strdup(c, s->drain);
	} else if (rc == -ETIMEDOUT) {
		n->problem = ctl_strdup(c, "does not answer: its store or a "
					"volume hangs");
	}
	job_put(&s->j);
}

/* An agent has nothing to count but what its kernel has mounted. */
static int agent_run(struct served *sv, struct job *j)
{
	(void)j;
	return attach_count_mounts(sv);
}

static void status_agent(struct ctl_call *c, struct served *sv,
			 Orchfs__Control__NamespaceStatus *n)
{
	struct job *j = job_new(sizeof(*j), agent_run);

	if (!j)
		return;
	if (served_call(sv, j, STATUS_MS) == -ETIMEDOUT)
		n->problem = ctl_strdup(c, "does not answer: the kernel "
					"hangs");
	job_put(j);
}

static Orchfs__Control__NamespaceStatus *status_ns(struct ctl_call *c,
						   struct served *sv)
{
	Orchfs__Control__NamespaceStatus *n;
	char problem[VOLUME_WHY];
	enum served_state s;
	char name[64];

	n = arena_zalloc(c->a, sizeof(*n));
	if (!n)
		return NULL;
	orchfs__control__namespace_status__init(n);
	s = served_get_state(sv, problem, sizeof(problem));
	pthread_mutex_lock(&sv->lock);
	strcpy(name, sv->name);
	n->uuid.data = arena_dup(c->a, sv->uuid, 16);
	pthread_mutex_unlock(&sv->lock);
	n->uuid.len = n->uuid.data ? 16 : 0;
	n->name = ctl_strdup(c, name);
	n->store = ctl_strdup(c, sv->dir);
	n->state = ctl_strdup(c, served_state_name(s));
	n->problem = ctl_strdup(c, problem);
	if (!served_hold(sv)) {
		status_counts(c, sv, n);
		served_release(sv);
	} else if (sv->agent && !served_hold_cluster(sv)) {
		status_agent(c, sv, n);
		ctl_steward_status(c, sv, n);
		served_release(sv);
	}
	n->cluster = ctl_cluster_info(c, sv);
	n->txn = atomic_load(&sv->last_txn);
	n->requests = atomic_load(&sv->requests);
	n->resent = atomic_load(&sv->resent);
	n->mounts = atomic_load(&sv->mounts);
	return n;
}

/* A refused store that was loaded again later is not worth a line. */
static bool superseded(struct served *sv)
{
	return served_get_state(sv, NULL, 0) == SERVED_REFUSED &&
	       served_find_dir(sv->dir) != sv;
}

static int op_status(struct ctl_call *c)
{
	Orchfs__Control__Status *s = arena_zalloc(c->a, sizeof(*s));
	struct served *sv;
	size_t nr = 0;

	for (sv = served_first(); sv; sv = served_next(sv))
		nr++;
	if (!s)
		return -ENOMEM;
	orchfs__control__status__init(s);
	s->version = ctl_strdup(c, ORCHD_VERSION);
	s->pid = (uint64_t)getpid();
	s->ns = arena_zalloc(c->a, (nr + 1) * sizeof(*s->ns));
	if (!s->ns)
		return -ENOMEM;
	for (sv = served_first(); sv && s->n_ns < nr; sv = served_next(sv)) {
		if (superseded(sv))
			continue;
		s->ns[s->n_ns] = status_ns(c, sv);
		if (s->ns[s->n_ns])
			s->n_ns++;
	}
	c->resp.daemon = s;
	return 0;
}

static const char *instance_state(uint32_t s)
{
	static const char *const names[] = {
		"filling", "valid", "stale", "retiring",
	};

	return s < 4 ? names[s] : "unknown";
}

static Orchfs__Control__InstanceInfo *where_one(struct ctl_call *c,
						struct served *sv,
						uint64_t ino,
						const struct ns_instance *n)
{
	struct volume *v = served_volume(sv, n->volume);
	Orchfs__Control__InstanceInfo *i;
	char path[4096 + BACKING_PATH_MAX + 1], rel[BACKING_PATH_MAX];
	struct ns_backing_stat st;

	i = arena_zalloc(c->a, sizeof(*i));
	if (!i)
		return NULL;
	orchfs__control__instance_info__init(i);
	i->version = n->version;
	i->instance = n->instance;
	i->state = ctl_strdup(c, instance_state(n->state));
	i->version_state = ctl_strdup(c, n->version_state ? "sealed" :
				      "head");
	i->dirty = n->dirty;
	backing_path(rel, ino, n->version, n->instance);
	if (!v) {
		i->volume = ctl_strdup(c, "(gone)");
		return i;
	}
	i->volume = ctl_strdup(c, v->rec.name);
	i->tier = v->rec.tier;
	i->home = ctl_home(c, sv, v, &i->home_name);
	snprintf(path, sizeof(path), "%s/%s", v->rec.path, rel);
	i->backing = ctl_strdup(c, path);
	/* nobody waits here for another node */
	if (volume_far(v)) {
		i->size = n->size;
		return i;
	}
	if (!volume_stat(v, ino, n->version, n->instance, &st))
		i->size = st.size;
	else if (n->state)	/* one that is filling may not be made yet */
		i->state = ctl_strdup(c, volume_online(v) ? "missing" :
				      "offline");
	return i;
}

static int where_run(struct served *sv, struct job *j)
{
	struct ctl_call *c = call_of(j);
	uint64_t ino = c->req->where->ino, version, generation;
	Orchfs__Control__WhereInfo *w = arena_zalloc(c->a, sizeof(*w));
	struct ns_instance *list = NULL;
	char **paths = NULL;
	size_t nr = 0, nr_paths = 0;
	int rc;

	if (!w)
		return -ENOMEM;
	rc = ns_where(sv->ns, ino, &version, &generation, &list, &nr);
	if (rc < 0)
		return rc;
	orchfs__control__where_info__init(w);
	w->ino = ino;
	w->version = version;
	w->layout_generation = generation;
	w->ns = ctl_strdup(c, sv->name);
	w->instance = arena_zalloc(c->a, (nr + 1) * sizeof(*w->instance));
	for (size_t i = 0; w->instance && i < nr; i++) {
		w->instance[w->n_instance] = where_one(c, sv, ino, &list[i]);
		if (w->instance[w->n_instance])
			w->n_instance++;
	}
	free(list);
	if (!ns_paths(sv->ns, ino, &paths, &nr_paths, 64)) {
		w->path = arena_zalloc(c->a, (nr_paths + 1) * sizeof(char *));
		for (size_t i = 0; i < nr_paths; i++) {
			if (w->path)
				w->path[w->n_path++] = ctl_strdup(c, paths[i]);
			free(paths[i]);
		}
		free(paths);
	}
	c->resp.where = w;
	return 0;
}

static int op_where(struct ctl_call *c)
{
	struct served *sv;
	int rc;

	rc = ctl_served(c, c->req->where->ns, &sv);
	if (rc < 0)
		return rc;
	rc = run_job(c, sv, where_run);
	served_release(sv);
	if (rc == -ENOENT)
		snprintf(c->message, sizeof(c->message), "there is no inode "
			 "%llu: ls -i shows the number of a file",
			 (unsigned long long)c->req->where->ino);
	return rc;
}

static bool backup_stop(void *ctx)
{
	return served_closing(ctx);
}

static int op_backup(struct ctl_call *c)
{
	struct backup_stats stats;
	struct served *sv;
	int rc;

	if (c->fd < 0)
		return say(c, -EBADF, "no file came with the request");
	rc = ctl_served(c, c->req->backup->ns, &sv);
	if (rc < 0)
		return rc;
	rc = backup_write(sv->st, c->fd, backup_stop, sv, &stats);
	c->resp.bytes = stats.bytes;
	served_release(sv);
	if (rc < 0)
		snprintf(c->message, sizeof(c->message), "the backup is not "
			 "complete: %s", strerror(-rc));
	return rc;
}

static int op_checkpoint(struct ctl_call *c)
{
	static atomic_uint counter;
	char path[4200];
	struct served *sv;
	int rc;

	rc = ctl_served(c, c->req->checkpoint->ns, &sv);
	if (rc < 0)
		return rc;
	snprintf(path, sizeof(path), "%s/checkpoint-%u", sv->dir,
		 atomic_fetch_add(&counter, 1) + 1);
	remove_tree(path);
	c->checkpoint = strdup(path);
	rc = c->checkpoint ? store_checkpoint(sv->st, path) : -ENOMEM;
	served_release(sv);
	if (rc < 0)
		snprintf(c->message, sizeof(c->message), "cannot copy the "
			 "store to %.300s: %s", path, strerror(-rc));
	else
		c->resp.path = ctl_strdup(c, path);
	return rc;
}

struct swap_job {
	struct job j;
	uint64_t ino;
	uint32_t timeout_ms;
	struct swap *swap;
	struct op_layout layout;
};

static int swap_run(struct served *sv, struct job *j)
{
	struct swap_job *s = container_of(j, struct swap_job, j);
	int rc;

	if (!sv->attached)
		return -ENOTCONN;
	rc = ns_grant(sv->ns, s->ino, true, &s->layout);
	if (rc < 0)
		return rc == -NS_PARKED ? -EBUSY : rc;
	return nl_ops_layout_set(sv, s->swap, s->ino, &s->layout,
				 s->timeout_ms);
}

static int swap_wait(struct served *sv, struct swap *w, uint32_t ms)
{
	struct timespec end;
	int rc = 0;

	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += ms / 1000 + 5;
	pthread_mutex_lock(&sv->lock);
	while (!w->done && !rc && !sv->closing)
		rc = -pthread_cond_timedwait(&sv->changed, &sv->lock, &end);
	if (w->done)
		rc = w->status;
	else if (!rc)
		rc = -ESHUTDOWN;
	pthread_mutex_unlock(&sv->lock);
	return rc;
}

static void swap_unlink(struct served *sv, struct swap *w)
{
	struct swap **p;

	pthread_mutex_lock(&sv->lock);
	for (p = &sv->swaps; *p; p = &(*p)->next) {
		if (*p == w) {
			*p = w->next;
			break;
		}
	}
	pthread_mutex_unlock(&sv->lock);
}

static int swap_held(struct ctl_call *c, struct served *sv,
		     struct swap_job *s, struct swap *w)
{
	Orchfs__Control__WhereInfo *info;
	int rc;

	s->swap = w;
	rc = served_call(sv, &s->j, 0);
	if (!rc)
		rc = swap_wait(sv, w, s->timeout_ms);
	swap_unlink(sv, w);
	if (rc == -ENOTCONN)
		return say(c, rc, "the namespace is not attached to the "
			   "kernel: modprobe orchfs");
	if (rc < 0) {
		snprintf(c->message, sizeof(c->message), "the layout of inode "
			 "%llu was not swapped: %s", (unsigned long long)
			 s->ino, w->text[0] ? w->text : strerror(-rc));
		return rc;
	}
	info = arena_zalloc(c->a, sizeof(*info));
	if (!info)
		return -ENOMEM;
	orchfs__control__where_info__init(info);
	info->ino = s->ino;
	info->version = s->layout.version;
	info->layout_generation = s->layout.generation;
	info->ns = ctl_strdup(c, sv->name);
	c->resp.where = info;
	return 0;
}

static int op_swap(struct ctl_call *c)
{
	struct swap_job *s = job_new(sizeof(*s), swap_run);
	struct swap w = { 0 };
	struct served *sv;
	int rc;

	if (!s)
		return -ENOMEM;
	s->ino = c->req->swap->ino;
	s->timeout_ms = c->req->swap->timeout_ms;
	if (!s->timeout_ms || s->timeout_ms > 600000)
		s->timeout_ms = SWAP_MS;
	rc = ctl_served(c, c->req->swap->ns, &sv);
	if (!rc) {
		rc = swap_held(c, sv, s, &w);
		served_release(sv);
	}
	job_put(&s->j);
	return rc;
}

static int sync_run(struct served *sv, struct job *j)
{
	struct ns_deletion d;

	(void)j;
	deleter_kick(sv);
	return ns_deletions(sv->ns, 0, &d, 1);
}

/* Deletions are done in batches; each end of one is a change to look at. */
static int sync_deletions(struct ctl_call *c, struct served *sv)
{
	uint64_t seen, end = now_ms() + SYNC_MS;
	struct timespec t;
	int rc;

	for (;;) {
		pthread_mutex_lock(&sv->lock);
		seen = sv->deletions_done;
		pthread_mutex_unlock(&sv->lock);
		rc = run_job(c, sv, sync_run);
		if (rc <= 0)
			return rc;
		if (now_ms() > end)
			return say(c, -ETIMEDOUT, "names are durable, but "
				   "some backing files could not be deleted "
				   "yet; see the log");
		clock_gettime(CLOCK_MONOTONIC, &t);
		t.tv_sec++;
		pthread_mutex_lock(&sv->lock);
		if (sv->deletions_done == seen && !sv->closing)
			pthread_cond_timedwait(&sv->changed, &sv->lock, &t);
		rc = sv->closing ? -ESHUTDOWN : 0;
		pthread_mutex_unlock(&sv->lock);
		if (rc < 0)
			return rc;
	}
}

static int txn_run(struct served *sv, struct job *j)
{
	(void)j;
	served_txn(sv);
	return 0;
}

static int op_sync(struct ctl_call *c)
{
	struct served *sv;
	int rc;

	rc = ctl_served(c, c->req->sync->name, &sv);
	if (rc < 0)
		return rc;
	rc = run_job(c, sv, txn_run);
	if (!rc)
		rc = sync_wait(sv, atomic_load(&sv->last_txn));
	if (!rc)
		rc = sync_deletions(c, sv);
	served_release(sv);
	return rc;
}

static void link_into_state(struct ctl_call *c, struct served *sv)
{
	const char *state = ctl_state_dir(c->ctl);
	char real[PATH_MAX], link[PATH_MAX + 80];
	size_t n;

	if (!realpath(state, real))
		return;
	n = strlen(real);
	if (!strncmp(sv->dir, real, n) && sv->dir[n] == '/' &&
	    !strchr(sv->dir + n + 1, '/'))
		return;		/* found there at each start anyway */
	snprintf(link, sizeof(link), "%s/%s", real, sv->name);
	if (symlink(sv->dir, link) < 0 && errno != EEXIST)
		log_warn(sv->name, "cannot make the link %s: %s: the "
			 "namespace is not served after a restart", link,
			 strerror(errno));
}

int ctl_load_wait(struct ctl_call *c, struct served *sv)
{
	char problem[VOLUME_WHY];

	pthread_mutex_lock(&sv->lock);
	while (sv->state == SERVED_STARTING)
		pthread_cond_wait(&sv->changed, &sv->lock);
	pthread_mutex_unlock(&sv->lock);
	if (served_get_state(sv, problem, sizeof(problem)) == SERVED_REFUSED)
		return say(c, -EIO, problem);
	link_into_state(c, sv);
	return 0;
}

static int op_load(struct ctl_call *c)
{
	static pthread_mutex_t one = PTHREAD_MUTEX_INITIALIZER;
	char real[PATH_MAX], db[PATH_MAX + 4];
	const char *store = c->req->load->store;
	struct served *sv;
	int rc;

	if (store[0] != '/' || !realpath(store, real)) {
		snprintf(c->message, sizeof(c->message), "%.300s is no store: "
			 "give the absolute path that orchctl init printed",
			 store);
		return -ENOENT;
	}
	snprintf(db, sizeof(db), "%s/db", real);
	if (access(db, F_OK) < 0) {
		snprintf(c->message, sizeof(c->message), "there is no store "
			 "in %.300s: make one with orchctl init", real);
		return -ENOENT;
	}
	pthread_mutex_lock(&one);
	sv = served_find_dir(real);
	if (sv && served_get_state(sv, NULL, 0) != SERVED_REFUSED) {
		pthread_mutex_unlock(&one);
		snprintf(c->message, sizeof(c->message), "the store %.300s is "
			 "served already", real);
		return -EEXIST;
	}
	rc = served_begin(real, &sv);
	pthread_mutex_unlock(&one);
	if (rc == -ESHUTDOWN)
		return say(c, rc, "orchd is stopping: try again when it runs");
	return rc < 0 ? rc : ctl_load_wait(c, sv);
}

static int op_stop(struct ctl_call *c)
{
	c->stop = true;
	return 0;
}

static const struct {
	Orchfs__Control__Request__OpCase op;
	int (*run)(struct ctl_call *c);
} ops[] = {
	{ ORCHFS__CONTROL__REQUEST__OP_STATUS, op_status },
	{ ORCHFS__CONTROL__REQUEST__OP_VOLUME_ADD, ctl_volume_add },
	{ ORCHFS__CONTROL__REQUEST__OP_VOLUME_LIST, ctl_volume_list },
	{ ORCHFS__CONTROL__REQUEST__OP_VOLUME_REMOVE, ctl_volume_remove },
	{ ORCHFS__CONTROL__REQUEST__OP_VOLUME_SET, ctl_volume_set },
	{ ORCHFS__CONTROL__REQUEST__OP_VOLUME_DRAIN, ctl_volume_drain },
	{ ORCHFS__CONTROL__REQUEST__OP_WHERE, op_where },
	{ ORCHFS__CONTROL__REQUEST__OP_BACKUP, op_backup },
	{ ORCHFS__CONTROL__REQUEST__OP_CHECKPOINT, op_checkpoint },
	{ ORCHFS__CONTROL__REQUEST__OP_SWAP, op_swap },
	{ ORCHFS__CONTROL__REQUEST__OP_LOAD, op_load },
	{ ORCHFS__CONTROL__REQUEST__OP_STOP, op_stop },
	{ ORCHFS__CONTROL__REQUEST__OP_SYNC, op_sync },
	{ ORCHFS__CONTROL__REQUEST__OP_TAKE_OVER, ctl_take_over },
	{ ORCHFS__CONTROL__REQUEST__OP_TAKEN, ctl_taken },
	{ ORCHFS__CONTROL__REQUEST__OP_GIVE_BACK, ctl_give_back },
	{ ORCHFS__CONTROL__REQUEST__OP_UPGRADE, ctl_upgrade },
	{ ORCHFS__CONTROL__REQUEST__OP_MOVE, ctl_move },
	{ ORCHFS__CONTROL__REQUEST__OP_CLUSTER_INIT, ctl_cluster_init },
	{ ORCHFS__CONTROL__REQUEST__OP_NODE_INVITE, ctl_node_invite },
	{ ORCHFS__CONTROL__REQUEST__OP_NODE_JOIN, ctl_node_join },
	{ ORCHFS__CONTROL__REQUEST__OP_NODE_LIST, ctl_node_list },
	{ ORCHFS__CONTROL__REQUEST__OP_NODE_SHOW, ctl_node_show },
	{ ORCHFS__CONTROL__REQUEST__OP_NODE_REMOVE, ctl_node_remove },
	{ ORCHFS__CONTROL__REQUEST__OP_NODE_FILES, ctl_node_files },
	{ ORCHFS__CONTROL__REQUEST__OP_JOB_LIST, ctl_job_list },
	{ ORCHFS__CONTROL__REQUEST__OP_JOB_GET, ctl_job_get },
	{ ORCHFS__CONTROL__REQUEST__OP_JOB_CANCEL, ctl_job_cancel },
};

int ctl_run(struct ctl_call *c)
{
	int rc;

	if (ctl_pass_on(c, &rc))
		return rc;
	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
		if (ops[i].op == c->req->op_case)
			return ops[i].run(c);
	return say(c, -EOPNOTSUPP, "unknown operation: use orchctl and orchd "
		   "of the same release");
}
