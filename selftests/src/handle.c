// SPDX-License-Identifier: GPL-2.0-only
/*
 * handle: file handles, kept in files.
 *
 *   handle save PATH FILE        name_to_handle_at(2)
 *   handle cat MOUNT FILE        open_by_handle_at(2), contents to stdout
 *   handle write MOUNT FILE TEXT the same, append TEXT
 *   handle path MOUNT FILE       where the open handle is, by /proc
 *   handle hold PATH MOUNT FILE  with PATH open and unlinked: the handle opens
 */
#include <fcntl.h>
#include <limits.h>
#include "util.h"

struct saved {
	struct file_handle h;
	unsigned char bytes[MAX_HANDLE_SZ];
};

static void save(const char *path, const char *file)
{
	struct saved s = { .h.handle_bytes = MAX_HANDLE_SZ };
	int fd, mount;

	if (name_to_handle_at(AT_FDCWD, path, &s.h, &mount, 0) < 0)
		die("handle of %s: %m", path);
	fd = open(file, O_CREAT | O_TRUNC | O_WRONLY, 0600);
	if (fd < 0 || write(fd, &s, sizeof(s)) != sizeof(s))
		die("%s: %m", file);
}

static int open_saved(const char *mnt, const char *file, int flags)
{
	int dir = open(mnt, O_RDONLY | O_DIRECTORY), fd;
	struct saved s;

	if (dir < 0)
		die("%s: %m", mnt);
	fd = open(file, O_RDONLY);
	if (fd < 0 || read(fd, &s, sizeof(s)) != sizeof(s))
		die("%s: %m", file);
	close(fd);
	fd = open_by_handle_at(dir, &s.h, flags);
	if (fd < 0)
		die("open of the handle: %m");
	return fd;
}

static void copy_out(int fd)
{
	char buf[65536];
	ssize_t len;

	while ((len = read(fd, buf, sizeof(buf))) > 0)
		if (write(STDOUT_FILENO, buf, len) != len)
			die("write: %m");
	if (len < 0)
		die("read: %m");
}

static void print_path(int fd)
{
	char link[64], path[PATH_MAX];
	ssize_t len;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	len = readlink(link, path, sizeof(path) - 1);
	if (len < 0)
		die("readlink: %m");
	path[len] = 0;
	puts(path);
}

static void hold(const char *path, const char *mnt, const char *file)
{
	int fd = open(path, O_RDONLY);

	if (fd < 0 || unlink(path) < 0)
		die("%s: %m", path);
	copy_out(open_saved(mnt, file, O_RDONLY));
	close(fd);
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	if (argc == 4 && !strcmp(what, "save")) {
		save(argv[2], argv[3]);
	} else if (argc == 4 && !strcmp(what, "cat")) {
		copy_out(open_saved(argv[2], argv[3], O_RDONLY));
	} else if (argc == 4 && !strcmp(what, "path")) {
		print_path(open_saved(argv[2], argv[3], O_RDONLY));
	} else if (argc == 5 && !strcmp(what, "write")) {
		int fd = open_saved(argv[2], argv[3], O_WRONLY | O_APPEND);
		ssize_t len = strlen(argv[4]);

		if (write(fd, argv[4], len) != len)
			die("write: %m");
	} else if (argc == 5 && !strcmp(what, "hold")) {
		hold(argv[2], argv[3], argv[4]);
	} else {
		die("usage: handle save|cat|write|path|hold ...");
	}
	return 0;
}
