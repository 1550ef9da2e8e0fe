// SPDX-License-Identifier: Apache-2.0
/*
 * The old daemon's side of an upgrade. A control thread stops all namespaces;
 * from then on the stores are the other process's, until it says that it has
 * taken over, or ends: its end is the only sign that they are free again.
 */
#include <errno.h>
#include <linux/orchfs_nl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "arena.h"
#include "config.h"
#include "handover.h"
#include "log.h"
#include "notify.h"
#include "served.h"

#define TAKE_MS		20000	/* then the other one is killed */
#define QUIET_MS	30000	/* for what was asked before */
#define IDLE_MS		10000	/* for the workers */
#define ASK_MS		20000	/* for a program to be an orchd */

extern char **environ;

enum state {
	IDLE,
	STOPPING,	/* a control thread stops the namespaces */
	GIVEN,
	RESUMING,	/* until the namespaces are served again */
	TAKEN,
};

static struct {
	struct loop *loop;
	struct ctl *ctl;
	const struct config *cfg;
	void (*resume)(void *ctx);
	void *ctx;
	char exe[4096];
	struct loop_source peer;	/* a pidfd */
	uint64_t deadline;

	pthread_mutex_t lock;		/* the rest */
	pthread_cond_t changed;
	enum state state;
	pid_t pid;
	uint64_t conn;
	bool killed;			/* the other one: too late for it */
	char text[VOLUME_WHY];		/* why it was given back */
	unsigned int joins;		/* of clusters, under way */
} h = {
	.peer.fd = -1,
	.lock = PTHREAD_MUTEX_INITIALIZER,
};

static void set_state(enum state s)
{
	pthread_mutex_lock(&h.lock);
	h.state = s;
	pthread_cond_broadcast(&h.changed);
	pthread_mutex_unlock(&h.lock);
}

static enum state get_state(void)
{
	enum state s;

	pthread_mutex_lock(&h.lock);
	s = h.state;
	pthread_mutex_unlock(&h.lock);
	return s;
}

static void drop_peer(void)
{
	if (h.peer.fd < 0)
		return;
	loop_del(h.loop, &h.peer);
	close(h.peer.fd);
	h.peer.fd = -1;
}

/* The other process has ended. */
static void peer_event(struct loop_source *s, uint32_t events)
{
	(void)s;
	(void)events;
	drop_peer();
	if (get_state() != GIVEN)
		return;
	log_err(NULL, "process %d has not taken over: %s; this orchd goes on",
		h.pid, h.text[0] ? h.text : "it has ended");
	served_close_registry(false);
	set_state(RESUMING);
	h.resume(h.ctx);
}

void handover_settled(void)
{
	if (get_state() != RESUMING)
		return;
	ctl_listen(h.ctl);
	ctl_hold(h.ctl, 0);
	set_state(IDLE);
}

/* main thread: all namespaces have ended */
static void given(struct ctl_call *c)
{
	(void)c;
	ctl_deafen(h.ctl);
	h.deadline = now_ms() + TAKE_MS;
	h.peer.fn = peer_event;
	set_state(GIVEN);
	if (loop_add(h.loop, &h.peer, EPOLLIN) < 0) {
		struct pollfd p = { .fd = h.peer.fd, .events = POLLIN };

		/* never two with the stores open */
		syscall(SYS_pidfd_send_signal, h.peer.fd, SIGKILL, NULL, 0);
		while (poll(&p, 1, -1) < 0)
			;
		peer_event(&h.peer, 0);
	}
}

void handover_tick(void)
{
	pthread_mutex_lock(&h.lock);
	if (h.state == GIVEN && h.peer.fd >= 0 && !h.killed &&
	    now_ms() >= h.deadline) {
		h.killed = true;
		snprintf(h.text, sizeof(h.text), "not done within %d seconds, "
			 "so it was killed", TAKE_MS / 1000);
		syscall(SYS_pidfd_send_signal, h.peer.fd, SIGKILL, NULL, 0);
	}
	pthread_mutex_unlock(&h.lock);
}

bool handover_wanted(void)
{
	return get_state() != IDLE;
}

int handover_join_begin(void)
{
	int rc = 0;

	pthread_mutex_lock(&h.lock);
	if (h.state == IDLE)
		h.joins++;
	else
		rc = -EAGAIN;
	pthread_mutex_unlock(&h.lock);
	return rc;
}

void handover_join_end(void)
{
	pthread_mutex_lock(&h.lock);
	h.joins--;
	pthread_cond_broadcast(&h.changed);
	pthread_mutex_unlock(&h.lock);
}

bool handover_stopping(void)
{
	return get_state() == STOPPING;
}

bool handover_done(void)
{
	enum state s = get_state();

	return s == GIVEN || s == TAKEN;
}

static int check_versions(struct ctl_call *c)
{
	const Orchfs__Control__TakeOver *t = c->req->take_over;

	if (t->store_format < ns_newest_format()) {
		snprintf(c->message, sizeof(c->message), "the stores have "
			 "format %u and orchd %.20s knows up to %u: take one "
			 "that is not older than this (" ORCHD_VERSION ")",
			 ns_newest_format(), t->version, t->store_format);
		return -EPROTO;
	}
	if (t->protocol_min <= ORCHFS_PROTOCOL_VERSION &&
	    t->protocol_max >= ORCHFS_PROTOCOL_VERSION)
		return 0;
	snprintf(c->message, sizeof(c->message), "the module that is loaded "
		 "speaks version %u and orchd %.20s %u to %u: load a newer "
		 "module first", ORCHFS_PROTOCOL_VERSION, t->version, t->protocol_min,
		 t->protocol_max);
	return -EPROTO;
}

static int begin(struct ctl_call *c)
{
	int rc = 0, fd = -1;

	pthread_mutex_lock(&h.lock);
	if (h.state != IDLE || ctl_stopping(c->ctl))
		rc = -EBUSY;
	else if (c->pid <= 0)
		rc = -EPERM;
	if (!rc) {
		fd = (int)syscall(SYS_pidfd_open, c->pid, 0);
		rc = fd < 0 ? -errno : 0;
	}
	if (!rc) {
		h.peer.fd = fd;
		h.state = STOPPING;
		h.pid = c->pid;
		h.conn = c->conn;
		h.killed = false;
		h.text[0] = 0;
		ctl_hold(c->ctl, c->conn);
	}
	pthread_mutex_unlock(&h.lock);
	if (rc == -EBUSY)
		snprintf(c->message, sizeof(c->message), "another orchd is "
			 "taking over, or this one stops: try again");
	return rc;
}

/* For orchctl upgrade, which started it. */
static void note_refusal(struct ctl_call *c)
{
	pthread_mutex_lock(&h.lock);
	if (h.state == IDLE) {
		h.pid = c->pid;
		strcpy(h.text, c->message);
	}
	pthread_mutex_unlock(&h.lock);
}

/* One makes a namespace that the other daemon has to find. */
static int wait_joins(uint64_t end)
{
	struct timespec t = {
		.tv_sec = (time_t)(end / 1000),
		.tv_nsec = (long)(end % 1000) * 1000000,
	};
	int rc = 0;

	pthread_mutex_lock(&h.lock);
	while (h.joins && !rc)
		rc = -pthread_cond_timedwait(&h.changed, &h.lock, &t);
	pthread_mutex_unlock(&h.lock);
	return rc;
}

/* Requests of the kernel would have to wait for a backup, for instance. */
static int wait_quiet(struct ctl_call *c)
{
	uint64_t end = now_ms() + QUIET_MS;
	struct served *sv;
	int rc = wait_joins(end);

	for (sv = served_first(); sv && !rc; sv = served_next(sv))
		rc = served_quiet(sv, end);
	if (!rc)
		return 0;
	snprintf(c->message, sizeof(c->message), "a command that takes long is "
		 "under way, such as a backup or a join: try again when it has ended");
	return -EBUSY;
}

/* Nor can they wait for a volume that hangs. */
static int wait_idle(struct ctl_call *c)
{
	uint64_t end = now_ms() + IDLE_MS;
	struct served *sv;
	int rc = 0;

	for (sv = served_first(); sv && !rc; sv = served_next(sv))
		rc = served_pause(sv, end, c->message, sizeof(c->message));
	if (!rc)
		return 0;
	for (sv = served_first(); sv; sv = served_next(sv))
		served_resume(sv);
	return -EBUSY;
}

/* It asked at a bad moment. */
static void send_away(struct ctl_call *c)
{
	served_close_registry(false);
	pthread_mutex_lock(&h.lock);
	close(h.peer.fd);
	h.peer.fd = -1;
	h.state = IDLE;
	pthread_mutex_unlock(&h.lock);
	ctl_hold(c->ctl, 0);
	log_err(NULL, "process %d has not taken over: %s", c->pid, c->message);
	note_refusal(c);
}

/* What would have to be replayed is written out while all goes on. */
static void settle_stores(void)
{
	struct served *sv;

	for (sv = served_first(); sv; sv = served_next(sv)) {
		if (served_hold(sv) < 0)
			continue;
		store_settle(sv->st);
		served_release(sv);
	}
}

static int list_stores(struct ctl_call *c, Orchfs__Control__Handover *out)
{
	struct served *sv;
	size_t nr = 0;

	for (sv = served_first(); sv; sv = served_next(sv))
		nr++;
	out->store = arena_zalloc(c->a, (nr + 1) * sizeof(*out->store));
	if (!out->store)
		return -ENOMEM;
	for (sv = served_first(); sv && out->n_store < nr; sv = served_next(sv))
		if (served_get_state(sv, NULL, 0) != SERVED_REFUSED)
			out->store[out->n_store++] = ctl_strdup(c, sv->dir);
	return 0;
}

int ctl_take_over(struct ctl_call *c)
{
	Orchfs__Control__Handover *out = arena_zalloc(c->a, sizeof(*out));
	struct served *sv;
	int rc;

	if (!out)
		return -ENOMEM;
	orchfs__control__handover__init(out);
	rc = check_versions(c);
	if (rc < 0)
		note_refusal(c);
	if (!rc)
		rc = begin(c);
	if (rc < 0)
		return rc;
	log_info(NULL, "orchd %.20s, process %d, takes over",
		 c->req->take_over->version, c->pid);
	rc = wait_quiet(c);
	if (!rc) {
		served_close_registry(true);
		rc = list_stores(c, out);
	}
	if (!rc) {
		settle_stores();
		rc = wait_idle(c);
	}
	if (rc < 0) {
		send_away(c);
		return rc;
	}
	for (sv = served_first(); sv; sv = served_next(sv))
		served_stop(sv);
	for (sv = served_first(); sv; sv = served_next(sv))
		served_join(sv);
	c->resp.handover = out;
	ctl_give(c->ctl, c->give);
	c->after = given;
	return 0;
}

static void taken(struct ctl_call *c)
{
	drop_peer();
	ctl_given(c->ctl);
	notify_successor(c->pid);
	log_info(NULL, "process %d has taken over", c->pid);
}

static int of_taker(struct ctl_call *c)
{
	int rc;

	pthread_mutex_lock(&h.lock);
	rc = h.state == GIVEN && h.conn == c->conn && !h.killed ? 0 : -EPROTO;
	if (!rc && c->req->op_case == ORCHFS__CONTROL__REQUEST__OP_TAKEN) {
		h.state = TAKEN;
		pthread_cond_broadcast(&h.changed);
	}
	pthread_mutex_unlock(&h.lock);
	if (rc < 0)
		snprintf(c->message, sizeof(c->message), "nothing was handed "
			 "over on this connection");
	return rc;
}

int ctl_taken(struct ctl_call *c)
{
	int rc = of_taker(c);

	if (rc < 0)
		return rc;
	c->after = taken;
	c->stop = true;
	return 0;
}

/* It ends next, which is when this one goes on. */
int ctl_give_back(struct ctl_call *c)
{
	int rc = of_taker(c);

	if (rc < 0)
		return rc;
	pthread_mutex_lock(&h.lock);
	snprintf(h.text, sizeof(h.text), "%.600s", c->req->give_back->text);
	pthread_mutex_unlock(&h.lock);
	return 0;
}

/* As this one was started. Paths are absolute; who waits is not told again. */
static char **successor_argv(const char *program)
{
	char *const last[] = {
		"--takeover", "--state-dir", (char *)h.cfg->state_dir,
		"--socket", (char *)h.cfg->socket, NULL,
	};
	char **from = h.cfg->argv, **argv;
	size_t n = 0;

	while (from[n])
		n++;
	argv = calloc(n + sizeof(last) / sizeof(last[0]) + 1, sizeof(*argv));
	if (!argv)
		return NULL;
	n = 0;
	argv[n++] = (char *)program;
	while (*++from) {
		if (!strcmp(*from, "--ready-fd") && from[1])
			from++;
		else if (strncmp(*from, "--ready-fd=", 11) &&
			 strcmp(*from, "--takeover"))
			argv[n++] = *from;
	}
	memcpy(&argv[n], last, sizeof(last));
	return argv;
}

static int spawn(const char *program, pid_t *pid)
{
	char **argv = successor_argv(program);
	posix_spawnattr_t attr;
	sigset_t none;
	int rc;

	if (!argv)
		return -ENOMEM;
	sigemptyset(&none);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
	rc = posix_spawn(pid, program, NULL, &attr, argv, environ);
	posix_spawnattr_destroy(&attr);
	free(argv);
	return -rc;
}

/*
 * What doesn't ask to take over is no orchd, and is killed.
 * Return: 0 it, or another, has taken over, 1 it has ended.
 */
static int upgrade_wait(pid_t pid, int *status, pid_t *taker, bool *mute)
{
	uint64_t end = now_ms() + ASK_MS;
	struct timespec t;
	bool ended = false;
	int rc = -1;

	pthread_mutex_lock(&h.lock);
	while (rc < 0) {
		if (!ended && waitpid(pid, status, WNOHANG))
			ended = true;
		if (!ended && h.state == IDLE && h.pid != pid &&
		    now_ms() >= end) {
			*mute = true;
			kill(pid, SIGKILL);
		}
		*taker = h.pid;
		if (h.state == TAKEN)
			rc = 0;
		else if (ended && (h.pid != pid || h.state == IDLE))
			rc = 1;
		if (rc >= 0)
			break;
		clock_gettime(CLOCK_MONOTONIC, &t);
		t.tv_nsec += 100000000;
		if (t.tv_nsec >= 1000000000) {
			t.tv_sec++;
			t.tv_nsec -= 1000000000;
		}
		pthread_cond_timedwait(&h.changed, &h.lock, &t);
	}
	pthread_mutex_unlock(&h.lock);
	return rc;
}

int ctl_upgrade(struct ctl_call *c)
{
	const char *program = c->req->upgrade->program;
	char how[64];
	int rc, status = 0;
	pid_t pid, taker;
	const char *why;
	bool mute = false;

	if (!*program)
		program = h.exe;
	rc = spawn(program, &pid);
	if (rc < 0) {
		snprintf(c->message, sizeof(c->message), "cannot run %.300s: "
			 "%s: this orchd goes on", program, strerror(-rc));
		return rc;
	}
	rc = upgrade_wait(pid, &status, &taker, &mute);
	if (!rc) {
		c->resp.pid = (uint64_t)taker;
		return 0;
	}
	if (WIFSIGNALED(status))
		snprintf(how, sizeof(how), "signal %d", WTERMSIG(status));
	else
		snprintf(how, sizeof(how), "exit status %d",
			 WEXITSTATUS(status));
	pthread_mutex_lock(&h.lock);
	why = h.pid == pid && h.text[0] ? h.text : "it has ended";
	if (mute)
		why = "it did not ask to, so it was killed";
	snprintf(c->message, sizeof(c->message), "%.200s has not taken over: "
		 "%.300s (%s). This orchd goes on; see the log", program, why,
		 how);
	pthread_mutex_unlock(&h.lock);
	return -ECANCELED;
}

void handover_init(struct loop *loop, struct ctl *ctl,
		   const struct config *cfg, void (*resume)(void *ctx),
		   void *ctx)
{
	pthread_condattr_t a;
	ssize_t n;

	h.loop = loop;
	h.ctl = ctl;
	h.cfg = cfg;
	h.resume = resume;
	h.ctx = ctx;
	/* now: a file that was replaced can't be found by it any more */
	n = readlink("/proc/self/exe", h.exe, sizeof(h.exe) - 1);
	h.exe[n < 0 ? 0 : n] = 0;
	pthread_condattr_init(&a);
	pthread_condattr_setclock(&a, CLOCK_MONOTONIC);
	pthread_cond_init(&h.changed, &a);
	pthread_condattr_destroy(&a);
}
