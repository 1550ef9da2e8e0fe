/* SPDX-License-Identifier: Apache-2.0 */
/*
 * State machines as data: a table of states with what may follow each. A move
 * that the table doesn't have is a bug and ends the process.
 */
#ifndef ORCHD_SM_H
#define ORCHD_SM_H

#include <stdbool.h>
#include <stdint.h>

struct sm_state {
	const char *name;
	uint32_t next;		/* a bit for each state that may follow */
};

#define SM_BIT(state)	(1U << (state))

struct sm {
	const struct sm_state *table;
	unsigned int state;
};

void sm_init(struct sm *sm, const struct sm_state *table, unsigned int state);
void sm_move(struct sm *sm, unsigned int to);
/** sm_final() - does nothing follow the present state? */
bool sm_final(const struct sm *sm);
const char *sm_name(const struct sm *sm);

#endif
