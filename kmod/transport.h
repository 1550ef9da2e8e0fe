/* SPDX-License-Identifier: GPL-2.0-only */
/* How connections, of the data server and to others', use their socket. */
#ifndef _ORCHFS_TRANSPORT_H
#define _ORCHFS_TRANSPORT_H

#include <linux/types.h>

struct iov_iter;
struct net;
struct sock;
struct socket;

/**
 * struct orchfs_tcp - the socket of a connection
 * @sock: connected, authenticated; holds a reference of its file
 * @writable: called when it has room again, in any context
 * @write_space: the socket's own callback
 */
struct orchfs_tcp {
	struct socket *sock;
	void (*writable)(struct orchfs_tcp *tcp);
	void (*write_space)(struct sock *sk);
};

const char *orchfs_tcp_fault(struct socket *sock, struct net *net);
int orchfs_tcp_start(struct orchfs_tcp *tcp);
void orchfs_tcp_stop(struct orchfs_tcp *tcp);
int orchfs_tcp_recv(struct socket *sock, struct iov_iter *iter);
int orchfs_tcp_recv_some(struct socket *sock, struct iov_iter *iter);
void orchfs_tcp_wait(struct socket *sock);
int orchfs_tcp_send(struct socket *sock, struct iov_iter *iter, bool splice,
		    bool more);
bool orchfs_tcp_idle(const struct socket *sock);
u64 orchfs_tcp_moved(const struct socket *sock);

#endif
