// SPDX-License-Identifier: Apache-2.0
/* One served namespace: its thread, calls into it, and the list of all. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "agent.h"
#include "arena.h"
#include "cluster.h"
#include "data.h"
#include "exec.h"
#include "export.h"
#include "home.h"
#include "log.h"
#include "mover.h"
#include "served.h"

static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;
static struct served *registry;			/* registry_lock */
static struct work_queue *settled_queue;	/* set once, before threads */
static void (*settled_fn)(struct work *);
static bool registry_closed;			/* registry_lock */
static bool hold_back;			/* main thread */

uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

void served_on_settled(struct work_queue *q, void (*fn)(struct work *))
{
	settled_queue = q;
	settled_fn = fn;
}

struct served *served_first(void)
{
	struct served *sv;

	pthread_mutex_lock(&registry_lock);
	sv = registry;
	pthread_mutex_unlock(&registry_lock);
	return sv;
}

struct served *served_next(struct served *sv)
{
	pthread_mutex_lock(&registry_lock);
	sv = sv->next;
	pthread_mutex_unlock(&registry_lock);
	return sv;
}

static bool name_is(struct served *sv, const char *name)
{
	bool same;

	pthread_mutex_lock(&sv->lock);
	same = !strcmp(sv->name, name);
	pthread_mutex_unlock(&sv->lock);
	return same;
}

struct served *served_find(const char *name)
{
	struct served *sv, *refused = NULL;

	for (sv = served_first(); sv; sv = served_next(sv)) {
		if (*name && !name_is(sv, name))
			continue;
		if (served_get_state(sv, NULL, 0) != SERVED_REFUSED)
			return sv;
		refused = sv;
	}
	return refused;
}

struct served *served_find_dir(const char *dir)
{
	struct served *sv, *refused = NULL;

	for (sv = served_first(); sv; sv = served_next(sv)) {
		if (strcmp(sv->dir, dir))
			continue;
		if (served_get_state(sv, NULL, 0) != SERVED_REFUSED)
			return sv;
		refused = sv;
	}
	return refused;
}

void served_close_registry(bool closed)
{
	pthread_mutex_lock(&registry_lock);
	registry_closed = closed;
	pthread_mutex_unlock(&registry_lock);
}

/* Who stops all sees it with its thread, or never. */
int served_register(struct served *sv)
{
	struct served **p;
	int rc = -ESHUTDOWN;

	pthread_mutex_lock(&registry_lock);
	if (!registry_closed) {
		for (p = &registry; *p; p = &(*p)->next)
			;
		*p = sv;
		rc = sv->thread_started ? 0 : served_start(sv);
	}
	pthread_mutex_unlock(&registry_lock);
	return rc;
}

int served_begin(const char *dir, struct served **out)
{
	struct served *sv = served_new(dir);
	int rc;

	if (!sv)
		return -ENOMEM;
	rc = served_register(sv);
	if (rc == -ESHUTDOWN)
		served_free(sv);
	else
		*out = sv;
	return rc;
}

int served_claim(struct served *sv, const char *name, const uint8_t uuid[16])
{
	struct served *o;
	int rc = 0;

	pthread_mutex_lock(&registry_lock);
	for (o = registry; o && !rc; o = o->next) {
		if (o == sv)
			continue;
		pthread_mutex_lock(&o->lock);
		if (o->claimed &&
		    (!strcmp(o->name, name) || !memcmp(o->uuid, uuid, 16)))
			rc = -EEXIST;
		pthread_mutex_unlock(&o->lock);
	}
	if (!rc) {
		pthread_mutex_lock(&sv->lock);
		strncpy(sv->name, name, sizeof(sv->name) - 1);
		memcpy(sv->uuid, uuid, 16);
		sv->claimed = true;
		pthread_mutex_unlock(&sv->lock);
	}
	pthread_mutex_unlock(&registry_lock);
	return rc;
}

const char *served_state_name(enum served_state s)
{
	static const char *const names[] = {
		[SERVED_STARTING] = "starting",
		[SERVED_WAITING] = "waiting",
		[SERVED_SERVING] = "serving",
		[SERVED_REFUSED] = "refused",
		[SERVED_STOPPING] = "stopping",
		[SERVED_AGENT] = "agent",
	};

	return names[s];
}

void served_set_state(struct served *sv, enum served_state s,
		      const char *problem)
{
	bool news;

	pthread_mutex_lock(&sv->lock);
	news = sv->state != s || strcmp(sv->problem, problem);
	sv->state = s;
	if (problem != sv->problem)
		snprintf(sv->problem, sizeof(sv->problem), "%s", problem);
	pthread_cond_broadcast(&sv->changed);
	pthread_mutex_unlock(&sv->lock);
	if (news && *problem)
		log_msg(s == SERVED_REFUSED ? LOG_ERR : LOG_WARNING, sv->name,
			"%s", problem);
	else if (news && s == SERVED_SERVING)
		log_info(sv->name, "serving %s", sv->dir);
	if (news && s != SERVED_STARTING && settled_queue &&
	    !sv->settled_work.run) {
		sv->settled_work.run = settled_fn;
		work_post(settled_queue, &sv->settled_work);
	}
}

enum served_state served_get_state(struct served *sv, char *problem,
				   size_t len)
{
	enum served_state s;

	pthread_mutex_lock(&sv->lock);
	s = sv->state;
	if (problem)
		snprintf(problem, len, "%s", sv->problem);
	pthread_mutex_unlock(&sv->lock);
	return s;
}

bool served_settled(struct served *sv)
{
	return served_get_state(sv, NULL, 0) != SERVED_STARTING;
}

struct volume *served_volume(struct served *sv, uint32_t id)
{
	struct volume *v;

	for (v = sv->volumes; v && v->rec.id != id; v = v->next)
		;
	return v;
}

void served_txn(struct served *sv)
{
	uint64_t last = ns_txn(sv->ns);
	int rc = store_failed(sv->st);

	if (rc < 0)
		sync_fatal(sv, rc);
	if (last == atomic_load(&sv->last_txn))
		return;
	atomic_store(&sv->last_txn, last);
	if (last > store_durable(sv->st))
		sync_dirty(sv);
}

static void after_turn(struct served *sv)
{
	if (sv->ns) {
		pool_maintain(sv);
		served_txn(sv);
	}
	if ((sv->need_detach || sv->ch.lost) && sv->attached) {
		log_warn(sv->name, "the channel lost a message: attaching "
			 "again");
		attach_lost(sv);	/* the kernel keeps what is open */
	}
	if (sv->need_resync && sv->attached)
		attach_resync(sv);
	if (sv->ns && sv->answers_due)
		answer_run(sv);
	if (sv->attached && sv->ch.overrun)
		nl_ops_poll(sv);
	if (sv->need_attach && !sv->stopping) {
		sv->need_attach = false;
		attach_try(sv);
	}
	if (sv->homes && sv->ns)
		homes_turn(sv);
}

static void queue_event(struct loop_source *s, uint32_t events)
{
	(void)events;
	work_run(&container_of(s, struct served, queue_source)->queue);
}

static void timer_event(struct loop_source *s, uint32_t events)
{
	struct served *sv = container_of(s, struct served, timer_source);

	(void)events;
	loop_timer_read(s->fd);
	if (!sv->attached)
		sv->need_attach = true;
	if (sv->deleter.failed)
		deleter_kick(sv);
	flush_kick(sv);
	if (sv->ns) {
		attach_tick(sv);
		sessions_tick(sv);
		homes_tick(sv);
	}
	if (sv->ns && sv->waiters)
		answer_run(sv);
	pool_tick(sv);
	data_tick(sv);	/* before it is let go of */
	health_tick(sv);
	nl_ops_tick(sv);
	exec_unpark(sv);
	readmit_tick(sv);
	mover_tick(sv);
	exporter_tick(sv);
}

static int thread_setup(struct served *sv)
{
	int rc;

	rc = loop_init(&sv->loop);
	if (rc < 0)
		return rc;
	sv->timer_source.fd = loop_timer(1000);
	if (sv->timer_source.fd < 0)
		return sv->timer_source.fd;
	sv->timer_source.fn = timer_event;
	sv->queue_source.fd = sv->queue.efd;
	sv->queue_source.fn = queue_event;
	rc = loop_add(&sv->loop, &sv->timer_source, EPOLLIN);
	if (!rc)
		rc = loop_add(&sv->loop, &sv->queue_source, EPOLLIN);
	return rc;
}

static void thread_teardown(struct served *sv)
{
	family_unwatch(sv);
	channel_close(&sv->ch);
	if (sv->timer_source.fd >= 0)
		close(sv->timer_source.fd);
	loop_destroy(&sv->loop);
}

static void *served_main(void *arg)
{
	struct served *sv = arg;
	int rc;

	if (sv->agent) {
		agent_main(sv);
		return NULL;
	}
	rc = thread_setup(sv);
	if (!rc)
		rc = serve_open(sv);
	else
		served_set_state(sv, SERVED_REFUSED, strerror(-rc));
	if (!rc) {
		family_watch(sv);
		if (sv->held_back)
			served_set_state(sv, SERVED_WAITING, "until all "
					 "namespaces are taken over");
		else
			serve_own(sv);
		after_turn(sv);
	}
	while (!rc && !sv->stopping) {
		rc = loop_turn(&sv->loop, -1);
		if (rc > 0)
			rc = 0;
		after_turn(sv);
	}
	serve_close(sv);
	work_close(&sv->queue);
	work_run(&sv->queue);	/* callers that came too late */
	thread_teardown(sv);
	return NULL;
}

struct served *served_new(const char *dir)
{
	struct served *sv = calloc(1, sizeof(*sv));
	pthread_condattr_t a;
	const char *base;

	if (!sv)
		return NULL;
	snprintf(sv->dir, sizeof(sv->dir), "%s", dir);
	base = strrchr(dir, '/');
	snprintf(sv->name, sizeof(sv->name), "%.63s", base ? base + 1 : dir);
	pthread_mutex_init(&sv->lock, NULL);
	pthread_condattr_init(&a);
	pthread_condattr_setclock(&a, CLOCK_MONOTONIC);
	pthread_cond_init(&sv->changed, &a);
	pthread_condattr_destroy(&a);
	sv->ch.fd = -1;
	sv->loop.epfd = -1;
	sv->timer_source.fd = -1;
	sv->family_source.fd = -1;
	sv->waiters_tail = &sv->waiters;
	sv->held_back = hold_back;
	sv->agent = cluster_is_agent(dir);
	sv->parked_tail = &sv->parked;
	sv->recent = calloc(RECENT_MAX, sizeof(*sv->recent));
	if (!sv->recent || work_queue_init(&sv->queue) < 0) {
		free(sv->recent);
		free(sv);
		return NULL;
	}
	return sv;
}

int served_start(struct served *sv)
{
	int rc = thread_start(&sv->thread, "orchd-ns", served_main, sv);

	sv->thread_started = !rc;
	if (rc < 0)
		served_set_state(sv, SERVED_REFUSED, strerror(-rc));
	return rc;
}

struct stop_work {
	struct work w;
	struct served *sv;
};

static void stop_run(struct work *w)
{
	struct stop_work *s = container_of(w, struct stop_work, w);

	s->sv->stopping = true;
	free(s);
}

void served_stop(struct served *sv)
{
	struct stop_work *s = calloc(1, sizeof(*s));

	if (!s)
		abort();
	s->w.run = stop_run;
	s->sv = sv;
	atomic_store(&sv->leaving, true);
	if (!work_post(&sv->queue, &s->w))
		free(s);	/* it has ended already */
}

void served_hold_back(void)
{
	hold_back = true;
}

static void release_run(struct work *w)
{
	struct stop_work *s = container_of(w, struct stop_work, w);
	struct served *sv = s->sv;

	free(s);
	if ((!sv->ns && !sv->cluster) || sv->stopping)
		return;
	sv->held_back = false;
	if (sv->agent)
		agent_begin(sv);
	else
		serve_own(sv);
}

void served_release_all(void)
{
	struct stop_work *s;
	struct served *sv;

	hold_back = false;
	for (sv = served_first(); sv; sv = served_next(sv)) {
		s = calloc(1, sizeof(*s));
		if (!s)
			abort();
		s->w.run = release_run;
		s->sv = sv;
		if (!work_post(&sv->queue, &s->w))
			free(s);
	}
}

void served_join(struct served *sv)
{
	static pthread_mutex_t one = PTHREAD_MUTEX_INITIALIZER;

	/* a control thread may want to, and then the main thread */
	pthread_mutex_lock(&one);
	if (sv->thread_started)
		pthread_join(sv->thread, NULL);
	sv->thread_started = false;
	pthread_mutex_unlock(&one);
}

void served_free(struct served *sv)
{
	work_queue_destroy(&sv->queue);
	arena_free(sv->arena);
	data_free(sv);
	agent_free(sv);
	free(sv->recent);
	free(sv);
}

static int hold(struct served *sv, bool agent)
{
	int rc = -ESHUTDOWN;

	pthread_mutex_lock(&sv->lock);
	if (!sv->closing &&
	    ((sv->ns && (sv->state == SERVED_SERVING ||
			 sv->state == SERVED_WAITING)) ||
	     (agent && sv->state == SERVED_AGENT))) {
		sv->users++;
		rc = 0;
	}
	pthread_mutex_unlock(&sv->lock);
	return rc;
}

int served_hold(struct served *sv)
{
	return hold(sv, false);
}

int served_hold_cluster(struct served *sv)
{
	return hold(sv, true);
}

void served_release(struct served *sv)
{
	pthread_mutex_lock(&sv->lock);
	sv->users--;
	pthread_cond_broadcast(&sv->changed);
	pthread_mutex_unlock(&sv->lock);
}

int served_quiet(struct served *sv, uint64_t end)
{
	struct timespec t = {
		.tv_sec = (time_t)(end / 1000),
		.tv_nsec = (long)(end % 1000) * 1000000,
	};
	int rc = 0;

	pthread_mutex_lock(&sv->lock);
	while (sv->users && !rc)
		rc = -pthread_cond_timedwait(&sv->changed, &sv->lock, &t);
	pthread_mutex_unlock(&sv->lock);
	return rc;
}

bool served_closing(struct served *sv)
{
	bool closing;

	pthread_mutex_lock(&sv->lock);
	closing = sv->closing;
	pthread_mutex_unlock(&sv->lock);
	return closing;
}

/* Their calls into this thread are served meanwhile. */
void served_wait_users(struct served *sv)
{
	struct timespec end;

	pthread_mutex_lock(&sv->lock);
	sv->closing = true;
	pthread_cond_broadcast(&sv->changed);
	while (sv->users) {
		pthread_mutex_unlock(&sv->lock);
		work_run(&sv->queue);
		clock_gettime(CLOCK_MONOTONIC, &end);
		end.tv_nsec += 20000000;
		if (end.tv_nsec >= 1000000000) {
			end.tv_nsec -= 1000000000;
			end.tv_sec++;
		}
		pthread_mutex_lock(&sv->lock);
		if (sv->users)
			pthread_cond_timedwait(&sv->changed, &sv->lock, &end);
	}
	pthread_mutex_unlock(&sv->lock);
}

void *job_new(size_t size, int (*fn)(struct served *, struct job *))
{
	struct job *j = calloc(1, size);

	if (!j)
		return NULL;
	atomic_init(&j->refs, 1);
	j->fn = fn;
	return j;
}

void job_put(struct job *j)
{
	if (!j || atomic_fetch_sub(&j->refs, 1) != 1)
		return;
	if (j->release)
		j->release(j);
	free(j);
}

static void job_run(struct work *w)
{
	struct job *j = container_of(w, struct job, w);
	struct served *sv = j->sv;

	j->rc = sv->ns || sv->agent ? j->fn(sv, j) : -ESHUTDOWN;
	if (sv->ns)
		served_txn(sv);
	pthread_mutex_lock(&sv->lock);
	j->done = true;
	pthread_cond_broadcast(&sv->changed);
	pthread_mutex_unlock(&sv->lock);
	job_put(j);
}

int served_call(struct served *sv, struct job *j, int timeout_ms)
{
	struct timespec end;
	int rc = 0;

	j->sv = sv;
	j->w.run = job_run;
	atomic_fetch_add(&j->refs, 1);
	if (!work_post(&sv->queue, &j->w)) {
		job_put(j);
		return -ESHUTDOWN;
	}
	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += timeout_ms / 1000;
	pthread_mutex_lock(&sv->lock);
	while (!j->done && !rc) {
		if (timeout_ms)
			rc = -pthread_cond_timedwait(&sv->changed, &sv->lock,
						     &end);
		else
			pthread_cond_wait(&sv->changed, &sv->lock);
	}
	if (j->done)
		rc = j->rc;
	pthread_mutex_unlock(&sv->lock);
	return rc;
}
