/* SPDX-License-Identifier: GPL-2.0-only */
/* Connections and requests, as tests of the client make them. */
#ifndef _ORCHFS_CLIENT_KUNIT_H
#define _ORCHFS_CLIENT_KUNIT_H

#include <kunit/test.h>
#include <linux/completion.h>

#include "client_impl.h"

#define CK_NODE		7		/* the peer */
#define CK_SELF		2		/* whom tokens are for */
#define CK_WAIT		(20 * HZ)
#define CK_HANDLE	0x1234500000001ULL

extern const u8 ck_uuid[16];
extern const struct orchfs_remote_id ck_id;

/* What a test has */
struct ck {
	struct orchfs_channel *ch;
	struct orchfs_peer *peer;
	struct orchfs_remote *r;
	atomic_t wants;
	u32 gone;			/* reason of the last peer-gone */
	struct completion told;		/* of a peer-gone */
};

/* A request, and memory for its data */
struct ck_ask {
	struct orchfs_rio rio;
	struct completion done;
	struct kvec kv;
	u8 *buf;
};

/* A task that waits for a request, and is killed */
struct ck_victim {
	struct orchfs_remote *r;
	struct ck_ask *ask, *next;	/* @next: behind it, or NULL */
	struct task_struct *task;
	struct completion ended;
	int ret;
};

/* What came */
struct ck_got {
	struct orchfs_pdu pdu;
	u8 data[9000];
};

int ck_init(struct kunit *test);
void ck_exit(struct kunit *test);
void ck_token_of(struct orchfs_token *t, const struct orchfs_remote_id *id,
		 u32 rights, u64 epoch);
void ck_token(struct kunit *test, struct orchfs_remote *r, u32 rights,
	      u64 epoch);
void ck_pair(struct kunit *test, struct socket **client,
	     struct socket **server);
struct socket *ck_connect(struct kunit *test);
struct ck_ask *ck_ask(struct kunit *test, u8 opcode, u64 offset, u32 count);
void ck_submit(struct orchfs_remote *r, struct ck_ask *ask);
int ck_end(struct kunit *test, struct ck_ask *ask);
int ck_do(struct kunit *test, struct orchfs_remote *r, struct ck_ask *ask);
void ck_end_conns(struct ck *ck);
/* the connection's socket takes less than a large request at once */
void ck_narrow(struct ck *ck);
/* it looks soon whether anything comes */
void ck_hurry(struct ck *ck);

/* contents that tell where they are from */
void ck_fill(u8 *buf, u64 pos, size_t len);
bool ck_filled(const u8 *buf, u64 pos, size_t len);

/* the server's side, by the test */
int ck_take(struct socket *sock, void *buf, size_t len);
void ck_give(struct kunit *test, struct socket *sock, const void *buf,
	     size_t len);
void ck_hang_up(struct socket *sock);
struct ck_got *ck_any(struct kunit *test, struct socket *sock);
struct ck_got *ck_request(struct kunit *test, struct socket *sock, u8 opcode);
void ck_reply_head(struct kunit *test, struct socket *sock,
		   const struct ck_got *to, struct orchfs_pdu pdu);
void ck_reply_read(struct kunit *test, struct socket *sock,
		   const struct ck_got *to, u32 len);
u32 ck_greet_hello(struct kunit *test, struct socket *sock,
		   const struct orchfs_hello *hello);
u32 ck_greet_new(struct kunit *test, struct socket *sock);
void ck_greet_limits(struct kunit *test, struct socket *sock,
		     u32 max_requests, u32 max_handles);
void ck_greet(struct kunit *test, struct socket *sock);
struct socket *ck_connected(struct kunit *test);
void ck_bind(struct kunit *test, struct socket *sock, u64 handle);
struct socket *ck_bound(struct kunit *test);
struct socket *ck_bound_new(struct kunit *test, u32 *id);
void ck_usable(struct kunit *test, u32 nr);
void ck_gone(struct kunit *test, u32 reason);
void ck_victim_start(struct kunit *test, struct ck_victim *v,
		     struct orchfs_remote *r, struct ck_ask *ask);
void ck_victim_kill(struct ck_victim *v);
int ck_victim_end(struct kunit *test, struct ck_victim *v);
void ck_write_rest(struct kunit *test, struct socket *sock, const u8 *head,
		   u32 len);
void ck_write_taken(struct kunit *test, struct socket *sock, u32 len);

#define ck_reply(test, sock, to, ...) \
	ck_reply_head(test, sock, to, (struct orchfs_pdu){ __VA_ARGS__ })

#endif
