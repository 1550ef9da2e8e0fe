// SPDX-License-Identifier: Apache-2.0
/* Layouts that are published at this machine's kernel, until their end. */
#include <errno.h>
#include <stdio.h>

#include "nl.h"
#include "served.h"

static void swap_unlink_locked(struct served *sv, struct swap *s)
{
	struct swap **p;

	for (p = &sv->swaps; *p; p = &(*p)->next) {
		if (*p == s) {
			*p = s->next;
			break;
		}
	}
}

int swap_send(struct served *sv, struct swap *s, uint64_t ino,
	      const struct op_layout *lay, int fd, uint32_t timeout_ms)
{
	int rc;

	pthread_mutex_lock(&sv->lock);
	s->id = ++sv->next_swap;
	s->next = sv->swaps;
	sv->swaps = s;
	pthread_mutex_unlock(&sv->lock);
	rc = channel_send(&sv->ch,
			  nl_encode_layout_set(sv->ch.family, s->id, ino, lay,
					       fd, timeout_ms), &s->seq);
	if (rc < 0) {
		pthread_mutex_lock(&sv->lock);
		swap_unlink_locked(sv, s);
		pthread_mutex_unlock(&sv->lock);
	}
	return rc;
}

/* The swap that matches has ended; one with fn is not in the list then. */
static bool swap_ended(struct served *sv, bool (*match)(const struct swap *,
							const void *),
		       const void *key, int status, uint32_t writers,
		       const char *text)
{
	struct swap *s;
	bool mine;

	pthread_mutex_lock(&sv->lock);
	for (s = sv->swaps; s && (s->done || !match(s, key)); s = s->next)
		;
	mine = s && s->fn;
	if (s) {
		s->done = true;
		s->status = status;
		s->writers = writers;
		snprintf(s->text, sizeof(s->text), "%s", text);
		pthread_cond_broadcast(&sv->changed);
	}
	if (mine)
		swap_unlink_locked(sv, s);
	pthread_mutex_unlock(&sv->lock);
	if (mine)
		s->fn(sv, s);
	return s;
}

static bool match_id(const struct swap *s, const void *id)
{
	return s->id == *(const uint64_t *)id;
}

static bool match_seq(const struct swap *s, const void *seq)
{
	return s->seq == *(const uint32_t *)seq;
}

static bool match_fn(const struct swap *s, const void *key)
{
	(void)key;
	return s->fn;
}

void swap_lost(struct served *sv, struct swap *s)
{
	swap_ended(sv, match_id, &s->id, -ENOTCONN, 0, "");
}

void swaps_lost(struct served *sv)
{
	while (swap_ended(sv, match_fn, NULL, -ENOTCONN, 0, ""))
		;
}

void swaps_drop(struct served *sv)
{
	struct swap **p;

	pthread_mutex_lock(&sv->lock);
	for (p = &sv->swaps; *p; ) {
		if ((*p)->fn)
			*p = (*p)->next;
		else
			p = &(*p)->next;
	}
	pthread_mutex_unlock(&sv->lock);
}

void swap_event(struct served *sv, struct nlmsghdr *nlh)
{
	struct nl_layout_done d;

	if (nl_decode_layout_done(nlh, &d) < 0)
		return;
	swap_ended(sv, match_id, &d.id, d.status, d.writers, "");
}

/* An acknowledgement isn't the end, an error is. */
bool swap_error(struct served *sv, uint32_t seq, int error)
{
	bool found = false;
	struct swap *s;

	if (error)
		return swap_ended(sv, match_seq, &seq, error, 0, sv->ch.error);
	pthread_mutex_lock(&sv->lock);
	for (s = sv->swaps; s && !found; s = s->next)
		found = s->seq == seq && !s->done;
	pthread_mutex_unlock(&sv->lock);
	return found;
}
