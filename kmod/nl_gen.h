/* SPDX-License-Identifier: GPL-2.0-only */
/* Do not edit: tools/nlgen/regen makes this from Documentation/netlink/specs/orchfs.yaml */

#ifndef _ORCHFS_NL_GEN_H
#define _ORCHFS_NL_GEN_H

#include <net/netlink.h>
#include <net/genetlink.h>

#include <linux/orchfs_nl.h>

extern const struct nla_policy orchfs_entry_nl_policy[ORCHFS_A_ENTRY_TARGET + 1];
extern const struct nla_policy orchfs_mirror_nl_policy[ORCHFS_A_MIRROR_TOKEN + 1];
extern const struct nla_policy orchfs_segment_nl_policy[ORCHFS_A_SEGMENT_MIRROR + 1];
extern const struct nla_policy orchfs_layout_nl_policy[ORCHFS_A_LAYOUT_SEGMENT + 1];
extern const struct nla_policy orchfs_counter_nl_policy[ORCHFS_A_COUNTER_ERRORS + 1];
extern const struct nla_policy orchfs_note_nl_policy[ORCHFS_A_NOTE_ATTR + 1];
extern const struct nla_policy orchfs_server_nl_policy[ORCHFS_A_SERVER_FENCES + 1];

int orchfs_nl_pre_doit(const struct genl_split_ops *ops,
		       struct sk_buff *skb, struct genl_info *info);
void orchfs_nl_post_doit(const struct genl_split_ops *ops,
			 struct sk_buff *skb, struct genl_info *info);
int orchfs_nl_attach_doit(struct sk_buff *skb, struct genl_info *info);
int orchfs_nl_ready_doit(struct sk_buff *skb, struct genl_info *info);
int orchfs_nl_reply_doit(struct sk_buff *skb, struct genl_info *info);
int orchfs_nl_poll_doit(struct sk_buff *skb, struct genl_info *info);
int orchfs_nl_invalidate_doit(struct sk_buff *skb, struct genl_info *info);
int orchfs_nl_layout_set_doit(struct sk_buff *skb, struct genl_info *info);
int orchfs_nl_mounts_start(struct netlink_callback *cb);
int orchfs_nl_mounts_done(struct netlink_callback *cb);
int orchfs_nl_mounts_dumpit(struct sk_buff *skb, struct netlink_callback *cb);
int orchfs_nl_handles_start(struct netlink_callback *cb);
int orchfs_nl_handles_done(struct netlink_callback *cb);
int orchfs_nl_handles_dumpit(struct sk_buff *skb, struct netlink_callback *cb);
int orchfs_nl_layout_drop_doit(struct sk_buff *skb, struct genl_info *info);
int orchfs_nl_serve_volume_doit(struct sk_buff *skb, struct genl_info *info);
int orchfs_nl_serve_unvolume_doit(struct sk_buff *skb, struct genl_info *info);
int orchfs_nl_serve_peer_doit(struct sk_buff *skb, struct genl_info *info);
int orchfs_nl_serve_drop_doit(struct sk_buff *skb, struct genl_info *info);
int orchfs_nl_serve_fence_doit(struct sk_buff *skb, struct genl_info *info);
int orchfs_nl_serve_time_doit(struct sk_buff *skb, struct genl_info *info);
int orchfs_nl_serve_list_start(struct netlink_callback *cb);
int orchfs_nl_serve_list_done(struct netlink_callback *cb);
int orchfs_nl_serve_list_dumpit(struct sk_buff *skb, struct netlink_callback *cb);
int orchfs_nl_peer_add_doit(struct sk_buff *skb, struct genl_info *info);
int orchfs_nl_lock_recall_doit(struct sk_buff *skb, struct genl_info *info);
int orchfs_nl_locks_start(struct netlink_callback *cb);
int orchfs_nl_locks_done(struct netlink_callback *cb);
int orchfs_nl_locks_dumpit(struct sk_buff *skb, struct netlink_callback *cb);

extern struct genl_family orchfs_nl_family;

#endif
