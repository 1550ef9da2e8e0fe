// SPDX-License-Identifier: Apache-2.0
/* orchctl move; orchctl volume drain; orchctl jobs list, show, cancel, watch */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <json-c/json.h>

#include "orchctl.h"
#include "conn.h"

/* How long a daemon may be gone before a command that waits gives up. */
#define GONE_TRIES	300
#define GONE_MS		200
#define LOOK_MS		500

typedef Orchfs__Control__JobInfo job_info;

static struct json_object *file_json(const Orchfs__Control__JobFile *f)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "ino", json_uint(f->ino));
	json_object_object_add(o, "path", json_bytes(f->path, strlen(f->path)));
	json_object_object_add(o, "state", json_object_new_string(f->state));
	json_object_object_add(o, "text", json_bytes(f->text, strlen(f->text)));
	return o;
}

static struct json_object *job_json(const job_info *j)
{
	struct json_object *o = json_object_new_object(), *a;
	size_t i;

	json_object_object_add(o, "job", json_uint(j->id));
	json_object_object_add(o, "ino", json_uint(j->ino));
	json_object_object_add(o, "what", json_bytes(j->label,
						     strlen(j->label)));
	json_object_object_add(o, "volume", json_bytes(j->volume,
						       strlen(j->volume)));
	json_object_object_add(o, "drain",
			       json_object_new_boolean(j->drain));
	json_object_object_add(o, "state", json_object_new_string(j->state));
	json_object_object_add(o, "step", json_object_new_string(j->step));
	json_object_object_add(o, "text", json_bytes(j->text, strlen(j->text)));
	json_object_object_add(o, "files", json_uint(j->files));
	json_object_object_add(o, "total", json_uint(j->total));
	json_object_object_add(o, "moved", json_uint(j->moved));
	json_object_object_add(o, "bytes", json_uint(j->bytes));
	json_object_object_add(o, "reading", json_uint(j->reading));
	json_object_object_add(o, "there", json_uint(j->there));
	json_object_object_add(o, "left", json_uint(j->skipped));
	json_object_object_add(o, "waiting", json_uint(j->waiting));
	json_object_object_add(o, "rate", json_uint(j->rate));
	json_object_object_add(o, "cancel",
			       json_object_new_boolean(j->cancel));
	json_object_object_add(o, "started", json_object_new_int64(j->started));
	json_object_object_add(o, "ended", json_object_new_int64(j->ended));
	a = json_object_new_array();
	for (i = 0; i < j->n_file; i++)
		json_object_array_add(a, file_json(j->file[i]));
	json_object_object_add(o, "at", a);
	return o;
}

static bool has_ended(const job_info *j)
{
	return !strcmp(j->state, "done") || !strcmp(j->state, "failed") ||
	       !strcmp(j->state, "cancelled");
}

static void files_print(FILE *to, const job_info *j)
{
	size_t i;

	for (i = 0; i < j->n_file; i++)
		fprintf(to, "  %-7s %s%s%s\n", j->file[i]->state,
		       *j->file[i]->path ? j->file[i]->path : "(no name)",
		       *j->file[i]->text ? ": " : "", j->file[i]->text);
}

/* The end of a job, for people. */
static void summary_print(const job_info *j)
{
	printf("job %" PRIu64 " %s: %" PRIu64 " file%s (%s) moved %s %s", j->id,
	       j->state, j->moved, j->moved == 1 ? "" : "s",
	       human_size(j->bytes), j->drain ? "from" : "to", j->volume);
	if (j->there)
		printf(", %" PRIu64 " there already", j->there);
	if (j->skipped)
		printf(", %" PRIu64 " left", j->skipped);
	if (j->waiting)
		printf(", %" PRIu64 " copied and in use where they were",
		       j->waiting);
	printf("\n");
	files_print(stdout, j);
	if (j->drain && *j->text)
		printf("%s\n", j->text);
}

static const char *time_text(int64_t t)
{
	static char buf[2][32];
	static int turn;
	char *p = buf[turn++ % 2];
	time_t s = (time_t)t;
	struct tm tm;

	if (!t || !localtime_r(&s, &tm))
		return "-";
	strftime(p, sizeof(buf[0]), "%F %T", &tm);
	return p;
}

static void job_print(const job_info *j)
{
	printf("job         %" PRIu64 "\n", j->id);
	if (j->drain)
		printf("what        %s\n", j->label);
	else
		printf("what        %s (inode %" PRIu64 ")\n", j->label,
		       j->ino);
	printf("%s        volume %s\n", j->drain ? "from" : "to  ", j->volume);
	printf("state       %s%s%s%s\n", j->state,
	       j->cancel && !has_ended(j) ? ", being cancelled" : "",
	       *j->text ? ": " : "", j->text);
	if (!has_ended(j))
		printf("step        %s\n", j->step);
	printf("found       %" PRIu64 " files, %s\n", j->files,
	       human_size(j->total));
	printf("moved       %" PRIu64 " files, %s\n", j->moved,
	       human_size(j->bytes + j->reading));
	printf("there       %" PRIu64 " files\n", j->there);
	printf("left        %" PRIu64 " files\n", j->skipped);
	printf("waiting     %" PRIu64 " files\n", j->waiting);
	if (j->rate)
		printf("rate        %s/s\n", human_size(j->rate));
	printf("started     %s\n", time_text(j->started));
	printf("ended       %s\n", time_text(j->ended));
	files_print(stdout, j);
}

static void progress_print(const job_info *j)
{
	uint64_t done = j->bytes + j->reading;
	unsigned int percent = j->total && done < j->total ?
		(unsigned int)((double)done * 100 / (double)j->total) : 100;

	fprintf(stderr, "\rjob %" PRIu64 ": %-8s %3u%%  %" PRIu64 "/%" PRIu64
		" files  %s of %s\033[K", j->id, j->step,
		j->files ? percent : 0, j->moved, j->files, human_size(done),
		human_size(j->total));
}

static void pause_ms(long ms)
{
	struct timespec t = { ms / 1000, ms % 1000 * 1000000 };

	nanosleep(&t, NULL);
}

/* The state of a job; a daemon that restarts is waited for. */
static int job_get(const char *ns, uint64_t id, uint64_t seen, uint32_t wait,
		   bool files, ctl_response **out)
{
	Orchfs__Control__JobRef ref = ORCHFS__CONTROL__JOB_REF__INIT;
	int tries, rc;

	CTL_REQUEST(req, JOB_GET);
	ref.ns = (char *)ns;
	ref.id = id;
	ref.seen = seen;
	ref.wait_ms = wait;
	ref.files = files;
	req.job_get = &ref;
	if (!wait)
		return conn_once(&req, -1, out);
	for (tries = 0; tries < GONE_TRIES; tries++) {
		rc = conn_quiet(&req, out);
		if (!rc || rc != -EAGAIN)
			break;
		pause_ms(GONE_MS);
	}
	if (rc == -EAGAIN)
		return fail(RC_NO_DAEMON, "the daemon has gone; job %" PRIu64
			    " goes on when it is started again", id);
	return rc ? RC_FAILED : RC_OK;
}

/* What a job waits for, when that is news; a drain's files are a part of it. */
static void tell_waits(const char *ns, const job_info *j, char **told)
{
	ctl_response *resp;

	if ((strcmp(j->state, "waiting") && strcmp(j->state, "queued")) ||
	    !*j->text || (*told && !strcmp(*told, j->text)))
		return;
	free(*told);
	*told = xasprintf("%s", j->text);
	fprintf(stderr, "%sjob %" PRIu64 ": %s\n",
		isatty(STDERR_FILENO) ? "\r\033[K" : "", j->id, j->text);
	if (!j->drain || job_get(ns, j->id, 0, 0, true, &resp))
		return;
	files_print(stderr, resp->job);
	conn_free(resp);
}

/*
 * Until the job ends, or nothing is left of it but files that are in use. The
 * answer tells of its files.
 */
static int job_wait(const char *ns, uint64_t id, bool to_the_end,
		    ctl_response **out)
{
	bool show = isatty(STDERR_FILENO) && !opts.json, end = false;
	ctl_response *resp = NULL;
	char *told = NULL;
	uint64_t seen = 0;
	int rc = RC_OK;

	while (!end && !rc) {
		conn_free(resp);
		resp = NULL;
		rc = job_get(ns, id, seen, LOOK_MS, false, &resp);
		if (rc || !resp->job)
			break;
		seen = resp->changes;
		end = has_ended(resp->job) ||
		      (!to_the_end && resp->job->waiting &&
		       !strcmp(resp->job->state, "waiting"));
		if (!end && !opts.json)
			tell_waits(ns, resp->job, &told);
		if (show)
			progress_print(resp->job);
	}
	if (show)
		fprintf(stderr, "\r\033[K");
	free(told);
	conn_free(resp);
	return rc ? rc : job_get(ns, id, 0, 0, true, out);
}

/* 0 when all is where it should be, or will be. */
static int job_result(const job_info *j)
{
	if (!strcmp(j->state, "failed"))
		return fail(RC_FAILED, "job %" PRIu64 ": %s: %s", j->id,
			    j->label, *j->text ? j->text : "failed");
	if (!strcmp(j->state, "cancelled"))
		return fail(RC_FAILED, "job %" PRIu64 " was cancelled: what it had moved stays moved%s",
			    j->id, j->drain ? ", the volume takes new files again" : "");
	if (j->skipped)
		return fail(RC_FAILED, "%" PRIu64 " files were left where they are; move them again when they are not in use",
			    j->skipped);
	return RC_OK;
}

static int job_follow(const char *ns, uint64_t id, bool to_the_end)
{
	ctl_response *resp;
	int rc;

	rc = job_wait(ns, id, to_the_end, &resp);
	if (rc)
		return rc;
	if (opts.json)
		print_json(job_json(resp->job));
	else
		summary_print(resp->job);
	if (!opts.json && !has_ended(resp->job))
		printf("job %" PRIu64 " waits until they are not mapped any more; see 'orchctl jobs show %" PRIu64 "'\n",
		       id, id);
	rc = job_result(resp->job);
	conn_free(resp);
	return rc;
}

/* A job was begun, as @resp tells: tell its number, or follow it. */
static int job_begun(const char *ns, ctl_response *resp, bool detach,
		     bool to_the_end)
{
	uint64_t id;

	if (!resp->job) {
		conn_free(resp);
		return fail(RC_FAILED, "%s: an answer without a job",
			    opts.socket);
	}
	id = resp->job->id;
	if (detach && opts.json)
		print_json(job_json(resp->job));
	else if (detach)
		printf("%" PRIu64 "\n", id);
	conn_free(resp);
	return detach ? RC_OK : job_follow(ns, id, to_the_end);
}

int cmd_move(const struct command *cmd, int argc, char **argv)
{
	bool detach = false;
	uint64_t rate = 0;
	const struct opt extra[] = {
		{ "detach", NULL, OPT_FLAG,
		  "don't wait: print the job's number", &detach },
		{ "rate", "SIZE", OPT_SIZE,
		  "read at most SIZE bytes a second, such as 50M", &rate },
		{ 0 }
	};
	Orchfs__Control__Move msg = ORCHFS__CONTROL__MOVE__INIT;
	ctl_response *resp;
	struct target t;
	int rc;

	CTL_REQUEST(req, MOVE);
	argv = args_parse(cmd, extra, &argc, argv);
	rc = target_resolve(argv[0], &t);
	if (rc)
		return rc;
	msg.ns = t.ns;
	msg.ino = t.ino;
	msg.volume = argv[1];
	msg.rate = rate;
	msg.label = argv[0];
	req.move = &msg;
	rc = conn_once(&req, -1, &resp);
	if (rc)
		return rc;
	return job_begun(t.ns, resp, detach, false);
}

/* The job that takes files away is given up, where there is one. */
static int drain_back(const char *name, ctl_response *resp)
{
	uint64_t id = resp->job ? resp->job->id : 0;
	int rc = RC_OK;

	conn_free(resp);
	resp = NULL;
	if (id)
		rc = job_wait(opts.ns, id, true, &resp);
	if (rc)
		return rc;
	if (id && opts.json)
		print_json(job_json(resp->job));
	else if (opts.json)
		print_done();
	else if (id)
		summary_print(resp->job);
	if (!opts.json)
		printf("volume %s takes new files again\n", name);
	conn_free(resp);
	return RC_OK;
}

int cmd_volume_drain(const struct command *cmd, int argc, char **argv)
{
	bool detach = false, back = false;
	uint64_t rate = 0;
	const struct opt extra[] = {
		{ "cancel", NULL, OPT_FLAG,
		  "take it back: the volume gets new files again", &back },
		{ "detach", NULL, OPT_FLAG,
		  "don't wait: print the job's number", &detach },
		{ "rate", "SIZE", OPT_SIZE,
		  "read at most SIZE bytes a second, such as 50M", &rate },
		{ 0 }
	};
	Orchfs__Control__VolumeDrain msg = ORCHFS__CONTROL__VOLUME_DRAIN__INIT;
	ctl_response *resp;
	int rc;

	CTL_REQUEST(req, VOLUME_DRAIN);
	argv = args_parse(cmd, extra, &argc, argv);
	if (back && (detach || rate))
		return fail(RC_USAGE, "--cancel goes with neither --detach nor --rate");
	msg.ns = (char *)opts.ns;
	msg.name = argv[0];
	msg.rate = rate;
	msg.back = back;
	req.volume_drain = &msg;
	rc = conn_once(&req, -1, &resp);
	if (rc)
		return rc;
	if (back)
		return drain_back(argv[0], resp);
	return job_begun(opts.ns, resp, detach, true);
}

/* A volume of the node to be drained, and its job. */
#define VOLUME_NAME	65
struct node_volume {
	char name[VOLUME_NAME];
	uint64_t job;
};

static bool is_node(const Orchfs__Control__VolumeInfo *v, const char *node)
{
	char number[16];

	snprintf(number, sizeof(number), "%" PRIu32, v->home);
	return v->home && (!strcmp(node, number) ||
			   !strcmp(node, v->home_name));
}

static int node_volumes(const char *node, struct node_volume **out,
			size_t *nr)
{
	Orchfs__Control__NamespaceRef ref =
		ORCHFS__CONTROL__NAMESPACE_REF__INIT;
	const Orchfs__Control__VolumeList *l;
	ctl_response *resp;
	int rc;

	CTL_REQUEST(req, VOLUME_LIST);
	ref.name = (char *)opts.ns;
	req.volume_list = &ref;
	rc = conn_once(&req, -1, &resp);
	if (rc)
		return rc;
	l = resp->volumes;
	*nr = 0;
	*out = xcalloc(l ? l->n_volume + 1 : 1, sizeof(**out));
	for (size_t i = 0; l && i < l->n_volume; i++) {
		if (is_node(l->volume[i], node))
			snprintf((*out)[(*nr)++].name, VOLUME_NAME, "%s",
				 l->volume[i]->name);
	}
	conn_free(resp);
	return *nr ? RC_OK : fail(RC_FAILED, "node %s has no volume: see 'orchctl volume list'",
				  node);
}

static int drain_one(struct node_volume *v, uint64_t rate, bool back)
{
	Orchfs__Control__VolumeDrain msg = ORCHFS__CONTROL__VOLUME_DRAIN__INIT;
	ctl_response *resp;
	int rc;

	CTL_REQUEST(req, VOLUME_DRAIN);
	msg.ns = (char *)opts.ns;
	msg.name = v->name;
	msg.rate = rate;
	msg.back = back;
	req.volume_drain = &msg;
	rc = conn_once(&req, -1, &resp);
	if (rc)
		return rc;
	if (back)
		return drain_back(v->name, resp);
	v->job = resp->job ? resp->job->id : 0;
	conn_free(resp);
	return RC_OK;
}

int cmd_node_drain(const struct command *cmd, int argc, char **argv)
{
	bool detach = false, back = false;
	uint64_t rate = 0;
	const struct opt extra[] = {
		{ "cancel", NULL, OPT_FLAG,
		  "take it back: its volumes get new files again", &back },
		{ "detach", NULL, OPT_FLAG,
		  "don't wait: print the jobs' numbers", &detach },
		{ "rate", "SIZE", OPT_SIZE,
		  "read at most SIZE bytes a second for each volume", &rate },
		{ 0 }
	};
	struct node_volume *v = NULL;
	size_t nr = 0;
	int rc;

	argv = args_parse(cmd, extra, &argc, argv);
	if (back && (detach || rate))
		return fail(RC_USAGE, "--cancel goes with neither --detach nor --rate");
	rc = node_volumes(argv[0], &v, &nr);
	for (size_t i = 0; i < nr && !rc; i++)
		rc = drain_one(&v[i], rate, back);
	for (size_t i = 0; i < nr && !rc && !back; i++) {
		if (detach)
			printf("%" PRIu64 "\n", v[i].job);
		else
			rc = job_follow(opts.ns, v[i].job, true);
	}
	free(v);
	return rc;
}

static void list_print(const Orchfs__Control__JobList *l)
{
	const job_info *j;
	size_t i;

	if (!l || !l->n_job) {
		printf("no job\n");
		return;
	}
	printf("%5s %-9s %-8s %12s %10s %-12s %s\n", "JOB", "STATE", "STEP",
	       "FILES", "BYTES", "TO", "WHAT");
	for (i = 0; i < l->n_job; i++) {
		char files[32];

		j = l->job[i];
		snprintf(files, sizeof(files), "%" PRIu64 "/%" PRIu64,
			 j->moved, j->files);
		printf("%5" PRIu64 " %-9s %-8s %12s %10s %-12s %s\n", j->id,
		       j->state, j->step, files,
		       human_size(j->bytes + j->reading),
		       j->drain ? "(others)" : j->volume, j->label);
		if (*j->text)
			printf("%5s %s\n", "", j->text);
	}
}

int cmd_jobs_list(const struct command *cmd, int argc, char **argv)
{
	Orchfs__Control__NamespaceRef ref =
		ORCHFS__CONTROL__NAMESPACE_REF__INIT;
	struct json_object *a;
	ctl_response *resp;
	size_t i;
	int rc;

	CTL_REQUEST(req, JOB_LIST);
	args_parse(cmd, NULL, &argc, argv);
	ref.name = (char *)opts.ns;
	req.job_list = &ref;
	rc = conn_once(&req, -1, &resp);
	if (rc)
		return rc;
	if (opts.json) {
		a = json_object_new_array();
		for (i = 0; resp->jobs && i < resp->jobs->n_job; i++)
			json_object_array_add(a, job_json(resp->jobs->job[i]));
		print_json(a);
	} else {
		list_print(resp->jobs);
	}
	conn_free(resp);
	return RC_OK;
}

static int job_number(const char *arg, uint64_t *id)
{
	if (!parse_uint(arg, id) && *id)
		return RC_OK;
	return fail(RC_USAGE, "'%s' is no number of a job: 'orchctl jobs list' shows them",
		    arg);
}

int cmd_jobs_show(const struct command *cmd, int argc, char **argv)
{
	ctl_response *resp;
	uint64_t id;
	int rc;

	argv = args_parse(cmd, NULL, &argc, argv);
	rc = job_number(argv[0], &id);
	if (!rc)
		rc = job_get(opts.ns, id, 0, 0, true, &resp);
	if (rc)
		return rc;
	if (opts.json)
		print_json(job_json(resp->job));
	else
		job_print(resp->job);
	conn_free(resp);
	return RC_OK;
}

int cmd_jobs_cancel(const struct command *cmd, int argc, char **argv)
{
	Orchfs__Control__JobRef ref = ORCHFS__CONTROL__JOB_REF__INIT;
	ctl_response *resp;
	int rc;

	CTL_REQUEST(req, JOB_CANCEL);
	argv = args_parse(cmd, NULL, &argc, argv);
	rc = job_number(argv[0], &ref.id);
	if (rc)
		return rc;
	ref.ns = (char *)opts.ns;
	req.job_cancel = &ref;
	rc = conn_once(&req, -1, NULL);
	if (rc)
		return rc;
	rc = job_wait(opts.ns, ref.id, true, &resp);
	if (rc)
		return rc;
	if (opts.json)
		print_json(job_json(resp->job));
	else
		summary_print(resp->job);
	conn_free(resp);
	return RC_OK;
}

int cmd_jobs_watch(const struct command *cmd, int argc, char **argv)
{
	uint64_t id;
	int rc;

	argv = args_parse(cmd, NULL, &argc, argv);
	rc = job_number(argv[0], &id);
	return rc ? rc : job_follow(opts.ns, id, true);
}
