// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "config.h"
#include "log.h"

#define DEFAULT_STATE_DIR	"/var/lib/orchd"
#define MEMORY_MIN		(64ULL << 20)
#define DEFAULT_SOCKET		"/run/orchd/control"

enum {
	OPT_STATE_DIR = 256, OPT_SOCKET, OPT_READY_FD, OPT_INIT, OPT_RESTORE,
	OPT_TAKEOVER,
	OPT_REBUILD, OPT_DRY_RUN, OPT_PARTIAL, OPT_JSON,
	OPT_STORE, OPT_ENGINE, OPT_LOG_LEVEL, OPT_VERSION, OPT_MOVE_RATE,
	OPT_MEMORY,
};

static const struct option options[] = {
	{ "foreground",	no_argument,		NULL, 'f' },
	{ "state-dir",	required_argument,	NULL, OPT_STATE_DIR },
	{ "socket",	required_argument,	NULL, OPT_SOCKET },
	{ "ready-fd",	required_argument,	NULL, OPT_READY_FD },
	{ "takeover",	no_argument,		NULL, OPT_TAKEOVER },
	{ "init",	required_argument,	NULL, OPT_INIT },
	{ "restore",	required_argument,	NULL, OPT_RESTORE },
	{ "rebuild",	required_argument,	NULL, OPT_REBUILD },
	{ "dry-run",	no_argument,		NULL, OPT_DRY_RUN },
	{ "partial",	no_argument,		NULL, OPT_PARTIAL },
	{ "json",	no_argument,		NULL, OPT_JSON },
	{ "store",	required_argument,	NULL, OPT_STORE },
	{ "engine",	required_argument,	NULL, OPT_ENGINE },
	{ "move-rate",	required_argument,	NULL, OPT_MOVE_RATE },
	{ "memory",	required_argument,	NULL, OPT_MEMORY },
	{ "log-level",	required_argument,	NULL, OPT_LOG_LEVEL },
	{ "version",	no_argument,		NULL, OPT_VERSION },
	{ "help",	no_argument,		NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

void config_usage(void)
{
	printf(
"Usage: orchd [OPTION]...\n"
"       orchd --init NAME --store DIR [--engine ENGINE]\n"
"       orchd --restore NAME --store DIR < BACKUP\n"
"       orchd --rebuild NAME --store DIR [--dry-run] [--partial] [--json] PATH...\n"
"Serve the namespaces whose stores lie in the state directory.\n\n"
"  -f, --foreground     stay in the foreground (orchd always does)\n"
"      --state-dir DIR  stores, one directory each (" DEFAULT_STATE_DIR ";\n"
"                       environment ORCHD_STATE_DIR)\n"
"      --socket PATH    control socket (" DEFAULT_SOCKET ";\n"
"                       environment ORCHD_SOCKET)\n"
"      --ready-fd N     write READY=1 there when every namespace is served\n"
"                       or has a reported problem\n"
"      --takeover       take the place of the orchd at the control socket;\n"
"                       orchctl upgrade starts one so\n"
"      --init NAME      make an empty namespace in --store DIR, and exit\n"
"      --restore NAME   make the store DIR from a backup on standard input\n"
"      --rebuild NAME   make the store DIR from the volumes with the roots PATH\n"
"      --dry-run        of --rebuild: tell what would be made\n"
"      --partial        of --rebuild: also where a volume is not given\n"
"      --json           of --rebuild: the report as JSON\n"
"      --store DIR      directory of one store\n"
"      --engine ENGINE  rocksdb\n"
"      --move-rate N    what all moves of a namespace may read, in bytes a\n"
"                       second, K, M or G (no limit; environment\n"
"                       ORCHD_MOVE_RATE)\n"
"      --memory SIZE    what each store's buffers and caches are sized for,\n"
"                       such as 2G (what the machine or the control group has)\n"
"      --log-level L    error, warning, info (default), debug\n"
"      --version, --help\n");
}

bool config_name_valid(const char *name)
{
	size_t len = strlen(name);

	if (len < 1 || len > 63 || name[0] == '.' || name[0] == '-')
		return false;
	return strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
		      "abcdefghijklmnopqrstuvwxyz0123456789._-") == len;
}

static int parse_fd(const char *s)
{
	char *end;
	long v = strtol(s, &end, 10);

	if (!*s || *end || v < 0 || v > 65535)
		return -EINVAL;
	return (int)v;
}

/* "64M": what is no number, or too much, is -EINVAL. */
static int parse_size(const char *s, uint64_t *out)
{
	static const char units[] = "KMG";
	const char *unit;
	char *end;
	unsigned long long v;

	errno = 0;
	v = strtoull(s, &end, 10);
	if (*s < '0' || *s > '9' || errno)
		return -EINVAL;
	unit = *end ? strchr(units, *end & ~0x20) : NULL;
	if (unit)
		end++;
	if (*end || (unit && v >> (64 - 10 * (unit - units + 1))))
		return -EINVAL;
	*out = unit ? v << 10 * (unit - units + 1) : v;
	return 0;
}

static int config_size(struct config *c, int opt, const char *arg, char *why,
		       size_t why_len)
{
	if (opt == OPT_MOVE_RATE && !parse_size(arg, &c->move_rate))
		return 0;
	if (opt == OPT_MEMORY && !parse_size(arg, &c->memory) &&
	    c->memory >= MEMORY_MIN)
		return 0;
	if (opt == OPT_MEMORY)
		snprintf(why, why_len, "--memory %s: use 64M or more, such as "
			 "2G", arg);
	else
		snprintf(why, why_len, "--move-rate %s: use bytes a second, "
			 "such as 64M", arg);
	return -EINVAL;
}

static int config_check(const struct config *c, char *why, size_t why_len)
{
	if (c->mode != CONFIG_REBUILD &&
	    (c->dry_run || c->partial || c->json)) {
		snprintf(why, why_len, "--dry-run, --partial and --json go "
			 "with --rebuild");
		return -EINVAL;
	}
	if (c->mode == CONFIG_SERVE) {
		if (!c->store)
			return 0;
		snprintf(why, why_len, "--store goes with --init, --restore "
			 "or --rebuild");
		return -EINVAL;
	}
	if (c->mode == CONFIG_REBUILD && !c->nr_paths) {
		snprintf(why, why_len, "--rebuild: name the root directories "
			 "of the volumes");
		return -EINVAL;
	}
	if (!config_name_valid(c->name)) {
		snprintf(why, why_len,
			 "\"%s\" is no name for a namespace: use 1 to 63 of "
			 "A-Z a-z 0-9 . _ - and begin with none of . -",
			 c->name);
		return -EINVAL;
	}
	if (!c->store) {
		snprintf(why, why_len, "--store DIR is missing");
		return -EINVAL;
	}
	return 0;
}

static int config_option(struct config *c, int opt, const char *arg,
			 char *why, size_t why_len)
{
	switch (opt) {
	case 'f':
		return 0;
	case 'h':
		c->mode = CONFIG_HELP;
		return 0;
	case OPT_VERSION:
		c->mode = CONFIG_VERSION;
		return 0;
	case OPT_TAKEOVER:
		c->takeover = true;
		return 0;
	case OPT_STATE_DIR:
		c->state_dir = arg;
		return 0;
	case OPT_SOCKET:
		c->socket = arg;
		return 0;
	case OPT_INIT:
	case OPT_RESTORE:
	case OPT_REBUILD:
		c->mode = opt == OPT_INIT ? CONFIG_INIT :
			  opt == OPT_RESTORE ? CONFIG_RESTORE : CONFIG_REBUILD;
		c->name = arg;
		return 0;
	case OPT_DRY_RUN:
		c->dry_run = true;
		return 0;
	case OPT_PARTIAL:
		c->partial = true;
		return 0;
	case OPT_JSON:
		c->json = true;
		return 0;
	case OPT_STORE:
		c->store = arg;
		return 0;
	case OPT_ENGINE:
		c->engine = arg;
		return 0;
	case OPT_READY_FD:
		c->ready_fd = parse_fd(arg);
		if (c->ready_fd >= 0)
			return 0;
		snprintf(why, why_len, "--ready-fd %s: no descriptor", arg);
		return -EINVAL;
	case OPT_MOVE_RATE:
	case OPT_MEMORY:
		return config_size(c, opt, arg, why, why_len);
	case OPT_LOG_LEVEL:
		c->log_level = log_level_parse(arg);
		if (c->log_level >= 0)
			return 0;
		snprintf(why, why_len, "--log-level %s: use error, warning, "
			 "info or debug", arg);
		return -EINVAL;
	}
	snprintf(why, why_len, "unknown option or missing argument; "
		 "see orchd --help");
	return -EINVAL;
}

int config_parse(int argc, char **argv, struct config *c, char *why,
		 size_t why_len)
{
	const char *env;
	int opt, rc;

	*c = (struct config) {
		.argv = argv,
		.state_dir = DEFAULT_STATE_DIR,
		.socket = DEFAULT_SOCKET,
		.engine = "rocksdb",
		.ready_fd = -1,
		.log_level = LOG_INFO,
	};
	env = getenv("ORCHD_STATE_DIR");
	if (env && *env)
		c->state_dir = env;
	env = getenv("ORCHD_SOCKET");
	if (env && *env)
		c->socket = env;
	env = getenv("ORCHD_MOVE_RATE");
	if (env && *env) {
		rc = config_size(c, OPT_MOVE_RATE, env, why,
				 why_len);
		if (rc < 0)
			return rc;
	}
	optind = 0;
	opterr = 0;
	while ((opt = getopt_long(argc, argv, "+fh", options, NULL)) != -1) {
		rc = config_option(c, opt, optarg, why, why_len);
		if (rc < 0)
			return rc;
		if (c->mode == CONFIG_HELP || c->mode == CONFIG_VERSION)
			return 0;
	}
	if (c->mode == CONFIG_REBUILD) {
		c->paths = argv + optind;
		c->nr_paths = (size_t)(argc - optind);
	} else if (optind < argc) {
		snprintf(why, why_len, "unexpected argument \"%s\"; "
			 "see orchd --help", argv[optind]);
		return -EINVAL;
	}
	return config_check(c, why, why_len);
}
