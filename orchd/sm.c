// SPDX-License-Identifier: Apache-2.0
#include <stdlib.h>

#include "log.h"
#include "sm.h"

void sm_init(struct sm *sm, const struct sm_state *table, unsigned int state)
{
	sm->table = table;
	sm->state = state;
}

void sm_move(struct sm *sm, unsigned int to)
{
	if (!(sm->table[sm->state].next & SM_BIT(to))) {
		log_err(NULL, "bug: state %s follows %s",
			sm->table[to].name, sm_name(sm));
		abort();
	}
	sm->state = to;
}

bool sm_final(const struct sm *sm)
{
	return !sm->table[sm->state].next;
}

const char *sm_name(const struct sm *sm)
{
	return sm->table[sm->state].name;
}
