/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Shared by the files that make up the channel: channel.c (daemons come and
 * go), handler.c (the commands they send), dump.c, request.c, message.c and
 * note.c. Nothing else includes this but tests, and layout.c for users of the
 * superblock.
 *
 * Lock order: orchfs_net.lock > orchfs_channel.lock. Nothing is sent,
 * allocated or freed under orchfs_channel.lock.
 */
#ifndef _ORCHFS_CHANNEL_H
#define _ORCHFS_CHANNEL_H

#include <linux/completion.h>
#include <linux/skbuff.h>
#include <linux/srcu.h>
#include <net/genetlink.h>

#include "orchfs.h"

/**
 * struct orchfs_net - the channels of one network namespace
 * @lock: adding and removing channels, choosing one at attach and mount
 * @channels: read under RCU too
 * @serve_lock: data servers, their volumes and connections; never with @lock
 * @serves: data servers
 * @peers_lock: which peers there are; orchfs_peer.lock is inside
 * @peers: other nodes whose data servers are asked
 * @answers: read from asking until the answer is applied, if inodes may come
 *	to memory with it
 */
struct orchfs_net {
	struct mutex lock;
	struct list_head channels;
	struct srcu_struct answers;
	struct mutex serve_lock;
	struct list_head serves;
	spinlock_t peers_lock;
	struct list_head peers;
};

/**
 * enum orchfs_request_state - where a request is
 * @ORCHFS_REQ_WAITING: on the waiting list
 * @ORCHFS_REQ_SENT: the daemon has it, or is just getting it
 * @ORCHFS_REQ_DONE: answered or withdrawn; not in the table any more
 * @ORCHFS_REQ_GIVEN_UP: the caller has gone, the answer is still expected
 */
enum orchfs_request_state {
	ORCHFS_REQ_WAITING,
	ORCHFS_REQ_SENT,
	ORCHFS_REQ_DONE,
	ORCHFS_REQ_GIVEN_UP,
};

#define ORCHFS_NO_SLOT	(-1)

/**
 * struct orchfs_request - one question
 * @refs: the caller, the table, a delivery under way
 * @link: on orchfs_channel.waiting while waiting (channel lock)
 * @state: channel lock
 * @sent: to this daemon or an earlier one, so it may have been carried out
 *	(channel lock)
 * @attach: of the daemon that got it (channel lock)
 * @id: key in the table, never used again
 * @kind: ORCHFS_KIND_*
 * @flags: ORCHFS_REQ_FLAG_* that the caller asked
 * @nodes: inodes that it may change, those missing 0; without any it may be
 *	all
 * @slot: slot of the session, or ORCHFS_NO_SLOT
 * @sequence: of the slot
 * @msg: the message; deliveries are clones of it
 * @flags_at: where in @msg the flags are, to add "resent"
 * @leaves: goes with the daemon, whose next one reads what it tells
 * @locks: of a lock or test: those of its inode, while a caller waits
 * @lost: orchfs_locks.lost when it was answered; valid when done
 * @lock: of a request of kind lock
 * @done: completed once, by whoever moved it to done
 * @status: of the answer; valid when done
 * @res: of the answer; valid when done and @status is 0
 */
struct orchfs_request {
	refcount_t refs;
	struct list_head link;
	enum orchfs_request_state state;
	bool sent;
	u32 attach;
	u64 id;
	u32 kind;
	u32 flags;
	u64 nodes[4];
	int slot;
	u64 sequence;
	struct sk_buff *msg;
	unsigned int flags_at;
	bool leaves;
	struct orchfs_locks *locks;
	u32 lost;
	struct orchfs_lock lock;
	struct completion done;
	int status;
	struct orchfs_result res;
};

/* channel.c */
extern struct workqueue_struct *orchfs_channel_wq;
extern u8 orchfs_boot_id[16];

static inline struct orchfs_channel *
orchfs_channel_get(struct orchfs_channel *ch)
{
	refcount_inc(&ch->refs);
	return ch;
}

struct orchfs_net *orchfs_net_of(struct net *net);
struct orchfs_channel *orchfs_channel_new(struct net *net, const u8 *uuid,
					  const char *name);
struct orchfs_channel *orchfs_channel_by_port(struct net *net, u32 portid);
struct orchfs_channel *orchfs_channel_by_uuid(struct net *net, const u8 *uuid);
int orchfs_channel_attach(struct net *net, const u8 *uuid, const char *name,
			  u64 incarnation, u32 portid,
			  struct netlink_ext_ack *extack, bool *mounted);
int orchfs_channel_ready(struct orchfs_channel *ch, u32 portid, u64 durable);
void orchfs_channel_detach(struct orchfs_channel *ch, u32 portid);
void orchfs_channel_durable(struct orchfs_channel *ch, u64 txn);
void orchfs_channel_lease(struct orchfs_channel *ch, u64 until_ms);
struct super_block *orchfs_channel_sb_get(struct orchfs_channel *ch);
void orchfs_channel_sb_put(struct orchfs_channel *ch, struct super_block *sb);

/* handler.c */
bool orchfs_nl_permitted(const struct sk_buff *skb,
			 struct netlink_ext_ack *extack);

/* request.c: steps in the life of a request */
struct orchfs_request *orchfs_request_new(struct orchfs_channel *ch, u32 kind,
					  u32 flags, unsigned long deadline);
void orchfs_request_put(struct orchfs_request *req);
void orchfs_request_discard(struct orchfs_channel *ch,
			    struct orchfs_request *req);
int orchfs_request_enter(struct orchfs_channel *ch,
			 struct orchfs_request *req);
bool orchfs_request_deliver_one(struct orchfs_channel *ch);
void orchfs_request_deliver(struct orchfs_channel *ch);
struct orchfs_request *orchfs_request_expect(struct orchfs_channel *ch, u64 id);
void orchfs_request_unusable(struct orchfs_channel *ch,
			     const struct orchfs_request *req);
bool orchfs_request_complete(struct orchfs_channel *ch,
			     struct orchfs_request *req, int status,
			     struct orchfs_result *res);
bool orchfs_request_give_up(struct orchfs_channel *ch,
			    struct orchfs_request *req);
bool orchfs_request_withdraw(struct orchfs_channel *ch,
			     struct orchfs_request *req);
struct orchfs_request *orchfs_upcall_enter(struct super_block *sb,
					   const struct orchfs_args *args,
					   unsigned long deadline);
void orchfs_request_detach_locked(struct orchfs_channel *ch,
				  struct list_head *dropped);
void orchfs_request_drop_list(struct orchfs_channel *ch,
			      struct list_head *dropped);
bool orchfs_kind_mutates(u32 kind);

/* message.c */
int orchfs_message_request(const struct orchfs_channel *ch,
			   const struct orchfs_args *args,
			   struct orchfs_request *req);
int orchfs_message_reply(struct sk_buff *skb, struct genl_info *info,
			 const struct orchfs_request *req,
			 struct orchfs_result *res);
bool orchfs_attr_valid(const struct orchfs_attr *attr);
bool orchfs_name_valid(const void *name, size_t len);
struct sk_buff *orchfs_message_notes(struct list_head *notes);
struct sk_buff *orchfs_message_layout_done(u64 request_id, u64 node,
					   u64 generation, int status,
					   u32 writers);
struct sk_buff *orchfs_message_held(u64 request_id, u64 node,
				    const struct orchfs_lock *locks,
				    unsigned int nr, bool eof);

/* note.c */
int orchfs_note_init(void);
void orchfs_note_exit(void);
void orchfs_channel_kick(struct orchfs_channel *ch);
void orchfs_note_work(struct work_struct *work);
void orchfs_note_cancel(struct orchfs_channel *ch);
void orchfs_note_drop_list(struct list_head *notes);
void orchfs_event_drop_list(struct list_head *events);
bool orchfs_event_queue(struct orchfs_channel *ch, struct sk_buff *skb);

/* unlinked.c: inodes whose last name went elsewhere */
void orchfs_answer_begin(struct orchfs_channel *ch, u32 kind,
			 struct orchfs_result *res);
void orchfs_answer_end(struct orchfs_result *res);
void orchfs_unlinked_init(struct orchfs_channel *ch);
void orchfs_unlinked(struct orchfs_channel *ch, struct super_block *sb,
		     const struct orchfs_attr *attr);
void orchfs_unlinked_flush(struct orchfs_net *on);

/* lock_ask.c */
void orchfs_lock_answered(struct orchfs_request *req);
void orchfs_lock_told(struct orchfs_channel *ch,
		      const struct orchfs_request *req);
void orchfs_lock_late(struct orchfs_channel *ch,
		      const struct orchfs_request *req,
		      const struct orchfs_result *res);

/* socket_nl.c: sockets of connections to and of data servers */
typedef int (*orchfs_socket_fn)(struct genl_info *info, struct socket *sock,
				u32 node, u64 *id);
int orchfs_nl_refuse(struct genl_info *info, int attr, const char *why);
int orchfs_nl_socket(struct genl_info *info, orchfs_socket_fn use);

/* serve.c: the data servers of a network namespace */
void orchfs_serve_detached(struct orchfs_channel *ch);
void orchfs_serve_net_exit(struct orchfs_net *on);
int orchfs_serve_init(void);
void orchfs_serve_exit(void);

#endif
