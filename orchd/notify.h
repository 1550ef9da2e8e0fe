/* SPDX-License-Identifier: Apache-2.0 */
/* Telling who started the daemon how it is. */
#ifndef ORCHD_NOTIFY_H
#define ORCHD_NOTIFY_H

#include <sys/types.h>

void notify_init(int ready_fd);
/** notify_ready() - once; later calls change the status line only. */
void notify_ready(unsigned int serving, unsigned int problems);
void notify_stopping(void);
/** notify_successor() - another process is the service from now on */
void notify_successor(pid_t pid);

#endif
