/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One served namespace. Threads: Documentation/daemon.md. Unless told
 * otherwise a member belongs to the namespace thread.
 */
#ifndef ORCHD_SERVED_H
#define ORCHD_SERVED_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "loop.h"
#include "nl_sock.h"
#include "ns.h"
#include "store.h"
#include "volume.h"
#include "work.h"

enum served_state {
	SERVED_STARTING,
	SERVED_WAITING,		/* for the module; the store is open */
	SERVED_SERVING,
	SERVED_REFUSED,		/* the thread has ended */
	SERVED_STOPPING,
	SERVED_AGENT,		/* of an authority; there is no store */
};

struct served;

/* exec.h */
struct asker;
struct homes;
struct lease;
struct lock_ask;
struct locks;
struct op_locks;
struct session_node;
struct waiter;

/*
 * A layout that was sent with layout-set; guarded by served.lock. Its end is
 * waited for, or fn is called in the namespace thread and has it for itself.
 */
struct swap {
	struct swap *next;
	void (*fn)(struct served *sv, struct swap *s);
	uint64_t id;
	uint32_t seq;		/* of the netlink message */
	bool done;
	int status;
	uint32_t writers;	/* files open for writing then */
	char text[256];
};

/*
 * A request whose layout is being swapped (NS_PARKED), or for which no backing
 * file is there yet: a copy of it.
 */
struct parked;

/* sync.c */
struct syncer {
	pthread_t thread;
	bool started;
	pthread_mutex_t lock;	/* want, told, stop */
	pthread_cond_t wake, done;
	uint64_t want, told;
	bool stop;
	atomic_bool dirty;
	atomic_bool posted;
	struct work durable_work;
};

/* pool.c */
struct pool_range {
	struct pool_range *next;
	uint32_t volume;
	uint64_t first_ino, first_instance;
	uint32_t count, left;
};

struct pool {
	uint64_t ino, ino_left, instance, instance_left;
	struct pool_range *ranges;
	bool started, stopped;
	pthread_mutex_t lock;	/* done */
	struct pool_batch *done;
	struct work done_work;
	atomic_bool done_posted;
};

/* flush.c */
struct flush_wait;
struct flush_round;
struct flusher {
	struct worker worker;
	bool busy, stopped;
	bool lost;			/* the next round fails with EIO */
	struct flush_wait *waits;	/* for the next round */
	struct flush_round *round;	/* that is under way */
};

/* readmit.c; rounds is written under served.lock */
struct readmit {
	bool busy;
	uint64_t next, rounds;
};

/* deleter.c */
struct deleter {
	struct worker worker;
	bool busy, failed, stopped;
	uint64_t after, retry_at, marked_at;
	uint64_t freed_at;		/* ms: something was removed; 0: never */
};

/* export.c */
struct exporter {
	struct worker worker;
	bool busy, wanted;
	atomic_bool stopped;
	uint64_t txn, records;		/* of the last export */
	uint64_t at, not_before;	/* ms */
};

#define RECENT_MAX	4096

struct served {
	struct served *next;		/* registry lock (served.c) */
	char dir[4096];			/* does not change */
	char name[64];			/* under lock until serving */
	uint8_t uuid[16];
	pthread_t thread;
	bool thread_started;
	struct work_queue queue;

	struct loop loop;
	struct loop_source queue_source, timer_source, nl_source;
	struct loop_source family_source;
	struct nl_sock *family_sk;
	struct channel ch;
	bool attached, stopping, need_resync, need_attach, need_detach;
	bool pausing;			/* nothing long is begun: an upgrade */
	bool held_back;			/* may not attach yet: takeover */
	atomic_bool leaving;		/* workers end what they can leave */
	bool no_module;			/* nothing can be open */
	struct store *st;
	struct ns *ns;
	uint64_t epoch;
	struct volume *volumes;
	struct arena *arena;		/* of the reply at hand */
	struct waiter *waiters, **waiters_tail;
	struct parked *parked, **parked_tail;
	struct work unpark_work;
	bool unpark_posted;
	bool answers_due;		/* answer_run() */
	struct lease *lease;		/* NULL: no other node can come */
	struct session_node *sessions;
	struct homes *homes;		/* with lease: home.h */
	struct locks *locks;		/* with lease */
	struct lock_ask *lock_asks;	/* lock_ops.c */
	bool lock_parked;
	uint32_t lock_self;		/* node of the own kernel */
	uint64_t own_mount;		/* session of the own kernel's mount */
	uint32_t telling;		/* node whose notices are applied */
	uint64_t asks_until;		/* ms: what it has no answer of; or 0 */
	uint64_t missed;		/* times the own kernel wasn't told */
	bool notes_lost;		/* not for good; and the last txn then */
	uint64_t notes_lost_txn;
	uint64_t told_durable;
	uint64_t *recent;		/* inodes of late replies, a ring */
	size_t recent_pos;
	struct syncer sync;
	struct pool pool;
	struct deleter deleter;
	struct flusher flusher;
	struct readmit readmit;
	struct mover *mover;		/* mover.h */
	struct exporter exporter;
	bool agent;			/* does not change */
	struct agent *agency;		/* an agent's; agent.h */
	char boot_id[64];
	struct cluster *cluster;	/* changes under lock; cluster.h */
	struct data *data;		/* set under lock; data.h */
	uint64_t start_txn;		/* last of the store when it was opened */
	uint64_t damaged;		/* backing files missing */

	atomic_uint_fast64_t last_txn;	/* any thread reads */
	atomic_uint_fast64_t requests, resent;
	atomic_uint mounts;

	pthread_mutex_t lock;		/* the rest */
	pthread_cond_t changed;
	enum served_state state;
	char problem[VOLUME_WHY];
	unsigned int users;		/* of the store, in other threads */
	bool closing;
	bool claimed;			/* name and uuid are the store's */
	struct swap *swaps;
	uint64_t next_swap;
	uint64_t deletions_done;	/* batches finished */
	uint64_t mover_changes;		/* steps of jobs and their files */
	uint64_t mover_news;		/* the last that is told at once */
	struct work settled_work;	/* posted to the main thread */
};

/* A call into the namespace thread from a control thread. */
struct job {
	struct work w;
	struct served *sv;
	atomic_int refs;
	int (*fn)(struct served *sv, struct job *j);
	void (*release)(struct job *j);	/* contents, not the job; or NULL */
	int rc;
	bool done;			/* under sv->lock */
};

/* served.c */
struct served *served_new(const char *dir);
/** served_hold_back() - from now on new ones open their store, no more */
void served_hold_back(void);
int served_start(struct served *sv);
void served_stop(struct served *sv);	/* asks */
void served_join(struct served *sv);
void served_free(struct served *sv);
void served_set_state(struct served *sv, enum served_state s,
		      const char *problem);
enum served_state served_get_state(struct served *sv, char *problem,
				   size_t len);
const char *served_state_name(enum served_state s);
bool served_settled(struct served *sv);	/* serving or a known problem */
void served_txn(struct served *sv);	/* after anything that may commit */
struct volume *served_volume(struct served *sv, uint32_t id);
uint64_t now_ms(void);
/**
 * served_call() - run j->fn in the namespace thread and wait. The caller's
 * reference stays its own; drop it with job_put().
 * Return: fn's; -ESHUTDOWN; -ETIMEDOUT (@timeout_ms, 0: none).
 */
int served_call(struct served *sv, struct job *j, int timeout_ms);
/**
 * served_hold() - keep the store open for another thread. It watches
 * served_closing() if it takes long. Return: 0 or -ESHUTDOWN.
 */
int served_hold(struct served *sv);
/**
 * served_hold_cluster() - the same for its part in a cluster; an agent, which
 * has no store, can be held by this alone.
 */
int served_hold_cluster(struct served *sv);
void served_release(struct served *sv);
bool served_closing(struct served *sv);
void served_wait_users(struct served *sv);
/** served_quiet() - until nobody holds it; -ETIMEDOUT at @end (ms) */
int served_quiet(struct served *sv, uint64_t end);
/**
 * served_pause() - any other thread, before served_stop(): nothing that takes
 * long is begun any more, until served_resume().
 * Return: 0 once all workers are idle or get on; -EBUSY at @end (ms), or
 * another -errno, and in @why what keeps them, and the remedy.
 */
int served_pause(struct served *sv, uint64_t end, char *why, size_t len);
void served_resume(struct served *sv);
void *job_new(size_t size, int (*fn)(struct served *, struct job *));
void job_put(struct job *j);

/** served_release_all() - those that were held back attach */
void served_release_all(void);

/* registry: all namespaces; the list only grows */
struct served *served_first(void);
struct served *served_next(struct served *sv);
struct served *served_find(const char *name);
struct served *served_find_dir(const char *dir);
/**
 * served_register() - and start it, unless it runs
 * Return: 0; -ESHUTDOWN after served_close_registry(); other -errno.
 */
int served_register(struct served *sv);
/** served_begin() - a new one, registered; on -ESHUTDOWN there is none. */
int served_begin(const char *dir, struct served **out);
/** served_close_registry() - before all are stopped: none is begun any more */
void served_close_registry(bool closed);
/** served_claim() - name and uuid for this store alone, or -EEXIST. */
int served_claim(struct served *sv, const char *name, const uint8_t uuid[16]);
void served_on_settled(struct work_queue *q, void (*fn)(struct work *));

/* serve_start.c, sweep.c: before requests */
int read_boot_id(char id[64]);
int serve_open(struct served *sv);
/** serve_own() - no other daemon will need the store again: attach */
void serve_own(struct served *sv);
void serve_close(struct served *sv);
/** serve_settle() - a volume's pool; refuses it on failure. */
int serve_settle(struct served *sv, struct volume *v, bool *owes_sweep);
void serve_unsettled(struct served *sv, struct volume *v, int rc);
/** serve_swept() - the sweep is durable, and isn't owed any more. */
int serve_swept(struct served *sv, struct volume *v);
struct sweep;
int sweep_new(struct served *sv, struct volume *v, struct sweep **out);
void sweep_free(struct sweep *s);
/** sweep_list() - what lies on the volume; any one thread. */
int sweep_list(struct sweep *s);
/**
 * sweep_step() - compare the next @max. Return: 1 while there may be more, 0
 * when all is done and committed, -errno.
 */
int sweep_step(struct sweep *s, size_t max);
/** serve_owe_sweep() - durably: before it is used again it is swept. */
int serve_owe_sweep(struct served *sv, struct volume *v);
struct sweep_deletions;
int sweep_deletions_load(struct ns *ns, struct sweep_deletions **out);
bool sweep_deletions_has(const struct sweep_deletions *d, uint32_t volume,
			 uint64_t ino, uint64_t version, uint64_t instance);
void sweep_deletions_free(struct sweep_deletions *d);

/* attach.c */

/* What a kernel holds; zero at first. */
#define HELD_SESSIONS_MAX	64
struct held {
	uint64_t sessions[HELD_SESSIONS_MAX];
	size_t nr_sessions;
	struct ns_handle *handles;	/* to be freed */
	size_t nr, max;
};
int held_push(struct held *held, const struct ns_handle *h);
/** attach_held() - ask the kernel, which was told hello */
int attach_held(struct served *sv, struct held *held);
/* And what it has of locks; zero at first. */
struct held_locks {
	struct op_locks *v;
	size_t nr, max;
	int rc;
};
int attach_locks(struct served *sv, struct held_locks *h);
void held_locks_free(struct held_locks *h);
struct nl_attached;
/**
 * attach_hello() - be the namespace's daemon
 * @remedy: set to what helps, or NULL where it may work later
 */
int attach_hello(struct served *sv, uint64_t incarnation,
		 struct nl_attached *a, const char **remedy);
void attach_why(struct served *sv, int rc, const char *remedy,
		char text[VOLUME_WHY]);
void attach_try(struct served *sv);
void attach_lost(struct served *sv);
/** attach_asked() - what that node has asked again has come */
void attach_asked(struct served *sv, uint32_t origin);
void attach_tick(struct served *sv);	/* each second */
void attach_resync(struct served *sv);
int attach_count_mounts(struct served *sv);
/** attach_events() - what takes the kernel's messages */
channel_fn attach_events(const struct served *sv);
void attach_tell(struct served *sv);	/* state and problem, when served */
int family_watch(struct served *sv);
void family_unwatch(struct served *sv);

/* nl_ops.c */
void nl_ops_event(void *sv, struct nlmsghdr *nlh);
void nl_ops_poll(struct served *sv);
/** nl_ops_refused() - log what the kernel has against message @seq */
void nl_ops_refused(struct served *sv, uint32_t seq, int error);
/** nl_ops_lost() - who waited by the channel asks again by the next one */
void nl_ops_lost(struct served *sv);
/**
 * nl_ops_layout_set() - publish a layout; @s is in the list until its end.
 * On failure it isn't, and s->text may tell why. Never -ENOENT, which is an
 * end: the kernel holds none.
 */
int nl_ops_layout_set(struct served *sv, struct swap *s, uint64_t ino,
		      const struct op_layout *lay, uint32_t timeout_ms);
void nl_ops_tick(struct served *sv);	/* each second */

/* swap.c: layout-set and its end, at an agent, too */
struct nlmsghdr;
/** swap_send() - @s is in the list until its end; not on failure */
int swap_send(struct served *sv, struct swap *s, uint64_t ino,
	      const struct op_layout *lay, int fd, uint32_t timeout_ms);
void swap_event(struct served *sv, struct nlmsghdr *nlh);
/** swap_error() - is that message one of these? */
bool swap_error(struct served *sv, uint32_t seq, int error);
void swap_lost(struct served *sv, struct swap *s);
void swaps_lost(struct served *sv);	/* all that have a function */
void swaps_drop(struct served *sv);	/* nobody waits for these any more */

/* sync.c */
int sync_start(struct served *sv);
void sync_stop(struct served *sv);
void sync_request(struct served *sv, uint64_t txn);	/* any thread */
void sync_dirty(struct served *sv);
/** sync_wait() - any other thread: until txn is durable. */
int sync_wait(struct served *sv, uint64_t txn);
__attribute__((noreturn)) void sync_fatal(struct served *sv, int rc);

/* pool.c */
extern const struct ns_backing_ops pool_backing_ops;
void pool_start(struct served *sv);
void pool_stop(struct served *sv);
int pool_load(struct served *sv, struct volume *v,
	      const struct sweep_deletions *d, bool unclean);
void pool_unload(struct served *sv, struct volume *v);
void pool_maintain(struct served *sv);
/**
 * pool_ready() - can a file be made for a node now? If not, later:
 * exec_unpark().
 */
bool pool_ready(struct served *sv, uint32_t origin);
void pool_tick(struct served *sv);	/* each second */
/**
 * pool_choose() - where a file of that many bytes goes from volume @but
 * @take: and it does; else it is a question
 * Return: NULL where no other volume has room.
 */
struct volume *pool_choose(struct served *sv, uint32_t but, uint64_t bytes,
			   bool take);
/** pool_drop_volume() - forget its files; they are returned to be removed. */
int pool_drop_volume(struct served *sv, struct volume *v);
bool pool_has(const struct volume *v, uint64_t ino, uint64_t instance);
/* for home_pool.c */
int pool_push(struct volume *v, const struct ns_backing *b);
struct pool_range *pool_range(struct served *sv, uint32_t volume,
			      uint64_t ino);
/** pool_range_add() - one that has a record; NULL without memory */
struct pool_range *pool_range_add(struct served *sv, uint32_t volume,
				  uint64_t first_ino, uint64_t first_instance,
				  uint32_t count);
/** pool_made() - a batch has ended */
void pool_made(struct served *sv, struct volume *v, int rc);
/** pool_spare() - has a number of a range no record? 1, 0 or -errno */
int pool_spare(struct served *sv, const struct sweep_deletions *d,
	       const struct volume *v, uint64_t ino, uint64_t instance);

/* deleter.c */
int deleter_start(struct served *sv);
void deleter_stop(struct served *sv);
void deleter_kick(struct served *sv);
void deleter_again(struct served *sv);	/* those that failed, at once */
/** deleter_tried() - has it been at all up to that sequence, as far as it can? */
bool deleter_tried(struct served *sv, uint64_t seq);
/**
 * deleter_frees() - may who finds no space since @since (ms) find some soon?
 * If so, later: exec_unpark().
 */
bool deleter_frees(struct served *sv, uint64_t since);
void deleter_marks(struct served *sv, bool now);
int marker_update(struct volume *v, const struct served *sv, uint64_t txn);

/* flush.c */
int flush_start(struct served *sv);
void flush_stop(struct served *sv);
/**
 * flush_request() - write the volumes back; answer_flushed() gets @who then.
 */
int flush_request(struct served *sv, const struct asker *who);
void flush_kick(struct served *sv);
/** flush_drop() - by that channel or link it is asked again */
void flush_drop(struct served *sv, uint32_t origin, uint64_t link);
void flush_lost(struct served *sv);	/* a volume, and what it had to write */

/* health.c */
/** health_worker() - start the volume's thread where it doesn't run */
int health_worker(struct volume *v);
void health_tick(struct served *sv);	/* each second */

/* readmit.c */
void readmit_kick(struct served *sv);
/**
 * readmit_settle() - one that is online again: its pool, what it owes
 * Return: whether its sweep is under way, which tells the end of the round.
 */
bool readmit_settle(struct served *sv, struct volume *v);
void readmit_tick(struct served *sv);	/* each second */

#endif
