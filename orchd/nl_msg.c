// SPDX-License-Identifier: Apache-2.0
#include <errno.h>

#include <netlink/genl/genl.h>
#include <netlink/msg.h>

#include "nl_gen.h"
#include "nl_msg.h"

int msg_parse(struct nlmsghdr *nlh, struct nlattr **tb)
{
	if (!genlmsg_valid_hdr(nlh, 0) ||
	    genlmsg_parse(nlh, 0, tb, ORCHFS_A_MSG_MAX,
			  (struct nla_policy *)orchfs_msg_nl_policy) < 0)
		return -EPROTO;
	return 0;
}

uint64_t msg_u64(struct nlattr **tb, int a)
{
	return tb[a] ? nla_get_u64(tb[a]) : 0;
}

uint32_t msg_u32(struct nlattr **tb, int a)
{
	return tb[a] ? nla_get_u32(tb[a]) : 0;
}

struct nl_msg *msg_new(uint16_t family, uint8_t cmd, int flags, size_t payload)
{
	struct nl_msg *m;

	m = nlmsg_alloc_size(NLMSG_HDRLEN + GENL_HDRLEN + payload + 64);
	if (!m)
		return NULL;
	if (!genlmsg_put(m, NL_AUTO_PORT, NL_AUTO_SEQ, family, 0,
			 NLM_F_REQUEST | flags, cmd, ORCHFS_FAMILY_VERSION)) {
		nlmsg_free(m);
		return NULL;
	}
	return m;
}

struct nl_msg *msg_end(struct nl_msg *m, int rc)
{
	if (!rc)
		return m;
	nlmsg_free(m);
	return NULL;
}
