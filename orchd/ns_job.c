// SPDX-License-Identifier: Apache-2.0
/* Records of jobs and of the files that they are at (table J). */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "ns_impl.h"
#include "ns_move.h"

static const char counter[] = "job";

static void time_get(struct orchfs_time *to, const Orchfs__Store__Time *t)
{
	*to = (struct orchfs_time){ 0 };
	if (!t)
		return;
	to->sec = t->sec;
	to->nsec = t->nsec;
}

/* Into the transaction. */
void move_job_put(struct txn *t, const struct ns_job *j)
{
	Orchfs__Store__Job m = ORCHFS__STORE__JOB__INIT;
	Orchfs__Store__Time started = ORCHFS__STORE__TIME__INIT;
	Orchfs__Store__Time ended = ORCHFS__STORE__TIME__INIT;
	struct key k;

	started.sec = j->started.sec;
	started.nsec = j->started.nsec;
	ended.sec = j->ended.sec;
	ended.nsec = j->ended.nsec;
	m.change = t->seq;
	m.state = (Orchfs__Store__JobState)j->state;
	m.ino = j->ino;
	m.volume = j->volume;
	m.rate = j->rate;
	m.cancel = j->cancel;
	m.drain = j->drain;
	m.label = (char *)j->label;
	m.text = (char *)j->text;
	m.moved = j->moved;
	m.bytes = j->bytes;
	m.there = j->there;
	m.skipped = j->skipped;
	m.started = &started;
	m.ended = &ended;
	txn_put_msg(t, key_num(&k, 'J', j->id), &m.base);
}

void move_row_put(struct txn *t, const struct ns_move *mv)
{
	Orchfs__Store__Move m = ORCHFS__STORE__MOVE__INIT;
	struct key k;

	m.change = t->seq;
	m.step = (Orchfs__Store__MoveStep)mv->step;
	m.version = mv->version;
	m.from = mv->from;
	m.to = mv->to;
	m.from_volume = mv->from_volume;
	m.to_volume = mv->to_volume;
	m.text = (char *)mv->text;
	txn_put_msg(t, key_num2(&k, 'J', mv->job, mv->ino), &m.base);
}

void move_row_del(struct txn *t, const struct ns_move *mv)
{
	struct key k;

	txn_del(t, key_num2(&k, 'J', mv->job, mv->ino));
}

static int job_decode(struct ns *ns, struct store_key k, struct store_key v,
		      struct ns_job *j)
{
	Orchfs__Store__Job *m;
	void *p;
	int rc;

	rc = record_unpack(ns->scratch, &orchfs__store__job__descriptor, v,
			   &p);
	if (rc)
		return rc;
	m = p;
	if (m->state > ORCHFS__STORE__JOB_STATE__JOB_CANCELLED)
		return -EUCLEAN;
	*j = (struct ns_job){
		.id = key_num_at(k, 0),
		.ino = m->ino,
		.rate = m->rate,
		.moved = m->moved,
		.bytes = m->bytes,
		.there = m->there,
		.skipped = m->skipped,
		.volume = m->volume,
		.state = (enum ns_job_state)m->state,
		.cancel = m->cancel,
		.drain = m->drain,
	};
	time_get(&j->started, m->started);
	time_get(&j->ended, m->ended);
	snprintf(j->label, sizeof(j->label), "%s", m->label);
	snprintf(j->text, sizeof(j->text), "%s", m->text);
	return 0;
}

static int move_decode(struct ns *ns, struct store_key k, struct store_key v,
		       struct ns_move *out)
{
	Orchfs__Store__Move *m;
	void *p;
	int rc;

	rc = record_unpack(ns->scratch, &orchfs__store__move__descriptor, v,
			   &p);
	if (rc)
		return rc;
	m = p;
	if (m->step > ORCHFS__STORE__MOVE_STEP__MOVE_LEFT)
		return -EUCLEAN;
	*out = (struct ns_move){
		.job = key_num_at(k, 0),
		.ino = key_num_at(k, 1),
		.version = m->version,
		.from = m->from,
		.to = m->to,
		.from_volume = m->from_volume,
		.to_volume = m->to_volume,
		.step = (enum ns_move_step)m->step,
	};
	snprintf(out->text, sizeof(out->text), "%s", m->text);
	return 0;
}

/* Numbers of jobs are shown to people only after they are in the store. */
int move_job_number(struct txn *t, uint64_t *id)
{
	int rc = number_read_limit(t->ns, counter, id);

	if (rc == -EUCLEAN) {		/* there has been none so far */
		*id = 1;
		rc = 0;
	}
	return rc ? rc : number_put_limit(t->ns, counter, *id + 1);
}

int ns_job_new(struct ns *ns, struct ns_job *j)
{
	struct txn t;
	int rc;

	arena_reset(ns->scratch);
	txn_begin(&t, ns);
	rc = move_job_number(&t, &j->id);
	if (rc) {
		txn_abort(&t);
		return rc;
	}
	move_job_put(&t, j);
	return txn_commit(&t, NULL);
}

int ns_job_put(struct ns *ns, const struct ns_job *j)
{
	struct txn t;

	arena_reset(ns->scratch);
	txn_begin(&t, ns);
	txn_urgent(&t);
	move_job_put(&t, j);
	return txn_commit(&t, NULL);
}

int ns_job_del(struct ns *ns, uint64_t id)
{
	struct scan s;
	struct txn t;
	struct key k;
	int rc;

	arena_reset(ns->scratch);
	rc = scan_begin(ns, &s, key_num(&k, 'J', id));
	if (rc)
		return rc;
	txn_begin(&t, ns);
	txn_urgent(&t);
	for (; scan_valid(&s); scan_next(&s))
		store_del(t.b, scan_key(&s));
	rc = scan_end(&s, 0);
	if (rc) {
		txn_abort(&t);
		return rc;
	}
	return txn_commit(&t, NULL);
}

int ns_jobs(struct ns *ns, ns_job_fn fn, void *ctx)
{
	struct ns_job j;
	struct scan s;
	struct key k;
	int rc;

	rc = scan_begin(ns, &s, key_table(&k, 'J'));
	if (rc)
		return rc;
	for (; scan_valid(&s) && !rc; scan_next(&s)) {
		if (scan_key(&s).len == 1 + 2 * 8)
			continue;
		arena_reset(ns->scratch);
		rc = scan_key(&s).len == 1 + 8 ?
			job_decode(ns, scan_key(&s), scan_value(&s), &j) :
			-EUCLEAN;
		if (!rc)
			rc = fn(ctx, &j);
	}
	return scan_end(&s, rc);
}

int ns_job_moves(struct ns *ns, uint64_t id, size_t max, ns_move_fn fn,
		 void *ctx)
{
	struct ns_move m;
	struct scan s;
	struct key k;
	int rc;

	rc = scan_begin(ns, &s, key_num(&k, 'J', id));
	if (rc)
		return rc;
	for (; scan_valid(&s) && max && !rc; scan_next(&s)) {
		if (scan_key(&s).len != 1 + 2 * 8)
			continue;
		max--;
		arena_reset(ns->scratch);
		rc = move_decode(ns, scan_key(&s), scan_value(&s), &m);
		if (!rc)
			rc = fn(ctx, &m);
	}
	return scan_end(&s, rc);
}
