/* SPDX-License-Identifier: Apache-2.0 */
/*
 * orchctl: common parts of the commands. A command is a row of the table in
 * orchctl.c and a function in cmd_<area>.c that returns an exit code.
 */
#ifndef ORCHCTL_H
#define ORCHCTL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json_object;

enum exit_code {
	RC_OK = 0,
	RC_FAILED = 1,
	RC_USAGE = 2,
	RC_NO_DAEMON = 3,
	RC_PROBLEMS = 4,	/* fsck: some are left */
	RC_REPAIRED = 5,	/* fsck: all were mended */
};

/* Options that each command takes. */
struct options {
	const char *socket;
	const char *state_dir;
	const char *ns;		/* --namespace; "" when not given */
	bool json;
};
extern struct options opts;

enum opt_type { OPT_FLAG, OPT_STRING, OPT_UINT, OPT_SIZE };

/* An option of one command; arg: name of the argument in the help text. */
struct opt {
	const char *name;
	const char *arg;
	enum opt_type type;
	const char *help;
	void *value;		/* bool, const char *, uint64_t, uint64_t */
};

struct command {
	const char *area;
	const char *verb;	/* NULL: the command is one word */
	const char *args;
	const char *summary;
	const char *text;	/* what --help says beyond summary; may be NULL */
	int min_args, max_args;
	int (*run)(const struct command *cmd, int argc, char **argv);
};

int cmd_init(const struct command *cmd, int argc, char **argv);
int cmd_volume_add(const struct command *cmd, int argc, char **argv);
int cmd_volume_list(const struct command *cmd, int argc, char **argv);
int cmd_volume_show(const struct command *cmd, int argc, char **argv);
int cmd_volume_set(const struct command *cmd, int argc, char **argv);
int cmd_volume_remove(const struct command *cmd, int argc, char **argv);
int cmd_status(const struct command *cmd, int argc, char **argv);
int cmd_where(const struct command *cmd, int argc, char **argv);
int cmd_mounts(const struct command *cmd, int argc, char **argv);
int cmd_upcalls(const struct command *cmd, int argc, char **argv);
int cmd_backup(const struct command *cmd, int argc, char **argv);
int cmd_restore(const struct command *cmd, int argc, char **argv);
int cmd_rebuild(const struct command *cmd, int argc, char **argv);
int cmd_fsck(const struct command *cmd, int argc, char **argv);
int cmd_move(const struct command *cmd, int argc, char **argv);
int cmd_jobs_list(const struct command *cmd, int argc, char **argv);
int cmd_jobs_show(const struct command *cmd, int argc, char **argv);
int cmd_jobs_cancel(const struct command *cmd, int argc, char **argv);
int cmd_volume_drain(const struct command *cmd, int argc, char **argv);
int cmd_jobs_watch(const struct command *cmd, int argc, char **argv);
int cmd_cluster_init(const struct command *cmd, int argc, char **argv);
int cmd_node_invite(const struct command *cmd, int argc, char **argv);
int cmd_node_join(const struct command *cmd, int argc, char **argv);
int cmd_node_list(const struct command *cmd, int argc, char **argv);
int cmd_node_show(const struct command *cmd, int argc, char **argv);
int cmd_node_drain(const struct command *cmd, int argc, char **argv);
int cmd_node_remove(const struct command *cmd, int argc, char **argv);
int cmd_swap(const struct command *cmd, int argc, char **argv);
int cmd_sync(const struct command *cmd, int argc, char **argv);
int cmd_stop(const struct command *cmd, int argc, char **argv);
int cmd_upgrade(const struct command *cmd, int argc, char **argv);

/* args.c */

/**
 * args_parse() - options of a command; --help and bad usage end the program.
 * @extra: ends with a row without name; may be NULL.
 * Return: the first word that is not an option; their number is in *argc.
 */
char **args_parse(const struct command *cmd, const struct opt *extra,
		  int *argc, char **argv);
void args_help(const struct command *cmd, const struct opt *extra);
/** parse_size() - "10G", "512M", "4096"; -EINVAL. */
int parse_size(const char *s, uint64_t *out);
int parse_uint(const char *s, uint64_t *out);
/** valid_name() - of a namespace or volume; 1 to 63 plain characters. */
bool valid_name(const char *name);

/* util.c */

/** fail() - "orchctl: text" to standard error. Return: rc. */
int fail(int rc, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void *xcalloc(size_t n, size_t size);
char *xasprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/** human_size() - "1.5 GiB", in one of a few static buffers. */
const char *human_size(uint64_t bytes);
/** uuid_text() - of 16 bytes, in a static buffer; "-" when len is not 16. */
const char *uuid_text(const void *uuid, size_t len);
/** store_dir() - where the store of a namespace is; malloced. */
char *store_dir(const char *ns, const char *store);
/** lock_store() - flock on DIR/lock. Return: fd, -EBUSY, other -errno. */
int lock_store(const char *dir, bool exclusive);
/**
 * run_orchd() - orchd MODE NAME --store DIR; @in: its input or -1. With --json
 * what it prints goes to stderr.
 */
int run_orchd(const char *mode, const char *ns, const char *dir, int in);
/** run_orchd_args() - with any arguments; what it prints is the answer. */
int run_orchd_args(const char *const *args, int nr, int in);
/** print_json() - to standard output, and release it. */
void print_json(struct json_object *o);
/** print_done() - for --json, where there is nothing else to tell. */
void print_done(void);
struct json_object *json_bytes(const void *p, size_t len);
struct json_object *json_uint(uint64_t v);

/* target.c: FILE or INODE on a command line */

struct target {
	uint64_t ino;
	char ns[64];		/* empty: not known */
};
int target_resolve(const char *arg, struct target *out);
/** each_mount() - orchfs mounts of this process's mount namespace. */
int each_mount(int (*fn)(void *ctx, const char *source, const char *dir,
			 const char *options), void *ctx);

#endif
