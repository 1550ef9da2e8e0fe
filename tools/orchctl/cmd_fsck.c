// SPDX-License-Identifier: Apache-2.0
/* orchctl fsck: which stores, served or not, and the exit code. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <json-c/json.h>

#include "orchctl.h"
#include "conn.h"
#include "fsck/fsck.h"

static void fsck_free(struct fsck *f)
{
	db_close(f);
	volumes_close(f);
	small_free(f);
	findings_free(f);
	suspects_free(f);
	fset_free(f->inserted);
	while (f->nr_moves)
		free(f->moves[--f->nr_moves].path);
	free(f->moves);
	free(f->inos);
	free(f->name);
}

static bool same_dir(const char *a, const char *b)
{
	struct stat sa, sb;

	return !stat(a, &sa) && !stat(b, &sb) && sa.st_dev == sb.st_dev &&
	       sa.st_ino == sb.st_ino;
}

/* What the daemon knows of a store: its name, malloced, or NULL; *serves. */
static int ask_daemon(const char *dir, char **name, bool *serves)
{
	Orchfs__Control__Empty empty = ORCHFS__CONTROL__EMPTY__INIT;
	ctl_response *resp;
	size_t i;
	int rc;

	CTL_REQUEST(req, STATUS);
	req.status = &empty;
	rc = conn_once(&req, -1, &resp);
	*name = NULL;
	*serves = false;
	if (rc)
		return rc;
	for (i = 0; resp->daemon && i < resp->daemon->n_ns && !*serves; i++) {
		if (!same_dir(resp->daemon->ns[i]->store, dir))
			continue;
		free(*name);
		*name = xasprintf("%s", resp->daemon->ns[i]->name);
		/* one that it gave up may be listed once more */
		*serves = strcmp(resp->daemon->ns[i]->state, "refused");
	}
	conn_free(resp);
	return RC_OK;
}

/* The name under which the daemon serves a store that is in use; malloced. */
static int served_name(const char *dir, char **name)
{
	bool serves;
	int rc;

	rc = ask_daemon(dir, name, &serves);
	if (rc) {
		warn("%s is in use, but its daemon cannot be asked: name its socket with --socket",
		     dir);
		return rc;
	}
	if (*name)
		return RC_OK;
	return fail(RC_FAILED, "%s is in use by another program than the daemon at %s",
		    dir, opts.socket);
}

/*
 * Has the daemon make a consistent copy, which lives as long as the
 * connection. Return: the connection, or -(exit code).
 */
static int checkpoint(char *ns, char **db_dir)
{
	Orchfs__Control__NamespaceRef ref = ORCHFS__CONTROL__NAMESPACE_REF__INIT;
	Orchfs__Control__Checkpoint msg = ORCHFS__CONTROL__CHECKPOINT__INIT;
	ctl_response *resp;
	int fd, rc;

	CTL_REQUEST(sync, SYNC);
	CTL_REQUEST(copy, CHECKPOINT);
	fd = conn_open();
	if (fd < 0)
		return fd;
	ref.name = ns;
	sync.sync = &ref;
	rc = conn_call(fd, &sync, -1, &resp);
	if (!rc) {
		conn_free(resp);
		msg.ns = ns;
		copy.checkpoint = &msg;
		rc = conn_call(fd, &copy, -1, &resp);
	}
	if (rc) {
		close(fd);
		return -rc;
	}
	*db_dir = xasprintf("%s/db", resp->path);
	if (access(*db_dir, F_OK)) {
		free(*db_dir);
		*db_dir = xasprintf("%s", resp->path);
	}
	conn_free(resp);
	return fd;
}

/* What a live daemon may have changed meanwhile is looked at again. */
static int confirm(struct fsck *f, char *ns)
{
	struct fsck g = { .store = f->store, .online = true, .confirm = true };
	char *db_dir;
	int fd, rc;

	if (f->suspects_dropped)
		warn("%llu more findings on volumes were not looked at again",
		     (unsigned long long)f->suspects_dropped);
	fd = checkpoint(ns, &db_dir);
	if (fd < 0)
		return -fd;
	g.db_dir = db_dir;
	g.inserted = fset_new();
	rc = db_open(&g);
	if (!rc)
		rc = load_super(&g);
	if (!rc) {
		load_small(&g);
		volumes_open(&g);
		suspects_confirm(&g, f->suspects, f->nr_suspects);
		findings_move(f, &g);
		rc = g.read_error ? RC_FAILED : RC_OK;
	}
	fsck_free(&g);
	close(fd);
	free(db_dir);
	return rc;
}

static int run_online(struct fsck *f)
{
	char *ns, *db_dir;
	int fd, rc;

	f->online = true;
	rc = served_name(f->store, &ns);
	if (rc)
		return rc;
	fd = checkpoint(ns, &db_dir);
	if (fd < 0) {
		free(ns);
		return -fd;
	}
	f->db_dir = db_dir;
	rc = db_open(f);
	if (!rc)
		rc = fsck_run(f);
	db_close(f);
	close(fd);
	if (!rc && f->nr_suspects)
		rc = confirm(f, ns);
	free(ns);
	free(db_dir);
	return rc;
}

static int run_offline(struct fsck *f)
{
	char *db_dir = xasprintf("%s/db", f->store);
	int rc;

	f->db_dir = db_dir;
	rc = db_open(f);
	if (!rc)
		rc = fsck_run(f);
	db_close(f);
	free(db_dir);
	return rc;
}

/*
 * A daemon that starts, or takes over, can't open a store that is locked here.
 * Return: -EBUSY when it is the daemon's, or -errno, or a descriptor.
 */
static int lock_unserved(const char *dir, bool repair, int *rc)
{
	bool serves = false;
	char *name = NULL;

	*rc = RC_OK;
	if (!repair && conn_reachable())
		*rc = ask_daemon(dir, &name, &serves);
	free(name);
	return *rc || serves ? -EBUSY : lock_store(dir, repair);
}

static int verdict(const struct fsck *f)
{
	if (f->found || f->left)
		return RC_PROBLEMS;
	return f->repaired ? RC_REPAIRED : RC_OK;
}

static bool has(const char *dir, const char *name)
{
	char *path = xasprintf("%s/%s", dir, name);
	bool there = !access(path, F_OK);

	free(path);
	return there;
}

/* Nothing to check, but the store of another node. */
static int no_store(const char *dir, int err)
{
	bool is_agent = has(dir, "cluster/agent") ||
		(has(dir, "cluster/node.pem") && !has(dir, "synced") &&
		 !has(dir, "cluster/ca.key"));

	if (is_agent)
		return fail(RC_FAILED, "%s: this node is an agent and has no store: run fsck on the authority, which orchctl status names",
			    dir);
	return fail(RC_FAILED, "%s is no store (%s): name one with --store, or make one with 'orchctl init'",
		    dir, strerror(err));
}

static int check_store(const char *dir, bool repair, struct json_object *out)
{
	struct fsck f = { .store = dir, .repair = repair };
	char *db = xasprintf("%s/db/CURRENT", dir);
	bool there = !access(db, F_OK);
	int lock, rc, err = errno;

	free(db);
	if (!there)
		return no_store(dir, err);
	lock = lock_unserved(dir, repair, &rc);
	if (rc)
		return fail(rc, "the daemon cannot say whether it serves %s: try again",
			    dir);
	if (lock == -EBUSY && repair)
		return fail(RC_FAILED, "%s is in use: --repair needs the daemon to be stopped (systemctl stop orchd, or orchctl stop)",
			    dir);
	if (lock < 0 && lock != -EBUSY && (lock != -ENOENT || repair))
		return fail(RC_FAILED, "%s/lock: %s: run orchctl as root", dir,
			    strerror(-lock));
	rc = lock == -EBUSY ? run_online(&f) : run_offline(&f);
	if (!rc) {
		if (out)
			json_object_array_add(out, report_json(&f));
		else
			report_print(&f);
		rc = verdict(&f);
	}
	fsck_free(&f);
	if (lock >= 0)
		close(lock);
	return rc;
}

/* The worst of several stores: failed, problems left, repaired, clean. */
static int worse(int a, int b)
{
	static const int order[] = { RC_FAILED, RC_NO_DAEMON, RC_PROBLEMS,
				     RC_REPAIRED };
	size_t i;

	for (i = 0; i < sizeof(order) / sizeof(order[0]); i++)
		if (a == order[i] || b == order[i])
			return order[i];
	return RC_OK;
}

static int is_store(const struct dirent *e)
{
	char *path = xasprintf("%s/%s/db", opts.state_dir, e->d_name);
	struct stat st;
	bool yes = e->d_name[0] != '.' && !stat(path, &st) &&
		   S_ISDIR(st.st_mode);

	free(path);
	return yes;
}

static int check_all(bool repair, struct json_object *out)
{
	struct dirent **list;
	int n, i, rc = RC_OK;
	char *dir;

	n = scandir(opts.state_dir, &list, is_store, alphasort);
	if (n < 0)
		return fail(RC_FAILED, "%s: %s: name the store with --store",
			    opts.state_dir, strerror(errno));
	if (!n)
		rc = fail(RC_FAILED, "no store below %s: 'orchctl init NAME' makes one",
			  opts.state_dir);
	for (i = 0; i < n; i++) {
		dir = xasprintf("%s/%s", opts.state_dir, list[i]->d_name);
		rc = worse(rc, check_store(dir, repair, out));
		free(dir);
		free(list[i]);
	}
	free(list);
	return rc;
}

int cmd_fsck(const struct command *cmd, int argc, char **argv)
{
	const char *store = NULL, *name;
	bool repair = false;
	const struct opt extra[] = {
		{ "store", "DIR", OPT_STRING,
		  "check the store in DIR (STATE_DIR/NAME)", &store },
		{ "repair", NULL, OPT_FLAG,
		  "mend what can be mended; the daemon must be stopped",
		  &repair },
		{ 0 }
	};
	struct json_object *out = NULL;
	char *dir;
	int rc;

	argv = args_parse(cmd, extra, &argc, argv);
	name = argc ? argv[0] : *opts.ns ? opts.ns : NULL;
	if (name && store)
		return fail(RC_USAGE, "give NAME or --store, not both");
	if (opts.json)
		out = json_object_new_array();
	if (name || store) {
		dir = store_dir(name, store);
		rc = check_store(dir, repair, out);
		free(dir);
	} else {
		rc = check_all(repair, out);
	}
	if (out)
		print_json(out);
	return rc;
}
