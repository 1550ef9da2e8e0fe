// SPDX-License-Identifier: Apache-2.0
/*
 * mount.orchfs - the helper that mount(8) runs for orchfs.
 *
 * It uses the calls behind mount(2) itself, because only they hand over the
 * text in which the kernel says what is wrong and what to do about it.
 * Exit codes are those of mount(8): 0, 1 usage or permission, 32 failure.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#define EX_USAGE	1
#define EX_FAIL		32
#define MAX_PARAMS	32

#ifndef MOUNT_ATTR_NOSYMFOLLOW
#define MOUNT_ATTR_NOSYMFOLLOW 0x00200000
#endif

struct param {
	char *key;
	char *value;		/* NULL: a flag */
};

struct request {
	const char *spec;
	const char *dir;
	bool fake, verbose, remount;
	bool rw_told, sync_told;
	uint64_t attr_set;	/* of the mount */
	uint64_t attr_clr;
	struct param params[MAX_PARAMS];	/* of the superblock */
	int nr_params;
};

/* Options of the mount. Read-only is one: the superblock is shared. */
static const struct {
	const char *name;
	uint64_t set, clr;
} mount_attrs[] = {
	{ "ro", MOUNT_ATTR_RDONLY, 0 },
	{ "rw", 0, MOUNT_ATTR_RDONLY },
	{ "nosuid", MOUNT_ATTR_NOSUID, 0 },
	{ "suid", 0, MOUNT_ATTR_NOSUID },
	{ "nodev", MOUNT_ATTR_NODEV, 0 },
	{ "dev", 0, MOUNT_ATTR_NODEV },
	{ "noexec", MOUNT_ATTR_NOEXEC, 0 },
	{ "exec", 0, MOUNT_ATTR_NOEXEC },
	{ "nosymfollow", MOUNT_ATTR_NOSYMFOLLOW, 0 },
	{ "symfollow", 0, MOUNT_ATTR_NOSYMFOLLOW },
	{ "nodiratime", MOUNT_ATTR_NODIRATIME, 0 },
	{ "diratime", 0, MOUNT_ATTR_NODIRATIME },
	{ "noatime", MOUNT_ATTR_NOATIME, MOUNT_ATTR__ATIME },
	{ "atime", MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME },
	{ "relatime", MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME },
	{ "norelatime", MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME },
	{ "strictatime", MOUNT_ATTR_STRICTATIME, MOUNT_ATTR__ATIME },
	{ "nostrictatime", MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME },
	{ "defaults", 0, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID |
	  MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC },
};

/* For mount(8), fstab and init systems; not for the kernel. */
static const char *const user_space[] = {
	"_netdev", "auto", "noauto", "user", "nouser", "users", "nousers",
	"owner", "noowner", "group", "nogroup", "nofail", "fail",
	"silent", "loud", "nomand",
};

static int error(int rc, const char *what, const char *why)
{
	fprintf(stderr, "mount.orchfs: %s: %s\n", what, why);
	return rc;
}

static bool for_user_space(const char *key)
{
	size_t i;

	if (!strncmp(key, "x-", 2) || !strncmp(key, "X-", 2) ||
	    !strcmp(key, "comment") || !strcmp(key, "uhelper") ||
	    !strcmp(key, "helper"))
		return true;
	for (i = 0; i < sizeof(user_space) / sizeof(user_space[0]); i++)
		if (!strcmp(key, user_space[i]))
			return true;
	return false;
}

static bool mount_attr(struct request *r, const char *key)
{
	size_t i;

	for (i = 0; i < sizeof(mount_attrs) / sizeof(mount_attrs[0]); i++) {
		if (strcmp(key, mount_attrs[i].name))
			continue;
		/* The later of two options wins. */
		r->attr_set &= ~mount_attrs[i].clr;
		r->attr_set |= mount_attrs[i].set;
		r->attr_clr |= mount_attrs[i].clr;
		return true;
	}
	return false;
}

static int one_option(struct request *r, char *opt)
{
	char *value = strchr(opt, '=');

	if (value)
		*value++ = 0;
	if (!value && !strcmp(opt, "remount")) {
		r->remount = true;
		return 0;
	}
	r->rw_told |= !strcmp(opt, "rw") || !strcmp(opt, "ro");
	r->sync_told |= !strcmp(opt, "sync") || !strcmp(opt, "async");
	if ((!value && mount_attr(r, opt)) || for_user_space(opt))
		return 0;
	if (r->nr_params == MAX_PARAMS)
		return error(EX_USAGE, opt, "too many options");
	r->params[r->nr_params++] = (struct param){ opt, value };
	return 0;
}

/*
 * At a remount mount(8) names all options that are to stay, "rw" or "ro" always,
 * but never "async": it leaves out "sync" instead.
 */
static int end_sync(struct request *r)
{
	static char async[] = "async";

	if (!r->remount || !r->rw_told || r->sync_told)
		return 0;
	return one_option(r, async);
}

/* Splits at commas that are not inside double quotes (SELinux contexts). */
static int parse_options(struct request *r, char *s)
{
	bool quoted = false, last = false;
	char *start = s, *out = s;
	int rc = 0;

	for (; !rc && !last; s++) {
		if (*s == '"') {
			quoted = !quoted;
		} else if (*s && (*s != ',' || quoted)) {
			*out++ = *s;
		} else {
			last = !*s;	/* before out, which may be s, is ended */
			*out = 0;
			if (out > start)
				rc = one_option(r, start);
			start = out = s + 1;
		}
	}
	return rc;
}

/* The kernel's own words. Return: whether there was an error among them. */
static bool print_log(int fs, const struct request *r)
{
	char buf[1024];
	bool any = false;
	ssize_t n;

	while ((n = read(fs, buf, sizeof(buf) - 1)) > 0) {
		while (n && buf[n - 1] == '\n')
			n--;
		buf[n] = 0;
		if (n > 2 && buf[1] == ' ') {
			if (buf[0] == 'i' && !r->verbose)
				continue;
			any |= buf[0] == 'e';
			fprintf(stderr, "mount.orchfs: %s: %s\n", r->spec,
				buf + 2);
		} else {
			fprintf(stderr, "mount.orchfs: %s: %s\n", r->spec, buf);
		}
	}
	return any;
}

static int kernel_error(int fs, const struct request *r, const char *what)
{
	int err = errno;
	bool told = fs >= 0 && print_log(fs, r);

	if (told)
		return EX_FAIL;
	if (err == EPERM || err == EACCES)
		return error(EX_USAGE, r->spec, "only root may mount");
	fprintf(stderr, "mount.orchfs: %s on %s: %s: %s\n", r->spec, r->dir,
		what, strerror(err));
	return EX_FAIL;
}

static int set_params(int fs, const struct request *r)
{
	const struct param *p;
	int i;

	for (i = 0; i < r->nr_params; i++) {
		p = &r->params[i];
		if (fsconfig(fs, p->value ? FSCONFIG_SET_STRING :
			     FSCONFIG_SET_FLAG, p->key, p->value, 0))
			return kernel_error(fs, r, p->key);
	}
	return 0;
}

static int attach(int fs, const struct request *r)
{
	int mnt, rc = 0;

	mnt = fsmount(fs, FSMOUNT_CLOEXEC, (unsigned int)r->attr_set);
	if (mnt < 0)
		return kernel_error(fs, r, "fsmount");
	if (move_mount(mnt, "", AT_FDCWD, r->dir, MOVE_MOUNT_F_EMPTY_PATH))
		rc = errno == ENOENT || errno == ENOTDIR ?
		     error(EX_FAIL, r->dir, "is no directory: make it first") :
		     kernel_error(-1, r, "attaching the mount");
	close(mnt);
	return rc;
}

static int do_mount(const struct request *r)
{
	int fs, rc;

	fs = fsopen("orchfs", FSOPEN_CLOEXEC);
	if (fs < 0 && errno == ENODEV)
		return error(EX_FAIL, r->spec,
			     "the kernel module is not loaded: modprobe orchfs");
	if (fs < 0)
		return kernel_error(-1, r, "fsopen");
	if (fsconfig(fs, FSCONFIG_SET_STRING, "source", r->spec, 0)) {
		rc = kernel_error(fs, r, "source");
		goto out;
	}
	rc = set_params(fs, r);
	if (rc)
		goto out;
	if (fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0)) {
		rc = kernel_error(fs, r, "mount");
		goto out;
	}
	print_log(fs, r);
	rc = attach(fs, r);
out:
	close(fs);
	return rc;
}

static int reconfigure(const struct request *r)
{
	int fs, rc;

	fs = fspick(AT_FDCWD, r->dir, FSPICK_CLOEXEC | FSPICK_NO_AUTOMOUNT);
	if (fs < 0)
		return kernel_error(-1, r, "fspick");
	rc = set_params(fs, r);
	if (!rc && fsconfig(fs, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0))
		rc = kernel_error(fs, r, "remount");
	if (!rc)
		print_log(fs, r);
	close(fs);
	return rc;
}

/* Only what was named changes: remount,ro keeps nosuid. */
static int do_remount(const struct request *r)
{
	struct mount_attr attr = {
		.attr_set = r->attr_set,
		.attr_clr = r->attr_clr & ~r->attr_set,
	};
	int rc;

	/* The kernel wants the whole field cleared when it sets a part. */
	if (r->attr_clr & MOUNT_ATTR__ATIME)
		attr.attr_clr |= MOUNT_ATTR__ATIME;
	if (r->nr_params) {
		rc = reconfigure(r);
		if (rc)
			return rc;
	}
	if ((attr.attr_set || attr.attr_clr) &&
	    mount_setattr(AT_FDCWD, r->dir, 0, &attr, sizeof(attr)))
		return kernel_error(-1, r, "remount");
	return 0;
}

static void tell(const struct request *r)
{
	int i;

	printf("mount.orchfs: %s %s on %s, attributes %#llx of %#llx",
	       r->remount ? "remounting" : "mounting", r->spec, r->dir,
	       (unsigned long long)r->attr_set,
	       (unsigned long long)(r->attr_clr | r->attr_set));
	for (i = 0; i < r->nr_params; i++)
		printf(" %s%s%s", r->params[i].key,
		       r->params[i].value ? "=" : "",
		       r->params[i].value ? r->params[i].value : "");
	putchar('\n');
}

static int usage(void)
{
	fprintf(stderr, "Usage: mount.orchfs NAMESPACE[:/DIR] DIRECTORY [-fnsv] [-o OPTIONS]\n"
		"See mount.orchfs --help.\n");
	return EX_USAGE;
}

static int help(void)
{
	printf("Usage: mount.orchfs NAMESPACE[:/DIR] DIRECTORY [-fnsv] [-o OPTIONS]\n"
	       "\n"
	       "Mounts a namespace that orchd serves; mount -t orchfs runs it.\n"
	       "\n"
	       "  -o OPTIONS  upcall_timeout=SECONDS, upcall_errno=NAME, sync, dirsync,\n"
	       "              remount, and the common options of mount(8)\n"
	       "  -f          check the options, don't mount\n"
	       "  -v          tell what is done\n"
	       "  -n, -s      accepted for mount(8), without effect\n"
	       "  -h, --help  this text\n"
	       "\n"
	       "The options are explained in mount.orchfs(8).\n");
	return fflush(stdout) ? EX_FAIL : 0;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "help", no_argument, NULL, 'h' },
		{ 0 }
	};
	struct request r = { 0 };
	int c, rc;

	while ((c = getopt_long(argc, argv, "fhno:st:vN:", options,
				NULL)) != -1) {
		switch (c) {
		case 'h':
			return help();
		case 'f':
			r.fake = true;
			break;
		case 'v':
			r.verbose = true;
			break;
		case 'o':
			rc = parse_options(&r, optarg);
			if (rc)
				return rc;
			break;
		case 'n':	/* no mtab: there is none */
		case 's':	/* sloppy: the kernel's answer counts */
		case 't':
			break;
		case 'N':
			return error(EX_USAGE, "-N", "not supported: enter the namespace by nsenter(1)");
		default:
			return usage();
		}
	}
	if (argc - optind != 2)
		return usage();
	rc = end_sync(&r);
	if (rc)
		return rc;
	r.spec = argv[optind];
	r.dir = argv[optind + 1];
	if (!*r.spec || *r.spec == '/' || *r.spec == ':')
		return error(EX_USAGE, r.spec, "a source is NAMESPACE or NAMESPACE:/DIR");
	if (r.verbose)
		tell(&r);
	if (r.fake)
		return 0;
	return r.remount ? do_remount(&r) : do_mount(&r);
}
