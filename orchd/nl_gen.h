/* SPDX-License-Identifier: Apache-2.0 */
/* Do not edit: tools/nlgen/regen makes this from Documentation/netlink/specs/orchfs.yaml */

#ifndef ORCHFS_NL_GEN_H
#define ORCHFS_NL_GEN_H

#include <stdint.h>
#include <netlink/attr.h>

#include <linux/orchfs.h>
#include <linux/orchfs_nl.h>

/* One policy for each attribute set, for nla_parse(). */
extern const struct nla_policy orchfs_msg_nl_policy[ORCHFS_A_MSG_MAX + 1];
extern const struct nla_policy orchfs_entry_nl_policy[ORCHFS_A_ENTRY_MAX + 1];
extern const struct nla_policy orchfs_layout_nl_policy[ORCHFS_A_LAYOUT_MAX + 1];
extern const struct nla_policy orchfs_segment_nl_policy[ORCHFS_A_SEGMENT_MAX + 1];
extern const struct nla_policy orchfs_mirror_nl_policy[ORCHFS_A_MIRROR_MAX + 1];
extern const struct nla_policy orchfs_counter_nl_policy[ORCHFS_A_COUNTER_MAX + 1];
extern const struct nla_policy orchfs_server_nl_policy[ORCHFS_A_SERVER_MAX + 1];
extern const struct nla_policy orchfs_note_nl_policy[ORCHFS_A_NOTE_MAX + 1];

/* Names as in the specification; NULL for an unknown value. */
const char *orchfs_kind_name(uint32_t value);
const char *orchfs_mirror_kind_name(uint32_t value);
const char *orchfs_reason_name(uint32_t value);
const char *orchfs_cmd_name(uint32_t value);
const char *orchfs_req_flag_name(uint32_t flag);

#endif
