// SPDX-License-Identifier: Apache-2.0
/* Command-line options and their help text. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "orchctl.h"

#define MAX_OPTS 16

static const struct opt common_opts[] = {
	{ "namespace", "NAME", OPT_STRING,
	  "namespace; not needed where there is only one", &opts.ns },
	{ "socket", "PATH", OPT_STRING,
	  "control socket of the daemon (or ORCHD_SOCKET)", &opts.socket },
	{ "state-dir", "DIR", OPT_STRING,
	  "where stores are found (or ORCHD_STATE_DIR)", &opts.state_dir },
	{ "json", NULL, OPT_FLAG, "print JSON", &opts.json },
	{ 0 }
};

int parse_uint(const char *s, uint64_t *out)
{
	char *end;
	uint64_t v;

	if (*s < '0' || *s > '9')
		return -EINVAL;
	errno = 0;
	v = strtoull(s, &end, 0);
	if (errno || *end)
		return -EINVAL;
	*out = v;
	return 0;
}

int parse_size(const char *s, uint64_t *out)
{
	static const char units[] = "KMGTPE";
	unsigned int shift = 0;
	const char *unit;
	char *end;
	uint64_t v;

	if (*s < '0' || *s > '9')
		return -EINVAL;
	errno = 0;
	v = strtoull(s, &end, 0);
	if (errno)
		return -EINVAL;
	if (*end) {
		unit = strchr(units, *end & ~0x20);
		if (!unit || !*unit)
			return -EINVAL;
		shift = 10 * (unit - units + 1);
		end++;
		if (!strcmp(end, "iB") || !strcmp(end, "B"))
			end = "";
	}
	if (*end || (shift && v >> (64 - shift)))
		return -EINVAL;
	*out = v << shift;
	return 0;
}

bool valid_name(const char *name)
{
	size_t len = strlen(name);

	if (!len || len > 63 || name[0] == '.' || name[0] == '-')
		return false;
	return strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
		      "abcdefghijklmnopqrstuvwxyz0123456789._-") == len;
}

static void print_opts(const struct opt *o)
{
	char left[64];

	for (; o && o->name; o++) {
		snprintf(left, sizeof(left), "--%s%s%s", o->name,
			 o->arg ? " " : "", o->arg ? o->arg : "");
		printf("  %-22s %s\n", left, o->help);
	}
}

void args_help(const struct command *cmd, const struct opt *extra)
{
	printf("Usage: orchctl %s%s%s%s%s [options]\n\n%s.\n", cmd->area,
	       cmd->verb ? " " : "", cmd->verb ? cmd->verb : "",
	       *cmd->args ? " " : "", cmd->args, cmd->summary);
	if (cmd->text)
		printf("\n%s", cmd->text);
	printf("\nOptions:\n");
	print_opts(extra);
	print_opts(common_opts);
	printf("  %-22s %s\n", "--help", "this text");
	printf("\nExit codes: 0 done, 1 failed, 2 wrong usage, "
	       "3 daemon not reachable%s.\n",
	       strcmp(cmd->area, "fsck") ? "" :
	       ",\n4 problems are left, 5 all problems were repaired");
}

static void usage_error(const struct command *cmd)
{
	fprintf(stderr, "Try 'orchctl %s%s%s --help'.\n", cmd->area,
		cmd->verb ? " " : "", cmd->verb ? cmd->verb : "");
	exit(RC_USAGE);
}

static int opt_set(const struct opt *o, const char *arg)
{
	switch (o->type) {
	case OPT_FLAG:
		*(bool *)o->value = true;
		return 0;
	case OPT_STRING:
		*(const char **)o->value = arg;
		return *arg ? 0 : -EINVAL;
	case OPT_UINT:
		return parse_uint(arg, o->value);
	case OPT_SIZE:
		return parse_size(arg, o->value);
	}
	return -EINVAL;
}

/* One table out of the command's options and the common ones. */
static size_t gather(const struct opt *extra, const struct opt **tab,
		     struct option *lo)
{
	const struct opt *lists[] = { extra, common_opts };
	const struct opt *o;
	size_t i, n = 0;

	for (i = 0; i < 2; i++)
		for (o = lists[i]; o && o->name && n < MAX_OPTS; o++, n++) {
			tab[n] = o;
			lo[n] = (struct option){
				.name = o->name,
				.has_arg = o->type == OPT_FLAG ?
					no_argument : required_argument,
				.val = 256 + (int)n,
			};
		}
	lo[n] = (struct option){ .name = "help", .val = 'h' };
	return n;
}

char **args_parse(const struct command *cmd, const struct opt *extra,
		  int *argc, char **argv)
{
	struct option lo[MAX_OPTS + 2] = { 0 };
	const struct opt *tab[MAX_OPTS];
	char prog[] = "orchctl";
	int c, nr;

	gather(extra, tab, lo);
	argv[0] = prog;
	optind = 0;
	while ((c = getopt_long(*argc, argv, "h", lo, NULL)) != -1) {
		if (c == 'h') {
			args_help(cmd, extra);
			exit(RC_OK);
		}
		if (c < 256)
			usage_error(cmd);
		if (opt_set(tab[c - 256], optarg)) {
			fail(RC_USAGE, "--%s: '%s' is not %s",
			     tab[c - 256]->name, optarg,
			     tab[c - 256]->type == OPT_STRING ? "a value" :
			     tab[c - 256]->type == OPT_SIZE ?
			     "a size like 512M or 10G" : "a number");
			usage_error(cmd);
		}
	}
	nr = *argc - optind;
	if (nr < cmd->min_args || nr > cmd->max_args) {
		fail(RC_USAGE, nr < cmd->min_args ? "something is missing: %s" :
		     "too many arguments: %s", *cmd->args ? cmd->args :
		     "none is taken");
		usage_error(cmd);
	}
	*argc = nr;
	return argv + optind;
}
