// SPDX-License-Identifier: GPL-2.0-only
/*
 * opsnodes: a command that runs beside the operations, for faults. It says, a
 * line each:
 *   avoid K, use K   mount K isn't to be used now, is again; what only its
 *                    descriptors held may be lost
 *   unsure           what is answered EIO, ETIMEDOUT or ESTALE may have been
 *                    carried out, or will be
 *   hold             begin nothing
 *   unsynced         from now on fsync may fail with EIO: what was written may
 *                    be lost before it
 *   sure             what wasn't carried out by now won't be; go on
 */
#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include "opsnodes_run.h"

unsigned int hooks;
bool unsure, unsynced;

static pid_t pid;
static int fd = -1;
static char text[4096];
static size_t len;
static int64_t began;
static unsigned int next_at;

int hook_poll_fd(void)
{
	return fd;
}

bool hook_runs(void)
{
	return pid != 0;
}

int64_t hook_began(void)
{
	return began;
}

static void start(void)
{
	char number[16];
	int pipes[2];

	if (pipe2(pipes, O_CLOEXEC) < 0)
		die("opsnodes: pipe: %m");
	pid = fork();
	if (pid < 0)
		die("opsnodes: fork: %m");
	if (!pid) {
		dup2(pipes[1], 1);
		snprintf(number, sizeof(number), "%u", hooks);
		setenv("OPSNODES_HOOK", number, 1);
		execl("/bin/sh", "sh", "-c", opt.hook, NULL);
		_exit(127);
	}
	close(pipes[1]);
	fd = pipes[0];
	len = 0;
	hooks++;
}

void hook_due(void)
{
	if (!opt.hook_every || pid || done < next_at + opt.hook_every)
		return;
	began = clock_ns(CLOCK_MONOTONIC);
	start();
}

/* A node that was away has lost what only its descriptors held. */
static bool lost(unsigned int w, unsigned int s)
{
	unsigned int k;
	uint16_t in;

	for (k = 0; k < gen.ncand; k++) {
		in = cand[k]->slot[w][s].inode;
		if (in && !cand[k]->in[in].nlink)
			return true;
	}
	return false;
}

static void close_lost(unsigned int mount)
{
	static unsigned char data[DATA_MAX];
	struct deed d = { .data = data };
	unsigned int w, s;

	doubts_answered();
	for (w = 0; w < gen.workers; w++) {
		for (s = 0; s < SLOTS; s++) {
			if (mount_of(&gen, w) != mount || !lost(w, s))
				continue;
			gen_start(&gen, &d.cmd, OP_CLOSE, w);
			d.cmd.slot = s;
			send_cmd(&d.cmd);
			receive(&d.cmd, &d.res, d.data);
			d.res.err = 0;
			remember(&d, false);
			explain(&d, 1);
		}
	}
}

static void ended(void)
{
	int status;

	close(fd);
	fd = -1;
	if (waitpid(pid, &status, 0) < 0 || status || unsure) {
		failed_head();
		die("hook %u", hooks - 1);
	}
	pid = 0;
	next_at = done;
	began = clock_ns(CLOCK_MONOTONIC);
}

static void hold(void);

static void said(const char *line)
{
	unsigned int k;

	if (sscanf(line, "avoid %u", &k) == 1 && k && k <= gen.mounts) {
		gen.avoid |= 1u << (k - 1);
	} else if (sscanf(line, "use %u", &k) == 1 && k && k <= gen.mounts) {
		close_lost(k - 1);
		gen.avoid &= ~(1u << (k - 1));
	} else if (!strcmp(line, "unsure")) {
		unsure = true;
	} else if (!strcmp(line, "unsynced")) {
		unsynced = true;
	} else if (!strcmp(line, "hold")) {
		hold();
	} else if (!strcmp(line, "sure")) {
		doubts_answered();
		unsure = false;
		doubts_end();
	} else {
		die("opsnodes: the hook says '%s'", line);
	}
}

/* Reads what there is, a whole line at a time. */
static bool next_line(char *line)
{
	char *end = memchr(text, '\n', len);
	size_t n;

	if (!end)
		return false;
	n = end - text + 1;
	memcpy(line, text, n);
	line[n - 1] = '\0';
	len -= n;
	memmove(text, end + 1, len);
	return true;
}

static void read_more(void)
{
	ssize_t n = read(fd, text + len, sizeof(text) - len);

	if (n > 0)
		len += n;
	else
		ended();
}

static bool readable(int ms)
{
	struct pollfd p = { fd, POLLIN };

	return fd >= 0 && poll(&p, 1, ms) > 0;
}

void hook_hear(void)
{
	static bool within;
	char line[sizeof(text)];

	if (within)
		return;
	within = true;
	while (readable(0)) {
		read_more();
		while (next_line(line))
			said(line);
	}
	within = false;
}

static void hold(void)
{
	char line[sizeof(text)];

	doubts_answered();
	for (;;) {
		while (!next_line(line)) {
			if (fd < 0)
				die("opsnodes: the hook ended at 'hold'");
			if (readable(1000))
				read_more();
		}
		said(line);
		if (!strcmp(line, "sure"))
			return;
	}
}

void hook_finish(void)
{
	while (pid) {
		await(gen.busy, true, 1000);
		doubts_hear();
		hook_hear();
	}
}
