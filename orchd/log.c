// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"

static int log_level = LOG_INFO;
static bool log_prefix;

void log_init(int level)
{
	log_level = level;
	log_prefix = getenv("JOURNAL_STREAM") != NULL;
}

int log_level_parse(const char *s)
{
	static const struct {
		const char *name;
		int level;
	} names[] = {
		{ "error", LOG_ERR }, { "warning", LOG_WARNING },
		{ "info", LOG_INFO }, { "debug", LOG_DEBUG },
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strcmp(s, names[i].name))
			return names[i].level;
	return -EINVAL;
}

void log_msg(int prio, const char *ns, const char *fmt, ...)
{
	char line[1024];
	size_t n = 0;
	va_list ap;
	int rc;

	if (prio > log_level)
		return;
	if (log_prefix)
		n += snprintf(line, sizeof(line), "<%d>", prio);
	if (ns && *ns)
		n += snprintf(line + n, sizeof(line) - n, "orchd: %s: ", ns);
	else
		n += snprintf(line + n, sizeof(line) - n, "orchd: ");
	va_start(ap, fmt);
	rc = vsnprintf(line + n, sizeof(line) - n - 1, fmt, ap);
	va_end(ap);
	if (rc > 0)
		n += (size_t)rc;
	if (n > sizeof(line) - 2)
		n = sizeof(line) - 2;
	/* others' words: one line stays one line, and does nothing to a terminal */
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
			line[i] = '?';
	line[n++] = '\n';
	/* one write, so that lines of several threads do not mix */
	if (write(STDERR_FILENO, line, n) < 0)
		return;
}
