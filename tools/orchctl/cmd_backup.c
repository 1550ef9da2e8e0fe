// SPDX-License-Identifier: Apache-2.0
/* orchctl backup, restore */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <json-c/json.h>

#include "orchctl.h"
#include "adopt.h"
#include "conn.h"

static int sync_parent(const char *path)
{
	char *copy = xasprintf("%s", path);
	int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int err = 0;

	free(copy);
	if (fd < 0)
		return -errno;
	if (fsync(fd))
		err = -errno;
	close(fd);
	return err;
}

static int write_backup(int fd, uint64_t *bytes)
{
	Orchfs__Control__Backup msg = ORCHFS__CONTROL__BACKUP__INIT;
	ctl_response *resp;
	struct stat st;
	int rc;

	CTL_REQUEST(req, BACKUP);
	msg.ns = (char *)opts.ns;
	req.backup = &msg;
	rc = conn_once(&req, fd, &resp);
	if (rc)
		return rc;
	*bytes = resp->bytes;
	conn_free(resp);
	if (fstat(fd, &st))
		return fail(RC_FAILED, "the backup: %s", strerror(errno));
	if ((uint64_t)st.st_size != *bytes)
		return fail(RC_FAILED, "the backup has %" PRIu64 " bytes of %"
			    PRIu64 ": see 'journalctl -u orchd'",
			    (uint64_t)st.st_size, *bytes);
	return RC_OK;
}

/* Complete, durable, then in its place: an older backup is never in danger. */
static int finish(int fd, const char *tmp, const char *path)
{
	int err;

	if (fsync(fd) || rename(tmp, path))
		return fail(RC_FAILED, "%s: %s", path, strerror(errno));
	err = sync_parent(path);
	if (err)
		return fail(RC_FAILED, "%s: its directory is not durable: %s",
			    path, strerror(-err));
	return RC_OK;
}

int cmd_backup(const struct command *cmd, int argc, char **argv)
{
	struct json_object *o;
	uint64_t bytes = 0;
	struct stat st;
	char *tmp;
	int fd, rc;

	argv = args_parse(cmd, NULL, &argc, argv);
	if (!stat(argv[0], &st) && !S_ISREG(st.st_mode))
		return fail(RC_FAILED, "%s is not a regular file: name another one",
			    argv[0]);
	tmp = xasprintf("%s.XXXXXX", argv[0]);
	fd = mkostemp(tmp, O_CLOEXEC);
	if (fd < 0) {
		rc = fail(RC_FAILED, "%s: %s", tmp, strerror(errno));
		free(tmp);
		return rc;
	}
	rc = write_backup(fd, &bytes);
	if (!rc)
		rc = finish(fd, tmp, argv[0]);
	if (rc)
		unlink(tmp);
	close(fd);
	free(tmp);
	if (!rc && opts.json) {
		o = json_object_new_object();
		json_object_object_add(o, "file", json_bytes(argv[0],
							     strlen(argv[0])));
		json_object_object_add(o, "bytes", json_uint(bytes));
		print_json(o);
	} else if (!rc) {
		printf("%s: %s\n", argv[0], human_size(bytes));
	}
	return rc;
}

/* A store under a daemon must not be replaced. */
static int store_idle(const char *dir)
{
	int fd = lock_store(dir, false);

	if (fd >= 0 || fd == -ENOENT || fd == -ENOTDIR) {
		if (fd >= 0)
			close(fd);
		return RC_OK;
	}
	if (fd == -EBUSY)
		return fail(RC_FAILED, "%s is in use: stop the daemon first (orchctl stop, or systemctl stop orchd)",
			    dir);
	return fail(RC_FAILED, "%s: %s", dir, strerror(-fd));
}

static void restore_told(const char *ns, const char *dir, bool loaded)
{
	struct json_object *o;

	if (opts.json) {
		o = json_object_new_object();
		json_object_object_add(o, "namespace", json_bytes(ns,
								  strlen(ns)));
		json_object_object_add(o, "store", json_bytes(dir, strlen(dir)));
		json_object_object_add(o, "serving",
				       json_object_new_boolean(loaded));
		print_json(o);
		return;
	}
	printf("namespace %s is restored in %s\n"
	       "Files made after the backup are not in it; their contents are moved to each\n"
	       "volume's quarantine/ when the daemon serves it. Nothing is deleted there.\n",
	       ns, dir);
	if (!loaded)
		printf("next: systemctl start orchd\n");
}

int cmd_restore(const struct command *cmd, int argc, char **argv)
{
	const char *store = NULL;
	const struct opt extra[] = {
		{ "store", "DIR", OPT_STRING,
		  "directory of the new store (STATE_DIR/NAMESPACE)", &store },
		{ 0 }
	};
	bool loaded = false;
	char *dir;
	int fd, rc;

	argv = args_parse(cmd, extra, &argc, argv);
	if (!*opts.ns)
		return fail(RC_USAGE, "--namespace NAME is needed: the namespace to restore");
	rc = adopt_prepare(opts.ns, store);
	if (rc)
		return rc;
	fd = open(argv[0], O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return fail(RC_FAILED, "%s: %s: name a file that 'orchctl backup' wrote",
			    argv[0], strerror(errno));
	dir = store_dir(opts.ns, store);
	rc = store_idle(dir);
	if (!rc)
		rc = run_orchd("--restore", opts.ns, dir, fd);
	if (!rc)
		rc = adopt_store(opts.ns, dir, &loaded);
	if (!rc)
		restore_told(opts.ns, dir, loaded);
	close(fd);
	free(dir);
	return rc;
}
