/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading backing files of other nodes from user space: a data connection of
 * its own, as the kernel's client has. For a worker, which may wait: each wait
 * has a deadline, and ends when the worker is told to stop.
 * Documentation/remote.md.
 */
#ifndef ORCHD_PDU_CLIENT_H
#define ORCHD_PDU_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include <linux/orchfs_wire.h>

#define PDU_WINDOW	8		/* requests under way */
#define PDU_WAIT_MS	30000		/* then the server is of no use */

struct peer_tls;
struct pdu_client;

/* Whom to connect to, and as whom. Stays the caller's. */
struct pdu_dial {
	struct peer_tls *tls;
	uint8_t uuid[16];		/* of the namespace */
	uint32_t self, node;
	const char *address;
	bool (*stopped)(void *ctx);	/* asked a few times a second; or NULL */
	void *ctx;
};

struct pdu_attr {
	uint64_t size, blocks, change;
	struct timespec atime, mtime;
};

/**
 * pdu_dial() - connect, authenticate, agree on the protocol
 * @why: what went wrong, of @len bytes
 * Return: 0; -ECANCELED: stopped; -ETIMEDOUT; other -errno.
 */
int pdu_dial(const struct pdu_dial *d, struct pdu_client **out, char *why,
	     size_t len);
/** pdu_client_new() - the same on a socket that is connected; takes @fd */
int pdu_client_new(int fd, const struct pdu_dial *d, struct pdu_client **out);
void pdu_client_free(struct pdu_client *c);	/* NULL: nothing */

/*
 * After -ECONNRESET, -ETIMEDOUT, -EPROTO or -ECANCELED the connection is of no
 * use any more: pdu_client_broken(). Other errors are the server's own.
 */
bool pdu_client_broken(const struct pdu_client *c);

/**
 * pdu_bind() - the file that a token is for, which is read from now on; with
 * one for the same file its time goes on
 * Return: 0; -EKEYEXPIRED, -ESTALE, -EKEYREJECTED, -EAGAIN: the token, or the
 * server has not heard from the authority; other -errno.
 */
int pdu_bind(struct pdu_client *c, const uint8_t token[ORCHFS_TOKEN_LEN]);
int pdu_unbind(struct pdu_client *c);
int pdu_getattr(struct pdu_client *c, struct pdu_attr *out);

/* What was read; another value than 0 ends it. @buf is aligned to 4 KiB. */
typedef int (*pdu_fn)(void *ctx, char *buf, size_t len, off_t at);
/**
 * pdu_read() - @begin to @end, in order
 * @chunk: bytes a request, up to ORCHFS_PDU_DATA_MAX; @window: requests under
 *	way, up to PDU_WINDOW
 * Return: 0; what @fn has returned: the connection is broken then, too;
 * -ESTALE: the file is shorter; other -errno.
 */
int pdu_read(struct pdu_client *c, off_t begin, off_t end, size_t chunk,
	     unsigned int window, pdu_fn fn, void *ctx);

#endif
