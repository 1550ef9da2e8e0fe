// SPDX-License-Identifier: Apache-2.0
#include <stdbool.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "log.h"
#include "notify.h"

static int ready_fd = -1;
static bool told;

void notify_init(int fd)
{
	ready_fd = fd;
	told = false;
}

void notify_ready(unsigned int serving, unsigned int problems)
{
	static const char text[] = "READY=1\n";

	sd_notifyf(0, "%sSTATUS=%u namespaces served, %u with a problem",
		   told ? "" : "READY=1\n", serving, problems);
	if (told)
		return;
	told = true;
	if (ready_fd < 0)
		return;
	if (write(ready_fd, text, sizeof(text) - 1) < 0)
		log_warn(NULL, "--ready-fd %d: cannot write: %m", ready_fd);
	close(ready_fd);
	ready_fd = -1;
}

void notify_stopping(void)
{
	sd_notify(0, "STOPPING=1\nSTATUS=stopping");
}

void notify_successor(pid_t pid)
{
	sd_notifyf(0, "MAINPID=%ld", (long)pid);
}
