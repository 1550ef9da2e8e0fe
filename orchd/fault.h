/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fault points for tests: ORCHD_FAULT=point[:count][,point...] in the
 * environment. fault_point() ends the process at the count-th passage, as
 * SIGKILL would; fault_hit() makes its caller fail there; fault_enabled() only
 * tells.
 */
#ifndef ORCHD_FAULT_H
#define ORCHD_FAULT_H

#include <stdbool.h>

void fault_init(void);
bool fault_hit(const char *name);
void fault_point(const char *name);
bool fault_enabled(const char *name);
/** fault_value() - the number behind its name; 0: not set. */
long fault_value(const char *name);

#endif
