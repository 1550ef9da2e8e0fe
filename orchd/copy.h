/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copies of backing files to a volume of this machine, by a worker: for the
 * mover, and at an agent for the authority's mover. Documentation/moves.md.
 */
#ifndef ORCHD_COPY_H
#define ORCHD_COPY_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include <linux/orchfs_wire.h>

#include "ns_cluster.h"

#define COPY_BATCH	64
#define COPY_LOST_MS	60000	/* a source that can't be reached is given up */

struct cluster;
struct pdu_client;
struct peer_tls;
struct volume;

/* How to reach the nodes that sources are at. */
struct copy_net {
	struct peer_tls *tls;		/* NULL: none is needed */
	uint8_t uuid[16];
	uint32_t self;
	struct copy_peer {
		uint32_t node;
		char address[NS_NODE_ADDRESS];
	} peer[COPY_BATCH];
	size_t nr;
};

struct copy_run {
	off_t begin, end;
};

/*
 * A file. Who asks fills it in, and gets it back when the batch has ended;
 * meanwhile it may set stop and, under the pace's lock, a newer token.
 */
struct copy_file {
	uint64_t ino, version;
	uint64_t from, to;		/* instances */
	struct volume *source;		/* a reference; NULL: another node's */
	uint32_t node;			/* that one, by the token */
	uint8_t token[ORCHFS_TOKEN_LEN];
	bool token_new;
	struct ns_owner owner;		/* of the copy; found, if it is here */
	uint64_t size;			/* found */
	uint64_t blocks;		/* of the copy */
	struct timespec mtime, ctime;	/* of it */
	uint32_t sum;
	int rc;				/* 0, or why it was not copied */
	bool fatal;			/* so will be the next one */
	atomic_bool stop;
	/* the worker's */
	int src, dst;
	struct copy_run *runs;		/* of bytes, holes left out */
	size_t nr_runs, max_runs;
	off_t flushed[2];		/* written back up to; begun up to */
	mode_t mode;			/* of the source's file */
	struct timespec times[2];	/* of it */
	off_t at;			/* copied up to */
};

/* What all copies of a namespace share. */
struct copy_pace {
	pthread_mutex_t lock;		/* next_ns of all, tokens */
	pthread_cond_t cond;		/* one is stopped */
	uint64_t next_ns;
};

struct copy_batch {
	struct copy_pace *pace;
	struct copy_net net;
	struct volume *to;
	struct copy_file *file[COPY_BATCH];
	size_t nr;
	uint64_t rate;			/* bytes a second, 0: no limit */
	atomic_bool stop, verifying;
	atomic_uint_fast64_t reading;	/* bytes so far */
	atomic_uint steps;		/* it gets on */
	/* the worker's */
	uint64_t next_ns;		/* pace.lock */
	struct pdu_client *client;	/* to the source of the last file */
	uint32_t client_node;
	struct copy_file *now;		/* that is read by it */
	char why[200];			/* there is none */
};

void copy_pace_init(struct copy_pace *p);
void copy_pace_destroy(struct copy_pace *p);
/** copy_stop() - any thread: a batch, or one file of it */
void copy_stop(struct copy_pace *p, atomic_bool *stop);
/** copy_token() - any thread: the source's token is renewed */
void copy_token(struct copy_pace *p, struct copy_file *f,
		const uint8_t token[ORCHFS_TOKEN_LEN]);
void copy_file_init(struct copy_file *f);
/** copy_batch_end() - what it has of others; the files stay the caller's */
void copy_batch_end(struct copy_batch *b);
/**
 * copy_reach() - before copy_run(), for each source of another node
 * Return: 0; -ENOTCONN: the namespace is no cluster's, or nobody knows where
 * that node serves data; -ENOMEM.
 */
int copy_reach(struct copy_batch *b, struct cluster *cl, uint32_t node);

/**
 * copy_run() - the worker: copy all, make them durable, read them back
 * Those without rc are whole, and have their mode.
 */
void copy_run(struct copy_batch *b);

/** copy_set_rate() - bytes a second of all of a namespace here, 0: any */
void copy_set_rate(uint64_t rate);

/* copy_far.c */

/** copy_far() - the bytes of another node's file, by the worker */
int copy_far(struct copy_batch *b, struct copy_file *f);
/** copy_far_unchanged() - is the source as it was? Return: 0 or -errno. */
int copy_far_unchanged(struct copy_batch *b, struct copy_file *f);
void copy_far_end(struct copy_batch *b);

/* copy.c, for that */
bool copy_stopped(struct copy_batch *b, struct copy_file *f);
/** copy_throttle() - that many bytes were read. Return: 0 or -ECANCELED. */
int copy_throttle(struct copy_batch *b, struct copy_file *f, size_t bytes);
size_t copy_chunk_len(const struct copy_batch *b);
int copy_add_run(struct copy_file *f, off_t begin, off_t end);
/** copy_make() - the copy's file of f->size, which will take @bytes */
int copy_make(struct copy_batch *b, struct copy_file *f, uint64_t bytes);
/** copy_put() - what was read goes there */
int copy_put(struct copy_file *f, const char *buf, size_t len, off_t at);

#endif
