// SPDX-License-Identifier: GPL-2.0-only
/*
 * TCP, perhaps with kernel TLS on it, as the daemon handed it over. Receiving
 * blocks, in a thread; sending never does, and the socket calls when there is
 * room again.
 */
#include <linux/kthread.h>
#include <linux/net.h>
#include <linux/poll.h>
#include <linux/tcp.h>
#include <net/sock.h>
#include <net/tcp.h>

#include "transport.h"

/**
 * orchfs_tcp_fault() - is a socket one that can be served
 * @sock: what the daemon handed over
 * @net: its network namespace
 *
 * Return: NULL, or what is wrong with it.
 */
const char *orchfs_tcp_fault(struct socket *sock, struct net *net)
{
	if (!sk_is_tcp(sock->sk))
		return "socket is not TCP";
	if (sock_net(sock->sk) != net)
		return "socket is of another network namespace";
	if (READ_ONCE(sock->sk->sk_state) != TCP_ESTABLISHED)
		return "socket is not connected";
	return NULL;
}

static void tcp_write_space(struct sock *sk)
{
	void (*write_space)(struct sock *sk) = NULL;
	struct orchfs_tcp *tcp;

	read_lock_bh(&sk->sk_callback_lock);
	tcp = sk->sk_user_data;
	if (tcp) {
		write_space = tcp->write_space;
		if (sk_stream_is_writeable(sk))
			tcp->writable(tcp);
	}
	read_unlock_bh(&sk->sk_callback_lock);
	if (write_space)
		write_space(sk);
}

/**
 * orchfs_tcp_start() - make a socket the connection's
 * @tcp: has the socket; its sends will be woken
 *
 * Memory for what is sent comes without I/O: the peer may be this machine, and
 * want to free memory by it. So nothing is sent from within a send, and the
 * task's page fragment will do: one of the socket's own takes 32 KiB.
 *
 * Return: 0, or -EBUSY when somebody in the kernel has it already.
 */
int orchfs_tcp_start(struct orchfs_tcp *tcp)
{
	struct sock *sk = tcp->sock->sk;
	int ret = 0;

	write_lock_bh(&sk->sk_callback_lock);
	if (sk->sk_user_data) {
		ret = -EBUSY;
	} else {
		sk->sk_user_data = tcp;
		tcp->write_space = sk->sk_write_space;
		sk->sk_write_space = tcp_write_space;
		sk->sk_allocation = GFP_NOIO;
		sk->sk_rcvtimeo = MAX_SCHEDULE_TIMEOUT;
	}
	write_unlock_bh(&sk->sk_callback_lock);
	return ret;
}

/**
 * orchfs_tcp_stop() - undo orchfs_tcp_start(), and shut the connection
 * @tcp: who receives gets an end or an error
 */
void orchfs_tcp_stop(struct orchfs_tcp *tcp)
{
	struct sock *sk = tcp->sock->sk;

	write_lock_bh(&sk->sk_callback_lock);
	sk->sk_write_space = tcp->write_space;
	sk->sk_user_data = NULL;
	write_unlock_bh(&sk->sk_callback_lock);
	kernel_sock_shutdown(tcp->sock, SHUT_RDWR);
}

/**
 * orchfs_tcp_recv() - receive, and wait for all of it
 * @sock: the socket
 * @iter: where to
 *
 * Return: the number of bytes, less than wanted when the peer closed; or a
 * negative errno.
 */
int orchfs_tcp_recv(struct socket *sock, struct iov_iter *iter)
{
	struct msghdr msg = { .msg_flags = MSG_WAITALL | MSG_NOSIGNAL };
	int ret, done = 0;

	while (iov_iter_count(iter)) {
		msg.msg_iter = *iter;
		ret = sock_recvmsg(sock, &msg, MSG_WAITALL | MSG_NOSIGNAL);
		if (ret <= 0)
			return done ?: ret;
		iov_iter_advance(iter, ret);
		done += ret;
	}
	return done;
}

/**
 * orchfs_tcp_recv_some() - receive what is there
 * @sock: the socket
 * @iter: where to; advanced
 *
 * Return: the number of bytes; 0 when the peer closed; -EAGAIN when there is
 * nothing, or another negative errno.
 */
int orchfs_tcp_recv_some(struct socket *sock, struct iov_iter *iter)
{
	struct msghdr msg = { .msg_iter = *iter };
	int ret = sock_recvmsg(sock, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (ret > 0)
		iov_iter_advance(iter, ret);
	return ret;
}

static bool tcp_readable(struct socket *sock)
{
	return sock->ops->poll(sock->file, sock, NULL) &
		(EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR);
}

/**
 * orchfs_tcp_wait() - wait until something can be received, or an end be seen
 * @sock: the socket; the caller is a kernel thread
 */
void orchfs_tcp_wait(struct socket *sock)
{
	DEFINE_WAIT_FUNC(wait, woken_wake_function);

	add_wait_queue(sk_sleep(sock->sk), &wait);
	while (!tcp_readable(sock) && !kthread_should_stop())
		wait_woken(&wait, TASK_INTERRUPTIBLE, MAX_SCHEDULE_TIMEOUT);
	remove_wait_queue(sk_sleep(sock->sk), &wait);
}

/**
 * orchfs_tcp_send() - send what there is room for
 * @sock: the socket
 * @iter: what; advanced
 * @splice: its pages may be taken as they are
 * @more: more will follow at once
 *
 * Return: 0 when all is sent; -EAGAIN, then orchfs_tcp.writable() will be
 * called; or another negative errno.
 */
int orchfs_tcp_send(struct socket *sock, struct iov_iter *iter, bool splice,
		    bool more)
{
	unsigned int flags = MSG_DONTWAIT | MSG_NOSIGNAL |
		(splice ? MSG_SPLICE_PAGES : 0) | (more ? MSG_MORE : 0);
	int ret;

	while (iov_iter_count(iter)) {
		struct msghdr msg = { .msg_flags = flags, .msg_iter = *iter };

		ret = sock_sendmsg(sock, &msg);
		if (ret < 0)
			return ret;
		iov_iter_advance(iter, ret);
	}
	return 0;
}

/**
 * orchfs_tcp_idle() - nothing that was sent waits for the peer
 * @sock: the socket
 *
 * So it won't call when a send failed for want of memory.
 *
 * Return: true when it is so.
 */
bool orchfs_tcp_idle(const struct socket *sock)
{
	return !READ_ONCE(sock->sk->sk_wmem_queued);
}

/**
 * orchfs_tcp_moved() - does anything come and go
 * @sock: the socket
 *
 * Return: a number that grows with each byte that has come, or that the peer
 * has taken.
 */
u64 orchfs_tcp_moved(const struct socket *sock)
{
	const struct tcp_sock *tp = tcp_sk(sock->sk);

	return READ_ONCE(tp->bytes_received) + READ_ONCE(tp->bytes_acked);
}
