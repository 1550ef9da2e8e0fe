// SPDX-License-Identifier: Apache-2.0
/* Files of STORE/cluster: written as a whole, durably, for root alone. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/pem.h>

#include "cluster_pki.h"

#define FILE_MAX	65536

static int write_all(int fd, const uint8_t *p, size_t len)
{
	while (len) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		len -= (size_t)n;
	}
	return fsync(fd) < 0 ? -errno : 0;
}

int dir_sync(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc;

	if (fd < 0)
		return -errno;
	rc = fsync(fd) < 0 ? -errno : 0;
	close(fd);
	return rc;
}

int file_write(const char *dir, const char *name, const void *p, size_t len)
{
	int dfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd, rc;
	char tmp[64];

	if (dfd < 0)
		return -errno;
	snprintf(tmp, sizeof(tmp), "%.50s.new", name);
	unlinkat(dfd, tmp, 0);		/* of a daemon that was killed */
	fd = openat(dfd, tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC |
		    O_NOFOLLOW, 0600);
	rc = fd < 0 ? -errno : write_all(fd, p, len);
	if (fd >= 0)
		close(fd);
	if (!rc && renameat(dfd, tmp, dfd, name) < 0)
		rc = -errno;
	if (!rc && fsync(dfd) < 0)
		rc = -errno;
	if (rc < 0)
		unlinkat(dfd, tmp, 0);
	close(dfd);
	return rc;
}

static int read_all(int fd, uint8_t *p, size_t *len)
{
	size_t have = 0;
	ssize_t n;

	while (have <= FILE_MAX) {
		n = read(fd, p + have, FILE_MAX + 1 - have);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n) {
			*len = have;
			return 0;
		}
		have += (size_t)n;
	}
	return -EFBIG;
}

int file_read(const char *dir, const char *name, void **p, size_t *len)
{
	char path[4200];
	uint8_t *buf;
	int fd, rc;

	snprintf(path, sizeof(path), "%.4096s/%.64s", dir, name);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	buf = malloc(FILE_MAX + 1);
	rc = buf ? read_all(fd, buf, len) : -ENOMEM;
	close(fd);
	if (rc < 0)
		free(buf);
	else
		*p = buf;
	return rc;
}

int pki_write(const char *dir, const char *name, EVP_PKEY *key, X509 *cert)
{
	BIO *b = BIO_new(BIO_s_secmem());
	char *p = NULL;
	int rc = -ENOMEM;
	long len;

	if (b && (!key || PEM_write_bio_PrivateKey(b, key, NULL, NULL, 0, NULL,
						   NULL)) &&
	    (!cert || PEM_write_bio_X509(b, cert))) {
		len = BIO_get_mem_data(b, &p);
		rc = file_write(dir, name, p, (size_t)len);
	}
	BIO_free(b);
	return rc;
}

int pki_read(const char *dir, const char *name, EVP_PKEY **key, X509 **cert)
{
	EVP_PKEY *k = NULL;
	X509 *x = NULL;
	void *p;
	size_t len;
	BIO *b;
	int rc;

	rc = file_read(dir, name, &p, &len);
	if (rc < 0)
		return rc;
	b = BIO_new_mem_buf(p, (int)len);
	if (b && key)
		k = PEM_read_bio_PrivateKey(b, NULL, NULL, "");
	if (b && cert)
		x = PEM_read_bio_X509(b, NULL, NULL, "");
	BIO_free(b);
	OPENSSL_cleanse(p, len);
	free(p);
	if ((key && !k) || (cert && !x) ||
	    (k && x && X509_check_private_key(x, k) != 1)) {
		EVP_PKEY_free(k);
		X509_free(x);
		return -EUCLEAN;
	}
	if (key)
		*key = k;
	if (cert)
		*cert = x;
	return 0;
}

int cluster_keep(const char *from, const char *to)
{
	static const char *const names[] = { "ca.key", "ca.crt", "node.pem" };
	char src[4200], dst[4200];
	size_t len;
	void *p;
	int rc = 0;

	snprintf(src, sizeof(src), "%.4096s/cluster", from);
	snprintf(dst, sizeof(dst), "%.4096s/cluster", to);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		rc = file_read(src, names[i], &p, &len);
		if (rc == -ENOENT) {
			rc = 0;
			continue;
		}
		if (rc < 0)
			return rc;
		if (mkdir(dst, 0700) < 0 && errno != EEXIST)
			rc = -errno;
		if (!rc)
			rc = file_write(dst, names[i], p, len);
		OPENSSL_cleanse(p, len);
		free(p);
		if (rc < 0)
			return rc;
	}
	return 0;
}
