// SPDX-License-Identifier: Apache-2.0
/* orchctl rebuild */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "orchctl.h"
#include "adopt.h"
#include "conn.h"

/* A daemon that has lost a store under it still makes files on the volumes. */
static int not_served(const char *ns)
{
	Orchfs__Control__Empty empty = ORCHFS__CONTROL__EMPTY__INIT;
	ctl_response *resp;
	int rc;
	size_t i;

	CTL_REQUEST(req, STATUS);
	if (!conn_reachable())
		return RC_OK;
	req.status = &empty;
	rc = conn_once(&req, -1, &resp);
	if (rc)
		return rc;
	for (i = 0; resp->daemon && i < resp->daemon->n_ns && !rc; i++)
		if (!strcmp(resp->daemon->ns[i]->name, ns))
			rc = fail(RC_FAILED, "the daemon knows namespace %s: stop it first (orchctl stop, or systemctl stop orchd)",
				  ns);
	conn_free(resp);
	return rc;
}

/* orchd --rebuild tells what it found, in words or as JSON. */
static int make_store(const char *ns, const char *dir, bool dry_run,
		      bool partial, char **paths, int nr)
{
	const char **argv = xcalloc(nr + 8, sizeof(*argv));
	int n = 0, i, rc;

	argv[n++] = "--rebuild";
	argv[n++] = ns;
	argv[n++] = "--store";
	argv[n++] = dir;
	if (dry_run)
		argv[n++] = "--dry-run";
	if (partial)
		argv[n++] = "--partial";
	if (opts.json)
		argv[n++] = "--json";
	for (i = 0; i < nr; i++)
		argv[n++] = paths[i];
	rc = run_orchd_args(argv, n, -1);
	free(argv);
	return rc;
}

int cmd_rebuild(const struct command *cmd, int argc, char **argv)
{
	const char *store = NULL;
	bool dry_run = false, partial = false, loaded = false;
	const struct opt extra[] = {
		{ "store", "DIR", OPT_STRING,
		  "directory of the new store (STATE_DIR/NAME)", &store },
		{ "dry-run", NULL, OPT_FLAG, "tell what would be made",
		  &dry_run },
		{ "partial", NULL, OPT_FLAG,
		  "go on though a volume is not given", &partial },
		{ 0 }
	};
	char *dir;
	int rc;

	argv = args_parse(cmd, extra, &argc, argv);
	rc = not_served(argv[0]);
	if (!rc)
		rc = adopt_prepare(argv[0], store);
	if (rc)
		return rc;
	dir = store_dir(argv[0], store);
	rc = make_store(argv[0], dir, dry_run, partial, argv + 1, argc - 1);
	if (!rc && !dry_run)
		rc = adopt_store(argv[0], dir, &loaded);
	if (!rc && !dry_run && !loaded && !opts.json)
		printf("next: systemctl start orchd\n");
	free(dir);
	return rc;
}
