// SPDX-License-Identifier: GPL-2.0-only
/* Volumes that hang, tokens that run out, connections that end while listed. */
#include <linux/fs.h>
#include <sys/ioctl.h>

#include "ds.h"

#define RW	(ORCHFS_RIGHT_READ | ORCHFS_RIGHT_WRITE)
#define WAITING	40		/* more than a volume has workers */

static bool frozen;

/* Whatever the test comes to, the volume is of use to others. */
static void thaw(void)
{
	if (frozen)
		ioctl(ds_root, FITHAW, 0);
	frozen = false;
}

static bool freeze(void)
{
	static bool registered;

	if (ioctl(ds_root, FIFREEZE, 0)) {
		must(errno == EOPNOTSUPP, "freeze: %m");
		return false;
	}
	frozen = true;
	if (!registered)
		atexit(thaw);
	registered = true;
	return true;
}

static void frozen_bind(struct peer *p, u64 ino, u64 *handle)
{
	struct orchfs_token t;

	token_make(&t, ino, RW, 1);
	t.expiry_ms = 30000000;
	*handle = 0;
	peer_start(p, NODE, NULL);
	must(!peer_bind(p, &t, handle), "bind");
}

/*
 * Writes wait for the thaw. Reads don't wait for them, nor does a connection
 * that closes a file, or one that ends. What waited is not done when it may not
 * be done any more.
 */
void test_frozen(void)
{
	struct orchfs_pdu pdu = {
		.opcode = ORCHFS_OP_WRITE, .data_len = sizeof(u64),
	};
	struct orchfs_pdu cut = { .opcode = ORCHFS_OP_UNBIND };
	struct answer *a = answer_new();
	u64 old = 7, new = 8, handle, other, now;
	int i, fd = backing_make(0x1901);
	struct peer writer, reader, third;

	must(pwrite(fd, &old, sizeof(old), 0) == sizeof(old), "write: %m");
	close(backing_make(0x1902));
	daemon_clock(20000000);
	frozen_bind(&writer, 0x1901, &pdu.handle);
	frozen_bind(&reader, 0x1901, &handle);
	frozen_bind(&third, 0x1902, &other);
	if (!freeze()) {
		printf("dataserver: the volume can't be frozen\n");
		goto out;
	}
	for (i = 0; i < WAITING; i++)
		peer_send(&writer, &pdu, &new);
	must(!peer_read(&reader, handle, 0, 8, a) && a->pdu.data_len == 8 &&
	     !memcmp(a->data, &old, 8), "read of a frozen volume");
	cut.handle = other;
	must(!peer_call(&third, &cut, NULL, a), "unbind");
	peer_close(&third);
	must(daemon_wait_gone(third.connection) == ORCHFS_REASON_CLOSED,
	     "end of a connection");
	peer_start(&third, NODE, NULL);
	daemon_clock(30000000);
	thaw();
	for (i = 0; i < WAITING; i++)
		must(peer_recv(&writer, a) &&
		     a->pdu.status == ORCHFS_STATUS_EXPIRED,
		     "write %d after the thaw: status %u", i, a->pdu.status);
	must(pread(fd, &now, sizeof(now), 0) == sizeof(now) && now == old,
	     "it was written");
out:
	thaw();
	peer_close(&third);
	peer_close(&reader);
	peer_close(&writer);
	close(fd);
	free(a->data);
	free(a);
}

/* Nobody renews a token: its file isn't kept open for ever. */
void test_expired(void)
{
	struct answer *a = answer_new();
	struct conn_stats stats;
	struct orchfs_token t;
	u64 kept = 0, handle = 0;
	struct peer p;
	time_t end;

	close(backing_make(0x1a01));
	daemon_clock(40000000);
	token_make(&t, 0x1a01, RW, 1);
	peer_start(&p, NODE, NULL);
	must(!peer_bind(&p, &t, &kept), "bind");
	t.expiry_ms = 40001000;
	must(!peer_bind(&p, &t, &handle), "bind");
	/* not at once: it may be renewed */
	daemon_clock(40001000);
	must(peer_read(&p, handle, 0, 1, a) == ORCHFS_STATUS_EXPIRED,
	     "read with an expired token");
	daemon_clock(40070000);
	end = time(NULL) + WAIT_SECONDS;
	do {
		must(daemon_stats(p.connection, &stats), "statistics");
		must(time(NULL) < end, "%u handles are left", stats.handles);
	} while (stats.handles != 1);
	must(peer_read(&p, handle, 0, 1, a) == ORCHFS_STATUS_HANDLE,
	     "read with a handle that is gone");
	must(!peer_read(&p, kept, 0, 1, a), "read with the other");
	peer_close(&p);
	free(a->data);
	free(a);
}

#define LISTED	200
#define ENDING	20

static struct peer list_peers[LISTED];

static void end_some(void)
{
	int i;

	for (i = 0; i < ENDING; i++)
		must(!daemon_drop(NODE, list_peers[i].connection), "drop");
	for (i = 0; i < ENDING; i++)
		daemon_wait_gone(list_peers[i].connection);
}

/* Those that were listed already end: all the others are listed still. */
void test_list(void)
{
	static u64 ids[2 * LISTED];
	unsigned int i, j, nr;

	for (i = 0; i < LISTED; i++)
		peer_start(&list_peers[i], NODE, NULL);
	nr = daemon_list(ids, 2 * LISTED, end_some);
	for (i = ENDING; i < LISTED; i++) {
		for (j = 0; j < nr; j++)
			if (ids[j] == list_peers[i].connection)
				break;
		must(j < nr, "connection %u of %u isn't listed", i, LISTED);
	}
	for (i = 0; i < LISTED; i++)
		peer_close(&list_peers[i]);
	for (i = 0; i < LISTED; i++)
		daemon_wait_gone(list_peers[i].connection);
}
