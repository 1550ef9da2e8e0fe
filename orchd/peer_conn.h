/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections between daemons: handshake, hello, requests with ids and
 * deadlines, flow control, signs of life. Documentation/cluster.md, "Wire".
 * All connections of a set belong to one thread and its loop.
 */
#ifndef ORCHD_PEER_CONN_H
#define ORCHD_PEER_CONN_H

#include "cluster_token.h"
#include "loop.h"
#include "peer_frame.h"
#include "peer_tls.h"

#define PEER_VERSION		1
#define PEER_REQUESTS_MAX	1024
#define PEER_BYTES_MAX		(16U << 20)
#define PEER_ALL_MAX		(64U << 20)	/* of all peers */
#define PEER_NEW_MAX		64	/* not authenticated */
#define PEER_NEW_ADDRESS_MAX	8	/* of these from one address */
#define PEER_UP_MAX		1200
#define PEER_PING_MS		5000
#define PEER_DEAD_MS		15000
#define PEER_HELLO_MS		10000	/* handshake and hello */
#define PEER_FRAME_MS		10000	/* from its first byte */
#define PEER_JOIN_REQUESTS 3	/* of who joins, one after the other */
#define PEER_JOIN_MS		30000	/* all of a connection to join */
#define PEER_LINGER_MS		2000
#define PEER_WHY		512

struct peer_event;
struct peer_set;

enum peer_state {
	PEER_CONNECTING,
	PEER_HANDSHAKE,
	PEER_HELLO,
	PEER_UP,
	PEER_LEAVING,		/* it is for data: until both close_notify */
	PEER_CLOSING,		/* until the other end has read the bye */
};

/* What a hello tells. */
struct peer_self {
	uint32_t version_min, version_max;
	uint8_t uuid[16];
	uint32_t node;		/* 0: it wants to join */
	char boot_id[64];
	uint64_t incarnation, epoch;
	uint32_t authority;
};

struct peer_out {
	struct peer_out *next;
	uint8_t *p;
	size_t len, pos;
};

/* Who waits for an answer. */
struct peer_wait {
	struct peer_wait *next;
	uint64_t id, deadline;
	size_t size;
	uint8_t *buf;			/* not sent yet, of @size bytes */
	bool failure;			/* the peer itself has failed it */
	/* once, in the set's thread; takes @f, NULL when @rc < 0 */
	void (*done)(struct peer_wait *w, int rc, const char *why,
		     peer_frame *f);
};

struct peer_conn {
	struct peer_conn *next;
	struct peer_set *set;
	struct loop_source source;
	SSL *ssl;
	enum peer_state state;
	bool server;
	uint32_t data_to;		/* dialled for data, to this node */
	uint64_t id;			/* of this set, never used again */
	struct address address;
	char address_text[NS_NODE_ADDRESS];
	uint32_t node;			/* by its certificate; 0: none */
	struct ns_serial serial;
	time_t expires;			/* of it */
	struct peer_self hello;		/* its own */
	uint64_t deadline;		/* of a state but PEER_UP */
	uint64_t end;			/* of who joins; 0: none */
	uint64_t heard, pinged;
	bool want_write;		/* what TLS waits for */

	struct frame_in in;
	uint64_t frame_deadline;	/* 0: none has begun */
	struct peer_out *out, **out_tail;
	size_t out_bytes;

	uint64_t next_request;		/* of ours */
	struct peer_wait *waits, **waits_tail;	/* the longest first */
	struct peer_wait *later, **later_tail;	/* the peer takes no more */
	unsigned int asked;		/* of ours */
	size_t asked_bytes;
	unsigned int asked_max;		/* as its hello allows */
	uint64_t asked_bytes_max;

	uint64_t last_request;		/* of its */
	unsigned int requests;		/* of who joins */
	unsigned int owed;		/* answers */
	size_t owed_bytes;
	char why[PEER_WHY];		/* it is closed */
	bool was_up;			/* the owner's */
	struct peer_event *down;	/* the owner's, too */
};

/* All but request are told in any order of events, in the set's thread. */
struct peer_ops {
	/* hello was heard; -errno and @why refuse it */
	int (*admit)(struct peer_set *s, struct peer_conn *c, char *why,
		     size_t len);
	void (*up)(struct peer_set *s, struct peer_conn *c);
	/* takes @f; answered once by peer_answer() */
	void (*request)(struct peer_set *s, struct peer_conn *c,
			peer_frame *f, size_t size);
	/* once for each, also one that never was up */
	void (*closed)(struct peer_set *s, struct peer_conn *c, int rc);
	/*
	 * of admitted node c->node: TLS has ended, the plain socket @fd is
	 * the owner's. NULL: it takes no such connections
	 */
	void (*data)(struct peer_set *s, struct peer_conn *c, int fd);
	/* one more than there may be */
	void (*turned_away)(struct peer_set *s, const char *address,
			    const char *why);
};

struct peer_set {
	struct loop *loop;
	const struct peer_ops *ops;
	void *ctx;
	struct peer_tls *tls;		/* of connections to come */
	struct peer_self self;
	struct peer_conn *conns;
	unsigned int nr_new, nr_up;
	size_t owed_bytes;		/* requests not answered */
	uint64_t next_id;
};

/** peer_now() - CLOCK_BOOTTIME in ms; a test's own clock if it has one */
uint64_t peer_now(void);
extern uint64_t (*peer_clock)(void);

/* peer_set.c */
void peer_set_free(struct peer_set *s);
/** peer_accept() - @fd is connected and becomes the set's, whatever happens */
void peer_accept(struct peer_set *s, int fd, const struct address *a);
/** peer_dial() - -errno, or its end is told by closed() */
int peer_dial(struct peer_set *s, const struct address *a);
/** peer_tick() - deadlines; at least twice a second */
void peer_tick(struct peer_set *s);
/** peer_dial_data() - the same for data: its end is data() or closed() */
int peer_dial_data(struct peer_set *s, const struct address *a, uint32_t node);
struct peer_conn *peer_find(struct peer_set *s, uint64_t id);
/** peer_of_node() - its link that is up, or NULL */
struct peer_conn *peer_of_node(struct peer_set *s, uint32_t node);
/**
 * peer_ask() - send a request; w->done is called within @ms
 * Return: 0; -ENOTCONN; -EAGAIN as much is unanswered as the peer takes;
 * -EMSGSIZE; -ENOMEM: w->done isn't called.
 */
int peer_ask(struct peer_conn *c, peer_frame *f, uint32_t ms,
	     struct peer_wait *w);
/**
 * peer_ask_packed() - the same, one that frame_pack() has made without an id
 * and that becomes the connection's. It waits for its turn where peer_ask()
 * would give -EAGAIN; the caller bounds how many there are.
 * Return: 0; -ENOTCONN, and w->done isn't called.
 */
int peer_ask_packed(struct peer_conn *c, uint8_t *buf, size_t len,
		    uint32_t ms, struct peer_wait *w);
/** peer_answer() - a request of connection @id, which may be gone */
void peer_answer(struct peer_set *s, uint64_t id, uint64_t request,
		 size_t size, peer_frame *f);
/** peer_answer_packed() - the same, of frame_pack(), with the request's id */
void peer_answer_packed(struct peer_set *s, uint64_t id, size_t size,
			uint8_t *buf, size_t len);
/** peer_end() - say bye and close it; not from its own callbacks */
void peer_end(struct peer_conn *c, int rc, const char *why);

/* peer_conn.c: for peer_set.c */
struct peer_conn *conn_new(struct peer_set *s, int fd, bool server,
			   const struct address *a, uint32_t data_to);
void conn_free(struct peer_conn *c);
void conn_end(struct peer_conn *c, int rc);
void conn_watch(struct peer_conn *c);
int conn_send(struct peer_conn *c, const peer_frame *f);
/** conn_send_packed() - takes @buf */
int conn_send_packed(struct peer_conn *c, uint8_t *buf, size_t len);
void conn_wait(struct peer_conn *c, struct peer_wait *w);
/** conn_later() - what waits for its turn, as far as the peer takes it now */
void conn_later(struct peer_conn *c);

#endif
