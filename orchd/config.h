/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ORCHD_CONFIG_H
#define ORCHD_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ORCHD_VERSION	"0.1"

enum config_mode {
	CONFIG_SERVE,
	CONFIG_INIT,
	CONFIG_RESTORE,
	CONFIG_REBUILD,
	CONFIG_VERSION,
	CONFIG_HELP,
};

struct config {
	enum config_mode mode;
	const char *state_dir;
	const char *socket;
	const char *name;	/* of --init, --restore, --rebuild */
	const char *store;
	char *const *paths;	/* of --rebuild */
	size_t nr_paths;
	bool dry_run, partial, json;
	const char *engine;
	int ready_fd;		/* -1: none */
	bool takeover;
	char **argv;		/* as given */
	int log_level;
	uint64_t memory;	/* to size buffers for; 0: find out */
	uint64_t move_rate;	/* bytes a second, 0: no limit */
};

/**
 * config_parse() - read the command line and the environment.
 * Return: 0, or -EINVAL with a text in @why.
 */
int config_parse(int argc, char **argv, struct config *c, char *why,
		 size_t why_len);
void config_usage(void);

/** config_name_valid() - a namespace or volume name. */
bool config_name_valid(const char *name);

#endif
