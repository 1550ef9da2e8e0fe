// SPDX-License-Identifier: Apache-2.0
/* The control socket, used and abused. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "ctl.h"
#include "log.h"
#include "served.h"

static char dir[64], path[100];
static struct loop loop;
static struct ctl *ctl;
static pthread_t thread;
static atomic_bool stop, stop_asked;

static void on_stop(void *ctx)
{
	(void)ctx;
	atomic_store(&stop_asked, true);
}

static void *server(void *arg)
{
	(void)arg;
	while (!atomic_load(&stop)) {
		loop_turn(&loop, 20);
		ctl_tick(ctl);
	}
	while (ctl_active(ctl))
		loop_turn(&loop, 20);
	return NULL;
}

static int setup(void **state)
{
	struct ctl_config c = {
		.path = path, .state_dir = dir, .stop = on_stop,
		.frame_ms = 200,
	};
	char why[VOLUME_WHY] = "";

	(void)state;
	log_init(LOG_ERR);
	strcpy(dir, "/tmp/orchd-ctl-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/control", dir);
	loop_init(&loop);
	if (ctl_start(&loop, &c, &ctl, why) < 0)
		return -1;
	return thread_start(&thread, "server", server, NULL);
}

static int teardown(void **state)
{
	(void)state;
	atomic_store(&stop, true);
	pthread_join(thread, NULL);
	ctl_free(ctl);
	loop_destroy(&loop);
	remove_tree(dir);
	return 0;
}

static int dial(void)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(a.sun_path, path);
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0) {
		close(fd);
		return -errno;
	}
	return fd;
}

static bool read_all(int fd, void *p, size_t len)
{
	struct pollfd pf = { .fd = fd, .events = POLLIN };
	uint8_t *b = p;

	while (len) {
		ssize_t n;

		if (poll(&pf, 1, 20000) <= 0)
			return false;
		n = read(fd, b, len);
		if (n <= 0)
			return false;
		b += n;
		len -= (size_t)n;
	}
	return true;
}

/* Status of the response, 1 when the connection just ended. */
static int answer(int fd)
{
	Orchfs__Control__Response *r;
	uint8_t head[4], *buf;
	int len, status;

	if (!read_all(fd, head, 4))
		return 1;
	len = ctl_frame_length(head);
	assert_true(len >= 0);
	buf = malloc((size_t)len + 1);
	assert_true(read_all(fd, buf, (size_t)len));
	r = orchfs__control__response__unpack(NULL, (size_t)len, buf);
	assert_non_null(r);
	assert_true(r->last);
	status = r->status;
	if (status)
		assert_true(r->message[0]);
	orchfs__control__response__free_unpacked(r, NULL);
	free(buf);
	return status;
}

static void send_frame(int fd, const void *p, size_t len)
{
	uint8_t head[4];

	for (int i = 0; i < 4; i++)
		head[i] = len >> 8 * i & 0xff;
	assert_int_equal(send(fd, head, 4, MSG_NOSIGNAL), 4);
	if (len)
		assert_int_equal(send(fd, p, len, MSG_NOSIGNAL), len);
}

static void send_request(int fd, Orchfs__Control__Request *r)
{
	uint8_t buf[512];

	r->version = r->version ? r->version : 1;
	send_frame(fd, buf, orchfs__control__request__pack(r, buf));
}

static int status_request(int fd)
{
	Orchfs__Control__Request r = ORCHFS__CONTROL__REQUEST__INIT;
	Orchfs__Control__Empty e = ORCHFS__CONTROL__EMPTY__INIT;

	r.op_case = ORCHFS__CONTROL__REQUEST__OP_STATUS;
	r.status = &e;
	send_request(fd, &r);
	return answer(fd);
}

static void alive(void)
{
	int fd = dial();

	assert_true(fd >= 0);
	assert_int_equal(status_request(fd), 0);
	close(fd);
}

static void test_lengths(void **state)
{
	(void)state;
	assert_int_equal(ctl_frame_length((uint8_t[]){ 0, 0, 0, 0 }), 0);
	assert_int_equal(ctl_frame_length((uint8_t[]){ 0, 0, 16, 0 }),
			 1 << 20);
	assert_int_equal(ctl_frame_length((uint8_t[]){ 1, 0, 16, 0 }),
			 -EMSGSIZE);
	assert_int_equal(ctl_frame_length((uint8_t[]){ 255, 255, 255, 255 }),
			 -EMSGSIZE);
}

static void test_modes(void **state)
{
	struct stat st;

	(void)state;
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
}

static void test_many_requests(void **state)
{
	int fd = dial();

	(void)state;
	for (int i = 0; i < 50; i++)
		assert_int_equal(status_request(fd), 0);
	close(fd);
}

static void test_no_namespace(void **state)
{
	Orchfs__Control__Request r = ORCHFS__CONTROL__REQUEST__INIT;
	Orchfs__Control__Where w = ORCHFS__CONTROL__WHERE__INIT;
	Orchfs__Control__Load l = ORCHFS__CONTROL__LOAD__INIT;
	Orchfs__Control__Backup b = ORCHFS__CONTROL__BACKUP__INIT;
	int fd = dial();

	(void)state;
	r.op_case = ORCHFS__CONTROL__REQUEST__OP_WHERE;
	r.where = &w;
	send_request(fd, &r);
	assert_int_equal(answer(fd), -ENOENT);
	w.ns = "nosuch";
	send_request(fd, &r);
	assert_int_equal(answer(fd), -ENOENT);
	r.op_case = ORCHFS__CONTROL__REQUEST__OP_LOAD;
	r.load = &l;
	l.store = "relative/store";
	send_request(fd, &r);
	assert_int_equal(answer(fd), -ENOENT);
	l.store = dir;
	send_request(fd, &r);
	assert_int_equal(answer(fd), -ENOENT);
	r.op_case = ORCHFS__CONTROL__REQUEST__OP_BACKUP;
	r.backup = &b;
	send_request(fd, &r);
	assert_int_equal(answer(fd), -EBADF);
	close(fd);
}

static void test_malformed(void **state)
{
	Orchfs__Control__Request r = ORCHFS__CONTROL__REQUEST__INIT;
	uint8_t junk[64];
	int fd = dial();

	(void)state;
	memset(junk, 0xff, sizeof(junk));
	send_frame(fd, junk, sizeof(junk));
	assert_int_equal(answer(fd), -EBADMSG);
	assert_int_equal(answer(fd), 1);
	close(fd);
	fd = dial();
	send_frame(fd, "", 0);		/* a request without a version */
	assert_int_equal(answer(fd), -EPROTO);
	close(fd);
	fd = dial();
	r.version = 2;
	send_request(fd, &r);
	assert_int_equal(answer(fd), -EPROTO);
	close(fd);
	fd = dial();
	r.version = 1;
	send_request(fd, &r);
	assert_int_equal(answer(fd), -EOPNOTSUPP);
	assert_int_equal(status_request(fd), 0);
	close(fd);
	alive();
}

static void test_oversize(void **state)
{
	int fd = dial();

	(void)state;
	assert_int_equal(send(fd, "\1\0\20\0", 4, MSG_NOSIGNAL), 4);
	assert_int_equal(answer(fd), -EMSGSIZE);
	assert_int_equal(answer(fd), 1);
	close(fd);
	alive();
}

static void test_incomplete(void **state)
{
	int fd = dial();

	(void)state;
	assert_int_equal(send(fd, "\100\0", 2, MSG_NOSIGNAL), 2);
	assert_int_equal(answer(fd), -ETIMEDOUT);
	close(fd);
	fd = dial();
	assert_int_equal(send(fd, "\100\0\0\0xyz", 7, MSG_NOSIGNAL), 7);
	assert_int_equal(answer(fd), -ETIMEDOUT);
	close(fd);
	/* gone in the middle */
	fd = dial();
	assert_int_equal(send(fd, "\100\0\0\0xyz", 7, MSG_NOSIGNAL), 7);
	close(fd);
	alive();
}

static void test_gone_before_answer(void **state)
{
	Orchfs__Control__Request r = ORCHFS__CONTROL__REQUEST__INIT;
	Orchfs__Control__Empty e = ORCHFS__CONTROL__EMPTY__INIT;

	(void)state;
	r.op_case = ORCHFS__CONTROL__REQUEST__OP_STATUS;
	r.status = &e;
	for (int i = 0; i < 100; i++) {
		int fd = dial();

		send_request(fd, &r);
		close(fd);
	}
	alive();
}

static void test_too_many(void **state)
{
	int fds[CTL_CONN_MAX + 1], one;

	(void)state;
	/* those of the test before may not be closed at once */
	for (int i = 0; i < CTL_CONN_MAX; i++) {
		fds[i] = dial();
		if (status_request(fds[i]) == 0)
			continue;
		close(fds[i]);
		i--;
	}
	one = dial();
	assert_int_equal(answer(one), -EAGAIN);
	close(one);
	for (int i = 0; i < CTL_CONN_MAX; i++)
		close(fds[i]);
	do {
		one = dial();
		assert_true(one >= 0);
		fds[0] = status_request(one);
		close(one);
	} while (fds[0]);
}

/* Descriptors that nobody asked for are closed, not collected. */
static void test_descriptors(void **state)
{
	union {
		char buf[CMSG_SPACE(4 * sizeof(int))];
		struct cmsghdr align;
	} u;
	char byte = 0;
	struct iovec iov = { &byte, 1 };
	struct msghdr m = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = u.buf,
		.msg_controllen = sizeof(u.buf),
	};
	int fd = dial(), p[2], fds[4];

	(void)state;
	assert_int_equal(pipe(p), 0);
	for (int i = 0; i < 4; i++)
		fds[i] = p[1];
	memset(&u, 0, sizeof(u));
	CMSG_FIRSTHDR(&m)->cmsg_level = SOL_SOCKET;
	CMSG_FIRSTHDR(&m)->cmsg_type = SCM_RIGHTS;
	CMSG_FIRSTHDR(&m)->cmsg_len = CMSG_LEN(sizeof(fds));
	memcpy(CMSG_DATA(CMSG_FIRSTHDR(&m)), fds, sizeof(fds));
	assert_int_equal(sendmsg(fd, &m, MSG_NOSIGNAL), 1);
	close(p[1]);
	close(fd);
	/* the pipe ends once the server has dropped all of them */
	assert_int_equal(read(p[0], &byte, 1), 0);
	close(p[0]);
	alive();
}

static void test_ordinary_user(void **state)
{
	int status;
	pid_t pid;

	(void)state;
	if (getuid())
		skip();
	assert_int_equal(chmod(path, 0666), 0);
	assert_int_equal(chmod(dir, 0755), 0);
	pid = fork();
	if (!pid) {
		int fd;

		if (setuid(65534) < 0)
			_exit(1);
		fd = dial();
		_exit(fd >= 0 && answer(fd) == -EPERM ? 0 : 2);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(chmod(path, 0600), 0);
}

static void test_second_server(void **state)
{
	struct ctl_config c = { .path = path, .state_dir = dir };
	char why[VOLUME_WHY] = "";
	struct loop other;
	struct ctl *two;

	(void)state;
	loop_init(&other);
	assert_int_equal(ctl_start(&other, &c, &two, why), -EBUSY);
	assert_non_null(strstr(why, "another orchd"));
	loop_destroy(&other);
	alive();
}

static void test_stop(void **state)
{
	Orchfs__Control__Request r = ORCHFS__CONTROL__REQUEST__INIT;
	Orchfs__Control__Empty e = ORCHFS__CONTROL__EMPTY__INIT;
	int fd = dial();

	(void)state;
	assert_false(atomic_load(&stop_asked));
	r.op_case = ORCHFS__CONTROL__REQUEST__OP_STOP;
	r.stop = &e;
	send_request(fd, &r);
	assert_int_equal(answer(fd), 0);
	/* a second exchange: the first has been dealt with completely */
	assert_int_equal(status_request(fd), 0);
	assert_true(atomic_load(&stop_asked));
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_modes),
		cmocka_unit_test(test_many_requests),
		cmocka_unit_test(test_no_namespace),
		cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_oversize),
		cmocka_unit_test(test_incomplete),
		cmocka_unit_test(test_gone_before_answer),
		cmocka_unit_test(test_too_many),
		cmocka_unit_test(test_descriptors),
		cmocka_unit_test(test_ordinary_user),
		cmocka_unit_test(test_second_server),
		cmocka_unit_test(test_stop),
	};

	return cmocka_run_group_tests_name("ctl", tests, setup, teardown);
}
