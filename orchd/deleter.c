// SPDX-License-Identifier: Apache-2.0
/*
 * The deleter: a worker that unlinks backing files once the transaction that
 * ordered it is durable, and rewrites the volumes' markers now and then. A
 * deletion's record goes when the unlink is durable: else a power cut could
 * bring the file back when nothing tells any more what it was.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "backing.h"
#include "exec.h"
#include "home.h"
#include "log.h"
#include "served.h"

#define BATCH_MAX	256
#define RETRY_MS	60000
#define MARK_MS		30000
#define FREES_MS	10000	/* a create waits so long for space */
#define FREED_MS	2500	/* two tries of the pool, and more */

struct delete_batch {
	struct work w;
	struct served *sv;
	unsigned int parts;		/* under way: here, and at homes */
	size_t here, nr;		/* the first ones are no far volume's */
	uint64_t seq[BATCH_MAX];
	struct backing_file file[BATCH_MAX];
};

static void batch_free(struct delete_batch *b)
{
	for (size_t i = 0; i < b->nr; i++)
		volume_put(b->file[i].volume);
	free(b);
}

/* The pool that found no space there doesn't wait before it looks again. */
static void freed(struct served *sv, struct volume *v)
{
	sv->deleter.freed_at = now_ms();
	if (v)
		v->pool_retry = 0;
}

/* namespace thread */
static void batch_end(struct delete_batch *b)
{
	struct served *sv = b->sv;
	uint64_t seqs[BATCH_MAX];
	size_t nr = 0;
	int rc = 0;

	for (size_t i = 0; i < b->nr; i++) {
		if (!b->file[i].rc) {
			seqs[nr++] = b->seq[i];
			freed(sv, b->file[i].volume);
		} else {
			sv->deleter.failed = true;
		}
	}
	sv->deleter.busy = false;
	if (sv->ns && nr)
		rc = ns_deletions_done(sv->ns, seqs, nr);
	if (rc < 0)
		log_err(sv->name, "cannot drop deletion records: %s",
			strerror(-rc));
	if (sv->ns)
		served_txn(sv);
	pthread_mutex_lock(&sv->lock);
	sv->deletions_done++;
	pthread_cond_broadcast(&sv->changed);
	pthread_mutex_unlock(&sv->lock);
	batch_free(b);
	if (!rc)
		deleter_kick(sv);
	if (sv->ns && sv->waiters)
		answer_run(sv);
	if (sv->ns && nr)
		exec_unpark(sv);
}

static void part_done(void *batch)
{
	struct delete_batch *b = batch;

	if (!--b->parts)
		batch_end(b);
}

static void batch_done(struct work *w)
{
	part_done(container_of(w, struct delete_batch, w));
}

/* worker */
static void batch_run(struct work *w)
{
	struct delete_batch *b = container_of(w, struct delete_batch, w);

	backing_remove(b->file, b->here);
	for (size_t i = 0; i < b->here; i++) {
		const struct backing_file *f = &b->file[i];

		/* what is wrong with the volume has been reported */
		if (f->rc && volume_writable(f->volume))
			log_warn(b->sv->name, "cannot unlink backing file "
				 "%llx.%llx.%llx: %s; it is tried again",
				 (unsigned long long)f->ino,
				 (unsigned long long)f->version,
				 (unsigned long long)f->instance,
				 strerror(-f->rc));
	}
	b->w.run = batch_done;
	if (!work_post(&b->sv->queue, &b->w))
		batch_free(b);	/* stopping: the records stay */
}

static void batch_add(struct delete_batch *b, struct volume *v,
		      const struct ns_deletion *d)
{
	b->seq[b->nr] = d->seq;
	b->file[b->nr++] = (struct backing_file){
		.volume = v ? volume_get(v) : NULL, .ino = d->ino,
		.version = d->version, .instance = d->instance,
		/* what a node took along that was removed is nobody's */
		.rc = v && volume_far(v) && !v->left ? -EIO : 0,
	};
}

static void batch_fill(struct delete_batch *b, const struct ns_deletion *d,
		       size_t nr)
{
	struct volume *v;

	for (size_t i = 0; i < nr; i++) {
		v = served_volume(b->sv, d[i].volume);
		if (!v || !volume_far(v))
			batch_add(b, v, &d[i]);
	}
	b->here = b->nr;
	for (v = b->sv->volumes; v; v = v->next)
		for (size_t i = 0; i < nr && volume_far(v); i++)
			if (d[i].volume == v->rec.id)
				batch_add(b, v, &d[i]);
}

/* What can't be asked now is as if it had failed. */
static void batch_ask(struct delete_batch *b)
{
	size_t end;

	for (size_t at = b->here; at < b->nr; at = end) {
		struct volume *v = b->file[at].volume;

		for (end = at; end < b->nr && b->file[end].volume == v; end++)
			;
		if (!v->left &&
		    !home_delete(b->sv, v, b->file + at, end - at, part_done,
				 b))
			b->parts++;
	}
}

void deleter_kick(struct served *sv)
{
	struct deleter *del = &sv->deleter;
	struct ns_deletion d[BATCH_MAX];
	struct delete_batch *b;
	uint64_t durable;
	int n;

	if (del->busy || del->stopped || !sv->ns || sv->readmit.busy)
		return;
	if (del->failed && now_ms() >= del->retry_at) {
		del->after = 0;
		del->failed = false;
		del->retry_at = now_ms() + RETRY_MS;
	}
	durable = store_durable(sv->st);
	n = ns_deletions(sv->ns, del->after, d, BATCH_MAX);
	while (n > 0 && d[n - 1].txn > durable)
		n--;
	if (n <= 0)
		return;
	b = calloc(1, sizeof(*b));
	if (!b)
		return;
	b->sv = sv;
	batch_fill(b, d, (size_t)n);
	del->after = d[n - 1].seq;
	del->busy = true;
	b->parts = 1;
	batch_ask(b);
	b->w.run = b->here ? batch_run : batch_done;
	work_post(b->here ? &del->worker.q : &sv->queue, &b->w);
}

bool deleter_tried(struct served *sv, uint64_t seq)
{
	struct ns_deletion d;

	if (sv->deleter.stopped || sv->readmit.busy)
		return true;
	if (sv->deleter.busy)
		return false;
	return ns_deletions(sv->ns, sv->deleter.after, &d, 1) <= 0 ||
	       d.seq > seq;
}

/*
 * What was removed may still be ordered and not durable, or the kernel has yet
 * to tell that nobody holds it, or the volume frees it in the background.
 */
bool deleter_frees(struct served *sv, uint64_t since)
{
	uint64_t now = now_ms();

	if (now >= since + FREES_MS)
		return false;
	if (!deleter_tried(sv, ns_deletion_last(sv->ns))) {
		/* then it is kicked */
		sync_request(sv, ns_txn(sv->ns));
		return true;
	}
	return sv->deleter.freed_at && now < sv->deleter.freed_at + FREED_MS;
}

void deleter_again(struct served *sv)
{
	if (sv->deleter.failed)
		sv->deleter.retry_at = 0;
}

struct mark {
	struct work w;
	struct volume *volume;
	struct marker m;
	char ns[64];
};

static void mark_run(struct work *w)
{
	struct mark *k = container_of(w, struct mark, w);
	int rc = marker_write(k->volume->root_fd, &k->m);

	if (rc < 0)
		log_warn(k->ns, "volume %s: cannot write " MARKER_FILE ": %s",
			 k->volume->rec.name, strerror(-rc));
	volume_error(k->volume, rc);
	volume_put(k->volume);
	free(k);
}

int marker_update(struct volume *v, const struct served *sv, uint64_t txn)
{
	v->marker.durable_txn = txn;
	v->marker.epoch = sv->epoch;
	strcpy(v->marker.ns_name, sv->name);
	return marker_write(v->root_fd, &v->marker);
}

void deleter_marks(struct served *sv, bool now)
{
	uint64_t durable = store_durable(sv->st);
	struct volume *v;

	if (sv->deleter.stopped ||
	    (!now && now_ms() < sv->deleter.marked_at + MARK_MS))
		return;
	sv->deleter.marked_at = now_ms();
	for (v = sv->volumes; v; v = v->next) {
		struct mark *k;

		if (volume_far(v) || !volume_writable(v) || v->removing)
			continue;
		k = calloc(1, sizeof(*k));
		if (!k)
			return;
		v->marker.durable_txn = durable;
		v->marker.epoch = sv->epoch;
		k->w.run = mark_run;
		k->volume = volume_get(v);
		k->m = v->marker;
		strcpy(k->ns, sv->name);
		work_post(&sv->deleter.worker.q, &k->w);
	}
}

int deleter_start(struct served *sv)
{
	sv->deleter.retry_at = now_ms() + RETRY_MS;
	sv->deleter.stopped = false;
	return worker_start(&sv->deleter.worker, "orchd-delete");
}

void deleter_stop(struct served *sv)
{
	sv->deleter.stopped = true;
	worker_stop(&sv->deleter.worker);
}
