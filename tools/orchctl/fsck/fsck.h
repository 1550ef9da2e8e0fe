/* SPDX-License-Identifier: Apache-2.0 */
/*
 * orchctl fsck: a check of a store and its volumes that shares no code with
 * the daemon, so that an error of the daemon is not repeated here.
 *
 * A check is one round over all tables, each read in key order. With --repair
 * the changes of a round are kept in an overlay (a write batch with an index)
 * and the next round reads through it, until a round changes nothing; then
 * the overlay is written at once. A round stops after the stage that changed
 * something, because later stages would see its consequences as damage.
 *
 * Memory: one struct fino for each inode, and a bounded list of findings.
 */
#ifndef ORCHCTL_FSCK_H
#define ORCHCTL_FSCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rocksdb/c.h>

#include "store.pb-c.h"

typedef Orchfs__Store__Inode pb_inode;
typedef Orchfs__Store__Entry pb_entry;
typedef Orchfs__Store__Instance pb_instance;

enum rule {
	RULE_RECORD,		/* a key or value that can't be decoded */
	RULE_SUPER,
	RULE_NUMBER,		/* at or above its reserved limit */
	RULE_CHANGE,		/* above the last sequence */
	RULE_INODE,
	RULE_ENTRY,
	RULE_REVERSE,
	RULE_COOKIE,
	RULE_PARENT,
	RULE_NLINK,
	RULE_ORPHAN,
	RULE_REACH,
	RULE_VERSION,
	RULE_INSTANCE,
	RULE_XATTR,
	RULE_INDEX_C,
	RULE_INDEX_H,
	RULE_INDEX_U,
	RULE_INDEX_W,
	RULE_VOLUME,
	RULE_BACKING,
	RULE_SIZE,
	RULE_JOB,
	RULE_NODE,
	RULE_UNKNOWN,		/* a file on a volume that nothing names */
	NR_RULES,
};

enum fino_flag {
	F_ORPHAN = 1 << 0,	/* has an O */
	F_SEEN_C = 1 << 1,
	F_SEEN_U = 1 << 2,
	F_SEEN_H = 1 << 3,
	F_TOUCHED = 1 << 4,	/* its record is rewritten in this round */
	F_MULTI = 1 << 5,	/* a directory with several names */
	F_MATCH = 1 << 6,	/* one of them is in the directory it names */
	F_KEPT = 1 << 7,
	F_ENTRIES = 1 << 8,	/* a directory with names in it */
	F_BAD = 1 << 9,		/* not decodable: known to exist, no more */
	F_REACHED = 1 << 10,
	F_CYCLE = 1 << 11,
	F_LOST = 1 << 12,	/* not reachable */
	F_DIRTY = 1 << 13,	/* has a dirty instance */
	F_VALID = 1 << 14,	/* tier is that of a valid instance */
};

/* What a round knows of an inode. Sorted by ino. */
struct fino {
	uint64_t ino;
	uint64_t change;
	uint64_t parent;	/* of a directory, by its record */
	uint64_t named_in;	/* of a directory, by its name; 0: none */
	uint32_t mode;
	uint32_t uid;
	uint32_t nlink;
	uint32_t refs;		/* names */
	uint32_t subdirs;
	uint32_t day;		/* of mtime, for index H */
	uint16_t flags;
	int16_t tier;		/* of the current version, -1: unknown */
};
_Static_assert(sizeof(struct fino) <= 64, "memory of fsck");

struct fvol {
	uint32_t id;
	uint32_t tier;
	uint32_t kind;
	uint32_t home;		/* another node, which has its files; or 0 */
	char *name;
	char *path;
	uint8_t uuid[16];
	int root;		/* -1: not usable, its files are not checked */
	uint64_t unseen;	/* instances, for that reason or another */
	uint64_t quarantined;
};

struct fpool {
	uint32_t volume;
	uint32_t count;
	uint64_t ino, instance;
};

/* One backing file. */
struct fback {
	uint32_t volume;
	uint64_t ino, version, instance;
};

/* A file that a job is at. */
struct fat {
	uint64_t ino, version, from, to;
};

/* Instances of an inode's current version. */
struct fcopies {
	uint64_t version;
	unsigned int valid;
	bool any;
	size_t nr;
	uint64_t stray[16];	/* not valid, and no job is at them */
};

/* A finding about a volume that a live daemon may explain. */
struct fsuspect {
	enum rule rule;
	struct fback b;
	uint64_t change_i, change_n;	/* of the records that were compared */
	uint64_t value;		/* size on disk, or transaction of a marker */
	char *text;		/* RULE_VOLUME; a name that is no backing file */
};

struct finding {
	enum rule rule;
	enum { FOUND, REPAIRED, LEFT } state;
	bool sticky;		/* stays over later rounds */
	uint64_t ino;
	char *text;
};

struct fcounts {
	uint64_t inodes, directories, files, names, instances, orphans,
		 deletions, reverse;
};

struct fkey {
	uint8_t b[1 + 8 + 256];
	size_t len;
};

/* data/PATH of a volume, which nothing names. */
struct fmove {
	uint32_t volume;
	char *path;
};

struct fop;
struct fset;

struct fsck {
	/* what to check */
	const char *store;	/* directory; NULL for a bare copy */
	const char *db_dir;
	bool online, repair;

	rocksdb_t *db;
	rocksdb_options_t *options;
	rocksdb_readoptions_t *read;
	rocksdb_writebatch_wi_t *overlay;	/* of --repair */
	struct fop *ops, **ops_end;		/* changes of this round */
	size_t nr_ops;
	struct fset *inserted;			/* buckets that got a name */
	uint64_t next_seq;			/* of the repair */
	bool read_error;

	/* a round's knowledge */
	char *name;
	uint8_t uuid[16], hash_key[16];
	bool hash_key_ok;
	uint64_t epoch, seq, max_change;
	uint64_t limit_ino, limit_instance, limit_volume, limit_deletion,
		 limit_layout, limit_job, limit_node;
	uint64_t max_ino, max_instance, max_volume, max_deletion, max_layout,
		 max_job, max_node;
	struct fino *inos;
	size_t nr_inos, max_inos;
	struct fvol *vols;
	size_t nr_vols;
	struct fpool *pools;
	size_t nr_pools;
	struct fback *deletions;
	size_t nr_deletions;
	struct fat *at;
	size_t nr_at;
	uint64_t lost_found;	/* its inode, 0: none yet */
	struct fcounts n;

	struct fsuspect *suspects;
	size_t nr_suspects;
	uint64_t suspects_dropped;
	struct fmove *moves;	/* to quarantine, after the write */
	size_t nr_moves;

	struct finding *findings;
	size_t nr_findings;
	uint64_t per_rule[NR_RULES];
	uint64_t found, repaired, left;
	uint64_t left_sticky;
	bool sticky;		/* of the findings to come */
	bool confirm;		/* a second copy: only suspects are judged */
};

/* db.c: reads go through the overlay; changes come into it by db_apply(). */
int db_open(struct fsck *f);
void db_close(struct fsck *f);
struct fkey *key_begin(struct fkey *k, char table);
struct fkey *key_u32(struct fkey *k, uint32_t v);
struct fkey *key_u64(struct fkey *k, uint64_t v);
struct fkey *key_bytes(struct fkey *k, const void *p, size_t len);
/* A table and up to three numbers of 8 bytes. */
struct fkey key_num(char table, int n, ...);
uint32_t get_be32(const uint8_t *p);
uint64_t get_be64(const uint8_t *p);

struct row {
	rocksdb_iterator_t *it;
	uint8_t prefix[17];
	size_t prefix_len;
	const uint8_t *key;
	size_t klen;
	const uint8_t *val;
	size_t vlen;
};

/** rows_begin() - the rows whose keys begin with k, in order. */
void rows_begin(struct fsck *f, struct row *r, const struct fkey *k);
void rows_table(struct fsck *f, struct row *r, char table);
bool rows_valid(struct row *r);
void rows_next(struct row *r);
/** rows_end() - a read error of the scan is put into f->read_error. */
void rows_end(struct fsck *f, struct row *r);
/* By exact key; the value is malloced. NULL: none. */
void *db_get(struct fsck *f, const struct fkey *k, size_t *len);
bool db_has(struct fsck *f, const struct fkey *k);

void op_put(struct fsck *f, const struct fkey *k, const void *v, size_t len);
void op_put_msg(struct fsck *f, const struct fkey *k,
		const ProtobufCMessage *msg);
void op_del(struct fsck *f, const struct fkey *k);
/** db_apply() - this round's changes into the overlay. Return: their number. */
size_t db_apply(struct fsck *f);
/** db_commit() - the overlay into the store, durably. */
int db_commit(struct fsck *f);

/* report.c */
extern const char *const rule_names[NR_RULES];
/**
 * problem() - note a finding. Return: whether the caller is to mend it now.
 * @ino: 0 when it is about no inode. What can't be mended is said again in
 * each round and only that of the last one counts.
 */
bool problem(struct fsck *f, enum rule rule, uint64_t ino, bool mendable,
	     const char *fmt, ...) __attribute__((format(printf, 5, 6)));
void findings_new_round(struct fsck *f);
void findings_free(struct fsck *f);
void report_print(struct fsck *f);
struct json_object *report_json(struct fsck *f);

/* load.c: super, numbers, volumes, pools, deletions, sessions */
int load_super(struct fsck *f);
void load_small(struct fsck *f);
void check_numbers(struct fsck *f);
struct fvol *volume_of(struct fsck *f, uint32_t id);
bool in_pool(struct fsck *f, const struct fback *b);
bool in_deletions(struct fsck *f, const struct fback *b);
void small_free(struct fsck *f);

/* jobs.c */
void load_jobs(struct fsck *f);
bool in_jobs(struct fsck *f, uint64_t ino, uint64_t version,
	     uint64_t instance);
void check_copies(struct fsck *f, uint64_t ino, const struct fcopies *c);

/* nodes.c */
void load_nodes(struct fsck *f);

/* inodes.c: I with its V, N, O, X */
void check_inodes(struct fsck *f);
struct fino *fino_of(struct fsck *f, uint64_t ino);
/** fix_inode() - rewrite a record; once a round for each inode. */
typedef void (*inode_fn)(pb_inode *rec, const void *arg);
bool may_fix(const struct fino *fi);
void fix_inode(struct fsck *f, struct fino *fi, inode_fn fn, const void *arg);
uint32_t index_day(int64_t sec);
void new_directory(struct fsck *f, uint64_t ino, uint64_t parent,
		   uint32_t perm);
/** new_ino() - a number never used; its limit is raised. */
uint64_t new_ino(struct fsck *f);
void see_change(struct fsck *f, uint64_t change);

/* names.c: E and R */
void check_entries(struct fsck *f);
void check_reverse(struct fsck *f);
uint64_t name_bucket(const struct fsck *f, const void *name, size_t len);
/** insert_name() - false: its place is taken in this round, the next may do. */
bool insert_name(struct fsck *f, uint64_t parent, const void *name, size_t len,
		 const struct fino *child);
void remove_name(struct fsck *f, uint64_t parent, uint64_t cookie,
		 uint64_t ino);
bool name_ok(const void *name, size_t len);
/** name_text() - printable, in a static buffer. */
const char *name_text(const void *name, size_t len);

/* tree.c: what hangs where, and how often */
void check_tree(struct fsck *f);
void check_links(struct fsck *f);

/* index.c */
void check_indexes(struct fsck *f);

/* volume.c, backing.c */
void volumes_open(struct fsck *f);
void volumes_close(struct fsck *f);
void check_backing(struct fsck *f);
void check_unknown(struct fsck *f);
int quarantine_moves(struct fsck *f);
void backing_name(char out[96], const struct fback *b);
void suspect_add(struct fsck *f, const struct fsuspect *s);
/**
 * suspects_confirm() - f is open on a copy that was made after the suspects
 * were seen: report what is still so.
 */
void suspects_confirm(struct fsck *f, const struct fsuspect *s, size_t nr);
void suspects_free(struct fsck *f);
/** findings_move() - those about volumes, from the second check to the first. */
void findings_move(struct fsck *to, struct fsck *from);
/** path_of() - one name of an inode from the root, "?" without; static. */
const char *path_of(struct fsck *f, uint64_t ino);
void volumes_free(struct fsck *f);
void *grown(void *p, size_t nr, size_t size);

/* check.c */
/** fsck_run() - rounds until nothing changes; f->db is open. */
int fsck_run(struct fsck *f);

/* hash.c */
uint64_t siphash24(const uint8_t key[16], const void *p, size_t len);
uint32_t crc32c(const void *p, size_t len);
struct fset *fset_new(void);
bool fset_add(struct fset *s, uint64_t v);	/* false: was there */
void fset_free(struct fset *s);

#endif
