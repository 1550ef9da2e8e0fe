// SPDX-License-Identifier: Apache-2.0
/*
 * From a store directory to a namespace that can be attached, and back. What
 * a volume owes after an unclean stop is kept in STORE/sweep.ID, so that a
 * volume that is refused today is swept when it returns.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cluster.h"
#include "ctl.h"
#include "data.h"
#include "exec.h"
#include "export.h"
#include "home.h"
#include "log.h"
#include "mover.h"
#include "proto/store.pb-c.h"
#include "served.h"

#define BUSY_MS	10000	/* for who has the store open to end */

static int refuse(struct served *sv, int rc, const char *fmt, const char *arg)
{
	char text[5000];

	snprintf(text, sizeof(text), fmt, sv->dir, arg);
	served_set_state(sv, SERVED_REFUSED, text);
	return rc;
}

int read_boot_id(char id[64])
{
	int fd = open("/proc/sys/kernel/random/boot_id",
		      O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = read(fd, id, 63);
	close(fd);
	if (n < 36)
		return -EIO;
	id[n] = 0;
	id[strcspn(id, "\n")] = 0;
	return 0;
}

static int sync_dir(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc;

	if (fd < 0)
		return -errno;
	rc = fsync(fd) < 0 ? -errno : 0;
	close(fd);
	return rc;
}

static void flag_path(const struct served *sv, uint32_t id, char *path,
		      size_t len)
{
	if (id)
		snprintf(path, len, "%s/sweep.%u", sv->dir, id);
	else
		snprintf(path, len, "%s/sweep", sv->dir);
}

static int flag_set(const struct served *sv, uint32_t id)
{
	char path[4200];
	int fd;

	flag_path(sv, id, path, sizeof(path));
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	close(fd);
	return sync_dir(sv->dir);
}

static bool flag_get(const struct served *sv, uint32_t id)
{
	char path[4200];

	flag_path(sv, id, path, sizeof(path));
	return !access(path, F_OK);
}

static int flag_clear(const struct served *sv, uint32_t id)
{
	char path[4200];

	flag_path(sv, id, path, sizeof(path));
	if (unlink(path) < 0)
		return errno == ENOENT ? 0 : -errno;
	return sync_dir(sv->dir);
}

/* The record as the last run left it; ns_open() changes it. */
static int read_super(struct served *sv, const char *boot_id)
{
	struct store_key k = { "Ssuper", 6 };
	Orchfs__Store__Super *s;
	bool unclean;
	size_t len;
	void *val;
	int rc;

	rc = store_get(sv->st, NULL, k, &val, &len);
	if (rc < 0)
		return rc;
	s = orchfs__store__super__unpack(NULL, len, val);
	free(val);
	if (!s)
		return -EUCLEAN;
	sv->epoch = s->epoch;
	unclean = !s->clean && s->incarnation &&
		  strcmp(s->boot_id, boot_id);
	orchfs__store__super__free_unpacked(s, NULL);
	return unclean ? flag_set(sv, 0) : 0;
}

void remove_tree(const char *path)
{
	char sub[8192];
	struct dirent *e;
	DIR *d = opendir(path);

	while (d && (e = readdir(d))) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		snprintf(sub, sizeof(sub), "%.4000s/%s", path, e->d_name);
		if (unlink(sub) < 0)
			remove_tree(sub);
	}
	if (d)
		closedir(d);
	rmdir(path);
}

/* Copies that a control connection of an earlier run left behind. */
static void drop_checkpoints(struct served *sv)
{
	DIR *d = opendir(sv->dir);
	struct dirent *e;
	char path[8192];

	while (d && (e = readdir(d))) {
		if (strncmp(e->d_name, "checkpoint-", 11))
			continue;
		snprintf(path, sizeof(path), "%s/%s", sv->dir, e->d_name);
		remove_tree(path);
	}
	if (d)
		closedir(d);
}

/* An fsck of a store that isn't served may be about to end. */
static int open_unlocked(struct served *sv, const char **why)
{
	const struct timespec t = { .tv_nsec = 100000000 };
	const struct store_opts o = { .create = false };
	uint64_t end = now_ms() + BUSY_MS;
	bool told = false;
	int rc;

	for (;;) {
		rc = store_open("rocksdb", sv->dir, &o, &sv->st, why);
		if (rc != -EBUSY || now_ms() >= end ||
		    atomic_load(&sv->leaving))
			return rc;
		if (!told)
			log_warn(sv->name, "the store %s is in use by another "
				 "orchd or orchctl: waiting up to %d seconds",
				 sv->dir, BUSY_MS / 1000);
		told = true;
		nanosleep(&t, NULL);
	}
}

static int refuse_store(struct served *sv, int rc, const char *why)
{
	if (rc == -EBUSY)
		return refuse(sv, rc, "the store %s is in use by another "
			      "orchd or orchctl: stop that one, or wait for its "
			      "end, and start orchd again%s", "");
	if (rc == -ENOENT)
		return refuse(sv, rc, "there is no store in %s: make one "
			      "with orchctl init%s", "");
	if (rc == -EPROTO)
		return refuse(sv, rc, "the store %s is from a newer orchfs: "
			      "upgrade orchd%s", "");
	if (rc == -ENOSPC)
		return refuse(sv, rc, "the store %s cannot be opened, as its "
			      "drive is full: make room there, then restart "
			      "orchd%s", "");
	return refuse(sv, rc, "the store %s is damaged: %s; run orchctl fsck "
		      "or restore a backup", why ? why : strerror(-rc));
}

static int open_store(struct served *sv, const char *boot_id, uint64_t *last)
{
	const char *why = NULL;
	int rc;

	rc = open_unlocked(sv, &why);
	if (rc < 0)
		return refuse_store(sv, rc, why);
	*last = store_next_seq(sv->st) - 1;
	rc = read_super(sv, boot_id);
	if (rc < 0)
		return refuse(sv, rc, "the store %s is damaged: its super "
			      "record: %s; restore a backup", strerror(-rc));
	rc = ns_open(sv->st, &pool_backing_ops, sv, boot_id, &sv->ns, &why);
	if (rc < 0)
		return refuse_store(sv, rc, why);
	if (served_claim(sv, ns_name(sv->ns), ns_uuid(sv->ns)) < 0)
		return refuse(sv, -EEXIST, "the store %s holds namespace %s, "
			      "which is served from another directory: remove "
			      "one of the two", ns_name(sv->ns));
	return 0;
}

static void refuse_pair(struct volume *a, struct volume *b)
{
	char why[VOLUME_WHY];

	volume_pair_text(a, b, why);
	volume_refuse(a, why);
	volume_refuse(b, why);
}

static void refuse_doubles(struct served *sv)
{
	static const uint8_t none[16];
	struct volume *a, *b;

	for (a = sv->volumes; a; a = a->next)
		for (b = a->next; b; b = b->next)
			if (memcmp(a->marker.volume_uuid, none, 16) &&
			    !memcmp(a->marker.volume_uuid,
				    b->marker.volume_uuid, 16))
				refuse_pair(a, b);
}

static int check_age(struct served *sv, uint64_t last)
{
	char text[VOLUME_WHY];
	struct volume *v;

	for (v = sv->volumes; v; v = v->next) {
		if (!volume_online(v) || !volume_newer(v, sv->epoch, last))
			continue;
		snprintf(text, sizeof(text), "the store %.150s is older than "
			 "volume %s says (transaction %llu, the volume knows "
			 "%llu): an old copy? Put the right store back, or "
			 "restore the newest backup with orchctl restore",
			 sv->dir, v->rec.name, (unsigned long long)last,
			 (unsigned long long)v->marker.durable_txn);
		served_set_state(sv, SERVED_REFUSED, text);
		return -ESTALE;
	}
	return 0;
}

static int load_volumes(struct served *sv)
{
	struct volume *v, **tail = &sv->volumes;
	struct ns_volume *recs;
	size_t nr;
	int rc;

	rc = ns_volumes(sv->ns, &recs, &nr);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < nr; i++) {
		v = volume_new(&recs[i]);
		if (!v) {
			free(recs);
			return -ENOMEM;
		}
		*tail = v;
		tail = &v->next;
		if (volume_far(v)) {
			home_away(sv, v);
			continue;
		}
		volume_open(v, ns_uuid(sv->ns));
		if (flag_get(sv, 0))
			rc = flag_set(sv, v->rec.id);
		if (rc < 0)
			break;
	}
	free(recs);
	if (rc < 0)
		return rc;
	refuse_doubles(sv);
	for (v = sv->volumes; v; v = v->next)
		if (v->problem[0] && !volume_far(v))
			log_err(sv->name, "%s", v->problem);
	return flag_clear(sv, 0);
}

static int settle_pool(struct served *sv, struct volume *v)
{
	struct sweep_deletions *d;
	int rc;

	rc = sweep_deletions_load(sv->ns, &d);
	if (rc < 0)
		return rc;
	rc = pool_load(sv, v, d, !ns_was_clean(sv->ns) ||
			      flag_get(sv, v->rec.id));
	sweep_deletions_free(d);
	return rc;
}

static int settle_sweep(struct served *sv, struct volume *v)
{
	struct sweep *s;
	int rc;

	rc = sweep_new(sv, v, &s);
	if (rc)
		return rc;
	rc = sweep_list(s);
	if (!rc)
		rc = sweep_step(s, SIZE_MAX);
	sweep_free(s);
	if (!rc)
		rc = store_barrier(sv->st);
	return rc ? rc : serve_swept(sv, v);
}

int serve_swept(struct served *sv, struct volume *v)
{
	return flag_clear(sv, v->rec.id);
}

int serve_settle(struct served *sv, struct volume *v, bool *owes_sweep)
{
	int rc = settle_pool(sv, v);

	/* one that can't be written now pays later: health.c */
	*owes_sweep = !rc && flag_get(sv, v->rec.id) && volume_writable(v);
	if (rc)
		serve_unsettled(sv, v, rc);
	return rc;
}

int serve_owe_sweep(struct served *sv, struct volume *v)
{
	return flag_set(sv, v->rec.id);
}

/* One that cannot be read is refused alone; the flag stays, the records too. */
void serve_unsettled(struct served *sv, struct volume *v, int rc)
{
	char why[VOLUME_WHY];

	snprintf(why, sizeof(why), "volume %s: %.200s cannot be compared with "
		 "the store: %s: check the drive, then run orchctl fsck",
		 v->rec.name, v->rec.path, strerror(-rc));
	pool_unload(sv, v);
	if (atomic_load(&v->refs) == 1) {
		volume_refuse(v, why);
	} else {	/* health.c closes it when nobody uses it */
		strcpy(v->problem, why);
		atomic_store(&v->health, VOLUME_LOST);
	}
	log_err(sv->name, "%s", v->problem);
}

static void settle_volumes(struct served *sv)
{
	struct volume *v;
	bool owes;
	int rc;

	for (v = sv->volumes; v; v = v->next) {
		if (!volume_online(v) || serve_settle(sv, v, &owes) || !owes)
			continue;
		rc = settle_sweep(sv, v);
		if (rc)
			serve_unsettled(sv, v, rc);
	}
}

/* What a lost volume had not written back: the last daemon may not have told. */
static void tell_lost(struct served *sv)
{
	struct volume *v;

	for (v = sv->volumes; v && ns_same_boot(sv->ns); v = v->next)
		if (!volume_online(v) && flag_get(sv, v->rec.id))
			flush_lost(sv);
}

int serve_open(struct served *sv)
{
	uint64_t last = 0;
	int rc;

	rc = read_boot_id(sv->boot_id);
	if (rc < 0)
		return refuse(sv, rc, "%s: the kernel's boot id: %s",
			      strerror(-rc));
	rc = open_store(sv, sv->boot_id, &last);
	if (rc < 0)
		return rc;
	drop_checkpoints(sv);
	rc = load_volumes(sv);
	if (rc < 0)
		return refuse(sv, rc, "the store %s: its volumes: %s",
			      strerror(-rc));
	rc = check_age(sv, last);
	if (rc < 0)
		return rc;
	sv->start_txn = last;
	settle_volumes(sv);
	if (store_failed(sv->st))
		return refuse(sv, -EIO, "the store %s cannot be written: %s",
			      strerror(EIO));
	atomic_store(&sv->last_txn, ns_txn(sv->ns));
	rc = sync_start(sv);
	pool_start(sv);
	if (!rc)
		rc = flush_start(sv);
	if (!rc)
		rc = deleter_start(sv);
	if (!rc)
		rc = mover_start(sv);
	if (!rc)
		rc = exporter_start(sv);
	if (rc < 0)
		return refuse(sv, rc, "%s: cannot start a thread: %s",
			      strerror(-rc));
	deleter_marks(sv, true);
	tell_lost(sv);
	return 0;
}

void serve_own(struct served *sv)
{
	int rc = ns_raise_format(sv->ns);

	if (rc < 0) {
		refuse(sv, rc, "the store %s cannot be written: %s",
		       strerror(-rc));
		sv->stopping = true;
		return;
	}
	served_txn(sv);
	sv->need_attach = true;
	cluster_start(sv);
}

static void final_markers(struct served *sv)
{
	struct volume *v;
	int rc;

	for (v = sv->volumes; v; v = v->next) {
		if (!volume_here(v) || !volume_writable(v))
			continue;
		rc = marker_update(v, sv, store_durable(sv->st));
		if (rc < 0)
			log_warn(sv->name, "volume %s: cannot write "
				 MARKER_FILE ": %s", v->rec.name,
				 strerror(-rc));
	}
}

static void free_volumes(struct served *sv)
{
	struct volume *v;

	while ((v = sv->volumes)) {
		sv->volumes = v->next;
		volume_put(v);
	}
}

/* Orderly: what was acknowledged is made durable, waiting replies are sent. */
void serve_close(struct served *sv)
{
	bool refused = served_get_state(sv, NULL, 0) == SERVED_REFUSED;
	bool served = sv->deleter.worker.started;
	struct ns *ns = sv->ns;
	bool mounted = ns && attach_count_mounts(sv) != 0;
	int rc = 0;

	if (!refused)
		served_set_state(sv, SERVED_STOPPING, "");
	served_wait_users(sv);
	data_stop(sv);	/* requests still reach the other nodes */
	cluster_stop(sv);
	mover_stop(sv);
	exporter_stop(sv);
	deleter_stop(sv);
	pool_stop(sv);
	flush_stop(sv);
	work_run(&sv->queue);	/* the workers' last results */
	sync_stop(sv);
	if (served) {
		rc = store_barrier(sv->st);
		if (rc < 0)
			sync_fatal(sv, rc);
		answer_run(sv);
	}
	nl_ops_lost(sv);
	sessions_stop(sv);
	work_run(&sv->queue);
	/* for as long as somebody waits for the next daemon it would be late */
	if (served && !mounted)
		exporter_final(sv);
	if (ns) {
		pthread_mutex_lock(&sv->lock);
		sv->ns = NULL;
		pthread_mutex_unlock(&sv->lock);
		rc = ns_close(ns);
	}
	if (rc < 0)
		log_err(sv->name, "%s: closing the namespace: %s", sv->dir,
			strerror(-rc));
	else if (served)
		final_markers(sv);
	free_volumes(sv);
	store_close(sv->st);
	sv->st = NULL;
	pthread_mutex_lock(&sv->lock);
	sv->claimed = false;
	pthread_mutex_unlock(&sv->lock);
	if (!refused)
		served_set_state(sv, SERVED_REFUSED, "stopped");
}
