/* SPDX-License-Identifier: Apache-2.0 */
/* Control requests that an agent passes on: Documentation/locality.md. */
#ifndef ORCHD_CTL_REMOTE_H
#define ORCHD_CTL_REMOTE_H

#include "ctl.h"
#include "peer_frame.h"

struct peer_request;

/** ctl_is_remote() - may it be passed on? */
bool ctl_is_remote(const Orchfs__Control__Request *r);
/**
 * ctl_agent() - is the namespace of that name, "" the only one, an agent's?
 * Return: then *out is held: served_release().
 */
bool ctl_agent(struct ctl_call *c, const char *name, struct served **out);
/** ctl_ask_authority() - *out is in the call's arena */
int ctl_ask_authority(struct ctl_call *c, struct served *sv, peer_frame *f,
		      peer_frame **out);
/** ctl_pass_on() - Return: it was, and *rc is its end. */
bool ctl_pass_on(struct ctl_call *c, int *rc);
/** ctl_remote() - namespace thread of the authority; takes @r */
void ctl_remote(struct served *sv, struct peer_request *r);

/* ctl_steward.c */

/** ctl_steward_add() - volume add at an agent that is held */
int ctl_steward_add(struct ctl_call *c, struct served *sv);
/** ctl_steward_status() - its volumes, for status */
void ctl_steward_status(struct ctl_call *c, struct served *sv,
			Orchfs__Control__NamespaceStatus *n);

#endif
