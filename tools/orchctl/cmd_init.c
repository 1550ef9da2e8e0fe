// SPDX-License-Identifier: Apache-2.0
/* orchctl init */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <json-c/json.h>

#include "orchctl.h"
#include "conn.h"
#include "adopt.h"

/* The daemon finds stores as sub-directories of its state directory. */
static int link_store(const char *ns, const char *real)
{
	char *path = xasprintf("%s/%s", opts.state_dir, ns), *there;
	int rc = RC_OK;

	there = realpath(path, NULL);
	if (there && !strcmp(there, real))
		goto out;
	if (!there && !lstat(path, &(struct stat){ 0 }))
		rc = fail(RC_FAILED, "%s leads nowhere: remove it and run 'ln -s %s %s'",
			  path, real, path);
	else if (there)
		rc = fail(RC_FAILED, "%s is another store: the daemon would serve that one; choose another name",
			  path);
	else if (symlink(real, path))
		rc = fail(RC_FAILED, "%s: %s: the daemon finds stores below %s",
			  path, strerror(errno), opts.state_dir);
out:
	free(there);
	free(path);
	return rc;
}

static int load(const char *real)
{
	Orchfs__Control__Load msg = ORCHFS__CONTROL__LOAD__INIT;

	CTL_REQUEST(req, LOAD);
	msg.store = (char *)real;
	req.load = &msg;
	return conn_once(&req, -1, NULL);
}

static bool is_empty(const char *path)
{
	DIR *d = opendir(path);
	bool empty = d;
	struct dirent *e;

	while (empty && (e = readdir(d)))
		empty = !strcmp(e->d_name, ".") || !strcmp(e->d_name, "..");
	if (d)
		closedir(d);
	return empty;
}

/* A drive of its own for the store has a lost+found, and may have more. */
static bool is_free_drive(const char *path)
{
	char *db = xasprintf("%s/db", path);
	struct statx x;
	bool free_drive;

	free_drive = !statx(AT_FDCWD, path, 0, STATX_TYPE, &x) &&
		     x.stx_attributes & STATX_ATTR_MOUNT_ROOT &&
		     access(db, F_OK);
	free(db);
	return free_drive;
}

static bool in_the_way(const char *path, const char *store)
{
	char *there = realpath(path, NULL);
	char *wanted = store ? realpath(store, NULL) : NULL;
	bool same = there && wanted && !strcmp(there, wanted);

	free(wanted);
	if (!there)
		return !lstat(path, &(struct stat){ 0 });
	free(there);
	if (same)
		return false;
	return store || !(is_empty(path) || is_free_drive(path));
}

int adopt_prepare(const char *ns, const char *store)
{
	char *path;
	int rc = RC_OK;

	if (!valid_name(ns))
		return fail(RC_USAGE, "'%s' is no name for a namespace: 1 to 63 of A-Z a-z 0-9 . _ - and none of . - in front",
			    ns);
	if (mkdir(opts.state_dir, 0700) && errno != EEXIST)
		return fail(RC_FAILED, "%s: %s: run orchctl as root, or choose another --state-dir",
			    opts.state_dir, strerror(errno));
	path = xasprintf("%s/%s", opts.state_dir, ns);
	/* Found now, it costs nothing; found later, a useless store. */
	if (in_the_way(path, store))
		rc = fail(RC_FAILED, "there is a namespace %s already: choose another name, or stop the daemon and move %s out of %s",
			  ns, path, opts.state_dir);
	free(path);
	return rc;
}

int adopt_store(const char *ns, const char *dir, bool *loaded)
{
	char *real = realpath(dir, NULL);
	int rc;

	if (!real)
		return fail(RC_FAILED, "%s: %s", dir, strerror(errno));
	rc = link_store(ns, real);
	if (!rc) {
		*loaded = conn_reachable();
		if (*loaded)
			rc = load(real);
	}
	free(real);
	return rc;
}

int cmd_init(const struct command *cmd, int argc, char **argv)
{
	const char *store = NULL;
	const struct opt extra[] = {
		{ "store", "DIR", OPT_STRING,
		  "directory of the store (STATE_DIR/NAME)", &store },
		{ 0 }
	};
	struct json_object *o;
	bool loaded = false;
	char *dir;
	int rc;

	argv = args_parse(cmd, extra, &argc, argv);
	rc = adopt_prepare(argv[0], store);
	if (rc)
		return rc;
	dir = store_dir(argv[0], store);
	rc = run_orchd("--init", argv[0], dir, -1);
	if (!rc)
		rc = adopt_store(argv[0], dir, &loaded);
	if (!rc && opts.json) {
		o = json_object_new_object();
		json_object_object_add(o, "namespace",
				       json_bytes(argv[0], strlen(argv[0])));
		json_object_object_add(o, "store", json_bytes(dir, strlen(dir)));
		json_object_object_add(o, "serving",
				       json_object_new_boolean(loaded));
		print_json(o);
	} else if (!rc) {
		printf("namespace %s is in %s\n", argv[0], dir);
		if (!loaded)
			printf("next: systemctl start orchd\n");
		printf("next: orchctl volume add VOLUME DIRECTORY --namespace %s\n"
		       "then: mount -t orchfs %s /mnt\n", argv[0], argv[0]);
	}
	free(dir);
	return rc;
}
