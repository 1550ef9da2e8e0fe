// SPDX-License-Identifier: GPL-2.0-only
/* A peer of the data server: a TCP connection over the loopback. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/tls.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>

#include "ds.h"

struct answer *answer_new(void)
{
	struct answer *a = xalloc(sizeof(*a));

	a->data = xalloc(ORCHFS_PDU_DATA_MAX);
	return a;
}

bool ds_tls;
u32 ds_version = 7;

/* As after a handshake: each end has the keys of both directions. */
static void start_tls(int fd, u8 tx, u8 rx)
{
	struct tls12_crypto_info_aes_gcm_128 info = {
		.info.version = TLS_1_3_VERSION,
		.info.cipher_type = TLS_CIPHER_AES_GCM_128,
	};

	if (setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls", sizeof("tls")))
		die("kernel TLS: %m");
	memset(info.key, tx, sizeof(info.key));
	if (setsockopt(fd, SOL_TLS, TLS_TX, &info, sizeof(info)))
		die("kernel TLS, sending: %m");
	memset(info.key, rx, sizeof(info.key));
	if (setsockopt(fd, SOL_TLS, TLS_RX, &info, sizeof(info)))
		die("kernel TLS, receiving: %m");
}

/* Both ends of a connection. */
static void connect_pair(int *client, int *server)
{
	struct sockaddr_in sa = { .sin_family = AF_INET };
	struct timeval tv = { .tv_sec = WAIT_SECONDS };
	socklen_t len = sizeof(sa);
	int one = 1, l;

	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	l = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	*client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (l < 0 || *client < 0 || bind(l, (void *)&sa, sizeof(sa)) ||
	    listen(l, 1) || getsockname(l, (void *)&sa, &len) ||
	    connect(*client, (void *)&sa, sizeof(sa)))
		die("loopback connection: %m");
	*server = accept4(l, NULL, NULL, SOCK_CLOEXEC);
	if (*server < 0)
		die("accept: %m");
	close(l);
	if (ds_tls) {
		start_tls(*client, 1, 2);
		start_tls(*server, 2, 1);
	}
	setsockopt(*server, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(*client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(*client, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	setsockopt(*client, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
}

void peer_open(struct peer *p, u32 node, const struct limits *limits)
{
	s64 connection;
	int server;

	memset(p, 0, sizeof(*p));
	connect_pair(&p->fd, &server);
	connection = daemon_serve_peer(server, node, limits);
	must(connection > 0, "serve-peer: %s", strerror(-connection));
	p->connection = connection;
	close(server);
}

void peer_hello(struct peer *p)
{
	static u32 last_id = 0x1234;
	struct orchfs_hello hello = {
		.version_min = 1, .version_max = ds_version,
		.max_data = ORCHFS_PDU_DATA_MAX,
		.id = ++last_id,
	};
	u32 version = ds_version < ORCHFS_HELLO_VERSION ? ds_version :
		ORCHFS_HELLO_VERSION;
	struct orchfs_pdu pdu = {
		.opcode = ORCHFS_OP_HELLO,
		.data_len = sizeof(struct orchfs_wire_hello),
	};
	struct answer *a = answer_new();
	u8 buf[sizeof(struct orchfs_wire_hello)];

	p->hello_id = hello.id;
	orchfs_hello_encode(&hello, buf);
	must(!peer_call(p, &pdu, buf, a), "hello is refused");
	must(!orchfs_hello_decode(a->data, a->pdu.data_len, &hello) &&
	     hello.version_min == version && hello.version_max == version &&
	     hello.max_data == ORCHFS_PDU_DATA_MAX && hello.max_requests &&
	     hello.max_handles, "answer to hello");
	free(a->data);
	free(a);
}

void peer_start(struct peer *p, u32 node, const struct limits *limits)
{
	peer_open(p, node, limits);
	peer_hello(p);
}

void peer_close(struct peer *p)
{
	close(p->fd);
	p->fd = -1;
}

void peer_send_raw(struct peer *p, const void *buf, size_t len)
{
	ssize_t n;

	while (len) {
		n = send(p->fd, buf, len, MSG_NOSIGNAL);
		/* It has been dropped: the caller sees that soon. */
		if (n < 0 && (errno == EPIPE || errno == ECONNRESET))
			return;
		must(n > 0, "send: %m");
		buf = (const char *)buf + n;
		len -= n;
	}
}

void peer_send(struct peer *p, struct orchfs_pdu *pdu, const void *data)
{
	u8 head[ORCHFS_PDU_LEN];

	pdu->tag = p->tag++;
	if (data && pdu->flags & ORCHFS_PDU_DATA_CRC && !pdu->data_crc)
		pdu->data_crc = orchfs_pdu_crc(0, data, pdu->data_len);
	orchfs_pdu_encode(pdu, head);
	peer_send_raw(p, head, sizeof(head));
	if (data)
		peer_send_raw(p, data, pdu->data_len);
}

static bool recv_all(struct peer *p, void *buf, size_t len)
{
	ssize_t n;

	while (len) {
		n = recv(p->fd, buf, len, 0);
		if (n == 0 || (n < 0 && errno == ECONNRESET))
			return false;
		must(n > 0, "nothing came for %d s: %m", WAIT_SECONDS);
		buf = (char *)buf + n;
		len -= n;
	}
	return true;
}

bool peer_recv(struct peer *p, struct answer *a)
{
	u8 head[ORCHFS_PDU_LEN];
	int reason;

	if (!recv_all(p, head, sizeof(head)))
		return false;
	reason = orchfs_pdu_decode_reply(head, sizeof(head), &a->pdu);
	must(!reason, "a reply is wrong: %d", reason);
	if (!recv_all(p, a->data, a->pdu.data_len))
		return false;
	if (a->pdu.flags & ORCHFS_PDU_DATA_CRC)
		must(orchfs_pdu_crc(0, a->data, a->pdu.data_len) ==
		     a->pdu.data_crc, "sum of a reply is wrong");
	return true;
}

u32 peer_call(struct peer *p, struct orchfs_pdu *pdu, const void *data,
	      struct answer *a)
{
	peer_send(p, pdu, data);
	must(peer_recv(p, a), "the connection is gone, reason %u",
	     daemon_wait_gone(p->connection));
	must(a->pdu.tag == pdu->tag && a->pdu.opcode == pdu->opcode,
	     "a reply to something else");
	return a->pdu.status;
}

void token_make(struct orchfs_token *t, u64 ino, u32 rights, u64 epoch)
{
	*t = (struct orchfs_token){
		.volume = VOLUME, .key_id = 1, .ino = ino, .version = 1,
		.instance = ino, .node = NODE, .rights = rights,
		.epoch = epoch, .expiry_ms = FOREVER,
	};
	memcpy(t->ns_uuid, ds_uuid, sizeof(t->ns_uuid));
}

void token_sign(const struct orchfs_token *t, u8 *buf)
{
	unsigned int len = ORCHFS_TOKEN_MAC_LEN;

	orchfs_token_encode(t, buf);
	if (!HMAC(EVP_sha256(), ds_key, sizeof(ds_key), buf,
		  ORCHFS_TOKEN_SIGNED_LEN, buf + ORCHFS_TOKEN_SIGNED_LEN,
		  &len))
		die("HMAC");
}

/* *handle: 0, or the one to renew. */
u32 peer_bind(struct peer *p, const struct orchfs_token *t, u64 *handle)
{
	struct orchfs_pdu pdu = {
		.opcode = ORCHFS_OP_BIND, .handle = *handle,
		.data_len = ORCHFS_TOKEN_LEN,
	};
	struct answer a = {};
	u8 buf[ORCHFS_TOKEN_LEN];
	u32 status;

	token_sign(t, buf);
	status = peer_call(p, &pdu, buf, &a);
	if (!status) {
		*handle = a.pdu.handle;
		p->verifier = a.pdu.verifier;
	}
	return status;
}

u32 peer_read(struct peer *p, u64 handle, u64 offset, u32 count,
	      struct answer *a)
{
	struct orchfs_pdu pdu = {
		.opcode = ORCHFS_OP_READ, .handle = handle, .offset = offset,
		.count = count,
		.flags = offset & 1 ? ORCHFS_PDU_DATA_CRC : 0,
	};

	return peer_call(p, &pdu, NULL, a);
}

u32 peer_write(struct peer *p, u64 handle, u64 offset, const void *data,
	       u32 len, u16 flags)
{
	struct orchfs_pdu pdu = {
		.opcode = ORCHFS_OP_WRITE, .handle = handle, .offset = offset,
		.data_len = len, .flags = flags,
	};
	struct answer a = {};
	u32 status = peer_call(p, &pdu, data, &a);

	if (!status) {
		must(a.pdu.count == len, "%u of %u were written", a.pdu.count,
		     len);
		p->verifier = a.pdu.verifier;
	}
	return status;
}

int backing_make(u64 ino)
{
	char name[64];
	int fd;

	mkdirat(ds_root, "data", 0700);
	snprintf(name, sizeof(name), "data/%02x",
		 (unsigned int)(ino >> 8 & 0xff));
	mkdirat(ds_root, name, 0700);
	snprintf(name, sizeof(name), "data/%02x/%llx.1.%llx",
		 (unsigned int)(ino >> 8 & 0xff), (unsigned long long)ino,
		 (unsigned long long)ino);
	fd = openat(ds_root, name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC,
		    0600);
	if (fd < 0)
		die("%s: %m", name);
	return fd;
}
