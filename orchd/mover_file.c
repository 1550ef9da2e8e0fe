// SPDX-License-Identifier: Apache-2.0
/* One file of a job, step by step. Namespace thread. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exec.h"
#include "fault.h"
#include "home.h"
#include "log.h"
#include "mover.h"

#define ENDS	(SM_BIT(MOVE_FAILED) | SM_BIT(MOVE_CANCELLED))

const struct sm_state move_states[] = {
	[MOVE_PLAN] = { "plan", SM_BIT(MOVE_COPY) | ENDS },
	[MOVE_COPY] = { "copy", SM_BIT(MOVE_VERIFY) | ENDS },
	[MOVE_VERIFY] = { "verify", SM_BIT(MOVE_SWITCH) | ENDS },
	/* one that a start finds there begins there */
	[MOVE_SWITCH] = { "switch", SM_BIT(MOVE_RETIRE) | ENDS },
	[MOVE_RETIRE] = { "retire", SM_BIT(MOVE_DONE) },
	[MOVE_DONE] = { "done", 0 },
	[MOVE_FAILED] = { "failed", 0 },
	[MOVE_CANCELLED] = { "cancelled", 0 },
};

struct mover_file *file_new(struct mover_job *j, const struct ns_move *m)
{
	struct mover_file *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->job = j;
	f->m = *m;
	copy_file_init(&f->c);
	sm_init(&f->sm, move_states, m->step == NS_MOVE_SWITCH ? MOVE_SWITCH :
		MOVE_PLAN);
	return f;
}

void file_free(struct mover_file *f)
{
	volume_put(f->c.source);
	round_free(f);
	free(f);
}

static void file_move(struct mover_file *f, enum move_state to)
{
	sm_move(&f->sm, to);
	mover_stepped(f->job->sv);
}

/* A step's record can't be written: nothing more is done until a restart. */
static void file_stuck(struct mover_file *f, int rc)
{
	log_err(f->job->sv->name, "job %llu: inode %llu: cannot record the "
		"move: %s", (unsigned long long)f->job->rec.id,
		(unsigned long long)f->m.ino, strerror(-rc));
}

/* The old instance is used by nobody: it goes. */
static void file_retire(struct mover_file *f)
{
	struct mover_job *j = f->job;
	struct ns_job rec = j->rec;
	int rc;

	fault_point("move-swapped");
	if (f->sm.state == MOVE_SWITCH)
		file_move(f, MOVE_RETIRE);
	rec.moved++;
	rec.bytes += f->size;
	rc = ns_move_retire(j->sv->ns, &f->m, &rec);
	if (rc) {
		file_stuck(f, rc);
		f->retry_at = now_ms() + MOVER_RETRY_MS;
		file_waits(f);
		return;
	}
	fault_point("move-retired");
	j->rec = rec;
	file_move(f, MOVE_DONE);
	file_ended(f);
}

/* What was begun is taken back; @text is told of the file, if there is any. */
static void file_abort(struct mover_file *f, enum move_state end)
{
	struct mover_job *j = f->job;
	bool gone = !f->m.text[0];
	int rc;

	f->aborting = true;
	if (!gone)
		strcpy(j->last, f->m.text);
	if (j->left >= MOVER_LEFT)
		f->m.text[0] = 0;
	rc = ns_move_abort(j->sv->ns, &f->m, &j->rec);
	if (rc == -EINPROGRESS) {
		file_retire(f);
		return;
	}
	if (rc) {
		file_stuck(f, rc);
		f->retry_at = now_ms() + MOVER_RETRY_MS;
		file_waits(f);
		return;
	}
	if (!gone)
		j->left++;
	file_move(f, end);
	file_ended(f);
}

void file_say(struct mover_file *f, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(f->m.text, sizeof(f->m.text), fmt, ap);
	va_end(ap);
}

/* Without a text it was deleted, and nobody needs to be told. */
void file_give_up(struct mover_file *f)
{
	const struct mover_job *j = f->job;

	file_abort(f, j->phase == JOB_UNWIND && j->end == NS_JOB_CANCELLED ?
		   MOVE_CANCELLED : MOVE_FAILED);
}

static void give_up_written(struct mover_file *f)
{
	file_say(f, "opened for writing meanwhile");
	file_give_up(f);
}

static void fenced(struct mover_file *f, int rc, uint32_t writers)
{
	/* the next walk finds it again */
	if (rc == -ENOTCONN || rc == -EAGAIN)
		strcpy(f->job->last, f->round.text[0] ? f->round.text :
		       "the kernel was detached");
	if (rc == -ETIMEDOUT && ++f->tries < MOVER_TRIES) {
		file_fence(f);
		return;
	}
	f->fenced = !rc && !writers;
	if (rc == -ENOTCONN || rc == -EAGAIN || rc == -ESTALE)
		f->m.text[0] = 0;
	else if (!rc && writers)
		file_say(f, "open for writing");
	else if (rc == -EBUSY)
		file_say(f, "mapped for writing");
	else if (rc == -ETIMEDOUT)
		file_say(f, "I/O on it doesn't end");
	else if (rc)
		file_say(f, "%s", f->round.text[0] ? f->round.text :
			 strerror(-rc));
	batch_fenced(f->job);
}

static bool goes_back(const struct mover_file *f)
{
	return f->lost || f->job->phase == JOB_UNWIND;
}

static void wait_more(struct mover_file *f, int rc)
{
	struct mover_job *j = f->job;

	if (rc && rc != -EBUSY && rc != -EAGAIN && rc != -ETIMEDOUT &&
	    rc != -ENOTCONN && rc != f->told)
		log_warn(j->sv->name, "job %llu: inode %llu: the layout was "
			 "not swapped: %s; it is tried again",
			 (unsigned long long)j->rec.id,
			 (unsigned long long)f->m.ino,
			 f->round.text[0] ? f->round.text : strerror(-rc));
	f->told = rc;
	f->retry_at = now_ms() + MOVER_RETRY_MS;
	file_waits(f);
}

static void switched(struct mover_file *f, int rc)
{
	struct mover_job *j = f->job;

	if (rc == -ESTALE)
		file_give_up(f);
	else if (!rc)
		file_retire(f);
	else if (ns_move_written(j->sv->ns, f->m.ino))
		give_up_written(f);
	else
		wait_more(f, rc);
}

/*
 * The old layout was published to take a switch back, or to learn which one is
 * in use. Where that fails the new instance is mapped, or the old one is out of
 * reach: forward it goes then.
 */
static void switched_back(struct mover_file *f, int rc)
{
	bool back = !rc && goes_back(f);

	if (back && f->lost)
		file_say(f, "its copy was lost");
	if (back || rc == -ESTALE)
		file_give_up(f);
	else
		wait_more(f, rc);
}

/* Not known after a channel or a link was lost: parked it stays. */
static void swapped(struct mover_file *f, int rc)
{
	struct served *sv = f->job->sv;

	f->swapping = false;
	ns_move_swapped(sv->ns, &f->m, f->forward, rc);
	if (f->sm.state == MOVE_PLAN)
		fenced(f, rc, f->round.writers);
	else if (f->forward)
		switched(f, rc);
	else
		switched_back(f, rc);
	exec_unpark(sv);
	mover_kick(sv);
}

/* The other instance goes when that one is published. */
static int look(struct mover_file *f, bool forward)
{
	const struct volume *v;
	int rc;

	/* a home's answer counts for as long as it takes to ask for it */
	if (!f->looking)
		f->arrived = homes_arrived(f->job->sv);
	homes_asking(f->job->sv, f->arrived);
	rc = ns_move_look(f->job->sv->ns, &f->m, forward);
	homes_asking(f->job->sv, 0);
	f->looking = rc == -NS_PARKED;
	if (!rc || f->looking)
		return rc ? -EAGAIN : 0;
	v = served_volume(f->job->sv, forward ? f->m.to_volume :
			  f->m.from_volume);
	f->lost |= forward && rc == -ENOENT;
	snprintf(f->round.text, sizeof(f->round.text), "its %s on volume %s: %s",
		 forward ? "copy" : "file", v ? v->rec.name : "(gone)",
		 v && !volume_online(v) ? "the volume is not in use" :
		 rc == -ENOENT ? "missing or cut short" : strerror(-rc));
	return -EIO;
}

static void publish(struct mover_file *f, bool forward)
{
	struct op_layout lay = { 0 };
	int rc;

	f->round.text[0] = 0;
	f->round.writers = 0;
	f->forward = forward;
	rc = ns_move_layout(f->job->sv->ns, &f->m, forward, &lay);
	if (rc == -ENOENT)
		rc = -ESTALE;		/* the inode has gone */
	else if (!rc && f->sm.state != MOVE_PLAN)
		rc = look(f, forward);
	f->swapping = true;
	f->round.done = swapped;
	if (rc)
		swapped(f, rc);
	else
		round_begin(f, &lay);
}

void file_fence(struct mover_file *f)
{
	publish(f, false);
}

/* Back and, where that fails, forward, in turn. */
static void file_unwind(struct mover_file *f)
{
	bool forward = f->tried_back;

	f->tried_back = !forward;
	publish(f, forward);
}

void file_switch(struct mover_file *f)
{
	struct ns *ns = f->job->sv->ns;

	if (f->sm.state == MOVE_RETIRE)
		file_retire(f);
	else if (f->aborting)
		file_abort(f, MOVE_FAILED);
	else if (ns_move_written(ns, f->m.ino))
		give_up_written(f);
	else if (!goes_back(f))
		/* in turn, until it is known which one is in use */
		publish(f, !f->forward || ns_move_known(ns, &f->m));
	else if (ns_move_in_use(ns, &f->m, true) &&
		 !ns_move_look(ns, &f->m, true))
		file_retire(f);
	else
		file_unwind(f);
}

bool source_away(const struct mover_file *f)
{
	const struct volume *v = served_volume(f->job->sv, f->m.from_volume);

	return v && volume_far(v) && !volume_online(v);
}

static void copy_failed(struct mover_file *f)
{
	struct mover_job *j = f->job;

	if (f->c.rc != -ECANCELED && !f->c.fatal && source_away(f))
		f->c.rc = -EHOSTDOWN;

	if (f->c.fatal && j->rec.drain && f->c.rc != -EBADMSG) {
		/* there may be another volume, next time */
		file_say(f, "volume %s: %s", j->to->rec.name,
			 strerror(-f->c.rc));
		file_give_up(f);
		return;
	}
	if (f->c.fatal && f->c.rc == -EBADMSG)
		job_fail(j, "inode %llu: what was read back from volume %s is "
			 "not what was written: check its drive",
			 (unsigned long long)f->m.ino, j->to->rec.name);
	else if (f->c.fatal && f->c.rc == -ENOSPC)
		job_fail(j, "volume %s has no room for inode %llu (%llu bytes) "
			 "and its reserve", j->to->rec.name,
			 (unsigned long long)f->m.ino,
			 (unsigned long long)f->size);
	else if (f->c.fatal)
		job_fail(j, "volume %s: %s", j->to->rec.name,
			 strerror(-f->c.rc));
	if (f->c.rc == -EHOSTDOWN) {
		/* not the file's fault: the job comes back to it */
		j->lost = true;
		if (j->rec.drain)
			file_say(f, "a node that has to do with it can't be "
				 "reached");
		file_give_up(f);
		return;
	}
	if (f->c.rc == -ESTALE && !f->c.fatal)
		file_say(f, "changed meanwhile");
	else if (f->c.rc && f->c.rc != -ECANCELED && !f->c.fatal)
		file_say(f, "its contents cannot be read: %s",
			 strerror(-f->c.rc));
	file_give_up(f);
}

void file_copied(struct mover_file *f)
{
	struct served *sv = f->job->sv;
	struct ns_move_entry e;
	int rc;

	volume_put(f->c.source);
	f->c.source = NULL;
	if (f->c.size || !f->c.rc)
		f->size = f->c.size;
	if (ns_move_stat(sv->ns, f->m.ino, &e) == -ENOENT) {
		file_give_up(f);
		return;
	}
	if (ns_move_written(sv->ns, f->m.ino)) {
		give_up_written(f);
		return;
	}
	if (f->c.rc || f->job->phase == JOB_UNWIND) {
		copy_failed(f);
		return;
	}
	file_move(f, MOVE_VERIFY);
	rc = ns_move_valid(sv->ns, &f->m, f->c.blocks, &f->c.owner);
	if (rc) {
		if (rc == -EBUSY)
			file_say(f, "opened for writing meanwhile");
		else if (rc != -ENOENT)
			file_say(f, "%s", strerror(-rc));
		file_give_up(f);
		return;
	}
	fault_point("move-switched");
	file_move(f, MOVE_SWITCH);
	file_switch(f);
}
