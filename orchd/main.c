// SPDX-License-Identifier: Apache-2.0
/* orchd: an index of its parts. The main thread's loop: Documentation/daemon.md */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backup.h"
#include "cluster.h"
#include "config.h"
#include "copy.h"
#include "ctl.h"
#include "data.h"
#include "fault.h"
#include "handover.h"
#include "log.h"
#include "memory.h"
#include "notify.h"
#include "rebuild.h"
#include "served.h"

struct daemon {
	struct loop loop;
	struct loop_source signals, timer, queue_source;
	struct work_queue queue;	/* namespaces that have settled */
	struct ctl *ctl;
	const struct config *cfg;
	struct takeover takeover;
	bool taking;		/* over from another daemon */
	bool stop, failed;
};

static struct daemon daemon_state;

/* All stores are open, or not: that decides which daemon goes on. */
static void taken_over(struct daemon *d)
{
	char why[VOLUME_WHY] = "";
	int rc;

	if (d->stop)
		return;		/* given back, or told to end */
	if (takeover_lacks(&d->takeover, why)) {
		log_err(NULL, "%s: the other orchd goes on", why);
		takeover_end(&d->takeover, why);
		d->stop = d->failed = true;
		return;
	}
	fault_point("before-taken");
	if (fault_hit("hang-taken"))
		pause();
	d->taking = false;
	rc = takeover_end(&d->takeover, NULL);
	if (rc < 0)
		log_warn(NULL, "telling the other orchd: %s", strerror(-rc));
	served_release_all();
	ctl_listen(d->ctl);
}

static void report_ready(void)
{
	unsigned int serving = 0, problems = 0;
	struct served *sv;

	for (sv = served_first(); sv; sv = served_next(sv)) {
		if (!served_settled(sv))
			return;
		switch (served_get_state(sv, NULL, 0)) {
		case SERVED_SERVING:
		case SERVED_AGENT:
			serving++;
			break;
		default:
			problems++;
		}
	}
	if (daemon_state.taking) {
		taken_over(&daemon_state);
		return;
	}
	handover_settled();
	notify_ready(serving, problems);
}

static void settled_run(struct work *w)
{
	(void)w;
	report_ready();
}

static void stop_request(void *ctx)
{
	((struct daemon *)ctx)->stop = true;
}

static void signal_event(struct loop_source *s, uint32_t events)
{
	struct signalfd_siginfo si;

	(void)events;
	if (read(s->fd, &si, sizeof(si)) == sizeof(si)) {
		log_info(NULL, "stopping: signal %u", si.ssi_signo);
		/* a service manager's, which may start the next one */
		if (si.ssi_signo == SIGTERM)
			data_keep(true);
		daemon_state.stop = true;
	}
}

static void timer_event(struct loop_source *s, uint32_t events)
{
	(void)events;
	loop_timer_read(s->fd);
	ctl_tick(daemon_state.ctl);
	handover_tick();
	if (!handover_done())
		report_ready();
}

static void queue_event(struct loop_source *s, uint32_t events)
{
	(void)s;
	(void)events;
	work_run(&daemon_state.queue);
}

/* Best effort: a machine that grants less still works. */
static void hygiene(void)
{
	struct rlimit r;
	int fd;

	umask(077);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGCHLD, SIG_DFL);
	if (!getrlimit(RLIMIT_NOFILE, &r)) {
		r.rlim_max = r.rlim_max < 65536 ? 65536 : r.rlim_max;
		r.rlim_cur = r.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &r) < 0) {
			getrlimit(RLIMIT_NOFILE, &r);
			r.rlim_cur = r.rlim_max;
			setrlimit(RLIMIT_NOFILE, &r);
		}
	}
	r.rlim_cur = r.rlim_max = RLIM_INFINITY;
	setrlimit(RLIMIT_MEMLOCK, &r);
	if (mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) < 0)
		log_info(NULL, "cannot lock memory: %s", strerror(errno));
	if (prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0) < 0)
		log_info(NULL, "cannot become an I/O flusher: %s",
			 strerror(errno));
	fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	if (fd >= 0) {
		if (write(fd, "-900", 4) < 0)
			log_info(NULL, "cannot lower the OOM score: %s",
				 strerror(errno));
		close(fd);
	}
}

static int watch_signals(struct daemon *d)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	d->signals.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (d->signals.fd < 0)
		return -errno;
	d->signals.fn = signal_event;
	return loop_add(&d->loop, &d->signals, EPOLLIN);
}

static int watch_rest(struct daemon *d)
{
	int rc;

	d->timer.fd = loop_timer(1000);
	if (d->timer.fd < 0)
		return d->timer.fd;
	d->timer.fn = timer_event;
	rc = loop_add(&d->loop, &d->timer, EPOLLIN);
	if (rc < 0)
		return rc;
	rc = work_queue_init(&d->queue);
	if (rc < 0)
		return rc;
	served_on_settled(&d->queue, settled_run);
	d->queue_source.fd = d->queue.efd;
	d->queue_source.fn = queue_event;
	return loop_add(&d->loop, &d->queue_source, EPOLLIN);
}

/* What lies beside the database tells a store that has lost it. */
static bool is_store(const char *dir)
{
	char db[PATH_MAX + 8], synced[PATH_MAX + 8];

	snprintf(db, sizeof(db), "%s/db", dir);
	snprintf(synced, sizeof(synced), "%s/synced", dir);
	return !access(db, F_OK) || !access(synced, F_OK);
}

static int serve_one(const char *dir)
{
	char real[PATH_MAX];
	struct served *sv;

	if (!realpath(dir, real))
		return -errno;
	sv = served_find_dir(real);
	if ((!is_store(real) && !cluster_is_agent(real)) ||
	    (sv && served_get_state(sv, NULL, 0) != SERVED_REFUSED))
		return 0;
	return served_begin(real, &sv);
}

static int serve_all(const char *state_dir)
{
	char path[PATH_MAX];
	struct dirent *e;
	DIR *d;
	int rc;

	if (mkdir(state_dir, 0700) < 0 && errno != EEXIST)
		log_warn(NULL, "cannot make %s: %s", state_dir,
			 strerror(errno));
	d = opendir(state_dir);
	if (!d) {
		log_err(NULL, "state directory %s: %s: give --state-dir",
			state_dir, strerror(errno));
		return -errno;
	}
	while ((e = readdir(d))) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%.3800s/%s", state_dir,
			 e->d_name);
		rc = serve_one(path);
		if (rc < 0)
			log_err(NULL, "%s: %s", path, strerror(-rc));
	}
	closedir(d);
	return 0;
}

static void stop_all(struct daemon *d)
{
	struct served *sv, *next;

	while (handover_stopping() && loop_turn(&d->loop, -1) >= 0)
		;
	if (handover_done() || d->taking)
		ctl_given(d->ctl);
	else
		notify_stopping();
	ctl_stop(d->ctl);
	served_close_registry(true);
	for (sv = served_first(); sv; sv = served_next(sv))
		served_stop(sv);
	for (sv = served_first(); sv; sv = served_next(sv))
		served_join(sv);
	while (ctl_active(d->ctl) && loop_turn(&d->loop, -1) >= 0)
		;
	ctl_free(d->ctl);
	for (sv = served_first(); sv; sv = next) {
		next = sv->next;
		served_free(sv);
	}
	work_queue_destroy(&d->queue);
	loop_destroy(&d->loop);
}

static const char *absolute(const char *path, const char *cwd, char *out)
{
	if (path[0] == '/')
		return path;
	snprintf(out, PATH_MAX, "%.2000s/%.2000s", cwd, path);
	return out;
}

/* It may have been started in a directory of its own mount. */
static int leave_cwd(struct config *cfg)
{
	static char cwd[PATH_MAX], state[PATH_MAX], sock[PATH_MAX];

	if ((cfg->state_dir[0] != '/' || cfg->socket[0] != '/') &&
	    !getcwd(cwd, sizeof(cwd)))
		return -errno;
	cfg->state_dir = absolute(cfg->state_dir, cwd, state);
	cfg->socket = absolute(cfg->socket, cwd, sock);
	return chdir("/") < 0 ? -errno : 0;
}

static void serve_again(void *ctx)
{
	struct daemon *d = ctx;

	if (!d->stop)
		serve_all(d->cfg->state_dir);
}

static int take_over(struct daemon *d, struct ctl_config *c, char *why)
{
	int rc = takeover_begin(&d->takeover, c->path, why);

	if (rc < 0)
		return rc;
	d->taking = true;
	c->given = true;
	c->listen_fd = d->takeover.fds[0];
	c->lock_fd = d->takeover.fds[1];
	served_hold_back();
	return 0;
}

static int serve(struct config *cfg)
{
	struct daemon *d = &daemon_state;
	struct ctl_config c = { .stop = stop_request, .ctx = d };
	char why[VOLUME_WHY] = "";
	int rc;

	rc = leave_cwd(cfg);
	if (rc < 0) {
		log_err(NULL, "current directory: %s", strerror(-rc));
		return 1;
	}
	c.path = cfg->socket;
	c.state_dir = cfg->state_dir;
	hygiene();
	notify_init(cfg->ready_fd);
	rc = loop_init(&d->loop);
	if (!rc)
		rc = watch_signals(d);
	if (!rc)
		rc = watch_rest(d);
	if (!rc && cfg->takeover)
		rc = take_over(d, &c, why);
	if (!rc)
		rc = ctl_start(&d->loop, &c, &d->ctl, why);
	if (rc < 0) {
		log_err(NULL, "%s", *why ? why : strerror(-rc));
		return 1;
	}
	d->cfg = cfg;
	handover_init(&d->loop, d->ctl, cfg, serve_again, d);
	log_info(NULL, "version " ORCHD_VERSION ", control socket %s",
		 cfg->socket);
	rc = serve_all(cfg->state_dir);
	if (!rc)
		report_ready();
	while (!rc && !d->stop) {
		rc = loop_turn(&d->loop, -1);
		rc = rc > 0 ? 0 : rc;
	}
	stop_all(d);
	log_info(NULL, "stopped");
	return rc < 0 || d->failed ? 1 : 0;
}

static int init_format(struct store *st, const char *name)
{
	uint8_t uuid[16];
	int rc;

	if (getrandom(uuid, sizeof(uuid), 0) != sizeof(uuid))
		return -EIO;
	uuid[6] = (uuid[6] & 0x0f) | 0x40;
	uuid[8] = (uuid[8] & 0x3f) | 0x80;
	rc = ns_format(st, name, uuid);
	return rc < 0 ? rc : store_barrier(st);
}

static int init(const struct config *cfg)
{
	struct store_opts o = { .create = true };
	const char *why = NULL;
	struct store *st;
	int rc;

	umask(077);
	if (mkdir(cfg->store, 0700) < 0 && errno != EEXIST) {
		log_err(NULL, "cannot make %s: %s", cfg->store,
			strerror(errno));
		return 1;
	}
	rc = store_open(cfg->engine, cfg->store, &o, &st, &why);
	if (rc == -EEXIST) {
		log_err(NULL, "there is a store in %s already: choose another "
			"directory, or serve that one with orchd",
			cfg->store);
		return 1;
	}
	if (!rc) {
		rc = init_format(st, cfg->name);
		store_close(st);
	}
	if (rc < 0) {
		log_err(NULL, "cannot make the store %s: %s", cfg->store,
			why ? why : strerror(-rc));
		return 1;
	}
	printf("namespace %s: store %s\n", cfg->name, cfg->store);
	return 0;
}

static int restore(const struct config *cfg)
{
	char why[VOLUME_WHY] = "";
	int rc;

	umask(077);
	rc = backup_restore(STDIN_FILENO, cfg->name, cfg->store, why);
	if (rc < 0) {
		log_err(NULL, "%s", *why ? why : strerror(-rc));
		return 1;
	}
	printf("namespace %s: restored to %s\n", cfg->name, cfg->store);
	return 0;
}

static int rebuild(const struct config *cfg)
{
	const struct rebuild_opts o = {
		.name = cfg->name,
		.store = cfg->store,
		.paths = cfg->paths,
		.nr_paths = cfg->nr_paths,
		.dry_run = cfg->dry_run,
		.partial = cfg->partial,
		.json = cfg->json,
	};
	char why[VOLUME_WHY] = "";
	int rc;

	umask(077);
	rc = rebuild_run(&o, why);
	if (!rc)
		return 0;
	log_err(NULL, "%s", *why ? why : strerror(-rc));
	return 1;
}

int main(int argc, char **argv)
{
	char why[256] = "";
	struct config cfg;

	if (config_parse(argc, argv, &cfg, why, sizeof(why)) < 0) {
		log_err(NULL, "%s", why);
		return 2;
	}
	log_init(cfg.log_level);
	copy_set_rate(cfg.move_rate);
	memory_configure(cfg.memory);
	fault_init();
	if (fault_enabled("newer-format"))
		ns_set_newest_format(ns_newest_format() + 1);
	switch (cfg.mode) {
	case CONFIG_HELP:
		config_usage();
		return 0;
	case CONFIG_VERSION:
		printf("orchd " ORCHD_VERSION "\n");
		return 0;
	case CONFIG_INIT:
		return init(&cfg);
	case CONFIG_RESTORE:
		return restore(&cfg);
	case CONFIG_REBUILD:
		return rebuild(&cfg);
	case CONFIG_SERVE:
		break;
	}
	return serve(&cfg);
}
