/* SPDX-License-Identifier: Apache-2.0 */
/* One line an event on stderr: "orchd: NS: text". */
#ifndef ORCHD_LOG_H
#define ORCHD_LOG_H

#include <syslog.h>

/**
 * log_init() - level is a syslog priority; lines above it are dropped.
 * Under systemd each line begins with <priority>.
 */
void log_init(int level);
int log_level_parse(const char *s);	/* -EINVAL */

/** log_msg() - @ns may be NULL. The text names the thing and the remedy. */
__attribute__((format(printf, 3, 4)))
void log_msg(int prio, const char *ns, const char *fmt, ...);

#define log_err(ns, ...)	log_msg(LOG_ERR, ns, __VA_ARGS__)
#define log_warn(ns, ...)	log_msg(LOG_WARNING, ns, __VA_ARGS__)
#define log_info(ns, ...)	log_msg(LOG_INFO, ns, __VA_ARGS__)
#define log_debug(ns, ...)	log_msg(LOG_DEBUG, ns, __VA_ARGS__)

#endif
