// SPDX-License-Identifier: GPL-2.0-only
/*
 * idmap SOURCE TARGET FROM TO COUNT: mount SOURCE on TARGET with user and group
 * FROM of the file system seen as TO, and COUNT of them in all.
 */
#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include "util.h"

#ifndef OPEN_TREE_CLONE
#define OPEN_TREE_CLONE 1
#endif

static void put(pid_t pid, const char *name, const char *text)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	fd = open(path, O_WRONLY);
	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		die("%s: %m", path);
	close(fd);
}

/* A user namespace with that mapping. */
static int user_ns(const char *map)
{
	char path[64], c;
	int ready[2], fd;
	pid_t pid;

	if (pipe(ready) < 0)
		die("pipe: %m");
	pid = fork();
	if (pid < 0)
		die("fork: %m");
	if (!pid) {
		if (unshare(CLONE_NEWUSER) < 0)
			die("unshare: %m");
		if (write(ready[1], "", 1) != 1)
			_exit(1);
		pause();
		_exit(0);
	}
	close(ready[1]);
	if (read(ready[0], &c, 1) != 1)
		die("the child has no user namespace");
	put(pid, "uid_map", map);
	put(pid, "gid_map", map);
	snprintf(path, sizeof(path), "/proc/%d/ns/user", pid);
	fd = open(path, O_RDONLY);
	if (fd < 0)
		die("%s: %m", path);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return fd;
}

int main(int argc, char **argv)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_IDMAP };
	char map[128];
	int tree;

	if (argc != 6)
		die("usage: idmap SOURCE TARGET FROM TO COUNT");
	snprintf(map, sizeof(map), "%s %s %s", argv[3], argv[4], argv[5]);
	attr.userns_fd = user_ns(map);
	tree = syscall(SYS_open_tree, AT_FDCWD, argv[1],
		       OPEN_TREE_CLONE | O_CLOEXEC);
	if (tree < 0)
		die("open_tree %s: %m", argv[1]);
	if (syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attr,
		    sizeof(attr)) < 0)
		die("mount_setattr: %m");
	if (syscall(SYS_move_mount, tree, "", AT_FDCWD, argv[2],
		    MOVE_MOUNT_F_EMPTY_PATH) < 0)
		die("move_mount %s: %m", argv[2]);
	return 0;
}
