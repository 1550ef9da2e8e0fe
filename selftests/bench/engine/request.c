// SPDX-License-Identifier: Apache-2.0
/* Requests as the kernel's module writes them to the channel. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <linux/genetlink.h>
#include <linux/netlink.h>

#include "bench.h"

#define MESSAGE_MAX	1024
#define SESSION		0x5e55101ULL

/* The first three attributes: number, slot and sequence of who asks. */
#define AT_ID		(NLMSG_HDRLEN + GENL_HDRLEN + NLA_HDRLEN)
#define AT_SLOT		(AT_ID + 8 + NLA_HDRLEN)
#define AT_SEQUENCE	(AT_SLOT + 4 + NLA_HDRLEN)

static void put(struct nlmsghdr *h, uint16_t type, const void *p, size_t len)
{
	struct nlattr *a = (void *)((char *)h + h->nlmsg_len);

	a->nla_type = type;
	a->nla_len = (uint16_t)(NLA_HDRLEN + len);
	memcpy((char *)a + NLA_HDRLEN, p, len);
	h->nlmsg_len += NLA_ALIGN(a->nla_len);
}

static void put_u32(struct nlmsghdr *h, uint16_t type, uint32_t x)
{
	put(h, type, &x, sizeof(x));
}

static void put_u64(struct nlmsghdr *h, uint16_t type, uint64_t x)
{
	put(h, type, &x, sizeof(x));
}

static void put_name(struct nlmsghdr *h, uint16_t type, const char *name)
{
	if (name)
		put(h, type, name, strlen(name));
}

static void put_request(struct nlmsghdr *h, const struct request *rq)
{
	const struct orchfs_time now = { .sec = 1700000000, .nsec = 1 };

	put_u64(h, ORCHFS_A_MSG_REQUEST_ID, 0);
	put_u32(h, ORCHFS_A_MSG_SLOT, 0);
	put_u64(h, ORCHFS_A_MSG_SEQUENCE, 0);
	put_u32(h, ORCHFS_A_MSG_KIND, rq->kind);
	put_u64(h, ORCHFS_A_MSG_SESSION, SESSION);
	put_u32(h, ORCHFS_A_MSG_FLAGS, rq->flags);
	put_u64(h, ORCHFS_A_MSG_NODE, rq->node);
	if (rq->node2)
		put_u64(h, ORCHFS_A_MSG_NODE2, rq->node2);
	put_name(h, ORCHFS_A_MSG_NAME, rq->name);
	put_name(h, ORCHFS_A_MSG_NAME2, rq->name2);
	if (rq->mode) {
		put_u32(h, ORCHFS_A_MSG_MODE, rq->mode);
		put_u32(h, ORCHFS_A_MSG_UID, 1000);
		put_u32(h, ORCHFS_A_MSG_GID, 1000);
	}
	put(h, ORCHFS_A_MSG_NOW, &now, sizeof(now));
}

void requests_add(struct requests *r, const struct request *rq)
{
	struct nlmsghdr *h;
	struct genlmsghdr *g;

	r->p = must_grow(r->p, &r->size, r->len + MESSAGE_MAX, 1);
	r->at = must_grow(r->at, &r->nr_size, r->nr + 1, sizeof(*r->at));
	h = (void *)(r->p + r->len);
	memset(h, 0, MESSAGE_MAX);
	h->nlmsg_len = NLMSG_HDRLEN + GENL_HDRLEN;
	h->nlmsg_type = 0x25;
	g = (void *)((char *)h + NLMSG_HDRLEN);
	g->cmd = ORCHFS_CMD_REQUEST;
	g->version = ORCHFS_FAMILY_VERSION;
	put_request(h, rq);
	r->at[r->nr++] = r->len;
	r->len += NLMSG_ALIGN(h->nlmsg_len);
}

struct nlmsghdr *request_at(const struct requests *r, size_t i)
{
	return (void *)(r->p + r->at[i]);
}

void request_address(struct nlmsghdr *h, uint64_t id, uint32_t slot,
		     uint64_t sequence)
{
	memcpy((char *)h + AT_ID, &id, sizeof(id));
	memcpy((char *)h + AT_SLOT, &slot, sizeof(slot));
	memcpy((char *)h + AT_SEQUENCE, &sequence, sizeof(sequence));
}

void requests_clear(struct requests *r)
{
	r->len = r->nr = 0;
}

void requests_free(struct requests *r)
{
	free(r->p);
	free(r->at);
	*r = (struct requests){ 0 };
}
