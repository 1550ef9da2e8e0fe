/* SPDX-License-Identifier: Apache-2.0 */
/* A thread's event loop. One event a turn, so a source may go at any time. */
#ifndef ORCHD_LOOP_H
#define ORCHD_LOOP_H

#include <stdint.h>

struct loop {
	int epfd;
};

struct loop_source {
	int fd;
	void (*fn)(struct loop_source *s, uint32_t events);
};

int loop_init(struct loop *l);
void loop_destroy(struct loop *l);
int loop_add(struct loop *l, struct loop_source *s, uint32_t events);
int loop_mod(struct loop *l, struct loop_source *s, uint32_t events);
void loop_del(struct loop *l, struct loop_source *s);
/** loop_turn() - wait and call one source. Return: 1, 0 timed out, -errno. */
int loop_turn(struct loop *l, int timeout_ms);

/** loop_timer() - a timerfd that ticks each @ms; read it in its function. */
int loop_timer(unsigned int ms);
int loop_timer_set(int fd, unsigned int ms);	/* from now on */
void loop_timer_read(int fd);

#endif
