/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control socket. The main thread reads frames and writes responses; each
 * request runs in a short-lived thread of its own (struct ctl_call).
 */
#ifndef ORCHD_CTL_H
#define ORCHD_CTL_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "loop.h"
#include "proto/control.pb-c.h"
#include "volume.h"
#include "work.h"

#define CTL_FRAME_MAX	(1U << 20)
#define CTL_CONN_MAX	64
#define CTL_FRAME_MS	10000
#define CTL_GIVE	2

struct arena;
struct ctl;
struct served;

struct ctl_call {
	struct work w;
	struct ctl *ctl;
	uint64_t conn;
	Orchfs__Control__Request *req;
	struct served *sv;	/* an agent has passed it on to this; or NULL */
	Orchfs__Control__Response *remote;	/* what the authority said */
	int fd;			/* came with the request, or -1 */
	struct arena *a;	/* of the response */
	Orchfs__Control__Response resp;
	char message[VOLUME_WHY];
	uint8_t *out;		/* the response as a frame */
	size_t out_len;
	char *checkpoint;	/* lives as long as the connection */
	bool stop;
	pid_t pid;		/* of the peer */
	int give[CTL_GIVE];	/* go with the response, stay open; or -1 */
	void (*after)(struct ctl_call *c);	/* main thread; or NULL */
};

struct ctl_config {
	const char *path;
	const char *state_dir;
	unsigned int frame_ms;		/* 0: CTL_FRAME_MS */
	void (*stop)(void *ctx);	/* orchctl stop */
	void *ctx;
	/* of the daemon that is replaced: ctl_listen() begins to use them */
	bool given;
	int listen_fd, lock_fd;
};

/**
 * ctl_start() - lock and listen. -EBUSY when another daemon has the socket.
 * On error @why (VOLUME_WHY bytes).
 */
int ctl_start(struct loop *loop, const struct ctl_config *c, struct ctl **out,
	      char *why);
/** ctl_tick() - each second: incomplete frames. */
void ctl_tick(struct ctl *ctl);
/** ctl_stop() - no new connections or requests. */
void ctl_stop(struct ctl *ctl);
unsigned int ctl_active(const struct ctl *ctl);
void ctl_free(struct ctl *ctl);
/** ctl_listen() - accept connections, ctl_deafen() - leave them waiting */
int ctl_listen(struct ctl *ctl);
void ctl_deafen(struct ctl *ctl);
/** ctl_give() - what another daemon needs to go on with this socket */
void ctl_give(const struct ctl *ctl, int fds[CTL_GIVE]);
/** ctl_given() - the socket is the other's: it stays when this one ends */
void ctl_given(struct ctl *ctl);
/** ctl_hold() - any thread: refuse requests but those of one connection */
void ctl_hold(struct ctl *ctl, uint64_t conn);
const char *ctl_state_dir(const struct ctl *ctl);
/** ctl_stopping() - any thread */
bool ctl_stopping(const struct ctl *ctl);

/** ctl_frame_length() - of the message after this head, or -EMSGSIZE. */
int ctl_frame_length(const uint8_t head[4]);

/* ctl_ops.c: runs in a thread; fills c->resp, c->message; 0 or -errno. */
int ctl_run(struct ctl_call *c);
/** ctl_served() - by name, "" for the only one; held: served_release(). */
int ctl_served(struct ctl_call *c, const char *name, struct served **out);
/** ctl_only() - the only namespace, not held. */
int ctl_only(struct ctl_call *c, struct served **out);
char *ctl_strdup(struct ctl_call *c, const char *s);
/** ctl_home() - the node that has a volume, and its name; 0: no cluster */
uint32_t ctl_home(struct ctl_call *c, struct served *sv,
		  const struct volume *v, char **name);
void remove_tree(const char *path);

/** ctl_load_wait() - until it serves, or a text why not. */
int ctl_load_wait(struct ctl_call *c, struct served *sv);

/* ctl_cluster.c */
int ctl_cluster_init(struct ctl_call *c);
int ctl_node_invite(struct ctl_call *c);
int ctl_node_join(struct ctl_call *c);
int ctl_node_list(struct ctl_call *c);
int ctl_node_show(struct ctl_call *c);
int ctl_node_remove(struct ctl_call *c);
/** ctl_cluster_info() - of status; NULL where it is no cluster's. */
/** ctl_session_info() - ctl_session.c; who holds its cluster */
void ctl_session_info(struct ctl_call *c, struct served *sv,
		      Orchfs__Control__ClusterInfo *i);
/** ctl_data_info() - ctl_data.c; who holds its cluster */
Orchfs__Control__DataInfo *ctl_data_info(struct ctl_call *c,
					 struct served *sv);
Orchfs__Control__ClusterInfo *ctl_cluster_info(struct ctl_call *c,
					       struct served *sv);
/** ctl_say_agent() - a command that needs the store, at an agent. */
int ctl_say_agent(struct ctl_call *c, struct served *sv);

/* ctl_move.c */
int ctl_move(struct ctl_call *c);
int ctl_job_list(struct ctl_call *c);
int ctl_job_get(struct ctl_call *c);
int ctl_job_cancel(struct ctl_call *c);
int ctl_volume_drain(struct ctl_call *c);

/* ctl_lost.c */
int ctl_node_files(struct ctl_call *c);

/* handover.c */
int ctl_take_over(struct ctl_call *c);
int ctl_taken(struct ctl_call *c);
int ctl_give_back(struct ctl_call *c);
int ctl_upgrade(struct ctl_call *c);

/* ctl_volume.c */
int ctl_volume_add(struct ctl_call *c);
int ctl_volume_list(struct ctl_call *c);
int ctl_volume_set(struct ctl_call *c);
int ctl_volume_remove(struct ctl_call *c);

#endif
