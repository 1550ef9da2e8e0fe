/* SPDX-License-Identifier: Apache-2.0 */
/* A new store becomes one that the daemon finds and serves. */
#ifndef ORCHCTL_ADOPT_H
#define ORCHCTL_ADOPT_H

#include <stdbool.h>

/** adopt_prepare() - checks before the store is made. Return: exit code. */
int adopt_prepare(const char *ns, const char *store);
/**
 * adopt_store() - link it into the state directory, tell a running daemon.
 * @loaded: set when a daemon serves it now.
 */
int adopt_store(const char *ns, const char *dir, bool *loaded);

#endif
