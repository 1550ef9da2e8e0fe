/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One daemon takes the place of another: Documentation/daemon.md, "Upgrade".
 * Main thread, unless told otherwise.
 */
#ifndef ORCHD_HANDOVER_H
#define ORCHD_HANDOVER_H

#include <stdbool.h>
#include <stddef.h>

#include "ctl.h"

struct config;
struct loop;

/* handover.c: the old one's side */

/**
 * handover_init() - before the first request
 * @resume: serve again what was served, as nobody has taken it
 */
void handover_init(struct loop *loop, struct ctl *ctl,
		   const struct config *cfg, void (*resume)(void *ctx),
		   void *ctx);
void handover_tick(void);	/* each second */
void handover_settled(void);	/* what was resumed is served */
/** handover_wanted() - any thread: since another daemon asked to take over */
bool handover_wanted(void);
/**
 * handover_join_begin() - any thread: a handover waits for the end of this, as
 * it makes a namespace. Return: 0; -EAGAIN one is under way.
 */
int handover_join_begin(void);
void handover_join_end(void);
bool handover_stopping(void);	/* a control thread stops the namespaces */
bool handover_done(void);	/* stores and socket are another daemon's */

/* takeover.c: the new one's side; a blocking connection */

struct takeover {
	int fd;
	int fds[CTL_GIVE];
	Orchfs__Control__Response *resp;
};

/**
 * takeover_begin() - ask the daemon at @socket; on return it serves no more
 * Return: 0; -errno with a text in @why (VOLUME_WHY bytes), and it goes on.
 */
int takeover_begin(struct takeover *t, const char *socket, char *why);
/** takeover_lacks() - a store that was served and can't be now, told in @why */
bool takeover_lacks(const struct takeover *t, char *why);
/** takeover_end() - it is ours now; or, with a text, it is given back */
int takeover_end(struct takeover *t, const char *text);

#endif
