// SPDX-License-Identifier: Apache-2.0
/* Copies of another node's files: what arrives, and where it breaks. */
#include "pdu_util.h"

#include <sys/stat.h>

#include "copy.h"
#include "fault.h"
#include "ctl.h"
#include "volume.h"

#define HOLES	(LENGTH / 4096 / 5 * 4096)

static struct {
	char dir[256];
	struct volume *v;
	struct copy_pace pace;
	struct copy_batch b;
	struct copy_file f[3];
} c;

static int setup(void **state)
{
	struct marker m = { .volume = 1 };
	struct ns_volume r = { .id = 1, .name = "v" };
	char why[VOLUME_WHY] = "";

	strcpy(c.dir, "/var/tmp/orchd-copy-XXXXXX");
	if (!mkdtemp(c.dir))
		return -1;
	setenv("ORCHD_FAULT", "any-fs", 1);
	fault_init();
	snprintf(r.path, sizeof(r.path), "%s/v", c.dir);
	memset(r.uuid, 7, 16);
	memcpy(m.ns_uuid, uuid, 16);
	memcpy(m.volume_uuid, r.uuid, 16);
	strcpy(m.ns_name, "t");
	assert_int_equal(volume_make(r.path, &m, why), 0);
	c.v = volume_new(&r);
	assert_int_equal(volume_open(c.v, uuid), 0);
	copy_pace_init(&c.pace);
	return server_setup(state);
}

static int teardown(void **state)
{
	server_teardown(state);
	copy_pace_destroy(&c.pace);
	volume_put(c.v);
	remove_tree(c.dir);
	return 0;
}

static void begin(size_t nr, uint64_t rate)
{
	struct copy_peer *p = &c.b.net.peer[0];

	memset(&c.b, 0, sizeof(c.b));
	c.b.pace = &c.pace;
	c.b.to = c.v;
	c.b.rate = rate;
	c.b.nr = nr;
	for (size_t i = 0; i < nr; i++) {
		copy_file_init(&c.f[i]);
		c.f[i].ino = 100 + i;
		c.f[i].version = 1;
		c.f[i].from = 5;
		c.f[i].to = 6;
		c.f[i].node = 1;
		c.f[i].owner.uid = getuid();
		c.f[i].owner.gid = getgid();
		c.b.file[i] = &c.f[i];
	}
	c.b.net.tls = w.client.set.tls;
	memcpy(c.b.net.uuid, uuid, 16);
	c.b.net.self = 2;
	c.b.net.nr = 1;
	p->node = 1;
	address_text(&w.address, p->address);
}

static void whole(size_t i)
{
	char *buf = malloc(LENGTH);
	struct stat st;
	int fd = backing_open(c.v, 100 + i, 1, 6);

	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size, LENGTH);
	assert_int_equal(st.st_mode & 07777, BACKING_MODE);
	assert_int_equal(st.st_mtim.tv_sec, -3);
	assert_int_equal(st.st_mtim.tv_nsec, 7);
	assert_true(st.st_blocks * 512 <= LENGTH - HOLES + 65536);
	assert_int_equal(c.f[i].blocks, st.st_blocks);
	assert_int_equal(c.f[i].size, LENGTH);
	assert_int_equal(pread(fd, buf, LENGTH, 0), LENGTH);
	for (size_t at = 0; at < LENGTH; at++)
		if (buf[at] != byte_at(at))
			fail_msg("byte %zu", at);
	free(buf);
	close(fd);
}

static void run(void)
{
	for (size_t i = 0; i < c.b.nr; i++)
		backing_unlink(c.v, 100 + i, 1, 6);
	copy_run(&c.b);
	c.b.net.tls = NULL;
}

static void test_whole(void **state)
{
	(void)state;
	begin(2, 0);
	run();
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(c.f[i].rc, 0);
		whole(i);
	}
	/* by one connection */
	assert_int_equal(atomic_load(&s.given), 1);
	assert_int_equal(atomic_load(&c.b.reading), 2 * LENGTH);
}

/* It goes on where it was. */
static void test_broken(void **state)
{
	(void)state;
	s.fault = F_BREAK;
	s.once = true;
	s.after = 9;
	begin(1, 0);
	run();
	assert_int_equal(c.f[0].rc, 0);
	whole(0);
	assert_int_equal(atomic_load(&s.given), 2);
	assert_in_range(atomic_load(&c.b.reading), LENGTH, LENGTH);
}

static void test_changed(void **state)
{
	(void)state;
	/* cut while it is read; another one of the batch is none the worse */
	s.fault = F_SHORT;
	s.once = true;
	s.after = 9;
	begin(2, 0);
	run();
	assert_int_equal(c.f[0].rc, -ESTALE);
	assert_false(c.f[0].fatal);
	assert_int_equal(c.f[1].rc, 0);
	whole(1);
	/* written after it was read */
	s.fault = F_WRITTEN;
	s.once = false;
	begin(1, 0);
	run();
	assert_int_equal(c.f[0].rc, -ESTALE);
}

static void test_error(void **state)
{
	struct stat st;

	(void)state;
	s.fault = F_EIO;
	s.after = 3;
	begin(1, 0);
	run();
	assert_int_equal(c.f[0].rc, -EIO);
	assert_false(c.f[0].fatal);
	/* not whole, and it shows */
	assert_int_equal(fstatat(c.v->root_fd, "data/00/64.1.6", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0);
}

static void *stop_it(void *arg)
{
	(void)arg;
	while (!atomic_load(&c.b.reading))
		sched_yield();
	copy_stop(&c.pace, &c.b.stop);
	return NULL;
}

static void test_stopped(void **state)
{
	pthread_t t;

	(void)state;
	begin(2, 1 << 20);	/* it would take 20 s */
	assert_int_equal(pthread_create(&t, NULL, stop_it, NULL), 0);
	run();
	pthread_join(t, NULL);
	assert_int_equal(c.f[0].rc, -ECANCELED);
	assert_int_equal(c.f[1].rc, -ECANCELED);
}

static void *renew(void *arg)
{
	static const uint8_t token[ORCHFS_TOKEN_LEN] = "new";

	(void)arg;
	while (!atomic_load(&s.refused))
		sched_yield();
	s.fault = F_NONE;
	copy_token(&c.pace, &c.f[0], token);
	return NULL;
}

/* The token is over; there will be another one. */
static void test_renewed(void **state)
{
	pthread_t t;

	(void)state;
	s.fault = F_TOKEN;
	begin(1, 0);
	assert_int_equal(pthread_create(&t, NULL, renew, NULL), 0);
	run();
	pthread_join(t, NULL);
	assert_int_equal(c.f[0].rc, 0);
	whole(0);
	assert_memory_equal(s.token, "new", 3);
}

/* The server was started again: it knows the token, or it doesn't. */
static void test_restarted(void **state)
{
	(void)state;
	s.fault = F_HANDLE;
	s.once = true;
	s.after = 9;
	begin(1, 0);
	run();
	assert_int_equal(c.f[0].rc, 0);
	whole(0);
	s.fault = F_KEY;
	s.once = false;
	begin(1, 0);
	run();
	assert_int_equal(c.f[0].rc, -EHOSTDOWN);
	assert_false(c.f[0].fatal);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_whole),
		TEST(test_broken),
		TEST(test_changed),
		TEST(test_error),
		TEST(test_stopped),
		TEST(test_renewed),
		TEST(test_restarted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
