// SPDX-License-Identifier: Apache-2.0
/*
 * When the names are exported to the volumes: Documentation/rebuild.md. All
 * here but round_run() and write_all() is the namespace thread's.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "export.h"
#include "fault.h"
#include "log.h"
#include "served.h"

#define CHANGES_MIN	1000
#define SOON_MS		(5 * 60 * 1000)
#define LATE_MS		(60 * 60 * 1000)
#define FINAL_MS	45000
#define REST		20	/* times as long as the last one took */

struct export_round {
	struct work w;
	struct served *sv;
	struct backup_stats stats;
	uint64_t began;
	size_t nr, failed;
	bool cut;		/* short, by the stop of the daemon */
	struct volume *volume[];
};

static void round_free(struct export_round *r)
{
	for (size_t i = 0; i < r->nr; i++)
		volume_put(r->volume[i]);
	free(r);
}

static bool round_stop(void *ctx)
{
	return atomic_load(&((struct served *)ctx)->exporter.stopped);
}

static void write_all(struct export_round *r, bool (*stop)(void *ctx),
		      void *ctx)
{
	int from = -1;

	for (size_t i = 0; i < r->nr; i++) {
		struct volume *v = r->volume[i];
		int fd;

		fd = fault_hit("cut-export") ? -ECANCELED :
		     export_write(v->root_fd, r->sv->st, from,
				  VOLUME_MIN_FREE + v->rec.reserve, stop, ctx,
				  &r->stats);
		if (fd < 0) {
			r->failed++;
			/* what a stop cuts short it does itself */
			if (fd == -ECANCELED && stop == round_stop) {
				r->cut = true;
				continue;
			}
			log_warn(r->sv->name, "volume %s: the names cannot be "
				 "exported to it: %s; the exports there stay "
				 "as they are", v->rec.name, strerror(-fd));
		} else if (from < 0) {
			from = fd;
		} else {
			close(fd);
		}
	}
	if (from >= 0)
		close(from);
}

static struct export_round *round_new(struct served *sv)
{
	struct export_round *r;
	struct volume *v;
	size_t max = 0;

	for (v = sv->volumes; v; v = v->next)
		max += volume_here(v) && !v->removing;
	if (!max)
		return NULL;
	r = calloc(1, sizeof(*r) + max * sizeof(*r->volume));
	if (!r)
		return NULL;
	r->sv = sv;
	r->began = now_ms();
	for (v = sv->volumes; v && r->nr < max; v = v->next)
		if (volume_here(v) && !v->removing)
			r->volume[r->nr++] = volume_get(v);
	return r;
}

static void told(const struct export_round *r)
{
	struct exporter *ex = &r->sv->exporter;
	uint64_t now = now_ms();

	ex->at = now;
	ex->not_before = now + REST * (now - r->began);
	ex->wanted |= r->cut && r->sv->pausing;
	/* the one at the stop is for the volumes that didn't get this one */
	if (r->failed == r->nr || r->cut)
		return;
	ex->txn = r->stats.seq;
	ex->records = r->stats.records;
	log_debug(r->sv->name, "the names are exported: transaction %llu, %llu "
		  "records", (unsigned long long)ex->txn,
		  (unsigned long long)ex->records);
}

static void round_done(struct work *w)
{
	struct export_round *r = container_of(w, struct export_round, w);

	r->sv->exporter.busy = false;
	told(r);
	round_free(r);
}

/* worker */
static void round_run(struct work *w)
{
	struct export_round *r = container_of(w, struct export_round, w);

	if (!round_stop(r->sv))
		write_all(r, round_stop, r->sv);
	r->w.run = round_done;
	if (!work_post(&r->sv->queue, &r->w))
		round_free(r);
}

static bool due(struct served *sv)
{
	struct exporter *ex = &sv->exporter;
	uint64_t changes = ns_txn(sv->ns) - ex->txn, now = now_ms();
	uint64_t many = ex->records / 10;

	if (!changes || now < ex->not_before)
		return false;
	if (ex->wanted || now >= ex->at + LATE_MS)
		return true;
	return now >= ex->at + SOON_MS &&
	       changes >= (many > CHANGES_MIN ? many : CHANGES_MIN);
}

void exporter_tick(struct served *sv)
{
	struct exporter *ex = &sv->exporter;
	struct export_round *r;

	if (!sv->ns || !ex->worker.started || ex->busy ||
	    atomic_load(&ex->stopped) || !due(sv))
		return;
	r = round_new(sv);
	if (!r)
		return;		/* the timer tries again */
	ex->wanted = false;
	ex->busy = true;
	r->w.run = round_run;
	work_post(&ex->worker.q, &r->w);
}

void exporter_want(struct served *sv)
{
	sv->exporter.wanted = true;
	exporter_tick(sv);
}

/* Where each volume has one of this line of history, the oldest counts. */
static uint64_t exported(struct served *sv)
{
	uint64_t least = UINT64_MAX, seq;
	struct export_file *list;
	struct volume *v;
	size_t nr;

	for (v = sv->volumes; v; v = v->next) {
		if (!volume_here(v))
			continue;
		seq = 0;
		if (export_list(v->root_fd, &list, &nr) < 0)
			return 0;
		if (nr && list[0].epoch == sv->epoch)
			seq = list[0].seq;
		free(list);
		least = seq < least ? seq : least;
	}
	return least > ns_txn(sv->ns) ? 0 : least;
}

int exporter_start(struct served *sv)
{
	struct exporter *ex = &sv->exporter;

	ex->txn = exported(sv);
	ex->wanted = !ex->txn;
	ex->at = now_ms();
	atomic_store(&ex->stopped, false);
	return worker_start(&ex->worker, "orchd-export");
}

void exporter_stop(struct served *sv)
{
	atomic_store(&sv->exporter.stopped, true);
	worker_stop(&sv->exporter.worker);
}

static bool final_stop(void *ctx)
{
	return now_ms() > *(uint64_t *)ctx;
}

void exporter_final(struct served *sv)
{
	uint64_t end = now_ms() + FINAL_MS;
	struct export_round *r;

	if (ns_txn(sv->ns) == sv->exporter.txn)
		return;
	r = round_new(sv);
	if (!r)
		return;
	write_all(r, final_stop, &end);
	told(r);
	round_free(r);
}
