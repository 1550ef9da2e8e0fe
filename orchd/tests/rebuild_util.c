// SPDX-License-Identifier: Apache-2.0
#include "rebuild_util.h"

#include "arena.h"
#include "ctl.h"
#include "fault.h"
#include "log.h"

#define FILES	64

static const uint8_t uuid[16] = "namespace-uuid--";

char dir[256];
char report[16384];
struct world now;

char *sub(const char *name)
{
	static char path[4][512];
	static int turn;
	char *p = path[turn++ % 4];

	snprintf(p, sizeof(path[0]), "%.200s/%.300s", dir, name);
	return p;
}

static int op_take(void *ctx, uint32_t origin, struct ns_backing *out)
{
	(void)ctx;
	(void)origin;
	*out = (struct ns_backing){ .ino = now.ino++, .volume = now.next,
				    .instance = now.instance++ };
	assert_int_equal(backing_create(now.v[out->volume], out->ino, 1,
					out->instance), 0);
	return 0;
}

static void op_put_back(void *ctx, const struct ns_backing *b)
{
	(void)ctx;
	(void)b;
}

static int op_stat(void *ctx, uint32_t volume, uint64_t ino, uint64_t version,
		   uint64_t instance, struct ns_backing_stat *out)
{
	(void)ctx;
	return volume_stat(now.v[volume], ino, version, instance, out);
}

static const struct ns_backing_ops ops = {
	.take = op_take,
	.put_back = op_put_back,
	.stat = op_stat,
};

static struct volume *make_volume(uint32_t id)
{
	struct ns_volume r = { .id = id, .tier = id };
	struct marker m = { .volume = id, .durable_txn = 1000000, .epoch = 7 };
	char why[VOLUME_WHY] = "";
	struct volume *v;

	snprintf(r.name, sizeof(r.name), "v%u", id);
	snprintf(r.path, sizeof(r.path), "%.400s/%s", dir, r.name);
	memset(r.uuid, (int)id, 16);
	memcpy(m.ns_uuid, uuid, 16);
	strcpy(m.ns_name, "t");
	memcpy(m.volume_uuid, r.uuid, 16);
	assert_int_equal(volume_make(r.path, &m, why), 0);
	assert_int_equal(ns_volume_put(now.ns, &r), 0);
	v = volume_new(&r);
	assert_non_null(v);
	assert_int_equal(volume_open(v, uuid), 0);
	return v;
}

void open_store(const char *name, bool create)
{
	struct store_opts o = { .create = create };

	if (create)
		mkdir(sub(name), 0700);
	assert_int_equal(store_open("rocksdb", sub(name), &o, &now.st, NULL),
			 0);
	if (create)
		assert_int_equal(ns_format(now.st, "t", uuid), 0);
	assert_int_equal(ns_open(now.st, &ops, NULL, "boot", &now.ns, NULL),
			 0);
}

void close_store(void)
{
	assert_int_equal(ns_close(now.ns), 0);
	store_close(now.st);
	now.ns = NULL;
	now.st = NULL;
}

int setup(void **state)
{
	(void)state;
	log_init(LOG_CRIT);
	strcpy(dir, "/var/tmp/orchd-rebuild-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	setenv("ORCHD_FAULT", "any-fs", 1);
	fault_init();
	open_store("t", true);
	now.v[1] = make_volume(1);
	now.v[2] = make_volume(2);
	now.next = 1;
	assert_int_equal(ns_reserve(now.ns, "ino", FILES, &now.ino), 0);
	assert_int_equal(ns_reserve(now.ns, "instance", FILES, &now.instance),
			 0);
	return 0;
}

int teardown(void **state)
{
	(void)state;
	if (now.ns)
		close_store();
	volume_put(now.v[1]);
	volume_put(now.v[2]);
	remove_tree(dir);
	return 0;
}

struct op_reply execute(struct op_req rq)
{
	struct op_reply rep = { .arena = arena_new() };

	rq.now = (struct orchfs_time){ .sec = 1000, .nsec = 5 };
	ns_execute(now.ns, &rq, &rep);
	arena_free(rep.arena);
	return rep;
}

struct op_req request(uint32_t kind, uint64_t node, const char *name)
{
	return (struct op_req){
		.kind = kind, .node = node,
		.name = { .s = name, .len = strlen(name) },
	};
}

uint64_t create(uint64_t parent, const char *name, uint32_t mode)
{
	struct op_req rq = request(ORCHFS_KIND_CREATE, parent, name);
	struct op_reply rep;

	rq.mode = mode;
	rep = execute(rq);
	assert_int_equal(rep.status, 0);
	return rep.attr.ino;
}

uint64_t lookup(uint64_t parent, const char *name)
{
	struct op_reply rep = execute(request(ORCHFS_KIND_LOOKUP, parent,
					      name));

	return rep.status ? 0 : rep.attr.ino;
}

char *backing(uint32_t volume, uint64_t ino, uint64_t instance)
{
	char path[BACKING_PATH_MAX], name[512];

	backing_path(path, ino, 1, instance);
	snprintf(name, sizeof(name), "v%u/%s", volume, path);
	return sub(name);
}

uint64_t instance_of(uint64_t ino, uint32_t *volume)
{
	struct ns_instance *list;
	uint64_t version, generation, instance;
	size_t nr;

	assert_int_equal(ns_where(now.ns, ino, &version, &generation, &list,
				  &nr), 0);
	assert_int_equal(nr, 1);
	instance = list[0].instance;
	*volume = list[0].volume;
	free(list);
	return instance;
}

uint64_t make_file(uint64_t parent, const char *name, const char *text)
{
	uint64_t ino = create(parent, name, S_IFREG | 0640), instance;
	uint32_t volume;
	FILE *f;

	instance = instance_of(ino, &volume);
	f = fopen(backing(volume, ino, instance), "w");
	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(ns_settle(now.ns, ino), 0);
	return ino;
}

void export_to(uint32_t volume)
{
	struct backup_stats stats;
	int fd;

	fd = export_write(now.v[volume]->root_fd, now.st, -1, 0, NULL, NULL,
			  &stats);
	assert_true(fd >= 0);
	assert_true(stats.seq == ns_txn(now.ns));
	close(fd);
}

int rebuild(struct rebuild_opts o, char *why)
{
	char *const both[] = { sub("v1"), sub("v2") };
	char out[300];
	int saved, fd, rc;
	ssize_t n;

	o.name = o.name ? o.name : "t";
	o.store = o.store ? o.store : sub("new");
	o.json = true;
	if (!o.paths) {
		o.paths = both;
		o.nr_paths = 2;
	}
	snprintf(out, sizeof(out), "%s/out", dir);
	fflush(stdout);
	saved = dup(1);
	fd = open(out, O_RDWR | O_CREAT | O_TRUNC, 0600);
	dup2(fd, 1);
	rc = rebuild_run(&o, why);
	fflush(stdout);
	dup2(saved, 1);
	close(saved);
	n = pread(fd, report, sizeof(report) - 1, 0);
	report[n < 0 ? 0 : n] = 0;
	close(fd);
	return rc;
}

void rebuilt(void)
{
	char why[VOLUME_WHY] = "";
	struct rebuild_opts o = { 0 };

	if (rebuild(o, why))
		fail_msg("%s", why);
	open_store("new", false);
}

void told(const char *name, unsigned int n)
{
	char text[64];

	snprintf(text, sizeof(text), "\"%s\": %u", name, n);
	if (!strstr(report, text))
		fail_msg("no %s in %s", text, report);
}

char *rows(char table)
{
	struct store_key lo = { &table, 1 }, hi;
	char end = (char)(table + 1), *out = NULL;
	struct store_iter *it;
	size_t len = 0;
	FILE *f = open_memstream(&out, &len);

	hi = (struct store_key){ &end, 1 };
	it = store_scan(now.st, NULL, lo, hi);
	for (; store_iter_valid(it); store_iter_next(it)) {
		struct store_key k = store_iter_key(it);
		struct store_key v = store_iter_value(it);

		for (size_t i = 0; i < k.len; i++)
			fprintf(f, "%02x", ((const uint8_t *)k.p)[i]);
		fputc(' ', f);
		for (size_t i = 0; i < v.len; i++)
			fprintf(f, "%02x", ((const uint8_t *)v.p)[i]);
		fputc('\n', f);
	}
	store_iter_free(it);
	fclose(f);
	return out;
}

void move_away(uint64_t ino, uint64_t from, uint64_t to)
{
	assert_int_equal(backing_create(now.v[2], ino, 1, to), 0);
	assert_int_equal(rename(backing(1, ino, from), backing(2, ino, to)),
			 0);
}

void make_part(uint32_t volume, uint64_t ino, uint64_t instance, off_t size)
{
	int fd = backing_begin(now.v[volume], ino, 1, instance);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, size), 0);
	close(fd);
}
