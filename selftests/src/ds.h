/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * dataserver: plays the daemon of a data server over netlink (ds_daemon.c) and
 * its peers over TCP (ds_peer.c).
 */
#ifndef SELFTEST_DS_H
#define SELFTEST_DS_H

#include "util.h"
#undef ARRAY_SIZE
#include "pdu.h"
#undef static_assert

#define VOLUME		3
#define NODE		2
#define WAIT_SECONDS	60
#define FOREVER		(1ULL << 60)	/* ms */

#define must(cond, ...) do {						\
	if (!(cond)) {							\
		fprintf(stderr, "%s:%d: " #cond ": ", __FILE__, __LINE__); \
		die(__VA_ARGS__);					\
	}								\
} while (0)

/* --- the daemon --- */

struct limits {
	u32 max_requests, max_bytes, max_handles;	/* 0: the default */
};

struct conn_stats {
	u64 connection;
	u32 peer;
	u64 requests, refused, bytes_read, bytes_written, waits;
	u32 in_flight, handles, held, held_most;
};

struct msg;
struct nlmsghdr;

struct attrs {
	const void *at[ORCHFS_A_MSG_MAX + 1];
};

/* Gets the messages that are none of a data server's. */
extern void (*daemon_other)(const struct nlmsghdr *h);
extern u8 ds_uuid[16];
extern u8 ds_key[ORCHFS_KEY_LEN];

u64 get64(const void *p);
u32 get32(const void *p);
void parse(const void *from, size_t len, const void **at, int max);
int parse_msg(const struct nlmsghdr *h, struct attrs *attrs);
struct msg *command(int cmd);
void more_events(const char *what);
int daemon_fd(void);
void daemon_send(struct msg *m);
int daemon_call(struct msg *m);
void daemon_attach(void);
void daemon_leave(void);
int daemon_serve_volume(u32 volume, int dir_fd, u32 key_id);
int daemon_unvolume(u32 volume, u64 request_id);
/* Connection number, or a negative errno. */
s64 daemon_serve_peer(int fd, u32 peer, const struct limits *limits);
int daemon_drop(u32 peer, u64 connection);
int daemon_fence(u64 request_id, u64 instance, u32 peer, u64 epoch);
int daemon_time(u64 authority_ms, u64 boot_ms, u32 lease_ms);
u64 boot_ms(void);
/* The authority's clock is at least this, and the lease is long. */
void daemon_clock(u64 authority_ms);
/* Wait for a serve-done and get its status. */
int daemon_wait_done(u64 request_id);
bool daemon_done(u64 request_id);
/* Wait for a serve-gone and get its reason. */
u32 daemon_wait_gone(u64 connection);
/* Of a connection; false when there is none. */
bool daemon_stats(u64 connection, struct conn_stats *stats);
unsigned int daemon_connections(void);
/* Numbers of those listed, a few at a time; @meanwhile is done after the first. */
unsigned int daemon_list(u64 *ids, unsigned int max, void (*meanwhile)(void));

/* --- a peer --- */

struct peer {
	int fd;
	u32 tag;
	u64 connection;
	u64 verifier;
	u32 hello_id;			/* what END names it by */
};

extern bool ds_tls;			/* kernel TLS on both ends */
extern u32 ds_version;			/* the highest that peers know */

struct answer {
	struct orchfs_pdu pdu;
	u8 *data;			/* room for 1 MiB */
};

void peer_open(struct peer *p, u32 node, const struct limits *limits);
void peer_hello(struct peer *p);
void peer_start(struct peer *p, u32 node, const struct limits *limits);
void peer_close(struct peer *p);
void peer_send(struct peer *p, struct orchfs_pdu *pdu, const void *data);
void peer_send_raw(struct peer *p, const void *buf, size_t len);
/* False at the end of the connection. */
bool peer_recv(struct peer *p, struct answer *a);
u32 peer_call(struct peer *p, struct orchfs_pdu *pdu, const void *data,
	      struct answer *a);

void token_make(struct orchfs_token *t, u64 ino, u32 rights, u64 epoch);
void token_sign(const struct orchfs_token *t, u8 *buf);
u32 peer_bind(struct peer *p, const struct orchfs_token *t, u64 *handle);
u32 peer_read(struct peer *p, u64 handle, u64 offset, u32 count,
	      struct answer *a);
u32 peer_write(struct peer *p, u64 handle, u64 offset, const void *data,
	       u32 len, u16 flags);
struct answer *answer_new(void);

/* --- what is tested --- */

/* Backing file of an inode, version 1, instance as the inode; made empty. */
int backing_make(u64 ino);
extern int ds_root;			/* directory of the volume */
extern struct rng ds_rng;

void test_bad_commands(void);
void test_bad_input(void);
void test_refusals(void);
void test_frozen(void);
void test_expired(void);
void test_list(void);

#endif
