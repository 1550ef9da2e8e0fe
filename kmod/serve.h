/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The data server, shared by serve.c (servers, volumes, clock), serve_conn.c
 * (connections), serve_io.c (requests) and serve_nl.c (commands). See
 * Documentation/remote.md.
 *
 * Lock order: orchfs_net.serve_lock > orchfs_serve_conn.lock,
 * orchfs_serve_volume.lock, orchfs_serve.clock_lock, none of these three
 * inside another but clock_lock in the volume's.
 */
#ifndef _ORCHFS_SERVE_H
#define _ORCHFS_SERVE_H

#include <linux/bvec.h>
#include <linux/hashtable.h>
#include <linux/path.h>
#include <linux/uio.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>

#include "channel.h"
#include "fence.h"
#include "token.h"
#include "transport.h"

#define ORCHFS_SERVE_CONNS_MAX		512
#define ORCHFS_SERVE_WORKERS		32
#define ORCHFS_SERVE_NOBODY		65534	/* writes as this user */
#define ORCHFS_SERVE_BYTES		(8U << 20)
#define ORCHFS_SERVE_HANDLES		1024
#define ORCHFS_SERVE_HANDLES_MAX	4096
#define ORCHFS_SERVE_WAITS_MAX		1024
/* A volume has room with more free than both of these */
#define ORCHFS_SERVE_ROOM_PART		16
#define ORCHFS_SERVE_ROOM		SZ_4G
#define ORCHFS_SERVE_LEASE_MAX		(600 * MSEC_PER_SEC)
/* A handle is kept this long after its token has run out, for the renewal. */
#define ORCHFS_SERVE_GRACE_MS		(60 * MSEC_PER_SEC)

struct crypto_shash;

/**
 * struct orchfs_serve - the data server of a namespace
 * @link: on orchfs_net.serves (serve_lock)
 * @refs: the list's, and of who looks at it without serve_lock
 * @net: its network namespace
 * @uuid: of the namespace
 * @serial: grows with each server and volume, never used again
 * @volumes: served (serve_lock)
 * @leaving: volumes that are served no more and not freed yet (serve_lock)
 * @conns: connections (serve_lock)
 * @fences: of volumes, those that aren't served, too (serve_lock)
 * @nr_volumes: those that aren't freed yet (serve_lock)
 * @nr_conns: likewise
 * @ending: nothing new comes (serve_lock)
 * @idle: nr_volumes and nr_conns are 0
 * @wq: sends replies
 * @ends: ends connections and volumes
 * @lapse: ends it when no daemon comes
 * @tidy_work: takes away what has expired; has a reference
 * @clock_lock: the three below
 * @authority_ms: the authority's clock
 * @boot_ms: at that time of CLOCK_BOOTTIME; 0: not heard yet
 * @until_ms: by CLOCK_BOOTTIME; end of the lease
 */
struct orchfs_serve {
	struct list_head link;
	refcount_t refs;
	struct net *net;
	u8 uuid[16];
	u64 serial;
	struct list_head volumes;
	struct list_head leaving;
	struct list_head conns;
	struct list_head fences;
	u32 nr_volumes;
	u32 nr_conns;
	bool ending;
	wait_queue_head_t idle;
	struct workqueue_struct *wq;
	struct workqueue_struct *ends;
	struct delayed_work lapse;
	struct work_struct tidy_work;
	spinlock_t clock_lock;
	u64 authority_ms;
	u64 boot_ms;
	u64 until_ms;
};

/**
 * struct orchfs_serve_volume - a volume that is served
 * @link: on orchfs_serve.volumes or .leaving
 * @refs: the list's, and one for each handle and each BIND under way
 * @serve: outlives it
 * @number: of it
 * @serial: see orchfs_serve
 * @root: where data/ is
 * @cred: to open files and change them with
 * @wq: opens and reads
 * @writers: changes files and closes them: what a frozen volume holds up
 * @verifier: see Documentation/remote.md
 * @wb_err: errors of write-back of the file system that @verifier is of (@lock)
 * @key_lock: @key and @key_id
 * @key: for tokens
 * @key_id: its number
 * @end_work: takes the handles away
 * @free_work: frees it
 * @tell: a serve-unvolume wants to know the end
 * @request_id: of that
 * @roomy: had space enough when it was looked at (no lock)
 * @room_until: jiffies: that is believed so long
 * @lock: what follows
 * @gone: is not served any more
 * @fences: least epochs: the table is the server's, what is in it changes under
 *	serve_lock and, while the volume is served, @lock
 * @admitted: requests
 * @waits: serve-fence that wait for some of these
 * @nr_waits: how many
 * @seq: of the last admission
 */
struct orchfs_serve_volume {
	struct list_head link;
	refcount_t refs;
	struct orchfs_serve *serve;
	u32 number;
	u64 serial;
	struct path root;
	const struct cred *cred;
	struct workqueue_struct *wq;
	struct workqueue_struct *writers;
	atomic64_t verifier;
	errseq_t wb_err;
	struct mutex key_lock;
	struct crypto_shash *key;
	u32 key_id;
	struct work_struct end_work;
	struct work_struct free_work;
	bool tell;
	u64 request_id;
	bool roomy;
	unsigned long room_until;
	spinlock_t lock;
	bool gone;
	struct orchfs_fences *fences;
	struct list_head admitted;
	struct list_head waits;
	u32 nr_waits;
	u64 seq;
};

/**
 * struct orchfs_serve_handle - a token that was verified
 * @link: on a list of those that go
 * @refs: the connection's, and one for each request
 * @vol: of the instance
 * @file: opened for it
 * @id: what the client calls it
 * @token: what it says; epoch and expiry_ms change under the volume's lock
 * @close_work: closes the file and frees it, at a worker of the volume
 */
struct orchfs_serve_handle {
	struct list_head link;
	refcount_t refs;
	struct orchfs_serve_volume *vol;
	struct file *file;
	u64 id;
	struct orchfs_token token;
	struct work_struct close_work;
};

#define ORCHFS_SERVE_SMALL	ORCHFS_TOKEN_LEN

/**
 * struct orchfs_serve_req - a request, until its reply is sent
 * @link: on orchfs_serve_conn.replies; of an END before that on .enders
 * @tag: in orchfs_serve_conn.tags while in flight
 * @conn: where it came from
 * @work: on the volume's workqueue
 * @pdu: what is asked
 * @vol: BIND: of the token; holds a reference
 * @handle: the others: holds a reference
 * @admitted: on orchfs_serve_volume.admitted
 * @seq: of the admission
 * @epoch: that it was admitted with
 * @held: bytes of the budget
 * @bv: pages, each with a reference: of a WRITE, or of the reply to a READ
 * @nr_bv: how many
 * @bytes: in them
 * @reply: the answer
 * @head: the header of the reply as it is sent, and behind it
 * @small: data of HELLO or BIND; or of a small reply
 * @small_len: of the reply
 * @kv: of @head and @small
 * @iter: what is still to be sent of @head or @bv
 * @last: the connection ends after its reply
 * @stage: 0 the reply wasn't begun, 1 @head, 2 @bv
 */
struct orchfs_serve_req {
	struct list_head link;
	struct hlist_node tag;
	struct orchfs_serve_conn *conn;
	struct work_struct work;
	struct orchfs_pdu pdu;
	struct orchfs_serve_volume *vol;
	struct orchfs_serve_handle *handle;
	struct list_head admitted;
	u64 seq;
	u64 epoch;
	u32 held;
	struct bio_vec *bv;
	unsigned int nr_bv;
	u32 bytes;
	struct orchfs_pdu reply;
	u8 head[ORCHFS_PDU_LEN];
	u8 small[ORCHFS_SERVE_SMALL];
	u32 small_len;
	struct kvec kv;
	struct iov_iter iter;
	bool last;
	int stage;
};

/* They are sent in one piece. */
static_assert(offsetof(struct orchfs_serve_req, small) ==
	      offsetof(struct orchfs_serve_req, head) + ORCHFS_PDU_LEN);

struct orchfs_serve_limits {
	u32 max_requests;
	u32 max_bytes;
	u32 max_handles;
};

#define ORCHFS_CONN_ENDING	0

/**
 * struct orchfs_serve_conn - a connection
 * @link: on orchfs_serve.conns (serve_lock)
 * @serve: outlives it
 * @id: number, never used again
 * @peer: number of the node
 * @limits: as the daemon said
 * @tcp: its socket
 * @receiver: thread
 * @flags: ORCHFS_CONN_ENDING
 * @reason: why; who set the flag
 * @send_work: sends replies
 * @end_work: begins to end it
 * @enders_work: answers @enders
 * @last_work: ends it, when no request is at a worker any more
 * @hello: was said (receiver)
 * @version: that it agreed on (receiver)
 * @hello_id: what the client calls it, for END; 0: nothing
 * @sending: reply under way (the sender)
 * @handles: by slot; its lock for nr_handles
 * @nr_handles: how many
 * @enders: END requests, of others, that wait until it changes no file any
 *	more (serve_lock)
 * @lock: what follows
 * @tags: requests in flight
 * @in_flight: how many, but for a PING
 * @pinged: that one
 * @working: at workers, and its receiver
 * @changing: those of them that change a file, but for the receiver
 * @stopped: the receiver was
 * @replies: to be sent
 * @busy: somebody is the sender: @send_work, or who has answered a request
 * @held: bytes of the budget
 * @held_most: the most it ever was
 * @requests: received
 * @refused: answered with a status other than 0
 * @bytes_read: sent by READ
 * @bytes_written: by WRITE
 * @waits: how often receiving waited for budget
 */
struct orchfs_serve_conn {
	struct list_head link;
	struct orchfs_serve *serve;
	u64 id;
	u32 peer;
	struct orchfs_serve_limits limits;
	struct orchfs_tcp tcp;
	struct task_struct *receiver;
	unsigned long flags;
	int reason;
	struct delayed_work send_work;
	struct work_struct end_work;
	struct work_struct enders_work;
	struct work_struct last_work;
	bool hello;
	u32 version;
	u32 hello_id;
	struct orchfs_serve_req *sending;
	struct xarray handles;
	u32 nr_handles;
	struct list_head enders;
	spinlock_t lock;
	DECLARE_HASHTABLE(tags, 6);
	u32 in_flight;
	bool pinged;
	u32 working;
	u32 changing;
	bool stopped;
	struct list_head replies;
	bool busy;
	u32 held;
	u32 held_most;
	atomic64_t requests;
	atomic64_t refused;
	atomic64_t bytes_read;
	atomic64_t bytes_written;
	atomic64_t waits;
};

/* It must not be carried out behind what its client does next. */
static inline bool orchfs_req_changes(const struct orchfs_serve_req *req)
{
	return req->pdu.opcode == ORCHFS_OP_WRITE ||
	       req->pdu.opcode == ORCHFS_OP_TRUNCATE ||
	       req->pdu.opcode == ORCHFS_OP_ALLOCATE;
}

static inline bool orchfs_conn_ending(const struct orchfs_serve_conn *conn)
{
	return test_bit(ORCHFS_CONN_ENDING, &conn->flags);
}

/* serve.c */
struct orchfs_serve *orchfs_serve_find(struct orchfs_channel *ch);
struct orchfs_serve *orchfs_serve_get(struct orchfs_channel *ch);
void orchfs_serve_event(struct orchfs_serve *serve, struct sk_buff *skb);
int orchfs_serve_heard(struct orchfs_serve *serve, u64 authority_ms,
		       u64 boot_ms, u32 lease_ms);
u64 orchfs_serve_now(struct orchfs_serve *serve, bool *heard);
u64 orchfs_serve_serial(void);

/* serve_volume.c */
int orchfs_volume_serve(struct orchfs_serve *serve, u32 number,
			const struct path *root, struct crypto_shash *key,
			u32 key_id);
int orchfs_volume_unserve(struct orchfs_serve *serve, u32 number,
			  u64 request_id);
void orchfs_volume_end_all(struct orchfs_serve *serve);
struct orchfs_serve_volume *orchfs_volume_find(struct orchfs_serve *serve,
					       u32 number);
void orchfs_volume_put(struct orchfs_serve_volume *vol);
void orchfs_volume_expire(struct orchfs_serve *serve, u64 now_ms);
void orchfs_volume_drop_fences(struct orchfs_serve *serve);
void orchfs_volume_lost(struct orchfs_serve_volume *vol);
u64 orchfs_volume_verifier(struct orchfs_serve_volume *vol);
bool orchfs_volume_roomy(const struct orchfs_serve_volume *vol);
void orchfs_volume_measure(struct orchfs_serve_volume *vol);
void orchfs_volume_tight(struct orchfs_serve_volume *vol);
int orchfs_volume_fence(struct orchfs_serve *serve, u32 number, u64 request_id,
			const struct orchfs_fence *fence);
int orchfs_volume_check(struct orchfs_serve_volume *vol,
			const struct orchfs_token *token, bool write);
int orchfs_volume_admit(struct orchfs_serve_req *req);
int orchfs_volume_recheck(struct orchfs_serve_req *req);
void orchfs_volume_leave(struct orchfs_serve_req *req);

/* serve_conn.c */
int orchfs_conn_init(void);
void orchfs_conn_exit(void);
int orchfs_conn_start(struct orchfs_serve *serve, struct socket *sock,
		      u32 peer, const struct orchfs_serve_limits *limits,
		      u64 *id);
void orchfs_conn_end(struct orchfs_serve_conn *conn, int reason);
void orchfs_conn_await(struct orchfs_serve_req *req);
void orchfs_conn_work(struct orchfs_serve_req *req,
		      struct workqueue_struct *wq);
void orchfs_conn_reply(struct orchfs_serve_req *req, int err);
void orchfs_conn_worked(struct orchfs_serve_req *req, int err);
void orchfs_conn_release_data(struct orchfs_serve_req *req);

/* serve_handle.c */
int orchfs_handle_add(struct orchfs_serve_conn *conn,
		      struct orchfs_serve_handle *handle);
struct orchfs_serve_handle *orchfs_handle_get(struct orchfs_serve_conn *conn,
					      u64 id);
int orchfs_handle_remove(struct orchfs_serve_conn *conn, u64 id);
void orchfs_handle_take_all(struct orchfs_serve_conn *conn,
			    const struct orchfs_serve_volume *vol,
			    struct list_head *taken);
void orchfs_handle_take_expired(struct orchfs_serve_conn *conn, u64 now_ms,
				struct list_head *taken);
void orchfs_handle_put_list(struct list_head *taken);
void orchfs_handle_put(struct orchfs_serve_handle *handle);
struct orchfs_serve_handle *
orchfs_handle_open(struct orchfs_serve_volume *vol,
		   const struct orchfs_token *token);

/* serve_io.c */
void orchfs_req_dispatch(struct orchfs_serve_req *req);
int orchfs_req_pages(struct orchfs_serve_req *req, u32 len);
void orchfs_req_free_pages(struct orchfs_serve_req *req);
u32 orchfs_req_crc(const struct orchfs_serve_req *req);

/* serve_nl.c */
struct sk_buff *orchfs_message_serve_done(u64 request_id, int status);
struct sk_buff *orchfs_message_serve_gone(struct orchfs_serve_conn *conn);

#endif
