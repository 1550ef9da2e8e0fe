// SPDX-License-Identifier: Apache-2.0
/*
 * Drains: jobs that move all files of a volume to the others, and go on until
 * none is left. Documentation/moves.md, "Drain". Namespace thread.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "mover.h"

struct mover_job *mover_drain_of(struct served *sv, uint32_t volume)
{
	struct mover_job *j, *found = NULL;

	for (j = sv->mover ? sv->mover->jobs : NULL; j; j = j->next)
		if (j->rec.drain && j->rec.volume == volume)
			found = j;
	return found;
}

void mover_drain_text(struct served *sv, const struct volume *v, char *text)
{
	const struct mover_job *j = mover_drain_of(sv, v->rec.id);
	unsigned long long id = j ? j->rec.id : 0;
	const char *name = v->rec.name;

	if (j && j->phase != JOB_ENDED)
		snprintf(text, VOLUME_WHY, "volume %s is being drained: see "
			 "orchctl jobs show %llu; orchctl volume drain %s "
			 "--cancel takes it back", name, id, name);
	else if (j && j->rec.state == NS_JOB_FAILED)
		snprintf(text, VOLUME_WHY, "volume %s gets no new files, its "
			 "drain has failed: %.200s; orchctl volume drain %s "
			 "goes on, --cancel takes it back", name, j->rec.text,
			 name);
	else if (!j || j->rec.state != NS_JOB_DONE)
		snprintf(text, VOLUME_WHY, "volume %s gets no new files, but "
			 "nothing drains it: orchctl volume drain %s goes on, "
			 "--cancel takes it back", name, name);
	else
		snprintf(text, VOLUME_WHY, "volume %s is drained and gets no "
			 "new files: remove it with orchctl volume remove %s; "
			 "orchctl volume drain %s --cancel takes it back",
			 name, name, name);
}

static int check_source(struct served *sv, const struct volume *v, char *why)
{
	const struct mover_job *j = mover_drain_of(sv, v->rec.id);

	if (v->removing) {
		snprintf(why, VOLUME_WHY, "volume %s is being removed",
			 v->rec.name);
		return -EBUSY;
	}
	if (j && j->phase != JOB_ENDED) {
		snprintf(why, VOLUME_WHY, "job %llu is draining volume %s "
			 "already: watch it with orchctl jobs watch %llu",
			 (unsigned long long)j->rec.id, v->rec.name,
			 (unsigned long long)j->rec.id);
		return -EALREADY;
	}
	if (volume_writable(v) && !v->silent)
		return 0;
	if (v->problem[0])
		snprintf(why, VOLUME_WHY, "its files cannot be moved away now: "
			 "%.580s", v->problem);
	else
		snprintf(why, VOLUME_WHY, "volume %s doesn't answer: check its "
			 "drive", v->rec.name);
	return -ENXIO;
}

static int check_others(struct served *sv, const struct volume *v, char *why)
{
	const struct volume *o = sv->volumes;

	if (pool_choose(sv, v->rec.id, 0, false))
		return 0;
	while (o && (o == v || o->removing))
		o = o->next;
	if (!o) {
		snprintf(why, VOLUME_WHY, "volume %s is the only one: add "
			 "another one with orchctl volume add first",
			 v->rec.name);
		return -EINVAL;
	}
	snprintf(why, VOLUME_WHY, "no other volume takes the files of volume "
		 "%s: see orchctl volume list, and make room or add one with "
		 "orchctl volume add", v->rec.name);
	return -ENOSPC;
}

int mover_drain(struct served *sv, const struct ns_job *want, char *why,
		uint64_t *id)
{
	struct volume *v = served_volume(sv, want->volume);
	struct ns_job rec = *want;
	int rc;

	rc = check_source(sv, v, why);
	if (!rc)
		rc = check_others(sv, v, why);
	if (rc)
		return rc;
	rec.ino = 0;
	rec.drain = true;
	job_begins(&rec);
	rc = ns_drain_new(sv->ns, &rec);
	if (rc)
		return rc;
	v->rec.draining = true;
	if (!job_add(sv, &rec))
		return -ENOMEM;	/* the next start finds it */
	*id = rec.id;
	mover_changed(sv);
	mover_kick(sv);
	return 0;
}

int mover_undrain(struct served *sv, struct volume *v, char *why,
		  uint64_t *id)
{
	const struct mover_job *j = mover_drain_of(sv, v->rec.id);
	int rc;

	*id = 0;
	if (!v->rec.draining) {
		snprintf(why, VOLUME_WHY, "volume %s is not being drained",
			 v->rec.name);
		return -EINVAL;
	}
	if (j && j->phase != JOB_ENDED) {
		*id = j->rec.id;
		return mover_cancel(sv, j->rec.id, why);
	}
	rc = ns_drain_back(sv->ns, v->rec.id, NULL);
	if (!rc)
		v->rec.draining = false;
	return rc;
}

int drain_next(struct mover_job *j, unsigned int *budget,
	       struct ns_move_entry *out)
{
	struct mover_walk *w = &j->walk;
	uint64_t began = now_ms();
	int n;

	while (w->pos == w->nr) {
		if (w->after == UINT64_MAX)
			return 0;
		if (!*budget)
			return -EAGAIN;
		/* each scan of all instances sorts what the memtable holds */
		n = walk_room(w);
		if (!n)
			n = ns_drain_list(j->sv->ns, j->rec.volume, &w->after,
					  budget, w->ahead, MOVER_AHEAD);
		if (n < 0)
			return n;
		w->pos = 0;
		w->nr = (size_t)n;
		w->rows += w->nr;
		w->cost += now_ms() - began;
		began = now_ms();
	}
	*out = w->ahead[w->pos++];
	return 1;
}

bool drain_ready(struct mover_job *j)
{
	const struct volume *v = served_volume(j->sv, j->rec.volume);

	if (!v) {
		strcpy(j->rec.text, "the volume has been removed");
		job_end(j, NS_JOB_DONE);
		return false;
	}
	if (v->removing)
		snprintf(j->text, sizeof(j->text), "waits: volume %s is being "
			 "removed", v->rec.name);
	else if (!volume_writable(v))
		snprintf(j->text, sizeof(j->text), "waits for its volume: "
			 "%.200s", v->problem);
	else if (!pool_choose(j->sv, v->rec.id, 0, false))
		strcpy(j->text, "waits: no other volume takes files: make room "
		       "or add one with orchctl volume add");
	else
		j->text[0] = 0;
	return !j->text[0];
}

static void drain_target(struct mover_job *j, struct volume *v)
{
	if (v != j->to) {
		volume_put(j->to);
		j->to = v ? volume_get(v) : NULL;
	}
	j->used = 0;
	j->room = v ? v->place.free - v->rec.reserve : 0;
}

/* Holes need no room. */
static uint64_t bytes_of(const struct ns_move_entry *e)
{
	return e->blocks < e->size / 512 ? e->blocks * 512 : e->size;
}

int drain_take(struct mover_job *j, const struct ns_move_entry *e)
{
	uint64_t bytes = bytes_of(e);
	struct volume *v;

	if (!e->mode) {
		job_leave(j, e->ino, "deleted, but still open");
		return -ENOENT;
	}
	if (e->volume != j->rec.volume)
		return -ENOENT;		/* a job is about to end there */
	if (j->nr && j->used + bytes >= j->room) {
		j->walk.pos--;
		return -EAGAIN;
	}
	if (!j->nr) {
		v = pool_choose(j->sv, j->rec.volume, bytes, true);
		drain_target(j, v);
		if (!v) {
			job_leave(j, e->ino, "no other volume has room for its "
				  "%llu bytes", (unsigned long long)bytes);
			return -ENOENT;
		}
	}
	j->used += bytes;
	return 0;
}

static void say_left(struct mover_job *j)
{
	if (j->left || j->nr_waiting)
		snprintf(j->text, sizeof(j->text), "%llu left and %zu copied, "
			 "but mapped: in use, or no room elsewhere; they are "
			 "tried again. See orchctl jobs show %llu",
			 (unsigned long long)j->left, j->nr_waiting,
			 (unsigned long long)j->rec.id);
	else
		strcpy(j->text, "other jobs are at its last files");
}

/* Return: whether to walk again, at once. */
static bool drain_look(struct mover_job *j, uint64_t now)
{
	const struct volume *v = served_volume(j->sv, j->rec.volume);
	uint64_t pause = 10 * j->walk.cost;

	if (!j->walk.rows && !j->nr_waiting) {
		snprintf(j->rec.text, sizeof(j->rec.text), "volume %s is "
			 "empty: remove it with orchctl volume remove %s",
			 v ? v->rec.name : "", v ? v->rec.name : "");
		job_end(j, NS_JOB_DONE);
		return false;
	}
	if (j->rec.moved != j->moved_at)
		return true;
	if (j->left)
		ns_drain_prune(j->sv->ns, &j->rec);
	pause = pause < MOVER_AGAIN_MS ? MOVER_AGAIN_MS : pause;
	j->again_at = now + (pause < MOVER_AGAIN_MAX_MS ? pause :
			     MOVER_AGAIN_MAX_MS);
	j->waited = j->nr_waiting;
	say_left(j);
	mover_changed(j->sv);
	return false;
}

/* At the end of a walk, and until the next one. */
bool drain_ended(struct mover_job *j)
{
	uint64_t now = now_ms();

	if (!j->again_at && !drain_look(j, now))
		return false;
	if (now < j->again_at && (j->nr_waiting || !j->waited))
		return false;
	j->again_at = 0;
	j->left = 0;
	j->moved_at = j->rec.moved;
	walk_restart(&j->walk);
	j->phase = JOB_WALK;
	return true;
}
