// SPDX-License-Identifier: Apache-2.0
/*
 * One namespace behind its channel: requests are messages of the kernel, and
 * what the daemon sends are its answers. Real are decoding, executing, the
 * engine, the store, the sync thread and its group commit, and encoding; in the
 * place of the kernel, and of volumes and their files, is this.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <netlink/genl/genl.h>
#include <netlink/msg.h>

#include "arena.h"
#include "bench.h"
#include "exec.h"
#include "nl.h"

#define FAMILY		0x25
#define TURN		64	/* messages between two looks at the queue */
#define INOS		(1U << 20)
#define BOOT		"11111111-2222-3333-4444-555555555555"
#define DELETIONS	256

/* Clients at work; one engine at a time. */
static struct {
	struct engine *e;
	const struct requests *r;
	struct outcome *o;
	size_t next, done;
	struct {
		size_t at;		/* its request */
		uint64_t since;
	} client[CLIENTS_MAX];
	unsigned int ready[CLIENTS_MAX];	/* a ring: who sends */
	unsigned int first, nr_ready;
} run;

/* --- in the place of volumes --- */

bool __wrap_pool_ready(struct served *sv, uint32_t origin);
bool __wrap_pool_ready(struct served *sv, uint32_t origin)
{
	struct engine *e = container_of(sv, struct engine, sv);

	(void)origin;
	if (e->ino_left)
		return true;
	must(ns_reserve(sv->ns, "ino", INOS, &e->next_ino), "reserve numbers");
	e->ino_left = INOS;
	return true;
}

static int take(void *ctx, uint32_t origin, struct ns_backing *out)
{
	struct engine *e = ctx;

	(void)origin;
	e->ino_left--;
	*out = (struct ns_backing){
		.ino = e->next_ino, .instance = e->next_ino, .volume = 1,
	};
	e->next_ino++;
	return 0;
}

static void put_back(void *ctx, const struct ns_backing *b)
{
	(void)ctx;
	(void)b;
	die("a create failed");
}

static int backing(void *ctx, uint32_t volume, uint64_t ino, uint64_t version,
		   uint64_t instance, struct ns_backing_stat *out)
{
	(void)ctx;
	(void)volume;
	(void)ino;
	(void)version;
	(void)instance;
	memset(out, 0, sizeof(*out));
	return 0;
}

static int own(void *ctx, uint32_t volume, uint64_t ino, uint64_t version,
	       uint64_t instance, const struct ns_owner *owner)
{
	(void)ctx;
	(void)volume;
	(void)ino;
	(void)version;
	(void)instance;
	(void)owner;
	return 0;
}

static const struct ns_backing_ops ops = {
	.take = take, .put_back = put_back, .stat = backing, .own = own,
};

static uint64_t deletions_after;

/* The files are gone at once; the records are the engine's to remove. */
void __wrap_deleter_kick(struct served *sv);
void __wrap_deleter_kick(struct served *sv)
{
	const uint64_t durable = store_durable(sv->st);
	struct ns_deletion d[DELETIONS];
	uint64_t seqs[DELETIONS];
	int n;

	do {
		n = ns_deletions(sv->ns, deletions_after, d, DELETIONS);
		must(n, "read deletions");
		while (n > 0 && d[n - 1].txn > durable)
			n--;
		for (int i = 0; i < n; i++)
			seqs[i] = d[i].seq;
		if (!n)
			return;
		deletions_after = seqs[n - 1];
		must(ns_deletions_done(sv->ns, seqs, (size_t)n),
		     "remove deletions");
	} while (n == DELETIONS);
}

/* --- in the place of the kernel --- */

static void send_next(unsigned int c, uint64_t now)
{
	if (run.next == run.r->nr)
		return;
	run.client[c].at = run.next++;
	run.client[c].since = now;
	run.ready[(run.first + run.nr_ready++) % CLIENTS_MAX] = c;
}

static void count_entries(struct nlmsghdr *nlh)
{
	struct nlattr *a;
	int rem;

	nlmsg_for_each_attr(a, nlh, GENL_HDRLEN, rem)
		run.o->entries += nla_type(a) == ORCHFS_A_MSG_ENTRY;
}

static void answered(struct nlmsghdr *nlh)
{
	const uint64_t now = clock_ns();
	struct nlattr *a;
	unsigned int c;
	int status;
	size_t at;

	a = nlmsg_find_attr(nlh, GENL_HDRLEN, ORCHFS_A_MSG_REQUEST_ID);
	c = a ? (unsigned int)(nla_get_u64(a) % CLIENTS_MAX) : 0;
	at = run.client[c].at;
	a = nlmsg_find_attr(nlh, GENL_HDRLEN, ORCHFS_A_MSG_STATUS);
	status = a ? nla_get_s32(a) : -EPROTO;
	must(status, "request");
	run.o->late[at] = (uint32_t)(now - run.client[c].since);
	a = nlmsg_find_attr(nlh, GENL_HDRLEN, ORCHFS_A_MSG_ATTR);
	if (run.o->ino)
		run.o->ino[at] = a ?
			((struct orchfs_attr *)nla_data(a))->ino : 0;
	if (!a)
		count_entries(nlh);
	run.done++;
	send_next(c, now);
}

int __wrap_channel_send(struct channel *ch, struct nl_msg *m, uint32_t *seq);
int __wrap_channel_send(struct channel *ch, struct nl_msg *m, uint32_t *seq)
{
	(void)ch;
	(void)seq;
	if (!m)
		return -ENOMEM;
	if (nl_cmd(nlmsg_hdr(m)) == ORCHFS_CMD_REPLY)
		answered(nlmsg_hdr(m));
	nlmsg_free(m);
	return 0;
}

/* --- running --- */

void outcome_free(struct outcome *o)
{
	free(o->ino);
	free(o->late);
	*o = (struct outcome){ 0 };
}

static void execute(struct engine *e, unsigned int c)
{
	struct nlmsghdr *h = request_at(run.r, run.client[c].at);

	request_address(h, run.client[c].at * CLIENTS_MAX + c, c,
			++e->sequence[c]);
	exec_kernel(&e->sv, h);
}

/* As the daemon's loop: some messages, then what other threads have posted. */
static void turn(struct engine *e)
{
	struct pollfd p = { .fd = e->sv.queue.efd, .events = POLLIN };

	for (int i = 0; i < TURN && run.nr_ready; i++) {
		unsigned int c = run.ready[run.first];

		run.first = (run.first + 1) % CLIENTS_MAX;
		run.nr_ready--;
		execute(e, c);
	}
	if (run.done < run.r->nr &&
	    poll(&p, 1, run.nr_ready ? 0 : 10000) <= 0 && !run.nr_ready)
		die("no answer for 10 seconds");
	if (p.revents)
		work_run(&e->sv.queue);
	if (e->sv.need_detach)
		die("the channel was given up");
}

/* Of the namespace's thread, which is this one, and of its sync thread. */
static uint64_t clock_threads(struct engine *e)
{
	struct timespec t = { 0 };
	clockid_t id;

	if (!pthread_getcpuclockid(e->sv.sync.thread, &id))
		clock_gettime(id, &t);
	return clock_cpu() + (uint64_t)t.tv_sec * 1000000000ULL +
	       (uint64_t)t.tv_nsec;
}

void engine_run(struct engine *e, const struct requests *r,
		unsigned int clients, struct outcome *o)
{
	uint64_t begin, cpu = clock_threads(e);

	o->late = must_grow(o->late, &o->size, r->nr, sizeof(*o->late));
	o->entries = 0;
	memset(&run, 0, sizeof(run));
	run.e = e;
	run.r = r;
	run.o = o;
	begin = clock_ns();
	for (unsigned int c = 0; c < clients; c++)
		send_next(c, begin);
	while (run.done < r->nr)
		turn(e);
	o->ns = clock_ns() - begin;
	o->cpu = clock_threads(e) - cpu;
}

uint64_t engine_forget(struct engine *e, const uint64_t *ino, size_t nr)
{
	struct ns_note notes[64];
	uint64_t begin = clock_ns();
	size_t n = 0;

	for (size_t i = 0; i < nr; i++) {
		notes[n++] = (struct ns_note){
			.kind = ORCHFS_KIND_NOTE_FORGET, .node = ino[i],
		};
		if (n < 64 && i + 1 < nr)
			continue;
		must(exec_notes(&e->sv, 0, notes, n), "forget");
		n = 0;
	}
	must(store_barrier(e->sv.st), "barrier");
	__wrap_deleter_kick(&e->sv);
	return clock_ns() - begin;
}

/* --- opening --- */

static void add_volume(struct ns *ns)
{
	struct ns_volume *v = must_alloc(sizeof(*v));

	v->id = 1;
	strcpy(v->name, "bench");
	strcpy(v->path, "/nowhere");
	must(ns_volume_put(ns, v), "add a volume");
	free(v);
}

struct engine *engine_open(const char *kind, const char *dir, bool create)
{
	static const uint8_t uuid[16] = "0123456789abcdef";
	struct engine *e = must_alloc(sizeof(*e));
	struct served *sv = &e->sv;
	struct store_opts so = { .create = create };
	uint64_t begin = clock_ns();
	const char *why = "";

	e->kind = kind;
	must(store_open(kind, dir, &so, &sv->st, &why), dir);
	e->open_ns = clock_ns() - begin;
	if (create)
		must(ns_format(sv->st, "bench", uuid), "format");
	begin = clock_ns();
	must(ns_open(sv->st, &ops, e, BOOT, &sv->ns, &why), "namespace");
	e->ready_ns = clock_ns() - begin;
	if (create)
		add_volume(sv->ns);
	strcpy(sv->name, "bench");
	sv->waiters_tail = &sv->waiters;
	sv->parked_tail = &sv->parked;
	sv->recent = must_alloc(RECENT_MAX * sizeof(*sv->recent));
	sv->ch.family = FAMILY;
	sv->attached = true;
	must(work_queue_init(&sv->queue), "queue");
	must(sync_start(sv), "sync thread");
	deletions_after = 0;
	for (unsigned int c = 0; c < CLIENTS_MAX; c++)
		e->sequence[c] = clock_ns();	/* above an earlier run's */
	return e;
}

void engine_close(struct engine *e)
{
	struct served *sv = &e->sv;

	capture_store(sv->st, NULL, NULL);
	sync_stop(sv);
	work_run(&sv->queue);
	sv->attached = false;
	must(ns_close(sv->ns), "close");
	store_close(sv->st);
	arena_free(sv->arena);
	work_queue_destroy(&sv->queue);
	free(sv->recent);
	free(e);
}
